"""What RSA costs: RDMs, whitened comparison, dual bootstrap, CKA, many layers; beside rsatoolbox, scipy, thingsvision.

Every row is measured in turns in one process, but a slow peer once, after the median of five calls of ours; the last
column is the largest difference between the two results.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy import stats
from scipy.spatial.distance import pdist

from benchmarks import measure, ratio, report, seconds, table
from brainnet.rsa import RDMs, cka, compare, rdm
from brainnet.rsa.inference.bootstrap import Draws, bootstrap

HEADER = ["work", "brainnet", "peer", "peer / brainnet (CPU)", "wall", "difference"]


def _row(what: str, ours: Callable[[], Any], peer: Callable[[], Any], repeats: int, scale: float = 1.0) -> list[str]:
    """One line of the table; ``scale`` extrapolates a peer that is measured on a part of the work."""
    results: dict[str, Any] = {}
    calls = {"ours": lambda: results.update(ours=ours()), "peer": lambda: results.update(peer=peer())}
    if repeats > 1:
        timings = measure(calls, repeats=repeats)
    else:
        timings = measure({"ours": calls["ours"]}, repeats=5) | measure({"peer": calls["peer"]}, repeats=1, warmup=0)
    mine, theirs = timings["ours"], timings["peer"]
    difference = np.nanmax(np.abs(np.asarray(results["ours"]) - np.asarray(results["peer"])))
    return [
        what,
        seconds(mine.cpu),
        seconds(theirs.cpu * scale),
        ratio(theirs.cpu * scale / mine.cpu),
        ratio(theirs.wall * scale / mine.wall),
        f"{difference:.1g}",
    ]


def rdms(n_conditions: int, n_features: int, repeats: int) -> list[list[str]]:
    """Correlation RDMs in double and single precision, beside rsatoolbox and scipy."""
    from rsatoolbox.data import Dataset
    from rsatoolbox.rdm import calc_rdm

    patterns = np.random.default_rng(0).normal(size=(n_conditions, n_features))
    rows = []
    for dtype in ("float64", "float32"):
        x = patterns.astype(dtype)
        data = Dataset(x)
        what = f"correlation RDM, {n_conditions} x {n_features:,}, {dtype}"

        def ours(x=x):
            return rdm(x).values[0].numpy()

        rows.append(
            _row(
                f"{what}; rsatoolbox", ours, lambda data=data: calc_rdm(data, "correlation").dissimilarities[0], repeats
            )
        )
        rows.append(_row(f"{what}; scipy", ours, lambda x=x: pdist(x, "correlation"), repeats))
    return rows


def whitened(n_conditions: int, repeats: int) -> list[list[str]]:
    """Whitened cosine with a full covariance over conditions: 5 models against 10 subjects."""
    from rsatoolbox.rdm import RDMs as PeerRDMs
    from rsatoolbox.rdm import compare as peer_compare

    rng = np.random.default_rng(1)
    a, b = (rng.random((k, n_conditions * (n_conditions - 1) // 2)) for k in (5, 10))
    root = rng.normal(size=(n_conditions, 2 * n_conditions))
    sigma = root @ root.T / (2 * n_conditions)
    return [
        _row(
            f"whitened cosine, full sigma_k, {n_conditions} conditions, 5 x 10 RDMs; rsatoolbox",
            lambda: compare(a, b, "whitened-cosine", noise_covariance=sigma).numpy(),
            lambda: peer_compare(PeerRDMs(a), PeerRDMs(b), "cosine_cov", sigma_k=sigma),
            repeats,
        )
    ]


def dual_bootstrap(method: str, peer_method: str, n_resamples: int, repeats: int) -> list[list[str]]:
    """Dual bootstrap with ceilings, 92 conditions, 10 subjects, 5 models; the draws differ, so means are compared."""
    from rsatoolbox.inference import eval_dual_bootstrap
    from rsatoolbox.model import ModelFixed
    from rsatoolbox.rdm import RDMs as PeerRDMs

    rng = np.random.default_rng(2)
    n_conditions, n_subjects, n_pairs = 92, 10, 92 * 91 // 2
    common = rng.random(n_pairs)
    models, subjects = (common + rng.random((k, n_pairs)) for k in (5, n_subjects))
    peers, data = [ModelFixed(str(i), m) for i, m in enumerate(models)], PeerRDMs(subjects)

    def ours():
        counts = [rng.multinomial(n, np.full(n, 1 / n), size=n_resamples) for n in (n_subjects, n_conditions)]
        draws = Draws(*(torch.from_numpy(c.astype(float)) for c in counts))
        found = bootstrap(torch.from_numpy(models), torch.from_numpy(subjects), method, draws)
        return found.both.scores.mean(0).numpy()

    def peer():
        with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = eval_dual_bootstrap(peers, data, method=peer_method, N=n_resamples)
        return found.evaluations[:, :, 0, 0, 0].mean(0)

    what = f"dual bootstrap with ceilings, {n_resamples} resamples, 92 conditions, 10 subjects, 5 models, {method}"
    return [_row(f"{what}; rsatoolbox", ours, peer, repeats)]


def linear_cka(n_images: int, n_features: int, repeats: int) -> list[list[str]]:
    """Unbiased linear CKA of two layers, beside the order of work of thingsvision's torch backend.

    That takes three HSIC terms one by one: each builds both (n, n) kernels, checks their symmetry, centres, multiplies.
    The second row is kinder: two kernels, centred once, unchecked.
    """
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(n_images, n_features, generator=generator)
    y = x @ torch.randn(n_features, n_features, generator=generator) / n_features**0.5

    def centred(kernel):
        n = len(kernel)
        kernel.fill_diagonal_(0)
        means = kernel.sum(0) / (n - 2)
        means -= means.sum() / (2 * (n - 1))
        kernel -= means[:, None]
        kernel -= means[None]
        return kernel.fill_diagonal_(0)

    def checked(features):
        kernel = features @ features.T
        if not torch.allclose(kernel, kernel.T, rtol=1e-3, atol=1e-4):
            raise ValueError("asymmetric")
        return centred(kernel)

    def term_by_term():
        xy, xx, yy = ((checked(p) * checked(q)).sum() for p, q in ((x, y), (x, x), (y, y)))
        return (xy / (xx * yy).sqrt()).numpy()

    def two_kernels():
        k, m = centred(x @ x.T), centred(y @ y.T)
        return ((k * m).sum() / ((k * k).sum() * (m * m).sum()).sqrt()).numpy()

    what = f"unbiased linear CKA, {n_images:,} x {n_features}, float32"
    return [
        _row(f"{what}; thingsvision's order of work", lambda: cka(x, y).numpy(), term_by_term, repeats),
        _row(f"{what}; its formula, each kernel once", lambda: cka(x, y).numpy(), two_kernels, repeats),
    ]


def many_layers(n_images: int, repeats: int) -> list[list[str]]:
    """Spearman of 5 layers with 10 subjects in 3 ROIs, beside one ``scipy.stats.spearmanr`` per triple."""
    rng = np.random.default_rng(4)
    n_pairs = n_images * (n_images - 1) // 2
    layers, brains = RDMs(rng.random((5, n_pairs))), [RDMs(rng.random((10, n_pairs))) for _ in range(3)]
    measured = 10

    def peer():
        x, y = layers.values[0].numpy(), brains[0].values.numpy()
        return [stats.spearmanr(x, y[s]).statistic for s in range(measured)]

    return [
        _row(
            f"Spearman, 5 layers x 10 subjects x 3 ROIs, {n_images:,} images; scipy, {measured} of 150 measured",
            lambda: torch.cat([compare(layers, roi) for roi in brains], 1)[0, :measured].numpy(),
            peer,
            repeats,
            scale=150 / measured,
        )
    ]


def main(argv: list[str]) -> None:
    """Parses the options and reports."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks rsa", description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="a tenth of the work, to see that it runs")
    parser.add_argument("--repeats", type=int, default=3, help="of the fast rows; slow peers run once")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", nargs="?", const="", help="save the table, by default in benchmarks/results/rsa.md")
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads)
    small, repeats = options.small, options.repeats
    rows = [
        *rdms(*((100, 1000) if small else (500, 10_000)), repeats),
        *whitened(20 if small else 92, 1),
        *dual_bootstrap("pearson", "corr", 10 if small else 200, 1),
        *dual_bootstrap("spearman", "spearman", 10 if small else 200, 1),
        *linear_cka(*((500, 64) if small else (5000, 768)), repeats),
        *many_layers(200 if small else 1000, 1),
    ]
    notes = f"CPU seconds, {options.threads} thread(s)."
    report("rsa", [table(HEADER, rows), notes], out=options.out)

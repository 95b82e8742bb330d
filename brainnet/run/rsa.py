"""RSA from files to files: RDMs of networks and data, their comparison, and searchlights.

One function for each command, and for each kind of `brainnet rsa`. Each fills a folder with tables (CSV), figures (PNG)
and a run card ``run.json``: what was read, with digests, how it was computed, with which versions, in how long. A model
or a region is a file; a folder is the files in it, in the order a person counts.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from brainnet._files import sha256, write_json
from brainnet._work import progress as progress_bar
from brainnet.rsa import (
    GroupMaps,
    RDMs,
    SearchlightMaps,
    by_time,
    discs,
    evaluate,
    fusion,
    group_searchlight,
    noise_ceiling,
    rdm,
    rdm_regression,
    searchlight,
    spheres,
    weighted_rsa,
)
from brainnet.rsa.files import FORMATS
from brainnet.rsa.inference.significance import holm
from brainnet.rsa.pairs import pairs_of
from brainnet.run.card import Clock, closing, opening, refuse_others
from brainnet.space import VERTICES_PER_HEMISPHERE, BrainSpace
from brainnet.stimuli import Images, natural_sort
from brainnet.store import TokenStore

if TYPE_CHECKING:
    import pandas as pd

PACKAGES = ("torch", "numpy", "scipy", "pandas", "h5py", "nibabel", "matplotlib")
DPI = 150
RESULTS = ("ceilings.csv", "scores.csv", "differences.csv", "peaks.csv", "weights.csv", "parts.csv",
           "bars.png", "layers.png", "time.png", "parts.png", "weights_*.png")  # fmt: skip


def write_rdms(
    source: str | Path,
    out: str | Path,
    *,
    backbone: str | None = None,
    layers: Iterable[str] | None = None,
    metric: str = "correlation",
    pool: str = "flatten",
    grid: tuple[int, int] = (8, 8),
    progress: bool = True,
) -> RDMs:
    """RDMs of a network's layers, or of features in files, as ``rdms.npz``, ``rdms.csv``, figures and a run card.

    Args:
        source: pictures (a folder or zip, with ``backbone``); a token store; a feature file (``.npy``, or ``.npz`` with
            one entry per condition); or a folder of feature files, one per layer.
        out: folder of the results.
        backbone: name of the network that looks at the pictures, such as "torchvision:squeezenet1_0"; its own weights
            follow an equals sign, "torchvision:squeezenet1_0=weights.npz".
        layers: which; all by default.
        metric: distance, see ``DISTANCES``.
        pool: how a network's tokens become features: "flatten", "mean", "global" or "both".
        grid: token grid kept per layer (height, width).
        progress: show progress bars.

    Returns:
        One RDM per layer; also in ``rdms.npz``.
    """
    clock, out = Clock(), _folder(out, "rdm")
    features, conditions, origin = _features(Path(source), backbone, layers, pool, grid, progress)
    clock.lap("features")
    found = [
        rdm(_rows(value()), metric, conditions=conditions, names=[name])
        for name, value in progress_bar(list(features.items()), "RDMs", len(features), progress)
    ]
    rdms = RDMs.stack(found)
    clock.lap("RDMs")
    out.mkdir(parents=True, exist_ok=True)
    rdms.save(out / "rdms.npz")
    _pair_table(rdms).to_csv(out / "rdms.csv", index=False)
    _draw_geometry(rdms, out)
    clock.lap("files and figures")
    card = {
        **opening("rdm", PACKAGES),
        "source": {"path": str(source), **origin},
        "settings": {"metric": metric, "pool": pool, "grid": list(grid), "layers": list(rdms.names)},
        "n_conditions": rdms.n_conditions,
        "rdms_sha256": sha256(np.ascontiguousarray(rdms.values.numpy()).tobytes()),
    }
    write_json(out / "run.json", {**card, **closing(clock)})
    return rdms


def compare_rdms(
    subjects: Sequence[str | Path],
    out: str | Path,
    *,
    models: Sequence[str | Path] = (),
    method: str = "spearman",
    squared: bool = False,
    pooling: str = "optimal",
    key: str | None = None,
    progress: bool = True,
    **settings: Any,
) -> dict[str, pd.DataFrame]:
    """Noise ceilings of brain regions, and scores of models in them, as tables, figures and a run card.

    Args:
        subjects: files, or folders of files, each a region with one RDM per subject.
        out: folder of the results.
        models: files, or folders of files, of model RDMs; a file with several RDMs is a model with layers. Without
            models only the ceilings are computed.
        method: name of a comparison.
        squared, pooling: of the ceilings, see ``noise_ceiling``; "mean" and squared are the Algonauts challenge's.
        key: entry of files that hold several arrays.
        progress: show a progress bar.
        **settings: of ``evaluate``, such as ``generalise``, ``test``, ``correction``, ``seed``.

    Returns:
        "ceilings", and with models "scores" and "differences": the tables written as CSV.
    """
    import pandas as pd

    clock, out = Clock(), _folder(out, "rsa")
    regions, networks = _regions(subjects, key), _named(models, key)
    clock.lap("reading")
    rows = []
    for name, rdms in regions.items():
        alone = len(rdms) < 2
        bounds = (float("nan"),) * 2 if alone else noise_ceiling(rdms, method, pooling=pooling, squared=squared)
        rows.append({"region": name, "n_subjects": len(rdms), "n_conditions": rdms.n_conditions,
                     "lower": bounds[0], "upper": bounds[1]})  # fmt: skip
    tables = {"ceilings": pd.DataFrame(rows)}
    results: dict[str, Any] = {"ceilings": rows}
    if networks:
        evaluation = evaluate(networks, regions, method, progress=progress, **settings)
        tables["scores"] = evaluation.table
        if len(evaluation.models) > 1:
            tables["differences"] = evaluation.differences()
        results["definitions"] = evaluation.settings
        clock.lap("scores")
    _clear(out)
    if networks:
        _draw_scores(evaluation, tables.get("differences"), networks, out)
    settings = {"method": method, "squared": squared, "pooling": pooling, **settings}
    return _finish(out, tables, _card_of(regions, networks, settings) | results, clock)


def compare_over_time(
    subjects: Sequence[str | Path],
    out: str | Path,
    *,
    models: Sequence[str | Path],
    method: str = "spearman",
    span: tuple[float, float] | None = None,
    pooled: bool = False,
    key: str | None = None,
    progress: bool = True,
    **settings: Any,
) -> dict[str, pd.DataFrame]:
    """Scores of models over time in M/EEG RDMs, as tables, a figure of the courses and a run card.

    Args:
        subjects: each a region, sensor group or data set: a file (n_subjects, n_times, n, n) or (n_subjects, n_times,
            n_pairs), or a folder with one file (n_times, ...) per subject.
        out: folder of the results.
        models: files, or folders of files, of model RDMs; a file with several RDMs is a model with layers.
        method: name of a comparison.
        span: first and last time, evenly divided; by default times are counted from 0.
        pooled: the models are fMRI regions with one RDM per subject, each pooled to one (fMRI-M/EEG fusion).
        key: entry of files that hold several arrays.
        progress: show a progress bar.
        **settings: of ``evaluate``, such as ``generalise``, ``test``, ``correction``, ``seed``.

    Returns:
        "scores", one row per region, model, layer and time; "peaks", the highest score of each course and when.
    """
    from brainnet import plot

    clock, out = Clock(), _folder(out, "rsa")
    courses, networks = _courses(subjects, key), _models_of(models, key)
    lengths = {name: len(course) for name, course in courses.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"every region needs the same times, got {lengths}.")
    n_times = next(iter(lengths.values()))
    times = list(range(n_times)) if span is None else np.linspace(*span, n_times).tolist()
    clock.lap("reading")
    if pooled:
        if len(courses) > 1:
            raise ValueError(f"fusion takes one M/EEG data set, got {', '.join(courses)}.")
        evaluation = fusion(networks, next(iter(courses.values())), times, method, progress=progress, **settings)
    else:
        evaluation = evaluate(networks, courses, method, times=times, progress=progress, **settings)
    clock.lap("scores")
    _clear(out)
    scores = evaluation.table
    highest = scores.loc[scores.dropna(subset="score").groupby(["roi", "model", "layer"], sort=False)["score"].idxmax()]
    columns = ["roi", "model", "layer", "time", "score", "low", "high", "p_corrected"]
    tables = {"scores": scores, "peaks": highest[columns].reset_index(drop=True)}
    name = "time" if span is not None else "time point"
    plot.rsa_time(evaluation, time_name=name).savefig(out / "time.png", dpi=DPI)
    card = {
        "data": {
            name: {**_digest(RDMs.stack(course)), "n_times": len(course), "rdms": list(course[0].names)}
            for name, course in courses.items()
        },
        "models": {name: _digest(rdms) for name, rdms in networks.items()},
        "settings": {**evaluation.settings, "times": times, "pooled": pooled},
        "peaks": tables["peaks"].to_dict("records"),
    }
    return _finish(out, tables, card, clock)


def fit_rdms(
    subjects: Sequence[str | Path],
    out: str | Path,
    *,
    models: Sequence[str | Path],
    weights: str = "nonnegative",
    method: str = "pearson",
    n_folds: int = 3,
    n_permutations: int = 1000,
    key: str | None = None,
    seed: int = 0,
    progress: bool = True,
) -> dict[str, pd.DataFrame]:
    """Weighted RSA: how well the best mixture of each model's RDMs does on held-out conditions, and its weights.

    Args:
        subjects: files, or folders of files, each a region with one RDM per subject. Several subjects are fitted on
            the others, a single one on its own training conditions.
        out: folder of the results.
        models: files, or folders of files: the RDMs of a file (its layers) are mixed.
        weights, method, n_folds, n_permutations: see ``weighted_rsa``.
        key: entry of files that hold several arrays.
        seed: of splits and permutations, alike for every region and model.
        progress: show progress bars.

    Returns:
        "scores", one row per region and model (p by permutation, corrected over rows after Holm); "weights", one row
        per component.
    """
    import pandas as pd

    from brainnet import plot

    clock, out = Clock(), _folder(out, "rsa")
    regions, networks = _regions(subjects, key), _models_of(models, key)
    clock.lap("reading")
    scores, mixtures = [], []
    for roi, brain in regions.items():
        for name, components in networks.items():
            found = weighted_rsa(
                components, brain, weights=weights, method=method, over_subjects=len(brain) > 1, n_folds=n_folds,
                n_permutations=n_permutations, generator=torch.Generator().manual_seed(seed), progress=progress,
            )  # fmt: skip
            cell = {"roi": roi, "model": name}
            scores.append(
                {**cell, "n_components": len(components), "score": found.mean, "sem": _sem(found.score),
                 "unweighted": found.unweighted.mean().item(), "unweighted_sem": _sem(found.unweighted),
                 "p": found.p, "ceiling_lower": found.ceiling.lower, "ceiling_upper": found.ceiling.upper,
                 "n_subjects": len(brain)}
            )  # fmt: skip
            mixtures += [
                {**cell, "component": component, "weight": weight, "spread": spread}
                for component, weight, spread in zip(
                    found.components, found.weights.tolist(), found.weights_spread.tolist(), strict=True
                )
            ]
    tables = {"scores": pd.DataFrame(scores), "weights": pd.DataFrame(mixtures)}
    p = tables["scores"]["p"].astype(float).to_numpy(copy=True)
    tables["scores"].insert(tables["scores"].columns.get_loc("p") + 1, "p_corrected", holm(p).numpy())
    clock.lap("fits")
    _clear(out)
    plain = {"score": tables["scores"]["unweighted"], "sem": tables["scores"]["unweighted_sem"], "p_corrected": np.nan}
    both = pd.concat(
        [tables["scores"].assign(layer="weighted"), tables["scores"].assign(layer="plain mean", **plain)]
    ).sort_index(kind="stable")
    both = both.assign(low=both["score"] - both["sem"], high=both["score"] + both["sem"])
    name = f"{method} similarity, held-out conditions\n(line: standard error over subjects)"
    plot.rsa_bars(both, score_name=name).savefig(out / "bars.png", dpi=DPI)
    mixed = tables["weights"].rename(columns={"component": "layer", "weight": "score"})
    mixed = mixed.assign(low=mixed["score"] - mixed["spread"], high=mixed["score"] + mixed["spread"])
    for name, components in networks.items():
        if len(components) > 1:
            figure = plot.rsa_layers(mixed[mixed["model"] == name], score_name="weight, and its SD over splits")
            figure.savefig(out / f"weights_{name.replace('/', '_')}.png", dpi=DPI)
    settings = {"weights": weights, "method": method, "n_folds": n_folds, "n_permutations": n_permutations,
                "seed": seed, "correction": "holm"}  # fmt: skip
    return _finish(out, tables, _card_of(regions, networks, settings, scores=tables["scores"]), clock)


def partition_rdms(
    subjects: Sequence[str | Path],
    out: str | Path,
    *,
    models: Sequence[str | Path],
    method: str = "spearman",
    weights: str = "ols",
    n_folds: int = 3,
    n_permutations: int = 1000,
    key: str | None = None,
    seed: int = 0,
    progress: bool = True,
) -> dict[str, pd.DataFrame]:
    """RDM regression: the share of each region's RDM that sets of model RDMs explain together, alone and uniquely.

    Args:
        subjects: files, or folders of files, each a region with one RDM per subject.
        out: folder of the results.
        models: files, each a set: its RDMs enter and leave the regression together.
        method: "spearman" ranks all RDMs first, "pearson" takes them as they are.
        weights, n_folds, n_permutations: see ``rdm_regression``.
        key: entry of files that hold several arrays.
        seed: of splits and permutations, alike for every region.
        progress: show progress bars.

    Returns:
        "parts", one row per region and part: R2 on held-out conditions, its standard error over subjects and p.
    """
    import pandas as pd

    from brainnet import plot

    if method not in ("spearman", "pearson"):
        raise ValueError(f"a partition takes method 'spearman' (of ranks) or 'pearson', got {method!r}.")
    clock, out = Clock(), _folder(out, "rsa")
    regions, sets = _regions(subjects, key), _models_of(models, key)
    clock.lap("reading")
    parts = []
    for roi, brain in regions.items():
        found = rdm_regression(
            sets, brain, weights=weights, ranked=method == "spearman", n_folds=n_folds, n_permutations=n_permutations,
            generator=torch.Generator().manual_seed(seed), progress=progress,
        )  # fmt: skip
        table = found.table()
        table.insert(0, "roi", roi)
        parts.append(table)
    tables = {"parts": pd.concat(parts, ignore_index=True)}
    clock.lap("regression")
    _clear(out)
    plot.rsa_parts(tables["parts"]).savefig(out / "parts.png", dpi=DPI)
    settings = {"method": method, "weights": weights, "n_folds": n_folds, "n_permutations": n_permutations,
                "seed": seed, "score": "R2 on pairs of held-out conditions, against their training mean"}  # fmt: skip
    return _finish(out, tables, _card_of(regions, sets, settings, parts=tables["parts"]), clock)


def search(
    patterns: Sequence[str | Path],
    models: Sequence[str | Path],
    out: str | Path,
    *,
    mask: str | Path | None = None,
    mesh: str = "fsaverage5",
    radius: float | None = None,
    unit: str = "mm",
    k: int | None = None,
    min_size: int = 10,
    metric: str = "correlation",
    method: str = "spearman",
    n_permutations: int = 0,
    seed: int = 0,
    n_jobs: int = 1,
    key: str | None = None,
    progress: bool = True,
) -> SearchlightMaps:
    """Searchlight maps of model RDMs over one subject's patterns: NIfTI or GIfTI, a figure and a run card.

    A run that was cut short goes on where it stopped when called again with the same arguments.

    Args:
        patterns: one NIfTI (x, y, z, n_conditions); or two GIfTIs, left and right hemisphere, an array per condition;
            or a ``.npy`` (n_conditions, n_mesh_vertices).
        models: files, or folders of files, of model RDMs in the order of the conditions.
        out: folder of the results.
        mask: NIfTI that is above 0 inside the brain; by default voxels that are finite and not constant. Vertices that
            are not finite or constant are left out in the same way.
        mesh: of the surface files.
        radius, unit: of spheres ("mm" or "voxels", 8 mm by default) or of discs (mm along the cortex).
        k: vertices of a disc instead of a radius (50 by default).
        min_size: fewest voxels of a neighbourhood.
        metric, method: distance between patterns, comparison of RDMs.
        n_permutations, seed: condition-label permutations, and their seed.
        n_jobs: processes.
        key: entry of model files that hold several arrays.
        progress: show a progress bar.
    """
    from brainnet import plot

    clock, out = Clock(), _folder(out, "searchlight")
    networks = _named(models, key)
    if not networks:
        raise ValueError("give at least one file of model RDMs.")
    several = {name: len(rdms) > 1 for name, rdms in networks.items()}
    stacked = RDMs.stack(
        networks.values(),
        names=[f"{name} {layer}" if several[name] else name for name, rdms in networks.items() for layer in rdms.names],
    )
    data, space = _patterns([Path(path) for path in patterns], mask, mesh)
    clock.lap("reading")
    if space.mask is not None:
        if k is not None:
            raise ValueError("k= counts vertices of a surface; a volume needs a radius.")
        lights = spheres(space, 8.0 if radius is None else radius, unit, min_size=min_size)
    else:
        lights = discs(space, radius, 50 if radius is None and k is None else k, min_size=min_size)
    clock.lap("neighbourhoods")
    maps = searchlight(
        data, stacked, lights, metric=metric, method=method, n_permutations=n_permutations,
        generator=torch.Generator().manual_seed(seed), folder=out / "chunks", n_jobs=n_jobs, progress=progress,
    )  # fmt: skip
    clock.lap("searchlight")
    maps.save(out)
    plot.searchlight(maps).savefig(out / "maps.png", dpi=DPI)
    clock.lap("files and figures")
    card = {
        **opening("searchlight", PACKAGES),
        "patterns": {"files": [str(path) for path in patterns], "sha256": _sha(data), "n_voxels": space.n_voxels},
        "models": {name: _digest(rdms) for name, rdms in networks.items()},
        "settings": {**maps.settings, "seed": seed, "min_size": min_size, "n_centres": len(lights)},
        "highest_score": dict(zip(maps.models, np.nanmax(maps.score.numpy(), axis=1).tolist(), strict=True)),
    }
    write_json(out / "run.json", {**card, **closing(clock)})
    return maps


def search_group(
    subjects: Sequence[str | Path],
    out: str | Path,
    *,
    contrast: tuple[str, str] | None = None,
    n_permutations: int = 5000,
    seed: int = 0,
    progress: bool = True,
) -> GroupMaps:
    """Maps of a test over subjects, from the folders that :func:`search` filled, with a figure and a run card.

    Args:
        subjects: one folder per subject, in one space and with the same models.
        out: folder of the results; files as :func:`search` names them, and ``t``.
        contrast: two models; where the first scores above the second, instead of each above 0.
        n_permutations, seed: sign flips over subjects, and their seed; 0 takes p from Student's t.
        progress: show a progress bar.
    """
    from brainnet import plot

    if Path(out).resolve() in {Path(path).resolve() for path in subjects}:
        raise ValueError(f"--out {out} is one of the subjects' folders; name another, or its maps would be replaced.")
    clock, out = Clock(), _folder(out, "searchlight --group")
    maps = [SearchlightMaps.load(path) for path in subjects]
    clock.lap("reading")
    generator = torch.Generator().manual_seed(seed)
    found = group_searchlight(
        maps, contrast=contrast, n_permutations=n_permutations, generator=generator, progress=progress
    )
    clock.lap("group test")
    found.save(out)
    plot.searchlight(found, title=f"Mean of {len(maps)} subjects").savefig(out / "maps.png", dpi=DPI)
    clock.lap("files and figures")
    least = found.test.p_max if found.best_test is not None else found.test.p_fdr
    card = {
        **opening("searchlight --group", PACKAGES),
        "subjects": [
            {"folder": str(path), "fingerprint": one.settings.get("fingerprint"), "sha256": _sha(one.score)}
            for path, one in zip(subjects, maps, strict=True)
        ],
        "settings": {**found.settings, "seed": seed, "n_centres": len(found.size)},
        "highest_mean_score": dict(zip(found.models, found.score.amax(1).tolist(), strict=True)),
        "n_significant": dict(zip(found.models, (least <= 0.05).sum(1).tolist(), strict=True)),
        "significant_means": "family-wise p <= .05" if found.best_test is not None else "FDR-adjusted p <= .05",
    }
    write_json(out / "run.json", {**card, **closing(clock)})
    return found


# ---- reading ------------------------------------------------------------------------------------------------------


def _folder(out: str | Path, kind: str) -> Path:
    """A folder that can be made once there is something to write: a call that fails leaves none behind."""
    out = Path(out)
    refuse_others(out, kind)
    above = next(folder for folder in (out, *out.absolute().parents) if folder.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise PermissionError(f"--out {out} cannot be made: {above} is no folder that you may write to.")
    return out


def _clear(out: Path) -> None:
    """Takes away an earlier comparison: a figure it drew and this one does not would pass for this one's."""
    out.mkdir(parents=True, exist_ok=True)
    if (out / "run.json").is_file():
        for pattern in RESULTS:
            for path in out.glob(pattern):
                path.unlink()


def _named(paths: Sequence[str | Path], key: str | None) -> dict[str, RDMs]:
    """Name -> RDMs of a file: named after the file, with its folder where two share a name.

    ``rdms.npz`` is what ``write_rdms`` calls every file: such a one is named after its folder.
    """
    files: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            inside = [name for name in natural_sort(p.name for p in path.iterdir()) if Path(name).suffix in FORMATS]
            if not inside:
                raise FileNotFoundError(f"no RDM files in {path}; readable are {', '.join(FORMATS)}.")
            files += [path / name for name in inside]
        else:
            files.append(path)
    folders = [file.resolve().parent.name for file in files]
    stems = [folder if file.name == "rdms.npz" else file.stem for file, folder in zip(files, folders, strict=True)]
    names = [
        stem if stems.count(stem) == 1 else f"{folder}/{stem}" for stem, folder in zip(stems, folders, strict=True)
    ]
    if len(set(names)) < len(names):
        raise ValueError(f"two files are called {max(names, key=names.count)!r}; rename one, or give it once.")
    return {name: RDMs.load(file, key) for name, file in zip(names, files, strict=True)}


def _regions(paths: Sequence[str | Path], key: str | None) -> dict[str, RDMs]:
    regions = _named(paths, key)
    if not regions:
        raise ValueError("give at least one file of brain RDMs, with one RDM per subject.")
    for name, rdms in regions.items():
        numbers = [one.split("/") for one in rdms.names]
        if all(len(number) > 1 and all(part.isdigit() for part in number) for number in numbers):
            raise ValueError(
                f"{name!r} holds {len(rdms)} RDMs on several axes, such as subjects and times; expected is one RDM per"
                " subject. For scores over time: --time. Otherwise average the other axes first."
            )
    return regions


def _models_of(paths: Sequence[str | Path], key: str | None) -> dict[str, RDMs]:
    networks = _named(paths, key)
    if not networks:
        raise ValueError("give at least one file of model RDMs: --model.")
    return networks


def _courses(paths: Sequence[str | Path], key: str | None) -> dict[str, list[RDMs]]:
    """Name -> one ``RDMs`` of all subjects per time point."""
    courses = {}
    for path in map(Path, paths):
        if path.is_dir():
            by_subject = _named([path], key)
            if len({len(rdms) for rdms in by_subject.values()}) > 1:
                lengths = {name: len(rdms) for name, rdms in by_subject.items()}
                raise ValueError(f"the subjects in {path} have different numbers of time points: {lengths}.")
            stacked = RDMs.stack(by_subject.values())
            subjects = tuple(by_subject)
        else:
            stacked = RDMs.load(path, key)
            numbers = [name.split("/") for name in stacked.names]
            if any(len(number) != 2 for number in numbers):
                raise ValueError(
                    f"{path.name} holds {len(stacked)} RDMs; over time expected are (n_subjects, n_times, n, n) or"
                    " (n_subjects, n_times, n_pairs), or a folder with a file of time points per subject."
                )
            subjects = tuple(dict.fromkeys(subject for subject, _ in numbers))
        values = stacked.values.view(len(subjects), -1, stacked.n_pairs)
        if values.shape[1] < 2:
            raise ValueError(
                f"{path.name} holds {len(subjects)} subjects with one RDM each: that is no course over time. Expected"
                " is (n_subjects, n_times, ...), or a folder with a file of time points per subject; or no --time."
            )
        name = path.resolve().name if path.is_dir() else path.stem
        if name in courses:
            raise ValueError(f"two inputs are called {name!r}; rename one, or give it once.")
        courses[name] = by_time(values, metric=stacked.metric, names=subjects, conditions=stacked.conditions)
    if not courses:
        raise ValueError("give at least one file of brain RDMs over time.")
    return courses


def _features(
    source: Path, backbone: str | None, layers: Iterable[str] | None, pool: str, grid: tuple[int, int], progress: bool
) -> tuple[dict[str, Any], Sequence[str] | None, dict[str, Any]]:
    """Layer -> a function that reads its features; the names of the conditions; where they came from."""
    wanted = None if layers is None else list(layers)
    if backbone is not None:
        from brainnet.backbone import backbone_of

        images = Images(source)
        network = backbone_of(backbone, wanted)
        store = TokenStore.build(network, images, grid=grid, dtype=torch.float32, progress=progress)
        return _of_store(store, pool, None), images.ids, {"backbone": backbone, "fingerprint": store.fingerprint}
    if source.is_dir():
        names = natural_sort(path.name for path in source.iterdir() if path.suffix in (".npy", ".npz"))
        files = [source / name for name in names]
        if not files:
            raise FileNotFoundError(
                f"no .npy or .npz features in {source}; for a folder of pictures name the network: --backbone."
            )
        found = {file.stem: _feature_file(file) for file in files}
    elif source.suffix in (".npy", ".npz"):
        found = {source.stem: _feature_file(source)}
    else:
        store = TokenStore.open(source)
        return _of_store(store, pool, wanted), store.image_ids, {"fingerprint": store.fingerprint}
    chosen = {name: found[name] for name in _known(wanted or list(found), found)}
    conditions = {name: part[1] for name, part in chosen.items()}
    first = next(iter(conditions.values()))
    if any(other != first for other in conditions.values()):
        raise ValueError(f"the feature files in {source} name different conditions; every layer needs the same.")
    listed = source / "images.txt"  # of `brainnet extract`
    if first is None and listed.is_file():
        first = tuple(listed.read_text().splitlines())
    return {name: (lambda a=part[0]: a) for name, part in chosen.items()}, first, {"files": list(chosen)}


def _of_store(store: TokenStore, pool: str, wanted: Sequence[str] | None) -> dict[str, Any]:
    return {name: (lambda n=name: store.features(n, pool)) for name in _known(wanted or store.layers, store.layers)}


def _known(wanted: Sequence[str], known: Iterable[str]) -> Sequence[str]:
    missing = [name for name in wanted if name not in set(known)]
    if missing:
        raise ValueError(f"no layer {missing[0]!r}; there are {', '.join(known)}.")
    return wanted


def _feature_file(path: Path) -> tuple[np.ndarray, tuple[str, ...] | None]:
    """Features (n_conditions, ...) and the names of the rows where the file has one entry for each."""
    loaded = np.load(path, allow_pickle=False)
    if isinstance(loaded, np.ndarray):
        return loaded, None
    with loaded:
        arrays = {name: loaded[name] for name in loaded.files}
    if len(arrays) == 1:
        return next(iter(arrays.values())), None
    if len({array.shape for array in arrays.values()}) != 1:
        raise ValueError(
            f"{path.name} holds arrays of different shapes; expected one array (n_conditions, n_features), or one entry"
            " per condition, all of one shape."
        )
    names = natural_sort(arrays)
    return np.stack([arrays[name] for name in names]), tuple(names)


def _rows(features: Any) -> Tensor:
    tensor = torch.as_tensor(features)
    if tensor.ndim < 2:
        raise ValueError(f"features must be (n_conditions, n_features), got {tuple(tensor.shape)}.")
    return tensor.flatten(1)


def _patterns(paths: Sequence[Path], mask: str | Path | None, mesh: str) -> tuple[Tensor, BrainSpace]:
    """Patterns (n_conditions, n_voxels) and their space, without voxels that say nothing."""
    import nibabel

    for path in (*paths, *([] if mask is None else [Path(mask)])):
        if not path.is_file():
            raise FileNotFoundError(f"no file {path}.")
    if len(paths) == 1 and paths[0].name.endswith((".nii", ".nii.gz")):
        image = nibabel.load(paths[0])
        if len(image.shape) != 4:
            raise ValueError(f"{paths[0].name} is {image.shape}; expected (x, y, z, n_conditions).")
        volume = torch.from_numpy(np.asarray(image.dataobj, dtype=np.float32))
        inside = _speaks(volume.movedim(-1, 0))
        if mask is not None:
            shape = nibabel.load(mask).shape
            if shape[:3] != image.shape[:3]:
                raise ValueError(f"the mask is {shape} but the patterns are {image.shape[:3]}; resample it to them.")
            inside &= torch.from_numpy(np.asarray(nibabel.load(mask).dataobj).reshape(image.shape[:3]) > 0)
        _some(inside, paths[0])
        return volume[inside].T.contiguous(), BrainSpace(mask=inside, affine=torch.from_numpy(image.affine))
    if len(paths) == 2 and all(path.suffix == ".gii" for path in paths):
        halves = [np.stack([np.ravel(a.data) for a in nibabel.load(path).darrays]) for path in paths]
        array = np.concatenate(halves, axis=1)
    elif len(paths) == 1 and paths[0].suffix == ".npy":
        array = np.load(paths[0], allow_pickle=False)
    else:
        raise ValueError(
            "patterns are one NIfTI (x, y, z, n_conditions), two GIfTIs (left, right) or one .npy (n_conditions,"
            f" n_mesh_vertices); got {', '.join(path.name for path in paths)}."
        )
    expected = 2 * VERTICES_PER_HEMISPHERE[mesh] if mesh in VERTICES_PER_HEMISPHERE else None
    if array.ndim != 2 or array.shape[1] != expected:
        raise ValueError(f"surface patterns are {array.shape}; expected (n_conditions, {expected}) for mesh {mesh!r}.")
    data = torch.from_numpy(array.astype(np.float32))
    inside = _speaks(data)
    _some(inside, paths[0])
    return data[:, inside], BrainSpace(vertices=inside.nonzero()[:, 0], mesh=mesh)


def _speaks(data: Tensor) -> Tensor:
    """Where patterns (n_conditions, ...) are finite and not all the same."""
    return data.isfinite().all(0) & (data != data[0]).any(0)


def _some(inside: Tensor, path: Path) -> None:
    if not bool(inside.any()):
        raise ValueError(f"no voxel of {path.name} is inside the mask, finite and varies over conditions.")


# ---- writing ------------------------------------------------------------------------------------------------------


def _finish(out: Path, tables: dict[str, pd.DataFrame], card: dict[str, Any], clock: Clock) -> dict[str, pd.DataFrame]:
    """Writes the tables and the run card."""
    for name, table in tables.items():
        table.to_csv(out / f"{name}.csv", index=False)
    clock.lap("files and figures")
    write_json(out / "run.json", {**opening("rsa", PACKAGES), **card, **closing(clock)})
    return tables


def _card_of(
    regions: Mapping[str, RDMs], networks: Mapping[str, RDMs], settings: dict[str, Any], **tables: pd.DataFrame
) -> dict[str, Any]:
    return {
        "data": {name: _digest(rdms) for name, rdms in regions.items()},
        "models": {name: _digest(rdms) for name, rdms in networks.items()},
        "settings": settings,
        **{name: table.to_dict("records") for name, table in tables.items()},
    }


def _sem(values: Tensor) -> float:
    return (values.std() / len(values) ** 0.5).item() if len(values) > 1 else float("nan")


def _pair_table(rdms: RDMs) -> pd.DataFrame:
    import pandas as pd

    rows, columns = (index.numpy() for index in pairs_of(rdms.n_conditions))
    names = np.asarray(rdms.conditions or [str(i) for i in range(rdms.n_conditions)])
    values = dict(zip(rdms.names, rdms.values.cpu().numpy(), strict=True))
    return pd.DataFrame({"condition_a": names[rows], "condition_b": names[columns], **values})


def _draw_geometry(rdms: RDMs, out: Path) -> None:
    from brainnet import plot

    shown = RDMs(rdms.values[:12], rdms.metric, rdms.names[:12])
    plot.rdms(shown).savefig(out / "rdms.png", dpi=DPI)
    if len(rdms) > 1 and rdms.n_conditions > 2:
        plot.model_similarity(rdms, title="Similarity of layers").savefig(out / "layers.png", dpi=DPI)


def _draw_scores(evaluation: Any, differences: Any, networks: Mapping[str, RDMs], out: Path) -> None:
    from brainnet import plot

    if max(map(len, networks.values())) > 1:
        plot.rsa_layers(evaluation).savefig(out / "layers.png", dpi=DPI)
    if len(evaluation.models) <= 16:
        plot.rsa_bars(evaluation, differences=differences).savefig(out / "bars.png", dpi=DPI)


def _digest(rdms: RDMs) -> dict[str, Any]:
    return {"n_rdms": len(rdms), "rdms": list(rdms.names), "n_conditions": rdms.n_conditions, "metric": rdms.metric,
            "sha256": _sha(rdms.values)}  # fmt: skip


def _sha(values: Tensor) -> str:
    return sha256(np.ascontiguousarray(values.cpu().numpy()).tobytes())

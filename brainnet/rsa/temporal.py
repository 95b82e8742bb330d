"""RSA over time: M/EEG time courses, model time by brain time, and fMRI-M/EEG fusion.

A brain over time is a list of ``RDMs``, one per time point, each holding one RDM per subject; ``evaluate`` reads it as
it is. What is new here is choosing: where every layer and step of a network competes at every brain time, the best of
them scores above zero on pure noise. So the choice is made on some conditions of some subjects, and scored on other
conditions of another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from brainnet._work import progress as progress_bar
from brainnet.rsa.ceilings import pool
from brainnet.rsa.checks import as_float_tensor
from brainnet.rsa.comparisons import compare
from brainnet.rsa.create import rdm
from brainnet.rsa.inference.evaluation import Evaluation, evaluate
from brainnet.rsa.mixing.fitting import check_usable, condition_splits
from brainnet.rsa.pairs import n_conditions_of, pair_index
from brainnet.rsa.products import PRODUCTS, draw_orders, embed, permuted
from brainnet.rsa.rdms import RDMs, align_conditions, as_rdms
from brainnet.scores import VoxelTest, fdr

AT_ONCE = 2**24  # entries of permuted RDMs


def by_time(
    subjects: Any,
    *,
    metric: str = "unknown",
    names: Iterable[str] | None = None,
    conditions: Iterable[str] | None = None,
) -> list[RDMs]:
    """RDMs of all subjects at each time point, from one array.

    Args:
        subjects: (n_subjects, n_times, n, n) square matrices, the layout of most M/EEG files, or
            (n_subjects, n_times, n_pairs).
        metric: how they were measured.
        names: one per subject.
        conditions: one per row.

    Returns:
        One ``RDMs`` of n_subjects RDMs per time point.

    >>> course = by_time(torch.rand(3, 5, 6))
    >>> len(course), course[0]
    (5, RDMs(3 x 4 conditions, metric='unknown', torch.float32))
    """
    values = as_float_tensor(subjects, "subjects")
    if values.ndim not in (3, 4):
        raise ValueError(
            f"expected (n_subjects, n_times, n, n) or (n_subjects, n_times, n_pairs), got {tuple(values.shape)}."
        )
    names = None if names is None else tuple(names)
    conditions = None if conditions is None else tuple(conditions)
    build = RDMs.from_square if values.ndim == 4 else RDMs
    return [build(values[:, t], metric, names, conditions) for t in range(values.shape[1])]


def fusion(
    fmri: Mapping[str, RDMs | Any],
    meeg: Sequence[RDMs],
    times: Iterable | None = None,
    method: str = "spearman",
    **settings: Any,
) -> Evaluation:
    """When the representation of each fMRI region is that of the M/EEG signal: similarity over time, region by region.

    The fMRI subjects of a region are pooled to the RDM closest to all under the comparison; each M/EEG subject's RDM is
    compared with it at each time, and inference runs over M/EEG subjects, conditions or both.

    Args:
        fmri: region -> one RDM per fMRI subject.
        meeg: per time point, one RDM per M/EEG subject; see :func:`by_time`.
        times: one per time point.
        method: name of a comparison.
        **settings: of ``evaluate``, such as ``test="permutation", correction="max"``.

    Returns:
        An ``Evaluation`` whose models are the regions.

    Reference: Cichy, Pantazis and Oliva (2014), Nature Neuroscience 17, 455-462.

    >>> rng = torch.Generator().manual_seed(0)
    >>> course = by_time(torch.rand(4, 3, 66, generator=rng))
    >>> found = fusion({"V1": torch.rand(5, 66, generator=rng)}, course, generalise="subjects", progress=False)
    >>> found.table[["model", "time"]].values.tolist()
    [['V1', 0], ['V1', 1], ['V1', 2]]
    """
    if not isinstance(fmri, Mapping) or not fmri:
        raise ValueError("fmri must map region names to RDMs, such as {'V1': rdms_v1, 'IT': rdms_it}.")
    regions = {}
    for name, rdms in fmri.items():
        rdms = as_rdms(rdms)
        regions[name] = pool(rdms, method, name="") if len(rdms) > 1 else rdms
    return evaluate(regions, {"": list(meeg)}, method, times=times, **settings)


@dataclass(frozen=True, eq=False)
class ModelTimeRSA:
    """Model time by brain time.

    Args:
        similarity: (n_candidates, n_times) mean over subjects of every layer and step with the brain at every time, on
            all conditions: for pictures, not for tests.
        layers: (n_candidates,) names.
        steps: (n_candidates,) the step within the layer, from 0.
        score: (n_times, n_subjects) of the candidate chosen on other conditions (and subjects).
        chosen: (n_times,) the candidate chosen most often.
        agreement: (n_times,) share of the choices that fell on it; 1 / n_candidates is chance.
        test: p-values of the mean score at each time; ``p_max`` is family-wise over times. None without permutations.

    >>> rng = torch.Generator().manual_seed(0)
    >>> steps, noise = torch.rand(3, 66, generator=rng), torch.rand(4, 3, 66, generator=rng)
    >>> found = ct_rsa({"block": steps}, by_time(steps + 0.3 * noise), generator=rng, progress=False)
    >>> found.table(times=[0.05, 0.1, 0.15])[["time", "layer", "step"]].values.tolist()
    [[0.05, 'block', 0], [0.1, 'block', 1], [0.15, 'block', 2]]
    """

    similarity: Tensor
    layers: tuple[str, ...]
    steps: Tensor
    score: Tensor
    chosen: Tensor
    agreement: Tensor
    test: VoxelTest | None

    def layer(self, name: str) -> Tensor:
        """(n_steps, n_times) mean similarity of one layer's steps, for ``plot.time_by_time``."""
        rows = [i for i, layer in enumerate(self.layers) if layer == name]
        if not rows:
            raise ValueError(f"no layer named {name!r}; there are {', '.join(dict.fromkeys(self.layers))}.")
        return self.similarity[rows]

    def table(self, times: Iterable | None = None) -> Any:
        """A DataFrame with one row per brain time: time, score, sem, layer, step, agreement, p, p_fdr, p_max."""
        import pandas as pd

        n_times, n_subjects = self.score.shape
        missing = torch.full((n_times,), torch.nan, dtype=torch.float64)
        p = {name: missing if self.test is None else getattr(self.test, name) for name in ("p", "p_fdr", "p_max")}
        return pd.DataFrame(
            {
                "time": list(range(n_times) if times is None else times),
                "score": self.score.mean(1).numpy(),
                "sem": (self.score.std(1) / n_subjects**0.5).numpy() if n_subjects > 1 else missing.numpy(),
                "layer": [self.layers[i] for i in self.chosen.tolist()],
                "step": self.steps[self.chosen].numpy(),
                "agreement": self.agreement.numpy(),
                **{name: values.numpy() for name, values in p.items()},
            }
        )

    def __repr__(self) -> str:
        n_layers = len(set(self.layers))
        return f"ModelTimeRSA({len(self.layers)} steps of {n_layers} layers x {len(self.score)} brain times)"


def ct_rsa(
    layers: Mapping[str, RDMs | Any],
    subjects: Sequence[RDMs],
    method: str = "spearman",
    *,
    over_subjects: bool = True,
    n_folds: int = 2,
    n_repeats: int = 4,
    n_permutations: int = 0,
    generator: torch.Generator,
    progress: bool = True,
) -> ModelTimeRSA:
    """Similarity of every model step with the brain at every time, and the score of the best step, honestly chosen.

    At each brain time the candidate (layer and step) with the highest mean similarity is chosen on the training
    conditions of the other subjects and scored on the test conditions of the subject left out. On noise the score is 0
    on average, where the plain maximum is not.

    Args:
        layers: layer -> RDMs, one per step of the model (time steps, recurrent passes, video frames); layers may differ
            in their number of steps, and a network without time has one.
        subjects: per brain time, one RDM per subject; see :func:`by_time`.
        method: "spearman", "pearson", "rho-a", "cosine" or "cka".
        over_subjects: choose on the other subjects (two are needed at least), not on the subject itself.
        n_folds, n_repeats: parts the conditions are cut into, and how often anew.
        n_permutations: label permutations, alike for subjects and times, each with its own choice; 0 tests nothing.
        generator: a seeded CPU generator of splits and permutations.
        progress: show a progress bar.

    Raises:
        ValueError: NaN or constant RDMs, other conditions, folds too small, one subject with ``over_subjects``.

    >>> rng = torch.Generator().manual_seed(0)
    >>> steps, noise = torch.rand(3, 66, generator=rng), torch.rand(4, 3, 66, generator=rng)
    >>> found = ct_rsa({"block": steps}, by_time(steps + 0.3 * noise), generator=rng, progress=False)
    >>> found.chosen.tolist()     # the brain runs through the model's steps
    [0, 1, 2]
    """
    if method not in PRODUCTS:
        raise ValueError(f"method must be one of {', '.join(PRODUCTS)} in ct_rsa, got {method!r}.")
    candidates, names, steps, y = _checked(layers, subjects)
    n_times, n_subjects, n_pairs = y.shape
    if over_subjects and n_subjects < 2:
        raise ValueError(
            "the choice is made on other subjects, but there is one: pass over_subjects=False to choose on separate"
            " conditions of the same subject."
        )
    n = n_conditions_of(n_pairs)
    splits = [
        tuple(pair_index(part, n).to(y.device) for part in (split.train, split.test))
        for split in condition_splits(n, n_folds, n_repeats, generator)
    ]
    score, votes = _chosen_scores(candidates, y, splits, method, over_subjects)
    everything = compare(candidates, y.flatten(0, 1), method).view(len(candidates), n_times, n_subjects).mean(2)
    counts = votes.flatten(0, 1).mT  # (n_times, n_votes)
    chosen = counts.mode(1).values
    test = None
    if n_permutations:
        orders = draw_orders(n, n_permutations, generator).split(max(1, AT_ONCE // y.numel()))
        null = torch.cat(
            [
                _permuted_scores(candidates, y, part, splits, method, over_subjects)
                for part in progress_bar(orders, f"{n_permutations:,} permutations", len(orders), progress)
            ]
        )
        test = _test(score.mean(1), null)
    return ModelTimeRSA(
        everything.cpu(), names, steps, score.cpu(), chosen.cpu(),
        (counts == chosen[:, None]).double().mean(1).cpu(), test,
    )  # fmt: skip


def by_step(
    features: Any, metric: str = "correlation", *, conditions: Iterable[str] | None = None,
    names: Iterable[str] | None = None, **options: Any,
) -> RDMs:  # fmt: skip
    """One RDM per time step of a model: frames of clips, moments of sounds, words of texts.

    Args:
        features: (n_conditions, n_steps, ...) what a layer gives for every stimulus at every step; all axes behind the
            steps are one pattern. Frames of a clip are conditions themselves where a film is compared with itself over
            time: then pass (n_frames, n_features) to :func:`brainnet.rsa.rdm`.
        metric, conditions, **options: see :func:`brainnet.rsa.rdm`.
        names: one per step; counted from 0 by default.

    Returns:
        RDMs in the order of the steps, a model of :func:`ct_rsa`.

    Raises:
        ValueError: features without an axis of steps, or that :func:`brainnet.rsa.rdm` refuses.

    >>> by_step(torch.rand(6, 3, 4, 4, generator=torch.Generator().manual_seed(0)))
    RDMs(3 x 6 conditions, metric='correlation', torch.float32)
    """
    values = as_float_tensor(features, "features")
    if values.ndim < 3:
        raise ValueError(f"features by step are (n_conditions, n_steps, ...), got {tuple(values.shape)}.")
    return rdm(values.flatten(2).transpose(0, 1), metric, conditions=conditions, names=names, **options)


def lagged(similarity: Any, step: float, times: Sequence[float]) -> tuple[Tensor, Tensor]:
    """The similarity of a model's steps with brain times, by the time that the brain is behind the model.

    Args:
        similarity: (n_steps, n_times), as of :meth:`ModelTimeRSA.layer`.
        step: seconds from one step of the model to the next; the first one is at 0 s.
        times: (n_times,) seconds of the brain.

    Returns:
        lags: (n_lags,) brain time minus model time in seconds, ascending.
        values: (n_steps, n_lags), NaN where no brain time is so far behind a step.

    >>> lags, values = lagged([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], 0.5, [0.0, 0.5, 1.0])
    >>> lags.tolist(), values.tolist()
    ([-0.5, 0.0, 0.5, 1.0], [[nan, 0.0, 1.0, 0.0], [0.0, 0.0, 1.0, nan]])
    """
    similarity, times = torch.as_tensor(similarity, dtype=torch.float64), torch.as_tensor(times, dtype=torch.float64)
    if similarity.ndim != 2 or similarity.shape[1] != len(times) or not step > 0:
        raise ValueError(
            f"similarity must be (n_steps, {len(times)}) and step more than 0; "
            f"got {tuple(similarity.shape)} and {step}."
        )
    of_pairs = (times - step * torch.arange(len(similarity))[:, None]).round(decimals=6)
    lags, which = of_pairs.unique(return_inverse=True)
    return lags, torch.full((len(similarity), len(lags)), torch.nan).double().scatter_(1, which, similarity)


def by_lag(similarity: Any, step: float, times: Sequence[float]) -> Any:
    """How the similarity of a model's steps with brain times depends on the time between them: a table over lags.

    Args:
        similarity, step, times: see :func:`lagged`.

    Returns:
        A DataFrame with one row per lag, brain time minus model time: lag (s), the mean similarity, and the number of
        pairs ``n``.

    >>> table = by_lag([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], 0.5, [0.0, 0.5, 1.0])
    >>> table.lag[table.similarity.idxmax()].item()
    0.5
    """
    import pandas as pd

    lags, values = lagged(similarity, step, times)
    n = (~values.isnan()).sum(0)
    return pd.DataFrame({"lag": lags.numpy(), "similarity": values.nanmean(0).numpy(), "n": n.numpy()})


def _checked(
    layers: Mapping[str, RDMs | Any], subjects: Sequence[RDMs]
) -> tuple[Tensor, tuple[str, ...], Tensor, Tensor]:
    """Candidates (n_candidates, n_pairs), their layers and steps, and the brain (n_times, n_subjects, n_pairs)."""
    if not isinstance(layers, Mapping) or not layers:
        raise ValueError("layers must map layer names to RDMs, one RDM per model step.")
    course = [as_rdms(rdms) for rdms in subjects]
    if not course or len({len(rdms) for rdms in course}) != 1:
        raise ValueError("every brain time needs the same subjects; see by_time().")
    values, names, steps = [], [], []
    for name, rdms in layers.items():
        rdms = align_conditions(course[0], as_rdms(rdms))[1]
        check_usable(rdms)
        values.append(rdms.values)
        names += [str(name)] * len(rdms)
        steps += range(len(rdms))
    aligned = [align_conditions(course[0], rdms)[1] for rdms in course]
    for rdms in aligned:
        check_usable(rdms)
    y = torch.stack([rdms.values for rdms in aligned])
    return torch.cat(values).to(y), tuple(names), torch.tensor(steps), y


def _chosen_scores(
    candidates: Tensor, y: Tensor, splits: list[tuple[Tensor, Tensor]], method: str, over_subjects: bool
) -> tuple[Tensor, Tensor]:
    """Scores (..., n_subjects) of the chosen candidates, mean over splits; choices (n_splits, n_subjects, ...).

    ``y`` is (..., n_subjects, n_pairs).
    """
    shape, n_subjects = y.shape[:-2], y.shape[-2]
    flat = y.reshape(-1, y.shape[-1])
    total, votes = 0.0, []
    for train, test in splits:
        fitted, held_out = (
            (embed(candidates[:, pairs], method, {}) @ embed(flat[:, pairs], method, {}).T).view(
                len(candidates), *shape, n_subjects
            )
            for pairs in (train, test)
        )
        if over_subjects:
            fitted = fitted.sum(-1, keepdim=True) - fitted
        choice = fitted.argmax(0, keepdim=True)
        total = total + held_out.gather(0, choice)[0]
        votes.append(choice[0].movedim(-1, 0))
    return total / len(splits), torch.stack(votes)


def _permuted_scores(candidates, y, orders: Tensor, splits, method: str, over_subjects: bool) -> Tensor:
    """(n_permutations, n_times) mean scores under permuted labels."""
    n_times, n_subjects, _ = y.shape
    moved = permuted(y.flatten(0, 1), orders).unflatten(0, (n_times, n_subjects)).movedim(2, 0)
    return _chosen_scores(candidates, moved, splits, method, over_subjects)[0].mean(-1)


def _test(score: Tensor, null: Tensor) -> VoxelTest:
    """P-values (n_times,) from null scores (n_permutations, n_times).

    The family-wise p compares z-scores, by the mean and SD of a time's own chance scores and its score: chance spreads
    more at some times than at others, and the largest score would be of these.
    """
    tie = 1e-12 if score.dtype == torch.float64 else 1e-6
    n = len(null) + 1
    p = ((null >= score - tie).sum(0) + 1).double() / n
    known = torch.cat([score[None], null])
    sd = known.std(0, correction=0)
    z = (known - known.mean(0)) / torch.where(sd > 0, sd, torch.inf)
    p_max = ((z[1:].amax(1)[:, None] >= z[0] - 10 * tie).sum(0) + 1).double() / n
    return VoxelTest(*(part.cpu() for part in (score, p, fdr(p, p_max), p_max)))

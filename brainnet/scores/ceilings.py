"""Noise ceilings: the best score a perfect model could reach on responses measured with noise.

Every ceiling says how it was defined and for how many averaged repeats, because both change the number: a mean of
three repeats has a higher ceiling than one repeat. Estimates are never clipped into looking sound: where repeats
agree less than chance, the ceiling is NaN (split halves) or 0 (variance components, as in the NSD paper).

Repeats are (n_images, n_repeats, n_voxels) with NaN where a repeat is missing. Sessions that differ in gain or offset
must be z-scored per session first, else their differences count as noise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from brainnet.scores.agreement import pearson_r


@dataclass(frozen=True, eq=False)
class NoiseCeiling:
    """The largest score per voxel, and what it means.

    Args:
        r: (n_voxels,) float64, the largest Pearson r of a perfect, noiseless model. NaN where undefined.
        definition: how it was estimated, in words.
        n_repeats: K, how many repeats are averaged in the responses to be scored.

    >>> ceiling = NoiseCeiling(torch.tensor([0.5, 0.7, 0.9]), "ncsnr of three repeats", n_repeats=3)
    >>> ceiling.r2[0].item(), ceiling
    (0.25, NoiseCeiling(median r 0.700, K = 3: ncsnr of three repeats))
    """

    r: Tensor
    definition: str
    n_repeats: int

    @property
    def r2(self) -> Tensor:
        """(n_voxels,) float64, the largest R2, which is the reliable share of the variance, ``r`` squared."""
        return self.r.square()

    def __repr__(self) -> str:
        return f"NoiseCeiling(median r {self.r.nanmedian():.3f}, K = {self.n_repeats}: {self.definition})"


def ncsnr(repeats: Any) -> Tensor:
    """Noise-ceiling signal-to-noise ratio: SD of the signal over SD of the noise of one repeat, one per voxel.

    The noise variance is that between repeats of an image (pooled, unbiased); the signal variance is that of the image
    means less the noise left in them, 0 where that is negative.

    Args:
        repeats: (n_images, n_repeats, n_voxels), NaN where missing; some image needs two repeats.

    Returns:
        (n_voxels,) float64, at least 0; NaN where no image has two repeats or nothing varies.

    Reference: Allen et al. (2022), Nature Neuroscience 25, 116-126, "Noise ceiling estimation".

    >>> ncsnr([[[1.0], [3.0]], [[5.0], [7.0]], [[3.0], [5.0]]])    # noise 2; means 2, 6, 4 have variance 4 = 3 + 2/2
    tensor([1.2247], dtype=torch.float64)
    """
    repeats = _check_repeats(repeats)
    present = ~repeats.isnan()
    count = present.sum(1)  # (n_images, n_voxels)
    seen = count > 0
    n_seen = seen.sum(0)
    mean = repeats.nanmean(1)
    noise = torch.where(present, repeats - mean[:, None], 0.0).square().sum((0, 1)) / (count - 1).clamp(min=0).sum(0)
    grand = mean.nanmean(0)
    between = torch.where(seen, mean - grand, 0.0).square().sum(0) / (n_seen - 1)
    left_in_means = noise * torch.where(seen, 1 / count, 0.0).sum(0) / n_seen
    return ((between - left_in_means).clamp(min=0) / noise).sqrt()


def ceiling_from_ncsnr(ncsnr: Any, n_repeats: int) -> NoiseCeiling:
    """The ceiling for the mean of K repeats from a signal-to-noise map, published or by :func:`ncsnr`.

    R2 = q^2 / (q^2 + 1/K), with q the ncsnr; r is its square root.

    Args:
        ncsnr: (n_voxels,), at least 0.
        n_repeats: K, repeats averaged in the responses to be scored.

    >>> ceiling_from_ncsnr([1.0], n_repeats=3).r2
    tensor([0.7500], dtype=torch.float64)
    """
    _check_count(n_repeats)
    signal = torch.as_tensor(ncsnr).double().square()
    if (signal.isinf()).any():
        signal = signal.clamp(max=torch.finfo(torch.float64).max)  # repeats without noise: the ceiling is 1
    return NoiseCeiling((signal / (signal + 1 / n_repeats)).sqrt(), "ncsnr: q^2 / (q^2 + 1/K)", n_repeats)


def explainable_variance(repeats: Any) -> Tensor:
    """Share of a single repeat's variance that another repeat shares, one per voxel: signal / (signal + noise).

    Bias-corrected: it is the mean covariance between two repeats over the mean variance of one, so each repeat's own
    mean over images is taken out, and it can be negative.

    Args:
        repeats: (n_images, n_repeats, n_voxels); NaN where missing. A pair counts by the images it shares.

    Returns:
        (n_voxels,) float64, at most 1.

    Reference: Schoppe et al. (2016), Frontiers in Computational Neuroscience 10, 10; as in voxelwise modeling.

    >>> explainable_variance([[[1.0], [3.0]], [[5.0], [7.0]], [[3.0], [5.0]]])    # repeats differ by an offset only
    tensor([1.], dtype=torch.float64)
    """
    repeats = _check_repeats(repeats)
    covariance, variance, pairs = (repeats.new_zeros(repeats.shape[2]) for _ in range(3))
    for i in range(repeats.shape[1]):
        for j in range(i):
            x, y, shared = _shared(repeats[:, i], repeats[:, j])
            weight = (shared.sum(0) - 1).clamp(min=0).double()
            covariance += (x * y).sum(0)
            variance += (x.square().sum(0) + y.square().sum(0)) / 2
            pairs += weight
    return torch.where(pairs > 0, covariance / variance, torch.nan)


def ceiling_from_explainable_variance(explainable: Any, n_repeats: int) -> NoiseCeiling:
    """The ceiling for the mean of K repeats from the explainable share of one: R2 = K e / (1 + (K - 1) e).

    Args:
        explainable: (n_voxels,), at most 1; negative values have no ceiling (NaN).
        n_repeats: K, repeats averaged in the responses to be scored.

    >>> ceiling_from_explainable_variance([0.5], n_repeats=1).r2
    tensor([0.5000], dtype=torch.float64)
    """
    _check_count(n_repeats)
    reliability = spearman_brown(torch.as_tensor(explainable).double(), n_repeats)
    return NoiseCeiling(reliability.sqrt(), "explainable variance, raised to K repeats", n_repeats)


def split_half_r(
    repeats: Any, halves: str = "odd-even", n_splits: int = 100, generator: torch.Generator | None = None
) -> Tensor:
    """Pearson correlation across images between the means of two halves of the repeats, one per voxel.

    Not yet raised to the full number of repeats, see :func:`ceiling_from_split_half`.

    Args:
        repeats: (n_images, n_repeats, n_voxels), NaN where missing; an image counts where both halves have it.
        halves: "odd-even" (one split: repeats 0, 2, 4, ... against 1, 3, 5, ...) or "random" (mean of ``n_splits``).
        n_splits: number of random splits.
        generator: a seeded CPU generator, required for random halves.

    >>> split_half_r([[[1.0], [3.0]], [[5.0], [7.0]], [[3.0], [5.0]]])
    tensor([1.], dtype=torch.float64)
    """
    repeats = _check_repeats(repeats)
    return _split_half_r(repeats, _splits(repeats.shape[1], halves, n_splits, generator))


def _split_half_r(repeats: Tensor, splits: list[tuple[Tensor, Tensor]]) -> Tensor:
    total = repeats.new_zeros(repeats.shape[2])
    for first, second in splits:
        x, y, _ = _shared(repeats[:, first].nanmean(1), repeats[:, second].nanmean(1))
        total += (x * y).sum(0) / (x.square().sum(0) * y.square().sum(0)).sqrt()
    return total / len(splits)


def ceiling_from_split_half(
    repeats: Any,
    n_repeats: int | None = None,
    halves: str = "odd-even",
    n_splits: int = 100,
    generator: torch.Generator | None = None,
) -> NoiseCeiling:
    """The ceiling from split halves: reliability by Spearman-Brown, its square root on the scale of r.

    Args:
        repeats, halves, n_splits, generator: as in :func:`split_half_r`.
        n_repeats: K, repeats averaged in the responses to be scored; by default all that are here. With missing
            repeats it must be given; halves then count by the harmonic mean of what they hold.

    Returns:
        NaN where halves correlate negatively: dropping those voxels biases a mean of ceilings upwards.

    Raises:
        ValueError: repeats are missing and ``n_repeats`` is not given.

    >>> ceiling_from_split_half([[[1.0], [3.0]], [[5.0], [7.0]], [[3.0], [5.0]]])
    NoiseCeiling(median r 1.000, K = 2: split halves (odd-even), Spearman-Brown)
    """
    repeats = _check_repeats(repeats)
    present = ~repeats.isnan()
    if n_repeats is None and not present.all():
        raise ValueError("some repeats are missing: for how many averaged repeats is the ceiling? Give n_repeats=.")
    n_repeats = repeats.shape[1] if n_repeats is None else n_repeats
    _check_count(n_repeats)
    splits = _splits(repeats.shape[1], halves, n_splits, generator)
    in_half = 1 / torch.stack([_mean_noise(present[:, half]) for split in splits for half in split]).mean(0)
    reliability = spearman_brown(_split_half_r(repeats, splits), n_repeats / in_half)
    return NoiseCeiling(reliability.sqrt(), f"split halves ({halves}), Spearman-Brown", n_repeats)


def _mean_noise(present: Tensor) -> Tensor:
    """Noise variance left in the mean of the repeats, in units of one repeat's, averaged over images with any."""
    count = present.sum(1).double()
    return torch.where(count > 0, 1 / count, torch.nan).nanmean(0)


def spearman_brown(reliability: Tensor, factor: float | Tensor) -> Tensor:
    """Reliability of ``factor`` times as many repeats: f r / (1 + (f - 1) r); NaN where it is negative.

    >>> spearman_brown(torch.tensor(0.5), 2)
    tensor(0.6667)
    """
    raised = factor * reliability / (1 + (factor - 1) * reliability)
    return torch.where(reliability >= 0, raised, torch.nan)


def leave_one_subject_out(subjects: Any, bound: str = "lower") -> NoiseCeiling:
    """How far subjects agree, per voxel: Pearson r across images of each with the mean of subjects, averaged.

    Args:
        subjects: (n_subjects, n_images, n_voxels), columns that correspond (one template, ROI means).
        bound: "lower" compares each subject with the mean of the *others* (under-estimates), "upper" with the mean of
            all, itself included (over-estimates). Subjects are z-scored per voxel before averaging.

    >>> same = torch.tensor([[0.0], [1.0], [3.0]])
    >>> leave_one_subject_out(torch.stack([same, same])).r
    tensor([1.], dtype=torch.float64)
    """
    subjects = torch.as_tensor(subjects).double()
    if subjects.ndim != 3 or len(subjects) < 2:
        raise ValueError(f"expected (n_subjects >= 2, n_images, n_voxels), got {tuple(subjects.shape)}.")
    if bound not in ("lower", "upper"):
        raise ValueError(f"bound is 'lower' or 'upper', got {bound!r}.")
    z = (subjects - subjects.mean(1, keepdim=True)) / subjects.std(1, keepdim=True)
    total = z.sum(0)
    r = torch.stack([pearson_r(total - own if bound == "lower" else total, own) for own in z]).mean(0)
    others = "the others" if bound == "lower" else "all, itself included"
    return NoiseCeiling(r, f"mean over {len(z)} subjects of r with the mean of {others} ({bound} bound)", 1)


def repeat_ceiling(
    score: Callable[[Tensor, Tensor], Any],
    repeats: Any,
    halves: str = "odd-even",
    n_splits: int = 100,
    generator: torch.Generator | None = None,
) -> Tensor:
    """What one half of the repeats scores as a prediction of the other: a ceiling for scores that have no formula.

    For ``pattern_r``, ``versa`` or one part of ``identification``. It is the agreement of two noisy halves, so it
    under-estimates what a noiseless model could reach.

    Args:
        score: ``(prediction, response) -> number or tensor``.
        repeats, halves, n_splits, generator: as in :func:`split_half_r`.

    >>> repeat_ceiling(pearson_r, [[[1.0], [3.0]], [[5.0], [7.0]], [[3.0], [5.0]]])
    tensor([1.], dtype=torch.float64)
    """
    repeats = _check_repeats(repeats)
    splits = _splits(repeats.shape[1], halves, n_splits, generator)
    scores = [torch.as_tensor(score(repeats[:, a].nanmean(1), repeats[:, b].nanmean(1))) for a, b in splits]
    return torch.stack(scores).double().mean(0)


def _check_repeats(repeats: Any) -> Tensor:
    repeats = torch.as_tensor(repeats).double()
    if repeats.ndim != 3 or repeats.shape[1] < 2:
        raise ValueError(
            "repeats must be (n_images, n_repeats >= 2, n_voxels), NaN where one is missing; "
            f"got {tuple(repeats.shape)}."
        )
    return repeats


def _check_count(n_repeats: int) -> None:
    if n_repeats < 1:
        raise ValueError(f"n_repeats is the number of repeats averaged in the responses, at least 1; got {n_repeats}.")


def _splits(
    n_repeats: int, halves: str, n_splits: int, generator: torch.Generator | None
) -> list[tuple[Tensor, Tensor]]:
    order = torch.arange(n_repeats)
    if halves == "odd-even":
        return [(order[0::2], order[1::2])]
    if halves != "random":
        raise ValueError(f"halves is 'odd-even' or 'random', got {halves!r}.")
    if generator is None:
        raise ValueError("random halves need generator=, a seeded torch.Generator; unseeded ones cannot be repeated.")
    shuffled = (torch.randperm(n_repeats, generator=generator) for _ in range(n_splits))
    return [(order[: n_repeats // 2], order[n_repeats // 2 :]) for order in shuffled]


def _shared(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Both (n_images, n_voxels) centered over the images where both are present and 0 elsewhere; and that mask."""
    shared = ~(x.isnan() | y.isnan())
    count = shared.sum(0)
    centred = []
    for values in (x, y):
        values = torch.where(shared, values, 0.0)
        centred.append(torch.where(shared, values - values.sum(0) / count, 0.0))
    return centred[0], centred[1], shared

"""How sure a score is: intervals over images, tests against chance, paired differences of models.

Resampling n images R times is a matrix of multiplicities (R, n), so all resamples of all voxels are a few matrix
products and no copy of the data is made. Tests draw the same resample for every voxel, which keeps the correlation
between voxels: the largest z-score over voxels then corrects for their number (max-stat). Every draw comes from a
generator the caller seeds.
"""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from brainnet.scores.agreement import check_pair, pearson_r, r2
from brainnet.scores.blocks import block_numbers, multiplicities, orders, swaps

SCORES = {"pearson_r": pearson_r, "r2": r2}
_ELEMENTS_AT_ONCE = 1 << 22
_TAIL = 1.5  # SDs from which on a voxel is compared with the resamples of all voxels; below, its p is large anyway


class Interval(NamedTuple):
    """A number and the limits of its interval."""

    mean: float
    low: float
    high: float


class VoxelTest(NamedTuple):
    """A statistic per voxel and its p-values: ``p`` alone, ``p_fdr`` (false discoveries) and ``p_max`` (family-wise).

    All (n_voxels,) float64; NaN for voxels without a score. ``p`` and ``p_max`` are at least 1 / (n_resamples + 1).
    ``p_fdr`` compares each voxel with the resamples of *all* voxels, so that it can be as small as that whatever the
    number of voxels. It is never above ``p_max``, see :func:`fdr`.
    """

    statistic: Tensor
    p: Tensor
    p_fdr: Tensor
    p_max: Tensor


def bootstrap_scores(
    prediction: Any,
    response: Any,
    score: str = "pearson_r",
    n_resamples: int = 1000,
    groups: Any = None,
    *,
    blocks: Any = None,
    generator: torch.Generator,
) -> Tensor:
    """The mean score over voxels in resamples of the images, drawn with replacement; voxels stay as they are.

    Args:
        prediction, response: (n_images, n_voxels).
        score: "pearson_r" or "r2".
        n_resamples: number of resamples R.
        groups: (n_groups, n_voxels) bool, for instance ROIs; None is one group of all voxels. Voxels without a score
            (constant, NaN) are left out.
        blocks: (n_images,) label of the block of each image, for volumes of a time series: whole blocks are drawn, as
            :func:`brainnet.series.block_labels` makes them. None draws each image on its own.
        generator: a seeded CPU generator; two models get paired intervals from two generators with the same seed.

    Returns:
        (n_resamples, n_groups) float64; see :func:`interval`.

    Reference: Efron and Tibshirani (1993), An Introduction to the Bootstrap, chapter 13; Kuensch (1989), Annals of
    Statistics 17, 1217-1241 (blocks).

    >>> seeded = torch.Generator().manual_seed(0)
    >>> response = torch.randn(50, 3, generator=seeded)
    >>> bootstrap_scores(response, response, n_resamples=4, generator=seeded)[:, 0].round(decimals=6)
    tensor([1., 1., 1., 1.], dtype=torch.float64)
    """
    prediction, response = check_pair(prediction, response)
    _check_score(score)
    n_images, n_voxels = response.shape
    scored = ~SCORES[score](prediction, response).isnan()
    groups = torch.ones(1, n_voxels, dtype=torch.bool) if groups is None else torch.as_tensor(groups)
    if groups.ndim != 2 or groups.shape[1] != n_voxels:
        raise ValueError(f"groups must be (n_groups, {n_voxels}) bool, got {tuple(groups.shape)}.")
    groups = (groups.to(scored.device) & scored).double()
    weights = multiplicities(n_images, n_resamples, generator, block_numbers(blocks, n_images)).to(response.device)
    total, count = (response.new_zeros(n_resamples, len(groups), dtype=torch.float64) for _ in range(2))
    for voxels in _batches(n_voxels, n_images + n_resamples):
        value = _weighted_score(score, prediction[:, voxels], response[:, voxels], weights)
        defined = ~value.isnan()  # a resample may by chance hold one image only
        total += torch.where(defined, value, 0.0) @ groups[:, voxels].T
        count += defined.double() @ groups[:, voxels].T
    return total / count


def interval(mean: float, samples: Any, level: float = 0.95) -> Interval:
    """A mean with the percentile interval of its resamples, moved by their bias; NaN left out.

    A resample repeats images, so its R2 and r are lower than those of as many different ones. A mean over voxels keeps
    that bias while its spread shrinks: with 20 images and 40 voxels the plain percentile interval of R2 held its own
    estimate in 57 of 100 simulated studies and the expected one in 55. Moved so that the resamples' mean is the
    estimate it holds them in 100 and 99; intervals of r hold the expected one in 94 to 96 (plain: 75 to 93).

    Reference: Efron and Tibshirani (1993), An Introduction to the Bootstrap, chapters 10 (bias) and 13 (percentiles).

    >>> interval(55.0, range(101), level=0.5)
    Interval(mean=55.0, low=30.0, high=80.0)
    """
    samples = torch.as_tensor(samples).double()
    samples = samples + (mean - samples.nanmean())
    tail = (1 - level) / 2
    low, high = (samples.nanquantile(q).item() for q in (tail, 1 - tail))
    return Interval(float(mean), low, high)


def above_chance(
    prediction: Any,
    response: Any,
    score: str = "pearson_r",
    n_permutations: int = 1000,
    *,
    blocks: Any = None,
    generator: torch.Generator,
) -> VoxelTest:
    """Whether each voxel scores above chance: one-sided permutation test over images.

    The images of the responses are shuffled against the predictions, alike for all voxels. Valid for images that are
    exchangeable (separate stimuli). Volumes of a time series are not: neighbors are alike, and without ``blocks`` a
    fifth and more of pure noise is called significant at .05.

    Args:
        prediction, response: (n_images, n_voxels), of images the model was not trained on.
        score: "pearson_r" or "r2".
        n_permutations: ``p`` and ``p_max`` are at least 1 / (n_permutations + 1): below 19 no voxel can reach .05.
            ``p_fdr`` compares voxels with the permutations of all voxels, so 1,000 are enough for a whole brain.
        blocks: (n_images,) label of the block of each image, see :func:`brainnet.series.block_labels`: whole blocks are
            laid in a new order. They should be several times as long as responses stay alike, and seven or more: five
            blocks have 120 orders. None shuffles single images.
        generator: a seeded CPU generator.

    Reference: Nichols and Holmes (2002), Human Brain Mapping 15, 1-25 (max-stat); Storey and Tibshirani (2003), PNAS
    100(16), 9440-9445 (the null distribution pooled over the tests, for the false discovery rate).

    >>> seeded = torch.Generator().manual_seed(0)
    >>> response = torch.randn(50, 3, generator=seeded)
    >>> above_chance(response, response, n_permutations=99, generator=seeded).p_max
    tensor([0.0100, 0.0100, 0.0100], dtype=torch.float64)
    """
    prediction, response = check_pair(prediction, response)
    _check_score(score)
    statistic = SCORES[score](prediction, response)
    if n_permutations < 19:
        warnings.warn(
            f"{n_permutations} permutations give p-values of at least {1 / (n_permutations + 1):.2g}: their number "
            "decides that no voxel is significant at .05. Take 19 or more.",
            stacklevel=2,
        )
    shuffled = orders(len(response), n_permutations, generator, block_numbers(blocks, len(response)))
    shuffled = shuffled.to(response.device)

    def null(voxels: slice) -> Tensor:
        p, y = prediction[:, voxels].double(), response[:, voxels].double()
        p, y = p - p.mean(0), y - y.mean(0)
        product = torch.stack([(p * y[order]).sum(0) for order in shuffled])
        if score == "pearson_r":
            norm = (p.square().sum(0) * y.square().sum(0)).sqrt()
            return torch.where(norm > 0, product / norm, 0.0)
        offset = len(p) * (prediction[:, voxels].double().mean(0) - response[:, voxels].double().mean(0)).square()
        total = y.square().sum(0)
        return 1 - (p.square().sum(0) + total - 2 * product + offset) / total

    return _test(statistic, null, len(response) + n_permutations)


class PairedDifference(NamedTuple):
    """Score of model a minus model b: ``test`` per voxel (two-sided), ``mean`` over voxels with its interval."""

    test: VoxelTest
    mean: Interval


def paired_difference(
    prediction_a: Any,
    prediction_b: Any,
    response: Any,
    score: str = "pearson_r",
    n_resamples: int = 1000,
    level: float = 0.95,
    *,
    blocks: Any = None,
    generator: torch.Generator,
) -> PairedDifference:
    """Whether model a scores better than model b on the same images, per voxel and on average.

    Per voxel: on each image the two predictions are swapped or not at random, alike for all voxels, which leaves
    scores unchanged in distribution if the models are equally good; two-sided. For ``pearson_r`` predictions are
    z-scored per voxel first, so that their gains do not matter. The mean over voxels has a bootstrap interval over
    images, both models resampled alike.

    Args:
        prediction_a, prediction_b, response: (n_images, n_voxels).
        score: "pearson_r" or "r2".
        n_resamples: swaps, and bootstrap resamples.
        level: of the interval.
        blocks: (n_images,) label of the block of each image, for volumes of a time series: predictions of a whole block
            are swapped, and whole blocks resampled. None takes each image on its own.
        generator: a seeded CPU generator.

    >>> seeded = torch.Generator().manual_seed(0)
    >>> response, noise = torch.randn(2, 50, 3, generator=seeded)
    >>> found = paired_difference(response, noise, response, n_resamples=99, generator=seeded)
    >>> found.test.p.max().item() < 0.05, found.mean.low > 0.5
    (True, True)
    """
    a, response = check_pair(prediction_a, response)
    b, response = check_pair(prediction_b, response)
    _check_score(score)
    n_images = len(response)
    score_a, score_b = SCORES[score](a, response), SCORES[score](b, response)
    numbers = block_numbers(blocks, n_images)
    swapped_at = swaps(n_images, n_resamples, generator, numbers).to(response.device).double()

    def null(voxels: slice) -> Tensor:
        y = response[:, voxels].double()
        y = y - y.mean(0)
        pair = [p[:, voxels].double() for p in (a, b)]
        if score == "r2":
            # errors against the raw response: offsets count
            errors = [(response[:, voxels].double() - p).square() for p in pair]
            gap = (errors[0] - errors[1]).sum(0) - 2 * swapped_at @ (errors[0] - errors[1])
            return -gap / y.square().sum(0)
        first, second = (_standardise(p) for p in pair)
        sums = []
        for value in (second - first, second.square() - first.square(), (second - first) * y):
            sums.append(swapped_at @ value)
        both = ((first + second).sum(0), (first.square() + second.square()).sum(0), ((first + second) * y).sum(0))
        ones = (first.sum(0), first.square().sum(0), (first * y).sum(0))
        swapped = [start + moved for start, moved in zip(ones, sums, strict=True)]
        rest = [total - part for total, part in zip(both, swapped, strict=True)]
        r = [
            torch.nan_to_num(product / ((square - linear.square() / n_images) * y.square().sum(0)).sqrt())
            for linear, square, product in (swapped, rest)
        ]
        return r[0] - r[1]

    test = _test(score_a - score_b, null, n_images + n_resamples, two_sided=True)
    seed = int(torch.randint(0, 2**62, (1,), generator=generator))
    both_scored = ~(score_a - score_b).isnan()[None]  # the interval is of the mean over the same voxels
    samples = [
        bootstrap_scores(
            p, response, score, n_resamples, both_scored, blocks=blocks, generator=torch.Generator().manual_seed(seed)
        )
        for p in (a, b)
    ]
    mean = (score_a - score_b).nanmean().item()
    return PairedDifference(test, interval(mean, (samples[0] - samples[1])[:, 0], level))


def fdr(p: Any, p_max: Any = None) -> Tensor:
    """P-values adjusted for the false discovery rate: call p_fdr <= q significant at rate q. NaN is no test.

    Args:
        p: (n_tests,) p-values, adjusted by Benjamini and Hochberg.
        p_max: (n_tests,) family-wise p-values of the same tests. The result is ``min(p_max, max(BH, least p_max))``:
            at rate q it calls what the family-wise test calls and, where that calls anything, also what Benjamini and
            Hochberg call. So it never calls fewer than the family-wise test.

    Returns:
        (n_tests,) float64.

    Why the least ``p_max`` stands in the formula: where nothing is active every discovery is false, and the rate is
    the chance of having any. A rule that contains the family-wise test at q has a discovery wherever that test has one,
    in a share q of such maps. So it holds q only if it finds nothing in the other maps. With the condition the rate is
    that of the family-wise test exactly, whatever the dependence. Without it 6.8 % of 1,200 maps of noise had a
    discovery at .05, because Benjamini and Hochberg also reject in maps where the family-wise test does not.
    Where some tests are active, the rate is at most q times the share of those that are not (Benjamini and Hochberg,
    for independent or positively dependent tests), plus the chance that the family-wise test makes a false claim which
    Benjamini and Hochberg do not make. That is next to nothing for independent tests, whose family-wise bound is that
    of Sidak, and was simulated for smooth ones: ``python -m benchmarks calibration``.

    Reference: Benjamini and Hochberg (1995), J R Stat Soc B 57, 289-300; Benjamini and Yekutieli (2001), Ann Stat 29,
    1165-1188 (positive dependence).

    >>> fdr([0.01, 0.02, float("nan"), 0.5])
    tensor([0.0300, 0.0300,    nan, 0.5000], dtype=torch.float64)
    >>> fdr([0.01, 0.02, 0.5], p_max=[0.02, 0.2, 1.0])
    tensor([0.0200, 0.0300, 0.5000], dtype=torch.float64)
    >>> fdr([0.01, 0.02, 0.5], p_max=[0.06, 0.2, 1.0])    # the family-wise test calls nothing at .05
    tensor([0.0600, 0.0600, 0.5000], dtype=torch.float64)
    """
    from scipy.stats import false_discovery_control

    p = torch.as_tensor(p).double()
    adjusted, known = torch.full_like(p, torch.nan), ~p.isnan()
    if known.any():
        adjusted[known] = torch.from_numpy(np.asarray(false_discovery_control(p[known].cpu().numpy()))).to(p)
        if p_max is not None:
            family = torch.as_tensor(p_max).to(p)
            adjusted = torch.minimum(family, adjusted.clamp(min=family[known].min()))
    return adjusted


def _test(statistic: Tensor, null, rows_per_voxel: int, two_sided: bool = False) -> VoxelTest:
    """P-values of a statistic (n_voxels,) against ``null(voxels) -> (n_resamples, batch)``.

    Each voxel's statistic and resamples are z-scored by their own mean and SD. The family-wise p compares a voxel with
    the largest z over voxels in each resample: the largest statistic would be that of the voxels whose chance scores
    spread most, and decide for all others. For false discoveries a voxel is compared with the resamples of all voxels
    (Storey and Tibshirani 2003). So p-values go far below what a few hundred resamples of one voxel can show. A map of
    m voxels needs that: its smallest p has to be below q / m. Voxels share a resample, so the order of resamples
    carries their correlation.

    What passes the family-wise test is a discovery too, and where nothing passes it there is none, see :func:`fdr`.
    A map in which many voxels differ a little and none much has no discoveries, then: look at its mean.
    """
    strength = statistic.abs() if two_sided else statistic
    exceeded, slack, largest = torch.zeros_like(statistic), torch.zeros_like(statistic), None
    z, drawn_z = torch.full_like(statistic, torch.nan), []
    tolerance = 1e-12  # a resample that reproduces the data must tie with it, whatever the rounding
    for voxels in _batches(len(statistic), rows_per_voxel):
        drawn = null(voxels)
        drawn = drawn.abs() if two_sided else drawn
        undefined = statistic[voxels].isnan()
        mean, sd = _moments(torch.cat([strength[None, voxels], drawn]), two_sided)
        z[voxels] = (strength[voxels] - mean) / sd
        # only the tail decides: what lies below is in every voxel's count of what does not exceed it
        some = ((drawn - mean) / sd)[:, ~undefined]
        drawn_z.append(some[some > _TAIL].float())
        exceeded[voxels] = (drawn >= strength[voxels] - tolerance).sum(0).double()
        slack[voxels] = tolerance / sd
        top = some.max(1).values if some.shape[1] else drawn.new_full((len(drawn),), -torch.inf)
        largest = top if largest is None else torch.maximum(largest, top)
    n = len(largest)
    undefined = statistic.isnan()
    p = torch.where(undefined, torch.nan, (exceeded + 1) / (n + 1))
    reached = torch.searchsorted(largest.sort().values, z - slack)  # how many maxima lie below
    p_max = torch.where(undefined, torch.nan, (n - reached + 1) / (n + 1)).double()
    p_fdr = fdr(_pooled_p(p, z, torch.cat(drawn_z), n), p_max)
    return VoxelTest(statistic, p, p_fdr, p_max)


def _moments(values: Tensor, two_sided: bool) -> tuple[Tensor, Tensor]:
    """What each voxel's statistic and resamples are z-scored by; two-sided ones are distances from zero, and stay so.

    The statistic counts as one of its resamples, as it is one where there is no effect: scored by the others alone, it
    would seem more extreme than they are (with 200 resamples .08 of noise data sets had a discovery at .05).
    """
    if two_sided:
        mean, sd = torch.zeros_like(values[0]), values.square().mean(0).sqrt()
    else:
        mean, sd = values.mean(0), values.std(0, correction=0)
    return mean, torch.where(sd > 0, sd, torch.inf)


def _pooled_p(p: Tensor, z: Tensor, tail: Tensor, n_resamples: int) -> Tensor:
    """P-values against the resamples of all voxels together, for voxels in the tail; ``p`` for the others."""
    known = ~p.isnan()
    n = n_resamples * int(known.sum())
    tail = tail.sort().values
    beyond = len(tail) - torch.searchsorted(tail, z.float() - 1e-5)  # float32 is exact to that: a tie stays one
    return torch.where(known & (z > _TAIL + 1e-3), (beyond + 1) / (n + 1), p)


def _weighted_score(score: str, prediction: Tensor, response: Tensor, weights: Tensor) -> Tensor:
    """(n_resamples, n_voxels) scores with images counted ``weights`` (n_resamples, n_images) times."""
    n = weights.sum(1, keepdim=True)
    p, y = prediction.double(), response.double()
    error = (y - p).square()
    p, y = p - p.mean(0), y - y.mean(0)
    y_sum = weights @ y
    y_ss = weights @ y.square() - y_sum.square() / n
    few = y_ss <= 1e-12 * n * y.square().mean(0)
    if score == "r2":
        return torch.where(few, torch.nan, 1 - weights @ error / y_ss)
    p_sum = weights @ p
    p_ss = weights @ p.square() - p_sum.square() / n
    r = (weights @ (p * y) - p_sum * y_sum / n) / (p_ss * y_ss).sqrt()
    return torch.where(few, torch.nan, torch.where(p_ss <= 1e-12 * n * p.square().mean(0), 0.0, r))


def _standardise(x: Tensor) -> Tensor:
    centred = x - x.mean(0)
    return torch.nan_to_num(centred / centred.square().mean(0).sqrt())


def _batches(n_voxels: int, rows_per_voxel: int):
    step = max(1, _ELEMENTS_AT_ONCE // rows_per_voxel)
    for start in range(0, n_voxels, step):
        yield slice(start, start + step)


def _check_score(score: str) -> None:
    if score not in SCORES:
        raise ValueError(f"Unknown score {score!r}. Known: {', '.join(SCORES)}")

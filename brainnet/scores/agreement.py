"""Scores of a prediction: per voxel across images, and per image across voxels.

``pearson_r`` and ``r2`` are per voxel; ``pattern_r``, ``versa`` and ``identification`` compare images. The two kinds
answer different questions and never share a name. All sums over images are in float64, whatever comes in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

# A column whose variance is below this share of its mean square is called constant: far above the rounding of a
# float64 sum of equal numbers, far below the smallest change float32 data can show.
_CONSTANT = 1e-24
_CONSTANT_IN_SUMS = 1e-13  # one-pass sums lose more digits than centered ones
_ELEMENTS_AT_ONCE = 1 << 22  # float64 copies of this many numbers are 32 MB


def pearson_r(prediction: Any, response: Any) -> Tensor:
    """Pearson correlation across images, one per voxel.

    Args:
        prediction, response: (n_images, n_voxels), arrays or tensors.

    Returns:
        (n_voxels,) float64 in [-1, 1], on the device of ``response``. NaN where the responses are constant or hold a
        NaN. A constant *prediction* scores 0: it explains nothing, and leaving it out would flatter the mean.

    Raises:
        ValueError: the shapes differ, are not two-dimensional, or hold fewer than two images.

    >>> pearson_r([[1., 1.], [2., 0.], [3., 2.]], [[2., 5.], [4., 5.], [6., 5.]])
    tensor([1., nan], dtype=torch.float64)
    """
    prediction, response = check_pair(prediction, response)
    r = response.new_empty(response.shape[1], dtype=torch.float64)
    for voxels in voxel_batches(*response.shape):
        p, p_moves = _centre(prediction[:, voxels])
        y, y_moves = _centre(response[:, voxels])
        product = (p * y).sum(0) / (p.square().sum(0) * y.square().sum(0)).sqrt()
        r[voxels] = _with_constants(product, p_moves, y_moves)
    return r


def r2(prediction: Any, response: Any) -> Tensor:
    """Coefficient of determination across images, one per voxel: 1 - residual over total sum of squares.

    Args:
        prediction, response: (n_images, n_voxels), arrays or tensors.

    Returns:
        (n_voxels,) float64, at most 1 and without lower bound: gain and offset count, unlike in :func:`pearson_r`. NaN
        where the responses are constant or hold a NaN.

    >>> r2([[1.], [2.], [3.]], [[2.], [4.], [6.]])
    tensor([-0.7500], dtype=torch.float64)
    """
    prediction, response = check_pair(prediction, response)
    score = response.new_empty(response.shape[1], dtype=torch.float64)
    for voxels in voxel_batches(*response.shape):
        y, moves = _centre(response[:, voxels])
        residual = (response[:, voxels].double() - prediction[:, voxels].double()).square().sum(0)
        score[voxels] = torch.where(moves, 1 - residual / y.square().sum(0), torch.nan)
    return score


def split_r2(parts: Mapping[str, Any], response: Any) -> dict[str, Tensor]:
    """The product-measure split of R2 over the feature spaces whose predictions add up, one share per voxel.

    The share of a space is its prediction's product with (2 response - joint prediction) over the response's sum of
    squares, all centered on these images. Shares sum to :func:`r2` of the summed predictions; one can be negative.

    Args:
        parts: name -> (n_images, n_voxels) prediction from one space; an intercept need not be in any.
        response: (n_images, n_voxels).

    Returns:
        name -> (n_voxels,) float64, and "offset", at most 0: what the joint prediction loses by a wrong mean.

    Reference: Dupre la Tour et al. (2022), NeuroImage 264, 119728, section on the product measure.

    >>> split_r2({"a": [[1.0], [-1.0], [0.0]], "b": [[0.0], [0.0], [0.0]]}, [[1.0], [-1.0], [0.0]])["a"]
    tensor([1.], dtype=torch.float64)
    """
    if not parts or "offset" in parts:
        raise ValueError(f"parts must be one or more predictions, none called 'offset'; got {list(parts)}.")
    pairs = {name: check_pair(part, response) for name, part in parts.items()}
    response = next(iter(pairs.values()))[1]
    shares = {name: response.new_empty(response.shape[1], dtype=torch.float64) for name in (*pairs, "offset")}
    for voxels in voxel_batches(len(response) * (len(pairs) + 2), response.shape[1]):
        y, moves = _centre(response[:, voxels])
        total = torch.where(moves, y.square().sum(0), torch.nan)
        columns = {name: part[:, voxels].double() for name, (part, _) in pairs.items()}
        joint = sum(columns.values())
        offset = joint.mean(0) - response[:, voxels].double().mean(0)
        rest = 2 * y - (joint - joint.mean(0))
        for name, part in columns.items():
            shares[name][voxels] = ((part - part.mean(0)) * rest).sum(0) / total
        shares["offset"][voxels] = -len(y) * offset.square() / total
    return shares


class ScoreSums:
    """Pearson r and R2 per voxel from batches seen once: seven float64 sums per voxel, no list of predictions.

    States of several processes merge by adding ``sums`` (for instance ``torch.distributed.all_reduce(state.sums)``) or
    with ``+``. The sums live on the device of the first batch.

    Args:
        n_voxels: number of response columns.
        shift: (n_voxels,) taken off predictions and responses before summing; scores do not change, rounding does.
            Give the training mean where means exceed the standard deviation a thousandfold; the same everywhere
            before merging.

    >>> state = ScoreSums(1)
    >>> state.update([[1.], [2.]], [[2.], [4.]])
    >>> state.update([[3.]], [[6.]])
    >>> state.pearson_r(), state.r2()
    (tensor([1.], dtype=torch.float64), tensor([-0.7500], dtype=torch.float64))
    """

    def __init__(self, n_voxels: int, shift: Any = None):
        # rows: n, sum p, sum y, sum p^2, sum y^2, sum p y, sum (y - p)^2
        self.sums = torch.zeros(7, n_voxels, dtype=torch.float64)
        self.shift = None if shift is None else torch.as_tensor(shift).detach().double()
        if self.shift is not None and self.shift.shape != (n_voxels,):
            raise ValueError(f"shift must be ({n_voxels},), one number per voxel, got {tuple(self.shift.shape)}.")

    def update(self, prediction: Any, response: Any) -> None:
        """Adds a batch: prediction and response, both (B, n_voxels)."""
        prediction, response = check_pair(prediction, response, least_images=0)
        if response.shape[1] != self.sums.shape[1]:
            raise ValueError(f"expected {self.sums.shape[1]} voxels, got a batch of {response.shape[1]}.")
        device = response.device if response.device.type != "mps" else torch.device("cpu")  # no float64 there
        self.sums = self.sums.to(device)
        for voxels in voxel_batches(*response.shape):
            p, y = (x.detach()[:, voxels].to(device).double() for x in (prediction, response))
            error = (y - p).square().sum(0)
            if self.shift is not None:
                offset = self.shift[voxels].to(device)
                p, y = p - offset, y - offset
            rows = (p.sum(0), y.sum(0), p.square().sum(0), y.square().sum(0), (p * y).sum(0), error)
            self.sums[0, voxels] += len(p)
            self.sums[1:, voxels] += torch.stack(rows)

    def __add__(self, other: ScoreSums) -> ScoreSums:
        merged = ScoreSums(self.sums.shape[1], self.shift)
        merged.sums = self.sums + other.sums.to(self.sums.device)
        return merged

    def reset(self) -> None:
        """Forgets every batch."""
        self.sums.zero_()

    def pearson_r(self) -> Tensor:
        """(n_voxels,) float64, as :func:`pearson_r` over all images seen; NaN below two images."""
        n, p, y, pp, yy, py, _ = self.sums
        p_ss, y_ss = pp - p.square() / n, yy - y.square() / n
        r = (py - p * y / n) / (p_ss * y_ss).sqrt()
        return _with_constants(r.clamp(-1, 1), p_ss > _CONSTANT_IN_SUMS * pp, (y_ss > _CONSTANT_IN_SUMS * yy) & (n > 1))

    def r2(self) -> Tensor:
        """(n_voxels,) float64, as :func:`r2` over all images seen; NaN below two images."""
        n, _, y, _, yy, _, error = self.sums
        total = yy - y.square() / n
        return torch.where((total > _CONSTANT_IN_SUMS * yy) & (n > 1), 1 - error / total, torch.nan)


def usable_voxels(responses: Any, rows: Any = None, *, gaps: bool = False) -> Tensor:
    """Which voxels can be fitted and scored on some images: finite in all of them, and not the same in all.

    Args:
        responses: (n_images, n_voxels).
        rows: indices of the images; None takes all.
        gaps: whether a voxel is judged by the images where it is finite, which must be two at least.

    Returns:
        (n_voxels,) bool, on the device of the responses; no voxel is usable where there are no images.

    >>> usable_voxels([[1.0, 2.0, float("nan")], [1.0, 3.0, 0.0]])
    tensor([False,  True, False])
    >>> usable_voxels([[1.0, float("nan")], [1.0, 3.0], [1.0, 2.0]], gaps=True)
    tensor([False,  True])
    """
    responses = torch.as_tensor(responses)
    responses = responses if rows is None else responses[rows]
    if not len(responses):
        return torch.zeros(responses.shape[1:], dtype=torch.bool, device=responses.device)
    if gaps:
        known = responses.isfinite()
        return responses.where(known, torch.inf).amin(0) < responses.where(known, -torch.inf).amax(0)
    low, high = responses.aminmax(dim=0)  # both carry a NaN on, and neither copies a matrix that may be gigabytes
    return low.isfinite() & high.isfinite() & (low < high)


class Summary(NamedTuple):
    """Mean and median over the voxels that have a score, and how many have (``n``) and have not (``n_excluded``).

    >>> summarise([0.5, 0.25, float("nan")])
    Summary(mean=0.375, median=0.375, n=2, n_excluded=1)
    """

    mean: float
    median: float
    n: int
    n_excluded: int


def summarise(score: Any) -> Summary:
    """Mean and median of a score over voxels (or images), NaN left out and counted.

    >>> summarise([0.5, 0.25, float("nan")])
    Summary(mean=0.375, median=0.375, n=2, n_excluded=1)
    """
    score = torch.as_tensor(score).double()
    kept = score[~score.isnan()]
    if not len(kept):
        return Summary(torch.nan, torch.nan, 0, len(score))
    return Summary(kept.mean().item(), kept.quantile(0.5).item(), len(kept), len(score) - len(kept))


def pattern_r(prediction: Any, response: Any) -> Tensor:
    """Pearson correlation across voxels, one per image.

    Voxels with a NaN anywhere are left out. A voxel's mean over images counts here: z-score voxels first where it
    should not.

    Returns:
        (n_images,) float64; NaN where the response pattern is constant.

    >>> pattern_r([[1., 2., 3.], [3., 2., 1.]], [[2., 4., 6.], [2., 4., 6.]])
    tensor([ 1., -1.], dtype=torch.float64)
    """
    prediction, response = _finite_voxels(prediction, response)
    return pearson_r(prediction.T, response.T)


def versa(prediction: Any, response: Any) -> float:
    """Voxel-encoding RSA: Spearman correlation of the dissimilarities of predicted and of measured patterns.

    Dissimilarity is 1 - Pearson correlation across voxels, for every pair of images; voxels with a NaN are left out.

    Returns:
        One number in [-1, 1]; NaN below three images.

    Reference: Kaniuth and Hebart (2022), NeuroImage 257, 119294 (feature-reweighted and voxel-encoding RSA).

    >>> versa([[1., 2., 3.], [1., 3., 2.], [3., 1., 2.]], [[1., 2., 4.], [1., 4., 2.], [4., 1., 2.]])
    1.0
    """
    prediction, response = _finite_voxels(prediction, response)
    upper = torch.triu_indices(len(prediction), len(prediction), offset=1, device=prediction.device)
    ranks = [_ranks(1 - torch.corrcoef(x.double())[upper[0], upper[1]]) for x in (prediction, response)]
    if len(ranks[0]) < 3:
        return torch.nan
    return pearson_r(ranks[0][:, None], ranks[1][:, None]).item()


class Identification(NamedTuple):
    """Per image: ``top1`` (1 where its own response matches best) and ``pairwise`` (share of others it beats).

    >>> found = identification([[1., 2., 3.], [1., 2., 4.]], [[2., 4., 6.], [6., 4., 2.]])
    >>> found.top1.tolist(), found.pairwise.tolist()    # the second image is taken for the first
    ([1.0, 0.0], [1.0, 0.0])
    """

    top1: Tensor
    pairwise: Tensor


def identification(prediction: Any, response: Any) -> Identification:
    """Whether each predicted pattern is nearest, in Pearson correlation, to the response to its own image.

    Voxels with a NaN anywhere are left out; as in :func:`pattern_r`, z-score voxels first where their means should not
    count. Ties share: an own correlation equal to another counts half in ``pairwise`` and 1/ties in ``top1``.

    Returns:
        ``top1`` (n_images,), chance 1 / n_images, and ``pairwise`` (n_images,), chance 1/2; both float64.

    Reference: Kay et al. (2008), Nature 452, 352-355 (identification among candidate images).

    >>> identification([[1., 2., 3.], [3., 2., 1.]], [[2., 4., 6.], [6., 4., 2.]]).top1
    tensor([1., 1.], dtype=torch.float64)
    """
    prediction, response = _finite_voxels(prediction, response)
    n = len(response)
    p, y = (_unit_rows(x.double()) for x in (prediction, response))
    top1, pairwise = y.new_empty(n), y.new_empty(n)
    for images in torch.arange(n, device=y.device).split(max(1, _ELEMENTS_AT_ONCE // n)):
        match = p[images] @ y.T  # (batch, n_images)
        own = match.gather(1, images[:, None])
        beaten, tied = (match < own).sum(1).double(), (match == own).sum(1).double()
        pairwise[images] = (beaten + (tied - 1) / 2) / (n - 1)
        top1[images] = ((match > own).sum(1) == 0) / tied.clamp(min=1)
    undefined = p.isnan().any(1)  # a flat predicted pattern identifies nothing
    top1[undefined], pairwise[undefined] = 0.0, 0.5
    return Identification(top1, pairwise)


class Normalised(NamedTuple):
    """A score over its ceiling (``values``, NaN where there is none) and how many ceilings lay under the floor.

    >>> found = normalise([0.3, 0.4], [0.6, 0.05])
    >>> found.values.tolist(), found.n_under_floor
    ([0.5, nan], 1)
    """

    values: Tensor
    n_under_floor: int


def normalise(score: Any, ceiling: Any, floor: float = 0.1) -> Normalised:
    """A score as a share of its ceiling; voxels with a ceiling under the floor are NaN, and counted.

    Never clipped: a share above 1 says that the ceiling was estimated with error, or is of another definition or
    number of repeats than the responses scored. Ceiling and score must be on one scale (r with r, R2 with R2).

    Args:
        score: (n_voxels,).
        ceiling: (n_voxels,) on the scale of ``score``, for instance ``NoiseCeiling.r``.
        floor: smallest ceiling that is divided by, > 0: a share of almost nothing is noise.

    Raises:
        ValueError: shapes differ, or the floor is not positive.

    >>> normalise([0.3, 0.4], [0.6, 0.05])
    Normalised(values=tensor([0.5000,    nan], dtype=torch.float64), n_under_floor=1)
    """
    score, ceiling = torch.as_tensor(score).double(), torch.as_tensor(ceiling).double()
    if score.shape != ceiling.shape:
        raise ValueError(f"score is {tuple(score.shape)} but ceiling is {tuple(ceiling.shape)}: one ceiling per voxel.")
    if not floor > 0:
        raise ValueError(f"floor must be positive, got {floor}: dividing by a ceiling of zero is no score.")
    under = ~(ceiling.to(score.device) >= floor)  # a NaN ceiling is under every floor
    return Normalised(torch.where(under, torch.nan, score / ceiling.to(score.device)), int(under.sum()))


def check_pair(prediction: Any, response: Any, least_images: int = 2) -> tuple[Tensor, Tensor]:
    """Both as tensors on one device, once they are (n_images, n_voxels) of one shape."""
    response = torch.as_tensor(response)
    prediction = torch.as_tensor(prediction).to(response.device)
    if prediction.shape != response.shape or response.ndim != 2:
        raise ValueError(
            f"prediction is {tuple(prediction.shape)} and response is {tuple(response.shape)}; "
            "both must be (n_images, n_voxels), rows in the same order of images."
        )
    if len(response) < least_images:
        raise ValueError(f"a score across images needs at least {least_images} images, got {len(response)}.")
    return prediction, response


def voxel_batches(n_images: int, n_voxels: int) -> Iterator[slice]:
    """Slices of voxels whose float64 copies stay small."""
    step = max(1, _ELEMENTS_AT_ONCE // max(1, n_images))
    for start in range(0, n_voxels, step):
        yield slice(start, start + step)


def _centre(x: Tensor) -> tuple[Tensor, Tensor]:
    """Columns minus their means, in float64, and which columns move at all (a NaN counts as moving)."""
    x = x.double()
    centred = x - x.mean(0)
    return centred, ~(centred.square().sum(0) <= _CONSTANT * x.square().sum(0))


def _with_constants(r: Tensor, prediction_moves: Tensor, response_moves: Tensor) -> Tensor:
    return torch.where(response_moves, torch.where(prediction_moves, r, 0.0), torch.nan)


def _finite_voxels(prediction: Any, response: Any) -> tuple[Tensor, Tensor]:
    prediction, response = check_pair(prediction, response)
    finite = prediction.isfinite().all(0) & response.isfinite().all(0)
    return prediction[:, finite], response[:, finite]


def _unit_rows(x: Tensor) -> Tensor:
    centred, moves = _centre(x.T)
    return torch.where(moves, centred / centred.square().sum(0).sqrt(), torch.nan).T


def _ranks(x: Tensor) -> Tensor:
    """Ranks from 1; equal values share the mean of theirs."""
    _, place, counts = x.unique(return_inverse=True, return_counts=True)
    return (counts.cumsum(0) - (counts - 1) / 2)[place]

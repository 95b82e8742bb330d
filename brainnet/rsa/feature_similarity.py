"""Similarity of representations from the features themselves: centered kernel alignment and Procrustes.

The two sides need the same images and nothing else: any number of features, models against models or brains. With
fewer features than images everything is computed in feature space, (F_x, F_y) products instead of (n, n) kernels.
Features are centered first, so an offset costs no digits. For RDMs in hand see ``compare(..., "cka")``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from brainnet.rsa.checks import as_float_tensor
from brainnet.rsa.distances import squared_euclidean
from brainnet.rsa.pairs import squareform


class _Side(NamedTuple):
    """One representation, ready for products: centered features or, where those are many, its centered kernel."""

    features: Tensor | None  # (n, F)
    kernel: Tensor | None  # (n, n)
    diagonal: Tensor  # (n,) of the centered kernel


def cka(x: Any, y: Any, kernel: str = "linear", unbiased: bool = True, bandwidth: float | None = None) -> Tensor:
    """Centered kernel alignment of representations of the same images: 1 for equal geometry, about 0 for unrelated.

    Args:
        x: features (n_images, F), or a list (or mapping) of such, one per layer.
        y: the same for the other side; numbers of features may differ.
        kernel: "linear", or "rbf", exp(-d^2 / (2 bandwidth^2)).
        unbiased: without it, unrelated features score far above 0 when images are fewer than features (0.97 for
            50 images and 2,000 features). The unbiased form may be slightly negative.
        bandwidth: of "rbf"; by default its square is the median of the non-zero squared distances, per side.

    Returns:
        A scalar for two representations, (n_x, n_y) where either side is a list; on the device of ``x``. Unchanged by
        rotation and scaling of either side, but not by any other linear map.

    Raises:
        ValueError: sides with different numbers of images, fewer than 4 images, NaN features, an unknown kernel.

    Reference: Kornblith et al. (2019), ICML; unbiased HSIC: Song et al. (2012), JMLR 13, 1393-1434.

    >>> x = torch.randn(20, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    >>> round(cka(x, 3 * x.flip(1)).item(), 6)
    1.0
    """
    if kernel not in ("linear", "rbf"):
        raise ValueError(f"kernel must be 'linear' or 'rbf', got {kernel!r}.")
    xs, ys, scalar = _sides(x, y, minimum=4)
    first = [_prepare(item, kernel, bandwidth) for item in xs]
    second = first if y is x else [_prepare(item, kernel, bandwidth) for item in ys]
    cross = torch.stack([torch.stack([_hsic(p, q, unbiased) for q in second]) for p in first])
    own_x, own_y = (torch.stack([_hsic(p, p, unbiased) for p in side]) for side in (first, second))
    result = _ratio(cross, own_x, own_y).to(xs[0].dtype)
    return result[0, 0] if scalar else result


def minibatch_cka(
    batches: Iterable[tuple[Any, Any]], kernel: str = "linear", unbiased: bool = True, bandwidth: float | None = None
) -> Tensor:
    """CKA from minibatches: each term is averaged over batches before the ratio is taken, in constant memory.

    Args:
        batches: pairs (x, y) as for ``cka``: features (batch, F), or lists of them, one per layer.
        kernel: as for ``cka``; the bandwidth of "rbf" is best given, else each batch has its own.
        unbiased: as for ``cka``. Only then does the result not depend on the size of the batches, on average.
        bandwidth: as for ``cka``.

    Returns:
        A scalar, or (n_x, n_y) where either side is a list.

    Reference: Nguyen, Raghu and Kornblith (2021), ICLR.

    >>> x = torch.randn(64, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    >>> round(minibatch_cka((b, 2 * b) for b in x.split(16)).item(), 6)
    1.0
    """
    totals, n_seen, scalar, dtype = None, 0, True, torch.float32
    for x, y in batches:
        xs, ys, scalar = _sides(x, y, minimum=4)
        n, dtype = len(xs[0]), xs[0].dtype
        first, second = ([_prepare(item, kernel, bandwidth) for item in side] for side in (xs, ys))
        terms = (
            torch.stack([torch.stack([_hsic(p, q, unbiased) for q in second]) for p in first]),
            torch.stack([_hsic(p, p, unbiased) for p in first]),
            torch.stack([_hsic(q, q, unbiased) for q in second]),
        )
        weight = n / (n * (n - 3) if unbiased else (n - 1) ** 2)  # an average over images of each batch's estimate
        totals = [weight * t + (0 if totals is None else totals[i]) for i, t in enumerate(terms)]
        n_seen += n
    if totals is None:
        raise ValueError("no batches: the iterator is empty (a generator can be read only once).")
    result = _ratio(*(total / n_seen for total in totals)).to(dtype)
    return result[0, 0] if scalar else result


def procrustes(x: Any, y: Any) -> Tensor:
    """How well one representation can be rotated onto the other, in [0, 1]: the nuclear norm of X'Y at unit norm.

    Args:
        x: features (n_images, F_x), or a list of such; columns are centered.
        y: features (n_images, F_y), or a list of such.

    Returns:
        A scalar, or (n_x, n_y); 1 - this is half the squared Procrustes distance of the unit-norm configurations.

    Reference: Williams et al. (2021), NeurIPS, "Generalized shape metrics on neural representations".

    >>> x, noise = torch.randn(2, 20, 3, generator=torch.Generator().manual_seed(0))
    >>> turned = torch.linalg.qr(torch.tensor([[1.0, 2, 0], [0, 1, 2], [2, 0, 1]])).Q
    >>> procrustes(x, x @ turned).round(decimals=4), procrustes(x, noise).round(decimals=2)
    (tensor(1.), tensor(0.2200))
    """
    xs, ys, scalar = _sides(x, y, minimum=2)
    first, second = ([_unit_configuration(item) for item in side] for side in (xs, ys))
    result = torch.stack([torch.stack([torch.linalg.svdvals(p.T @ q).sum() for q in second]) for p in first])
    return result[0, 0] if scalar else result


def _unit_configuration(features: Tensor) -> Tensor:
    """Centered features of unit norm; with more features than images, their coordinates in the span of the images."""
    centred = features - features.mean(0)
    if centred.shape[1] > centred.shape[0]:
        centred = torch.linalg.qr(centred.T, mode="r").R.T  # (n, n), same products between images
    length = centred.norm()
    return centred / length.masked_fill(length == 0, torch.nan)


def _sides(x: Any, y: Any, minimum: int) -> tuple[list[Tensor], list[Tensor], bool]:
    sides, lists = [], []
    for side in (x, y):
        items = list(side.values()) if isinstance(side, Mapping) else side
        many = isinstance(items, Sequence) and not isinstance(items, (str, bytes))
        lists.append(many)
        tensors = [as_float_tensor(item, "features") for item in (items if many else [items])]
        for tensor in tensors:
            if tensor.ndim != 2:
                raise ValueError(
                    f"features must be (n_images, F), got {tuple(tensor.shape)}; flatten or pool maps first."
                )
            if not bool(tensor.sum(1).isfinite().all()):
                raise ValueError("features hold NaN or infinite values; drop or fill these first.")
        sides.append(tensors)
    heights = sorted({len(tensor) for side in sides for tensor in side})
    if len(heights) != 1:
        raise ValueError(
            f"representations of the same images are needed, got {' and '.join(map(str, heights))} images."
        )
    if heights[0] < minimum:
        raise ValueError(f"at least {minimum} images are needed, got {heights[0]}.")
    return sides[0], sides[1], not any(lists)


def _prepare(features: Tensor, kernel: str, bandwidth: float | None) -> _Side:
    n, width = features.shape
    if kernel == "linear":
        centred = features - features.mean(0)
        if width < n:
            return _Side(centred, None, centred.square().sum(1))
        gram = centred @ centred.T
        return _Side(None, gram, gram.diagonal())
    squared = squareform(squared_euclidean(features[None]))[0]
    scale = squared[squared > 0].median() if bandwidth is None else bandwidth**2
    gram = torch.exp(-squared / (2 * scale))
    rows = gram.mean(1, keepdim=True)
    gram = gram - rows - rows.T + rows.mean()
    return _Side(None, gram, gram.diagonal())


def _hsic(p: _Side, q: _Side, unbiased: bool) -> Tensor:
    """Sum of products of the doubly centered kernels, or of the U-centered ones, in float64.

    With K, L doubly centered and k, l their diagonals, U-centering only has to undo the diagonal:
    sum(U_K U_L) = sum(K L) - n/(n-2) k.l + sum(k) sum(l) / ((n-1)(n-2)).
    """
    if p.features is not None and q.features is not None:
        total = (p.features.T @ q.features).double().square().sum()
    elif p.features is None and q.features is None:
        total = torch.linalg.vecdot(p.kernel.flatten().double(), q.kernel.flatten().double())
    else:
        features, gram = (p.features, q.kernel) if q.features is None else (q.features, p.kernel)
        total = ((gram @ features).double() * features.double()).sum()
    if not unbiased:
        return total
    n, k, diagonal = len(p.diagonal), p.diagonal.double(), q.diagonal.double()
    return total - n / (n - 2) * (k @ diagonal) + k.sum() * diagonal.sum() / ((n - 1) * (n - 2))


def _ratio(cross: Tensor, own_x: Tensor, own_y: Tensor) -> Tensor:
    scale = (own_x.clamp(min=0)[:, None] * own_y.clamp(min=0)[None]).sqrt()
    return cross / scale.masked_fill(scale == 0, torch.nan)

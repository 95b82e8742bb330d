"""Comparisons: how alike two RDMs are, every RDM of one set with every RDM of another.

Each function takes vectors (n_a, n_pairs) and (n_b, n_pairs) and returns similarities (n_a, n_b): larger is more
alike, always. What depends on one RDM alone (ranks, whitening, norms) is done once per RDM, not once per couple.
To add a comparison, write such a function and register it.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor

from brainnet._registry import Registry
from brainnet.rsa.checks import few
from brainnet.rsa.distributions import jensen_shannon_bits
from brainnet.rsa.kendall import concordance
from brainnet.rsa.pairs import squareform
from brainnet.rsa.ranks import rank
from brainnet.rsa.rdms import RDMs, align_conditions, as_rdms
from brainnet.rsa.vectors import centred, double_centred, u_centred, unit, whitened

COMPARISONS = Registry("comparison", group="brainnet.comparisons")


def compare(
    a: RDMs | Any,
    b: RDMs | Any,
    method: str = "spearman",
    *,
    align: bool = False,
    nan: str = "raise",
    **options: Any,
) -> Tensor:
    """Similarities (n_a, n_b) of every RDM in ``a`` with every RDM in ``b``.

    Args:
        a: RDMs, or arrays that ``as_rdms`` understands: square matrices or vectors of pairs.
        b: the same, over the same conditions.
        method: name of a comparison, see ``COMPARISONS``.
        align: match conditions by name where they stand in another order; without it that is an error.
        nan: "raise" on undefined pairs, or "omit" those that are NaN in any RDM of either side.
        **options: of the comparison, such as ``noise_covariance`` for the whitened ones.

    Returns:
        Similarities on the device of ``a``, in the wider of the two dtypes; larger is more alike. NaN, with a
        warning, where an RDM is constant and its correlation undefined.

    Raises:
        ValueError: differing conditions, NaN without ``nan="omit"``, fewer than three conditions.

    >>> model, brain = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[1.0, 2.0, 4.0], [3.0, 2.0, 1.0]])
    >>> compare(model, brain, "spearman").round(decimals=4)
    tensor([[ 1., -1.]])
    """
    comparison = COMPARISONS[method]
    a, b = align_conditions(as_rdms(a), as_rdms(b), align)
    for metric in {a.metric, b.metric} & {MISREAD.get(method)}:
        warnings.warn(f"{method!r} takes {WANTED[metric]} distances; got {metric!r} ones.", stacklevel=2)
    if a.n_conditions < 3:
        raise ValueError(
            f"RDMs over {a.n_conditions} conditions hold a single pair; comparing needs at least 3 conditions."
        )
    dtype = torch.promote_types(a.values.dtype, b.values.dtype)
    first, second = a.values.to(dtype), b.values.to(dtype).to(a.values.device)
    first, second = without_nan(a, b, first, second, nan, method)
    similarity = comparison(first, second, **options)
    undefined = similarity.isnan()
    if bool(undefined.any()):
        constant = [
            f"{name!r} of the {side} set"
            for rdms, values, side in ((a, first, "first"), (b, second, "second"))
            for name, flat in zip(rdms.names, (values == values[:, :1]).all(1).tolist(), strict=True)
            if flat
        ]
        warnings.warn(
            f"{method} is undefined for {int(undefined.sum())} of {undefined.numel()} couples of RDMs"
            + (f": constant RDM {', '.join(constant[:4])}" if constant else "")
            + "; these are NaN.",
            stacklevel=2,
        )
    return similarity


def without_nan(a: RDMs, b: RDMs, first: Tensor, second: Tensor, nan: str, method: str) -> tuple[Tensor, Tensor]:
    """Values of both sides over the pairs that are defined in every RDM; or the error that says which are not."""
    if nan not in ("raise", "omit"):
        raise ValueError(f"nan must be 'raise' or 'omit', got {nan!r}.")
    missing = first.isnan().any(0) | second.isnan().any(0)
    if not bool(missing.any()):
        return first, second
    if nan == "raise":
        names = [f"{rdms.names[i]!r}" for rdms in (a, b) for i in rdms.values.isnan().any(1).nonzero()[:, 0].tolist()]
        square = squareform(missing, diagonal=True).all(1).nonzero()[:, 0].tolist()
        rows = few([(a.conditions or b.conditions or [f"row {i}" for i in range(a.n_conditions)])[i] for i in square])
        raise ValueError(
            f"{int(missing.sum())} of {len(missing)} pairs are NaN (in RDM {', '.join(names[:4])};"
            f" all pairs with: {rows})."
            " Drop those conditions with .subset(), or pass nan='omit'."
        )
    if method in NEEDS_ALL_PAIRS:
        raise ValueError(
            f"{method!r} needs every pair of conditions; drop conditions with .subset() instead of nan='omit'."
        )
    if int((~missing).sum()) < 3:
        raise ValueError(f"only {int((~missing).sum())} pairs are left without NaN; comparing needs at least 3.")
    return first[:, ~missing], second[:, ~missing]


# ---- correlations over pairs --------------------------------------------------------------------------------------


@COMPARISONS.register("cosine")
def cosine(a: Tensor, b: Tensor) -> Tensor:
    """Cosine of the angle between vectors of dissimilarities: keeps the meaning of zero, for unbiased distances."""
    return unit(a) @ unit(b).T


@COMPARISONS.register("pearson")
def pearson(a: Tensor, b: Tensor) -> Tensor:
    """Pearson correlation over pairs of conditions."""
    return unit(centred(a)) @ unit(centred(b)).T


@COMPARISONS.register("spearman")
def spearman(a: Tensor, b: Tensor) -> Tensor:
    """Spearman correlation over pairs of conditions; ties get their mean rank and the coefficient is tie-corrected."""
    return pearson(rank(a), rank(b))


@COMPARISONS.register("rho-a")
def rho_a(a: Tensor, b: Tensor) -> Tensor:
    """Expected Spearman correlation when ties are broken at random: 12 r'r / (k^3 - k) of centered ranks.

    Unlike ``spearman`` it does not favor models that predict ties.
    Reference: Schuett et al. (2023), eLife 12, e82566.
    """
    k = a.shape[1]
    return centred(rank(a)) @ centred(rank(b)).T * (12 / (k**3 - k))


@COMPARISONS.register("kendall")
def kendall_tau_b(a: Tensor, b: Tensor) -> Tensor:
    """Kendall's tau-b: concordant minus discordant couples of pairs, over the geometric mean of untied couples."""
    difference, untied_a, untied_b, _ = concordance(a, b)
    scale = (untied_a[:, None] * untied_b[None]).sqrt()
    return (difference / scale.masked_fill(scale == 0, torch.nan)).to(a.dtype)


@COMPARISONS.register("tau-a")
def kendall_tau_a(a: Tensor, b: Tensor) -> Tensor:
    """Kendall's tau-a: concordant minus discordant couples of pairs, over all couples; fair to models with ties."""
    difference, _, _, couples = concordance(a, b)
    return (difference / couples).to(a.dtype)


@COMPARISONS.register("regression")
def regression(a: Tensor, b: Tensor) -> Tensor:
    """Share of the variance of ``b`` that ``a`` explains by least squares with an intercept and a slope >= 0.

    The squared Pearson correlation where that is positive and 0 elsewhere: an RDM that predicts the opposite explains
    nothing. For several predictors at once see ``rsa.regression``.
    """
    return pearson(a, b).clamp(min=0).square()


# ---- correlations that know the covariance of dissimilarities -----------------------------------------------------


@COMPARISONS.register("whitened-cosine")
def whitened_cosine(a: Tensor, b: Tensor, noise_covariance: Tensor | None = None) -> Tensor:
    """Cosine under the inverse covariance of dissimilarities: x'V^-1 y / sqrt(x'V^-1 x  y'V^-1 y), exact.

    Args:
        a, b: (n, n_pairs) squared or cross-validated distances.
        noise_covariance: covariance of the pattern estimates over conditions, (n_conditions, n_conditions), or its
            diagonal (n_conditions,); the identity by default. V is its squared contrast matrix (D S D')^2, which
            is never formed: with G = -D/2 doubly centered, x'V^-1 y = tr(G_x P G_y P), P the pseudo-inverse of the
            centered covariance.

    Reference: Diedrichsen et al. (2021), Neurons, Behavior, Data analysis, and Theory 5(3).
    """
    return unit(whitened(a, noise_covariance)) @ unit(whitened(b, noise_covariance)).T


@COMPARISONS.register("whitened-pearson")
def whitened_pearson(a: Tensor, b: Tensor, noise_covariance: Tensor | None = None) -> Tensor:
    """As ``whitened_cosine`` after the mean dissimilarity of each RDM has been removed."""
    return whitened_cosine(centred(a), centred(b), noise_covariance)


# ---- comparisons of geometries ------------------------------------------------------------------------------------


@COMPARISONS.register("cka")
def cka(a: Tensor, b: Tensor, unbiased: bool = True) -> Tensor:
    """Centered kernel alignment of the kernels -D/2 that squared Euclidean distances D imply.

    Equals linear CKA between the features themselves, scaled as they are; the biased form is ``whitened-cosine``.
    From other distances (correlation is half a squared distance of unit patterns) it is CKA after that normalization.

    Reference: Kornblith et al. (2019); unbiased: Szekely and Rizzo (2014), Song et al. (2012).
    """
    if not unbiased:
        return whitened_cosine(a, b)
    return unit(u_centred(a)) @ unit(u_centred(b)).T


@COMPARISONS.register("distance-correlation")
def distance_correlation(a: Tensor, b: Tensor, unbiased: bool = True) -> Tensor:
    """Distance correlation of the conditions' dissimilarities (Euclidean ones: the measure of Szekely and Rizzo).

    Args:
        a, b: (n, n_pairs) distances, not squared.
        unbiased: the bias-corrected squared coefficient, about 0 under independence and possibly negative; else the
            classical coefficient in [0, 1], whose mean under independence grows as conditions get fewer.

    Reference: Szekely, Rizzo and Bakirov (2007); Szekely and Rizzo (2014).
    """
    if unbiased:
        return unit(u_centred(a)) @ unit(u_centred(b)).T
    first, second = (double_centred(squareform(x)).flatten(1) for x in (a, b))
    return (unit(first) @ unit(second).T).clamp(min=0).sqrt()


@COMPARISONS.register("procrustes")
def procrustes(a: Tensor, b: Tensor) -> Tensor:
    """How well one configuration of conditions can be rotated onto the other, in [0, 1] (1: same up to scale).

    The nuclear norm of X'Y for unit-norm configurations X, Y whose squared Euclidean distances the RDMs are, also known
    as Bures similarity: tr((K^1/2 L K^1/2)^1/2) / sqrt(tr K tr L) with K, L the centered kernels.
    """
    kernels_a, kernels_b = (double_centred(squareform(x)) / -2 for x in (a, b))
    values, vectors = torch.linalg.eigh(kernels_a)
    roots = (vectors * values.clamp(min=0).sqrt()[:, None]) @ vectors.mT
    traces_a, traces_b = (k.diagonal(dim1=1, dim2=2).sum(-1) for k in (kernels_a, kernels_b))
    similarity = a.new_empty(len(a), len(b))
    for i, root in enumerate(roots):  # one row at a time: (n_b, n, n) temporaries
        inner = torch.linalg.eigvalsh(root @ kernels_b @ root)
        scale = (traces_a[i] * traces_b).clamp(min=0).sqrt()
        similarity[i] = inner.clamp(min=0).sqrt().sum(-1) / scale.masked_fill(scale == 0, torch.nan)
    return similarity


# ---- comparisons of distributions ---------------------------------------------------------------------------------


@COMPARISONS.register("wasserstein")
def wasserstein(a: Tensor, b: Tensor) -> Tensor:
    """Minus the Wasserstein-1 distance between the distributions of dissimilarities, each scaled to a mean square of 1.

    Blind to which conditions are dissimilar: it compares spread and shape alone, and 0 means equal.
    """
    first, second = (x / x.square().mean(1, keepdim=True).sqrt() for x in (a.sort(1).values, b.sort(1).values))
    return -torch.stack([(row - second).abs().mean(1) for row in first])


@COMPARISONS.register("jensen-shannon")
def jensen_shannon(a: Tensor, b: Tensor, bins: int = 50) -> Tensor:
    """1 - Jensen-Shannon divergence (bits) between histograms of dissimilarities over their common range, in [0, 1].

    Each RDM is scaled to a mean square of 1 first; blind to which conditions are dissimilar, like ``wasserstein``.
    """
    first, second = (x / x.square().mean(1, keepdim=True).sqrt() for x in (a, b))
    low, high = torch.minimum(first.min(), second.min()), torch.maximum(first.max(), second.max())
    width = ((high - low) / bins).clamp(min=torch.finfo(a.dtype).tiny)

    def histogram(x):
        bin_of = ((x - low) / width).long().clamp(0, bins - 1)
        return x.new_zeros(len(x), bins).scatter_add_(1, bin_of, torch.ones_like(x)) / x.shape[1]

    return 1 - jensen_shannon_bits(histogram(first)[:, None], histogram(second)[None], dim=-1)


MISREAD = {"cka": "euclidean", "procrustes": "euclidean", "distance-correlation": "sqeuclidean"}
WANTED = {"euclidean": "squared (metric='sqeuclidean')", "sqeuclidean": "plain (metric='euclidean', or .sqrt())"}
NEEDS_ALL_PAIRS = ("whitened-cosine", "whitened-pearson", "cka", "distance-correlation", "procrustes")

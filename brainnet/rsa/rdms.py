"""RDMs: dissimilarities and the conditions they belong to, travelling together.

One object holds any number of RDMs over the same conditions as vectors in scipy's ``pdist`` order (the upper
triangle, row by row). It refuses to compare what does not belong together: conditions that differ or stand in
another order are an error until the caller asks for alignment by name. Methods return new objects.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brainnet.rsa.ranks import rank

MAX_ASYMMETRY = 1e-4  # of the largest entry: float32 products of features leave about 1e-6, a wrong matrix far more


@dataclass(frozen=True, eq=False)
class RDMs:
    """One or more representational dissimilarity matrices over the same conditions.

    Args:
        values: (n_rdms, n_pairs) floating point, in scipy's ``pdist`` order; a vector is one RDM. NaN marks pairs
            that are undefined (a constant pattern under correlation distance).
        metric: how the dissimilarities were measured ("correlation", "sqeuclidean", ...).
        names: one per RDM (subject, layer, time point); "0", "1", ... by default.
        conditions: one per row of the square matrix, all different; None where they are unknown, and then only
            their number can be checked.

    Raises:
        ValueError: a number of pairs that no number of conditions has, names or conditions of the wrong count,
            conditions named twice.

    >>> rdms = RDMs(torch.tensor([[1.0, 2.0, 3.0]]), names=("V1",), conditions=("face", "house", "tool"))
    >>> rdms.to_square()[0]
    tensor([[0., 1., 2.],
            [1., 0., 3.],
            [2., 3., 0.]])
    >>> rdms.reorder(["tool", "house", "face"]).values
    tensor([[3., 2., 1.]])
    """

    values: Tensor
    metric: str = "unknown"
    names: tuple[str, ...] | None = None
    conditions: tuple[str, ...] | None = None

    def __post_init__(self):
        values = as_float_tensor(self.values, "RDM values")
        if values.ndim == 1:
            values = values[None]
        if values.ndim != 2:
            raise ValueError(
                f"RDM values must be (n_rdms, n_pairs), got {tuple(values.shape)};"
                " for square matrices use RDMs.from_square()."
            )
        n_conditions = n_conditions_of(values.shape[1])
        names = tuple(map(str, range(len(values)) if self.names is None else self.names))
        if len(names) != len(values):
            raise ValueError(f"got {len(names)} names for {len(values)} RDMs; give one name per RDM.")
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "names", names)
        if self.conditions is not None:
            object.__setattr__(self, "conditions", check_conditions(self.conditions, n_conditions))

    # ---- construction -------------------------------------------------------------------------------------------

    @classmethod
    def from_square(
        cls,
        matrices: Any,
        metric: str = "unknown",
        names: Iterable[str] | None = None,
        conditions: Iterable[str] | None = None,
    ) -> RDMs:
        """RDMs from square matrices (n, n) or (..., n, n), checked for symmetry and a zero diagonal.

        A NaN diagonal is accepted (some toolboxes write one to mark that it carries nothing).

        Raises:
            ValueError: not square, asymmetric or with a non-zero diagonal beyond 1e-4 of the largest entry.
        """
        matrices = as_float_tensor(matrices, "RDM matrices")
        if matrices.ndim < 2 or matrices.shape[-1] != matrices.shape[-2]:
            raise ValueError(f"RDM matrices must be square, (..., n, n), got {tuple(matrices.shape)}.")
        matrices = matrices.reshape(-1, *matrices.shape[-2:])
        scale = matrices.nan_to_num().abs().amax().item() if matrices.numel() else 0.0
        diagonal = matrices.diagonal(dim1=-2, dim2=-1).nan_to_num().abs().amax().item()
        if diagonal > MAX_ASYMMETRY * scale:
            raise ValueError(
                f"an RDM has zeros on its diagonal, got up to {diagonal:.3g};"
                " if these are similarities, pass 1 - similarity."
            )
        asymmetry = (matrices - matrices.mT).nan_to_num(0.0).abs().amax().item()
        one_sided_nan = (matrices.isnan() ^ matrices.mT.isnan()).any().item()
        if asymmetry > MAX_ASYMMETRY * scale or one_sided_nan:
            raise ValueError(
                f"an RDM is symmetric, got entries that differ from their mirror image by up to {asymmetry:.3g}"
                "; average the matrix with its transpose if that is meant."
            )
        return cls(upper_triangle(matrices), metric, _optional_tuple(names), _optional_tuple(conditions))

    @staticmethod
    def stack(rdms: Iterable[RDMs], names: Iterable[str] | None = None, align: bool = False) -> RDMs:
        """All RDMs of several objects in one, over the same conditions.

        Args:
            rdms: the objects, at least one.
            names: new names, one per RDM; by default each keeps its own.
            align: bring conditions in another order into the order of the first object.

        Raises:
            ValueError: differing conditions, or the same in another order without ``align=True``.
        """
        rdms = list(rdms)
        if not rdms:
            raise ValueError("nothing to stack: give at least one RDMs object.")
        first = rdms[0]
        aligned = [first, *(align_conditions(first, other, align)[1] for other in rdms[1:])]
        metrics = {other.metric for other in rdms}
        return RDMs(
            torch.cat([other.values.to(first.values) for other in aligned]),
            metrics.pop() if len(metrics) == 1 else "mixed",
            tuple(names) if names is not None else tuple(name for other in aligned for name in other.names),
            next((other.conditions for other in aligned if other.conditions is not None), None),
        )

    # ---- shape --------------------------------------------------------------------------------------------------

    @property
    def n_conditions(self) -> int:
        """Number of conditions, the side of the square matrix."""
        return n_conditions_of(self.values.shape[1])

    @property
    def n_pairs(self) -> int:
        """Number of pairs of conditions, n (n - 1) / 2."""
        return self.values.shape[1]

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, which: int | str | slice | Sequence) -> RDMs:
        """Some of the RDMs, by index, name, slice, or a list of either; always an ``RDMs``."""
        index = [which] if isinstance(which, (int, str, np.integer)) else which
        if not isinstance(index, slice):
            index = _positions(list(index), self.names, "RDM")
        names = np.asarray(self.names, dtype=object)[index]
        return replace(self, values=self.values[index], names=tuple(names))

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"RDMs({len(self)} x {self.n_conditions} conditions, metric={self.metric!r}, {self.values.dtype})"

    def to_square(self, diagonal: float = 0.0) -> Tensor:
        """The square matrices, (n_rdms, n, n)."""
        return squareform(self.values, diagonal)

    def to(self, *args: Any, **kwargs: Any) -> RDMs:
        """The same RDMs on another device or in another dtype, as ``Tensor.to``."""
        return replace(self, values=self.values.to(*args, **kwargs))

    # ---- conditions ---------------------------------------------------------------------------------------------

    def subset(self, conditions: Sequence) -> RDMs:
        """The RDMs over some of the conditions, in the order given.

        Args:
            conditions: names, indices, or a boolean mask with one entry per condition.
        """
        index = np.asarray(conditions)
        if index.dtype == bool:
            if len(index) != self.n_conditions:
                raise ValueError(f"the mask has {len(index)} entries for {self.n_conditions} conditions.")
            positions = np.flatnonzero(index).tolist()
        else:
            positions = _positions(list(conditions), self.conditions, "condition", self.n_conditions)
        if len(set(positions)) != len(positions):
            raise ValueError(
                "a condition is asked for twice; its pair with itself would be a dissimilarity of nothing."
            )
        if len(positions) < 2:
            raise ValueError(f"an RDM needs at least 2 conditions, the subset has {len(positions)}.")
        kept = None if self.conditions is None else tuple(self.conditions[i] for i in positions)
        return replace(self, values=self.values[:, pair_index(positions, self.n_conditions)], conditions=kept)

    def reorder(self, conditions: Sequence) -> RDMs:
        """The RDMs with all conditions in another order, given as names or indices."""
        reordered = self.subset(conditions)
        if reordered.n_conditions != self.n_conditions:
            raise ValueError(
                f"reorder() needs all {self.n_conditions} conditions, got {reordered.n_conditions}; use subset()."
            )
        return reordered

    # ---- values -------------------------------------------------------------------------------------------------

    def average(self, weights: Any = None, name: str = "mean") -> RDMs:
        """The (weighted) mean of the RDMs as one RDM; see ``pool`` in ``ceilings`` for a comparator's own optimum."""
        if weights is None:
            mean = self.values.mean(0, keepdim=True)
        else:
            weights = torch.as_tensor(weights).to(self.values)
            if weights.shape != (len(self),):
                raise ValueError(f"weights must be ({len(self)},), one per RDM, got {tuple(weights.shape)}.")
            mean = (weights @ self.values / weights.sum())[None]
        return replace(self, values=mean, names=(name,))

    def rank(self) -> RDMs:
        """Dissimilarities replaced by their ranks within each RDM, 1 = smallest, ties at their mean rank."""
        return replace(self, values=rank(self.values), metric=f"rank {self.metric}")

    def sqrt(self) -> RDMs:
        """Signed square roots of the dissimilarities, so that cross-validated ones below zero keep their sign."""
        return replace(self, values=self.values.sign() * self.values.abs().sqrt(), metric=f"sqrt {self.metric}")

    # ---- files --------------------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> Path:
        """Writes values, metric, names and conditions to ``.npz``, ``.h5`` or ``.hdf5``; see ``files``."""
        from brainnet.rsa.files import save_rdms

        return save_rdms(self, path)

    @staticmethod
    def load(path: str | Path, key: str | None = None) -> RDMs:
        """RDMs from ``.npz``, ``.npy``, ``.h5``, ``.mat`` (v5, v7.3), ``.pt`` or ``.txt``; see ``files.load_rdms``."""
        from brainnet.rsa.files import load_rdms

        return load_rdms(path, key)


def as_rdms(rdms: RDMs | Any) -> RDMs:
    """The same RDMs, or RDMs of an array of square matrices or of vectors of pairs.

    Shapes: (n, n), (n_rdms, n, n), (n_rdms, n_pairs) or (n_pairs,). A two-dimensional array with as many rows as
    columns is one square matrix.
    """
    if isinstance(rdms, RDMs):
        return rdms
    if isinstance(rdms, (list, tuple)) and rdms and all(isinstance(item, RDMs) for item in rdms):
        return RDMs.stack(rdms)
    values = as_float_tensor(rdms, "RDMs")
    if values.ndim == 3 or (values.ndim == 2 and values.shape[0] == values.shape[1] > 1):
        return RDMs.from_square(values)
    return RDMs(values)


def align_conditions(a: RDMs, b: RDMs, align: bool = False) -> tuple[RDMs, RDMs]:
    """``a`` and ``b`` over the same conditions in the same order, or an error that names the difference.

    Args:
        a: the RDMs whose order counts.
        b: the RDMs that are brought into that order.
        align: without it, conditions in another order are refused.

    Raises:
        ValueError: another number of conditions, other names, or another order without ``align=True``.
    """
    if a.n_conditions != b.n_conditions or (a.conditions and b.conditions and set(a.conditions) != set(b.conditions)):
        if a.conditions and b.conditions:
            only_a, only_b = (_few(set(x.conditions) - set(y.conditions)) for x, y in ((a, b), (b, a)))
            detail = f"only the first has {only_a}, only the second {only_b}; use .subset() on the common ones."
        else:
            detail = "the same conditions are needed on both sides."
        raise ValueError(f"RDMs over {a.n_conditions} and {b.n_conditions} conditions cannot be compared: {detail}")
    if a.conditions is None or b.conditions is None or a.conditions == b.conditions:
        return a, b
    if not align:
        first = next(i for i, (x, y) in enumerate(zip(a.conditions, b.conditions, strict=True)) if x != y)
        raise ValueError(
            f"the conditions stand in different orders (number {first} is {a.conditions[first]!r} and"
            f" {b.conditions[first]!r}); pass align=True to match them by name."
        )
    return a, b.reorder(a.conditions)


# ---- the pairs of a square matrix ---------------------------------------------------------------------------------


def n_conditions_of(n_pairs: int) -> int:
    """The number of conditions n with n (n - 1) / 2 = ``n_pairs``; a ValueError where there is none.

    >>> n_conditions_of(4186)
    92
    """
    n = round((1 + (1 + 8 * n_pairs) ** 0.5) / 2)
    if n_pairs < 1 or n * (n - 1) // 2 != n_pairs:
        raise ValueError(
            f"{n_pairs} is not a number of pairs n (n - 1) / 2;"
            " RDM vectors hold the upper triangle without the diagonal."
        )
    return n


@lru_cache(maxsize=8)
def _triangle(n: int, device: torch.device) -> tuple[Tensor, Tensor]:
    rows, columns = torch.triu_indices(n, n, offset=1, device=device)
    return rows, columns


def pairs_of(n: int, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
    """Row and column of every pair, each (n_pairs,), in scipy's ``pdist`` order."""
    return _triangle(n, torch.device(device))


def upper_triangle(matrices: Tensor) -> Tensor:
    """Vectors (..., n_pairs) of square matrices (..., n, n)."""
    rows, columns = pairs_of(matrices.shape[-1], matrices.device)
    return matrices[..., rows, columns]


def squareform(values: Tensor, diagonal: float = 0.0) -> Tensor:
    """Square matrices (..., n, n) of vectors (..., n_pairs)."""
    n = n_conditions_of(values.shape[-1])
    rows, columns = pairs_of(n, values.device)
    matrices = values.new_full((*values.shape[:-1], n, n), diagonal)
    matrices[..., rows, columns] = values
    matrices[..., columns, rows] = values
    return matrices


def pair_index(conditions: Sequence[int] | Tensor, n: int) -> Tensor:
    """Where the pairs of the chosen conditions stand among the pairs of all ``n``, (n_pairs of the choice,).

    >>> pair_index([2, 0, 1], 3)      # pairs (2,0), (2,1), (0,1)
    tensor([1, 2, 0])
    """
    chosen = torch.as_tensor(conditions, dtype=torch.long)
    rows, columns = pairs_of(len(chosen))
    low, high = torch.minimum(chosen[rows], chosen[columns]), torch.maximum(chosen[rows], chosen[columns])
    return low * (2 * n - low - 1) // 2 + high - low - 1


# ---- checks -------------------------------------------------------------------------------------------------------


def as_float_tensor(values: Any, what: str) -> Tensor:
    """A floating-point tensor that shares memory where it can; integers become the default dtype, halves float32."""
    if not isinstance(values, Tensor):
        array = np.asarray(values)
        if array.dtype.kind not in "fiub":
            raise TypeError(f"{what} must be numbers, got an array of dtype {array.dtype}; stack equal shapes first.")
        values = torch.from_numpy(
            np.array(array, copy=True) if not array.flags.writeable else np.ascontiguousarray(array)
        )
    if values.dtype in (torch.float16, torch.bfloat16):
        return values.float()
    if values.is_complex():
        raise TypeError(f"{what} must be real numbers, got {values.dtype}.")
    return values if values.is_floating_point() else values.to(torch.get_default_dtype())


def check_conditions(conditions: Iterable, n_conditions: int) -> tuple[str, ...]:
    """Condition names as strings, their number and uniqueness checked."""
    conditions = tuple(map(str, conditions))
    if len(conditions) != n_conditions:
        raise ValueError(f"got {len(conditions)} condition names for {n_conditions} conditions.")
    if len(set(conditions)) != len(conditions):
        twice = {name for name in conditions if conditions.count(name) > 1}
        raise ValueError(
            f"conditions are named twice: {_few(twice)}; give each its own name, or average repeats by labels=."
        )
    return conditions


def _positions(wanted: list, known: tuple[str, ...] | None, what: str, total: int | None = None) -> list[int]:
    total = len(known) if total is None else total
    place = {name: i for i, name in enumerate(known)} if known is not None else {}
    positions = []
    for item in wanted:
        if isinstance(item, (int, np.integer)) and not isinstance(item, bool):
            if not -total <= item < total:
                raise ValueError(f"{what} {item} is out of range: there are {total}.")
            positions.append(int(item) % total)
        elif str(item) in place:
            positions.append(place[str(item)])
        else:
            raise ValueError(
                f"no {what} named {str(item)!r}; known: {_few(place) if place else 'no names, use indices'}."
            )
    return positions


def _few(names: Iterable[str], limit: int = 4) -> str:
    names = list(names) if isinstance(names, dict) else sorted(names)
    return (
        ", ".join(map(repr, names[:limit])) + (f", ... ({len(names)} in all)" if len(names) > limit else "") or "none"
    )


def _optional_tuple(items: Iterable | None) -> tuple | None:
    return None if items is None else tuple(items)

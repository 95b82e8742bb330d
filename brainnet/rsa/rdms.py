"""RDMs: dissimilarities and the conditions they belong to, traveling together.

One object holds any number of RDMs over the same conditions as vectors in scipy's ``pdist`` order (the upper
triangle, row by row). It refuses to compare what does not belong together: conditions that differ or stand in
another order are an error until the caller asks for alignment by name. Methods return new objects.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brainnet._notebook import table_html
from brainnet.rsa.checks import as_float_tensor, check_conditions, few, positions_of
from brainnet.rsa.files import Content, read_content, write_content
from brainnet.rsa.pairs import n_conditions_of, pair_index, squareform, upper_triangle
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
        axes: where the RDMs stand on several axes, such as subjects and times: name of the axis -> its labels, the
            last axis fastest, as many RDMs in all as there are combinations. By default one axis, "rdm".

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
    >>> course = RDMs(torch.rand(6, 3), axes={"subject": ("s1", "s2"), "time": ("0", "1", "2")})
    >>> course.names[:2], course.along("time")[0].names
    (('s1/0', 's1/1'), ('s1', 's2'))
    """

    values: Tensor
    metric: str = "unknown"
    names: tuple[str, ...] | None = None
    conditions: tuple[str, ...] | None = None
    axes: Mapping[str, tuple[str, ...]] | None = None

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
        axes = None if self.axes is None else {axis: tuple(map(str, of)) for axis, of in self.axes.items()}
        if axes is not None and prod(map(len, axes.values())) != len(values):
            sizes = ", ".join(f"{len(labels)} on {axis!r}" for axis, labels in axes.items())
            raise ValueError(f"axes ({sizes}) do not fit {len(values)} RDMs; give an RDM per combination.")
        names = self.names
        if names is None:
            names = range(len(values)) if axes is None else ("/".join(labels) for labels in product(*axes.values()))
        names = tuple(map(str, names))
        if len(names) != len(values):
            raise ValueError(f"got {len(names)} names for {len(values)} RDMs; give one name per RDM.")
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "axes", {"rdm": names} if axes is None else axes)
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
        axes: Mapping[str, Sequence[str]] | None = None,
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
        one_sided = (matrices.isnan() ^ matrices.mT.isnan()).nonzero()
        if len(one_sided):
            which, row, column = one_sided[0].tolist()
            raise ValueError(
                f"an RDM is symmetric, but in RDM {which} the entry at row {row}, column {column} or its mirror image"
                f" is NaN and the other is not ({len(one_sided) // 2} such pairs); make both NaN, or fill both."
            )
        if asymmetry > MAX_ASYMMETRY * scale:
            raise ValueError(
                f"an RDM is symmetric, got entries that differ from their mirror image by up to {asymmetry:.3g}"
                "; average the matrix with its transpose if that is meant."
            )
        names, conditions = (None if items is None else tuple(items) for items in (names, conditions))
        return cls(upper_triangle(matrices), metric, names, conditions, axes)

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
            index = positions_of(list(index), self.names, "RDM")
        names = tuple(np.asarray(self.names, dtype=object)[index])
        axes = dict.fromkeys(self.axes, names) if len(self.axes) == 1 else None
        return replace(self, values=self.values[index], names=names, axes=axes)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"RDMs({len(self)} x {self.n_conditions} conditions, metric={self.metric!r}, {self.values.dtype})"

    def _repr_html_(self) -> str:
        """What a notebook shows: axes with their labels, conditions, and the range of the values."""
        known = self.values[torch.isfinite(self.values)]
        span = f"{known.min():.3f} to {known.max():.3f}" if len(known) else "none is known"
        unknown = self.values.numel() - len(known)
        facts = [("RDMs", len(self)), ("conditions", self.n_conditions), ("pairs", self.values.shape[1]),
                 ("metric", self.metric), ("values", span), ("undefined", unknown or None),
                 ("first conditions", None if self.conditions is None else ", ".join(self.conditions[:8]))]  # fmt: skip
        rows = [(axis, len(labels), ", ".join(labels[:8])) for axis, labels in self.axes.items()]
        return table_html("RDMs", facts, ("axis", "labels", "first labels"), rows)

    def along(self, axis: str) -> list[RDMs]:
        """One ``RDMs`` for each label of an axis, over the axes that are left.

        Raises:
            ValueError: no such axis, or no other.
        """
        if axis not in self.axes or len(self.axes) < 2:
            raise ValueError(f"no axis {axis!r} to part along, beside another; there is {', '.join(self.axes)}.")
        place = list(self.axes).index(axis)
        values = self.values.unflatten(0, tuple(map(len, self.axes.values()))).movedim(place, 0)
        others = {name: labels for name, labels in self.axes.items() if name != axis}
        return [RDMs(part.flatten(0, -2), self.metric, None, self.conditions, others) for part in values]

    def with_axes(self, *names: str) -> RDMs:
        """The same RDMs whose axes have other names, as many as there are.

        >>> RDMs(torch.rand(2, 3)).with_axes("subject").axes
        {'subject': ('0', '1')}
        """
        if len(names) != len(self.axes):
            raise ValueError(f"the RDMs stand on {len(self.axes)} axes, got {len(names)} names: {', '.join(names)}.")
        return replace(self, axes=dict(zip(names, self.axes.values(), strict=True)))

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
            positions = positions_of(list(conditions), self.conditions, "condition", self.n_conditions)
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
        return replace(self, values=mean, names=(name,), axes=None)

    def rank(self) -> RDMs:
        """Dissimilarities replaced by their ranks within each RDM, 1 = smallest, ties at their mean rank."""
        return replace(self, values=rank(self.values), metric=f"rank {self.metric}")

    def sqrt(self) -> RDMs:
        """Signed square roots of the dissimilarities, so that cross-validated ones below zero keep their sign."""
        return replace(self, values=self.values.sign() * self.values.abs().sqrt(), metric=f"sqrt {self.metric}")

    # ---- files --------------------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> Path:
        """Writes values, metric, names, conditions and axes to ``.npz``, ``.h5`` or ``.hdf5``, whole or not at all.

        Raises:
            ValueError: another suffix.
        """
        axes = None if list(self.axes) == ["rdm"] else dict(self.axes)
        values = self.values.detach().cpu().numpy()
        return write_content(Content(values, "values", self.metric, self.names, self.conditions or (), axes), path)

    @staticmethod
    def load(path: str | Path, key: str | None = None) -> RDMs:
        """RDMs from a file: square matrices or vectors of pairs, with names and conditions where the file has them.

        Args:
            path: ``.npz``, ``.npy``, ``.h5``, ``.hdf5``, ``.mat`` (v5 and v7.3), ``.pt``, ``.txt`` or ``.csv``.
            key: which entry, for files with several arrays that could be RDMs.

        Returns:
            RDMs in the file's precision. Several axes before the conditions or pairs (subjects, times) are called
            "axis 0", "axis 1", ... unless the file names them; ``with_axes`` gives them other names.

        Raises:
            FileNotFoundError: no such file.
            ValueError: another suffix, no entry shaped like RDMs, several without ``key``, or matrices that are none
                (asymmetric, non-zero diagonal).
        """
        content = read_content(path, key)
        leading = content.values.shape[: -2 if content.is_square else -1]
        n, axes, names = prod(leading), content.axes, content.names
        if axes is None and len(leading) > 1:
            axes = {f"axis {place}": tuple(map(str, range(size))) for place, size in enumerate(leading)}
        try:
            if content.is_square:
                rdms = RDMs.from_square(content.values, content.metric, axes=axes)
            else:
                values = np.ascontiguousarray(content.values.reshape(n, -1))
                rdms = RDMs(torch.from_numpy(values), content.metric, axes=axes)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{Path(path).name}, entry {content.entry!r}: {error}") from None
        if len(names) == 1 < n:
            names = tuple(f"{names[0]}/{name}" for name in rdms.names)
        names = names if len(names) == n else rdms.names
        return replace(
            rdms,
            names=names,
            conditions=content.conditions if len(content.conditions) == rdms.n_conditions else None,
            axes=rdms.axes if len(rdms.axes) > 1 else dict.fromkeys(rdms.axes, names),
        )


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

    Warns:
        UserWarning: only one side has names, so that their order is unknown.
    """
    if a.n_conditions != b.n_conditions or (a.conditions and b.conditions and set(a.conditions) != set(b.conditions)):
        if a.conditions and b.conditions:
            only_a, only_b = (few(set(x.conditions) - set(y.conditions)) for x, y in ((a, b), (b, a)))
            detail = f"only the first has {only_a}, only the second {only_b}; use .subset() on the common ones."
        else:
            detail = "the same conditions are needed on both sides."
        raise ValueError(f"RDMs over {a.n_conditions} and {b.n_conditions} conditions cannot be compared: {detail}")
    if (a.conditions is None) != (b.conditions is None):
        named = few((a.conditions or b.conditions)[:3])
        warnings.warn(
            f"only one side names its conditions ({named}, ...), so their order cannot be checked; make sure that the"
            " rows of both stand in the same order.",
            stacklevel=3,
        )
    if a.conditions is None or b.conditions is None or a.conditions == b.conditions:
        return a, b
    if not align:
        first = next(i for i, (x, y) in enumerate(zip(a.conditions, b.conditions, strict=True)) if x != y)
        raise ValueError(
            f"the conditions stand in different orders (number {first} is {a.conditions[first]!r} and"
            f" {b.conditions[first]!r}); pass align=True to match them by name."
        )
    return a, b.reorder(a.conditions)

"""What the files of this room check and say alike: numbers as tensors, names of conditions, names in messages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brainnet.stimuli import natural_sort


def as_float_tensor(values: Any, what: str) -> Tensor:
    """A floating-point tensor that shares memory where it can; integers become the default dtype, halves float32."""
    if not isinstance(values, Tensor):
        array = np.asarray(values)
        if array.dtype.kind not in "fiub":
            raise TypeError(f"{what} must be numbers, got an array of dtype {array.dtype}; stack equal shapes first.")
        if array.dtype.kind == "f" and array.dtype.itemsize > 8:
            array = array.astype(np.float64)  # the longest that torch has
        if not array.dtype.isnative:
            array = array.astype(array.dtype.newbyteorder("="))
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
            f"conditions are named twice: {few(twice)}; give each its own name, or average repeats by labels=."
        )
    return conditions


def positions_of(wanted: list, known: tuple[str, ...] | None, what: str, total: int | None = None) -> list[int]:
    """Where names or indices stand among the known ones; a ValueError for what is not there."""
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
                f"no {what} named {str(item)!r}; known: {few(place) if place else 'no names, use indices'}."
            )
    return positions


def few(names: Iterable[str], limit: int = 4) -> str:
    """The first few names, quoted, and how many there are.

    >>> few(["b", "a"])
    "'a', 'b'"
    """
    names = list(names) if isinstance(names, dict) else sorted(names)
    return (
        ", ".join(map(repr, names[:limit])) + (f", ... ({len(names)} in all)" if len(names) > limit else "") or "none"
    )


def in_order(labels: Any) -> tuple[np.ndarray, np.ndarray]:
    """The different labels in the order a person counts, as files are sorted, and which of them each entry is.

    >>> in_order(["img10", "img2", "img1", "img2"])[0].tolist(), in_order([10, 2])[1].tolist()
    (['img1', 'img2', 'img10'], [1, 0])
    """
    known, which = np.unique(np.asarray(labels), return_inverse=True)
    if known.dtype.kind not in "US":
        return known, which
    names = [name.decode() if isinstance(name, bytes) else str(name) for name in known]
    place = {name: i for i, name in enumerate(natural_sort(names))}
    order = np.array([place[name] for name in names])
    return known[np.argsort(order)], order[which]

"""What readers of published data sets share: files and tables checked as they are read, regions, held-out images."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brainnet._checks import nearest
from brainnet._files import reading
from brainnet._work import free_bytes, size
from brainnet.dataset.base import random_splits
from brainnet.dataset.tables import check_end
from brainnet.scores import NoiseCeiling

AT_ONCE = 16  # volumes in memory at a time


def there(path: Path, what: str = "") -> Path:
    """The path, where there is a file; ``what`` says what it should hold."""
    if not path.is_file():
        raise FileNotFoundError(f"no {path}{f': {what}' if what else ''}.")
    return path


def expect_shape(path: Path, shape: Sequence[int], expected: Sequence[int], what: str) -> None:
    """Refuses a file whose array has another shape; None in the expected one is any length."""
    fits = len(shape) == len(expected) and all(b in (None, a) for a, b in zip(shape, expected, strict=True))
    if not fits:
        wanted = ", ".join("any" if n is None else str(n) for n in expected)
        raise ValueError(f"{path} has shape {tuple(shape)}; expected ({wanted}) ({what}).")


def expect_type(path: Path, dtype: Any, kinds: str, what: str) -> None:
    """Refuses a file whose array is of another kind; ``kinds`` are letters as of ``numpy.dtype.kind``."""
    if np.dtype(dtype).kind not in kinds:
        raise ValueError(f"{path} holds {np.dtype(dtype).name}; {what}.")


def check_subject(subject: Any, known: Iterable[Any]) -> None:
    """Refuses a subject that a data set does not have."""
    known = list(known)
    if subject not in known:
        each = ", ".join(map(str, known))
        raise ValueError(f"subject is one of {each}; got {subject!r}.")


def check_memory(n_images: int, n_voxels: int, trials_at_once: int) -> None:
    """Refuses responses that do not fit into memory, before they are read.

    Raises:
        MemoryError: says how much they take.
    """
    needed = 5 * n_images * n_voxels + 12 * trials_at_once * n_voxels
    free = free_bytes(torch.device("cpu"))
    if free is not None and needed > free:
        raise MemoryError(
            f"responses to {n_images:,} images of {n_voxels:,} voxels take {size(needed)} and {size(free)} are free: "
            "choose a smaller region, or fewer sessions."
        )


def read_columns(path: Path, needed: Sequence[str], sep: str = ",") -> dict[str, list[str]]:
    """The columns of a table with a header, as texts; line breaks within a name are taken out of it.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a column that is needed is missing or there twice, or a row has another number of cells.
    """
    there(path)
    with reading(path, "table"), path.open(newline="", encoding="utf-8-sig") as file:
        rows = [row for row in csv.reader(file, delimiter=sep) if row]
    header = ["".join(name.splitlines()).strip() for name in rows[0]] if rows else []
    missing = [name for name in needed if header.count(name) != 1]
    if missing:
        raise ValueError(
            f"{path} has {header.count(missing[0])} columns {missing[0]!r}, expected one; it has {len(header)} columns"
            + (f", {', '.join(header[:6])} and so on." if header else ".")
        )
    odd = next((number for number, row in enumerate(rows, 1) if len(row) != len(header)), None)
    if odd is not None:
        raise ValueError(f"{path}: row {odd} has {len(rows[odd - 1])} cells; expected {len(header)}, as its header.")
    check_end(path, sep)
    return {name: [row[place] for row in rows[1:]] for place, name in enumerate(header)}


def numbers(path: Path, name: str, cells: Sequence[str]) -> np.ndarray:
    """A column of a table as float64, NaN where a cell is empty."""
    try:
        return np.array([float(cell) if cell.strip() else np.nan for cell in cells])
    except ValueError as error:
        raise ValueError(f"{path}: column {name!r} must hold numbers ({error}).") from None


def read_volumes(path: Path, inside: np.ndarray, n_volumes: int | None = None) -> np.ndarray:
    """(n_volumes, n_voxels) float32 of a 4-D NIfTI file, read once from its start to its end, some volumes at a time.

    Args:
        path: of shape (X, Y, Z, n_volumes).
        inside: (X, Y, Z) bool, the voxels to keep.
        n_volumes: how many there must be; None takes any number.

    Raises:
        ValueError: it is damaged, or of another shape.
    """
    import nibabel

    there(path)
    with reading(path, "NIfTI file"):
        image = nibabel.load(path, keep_file_open=True)  # else a compressed file is unpacked from its start each time
        expect_shape(path, image.shape, (*inside.shape, n_volumes), "x, y, z, trials")
        values = np.empty((image.shape[3], int(inside.sum())), np.float32)
        for start in range(0, len(values), AT_ONCE):
            block = np.asarray(image.dataobj[..., start : start + AT_ONCE])
            values[start : start + AT_ONCE] = block[inside].T
    return values


def read_volume(path: Path, shape: tuple[int, ...] | None = None) -> tuple[np.ndarray, np.ndarray]:
    """(X, Y, Z) and the (4, 4) affine of a NIfTI file of one volume, such as a mask."""
    import nibabel

    there(path)
    with reading(path, "NIfTI file"):
        image = nibabel.load(path)
        values = np.asanyarray(image.dataobj)
    values = values[..., 0] if values.ndim == 4 and values.shape[3] == 1 else values
    expect_shape(path, values.shape, shape or (None, None, None), "x, y, z")
    return values, np.asarray(image.affine)


def read_mask(path: Path, shape: tuple[int, ...] | None = None) -> tuple[np.ndarray, np.ndarray]:
    """(X, Y, Z) bool and the (4, 4) affine of a NIfTI file of one volume: what is above 0 is inside.

    Raises:
        ValueError: it is damaged, of another shape, or NaN somewhere, which is neither inside nor outside.
    """
    values, affine = read_volume(path, shape)
    if np.isnan(values).any():
        raise ValueError(f"{path} is NaN in {np.isnan(values).sum()} of {values.size} voxels; expected 0 and 1.")
    return values > 0, affine


def ceiling_of_percent(percent: np.ndarray, where: str) -> Tensor:
    """A published ceiling in percent of the variance on the scale of Pearson's r; NaN where it is not known.

    Raises:
        ValueError: numbers that are no percent.

    >>> ceiling_of_percent(np.array([64.0, np.nan]), "map")
    tensor([0.8000,    nan])
    """
    known = percent[np.isfinite(percent)]
    if len(known) and (known.min() < 0 or known.max() > 100):
        raise ValueError(
            f"{where} holds {known.min():.3g} to {known.max():.3g}; expected percent of the variance, from 0 to 100."
        )
    return torch.from_numpy(np.sqrt(percent / 100)).float()


def told_ceiling(ceiling: NoiseCeiling, note: str = "", about: str = "about ") -> dict[str, Any]:
    """What a :class:`~brainnet.dataset.ResponseDataset` is told of the ceiling of its test images, by argument.

    Args:
        ceiling: of the mean over their trials.
        note: added to its definition.
        about: in front of the number of trials, "" where it is the same for all images.

    >>> told_ceiling(NoiseCeiling(torch.tensor([0.5]), "of trials", 3))["noise_ceiling_definition"]
    'of trials, about K = 3'
    """
    n = ceiling.n_repeats
    definition = f"{ceiling.definition}{note}, {about}K = {n}"
    return {"noise_ceiling": ceiling.r.float(), "noise_ceiling_definition": definition, "n_repeats": n}


def held_out(test: np.ndarray, val: float | int, seed: int, where: str) -> dict[str, Tensor]:
    """Splits with the test images given, and "val" drawn from the others.

    Args:
        test: (n_images,) bool.
        val: share or number of the others.
        seed: of the draw.
        where: for messages.
    """
    if not test.any() or test.all():
        raise ValueError(f"{where}: {int(test.sum())} of {len(test)} images are test images; expected some, not all.")
    rest = torch.from_numpy(np.flatnonzero(~test))
    drawn = random_splits(len(rest), test=0, val=val, seed=seed)
    return {"train": rest[drawn["train"]], "val": rest[drawn["val"]], "test": torch.from_numpy(np.flatnonzero(test))}


def choose_region(
    region: str,
    rois: Mapping[str, np.ndarray],
    everywhere: np.ndarray,
    /,
    **sets: Callable[[str], bool],
) -> np.ndarray:
    """Which voxels are in any of some regions.

    Args:
        region: names of regions with "+" between them, or of a set of regions; "" takes every voxel.
        rois: name -> bool, as ``everywhere``.
        everywhere: bool, every voxel.
        sets: name of a set -> whether a region of a name belongs to it.

    Raises:
        ValueError: a region that is not there, or without voxels.

    >>> choose_region("V1+V2", {"V1": np.array([True, False]), "V2": np.array([False, False])}, np.ones(2, bool))
    array([ True, False])
    """
    if not region:
        return everywhere
    names = [name for name in rois if sets[region](name)] if region in sets else region.split("+")
    unknown = next((name for name in names if name not in rois), None)
    if unknown is not None or not names:
        close = nearest(unknown or region, rois)
        hint = f" Did you mean {close!r}?" if close else ""
        known = ", ".join([*sets, *rois][:12]) + ("" if len(rois) + len(sets) <= 12 else " and so on")
        raise ValueError(f"Unknown region {unknown or region!r}.{hint} Known: {known or 'none'}.")
    inside = np.any([rois[name] for name in names], 0)
    if not inside.any():
        raise ValueError(f"no voxel is in the region {region!r}.")
    return inside


def ordered_by(labels: Sequence[Any]) -> Iterator[tuple[Any, np.ndarray]]:
    """Each label once, in the order of their first place, and the places that have it."""
    places: dict[Any, list[int]] = {}
    for place, label in enumerate(labels):
        places.setdefault(label, []).append(place)
    yield from ((label, np.array(where)) for label, where in places.items())

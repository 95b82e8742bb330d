"""The file that the Algonauts 2023 challenge takes: predictions of all subjects in one archive; written, and checked.

    subj01/lh_pred_test.npy      (n_test_images, n_vertices of the left hemisphere) float32
           rh_pred_test.npy      the right one's
    subj02/ ...

Rows are the photographs of ``test_split/test_images`` by file name, columns those of ``training_fmri``.
"""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from brainnet._files import reading, writing
from brainnet.stimuli import Images

SIDES = ("lh", "rh")
SUBJECTS = tuple(f"subj{n:02d}" for n in range(1, 9))
LARGEST = 2**31  # bytes of a file within the archive that is still read


class Sizes(NamedTuple):
    """Test photographs of a subject, and vertices of its hemispheres."""

    n_images: int
    n_left: int
    n_right: int


def sizes_of(folder: str | os.PathLike) -> Sizes:
    """The sizes that a subject's predictions must have, from its folder of the challenge.

    Args:
        folder: such as ``/data/alg23/subj01``, with ``test_split/test_images`` and ``training_split/training_fmri``.

    Raises:
        FileNotFoundError: one of these is missing; names it.
        ValueError: a file of responses that cannot be read.
    """
    columns = []
    for side in SIDES:
        path = Path(folder) / f"training_split/training_fmri/{side}_training_fmri.npy"
        if not path.is_file():
            raise FileNotFoundError(f"no {path}: it says how many vertices that hemisphere has.")
        with reading(path, "array of numbers"):
            columns.append(np.load(path, allow_pickle=False, mmap_mode="r").shape[-1])
    return Sizes(len(Images(Path(folder) / "test_split/test_images")), *columns)


def write_submission(
    path: str | os.PathLike, predictions: Mapping[str, Any], folders: Mapping[str, str | os.PathLike]
) -> Path:
    """The archive that the challenge takes, written whole or not at all.

    Args:
        path: of the archive, ``.zip``.
        predictions: subject ("subj01") -> responses to its test photographs in the order of their file names, the left
            hemisphere's columns and then the right one's: (n_test_images, n_vertices), or a ``.npy`` file of that, or a
            folder that ``brainnet predict`` has written, whose list of images must be these.
        folders: subject -> its folder of the challenge.

    Returns:
        The path.

    Raises:
        FileNotFoundError: a folder or a file of predictions is missing.
        ValueError: another shape, other images, or numbers that are not finite; names the subject.
    """
    path = Path(path)
    if path.suffix != ".zip":
        raise ValueError(f"the challenge takes a .zip file, got {path}.")
    absent = sorted(set(predictions) - set(folders))
    if absent or not predictions:
        raise ValueError(f"no folder of the challenge for {absent[0]!r}." if absent else "there are no predictions.")
    with writing(path) as unfinished, zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED) as archive:
        for subject in sorted(predictions):
            sizes = sizes_of(folders[subject])
            values = _values(subject, predictions[subject], Path(folders[subject]))
            expected = (sizes.n_images, sizes.n_left + sizes.n_right)
            if values.shape != expected:
                raise ValueError(f"predictions of {subject} have shape {values.shape}; expected {expected}: its test "
                                 "photographs, and the vertices of both hemispheres.")  # fmt: skip
            _refuse_holes(f"predictions of {subject}", values)
            for side, part in zip(SIDES, np.split(values, [sizes.n_left], axis=1), strict=True):
                content = io.BytesIO()
                np.save(content, np.ascontiguousarray(part, dtype=np.float32), allow_pickle=False)
                entry = zipfile.ZipInfo(_name(subject, side))  # a fixed date: the same numbers are the same file
                archive.writestr(entry, content.getvalue(), zipfile.ZIP_DEFLATED)
    return path


def check_submission(
    path: str | os.PathLike,
    folders: Mapping[str, str | os.PathLike] | None = None,
    subjects: tuple[str, ...] = SUBJECTS,
) -> dict[str, Sizes]:
    """What an archive holds for each subject, once it is one that the challenge takes.

    Args:
        path: of the archive.
        folders: subject -> its folder of the challenge, whose sizes the predictions must have; None checks no sizes.
        subjects: who must be in it.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no archive, a file that is missing or too much, another type or shape, or numbers that are not
            finite; names the first.
    """
    path = Path(path)
    with reading(path, "zip archive"), zipfile.ZipFile(path) as archive:
        entries = {entry.filename: entry for entry in archive.infolist() if not entry.is_dir()}
    wanted = {_name(subject, side) for subject in subjects for side in SIDES}
    missing, others = sorted(wanted - set(entries)), sorted(set(entries) - wanted)
    if missing or others:
        said = f"has no {missing[0]}" if missing else f"holds {others[0]}, which does not belong there"
        inside = [name for name in entries if missing and name.endswith(missing[0])]
        hint = f"; it has {inside[0]}, a folder too deep" if inside else ""
        raise ValueError(f"{path} {said}{hint}. Expected subj01/lh_pred_test.npy and so on, and nothing else.")
    found = {}
    for subject in subjects:
        left, right = (_read(path, _name(subject, side)) for side in SIDES)
        if len(left) != len(right):
            raise ValueError(f"{path}: {subject} has {len(left)} rows on the left and {len(right)} on the right.")
        found[subject] = Sizes(len(left), left.shape[1], right.shape[1])
        expected = sizes_of(folders[subject]) if folders and subject in folders else found[subject]
        if found[subject] != expected:
            raise ValueError(f"{path}: {subject} has {_described(found[subject])}; expected {_described(expected)}.")
    return found


def _name(subject: str, side: str) -> str:
    return f"{subject}/{side}_pred_test.npy"


def _described(sizes: Sizes) -> str:
    return f"{sizes.n_images} photographs, {sizes.n_left} left and {sizes.n_right} right vertices"


def _values(subject: str, given: Any, folder: Path) -> np.ndarray:
    """Predictions from memory, from a file, or from a folder of ``brainnet predict``."""
    if not isinstance(given, str | os.PathLike):
        return np.asarray(given.detach().cpu() if hasattr(given, "detach") else given)
    source = Path(given)
    if source.is_dir():
        listed = source / "images.txt"
        if not listed.is_file():
            raise FileNotFoundError(f"no {listed}: it says which images were predicted.")
        names = listed.read_text(encoding="utf-8-sig").splitlines()
        wanted = Images(folder / "test_split/test_images").ids
        if names != wanted:
            raise ValueError(f"{listed} names other images than {folder / 'test_split/test_images'}, or in another "
                             f"order: {len(names)} and {len(wanted)}.")  # fmt: skip
        source = source / "predictions.npy"
    with reading(source, "array of numbers"):
        return np.load(source, allow_pickle=False)


def _read(path: Path, name: str) -> np.ndarray:
    with reading(path, "zip archive"), zipfile.ZipFile(path) as archive:
        if archive.getinfo(name).file_size > LARGEST:
            raise ValueError(f"{name} unpacks to {archive.getinfo(name).file_size:,} bytes, more than predictions have")
        content = archive.read(name)
    where = f"{path}, {name}"
    with reading(Path(where), "array of numbers"):
        values = np.load(io.BytesIO(content), allow_pickle=False)
    if values.dtype != np.float32 or values.ndim != 2:
        raise ValueError(f"{where} holds {values.dtype.name} of shape {values.shape}; expected float32, "
                         "(n_test_images, n_vertices).")  # fmt: skip
    _refuse_holes(where, values)
    return values


def _refuse_holes(where: str, values: np.ndarray) -> None:
    wrong = ~np.isfinite(values)
    if wrong.any():
        raise ValueError(f"{where} hold {int(wrong.sum())} numbers that are not finite, in {int(wrong.any(0).sum())} "
                         "columns: fill them before, for instance with 0.")  # fmt: skip

"""The files of LAION-fMRI: trials and betas of sessions, regions, encoded pictures, splits; each is checked."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from brainnet._checks import warn_once
from brainnet._files import file_digest, read_json, reading, sha256
from brainnet.dataset.readers._checked import numbers, read_columns, read_mask, there
from brainnet.stimuli.decoding import decode
from brainnet.stimuli.sources import Handle


class Session(NamedTuple):
    """A session's file of betas, its number, and the label of each of its volumes."""

    path: Path
    number: int
    labels: list[str]


def read_sessions(root: Path, subject: int) -> list[Session]:
    """The sessions of a subject in order.

    Raises:
        FileNotFoundError: none is there, or one without its table of trials.
        ValueError: a table that does not number the volumes from 0.
    """
    folder = root / f"derivatives/glmsingle-tedana/sub-{subject:02d}"
    name = f"sub-{subject:02d}_ses-*_task-images_space-T1w_stat-effect_desc-SingletrialBetas_statmap.nii.gz"
    paths = sorted(folder.glob(f"ses-*/func/{name}"))
    if not paths:
        raise FileNotFoundError(f"no {folder / 'ses-01/func' / name.replace('*', '01')}.")
    there_are = {path.name.partition("_space-T1w")[0] for path in paths}
    tables = sorted(folder.glob(f"ses-*/func/{name.partition('_space-T1w')[0]}_desc-SingletrialBetas_trials.tsv"))
    alone = [table for table in tables if table.name.partition("_desc-")[0] not in there_are]
    if alone:
        warn_once(
            f"no betas {alone[0]}",
            f"{len(alone)} of {len(tables)} sessions have a table of trials and no betas, such as {alone[0]}; "
            "they are left out.",
        )
    sessions = []
    for path in paths:
        number = re.search(r"_ses-(\w+?)_", path.name)
        stem = path.name.partition("_space-T1w")[0]
        table = path.with_name(f"{stem}_desc-SingletrialBetas_trials.tsv")
        columns = read_columns(table, ("beta_index", "label"), sep="\t")
        order = numbers(table, "beta_index", columns["beta_index"])
        if sorted(order) != list(range(len(order))):
            raise ValueError(f"{table}: beta_index must name the volumes, 0 to {len(order) - 1}, once each.")
        labels = [""] * len(order)
        for place, label in zip(order.astype(int), columns["label"], strict=True):
            labels[place] = label
        sessions.append(Session(path, int(re.sub(r"\D", "", number[1]) or 0) if number else 0, labels))
    return sorted(sessions, key=lambda session: session.number)


def find_mask(root: Path, subject: int) -> tuple[np.ndarray, np.ndarray] | None:
    """The mask of the brain and its affine; None without that file."""
    name = f"derivatives/anatomical/sub-{subject:02d}/ses-PrismaAnat/anat/*space-T1w_res-1pt8_desc-brain_mask.nii.gz"
    path = next(iter(sorted(root.glob(name))), None)
    if path is None:
        return None
    return read_mask(path)


def read_regions(root: Path, subject: int, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """The regions of a subject, in either of the layouts that were published; those without voxels are left out."""
    newer = root / f"derivatives/rois/sub-{subject:02d}"
    older = root / f"derivatives/atlases/sub-{subject:02d}/rois"
    rois = {}
    for path in sorted(newer.glob(f"*/sub-{subject:02d}_space-T1w_res-1pt8_label-*_mask.nii.gz")):
        rois[path.name.partition("_label-")[2].removesuffix("_mask.nii.gz")] = read_mask(path, shape)[0]
    for path in sorted(older.glob("*.nii.gz")) if not rois else ():
        rois[path.name.removesuffix(".nii.gz")] = read_mask(path, shape)[0]
    return {name: mask for name, mask in rois.items() if mask.any()}


class Pictures:
    """The pictures of ``task-images_stimuli.h5`` by their labels, decoded as they are asked for.

    Args:
        folder: holds the file and ``task-images_metadata.csv``, a row a picture.
        labels: which, in this order; with or without a suffix.

    Raises:
        FileNotFoundError: one of the two files is missing.
        ValueError: another number of rows than of pictures, or a label that is not among them.
    """

    def __init__(self, folder: Path, labels: Sequence[str]):
        import h5py

        self.path = there(folder / "task-images_stimuli.h5", "the photographs, 3.2 GB")
        table = folder / "task-images_metadata.csv"
        names = read_columns(table, ("image_name",))["image_name"]
        with reading(self.path, "HDF5 file of pictures"), h5py.File(self.path, "r") as file:
            if "images" not in file or file["images"].ndim != 1:
                raise ValueError(f"it has no list of pictures; it has {', '.join(file) or 'nothing'}")
            n = len(file["images"])
        if n != len(names):
            raise ValueError(f"{self.path} has {n} pictures, and {table} {len(names)} rows.")
        place = {Path(name).stem: row for row, name in enumerate(names)}
        missing = [label for label in labels if Path(label).stem not in place]
        if missing:
            raise ValueError(f"{len(missing)} of {len(labels)} pictures are not in {table}, such as {missing[0]!r}.")
        self.ids = [Path(label).stem for label in labels]
        self.image_ids = self.ids
        self._rows = [place[name] for name in self.ids]
        self._file = Handle(partial(h5py.File, self.path, "r"))

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int):
        """Picture ``index``, an RGB ``PIL.Image``."""
        content = self._file()["images"][self._rows[index]]
        content = content if isinstance(content, bytes) else np.asarray(content, np.uint8).tobytes()
        return decode(io.BytesIO(content), f"image {index}, {self.ids[index]} in {self.path}")

    def signature(self) -> str:
        """Digest of all bytes of the file, and of which pictures are meant."""
        return sha256(file_digest(self.path), *(f"{row} " for row in self._rows))


def read_split(path: Path, variant: str = "") -> tuple[set[str], set[str]]:
    """The training and the test pictures of a published split, without suffix.

    Args:
        path: a JSON file with "variants", each with "variant_id", "train_ids" and "test_ids".
        variant: the id of one; "" takes the first.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it has no such variant, or a picture is in both lists.
    """
    variants = read_json(there(path, "a split of the package laion_fmri")).get("variants")
    if not isinstance(variants, list) or not all(isinstance(one, dict) for one in variants) or not variants:
        raise ValueError(f"{path} has no variants; expected a list with variant_id, train_ids and test_ids.")
    known = [str(one.get("variant_id")) for one in variants]
    if variant and variant not in known:
        raise ValueError(f"{path} has no variant {variant!r}. Known: {', '.join(known)}.")
    chosen = variants[known.index(variant) if variant else 0]
    parts = []
    for name in ("train_ids", "test_ids"):
        ids = chosen.get(name)
        if not isinstance(ids, list) or not ids:
            raise ValueError(f"{path}, variant {known[0]!r}, has no {name}.")
        parts.append({Path(str(one)).stem for one in ids})
    both = parts[0] & parts[1]
    if both:
        raise ValueError(f"{path}: {len(both)} pictures are in train_ids and in test_ids, such as {min(both)!r}.")
    return parts[0], parts[1]

"""The files of THINGS-fMRI: trials, voxels and responses in tables, or volumes of each run; each is checked."""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from brainnet._files import reading
from brainnet.dataset.readers._checked import (
    ceiling_of_percent,
    expect_type,
    numbers,
    ordered_by,
    read_columns,
    read_mask,
    read_volume,
    read_volumes,
    there,
)
from brainnet.dataset.readers._pickles import plain_from_bytes

ROWS = 4096  # voxels of the table of responses that are read at a time
NO_REGIONS = ("voxel_id", "subject_id", "voxel_x", "voxel_y", "voxel_z", "nc_singletrial", "nc_testset",
              "splithalf_uncorrected", "splithalf_corrected", "prf-eccentricity", "prf-polarangle", "prf-rsquared",
              "prf-size")  # fmt: skip
VISUAL_AREAS = ("V1", "V2", "V3", "hV4", "VO1", "VO2", "LO1 (prf)", "LO2 (prf)", "TO1", "TO2", "V3b", "V3a")
CATEGORIES = ("EBA", "FFA", "OFA", "STS", "PPA", "RSC", "TOS", "LOC")  # in the files with "l" or "r" in front


class Trials(NamedTuple):
    """What was shown: for each trial the picture's file name, whether it is a test image, its session and its run."""

    stimuli: list[str]
    is_test: np.ndarray
    sessions: list[str]
    runs: list[str]


class Voxels(NamedTuple):
    """Places (n, 3) in the volume, ceilings of the mean of the test trials (n,) as Pearson's r, regions."""

    places: np.ndarray
    ceiling: Tensor | None
    rois: dict[str, np.ndarray]


def read_trials(folder: Path, subject: int) -> Trials:
    """The table of trials, one a column of the responses.

    Raises:
        ValueError: another subject's, trials in another order, or words that are none of the published ones.
    """
    path = folder / f"sub-{subject:02d}_StimulusMetadata.csv"
    table = read_columns(path, ("trial_type", "session", "run", "subject_id", "trial_id", "stimulus"))
    _check_subject(path, table["subject_id"], subject)
    ids = _whole(path, "trial_id", table["trial_id"])
    if ids != list(range(len(ids))):
        wrong = next(place for place, one in enumerate(ids) if one != place)
        raise ValueError(f"{path}: trial_id of row {wrong + 2} is {ids[wrong]}; expected {wrong}, one row per trial.")
    other = sorted(set(table["trial_type"]) - {"train", "test"})
    if other:
        raise ValueError(f"{path}: trial_type is 'train' or 'test', got {other[0]!r}.")
    is_test = np.array([kind == "test" for kind in table["trial_type"]])
    return Trials(table["stimulus"], is_test, table["session"], table["run"])


def read_voxels(folder: Path, subject: int) -> tuple[np.ndarray, Voxels]:
    """The ids of all voxels, and what is known of them.

    Raises:
        ValueError: another subject's, a voxel twice, or a region that is not 0 or 1.
    """
    path = folder / f"sub-{subject:02d}_VoxelMetadata.csv"
    table = read_columns(path, ("voxel_id", "subject_id", "voxel_x", "voxel_y", "voxel_z", "nc_testset"))
    _check_subject(path, table["subject_id"], subject)
    ids = np.array(_whole(path, "voxel_id", table["voxel_id"]))
    places = np.stack([_whole(path, name, table[name]) for name in ("voxel_x", "voxel_y", "voxel_z")], 1)
    for name, values in (("voxel_id", ids[:, None]), ("voxel_x, voxel_y, voxel_z", places)):
        rows, counts = np.unique(values, axis=0, return_counts=True)
        if (counts > 1).any():
            raise ValueError(f"{path}: {name} = {rows[counts.argmax()].tolist()} is there {counts.max()} times.")
    rois = {}
    for name in table:
        if name not in NO_REGIONS:
            values = numbers(path, name, table[name])
            if not np.isin(values, (0, 1)).all():
                wrong = values[~np.isin(values, (0, 1))][0]
                raise ValueError(f"{path}: column {name!r} must be 0 or 1, a region; got {wrong:g}.")
            rois[name] = values == 1
    percent = numbers(path, "nc_testset", table["nc_testset"])
    return ids, Voxels(places, ceiling_of_percent(percent, f"{path}: nc_testset"), with_both_sides(rois))


def with_both_sides(rois: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Regions, with those of both hemispheres ("FFA") before their halves ("lFFA", "rFFA"); empty ones left out."""
    both = {}
    for name in CATEGORIES:
        halves = [rois[side + name] for side in "lr" if side + name in rois]
        if halves and name not in rois:
            both[name] = np.any(halves, 0)
    areas = {name: mask for name, mask in rois.items() if name in VISUAL_AREAS}
    return {name: mask for name, mask in (areas | both | rois).items() if mask.any()}


class Responses:
    """The table of responses, voxels x trials, of which a session is read at a time.

    It is the HDF5 file of a pandas frame: the blocks of its columns by type, and the names of these, which are a pickle
    where they are texts and numbers, and are read as data only.
    """

    def __init__(self, folder: Path, subject: int, n_trials: int, voxel_ids: np.ndarray):
        import h5py

        self.path = there(folder / f"sub-{subject:02d}_ResponseData.h5")
        with reading(self.path, "HDF5 file of a pandas frame"), h5py.File(self.path, "r") as file:
            frames = [name for name, item in file.items() if isinstance(item, h5py.Group) and "axis0" in item]
            if len(frames) != 1:
                raise ValueError(f"it holds {len(frames)} frames; expected one")
            self.frame = frames[0]
            frame = file[self.frame]
            blocks = sorted(re.fullmatch(r"block(\d+)_items", name)[1] for name in frame if name.endswith("_items"))
            column_of = {}
            for block in blocks:
                names = _labels(frame[f"block{block}_items"])
                column_of |= {name: (f"block{block}_values", place) for place, name in enumerate(names)}
        self._check(column_of, n_trials, voxel_ids)
        self.values = column_of["0"][0]
        self.columns = np.array([column_of[str(trial)][1] for trial in range(n_trials)])

    def _check(self, column_of: dict[str, tuple[str, int]], n_trials: int, voxel_ids: np.ndarray) -> None:
        import h5py

        wanted = {"voxel_id", *map(str, range(n_trials))}
        if set(column_of) != wanted:
            odd = sorted(wanted - set(column_of)) or sorted(set(column_of) - wanted)
            raise ValueError(
                f"{self.path} has {len(column_of)} columns; expected voxel_id and 0 to {n_trials - 1}, the trials "
                f"of StimulusMetadata.csv ({odd[0]!r} is in one of the two only)."
            )
        blocks = {column_of[str(trial)][0] for trial in range(n_trials)}
        if len(blocks) > 1:
            raise ValueError(f"{self.path} holds trials of several types; expected one, of real numbers.")
        with reading(self.path, "HDF5 file of a pandas frame"), h5py.File(self.path, "r") as file:
            values = file[self.frame][blocks.pop()]
            expect_type(self.path, values.dtype, "f", "responses are real numbers")
            name, place = column_of["voxel_id"]
            ids = file[self.frame][name][:, place]
        if len(ids) != len(voxel_ids):
            raise ValueError(f"{self.path} has {len(ids)} voxels; expected {len(voxel_ids)}, as VoxelMetadata.csv.")
        wrong = np.flatnonzero(ids != voxel_ids)
        if len(wrong):
            row = int(wrong[0])
            raise ValueError(
                f"{self.path}: voxel_id of row {row} is {ids[row]:g}, and {voxel_ids[row]} in VoxelMetadata.csv: one "
                "of the two is of another subject, or in another order."
            )

    def read(self, trials: np.ndarray, inside: np.ndarray) -> np.ndarray:
        """(n_trials, n_voxels) float32 of some trials and of the voxels inside."""
        import h5py

        found = np.empty((len(trials), int(inside.sum())), np.float32)
        columns = self.columns[trials]
        first, last = columns.min(), columns.max() + 1
        done = 0
        with reading(self.path, "HDF5 file of a pandas frame"), h5py.File(self.path, "r") as file:
            values = file[self.frame][self.values]
            for start in range(0, len(inside), ROWS):
                rows = np.flatnonzero(inside[start : start + ROWS])
                if len(rows):
                    block = values[start + rows[0] : start + rows[-1] + 1, first:last]
                    found[:, done : done + len(rows)] = block[np.ix_(rows - rows[0], columns - first)].T
                    done += len(rows)
        return found


def _labels(item: Any) -> list[str]:
    """Names of columns: numbers, texts, or a pickle of both."""
    values = item[()]
    if values.dtype == object:  # bytes of a pickle, one row of them
        try:
            values = plain_from_bytes(np.asarray(values[0], np.uint8).tobytes())
        except pickle.UnpicklingError as error:
            raise ValueError(f"the names of its columns are no plain data: {error}") from None
    return [one.decode() if isinstance(one, bytes) else str(one) for one in np.ravel(values).tolist()]


# ---------------------------------------------------------------------- volumes


class Run(NamedTuple):
    """A file of responses, its session and run, its volumes that are not catch trials, and the pictures of these."""

    path: Path
    session: int
    number: int
    keep: np.ndarray
    stimuli: list[str]


def read_runs(root: Path, subject: int) -> list[Run]:
    """The runs of a subject in order.

    Raises:
        FileNotFoundError: no runs, or one without its list of pictures.
    """
    folders = [root / part / f"sub-{subject:02d}" for part in ("betas_vol", "betas_vol/scalematched")]
    paths = sorted(path for folder in folders for path in folder.glob("ses-things*/*_betas.nii.gz"))
    if not paths:
        raise FileNotFoundError(f"no {folders[0]}/ses-things01/sub-{subject:02d}_ses-things01_run-01_betas.nii.gz.")
    runs = []
    for path in paths:
        found = re.search(r"ses-things(\d+)_run-(\d+)_betas", path.name)
        table = path.with_name(path.name.replace("_betas.nii.gz", "_conditions.tsv"))
        if found is None:
            raise ValueError(f"{path} names no session and run; expected ..._ses-things01_run-01_betas.nii.gz.")
        names = read_columns(table, ("image_filename",), sep="\t")["image_filename"]
        keep = np.array([not Path(name).name.startswith("catch") for name in names])
        shown = [Path(name).name for name, kept in zip(names, keep, strict=True) if kept]
        runs.append(Run(path, int(found[1]), int(found[2]), keep, shown))
    return sorted(runs, key=lambda run: (run.session, run.number))


def trials_of(runs: Sequence[Run]) -> Trials:
    """The trials of all runs; test images are those that come in several sessions."""
    stimuli = [name for run in runs for name in run.stimuli]
    sessions = [f"{run.session}" for run in runs for _ in run.stimuli]
    seen: dict[str, set[str]] = {}
    for name, session in zip(stimuli, sessions, strict=True):
        seen.setdefault(name, set()).add(session)
    is_test = np.array([len(seen[name]) > 1 for name in stimuli])
    return Trials(stimuli, is_test, sessions, [f"{run.number}" for run in runs for _ in run.stimuli])


def blocks_of(runs: Sequence[Run], inside: np.ndarray) -> Iterator[np.ndarray]:
    """The responses of each session, (n_trials, n_voxels)."""
    for _, places in ordered_by([run.session for run in runs]):
        chosen = [runs[place] for place in places]
        yield np.concatenate([read_volumes(run.path, inside, len(run.keep))[run.keep] for run in chosen])


def read_regions(root: Path, subject: int, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """The regions of a subject in a volume, as far as their files are there."""
    rois: dict[str, np.ndarray] = {}
    for folder in (root / "rois", root):
        areas = folder / f"prf/sub-{subject:02d}/resampled_varea.nii.gz"
        if areas.is_file() and not rois:
            labels, _ = read_volume(areas, shape)
            rois = {name: labels == label for label, name in enumerate(VISUAL_AREAS[:10], 1)}
            rois["V3ab"] = np.isin(labels, (11, 12))  # sources name the two in either order
        for path in sorted((folder / f"category_localizer/sub-{subject:02d}").glob("*_parcels/*.nii.gz")):
            name = path.name.removesuffix(".nii.gz").removeprefix(f"sub-{subject:02d}_")
            rois[name] = read_mask(path, shape)[0]
    return with_both_sides(rois)


def check_mask(places: np.ndarray, brain: np.ndarray, path: Path) -> None:
    """Refuses a brain mask (X, Y, Z) whose voxels are not the places (n, 3) of the table.

    Raises:
        ValueError: it is of another subject, or its axes are in another order.
    """
    fits = ((places >= 0) & (places < brain.shape)).all(1)
    fits[fits] = brain[tuple(places[fits].T)]
    if not fits.all() or brain.sum() != len(places):
        lost = f", as voxel_x, voxel_y, voxel_z = {places[~fits][0].tolist()}" if not fits.all() else ""
        raise ValueError(
            f"{path} has {brain.sum()} voxels in a volume of shape {brain.shape}; expected the {len(places)} voxels of "
            f"VoxelMetadata.csv, {(~fits).sum()} of which it leaves out{lost}."
        )


def volume_index(places: np.ndarray, shape: Sequence[int]) -> tuple[np.ndarray, Tensor]:
    """The mask (X, Y, Z) of places (n, 3), and where each lies in it, flattened."""
    mask = np.zeros(shape, bool)
    mask[tuple(places.T)] = True
    return mask, torch.from_numpy(np.ravel_multi_index(tuple(places.T), tuple(shape)))


def _check_subject(path: Path, cells: Sequence[str], subject: int) -> None:
    other = sorted({cell for cell in cells if re.sub(r"\D", "", cell).lstrip("0") != str(subject)})
    if other or not cells:
        found = f"of subject {other[0]!r}" if other else "empty"
        raise ValueError(f"{path} is {found}; expected subject {subject}.")


def _whole(path: Path, name: str, cells: Sequence[str]) -> list[int]:
    values = numbers(path, name, cells)
    if not np.equal(values, np.floor(values)).all():
        raise ValueError(f"{path}: column {name!r} must hold whole numbers.")
    return values.astype(np.int64).tolist()

"""BIDS folders with derivatives: preprocessed series and their events, or single trials of GLMsingle, as a data set.

<root>/sub-01/[ses-01/]func/sub-01_[ses-01_]task-x_[run-1_]events.tsv     onset, duration, stim_file
       stimuli/                                                            the images that stim_file names
       derivatives/fmriprep/sub-01/[ses-01/]func/..._desc-preproc_bold.nii.gz, ..._desc-brain_mask.nii.gz,
                            ..._hemi-L_..._bold.func.gii, ..._bold.dtseries.nii, ..._desc-confounds_timeseries.tsv
       derivatives/glmsingle/sub-01/[ses-01/]TYPED_FITHRF_GLMDENOISE_RR.hdf5
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from brainnet._checks import warn_once
from brainnet._registry import check_options
from brainnet._work import progress as show_progress
from brainnet.dataset.about import About
from brainnet.dataset.base import ResponseDataset, random_splits
from brainnet.dataset.readers import _bids as files
from brainnet.dataset.readers import _bids_series as numbers
from brainnet.dataset.readers._checked import check_memory, read_volume
from brainnet.dataset.readers._trials_glm import Events, Glm, single_trials
from brainnet.dataset.settings import settings_of
from brainnet.dataset.tables import read_splits
from brainnet.dataset.trials import Conditions, conditions
from brainnet.space import BrainSpace
from brainnet.stimuli import Images

FMRIPREP, GLMSINGLE = "derivatives/fmriprep", "derivatives/glmsingle"

ABOUT = About(
    title="A BIDS folder with derivatives",
    kind="fMRI",
    what="Any experiment with images that is laid out by the Brain Imaging Data Structure: series that fMRIPrep has "
    "preprocessed, with the events of each run, or responses to single trials that GLMsingle has estimated.",
    where="https://openneuro.org has hundreds of them; derivatives are made by fMRIPrep and GLMsingle.",
    terms="Those of the data set; on OpenNeuro mostly CC0.",
    size="That of the data set.",
    layout="""sub-01/[ses-01/]func/*_events.tsv
stimuli/
derivatives/fmriprep/sub-01/[ses-01/]func/*_bold.{nii.gz,func.gii,dtseries.nii}, *_desc-confounds_timeseries.tsv
derivatives/glmsingle/sub-01/[ses-01/]TYPED_FITHRF_GLMDENOISE_RR.{hdf5,mat,npy}""",
    steps=(
        "Take a data set of https://openneuro.org, or your own in BIDS, with the folder of its stimuli.",
        "Preprocess its series with fMRIPrep into derivatives/fmriprep, or estimate single trials with GLMsingle into "
        "derivatives/glmsingle.",
    ),
    needs=("**/*_events.tsv",),
    cite="""@article{gorgolewski2016brain,
  title={The brain imaging data structure, a format for organizing and describing outputs of neuroimaging experiments},
  author={Gorgolewski, Krzysztof J. and Auer, Tibor and Calhoun, Vince D. and Craddock, R. Cameron and others},
  journal={Scientific Data}, volume={3}, pages={160044}, year={2016}, doi={10.1038/sdata.2016.44}
}""",
    verified="Run on folders in the published layout that the tests write, with planted responses; nobody has run it "
    "on real derivatives yet.",
)  # fmt: skip


class BIDS(ResponseDataset):
    """One subject of a BIDS folder: the mean response to each image, over trials that a linear model estimates.

    Args:
        root: the BIDS folder.
        subject: "01", "sub-01" or 1.
        task: of the series; "" where there is one.
        space: of the series, as in their names ("MNI152NLin2009cAsym", "T1w", "fsaverage5", "fsLR_den-91k"); "" where
            there is one. fsaverage and fsLR give vertices, "fsnative" columns without a place.
        derivatives: folder of the series, or of GLMsingle's results; relative to ``root`` or not. "" takes
            ``derivatives/fmriprep`` or ``derivatives/glmsingle``.
        stimuli: folder of the images, relative to ``root`` or not.
        column: of the events that names the image: "stim_file", or another such as "trial_type". Events that name none
            are no trials.
        glm: how trials are estimated, see :class:`~brainnet.dataset.readers._trials_glm.Glm`: a mapping with "model"
            ("lss", "lsa", or "glmsingle" for finished results), "hrf", "high_pass", "confounds", "nuisance",
            "standardize".
        splits: a .csv file with columns "image" and "split", relative to ``root`` or not; "" draws them.
        test: share (0.2) or number (200) of the images that are drawn as test images.
        val: share of the other images, or number of them, that are drawn as validation images.
        seed: of these draws.

    Attributes:
        trials: the :class:`~brainnet.dataset.trials.Conditions` the responses are from, without these.
        groups: the run in which each image was first shown.
        settings: how the trials were estimated.

    Raises:
        FileNotFoundError: a file is missing; names it.
        ValueError: a file of another shape or form, or several tasks or spaces and none chosen.
        MemoryError: the responses do not fit into memory.
    """

    about = ABOUT

    def __init__(
        self,
        root: str | os.PathLike,
        subject: str | int = "01",
        *,
        task: str = "",
        space: str = "",
        derivatives: str = "",
        stimuli: str = "stimuli",
        column: str = "stim_file",
        glm: Mapping[str, Any] | None = None,
        splits: str = "",
        test: float | int = 0.2,
        val: float | int = 0.1,
        seed: int = 0,
    ):
        self.root = Path(root)
        if not self.root.is_dir():
            raise FileNotFoundError(f"no folder {self.root}.")
        check_options(Glm, dict(glm or {}), "the setting glm")
        self._glm = Glm(**(glm or {}))
        self.subject = files.subject_of(self.root, subject)
        every = Images(self.root / stimuli, layout="nested")
        finished = self._glm.model == "glmsingle"
        folder = self.root / (derivatives or (GLMSINGLE if finished else FMRIPREP))
        read = self._singles if finished else self._series
        found, where = read(folder, task, space, column, every.ids)
        row = {name: place for place, name in enumerate(every.ids)}
        self.images = Images(self.root / stimuli, layout="nested", rows=[row[name] for name in found.ids])
        drawn = random_splits(len(found.ids), test=test, val=val, seed=seed)
        chosen = read_splits(self.root / splits, self.images.ids) if splits else drawn
        ceiling = found.noise_ceiling(chosen["test"]) if len(chosen.get("test", ())) else None
        known = ceiling is not None and bool(found.ncsnr.isfinite().any())
        super().__init__(
            found.ids,
            found.responses,
            where,
            chosen,
            noise_ceiling=ceiling.r.float() if known else None,
            noise_ceiling_definition=f"{ceiling.definition}, about K = {ceiling.n_repeats}"
            if known
            else "none: no image has two trials",
            n_repeats=ceiling.n_repeats if known else 1,
        )
        self.trials, self.groups = found, found.first_groups()
        self.settings = {**asdict(self._glm), "derivatives": str(folder), "column": column}

    from_settings = settings_of(__init__)

    def _series(
        self, folder: Path, task: str, space: str, column: str, ids: list[str]
    ) -> tuple[Conditions, BrainSpace]:
        """Conditions of the trials that a linear model finds in preprocessed series, and where the columns are."""
        runs = files.find_runs(folder, self.subject, task, space)
        files.warn_of_missing_series(self.root, runs, folder)
        shown = [self._events(run, column, ids) for run in runs]
        times = [files.repetition_time(self.root, run) for run in runs]
        places = numbers.places_of(runs)
        where = places.space()
        names = [name for _, images in shown for name in images]
        check_memory(len(set(names)), where.n_voxels, max(len(images) for _, images in shown))

        def blocks() -> Iterator[np.ndarray]:
            each = list(zip(runs, shown, times, strict=True))
            for run, (events, _), (step, start) in show_progress(each, "runs", len(each), True):
                series = numbers.read_series(run, places)
                _check_finite(series, run.files[0])
                confounds = files.read_confounds(run, self._glm, len(series))
                try:
                    yield single_trials(series, start + step * np.arange(len(series)), events, confounds, self._glm)
                except ValueError as error:
                    raise ValueError(f"{run.files[0]}: {error}") from error

        labels = [run.label for run, (_, images) in zip(runs, shown, strict=True) for _ in images]
        return conditions(blocks(), names, runs=labels, standardize=self._glm.standardize), where

    def _events(self, run: files.Run, column: str, ids: list[str]) -> tuple[Events, list[str]]:
        path = files.sibling(self.root, run, "_events.tsv", files.func_folder(self.root, run))
        return files.read_events(path, column, ids, self._glm)

    def _singles(
        self, folder: Path, task: str, space: str, column: str, ids: list[str]
    ) -> tuple[Conditions, BrainSpace]:
        """Conditions of the trials that GLMsingle has estimated, and where the columns are, as far as that is known."""
        runs = files.find_events(self.root, self.subject, task)
        shown = [files.read_events(path, column, ids, self._glm)[1] for _, path in runs]
        own = folder / f"sub-{self.subject}"
        sessions = sorted({run.entities.get("ses", "") for run, _ in runs})
        parts = {"": own} if not sessions[0] or not (own / f"ses-{sessions[0]}").is_dir() else {
            name: own / f"ses-{name}" for name in sessions
        }  # fmt: skip
        pieces, order = [], []
        for name, place in parts.items():
            mine = [i for i, (run, _) in enumerate(runs) if not name or run.entities["ses"] == name]
            singles = numbers.read_singles(numbers.find_singles(place))
            counts = [len(shown[i]) for i in mine]
            if sum(counts) != singles.n_trials:
                raise ValueError(
                    f"{singles.path} has {singles.n_trials} trials and the events of its {len(mine)} runs name images "
                    f"in {sum(counts)}."
                )
            numbers.check_order(place, [image for i in mine for image in shown[i]])
            pieces += [(singles, part) for part in numbers.runs_of_trials(counts)]
            order += mine
        inside = np.all([singles.inside for singles, _ in pieces], 0)
        names = [image for i in order for image in shown[i]]
        check_memory(len(set(names)), int(inside.sum()), max(map(len, shown)))
        blocks = (singles.read(part.start, part.stop)[:, inside[singles.inside]] for singles, part in pieces)
        labels = [runs[i][0].label for i in order for _ in shown[i]]
        return conditions(blocks, names, runs=labels, standardize=self._glm.standardize), self._grid(inside, space)

    def _grid(self, inside: np.ndarray, space: str) -> BrainSpace:
        """A volume, where a brain mask beside the series has this shape; GLMsingle keeps no affine."""
        for path in sorted((self.root / FMRIPREP / f"sub-{self.subject}").rglob("*_desc-brain_mask.nii.gz")):
            if f"_space-{space}" not in path.name:
                continue
            mask, affine = read_volume(path)
            if mask.shape == inside.shape:
                return BrainSpace(mask=torch.from_numpy(inside), affine=torch.from_numpy(affine))
        return BrainSpace.free(int(inside.sum()))


def _check_finite(series: np.ndarray, path: Path) -> None:
    """Refuses a run (n_volumes, n_columns) without a number in any column, and tells of columns without."""
    n_lost = int((~np.isfinite(series)).any(0).sum())
    if n_lost == series.shape[1]:
        raise ValueError(f"{path} holds NaN or infinity in all {n_lost} columns; expected numbers, as in a series.")
    if n_lost:
        warn_once(
            f"NaN {path.absolute()}",
            f"{path} holds NaN or infinity in {n_lost} of {series.shape[1]} columns: the trials of this run do not "
            "count there.",
        )

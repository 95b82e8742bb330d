"""BOLD Moments: one subject's responses to videos of three seconds, averaged over the presentations of each.

    <root>/derivatives/versionB/MNI152/GLM/sub-01/prepared_betas/sub-01_organized_betas_task-{train,test}_normalized.pkl
           derivatives/versionB/MNI152/GLM/sub-01/ROIs/ROI-lEBA_indices.pkl     regions of these betas
           derivatives/versionB/MNI152/GLM/mask/groupMask_space-MNI152.nii      where the voxels are
           stimuli/{train,test}/0001.mp4                                        the videos

Networks of images are shown one picture of each video. The betas are standardized by session already. Their files are
pickles, which are read as data only.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from brainnet import stimuli
from brainnet._checks import check_word, warn_once
from brainnet.dataset.about import About, Download
from brainnet.dataset.base import ResponseDataset
from brainnet.dataset.readers import _moments as files
from brainnet.dataset.readers._checked import check_memory, check_subject, choose_region, held_out
from brainnet.dataset.readers._clips import FRAMES, Clips
from brainnet.dataset.settings import settings_of
from brainnet.dataset.trials import conditions
from brainnet.space import BrainSpace, surface_space

WHOLE = "all"
VIDEOS_AT_ONCE = 25

BUCKET = "https://s3.amazonaws.com/openneuro.org/ds005165"
GLM = "derivatives/versionB/{space}/GLM"

ABOUT = About(
    title="BOLD Moments",
    kind="fMRI",
    what="Ten people saw 1,102 videos of three seconds in a 3 T scanner: 1,000 three times, and 102 test videos ten "
    "times. Responses are betas of single trials, standardized within sessions.",
    where="https://openneuro.org/datasets/ds005165 (betas); the videos, after agreeing to terms of use, from "
    "https://boldmomentsdataset.csail.mit.edu/stimuli_metadata.",
    terms="CC0 (betas); the videos have terms of use of their own.",
    size="The betas of a subject take 3.5 GB in MNI152, and 10 GB on fsaverage.",
    layout="""derivatives/versionB/MNI152/GLM/sub-01/prepared_betas/sub-01_organized_betas_task-{train,test}_normalized.pkl
derivatives/versionB/MNI152/GLM/sub-01/ROIs/ROI-lEBA_indices.pkl
derivatives/versionB/MNI152/GLM/mask/groupMask_space-MNI152.nii
derivatives/versionB/fsaverage/GLM/sub-01/prepared_betas/..._task-train_hemi-left_normalized.pkl
stimuli/{train,test}/0001.mp4""",
    steps=(
        "`aws s3 sync --no-sign-request s3://openneuro.org/ds005165/derivatives/versionB/MNI152/GLM/sub-01 "
        "FOLDER/derivatives/versionB/MNI152/GLM/sub-01 --exclude 'ses-*'`, and in the same way GLM/mask.",
        "Download the videos from the laboratory, and put the folders train and test into FOLDER/stimuli.",
    ),
    needs=("derivatives/versionB/{space}/GLM/sub-{subject:02d}/prepared_betas/*_organized_betas_task-test*.pkl",),
    downloads=(
        Download(GLM + "/sub-{subject:02d}", f"{BUCKET}/{GLM}" + "/sub-{subject:02d}/", files="[pR]*.pkl"),
        Download(f"{GLM}/mask", f"{BUCKET}/{GLM}/mask/", files="*", option="space=MNI152"),
    ),
    cite="""@article{lahner2024modeling,
  title={Modeling short visual events through the {BOLD} moments video f{MRI} dataset and metadata},
  author={Lahner, Benjamin and Dwivedi, Kshitij and Iamshchinina, Polina and Graumann, Monika and Lascelles, Alex and
          others},
  journal={Nature Communications}, volume={15}, year={2024}, doi={10.1038/s41467-024-50310-3}
}""",
    verified="Run on folders in the published layout that the tests write; nobody has run it on the real files yet. "
    "That regions are places among the columns of the betas was seen in one public script only. Nothing was fetched "
    "from the bucket yet.",
)  # fmt: skip


class BoldMoments(ResponseDataset):
    """One subject of BOLD Moments.

    Ids are those of the betas, "vid0001". The 102 test videos are the test split; "val" is drawn from the others.

    Args:
        root: folder with ``derivatives/versionB``.
        subject: 1 to 10.
        space: "MNI152" (voxels, with regions), "fsaverage" (both hemispheres) or "fsLR32k".
        region: names of regions with "+" between them, such as "EBA+FFA"; "" takes every voxel. None is "BMDgeneral"
            in MNI152, the voxels that answer to the videos, and everything elsewhere.
        frame: the picture that networks see: the "middle" frame, the "first", or the "mean" of all frames. "all" shows
            whole videos, to networks that read videos: those of video, and with "video:" before its name any network of
            images, whose answers to the frames are put together.
        videos: folder with ``train`` and ``test``, below ``root`` or anywhere.
        val: share or count of the videos that are drawn for validation.
        seed: of that draw.

    Attributes:
        trials: the :class:`~brainnet.dataset.trials.Conditions` the responses are from.

    Raises:
        FileNotFoundError: a file is missing; names it.
        ValueError: a file of another shape, type or content; names it, what it holds and what was expected.
        MemoryError: a file or the responses do not fit into memory.
    """

    about = ABOUT

    def __init__(
        self,
        root: str | os.PathLike,
        subject: int = 1,
        *,
        space: str = "MNI152",
        region: str | None = None,
        frame: str = "middle",
        videos: str = "stimuli",
        val: float | int = 0.1,
        seed: int = 0,
    ):
        check_word("space", space, files.SPACES)
        check_word("frame", frame, (*FRAMES, WHOLE))
        check_subject(subject, range(1, 11))
        self.root, self.subject, self.space_name = Path(root), int(subject), space
        region = ("BMDgeneral" if space == "MNI152" else "") if region is None else region
        parts, place, ceiling = self._read(region)
        names = [name for part in parts for name in part.ids]
        twice = next((name for name in parts[1].ids if name in set(parts[0].ids)), None)
        if twice is not None:
            raise ValueError(f"{twice!r} is in both files of betas of subject {subject} in {self.root}.")
        is_test = np.repeat([False, True], [len(part.ids) for part in parts])
        trials = [name for part in parts for name in part.ids for _ in range(part.values.shape[1])]
        found = conditions(_blocks(parts), trials, standardize=False)
        splits = held_out(is_test, val, seed, f"subject {subject} in {self.root}")
        own = found.noise_ceiling(splits["test"])
        paths = self._find_videos(videos, names, is_test)
        pictures = Clips(paths, names, FRAMES[0] if frame == WHOLE else frame)  # refuses videos that are not there
        self.images = stimuli.Clips(paths, names) if frame == WHOLE else pictures
        super().__init__(
            names,
            found.responses,
            place,
            splits,
            noise_ceiling=own.r.float() if ceiling is None else ceiling,
            noise_ceiling_definition=f"{own.definition}, about K = {own.n_repeats}" if ceiling is None
            else f"published noise ceiling of the mean of K = {own.n_repeats} trials",
            n_repeats=own.n_repeats,
        )  # fmt: skip
        self.trials = found

    from_settings = settings_of(__init__)

    def _read(self, region: str) -> _Read:
        glm = self.root / f"derivatives/versionB/{self.space_name}/GLM"
        folder = glm / f"sub-{self.subject:02d}"
        n_voxels, columns, mask, rois, parts = files.SPACES[self.space_name], None, None, {}, []
        for task in files.REPEATS:
            halves = []
            for path in files.beta_files(folder, self.subject, task, self.space_name):
                one = files.read_betas(path, task, n_voxels)
                if columns is None:
                    n_voxels = one.values.shape[2]
                    rois = {} if self.space_name == "fsaverage" else files.read_regions(folder, n_voxels)
                    columns = choose_region(region, rois, np.ones(n_voxels, bool))
                    mask = one.mask or files.find_mask(glm, self.subject, n_voxels)
                    check_memory(4 * len(one.ids), int(columns.sum()), 0)  # a video has three trials and their mean
                halves.append(files.Betas(_selected(one.values, columns), one.ids))
                del one  # as large as the file, and the next one follows
            if halves[0].ids != halves[-1].ids:
                raise ValueError(f"the files of both hemispheres in {folder} name other videos, or in another order.")
            parts.append(files.Betas(np.concatenate([half.values for half in halves], 2), halves[0].ids))
        ceiling = None if self.space_name == "fsaverage" else files.read_ceiling(folder, self.subject, n_voxels)
        inside = {name: torch.from_numpy(mask[columns]) for name, mask in rois.items() if mask[columns].any()}
        return _Read(parts, self._place(columns, mask, inside),
                     None if ceiling is None else ceiling[torch.from_numpy(columns)])  # fmt: skip

    def _place(
        self, columns: np.ndarray, mask: tuple[np.ndarray, np.ndarray] | None, rois: dict[str, Tensor]
    ) -> BrainSpace:
        if self.space_name == "fsaverage":
            return surface_space(torch.arange(2 * len(columns)), "fsaverage", rois)
        if mask is None:
            warn_once(
                f"no place {self.root} {self.space_name}",
                f"BoldMoments: where the {len(columns)} voxels of {self.space_name} are is not known, so selectors are "
                "free per voxel and there are no maps"
                + ("." if self.space_name == "fsLR32k" else ": put GLM/mask beside the betas to have them."),
            )
            return BrainSpace.free(int(columns.sum()), rois)
        inside, affine = mask
        chosen = np.zeros(inside.shape, bool)
        chosen[tuple(np.argwhere(inside)[columns].T)] = True
        return BrainSpace(mask=torch.from_numpy(chosen), affine=torch.from_numpy(affine), rois=rois)

    def _find_videos(self, videos: str, names: list[str], is_test: np.ndarray) -> list[Path]:
        base = self.root / videos
        nested = base / "stimulus_set/stimuli"  # as the archive of the videos unpacks
        base = nested if nested.is_dir() else base
        if not base.is_dir():
            raise FileNotFoundError(f"no folder {base}: it holds the videos, in the folders train and test.")
        return [base / ("test" if test else "train") / f"{name[3:]}.mp4"
                for name, test in zip(names, is_test, strict=True)]  # fmt: skip


class _Read(NamedTuple):
    """The betas of the training and of the test videos, where they are, and their published ceiling."""

    parts: list[files.Betas]
    space: BrainSpace
    ceiling: Tensor | None


def _selected(values: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Some voxels of betas, as float32, without another copy of all."""
    found = np.empty((*values.shape[:2], int(columns.sum())), np.float32)
    for start in range(0, len(values), VIDEOS_AT_ONCE):
        found[start : start + VIDEOS_AT_ONCE] = values[start : start + VIDEOS_AT_ONCE, :, columns]
    return found


def _blocks(parts: list[files.Betas]) -> Iterator[np.ndarray]:
    """Trials of some videos at a time, (n_trials, n_voxels)."""
    for part in parts:
        for start in range(0, len(part.values), VIDEOS_AT_ONCE):
            block = part.values[start : start + VIDEOS_AT_ONCE]
            yield block.reshape(-1, block.shape[2])

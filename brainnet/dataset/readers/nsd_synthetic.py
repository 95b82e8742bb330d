"""NSD with NSD-synthetic beside it: 284 pictures that are no photographs, as a split that is only ever predicted.

    <root>/nsddata/experiments/nsdsynthetic/nsdsynthetic_expdesign.mat        which trial showed which picture
           nsddata_betas/ppdata/subj01/<space>/nsdsynthetic<version>/         betas_nsdsynthetic
           nsddata_stimuli/stimuli/nsdsynthetic/nsdsynthetic_stimuli.hdf5     220 pictures
                                                nsdsynthetic_colorstimuli_subj01.hdf5    64 of each subject's own

and all that ``nsd`` reads. Pictures 1 to 220 are the same for all subjects, and 221 to 284 the subject's own.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from brainnet._files import sha256
from brainnet.dataset.base import ResponseDataset
from brainnet.dataset.readers import _nsd as files
from brainnet.dataset.readers.nsd import ABOUT, NSD
from brainnet.dataset.trials import conditions
from brainnet.rsa.files import read_entries
from brainnet.stimuli import Images

TRIALS, PICTURES, SHARED = 744, 284, 220
STIMULI = "nsddata_stimuli/stimuli/nsdsynthetic"
SPLIT = "synthetic"


class NSDSynthetic(NSD):
    """One subject of the Natural Scenes Dataset, with the split "synthetic" of NSD-synthetic.

    Everything is as in :class:`~brainnet.dataset.readers.nsd.NSD`, whose options it has. The pictures of NSD-synthetic
    are the further split "synthetic", never trained on, with its own noise ceiling; each came 2 or more times in one
    session, which is standardized as the others are. Their ids are "nsdsynthetic-000" to "nsdsynthetic-219", and
    "nsdsynthetic-subj01-220" and so on for the subject's own.

    Raises:
        FileNotFoundError: a file is missing; names it.
        ValueError: a file of another shape, type, subject or order; names it, what it holds and what was expected.
        MemoryError: the responses do not fit into memory.
    """

    about = replace(
        ABOUT,
        title="Natural Scenes Dataset with NSD-synthetic",
        what=ABOUT.what
        + " In a further session they saw 284 pictures that are no photographs, such as noise, gratings "
        "and words, which are only ever predicted here.",
        layout=ABOUT.layout
        + """
nsddata/experiments/nsdsynthetic/nsdsynthetic_expdesign.mat
nsddata_betas/ppdata/subj01/<space>/nsdsynthetic<version>/betas_nsdsynthetic...
nsddata_stimuli/stimuli/nsdsynthetic/{nsdsynthetic_stimuli,nsdsynthetic_colorstimuli_subj01}.hdf5""",
        needs=(
            *ABOUT.needs,
            "nsddata_betas/ppdata/subj{subject:02d}/{space}/nsdsynthetic{version}/*betas_nsdsynthetic.*",
        ),
    )

    def __init__(
        self,
        root: str | os.PathLike,
        subject: int = 1,
        *,
        space: str = "fsaverage",
        version: str = "betas_fithrf_GLMdenoise_RR",
        region: str = "nsdgeneral",
        standardize: bool = True,
        **options: Any,
    ):
        super().__init__(root, subject, space=space, version=version, region=region, standardize=standardize, **options)
        folder = self.root / f"nsddata_betas/ppdata/subj{subject:02d}/{space}/nsdsynthetic{version}"
        paths = _beta_files(folder, space)
        shown = _read_shown(self.root)
        columns, _ = self._columns(space, region, paths)
        found = conditions(files.read_session(paths, space, columns, TRIALS), shown.tolist(), standardize=standardize)
        rows = np.array([int(name) for name in found.ids])
        names = [f"nsdsynthetic-{'' if row < SHARED else f'subj{subject:02d}-'}{row:03d}" for row in rows]
        n = len(self)
        self.images = _Joined(self.images, *self._pictures(rows), names=names, order=rows)
        ceiling = found.noise_ceiling(range(len(rows)))
        ResponseDataset.__init__(
            self,
            [*self.image_ids, *names],
            torch.cat([self.responses, found.responses]),
            self.space,
            {**self.splits, SPLIT: torch.arange(n, n + len(rows))},
            noise_ceiling=self.noise_ceiling,
            noise_ceiling_definition=f"{self.noise_ceiling_definition}; of {SPLIT}: {ceiling.definition}, about K = "
            f"{ceiling.n_repeats}",
            further_ceilings={SPLIT: ceiling.r.float()},
            n_repeats=self.n_repeats,
        )
        self.synthetic_trials = found
        if self.groups is not None:
            self.groups = np.r_[self.groups, np.zeros(len(rows), self.groups.dtype)]

    def _pictures(self, rows: np.ndarray) -> list[Images]:
        names = ("nsdsynthetic_stimuli.hdf5", f"nsdsynthetic_colorstimuli_subj{self.subject:02d}.hdf5")
        sets = []
        for name, count in zip(names, (SHARED, PICTURES - SHARED), strict=True):
            path = self.root / STIMULI / name
            if not path.is_file():
                raise FileNotFoundError(f"no {path}: it holds {count} pictures of NSD-synthetic.")
            sets.append(Images(path, key="imgBrick"))
            if len(sets[-1]) != count:
                raise ValueError(f"{path} has {len(sets[-1])} pictures; expected {count}.")
        return sets


class _Joined:
    """The photographs of NSD, and after them pictures of two files, in one row."""

    def __init__(self, first: Images, shared: Images, own: Images, *, names: list[str], order: np.ndarray):
        self.first, self.shared, self.own, self.order = first, shared, own, order.tolist()
        self.ids = self.image_ids = [*first.ids, *names]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int):
        if index < len(self.first):
            return self.first[index]
        row = self.order[index - len(self.first)]
        return self.shared[row] if row < SHARED else self.own[row - SHARED]

    def signature(self) -> str:
        """Of all pictures, and of their order."""
        parts = [images.signature() for images in (self.first, self.shared, self.own)]
        return sha256(*parts, *(f" {row}" for row in self.order))


def _beta_files(folder: Path, space: str) -> list[Path]:
    if space in files.SURFACES:
        suffix = ".mgh" if space == "fsaverage" else ".hdf5"
        paths = [folder / f"{side}.betas_nsdsynthetic{suffix}" for side in files.HEMISPHERES]
    else:
        both = [folder / f"betas_nsdsynthetic{suffix}" for suffix in (".hdf5", ".nii.gz")]
        paths = [next((path for path in both if path.is_file()), both[1])]
    for path in paths:
        if not path.is_file():
            raise FileNotFoundError(f"no {path}.")
    return paths


def _read_shown(root: Path) -> np.ndarray:
    """(744,) the picture of each trial, from 0; the same for every subject."""
    path = root / "nsddata/experiments/nsdsynthetic/nsdsynthetic_expdesign.mat"
    if not path.is_file():
        raise FileNotFoundError(f"no {path}.")
    order = read_entries(path)[0].get("masterordering")
    if order is None or order.size != TRIALS:
        shape = "none" if order is None else f"one of shape {order.shape}"
        raise ValueError(f"{path} must have a masterordering of {TRIALS} trials; it has {shape}.")
    order = order.reshape(-1).astype(np.int64) - 1
    if order.min() < 0 or order.max() >= PICTURES:
        raise ValueError(f"{path}: masterordering holds {order.min() + 1} to {order.max() + 1}; expected numbers from "
                         f"1 to {PICTURES}.")  # fmt: skip
    return order

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

from brainnet._checks import warn_once
from brainnet.dataset.readers import _nsd as files
from brainnet.dataset.readers._nsd_further import add_splits, beta_files
from brainnet.dataset.readers.nsd import ABOUT, NSD
from brainnet.dataset.trials import conditions
from brainnet.rsa.files import read_entries
from brainnet.stimuli import Images

TRIALS, PICTURES, SHARED = 744, 284, 220
STIMULI = "nsddata_stimuli/stimuli/nsdsynthetic"
SPLIT = "synthetic"


class NSDSynthetic(NSD):
    """One subject of the Natural Scenes Dataset, with the split "synthetic" of NSD-synthetic.

    Everything is as in :class:`~brainnet.dataset.readers.nsd.NSD`, the data set "nsd", whose options and splits it has.
    The pictures of NSD-synthetic are the further split "synthetic", never trained on, with its own noise ceiling; each
    came 2 or more times in one session, which is standardized as the others are. Their ids are "nsdsynthetic-000" to
    "nsdsynthetic-219", and "nsdsynthetic-subj01-220" and so on for the subject's own.

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
        steps=(
            *ABOUT.steps,
            "Fetch nsddata_stimuli/stimuli/nsdsynthetic and nsddata_betas/ppdata/subj01/SPACE/nsdsyntheticVERSION in "
            "the same way.",
        ),
        cite=ABOUT.cite
        + """
@article{gifford2026synthetic,
  title={A 7T f{MRI} dataset of synthetic images for out-of-distribution modeling of vision},
  author={Gifford, Alessandro T. and Cichy, Radoslaw M. and Naselaris, Thomas and Kay, Kendrick},
  journal={Nature Communications}, year={2026}, doi={10.1038/s41467-026-69345-9}
}""",
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
        paths = beta_files(folder, "betas_nsdsynthetic", space)
        shown = _read_shown(self.root)
        columns, _ = self._columns(space, region, paths)
        found = conditions(files.read_session(paths, space, columns, TRIALS), shown.tolist(), standardize=standardize)
        rows = [int(name) for name in found.ids]
        names = [f"nsdsynthetic-{'' if row < SHARED else f'subj{subject:02d}-'}{row:03d}" for row in rows]
        shared, own = self._pictures()
        pictures = [(shared, row) if row < SHARED else (own, row - SHARED) for row in rows]
        add_splits(self, {SPLIT: found}, names, pictures)
        self.synthetic_trials = found

    def _pictures(self) -> list[Images]:
        names = ("nsdsynthetic_stimuli.hdf5", f"nsdsynthetic_colorstimuli_subj{self.subject:02d}.hdf5")
        sets = []
        for name, count in zip(names, (SHARED, PICTURES - SHARED), strict=True):
            path = self.root / STIMULI / name
            if not path.is_file():
                raise FileNotFoundError(f"no {path}: it holds {count} pictures of NSD-synthetic.")
            sets.append(Images(path, key="imgBrick"))
            if len(sets[-1]) != count:
                raise ValueError(f"{path} has {len(sets[-1])} pictures; expected {count}.")
        sizes = [one[0].size for one in sets]
        if sizes[0] != sizes[1]:
            each = " and ".join(f"{name} of {w} x {h}" for name, (w, h) in zip(names, sizes, strict=True))
            warn_once(
                f"sizes {self.root.absolute()}",
                f"{self.root / STIMULI} has pictures of two sizes, {each} pixels; expected one: a file may be cut.",
            )
        return sets


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

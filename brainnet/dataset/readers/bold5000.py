"""BOLD5000, release 2: one subject's single-trial betas, averaged over the presentations of each photograph.

    <root>/CSI1_imgnames.txt                                         the photograph of each trial
           BOLD5000_GLMsingle_ROI_betas/py/CSI1_GLMbetas-<version>_allses_LHPPA.npy     ten regions, or
           CSI1_GLMbetas-<version>_ses-01.nii.gz                     volumes, a file a session
           BOLD5000_Stimuli/Scene_Stimuli/Presented_Stimuli/{COCO,ImageNet,Scene}/
           BOLD5000_Stimuli/Stimuli_Presentation_Lists/CSI1/CSI1_sess01/   which trials a session has

The published brain masks do not lie on the betas, so of volumes those voxels are read that hold numbers.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from brainnet._checks import check_word
from brainnet._files import reading
from brainnet._work import progress as show_progress
from brainnet.dataset.about import About
from brainnet.dataset.base import ResponseDataset
from brainnet.dataset.readers._checked import (
    check_memory,
    check_subject,
    choose_region,
    expect_type,
    held_out,
    read_volumes,
    there,
    told_ceiling,
)
from brainnet.dataset.settings import settings_of
from brainnet.dataset.trials import conditions
from brainnet.space import BrainSpace
from brainnet.stimuli import Images, is_picture

BETAS = ("rois", "volumes")
REGIONS = ("EarlyVis", "LOC", "OPA", "PPA", "RSC")
VERSIONS = ("TYPEA-ASSUMEHRF", "TYPEB-FITHRF", "TYPEC-FITHRF-GLMDENOISE", "TYPED-FITHRF-GLMDENOISE-RR")

ABOUT = About(
    title="BOLD5000, release 2",
    kind="fMRI",
    what="Four people saw 4,916 photographs of COCO, ImageNet and scenes in 9 or 15 sessions in a 3 T scanner, most of "
    "them once and about 113 several times. Responses are single-trial betas of GLMsingle.",
    where="KiltHub (figshare), item 14456124 (betas); the photographs from the page of the data set.",
    terms="Not verified for release 2; the raw data (OpenNeuro ds001499) are CC0.",
    size="121 GB in all; the betas of the ten regions are far smaller.",
    layout="""CSI1_imgnames.txt
BOLD5000_GLMsingle_ROI_betas/py/CSI1_GLMbetas-TYPED-FITHRF-GLMDENOISE-RR_allses_LHPPA.npy
CSI1_GLMbetas-TYPED-FITHRF-GLMDENOISE-RR_ses-01.nii.gz
BOLD5000_Stimuli/Scene_Stimuli/Presented_Stimuli/{COCO,ImageNet,Scene}/
BOLD5000_Stimuli/Stimuli_Presentation_Lists/CSI1/CSI1_sess01/""",
    steps=(
        "Download the lists of image names and either the betas of the regions or the volumes of a version.",
        "Download BOLD5000_Stimuli and unpack it beside them.",
    ),
    needs=("CSI{subject}_imgnames.txt", "BOLD5000_Stimuli/Scene_Stimuli/Presented_Stimuli/*"),
    cite="""@article{chang2019bold5000,
  title={{BOLD5000}, a public f{MRI} dataset while viewing 5000 visual images},
  author={Chang, Nadine and Pyles, John A. and Marcus, Austin and Gupta, Abhinav and Tarr, Michael J. and Aminoff,
          Elissa M.},
  journal={Scientific Data}, volume={6}, pages={49}, year={2019}, doi={10.1038/s41597-019-0052-3}
}
@article{prince2022improving,
  title={Improving the accuracy of single-trial f{MRI} response estimates using {GLMsingle}},
  author={Prince, Jacob S. and Charest, Ian and Kurzawski, Jan W. and Pyles, John A. and Tarr, Michael J. and Kay,
          Kendrick N.},
  journal={eLife}, volume={11}, pages={e77599}, year={2022}, doi={10.7554/eLife.77599}
}""",
    verified="Run on folders in the published layout that the tests write; nobody has run it on the real files yet. "
    "The documentation names the second version TYBEB, and which the files have is not known.",
)


class BOLD5000(ResponseDataset):
    """One subject of BOLD5000.

    Image ids are file names without suffix. Photographs that came several times are the test images; "val" is drawn
    from the others.

    Args:
        root: folder of the release.
        subject: 1 to 4.
        betas: "rois" (ten regions, without a place) or "volumes".
        version: one of the four of GLMsingle.
        region: names of regions with "+" between them, "PPA" or "LHPPA"; "" takes all.
        standardize: z-score each voxel within its session, before averaging.
        images: folder of ``Presented_Stimuli``, below ``root`` or anywhere.
        val: share or count of the images that are drawn as validation images.
        seed: of that draw.
        progress: show a progress bar.

    Attributes:
        trials: the :class:`~brainnet.dataset.trials.Conditions` the responses are from.
        groups: (n_images,) the session of each image's first trial.

    Raises:
        FileNotFoundError: a file is missing; names it.
        ValueError: a file of another shape or type; names it, what it holds and what was expected.
        MemoryError: the responses do not fit into memory.
    """

    about = ABOUT

    def __init__(
        self,
        root: str | os.PathLike,
        subject: int = 1,
        *,
        betas: str = "rois",
        version: str = "TYPED-FITHRF-GLMDENOISE-RR",
        region: str = "",
        standardize: bool = True,
        images: str = "BOLD5000_Stimuli/Scene_Stimuli/Presented_Stimuli",
        val: float | int = 0.1,
        seed: int = 0,
        progress: bool = True,
    ):
        check_word("betas", betas, BETAS)
        check_word("version", version, VERSIONS)
        check_subject(subject, range(1, 5))
        self.root, self.subject = Path(root), int(subject)
        shown = read_names(self.root / f"CSI{subject}_imgnames.txt")
        read = self._read_regions if betas == "rois" else self._read_volumes
        counts, blocks, space = read(version, region, len(shown), standardize, progress)
        check_memory(len(set(shown)), space.n_voxels, max(counts))
        sessions = np.repeat(np.arange(1, len(counts) + 1), counts)
        found = conditions(blocks, [Path(name).stem for name in shown], sessions=sessions, standardize=standardize)
        n_shown = [len(labels) for labels in found.groups or ()]
        splits = held_out(np.array(n_shown) > 1, val, seed, f"subject {subject} in {self.root}")
        ceiling = found.noise_ceiling(splits["test"])
        file_of = {Path(name).stem: name for name in shown}
        self.images = _find_images(self.root / images, [file_of[name] for name in found.ids])
        super().__init__(
            found.ids,
            found.responses,
            space,
            splits,
            **told_ceiling(ceiling),
        )
        self.trials, self.groups = found, found.first_groups()

    from_settings = settings_of(__init__)

    def _read_regions(self, version: str, region: str, n_trials: int, standardize: bool, progress: bool) -> _Read:
        folder = self.root / "BOLD5000_GLMsingle_ROI_betas/py"
        stem = f"CSI{self.subject}_GLMbetas-{version}_allses_"
        parts = {side + name: folder / f"{stem}{side}{name}.npy" for name in REGIONS for side in ("LH", "RH")}
        there_are = {name: path for name, path in parts.items() if path.is_file()}
        if not there_are:
            there(next(iter(parts.values())), "the betas of a region, (trials, voxels)")
        for name in REGIONS:  # one half of a region would pass for the whole
            halves = [parts[side + name] for side in ("LH", "RH")]
            if any(path.is_file() for path in halves):
                for path in halves:
                    there(path, f"the other half of {name}")
        arrays = {name: _load(path, n_trials) for name, path in there_are.items()}
        names = np.repeat(list(arrays), [array.shape[1] for array in arrays.values()])
        rois = {name: np.isin(names, ["LH" + name, "RH" + name]) for name in REGIONS}
        rois |= {name: names == name for name in arrays}
        rois = {name: mask for name, mask in rois.items() if mask.any()}
        inside = choose_region(region, rois, np.ones(len(names), bool))
        chosen = {name: torch.from_numpy(mask[inside]) for name, mask in rois.items() if mask[inside].any()}
        counts = self._sessions(n_trials) if standardize else [n_trials]

        def blocks() -> Iterator[np.ndarray]:
            start = 0
            for count in counts:
                rows = [np.asarray(array[start : start + count], np.float32) for array in arrays.values()]
                yield np.concatenate(rows, 1)[:, inside]
                start += count

        return _Read(counts, blocks(), BrainSpace.free(int(inside.sum()), chosen))

    def _sessions(self, n_trials: int) -> list[int]:
        """How many trials each session has, by the lists of what was shown."""
        subject = f"CSI{self.subject}"
        folder = self.root / f"BOLD5000_Stimuli/Stimuli_Presentation_Lists/{subject}"
        sessions = sorted(folder.glob(f"{subject}_sess*"))
        if not sessions:
            raise FileNotFoundError(
                f"no {folder / f'{subject}_sess01'}: the lists say which trials are of one session; without them, read "
                "with standardize=False."
            )
        counts = [sum(len(read_names(path)) for path in session.glob("*.txt")) for session in sessions]
        if sum(counts) != n_trials:
            raise ValueError(f"the lists in {folder} have {sum(counts)} trials, and CSI{self.subject}_imgnames.txt has "
                             f"{n_trials}.")  # fmt: skip
        return counts

    def _read_volumes(self, version: str, region: str, n_trials: int, standardize: bool, progress: bool) -> _Read:
        import nibabel

        if region:
            raise ValueError(f"volumes have no regions, got region={region!r}; betas='rois' has.")
        stem = f"CSI{self.subject}_GLMbetas-{version}_ses-"
        paths = [self.root / f"{stem}{n:02d}.nii.gz" for n in range(1, 16)]
        last = max((n for n, path in enumerate(paths, 1) if path.is_file()), default=1)
        shapes = []
        for path in paths[:last]:
            there(path, "the betas of a session")
            with reading(path, "NIfTI file"):
                image = nibabel.load(path)
                shapes.append(image.shape)
                if len(shapes) == 1:
                    affine, first = image.affine, np.asarray(image.dataobj[..., 0])
        counts = [shape[-1] for shape in shapes]
        if sum(counts) != n_trials:
            raise ValueError(f"the sessions {paths[0].name} to {paths[last - 1].name} have {sum(counts)} trials, and "
                             f"CSI{self.subject}_imgnames.txt has {n_trials}.")  # fmt: skip
        inside = np.isfinite(first) & (first != 0)
        if not inside.any():
            raise ValueError(f"{paths[0]} holds no number that is finite and not 0 in its first volume.")
        shown = show_progress(paths[:last], "sessions", last, progress)
        blocks = (read_volumes(path, inside) for path in shown)
        return _Read(counts, blocks, BrainSpace(mask=torch.from_numpy(inside), affine=torch.from_numpy(affine)))


class _Read(NamedTuple):
    """Trials of each session, the betas of each, and where their columns are."""

    counts: list[int]
    blocks: Iterator[np.ndarray]
    space: BrainSpace


def read_names(path: Path) -> list[str]:
    """File names, one a line; "rep_" in front marks a repetition of the photograph."""
    there(path, "the photograph of each trial")
    with reading(path, "list of names"):
        names = [line.strip().removeprefix("rep_") for line in path.read_text(encoding="utf-8-sig").splitlines()]
    names = [name for name in names if name]
    if not names:
        raise ValueError(f"{path} names no photograph.")
    return names


def _load(path: Path, n_trials: int) -> np.ndarray:
    with reading(path, "array of numbers"):
        array = np.load(path, allow_pickle=False, mmap_mode="r")
    expect_type(path, array.dtype, "f", "betas are real numbers")
    if array.ndim != 2 or array.shape[0] != n_trials:
        raise ValueError(f"{path} has shape {array.shape}; expected ({n_trials}, voxels), a row a trial.")
    return array


def _find_images(folder: Path, names: list[str]) -> Images:
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {folder}: it holds the photographs, in the folders COCO, ImageNet, Scene.")
    found = {re.sub(r"^rep_", "", path.name).lower(): path for path in folder.glob("*/*") if is_picture(path.name)}
    missing = [name for name in names if name.lower() not in found]
    if missing:
        raise FileNotFoundError(f"{len(missing)} of {len(names)} photographs are not in {folder}, the first is "
                                f"{missing[0]}.")  # fmt: skip
    return Images([found[name.lower()] for name in names], [Path(name).stem for name in names])

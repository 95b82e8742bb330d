"""THINGS-fMRI: one subject's single-trial responses to object photographs, averaged over the trials of each.

    <root>/betas_csv/sub-01_{ResponseData.h5,StimulusMetadata.csv,VoxelMetadata.csv}      tables, or
           betas_vol/sub-01/ses-things01/sub-01_ses-things01_run-01_{betas.nii.gz,conditions.tsv}   volumes
           brainmasks/sub-01_space-T1w_brainmask.nii.gz           where voxels are; tables may do without
           rois/{prf,category_localizer}/sub-01/                  optional: regions of the volumes
           object_images/<concept>/<concept>_12s.jpg              the photographs of THINGS

Test images came once in every session; the others came once in all.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from brainnet._checks import check_word, warn_once
from brainnet._work import progress as show_progress
from brainnet.dataset.about import About
from brainnet.dataset.base import ResponseDataset
from brainnet.dataset.readers import _things as files
from brainnet.dataset.readers._checked import (
    check_memory,
    check_subject,
    choose_region,
    held_out,
    ordered_by,
    read_mask,
)
from brainnet.dataset.settings import settings_of
from brainnet.dataset.trials import conditions
from brainnet.space import BrainSpace
from brainnet.stimuli import Images

BETAS = ("csv", "vol")
WITHIN = ("session", "run")

ABOUT = About(
    title="THINGS-fMRI",
    kind="fMRI",
    what="Three people saw 8,740 photographs of 720 objects in 12 sessions in a 3 T scanner: 8,640 once, and 100 test "
    "images 12 times, once a session. Responses are single-trial betas.",
    where="Betas: https://doi.org/10.25452/figshare.plus.c.6161151 (figshare collection 6161151). Photographs: "
    "https://osf.io/jum2f, whose password is in password_images.txt there.",
    terms="Not verified for the betas; the raw data (OpenNeuro ds004192) are CC0. The photographs are for research.",
    size="The table of responses of a subject has 211,339 voxels x 9,840 trials, 8 to 17 GB; the photographs take "
    "12 GB.",
    layout="""betas_csv/sub-01_{ResponseData.h5,StimulusMetadata.csv,VoxelMetadata.csv}
betas_vol/sub-01/ses-things01/sub-01_ses-things01_run-01_{betas.nii.gz,conditions.tsv}
brainmasks/sub-01_space-T1w_brainmask.nii.gz
rois/{prf,category_localizer}/sub-01/
object_images/dog/dog_12s.jpg""",
    steps=(
        "Download betas_csv (or betas_vol with rois) and brainmasks from the figshare collection.",
        "Download images_THINGS.zip from https://osf.io/jum2f and unpack it, so that object_images lies beside them.",
    ),
    needs=("betas_{betas}/**/sub-{subject:02d}*", "object_images/*/*.jpg"),
    cite="""@article{hebart2023things,
  title={{THINGS}-data, a multimodal collection of large-scale datasets for investigating object representations in
         human brain and behavior},
  author={Hebart, Martin N. and Contier, Oliver and Teichmann, Lina and Rockter, Adam H. and Zheng, Charles Y. and
          others},
  journal={eLife}, volume={12}, pages={e82580}, year={2023}, doi={10.7554/eLife.82580}
}""",
    verified="Run on folders in the published layout that the tests write; nobody has run it on the real files yet.",
)


class ThingsFMRI(ResponseDataset):
    """One subject of THINGS-fMRI.

    Image ids are file names without suffix, "dog_12s", as in the other sets of THINGS. Test images are the 100 that
    came in every session; "val" is drawn from the others. Regions have the names of the published tables ("V1",
    "hV4", "lFFA", "glasser-V1"), and "FFA" is both halves of it.

    Args:
        root: folder with ``betas_csv`` or ``betas_vol``.
        subject: 1 to 3.
        betas: "csv" (tables, with the published noise ceiling) or "vol" (volumes of each run).
        region: voxels to read: names of regions with "+" between them; "visual" is every region but those of Glasser's
            atlas, and "" takes all 211,339 voxels.
        standardize: z-score each voxel before averaging.
        within: "session" or "run", of that.
        images: the folder of photographs, below ``root`` or anywhere.
        val: share or count of the images that are drawn as validation images.
        seed: of that draw.
        progress: show a progress bar.

    Attributes:
        trials: the :class:`~brainnet.dataset.trials.Conditions` the responses are from.
        groups: (n_images,) the session, or run, of each image's first trial, to leave one out.

    Raises:
        FileNotFoundError: a file is missing; names it.
        ValueError: a file of another shape, type, subject or order; names it, what it holds and what was expected.
        MemoryError: the responses do not fit into memory.
    """

    about = ABOUT

    def __init__(
        self,
        root: str | os.PathLike,
        subject: int = 1,
        *,
        betas: str = "csv",
        region: str = "visual",
        standardize: bool = True,
        within: str = "session",
        images: str = "object_images",
        val: float | int = 0.1,
        seed: int = 0,
        progress: bool = True,
    ):
        check_word("betas", betas, BETAS)
        check_word("within", within, WITHIN)
        check_subject(subject, range(1, 4))
        self.root, self.subject = Path(root), int(subject)
        read = self._read_tables if betas == "csv" else self._read_volumes
        shown, blocks, space, ceiling = read(region, progress)
        sessions = [label for label, places in ordered_by(shown.sessions) for _ in places]
        order = np.concatenate([places for _, places in ordered_by(shown.sessions)])
        runs = [f"{shown.sessions[place]}.{shown.runs[place]}" for place in order]
        check_memory(len(set(shown.stimuli)), space.n_voxels, len(sessions) // len(set(sessions)))
        names = [Path(shown.stimuli[place]).stem for place in order]
        groups = {"sessions": sessions} if within == "session" else {"runs": runs}
        found = conditions(blocks, names, standardize=standardize, **groups)
        tested = {Path(name).stem for name, test in zip(shown.stimuli, shown.is_test, strict=True) if test}
        is_test = np.array([name in tested for name in found.ids])
        splits = held_out(is_test, val, seed, f"subject {subject} in {self.root}")
        own = found.noise_ceiling(splits["test"])
        files_of = {Path(name).stem: name for name in shown.stimuli}
        self.images = self._find_images(images, [files_of[name] for name in found.ids])
        super().__init__(
            found.ids,
            found.responses,
            space,
            splits,
            noise_ceiling=own.r.float() if ceiling is None else ceiling,
            noise_ceiling_definition=f"{own.definition}, about K = {own.n_repeats}" if ceiling is None
            else f"published nc_testset, of the mean of K = {own.n_repeats} trials",
            n_repeats=own.n_repeats,
        )  # fmt: skip
        self.trials, self.groups = found, found.first_groups()

    from_settings = settings_of(__init__)

    def _read_tables(
        self, region: str, progress: bool
    ) -> tuple[files.Trials, Iterator[np.ndarray], BrainSpace, Tensor | None]:
        folder = self.root / "betas_csv"
        shown = files.read_trials(folder, self.subject)
        ids, voxels = files.read_voxels(folder, self.subject)
        table = files.Responses(folder, self.subject, len(shown.stimuli), ids)
        inside = choose_region(region, voxels.rois, np.ones(len(ids), bool), visual=_is_visual)
        rois = {name: torch.from_numpy(mask[inside]) for name, mask in voxels.rois.items() if mask[inside].any()}
        places = [places for _, places in ordered_by(shown.sessions)]
        blocks = (table.read(trials, inside) for trials in show_progress(places, "sessions", len(places), progress))
        return shown, blocks, self._space(voxels.places, inside, rois), voxels.ceiling[torch.from_numpy(inside)]

    def _space(self, every: np.ndarray, inside: np.ndarray, rois: dict[str, Tensor]) -> BrainSpace:
        path, places = self._mask_file(), every[inside]
        if not path.is_file():
            warn_once(
                f"no place {path}",
                f"no {path}: it says where the {len(places)} voxels are in millimeters, and without it selectors are "
                "free per voxel and there are no maps of the volume.",
            )
            return BrainSpace.free(len(places), rois)
        brain, affine = read_mask(path)
        files.check_mask(every, brain, path)
        mask, index = files.volume_index(places, brain.shape)
        return BrainSpace(mask=torch.from_numpy(mask), affine=torch.from_numpy(affine), rois=rois, volume_index=index)

    def _read_volumes(self, region: str, progress: bool) -> tuple[files.Trials, Iterator[np.ndarray], BrainSpace, None]:
        runs = files.read_runs(self.root, self.subject)
        brain, affine = read_mask(self._mask_file())
        rois = files.read_regions(self.root, self.subject, brain.shape)
        within = {name: mask & brain for name, mask in rois.items()}
        inside = choose_region(region, within, brain, visual=_is_visual)
        found = {name: torch.from_numpy(mask[inside]) for name, mask in rois.items() if mask[inside].any()}
        space = BrainSpace(mask=torch.from_numpy(inside), affine=torch.from_numpy(affine), rois=found)
        n_sessions = len({run.session for run in runs})
        blocks = show_progress(files.blocks_of(runs, inside), "sessions", n_sessions, progress)
        return files.trials_of(runs), iter(blocks), space, None

    def _mask_file(self) -> Path:
        return self.root / f"brainmasks/sub-{self.subject:02d}_space-T1w_brainmask.nii.gz"

    def _find_images(self, images: str, names: list[str]) -> Images:
        folder = self.root / images
        if not folder.is_dir():
            raise FileNotFoundError(
                f"no folder {folder}: it holds the photographs of THINGS, a folder for each object."
            )
        return Images([folder / name.rsplit("_", 1)[0] / name for name in names])


def _is_visual(name: str) -> bool:
    return not name.startswith("glasser-")

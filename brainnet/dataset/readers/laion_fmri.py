"""LAION-fMRI: one subject's single-trial betas, averaged over the presentations of each photograph.

    <root>/derivatives/glmsingle-tedana/sub-01/ses-01/func/..._desc-SingletrialBetas_{statmap.nii.gz,trials.tsv}
           derivatives/anatomical/sub-01/ses-PrismaAnat/anat/..._desc-brain_mask.nii.gz
           derivatives/rois/sub-01/<category>/..._label-<name>_mask.nii.gz
           stimuli/task-images_{stimuli.h5,metadata.csv}           the photographs
           splits/{shared,sub-01}/{tau,ood,cluster_k5_0,...}.json  splits, as in the package laion_fmri

The layout is provisional: two public snapshots of it differ, and both are read where they do.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from brainnet._checks import check_word
from brainnet._work import progress as show_progress
from brainnet.dataset.about import About, Download
from brainnet.dataset.base import ResponseDataset, random_splits
from brainnet.dataset.readers import _laion as files
from brainnet.dataset.readers._checked import (
    check_memory,
    check_subject,
    choose_region,
    held_out,
    read_volumes,
    told_ceiling,
)
from brainnet.dataset.settings import settings_of
from brainnet.dataset.trials import conditions
from brainnet.space import BrainSpace

SUBJECTS = (1, 3, 5, 6, 7)
SPLITS = ("repeated", "tau", "ood", "cluster_k5", "random")
POOLS = ("shared", "subject")
FOLDS = 5  # of the splits cluster_k5 and random

BUCKET = "https://laion-fmri.s3.amazonaws.com"
FETCHED = {  # folders of the bucket, with what is read of each
    "derivatives/glmsingle-tedana/sub-{subject:02d}": "*_desc-SingletrialBetas_*",
    "derivatives/anatomical/sub-{subject:02d}": "*_desc-brain_mask.nii.gz",
    "derivatives/rois/sub-{subject:02d}": "*_mask.nii.gz",
}

ABOUT = About(
    title="LAION-fMRI",
    kind="fMRI",
    what="Five people saw 25,052 photographs in 30 or more sessions in a 7 T scanner; 1,492 photographs were the same "
    "for all, 4 or 12 times each, and 371 of these are far from all others. Responses are single-trial betas.",
    where="Bucket s3://laion-fmri, without a key (betas); the photographs after a data use agreement.",
    terms="CC0 1.0 (betas); the photographs under the agreement.",
    size="The betas of a session are one file of 143 x 143 x 143 voxels x about 1,050 trials; the photographs take 3.2 "
    "GB.",
    layout="""derivatives/glmsingle-tedana/sub-01/ses-01/func/..._desc-SingletrialBetas_{statmap.nii.gz,trials.tsv}
derivatives/anatomical/sub-01/ses-PrismaAnat/anat/..._desc-brain_mask.nii.gz
derivatives/rois/sub-01/<category>/..._label-<name>_mask.nii.gz
stimuli/task-images_{stimuli.h5,metadata.csv}
splits/{shared,sub-01}/{tau,ood,cluster_k5_0,random_0}.json""",
    steps=(
        "`aws s3 sync --no-sign-request s3://laion-fmri/derivatives/glmsingle-tedana/sub-01 "
        "FOLDER/derivatives/glmsingle-tedana/sub-01`, and in the same way derivatives/anatomical and derivatives/rois.",
        "Sign the data use agreement, and put the photographs into FOLDER/stimuli.",
        "Copy laion_fmri/splits/data of the package laion-fmri to FOLDER/splits, for its splits.",
    ),
    needs=("derivatives/glmsingle-tedana/sub-{subject:02d}/ses-*/func/*_statmap.nii.gz", "stimuli/task-images_*"),
    downloads=tuple(Download(folder, f"{BUCKET}/{folder}/", files=files) for folder, files in FETCHED.items()),
    cite="""@misc{laionfmri,
  title={{LAION}-f{MRI}}, author={{ViCCo-Group}}, howpublished={github.com/ViCCo-Group/LAION-fMRI}
}""",
    verified="Run on folders in the published layout that the tests write; nobody has run it on the real files yet. "
    "The data set has no paper yet. Nothing was fetched from the bucket yet.",
)


class LaionFMRI(ResponseDataset):
    """One subject of LAION-fMRI.

    Image ids are the labels of the photographs without suffix, so that subjects who saw the same one share its tokens.
    Splits:

        repeated      test: the shared photographs with 12 presentations; "val" is drawn from the others
        tau, ood, cluster_k5, random    those of the package laion_fmri; "val" is drawn from their training images

    Photographs far from all others ("OOD" in their label) are a further split "ood" where no split holds them, so they
    are predicted and scored, and never trained on. With a published split, photographs that it does not name are not
    used.

    Args:
        root: folder with the bucket's ``derivatives`` and with ``stimuli``.
        subject: 1, 3, 5, 6 or 7.
        region: names of regions with "+" between them; "rois" is every voxel of any region, "" the whole brain.
        sessions: how many, from the first; None takes all that are there.
        standardize: z-score each voxel within its session, before averaging.
        split: "repeated", "tau", "ood", "cluster_k5" or "random", see the list of splits.
        fold: 0 to 4, of cluster_k5 and random.
        pool: the pool of a published split: "shared" or "subject".
        val: share or count of the images that are drawn as validation images.
        seed: of that draw.
        progress: show a progress bar.

    Attributes:
        trials: the :class:`~brainnet.dataset.trials.Conditions` the responses are from.
        groups: (n_images,) the session of each image's first trial.

    Raises:
        FileNotFoundError: a file is missing; names it.
        ValueError: a file of another shape or content; names it, what it holds and what was expected.
        MemoryError: the responses do not fit into memory.
    """

    about = ABOUT

    def __init__(
        self,
        root: str | os.PathLike,
        subject: int = 1,
        *,
        region: str = "rois",
        sessions: int | None = None,
        standardize: bool = True,
        split: str = "repeated",
        fold: int = 0,
        pool: str = "shared",
        val: float | int = 0.1,
        seed: int = 0,
        progress: bool = True,
    ):
        check_word("split", split, SPLITS)
        check_word("pool", pool, POOLS)
        check_subject(subject, SUBJECTS)
        if fold not in range(FOLDS):
            raise ValueError(f"fold is 0 to {FOLDS - 1}, got {fold!r}.")
        self.root, self.subject = Path(root), int(subject)
        recorded = files.read_sessions(self.root, self.subject)
        if sessions is not None and not 0 < sessions <= len(recorded):
            raise ValueError(f"sessions is 1 to {len(recorded)}, those of subject {subject}; got {sessions}.")
        recorded = recorded[:sessions]
        inside, affine, rois = self._voxels(region)
        labels = [Path(label).stem for session in recorded for label in session.labels]
        numbers = [session.number for session in recorded for _ in session.labels]
        n_voxels = int(inside.sum())
        check_memory(len(set(labels)), n_voxels, max(len(session.labels) for session in recorded))
        found = conditions(_blocks(recorded, inside, progress), labels, sessions=numbers, standardize=standardize)
        splits = self._splits(found.ids, split, fold, pool, val, seed)
        ceiling = found.noise_ceiling(splits["test"])
        further = {name: found.noise_ceiling(rows).r.float() for name, rows in splits.items() if name == "ood"}
        self.images = files.Pictures(self.root / "stimuli", found.ids)
        super().__init__(
            found.ids,
            found.responses,
            BrainSpace(mask=torch.from_numpy(inside), affine=torch.from_numpy(affine), rois=rois),
            splits,
            **told_ceiling(ceiling),
            further_ceilings=further,
        )
        self.trials, self.groups = found, found.first_groups()

    from_settings = settings_of(__init__)

    def _voxels(self, region: str) -> tuple[np.ndarray, np.ndarray, dict[str, Tensor]]:
        """Which voxels are read, the affine of the volume, and the regions of these voxels."""
        found = files.find_mask(self.root, self.subject)
        if found is None:
            raise FileNotFoundError(f"no brain mask below {self.root / 'derivatives/anatomical'} of subject "
                                    f"{self.subject}: it says where the betas are.")  # fmt: skip
        brain, affine = found
        rois = files.read_regions(self.root, self.subject, brain.shape)
        within = {name: mask & brain for name, mask in rois.items()}
        inside = choose_region(region, within, brain, rois=lambda name: True)
        return (
            inside,
            affine,
            {name: torch.from_numpy(mask[inside]) for name, mask in rois.items() if mask[inside].any()},
        )

    def _splits(
        self, ids: list[str], split: str, fold: int, pool: str, val: float | int, seed: int
    ) -> dict[str, Tensor]:
        is_far = np.array(["_OOD_" in name for name in ids])
        where = f"subject {self.subject} in {self.root}"
        if split == "repeated":
            rest = np.flatnonzero(~is_far)
            test = np.array([ids[row].startswith("shared_12rep_") for row in rest])
            splits = {name: torch.from_numpy(rest[rows.numpy()]) for name, rows in
                      held_out(test, val, seed, where).items()}  # fmt: skip
        else:
            name = f"{split}_{fold}" if split in ("cluster_k5", "random") else split
            folder = "shared" if pool == "shared" else f"sub-{self.subject:02d}"
            path = self.root / f"splits/{folder}/{name}.json"
            parts = [np.flatnonzero([one in part for one in ids]) for part in files.read_split(path)]
            if not all(map(len, parts)):
                n_train, n_test = map(len, parts)
                raise ValueError(f"{path} has {n_train} training and {n_test} test photographs among those that "
                                 f"{where} was shown in these sessions; expected some of each.")  # fmt: skip
            drawn = random_splits(len(parts[0]), test=0, val=val, seed=seed)
            splits = {name: torch.from_numpy(parts[0][drawn[name].numpy()]) for name in ("train", "val")}
            splits["test"] = torch.from_numpy(parts[1])
        taken = torch.cat(list(splits.values())).numpy()
        far = np.setdiff1d(np.flatnonzero(is_far), taken)
        return {**splits, "ood": torch.from_numpy(far)} if len(far) else splits


def _blocks(recorded: list[files.Session], inside: np.ndarray, progress: bool) -> Iterator[np.ndarray]:
    for session in show_progress(recorded, "sessions", len(recorded), progress):
        yield read_volumes(session.path, inside, len(session.labels))

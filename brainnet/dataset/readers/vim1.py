"""The responses of Kay et al. 2008 (CRCNS vim-1): two people who saw 1,870 gray photographs.

    <root>/EstimatedResponses.mat      responses and regions of both people (MATLAB v7.3)
           Stimuli.mat                 the photographs, 128 x 128 pixels

MATLAB v7.3 files are HDF5, whose axes come reversed: which axis is that of the photographs is told by its length.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch

from brainnet._checks import warn_once
from brainnet._files import reading
from brainnet.dataset.about import About
from brainnet.dataset.base import ResponseDataset, random_splits
from brainnet.dataset.readers._checked import check_subject, choose_region, expect_type, there
from brainnet.dataset.settings import settings_of
from brainnet.rsa.files import read_entries
from brainnet.space import BrainSpace
from brainnet.stimuli import Images

REGIONS = ("V1", "V2", "V3", "V3A", "V3B", "V4", "LatOcc")  # labels 1 to 7; 0 is any other place
REPEATS = 13  # of a test image

ABOUT = About(
    title="vim-1 (Kay et al. 2008)",
    kind="fMRI",
    what="Two people saw 1,750 gray photographs twice and 120 others 13 times in a 4 T scanner. Responses are means "
    "over the presentations, one a voxel of occipital cortex.",
    where="https://crcns.org/data-sets/vc/vim-1 (a free account).",
    terms="Account terms of CRCNS; the files may not be passed on.",
    size="Both people and the small photographs take under 1 GB.",
    layout="""EstimatedResponses.mat
Stimuli.mat""",
    steps=("Make an account at https://crcns.org, and download EstimatedResponses.mat and Stimuli.mat.",),
    needs=("EstimatedResponses.mat", "Stimuli.mat"),
    cite="""@article{kay2008identifying,
  title={Identifying natural images from human brain activity},
  author={Kay, Kendrick N. and Naselaris, Thomas and Prenger, Ryan J. and Gallant, Jack L.},
  journal={Nature}, volume={452}, pages={352--355}, year={2008}, doi={10.1038/nature06713}
}""",
    verified="Run on files in the published layout that the tests write; nobody has run it on the real files yet. The "
    "places of the voxels are not used, as their count from 0 or 1 is not certain.",
    preset="folder",
)


class Vim1(ResponseDataset):
    """One subject of vim-1.

    Image ids are "trn0001" and "val0001", of the training and the validation photographs of the publication; the
    latter are the test images here, and "val" is drawn from the former. Voxels without a response to some photograph
    are left out.

    Args:
        root: folder with both files.
        subject: 1 or 2.
        region: names of regions with "+" between them, "V1" to "LatOcc"; "" takes all voxels.
        val: share or count of the images that are drawn as validation images.
        seed: of that draw.

    Attributes:
        n_left_out: voxels that are not finite for every photograph.

    Raises:
        FileNotFoundError: a file is missing; names it.
        ValueError: a file of another shape or type; names it, what it holds and what was expected.
    """

    about = ABOUT

    def __init__(
        self, root: str | os.PathLike, subject: int = 1, *, region: str = "", val: float | int = 0.1, seed: int = 0
    ):
        check_subject(subject, (1, 2))
        self.root, self.subject = Path(root), int(subject)
        pixels = [self._pixels(name) for name in ("stimTrn", "stimVal")]
        kinds = [part.dtype for part in pixels]
        if kinds[0].kind != kinds[1].kind:
            raise ValueError(
                f"{self.root / 'Stimuli.mat'}: stimTrn holds {kinds[0].name} and stimVal {kinds[1].name}; expected one "
                "kind of number for all photographs."
            )
        train, test, labels = self._responses(len(pixels[0]), len(pixels[1]))
        known = np.isfinite(train).all(0) & np.isfinite(test).all(0)
        self.n_left_out = int((~known).sum())
        if not known.any():
            raise ValueError(
                f"{self.root / 'EstimatedResponses.mat'}: every voxel of subject {subject} has NaN for some photograph."
            )
        if self.n_left_out:
            warn_once(
                f"vim1 {self.root.absolute()} {subject} {self.n_left_out}",
                f"vim1: {self.n_left_out} of {len(known)} voxels of subject {subject} have NaN for some photograph: "
                "they are left out.",
            )
        rois = {name: (labels == label) & known for label, name in enumerate(REGIONS, 1)}
        inside = choose_region(region, {name: mask for name, mask in rois.items() if mask.any()}, known)
        n_train, n_test = len(train), len(test)
        drawn = random_splits(n_train, test=0, val=val, seed=seed)
        ids = [f"trn{n + 1:04d}" for n in range(n_train)] + [f"val{n + 1:04d}" for n in range(n_test)]
        self.images = Images(_as_bytes(np.concatenate(pixels)), ids)
        super().__init__(
            ids,
            np.concatenate([train[:, inside], test[:, inside]]),
            BrainSpace.free(int(inside.sum()), {name: torch.from_numpy(mask[inside]) for name, mask in rois.items()
                                                if mask[inside].any()}),
            {**drawn, "test": torch.arange(n_train, n_train + n_test)},
            noise_ceiling_definition="none: the files hold means over presentations only",
            n_repeats=REPEATS,
        )  # fmt: skip

    from_settings = settings_of(__init__)

    def _pixels(self, name: str) -> np.ndarray:
        """(n_images, height, width) of the photographs."""
        path = there(self.root / "Stimuli.mat", "the photographs")
        found, _ = read_entries(path)
        if name not in found:
            raise ValueError(f"{path} has no {name}; it has {', '.join(found) or 'nothing'}.")
        values = found[name]
        expect_type(path, values.dtype, "fui", f"{name} is numbers")
        if values.ndim != 3 or values.shape[1] != values.shape[2]:
            raise ValueError(f"{path}: {name} has shape {values.shape}; expected (images, pixels, pixels).")
        return values

    def _responses(self, n_train: int, n_test: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Responses to both sets (n_images, n_voxels), and the labels (n_voxels,)."""
        import h5py

        path = there(self.root / "EstimatedResponses.mat", "responses and regions")
        with reading(path, "MATLAB v7.3 file"), h5py.File(path, "r") as file:
            names = [f"{part}S{self.subject}" for part in ("dataTrn", "dataVal", "roi")]
            missing = [name for name in names if name not in file]
            if missing:
                raise ValueError(f"it has no {missing[0]}; it has {', '.join(file) or 'nothing'}")
            train, test, labels = (file[name][()] for name in names)
        labels = labels.reshape(-1)
        pairs = []
        for name, values, n_images in (("dataTrn", train, n_train), ("dataVal", test, n_test)):
            expect_type(path, values.dtype, "f", f"{name} is real numbers")
            if sorted(values.shape) != sorted((n_images, len(labels))):
                raise ValueError(f"{path}: {name}S{self.subject} has shape {values.shape}; expected {n_images} "
                                 f"photographs, as in Stimuli.mat, and {len(labels)} voxels.")  # fmt: skip
            pairs.append(np.asarray(values if values.shape[0] == n_images else values.T, np.float32))
        if not np.isin(labels, range(len(REGIONS) + 1)).all():
            raise ValueError(f"{path}: roiS{self.subject} holds {labels.max():g}; expected labels from 0 to 7.")
        return pairs[0], pairs[1], labels


def _as_bytes(pixels: np.ndarray) -> np.ndarray:
    """(n, height, width, 3) uint8; numbers of any other range are stretched to 0..255, all photographs alike."""
    if pixels.dtype != np.uint8:
        low, high = float(np.nanmin(pixels)), float(np.nanmax(pixels))
        pixels = np.round((pixels - low) / max(high - low, 1e-12) * 255).astype(np.uint8)
    return np.repeat(pixels[..., None], 3, axis=3)

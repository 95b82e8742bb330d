"""The Algonauts 2023 challenge as a dataset: NSD photographs, both hemispheres' fMRI, and the published ROI masks.

    <root>/training_split/training_images/*.png
           training_split/training_fmri/{lh,rh}_training_fmri.npy     (n_images, n_vertices of the hemisphere)
           roi_masks/{lh,rh}.all-vertices_fsaverage_space.npy         optional: where those vertices are
           roi_masks/{lh,rh}.<class>_challenge_space.npy              optional: ROI labels of those vertices
           test_split/test_images/*.png                               optional: photographs without responses

The challenge's label tables are pickles, which are never loaded here; they are written out below as data.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from brainnet._checks import warn_once
from brainnet._files import reading
from brainnet.dataset.about import About
from brainnet.dataset.base import ResponseDataset, random_splits
from brainnet.dataset.regions import ROI_LABELS, areas_of, regions_of
from brainnet.space import VERTICES_PER_HEMISPHERE, BrainSpace, surface_space
from brainnet.stimuli import Images
from brainnet.tokens import Preprocessing

HEMISPHERES = ("lh", "rh")

_FMRI = "training_split/training_fmri"
_IMAGES = "training_split/training_images"


ABOUT = About(
    title="Algonauts 2023 challenge",
    kind="fMRI",
    what="The Natural Scenes Dataset, prepared for a challenge: eight people saw up to 10,000 photographs, three times "
    "each, in a 7 T scanner. Responses are z-scored within sessions and averaged over the presentations of an image.",
    where="A form of the challenge, which leads to a cloud drive; https://github.com/gifale95/algonauts_2023 prepares "
    "the same files from the Natural Scenes Dataset.",
    terms="NSD Terms and Conditions; the photographs stay under the terms of COCO.",
    size="9,841 training photographs of subject 1, with 1.6 GB of responses of 39,548 vertices.",
    layout="""subj01/training_split/training_images/train-NNNN_nsd-NNNNN.png
subj01/training_split/training_fmri/{lh,rh}_training_fmri.npy
subj01/test_split/test_images/test-NNNN_nsd-NNNNN.png
subj01/roi_masks/{lh,rh}.all-vertices_fsaverage_space.npy
subj01/roi_masks/{lh,rh}.<class>_challenge_space.npy""",
    steps=(
        "Fill in the form of the challenge, and take the folder of each subject from the cloud drive.",
        "Unpack it; the folder of one subject, such as FOLDER/subj01, is the one to name.",
    ),
    needs=(f"{_IMAGES}/*", f"{_FMRI}/lh_training_fmri.npy", f"{_FMRI}/rh_training_fmri.npy"),
    cite="""@article{gifford2023algonauts,
  title={The Algonauts Project 2023 Challenge: How the Human Brain Makes Sense of Natural Scenes},
  author={Gifford, Alessandro T. and Lahner, Benjamin and Saba-Sadiya, Sari and Vilas, Martina G. and others},
  journal={arXiv preprint arXiv:2301.03198}, year={2023}, doi={10.48550/arXiv.2301.03198}
}""",
    verified="Run on folders in the published layout that the tests write; nobody has run it on the real files yet.",
)  # fmt: skip


class BrainDataset(ResponseDataset):
    """One subject of the Algonauts 2023 challenge.

    Responses are the left hemisphere's columns and then the right one's. With ``roi_masks/`` every column is a vertex
    of fsaverage (or fsaverage5, told by the masks' length) with its sphere coordinates; without, ``space`` has no
    place, and selectors become free parameters per voxel.

    ``space.rois`` holds, in this order and where the masks name them: the twelve groups of ``ROI_GROUPS`` ("V1",
    "FFA", ...), the single areas ("V1v", "FFA-1", "RSC", "ventral", ...), and the groups of one hemisphere ("lh.V1").

    The published training used 9,000 of subject 1's 9,841 photographs and scored on the other 841, drawn without a
    seed. Here a seeded draw of the same proportions makes those 841 the test rows; validation rows come out of the
    9,000, so that nothing is chosen on the images that are scored.

    Args:
        root: the subject's folder, such as ``/data/alg23/subj01``.
        resolution: height and width images are resized to, with ImageNet's mean and SD as in the published training.
            None leaves images to the backbone's own preprocessing.
        test, val: shares or counts, see :func:`~brainnet.dataset.base.random_splits`.
        seed: of the split.

    Raises:
        FileNotFoundError: not such a folder; the message names the nearest one that is.
        ValueError: files whose sizes disagree.
    """

    about = ABOUT

    @classmethod
    def from_settings(
        cls, data_dir: str, seed: int, *, resolution: tuple[int, int] | None = (224, 224)
    ) -> BrainDataset:
        """The subject in ``data_dir``; ``resolution`` is the height and width of its images in pixels."""
        return cls(data_dir, None if resolution is None else tuple(resolution), seed=seed)

    def __init__(
        self,
        root: str | os.PathLike,
        resolution: tuple[int, int] | None = (224, 224),
        *,
        test: float | int = 841 / 9841,
        val: float | int = 0.1,
        seed: int = 0,
    ):
        self.root = _checked_root(Path(root))
        self.images = Images(self.root / _IMAGES)
        responses, n_columns = _read_fmri(self.root)
        if len(self.images) != len(responses):
            raise ValueError(
                f"{len(self.images)} images in {self.root / _IMAGES} but responses to {len(responses)} in "
                f"{self.root / _FMRI}: the challenge has one row per image, in the order of the file names."
            )
        super().__init__(
            self.images.ids,
            responses,
            _read_space(self.root / "roi_masks", n_columns),
            random_splits(len(responses), test=test, val=val, seed=seed),
            noise_ceiling_definition="none: the challenge publishes responses averaged over repeats only",
            n_repeats=3,
            preprocessing=None if resolution is None else Preprocessing(size=tuple(resolution)),
        )

    def load_image(self, index: int):
        """Image ``index`` as it is stored: an RGB ``PIL.Image``.

        Raises:
            ValueError: the file cannot be decoded; the message names it.
        """
        return self.images[index]

    def test_images(self) -> Images:
        """The challenge's own test photographs, whose responses are not public.

        Raises:
            FileNotFoundError: the folder has no ``test_split/test_images``.
        """
        return Images(self.root / "test_split/test_images")


def _checked_root(root: Path) -> Path:
    wanted = f"{_FMRI}/lh_training_fmri.npy"
    if (root / wanted).exists():
        return root
    if not root.is_dir():
        raise FileNotFoundError(f"no folder {root}. It should be a subject's, holding {wanted}.")
    entries = sorted(entry.name + "/" * entry.is_dir() for entry in root.iterdir())
    # a parent of the subject's folder was given, or a part of it
    below = sorted(path.parents[2] for pattern in ("*", "*/*") for path in root.glob(f"{pattern}/{wanted}"))
    above = [folder for folder in root.parents[:2] if (folder / wanted).exists()]
    fits = next(iter(below + above), None)
    raise FileNotFoundError(
        f"no {wanted} under {root} (found: {', '.join(entries[:8]) or 'nothing'}{', ...' * (len(entries) > 8)})."
        + (f" Did you mean {fits}?" if fits else "")
    )


def _read_fmri(root: Path) -> tuple[Tensor, tuple[int, int]]:
    """Both hemispheres side by side, (n_images, n_left + n_right) float32, and the two numbers of columns."""
    halves = [_load(root / _FMRI / f"{side}_training_fmri.npy") for side in HEMISPHERES]
    for side, half in zip(HEMISPHERES, halves, strict=True):
        if half.ndim != 2:
            raise ValueError(f"{side}_training_fmri.npy must be (n_images, n_vertices), got shape {half.shape}.")
    left, right = halves
    if len(left) != len(right):
        raise ValueError(f"lh_training_fmri.npy has {len(left)} rows (images) and rh_training_fmri.npy {len(right)}.")
    # filled from the memory maps, half by half: the float64 some copies hold is never in memory whole
    responses = torch.empty(len(left), left.shape[1] + right.shape[1])
    responses.numpy()[:, : left.shape[1]] = left
    responses.numpy()[:, left.shape[1] :] = right
    return responses, (left.shape[1], right.shape[1])


def _read_space(folder: Path, n_columns: tuple[int, int]) -> BrainSpace:
    rois = _read_rois(folder, n_columns)
    masks = [_find_vertex_mask(folder, side) for side in HEMISPHERES]
    if None in masks:
        side = HEMISPHERES[masks.index(None)]
        absent = folder / f"{side}.all-vertices_fsaverage_space.npy" if folder.is_dir() else folder
        warn_once(
            f"no place {folder}",
            f"no {absent}: it is not known where the {sum(n_columns)} columns are on the cortex, so selectors are free "
            "per voxel and there are no surface maps. Put the subject's roi_masks folder there to have both.",
        )
        return BrainSpace.free(sum(n_columns), rois)
    meshes, vertices = [], []
    for number, (path, columns) in enumerate(zip(masks, n_columns, strict=True)):
        mask = _load(path)
        mesh = {n: name for name, n in VERTICES_PER_HEMISPHERE.items()}.get(mask.size)
        if mesh is None:
            sizes = " or ".join(f"{n:,} ({name})" for name, n in VERTICES_PER_HEMISPHERE.items())
            raise ValueError(f"{path} has shape {mask.shape}; a vertex mask has {sizes} entries.")
        inside = np.flatnonzero(mask)
        if len(inside) != columns:
            raise ValueError(f"{path} marks {len(inside)} vertices but the fMRI of that side has {columns} columns.")
        meshes.append(mesh)
        vertices.append(torch.from_numpy(inside + number * mask.size))
    if meshes[0] != meshes[1]:
        raise ValueError(f"the vertex masks of the hemispheres are on different meshes: {' and '.join(meshes)}.")
    return surface_space(torch.cat(vertices), meshes[0], rois)


def _find_vertex_mask(folder: Path, side: str) -> Path | None:
    names = [f"{side}.all-vertices_{mesh}_space.npy" for mesh in ("fsaverage", "fsaverage5")]
    return next((folder / name for name in names if (folder / name).exists()), None)


def _read_rois(folder: Path, n_columns: tuple[int, int]) -> dict[str, Tensor]:
    """Every region the masks name: the groups, the single areas, and the groups of each hemisphere."""
    areas: dict[str, Tensor] = {}
    for family in ROI_LABELS:
        paths = [folder / f"{side}.{family}_challenge_space.npy" for side in HEMISPHERES]
        if not any(path.exists() for path in paths):
            continue
        halves = []
        for path, columns in zip(paths, n_columns, strict=True):
            label = _load(path)
            if label.shape != (columns,):
                raise ValueError(f"{path} has shape {label.shape}; the hemisphere's fMRI has {columns} columns.")
            halves.append(areas_of(family, np.asarray(label), path))
        areas |= {name: torch.cat([half[name] for half in halves]) for name in halves[0]}
    return regions_of(areas, torch.arange(sum(n_columns)) < n_columns[0])


def _load(path: Path) -> np.ndarray:
    if not path.exists():
        raise FileNotFoundError(f"no {path}.")
    with reading(path, "array of numbers"):
        return np.load(path, allow_pickle=False, mmap_mode="r")

"""A small folder in the layout of the Algonauts 2023 challenge, with what was put in."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from brainnet.dataset.regions import ROI_LABELS
from brainnet.space import VERTICES_PER_HEMISPHERE


class AlgonautsFolder(NamedTuple):
    root: Path
    responses: np.ndarray  # (n_images, n_left + n_right)
    vertices: np.ndarray  # (n_left + n_right,), right ones counted from the number of left ones
    labels: dict[str, np.ndarray]  # class of ROIs -> (n_left + n_right,)


def write_algonauts_folder(
    root: Path,
    n_images: int = 12,
    n_left: int = 30,
    n_right: int = 25,
    *,
    mesh: str | None = "fsaverage5",
    size: int = 32,
    n_test_images: int = 2,
    dtype: type = np.float32,
    seed: int = 0,
) -> AlgonautsFolder:
    """Writes one subject's folder.

    Args:
        root: created where it is not there.
        n_images: photographs with responses; image ``i`` is a flat colour whose red is ``i``.
        n_left, n_right: columns per hemisphere, at random places of the mesh.
        mesh: of the vertex masks; None leaves ``roi_masks`` out.
        size: side of the photographs in pixels.
        n_test_images: photographs without responses; 0 leaves ``test_split`` out.
        dtype: of the fMRI files.
        seed: of everything random.
    """
    root = Path(root)
    generator = np.random.default_rng(seed)
    for part, count in (("training", n_images), ("test", n_test_images)):
        folder = root / f"{part}_split/{part}_images"
        if count:
            folder.mkdir(parents=True)
        for i in range(count):
            pixels = np.full((size, size, 3), (i % 256, 100, 200), dtype=np.uint8)
            name = "train" if part == "training" else part
            Image.fromarray(pixels).save(folder / f"{name}-{i + 1:04d}_nsd-{generator.integers(73000):05d}.png")
    counts = (n_left, n_right)
    responses = generator.standard_normal((n_images, sum(counts))).astype(dtype)
    fmri = root / "training_split/training_fmri"
    fmri.mkdir(parents=True)
    for side, part in zip(("lh", "rh"), np.split(responses, [n_left], axis=1), strict=True):
        np.save(fmri / f"{side}_training_fmri.npy", part)
    vertices = np.zeros(0, dtype=int)
    labels = {family: generator.integers(0, len(names) + 1, sum(counts)) for family, names in ROI_LABELS.items()}
    if mesh:
        masks = root / "roi_masks"
        masks.mkdir()
        n_hemisphere = VERTICES_PER_HEMISPHERE[mesh]
        for number, (side, count) in enumerate(zip(("lh", "rh"), counts, strict=True)):
            inside = np.sort(generator.choice(n_hemisphere, count, replace=False))
            mask = np.zeros(n_hemisphere, dtype=int)
            mask[inside] = 1
            np.save(masks / f"{side}.all-vertices_fsaverage_space.npy", mask)
            vertices = np.concatenate([vertices, inside + number * n_hemisphere])
            for family, label in labels.items():
                part = label[:n_left] if side == "lh" else label[n_left:]
                np.save(masks / f"{side}.{family}_challenge_space.npy", part)
        for family, names in ROI_LABELS.items():  # pickles, as the challenge ships them
            np.save(masks / f"mapping_{family}.npy", {0: "Unknown", **names}, allow_pickle=True)
    return AlgonautsFolder(root, responses, vertices, labels)

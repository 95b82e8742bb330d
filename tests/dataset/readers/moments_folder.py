"""A folder laid out as version B of BOLD Moments is, small in voxels and videos, whose content is known."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import NamedTuple

import av
import nibabel
import numpy as np

GRID = (4, 5, 3)
AFFINE = np.array([[2.5, 0, 0, -76], [0, 2.5, 0, -112], [0, 0, 2.75, -78], [0, 0, 0, 1]])
N_FRAMES = 7


class Moments(NamedTuple):
    """What the files hold."""

    root: Path
    train: np.ndarray  # (n_train, 3, n_voxels)
    test: np.ndarray  # (n_test, 10, n_voxels)
    ids: list[str]  # of the training and then of the test videos
    mask: np.ndarray
    rois: dict[str, np.ndarray]


def dump(path: Path, value) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL))


def folder_of(root: Path, subject: int = 1, space: str = "MNI152") -> Path:
    return root / f"derivatives/versionB/{space}/GLM/sub-{subject:02d}"


def write_moments(
    root: Path,
    subject: int = 1,
    n_train: int = 12,
    n_test: int = 4,
    carry_mask: bool = True,
    seed: int = 0,
    signal: np.ndarray | None = None,
    patterned: bool = False,
) -> Moments:
    """One subject in MNI152. The file of betas may carry its mask as a nibabel image, as the published ones do.

    Videos are gray, or ``patterned``; ``signal`` is (n_train + n_test, n_voxels), drawn where there is none.
    """
    generator = np.random.default_rng(seed)
    mask = np.zeros(GRID, bool)
    mask[1:3, 1:4, :2] = True
    n_voxels = int(mask.sum())
    numbers = [*range(1, n_train + 1), *range(1001, 1001 + n_test)]
    ids = [f"vid{number:04d}" for number in numbers]
    signal = generator.normal(size=(len(ids), n_voxels)) if signal is None else signal
    signal = signal[:, None]
    train = signal[:n_train] + 0.5 * generator.normal(size=(n_train, 3, n_voxels))
    test = signal[n_train:] + 0.5 * generator.normal(size=(n_test, 10, n_voxels))
    rois = {"lEBA": [0, 1, 4], "rEBA": [7], "lV1v": [2, 3], "rV1v": [], "BMDgeneral": [0, 1, 2, 3, 7, 9]}
    folder = folder_of(root, subject)
    image = nibabel.Nifti1Image(mask.astype(np.float32), AFFINE)
    for task, values, names in (("train", train, ids[:n_train]), ("test", test, ids[n_train:])):
        content = (values, names, image) if carry_mask else (values, names)
        dump(folder / f"prepared_betas/sub-{subject:02d}_organized_betas_task-{task}_normalized.pkl", content)
    for name, places in rois.items():
        places = np.array(places, dtype=np.int64)
        coordinates = np.argwhere(mask)[places]
        dump(folder / f"ROIs/ROI-{name}_indices.pkl", [coordinates, places[:, None]])
    masks = folder.parent / "mask"
    masks.mkdir(exist_ok=True)
    nibabel.save(image, masks / "groupMask_space-MNI152.nii")
    for number in numbers:
        write_video(root / "stimuli" / ("test" if number > 1000 else "train") / f"{number:04d}.mp4", number, patterned)
    flags = {name: np.isin(np.arange(n_voxels), places) for name, places in rois.items()}
    return Moments(root, train, test, ids, mask, flags)


def level(number: int, frame: int) -> int:
    """The gray of a frame."""
    return (number * 7) % 100 + 20 * frame


def write_video(path: Path, number: int, patterned: bool = False) -> None:
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        for frame in range(N_FRAMES):
            pixels = np.full((32, 32, 3), level(number, frame), np.uint8)
            if patterned:
                cells = np.random.default_rng([number, frame]).integers(0, 256, (8, 8, 3), np.uint8)
                pixels = cells.repeat(4, 0).repeat(4, 1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())

"""Toy files under the names that the README's command lines use, and those lines, made small."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import numpy as np
import torch

N_IMAGES = 24  # of my_folder and v4_folder
N_CONDITIONS = 12  # of images/, and so of every RDM; four for each of three folds
N_SUBJECTS = 6
# what a reader runs -> what a test runs: the same line, smaller, and with weights that need no download
SMALLER = {
    r"^brainnet demo(.*)": r"brainnet demo\1 DATASET.N_TRAIN 48 DATASET.N_TEST 12 DATASET.N_VOXELS 60"
    " TRAINER.MAX_EPOCHS 2",
    r"--config folder DATASET.DATA_DIR my_(folder|trials)": r"\g<0> BACKBONE.NAME expansion:small TRAINER.MAX_EPOCHS 1"
    " TOKENS.PCA 8",
    r"--config (nsd|things_eeg) DATASET.DATA_DIR \w+": r"\g<0> BACKBONE.NAME expansion:small"
    " TRAINER.MAX_EPOCHS 1",
    r"--config (\S*v4_squeezenet\S*) DATASET.DATA_DIR v4_folder": r"--config v4_squeezenet DATASET.DATA_DIR v4_folder"
    " BACKBONE.WEIGHTS weights.npz TOKENS.PCA 8 TRAINER.MAX_EPOCHS 1",
    r"^brainnet fit --config v4_squeezenet.*": r"\g<0> DATASET.SESSION 210325",
    r"torchvision:squeezenet1_0": r"\g<0>=weights.npz",
    r"--config things_fmri DATASET.DATA_DIR \w+": r"\g<0> BACKBONE.NAME torchvision:squeezenet1_0"
    " BACKBONE.WEIGHTS weights.npz TRAINER.MAX_EPOCHS 1",
    r"BACKBONE.NAME expansion:small(.* --controls shuffled,random)": r"BACKBONE.NAME torchvision:squeezenet1_0"
    r" BACKBONE.WEIGHTS weights.npz\1",  # the weights of expansion are random already
    r"^(brainnet classify .*)torchvision:resnet50": r"\1torchvision:squeezenet1_0=weights.npz",
    r"(-b (?:torchvision|timm):\w+)(?= )": r"\1=random",
    r"^brainnet encode.*": r"\g<0> --resamples 20",
    r"^brainnet fit --config series.*": r"\g<0> TRAINER.MAX_EPOCHS 2 TRAINER.VAL_EVERY 1",
    r"DATASET.NAME simulated_series": r'\g<0> DATASET.OPTIONS "{n_sentences: 60, n_voxels: 20}"',
    r"^brainnet runs rerun.*": r"\g<0> --yes",
    r"^brainnet (rsa|searchlight) .*": r"\g<0> --permutations 20",
}


def shell_lines(text: str) -> list[str]:
    """The command lines in the bash blocks of a Markdown text, but for blocks that are marked ``notest``."""
    blocks = re.findall(r"^```bash\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    lines = [re.sub(r"\s+", " ", line.partition(" #")[0]).strip() for line in lines]
    return [line for line in lines if line]


def smaller(line: str) -> str:
    """
    >>> smaller("brainnet demo --seed 1")
    'brainnet demo --seed 1 DATASET.N_TRAIN 48 DATASET.N_TEST 12 DATASET.N_VOXELS 60 TRAINER.MAX_EPOCHS 2'
    """
    for usual, small in SMALLER.items():
        line = re.sub(usual, small, line)
    return line


def write_toy_files(folder: Path) -> None:
    """Everything the README's lines read: pictures, responses, RDMs of brains, patterns in a volume, weights."""
    random = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True)
    write_pictures(folder / "images", N_CONDITIONS, random)
    (folder / "new_images").mkdir()
    write_pictures(folder / "new_images", 3, random)

    (folder / "my_folder" / "images").mkdir(parents=True)
    brightness = write_pictures(folder / "my_folder" / "images", N_IMAGES, random)
    responses = brightness[:, None] * random.uniform(0.5, 1.5, 6) + 0.1 * random.normal(size=(N_IMAGES, 6))
    np.save(folder / "my_folder" / "responses.npy", responses)
    np.save(folder / "my_folder" / "repeats.npy", responses[..., None] + 0.1 * random.normal(size=(N_IMAGES, 6, 3)))
    (folder / "my_folder" / "rois.csv").write_text("V1,V4\n" + "1,0\n" * 3 + "0,1\n" * 3)

    (folder / "v4_folder").mkdir()
    for session, n_units in (("201025", 5), ("210325", 4)):
        pictures = folder / session
        pictures.mkdir()
        brightness = write_pictures(pictures, N_IMAGES, random)
        with zipfile.ZipFile(folder / "v4_folder" / f"images_{session}.zip", "w") as archive:
            for path in sorted(pictures.iterdir()):
                archive.write(path, path.name)
        responses = brightness * random.uniform(0.5, 1.5, (n_units, 1)) + 0.1 * random.normal(size=(n_units, N_IMAGES))
        np.save(folder / "v4_folder" / f"avg_{session}.npy", responses)

    (folder / "brain_rdms").mkdir()
    for region in ("V1", "IT"):
        np.savez(folder / "brain_rdms" / f"{region}.npz", rdms=_rdms(random, N_SUBJECTS))
    np.savez(folder / "meg.npz", rdms=_rdms(random, N_SUBJECTS, 5))
    for name in "ab":
        np.savez(folder / f"{name}.npz", rdms=_rdms(random, 2))
    _write_volumes(folder, random)
    _write_weights(folder / "weights.npz")


def write_pictures(folder: Path, n: int, random: np.random.Generator) -> np.ndarray:
    """Pictures in a folder, and how bright each is."""
    from PIL import Image

    pixels = random.integers(0, 160, (n, 8, 8, 3)) + random.integers(0, 96, (n, 1, 1, 1))
    for i, picture in enumerate(pixels.astype(np.uint8)):
        Image.fromarray(picture).resize((32, 32)).save(folder / f"picture{i}.png")
    return pixels.mean((1, 2, 3)) / 255


def _rdms(random: np.random.Generator, *sizes: int) -> np.ndarray:
    """Square RDMs that share a geometry."""
    points = random.normal(size=(N_CONDITIONS, 4)) + 0.5 * random.normal(size=(*sizes, N_CONDITIONS, 4))
    return np.linalg.norm(points[..., :, None, :] - points[..., None, :, :], axis=-1)


def _write_volumes(folder: Path, random: np.random.Generator) -> None:
    import nibabel

    shared = random.normal(size=(6, 6, 6, N_CONDITIONS))
    for subject in range(N_SUBJECTS):
        patterns = shared + random.normal(size=shared.shape)
        image = nibabel.Nifti1Image(patterns.astype(np.float32), np.diag([3.0, 3.0, 3.0, 1.0]))
        nibabel.save(image, folder / f"sub-{subject + 1:02d}.nii.gz")


def _write_weights(path: Path) -> None:
    """Weights of a SqueezeNet that nobody trained, in a file, which is how a user brings trained ones."""
    import torchvision

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        state = torchvision.models.squeezenet1_0(weights=None).state_dict()
    np.savez(path, **{name: values.numpy() for name, values in state.items()})

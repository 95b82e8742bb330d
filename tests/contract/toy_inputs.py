"""Small inputs for every command, and a line of each that succeeds on them."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import yaml
from PIL import Image

from tests.run.sweep.toys import FIT, asked

NETWORK = "torchvision:squeezenet1_1=random"
LAYERS = ("--layer", "features.3", "--layer", "features.4")
N_IMAGES, N_VOXELS, N_CONDITIONS = 24, 3, 8


def write_inputs(folder: Path) -> Path:
    """Pictures, responses, RDMs of brains and models, a volume of patterns: whatever the lines below name."""
    rng = np.random.default_rng(0)
    data = folder / "data"
    (data / "images").mkdir(parents=True)
    for i in range(N_IMAGES):
        pixels = rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((64, 64)).save(data / "images" / f"im{i}.png")
    trials = rng.normal(size=(N_IMAGES, N_VOXELS, 3))
    np.save(data / "responses.npy", trials.mean(2))
    np.save(data / "repeats.npy", trials)
    patterns = rng.normal(size=(5, 5, 5, N_CONDITIONS)).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(patterns, np.diag([3.0, 3, 3, 1])), folder / "patterns.nii.gz")
    n_pairs = N_CONDITIONS * (N_CONDITIONS - 1) // 2
    np.save(folder / "brain.npy", rng.uniform(0.1, 1, (4, n_pairs)))
    np.save(folder / "meg.npy", rng.uniform(0.1, 1, (4, 6, n_pairs)))
    np.save(folder / "model.npy", rng.uniform(0.1, 1, (2, n_pairs)))
    np.save(folder / "other.npy", rng.uniform(0.1, 1, (1, n_pairs)))
    np.save(folder / "features.npy", rng.normal(size=(N_CONDITIONS, 20)).astype(np.float32))
    methods = ["ridge", {"method": "rsa", "controls": ["random"]}, {**FIT, "backbones": ["net00"], "controls": []}]
    (folder / "sweep.yaml").write_text(yaml.safe_dump(asked(2, 1, methods=methods)))
    return folder


def lines(folder: Path) -> dict[str, list[str]]:
    """Command to its words, without ``--out``."""
    data = ["DATASET.NAME", "array", "DATASET.DATA_DIR", str(folder / "data"), "BACKBONE.NAME",
            "torchvision:squeezenet1_1", "BACKBONE.WEIGHTS", "random", "MODEL.LAYERS", "['features.3','features.4']",
            "MODEL.GRID", "(4,4)", "TOKENS.BATCH_SIZE", "4"]  # fmt: skip
    network = ["--backbone", NETWORK, *LAYERS]
    model = ["--model", str(folder / "model.npy")]
    return {
        "extract": ["extract", str(folder / "data" / "images"), *network, "--pool", "mean", "--batch-size", "4"],
        "rdm": ["rdm", str(folder / "data" / "images"), *network],
        "compare": ["compare", str(folder / "data" / "images"), *network, "--backbone",
                    "torchvision:squeezenet1_0=random", "--metric", "cka"],
        "rdm of features": ["rdm", str(folder / "features.npy")],
        "fit": ["fit", *data, "MODEL.BOTTLENECK_DIM", "8", "TRAINER.MAX_EPOCHS", "4", "TOKENS.STANDARDIZE", "True"],
        "encode": ["encode", *data, "--method", "ridge", "--method", "banded", "--resamples", "20"],
        "rsa compare": ["rsa", "compare", str(folder / "brain.npy"), *model, "--permutations", "50"],
        "rsa time": ["rsa", "time", str(folder / "meg.npy"), *model, "--permutations", "20"],
        "rsa steps": ["rsa", "steps", str(folder / "meg.npy"), *model, "--permutations", "20"],
        "rsa fit": ["rsa", "fit", str(folder / "brain.npy"), *model, "--permutations", "20", "--folds", "2"],
        "rsa partition": ["rsa", "partition", str(folder / "brain.npy"), *model, "--model", str(folder / "other.npy"),
                          "--permutations", "20", "--folds", "2"],
        "searchlight": ["searchlight", "run", str(folder / "patterns.nii.gz"), *model, "--permutations", "50",
                        "--radius", "4", "--min-size", "4"],
        "sweep": ["sweep", "run", str(folder / "sweep.yaml")],
    }  # fmt: skip

"""A finished run applied to new images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from brainnet._files import write_text, writing
from brainnet._work import progress as progress_bar
from brainnet.config import parse_config
from brainnet.plmodel import PLModel, build_backbone_of
from brainnet.plmodel.build import NAMES_A_FILE
from brainnet.plmodel.checkpoint import CHECKPOINT_KEY, read_checkpoint
from brainnet.run.card import refuse_others
from brainnet.run.folder import claimed
from brainnet.stimuli import Images


def predict(run: str | Path, images: Any, out: str | Path, *, batch_size: int = 16, progress: bool = True) -> Path:
    """Predicted responses of every voxel to new images, by a finished run.

    Args:
        run: a run folder, or a ``model.ckpt``.
        images: folder, zip or list of images.
        out: folder that receives ``predictions.npy``, (n_images, n_voxels) float32 in response units, NaN for voxels
            that could not be trained, and ``images.txt``, one image id per row; a file that is there is replaced
            once the new one is whole. A folder of another command's results is refused.
        batch_size: images per forward pass, at least 1.
        progress: show a progress bar.

    Returns:
        The path of ``predictions.npy``.

    Raises:
        FileNotFoundError: no such run, or no images.
        ValueError: a damaged checkpoint, or a batch size below 1.
        FileExistsError: ``out`` holds the results of another command.
    """
    if batch_size < 1:
        raise ValueError(f"--batch-size is a number of images of at least 1, got {batch_size}.")
    out = Path(out)
    refuse_others(out, "fit")
    photographs = Images(images)
    model = load_model(run)
    target, rows = out / "predictions.npy", torch.arange(len(photographs)).split(batch_size)
    with claimed(out, "fit"):
        with writing(target) as unfinished:
            table = np.lib.format.open_memmap(
                unfinished, mode="w+", dtype=np.float32, shape=(len(photographs), model.space.n_voxels)
            )
            with torch.no_grad():
                for part in progress_bar(rows, f"Predicting {len(photographs):,} images", len(rows), progress):
                    batch = torch.stack([model.preprocessing(photographs[int(i)]) for i in part])
                    table[part.numpy()] = model(batch)[0].masked_fill(~model.usable, torch.nan).numpy()
            table.flush()
            del table  # closes the file, which Windows asks for before it is renamed
        write_text(out / "images.txt", "".join(f"{name}\n" for name in photographs.ids))
    return target


def load_model(run: str | Path, backbone: Any = None) -> PLModel:
    """The trained model of a run folder, in evaluation mode, on the CPU.

    Args:
        run: a run folder, or a ``model.ckpt``.
        backbone: the backbone it was trained on; None builds the one its config names.

    Raises:
        FileNotFoundError: no ``model.ckpt`` there.
        ValueError: a damaged checkpoint, one of another backbone, or one that names Python code inside its own folder.
    """
    path = Path(run)
    path = path / "model.ckpt" if path.is_dir() else path
    if not path.is_file():
        raise FileNotFoundError(
            f"no finished run at {run}: {path} does not exist. `brainnet fit --out {run}` makes one."
        )
    cfg = parse_config(read_checkpoint(path)[CHECKPOINT_KEY]["config"])
    for key in NAMES_A_FILE:
        section, leaf = key.split(".")
        file = Path(cfg[section][leaf].rpartition(":")[0])
        if file.suffix == ".py" and path.parent.resolve() in file.resolve().parents:
            raise ValueError(
                f"{path} names code inside its own folder, {file}: it came with the results and is not run."
            )
    backbone = build_backbone_of(cfg) if backbone is None else backbone
    return PLModel.load_from_checkpoint(path, cfg=cfg, backbone=backbone).eval()

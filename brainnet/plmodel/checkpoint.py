"""What a checkpoint of PLModel holds beside the weights, and how one is read without trusting it.

A checkpoint may be damaged, and may come from a stranger. Each record of the file carries a checksum, which is
compared before anything is read; only tensors and plain values are taken, so nothing in a file is ever run.
"""

from __future__ import annotations

import pickle
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brainnet._files import array_digest, sha256
from brainnet.space import BrainSpace

CHECKPOINT_KEY = "brainnet"
FIELDS = ("config", "layers", "layer_widths", "backbone", "preprocessing", "space")


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """A checkpoint that PLModel wrote, on the CPU; what it says of itself lies under ``CHECKPOINT_KEY``.

    Raises:
        FileNotFoundError: no such file.
        ValueError: damaged, not a checkpoint of brainnet's, or one that holds more than tensors and plain values.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint {path}.")
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise zipfile.BadZipFile(f"its record {damaged} has another checksum")
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error).splitlines()[0].split(". ")[0]
        raise ValueError(
            f"{path} holds more than tensors and plain values, or is damaged ({reason}). Nothing in it was run."
        ) from None
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError, KeyError, IndexError, TypeError,
            AttributeError, NotImplementedError, OverflowError, UnicodeDecodeError) as error:  # fmt: skip
        raise ValueError(f"{path} is damaged, or no checkpoint: {str(error).splitlines()[0]}.") from None
    saved_in(checkpoint, str(path))
    return checkpoint


def saved_in(checkpoint: Any, name: str = "this checkpoint") -> dict[str, Any]:
    """What PLModel added to a checkpoint.

    Raises:
        ValueError: there is none, it lacks a field, or the weights are not those it was written with.
    """
    saved = checkpoint.get(CHECKPOINT_KEY) if isinstance(checkpoint, Mapping) else None
    weights = checkpoint.get("state_dict") if isinstance(checkpoint, Mapping) else None
    if not isinstance(saved, Mapping) or not isinstance(weights, Mapping):
        raise ValueError(f"{name} was not written by brainnet's PLModel.")
    missing = [field for field in FIELDS if field not in saved]
    if missing or not isinstance(weights.get("usable"), Tensor):
        raise ValueError(f"{name} is damaged: it lacks {', '.join(missing) or 'weights'}.")
    if saved.get("weights_sha256", digest := weights_digest(weights)) != digest:
        raise ValueError(f"{name} is damaged: its weights are not those that were saved.")
    return dict(saved)


def weights_digest(weights: Mapping[str, Tensor]) -> str:
    """Digest of a state dict: names, types, shapes and numbers."""
    return sha256(*(f"{name} {array_digest(value)} " for name, value in sorted(weights.items())))


def packed(space: BrainSpace) -> dict[str, Any]:
    """A space as tensors and plain lists, which is all that a checkpoint may hold."""
    arrays = space.to_arrays().items()
    return {name: torch.from_numpy(a) if a.dtype.kind in "biuf" else a.tolist() for name, a in arrays}


def unpacked(state: Mapping[str, Any]) -> BrainSpace:
    """The space that :func:`packed` wrote."""
    return BrainSpace.from_arrays({name: np.asarray(value) for name, value in state.items()})

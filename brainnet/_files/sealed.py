"""Sealed files: written whole, verified when read, or made again.

What is kept to go on from after an interruption carries what it was made from and a checksum, so that a damaged,
foreign or stale file is never believed, only made again.
"""

from __future__ import annotations

import json
import logging
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from brainnet._files.names import array_digest, sha256
from brainnet._files.whole import plain, write_npz

log = logging.getLogger(__name__)


def write_sealed(path: str | Path, identity: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Arrays with what they were made from and a checksum over both, for :func:`read_sealed`; whole or absent."""
    arrays = {name: np.asarray(array) for name, array in arrays.items()}
    described = json.dumps(plain(identity), sort_keys=True)
    write_npz(path, {**arrays, "identity": np.array(described), "checksum": np.array(_seal(described, arrays))})


def read_sealed(path: str | Path, identity: Mapping[str, Any] | None = None) -> dict[str, np.ndarray] | None:
    """The arrays of a sealed file, or None where it is absent, damaged, or made from something else.

    Args:
        path: written by :func:`write_sealed`.
        identity: what the arrays must have been made from; None takes any.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "part.npz"
    >>> write_sealed(path, {"seed": 1}, {"x": np.arange(3)})
    >>> read_sealed(path, {"seed": 1})["x"], read_sealed(path, {"seed": 2})
    (array([0, 1, 2]), None)
    """
    path = Path(path)
    if not path.is_file():
        return None
    try:
        arrays, described = open_sealed(path)
    except ValueError:
        log.warning("%s is damaged and is made again.", path)
        return None
    return arrays if identity is None or described == json.loads(json.dumps(plain(identity))) else None


def open_sealed(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays of a sealed file, and what they were made from.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is damaged, or no sealed file; names it.
    """
    path = Path(path)
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        described, checksum = str(arrays.pop("identity")), str(arrays.pop("checksum"))
        if checksum == _seal(described, arrays):
            return arrays, json.loads(described)
        said = "its bytes are not those that were written"
    except FileNotFoundError:
        raise
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error, MemoryError, RuntimeError,
            NotImplementedError, IndexError, OverflowError, SyntaxError) as error:  # fmt: skip
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
    raise ValueError(f"{path} is damaged: {said}.")


def _seal(described: str, arrays: Mapping[str, np.ndarray]) -> str:
    return sha256(described, *(f"{name} {array_digest(arrays[name])} " for name in sorted(arrays)))

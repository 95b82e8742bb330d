"""Names of files, digests of what they hold, and the folder where downloads are kept."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np

RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")  # names of devices on Windows
LONGEST_NAME = 120  # characters of a file name made from names; file systems allow 255 bytes
_digests: dict[tuple[str, int, int, int], str] = {}  # of files read in this process, by path, size, time and inode


def slug(*parts: str) -> str:
    """A readable file name for some names; other names never give the same one.

    Letters, digits, dots and dashes stay; a digest of the names themselves tells "a b" and "a_b" apart. Where a single
    name is a safe file name already, it stays as it is.

    >>> slug("timm:vit", "", "subj01"), slug("layer4.1"), slug("a b"), slug("con")
    ('timm-vit_subj01_d628b9', 'layer4.1', 'a-b_541e27', 'name-con_c7f22b')
    """
    if len(parts) == 1 and _is_safe(parts[0]):
        return parts[0]
    name = "_".join(re.sub(r"[^A-Za-z0-9.-]+", "-", part) for part in parts if part)[:LONGEST_NAME].lstrip(".-")
    name = f"name-{name}" if not name or RESERVED.fullmatch(name) else name
    return f"{name}_{sha256(json.dumps(list(parts)))[:6]}"


def _is_safe(name: str) -> bool:
    """Whether a name is a file name on every system, and none that :func:`slug` makes of another name."""
    made = re.search(r"_[0-9a-f]{6}$", name)
    fits = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}", name)
    return bool(fits) and not (RESERVED.fullmatch(name) or made or name.endswith("."))


def sha256(*parts: bytes | str) -> str:
    """Hexadecimal digest of bytes or texts, one after another.

    >>> sha256("ab") == sha256("a", b"b")
    True
    """
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode() if isinstance(part, str) else part)
    return digest.hexdigest()


def array_digest(array: Any) -> str:
    """Digest of an array's or a tensor's type, shape and numbers; where they lie in memory does not matter.

    >>> array_digest(np.arange(6).reshape(2, 3)) == array_digest(np.arange(6))
    False
    """
    if hasattr(array, "detach"):  # a tensor; torch takes a second to import, and a list of commands needs none of it
        import torch

        array = array.detach().cpu()
        array = array.view(torch.int16).numpy() if array.dtype is torch.bfloat16 else array.numpy()
    array = np.ascontiguousarray(array)
    return sha256(f"{array.dtype.str} {array.shape} ", memoryview(array.reshape(-1).view(np.uint8)))


def weights_digest(network: Any) -> str:
    """Digest of the names, types, shapes and numbers of a network's parameters and persistent buffers.

    >>> import torch
    >>> weights_digest(torch.nn.Identity())[:12]
    'e3b0c44298fc'
    """
    import torch

    digest = hashlib.sha256()
    for name, value in network.state_dict().items():
        if isinstance(value, torch.Tensor):  # and not what a module's get_extra_state says
            value = value.detach().cpu().contiguous()
            digest.update(f"{name} {value.dtype} {tuple(value.shape)};".encode())
            digest.update(value.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def file_digest(path: str | Path) -> str:
    """Digest of all bytes of a file; computed once a process for a path, size and time of change.

    Of a folder, digest of the names and the digests of all files below it.
    """
    path = Path(path)
    if path.is_dir():
        below = sorted(one for one in path.rglob("*") if one.is_file())
        return sha256(*(f"{one.relative_to(path).as_posix()} {file_digest(one)}\n" for one in below))
    key = _state_of(path)
    if key not in _digests:
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        _digests[key] = digest.hexdigest()
    return _digests[key]


def remember_digest(path: str | Path, digest: str) -> None:
    """Spares :func:`file_digest` to read a file whose writer has hashed its bytes on the way."""
    _digests[_state_of(Path(path))] = digest


def _state_of(path: Path) -> tuple[str, int, int, int]:
    stat = path.stat()
    return str(path.resolve()), stat.st_size, stat.st_mtime_ns, stat.st_ino


def cache_dir() -> Path:
    """Where downloads are kept: ``$BRAINNET_HOME``, else ``~/.cache/brainnet``."""
    return Path(os.environ.get("BRAINNET_HOME") or Path.home() / ".cache" / "brainnet")

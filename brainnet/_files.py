"""Files: names, digests, whole writes, locks, results that can be verified, and where downloads are kept.

A file of a result is whole or absent: :func:`writing` lets a caller fill a file under another name and puts it in
place when it is complete. What is kept to go on from after an interruption is *sealed*: it carries what it was made
from and a checksum, so that a damaged, foreign or stale file is never believed, only made again.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import logging
import math
import os
import platform
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

log = logging.getLogger(__name__)

RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")  # names of devices on Windows
LONGEST_NAME = 120  # characters of a file name made from names; file systems allow 255 bytes
LOCKLESS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # what file systems of clusters answer that know no locks
_swept: set[Path] = set()  # folders without half-written files of killed processes
_digests: dict[tuple[str, int, int, int], str] = {}  # of files read in this process, by path, size, time and inode


# ---------------------------------------------------------------------- names and digests


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


# ---------------------------------------------------------------------- whole or absent


@contextmanager
def writing(path: str | Path) -> Iterator[Path]:
    """A path to fill, beside ``path`` and with its suffix; it takes the place of ``path`` when the block ends.

    After an exception nothing of it is left, and what ``path`` held before stays. The bytes are on the disk before the
    name is: a machine that loses power has the old file or the new one.

    Raises:
        OSError: the disk is full, or the folder cannot be written; names the path.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with writing(folder / "numbers.txt") as unfinished:
    ...     _ = unfinished.write_text("1 2 3")
    >>> [file.name for file in folder.iterdir()]
    ['numbers.txt']
    """
    path = Path(path)
    suffix = "".join(path.suffixes[-2:]) if path.name.endswith(".gz") else path.suffix
    _sweep(path.parent)
    unfinished = path.with_name(f".{path.name[:LONGEST_NAME]}.{_host()}.{os.getpid()}.part{suffix}")
    try:
        yield unfinished
        with contextlib.suppress(OSError), unfinished.open("rb+") as file:  # a file system may not know fsync
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except OSError as error:
        if error.filename is None:  # as of a full disk, in the middle of a write
            raise type(error)(error.errno, f"{error.strerror or error} (while writing {path})") from None
        raise
    finally:
        unfinished.unlink(missing_ok=True)


def _sweep(folder: Path) -> None:
    """Takes away what killed processes of this machine left half written; once per folder and process."""
    if folder in _swept or os.name == "nt":  # where signal 0 would end the other process
        return
    _swept.add(folder)
    for left in folder.glob(".*.part*"):
        found = re.search(rf"\.{re.escape(_host())}\.(\d+)\.part(\.[\w.]*)?$", left.name)
        if found and not _is_running(int(found[1])):
            left.unlink(missing_ok=True)


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", platform.node()) or "here"


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def write_text(path: str | Path, text: str) -> None:
    """A text file in UTF-8, whole or absent."""
    with writing(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: str | Path, value: Any) -> None:
    """A JSON file, whole or absent; NaN and infinity become null, which other languages read as well."""
    write_text(path, json.dumps(plain(value), indent=2) + "\n")


def write_csv(path: str | Path, table: Any) -> None:
    """A pandas table as CSV, whole or absent; a text that a spreadsheet would run as a formula gets an apostrophe."""
    import pandas as pd

    table = table.copy()
    for place, kind in enumerate(table.dtypes):
        if not pd.api.types.is_numeric_dtype(kind):
            table.isetitem(place, table.iloc[:, place].map(_inert))
    table.columns = [_inert(name) for name in table.columns]
    with writing(path) as unfinished:
        table.to_csv(unfinished, index=False)


def write_npz(path: str | Path, arrays: Mapping[str, np.ndarray], compressed: bool = False) -> None:
    """Arrays by name as ``.npz``, whole or absent; the same arrays give the same bytes."""
    with writing(path) as unfinished, unfinished.open("wb") as file:
        (np.savez_compressed if compressed else np.savez)(file, **arrays)


def _inert(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


@contextmanager
def reading(path: str | Path, what: str) -> Iterator[None]:
    """Whatever a library says of a file it cannot read becomes one line that names the file.

    Args:
        path: the file that the block reads, and nothing else.
        what: what it should be, such as "NIfTI file".

    Raises:
        FileNotFoundError, ModuleNotFoundError: as they are.
        ValueError: for any other error in the block.

    >>> with reading("x.npy", "array"):
    ...     raise EOFError("no data left in file")
    Traceback (most recent call last):
    ValueError: cannot read x.npy: it is damaged, or no array (no data left in file).
    """
    try:
        yield
    except (FileNotFoundError, ModuleNotFoundError):
        raise
    except Exception as error:  # of which kind is the library's affair: a damaged file may end in any
        said = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        objects = "allow_pickle" in said or "Python objects" in said  # the second of a file that is mapped
        said = "it holds Python objects, which are never loaded" if objects else said
        raise ValueError(f"cannot read {path}: it is damaged, or no {what} ({said}).") from error


def plain(value: Any) -> Any:
    """A value of the kinds that JSON has: arrays as lists, paths as text, NaN and infinity as None."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, np.ndarray | np.generic) or hasattr(value, "detach"):
        return plain(value.tolist())
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def read_json(path: str | Path) -> dict[str, Any]:
    """The object in a JSON file that somebody else may have written.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not JSON, or no object; names the file.
    """
    path = Path(path)
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: it is no JSON ({str(error).splitlines()[0]}).") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path} is damaged: it holds {type(found).__name__}, expected an object.")
    return found


# ---------------------------------------------------------------------- sealed: written whole, verified, or made again


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


# ---------------------------------------------------------------------- one writer at a time


@contextmanager
def locked(path: str | Path, wait: bool = True, keep: bool = True) -> Iterator[None]:
    """One writer of a path at a time; the kernel lets go of the lock when its holder ends, even by a kill.

    Args:
        path: of a file or folder whose parent exists; the lock is the file ``<path>.lock`` beside it.
        wait: until the other writer has ended; False says at once that there is one.
        keep: leave that file where it is; False takes it away at the end.

    Raises:
        BlockingIOError: another process is writing the path, and ``wait`` is False.
        ValueError: the lock is a link.
    """
    path = Path(path)
    try:
        import fcntl
    except ImportError:  # Windows has no such lock: there, let one process write
        yield
        return
    lock = path.with_name(path.name + ".lock")
    while True:
        with _opened_as_lock(lock) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if not wait:
                    raise BlockingIOError(f"another process is writing {path}: wait until it has ended.") from None
                log.info("another process is writing %s: waiting for it", path)
                fcntl.flock(file, fcntl.LOCK_EX)
            except OSError as error:
                if error.errno not in LOCKLESS:
                    raise
                log.info("%s is on a file system without locks: let one process write there.", path)
            if not _is_at(lock, file):
                continue  # the holder before took the file away: what is locked here is no longer the lock
            try:
                yield
            finally:
                if not keep:
                    lock.unlink(missing_ok=True)
            return


def _opened_as_lock(path: Path) -> Any:
    """The file of a lock, made where there is none, never emptied: a stranger's folder may hold a link of that name."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
    except OSError as error:
        if path.is_symlink():
            raise ValueError(f"{path} is a link; nothing is written through links. Remove it.") from None
        raise error
    return os.fdopen(handle, "r+")


def _is_at(path: Path, file: Any) -> bool:
    try:
        return path.stat().st_ino == os.fstat(file.fileno()).st_ino
    except FileNotFoundError:
        return False


# ---------------------------------------------------------------------- downloads


def cache_dir() -> Path:
    """Where downloads are kept: ``$BRAINNET_HOME``, else ``~/.cache/brainnet``."""
    return Path(os.environ.get("BRAINNET_HOME") or Path.home() / ".cache" / "brainnet")

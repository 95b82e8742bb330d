"""Files that are whole or absent: :func:`writing` lets a caller fill a file under another name and puts it in place."""

from __future__ import annotations

import contextlib
import json
import math
import os
import platform
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from brainnet._files.names import LONGEST_NAME

_swept: set[Path] = set()  # folders without half-written files of killed processes


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

"""Published files that are pickles, read as data: nothing that a file names is ever called.

Python's own loader calls whatever a file names. This one builds numbers, texts, lists, tuples, dicts and numpy arrays
of numbers, texts or such values; it refuses every other name. Arrays are put together here from their type, shape and
bytes, and numpy's own way to restore one, which believes what a file says, is not used.
"""

from __future__ import annotations

import io
import math
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch

from brainnet._files import reading
from brainnet._work import free_bytes, size

_NPY = b"\x93NUMPY"
_KINDS = "biufcUS"  # of arrays whose bytes are their values
# what a pickle of plain data may name, by its place without the "_core" that numpy 2 has in place of "core"
_NAMES = {
    "numpy.core.multiarray._reconstruct": "array", "numpy.core.multiarray.scalar": "scalar",
    "numpy.core.numeric._frombuffer": "buffer", "numpy.ndarray": "ndarray", "numpy.dtype": "dtype",
    "_codecs.encode": "bytes", "builtins.bytes": "no bytes", "__builtin__.bytes": "no bytes",
}  # fmt: skip


class Skipped:
    """What stands for an object of another kind in a pickle, where it is expected and not needed.

    Attributes:
        named: the type that the pickle names.
        state: what the object would have been filled with, unread.
    """

    named = ""

    def __init__(self, *arguments: Any):
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def part(self, name: str) -> Any:
        """A part of the object that is plain data.

        Raises:
            ValueError: it has no such part, or one of another kind.
        """
        state = getattr(self, "state", None)
        if not isinstance(state, dict) or name not in state:
            raise ValueError(f"the {self.named} in it has no part {name!r}")
        try:
            return _plain(state[name])
        except pickle.UnpicklingError as error:
            raise ValueError(f"the part {name!r} of the {self.named} in it is no plain data: {error}") from None

    def extend(self, items: Any) -> None:
        """Takes what the object, were it a list, would hold, and leaves it."""

    def __setitem__(self, key: Any, value: Any) -> None:
        """Takes what the object, were it a dict, would hold, and leaves it."""

    append = extend


def read_pickle(path: str | Path, what: str = "pickle of plain data", skip: Sequence[str] = ()) -> Any:
    """What a pickle, or a ``.npy`` file of Python objects, holds, where it is plain data.

    An array of one object, as ``numpy.save`` makes it of a dict, comes back as that object. A ``.npy`` file of numbers
    is read as well.

    Args:
        path: the file; whether it is a ``.npy`` file is told by its first bytes, as some are named otherwise.
        what: what it should be, for messages.
        skip: beginnings of names, such as "nibabel.", of types whose objects may be in it: they become
            :class:`Skipped`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is damaged, or names something else than plain data; the message has that name.
        MemoryError: it is larger than the memory that is free.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "labels.npy"
    >>> np.save(path, {0: "Unknown", 1: "V1v"})
    >>> read_pickle(path)
    {0: 'Unknown', 1: 'V1v'}
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no {path}.")
    n_bytes, free = path.stat().st_size, free_bytes(torch.device("cpu"))
    if free is not None and n_bytes > free:
        raise MemoryError(f"{path} has {size(n_bytes)}, and {size(free)} of memory are free: it is read whole.")
    with reading(path, what), path.open("rb") as file:
        if file.read(len(_NPY)) == _NPY:
            file.seek(0)
            return _read_npy(file)
        file.seek(0)
        return _plain(_Reader(file, skip).load())


def plain_from_bytes(content: bytes) -> Any:
    """What the bytes of a pickle hold, as :func:`read_pickle`; of pickles that lie inside other files.

    Raises:
        pickle.UnpicklingError: it names something else than plain data.
    """
    return _plain(_Reader(io.BytesIO(content)).load())


def _read_npy(file: BinaryIO) -> Any:
    version = np.lib.format.read_magic(file)
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = header(file)
    if dtype != np.dtype("O"):
        file.seek(0)
        return np.load(file, allow_pickle=False)
    found = _plain(_Reader(file).load())
    if not isinstance(found, np.ndarray):
        raise ValueError(f"its header says an array of shape {shape}, and it holds {type(found).__name__}")
    return found.item() if found.size == 1 else found.reshape(shape)


class _Reader(pickle.Unpickler):
    """Python's loader, for which every name stands for a maker of plain data."""

    def __init__(self, file: BinaryIO, skip: Sequence[str] = ()):
        super().__init__(file, encoding="latin1")  # of texts that Python 2 has written
        self.skip = tuple(skip)

    def find_class(self, module: str, name: str) -> Any:
        place = f"{module}.{name}"
        if place.startswith(self.skip):
            return type("Skipped", (Skipped,), {"named": place})
        kind = _NAMES.get(place.replace("numpy._core.", "numpy.core."))
        if kind is None:
            raise pickle.UnpicklingError(
                f"it names {place}, and only numbers, texts, lists, dicts and numpy arrays are read; nothing was run"
            )
        return _Maker(kind)


class _Maker:
    """What stands for a name in a pickle; calling it gives plain data, or a part of an array that is not complete."""

    __slots__ = ("kind",)

    def __init__(self, kind: str):
        self.kind = kind

    def __call__(self, *arguments: Any) -> Any:
        if self.kind == "bytes" and len(arguments) == 2 and arguments[1] in ("latin1", "latin-1"):
            return arguments[0].encode("latin1")
        if self.kind == "no bytes" and not arguments:
            return b""
        if self.kind == "dtype":
            return _Type(arguments[0])
        if self.kind == "array":
            return _Array()
        if self.kind == "scalar" and len(arguments) == 2:
            return _Array().filled((), arguments[0], arguments[1], False)
        if self.kind == "buffer" and len(arguments) == 4:
            buffer, dtype, shape, order = arguments
            return _Array().filled(shape, dtype, buffer, order == "F")
        raise pickle.UnpicklingError("an array in it is not put together as numpy does it")

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("it changes what it names")


class _Type:
    """The type of an array: a letter and a size; those of fields and subarrays are known, and never filled."""

    def __init__(self, text: Any):
        self.dtype = np.dtype(str(text))
        self.is_plain = self.dtype.kind in _KINDS + "O"

    def __setstate__(self, state: Any) -> None:
        self.is_plain &= all(part is None for part in state[2:5])
        if state[1] in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    """An array, to be filled."""

    def __init__(self):
        self.values: np.ndarray | None = None
        self.objects: list | None = None

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, is_fortran, content = state
        self.filled(shape, dtype, content, is_fortran)

    def filled(self, shape: Any, dtype: Any, content: Any, is_fortran: Any) -> _Array:
        """The same array, with its values or, where these are Python objects, the list of them."""
        if not isinstance(dtype, _Type) or not dtype.is_plain:
            return self
        self.shape = tuple(int(n) for n in shape)
        count = math.prod(self.shape)
        content = content.encode("latin1") if isinstance(content, str) else content
        expected = count if dtype.dtype.kind == "O" else count * dtype.dtype.itemsize
        if min(self.shape, default=0) < 0 or len(content) != expected:
            raise pickle.UnpicklingError(f"an array of shape {self.shape} in it has content of another length")
        if dtype.dtype.kind == "O":
            self.objects = list(content)
        elif expected == 0:
            self.values = np.empty(self.shape, dtype.dtype)
        else:
            flat = np.frombuffer(content, dtype.dtype)
            self.values = flat.reshape(self.shape, order="F" if is_fortran else "C")
        return self


def _plain(value: Any, known: dict[int, Any] | None = None) -> Any:
    """A value with arrays in place of what stands for them.

    Raises:
        pickle.UnpicklingError: a value of another kind, such as a type.
    """
    known = {} if known is None else known
    if value is None or isinstance(value, str | bytes | bytearray | int | float | complex):
        return value
    if id(value) in known:
        return known[id(value)][0]
    known[id(value)] = (None, value)  # a container within itself holds None; and the value lives as long as its id
    if isinstance(value, _Array) and value.objects is not None:
        found: Any = np.empty(len(value.objects), object)
        for place, one in enumerate(value.objects):
            found[place] = _plain(one, known)
        found = found.reshape(value.shape)
    elif isinstance(value, _Array) and value.values is not None:
        found = value.values if value.shape else value.values[()]
    elif isinstance(value, dict):
        found = {_plain(key, known): _plain(one, known) for key, one in value.items()}
    elif isinstance(value, list | tuple):
        found = type(value)(_plain(one, known) for one in value)
    elif isinstance(value, Skipped):
        found = value
    else:
        kind = "an array of another kind" if isinstance(value, _Array) else "what is no data"
        raise pickle.UnpicklingError(f"it holds {kind}, where only numbers, texts, lists, dicts and arrays are read")
    known[id(value)] = (found, value)
    return found

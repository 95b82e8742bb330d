"""Images in one HDF5 file, such as the ``imgBrick`` of the Natural Scenes Dataset; read picture by picture."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from brainnet._checks import nearest
from brainnet._files import array_digest, reading, sha256
from brainnet.stimuli.decoding import UnreadableImage, channels_are_first, first_line
from brainnet.stimuli.sources import Handle

BRICK_SUFFIXES = (".h5", ".hdf5", ".hdf")
MOST_CHUNKS = 2**28  # bytes of decompressed chunks that are kept, so that neighbors in a chunk are read once


class Brick:
    """Pictures of a data set (n, H, W, 3) or (n, 3, H, W) of uint8 in an HDF5 file.

    Args:
        path: the file.
        key: name of the data set; None takes the only one of such a shape.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no HDF5 file, no such data set, or several and none chosen.
    """

    def __init__(self, path: Path, key: str | None = None):
        import h5py

        if not path.is_file():
            raise FileNotFoundError(f"no images at {path}: there is no such file.")
        with reading(path, "HDF5 file"), h5py.File(path, "r") as file:
            shapes = _shapes(file)
        fitting = {name: shape for name, (shape, dtype) in shapes.items() if dtype == "uint8" and _is_brick(shape)}
        self.path, self.key = path, _chosen(path, key, fitting, shapes)
        shape = fitting[self.key]
        self.first = channels_are_first(shape)
        self.described = f"{path}, {self.key}"
        self.names = [str(i) for i in range(shape[0])]
        self._file = Handle(partial(_opened, path, self.key))
        self._digests: dict[tuple[int, int, int], str] = {}

    def _pixels(self, place: int) -> np.ndarray:
        pixels = self._file()[place]
        return np.ascontiguousarray(np.moveaxis(pixels, 0, 2)) if self.first else pixels

    def image(self, place: int, name: str) -> Any:
        """See :class:`~brainnet.stimuli.sources.Source`."""
        from PIL import Image

        try:
            return Image.fromarray(self._pixels(place))
        except FileNotFoundError:
            raise
        except Exception as error:  # in the words of the library, of a damaged chunk
            raise UnreadableImage(name, first_line(error)) from error

    def where(self, place: int) -> str:
        """See :class:`~brainnet.stimuli.sources.Source`."""
        return f"row {place} of {self.key} in {self.path}"

    def size(self, place: int) -> Any:
        """See :class:`~brainnet.stimuli.sources.Source`."""
        return 0  # all are of one size

    def digest(self, place: int) -> str:
        """See :class:`~brainnet.stimuli.sources.Source`; computed once for a size and time of change of the file."""
        stat = self.path.stat()
        known = (place, stat.st_size, stat.st_mtime_ns)
        if known not in self._digests:
            self._digests[known] = array_digest(self._pixels(place))
        return self._digests[known]

    def signature(self, places: Sequence[int]) -> str:
        """See :class:`~brainnet.stimuli.sources.Source`; of the chosen pixels, not of the whole file."""
        digests = []
        for index, place in enumerate(places):
            try:
                digests.append(self.digest(place))
            except FileNotFoundError:
                raise
            except Exception as error:
                raise UnreadableImage(f"image {index}, {self.where(place)}", first_line(error)) from error
        return sha256(*digests)


def _is_brick(shape: tuple[int, ...]) -> bool:
    try:
        channels_are_first(shape)
    except ValueError:
        return False
    return min(shape) > 0


def _shapes(file: Any) -> dict[str, tuple[tuple[int, ...], str]]:
    """Shape and type of every data set of a file, by name."""
    found = {}

    def visit(name: str, item: Any) -> None:
        if hasattr(item, "dtype") and item.shape is not None:
            found[name] = (item.shape, str(item.dtype))

    file.visititems(visit)
    return found


def _chosen(path: Path, key: str | None, fitting: dict[str, Any], shapes: dict[str, Any]) -> str:
    said = ", ".join(f"{name} {' x '.join(map(str, shape)) or 'a number'} {dtype}" for name, (shape, dtype) in
                     list(shapes.items())[:8])  # fmt: skip
    if key is not None and key.strip("/") in fitting:
        return key.strip("/")
    if key is None and len(fitting) == 1:
        return next(iter(fitting))
    if key is None and fitting:
        raise ValueError(f"{path} has several data sets of images: {', '.join(fitting)}. Choose one by its key.")
    if key is not None and key.strip("/") not in shapes:
        close = nearest(key, shapes)
        raise ValueError(
            f"{path} has no data set {key!r}." + (f" Did you mean {close!r}?" if close else "") + f" It has {said}."
        )
    raise ValueError(f"images in {path} are a data set (n, H, W, 3) or (n, 3, H, W) of uint8; it has {said or 'none'}.")


def _opened(path: Path, key: str) -> Any:
    """The data set, with room for a whole chunk: one that holds several pictures is decompressed once for all."""
    import h5py

    with h5py.File(path, "r") as file:
        dataset = file[key]
        room = 0 if dataset.chunks is None else int(np.prod(dataset.chunks)) * dataset.dtype.itemsize
    return h5py.File(path, "r", rdcc_nbytes=max(2**20, min(2 * room, MOST_CHUNKS)))[key]

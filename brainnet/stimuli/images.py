"""Where a dataset's pictures come from: a folder, a zip archive, a list or an array, behind one index.

Files are ordered once, here, in natural order (image2 before image10), because responses are matched to them by
position. Nothing is decoded before it is asked for, and whatever cannot be decoded is named in the error.
"""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from brainnet._checks import warn_once
from brainnet._files import array_digest, file_digest, sha256

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm")


def natural_sort(names: Iterable[str]) -> list[str]:
    """Names in the order a person counts in.

    >>> natural_sort(["image10.jpg", "image2.jpg", "Image1.jpg"])
    ['Image1.jpg', 'image2.jpg', 'image10.jpg']
    """

    def key(name: str) -> tuple:
        # digits and text alternate, so numbers are only ever compared with numbers
        parts = re.split(r"(\d+)", name.lower())
        return tuple(int(part) if place % 2 else part for place, part in enumerate(parts)), name

    return sorted(names, key=key)


class Images:
    """An indexed set of pictures; ``images[i]`` is an RGB ``PIL.Image``, decoded now and not kept.

    A token store is built from it as from a data set, a batch of pictures in memory at a time.

    Args:
        source: a folder or a .zip file of pictures; or a list of paths or PIL images; or pixels as a tensor or array
            (n, 3, H, W) or (n, H, W, 3), uint8 in 0..255 or floating point in 0..1.
        ids: one name per picture; by default the file names without suffix, or "0", "1", ...

    Raises:
        FileNotFoundError: the folder, archive or one of the listed files does not exist, or holds no pictures.
        ValueError: not pixels, or as many ids as there are not pictures.

    >>> Images(np.zeros((2, 4, 6, 3), dtype=np.uint8))[1].size
    (6, 4)
    """

    def __init__(self, source: Any, ids: Sequence[str] | None = None):
        self._archive: Path | None = None
        self._open_archive: tuple[int, zipfile.ZipFile] | None = None
        if isinstance(source, torch.Tensor | np.ndarray) and source.ndim == 4:
            self.described = "an array"
            self._items: Sequence[Any] = _as_pixels(source)
            names = [str(i) for i in range(len(self._items))]
        elif isinstance(source, str | os.PathLike):
            names = self._find(Path(source))
        elif isinstance(source, Sequence | np.ndarray) and not isinstance(source, bytes):
            names = self._list(list(source))
        else:
            raise TypeError(
                "images are a folder, a .zip file, a list of paths or PIL images, or pixels of shape (n, 3, H, W); got "
                + (f"shape {tuple(source.shape)}." if hasattr(source, "shape") else f"{type(source).__name__}.")
            )
        self.ids = [str(name) for name in ids] if ids is not None else _stems(names)
        if len(self.ids) != len(self._items):
            raise ValueError(f"{len(self.ids)} ids for {len(self._items)} images in {self.described}.")
        for name in self.ids:
            if not _is_one_line(name):
                raise ValueError(
                    f"an image in {self.described} is called {name!r}: names are written to tables and lists, one a "
                    "line, so they are UTF-8 text without line breaks. Rename it, or give ids=."
                )

    def _find(self, path: Path) -> list[str]:
        self.described = str(path)
        if path.is_dir():
            names = natural_sort(entry.name for entry in path.iterdir() if is_picture(entry.name))
            self._items = [path / name for name in names]
        elif zipfile.is_zipfile(path):
            self._archive = path
            with zipfile.ZipFile(path) as archive:
                names = self._items = natural_sort(name for name in archive.namelist() if is_picture(name))
        elif not path.exists():
            raise FileNotFoundError(f"no images at {path}: there is no such folder or zip file.")
        else:
            raise ValueError(f"{path} is neither a folder nor a zip file. A single image is given as a list of one.")
        if not names:
            inside = _folder_of_pictures(path) if path.is_dir() else None
            raise FileNotFoundError(
                f"no images in {path}: none of its files ends in {', '.join(SUFFIXES)}."
                + (f" Did you mean {inside}?" if inside is not None else "")
            )
        return names

    def _list(self, items: list) -> list[str]:
        self.described = "the list given"
        names = []
        for place, item in enumerate(items):
            if isinstance(item, str | os.PathLike):
                items[place] = Path(item)
                names.append(str(item))
            elif hasattr(item, "convert"):
                names.append(str(place))
            else:
                raise TypeError(f"image {place} must be a path or a PIL image, got {type(item).__name__}.")
        missing = [item for item in items if isinstance(item, Path) and not item.is_file()]
        if missing:
            raise FileNotFoundError(f"{len(missing)} of {len(items)} images do not exist, the first is {missing[0]}.")
        self._items = items
        return names

    @property
    def image_ids(self) -> list[str]:
        """One name per picture."""
        return self.ids

    def image(self, index: int, preprocessing: Callable[[Any], torch.Tensor]) -> torch.Tensor:
        """Picture ``index`` as a tensor (3, H, W)."""
        return preprocessing(self[index])

    def load_image(self, index: int):
        """Picture ``index`` as it is stored: an RGB ``PIL.Image``."""
        return self[index]

    def signature(self) -> str:
        """Digest of every picture: of all bytes of each file or of the archive, of all pixels of what is in memory.

        A file is read once in a process, and again only where its size or its time of change is another.

        Raises:
            FileNotFoundError: a file is gone since these images were found; names it.
        """
        if self._archive is not None:
            return sha256(file_digest(self._archive), *self._items)
        if isinstance(self._items, np.ndarray):
            return array_digest(self._items)
        digests = []
        for index, item in enumerate(self._items):
            try:
                digests.append(file_digest(item) if isinstance(item, Path) else _pixel_digest(item))
            except FileNotFoundError:
                raise FileNotFoundError(f"{self._name(index)}: the file is gone since it was found.") from None
        return sha256(*digests)

    def copies(self) -> list[list[int]]:
        """Groups of pictures with the same bytes, two or more of them in each; in memory, with the same pixels.

        Files of different sizes are told apart without being read.
        """
        alike: dict[Any, list[int]] = {}
        for index in range(len(self._items)):
            alike.setdefault(self._size(index), []).append(index)
        groups: dict[Any, list[int]] = {}
        for size, indices in alike.items():
            for index in indices if len(indices) > 1 else ():
                groups.setdefault((size, self._digest(index)), []).append(index)
        return [group for group in groups.values() if len(group) > 1]

    def _size(self, index: int) -> Any:
        """What pictures with the same bytes share, at no cost."""
        item = self._items[index]
        if self._archive is not None:
            with self._read(item):  # opens the archive
                found = self._open_archive[1].getinfo(item)
            return found.file_size, found.CRC
        return item.stat().st_size if isinstance(item, Path) else np.shape(item)

    def _digest(self, index: int) -> str:
        item = self._items[index]
        if self._archive is not None:
            with self._read(item) as file:
                return sha256(file.read())
        if isinstance(item, np.ndarray):
            return array_digest(item)
        return file_digest(item) if isinstance(item, Path) else _pixel_digest(item)

    def _name(self, index: int) -> str:
        item = self._items[index]
        where = f" in {self._archive}" if self._archive else ""
        return f"image {index}, {item}{where}" if isinstance(item, str | Path) else f"image {index}"

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int):
        from PIL import Image

        item = self._items[index]
        if isinstance(item, np.ndarray):
            return Image.fromarray(item)
        name = self._name(index)
        try:
            if hasattr(item, "convert"):
                return _as_rgb(item, name)
            with self._read(item) as file, Image.open(file) as image:
                return _as_rgb(image, name)
        except FileNotFoundError:
            raise FileNotFoundError(f"{name}: the file is gone since it was found.") from None
        except Exception as error:  # a damaged picture ends PIL's readers in a dozen ways
            if isinstance(error, ValueError) and str(error).startswith(name):
                raise
            said = str(error).strip().partition("\n")[0] or type(error).__name__
            raise ValueError(f"cannot read {name}: {said}. Replace it, or leave it and its response out.") from error

    def _read(self, item: Any):
        if self._archive is None:
            return open(item, "rb")
        # a handle shared with a forked worker would also share its file position: one handle per process
        if self._open_archive is None or self._open_archive[0] != os.getpid():
            self._open_archive = (os.getpid(), zipfile.ZipFile(self._archive))
        return self._open_archive[1].open(item)

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_open_archive": None}

    def __repr__(self) -> str:
        return f"Images({len(self)} in {self.described})"


def _folder_of_pictures(folder: Path) -> Path | None:
    """The only folder in this one that holds pictures."""
    inside = [
        entry for entry in folder.iterdir() if entry.is_dir() and any(is_picture(p.name) for p in entry.iterdir())
    ]
    return inside[0] if len(inside) == 1 else None


def is_picture(name: str) -> bool:
    """Whether a file or archive member is a picture by its suffix; hidden files and macOS resource forks are not.

    >>> is_picture("set/a.JPG"), is_picture("__MACOSX/set/._a.jpg"), is_picture("notes.txt")
    (True, False, False)
    """
    path = Path(name)
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and "__MACOSX" not in path.parts


def _stems(names: list[str]) -> list[str]:
    stems = [Path(name).stem for name in names]
    if len(set(stems)) == len(stems):
        return stems
    # "a/1.jpg" and "b/1.jpg", or the same picture listed twice for two presentations
    return names if len(set(names)) == len(names) else [f"{place}:{stem}" for place, stem in enumerate(stems)]


def signature_of(pictures: Iterable[Any]) -> str:
    """Digest of all pixels of all pictures, decoded one after another; for sources that do not know their own."""
    return sha256(*map(_pixel_digest, pictures))


def _pixel_digest(image: Any) -> str:
    return sha256(f"{image.size}{image.mode}", image.tobytes())


def _is_one_line(name: str) -> bool:
    """Whether a name is text that keeps to its line, in UTF-8."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:  # bytes of a file name in another encoding
        return False
    return name.splitlines() == [name]


def _as_rgb(image: Any, name: str):
    from PIL import ImageOps

    if image.mode.startswith("I") or image.mode == "F":
        raise ValueError(f"{name} has {image.mode} pixels (more than 8 bits); save it as 8-bit greyscale or RGB first.")
    if getattr(image, "is_animated", False) and image.format != "MPO":  # MPO: a telephone's picture and its depth
        warn_once(f"frames {name}", f"{name} has several frames; the first is taken.")
    image.load()
    if image.getexif().get(0x0112, 1) != 1:  # turned when it was taken: as it is meant to be seen
        image = ImageOps.exif_transpose(image)
    return image.convert("RGB")


def _as_pixels(source: torch.Tensor | np.ndarray) -> np.ndarray:
    """Pixels (n, H, W, 3) uint8 from any array :class:`Images` accepts."""
    array = source.detach().cpu().numpy() if isinstance(source, torch.Tensor) else source
    if array.shape[1] == 3 and array.shape[3] != 3:
        array = np.moveaxis(array, 1, 3)
    elif array.shape[3] != 3 or array.shape[1] == 3:
        raise ValueError(f"pixels must be (n, 3, H, W) or (n, H, W, 3), got shape {array.shape}.")
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    if not np.issubdtype(array.dtype, np.floating):
        raise ValueError(f"pixels must be uint8 in 0..255 or floating point in 0..1, got {array.dtype}.")
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and high <= 1):
        raise ValueError(
            f"floating point pixels must lie in 0..1, got {low:.3g} to {high:.3g}. Normalised images belong to the "
            "token store (TokenStore.build); a dataset keeps the pictures as they were shown."
        )
    return np.rint(array * 255).astype(np.uint8)

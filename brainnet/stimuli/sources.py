"""Where pictures lie: files, members of a zip archive, pixels in memory; each a list of names behind one interface.

A source decodes nothing before it is asked for. Handles are opened once in a process: one that is shared with a forked
worker would also share its position in the file.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from brainnet._files import array_digest, file_digest, reading, sha256
from brainnet.stimuli.decoding import MissingImage, UnreadableImage, as_pixels, as_rgb, decode, first_line
from brainnet.stimuli.names import SUFFIXES, is_picture

LARGEST = 2**30  # bytes of an archive member that is still taken for a picture; PIL takes none of more pixels
Opened = TypeVar("Opened")


class Source(Protocol):
    """Pictures by place, from 0; ``names`` are paths within the source, or numbers."""

    described: str
    names: Sequence[str]

    def image(self, place: int, name: str) -> Any:
        """The RGB ``PIL.Image`` at a place; ``name`` is what an error calls it."""

    def where(self, place: int) -> str:
        """The picture, for people; "" where it has no name."""

    def size(self, place: int) -> Any:
        """What pictures with the same bytes share, at little cost."""

    def digest(self, place: int) -> str:
        """Of all bytes of the picture, or of all its pixels."""

    def signature(self, places: Sequence[int]) -> str:
        """Of all the pictures at these places, in this order."""


class Handle(Generic[Opened]):
    """What a function opens, opened once in a process and at the first use.

    >>> Handle(lambda: "opened")()
    'opened'
    """

    def __init__(self, opening: Callable[[], Opened]):
        self.opening = opening
        self._held: tuple[int, Opened] | None = None

    def __call__(self) -> Opened:
        """What is open in this process."""
        held = self._held
        if held is None or held[0] != os.getpid():
            held = self._held = (os.getpid(), self.opening())
        return held[1]

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_held": None}


class Listed:
    """Files and PIL images, in the order given.

    Args:
        described: what they are called together.
        items: paths or PIL images.
        names: one for each.
    """

    def __init__(self, described: str, items: Sequence[Any], names: Sequence[str]):
        self.described, self.items, self.names = described, list(items), list(names)

    def image(self, place: int, name: str) -> Any:
        """See :class:`Source`."""
        item = self.items[place]
        if not isinstance(item, Path):
            try:
                return as_rgb(item, name)
            except UnreadableImage:
                raise
            except Exception as error:  # an image that was opened and not read yet, of a damaged file
                raise UnreadableImage(name, first_line(error)) from error
        try:
            with item.open("rb") as file:
                return decode(file, name)
        except FileNotFoundError:
            raise MissingImage(name, _gone(item)) from None
        except OSError as error:
            raise UnreadableImage(name, error.strerror or type(error).__name__) from None

    def where(self, place: int) -> str:
        """See :class:`Source`."""
        item = self.items[place]
        return str(item) if isinstance(item, Path) else ""

    def size(self, place: int) -> Any:
        """See :class:`Source`."""
        item = self.items[place]
        return item.stat().st_size if isinstance(item, Path) else np.shape(item)

    def digest(self, place: int) -> str:
        """See :class:`Source`."""
        item = self.items[place]
        return file_digest(item) if isinstance(item, Path) else pixel_digest(item)

    def signature(self, places: Sequence[int]) -> str:
        """See :class:`Source`."""
        digests = []
        for index, place in enumerate(places):
            try:
                digests.append(self.digest(place))
            except FileNotFoundError:
                item = self.items[place]
                raise MissingImage(f"image {index}, {item}", _gone(item)) from None
        return sha256(*digests)


class Archive:
    """Members of a zip file, read without unpacking: nothing of it is ever written anywhere.

    Args:
        path: the file.
        members: as the archive's directory has them, in order.
    """

    def __init__(self, path: Path, members: Sequence[zipfile.ZipInfo]):
        self.path, self.described, self.members = path, str(path), list(members)
        self.names = [member.filename for member in members]
        self._archive = Handle(partial(zipfile.ZipFile, path))

    def image(self, place: int, name: str) -> Any:
        """See :class:`Source`."""
        member = self.members[place]
        if member.file_size > LARGEST:
            raise UnreadableImage(name, f"it unpacks to {member.file_size:,} bytes, as no picture does")
        try:
            with self._archive().open(member) as file:
                return decode(file, name)
        except FileNotFoundError:
            raise MissingImage(name, _gone(self.path)) from None
        except UnreadableImage:
            raise
        except Exception as error:  # of a damaged or encrypted archive
            raise UnreadableImage(name, first_line(error)) from error

    def where(self, place: int) -> str:
        """See :class:`Source`."""
        return f"{self.members[place].filename} in {self.path}"

    def size(self, place: int) -> Any:
        """See :class:`Source`."""
        return self.members[place].file_size, self.members[place].CRC

    def digest(self, place: int) -> str:
        """See :class:`Source`."""
        member = self.members[place]
        if member.file_size > LARGEST:
            return sha256(f"{member.filename} {member.file_size} {member.CRC}")
        with self._archive().open(member) as file:
            return sha256(*iter(lambda: file.read(1 << 20), b""))

    def signature(self, places: Sequence[int]) -> str:
        """See :class:`Source`."""
        return sha256(file_digest(self.path), *(self.members[place].filename for place in places))


def pictures_in(path: Path, skip_bad: bool = False) -> tuple[list[zipfile.ZipInfo], dict[str, str]]:
    """The pictures in a zip file, and where they are wanted, those left out for their names: name -> reason.

    Raises:
        FileNotFoundError: there are none.
        ValueError: a damaged archive, or without ``skip_bad``, a name that leads out of it.
    """
    with reading(path, "zip file"), zipfile.ZipFile(path) as archive:
        found = [member for member in archive.infolist() if is_picture(member.filename) and not member.is_dir()]
    outside = {member.filename: "its name leads out of the archive" for member in found if _leads_out(member.filename)}
    if outside and not skip_bad:
        raise ValueError(
            f"{path} names {next(iter(outside))!r}, which leads out of the archive. Nothing was read; make it again."
        )
    found = [member for member in found if member.filename not in outside]
    if not found:
        raise FileNotFoundError(f"no images in {path}: none of its files ends in {', '.join(SUFFIXES)}.")
    return found, outside


def _leads_out(name: str) -> bool:
    parts = name.replace("\\", "/").split("/")
    return ".." in parts or parts[0] == "" or parts[0].endswith(":")


class Pixels:
    """Pictures as one array.

    Args:
        array: (n, 3, H, W) or (n, H, W, 3), uint8 or floating point in 0..1.
    """

    described = "an array"

    def __init__(self, array: Any):
        self.array = as_pixels(array)
        self.names = [str(i) for i in range(len(self.array))]

    def image(self, place: int, name: str) -> Any:
        """See :class:`Source`."""
        from PIL import Image

        return Image.fromarray(self.array[place])

    def where(self, place: int) -> str:
        """See :class:`Source`."""
        return ""

    def size(self, place: int) -> Any:
        """See :class:`Source`."""
        return self.array.shape[1:]

    def digest(self, place: int) -> str:
        """See :class:`Source`."""
        return array_digest(self.array[place])

    def signature(self, places: Sequence[int]) -> str:
        """See :class:`Source`."""
        whole = list(places) == list(range(len(self.array)))
        return array_digest(self.array if whole else self.array[list(places)])


def _gone(path: Path) -> str:
    return "it is a link to nothing" if path.is_symlink() else "there is no such file"


def pixel_digest(image: Any) -> str:
    """Digest of all pixels of a PIL image."""
    return sha256(f"{image.size}{image.mode}", image.tobytes())

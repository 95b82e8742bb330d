"""Names of pictures: which files are pictures, in which order they come, and what each is called."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm")
NOT_READ = (".avif", ".eps", ".heic", ".heif", ".jfif", ".jp2", ".jxl", ".pgm", ".psd", ".svg")  # pictures all the same


def natural_sort(names: Iterable[str]) -> list[str]:
    """Names in the order a person counts in, folder by folder.

    >>> natural_sort(["image10.jpg", "image2.jpg", "Image1.jpg"])
    ['Image1.jpg', 'image2.jpg', 'image10.jpg']
    >>> natural_sort(["day 2/1.jpg", "day/2.jpg", "day/1.jpg"])
    ['day/1.jpg', 'day/2.jpg', 'day 2/1.jpg']
    """

    def key(name: str) -> tuple:
        # digits and text alternate, so numbers are only ever compared with numbers
        parted = [re.split(r"(\d+)", part) for part in name.lower().split("/")]
        return tuple(tuple(int(p) if place % 2 else p for place, p in enumerate(part)) for part in parted), name

    return sorted(names, key=key)


def is_picture(name: str) -> bool:
    """Whether a file or archive member is a picture by its suffix; hidden files and macOS resource forks are not.

    >>> is_picture("set/a.JPG"), is_picture("__MACOSX/set/._a.jpg"), is_picture("notes.txt")
    (True, False, False)
    """
    path = Path(name)
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and "__MACOSX" not in path.parts


def stems(names: Sequence[str]) -> list[str]:
    """File names without folders and suffixes where they differ, else as they were given.

    >>> stems(["set/a.jpg", "set/b.jpg"]), stems(["a.jpg", "a.png"])
    (['a', 'b'], ['a.jpg', 'a.png'])
    """
    found = [Path(name).stem for name in names]
    if len(set(found)) == len(found):
        return found
    # "a/1.jpg" and "b/1.jpg", or the same picture listed twice for two presentations
    return list(names) if len(set(names)) == len(names) else [f"{place}:{stem}" for place, stem in enumerate(found)]


def paths_without_suffix(names: Sequence[str]) -> list[str]:
    """Relative paths without suffix; with it, for those that would be equal.

    >>> paths_without_suffix(["cat/1.jpg", "dog/1.jpg", "dog/1.png"])
    ['cat/1', 'dog/1.jpg', 'dog/1.png']
    """
    short = [str(PurePosixPath(name).with_suffix("")) for name in names]
    count = Counter(short)
    found = [bare if count[bare] == 1 else name for bare, name in zip(short, names, strict=True)]
    found = found if len(set(found)) == len(found) else list(names)  # a file may be called 1.jpg.png
    return found if len(set(found)) == len(found) else [f"{place}:{name}" for place, name in enumerate(found)]


def names_meant(name: str) -> list[str]:
    """The ids that a name in a table may mean, the nearest first: itself, without suffix, and without folders too.

    >>> names_meant("dog/1.png"), names_meant("image 1")
    (['dog/1.png', 'dog/1', '1'], ['image 1'])
    """
    path = PurePosixPath(name)
    return list(dict.fromkeys([name, str(path.with_suffix("")) if path.name else name, path.stem or name]))


def is_one_line(name: str) -> bool:
    """Whether a name is text that keeps to its line, in UTF-8."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:  # bytes of a file name in another encoding
        return False
    return name.splitlines() == [name]


def places_of(rows: Sequence[int] | slice | None, n_images: int) -> list[int]:
    """Chosen rows as places from 0.

    Args:
        rows: a slice, or numbers from 0, or as many booleans as there are pictures; None takes all.
        n_images: how many there are.

    Raises:
        ValueError: no whole numbers, beyond the end, or one twice.

    >>> places_of(slice(None, None, 2), 5), places_of([3, 0], 5)
    ([0, 2, 4], [3, 0])
    """
    if rows is None or isinstance(rows, slice):
        return list(range(n_images))[rows or slice(None)]
    array = np.asarray(rows)
    if array.dtype == bool and array.shape == (n_images,):
        return np.flatnonzero(array).tolist()
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise ValueError(f"rows are whole numbers from 0, or a slice; got {array.dtype} of shape {array.shape}.")
    places = [int(row) for row in array]
    beyond = next((row for row in places if not 0 <= row < n_images), None)
    if beyond is not None:
        raise ValueError(f"there is no row {beyond}: there are {n_images} images, and rows count from 0.")
    if len(set(places)) < len(places):
        twice = next(row for place, row in enumerate(places) if row in places[:place])
        raise ValueError(f"row {twice} is chosen twice.")
    return places

"""Where a dataset's pictures come from: folders, lists, archives, bricks, videos or arrays, behind one index.

Pictures are ordered once, here, in natural order (image2 before image10), because responses are matched to them by
position; a list, an array and a video keep the order they have. Nothing is decoded before it is asked for, and whatever
cannot be decoded is named in the error, or left out and listed where that is asked for.
"""

from __future__ import annotations

import copy
import os
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from brainnet._checks import check_word
from brainnet._files import sha256
from brainnet.stimuli.bricks import BRICK_SUFFIXES, Brick
from brainnet.stimuli.checking import unreadable
from brainnet.stimuli.layouts import (
    LAYOUTS,
    layout_of,
    matched,
    names_in,
    read_classes,
    without_common_folder,
)
from brainnet.stimuli.lists import LIST_SUFFIXES, read_list
from brainnet.stimuli.names import is_one_line, is_picture, natural_sort, places_of, stems
from brainnet.stimuli.sets import StimulusSet, times_in
from brainnet.stimuli.sources import Archive, Listed, Pixels, Source, pictures_in, pixel_digest
from brainnet.stimuli.video import VIDEO_SUFFIXES, Video

KINDS = ("auto", *LAYOUTS, "list", "hdf5", "video")


class Images:
    """An indexed set of pictures; ``images[i]`` is an RGB ``PIL.Image``, decoded now and not kept.

    A token store is built from it as from a data set, a batch of pictures in memory at a time.

    A path is read as what it is: a folder or a zip archive by how the pictures in it lie (see ``layout``), a ``.txt``,
    ``.csv`` or ``.tsv`` file as a list of pictures, an ``.h5`` or ``.hdf5`` file as a data set of pixels, and a video
    as its frames.

    Args:
        source: a folder, a .zip, a list or an HDF5 file of pictures, or a video; or a list of paths or PIL images; or
            pixels as a tensor or array (n, 3, H, W) or (n, H, W, 3), uint8 in 0..255 or floating point in 0..1.
        ids: one name per picture; by default the file names without suffix ("cat/1" in folders), the "id" column of a
            list, "frame0001", ... of a video, or "0", "1", ...
        layout: what folders mean, in a folder or an archive. "flat": nothing, the pictures lie side by side (in an
            archive: all of them, wherever they lie). "classes": a class each, with all below it. "nested": a part of
            the id. "auto": flat where pictures lie directly in the folder; classes where all lie one folder further
            down; nested where they lie deeper. Or "list", "hdf5", "video" for a file whose suffix does not say it.
        classes: names of the classes in their order, or a file that lists them (see
            :func:`~brainnet.stimuli.layouts.read_classes`), such as the concepts of THINGS; by default natural order.
            Pictures in folders of classes come in this order.
        rows: which pictures, as numbers from 0, a slice or booleans, after ordering; by default all.
        key: name of the data set in an HDF5 file; by default the only one of pictures.
        fps: frames of a video for each second, see :class:`~brainnet.stimuli.video.Video`.
        every: each ``every``-th frame of a video.
        skip_bad: leave out what cannot be read: decode every picture now, which takes time.
        checked: False leaves the decoding for ``skip_bad`` to :meth:`readable`.
        progress: show a progress bar while they are decoded for that.

    Attributes:
        ids: one name per picture.
        described: where they come from, for people.
        layout: "flat", "classes", "nested", "list", "hdf5", "video" or "array".
        classes: names of the classes in order, or None.
        targets: for each picture the place of its class in ``classes``, or None.
        onsets, durations: seconds, (n,), of a table with these columns, else None; a ``ValueError`` names a cell that
            is no time.
        skipped: of the pictures left out by ``skip_bad``, name in the source -> reason.

    Raises:
        FileNotFoundError: the folder, archive or one of the listed files does not exist, or holds no pictures.
        ModuleNotFoundError: a video, and the package that reads it is not installed.
        ValueError: not pixels, as many ids as there are not pictures, names that are no line of text, or an argument
            that is for another kind of source.

    >>> Images(np.zeros((2, 4, 6, 3), dtype=np.uint8))[1].size
    (6, 4)
    """

    kind = "image"

    def __init__(
        self,
        source: Any,
        ids: Sequence[str] | None = None,
        *,
        layout: str = "auto",
        classes: Sequence[str] | str | os.PathLike | None = None,
        rows: Sequence[int] | slice | None = None,
        key: str | None = None,
        fps: float | None = None,
        every: int | None = None,
        skip_bad: bool = False,
        checked: bool = True,
        progress: bool = True,
    ):
        check_word("layout", layout, KINDS)
        self._source: Source
        self._times: Callable[[], Mapping[str, np.ndarray | None]] = dict
        self.layout = layout
        self.skipped: dict[str, str] = {}
        self.classes: list[str] | None = None
        self.targets: list[int] | None = None
        order = read_classes(classes) if isinstance(classes, str | os.PathLike) else classes
        found = self._find(source, layout, order, skip_bad, {"key": key, "fps": fps, "every": every})
        self.ids = [str(name) for name in ids] if ids is not None else found
        if len(self.ids) != len(self._source.names):
            raise ValueError(f"{len(self.ids)} ids for {len(self._source.names)} images in {self.described}.")
        self._places = list(range(len(self.ids)))
        if rows is not None:
            self._keep(places_of(rows, len(self.ids)))
        self._refuse_names(skip_bad)
        if skip_bad and checked:
            self._leave_out(unreadable(self._source, self._names(), progress=progress))

    @classmethod
    def of(cls, source: Any, ids: Sequence[str] | None = None, **how: Any) -> Any:
        """The pictures of anything the constructor takes; of a set of pictures or of other stimuli, itself."""
        if not isinstance(source, cls | StimulusSet):
            return cls(source, ids, **how)
        if ids is not None and list(ids) != source.ids:
            raise ValueError("these stimuli have ids already: give ids= where they are made.")
        return source

    def readable(
        self, kept: str | os.PathLike | None = None, *, workers: int | None = None, progress: bool = True
    ) -> Images:
        """The same set without the pictures that cannot be read, which its ``skipped`` lists with the reason.

        Every picture is decoded for that, by several threads.

        Args:
            kept: a JSON file in which the answers are kept, by the digest of each picture: a picture that has not
                changed is not decoded again for it.
            workers: threads; None takes one a core, at most 8.
            progress: show a progress bar.

        Raises:
            ValueError: none can be read.
        """
        found = copy.copy(self)
        found.skipped = dict(self.skipped)
        found._leave_out(unreadable(self._source, self._names(), kept=kept, workers=workers, progress=progress))
        return found

    # ---------------------------------------------------------------- finding them

    def _find(self, source: Any, layout: str, order: Sequence[str] | None, skip_bad: bool, how: dict) -> list[str]:
        """Sets where the pictures lie, and returns their names by default."""
        if isinstance(source, torch.Tensor | np.ndarray) and source.ndim == 4:
            self._source, self.layout = Pixels(source), "array"
            ids = list(self._source.names)
        elif isinstance(source, str | os.PathLike):
            ids = self._open(Path(source), layout, order, skip_bad, how)
        elif isinstance(source, Sequence | np.ndarray) and not isinstance(source, bytes):
            self._source, self.layout = self._listed(list(source), "the list given", skip_bad), "list"
            ids = stems(self._source.names)
        else:
            raise TypeError(
                "images are a folder, a .zip file, a list of paths or PIL images, or pixels of shape (n, 3, H, W); got "
                + (f"shape {tuple(source.shape)}." if hasattr(source, "shape") else f"{type(source).__name__}.")
            )
        self.described = self._source.described
        if order is not None and self.classes is None:
            raise ValueError(f"an order of classes is for pictures that have classes, and {self.described} has none.")
        wanted = {"key": ("hdf5",), "fps": ("video",), "every": ("video",)}
        for name, value in how.items():
            if value is not None and self.layout not in wanted[name]:
                kind = "a video" if name in ("fps", "every") else "an HDF5 file"
                raise ValueError(f"{name} is for {kind}, and {self.described} is none.")
        return ids

    def _open(self, path: Path, layout: str, order: Sequence[str] | None, skip_bad: bool, how: dict) -> list[str]:
        kind = _kind_of(path, layout)
        if kind in ("folder", "zip"):
            return self._in_folders(path, kind, layout, order, skip_bad)
        self.layout = kind
        if kind == "list":
            return self._in_list(path, order, skip_bad)
        if kind == "hdf5":
            self._source = Brick(path, how["key"])
        else:
            self._source = Video(path, how["fps"], how["every"])
        return list(self._source.names)

    def _in_folders(self, path: Path, kind: str, layout: str, order: Sequence[str] | None, skip_bad: bool) -> list[str]:
        wanted = "classes" if layout == "auto" and order is not None else layout
        if kind == "folder":
            found = layout_of(names_in(path, wanted), wanted, str(path), order)
            self._source = Listed(str(path), [path / name for name in found.names], found.names)
        else:
            members, self.skipped = pictures_in(path, skip_bad)
            within = without_common_folder([member.filename.replace("\\", "/") for member in members], wanted)
            found = layout_of(within, wanted, str(path), order)
            of_name: dict[str, list[zipfile.ZipInfo]] = {}  # an archive may hold a name twice
            for name, member in zip(within, members, strict=True):
                of_name.setdefault(name, []).append(member)
            self._source = Archive(path, [of_name[name].pop(0) for name in found.names])
        self.layout, self.classes, self.targets = found.kind, found.classes, found.targets
        return found.ids

    def _in_list(self, path: Path, order: Sequence[str] | None, skip_bad: bool) -> list[str]:
        if not path.is_file():
            raise FileNotFoundError(f"no images at {path}: there is no such file.")
        listed = read_list(path)
        self._source = self._listed([path.parent / name for name in listed.paths], str(path), skip_bad, listed.paths)
        if listed.times is not None:
            self._times = partial(times_in, listed.times, path)
        if listed.classes is not None:
            known = natural_sort(set(listed.classes))
            self.classes = known if order is None else matched(order, known, str(path))
            place = {name: index for index, name in enumerate(self.classes)}
            self.targets = [place[name] for name in listed.classes]
        return stems(listed.paths) if listed.ids is None else listed.ids

    def _listed(self, items: list, described: str, skip_bad: bool, names: Sequence[str] | None = None) -> Listed:
        found = []
        for place, item in enumerate(items):
            if isinstance(item, str | os.PathLike):
                items[place] = Path(item)
                found.append(str(item))
            elif hasattr(item, "convert"):
                found.append(str(place))
            else:
                raise TypeError(f"image {place} must be a path or a PIL image, got {type(item).__name__}.")
        missing = [item for item in items if isinstance(item, Path) and not item.is_file()]
        if missing and not skip_bad:
            raise FileNotFoundError(f"{len(missing)} of {len(items)} images do not exist, the first is {missing[0]}.")
        return Listed(described, items, found if names is None else names)

    # ---------------------------------------------------------------- leaving some out

    def _keep(self, indices: Iterable[int]) -> None:
        indices = list(indices)
        self._places = [self._places[index] for index in indices]
        self.ids = [self.ids[index] for index in indices]
        self.targets = None if self.targets is None else [self.targets[index] for index in indices]

    def _leave_out(self, reasons: Mapping[int, str]) -> None:
        """Takes out the pictures at some places, and lists why."""
        for place, reason in reasons.items():
            name = self._source.names[place]
            self.skipped[name if is_one_line(name) else ascii(name)] = reason
        self._keep(index for index, place in enumerate(self._places) if place not in reasons)
        if not self._places:
            name, reason = next(iter(self.skipped.items()))
            raise ValueError(f"no image in {self.described} can be read; the first is {name}: {reason}.")

    def _refuse_names(self, skip_bad: bool) -> None:
        """Refuses ids that would break the tables and lists they are written to, or leaves their pictures out."""
        bad = {place: name for place, name in zip(self._places, self.ids, strict=True) if not is_one_line(name)}
        if bad and not skip_bad:
            raise ValueError(
                f"an image in {self.described} is called {next(iter(bad.values()))!r}: names are written to tables and "
                "lists, one a line, so they are UTF-8 text without line breaks. Rename it, or give ids=."
            )
        if bad:
            self._leave_out(dict.fromkeys(bad, "its name is no line of UTF-8 text"))
        if self.classes is not None and self.targets is not None and not all(map(is_one_line, self.classes)):
            chosen = [name for name in self.classes if is_one_line(name)]
            if not {self.classes[target] for target in self.targets} <= set(chosen):  # ids were given
                raise ValueError(f"a class in {self.described} has a name that is no line of UTF-8 text: rename it.")
            place = {name: index for index, name in enumerate(chosen)}
            self.targets = [place[self.classes[target]] for target in self.targets]
            self.classes = chosen

    def _names(self) -> dict[int, str]:
        return {place: self._name(index) for index, place in enumerate(self._places)}

    def _name(self, index: int) -> str:
        where = self._source.where(self._places[index])
        return f"image {index}, {where}" if where else f"image {index}"

    # ---------------------------------------------------------------- reading them

    @property
    def onsets(self) -> np.ndarray | None:
        """Seconds at which each picture was shown."""
        return self._time("onsets")

    @property
    def durations(self) -> np.ndarray | None:
        """Seconds for which each picture was shown."""
        return self._time("durations")

    def _time(self, name: str) -> np.ndarray | None:
        values = self._times().get(name)
        return None if values is None else values[self._places]

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
        return self._source.signature(self._places)

    def copies(self) -> list[list[int]]:
        """Groups of pictures with the same bytes, two or more of them in each; in memory, with the same pixels.

        Files of different sizes are told apart without being read. Frames of a video are not compared.
        """
        alike: dict[Any, list[int]] = {}
        for index, place in enumerate(self._places):
            alike.setdefault(self._source.size(place), []).append(index)
        groups: dict[Any, list[int]] = {}
        for size, indices in alike.items():
            for index in indices if len(indices) > 1 else ():
                groups.setdefault((size, self._source.digest(self._places[index])), []).append(index)
        return [group for group in groups.values() if len(group) > 1]

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int):
        return self._source.image(self._places[index], self._name(index))

    def __repr__(self) -> str:
        return f"Images({len(self)} in {self.described})"


def _kind_of(path: Path, layout: str) -> str:
    """What a path is read as: "folder", "zip", "list", "hdf5" or "video".

    Raises:
        FileNotFoundError: nothing is there.
        ValueError: none of these, or another than the layout says.
    """
    if not path.exists():
        raise FileNotFoundError(f"no images at {path}: there is no such folder or zip, list, HDF5 or video file.")
    suffix = path.suffix.lower()
    by_suffix = {"list": LIST_SUFFIXES, "hdf5": BRICK_SUFFIXES, "video": VIDEO_SUFFIXES}
    if path.is_dir():
        found = "folder"
    elif zipfile.is_zipfile(path):
        found = "zip"
    elif layout in by_suffix:
        return layout
    else:
        found = next((kind for kind, suffixes in by_suffix.items() if suffix in suffixes), "")
    if not found:
        said = "is damaged, or no zip file." if suffix == ".zip" else "is neither a folder nor a zip file, no list "
        said += "" if suffix == ".zip" else "(.txt, .csv, .tsv), no HDF5 file and no video."
        hint = " A single image is given as a list of one." if is_picture(path.name) else ""
        raise ValueError(f"{path} {said}{hint}")
    if layout in by_suffix or (layout in LAYOUTS and found in by_suffix):
        raise ValueError(f"the layout {layout!r} is not for {path}, which is a {found}.")
    return found


def signature_of(pictures: Iterable[Any]) -> str:
    """Digest of all pixels of all pictures, decoded one after another; for sources that do not know their own.

    >>> from PIL import Image
    >>> black, white = (Image.new("RGB", (4, 4), color) for color in ("black", "white"))
    >>> len({signature_of([black, white]), signature_of([black, white]), signature_of([white, black])})
    2
    """
    return sha256(*map(pixel_digest, pictures))

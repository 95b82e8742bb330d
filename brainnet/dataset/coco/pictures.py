"""Photographs of NSD with what COCO knows of them: the whole photograph, its captions, its masks cut as it was cut."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from brainnet._checks import check_word
from brainnet._files import cache_dir, reading, writing
from brainnet._files.download import download
from brainnet.dataset.coco.annotations import CocoAnnotations
from brainnet.dataset.coco.masks import Masks
from brainnet.dataset.coco.table import StimulusTable

if TYPE_CHECKING:
    from PIL import Image

SIDE = 425  # pixels of a photograph in NSD
ADDRESS = "http://images.cocodataset.org/{split}/{name}"  # the field coco_url of COCO's annotations


class NSDCoco:
    """The photographs of NSD in COCO.

    Args:
        nsd: the folder of NSD, its ``nsd_stim_info_merged.csv``, or a ``coco.csv`` of Net2Brain.
        coco: the folder of COCO, with ``train2017``, ``val2017`` and ``annotations`` below it, as far as they are used;
            None where only ids are asked for.
        download: a photograph that is not in ``coco`` is fetched from COCO's server into brainnet's cache. The
            photographs are under the terms of COCO.

    Attributes:
        table: the :class:`~brainnet.dataset.coco.table.StimulusTable`.
        annotations: the :class:`~brainnet.dataset.coco.annotations.CocoAnnotations`, of NSD's photographs alone.

    Raises:
        FileNotFoundError: a file is missing; names it.
        ValueError: a file of another kind, or an id that NSD has not.
    """

    def __init__(self, nsd: str | os.PathLike, coco: str | os.PathLike | None = None, *, download: bool = False):
        self.table = StimulusTable(nsd)
        self.coco = None if coco is None else Path(coco)
        self.download = download
        wanted = {row.coco_id for row in self.table}
        self.annotations = None if coco is None else CocoAnnotations(coco, wanted)

    def coco_id(self, nsd_id: int | str) -> int:
        """The number in COCO of a photograph of NSD, which counts from 0 ("nsd-02950")."""
        return self.table.coco_id(nsd_id)

    def nsd_id(self, coco_id: int | str) -> int:
        """The number in NSD, from 0, of a photograph of COCO."""
        return self.table.nsd_id(coco_id)

    def whole(self, nsd_id: int | str) -> Image.Image:
        """The whole photograph, as COCO has it, in RGB."""
        from PIL import Image

        path = self._path(nsd_id)
        with reading(path, "photograph"), Image.open(path) as picture:
            return picture.convert("RGB")

    def picture(self, nsd_id: int | str) -> Image.Image:
        """The photograph as NSD shows it, cut and resized to 425 x 425; by cubic interpolation.

        The pixels of NSD's own ``imgBrick`` come from another program, so that values may differ by a little.
        """
        return cut_out(self.whole(nsd_id), self.table.row(nsd_id).crop)

    def captions(self, nsd_id: int | str) -> list[str]:
        """All captions of a photograph: five, for a few six or seven."""
        row = self.table.row(nsd_id)
        return self._annotations().captions(row.coco_id, row.split)

    def masks(self, nsd_id: int | str, *, cropped: bool = True) -> Masks:
        """Where the things in a photograph are.

        Args:
            nsd_id: of the photograph.
            cropped: (n, 425, 425) as NSD shows it, without the things that were cut off; else of COCO's size.
        """
        row = self.table.row(nsd_id)
        whole = self._annotations().masks(row.coco_id, row.split)
        if not cropped:
            return whole
        pixels = np.zeros((len(whole), SIDE, SIDE), bool)
        for place, mask in enumerate(whole.pixels):
            pixels[place] = cut_out(mask, row.crop)
        seen = np.flatnonzero(pixels.any((1, 2)))
        return replace(
            whole,
            pixels=pixels[seen],
            **{
                name: tuple(getattr(whole, name)[i] for i in seen)
                for name in ("names", "category_ids", "ids", "crowds")
            },
        )

    def rename(self, folder: str | os.PathLike, to: str, out: str | os.PathLike | None = None) -> dict[str, str]:
        """Gives the files of a folder the names of the other set: "nsd-02950.png" or "000000262145.png".

        All names are looked at first: where one has no id, or two would get one name, nothing is renamed. Files that
        have such a name already keep it, so that a second call goes on where a first was stopped.

        Args:
            folder: of files, each named by an id of NSD ("02950", "nsd-02950", "train-0001_nsd-02950") or of COCO.
            to: "coco" or "nsd".
            out: copies go there, and ``folder`` stays as it is; None renames in place.

        Returns:
            The old name of each file that got a new one, with it.
        """
        check_word("set", to, ("coco", "nsd"))
        folder = Path(folder)
        new_name = self._as_coco if to == "coco" else self._as_nsd
        names = {path.name: new_name(path) for path in sorted(folder.iterdir()) if path.is_file()
                 and not path.name.startswith(".")}  # fmt: skip
        _check_names(names, folder if out is None else Path(out), in_place=out is None)
        changed = {old: new for old, new in names.items() if out is not None or old != new}
        for old, new in changed.items():
            if out is None:
                (folder / old).rename(folder / new)
            else:
                Path(out).mkdir(parents=True, exist_ok=True)
                with writing(Path(out) / new) as unfinished:
                    shutil.copyfile(folder / old, unfinished)
        return changed

    def _as_coco(self, path: Path) -> str:
        if re.fullmatch(r"\d{12}", path.stem):  # it has that name already
            return path.name
        return f"{self.coco_id(path.stem):012d}{path.suffix}"

    def _as_nsd(self, path: Path) -> str:
        if "nsd" in path.stem:
            return f"nsd-{self.table.row(path.stem).nsd_id:05d}{path.suffix}"
        return f"nsd-{self.nsd_id(path.stem):05d}{path.suffix}"

    def _annotations(self) -> CocoAnnotations:
        if self.annotations is None:
            raise ValueError("captions and masks need COCO's annotations: NSDCoco(nsd, coco=FOLDER).")
        return self.annotations

    def _path(self, nsd_id: int | str) -> Path:
        row = self.table.row(nsd_id)
        name = f"{row.coco_id:012d}.jpg"
        places = [] if self.coco is None else [self.coco / row.split / name, self.coco / "images" / row.split / name]
        found = next((place for place in places if place.is_file()), None)
        if found is None and not self.download:
            looked = f"no {places[0]}" if places else "no folder of COCO was given"
            raise FileNotFoundError(f"{looked}: give COCO's folder, or NSDCoco(..., download=True).")
        address = ADDRESS.format(split=row.split, name=name)
        return found or download(address, cache_dir() / "coco" / row.split / name)


def _check_names(names: dict[str, str], target: Path, in_place: bool) -> None:
    new: dict[str, str] = {}
    for old, name in names.items():
        if name in new:
            raise ValueError(f"{new[name]} and {old} would both be {name}: nothing was renamed.")
        new[name] = old
        if name != old and in_place and (target / name).exists():
            raise ValueError(f"{target / name} is there already, so that {old} cannot be renamed: nothing was.")


def cut_out(picture, crop: tuple[float, float, float, float], side: int = SIDE):
    """A picture as NSD cut it: shares of it are cut off its edges, and the rest, a square, is resized.

    Args:
        picture: a ``PIL.Image``, which is resized by cubic interpolation; or an array (H, W) of labels or bool, which
            keeps its type and its values: each pixel takes the nearest one.
        crop: shares of the height or width that are cut off: top, bottom, left, right.
        side: pixels of the result.

    >>> cut_out(np.arange(8).reshape(2, 4), (0, 0, 0.25, 0.25), side=4)[0].tolist()
    [1, 1, 2, 2]
    """
    from PIL import Image

    if isinstance(picture, np.ndarray):
        height, width = picture.shape
        top, bottom, left, right = edges(crop, height, width)
        centres = (np.arange(side) + 0.5) / side
        rows, columns = top + centres * (bottom - top), left + centres * (right - left)
        return picture[np.floor(rows).astype(int)[:, None], np.floor(columns).astype(int)]
    top, bottom, left, right = edges(crop, picture.height, picture.width)
    return picture.crop((left, top, right, bottom)).resize((side, side), Image.Resampling.BICUBIC)


def edges(crop: tuple[float, float, float, float], height: int, width: int) -> tuple[int, int, int, int]:
    """First and last row and column of the part that is left, in pixels: top, bottom, left, right.

    Edges in the middle of a pixel are both moved to its end, so that the part stays a square.

    >>> edges((0, 0, 0.1671875, 0.1671875), 426, 640), edges((0, 0, 0.16640625, 0.16640625), 427, 640)
    ((0, 426, 107, 533), (0, 427, 107, 534))
    """
    top, bottom, left, right = crop

    def whole(share: float, length: int) -> int:
        return int(np.floor(round(share * length, 6) + 0.5))

    return whole(top, height), whole(1 - bottom, height), whole(left, width), whole(1 - right, width)

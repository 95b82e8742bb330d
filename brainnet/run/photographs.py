"""A folder of what COCO knows of some photographs of NSD: pictures, masks, captions and figures."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from brainnet._files import write_csv, writing
from brainnet._work import Interrupted, terminable
from brainnet._work import progress as show_progress
from brainnet.dataset.coco import NSDCoco
from brainnet.run.record.claiming import claimed

CAPTIONS = ("image", "coco_id", "caption")
THINGS = ("image", "coco_id", "thing", "category", "category_id", "annotation", "crowd", "pixels")


def write_photographs(
    nsd: str | os.PathLike,
    ids: Sequence[int | str],
    out: str | os.PathLike,
    *,
    coco: str | os.PathLike,
    download: bool = False,
    cropped: bool = True,
    figures: bool = True,
    progress: bool = True,
) -> Path:
    """Writes what COCO knows of photographs of NSD, a file each, under the names of brainnet's reader ("nsd-02950").

    Files are ``pictures/``, ``masks/categories/`` (the category's number in COCO, 0 for none), ``masks/things/`` (1 for
    the first thing, ...), ``figures/``, and the tables ``captions.csv`` and ``things.csv``.

    Args:
        nsd: the folder of NSD, its ``nsd_stim_info_merged.csv``, or a ``coco.csv`` of Net2Brain.
        ids: of the photographs: 2950, "02950", "nsd-02950"; or one folder of files that are named so.
        out: the folder to fill. Files of the same names there are replaced.
        coco: the folder of COCO.
        download: photographs that are not in ``coco`` are fetched into brainnet's cache.
        cropped: as NSD shows them, 425 x 425; else whole, as COCO has them.
        figures: draw each with its masks and captions.
        progress: show a progress bar.

    Raises:
        FileNotFoundError: a file of NSD or of COCO is missing; names it.
        ValueError: an id that NSD has not, or a damaged file.
    """
    photographs, out = NSDCoco(nsd, coco, download=download), Path(out)
    rows = [photographs.table.row(name) for name in _ids_of(ids)]
    captions: list[tuple[Any, ...]] = []
    things: list[tuple[Any, ...]] = []
    try:
        with terminable(), claimed(out, "photographs"):
            for row in show_progress(rows, "photographs", len(rows), progress):
                name = f"nsd-{row.nsd_id:05d}"
                picture = photographs.picture(row.nsd_id) if cropped else photographs.whole(row.nsd_id)
                masks, said = photographs.masks(row.nsd_id, cropped=cropped), photographs.captions(row.nsd_id)
                _write_picture(out / f"pictures/{name}.png", picture)
                _write_picture(out / f"masks/categories/{name}.png", masks.by_category())
                _write_picture(out / f"masks/things/{name}.png", masks.by_instance())
                captions += [(name, row.coco_id, caption) for caption in said]
                columns = zip(masks.names, masks.category_ids, masks.ids, masks.crowds, masks.pixels, strict=True)
                things += [
                    (name, row.coco_id, place, category, number, annotation, int(crowd), int(pixels.sum()))
                    for place, (category, number, annotation, crowd, pixels) in enumerate(columns, 1)
                ]
                if figures:
                    _draw(out / "figures" / name, picture, masks, said, f"{name}, in COCO {row.coco_id}")
            _write_table(out / "captions.csv", CAPTIONS, captions)
            _write_table(out / "things.csv", THINGS, things)
    except KeyboardInterrupt:
        raise Interrupted(f"what was written is kept in {out}; the same line makes all of it.") from None
    return out


def _ids_of(ids: Sequence[int | str]) -> Sequence[int | str]:
    """The ids; of one folder, the names of its files without suffix."""
    if len(ids) == 1 and Path(str(ids[0])).is_dir():
        folder = Path(str(ids[0]))
        return sorted(path.stem for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    return ids


def _write_picture(path: Path, picture: Any) -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    with writing(path) as unfinished:
        (Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture).save(unfinished)


def _draw(path: Path, picture: Any, masks: Any, captions: Sequence[str], title: str) -> None:
    from brainnet import plot

    path.parent.mkdir(parents=True, exist_ok=True)
    figure = plot.masks(picture, masks.pixels, masks.names, captions=captions, title=title)
    plot.save(figure, path, ("png",))


def _write_table(path: Path, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    import pandas as pd

    write_csv(path, pd.DataFrame(rows, columns=list(columns)))

"""Images of single formats: rows of values to GIfTI, CIFTI-2 and NIfTI, and back, with what they say of themselves.

A file of brainnet's has a JSON text under the key "brainnet": its voxels, its regions, its names. Other programs pass
it by.
"""

from __future__ import annotations

import colorsys
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from brainnet._files import reading
from brainnet.space.brain_space import VERTICES_PER_HEMISPHERE, BrainSpace

KEY = "brainnet"
COMMENT = 6  # code of a NIfTI header extension that holds a text
STRUCTURES = {"L": "CortexLeft", "R": "CortexRight"}
CIFTI = {"L": "CIFTI_STRUCTURE_CORTEX_LEFT", "R": "CIFTI_STRUCTURE_CORTEX_RIGHT"}
LabelTable = tuple[Sequence[str], Any]  # names of the labels 1, 2, ..., and their colors or None


class Rows(NamedTuple):
    """What a file holds: a row of values for each map, and what it says."""

    names: list[str]
    rows: list[np.ndarray]
    said: Mapping[str, Any]
    categories: Any = None
    colors: Any = None
    shape: tuple[int, ...] = ()
    affine: np.ndarray | None = None


def label_colors(count: int, colors: Any = None) -> np.ndarray:
    """(count, 3) RGB in 0..1: those given, else hues of which neighbors differ."""
    if colors is not None and len(colors) >= count:
        return np.asarray(colors, dtype=np.float64)[:count, :3]
    hues = ((key * 0.618) % 1 for key in range(1, count + 1))  # golden ratio
    return np.array([colorsys.hsv_to_rgb(hue, 0.75, 0.9) for hue in hues]).reshape(-1, 3)


def gifti_image(
    rows: np.ndarray, side: str, names: Sequence[str], table: LabelTable | None = None, said: str = ""
) -> Any:
    """A GIfTI image of one hemisphere.

    Args:
        rows: (n_maps, n_vertices) numbers, or labels from 1 on with 0 for none.
        side: "L" or "R".
        names: of the maps.
        table: of labels; None for numbers.
        said: JSON that the file is to say of itself.
    """
    from nibabel import gifti

    meta = {"AnatomicalStructurePrimary": STRUCTURES[side]} | ({KEY: said} if said else {})
    image = gifti.GiftiImage(meta=gifti.GiftiMetaData(meta))
    kind = ("NIFTI_INTENT_NONE", "NIFTI_TYPE_FLOAT32") if table is None else ("NIFTI_INTENT_LABEL", "NIFTI_TYPE_INT32")
    if table is not None:
        image.labeltable = _gifti_labels(*table)
    for row, name in zip(rows, names, strict=True):
        array = row.astype(np.float32 if table is None else np.int32)
        own = gifti.GiftiMetaData({"Name": name})
        image.add_gifti_data_array(gifti.GiftiDataArray(array, intent=kind[0], datatype=kind[1], meta=own))
    return image


def _gifti_labels(names: Sequence[str], colors: Any) -> Any:
    from nibabel import gifti

    table = gifti.GiftiLabelTable()
    rgba = [(0.0, 0.0, 0.0, 0.0), *((*color, 1.0) for color in label_colors(len(names), colors).tolist())]
    for key, name in enumerate(("none", *names)):
        label = gifti.GiftiLabel(key, *rgba[key])
        label.label = name
        table.labels.append(label)
    return table


def read_gifti_rows(path: Path, side: str) -> Rows:
    """What one hemisphere's file holds.

    Raises:
        ValueError: a damaged file, or one that says that it is of the other hemisphere.
    """
    import nibabel

    with reading(path, "GIfTI file"):
        image = nibabel.load(path)
        rows = [np.asarray(array.data).reshape(-1) for array in image.darrays]
        names = [array.meta.get("Name") or str(place) for place, array in enumerate(image.darrays)]
        structure = image.meta.get("AnatomicalStructurePrimary", "") or ""
        said = json.loads(image.meta.get(KEY, "{}") or "{}")
        labels = {label.key: label for label in image.labeltable.labels}
    if structure and STRUCTURES[side].lower() not in structure.lower():
        raise ValueError(
            f"{path.name} says that it is {structure}, but stands for {STRUCTURES[side]}: they are exchanged."
        )
    if not rows or not any(key > 0 for key in labels):
        return Rows(names, [row.astype(np.float32) for row in rows], said)
    most = max(labels)
    categories = [labels[key].label if key in labels else str(key) for key in range(1, most + 1)]
    colors = np.array([labels[key].rgba[:3] if key in labels else (0.5,) * 3 for key in range(1, most + 1)])
    return Rows(names, [row.astype(np.int64) for row in rows], said, categories, colors)


def cifti_image(
    rows: np.ndarray, space: BrainSpace, names: Sequence[str], tables: Sequence[LabelTable] | None, said: str
) -> Any:
    """A CIFTI-2 image of the vertices of a space, of numbers or, with a table for each map, of labels."""
    import nibabel
    from nibabel import cifti2

    n, vertices = VERTICES_PER_HEMISPHERE[space.mesh], space.vertices.numpy()
    order = np.argsort(vertices, kind="stable")
    axes = []
    for number, side in enumerate("LR"):
        own = vertices[order][(vertices[order] >= n) == bool(number)] - number * n
        if len(own):
            axes.append(cifti2.BrainModelAxis.from_surface(own, n, name=CIFTI[side]))
    places = axes[0] if len(axes) == 1 else axes[0] + axes[1]
    if tables is None:
        maps: Any = cifti2.ScalarAxis(list(names))
    else:
        maps = cifti2.LabelAxis(list(names), [_cifti_labels(*table) for table in tables])
    image = nibabel.Cifti2Image(rows[:, order].astype(np.float32), header=cifti2.Cifti2Header.from_axes((maps, places)))
    image.header.matrix.metadata = cifti2.Cifti2MetaData({KEY: said})
    intent = "NIFTI_INTENT_CONNECTIVITY_DENSE_SCALARS" if tables is None else "NIFTI_INTENT_CONNECTIVITY_DENSE_LABELS"
    image.nifti_header.set_intent(intent)
    return image


def _cifti_labels(names: Sequence[str], colors: Any) -> dict[int, tuple[str, tuple[float, ...]]]:
    rgb = label_colors(len(names), colors).tolist()
    return {0: ("none", (0.0, 0.0, 0.0, 0.0))} | {
        key: (name, (*color, 1.0)) for key, (name, color) in enumerate(zip(names, rgb, strict=True), 1)
    }


def read_cifti_rows(path: Path) -> Rows:
    """What a dscalar or dlabel file holds, at every vertex of both hemispheres; a missing one has nothing.

    Raises:
        ValueError: a damaged file, or one without cortex.
    """
    import nibabel

    with reading(path, "CIFTI file"):
        image = nibabel.load(path)
        maps, places = image.header.get_axis(0), image.header.get_axis(1)
        data = np.asarray(image.dataobj)
        said = json.loads((image.header.matrix.metadata or {}).get(KEY, "{}"))
        sizes = [places.nvertices[name] for name in CIFTI.values() if name in places.nvertices]
        if not sizes:
            raise ValueError("it has no cortex")
        labelled = hasattr(maps, "label")
        full = np.full((len(data), 2 * sizes[0]), 0 if labelled else np.nan, dtype=np.int64 if labelled else np.float32)
        for number, name in enumerate(CIFTI.values()):
            chosen = places.name == name
            full[:, places.vertex[chosen] + number * sizes[0]] = data[:, chosen]
        names = [str(name) for name in maps.name]
        if not labelled:
            return Rows(names, list(full), said)
        categories, colors = {}, {}
        for name, table in zip(names, maps.label, strict=True):
            keys = range(1, max(table) + 1)
            categories[name] = [table[key][0] if key in table else str(key) for key in keys]
            colors[name] = np.array([table[key][1][:3] if key in table else (0.5,) * 3 for key in keys])
    return Rows(names, list(full), said, categories, colors)


def with_description(image: Any, said: str) -> Any:
    """A NIfTI image that says something of itself, in an extension of its header."""
    from nibabel.nifti1 import Nifti1Extension

    image.header.extensions.append(Nifti1Extension(COMMENT, json.dumps({KEY: json.loads(said)}).encode()))
    return image


def read_nifti_rows(path: Path) -> Rows:
    """What a NIfTI file holds, in the flattened volume; labels are those of a file that says what they mean."""
    import nibabel

    with reading(path, "NIfTI file"):
        image = nibabel.load(path)
        data = np.asarray(image.dataobj)
        said: Mapping[str, Any] = {}
        for one in image.header.extensions:
            if one.get_code() == COMMENT:
                text = bytes(
                    one.get_content() if isinstance(one.get_content(), bytes) else str(one.get_content()).encode()
                )
                said = _told(text) or said
    shape = data.shape[:3]
    rows = data.reshape(int(np.prod(shape)), -1).T
    kind = np.int64 if "categories" in said else np.float32
    names = said.get("names") or [str(place) for place in range(len(rows))]
    return Rows(list(names), [row.astype(kind) for row in rows], said, shape=shape, affine=np.asarray(image.affine))


def _told(text: bytes) -> Mapping[str, Any] | None:
    try:
        found = json.loads(text.rstrip(b"\x00").decode())
    except ValueError:
        return None
    return found.get(KEY) if isinstance(found, dict) else None

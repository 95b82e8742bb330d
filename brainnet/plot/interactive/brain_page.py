"""The interactive page: every map of a run on a brain that one can turn, unfold and ask, in one HTML file.

The page needs no server, no network and no installation, and it can be sent by mail. Nothing is computed here but
colors: numbers travel with 16 bits each, and the page shows those.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import numpy as np

from brainnet._checks import check_word
from brainnet.plot._canvas import to_numpy
from brainnet.plot._colors import SEQUENTIAL, cluster_colors, color_map, layer_colors, position_colors
from brainnet.plot.interactive._courses import PageCourse, packed_courses
from brainnet.plot.interactive._file import NONE, Planes, assemble, in_16_bits
from brainnet.plot.interactive._geometry import PAGE_SURFACES, Drawn, drawn
from brainnet.space import VERTICES_PER_HEMISPHERE, BrainSpace

KINDS = ("scalar", "categorical", "position", "rgba", "images")
FADE = (0.0, 0.2)  # colors are all but transparent where the score is at the first, opaque from the second on
FEW = 40  # categories that readers tell apart
THUMBNAIL = 224  # pixels of the longer side of an image
PICTURE = 1000  # of the longer side of a picture of a region
WHEEL = 33  # pixels of a side of the legend of positions


@dataclass(frozen=True, eq=False)
class PageMap:
    """Values of all voxels, and how they are shown.

    Args:
        values: (n_voxels,) numbers; (n_voxels,) integers from 0 on, -1 for none; (n_voxels, 2) places in the image in
            [-1, 1], x to the right and y down; (n_voxels, 3) or (n_voxels, 4) colors in 0..1; or (n_voxels, n_images)
            numbers, one for each of the run's ``images``, among which a slider chooses. NaN is no value.
        kind: "scalar", "categorical", "position", "rgba" or "images", in this order.
        meaning: one line under the name of the map.
        unit: what the numbers are, at the color bar.
        cmap: matplotlib color map of numbers.
        vmin, vmax: numbers of the lowest and the highest color; by default the least and the largest.
        labels: name of each category; by default 1, 2, ...
        colors: (n_categories, 3) RGB in 0..1 of the categories; "ordered" are those of layers, from first to last.
        group: heading under which the page lists the map; "" lists it first.
        short: its name under that heading and beside a bar, where the heading says the rest.
        fades: whether colors fade where the score is low.

    >>> from brainnet.space import occipital_vertices, surface_space
    >>> space = surface_space(occipital_vertices(10))
    >>> areas = PageMap(np.arange(space.n_voxels) % 2, "categorical", "which half", labels=["dorsal", "ventral"])
    >>> page(PageRun({"half": areas}, space, title="two halves")).count("ventral")
    1
    """

    values: Any
    kind: str = "scalar"
    meaning: str = ""
    unit: str = ""
    cmap: str = SEQUENTIAL
    vmin: float | None = None
    vmax: float | None = None
    labels: Sequence[str] = ()
    colors: Any = None
    group: str = ""
    short: str = ""
    fades: bool = True


@dataclass(frozen=True, eq=False)
class PageRun:
    """All that a page shows of one run. Maps are referred to by their names.

    Args:
        maps: name -> :class:`PageMap`, or (n_voxels,) numbers; at least one.
        space: where the voxels are; its ROIs are outlined. The word before a dot in a ROI's name is its atlas.
        title: name of the run.
        facts: what else is said of the run, name -> text.
        score: the map by which all others fade.
        ceiling: the map of noise ceilings, on the scale of ``score``.
        bars: heading -> maps whose values a panel shows as bars, for instance the weights of all layers.
        window: the map of positions and, where there is one, the map of widths (image half-width = 1).
        scale: the map of scales, 0 local to 1 global.
        images: name -> (height, width, 3) uint8; the first one stands for all where a window is drawn.
        pictures: name of a ROI -> (height, width, 3) uint8, what its panel shows of its channels.
        courses: heading -> :class:`PageCourse`, lines that a panel draws of each voxel, for instance over time.
        best: (n_voxels, k) integers, the images that drive each voxel most, best first; -1 for none.

    >>> from brainnet.space import occipital_vertices, surface_space
    >>> space = surface_space(occipital_vertices(10))
    >>> facts = {"images": "9,000 of NSD"}
    >>> run = PageRun({"r": np.linspace(0, 1, space.n_voxels)}, space, title="subject 1", facts=facts, score="r")
    >>> page(run).count("9,000 of NSD")
    1
    """

    maps: Mapping[str, Any]
    space: BrainSpace
    title: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    score: str | None = None
    ceiling: str | None = None
    bars: Mapping[str, Sequence[str]] = field(default_factory=dict)
    window: tuple[str, str | None] | None = None
    scale: str | None = None
    images: Mapping[str, np.ndarray] = field(default_factory=dict)
    best: Any = None
    pictures: Mapping[str, np.ndarray] = field(default_factory=dict)
    courses: Mapping[str, PageCourse] = field(default_factory=dict)


def page(*scenes: PageRun, surface: str = "inflated", title: str | None = None) -> str:
    """The text of an HTML file that shows one run, or several side by side with linked views.

    Args:
        scenes: one for each run, see :class:`PageRun`.
        surface: "pial", "inflated" or "flat", what is shown first.
        title: of the page; by default those of the scenes.

    Returns:
        HTML, the same for the same scenes. Write it with encoding UTF-8.

    Raises:
        ValueError: no scene, no map, values of another length than the space (the message says which mesh they would
            fit), an unknown kind, surface or name of a map, or a space without a place on a brain.

    >>> import torch
    >>> from brainnet.space import occipital_vertices, surface_space
    >>> space = surface_space(occipital_vertices(15))
    >>> r = PageMap(torch.linspace(0, 1, space.n_voxels), unit="test r")
    >>> html = page(PageRun({"r": r}, space, title="example"))
    >>> html.startswith("<!doctype html>"), "https://" in html.split("<script>")[0]
    (True, False)
    """
    check_word("surface", surface, PAGE_SURFACES)
    if not scenes:
        raise ValueError("a page shows one scene at least: page(PageRun(maps, space)).")
    planes, brains, packed = Planes(), [], []
    for scene in scenes:
        where = drawn(scene.space)
        brain = _brain(where, planes)
        if brain not in brains:
            brains.append(brain)
        packed.append({"brain": brains.index(brain), **_scene(scene, where, planes)})
    titles = " | ".join(scene.title for scene in scenes if scene.title)
    title = title if title is not None else titles or "brainnet"
    header = {"title": title, "surface": PAGE_SURFACES.index(surface), "brains": brains, "scenes": packed}
    return assemble(title, header, planes)


# ---------------------------------------------------------------------- the brain


def _brain(where: Drawn, planes: Planes) -> dict[str, Any]:
    geometry = where.geometry
    surfaces = []
    for kind in PAGE_SURFACES:
        points = geometry.points[kind].astype(np.float64)
        low, span = points.min(axis=0), np.maximum(np.ptp(points, axis=0), 1e-6)
        plane = planes.add(((points - low) / span * 65535).round().astype(np.uint16))
        surfaces.append({"plane": plane, "low": low.round(4).tolist(), "span": span.round(4).tolist()})
    depth = 1 / (1 + np.exp(-6 * geometry.depth))  # 0 on gyri, 1 in sulci
    return {
        "mesh": where.mesh,
        "n_side": VERTICES_PER_HEMISPHERE[where.mesh],
        "ids": planes.add(geometry.ids.astype(np.uint32)),
        "n_left": geometry.n_left,
        "surfaces": surfaces,
        "faces": planes.add(geometry.faces.astype(np.uint32)),
        "n_flat": geometry.n_flat,
        "depth": planes.add((255 * depth).round().astype(np.uint8)),
    }


# ---------------------------------------------------------------------- the run


def _scene(scene: PageRun, where: Drawn, planes: Planes) -> dict[str, Any]:
    """What the page is told of one run; voxels that no vertex shows are left out."""
    if not scene.maps:
        raise ValueError("there is no map to show: maps is empty.")
    maps = {str(name): one if isinstance(one, PageMap) else PageMap(one) for name, one in scene.maps.items()}
    used = np.unique(where.column[where.column >= 0])
    place = np.full(scene.space.n_voxels + 1, -1)  # the last one is for column -1
    place[used] = np.arange(len(used))
    said = {
        "title": scene.title,
        "facts": [[str(name), str(text)] for name, text in scene.facts.items()],
        "method": where.method,
        "n_voxels": scene.space.n_voxels,
        "n_shown": len(used),
        "voxels": planes.add(used.astype(np.uint32)),
        "column": planes.add((place[where.column] + 1).astype(np.uint32)),
        "maps": [_map(name, one, scene, used, planes) for name, one in maps.items()],
        "rois": _rois(scene, used, planes),
        "fade": list(FADE),
        **_roles(scene, maps),
    }
    if scene.courses:
        said["courses"] = packed_courses(scene.courses, scene.space.n_voxels, used, planes)
    if scene.images:
        said["images"] = [[str(name), _thumbnail(image)] for name, image in scene.images.items()]
        if scene.best is not None:
            best = to_numpy(scene.best, np.int64).reshape(scene.space.n_voxels, -1)[used]
            said["best"] = planes.add(np.where(best < 0, NONE, best).astype(np.uint16))
    return said


def _roles(scene: PageRun, maps: Mapping[str, PageMap]) -> dict[str, Any]:
    """Which maps fade others, stand in the panel, and so on, by their numbers."""
    names = list(maps)

    def number(name: str | None, kind: str = "scalar") -> int | None:
        if name is None:
            return None
        check_word("map", name, names)
        if maps[name].kind != kind:
            raise ValueError(f"the map {name!r} is {maps[name].kind}, but is used as {kind}.")
        return names.index(name)

    position, width = scene.window or (None, None)
    return {
        "score": number(scene.score),
        "ceiling": number(scene.ceiling),
        "scale": number(scene.scale),
        "position": number(position, "position"),
        "width": number(width),
        "bars": [[heading, [number(name) for name in listed]] for heading, listed in scene.bars.items()],
    }


def _map(name: str, one: PageMap, scene: PageRun, used: np.ndarray, planes: Planes) -> dict[str, Any]:
    check_word("kind of map", one.kind, KINDS)
    values = to_numpy(one.values)
    _check_length(name, values, one.kind, scene)
    words = {key: getattr(one, key) for key in ("kind", "meaning", "unit", "group", "short", "fades")}
    said = {"name": name, **words}
    if one.kind == "categorical":
        return said | _categories(name, values.reshape(len(values)), one, used, planes)
    values = values.astype(np.float64)[used]
    if one.kind == "position":
        x, y = np.meshgrid(*[np.linspace(-1, 1, WHEEL)] * 2)
        wheel = _bytes(position_colors(np.stack([x, y], axis=-1))).reshape(-1, 3)
        return said | {
            "values": planes.add(in_16_bits(values, -1.0, 1.0)),
            "low": -1.0,
            "high": 1.0,
            "colors": planes.add(_bytes(_with_alpha(position_colors(values)))),
            "wheel": planes.add(wheel),
        }
    if one.kind == "rgba":
        return said | {"colors": planes.add(_bytes(_with_alpha(values)))}
    for word in ("vmin", "vmax"):
        if getattr(one, word) is not None and not np.isfinite(getattr(one, word)):
            raise ValueError(f"{word} of map {name!r} is {getattr(one, word)}; give a finite number, or None.")
    frames = {}
    if one.kind == "images":
        frames = {"kind": "scalar", "frames": values.shape[1]}
    else:
        values = values.reshape(len(values))
    known = values[np.isfinite(values)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)
    return said | {
        "values": planes.add(in_16_bits(values, low, high)),
        "low": low,
        "high": high,
        "vmin": low if one.vmin is None else float(one.vmin),
        "vmax": high if one.vmax is None else float(one.vmax),
        "n_known": len(known),
        "lut": planes.add(_bytes(color_map(one.cmap)(np.arange(256))[:, :3])),
        **frames,
    }


def _check_length(name: str, values: np.ndarray, kind: str, scene: PageRun) -> None:
    """Refuses values of another shape, and says which mesh they would fit."""
    space = scene.space
    widths = {"scalar": (), "categorical": (), "position": (2,), "rgba": (3, 4), "images": (len(scene.images),)}[kind]
    if widths == (0,):
        raise ValueError(f"map {name!r} has a value for each image, but the run has no images.")
    fits = values.shape[1:] in ([(), (1,)] if not widths else [(width,) for width in widths])
    if len(values.shape) and len(values) == space.n_voxels and fits:
        return
    length = len(values) if len(values.shape) else 0
    meshes = [f"{mesh} ({n} a hemisphere)" for mesh, n in VERTICES_PER_HEMISPHERE.items() if length in (n, 2 * n)]
    hint = f" {length} values would fit " + ", ".join(meshes) + "." if meshes else ""
    expected = f"({space.n_voxels},)" if not widths else f"({space.n_voxels}, {' or '.join(map(str, widths))})"
    raise ValueError(f"map {name!r} has shape {values.shape}, but {kind} values of {space!r} are {expected}.{hint}")


def _categories(name: str, values: np.ndarray, one: PageMap, used: np.ndarray, planes: Planes) -> dict[str, Any]:
    whole = np.where(np.isfinite(values), values, -1).round().astype(np.int64)
    if not np.array_equal(whole, np.where(np.isfinite(values), values, -1)):
        raise ValueError(f"map {name!r} is categorical, but not all of its values are whole numbers.")
    count = max(len(one.labels), int(whole.max(initial=-1)) + 1)
    if count >= NONE:
        raise ValueError(f"map {name!r} has {count} categories; a page shows fewer than {NONE}.")
    labels = [str(label) for label in one.labels] if len(one.labels) else [str(k + 1) for k in range(count)]
    if len(labels) < count:
        raise ValueError(f"map {name!r} has categories up to {count - 1}, but {len(labels)} labels.")
    made = {"None": _category_colors, "ordered": layer_colors}.get(str(one.colors)) if not np.ndim(one.colors) else None
    colors = to_numpy(one.colors) if made is None else made(count)
    if len(colors) < count:
        raise ValueError(f"map {name!r} has {count} categories, but {len(colors)} colors.")
    whole = whole[used]
    return {
        "values": planes.add(np.where(whole < 0, NONE, whole).astype(np.uint16)),
        "labels": labels,
        "present": np.unique(whole[whole >= 0]).tolist(),
        "palette": ["#" + "".join(f"{part:02x}" for part in _bytes(color)) for color in colors[:count]],
    }


def _category_colors(count: int) -> np.ndarray:
    """(count, 3) RGB; beyond forty, hues by the golden ratio, so that neighbors in the list differ."""
    from matplotlib.colors import hsv_to_rgb

    if count <= FEW:
        return cluster_colors(count)
    k = np.arange(count)
    return hsv_to_rgb(np.stack([k * 0.618034 % 1, 0.35 + 0.25 * (k % 3) / 2, 0.9 - 0.3 * (k % 4) / 3], axis=1))


def _rois(scene: PageRun, used: np.ndarray, planes: Planes) -> list[dict[str, Any]]:
    """Name, atlas and mask of every ROI that has a voxel on the page, eight voxels in a byte."""
    found = []
    for name, mask in scene.space.rois.items():
        inside = mask.numpy()[used]
        if inside.any():
            packed = planes.add(np.packbits(inside, bitorder="little"))
            of_atlas = re.fullmatch(r"(?P<atlas>[A-Za-z][\w-]*)\.(?P<name>.+)", str(name))
            words = of_atlas.groupdict() if of_atlas else {"atlas": "", "name": str(name)}
            picture = {"picture": _thumbnail(scene.pictures[name], PICTURE)} if name in scene.pictures else {}
            found.append({**words, "mask": packed, "n": int(mask.sum()), **picture})
    return found


def _with_alpha(colors: np.ndarray) -> np.ndarray:
    """(n, 4) of colors (n, 3) or (n, 4); transparent where a part is NaN."""
    known = np.isfinite(colors).all(axis=1, keepdims=True)
    alpha = colors[:, 3:] if colors.shape[1] == 4 else np.ones((len(colors), 1))
    return np.where(known, np.concatenate([colors[:, :3], alpha], axis=1), 0)


def _bytes(colors: np.ndarray) -> np.ndarray:
    return (255 * np.clip(np.nan_to_num(np.asarray(colors, dtype=np.float64)), 0, 1)).round().astype(np.uint8)


def _thumbnail(image: Any, side: int = THUMBNAIL) -> str:
    from PIL import Image

    picture = Image.fromarray(np.asarray(to_numpy(image), dtype=np.uint8)).convert("RGB")
    picture.thumbnail((side, side))
    file = BytesIO()
    picture.save(file, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()

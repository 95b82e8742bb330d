"""Atlases: published label maps of the cortex as regions of interest, by their names.

``read_atlas`` reads the files; ``space.with_atlas(atlas, "V1*")`` gives a space its areas. Both halves of an area have
one name: labels are matched by what they are called, never by their numbers, which differ between files.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from brainnet._checks import matching_names
from brainnet._files import reading
from brainnet.space.areas import known_atlas
from brainnet.space.brain_maps import (
    SIDES,
    BrainMap,
    hemisphere_files,
    is_cifti,
    placed,
    read_annot,
    read_cifti,
    read_gifti,
    read_mgh,
    read_volume,
    side_of,
)
from brainnet.space.brain_space import BrainSpace
from brainnet.space.own_surfaces import is_own, read_label, vertex_counts

_NO_AREA = re.compile(r"\?+|unknown|none|background.*|.*medial[_ ]?wall.*|corpuscallosum|unlabell?ed", re.IGNORECASE)
_OF_A_SIDE = re.compile(r"(?P<side>[LR]|lh|rh)[._](?P<name>.+?)(_ROI(-[lr]h)?)?")
_SUFFIX = re.compile(r"(\.v\d+_\d+|_dil|_order)?(\.(mgz|mgh|annot|label|func|shape|dlabel|nii|gz|gii))+$")


@dataclass(frozen=True, eq=False)
class Atlas:
    """Areas of a mesh or a volume.

    Args:
        name: what its regions are prefixed with, as in "Wang2015.V1v"; "" leaves their names bare.
        labels: a map of whole numbers, 0 for no area.
        areas: label -> name; a name stands once.

    >>> labels = BrainMap(np.array([0, 1, 2, 1, 0, 2]), 3)
    >>> atlas = Atlas("Toy", labels, {1: "V1", 2: "hV4"})
    >>> atlas, atlas.find("*v4")
    (Toy(2 areas: V1, hV4), ('hV4',))
    """

    name: str
    labels: BrainMap
    areas: Mapping[int, str]

    def find(self, pattern: str = "*") -> tuple[str, ...]:
        """The areas whose name, with or without the atlas' own in front, is like ``pattern`` ("V1*"), case aside.

        Raises:
            ValueError: there are none; names the nearest.
        """
        return matching_names(self.areas.values(), pattern, what=f"area of {self.name or 'the atlas'}", front=self.name)

    def masks(
        self, space: BrainSpace, areas: str | Sequence[str] = "*", *, vertices: Tensor | None = None,
        resample: bool = False,
    ) -> dict[str, Tensor]:  # fmt: skip
        """Region -> (n_voxels,) bool, of the areas that own a column of the space.

        Args:
            space: where the columns are.
            areas: a pattern or several, of :meth:`find`.
            vertices, resample: see :meth:`BrainMap.at`.

        Raises:
            ValueError: the space is elsewhere, an area is unknown, or none of those asked for has a column.
        """
        patterns = [areas] if isinstance(areas, str) else list(areas)
        wanted = {name for pattern in patterns for name in self.find(pattern)}
        labels = self.labels.at(space, vertices, resample).nan_to_num()
        found = {name: labels == key for key, name in self.areas.items() if name in wanted}
        found = {f"{self.name}.{name}" if self.name else name: mask for name, mask in found.items() if mask.any()}
        if not found:
            raise ValueError(f"none of the {space.n_voxels} voxels lies in an area of {self!r} named {areas!r}.")
        return found

    def resampled(self, mesh: str, spheres: str | os.PathLike | Sequence[str | os.PathLike] | None = None) -> Atlas:
        """The atlas on another mesh, see :meth:`BrainMap.resampled`."""
        return replace(self, labels=self.labels.resampled(mesh, spheres))

    def __repr__(self) -> str:
        names = list(self.areas.values())
        return f"{self.name or 'Atlas'}({len(names)} areas: {', '.join(names[:6])}{', ...' * (len(names) > 6)})"


def read_atlas(
    path: str | os.PathLike,
    right: str | os.PathLike | None = None,
    *,
    names: Mapping[int, str] | str | os.PathLike | None = None,
    name: str | None = None,
    mesh: str | None = None,
) -> Atlas:
    """The atlas in one file, or in one per hemisphere.

    Args:
        path: ``.annot``, ``.label.gii``, ``.mgz`` or ``.mgh`` (a hemisphere each, of fsaverage or of a person's own
            surface), ``.dlabel.nii`` (both, fsLR), or a volume ``.nii[.gz]``.
        right: the file of the right hemisphere; by default the one beside ``path`` of the same name but for the side.
        names: label -> name, or a file of "number name" lines; needed where neither the file nor its name tells.
            Wang 2015, Kastner 2015, Benson 2014 (varea) and HCP-MMP1 (Glasser 2016) are known by their file names.
        name: of the atlas, in front of its regions; by default that of a known atlas, or of the file.
        mesh: where the number of vertices does not say it.

    Raises:
        FileNotFoundError: a file is missing, or that of the other hemisphere.
        ValueError: labels that are no whole numbers or have no name, or hemispheres exchanged.

    >>> import nibabel, tempfile
    >>> file = Path(tempfile.mkdtemp()) / "mine.nii.gz"
    >>> nibabel.save(nibabel.Nifti1Image(np.arange(8, dtype=np.int16).reshape(2, 2, 2) % 3, np.eye(4)), file)
    >>> read_atlas(file, names={1: "V1", 2: "hV4"})
    mine(2 areas: V1, hV4)
    """
    path = Path(path)
    known = known_atlas(path.name)
    if isinstance(names, str | os.PathLike):
        names = read_names(Path(names))
    usual = dict(enumerate(known.areas, 1)) if known is not None else {}  # of files that have no names of their own
    if name is None:
        name = known.name if known is not None else re.sub(rf"^({'|'.join(SIDES)})\.", "", _SUFFIX.sub("", path.name))
    if is_cifti(path):
        values, n_left, own = read_cifti(path)
        halves = [(values[:n_left], names or own), (values[n_left:], names or own)]
    elif path.name.endswith((".nii", ".nii.gz")):
        values, affine = read_volume(path)
        half = (values.reshape(-1), names or _table_beside(path) or usual)
        labels, areas = _joined([half], path, ("",))
        return Atlas(name, BrainMap(labels.reshape(values.shape), affine=affine, source=path.name), areas)
    else:
        pair = hemisphere_files(path, right)
        halves = [(v, names or own or usual) for v, own in map(_half, pair, SIDES)]
    labels, areas = _joined(halves, path, SIDES)
    return Atlas(name, placed(labels, len(halves[0][0]), mesh, path.name), areas)


def label_regions(space: BrainSpace, paths: Sequence[str | os.PathLike]) -> dict[str, Tensor]:
    """Region -> (n_voxels,) bool of FreeSurfer's ``.label`` files: ``space.with_rois(label_regions(space, paths))``.

    Args:
        space: a surface whose vertices the files are of: a person's own, or fsaverage.
        paths: ``lh.V1_exvivo.label`` and ``rh.V1_exvivo.label`` are both halves of the region "V1_exvivo".

    Raises:
        ValueError: a volume, a name without hemisphere, or a vertex that the surface has not.
    """
    if space.mesh is None:
        raise ValueError(f"labels are of the vertices of a surface, and {space!r} has none.")
    n = space.n_mesh_vertices // 2
    counts = vertex_counts(space.mesh) if is_own(space.mesh) else (n, n)
    found: dict[str, Tensor] = {}
    for path in map(Path, paths):
        side = side_of(path.name)
        if side is None:
            raise ValueError(f"{path.name} names no hemisphere: expected lh or rh, as in lh.V1_exvivo.label.")
        number, vertices = SIDES.index(side), read_label(path)
        if vertices.max() >= counts[number]:
            raise ValueError(f"{path} has vertex {vertices.max()}; {side} of {space!r} has {counts[number]}.")
        name = re.sub(rf"(^|[._])({'|'.join(SIDES)})[._]", "", path.name.removesuffix(".label"))
        mask = torch.isin(space.vertices, torch.from_numpy(vertices + number * n))
        found[name] = found[name] | mask if name in found else mask
    return found


def read_areas(given: str | os.PathLike) -> tuple[Atlas, list[str]]:
    """The atlas that "FILE" or "FILE=PATTERNS" names, and the patterns of areas that are wanted, "*" for all.

    Args:
        given: as ``--atlas`` is written, "lh.wang15_mplbl.mgz=V1*,hV4" for instance.

    Raises:
        FileNotFoundError, ValueError: as :func:`read_atlas`, or a pattern that no area is like.

    >>> import nibabel, tempfile
    >>> file = Path(tempfile.mkdtemp()) / "mine.nii.gz"
    >>> nibabel.save(nibabel.Nifti1Image(np.arange(8, dtype=np.int16).reshape(2, 2, 2), np.eye(4)), file)
    >>> read_areas(f"{file}=1,3")
    (mine(7 areas: 1, 2, 3, 4, 5, 6, ...), ['1', '3'])
    """
    file, _, patterns = str(given).rpartition("=")
    if not file or len(Path(patterns).parts) > 1 or Path(given).is_file():  # the sign is part of a name
        file, patterns = str(given), ""
    atlas = read_atlas(file)
    areas = [pattern.strip() for pattern in patterns.split(",")] if patterns else ["*"]
    for pattern in areas:
        atlas.find(pattern)  # refuses a name that no area has
    return atlas, areas


def _half(path: Path, side: str) -> tuple[np.ndarray, dict[int, str]]:
    if path.suffix == ".annot":
        return read_annot(path)
    return read_gifti(path, side) if path.suffix == ".gii" else (read_mgh(path), _table_beside(path))


def _table_beside(path: Path) -> dict[int, str]:
    """The names in a table beside a map: ``<map>.ctab``, also without its hemisphere, or ``.txt`` or ``.tsv``."""
    bare = re.sub(rf"^({'|'.join(SIDES)})\.", "", path.name)
    stems = {stem for name in (path.name, bare) for stem in (name, _SUFFIX.sub("", name))}
    tables = [path.with_name(f"{stem}{suffix}") for stem in sorted(stems) for suffix in (".ctab", ".txt", ".tsv")]
    return next((read_names(table) for table in tables if table.is_file()), {})


def _joined(
    halves: Sequence[tuple[np.ndarray, Mapping[int, str]]], path: Path, sides: Sequence[str]
) -> tuple[np.ndarray, dict[int, str]]:
    """Labels of all halves, renumbered so that one name has one number, and these names, in the order of the tables."""
    numbers: dict[str, int] = {}
    whole = [_whole(values, path) for values, _ in halves]
    there = [set(np.unique(half[half > 0]).tolist()) for half in whole]
    renumbered = []
    for half, keys, (_, names), side in zip(whole, there, halves, sides, strict=True):
        nameless = sorted(keys - set(names)) if names else []
        if nameless:
            raise ValueError(f"{path}: {side or 'the volume'} holds labels {nameless[:5]}, which have no name.")
        labels = np.zeros(len(half), dtype=np.int32)
        for key in [key for key in names if key in keys] if names else sorted(keys):
            area = _area(names[key], side, path) if names else str(key)
            if area is not None:
                labels[half == key] = numbers.setdefault(area, len(numbers) + 1)
        renumbered.append(labels)
    if not numbers:
        raise ValueError(f"{path} holds no label above 0: it has no areas.")
    return np.concatenate(renumbered), {number: area for area, number in numbers.items()}


def _whole(values: np.ndarray, path: Path) -> np.ndarray:
    """Labels as whole numbers; NaN, where an atlas says nothing, is 0."""
    values = np.nan_to_num(np.asarray(values, dtype=np.float64))
    whole = values.astype(np.int64)
    if (values != whole).any():
        raise ValueError(f"{path} holds fractions; an atlas holds whole numbers. A map of values is read by read_map.")
    return whole


def _area(name: str, side: str, path: Path) -> str | None:
    """What an area is called in either hemisphere; None where a name means no area."""
    if _NO_AREA.fullmatch(name):
        return None
    found = _OF_A_SIDE.fullmatch(name)
    if found is None or not side:
        return name
    if side != ("lh" if found["side"].lower().startswith("l") else "rh"):
        raise ValueError(f"{path}: {name!r} lies in the other hemisphere ({side}): the files are exchanged.")
    return found["name"]


def read_names(path: Path) -> dict[int, str]:
    """Label -> name, of a table of "number name" lines, or of Schaefer's, whose names and numbers alternate.

    Further words of a line, a header and label 0 are left out.

    Raises:
        ValueError: a line of another form; names the file and the line.
    """
    names: dict[int, str] = {}
    waiting = None
    with reading(path, "table of labels and names"):
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or words[0].startswith("#") or (number == 1 and words[0].lower() in ("index", "id", "label")):
            continue
        if waiting is not None and words[0].isdigit():
            names[int(words[0])], waiting = waiting, None
        elif len(words) >= 2 and words[0].isdigit():
            names[int(words[0])] = words[1]
        elif waiting is None and len(words) == 1 and not words[0].isdigit():
            waiting = words[0]
        else:
            raise ValueError(f"{path}, line {number}: expected a label and a name, got {line.strip()[:60]!r}.")
    if waiting is not None:
        raise ValueError(f"{path}: {waiting!r} has no number.")
    if not names:
        raise ValueError(f"{path} names no label; expected a line for each, a number and a name.")
    return {label: name for label, name in names.items() if label > 0}

"""Maps that others publish: a value or a label for every vertex of a mesh or every voxel of a volume.

``read_map`` reads one, in one file or one per hemisphere; :meth:`BrainMap.at` gives its values at the columns of a
space, once both are known to be the same places. Nothing is resampled unless it is asked for.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brainnet._files import reading
from brainnet.space.brain_space import VERTICES_PER_HEMISPHERE, BrainSpace
from brainnet.space.own_surfaces import is_own, vertex_counts
from brainnet.space.spheres import linear_values, nearest_points, read_sphere

SIDES = ("lh", "rh")
SURFACE_SUFFIXES = (".mgz", ".mgh", ".annot", ".gii")
_CIFTI = (".dlabel.nii", ".dscalar.nii", ".dtseries.nii")
_VOLUMES = (".nii", ".nii.gz")
_SAME_GRID = 1e-3  # mm
# how files name their hemisphere: (left, right), each where a word begins and ends
_SIDE_WORDS = (("lh", "rh"), ("hemi-L", "hemi-R"), ("L", "R"), ("left", "right"), ("Left", "Right"))


@dataclass(frozen=True, eq=False)
class BrainMap:
    """Values of a whole mesh, both hemispheres, or of a whole volume.

    Args:
        values: (n_vertices,) with the left hemisphere first, or (X, Y, Z); NaN where the map says nothing.
        n_left: vertices of the left hemisphere; 0 for a volume.
        mesh: name of the mesh, as of ``BrainSpace``; None for a volume, and for a person's own surface.
        affine: (4, 4) of a volume.
        source: the files, for messages.

    >>> height = BrainMap(np.arange(20484.0), n_left=10242, mesh="fsaverage5")
    >>> height.at(BrainSpace(vertices=torch.tensor([3, 10242]), mesh="fsaverage5")).tolist()
    [3.0, 10242.0]
    """

    values: np.ndarray
    n_left: int = 0
    mesh: str | None = None
    affine: np.ndarray | None = None
    source: str = "the map"

    def at(self, space: BrainSpace, vertices: Tensor | None = None, resample: bool = False) -> Tensor:
        """(n_voxels,) float64, the map's value at each column of a space.

        The vertices of a coarser fsaverage are the first ones of a finer, so a map on fsaverage serves all of them.

        Args:
            space: a surface on the map's mesh, or on a coarser fsaverage; or a volume on the map's grid.
            vertices: (n_voxels,) where the columns lie on the map's own surface (right ones count on from the left
                ones), for a space that does not say so, such as one person's native surface.
            resample: take the value at the center of each voxel from a volume on another grid. The millimeters of
                both must mean the same, as those of two volumes in MNI152 do.

        Raises:
            ValueError: the places of the space are not the map's; says what each has.
        """
        if self.affine is not None:
            return self._at_voxels(space, resample)
        n = len(self.values)
        if vertices is not None:
            places = np.asarray(vertices)
            if places.shape != (space.n_voxels,) or (len(places) and not 0 <= places.min() <= places.max() < n):
                raise ValueError(
                    f"vertices must be ({space.n_voxels},) within 0..{n - 1}, as {self.source} has {self.n_left} and "
                    f"{n - self.n_left} vertices; got shape {places.shape}"
                    + (f" from {places.min()} to {places.max()}." if places.size else ".")
                )
            return torch.from_numpy(self.values[places].astype(np.float64))
        if space.mesh is None:
            raise ValueError(f"{self.source} is a surface of {n // 2} vertices a hemisphere, but {space!r} has none.")
        per_side = VERTICES_PER_HEMISPHERE[space.mesh]
        nested = _is_fsaverage(space.mesh) and _is_fsaverage(self.mesh) and per_side <= self.n_left
        same = is_own(space.mesh) and vertex_counts(space.mesh) == (self.n_left, n - self.n_left)
        if self.mesh != space.mesh and not nested and not same:
            raise ValueError(
                f"{self.source} is of {self.mesh or 'a surface of its own'} ({self.n_left} and {n - self.n_left} "
                f"vertices) and the space of {space.mesh} ({per_side} a hemisphere): bring it there with "
                f"resampled({space.mesh!r}), or take the same map for {space.mesh}."
            )
        places = space.vertices.numpy()
        return torch.from_numpy(self.values[places % per_side + self.n_left * (places // per_side)].astype(np.float64))

    def _at_voxels(self, space: BrainSpace, resample: bool) -> Tensor:
        if space.mask is None:
            raise ValueError(f"{self.source} is a volume {self._shape}, but {space!r} is none.")
        flat, affine = self.values.reshape(-1).astype(np.float64), space.affine.numpy()
        if self.values.shape == tuple(space.mask.shape) and np.allclose(affine, self.affine, rtol=0, atol=_SAME_GRID):
            return torch.from_numpy(flat[space.volume_index.numpy()])
        if not resample:
            raise ValueError(
                f"{self.source} is on another grid ({self._shape}) than the responses "
                f"({'x'.join(map(str, space.mask.shape))}), or its affine differs. Where both are in one space, such "
                "as MNI152, pass resample=True: each voxel takes the value at its center."
            )
        inverse = np.linalg.inv(self.affine)
        ijk = np.rint(space.coords.double().numpy() @ inverse[:3, :3].T + inverse[:3, 3]).astype(np.int64)
        inside = ((ijk >= 0) & (ijk < self.values.shape)).all(1)
        values = np.full(space.n_voxels, np.nan)
        values[inside] = self.values[tuple(ijk[inside].T)]
        return torch.from_numpy(values)

    @property
    def _shape(self) -> str:
        return "x".join(map(str, self.values.shape))

    def resampled(
        self, mesh: str, spheres: str | os.PathLike | Sequence[str | os.PathLike] | None = None, linear: bool = False
    ) -> BrainMap:
        """The map on another mesh: every vertex takes the value of the nearest one on the sphere.

        Between meshes of fsaverage nothing more is needed. fsLR and fsaverage have spheres of their own; the files
        that lay the one upon the other are published by the Human Connectome Project (such as
        ``fs_LR-deformed_to-fsaverage.L.sphere.32k_fs_LR.surf.gii``) and are not part of brainnet.

        Args:
            mesh: a name of ``VERTICES_PER_HEMISPHERE``.
            spheres: left and right sphere of the fsLR mesh, laid upon fsaverage, as GIfTI files, or their folder.
            linear: take the mean of the three corners of the triangle that a vertex lies in, each counted by how near
                it is. This is for numbers; labels have no means.

        Raises:
            ValueError: a volume, an unknown mesh, or two families of meshes without ``spheres``; or spheres of neither.
            FileNotFoundError: the folder has no such spheres.
        """
        if self.mesh is None:
            raise ValueError(f"{self.source} is on no known mesh: only maps on fsaverage and fsLR are resampled.")
        if mesh not in VERTICES_PER_HEMISPHERE:
            raise ValueError(f"Unknown mesh {mesh!r}. Known: {', '.join(VERTICES_PER_HEMISPHERE)}.")
        if mesh == self.mesh:
            return self
        parts, halves = [], (self.values[: self.n_left], self.values[self.n_left :])
        for side, half in enumerate(halves):
            own, wanted = (read_sphere(name, side, spheres) for name in (self.mesh, mesh))
            parts.append(linear_values(half, own, wanted) if linear else half[nearest_points(own, wanted)])
        return BrainMap(np.concatenate(parts), len(parts[0]), mesh, source=f"{self.source}, resampled to {mesh}")


def _is_fsaverage(mesh: str | None) -> bool:
    return mesh is not None and mesh.startswith("fsaverage")


# ---- files --------------------------------------------------------------------------------------------------------


def read_map(path: str | os.PathLike, right: str | os.PathLike | None = None, mesh: str | None = None) -> BrainMap:
    """Values from ``.mgz``, ``.mgh``, ``.gii`` (a hemisphere each), ``.dscalar.nii`` or ``.nii[.gz]`` files.

    Args:
        path: the file, or that of the left hemisphere.
        right: that of the right hemisphere; by default the file beside it of the same name but for the side.
        mesh: where the number of vertices does not say it, such as "fsLR32k".

    Raises:
        FileNotFoundError: a file is missing, or that of the other hemisphere.
        ValueError: another format, hemispheres exchanged, or a number of vertices that the mesh does not have.

    >>> import nibabel, tempfile
    >>> file = Path(tempfile.mkdtemp()) / "prf_size.nii.gz"
    >>> nibabel.save(nibabel.Nifti1Image(np.full((2, 2, 2), 1.5, np.float32), np.eye(4)), file)
    >>> read_map(file).at(BrainSpace(mask=torch.ones(2, 2, 2, dtype=torch.bool), affine=torch.eye(4)))[:3]
    tensor([1.5000, 1.5000, 1.5000], dtype=torch.float64)
    """
    path = Path(path)
    if is_cifti(path):
        values, n_left, _ = read_cifti(path)
        return placed(values, n_left, mesh, path.name)
    if not path.name.endswith(SURFACE_SUFFIXES):
        values, affine = read_volume(path)
        return BrainMap(values.astype(np.float64), affine=affine, source=path.name)
    halves = [_plain_values(one, side) for side, one in zip(SIDES, hemisphere_files(path, right), strict=True)]
    return placed(np.concatenate(halves), len(halves[0]), mesh, path.name)


def placed(values: np.ndarray, n_left: int, mesh: str | None, source: str) -> BrainMap:
    """The map of a surface, once its number of vertices is that of the mesh; a surface of no known one is a person's.

    Raises:
        ValueError: another number of vertices than the mesh has.
    """
    n_right = len(values) - n_left
    if mesh is None:
        mesh = next((name for name, n in VERTICES_PER_HEMISPHERE.items() if n == n_left == n_right), None)
        if _is_fsaverage(mesh) and re.search(r"fs_?lr", source.lower()):
            raise ValueError(
                f"{source} says fsLR and has as many vertices as {mesh}, {n_left}, which are others: take the map of "
                "fsLR with 32k vertices, or pass mesh= where the name is wrong."
            )
    elif mesh not in VERTICES_PER_HEMISPHERE or not VERTICES_PER_HEMISPHERE[mesh] == n_left == n_right:
        raise ValueError(
            f"{source} has {n_left} and {n_right} vertices; expected {VERTICES_PER_HEMISPHERE.get(mesh)} a hemisphere, "
            f"of {mesh}. Known: {', '.join(VERTICES_PER_HEMISPHERE)}."
        )
    return BrainMap(values, n_left, mesh, source=source)


def hemisphere_files(path: Path, right: str | os.PathLike | None = None) -> tuple[Path, Path]:
    """The files of the left and the right hemisphere, of which either may be given.

    Raises:
        FileNotFoundError: one of them is missing.
        ValueError: no word in the name tells the hemisphere, or two files in the wrong order.
    """
    told = side_of(path.name)
    if right is not None:
        pair = (path, Path(right))
        if told == "rh" or side_of(pair[1].name) == "lh":
            raise ValueError(f"{path.name} and {pair[1].name}: give the left hemisphere first, then the right.")
    elif told is None:
        if not path.is_file():
            raise FileNotFoundError(f"no file {path}.")
        raise ValueError(f"{path.name} names no hemisphere (lh, hemi-L, L): give the left file, and right=.")
    else:
        other = path.with_name(_other_side(path.name))
        pair = (path, other) if told == "lh" else (other, path)
    for one in pair:
        if not one.is_file():
            raise FileNotFoundError(f"no {one}: a map of a surface has a file for each hemisphere.")
    return pair


def side_of(name: str) -> str | None:
    """The hemisphere, "lh" or "rh", that a word of a file's name tells; None where none does.

    >>> side_of("rh.wang15_mplbl.v1_0.mgz"), side_of("atlas.L.label.gii"), side_of("V1.label.gii")
    ('rh', 'lh', None)
    """
    for words in _SIDE_WORDS:
        for side, word in zip(SIDES, words, strict=True):
            if re.search(_word(word), name):
                return side
    return None


def _other_side(name: str) -> str:
    for words in _SIDE_WORDS:
        for one, other in (words, words[::-1]):
            if re.search(_word(one), name):
                return re.sub(_word(one), other, name, count=1)
    raise AssertionError(name)


def _word(word: str) -> str:
    return rf"(?<![A-Za-z0-9]){word}(?![A-Za-z0-9])"


def is_cifti(path: Path) -> bool:
    """Whether a file holds both hemispheres of fsLR."""
    return path.name.endswith(_CIFTI)


def _plain_values(path: Path, side: str) -> np.ndarray:
    if path.suffix == ".annot":
        raise ValueError(f"{path.name} holds labels: read it with read_atlas.")
    return read_gifti(path, side)[0] if path.suffix == ".gii" else read_mgh(path)


def read_mgh(path: Path) -> np.ndarray:
    """(n_vertices,) float64 of an ``.mgz`` or ``.mgh`` file of one map."""
    import nibabel

    with reading(path, "MGH file"):
        values = np.asarray(nibabel.load(path).dataobj)
    if max(values.shape) != values.size:
        raise ValueError(f"{path} has shape {values.shape}; expected one value for each vertex.")
    return values.reshape(-1).astype(np.float64)


def read_gifti(path: Path, side: str) -> tuple[np.ndarray, dict[int, str]]:
    """(n_vertices,) float64 of the first array of a GIfTI file, and the names of its labels.

    Raises:
        ValueError: the file says that it is of the other hemisphere.
    """
    import nibabel

    with reading(path, "GIfTI file"):
        image = nibabel.load(path)
        values = np.asarray(image.darrays[0].data).reshape(-1).astype(np.float64)
        names = dict(image.labeltable.get_labels_as_dict())
        said = image.meta.get("AnatomicalStructurePrimary", "") or ""
    if said and ("left", "right")[SIDES.index(side)] not in said.lower():
        raise ValueError(f"{path.name} says that it is {said}, but stands for {side}: the hemispheres are exchanged.")
    return values, names


def read_annot(path: Path) -> tuple[np.ndarray, dict[int, str]]:
    """(n_vertices,) labels of a FreeSurfer annotation, the row of its table from 1 and 0 for none; and their names."""
    import nibabel

    with reading(path, "FreeSurfer annotation"):
        labels, _, names = nibabel.freesurfer.read_annot(path)
    texts = [name.decode() if isinstance(name, bytes) else str(name) for name in names]
    return labels.astype(np.float64) + 1, dict(enumerate(texts, 1))


def read_cifti(path: Path) -> tuple[np.ndarray, int, dict[int, str]]:
    """Values of the first map at every vertex, NaN at the medial wall; how many are left ones; and names of labels.

    Raises:
        ValueError: no CIFTI, or one without cortex.
    """
    import nibabel

    with reading(path, "CIFTI file"):
        image = nibabel.load(path)
        maps, places = image.header.get_axis(0), image.header.get_axis(1)
        row = np.asarray(image.dataobj[:1], dtype=np.float64)[0]
        names = {key: name for key, (name, _) in maps.label[0].items()} if hasattr(maps, "label") else {}
        halves = []
        for side in ("CIFTI_STRUCTURE_CORTEX_LEFT", "CIFTI_STRUCTURE_CORTEX_RIGHT"):
            if side not in places.nvertices:
                raise ValueError(f"it has no {side}")
            full = np.full(places.nvertices[side], np.nan)
            chosen = places.name == side
            full[places.vertex[chosen]] = row[chosen]
            halves.append(full)
    return np.concatenate(halves), len(halves[0]), names


def read_volume(path: Path) -> tuple[np.ndarray, Any]:
    """(X, Y, Z) values and the (4, 4) affine of a NIfTI file of one volume."""
    import nibabel

    if not path.name.endswith(_VOLUMES):
        known = ", ".join((*SURFACE_SUFFIXES, *_CIFTI[:2], *_VOLUMES))
        raise ValueError(f"maps are read from {known} files, got {path.name}.")
    with reading(path, "NIfTI file"):
        image = nibabel.load(path)
        values = np.asarray(image.dataobj)
    if values.ndim < 3 or values[0, 0, 0].size != 1:
        raise ValueError(f"{path} has shape {values.shape}; expected one volume, (X, Y, Z).")
    return values.reshape(values.shape[:3]), np.asarray(image.affine)

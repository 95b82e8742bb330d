"""Numbers of a BIDS folder: time series of volumes, surfaces and CIFTI files, and single trials of GLMsingle."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from brainnet._files import reading
from brainnet.dataset.readers._bids import Run
from brainnet.dataset.readers._checked import read_mask, read_volumes, there
from brainnet.dataset.readers._pickles import read_pickle
from brainnet.space import VERTICES_PER_HEMISPHERE, BrainSpace, surface_space

_TYPED = "TYPED_FITHRF_GLMDENOISE_RR"
_CORTEX = ("CIFTI_STRUCTURE_CORTEX_LEFT", "CIFTI_STRUCTURE_CORTEX_RIGHT")


@dataclass(frozen=True, eq=False)
class Places:
    """Where the columns are: ``inside`` tells them among all places of a file (or of both hemispheres' files)."""

    inside: np.ndarray
    affine: np.ndarray | None = None
    mesh: str | None = None
    vertices: np.ndarray | None = None  # of all places of a surface, over both hemispheres

    def space(self) -> BrainSpace:
        """The place of every column."""
        if self.affine is not None:
            return BrainSpace(mask=torch.from_numpy(self.inside), affine=torch.from_numpy(self.affine))
        if self.mesh is None:
            return BrainSpace.free(int(self.inside.sum()))
        vertices = torch.from_numpy(self.vertices[self.inside])
        if self.mesh.startswith("fsaverage"):
            return surface_space(vertices, self.mesh)
        return BrainSpace(vertices=vertices, mesh=self.mesh)


def places_of(runs: Sequence[Run]) -> Places:
    """The places that all runs have: voxels of every brain mask, or vertices whose series varies in the first run.

    Raises:
        FileNotFoundError: a brain mask is missing.
        ValueError: masks or meshes differ between runs, or none is left.
    """
    first = runs[0]
    if first.kind == "volume":
        masks = [_mask_of(run) for run in runs]
        for (mask, affine), run in zip(masks[1:], runs[1:], strict=True):
            if mask.shape != masks[0][0].shape or not np.allclose(affine, masks[0][1], atol=1e-3):
                raise ValueError(f"{run.files[0]} is on another grid than {first.files[0].name}: choose one space.")
        places = Places(np.all([mask for mask, _ in masks], 0), masks[0][1])
    else:
        values, mesh, vertices = _surface(first)
        places = Places(np.isfinite(values).all(0) & (values != values[0]).any(0), None, mesh, vertices)
    if not places.inside.any():
        raise ValueError(f"{first.files[0]}: no place is in the brain mask of every run, or varies over time.")
    return places


def _mask_of(run: Run) -> tuple[np.ndarray, np.ndarray]:
    name = run.files[0].name.replace("_desc-preproc_bold.nii.gz", "_desc-brain_mask.nii.gz")
    return read_mask(there(run.files[0].with_name(name), "the brain mask of this run"))


def read_series(run: Run, places: Places) -> np.ndarray:
    """(n_volumes, n_columns) of a run.

    Raises:
        ValueError: it is damaged, or has other places than the first run.
    """
    if run.kind == "volume":
        return read_volumes(run.files[0], places.inside)
    values, mesh, vertices = _surface(run)
    if mesh != places.mesh or not np.array_equal(vertices, places.vertices):
        raise ValueError(f"{run.files[0]} has other vertices than the first run.")
    return values[:, places.inside]


def _surface(run: Run) -> tuple[np.ndarray, str | None, np.ndarray]:
    """(n_volumes, n_places) of both hemispheres, the mesh (None: a person's own) and the vertex of each place."""
    import nibabel

    if run.kind == "cifti":
        path = run.files[0]
        with reading(path, "CIFTI file"):
            image = nibabel.load(path)
            axis, values = image.header.get_axis(1), np.asarray(image.dataobj, dtype=np.float32)
            counts = [axis.nvertices[side] for side in _CORTEX]
        chosen = [np.flatnonzero(axis.name == side) for side in _CORTEX]
        vertices = [axis.vertex[rows] + offset for rows, offset in zip(chosen, (0, counts[0]), strict=True)]
        return values[:, np.concatenate(chosen)], _mesh("fsLR", counts, path), np.concatenate(vertices)
    halves = []
    for path in run.files:
        with reading(path, "GIfTI file"):
            arrays = [np.asarray(one.data, dtype=np.float32) for one in nibabel.load(path).darrays]
            halves.append(arrays[0].T if len(arrays) == 1 and arrays[0].ndim == 2 else np.stack(arrays))
    if len(halves[0]) != len(halves[1]):
        raise ValueError(f"{run.files[0].name} has {len(halves[0])} volumes and {run.files[1].name} {len(halves[1])}.")
    counts = [half.shape[1] for half in halves]
    return np.concatenate(halves, 1), _mesh(run.space, counts, run.files[0]), np.arange(sum(counts))


def _mesh(space: str, counts: Sequence[int], path: Path) -> str | None:
    family = next((name for name in ("fsaverage", "fsLR") if space.startswith(name)), None)
    if family is None:
        return None
    fits = [name for name, n in VERTICES_PER_HEMISPHERE.items() if name.startswith(family) and [n, n] == list(counts)]
    if not fits:
        raise ValueError(f"{path} has {counts[0]} and {counts[1]} vertices, which is no {family} that is known.")
    return fits[0]


# ---- GLMsingle ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Singles:
    """Single trials that GLMsingle has estimated: (X, Y, Z, n_trials), read a run at a time."""

    path: Path
    n_trials: int
    inside: np.ndarray
    values: Any = None

    def read(self, start: int, stop: int) -> np.ndarray:
        """(stop - start, n_columns) float32."""
        if self.values is not None:
            return self.values[self.inside, start:stop].T.astype(np.float32)
        with _opened(self.path) as (data, reverse):
            block = data[start:stop] if reverse else data[..., start:stop]
            block = block.transpose(3, 2, 1, 0) if reverse else block
        return block[self.inside].T.astype(np.float32)


def find_singles(folder: Path) -> Path:
    """The file of GLMsingle's last model in a folder: ``.hdf5``, ``.mat`` (v7.3) or ``.npy``."""
    names = [f"{_TYPED}{suffix}" for suffix in (".hdf5", ".mat", ".npy")]
    return there(next((folder / name for name in names if (folder / name).is_file()), folder / names[0]))


def read_singles(path: Path) -> Singles:
    """What a file of GLMsingle holds, whose places are those with a finite value in the first trial that is not 0.

    Raises:
        ValueError: no betas of single trials in it; or another shape; or a pickle of more than plain data.
    """
    if path.suffix == ".npy":
        found = read_pickle(path, "result of GLMsingle")
        values = found.get("betasmd") if isinstance(found, dict) else None
        if not isinstance(values, np.ndarray) or values.ndim != 4:
            raise ValueError(f"{path} holds no betasmd (X, Y, Z, trials).")
        return Singles(path, values.shape[3], _seen(values[..., 0]), values)
    with _opened(path) as (data, reverse):
        if data.ndim != 4:
            raise ValueError(f"{path} holds betas of shape {data.shape}; expected (X, Y, Z, trials).")
        first = data[0].transpose(2, 1, 0) if reverse else data[..., 0]
        n_trials = data.shape[0] if reverse else data.shape[3]
    return Singles(path, n_trials, _seen(first))


def _seen(first: np.ndarray) -> np.ndarray:
    inside = np.isfinite(first) & (first != 0)
    if not inside.any():
        raise ValueError("the first trial of GLMsingle has no value in any voxel.")
    return inside


class _opened:
    """The betas of an HDF5 file of GLMsingle, and whether their axes are MATLAB's, reversed."""

    def __init__(self, path: Path):
        self.path = path

    def __enter__(self) -> tuple[Any, bool]:
        import h5py

        with reading(self.path, "HDF5 file"):
            self.file = h5py.File(self.path, "r")
        for name, reverse in (("betasmd", False), ("modelmd", True)):
            if name in self.file:
                return self.file[name], reverse
        names = ", ".join(self.file)
        self.file.close()
        raise ValueError(f"{self.path} has no betasmd, nor modelmd; it has {names or 'nothing'}.")

    def __exit__(self, *_: Any) -> None:
        self.file.close()


def check_order(folder: Path, images: Sequence[str]) -> None:
    """Refuses trials in another order than GLMsingle's design: one of its numbers must mean one image.

    Raises:
        ValueError: a number of ``stimorder`` stands for two images; names the trial.
    """
    path = next((folder / f"DESIGNINFO{suffix}" for suffix in (".hdf5", ".npy")
                 if (folder / f"DESIGNINFO{suffix}").is_file()), None)  # fmt: skip
    if path is None:
        return
    if path.suffix == ".npy":
        order = read_pickle(path, "design of GLMsingle").get("stimorder")
    else:
        import h5py

        with reading(path, "HDF5 file"), h5py.File(path, "r") as file:
            order = file["stimorder"][()] if "stimorder" in file else None
    if order is None:
        return
    meant: dict[int, str] = {}
    for trial, (number, image) in enumerate(zip(np.ravel(order).astype(int).tolist(), images, strict=False), 1):
        if meant.setdefault(number, image) != image:
            raise ValueError(
                f"{path}: trial {trial} is of condition {number}, which was image {meant[number]!r} before and is "
                f"{image!r} by the events: the runs are in another order, or the images named by another column."
            )


def runs_of_trials(counts: Sequence[int]) -> Iterator[slice]:
    """The places of each run's trials among all.

    >>> list(runs_of_trials([2, 3]))
    [slice(0, 2, None), slice(2, 5, None)]
    """
    start = 0
    for count in counts:
        yield slice(start, start + count)
        start += count

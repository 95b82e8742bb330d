"""Maps to files that other programs open: NIfTI for volumes, GIfTI for surfaces."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brainnet._files import reading
from brainnet.space.brain_space import VERTICES_PER_HEMISPHERE, BrainSpace
from brainnet.space.map_files import Rows, read_gifti_rows, read_nifti_rows
from brainnet.space.saving import write_surface, write_volume


def save_map(
    space: BrainSpace, values: Tensor, stem: Path, names: Sequence[str], labels: Sequence[str] | None = None
) -> list[Path]:
    """Writes ``stem.nii.gz``, or ``stem.L`` and ``stem.R`` as ``.func.gii`` or ``.label.gii``; returns the paths.

    Args:
        space: a volume or a surface.
        values: (n_voxels,) or (n_maps, n_voxels); integers from -1 on where they are labels.
        stem: path without suffix.
        names: one per map, written into GIfTI files.
        labels: names of the integers 0, 1, ...; files then hold 0 for none and i + 1 for label i.

    >>> import tempfile
    >>> space = BrainSpace(mask=torch.ones(2, 2, 2, dtype=torch.bool), affine=torch.eye(4))
    >>> [path.name for path in save_map(space, torch.arange(8.0), Path(tempfile.mkdtemp()) / "score", ["score"])]
    ['score.nii.gz']
    """
    rows = values.float() if labels is None else values.int() + 1
    rows = rows[None] if rows.ndim == 1 else rows
    if space.mask is not None:
        return write_volume(space, rows, stem, labels is not None)
    titles = names if values.ndim > 1 else (stem.name,)
    return write_surface(space, rows, stem, titles, None if labels is None else (labels, None))


def load_maps(folder: Path, names: Iterable[str]) -> tuple[dict[str, Tensor], BrainSpace]:
    """The maps of a folder that have a file, each (n_maps, n_voxels), and their space: where "size" is known.

    Args:
        folder: filled by :func:`save_map`, or with one ``maps.npz`` of voxels without a place.
        names: stems of the maps wanted; "score" and "size" must be there.

    Raises:
        FileNotFoundError: no file for "score" or "size".
        ValueError: maps on different grids, or on a mesh of no known size.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> space = BrainSpace(mask=torch.ones(2, 2, 2, dtype=torch.bool), affine=torch.eye(4))
    >>> for name in ("score", "size"):
    ...     _ = save_map(space, torch.arange(1.0, 9.0), folder / name, [name])
    >>> maps, found = load_maps(folder, ["score", "size"])
    >>> maps["score"].tolist(), found.n_voxels
    ([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]], 8)
    """

    def parts(name: str) -> list[Path]:
        volume, surface = folder / f"{name}.nii.gz", [folder / f"{name}.{side}.func.gii" for side in "LR"]
        return [volume] if volume.is_file() else surface if all(path.is_file() for path in surface) else []

    if (folder / "maps.npz").is_file():
        path = folder / "maps.npz"
        with reading(path, "archive of arrays"), np.load(path, allow_pickle=False) as arrays:
            whole = {name: torch.from_numpy(np.atleast_2d(arrays[name])) for name in names if name in arrays}
        return whole, BrainSpace.free(whole["size"].shape[1])
    held = {name: _rows_of(paths) for name in names if (paths := parts(name))}
    for name in ("score", "size"):
        if name not in held:
            raise FileNotFoundError(f"no {name}.nii.gz and no {name}.L.func.gii with {name}.R.func.gii in {folder}.")
    first = held["size"]
    if first.affine is not None:
        for name, one in held.items():
            check_same_grid(one, first, f"the map {name!r} in {folder}", "the map 'size'")
    rows = {name: torch.from_numpy(np.stack(one.rows)) for name, one in held.items()}
    known = rows["size"][0].isfinite()
    if first.affine is not None:
        space = BrainSpace(mask=known.reshape(first.shape), affine=torch.from_numpy(first.affine))
    else:
        meshes = {2 * per_side: mesh for mesh, per_side in VERTICES_PER_HEMISPHERE.items()}
        if len(known) not in meshes:
            raise ValueError(f"the maps in {folder} have {len(known)} vertices; known meshes have {list(meshes)}.")
        space = BrainSpace(vertices=known.nonzero()[:, 0], mesh=meshes[len(known)])
    return {name: values[:, known].contiguous() for name, values in rows.items()}, space


def _rows_of(paths: Sequence[Path]) -> Rows:
    """What the file of a volume holds, or those of both hemispheres, left first."""
    if len(paths) == 1:
        return read_nifti_rows(paths[0])
    left, right = (read_gifti_rows(path, side) for path, side in zip(paths, "LR", strict=True))
    return left._replace(rows=[np.concatenate(halves) for halves in zip(left.rows, right.rows, strict=True)])


def load_patterns(
    paths: Sequence[str | Path], mask: str | Path | None = None, mesh: str = "fsaverage5"
) -> tuple[Tensor, BrainSpace]:
    """Patterns (n_conditions, n_voxels) from files and their space, without voxels that are constant or not finite.

    Args:
        paths: one NIfTI (x, y, z, n_conditions); or two GIfTIs, left and right hemisphere, an array per condition; or
            one ``.npy`` (n_conditions, n_mesh_vertices), left hemisphere first.
        mask: NIfTI on the grid of the patterns, above 0 inside the brain.
        mesh: of the surface files.

    Raises:
        FileNotFoundError: no such file.
        ValueError: other files or shapes, a mask on another grid, hemispheres in the wrong order, nothing left.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "betas.npy"
    >>> betas = np.full((4, 20484), np.nan, np.float32)    # four conditions, both hemispheres of fsaverage5
    >>> betas[:, [7, 10242]] = np.arange(8).reshape(4, 2)
    >>> np.save(file, betas)
    >>> patterns, space = load_patterns([file])
    >>> patterns.shape, space.vertices.tolist()
    (torch.Size([4, 2]), [7, 10242])
    """
    paths = [Path(path) for path in paths]
    for path in (*paths, *([] if mask is None else [Path(mask)])):
        if not path.is_file():
            raise FileNotFoundError(f"no file {path}.")
    if len(paths) == 1 and paths[0].name.endswith((".nii", ".nii.gz")):
        image = _image(paths[0])
        if len(image.shape) != 4:
            raise ValueError(f"{paths[0].name} is {image.shape}; expected (x, y, z, n_conditions).")
        volume = torch.from_numpy(np.asarray(image.dataobj, dtype=np.float32))
        inside = _varies(volume.movedim(-1, 0))
        if mask is not None:
            inner = _image(mask)
            check_same_grid(inner, image, "the mask", "the patterns")
            if np.prod(inner.shape[3:]) != 1:
                raise ValueError(f"the mask is {inner.shape}; expected one volume, {image.shape[:3]}.")
            inside &= torch.from_numpy(np.asarray(inner.dataobj).reshape(image.shape[:3]) > 0)
        _refuse_nothing(inside, paths[0])
        return volume[inside].T.contiguous(), BrainSpace(mask=inside, affine=torch.from_numpy(image.affine))
    array = _surface_array(paths)
    expected = 2 * VERTICES_PER_HEMISPHERE[mesh] if mesh in VERTICES_PER_HEMISPHERE else None
    if array.ndim != 2 or array.shape[1] != expected:
        raise ValueError(f"surface patterns are {array.shape}; expected (n_conditions, {expected}) for mesh {mesh!r}.")
    if mask is not None:
        raise ValueError("a mask is a volume, and surface patterns have none: leave it out, or set vertices to NaN.")
    data = torch.from_numpy(array.astype(np.float32))
    inside = _varies(data)
    _refuse_nothing(inside, paths[0])
    return data[:, inside], BrainSpace(vertices=inside.nonzero()[:, 0], mesh=mesh)


def check_same_grid(image: Any, other: Any, name: str, other_name: str) -> None:
    """Refuses two NIfTI images whose voxels do not lie in the same places.

    Raises:
        ValueError: another shape, or an affine that differs by more than a thousandth of a millimeter.
    """
    shape, expected = image.shape[:3], other.shape[:3]
    if shape != expected:
        raise ValueError(f"{name} is {image.shape} but {other_name} are {expected}; resample it to them.")
    if not np.allclose(image.affine, other.affine, rtol=0, atol=1e-3):
        steps, wanted = (np.linalg.norm(one.affine[:3, :3], axis=0).round(3).tolist() for one in (image, other))
        corner, start = (one.affine[:3, 3].round(3).tolist() for one in (image, other))
        raise ValueError(
            f"{name} lies elsewhere than {other_name}: voxels of {steps} mm from {corner}, not {wanted} mm from"
            f" {start} (affines differ); resample it to them."
        )


def _image(path: str | Path) -> Any:
    """A NIfTI or GIfTI image, once all of it has been read."""
    import nibabel

    with reading(path, "NIfTI or GIfTI file"):
        image = nibabel.load(path)
        if hasattr(image, "dataobj"):
            np.asarray(image.dataobj)  # decompressed now: a file cut short is told here, by its name
        return image


def _surface_array(paths: list[Path]) -> np.ndarray:
    if len(paths) == 2 and all(path.suffix == ".gii" for path in paths):
        halves = []
        for path, side in zip(paths, ("Left", "Right"), strict=True):
            image = _image(path)
            said = image.meta.get("AnatomicalStructurePrimary", "")
            if said and side.lower() not in said.lower():
                raise ValueError(f"{path.name} says that it is {said}; give the left hemisphere first, then the right.")
            halves.append(np.stack([np.ravel(array.data) for array in image.darrays]))
        if len(halves[0]) != len(halves[1]):
            counts = f"{len(halves[0])} and {len(halves[1])}"
            raise ValueError(f"the hemispheres hold {counts} arrays; each needs one per condition.")
        return np.concatenate(halves, axis=1)
    if len(paths) == 1 and paths[0].suffix == ".npy":
        with reading(paths[0], "array of numbers"):
            return np.load(paths[0], allow_pickle=False)
    raise ValueError(
        "patterns are one NIfTI (x, y, z, n_conditions), two GIfTIs (left, right) or one .npy (n_conditions,"
        f" n_mesh_vertices); got {', '.join(path.name for path in paths)}."
    )


def _varies(data: Tensor) -> Tensor:
    """Where patterns (n_conditions, ...) are finite and not all the same."""
    return data.isfinite().all(0) & (data != data[0]).any(0)


def _refuse_nothing(inside: Tensor, path: Path) -> None:
    if not bool(inside.any()):
        raise ValueError(f"no voxel of {path.name} is inside the mask, finite and varies over conditions.")

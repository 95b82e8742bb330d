"""Maps to files that other programs open: NIfTI for volumes, GIfTI for surfaces."""

from __future__ import annotations

import colorsys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brainnet.space.brain_space import VERTICES_PER_HEMISPHERE, BrainSpace


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
    """
    import nibabel

    values = values if labels is None else values.int() + 1
    fill = np.nan if labels is None else 0
    if space.mask is not None:
        path = stem.with_name(f"{stem.name}.nii.gz")
        nibabel.save(space.to_volume(values, fill=fill), path)
        return [path]
    both = space.to_surface(values if labels is not None else values.float(), fill=fill)
    titles = names if values.ndim > 1 else (stem.name,)
    paths = []
    for side, half in zip("LR", both.reshape(-1, 2, both.shape[-1] // 2).unbind(1), strict=True):
        path = stem.with_name(f"{stem.name}.{side}.{'func' if labels is None else 'label'}.gii")
        nibabel.save(_gifti(half.numpy(), side, titles, labels), path)
        paths.append(path)
    return paths


def load_maps(folder: Path, names: Iterable[str]) -> tuple[dict[str, Tensor], BrainSpace]:
    """The maps of a folder that have a file, each (n_maps, n_voxels), and their space: where "size" is known.

    Args:
        folder: filled by :func:`save_map`, or with one ``maps.npz`` of voxels without a place.
        names: stems of the maps wanted; "score" and "size" must be there.

    Raises:
        FileNotFoundError: no file for "score" or "size".
    """
    import nibabel

    def parts(name: str) -> list[Path]:
        volume, surface = folder / f"{name}.nii.gz", [folder / f"{name}.{side}.func.gii" for side in "LR"]
        return [volume] if volume.is_file() else surface if all(path.is_file() for path in surface) else []

    if (folder / "maps.npz").is_file():
        with np.load(folder / "maps.npz", allow_pickle=False) as arrays:
            whole = {name: torch.from_numpy(np.atleast_2d(arrays[name])) for name in names if name in arrays}
        return whole, BrainSpace.free(whole["size"].shape[1])
    images = {name: [nibabel.load(path) for path in parts(name)] for name in names if parts(name)}
    for name in ("score", "size"):
        if name not in images:
            raise FileNotFoundError(f"no {name}.nii.gz and no {name}.L.func.gii with {name}.R.func.gii in {folder}.")
    first = images["size"][0]
    if len(images["size"]) == 1:
        rows = {name: np.asarray(image.dataobj, dtype=np.float32) for name, (image,) in images.items()}
        mask = torch.from_numpy(np.isfinite(rows["size"]))
        space = BrainSpace(mask=mask, affine=torch.from_numpy(first.affine))
        return {
            name: torch.from_numpy(array)[mask].reshape(space.n_voxels, -1).T.contiguous()
            for name, array in rows.items()
        }, space
    rows = {
        name: torch.from_numpy(np.concatenate([[a.data for a in half.darrays] for half in halves], axis=1))
        for name, halves in images.items()
    }
    known = rows["size"][0].isfinite()
    meshes = {2 * per_side: mesh for mesh, per_side in VERTICES_PER_HEMISPHERE.items()}
    if len(known) not in meshes:
        raise ValueError(f"the maps in {folder} have {len(known)} vertices; known meshes have {list(meshes)}.")
    space = BrainSpace(vertices=known.nonzero()[:, 0], mesh=meshes[len(known)])
    return {name: values[:, known] for name, values in rows.items()}, space


def _gifti(rows: np.ndarray, side: str, titles: Sequence[str], labels: Sequence[str] | None) -> Any:
    from nibabel import gifti

    structure = {"AnatomicalStructurePrimary": "CortexLeft" if side == "L" else "CortexRight"}
    image = gifti.GiftiImage(meta=gifti.GiftiMetaData(structure))
    kind = ("NIFTI_INTENT_NONE", "NIFTI_TYPE_FLOAT32") if labels is None else ("NIFTI_INTENT_LABEL", "NIFTI_TYPE_INT32")
    if labels is not None:
        image.labeltable = _label_table(labels)
    for row, title in zip(rows, titles, strict=True):
        array = row.astype(np.float32 if labels is None else np.int32)
        meta = gifti.GiftiMetaData({"Name": title})
        image.add_gifti_data_array(gifti.GiftiDataArray(array, intent=kind[0], datatype=kind[1], meta=meta))
    return image


def _label_table(labels: Sequence[str]) -> Any:
    from nibabel import gifti

    table = gifti.GiftiLabelTable()
    for key, name in enumerate(("none", *labels)):
        hue = (key * 0.618) % 1  # golden ratio: neighbours in the list differ
        rgba = (0.0, 0.0, 0.0, 0.0) if key == 0 else (*colorsys.hsv_to_rgb(hue, 0.75, 0.9), 1.0)
        label = gifti.GiftiLabel(key, *rgba)
        label.label = name
        table.labels.append(label)
    return table

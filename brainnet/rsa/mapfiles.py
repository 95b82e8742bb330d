"""Maps to files that other programs open: NIfTI for volumes, GIfTI for surfaces."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from brainnet.space import BrainSpace


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

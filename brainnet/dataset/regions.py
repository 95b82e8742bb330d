"""Regions by the labels of published maps: the localizers of the Natural Scenes Dataset, atlases, and their groups."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brainnet.space.areas import WANG

# family of regions -> label in the files -> name; label 0 belongs to no region
ROI_LABELS = {
    "prf-visualrois": {1: "V1v", 2: "V1d", 3: "V2v", 4: "V2d", 5: "V3v", 6: "V3d", 7: "hV4"},
    "floc-bodies": {1: "EBA", 2: "FBA-1", 3: "FBA-2", 4: "mTL-bodies"},
    "floc-faces": {1: "OFA", 2: "FFA-1", 3: "FFA-2", 4: "mTL-faces", 5: "aTL-faces"},
    "floc-places": {1: "OPA", 2: "PPA", 3: "RSC"},
    "floc-words": {1: "OWFA", 2: "VWFA-1", 3: "VWFA-2", 4: "mfs-words", 5: "mTL-words"},
    "streams": {
        1: "early", 2: "midventral", 3: "midlateral", 4: "midparietal", 5: "ventral", 6: "lateral", 7: "parietal",
    },
}  # fmt: skip

# the twelve regions in which results are reported, each of one or two labeled areas
ROI_GROUPS = {
    "V1": ("V1v", "V1d"),
    "V2": ("V2v", "V2d"),
    "V3": ("V3v", "V3d"),
    "V4": ("hV4",),
    "EBA": ("EBA",),
    "FBA": ("FBA-1", "FBA-2"),
    "OFA": ("OFA",),
    "FFA": ("FFA-1", "FFA-2"),
    "OPA": ("OPA",),
    "PPA": ("PPA",),
    "OWFA": ("OWFA",),
    "VWFA": ("VWFA-1", "VWFA-2"),
}
ATLASES = {"Kastner2015": dict(enumerate(WANG, 1))}  # Wang et al. 2015; its areas carry its name

MASKS = {"nsdgeneral": {1: "nsdgeneral"}, "fVTC": {1: "fVTC"}}  # maps of one region


def areas_of(
    family: str, labels: Any, where: str | Path, names: Mapping[int, str] | None = None, own: bool = False
) -> dict[str, Tensor]:
    """Name -> (n_voxels,) bool of the areas of one family.

    Args:
        family: such as "streams"; its names are those of :data:`ROI_LABELS` or :data:`ATLASES`, where none are given.
        labels: (n_voxels,) whole numbers; 0 and below, and NaN, are no area.
        where: the file, for messages.
        names: label -> name.
        own: whether names get the family's in front, "HCP_MMP1.V1", as many atlases have a V1.

    Raises:
        ValueError: labels that are no whole numbers, or that have no name.
    """
    values = np.nan_to_num(np.asarray(labels))
    whole = torch.from_numpy(values.astype(np.int64))
    if (values != whole.numpy()).any():
        raise ValueError(f"{where} holds fractions; expected whole numbers, a label for each place.")
    known = dict(names or ROI_LABELS.get(family) or ATLASES.get(family) or MASKS.get(family) or {})
    unknown = sorted(set(whole[whole > 0].unique().tolist()) - set(known))
    if unknown and known:
        raise ValueError(f"{where} holds labels {unknown}; {family} has {min(known)} to {max(known)}.")
    known = known or {label: f"{label}" for label in unknown}
    front = f"{family}." if own or family in ATLASES or not (names or family in {**ROI_LABELS, **MASKS}) else ""
    return {f"{front}{name}": whole == label for label, name in known.items()}


def regions_of(areas: Mapping[str, Tensor], left: Tensor | None) -> dict[str, Tensor]:
    """The groups of :data:`ROI_GROUPS` first, then single areas, then groups by hemisphere ("lh.V1").

    Args:
        areas: name -> (n_voxels,) bool.
        left: (n_voxels,) bool, the left hemisphere; None where it is not known.
    """
    groups = {
        name: torch.stack([areas[part] for part in parts]).any(0)
        for name, parts in ROI_GROUPS.items()
        if all(part in areas for part in parts)
    }
    sides = () if left is None else (("lh", left), ("rh", ~left))
    one_sided = {f"{side}.{name}": mask & half for side, half in sides for name, mask in groups.items()}
    return groups | {name: mask for name, mask in areas.items() if name not in groups} | one_sided

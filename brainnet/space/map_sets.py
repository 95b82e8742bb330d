"""Maps of one space, and what a file says of its voxels so that they can be put back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brainnet.space.brain_space import VERTICES_PER_HEMISPHERE, BrainSpace
from brainnet.space.surface import surface_space


@dataclass(frozen=True, eq=False)
class MapSet:
    """Maps of one space by their names.

    Args:
        space: where the voxels are.
        values: name -> (n_voxels,) numbers, or whole numbers from 0 on, -1 for none.
        categories: name -> names of its whole numbers 0, 1, ...; by default these numbers.
        colors: name -> (n_categories, 3) RGB in 0..1.

    >>> maps = MapSet(BrainSpace.free(2), {"r": torch.tensor([0.1, 0.2]), "layer": torch.tensor([1, 0])})
    >>> maps.is_categorical("layer"), maps.names_of("layer")
    (True, ['0', '1'])
    """

    space: BrainSpace
    values: Mapping[str, Tensor]
    categories: Mapping[str, Sequence[str]] = field(default_factory=dict)
    colors: Mapping[str, Any] = field(default_factory=dict)

    def is_categorical(self, name: str) -> bool:
        """Whether a map is of whole numbers."""
        return not torch.as_tensor(self.values[name]).is_floating_point()

    def names_of(self, name: str) -> list[str]:
        """Names of a map's categories."""
        most = int(torch.as_tensor(self.values[name]).max()) if len(self.values[name]) else -1
        given = [str(one) for one in self.categories.get(name, ())]
        return given + [str(number) for number in range(len(given), most + 1)]


def ranges_of(index: Tensor) -> str:
    """Whole numbers as a short text, in rising order.

    >>> ranges_of(torch.tensor([3, 0, 1, 2, 9]))
    '0-3,9'
    """
    index = np.unique(torch.as_tensor(index).numpy())
    if not len(index):
        return ""
    parts = np.split(index, np.flatnonzero(np.diff(index) > 1) + 1)
    return ",".join(f"{part[0]}-{part[-1]}" if len(part) > 1 else str(part[0]) for part in parts)


def index_of(text: str) -> Tensor:
    """The numbers of :func:`ranges_of`.

    >>> index_of("0-3,9").tolist()
    [0, 1, 2, 3, 9]
    """
    ends = [part.partition("-") for part in text.split(",") if part]
    parts = [torch.arange(int(low), int(high or low) + 1) for low, _, high in ends]
    return torch.cat(parts) if parts else torch.empty(0, dtype=torch.long)


def description(maps: MapSet) -> str:
    """Voxels and regions by their places on the mesh or in the volume, as JSON."""
    space = maps.space
    place = space.vertices if space.mesh else space.volume_index
    said = {"mesh": space.mesh, "voxels": ranges_of(place)}
    said["rois"] = {name: ranges_of(place[mask]) for name, mask in space.rois.items()}
    return json.dumps(said)


def space_and_values(
    full: Mapping[str, np.ndarray], said: Mapping[str, Any], mesh: str | None, mask_of: Any
) -> tuple[BrainSpace, dict[str, Tensor]]:
    """The space that a file tells of, or that finite values make, and the maps on it.

    Args:
        full: name -> values everywhere on the mesh or in the flattened volume; NaN, and of labels 0, is nothing.
        said: of :func:`description`; empty where another program wrote the file.
        mesh: its name, None for a volume.
        mask_of: (n,) places -> space, rois.
    """
    if "voxels" in said:
        place = index_of(said["voxels"])
    else:
        known = np.any([np.isfinite(one) if one.dtype.kind == "f" else one > 0 for one in full.values()], axis=0)
        place = torch.from_numpy(np.flatnonzero(known))
    rois = {name: torch.isin(place, index_of(text)) for name, text in said.get("rois", {}).items()}
    values = {}
    for name, one in full.items():
        part = torch.from_numpy(np.ascontiguousarray(one[place.numpy()]))
        values[name] = part if one.dtype.kind == "f" else part.long() - 1
    return mask_of(place, rois), values


def mesh_of(n_vertices: int, said: Mapping[str, Any], path: Path) -> str:
    """The mesh of a file of both hemispheres."""
    if said.get("mesh") in VERTICES_PER_HEMISPHERE:
        return said["mesh"]
    for mesh, per_side in VERTICES_PER_HEMISPHERE.items():
        if 2 * per_side == n_vertices:
            return mesh
    known = ", ".join(f"{mesh} {2 * n}" for mesh, n in VERTICES_PER_HEMISPHERE.items())
    raise ValueError(f"{path.name} has {n_vertices} vertices in both hemispheres; known meshes have {known}.")


def on_mesh(mesh: str) -> Any:
    """A function of vertices and regions that gives their space on a mesh."""

    def place(vertices: Tensor, rois: Mapping[str, Tensor]) -> BrainSpace:
        if mesh.startswith("fsLR"):  # its spheres are not brainnet's
            return BrainSpace(vertices=vertices, mesh=mesh, rois=rois)
        return surface_space(vertices, mesh, rois)

    return place

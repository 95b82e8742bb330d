"""From a volume to the cortex of fsaverage: what each vertex sees between the white matter and the pial surface.

The sampling is nilearn's. Voxels outside the space count for nothing: a vertex has the mean of the known voxels along
its way through the gray matter, or nothing where less than half of that way is known.
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from brainnet.space.brain_space import VERTICES_PER_HEMISPHERE, BrainSpace
from brainnet.space.own_surfaces import is_own, nearest_vertices
from brainnet.space.surface import HEMISPHERES, load_mesh, surface_space

_AT_ONCE = 8  # volumes that are sampled at a time


class SurfaceProjection(NamedTuple):
    """A volume ``source`` seen from the cortex: ``space`` has the vertices that see at least half of their way.

    >>> mask = torch.zeros(6, 6, 6, dtype=torch.bool)
    >>> mask[1:5, 1:5, 1:5] = True
    >>> occipital = torch.tensor([[4.0, 0, 0, -22], [0, 4, 0, -105], [0, 0, 4, -8], [0, 0, 0, 1]])
    >>> seen = to_cortex(BrainSpace(mask=mask, affine=occipital))
    >>> seen.space, seen.majority(torch.full((64,), 3)).unique().tolist()
    (BrainSpace(66 voxels, vertices of fsaverage5), [3])
    """

    source: BrainSpace
    space: BrainSpace

    def mean(self, values: Tensor) -> Tensor:
        """(n_voxels, ...) numbers -> (n_vertices, ...): means over known voxels; NaN where too few are known."""
        values = torch.as_tensor(values).detach().cpu()
        flat = values.reshape(len(values), -1).double()
        known = flat.isfinite()
        sampled = _sample(self.source, torch.cat([flat.nan_to_num(0, 0, 0) * known, known.double()], 1).T, self.space)
        total, share = sampled.T.split(flat.shape[1], 1)
        return torch.where(share >= 0.5, total / share, torch.nan).float().reshape(-1, *values.shape[1:])

    def majority(self, labels: Tensor) -> Tensor:
        """(n_voxels,) whole numbers, -1 for none -> (n_vertices,): the one of the largest share, never a mixture."""
        labels = torch.as_tensor(labels).detach().cpu().long()
        found, place = labels.unique(return_inverse=True)
        most, winner = torch.zeros(self.space.n_voxels), torch.full((self.space.n_voxels,), -1)
        for number in range(len(found)):
            share = _sample(self.source, (place == number).double()[None], self.space)[0].float()
            winner = torch.where(share > most, found[number], winner)
            most = torch.maximum(most, share)
        return winner


def to_cortex(space: BrainSpace, mesh: str = "fsaverage5") -> SurfaceProjection:
    """A volume space, in the coordinates of fsaverage (MNI305, close to MNI152), seen from the cortex.

    Args:
        space: a volume.
        mesh: "fsaverage5", or a finer one whose folded surfaces nilearn has.

    Raises:
        ValueError: a space that is no volume, or one that the cortex does not pass through.

    >>> mask = torch.zeros(6, 6, 6, dtype=torch.bool)
    >>> mask[1:5, 1:5, 1:5] = True
    >>> occipital = torch.tensor([[4.0, 0, 0, -22], [0, 4, 0, -105], [0, 0, 4, -8], [0, 0, 0, 1]])
    >>> seen = to_cortex(BrainSpace(mask=mask, affine=occipital))
    >>> bool((seen.mean(torch.ones(64)) == 1).all())
    True
    """
    if space.mask is None:
        raise ValueError(f"{space!r} is no volume: only a volume is brought to the cortex.")
    whole = surface_space(torch.arange(2 * VERTICES_PER_HEMISPHERE[mesh]), mesh)
    rows = torch.stack([torch.ones(space.n_voxels), *(mask.float() for mask in space.rois.values())])
    seen, *regions = _sample(space, rows.double(), whole)
    inside = seen >= 0.5
    if not bool(inside.any()):
        low, high = (getattr(space.coords, side)(0).values.round().int().tolist() for side in ("min", "max"))
        raise ValueError(
            f"the cortex of {mesh} does not pass through {space!r}, which spans {low} to {high} mm: the volume must "
            "lie in the coordinates of fsaverage or MNI, not in those of one person's scan."
        )
    rois = {name: row[inside] >= 0.5 for name, row in zip(space.rois, regions, strict=True)}
    return SurfaceProjection(space, surface_space(inside.nonzero()[:, 0], mesh, rois))


def _sample(source: BrainSpace, rows: Tensor, target: BrainSpace) -> Tensor:
    """(n, n_vertices) of maps (n, n_voxels) that are 0 outside the volume."""
    from nilearn.surface import InMemoryMesh, vol_to_surf

    parts = []
    for part in rows.split(_AT_ONCE):
        image = source.to_volume(part, fill=0)
        halves = []
        for side in HEMISPHERES:
            outer, inner = (load_mesh(target.mesh, kind, side) for kind in ("pial", "white"))
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Mean of empty slice", RuntimeWarning)  # vertices outside the volume
                sampled = vol_to_surf(image, InMemoryMesh(*outer), inner_mesh=InMemoryMesh(*inner))
            halves.append(np.asarray(sampled).reshape(len(outer.points), -1))
        parts.append(torch.from_numpy(np.nan_to_num(np.concatenate(halves)).T[:, target.vertices.numpy()].copy()))
    return torch.cat(parts).double()


def drawn_on(space: BrainSpace) -> tuple[str, np.ndarray]:
    """The mesh on which the columns of a surface are drawn, and the column of each of its vertices, -1 for none.

    Each vertex of fsaverage6 takes the nearest one of a person's own surfaces, by their sphere.reg.

    >>> from brainnet.space import surface_space
    >>> mesh, column = drawn_on(surface_space(torch.tensor([7, 3]), "fsaverage3"))
    >>> mesh, column[[3, 4, 7]].tolist()
    ('fsaverage3', [1, -1, 0])
    """
    column_of = np.full(space.n_mesh_vertices, -1)
    column_of[space.vertices.numpy()] = np.arange(space.n_voxels)
    if not is_own(space.mesh):
        return space.mesh, column_of
    spheres = [load_mesh("fsaverage6", "sphere", side).points for side in HEMISPHERES]
    return "fsaverage6", column_of[nearest_vertices(space.mesh, spheres, back=True)]

"""Space: where a response column lives. Values and their place travel together.

``BrainSpace`` holds the place of every column; ``surface`` knows the fsaverage meshes; ``maps`` writes and reads
NIfTI and GIfTI files; ``read_atlas`` and ``read_map`` read what others have published on the same places.
"""

from brainnet.space.atlases import Atlas, label_regions, read_areas, read_atlas
from brainnet.space.brain_maps import BrainMap, read_map
from brainnet.space.brain_space import VERTICES_PER_HEMISPHERE, BrainSpace
from brainnet.space.map_sets import MapSet
from brainnet.space.maps import load_maps, load_patterns, save_map
from brainnet.space.own_surfaces import own_mesh
from brainnet.space.projection import SurfaceProjection, drawn_on, to_cortex
from brainnet.space.saving import read_maps, save_maps
from brainnet.space.sensors import sensor_space
from brainnet.space.surface import (
    HEMISPHERES,
    SURFACES,
    Coarsening,
    Mesh,
    flat_triangles,
    has_surfaces,
    load_mesh,
    load_mesh_at_hand,
    occipital_vertices,
    sphere_coords,
    subdivide,
    sulcal_depth,
    surface_space,
    to_fsaverage5,
)

__all__ = [
    "VERTICES_PER_HEMISPHERE",
    "BrainSpace",
    "sensor_space",
    "HEMISPHERES",
    "SURFACES",
    "Coarsening",
    "Mesh",
    "own_mesh",
    "drawn_on",
    "flat_triangles",
    "has_surfaces",
    "load_mesh",
    "load_mesh_at_hand",
    "occipital_vertices",
    "sphere_coords",
    "subdivide",
    "sulcal_depth",
    "surface_space",
    "to_fsaverage5",
    "load_maps",
    "Atlas",
    "BrainMap",
    "label_regions",
    "read_areas",
    "read_atlas",
    "read_map",
    "load_patterns",
    "save_map",
    "MapSet",
    "read_maps",
    "save_maps",
    "SurfaceProjection",
    "to_cortex",
]

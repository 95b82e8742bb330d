import numpy as np
import pytest
import torch

from brainnet.plot.interactive._geometry import PAGE_SURFACES, drawn
from brainnet.space import BrainSpace, load_mesh, occipital_vertices, surface_space

N = 10_242


def test_the_surfaces_are_those_of_fsaverage5_apart_from_a_shift_of_each_hemisphere():
    geometry = drawn(surface_space(torch.arange(2 * N))).geometry
    np.testing.assert_array_equal(geometry.ids, np.arange(2 * N))
    for kind in PAGE_SURFACES:
        for side, part in (("left", slice(0, N)), ("right", slice(N, None))):
            mesh = load_mesh("fsaverage5", kind, side)
            used = np.unique(mesh.faces)
            shift = geometry.points[kind][part][used] - mesh.points[used]
            assert np.ptp(shift, axis=0).max() < 1e-3
    assert len(geometry.faces) == 2 * 20_480


def test_left_is_left_and_apart_from_right():
    geometry = drawn(surface_space(torch.arange(2 * N))).geometry
    for kind in ("inflated", "flat"):
        x = geometry.points[kind][:, 0]
        assert x[: geometry.n_left].max() < 0 < x[geometry.n_left :].min()
    pial = geometry.points["pial"][:, 0]
    assert pial[: geometry.n_left].mean() < -20
    assert pial[geometry.n_left :].mean() > 20


def test_only_what_was_recorded_is_fine():
    vertices = occipital_vertices(20, "fsaverage")
    where = drawn(surface_space(vertices, "fsaverage"))
    geometry = where.geometry
    assert where.mesh == "fsaverage"
    assert len(geometry.ids) < 2 * N + 1.4 * len(vertices)
    shown = np.sort(where.column[where.column >= 0])
    np.testing.assert_array_equal(shown, np.arange(len(vertices)))  # every voxel, once
    np.testing.assert_array_equal(
        geometry.ids[where.column >= 0][np.argsort(where.column[where.column >= 0])], vertices
    )
    edges = np.sort(geometry.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    assert (edges[:, 0] < edges[:, 1]).all()


def test_a_fine_vertex_lies_where_its_mesh_has_it():
    vertices = torch.tensor([20_000, 163_842 + 12])
    geometry = drawn(surface_space(vertices, "fsaverage")).geometry
    fine = load_mesh("fsaverage", "flat", "left").points
    coarse = load_mesh("fsaverage5", "flat", "left").points
    at = int(np.flatnonzero(geometry.ids == 20_000)[0])
    shift = geometry.points["flat"][3] - coarse[3]
    if np.isin(20_000, load_mesh("fsaverage", "flat", "left").faces):
        np.testing.assert_allclose(geometry.points["flat"][at] - shift, fine[20_000], atol=0.01)
    assert geometry.ids[geometry.n_left :].min() >= 163_842


def test_a_volume_is_projected_by_its_nearest_voxels():
    affine = torch.tensor([[4.0, 0, 0, -90], [0, 4, 0, -126], [0, 0, 4, -72], [0, 0, 0, 1]], dtype=torch.float64)
    space = BrainSpace(mask=torch.ones(46, 55, 46).bool(), affine=affine)
    where = drawn(space)
    assert where.mesh == "fsaverage5"
    assert "vol_to_surf" in where.method
    shown = where.column >= 0
    assert shown.mean() > 0.99
    points = np.concatenate(
        [
            (load_mesh("fsaverage5", "pial", s).points + load_mesh("fsaverage5", "white", s).points) / 2
            for s in ("left", "right")
        ]
    )
    distance = np.abs(space.coords.numpy()[where.column[shown]] - points[shown]).max(axis=1)
    assert distance.max() <= 2.01  # half a voxel in each direction


def test_voxels_without_a_place_have_no_page():
    with pytest.raises(ValueError, match="no place"):
        drawn(BrainSpace.free(3))


def test_a_volume_beside_the_brain_is_refused():
    affine = torch.eye(4, dtype=torch.float64)
    affine[:3, 3] = 500
    with pytest.raises(ValueError, match="MNI"):
        drawn(BrainSpace(mask=torch.ones(3, 3, 3).bool(), affine=affine))

import os
import subprocess
import sys

import nibabel
import numpy as np
import pytest
import torch

from brainnet.space import (
    BrainSpace,
    flat_triangles,
    load_mesh,
    occipital_vertices,
    sphere_coords,
    subdivide,
    sulcal_depth,
    surface_space,
    to_fsaverage5,
)


@pytest.fixture(scope="module")
def wang(test_data):
    """(163842,) labels 0..25 of the left and of the right hemisphere."""
    files = (test_data / "fsaverage" / f"{side}.wang15_mplbl.v1_0.mgz" for side in ("lh", "rh"))
    return [np.asarray(nibabel.load(file).dataobj).squeeze().astype(int) for file in files]


@pytest.fixture(scope="module")
def benson(test_data):
    """(163842,) polar angle in degrees and visual area of the left hemisphere; both 0 elsewhere."""
    files = (test_data / "fsaverage" / f"lh.benson14_{name}.v4_0.mgz" for name in ("angle", "varea"))
    return [np.asarray(nibabel.load(file).dataobj).squeeze() for file in files]


@pytest.mark.parametrize("kind", ["sphere", "inflated", "pial", "white", "flat"])
def test_both_hemispheres_are_left_then_right(kind):
    left, right, both = (load_mesh("fsaverage5", kind, side) for side in ("left", "right", None))
    assert np.array_equal(both.points, np.concatenate([left.points, right.points]))
    assert np.array_equal(both.faces[len(left.faces) :], right.faces + 10_242)
    assert left.faces.max() == 10_241


def test_anatomy_is_where_it_belongs():
    left, right = (load_mesh("fsaverage5", "pial", side).points for side in ("left", "right"))
    assert left[:, 0].mean() < -20
    assert right[:, 0].mean() > 20
    # positive depth is a sulcus: the deepest place of the cortex is the insula
    deepest = left[sulcal_depth()[:10_242].argmax()]
    assert -45 < deepest[0] < -25
    assert abs(deepest[1]) < 40
    assert abs(deepest[2]) < 30


@pytest.mark.parametrize(("mesh", "n"), [("fsaverage3", 642), ("fsaverage4", 2562), ("fsaverage6", 40_962)])
def test_other_levels_of_the_icosahedron_are_computed(mesh, n):
    sphere, whole = load_mesh(mesh, "sphere", "right"), load_mesh("fsaverage", "sphere", "right")
    np.testing.assert_allclose(sphere.points, whole.points[:n], atol=0.02)
    assert len(sphere.faces) == 2 * n - 4  # a closed surface
    edges = np.linalg.norm(sphere.points[sphere.faces[:, 0]] - sphere.points[sphere.faces[:, 1]], axis=1)
    assert edges.max() < 1.5 * np.median(edges)  # neighbours only
    flat = load_mesh(mesh, "flat", "right")
    assert 0.75 * len(sphere.faces) < len(flat.faces) < len(sphere.faces)
    known = set(map(frozenset, sphere.faces.tolist()))
    assert set(map(frozenset, flat.faces.tolist())) <= known
    assert len(sulcal_depth(mesh)) == 2 * n
    if n < 10_242:
        points = load_mesh("fsaverage5", "pial", "left").points
        assert np.array_equal(load_mesh(mesh, "pial", "left").points, points[:n])


def test_fsaverage6_goes_to_fsaverage5_as_fsaverage_does():
    one = to_fsaverage5(surface_space(torch.arange(5, 40_962 + 700, 97), "fsaverage6"))
    vertices = torch.arange(5, 40_962 + 700, 97)
    fine = torch.where(vertices < 40_962, vertices, vertices - 40_962 + 163_842)
    other = to_fsaverage5(surface_space(fine, "fsaverage"))
    assert torch.equal(one.space.vertices, other.space.vertices)
    with pytest.raises(ValueError, match="fsaverage3|finer"):
        to_fsaverage5(surface_space(torch.arange(3), "fsaverage3"))


def test_arrays_are_loaded_once_and_cannot_be_changed():
    mesh = load_mesh("fsaverage5", "sphere")
    assert mesh.points is load_mesh("fsaverage5", "sphere").points
    for array in (*mesh, sulcal_depth()):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


def test_sphere_coordinates_follow_the_original_offset():
    """Both spheres fill -100..100 in x; the right one starts at -100 + 1.5 * 200 = 200."""
    coords = sphere_coords(torch.arange(20_484))
    left, right = coords[:10_242], coords[10_242:]
    points = torch.tensor(load_mesh("fsaverage5", "sphere", "left").points)
    assert torch.equal(left, points)
    assert torch.equal(right, points + torch.tensor([300.0, 0, 0]))
    assert right[:, 0].min() == 200
    assert right[:, 0].max() == 400
    assert torch.equal(sphere_coords(torch.tensor([20_483, 3])), coords[[20_483, 3]])
    assert torch.equal(surface_space(torch.tensor([10_242, 1])).coords, coords[[10_242, 1]])


def test_subdivision_rebuilds_every_level_of_fsaverage5():
    """From the icosahedron up: the faces of fsaverage5 to the last index, its points to their rounding."""
    points, faces = load_mesh("fsaverage5", "sphere", "left")
    levels = [faces]
    while len(levels[-1]) > 20:
        fine = levels[-1]
        n = len(fine) // 4
        levels.append(np.stack([fine[:n, 0], fine[n + 2 :: 3, 1], fine[n::3, 2]], axis=1))  # the corners they grew from
    assert [level.max() + 1 for level in levels] == [10_242, 2_562, 642, 162, 42, 12]
    faces, n_vertices = levels[-1], 12
    for _ in range(5):
        faces, parents = subdivide(faces, n_vertices)
        middle = points[parents].sum(axis=1)
        middle *= 100 / np.linalg.norm(middle, axis=1, keepdims=True)
        assert np.abs(middle - points[n_vertices : n_vertices + len(parents)]).max() < 0.01
        n_vertices += len(parents)
    assert np.array_equal(faces, levels[0])


def test_sphere_of_fsaverage_holds_fsaverage5_and_is_regular():
    coarse, fine = (load_mesh(mesh, "sphere", "right") for mesh in ("fsaverage5", "fsaverage"))
    assert fine.points.shape == (163_842, 3)
    assert fine.faces.shape == (327_680, 3)
    assert np.array_equal(fine.points[:10_242], coarse.points)
    assert np.abs(np.linalg.norm(fine.points, axis=1) - 100).max() < 0.01
    edges = np.linalg.norm(fine.points[fine.faces[:, 0]] - fine.points[fine.faces[:, 1]], axis=1)
    assert edges.max() < 1.6 * edges.min()


def test_flat_map_of_fsaverage_is_that_of_fsaverage5_in_smaller_triangles():
    for side in ("left", "right"):
        coarse, fine = (load_mesh(mesh, "flat", side) for mesh in ("fsaverage5", "fsaverage"))
        assert len(fine.faces) == 16 * len(coarse.faces)
        assert np.array_equal(fine.points[:10_242], coarse.points)
        assert np.isclose(_areas(fine).sum(), _areas(coarse).sum(), rtol=1e-4)
        assert (_areas(fine) > 0).all()  # none folded over
    depth = sulcal_depth("fsaverage")
    assert np.array_equal(depth[163_842 : 163_842 + 10_242], sulcal_depth()[10_242:])
    assert len(depth) == 327_684
    fine = occipital_vertices(mesh="fsaverage")
    assert set(fine[fine < 10_242].tolist()) == set(occipital_vertices()[:1191].tolist())


def _areas(mesh):
    """Signed area of every triangle in the plane."""
    a, b, c = (mesh.points[mesh.faces[:, corner], :2].astype(float) for corner in range(3))
    return 0.5 * ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0])


def test_published_maps_are_smooth_on_the_computed_sphere(wang, benson):
    """Other people's files, numbered by FreeSurfer: were the numbering off by one, neighbours would not agree."""
    faces = load_mesh("fsaverage", "sphere", "left").faces
    labels, (angle, area) = wang[0], benson

    def lonely(values):
        """The fraction of labelled vertices without one neighbour of the same label."""
        friends = np.zeros(len(values), dtype=int)
        for one, other in ((0, 1), (1, 2), (2, 0)):
            np.add.at(friends, faces[:, one], values[faces[:, one]] == values[faces[:, other]])
        return (friends[values > 0] == 0).mean()

    def step_in_v1(order):
        """The 99th percentile of the polar angle between neighbours within V1, in degrees."""
        inside = (area[order][faces] == 1).all(axis=1)
        return np.percentile(np.abs(np.diff(angle[order][faces[inside, :2]], axis=1)), 99)

    right, off = np.arange(163_842), np.arange(163_842)
    off[40_962:] = np.roll(off[40_962:], 1)  # control: only the vertices of the last subdivision, by one
    assert lonely(labels[right]) < 0.01 < 0.03 < lonely(labels[off])
    assert step_in_v1(right) < 20 < 40 < step_in_v1(off)


def test_occipital_patch_is_posterior_and_on_the_flat_map():
    patch = occipital_vertices()
    assert [(patch < 10_242).sum().item(), (patch >= 10_242).sum().item()] == [1191, 1173]
    pial = load_mesh("fsaverage5", "pial").points
    assert pial[patch, 1].max() < -25
    assert len(occipital_vertices(20)) < len(patch)


@pytest.mark.parametrize("side", ["left", "right"])
def test_flat_triangles_stay_inside_and_bridge_no_cut(side):
    points, faces = load_mesh("fsaverage5", "flat", side)
    every = flat_triangles(np.ones(10_242, dtype=bool), side)
    assert 0 < len(faces) - len(every) < 0.02 * len(faces)
    edges = np.linalg.norm(points[every] - np.roll(points[every], 1, axis=1), axis=2)
    assert edges.max() < 20 < np.linalg.norm(points[faces] - np.roll(points[faces], 1, axis=1), axis=2).max()
    inside = torch.zeros(10_242, dtype=torch.bool)
    inside[occipital_vertices() % 10_242] = True
    assert inside[torch.from_numpy(flat_triangles(inside, side))].all()


def test_a_coarse_region_holds_the_vertices_most_of_whose_voxels_it_has(wang):
    """fsaverage5 is the first 10,242 vertices: where a column's fine voxels agree, theirs is its region."""
    labels = torch.from_numpy(np.concatenate(wang))
    space = surface_space(torch.arange(327_684), "fsaverage", rois={"V1v": labels == 1})
    coarse = to_fsaverage5(space)
    assert torch.equal(coarse.space.vertices, torch.arange(20_484))
    assert coarse.column.bincount().min() >= 6
    assert coarse.column.bincount().max() <= 26
    shared = torch.cat([labels[:10_242], labels[163_842 : 163_842 + 10_242]])
    share, region = coarse.mean((labels == 1).float()), coarse.space.rois["V1v"]
    assert torch.equal(region, share >= 0.5)
    unanimous = (share == 0) | (share == 1)
    assert torch.equal(region[unanimous], shared[unanimous] == 1)
    assert (region == (shared == 1)).float().mean() > 0.995  # the rest lies on borders


def test_coarse_means_ignore_nan_and_keep_smooth_maps():
    fine = surface_space(torch.arange(163_842), "fsaverage")
    coarse = to_fsaverage5(fine)
    projected = coarse.mean(fine.coords)
    assert (projected - coarse.space.coords).norm(dim=1).max() < 1.5  # mm; neighbours are 3.5 apart
    values = torch.ones(163_842)
    values[:10_242] = float("nan")
    assert torch.equal(coarse.mean(values), torch.ones(10_242))
    assert coarse.mean(torch.full((163_842,), float("nan"))).isnan().all()


def test_scattered_vertices_keep_their_own_columns():
    fine = surface_space(torch.tensor([163_842 + 7, 3, 100_000]), "fsaverage")
    coarse = to_fsaverage5(fine)
    assert {3, 10_242 + 7} < set(coarse.space.vertices.tolist())
    own = coarse.space.vertices[coarse.column]
    assert own[0] == 10_249
    assert own[1] == 3
    assert coarse.space.hemisphere[coarse.column[2]] == 0
    same = to_fsaverage5(coarse.space)
    assert same.space is coarse.space
    assert torch.equal(same.mean(torch.arange(3.0)), torch.arange(3.0))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: load_mesh("fsaverge"), "Unknown mesh 'fsaverge'. Did you mean"),
        (lambda: load_mesh("fsLR32k"), "no surfaces of fsLR32k"),
        (lambda: load_mesh("fsaverage5", "spher"), "Did you mean 'sphere'"),
        (lambda: load_mesh("fsaverage5", "flat", "lh"), "Known: left, right"),
        (lambda: surface_space(torch.tensor([20_484])), "outside"),
        (lambda: to_fsaverage5(BrainSpace.free(3)), "no surface"),
    ],
)
def test_unknown_names_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_fsaverage5_and_the_fine_sphere_need_no_network_and_the_rest_says_so(tmp_path):
    """A fresh process in which every socket is refused."""
    script = """
import socket
def refuse(*args, **kwargs):
    raise OSError("no network in this test")
socket.socket.connect = socket.getaddrinfo = refuse
from brainnet.space import surface
for kind in surface.SURFACES:
    surface.load_mesh("fsaverage5", kind)
surface.sulcal_depth()
surface.sulcal_depth("fsaverage")
surface.load_mesh("fsaverage", "sphere")
surface.load_mesh("fsaverage", "flat")
surface.occipital_vertices(mesh="fsaverage")
try:
    surface.load_mesh("fsaverage", "inflated")
except ConnectionError as error:
    assert "NILEARN_DATA" in str(error), error
else:
    raise SystemExit("expected a ConnectionError")
"""
    environment = os.environ | {"HOME": str(tmp_path), "NILEARN_DATA": str(tmp_path / "nilearn")}
    environment.pop("NILEARN_SHARED_DATA", None)
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

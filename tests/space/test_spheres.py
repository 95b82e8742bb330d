"""Resampling over the sphere with planted spheres: a rotated icosahedron stands for a mesh of fsLR."""

import nibabel
import numpy as np
import pytest

from brainnet.space import BrainMap, load_mesh
from brainnet.space.spheres import SPHERE, Sphere, linear_values, nearest_points, read_sphere

N = 32_492


def sphere_of(mesh, side="left"):
    points, faces = load_mesh(mesh, "sphere", side)
    return Sphere(points / np.linalg.norm(points, axis=1, keepdims=True), faces)


def write_spheres(folder, triangles=True):
    """Points of fsLR32k, as many as it has, spread over the sphere; the triangles are not looked at here."""
    folder.mkdir()
    generator = np.random.default_rng(0)
    spheres = []
    for side in "LR":
        points = generator.normal(size=(N, 3))
        points = (100 * points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)
        faces = np.array([[0, 1, 2]], np.int32)
        arrays = [nibabel.gifti.GiftiDataArray(points, "NIFTI_INTENT_POINTSET")]
        arrays += [nibabel.gifti.GiftiDataArray(faces, "NIFTI_INTENT_TRIANGLE")] if triangles else []
        nibabel.save(nibabel.GiftiImage(darrays=arrays), folder / SPHERE.format(side=side, size="32k"))
        spheres.append(points / 100)
    return spheres


def test_a_linear_function_of_the_place_comes_back_between_the_vertices():
    own, wanted = sphere_of("fsaverage4"), sphere_of("fsaverage5")
    height = own.points @ [0.3, -0.5, 0.8]
    found = linear_values(height, own, wanted)
    expected = wanted.points @ [0.3, -0.5, 0.8]
    assert np.abs(found - expected).max() < 0.01  # a triangle is flat, the sphere is round
    assert np.abs(height[nearest_points(own, wanted)] - expected).max() > 0.02
    np.testing.assert_allclose(found[: len(height)], height, atol=1e-5)  # its own vertices


def test_what_says_nothing_is_left_out():
    own, wanted = sphere_of("fsaverage3"), sphere_of("fsaverage4")
    values = np.ones(642)
    values[own.points[:, 2] > 0.5] = np.nan
    found = linear_values(values, own, wanted)
    assert set(found[np.isfinite(found)].round(12)) == {1.0}
    assert np.isnan(found[wanted.points[:, 2] > 0.6]).all()
    assert np.isfinite(found[wanted.points[:, 2] < 0.4]).all()


def test_maps_go_between_fslr_and_fsaverage_by_the_files_of_a_folder(tmp_path):
    spheres = write_spheres(tmp_path / "atlases")
    values = np.concatenate([points[:, 2] for points in spheres])
    there = BrainMap(values, N, "fsLR32k").resampled("fsaverage4", tmp_path / "atlases")
    for number, side in enumerate(("left", "right")):
        expected = sphere_of("fsaverage4", side).points[:, 2]
        assert np.abs(there.values[2562 * number :][:2562] - expected).max() < 0.05  # points are 0.01 apart
    pair = [tmp_path / "atlases" / SPHERE.format(side=side, size="32k") for side in "LR"]
    back = there.resampled("fsLR32k", pair, linear=True)
    assert np.abs(back.values - values).max() < 0.1


def test_what_is_missing_is_said_in_one_line(tmp_path):
    one = BrainMap(np.zeros(2 * 2562), 2562, "fsaverage4")
    with pytest.raises(ValueError, match=r"deformed_to-fsaverage\.L\.sphere\.32k") as caught:
        one.resampled("fsLR32k")
    assert "\n" not in str(caught.value)
    with pytest.raises(FileNotFoundError, match=r"no fs_LR.*L\.sphere\.59k.* in .*nowhere"):
        one.resampled("fsLR59k", tmp_path / "nowhere")
    write_spheres(tmp_path / "bare", triangles=False)
    with pytest.raises(ValueError, match="without triangles"):
        BrainMap(np.zeros(2 * N), N, "fsLR32k").resampled("fsaverage4", tmp_path / "bare", linear=True)
    (tmp_path / "bare" / SPHERE.format(side="L", size="32k")).write_bytes(b"")
    with pytest.raises(ValueError, match="cannot read"):
        read_sphere("fsLR32k", 0, tmp_path / "bare")

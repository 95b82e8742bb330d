"""Published maps: read from each format, laid on a space that is theirs, and refused on any other."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
import torch
from nibabel.cifti2 import BrainModelAxis, LabelAxis, ScalarAxis

from brainnet.space import BrainMap, BrainSpace, load_mesh, read_map, surface_space
from brainnet.space.brain_maps import side_of

LEFT, RIGHT = np.arange(642.0), 1000 + np.arange(642.0)


def write_mgz(path, values):
    nibabel.save(nibabel.MGHImage(np.asarray(values, np.float32)[:, None, None], np.eye(4)), path)


def write_gifti(path, values, structure=None, names=None):
    meta = nibabel.gifti.GiftiMetaData({"AnatomicalStructurePrimary": structure} if structure else {})
    array = nibabel.gifti.GiftiDataArray(np.asarray(values, np.int32 if names else np.float32))
    image = nibabel.gifti.GiftiImage(meta=meta, darrays=[array])
    for key, name in (names or {}).items():
        label = nibabel.gifti.GiftiLabel(key)
        label.label = name
        image.labeltable.labels.append(label)
    nibabel.save(image, path)


def write_cifti(path, left, right, table=None, n=32_492, wall=(0, 1)):
    """Both hemispheres without the vertices of ``wall``, as dense labels where there is a table."""
    keep = np.setdiff1d(np.arange(n), wall)
    axis = BrainModelAxis.from_surface(keep, n, "CORTEX_LEFT") + BrainModelAxis.from_surface(keep, n, "CORTEX_RIGHT")
    maps = (
        ScalarAxis(["one"]) if table is None else LabelAxis(["one"], [{k: (v, (0, 0, 0, 1)) for k, v in table.items()}])
    )
    values = np.concatenate([left[keep], right[keep]])[None].astype(np.float32)
    nibabel.save(nibabel.Cifti2Image(values, (maps, axis)), path)


def test_a_pair_of_files_is_left_then_right_whichever_is_given(tmp_path):
    write_mgz(tmp_path / "lh.thing.mgz", LEFT)
    write_mgz(tmp_path / "rh.thing.mgz", RIGHT)
    for side in ("lh", "rh"):
        found = read_map(tmp_path / f"{side}.thing.mgz")
        assert found.mesh == "fsaverage3"
        assert np.array_equal(found.values, np.concatenate([LEFT, RIGHT]))
    space = BrainSpace(vertices=torch.tensor([1283, 5]), mesh="fsaverage3")
    assert found.at(space).tolist() == [1641, 5]
    (tmp_path / "lh.thing.mgz").unlink()
    with pytest.raises(FileNotFoundError, match="lh.thing.mgz"):
        read_map(tmp_path / "rh.thing.mgz")


@pytest.mark.parametrize(
    ("name", "side"),
    [("sub-1_hemi-L_bold.func.gii", "lh"), ("sub-1_hemi-R_bold.func.gii", "rh"), ("a.L.32k_fs_LR.label.gii", "lh"),
     ("tpl_left.gii", "lh"), ("lh.V1.annot", "lh"), ("RSC.mgz", None), ("L1norm.mgz", None)],
)  # fmt: skip
def test_a_side_is_a_word_of_the_name(name, side):
    assert side_of(name) == side


def test_exchanged_hemispheres_are_refused(tmp_path):
    for side, said in (("L", "CortexRight"), ("R", "CortexLeft")):
        write_gifti(tmp_path / f"x.{side}.func.gii", LEFT, said)
    with pytest.raises(ValueError, match="CortexRight"):
        read_map(tmp_path / "x.L.func.gii")
    write_mgz(tmp_path / "lh.a.mgz", LEFT)
    write_mgz(tmp_path / "rh.a.mgz", RIGHT)
    with pytest.raises(ValueError, match="left hemisphere first"):
        read_map(tmp_path / "rh.a.mgz", tmp_path / "lh.a.mgz")


def test_cifti_is_laid_on_the_whole_mesh(tmp_path):
    left, right = np.arange(32_492.0), 50_000 + np.arange(32_492.0)
    write_cifti(tmp_path / "x.dscalar.nii", left, right)
    found = read_map(tmp_path / "x.dscalar.nii")
    assert found.mesh == "fsLR32k"
    space = BrainSpace(vertices=torch.tensor([0, 7, 32_492 + 9]), mesh="fsLR32k")
    np.testing.assert_array_equal(found.at(space), [np.nan, 7, 50_009])


def test_a_finer_fsaverage_serves_a_coarser_and_no_other_does(tmp_path):
    fine = np.arange(2 * 2562.0)
    found = BrainMap(fine, 2562, "fsaverage4", source="fine.mgz")
    assert found.at(BrainSpace(vertices=torch.tensor([3, 642 + 3]), mesh="fsaverage3")).tolist() == [3, 2562 + 3]
    for mesh in ("fsaverage5", "fsLR32k"):
        with pytest.raises(ValueError, match=rf"fine.mgz is of fsaverage4 .*resampled\('{mesh}'\)"):
            found.at(BrainSpace(vertices=torch.tensor([3]), mesh=mesh))
    with pytest.raises(ValueError, match="2562 vertices a hemisphere"):
        found.at(BrainSpace.free(2))


def test_as_many_vertices_as_fsaverage_are_not_fsaverage(tmp_path):
    for side in "LR":
        write_gifti(tmp_path / f"x.{side}.164k_fs_LR.func.gii", np.zeros(163_842))
    with pytest.raises(ValueError, match="says fsLR"):
        read_map(tmp_path / "x.L.164k_fs_LR.func.gii")


def test_a_persons_own_surface_needs_the_vertices(tmp_path):
    write_mgz(tmp_path / "lh.own.mgz", np.arange(5))
    write_mgz(tmp_path / "rh.own.mgz", 10 + np.arange(7))
    found = read_map(tmp_path / "lh.own.mgz")
    assert found.mesh is None
    assert found.at(BrainSpace.free(3), torch.tensor([4, 5, 11])).tolist() == [4, 10, 16]
    with pytest.raises(ValueError, match="5 and 7 vertices"):
        found.at(BrainSpace.free(1), torch.tensor([12]))
    with pytest.raises(ValueError, match="5 and 7 vertices; expected 642"):
        read_map(tmp_path / "lh.own.mgz", mesh="fsaverage3")


def test_a_volume_is_read_on_its_grid_or_at_centers_where_that_is_asked_for(tmp_path):
    values = np.arange(24.0).reshape(2, 3, 4)
    nibabel.save(nibabel.Nifti1Image(values, np.diag([2.0, 2, 2, 1])), tmp_path / "x.nii.gz")
    found = read_map(tmp_path / "x.nii.gz")
    mask = torch.zeros(2, 3, 4, dtype=torch.bool)
    mask[1, 2, 3] = mask[0, 0, 1] = True
    space = BrainSpace(mask=mask, affine=torch.diag(torch.tensor([2.0, 2, 2, 1])))
    assert found.at(space).tolist() == [1, 23]
    finer = torch.zeros(4, 6, 8, dtype=torch.bool)
    finer[2, 4, 6] = finer[3, 5, 7] = True
    other = BrainSpace(mask=finer, affine=torch.eye(4))
    with pytest.raises(ValueError, match="another grid"):
        found.at(other)
    np.testing.assert_array_equal(found.at(other, resample=True), [23, np.nan])  # the second lies beyond the map
    with pytest.raises(ValueError, match="is none"):
        found.at(BrainSpace.free(2))


def test_resampling_between_meshes_of_fsaverage_takes_the_nearest_vertex():
    coarse = BrainMap(np.arange(2 * 642.0), 642, "fsaverage3")
    fine = coarse.resampled("fsaverage4")
    assert len(fine.values) == 2 * 2562
    assert np.array_equal(fine.values[:642], np.arange(642))  # these vertices are the same
    assert fine.values[2562:].min() == 642
    assert np.array_equal(fine.resampled("fsaverage3").values, coarse.values)


def test_fs_lr_needs_its_spheres(tmp_path):
    found = BrainMap(np.arange(2 * 642.0), 642, "fsaverage3")
    with pytest.raises(ValueError, match="spheres="):
        found.resampled("fsLR32k")
    rng = np.random.default_rng(0)
    base = load_mesh("fsaverage3", "sphere", "left").points
    picked = rng.integers(0, 642, 32_492)
    paths = []
    for side in "LR":
        arrays = [nibabel.gifti.GiftiDataArray(base[picked].astype(np.float32), intent="NIFTI_INTENT_POINTSET")]
        nibabel.save(nibabel.gifti.GiftiImage(darrays=arrays), tmp_path / f"{side}.sphere.surf.gii")
        paths.append(tmp_path / f"{side}.sphere.surf.gii")
    there = found.resampled("fsLR32k", paths)
    assert np.array_equal(there.values[:32_492], picked)
    assert np.array_equal(there.values[32_492:], 642 + picked)


@pytest.mark.parametrize("name", ["x.csv", "x.mat"])
def test_other_formats_are_refused(tmp_path, name):
    (tmp_path / name).write_text("1")
    with pytest.raises(ValueError, match="maps are read from"):
        read_map(tmp_path / name)


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "lh.x.mgz").write_bytes(b"no")
    (tmp_path / "rh.x.mgz").write_bytes(b"no")
    with pytest.raises(ValueError, match="lh.x.mgz"):
        read_map(tmp_path / "lh.x.mgz")


def test_a_published_map_of_values_is_known_within_the_areas(test_data):
    """Real Benson 2014: polar angles of 0 to 180 degrees in each area, and exactly 0 where there is none."""
    angle = read_map(test_data / "fsaverage/lh.benson14_angle.v4_0.mgz")
    area = read_map(test_data / "fsaverage/rh.benson14_varea.v4_0.mgz")
    assert angle.mesh == area.mesh == "fsaverage"
    v1 = surface_space(torch.from_numpy(np.flatnonzero(area.values == 1)), "fsaverage")
    values = angle.at(v1)
    assert (v1.n_voxels, round(float(values.min())), round(float(values.max()))) == (7523, 0, 180)
    assert (angle.values[area.values == 0] == 0).all()

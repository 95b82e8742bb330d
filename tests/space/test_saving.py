"""Maps to every format and back: the same voxels, regions, numbers and names, and a map drawn again is the same."""

import nibabel
import numpy as np
import pandas as pd
import pytest
import torch

from brainnet.space import BrainSpace, MapSet, read_maps, save_maps, surface_space

FILES = {
    "gifti": ("run.L.func.gii", "run_layer.R.label.gii"), "cifti": ("run.dscalar.nii", "run.dlabel.nii"),
    "nifti": ("run.nii.gz", "run_layer.nii.gz"), "csv": ("run.csv", "run.csv"), "pycortex": ("run.npz", "run.npz"),
}  # fmt: skip
COLORS = np.array([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6], [0.7, 0.8, 0.9]])


def maps_of(space, rng):
    r = torch.rand(space.n_voxels, generator=rng)
    r[3] = torch.nan  # a voxel without a score is a voxel all the same
    layer = torch.randint(-1, 3, (space.n_voxels,), generator=rng)
    values = {"r": r, "share of ceiling": r * 2, "layer": layer}
    return MapSet(space, values, {"layer": ["conv1", "conv2 & more", "<b>3</b>"]}, {"layer": COLORS})


@pytest.fixture
def surface(rng):
    vertices = torch.cat([torch.arange(40, 90), torch.arange(10_242 + 7, 10_242 + 30)])
    return maps_of(surface_space(vertices, "fsaverage5", {"V1": vertices < 60, "IT": vertices > 10_250}), rng)


@pytest.fixture
def volume(rng):
    mask = torch.zeros(5, 6, 4).bool()
    mask[1:4, 1:5, 1:3] = True
    affine = torch.tensor([[2.0, 0, 0, -10], [0, 2.5, 0, 4], [0, 0, 3, 1], [0, 0, 0, 1]]).double()
    space = BrainSpace(mask=mask, affine=affine)
    return maps_of(BrainSpace(mask=mask, affine=affine, rois={"V1": space.coords[:, 0] > -6}), rng)


def same(found, maps, name, exact_colors=True):
    assert torch.equal(torch.nan_to_num(found.values[name], -9), torch.nan_to_num(maps.values[name], -9))
    assert set(found.space.rois) == set(maps.space.rois)
    assert all(torch.equal(found.space.rois[roi], mask) for roi, mask in maps.space.rois.items())
    if maps.is_categorical(name) and exact_colors:
        assert list(found.categories[name]) == list(maps.categories[name])
        assert np.allclose(found.colors[name], COLORS, atol=1e-6)


@pytest.mark.parametrize("kind", ["gifti", "cifti", "pycortex"])
def test_surfaces_come_back_as_they_were(kind, surface, tmp_path):
    save_maps(surface, tmp_path / "run", [kind])
    numbers, labels = (read_maps(tmp_path / name) for name in FILES[kind])
    for found, names in ((numbers, ("r", "share of ceiling")), (labels, ("layer",))):
        assert torch.equal(found.space.vertices, surface.space.vertices)
        assert found.space.mesh == "fsaverage5"
        for name in names:
            same(found, surface, name)


@pytest.mark.parametrize("kind", ["nifti", "pycortex"])
def test_volumes_come_back_as_they_were(kind, volume, tmp_path):
    save_maps(volume, tmp_path / "run", [kind])
    numbers, labels = (read_maps(tmp_path / name) for name in FILES[kind])
    for found, names in ((numbers, ("r", "share of ceiling")), (labels, ("layer",))):
        assert torch.equal(found.space.mask, volume.space.mask)
        assert torch.allclose(found.space.affine, volume.space.affine)
        for name in names:
            same(found, volume, name)


def test_a_table_has_a_row_for_each_voxel_with_names(surface, volume, tmp_path):
    save_maps(surface, tmp_path / "run", ["csv"])
    table = pd.read_csv(tmp_path / "run.csv", keep_default_na=False)
    assert table["voxel"].tolist() == surface.space.vertices.tolist()
    assert set(table["layer"]) <= {"", "conv1", "conv2 & more", "<b>3</b>"}
    found = read_maps(tmp_path / "run.csv")
    same(found, surface, "r")
    names = [[*one.names_of("layer"), ""] for one in (found, surface)]
    assert [names[0][i] for i in found.values["layer"]] == [names[1][i] for i in surface.values["layer"]]
    save_maps(volume, tmp_path / "volume", ["csv"])
    same(read_maps(tmp_path / "volume.csv", volume.space), volume, "r")
    with pytest.raises(ValueError, match="24 rows, the space 3"):
        read_maps(tmp_path / "volume.csv", BrainSpace.free(3))


@pytest.mark.parametrize("kind", ["gifti", "cifti", "pycortex"])
def test_a_saved_map_drawn_again_gives_the_same_pixels(kind, surface, tmp_path):
    from brainnet import plot

    save_maps(surface, tmp_path / "run", [kind])
    scene = plot.Scene("sphere", ("posterior", "medial"), pixels=300)
    for name, file in zip(("r", "layer"), FILES[kind], strict=True):
        found = read_maps(tmp_path / file)
        drawn = [
            plot.cortex(one.values[name], one.space, scene, outlines=True, colors=one.colors.get(name),
                        categories=one.categories.get(name)).axes[0].images[0].get_array()
            for one in (surface, found)
        ]  # fmt: skip
        assert np.array_equal(*map(np.asarray, drawn))


def test_files_say_what_other_programs_ask_for(surface, tmp_path):
    save_maps(surface, tmp_path / "run", ["gifti", "cifti", "pycortex"])
    left = nibabel.load(tmp_path / "run.L.func.gii")
    assert left.meta["AnatomicalStructurePrimary"] == "CortexLeft"
    assert [array.meta["Name"] for array in left.darrays] == ["r", "share of ceiling"]
    assert left.darrays[0].data.shape == (10_242,)
    labels = nibabel.load(tmp_path / "run_layer.R.label.gii").labeltable.get_labels_as_dict()
    assert labels == {0: "none", 1: "conv1", 2: "conv2 & more", 3: "<b>3</b>"}
    scalars = nibabel.load(tmp_path / "run.dscalar.nii")
    axis = scalars.header.get_axis(1)
    assert axis.nvertices == {"CIFTI_STRUCTURE_CORTEX_LEFT": 10_242, "CIFTI_STRUCTURE_CORTEX_RIGHT": 10_242}
    assert scalars.nifti_header.get_intent()[0] == "ConnDenseScalar"
    assert list(scalars.header.get_axis(0).name) == ["r", "share of ceiling"]
    dense = nibabel.load(tmp_path / "run.dlabel.nii")
    assert dense.header.get_axis(0).label[0][2][0] == "conv2 & more"
    with np.load(tmp_path / "run.npz") as arrays:
        whole = arrays["cortex:r"]
    assert whole.shape == (2 * 163_842,)
    assert np.isfinite(whole).any()
    first = surface.values["r"][0]
    assert whole[40] == first  # the vertices of fsaverage5 are the first ones of fsaverage


def test_files_of_other_programs_are_read(tmp_path):
    for side, structure in (("L", "CortexLeft"), ("R", "CortexRight")):
        values = np.full(642, np.nan, dtype=np.float32)
        values[5:9] = 1.5 if side == "L" else 2.5
        image = nibabel.GiftiImage(meta=nibabel.gifti.GiftiMetaData({"AnatomicalStructurePrimary": structure}))
        image.add_gifti_data_array(nibabel.gifti.GiftiDataArray(values))
        nibabel.save(image, tmp_path / f"theirs.{side}.func.gii")
    found = read_maps(tmp_path / "theirs.R.func.gii")
    assert found.space.mesh == "fsaverage3"
    assert found.space.vertices.tolist() == [5, 6, 7, 8, 647, 648, 649, 650]
    assert found.values["0"].tolist() == [1.5] * 4 + [2.5] * 4
    nibabel.save(nibabel.Nifti1Image(np.arange(8, dtype=np.float32).reshape(2, 2, 2), np.eye(4)), tmp_path / "t.nii.gz")
    assert read_maps(tmp_path / "t.nii.gz").space.n_voxels == 8


def test_one_hemisphere_and_other_spaces_are_written(rng, tmp_path):
    right = surface_space(torch.arange(10_242, 10_300))
    maps = MapSet(right, {"r": torch.rand(58, generator=rng)})
    save_maps(maps, tmp_path / "right", ["cifti", "gifti"])
    assert torch.equal(read_maps(tmp_path / "right.dscalar.nii").space.vertices, right.vertices)
    assert torch.equal(read_maps(tmp_path / "right.L.func.gii").values["r"], maps.values["r"])
    free = MapSet(BrainSpace.free(5, {"V4": torch.ones(5).bool()}), {"r": torch.rand(5, generator=rng)})
    assert [path.name for path in save_maps(free, tmp_path / "units")] == ["units.csv"]
    assert torch.equal(read_maps(tmp_path / "units.csv").values["r"], free.values["r"])


def test_what_does_not_fit_is_refused(surface, volume, tmp_path):
    with pytest.raises(ValueError, match=r"nifti does not fit .*gifti, cifti"):
        save_maps(surface, tmp_path / "run", ["nifti"])
    with pytest.raises(ValueError, match=r"cifti does not fit .*nifti"):
        save_maps(volume, tmp_path / "run", ["cifti"])
    with pytest.raises(ValueError, match=r"'gift'.*'gifti'"):
        save_maps(surface, tmp_path / "run", ["gift"])
    with pytest.raises(ValueError, match="no map"):
        save_maps(MapSet(surface.space, {}), tmp_path / "run")
    with pytest.raises(ValueError, match=r"'r' has shape \(2,\), expected \(73,\)"):
        save_maps(MapSet(surface.space, {"r": torch.ones(2)}), tmp_path / "run")
    with pytest.raises(ValueError, match=r"got run\.mat"):
        read_maps(tmp_path / "run.mat")
    save_maps(surface, tmp_path / "run")
    (tmp_path / "run.R.func.gii").unlink()
    with pytest.raises(FileNotFoundError, match=r"run\.R\.func\.gii"):
        read_maps(tmp_path / "run.L.func.gii")

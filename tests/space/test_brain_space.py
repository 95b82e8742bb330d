import io
import math
import pickle

import numpy as np
import pytest
import torch

from brainnet.space import VERTICES_PER_HEMISPHERE, BrainSpace


@pytest.fixture
def surface():
    vertices = torch.tensor([5, 0, 10_242, 20_483])
    rois = {"V1": torch.tensor([True, False, True, False]), "V2": torch.tensor([False, True, False, False])}
    return BrainSpace(coords=torch.arange(12.0).view(4, 3), vertices=vertices, mesh="fsaverage5", rois=rois)


@pytest.fixture
def volume(rng):
    mask = torch.rand(4, 5, 6, generator=rng) > 0.6
    affine = torch.tensor([[2.0, 1, 0, -3], [0, 2, 0, -5], [0, 0, 3, 1], [0, 0, 0, 1]])
    return BrainSpace(mask=mask, affine=affine)


def test_surface_space_knows_hemispheres_and_roi_names(surface):
    assert surface.n_voxels == 4
    assert surface.hemisphere.tolist() == [0, 0, 1, 1]
    assert surface.roi_names == ("V1", "V2")
    assert surface.n_mesh_vertices == 2 * VERTICES_PER_HEMISPHERE["fsaverage5"]


def test_to_surface_puts_every_value_on_its_vertex(surface):
    values = torch.tensor([[1.0, 2, 3, 4], [5, 6, 7, 8]])
    full = surface.to_surface(values)
    assert full.shape == (2, 20_484)
    assert torch.equal(full[:, surface.vertices], values)
    assert torch.isnan(full).sum() == 2 * (20_484 - 4)
    assert surface.to_surface(torch.tensor([1, 2, 3, 4]), fill=-1).dtype == torch.int64
    assert surface.to_surface(torch.tensor([True, False, True, True])).nansum() == 3


def test_subset_keeps_values_and_place_together(surface):
    part = surface.subset([2, 0])
    assert part.vertices.tolist() == [10_242, 5]
    assert part.coords[:, 0].tolist() == [6.0, 0.0]
    assert part.rois["V1"].tolist() == [True, True]
    assert surface.subset("V2").vertices.tolist() == [0]
    assert surface.subset(torch.tensor([False, True, False, True])).vertices.tolist() == [0, 20_483]
    assert surface.subset(slice(1, 3)).vertices.tolist() == [0, 10_242]
    assert surface.subset([-1]).vertices.tolist() == [20_483]
    assert surface.subset([]).n_voxels == 0


def test_subset_to_surface_equals_masked_full(surface):
    values = torch.tensor([1.0, 2, 3, 4])
    keep = [3, 1]
    part = surface.subset(keep).to_surface(values[keep], fill=0)
    assert torch.equal(part, surface.to_surface(torch.tensor([0.0, 2, 0, 4]), fill=0))


def test_volume_coordinates_follow_the_affine(volume):
    ijk = volume.mask.nonzero()
    x, y, z = ijk.T
    expected = torch.stack([2.0 * x + y - 3, 2.0 * y - 5, 3.0 * z + 1], dim=1)
    assert torch.equal(volume.coords, expected)
    assert torch.equal(volume.hemisphere, (expected[:, 0] > 0).long())


def test_volume_round_trip_survives_reordering(volume):
    values = torch.arange(float(volume.n_voxels))
    image = volume.to_volume(values)
    assert image.shape == (4, 5, 6)
    assert np.array_equal(image.affine, volume.affine.numpy())
    assert np.array_equal(image.get_fdata()[volume.mask.numpy()], values.numpy())
    assert np.isnan(image.get_fdata()[~volume.mask.numpy()]).all()

    order = torch.arange(volume.n_voxels).flip(0)[::2]
    part = volume.subset(order)
    data = part.to_volume(values[order], fill=-1).get_fdata()
    assert np.array_equal(data[data >= 0], np.sort(values[order].numpy()))
    assert np.array_equal(data[data >= 0], image.get_fdata()[data >= 0])
    assert torch.equal(part.coords, volume.coords[order])


def test_rows_of_values_become_the_fourth_axis(volume):
    values = torch.stack([torch.zeros(volume.n_voxels), torch.ones(volume.n_voxels)])
    image = volume.to_volume(values)
    assert image.shape == (4, 5, 6, 2)
    assert image.get_fdata()[..., 1][volume.mask.numpy()].min() == 1


def test_free_space_has_no_place():
    space = BrainSpace.free(5, rois={"V4": torch.ones(5, dtype=torch.bool)})
    assert (space.coords, space.vertices, space.mesh, space.mask) == (None, None, None, None)
    assert space.subset([4, 2]).n_voxels == 2
    for refused in (lambda: space.hemisphere, lambda: space.to_surface(torch.ones(5)), lambda: space.n_mesh_vertices):
        with pytest.raises(ValueError, match=r"no hemispheres|no surface"):
            refused()
    with pytest.raises(ValueError, match="no volume"):
        space.to_volume(torch.ones(5))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"coords": torch.zeros(3, 3), "vertices": torch.arange(4), "mesh": "fsaverage5"}, "coords: 3, vertices: 4"),
        ({"coords": torch.zeros(3, 3), "n_voxels": 4}, "coords: 3, n_voxels: 4"),
        ({"coords": torch.zeros(3, 2)}, r"\(n_voxels, 3\)"),
        ({"coords": torch.tensor([[0.0, 0, math.nan]])}, "not finite"),
        ({"vertices": torch.tensor([0, 20_484]), "mesh": "fsaverage5"}, "1 vertices are outside 0..20483"),
        ({"vertices": torch.tensor([-1, 3]), "mesh": "fsaverage5"}, "outside"),
        ({"vertices": torch.tensor([3, 3]), "mesh": "fsaverage5"}, "named more than once, the first is 3"),
        ({"vertices": torch.tensor([1.0, 2.0]), "mesh": "fsaverage5"}, "integers"),
        ({"vertices": torch.arange(4)}, "belong together"),
        ({"vertices": torch.arange(4), "mesh": "fsaverage9"}, "Known: fsaverage5, fsaverage"),
        ({"n_voxels": 3, "rois": {"V1": torch.tensor([0, 2])}}, "'V1' must be a boolean mask"),
        ({"n_voxels": 3, "rois": {"V1": torch.ones(4).bool()}}, "expected \\(3,\\)"),
        ({}, "BrainSpace.free"),
        ({"mask": torch.ones(2, 2, 2).bool()}, "affine"),
        ({"mask": torch.ones(2, 2, 2), "affine": torch.eye(4)}, "boolean"),
        ({"affine": torch.eye(4), "n_voxels": 3}, "mask"),
    ],
)
def test_what_does_not_fit_together_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        BrainSpace(**given)


@pytest.mark.parametrize("index", ["MT", [0, 0], [4], [-1, 3], torch.tensor([True]), [0.5]])
def test_impossible_subsets_are_refused(surface, index):
    with pytest.raises(ValueError, match=r"ROI|more than once|reaches|bool index|integers"):
        surface.subset(index)


def test_values_of_another_length_are_refused(surface):
    with pytest.raises(ValueError, match="4 voxels"):
        surface.to_surface(torch.ones(3))


def test_callers_tensors_cannot_be_exchanged(surface):
    with pytest.raises(AttributeError):
        surface.coords = None


@pytest.mark.parametrize("kind", ["surface", "volume"])
def test_arrays_and_pickle_round_trip(kind, request):
    space = request.getfixturevalue(kind)
    space = space.subset(torch.arange(space.n_voxels).flip(0))
    buffer = io.BytesIO()
    np.savez(buffer, **space.to_arrays(), other=np.zeros(2))
    buffer.seek(0)
    for again in (BrainSpace.from_arrays(np.load(buffer, allow_pickle=False)), pickle.loads(pickle.dumps(space))):
        assert repr(again) == repr(space)
        assert torch.equal(again.coords, space.coords)
        for name in ("vertices", "volume_index", "mask"):
            mine, theirs = getattr(again, name), getattr(space, name)
            assert mine is theirs is None or torch.equal(mine, theirs)
        assert all(torch.equal(again.rois[name], mask) for name, mask in space.rois.items())


def test_sensors_and_times_travel_with_their_columns():
    space = BrainSpace(
        sensors=["Oz", "Oz", "Pz"], times=torch.tensor([-0.1, 0.2, 0.2]), rois={"O": torch.tensor([1, 1, 0]) > 0}
    )
    assert space.sensor_names == ("Oz", "Pz")
    assert space.time_points.tolist() == pytest.approx([-0.1, 0.2])
    part = space.subset([2, 0])
    assert part.sensors == ("Pz", "Oz")
    assert part.times.tolist() == pytest.approx([0.2, -0.1])
    again = BrainSpace.from_arrays(np_saved(space.to_arrays()))
    assert again.sensors == space.sensors
    assert torch.equal(again.times, space.times)
    assert {name: column.tolist() for name, column in part.labels().items()} == {
        "voxel": [0, 1], "sensor": ["Pz", "Oz"], "time": part.times.tolist()
    }  # fmt: skip
    assert space.to_sensors(torch.tensor([[1, 2, 3]]), fill=-1).tolist() == [[[1, 2], [-1, 3]]]


def np_saved(arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    buffer.seek(0)
    with np.load(buffer, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sensors": ["Oz", "Pz"], "n_voxels": 3}, "sensors: 2"),
        ({"sensors": ["Oz", "Oz"], "times": torch.tensor([0.1, 0.1])}, "'Oz', 0.1"),
        ({"sensors": ["Oz", "Oz"]}, "'Oz'"),
        ({"times": torch.tensor([0.1, float("nan")])}, "finite"),
        ({"times": torch.zeros(2, 2)}, r"\(2, 2\)"),
    ],
)
def test_sensors_that_do_not_fit_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        BrainSpace(**given)


def test_columns_without_times_have_no_courses():
    with pytest.raises(ValueError, match="sensor_space"):
        BrainSpace(sensors=["a", "b"]).to_sensors(torch.zeros(2))
    assert BrainSpace.free(2).sensor_names == ()
    assert len(BrainSpace.free(2).time_points) == 0

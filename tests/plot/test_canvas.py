import numpy as np
import pytest
import torch
from matplotlib.path import Path

from brainnet import plot
from brainnet.plot._canvas import canvas_of
from brainnet.space import BrainSpace, load_mesh, occipital_vertices, surface_space


@pytest.fixture(scope="module")
def patch():
    return surface_space(occipital_vertices(25))


@pytest.fixture(scope="module")
def volume():
    """A shell of voxels whose axes are flipped against the world: x to the left, z downwards."""
    x, y, z = torch.meshgrid(torch.arange(20), torch.arange(24), torch.arange(9), indexing="ij")
    mask = ((x - 10) ** 2 / 80 + (y - 12) ** 2 / 120 + (z - 4) ** 2 / 16 < 1) & (y < 12)
    affine = torch.tensor([[-3.0, 0, 0, 30], [0, 3, 0, -60], [0, 0, -4, 20], [0, 0, 0, 1]])
    return BrainSpace(mask=mask, affine=affine)


def at_points(canvas, picture):
    """Pixels of a picture where the voxels lie; those no map shows borrow the upper left corner, which is empty."""
    x, y = np.where(np.isnan(canvas.points), [0, canvas.size[1]], canvas.points).T
    height, width = canvas.shape
    row = np.clip((height - y / canvas.size[1] * height).astype(int), 0, height - 1)
    column = np.clip((x / canvas.size[0] * width).astype(int), 0, width - 1)
    return picture[row, column]


def test_left_is_left_posterior_faces_the_middle_and_dorsal_is_up(patch):
    canvas = canvas_of(patch)
    x, y = canvas.points.T
    left = patch.hemisphere.numpy() == 0
    assert x[left].max() < x[~left].min()
    pial = load_mesh("fsaverage5", "pial").points[patch.vertices.numpy()]
    whole = canvas_of(surface_space(torch.arange(20_484)))
    everything = load_mesh("fsaverage5", "inflated").points
    on_map = ~np.isnan(whole.points[:, 0])
    side = np.arange(20_484) < 10_242
    for half, sign in ((side, -1), (~side, 1)):  # anterior is outwards
        assert sign * np.corrcoef(whole.points[half & on_map, 0], everything[half & on_map, 1])[0, 1] > 0.9
        assert np.corrcoef(whole.points[half & on_map, 1], everything[half & on_map, 2])[0, 1] > 0.8
    assert np.corrcoef(y, pial[:, 2])[0, 1] > 0.8


def test_values_appear_on_their_vertex(patch, rng):
    canvas = canvas_of(patch)
    smooth = patch.coords / 100
    seen = at_points(canvas, canvas.interpolate(smooth))
    assert np.nanmax(np.abs(seen - smooth.numpy())) < 0.02
    assert np.isnan(seen).any(axis=1).mean() < 0.05  # rim pixels whose centre lies just outside
    labels = torch.randint(0, 1000, (patch.n_voxels,), generator=rng)
    voted = at_points(canvas, canvas.vote(labels))
    assert ((voted == labels.numpy()) | (voted == -1)).mean() > 0.995


def test_every_pixel_mixes_known_voxels_with_weights_that_sum_to_one(patch):
    canvas = canvas_of(patch)
    assert np.allclose(canvas.weights.sum(axis=1), 1, atol=1e-6)
    assert ((canvas.columns >= 0) * canvas.weights).sum(axis=1).min() >= 0.5
    assert len(np.unique(canvas.pixels)) == len(canvas.pixels)
    constant = canvas.interpolate(torch.ones(patch.n_voxels))
    assert np.nanmax(np.abs(constant - 1)) < 1e-12  # nothing bleeds in from outside
    assert np.isfinite(constant).mean() > 0.2


def test_missing_voxels_leave_a_hole_and_do_not_bleed(patch, rng):
    canvas = canvas_of(patch)
    values = torch.rand(patch.n_voxels, generator=rng)
    missing = torch.zeros(patch.n_voxels, dtype=torch.bool)
    missing[::7] = True
    holed = torch.where(missing, torch.nan, values)
    whole, picture = canvas.interpolate(values), canvas.interpolate(holed)
    assert np.isnan(at_points(canvas, picture)[missing.numpy()]).all()
    kept = at_points(canvas, picture)[~missing.numpy()]
    assert np.isnan(kept).mean() < 0.05
    assert np.nanmin(picture) >= holed[~missing].min().item()
    untouched = ~missing.numpy()[canvas.columns].any(axis=1) & (canvas.columns >= 0).all(axis=1)
    places = canvas.pixels[untouched]
    assert np.array_equal(picture.reshape(-1)[places], whole.reshape(-1)[places], equal_nan=True)


def test_unlabelled_voxels_are_blank(patch):
    canvas = canvas_of(patch)
    labels = torch.where(patch.hemisphere == 0, -1, 3)
    picture = canvas.vote(labels)
    assert set(np.unique(picture)) == {-1, 3}
    assert (picture[:, : canvas.shape[1] // 3] == -1).all()


def test_one_hemisphere_fills_the_picture():
    canvas = canvas_of(surface_space(occipital_vertices(25)[:300]))
    assert [text for *_, text, _, _ in canvas.notes] == ["L", "← anterior", "posterior →"]
    assert np.ptp(canvas.points[:, 0]) > 0.6 * canvas.size[0]


def test_fsaverage_is_drawn_at_its_own_resolution(patch):
    fine = surface_space(occipital_vertices(25, "fsaverage"), "fsaverage")
    canvas = canvas_of(fine)
    seen = at_points(canvas, canvas.interpolate(fine.coords))
    assert np.nanpercentile(np.abs(seen - fine.coords.numpy()), 99) < 1
    shared = fine.vertices % 163_842 < 10_242
    coarse = canvas_of(patch)
    assert shared.sum() == patch.n_voxels
    same = canvas.points[shared] - coarse.points
    assert np.ptp(same, axis=0).max() < 1  # the same map, cropped within a millimetre


def test_a_region_is_outlined_where_it_is(patch):
    canvas = canvas_of(patch)
    region = (patch.coords[:, 2] > patch.coords[:, 2].median()) & (patch.hemisphere == 1)
    border = canvas.border(region)
    inside = np.zeros(patch.n_voxels, dtype=bool)
    for line in border.lines:
        inside |= Path(line).contains_points(canvas.points)
        assert np.array_equal(line[0], line[-1])
    assert (inside == region.numpy()).mean() > 0.97
    assert len(border.centres) == 1
    nearest = np.linalg.norm(canvas.points - border.centres[0], axis=1).argmin()
    assert region[nearest]
    nothing = canvas.border(torch.zeros(patch.n_voxels, dtype=torch.bool))
    assert (nothing.lines, nothing.centres) == ([], [])


def test_slices_show_every_voxel_once_with_left_on_the_left(volume):
    canvas = canvas_of(volume)
    shown = ~np.isnan(canvas.points[:, 0])
    assert shown.all()  # 9 levels at most
    picture = canvas.interpolate(volume.coords)
    assert np.allclose(at_points(canvas, picture), volume.coords)
    heights = volume.coords[:, 2].numpy()
    middle = heights == np.unique(heights)[len(np.unique(heights)) // 2]
    assert np.corrcoef(canvas.points[middle, 0], volume.coords[middle, 0])[0, 1] > 0.99
    assert np.corrcoef(canvas.points[middle, 1], volume.coords[middle, 1])[0, 1] > 0.99
    assert f"z = {np.unique(heights)[0]:.0f} mm" == canvas.notes[0][2]


def test_a_mesh_without_surfaces_has_no_picture_and_says_why():
    space = BrainSpace(vertices=torch.arange(50), mesh="fsLR32k")
    assert canvas_of(space) is None
    with pytest.raises(ValueError, match="no surfaces of fsLR32k"):
        plot.flatmap(torch.zeros(50), space)


def test_places_without_a_picture(patch):
    assert canvas_of(BrainSpace.free(4)) is None
    assert canvas_of(patch) is canvas_of(patch)
    faces = load_mesh("fsaverage5", "flat", "left").faces
    wall = np.setdiff1d(np.arange(10_242), faces)[:5]
    with pytest.raises(ValueError, match="none of the 5 voxels is on the flat map"):
        canvas_of(surface_space(torch.from_numpy(wall)))


def test_slices_have_a_rim_where_voxels_meet_none(volume):
    canvas = canvas_of(volume)
    sides = canvas.rim[:, 1] - canvas.rim[:, 0]
    assert np.allclose(np.sort(np.abs(sides), axis=1)[:, 0], 0)  # level or upright
    assert (canvas.rim >= -1e-9).all()
    assert (canvas.rim <= np.array(canvas.size) + 1e-9).all()
    filled = np.zeros(canvas.shape, dtype=bool)
    filled.reshape(-1)[canvas.pixels] = True
    padded = np.pad(filled, 1)
    meet = (padded[1:] != padded[:-1]).sum() + (padded[:, 1:] != padded[:, :-1]).sum()
    assert len(canvas.rim) == meet

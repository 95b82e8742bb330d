import numpy as np
import pytest
import torch

from brainnet.plot.brain.views import canvas_for, sides_of
from brainnet.plot.scene import Scene
from brainnet.space import BrainSpace, load_mesh, occipital_vertices, surface_space


@pytest.fixture(scope="module")
def whole():
    return surface_space(torch.arange(20_484))


def view_of(canvas, number):
    """The part of the picture that a view takes, as rows and columns."""
    pixel = canvas.size[0] / canvas.shape[1]
    left, right, bottom, top = canvas.views[number].box
    rows = slice(int(canvas.shape[0] - top / pixel + 0.5), int(canvas.shape[0] - bottom / pixel))
    return rows, slice(int(left / pixel + 0.5), int(right / pixel))


def at_points(canvas, picture):
    x, y = np.nan_to_num(canvas.points).T
    row = np.clip((canvas.shape[0] - y / canvas.size[1] * canvas.shape[0]).astype(int), 0, canvas.shape[0] - 1)
    return picture[row, np.clip((x / canvas.size[0] * canvas.shape[1]).astype(int), 0, canvas.shape[1] - 1)]


@pytest.mark.parametrize("surface", ["inflated", "pial", "sphere"])
def test_nothing_is_swapped(whole, surface):
    """Left and right stand so, the front points outwards in lateral views, inwards in medial ones, up is up."""
    points = load_mesh("fsaverage5", surface).points
    canvas = canvas_for(whole, Scene(surface, pixels=400))
    sides, outwards = canvas.interpolate((torch.arange(20_484) >= 10_242).float()), {}
    x, y, z = (canvas.interpolate(torch.from_numpy(points[:, axis].copy())) for axis in range(3))
    for number, (side, view) in enumerate([(0, "lateral"), (1, "lateral"), (0, "medial"), (1, "medial")]):
        part = view_of(canvas, number)
        known = np.isfinite(sides[part])
        rows, columns = np.nonzero(known)
        assert np.abs(sides[part][known] - side).max() < 1e-9
        forwards = 1 if (side == 1) == (view == "lateral") else -1
        assert np.corrcoef(columns, forwards * y[part][known])[0, 1] > 0.99
        assert np.corrcoef(rows, -z[part][known])[0, 1] > 0.99
        outwards[number] = (1 if side else -1) * np.median(x[part][known])
    assert outwards[0] > outwards[2] + 20  # mm
    assert outwards[1] > outwards[3] + 20


def test_from_below_and_behind_left_and_right_are_as_seen_there(whole):
    points = load_mesh("fsaverage5", "pial").points
    canvas = canvas_for(whole, Scene("pial", ("ventral", "posterior", "dorsal"), "left", pixels=400))
    x, y = (canvas.interpolate(torch.from_numpy(points[:, axis].copy())) for axis in (0, 1))
    for number, sign in ((0, -1), (1, 1), (2, 1)):
        part = view_of(canvas, number)
        known = np.isfinite(x[part])
        assert np.corrcoef(np.nonzero(known)[1], sign * x[part][known])[0, 1] > 0.99
    front = view_of(canvas, 0)
    assert np.corrcoef(np.nonzero(np.isfinite(y[front]))[0], -y[front][np.isfinite(y[front])])[0, 1] > 0.99


def test_values_appear_on_the_vertices_that_are_seen(whole, rng):
    canvas = canvas_for(whole, Scene("inflated", pixels=1600))
    seen = np.isfinite(canvas.points[:, 0])
    assert seen.mean() > 0.95
    labels = torch.randint(0, 1000, (20_484,), generator=rng)
    facing = at_points(canvas, canvas.light) > 0.5
    voted = at_points(canvas, canvas.vote(labels))
    assert (voted == labels.numpy())[seen & facing].mean() > 0.97  # the others lie under a neighbour's pixel
    smooth = load_mesh("fsaverage5", "inflated").points.copy()
    found = at_points(canvas, canvas.interpolate(torch.from_numpy(smooth)))
    assert np.abs(found - smooth)[seen & facing & np.isfinite(found[:, 0])].max() < 2.0


def test_what_lies_behind_is_not_seen(whole):
    """In a lateral view no pixel shows the inner side of the hemisphere."""
    points = load_mesh("fsaverage5", "sphere").points
    canvas = canvas_for(whole, Scene("sphere", ("lateral",), "left", pixels=300))
    x = canvas.interpolate(torch.from_numpy(points[:, 0].copy()))
    assert np.nanmax(x) < 2.0
    border = canvas.border(torch.from_numpy(points[:, 0] > 20))  # behind
    assert border.lines == []
    assert border.centres == []


def test_the_border_of_a_region_lies_where_the_region_ends(whole):
    points = load_mesh("fsaverage5", "inflated").points
    canvas = canvas_for(whole, Scene("inflated", ("lateral",), "left", pixels=800))
    border = canvas.border(torch.from_numpy(points[:, 1] > 0))
    assert len(border.centres) == 1
    xy = np.concatenate(border.lines)
    ends = canvas.points[:10_242][np.abs(points[:10_242, 1]) < 2]
    assert abs(xy[:, 0].mean() - np.nanmean(ends[:, 0])) < 2


def test_a_patch_shows_the_hemispheres_that_hold_it():
    space = surface_space(occipital_vertices(20))
    left = space.subset(space.hemisphere == 0)
    assert sides_of(space, None) == [0, 1]
    assert sides_of(left, None) == [0]
    assert len(canvas_for(left, Scene(pixels=100)).views) == 2
    with pytest.raises(ValueError, match="right hemisphere"):
        canvas_for(left, Scene(hemisphere="right"))
    flat = canvas_for(space, Scene("flat", hemisphere="left", pixels=300))
    assert flat.shape[1] == 300
    assert canvas_for(BrainSpace.free(3)) is None
    with pytest.raises(ValueError, match="no surface"):
        canvas_for(BrainSpace.free(3), "inflated")


def test_one_vertex_can_be_drawn():
    canvas = canvas_for(surface_space(torch.tensor([100])), Scene(pixels=400))
    assert np.isfinite(canvas.interpolate(torch.ones(1))).sum() > 0

import numpy as np
import pytest
import torch
from matplotlib import colormaps
from matplotlib.figure import Figure

from brainnet import plot
from brainnet.plot._colors import cluster_colors
from brainnet.plot.brain.views import canvas_for
from brainnet.space import BrainSpace, load_mesh, surface_space

SCENE = plot.Scene(pixels=400)


@pytest.fixture(scope="module")
def whole():
    space = surface_space(torch.arange(20_484))
    return surface_space(space.vertices, "fsaverage5", {"up": space.coords[:, 2] > 50, "left": space.hemisphere == 0})


def picture_of(figure):
    """The pixels of a figure's map, (height, width, 3) of 0..255."""
    return np.asarray(figure.axes[0].images[0].get_array())


def test_every_color_of_a_saved_map_is_that_of_its_value(whole, tmp_path):
    """Read back from the file: a map of known values against the color bar."""
    from matplotlib.image import imread

    values = torch.full((whole.n_voxels,), 0.25)
    values[10_242:] = 0.75
    figure = plot.cortex(values, whole, SCENE, vmin=0, vmax=1, width=2.2)
    pixels = imread(plot.save(figure, tmp_path / "map", ("png",), dpi=200)[0])[..., :3]
    for value in (0.25, 0.75):
        expected = np.array(colormaps["viridis"](value)[:3])
        assert (np.abs(pixels - expected).max(axis=-1) < 2 / 255).mean() > 0.1


def test_categories_are_never_mixed(whole, tmp_path, rng):
    labels = torch.randint(-1, 6, (whole.n_voxels,), generator=rng)
    ink = {tuple(color) for color in (255 * cluster_colors(6)).round().astype(np.uint8).tolist()}
    pixels = picture_of(plot.cortex(labels, whole, SCENE, categories=list("abcdef"))).reshape(-1, 3)
    colored = np.ptp(pixels.astype(int), axis=1) > 0
    assert {tuple(color) for color in pixels[colored].tolist()} == ink
    figure = plot.cortex(torch.full((20_484,), 3), whole, SCENE, colors=np.eye(4, 3), categories=list("abcd"))
    legend = figure.axes[1]
    assert [text.get_text() for text in legend.get_xticklabels()] == ["d"]


def test_missing_faint_and_small_values_show_the_cortex(whole):
    shade = picture_of(plot.cortex(torch.full((20_484,), torch.nan), whole, SCENE))
    values = whole.coords[:, 2] / 100
    assert np.array_equal(picture_of(plot.cortex(values, whole, SCENE, alpha=torch.zeros(20_484))), shade)
    rgba = torch.cat([torch.rand(20_484, 3), torch.zeros(20_484, 1)], 1)
    assert np.array_equal(picture_of(plot.cortex(rgba, whole, SCENE)), shade)
    figure = plot.cortex(values, whole, SCENE, threshold=0.5)
    canvas = canvas_for(whole, SCENE)
    small = np.abs(canvas.interpolate(values)) < 0.35
    assert np.array_equal(picture_of(figure)[small], shade[small])
    assert len(figure.axes[1].patches) == 1  # the grey part of the color bar
    assert not np.array_equal(picture_of(figure), shade)


def test_relief_darkens_only_where_it_is_asked_for(whole):
    ones = torch.ones(20_484)
    flat = picture_of(plot.cortex(ones, whole, SCENE, vmin=0, vmax=1)).astype(int)
    lit = picture_of(plot.cortex(ones, whole, plot.Scene(relief=1.0, pixels=400), vmin=0, vmax=1)).astype(int)
    assert (lit <= flat).all()
    assert (lit < flat - 10).any()


def test_outlines_contours_and_sizes_are_those_asked_for(whole):
    figure = plot.cortex(
        whole.coords[:, 0], whole, SCENE, outlines="up", outline_color={"up": "red"}, outline_width=2.0,
        contour=whole.coords[:, 1] > 60, contour_label="p < .05", width="85mm", title="a title",
    )  # fmt: skip
    assert isinstance(figure, Figure)
    assert round(25.4 * figure.get_figwidth()) == 85
    outline, contour = figure.axes[0].collections
    assert outline.get_linewidths()[0] == 2.0
    assert tuple(outline.get_colors()[0][:3]) == (1, 0, 0)
    assert len(contour.get_segments()) >= 1
    assert any("p < .05" in text.get_text() for text in figure.texts)
    names = [text.get_text() for text in figure.axes[0].texts]
    assert names.count("up") >= 2
    bare = plot.cortex(whole.coords[:, 0], whole, SCENE, outlines="up", outline_names=False)
    assert "up" not in [text.get_text() for text in bare.axes[0].texts]
    nowhere = plot.cortex(whole.coords[:, 0], whole, SCENE, contour=torch.zeros(20_484).bool(), contour_label="p < .05")
    assert any("Nowhere" in text.get_text() for text in nowhere.texts)


def test_several_maps_share_a_scale_where_asked(whole):
    maps = {"a": whole.coords[:, 0], "b": whole.coords[:, 2]}
    figure = plot.cortex_maps(maps, whole, SCENE, shared=True, outlines="up", contours={"b": whole.rois["up"]})
    first, legend, second = figure.axes
    assert legend.get_xlim() == (-100.0, 400.0)
    assert len(second.collections) == len(first.collections) + 1
    own = plot.cortex_maps(maps, whole, SCENE, looks={"b": {"vmin": 0, "label": "z"}})
    assert own.axes[3].get_xlim() == (0, 100)
    assert own.axes[3].get_xlabel() == "z"
    with pytest.raises(ValueError, match="empty"):
        plot.cortex_maps({}, whole)


def test_a_volume_is_seen_from_the_cortex():
    mask = torch.zeros(20, 12, 18, dtype=torch.bool)
    mask[1:19, 1:11, 1:17] = True
    affine = torch.tensor([[4.0, 0, 0, -40], [0, 4, 0, -110], [0, 0, 4, -30], [0, 0, 0, 1]])
    space = BrainSpace(mask=mask, affine=affine)
    space = BrainSpace(mask=mask, affine=affine, rois={"right": space.coords[:, 0] > 0})
    figure = plot.cortex(space.coords[:, 0], space, SCENE, outlines=True, alpha=torch.ones(space.n_voxels))
    low, high = figure.axes[1].get_xlim()
    assert low < -20
    assert high > 20
    labelled = plot.cortex((space.coords[:, 0] > 0).long(), space, SCENE, categories=["left", "right"])
    assert [text.get_text() for text in labelled.axes[1].get_xticklabels()] == ["left", "right"]


def test_what_cannot_be_drawn_says_what_would_fit(whole):
    with pytest.raises(ValueError, match="both hemispheres of fsaverage6"):
        plot.cortex(torch.ones(81_924), whole)
    with pytest.raises(ValueError, match="one hemisphere of fsaverage5"):
        plot.cortex(torch.ones(10_242), whole)
    with pytest.raises(ValueError, match="no place"):
        plot.cortex(torch.ones(3), BrainSpace.free(3))
    with pytest.raises(ValueError, match="'5 furlongs'"):
        plot.cortex(whole.coords[:, 0], whole, SCENE, width="5 furlongs")
    with pytest.raises(ValueError, match="names for categories"):
        plot.cortex(torch.arange(20_484) % 4, whole, SCENE, categories=["a"])
    with pytest.raises(ValueError, match="colors for categories"):
        plot.cortex(torch.arange(20_484) % 4, whole, SCENE, colors=np.eye(3))


def test_four_hundred_categories_and_nothing_known_are_drawn(whole):
    names = [f"<b>{number}</b> & a long name" for number in range(400)]
    figure = plot.cortex(torch.arange(20_484) % 400, whole, SCENE, categories=names)
    assert len(figure.axes[1].get_xticklabels()) < 40
    blank = plot.cortex(torch.full((20_484,), torch.nan), whole, SCENE)
    assert any("No value is known" in text.get_text() for text in blank.texts)


def test_selectors_are_drawn_on_any_surface(whole):
    from brainnet.selection import Selectors

    chosen = Selectors(torch.zeros(20_484, 2), torch.full((20_484, 3), 1 / 3), torch.zeros(20_484, 1))
    figure = plot.selectors(chosen, whole, scores=torch.rand(20_484), scene=SCENE)
    assert [text.get_text() for text in figure.axes[0].texts].count("L") == 2


def test_a_finer_mesh_without_its_folded_surfaces_is_drawn_on_the_coarse_ones(monkeypatch, tmp_path):
    monkeypatch.setenv("NILEARN_DATA", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("brainnet._checks._already_warned", set())
    space = surface_space(torch.arange(2 * 40_962), "fsaverage6")
    with pytest.warns(UserWarning, match=r"fsaverage6.*fetch_surf_fsaverage"):
        canvas = canvas_for(space, plot.Scene("inflated", ("lateral",), "left", pixels=200))
    assert canvas.points.shape == (81_924, 2)
    assert load_mesh("fsaverage5").points.shape[0] == 20_484


def test_a_group_has_its_mean_the_share_of_subjects_and_t(whole, rng):
    subjects = torch.rand(5, 20_484, generator=rng)
    figure = plot.group_maps(subjects, whole, SCENE, above=0.4, label="r", title="five subjects")
    bars = figure.axes[1::2]
    assert bars[0].get_xlabel() == "r"
    assert bars[1].get_xlim() == (0, 1)
    low, high = bars[2].get_xlim()
    assert low == -high

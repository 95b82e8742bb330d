import subprocess
import sys

import numpy as np
import pytest
import torch
from matplotlib import colormaps
from matplotlib.figure import Figure

from brainnet import plot
from brainnet.plot._canvas import canvas_of
from brainnet.plot._colors import cluster_colors
from brainnet.space import BrainSpace, occipital_vertices, surface_space


@pytest.fixture(scope="module")
def patch():
    space = surface_space(occipital_vertices(25))
    height = space.coords[:, 2]
    rois = {"upper": height > height.median(), "left": space.hemisphere == 0}
    return surface_space(space.vertices, "fsaverage5", rois)


@pytest.fixture(scope="module")
def volume():
    mask = torch.zeros(6, 7, 5, dtype=torch.bool)
    mask[1:5, 1:6, 1:4] = True
    return BrainSpace(mask=mask, affine=torch.diag(torch.tensor([2.0, 2, 2, 1])))


def drawn(ax, space):
    """RGB in 0..1 of the drawn picture where the voxels lie, and whether they lie on it."""
    canvas, picture = canvas_of(space), np.asarray(ax.images[0].get_array()) / 255
    on_map = np.isfinite(canvas.interpolate(torch.ones(space.n_voxels)))
    x, y = canvas.points.T
    row = (canvas.shape[0] * (1 - y / canvas.size[1])).astype(int)
    column = (canvas.shape[1] * x / canvas.size[0]).astype(int)
    return picture[row, column], on_map[row, column]


def test_numbers_have_the_colors_of_the_bar(patch):
    values = patch.coords[:, 2]
    figure = plot.flatmap(values, patch, cmap="magma", vmin=-80, vmax=40, label="height (mm)", title="a title")
    assert isinstance(figure, Figure)
    ax, bar = figure.axes
    seen, on_map = drawn(ax, patch)
    expected = colormaps["magma"]((values.numpy() + 80) / 120)[:, :3]
    assert np.abs(seen - expected)[on_map].max() < 0.05
    assert [tick.get_text() for tick in bar.get_xticklabels()] == ["-80", "-20", "40"]
    assert bar.get_xlabel() == "height (mm)"
    assert [text.get_text() for text in figure.texts] == ["a title"]
    gradient = np.asarray(bar.images[0].get_array())[0]
    assert np.allclose(gradient, colormaps["magma"](np.linspace(0, 1, 256))[:, :3])
    assert {"L", "R", "posterior"} <= {text.get_text() for text in ax.texts}


def test_limits_default_to_the_values_and_infinite_ones_count_as_missing(patch):
    values = patch.coords[:, 0].clone()
    values[0], values[1] = float("nan"), float("inf")
    bar = plot.flatmap(values, patch).axes[1]
    low, high = bar.get_xlim()
    assert low == pytest.approx(values[2:].min().item())
    assert high == pytest.approx(values[2:].max().item())


def test_labels_have_the_colors_of_their_patches(patch, rng):
    labels = torch.randint(-1, 5, (patch.n_voxels,), generator=rng)
    ax, legend = plot.flatmap(labels, patch, label="cluster").axes
    seen, on_map = drawn(ax, patch)
    known = on_map & (labels >= 0).numpy()
    assert (np.abs(seen - cluster_colors(5)[labels]).max(axis=1) < 0.01)[known].mean() > 0.99
    assert [tick.get_text() for tick in legend.get_xticklabels()] == list("01234")
    assert np.allclose(np.asarray(legend.images[0].get_array())[0], cluster_colors(5))


def test_colors_can_be_given(patch):
    red = torch.tensor([1.0, 0, 0]).repeat(patch.n_voxels, 1)
    figure = plot.flatmap(red, patch)
    seen, on_map = drawn(figure.axes[0], patch)
    assert np.array_equal(seen[on_map], red.numpy()[on_map])
    assert len(figure.axes) == 1  # colors explain themselves elsewhere


def test_missing_and_faint_voxels_show_the_cortex_beneath(patch):
    canvas = canvas_of(patch)
    ones = torch.ones(patch.n_voxels)
    values = torch.where(patch.rois["left"], torch.nan, ones)
    blank, on_map = drawn(plot.flatmap(values, patch, vmin=0, vmax=1).axes[0], patch)
    left = patch.rois["left"].numpy() & on_map
    cortex = drawn(plot.flatmap(ones * torch.nan, patch).axes[0], patch)[0]
    assert np.array_equal(blank[left], cortex[left])
    assert np.ptp(cortex[left], axis=1).max() == 0  # grey
    assert np.std(cortex[left]) > 0.02  # with folds
    assert not np.array_equal(blank[~left & on_map], cortex[~left & on_map])
    full = drawn(plot.flatmap(ones, patch, vmin=0, vmax=1).axes[0], patch)[0]
    faint = drawn(plot.flatmap(ones, patch, vmin=0, vmax=1, alpha=0.25 * ones).axes[0], patch)[0]
    assert np.abs(faint - (0.25 * full + 0.75 * cortex))[on_map].max() < 0.01
    assert np.isnan(canvas.points).sum() == 0


def test_outlines_are_drawn_and_named(patch):
    ax = plot.flatmap(patch.coords[:, 0], patch, outlines=["upper"]).axes[0]
    names = [text.get_text() for text in ax.texts]
    assert names.count("upper") == 2  # one in each hemisphere
    assert names.count("left") == 0
    assert len(ax.collections) == 1
    ax = plot.flatmap(patch.coords[:, 0], patch, outlines="UPP*").axes[0]
    assert [text.get_text() for text in ax.texts].count("upper") == 2
    ax = plot.flatmap(patch.coords[:, 0], patch, outlines=True).axes[0]
    assert len(ax.collections) == 2
    custom = {"mine": ~patch.rois["upper"]}
    ax = plot.flatmap(patch.coords[:, 0], patch, outlines=custom).axes[0]
    assert "mine" in [text.get_text() for text in ax.texts]
    with pytest.raises(ValueError, match=r"Unknown ROI 'V9'. Known: upper, left"):
        plot.flatmap(patch.coords[:, 0], patch, outlines=["V9"])


def test_axes_can_be_given(patch):
    figure = Figure()
    one, two = figure.subplots(1, 2)
    assert plot.flatmap(patch.coords[:, 0], patch, ax=one) is figure
    assert plot.flatmap(patch.coords[:, 0], patch, ax=two, colorbar=False) is figure
    assert len(one.child_axes) == 1
    assert len(two.child_axes) == 0


def test_slices_show_a_volume(volume):
    values = volume.coords[:, 1]
    ax, bar = plot.slices(values, volume, label="y (mm)").axes
    seen, on_map = drawn(ax, volume)
    assert on_map.all()
    expected = colormaps["viridis"](((values - values.min()) / (values.max() - values.min())).numpy())[:, :3]
    assert np.abs(seen - expected).max() < 0.005
    assert [text.get_text() for text in ax.texts][:3] == ["z = 2 mm", "z = 4 mm", "z = 6 mm"]
    assert bar.get_xlabel() == "y (mm)"


def test_what_cannot_be_drawn_is_refused(patch, volume):
    with pytest.raises(ValueError, match=r"draw its slices: plot.slices"):
        plot.flatmap(torch.ones(volume.n_voxels), volume)
    with pytest.raises(ValueError, match="no place on a brain"):
        plot.flatmap(torch.ones(3), BrainSpace.free(3))
    with pytest.raises(ValueError, match="no mask and affine"):
        plot.slices(torch.ones(patch.n_voxels), patch)
    for shape in ((3,), (patch.n_voxels, 2), (patch.n_voxels, 3, 1)):
        with pytest.raises(ValueError, match=f"expected \\({patch.n_voxels},\\)"):
            plot.flatmap(torch.ones(shape), patch)
    with pytest.raises(AttributeError, match=r"no attribute 'flatmaps'; it has .*flatmap"):
        _ = plot.flatmaps


def test_a_figure_can_be_saved_as_drawing_and_shown_in_a_notebook(patch, tmp_path):
    figure = plot.flatmap(patch.coords[:, 0], patch)
    for suffix in ("png", "svg", "pdf"):
        figure.savefig(tmp_path / f"map.{suffix}")
        assert 10_000 < (tmp_path / f"map.{suffix}").stat().st_size < 1_000_000
    assert figure._repr_png_()[:4] == b"\x89PNG"


def test_pyplot_and_global_settings_are_left_alone():
    """In a fresh process: importing draws in nothing, drawing neither pyplot nor a change of settings."""
    script = """
import sys
from brainnet import plot
assert "matplotlib" not in sys.modules and "nilearn" not in sys.modules
assert "flatmap" in dir(plot) and "selectors" in plot.__all__
import matplotlib, torch
before = matplotlib.rcParams.copy()
from brainnet.selection import Selectors
from brainnet.space import BrainSpace
from brainnet.space import surface_space
space = surface_space(torch.arange(2000, 2600))
chosen = Selectors(torch.zeros(600, 2), torch.full((600, 3), 1 / 3), torch.zeros(600, 1))
for _ in range(2):  # the name stays a function after its module is loaded
    plot.flatmap(space.coords[:, 0], space)
    plot.selectors(chosen, space, scores=torch.rand(600))
    plot.scores(torch.rand(600), space)
assert "matplotlib.pyplot" not in sys.modules
assert dict.__eq__(matplotlib.rcParams, before)  # item access would load pyplot to find a backend
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

import numpy as np
import pytest
import torch
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from brainnet import plot
from brainnet.plot._canvas import canvas_of
from brainnet.plot._colors import cluster_colors, layer_colors, position_colors
from brainnet.selection import Selectors
from brainnet.space import BrainSpace, occipital_vertices, surface_space

N_LAYERS = 4


@pytest.fixture(scope="module")
def space():
    patch = surface_space(occipital_vertices(25))
    return surface_space(patch.vertices, "fsaverage5", {"early": patch.coords[:, 2] > patch.coords[:, 2].median()})


@pytest.fixture(scope="module")
def planted(space):
    """Smooth maps: one-hot layers by height, positions by place, scale by depth; and scores, ceilings, clusters."""
    y, z = ((axis - axis.mean()) / axis.std() for axis in space.coords.T[1:])
    layer = torch.nn.functional.one_hot(((z + 2) * 1.2).clamp(0, N_LAYERS - 1).long(), N_LAYERS).float()
    position = torch.stack([z, y], dim=1).clamp(-2, 2) / 2
    score = torch.sigmoid(y) * 0.8
    return {
        "chosen": Selectors(position, layer, torch.sigmoid(y)[:, None]),
        "scores": score,
        "noise_ceiling": (score + 0.1).clamp(max=1),
        "clusters": (torch.sigmoid(z) * 5).long(),
    }


def drawn(figure, title, space):
    """RGB in 0..1 of the map under a title where the voxels lie; NaN for voxels on no pixel."""
    headers = [text for text in figure.texts if text.get_text() == title]
    assert len(headers) == 1
    left, top = headers[0].get_position()
    below = [ax for ax in figure.axes if ax.images and abs(ax.get_position().x0 - left) < 0.01]
    ax = min(below, key=lambda ax: abs(ax.get_position().y1 - top))
    canvas, picture = canvas_of(space), np.asarray(ax.images[0].get_array()) / 255
    picture[np.isnan(canvas.interpolate(torch.ones(space.n_voxels)))] = np.nan
    x, y = canvas.points.T
    return picture[
        (canvas.shape[0] * (1 - y / canvas.size[1])).astype(int), (canvas.shape[1] * x / canvas.size[0]).astype(int)
    ]


def titles(figure):
    return [text.get_text() for text in figure.texts if text.get_weight() == "bold"]


def alike(seen, expected, tolerance=0.06):
    """The fraction of voxels drawn in their color, of those drawn."""
    on_map = ~np.isnan(seen).any(axis=1)
    assert on_map.mean() > 0.9
    return (np.abs(seen - expected).max(axis=1) < tolerance)[on_map].mean()


def test_every_map_shows_its_selector(space, planted):
    figure = plot.selectors(**planted, space=space, title="planted", fade=False)
    assert isinstance(figure, Figure)
    assert titles(figure) == ["Layer", "Space", "Scale", "Score", "Channels", "Score against noise ceiling"]
    assert "planted" in [text.get_text() for text in figure.texts]
    chosen = planted["chosen"]
    best = chosen.layer.argmax(dim=1)
    assert alike(drawn(figure, "Layer", space), layer_colors(N_LAYERS)[best]) > 0.97
    assert alike(drawn(figure, "Space", space), position_colors(chosen.space.numpy())) > 0.97
    assert alike(drawn(figure, "Scale", space), colormaps["PuOr"](chosen.scale[:, 0].numpy())[:, :3]) > 0.97
    assert alike(drawn(figure, "Score", space), colormaps["viridis"](planted["scores"].numpy())[:, :3]) > 0.97
    assert alike(drawn(figure, "Channels", space), cluster_colors(5)[planted["clusters"]]) > 0.97


def test_legends_carry_the_colors_and_names_of_the_maps(space, planted):
    names = ["conv1", "conv2", "conv3", "conv4"]
    figure = plot.selectors(**planted, space=space, layer_names=names, score_name="test r")
    legends = {tuple(tick.get_text() for tick in ax.get_xticklabels()): ax for ax in figure.axes}
    layers = np.asarray(legends[tuple(names)].images[0].get_array())
    assert np.allclose(layers[0], layer_colors(N_LAYERS))  # the top row: one layer alone
    assert layers[-1].max() < 0.13  # the bottom row: all alike
    assert ("local 0", "0.5", "1 global") in legends
    assert legends[("0", "0.5", "1")].get_xlabel() == "test r"
    clusters = legends[tuple("12345")]
    assert np.allclose(np.asarray(clusters.images[0].get_array())[0], cluster_colors(5))
    wheel = next(ax for ax in figure.axes if ax.images and ax.images[0].get_extent() == [-1, 1, 1, -1])
    square = np.asarray(wheel.images[0].get_array())
    assert np.allclose(square[0, 0], position_colors(np.array([-1.0, -1.0])))  # upper left
    assert np.allclose(square[-1, 0], position_colors(np.array([-1.0, 1.0])))  # lower left
    assert {"left", "right", "top of the image", "bottom"} <= {text.get_text() for text in wheel.texts}
    assert any("fade where the score is below 0.2" in text.get_text() for text in figure.texts)


def test_a_control_looks_flat_because_limits_are_fixed(space, planted, rng):
    """Residual gradients of a model trained on shuffled responses (SD .01 of position, .003 of scale)."""
    n = space.n_voxels
    noise = Selectors(
        0.01 * torch.randn(n, 2, generator=rng),
        torch.softmax(0.05 * torch.randn(n, N_LAYERS, generator=rng), dim=1),
        0.31 + 0.003 * torch.randn(n, 1, generator=rng),
    )
    control = plot.selectors(noise, space)
    real = plot.selectors(planted["chosen"], space)
    for title in ("Layer", "Space", "Scale"):
        contrast = [np.nanstd(drawn(figure, title, space), axis=0).max() for figure in (control, real)]
        assert contrast[0] < 0.05
        assert contrast[1] > 0.1
    assert np.nanmax(drawn(control, "Layer", space)) < 0.2  # dark: no layer stands out


def test_badly_predicted_voxels_fade_except_in_the_score_map(space, planted):
    zero = torch.zeros(space.n_voxels)
    zero[:3] = float("nan")
    faded = plot.selectors(planted["chosen"], space, scores=zero)
    full = plot.selectors(planted["chosen"], space, scores=zero, fade=False)
    saturation = [np.nanmean(np.ptp(drawn(figure, "Scale", space), axis=1)) for figure in (faded, full)]
    assert saturation[0] < 0.25 * saturation[1]
    assert np.nanmax(np.ptp(drawn(faded, "Scale", space)[:3], axis=1)) < 1e-6  # unknown score: bare cortex
    assert np.array_equal(drawn(faded, "Score", space), drawn(full, "Score", space), equal_nan=True)
    assert any("none of them fades" in text.get_text() for text in full.texts)


def test_panels_follow_what_is_given(space, planted):
    chosen, score = planted["chosen"], planted["scores"]
    ceiling, clusters = planted["noise_ceiling"], planted["clusters"]
    three = ["Layer", "Space", "Scale"]
    assert titles(plot.selectors(chosen, space)) == three
    assert titles(plot.selectors(chosen, space, scores=score)) == [*three, "Score"]
    assert titles(plot.selectors(chosen, space, noise_ceiling=ceiling)) == three
    filled = plot.selectors(chosen, space, scores=score, clusters=clusters, noise_ceiling=torch.nan * ceiling)
    assert titles(filled) == [*three, "Score", "Channels", "Scores"]
    six = plot.selectors(chosen, space, scores=score, noise_ceiling=ceiling)
    assert titles(six) == [*three, "Score", "Score against noise ceiling", "Scores"]


@pytest.mark.parametrize("placed", [True, False])
@pytest.mark.parametrize(("places", "expected"), [
    (plot.Places("sound", one_row=True), {"Time within", "moment of the sound", "start", "end"}),
    (plot.Places("sound"), {"Space", "time and frequency", "low frequency", "high"}),
    (plot.Places("video"), {"Space", "place in the frame"}),
])  # fmt: skip
def test_places_of_a_sound_or_a_clip_are_none_of_an_image(space, planted, places, expected, placed):
    space = space if placed else BrainSpace.free(space.n_voxels)
    for figure in (plot.selectors(planted["chosen"], space, places=places),
                   plot.training([], planted["chosen"], space, places=places)):  # fmt: skip
        figure.canvas.draw()
        texts = [text.get_text() for text in figure.findobj(Text) if text.get_text()]
        assert "image" not in " ".join(texts)
        assert all(any(word.split()[0] in text for text in texts) for word in expected)


def test_score_limits_and_outlines_are_the_callers(space, planted):
    figure = plot.selectors(
        planted["chosen"], space, scores=planted["scores"], score_limits=(0, 0.4), outlines=["early"]
    )
    assert ["0", "0.2", "0.4"] in [[tick.get_text() for tick in ax.get_xticklabels()] for ax in figure.axes]
    assert sum(len(ax.collections) for ax in figure.axes) == 4
    assert sum(text.get_text() == "early" for ax in figure.axes for text in ax.texts) == 8


def test_axes_do_not_overlap_and_lie_on_the_page(space, planted):
    figures = [
        plot.selectors(**planted, space=space, title="all"),
        plot.training([{"epoch": 0, "train_loss": 1.0, "val_r": 0.1}], planted["chosen"], space),
        plot.selectors(planted["chosen"], BrainSpace.free(space.n_voxels), scores=planted["scores"], title="units"),
    ]
    for figure in figures:
        boxes = [ax.get_position() for ax in figure.axes]
        for number, box in enumerate(boxes):
            assert min(box.x0, box.y0, 1 - box.x1, 1 - box.y1) >= 0
            for other in boxes[number + 1 :]:
                width = min(box.x1, other.x1) - max(box.x0, other.x0)
                height = min(box.y1, other.y1) - max(box.y0, other.y0)
                assert min(width, height) <= 1e-9


def written(figure):
    """Every text of a figure that its reader sees."""
    texts = list(figure.texts)
    for ax in [*figure.axes, *(child for parent in figure.axes for child in parent.child_axes)]:
        texts += [*ax.texts, *((ax.get_legend() and ax.get_legend().get_texts()) or [])]
        for axis in (ax.xaxis, ax.yaxis) if ax.axison else ():
            low, high = sorted(axis.get_view_interval())
            texts.append(axis.label)
            texts += [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
    return [text for text in texts if text.get_text().strip()]


def test_texts_do_not_overlap_and_lie_on_the_page(space, planted):
    """As rendered: no word of titles, legends and ticks on another, none cut off at the edge."""
    n = space.n_voxels
    for figure in (
        plot.selectors(**planted, space=space, title="all", layer_names=[f"features.{i}.block" for i in range(4)]),
        plot.training([{"epoch": 0, "train_loss": 1.0, "val_r": 0.1}], planted["chosen"], space),
        plot.selectors(**planted, space=BrainSpace.free(n), width=torch.full((n, 1), 0.3), title="units"),
        plot.selectors(planted["chosen"], BrainSpace.free(n)),
    ):
        renderer = FigureCanvasAgg(figure).get_renderer()
        figure.draw(renderer)
        boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in written(figure)]
        page = figure.bbox
        for number, (text, box) in enumerate(boxes):
            assert box.x0 >= 0, text
            assert box.x1 <= page.x1, text
            assert box.y0 >= 0, text
            assert box.y1 <= page.y1, text
            for other, second in boxes[number + 1 :]:
                across = min(box.x1, second.x1) - max(box.x0, second.x0)
                up = min(box.y1, second.y1) - max(box.y0, second.y0)
                assert min(across, up) < 1, f"{text!r} and {other!r}"


# ---------------------------------------------------------------------- volumes and units


def test_a_volume_is_drawn_in_slices(planted):
    mask = torch.zeros(8, 9, 4, dtype=torch.bool)
    mask[1:7, 1:8] = True
    volume = BrainSpace(mask=mask, affine=torch.diag(torch.tensor([2.0, 2, 3, 1])))
    n = volume.n_voxels
    scale = torch.linspace(0, 1, n)[:, None]
    layer = torch.eye(N_LAYERS)[torch.arange(n) % N_LAYERS]
    figure = plot.selectors(Selectors(torch.zeros(n, 2), layer, scale), volume)
    assert titles(figure) == ["Layer", "Space", "Scale"]
    assert alike(drawn(figure, "Scale", volume), colormaps["PuOr"](scale[:, 0].numpy())[:, :3], 0.01) == 1
    assert alike(drawn(figure, "Layer", volume), layer_colors(N_LAYERS)[np.arange(n) % N_LAYERS], 0.01) == 1


@pytest.fixture
def units(rng):
    n = 30
    layer = torch.softmax(3 * torch.randn(n, N_LAYERS, generator=rng), dim=1)
    position = torch.rand(n, 2, generator=rng) * 2 - 1
    return Selectors(position, layer, torch.rand(n, 1, generator=rng))


def test_training_shows_the_curves_so_far(space, planted, units):
    history = [{"epoch": 0, "train_loss": 0.5, "val_r": 0.1}]
    history.append({"epoch": 1, "train_loss": 0.3, "val_r": 0.2, "val_r2": 0.04})
    for chosen, where in ((planted["chosen"], space), (units, BrainSpace.free(30))):
        figure = plot.training(history, chosen, where, scores=torch.rand(where.n_voxels))
        assert titles(figure)[:3] == ["Layer", "Space", "Scale"]
        losses, scores = figure.axes[-2:]
        assert losses.lines[0].get_xydata().tolist() == [[0, 0.5], [1, 0.3]]
        assert [line.get_xydata().tolist() for line in scores.lines] == [[[0, 0.1], [1, 0.2]], [[1, 0.04]]]
        assert [text.get_text() for text in scores.get_legend().get_texts()] == ["val r 0.2", "val r2 0.04"]
        assert (losses.get_ylabel(), scores.get_ylabel(), losses.get_xlabel()) == ("loss", "score", "epoch")
    assert len(plot.training([], units, BrainSpace.free(30)).axes) == 6


def test_what_does_not_fit_is_refused(units):
    space = BrainSpace.free(30)
    with pytest.raises(ValueError, match=r"expected \(29, 2\)"):
        plot.selectors(units, BrainSpace.free(29))
    for name in ("scores", "noise_ceiling", "clusters", "width"):
        with pytest.raises(ValueError, match=name):
            plot.selectors(units, space, **{name: torch.ones(3)})
    with pytest.raises(ValueError, match="2 layer_names for selectors over 4 layers"):
        plot.selectors(units, space, layer_names=["a", "b"])


def test_inputs_are_left_alone(units):
    before = [part.clone() for part in units]
    units = Selectors(*(part.requires_grad_() for part in units))
    plot.selectors(units, BrainSpace.free(30), scores=torch.ones(30))
    assert all(torch.equal(part, old) for part, old in zip(units, before, strict=True))


def test_panels_that_mean_nothing_are_left_out_and_the_note_says_so(space, planted, units):
    given = {"leave_out": ("scale", "layer", "channels"), "note": "training started from ridge"}
    figure = plot.selectors(**planted, space=space, **given)
    assert titles(figure) == ["Space", "Score", "Score against noise ceiling"]
    assert "Layer, scale and channels left out: training started from ridge" in figure.texts[-1].get_text()
    assert titles(plot.selectors(units, BrainSpace.free(30), **given)) == ["Space"]
    with pytest.raises(ValueError, match="'depth'"):
        plot.selectors(units, BrainSpace.free(30), leave_out=["depth"])
    with pytest.raises(ValueError, match="every panel"):
        plot.selectors(planted["chosen"], space, leave_out=["layer", "space", "scale"])

"""Names are data: whatever they hold, every figure can be drawn, and shows them as they stand."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from matplotlib.cbook import is_math_text
from matplotlib.text import Text

from brainnet import plot
from brainnet.plot._text import label, labels, width_of, wrapped
from brainnet.rsa import RDMs, searchlight, spheres
from brainnet.selection import Selectors
from brainnet.space import BrainSpace, sensor_space, surface_space

N = 12
PICTURE = np.zeros((6, 6, 3), np.uint8)
NAMES = st.lists(st.text(max_size=70), min_size=4, max_size=4, unique=True)
BAD = ["V1 $a$ $", "\\frac{_^$$", "new\nline\x00\ud800", "日本語" + "long" * 30]


def volume(names):
    rois = {name: torch.arange(N) % 4 == i for i, name in enumerate(names)}
    return BrainSpace(mask=torch.ones(2, 3, 2).bool(), affine=torch.eye(4).double(), rois=rois)


def free(names):
    return BrainSpace.free(N, volume(names).rois)


def surface(names):
    vertices = torch.arange(N) + 3000
    return surface_space(vertices, "fsaverage5", volume(names).rois)


def rankings(names):
    return [plot.Ranking(name, [PICTURE] * 2, [PICTURE] * 2, [1.0, 0.5], [-1.0, -0.5], names[0]) for name in names]


def each(names):
    return {name: torch.linspace(-0.1, 0.1 * i + 0.1, N).roll(i) for i, name in enumerate(names)}


def chosen():
    layer = torch.softmax(torch.arange(4.0 * N).reshape(N, 4) % 5, 1)
    return Selectors(torch.zeros(N, 2), layer, torch.full((N, 1), 0.5))


def course(names, **columns):
    return pd.concat([pd.DataFrame({"roi": names[0], "model": m, "layer": names, "score": 0.1} | columns)
                      for m in names])  # fmt: skip


def rows(names):
    kinds = [(name, "ridge", "") for name in names] + [(names[0], "ridge", names[3])]
    table = pd.DataFrame(kinds, columns=["layer", "method", "control"]).assign(mean=0.1, low=0.0, high=0.2)
    return table.assign(model=names[1], subject="s", split="test", score="r", roi=names[0], chosen_layer=names[2])


def ranked(names):
    score = {"mean": 0.2, "low": 0.1, "high": 0.3, "rank_low": 1, "ceiling": 0.5}
    return pd.DataFrame([{"roi": roi, "model": model, **score} for roi in names for model in names])


def explained(names):
    share = {"partial_r2": 0.2, "r2_alone": 0.3, "p_corrected": 0.01, "n_models": 9}
    return pd.DataFrame([{"roi": roi, "property": name, **share} for roi in names for name in names])


def found(names):
    generator = torch.Generator().manual_seed(0)
    models = RDMs(torch.rand(4, 28, generator=generator), names=tuple(names))
    return searchlight(torch.randn(8, N, generator=generator), models, spheres(volume(names), 1.5, min_size=3))


def some_rdms(names, count=4):
    values = torch.rand(count, 6, generator=torch.Generator().manual_seed(0))
    return RDMs(values, names=tuple(names[:count]), conditions=tuple(names))


def sensors(names):
    return sensor_space(names, [-0.1, 0.0, 0.1])


def square(names, layers=4):
    keys = [(model, layer) for model in names[:3] for layer in names[:layers]]
    labels = pd.MultiIndex.from_tuples(keys, names=["model", "layer"])
    return pd.DataFrame(np.eye(len(keys)), labels, labels)


FIGURES = {
    "scores": lambda n: plot.scores(each(n), free(n), title=n[0], score_name=n[1]),
    "joint_histogram": lambda n: plot.joint_histogram(*list(each(n).values())[:2], names=n[:2], title=n[0]),
    "variance_split": lambda n: plot.variance_split(each(n), free(n), title=n[0]),
    "layers": lambda n: plot.layers(rows(n), rois=[n[0]], title=n[0]),
    "layer matrix": lambda n: plot.layers(rows(n), rois=[n[0], *"abcdefgh"], title=n[0]),
    "best_layer": lambda n: plot.best_layer(each(n), free(n), title=n[0]),
    "best_layer, slices": lambda n: plot.best_layer(each(n), volume(n), outlines=True, title=n[0]),
    "slices": lambda n: plot.slices(torch.ones(N), volume(n), outlines=True, label=n[0], title=n[1]),
    "selectors": lambda n: plot.selectors(chosen(), free(n), layer_names=n, title=n[0], scores=torch.ones(N) / 2,
                                          score_name=n[1]),
    "selectors, slices": lambda n: plot.selectors(chosen(), volume(n), layer_names=n, title=n[0], outlines=True,
                                                  scores=torch.ones(N) / 2, score_name=n[1], leave_out=("scale",),
                                                  note=n[2]),
    "training": lambda n: plot.training([{"epoch": 0, n[0] + "loss": 1.0}], chosen(), free(n), layer_names=n),
    "window_share": lambda n: plot.window_share(torch.ones(N) / 2, free(n), position=torch.zeros(N, 2), title=n[0]),
    "window_share, slices": lambda n: plot.window_share(torch.ones(N) / 2, volume(n), outlines=True, title=n[0]),
    "rdms": lambda n: plot.rdms(some_rdms(n), title=n[0]),
    "rdms, groups": lambda n: plot.rdms(some_rdms(n), groups=[n[0], n[0], n[1], n[2]]),
    "model_similarity": lambda n: plot.model_similarity(some_rdms(n), title=n[0]),
    "similarity_matrix": lambda n: plot.similarity_matrix(square(n), scale=n[1], title=n[0]),
    "similarity_matrix, models alone": lambda n: plot.similarity_matrix(square(n, 1)),
    "model_ranking": lambda n: plot.model_ranking(ranked(n), title=n[0], score_name=n[1]),
    "model_regions": lambda n: plot.model_regions(ranked(n), title=n[0], score_name=n[1]),
    "model_property": lambda n: plot.model_property(ranked(n), dict.fromkeys(n, 1e6), n[1], title=n[0]),
    "model_effects": lambda n: plot.model_effects(explained(n), title=n[0]),
    "model_depths": lambda n: plot.model_depths(ranked(n).assign(depth=0.5), pd.DataFrame({"model": n, "rho": 0.5}),
                                                title=n[0]),
    "condition_map": lambda n: plot.condition_map(some_rdms(n, 1), title=n[0]),
    "masks": lambda n: plot.masks(np.zeros((4, 6, 3)), np.ones((4, 4, 6)), n, captions=n, title=n[0]),
    "tree": lambda n: plot.tree(some_rdms(n, 1), groups=n, title=n[0]),
    "rsa_bars": lambda n: plot.rsa_bars(course(n, low=0.0, high=0.2, p_corrected=0.01), title=n[0]),
    "rsa_layers": lambda n: plot.rsa_layers(course(n), title=n[0], score_name=n[1]),
    "rsa_time": lambda n: plot.rsa_time(course(n, layer=n[0], time=[0, 1, 2, 3]), title=n[0], time_name=n[1]),
    "time_course": lambda n: plot.time_course({m: torch.rand(3 * len(n)) for m in n}, sensors(n), title=n[0],
                                              time_name=n[1], score_name=n[2], noise_ceiling=torch.ones(3 * len(n))),
    "time_course, sensors": lambda n: plot.time_course(torch.rand(3 * len(n)), sensors(n), sensors=n),
    "sensor_times": lambda n: plot.sensor_times(torch.rand(3 * len(n)), sensors(n), title=n[0], score_name=n[1]),
    "time_by_time": lambda n: plot.time_by_time(np.eye(3), title=n[0], brain_name=n[1], score_name=n[2]),
    "best_steps": lambda n: plot.best_steps(pd.DataFrame({"time": range(len(n)), "score": 0.1, "sem": 0.1, "layer": n,
                                                          "step": 1, "p_max": 0.1}), title=n[0], score_name=n[1]),
    "lags": lambda n: plot.lags(pd.DataFrame({"lag": 0.1, "similarity": 0.1, "layer": n}), title=n[0], score_name=n[1]),
    "rsa_parts": lambda n: plot.rsa_parts(pd.DataFrame({"part": ["total"] + ["unique"] * 4, "sets": ["t", *n],
                                                        "r2": 0.1, "roi": n[0]}), title=n[0]),
    "searchlight": lambda n: plot.searchlight(found(n), title=n[0]),
    "cortex": lambda n: plot.cortex(torch.arange(N) % 4, surface(n), plot.Scene("inflated", ("lateral",)), title=n[0],
                                    categories=n, label=n[1], outlines=True),
    "cortex_maps": lambda n: plot.cortex_maps(each(n), surface(n), "flat", title=n[0], note=n[1]),
    "channel_images": lambda n: plot.channel_images([PICTURE] * 4, *[np.ones((4, 3, 3, 3))] * 2, [0.5, 0.2, 0.1],
                                                    names=n, title=n[0]),
    "best_images": lambda n: plot.best_images(rankings(n), unit=n[1], title=n[0], note=n[2]),
    "layer_weights": lambda n: plot.layer_weights(chosen().layer, surface(n), n, title=n[0]),
    "layer_profile": lambda n: plot.layer_profile(chosen().layer, free(n), n, title=n[0]),
    "field_coverage": lambda n: plot.field_coverage(torch.zeros(N, 2), free(n), torch.ones(N, 1) / 4, title=n[0]),
    "certainty": lambda n: plot.certainty({m: chosen()[1:] for m in n}, surface(n), title=n[0]),
    "best_model_map": lambda n: plot.best_model_map(torch.rand(4, N), n, surface(n), title=n[0]),
    "predicted_maps": lambda n: plot.predicted_maps([PICTURE] * 4, torch.rand(4, N), surface(n), names=n, title=n[0]),
    "group_maps": lambda n: plot.group_maps(torch.rand(3, N), surface(n), label=n[0], title=n[1]),
    "latency": lambda n: plot.latency(torch.rand(N, 2), [1, 2], surface(n), title=n[0]),
    "delay_weights": lambda n: plot.delay_weights({x: torch.rand(N, 2) for x in n}, [1, 2], name=n[0], title=n[0]),
    "predicted_course": lambda n: plot.predicted_course(torch.rand(20), torch.rand(20), voxel=n[0], title=n[0]),
    "scores_over_runs": lambda n: plot.scores_over_runs({x: dict.fromkeys(n, 0.5) for x in n}, title=n[0]),
    "top_models": lambda n: plot.top_models(course(n, low=0.0, high=0.2, p_corrected=0.01), title=n[0]),
}  # fmt: skip


@pytest.mark.parametrize("figure", FIGURES)
@pytest.mark.filterwarnings("ignore:Glyph")
@settings(max_examples=2, phases=[Phase.explicit, Phase.generate])
@example(BAD)
@given(NAMES)
def test_no_name_breaks_a_figure_or_is_parsed_as_a_formula(figure, names):
    drawn = FIGURES[figure](names)
    drawn.draw_without_rendering()
    texts = [text for text in drawn.findobj(Text) if text.get_text()]
    assert not [text.get_text() for text in texts if is_math_text(text.get_text())]
    width, height = drawn.get_size_inches()
    assert width < 30
    assert height < 20


def test_every_public_figure_is_among_them():
    no_figures = {"flatmap", "save", "saved_as", "Scene", "Ranking", "page", "PageCourse", "PageMap", "PageRun",
                  "Places", "predicted_limit"}  # fmt: skip
    drawn_here = {name.split(",")[0] for name in FIGURES} | no_figures
    assert set(plot.__all__) <= drawn_here


@pytest.mark.parametrize("figure", [f for f in FIGURES if f not in ("condition_map", "best_layer, slices", "slices")])
@pytest.mark.filterwarnings("ignore:Glyph")
def test_long_names_stay_on_the_page(figure):
    drawn = FIGURES[figure](["blocks.11.attention.projection." * 3, "$x$ " * 30, "_" * 40, "W" * 60])
    drawn.draw_without_rendering()
    boxes = [(text.get_text(), text.get_window_extent()) for text in shown_texts(drawn)]
    page = drawn.bbox
    assert [text for text, box in boxes if not (page.x0 - 2 <= box.x0 and box.x1 <= page.x1 + 2)] == []
    assert [text for text, box in boxes if not (page.y0 - 2 <= box.y0 and box.y1 <= page.y1 + 2)] == []


def shown_texts(figure):
    texts = [*figure.texts]
    for ax in [*figure.axes, *(child for parent in figure.axes for child in parent.child_axes)]:
        texts += [ax.title, ax._left_title, *ax.texts, *((ax.get_legend() and ax.get_legend().get_texts()) or [])]
        if ax.axison:
            texts += [ax.xaxis.label, ax.yaxis.label]
            low, high = sorted(ax.get_xlim())
            texts += [tick.label1 for tick in ax.xaxis.get_major_ticks() if low <= tick.get_loc() <= high]
    return [text for text in texts if text.get_text().strip() and text.get_visible()]


def test_a_legend_keeps_names_that_begin_with_an_underscore():
    ax = plot.scores({"_hidden": torch.ones(3), "b": torch.ones(3)}, BrainSpace.free(3)).axes[0]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["_hidden", "b"]


@given(st.text(max_size=200))
def test_a_label_is_one_printable_line_of_bounded_length(text):
    line = label(text, 30)
    assert line.replace("\\$", "$").isprintable()
    assert len(line.replace("\\$", "$")) <= 30
    assert not is_math_text(line)


@given(st.lists(st.text(max_size=60), unique=True, max_size=8))
def test_names_that_are_alike_when_shortened_are_told_apart(names):
    assert len(set(labels(names, 12))) == len(names)


def test_lines_are_as_narrow_as_asked_and_lose_no_word():
    text = "Two words of this are long: " + "x" * 80 + " and " + "y" * 30
    lines = wrapped(text, 8, 1.5)
    assert all(width_of(line, 8) <= 1.5 for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")

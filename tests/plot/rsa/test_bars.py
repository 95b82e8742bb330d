"""Pictures of RSA tables draw the table: heights, intervals, ceilings, marks."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch

from brainnet import plot
from brainnet.rsa import RDMs, evaluate


@pytest.fixture(scope="module")
def evaluation():
    rng = torch.Generator().manual_seed(0)
    base = torch.rand(3, 66, generator=rng)
    models = {"edges": RDMs(base[0]), "objects": RDMs(base[1]), "random": RDMs(base[2])}
    brains = {roi: RDMs(base[i] + 0.8 * torch.rand(5, 66, generator=rng)) for i, roi in enumerate(("V1", "IT"))}
    return evaluate(models, brains, generalise="subjects", progress=False)


def lines_at(ax, x):
    return [line for line in ax.lines if len(line.get_xdata()) == len(x) and np.allclose(line.get_xdata(), x)]


def test_bars_have_the_heights_intervals_and_subjects_of_the_table(evaluation):
    ax = plot.rsa_bars(evaluation).axes[0]
    heights = {round(bar.get_height(), 6) for bar in ax.patches}
    assert heights == {round(score, 6) for score in evaluation.table["score"]}
    first = evaluation.table.iloc[0]
    x = ax.patches[0].get_x() + ax.patches[0].get_width() / 2
    assert ax.patches[0].get_height() == pytest.approx(first["score"])
    assert lines_at(ax, [x, x])[0].get_ydata() == pytest.approx([first["low"], first["high"]])
    dots = next(line for line in ax.lines if line.get_marker() == "o")
    np.testing.assert_allclose(dots.get_ydata(), evaluation.cells[0].similarity[0])
    stars = [text for text in ax.texts if text.get_text() == "*"]
    assert len(stars) == (evaluation.table["p_corrected"] < 0.05).sum()
    assert len({bar.get_hatch() for bar in ax.patches}) == 3  # told apart in grey
    bands = [band.get_paths()[0].get_extents() for band in ax.collections]
    assert sorted(band.y1 for band in bands) == pytest.approx(sorted(evaluation.table["ceiling_high"].unique()))


def test_brackets_join_models_that_differ(evaluation):
    differences = evaluation.differences()
    ax = plot.rsa_bars(evaluation, differences=differences).axes[0]
    brackets = [line for line in ax.lines if len(line.get_xdata()) == 4]
    assert len(brackets) == (differences["p_corrected"] < 0.05).sum() > 0
    centres = {bar.get_x() + bar.get_width() / 2 for bar in ax.patches}
    for bracket in brackets:
        ends = bracket.get_xdata()[[0, -1]]
        assert all(min(abs(end - centre) for centre in centres) < 0.05 for end in ends)
    for one, other in pairwise(brackets):  # none on top of another
        overlap = min(one.get_xdata()[3], other.get_xdata()[3]) - max(one.get_xdata()[0], other.get_xdata()[0])
        assert overlap <= 1e-9 or one.get_ydata()[1] != other.get_ydata()[1]
    assert max(line.get_ydata().max() for line in brackets) < ax.get_ylim()[1]


def test_a_table_of_another_kind_is_refused(evaluation):
    with pytest.raises(ValueError, match="without model, score"):
        plot.rsa_bars(pd.DataFrame({"roi": ["V1"]}))
    with pytest.raises(ValueError, match="this table has none; use rsa_bars"):
        plot.rsa_time(evaluation)
    timed = pd.concat([evaluation.table.assign(time=t) for t in (0, 1)])
    with pytest.raises(ValueError, match="use rsa_time"):
        plot.rsa_bars(timed)


def test_figures_leave_pyplot_alone(evaluation):
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    plot.rsa_bars(evaluation)
    assert plt.get_fignums() == before


def test_parts_are_stacked_on_both_sides_of_zero_with_their_total():
    rows = [
        ("V1", "total", "a + b", 0.25, 0.01, 0.001), ("V1", "alone", "a", 0.2, 0.01, 0.001),
        ("V1", "unique", "a", 0.3, 0.01, 0.01), ("V1", "unique", "b", -0.1, 0.01, 0.6),
        ("V1", "shared", "a & b", 0.05, 0.01, np.nan), ("IT", "total", "a + b", 0.1, 0.01, 0.001),
        ("IT", "unique", "a", 0.02, 0.01, 0.2), ("IT", "unique", "b", 0.05, 0.01, 0.04),
        ("IT", "shared", "a & b", 0.03, 0.01, np.nan),
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["roi", "part", "sets", "r2", "sem", "p"])
    ax = plot.rsa_parts(table).axes[0]
    spans = [tuple(round(y, 6) for y in (bar.get_y(), bar.get_y() + bar.get_height())) for bar in ax.patches]
    assert spans == [(0, 0.3), (0, -0.1), (0.3, 0.35), (0, 0.02), (0.02, 0.07), (0.07, 0.1)]
    assert [line.get_ydata()[0] for line in lines_at(ax, [-0.4, 0.4])] == [0.25]
    stars = [text.get_position() for text in ax.texts if text.get_text() == "*"]
    assert [y for _, y in stars] == pytest.approx([0.15, 0.045])  # unique a in V1, unique b in IT
    assert len({bar.get_hatch() for bar in ax.patches}) == 3
    with pytest.raises(ValueError, match="table of an RDMRegression"):
        plot.rsa_parts(table.drop(columns="part"))


def test_names_of_rois_do_not_run_into_each_other():
    table = pd.DataFrame({"roi": ["fmri_EVC_RDMs", "fmri_IT_RDMs"], "model": "net", "score": [0.1, 0.2]})
    figure = plot.rsa_bars(table)
    figure.draw_without_rendering()
    first, second = (label.get_window_extent() for label in figure.axes[0].get_xticklabels())
    assert figure.axes[0].get_xticklabels()[0].get_rotation() == 40
    assert first.x1 < second.x1 - 20
    assert first.y0 >= 0
    assert plot.rsa_bars(table.assign(roi=["V1", "V2"])).axes[0].get_xticklabels()[0].get_rotation() == 0


def test_one_roi_and_many_models_keep_their_legend_on_the_page():
    names = ["edges", "objects", "clip:ViT-L-14 visual", "dinov2:large", "gabor"]
    table = pd.DataFrame({"roi": "V1", "model": names, "score": 0.1, "ceiling_low": 0.2, "ceiling_high": 0.3})
    figure = plot.rsa_bars(table)
    figure.draw_without_rendering()
    legend = figure.axes[0].get_legend().get_window_extent()
    assert [legend.x0 >= 0, legend.x1 <= figure.bbox.x1, legend.y1 <= figure.bbox.y1] == [True] * 3


def test_marks_are_explained(evaluation):
    note = plot.rsa_bars(evaluation, differences=evaluation.differences()).texts[-1].get_text()
    for words in ("Line: 95 % interval", "Dots: subjects", "*:\xa0p\xa0<\xa00.05, Holm", "Bracket: the models differ"):
        assert words in " ".join(note.split("\n"))


def test_a_score_that_is_missing_has_no_bar():
    table = pd.DataFrame({"roi": "V1", "model": ["a", "b"], "score": [0.2, np.nan], "p_corrected": [0.01, np.nan]})
    low, high = plot.rsa_bars(table).axes[0].get_ylim()
    assert low <= 0 < 0.2 < high

"""What figures of RSA say of their marks is what the table says of its numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from brainnet.plot import _marks as marks


def table(**columns) -> pd.DataFrame:
    rows = {"roi": ["V1", "V1", "IT"], "model": ["net", "net", "net"], "score": [0.1, 0.2, 0.3]}
    return pd.DataFrame({**rows, **columns})


class Evaluation:
    table = table(layer=["a", "b", "a"])


def test_an_evaluation_or_its_table_is_taken_and_others_refused():
    assert marks.table_of(Evaluation()).equals(marks.table_of(Evaluation.table))
    assert (marks.table_of(table())["layer"] == "").all()  # a table without layers has one of each model
    former = table().rename(columns={"roi": "region"})
    assert marks.table_of(former)["roi"].tolist() == ["V1", "V1", "IT"]
    with pytest.raises(ValueError, match="model, score"):
        marks.table_of(pd.DataFrame({"roi": ["V1"]}))


def test_only_a_table_over_time_is_refused():
    marks.refuse_time(table(), "bars", "courses")
    marks.refuse_time(table(time=[1, 1, 1]), "bars", "courses")
    with pytest.raises(ValueError, match="courses"):
        marks.refuse_time(table(time=[1, 2, 1]), "bars", "courses")


def test_bars_are_named_by_layer_only_where_a_model_has_several():
    assert marks.bar_names(table(layer=["", "", ""])).tolist() == ["net"] * 3
    assert marks.bar_names(table(layer=["a", "b", ""])).tolist() == ["net a", "net b", "net"]


def test_axes_say_what_the_numbers_are():
    found = table(low=[0, np.nan, 0], p_corrected=[np.nan, 0.01, np.nan], high=[1, 1, 1])
    assert marks.score_name_of(found) == "score"
    assert marks.interval_name_of(found, None) == "interval"
    found.attrs = {"method": "spearman", "squared": True, "level": 0.95, "errors": "over subjects", "correction": "max"}
    assert marks.score_name_of(found) == "squared spearman similarity"
    assert marks.interval_name_of(found, None) == "95 % interval over subjects"
    assert marks.interval_name_of(found, "standard error") == "standard error"
    assert marks.significance_name_of(found, 0.01) == "p\xa0<\xa00.01, family-wise"
    assert marks.has_intervals(found)
    assert marks.tests(found)
    empty = table(low=[np.nan] * 3, high=[1, 1, 1], p_corrected=[np.nan] * 3, ceiling_high=[np.nan] * 3)
    assert not marks.has_intervals(empty)
    assert not marks.tests(empty)
    assert not marks.has_ceiling(empty)
    assert marks.ceiling_entry(empty) == []


@pytest.mark.parametrize("correction", ["holm", "max", "fdr", "none"])
def test_every_correction_has_words(correction):
    found = table()
    found.attrs["correction"] = correction
    assert not marks.significance_name_of(found, 0.05).endswith(", corrected")


def extent(ax) -> tuple[float, float, float, float]:
    """x from, x to, y from, y to of the only band."""
    (band,) = ax.collections
    (points,) = (path.vertices for path in band.get_paths())
    return (*points[:, 0][[0, -1]], points[:, 0].max(), points[:, 1].min(), points[:, 1].max())[1:]


def test_a_ceiling_is_drawn_where_it_is():
    ax = Figure().add_subplot()
    marks.ceiling_band(ax, {"score": 1}, 0, 1)
    marks.ceiling_band(ax, {"ceiling_low": np.nan, "ceiling_high": 0.7}, 0, 1)
    assert not ax.collections
    marks.ceiling_band(ax, {"ceiling_low": 0.4, "ceiling_high": 0.7}, -0.5, 1.5)
    assert extent(ax)[1:] == (1.5, 0.4, 0.7)
    assert marks.ceiling_entry(table(ceiling_high=[0.7, np.nan, np.nan]))[0][1] == "noise ceiling"


def test_a_course_of_ceilings_follows_time_once():
    """Rows of several models at each time, in no order."""
    ax = Figure().add_subplot()
    times = [3, 1, 2, 1, 3, 2]
    rows = pd.DataFrame({"time": times, "ceiling_low": [t / 10 for t in times], "ceiling_high": [t / 5 for t in times]})
    marks.ceiling_course(ax, rows)
    (band,) = ax.collections
    points = band.get_paths()[0].vertices
    upper = {x: points[points[:, 0] == x, 1].max() for x in (1, 2, 3)}
    assert upper == {1: 0.2, 2: 0.4, 3: 0.6}
    assert list(dict.fromkeys(points[:, 0])) == [1, 2, 3]  # from left to right
    assert points[:, 1].min() == pytest.approx(0.1)
    marks.ceiling_course(Figure().add_subplot(), rows.drop(columns="ceiling_high"))

"""Numbers of a report are those of the run's files, and planted maps are those of the simulated subject."""

import re

import numpy as np
import pandas as pd
import pytest
import torch

from brainnet.run.report import scores as report_scores
from brainnet.run.report.report import write_report
from brainnet.run.report.scores import (
    metrics_of,
    scores_of_encoding,
    scores_of_fit,
    scores_of_rsa,
    scores_of_searchlight,
)
from brainnet.run.rsa.fits import fit_rdms, partition_rdms
from brainnet.run.rsa.rsa import compare_over_time
from tests.run.encodings import run_grid, save_subject
from tests.run.page.test_scenes import searched


def cells(html):
    """The texts of each row."""
    return [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", html)][1:]


def test_a_fit_has_a_row_for_each_region(mapped):
    out, metrics, data, _, _ = mapped
    rows = cells(scores_of_fit(metrics_of(out)))
    assert [row[0] for row in rows] == ["all", *data.space.rois]
    r = metrics["test"]["all"]["r"]
    assert rows[0][3].split() == [f"{r['mean']:.3f}", f"[{r['low']:.3f},", f"{r['high']:.3f}]"]
    assert float(rows[0][6]) == pytest.approx(metrics["test"]["all"]["ceiling"]["mean"], abs=6e-4)
    assert float(rows[0][7]) == pytest.approx(metrics["test"]["all"]["ceiling_share"], abs=6e-4)
    assert rows[-1][3] == "–"  # the region without voxels


def test_an_encoding_has_a_row_for_each_method_and_region(tmp_path):
    save_subject(tmp_path / "data", 0)
    run_grid(tmp_path / "data", tmp_path / "out", methods=["ridge", "banded"], controls=["shuffled"])
    html = scores_of_encoding(tmp_path / "out")
    table = pd.read_csv(tmp_path / "out" / "encoding.csv", keep_default_na=False)
    rows = cells(html.split("<h3>")[0])
    assert {(row[0], row[1]) for row in rows} == {(m, roi) for m in ("ridge", "banded") for roi in ("all", "V1", "V4")}
    wanted = table[(table["method"] == "banded") & (table["roi"] == "V1") & (table["split"] == "test")
                   & (table["score"] == "r") & (table["control"] == "")].iloc[0]  # fmt: skip
    found = next(row for row in rows if row[:2] == ["banded", "V1"])
    assert found[4].split()[0] == f"{float(wanted['mean']):.3f}"
    assert float(found[6]) == pytest.approx(float(wanted["ceiling_share"]), abs=6e-4)
    assert "Controls" in html
    assert "Network: toy" in html  # said once
    assert "above chance" in html


def test_a_searchlight_and_rdms_have_a_row_for_each_model(tmp_path):
    maps = searched(tmp_path)
    rows = cells(scores_of_searchlight(tmp_path))
    assert [row[0] for row in rows] == ["a", "b"]
    assert float(rows[1][2]) == pytest.approx(float(maps.score[1].mean()), abs=6e-4)
    with pytest.raises(FileNotFoundError, match=r"scores\.csv"):
        scores_of_rsa(tmp_path)
    (tmp_path / "scores.csv").write_text(
        "roi,model,layer,score,low,high,ceiling_low,ceiling_high,ceiling_share,p\nNA,m,1,0.2,0.1,0.3,0.4,0.5,0.5,\n"
    )
    (row,) = cells(scores_of_rsa(tmp_path))
    assert row[0] == "NA"
    assert row[5].split() == ["0.200", "[0.100,", "0.300]"]
    assert row[6] == "–"


def test_courses_fits_and_partitions_of_rdms_have_their_own_tables(files, course):
    out, few = files / "time", {"progress": False, "seed": 1}
    tables = compare_over_time([files / "meg.npz"], out, models=[files / "net.npz"], **few)
    rows = cells(scores_of_rsa(out))
    assert len(rows) == len(tables["peaks"]) + 1 + len(tables["scores"])  # and the heads of the second table
    assert [float(row[3]) for row in rows[:2]] == tables["peaks"]["time"].tolist() == [1, 4]

    out = files / "fit"
    how = {"models": [files / "net.npz"], "n_folds": 2, "n_permutations": 9, **few}
    fitted = fit_rdms([files / "brain_V1.npz"], out, **how)["scores"].iloc[0]
    (row,) = cells(scores_of_rsa(out))
    assert [row[3], row[5]] == [f"{fitted['score']:.3f}", f"{fitted['unweighted']:.3f}"]

    out = files / "partition"
    parts = partition_rdms([files / "brain_V1.npz"], out, **how | {"models": [files / "net.npz", files / "random"]})
    rows = cells(scores_of_rsa(out))
    assert [row[1] for row in rows] == parts["parts"]["part"].tolist()
    assert [float(row[3]) for row in rows] == pytest.approx(parts["parts"]["r2"].tolist(), abs=6e-4)
    said = {}
    for name in ("time", "fit", "partition"):
        text = write_report([files / name], files / f"{name}.html").read_text(encoding="utf-8")
        said[name] = text.split('id="methods"')[1].split('id="cite"')[0]
        assert text.count("data:image/png") == 1 + (name == "fit")
    assert "each time" in said["time"]
    assert "mixture" in said["fit"]
    assert "unique part" in said["partition"]
    assert "Ceilings" not in said["partition"]


def test_planted_maps_are_those_of_the_subject(mapped, tmp_path, monkeypatch):
    out, metrics, data, _, _ = mapped
    assert "data:image/png" in report_scores.truth_of(metrics, out)
    drawn = {}
    monkeypatch.setattr("brainnet.plot.cortex_maps", lambda maps, *_, **__: drawn.update(maps) or Figure())
    recovery = {"layer_accuracy": {"raw": 1.0, "constant_guess": 0.4}}
    html = report_scores.truth_of({"recovery": recovery}, out)
    assert cells(html)[0][1:] == ["1.000", "0.400"]
    planted = data.truth.selectors
    torch.testing.assert_close(drawn["layer, planted"], planted.layer.argmax(1))
    torch.testing.assert_close(drawn["scale, planted"], planted.scale[:, 0])
    known = planted.scale[:, 0] < 0.3
    torch.testing.assert_close(drawn["place x, planted"][known], planted.space[known, 0])
    for word, axis in (("planted", "x"), ("found", "y")):
        torch.testing.assert_close(~drawn[f"place {axis}, {word}"].isnan(), known)
    with np.load(out / "selectors.npz", allow_pickle=False) as arrays:
        np.testing.assert_array_equal(drawn["layer, found"], arrays["layer"].argmax(1))
        others = {name: arrays[name] for name in arrays.files if not name.startswith("planted:")}
    assert report_scores.truth_of({}, out) is None
    np.savez(tmp_path / "selectors.npz", **others)
    assert report_scores.truth_of(metrics, tmp_path) is None


class Figure:
    def savefig(self, file, **_):
        file.write(b"png")

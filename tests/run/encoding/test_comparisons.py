"""Tables of tests: what is counted, and which fits are compared."""

from __future__ import annotations

import pytest
import torch

from brainnet.encode import Encoding, Fit, FitKey
from brainnet.run.encoding.comparisons import comparable_pairs, difference_tables, significance_table
from brainnet.scores import VoxelTest


def test_family_wise_significance_is_counted_from_corrected_p(monkeypatch):
    p = torch.tensor([0.001, 0.04, 0.5, torch.nan])
    test = VoxelTest(torch.zeros(4), p, p * 1.2, p * 3)
    monkeypatch.setattr(Encoding, "headline", lambda self, subject=None: list(self.fits))
    monkeypatch.setattr(Encoding, "significance", lambda self, *_, **__: test)
    monkeypatch.setattr(Encoding, "regions", lambda self, subject: {"all": torch.ones(4, dtype=torch.bool)})
    encoding = Encoding({})
    encoding.fits[FitKey("net", "s", "ridge", "late")] = Fit({"test": torch.zeros(2, 4)}, torch.zeros(4))
    found = significance_table(encoding, 20, progress=False).iloc[0]
    assert (found["n_tested"], found["n_fdr05"], found["n_max05"]) == (3, 2, 1)
    assert found["share_fdr05"] == pytest.approx(2 / 3)


def encoding_of(*keys):
    encoding = Encoding({})
    for key in keys:
        encoding.fits[key] = Fit({"test": torch.zeros(2, 4)}, torch.zeros(4))
    return encoding


NET, OTHER = FitKey("net", "s", "ridge", "best"), FitKey("other", "s", "ridge", "best")
BANDED, RANDOM = NET._replace(method="banded"), NET._replace(control="random")


def test_pairs_differ_in_one_thing_and_random_weights_come_second():
    shuffled, elsewhere = NET._replace(control="shuffled"), NET._replace(subject="t")
    other_random = OTHER._replace(control="random")  # against RANDOM: two networks that nobody trained
    keys = [RANDOM, NET, OTHER, other_random, BANDED, shuffled, elsewhere]
    assert set(comparable_pairs(encoding_of(*keys))) == {
        (NET, RANDOM), (OTHER, other_random), (OTHER, NET), (BANDED, NET),
    }  # fmt: skip


def test_differences_are_counted_for_the_side_they_favour(monkeypatch):
    statistic = torch.tensor([0.3, 0.2, -0.4, torch.nan])
    p = torch.tensor([0.01, 0.2, 0.03, torch.nan])

    class Found:
        test = VoxelTest(statistic, p, p, p)

        class mean:
            low, high = -0.1, 0.2

    rois = {"all": torch.ones(4, dtype=torch.bool), "V1": torch.tensor([True, True, False, False])}
    monkeypatch.setattr(Encoding, "difference", lambda self, a, b, split, n_resamples: Found)
    monkeypatch.setattr(Encoding, "regions", lambda self, subject: rois)
    table, tests = difference_tables(encoding_of(NET, RANDOM), 20, progress=False)
    assert len(tests) == 1
    whole, v1 = table.set_index("roi").loc["all"], table.set_index("roi").loc["V1"]
    assert (whole["control_a"], whole["control_b"], whole["n_voxels"]) == ("", "random", 3)
    assert (whole["n_a_better_fdr05"], whole["n_b_better_fdr05"]) == (1, 1)
    assert whole["share_a_better"] == pytest.approx(2 / 3)
    assert (whole["low"], whole["high"]) == (-0.1, 0.2)
    assert (v1["n_a_better_fdr05"], v1["n_b_better_fdr05"], v1["share_a_better"]) == (1, 0, 1.0)
    assert v1[["low", "high"]].isna().all()  # the interval is that of all voxels


def test_nothing_to_compare_is_a_table_without_rows():
    table, tests = difference_tables(encoding_of(NET), 20, progress=False)
    assert (len(table), tests) == (0, {})
    assert {"subject", "model_a", "model_b", "roi", "mean"} <= set(table.columns)

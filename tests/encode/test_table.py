"""Rows of the table that compare patterns over voxels."""

import numpy as np
import pytest
import torch

from brainnet import scores
from brainnet.dataset.base import ResponseDataset
from brainnet.encode import Encoding, Fit, FitKey
from brainnet.space import BrainSpace

KEY = FitKey("net", "subject", "ridge", "a")


def test_pattern_scores_are_of_z_scored_voxels_that_have_a_score():
    rng = np.random.default_rng(0)
    y = rng.normal(size=(50, 8)) * 3 + 100 * np.arange(8)
    y[:, 7] = 5.0
    rois = {"V1": torch.arange(8) < 4, "tiny": torch.arange(8) == 2}
    data = ResponseDataset(
        [str(i) for i in range(50)], y, BrainSpace.free(8, rois), {"train": range(40, 50), "test": range(40)}
    )
    prediction = data.responses[:40] + torch.from_numpy(4 * rng.normal(size=(40, 8))).float()
    encoding = Encoding({"subject": data}, n_resamples=50)
    encoding.add(KEY, Fit({"test": prediction}, torch.zeros(8)))
    rows = encoding.table.set_index(["roi", "score"])
    response = data.responses[:40].double()
    mean, sd = response.mean(0), response.std(0, correction=0)
    for roi, voxels in (("all", slice(0, 7)), ("V1", slice(0, 4))):
        p, t = (((x.double() - mean) / sd)[:, voxels] for x in (prediction, response))
        top1, pairwise = scores.identification(p, t)
        expected = {"pattern_r": scores.pattern_r(p, t).mean(), "versa": scores.versa(p, t),
                    "identification": pairwise.mean(), "identification_top1": top1.mean()}  # fmt: skip
        for score, value in expected.items():
            row = rows.loc[(roi, score)]
            assert row["mean"] == pytest.approx(float(value))
            assert row["n_voxels"] == voxels.stop
            assert score == "versa" or row["low"] <= row["mean"] <= row["high"]
    assert rows.loc[("all", "pattern_r"), "n_excluded"] == 1
    assert np.isnan(rows.loc[("tiny", "pattern_r"), "mean"])  # one voxel is no pattern
    assert list(encoding.table)[-9:] == ["mean", "low", "high", "median", "n_voxels", "n_excluded", "ceiling",
                                         "ceiling_share", "n_under_floor"]  # fmt: skip

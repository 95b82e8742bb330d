from __future__ import annotations

import numpy as np
import pytest
import torch

from brainnet.rsa import RDMs, compare, rdm
from brainnet.run.sweep.geometry import geometry, jackknife
from brainnet.store import TokenStore
from tests.run.sweep.toys import LAYERS, Subject, Tiny


@pytest.fixture(scope="module")
def found():
    dataset = Subject(noise=0.1)
    store = TokenStore.build(Tiny(0), dataset, grid=(4, 4), progress=False)
    return dataset, store, *geometry(store, dataset, metric="correlation", comparison="spearman", pool="flatten",
                                     layers=LAYERS)  # fmt: skip


def test_the_score_is_that_of_the_two_rdms_of_the_test_images(found):
    dataset, store, rows, _ = found
    test = dataset.splits["test"]
    brain = rdm(dataset.responses[test][:, dataset.space.rois["V1"]])
    expected = float(compare(rdm(store.features("early", "flatten", test)), brain, "spearman"))
    mine = next(row for row in rows if row["roi"] == "V1" and row["layer"] == "early")
    assert mine["mean"] == pytest.approx(expected, abs=1e-6)
    assert mine["low"] < mine["mean"] < mine["high"]


def test_the_planted_layer_is_chosen_on_training_images():
    dataset = Subject(noise=0.1, n_images=120, voxels=40)
    store = TokenStore.build(Tiny(0), dataset, grid=(4, 4), progress=False)
    rows, _ = geometry(store, dataset, metric="sqeuclidean", comparison="cka", pool="flatten", layers=LAYERS)
    chosen = {row["roi"]: row["chosen_layer"] for row in rows if row["layer"] == "best"}
    assert (chosen["V1"], chosen["IT"]) == ("early", "late")


def test_samples_have_the_variance_of_the_interval(found):
    _, _, rows, samples = found
    row = next(row for row in rows if row["roi"] == "V1" and row["layer"] == "best")
    reach = float(np.std(samples["V1"])) * 2.045  # t of 29 degrees of freedom: 30 test images
    assert (row["high"] - row["low"]) / 2 == pytest.approx(reach, rel=1e-3)


@pytest.mark.parametrize("comparison", ["spearman", "cka"])
def test_the_jackknife_gives_the_spread_over_new_stimuli(comparison):
    generator, errors, scores = torch.Generator().manual_seed(0), [], []
    for _ in range(150):
        x = torch.randn(40, 6, generator=generator, dtype=torch.float64)
        y = x[:, :4] + torch.randn(40, 4, generator=generator, dtype=torch.float64)
        a, b = (rdm(one, "sqeuclidean").values.double() for one in (x, y))
        one = jackknife(a, b[0], comparison, 40)
        errors.append(float(one.samples.std(0, correction=0)))
        scores.append(float(one.score))
    assert np.mean(errors) == pytest.approx(np.std(scores), rel=0.25)


def test_what_is_undefined_is_nan_and_does_not_spoil_the_rest():
    x = torch.randn(10, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    values = rdm(x).values.double()
    models = torch.cat([values, torch.full_like(values, torch.nan)])
    found = jackknife(models, values[0], "spearman", 10)
    assert found.score[0] == pytest.approx(1.0)
    assert found.score[1].isnan()
    assert jackknife(models, None, "spearman", 10).score.isnan().all()


def test_three_test_images_are_too_few(found):
    dataset, store = found[:2]
    dataset = Subject()
    dataset.splits["test"] = dataset.splits["test"][:3]
    with pytest.raises(ValueError, match="four"):
        geometry(store, dataset, metric="correlation", comparison="spearman", pool="flatten", layers=LAYERS)
    assert isinstance(rdm(torch.eye(3)), RDMs)

"""A start from a ridge regression: what the model predicts before its first step."""

from __future__ import annotations

import logging
import warnings

import numpy as np
import pytest
import torch

from brainnet.dataset import ArrayDataset
from brainnet.model import FactorTopy
from brainnet.plmodel.ridge_start import start_from_ridge
from brainnet.ridge import WindowRidgeCV
from brainnet.tokens import Tokens
from tests.plmodel.trainings import fitted
from tests.tokens.toys import make_tokens, split
from tests.toys import toy_dataset


def read_by(model, split):
    """Tokens as training reads them, in half precision: where two windows are all but alike, rounding decides."""
    batches = map(model.transform, model.token_batches(model.data.dataset.splits[split]))
    return [
        Tokens(
            *({layer: values.half().float() for layer, values in part.items()} for part in (batch.local, batch.global_))
        )
        for batch in batches
    ]


def test_the_closed_form_start_is_a_window_ridge(tmp_path):
    """Before the first step the model predicts what the ridge does: the start is a fit, not an initialisation."""
    data = toy_dataset(coords=False)
    words = ("MODEL.START", "ridge", "MODEL.WINDOW", "gaussian", "MODEL.BOTTLENECK_DIM", "16", "OPTIMIZER.LR", "0.0")
    model = fitted(tmp_path, *words, data=data, max_epochs=1)
    tokens = read_by(model, "train")
    response = data.responses[data.splits["train"]]
    ridge = WindowRidgeCV().fit(tokens, (response - model.response_mean) / model.response_sd)
    test = read_by(model, "test")
    expected = ridge.predict(test) * model.response_sd + model.response_mean
    found = model.predict_index(data.splits["test"])
    assert (found - expected).norm() < 0.01 * expected.norm()
    # the map of layers says from the start what each adds to the ridge's prediction: the SD of its part over images
    alone = [
        ridge.predict([t._replace(local={k: v * (k == layer) for k, v in t.local.items()}) for t in test])
        for layer in model.layers
    ]
    part = torch.stack([prediction.std(0) for prediction in alone], 1)
    found = model.get_selectors().layer
    torch.testing.assert_close(found, part / part.sum(1, keepdim=True), atol=0.05, rtol=0)  # its images were others
    assert (found.std(0) > 0.05).all()


def shown_twice():
    """Each image and its noise twice in a run: who leaves out one image only learns the noise by heart."""
    half = toy_dataset(30, coords=False, noise=2.0)
    pixels = np.stack([np.array(half.load_image(i)) for i in range(30)]).transpose(0, 3, 1, 2) / np.float32(255)
    twice = np.concatenate([pixels, pixels])
    data = ArrayDataset(torch.from_numpy(twice), half.responses.repeat(2, 1), test=0.25, val=0.2)
    data.groups = np.arange(60) % 30 // 6
    return data


def test_the_ridge_start_leaves_out_the_runs_of_the_data(tmp_path):
    """It left out one image, whatever the data set knew of its runs."""
    words = ("MODEL.START", "ridge", "MODEL.WINDOW", "gaussian", "MODEL.BOTTLENECK_DIM", "16", "OPTIMIZER.LR", "0.0")
    data = shown_twice()
    usual = fitted(tmp_path, *words, data=data, max_epochs=1)
    model = fitted(tmp_path, *words, "MODEL.CV_GROUPS", "dataset", data=data, max_epochs=1)
    train = data.splits["train"]
    tokens = read_by(model, "train")
    response = (data.responses[train] - model.response_mean) / model.response_sd
    ridge = WindowRidgeCV().fit(tokens, response, data.groups[train])
    assert (ridge.best_alphas_ / WindowRidgeCV().fit(tokens, response).best_alphas_).log10().mean() > 0.5
    test = read_by(model, "test")
    expected = ridge.predict(test) * model.response_sd + model.response_mean
    found = model.predict_index(data.splits["test"])
    assert (found - expected).norm() < 0.01 * expected.norm()
    assert (found - expected).norm() < 0.1 * (usual.predict_index(data.splits["test"]) - expected).norm()


@pytest.mark.parametrize(("groups", "words"), [(None, "ArrayDataset knows none"), (np.full(60, "run-1"), "'run-1'")])
def test_runs_that_cannot_be_left_out_are_one_line(tmp_path, groups, words):
    data = toy_dataset()
    data.groups = groups
    with pytest.raises(ValueError, match=words) as refused:
        fitted(tmp_path, "MODEL.FIELD", "ridge", "MODEL.CV_GROUPS", "dataset", data=data)
    assert "\n" not in str(refused.value)
    with pytest.raises(ValueError, match="MODEL.START ridge or MODEL.FIELD ridge"):
        fitted(tmp_path, "MODEL.CV_GROUPS", "dataset")


def test_the_ridge_start_needs_windows(tmp_path):
    with pytest.raises(ValueError, match="MODEL.WINDOW gaussian"):
        fitted(tmp_path, "MODEL.START", "ridge")


def test_the_ridge_start_leaves_missing_responses_out(tmp_path):
    data = toy_dataset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data.responses[data.splits["train"][3], 2] = torch.nan
        data.responses[:, 0] = 1.0
        words = ("MODEL.START", "ridge", "MODEL.WINDOW", "gaussian", "MODEL.BOTTLENECK_DIM", "16")
        model = fitted(tmp_path, *words, data=data, max_epochs=1)
    assert all(parameter.isfinite().all() for parameter in model.parameters())
    assert model.scores["val"]["r"][1:].isfinite().all()


@pytest.mark.parametrize("missing", [torch.nan, torch.inf])
def test_one_missing_response_costs_a_voxel_that_image_and_no_more(tmp_path, missing):
    """It cost the voxel its whole start, and with it the fit."""
    words = ("MODEL.START", "ridge", "MODEL.WINDOW", "gaussian", "MODEL.BOTTLENECK_DIM", "16", "OPTIMIZER.LR", "0.0")
    gaps = toy_dataset()
    gaps.responses[gaps.splits["train"][3], 2] = missing
    whole, holed = (fitted(tmp_path, *words, data=data, max_epochs=1) for data in (toy_dataset(), gaps))
    expected, found = (model.predict_index(gaps.splits["test"])[:, 2] for model in (whole, holed))
    assert expected.std() > 0.1
    assert (found - expected).std() < 0.25 * expected.std()


@pytest.mark.parametrize(("bottleneck_dim", "told"), [(1, True), (24, False)])
def test_a_bottleneck_that_loses_much_of_the_start_is_told(rng, caplog, bottleneck_dim, told):
    tokens = make_tokens(rng, ("a", "b"), (6, 6), batch=40)
    readout = FactorTopy(
        ("a", "b"), (6, 6), 8, topology="free", window="gaussian", bottleneck_dim=bottleneck_dim, head="sum"
    )
    target = torch.randn(40, 8, generator=rng)
    with caplog.at_level(logging.WARNING, "brainnet"):
        start_from_ridge(readout, ["a", "b"], lambda index: iter(split(tokens, 16)), torch.arange(40), target, False)
    assert ["bottleneck_dim" in record.getMessage() for record in caplog.records] == [True] * told

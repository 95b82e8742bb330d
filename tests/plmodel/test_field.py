"""The field beside a read-out: planted surround, its share, checkpoints, and what is refused."""

import numpy as np
import pytest
import torch

from brainnet.plmodel import PLModel
from brainnet.plmodel import field as fields
from brainnet.plmodel.field import FieldRidge, fit_field
from brainnet.ridge import MixedWindowRidgeCV
from brainnet.scores import pearson_r
from brainnet.selection import gaussian_windows
from brainnet.tokens import Tokens
from tests.plmodel.trainings import fitted


@pytest.fixture
def surround(rng):
    """120 images; voxels that read a window, and as much of the rest of the image."""
    local = {name: torch.randn(160, 4, 6, 6, generator=rng) for name in ("b", "a")}
    window = gaussian_windows(torch.tensor([[0.35, 0.0, 0.28]]), (6, 6))[0]
    parts = [
        torch.cat([(v * window).sum((2, 3)) for v in local.values()], 1),
        torch.cat([v.flatten(1) for v in local.values()], 1),
    ]
    signal = sum(p @ torch.randn(p.shape[1], 8, generator=rng) / p.std() / p.shape[1] ** 0.5 for p in parts)
    response = signal + 0.5 * torch.randn(160, 8, generator=rng) + torch.arange(8)
    return lambda index: iter([Tokens({k: v[index] for k, v in local.items()}, {})]), response


def test_it_is_whole_image_ridge_in_the_share_that_left_out_images_ask_for(surround):
    batches, response = surround
    train, test = torch.arange(120), torch.arange(120, 160)
    field = fit_field(["a", "b"], batches, train, response[train], progress=False)
    assert 0.2 < field.share < 0.9
    tokens = next(batches(test)).local
    order = [tokens["a"], tokens["b"]]
    whole = MixedWindowRidgeCV(shares=(0.0,)).fit(lambda: batches(train), response[train])
    expected = whole.predict(lambda: batches(test))
    window = MixedWindowRidgeCV(shares=(1.0,), n_windows=1).fit(lambda: batches(train), response[train])
    alone = window.predict(lambda: batches(test))
    mixed = field(alone, order)
    torch.testing.assert_close(mixed, torch.lerp(alone, expected, field.share), rtol=0, atol=0.05)
    r = [pearson_r(p, response[test]).mean() for p in (alone, mixed)]
    assert r[1] > r[0] + 0.01
    assert 0.5 < field.window_share.mean() < 0.95  # of what is explained, which of the surround is less


def test_its_share_is_that_of_the_runs_left_out(surround):
    batches, response = surround
    train, runs = torch.arange(120), np.arange(120) // 30
    field = fit_field(["a", "b"], batches, train, response[train], False, runs)
    parts = [
        MixedWindowRidgeCV(shares=(share,), n_windows=1).fit(lambda: batches(train), response[train], runs).left_out_
        for share in (1.0, 0.0)
    ]
    y = response[train] - response[train].mean(0)
    more = parts[1] - parts[0]
    torch.testing.assert_close(field.share, ((y - parts[0]) * more).sum() / more.square().sum(), rtol=1e-3, atol=1e-3)
    assert field.share != fit_field(["a", "b"], batches, train, response[train], False).share


def test_a_voxel_that_reads_a_window_only_takes_little_of_it(rng):
    local = {"a": torch.randn(200, 4, 6, 6, generator=rng)}
    window = gaussian_windows(torch.tensor([[0.35, 0.0, 0.28]]), (6, 6))[0]
    response = (local["a"] * window).sum((2, 3)) @ torch.randn(4, 5, generator=rng)
    response = response / response.std(0) + 0.5 * torch.randn(200, 5, generator=rng)
    batches = lambda index: iter([Tokens({k: v[index] for k, v in local.items()}, {})])  # noqa: E731
    field = fit_field(["a"], batches, torch.arange(200), response, progress=False)
    assert field.share < 0.15
    assert field.window_share.min() > 0.8


def test_a_fit_predicts_with_its_field_from_a_checkpoint_alone(tmp_path):
    words = ("MODEL.WINDOW", "gaussian", "MODEL.FIELD", "ridge", "MODEL.BOTTLENECK_DIM", "16")
    model = fitted(tmp_path, *words)
    assert isinstance(model.field, FieldRidge)
    path = tmp_path / "m.ckpt"
    model.trainer.save_checkpoint(path)
    again = PLModel.load_from_checkpoint(path, backbone=model.backbone)
    index = model.data.test_index
    again.data = model.data
    torch.testing.assert_close(again.predict_index(index), model.predict_index(index))
    mixed = model.predict_index(index)
    model.field = None
    assert (mixed - model.predict_index(index)).abs().max() > 1e-3


def test_without_the_setting_there_is_none(tmp_path):
    assert fitted(tmp_path, "MODEL.WINDOW", "gaussian").field is None


def test_a_field_that_is_too_large_is_refused(surround, monkeypatch):
    batches, response = surround
    monkeypatch.setattr(fields, "LARGEST", 1000)
    with pytest.raises(ValueError, match="MODEL.FIELD would take"):
        fit_field(["a"], batches, torch.arange(120), response[:120], progress=False)


def test_shapes_come_from_a_state_dict():
    state = FieldRidge(
        torch.ones(3),
        torch.ones(3, 2),
        [torch.ones(2, 4, 1, 1)],
        torch.ones(2),
        torch.tensor(0.5),
        torch.ones(3),
        torch.tensor(1.0),
    ).state_dict(prefix="field.")
    empty = FieldRidge.like(state)
    empty.load_state_dict({k.removeprefix("field."): v for k, v in state.items()})
    np.testing.assert_allclose(empty(torch.zeros(1, 3), [torch.zeros(1, 4, 1, 1)]), 0.5 * (1 + 2))
    assert FieldRidge.like({"encoder.x": torch.ones(1)}) is None

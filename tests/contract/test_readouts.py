"""One battery for every read-out: what a loop over ``READOUTS`` may rely on."""

from __future__ import annotations

import pytest
import torch

from brainnet.model import READOUTS

LAYERS, WIDTHS, N_VOXELS = ["early", "late"], [8, 4], 4  # each for four delays


@pytest.fixture(params=sorted(READOUTS))
def make(request):
    def build():
        torch.manual_seed(0)
        coords = torch.rand(N_VOXELS, 3, generator=torch.Generator().manual_seed(1))
        return READOUTS[request.param](LAYERS, WIDTHS, N_VOXELS, coords)

    with torch.random.fork_rng(devices=[]):
        yield build


@pytest.fixture
def tokens():
    generator = torch.Generator().manual_seed(2)
    local = {n: torch.randn(3, c, 8, 8, generator=generator) for n, c in zip(LAYERS, WIDTHS, strict=True)}
    return local, {name: maps.mean((2, 3)) for name, maps in local.items()}


def test_a_prediction_for_every_image_and_voxel_and_a_scalar(make, tokens):
    prediction, regulariser = make()(*tokens)
    assert prediction.shape == (3, N_VOXELS)
    assert torch.as_tensor(regulariser).ndim == 0
    assert prediction.isfinite().all()


def test_the_loss_reaches_its_weights(make, tokens):
    model = make()
    prediction, regulariser = model(*tokens)
    (prediction.square().mean() + regulariser).backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_tokens_are_left_as_they_were(make, tokens):
    before = {name: maps.clone() for name, maps in tokens[0].items()}
    make()(*tokens)
    assert all(torch.equal(tokens[0][name], maps) for name, maps in before.items())


def test_the_same_seed_gives_the_same_and_a_state_can_be_loaded(make, tokens):
    model, twin = make(), make()
    expected = model(*tokens)[0]
    torch.testing.assert_close(twin(*tokens)[0], expected, rtol=0, atol=0)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.add_(1.0)
    twin.load_state_dict(model.state_dict())
    torch.testing.assert_close(twin(*tokens)[0], expected, rtol=0, atol=0)

"""Recovery scores: perfect, constant, shifted and mis-scaled selectors get what they deserve."""

from __future__ import annotations

import json

import pytest
import torch

from brainnet.dataset.simulation.planting import patch_coordinates, planted_selectors
from brainnet.dataset.simulation.recovery import recovery
from brainnet.selection import Selectors
from brainnet.space import occipital_vertices


@pytest.fixture(scope="module")
def planted():
    return planted_selectors(patch_coordinates(occipital_vertices(40), 40), 5)


@pytest.fixture(scope="module")
def hemisphere():
    return (occipital_vertices(40) >= 10242).long()


def test_the_truth_recovers_itself(planted, hemisphere):
    scores = recovery(planted, planted, hemisphere)
    for metric in ("layer_accuracy", "layer_within_one", "layer_centre_r", "scale_r", "position_x_r", "position_y_r"):
        assert scores[metric]["raw"] == pytest.approx(1)
    for metric in ("layer_centre_mae", "scale_mae", "position_rms", "position_median"):
        assert scores[metric]["raw"] == pytest.approx(0)
    assert json.loads(json.dumps(scores)) == scores
    assert scores["n_local"] == int((planted.scale < 0.3).sum())


def test_the_constant_guess_is_the_best_constant(planted, hemisphere):
    """No constant does better than the printed one, in the metric it is printed for."""
    scores = recovery(planted, planted, hemisphere)
    n, local = len(planted.scale), planted.scale[:, 0] < 0.3
    for centre in range(5):
        layer = torch.eye(5)[centre].expand(n, 5)
        constant = recovery(planted, planted._replace(layer=layer), hemisphere)
        for metric in ("layer_accuracy", "layer_within_one"):
            assert constant[metric]["raw"] <= scores[metric]["constant_guess"] + 1e-6
        assert constant["layer_centre_mae"]["raw"] >= scores["layer_centre_mae"]["constant_guess"]
        assert constant["layer_centre_r"]["raw"] == 0
    for value in (0.1, 0.5, 0.9):
        constant = recovery(planted, planted._replace(scale=torch.full((n, 1), value)), hemisphere)
        assert constant["scale_mae"]["raw"] >= scores["scale_mae"]["constant_guess"]
    centre = recovery(planted, planted._replace(space=torch.zeros(n, 2)), hemisphere)
    assert centre["position_rms"]["raw"] >= scores["position_rms"]["constant_guess"]
    spread = planted.space[local].var(0, correction=0).sum().sqrt()
    assert scores["position_rms"]["constant_guess"] == pytest.approx(float(spread), abs=1e-5)


def test_the_sign_of_the_hemispheres_earns_no_correlation(planted, hemisphere):
    """Knowing only which half of the image a hemisphere sees gives r near 1 overall and 0 within."""
    x = torch.where(hemisphere == 0, 0.4, -0.4)
    half = planted._replace(space=torch.stack([x, planted.space[:, 1]], 1))
    assert recovery(planted, half, hemisphere)["position_x_r"]["raw"] == 0


def test_positions_of_global_voxels_do_not_count(planted, hemisphere):
    space = planted.space.clone()
    space[planted.scale[:, 0] >= 0.3] = 9
    assert recovery(planted, planted._replace(space=space), hemisphere)["position_rms"]["raw"] == 0


def test_a_shift_by_one_layer_is_within_one(planted, hemisphere):
    shifted = planted._replace(layer=planted.layer.roll(1, dims=1))
    scores = recovery(planted, shifted, hemisphere)
    assert scores["layer_accuracy"]["raw"] == 0
    assert scores["layer_within_one"]["raw"] > 0.8


def test_gains_undo_what_bottlenecks_of_unequal_norm_did(planted, hemisphere):
    """A model whose bottleneck l is g times larger needs 1/g of the share for the same contribution."""
    gain = torch.tensor([4.0, 1.0, 0.5, 2.0, 1.0])
    layer = planted.layer / gain
    scale_gain = torch.tensor([3.0, 1.0])
    scale = torch.cat([1 - planted.scale, planted.scale], 1) / scale_gain
    found = Selectors(planted.space, layer / layer.sum(1, keepdim=True), scale[:, 1:] / scale.sum(1, keepdim=True))
    scores = recovery(planted, found, hemisphere, layer_gain=gain, scale_gain=scale_gain)
    assert scores["layer_centre_mae"]["raw"] > 0.1
    assert scores["scale_mae"]["raw"] > 0.1
    assert scores["layer_centre_mae"]["gain_corrected"] == pytest.approx(0, abs=1e-5)
    assert scores["scale_mae"]["gain_corrected"] == pytest.approx(0, abs=1e-5)
    assert "gain_corrected" not in scores["position_rms"]


def test_selectors_of_another_shape_are_refused(planted, hemisphere):
    with pytest.raises(ValueError, match=r"layer selectors found are \(2364, 4\), the planted ones \(2364, 5\)"):
        recovery(planted, planted._replace(layer=planted.layer[:, :4]), hemisphere)

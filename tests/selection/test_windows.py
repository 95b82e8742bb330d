"""Gaussian windows against their formula, and that both read-outs use the same ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import brainnet.ridge
from brainnet.selection import gaussian_windows, read_out
from brainnet.selection.windows import window_axes


def test_windows_follow_the_formula(rng):
    """exp(-d^2 / 2 width^2) over the tokens' centres, divided by its sum, on a grid that is not square."""
    windows = torch.rand(20, 3, generator=rng, dtype=torch.float64) * 2 - 1
    windows[:, 2] = windows[:, 2].abs() + 0.1
    found = gaussian_windows(windows, (3, 5))
    for (x, y, width), window in zip(windows.tolist(), found, strict=True):
        across, down = (2 * np.arange(5) + 1) / 5 - 1, (2 * np.arange(3) + 1) / 3 - 1
        wanted = np.exp(-((across[None] - x) ** 2 + (down[:, None] - y) ** 2) / (2 * width**2))
        np.testing.assert_allclose(window.numpy(), wanted / wanted.sum(), rtol=1e-12, atol=1e-16)


def test_narrow_windows_hold_no_denormals():
    """Weights of 1e-40 change no prediction but slow every product they enter, several times."""
    position, width = torch.tensor([[-0.9, 0.9]]), torch.tensor([[0.08]])
    for weights in (*window_axes(position, width, (8, 8)), gaussian_windows(torch.cat([position, width], 1), (8, 8))):
        assert weights[weights > 0].min() > 1e-17
        assert weights.sum().item() == pytest.approx(1)


def test_window_ridge_reads_what_the_selection_reads(rng):
    """A closed-form start is a place of the model that it starts."""
    tokens, windows = torch.randn(4, 1, 2, 8, 8, generator=rng), torch.tensor([[0.3, -0.6, 0.18], [-0.7, 0.0, 0.42]])
    assert brainnet.ridge.gaussian_windows is gaussian_windows
    seen = read_out(
        tokens, torch.zeros(4, 1, 2), torch.ones(2, 1), windows[:, :2], torch.zeros(2, 1), torch.eye(2), torch.zeros(2),
        width=windows[:, 2:], implementation="reference",
    )  # fmt: skip
    pooled = torch.einsum("bchw,nhw->bnc", tokens[:, 0].double(), gaussian_windows(windows, (8, 8)).double())
    torch.testing.assert_close(
        seen * 2, torch.stack([pooled[:, 0, 0], pooled[:, 1, 1]], 1).float(), rtol=1e-5, atol=1e-6
    )

"""The contraction against explicit loops."""

from __future__ import annotations

import math

import pytest
import torch

from brainnet.selection import definition, read_out
from tests.selection.problems import problem


def by_loops(local, global_, layer, position, scale, weight, bias, width, head):
    """The definition in scalars: taps of a bilinear sample with zeros beyond the rim, or a normalised Gaussian."""
    batch, n_layers, depth, height, columns = local.shape
    out = torch.zeros(batch, len(weight), dtype=torch.float64)
    for n in range(len(weight)):
        x, y = position[n].tolist()
        window = {}
        for row in range(height):
            for column in range(columns):
                if width is None:
                    px, py = (x + 1) * columns / 2 - 0.5, (y + 1) * height / 2 - 0.5
                    u = max(0.0, 1 - abs(px - column)) * max(0.0, 1 - abs(py - row))
                else:
                    dx, dy = (2 * column + 1) / columns - 1 - x, (2 * row + 1) / height - 1 - y
                    u = math.exp(-(dx**2 + dy**2) / (2 * width[n].item() ** 2))
                window[row, column] = u
        total = 1.0 if width is None else sum(window.values())
        for b in range(batch):
            for d in range(depth):
                value = 0.0
                for k in range(n_layers):
                    seen = sum(u * local[b, k, d, r, c].item() for (r, c), u in window.items()) / total
                    seen = (1 - scale[n].item()) * seen + scale[n].item() * global_[b, k, d].item()
                    value += layer[n, k].item() * seen
                out[b, n] += weight[n, d].item() * value / (depth if head == "mean" else 1)
            out[b, n] += bias[n].item()
    return out


@pytest.mark.parametrize("gaussian", [False, True])
@pytest.mark.parametrize("grid", [(8, 8), (3, 5)])
@pytest.mark.parametrize("head", ["mean", "sum"])
def test_reference_matches_explicit_loops(rng, gaussian, grid, head):
    args = problem(rng, grid=grid, gaussian=gaussian, n_layers=2, depth=3, n_voxels=5)
    expected = by_loops(**args, head=head)
    torch.testing.assert_close(read_out(**args, head=head, implementation="reference"), expected, rtol=0, atol=1e-12)


def test_column_zero_of_position_is_x(rng):
    """A lone bright token at the right edge is seen from x = 0.875, not from y."""
    args = problem(rng, batch=1, n_layers=1, depth=1, n_voxels=2)
    local = torch.zeros(1, 1, 1, 8, 8, dtype=torch.float64)
    local[..., 3, 7] = 1.0  # row 3 (y = -0.125), column 7 (x = 0.875)
    args |= {
        "local": local,
        "position": torch.tensor([[0.875, -0.125], [-0.125, 0.875]], dtype=torch.float64),
        "scale": torch.zeros(2, 1, dtype=torch.float64),
        "weight": torch.ones(2, 1, dtype=torch.float64),
        "layer": torch.ones(2, 1, dtype=torch.float64),
        "bias": None,
    }
    torch.testing.assert_close(read_out(**args), torch.tensor([[1.0, 0.0]], dtype=torch.float64))


@pytest.mark.parametrize(("place", "mass"), [((1, 0), 0.5), ((1, 1), 0.25), ((0.875, -0.875), 1.0), ((1.2, 0), 0.0)])
def test_point_sampling_loses_mass_at_the_rim(place, mass):
    ones = torch.ones(1, 1, dtype=torch.float64)
    position = torch.tensor([place], dtype=torch.float64)
    local = torch.ones(1, 1, 1, 8, 8, dtype=torch.float64)
    seen = read_out(local, torch.zeros(1, 1, 1).double(), ones, position, 0 * ones, ones)
    assert seen.item() == pytest.approx(mass, abs=1e-12)


def test_gaussian_window_keeps_its_mass_everywhere(rng):
    args = problem(rng, gaussian=True, spread=3.0)
    args |= {"local": torch.ones_like(args["local"]), "global_": torch.ones_like(args["global_"])}
    expected = args["weight"].mean(1) + args["bias"]
    torch.testing.assert_close(read_out(**args), expected.expand(2, -1), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layer": torch.zeros(7, 2)}, r"layer must be \(7, 3\)"),
        ({"position": torch.zeros(6, 2)}, r"position must be \(7, 2\)"),
        ({"width": torch.zeros(7)}, r"width must be \(7, 1\)"),
        ({"local": torch.zeros(2, 3, 8, 8)}, r"\(B, L, D, H, W\)"),
        ({"head": "max"}, "Known: mean, sum"),
        ({"implementation": "fastest"}, "Unknown implementation 'fastest'"),
        ({"precision": "fp8"}, "Known: fp32, bf16, auto"),
    ],
)
def test_bad_arguments_are_named(rng, change, message):
    with pytest.raises(ValueError, match=message):
        read_out(**(problem(rng) | change))


def test_bf16_on_a_processor_without_it_is_told_once_and_auto_avoids_it(monkeypatch):
    monkeypatch.setattr(definition, "multiplies_bfloat16", lambda device: False)
    monkeypatch.setattr("brainnet._checks._already_warned", set())
    cpu = torch.device("cpu")
    assert definition.arithmetic("auto", cpu) == "fp32"
    with pytest.warns(UserWarning, match="several times slower") as said:
        assert [definition.arithmetic("bf16", cpu) for _ in range(2)] == ["bf16", "bf16"]
    assert len(said) == 1
    with pytest.raises(ValueError, match="'half'"):
        definition.arithmetic("half", cpu)

"""The contraction against explicit loops, and every implementation against the reference form."""

from __future__ import annotations

import math

import pytest
import torch

from brainnet.selection import read_out


def problem(rng, batch=2, n_layers=3, depth=5, grid=(8, 8), n_voxels=7, gaussian=False, spread=0.7):
    """A random read-out in float64, as the keyword arguments of read_out."""
    draw = lambda *shape: torch.randn(*shape, generator=rng, dtype=torch.float64)  # noqa: E731
    return {
        "local": draw(batch, n_layers, depth, *grid),
        "global_": draw(batch, n_layers, depth),
        "layer": draw(n_voxels, n_layers).softmax(-1),
        "position": spread * draw(n_voxels, 2),
        "scale": draw(n_voxels, 1).sigmoid(),
        "weight": draw(n_voxels, depth),
        "bias": draw(n_voxels),
        "width": draw(n_voxels, 1).exp() / 3 if gaussian else None,
    }


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
    given = problem(rng, grid=grid, gaussian=gaussian, n_layers=2, depth=3, n_voxels=5)
    expected = by_loops(**given, head=head)
    torch.testing.assert_close(read_out(**given, head=head, implementation="reference"), expected, rtol=0, atol=1e-12)


def test_column_zero_of_position_is_x(rng):
    """A lone bright token at the right edge is seen from x = 0.875, not from y."""
    given = problem(rng, batch=1, n_layers=1, depth=1, n_voxels=2)
    local = torch.zeros(1, 1, 1, 8, 8, dtype=torch.float64)
    local[..., 3, 7] = 1.0  # row 3 (y = -0.125), column 7 (x = 0.875)
    given |= {
        "local": local,
        "position": torch.tensor([[0.875, -0.125], [-0.125, 0.875]], dtype=torch.float64),
        "scale": torch.zeros(2, 1, dtype=torch.float64),
        "weight": torch.ones(2, 1, dtype=torch.float64),
        "layer": torch.ones(2, 1, dtype=torch.float64),
        "bias": None,
    }
    torch.testing.assert_close(read_out(**given), torch.tensor([[1.0, 0.0]], dtype=torch.float64))


@pytest.mark.parametrize(("place", "mass"), [((1, 0), 0.5), ((1, 1), 0.25), ((0.875, -0.875), 1.0), ((1.2, 0), 0.0)])
def test_point_sampling_loses_mass_at_the_rim(place, mass):
    ones = torch.ones(1, 1, dtype=torch.float64)
    position = torch.tensor([place], dtype=torch.float64)
    local = torch.ones(1, 1, 1, 8, 8, dtype=torch.float64)
    seen = read_out(local, torch.zeros(1, 1, 1).double(), ones, position, 0 * ones, ones)
    assert seen.item() == pytest.approx(mass, abs=1e-12)


def test_gaussian_window_keeps_its_mass_everywhere(rng):
    given = problem(rng, gaussian=True, spread=3.0)
    given |= {"local": torch.ones_like(given["local"]), "global_": torch.ones_like(given["global_"])}
    expected = given["weight"].mean(1) + given["bias"]
    torch.testing.assert_close(read_out(**given), expected.expand(2, -1), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layer": torch.zeros(7, 2)}, r"layer must be \(7, 3\)"),
        ({"position": torch.zeros(6, 2)}, r"position must be \(7, 2\)"),
        ({"width": torch.zeros(7)}, r"width must be \(7, 1\)"),
        ({"local": torch.zeros(2, 3, 8, 8)}, r"\(B, L, D, H, W\)"),
        ({"head": "max"}, "'mean' or 'sum'"),
        ({"implementation": "fastest"}, "Unknown implementation 'fastest'"),
    ],
)
def test_bad_arguments_are_named(rng, change, message):
    with pytest.raises(ValueError, match=message):
        read_out(**(problem(rng) | change))

"""The code of a place against published values, and the networks that read it."""

from __future__ import annotations

import pytest
import torch

from brainnet.model.position_code import CODES_AT_ONCE, PositionalEncoding, SelectorNetwork, run_together


def test_positional_code_has_the_published_values():
    coords = torch.tensor([[0.0, 0, 0], [10, 5, 0], [20, 10, 5]], dtype=torch.float64)
    code = PositionalEncoding(coords)(coords)
    expected = {
        (1, 0): [-0.26237485, 0.96496603, 0.52148901, -0.85325800],
        (1, 64): [-0.13235175, 0.99120281, 0.96261571, 0.27087082],
        (2, 190): [0.03101847, 0.99951881],
    }
    assert code.shape == (3, 192)
    for (row, start), values in expected.items():
        found = code[row, start : start + len(values)]
        torch.testing.assert_close(found, torch.tensor(values, dtype=torch.float64), rtol=0, atol=6e-9)


def test_positional_code_of_a_subset_is_that_of_the_whole(rng):
    coords = torch.randn(40, 3, generator=rng)
    encode = PositionalEncoding(coords)
    assert torch.equal(encode(coords)[5:9], encode(coords[5:9]))
    assert not torch.allclose(PositionalEncoding(coords[5:9])(coords[5:9]), encode(coords[5:9]), atol=0.5)


def test_positional_bounds_stay_out_of_the_state_dict(rng):
    assert PositionalEncoding(torch.randn(4, 3, generator=rng)).state_dict() == {}


def test_coordinates_without_extent_are_refused():
    with pytest.raises(ValueError, match="topology='free'"):
        PositionalEncoding(torch.ones(5, 3))


def test_the_longest_axis_sets_the_scale_of_all(rng):
    """An axis half as long spans half the phase: the proportions of the brain are kept."""
    coords = torch.tensor([[0.0, 0.0], [20.0, 10.0]])
    code = PositionalEncoding(coords, n_frequencies=1, span=1.0)
    phase = torch.atan2(*code(coords)[1].view(2, 2).T)  # the sine and the cosine of either axis
    torch.testing.assert_close(phase, torch.tensor([1.0, 0.5]))


def awake_networks(rng, sizes):
    networks = [SelectorNetwork(6, size) for size in sizes]
    with torch.no_grad():
        for network in networks:
            assert not network(torch.ones(2, 6)).any()  # before: all voxels begin alike
            for parameter in network.parameters():
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=rng))
    return networks


@pytest.mark.parametrize("n", [5, CODES_AT_ONCE + 3])
def test_networks_run_together_give_what_each_gives(rng, n):
    networks, codes = awake_networks(rng, (4, 1, 2)), torch.randn(n, 6, generator=rng)
    found = run_together(networks, codes, torch.float32)
    assert [tuple(values.shape) for values in found] == [(n, 4), (n, 1), (n, 2)]
    for values, network in zip(found, networks, strict=True):
        torch.testing.assert_close(values, network(codes))
    halves = run_together(networks, codes, torch.bfloat16)
    assert {values.dtype for values in halves} == {torch.float32}
    assert (halves[0] - found[0]).norm() < 0.02 * found[0].norm()
    assert not torch.equal(halves[0], found[0])

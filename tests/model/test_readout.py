"""A read-out is found by name, and says only what it knows."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from brainnet.model import READOUTS, FactorTopy, Readout
from brainnet.model.readout import (
    check_output,
    contributions_of,
    selector_parameters_of,
    selectors_of,
    weight_of,
    width_of,
)
from brainnet.tokens import Tokens


class Plain(nn.Module):
    def forward(self, local, global_):
        return global_["a"], torch.tensor(0.0)


def test_factortopy_is_one_and_tells_all():
    assert READOUTS["factortopy"] is FactorTopy
    model = READOUTS["factortopy"](["a", "b"], [3, 3], 4, None, topology="free", window="gaussian")
    assert isinstance(model, Readout)
    tokens = Tokens({k: torch.rand(2, 3, 8, 8) for k in "ab"}, {k: torch.rand(2, 3) for k in "ab"})
    assert not selectors_of(model).layer.requires_grad
    assert contributions_of(model, [tokens]).layer.shape == (4, 2)
    assert width_of(model).shape == (4, 1)
    assert weight_of(model, 4).shape == (4, 128)
    assert len(selector_parameters_of(model)) == 4
    assert width_of(FactorTopy(["a"], [3], 4, topology="free")) is None  # a point has no width


def test_what_a_read_out_does_not_say_is_none():
    plain = Plain()
    assert (selectors_of(plain), contributions_of(plain, []), width_of(plain), weight_of(plain, 4)) == (None,) * 4
    assert selector_parameters_of(plain) == []


@pytest.mark.parametrize(
    ("output", "error", "named"),
    [
        (torch.zeros(2, 4), TypeError, "Plain"),
        ((torch.zeros(2, 5), torch.tensor(0.0)), ValueError, r"\(2, 5\)"),
        ((torch.zeros(2, 4), torch.zeros(3)), ValueError, "scalar"),
    ],
)
def test_an_output_of_another_kind_is_refused(output, error, named):
    with pytest.raises(error, match=named):
        check_output(Plain(), output, 2, 4)

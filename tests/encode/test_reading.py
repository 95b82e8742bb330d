"""What a fit reads of some images, in every way it may ask."""

import pytest
import torch

from brainnet.encode.reading import Reading, parts_of, reads_of, reads_tokens
from brainnet.encode.stacking import StackedMethodsCV
from brainnet.ridge import BandedRidgeCV, RidgeCV, WindowRidgeCV


@pytest.fixture
def reading(rng):
    layers = {name: torch.randn(9, 2, generator=rng) for name in ("early", "late")}
    return Reading(layers, ("early", "late"), "flatten", torch.tensor([4, 1, 8]))


def test_rows_come_in_the_order_of_the_index(reading):
    torch.testing.assert_close(reading.as_("features", "late"), reading.source["late"][[4, 1, 8]])
    torch.testing.assert_close(reading.part(torch.tensor([2, 0])).as_("features"), reading.source["early"][[8, 4]])
    assert list(reading.as_("spaces")) == ["early", "late"]
    assert reading.as_("images") is reading
    assert len(reading.part(torch.tensor([2]))) == 1


def test_features_hold_no_token_maps(reading):
    with pytest.raises(ValueError, match="TokenStore"):
        reading.as_("tokens")


def test_what_reads_token_maps_somewhere_is_known():
    assert [reads_of(RidgeCV()), reads_of(BandedRidgeCV()), reads_of(object())] == ["features", "spaces", "features"]
    mix = StackedMethodsCV({"banded": BandedRidgeCV()})
    assert list(parts_of(mix)) == ["banded"]
    assert not reads_tokens(mix)
    assert reads_tokens(StackedMethodsCV({"inner": mix, "window": WindowRidgeCV()}))

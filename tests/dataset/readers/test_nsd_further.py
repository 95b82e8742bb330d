"""Pictures of several sets in one row: each is the one of its set, and their order counts."""

from __future__ import annotations

import numpy as np

from brainnet.dataset.readers._nsd_further import Joined
from brainnet.stimuli import Images


def test_pictures_are_those_of_their_sets_and_their_order_counts():
    sets = [Images(np.full((3, 4, 4, 3), value, np.uint8) + np.arange(3, dtype=np.uint8)[:, None, None, None])
            for value in (0, 100, 200)]  # fmt: skip
    joined = Joined(sets[0], [(sets[2], 1), (sets[1], 2)], ["x", "y"])
    assert joined.ids == ["0", "1", "2", "x", "y"]
    assert [joined[n].getpixel((0, 0))[0] for n in range(5)] == [0, 1, 2, 201, 102]
    other = Joined(sets[0], [(sets[1], 2), (sets[2], 1)], ["y", "x"])
    assert joined.signature() == Joined(sets[0], [(sets[2], 1), (sets[1], 2)], ["x", "y"]).signature()
    assert joined.signature() != other.signature()

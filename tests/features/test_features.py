"""Features in memory: a mapping whose rows have names."""

from __future__ import annotations

import numpy as np
import pytest

from brainnet.features import Features


def test_layers_and_names_stay_together():
    features = Features({"b": np.zeros((2, 3)), "a": np.ones((2, 1))}, ["x", 7])
    assert (list(features), len(features), features.ids) == (["b", "a"], 2, ["x", "7"])
    assert features["a"].sum() == 2
    assert "c" not in features
    assert "b: 3" in repr(features)
    with pytest.raises(ValueError, match="'a' has 3 rows for 2 names"):
        Features({"a": np.zeros((3, 1))}, ["x", "y"])

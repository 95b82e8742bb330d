from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from brainnet.run.sweep.properties import property_effects


def test_one_number_is_the_regression_of_scipy():
    rng = np.random.default_rng(0)
    x = rng.normal(size=30)
    y = 0.3 * x + rng.normal(size=30)
    (found,) = property_effects(y, {"size": x})
    expected = stats.linregress(x, y)
    assert (found.slope, found.p) == pytest.approx((expected.slope, expected.pvalue))
    assert found.partial_r2 == pytest.approx(found.r2_alone) == pytest.approx(expected.rvalue**2)


def test_words_alone_are_the_analysis_of_variance():
    rng = np.random.default_rng(0)
    groups = [rng.normal(k, 1, 9) for k in (0, 0.5, 1)]
    (found,) = property_effects(np.concatenate(groups), {"method": np.repeat(["a", "b", "c"], 9)})
    assert found.p == pytest.approx(stats.f_oneway(*groups).pvalue)
    assert np.isnan(found.slope)


def test_what_another_property_explains_is_not_counted_twice():
    """The score follows the size; the training set goes along with it, and adds nothing."""
    rng = np.random.default_rng(0)
    size = rng.normal(size=200)
    large = np.where(size + 0.3 * rng.normal(size=200) > 0, "large", "small")
    found = {one.name: one for one in property_effects(size + rng.normal(0, 0.5, 200), {"size": size, "set": large})}
    assert found["set"].r2_alone > 0.4
    assert found["set"].partial_r2 < 0.03
    assert found["size"].p < 1e-20


def test_under_noise_every_test_rejects_one_in_twenty():
    """Of 2,000 studies of 40 networks, with properties that go along with each other: 3 to 7 %."""
    rng = np.random.default_rng(0)
    rejected = []
    for _ in range(2000):
        size = rng.normal(size=40)
        method = np.where(size + rng.normal(size=40) > 0, "supervised", "contrastive")
        training = rng.choice(["imagenet", "places", "laion"], 40)
        found = property_effects(rng.normal(size=40), {"size": size, "method": method, "set": training})
        rejected.append([one.p < 0.05 for one in found])
    shares = np.mean(rejected, 0)
    assert ((shares > 0.03) & (shares < 0.07)).all(), shares


def test_what_is_unknown_is_left_out_and_what_does_not_vary_has_no_effect():
    found = property_effects(np.arange(6.0), {"size": [1, 2, 3, 4, 5, np.nan], "kind": ["a"] * 6})
    assert [one.name for one in found] == ["size"]
    assert found[0].n == 5


def test_properties_that_say_the_same_have_no_test():
    x = np.arange(12.0)
    y = np.random.default_rng(0).normal(size=12)
    assert all(np.isnan(one.p) for one in property_effects(y, {"size": x, "twice": 2 * x}))


def test_as_many_properties_as_networks_have_no_test():
    rng = np.random.default_rng(0)
    assert all(np.isnan(one.p) for one in property_effects(rng.normal(size=3), {"a": rng.normal(size=3),
                                                                               "b": rng.normal(size=3)}))  # fmt: skip

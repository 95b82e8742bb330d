"""Variance partitioning of responses against its definition."""

import numpy as np
import pytest
from sklearn.model_selection import KFold, ShuffleSplit

from brainnet.ridge import BandedRidgeCV, variance_partition
from brainnet.scores import r2


def test_parts_are_differences_of_cross_validated_r2():
    rng = np.random.default_rng(0)
    spaces = {name: rng.normal(size=(60, 4)) for name in "ab"}
    Y = spaces["a"] @ rng.normal(size=(4, 3)) + spaces["b"] @ rng.normal(size=(4, 3)) + rng.normal(size=(60, 3))
    estimator = BandedRidgeCV(n_iter=3)
    parts = variance_partition(spaces, Y, estimator, cv=3)

    def joint(names):
        prediction = np.empty_like(Y)
        for train, test in KFold(3).split(Y):
            estimator.fit({k: spaces[k][train] for k in names}, Y[train])
            prediction[test] = estimator.predict({k: spaces[k][test] for k in names})
        return r2(prediction, Y).numpy()

    np.testing.assert_allclose(parts["a",], joint("ab") - joint("b"), atol=1e-10)
    np.testing.assert_allclose(parts["b",], joint("ab") - joint("a"), atol=1e-10)
    np.testing.assert_allclose(sum(parts.values()), joint("ab"), atol=1e-10)
    with pytest.raises(ValueError, match="held out once"):
        variance_partition(spaces, Y, estimator, cv=ShuffleSplit(2, random_state=0))


def test_an_estimators_own_choices_leave_runs_out_too(monkeypatch):
    rng = np.random.default_rng(0)
    spaces, runs = {"a": rng.normal(size=(40, 3)), "b": rng.normal(size=(40, 3))}, np.arange(40) % 4
    given, fit = [], BandedRidgeCV.fit

    def noted(self, X, Y, groups=None):
        given.append((self.cv, groups))
        return fit(self, X, Y, groups)

    monkeypatch.setattr(BandedRidgeCV, "fit", noted)
    variance_partition(spaces, rng.normal(size=(40, 2)), cv="groups", groups=runs)
    assert len(given) == 3 * 4
    for held_out, (cv, groups) in zip([0, 1, 2, 3] * 3, given, strict=True):
        assert cv == "groups"
        assert set(groups) == {0, 1, 2, 3} - {held_out}

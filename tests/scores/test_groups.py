import numpy as np
import pytest
import torch
from scipy import stats

from brainnet.scores import over_subjects


def test_t_is_that_of_scipy_and_missing_subjects_do_not_count(rng):
    scores = torch.randn(8, 20, generator=rng, dtype=torch.float64) + 0.3
    scores[2, 5] = torch.nan
    scores[:, 7] = torch.nan
    found = over_subjects(scores, 0.1)
    expected = stats.ttest_1samp(scores.numpy(), 0.1, nan_policy="omit").statistic
    known = np.arange(20) != 7
    np.testing.assert_allclose(found.t[known], np.asarray(expected)[known])
    assert found.n.tolist() == [8] * 5 + [7, 8, 0] + [8] * 12
    assert float(found.share[5]) == int((scores[:, 5] > 0.1).sum()) / 7
    assert all(part[7].isnan() for part in (found.mean, found.share, found.t))
    with pytest.raises(ValueError, match="n_subjects"):
        over_subjects(scores[0])


def test_a_value_that_is_none_is_refused():
    with pytest.raises(ValueError, match="above"):
        over_subjects([[1.0], [2.0]], float("nan"))

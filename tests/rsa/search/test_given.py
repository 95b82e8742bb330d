"""Searchlights whose RDMs are given, against a loop over centres."""

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from brainnet.rsa import RDMs, noise_ceiling
from brainnet.rsa.search import given
from brainnet.rsa.search.given import ceilings_of_centres, searchlight_of_rdms


@pytest.fixture
def models(rng):
    return RDMs(torch.rand(3, 28, generator=rng), names=("a", "b", "c"))


@pytest.mark.parametrize("square", [True, False])
def test_scores_are_those_of_each_centre(models, rng, square, monkeypatch):
    monkeypatch.setattr(given, "BLOCK", 200)  # a few centres at a time
    vectors = torch.rand(17, 28, generator=rng)
    vectors[4, 3] = torch.nan
    vectors[9] = 0.5
    rdms = RDMs(vectors).to_square().numpy() if square else vectors.numpy()
    maps = searchlight_of_rdms(rdms, models)
    for centre in range(17):
        if centre in (4, 9):
            assert maps.score[:, centre].isnan().all()
            assert maps.best[centre] == -1
        else:
            expected = [spearmanr(model, vectors[centre]).statistic for model in models.values]
            np.testing.assert_allclose(maps.score[:, centre], expected, atol=1e-5)
            assert maps.best[centre] == int(np.argmax(expected))
    assert maps.space.n_voxels == 17


def test_ceilings_are_those_of_each_centre(rng):
    values = torch.rand(5, 4, 28, generator=rng)
    lower, upper = ceilings_of_centres(values, "pearson")
    for centre in range(5):
        expected = noise_ceiling(RDMs(values[centre]), "pearson")
        assert (lower[centre].item(), upper[centre].item()) == pytest.approx(expected, abs=1e-6)


def test_another_number_of_axes_is_refused(models):
    with pytest.raises(ValueError, match=r"\(2, 3, 8, 8\)"):
        searchlight_of_rdms(np.zeros((2, 3, 8, 8)), models)

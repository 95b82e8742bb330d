"""A simulated listener: what was planted is what the responses follow, at the delay that was planted."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from brainnet.dataset import SimulatedSeries
from brainnet.dataset.series_tokens import series_tokens
from brainnet.model.delayed import TimedSelectors
from brainnet.ridge import RidgeCV
from brainnet.scores import pearson_r
from brainnet.space import HEMISPHERES, load_mesh
from brainnet.stimuli import Texts
from tests.toy_words import WordVectors


@pytest.fixture(scope="module")
def story():
    return SimulatedSeries(WordVectors(), n_sentences=480, n_voxels=45, snr=1.0)


def scores(story, layer, delay):
    """Test r of every voxel from one layer at one delay, and the ceiling."""
    store = series_tokens(WordVectors(), story, [delay], progress=False)
    features, rows = store.features(layer, "global"), torch.cat([story.splits["train"], story.splits["val"]])
    ridge = RidgeCV().fit(features[rows].numpy(), story.responses[rows].numpy())
    test = story.splits["test"]
    return pearson_r(torch.as_tensor(ridge.predict(features[test].numpy())).float(), story.responses[test])


def test_a_voxel_is_predicted_from_its_own_layer_at_its_own_delay(story):
    found = torch.stack([torch.stack([scores(story, layer, delay) for delay in range(5)]) for layer in story.layers])
    flat = found.flatten(0, 1)
    assert (flat.argmax(0) % 5 == story.planted.delay).float().mean() > 0.9
    assert (flat.argmax(0) // 5 == story.planted.layer).float().mean() > 0.9
    assert (flat.max(0).values / story.noise_ceiling).mean() > 0.9


def test_the_ceiling_is_that_of_the_planted_signal(story):
    test = story.splits["test"]
    exact = pearson_r(story.planted.signal[test].float(), story.responses[test])
    assert abs((exact - story.noise_ceiling).mean()) < 0.03
    assert story.n_repeats == 4


def test_layers_and_delays_are_all_planted_and_the_seed_decides(story):
    assert set(story.planted.layer.tolist()) == {0, 1, 2}
    assert set(story.planted.delay.tolist()) == {1, 2, 3}
    again = SimulatedSeries(WordVectors(), n_sentences=480, n_voxels=45)
    assert torch.equal(again.responses, story.responses)
    other = SimulatedSeries(WordVectors(), seed=1, n_sentences=480, n_voxels=45)
    assert not torch.equal(other.responses, story.responses)
    assert list(other.shown) != list(story.shown)


def test_the_patch_is_on_the_lateral_cortex_of_both_hemispheres(story):
    """On the pial surface the medial wall is within 15 mm of the midplane."""
    x = torch.cat([torch.from_numpy(load_mesh("fsaverage5", "pial", side).points[:, 0]) for side in HEMISPHERES])
    x = x[story.space.vertices]
    assert (x.abs() > 25).all()
    assert (x < 0).sum() > 10
    assert (x > 0).sum() > 10


def test_recovery_counts_what_was_planted(story):
    n = story.n_voxels
    layer = torch.nn.functional.one_hot(story.planted.layer, 3).float()
    right = TimedSelectors(torch.zeros(n, 2), layer, torch.zeros(n, 1))
    right.delays = (3, 2, 1)
    right.delay = torch.nn.functional.one_hot(3 - story.planted.delay, 3).float()
    assert story.recovery(right) == {"layer": 1.0, "layer_within_one": 1.0, "delay": 1.0}
    gain = torch.where(layer > 0, 1.0, torch.nan)  # 0 / 0 of layers that are not read; argmax takes a NaN for the most
    assert story.recovery(right, layer_gain=gain)["layer"] == 1.0
    wrong = right._replace(layer=layer.roll(1, 1))
    assert story.recovery(wrong)["layer"] == 0.0
    assert story.recovery(wrong)["delay"] == 1.0


def test_stimuli_of_your_own_are_shown_for_as_long_as_they_last():
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abcdefgh"), 5)) for _ in range(60)]
    durations = rng.uniform(1, 4, 60)
    shown = Texts(words, onsets=np.zeros(60), durations=durations)
    data = SimulatedSeries(WordVectors(), shown, n_runs=3, n_voxels=10)
    assert [w.duration for w in data.stimuli["run1"]] == durations[:20].tolist()
    np.testing.assert_allclose([w.onset for w in data.stimuli["run3"]], np.cumsum([0, *durations[40:59]]))
    with pytest.raises(ValueError, match="n_runs"):
        SimulatedSeries(WordVectors(), shown, n_runs=2)
    with pytest.raises(ValueError, match="too few"):
        SimulatedSeries(WordVectors(), shown, n_runs=50)
    with pytest.raises(ValueError, match="n_voxels=100000"):
        SimulatedSeries(WordVectors(), shown, n_voxels=100000)

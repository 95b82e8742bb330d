"""What readers of EEG and MEG share."""

import numpy as np
import pytest
import torch

from brainnet.dataset.readers._meeg import Kept, ceiling_of_trials, mean_of_repeats, split_by_concept
from brainnet.scores import ceiling_from_ncsnr, ncsnr

TIMES = np.arange(-2, 8) / 10


def test_whole_groups_of_samples_are_averaged_within_the_window():
    kept = Kept.of(["a", "b", "c"], TIMES, ["c", "a"], (0.0, 0.65), 3)
    assert kept.samples == slice(2, 8)
    np.testing.assert_allclose(kept.times, [0.1, 0.4])
    values = np.random.default_rng(0).normal(size=(5, 3, 10))
    expected = [[values[i, row, s : s + 3].mean() for row in (2, 0) for s in (2, 5)] for i in range(5)]
    np.testing.assert_allclose(kept.columns(values), expected, rtol=1e-6)
    assert kept.space().sensors == ("c", "c", "a", "a")
    assert kept.n_columns == 4


def test_a_window_holds_its_ends():
    assert len(Kept.of(["a"], 0.1 * np.arange(10), None, (0.3, 0.6), 1).times) == 4  # 0.1 * 3 is more than 0.3


@pytest.mark.parametrize("average", [0, 11, 1.0])
def test_a_wrong_number_of_samples_is_refused(average):
    with pytest.raises(ValueError, match=f"got {average}"):
        Kept.of(["a"], TIMES, None, None, average)


def test_means_and_ceilings_do_not_depend_on_how_many_stimuli_are_read_at_a_time(monkeypatch):
    trials = np.random.default_rng(0).normal(size=(9, 6, 2, 10)) + np.random.default_rng(1).normal(size=(9, 1, 2, 10))
    kept = Kept.of(["a", "b"], TIMES, None, None, 2)
    whole = mean_of_repeats(trials, kept), ceiling_of_trials(trials, kept)
    monkeypatch.setattr("brainnet.dataset.readers._meeg.AT_ONCE", 4)
    parted = mean_of_repeats(trials, kept), ceiling_of_trials(trials, kept)
    assert torch.equal(whole[0], parted[0])
    torch.testing.assert_close(whole[1].r, parted[1].r, rtol=1e-4, atol=1e-4)
    columns = trials.reshape(9, 6, 2, 5, 2).mean(-1).reshape(9, 6, 10)
    np.testing.assert_allclose(whole[0], columns.mean(1), rtol=1e-5)
    np.testing.assert_allclose(whole[1].r, ceiling_from_ncsnr(ncsnr(columns), 6).r, atol=1e-4)


def test_concepts_stay_whole_in_the_splits():
    concepts = [f"c{i // 3}" for i in range(30)]
    test = np.arange(30) >= 27
    splits = split_by_concept(concepts, test, 2, seed=3)
    assert {split: len(rows) for split, rows in splits.items()} == {"train": 21, "val": 6, "test": 3}
    assert len({concepts[row] for row in splits["val"]}) == 2
    assert not {concepts[row] for row in splits["val"]} & {concepts[row] for row in splits["train"]}

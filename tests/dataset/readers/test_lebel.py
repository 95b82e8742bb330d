"""The stories of LeBel et al. in their published layout, written here; and wrong files."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest

from brainnet.dataset.readers.lebel import LeBel, chosen
from tests.dataset.readers.test_textgrid import textgrid

VOLUMES = {"adollshouse": 45, "souls": 40, "wheretheressmoke": 50}  # of responses; 20 more of the scanner
REPEATS = 10


def write_lebel(root, n_voxels=6):
    """Three stories of one person; the test story has single repeats beside their mean."""
    rng = np.random.default_rng(0)
    responses = root / "derivative" / "preprocessed_data" / "UTS01"
    responses.mkdir(parents=True)
    grids = root / "derivative" / "TextGrids"
    grids.mkdir()
    for story, n in VOLUMES.items():
        with h5py.File(responses / f"{story}.hf5", "w") as file:
            signal = rng.normal(size=(n, n_voxels))
            if story == "wheretheressmoke":
                repeats = signal + rng.normal(size=(REPEATS, n, n_voxels))
                file["individual_repeats"] = repeats
                signal = repeats.mean(0)
            file["data"] = signal
        duration = 2.0 * n
        words = [(0.0, 1.5, "sp"), (1.5, 2.0, f"{story}'s"), (2.0, 2.25, "{BR}")]
        words += [(2.25 + i, 3.25 + i, f"word{i}") for i in range(int(duration) - 4)]
        (grids / f"{story}.TextGrid").write_text(textgrid(words, duration, short=story == "souls"))
    (root / "derivative" / "respdict.json").write_text(json.dumps({s: n + 20 for s, n in VOLUMES.items()}))
    return root


def test_stories_and_their_clock(tmp_path):
    data = LeBel(write_lebel(tmp_path), val="souls")
    assert data.run_names == list(VOLUMES)
    assert [len(data.splits[name]) for name in ("train", "val", "test")] == [45, 40, 50]
    assert data.tr == 2.0
    assert data.times[0] == 10.0  # of the sound: 10 volumes into a clock in which it starts after 10 s
    assert data.words["souls"][:3] == ["souls's", "word0", "word1"]
    assert data.words["adollshouse"][:2] == ["adollshouse's", "word0"]
    assert data.stimuli["souls"][1] == (2.25, 1.0, "souls/00001")
    with h5py.File(tmp_path / "derivative/preprocessed_data/UTS01/adollshouse.hf5") as file:
        expected = file["data"][()]
    expected = (expected - expected.mean(0)) / expected.std(0)
    np.testing.assert_allclose(data.responses[data.rows("adollshouse")], expected, atol=1e-5)


def test_repeats_of_the_test_story_give_its_ceiling(tmp_path):
    data = LeBel(write_lebel(tmp_path))
    assert data.n_repeats == REPEATS
    assert data.repeats_of("wheretheressmoke").shape == (REPEATS, 50, 6)
    np.testing.assert_allclose(data.noise_ceiling.mean(), np.sqrt(10 / 11), atol=0.05)


def test_words_come_to_the_volumes_they_are_heard_in(tmp_path):
    data = LeBel(write_lebel(tmp_path))
    names = [window.stimulus for run in data.stimuli.values() for window in run]
    marked = np.array([[float(name == "souls/00010")] for name in names])  # from 11.25 to 12.25 s of the sound
    found = data.sample(marked, names)[data.rows("souls"), 0]
    assert np.flatnonzero(found).tolist() == [0, 1]  # volumes from 10 to 12 and from 12 to 14 s
    np.testing.assert_allclose(found[:2], [0.75 / 2, 0.25 / 2])


def test_some_stories_are_chosen(tmp_path):
    data = LeBel(write_lebel(tmp_path), stories="a*")
    assert data.run_names == ["adollshouse", "wheretheressmoke"]
    with pytest.raises(ValueError, match="'b\\*'"):
        chosen("b*", list(VOLUMES), "stories")


@pytest.mark.parametrize(
    ("change", "error", "named"),
    [(lambda d: (d / "respdict.json").unlink(), FileNotFoundError, "respdict.json"),
     (lambda d: (d / "respdict.json").write_text("{"), ValueError, "respdict.json"),
     (lambda d: (d / "respdict.json").write_text("{}"), ValueError, "adollshouse"),
     (lambda d: (d / "preprocessed_data/UTS01/souls.hf5").write_bytes(b"junk"), ValueError, "souls.hf5"),
     (lambda d: h5py.File(d / "preprocessed_data/UTS01/souls.hf5", "w").close(), ValueError, "souls.hf5.*data"),
     (lambda d: _rewrite(d, np.ones((39, 6))), ValueError, r"souls.hf5.*\(39, 6\).*40"),
     (lambda d: _rewrite(d, np.ones((40, 5))), ValueError, r"souls.hf5.*\(40, 5\)"),
     (lambda d: _rewrite(d, np.ones((40, 6), int)), ValueError, "souls.hf5.*int64"),
     (lambda d: (d / "TextGrids/souls.TextGrid").write_text("words"), ValueError, "souls.TextGrid"),
     (lambda d: (d / "TextGrids/souls.TextGrid").write_text(textgrid([(0, 1, "a")], 9)[:-30]), ValueError,
      "souls.TextGrid.*cut off")],
)  # fmt: skip
def test_a_wrong_file_is_named(tmp_path, change, error, named):
    change(write_lebel(tmp_path) / "derivative")
    with pytest.raises(error, match=named):
        LeBel(tmp_path)


def _rewrite(folder, values):
    with h5py.File(folder / "preprocessed_data/UTS01/souls.hf5", "w") as file:
        file["data"] = values


def test_a_story_without_its_words_is_told(tmp_path):
    write_lebel(tmp_path)
    (tmp_path / "derivative/TextGrids/souls.TextGrid").unlink()
    with pytest.warns(UserWarning, match=r"no .*souls\.TextGrid, and 1 of 3 stories"):
        data = LeBel(tmp_path)
    assert data.shown is None


def test_a_repeat_less_is_told(tmp_path):
    write_lebel(tmp_path)
    with h5py.File(tmp_path / "derivative/preprocessed_data/UTS01/wheretheressmoke.hf5", "r+") as file:
        repeats = file["individual_repeats"][:-1]
        del file["individual_repeats"]
        file["individual_repeats"] = repeats
    with pytest.warns(UserWarning, match=r"wheretheressmoke.hf5 holds 9 repeats .*; expected 10"):
        assert LeBel(tmp_path).n_repeats == 9


def test_a_person_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="UTS02"):
        LeBel(write_lebel(tmp_path), 2)
    with pytest.raises(ValueError, match="subject"):
        LeBel(tmp_path, 10)
    with pytest.raises(ValueError, match="test names 'nosuchstory'"):
        LeBel(tmp_path, test="nosuchstory")


def test_a_network_of_text_reads_words_behind_those_before_them(tmp_path):
    data = LeBel(write_lebel(tmp_path), context=2)
    shown = dict(zip(data.shown.ids, data.shown, strict=True))
    assert shown["souls/00000"] == "souls's"
    assert shown["souls/00003"] == "word0 word1 word2"
    assert set(shown) == {window.stimulus for run in data.stimuli.values() for window in run}
    (tmp_path / "derivative" / "TextGrids" / "souls.TextGrid").unlink()
    assert LeBel(tmp_path).shown is None  # not all words are known

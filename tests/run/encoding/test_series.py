"""An encoding of a time series from files to a table, with delays as a user writes them."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from brainnet.config import load_config
from brainnet.run.encoding.encoding import encode_subjects
from brainnet.run.encoding.series import read_delays
from brainnet.series import delayed, downsample_windows

RUNS = {"r1": 70, "r2": 60, "r10": 80}


@pytest.fixture
def story(tmp_path):
    """Voxels that read the words two volumes later; features of the words and of the volumes in files."""
    rng = np.random.default_rng(0)
    names = [f"w{i}" for i in range(300)]
    words = rng.normal(size=(300, 5)).astype(np.float32)
    other = rng.normal(size=(300, 5)).astype(np.float32)
    lines, volumes, at = [], [], 0
    weights = rng.normal(size=(5, 4))
    (tmp_path / "runs").mkdir()
    for run, n in RUNS.items():
        onsets = np.arange(0, 2 * n - 2, 1.4)
        mine = np.arange(at, at + len(onsets)) % 300
        at += len(onsets)
        lines += [(run, f"{onset:.3f}", "1.4", names[i]) for onset, i in zip(onsets, mine, strict=True)]
        volumes.append(downsample_windows(words[mine], onsets, np.full(len(onsets), 1.4), np.arange(n) * 2.0))
        signal = delayed(volumes[-1], [2]) @ weights
        np.save(tmp_path / "runs" / f"{run}.npy", signal + 0.3 * rng.normal(size=(n, 4)))
    with (tmp_path / "stimuli.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("run", "onset", "duration", "stimulus"), *lines])
    np.savez(tmp_path / "words.npz", ids=np.array(names), words=words, other=other)
    ids = [f"{run}/{i:04d}" for run, n in RUNS.items() for i in range(n)]
    np.savez(tmp_path / "volumes.npz", ids=np.array(ids), words=np.concatenate(volumes))
    return tmp_path


def settings(folder):
    return load_config(None, ["DATASET.NAME", "time_series", "DATASET.DATA_DIR", str(folder), "DATASET.OPTIONS",
                              "{'tr': 2.0, 'test': 'r10', 'degree': 0}"])  # fmt: skip


def mean_r(encoding, **of):
    table = encoding.table
    table = table[(table.roi == "all") & (table.score == "r")]
    for name, value in of.items():
        table = table[table[name] == value]
    return table["mean"].item()


def test_words_are_brought_to_volumes_and_delayed(story, tmp_path):
    common = {"features": [story / "words.npz"], "groups": "runs", "n_resamples": 20, "progress": False}
    found = encode_subjects(settings(story), tmp_path / "a", delays=read_delays("1 2 3"), **common)
    assert mean_r(found, layer="words") > 0.85
    assert abs(mean_r(found, layer="other")) < 0.3
    now = encode_subjects(settings(story), tmp_path / "b", **common)
    assert mean_r(now, layer="words") < 0.6
    volumes = common | {"features": [story / "volumes.npz"]}
    same = encode_subjects(settings(story), tmp_path / "c", delays=read_delays("1 2 3"), **volumes)
    assert mean_r(same, layer="best") == pytest.approx(mean_r(found, layer="best"), abs=1e-4)


def test_delays_per_layer_and_what_does_not_fit(story, tmp_path):
    common = {"features": [story / "words.npz"], "n_resamples": 20, "progress": False}
    found = encode_subjects(settings(story), tmp_path / "a", methods=["banded"], groups="runs",
                            delays=read_delays("words=2 other=0"), **common)  # fmt: skip
    assert mean_r(found, method="banded") > 0.85
    with pytest.raises(ValueError, match="wrods.*words"):
        encode_subjects(settings(story), tmp_path / "b", delays={"wrods": (1,)}, **common)
    with pytest.raises(ValueError, match="SeriesFolder does not know the images"):
        encode_subjects(settings(story), tmp_path / "c", backbones=["expansion:small"], progress=False)
    simulated = load_config(None, ["DATASET.NAME", "simulated", "DATASET.N_TRAIN", "20", "DATASET.N_TEST", "5",
                                   "DATASET.N_VOXELS", "5", "BACKBONE.NAME", "expansion:small"])  # fmt: skip
    with pytest.raises(ValueError, match="--delays"):
        encode_subjects(simulated, tmp_path / "d", delays=(1,), progress=False)


def first_run(change):
    """The lines of the first run changed, as columns."""

    def apply(folder):
        head, *lines = (folder / "stimuli.csv").read_text().splitlines()
        rows = [line.split(",") for line in lines]
        change(rows)
        (folder / "stimuli.csv").write_text("\n".join([head, *map(",".join, rows)]))

    return apply


def swap(rows):
    rows[3][1], rows[4][1] = rows[4][1], rows[3][1]


def with_texts(folder):
    lines = (folder / "stimuli.csv").read_text().splitlines()
    texts = ["text", *("" if i == 5 else "a word" for i in range(len(lines) - 1))]
    (folder / "stimuli.csv").write_text("\n".join(f"{a},{b}" for a, b in zip(lines, texts, strict=True)))


@pytest.mark.parametrize(
    ("change", "options", "named"),
    [(first_run(swap), {}, "'r1'.*number 4.*Sort"),
     (first_run(lambda rows: rows[98].__setitem__(1, "500")), {}, "'r1'.*lie outside|'r1'.*500 s"),
     (first_run(lambda rows: rows[98].__setitem__(2, "900")), {}, "'r1'.*overlap|'r1'.*after the end"),
     (first_run(lambda rows: rows[3].__setitem__(2, "1.9")), {}, "'r1'.*overlap.*number 3"),
     (first_run(lambda rows: rows[3].__setitem__(2, "0")), {}, "'r1'.*positive.*number 3"),
     (first_run(lambda rows: rows[3].__setitem__(3, "w999")), {}, "w999"),
     (with_texts, {}, "stimuli.csv.*row 7 is empty"),
     (lambda f: None, {"tr": 1.7}, "'r1'.*after the end|'r1'.*lie outside"),
     (lambda f: None, {"tr": 0}, "tr"),
     (lambda f: None, {"tr": -2.0}, "tr"),
     (lambda f: None, {"delays": (1, 60)}, "60 volumes.*'r2'"),
     (lambda f: np.save(f / "runs" / "r2.npy", np.ones((60, 3))), {}, "'r2' has 3 voxels"),
     (lambda f: np.save(f / "runs" / "r2.npy", np.ones((2, 4))), {}, "'r2' has 2 volumes"),
     (lambda f: np.save(f / "runs" / "r1.npy", np.load(f / "runs" / "r1.npy")[:50]), {}, "'r1'.*lie outside"),
     (first_run(lambda rows: rows.__delitem__(slice(0, 100))), {}, "r1"),
     (lambda f: (f / "stimuli.csv").write_text("run,onset,duration\nr1,0,1"), {}, "stimulus.*text")],
)  # fmt: skip
def test_bad_input_is_told_in_one_line(story, tmp_path, change, options, named):
    change(story)
    delays = options.get("delays", (1, 2))
    chosen = {"tr": options.get("tr", 2.0), "test": "r10", "degree": 0}
    cfg = load_config(None, ["DATASET.NAME", "time_series", "DATASET.DATA_DIR", str(story), "DATASET.OPTIONS",
                             str(chosen)])  # fmt: skip
    with pytest.raises(ValueError, match=named) as told:
        encode_subjects(cfg, tmp_path / "a", features=[story / "words.npz"], delays=delays, groups="runs",
                        n_resamples=20, progress=False)  # fmt: skip
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("text", ["", "one", "1.5", "1 1", "words=", "=1", "words=1 words=2", "words=1,1"])
def test_texts_that_are_no_delays_are_refused(text):
    with pytest.raises(ValueError, match="--delays"):
        read_delays(text)

"""A folder of runs: what is read, and wrong files."""

from __future__ import annotations

import numpy as np
import pytest

from brainnet.dataset import DATASETS, TimeSeries
from brainnet.dataset.readers.time_series import SeriesFolder
from brainnet.dataset.shown import stimuli_shown


def write_series(folder):
    """Three runs, the last one repeated, with words, places and a region."""
    rng = np.random.default_rng(0)
    (folder / "runs").mkdir(parents=True)
    for name, shape in (("r1", (30, 4)), ("r2", (40, 4)), ("r10", (3, 60, 4))):
        np.save(folder / "runs" / f"{name}.npy", rng.normal(size=(60, 4))[: shape[-2]] + rng.normal(size=shape))
    rows = [f"{run},{2.0 * i},1.5,w{i}" for run, n in (("r1", 30), ("r2", 40), ("r10", 60)) for i in range(n)]
    (folder / "stimuli.csv").write_text("\n".join(["run,onset,duration,stimulus", *rows, ""]))
    np.save(folder / "coords.npy", rng.normal(size=(4, 3)))
    (folder / "rois.csv").write_text("A1,IFG\n1,0\n1,0\n0,1\n0,0\n")
    return folder


def test_everything_in_the_folder_is_read(tmp_path):
    folder = write_series(tmp_path)
    data = DATASETS["time_series"](folder, 2.0, test="r10", val=["r2"])
    assert isinstance(data, TimeSeries)
    assert data.run_names == ["r1", "r2", "r10"]
    assert [len(data.splits[name]) for name in ("train", "val", "test")] == [30, 40, 60]
    assert data.space.coords.shape == (4, 3)
    assert data.space.rois["A1"].tolist() == [True, True, False, False]
    assert data.stimuli["r2"][3] == (6.0, 1.5, "w3")
    assert data.n_repeats == 3
    assert (data.noise_ceiling > 0.5).all()


@pytest.mark.parametrize(
    ("change", "error", "named"),
    [(lambda f: [p.unlink() for p in (f / "runs").iterdir()], FileNotFoundError, "runs"),
     (lambda f: (f / "runs" / "r1.npy").write_bytes(b"x"), ValueError, "r1.npy"),
     (lambda f: np.save(f / "runs" / "r1.npy", np.array(["a"])), ValueError, "r1.npy"),
     (lambda f: np.save(f / "runs" / "r2.npy", np.ones((30, 5))), ValueError, "'r2' has 5 voxels"),
     (lambda f: (f / "stimuli.csv").write_text("run,onset\nr1,0"), ValueError, "stimuli.csv"),
     (lambda f: (f / "stimuli.csv").write_text("run,onset,duration,stimulus\nr1,x,1,a"), ValueError, "onset"),
     (lambda f: (f / "stimuli.csv").write_text("run,onset,duration,stimulus\nr9,0,1,a"), ValueError, "'r9'"),
     (lambda f: (f / "stimuli.csv").write_text("run,onset,duration,stimulus\nr1,70,1,a"), ValueError, "70 s"),
     (lambda f: np.save(f / "coords.npy", np.ones((3, 3))), ValueError, "4"),
     (lambda f: (f / "rois.csv").write_text("<html>\n"), ValueError, "rois.csv has a header.*no rows")],
)  # fmt: skip
def test_a_wrong_file_is_named(tmp_path, change, error, named):
    folder = write_series(tmp_path)
    change(folder)
    with pytest.raises(error, match=named):
        SeriesFolder(folder, 2.0, test="r10")


def test_one_run_of_whole_numbers_is_told(tmp_path):
    path = write_series(tmp_path) / "runs" / "r2.npy"
    np.save(path, np.load(path).astype(np.int16))
    with pytest.warns(UserWarning, match=r"runs/r2.npy holds whole numbers \(int16\) and r1.npy float64"):
        SeriesFolder(tmp_path, 2.0, test="r10")


def test_the_volume_time_must_be_given(tmp_path):
    with pytest.raises(ValueError, match="tr"):
        SeriesFolder.from_settings(str(write_series(tmp_path)), 0)


def _with_texts(folder, header="run,onset,duration,text"):
    rows = [f"{run},{2.0 * i},1.5,{run} says {i}" for run, n in (("r1", 30), ("r2", 40), ("r10", 60)) for i in range(n)]
    (folder / "stimuli.csv").write_text("\n".join([header, *rows]))


def test_texts_in_the_table_are_what_a_network_reads(tmp_path):
    folder = write_series(tmp_path)
    _with_texts(folder)
    data = SeriesFolder(folder, 2.0, test="r10", context=1)
    assert len(data.shown) == 130
    assert data.shown[data.shown.ids.index(data.stimuli["r2"][1].stimulus)] == "r2 says 0 r2 says 1"
    assert data.shown[data.shown.ids.index(data.stimuli["r2"][0].stimulus)] == "r2 says 0"


def test_a_folder_of_stimuli_is_read_as_the_network_asks(tmp_path):
    folder = write_series(tmp_path)
    assert SeriesFolder(folder, 2.0).shown is None
    (folder / "stimuli").mkdir()
    for number in range(60):
        (folder / "stimuli" / f"w{number}.txt").write_text(f"text {number}")
    data = SeriesFolder(folder, 2.0, test="r10")
    assert list(stimuli_shown(data, "text"))[:2] == ["text 0", "text 1"]
    (folder / "stimuli" / "w59.txt").unlink()
    with pytest.raises(ValueError, match="'w59'"):
        stimuli_shown(data, "text")


@pytest.mark.parametrize(
    ("lines", "named"),
    [(["run,onset,duration,text", "r1,0,1, "], "row 2 is empty"),
     (["run,onset,duration,stimulus,text", "r1,0,1,a,one", "r1,2,1,a,two"], "row 3.*'a'"),
     (["run,onset,duration", "r1,0,1"], "'stimulus'.*'text'")],
)  # fmt: skip
def test_texts_that_are_none_are_refused(tmp_path, lines, named):
    folder = write_series(tmp_path)
    (folder / "stimuli.csv").write_text("\n".join(lines))
    with pytest.raises(ValueError, match=named):
        SeriesFolder(folder, 2.0)

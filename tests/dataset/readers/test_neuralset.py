"""Studies of neuralset: each segment is that of the file, on a recorded table and, where it is installed, with the
package itself."""

from __future__ import annotations

import sys

import nibabel
import numpy as np
import pandas as pd
import pytest
import torch

from brainnet.dataset.base import DATASETS
from brainnet.dataset.readers._neuralset import chosen_events
from tests.dataset.readers.neuralset_stand_in import AFFINE, TR, events, shown, stand_in, write_study


@pytest.fixture
def home(tmp_path):
    return write_study(tmp_path)


@pytest.fixture
def put(monkeypatch):
    """Puts a stand-in of the package, which knows one study with these events, in its place."""
    return lambda table, name="Toy2026": monkeypatch.setitem(sys.modules, "neuralset", stand_in(table, name))


def by_hand(home, subject="01", volumes=1, lag=4.0, standardize=False):
    """Image -> mean over its trials, of volumes of the files."""
    found = {}
    for run in (1, 2):
        data = nibabel.load(home / f"sub-{subject}_run-{run}.nii.gz").get_fdata()
        rows = []
        for k in range(len(shown(run))):
            first = int((4 + 10 * k + lag) / TR)
            rows.append(data[..., first : first + volumes].mean(-1).ravel())
        rows = np.array(rows)
        rows = (rows - rows.mean(0)) / rows.std(0) if standardize else rows
        for image, row in zip(shown(run), rows, strict=True):
            found.setdefault(f"{home.name}/im{image}", []).append(row)
    return {name: np.mean(trials, 0) for name, trials in found.items()}


def check(data, expected):
    assert data.image_ids == list(expected)
    np.testing.assert_allclose(data.responses, np.stack(list(expected.values())), atol=1e-5)


@pytest.mark.parametrize("standardize", [False, True])
def test_a_response_is_the_volume_four_seconds_after_the_image(home, put, standardize):
    put(events(home))
    data = DATASETS["neuralset"](home.parent, "Toy2026", "01", standardize=standardize)
    check(data, by_hand(home, standardize=standardize))
    assert data.space.mask.shape == (3, 4, 2)
    np.testing.assert_allclose(data.space.affine, AFFINE)
    assert {data.image_ids[row][-3:] for row in data.splits["test"]} == {"im0", "im1"}
    assert data.groups.tolist() == ["Toy2026:run=1,subject=01"] * 6 + ["Toy2026:run=2,subject=01"]
    assert data.load_image(0).getpixel((0, 0)) == (20, 0, 99)
    assert data.settings["seconds after onset"] == 4.0


def test_windows_and_subjects_are_chosen(home, put):
    put(events(home))
    data = DATASETS["neuralset"](home.parent, "Toy2026", "Toy2026/02", window=(2.0, 6.0), standardize=False)
    check(data, by_hand(home, "02", volumes=2, lag=2.0))
    one_run = DATASETS["neuralset"](home.parent, "Toy2026", "02", query='run == "1"', standardize=False)
    assert len(one_run) == 6
    assert one_run.noise_ceiling is None


def test_the_first_run_tells_which_voxels_there_are(home, put):
    for run in "12":
        path = home / f"sub-01_run-{run}.nii.gz"
        data = np.asarray(nibabel.load(path).dataobj).copy()
        data[0] = 7.0
        nibabel.save(nibabel.Nifti1Image(data, AFFINE), path)
    put(events(home))
    data = DATASETS["neuralset"](home.parent, "Toy2026", "01")
    assert data.n_voxels == 2 * 4 * 2
    assert not data.space.mask[0].any()


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        ({}, {}, "2 subjects; choose one with subject=. There are: 01, 02"),
        ({}, {"subject": "03"}, "no subject '03'"),
        ({}, {"subject": "01", "recording": "Meg"}, "no recording 'Meg' of this subject; it has Fmri"),
        ({"stimulus": "Word"}, {"subject": "01"}, "Toy2026 shows no images .stimuli: Word.*come later"),
        ({"kind": "Ieeg"}, {"subject": "01"}, "no recording of fMRI, MEG or EEG: Ieeg, Image"),
        ({}, {"subject": "01", "extractor": {"cleanin": 1}}, "FmriExtractor: .*'cleanin'"),
        ({}, {"subject": "01", "window": (3.0, 3.0)}, "a first and a later second"),
        ({}, {"study": "Toy2062"}, "no study 'Toy2062' among its 1. Did you mean 'Toy2026'"),
    ],
)
def test_what_is_not_there_is_said(home, put, change, options, words):
    put(events(home, **change))
    with pytest.raises(ValueError, match=words):
        DATASETS["neuralset"](home.parent, **{"study": "Toy2026", **options})


def test_the_study_must_be_named(tmp_path):
    with pytest.raises(ValueError, match="needs its option study"):
        DATASETS["neuralset"].from_settings(str(tmp_path), 0)


def test_an_image_in_two_splits_or_without_a_file_is_refused(home, put):
    table = events(home, ("01",))
    table.loc[table.index[-2], "split"] = "test"
    put(table)
    with pytest.raises(ValueError, match="im6' in the splits train and test"):
        DATASETS["neuralset"](home.parent, "Toy2026")
    table = events(home, ("01",))
    table.loc[table.index[1], "split"] = "training"
    put(table)
    with pytest.raises(ValueError, match="the split 'training'"):
        DATASETS["neuralset"](home.parent, "Toy2026")
    table = events(home, ("01",))
    table.loc[table.index[1], "filepath"] = '{"cls": "Loader"}'
    put(table)
    with pytest.raises(ValueError, match="its own code .cls. and has no file"):
        DATASETS["neuralset"](home.parent, "Toy2026")


def test_without_a_split_rows_are_drawn(home, put):
    put(events(home, ("01",)).drop(columns="split"))
    data = DATASETS["neuralset"](home.parent, "Toy2026", test=2, val=1, seed=3)
    assert [len(rows) for rows in data.splits.values()] == [4, 1, 2]


def test_sensors_and_times_are_columns(tmp_path, put):
    home = write_study(tmp_path, shape=(3,))
    put(events(home, ("01",), kind="Eeg"))
    data = DATASETS["neuralset"](home.parent, "Toy2026", window=(-2.0, 4.0), standardize=False)
    assert data.space.sensor_names == ("Oz", "Pz", "O1")
    assert data.space.time_points.tolist() == [-2.0, 0.0, 2.0]
    file = np.asarray(nibabel.load(home / "sub-01_run-1.nii.gz").dataobj)
    row = data.image_ids.index("Toy2026/im1")  # shown once, at 4 s of the first run
    assert torch.equal(data.responses[row].view(3, 3), torch.from_numpy(file[:, 1:4].copy()))


def test_two_recordings_are_chosen_between():
    table = pd.DataFrame({"type": ["Image", "Meg", "Eeg"], "subject": "A/1"})
    with pytest.raises(ValueError, match="several recordings; choose one with recording=: Meg, Eeg"):
        chosen_events(table, "", "", "A")
    assert set(chosen_events(table, "1", "Eeg", "A")[0].type) == {"Image", "Eeg"}


def test_without_the_package_one_line_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "neuralset", None)
    with pytest.raises(ModuleNotFoundError, match="pip install"):
        DATASETS["neuralset"](tmp_path, "Toy2026")


def test_the_package_itself_gives_the_same(tmp_path):
    """With neuralset installed (Python 3.12): its table and segments of a study like the recorded one."""
    neuralset = pytest.importorskip("neuralset")
    home = write_study(tmp_path, "Toy2027")

    class Toy2027(neuralset.Study):
        def iter_timelines(self):
            for subject in ("01", "02"):
                for run in "12":
                    yield {"subject": subject, "run": run}

        def _load_timeline_events(self, timeline):
            table = events(home)
            of_it = (table.subject == f"{home.name}/{timeline['subject']}") & (table.run == timeline["run"])
            return table[of_it].drop(columns=["subject", "run", "timeline"])

    data = DATASETS["neuralset"](tmp_path, "Toy2027", "01", standardize=False)
    check(data, by_hand(home))
    np.testing.assert_allclose(data.space.affine, AFFINE)
    assert data.groups[0] == "Toy2027:run=1,subject=01"
    with pytest.raises(ValueError, match="shows no images .stimuli: Word"):
        DATASETS["neuralset"](tmp_path, "Test2023Fmri", "0")
    with pytest.raises(ValueError, match="FmriExtractor: .*cleanin"):
        DATASETS["neuralset"](tmp_path, "Toy2027", "01", extractor={"cleanin": 1})

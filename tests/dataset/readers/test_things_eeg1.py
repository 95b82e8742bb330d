"""THINGS-EEG1 on a folder in its published layout: recordings cut at their onsets, wrong files."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from brainnet.dataset.readers.things_eeg import ThingsEEG
from tests.dataset.readers.things_eeg_folder import SENSORS, write_things_eeg1


@pytest.mark.filterwarnings("ignore")
def test_recordings_of_version_1_are_cut_at_their_onsets(tmp_path):
    pytest.importorskip("mne")
    recorded, shown, onsets = write_things_eeg1(tmp_path)
    data = ThingsEEG(tmp_path, 2, version=1, window=(-0.1, 0.3), val=0.3)
    assert data.space.sensor_names == SENSORS
    np.testing.assert_allclose(data.space.time_points, np.arange(-10, 31) / 100)
    for name in ("dog2_01b", "lamp1_01b"):
        cut = [
            recorded[:, onset - 10 : onset + 31] for file, onset in zip(shown, onsets, strict=True) if file[:-4] == name
        ]
        row = data.image_ids.index(name)
        np.testing.assert_allclose(data.space.to_sensors(data.responses[row]), np.mean(cut, 0), atol=1e-5)
    assert {data.image_ids[row] for row in data.splits["test"]} == {"lamp0_01b", "lamp1_01b", "lamp2_01b"}
    assert data.n_repeats == 4
    assert data.load_image(0).size == (16, 16)
    with pytest.raises(ValueError, match="version 2"):
        data.test_trials()


@pytest.mark.filterwarnings("ignore")
def test_wrong_recordings_of_version_1_are_one_line(tmp_path):
    pytest.importorskip("mne")
    write_things_eeg1(tmp_path)
    with pytest.raises(ValueError, match="got 6"):
        ThingsEEG(tmp_path, 6, version=1)
    with pytest.raises(FileNotFoundError, match=r"sub-03_task-rsvp_events\.tsv"):
        ThingsEEG(tmp_path, 3, version=1)
    table = tmp_path / "sub-02/eeg/sub-02_task-rsvp_events.tsv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join(lines[:-3]))
    with pytest.raises(ValueError, match="21 events.*24 annotations"):
        ThingsEEG(tmp_path, 2, version=1)
    table.write_text("\n".join(lines))
    with pytest.raises(ValueError, match="shorter"):
        ThingsEEG(tmp_path, 2, version=1, window=(-1.0, 0.5))
    path = tmp_path / "derivatives/eeglab/sub-02_task-rsvp_continuous.set"
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(ValueError, match="sub-02_task-rsvp_continuous.set"):
        ThingsEEG(tmp_path, 2, version=1)


def test_without_mne_version_1_says_what_to_install(tmp_path, monkeypatch):
    write_things_eeg1(tmp_path)
    monkeypatch.setitem(sys.modules, "mne", None)
    with pytest.raises(ModuleNotFoundError, match="meeg"):
        ThingsEEG(tmp_path, 2, version=1)

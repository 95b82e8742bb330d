"""A folder is looked at: what is there and missing, and what the reader makes of it or the line of what is wrong."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from brainnet.dataset import DATASETS, ArrayDataset, check_folder
from brainnet.dataset.catalogue import UNMET
from brainnet.dataset.checking import summary_of
from tests.dataset.readers.nsd_folder import write_volume
from tests.dataset.readers.test_lebel import write_lebel
from tests.dataset.readers.test_pereira2018 import write_pereira2018
from tests.dataset.test_catalogue import said

VOLUME = {"space": "func1pt8mm", "version": "betas_fithrf"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_volume(tmp_path_factory.mktemp("nsd") / "nsd", n_sessions=1, n_places=80).root


def test_a_whole_folder_is_opened(folder):
    found = check_folder("nsd", folder, **VOLUME)
    assert found.is_whole
    assert (found.trouble, found.missing) == ("", [])
    assert [one.n_files for one in found.needed] == [1, 1, 1]
    assert found.needed[2].pattern == "nsddata_betas/ppdata/subj01/func1pt8mm/betas_fithrf/*betas_session01.*"
    numbers = summary_of(found.dataset)
    assert numbers["images"] == len(found.dataset)
    assert numbers["first image"] == f"{found.dataset.image_ids[0]}, 425 x 425 pixels"
    assert numbers["voxels"] == 24
    assert numbers["splits"] == {split: len(rows) for split, rows in found.dataset.splits.items()}
    assert numbers["rois"] == {roi: int(inside.sum()) for roi, inside in found.dataset.space.rois.items()}
    assert numbers["ceiling"]["median"] == pytest.approx(float(found.dataset.noise_ceiling.double().median()), abs=0.02)


def test_what_is_missing_is_named_by_the_options(folder):
    found = check_folder("nsd", folder, subject=2, **VOLUME)
    assert found.missing == ["nsddata_betas/ppdata/subj02/func1pt8mm/betas_fithrf/*betas_session01.*"]
    assert found.dataset is None
    assert "subj02" in found.trouble
    assert "\n" not in found.trouble
    assert not found.is_fault
    assert found.is_news  # files of NSD are here, and its reader has never met any


@pytest.mark.parametrize("place", ["nowhere", ""])
def test_a_folder_of_something_else_is_no_news(tmp_path, place):
    found = check_folder("nsd", tmp_path / place)
    assert not found.is_whole
    assert not found.is_news
    assert str(tmp_path) in found.trouble
    assert len(found.missing) == 3


def test_an_unknown_option_or_name_is_the_users_mistake(folder):
    with pytest.raises(ValueError, match=r"'subjct'.*'subject'"):
        check_folder("nsd", folder, subjct=2)
    with pytest.raises(ValueError, match="'nds'.*'nsd'"):
        check_folder("nds", folder)
    with pytest.raises(ValueError, match="'simulated'.*no folder"):
        check_folder("simulated", folder)


class Failing(ArrayDataset):
    """One that was written for other files."""

    about = said(verified=f"Run by tests; {UNMET} yet.", needs=("*.txt",))

    @classmethod
    def from_settings(cls, data_dir, seed):
        return {}["no such key"]


class Hollow(Failing):
    """One whose pictures cannot be read."""

    @classmethod
    def from_settings(cls, data_dir, seed):
        made = cls(np.zeros((10, 3, 8, 8), np.uint8), np.arange(20.0).reshape(10, 2))
        made.load_image = lambda index: Image.open("/nowhere")
        return made


@pytest.mark.parametrize(("reader", "is_fault", "words"), [(Failing, True, "KeyError: 'no such key'"),
                                                           (Hollow, False, "/nowhere")])  # fmt: skip
def test_an_error_that_nobody_foresaw_is_a_fault_of_the_reader(tmp_path, reader, is_fault, words):
    (tmp_path / "a.txt").write_text("some")
    with DATASETS.temporarily("toy", reader):
        found = check_folder("toy", tmp_path)
    assert (found.is_fault, found.dataset, found.is_whole) == (is_fault, None, False)
    assert words in found.trouble
    assert found.needed == (("*.txt", 1, 4),)
    assert found.is_news


def test_numbers_of_a_data_set_without_ceiling_or_regions():
    data = ArrayDataset(np.zeros((10, 3, 8, 6), np.uint8), np.arange(20.0).reshape(10, 2))
    numbers = summary_of(data)
    assert numbers["ceiling"] == {"definition": "none: no repeats were given"}
    assert (numbers["rois"], numbers["unusable voxels"], numbers["repeats"]) == ({}, 0, 1)
    assert numbers["first image"].endswith("6 x 8 pixels")


def test_a_time_series_is_opened_and_counted(tmp_path):
    found = check_folder("lebel", write_lebel(tmp_path))
    assert found.is_whole, found.trouble
    said = summary_of(found.dataset)
    assert (said["runs"], said["volumes"], said["first run"], said["voxels"]) == (3, 135, "adollshouse", 6)
    assert said["stimuli"] == len({w.stimulus for run in found.dataset.stimuli.values() for w in run})


def test_texts_are_told_by_their_words(tmp_path):
    found = check_folder("pereira2018", write_pereira2018(tmp_path), test=2, val=1)
    assert summary_of(found.dataset)["first text"] == "384sentences.0, Sentence number 0."

from __future__ import annotations

import logging
import shutil
import warnings
import zipfile

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from brainnet._files import write_json
from brainnet.dataset import ArrayDataset
from brainnet.run.stimuli import card_of_pictures, readable_pictures, remove_targets, warn_of_copies, write_targets
from brainnet.stimuli import Images
from tests.run.encodings import run_grid, save_subject
from tests.toys import toys_registered


@pytest.fixture
def folder(tmp_path):
    """A subject of which one test image is a copy of a training image, under its own name."""
    folder = save_subject(tmp_path / "subj01", 1)
    data = ArrayDataset.from_folder(folder)
    train, test = (data.image_ids[int(data.splits[name][2])] for name in ("train", "test"))
    shutil.copy(folder / "images" / f"{train}.png", folder / "images" / f"{test}.png")
    return folder, train, test


def test_a_test_image_that_is_a_copy_of_a_training_image_is_named(folder):
    path, train, test = folder
    data = ArrayDataset.from_folder(path)
    with pytest.warns(UserWarning, match=f"^1 images of subj01 .*'{test}' of the split 'test', a copy of '{train}'"):
        assert warn_of_copies(data, ("train", "val"), "subj01") == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert warn_of_copies(data, ("train", "val", "test")) == 0  # all of one side


def test_fit_and_encode_say_so(folder, tmp_path, monkeypatch):
    from brainnet.run.encoding import encoding
    from brainnet.run.fitting import training

    seen = []
    for module in (encoding, training):
        monkeypatch.setattr(
            module, "warn_of_copies", lambda data, train, of="": seen.append((len(data), train, of)) or 1 / 0
        )
    from brainnet.backbone import BACKBONES
    from tests.run.encodings import Blur
    from tests.toys import toy_config

    with BACKBONES.temporarily("toy", Blur), pytest.raises(ZeroDivisionError):
        run_grid(folder[0], tmp_path / "out")
    with toys_registered(), pytest.raises(ZeroDivisionError):
        training.fit(toy_config(), tmp_path / "run", progress=False)
    assert seen == [(80, ("train", "val"), "subj01"), (60, ("train",), "")]


def test_copies_are_found_in_folders_archives_lists_and_arrays(folder, tmp_path):
    files = sorted((folder[0] / "images").iterdir())
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for file in files:
            archive.write(file, file.name)
    names = {folder[1], folder[2]}
    for source in (folder[0] / "images", tmp_path / "all.zip", [str(file) for file in files]):
        images = Images(source)
        (group,) = images.copies()
        assert {images.ids[i] for i in group} == names
    pixels = np.zeros((3, 4, 4, 3), dtype=np.uint8)
    pixels[1] = 7
    assert Images(pixels).copies() == [[0, 2]]
    assert Images(torch.rand(3, 3, 4, 4)).copies() == []


@pytest.fixture
def classes(tmp_path):
    """Four pictures in two classes, one of which cannot be read."""
    for red, name in enumerate(["cat2/b.png", "cat10/a.png", "cat2/a.png", "cat2/bad.png"]):
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 40), (60 * red, 0, 0)).save(tmp_path / "set" / name)
    (tmp_path / "set/cat2/bad.png").write_bytes(b"")
    return tmp_path / "set"


def test_targets_stand_beside_the_results_and_go_with_them(classes, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    images = Images(classes)
    assert write_targets(out, images) == [out / "targets.csv", out / "classes.txt"]
    assert pd.read_csv(out / "targets.csv").to_dict("list") == {
        "id": ["cat2/a", "cat2/b", "cat2/bad", "cat10/a"],
        "class": ["cat2", "cat2", "cat2", "cat10"],
        "target": [0, 0, 0, 1],
    }
    assert (out / "classes.txt").read_text() == "cat2\ncat10\n"
    remove_targets(out)
    assert (out / "classes.txt").is_file()  # no card says whose it is
    write_json(out / "run.json", {"source": {"path": "flat"}})
    remove_targets(out)
    assert (out / "classes.txt").is_file()
    write_json(out / "run.json", {"source": card_of_pictures(images)})
    remove_targets(out)
    assert [path.name for path in out.iterdir()] == ["run.json"]
    assert write_targets(out, Images(classes / "cat10")) == []


def test_what_is_left_out_is_said_in_a_line(classes, caplog):
    caplog.set_level(logging.INFO, logger="brainnet.progress")
    assert len(readable_pictures(Images(classes), False)) == 4
    assert not caplog.messages
    images = readable_pictures(Images(classes), True, progress=False)
    assert images.ids == ["cat2/a", "cat2/b", "cat10/a"]
    assert "cat2/bad.png (it is empty" in caplog.messages[0]
    card = card_of_pictures(images)
    assert (card["path"], card["layout"], card["n_classes"]) == (str(classes), "classes", 2)
    assert list(card["skipped"]) == ["cat2/bad.png"]

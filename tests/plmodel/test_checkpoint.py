"""A checkpoint is read without trusting it: damage is noticed, and nothing in it is run."""

from __future__ import annotations

import pickle
import zipfile

import pytest
import torch

from brainnet.plmodel import PLModel
from brainnet.plmodel.checkpoint import CHECKPOINT_KEY, read_checkpoint, saved_in
from tests.toys import ToyBackbone, toy_config, toy_dataset


@pytest.fixture(scope="module")
def content():
    """What a Trainer would save."""
    model = PLModel(toy_config(), ToyBackbone(), data=toy_dataset())
    checkpoint = {"state_dict": model.state_dict(), "epoch": 1}
    model.on_save_checkpoint(checkpoint)
    return checkpoint


@pytest.fixture
def path(content, tmp_path):
    torch.save(content, tmp_path / "model.ckpt")
    return tmp_path / "model.ckpt"


def test_a_whole_one_is_read(content, path):
    found = read_checkpoint(path)
    assert all(torch.equal(value, content["state_dict"][name]) for name, value in found["state_dict"].items())
    assert saved_in(found)["layers"] == ["a", "b", "c"]


def test_one_flipped_bit_is_noticed(path):
    whole = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        records = {record.filename: record for record in archive.infolist() if record.file_size > 8}
        places = []
        for name in records:
            with archive.open(name) as record:
                places.append(whole.index(record.read()) + records[name].file_size // 2)
    for place in places:
        damaged = bytearray(whole)
        damaged[place] ^= 4
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"model\.ckpt"):
            read_checkpoint(path)


@pytest.mark.parametrize("length", [0, 1, 100, -100, -1])
def test_a_cut_one_is_told_in_one_line(path, length):
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ValueError, match="damaged") as told:
        read_checkpoint(path)
    assert "\n" not in str(told.value)


def test_nothing_in_a_file_is_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return exec, (f"open({str(tmp_path / 'ran')!r}, 'w')",)

    for write in (lambda path: torch.save({"state_dict": Evil()}, path),
                  lambda path: path.write_bytes(pickle.dumps(Evil()))):  # fmt: skip
        write(tmp_path / "evil.ckpt")
        with pytest.raises(ValueError, match=r"evil\.ckpt") as told:
            read_checkpoint(tmp_path / "evil.ckpt")
        assert "\n" not in str(told.value)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("wrong", [3, {}, {"config": ""}, None])
def test_what_says_nothing_of_itself_is_refused(content, wrong):
    with pytest.raises(ValueError, match="this checkpoint"):
        saved_in(content | {CHECKPOINT_KEY: wrong})


def test_other_weights_than_those_saved_are_noticed_by_any_loader(content):
    """Also where Lightning read the file."""
    weights = {name: value.clone() for name, value in content["state_dict"].items()}
    weights["encoder.bias"][2] += 1e-6
    model = PLModel(toy_config(), ToyBackbone(), skip_data=True)
    with pytest.raises(ValueError, match="not those that were saved"):
        model.on_load_checkpoint(content | {"state_dict": weights})

"""What a resumed run takes over from the run before, and what not."""

from __future__ import annotations

import shutil

import pytest
import torch

from brainnet.run.fitting import training
from brainnet.run.fitting.callbacks import Checkpoint, Patience, WholeCheckpoints
from tests.toys import toy_config, toys_registered


def test_a_checkpoint_of_a_moved_folder_knows_its_files_and_their_scores(tmp_path):
    score = torch.tensor(0.7)
    state = {
        "monitor": "val_r", "best_model_score": score, "best_model_path": "/gone/best.ckpt",
        "current_score": score, "dirpath": "/gone", "best_k_models": {"/gone/best.ckpt": score},
        "kth_best_model_path": "/gone/best.ckpt", "kth_value": score, "last_model_path": "",
    }  # fmt: skip
    checkpoint = Checkpoint(dirpath=tmp_path / "here", monitor="val_r", mode="max")
    checkpoint.load_state_dict(state)
    here = str(tmp_path / "here" / "best.ckpt")
    assert (checkpoint.best_model_path, checkpoint.kth_best_model_path) == (here, here)
    assert (checkpoint.best_model_score, checkpoint.best_k_models) == (score, {here: score})
    assert checkpoint.last_model_path == ""
    assert state["dirpath"] == "/gone"  # the state stays as it was read


def test_patience_is_that_of_now_and_the_wait_that_of_before():
    before = Patience("val_r", mode="max", patience=2)
    before.wait_count, before.best_score = 1, torch.tensor(0.5)
    now = Patience("val_r", mode="max", patience=9)
    now.load_state_dict(before.state_dict())
    assert (now.patience, now.wait_count, now.best_score) == (9, 1, torch.tensor(0.5))


def test_a_checkpoint_is_whole_or_absent_also_where_temporary_files_lie_on_another_disk(tmp_path, monkeypatch):
    def stop(*_, **__):
        raise RuntimeError("killed in the middle of a copy")

    monkeypatch.setattr(shutil, "move", stop)  # between two disks it copies
    with toys_registered():
        training.fit(toy_config("TRAINER.MAX_EPOCHS", "1"), tmp_path / "run", progress=False)
    assert (tmp_path / "run" / "model.ckpt").is_file()

    path = tmp_path / "a.ckpt"
    WholeCheckpoints().save_checkpoint({"epoch": 1}, path)
    monkeypatch.setattr(torch, "save", lambda value, file: file.write(b"half") and stop())
    with pytest.raises(RuntimeError, match="killed"):
        WholeCheckpoints().save_checkpoint({"epoch": 2}, path)
    assert torch.load(path, weights_only=True) == {"epoch": 1}
    assert [file.name for file in tmp_path.iterdir() if file.is_file()] == ["a.ckpt"]

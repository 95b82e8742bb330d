"""The documented lines of the original, word for word, on a folder made here."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch

from tests.dataset.readers.algonauts_folder import write_algonauts_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_algonauts_folder(tmp_path_factory.mktemp("alg23") / "subj01", n_images=20, n_left=12, n_right=10).root


@pytest.fixture(scope="module")
def clip():
    from brainnet.backbone import ModifiedCLIP

    return ModifiedCLIP(weights="random")


def test_the_documented_lines_run_cached_and_resume(folder, clip, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # what is on a user's machine and not on this one: the published weights
    import brainnet.backbone

    monkeypatch.setattr(brainnet.backbone, "ModifiedCLIP", lambda: clip)
    monkeypatch.setattr(pl, "Trainer", functools.partial(pl.Trainer, max_epochs=2, accelerator="cpu",
                                                         enable_progress_bar=False))  # fmt: skip

    from brainnet.backbone import ModifiedCLIP
    from brainnet.config import get_cfg_defaults
    from brainnet.dataset import BrainDataset  # noqa: F401
    from brainnet.plmodel import PLModel

    cfg = get_cfg_defaults()
    cfg.DATASET.DATA_DIR = str(folder)
    plmodel = PLModel(cfg, ModifiedCLIP(), cached=True)
    pl.Trainer().fit(plmodel)

    assert plmodel.layers == [str(i) for i in range(12)]
    assert len(plmodel.history) == 2
    checkpoint = next(tmp_path.rglob("*.ckpt"))
    again = PLModel(cfg, ModifiedCLIP(), cached=True)
    pl.Trainer(max_epochs=3).fit(again, ckpt_path=str(checkpoint), weights_only=True)
    assert [epoch["epoch"] for epoch in again.history] == [0, 1, 2]
    prediction, regulariser = again(torch.zeros(1, 3, 224, 224))
    assert prediction.shape == (1, 22)
    assert regulariser.ndim == 0


def test_two_processes_train_and_score_as_one(tmp_path):
    """Two gloo processes with half the batch each take the same steps, count every image once, and finish the run."""
    script = tmp_path / "two.py"
    script.write_text(
        textwrap.dedent(
            """
            import os, sys, torch
            from brainnet.run.fitting import training as run
            from tests.toys import toy_config, toy_dataset, toys_registered
            devices = int(sys.argv[1])
            cfg = toy_config("DATASET.BATCH_SIZE", str(8 // devices), "TRAINER.DEVICES", str(devices),
                             "TRAINER.STRATEGY", "ddp" if devices > 1 else "auto", "TRAINER.ACCELERATOR", "cpu",
                             "TRAINER.MAX_EPOCHS", "6")
            data = toy_dataset(n_images=75)
            # whole batches to train on, and an odd number to validate on
            data.splits = dict(zip(("train", "val", "test"), torch.randperm(75, generator=torch.Generator().manual_seed(
                0)).split([48, 11, 16])))
            with toys_registered(lambda: data):
                metrics = run.fit(cfg, sys.argv[2], progress=False)
            if metrics:
                print("score", metrics["validation"]["val_r"], metrics["test"]["all"]["r"]["mean"], flush=True)
            os._exit(0)  # gloo's threads now and then abort a process that is on its way out
            """
        )
    )
    root = Path(__file__).resolve().parents[1]
    scores = {}
    for devices in (1, 2):
        done = subprocess.run(
            [sys.executable, str(script), str(devices), str(tmp_path / f"run{devices}")],
            capture_output=True, text=True, timeout=400, env=os.environ | {"PYTHONPATH": str(root)}, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        scores[devices] = [float(number) for number in done.stdout.split("score")[1].split()[:2]]
        assert (tmp_path / f"run{devices}" / "run.json").is_file()
    assert min(scores[1]) > 0.2
    assert scores[2] == pytest.approx(scores[1], abs=1e-3)

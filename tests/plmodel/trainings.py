"""Short trainings of the toy model."""

from __future__ import annotations

import pytorch_lightning as pl

from brainnet.plmodel import PLModel
from tests.toys import ToyBackbone, toy_config, toy_dataset


def trainer(tmp_path, **options):
    options = {"max_epochs": 2, "logger": False, "enable_checkpointing": False} | options
    return pl.Trainer(
        accelerator="cpu", enable_progress_bar=False, enable_model_summary=False, default_root_dir=tmp_path, **options
    )


def fitted(tmp_path, *overrides, data=None, **options):
    model = PLModel(toy_config(*overrides), ToyBackbone(), data=data or toy_dataset())
    trainer(tmp_path, **options).fit(model)
    return model.eval()

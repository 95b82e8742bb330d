"""The start from evidence: before training the planted layers and delays are found, and noise is told from them."""

from __future__ import annotations

import pytest
import pytorch_lightning as pl
import torch

from brainnet.config import load_config
from brainnet.dataset import SimulatedSeries
from brainnet.dataset.series_tokens import series_tokens
from brainnet.model import DelayedFactorTopy
from brainnet.model.readout import selectors_of
from brainnet.plmodel import PLModel
from brainnet.plmodel.evidence_start import start_from_evidence
from tests.toy_words import WordVectors


@pytest.fixture(scope="module")
def story():
    return SimulatedSeries(WordVectors(), n_sentences=480, n_voxels=45)


def started(story, target):
    delays = [0, 1, 2, 3, 4]
    store = series_tokens(WordVectors(), story, delays=delays, grid=(1, 1), progress=False)
    torch.manual_seed(0)
    model = DelayedFactorTopy(store.layers, store.layer_widths, story.n_voxels, story.space.coords, delays=delays)
    rows = story.splits["train"]
    runs = story.groups[rows.numpy()]
    found = start_from_evidence(model, list(store.layers), lambda index: iter([store.tokens(index)]), rows,
                                target[rows], runs)  # fmt: skip
    return model, found


def test_planted_layers_and_delays_are_found_before_training(story):
    model, evidence = started(story, story.responses)
    assert evidence.shape == (45, 3, 5)
    found = story.recovery(selectors_of(model))
    assert found["layer"] >= 0.95
    assert found["delay"] >= 0.95
    # a constant guess finds a third of either
    model, _ = started(story, story.shuffled().responses)
    found = story.recovery(selectors_of(model))
    assert max(found["layer"], found["delay"]) < 0.6


def test_a_training_begins_there_and_other_readouts_are_refused(story):
    settings = ["TRAINER.ACCELERATOR", "cpu", "OPTIMIZER.SELECTOR_LR_SCALE", "0"]
    cfg = load_config("series", settings)
    assert cfg.MODEL.START == "evidence"
    model = PLModel(cfg, WordVectors(), data=story, progress=False)
    pl.Trainer(max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
               enable_model_summary=False, limit_val_batches=0).fit(model)  # fmt: skip
    assert story.recovery(selectors_of(model.encoder))["layer"] >= 0.95
    cfg = load_config(None, ["MODEL.START", "evidence"])  # of FactorTopy
    with pytest.raises(ValueError, match=r"evidence_start.*MODEL\.START random"):
        PLModel(cfg, WordVectors(), data=story, progress=False)

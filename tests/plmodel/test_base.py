"""PLModel as a Lightning user drives it: precisions, the Tuner, checkpoints by path, and what is refused early."""

from __future__ import annotations

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.tuner import Tuner

from brainnet.model import READOUTS
from brainnet.plmodel import PLModel
from tests.toys import ToyBackbone, toy_config, toy_dataset, toys_registered


def trainer(tmp_path, **options):
    options = {"max_epochs": 1, "logger": False, "enable_checkpointing": False} | options
    return pl.Trainer(
        accelerator="cpu", enable_progress_bar=False, enable_model_summary=False, default_root_dir=tmp_path, **options
    )


@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed", "64-true"])
def test_gradients_are_clipped_in_any_precision(tmp_path, precision):
    model = PLModel(toy_config(), ToyBackbone(), data=toy_dataset())
    assert model.settings.step.clip_norm > 0
    trainer(tmp_path, precision=precision).fit(model)
    assert all(parameter.isfinite().all() for parameter in model.parameters())
    assert model.history


def changed(section, key, value):
    cfg = toy_config()
    cfg[section][key] = value
    return cfg


@pytest.mark.parametrize(
    ("section", "key", "value", "named"),
    [
        ("MODEL", "START", "Ridge", "'ridge'"),
        ("OPTIMIZER", "LRR", 3.0, "OPTIMIZER.LR"),
        ("OPTIMIZER", "LR", -0.1, "OPTIMIZER.LR"),
        ("OPTIMIZER", "LR", float("nan"), "OPTIMIZER.LR"),
        ("DATASET", "BATCH_SIZE", 0, "DATASET.BATCH_SIZE"),
        ("MODEL", "GRID", (8, 0), "MODEL.GRID"),
        ("MODEL", "GRID", (8,), "MODEL.GRID"),
        ("TRAINER", "DEVICES", 0, "TRAINER.DEVICES"),
        ("OPTIMIZER", "DECAY_LAST", 1.5, "OPTIMIZER.DECAY_LAST"),
        ("MODEL", "READOUT", "factortop", "'factortopy'"),
        ("MODEL", "OPTIONS", {"widht": 2}, "MODEL.OPTIONS|'widht'"),
    ],
)
def test_a_config_changed_by_attribute_is_checked_as_a_whole(section, key, value, named):
    with pytest.raises(ValueError, match=named):
        PLModel(changed(section, key, value), ToyBackbone(), skip_data=True)


def test_what_is_no_backbone_is_told_at_once():
    for wrong in ("clip:ViT-B-16", object()):
        with pytest.raises(TypeError, match="get_tokens"):
            PLModel(toy_config(), wrong, skip_data=True)


def test_an_empty_model_has_no_selectors_yet():
    model = PLModel(toy_config(), ToyBackbone(), skip_data=True)
    for ask in (model.get_selectors, model.at_the_border, lambda: model.predict_index(torch.arange(2))):
        with pytest.raises(ValueError, match="load a checkpoint"):
            ask()


def test_the_path_of_a_checkpoint_is_enough_and_the_trainer_predicts(tmp_path):
    with toys_registered():
        model = PLModel(toy_config(), ToyBackbone(), data=toy_dataset())
        training = trainer(tmp_path)
        training.fit(model)
        training.save_checkpoint(tmp_path / "a.ckpt")
        loaded = PLModel.load_from_checkpoint(tmp_path / "a.ckpt").eval()
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(loaded(images)[0], model.eval()(images)[0])
    predicted = torch.cat(training.predict(model))  # its own loaders
    torch.testing.assert_close(predicted, model.predict_index(torch.arange(60)))


def test_the_tuner_finds_a_step_size_and_a_batch_size_and_leaves_no_trace(tmp_path):
    model = PLModel(toy_config("OPTIMIZER.WARMUP", "5"), ToyBackbone(), data=toy_dataset())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    used = []
    model.on_before_optimizer_step = lambda optimizer: used.append(optimizer.param_groups[0]["lr"])
    tuner = Tuner(trainer(tmp_path, max_epochs=30))
    tuner.scale_batch_size(model, mode="power", init_val=4, max_trials=2, steps_per_trial=1)
    assert model.batch_size == model.data.batch_size == model.cfg.DATASET.BATCH_SIZE == 8
    used.clear()
    found = tuner.lr_find(model, num_training=20, update_attr=True)
    assert used[-1] > 100 * used[0]  # the warm-up stood back
    assert model.lr == model.cfg.OPTIMIZER.LR == found.suggestion()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    trainer(tmp_path).fit(model)  # the transform is fitted then: the Tuner's checkpoint was written before any was
    assert not torch.equal(model.state_dict()["transform.maps.local_a.mean"], before["transform.maps.local_a.mean"])


def test_pictures_are_not_drawn_into_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = PLModel(toy_config(), ToyBackbone(), draw=True, data=toy_dataset())
    with pytest.raises(ValueError, match="default_root_dir"):
        trainer(None).fit(model)
    assert not list(tmp_path.iterdir())


class Linear(torch.nn.Module):
    """A read-out of the smallest kind: global tokens times weights."""

    def __init__(self, layers, layer_widths, n_vertices, coords=None, shrink=0.0):
        super().__init__()
        self.layers, self.shrink = layers, shrink
        n_channels = sum(width[1] if isinstance(width, tuple) else width for width in layer_widths)
        self.map = torch.nn.Linear(n_channels, n_vertices)

    def forward(self, local, global_):
        tokens = torch.cat([global_[layer] for layer in self.layers], 1)
        return self.map(tokens), self.shrink * self.map.weight.square().mean()


def test_a_read_out_of_ones_own_is_trained_saved_and_loaded(tmp_path):
    words = ("MODEL.READOUT", "linear", "MODEL.OPTIONS.shrink", "0.5")
    with READOUTS.temporarily("linear", Linear), toys_registered():
        model = PLModel(toy_config(*words), ToyBackbone(), data=toy_dataset())
        assert model.encoder.shrink == 0.5
        training = trainer(tmp_path, max_epochs=20)
        training.fit(model)
        assert model.history[-1]["val_r"] > model.history[0]["val_r"]
        with pytest.raises(ValueError, match="Linear has no selectors"):
            model.get_selectors()
        training.save_checkpoint(tmp_path / "a.ckpt")
        loaded = PLModel.load_from_checkpoint(tmp_path / "a.ckpt").eval()
        images = torch.rand(2, 3, 32, 32)
        assert torch.equal(loaded(images)[0], model.eval()(images)[0])
        with pytest.raises(ValueError, match=r"MODEL\.OPTIONS\.shrink 0\.5"):
            PLModel.load_from_checkpoint(tmp_path / "a.ckpt", cfg=toy_config(*words[:2]))
        with pytest.raises(ValueError, match="'shrnk'.*'shrink'"):
            PLModel(toy_config(*words[:2], "MODEL.OPTIONS.shrnk", "1"), ToyBackbone(), skip_data=True)

from __future__ import annotations

import copy
import warnings

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from brainnet.datamodule import BrainDataModule
from brainnet.model.factortopy import TokenTransform
from brainnet.plmodel import PLModel
from brainnet.plmodel.build import layers_of
from brainnet.scores import pearson_r, r2
from brainnet.store import TokenStore
from brainnet.tokens import Preprocessing
from tests.plmodel.trainings import fitted, trainer
from tests.toys import ToyBackbone, toy_config, toy_dataset


def test_training_learns_what_was_planted(tmp_path):
    model = fitted(tmp_path, max_epochs=25)
    history = [epoch["val_r"] for epoch in model.history]
    assert history[-1] > 0.5 > history[0]


@pytest.mark.parametrize("limit_val_batches", [0, 1.0])
def test_places_that_ran_to_the_border_are_told_once_a_training(tmp_path, limit_val_batches):
    model = PLModel(toy_config("OPTIMIZER.LR", "1.0"), ToyBackbone(), data=toy_dataset())
    for _ in range(2):
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            trainer(tmp_path, max_epochs=6, limit_val_batches=limit_val_batches).fit(model)
        messages = [str(w.message) for w in said if "ran to the border" in str(w.message)]
        assert len(messages) == 1
        assert "OPTIMIZER.LR (now 1)" in messages[0]
    assert model.at_the_border() > 0.25


def test_places_inside_the_image_are_no_matter_for_a_warning(tmp_path, recwarn):
    model = fitted(tmp_path, max_epochs=3)
    trainer(tmp_path).validate(model)
    assert model.at_the_border() == 0
    assert not any("border" in str(w.message) for w in recwarn)


def test_the_backbone_runs_once_per_image_when_cached_and_is_never_saved(tmp_path):
    model = PLModel(toy_config(), ToyBackbone(), data=toy_dataset())
    trainer(tmp_path, max_epochs=1).fit(model)
    once = model.backbone.calls
    trainer(tmp_path, max_epochs=3).fit(model)
    assert model.backbone.calls == once
    assert not any("backbone" in key for key in model.state_dict())


def test_the_loss_of_an_epoch_is_the_mean_over_its_batches(tmp_path, monkeypatch):
    model, seen = PLModel(toy_config(), ToyBackbone(), data=toy_dataset()), []
    loss_of = model._loss
    monkeypatch.setattr(model, "_loss", lambda *pair: seen.append(loss_of(*pair)) or seen[-1])
    trainer(tmp_path, max_epochs=3, limit_val_batches=1).fit(model)
    per_epoch = torch.stack([loss.detach() for loss in seen if loss.requires_grad]).view(3, -1)
    assert per_epoch.shape[1] > 1
    torch.testing.assert_close(torch.tensor([epoch["train_loss"] for epoch in model.history]), per_epoch.mean(1))


@pytest.mark.parametrize("standardize", ["True", "False"])
def test_cached_and_uncached_give_the_same_losses(tmp_path, standardize):
    losses = {}
    for cached in (True, False):
        model = PLModel(toy_config("TOKENS.STANDARDIZE", standardize), ToyBackbone(), cached=cached, data=toy_dataset())
        trainer(tmp_path).fit(model)
        assert (model.data.store is not None) == cached
        assert model.data.transformed is None
        losses[cached] = [epoch["train_loss"] for epoch in model.history]
    # the store keeps half precision: eleven bits
    assert losses[True] == pytest.approx(losses[False], rel=2e-3)


def test_a_data_module_given_to_fit_is_cached_too(tmp_path):
    model = PLModel(toy_config(), ToyBackbone(), skip_data=True)
    data = BrainDataModule(toy_dataset(), batch_size=8)
    trainer(tmp_path).fit(model, datamodule=data)
    assert isinstance(data.store, TokenStore)
    assert "transform" not in data.store.fingerprint  # the raw tokens are back after training
    assert model.history


def test_predictions_are_in_response_units(tmp_path):
    data = toy_dataset()
    data.responses = data.responses * 40 + 1000
    model = fitted(tmp_path, data=data, max_epochs=25)
    prediction = model.predict_index(data.splits["train"])
    assert prediction.mean(0) == pytest.approx(data.responses[data.splits["train"]].mean(0), rel=0.05)


def test_an_image_gives_prediction_and_regulariser(tmp_path):
    data = toy_dataset()
    model = fitted(tmp_path, data=data)
    with torch.no_grad():
        prediction, regulariser = model(torch.stack([data.image(i) for i in (0, 1)]))
    assert prediction.shape == (2, 7)
    assert regulariser.ndim == 0
    # the same from the cache, up to half precision
    assert torch.allclose(prediction, model.predict_index(torch.tensor([0, 1])), atol=2e-2)


def test_logged_scores_are_those_of_the_predictions(tmp_path):
    data = toy_dataset()
    model = fitted(tmp_path, data=data)
    index = data.splits["val"]
    prediction, response = model.predict_index(index), data.responses[index]
    assert torch.allclose(model.scores["val"]["r"], pearson_r(prediction, response), atol=5e-3)
    assert torch.allclose(model.scores["val"]["r2"], r2(prediction, response), atol=5e-3)


def test_nan_and_constant_voxels_train_nothing_and_score_nan(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = toy_dataset()
        data.responses[:, 0] = float("nan")
        data.responses[:, 1] = 3.0
        data.responses[5, 2] = float("nan")  # one missing response of a voxel that is otherwise fine
        model = fitted(tmp_path, data=data)
    assert model.usable.tolist() == [False, False, True, True, True, True, True]
    assert all(torch.isfinite(p).all() for p in model.parameters())
    assert model.scores["val"]["r"][:2].isnan().all()
    assert torch.isfinite(torch.tensor(model.history[-1]["val_r"]))


def test_unusable_voxels_do_not_change_the_others(tmp_path):
    plain, spoiled = toy_dataset(coords=False), toy_dataset(coords=False)
    spoiled.responses[:, 0] = 1.0
    a, b = (fitted(tmp_path, "TRAINER.CLIP_NORM", "0", data=d).predict_index(torch.arange(4)) for d in (plain, spoiled))
    # one voxel less in the mean of the loss scales its gradient; Adam's steps do not feel that, up to epsilon
    assert torch.allclose(a[:, 3], b[:, 3], atol=0.05)


def test_a_resumed_training_ends_where_an_unbroken_one_does(tmp_path):
    whole = PLModel(toy_config(), ToyBackbone(), data=toy_dataset())
    trainer(tmp_path, max_epochs=4).fit(whole)
    half = PLModel(toy_config(), ToyBackbone(), data=toy_dataset())
    first = trainer(tmp_path, max_epochs=2)
    first.fit(half)
    first.save_checkpoint(tmp_path / "half.ckpt")
    rest = PLModel(toy_config(), ToyBackbone(), data=toy_dataset())
    trainer(tmp_path, max_epochs=4).fit(rest, ckpt_path=str(tmp_path / "half.ckpt"), weights_only=True)
    for (name, a), b in zip(whole.state_dict().items(), rest.state_dict().values(), strict=True):
        assert torch.allclose(a.float(), b.float(), atol=1e-6), name


@pytest.fixture
def checkpoint(tmp_path):
    model = PLModel(toy_config(), ToyBackbone(), data=toy_dataset())
    first = trainer(tmp_path)
    first.fit(model)
    first.save_checkpoint(tmp_path / "model.ckpt")
    return model.eval(), str(tmp_path / "model.ckpt")


def test_a_checkpoint_rebuilds_the_encoder_without_data(checkpoint):
    model, path = checkpoint
    loaded = PLModel.load_from_checkpoint(path, cfg=toy_config(), backbone=ToyBackbone(), skip_data=True).eval()
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(loaded(images)[0], model(images)[0])
    assert torch.equal(loaded.space.coords, model.space.coords)
    assert loaded.preprocessing == model.preprocessing


def test_a_checkpoint_holds_nothing_that_runs_code(checkpoint):
    torch.load(checkpoint[1], weights_only=True)


@pytest.mark.parametrize(
    ("backbone", "dataset", "message"),
    [
        (ToyBackbone(gain=2.0), toy_dataset(), "trained on another backbone: its weights is gain 1.0"),
        (ToyBackbone(layers=("a", "b")), toy_dataset(), "reads layers"),
        (ToyBackbone(), toy_dataset(n_voxels=5), "7 voxels, this model 5"),
    ],
)
def test_a_checkpoint_of_something_else_is_refused(checkpoint, backbone, dataset, message):
    with pytest.raises(ValueError, match=message):
        PLModel.load_from_checkpoint(checkpoint[1], cfg=toy_config(), backbone=backbone, data=dataset)


def test_an_empty_model_says_what_it_lacks(tmp_path):
    model = PLModel(toy_config(), ToyBackbone(), skip_data=True)
    with pytest.raises(ValueError, match="load a checkpoint"):
        model(torch.zeros(1, 3, 32, 32))


def test_layers_can_be_chosen_by_name_or_place():
    for chosen in ("['b','c']", "[1,2]"):
        model = PLModel(toy_config("MODEL.LAYERS", chosen), ToyBackbone(), data=toy_dataset())
        assert model.layers == ["b", "c"]
    with pytest.raises(ValueError, match="MODEL.LAYERS names z"):
        PLModel(toy_config("MODEL.LAYERS", "['z']"), ToyBackbone(), data=toy_dataset())
    with pytest.raises(ValueError, match="MODEL.LAYER_WIDTHS is"):
        PLModel(toy_config("MODEL.LAYER_WIDTHS", "[1,2,3]"), ToyBackbone(), data=toy_dataset())


def test_a_backbone_with_wrong_tokens_is_told_so():
    class Flat:
        def get_tokens(self, images):
            return {"a": images.flatten(1)}, {"a": images.mean((2, 3))}

    with pytest.raises(ValueError, match=r"local tokens of layer 'a' must be \(B, C, H, W\)"):
        PLModel(toy_config(), Flat(), data=toy_dataset())


def test_without_coordinates_selectors_are_free_per_voxel(tmp_path):
    model = fitted(tmp_path, data=toy_dataset(coords=False))
    assert model.encoder.topology == "free"
    assert model.get_selectors().layer.shape == (7, 3)


def test_training_on_all_images_leaves_none_to_choose_by(tmp_path):
    data = toy_dataset()
    model = fitted(tmp_path, "TRAINER.FIT_ON", "train+val", data=data)
    assert len(model.data.train_index) == len(data.splits["train"]) + len(data.splits["val"])
    assert not model.history
    with pytest.raises(ValueError, match="made to train on 'train'"):
        PLModel(toy_config("TRAINER.FIT_ON", "train+val"), ToyBackbone(), data=BrainDataModule(data))


def test_the_same_seed_gives_the_same_model_whatever_ran_before(tmp_path):
    first = fitted(tmp_path)
    torch.randn(17)
    again = fitted(tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    other = PLModel(toy_config("SEED", "1"), ToyBackbone(), data=toy_dataset())
    assert not torch.equal(
        other.encoder.weight, PLModel(toy_config(), ToyBackbone(), data=toy_dataset()).encoder.weight
    )


def test_building_a_model_leaves_the_global_generator_alone():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    PLModel(toy_config(), ToyBackbone(), data=toy_dataset())
    assert torch.equal(torch.rand(1), expected)


def test_the_step_size_of_the_selectors_is_their_own():
    model = PLModel(toy_config("OPTIMIZER.SELECTOR_LR_SCALE", "10"), ToyBackbone(), data=toy_dataset())
    others, selectors = model.configure_optimizers().param_groups
    assert (selectors["lr"], others["lr"]) == (pytest.approx(0.1), pytest.approx(0.01))
    n = sum(len(group["params"]) for group in (others, selectors))
    assert n == len(list(model.encoder.parameters()))


class StepSizes(pl.Callback):
    """Notes the step sizes of both groups at every step."""

    def __init__(self):
        self.seen = []

    def on_before_optimizer_step(self, trainer, module, optimizer):
        self.seen.append([group["lr"] for group in optimizer.param_groups])


def test_the_step_size_falls_to_a_tenth_over_the_last_steps(tmp_path):
    """Constant for three fifths, then in a straight line; of each group in proportion, and the same when resumed."""
    words = ("OPTIMIZER.DECAY_LAST", "0.4", "OPTIMIZER.SELECTOR_LR_SCALE", "0.5")
    note = StepSizes()
    fitted(tmp_path, *words, max_epochs=5, callbacks=[note])
    per_epoch = len(note.seen) // 5
    steps = torch.arange(5 * per_epoch)
    expected = 0.01 * (1 - 0.9 * ((steps - 3 * per_epoch) / (2 * per_epoch)).clamp(min=0))
    torch.testing.assert_close(torch.tensor(note.seen), torch.stack([expected, expected / 2], 1))

    keep = pl.callbacks.ModelCheckpoint(tmp_path / "kept", save_top_k=-1, every_n_epochs=1)
    fitted(tmp_path, *words, max_epochs=5, callbacks=[keep], enable_checkpointing=True)
    resumed = StepSizes()
    model = PLModel(toy_config(*words), ToyBackbone(), data=toy_dataset())
    path = next((tmp_path / "kept").glob("epoch=3-*.ckpt"))
    trainer(tmp_path, max_epochs=5, callbacks=[resumed]).fit(model, ckpt_path=path, weights_only=True)
    assert resumed.seen == note.seen[4 * per_epoch :]


def test_the_step_size_rises_over_the_first_steps(tmp_path):
    note, both = StepSizes(), StepSizes()
    fitted(tmp_path, "OPTIMIZER.WARMUP", "4", max_epochs=2, callbacks=[note])
    rates = torch.tensor(note.seen)[:, 0]
    torch.testing.assert_close(rates[:6], torch.tensor([0.0025, 0.005, 0.0075, 0.01, 0.01, 0.01]))
    fitted(tmp_path, "OPTIMIZER.WARMUP", "4", "OPTIMIZER.DECAY_LAST", "0.5", max_epochs=2, callbacks=[both])
    half = len(rates) // 2
    torch.testing.assert_close(torch.tensor(both.seen)[:half, 0], rates[:half])
    assert both.seen[-1][0] < 0.4 * rates[-1]


@pytest.mark.parametrize(("share", "epochs"), [("1.5", 2), ("0.5", -1)])
def test_a_fall_of_the_step_size_needs_a_share_of_a_known_number_of_steps(tmp_path, share, epochs):
    with pytest.raises(ValueError, match="DECAY_LAST"):
        fitted(tmp_path, "OPTIMIZER.DECAY_LAST", share, max_epochs=epochs)


def test_gradients_are_clipped_at_the_configured_norm(tmp_path, monkeypatch):
    seen = []
    original = PLModel.clip_gradients
    monkeypatch.setattr(PLModel, "clip_gradients", lambda self, *a: (seen.append(a[1]), original(self, *a))[1])
    fitted(tmp_path, "TRAINER.CLIP_NORM", "0.25", max_epochs=1)
    assert set(seen) == {0.25}


def test_shuffled_responses_are_not_predicted(tmp_path):
    data = toy_dataset(n_images=200)
    r = []
    for seed in range(3):
        shuffled = copy.copy(data).shuffled(seed=seed)
        model = fitted(tmp_path, data=shuffled, max_epochs=10)
        index = data.splits["test"]
        r.append(pearson_r(model.predict_index(index), shuffled.responses[index]).mean().item())
    # 3 x 7 voxels, 50 images each: standard error about 1 / sqrt(50 * 21) = .03
    assert abs(sum(r) / 3) < 0.1


def test_a_shuffled_control_is_not_trained_on_unshuffled_data():
    data, cfg = toy_dataset(), toy_config("DATASET.SHUFFLED", "True")
    with pytest.raises(ValueError, match=r"pass dataset.shuffled\(seed\)"):
        PLModel(cfg, ToyBackbone(), data=data)
    assert PLModel(cfg, ToyBackbone(), data=data.shuffled(1)).data.dataset.is_shuffled


@pytest.mark.parametrize("shuffled", [False, True])
def test_pictures_of_a_training_fade_unless_it_is_a_control(tmp_path, monkeypatch, shuffled):
    """Nothing of a negative control is predicted: faded maps would be blank, and hide that its selectors are flat."""
    from brainnet import plot

    seen, draw = [], plot.training
    monkeypatch.setattr(plot, "training", lambda *args, **given: seen.append(given) or draw(*args, **given))
    data = toy_dataset().shuffled(0) if shuffled else toy_dataset()
    model = PLModel(toy_config("DATASET.SHUFFLED", str(shuffled)), ToyBackbone(), draw=True, data=data)
    trainer(tmp_path, max_epochs=1).fit(model)
    assert [given["fade"] for given in seen] == [not shuffled]
    assert seen[0]["layer_names"] == ["a", "b", "c"]
    assert not seen[0]["leave_out"]


def test_drawing_leaves_a_picture_of_every_validation(tmp_path):
    model = PLModel(toy_config(), ToyBackbone(), draw=True, data=toy_dataset())
    trainer(tmp_path, max_epochs=2).fit(model)
    pictures = sorted((tmp_path / "maps").glob("*.png"))
    assert [p.name for p in pictures] == ["epoch000.png", "epoch001.png"]
    assert all(p.stat().st_size > 10_000 for p in pictures)


def test_a_store_of_another_backbone_is_refused():
    data = toy_dataset()
    store = TokenStore.build(ToyBackbone(gain=2.0), data, progress=False)
    with pytest.raises(ValueError, match="another weights: gain 2.0; this model's is gain 1.0"):
        PLModel(toy_config(), ToyBackbone(), data=BrainDataModule(data, store))
    PLModel(toy_config(), ToyBackbone(gain=2.0), data=BrainDataModule(data, store))


def test_an_interrupted_training_still_predicts_from_untransformed_tokens(tmp_path, monkeypatch):
    data = toy_dataset()
    model = PLModel(toy_config(), ToyBackbone(), data=data)

    def fail(self):
        raise RuntimeError("stopped")

    monkeypatch.setattr(PLModel, "on_train_epoch_end", fail)
    with pytest.raises(RuntimeError, match="stopped"):
        trainer(tmp_path).fit(model)
    model.eval()
    index = torch.tensor([0, 1, 2])
    with torch.no_grad():
        expected = model(torch.stack([data.image(int(i)) for i in index]))[0]
    assert torch.allclose(model.predict_index(index), expected, atol=2e-2)


# ------------------------------------------------------------------ every setting arrives


def test_model_and_loaders_are_built_as_the_config_says():
    words = ["DATASET.BATCH_SIZE", "5", "SEED", "3", "TRAINER.FIT_ON", "train+val", "MODEL.GRID", "(4,4)",
             "MODEL.WINDOW", "gaussian", "MODEL.WIDTH_INIT", "0.7", "MODEL.HEAD", "sum", "MODEL.RESIZE", "bilinear",
             "MODEL.TOPOLOGY", "free", "MODEL.IMPLEMENTATION", "reference", "MODEL.PRECISION", "bf16",
             "MODEL.BOTTLENECK_DIM", "6", "TOKENS.PCA", "2"]  # fmt: skip
    model = PLModel(toy_config(*words), ToyBackbone(), data=toy_dataset())
    data, encoder = model.data, model.encoder
    assert (data.batch_size, data.seed, data.fit_on) == (5, 3, "train+val")
    assert (encoder.grid, encoder.window, encoder.head, encoder.resize) == ((4, 4), "gaussian", "sum", "bilinear")
    assert (encoder.topology, encoder.implementation, encoder.precision) == ("free", "reference", "bf16")
    assert encoder.bottleneck_dim == 6
    assert encoder.layer_widths == ((2, 2),) * 3
    torch.testing.assert_close(encoder.width(), torch.full((7, 1), 0.7))
    other = PLModel(toy_config(*words, "SEED", "4"), ToyBackbone(), data=toy_dataset())
    assert not torch.equal(encoder.weight, other.encoder.weight)


def test_the_store_is_built_as_the_config_says(tmp_path):
    words = ("MODEL.GRID", "(4,2)", "MODEL.RESIZE", "bilinear", "TOKENS.STORE", str(tmp_path / "tokens.bin"))
    given = Preprocessing(size=(24, 32))
    module = BrainDataModule(toy_dataset(), preprocessing=given)
    data, model = module.dataset, PLModel(toy_config(*words), ToyBackbone(), data=module)
    model.setup_store(module)
    store = TokenStore.open(tmp_path / "tokens.bin")
    assert store.grid == (4, 2)
    assert store.fingerprint["resize"] == "bilinear"
    assert store.fingerprint["preprocessing"] == str(given)
    images = torch.stack([data.image(i, given) for i in (3, 4)])
    expected, found = store.tokens([3, 4]), model.tokens(images)
    for layer in "abc":
        torch.testing.assert_close(found.local[layer], expected.local[layer], atol=2e-3, rtol=2e-3)  # half precision


class Roaming(torch.nn.Module):
    """A backbone that only notes where it is sent."""

    def __init__(self):
        super().__init__()
        self.bias, self.sent, self.toy = torch.nn.Parameter(torch.zeros(1)), [], ToyBackbone()

    def to(self, device):
        self.sent.append(str(device))
        return self

    def get_tokens(self, images):
        return self.toy.get_tokens(images)


@pytest.mark.parametrize(("accelerator", "sent"), [("auto", ["cuda:0", "cpu"]), ("cpu", [])])
def test_tokens_are_computed_on_the_gpu_that_will_train(monkeypatch, accelerator, sent):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    model = PLModel(toy_config("TRAINER.ACCELERATOR", accelerator), Roaming(), data=toy_dataset())
    model.backbone.sent.clear()
    model.setup_store(model.data)
    assert model.backbone.sent == sent
    assert len(model.data.store) == 60


@pytest.mark.parametrize("whiten", [True, False])
def test_the_transform_is_that_of_the_training_images(tmp_path, whiten):
    data = toy_dataset()
    words = ("TOKENS.PCA", "2", "TOKENS.WHITEN", str(whiten), "MODEL.BOTTLENECK_DIM", "2")
    model = fitted(tmp_path, *words, data=data, max_epochs=1)
    tokens = model.data.store.tokens(data.splits["train"])
    expected = TokenTransform.fit([tokens], "abc", pca=2, whiten=whiten)
    for name, value in expected.state_dict().items():
        torch.testing.assert_close(model.transform.state_dict()[name], value, atol=1e-4, rtol=1e-4)


# ------------------------------------------------------------------ the step


def at_step(monkeypatch, step, epoch=0):
    monkeypatch.setattr(PLModel, "global_step", step)
    monkeypatch.setattr(PLModel, "current_epoch", epoch)
    monkeypatch.setattr(PLModel, "log_dict", lambda self, *args, **options: None)


def smooth_l1(error, beta):
    return np.where(np.abs(error) < beta, error**2 / (2 * beta), np.abs(error) - beta / 2)


@pytest.mark.parametrize(("step", "strength"), [(0, 0.4), (5, 0.2), (10, 0.0), (30, 0.0)])
def test_the_loss_is_smooth_l1_plus_a_regulariser_that_fades(step, strength, monkeypatch):
    at_step(monkeypatch, step)
    model = PLModel(toy_config("REGULARIZATION.LAMBDA", "0.4", "LOSS.BETA", "0.7"), ToyBackbone(), data=toy_dataset())
    with torch.no_grad():
        for parameter in model.encoder.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
    data = model.data.dataset
    index = data.splits["train"][:8]
    images = torch.stack([data.image(int(i)) for i in index])
    fit, regulariser = model(images)
    fit = (fit - model.response_mean) / model.response_sd
    target = (data.responses[index] - model.response_mean) / model.response_sd
    expected = smooth_l1((fit - target).detach().numpy(), 0.7).mean() + strength * float(regulariser)
    assert abs(float(regulariser)) > 0.01
    for _ in range(2):  # where all voxels are known to be usable, and where that is not known
        found = model.training_step((images, data.responses[index]), 0)
        assert float(found) == pytest.approx(expected, abs=1e-5)
        model._all_usable = True


def test_the_loss_is_the_mean_over_known_responses(monkeypatch):
    at_step(monkeypatch, 99)
    data = toy_dataset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data.responses[data.splits["train"], 0] = 3.0
    model = PLModel(toy_config("LOSS.BETA", "0.7"), ToyBackbone(), data=data)
    index = data.splits["train"][:8]
    images, response = torch.stack([data.image(int(i)) for i in index]), data.responses[index].clone()
    response[2, 1] = torch.nan
    response[:, 0] += 5
    fit = ((model(images)[0] - model.response_mean) / model.response_sd).detach()
    error = (fit - (response - model.response_mean) / model.response_sd)[:, 1:].numpy()
    expected = np.nanmean(smooth_l1(error, 0.7))
    loss = model.training_step((images, response), 0)
    assert float(loss) == pytest.approx(float(expected), abs=1e-5)
    loss.backward()
    assert model.encoder.bias.grad[0] == 0
    assert model.encoder.bias.grad[1:].all()


def test_the_decays_are_those_of_the_config():
    words = ("OPTIMIZER.WEIGHT_DECAY", "0.3", "OPTIMIZER.SELECTOR_WEIGHT_DECAY", "0.2")
    optimiser = PLModel(toy_config(*words), ToyBackbone(), data=toy_dataset()).configure_optimizers()
    assert [group["weight_decay"] for group in optimiser.param_groups] == [0.3, 0.2]


@pytest.mark.parametrize(("configured", "given", "largest"), [("0.001", None, 0.001), ("9.0", 0.002, 0.002)])
def test_no_step_takes_a_larger_gradient_than_the_clip(tmp_path, configured, given, largest, monkeypatch):
    norms = []

    def watched(self):
        optimiser = torch.optim.SGD(self.encoder.parameters(), 0.0)
        parameters = list(self.encoder.parameters())
        measure = lambda *_: norms.append(torch.stack([p.grad.norm() for p in parameters]).norm().item())  # noqa: E731
        optimiser.register_step_post_hook(measure)
        return optimiser

    monkeypatch.setattr(PLModel, "configure_optimizers", watched)
    fitted(tmp_path, "TRAINER.CLIP_NORM", configured, max_epochs=1, gradient_clip_val=given)
    assert max(norms) == pytest.approx(largest, rel=1e-3)


# ------------------------------------------------------------------ scores


def test_scores_of_validation_and_test_are_in_response_units(tmp_path):
    data = toy_dataset()
    data.responses = data.responses * 40 + 1000
    data.noise_ceiling = torch.tensor([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.05])
    model = PLModel(toy_config(), ToyBackbone(), data=data)
    training = trainer(tmp_path, max_epochs=3)
    training.fit(model)
    assert [epoch["epoch"] for epoch in model.history] == [0, 1, 2]  # and not that of the sanity check
    assert set(model.scores["val"]) == {"r", "r2"}
    training.test(model, verbose=False)
    model.eval()
    for split in ("val", "test"):
        index = data.splits[split]
        prediction, response = model.predict_index(index), data.responses[index]
        assert prediction.mean() == pytest.approx(1000, abs=100)
        torch.testing.assert_close(model.scores[split]["r"], pearson_r(prediction, response), atol=5e-3, rtol=0)
        torch.testing.assert_close(model.scores[split]["r2"], r2(prediction, response), atol=5e-3, rtol=0)
    r = model.scores["test"]["r"]
    expected = torch.where(data.noise_ceiling >= 0.1, r / data.noise_ceiling, torch.nan)
    torch.testing.assert_close(model.scores["test"]["ceiling_share"], expected, equal_nan=True)
    ratio = r.mean().item() / data.noise_ceiling.mean().item()
    assert training.callback_metrics["test_ceiling_share"] == pytest.approx(ratio, abs=1e-6)
    predicted = torch.cat(training.predict(model, model.data))
    torch.testing.assert_close(predicted, model.predict_index(torch.arange(60)))


def test_a_model_scores_the_data_it_is_given(tmp_path):
    model = fitted(tmp_path)
    other = toy_dataset(seed=3)
    module = BrainDataModule(other)
    trainer(tmp_path).test(model, module, verbose=False)
    assert model.data is module
    images = torch.stack([other.image(int(i)) for i in other.splits["test"]])
    expected = pearson_r(model(images)[0].detach(), other.responses[other.splits["test"]])
    torch.testing.assert_close(model.scores["test"]["r"], expected, atol=5e-3, rtol=0)
    with pytest.raises(ValueError, match="this model has 7 voxels but the data has 5"):
        trainer(tmp_path).test(model, BrainDataModule(toy_dataset(n_voxels=5)), verbose=False)
    foreign = TokenStore.build(ToyBackbone(gain=2.0), other, progress=False)
    with pytest.raises(ValueError, match="another weights"):
        trainer(tmp_path).test(model, BrainDataModule(other, foreign), verbose=False)


def test_a_voxel_that_was_constant_in_training_is_not_scored(tmp_path):
    data = toy_dataset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data.responses[data.splits["train"], 0] = 2.0  # and moves afterwards
        model = fitted(tmp_path, "OPTIMIZER.WEIGHT_DECAY", "0.0", data=data)
    assert model.scores["val"]["r"].isnan().tolist() == [True] + [False] * 6
    moved = model.encoder.bias != PLModel(model.cfg, ToyBackbone(), data=data).encoder.bias
    assert moved.tolist() == [False] + [True] * 6  # nor trained


def test_a_single_missing_response_spoils_nothing(tmp_path):
    data = toy_dataset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data.responses[data.splits["train"][4], 2] = torch.nan
        model = fitted(tmp_path, data=data)
    assert model.usable.all()
    assert all(parameter.isfinite().all() for parameter in model.parameters())
    assert model.scores["val"]["r"].isfinite().all()


def test_responses_are_fitted_as_they_are_unless_standardised():
    model = PLModel(toy_config("RESPONSES.STANDARDIZE", "False"), ToyBackbone(), data=toy_dataset())
    assert not model.response_mean.any()
    assert (model.response_sd == 1).all()


def test_images_reach_a_backbone_as_it_expects_them():
    backbone = ToyBackbone()
    backbone.preprocessing = Preprocessing(size=(24, 24))
    model = PLModel(toy_config(), backbone, data=toy_dataset())
    assert model.preprocessing == model.data.preprocessing == backbone.preprocessing


def test_a_trained_model_keeps_its_transform_on_other_images(checkpoint, tmp_path):
    """Its weights were trained behind that transform: statistics of other images would change what they read."""
    model, path = checkpoint
    other = toy_dataset(seed=3)
    loaded = PLModel.load_from_checkpoint(path, cfg=toy_config(), backbone=ToyBackbone(), data=other)
    trainer(tmp_path, max_epochs=1).fit(loaded)
    for name, value in model.transform.state_dict().items():
        assert torch.equal(loaded.transform.state_dict()[name], value), name


def test_layers_that_are_called_by_numbers_are_meant_by_name():
    assert layers_of([5], ["3", "5", "7"]) == ["5"]
    assert layers_of([1], ["0", "2", "1"]) == ["1"]
    assert layers_of([0, 2], ["a", "b", "c"]) == ["a", "c"]
    assert layers_of(["c", "a"], ["a", "b", "c"]) == ["c", "a"]


# ------------------------------------------------------------------ tokens are transformed once, whoever made the batch


def test_loaders_made_before_the_training_hold_untransformed_tokens(tmp_path):
    losses = {}
    for own in (False, True):
        data = BrainDataModule(toy_dataset(), batch_size=8)
        model = PLModel(toy_config(), ToyBackbone(), data=data)
        model.setup_store(data)
        loaders = (data.train_dataloader(), data.val_dataloader()) if own else ()
        trainer(tmp_path, num_sanity_val_steps=0).fit(model, *loaders)
        losses[own] = [(epoch["train_loss"], epoch["val_r"]) for epoch in model.history]
    assert np.allclose(losses[True], losses[False], rtol=5e-3)


def test_an_interrupted_training_leaves_nothing_for_the_next_model(tmp_path, monkeypatch):
    data = BrainDataModule(toy_dataset(), batch_size=8)

    def fail(self):
        raise RuntimeError("stopped")

    with monkeypatch.context() as patch:
        patch.setattr(PLModel, "on_train_epoch_end", fail)
        with pytest.raises(RuntimeError, match="stopped"):
            trainer(tmp_path).fit(PLModel(toy_config(), ToyBackbone(), data=data))
    raw = toy_config("TOKENS.STANDARDIZE", "False")
    second, clean = (PLModel(raw, ToyBackbone(), data=d) for d in (data, toy_dataset()))
    for model in (second, clean):
        trainer(tmp_path).fit(model)
    assert second.history == clean.history
    for name, value in clean.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name


def test_tokens_too_large_to_keep_transformed_are_transformed_batch_by_batch(tmp_path, monkeypatch):
    def too_large(*args, **options):
        raise MemoryError("the tokens need more")

    plain = fitted(tmp_path)
    monkeypatch.setattr(TokenStore, "transformed", too_large)
    model = fitted(tmp_path)
    found, expected = ([epoch["val_r"] for epoch in m.history] for m in (model, plain))
    assert found == pytest.approx(expected, abs=5e-3)


def test_a_second_fit_goes_on_from_the_first(tmp_path):
    words = ("MODEL.START", "ridge", "MODEL.WINDOW", "gaussian", "MODEL.BOTTLENECK_DIM", "16", "OPTIMIZER.LR", "0.0")
    model = fitted(tmp_path, *words, max_epochs=1)
    with torch.no_grad():
        model.encoder.weight.add_(1.0)
    before = copy.deepcopy(model.state_dict())
    trainer(tmp_path, max_epochs=1).fit(model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items() if "weight" in name)


def test_a_resumed_training_does_not_start_from_ridge_again(tmp_path):
    words = ("MODEL.START", "ridge", "MODEL.WINDOW", "gaussian", "MODEL.BOTTLENECK_DIM", "16", "OPTIMIZER.LR", "0.0")
    model = PLModel(toy_config(*words), ToyBackbone(), data=toy_dataset())
    first = trainer(tmp_path, max_epochs=1)
    first.fit(model)
    with torch.no_grad():
        model.encoder.weight.add_(1.0)
    first.save_checkpoint(tmp_path / "one.ckpt")
    again = PLModel(toy_config(*words), ToyBackbone(), data=toy_dataset())
    trainer(tmp_path, max_epochs=2).fit(again, ckpt_path=str(tmp_path / "one.ckpt"), weights_only=True)
    torch.testing.assert_close(again.encoder.weight, model.encoder.weight)


class Trained(torch.nn.Module):
    """A backbone as users write them: a module that nobody put in evaluation mode."""

    def __init__(self):
        super().__init__()
        self.norm, self.drop = torch.nn.BatchNorm2d(3), torch.nn.Dropout(0.5)

    def get_tokens(self, images):
        maps = self.drop(self.norm(images))
        return {"a": maps}, {"a": maps.mean((2, 3))}


def test_a_backbone_in_training_mode_gives_images_the_tokens_of_the_cache(tmp_path):
    data, backbone = toy_dataset(), Trained()
    before = copy.deepcopy(backbone.state_dict())
    model = PLModel(toy_config(), backbone, data=data)
    trainer(tmp_path, max_epochs=1).fit(model)
    index = torch.tensor([0, 1])
    prediction = model(torch.stack([data.image(int(i)) for i in index]))[0]
    torch.testing.assert_close(prediction, model.predict_index(index), atol=2e-2, rtol=0)
    assert not model.tokens(torch.stack([data.image(0)])).local["a"].requires_grad
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())


def test_a_store_of_another_grid_or_name_or_preprocessing_is_refused():
    data = toy_dataset()

    def refused(message, backbone=None, words=(), **options):
        store = TokenStore.build(ToyBackbone(), data, progress=False, **options)
        with pytest.raises(ValueError, match=message):
            PLModel(toy_config(*words), backbone or ToyBackbone(), data=BrainDataModule(data, store))

    refused("another grid: 4x4; this model's is 8x8", grid=(4, 4))
    refused("another resize: bilinear; this model's is mean", resize="bilinear")
    refused("another preprocessing", preprocessing=Preprocessing(size=(16, 16)))
    renamed = ToyBackbone()
    renamed.fingerprint = lambda: {"name": "other", "weights": "gain 1.0"}
    refused("another name: toy; this model's is other", backbone=renamed)


# ------------------------------------------------------------------ checkpoints of other settings


@pytest.mark.parametrize(
    ("key", "value"),
    [("MODEL.HEAD", "mean"), ("MODEL.RESIZE", "bilinear"), ("MODEL.GRID", "(4,4)"), ("TOKENS.STANDARDIZE", "False")],
)
def test_a_checkpoint_is_not_read_with_settings_that_change_its_predictions(checkpoint, key, value):
    with pytest.raises(ValueError, match=f"was trained with {key}"):
        PLModel.load_from_checkpoint(checkpoint[1], cfg=toy_config(key, value), backbone=ToyBackbone(), skip_data=True)


def test_a_checkpoint_remembers_how_images_reached_it_and_whose_tokens_it_reads(tmp_path):
    data = toy_dataset()
    data.preprocessing = Preprocessing(size=(24, 24))
    model = PLModel(toy_config(), ToyBackbone(), data=data)
    first = trainer(tmp_path)
    first.fit(model)
    first.save_checkpoint(tmp_path / "model.ckpt")
    options = {"cfg": toy_config(), "skip_data": True}
    for backbone in (ToyBackbone(), None):
        loaded = PLModel.load_from_checkpoint(tmp_path / "model.ckpt", backbone=backbone, **options)
        assert loaded.preprocessing == data.preprocessing
        assert loaded.identity == model.identity
        assert loaded.history == model.history
    with pytest.raises(ValueError, match="reads layers"):
        PLModel.load_from_checkpoint(
            tmp_path / "model.ckpt", cfg=toy_config(), backbone=ToyBackbone(("a", "b", "d")), data=toy_dataset()
        )

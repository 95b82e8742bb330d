from __future__ import annotations

import copy
import warnings

import pytest
import pytorch_lightning as pl
import torch

from brainnet.datamodule import BrainDataModule
from brainnet.plmodel import PLModel
from brainnet.scores import pearson_r, r2
from brainnet.store import TokenStore
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


def test_training_learns_what_was_planted(tmp_path):
    model = fitted(tmp_path, max_epochs=25)
    history = [epoch["val_r"] for epoch in model.history]
    assert history[-1] > 0.5 > history[0]


def test_the_backbone_runs_once_per_image_when_cached_and_is_never_saved(tmp_path):
    model = PLModel(toy_config(), ToyBackbone(), data=toy_dataset())
    trainer(tmp_path, max_epochs=1).fit(model)
    once = model.backbone.calls
    trainer(tmp_path, max_epochs=3).fit(model)
    assert model.backbone.calls == once
    assert not any("backbone" in key for key in model.state_dict())


@pytest.mark.parametrize("standardize", ["True", "False"])
def test_cached_and_uncached_give_the_same_losses(tmp_path, standardize):
    losses = {}
    for cached in (True, False):
        model = PLModel(toy_config("TOKENS.STANDARDIZE", standardize), ToyBackbone(), cached=cached, data=toy_dataset())
        trainer(tmp_path).fit(model)
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


def test_the_closed_form_start_is_a_window_ridge(tmp_path):
    """Before the first step the model predicts what the ridge does: the start is a fit, not an initialisation."""
    from brainnet.ridge import WindowRidgeCV

    data = toy_dataset(coords=False)
    words = ("MODEL.START", "ridge", "MODEL.WINDOW", "gaussian", "MODEL.BOTTLENECK_DIM", "16", "OPTIMIZER.LR", "0.0")
    model = fitted(tmp_path, *words, data=data, max_epochs=1)
    tokens = [model.transform(t) for t in model._batches(data.splits["train"])]
    response = data.responses[data.splits["train"]]
    ridge = WindowRidgeCV().fit(tokens, (response - model.response_mean) / model.response_sd)
    test = [model.transform(t) for t in model._batches(data.splits["test"])]
    expected = ridge.predict(test) * model.response_sd + model.response_mean
    found = model.predict_index(data.splits["test"])
    assert (found - expected).norm() < 0.01 * expected.norm()  # training read its tokens in half precision


def test_the_ridge_start_needs_windows(tmp_path):
    with pytest.raises(ValueError, match="MODEL.WINDOW gaussian"):
        fitted(tmp_path, "MODEL.START", "ridge")


def test_training_on_all_images_leaves_none_to_choose_by(tmp_path):
    data = toy_dataset()
    model = fitted(tmp_path, "TRAINER.FIT_ON", "train+val", data=data)
    assert len(model.data.train_index) == len(data.splits["train"]) + len(data.splits["val"])
    assert not model.history


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

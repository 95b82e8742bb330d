from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from brainnet.backbone import build_backbone
from brainnet.plmodel import PLModel
from brainnet.plmodel.encoder_files import CONFIG
from brainnet.run.encoding.encoding import encode_subjects
from brainnet.run.fitting.prediction import predict
from brainnet.run.sharing.loading import load_encoder
from brainnet.run.sharing.sharing import export_model
from tests.backbone.toy_sequences import save
from tests.plmodel.trainings import trainer
from tests.run.encodings import save_subject, settings
from tests.toys import toy_config, toy_dataset


def test_what_is_no_encoder(tmp_path):
    with pytest.raises(FileNotFoundError, match="OWNER/NAME"):
        load_encoder(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"config\.json"):
        load_encoder(tmp_path)


@pytest.fixture
def vit(tmp_path):
    """A tiny network of transformers in a folder."""
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    return save(transformers.ViTModel(transformers.ViTConfig(image_size=32, patch_size=8, **sizes)), tmp_path / "vit")


@pytest.fixture
def picture(tmp_path):
    (tmp_path / "new").mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)).save(tmp_path / "new" / "p.png")
    return tmp_path / "new"


def elsewhere(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")


def test_a_network_that_was_passed_from_a_folder_comes_back_by_itself(vit, tmp_path, monkeypatch):
    """The settings name another network; the path of the checkpoint is enough from anywhere."""
    monkeypatch.chdir(tmp_path)
    network = build_backbone("transformers:vit", layers=["1"])
    data = toy_dataset()
    data.preprocessing = network.preprocessing
    model = PLModel(toy_config("BACKBONE.NAME", "original:clip", "TOKENS.STORE", ""), network, data=data)
    fit = trainer(tmp_path, max_epochs=1)
    fit.fit(model)
    fit.save_checkpoint(tmp_path / "model.ckpt")
    card = model.save_pretrained(tmp_path / "card")
    assert str(tmp_path) not in (card / CONFIG).read_text()
    elsewhere(tmp_path, monkeypatch)
    given = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    expected = model.eval()(given)[0]
    assert torch.equal(PLModel.load_from_checkpoint(tmp_path / "model.ckpt").eval()(given)[0], expected)
    assert torch.equal(PLModel.from_pretrained(card)(given)[0], expected)  # the folder lies beside it
    moved = vit.rename(tmp_path / "other")
    with pytest.raises(FileNotFoundError, match=r"model\.ckpt.*no folder .*/vit.*backbone=") as told:
        PLModel.load_from_checkpoint(tmp_path / "model.ckpt")
    assert "\n" not in str(told.value)
    with pytest.raises(FileNotFoundError, match=r"card reads a network in a folder 'vit'.*backbone="):
        PLModel.from_pretrained(card)
    again = build_backbone(f"transformers:{moved}", layers=["1"])
    assert torch.equal(PLModel.load_from_checkpoint(tmp_path / "model.ckpt", backbone=again).eval()(given)[0], expected)
    assert torch.equal(PLModel.from_pretrained(card, backbone=again)(given)[0], expected)
    with pytest.raises(ValueError, match="another backbone: its weights"):
        PLModel.from_pretrained(card, backbone=build_backbone(f"transformers:{moved}", layers=["1"], weights="random"))


def test_weights_of_an_encoding_find_the_folder_of_their_network(vit, picture, tmp_path, monkeypatch):
    save_subject(tmp_path / "data", 0)
    monkeypatch.chdir(tmp_path)
    cfg = settings(tmp_path / "data", "MODEL.GRID", "[2,2]", "BACKBONE.NAME", "transformers:vit")
    encode_subjects(cfg, tmp_path / "run", keep_weights=True, n_resamples=20, layers=["1"], progress=False)
    card = export_model(tmp_path / "run", tmp_path / "card")
    elsewhere(tmp_path, monkeypatch)
    of_run = predict(tmp_path / "run", picture, tmp_path / "of_run", progress=False)
    assert predict(card, picture, tmp_path / "of_card", progress=False).read_bytes() == of_run.read_bytes()
    assert str(tmp_path) not in (card / CONFIG).read_text() + (card / "README.md").read_text()
    vit.rename(tmp_path / "other")
    with pytest.raises(FileNotFoundError, match=r"no folder .*/vit"):
        predict(tmp_path / "run", picture, tmp_path / "gone", progress=False)
    with pytest.raises(FileNotFoundError, match="in a folder 'vit'"):
        predict(card, picture, tmp_path / "gone", progress=False)


def test_a_folder_of_a_stranger_is_a_plain_name(vit, tmp_path):
    network = build_backbone(f"transformers:{vit}", layers=["1"])
    data = toy_dataset()
    data.preprocessing = network.preprocessing
    card = PLModel(toy_config("TOKENS.STORE", ""), network, data=data).save_pretrained(tmp_path / "card")
    config = json.loads((card / CONFIG).read_text())
    for folder in ("..", str(vit), "../vit"):
        config["backbone_folder"], config["settings"]["BACKBONE.NAME"] = folder, f"transformers:{folder}"
        (card / CONFIG).write_text(json.dumps(config))
        with pytest.raises(ValueError, match=r"plain name|names code in a file|no installed package"):
            PLModel.from_pretrained(card)

from __future__ import annotations

import subprocess
import sys

import pytest
import pytorch_lightning as pl
import torch

from brainnet.backbone import build_backbone
from brainnet.config import get_cfg_defaults
from brainnet.model import FactorTopy
from brainnet.plmodel import PLModel
from brainnet.plmodel.encoder_files import CONFIG
from brainnet.space import BrainSpace
from tests.plmodel.test_encoder_files import changed
from tests.plmodel.trainings import fitted
from tests.toys import ToyBackbone, toy_config, toys_registered


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return fitted(tmp_path_factory.mktemp("model"))


@pytest.fixture
def saved(model, tmp_path):
    return model.save_pretrained(tmp_path / "card")


def images(rng, size=32, n=3):
    return torch.rand(n, 3, size, size, generator=rng)


@pytest.mark.parametrize(
    "overrides",
    [[], ["MODEL.WINDOW", "gaussian", "MODEL.START", "ridge"], ["MODEL.FIELD", "ridge", "MODEL.WINDOW", "gaussian"],
     ["TOKENS.PCA", "3", "TOKENS.WHITEN", "True"], ["TOKENS.STANDARDIZE", "False"], ["MODEL.TOPOLOGY", "free"]],
)  # fmt: skip
def test_a_loaded_model_predicts_the_same_bytes(overrides, tmp_path, rng):
    model = fitted(tmp_path / "fit", *overrides)
    found = PLModel.from_pretrained(model.save_pretrained(tmp_path / "card"), backbone=ToyBackbone())
    given = images(rng)
    assert torch.equal(found(given)[0], model(given)[0])
    assert not found.training
    for mine, theirs in zip(found.get_selectors(), model.get_selectors(), strict=True):
        assert torch.equal(mine, theirs)


def test_a_network_of_brainnets_is_built_by_name_in_a_fresh_process(tmp_path, rng):
    """Also where it was passed, and the settings name another one; what is read names no place on this machine."""
    from tests.toys import toy_dataset

    torch.set_num_threads(1)
    network = build_backbone("expansion:small", layers=["1", "3"])
    cfg = toy_config("BACKBONE.NAME", "original:clip", "DATASET.DATA_DIR", "/home/me/secret", "TOKENS.STORE", "")
    data = toy_dataset()
    data.preprocessing = network.preprocessing
    model = PLModel(cfg, network, data=data).eval()
    card = model.save_pretrained(tmp_path / "card")
    assert "secret" not in (card / CONFIG).read_text()
    given = images(rng, 128)
    torch.save(given, tmp_path / "images.pt")
    code = (
        "import sys, torch; from brainnet.plmodel import PLModel; torch.set_num_threads(1)\n"
        "given = torch.load(sys.argv[2])\n"
        "torch.save(PLModel.from_pretrained(sys.argv[1])(given)[0].detach(), sys.argv[3])"
    )
    out = tmp_path / "out.pt"
    subprocess.run([sys.executable, "-c", code, str(card), str(tmp_path / "images.pt"), str(out)], check=True)
    assert torch.equal(torch.load(out), model(given)[0])


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("expansion:small", {"seed": 5, "layers": ["1", "3"]}),
        ("torchvision:squeezenet1_1", {"weights": "random", "seed": 3, "layers": ["features.3"]}),
        ("untrained:vit=random", {"image_size": (32, 32), "features": 8, "layers": ["expansion"]}),
    ],
)
def test_a_network_that_was_passed_is_built_again_with_its_options(name, options, tmp_path, rng):
    """Untrained controls are: their weights hang on the seed, and the settings name another network or another seed."""
    from tests.toys import toy_dataset

    network = build_backbone(name, **options)
    data = toy_dataset()
    data.preprocessing = network.preprocessing
    model = PLModel(toy_config("BACKBONE.NAME", "expansion:small", "TOKENS.STORE", ""), network, data=data).eval()
    trainer = pl.Trainer(logger=False, enable_checkpointing=False, barebones=True)
    trainer.strategy.connect(model)
    trainer.save_checkpoint(tmp_path / "model.ckpt")
    given = images(rng, network.preprocessing.size[0])
    for found in (
        PLModel.from_pretrained(model.save_pretrained(tmp_path / "card")),
        PLModel.load_from_checkpoint(tmp_path / "model.ckpt", weights_only=True),
    ):
        assert torch.equal(found.eval()(given)[0], model(given)[0])


def test_of_an_own_network_the_encoder_alone_can_be_read(saved):
    changed(backbone_by_name=False)(saved)
    with pytest.raises(ValueError, match="backbone=NETWORK"):
        PLModel.from_pretrained(saved)
    alone = PLModel.from_pretrained(saved, backbone=None)
    assert alone.get_selectors().layer.shape == (7, 3)


def test_a_registered_network_is_built_by_its_name(saved, model, rng):
    with toys_registered():
        found = PLModel.from_pretrained(saved)
    given = images(rng)
    assert torch.equal(found(given)[0], model(given)[0])


def test_another_network_is_refused(saved):
    with pytest.raises(ValueError, match=r"another backbone.*gain 1\.0.*gain 2\.0"):
        PLModel.from_pretrained(saved, backbone=ToyBackbone(gain=2.0))
    with pytest.raises(TypeError, match="get_tokens"):
        PLModel.from_pretrained(saved, backbone="original:clip")


def test_an_empty_model_and_code_of_ones_own_cannot_be_saved(model, tmp_path):
    with pytest.raises(ValueError, match="is empty"):
        PLModel(get_cfg_defaults(), ToyBackbone(), skip_data=True).save_pretrained(tmp_path / "card")
    model.cfg.MODEL.READOUT, before = "mine.py:Mine", model.cfg.MODEL.READOUT
    try:
        with pytest.raises(ValueError, match=r"mine\.py:Mine"):
            model.save_pretrained(tmp_path / "card")
    finally:
        model.cfg.MODEL.READOUT = before
    assert not (tmp_path / "card").exists()


# ---------------------------------------------------------------------- the original's layout


def planted_file(path, rng, n=5, layers=3, width=6, channels=4, wrap=lambda state: state):
    """A file in the layout of the original project, of a model whose predictions are known."""
    coords = torch.rand(n, 3, generator=rng)
    model = FactorTopy(range(layers), [width] * layers, n, coords, bottleneck_dim=channels, resize="bilinear")
    with torch.no_grad():
        for value in model.parameters():
            value.copy_(torch.randn(value.shape, generator=rng) * 0.3)
    torch.save(wrap(model.state_dict()), path)
    return model, coords


class Numbered(ToyBackbone):
    """The toy network with layers named as the original's."""

    def __init__(self):
        super().__init__(layers=("0", "1", "2"))


def test_weights_in_the_originals_layout_predict(tmp_path, rng):
    model, coords = planted_file(tmp_path / "clip_factorTopy.pth", rng)
    found = PLModel.from_original(tmp_path / "clip_factorTopy.pth", coords, backbone=Numbered())
    given = images(rng)
    expected = model(*Numbered().get_tokens(given))[0]
    assert expected.std() > 0.01
    torch.testing.assert_close(found(given)[0], expected, rtol=0, atol=1e-6)
    space = BrainSpace(coords=coords, rois={"V1": torch.ones(5).bool()})
    again = PLModel.from_original(tmp_path / "clip_factorTopy.pth", space, backbone=Numbered())
    travelled = PLModel.from_pretrained(again.save_pretrained(tmp_path / "card"), backbone=Numbered())
    assert torch.equal(travelled(given)[0], found(given)[0])
    assert travelled.space.roi_names == ("V1",)


def test_what_is_not_the_originals_layout_is_refused(tmp_path, rng):
    file = tmp_path / "weights.pth"
    _, coords = planted_file(file, rng)
    with pytest.raises(ValueError, match=r"5 voxels.*4 voxels"):
        PLModel.from_original(file, coords[:4], backbone=None)
    with pytest.raises(ValueError, match="no coordinates"):
        PLModel.from_original(file, BrainSpace.free(5), backbone=None)
    torch.save({"fc.weight": torch.ones(2, 2)}, file)
    with pytest.raises(ValueError, match="lacks weight, bias"):
        PLModel.from_original(file, coords, backbone=None)
    for change, message in (
        (lambda state: {k: v for k, v in state.items() if "global_token" not in k}, "lacks weights"),
        (lambda state: state | {"extra": torch.ones(1)}, "others 1"),
        (lambda state: state | {"bias": torch.ones(9)}, r"\(9,\)"),
    ):
        planted_file(file, torch.Generator().manual_seed(1), wrap=change)
        with pytest.raises(ValueError, match=message):
            PLModel.from_original(file, coords, backbone=None)
    torch.save({"state": toys_registered}, file)  # a function: code
    with pytest.raises(ValueError, match="code"):
        PLModel.from_original(file, coords, backbone=None)
    with pytest.raises(FileNotFoundError):
        PLModel.from_original(tmp_path / "none.pth", coords, backbone=None)

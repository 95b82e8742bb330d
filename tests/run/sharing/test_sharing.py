from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from brainnet.backbone import BACKBONES
from brainnet.plmodel import PLModel
from brainnet.plmodel.encoder_files import CONFIG, WEIGHTS
from brainnet.run.encoding.weights import LinearEncoder
from brainnet.run.fitting.prediction import load_model, predict
from brainnet.run.sharing.loading import load_encoder
from brainnet.run.sharing.sharing import export_model, push_model
from tests.plmodel.test_encoder_files import changed, rewritten
from tests.run.encodings import Blur, run_grid, save_subject
from tests.toy_hub import serving_hub


@pytest.fixture(scope="module")
def encoded(tmp_path_factory):
    """An encoding that kept its weights, by methods whose weights have three forms."""
    folder = tmp_path_factory.mktemp("encoded")
    save_subject(folder / "data", 0)
    with BACKBONES.temporarily("toy", Blur):
        run_grid(folder / "data", folder / "run", methods=["ridge", "window", "mixed"], keep_weights=True)
    return folder / "run"


@pytest.fixture
def blurred():
    """The network of the encoding under its name, which the one of the fit has as well."""
    with BACKBONES.temporarily("toy", Blur):
        yield


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    for i in range(3):
        pixels = np.random.default_rng(i).integers(0, 255, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"p{i}.png")
    return folder


def bytes_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def predicted(source, photographs, out):
    return predict(source, photographs, out, progress=False).read_bytes()


def test_a_fit_travels_with_its_card_and_predicts_the_same_bytes(mapped, photographs, tmp_path):
    run = mapped[0]
    card = export_model(run, tmp_path / "card", license="cc-by-4.0")
    assert bytes_of(card) == bytes_of(export_model(run, tmp_path / "again", license="cc-by-4.0"))
    assert set(bytes_of(card)) == {WEIGHTS, CONFIG, "README.md", "maps.png"}
    assert predicted(card, photographs, tmp_path / "of_card") == predicted(run, photographs, tmp_path / "of_run")
    found, expected = load_encoder(card), load_model(run)
    assert isinstance(found, PLModel)
    assert torch.equal(found.get_selectors().layer, expected.get_selectors().layer)
    said = (card / "README.md").read_text(encoding="utf-8")
    assert said.startswith("---\nlicense: cc-by-4.0\nlibrary_name: brainnet\n")
    row = mapped[1]["test"]["early"]
    assert f"| early | {row['n_scored']} | {row['r']['mean']:.3f} | {row['r']['low']:.3f} |" in said
    assert "not what it is for" not in said
    for part in ("## What it is not for", "## Citation", "![maps", "y = b +"):
        assert part in said
    assert str(run) not in said + (card / CONFIG).read_text()


@pytest.mark.parametrize("method", ["ridge", "window", "mixed"])
def test_an_encoding_travels_and_predicts_the_same_bytes(method, encoded, blurred, photographs, tmp_path):
    card = export_model(encoded, tmp_path / "card", method=method)
    assert bytes_of(card) == bytes_of(export_model(encoded, tmp_path / "again", method=method))
    mine = predict(card, photographs, tmp_path / "of_card", progress=False).read_bytes()
    assert mine == predict(encoded, photographs, tmp_path / "of_run", progress=False, method=method).read_bytes()
    found = load_encoder(card)
    assert isinstance(found, LinearEncoder)
    assert set(found.space.rois) == {"V1", "V4"}
    said = (card / "README.md").read_text()
    assert "license_name: not-stated" in said
    assert "| V1 | 2 | " in said
    with pytest.raises(ValueError, match="linear encoder"):
        PLModel.from_pretrained(card)
    with pytest.raises(ValueError, match="weights differ"):
        list(load_encoder(card, backbone=Blur(weights="random")).predict([], 1, "cpu", False))


def test_an_encoder_goes_to_a_hub_and_comes_back(mapped, photographs, tmp_path, monkeypatch):
    card = export_model(mapped[0], tmp_path / "card")
    with serving_hub(token="secret") as served:
        monkeypatch.setenv("HF_ENDPOINT", served.address)
        push_model(card, "me/encoder", token="secret")
        assert served.files("me/encoder") == bytes_of(card)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
        found = load_encoder("me/encoder", cache_dir=tmp_path / "cache")
        assert found.space.n_voxels == 7
        (card / CONFIG).unlink()
        with pytest.raises(FileNotFoundError, match=CONFIG):
            push_model(card, "me/encoder", token="secret")


BAD = {
    "no layers": (changed(layers=[]), "layers"),
    "another layer": (changed(layers=["z"]), "other names"),
    "no pool": (changed(pool=None), "pool"),
    "no settings": (changed(settings=None), "settings"),
    "code as a network": (changed(settings={"name": "/tmp/evil.py:N", "options": {}, "grid": [8, 8], "resize": "mean"}),
                          "does not rebuild"),
    "an option that is a file": (changed(settings={"name": "toy", "options": {"weights": "/etc/passwd"}, "grid": [8, 8],
                                                   "resize": "mean"}), "/etc/passwd"),
    "a huge grid": (changed(settings={"name": "toy", "options": {}, "grid": [10**9, 8], "resize": "mean"}), "grid"),
    "another preprocessing": (changed(preprocessing={"size": [4]}), "preprocessing"),
    "a preprocessing of texts": (changed(preprocessing={"mean": ["a", "b", "c"]}), "preprocessing"),
    "other weights": (rewritten(x=torch.ones(2)), "space"),
    "no name": (changed(settings={"options": {}, "grid": [8, 8], "resize": "mean"}), "name"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_strangers_linear_encoder_ends_in_one_line(name, encoded, blurred, tmp_path):
    card = export_model(encoded, tmp_path / "card", method="ridge")
    change, message = BAD[name]
    change(card)
    with pytest.raises(ValueError, match=message) as said:
        load_encoder(card)
    assert "\n" not in str(said.value)


def test_what_is_no_run_and_what_is_no_license(mapped, encoded, tmp_path):
    with pytest.raises(FileNotFoundError, match="no finished fit"):
        export_model(tmp_path, tmp_path / "card")
    with pytest.raises(FileExistsError, match="folder of the run"):
        export_model(mapped[0], mapped[0])
    with pytest.raises(FileExistsError):
        export_model(mapped[0], encoded)
    with pytest.raises(ValueError, match="Did you mean 'mit'"):
        export_model(mapped[0], tmp_path / "card", license="MIT ")
    with pytest.raises(ValueError, match="--method"):
        export_model(mapped[0], tmp_path / "card", method="ridge")
    with pytest.raises(ValueError, match="banded"):
        export_model(encoded, tmp_path / "card", method="banded")
    assert not (tmp_path / "card").exists()

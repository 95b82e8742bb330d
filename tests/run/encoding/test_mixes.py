"""Mixes with trained maps: their weights by hand, what they are worth on planted data, what is refused."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch

from brainnet._files import slug
from brainnet.backbone import BACKBONES
from brainnet.encode import ALL_LAYERS, Encoding, Fit, FitKey
from brainnet.encode.stacking import mix_of
from brainnet.run.encoding.mixes import LEARNED, TrainedMap, add_mixes, check_mixes, parted
from brainnet.run.fitting.training import fit
from brainnet.scores import pearson_r
from tests.run.encodings import Blur, pick, run_grid, save_subject, settings
from tests.toys import toy_dataset

MIX = "stacked:ridge+FactorTopy"


@pytest.fixture(autouse=True)
def toys():
    with BACKBONES.temporarily("toy", Blur):
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_subject(tmp_path_factory.mktemp("subjects") / "subj01", 1)


@pytest.fixture(scope="module")
def trained(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("fit") / "map"
    more = ["MODEL.BOTTLENECK_DIM", "4", "MODEL.WINDOW", "gaussian", "MODEL.START", "ridge", "MODEL.HEAD", "sum",
            "TOKENS.STANDARDIZE", "True", "RESPONSES.STANDARDIZE", "True", "TRAINER.MAX_EPOCHS", "1"]  # fmt: skip
    with BACKBONES.temporarily("toy", Blur):
        for fit_on in ("train", "train+val"):
            fit(settings(folder, *more, "TRAINER.FIT_ON", fit_on), out / fit_on, progress=False)
    return out


def made(noise, seed=0):
    """A subject, and predictions of two methods and a map: the truth, each with noise of its own."""
    data = toy_dataset()
    encoding, apart = Encoding({"ours": data}, n_resamples=5), Encoding({"ours": data}, n_resamples=1)
    generator = torch.Generator().manual_seed(seed)
    predicted = {
        name: {
            split: data.responses[rows] + sd * torch.randn(len(rows), data.n_voxels, generator=generator)
            for split, rows in data.splits.items()
            if split != "train"
        }
        for name, sd in noise.items()
    }
    nothing = torch.full((data.n_voxels,), torch.nan)
    keys = {name: FitKey("toy", "ours", name, ALL_LAYERS) for name in noise}
    for name, splits in predicted.items():
        encoding.add(keys[name], Fit({"test": splits["test"]}, nothing))
        if name != LEARNED:
            apart.add(keys[name], Fit(splits, nothing))
    one = TrainedMap(keys[LEARNED], predicted[LEARNED]["val"])
    return data, encoding, apart, one, predicted


def test_weights_come_from_the_validation_images_and_mix_the_predictions_of_the_table():
    data, encoding, apart, one, predicted = made({"banded": 0.6, LEARNED: 0.4})
    add_mixes(encoding, {"stacked:banded+FactorTopy": ["banded"]}, [one], lambda names: apart)
    found = encoding.fits[FitKey("toy", "ours", "stacked:banded+FactorTopy", ALL_LAYERS)]
    assert found.details["members"].tolist() == ["banded", LEARNED]
    assert set(found.predictions) == {"test"}
    left_out = torch.stack([predicted[name]["val"] for name in ("banded", LEARNED)])
    expected = mix_of(left_out.double(), data.responses[data.splits["val"]].double())
    np.testing.assert_allclose(found.details["weights"], expected.weights, rtol=0, atol=1e-12)
    assert expected.weights[1].mean() > 0.5  # the map is the better one
    weights = torch.from_numpy(found.details["weights"])
    by_hand = weights[0] * predicted["banded"]["test"] + weights[1] * predicted[LEARNED]["test"]
    torch.testing.assert_close(found.predictions["test"], by_hand.float(), rtol=0, atol=1e-5)
    test = data.responses[data.splits["test"]]
    r = {name: pearson_r(splits["test"], test).mean() for name, splits in predicted.items()}
    assert pearson_r(found.predictions["test"], test).mean() > max(r.values())  # their noise is independent


def test_a_map_that_predicts_nothing_gets_no_weight():
    _, encoding, apart, one, _ = made({"banded": 0.3, LEARNED: 30.0})
    add_mixes(encoding, {"stacked:banded+FactorTopy": ["banded"]}, [one], lambda names: apart)
    weights = encoding.fits[FitKey("toy", "ours", "stacked:banded+FactorTopy", ALL_LAYERS)].details["weights"]
    assert weights[1].max() < 0.1


def test_a_mix_with_a_run_is_a_row_of_its_own(folder, trained, tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        encoding = run_grid(folder, tmp_path, methods=[MIX], runs=[trained / "train"])
    key = FitKey("toy", "subj01", MIX, ALL_LAYERS)
    assert encoding.fits[key].details["members"].tolist() == ["ridge, a", "ridge, b", LEARNED]
    weights = encoding.fits[key].details["weights"]
    np.testing.assert_allclose(weights.sum(0), 1, atol=1e-9)
    assert pick(encoding.table, method="ridge", layer="best")["n_voxels"] == 6  # its members are rows too
    assert pick(encoding.table, method=MIX)["mean"] > 0.3
    assert f"{MIX} of subj01" in caplog.text
    with np.load(tmp_path / "voxels" / f"{slug(*key)}.npz") as kept:
        assert kept["members"].tolist() == ["ridge, a", "ridge, b", LEARNED]
    again = run_grid(folder, tmp_path, methods=[MIX], runs=[trained / "train"])
    assert again.table.equals(encoding.table)


def test_a_map_without_left_out_images_is_refused_before_any_fit(folder, trained, tmp_path):
    with pytest.raises(ValueError, match=r"train\+val") as refused:
        run_grid(folder, tmp_path, methods=[MIX], runs=[trained / "train+val"])
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "jobs").exists()


def test_a_subject_without_validation_images_is_refused():
    _, encoding, apart, one, _ = made({"banded": 0.3, LEARNED: 1.0})
    with pytest.raises(ValueError, match="0 validation images"):
        add_mixes(encoding, {"stacked:banded+FactorTopy": ["banded"]}, [one._replace(left_out=one.left_out[:0])],
                  lambda names: apart)  # fmt: skip


def test_mixes_without_runs_or_without_other_methods_are_refused(folder, tmp_path):
    assert parted(["window", MIX, "stacked:window+banded"]) == (
        ["window", "stacked:window+banded", "ridge"], {MIX: ["ridge"]}
    )  # fmt: skip
    with pytest.raises(ValueError, match="--run"):
        run_grid(folder, tmp_path / "out", methods=[MIX])
    with pytest.raises(ValueError, match="no method beside"):
        check_mixes({"stacked:FactorTopy+FactorTopy": []}, ["run"])
    assert not (tmp_path / "out").exists()

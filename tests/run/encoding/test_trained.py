"""Trained maps in the table of an encoding: on their own data and split, with their own tokens."""

from __future__ import annotations

import shutil

import pytest
import torch

from brainnet._files import read_json, write_json
from brainnet.encode import ALL_LAYERS, Encoding, FitKey
from brainnet.run.encoding.trained import LEARNED, add_run, subject_of
from brainnet.run.fitting.prediction import load_model
from brainnet.run.record.card import data_card
from brainnet.store import TokenStore
from tests.toys import ToyBackbone, toy_dataset


@pytest.fixture
def cards(finished):
    return {"someone": data_card("toy", toy_dataset(seed=9)), "ours": data_card("toy", toy_dataset())}


@pytest.fixture
def copy(finished, tmp_path):
    """A copy of the run whose card may be changed."""
    shutil.copytree(finished[0], tmp_path / "copy")

    def changed(**fields):
        card = read_json(tmp_path / "copy" / "run.json")
        write_json(tmp_path / "copy" / "run.json", {**card, **fields})
        return tmp_path / "copy"

    return changed


def test_a_run_belongs_to_the_subject_whose_data_and_split_it_had(finished, cards):
    assert subject_of(finished[0], cards) == "ours"
    assert subject_of(finished[0], dict(reversed(cards.items()))) == "ours"


def test_other_data_another_split_and_no_run_are_told_apart(finished, cards, copy, tmp_path):
    with pytest.raises(ValueError, match="other data") as refused:
        subject_of(finished[0], {"someone": cards["someone"]})
    assert "someone (60 images, 7 voxels)" in str(refused.value)
    splits = {**cards["ours"]["splits"], "test": {"sha256": "another"}}
    with pytest.raises(ValueError, match=r"of ours but on another split \(test\)"):
        subject_of(copy(splits=splits), cards)
    with pytest.raises(ValueError, match=r"run\.json"):
        subject_of(copy(splits=None), cards)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        subject_of(tmp_path / "nowhere", cards)


def test_the_rows_of_a_run_are_its_own_predictions(finished, toys):
    out, _ = finished
    encoding = Encoding({"ours": toy_dataset()}, n_resamples=20)
    described, trained = add_run(encoding, out, "ours", {})
    key = FitKey("toy", "ours", LEARNED, ALL_LAYERS)
    fit = encoding.fits[key]
    assert set(fit.predictions) == {"test"}  # neither of the splits it was fitted on
    assert trained.key == key
    assert trained.left_out.shape == (len(toy_dataset().splits["val"]), 7)
    table = read_table(out)
    r = encoding.table.query("score == 'r' and roi == 'all' and method == @LEARNED")["mean"].item()
    assert r == pytest.approx(table["r"].mean(), abs=1e-4)  # the run read its tokens in float16
    assert described["fitted_on"] == "train"
    assert described["backbone"]["weights"] == "gain 1.0"
    again = [add_run(encoding, out, "ours", {})[0]["method"] for _ in range(2)]
    assert again == [f"{LEARNED} run", f"{LEARNED} {out.resolve()}"]  # one table holds a folder of the same name too


def read_table(out):
    import pandas as pd

    return pd.read_csv(out / "scores.csv")


def test_a_voxel_that_trained_on_nothing_has_no_prediction(mapped):
    out, _, data, _, _ = mapped
    encoding = Encoding({"ours": data}, n_resamples=20)
    add_run(encoding, out, "ours", {})
    (fit,) = encoding.fits.values()
    assert fit.predictions["test"].isnan().all(0).nonzero().flatten().tolist() == [4]


@pytest.mark.parametrize(("gain", "asked"), [(1.0, 0), (2.0, 1)])
def test_tokens_at_hand_are_read_where_they_are_those_of_the_run(finished, toys, gain, asked):
    """Tokens of other weights are not; the network is asked instead."""
    out, _ = finished
    data, model = toy_dataset(), load_model(out)
    grid, resize = model.cfg.MODEL.GRID, model.cfg.MODEL.RESIZE
    store = TokenStore.build(ToyBackbone(gain=gain), data, grid=tuple(grid), resize=resize, dtype=torch.float32,
                             preprocessing=model.preprocessing, progress=False)  # fmt: skip
    encoding = Encoding({"ours": data}, n_resamples=20)
    described, _ = add_run(encoding, out, "ours", {"network": {"ours": store}})
    assert described["model"] == ("toy" if asked else "network")
    (fit,) = encoding.fits.values()
    encoding = Encoding({"ours": data}, n_resamples=20)
    add_run(encoding, out, "ours", {})
    (bare,) = encoding.fits.values()
    torch.testing.assert_close(fit.predictions["test"], bare.predictions["test"], rtol=1e-4, atol=1e-4)

"""Cowley et al.'s recordings, the real ones where they are there: known shapes, and what the array reader reads."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from brainnet.config import load_config
from brainnet.dataset import DATASETS, ArrayDataset
from brainnet.dataset.readers.cowley_v4 import CowleyV4
from brainnet.plmodel import build_dataset
from tests.dataset.readers.things_eeg_folder import write_pictures


def write_session(root, session="210325", n_images=15, n_units=4, repeats=True, seed=0):
    """A small session, its pictures in a folder; the last repeat of the first picture is missing."""
    generator = np.random.default_rng(seed)
    write_pictures(root / f"images_{session}", [f"image{n + 1:04d}.jpg" for n in range(n_images)], seed=seed)
    raw = generator.normal(size=(n_units, n_images, 1)) + generator.normal(size=(n_units, n_images, 5))
    raw[:, 0, 4] = np.nan
    np.save(root / f"avg_{session}.npy", np.nanmean(raw, 2))
    if repeats:
        np.save(root / f"raw_{session}.npy", raw)
    return raw


@pytest.mark.parametrize(("session", "n_images", "n_units"), [("201025", 1200, 89), ("210325", 640, 50)])
def test_real_sessions_are_those_of_the_array_reader_under_names_of_their_own(test_data, session, n_images, n_units):
    folder = test_data / "cowley_v4"
    data, plain = CowleyV4(folder, session), ArrayDataset.from_folder(folder, session)
    assert (len(data), data.n_voxels) == (n_images, n_units)
    assert torch.equal(data.responses, plain.responses)
    assert all(torch.equal(rows, plain.splits[split]) for split, rows in data.splits.items())
    assert data.noise_ceiling_definition == plain.noise_ceiling_definition
    if session == "210325":
        assert torch.equal(data.noise_ceiling, plain.noise_ceiling)
        raw = np.load(folder / "raw_210325.npy")[..., :6]  # every photograph has six repeats
        odd, even = np.nanmean(raw[..., ::2], 2), np.nanmean(raw[..., 1::2], 2)
        r = [np.corrcoef(a, b)[0, 1] for a, b in zip(odd, even, strict=True)]
        assert np.median(r) == pytest.approx(0.573, abs=5e-4)
    assert data.image_ids[:2] == [f"{session}-image0001", f"{session}-image0002"]
    assert data.space.sensors[3] == f"{session}-3"
    assert data.load_image(n_images - 1).size == (112, 112)
    assert len(set(data.image_ids) & set(CowleyV4(folder, {"201025": "210325"}.get(session, "201025")).image_ids)) == 0


def test_the_session_is_chosen_where_none_is_named(test_data, tmp_path):
    assert CowleyV4(test_data / "cowley_v4").session == "201025"
    write_session(tmp_path)
    assert CowleyV4(tmp_path).session == "210325"
    with pytest.raises(ValueError, match="'7'.*210325"):
        CowleyV4(tmp_path, 7)
    with pytest.raises(FileNotFoundError, match="avg_<session>"):
        CowleyV4(tmp_path / "none")


def test_single_repeats_are_those_of_the_means(tmp_path):
    raw = write_session(tmp_path)
    avg = np.load(tmp_path / "avg_210325.npy")
    wrong = {"raw": [raw[..., :-1], raw[::-1], raw[:, ::-1], np.where(raw > 0, np.nan, raw)], "avg": [avg + 0.01]}
    for name, changed in ((name, one) for name, each in wrong.items() for one in each):
        write_session(tmp_path)
        np.save(tmp_path / f"{name}_210325.npy", changed)
        with pytest.raises(ValueError, match=r"means of .*raw_210325.npy .*differ from .*avg_210325.npy in \d+ of 60 "):
            CowleyV4(tmp_path)
    (tmp_path / "raw_210325.npy").unlink()
    assert CowleyV4(tmp_path).noise_ceiling is None
    np.save(tmp_path / "avg_210325.npy", avg.astype(np.int16))
    with pytest.raises(ValueError, match="avg_210325.npy holds int16; means over repeats are real numbers"):
        CowleyV4(tmp_path)


def test_it_is_built_from_a_config(tmp_path):
    raw = write_session(tmp_path)
    words = ["DATASET.NAME", "cowley_v4", "DATASET.DATA_DIR", str(tmp_path), "DATASET.OPTIONS", "{'session': 210325}"]
    data = build_dataset(load_config("v4_squeezenet", words))
    assert type(data) is DATASETS["cowley_v4"] is CowleyV4
    np.testing.assert_allclose(data.responses, np.nanmean(raw, 2).T, atol=1e-6)
    assert data.noise_ceiling.isfinite().all()

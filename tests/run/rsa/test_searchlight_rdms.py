"""Published RDMs of searchlights, in both orders of axes, to a test over subjects."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr

from brainnet.rsa import RDMs, noise_ceiling
from brainnet.run.rsa.searchlight_rdms import read_published, search_rdms
from tests.tables import unlisted_columns


@pytest.fixture
def published(tmp_path, rng):
    """Seven people at twelve centres, the first four of which follow one model; centre 9 is lost in a person."""
    models = torch.rand(2, 28, generator=rng)
    values = torch.rand(7, 12, 28, generator=rng)
    values[:, :4] += 2 * models[0]
    values[3, 9] = torch.nan
    square = RDMs(values.flatten(0, 1)).to_square().unflatten(0, (7, 12)).numpy()
    np.save(tmp_path / "all_sub_slrdms.npy", square)  # as dnn2brain has it
    np.savez(tmp_path / "searchlight.npz", arr_0=square.swapaxes(0, 1))  # as Net2Brain
    RDMs(models, names=("edge2d", "class")).save(tmp_path / "net.npz")
    return tmp_path, values, models


@pytest.mark.parametrize("name", ["all_sub_slrdms.npy", "searchlight.npz"])
def test_scores_over_people_at_each_centre(published, name):
    folder, values, models = published
    found = search_rdms(folder / name, [folder / "net.npz"], folder / "out", n_permutations=100, progress=False)
    table = pd.read_csv(folder / "out/centres.csv")
    kept = [centre for centre in range(12) if centre != 9]
    assert table["centre"].tolist() == kept
    for row, centre in enumerate(kept):
        for number, model in enumerate(("net edge2d", "net class")):
            scores = [spearmanr(models[number], values[s, centre]).statistic for s in range(7)]
            assert table[model][row] == pytest.approx(np.mean(scores), abs=1e-5)
        expected = noise_ceiling(RDMs(values[:, centre]))
        assert (table["low"][row], table["high"][row]) == pytest.approx(expected, abs=1e-5)
    assert (table["p_corrected net edge2d"][:4] < 0.05).all()
    assert table["best_model"][:4].tolist() == ["net edge2d"] * 4
    assert found.score.shape == (2, 11)
    card = json.loads((folder / "out/run.json").read_text())
    assert (card["rdms"]["n_subjects"], card["rdms"]["n_centres"]) == (7, 12)
    assert (folder / "out/maps.npz").is_file()
    assert unlisted_columns(folder / "out") == {}


def test_axes_of_the_same_length_are_asked_for(tmp_path):
    np.save(tmp_path / "even.npy", np.zeros((3, 3, 8, 8)))
    with pytest.raises(ValueError, match="'subjects,centres'"):
        read_published(tmp_path / "even.npy")
    assert read_published(tmp_path / "even.npy", axes="centres,subjects").subject_axis == 1
    with pytest.raises(ValueError, match="'centre,subjects'"):
        read_published(tmp_path / "even.npy", axes="centre,subjects")


@pytest.mark.parametrize("kind", ["missing", "truncated", "another shape"])
def test_a_wrong_file_is_one_line(published, kind):
    folder = published[0]
    path = folder / "all_sub_slrdms.npy"
    if kind == "missing":
        path.unlink()
    elif kind == "truncated":
        path.write_bytes(path.read_bytes()[:500])
    else:
        np.save(path, np.zeros((5, 6)))
    with pytest.raises((ValueError, FileNotFoundError), match=r"all_sub_slrdms\.npy") as refused:
        search_rdms(path, [folder / "net.npz"], folder / "out", progress=False)
    assert "\n" not in str(refused.value)
    assert not (folder / "out").exists()

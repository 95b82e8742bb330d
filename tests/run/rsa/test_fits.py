"""Models fitted to brain RDMs, from files to files."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from brainnet.rsa import RDMs, rdm_regression, regression_over_time, weighted_rsa
from brainnet.rsa.inference.significance import holm
from brainnet.run.rsa.fits import fit_rdms, partition_rdms


def test_mixtures_are_those_of_weighted_rsa(files, invoke):
    out = files / "mixed"
    words = ("--weights", "ridge", "--method", "pearson", "--folds", 2, "--permutations", 30, "--seed", 3)
    invoke("rsa", "fit", files / "brain_V1.npz", files / "brain_IT.npz", *words, "-m", files / "net.npz", "-m",
           files / "random", "--out", out)  # fmt: skip
    scores = pd.read_csv(out / "scores.csv").set_index(["roi", "model"])
    found = scores.loc["brain_IT", "net"]
    expected = weighted_rsa(
        RDMs.load(files / "net.npz"), RDMs.load(files / "brain_IT.npz"), weights="ridge", n_folds=2, n_permutations=30,
        generator=torch.Generator().manual_seed(3), progress=False,
    )  # fmt: skip
    assert found["score"] == pytest.approx(expected.mean)
    assert found["p"] == pytest.approx(expected.p)
    np.testing.assert_allclose(scores["p_corrected"], holm(scores["p"].to_numpy()))
    weights = pd.read_csv(out / "weights.csv")
    np.testing.assert_allclose(
        weights[(weights["roi"] == "brain_IT") & (weights["model"] == "net")]["weight"], expected.weights
    )
    assert {path.name for path in out.glob("*.png")} == {"bars.png", "weights_net.png"}  # a single RDM has no mixture
    assert json.loads((out / "run.json").read_text())["settings"]["weights"] == "ridge"


def test_bars_of_mixtures_have_their_standard_errors(files, monkeypatch):
    from brainnet import plot

    drawn, draw = [], plot.rsa_bars
    monkeypatch.setattr(plot, "rsa_bars", lambda table, **words: drawn.append(table) or draw(table, **words))
    scores = fit_rdms([files / "brain_V1.npz"], files / "o", models=[files / "net.npz"], n_folds=2, n_permutations=9,
                      progress=False)["scores"].iloc[0]  # fmt: skip
    weighted, plain = (drawn[0].set_index("layer").loc[layer] for layer in ("weighted", "plain mean"))
    assert weighted["high"] - weighted["score"] == pytest.approx(scores["sem"])
    assert plain["score"] == scores["unweighted"]
    assert plain["score"] - plain["low"] == pytest.approx(scores["unweighted_sem"])
    brain, net = RDMs.load(files / "brain_V1.npz"), RDMs.load(files / "net.npz")
    found = weighted_rsa(net, brain, weights="nonnegative", method="pearson", n_folds=2, progress=False,
                         generator=torch.Generator().manual_seed(0))  # fmt: skip
    assert scores["unweighted_sem"] == pytest.approx(float(found.unweighted.std()) / len(brain) ** 0.5, rel=1e-5)


def test_a_single_subject_is_fitted_on_its_own_conditions(files):
    RDMs.load(files / "brain_V1.npz")[0].save(files / "one.npz")
    tables = fit_rdms([files / "one.npz"], files / "o", models=[files / "net.npz"], n_folds=2, n_permutations=9,
                      progress=False)  # fmt: skip
    assert tables["scores"]["ceiling_high"].isna().all()
    assert tables["scores"]["score"].item() > 0.2


def test_parts_are_those_of_rdm_regression(files, invoke):
    out = files / "parts"
    RDMs.load(files / "net.npz")["low"].save(files / "low.npz")
    words = ("--folds", 2, "--permutations", 19, "-m", files / "low.npz", "-m", files / "random")
    invoke("rsa", "partition", files / "brain_V1.npz", files / "brain_IT.npz", *words, "--out", out)
    sets = {"low": RDMs.load(files / "low.npz"), "random": RDMs.load(files / "random" / "rdms.npz")}
    expected = rdm_regression(
        sets, RDMs.load(files / "brain_IT.npz"), ranked=True, n_folds=2, n_permutations=19,
        generator=torch.Generator().manual_seed(0), progress=False,
    ).table()  # fmt: skip
    found = pd.read_csv(out / "parts.csv")
    found = found[found["roi"] == "brain_IT"]
    assert found["part"].tolist() == expected["part"].tolist()
    np.testing.assert_allclose(found[["r2", "p"]], expected[["r2", "p"]])
    assert (out / "parts.png").is_file()


def test_what_cannot_be_fitted_is_one_clear_line(files):
    brain, net, out = files / "brain_V1.npz", files / "net.npz", files / "o"
    for call, message in [
        (lambda: partition_rdms([], out, models=[net]), "at least one file of brain RDMs"),
        (lambda: partition_rdms([brain], out, models=[net], method="cka"), "takes method 'spearman'"),
        (lambda: fit_rdms([brain], out, models=[net], n_folds=4), "each fold needs"),
        (lambda: fit_rdms([brain], out, models=[net], weights="lasso"), "weights must be one of"),
        (lambda: fit_rdms([brain], out, models=[net], n_permutations=-5), "n_permutations must be 0 or more, got -5"),
        (lambda: partition_rdms([brain], out, models=[net], n_permutations=-5), "n_permutations must be 0 or more"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()
        assert not out.exists(), message


def test_stars_of_a_partition_follow_p_corrected_over_rois(files, monkeypatch):
    from brainnet import plot

    drawn, draw = [], plot.rsa_parts
    monkeypatch.setattr(plot, "rsa_parts", lambda table, **words: drawn.append(table) or draw(table, **words))
    RDMs.load(files / "net.npz")["low"].save(files / "low.npz")
    regions = [files / "brain_V1.npz", files / "brain_IT.npz"]
    parts = partition_rdms(regions, files / "o", models=[files / "low.npz", files / "random"], n_folds=2,
                           n_permutations=19, progress=False)["parts"]  # fmt: skip
    np.testing.assert_allclose(parts["p_corrected"], holm(parts["p"].to_numpy()))
    np.testing.assert_array_equal(drawn[0]["p"], parts["p_corrected"])
    assert (parts["p_corrected"].dropna() > parts["p"].dropna()).any()
    assert (parts.loc[parts["r2"] <= 0, "p"].dropna() == 1).all()


def test_a_partition_over_time_is_that_of_each_time(files, invoke):
    course = [RDMs.load(files / "brain_V1.npz"), RDMs.load(files / "brain_IT.npz"), RDMs.load(files / "brain_V1.npz")]
    values = np.stack([rdms.values.numpy() for rdms in course], axis=1)  # (n_subjects, n_times, n_pairs)
    np.save(files / "meg.npy", values)
    invoke("rsa", "partition", files / "meg.npy", "--time", "--span", 0, 0.4, "-m", files / "random", "-m",
           files / "net.npz", "--folds", 2, "--permutations", 19, "--seed", 5, "--out", files / "p")  # fmt: skip
    parts = pd.read_csv(files / "p" / "parts.csv")
    assert list(parts["time"].unique()) == [0.0, 0.2, 0.4]
    sets = {"random": RDMs.load(files / "random" / "rdms.npz"), "net": RDMs.load(files / "net.npz")}
    expected = regression_over_time(
        sets, course, [0.0, 0.2, 0.4], ranked=True, n_folds=2, n_permutations=19, seed=5, progress=False
    )
    for column in ("r2", "p", "p_corrected"):
        np.testing.assert_allclose(parts[column], expected[column], rtol=1e-5)
    assert (files / "p" / "time.png").is_file()
    assert json.loads((files / "p" / "run.json").read_text())["settings"]["times"] == [0.0, 0.2, 0.4]


def test_a_span_without_time_is_refused(files, invoke):
    with pytest.raises(AssertionError, match="--time"):
        invoke("rsa", "partition", files / "brain_V1.npz", "--span", 0, 1, "-m", files / "net.npz")

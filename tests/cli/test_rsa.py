"""Commands about geometry: each has its own options; the older forms still work, and one line says the newer."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from brainnet.cli.app import app
from brainnet.rsa import RDMs


@pytest.fixture
def files(tmp_path, rng):
    """A region of six subjects, a model of two layers, and M/EEG of six subjects at three times."""
    base = torch.rand(2, 66, generator=rng, dtype=torch.float64)
    RDMs(base[0] + 0.5 * torch.rand(6, 66, generator=rng)).save(tmp_path / "brain.npz")
    RDMs(base, names=("low", "high")).save(tmp_path / "net.npz")
    np.save(tmp_path / "meg.npy", (base[0] + torch.rand(6, 3, 66, generator=rng)).numpy())
    return tmp_path


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        (("brain.npz", "--generalise", "subjects"), ("compare", "brain.npz", "--generalise", "subjects")),
        (("--time", "meg.npy", "--span", "0", "1"), ("time", "meg.npy", "--span", "0", "1")),
        (("brain.npz", "--fit", "ridge", "--folds", "2", "--permutations", "9"),
         ("fit", "brain.npz", "--weights", "ridge", "--folds", "2", "--permutations", "9")),
        (("brain.npz", "--fit=ols", "--folds", "2", "--permutations", "9"),
         ("fit", "brain.npz", "--weights", "ols", "--folds", "2", "--permutations", "9")),
        (("brain.npz", "--partition", "--folds", "2", "--permutations", "9"),
         ("partition", "brain.npz", "--folds", "2", "--permutations", "9")),
    ],
    ids=["compare", "time", "fit", "fit=", "partition"],
)  # fmt: skip
def test_the_older_form_gives_the_same_tables_and_says_the_newer(files, monkeypatch, older, newer):
    monkeypatch.chdir(files)
    for words, out in ((older, "a"), (newer, "b")):
        found = run("rsa", *words, "-m", "net.npz", "-o", out, "-q")
        assert found.exit_code == 0, found.output
        said = found.stderr.splitlines()
        assert len(said) == (words is older)
    assert f"brainnet rsa {newer[0]}" in run("rsa", *older, "-m", "net.npz", "-o", "a", "-q").stderr
    tables = sorted(path.name for path in (files / "a").glob("*.csv"))
    assert tables == sorted(path.name for path in (files / "b").glob("*.csv"))
    for name in tables:
        pd.testing.assert_frame_equal(pd.read_csv(files / "a" / name), pd.read_csv(files / "b" / name))


def test_options_of_another_analysis_are_refused(files):
    brain, net = files / "brain.npz", files / "net.npz"
    for words, option in [
        (("compare", "--fusion"), "--fusion"),
        (("compare", "--span", 0, 1), "--span"),
        (("time", "--pooling", "mean"), "--pooling"),
        (("fit", "--correction", "fdr"), "--correction"),
        (("partition", "--squared"), "--squared"),
        (("--partition", "--span", 0, 1), "--span"),
    ]:
        found = run("rsa", *words, brain, "-m", net, "-o", files / "o")
        assert found.exit_code == 2
        assert option in found.output
    for words, option in [(("run", "--contrast", "a", "b"), "--contrast"), (("group", "--vertices", 5), "--vertices")]:
        found = run("searchlight", *words, brain)
        assert found.exit_code == 2
        assert option in found.output
    found = run("rsa", brain, "--time", "--fit", "ols", "-m", net, "-o", files / "o")
    assert isinstance(found.exception, ValueError)
    assert "different analyses" in str(found.exception)
    assert not (files / "o").exists()


@pytest.mark.parametrize("command", [("compare",), ("fit",), ("partition",)])
def test_a_negative_number_of_permutations_is_one_clear_line(files, command):
    found = run("rsa", *command, files / "brain.npz", "-m", files / "net.npz", "--permutations", -5)
    assert (found.exit_code, type(found.exception)) == (2, SystemExit)
    assert not (files / "rsa").exists()


def test_regions_that_are_pooled_are_subjects_not_layers(files):
    found = run("rsa", "time", files / "meg.npy", "--fusion", "-m", files / "brain.npz", "-o", files / "o")
    assert "model brain: 6 subjects (0, 1, 2, 3, ...)" in found.output
    assert "layer" not in found.output.splitlines()[1]


def test_one_ceiling_in_every_table(files):
    for number, words in enumerate([(), ("--squared",), ("--pooling", "mean"), ("--squared", "--pooling", "mean")]):
        out = files / f"out{number}"
        assert run("rsa", "compare", files / "brain.npz", "-m", files / "net.npz", *words, "-o", out).exit_code == 0
        ceilings, scores = (pd.read_csv(out / f"{name}.csv").set_index("roi") for name in ("ceilings", "scores"))
        alone = files / f"alone{number}"
        assert run("rsa", "compare", files / "brain.npz", *words, "-o", alone).exit_code == 0
        pd.testing.assert_frame_equal(ceilings.reset_index(), pd.read_csv(alone / "ceilings.csv"))
        for ours, theirs in (("ceiling", "ceiling"), ("ceiling_low", "low"), ("ceiling_high", "high")):
            assert (scores[ours] == ceilings[theirs]["brain"]).all()
        np.testing.assert_allclose(scores["ceiling_share"], scores["score"] / scores["ceiling"])


def test_undefined_conditions_are_left_out_on_request(files):
    brain = RDMs.load(files / "brain.npz").to_square()
    brain[1, 4], brain[1, :, 4] = torch.nan, torch.nan
    RDMs.from_square(brain).save(files / "holed.npz")
    words = ("rsa", "compare", files / "holed.npz", "-m", files / "net.npz", "-o", files / "o")
    assert "--nan omit" in str(run(*words).exception)
    assert run(*words, "--nan", "omit").exit_code == 0
    assert pd.read_csv(files / "o" / "ceilings.csv")["n_conditions"].tolist() == [11]


def test_messages_speak_of_options(files):
    np.savez(files / "two.npz", a=np.random.default_rng(0).random((2, 66)), b=np.random.default_rng(1).random((2, 66)))
    assert "pass --key, one of a, b" in str(run("rsa", "compare", files / "two.npz", "-o", files / "o").exception)
    words = ("rsa", "partition", files / "brain.npz", "-m", files / "net.npz", "--folds", 9, "-o", files / "o")
    assert "use --folds <= 3" in str(run(*words).exception)


def test_a_comparison_of_ones_own_is_named_by_its_file(files):
    (files / "mine.py").write_text("""
def mean_agreement(a, b):
    a, b = ((x - x.mean(1, keepdim=True)).sign() for x in (a, b))
    return a @ b.T / a.shape[1]
""")
    words = ("-m", files / "net.npz", "--generalise", "subjects", "--method", f"{files}/mine.py:mean_agreement")
    found = run("rsa", "compare", files / "brain.npz", *words, "-o", files / "o", "-q")
    assert found.exit_code == 0, repr(found.exception)
    brain, net = (RDMs.load(files / f"{name}.npz").values for name in ("brain", "net"))
    signs = [(x - x.mean(1, keepdim=True)).sign() for x in (net, brain)]
    expected = (signs[0] @ signs[1].T / 66).mean(1)
    np.testing.assert_allclose(pd.read_csv(files / "o" / "scores.csv")["score"], expected)


def test_the_choices_of_pictures_reach_an_rdm_and_are_refused_for_features(tmp_path, monkeypatch):
    for name in ("1.png", "2.png", "10.png"):
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    given = {}

    def fake(source, out, **how):
        given.update(how, ids=source.ids)
        return RDMs(torch.zeros(1, 3), "euclidean", names=("1",))

    monkeypatch.setattr("brainnet.run.rsa.rdms.write_rdms", fake)
    words = ["rdm", str(tmp_path), "--rows", "2,0", "--skip-bad"]
    result = CliRunner().invoke(app, [*words, "-b", "expansion:small"])
    assert result.exit_code == 0, result.output
    assert (given["ids"], given["skip_bad"]) == (["10", "1"], True)
    result = CliRunner().invoke(app, words)
    assert "--rows is of stimuli" in str(result.exception)

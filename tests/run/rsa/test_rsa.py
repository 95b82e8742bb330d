"""RSA from files to files: known numbers from one line, and the same results as the functions behind it."""

import json

import numpy as np
import pandas as pd
from PIL import Image

from brainnet.cli.shared import print_table
from brainnet.rsa import RDMs, evaluate, fusion
from brainnet.run.rsa.rsa import compare_rdms


def test_one_line_gives_the_four_algonauts_ceilings(test_data, tmp_path, invoke):
    folder = test_data / "algonauts2019"
    output = invoke(
        "rsa", "compare", folder / "rdms_92", folder / "rdms_78", "--squared", "--pooling", "mean", "--out", tmp_path
    )
    table = pd.read_csv(tmp_path / "ceilings.csv").set_index("roi")["high"].round(4)
    assert table.to_dict() == {
        "rdms_92/fmri_EVC_RDMs": 0.1589, "rdms_92/fmri_IT_RDMs": 0.3075,
        "rdms_78/fmri_EVC_RDMs": 0.0640, "rdms_78/fmri_IT_RDMs": 0.0647,
    }  # fmt: skip
    for value in ("0.1589", "0.3075", "0.0640", "0.0647"):
        assert value in output


def test_scores_are_those_of_evaluate_with_tables_figures_and_card(files, invoke):
    out = files / "results"
    words = ("-m", files / "net.npz", "-m", files / "random", "--generalise", "subjects", "--out", out)
    invoke("rsa", "compare", files / "brain_V1.npz", files / "brain_IT.npz", *words)
    models = {"net": RDMs.load(files / "net.npz"), "random": RDMs.load(files / "random" / "rdms.npz")}
    regions = {name: RDMs.load(files / f"{name}.npz") for name in ("brain_V1", "brain_IT")}
    expected = evaluate(models, regions, generalise="subjects", progress=False).table
    found = pd.read_csv(out / "scores.csv")
    assert found["model"].tolist() == expected["model"].tolist()
    np.testing.assert_allclose(found["score"], expected["score"])
    np.testing.assert_allclose(found["p_corrected"], expected["p_corrected"])
    card = json.loads((out / "run.json").read_text())
    assert card["models"]["net"]["n_rdms"] == 2
    assert card["definitions"]["method"] == "spearman"
    assert len(card["data"]["brain_V1"]["sha256"]) == 64
    for name in ("bars.png", "layers.png"):
        assert Image.open(out / name).size[0] > 300
    assert len(pd.read_csv(out / "differences.csv")) == 6


def test_scores_over_time_are_those_of_evaluate(files, course, invoke):
    models, words = {"net": RDMs.load(files / "net.npz")}, ("--generalise", "subjects", "--test", "sign-flip",
                                                            "--correction", "max", "--span", -0.1, 0.4)  # fmt: skip
    times = np.linspace(-0.1, 0.4, 6)
    expected = evaluate(models, {"": course}, generalise="subjects", test="sign-flip", correction="max", times=times,
                        progress=False).table  # fmt: skip
    for source, name in ((files / "meg.npz", "meg"), (files / "subjects", "subjects")):
        out = files / f"out_{name}"
        invoke("rsa", "time", source, "-m", files / "net.npz", *words, "--out", out)
        found = pd.read_csv(out / "scores.csv")
        np.testing.assert_allclose(found[["time", "score", "p_corrected"]], expected[["time", "score", "p_corrected"]])
        assert set(found["roi"]) == {name}
        peaks = pd.read_csv(out / "peaks.csv").set_index("layer")["time"].round(6)
        assert peaks.to_dict() == {"low": 0.0, "high": 0.3}
        card = json.loads((out / "run.json").read_text())
        assert card["data"][name]["n_times"] == 6
        assert card["settings"]["correction"] == "max"
        assert (out / "time.png").is_file()


def test_fusion_pools_the_subjects_of_a_region(files, course, invoke):
    out = files / "fused"
    regions = {name: RDMs.load(files / f"{name}.npz") for name in ("brain_V1", "brain_IT")}
    invoke("rsa", "time", files / "meg.npz", "--fusion", "-m", files / "brain_V1.npz", "-m", files / "brain_IT.npz",
           "--generalise", "subjects", "--out", out)  # fmt: skip
    expected = fusion(regions, course, generalise="subjects", progress=False).table
    np.testing.assert_allclose(pd.read_csv(out / "scores.csv")["score"], expected["score"])
    assert pd.read_csv(out / "peaks.csv").set_index("model")["time"].to_dict() == {"brain_V1": 1, "brain_IT": 4}


def test_a_folder_keeps_nothing_of_an_earlier_comparison(files):
    brain, out = files / "brain_V1.npz", files / "results"
    compare_rdms([brain], out, models=[files / "net.npz"], generalise="subjects")
    assert (out / "layers.png").is_file()
    (out / "mine.png").write_bytes(b"")
    compare_rdms([brain], out, models=[files / "random"], generalise="subjects")
    names = {path.name for path in out.iterdir()}
    assert names == {"mine.png", "bars.png", "bars.svg", "ceilings.csv", "scores.csv", "run.json"}


def test_no_p_is_printed_as_zero_and_no_value_as_nan(capsys):
    table = pd.DataFrame({"score": [0.00001, float("nan")], "p_corrected": [1e-9, 0.0123]})
    print_table(table, "scores")
    assert capsys.readouterr().out.split() == ["scores", "score", "p_corrected", "0.0000", "<0.0001", "0.0123"]


def test_a_single_subject_has_no_ceiling(files):
    RDMs.load(files / "brain_V1.npz")[0].save(files / "one.npz")
    tables = compare_rdms([files / "one.npz"], files / "results")
    assert tables["ceilings"]["high"].isna().all()
    assert json.loads((files / "results" / "run.json").read_text())["ceilings"][0]["high"] is None


def test_what_was_read_as_brain_and_as_model_is_said(files, course, invoke):
    output = invoke("rsa", "compare", files / "brain_V1.npz", "-m", files / "net.npz", "--generalise", "subjects",
                    "--out", files / "results")  # fmt: skip
    assert "brain brain_V1: 4 subjects (0, 1, 2, 3)\n" in output
    assert "model net: 2 layers (low, high)\n" in output
    output = invoke("rsa", "time", files / "meg.npz", "-m", files / "random", "--generalise", "subjects",
                    "--out", files / "results")  # fmt: skip
    assert "brain meg: 5 subjects (0, 1, 2, 3, ...) x 6 times\n" in output
    assert "model random: 1 layer (" in output

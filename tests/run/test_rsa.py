"""RSA from files to files: known numbers from one line, and the same results as the functions behind it."""

import json

import nibabel
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from brainnet.cli import app as cli
from brainnet.cli.shared import print_table
from brainnet.rsa import RDMs, by_time, compare, evaluate, fusion, rdm, rdm_regression, weighted_rsa
from brainnet.rsa.inference.significance import holm
from brainnet.run.rsa import compare_over_time, compare_rdms, fit_rdms, partition_rdms, search, search_group, write_rdms


def invoke(*words):
    result = CliRunner().invoke(cli.app, [str(word) for word in words])
    assert result.exit_code == 0, result.output + repr(result.exception)
    return result.output


@pytest.fixture
def files(tmp_path, rng):
    """Two regions of four subjects, a model with two layers, and one without."""
    base = torch.rand(3, 66, generator=rng, dtype=torch.float64)
    for i, name in enumerate(("V1", "IT")):
        RDMs(base[i] + 0.5 * torch.rand(4, 66, generator=rng)).save(tmp_path / f"brain_{name}.npz")
    RDMs(base[:2], names=("low", "high")).save(tmp_path / "net.npz")
    (tmp_path / "random").mkdir()
    RDMs(base[2:]).save(tmp_path / "random" / "rdms.npz")
    return tmp_path


def test_one_line_gives_the_four_algonauts_ceilings(test_data, tmp_path):
    folder = test_data / "algonauts2019"
    output = invoke("rsa", folder / "rdms_92", folder / "rdms_78", "--squared", "--pooling", "mean", "--out", tmp_path)
    table = pd.read_csv(tmp_path / "ceilings.csv").set_index("region")["upper"].round(4)
    assert table.to_dict() == {
        "rdms_92/fmri_EVC_RDMs": 0.1589, "rdms_92/fmri_IT_RDMs": 0.3075,
        "rdms_78/fmri_EVC_RDMs": 0.0640, "rdms_78/fmri_IT_RDMs": 0.0647,
    }  # fmt: skip
    for value in ("0.1589", "0.3075", "0.0640", "0.0647"):
        assert value in output


def test_scores_are_those_of_evaluate_with_tables_figures_and_card(files):
    out = files / "results"
    invoke("rsa", files / "brain_V1.npz", files / "brain_IT.npz", "-m", files / "net.npz", "-m", files / "random",
           "--generalise", "subjects", "--out", out)  # fmt: skip
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


@pytest.fixture
def course(files, rng):
    """M/EEG of five subjects at six times, in one file and in a folder: layer "low" at time 1, "high" at time 4."""
    layers = RDMs.load(files / "net.npz").values
    values = torch.rand(5, 6, 66, generator=rng, dtype=torch.float64)
    values[:, 1] += 3 * layers[0]
    values[:, 4] += 3 * layers[1]
    np.savez(files / "meg.npz", rdms=values.numpy())
    (files / "subjects").mkdir()
    for i, one in enumerate(values.numpy()):
        np.save(files / "subjects" / f"sub{i}.npy", one)
    return by_time(values)


def test_scores_over_time_are_those_of_evaluate(files, course):
    models, words = {"net": RDMs.load(files / "net.npz")}, ("--generalise", "subjects", "--test", "sign-flip",
                                                            "--correction", "max", "--span", -0.1, 0.4)  # fmt: skip
    times = np.linspace(-0.1, 0.4, 6)
    expected = evaluate(models, {"": course}, generalise="subjects", test="sign-flip", correction="max", times=times,
                        progress=False).table  # fmt: skip
    for source, name in ((files / "meg.npz", "meg"), (files / "subjects", "subjects")):
        out = files / f"out_{name}"
        invoke("rsa", source, "--time", "-m", files / "net.npz", *words, "--out", out)
        found = pd.read_csv(out / "scores.csv")
        np.testing.assert_allclose(found[["time", "score", "p_corrected"]], expected[["time", "score", "p_corrected"]])
        assert set(found["roi"]) == {name}
        peaks = pd.read_csv(out / "peaks.csv").set_index("layer")["time"].round(6)
        assert peaks.to_dict() == {"low": 0.0, "high": 0.3}
        card = json.loads((out / "run.json").read_text())
        assert card["data"][name]["n_times"] == 6
        assert card["settings"]["correction"] == "max"
        assert (out / "time.png").is_file()


def test_fusion_pools_the_subjects_of_a_region(files, course):
    out = files / "fused"
    regions = {name: RDMs.load(files / f"{name}.npz") for name in ("brain_V1", "brain_IT")}
    invoke("rsa", files / "meg.npz", "--time", "--fusion", "-m", files / "brain_V1.npz", "-m", files / "brain_IT.npz",
           "--generalise", "subjects", "--out", out)  # fmt: skip
    expected = fusion(regions, course, generalise="subjects", progress=False).table
    np.testing.assert_allclose(pd.read_csv(out / "scores.csv")["score"], expected["score"])
    assert pd.read_csv(out / "peaks.csv").set_index("model")["time"].to_dict() == {"brain_V1": 1, "brain_IT": 4}


def test_mixtures_are_those_of_weighted_rsa(files):
    out = files / "mixed"
    words = ("--fit", "ridge", "--method", "pearson", "--folds", 2, "--permutations", 30, "--seed", 3)
    invoke("rsa", files / "brain_V1.npz", files / "brain_IT.npz", *words, "-m", files / "net.npz", "-m",
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
    assert tables["scores"]["ceiling_upper"].isna().all()
    assert tables["scores"]["score"].item() > 0.2


def test_parts_are_those_of_rdm_regression(files):
    out = files / "parts"
    RDMs.load(files / "net.npz")["low"].save(files / "low.npz")
    words = ("--partition", "--folds", 2, "--permutations", 19, "-m", files / "low.npz", "-m", files / "random")
    invoke("rsa", files / "brain_V1.npz", files / "brain_IT.npz", *words, "--out", out)
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


def test_kinds_of_analysis_that_do_not_go_together_are_refused(files, course):
    np.save(files / "subjects" / "sub9.npy", np.random.default_rng(0).random((4, 66)))
    brain, net, out = files / "brain_V1.npz", files / "net.npz", files / "o"
    for words, message in [
        (("--time", "--fit", "ols"), "--time and --fit are different analyses"),
        (("--fusion",), "--fusion has no meaning with a plain comparison"),
        (("--span", 0, 1, "--partition"), "--span has no meaning with --partition"),
        (("--fit", "ols", "--correction", "fdr"), "--correction has no meaning with --fit"),
        (("--time", "--pooling", "mean"), "--pooling has no meaning with --time"),
        (("--fit", "lasso"), "weights must be one of"),
        (("--partition", "--method", "cka"), "takes method 'spearman'"),
        (("--time",), "holds 4 RDMs; over time expected are"),
    ]:
        result = CliRunner().invoke(cli.app, [str(w) for w in ("rsa", brain, "-m", net, *words, "--out", out)])
        assert message in str(result.exception), result.output
    for call, message in [
        (lambda: compare_over_time([files / "subjects"], out, models=[net]), "different numbers of time points"),
        (lambda: compare_over_time([files / "meg.npz"], out, models=[]), "at least one file of model RDMs"),
        (lambda: compare_over_time([], out, models=[net]), "brain RDMs over time"),
        (lambda: compare_over_time([files / "meg.npz"] * 2, out, models=[net]), "two inputs are called 'meg'"),
        (lambda: partition_rdms([], out, models=[net]), "at least one file of brain RDMs"),
        (lambda: fit_rdms([brain], out, models=[net], n_folds=4), "each fold needs"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()


def test_rdms_of_features_in_the_order_a_person_counts(tmp_path, rng):
    features = torch.rand(12, 5, generator=rng).numpy()
    np.savez(tmp_path / "layer.npz", **{f"image_{i}": features[i] for i in range(12)})  # by name, 10 comes before 2
    found = write_rdms(tmp_path / "layer.npz", tmp_path / "a", metric="euclidean", progress=False)
    assert found.conditions[2] == "image_2"
    torch.testing.assert_close(found.values, rdm(features, "euclidean").values)
    saved = RDMs.load(tmp_path / "a" / "rdms.npz")
    assert saved.names == ("layer",)
    assert torch.equal(saved.values, found.values)
    table = pd.read_csv(tmp_path / "a" / "rdms.csv")
    row = table[(table["condition_a"] == "image_1") & (table["condition_b"] == "image_3")]
    assert row["layer"].item() == pytest.approx(np.linalg.norm(features[1] - features[3]), rel=1e-5)


def test_rdms_of_a_folder_of_layers(tmp_path, rng):
    for name in ("block2", "block10"):
        np.save(tmp_path / f"{name}.npy", torch.rand(6, 3, 4, generator=rng).numpy())
    out = tmp_path / "out"
    found = write_rdms(tmp_path, out, progress=False)
    assert found.names == ("block2", "block10")
    assert (out / "layers.png").is_file()
    assert write_rdms(tmp_path, out, layers=["block10"], progress=False).names == ("block10",)
    with pytest.raises(ValueError, match="no layer 'block3'; there are block2, block10"):
        write_rdms(tmp_path, out, layers=["block3"])


def test_rdms_of_a_network_that_looks_at_pictures(tmp_path, rng):
    (tmp_path / "images").mkdir()
    for i in range(5):
        pixels = (255 * torch.rand(32, 32, 3, generator=rng)).byte().numpy()
        Image.fromarray(pixels).save(tmp_path / "images" / f"{i}.png")
    out = tmp_path / "out"
    invoke("rdm", tmp_path / "images", "-b", "expansion:small", "-l", "1", "--pool", "mean", "--out", out)
    found = RDMs.load(out / "rdms.npz")
    assert found.conditions == tuple("01234")
    assert found.names == ("1",)
    from brainnet.backbone import build_backbone
    from brainnet.store import TokenStore

    store = TokenStore.build(
        build_backbone("expansion:small", layers=["1"]), sorted((tmp_path / "images").iterdir()), progress=False,
        dtype=torch.float32,
    )  # fmt: skip
    assert compare(found, rdm(store.features("1", "mean")), "pearson").item() == pytest.approx(1.0, abs=1e-4)
    assert "expansion" in json.loads((out / "run.json").read_text())["source"]["backbone"]


def test_weights_of_ones_own_follow_the_network(tmp_path):
    (tmp_path / "images").mkdir()
    for i in range(3):
        Image.new("RGB", (32, 32), (40 * i, 80, 200 - 60 * i)).save(tmp_path / "images" / f"{i}.png")
    with pytest.raises(FileNotFoundError, match="nothing.npz"):
        write_rdms(tmp_path / "images", tmp_path / "o", backbone=f"torchvision:squeezenet1_0={tmp_path}/nothing.npz")


@pytest.fixture
def volume(tmp_path, rng):
    """A volume of noise with a planted model in its lower half; an empty border; a mask that takes a slice away."""
    shape = torch.randn(12, 5, generator=rng)
    data = torch.zeros(8, 8, 6, 12)
    data[1:7, 1:7] = torch.randn(6, 6, 6, 12, generator=rng)
    data[1:7, 1:7, :3] += torch.einsum("cf,xyzf->xyzc", shape, torch.randn(6, 6, 3, 5, generator=rng))
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    nibabel.save(nibabel.Nifti1Image(data.numpy(), affine), tmp_path / "betas.nii.gz")
    mask = np.ones((8, 8, 6), dtype=np.uint8)
    mask[..., 5] = 0
    nibabel.save(nibabel.Nifti1Image(mask, affine), tmp_path / "mask.nii.gz")
    models = torch.cat([rdm(shape).values, torch.rand(1, 66, generator=rng)])
    RDMs(models, names=("planted", "other")).save(tmp_path / "models.npz")
    return tmp_path


def test_searchlight_of_a_volume_finds_what_was_planted(volume):
    out = volume / "maps"
    words = ["searchlight", volume / "betas.nii.gz", "-m", volume / "models.npz", "--mask", volume / "mask.nii.gz",
             "--radius", 4, "--permutations", 50, "--out", out]  # fmt: skip
    invoke(*words)
    score = nibabel.load(out / "score.nii.gz").get_fdata()
    known = np.isfinite(score[..., 0])
    assert known.sum() == 6 * 6 * 5  # inside the mask, and not constant
    assert np.nanmean(score[..., 0][..., :2]) > 0.4
    winner = nibabel.load(out / "best_model_p05.nii.gz").get_fdata()
    assert (winner[1:7, 1:7, :2] == 1).mean() > 0.9
    card = json.loads((out / "run.json").read_text())
    assert card["settings"]["n_permutations"] == 50
    assert set(card["highest_score"]) == {"models planted", "models other"}
    assert (out / "maps.png").is_file()
    chunk = (out / "chunks" / "chunk_00000.npz").stat().st_mtime_ns
    invoke(*words)  # nothing is computed again
    assert (out / "chunks" / "chunk_00000.npz").stat().st_mtime_ns == chunk


def test_maps_of_six_subjects_become_a_group_test(tmp_path, rng):
    shape = torch.randn(12, 5, generator=rng)
    RDMs(torch.cat([rdm(shape).values, torch.rand(1, 66, generator=rng)]), names=("planted", "other")).save(
        tmp_path / "models.npz"
    )
    folders = [tmp_path / f"sub-{i}" for i in range(6)]
    for folder in folders:
        data = torch.randn(5, 5, 6, 12, generator=rng)
        data[..., :3, :] += 0.5 * torch.einsum("cf,xyzf->xyzc", shape, torch.randn(5, 5, 3, 5, generator=rng))
        nibabel.save(nibabel.Nifti1Image(data.numpy(), np.eye(4)), f"{folder}.nii.gz")
        invoke("searchlight", f"{folder}.nii.gz", "-m", tmp_path / "models.npz", "--radius", 1.5, "--permutations", 0,
               "--out", folder)  # fmt: skip
    out = tmp_path / "group"
    output = invoke("searchlight", "--group", *folders, "--out", out)
    assert "6 subjects, 2 models x 142 centres" in output  # corners hold fewer than 10 voxels
    t, p = (nibabel.load(out / f"{name}.nii.gz").get_fdata() for name in ("t", "p_max"))
    np.testing.assert_allclose(
        nibabel.load(out / "score.nii.gz").get_fdata(),
        np.mean([nibabel.load(folder / "score.nii.gz").get_fdata() for folder in folders], axis=0), atol=1e-6,
    )  # fmt: skip
    assert (t[..., :2, 0] > 2).mean() > 0.9
    assert (p[..., :2, 0] <= 0.05).mean() > 0.5
    assert (
        p[..., 4:, 0] <= 0.05
    ).mean() < 0.05  # one study of twenty may hold a false claim; see test_group for how many do
    card = json.loads((out / "run.json").read_text())
    assert card["settings"]["n_sign_flips"] == 63
    assert len({subject["sha256"] for subject in card["subjects"]}) == 6
    assert card["n_significant"]["models other"] == 0
    assert (out / "maps.png").is_file()
    paired = ("--contrast", "models planted", "models other", "--out", tmp_path / "paired")
    assert "6 subjects, 1 models" in invoke("searchlight", "--group", *folders, *paired)
    t = nibabel.load(tmp_path / "paired" / "t.nii.gz").get_fdata().squeeze()
    assert (t[..., :2] > 1).mean() > 0.9
    card = json.loads((tmp_path / "paired" / "run.json").read_text())
    assert card["settings"]["contrast"] == ["models planted", "models other"]
    refused = CliRunner().invoke(cli.app, ["searchlight", f"{folders[0]}.nii.gz", "--contrast", "a", "b"])
    assert "--contrast has no meaning with a single subject's maps" in str(refused.exception)
    refused = CliRunner().invoke(cli.app, ["searchlight", "--group", *map(str, folders), "--vertices", "50"])
    assert "--vertices has no meaning with --group" in str(refused.exception)
    with pytest.raises(ValueError, match="is one of the subjects' folders"):
        search_group(folders, folders[0])
    with pytest.raises(FileNotFoundError, match=r"no searchlight\.json in .*models"):
        search_group([*folders, tmp_path / "models.npz"], out)


def test_searchlight_of_a_surface_from_gifti_and_npy(tmp_path, rng):
    data = torch.full((10, 2 * 10242), torch.nan)
    data[:, :60] = torch.randn(10, 60, generator=rng)
    data[:, 10242:10282] = torch.randn(10, 40, generator=rng)
    np.save(tmp_path / "betas.npy", data.numpy())
    for side, half in zip("LR", data.chunk(2, dim=1), strict=True):
        arrays = [nibabel.gifti.GiftiDataArray(row.numpy(), datatype="NIFTI_TYPE_FLOAT32") for row in half]
        nibabel.save(nibabel.gifti.GiftiImage(darrays=arrays), tmp_path / f"{side}.func.gii")
    RDMs(torch.rand(1, 45, generator=rng)).save(tmp_path / "model.npz")
    one = search([tmp_path / "betas.npy"], [tmp_path / "model.npz"], tmp_path / "a", k=12, progress=False)
    sides = [tmp_path / "L.func.gii", tmp_path / "R.func.gii"]
    two = search(sides, [tmp_path / "model.npz"], tmp_path / "b", k=12, progress=False)
    torch.testing.assert_close(one.score, two.score)
    assert one.score.shape == (1, 100)
    saved = nibabel.load(tmp_path / "a" / "score.R.func.gii").darrays[0].data
    np.testing.assert_allclose(saved[:40], one.score[0, 60:], atol=1e-6)


def test_wrong_files_are_one_clear_line(files, volume, tmp_path):
    np.save(tmp_path / "wrong.npy", np.zeros((4, 7)))
    np.save(tmp_path / "meg.npy", np.random.default_rng(0).random((2, 3, 66)))  # 2 subjects, 3 times: never 6 subjects
    (tmp_path / "scores.csv").write_text("voxel,r\n0,0.5\n")
    betas, model = volume / "betas.nii.gz", volume / "models.npz"
    for call, message in [
        (lambda: compare_rdms([], tmp_path / "o"), "at least one file of brain RDMs"),
        (lambda: compare_rdms([tmp_path / "none.npz"], tmp_path / "o"), "no RDM file"),
        (lambda: compare_rdms([files / "brain_V1.npz"] * 2, tmp_path / "o"), "two files are called"),
        (lambda: compare_rdms([model], model), "is a file; name a folder"),
        (lambda: compare_rdms([tmp_path / "meg.npy"], tmp_path / "o"), "holds 6 RDMs on several axes.*--time"),
        (lambda: compare_rdms([tmp_path / "scores.csv"], tmp_path / "o"), "scores.csv is not a table of numbers alone"),
        (lambda: search([betas], [], tmp_path / "o"), "at least one file of model RDMs"),
        (lambda: search([betas], [model], tmp_path / "o", k=5), "a volume needs a radius"),
        (lambda: search([tmp_path / "none.nii"], [model], tmp_path / "o"), "no file"),
        (lambda: search([tmp_path / "wrong.npy"], [model], tmp_path / "o"), r"expected \(n_conditions, 20484\)"),
        (lambda: search([betas, betas], [model], tmp_path / "o"), "patterns are one NIfTI"),
        (lambda: write_rdms(files / "random" / "..", tmp_path / "o", layers=["x"]), "different shapes|no layer"),
        (lambda: write_rdms(tmp_path / "random", tmp_path / "o" / "p"), "different shapes|one entry"),
    ]:
        with pytest.raises((ValueError, FileNotFoundError, FileExistsError), match=message):
            call()
        assert not (tmp_path / "o").exists(), message  # a call that fails leaves no folder


def test_a_folder_that_cannot_be_made_is_told_before_the_work(files, monkeypatch):
    monkeypatch.setattr("brainnet.run.rsa._named", lambda *_: pytest.fail("read before"))
    monkeypatch.setattr("os.access", lambda *_: False)  # as for a user who may not write there
    with pytest.raises(PermissionError, match=r"--out .* is no folder that you may write to"):
        compare_rdms([files / "brain_V1.npz"], files / "new" / "results")


def test_what_was_read_as_brain_and_as_model_is_said(files, course):
    output = invoke("rsa", files / "brain_V1.npz", "-m", files / "net.npz", "--generalise", "subjects",
                    "--out", files / "results")  # fmt: skip
    assert "brain brain_V1: 4 subjects (0, 1, 2, 3)\n" in output
    assert "model net: 2 layers (low, high)\n" in output
    output = invoke("rsa", files / "meg.npz", "--time", "-m", files / "random", "--generalise", "subjects",
                    "--out", files / "results")  # fmt: skip
    assert "brain meg: 5 subjects (0, 1, 2, 3, ...) x 6 times\n" in output
    assert "model random: 1 layer (" in output


def test_single_rdms_are_no_course_over_time(files):
    for name in ("one", "two"):
        (files / "alone").mkdir(exist_ok=True)
        RDMs.load(files / "brain_V1.npz")[0].save(files / "alone" / f"{name}.npz")
    with pytest.raises(ValueError, match="alone holds 2 subjects with one RDM each: that is no course over time"):
        compare_over_time([files / "alone"], files / "results", models=[files / "net.npz"])


def test_a_folder_keeps_nothing_of_an_earlier_comparison(files):
    brain, out = files / "brain_V1.npz", files / "results"
    compare_rdms([brain], out, models=[files / "net.npz"], generalise="subjects")
    assert (out / "layers.png").is_file()
    (out / "mine.png").write_bytes(b"")
    compare_rdms([brain], out, models=[files / "random"], generalise="subjects")
    names = {path.name for path in out.iterdir()}
    assert names == {"mine.png", "bars.png", "ceilings.csv", "scores.csv", "run.json"}


def test_no_p_is_printed_as_zero_and_no_value_as_nan(capsys):
    table = pd.DataFrame({"score": [0.00001, float("nan")], "p_corrected": [1e-9, 0.0123]})
    print_table(table, "scores")
    assert capsys.readouterr().out.split() == ["scores", "score", "p_corrected", "0.0000", "<0.0001", "0.0123"]


def test_a_single_subject_has_no_ceiling(files):
    RDMs.load(files / "brain_V1.npz")[0].save(files / "one.npz")
    tables = compare_rdms([files / "one.npz"], files / "results")
    assert tables["ceilings"]["upper"].isna().all()
    assert json.loads((files / "results" / "run.json").read_text())["ceilings"][0]["upper"] is None

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from brainnet._work import Interrupted
from brainnet.cli.fit import _report
from brainnet.config import load_config
from brainnet.plmodel import PLModel
from brainnet.plmodel import module as plmodel
from brainnet.run import training as runs
from brainnet.scores import pearson_r, r2
from brainnet.space import BrainSpace
from brainnet.tokens import Preprocessing
from tests.toys import ToyBackbone, toy_config, toy_dataset

FILES = {"run.json", "config.yaml", "model.ckpt", "selectors.npz", "scores.csv", "metrics.json", "maps.png", "maps.svg"}


@pytest.fixture
def toys(monkeypatch):
    """fit() with the toy backbone and data in place of the configured ones."""
    monkeypatch.setattr(runs, "build_backbone_of", lambda cfg: ToyBackbone())
    monkeypatch.setattr(runs, "build_dataset", lambda cfg, backbone: toy_dataset())


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "build_backbone_of", lambda cfg: ToyBackbone())
        patch.setattr(runs, "build_dataset", lambda cfg, backbone: toy_dataset())
        metrics = runs.fit(toy_config("TRAINER.MAX_EPOCHS", "20"), out, progress=False)
    return out, metrics


def test_a_run_folder_holds_everything(finished):
    out, metrics = finished
    assert {path.name for path in out.iterdir()} >= FILES
    assert json.loads((out / "metrics.json").read_text()) == metrics
    assert metrics["test"]["all"]["r"]["mean"] > 0.3


def test_scores_have_one_row_per_voxel_and_agree_with_the_saved_model(finished, monkeypatch):
    out, _ = finished
    scores = pd.read_csv(out / "scores.csv")
    assert list(scores.columns[:4]) == ["voxel", "roi", "r2", "r"]
    monkeypatch.setattr(runs, "build_backbone_of", lambda cfg: ToyBackbone())
    model, data = runs.load_model(out), toy_dataset()
    test = data.splits["test"]
    with torch.no_grad():
        prediction = model(torch.stack([data.image(int(i)) for i in test]))[0]
    expected = np.array([np.corrcoef(prediction[:, v], data.responses[test, v])[0, 1] for v in range(7)])
    assert np.allclose(scores["r"], expected, atol=0.02)


def test_the_card_says_where_numbers_come_from(finished):
    card = json.loads((finished[0] / "run.json").read_text())
    assert card["backbone"]["weights"] == "gain 1.0"
    assert card["splits"]["test"]["n"] == 15
    assert card["seed"] == 0
    assert {"torch", "brainnet", "python"} <= set(card["versions"])
    assert card["test"]["r_interval"]["lower"] <= card["test"]["r"]["mean"] <= card["test"]["r_interval"]["upper"]
    assert len(card["data"]["responses_sha256"]) == 64
    assert card["config"]["OPTIMIZER.LR"] == 0.01


def with_further_splits():
    """Six training images as sketches, six more as pictures nobody was shown."""
    data = toy_dataset()
    train = data.splits["train"]
    data.splits.update(train=train[12:], sketches=train[:6], **{"not shown": train[6:12]})
    data.responses[data.splits["not shown"]] = torch.nan
    data.further_ceilings = {"sketches": torch.full((7,), 0.5)}
    return data


def test_further_splits_are_scored_where_they_have_responses(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(runs, "build_backbone_of", lambda cfg: ToyBackbone())
    monkeypatch.setattr(runs, "build_dataset", lambda cfg, backbone: with_further_splits())
    (tmp_path / "scores_old.csv").touch()
    metrics = runs.fit(toy_config("TRAINER.MAX_EPOCHS", "5"), tmp_path, progress=False)
    assert {path.name for path in tmp_path.glob("scores*")} == {"scores.csv", "scores_sketches.csv"}
    assert metrics["further_splits"].keys() == {"sketches"}

    model, data = runs.load_model(tmp_path), with_further_splits()
    rows = data.splits["sketches"]
    with torch.no_grad():
        prediction = model(torch.stack([data.image(int(i)) for i in rows]))[0]
    expected = np.array([np.corrcoef(prediction[:, v], data.responses[rows, v])[0, 1] for v in range(7)])
    found = pd.read_csv(tmp_path / "scores_sketches.csv")
    assert np.allclose(found["r"], expected, atol=0.02)
    assert np.allclose(found["r_normalised"], found["r"] / 0.5)
    summary = metrics["further_splits"]["sketches"]
    assert summary["n_images"] == 6
    assert summary["all"]["r"]["mean"] == pytest.approx(found["r"].mean())
    assert summary["all"]["r_interval"]["lower"] <= summary["all"]["r"]["mean"] <= summary["all"]["r_interval"]["upper"]
    card = json.loads((tmp_path / "run.json").read_text())
    assert card["further_splits"]["sketches"] == summary["all"]
    _report(metrics, tmp_path)
    assert f"mean sketches r {found['r'].mean():.3f}" in capsys.readouterr().out


@pytest.mark.parametrize("begun", [False, True])
def test_a_run_is_not_written_over_by_another_command(finished, tmp_path, begun):
    from brainnet.run.extraction import extract_features
    from brainnet.run.rdms import write_rdms
    from brainnet.run.rsa import compare_rdms

    run = tmp_path / "run"
    shutil.copytree(finished[0], run)
    if begun:  # no card yet
        (run / "run.json").unlink()
    before = {path: path.stat().st_mtime_ns for path in run.iterdir()}
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((6, 5)))
    np.save(tmp_path / "rdms.npy", np.random.default_rng(0).random((3, 15)))
    for write in (
        lambda: write_rdms(tmp_path / "x.npy", run, progress=False),
        lambda: compare_rdms([tmp_path / "rdms.npy"], run, progress=False),
        lambda: extract_features([], run, "expansion:small", progress=False, overwrite=True),
    ):
        with pytest.raises(FileExistsError, match="holds the results of `brainnet fit`; choose another --out"):
            write()
    assert {path: path.stat().st_mtime_ns for path in run.iterdir()} == before


def test_a_run_and_predictions_do_not_replace_other_results(toys, finished, tmp_path):
    (tmp_path / "run.json").write_text('{"kind": "extract"}')
    for write in (
        lambda: runs.fit(toy_config(), tmp_path, overwrite=True, progress=False),
        lambda: runs.predict(finished[0], np.zeros((1, 8, 8, 3), np.uint8), tmp_path, progress=False),
    ):
        with pytest.raises(FileExistsError, match="`brainnet extract`"):
            write()
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_selectors_travel_with_their_place(finished):
    with np.load(finished[0] / "selectors.npz", allow_pickle=False) as arrays:
        assert arrays["layer"].shape == (7, 3)
        assert np.allclose(arrays["layer"].sum(1), 1, atol=1e-5)
        assert arrays["at:coords"].shape == (7, 3)


def test_the_picture_can_be_drawn_again(finished):
    out, _ = finished
    before = (out / "maps.png").stat().st_mtime_ns
    assert runs.redraw(out) == [out / "maps.png", out / "maps.svg"]
    assert (out / "maps.png").stat().st_mtime_ns > before


def test_predictions_of_new_images(finished, tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "build_backbone_of", lambda cfg: ToyBackbone())
    folder = tmp_path / "new"
    folder.mkdir()
    for i in range(3):
        pixels = np.random.default_rng(i).integers(0, 255, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"photo{i}.png")
    path = runs.predict(finished[0], folder, tmp_path / "out", batch_size=2, progress=False)
    found = np.load(path)
    assert (path.parent / "images.txt").read_text().split() == ["photo0", "photo1", "photo2"]
    model = runs.load_model(finished[0])
    for row, i in zip(found, range(3), strict=True):
        with Image.open(folder / f"photo{i}.png") as photo, torch.no_grad():
            assert np.allclose(row, model(model.preprocessing(photo)[None])[0][0], atol=1e-5)

    def stop(self, images):
        raise KeyboardInterrupt

    monkeypatch.setattr(PLModel, "forward", stop)
    with pytest.raises(KeyboardInterrupt):
        runs.predict(finished[0], folder, tmp_path / "out", progress=False)
    assert np.array_equal(np.load(path), found)  # a prediction that is not whole replaces none


def test_a_finished_run_is_not_overwritten_unasked(finished):
    with pytest.raises(FileExistsError, match="--overwrite"):
        runs.fit(toy_config(), finished[0], progress=False)


@pytest.mark.parametrize("words", [[], ["TRAINER.VAL_EVERY", "4"], ["TRAINER.FIT_ON", "train+val"], ["unlearn", ""]])
def test_an_interrupted_training_keeps_its_last_epoch_and_resumes(toys, tmp_path, monkeypatch, words):
    if words[:1] == ["unlearn"]:  # the last epoch is not the best one
        unlearn_after(monkeypatch, 1)
        words = []
    out, cfg = tmp_path / "run", toy_config("TRAINER.MAX_EPOCHS", "4", *words)
    original = PLModel.training_step

    def stop_in_third_epoch(self, batch, batch_idx):
        if self.current_epoch == 2:
            raise KeyboardInterrupt
        return original(self, batch, batch_idx)

    monkeypatch.setattr(PLModel, "training_step", stop_in_third_epoch)
    with pytest.raises(Interrupted, match=f"fit --config {out}/config.yaml --resume --out {out}"):
        runs.fit(cfg, out, progress=False)
    assert not (out / "run.json").exists()
    monkeypatch.setattr(PLModel, "training_step", original)
    with pytest.raises(FileExistsError, match="--resume"):
        runs.fit(cfg, out, progress=False)
    with pytest.raises(ValueError, match=r"other settings of OPTIMIZER\.LR"):
        runs.fit(toy_config("OPTIMIZER.LR", "0.5"), out, resume=True, progress=False)
    with pytest.raises(ValueError, match="trained for 2 epochs, more than TRAINER.MAX_EPOCHS 1"):
        runs.fit(toy_config("TRAINER.MAX_EPOCHS", "1", *words), out, resume=True, progress=False)
    epochs = []
    count = lambda self, *args: epochs.append(self.current_epoch) or original(self, *args)  # noqa: E731
    monkeypatch.setattr(PLModel, "training_step", count)
    resumed = runs.fit(cfg, out, resume=True, progress=False)
    assert sorted(set(epochs)) == [2, 3]
    unbroken = runs.fit(cfg, tmp_path / "whole", progress=False)
    assert resumed["test"]["all"]["r"]["mean"] == pytest.approx(unbroken["test"]["all"]["r"]["mean"], abs=1e-6)


def test_nothing_to_resume_or_to_load_is_said(toys, tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing to resume"):
        runs.fit(toy_config(), tmp_path / "none", resume=True, progress=False)
    with pytest.raises(FileNotFoundError, match="no finished run"):
        runs.load_model(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"selectors\.npz"):
        runs.redraw(tmp_path)


def test_json_holds_no_nan(tmp_path):
    runs.write_json(tmp_path / "x.json", {"a": float("nan"), "b": [np.float32(1.5), torch.tensor([2])]})
    assert json.loads((tmp_path / "x.json").read_text()) == {"a": None, "b": [1.5, [2]]}


def test_missing_splits_are_said_before_training(tmp_path, monkeypatch):
    data = toy_dataset()
    data.splits = data.splits | {"test": torch.arange(0), "val": torch.arange(0)}
    monkeypatch.setattr(runs, "build_backbone_of", lambda cfg: ToyBackbone())
    monkeypatch.setattr(runs, "build_dataset", lambda cfg, backbone: data)
    with pytest.raises(ValueError, match="no val and no test images"):
        runs.fit(toy_config(), tmp_path / "a", progress=False)
    with pytest.raises(ValueError, match="no test images"):  # and the folder may be used again
        runs.fit(toy_config("TRAINER.FIT_ON", "train+val"), tmp_path / "a", progress=False)
    data.splits = toy_dataset().splits | {"val": torch.arange(0)}  # of which such a run needs none
    assert runs.fit(toy_config("TRAINER.FIT_ON", "train+val"), tmp_path / "a", progress=False)
    data.splits = toy_dataset().splits | {"val": torch.tensor([1])}
    with pytest.raises(ValueError, match="no val images, or a single one"):
        runs.fit(toy_config(), tmp_path / "b", progress=False)
    data.splits = toy_dataset().splits
    data.responses[data.splits["test"][0]] = torch.nan
    with pytest.raises(ValueError, match="no voxel can be scored on test"):
        runs.fit(toy_config(), tmp_path / "b", progress=False)


def unlearn_after(monkeypatch, epoch):
    """From this epoch on training climbs its loss, so that the best weights are not the last."""
    original = PLModel.training_step
    monkeypatch.setattr(
        PLModel,
        "training_step",
        lambda self, *args: original(self, *args) * (1 if self.current_epoch < epoch else -10),
    )


def mean_r(model, split):
    data = toy_dataset()
    rows = data.splits[split]
    with torch.no_grad():
        prediction = model(torch.stack([data.image(int(i)) for i in rows]))[0]
    return pearson_r(prediction, data.responses[rows]).mean().item()


def test_the_best_weights_are_kept_and_scored(toys, tmp_path, monkeypatch):
    unlearn_after(monkeypatch, 2)
    metrics = runs.fit(toy_config("TRAINER.MAX_EPOCHS", "7", "OPTIMIZER.LR", "0.03"), tmp_path, progress=False)
    assert metrics["validation"]["epoch"] == 1
    model = runs.load_model(tmp_path)
    assert not model.training
    assert metrics["validation"]["val_r"] == pytest.approx(mean_r(model, "val"), abs=0.01)
    assert metrics["test"]["all"]["r"]["mean"] == pytest.approx(mean_r(model, "test"), abs=0.01)
    assert [epoch["epoch"] for epoch in model.history] == list(range(7))


def test_training_stops_after_epochs_without_a_better_score(toys, tmp_path, monkeypatch):
    unlearn_after(monkeypatch, 2)
    words = ("TRAINER.MAX_EPOCHS", "12", "OPTIMIZER.LR", "0.03", "TRAINER.PATIENCE", "4", "TRAINER.VAL_EVERY", "2")
    metrics = runs.fit(toy_config(*words), tmp_path, progress=False)
    assert metrics["validation"]["epoch"] == 1
    assert [epoch["epoch"] for epoch in runs.load_model(tmp_path).history] == [1, 3, 5]
    more = (*words[:5], "6", *words[6:])  # more patience takes it further
    runs.fit(toy_config(*more), tmp_path, resume=True, progress=False)
    assert [epoch["epoch"] for epoch in runs.load_model(tmp_path).history] == [1, 3, 5, 7]


def test_a_moved_run_resumes_with_its_best_weights(toys, tmp_path, monkeypatch):
    unlearn_after(monkeypatch, 2)
    words = ("OPTIMIZER.LR", "0.03", "TRAINER.MAX_EPOCHS")
    before = runs.fit(toy_config(*words, "3"), tmp_path / "here", progress=False)
    log_then = (tmp_path / "here" / "log" / "metrics.csv").read_text()
    (tmp_path / "here").rename(tmp_path / "there")
    after = runs.fit(toy_config(*words, "5"), tmp_path / "there", resume=True, progress=False)
    assert after == before
    assert (tmp_path / "there" / "log" / "metrics.1.csv").read_text() == log_then
    assert not (tmp_path / "here").exists()


def test_a_run_on_all_images_keeps_its_last_epoch_and_resumes(toys, tmp_path):
    words = ("TRAINER.FIT_ON", "train+val", "TRAINER.MAX_EPOCHS")
    whole = runs.fit(toy_config(*words, "4"), tmp_path / "whole", progress=False)
    assert "validation" not in whole
    runs.fit(toy_config(*words, "2"), tmp_path / "half", progress=False)
    rest = runs.fit(toy_config(*words, "4"), tmp_path / "half", resume=True, progress=False)
    assert rest["test"]["all"]["r"]["mean"] == pytest.approx(whole["test"]["all"]["r"]["mean"], abs=1e-6)
    with pytest.raises(ValueError, match=r"other settings of TRAINER\.FIT_ON"):
        runs.fit(toy_config("TRAINER.MAX_EPOCHS", "4"), tmp_path / "half", resume=True, progress=False)
    with pytest.raises(ValueError, match=r"other settings of TRAINER\.CLIP_NORM"):
        runs.fit(toy_config(*words, "5", "TRAINER.CLIP_NORM", "9"), tmp_path / "half", resume=True, progress=False)


def test_overwriting_replaces_a_run_once_the_new_one_can_begin(toys, tmp_path, monkeypatch):
    runs.fit(toy_config(), tmp_path, draw=True, progress=False)
    old = (tmp_path / "scores.csv").read_text()
    assert len(list(tmp_path.glob("log/maps/*.png"))) == 2

    def missing(cfg, backbone):
        raise FileNotFoundError("no data there")

    with monkeypatch.context() as patch:
        patch.setattr(runs, "build_dataset", missing)
        with pytest.raises(FileNotFoundError, match="no data there"):
            runs.fit(toy_config("SEED", "1"), tmp_path, overwrite=True, progress=False)
    assert (tmp_path / "checkpoints" / "last.ckpt").is_file()
    assert (tmp_path / "scores.csv").read_text() == old

    def stop(self, *_):
        raise KeyboardInterrupt

    monkeypatch.setattr(PLModel, "training_step", stop)
    with pytest.raises(Interrupted, match="nothing is kept"):
        runs.fit(toy_config("SEED", "1"), tmp_path, overwrite=True, progress=False)
    # a folder of this training's settings and the other's numbers would be worse than one without numbers
    assert not FILES - {"config.yaml"} & {path.name for path in tmp_path.iterdir()}
    assert not list(tmp_path.glob("log/maps/*.png"))
    assert runs.load_config(tmp_path / "config.yaml").SEED == 1
    with pytest.raises(FileExistsError, match="--overwrite"):
        runs.fit(toy_config(), tmp_path, progress=False)
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError, match="is a file"):
        runs.fit(toy_config(), tmp_path / "file", progress=False)


# ------------------------------------------------------------------ the numbers of a run

REGIONS = {
    "early": torch.tensor([1, 1, 1, 0, 0, 0, 0]) > 0,
    "late": torch.tensor([0, 0, 1, 1, 1, 1, 1]) > 0,
    "none": torch.zeros(7) > 0,
}
CEILING = torch.tensor([0.9, 0.8, 0.7, 0.6, 0.5, float("nan"), 0.05])


def mapped_dataset():
    """Overlapping regions, vertices, a ceiling with gaps, a voxel that trains on nothing, and a truth to be found."""
    data = toy_dataset()
    place = BrainSpace(vertices=torch.arange(7) * 3 + 1, mesh="fsaverage5", coords=data.space.coords, rois=REGIONS)
    data.space, data.noise_ceiling = place, CEILING
    data.preprocessing = Preprocessing(size=(24, 24))
    data.responses[data.splits["train"], 4] = 2.0
    gains = {}
    data.recovery = lambda selectors, **given: gains.update(given, selectors=selectors) or {"not_identifiable": "-"}
    return data, gains


@pytest.fixture(scope="module")
def mapped(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "mapped"
    data, gains = mapped_dataset()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "build_backbone_of", lambda cfg: ToyBackbone())
        patch.setattr(runs, "build_dataset", lambda cfg, backbone: data)
        metrics = runs.fit(toy_config("SEED", "4", "TRAINER.MAX_EPOCHS", "6"), out, progress=False)
        yield out, metrics, data, gains, runs.load_model(out)


def test_the_table_is_of_the_test_images(mapped):
    out, _, data, _, model = mapped
    table = pd.read_csv(out / "scores.csv")
    assert table["voxel"].tolist() == [1, 4, 7, 10, 13, 16, 19]
    assert table["roi"].tolist() == ["early", "early", "early;late", *["late"] * 4]
    index = data.splits["test"]
    with torch.no_grad():
        prediction = model(torch.stack([data.image(int(i)) for i in index]))[0]
    for name, score in (("r", pearson_r), ("r2", r2)):
        expected = score(prediction, data.responses[index]).numpy()
        expected[4] = np.nan
        np.testing.assert_allclose(table[name], expected, atol=0.01)
    np.testing.assert_allclose(table["noise_ceiling"], CEILING)
    expected = np.where(CEILING >= 0.1, table["r"].to_numpy() / CEILING.numpy(), np.nan)
    np.testing.assert_allclose(table["r_normalised"], expected, rtol=1e-5)


def test_means_are_of_their_region(mapped):
    out, metrics, _, _, _ = mapped
    table = pd.read_csv(out / "scores.csv")
    assert (metrics["n_test_images"], metrics["n_voxels"], metrics["n_unusable"]) == (15, 7, 1)
    for name, mask in {"all": torch.ones(7) > 0, **REGIONS}.items():
        part, row = table[mask.numpy()], metrics["test"][name]
        assert (row["n"], row["n_scored"]) == (len(part), part["r"].notna().sum())
        for score in ("r", "r2", "r_normalised", "noise_ceiling"):
            assert row[score]["mean"] == pytest.approx(part[score].mean(), nan_ok=True)
            assert row[score]["median"] == pytest.approx(part[score].median(), nan_ok=True)
        known = part[part["r"].notna() & part["noise_ceiling"].notna()]
        ratio = known["r"].mean() / known["noise_ceiling"].mean()
        assert row["mean_r_over_mean_ceiling"] == pytest.approx(ratio, nan_ok=True)
        if len(part):
            assert row["r_interval"]["mean"] == row["r"]["mean"]
            assert row["r_interval"]["lower"] < row["r"]["mean"] < row["r_interval"]["upper"]
    early, late = (metrics["test"][name]["r_interval"] for name in ("early", "late"))
    assert early["upper"] - early["lower"] != pytest.approx(late["upper"] - late["lower"], rel=1e-3)


def test_shares_and_gains_are_those_of_the_training_images(mapped):
    out, _, data, gains, model = mapped
    module = runs.PLModel(toy_config("SEED", "4"), ToyBackbone(), data=data)
    module.load_state_dict(model.state_dict())
    share = module.eval().contributions(data.splits["train"])
    selectors = gains["selectors"]
    torch.testing.assert_close(gains["layer_gain"], share.layer / selectors.layer, rtol=0.02, atol=0.01)
    expected = torch.cat([(1 - share.scale) / (1 - selectors.scale), share.scale / selectors.scale], 1)
    torch.testing.assert_close(gains["scale_gain"], expected, rtol=0.02, atol=0.01)
    with np.load(out / "selectors.npz", allow_pickle=False) as arrays:
        np.testing.assert_allclose(arrays["layer"], selectors.layer)
        np.testing.assert_allclose(arrays["layer_share"], share.layer, rtol=0.02, atol=0.01)
        np.testing.assert_allclose(arrays["at:vertices"], data.space.vertices)


def test_what_draws_at_random_draws_by_the_seed(toys, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(runs, "build_backbone_of", lambda cfg: drawn.append(torch.rand(1).item()) or ToyBackbone())
    for seed in ("1", "1", "2"):
        runs.fit(toy_config("SEED", seed, "TRAINER.MAX_EPOCHS", "1"), tmp_path, overwrite=True, progress=False)
    assert drawn[0] == drawn[1] != drawn[2]


def test_the_card_and_the_config_are_those_of_the_run(mapped):
    out, metrics, data, _, _ = mapped
    card = json.loads((out / "run.json").read_text())
    assert (card["seed"], runs.load_config(out / "config.yaml").SEED) == (4, 4)
    assert card["test"]["r"]["mean"] == metrics["test"]["all"]["r"]["mean"]
    assert [card["splits"][name]["n"] for name in ("train", "val", "test")] == [len(r) for r in data.splits.values()]


def test_a_voxel_that_could_not_be_trained_predicts_nan(mapped, tmp_path):
    Image.new("RGB", (32, 32), (9, 99, 199)).save(tmp_path / "a.png")
    found = np.load(runs.predict(mapped[0], [tmp_path / "a.png"], tmp_path / "out", progress=False))
    assert np.isnan(found).tolist() == [[False] * 4 + [True] + [False] * 2]
    data, model = mapped[2], mapped[4]
    with Image.open(tmp_path / "a.png") as photo, torch.no_grad():
        expected = model(data.preprocessing(photo)[None])[0][0]
    np.testing.assert_allclose(found[0, :4], expected[:4], atol=1e-5)


def test_a_missing_folder_is_told_before_a_network_is_fetched(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "build_backbone_of", lambda cfg: pytest.fail("weights were asked for"))
    monkeypatch.setattr(runs, "build_dataset", plmodel.build_dataset)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        runs.fit(load_config("folder", ["DATASET.DATA_DIR", str(tmp_path / "nowhere")]), tmp_path / "out")

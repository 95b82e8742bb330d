from __future__ import annotations

import json
import textwrap

import pytest
import torch

from brainnet._work import Interrupted
from brainnet.config import load_config
from brainnet.plmodel import PLModel
from brainnet.run.fitting import training as runs
from brainnet.run.fitting.prediction import load_model
from brainnet.run.record.run_folder import redraw
from brainnet.scores import pearson_r
from brainnet.space import BrainSpace
from tests.toys import ToyBackbone, toy_config, toy_dataset, toys_registered

FILES = {"run.json", "config.yaml", "data.json", "model.ckpt", "selectors.npz", "scores.csv", "metrics.json",
         "maps.png", "maps.svg"}  # fmt: skip


def test_a_run_folder_holds_everything(finished):
    out, metrics = finished
    assert {path.name for path in out.iterdir()} >= FILES
    assert json.loads((out / "metrics.json").read_text()) == metrics
    assert metrics["test"]["all"]["r"]["mean"] > 0.3


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
        load_model(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"selectors\.npz"):
        redraw(tmp_path)


def test_missing_splits_are_said_before_training(toys, tmp_path, monkeypatch):
    data = toy_dataset()
    data.splits = data.splits | {"test": torch.arange(0), "val": torch.arange(0)}
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
    model = load_model(tmp_path)
    assert not model.training
    assert metrics["validation"]["val_r"] == pytest.approx(mean_r(model, "val"), abs=0.01)
    assert metrics["test"]["all"]["r"]["mean"] == pytest.approx(mean_r(model, "test"), abs=0.01)
    assert [epoch["epoch"] for epoch in model.history] == list(range(7))


def test_training_stops_after_epochs_without_a_better_score(toys, tmp_path, monkeypatch):
    unlearn_after(monkeypatch, 2)
    words = ("TRAINER.MAX_EPOCHS", "12", "OPTIMIZER.LR", "0.03", "TRAINER.PATIENCE", "4", "TRAINER.VAL_EVERY", "2")
    metrics = runs.fit(toy_config(*words), tmp_path, progress=False)
    assert metrics["validation"]["epoch"] == 1
    assert [epoch["epoch"] for epoch in load_model(tmp_path).history] == [1, 3, 5]
    more = (*words[:5], "6", *words[6:])  # more patience takes it further
    runs.fit(toy_config(*more), tmp_path, resume=True, progress=False)
    assert [epoch["epoch"] for epoch in load_model(tmp_path).history] == [1, 3, 5, 7]


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
    assert not FILES - {"config.yaml", "data.json"} & {path.name for path in tmp_path.iterdir()}
    assert not list(tmp_path.glob("log/maps/*.png"))
    assert load_config(tmp_path / "config.yaml").SEED == 1
    with pytest.raises(FileExistsError, match="--overwrite"):
        runs.fit(toy_config(), tmp_path, progress=False)
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError, match="is a file"):
        runs.fit(toy_config(), tmp_path / "file", progress=False)


def test_what_draws_at_random_draws_by_the_seed(toys, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(runs, "build_backbone_of", lambda cfg: drawn.append(torch.rand(1).item()) or ToyBackbone())
    for seed in ("1", "1", "2"):
        runs.fit(toy_config("SEED", seed, "TRAINER.MAX_EPOCHS", "1"), tmp_path, overwrite=True, progress=False)
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_missing_folder_is_told_before_a_network_is_fetched(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "build_backbone_of", lambda cfg: pytest.fail("weights were asked for"))
    with pytest.raises(FileNotFoundError, match="nowhere"):
        runs.fit(load_config("folder", ["DATASET.DATA_DIR", str(tmp_path / "nowhere")]), tmp_path / "out")


# ------------------------------------------------------------------ refused before any work


NO_GPU = pytest.mark.skipif(torch.cuda.is_available() or torch.backends.mps.is_available(), reason="there is a GPU")


@pytest.mark.parametrize(
    ("words", "named"),
    [
        pytest.param(("TRAINER.ACCELERATOR", "gpu"), "TRAINER.ACCELERATOR gpu", marks=NO_GPU),
        (("TRAINER.ACCELERATOR", "gpuu"), "TRAINER.ACCELERATOR gpuu"),
        (("TRAINER.STRATEGY", "ddpp"), "TRAINER.STRATEGY ddpp"),
    ],
)
def test_a_device_that_is_not_there_is_told_before_any_work(toys, tmp_path, monkeypatch, words, named):
    monkeypatch.setattr(runs, "build_dataset", lambda *args: pytest.fail("data were read"))
    with pytest.raises(ValueError, match=named):
        runs.fit(toy_config(*words), tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()  # a refused run leaves no folder


def test_a_region_named_all_is_refused(toys, tmp_path):
    data = toy_dataset()
    data.space = BrainSpace(coords=data.space.coords, n_voxels=7, rois={"all": torch.arange(7) < 3})
    with toys_registered(lambda: data), pytest.raises(ValueError, match="'all'"):
        runs.fit(toy_config(), tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_a_run_is_not_resumed_on_other_data(toys, tmp_path):
    out, more = tmp_path / "run", ("TRAINER.MAX_EPOCHS", "2")
    runs.fit(toy_config("TRAINER.MAX_EPOCHS", "1"), out, progress=False)
    before = (out / "checkpoints" / "last.ckpt").read_bytes()

    def reversed_responses():
        data = toy_dataset()
        data.responses = -data.responses.flip(0)
        return data

    def other_split():
        data = toy_dataset()
        data.splits = data.splits | {"val": data.splits["test"], "test": data.splits["val"]}
        return data

    def other_pictures():
        data = toy_dataset(seed=3)
        data.responses, data.splits = toy_dataset().responses, toy_dataset().splits
        return data

    for dataset, named in ((reversed_responses, "responses_sha256"), (other_split, "splits: test, splits: val"),
                           (other_pictures, "tokens")):  # fmt: skip
        with toys_registered(dataset), pytest.raises(ValueError, match=named):
            runs.fit(toy_config(*more), out, resume=True, progress=False)
    assert (out / "checkpoints" / "last.ckpt").read_bytes() == before
    damaged = bytearray(before)
    damaged[len(damaged) // 2] ^= 1
    (out / "checkpoints" / "last.ckpt").write_bytes(damaged)
    with pytest.raises(ValueError, match=r"last\.ckpt"):
        runs.fit(toy_config(*more), out, resume=True, progress=False)


def test_a_read_out_of_a_users_file_fills_a_whole_folder(toys, tmp_path, monkeypatch):
    """It has no selectors: so has its folder."""
    (tmp_path / "mine.py").write_text(
        textwrap.dedent(
            """
            import torch

            class Linear(torch.nn.Module):
                def __init__(self, layers, layer_widths, n_vertices, coords=None):
                    super().__init__()
                    self.map = torch.nn.Linear(sum(width[1] for width in layer_widths), n_vertices)

                def forward(self, local, global_):
                    return self.map(torch.cat(list(global_.values()), 1)), self.map.weight.square().mean()
            """
        )
    )
    monkeypatch.chdir(tmp_path)
    cfg = toy_config("MODEL.READOUT", "mine.py:Linear", "TRAINER.MAX_EPOCHS", "3")
    metrics = runs.fit(cfg, "run", draw=True, progress=False)
    assert {path.name for path in (tmp_path / "run").iterdir()} >= FILES - {"selectors.npz"}
    assert "places_at_the_border" not in metrics
    assert (tmp_path / "run" / "maps.png").stat().st_size > 5000
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")  # the run knows where the file is
    assert type(load_model(tmp_path / "run").encoder).__name__ == "Linear"
    assert f"{tmp_path / 'mine.py'}:Linear" == runs.load_config(tmp_path / "run" / "config.yaml").MODEL.READOUT


def test_out_of_memory_in_training_says_what_to_lower(toys, tmp_path, monkeypatch):
    def full(self, batch, batch_idx):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB.")

    monkeypatch.setattr(PLModel, "training_step", full)
    with pytest.raises(MemoryError, match=r"9 GiB.*DATASET\.BATCH_SIZE, now 8"):
        runs.fit(toy_config(), tmp_path / "run", progress=False)

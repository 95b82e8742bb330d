"""PLModel under Lightning, with real trainings: processes, nodes, loggers, compiled steps, places of checkpoints."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from brainnet._files import file_digest
from brainnet.plmodel import PLModel
from tests.plmodel.trainings import fitted, trainer
from tests.toys import ToyBackbone, toy_config, toy_dataset, toys_registered

ROOT = Path(__file__).resolve().parents[2]
# the images divide neither into whole batches nor among two or four processes, and one response is missing
TRAINING = """
    import json, os, sys
    import pytorch_lightning as pl
    import torch
    from brainnet.plmodel import PLModel
    from tests.toys import ToyBackbone, toy_config, toy_dataset

    devices, nodes, out = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    world = devices * nodes
    data = toy_dataset(n_images=77)
    parts = torch.randperm(77, generator=torch.Generator().manual_seed(0)).split([51, 11, 15])
    data.splits = dict(zip(("train", "val", "test"), parts))
    data.responses[parts[0][0], 0] = torch.nan
    words = ("DATASET.BATCH_SIZE", str(8 // world), "TOKENS.STORE", os.path.join(out, "store"))
    model = PLModel(toy_config(*words), ToyBackbone(), data=data, progress=False)
    trainer = pl.Trainer(
        max_epochs=6, accelerator="cpu", devices=devices, num_nodes=nodes, strategy="ddp" if world > 1 else "auto",
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=out, log_every_n_steps=1,
        logger=pl.loggers.CSVLogger(out, name="", version="log"),
    )
    trainer.fit(model)
    model.history[-1].pop("epoch")
    found = {**model.history[-1], **trainer.test(model, verbose=False)[0]}
    with open(os.path.join(out, f"rank{trainer.global_rank}.json"), "w") as file:
        json.dump(found, file)
    sys.stdout.flush()
    os._exit(0)  # gloo's threads now and then abort a process that is on its way out
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def train(tmp_path_factory):
    """``train(devices, nodes)``: the folder of a training on so many processes; each layout is trained once."""
    script = tmp_path_factory.mktemp("script") / "training.py"
    script.write_text(textwrap.dedent(TRAINING))
    done: dict[tuple[int, int], Path] = {}

    def of(devices: int, nodes: int) -> Path:
        if (devices, nodes) not in done:
            out = tmp_path_factory.mktemp("training")
            shared = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
            if nodes > 1:
                shared |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
            processes = [
                subprocess.Popen(
                    [sys.executable, str(script), str(devices), str(nodes), str(out)], stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT, env=shared | ({"NODE_RANK": str(node)} if nodes > 1 else {}), text=True,
                )
                for node in range(nodes)
            ]  # fmt: skip
            for process in processes:
                said, _ = process.communicate(timeout=400)
                assert process.returncode == 0, said[-3000:]
            done[devices, nodes] = out
        return done[devices, nodes]

    return of


@pytest.mark.slow
@pytest.mark.parametrize(("devices", "nodes"), [(2, 1), (1, 2), (4, 1), (2, 2)])
def test_processes_and_nodes_train_and_score_as_one(train, devices, nodes):
    alone, together = train(1, 1), train(devices, nodes)
    expected = json.loads((alone / "rank0.json").read_text())
    assert expected["val_r"] > 0.3
    for rank in range(devices * nodes):
        assert json.loads((together / f"rank{rank}.json").read_text()) == pytest.approx(expected, abs=1e-3)
    assert file_digest(alone / "store") == file_digest(together / "store")
    losses = [(folder / "log" / "metrics.csv").read_text().count("\n") for folder in (alone, together)]
    assert losses[0] == losses[1]  # one process writes


@pytest.mark.slow
@pytest.mark.parametrize(("devices", "nodes"), [(2, 1), (1, 2), (4, 1), (2, 2)])
def test_only_the_first_process_writes(train, devices, nodes):
    alone, together = train(1, 1), train(devices, nodes)
    others = {f"rank{rank}.json" for rank in range(1, devices * nodes)}
    names = [{str(path.relative_to(folder)) for path in folder.rglob("*")} - others for folder in (alone, together)]
    assert names[0] == names[1]


def test_the_csv_logger_gets_losses_and_scores(tmp_path):
    logger = pl.loggers.CSVLogger(tmp_path, name="", version="log")
    fitted(tmp_path, logger=logger, log_every_n_steps=1)
    header = (tmp_path / "log" / "metrics.csv").read_text().splitlines()[0].split(",")
    assert {"train_loss", "train_regulariser", "val_r", "val_r2", "epoch", "step"} <= set(header)


def test_the_tensorboard_logger_gets_losses_and_scores(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    fitted(tmp_path, logger=pl.loggers.TensorBoardLogger(tmp_path, name="", version="log"), log_every_n_steps=1)
    events = EventAccumulator(str(tmp_path / "log"))
    events.Reload()
    assert {"train_loss", "val_r", "val_r2"} <= set(events.Tags()["scalars"])


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_a_compiled_model_trains_as_an_uncompiled_one(tmp_path, backend):
    plain = fitted(tmp_path, max_epochs=1)
    model = PLModel(toy_config(), ToyBackbone(), data=toy_dataset())
    training = trainer(tmp_path, max_epochs=1)
    training.fit(torch.compile(model, backend=backend))
    assert model.history[-1] == pytest.approx(plain.history[-1], abs=1e-4)
    with toys_registered():
        training.save_checkpoint(tmp_path / "a.ckpt")
        loaded = PLModel.load_from_checkpoint(tmp_path / "a.ckpt").eval()
    assert loaded.state_dict().keys() == plain.state_dict().keys()


@pytest.mark.parametrize("place", ["cpu", torch.device("cpu"), {"cuda:0": "cpu"}, lambda storage, where: storage])
def test_a_checkpoint_goes_where_it_is_told_to(tmp_path, place):
    with toys_registered():
        model = PLModel(toy_config(), ToyBackbone(), data=toy_dataset())
        training = trainer(tmp_path, max_epochs=1)
        training.fit(model)
        training.save_checkpoint(tmp_path / "a.ckpt")
        loaded = PLModel.load_from_checkpoint(tmp_path / "a.ckpt", map_location=place)
    assert loaded.device == torch.device("cpu")
    torch.testing.assert_close(dict(loaded.named_parameters()), dict(model.named_parameters()))


def test_the_trainer_predicts_images_without_responses(tmp_path):
    model = fitted(tmp_path)
    images = torch.rand(6, 3, 32, 32)
    predicted = trainer(tmp_path).predict(model, DataLoader(images, batch_size=4))
    torch.testing.assert_close(torch.cat(predicted), model.eval()(images)[0].detach())
    tokens = model.tokens(images)
    torch.testing.assert_close(model.predict_step(tokens, 0), torch.cat(predicted))


def test_the_best_checkpoint_of_a_trainer_is_tested_and_predicts(tmp_path):
    model = PLModel(toy_config(), ToyBackbone(), data=toy_dataset())
    best = pl.callbacks.ModelCheckpoint(tmp_path, monitor="val_r", mode="max")
    training = trainer(tmp_path, callbacks=[best], enable_checkpointing=True)
    training.fit(model)
    found = training.test(ckpt_path="best", verbose=False)[0]
    other = PLModel(toy_config(), ToyBackbone(), data=toy_dataset())
    assert trainer(tmp_path).test(other, ckpt_path=best.best_model_path, verbose=False)[0] == pytest.approx(found)
    assert len(torch.cat(training.predict(ckpt_path="best"))) == 60

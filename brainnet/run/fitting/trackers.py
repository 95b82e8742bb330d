"""Trackers that a training logs to beside ``log/metrics.csv``: Lightning's own loggers, by ``TRAINER.LOGGER``.

A tracker gets the settings, the course of the losses and scores, the means of the test images, and as artifacts the
tables, the pictures and the interactive page. Where it keeps them is its own affair: ``WANDB_MODE``, ``WANDB_PROJECT``
and ``MLFLOW_TRACKING_URI`` are read by wandb and mlflow. Else mlflow keeps them in ``log/mlflow`` of the folder.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from brainnet._checks import require
from brainnet._work import says_progress
from brainnet.config import config_keys
from brainnet.run.page.run_page import write_page

log = logging.getLogger(__name__)

ARTEFACTS = ("run.json", "metrics.json", "scores.csv", "selectors.npz", "maps.png", "page.html")
PROJECT = "brainnet"


def check_tracker(name: str) -> None:
    """Refuses a tracker that is not installed, before any work.

    Raises:
        ModuleNotFoundError: names the extra that brings it.
    """
    for_what = f"TRAINER.LOGGER {name}"
    if name == "tensorboard" and find_spec("tensorboard") is None and find_spec("tensorboardX") is None:
        require("tensorboard", for_what, '"brainnet[tensorboard]"')
    if name in ("wandb", "mlflow"):
        require(name, for_what, f'"brainnet[{name}]"')


def build_loggers(cfg: CfgNode, out: Path) -> list[Any]:
    """Lightning's loggers of a run: its own table first, then the tracker.

    Raises:
        ConnectionError: the tracker cannot be reached.
    """
    with _speaking_of(cfg.TRAINER.LOGGER):
        return _loggers(cfg, out)


def _loggers(cfg: CfgNode, out: Path) -> list[Any]:
    from pytorch_lightning.loggers import CSVLogger, MLFlowLogger, TensorBoardLogger, WandbLogger

    name, folder, run_name = cfg.TRAINER.LOGGER, out / "log", out.resolve().name
    table = CSVLogger(out, name="", version="log")
    if name == "tensorboard":
        return [table, TensorBoardLogger(folder, name="", version="tensorboard", default_hp_metric=False)]
    if name == "wandb":
        project = os.environ.get("WANDB_PROJECT", PROJECT)
        offline = os.environ.get("WANDB_MODE") == "offline"
        return [table, WandbLogger(name=run_name, project=project, save_dir=folder, offline=offline)]
    if name == "mlflow":
        place = os.environ.get("MLFLOW_TRACKING_URI")
        if not place:  # files: the one store that needs no database and no server
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # later versions ask for this word
            place = (folder / "mlflow").resolve().as_uri()
        return [table, MLFlowLogger(os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT), run_name, tracking_uri=place)]
    return [table]


def begin(trainer: Any, cfg: CfgNode, out: Path, resume: bool) -> None:
    """Begins the tracker's run, and tells it the settings.

    Raises:
        ConnectionError: the tracker does not begin one.
    """
    name = cfg.TRAINER.LOGGER
    if name == "csv" or not trainer.is_global_zero:
        return
    if not resume:
        shutil.rmtree(out / "log" / "tensorboard", ignore_errors=True)  # which would show both as one run
    (out / "log").mkdir(parents=True, exist_ok=True)
    settings = {key: value if isinstance(value, bool | int | float) else str(value)
                for key, value in config_keys(cfg).items()}  # fmt: skip
    with _speaking_of(name):
        for logger in trainer.loggers[1:]:
            _ = logger.experiment
            logger.log_hyperparams(settings)


def finish(trainer: Any, cfg: CfgNode, out: Path, metrics: Mapping[str, Any]) -> None:
    """Gives the tracker the means of the test images and the artifacts; where it fails a line says so."""
    name = cfg.TRAINER.LOGGER
    if name == "csv" or not trainer.is_global_zero:
        return
    if not (out / "page.html").is_file():
        try:
            write_page([out], out / "page.html")
        except (FileNotFoundError, ValueError) as error:
            log.info("no page for %s: %s", name, error)
    paths = [out / file for file in ARTEFACTS if (out / file).is_file()]
    try:
        with _speaking_of(name):
            for logger in trainer.loggers[1:]:
                logger.log_metrics(_means(metrics), step=trainer.global_step)
                _TAKES[name](logger, paths)
                logger.finalize("success")
                if name == "wandb":
                    logger.experiment.finish()
    except ConnectionError as error:
        says_progress.warning("the run is whole, and not all of it is in the tracker: %s", error)


def _means(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The mean scores of the test images by region, as a tracker names them."""
    found = {}
    for roi, row in metrics["test"].items():
        values = {score: (row.get(score) or {}).get("mean") for score in ("r", "r2", "ceiling")}
        values["ceiling_share"] = row.get("ceiling_share")
        where = "".join(sign if sign.isalnum() or sign in "_-. " else "_" for sign in roi)
        found |= {f"test_{score}/{where}": float(value) for score, value in values.items() if value is not None}
    return found


def _to_tensorboard(logger: Any, paths: list[Path]) -> None:
    """It shows pictures, and keeps files beside its own."""
    import numpy as np
    from PIL import Image

    for path in paths:
        if path.suffix == ".png":
            with Image.open(path) as picture:
                logger.experiment.add_image(path.stem, np.asarray(picture.convert("RGB")), dataformats="HWC")
        shutil.copyfile(path, Path(logger.log_dir) / path.name)


def _to_wandb(logger: Any, paths: list[Path]) -> None:
    import wandb

    for path in paths:
        if path.suffix == ".png":
            logger.experiment.log({path.stem: wandb.Image(str(path))})
        if path.name == "page.html":
            logger.experiment.log({"page": wandb.Html(path.read_text(encoding="utf-8"), inject=False)})
    artefact = wandb.Artifact(f"run-{logger.experiment.id}", type="run")
    for path in paths:
        artefact.add_file(str(path))
    logger.experiment.log_artifact(artefact)


def _to_mlflow(logger: Any, paths: list[Path]) -> None:
    for path in paths:
        logger.experiment.log_artifact(logger.run_id, str(path))


_TAKES = {"tensorboard": _to_tensorboard, "wandb": _to_wandb, "mlflow": _to_mlflow}


@contextlib.contextmanager
def _speaking_of(name: str) -> Iterator[None]:
    """Whatever a tracker raises becomes one line."""
    hint = {"wandb": " Run wandb login, or set WANDB_MODE=offline.", "mlflow": " Check MLFLOW_TRACKING_URI."}.get(
        name, ""
    )
    try:
        yield
    except Exception as error:  # of which kind is the tracker's affair
        said = " ".join((str(error) or type(error).__name__).split())[:300].rstrip(".")
        raise ConnectionError(f"{name} does not take this run: {said}.{hint}") from error

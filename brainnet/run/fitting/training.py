"""A run: settings in, a folder of results out, with a card that says where every number came from.

A run folder holds

    run.json        the run card: versions, seeds, data, backbone, split, ceiling, scores with intervals
    config.yaml     the whole merged config
    data.json       digests of responses, splits and images: what a resumed run must find again
    model.ckpt      the read-out (never the backbone)
    selectors.npz   layer, space, scale (and width) of every voxel, with the place of each; of a read-out that has them
    scores.csv      one row per voxel: id, ROIs, r, r2, noise ceiling, share of the ceiling
    scores_X.csv    the same for images of a further split X of the data, where it has any
    metrics.json    the means, per ROI too; for a simulated subject how much of the planted truth was found
    maps.png, .svg  the picture
    time.*, time_layers.*, sensors.*  of sensors over time (EEG, MEG): scores, weights of layers, scores of every sensor
    latency.*, delays.*, course.*, runs.*, courses.npz  of a time series: delays, prediction and response of test runs
    window_share.*  with MODEL.FIELD, how much of each voxel its window explains, as png and svg
"""

from __future__ import annotations

import logging
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from yacs.config import CfgNode

from brainnet._files import read_json, write_json, write_text
from brainnet.config import checked_config, config_keys, load_config, parse_config
from brainnet.dataset import ResponseDataset, TimeSeries
from brainnet.dataset.shown import stimuli_shown
from brainnet.plmodel import PLModel, build_backbone_of, build_dataset
from brainnet.plmodel.build import planted, training_groups, with_full_paths
from brainnet.plmodel.checkpoint import CHECKPOINT_KEY, read_checkpoint
from brainnet.run.fitting import trackers
from brainnet.run.forecast import Forecast, announced, resident_memory, say_tokens
from brainnet.run.processes import ending_together, environment, is_first_process, let_one_speak, processes
from brainnet.run.record.card import Clock, data_card
from brainnet.run.record.claiming import claimed, clear, speaking_of_the_store, stoppable
from brainnet.run.record.run_folder import ALL, write_run
from brainnet.run.stimuli import warn_of_copies
from brainnet.scores import usable_voxels
from brainnet.store import backbones_unchanged

log = logging.getLogger(__name__)

BEGUN = ("run.json", "checkpoints", "config.yaml")
RESULTS = ("run.json", "model.ckpt", "selectors.npz", "scores.csv", "scores_*.csv", "metrics.json", "maps.png",
           "maps.svg", "maps.pdf", "window_share.*", "latency.*", "delays.*", "course.*", "runs.*", "courses.npz",
           "time.*", "time_layers.*", "sensors.*", "page.html", "checkpoints", "log/maps/epoch*.png",
           "log/metrics*.csv")  # fmt: skip
ON_THE_WAY = (  # may change at a resume
    "MAX_EPOCHS", "PATIENCE", "VAL_EVERY", "ACCELERATOR", "DEVICES", "NUM_NODES", "STRATEGY", "CUDA_GRAPH",
    "LOGGER",
)  # fmt: skip


def fit(
    cfg: CfgNode,
    out: str | Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    draw: bool = False,
    force: bool = False,
    progress: bool = True,
) -> dict[str, Any]:
    """Trains a read-out as ``cfg`` says, scores it on the test images, and fills the run folder ``out``.

    Args:
        cfg: settings, see :func:`brainnet.config.load_config`.
        out: the run folder; made where it does not exist.
        resume: go on from the last checkpoint of an interrupted run in ``out``.
        overwrite: replace what ``out`` holds.
        draw: save a picture of the maps at every validation.
        force: begin also what the forecast says does not fit.
        progress: show progress bars.

    Returns:
        The metrics, as written to ``metrics.json``; nothing in all but the first of several processes.

    Raises:
        FileExistsError: ``out`` holds a run already and neither ``resume`` nor ``overwrite`` was asked for.
        ValueError: settings or data that a run cannot be made of, or other ones than those it was begun with.
        BlockingIOError: another process is filling ``out``.
        Interrupted: ctrl-C or SIGTERM; says what is kept.
        MemoryError: the device has too little memory; says which setting to lower. Or, without ``force``, the forecast
            says that the machine has too little.
        OSError: the forecast says that the disk has too little room, without ``force``.
    """
    cfg, out = with_full_paths(checked_config(cfg)), Path(out)
    if not is_first_process():  # Lightning starts it with this same command
        return _fit(cfg, out, resume, draw, True, progress, writes=False)
    hint = "go on with --resume, or " if last_checkpoint(out).is_file() else ""
    with claimed(out, "fit", BEGUN, resume=resume, overwrite=overwrite, hint=hint):
        if resume:
            _check_settings(out, cfg)
        return _fit(cfg, out, resume, draw, force, progress, writes=True)


@backbones_unchanged()
def _fit(
    cfg: CfgNode, out: Path, resume: bool, draw: bool, force: bool, progress: bool, writes: bool
) -> dict[str, Any]:
    import pytorch_lightning as pl

    clock = Clock()
    pl.seed_everything(cfg.SEED, workers=True, verbose=False)
    trainer, best = _build_trainer(cfg, out, progress)  # before any work: a device may not be there
    if planted(cfg):
        backbone = build_backbone_of(cfg)
        dataset = build_dataset(cfg, backbone)
    else:  # a wrong folder is told before weights are fetched
        dataset = build_dataset(cfg, None)
        backbone = build_backbone_of(cfg)
    check_data(dataset, cfg.TRAINER.FIT_ON)
    if cfg.MODEL.CV_GROUPS == "dataset":  # refused now, and not after the tokens
        training_groups(dataset, torch.cat([dataset.splits[name] for name in cfg.TRAINER.FIT_ON.split("+")]))
    if writes:
        warn_of_copies(dataset, ("train",) if cfg.TRAINER.FIT_ON == "train" else ("train", "val"))
    data = data_card(cfg.DATASET.NAME, dataset)
    if resume:
        _check_data_again(out, data)
    clock.lap("data")
    with stoppable(lambda: _what_is_kept(out)), speaking_of_the_store():
        if writes and isinstance(dataset, TimeSeries):
            _say_tokens_of(stimuli_shown(dataset, getattr(backbone, "reads", "image")), backbone, cfg, out, force)
        model = PLModel(cfg, backbone, draw=draw, data=dataset, progress=progress)
        if writes:
            _forecast_tokens(model, cfg, out, force)
        model.setup_store(model.data)
        seen = {"tokens": {} if model.data.store is None else dict(model.data.store.fingerprint)}
        if resume:
            _check_data_again(out, seen)
        clock.lap("tokens")
        if writes:  # only now: a start that failed leaves nothing that looks like a run, and an old run untouched
            _prepare_folder(out, resume, cfg, data | seen)
            trackers.begin(trainer, cfg, out, resume)
            forecasts = _forecasts_training(trainer, model, cfg, out, clock, force)
        try:
            with ending_together(trainer.world_size, lambda: _what_is_kept(out)):
                _train(trainer, model, last_checkpoint(out) if resume else None)
        except torch.OutOfMemoryError as error:
            raise MemoryError(
                f"the device ran out of memory in training ({str(error).splitlines()[0]}). Lower DATASET.BATCH_SIZE, "
                f"now {cfg.DATASET.BATCH_SIZE}, or MODEL.BOTTLENECK_DIM, now {cfg.MODEL.BOTTLENECK_DIM}."
            ) from None
    validation = model.history[-1] if model.history else None
    if best.best_model_path:
        kept = read_checkpoint(best.best_model_path)
        _refuse_other_settings(Path(best.best_model_path), kept, cfg)
        model.load_state_dict(kept["state_dict"])
        validation = kept[CHECKPOINT_KEY].get("history", [validation])[-1]  # not that of the last weights
    trainer.save_checkpoint(out / "model.ckpt", weights_only=True)  # every process: they wait for each other in there
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()  # scoring is the first one's alone; the others may leave
    if not trainer.is_global_zero:
        return {}
    clock.lap("training")

    metrics = write_run(out, model, data, validation, clock, forecasts[-1].of_card())
    trackers.finish(trainer, cfg, out, metrics)
    return metrics


def check_data(dataset: ResponseDataset, fit_on: str) -> None:
    """Says before hours of training, not after, that there is nothing to choose by or to report on.

    Args:
        dataset: images, responses and splits.
        fit_on: "train", or "train+val".

    Raises:
        ValueError: a split is missing or cannot be scored, or a region would be taken for all voxels.
    """
    if not dataset.space.rois.get(ALL, torch.ones(1)).all():
        raise ValueError(f"the data set has a ROI named {ALL!r}, which means every voxel in the tables: rename it.")
    needed = ("train", "val", "test") if fit_on == "train" else ("train", "test")
    few = [name for name in needed if len(dataset.splits[name]) < 2]
    is_series = isinstance(dataset, TimeSeries)
    what = "volumes" if is_series else "images"
    if few:
        raise ValueError(
            f"the data set has no {' and no '.join(few)} {what}, or a single one. A run trains "
            "on train, chooses by val (not with TRAINER.FIT_ON train+val) and reports test, by correlations across "
            f"{what}; {'name whole runs by val and test in DATASET.OPTIONS' if is_series else 'give it such splits'}."
        )
    for name in needed:
        rows = dataset.splits[name]
        blocks = dataset.responses.split(4096, dim=1)
        if name != "train" and not any(usable_voxels(block, rows).any() for block in blocks):
            raise ValueError(
                f"no voxel can be scored on {name}: in each of them the response to one of its {len(rows)} {what} is "
                f"NaN, or all responses are equal. Leave {what} without responses out of the splits."
            )


def last_checkpoint(out: Path) -> Path:
    """Where a run keeps its last whole epoch."""
    return out / "checkpoints" / "last.ckpt"


def _what_is_kept(out: Path) -> str:
    last = last_checkpoint(out)
    kept = (
        f"its last whole epoch is kept: go on with brainnet fit --config {out / 'config.yaml'} --resume --out {out}"
        if last.is_file()
        else "no epoch was finished, so nothing is kept"
    )
    return f"training was interrupted; {kept}."


# ---------------------------------------------------------------------- the folder


def _check_settings(out: Path, cfg: CfgNode) -> None:
    """Refuses to resume what is not there, was trained long enough, or was begun with other settings."""
    last = last_checkpoint(out)
    if not last.is_file():
        raise FileNotFoundError(f"nothing to resume in {out}: no {last.relative_to(out)}. Start without --resume.")
    checkpoint = read_checkpoint(last)
    _refuse_other_settings(last, checkpoint, cfg)
    trained = int(checkpoint.get("epoch", -1)) + 1
    if trained > cfg.TRAINER.MAX_EPOCHS:
        raise ValueError(
            f"the run in {out} has trained for {trained} epochs, more than TRAINER.MAX_EPOCHS "
            f"{cfg.TRAINER.MAX_EPOCHS}: resume with more."
        )
    changed = _changed(load_config(out / "config.yaml"), cfg)
    if changed:
        raise ValueError(f"{out} was begun with other settings of {', '.join(changed)}; resume with the same ones.")


def _changed(then: CfgNode, now: CfgNode) -> list[str]:
    """Settings that differ and may not, where a run goes on."""
    old, new, free = config_keys(then), config_keys(now), {f"TRAINER.{name}" for name in ON_THE_WAY}
    return [key for key in {**old, **new} if new.get(key) != old.get(key) and key not in free]


def _refuse_other_settings(path: Path, checkpoint: dict[str, Any], cfg: CfgNode) -> None:
    """Refuses another run's checkpoint in the place of this one's."""
    changed = _changed(parse_config(checkpoint[CHECKPOINT_KEY]["config"]), cfg)
    if changed:
        raise ValueError(f"{path} was trained with other settings of {', '.join(changed)}: it is another run's.")


def _check_data_again(out: Path, now: dict[str, Any]) -> None:
    """Refuses to go on with other data than the run in ``out`` was begun with."""
    path = out / "data.json"
    if not path.is_file():  # begun before there was such a file
        log.warning("%s does not say which data it was begun with: they are not compared", out)
        return
    then = read_json(path)
    differing = [
        f"{part}: {field}"
        for part in now
        if part in then
        for field in sorted({*(now[part] or {}), *(then[part] or {})})
        if (now[part] or {}).get(field) != (then[part] or {}).get(field)
    ]
    if differing:
        raise ValueError(
            f"{out} was begun with other data ({', '.join(differing)} differ); resume with the same, or begin anew "
            "with --overwrite."
        )


def _prepare_folder(out: Path, resume: bool, cfg: CfgNode, data: dict[str, Any]) -> None:
    """Takes away what the run replaces, so that no file of another training stands beside its own; says what it is."""
    log_file = out / "log" / "metrics.csv"
    if not resume:
        clear(out, RESULTS)
    elif log_file.is_file():  # which the logger would begin anew
        number = 1 + sum(1 for _ in log_file.parent.glob("metrics.*.csv"))
        log_file.rename(log_file.with_name(f"metrics.{number}.csv"))
    write_text(out / "config.yaml", cfg.dump())
    write_json(out / "data.json", data)


# ---------------------------------------------------------------------- training


def _build_trainer(cfg: CfgNode, out: Path, progress: bool) -> tuple[Any, Any]:
    """Lightning's trainer, and its callback that knows the best weights.

    Raises:
        ValueError: a device, a number of devices or a strategy that this machine does not have.
    """
    import pytorch_lightning as pl
    from pytorch_lightning.callbacks.progress import RichProgressBar
    from pytorch_lightning.plugins.io import TorchCheckpointIO
    from pytorch_lightning.utilities.exceptions import MisconfigurationException

    from brainnet.run.fitting.callbacks import Checkpoint, Patience, WholeCheckpoints

    if not log.isEnabledFor(logging.INFO):
        logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)  # what devices there are, and advertising
    let_one_speak()
    validates = cfg.TRAINER.FIT_ON == "train"
    best = Checkpoint(
        out / "checkpoints",
        filename="best",
        monitor="val_r" if validates else None,
        mode="max",
        save_top_k=1 if validates else 0,
        enable_version_counter=False,
    )
    # one of its own: save_last=True saves the last epoch that was the best
    every = Checkpoint(
        out / "checkpoints", filename="last", every_n_epochs=1, save_on_train_epoch_end=True,
        enable_version_counter=False,
    )  # fmt: skip
    callbacks: list[pl.Callback] = [best, every]
    if validates and cfg.TRAINER.PATIENCE:
        callbacks.append(Patience("val_r", mode="max", patience=-(-cfg.TRAINER.PATIENCE // cfg.TRAINER.VAL_EVERY)))
    show = progress and sys.stderr.isatty()
    if show:
        callbacks.append(RichProgressBar(leave=False))
    trackers.check_tracker(cfg.TRAINER.LOGGER)
    loggers = trackers.build_loggers(cfg, out)
    devices, num_nodes = processes(cfg.TRAINER.DEVICES, cfg.TRAINER.NUM_NODES)
    try:
        trainer = pl.Trainer(
            max_epochs=cfg.TRAINER.MAX_EPOCHS,
            accelerator=cfg.TRAINER.ACCELERATOR,
            devices=devices,
            num_nodes=num_nodes,
            plugins=environment(),
            strategy=cfg.TRAINER.STRATEGY,
            check_val_every_n_epoch=cfg.TRAINER.VAL_EVERY,
            limit_val_batches=None if validates else 0,
            num_sanity_val_steps=0,
            callbacks=callbacks,
            logger=loggers,
            enable_progress_bar=show,
            enable_model_summary=False,
        )
    except (MisconfigurationException, ImportError, ValueError, TypeError, RuntimeError) as error:
        asked = {name: cfg.TRAINER[name] for name in ("ACCELERATOR", "DEVICES", "NUM_NODES", "STRATEGY")}
        settings = ", ".join(f"TRAINER.{name} {value}" for name, value in asked.items())
        raise ValueError(f"this machine cannot train with {settings}: {' '.join(str(error).split())}") from None
    if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:  # a strategy may have its own
        trainer.strategy.checkpoint_io = WholeCheckpoints()
    return trainer, best


def _forecast_tokens(model: PLModel, cfg: CfgNode, out: Path, force: bool) -> None:
    """Says what the tokens take that are to be computed, where that is long."""
    if model.cached and model.data.store is None and model.backbone is not None:
        _say_tokens_of(model.data.dataset, model.backbone, cfg, out, force)


def _say_tokens_of(stimuli: Any, backbone: Any, cfg: CfgNode, out: Path, force: bool) -> None:
    say_tokens(
        backbone,
        stimuli,
        Path(cfg.TOKENS.STORE) if cfg.TOKENS.STORE else None,
        out,
        force,
        of="forecast of the tokens",
        grid=tuple(cfg.MODEL.GRID),
        resize=cfg.MODEL.RESIZE,
        batch_size=cfg.TOKENS.BATCH_SIZE,
    )


def _forecasts_training(
    trainer: Any, model: PLModel, cfg: CfgNode, out: Path, clock: Clock, force: bool
) -> list[Forecast]:
    """Refuses a training that cannot fit; a line says its forecast when the first steps are timed.

    Returns:
        The forecasts so far, the last one the best.
    """
    store = model.data.store
    standardized = 0 if store is None or not cfg.TOKENS.STANDARDIZE else 2 * len(store) * store.layout.row
    encoder = 4 * sum(parameter.numel() for parameter in model.encoder.parameters())
    first = Forecast(memory=standardized + 8 * encoder, disk=(1 + 2 * 3) * encoder + 2e6)
    found = [announced(first, out, force)]

    def say(left: float) -> None:
        now = replace(first, memory=0, resident=resident_memory(), seconds=clock.elapsed() + left)
        found.append(announced(now, out, force=True))

    from brainnet.run.fitting.callbacks import Pace

    trainer.callbacks.append(Pace(say, cfg.TRAINER.VAL_EVERY if cfg.TRAINER.FIT_ON == "train" else 0))
    return found


def _train(trainer: Any, model: PLModel, checkpoint: Path | None) -> None:
    """``trainer.fit``, from a checkpoint where one is given."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*number of training batches.*")
        warnings.filterwarnings("ignore", message=".*exists and is not empty.*")
        trainer.fit(model, ckpt_path=None if checkpoint is None else str(checkpoint), weights_only=True)

"""A run: settings in, a folder of results out, with a card that says where every number came from.

``fit`` trains and scores a map, ``predict`` applies a finished run to new images, ``redraw`` makes its pictures again.
A run folder holds

    run.json        the run card: versions, seeds, data, backbone, split, ceiling, scores with intervals
    config.yaml     the whole merged config
    model.ckpt      the encoder (never the backbone)
    selectors.npz   layer, space, scale (and width) of every voxel, with the place of each
    scores.csv      one row per voxel: id, ROIs, r, r2, noise ceiling, r over ceiling
    scores_X.csv    the same for images of a further split X of the data, where it has any
    metrics.json    the means, per ROI too; for a simulated subject how much of the planted truth was found
    maps.png, .svg  the picture
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from yacs.config import CfgNode

from brainnet._files import sha256, write_json
from brainnet._work import Interrupted
from brainnet._work import progress as progress_bar
from brainnet.config import config_keys, load_config, parse_config
from brainnet.dataset import ResponseDataset
from brainnet.plmodel import PLModel, build_backbone_of, build_dataset
from brainnet.plmodel.module import CHECKPOINT_KEY
from brainnet.run.card import Clock, closing, opening, refuse_others
from brainnet.scores import bootstrap_scores, interval, normalise, pearson_r, r2
from brainnet.selection import Selectors
from brainnet.space import BrainSpace
from brainnet.stimuli import Images

log = logging.getLogger(__name__)

RESULTS = ("run.json", "model.ckpt", "selectors.npz", "scores.csv", "metrics.json", "maps.png", "maps.svg")
ON_THE_WAY = (  # may change at a resume
    "MAX_EPOCHS", "PATIENCE", "VAL_EVERY", "ACCELERATOR", "DEVICES", "STRATEGY", "CUDA_GRAPH"
)  # fmt: skip
PACKAGES = ("torch", "torchvision", "pytorch-lightning", "numpy", "scipy", "scikit-learn", "timm", "open_clip_torch",
            "nilearn")  # fmt: skip


def fit(
    cfg: CfgNode,
    out: str | Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    draw: bool = False,
    progress: bool = True,
) -> dict[str, Any]:
    """Trains FactorTopy as ``cfg`` says, scores it on the test images, and fills the run folder ``out``.

    Args:
        cfg: settings, see :func:`brainnet.config.load_config`.
        out: the run folder; made where it does not exist.
        resume: go on from the last checkpoint of an interrupted run in ``out``.
        overwrite: replace what ``out`` holds.
        draw: save a picture of the maps at every validation.
        progress: show progress bars.

    Returns:
        The metrics, as written to ``metrics.json``.

    Raises:
        FileExistsError: ``out`` holds a run already and neither ``resume`` nor ``overwrite`` was asked for.
    """
    import pytorch_lightning as pl

    out = Path(out)
    main_process = int(os.environ.get("LOCAL_RANK", 0)) == 0  # Lightning starts the others with this same command
    last = out / "checkpoints" / "last.ckpt"
    if main_process:
        _open_folder(out, cfg, last, resume, overwrite)
    clock = Clock()
    pl.seed_everything(cfg.SEED, workers=True, verbose=False)
    if cfg.DATASET.NAME == "simulated":  # planted in the backbone
        backbone = build_backbone_of(cfg)
        dataset = build_dataset(cfg, backbone)
    else:  # a wrong folder is told before weights are fetched
        dataset = build_dataset(cfg, None)
        backbone = build_backbone_of(cfg)
    _check_splits(dataset, cfg.TRAINER.FIT_ON)
    clock.lap("data")
    model = PLModel(cfg, backbone, draw=draw, data=dataset, progress=progress)
    model.setup_store(model.data)
    clock.lap("tokens")
    trainer, best = _trainer(cfg, out, progress)
    if main_process:  # only now: a start that failed leaves nothing that looks like a run, and an old run untouched
        _prepare_folder(out, resume)
        (out / "config.yaml").write_text(cfg.dump())
    _train(trainer, model, last, resume, out)
    validation = model.history[-1] if model.history else None
    if best.best_model_path:
        kept = _read_checkpoint(best.best_model_path)
        model.load_state_dict(kept["state_dict"])
        validation = kept[CHECKPOINT_KEY].get("history", [validation])[-1]  # not that of the last weights
    trainer.save_checkpoint(out / "model.ckpt", weights_only=True)  # every process: they wait for each other in there
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()  # scoring is the first one's alone; the others may leave
    if not trainer.is_global_zero:
        return {}
    clock.lap("training")

    model.eval()
    metrics = _write_results(out, model, dataset, validation)
    clock.lap("scores")
    redraw(out)
    clock.lap("pictures")
    card = _run_card(cfg, dataset, model, metrics, clock)
    write_json(out / "run.json", card)
    return metrics


def predict(run: str | Path, images: Any, out: str | Path, *, batch_size: int = 16, progress: bool = True) -> Path:
    """Predicted responses of every voxel to new images, by a finished run.

    Args:
        run: a run folder, or a ``model.ckpt``.
        images: folder, zip or list of images.
        out: folder that receives ``predictions.npy``, (n_images, n_voxels) float32 in response units, NaN for voxels
            that could not be trained, and ``images.txt``, one image id per row; a file that is there is replaced
            once the new one is whole. A folder of another command's results is refused.
        batch_size: images per forward pass.
        progress: show a progress bar.

    Returns:
        The path of ``predictions.npy``.
    """
    model = load_model(run)
    photographs = Images(images)
    out = Path(out)
    refuse_others(out, "fit")
    out.mkdir(parents=True, exist_ok=True)
    target = out / "predictions.npy"
    unfinished = out / "predictions.npy.part"
    table = np.lib.format.open_memmap(
        unfinished, mode="w+", dtype=np.float32, shape=(len(photographs), model.space.n_voxels)
    )
    rows = torch.arange(len(photographs)).split(batch_size)
    with torch.no_grad():
        for part in progress_bar(rows, f"Predicting {len(photographs):,} images", len(rows), progress):
            batch = torch.stack([model.preprocessing(photographs[int(i)]) for i in part])
            table[part.numpy()] = model(batch)[0].masked_fill(~model.usable, torch.nan).numpy()
    table.flush()
    os.replace(unfinished, target)
    (out / "images.txt").write_text("".join(f"{name}\n" for name in photographs.ids))
    return target


def load_model(run: str | Path, backbone: Any = None) -> PLModel:
    """The trained model of a run folder, in evaluation mode, on the CPU.

    Args:
        run: a run folder, or a ``model.ckpt``.
        backbone: the backbone it was trained on; None builds the one its config names.

    Raises:
        FileNotFoundError: no ``model.ckpt`` there.
        ValueError: a checkpoint of another backbone.
    """
    path = Path(run)
    path = path / "model.ckpt" if path.is_dir() else path
    if not path.is_file():
        raise FileNotFoundError(
            f"no finished run at {run}: {path} does not exist. `brainnet fit --out {run}` makes one."
        )
    checkpoint = _read_checkpoint(path)
    if CHECKPOINT_KEY not in checkpoint:
        raise ValueError(f"{path} was not written by brainnet.")
    cfg = parse_config(checkpoint[CHECKPOINT_KEY]["config"])
    model = PLModel(cfg, build_backbone_of(cfg) if backbone is None else backbone, skip_data=True)
    model.on_load_checkpoint(checkpoint)
    model.load_state_dict(checkpoint["state_dict"])
    return model.eval()


def _without(cfg: CfgNode | None) -> dict[str, object]:
    """The panels of ``plot.selectors`` that say nothing of this training, and why."""
    if cfg is None or cfg.MODEL.START != "ridge":
        return {}
    return {"leave_out": ("layer", "scale", "channels"), "note": "they mean nothing where training starts from ridge"}


def redraw(run: str | Path) -> list[Path]:
    """Draws ``maps.png`` and ``maps.svg`` of a run folder from its ``selectors.npz`` and ``scores.csv``."""
    import pandas as pd

    from brainnet import plot

    run = Path(run)
    for name in ("selectors.npz", "scores.csv"):
        if not (run / name).is_file():
            raise FileNotFoundError(f"no {name} in {run}; `brainnet fit --out {run}` makes a run folder.")
    scores = pd.read_csv(run / "scores.csv")
    with np.load(run / "selectors.npz", allow_pickle=False) as arrays:
        selectors = Selectors(*(torch.from_numpy(arrays[name]) for name in ("space", "layer", "scale")))
        extra = {"width": torch.from_numpy(arrays["width"])} if "width" in arrays else {}
        space = BrainSpace.from_arrays({k.removeprefix("at:"): arrays[k] for k in arrays.files if k.startswith("at:")})
        names, clusters = arrays["layer_names"].tolist(), torch.from_numpy(arrays["cluster"])
    saved = run / "config.yaml"
    cfg = load_config(saved) if saved.is_file() else None
    title = None if cfg is None else cfg.DESCRIPTION
    if cfg is not None and cfg.DATASET.SHUFFLED:
        title = f"{title}. NEGATIVE CONTROL: responses shuffled" if title else "NEGATIVE CONTROL: responses shuffled"
    figure = plot.selectors(
        selectors,
        space,
        title=title,
        scores=torch.tensor(scores["r"].to_numpy()),
        noise_ceiling=torch.tensor(scores["noise_ceiling"].to_numpy()) if "noise_ceiling" in scores else None,
        clusters=clusters,
        layer_names=names,
        fade=cfg is None or not cfg.DATASET.SHUFFLED,
        **_without(cfg),
        **extra,
    )
    return plot.save(figure, run / "maps")


# ---------------------------------------------------------------------- training


def _open_folder(out: Path, cfg: CfgNode, last: Path, resume: bool, overwrite: bool) -> None:
    """Makes the run folder, or says why it will not touch the one that is there."""
    refuse_others(out, "fit")
    if resume:
        if not last.is_file():
            raise FileNotFoundError(f"nothing to resume in {out}: no {last.relative_to(out)}. Start without --resume.")
        trained = _read_checkpoint(last)["epoch"] + 1
        if trained > cfg.TRAINER.MAX_EPOCHS:
            raise ValueError(
                f"the run in {out} has trained for {trained} epochs, more than TRAINER.MAX_EPOCHS "
                f"{cfg.TRAINER.MAX_EPOCHS}: resume with more."
            )
        then, now = config_keys(load_config(out / "config.yaml")), config_keys(cfg)
        free = {f"TRAINER.{name}" for name in ON_THE_WAY}
        changed = [key for key in now if now[key] != then.get(key) and key not in free]
        if changed:
            raise ValueError(f"{out} was begun with other settings of {', '.join(changed)}; resume with the same ones.")
    elif not overwrite and any((out / name).exists() for name in ("run.json", "checkpoints", "config.yaml")):
        hint = (
            "go on with --resume, or replace it with --overwrite" if last.is_file() else "replace it with --overwrite"
        )
        raise FileExistsError(f"{out} holds a run already: {hint}, or choose another --out.")
    out.mkdir(parents=True, exist_ok=True)


def _prepare_folder(out: Path, resume: bool) -> None:
    """Takes away what the run replaces, so that no file of another training stands beside its own."""
    log_file = out / "log" / "metrics.csv"
    if resume:
        if log_file.is_file():  # which the logger would begin anew
            number = 1 + sum(1 for _ in log_file.parent.glob("metrics.*.csv"))
            log_file.rename(log_file.with_name(f"metrics.{number}.csv"))
        return
    shutil.rmtree(out / "checkpoints", ignore_errors=True)
    for path in (*(out / name for name in RESULTS), *(out / "log" / "maps").glob("epoch*.png"),
                 *(out / "log").glob("metrics*.csv"), *out.glob("scores_*.csv")):  # fmt: skip
        path.unlink(missing_ok=True)


def _check_splits(dataset: ResponseDataset, fit_on: str) -> None:
    """Says before hours of training, not after, that there is nothing to choose by or to report on."""
    needed = ("train", "val", "test") if fit_on == "train" else ("train", "test")
    few = [name for name in needed if len(dataset.splits[name]) < 2]
    if few:
        raise ValueError(
            f"the data set has no {' and no '.join(few)} images, or a single one. A run trains "
            "on train, chooses by val (not with TRAINER.FIT_ON train+val) and reports test, by correlations across "
            "images; give it such splits."
        )
    for name in needed:
        rows = dataset.splits[name]
        blocks = (block[rows] for block in dataset.responses.split(4096, dim=1))
        if name != "train" and not any(
            (block.isfinite().all(0) & (block != block[0]).any(0)).any() for block in blocks
        ):
            raise ValueError(
                f"no voxel can be scored on {name}: in each of them the response to one of its {len(rows)} images is "
                "NaN, or all responses are equal. Leave images without responses out of the splits."
            )


def _trainer(cfg: CfgNode, out: Path, progress: bool):
    import pytorch_lightning as pl
    from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
    from pytorch_lightning.callbacks.progress import RichProgressBar
    from pytorch_lightning.loggers import CSVLogger

    if not log.isEnabledFor(logging.INFO):
        logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)  # what devices there are, and advertising

    class Checkpoint(ModelCheckpoint):
        """Finds its files where the run folder is now: Lightning forgets the best score where a folder was moved."""

        def load_state_dict(self, state: dict[str, Any]) -> None:
            def here(path: str) -> str:
                return str(Path(self.dirpath) / Path(path).name) if path else path

            paths = {key: here(state[key]) for key in ("best_model_path", "kth_best_model_path", "last_model_path")}
            models = {here(path): score for path, score in state["best_k_models"].items()}
            super().load_state_dict(state | paths | {"dirpath": self.dirpath, "best_k_models": models})

    class Patience(EarlyStopping):
        """Keeps to the patience it was made with, also where a run resumes that had another."""

        def load_state_dict(self, state: dict[str, Any]) -> None:
            super().load_state_dict(state | {"patience": self.patience})

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
    trainer = pl.Trainer(
        max_epochs=cfg.TRAINER.MAX_EPOCHS,
        accelerator=cfg.TRAINER.ACCELERATOR,
        devices=cfg.TRAINER.DEVICES,
        strategy=cfg.TRAINER.STRATEGY,
        check_val_every_n_epoch=cfg.TRAINER.VAL_EVERY,
        limit_val_batches=None if validates else 0,
        num_sanity_val_steps=0,
        callbacks=callbacks,
        logger=CSVLogger(out, name="", version="log"),
        enable_progress_bar=show,
        enable_model_summary=False,
    )
    return trainer, best


def _train(trainer: Any, model: PLModel, last: Path, resume: bool, out: Path) -> None:
    """``trainer.fit``; an interrupt says how to go on."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*number of training batches.*")
        warnings.filterwarnings("ignore", message=".*exists and is not empty.*")
        try:
            trainer.fit(model, ckpt_path=str(last) if resume else None, weights_only=True)
        except (KeyboardInterrupt, SystemExit):
            kept = (
                f"its last whole epoch is kept: go on with "
                f"brainnet fit --config {out / 'config.yaml'} --resume --out {out}"
                if last.is_file()
                else ("no epoch was finished, so nothing is kept")
            )
            raise Interrupted(f"training was interrupted; {kept}.") from None


def _read_checkpoint(path: str | Path) -> dict[str, Any]:
    return torch.load(path, map_location="cpu", weights_only=True)


# ---------------------------------------------------------------------- results


def _write_results(
    out: Path, model: PLModel, dataset: ResponseDataset, validation: dict[str, float] | None
) -> dict[str, Any]:
    """Scores the test images and writes scores.csv, selectors.npz and metrics.json; returns the metrics."""
    from brainnet.model import cluster_channels

    unusable = ~model.usable
    scored = {split: _score_split(model, dataset, split) for split in ("test", *_further_splits(dataset))}
    for split, (table, _) in scored.items():
        table.to_csv(out / _scores_file(split), index=False)

    selectors = model.get_selectors()
    share = model.contributions(dataset.splits["train"][:256])
    width = {"width": model.encoder.width().detach().numpy()} if model.encoder.window == "gaussian" else {}
    weight = model.encoder.weight.detach()
    np.savez_compressed(
        out / "selectors.npz",
        **{name: getattr(selectors, name).numpy() for name in selectors._fields},
        **width,
        layer_share=share.layer.numpy(),
        scale_share=share.scale.numpy(),
        cluster=cluster_channels(weight, n_clusters=min(20, len(weight))).numpy(),
        layer_names=np.array(model.layers),
        **{f"at:{key}": value for key, value in dataset.space.to_arrays().items()},
    )

    test = len(dataset.splits["test"])
    metrics: dict[str, Any] = {"n_test_images": test, "n_voxels": len(unusable), "n_unusable": int(unusable.sum())}
    metrics["places_at_the_border"] = model.at_the_border()  # a share; a quarter and more: the training ran away
    metrics["test"] = scored.pop("test")[1]
    if scored:
        metrics["further_splits"] = {
            split: {"n_images": len(dataset.splits[split]), **means} for split, (_, means) in scored.items()
        }
    if validation is not None:
        metrics["validation"] = validation
    if hasattr(dataset, "recovery") and dataset.noise_ceiling is not None:
        # what a layer or scale contributes over the weight it was given is its gain
        metrics["recovery"] = dataset.recovery(
            selectors,
            layer_gain=share.layer / selectors.layer,
            scale_gain=torch.cat([(1 - share.scale) / (1 - selectors.scale), share.scale / selectors.scale], 1),
        )
    write_json(out / "metrics.json", metrics)
    return metrics


def _further_splits(dataset: ResponseDataset) -> list[str]:
    """The splits beyond train, val and test that can be scored: two images or more with responses."""
    names = [name for name, rows in dataset.splits.items() if name not in ("train", "val", "test") and len(rows) > 1]
    return [name for name in names if bool(torch.isfinite(dataset.responses[dataset.splits[name]]).all(0).any())]


def _scores_file(split: str) -> str:
    return "scores.csv" if split == "test" else f"scores_{re.sub(r'[^A-Za-z0-9._-]', '_', split)}.csv"


def _score_split(model: PLModel, dataset: ResponseDataset, split: str) -> tuple[Any, dict[str, Any]]:
    """The table of a split's scores, see :func:`score_table`, and their means per ROI with intervals over images."""
    rows = dataset.splits[split]
    prediction, response = model.predict_index(rows), dataset.responses[rows]
    table = score_table(prediction, response, dataset, ~model.usable, dataset.ceiling_of(split))
    groups = {"all": torch.ones(len(table), dtype=torch.bool), **dataset.space.rois}
    means = {name: _summaries(table, mask.numpy()) for name, mask in groups.items()}
    draws = bootstrap_scores(
        prediction,
        response.masked_fill(~model.usable, torch.nan),
        n_resamples=1000,
        groups=torch.stack(list(groups.values())),
        generator=torch.Generator().manual_seed(0),
    )
    for row, samples in zip(means.values(), draws.T, strict=True):
        row["r_interval"] = dict(interval(row["r"]["mean"], samples)._asdict())  # 95 %
    return table, means


def score_table(
    prediction: Tensor, response: Tensor, dataset: ResponseDataset, unusable: Tensor, noise_ceiling: Tensor | None
):
    """One row per voxel: voxel, rois, r, r2 and, where the ceiling is known, noise_ceiling and r_normalised."""
    import pandas as pd

    rois = np.full(response.shape[1], "", dtype=object)
    for name, mask in dataset.space.rois.items():
        rois[mask.numpy()] = [f"{old};{name}" if old else name for old in rois[mask.numpy()]]
    place = dataset.space.vertices
    table = {
        "voxel": np.arange(response.shape[1]) if place is None else place.numpy(),
        "roi": rois,
        "r2": r2(prediction, response).masked_fill(unusable, torch.nan),
        "r": pearson_r(prediction, response).masked_fill(unusable, torch.nan),
    }
    if noise_ceiling is not None:
        table["noise_ceiling"] = noise_ceiling
        table["r_normalised"] = normalise(table["r"], noise_ceiling).values
    return pd.DataFrame({name: np.asarray(column) for name, column in table.items()})


def _summaries(scores: Any, mask: np.ndarray) -> dict[str, Any]:
    """Mean and median per score over the voxels of a mask; r over ceiling as the ratio of means, too."""
    part = scores[mask]
    summary: dict[str, Any] = {"n": int(mask.sum()), "n_scored": int(part["r"].notna().sum())}
    for name in ("r", "r2", "r_normalised", "noise_ceiling"):
        if name in part:
            summary[name] = {"mean": float(part[name].mean()), "median": float(part[name].median())}
    if "noise_ceiling" in part:
        known = part["r"].notna() & part["noise_ceiling"].notna()
        ceiling = float(part.loc[known, "noise_ceiling"].mean())
        summary["mean_r_over_mean_ceiling"] = float(part.loc[known, "r"].mean()) / ceiling if ceiling else None
    return summary


# ---------------------------------------------------------------------- the card


def _run_card(
    cfg: CfgNode, dataset: ResponseDataset, model: PLModel, metrics: dict[str, Any], clock: Clock
) -> dict[str, Any]:
    return {
        **opening("fit", PACKAGES),
        "seed": cfg.SEED,
        "config": config_keys(cfg),
        **data_card(cfg.DATASET.NAME, dataset),
        "backbone": model.identity,
        "test": metrics["test"]["all"],
        "further_splits": {split: means["all"] for split, means in metrics.get("further_splits", {}).items()},
        **closing(clock),
    }


def data_card(name: str, dataset: ResponseDataset) -> dict[str, Any]:
    """The entries of a card that say which data were used: "data", "splits" and "noise_ceiling"."""
    return {
        "data": {
            "name": name,
            "n_images": len(dataset),
            "n_voxels": dataset.n_voxels,
            "image_ids_sha256": sha256("\n".join(dataset.image_ids).encode()),
            "responses_sha256": sha256(np.ascontiguousarray(dataset.responses.numpy()).tobytes()),
        },
        "splits": {
            split: {"n": len(rows), "sha256": sha256(rows.numpy().astype("<i8").tobytes())}
            for split, rows in dataset.splits.items()
        },
        "noise_ceiling": {"definition": dataset.noise_ceiling_definition or None, "n_repeats": dataset.n_repeats},
    }

"""A finished run applied to new images, or to new texts, sounds or clips."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brainnet._files import write_text, writing
from brainnet._work import HalvedOnce, at_work, device_of, says_progress
from brainnet._work import progress as progress_bar
from brainnet.config import parse_config
from brainnet.plmodel import PLModel, build_backbone_of
from brainnet.plmodel.build import NAMES_A_FILE, delays_of
from brainnet.plmodel.checkpoint import CHECKPOINT_KEY, read_checkpoint
from brainnet.plmodel.encoder_files import is_encoder
from brainnet.run.encoding.weights import KeptPredictor, LinearEncoder, choose_fit, kept_fits, refuse_code_inside
from brainnet.run.fitting.series_tokens import check_onsets, tokens_over_time
from brainnet.run.maps.predicted_maps import draw_predicted
from brainnet.run.page.scenes import encoding_space
from brainnet.run.record.card import Clock, add_files, check_files, opening, put_card, refuse_others
from brainnet.run.record.card import kind_of as command_of
from brainnet.run.record.claiming import claimed
from brainnet.run.sharing.loading import load_encoder
from brainnet.run.stimuli import card_of_pictures, readable_pictures, stimuli_for
from brainnet.space import BrainSpace
from brainnet.stimuli import Images
from brainnet.store import TokenStore

KIND = "predict"
ON_HUB = "hf:"  # before a repository of the hub
PACKAGES = ("torch", "torchvision", "numpy", "timm", "open_clip_torch")


def predict(
    run: str | Path,
    images: Any,
    out: str | Path,
    *,
    batch_size: int = 16,
    device: str | None = None,
    skip_bad: bool = False,
    progress: bool = True,
    with_page: bool = False,
    **fit: str | None,
) -> Path:
    """Predicted responses of every voxel to new images, or to what else the network reads, by a finished run.

    Args:
        run: a run folder of ``brainnet fit``, or a ``model.ckpt``; a folder of ``brainnet encode --keep-weights``; the
            folder of an encoder, or ``"hf:OWNER/NAME"``, its repository of the hub.
        images: whatever :class:`~brainnet.stimuli.Images` reads, or such a set; of a network of texts, sounds or clips
            what :class:`~brainnet.stimuli.Texts` and its kin read. A run on a time series needs their onsets.
        out: folder that receives ``predictions.npy``, (n_images, n_voxels) float32 in response units, NaN for voxels
            that could not be trained, and ``images.txt``, one image id per row; a file that is there is replaced
            once the new one is whole; and ``predicted.png`` and ``.svg``, the first images beside their maps, where the
            voxels have a place on a brain. A folder of another command's results is refused. A run on a time series
            gives a row for each volume from the first stimulus to the longest delay after the last, and
            ``images.txt`` numbers them; before the first stimulus it reads the mean of all volumes.
        batch_size: images per forward pass, at least 1.
        device: where the network works: "auto" and None are CUDA where there is one, then mps, then the CPU.
        skip_bad: leave out images that cannot be read; a line says so, and the run card lists them, each with its
            reason. By default the first one ends the call.
        progress: show a progress bar.
        with_page: also leave ``predicted.html``, which shows the maps of the first 48 images; of images alone.
        fit: of an encoding that kept several fits: ``subject``, ``network``, ``method``, ``layer``; by default the best
            one, which a line names. See :func:`brainnet.run.encoding.weights.choose_fit`.

    Returns:
        The path of ``predictions.npy``.

    Raises:
        FileNotFoundError: no such run, no images, or an encoding without weights.
        ValueError: a damaged checkpoint or file of weights, a batch size below 1, a device that is not there, a fit
            that was not kept, stimuli that the network does not read, or of a time series stimuli without onsets.
        FileExistsError: ``out`` holds the results of another command.
        MemoryError: the device has too little memory for half a batch.
    """
    if batch_size < 1:
        raise ValueError(f"--batch-size is a number of images of at least 1, got {batch_size}.")
    out, place = Path(out), device_of(device)
    refuse_others(out, "fit", KIND)
    predictor, known, space_of = _predictor(run, fit)
    shown = readable_pictures(_stimuli_for(predictor, images, skip_bad), skip_bad, progress=progress)
    of_images = predictor.tr is None and isinstance(shown, Images)
    if predictor.tr is not None:
        check_onsets(shown)
    if with_page and not of_images:
        raise ValueError("--page shows the maps of images, and this run predicts none: leave it out.")
    target = out / "predictions.npy"
    clock = Clock()
    with claimed(out, command_of(out) or KIND):
        names, n_voxels, parts = _predictions(predictor, shown, batch_size, place, progress)
        _write_table(target, (len(names), n_voxels), parts)
        write_text(out / "images.txt", "".join(f"{name}\n" for name in names))
        clock.lap("predictions")
        if of_images:
            draw_predicted(run, shown, target, space_of, subject=known, with_page=with_page)
            clock.lap("pictures")
        source = {**card_of_pictures(shown), "signature": shown.signature()}
        source |= {} if predictor.tr is None else {"tr": predictor.tr}
        command = command_of(out)
        if command not in (None, KIND) and (out / "run.json").is_file():  # the folder of the run itself
            add_files(out, target.name, "images.txt", predicted=source)
        elif command in (None, KIND):
            card = {**opening(KIND, PACKAGES), "source": {"run": str(run), **source},
                    "settings": {"device": str(place), **fit}, "n_images": len(names),
                    "n_voxels": n_voxels}  # fmt: skip
            put_card(out, card, clock, [target.name, "images.txt"])
    return target


def _stimuli_for(predictor: PLModel | LinearEncoder, source: Any, skip_bad: bool) -> Any:
    """What the network of a predictor reads, of whatever makes a set of it."""
    if isinstance(predictor, LinearEncoder):
        name, options = predictor.network["name"], predictor.network["options"]
    else:
        name, options = predictor.cfg.BACKBONE.NAME, predictor.cfg.BACKBONE.OPTIONS
    return stimuli_for(name, source, skip_bad, **options)


def _predictions(
    predictor: PLModel | LinearEncoder, shown: Any, batch_size: int, device: torch.device, progress: bool
) -> tuple[list[str], int, Iterator[tuple[slice, Tensor]]]:
    """The names of the rows, the number of voxels, and the predictions part by part."""
    if isinstance(predictor, LinearEncoder):
        if predictor.tr is None:
            return shown.ids, predictor.n_voxels, predictor.predict(shown, batch_size, str(device), progress)
        predicted = predictor.predict_volumes(shown, batch_size, str(device), progress)
    elif predictor.tr is None and isinstance(shown, Images):
        parts = predicted_by_map(predictor, shown, batch_size, device, progress)
        return shown.ids, predictor.space.n_voxels, parts
    else:
        how = {"grid": tuple(predictor.cfg.MODEL.GRID), "resize": predictor.cfg.MODEL.RESIZE, "batch_size": batch_size,
               "device": device, "preprocessing": predictor.preprocessing, "progress": progress}  # fmt: skip
        store = TokenStore.build(predictor.backbone, shown, **how)
        in_time = predictor.tr is not None
        tokens = (
            tokens_over_time(store, shown, predictor.tr, delays_of(predictor.settings)) if in_time else store.tokens()
        )
        with torch.no_grad():
            predicted = predictor.predict_from(tokens)[0].masked_fill(~predictor.usable, torch.nan).cpu()
    names = [f"{row:04d}" for row in range(len(predicted))] if predictor.tr is not None else shown.ids
    return names, predicted.shape[1], (part for part in [(slice(None), predicted)])


def _predictor(
    run: str | Path, fit: Mapping[str, str | None]
) -> tuple[PLModel | LinearEncoder, str | None, Callable[[], BrainSpace]]:
    """What predicts, the subject where an encoding has several, and what gives the place of the voxels."""
    asked = next((name for name, value in fit.items() if value is not None), None)
    if Path(run).is_dir() and command_of(Path(run)) == "encode":
        fits = kept_fits(run)
        chosen = choose_fit(fits, **fit)
        if len(fits) > 1:
            says_progress.info("%d fits are kept; predicting by %s, mean test r %.3f.", len(fits), chosen, chosen.r)
        return (
            KeptPredictor(run, chosen),
            chosen.key.subject,
            lambda: encoding_space(Path(run), chosen.key.subject, chosen.key),
        )
    if asked is not None:
        raise ValueError(f"--{asked} chooses among the fits of `brainnet encode`, and {run} is no such folder.")
    if str(run).startswith(ON_HUB) or is_encoder(run):
        encoder = load_encoder(str(run).removeprefix(ON_HUB))
        return encoder, None, lambda: _space_of(encoder, run)
    model = load_model(run)
    return model, None, lambda: model.space


def _space_of(encoder: PLModel | LinearEncoder, run: str | Path) -> BrainSpace:
    if encoder.space is None:
        raise FileNotFoundError(f"{run} does not say where its voxels are.")
    return encoder.space


def _write_table(target: Path, shape: tuple[int, int], parts: Iterator[tuple[slice, Tensor]]) -> None:
    """Writes (n_images, n_voxels) predictions as they come; the file is whole or absent."""
    with writing(target) as unfinished:
        table = np.lib.format.open_memmap(unfinished, mode="w+", dtype=np.float32, shape=shape)
        with closing(parts):
            for rows, predicted in parts:
                table[rows] = predicted.numpy()
        table.flush()
        del table  # closes the file, which Windows asks for before it is renamed


def predicted_by_map(
    model: PLModel, images: Images, batch_size: int, device: torch.device, progress: bool
) -> Iterator[tuple[slice, Tensor]]:
    """Places of some images and their predictions by a trained map, one batch after the other."""
    rows = torch.arange(len(images)).split(batch_size)
    start = 0
    with at_work(model, device), torch.no_grad():
        within_memory = HalvedOnce(lambda batch: model(batch.to(device))[0].masked_fill(~model.usable, torch.nan).cpu())
        for part in progress_bar(rows, f"Predicting {len(images):,} images", len(rows), progress):
            for found in within_memory(torch.stack([model.preprocessing(images[int(i)]) for i in part])):
                yield slice(start, start + len(found)), found
                start += len(found)


def load_model(run: str | Path, backbone: Any = None) -> PLModel:
    """The trained model of a run folder, in evaluation mode, on the CPU.

    Args:
        run: a run folder, or a ``model.ckpt``.
        backbone: the backbone it was trained on; None builds the one its config names.

    Raises:
        FileNotFoundError: no ``model.ckpt`` there.
        ValueError: a damaged checkpoint, one of another backbone, or one that names Python code inside its own folder.
    """
    path = Path(run)
    path = path / "model.ckpt" if path.is_dir() else path
    if not path.is_file():
        raise FileNotFoundError(
            f"no finished run at {run}: {path} does not exist. `brainnet fit --out {run}` makes one."
        )
    if Path(run).is_dir():
        check_files(Path(run), path.name)
    cfg = parse_config(read_checkpoint(path)[CHECKPOINT_KEY]["config"])
    for key in NAMES_A_FILE:
        section, leaf = key.split(".")
        refuse_code_inside(cfg[section][leaf], path.parent, path)
    backbone = build_backbone_of(cfg) if backbone is None else backbone
    return PLModel.load_from_checkpoint(path, cfg=cfg, backbone=backbone).eval()

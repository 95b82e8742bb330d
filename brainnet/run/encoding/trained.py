"""Maps that `brainnet fit` trained, as further rows of an encoding: on the same data, split and images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from brainnet._files import read_json
from brainnet.config import parse_config
from brainnet.datamodule import BrainDataModule
from brainnet.dataset import TimeSeries
from brainnet.encode import ALL_LAYERS, Encoding, Fit, FitKey
from brainnet.plmodel import PLModel
from brainnet.plmodel.checkpoint import CHECKPOINT_KEY, read_checkpoint
from brainnet.run.encoding.mixes import LEARNED, LEFT_OUT, TrainedMap
from brainnet.run.fitting.prediction import load_model
from brainnet.store import TokenStore

TRAIN = ("train", "val")
Stores = Mapping[str, Mapping[str, TokenStore]]  # network -> subject -> its tokens


def subject_of(run: Path, cards: Mapping[str, Mapping[str, Any]]) -> str:
    """The subject whose data and split a finished run was trained on."""
    if not (run / "model.ckpt").is_file() or not (run / "run.json").is_file():
        raise FileNotFoundError(
            f"no finished run in {run}: it needs model.ckpt and run.json, as `brainnet fit` leaves."
        )
    theirs = _card_of(run)
    hashes = ("image_ids_sha256", "responses_sha256")
    other_split = None
    for name, ours in cards.items():
        if all(theirs["data"].get(field) == ours["data"][field] for field in hashes):
            differing = [
                split
                for split in sorted({*theirs["splits"], *ours["splits"]})
                if theirs["splits"].get(split, {}).get("sha256") != ours["splits"].get(split, {}).get("sha256")
            ]
            if not differing:
                return name
            other_split = other_split or (name, differing)
    if other_split:
        name, differing = other_split
        raise ValueError(
            f"the run {run} was trained on the data of {name} but on another split "
            f"({', '.join(differing)}): one table needs one split, so use the run's SEED and DATASET settings."
        )
    sizes = {name: (card["data"]["n_images"], card["data"]["n_voxels"]) for name, card in cards.items()}
    listing = ", ".join(f"{name} ({n} images, {v} voxels)" for name, (n, v) in sizes.items())
    raise ValueError(
        f"the run {run} was trained on other data ({theirs['data'].get('n_images')} images, "
        f"{theirs['data'].get('n_voxels')} voxels) than the subjects here: {listing}."
    )


def check_left_out(runs: Iterable[Path], mixes: Mapping[str, Any]) -> None:
    """Refuses runs that no mix can weigh, because they were fitted to their validation images too."""
    for run in runs if mixes else ():
        fitted_on = parse_config(read_checkpoint(run / "model.ckpt")[CHECKPOINT_KEY]["config"]).TRAINER.FIT_ON
        if fitted_on != "train":
            raise ValueError(
                f"the run {run} was fitted on {fitted_on}, so no images are left to find the weights of "
                f"{', '.join(mixes)} on: train it with TRAINER.FIT_ON train."
            )


def add_run(
    encoding: Encoding, run: Path, subject: str, stores: Stores, mixed: bool = True
) -> tuple[dict[str, Any], TrainedMap]:
    """Adds a trained model's predictions as a fit; returns what the card says of it, and what a mix needs of it.

    Validation images are predicted only where the map is ``mixed`` in.
    """
    model, dataset = load_model(run), encoding.subjects[subject]
    store, label = _store_of(model, subject, stores)
    is_series = isinstance(dataset, TimeSeries)  # whose tokens here may be at other delays
    model.data = BrainDataModule(dataset, None if is_series else store, preprocessing=model.preprocessing)
    if is_series:
        model.setup_store(model.data)
    predicted = {
        split: model.predict_index(rows).masked_fill(~model.usable, torch.nan)
        for split, rows in dataset.splits.items()
        if len(rows) and (split not in TRAIN or (mixed and split == LEFT_OUT))
    }
    predictions = {split: values for split, values in predicted.items() if split not in TRAIN}
    selectors = model.get_selectors()
    details = {name: getattr(selectors, name).numpy() for name in selectors._fields}
    key = FitKey(label, subject, LEARNED, ALL_LAYERS)
    if key in encoding.fits:
        key = key._replace(method=f"{LEARNED} {run.resolve().name}")
    if key in encoding.fits:  # two folders of one name
        key = key._replace(method=f"{LEARNED} {run.resolve()}")
    encoding.add(key, Fit(predictions, torch.full((dataset.n_voxels,), torch.nan), details))
    fitted_on = model.cfg.TRAINER.FIT_ON
    left_out = predicted.get(LEFT_OUT, torch.empty(0, dataset.n_voxels))
    card = {**key._asdict(), "backbone": model.identity, "fitted_on": fitted_on}
    return card, TrainedMap(key, left_out)


def _store_of(model: PLModel, subject: str, stores: Stores) -> tuple[TokenStore | None, str]:
    """The tokens a trained model reads, where they are here already, and its network's name in the table."""
    wanted = {
        **{field: model.identity.get(field) for field in ("name", "weights", "settings") if field in model.identity},
        "preprocessing": str(model.preprocessing),
        "grid": "x".join(map(str, model.cfg.MODEL.GRID)),
        "resize": model.cfg.MODEL.RESIZE,
    }
    for label, by_subject in stores.items():
        store = by_subject[subject]
        if all(store.fingerprint.get(field) == value for field, value in wanted.items()):
            fits = set(model.layers) <= set(store.layers)
            return (store if fits else None), label
    return None, model.cfg.BACKBONE.NAME


def _card_of(run: Path) -> dict[str, Any]:
    card = read_json(run / "run.json")
    if not isinstance(card.get("data"), dict) or not isinstance(card.get("splits"), dict):
        raise ValueError(f"{run / 'run.json'} is no run card of `brainnet fit`; train that map again.")
    return card

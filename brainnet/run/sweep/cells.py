"""One cell of a sweep by its method: a run folder with its tables and card, and the rows that join the sweep's table.

Every cell leaves ``cell.csv``, rows of :data:`COLUMNS`, and ``samples.npz``: how its score in each region varies over
the stimuli, drawn alike for every network, so that two networks can be compared on the same stimuli.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from brainnet._files import read_json, write_csv, write_npz
from brainnet.config import config_keys
from brainnet.dataset import ResponseDataset
from brainnet.encode import ALL_LAYERS, BEST_LAYER, encode, find_estimators
from brainnet.encode.grid import with_alphas
from brainnet.encode.table import NOISE_CEILING
from brainnet.run.encoding.networks import Network
from brainnet.run.fitting.training import fit, last_checkpoint
from brainnet.run.record.card import Clock, put_card
from brainnet.run.record.run_folder import PACKAGES
from brainnet.run.sweep.definition import ALONE, GEOMETRY
from brainnet.run.sweep.geometry import geometry
from brainnet.run.sweep.held import Held
from brainnet.run.sweep.plan import RANDOM, SHUFFLED, Cell
from brainnet.scores import bootstrap_scores
from brainnet.store import TokenStore

ROWS, SAMPLES = "cell.csv", "samples.npz"
COLUMNS = ("model", "subject", "method", "control", "layer", "chosen_layer", "split", "roi", "score", "mean", "low",
           "high", "n_voxels", "ceiling", "ceiling_share")  # fmt: skip
HEADLINE = (BEST_LAYER, ALL_LAYERS)  # the layers of the one row that speaks for a network
TRAIN = ("train", "val")


@dataclass(frozen=True, eq=False)
class Found:
    """What a cell found: rows of the table, and region -> (n_samples,) of the headline score."""

    rows: Sequence[Mapping[str, Any]]
    samples: Mapping[str, np.ndarray]


def run_cell(cell: Cell, held: Held, folder: Path) -> None:
    """Computes a cell and fills its folder.

    Raises:
        Busy: another worker is making the tokens it needs.
        Exception: whatever the method raises.
    """
    if cell.method.method in ALONE:
        found = _fit(cell, held, folder)
    else:
        clock, dataset, store = Clock(), held.dataset(cell), held.store(cell)
        clock.lap("tokens")
        compute = _geometry if cell.method.method in GEOMETRY else _encode
        found = compute(cell, held, folder, dataset, store, clock)
    write_npz(folder / SAMPLES, dict(found.samples))
    names = {"model": cell.network.label, "subject": cell.subject, "method": cell.method.name, "control": cell.control}
    write_csv(folder / ROWS, _table([{**row, **names} for row in found.rows]))


def _table(rows: Sequence[Mapping[str, Any]]) -> Any:
    import pandas as pd

    return pd.DataFrame(rows, columns=list(COLUMNS))


def _put_card(kind: str, cell: Cell, held: Held, folder: Path, store: TokenStore, clock: Clock, rows: Any) -> None:
    asked, survey = held.plan.definition, held.survey(cell.subject)
    subject = {name: survey[name] for name in ("data", "splits", "noise_ceiling")}
    cfg = asked.config_of(cell.subject, cell.method)
    card = {
        **held.opening(kind, (*PACKAGES, "pandas", "himalaya", "joblib")),
        "seed": asked.seed,
        "config": config_keys(cfg),
        "settings": {"method": cell.method.method, **cell.method.options, "n_resamples": asked.resamples},
        "subjects": {cell.subject: subject},
        "backbones": {cell.network.label: dict(store.fingerprint)},
        "control": cell.control or None,
        "scores": [row for row in rows if row["layer"] in HEADLINE and row["roi"] == "all"],
    }
    put_card(folder, card, clock)


# ---------------------------------------------------------------------- encoding


def _encode(cell: Cell, held: Held, folder: Path, dataset: ResponseDataset, store: TokenStore, clock: Clock) -> Found:
    asked, options = held.plan.definition, cell.method.options
    estimators = find_estimators([cell.method.method], options.get("cv"))
    if "alphas" in options:
        estimators = with_alphas(estimators, options["alphas"])
    label, subject = cell.network.label, cell.subject
    encoding = encode(
        {label: lambda _: store}, {subject: dataset}, methods={cell.method.name: next(iter(estimators.values()))},
        layers=_layers(options, store), pool=options.get("pool", "flatten"), train=_train(dataset),
        out=folder, n_jobs=1, n_resamples=asked.resamples, seed=asked.seed, progress=False,
    )  # fmt: skip
    clock.lap("fits")
    if asked.keep_voxels:
        encoding.save(folder)
    else:
        write_csv(folder / "encoding.csv", encoding.table)
    table = encoding.table
    table = table[(table["score"] == "r") & (table["method"] != NOISE_CEILING)]
    rows = table[list(COLUMNS)].to_dict("records")
    key = encoding.headline(subject)[0]
    samples = {} if "test" not in encoding.fits[key].predictions else _resampled(encoding, key, dataset, asked)
    shutil.rmtree(folder / "jobs", ignore_errors=True)
    clock.lap("files")
    _put_card("encode", cell, held, folder, store, clock, rows)
    return Found(rows, samples)


def _train(dataset: ResponseDataset) -> tuple[str, ...]:
    return tuple(name for name in TRAIN if len(dataset.splits[name]))


def _layers(options: Mapping[str, Any], store: TokenStore) -> list[str] | None:
    if "layers" not in options:
        return None
    mine = [layer for layer in map(str, options["layers"]) if layer in store.layers]
    if not mine:
        raise ValueError(f"the network has none of the layers {options['layers']}; it has {', '.join(store.layers)}.")
    return mine


def _resampled(encoding: Any, key: Any, dataset: ResponseDataset, asked: Any) -> dict[str, np.ndarray]:
    """Region -> mean r in each bootstrap resample of the test images; the same ones for every network."""
    regions = encoding.regions(key.subject)
    samples = bootstrap_scores(
        encoding.fits[key].predictions["test"],
        dataset.responses[dataset.splits["test"]],
        n_resamples=asked.resamples,
        groups=torch.stack(list(regions.values())),
        generator=torch.Generator().manual_seed(asked.seed),
    )
    return {name: column.float().numpy() for name, column in zip(regions, samples.T, strict=True)}


# ---------------------------------------------------------------------- geometry


def _geometry(cell: Cell, held: Held, folder: Path, dataset: ResponseDataset, store: TokenStore, clock: Clock) -> Found:
    options = cell.method.options
    cka = cell.method.method == "cka"
    rows, samples = geometry(
        store,
        dataset,
        metric="sqeuclidean" if cka else options.get("metric", "correlation"),
        comparison="cka" if cka else options.get("comparison", "spearman"),
        pool=options.get("pool", "flatten"),
        layers=_layers(options, store) or store.layers,
    )
    clock.lap("RDMs and scores")
    write_csv(folder / "scores.csv", _table(rows).drop(columns=["model", "subject", "method", "control"]))
    _put_card("sweep cell", cell, held, folder, store, clock, rows)
    return Found(rows, samples)


# ---------------------------------------------------------------------- fits


def _fit(cell: Cell, held: Held, folder: Path) -> Found:
    """A run of ``brainnet fit``; it goes on from its last epoch where a worker died in it."""
    asked = held.plan.definition
    cfg = asked.config_of(cell.subject, cell.method)
    network = held.network_of(cell.network, RANDOM if cell.control == RANDOM else "")
    store = held.store(cell)
    held.let_go()  # fit builds its own: one network at a time
    options = _without_preprocessing(network)
    cfg.BACKBONE.NAME, cfg.BACKBONE.WEIGHTS = network.name, str(options.pop("weights", ""))
    if "precision" in options:
        cfg.BACKBONE.PRECISION = options.pop("precision")
    cfg.BACKBONE.OPTIONS.clear()
    cfg.BACKBONE.OPTIONS.update(options)
    cfg.DATASET.SHUFFLED = cell.control == SHUFFLED
    cfg.TOKENS.STORE = str(held.store_path(cell))
    del store
    resume = last_checkpoint(folder).is_file()
    fit(cfg, folder, resume=resume, overwrite=not resume, force=True, progress=False)
    metrics = read_json(folder / "metrics.json")
    rows = [_row_of(roi, found) for roi, found in metrics["test"].items() if found.get("r")]
    return Found(rows, {})


def _without_preprocessing(network: Network) -> dict[str, Any]:
    """The options of a network without that of its images, which no setting of a fit can name.

    Raises:
        ValueError: without it, its images would be prepared in another way.
    """
    options = dict(network.options)
    wanted = options.pop("preprocessing", None)
    if wanted is not None and replace(network, options=options).build().preprocessing != wanted:
        raise ValueError("a fit has no random twin of this network: its weights bring a preprocessing of their own.")
    return options


def _row_of(roi: str, found: Mapping[str, Any]) -> dict[str, Any]:
    r, ceiling = found["r"], found.get("ceiling") or {}
    return {
        "layer": ALL_LAYERS, "chosen_layer": "", "split": "test", "roi": roi, "score": "r", "mean": r["mean"],
        "low": r.get("low"), "high": r.get("high"), "n_voxels": found.get("n_scored"),
        "ceiling": ceiling.get("mean"), "ceiling_share": found.get("ceiling_share"),
    }  # fmt: skip

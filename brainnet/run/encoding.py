"""Linear encoding from settings to a folder: networks x subjects x methods x layers, with controls, in one call.

``encode_subjects`` builds the data and networks that a config names, keeps their tokens, runs the grid of
:func:`brainnet.encode.encode`, and fills a folder with

    encoding.csv        one row per fit, split, ROI and score, with intervals; noise ceilings too
    significance.csv    how many voxels score above chance, per ROI
    differences.csv     paired differences between fits of a subject
    voxels/             per fit all voxels' scores (npz), and maps (NIfTI or GIfTI) where voxels have a place
    differences/        per pair all voxels' differences and p-values (npz)
    figures/            each as PNG and SVG, with the plotted numbers as CSV
    run.json            the run card: versions, seeds, hashes of data and weights, splits, ceilings, times, scores
    jobs/, tokens/      finished jobs and, where TOKENS.STORE names no file, token stores: the same call goes on there
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from yacs.config import CfgNode

from brainnet._checks import check_word, require
from brainnet._files import locked, sha256, slug, write_json
from brainnet._work import Interrupted
from brainnet._work import progress as progress_bar
from brainnet.config import changed, config_keys
from brainnet.datamodule import BrainDataModule
from brainnet.dataset import ResponseDataset
from brainnet.encode import ALL_LAYERS, BEST_LAYER, CONTROLS, Encoding, Fit, FitKey, encode, find_estimators
from brainnet.plmodel import PLModel, build_backbone_of, build_dataset
from brainnet.run.card import Clock, closing, data_card, opening, refuse_others
from brainnet.run.encoding_figures import draw
from brainnet.run.prediction import load_model
from brainnet.run.results import PACKAGES
from brainnet.scores import VoxelTest
from brainnet.store import TokenStore, fingerprint_of
from brainnet.tokens import POOLS

if TYPE_CHECKING:
    import pandas as pd

LEARNED = "FactorTopy"  # what a PLModel's rows are called in the table
TRAIN = ("train", "val")
KIND = "encode"
_COMPARED = ("model", "method", "control")
_NO_DIFFERENCES = ["subject", *(f"{field}_{side}" for side in "ab" for field in _COMPARED), "split", "roi", "mean"]


@dataclass(frozen=True, eq=False)
class _Network:
    """A backbone with its name in the table, its settings, its random twin, and the layers to fit (None for all)."""

    label: str
    cfg: CfgNode
    backbone: Any
    layers: Sequence[str] | None = None
    twin: Any = None


def encode_subjects(
    cfg: CfgNode,
    out: str | Path,
    *,
    methods: Sequence[str] = ("ridge",),
    backbones: Sequence[str] = (),
    subjects: str | None = None,
    layers: Sequence[str] = (),
    pool: str = "flatten",
    controls: Sequence[str] = (),
    runs: Sequence[str | Path] = (),
    n_jobs: int | None = None,
    seed: int = 0,
    n_resamples: int = 1000,
    progress: bool = True,
) -> Encoding:
    """Fits every network, subject, method and layer, scores them alike, and fills the folder ``out``.

    Ridge and its kin read tokens as the backbone gives them: ``TOKENS.STANDARDIZE`` and what else in the config belongs
    to training is not used. Images of the splits "train" and "val" are fitted on together, all others are predicted.

    Args:
        cfg: settings, see :func:`brainnet.config.load_config`; read are its data, backbone, tokens and token grid.
        out: folder of the results. The same call goes on where an interrupted one stopped.
        methods: "ridge" (layer by layer, and the layer best on training images), "banded", "stacked", "window".
        backbones: "family:variant", or "family:variant=weights"; none takes the config's.
        subjects: "KEY=v1,v2": one setting of the data, one subject for each value. None takes the config's one.
        layers: names of the layers to fit; each network takes those it has. None takes all.
        pool: how tokens become features, see :meth:`Tokens.features`.
        controls: "shuffled" (responses permuted per voxel) and "random" (the same networks with random weights).
        runs: folders of finished ``brainnet fit`` runs on the same data and splits, as further rows.
        n_jobs: processes, see :func:`brainnet.encode.encode`; None is what ``joblib.parallel_config`` says, else 1.
        seed: of controls, bootstrap, permutations and random weights; not of the split, which is ``SEED``.
        n_resamples: bootstrap resamples and permutations.
        progress: show progress bars.

    Returns:
        The fits with their table, as written to ``encoding.csv``.

    Raises:
        ValueError: an unknown method, layer, control or subject key; a network that has no random twin; a run of other
            data or another split.
        FileExistsError: ``out`` is a file, or holds the results of another command.
        FileNotFoundError: no finished run in one of ``runs``.
    """
    out, clock = Path(out), Clock()
    n_jobs = require("joblib", needed_by="encode").effective_n_jobs(n_jobs)
    _check_words(methods, pool, controls)
    _open_folder(out)
    configs = _subject_configs(cfg, subjects)
    networks = [_with_layers(network, layers, several=len(backbones) > 1) for network in _networks(cfg, backbones)]
    if layers:
        _check_layers(networks, layers)
    if "random" in controls:
        networks = [_with_twin(network, seed) for network in networks]
    data = {name: _dataset(one, networks) for name, one in configs.items()}
    cards = {name: data_card(one.DATASET.NAME, data[name]) for name, one in configs.items()}
    matched = {Path(run): _subject_of(Path(run), cards) for run in runs}
    clock.lap("data")
    try:
        stores, twins = _stores(cfg, networks, data, out, n_jobs, progress)
        clock.lap("tokens")
        encoding = encode(
            {network.label: stores[network.label].__getitem__ for network in networks},
            data,
            methods=methods,
            layers={network.label: network.layers for network in networks if network.layers is not None},
            pool=pool,
            controls=controls,
            twins={label: by_subject.__getitem__ for label, by_subject in twins.items()},
            train=TRAIN,
            out=out,
            n_jobs=n_jobs,
            n_resamples=n_resamples,
            seed=seed,
            progress=progress,
        )
        learned = {str(run): _add_run(encoding, run, name, networks, stores) for run, name in matched.items()}
        clock.lap("fits")
        significance = _significance(encoding, n_resamples, progress)
        differences, tests = _differences(encoding, n_resamples, progress)
        clock.lap("tests")
    except KeyboardInterrupt:
        raise Interrupted(
            f"encoding was interrupted; tokens and finished jobs are kept: the same command goes on in {out}."
        ) from None
    card = {
        **opening(KIND, (*PACKAGES, "himalaya", "pandas", "joblib", "nibabel")),
        "seed": seed,
        "config": config_keys(cfg),
        "settings": {
            "methods": list(methods), "layers": list(layers), "pool": pool, "controls": list(controls),
            "fitted_on": list(TRAIN), "subjects": subjects, "n_resamples": n_resamples, "n_jobs": n_jobs,
        },
        "subjects": cards,
        "backbones": {network.label: fingerprint_of(network.backbone) for network in networks},
        "random_twins": {n.label: fingerprint_of(n.twin) for n in networks if n.twin is not None},
        "runs": learned,
        "scores": _summary(encoding),
    }  # fmt: skip
    with locked(out / "encoding.csv"):  # two calls may share their jobs, but not the folders of results
        _clear(out)
        _save(encoding, significance, differences, tests, out)
        draw(encoding, out / "figures", progress=progress)
        clock.lap("files and figures")
        write_json(out / "run.json", {**card, **closing(clock)})
    return encoding


def _save(
    encoding: Encoding, significance: pd.DataFrame, differences: pd.DataFrame, tests: Mapping[str, VoxelTest], out: Path
) -> None:
    encoding.save(out)
    significance.to_csv(out / "significance.csv", index=False)
    differences.to_csv(out / "differences.csv", index=False)
    for name, test in tests.items():
        (out / "differences").mkdir(exist_ok=True)
        arrays = {"difference": test.statistic, "p": test.p, "p_fdr": test.p_fdr, "p_max": test.p_max}
        np.savez(out / "differences" / f"{name}.npz", **{kind: values.numpy() for kind, values in arrays.items()})


# ---------------------------------------------------------------------- what to do


def _check_words(methods: Sequence[str], pool: str, controls: Sequence[str]) -> None:
    find_estimators(methods)
    check_word("pool", pool, POOLS)
    for control in controls:
        check_word("control", control, CONTROLS)


def _open_folder(out: Path) -> None:
    refuse_others(out, KIND)
    out.mkdir(parents=True, exist_ok=True)


def _clear(out: Path) -> None:
    """Takes away the results of an earlier call, once this one has its own; jobs and tokens stay."""
    card = out / "run.json"
    ours = card.is_file()
    write_json(card, {"kind": KIND, "state": "unfinished"})  # whatever a killed call leaves behind is known to be ours
    for name in ("voxels", "differences", "figures") if ours else ():
        shutil.rmtree(out / name, ignore_errors=True)


def _read_card(path: Path) -> dict[str, Any]:
    try:
        card = json.loads(path.read_text())
    except ValueError:
        card = None
    if not isinstance(card, dict):
        raise ValueError(f"{path} is no run card: it cannot be read as a JSON object. Move it away.")
    return card


def _subject_configs(cfg: CfgNode, subjects: str | None) -> dict[str, CfgNode]:
    """Name -> settings of each subject."""
    if subjects is None:
        name = cfg.DATASET.SESSION or (
            cfg.DATASET.NAME if cfg.DATASET.NAME == "simulated" else Path(cfg.DATASET.DATA_DIR).resolve().name
        )
        return {name: cfg}
    key, equals, values = subjects.partition("=")
    given = [value for value in values.split(",") if value]
    if not equals or not given:
        raise ValueError(
            f"--subjects is KEY=v1,v2, a setting and a value for each subject, as in DATASET.SESSION=201025,210325; "
            f"got {subjects!r}."
        )
    configs = {value: changed(cfg, [key, value]) for value in given}
    if not key.startswith("DATASET.") and key != "SEED":
        raise ValueError(f"--subjects names a setting of the data, DATASET.*, or SEED; got {key}.")
    short = [Path(value).name for value in configs]
    names = short if len(set(short)) == len(short) else list(configs)
    if len(configs) < len(given):
        raise ValueError(f"--subjects names {max(given, key=given.count)!r} twice.")
    return dict(zip(names, configs.values(), strict=True))


def _networks(cfg: CfgNode, backbones: Sequence[str]) -> list[_Network]:
    """The networks asked for, or the config's own; whose layers and weights go to its own network alone."""
    wanted = []
    for text in backbones or [cfg.BACKBONE.NAME]:
        name, equals, weights = text.partition("=")
        own = name == cfg.BACKBONE.NAME
        wanted.append((name, weights if equals else cfg.BACKBONE.WEIGHTS if own else "", own))
    names = [name for name, *_ in wanted]
    networks: dict[str, _Network] = {}
    for name, weights, own in wanted:
        label = name if names.count(name) == 1 else f"{name}={Path(weights).stem or 'default'}"
        if label in networks:
            raise ValueError(f"--backbone names {label} twice.")
        one = cfg.clone()
        one.BACKBONE.NAME, one.BACKBONE.WEIGHTS = name, weights
        if not own:
            one.MODEL.LAYERS = []
            one.BACKBONE.PRECISION = "fp32"
        networks[label] = _Network(label, one, build_backbone_of(one))
    return list(networks.values())


def _with_layers(network: _Network, layers: Sequence[str], several: bool) -> _Network:
    """The network told which of the wanted layers are its own; a lone one may be asked for any of its modules."""
    known = getattr(network.backbone, "layers", None)
    if not layers or known is None:
        return _Network(network.label, network.cfg, network.backbone, list(layers) or None)
    mine = [layer for layer in layers if layer in known]
    if len(mine) < len(layers) and not several:
        cfg = network.cfg.clone()
        cfg.MODEL.LAYERS = list(layers)
        return _Network(network.label, cfg, build_backbone_of(cfg), list(layers))
    return _Network(network.label, network.cfg, network.backbone, mine)


def _check_layers(networks: Sequence[_Network], layers: Sequence[str]) -> None:
    known = {network.label: list(getattr(network.backbone, "layers", network.layers)) for network in networks}
    lost = [layer for layer in layers if not any(layer in names for names in known.values())]
    if lost:
        listing = "; ".join(f"{label} has {', '.join(names)}" for label, names in known.items())
        raise ValueError(f"no network has a layer {lost[0]!r}: {listing}.")
    for network in networks:
        if not network.layers:
            raise ValueError(
                f"{network.label} has none of the layers {', '.join(layers)}; it has {', '.join(known[network.label])}."
            )


def _with_twin(network: _Network, seed: int) -> _Network:
    """The network with its random twin: the same architecture, layers, settings and preprocessing, seeded weights."""
    label, backbone = network.label, network.backbone
    cfg = network.cfg.clone()
    cfg.BACKBONE.WEIGHTS = "random"
    already = network.cfg.BACKBONE.WEIGHTS == "random"
    if not already:
        options = {"layers": list(backbone.layers)} if hasattr(backbone, "layers") else {}
        if hasattr(backbone, "preprocessing"):
            options["preprocessing"] = backbone.preprocessing
        try:
            twin = build_backbone_of(cfg, **options, seed=seed)
            settings, own = getattr(twin, "settings", {}), getattr(backbone, "settings", {})
            differing = {name: value for name, value in own.items() if settings.get(name) != value}
            if differing:  # published weights may bring an activation or an image size of their own
                twin = build_backbone_of(cfg, **options, **differing, seed=seed)
            usual = build_backbone_of(cfg, **options, **differing)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{label} has no random twin ({error}). Leave out --controls random, or that network."
            ) from error
        already = fingerprint_of(backbone).get("weights") in {
            fingerprint_of(one).get("weights") for one in (twin, usual)
        }
    if already:
        raise ValueError(f"{label} has random weights already: leave out --controls random, or that network.")
    return _Network(label, network.cfg, backbone, network.layers, twin)


# ---------------------------------------------------------------------- data and tokens


def _dataset(cfg: CfgNode, networks: Sequence[_Network]) -> ResponseDataset:
    """The data set of one subject; a simulated one is planted in the config's own network, wherever that is built."""
    own = (n.backbone for n in networks if n.cfg.BACKBONE.NAME == cfg.BACKBONE.NAME)
    backbone = (next(own, None) or build_backbone_of(cfg)) if cfg.DATASET.NAME == "simulated" else None
    return build_dataset(cfg, backbone)


Stores = dict[str, dict[str, TokenStore]]


def _stores(
    cfg: CfgNode,
    networks: Sequence[_Network],
    data: Mapping[str, ResponseDataset],
    out: Path,
    n_jobs: int,
    progress: bool,
) -> tuple[Stores, Stores]:
    """Network -> subject -> its tokens, of the networks and of their random twins.

    One store alone, for one process, stays in memory where ``TOKENS.STORE`` is empty; several would not fit, nor could
    processes share them, so they are files.
    """
    n_stores = len(data) * sum(1 + (network.twin is not None) for network in networks)
    in_memory = n_stores == 1 and n_jobs == 1 and not cfg.TOKENS.STORE

    def build(network: _Network, subject: str, backbone: Any, control: str) -> TokenStore:
        told_apart = (network.label if len(networks) > 1 else "", subject if len(data) > 1 else "", control)
        return TokenStore.build(
            backbone,
            data[subject],
            grid=tuple(cfg.MODEL.GRID),
            resize=cfg.MODEL.RESIZE,
            path=None if in_memory else _store_path(cfg.TOKENS.STORE, out, told_apart),
            batch_size=cfg.TOKENS.BATCH_SIZE,
            progress=progress,
        )

    stores = {n.label: {name: build(n, name, n.backbone, "") for name in data} for n in networks}
    twins = {n.label: {name: build(n, name, n.twin, "random") for name in data} for n in networks if n.twin is not None}
    return stores, twins


def _store_path(store: str, out: Path, told_apart: Sequence[str]) -> Path:
    """Where one of several token stores lies; a single one is where ``fit`` keeps its own."""
    base = Path(store) if store else out / "tokens" / "tokens.bin"
    words = []
    for word in filter(None, told_apart):
        name = re.sub(r"[^A-Za-z0-9.-]+", "-", word)
        usual = name == word.replace(":", "-").replace("_", "-")
        words.append(name if usual else f"{name}-{sha256(word.encode())[:6]}")  # "s+1" is not "s-1"
    return base.with_name("_".join([base.stem, *words]) + base.suffix)


# ---------------------------------------------------------------------- rows of trained models


def _subject_of(run: Path, cards: Mapping[str, Mapping[str, Any]]) -> str:
    """The subject whose data and split a finished run was trained on."""
    if not (run / "model.ckpt").is_file() or not (run / "run.json").is_file():
        raise FileNotFoundError(
            f"no finished run in {run}: it needs model.ckpt and run.json, as `brainnet fit` leaves."
        )
    theirs = _read_card(run / "run.json")
    if not isinstance(theirs.get("data"), dict) or not isinstance(theirs.get("splits"), dict):
        raise ValueError(f"{run / 'run.json'} is no run card of `brainnet fit`; train that map again.")
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


def _add_run(
    encoding: Encoding, run: Path, subject: str, networks: Sequence[_Network], stores: Stores
) -> dict[str, Any]:
    """Adds a trained model's predictions as a fit; returns what the card says of it."""
    model, dataset = load_model(run), encoding.subjects[subject]
    store, label = _store_of(model, subject, networks, stores)
    model.data = BrainDataModule(dataset, store, preprocessing=model.preprocessing)
    predictions = {
        split: model.predict_index(rows).masked_fill(~model.usable, torch.nan)
        for split, rows in dataset.splits.items()
        if split not in TRAIN and len(rows)
    }
    selectors = model.get_selectors()
    details = {name: getattr(selectors, name).numpy() for name in selectors._fields}
    key = FitKey(label, subject, LEARNED, ALL_LAYERS)
    if key in encoding.fits:
        key = key._replace(method=f"{LEARNED} {run.resolve().name}")
    if key in encoding.fits:  # two folders of one name
        key = key._replace(method=f"{LEARNED} {run.resolve()}")
    encoding.add(key, Fit(predictions, torch.full((dataset.n_voxels,), torch.nan), details))
    return {**key._asdict(), "backbone": model.identity, "fitted_on": model.cfg.TRAINER.FIT_ON}


def _store_of(
    model: PLModel, subject: str, networks: Sequence[_Network], stores: Stores
) -> tuple[TokenStore | None, str]:
    """The tokens a trained model reads, where they are here already, and its network's name in the table."""
    wanted = {
        **{field: model.identity.get(field) for field in ("name", "weights", "settings") if field in model.identity},
        "preprocessing": str(model.preprocessing),
        "grid": "x".join(map(str, model.cfg.MODEL.GRID)),
        "resize": model.cfg.MODEL.RESIZE,
    }
    for network in networks:
        store = stores[network.label][subject]
        if all(store.fingerprint.get(field) == value for field, value in wanted.items()):
            fits = set(model.layers) <= set(store.layers)
            return (store if fits else None), network.label
    return None, model.cfg.BACKBONE.NAME


# ---------------------------------------------------------------------- tests


def _significance(encoding: Encoding, n_permutations: int, progress: bool) -> pd.DataFrame:
    """Per headline fit, split and ROI how many voxels score above chance."""
    import pandas as pd

    jobs = [(key, split) for key in encoding.headline() for split in encoding.fits[key].predictions]
    rows = []
    for key, split in progress_bar(jobs, "Permutation tests", len(jobs), progress):
        test = encoding.significance(key, split, n_permutations=n_permutations)
        for roi, mask in encoding.regions(key.subject).items():
            tested = test.p[mask].isfinite().sum().item()
            fdr, family = ((p[mask] <= 0.05).sum().item() for p in (test.p_fdr, test.p_max))
            rows.append(
                {**key._asdict(), "split": split, "roi": roi, "n_tested": tested, "n_fdr05": fdr, "n_max05": family}
                | {"share_fdr05": fdr / tested if tested else np.nan}
            )
    return pd.DataFrame(rows)


def _comparable(encoding: Encoding) -> list[tuple[FitKey, FitKey]]:
    """Pairs of headline fits that differ in one thing alone: the method, the network, or its random weights."""
    keys = [key for key in encoding.headline() if key.control != "shuffled"]
    pairs = []
    for a, b in combinations(keys, 2):
        differing = (a.model != b.model) + (a.method != b.method) + (a.control != b.control)
        if a.subject == b.subject and differing == 1 and "" in (a.control, b.control):
            pairs.append((a, b) if b.control else (b, a))
    return pairs


def _differences(encoding: Encoding, n_resamples: int, progress: bool) -> tuple[pd.DataFrame, dict[str, VoxelTest]]:
    """Per pair, split and ROI the mean difference, and how many voxels differ; and file name -> test of all voxels."""
    import pandas as pd

    jobs = [(a, b, split) for a, b in _comparable(encoding) for split in encoding.fits[a].predictions]
    rows: list[dict[str, Any]] = []
    tests = {}
    for a, b, split in progress_bar(jobs, "Paired differences", len(jobs), progress):
        found = encoding.difference(a, b, split, n_resamples=n_resamples)
        tests[slug(*a, *b, split)] = found.test
        names = {f"{field}_{side}": getattr(key, field) for side, key in (("a", a), ("b", b)) for field in _COMPARED}
        for roi, mask in encoding.regions(a.subject).items():
            values, p = found.test.statistic[mask], found.test.p_fdr[mask]
            known = values.isfinite()
            whole = roi == "all"
            rows.append(
                {"subject": a.subject, **names, "split": split, "roi": roi, "mean": values[known].mean().item()}
                | {"lower": found.mean.lower if whole else np.nan, "upper": found.mean.upper if whole else np.nan}
                | {"n_voxels": int(known.sum()), "share_a_better": (values[known] > 0).double().mean().item()}
                | {"n_a_better_fdr05": int(((p <= 0.05) & (values > 0)).sum())}
                | {"n_b_better_fdr05": int(((p <= 0.05) & (values < 0)).sum())}
            )
    return pd.DataFrame(rows, columns=None if rows else _NO_DIFFERENCES), tests


def _summary(encoding: Encoding) -> list[dict[str, Any]]:
    """The rows of the table a reader asks for first: headline fits and ceilings, all voxels."""
    table = encoding.table
    chosen = table[(table["roi"] == "all") & table["layer"].isin([BEST_LAYER, ALL_LAYERS, ""])]
    return chosen.to_dict("records")

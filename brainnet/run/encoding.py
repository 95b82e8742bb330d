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

import csv
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from yacs.config import CfgNode

from brainnet._checks import check_word
from brainnet._files import write_csv, write_json, write_npz
from brainnet._work import Interrupted
from brainnet.config import changed, config_keys
from brainnet.dataset import ResponseDataset
from brainnet.encode import ALL_LAYERS, BEST_LAYER, CONTROLS, Encoding, encode, find_estimators
from brainnet.plmodel import build_backbone_of, build_dataset
from brainnet.run.card import Clock, closing, data_card, opening, refuse_others
from brainnet.run.encoding_comparisons import difference_tables, significance_table
from brainnet.run.encoding_figures import draw
from brainnet.run.encoding_networks import Network, build_stores, check_networks, plan_networks
from brainnet.run.encoding_trained import TRAIN, add_run, subject_of
from brainnet.run.folder import claimed
from brainnet.run.results import PACKAGES
from brainnet.scores import VoxelTest
from brainnet.store import backbones_unchanged
from brainnet.tokens import POOLS

if TYPE_CHECKING:
    import pandas as pd

KIND = "encode"


@dataclass(frozen=True)
class Choices:
    """What an encoding fits, and how.

    Args:
        methods: "ridge" (layer by layer, and the layer best on training images), "banded", "stacked", "window", a name
            that another package registers, or "FILE.py:NAME" of your own.
        backbones: "family:variant", or "family:variant=weights"; none takes the config's.
        subjects: "KEY=v1,v2": one setting of the data, one subject for each value. None takes the config's one.
        layers: names of the layers to fit; each network takes those it has. None takes all.
        pool: how tokens become features, see :meth:`Tokens.features`.
        controls: "shuffled" (responses permuted per voxel) and "random" (the same networks with random weights).
        runs: folders of finished ``brainnet fit`` runs on the same data and splits, as further rows.
        cv: how the training images are parted to choose penalties: a number of folds, "loo" or "groups".
        groups: a CSV file with the columns "image" and "group" (a run, for instance): every choice then leaves one
            group out.
        seed: of controls, bootstrap, permutations and random weights; not of the split, which is ``SEED``.
        n_resamples: bootstrap resamples and permutations.
    """

    methods: Sequence[str] = ("ridge",)
    backbones: Sequence[str] = ()
    subjects: str | None = None
    layers: Sequence[str] = ()
    pool: str = "flatten"
    controls: Sequence[str] = ()
    runs: Sequence[str | Path] = ()
    cv: int | str | None = None
    groups: str | Path | None = None
    seed: int = 0
    n_resamples: int = 1000


@dataclass(frozen=True, eq=False)
class Results:
    """All that an encoding leaves: its fits, and the tests made of them."""

    encoding: Encoding
    significance: pd.DataFrame
    differences: pd.DataFrame
    tests: Mapping[str, VoxelTest]  # file name -> test of a difference


@backbones_unchanged()
def encode_subjects(
    cfg: CfgNode,
    out: str | Path,
    choices: Choices | None = None,
    *,
    n_jobs: int | None = None,
    progress: bool = True,
    **chosen: Any,
) -> Encoding:
    """Fits every network, subject, method and layer, scores them alike, and fills the folder ``out``.

    Ridge and its kin read tokens as the backbone gives them: ``TOKENS.STANDARDIZE`` and what else in the config belongs
    to training is not used. Images of the splits "train" and "val" are fitted on together, all others are predicted.
    Networks are built one at a time, and let go once their tokens are kept.

    Args:
        cfg: settings, see :func:`brainnet.config.load_config`; read are its data, backbone, tokens and token grid.
        out: folder of the results. The same call goes on where an interrupted one stopped.
        choices: what is fitted, and how.
        n_jobs: processes, see :func:`brainnet.encode.encode`; None is what ``joblib.parallel_config`` says, else 1.
        progress: show progress bars.
        chosen: fields of :class:`Choices` by name.

    Returns:
        The fits with their table, as written to ``encoding.csv``.

    Raises:
        ValueError: an unknown method, layer, control or subject key; a network that has no random twin; a run of other
            data or another split.
        FileExistsError: ``out`` is a file, or holds the results of another command.
        FileNotFoundError: no finished run in one of ``runs``.
        BlockingIOError: another call is at work in ``out``.
    """
    import joblib

    out, clock = Path(out), Clock()
    choices = replace(choices or Choices(), **chosen)
    n_jobs = joblib.effective_n_jobs(n_jobs)
    _check_words(choices)
    refuse_others(out, KIND)
    configs = _subject_configs(cfg, choices.subjects)
    networks, built = check_networks(
        plan_networks(cfg, choices.backbones), choices.layers, "random" in choices.controls, choices.seed
    )
    data = {name: _dataset(one, networks, built) for name, one in configs.items()}
    cards = {name: data_card(one.DATASET.NAME, data[name]) for name, one in configs.items()}
    matched = {Path(run): subject_of(Path(run), cards) for run in choices.runs}
    groups = None if choices.groups is None else {name: read_groups(choices.groups, one) for name, one in data.items()}
    clock.lap("data")
    with claimed(out, KIND):
        try:
            stores, twins = build_stores(cfg, networks, built, data, out, n_jobs, progress)
            clock.lap("tokens")
            encoding = encode(
                {network.label: stores[network.label].__getitem__ for network in networks},
                data,
                methods=choices.methods,
                layers={network.label: network.layers for network in networks if network.layers is not None},
                pool=choices.pool,
                controls=choices.controls,
                twins={label: by_subject.__getitem__ for label, by_subject in twins.items()},
                train=TRAIN,
                groups=groups,
                cv=choices.cv,
                out=out,
                n_jobs=n_jobs,
                n_resamples=choices.n_resamples,
                seed=choices.seed,
                progress=progress,
            )
            learned = {str(run): add_run(encoding, run, name, stores) for run, name in matched.items()}
            clock.lap("fits")
            significance = significance_table(encoding, choices.n_resamples, progress)
            results = Results(encoding, significance, *difference_tables(encoding, choices.n_resamples, progress))
            clock.lap("tests")
        except KeyboardInterrupt:
            raise Interrupted(
                f"encoding was interrupted; tokens and finished jobs are kept: the same command goes on in {out}."
            ) from None
        card = {
            **opening(KIND, (*PACKAGES, "himalaya", "pandas", "joblib", "nibabel")),
            "seed": choices.seed,
            "config": config_keys(cfg),
            "settings": {**asdict(choices), "fitted_on": list(TRAIN), "n_jobs": n_jobs},
            "subjects": cards,
            "backbones": {network.label: network.fingerprint for network in networks},
            "random_twins": {n.label: n.twin.fingerprint for n in networks if n.twin is not None},
            "runs": learned,
            "scores": _summary(encoding),
        }
        _write(results, out, progress)
        clock.lap("files and figures")
        write_json(out / "run.json", {**card, **closing(clock)})
    return encoding


def _write(results: Results, out: Path, progress: bool) -> None:
    """Puts all results into the folder, in place of those of an earlier call; jobs and tokens stay."""
    ours = (out / "run.json").is_file()
    write_json(out / "run.json", {"kind": KIND, "state": "unfinished"})  # what a killed call leaves is known to be ours
    for name in ("voxels", "differences", "figures") if ours else ():
        shutil.rmtree(out / name, ignore_errors=True)
    results.encoding.save(out)
    write_csv(out / "significance.csv", results.significance)
    write_csv(out / "differences.csv", results.differences)
    for name, test in results.tests.items():
        (out / "differences").mkdir(exist_ok=True)
        arrays = {"difference": test.statistic, "p": test.p, "p_fdr": test.p_fdr, "p_max": test.p_max}
        write_npz(out / "differences" / f"{name}.npz", {kind: values.numpy() for kind, values in arrays.items()})
    draw(results.encoding, out / "figures", progress=progress)


# ---------------------------------------------------------------------- what to do


def _check_words(choices: Choices) -> None:
    find_estimators(choices.methods, "groups" if choices.cv is None and choices.groups is not None else choices.cv)
    check_word("pool", choices.pool, POOLS)
    for control in choices.controls:
        check_word("control", control, CONTROLS)


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


def _dataset(cfg: CfgNode, networks: Sequence[Network], built: Mapping[str, Any]) -> ResponseDataset:
    """The data set of one subject; a simulated one is planted in the config's own network."""
    if cfg.DATASET.NAME != "simulated":
        return build_dataset(cfg, None)
    own = next((network for network in networks if network.name == cfg.BACKBONE.NAME), None)
    if own is None:
        return build_dataset(cfg, build_backbone_of(cfg))
    return build_dataset(cfg, built.get(own.label) or own.build())


def read_groups(path: str | Path, dataset: ResponseDataset) -> np.ndarray:
    """(n_images,) the group of each image, from a CSV file with the columns "image" and "group".

    Raises:
        ValueError: other columns, or an image of the data set without a group; names the first one.
    """
    with Path(path).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not rows or not {"image", "group"} <= set(rows[0]):
        raise ValueError(f"{path} needs the columns image and group, a line for each image.")
    group = {row["image"]: row["group"] for row in rows}
    lost = [name for name in dataset.image_ids if name not in group]
    if lost:
        raise ValueError(f"{path} names no group for {len(lost)} of {len(dataset)} images (first: {lost[0]!r}).")
    return np.array([group[name] for name in dataset.image_ids])


def _summary(encoding: Encoding) -> list[dict[str, Any]]:
    """The rows of the table a reader asks for first: headline fits and ceilings, all voxels."""
    table = encoding.table
    chosen = table[(table["roi"] == "all") & table["layer"].isin([BEST_LAYER, ALL_LAYERS, ""])]
    return chosen.to_dict("records")

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
    weights/            with ``keep_weights`` the weights of every fit, for ``brainnet predict``
    stacking/           with a mix of methods and trained maps, what finds its weights
    jobs/, tokens/      finished jobs and, where TOKENS.STORE names no file, token stores: the same call goes on there
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yacs.config import CfgNode

from brainnet._files import file_digest, sha256, slug, write_csv, write_json, write_npz
from brainnet._work import Interrupted, device_of
from brainnet.config import config_keys
from brainnet.dataset import ResponseDataset
from brainnet.encode import ALL_LAYERS, BEST_LAYER, Encoding, encode
from brainnet.plmodel import build_backbone_of, build_dataset
from brainnet.plmodel.build import planted
from brainnet.run.encoding.choices import Choices, check_choices, read_groups, subject_configs
from brainnet.run.encoding.comparisons import difference_tables, significance_table
from brainnet.run.encoding.figures import draw
from brainnet.run.encoding.mixes import add_mixes, parted
from brainnet.run.encoding.networks import Network, build_stores, check_networks, plan_networks
from brainnet.run.encoding.pilot import Plan
from brainnet.run.encoding.series import check_series, features_of
from brainnet.run.encoding.trained import TRAIN, add_run, check_left_out, subject_of
from brainnet.run.encoding.weights import clear_weights, kept_weights
from brainnet.run.extraction.feature_files import FeatureFiles, read_features
from brainnet.run.forecast import Forecast, announced, of_encoding
from brainnet.run.names import check_names, with_regions
from brainnet.run.record.card import Clock, data_card, opening, put_card, refuse_others
from brainnet.run.record.claiming import claimed
from brainnet.run.record.courses import courses_of
from brainnet.run.record.run_folder import PACKAGES
from brainnet.run.stimuli import warn_of_copies
from brainnet.scores import VoxelTest
from brainnet.store import backbones_unchanged

if TYPE_CHECKING:
    import pandas as pd

KIND = "encode"


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
    force: bool = False,
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
        force: run also what the forecast says does not fit.
        progress: show progress bars.
        chosen: fields of :class:`Choices` by name.

    Returns:
        The fits with their table, as written to ``encoding.csv``.

    Raises:
        ValueError: an unknown method, layer, control, device or subject key; a network that has no random twin; a run
            of other data or another split; features that lack an image.
        FileExistsError: ``out`` is a file, or holds the results of another command.
        FileNotFoundError: no finished run in one of ``runs``, no features in one of ``features``.
        BlockingIOError: another call is at work in ``out``.
        MemoryError, OSError: more memory or disk is needed than is free, without ``force``.
    """
    import joblib

    out, clock = Path(out), Clock()
    choices = replace(choices or Choices(), **chosen)
    n_jobs = joblib.effective_n_jobs(n_jobs)
    refuse_others(out, KIND)
    asked = _read(cfg, choices)
    clock.lap("data")
    with claimed(out, KIND):
        try:
            fitted = _fit(cfg, choices, asked, out, clock, n_jobs=n_jobs, force=force, progress=progress)
            clock.lap("fits")
            encoding = fitted.encoding
            significance = significance_table(encoding, choices.n_resamples, progress)
            results = Results(encoding, significance, *difference_tables(encoding, choices.n_resamples, progress))
            clock.lap("tests")
        except KeyboardInterrupt:
            raise Interrupted(
                f"encoding was interrupted; tokens and finished jobs are kept: the same command goes on in {out}."
            ) from None
        card = _card(cfg, choices, asked, fitted, n_jobs)
        _write(results, out, progress)
        clock.lap("files and figures")
        put_card(out, card, clock, [f"weights/{path.name}" for path in sorted((out / "weights").glob("*.npz"))])
    return encoding


@dataclass(frozen=True, eq=False)
class _Asked:
    """What a call names, read and checked before any work.

    Attributes:
        estimators: method -> estimator.
        networks: as planned; ``built``, label -> those that are built already.
        data: subject -> data set; ``cards``, what a run card says of each.
        files: label -> features in files; ``features``, label -> subject -> the same in the order of its images.
        runs: folder of a trained map -> its subject; ``mixes``, see :func:`brainnet.run.encoding.mixes.parted`.
        groups: subject -> (n_images,) labels; None where no groups are left out.
    """

    estimators: Mapping[str, Any]
    networks: Sequence[Network]
    built: Mapping[str, Any]
    data: Mapping[str, ResponseDataset]
    cards: Mapping[str, Mapping[str, Any]]
    files: Mapping[str, FeatureFiles]
    features: Mapping[str, Mapping[str, Any]]
    runs: Mapping[Path, str]
    mixes: Mapping[str, Sequence[str]]
    groups: Mapping[str, Any] | None


def _read(cfg: CfgNode, choices: Choices) -> _Asked:
    estimators = check_choices(choices)
    device_of(choices.device)
    configs = subject_configs(cfg, choices.subjects)
    files = _feature_files(choices)
    planned = plan_networks(cfg, choices.backbones, choices.precision, choices.image_size)
    networks, built = check_networks(
        planned if choices.backbones or not files else [],
        choices.layers,
        "random" in choices.controls,
        choices.seed,
        {label: tuple(one.layers) for label, one in files.items()},
    )
    data = {name: _dataset(one, networks, built) for name, one in configs.items()}
    regions = [roi for one in data.values() for roi in one.space.rois]
    check_names(choices.rename, [*files, *(network.label for network in networks), *regions])
    for name, one in data.items():
        warn_of_copies(one, TRAIN, name)
        one.space = with_regions(one.space, choices.rename)
    check_series(data, choices.delays, {**{network.label: network.known_layers for network in networks},
                                        **{label: tuple(one.layers) for label, one in files.items()}})  # fmt: skip
    cards = {name: data_card(one.DATASET.NAME, data[name]) for name, one in configs.items()}
    runs = {Path(run): subject_of(Path(run), cards) for run in choices.runs}
    _, mixes = parted(choices.methods)
    check_left_out(runs, mixes)
    return _Asked(
        estimators,
        networks,
        built,
        data,
        cards,
        files,
        {
            label: {name: features_of(one, data[name], name, choices.delays) for name in data}
            for label, one in files.items()
        },
        runs,
        mixes,
        None if choices.groups is None else {name: read_groups(choices.groups, one) for name, one in data.items()},
    )


@dataclass(frozen=True, eq=False)
class _Fitted:
    """All fits, and what the card says of the trained maps, of kept weights, and of the forecast."""

    encoding: Encoding
    learned: Mapping[str, Mapping[str, Any]]
    weights: Sequence[Any]
    forecast: Forecast


def _fit(
    cfg: CfgNode, choices: Choices, asked: _Asked, out: Path, clock: Clock, *, n_jobs: int, force: bool, progress: bool
) -> _Fitted:
    """Tokens, a forecast, the grid of fits, trained maps beside them, and mixes of both."""
    data = asked.data
    stores, twins, described = build_stores(
        cfg, asked.networks, asked.built, data, out, n_jobs, choices.device, choices.delays, force, progress
    )
    described |= {label: {name: {"features": str(one.source)} for name in data} for label, one in asked.files.items()}
    clock.lap("tokens")
    plan = Plan(
        {label: by_subject.__getitem__ for label, by_subject in {**stores, **asked.features}.items()},
        data,
        asked.estimators,
        _chosen_layers(choices.layers, asked.networks, asked.files),
        choices.pool,
        choices.controls,
        choices.n_resamples,
        TRAIN,
    )
    fit = partial(
        encode,
        pool=choices.pool,
        train=TRAIN,
        groups=asked.groups,
        cv=choices.cv,
        weights=(lambda model, subject: described[model][subject]) if choices.keep_weights else None,
        out=out,
        n_resamples=choices.n_resamples,
        seed=choices.seed,
    )
    forecast = announced(of_encoding(plan.grid(n_jobs, choices.keep_weights)), out, force)
    seconds = plan.seconds(partial(fit, n_jobs=1, progress=False), n_jobs)
    if seconds is not None:
        forecast = announced(replace(forecast, seconds=clock.elapsed() + seconds), out, True)
    fit = partial(fit, plan.sources, data, layers=plan.layers, n_jobs=n_jobs, progress=progress)
    twins = {label: by_subject.__getitem__ for label, by_subject in twins.items()}
    encoding = fit(methods=plan.estimators, controls=choices.controls, twins=twins)
    clear_weights(out, encoding.fits if choices.keep_weights else ())
    weights = kept_weights(out, encoding) if choices.keep_weights else []  # found again by the network's own name
    learned = {run: add_run(encoding, run, name, stores, bool(asked.mixes)) for run, name in asked.runs.items()}
    apart = partial(fit, train=("train",), weights=None, out=out / "stacking", n_resamples=1)
    add_mixes(
        encoding,
        asked.mixes,
        [one for _, one in learned.values()],
        lambda names: apart(methods={name: plan.estimators[name] for name in names}),
    )
    encoding.rename_models(choices.rename)
    return _Fitted(encoding, {str(run): one for run, (one, _) in learned.items()}, weights, forecast)


def _card(cfg: CfgNode, choices: Choices, asked: _Asked, fitted: _Fitted, n_jobs: int) -> dict[str, Any]:
    return {
        **opening(KIND, (*PACKAGES, "himalaya", "pandas", "joblib", "nibabel")),
        "seed": choices.seed,
        "config": config_keys(cfg),
        "settings": {**asdict(choices), "fitted_on": list(TRAIN), "n_jobs": n_jobs},
        "subjects": asked.cards,
        "backbones": {network.label: network.fingerprint for network in asked.networks},
        "random_twins": {n.label: n.twin.fingerprint for n in asked.networks if n.twin is not None},
        "features": {label: _features_card(one) for label, one in asked.files.items()},
        "runs": fitted.learned,
        "weights": fitted.weights,
        "scores": _summary(fitted.encoding),
        "forecast": fitted.forecast.of_card(),
    }


def _write(results: Results, out: Path, progress: bool) -> None:
    """Puts all results into the folder, in place of those of an earlier call; jobs and tokens stay."""
    ours = (out / "run.json").is_file()
    write_json(out / "run.json", {"kind": KIND, "state": "unfinished"})  # what a killed call leaves is known to be ours
    for name in ("voxels", "spaces", "differences", "figures", "courses") if ours else ():
        shutil.rmtree(out / name, ignore_errors=True)
    results.encoding.save(out)
    write_csv(out / "significance.csv", results.significance)
    write_csv(out / "differences.csv", results.differences)
    for name, test in results.tests.items():
        (out / "differences").mkdir(exist_ok=True)
        arrays = {"difference": test.statistic, "p": test.p, "p_fdr": test.p_fdr, "p_max": test.p_max}
        write_npz(out / "differences" / f"{name}.npz", {kind: values.numpy() for kind, values in arrays.items()})
    _write_courses(results.encoding, out / "courses")
    draw(results.encoding, out / "figures", progress=progress)


def _write_courses(encoding: Encoding, folder: Path) -> None:
    """Prediction and response over the volumes of the test runs, of every headline fit of a time series."""
    for subject, dataset in encoding.subjects.items():
        for key in encoding.headline(subject):
            predicted = encoding.fits[key].predictions.get("test")
            found = None if key.control or predicted is None else courses_of(dataset, predicted)
            if found is not None:
                folder.mkdir(exist_ok=True)
                found.save(folder / f"{slug(*key)}.npz")


# ---------------------------------------------------------------------- what to do


def _feature_files(choices: Choices) -> dict[str, FeatureFiles]:
    """Label -> features in files; called after their network, or after the folder where that is called so already."""
    found: dict[str, FeatureFiles] = {}
    for path in choices.features:
        one = read_features(path)
        taken = {*found, *(text.partition("=")[0] for text in choices.backbones), *choices.backbones}
        label = one.label if one.label not in taken else Path(path).resolve().name
        if label in taken:
            raise ValueError(f"--features {path}: another network is called {label!r} already; rename the folder.")
        found[label] = replace(one, label=label)
    return found


def _chosen_layers(
    layers: Sequence[str], networks: Sequence[Network], files: Mapping[str, FeatureFiles]
) -> dict[str, Sequence[str]]:
    """Network -> the layers to fit, of those that do not take all they have."""
    chosen = {network.label: network.layers for network in networks if network.layers is not None}
    if layers:
        chosen |= {label: [layer for layer in layers if layer in one.layers] for label, one in files.items()}
    return chosen


def _features_card(files: FeatureFiles) -> dict[str, Any]:
    sources = sorted(files.source.iterdir()) if files.source.is_dir() else [files.source]
    read = {path.name: file_digest(path) for path in sources if path.is_file()}
    return {"path": str(files.source), "layers": list(files.layers), "sha256": sha256(str(sorted(read.items())))}


def _dataset(cfg: CfgNode, networks: Sequence[Network], built: Mapping[str, Any]) -> ResponseDataset:
    """The data set of one subject; what is planted is planted in the config's own network."""
    if not planted(cfg):
        return build_dataset(cfg, None)
    own = next((network for network in networks if network.name == cfg.BACKBONE.NAME), None)
    if own is None:
        return build_dataset(cfg, build_backbone_of(cfg))
    return build_dataset(cfg, built.get(own.label) or own.build())


def _summary(encoding: Encoding) -> list[dict[str, Any]]:
    """The rows of the table a reader asks for first: headline fits and ceilings, all voxels."""
    table = encoding.table
    chosen = table[(table["roi"] == "all") & table["layer"].isin([BEST_LAYER, ALL_LAYERS, ""])]
    return chosen.to_dict("records")

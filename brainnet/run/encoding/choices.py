"""What an encoding fits, as a user says it: checked before any work, and read into plain values."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from yacs.config import CfgNode

from brainnet._checks import check_word
from brainnet.config import changed
from brainnet.dataset import DATASETS, ResponseDataset
from brainnet.encode import CONTROLS, find_estimators
from brainnet.encode.grid import with_alphas
from brainnet.encode.reading import reads_tokens
from brainnet.run.encoding.mixes import check_mixes, parted
from brainnet.run.encoding.series import Delays
from brainnet.tokens import POOLS


@dataclass(frozen=True)
class Choices:
    """What an encoding fits, and how.

    Args:
        methods: "ridge" (layer by layer, and the layer best on training images), "banded", "stacked", "window",
            "mixed", a name that another package registers, "FILE.py:NAME" of your own, or a mix of several,
            "stacked:window+banded", among which "FactorTopy" stands for the maps of ``runs``.
        backbones: "family:variant", or "family:variant=weights"; none takes the config's.
        subjects: "KEY=v1,v2": one setting of the data, one subject for each value. None takes the config's one.
        layers: names of the layers to fit; each network takes those it has. None takes all.
        pool: how tokens become features, see :meth:`Tokens.features`.
        controls: "shuffled" (responses permuted per voxel) and "random" (the same networks with random weights).
        features: folders or files of features, as further networks: what ``brainnet extract`` writes, or any arrays
            with names of images. Without ``backbones``, no network is asked.
        delays: of features of a time series, in volumes; of all layers, or layer -> its own. See
            :func:`brainnet.run.encoding.series.read_delays`.
        runs: folders of finished ``brainnet fit`` runs on the same data and splits, as further rows.
        cv: how the training images are parted to choose penalties: a number of folds, "loo" or "groups".
        groups: a CSV file with the columns "image" and "group" (a run, for instance): every choice then leaves one
            group out. "runs", "sessions" or "dataset" takes the labels that the data set has, whichever they are.
        alphas: penalties to choose from, in the units of each method; empty leaves them to each method.
        keep_weights: keep the weights of every fit but controls, for ``brainnet predict``.
        device: where the networks work: "auto" (CUDA where there is one, then mps, then the CPU), "cpu", "cuda:1", ...
        precision, image_size: of every network, in place of what the config says.
        rename: old name -> new name of regions and networks, in tables and figures; finished fits stay as they are.
        seed: of controls, bootstrap, permutations and random weights; not of the split, which is ``SEED``.
        n_resamples: bootstrap resamples and permutations.
    """

    methods: Sequence[str] = ("ridge",)
    backbones: Sequence[str] = ()
    subjects: str | None = None
    layers: Sequence[str] = ()
    pool: str = "flatten"
    controls: Sequence[str] = ()
    features: Sequence[str | Path] = ()
    delays: Delays = ()
    runs: Sequence[str | Path] = ()
    cv: int | str | None = None
    groups: str | Path | None = None
    alphas: Sequence[float] = ()
    keep_weights: bool = False
    device: str | None = None
    precision: str | None = None
    image_size: tuple[int, int] | None = None
    rename: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0
    n_resamples: int = 1000


def check_choices(choices: Choices) -> dict[str, Any]:
    """Refuses words that mean nothing, and choices that do not go together; returns method -> estimator.

    Raises:
        ValueError: names the word, or the two options.
    """
    cv = "groups" if choices.cv is None and choices.groups is not None else choices.cv
    methods, mixes = parted(choices.methods)
    check_mixes(mixes, choices.runs)
    estimators = find_estimators(methods, cv)
    estimators = with_alphas(estimators, choices.alphas) if choices.alphas else estimators
    check_word("pool", choices.pool, POOLS)
    for control in choices.controls:
        check_word("control", control, CONTROLS)
    if not choices.features:
        return estimators
    tokens = next((name for name, estimator in estimators.items() if reads_tokens(estimator)), None)
    if tokens is not None:
        raise ValueError(
            f"--method {tokens} reads token maps, which --features does not hold: name the network by --backbone, in a "
            "call without --features."
        )
    if "random" in choices.controls:
        raise ValueError("--controls random needs networks: features in files have no twin with random weights.")
    if choices.pool != "flatten" and not choices.backbones:
        raise ValueError(
            f"--pool {choices.pool} makes features of a network's tokens; those of --features are read as they are."
        )
    return estimators


def subject_configs(cfg: CfgNode, subjects: str | None) -> dict[str, CfgNode]:
    """Name -> settings of each subject."""
    if subjects is None:
        folder = Path(cfg.DATASET.DATA_DIR).resolve().name
        name = cfg.DATASET.SESSION or (folder if DATASETS[cfg.DATASET.NAME].needs_folder else cfg.DATASET.NAME)
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


OWN_GROUPS = ("runs", "sessions", "dataset")  # words for the labels that a data set has


def read_groups(path: str | Path, dataset: ResponseDataset) -> np.ndarray:
    """(n_images,) the group of each image, from a CSV file with the columns "image" and "group", or of the data set.

    Raises:
        ValueError: other columns, or an image of the data set without a group; names the first one. Or a data set
            that has no groups.
        FileNotFoundError: neither such a file nor one of the words.
    """
    if str(path) in OWN_GROUPS:
        if dataset.groups is None:
            raise ValueError(
                f"--cv-groups {path} asks for the runs or sessions of the data set, and {type(dataset).__name__} knows "
                "none: give a CSV file with the columns image and group."
            )
        return np.asarray(dataset.groups)
    if not Path(path).is_file():
        raise FileNotFoundError(f"no file {path}, and --cv-groups is a file or one of {', '.join(OWN_GROUPS)}.")
    with Path(path).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not rows or not {"image", "group"} <= set(rows[0]):
        raise ValueError(f"{path} needs the columns image and group, a line for each image.")
    group = {row["image"]: row["group"] for row in rows}
    lost = [name for name in dataset.image_ids if name not in group]
    if lost:
        raise ValueError(f"{path} names no group for {len(lost)} of {len(dataset)} images (first: {lost[0]!r}).")
    return np.array([group[name] for name in dataset.image_ids])


def read_alphas(text: str) -> tuple[float, ...]:
    """Penalties from a list, "1,10,100", or from a range of powers, "LEAST:MOST:NUMBER".

    Raises:
        ValueError: neither, or a penalty below 0.

    >>> read_alphas("1, 10"), read_alphas("0.1:1000:5")
    ((1.0, 10.0), (0.1, 1.0, 10.0, 100.0, 1000.0))
    """
    words = text.split(":")
    try:
        if len(words) == 3:
            least, most, number = float(words[0]), float(words[1]), int(words[2])
            ordered = 0 < least < most < math.inf and number >= 2
            found = np.geomspace(least, most, number).round(12).tolist() if ordered else []
        else:
            found = [float(word) for word in text.split(",")]
    except ValueError:
        found = []
    if not found or not all(math.isfinite(alpha) and alpha >= 0 for alpha in found):
        raise ValueError(
            f"--alphas is a list of penalties of at least 0, as in 1,10,100, or a range, LEAST:MOST:NUMBER, as in "
            f"0.01:10000:7; got {text!r}."
        )
    return tuple(found)

"""Settings to objects and plain values: the one reader of a config below ``run`` and ``cli``.

What a family, a data set or a read-out of its own takes beyond the common settings stands under ``BACKBONE.OPTIONS``,
``DATASET.OPTIONS`` and ``MODEL.OPTIONS``, and is checked against the signature of what it is for.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from yacs.config import CfgNode

from brainnet._checks import warn_once
from brainnet._registry import check_options, options_of
from brainnet.backbone import BACKBONES, full_name
from brainnet.backbone.adjusted import build_adjusted
from brainnet.config import config_keys, get_cfg_defaults, parse_config
from brainnet.dataset import DATASETS, ResponseDataset
from brainnet.dataset.rdm_sets import holds_rdms
from brainnet.model import READOUTS
from brainnet.space import BrainSpace, read_areas
from brainnet.tokens import TokenTransform

log = logging.getLogger(__name__)

# settings of the data sets that came with brainnet first, from before there was DATASET.OPTIONS
OF_SOME_DATASETS = {
    "SESSION": "session",
    "RESOLUTION": "resolution",
    "N_TRAIN": "n_train",
    "N_TEST": "n_test",
    "N_VOXELS": "n_voxels",
}

# settings that only some read-outs take, by the names of their arguments
OF_SOME_READOUTS = {
    "BOTTLENECK_DIM": "bottleneck_dim",
    "GRID": "grid",
    "TOPOLOGY": "topology",
    "WINDOW": "window",
    "HEAD": "head",
    "RESIZE": "resize",
    "IMPLEMENTATION": "implementation",
    "PRECISION": "precision",
    "WIDTH_INIT": "width_init",
}
# settings that change what the same weights predict, or which weights there are
DECIDE_THE_FORWARD = ("MODEL.READOUT", "MODEL.GRID", "MODEL.RESIZE", "MODEL.WINDOW", "MODEL.HEAD", "MODEL.WIDTH_INIT",
                      "MODEL.BOTTLENECK_DIM", "MODEL.FIELD", "TOKENS.STANDARDIZE", "TOKENS.PCA")  # fmt: skip
NAMES_A_FILE = ("DATASET.NAME", "BACKBONE.NAME", "MODEL.READOUT")  # where it is "mine.py:Class"


@dataclass(frozen=True)
class DataSettings:
    """How a data module is made where a data set is given, and what it must be."""

    batch_size: int
    seed: int
    fit_on: str
    shuffled: bool


@dataclass(frozen=True)
class TokenSettings:
    """Which tokens are read, on which grid, where they are kept and how they are transformed."""

    layers: tuple[str | int, ...]
    layer_widths: tuple[int, ...]
    grid: tuple[int, int]
    resize: str
    store: str | None
    batch_size: int
    standardize: bool
    pca: int | None
    whiten: bool


@dataclass(frozen=True)
class ReadoutSettings:
    """Which read-out, with which options, from which weights it starts."""

    name: str
    options: Mapping[str, Any]
    start: str
    field: str
    leaves_groups_out: bool
    seed: int


@dataclass(frozen=True)
class StepSettings:
    """The loss, the optimizer's steps and what each of them costs."""

    beta: float
    lr: float
    warmup: int
    decay_last: float
    weight_decay: float
    selector_lr_scale: float
    selector_weight_decay: float
    regularization: float
    regularization_steps: int
    clip_norm: float
    cuda_graph: bool


@dataclass(frozen=True)
class FitSettings:
    """All that PLModel reads of a config, see :mod:`brainnet.config` for what each means."""

    data: DataSettings
    tokens: TokenSettings
    readout: ReadoutSettings
    step: StepSettings
    standardize_responses: bool
    accelerator: str


def settings_of(cfg: CfgNode) -> FitSettings:
    """The plain values of a checked config.

    Raises:
        ValueError: settings that do not go together.
    """
    if cfg.TOKENS.PCA and not cfg.TOKENS.STANDARDIZE:
        raise ValueError("TOKENS.PCA needs TOKENS.STANDARDIZE true: components of unscaled channels mean little.")
    if cfg.MODEL.START == "ridge" and cfg.MODEL.WINDOW != "gaussian":
        raise ValueError("MODEL.START ridge fits Gaussian windows: it needs MODEL.WINDOW gaussian.")
    if cfg.MODEL.CV_GROUPS != "none" and "ridge" not in (cfg.MODEL.START, cfg.MODEL.FIELD):
        raise ValueError(f"MODEL.CV_GROUPS {cfg.MODEL.CV_GROUPS} is for penalties that are chosen by cross-validation: "
                         "it needs MODEL.START ridge or MODEL.FIELD ridge.")  # fmt: skip
    return FitSettings(
        DataSettings(cfg.DATASET.BATCH_SIZE, cfg.SEED, cfg.TRAINER.FIT_ON, cfg.DATASET.SHUFFLED),
        TokenSettings(
            layers=tuple(cfg.MODEL.LAYERS),
            layer_widths=tuple(cfg.MODEL.LAYER_WIDTHS),
            grid=tuple(cfg.MODEL.GRID),
            resize=cfg.MODEL.RESIZE,
            store=cfg.TOKENS.STORE or None,
            batch_size=cfg.TOKENS.BATCH_SIZE,
            standardize=cfg.TOKENS.STANDARDIZE,
            pca=cfg.TOKENS.PCA or None,
            whiten=cfg.TOKENS.WHITEN,
        ),
        ReadoutSettings(
            name=cfg.MODEL.READOUT,
            options=_readout_options(cfg),
            start=cfg.MODEL.START,
            field=cfg.MODEL.FIELD,
            leaves_groups_out=cfg.MODEL.CV_GROUPS == "dataset",
            seed=cfg.SEED,
        ),
        StepSettings(
            beta=cfg.LOSS.BETA,
            lr=cfg.OPTIMIZER.LR,
            warmup=cfg.OPTIMIZER.WARMUP,
            decay_last=cfg.OPTIMIZER.DECAY_LAST,
            weight_decay=cfg.OPTIMIZER.WEIGHT_DECAY,
            selector_lr_scale=cfg.OPTIMIZER.SELECTOR_LR_SCALE,
            selector_weight_decay=cfg.OPTIMIZER.SELECTOR_WEIGHT_DECAY,
            regularization=cfg.REGULARIZATION.LAMBDA,
            regularization_steps=cfg.REGULARIZATION.DECAY_TOTAL_STEPS,
            clip_norm=cfg.TRAINER.CLIP_NORM,
            cuda_graph=cfg.TRAINER.CUDA_GRAPH,
        ),
        standardize_responses=cfg.RESPONSES.STANDARDIZE,
        accelerator=cfg.TRAINER.ACCELERATOR,
    )


def _readout_options(cfg: CfgNode) -> dict[str, Any]:
    """The options of the read-out: those of the common settings that it takes, and its own."""
    name, what = cfg.MODEL.READOUT, f"the read-out {cfg.MODEL.READOUT!r}"
    make = READOUTS[name]
    taken, options = options_of(make), dict(cfg.MODEL.OPTIONS)
    check_options(make, options, what)
    usual, unread = get_cfg_defaults().MODEL, []
    for key, option in OF_SOME_READOUTS.items():
        if taken is None or option in taken:
            options.setdefault(option, cfg.MODEL[key])
        elif cfg.MODEL[key] != usual[key] and key not in ("GRID", "RESIZE"):  # which tokens have, whatever reads them
            unread.append(f"MODEL.{key}")
    if unread:
        log.info("%s does not read %s", what, ", ".join(unread))
    needed = {"ridge": "closed_form_start", "evidence": "evidence_start"}.get(cfg.MODEL.START)
    if needed is not None and not hasattr(make, needed):
        raise ValueError(f"{what} has no {needed}, which MODEL.START {cfg.MODEL.START} needs: set MODEL.START random.")
    return options


def delays_of(settings: FitSettings) -> tuple[int, ...]:
    """The delays that the read-out of a time series reads, in volumes; 0, the volume itself, where it has none.

    Raises:
        ValueError: components of all delays at once, which a read-out cannot part.
    """
    name = settings.readout.name
    known = inspect.signature(READOUTS[name]).parameters.get("delays")
    if known is None:
        warn_once(
            f"no delays {name}",
            f"the read-out {name!r} reads a time series at the volume itself, and the response of fMRI comes seconds "
            "later: MODEL.READOUT delayed finds the delay of each voxel.",
        )
        return (0,)
    if settings.tokens.pca:
        raise ValueError(f"TOKENS.PCA mixes the delays, which the read-out {name!r} tells apart: set TOKENS.PCA 0.")
    return tuple(int(delay) for delay in settings.readout.options.get("delays", known.default))


def build_readout(
    settings: ReadoutSettings, layers: Sequence[str], layer_widths: Sequence[Any], space: BrainSpace
) -> nn.Module:
    """The read-out of a space's voxels, with the same first weights for the same seed.

    Args:
        settings: which one.
        layers: names of the layers it is given.
        layer_widths: channels per layer, an entry may be a pair (local, global).
        space: where its voxels are; the topology "auto" follows from whether they have coordinates.
    """
    options, coords = dict(settings.options), space.coords
    if options.get("topology") == "auto":
        options["topology"] = "free" if coords is None else "coords"
    if options.get("topology") == "free":
        coords = None
    # the same weights for the same seed, whatever ran before, and without touching the user's generator
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        readout = READOUTS[settings.name](layers, layer_widths, space.n_voxels, coords, **options)
    if not isinstance(readout, nn.Module):
        raise TypeError(f"a read-out is a torch.nn.Module, and {settings.name!r} made {type(readout).__name__}.")
    return readout


def build_transform(settings: TokenSettings, layers: Sequence[str], layer_widths: Sequence[Any]) -> Any:
    """The transform of tokens, yet to be fitted; None where tokens are read as they are."""
    return TokenTransform(layers, layer_widths, pca=settings.pca) if settings.standardize else None


def other_forward(saved: str, cfg: CfgNode) -> list[str]:
    """The settings of a saved config with which the same weights predict otherwise: "KEY then (not now)" each."""
    then, now = config_keys(parse_config(saved)), config_keys(cfg)
    keys = [*DECIDE_THE_FORWARD, *sorted(key for key in {*then, *now} if key.startswith("MODEL.OPTIONS."))]
    return [f"{key} {then.get(key)} (not {now.get(key)})" for key in keys if then.get(key) != now.get(key)]


def with_full_paths(cfg: CfgNode) -> CfgNode:
    """A copy in which the user's own file ("mine.py:Class") or network's folder is named by its full path."""
    cfg = cfg.clone()
    cfg.defrost()
    for key in NAMES_A_FILE:
        section, leaf = key.split(".")
        cfg[section][leaf] = full_name(cfg[section][leaf])
    return cfg


def layers_of(wanted: Sequence[str | int], available: list[str]) -> list[str]:
    """The layers a config names, by name or by position, among those the backbone gives; all where it names none."""
    if not wanted or (all(isinstance(layer, int) for layer in wanted) and len(wanted) == len(available)):
        return available  # as many as the backbone was built with: it has been told the positions already
    names = [
        available[layer] if isinstance(layer, int) and str(layer) not in available and layer < len(available)
        else str(layer)
        for layer in wanted
    ]  # fmt: skip
    missing = [name for name in names if name not in available]
    if missing:
        raise ValueError(f"MODEL.LAYERS names {', '.join(missing)}, but the tokens have layers {', '.join(available)}.")
    return names


def planted(cfg: CfgNode) -> bool:
    """Whether the data set that ``cfg.DATASET`` names is made from a network: its ``from_settings`` asks for one."""
    return "backbone" in (options_of(DATASETS[cfg.DATASET.NAME].from_settings) or ())


def build_dataset(cfg: CfgNode, backbone: Any = None) -> ResponseDataset:
    """The data set that ``cfg.DATASET`` names; a simulated subject is planted in ``backbone``.

    Args:
        cfg: the settings; ``DATASET.NAME`` is a registered name or "FILE.py:CLASS".
        backbone: of a data set that is :func:`planted`; None builds the one that ``cfg.BACKBONE`` names.

    Raises:
        ValueError: an unknown name, or an option the data set does not take.
    """
    name, what = cfg.DATASET.NAME, f"the data set {cfg.DATASET.NAME!r}"
    if holds_rdms(DATASETS[name]):
        raise ValueError(
            f"{what} holds RDMs and no responses, so that nothing can be fitted to it. It is for comparing models: "
            f"brainnet rsa compare {name}={cfg.DATASET.DATA_DIR} --model rdms.npz"
        )
    make = DATASETS[name].from_settings
    taken = options_of(make)
    options = dict(cfg.DATASET.OPTIONS)
    check_options(make, options, what)
    usual = get_cfg_defaults().DATASET
    for key, option in OF_SOME_DATASETS.items():
        if taken is None or option in taken:
            options.setdefault(option, cfg.DATASET[key])
        elif cfg.DATASET[key] != usual[key]:
            raise ValueError(f"{what} takes no DATASET.{key}; leave it out.")
    if planted(cfg) and "backbone" not in options:
        options["backbone"] = build_backbone_of(cfg) if backbone is None else backbone
    atlases = []
    for given in cfg.DATASET.ATLASES:  # before the data, which may take long
        with _of_setting(f"DATASET.ATLASES {given!r}"):
            atlases.append(read_areas(given))
    dataset = make(cfg.DATASET.DATA_DIR, cfg.SEED, **options)
    for given, (atlas, areas) in zip(cfg.DATASET.ATLASES, atlases, strict=True):
        with _of_setting(f"DATASET.ATLASES {given!r}"):
            dataset.space = dataset.space.with_atlas(atlas, areas)
    return dataset.shuffled(seed=cfg.SEED) if cfg.DATASET.SHUFFLED else dataset


@contextmanager
def _of_setting(setting: str) -> Iterator[None]:
    """What is wrong is said of a setting."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{setting}: {error}") from error


def training_groups(dataset: ResponseDataset, index: Tensor) -> np.ndarray:
    """The run or session of each training image, (n_train,), for ``MODEL.CV_GROUPS dataset``.

    Args:
        dataset: whose own labels they are.
        index: its training images.

    Raises:
        ValueError: a data set without labels, or whose training images are all of one group.
    """
    if dataset.groups is None:
        raise ValueError(
            f"MODEL.CV_GROUPS dataset leaves out one run or session at a time, and {type(dataset).__name__} knows none "
            "of its images: set MODEL.CV_GROUPS none."
        )
    groups = np.asarray(dataset.groups)[index.numpy()]
    names = np.unique(groups)
    if len(names) < 2:
        raise ValueError(
            f"MODEL.CV_GROUPS dataset leaves out one run or session at a time, and all {len(groups)} training images "
            f"are of one, {str(names[0])!r}: set MODEL.CV_GROUPS none."
        )
    return groups


def meaningless_panels(start: str, grid: Sequence[int]) -> dict[str, Any]:
    """The panels of :func:`brainnet.plot.selectors` that say nothing of a training, and why: its options.

    Args:
        start: MODEL.START.
        grid: height and width of the tokens; those of a text or of a whole sound are one place.

    >>> meaningless_panels("random", (1, 1))
    {'leave_out': ('space', 'scale'), 'note': 'the tokens have one place'}
    >>> meaningless_panels("random", (8, 8))
    {}
    """
    if start == "ridge":
        return {"leave_out": ("layer", "scale", "channels"),
                "note": "they mean nothing where training starts from ridge"}  # fmt: skip
    return {"leave_out": ("space", "scale"), "note": "the tokens have one place"} if tuple(grid) == (1, 1) else {}


def build_backbone_of(cfg: CfgNode, **options: Any) -> Any:
    """The backbone that ``cfg.BACKBONE`` names; further options go to its family.

    Raises:
        ValueError: an unknown name, or an option the family does not take.

    >>> build_backbone_of(parse_config("BACKBONE: {NAME: 'expansion:small'}")).layers
    ('1', '2', '3', '4', '5')
    """
    options = {**cfg.BACKBONE.OPTIONS, **options}
    if cfg.BACKBONE.WEIGHTS:
        options["weights"] = cfg.BACKBONE.WEIGHTS
    if cfg.MODEL.LAYERS:
        options["layers"] = list(cfg.MODEL.LAYERS)
    # "auto" is whatever suits the machine: a family that knows one precision suits it
    taken = options_of(BACKBONES.factory(cfg.BACKBONE.NAME)) or ()
    if cfg.BACKBONE.PRECISION != "fp32" and (cfg.BACKBONE.PRECISION != "auto" or "precision" in taken):
        options["precision"] = cfg.BACKBONE.PRECISION
    backbone = build_adjusted(cfg.BACKBONE.NAME, **options)
    with suppress(AttributeError):  # an object that has no room for it
        backbone.built_from = cfg.BACKBONE.NAME
    return backbone

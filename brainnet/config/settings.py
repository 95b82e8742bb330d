"""Every setting there is, with its unit and its reason; YAML files in ``configs/`` hold only differences.

Precedence: the defaults below < a YAML file < ``KEY VALUE`` overrides. The defaults are those of the original
FactorTopy (Brain Decodes Deep Nets), so its documented lines train what they always trained; ``configs/demo.yaml``
and ``configs/v4_squeezenet.yaml`` hold the recipes that work on a thousand images.
"""

from __future__ import annotations

import ast
import contextlib
import math
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from yacs.config import CfgNode

from brainnet._checks import nearest

_C = CfgNode()

_C.DESCRIPTION = "FactorTopy with the settings of the original"  # free text, kept beside the results
_C.SEED = 0  # seeds the weights, the order of the images and the random splits

_C.DATASET = CfgNode()
_C.DATASET.NAME = "algonauts"  # one of `brainnet datasets`
_C.DATASET.DATA_DIR = "/data/alg23/subj01"  # folder of the data; unused by "simulated"
_C.DATASET.SESSION = ""  # which recording of a folder that holds several, e.g. "201025"; "" where there is one
_C.DATASET.RESOLUTION = (224, 224)  # pixels, height and width, of the images of "algonauts"
_C.DATASET.BATCH_SIZE = 8  # number of images per step of the optimizer
_C.DATASET.N_TRAIN = 1056  # number of training images; "simulated" only
_C.DATASET.N_TEST = 100  # number of test images; "simulated" only
_C.DATASET.N_VOXELS = 0  # number of evenly spaced vertices that are kept; 0 keeps all; simulated data only
_C.DATASET.OPTIONS = CfgNode(new_allowed=True)  # further options of the data set, such as OPTIONS.test 0.1
_C.DATASET.ATLASES = []  # label maps whose areas become regions too: "FILE", or "FILE=V1*,hV4" for some of them
_C.DATASET.SHUFFLED = False  # negative control: every voxel's responses permuted over images on their own

_C.BACKBONE = CfgNode()
_C.BACKBONE.NAME = "original:clip"  # "family:variant", see `brainnet backbones`; unused where a backbone is passed
_C.BACKBONE.WEIGHTS = ""  # a file, "random", or a published name; "" takes the family's default
_C.BACKBONE.PRECISION = "fp32"  # arithmetic of "expansion": "fp32", "bf16", or "auto" (bf16 where the processor has it)
_C.BACKBONE.OPTIONS = CfgNode(new_allowed=True)  # further options of the family of networks, such as OPTIONS.seed 3

_C.TOKENS = CfgNode()
_C.TOKENS.STORE = ""  # file that keeps tokens between runs; "" keeps them in memory (`encode`: several in --out)
_C.TOKENS.BATCH_SIZE = 16  # number of images that the network sees at a time; it changes memory and speed only
_C.TOKENS.STANDARDIZE = False  # z-score each channel of each layer over the training images
_C.TOKENS.PCA = 0  # number of principal components kept per layer; 0 keeps the channels. It needs STANDARDIZE
_C.TOKENS.WHITEN = False  # scale every kept component to SD 1; otherwise each layer is scaled as a whole

_C.MODEL = CfgNode()
_C.MODEL.READOUT = "factortopy"  # what reads the tokens: a registered name, or a class of your own, "mine.py:Class"
_C.MODEL.OPTIONS = CfgNode(new_allowed=True)  # further options of the read-out, such as OPTIONS.depth 2
_C.MODEL.LAYERS = []  # names of the layers to choose from; an empty list asks the network
_C.MODEL.LAYER_WIDTHS = []  # number of channels of each of these layers; an empty list asks the network
_C.MODEL.BOTTLENECK_DIM = 128  # number of channels to which every layer is reduced
_C.MODEL.GRID = (8, 8)  # tokens per image, height and width, that the space selector reads from
_C.MODEL.RESIZE = "mean"  # tokens to that grid: "mean" reads every token, "bilinear" is the original's sampling
_C.MODEL.TOPOLOGY = "auto"  # "coords": selectors are functions of place; "free": one set per voxel; "auto": by the data
_C.MODEL.WINDOW = "point"  # "point": one spot (the original); "gaussian": a window whose width is learned
_C.MODEL.WIDTH_INIT = 0.35  # starting SD of the Gaussian window, in half image widths
_C.MODEL.HEAD = "mean"  # "mean" over channels (the original), or "sum", which learns D times faster
_C.MODEL.START = "random"  # or "ridge": in closed form, over Gaussian windows; "evidence": of each layer and delay
_C.MODEL.FIELD = "none"  # "ridge": beside the read-out, ridge on the whole image, mixed with its predictions
_C.MODEL.CV_GROUPS = "none"  # "dataset": START and FIELD choose penalties leaving out one run or session of the data
_C.MODEL.IMPLEMENTATION = "auto"  # implementation of the selection: "auto", "reference", "cells", ...
_C.MODEL.PRECISION = "fp32"  # arithmetic of the selection: "fp32", "bf16", or "auto" as of BACKBONE

_C.RESPONSES = CfgNode()
_C.RESPONSES.STANDARDIZE = False  # fit z-scored responses (training images); predictions come back in response units

_C.LOSS = CfgNode()
_C.LOSS.BETA = 0.1  # error at which smooth L1 turns from square to absolute, in response units (SDs if standardized)

_C.OPTIMIZER = CfgNode()
_C.OPTIMIZER.LR = 1e-3  # step size of AdamW
_C.OPTIMIZER.WARMUP = 0  # number of steps over which LR rises to its value; it keeps selectors off their ends
_C.OPTIMIZER.DECAY_LAST = 0.0  # share of the steps, at the end, over which LR falls to a tenth; 0 keeps it constant
_C.OPTIMIZER.WEIGHT_DECAY = 1e-2  # weight decay; the original trained with this, although it wrote 3e-4
_C.OPTIMIZER.SELECTOR_LR_SCALE = 1.0  # factor on LR for the space, layer, scale and width selectors
_C.OPTIMIZER.SELECTOR_WEIGHT_DECAY = 1e-2  # weight decay of these selectors; 0 does not pull a start to the center

_C.REGULARIZATION = CfgNode()
_C.REGULARIZATION.LAMBDA = 0.1  # weight of the pull towards even layers and scales
_C.REGULARIZATION.DECAY_TOTAL_STEPS = 2000  # number of steps over which that weight falls to 0, linearly

_C.TRAINER = CfgNode()
_C.TRAINER.MAX_EPOCHS = 20  # number of passes over the training images
_C.TRAINER.PATIENCE = 0  # number of epochs without a better validation r before training stops; 0 never stops early
_C.TRAINER.CLIP_NORM = 0.5  # largest norm of the gradient; 0 does not clip
_C.TRAINER.FIT_ON = "train"  # "train", or "train+val": no image is left to validate on, the last epoch is kept
_C.TRAINER.VAL_EVERY = 1  # number of epochs between validations
_C.TRAINER.ACCELERATOR = "auto"  # accelerator of Lightning: "auto", "cpu", "gpu", ...
_C.TRAINER.DEVICES = 1  # number of processes or GPUs of each machine; under torchrun or srun, these say how many
_C.TRAINER.NUM_NODES = 1  # number of machines; each runs the same command
_C.TRAINER.STRATEGY = "auto"  # strategy of Lightning: "auto", "ddp", ...
_C.TRAINER.CUDA_GRAPH = False  # replay one captured training step, on a single GPU
_C.TRAINER.LOGGER = "csv"  # tracker of a training: "tensorboard", "wandb", "mlflow"; "csv" is log/metrics.csv alone

OPEN_SECTIONS = (
    "DATASET.OPTIONS",
    "BACKBONE.OPTIONS",
    "MODEL.OPTIONS",
)  # their keys are those of the target's signature

_CHOICES = {
    "MODEL.RESIZE": ("mean", "bilinear"),
    "MODEL.TOPOLOGY": ("auto", "coords", "free"),
    "MODEL.WINDOW": ("point", "gaussian"),
    "MODEL.HEAD": ("mean", "sum"),
    "MODEL.START": ("random", "ridge", "evidence"),
    "MODEL.FIELD": ("none", "ridge"),
    "MODEL.CV_GROUPS": ("none", "dataset"),
    "MODEL.IMPLEMENTATION": ("auto", "reference", "cells", "triton"),
    "MODEL.PRECISION": ("fp32", "bf16", "auto"),
    "BACKBONE.PRECISION": ("fp32", "bf16", "auto"),
    "TRAINER.FIT_ON": ("train", "train+val"),
    "TRAINER.LOGGER": ("csv", "tensorboard", "wandb", "mlflow"),
}

# least and most; of a list, of each of its numbers
_RANGES = {
    "SEED": (0, 2**32 - 1),
    "DATASET.RESOLUTION": (1, math.inf),
    "DATASET.BATCH_SIZE": (1, math.inf),
    "DATASET.N_TRAIN": (2, math.inf),
    "DATASET.N_TEST": (2, math.inf),
    "DATASET.N_VOXELS": (0, math.inf),
    "TRAINER.NUM_NODES": (1, math.inf),
    "TOKENS.BATCH_SIZE": (1, math.inf),
    "TOKENS.PCA": (0, math.inf),
    "MODEL.BOTTLENECK_DIM": (1, math.inf),
    "MODEL.GRID": (1, math.inf),
    "MODEL.WIDTH_INIT": (0.08, 3.0),
    "LOSS.BETA": (0, sys.float_info.max),
    "OPTIMIZER.LR": (0, sys.float_info.max),
    "OPTIMIZER.WARMUP": (0, math.inf),
    "OPTIMIZER.DECAY_LAST": (0, 1),
    "OPTIMIZER.WEIGHT_DECAY": (0, sys.float_info.max),
    "OPTIMIZER.SELECTOR_LR_SCALE": (0, sys.float_info.max),
    "OPTIMIZER.SELECTOR_WEIGHT_DECAY": (0, sys.float_info.max),
    "REGULARIZATION.LAMBDA": (0, sys.float_info.max),
    "REGULARIZATION.DECAY_TOTAL_STEPS": (0, math.inf),
    "TRAINER.MAX_EPOCHS": (1, math.inf),
    "TRAINER.PATIENCE": (0, math.inf),
    "TRAINER.CLIP_NORM": (0, sys.float_info.max),
    "TRAINER.VAL_EVERY": (1, math.inf),
}


def get_cfg_defaults() -> CfgNode:
    """A fresh copy of the defaults; changing it changes nothing else.

    >>> get_cfg_defaults().MODEL.BOTTLENECK_DIM
    128
    """
    return _C.clone()


def load_config(path: str | Path | None = None, overrides: Sequence[str] = ()) -> CfgNode:
    """The defaults with a file's and then a list's differences merged in.

    Args:
        path: a YAML file, or the name of one that comes with brainnet ("demo"); None for the defaults.
        overrides: ``[KEY, VALUE, KEY, VALUE, ...]`` with keys such as ``OPTIMIZER.LR``.

    Raises:
        FileNotFoundError: no such file.
        ValueError: an unknown key (names the nearest known one), or a value of the wrong kind.

    >>> load_config("demo", ["OPTIMIZER.LR", "0.01"]).OPTIMIZER.LR
    0.01
    """
    if path is None:
        return changed(get_cfg_defaults(), overrides)
    file = _find(path)
    try:
        given = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} is not readable as YAML: {' '.join(str(error).split())}") from None
    return changed(_merged(given, str(file)), overrides)


def changed(cfg: CfgNode, overrides: Sequence[str]) -> CfgNode:
    """A copy of a config with ``[KEY, VALUE, KEY, VALUE, ...]`` merged in, as on the command line.

    Raises:
        ValueError: an unknown key (names the nearest known one), a key without value, or a value of the wrong kind.

    >>> changed(get_cfg_defaults(), ["DATASET.SESSION", "201025"]).DATASET.SESSION
    '201025'
    """
    cfg = cfg.clone()
    if len(overrides) % 2:
        raise ValueError(f"overrides come as KEY VALUE pairs; {overrides[-1]!r} has no value.")
    for key, text in zip(overrides[::2], overrides[1::2], strict=True):
        _set(cfg, key, text, where="the command line")
    return cfg


def parse_config(text: str) -> CfgNode:
    """The config that ``cfg.dump()`` wrote, as kept in checkpoints and run folders.

    >>> parse_config(load_config("demo", ["SEED", "7"]).dump()).SEED
    7
    """
    try:
        given = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"the saved config is damaged: {' '.join(str(error).split())}") from None
    return _merged(given, "the saved config")


def checked_config(cfg: CfgNode) -> CfgNode:
    """A copy of a config that was changed by attribute, with every key, choice and range checked.

    Raises:
        ValueError: an unknown key (names the nearest known one), or a value of the wrong kind or out of its range.

    >>> cfg = get_cfg_defaults()
    >>> cfg.MODEL.START = "Ridge"
    >>> checked_config(cfg)
    Traceback (most recent call last):
    ValueError: MODEL.START in the config must be one of 'random', 'ridge', 'evidence', got 'Ridge'.
    """
    given = config_keys(cfg)
    missing = [key for key in config_keys() if key not in given]
    if missing:
        raise ValueError(f"the config has no {', '.join(missing)}: begin with get_cfg_defaults() and change values.")
    return _merged(cfg, "the config")


def _merged(given: Any, where: str) -> CfgNode:
    """The defaults with what a mapping of sections says."""
    if given is not None and not isinstance(given, dict):
        raise ValueError(f"{where} must hold KEY: value pairs, got {type(given).__name__}.")
    cfg = get_cfg_defaults()
    for key, value in _flatten(given or {}):
        _set(cfg, key, value, where=where)
    return cfg


def config_keys(cfg: CfgNode | None = None) -> dict[str, Any]:
    """Every setting by its full name, such as ``"OPTIMIZER.LR"``; of the defaults where no config is given.

    >>> config_keys()["MODEL.BOTTLENECK_DIM"]
    128
    """
    return dict(_flatten(_C if cfg is None else cfg))


def config_help() -> dict[str, str]:
    """What every setting means, by its full name: the comments beside the defaults above.

    >>> config_help()["OPTIMIZER.LR"]
    'step size of AdamW'
    """
    source = Path(__file__).read_text(encoding="utf-8")
    return dict(re.findall(r"^_C\.([\w.]+) = .*?  # (.+)$", source, flags=re.MULTILINE))


def config_files() -> dict[str, Path]:
    """The YAML files that come with brainnet, by name.

    >>> config_files()["demo"].name
    'demo.yaml'
    """
    package = Path(__file__).resolve().parents[1]
    folders = [package / "configs", package.parent / "configs"]  # installed, or a source checkout
    return {file.stem: file for folder in folders for file in sorted(folder.glob("*.yaml"))}


def _find(path: str | Path) -> Path:
    file = Path(path)
    if file.is_file():
        return file
    known = config_files()
    if str(path) in known:
        return known[str(path)]
    close = nearest(file.stem, known)
    hint = f" Did you mean {known[close]}?" if close else f" brainnet has: {', '.join(known)}."
    raise FileNotFoundError(f"no config file {path}.{hint}")


def _flatten(node: dict, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        name = f"{prefix}{key}"
        # a section of the defaults is a dict; anything else is a value, and so is whatever an open section holds
        if isinstance(value, dict) and prefix.rstrip(".") not in OPEN_SECTIONS:
            yield from _flatten(value, name + ".")
        else:
            yield name, value


def _set(cfg: CfgNode, key: str, value: Any, where: str) -> None:
    section = next((one for one in OPEN_SECTIONS if key.startswith(f"{one}.")), None)
    if section is not None:
        group, leaf = section.split(".")
        node, (*above, name) = cfg[group][leaf], key[len(section) + 1 :].split(".")
        for one in above:  # an option that is itself a group, "DATASET.OPTIONS.glm.model"
            node[one] = node[one] if isinstance(node.get(one), CfgNode) else CfgNode(new_allowed=True)
            node = node[one]
        value = _literal(value)
        node[name] = CfgNode(value, new_allowed=True) if isinstance(value, dict) else value
        return
    if key in OPEN_SECTIONS:  # all at once, as "{subject: 2}"
        options = value
        if isinstance(value, str):
            with contextlib.suppress(yaml.YAMLError):
                options = yaml.safe_load(value)
        if not isinstance(options, dict):
            raise ValueError(f"{key} in {where} holds options by name, as {{subject: 2}}; got {value!r}.")
        for option, item in options.items():
            _set(cfg, f"{key}.{option}", item, where)
        return
    known = config_keys()
    if key not in known:
        same_leaf = [k for k in known if k.split(".")[-1] == key.split(".")[-1].upper()]
        close = same_leaf[0] if len(same_leaf) == 1 else nearest(key, known)
        hint = f" Did you mean {close}?" if close else ""
        raise ValueError(f"unknown key {key} in {where}.{hint}")
    default = known[key]
    coerced = _coerce(value, default)
    if coerced is None:
        raise ValueError(f"{key} in {where} must be {_kind(default)} like {default!r}, got {value!r}.")
    choices = _CHOICES.get(key)
    if choices and coerced not in choices:
        raise ValueError(f"{key} in {where} must be one of {', '.join(map(repr, choices))}, got {value!r}.")
    _check_range(key, coerced, default, where)
    node = cfg
    *sections, leaf = key.split(".")
    for section in sections:
        node = node[section]
    node[leaf] = coerced


def _check_range(key: str, value: Any, default: Any, where: str) -> None:
    if key == "TRAINER.DEVICES" and value < 1 and value != -1:
        raise ValueError(f"{key} in {where} is a number of processes or GPUs, 1 or more, or -1 for all; got {value}.")
    if key not in _RANGES:
        return
    if isinstance(default, tuple) and len(value) != len(default):
        raise ValueError(f"{key} in {where} is {len(default)} numbers like {default}, got {value!r}.")
    least, most = _RANGES[key]
    for number in value if isinstance(default, tuple) else (value,):
        kinds = int | float if isinstance(default, float) else int
        if isinstance(number, bool) or not isinstance(number, kinds) or not least <= number <= most:
            below = "" if most in (math.inf, sys.float_info.max) else f" and at most {most}"
            raise ValueError(f"{key} in {where} must be at least {least}{below}, and finite; got {value!r}.")


def _coerce(value: Any, default: Any) -> Any:
    """``value`` as the kind of ``default``, or None where it is of another kind."""
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if not isinstance(default, str):
        value = _literal(value)
    if isinstance(default, bool):
        return value if isinstance(value, bool) else None
    if isinstance(default, float):
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
    if isinstance(default, int):
        return value if isinstance(value, int) and not isinstance(value, bool) else None
    if isinstance(default, list | tuple):
        return type(default)(value) if isinstance(value, list | tuple) else None
    return str(value) if isinstance(value, str | int | float) else None


def _literal(value: Any) -> Any:
    """The number, list or truth value that a text writes; a text that writes none stays one.

    >>> _literal("0.5"), _literal("true"), _literal("V1")
    (0.5, True, 'V1')
    """
    if not isinstance(value, str):
        return value
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return {"true": True, "false": False, "none": None, "null": None}.get(value.lower(), value)


def _kind(default: Any) -> str:
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
    return names.get(type(default), "a list")

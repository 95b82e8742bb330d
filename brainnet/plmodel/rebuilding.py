"""An encoder's files made a model again, whoever wrote them: all is checked before anything is built."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor, nn
from yacs.config import CfgNode

from brainnet.backbone import BACKBONES, full_name
from brainnet.backbone.folders import at_hand
from brainnet.backbone.kinds import kind_read_by
from brainnet.config import get_cfg_defaults, parse_config
from brainnet.model import READOUTS
from brainnet.plmodel.build import NAMES_A_FILE, build_backbone_of, with_full_paths
from brainnet.plmodel.checkpoint import CHECKPOINT_KEY, packed
from brainnet.plmodel.encoder_files import (
    CONFIG,
    EncoderFiles,
    check_plain_options,
    check_total,
    entry,
    names_no_file,
)
from brainnet.space import BrainSpace
from brainnet.tokens import Preprocessing

BY_NAME = "by name"  # the network that an encoder names
A_FOLDER = re.compile(r"\w[\w.+-]*")
A_NAME = re.compile(r"\w+(:[\w.+-]+(/[\w.+-]+)?)?")
PLAIN = (str, int, float, bool, list, tuple, Path)  # options that a file of settings can hold
LARGEST_GRID = 1024  # tokens along a side
LARGEST_IMAGE = 16_384  # pixels along a side


def names_a_family(name: str) -> bool:
    """Whether a text is "family:variant" of an installed package, or such a name within one, "video:timm:vit_tiny".

    >>> names_a_family("timm:vit_tiny"), names_a_family("video:timm:vit_tiny"), names_a_family("timm:hf_hub:me/net")
    (True, True, False)
    """
    family, _, variant = name.partition(":")
    if ":" in variant:
        return family in BACKBONES and names_a_family(variant)
    return bool(A_NAME.fullmatch(name)) and family in BACKBONES


def model_of(cls: type, files: EncoderFiles, backbone: Any = BY_NAME) -> Any:
    """The model that the files of an encoder hold.

    Args:
        cls: the class of the model.
        files: of an encoder of the kind "readout".
        backbone: see :meth:`brainnet.plmodel.PLModel.from_pretrained`.

    Raises:
        ValueError: settings, layers or weights that do not fit together, or another backbone.
    """
    where, config = files.where, files.config
    cfg = _settings(config, where)
    layers, widths = _layers(config, where)
    if files.space is None:
        raise ValueError(f"{where} is damaged: it does not say how many voxels it has.")
    _check_sizes(files, cfg, widths)
    given = config.get("preprocessing")  # None is the network's own, of texts, sounds and clips
    preprocessing = None if given is None else check_preprocessing(given, where)
    tr = check_tr(config.get("tr"), where)
    identity = {str(k): str(v) for k, v in entry(config, "backbone", dict, where).items()}
    if isinstance(backbone, str) and backbone == BY_NAME:
        backbone = _backbone_by_name(config, cfg, where)
    if preprocessing is None and backbone is not None and kind_read_by(backbone) == "image":
        raise ValueError(f"{where} is damaged: its preprocessing of images is missing.")
    return built(cls, cfg, backbone, layers, widths, files.space, preprocessing, files.tensors, where, identity, tr)


def check_preprocessing(given: Any, where: str) -> Preprocessing:
    """How images reach the network, of an encoder's ``config.json``.

    Raises:
        ValueError: it is no preprocessing.
    """
    try:
        made = Preprocessing(**given)
        sizes = [len(part) for part in (made.size, made.mean, made.std)]
        numbers = [*made.size, *made.mean, *made.std]
        if sizes != [2, 3, 3] or not all(isinstance(one, int | float) and math.isfinite(one) for one in numbers):
            raise ValueError("it has other numbers")
        if not all(isinstance(side, int) and 0 < side <= LARGEST_IMAGE for side in made.size):
            raise ValueError(f"an image size of {made.size}")
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where} is damaged: its preprocessing is none ({str(error)[:100]}).") from None
    return made


def check_tr(tr: Any, where: str) -> float | None:
    """Seconds from one volume to the next, of an encoder's ``config.json``; None where its rows are no volumes.

    Raises:
        ValueError: no positive number.
    """
    if tr is None:
        return None
    if isinstance(tr, bool) or not isinstance(tr, int | float) or not 0 < tr < math.inf:
        raise ValueError(f"{where} is damaged: tr in its {CONFIG} is {str(tr)[:40]!r}.")
    return float(tr)


def built(
    cls: type, cfg: CfgNode, backbone: Any, layers: list[str], widths: list[Any], space: BrainSpace,
    preprocessing: Preprocessing | None, weights: Mapping[str, Tensor], where: str,
    identity: Mapping[str, str] | None = None, tr: float | None = None,
) -> Any:  # fmt: skip
    """A model with these weights, in evaluation mode."""
    model = cls(cfg, backbone, skip_data=True)
    state = dict(weights)
    n = space.n_voxels
    if identity is None:  # weights of the read-out alone
        state |= {"response_mean": torch.zeros(n), "response_sd": torch.ones(n), "usable": torch.ones(n).bool()}
    if len(state.get("usable", ())) != n:
        raise ValueError(f"{where} is damaged: it lacks the weights usable, one for each of its {n} voxels.")
    saved = {
        "config": cfg.dump(), "layers": layers, "layer_widths": widths, "backbone": dict(identity or {}),
        "preprocessing": {} if preprocessing is None else asdict(preprocessing), "tr": tr, "space": packed(space),
        "started": True,
    }  # fmt: skip
    try:
        model.on_load_checkpoint({"state_dict": state, CHECKPOINT_KEY: saved})
    except (KeyError, TypeError, IndexError, RuntimeError) as error:
        raise ValueError(f"{where} is damaged: its parts do not fit together ({error}).") from None
    except ValueError as error:
        raise ValueError(f"{where}: {error}".replace("the checkpoint", "the encoder")) from None
    _fit(model, state, where)
    _check_field(model, where)
    return model.eval()


def _check_field(model: Any, where: str) -> None:
    """Refuses a field of other tokens than the model's."""
    field = model.field
    if field is None:
        return
    widths = model.layer_widths if model.transform is None else model.transform.layer_widths
    widths = [width[0] if isinstance(width, tuple | list) else width for width in widths]
    rank, n = len(field.offset), model.space.n_voxels
    expected = {"mean": (n,), "patterns": (n, rank), "offset": (rank,), "share": (), "window_share": (n,), "kept": ()}
    expected |= {f"map{k}": (rank, width, *model.cfg.MODEL.GRID) for k, width in enumerate(widths)}
    if {name: tuple(value.shape) for name, value in field.named_buffers()} != expected:
        raise ValueError(f"{where} is damaged: its field reads other tokens than its read-out.")


def _fit(model: nn.Module, state: Mapping[str, Tensor], where: str) -> None:
    """Puts weights into a model, or says in one line which do not fit."""
    own = model.state_dict()
    missing, surplus = sorted({*own} - {*state}), sorted({*state} - {*own})
    if missing or surplus:
        parts = [f"{title} {len(names)} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
                 for title, names in (("it lacks", missing), ("it has others", surplus)) if names]  # fmt: skip
        raise ValueError(f"the weights of {where} have other names than this model's: {', and '.join(parts)}.")
    for name, value in own.items():
        given = state[name]
        if given.shape != value.shape or given.dtype != value.dtype:
            raise ValueError(
                f"the weights {name} of {where} are {given.dtype} {tuple(given.shape)}, and this model's are "
                f"{value.dtype} {tuple(value.shape)}."
            )
    model.load_state_dict(dict(state))


def _settings(config: Mapping[str, Any], where: str) -> CfgNode:
    """The settings of an encoder, of which none may name a file of a stranger's."""
    given = entry(config, "settings", dict, where)
    nested: dict[str, Any] = {}
    for key, value in given.items():
        *sections, leaf = str(key).split(".", 2)
        node = nested
        for section in sections:
            node = node.setdefault(section, {})
            if not isinstance(node, dict):
                raise ValueError(f"{where} is damaged: {key} in its {CONFIG} is no setting.")
        node[leaf] = value
    try:
        cfg = parse_config(yaml.safe_dump(nested))
    except (ValueError, TypeError, AttributeError, yaml.YAMLError, RecursionError) as error:
        version = str(config.get("brainnet_version"))[:40]
        said = " ".join(str(error).split())
        raise ValueError(
            f"{where} has settings that this brainnet does not read (it was written by brainnet {version}): {said}"
        ) from None
    for key in NAMES_A_FILE:
        section, leaf = key.split(".")
        if not names_no_file(cfg[section][leaf].replace("/", "")):
            raise ValueError(f"{where} names code in a file, {key} {cfg[section][leaf]!r:.80}: it is not run.")
    if cfg.MODEL.READOUT not in READOUTS:
        raise ValueError(f"{where} needs the read-out {cfg.MODEL.READOUT!r:.60}, which no installed package announces.")
    check_plain_options(cfg.MODEL.OPTIONS, "its read-out", where)
    check_plain_options(cfg.BACKBONE.OPTIONS, "its network", where)
    return cfg


def _layers(config: Mapping[str, Any], where: str) -> tuple[list[str], list[Any]]:
    layers, widths = entry(config, "layers", list, where), entry(config, "layer_widths", list, where)
    numbers = [w for width in widths for w in (width if isinstance(width, list) else [width])]
    whole = all(isinstance(number, int) and not isinstance(number, bool) and number > 0 for number in numbers)
    pairs = all(len(width) == 2 for width in widths if isinstance(width, list))
    names = all(isinstance(layer, str) for layer in layers) and len(set(layers)) == len(layers)
    if not layers or len(layers) != len(widths) or not (whole and pairs and names):
        raise ValueError(f"{where} is damaged: layers and layer_widths in its {CONFIG} do not fit together.")
    return layers, [tuple(width) if isinstance(width, list) else width for width in widths]


def _check_sizes(files: EncoderFiles, cfg: CfgNode, widths: list[Any]) -> None:
    """Refuses settings that would build much more than the weights hold, before anything is built."""
    total = sum(value.numel() for value in files.tensors.values())
    single = [w for width in widths for w in (width if isinstance(width, tuple) else (width,))]
    options = [v for v in cfg.MODEL.OPTIONS.values() if isinstance(v, int) and not isinstance(v, bool)]
    check_total([*single, cfg.MODEL.BOTTLENECK_DIM, files.space.n_voxels, *options], total, files.where)
    if any(side > LARGEST_GRID for side in cfg.MODEL.GRID):
        raise ValueError(f"{files.where} is damaged: a grid of {cfg.MODEL.GRID} tokens.")
    if cfg.MODEL.READOUT in ("factortopy", "delayed"):
        kept = cfg.TOKENS.PCA or math.inf
        n_delays = len(cfg.MODEL.OPTIONS.get("delays", ())) or 1
        read = sum(min(w, kept) for w in single) / n_delays + files.space.n_voxels
        check_total([int(read * cfg.MODEL.BOTTLENECK_DIM)], 2 * total, files.where)
    if cfg.TOKENS.STANDARDIZE:
        check_total([sum(w * min(w, cfg.TOKENS.PCA) if cfg.TOKENS.PCA else w for w in single)], 2 * total, files.where)


def _backbone_by_name(config: Mapping[str, Any], cfg: CfgNode, where: str) -> Any:
    """The network that the encoder names, which must be one that an installed package knows."""
    name, identity = cfg.BACKBONE.NAME, config["backbone"]
    if config.get("backbone_by_name") is not True:
        known = str(identity.get("name", name))[:80]
        raise ValueError(
            f"{where} reads the tokens of a network that its name does not rebuild ({known}, weights "
            f"{str(identity.get('weights'))[:16]}): give it, PLModel.from_pretrained(..., backbone=NETWORK), or None "
            "for the encoder alone."
        )
    if not names_a_family(name) or ".." in name:
        raise ValueError(f"{where} names the network {name!r:.80}, which no installed package knows: give backbone=.")
    if not names_no_file(cfg.BACKBONE.WEIGHTS):
        raise ValueError(f"{where} names a file or an address of weights, {cfg.BACKBONE.WEIGHTS!r:.80}: it is refused.")
    cfg.BACKBONE.NAME = in_folder(config, name, where)
    try:
        return build_backbone_of(cfg)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{where} names a network that cannot be built here: {error}") from None


def in_folder(config: Mapping[str, Any], name: str, where: str) -> str:
    """The name of an encoder's network; where it lies in a folder, with the place at which the folder is found.

    Raises:
        ValueError: no plain name of a folder.
        FileNotFoundError: it is neither in the working folder nor beside the encoder.
    """
    if "backbone_folder" not in config:
        return name
    folder = entry(config, "backbone_folder", str, where)
    if not A_FOLDER.fullmatch(folder) or not name.endswith(f":{folder}"):
        raise ValueError(f"{where} names a folder that is no plain name, {folder!r:.80}: give backbone=.")
    return at_hand(name, folder, where)


def naming(cfg: CfgNode, backbone: Any, layers: Sequence[str]) -> CfgNode:
    """The settings with the name of a network that was passed, where a name built it; a folder by its full path.

    Args:
        cfg: settings, which may name another network.
        backbone: the network of a model.
        layers: those that the model reads.
    """
    name, cfg = getattr(backbone, "built_from", ""), with_full_paths(cfg)
    given = getattr(backbone, "built_with", None)  # of one that was passed; the settings have those of their own
    if name and (given is not None or full_name(name) != cfg.BACKBONE.NAME):
        options = {key: str(value) if isinstance(value, Path) else list(value) if isinstance(value, tuple) else value
                   for key, value in (given or {}).items() if isinstance(value, PLAIN) and key != "layers"}  # fmt: skip
        cfg.BACKBONE = get_cfg_defaults().BACKBONE
        cfg.BACKBONE.NAME, cfg.MODEL.LAYERS = full_name(name), list(layers)
        cfg.BACKBONE.WEIGHTS = options.pop("weights", "")
        cfg.BACKBONE.OPTIONS.update(options)
    return cfg


def rebuilt(cfg: CfgNode, where: str) -> Any:
    """The network that the settings of a checkpoint name.

    Raises:
        FileNotFoundError: its folder or file is gone; says how to give the network.
    """
    try:
        return build_backbone_of(cfg)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{where} reads the network {cfg.BACKBONE.NAME}, and {error} Put it there, or give the network, backbone=."
        ) from None

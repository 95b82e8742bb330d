"""What the folder or the repository of an encoder holds, of either kind; no data set is needed, nothing is trusted."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from brainnet.backbone import BACKBONES
from brainnet.encode.weights import reads_windows
from brainnet.plmodel import PLModel, hub
from brainnet.plmodel.encoder_files import (
    CONFIG,
    EncoderFiles,
    check_plain_options,
    entry,
    names_no_file,
    read_encoder,
)
from brainnet.plmodel.rebuilding import A_NAME, BY_NAME, check_preprocessing, model_of
from brainnet.plmodel.travelling import encoder_folder
from brainnet.run.encoding.weights import LinearEncoder


def load_encoder(
    path_or_id: str | os.PathLike,
    *,
    revision: str | None = None,
    cache_dir: str | os.PathLike | None = None,
    token: hub.Token = None,
    backbone: Any = BY_NAME,
) -> PLModel | LinearEncoder:
    """The encoder of a folder or of a repository of the hub: a model of ``fit``, or linear weights of ``encode``.

    Args:
        path_or_id: a folder, or "OWNER/NAME".
        revision, cache_dir, token: of the repository, see :meth:`brainnet.plmodel.PLModel.from_pretrained`.
        backbone: by default the one that it names; an object with ``get_tokens`` takes its place.

    Raises:
        FileNotFoundError: no such folder or repository, or one without an encoder.
        ValueError: a damaged encoder, one of another version, or another backbone.
        ConnectionError: the hub does not answer.
    """
    files = read_encoder(encoder_folder(path_or_id, revision, cache_dir, token), str(path_or_id))
    if files.config["kind"] == "readout":
        return model_of(PLModel, files, backbone)
    return _linear(files, backbone)


def _linear(files: EncoderFiles, backbone: Any) -> LinearEncoder:
    """The linear encoder of a folder, checked."""
    config, where = files.config, files.where
    layers, pool = entry(config, "layers", list, where), entry(config, "pool", str, where)
    _check_weights(files.tensors, layers, where)
    n_voxels = len(files.tensors["intercept"])
    if files.space is not None and files.space.n_voxels != n_voxels:
        raise ValueError(
            f"{where} is damaged: its weights are of {n_voxels} voxels, its space has {files.space.n_voxels}."
        )
    settings = entry(config, "settings", dict, where)
    name, options = entry(settings, "name", str, where), entry(settings, "options", dict, where)
    grid = entry(settings, "grid", list, where)
    if len(grid) != 2 or not all(isinstance(side, int) and 0 < side <= 1024 for side in grid):
        raise ValueError(f"{where} is damaged: a grid of {str(grid)[:60]} tokens.")
    given = config.get("preprocessing")
    if given is not None:
        check_preprocessing(given, where)
    network = {
        "name": name, "options": options, "fingerprint": entry(config, "backbone", dict, where),
        "preprocessing": given, "grid": grid, "resize": entry(settings, "resize", str, where),
    }  # fmt: skip
    if isinstance(backbone, str) and backbone == BY_NAME:
        known = (
            config.get("backbone_by_name") is True and A_NAME.fullmatch(name) and names_no_file(name.replace("/", ""))
        )
        if not known or name.partition(":")[0] not in BACKBONES:
            raise ValueError(
                f"{where} reads a network that its name does not rebuild ({name[:60]}): give backbone=NETWORK."
            )
        check_plain_options(options, "its network", where)
        backbone = None
    weights = {key: value.numpy() for key, value in files.tensors.items()}
    return LinearEncoder(weights, layers, pool, network, files.space, backbone)


def _check_weights(tensors: Mapping[str, Tensor], layers: list[str], where: str) -> None:
    """Refuses weights that lack a part, have others, or whose shapes do not fit together."""
    if not layers or not all(isinstance(layer, str) for layer in layers):
        raise ValueError(f"{where} is damaged: layers in its {CONFIG} is {str(layers)[:60]}.")
    windows = reads_windows(tensors)
    expected = {"intercept", *(f"coef:{layer}" for layer in layers)}
    expected |= {"position", "width", "scale"} if windows else {f"center:{layer}" for layer in layers}
    if set(tensors) != expected:
        missing, surplus = sorted(expected - set(tensors)), sorted(set(tensors) - expected)
        raise ValueError(
            f"the weights of {where} have other names: it lacks {missing[:3]}, it has others {surplus[:3]}."
        )
    n = tensors["intercept"].numel()
    shapes = {"intercept": (n,), "position": (n, 2), "width": (n, 1), "scale": ()}
    for name, value in tensors.items():
        kind, _, layer = name.partition(":")
        if kind == "center":
            fits = value.shape == tensors[f"coef:{layer}"].shape[:1]
        elif kind == "coef":
            fits = value.ndim == 2 and value.shape[1] == n
        else:
            fits = tuple(value.shape) == shapes[name]
        if not fits or value.dtype != torch.float32:
            raise ValueError(f"{where} is damaged: the weights {name} are {value.dtype} {tuple(value.shape)}.")

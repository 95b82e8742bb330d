"""What the folder or the repository of an encoder holds, of either kind; no data set is needed, nothing is trusted."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

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
from brainnet.plmodel.rebuilding import BY_NAME, check_preprocessing, check_tr, in_folder, model_of, names_a_family
from brainnet.plmodel.travelling import encoder_folder
from brainnet.run.encoding.weights import LinearEncoder

LONGEST_DELAY = 1000  # volumes


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
    series = settings.get("series")
    if series is not None:
        series = {"tr": check_tr(entry(settings, "series", dict, where).get("tr", 0), where),
                  "delays": _delays(series.get("delays"), layers, where)}  # fmt: skip
    network = {
        "name": name, "options": options, "fingerprint": entry(config, "backbone", dict, where),
        "preprocessing": given, "grid": grid, "resize": entry(settings, "resize", str, where),
    }  # fmt: skip
    network |= {} if series is None else {"series": series}
    if isinstance(backbone, str) and backbone == BY_NAME:
        if (
            config.get("backbone_by_name") is not True
            or not names_a_family(name)
            or not names_no_file(name.replace("/", ""))
        ):
            raise ValueError(
                f"{where} reads a network that its name does not rebuild ({name[:60]}): give backbone=NETWORK."
            )
        check_plain_options(options, "its network", where)
        network["name"], backbone = in_folder(config, name, where), None
    weights = {key: value.numpy() for key, value in files.tensors.items()}
    return LinearEncoder(weights, layers, pool, network, files.space, backbone)


def _delays(given: Any, layers: Sequence[str], where: str) -> Any:
    """Delays in volumes, of all layers or of each."""
    parts = [given.get(layer) for layer in layers] if isinstance(given, Mapping) else [given]
    for part in parts:
        whole = isinstance(part, list) and all(isinstance(k, int) and abs(k) <= LONGEST_DELAY for k in part)
        if not whole or not part or len(part) > LONGEST_DELAY:
            raise ValueError(f"{where} is damaged: delays in its {CONFIG} are {str(given)[:60]}.")
    return given


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

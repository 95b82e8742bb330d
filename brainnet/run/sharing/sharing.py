"""The encoder of a finished run as a folder that travels, and what such a folder holds, loaded without the data set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from brainnet.backbone.folders import without_place
from brainnet.backbone.kinds import kind_read_by
from brainnet.plmodel import hub
from brainnet.plmodel.encoder_files import (
    is_plain,
    read_encoder,
    write_encoder,
)
from brainnet.plmodel.rebuilding import names_a_family
from brainnet.run.encoding.weights import KeptPredictor, choose_fit, kept_fits
from brainnet.run.fitting.prediction import load_model
from brainnet.run.page.scenes import encoding_space
from brainnet.run.record.card import kind_of
from brainnet.run.record.runs import read_run
from brainnet.run.sharing.words import card_of_encoding, card_of_fit, check_license

FIGURES = {"fit": ("maps.png",), "encode": ("figures/scores_*.png", "figures/layers_*.png")}
LARGEST_FIGURE = 10 << 20  # bytes


def export_model(
    result: str | Path, out: str | Path, *, license: str | None = None, backbone: Any = None, **fit: str | None
) -> Path:
    """Writes the encoder of a finished run with its model card; the same bytes for the same run.

    Args:
        result: a folder of ``brainnet fit``, or of ``brainnet encode --keep-weights``.
        out: folder of ``model.safetensors``, ``config.json``, ``README.md`` and a figure; an encoder there is replaced.
        license: of the encoder, as the hub names licenses ("mit", "cc-by-4.0"); None leaves it unsaid.
        backbone: the network, where the run names an object that is not at hand.
        fit: of an encoding that kept several fits: ``subject``, ``network``, ``method``, ``layer``.

    Raises:
        FileNotFoundError: no such run, or one that keeps no weights.
        FileExistsError: ``out`` holds something else.
        ValueError: a damaged run, or one that no encoder can be made of.
    """
    check_license(license)
    result, out = Path(result), Path(out)
    kind = kind_of(result) if result.is_dir() else None
    if kind not in ("fit", "encode") or not (result / "run.json").is_file():
        raise FileNotFoundError(f"no finished fit or encoding in {result}: an encoder is made of one of them.")
    if out.resolve() == result.resolve():
        raise FileExistsError(f"--out {out} is the folder of the run: choose another one for the encoder.")
    _, card = read_run(result)
    pictures = _figures(result, kind)
    if kind == "fit":
        asked = next((name for name, value in fit.items() if value is not None), None)
        if asked is not None:
            raise ValueError(f"--{asked} chooses among the fits of `brainnet encode`, and {result} is no such folder.")
        model = load_model(result, backbone)
        readme = card_of_fit(result, card, license, list(pictures), kind_read_by(model.backbone))
        return model.save_pretrained(out, readme=readme, pictures=pictures)
    chosen = choose_fit(kept_fits(result), **fit)
    predictor = KeptPredictor(result, chosen)
    try:
        space = encoding_space(result, chosen.key.subject, chosen.key)
    except FileNotFoundError:  # of an earlier brainnet
        space = None
    network = predictor.network
    reads = kind_read_by(network["name"], **network["options"])
    readme = card_of_encoding(result, card, chosen.key, license, list(pictures), reads)
    arrays = {name: torch.from_numpy(np.array(a)) for name, a in predictor.weights.items() if a.dtype.kind in "biuf"}
    words = {name: str(a) for name, a in predictor.weights.items() if a.dtype.kind not in "biuf"}
    config = {
        "fit": chosen.key._asdict(),
        "layers": list(predictor.layers),
        "pool": words.get("pool", predictor.pool),
        **_network(network),
    }
    return write_encoder(out, "linear", config, arrays, space, readme, pictures)


def push_model(folder: str | Path, name: str, *, private: bool | None = None, token: hub.Token = None) -> str:
    """Puts the folder of an encoder into a repository of the hub, "OWNER/NAME"; returns its address.

    Raises:
        ValueError: the folder holds no whole encoder.
        PermissionError: no token, or one that may not write there.
        ConnectionError: the hub does not answer.
    """
    read_encoder(folder)
    return hub.push(folder, name, private=private, token=token)


def _network(network: Mapping[str, Any]) -> dict[str, Any]:
    """What a linear encoder says of the network that it reads: nothing that names a place on this machine."""
    (name, folder), options = without_place(str(network["name"])), dict(network["options"])
    is_ours = names_a_family(name)
    return {
        "backbone_by_name": is_ours and is_plain(list(options.values())),
        **folder,
        "backbone": dict(network["fingerprint"]),
        "preprocessing": network["preprocessing"],
        "settings": {
            "name": name if is_ours else "own",
            "options": {key: value for key, value in options.items() if is_plain(value)},
            "grid": list(network["grid"]),
            "resize": network["resize"],
            **({"series": network["series"]} if "series" in network else {}),
        },
    }


def _figures(result: Path, kind: str) -> dict[str, bytes]:
    """The figure of a run for its model card."""
    for pattern in FIGURES[kind]:
        path = next(iter(sorted(result.glob(pattern))), None)
        if path is not None and path.stat().st_size <= LARGEST_FIGURE:
            return {f"{path.stem.partition('_')[0]}.png": path.read_bytes()}
    return {}

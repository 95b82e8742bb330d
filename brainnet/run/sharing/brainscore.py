"""A plugin for Brain-Score vision: the network of a run with its layers, and the layer of each region of the board.

The folder goes into ``brainscore_vision/models/`` of that package. Its code builds the network by its name in brainnet;
a network that is an object of the user's own has no such name, and is refused.
"""

from __future__ import annotations

import json
import pprint
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from brainnet import __version__
from brainnet._checks import matching_names
from brainnet._files import slug, write_csv, write_text
from brainnet.backbone import BACKBONES
from brainnet.encode import ALL_LAYERS, BEST_LAYER
from brainnet.plmodel.encoder_files import is_plain, names_no_file
from brainnet.plmodel.rebuilding import A_NAME
from brainnet.run.maps.best_models import read_table
from brainnet.run.record.card import kind_of
from brainnet.run.record.run_folder import read_selectors
from brainnet.run.record.runs import read_run
from brainnet.run.report.scores import metrics_of
from brainnet.run.sharing.brainscore_text import INIT, MODEL, README, TEST

BOARD = {"V1": r"v1[vd]?", "V2": r"v2[vd]?", "V4": r"h?v4[vd]?", "IT": r"[pca]?it"}  # how ROIs of data sets are called
IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
COLUMNS = ("board_region", "roi", "layer", "n_voxels", "mean", "low", "high", "ceiling", "ceiling_share")


def export_brainscore(
    result: str | Path,
    out: str | Path,
    *,
    identifier: str | None = None,
    regions: Iterable[str] = (),
    subject: str | None = None,
    network: str | None = None,
) -> list[Path]:
    """Writes the plugin of a run's network; the same bytes for the same run.

    Args:
        result: a folder of ``brainnet fit`` or ``encode``.
        out: the folder of the plugin; the files of a plugin that it holds are replaced.
        identifier: the model's name on the board; None makes one of the network's name.
        regions: "IT=FFA,PPA": which ROIs of the run are a region of the board. By default V1, V2, V4 and IT are found
            by their names.
        subject, network: of an encoding that has several.

    Raises:
        FileNotFoundError: no such run.
        FileExistsError: ``out`` holds something else.
        ValueError: a network without a name, an unknown region, or none of the board's.
    """
    result, out = Path(result), Path(out)
    kind = kind_of(result) if result.is_dir() else None
    if kind not in ("fit", "encode") or not (result / "run.json").is_file():
        raise FileNotFoundError(f"no finished fit or encoding in {result}: a plugin is made of one of them.")
    _, card = read_run(result)
    if kind == "fit":
        if subject is not None or network is not None:
            raise ValueError("--subject and --network choose among the rows of `brainnet encode`; this is a fit.")
        name, options = _network_of_fit(card)
        layers, rows = _layers_of_fit(result, regions)
    else:
        label, layers, rows = _layers_of_encoding(result, card, regions, subject, network)
        name, options = _network_of_encoding(card, label)
    identifier = slug(name.replace(":", "-").replace("/", "-")) if identifier is None else identifier
    if not IDENTIFIER.fullmatch(identifier):
        raise ValueError(f"--identifier {identifier!r:.80} has letters, digits, dots, dashes and underscores only.")
    return _write(out, identifier, name, options, layers, rows)


def _write(
    out: Path, identifier: str, name: str, options: Mapping[str, Any], layers: Sequence[str], rows: list[dict[str, Any]]
) -> list[Path]:
    import pandas as pd

    init = out / "__init__.py"
    if out.is_file() or (out.is_dir() and any(out.iterdir()) and not init.is_file()):
        raise FileExistsError(f"--out {out} holds something else than a plugin; choose another folder.")
    chosen = {row["board_region"]: row["layer"] for row in rows}
    words = {
        "identifier": identifier, "name": repr(name), "options": pprint.pformat(dict(options), width=100),
        "layers": pprint.pformat(list(layers), width=100), "version": __version__,
        "regions": "\n".join(f"| {region} | {layer} |" for region, layer in chosen.items()),
    }  # fmt: skip
    (out / "region_layer_map").mkdir(parents=True, exist_ok=True)
    texts = {
        "model.py": MODEL, "test.py": TEST, "README.md": README, "__init__.py": INIT,
        "requirements.txt": f"brainnet>={__version__}\n",
    }  # fmt: skip
    mapped = out / "region_layer_map" / f"{identifier}.json"
    for old in mapped.parent.glob("*.json"):
        old.unlink()
    write_text(mapped, json.dumps(chosen, indent=2) + "\n")
    write_csv(out / "scores.csv", pd.DataFrame(rows, columns=list(COLUMNS)))
    for file, text in texts.items():
        for word, value in words.items():
            text = text.replace(f"@{word}@", value)
        write_text(out / file, text)
    return [mapped, out / "scores.csv", *(out / file for file in texts)]


# ---------------------------------------------------------------------- the network


def _network_of_fit(card: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    config = card.get("config") or {}
    front = "BACKBONE.OPTIONS."
    options = {key.removeprefix(front): value for key, value in config.items() if key.startswith(front)}
    if config.get("BACKBONE.WEIGHTS"):
        options["weights"] = config["BACKBONE.WEIGHTS"]
    if config.get("MODEL.LAYERS"):
        options["layers"] = config["MODEL.LAYERS"]
    return _checked(str(config.get("BACKBONE.NAME")), options)


def _network_of_encoding(card: Mapping[str, Any], label: str) -> tuple[str, dict[str, Any]]:
    name, _, weights = label.partition("=")
    config = card.get("config") or {}
    if name == config.get("BACKBONE.NAME") and not weights:
        return _network_of_fit(card)
    layers = str(((card.get("backbones") or {}).get(label) or {}).get("layers", "")).split()
    return _checked(name, {**({"weights": weights} if weights else {}), **({"layers": layers} if layers else {})})


def _checked(name: str, options: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """A network that another machine can build by its name."""
    family = name.partition(":")[0]
    if not A_NAME.fullmatch(name) or family not in BACKBONES or not names_no_file(name.replace("/", "")):
        raise ValueError(
            f"the network {name[:80]} is no name that brainnet builds: a plugin holds none of your own code."
        )
    for option, value in options.items():
        if not is_plain(value):
            raise ValueError(
                f"the network {name} was built with {option}={str(value)[:80]}, a file of this machine: the board "
                "cannot read it."
            )
    return name, options


# ---------------------------------------------------------------------- the layers


def _layers_of_fit(result: Path, given: Iterable[str]) -> tuple[list[str], list[dict[str, Any]]]:
    """All layers, and for each region of the board the one with the largest mean weight over its voxels."""
    if not (result / "selectors.npz").is_file():
        raise ValueError(f"the read-out of {result} has no selectors, which say which layer a region reads.")
    read = read_selectors(result / "selectors.npz")
    layers, space, metrics = list(read["layer_names"]), read["space"], metrics_of(result)["test"]
    rows = []
    for region, names in _regions(list(space.rois), given).items():
        mask = torch.stack([space.rois[name] for name in names]).any(0)
        if not mask.any():
            continue
        mean: Tensor = read["chosen"].layer[mask].mean(0)
        one = metrics.get(names[0]) if len(names) == 1 else None
        rows.append({"board_region": region, "roi": ";".join(names), "layer": layers[int(mean.argmax())],
                     "n_voxels": int(mask.sum()), **_scores(one)})  # fmt: skip
    return layers, _some(rows, result)


def _scores(one: Mapping[str, Any] | None) -> dict[str, Any]:
    """The scores of a region; those of several together are not among a run's tables."""
    if one is None:
        return {}
    r = one.get("r") or {}
    return {"mean": r.get("mean"), "low": r.get("low"), "high": r.get("high"),
            "ceiling": (one.get("ceiling") or {}).get("mean"), "ceiling_share": one.get("ceiling_share")}  # fmt: skip


def _layers_of_encoding(
    result: Path, card: Mapping[str, Any], given: Iterable[str], subject: str | None, network: str | None
) -> tuple[str, list[str], list[dict[str, Any]]]:
    """The network, its layers, and for each region of the board the layer with the highest mean score."""
    table = read_table(result / "encoding.csv")
    table = table[(table["split"] == "test") & (table["score"] == "r") & (table["control"].fillna("") == "")]
    table = table[(table["method"] == "ridge") & table["model"].isin(card.get("backbones") or {})]
    for column, wanted in (("subject", subject), ("model", network)):
        known = list(dict.fromkeys(table[column].astype(str)))
        if wanted is not None and wanted not in known:
            raise ValueError(f"no rows of {wanted!r} are in {result}. Known: {', '.join(known)}.")
        if wanted is None and len(known) > 1:
            option = "--subject" if column == "subject" else "--network"
            raise ValueError(f"the results are of several, {', '.join(known)}: choose one by {option}.")
        table = table[table[column].astype(str) == (wanted or (known or [""])[0])]
    label = str(table["model"].iloc[0]) if len(table) else ""
    known = str(((card.get("backbones") or {}).get(label) or {}).get("layers", "")).replace(",", " ").split()
    table = table[~table["layer"].isin([BEST_LAYER, ALL_LAYERS, ""])]
    if not len(table):
        raise ValueError(f"{result} has no scores of single layers: encode with --method ridge.")
    rows = []
    for region, names in _regions([one for one in dict.fromkeys(table["roi"]) if one != "all"], given).items():
        of = table[table["roi"].isin(names)]
        mean = of.groupby("layer", sort=False).apply(
            lambda part: float((part["mean"] * part["n_voxels"]).sum() / part["n_voxels"].sum()), include_groups=False
        )
        layer = str(mean.idxmax())
        best = of[of["layer"] == layer]
        first = best.iloc[0].to_dict() if len(names) == 1 else {}
        known_scores = {name: first.get(name) for name in COLUMNS[4:]}
        n_voxels = int(best["n_voxels"].sum())
        rows.append(
            {"board_region": region, "roi": ";".join(names), "layer": layer, "n_voxels": n_voxels, **known_scores}
        )
    layers = [layer for layer in known if layer in set(table["layer"])] or list(dict.fromkeys(table["layer"]))
    return label, layers, _some(rows, result)


def _regions(rois: Sequence[str], given: Iterable[str]) -> dict[str, list[str]]:
    """Region of the board -> the ROIs of a run that are it."""
    found = {
        region: [roi for roi in rois if re.fullmatch(rf"(?:[lr]h[._-])?{pattern}", roi.lower())]
        for region, pattern in BOARD.items()
    }
    for word in given:
        region, _, names = word.partition("=")
        if region not in BOARD or not names:
            raise ValueError(f"--region {word!r:.80} is a region of the board and yours: IT=FFA,PPA. The board has "
                             f"{', '.join(BOARD)}.")  # fmt: skip
        found[region] = list(
            dict.fromkeys(one for name in names.split(",") for one in matching_names(rois, name, "ROI"))
        )
    return {region: names for region, names in found.items() if names}


def _some(rows: list[dict[str, Any]], result: Path) -> list[dict[str, Any]]:
    if not rows:
        raise ValueError(
            f"{result} has no region that is called V1, V2, V4 or IT: say which of yours are, --region IT=FFA,PPA"
        )
    return rows

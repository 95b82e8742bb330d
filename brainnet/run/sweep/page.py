"""One page that compares the networks of a sweep: a table to sort and filter, and the maps of the one that is chosen.

It is one file, with its styles and script within, and no connection is allowed.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from html import escape
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from brainnet._files import plain, slug
from brainnet.run.sweep.cells import HEADLINE
from brainnet.run.sweep.plan import OWN, Cell, Plan
from brainnet.run.sweep.state import DONE, folder_of, read_state
from brainnet.space import BrainSpace

if TYPE_CHECKING:
    import pandas as pd

FILES = Path(__file__).parent / "page"
DPI = 80  # of a map


def page_of(plan: Plan, out: Path, tables: Mapping[str, pd.DataFrame], maps: int = 60) -> str:
    """The page as text.

    Args:
        plan: of the sweep.
        out: its folder.
        tables: "ranking" and "models", see :func:`brainnet.run.sweep.comparison.compare_sweep`.
        maps: how many networks, the best ones, have their maps on it.
    """
    ranking, models = tables["ranking"], tables["models"]
    best = ranking[ranking["control"] == OWN].groupby("model", sort=False)["mean"].mean()
    shown = set(best.sort_values(ascending=False, kind="stable").index[:maps])
    data = {
        "methods": list(dict.fromkeys(ranking["method"])),
        "controls": list(dict.fromkeys(ranking["control"])),
        "rois": list(dict.fromkeys(ranking["roi"])),
        "models": models.to_dict("records"),
        "scores": _scores(ranking),
        "maps": _maps(plan, out, shown),
    }
    title = plan.definition.description or f"Comparison of {len(models)} networks"
    return _document(title, _said(plan, ranking), data)


def _said(plan: Plan, ranking: pd.DataFrame) -> str:
    subjects = plan.definition.subjects
    return (
        f"{ranking['model'].nunique()} networks, {len(subjects)} subject{'s' * (len(subjects) != 1)}. Bars are mean "
        "scores, black lines their 95 % intervals, red ticks noise ceilings. Behind each score stand the places that "
        "the network may have in this region; networks whose places overlap are tied, and a bold score may be the best."
    )


def _scores(ranking: pd.DataFrame) -> dict[str, dict[str, dict[str, Any]]]:
    """Method and control, with | between them -> network -> region -> its score."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for row in ranking.itertuples(index=False):
        places = f"{row.rank_low}" if row.rank_low == row.rank_high else f"{row.rank_low}–{row.rank_high}"
        one = {"mean": row.mean, "low": row.low, "high": row.high, "ceiling": row.ceiling, "places": places,
               "best": row.rank_low == 1 and row.rank_high < ranking["model"].nunique()}  # fmt: skip
        found.setdefault(f"{row.method}|{row.control}", {}).setdefault(row.model, {})[row.roi] = one
    return found


def _maps(plan: Plan, out: Path, shown: set[str]) -> dict[str, list[dict[str, str]]]:
    """Network and method, with | between them -> the maps of its subjects, of encodings whose voxels are kept."""
    found: dict[str, list[dict[str, str]]] = {}
    for cell in plan.cells:
        folder = folder_of(out, cell)
        if cell.network.label not in shown or cell.control != OWN:
            continue
        if read_state(folder, plan.identity(cell)).word == DONE and (image := _map_of(cell, folder)):
            key = f"{cell.network.label}|{cell.method.name}"
            found.setdefault(key, []).append({"subject": cell.subject, "image": image})
    return found


def _map_of(cell: Cell, folder: Path) -> str | None:
    """A picture of the score of every voxel, as the address of an image; None where it is not kept."""
    from brainnet import plot

    names = [slug(cell.network.label, cell.subject, cell.method.name, layer, "") for layer in HEADLINE]
    voxels = next(
        (folder / "voxels" / f"{name}.npz" for name in names if (folder / "voxels" / f"{name}.npz").is_file()), None
    )
    place = folder / "spaces" / f"{slug(cell.subject)}.npz"
    if voxels is None or not place.is_file():
        return None
    with np.load(voxels, allow_pickle=False) as arrays, np.load(place, allow_pickle=False) as where:
        if "r_test" not in arrays.files:
            return None
        r = torch.from_numpy(arrays["r_test"]).float()
        space = BrainSpace.from_arrays({name: where[name] for name in where.files})
    figure, buffer = plot.scores(r, space), BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={})
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _document(title: str, said: str, data: Mapping[str, Any]) -> str:
    style, script = ((FILES / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    policy = (
        f"default-src 'none'; script-src {_digest(script)}; style-src {_digest(style)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    held = json.dumps(plain(data), allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    controls = "".join(
        f'<label>{name}<select id="{key}"></select></label>'
        for key, name in (("method", "method"), ("control", "control"), ("word", "kind, training set or method"))
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<title>{escape(title)}</title>\n<link rel="icon" href="data:,">\n<style>{style}</style>\n</head>\n<body>\n'
        f"<h1>{escape(title)}</h1>\n<p>{escape(said)}</p>\n"
        f'<div id="controls">{controls}<label>search<input id="text" type="search"></label>'
        '<span id="count" role="status"></span></div>\n'
        '<div id="main"><div id="scroll"><table><thead id="head"></thead><tbody id="body"></tbody></table></div>'
        '<section id="detail" aria-live="polite"></section></div>\n'
        f'<script type="application/json" id="data">{held}</script>\n<script>{script}</script>\n</body>\n</html>\n'
    )


def _digest(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"

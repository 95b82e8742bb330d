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
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from brainnet._files import plain, slug
from brainnet.run.sweep.cells import HEADLINE
from brainnet.run.sweep.plan import OWN, Cell, Plan
from brainnet.run.sweep.state import DONE, folder_of, read_state
from brainnet.space import BrainSpace, has_surfaces

if TYPE_CHECKING:
    import pandas as pd

FILES = Path(__file__).parent / "comparison_page"
DPI, COLORS = 80, 64  # of a map: a page holds hundreds


def page_of(plan: Plan, out: Path, tables: Mapping[str, pd.DataFrame], maps: int = 60) -> str:
    """The page as text.

    Args:
        plan: of the sweep.
        out: its folder.
        tables: "ranking", "layers" and "models", see :func:`brainnet.run.sweep.comparison.compare_sweep`.
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
        "layers": _best_layers(tables["layers"]),
        "maps": _maps(plan, out, shown),
    }
    n_done = ranking["model"].nunique()
    some = f"{n_done} of {len(models)}" if n_done < len(models) else str(n_done)
    title = plan.definition.description or f"Comparison of {some} network{'s' * (len(models) != 1)}"
    return _document(title, _said(plan, ranking), data)


def _said(plan: Plan, ranking: pd.DataFrame) -> str:
    subjects, done, asked = plan.definition.subjects, ranking["model"].nunique(), len(plan.networks)
    others = "one has" if asked - done == 1 else f"{asked - done} networks have"
    ceilings = ", red ticks noise ceilings" if ranking["ceiling"].notna().any() else ""
    left = f" The other {others} no score yet." if done < asked else ""
    return (
        f"{done} network{'s' * (done != 1)}, {len(subjects)} subject{'s' * (len(subjects) != 1)}.{left} Bars are mean "
        f"scores, black lines their 95 % intervals{ceilings}. Behind each score stand the places that the "
        "network may have in this region; networks whose places overlap are tied, and a bold score may be the best."
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


class _Scored(NamedTuple):
    """The score of every voxel of a cell, and where the voxels are."""

    cell: Cell
    scores: torch.Tensor
    space: BrainSpace


def _maps(plan: Plan, out: Path, shown: set[str]) -> dict[str, list[dict[str, str]]]:
    """Network and method, with | between them -> the maps of its subjects, of encodings whose voxels are kept.

    All networks of a subject and method have the same colors, so that their maps can be compared.
    """
    found: dict[str, list[dict[str, str]]] = {}
    for subject in plan.definition.subjects:
        for method in plan.definition.methods:
            cells = [cell for cell in plan.cells if (cell.subject, cell.method, cell.control) == (subject, method, OWN)]
            some = [_scored(plan, out, cell) for cell in cells if cell.network.label in shown]
            known = [one for one in some if one is not None]
            top = max((_highest(one.scores) for one in known), default=0.0) or 1.0
            for one in known:
                image, caption = _picture(one, top)
                found.setdefault(f"{one.cell.network.label}|{method.name}", []).append(
                    {"subject": subject, "image": image, "caption": caption}
                )
    return found


def _highest(scores: torch.Tensor) -> float:
    known = scores[scores.isfinite()]
    return float(known.quantile(0.99)) if len(known) else 0.0


def _scored(plan: Plan, out: Path, cell: Cell) -> _Scored | None:
    """What is kept of a cell that is done; None where nothing is."""
    folder = folder_of(out, cell)
    if read_state(folder, plan.identity(cell)).word != DONE:
        return None
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
        return _Scored(cell, r, BrainSpace.from_arrays({name: where[name] for name in where.files}))


def _picture(one: _Scored, top: float) -> tuple[str, str]:
    """The address of an image, and what it shows: a map where the voxels have a place on a brain, else bars."""
    from brainnet import plot

    caption = f"score of every voxel, from 0 (dark) to {top:.2f} (bright)"
    if one.space.mesh is not None and has_surfaces(one.space.mesh):
        figure = plot.flatmap(one.scores, one.space, vmin=0.0, vmax=top, colorbar=False)
    elif one.space.mask is not None:
        figure = plot.slices(one.scores, one.space, vmin=0.0, vmax=top, colorbar=False)
    else:
        figure, caption = plot.scores(one.scores, one.space), "mean score in each region, with its number of voxels"
    drawn, buffer = BytesIO(), BytesIO()
    figure.savefig(drawn, format="png", dpi=DPI, metadata={})
    Image.open(drawn).convert("RGB").quantize(COLORS).save(buffer, format="png", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}", caption


def _best_layers(layers: pd.DataFrame) -> dict[str, dict[str, str]]:
    """Method, control and network, with | between them -> region -> its best layer, and how deep that lies."""
    found: dict[str, dict[str, str]] = {}
    known = layers.dropna(subset=["mean"])
    for row in known.loc[known.groupby(["method", "control", "model", "roi"])["mean"].idxmax()].itertuples(index=False):
        depth = "" if np.isnan(row.depth) else f", at {100 * row.depth:.0f} % of the depth"
        found.setdefault(f"{row.method}|{row.control}|{row.model}", {})[row.roi] = f"{row.layer}{depth}"
    return found


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

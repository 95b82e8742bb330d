"""Functional maps: which model is best in each voxel or region, by how much, and how the best three compare."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from brainnet._checks import check_word
from brainnet.plot._canvas import to_numpy
from brainnet.plot._colors import FAINT, INK, SEQUENTIAL, contrasting_colors
from brainnet.plot._figure import EDGE, add_axes, color_bar, legend_below, new_figure, note_below, plain, title_above
from brainnet.plot._marks import ceiling_band, interval_name_of, score_name_of, significance_name_of, table_of
from brainnet.plot._text import labels, labels_within
from brainnet.plot.brain.drawing import Look, draw_borders, draw_map
from brainnet.plot.brain.surface import regions
from brainnet.plot.brain.views import canvas_for
from brainnet.plot.scene import Scene
from brainnet.scores.best_models import BestModel, best_model
from brainnet.space import BrainSpace

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

LARGEST = 4.6  # inches of a map
PALEST = 0.6  # of white, in the color of the last model of a group
PANEL = (1.5, 1.55)  # inches of the bars of a region
BESIDE = 0.2  # bars, from the middle of one to its name on the left and to its interval on the right


def model_colors(names: Sequence[str], groups: Mapping[str, str] | None = None) -> np.ndarray:
    """(n_models, 3) RGB: one hue for each group, its models from full to pale; without groups a hue for each model.

    Raises:
        ValueError: a model without a group.

    >>> full, pale, other = model_colors(["a", "b", "c"], {"a": "2D", "b": "2D", "c": "3D"}).tolist()
    >>> min(pale) > min(full)
    True
    """
    if groups is None:
        return contrasting_colors(len(names))
    kinds = _groups(names, groups)
    hues = contrasting_colors(max(kinds) + 1)
    colors = []
    for place, kind in enumerate(kinds):
        members = [other for other, of in enumerate(kinds) if of == kind]
        white = PALEST * members.index(place) / max(1, len(members) - 1) if len(members) > 1 else 0.0
        colors.append((1 - white) * hues[kind] + white)
    return np.array(colors)


def best_model_map(
    scores: Tensor | Any,
    names: Sequence[str] | None = None,
    space: BrainSpace | None = None,
    *,
    groups: Mapping[str, str] | None = None,
    ceiling: Tensor | None = None,
    least_ceiling: float = 0.1,
    p: Tensor | None = None,
    alpha: float = 0.05,
    scene: Scene | str | None = None,
    outlines: bool | Iterable[str] | Mapping[str, Tensor] | None = None,
    title: str | None = None,
) -> Figure:
    """A figure of the best model of each voxel, and of how far it is ahead of the next.

    Where models have groups, a group has a hue, and the second map is the lead over the best model of another group.

    Args:
        scores: (n_models, n_voxels), as of ``encode`` and ``searchlight``; or a table of scores by ROI and model, as of
            ``rsa.evaluate``, which is painted on the regions of the space.
        names: of the models; a table has them.
        space: a surface or a volume.
        groups: model -> group.
        ceiling, least_ceiling, p, alpha: what masks voxels, see :func:`brainnet.scores.best_model`; of a table its
            ``p_corrected`` and ``ceiling_low`` where it has them.
        scene: a surface by its name, or a :class:`~brainnet.plot.scene.Scene`; None is the flat map, or slices.
        outlines: regions to outline.
        title: text above.

    Raises:
        ValueError: shapes that do not fit, a model without a group, or a space without a place on a brain.

    >>> space = BrainSpace(mask=torch.ones(4, 4, 2, dtype=torch.bool), affine=torch.eye(4))
    >>> scores = torch.stack([torch.linspace(0, 0.5, 32), torch.linspace(0.5, 0, 32)])
    >>> figure = best_model_map(scores, ["clip", "dino"], space)
    >>> [ax.get_title(loc="left") for ax in figure.axes[:2]]
    ['Best model', 'Lead over the next model']
    """
    from matplotlib.patches import Patch

    if space is None:
        raise ValueError("space says where the voxels are, or which voxels a region of the table has: give it.")
    if hasattr(scores, "columns"):
        scores, names, p, ceiling = _painted(table_of(scores), space, ceiling, p)
    scores = torch.as_tensor(scores)
    names = [str(place) for place in range(len(scores))] if names is None else [str(name) for name in names]
    if len(names) != len(scores) or scores.shape[-1] != space.n_voxels:
        raise ValueError(f"scores are {tuple(scores.shape)}, expected ({len(names)}, {space.n_voxels}).")
    kinds = None if groups is None else _groups(names, groups)
    found = best_model(scores, groups=kinds, ceiling=ceiling, least_ceiling=least_ceiling, p=p, alpha=alpha)
    canvas = canvas_for(space, scene)
    if canvas is None:
        raise ValueError(f"{space!r} has no place on a brain: plot its scores as bars instead.")
    colors = model_colors(names, groups)
    wide = min(LARGEST, LARGEST * canvas.aspect)
    tall = wide / canvas.aspect
    figure = new_figure((2 * wide + 0.4, tall + 1.0))
    left, right = (add_axes(figure, (0.1 + place * (wide + 0.2), 0.7, wide, tall)) for place in (0, 1))
    draw_map(left, canvas, to_numpy(found.best), Look(colors=colors, categories=names), directions=False)
    lead = found.margin if kinds is None else found.group_margin
    lead = to_numpy(torch.where(found.best >= 0, lead, torch.nan))
    top = float(np.nanmax(lead, initial=0.0)) or 1.0
    draw_map(right, canvas, lead, Look(vmin=0.0, vmax=top))  # its legend leaves room for the directions
    borders = {name: canvas.border(mask) for name, mask in regions(outlines, space).items()}
    for ax, text in ((left, "Best model"), (right, "Lead over the next model" if kinds is None else
                                            "Lead over the best of another group")):  # fmt: skip
        draw_borders(ax, canvas, borders)
        ax.set_title(text, fontsize=9.5, color=INK, weight="bold", loc="left")
    color_bar(
        add_axes(figure, (0.3 + 1.25 * wide, 0.42, 0.5 * wide, 0.1)), SEQUENTIAL, 0.0, top, "difference of scores"
    )
    order = np.argsort(kinds, kind="stable") if kinds is not None else range(len(names))
    present = [place for place in order if bool((found.best == int(place)).any())]
    shown = [names[place] if groups is None else f"{groups[names[place]]}: {names[place]}" for place in present]
    if present:
        entries = [(Patch(color=colors[place]), text) for place, text in zip(present, labels(shown, 40), strict=True)]
        legend_below(left, entries)
    title_above(figure, title)
    note_below(figure, *_left_out(found, least_ceiling, alpha))
    return figure


def _groups(names: Sequence[str], groups: Mapping[str, str]) -> list[int]:
    for name in names:
        check_word("model of groups", name, groups)
    kinds = list(dict.fromkeys(groups[name] for name in groups if name in names))
    return [kinds.index(groups[name]) for name in names]


def _left_out(found: BestModel, least_ceiling: float, alpha: float) -> list[str]:
    """Sentences on the voxels that have no winner."""
    reasons = {1: "have no score", 2: f"have a noise ceiling below {least_ceiling:g}",
               3: f"have a best score with p > {alpha:g}, corrected"}  # fmt: skip
    counts = {text: int((found.why == key).sum()) for key, text in reasons.items()}
    sentences = [f"{count:,} of {len(found.why):,} voxels {text}" for text, count in counts.items() if count]
    return [*sentences, "They are left gray"] if sentences else []


def _painted(
    table: Any, space: BrainSpace, ceiling: Any, p: Any
) -> tuple[Tensor, list[str], Tensor | None, Tensor | None]:
    """Scores (n_models, n_voxels), names, p and ceilings, every voxel with those of its region."""
    names = list(dict.fromkeys(table["model"].astype(str)))
    rois = [roi for roi in dict.fromkeys(table["roi"].astype(str)) if roi in space.rois]
    if not rois:
        raise ValueError(
            f"the table has the regions {', '.join(dict.fromkeys(table['roi'].astype(str)))}, the space "
            f"{', '.join(space.rois) or 'none'}: name them alike, or give the space an atlas."
        )
    shape = (len(names), space.n_voxels)
    scores, tests = torch.full(shape, torch.nan).double(), torch.full(shape, torch.nan).double()
    ceilings = torch.full((space.n_voxels,), torch.nan).double()
    tested, known = "p_corrected" in table and table["p_corrected"].notna().any(), "ceiling_low" in table
    known = known and table["ceiling_low"].notna().any()
    best = table.sort_values("score", ascending=False)  # of several layers of a model the best one
    for roi in rois:
        mask = space.rois[roi]
        for _, row in best[best["roi"].astype(str) == roi].drop_duplicates("model").iterrows():
            scores[names.index(str(row["model"])), mask] = float(row["score"])
            if tested:
                tests[names.index(str(row["model"])), mask] = float(row["p_corrected"])
            if known:
                ceilings[mask] = float(row["ceiling_low"])
    # p_corrected is corrected over the models of a table already: the best one's is taken as it is
    top = scores.nan_to_num(-torch.inf).argmax(0)
    p = tests.gather(0, top[None])[0] if p is None and tested else p
    return scores, names, p, ceilings if ceiling is None and known else ceiling


def top_models(
    evaluation: Any,
    n: int = 3,
    *,
    groups: Mapping[str, str] | None = None,
    alpha: float = 0.05,
    title: str | None = None,
) -> Figure:
    """A figure with a panel for each ROI: its n best models as bars, with intervals, ceiling and significance.

    The best of many are chosen by the scores that are shown, so their heights are too high by the luck of the best; a
    note says so.

    Args:
        evaluation: an ``Evaluation``, or a table with ``roi``, ``model`` and ``score``, and where it has them ``low``,
            ``high``, ``p_corrected``, ``ceiling_low`` and ``ceiling_high``.
        n: bars of a panel.
        groups: model -> group, which gives hues.
        alpha: level of the asterisks.
        title: text above.

    >>> import pandas as pd
    >>> table = pd.DataFrame({"roi": "V1", "model": list("abcd"), "score": [0.1, 0.4, 0.3, 0.2]})
    >>> [text.get_text() for text in top_models(table).axes[0].texts]
    ['b', 'c', 'd']
    """
    from matplotlib.patheffects import withStroke

    table = table_of(evaluation)
    names = list(dict.fromkeys(table["model"].astype(str)))
    colors = dict(zip(names, model_colors(names, groups), strict=True))
    rois = list(dict.fromkeys(table["roi"].astype(str)))
    n_bars, columns = min(n, len(names)), min(5, len(rois))
    rows = -(-len(rois) // columns)
    step = (PANEL[0] + 0.32, PANEL[1] + 0.4)
    figure = new_figure((0.5 + columns * step[0] + EDGE, rows * step[1] + 0.15))
    ends = [table[name] for name in ("score", "high", "ceiling_high") if name in table]
    top = 1.08 * max(float(np.nanmax(one.to_numpy(float), initial=0.0)) for one in ends) or 1.0
    low = min(0.0, 1.08 * float(np.nanmin(table.get("low", table["score"]).to_numpy(float), initial=0.0)))
    for number, roi in enumerate(rois):
        row, column = divmod(number, columns)
        ax = add_axes(figure, (0.5 + column * step[0], 0.15 + (rows - 1 - row) * step[1], *PANEL))
        best = table[table["roi"].astype(str) == roi].sort_values("score", ascending=False, kind="stable")
        best = best.drop_duplicates("model").head(n)
        ceiling_band(ax, best.iloc[0], -0.5, n_bars - 0.5)
        for place, (_, one) in enumerate(best.iterrows()):
            ax.bar(place, one["score"], 0.8, color=colors[str(one["model"])], zorder=2)
            reach = float(one["score"])
            if {"low", "high"} <= set(best) and np.isfinite([one["low"], one["high"]]).all():
                ax.plot([place + BESIDE] * 2, [one["low"], one["high"]], color=INK, linewidth=1.0, zorder=3)
                reach = max(reach, float(one["high"]))
            if "p_corrected" in best and one["p_corrected"] <= alpha:
                ax.annotate(
                    "*",
                    (place + BESIDE, reach),
                    (0, -1),
                    textcoords="offset points",
                    ha="center",
                    fontsize=10,
                    color=INK,
                )
            name = labels_within([str(one["model"])], 6.5, PANEL[1] - 0.15)[0]
            ax.text(
                place - BESIDE, low + 0.03 * (top - low), name, rotation=90, fontsize=6.5, ha="center", va="bottom",
                zorder=4, color="black", path_effects=[withStroke(linewidth=1.4, foreground="white", alpha=0.85)],
            )  # fmt: skip
        ax.axhline(0, color=FAINT, linewidth=0.6)
        plain(ax, "", score_name_of(table) if column == 0 else "")
        ax.set(xlim=(-0.6, n_bars - 0.4), ylim=(low, top), xticks=[])
        ax.set_title(labels_within([roi], 8, PANEL[0])[0], fontsize=8, color=INK, loc="left", pad=3)
    title_above(figure, title)
    tested = "p_corrected" in table and bool(table["p_corrected"].notna().any())
    note_below(
        figure, f"Line on a bar: {interval_name_of(table, None)}" if "low" in table else "",
        f"*: {significance_name_of(table, alpha)}" if tested else "",
        "Gray: noise ceiling" if "ceiling_high" in table and table["ceiling_high"].notna().any() else "",
        f"The best {n} of {len(names)} models, chosen by these scores" if len(names) > n else "",
    )  # fmt: skip
    return figure

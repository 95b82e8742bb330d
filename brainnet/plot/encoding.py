"""Encoding scores by region: how well each ROI is predicted, and how well it could be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from brainnet.plot._canvas import to_numpy
from brainnet.plot._colours import FAINT, INK, cluster_colours
from brainnet.plot._figure import new_figure, plain
from brainnet.space import BrainSpace

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from torch import Tensor


def scores(
    scores: Tensor | Mapping[str, Tensor],
    space: BrainSpace,
    *,
    noise_ceiling: Tensor | None = None,
    ax: Axes | None = None,
    score_name: str = "r",
    title: str | None = None,
) -> Figure:
    """A figure of the mean score in each ROI and over all voxels, as bars beside their noise ceiling.

    The thin line on a bar spans the middle half of the voxels: their spread, not an error of the mean. Voxels that are
    NaN are left out of bar and ceiling alike.

    Args:
        scores: (n_voxels,) scores, or model name -> (n_voxels,) for a bar each.
        space: whose ROIs to show.
        noise_ceiling: (n_voxels,) on the scale of the scores.
        ax: axes to draw on; by default a new figure.
        score_name: label of the axis.
        title: text above.

    Raises:
        ValueError: scores or ceiling have another length than the space.

    >>> import torch
    >>> figure = scores(torch.tensor([0.2, 0.6]), BrainSpace.free(2, {"V1": torch.tensor([True, False])}))
    >>> [round(float(bar.get_height()), 2) for bar in figure.axes[0].patches]
    [0.4, 0.2]
    """
    models = scores if isinstance(scores, Mapping) else {"": scores}
    models = {name: to_numpy(values) for name, values in models.items()}
    ceiling = None if noise_ceiling is None else to_numpy(noise_ceiling)
    for name, values in (*models.items(), *([] if ceiling is None else [("noise_ceiling", ceiling)])):
        if values.shape != (space.n_voxels,):
            raise ValueError(f"{name or 'scores'} has shape {values.shape}, expected ({space.n_voxels},).")
    regions = {"all": np.ones(space.n_voxels, dtype=bool)} | {name: mask.numpy() for name, mask in space.rois.items()}
    regions = {name: mask for name, mask in regions.items() if mask.any()}
    if ax is None:
        figure = new_figure((min(14.0, 1.6 + 0.28 * len(regions) * (len(models) + 1)), 3.0))
        ax = figure.add_axes((0.62 / figure.get_figwidth(), 0.24, 1 - 0.8 / figure.get_figwidth(), 0.64))
    width = 0.8 / len(models)
    colours = np.roll(cluster_colours(max(len(models), 8)), 4, axis=0)  # blue and orange first
    for number, (name, values) in enumerate(models.items()):
        for place, known in _finite(values, regions):
            x = place - 0.4 + (number + 0.5) * width
            label = name if name and not place else None
            ax.bar(x, known.mean(), width=0.92 * width, color=colours[number], label=label)
            ax.plot([x, x], np.percentile(known, [25, 75]), color=INK, linewidth=0.8)
    for place, known in _finite(ceiling, regions) if ceiling is not None else ():
        label = None if place else "mean noise ceiling"
        ax.plot([place - 0.45, place + 0.45], [known.mean()] * 2, color=INK, linewidth=1.2, linestyle=":", label=label)
    ax.axhline(0, color=FAINT, linewidth=0.6)
    plain(ax, "", score_name)
    names = [f"{name}\n{mask.sum():,}" for name, mask in regions.items()]
    ax.set_xticks(range(len(regions)), names, rotation=0 if len(regions) <= 16 else 90)
    ax.set_xlim(-0.6, len(regions) - 0.4)
    if ceiling is not None or any(models):
        ax.legend(fontsize=7, frameon=False, loc="lower right", bbox_to_anchor=(1, 0.98), ncols=4, labelcolor=INK)
    if title:
        ax.set_title(title, fontsize=10, color=INK, loc="left")
    return ax.figure


def _finite(values: np.ndarray, regions: Mapping[str, np.ndarray]) -> list[tuple[int, np.ndarray]]:
    """The place of each region that has known values, and these."""
    known = [values[mask & np.isfinite(values)] for mask in regions.values()]
    return [(place, some) for place, some in enumerate(known) if len(some)]

"""Scores of sensors over time, as of EEG and MEG: courses, and a map of every sensor at every time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from brainnet._checks import check_word
from brainnet.plot._canvas import to_numpy
from brainnet.plot._colors import FAINT, INK, SEQUENTIAL, contrasting_colors, layer_colors
from brainnet.plot._figure import add_axes, color_bar, grow, legend_beside, new_figure, note_below, plain, title_above
from brainnet.plot._marks import LINES
from brainnet.plot._text import labels, labels_within, widest
from brainnet.space import BrainSpace

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from torch import Tensor

SIZE = (3.9, 2.1)  # inches of a panel
MOST_TRACES = 300  # sensors drawn behind their mean
ROW = 0.13  # inches of a sensor whose name is written
TALLEST = 5.2


def time_course(
    values: Tensor | Mapping[str, Tensor],
    space: BrainSpace,
    *,
    noise_ceiling: Tensor | None = None,
    sensors: Sequence[str] | None = None,
    ordered: bool = False,
    score_name: str = "r",
    time_name: str = "time (s)",
    title: str | None = None,
) -> Figure:
    """A figure of scores over time: the mean over sensors, or a line for each of some sensors.

    A single course has the lines of all its sensors behind it. A sensor without a score at a time is not in the mean.

    Args:
        values: (n_voxels,) scores, or name of a model, layer or method -> (n_voxels,) for a line each.
        space: of sensors and times.
        noise_ceiling: (n_voxels,) on the scale of the scores; drawn as its mean.
        sensors: draw these instead of the mean.
        ordered: the lines are layers, from the first to the last, colored dark to light.
        score_name, time_name: names of the axes, with units.
        title: text above.

    Raises:
        ValueError: columns that are no sensors at times, an unknown sensor, values of another length.

    >>> import torch
    >>> from brainnet.space import sensor_space
    >>> space = sensor_space(["Oz", "Pz"], [0.0, 0.1, 0.2])
    >>> figure = time_course(torch.tensor([0.0, 0.4, 0.2, 0.0, 0.2, 0.2]), space)
    >>> figure.axes[0].lines[-1].get_ydata().round(3).tolist()
    [0.0, 0.3, 0.2]
    """
    courses = _courses(values, space, sensors)
    times = space.time_points.numpy()
    figure = new_figure((SIZE[0] + 0.8, SIZE[1] + 0.55))
    ax = add_axes(figure, (0.62, 0.45, *SIZE))
    ax.axhline(0, color=FAINT, linewidth=0.6)
    if times[0] < 0 < times[-1]:
        ax.axvline(0, color=FAINT, linewidth=0.6, linestyle=":")
    entries = _ceiling(ax, noise_ceiling, space, times, sensors)
    single = len(courses) == 1 and sensors is None
    if single:
        traces = space.to_sensors(to_numpy(next(iter(_named(values).values())))).numpy()[:MOST_TRACES]
        ax.plot(times, traces.T, color=FAINT, linewidth=0.5, alpha=0.35, zorder=1)
    colors = layer_colors(len(courses)) if ordered else contrasting_colors(len(courses))
    for number, course in enumerate(courses.values()):
        style = "-" if ordered else LINES[number % len(LINES)]
        ax.plot(times, course, color=colors[number], linestyle=style, linewidth=1.5, zorder=3)
    lines = ax.lines[len(ax.lines) - len(courses) :]
    entries = [(line, text) for line, text in zip(lines, labels(courses), strict=True) if text] + entries
    if len(times) > 1:
        ax.set_xlim(times[0], times[-1])
    plain(ax, time_name, score_name)
    legend_beside(ax, entries)
    title_above(figure, title)
    n = len(space.sensor_names)
    thin = "each sensor" if n <= MOST_TRACES else f"the first {MOST_TRACES} sensors"
    note_below(
        figure,
        "" if sensors is not None else f"{'Thick line' if single else 'Lines'}: mean over {n} sensors",
        f"Thin lines: {thin}" if single else "",
    )
    return figure


def sensor_times(
    values: Tensor,
    space: BrainSpace,
    *,
    limits: tuple[float, float] | None = None,
    score_name: str = "r",
    time_name: str = "time (s)",
    title: str | None = None,
) -> Figure:
    """A figure of the score of every sensor at every time, as a map; white where there is none.

    Args:
        values: (n_voxels,) scores.
        space: of sensors and times; sensors are drawn in its order, from above.
        limits: scores of the darkest and the brightest color; by default from 0, or the lowest, to the highest.
        score_name, time_name: names of the colors and of the axis, with units.
        title: text above.

    Raises:
        ValueError: columns that are no sensors at times, or values of another length.

    >>> import torch
    >>> from brainnet.space import sensor_space
    >>> figure = sensor_times(torch.rand(6), sensor_space(["Oz", "Pz"], [0.0, 0.1, 0.2]))
    >>> [text.get_text() for text in figure.axes[0].get_yticklabels()]
    ['Oz', 'Pz']
    """
    cells = space.to_sensors(to_numpy(values)).numpy()
    times, names = space.time_points.numpy(), space.sensor_names
    height = min(TALLEST, max(0.9, ROW * len(names)))
    figure = new_figure((SIZE[0] + 0.8, height + 1.0))
    ax = add_axes(figure, (0.62, 0.9, SIZE[0], height))
    known = cells[np.isfinite(cells)]
    low, high = limits or ((min(float(known.min()), 0.0), float(known.max())) if len(known) else (0.0, 1.0))
    rows = np.arange(len(names) + 1) - 0.5
    ax.pcolormesh(_edges(times), rows, cells, cmap=SEQUENTIAL, vmin=low, vmax=high, rasterized=True)
    ax.set_ylim(len(names) - 0.5, -0.5)
    if times[0] < 0 < times[-1]:
        ax.axvline(0, color="white", linewidth=0.8, linestyle=":")
    plain(ax, time_name, "")
    shown = range(0, len(names), max(1, int(np.ceil(ROW * len(names) / height))))
    texts = labels_within([names[row] for row in shown], 6.5, 1.2)
    ax.set_yticks(list(shown), texts, fontsize=6.5, color=INK)
    grow(figure, left=widest(texts, 6.5) + 0.16 - 0.62)
    left = max(0.62, widest(texts, 6.5) + 0.16)
    color_bar(add_axes(figure, (left, 0.33, 1.8, 0.09)), SEQUENTIAL, low, high, score_name)
    title_above(figure, title)
    return figure


def _named(values: Tensor | Mapping[str, Tensor]) -> dict[str, Tensor]:
    return dict(values) if isinstance(values, Mapping) else {"": values}


def _courses(
    values: Tensor | Mapping[str, Tensor], space: BrainSpace, sensors: Sequence[str] | None
) -> dict[str, np.ndarray]:
    """Name of a line -> (n_times,)."""
    for name in sensors or ():
        check_word("sensor", name, space.sensor_names)
    found = {}
    for name, some in _named(values).items():
        cells = space.to_sensors(to_numpy(some)).numpy()
        if sensors is None:
            found[name] = _mean(cells)
        else:
            place = {one: row for row, one in enumerate(space.sensor_names)}
            found |= {f"{name} {one}".strip(): cells[place[one]] for one in sensors}
    return found


def _mean(cells: np.ndarray) -> np.ndarray:
    """(n_times,) over the sensors that have a value; NaN where none has."""
    known = np.isfinite(cells)
    total, n = np.where(known, cells, 0.0).sum(0), known.sum(0)
    return np.where(n > 0, total / np.maximum(n, 1), np.nan)


def _ceiling(
    ax: Axes, noise_ceiling: Tensor | None, space: BrainSpace, times: np.ndarray, sensors: Sequence[str] | None
) -> list[tuple[object, str]]:
    if noise_ceiling is None:
        return []
    cells = space.to_sensors(to_numpy(noise_ceiling)).numpy()
    if sensors is not None:
        cells = cells[[space.sensor_names.index(name) for name in sensors]]
    (line,) = ax.plot(times, _mean(cells), color=INK, linewidth=1.0, linestyle=(0, (1, 1.5)), zorder=2)
    return [(line, "mean noise ceiling")]


def _edges(times: np.ndarray) -> np.ndarray:
    """Borders of cells around times that need not be evenly spaced."""
    if len(times) == 1:
        return np.array([times[0] - 0.5, times[0] + 0.5])
    middle = (times[1:] + times[:-1]) / 2
    return np.concatenate([[times[0] - (middle[0] - times[0])], middle, [times[-1] + (times[-1] - middle[-1])]])

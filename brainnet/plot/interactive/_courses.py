"""Lines in the panel of the page: what each voxel does over an axis, such as delays, time or runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from brainnet.plot._canvas import to_numpy
from brainnet.plot.interactive._file import Planes, in_16_bits

MOST_NUMBERS = 20_000_000  # of all lines of a course; 40 MB before they are compressed


@dataclass(frozen=True, eq=False)
class PageCourse:
    """Lines over an axis, for each voxel its own. The panel of a voxel draws them, that of a region their means.

    Args:
        lines: name -> (n_voxels, n_points) numbers, NaN for none. A line named "measured" is drawn in gray.
        x: (n_points,) ascending.
        x_name: name of the axis, with its unit.
        unit: what the numbers are.
        ticks: a text for every point, where the axis is no number, such as the names of runs.
        dots: whether every point is marked.
        gaps: places in ``x`` before which a line is broken, as where a run ends.
        starts: numbers at which the axis begins, and begins anew at each gap; by default it shows ``x``.

    >>> lines = {"measured": np.zeros((9, 3)), "predicted": np.ones((9, 3))}
    >>> course = PageCourse(lines, x=[0.0, 0.1, 0.2], x_name="time (s)")
    >>> {name: values.shape for name, values in course.lines.items()}    # of nine voxels, at three times
    {'measured': (9, 3), 'predicted': (9, 3)}
    """

    lines: Mapping[str, Any]
    x: Sequence[float]
    x_name: str = ""
    unit: str = ""
    ticks: Sequence[str] = ()
    dots: bool = False
    gaps: Sequence[int] = ()
    starts: Sequence[float] = ()


def packed_courses(
    courses: Mapping[str, PageCourse], n_voxels: int, used: np.ndarray, planes: Planes
) -> list[dict[str, Any]]:
    """What the page is told of them, for the voxels that it shows.

    Raises:
        ValueError: no line, numbers of another shape, an axis that does not ascend, or too many numbers.
    """
    return [_packed(str(heading), one, n_voxels, used, planes) for heading, one in courses.items()]


def _packed(heading: str, one: PageCourse, n_voxels: int, used: np.ndarray, planes: Planes) -> dict[str, Any]:
    x = np.asarray(to_numpy(one.x), dtype=float)
    if not one.lines or x.ndim != 1 or len(x) < 2 or not (np.diff(x) > 0).all():
        raise ValueError(f"the course {heading!r} needs a line, and two places or more that ascend.")
    if len(one.ticks) not in (0, len(x)):
        raise ValueError(f"the course {heading!r} has {len(one.ticks)} ticks for {len(x)} places.")
    if len(one.starts) not in (0, len(one.gaps) + 1):
        raise ValueError(
            f"the course {heading!r} has {len(one.starts)} starts for an axis in {len(one.gaps) + 1} part"
            f"{'s' * bool(one.gaps)}."
        )
    if len(one.lines) * len(x) * len(used) > MOST_NUMBERS:
        raise ValueError(
            f"the course {heading!r} has {len(one.lines)} x {len(x)} numbers for each of {len(used)} voxels, more than "
            f"{MOST_NUMBERS:,} in all: give fewer places."
        )
    lines = []
    for name, given in one.lines.items():
        values = np.asarray(to_numpy(given), dtype=np.float64)
        if values.shape != (n_voxels, len(x)):
            raise ValueError(
                f"the line {name!r} of {heading!r} has shape {values.shape}, and should be ({n_voxels}, {len(x)})."
            )
        values = values[used]
        known = values[np.isfinite(values)]
        low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)
        packed = planes.add(in_16_bits(values, low, high))
        lines.append({"name": str(name), "values": packed, "low": low, "high": high})
    return {
        "heading": heading, "lines": lines, "x": [round(float(place), 6) for place in x], "x_name": one.x_name,
        "unit": one.unit, "ticks": [str(text) for text in one.ticks], "dots": bool(one.dots),
        "gaps": [int(place) for place in one.gaps], "starts": [round(float(start), 6) for start in one.starts],
    }  # fmt: skip

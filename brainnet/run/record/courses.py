"""What a run of a time series keeps of its test runs: prediction and response of every voxel, volume by volume.

Fits and encodings write them as ``courses.npz``; the figures of time and the panel of the page are made from them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from brainnet._files import reading, write_npz
from brainnet._work import says_progress
from brainnet.dataset import ResponseDataset, TimeSeries
from brainnet.plot import PageCourse, PageMap
from brainnet.plot.series import LATENCY_COLORS, mean_delay
from brainnet.scores import pearson_r
from brainnet.space import BrainSpace

FILE = "courses.npz"
FADE = 0.2  # test r from which on a voxel is drawn opaque
MOST_REGIONS = 6  # in a figure of delays
MOST_NUMBERS = 60_000_000  # of prediction and response together, 240 MB; more are not kept
MOST_ON_THE_PAGE = 10_000_000  # of each line
LATENCY, DELAY, TIME = "Latency", "Delay", "Time"  # maps of the page, and their heading


@dataclass(frozen=True, eq=False)
class Courses:
    """Prediction and response of test runs.

    Args:
        prediction, response: (n_volumes, n_voxels), run by run.
        runs: (n_volumes,) name of the run of each row.
        times: (n_volumes,) seconds at which each row begins, by the clock of its run.
        tr: seconds from one volume to the next.
        unit: of prediction and response; "" where it is that of the data.
    """

    prediction: np.ndarray
    response: np.ndarray
    runs: np.ndarray
    times: np.ndarray
    tr: float
    unit: str = ""

    @property
    def axis(self) -> str:
        """The name of the axis of prediction and response."""
        return f"response ({self.unit})" if self.unit else "response"

    @property
    def run_names(self) -> list[str]:
        """In the order of the rows."""
        return list(dict.fromkeys(self.runs.tolist()))

    def scores(self) -> dict[str, np.ndarray]:
        """Run -> (n_voxels,) r of prediction and response; NaN of a run of fewer than three volumes."""
        found = {}
        for run in self.run_names:
            rows = self.runs == run
            pair = (torch.from_numpy(x[rows]) for x in (self.prediction, self.response))
            found[run] = pearson_r(*pair).numpy() if rows.sum() > 2 else np.full(self.prediction.shape[1], np.nan)
        return found

    def save(self, path: str | Path) -> None:
        """Writes them, whole or not at all."""
        write_npz(path, {"prediction": self.prediction, "response": self.response, "runs": self.runs.astype(str),
                         "times": self.times, "tr": np.array(self.tr), "unit": np.array(self.unit)},
                  compressed=True)  # fmt: skip


def courses_of(dataset: ResponseDataset, prediction: Any, split: str = "test") -> Courses | None:
    """Prediction and response of a split; None of data that are no time series, of no volumes, or of too many.

    Args:
        dataset: of one subject.
        prediction: (n_volumes, n_voxels) in the order of the split.
    """
    rows = dataset.splits.get(split, ())
    if not isinstance(dataset, TimeSeries) or len(rows) < 2:
        return None
    numbers = 2 * len(rows) * dataset.n_voxels
    if numbers > MOST_NUMBERS:
        says_progress.info(
            f"{numbers:,} numbers of prediction and response over time are not kept, more than {MOST_NUMBERS:,}."
        )
        return None
    predicted = np.asarray(prediction, dtype=np.float32)
    response, runs = dataset.responses[rows].float().numpy(), dataset.groups[rows.numpy()]
    unit = "" if dataset.cleaning.scale == "none" else "SD"
    return Courses(predicted, response, runs, dataset.times[rows.numpy()], dataset.tr, unit)


def read_courses(path: str | Path) -> Courses | None:
    """Those of a file; None where there is none.

    Raises:
        ValueError: a damaged file.
    """
    path = Path(path)
    if not path.is_file():
        return None
    with reading(path, "file of courses"), np.load(path, allow_pickle=False) as archive:
        prediction, response, runs, tr = (archive[name] for name in ("prediction", "response", "runs", "tr"))
        # An earlier brainnet kept neither unit nor times.
        unit = str(archive["unit"]) if "unit" in archive else ""
        _, first, number = np.unique(runs, return_index=True, return_inverse=True)
        times = archive["times"] if "times" in archive else (np.arange(len(runs)) - first[number]) * float(tr)
        return Courses(prediction, response, runs, times, float(tr), unit)


def delay_maps(delay: np.ndarray, delays: Sequence[int], tr: float) -> dict[str, PageMap]:
    """The mean delay of each voxel, and the delay it reads most, of shares (n_voxels, n_delays)."""
    order = np.argsort(delays)
    places = np.asarray(delays, dtype=float)[order] * tr
    unit = "s" if tr != 1 else "volumes"
    known = np.isfinite(delay).all(axis=1)
    most = np.where(known, np.nan_to_num(delay)[:, order].argmax(axis=1), -1)
    return {
        LATENCY: PageMap(
            mean_delay(delay, delays) * tr, meaning="How long after the stimulus each voxel reads it, on average",
            unit=unit, cmap=LATENCY_COLORS, vmin=places[0], vmax=places[-1], group=TIME,
        ),
        DELAY: PageMap(most, "categorical", "The delay that each voxel reads most", group=TIME,
                       labels=[f"{place:g} {unit}" for place in places], colors="ordered"),
    }  # fmt: skip


def page_courses(courses: Courses | None, delays: Mapping[str, Any] | None = None) -> dict[str, PageCourse]:
    """The lines of a panel: weights of delays, prediction beside response, and the score of each run where several are.

    Args:
        courses: of test runs, or None.
        delays: "delay" (n_voxels, n_delays), "delays" in volumes and "tr", or None.
    """
    found = {}
    if delays and len(np.atleast_1d(delays["delays"])) > 1:
        order, tr = np.argsort(delays["delays"]), float(delays["tr"])
        found["Weight of each delay"] = PageCourse(
            {"weight": np.asarray(delays["delay"])[:, order]}, np.asarray(delays["delays"], float)[order] * tr,
            "delay (s)" if tr != 1 else "delay (volumes)", "share of the response", dots=True,
        )  # fmt: skip
    if courses is None:
        return found
    n = max(2, min(len(courses.runs), MOST_ON_THE_PAGE // max(1, courses.response.shape[1])))
    runs = courses.runs[:n]
    gaps = (np.flatnonzero(runs[1:] != runs[:-1]) + 1).tolist()
    starts = courses.times[[0, *gaps]].tolist()
    shown = ", ".join(dict.fromkeys(runs.tolist()))
    found["Prediction and response over time"] = PageCourse(
        {"measured": courses.response[:n].T, "predicted": courses.prediction[:n].T}, np.arange(n) * courses.tr,
        "time (s)",
        f"{courses.axis}, in {shown if len(shown) < 60 else f'{len(set(runs.tolist()))} runs'}", gaps=gaps,
        starts=starts,
    )  # fmt: skip
    scores = courses.scores()
    if len(scores) > 1:
        found["Score of each run"] = PageCourse(
            {"r": np.stack(list(scores.values()), 1)}, range(len(scores)), "test run", "r", list(scores), dots=True
        )
    return found


def best_course(
    courses: Courses, r: Any, ceiling: Any = None, title: str | None = None
) -> tuple[dict[str, np.ndarray], Callable[[], Any]]:
    """The best voxel in the first test run: "time" (s of the run), "prediction" and "response", and what draws them.

    Args:
        courses: of test runs.
        r: (n_voxels,) test scores, one of them finite, which say what voxel is the best.
        ceiling: (n_voxels,) noise ceilings, or None.
        title: text above.
    """
    best, first = int(np.nanargmax(np.asarray(r, dtype=float))), courses.runs == courses.runs[0]
    known = None if ceiling is None or not np.isfinite(ceiling[best]) else float(ceiling[best])
    pair = {"prediction": courses.prediction[first, best], "response": courses.response[first, best]}

    def draw() -> Any:
        from brainnet import plot

        return plot.predicted_course(
            *pair.values(), tr=courses.tr, start=float(courses.times[0]), ceiling=known,
            voxel=f"voxel {best}, the best one, {courses.runs[0]}", unit=courses.unit, title=title,
        )  # fmt: skip

    return {"time": courses.times[first], **pair}, draw


def course_figures(
    courses: Courses | None, r: Any, ceiling: Any = None, title: str | None = None, name: str = "map"
) -> dict[str, Any]:
    """The figures "course", the best voxel in the first test run, and "runs", the score of each where are several.

    Args:
        courses: of test runs, or None, of which there is no figure.
        r: (n_voxels,) test scores, which say what voxel is the best.
        ceiling: (n_voxels,) noise ceilings, or None.
        title: text above.
        name: of what predicts.
    """
    from brainnet import plot

    if courses is None or not np.isfinite(np.asarray(r, dtype=float)).any():
        return {}
    figures = {"course": best_course(courses, r, ceiling, title)[1]()}
    scores = courses.scores()
    if len(scores) > 1:
        figures["runs"] = plot.scores_over_runs({name: scores}, score_name="mean test r", title=title)
    return figures


def delay_figures(
    delay: Any, delays: Sequence[int], space: BrainSpace, r: torch.Tensor, tr: float, title: str | None, fade: bool
) -> dict[str, Any]:
    """The figures "latency", the mean delay of each voxel, and "delays", how much each region reads each delay."""
    from brainnet import plot

    alpha = (r / FADE).nan_to_num(nan=0.0).clamp(0.12, 1) if fade else None
    return {
        "latency": plot.latency(delay, delays, space, tr=tr, title=title, alpha=alpha),
        "delays": plot.delay_weights(
            delays_by_region(delay, space, r), delays, tr=tr, name="share of each delay", title=title
        ),
    }


def delays_by_region(delay: Any, space: BrainSpace, r: torch.Tensor) -> dict[str, torch.Tensor]:
    """Shares of delays of the voxels that are predicted, by region: the six that have the most of them.

    Args:
        delay: (n_voxels, n_delays).
        space: where the voxels are.
        r: (n_voxels,) test scores; where none is opaque in a map, all voxels count.
    """
    delay = torch.as_tensor(delay)
    known = delay.isfinite().all(1)
    counted = known & (r >= FADE) if (known & (r >= FADE)).any() else known
    regions = {name: mask & counted for name, mask in space.rois.items() if (mask & counted).any()}
    kept = sorted(regions, key=lambda name: -int(regions[name].sum()))[:MOST_REGIONS]
    return {name: delay[mask] for name, mask in regions.items() if name in kept} or {"all voxels": delay[counted]}

"""The figures of a finished encoding: each as PNG and SVG, with the numbers it shows as CSV beside it.

Per subject: scores per ROI, also as shares of the noise ceiling, and over time where voxels are sensors at times; per
network: scores by layer, the best layer of every voxel, the split of R2 of banded ridge, the share of each voxel's
window; per further method: a joint histogram with the first one.
This module computes no score: it picks what ``Encoding`` holds and hands it to ``brainnet.plot``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from brainnet import plot
from brainnet._files import slug, write_csv
from brainnet._work import progress as progress_bar
from brainnet.dataset import ResponseDataset, TimeSeries
from brainnet.encode import ALL_LAYERS, BEST_LAYER, NOISE_CEILING, Encoding, FitKey
from brainnet.run.record.courses import best_course, courses_of
from brainnet.scores import normalise

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

DPI = 150
FADE = 0.1  # training R2 from which on a voxel's layer is drawn opaque


class _Picture(NamedTuple):
    """A figure's file name, the numbers it shows, and how to draw it."""

    name: str
    numbers: DataFrame
    draw: Callable[[], Figure]


def draw(encoding: Encoding, folder: str | Path, progress: bool = True) -> list[Path]:
    """Draws every figure that the fits allow into ``folder``; returns the PNG files.

    Args:
        encoding: fits with their scores, see :func:`brainnet.encode.encode`.
        folder: made where it does not exist.
        progress: show a progress bar.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    pictures = [picture for subject in encoding.subjects for picture in _pictures(encoding, subject)]
    written = []
    used: set[str] = set()
    for i, picture in enumerate(pictures):  # two names may differ in the case of a letter, or in where a part ends
        taken = picture.name.lower() in used
        pictures[i] = picture = picture._replace(name=f"{picture.name}_{i}") if taken else picture
        used.add(picture.name.lower())
    for picture in progress_bar(pictures, "Figures", len(pictures), progress):
        write_csv(folder / f"{picture.name}.csv", picture.numbers)
        written.append(plot.save(picture.draw(), folder / picture.name, dpi=DPI)[0])
    return written


def _pictures(encoding: Encoding, subject: str) -> Iterator[_Picture]:
    keys = [key for key in encoding.headline(subject) if not key.control]
    splits = list(dict.fromkeys(split for key in keys for split in encoding.fits[key].predictions))
    for split in splits:
        yield from _bars(encoding, subject, keys, split)
        for model in dict.fromkeys(key.model for key in keys):
            yield from _layers(encoding, subject, model, split)
        yield from _joint(encoding, subject, keys, split)
        yield from _over_time(encoding, subject, keys, split)
        for model in dict.fromkeys(key.model for key in keys):
            yield from _layers_over_time(encoding, subject, model, split)
    for model in dict.fromkeys(key.model for key in keys):
        yield from _best_layer(encoding, subject, model)
    for key in keys:
        yield from _window_share(encoding, key)
        yield from _variance(encoding, key)
    yield from _courses(encoding, subject, keys)


def _bars(encoding: Encoding, subject: str, keys: list[FitKey], split: str) -> Iterator[_Picture]:
    """Scores of all methods per ROI beside the noise ceiling, and as shares of it."""
    dataset = encoding.subjects[subject]
    scores = _scores(encoding, keys, split)
    ceiling = dataset.ceiling_of(split)
    title = _title(subject, split)
    yield _Picture(
        _file("scores", subject, split),
        _bar_numbers(encoding, subject, scores, ceiling),
        lambda: plot.scores(
            scores,
            dataset.space,
            noise_ceiling=ceiling,
            intervals=_intervals(encoding, keys, split),
            interval_name=f"95 % interval of the mean, {_resampled(dataset, split)} resampled",
            score_name="r",
            title=title,
        ),
    )
    if ceiling is None:
        return
    shares = {name: normalise(score, ceiling, encoding.floor).values for name, score in scores.items()}
    yield _Picture(
        _file("ceiling_share", subject, split),
        _bar_numbers(encoding, subject, shares, None),
        lambda: plot.scores(
            shares, dataset.space, noise_ceiling=torch.ones_like(ceiling), score_name="r / noise ceiling", title=title
        ),
    )


def _over_time(encoding: Encoding, subject: str, keys: list[FitKey], split: str) -> Iterator[_Picture]:
    """Scores over time where voxels are sensors at times: of every method, and of every sensor by the first one."""
    import pandas as pd

    dataset = encoding.subjects[subject]
    if dataset.space.sensors is None or dataset.space.times is None:
        return
    scores, ceiling = _scores(encoding, keys, split), dataset.ceiling_of(split)
    numbers = pd.DataFrame(dataset.space.labels()).drop(columns="voxel")
    first, title = next(iter(scores)), _title(subject, split)
    yield _Picture(
        _file("time", subject, split),
        numbers.assign(**{name: score.numpy() for name, score in scores.items()}),
        lambda: plot.time_course(scores, dataset.space, noise_ceiling=ceiling, title=title),
    )
    yield _Picture(
        _file("sensors", subject, split),
        numbers.assign(**{first: scores[first].numpy()}),
        lambda: plot.sensor_times(scores[first], dataset.space, title=f"{title}, {first}"),
    )


def _layers_over_time(encoding: Encoding, subject: str, model: str, split: str) -> Iterator[_Picture]:
    """Scores over time of the layers of one network, by the first method that reads them one by one."""
    import pandas as pd

    space = encoding.subjects[subject].space
    fits = [
        key for key, fit in encoding.fits.items()
        if (key.model, key.subject) == (model, subject) and key.layer not in (BEST_LAYER, ALL_LAYERS)
        and not key.control and split in fit.predictions
    ]  # fmt: skip
    layers = {key.layer: encoding.voxel_scores(key, split) for key in fits if key.method == fits[0].method}
    if space.sensors is None or space.times is None or len(layers) < 2:
        return
    numbers = pd.DataFrame(space.labels()).drop(columns="voxel")
    yield _Picture(
        _file("time_layers", subject, model, split),
        numbers.assign(**{name: score.numpy() for name, score in layers.items()}),
        lambda: plot.time_course(layers, space, ordered=True, title=_title(subject, split, model)),
    )


def _layers(encoding: Encoding, subject: str, model: str, split: str) -> Iterator[_Picture]:
    """Scores by layer of one network, with its controls."""
    table = encoding.table
    rows = table[(table["subject"] == subject) & (table["split"] == split) & (table["score"] == "r")]
    rows = rows[rows["model"].isin([model]) | (rows["method"] == NOISE_CEILING)]
    if rows["layer"].isin([BEST_LAYER, ALL_LAYERS, ""]).all():
        return
    yield _Picture(
        _file("layers", subject, model, split),
        rows,
        lambda: plot.layers(
            rows,
            split=split,
            rois=list(dict.fromkeys(rows["roi"])),
            title=_title(subject, split, model),
            resampled=_resampled(encoding.subjects[subject], split),
        ),
    )


def _best_layer(encoding: Encoding, subject: str, model: str) -> Iterator[_Picture]:
    """The layer of every voxel that scores best on training images."""
    import pandas as pd

    dataset = encoding.subjects[subject]
    methods = dict.fromkeys(key.method for key in encoding.fits if (key.model, key.subject) == (model, subject))
    for method in methods:
        scores = encoding.layer_scores(model, subject, method)
        if len(scores) < 2:
            continue
        best, names = encoding.best_layers(model, subject, method)
        numbers = pd.DataFrame(dataset.space.labels())
        numbers["best_layer"] = [names[i] if i >= 0 else "" for i in best.tolist()]
        numbers = numbers.assign(**{f"training_score_{name}": score.numpy() for name, score in scores.items()})
        top = torch.stack(list(scores.values())).nan_to_num(nan=-torch.inf).max(0).values
        opacity = (top / FADE).clamp(0.12, 1).float()
        yield _Picture(
            _file("best_layer", subject, model, "" if method == "ridge" else method),
            numbers,
            lambda scores=scores, opacity=opacity: plot.best_layer(
                scores, dataset.space, floor=FADE, alpha=opacity, outlines=True, title=_title(subject, "", model)
            ),
        )


def _window_share(encoding: Encoding, key: FitKey) -> Iterator[_Picture]:
    """How much of each voxel its window explains, of a method that says so."""
    import pandas as pd

    fit, space = encoding.fits[key], encoding.subjects[key.subject].space
    if not {"window_share", "position", "width"} <= set(fit.details):
        return
    share, position, width = (torch.as_tensor(fit.details[name]) for name in ("window_share", "position", "width"))
    numbers = pd.DataFrame(space.labels())
    numbers = numbers.assign(window_share=share.numpy(), x=position[:, 0].numpy(), y=position[:, 1].numpy())
    opacity = (fit.selection / FADE).nan_to_num(nan=0.0).clamp(0.12, 1).float()
    yield _Picture(
        _file("window_share", key.subject, key.model, "" if key.method == "mixed" else key.method),
        numbers.assign(width=width.reshape(-1).numpy(), training_score=fit.selection.numpy()),
        lambda: plot.window_share(
            share, space, position=position, width=width, alpha=opacity, outlines=True,
            title=_title(key.subject, "", key.model),
        ),
    )  # fmt: skip


def _joint(encoding: Encoding, subject: str, keys: list[FitKey], split: str) -> Iterator[_Picture]:
    """Every further method or network against the first one, voxel by voxel."""
    import pandas as pd

    scores = _scores(encoding, keys, split)
    first = next(iter(scores))
    for name in list(scores)[1:]:
        pair = (scores[first], scores[name])
        yield _Picture(
            _file("joint", subject, first, name, split),
            pd.DataFrame({first: pair[0].numpy(), name: pair[1].numpy()}),
            lambda pair=pair, name=name: plot.joint_histogram(
                *pair, names=(first, name), score_name="r", title=_title(subject, split)
            ),
        )


def _courses(encoding: Encoding, subject: str, keys: list[FitKey]) -> Iterator[_Picture]:
    """Of a time series, the best voxel of the best method over a test run, and the score of every test run."""
    import pandas as pd

    dataset, found = encoding.subjects[subject], {}
    for name, key in zip(_scores(encoding, keys, "test"), keys, strict=True) if len(dataset.splits["test"]) else ():
        found[name] = (courses_of(dataset, encoding.fits[key].predictions["test"]), encoding.voxel_scores(key, "test"))
    found = {name: pair for name, pair in found.items() if pair[0] is not None and pair[1].isfinite().any()}
    if not found:
        return
    best = max(found, key=lambda name: found[name][1].nanmean().item())
    courses, r = found[best]
    numbers, draw = best_course(courses, r, dataset.ceiling_of("test"), _title(subject, "test", best))
    yield _Picture(_file("course", subject), pd.DataFrame(numbers), draw)
    scores = {name: one.scores() for name, (one, _) in found.items()}
    if len(courses.run_names) > 1:
        rows = [{"method": name, "run": run, "r": float(np.nanmean(values))}
                for name, by_run in scores.items() for run, values in by_run.items()]  # fmt: skip
        yield _Picture(
            _file("runs", subject),
            pd.DataFrame(rows),
            lambda: plot.scores_over_runs(scores, score_name="mean test r", title=_title(subject, "test")),
        )


def _variance(encoding: Encoding, key: FitKey) -> Iterator[_Picture]:
    """What each space of a banded ridge adds to R2 on test images."""
    import pandas as pd

    fit = encoding.fits[key]
    for split in fit.predictions:
        if f"r2_split_{split}" not in fit.details:
            continue
        parts = dict(
            zip(fit.details["spaces"].tolist(), torch.as_tensor(fit.details[f"r2_split_{split}"]), strict=True)
        )
        known = torch.stack(list(parts.values())).isfinite().all(0)
        rows = [
            {"roi": roi, "space": name, "r2": part[mask & known].mean().item(), "n_voxels": int((mask & known).sum())}
            for roi, mask in encoding.regions(key.subject).items()
            for name, part in parts.items()
            if (mask & known).any()
        ]
        title = _title(key.subject, split, key.model)
        yield _Picture(
            _file("variance", key.subject, key.model, split),
            pd.DataFrame(rows),
            lambda parts=parts, title=title: plot.variance_split(
                parts, encoding.subjects[key.subject].space, ordered=True, title=title
            ),
        )


def _scores(encoding: Encoding, keys: list[FitKey], split: str) -> dict[str, Tensor]:
    """Name in the figures -> r per voxel."""
    several = len({key.model for key in keys}) > 1
    scores = {}
    for key in keys:
        name = f"{key.model} {key.method}" if several else key.method
        scores[name] = encoding.voxel_scores(key, split)
    return scores


def _intervals(encoding: Encoding, keys: list[FitKey], split: str) -> dict[str, dict[str, tuple[float, float]]]:
    """Name in the figures -> ROI -> interval of the mean r, as the table has it."""
    table = encoding.table
    rows = table[(table["split"] == split) & (table["score"] == "r")]
    intervals = {}
    for name, key in zip(_scores(encoding, keys, split), keys, strict=True):
        mine = rows[(rows[list(key._fields)] == list(key)).all(axis=1)]
        intervals[name] = {row["roi"]: (row["low"], row["high"]) for _, row in mine.iterrows()}
    return intervals


def _resampled(dataset: ResponseDataset, split: str) -> str:
    """What the intervals of a split drew."""
    if not isinstance(dataset, TimeSeries):
        return "images"
    return "volumes" if dataset.blocks_of(split) is None else "blocks of volumes"


def _bar_numbers(encoding: Encoding, subject: str, scores: Mapping[str, Tensor], ceiling: Tensor | None) -> DataFrame:
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for name, values in scores.items():
        for roi, mask in encoding.regions(subject).items():
            known = values[mask][values[mask].isfinite()].numpy()
            if len(known):
                low, high = np.percentile(known, [25, 75])
                row = {"method": name, "roi": roi, "mean": known.mean(), "quartile_1": low, "quartile_3": high}
                rows.append(row | {"n_voxels": len(known)})
                if ceiling is not None:
                    rows[-1]["ceiling"] = ceiling[mask].nanmean().item()
    return pd.DataFrame(rows)


def _title(subject: str, split: str, model: str = "") -> str:
    named = f", split {split}" if split not in ("", "test") else ""
    return f"{subject}{f', {model}' if model else ''}{named}"


def _file(*parts: str) -> str:
    """A file name of some words; the usual split, test, is not named."""
    return "_".join(slug(part) for part in parts if part not in ("", "test"))

"""Comparison of model RDMs with brain RDMs, also over time: ``brainnet rsa compare`` and ``brainnet rsa time``.

Each function fills a folder with tables (CSV), figures (PNG) and a run card ``run.json``: what was read, with digests,
how it was computed, with which versions, in how long; and returns the tables with what was read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from brainnet.rsa import Inference, NoiseCeiling, RDMs, evaluate, fusion, noise_ceiling
from brainnet.run.names import renamed
from brainnet.run.record.card import Clock
from brainnet.run.record.claiming import claimed
from brainnet.run.rsa.rdm_files import as_read, read_courses, read_models, read_regions
from brainnet.run.rsa.results import Results, card_of, clear, digest, finish, save_figure


def compare_rdms(
    subjects: Sequence[str | Path],
    out: str | Path,
    *,
    models: Sequence[str | Path] = (),
    method: str = "spearman",
    key: str | None = None,
    rename: Mapping[str, str] | None = None,
    progress: bool = True,
    **settings: Any,
) -> Results:
    """Noise ceilings of brain regions, and scores of models in them, as tables, figures and a run card.

    Args:
        subjects: files, or folders of files, each a region with one RDM per subject.
        out: folder of the results.
        models: files, or folders of files, of model RDMs; a file with several RDMs is a model with layers, and so is a
            folder of Net2Brain's ``RDM_<layer>.npz``. Without models only the ceilings are computed.
        method: name of a comparison.
        key: entry of files that hold several arrays.
        rename: old name -> new name of regions and models, in tables and figures.
        progress: show a progress bar.
        **settings: of ``evaluate``, see ``Inference``: ``generalise``, ``test``, ``correction``, ``seed``, ... With
            ``pooling="mean"`` and ``squared=True`` scores and ceilings are those of the Algonauts challenge.

    Returns:
        "ceilings", and with models "scores" and "differences": the tables written as CSV. Ceilings are the same in
        all of them: ``ceiling`` is the bound that ``ceiling_share`` divides by, one of ``low`` and ``high``.

    Raises:
        FileNotFoundError: no such file, or a folder without RDMs.
        ValueError: RDMs on several axes, such as subjects and times; two files of one name; or models and brain over
            other conditions.
        FileExistsError: ``out`` holds the results of another command.

    >>> import tempfile
    >>> folder, rng = Path(tempfile.mkdtemp()), np.random.default_rng(0)
    >>> truth = rng.random((1, 66))
    >>> np.save(folder / "V1.npy", truth + 0.3 * rng.random((5, 66)))    # five subjects, twelve conditions
    >>> np.save(folder / "net.npy", np.concatenate([truth, rng.random((1, 66))]))    # two layers
    >>> found = compare_rdms([folder / "V1.npy"], folder / "out", models=[folder / "net.npy"], progress=False)
    >>> found["scores"][["layer", "score", "ceiling_low"]].round(2).values.tolist()
    [['0', 0.96, 0.95], ['1', -0.02, 0.95]]
    """
    import pandas as pd

    clock, asked = Clock(), Inference.and_options(method, settings)[0]
    with claimed(out, "rsa") as out:
        regions = read_regions(subjects, key)
        networks = read_models(models, key) if models else {}
        regions, networks = renamed(rename or {}, regions, networks)
        clock.lap("reading")
        tables: dict[str, pd.DataFrame] = {}
        results: dict[str, Any] = {}
        if networks:
            evaluation = evaluate(networks, regions, method, progress=progress, **settings)
            tables["scores"] = evaluation.table
            if len(evaluation.models) > 1:
                tables["differences"] = evaluation.differences()
            results["definitions"] = evaluation.settings
            bounds = {cell.roi: (cell.ceiling, cell.n_conditions) for cell in evaluation.cells}
            clock.lap("scores")
        else:
            bounds = {name: (_ceiling(rdms, method, settings), rdms.n_conditions) for name, rdms in regions.items()}
        rows = [
            {"roi": name, "n_subjects": len(regions[name]), "n_conditions": n_conditions,
             "ceiling": getattr(ceiling, asked.bound), "low": ceiling.lower, "high": ceiling.upper}
            for name, (ceiling, n_conditions) in bounds.items()
        ]  # fmt: skip
        tables = {"ceilings": pd.DataFrame(rows), **tables}
        clear(out)
        if networks:
            _draw_scores(evaluation, tables.get("differences"), networks, out)
        card = card_of(regions, networks, {"method": method, **asdict(asked), **settings}) | results
        read = as_read("brain", regions) + as_read("model", networks)
        return finish(out, tables, card | {"ceilings": rows}, clock, read)


def compare_over_time(
    subjects: Sequence[str | Path],
    out: str | Path,
    *,
    models: Sequence[str | Path],
    method: str = "spearman",
    span: tuple[float, float] | None = None,
    pooled: bool = False,
    key: str | None = None,
    rename: Mapping[str, str] | None = None,
    progress: bool = True,
    **settings: Any,
) -> Results:
    """Scores of models over time in M/EEG RDMs, as tables, a figure of the courses and a run card.

    Args:
        subjects: each a region, sensor group or data set: a file (n_subjects, n_times, n, n) or (n_subjects, n_times,
            n_pairs), or a folder with one file (n_times, ...) per subject; or a folder with such a file per region.
        out: folder of the results.
        models: files, or folders of files, of model RDMs; a file with several RDMs is a model with layers.
        method: name of a comparison.
        span: first and last time in seconds, evenly divided; by default the times that the files name, as those of
            :meth:`~brainnet.dataset.ResponseDataset.rdms_over_time` do, else counted from 0.
        pooled: the models are fMRI regions with one RDM per subject, and each is pooled to one (fMRI-M/EEG fusion).
        key: entry of files that hold several arrays.
        rename: old name -> new name of regions and models, in tables and figures.
        progress: show a progress bar.
        **settings: of ``evaluate``, such as ``generalise``, ``test``, ``correction``, ``seed``.

    Returns:
        "scores", one row per region, model, layer and time; "peaks", the highest score of each course and when.
    """
    from brainnet import plot

    clock = Clock()
    with claimed(out, "rsa") as out:
        courses, known = read_courses(subjects, key)
        networks = read_regions(models, key, "fMRI RDMs") if pooled else read_models(models, key)
        courses, networks = renamed(rename or {}, courses, networks)
        n_times = len(next(iter(courses.values())))
        times = known or list(range(n_times)) if span is None else np.linspace(*span, n_times).tolist()
        clock.lap("reading")
        if pooled:
            if len(courses) > 1:
                raise ValueError(f"fusion takes one M/EEG data set, got {', '.join(courses)}.")
            evaluation = fusion(networks, next(iter(courses.values())), times, method, progress=progress, **settings)
        else:
            evaluation = evaluate(networks, courses, method, times=times, progress=progress, **settings)
        clock.lap("scores")
        clear(out)
        scores = evaluation.table
        by_course = scores.dropna(subset="score").groupby(["roi", "model", "layer"], sort=False)
        columns = ["roi", "model", "layer", "time", "score", "low", "high", "p_corrected"]
        peaks = scores.loc[by_course["score"].idxmax(), columns].reset_index(drop=True)
        name = "time (s)" if span is not None or known else "time point"
        save_figure(plot.rsa_time(evaluation, time_name=name), out / "time.png")
        card = {
            "data": {
                name: {**digest(RDMs.stack(course)), "n_times": len(course), "rdms": list(course[0].names)}
                for name, course in courses.items()
            },
            "models": {name: digest(rdms) for name, rdms in networks.items()},
            "settings": {**evaluation.settings, "times": times, "pooled": pooled},
            "peaks": peaks.to_dict("records"),
        }
        read = as_read("brain", courses) + as_read("model", networks)
        return finish(out, {"scores": scores, "peaks": peaks}, card, clock, read)


def _ceiling(rdms: RDMs, method: str, settings: dict[str, Any]) -> NoiseCeiling:
    """Of a region by itself, under the settings of an evaluation; NaN for a single subject."""
    if len(rdms) < 2:
        return NoiseCeiling(float("nan"), float("nan"))
    asked, options = Inference.and_options(method, settings)
    return noise_ceiling(rdms, method, pooling=asked.pooling, squared=asked.squared, nan=asked.nan, **options)


def _draw_scores(evaluation: Any, differences: Any, networks: Mapping[str, RDMs], out: Path) -> None:
    from brainnet import plot

    if max(map(len, networks.values())) > 1:
        save_figure(plot.rsa_layers(evaluation), out / "layers.png")
    if len(evaluation.models) <= 16:
        save_figure(plot.rsa_bars(evaluation, differences=differences), out / "bars.png")

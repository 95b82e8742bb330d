"""CT-RSA from files to a folder: every step of every model with the brain at every time, and the best step by choice.

A model is a file of RDMs, one per step: frames or seconds of a clip, or passes of a recurrent network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from brainnet.rsa import ModelTimeRSA, RDMs, by_lag, ct_rsa, lagged
from brainnet.run.names import renamed
from brainnet.run.record.card import Clock
from brainnet.run.record.claiming import claimed
from brainnet.run.rsa.rdm_files import as_read, read_courses, read_models
from brainnet.run.rsa.results import Results, clear, digest, finish, save_figure


def compare_steps(
    subjects: Sequence[str | Path],
    out: str | Path,
    *,
    models: Sequence[str | Path],
    method: str = "spearman",
    span: tuple[float, float] | None = None,
    step: float | None = None,
    n_folds: int = 2,
    n_permutations: int = 1000,
    key: str | None = None,
    rename: Mapping[str, str] | None = None,
    seed: int = 0,
    progress: bool = True,
) -> Results:
    """The similarity of model steps with brain times, the score of the step chosen on other data, and lags.

    Args:
        subjects: one file or folder of brain RDMs over time, see :func:`brainnet.run.rsa.rsa.compare_over_time`.
        out: folder of the results.
        models: files, each a model whose RDMs are its steps, in order.
        method: "spearman", "pearson", "rho-a", "cosine" or "cka".
        span: first and last time of the data in seconds.
        step: seconds from one step of a model to the next; with it, and with times in seconds, "lags" says how long
            after a step of the model the brain has its geometry. None writes none.
        n_folds, n_permutations: see :func:`brainnet.rsa.ct_rsa`.
        key: entry of files that hold several arrays.
        rename: old name -> new name of models.
        seed: of splits and permutations.
        progress: show progress bars.

    Returns:
        "scores", a row per brain time with the step chosen there (p_max is corrected over times); "similarity", a row
        per model, step and time; and "lags", a row per model and lag.

    Raises:
        ValueError: several sets of brain RDMs, or a step without times in seconds.
    """
    import pandas as pd

    clock = Clock()
    with claimed(out, "rsa") as out:
        courses, known = read_courses(subjects, key)
        courses, networks = renamed(rename or {}, courses, read_models(models, key))
        if len(courses) > 1:
            raise ValueError(f"the steps are compared with one set of brain RDMs over time, got {', '.join(courses)}.")
        course = next(iter(courses.values()))
        in_seconds = span is not None or bool(known)
        if step is not None and not (in_seconds and step > 0):
            raise ValueError("a step in seconds, more than 0, needs the times of the brain in seconds: give span.")
        times = known or list(range(len(course))) if span is None else np.linspace(*span, len(course)).tolist()
        times = [float(time) for time in times]
        clock.lap("reading")
        found = ct_rsa(
            networks, course, method, over_subjects=len(course[0]) > 1, n_folds=n_folds,
            n_permutations=n_permutations, generator=torch.Generator().manual_seed(seed), progress=progress,
        )  # fmt: skip
        scores = found.table(times)
        similarity = pd.DataFrame(
            {"layer": np.repeat(found.layers, len(times)), "step": np.repeat(found.steps.numpy(), len(times)),
             "time": np.tile(times, len(found.layers)), "similarity": found.similarity.flatten().numpy()}
        )  # fmt: skip
        tables = {"scores": scores, "similarity": similarity}
        clock.lap("comparison")
        clear(out)
        layers = list(dict.fromkeys(found.layers))
        if step is not None:
            tables["lags"] = pd.concat(
                [by_lag(found.layer(layer), step, times).assign(layer=layer) for layer in layers]
            )[["layer", "lag", "similarity", "n"]]
        _draw(found, tables, times, step, "brain time (s)" if in_seconds else "brain time (points)", method, out)
        settings = {"method": method, "n_folds": n_folds, "n_permutations": n_permutations, "seed": seed,
                    "times": times, "step": step, "over_subjects": len(course[0]) > 1,
                    "correction": "max over times"}  # fmt: skip
        data = {label: {**digest(RDMs.stack(one)), "n_times": len(one)} for label, one in courses.items()}
        card = {"data": data, "models": {label: digest(rdms) for label, rdms in networks.items()}, "settings": settings}
        return finish(out, tables, card, clock, as_read("brain", courses) + as_read("model", networks))


def _draw(
    found: ModelTimeRSA, tables: Mapping[str, Any], times: Sequence[float], step: float | None, name: str,
    method: str, out: Path,
) -> None:  # fmt: skip
    """The score and the step chosen over time; the similarity of all steps of each model that has them, and lags."""
    from brainnet import plot

    said = f"{method} similarity"
    save_figure(plot.best_steps(tables["scores"], time_name=name, score_name=said), out / "best_steps.png")
    if "lags" in tables:
        save_figure(plot.lags(tables["lags"], score_name=said), out / "lags.png")
    for layer in dict.fromkeys(found.layers):
        n = found.layers.count(layer)
        if n == 1:
            continue
        words = {"title": layer, "score_name": said}
        model = {} if step is None else {"model_times": [step * k for k in range(n)], "model_name": "model time (s)"}
        figure = plot.time_by_time(found.layer(layer), brain_times=times, brain_name=name, **model, **words)
        save_figure(figure, out / f"steps_{layer.replace('/', '_')}.png")
        if step is not None:
            lags, values = lagged(found.layer(layer), step, times)
            words |= {"brain_name": "lag (s): brain time minus model time"}
            figure = plot.time_by_time(values, brain_times=lags, **model, **words)
            save_figure(figure, out / f"lagged_{layer.replace('/', '_')}.png")

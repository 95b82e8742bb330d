"""Models fitted to brain RDMs: ``brainnet rsa fit`` mixes layers, ``brainnet rsa partition`` parts the variance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from brainnet.rsa import RDMs, WeightedRSA, rdm_regression, regression_over_time, weighted_rsa
from brainnet.rsa.inference.significance import holm
from brainnet.run.names import renamed
from brainnet.run.record.card import Clock
from brainnet.run.record.claiming import claimed
from brainnet.run.rsa.rdm_files import as_read, read_courses, read_models, read_regions
from brainnet.run.rsa.results import Results, card_of, clear, digest, finish, save_figure

if TYPE_CHECKING:
    import pandas as pd


def fit_rdms(
    subjects: Sequence[str | Path],
    out: str | Path,
    *,
    models: Sequence[str | Path],
    weights: str = "nonnegative",
    method: str = "pearson",
    n_folds: int = 3,
    n_permutations: int = 1000,
    key: str | None = None,
    rename: Mapping[str, str] | None = None,
    seed: int = 0,
    progress: bool = True,
) -> Results:
    """Weighted RSA: how well the best mixture of each model's RDMs does on held-out conditions, and its weights.

    Args:
        subjects: files, or folders of files, each a region with one RDM per subject. Several subjects are fitted on
            the others, a single one on its own training conditions.
        out: folder of the results.
        models: files, or folders of files: the RDMs of a file (its layers) are mixed.
        weights, method, n_folds, n_permutations: see ``weighted_rsa``.
        key: entry of files that hold several arrays.
        rename: old name -> new name of regions and models, in tables and figures.
        seed: of splits and permutations, alike for every region and model.
        progress: show progress bars.

    Returns:
        "scores", one row per region and model (p by permutation, corrected over rows after Holm); "weights", one row
        per component.

    Raises:
        FileNotFoundError: no such file, or a folder without RDMs.
        ValueError: RDMs on several axes, such as subjects and times; two files of one name; or models and brain over
            other conditions.
        FileExistsError: ``out`` holds the results of another command.

    >>> import tempfile
    >>> import numpy as np
    >>> folder, rng = Path(tempfile.mkdtemp()), np.random.default_rng(0)
    >>> layers = rng.random((2, 66))
    >>> np.save(folder / "net.npy", layers)
    >>> np.save(folder / "V1.npy", layers[:1] + 0.3 * rng.random((5, 66)))    # five subjects read the first layer
    >>> how = {"models": [folder / "net.npy"], "n_permutations": 0, "progress": False}
    >>> found = fit_rdms([folder / "V1.npy"], folder / "out", **how)
    >>> found["weights"][["component", "weight"]].round(1).values.tolist()
    [['0', 1.0], ['1', 0.0]]
    """
    import pandas as pd

    clock = Clock()
    with claimed(out, "rsa") as out:
        regions, networks = renamed(rename or {}, read_regions(subjects, key), read_models(models, key))
        clock.lap("reading")
        scores, mixtures = [], []
        for roi, brain in regions.items():
            for name, components in networks.items():
                found = weighted_rsa(
                    components, brain, weights=weights, method=method, over_subjects=len(brain) > 1, n_folds=n_folds,
                    n_permutations=n_permutations, generator=torch.Generator().manual_seed(seed), progress=progress,
                )  # fmt: skip
                scores.append({"roi": roi, "model": name, **_score_row(found)})
                mixtures += [
                    {"roi": roi, "model": name, "component": component, "weight": weight, "spread": spread}
                    for component, weight, spread in zip(
                        found.components, found.weights.tolist(), found.weights_spread.tolist(), strict=True
                    )
                ]
        tables = {"scores": _corrected(pd.DataFrame(scores)), "weights": pd.DataFrame(mixtures)}
        clock.lap("fits")
        clear(out)
        _draw_fits(tables, [name for name, rdms in networks.items() if len(rdms) > 1], method, out)
        settings = {"weights": weights, "method": method, "n_folds": n_folds, "n_permutations": n_permutations,
                    "seed": seed, "correction": "holm",
                    "ceiling_share": "score / lower noise ceiling on the held-out conditions"}  # fmt: skip
        card = card_of(regions, networks, settings, scores=tables["scores"])
        return finish(out, tables, card, clock, as_read("brain", regions) + as_read("model", networks))


def _score_row(found: WeightedRSA) -> dict[str, float | int | None]:
    ceiling = found.ceiling
    return {
        "n_components": len(found.components), "score": found.mean, "sem": _sem(found.score),
        "unweighted": found.unweighted.mean().item(), "unweighted_sem": _sem(found.unweighted), "p": found.p,
        "ceiling": ceiling.lower, "ceiling_low": ceiling.lower, "ceiling_high": ceiling.upper,
        "ceiling_share": found.mean / ceiling.lower if ceiling.lower > 0 else float("nan"),
        "n_subjects": len(found.score),
    }  # fmt: skip


def _draw_fits(tables: dict[str, pd.DataFrame], mixed: list[str], method: str, out: Path) -> None:
    """Bars of weighted and plain scores, and of the weights of every model that is a mixture."""
    import pandas as pd

    from brainnet import plot

    scores = tables["scores"]
    plain = {"score": scores["unweighted"], "sem": scores["unweighted_sem"], "p_corrected": np.nan}
    both = pd.concat([scores.assign(layer="weighted"), scores.assign(layer="plain mean", **plain)])
    both = both.sort_index(kind="stable")
    both = both.assign(low=both["score"] - both["sem"], high=both["score"] + both["sem"])
    name = f"{method} similarity, held-out conditions"
    figure = plot.rsa_bars(both, score_name=name, interval_name="standard error over subjects")
    save_figure(figure, out / "bars.png")
    weights = tables["weights"].rename(columns={"component": "layer", "weight": "score"})
    low = weights["score"] - weights["spread"]
    # no weight that must not be negative is drawn below 0
    low = low.clip(lower=0) if (weights["score"] >= 0).all() else low
    weights = weights.assign(low=low, high=weights["score"] + weights["spread"])
    for name in mixed:
        rows = weights[weights["model"] == name]
        figure = plot.rsa_layers(rows, score_name="weight", interval_name="SD over splits", ordered=False)
        save_figure(figure, out / f"weights_{name.replace('/', '_')}.png")


def partition_rdms(
    subjects: Sequence[str | Path],
    out: str | Path,
    *,
    models: Sequence[str | Path],
    method: str = "spearman",
    weights: str = "ols",
    n_folds: int = 3,
    n_permutations: int = 1000,
    key: str | None = None,
    rename: Mapping[str, str] | None = None,
    seed: int = 0,
    progress: bool = True,
) -> Results:
    """RDM regression: the share of each region's RDM that sets of model RDMs explain together, alone and uniquely.

    Args:
        subjects: files, or folders of files, each a region with one RDM per subject.
        out: folder of the results.
        models: files, each a set: its RDMs enter and leave the regression together.
        method: "spearman" ranks all RDMs first, "pearson" takes them as they are.
        weights, n_folds, n_permutations: see ``rdm_regression``.
        key: entry of files that hold several arrays.
        rename: old name -> new name of regions and models, in tables and figures.
        seed: of splits and permutations, alike for every region.
        progress: show progress bars.

    Returns:
        "parts", one row per region and part: R2 on held-out conditions, its standard error over subjects, p of a part
        above 0 and p corrected over all tested parts of all regions after Holm, which the stars of the figure follow.

    Raises:
        FileNotFoundError: no such file, or a folder without RDMs.
        ValueError: RDMs on several axes, such as subjects and times; two files of one name; or models and brain over
            other conditions.
        FileExistsError: ``out`` holds the results of another command.

    >>> import tempfile
    >>> import numpy as np
    >>> folder, rng = Path(tempfile.mkdtemp()), np.random.default_rng(0)
    >>> shape, color = rng.random((2, 1, 66))
    >>> files = [folder / "shape.npy", folder / "color.npy"]
    >>> for file, model in zip(files, (shape, color)):
    ...     np.save(file, model)
    >>> np.save(folder / "V4.npy", shape + color + 0.3 * rng.random((5, 66)))
    >>> found = partition_rdms([folder / "V4.npy"], folder / "out", models=files, n_permutations=0, progress=False)
    >>> found["parts"].query("part == 'unique'")[["sets", "r2"]].round(1).values.tolist()
    [['shape', 0.4], ['color', 0.6]]
    """
    import pandas as pd

    from brainnet import plot

    _check_ranking(method)
    clock = Clock()
    with claimed(out, "rsa") as out:
        regions, sets = renamed(rename or {}, read_regions(subjects, key), read_models(models, key))
        clock.lap("reading")
        parts = []
        for roi, brain in regions.items():
            found = rdm_regression(
                sets, brain, weights=weights, ranked=method == "spearman", n_folds=n_folds,
                n_permutations=n_permutations, generator=torch.Generator().manual_seed(seed), progress=progress,
            )  # fmt: skip
            table = found.table()
            table.insert(0, "roi", roi)
            parts.append(table)
        table = _corrected(pd.concat(parts, ignore_index=True))
        clock.lap("regression")
        clear(out)
        save_figure(plot.rsa_parts(table.assign(p=table["p_corrected"])), out / "parts.png")
        settings = {"method": method, "weights": weights, "n_folds": n_folds, "n_permutations": n_permutations,
                    "seed": seed, "score": "R2 on pairs of held-out conditions, against their training mean",
                    "tested": "a part above 0 that permuted condition labels do not reach; one not above 0 has p = 1",
                    "correction": "holm, over all tested parts of all regions"}  # fmt: skip
        card = card_of(regions, sets, settings, parts=table)
        return finish(out, {"parts": table}, card, clock, as_read("brain", regions) + as_read("model", sets))


def partition_over_time(
    subjects: Sequence[str | Path],
    out: str | Path,
    *,
    models: Sequence[str | Path],
    span: tuple[float, float] | None = None,
    method: str = "spearman",
    weights: str = "ols",
    n_folds: int = 3,
    n_permutations: int = 1000,
    key: str | None = None,
    rename: Mapping[str, str] | None = None,
    seed: int = 0,
    progress: bool = True,
) -> Results:
    """RDM regression at every time of M/EEG RDMs, corrected over time, with a figure of each part's course.

    Args:
        subjects, span: as of :func:`brainnet.run.rsa.rsa.compare_over_time`.
        out, models, method, weights, n_folds, n_permutations, key, rename, seed, progress: as of
            :func:`partition_rdms`.

    Returns:
        "parts", one row per region, time and part, as :func:`brainnet.rsa.regression_over_time` has them.
    """
    import pandas as pd

    from brainnet import plot

    _check_ranking(method)
    clock = Clock()
    with claimed(out, "rsa") as out:
        courses, known = read_courses(subjects, key)
        courses, sets = renamed(rename or {}, courses, read_models(models, key))
        n_times = len(next(iter(courses.values())))
        times = known or list(range(n_times)) if span is None else np.linspace(*span, n_times).tolist()
        clock.lap("reading")
        parts = []
        for roi, course in courses.items():
            table = regression_over_time(
                sets, course, times, weights=weights, ranked=method == "spearman", n_folds=n_folds,
                n_permutations=n_permutations, seed=seed, progress=progress,
            )  # fmt: skip
            table.insert(0, "roi", roi)
            parts.append(table)
        table = pd.concat(parts, ignore_index=True)
        clock.lap("regression")
        clear(out)
        name = "time (s)" if span is not None or known else "time point"
        save_figure(plot.rsa_time(_as_courses(table), time_name=name, score_name="R2, held-out conditions",
                                  interval_name="standard error over subjects"), out / "time.png")  # fmt: skip
        settings = {"method": method, "weights": weights, "n_folds": n_folds, "n_permutations": n_permutations,
                    "seed": seed, "times": times, "score": "R2 on pairs of held-out conditions, against their training "
                    "mean", "correction": "max over the times of a part"}  # fmt: skip
        data = {name: {**digest(RDMs.stack(course)), "n_times": len(course)} for name, course in courses.items()}
        card = {"data": data, "models": {name: digest(rdms) for name, rdms in sets.items()}, "settings": settings}
        return finish(out, {"parts": table}, card, clock, as_read("brain", courses) + as_read("model", sets))


def _as_courses(table: pd.DataFrame) -> pd.DataFrame:
    """The parts that are drawn over time: the total, and what is unique to each set, or the one set there is."""
    drawn = table[table["part"].isin(["total", "unique"])]
    names = np.where(drawn["part"] == "total", "total", "unique: " + drawn["sets"])
    return drawn.assign(model=names, layer="", score=drawn["r2"], low=drawn["r2"] - drawn["sem"],
                        high=drawn["r2"] + drawn["sem"])  # fmt: skip


def _check_ranking(method: str) -> None:
    if method not in ("spearman", "pearson"):
        raise ValueError(f"a partition takes method 'spearman' (of ranks) or 'pearson', got {method!r}.")


def _corrected(table: pd.DataFrame) -> pd.DataFrame:
    """The table with p after Holm over all of its rows, in a column behind p."""
    corrected = holm(table["p"].astype(float).to_numpy(copy=True)).numpy()
    table.insert(table.columns.get_loc("p") + 1, "p_corrected", corrected)
    return table


def _sem(values: Tensor) -> float:
    return (values.std() / len(values) ** 0.5).item() if len(values) > 1 else float("nan")

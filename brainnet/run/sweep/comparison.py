"""The comparison of a sweep's networks: tables, figures and one page, made from the tables of its cells.

It fills the folder ``comparison`` in that of the sweep with

    ranking.csv         score of each network in each region, with its interval and the places it may have
    differences.csv     each couple of networks on the same subjects and stimuli
    controls.csv        each network against its random twin
    layers.csv          the score of every layer, with its depth
    correspondence.csv  how well the order of layers follows that of regions
    models.csv          what the catalogue knows of each network
    properties.csv      which property goes with the score, with the others held fixed
    figures             ranking_METHOD, heat_METHOD, scatter_METHOD (scores by size), properties_METHOD (what each
                        property explains) and depths_METHOD (where in a network the best layer of each region
                        lies), as PNG and SVG
    similarity          the networks beside each other, where asked for
    comparison.html     a table to sort and filter; a click on a network shows its map
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from brainnet._checks import check_word
from brainnet._files import write_csv, write_text
from brainnet._work import says_progress
from brainnet.rsa.checks import few
from brainnet.rsa.inference.significance import holm
from brainnet.run.extraction.comparison_networks import METRICS
from brainnet.run.record.card import Clock, opening, put_card
from brainnet.run.record.claiming import claimed
from brainnet.run.record.run_folder import PACKAGES
from brainnet.run.rsa.results import save_figure
from brainnet.run.sweep.plan import Plan, known_network
from brainnet.run.sweep.properties import property_effects
from brainnet.run.sweep.ranking import GENERALISE, Ranking, estimate, rank
from brainnet.run.sweep.table import gather, headlines, read_samples

if TYPE_CHECKING:
    import pandas as pd

FOLDER = "comparison"
WORDS = ("kind", "task", "training_set", "method")  # properties of the catalogue that are words
ALPHA = 0.05


def compare_sweep(
    sweep: str | Path,
    *,
    generalise: str = "auto",
    maps: int = 60,
    similarity: str | None = None,
    progress: bool = True,
) -> dict[str, pd.DataFrame]:
    """Compares the networks of a sweep, and fills the folder ``comparison`` in its folder.

    Cells that failed or are left are not in it; a network is ranked in a region by the subjects that every ranked
    network has.

    Args:
        sweep: folder of a sweep.
        generalise: to whom intervals and tests speak: new "subjects", new "stimuli", "both", or "auto", what can be
            known.
        maps: how many networks, the best ones, have their maps on the page.
        similarity: also compare the networks with each other over the stimuli of the first subject: "rdm", "cka" or
            "procrustes", see :func:`brainnet.run.extraction.comparison.compare_models`. It asks every network again.
        progress: show progress bars.

    Returns:
        The tables by name.

    Raises:
        FileNotFoundError: no sweep there.
        ValueError: no cell is done, or an unknown word.
    """
    out, clock = Path(sweep), Clock()
    check_word("generalise", generalise, GENERALISE)
    if similarity is not None:
        check_word("similarity", similarity, METRICS)
    plan = Plan.read(out)
    table, _ = gather(plan, out)
    if not len(table):
        raise ValueError(f"no cell of the sweep in {out} is done: brainnet sweep run makes them.")
    samples = read_samples(plan, out)
    clock.lap("reading")
    rows = headlines(table)
    ranked = _rankings(rows, samples, generalise)
    tables = {
        "ranking": _ranking_table(rows, ranked),
        "differences": _difference_table(ranked),
        "controls": _control_table(rows, samples, generalise),
        "layers": _layer_table(table),
        "models": _model_table(plan),
    }
    tables["correspondence"] = _correspondence(tables["layers"], list(dict.fromkeys(rows["roi"])))
    tables["properties"] = _property_table(tables["ranking"], tables["models"])
    clock.lap("statistics")
    from brainnet.run.sweep.comparison_page import page_of

    with claimed(out / FOLDER, "sweep comparison") as folder:
        for name, one in tables.items():
            write_csv(folder / f"{name}.csv", one)
        _draw(tables, folder)
        write_text(folder / "comparison.html", page_of(plan, out, tables, maps))
        clock.lap("figures and page")
        compared = None
        if similarity is not None:
            compared = _similarity(plan, out, folder, set(rows["model"]), similarity, progress)
            clock.lap("similarity")
        card = {**opening("sweep comparison", (*PACKAGES, "pandas")), "sweep": str(out.resolve()),
                "settings": {"generalise": generalise, "correction": "holm", "level": 0.95},
                "similarity": compared,
                "networks": len(plan.networks), "subjects": list(plan.definition.subjects)}  # fmt: skip
        put_card(folder, card, clock, [f"{name}.csv" for name in tables])
    return tables


# ---------------------------------------------------------------------- scores

Key = tuple[str, str, str]  # method, control and region


def _matrix(rows: pd.DataFrame) -> tuple[list[str], list[str], np.ndarray]:
    """Networks, subjects, and scores (n_networks, n_subjects): of the subjects that every network has."""
    wide = rows.pivot_table(index="model", columns="subject", values="mean", sort=False, dropna=False)
    whole = wide.notna().sum()
    wide = wide.loc[:, whole == whole.max()].dropna()
    return list(wide.index), list(wide.columns), wide.to_numpy(float)


def _samples_of(samples: Any, models: Sequence[str], subjects: Sequence[str], key: Key) -> np.ndarray | None:
    """(n_networks, n_subjects, n_samples), or None where a cell has none or subjects have different numbers."""
    method, control, roi = key
    found = [[samples.get((model, subject, method, control), {}).get(roi) for subject in subjects] for model in models]
    sizes = {None if one is None else one.shape for row in found for one in row}
    return np.array(found, float) if len(sizes) == 1 and None not in sizes else None


def _rankings(rows: pd.DataFrame, samples: Any, generalise: str) -> dict[Key, tuple[list[str], list[str], Ranking]]:
    found = {}
    for key, part in rows.groupby(["method", "control", "roi"], sort=False):
        models, subjects, scores = _matrix(part)
        if len(models):
            values = _samples_of(samples, models, subjects, key)
            asked = "subjects" if values is None else generalise
            found[key] = models, subjects, rank(scores, values, asked, ALPHA)
    return found


def _ranking_table(rows: pd.DataFrame, ranked: dict[Key, Any]) -> pd.DataFrame:
    import pandas as pd

    ceilings = rows.groupby(["method", "control", "roi", "model"], sort=False)[["ceiling", "ceiling_share"]].mean()
    found = []
    for (method, control, roi), (models, subjects, ranking) in ranked.items():
        low, high = ranking.estimate.interval()
        for k in np.argsort(-ranking.estimate.mean, kind="stable"):
            known = ceilings.loc[method, control, roi, models[k]]
            score = (ranking.estimate.mean[k], low[k], high[k], ranking.rank_low[k], ranking.rank_high[k])
            found.append(
                (method, control, roi, models[k], len(subjects), *score, known["ceiling"], known["ceiling_share"])
            )
    columns = ["method", "control", "roi", "model", "n_subjects", "mean", "low", "high", "rank_low", "rank_high",
               "ceiling", "ceiling_share"]  # fmt: skip
    return pd.DataFrame(found, columns=columns)


def _difference_table(ranked: dict[Key, Any]) -> pd.DataFrame:
    import pandas as pd

    parts = []
    for (method, control, roi), (models, subjects, ranking) in ranked.items():
        low, high = ranking.difference.interval()
        names = np.array(models, dtype=object)
        parts.append(pd.DataFrame({
            "method": method, "control": control, "roi": roi, "model_a": names[ranking.first],
            "model_b": names[ranking.second], "n_subjects": len(subjects), "difference": ranking.difference.mean,
            "low": low, "high": high, "p": ranking.difference.p(), "p_corrected": ranking.p_corrected,
        }))  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def _control_table(rows: pd.DataFrame, samples: Any, generalise: str) -> pd.DataFrame:
    """Each network minus its random twin, on the same subjects and stimuli; Holm over all rows."""
    import pandas as pd

    found = []
    for (method, roi, model), part in rows.groupby(["method", "roi", "model"], sort=False):
        wide = part.pivot_table(index="control", columns="subject", values="mean", sort=False)
        if not {"", "random"} <= set(wide.index):
            continue
        wide = wide.loc[["", "random"]].dropna(axis=1)
        values = [_samples_of(samples, [model], list(wide.columns), (method, one, roi)) for one in ("", "random")]
        whole = all(one is not None for one in values) and values[0].shape == values[1].shape
        between = values[0] - values[1] if whole else None
        one = estimate((wide.iloc[0] - wide.iloc[1]).to_numpy(float)[None], between,
                       generalise if between is not None else "subjects")  # fmt: skip
        low, high = one.interval()
        found.append((method, roi, model, wide.shape[1], one.mean[0], low[0], high[0], one.p()[0]))
    columns = ["method", "roi", "model", "n_subjects", "difference", "low", "high", "p"]
    table = pd.DataFrame(found, columns=columns)
    table["p_corrected"] = _corrected(table["p"])
    return table


def _corrected(p: Any) -> np.ndarray:
    p = np.asarray(p, float)
    found, known = np.full(len(p), np.nan), ~np.isnan(p)
    if known.any():
        found[known] = np.asarray(holm(p[known]))
    return found


# ---------------------------------------------------------------------- layers


def _layer_table(table: pd.DataFrame) -> pd.DataFrame:
    """Mean over subjects of every layer's score; depth is 0 for the first layer of a network and 1 for its last."""
    rows = table[~table["layer"].isin(["best", "all"]) & (table["split"] == "test")]
    keys = ["method", "control", "roi", "model", "layer"]
    found = rows.groupby(keys, sort=False).agg(mean=("mean", "mean"), n_subjects=("subject", "nunique")).reset_index()
    place = found.groupby(keys[:-1], sort=False).cumcount()
    number = found.groupby(keys[:-1], sort=False)["layer"].transform("size")
    found.insert(5, "depth", np.where(number > 1, place / np.maximum(number - 1, 1), np.nan))
    return found


def _correspondence(layers: pd.DataFrame, regions: Sequence[str]) -> pd.DataFrame:
    """Spearman correlation, over regions in the order of the data, of the place of a region and its best layer's."""
    import pandas as pd

    order = {roi: k for k, roi in enumerate(roi for roi in regions if roi != "all")}
    found = []
    for (method, control, model), part in layers[layers["roi"] != "all"].groupby(
        ["method", "control", "model"], sort=False
    ):
        part = part.dropna(subset=["mean", "depth"])
        best = part.loc[part.groupby("roi", sort=False)["mean"].idxmax()] if len(part) else part
        if len(best) < 3:
            continue
        places, depth = best["roi"].map(order).to_numpy(), best["depth"].to_numpy()
        rho = stats.spearmanr(places, depth).statistic if np.ptp(depth) else np.nan
        found.append((method, control, model, len(best), rho, *depth[np.argsort(places)][[0, -1]]))
    columns = ["method", "control", "model", "n_regions", "rho", "depth_of_first", "depth_of_last"]
    return pd.DataFrame(found, columns=columns)


# ---------------------------------------------------------------------- properties


def _model_table(plan: Plan) -> pd.DataFrame:
    """What the catalogue knows of each network; "random" in place of its training where its weights are."""
    import pandas as pd

    found = []
    for one in plan.networks:
        name = one.name.partition("=")[0] if one.name.endswith("=random") else one.name
        known = known_network(name) or known_network(f"{name}")
        untrained = one.is_random
        words = {word: getattr(known, word, "") for word in WORDS}
        if untrained:
            words |= {"task": "none", "training_set": "none", "method": "untrained"}
        sizes = {name: getattr(known, name, None) for name in ("parameters", "image_size")}
        found.append({"model": one.label, "name": one.name, **words, **sizes})
    return pd.DataFrame(found).astype({"parameters": "float64", "image_size": "float64"})


def _property_table(ranking: pd.DataFrame, models: pd.DataFrame) -> pd.DataFrame:
    """The effect of each property on the score, in every region and by every method; Holm over all rows."""
    import pandas as pd

    known = models.set_index("model")
    found = []
    for (method, roi), part in ranking[ranking["control"] == ""].groupby(["method", "roi"], sort=False):
        mine = known.loc[part["model"]]
        size = np.log10(mine["parameters"].to_numpy(float))
        properties = {"log10 parameters": size, **{word: mine[word].to_numpy(str) for word in WORDS}}
        properties = {name: values for name, values in properties.items() if _is_known(values)}
        found += [(method, roi, *one) for one in property_effects(part["mean"].to_numpy(float), properties)]
    columns = ["method", "roi", "property", "slope", "low", "high", "partial_r2", "r2_alone", "f", "p", "n_models"]
    table = pd.DataFrame(found, columns=columns)
    table["p_corrected"] = _corrected(table["p"])
    return table


def _is_known(values: np.ndarray) -> bool:
    """Whether at least half of the networks have the property."""
    known = np.isfinite(values) if values.dtype.kind == "f" else values != ""
    return bool(known.mean() >= 0.5)


# ---------------------------------------------------------------------- figures


def _draw(tables: dict[str, pd.DataFrame], folder: Path) -> None:
    from brainnet import plot

    ranking = tables["ranking"]
    for method in dict.fromkeys(ranking["method"]):
        mine = _own(ranking, method)
        save_figure(plot.model_ranking(mine, title=method), folder / f"ranking_{method}.png")
        save_figure(plot.model_regions(mine, title=method), folder / f"heat_{method}.png")
        sizes = tables["models"].set_index("model")["parameters"]
        if sizes.notna().sum() > 2:
            save_figure(plot.model_property(mine, sizes, "parameters", title=method), folder / f"scatter_{method}.png")
        effects = tables["properties"][tables["properties"]["method"] == method]
        if effects["r2_alone"].notna().any():
            save_figure(plot.model_effects(effects, title=method), folder / f"properties_{method}.png")
        layers, order = (_own(tables[name], method) for name in ("layers", "correspondence"))
        layers = layers[layers["roi"] != "all"] if (layers["roi"] != "all").any() else layers
        if layers[["mean", "depth"]].notna().all(axis=1).any():
            save_figure(plot.model_depths(layers, order, title=method), folder / f"depths_{method}.png")


def _own(table: pd.DataFrame, method: str) -> pd.DataFrame:
    """The rows of a method that are of no control."""
    return table[(table["method"] == method) & (table["control"] == "")]


def _similarity(
    plan: Plan, out: Path, folder: Path, compared: Collection[str], metric: str, progress: bool
) -> dict[str, Any]:
    """Networks beside each other over the stimuli of the first subject; returns what the card says.

    A network of which no cell is done is left out: most often it cannot be built.
    """
    from brainnet.run.extraction.comparison import write_comparison
    from brainnet.run.extraction.comparison_networks import Planned
    from brainnet.run.sweep.held import Held

    asked, planned, left_out = plan.definition, [], []
    for one in plan.networks:
        if one.label in compared:
            network = one.network(asked.precision, asked.image_size)
            planned.append(Planned(one.label, network.name, None, network.options))
        else:
            left_out.append(one.label)
    if left_out:
        says_progress.info("similarity: no cell is done of %s, so it is left out.", few(left_out))
    subject = next(iter(asked.subjects))
    dataset = Held(plan, out).data_of(asked.config_of(subject), subject)
    write_comparison(dataset, folder / "similarity", planned, metric=metric, device=asked.device, progress=progress)
    return {"metric": metric, "subject": subject, "left_out": left_out}

"""The numbers of a report: scores by region with ceilings and intervals, tests, and the planted beside the found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from brainnet._files import read_json, reading
from brainnet.dataset.simulation.recovery import LOCAL
from brainnet.encode import ALL_LAYERS, BEST_LAYER, NOISE_CEILING
from brainnet.plot._colors import DIVERGING, layer_colors
from brainnet.rsa import SearchlightMaps
from brainnet.run.record.card import check_files
from brainnet.run.record.run_folder import read_selectors
from brainnet.run.report.html import Html, escape, paragraphs, picture, score_bar, span, table
from brainnet.run.report.series_words import RECOVERED as RECOVERED_OVER_TIME
from brainnet.selection import Selectors
from brainnet.space import BrainSpace

if TYPE_CHECKING:
    from pandas import DataFrame

BAR = "0 to 1"
BAR_SAID = "Bar: mean score; black line: its 95 % interval; red tick: mean noise ceiling."
RECOVERED = {
    "layer_accuracy": "share of voxels whose largest layer was found",
    "layer_within_one": "the same, give or take a layer",
    "layer_centre_mae": "mean error of the mean layer, in layers",
    "layer_centre_r": "correlation of the mean layer, planted and found",
    "scale_r": "correlation of the scale, planted and found",
    "scale_mae": "mean error of the scale",
    "position_rms": "root mean square error of the place, in half-widths of the image",
    "position_median": "median error of the place, in half-widths of the image",
    "position_x_r": "correlation of x, planted and found",
    "position_y_r": "correlation of y, planted and found",
}


def metrics_of(folder: Path) -> dict[str, Any]:
    """The means that a fit left.

    Raises:
        FileNotFoundError: there are none.
        ValueError: they are damaged.
    """
    if not (folder / "metrics.json").is_file():
        raise FileNotFoundError(f"no metrics.json in {folder}: it is no finished run.")
    check_files(folder, "metrics.json")
    return read_json(folder / "metrics.json")


def scores_of_fit(metrics: Mapping[str, Any]) -> Html:
    """A row for each region, on the test images and on those of further splits."""
    rows = "volumes" if metrics.get("is_series") else "images"
    parts = [_regions(metrics["test"], f"{metrics['n_test_images']:,} test {rows}. {BAR_SAID}")]
    for split, means in (metrics.get("further_splits") or {}).items():
        regions = {name: one for name, one in means.items() if isinstance(one, Mapping)}
        parts += [
            Html(f"<h3>Split {escape(split)}</h3>"),
            _regions(regions, f"{means['n_images']:,} {rows}. {BAR_SAID}"),
        ]
    return Html("\n".join(parts))


def _regions(means: Mapping[str, Any], caption: str) -> Html:
    heads = ["region", "voxels", BAR, "mean r [95 %]", "median r", "mean R2", "mean ceiling", "r / ceiling"]
    rows = []
    for name, one in means.items():
        r, ceiling = one.get("r") or {}, (one.get("ceiling") or {}).get("mean")
        known = r.get("mean"), r.get("low"), r.get("high")
        rows.append([name, one.get("n_scored"), score_bar(*known, ceiling), span(*known), r.get("median"),
                     (one.get("r2") or {}).get("mean"), ceiling, one.get("ceiling_share")])  # fmt: skip
    return table(heads, rows, caption)


# ---------------------------------------------------------------------- the planted beside the found


def truth_of(metrics: Mapping[str, Any], folder: Path) -> Html | None:
    """Maps of a simulated subject as they were planted and as they were found; None of any other run."""
    path = folder / "selectors.npz"
    if "recovery" not in metrics or not path.is_file():
        return None
    if metrics.get("is_series"):
        rows = [[words, metrics["recovery"][key]] for key, words in RECOVERED_OVER_TIME.items()
                if key in metrics["recovery"]]  # fmt: skip
        return paragraphs([
            "The listener is simulated, so the truth is known. The page shows the planted maps beside the found ones.",
            table(["agreement", "share of voxels"], rows, f"Over {metrics['n_voxels']:,} voxels."),
        ])  # fmt: skip
    check_files(folder, path.name)
    given = read_selectors(path)
    space, found, names = given["space"], given["chosen"], given["layer_names"]
    with reading(path, "file of selectors"), np.load(path, allow_pickle=False) as arrays:
        truth = [arrays[f"planted:{name}"] for name in Selectors._fields if f"planted:{name}" in arrays]
    if len(truth) < len(Selectors._fields) or space.mesh is None:
        return None
    planted = Selectors(*map(torch.from_numpy, truth))
    caption = (
        "Above: what was planted. Below: what the run found, in the same colors. Places are shown where the planted "
        f"scale is below {LOCAL}: other voxels hardly depend on them."
    )
    recovery = metrics["recovery"]
    rows = [[words, recovery[key]["raw"], recovery[key]["constant_guess"]]
            for key, words in RECOVERED.items() if key in recovery]  # fmt: skip
    n_local = int((planted.scale < LOCAL).sum())
    counted = f"Over {len(planted.scale):,} voxels; places over the {n_local:,} that read local tokens."
    return paragraphs([
        "The subject is simulated, so the truth is known. Where the two rows look alike, the run found it.",
        picture(_drawn(planted, found, names, space), ".png", caption),
        table(["agreement", "found", "a constant guess"], rows, counted),
        str(recovery.get("not_identifiable", "")),
    ])  # fmt: skip


def _drawn(planted: Selectors, found: Selectors, names: list[str], space: BrainSpace) -> bytes:
    """PNG of the maps in two rows, the planted above the found."""
    from brainnet import plot

    local = planted.scale[:, 0] < LOCAL
    looks: dict[str, dict[str, Any]] = {
        "layer": {"categories": names, "colors": layer_colors(len(names)), "label": "layer of largest weight"},
        "scale": {"vmin": 0.0, "vmax": 1.0, "cmap": DIVERGING, "label": "0 one place, 1 the whole image"},
        "place x": {"vmin": -1.0, "vmax": 1.0, "cmap": "coolwarm", "label": "left -1, right 1"},
        "place y": {"vmin": -1.0, "vmax": 1.0, "cmap": "coolwarm", "label": "top -1, bottom 1"},
    }
    maps: dict[str, Tensor] = {}
    for word, one in (("planted", planted), ("found", found)):
        maps[f"layer, {word}"], maps[f"scale, {word}"] = one.layer.argmax(1), one.scale[:, 0]
        for k, axis in enumerate("xy"):
            maps[f"place {axis}, {word}"] = torch.where(local, one.space[:, k], torch.nan)
    looks = {name: looks[name.split(",")[0]] for name in maps}
    figure = plot.cortex_maps(maps, space, "flat", looks=looks, columns=4, width=11.0)
    file = BytesIO()
    figure.savefig(file, format="png", dpi=150, metadata={"Software": None})
    return file.getvalue()


# ---------------------------------------------------------------------- encodings, searchlights, RDMs


def scores_of_encoding(folder: Path, is_series: bool = False) -> Html:
    """A row for each network, method and region, then the controls, tests and differences; of volumes or images."""
    what = "volumes" if is_series else "images"
    scores = _texts(folder / "encoding.csv")
    scores = scores[(scores["split"] == "test") & (scores["score"] == "r") & (scores["method"] != NOISE_CEILING)]
    chosen = scores[scores["layer"].isin([BEST_LAYER, ALL_LAYERS])]
    chosen = (chosen if len(chosen) else scores).sort_values(["subject", "model"], kind="stable")
    found, controls = chosen[chosen["control"] == ""], chosen[(chosen["control"] != "") & (chosen["roi"] == "all")]
    parts = [_fits(found, f"Test {what}. {BAR_SAID}")]
    if len(controls):
        parts += [Html("<h3>Controls</h3>"), _fits(controls, f"All voxels. {BAR_SAID}", "control")]
    tests = _optional(folder / "significance.csv")
    if tests is not None:
        tests = tests[(tests["split"] == "test") & ((tests["control"] == "") | (tests["roi"] == "all"))]
        rows = [[*_named(row, "control"), row["roi"], _whole(row["n_tested"]), _whole(row["n_fdr05"]),
                 _whole(row["n_max05"])] for _, row in tests.iterrows()]  # fmt: skip
        heads = (
            "subject",
            "network",
            "method",
            "control",
            "region",
            "voxels tested",
            "above chance, FDR .05",
            "FWE .05",
        )
        parts += [Html("<h3>Voxels above chance</h3>"), _shorter(heads, rows, f"Test {what}.")]
    pairs = _optional(folder / "differences.csv")
    if pairs is not None and len(pairs := pairs[(pairs["split"] == "test") & (pairs["roi"] == "all")]):
        rows = [[row["subject"], _side(row, "a"), _side(row, "b"), span(*_numbers(row, "mean", "low", "high")),
                 *_numbers(row, "share_a_better")] for _, row in pairs.iterrows()]  # fmt: skip
        heads = (
            "subject",
            "first",
            "second",
            "difference of mean r [95 %]",
            "voxels with a higher r in the first, share",
        )
        parts += [Html("<h3>Paired differences</h3>"), _shorter(heads, rows, f"All voxels, test {what}.")]
    return Html("\n".join(parts))


def _fits(rows: DataFrame, caption: str, *more: str) -> Html:
    heads = (
        "subject",
        "network",
        "method",
        *more,
        "region",
        "voxels",
        BAR,
        "mean r [95 %]",
        "mean ceiling",
        "r / ceiling",
    )
    cells = []
    for _, row in rows.iterrows():
        mean, low, high, ceiling, share = _numbers(row, "mean", "low", "high", "ceiling", "ceiling_share")
        cells.append([*_named(row, *more), row["roi"], _whole(row["n_voxels"]), score_bar(mean, low, high, ceiling),
                      span(mean, low, high), ceiling, share])  # fmt: skip
    return _shorter(heads, cells, caption)


def _shorter(heads: Sequence[str], rows: Sequence[Sequence[Any]], caption: str) -> Html:
    """A table in which a subject or network that all rows share is said once, below it."""
    shared = [
        k for k, head in enumerate(heads) if head in ("subject", "network") and len({row[k] for row in rows}) == 1
    ]
    said = "".join(f" {heads[k].capitalize()}: {rows[0][k]}." for k in shared if rows[0][k])
    kept = [k for k in range(len(heads)) if k not in shared]
    return table([heads[k] for k in kept], [[row[k] for k in kept] for row in rows], caption + said)


def _named(row: Any, *more: str) -> list[str]:
    return [str(row[name]) for name in ("subject", "model", "method", *more)]


def _side(row: Any, side: str) -> str:
    words = (row[f"{name}_{side}"] for name in ("model", "method", "control"))
    return ", ".join(str(word) for word in words if word)


def _numbers(row: Any, *names: str) -> list[float | None]:
    found = (float(row[name]) if name in row and row[name] != "" else np.nan for name in names)
    return [value if np.isfinite(value) else None for value in found]


def _whole(value: Any) -> int | None:
    return None if value == "" or not np.isfinite(float(value)) else int(float(value))


def _texts(path: Path) -> DataFrame:
    """A table whose cells are all texts, so that a region called "NA" stays one."""
    import pandas as pd

    if not path.is_file():
        raise FileNotFoundError(f"no {path.name} in {path.parent}: a report tells of what is scored there.")
    with reading(path, "table of scores"):
        return pd.read_csv(path, keep_default_na=False, dtype=str)


def _optional(path: Path) -> DataFrame | None:
    return _texts(path) if path.is_file() else None


def scores_of_searchlight(folder: Path) -> Html:
    """A row for each model."""
    found = SearchlightMaps.load(folder)
    rows = []
    for k, name in enumerate(found.models):
        score = found.score[k].numpy()
        p = [None if found.test is None else float((one[k] <= 0.05).float().mean())
             for one in ((found.test.p_max, found.test.p_fdr) if found.test is not None else (None, None))]  # fmt: skip
        rows.append([name, int(np.isfinite(score).sum()), float(np.nanmean(score)), float(np.nanmax(score)),
                     float((found.best == k).float().mean()), *p])  # fmt: skip
    heads = ["model", "centres", "mean score", "largest score", "share where it is best", "share with FWE p < .05",
             "share with FDR p < .05"]  # fmt: skip
    return table(heads, rows, f"Score: {found.settings.get('method', 'similarity')} of the RDMs of brain and model.")


def scores_of_rsa(folder: Path) -> Html:
    """The tables of a comparison, a course over time, a fit or a partition of RDMs, whichever the folder holds."""
    if (folder / "parts.csv").is_file():
        return _parts_of_rsa(_texts(folder / "parts.csv"))
    scores = _texts(folder / "scores.csv")
    if "unweighted" in scores:
        return _fits_of_rsa(scores)
    peaks = _optional(folder / "peaks.csv")
    return _compared(scores) if peaks is None else Html(_peaks_of_rsa(peaks) + _compared(scores))


def _compared(scores: DataFrame) -> Html:
    rows = []
    for _, row in scores.iterrows():
        mean, low, high, time, p, corrected = _numbers(row, "score", "low", "high", "time", "p", "p_corrected")
        *ceilings, share = _numbers(row, "ceiling_low", "ceiling_high", "ceiling_share")
        rows.append([row["roi"], row["model"], row.get("layer", ""), time, score_bar(mean, low, high, ceilings[0]),
                     span(mean, low, high), p, corrected, span(ceilings[0], *ceilings), share])  # fmt: skip
    heads = ["region", "model", "layer", "time", BAR, "score [95 %]", "p", "p corrected", "lower ceiling [to upper]",
             "score / ceiling"]  # fmt: skip
    return table(heads, rows, BAR_SAID.replace("mean noise ceiling", "lower noise ceiling"))


def _peaks_of_rsa(peaks: DataFrame) -> Html:
    rows = []
    for _, row in peaks.iterrows():
        time, mean, low, high, corrected = _numbers(row, "time", "score", "low", "high", "p_corrected")
        rows.append([row["roi"], row["model"], row.get("layer", ""), time, score_bar(mean, low, high, None),
                     span(mean, low, high), corrected])  # fmt: skip
    heads = ["region", "model", "layer", "time of the peak", BAR, "score then [95 %]", "p corrected"]
    return table(heads, rows, "The time of the highest score. Bar: the score then; black line: its 95 % interval.")


def _fits_of_rsa(scores: DataFrame) -> Html:
    rows = []
    for _, row in scores.iterrows():
        mixed, sem, plain, plain_sem = _numbers(row, "score", "sem", "unweighted", "unweighted_sem")
        p, corrected, low, high, share = _numbers(
            row, "p", "p_corrected", "ceiling_low", "ceiling_high", "ceiling_share"
        )
        rows.append([row["roi"], row["model"], row["n_components"], mixed, sem, plain, plain_sem, p, corrected,
                     span(low, low, high), share])  # fmt: skip
    heads = ["region", "model", "RDMs mixed", "score", "standard error", "score of the plain mean",
             "its standard error", "p", "p corrected", "lower ceiling [to upper]", "score / ceiling"]  # fmt: skip
    return table(heads, rows, "Scores of mixtures of RDMs on conditions that no fit has seen, mean over subjects.")


def _parts_of_rsa(parts: DataFrame) -> Html:
    rows = []
    for _, row in parts.iterrows():
        rows.append([row["roi"], row["part"], row["sets"], *_numbers(row, "r2", "sem", "p", "p_corrected")])
    heads = ["region", "part", "sets of RDMs", "R2", "standard error", "p", "p corrected"]
    return table(heads, rows, "R2 on pairs of held-out conditions, mean over subjects.")

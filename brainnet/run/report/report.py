"""One HTML file that tells all of finished runs: card, scores, figures, the page, methods, citations, limits."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from brainnet._files import write_text
from brainnet.run.page.run_page import page_text
from brainnet.run.page.scenes import scenes_of
from brainnet.run.record.claiming import file_to_write
from brainnet.run.record.runs import Run, flat, read_run
from brainnet.run.report.html import Html, bullets, document, escape, framed, paragraphs, picture_of, table
from brainnet.run.report.scores import (
    metrics_of,
    scores_of_encoding,
    scores_of_fit,
    scores_of_rsa,
    scores_of_searchlight,
    truth_of,
)
from brainnet.run.report.series_words import is_series
from brainnet.run.report.words import bibtex, citations_of, limits_of, methods_of

NAME = "report.html"
TOLD = ("fit", "encode", "searchlight", "searchlight --group", "rsa")
NOT_IN_THE_CARD = (
    "scores",
    "files",
    "seal",
    "highest_score",
    "ceilings",
)  # said elsewhere, or of use to programs alone
CAPTIONS = {  # by the first word of a file's name
    "maps": "The maps of the run on the cortex.",
    "layer_profile": "Weights of the layers in each region.",
    "layer_weights": "The weight of each layer on the cortex.",
    "coverage": "What each region covers of the image.",
    "certainty": "How certain the selectors are.",
    "window_share": "How much of each voxel its window explains.",
    "latency": "The mean delay of each voxel.",
    "delays": "How much the voxels that are predicted read each delay, in each region.",
    "course": "Prediction and response of the best voxel over time, in a test run.",
    "runs": "The score of every test run.",
    "time_layers": "Weights of the layers over time.",
    "time": "The score over time.",
    "sensors": "The score of every sensor over time.",
    "best_layer": "The best layer of each voxel.",
    "ceiling_share": "Scores as shares of their noise ceilings.",
    "joint": "Scores of two methods, voxel by voxel.",
    "layers": "Scores of each layer.",
    "scores": "Scores of each region.",
    "variance": "R2 split over the layers.",
    "top_models": "The networks in each region, the best one first.",
    "best_model": "The network that predicts each voxel best.",
    "bars": "Scores of each model and region, with noise ceilings.",
    "parts": "R2 of sets of RDMs: together, alone and what each adds.",
    "weights": "Weights of the RDMs that were mixed.",
    "best_steps": "The score over time, and the step of the model that was chosen.",
    "steps": "Similarity of each step of the model and each time.",
    "lags": "Similarity by how far the brain is behind the model.",
    "lagged": "Similarity of each step by how far the brain is behind it.",
}


def write_report(runs: Sequence[str | Path], out: str | Path) -> Path:
    """Writes one HTML file about one run or several; the same bytes for the same runs.

    Args:
        runs: folders of finished ``brainnet fit``, ``encode``, ``searchlight`` or ``rsa``.
        out: the HTML file.

    Raises:
        FileNotFoundError: no finished run in a folder.
        ValueError: no run, a run that has neither maps nor scores, or a damaged file.
    """
    if not runs:
        raise ValueError("a report tells of one run at least.")
    read = [read_run(run) for run in runs]
    for run, _ in read:
        if run.kind not in TOLD:
            raise ValueError(
                f"{run.folder} was filled by `brainnet {run.kind}`, which makes neither maps nor scores of a brain; a "
                "report tells of fit, encode, searchlight and rsa."
            )
    titles = [run.folder.resolve().name for run, _ in read]
    page, reason = _page([run.folder for run, _ in read])
    anchors = {"scores": "Scores"} if len(read) == 1 else {f"run{k}": title for k, title in enumerate(titles)}
    anchors |= {"page": "The maps, to turn and ask"} if page else {}
    anchors |= {"methods": "Methods", "cite": "To cite", "limits": "What the maps do not say", "card": "Run card"}
    links = "".join(f'<a href="#{key}">{escape(text)}</a>' for key, text in anchors.items())
    parts = [_about_run(run, card, k if len(read) > 1 else None) for k, (run, card) in enumerate(read)]
    body = [
        f"<h1>{escape(' | '.join(titles))}</h1>", f'<p class="lead">{escape(_lead(read))}</p>', f"<nav>{links}</nav>",
        *parts, _page_section(page, reason), _closing_sections(read),
    ]  # fmt: skip
    out = file_to_write(out)
    write_text(out, document(" | ".join(titles) + ", report", "\n".join(body), [page] if page else []))
    return out


def _lead(read: Sequence[tuple[Run, Mapping[str, Any]]]) -> str:
    said = []
    for run, card in read:
        data = (card.get("data") or {}).get("name") or ", ".join(card.get("subjects") or ())
        networks = [(card.get("backbone") or {}).get("name"), *(card.get("backbones") or ())]
        with_ = ", ".join(str(name) for name in networks if name)
        of = f" of {data}" if isinstance(data, str) and data else ""
        by = f" by {with_}" if with_ else ""
        when = run.created.replace("T", " ").removesuffix("Z")
        said.append(f"brainnet {run.kind}{of}{by}, finished {when} UTC.")
    return " ".join(said)


def _about_run(run: Run, card: Mapping[str, Any], number: int | None) -> str:
    """Scores, planted maps and figures of one run."""
    folder = run.folder
    metrics = metrics_of(folder) if run.kind == "fit" else {}
    scores = {"fit": lambda: scores_of_fit(metrics), "encode": lambda: scores_of_encoding(folder, is_series(card)),
              "rsa": lambda: scores_of_rsa(folder)}.get(run.kind, lambda: scores_of_searchlight(folder))()  # fmt: skip
    truth = truth_of(metrics, folder)
    figures = _figures(folder)
    name = folder.resolve().name
    heading = ('<h2 id="scores">Scores</h2>' if number is None
               else f'<h2 id="run{number}">Run {escape(name)}</h2>\n<h3>Scores</h3>')  # fmt: skip
    small = "h2" if number is None else "h3"
    parts = [heading]
    if (card.get("config") or {}).get("DATASET.SHUFFLED"):
        parts.append("<p><strong>Negative control: responses were shuffled. Scores should be 0.</strong></p>")
    parts.append(scores)
    if truth is not None:
        parts += [f"<{small}>Planted and found</{small}>", truth]
    if figures:
        parts.append(f"<{small}>Figures</{small}>")
        large, little = ([picture_of(path, _caption(path)) for path in figures if (path.parent == folder) == is_large]
                         for is_large in (True, False))  # fmt: skip
        parts += [*large, '<div class="small">', *little, "</div>"] if little else large
    return "\n".join(parts)


def _figures(folder: Path) -> list[Path]:
    """The run's pictures, PNG before SVG of the same name; those of maps first."""
    found: dict[str, Path] = {}
    for pattern in ("*.svg", "figures/*.svg", "*.png", "figures/*.png"):
        found |= {path.stem: path for path in sorted(folder.glob(pattern))}
    order = list(CAPTIONS)
    return sorted(
        found.values(), key=lambda path: (order.index(_first(path)) if _first(path) else len(order), path.stem)
    )


def _first(path: Path) -> str | None:
    """The longest name in CAPTIONS that a file's name begins with."""
    known = [word for word in CAPTIONS if re.match(rf"{word}(_|$)", path.stem)]
    return max(known, key=len, default=None)


def _caption(path: Path) -> str:
    word = _first(path)
    return f"{CAPTIONS[word]} ({path.name})" if word else path.name


def _page(folders: Sequence[Path]) -> tuple[str | None, str]:
    """The page of all runs whose voxels have a place, and why others are not on it."""
    placed, reasons = [], []
    for folder in folders:
        try:
            spaces = [scene.space for scene in scenes_of(folder)]
        except (FileNotFoundError, ValueError) as error:
            reasons.append(str(error))
            continue
        if all(space.mesh is not None or space.mask is not None for space in spaces):
            placed.append(folder)
        else:
            reasons.append(f"The voxels of {folder} have no place on a brain.")
    return (page_text(placed) if placed else None), " ".join(reasons)


def _page_section(page: str | None, reason: str) -> str:
    said = [f"Not shown here: {reason.replace('`', '')}"] if reason else []  # no Markdown
    if page is None:
        return "\n".join(['<h2 id="page">The maps</h2>', paragraphs(said)])
    said.insert(0, Html('<p class="only-screen">Turn the brain, unfold it, point at a vertex to read its values, click '
                        "for more. <code>brainnet page</code> writes this page as a file of its own.</p>"))  # fmt: skip
    said.append(Html('<p class="only-print">The interactive page is not printed: open this file in a browser.</p>'))
    return "\n".join(
        ['<h2 id="page">The maps, to turn and ask</h2>', framed(page, "Interactive maps"), paragraphs(said)]
    )


def _closing_sections(read: Sequence[tuple[Run, Mapping[str, Any]]]) -> str:
    """Methods, citations, limits and cards of all runs."""
    parts = ['<h2 id="methods">Methods</h2>']
    for run, card in read:
        metrics = metrics_of(run.folder) if run.kind == "fit" else {}
        parts += [f"<h3>{escape(run.folder.resolve().name)}</h3>"] if len(read) > 1 else []
        parts.append(paragraphs(methods_of(card, metrics)))
    cited = list(dict.fromkeys(entry for _, card in read for entry in citations_of(card)))
    limits = list(dict.fromkeys(line for _, card in read for line in limits_of(card)))
    parts += [
        '<h2 id="cite">To cite</h2>',
        bibtex(cited),
        '<h2 id="limits">What the maps do not say</h2>',
        bullets(limits),
    ]
    parts.append('<h2 id="card">Run card</h2>')
    for run, card in read:
        kept = {name: value for name, value in card.items() if name not in NOT_IN_THE_CARD}
        rows = [[name, _entry(value)] for name, value in flat(kept).items()]
        short = [row for row in rows if not row[0].startswith("config.")]
        config = [[name.removeprefix("config."), value] for name, value in rows if name.startswith("config.")]
        parts += [f"<h3>{escape(run.folder.resolve().name)}</h3>"] if len(read) > 1 else []
        parts.append(table(["entry", "value"], short))
        if config:
            parts.append(f"<h3>Settings</h3>\n{table(['setting', 'value'], config)}")
    return "\n".join(parts)


def _entry(value: Any) -> Any:
    """A value of a card as it is written there: whole, and without a comma in years and seeds."""
    if isinstance(value, list):
        return ", ".join(str(one) for one in value)
    return value if value is None or isinstance(value, bool) else str(value)

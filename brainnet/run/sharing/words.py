"""The model card of an encoder: Markdown with the header that the hub reads, written from a run's own files.

It names nothing of the machine and nothing of the moment, so the same run gives the same card.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import unescape
from pathlib import Path
from typing import Any

import yaml

from brainnet._checks import nearest
from brainnet.backbone.networks import networks_of
from brainnet.dataset import DATASETS, describe_dataset
from brainnet.encode import FitKey
from brainnet.run.maps.best_models import read_table
from brainnet.run.report.html import Html
from brainnet.run.report.scores import metrics_of
from brainnet.run.report.series_words import is_series, settings_of
from brainnet.run.report.words import citations_of, limits_of, methods_of

LICENSES = ("apache-2.0", "mit", "bsd-3-clause", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0",
            "cc-by-nc-sa-4.0", "gpl-3.0", "agpl-3.0", "lgpl-3.0", "other", "unknown")  # fmt: skip
NOT_FOR = (
    "It is no medical device. It says nothing of a person's health, and it must not be used to diagnose.",
    "It must not be used to infer what a person saw, felt or thought, nor to identify a person.",
    "It holds for the subject, the voxels and the kind of {kind}s that it was trained on. Scores for other subjects or "
    "other {kind}s can be much lower.",
)


def card_of_fit(
    run: Path, card: Mapping[str, Any], license: str | None, figures: Sequence[str], kind: str = "image"
) -> str:
    """The model card of a run of ``brainnet fit``.

    Args:
        run: its folder.
        card: its run card.
        license: of the encoder, or None.
        figures: names of the files with figures beside the card.
        kind: of the stimuli that the network reads.
    """
    metrics = metrics_of(run)
    rows = []
    for name, one in metrics["test"].items():
        r, ceiling = one.get("r") or {}, (one.get("ceiling") or {}).get("mean")
        rows.append([name, one.get("n_scored"), r.get("mean"), r.get("low"), r.get("high"),
                     (one.get("r2") or {}).get("mean"), ceiling, one.get("ceiling_share")])  # fmt: skip
    heads = ["ROI", "voxels", "mean r", "low", "high", "mean R2", "noise ceiling", "r / ceiling"]
    title = str((card.get("config") or {}).get("DESCRIPTION") or "An encoder of brain responses")
    backbone = str((card.get("backbone") or {}).get("name"))
    said = f"{metrics['n_test_images']:,} test {_rows(card, kind)}, which no fit has seen."
    load = 'from brainnet.plmodel import PLModel\n\nmodel = PLModel.from_pretrained("FOLDER or OWNER/NAME")'
    if kind == "image" and not is_series(card):
        load += "\nprediction, _ = model(images)      # (n_images, 3, H, W) -> (n_images, n_voxels)"
    chosen = "layer and delay" if is_series(card) else "layer, place and scale"
    load += f"\nselectors = model.get_selectors()  # which {chosen} each voxel reads"
    return _card(title, card, metrics, license, figures, _table(heads, rows), said, load, str(card["data"]["name"]),
                 backbone, kind)  # fmt: skip


def card_of_encoding(
    run: Path, card: Mapping[str, Any], key: FitKey, license: str | None, figures: Sequence[str], kind: str = "image"
) -> str:
    """The model card of one fit of ``brainnet encode``; arguments as of :func:`card_of_fit`, and the fit."""
    table = read_table(run / "encoding.csv")
    wanted = (table["split"] == "test") & (table["score"] == "r") & (table["control"].fillna("") == "")
    for name in ("model", "subject", "method", "layer"):
        wanted &= table[name].astype(str) == getattr(key, name)
    names = ["roi", "n_voxels", "mean", "low", "high", "ceiling", "ceiling_share"]
    rows = [[row.get(name) for name in names] for _, row in table[wanted].iterrows()]
    heads = ["ROI", "voxels", "mean r", "low", "high", "noise ceiling", "r / ceiling"]
    title = f"{key.model}, {key.method}, of {key.subject}"
    load = 'from brainnet.run import load_encoder\n\nencoder = load_encoder("FOLDER or OWNER/NAME")'
    said = f"The fit is layer {key.layer} by the method {key.method}, on test {_rows(card, kind)} that no fit has seen."
    one = (card.get("subjects") or {}).get(key.subject) or card
    name = str((one.get("data") or {}).get("name"))
    return _card(title, card, {}, license, figures, _table(heads, rows), said, load, name, key.model, kind)


def _card(
    title: str, card: Mapping[str, Any], metrics: Mapping[str, Any], license: str | None, figures: Sequence[str],
    scores: str, said: str, load: str, data: str, backbone: str, kind: str,
) -> str:  # fmt: skip
    published = describe_dataset(data) if data in DATASETS else {}
    made = [_formula(part) if isinstance(part, Html) else _text(part) for part in methods_of(card, metrics)[:-1]]
    version, commit = (card.get("versions") or {}).get("brainnet", "?"), card.get("commit")
    made.append(f"It was computed by brainnet {version}" + (f", commit {commit[:12]}." if commit else "."))
    pictures = [f"![{_text(Path(name).stem)} of the encoder]({name})" for name in figures]
    parts = [
        f"# {_text(title)}", f"This encoder predicts the responses of a brain to {kind}s, voxel by voxel.", *pictures,
        "## Use", f"```bash\npip install brainnet\n```\n\n```python\n{load}\n```",
        f"On the command line: `brainnet predict FOLDER {_source(card, kind)}",
        "## Scores", said, scores,
        "`low` and `high` are the ends of the 95 % interval of the mean.",
        "## Data and training", *made,
        "## What it is not for", "\n".join(f"- {line.format(kind=kind)}" for line in NOT_FOR),
        "## What its maps do not say", "\n".join(f"- {_text(line)}" for line in limits_of(card)),
        "## License", _license(license, published, backbone),
        "## Citation", "```bibtex\n" + "\n\n".join(citations_of(card)).replace("```", "") + "\n```",
    ]  # fmt: skip
    return f"---\n{_header(license, data, backbone)}---\n\n" + "\n\n".join(parts) + "\n"


def _rows(card: Mapping[str, Any], kind: str) -> str:
    """What the rows of the responses are."""
    return "volumes" if is_series(card) else f"{kind}s"


def _source(card: Mapping[str, Any], kind: str) -> str:
    """What ``brainnet predict`` is given, to the end of the line."""
    end = " --out predictions`. The data set is not needed."
    if not is_series(card):
        return f"{kind}s/{end}"
    column = "text" if kind == "text" else "path"
    return (
        f"{kind}s.csv{end} The table has the columns {column}, onset and duration (seconds). The predictions have a "
        f"row for each volume of {settings_of(card)['tr']:g} s."
    )


def check_license(license: str | None) -> None:
    """Refuses what the hub does not know as a license.

    Raises:
        ValueError: names those that are usual.
    """
    if license is not None and not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,30}", license):
        close = nearest(license.lower(), LICENSES)
        hint = f" Did you mean {close!r}?" if close else ""
        raise ValueError(f"{license!r} is no license of the hub.{hint} Usual ones: {', '.join(LICENSES)}.")


def _header(license: str | None, data: str, backbone: str) -> str:
    """What the hub reads of a card."""
    tags = ["brainnet", "neuroscience", "encoding-model", "brain", *_tags(data), *_tags(backbone)]
    header: dict[str, Any] = {"license": license or "other"}
    if license is None:
        header["license_name"] = "not-stated"
    header |= {"library_name": "brainnet", "tags": list(dict.fromkeys(tags))}
    return yaml.safe_dump(header, sort_keys=False, allow_unicode=True)


def _tags(name: str) -> list[str]:
    word = re.sub(r"[^a-z0-9._-]+", "-", name.rpartition("/")[2].lower()).strip("-.")
    return [word] if word and not name.rpartition(":")[0].endswith(".py") else []


def _license(license: str | None, published: Mapping[str, Any], backbone: str) -> str:
    said = [f"The encoder: {license}." if license else "Its author has not stated a license for the encoder."]
    if published.get("terms"):
        said.append(f"The data set, {_text(published['title'])}: {_text(published['terms'])}")
    elif published.get("name") == "simulated":
        said.append("The data are simulated by brainnet.")
    else:
        said.append("The data belong to those who measured them: ask them before you pass the encoder on.")
    family = backbone.partition(":")[0]
    try:
        known = next((one.license for one in networks_of(family) if one.name == backbone), "")
    except ValueError:
        known = ""
    said.append(f"The weights of the network {_text(backbone)}, which are not part of this encoder: {known}."
                if known else f"The network {_text(backbone)} is not part of this encoder.")  # fmt: skip
    return "\n".join(f"- {line}" for line in said)


def _formula(part: Html) -> str:
    """A formula of a report as text."""
    text = re.sub(r"<sub>(.*?)</sub>", r"_\1", part)
    return f"```text\n{unescape(re.sub('<[^>]*>', '', text)).strip()}\n```"


def _table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *([_cell(value) for value in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: Any) -> str:
    if value is None or value != value:
        return "–"
    if isinstance(value, float) and not value.is_integer():
        return f"{value:.3f}"
    return _text(str(int(value)) if isinstance(value, float) else str(value))


def _text(text: Any) -> str:
    """A text from data as Markdown shows it: no markup of its own, no new line."""
    return re.sub(r"([\\`*_{}\[\]<>|#])", r"\\\1", " ".join(str(text).split()))

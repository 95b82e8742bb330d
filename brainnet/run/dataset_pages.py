"""A page in the docs for every published data set: ``python -m brainnet.run.dataset_pages`` writes them all anew.

A page holds what the reader says of its data set and the options of its signature, and nothing that is written here
alone. Run it after a reader was added or changed; a test fails where a page is stale.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from brainnet._files import write_text
from brainnet.config import config_files, get_cfg_defaults
from brainnet.dataset import DATASETS, TimeSeries, describe_dataset
from brainnet.dataset.about import About
from brainnet.dataset.catalogue import with_options
from brainnet.dataset.rdm_sets import holds_rdms

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "datasets"
OF_TEXT = "transformers:sentence-transformers/all-MiniLM-L6-v2"
MADE = "<!-- Made by `python -m brainnet.run.dataset_pages`; change the reader instead. -->"


def fit_line(name: str, folder: str, options: Mapping[str, Any] | None = None) -> str:
    """The command that fits a map of a data set, by the preset that names it where there is one.

    Of a set of RDMs, the command that compares models with it; of a time series, the command that encodes it from
    features.

    >>> fit_line("nsd", "/data/nsd", {"subject": 2})
    'brainnet fit --config nsd DATASET.DATA_DIR /data/nsd DATASET.OPTIONS "{subject: 2}" --out run'
    >>> fit_line("images92", "/data/92")
    'brainnet rsa compare images92=/data/92 --model rdms.npz --out rsa'
    """
    if is_of_rdms(name):
        return f"brainnet rsa compare {name}={folder} --model rdms.npz --out rsa"
    if is_of_series(name):
        chosen = yaml.safe_dump(dict(options or {}), default_flow_style=True, width=10_000, sort_keys=False).strip()
        with_options = f' DATASET.OPTIONS "{chosen}"' if options else ""
        reads = f"--config series --backbone {OF_TEXT}" if has_texts(name) else "--features features.npz"
        return (
            f"brainnet encode DATASET.NAME {name} DATASET.DATA_DIR {folder}{with_options} {reads} "
            '--delays "1 2 3 4" --cv-groups runs --out encoding'
        )
    if has_texts(name):
        return (
            f'brainnet encode DATASET.NAME {name} DATASET.DATA_DIR {folder} --backbone {OF_TEXT} MODEL.GRID "(1,1)" '
            "--cv-groups dataset --out encoding"
        )
    own, about = _preset_of(name), _about(name)
    fallback = f"--config {about.preset} " if about and about.preset else ""
    named = f"--config {own}" if own else f"{fallback}DATASET.NAME {name}"
    chosen = yaml.safe_dump(dict(options or {}), default_flow_style=True, width=10_000, sort_keys=False).strip()
    told = f" DATASET.OPTIONS {json.dumps(chosen)}" if options else ""
    return f"brainnet fit {named} DATASET.DATA_DIR {folder}{told} --out run"


def _about(name: str) -> About | None:
    with contextlib.suppress(FileNotFoundError):
        return DATASETS[name].about
    return None


def is_of_series(name: str) -> bool:
    """Whether a data set is a time series, whose rows are volumes and no images."""
    with contextlib.suppress(FileNotFoundError):
        return issubclass(DATASETS[name], TimeSeries)
    return False


def _what_for(name: str) -> str:
    if is_of_rdms(name):
        return "compare models"
    return "encode it" if is_of_series(name) or has_texts(name) else "fit a map"


def has_texts(name: str) -> bool:
    """Whether a data set knows the texts that were heard or read."""
    with contextlib.suppress(FileNotFoundError):
        return getattr(DATASETS[name], "kind", "image") == "text"
    return False


def is_of_rdms(name: str) -> bool:
    """Whether a data set holds RDMs and no responses; of a file of the user's own that is not there, not."""
    with contextlib.suppress(FileNotFoundError):
        return holds_rdms(DATASETS[name])
    return False


def _preset_of(name: str) -> str | None:
    files = config_files()
    if name in files:
        return name
    usual = get_cfg_defaults().DATASET.NAME
    for preset, path in sorted(files.items()):
        settings = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        if (settings.get("DATASET") or {}).get("NAME", usual) == name:
            return preset
    return None


def pages() -> dict[str, str]:
    """The text of every page by the name of its file: one for each published data set, and ``index.md``."""
    described = [describe_dataset(name) for name in DATASETS.names() if _is_published(name)]
    return {"index.md": _index(described)} | {f"{said['name']}.md": _page(said) for said in described}


def _is_published(name: str) -> bool:
    """Whether it is one of brainnet's own readers of a published data set, not of another installed package."""
    reader = DATASETS[name]
    return reader.about is not None and reader.__module__.startswith("brainnet.")


def _index(described: list[dict]) -> str:
    rows = [
        f"| [{said['name']}]({said['name']}.md) | {said['title']} | {said['kind']} | {_cell(said['size'])} "
        f"| {'`brainnet datasets get`, and by hand' if said['downloads'] else 'by hand'} |"
        for said in described
    ]
    return "\n".join([
        MADE, "", "# Data sets", "",
        "Published data sets that brainnet reads as their publishers lay them out. `brainnet datasets NAME` prints "
        "what stands here,", "and `brainnet datasets check NAME FOLDER` says whether a folder holds one.", "",
        "| name | title | kind | size | download |", "|---|---|---|---|---|", *rows, "",
    ])  # fmt: skip


def _page(said: dict) -> str:
    name = said["name"]
    steps = [f"{number}. {step}" for number, step in enumerate(said["steps"], 1)]
    parts = [
        MADE, "", f"# {said['title']}", "", said["what"], "",
        f"* **Kind**: {said['kind']}", f"* **From**: {said['where']}", f"* **Terms**: {said['terms']}",
        f"* **Size**: {said['size']}", f"* **Tested on**: {said['verified']}", "",
        "## Download", "", *_fetched(said), *steps, "",
        "```bash", f"brainnet datasets check {name} FOLDER", "```", "",
        "## Layout", "", "```text", said["layout"], "```", "",
        "## The reader", "", said["summary"], "", *([_prose(said["details"]), ""] if said["details"] else []),
        f"Its options are those of `DATASET.OPTIONS \"{{NAME: VALUE}}\"`, and of `DATASETS[\"{name}\"]` in Python.", "",
        "| option | default | meaning |", "|---|---|---|",
        *(f"| `{one['name']}` | `{one['default']!r}` | {_cell(one['meaning'])} |" for one in said["options"]), "",
        f"## To {_what_for(name)}", "",
        "```bash", fit_line(name, "FOLDER", _shown_options(said)), "```", "",
        "## To cite", "", "```bibtex", said["cite"], "```", "",
    ]  # fmt: skip
    return "\n".join(parts)


def _shown_options(said: dict) -> dict[str, Any]:
    """The options that the line of a page shows: whose data are read, where there are several people."""
    return {one["name"]: one["default"] for one in said["options"] if one["name"] == "subject" and one["default"]}


def _fetched(said: dict) -> list[str]:
    """The line that fetches files, and which those are, for each option that some of them are for."""
    if not said["downloads"]:
        return ["`brainnet datasets get` fetches nothing here: it needs a form, or has no fixed address. By hand:", ""]
    lines, usual = [], {one["name"]: one["default"] for one in said["options"]}
    for option in dict.fromkeys(file["option"] for file in said["downloads"]):
        files = ["/".join(filter(None, (f["path"], f["files"]))) for f in said["downloads"] if f["option"] == option]
        shown = ", ".join(f"`{with_options(file, usual) or '.'}`" for file in files[:12])
        more = f" and {len(files) - 12} more" if len(files) > 12 else ""
        words = "".join(f" --option {part.strip()}" for part in option.split(",") if part.strip())
        lines += ["```bash", f"brainnet datasets get {said['name']} --out FOLDER{words}", "```", "",
                  f"This line fetches {shown}{more}.", ""]  # fmt: skip
    return [*lines, *(["The rest is by hand:", ""] if said["steps"] else [])]


def _prose(text: str) -> str:
    """Paragraphs and lists of a docstring in Markdown, in which an angle opens no tag."""
    return text.replace("<", "\\<")


def _cell(text: str) -> str:
    """A text in a cell of a table of Markdown."""
    return text.replace("|", "\\|").replace("\n", " ")


def write_pages(folder: str | Path = FOLDER) -> list[Path]:
    """Writes every page into a folder, and takes away those of readers that are no more; gives the paths."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    made = pages()
    for path in folder.glob("*.md"):
        if path.name not in made and path.read_text(encoding="utf-8").startswith(MADE):
            path.unlink()
    for name, text in made.items():
        write_text(folder / name, text)
    return [folder / name for name in made]


if __name__ == "__main__":
    sys.stdout.writelines(f"{path}\n" for path in write_pages(*sys.argv[1:2]))

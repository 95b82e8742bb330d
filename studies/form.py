"""The form that all studies share: where a study lies, how it is run, and how its numbers are compared.

A study is a folder ``studies/NAME`` with ``config.yaml``, ``study.py``, ``expected.json`` and ``README.md``;
``studies/README.md`` says what each holds. This file knows nothing of any study.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from brainnet._files import read_json, write_csv, write_json, write_text, writing
from brainnet.dataset import DATASETS

log = logging.getLogger(__name__)

READERS = {"algonauts2019": "images92", "algonauts2023": "algonauts"}  # folders whose reader has another name
FOLDER = Path(__file__).resolve().parent
FORMS = ("default", "small", "full")
PINNED = "first honest run"
TABLE = re.compile(r"(?<=<!-- numbers -->\n).*?(?=<!-- end of numbers -->)", re.DOTALL)


class MissingData(FileNotFoundError):
    """A folder of data that a study needs is not there; the message is one line for a user."""


class WrongData(ValueError):
    """Data or weights that a study reads are not as they should be; the message is one line for a user."""


class Study(NamedTuple):
    """What the files of a study say: its question, its settings by form, and the expected numbers by form."""

    question: str
    config: dict[str, Any]
    expected: dict[str, dict[str, dict[str, Any]]]


def studies() -> list[str]:
    """Names of all studies."""
    return sorted(path.parent.name for path in FOLDER.glob("*/study.py"))


def read(name: str) -> Study:
    """The files of a study; its question is the first line of ``config.yaml``'s ``question``."""
    config = yaml.safe_load((FOLDER / name / "config.yaml").read_text(encoding="utf-8"))
    expected = FOLDER / name / "expected.json"
    return Study(config["question"], config, read_json(expected) if expected.exists() else {})


def settings_of(config: Mapping[str, Any], form: str) -> dict[str, Any]:
    """Settings of a form: those of ``default``, with the differences that the form names."""
    return {**config["default"], **(config.get(form) or {})}


def data_folder(given: Path | None) -> Path:
    """The folder of data: what is given, else $BRAINNET_TEST_DATA, else ``../shared/data`` beside the checkout."""
    return Path(given or os.environ.get("BRAINNET_TEST_DATA") or FOLDER.parent.parent / "shared" / "data")


def needed_settings(name: str, form: str, data: Path) -> dict[str, Any]:
    """Settings of a form, whose folders are all there.

    Raises:
        MissingData: a folder that ``needs`` of the form names is not under ``data``, or is empty.
    """
    settings = settings_of(read(name).config, form)
    absent = [folder for folder in settings.pop("needs", None) or () if not is_there(data / folder)]
    if absent:
        raise MissingData(said_missing(name, absent, data))
    return settings


def is_there(folder: Path) -> bool:
    """Whether a folder holds anything: an empty one is as good as none."""
    return folder.is_dir() and any(folder.iterdir())


def said_missing(name: str, folders: list[str], data: Path, word: str = "and") -> str:
    """The line that says which folders a study lacks, and what says where each is to be had.

    >>> said_missing("expansion", ["nsd"], Path("/data")).partition(". ")[0]
    'studies/expansion needs the folder nsd under /data (Natural Scenes Dataset: see brainnet datasets nsd)'
    """
    said = []
    for folder in folders:
        reader = READERS.get(top := folder.partition("/")[0], top)
        known = f"{DATASETS[reader].about.title}: see brainnet datasets {reader}" if reader in DATASETS.names() else ""
        where = f" under {data}" if not said else ""
        said.append(f"{folder}{where} ({known or 'see studies/README.md'})")
    return f"studies/{name} needs the folder {f', {word} '.join(said)}. Give another folder of data with --data FOLDER."


def present(name: str, folders: list[str], data: Path) -> list[str]:
    """The folders of published data that are there; of the others a line says what is left out.

    Raises:
        MissingData: none is there.
    """
    there = [folder for folder in folders if is_there(data / folder)]
    absent = [folder for folder in folders if folder not in there]
    if not there:
        raise MissingData(said_missing(name, absent, data, "or"))
    if absent:
        log.warning("left out, as they do not lie under %s: %s.", data, ", ".join(absent))
    return there


@contextmanager
def reading() -> Iterator[None]:
    """Around the lines that read data or weights: what these say of wrong files becomes one line for a user.

    Only these lines: an error of an analysis is a fault of the study, and must not look like one of the data.

    Raises:
        WrongData: a file is missing, damaged or of another form, or a package that reads it is.
    """
    try:
        yield
    except (OSError, ValueError, ImportError) as error:
        raise WrongData(" ".join(str(error).split())) from error


def run(name: str, form: str, data: Path) -> tuple[dict[str, float], Any]:
    """Runs a study: its numbers by name, and its figure.

    Raises:
        MissingData: a folder that the form needs is not there.
        WrongData: what lies there is not what the study reads.
    """
    settings = needed_settings(name, form, data)
    numbers, figure = import_module(f"studies.{name}.study").run(settings, data)
    return {key: float(value) for key, value in numbers.items()}, figure


def compare(numbers: Mapping[str, float], expected: Mapping[str, Mapping[str, Any]]) -> Any:
    """A DataFrame with a row per number: name, found, low, high, verdict, source.

    An expectation holds a ``value`` and its ``tolerance``, or ``low`` and ``high`` or one of them, and its ``source``.

    >>> compare({"r": 0.52}, {"r": {"value": 0.5, "tolerance": 0.01, "source": "published"}}).verdict.tolist()
    ['too high']
    """
    import pandas as pd

    rows = []
    for name in dict.fromkeys([*expected, *numbers]):
        found, limits = numbers.get(name), limits_of(expected.get(name))
        if limits is None:
            verdict = "not pinned"
        elif found is None:
            verdict = "not computed"
        elif found != found:
            verdict = "not a number"
        else:
            verdict = "too low" if found < limits[0] else "too high" if found > limits[1] else "as expected"
        low, high = limits or (float("nan"),) * 2
        source = expected.get(name, {}).get("source", "")
        rows.append({"name": name, "found": found, "low": low, "high": high, "verdict": verdict, "source": source})
    return pd.DataFrame(rows, columns=["name", "found", "low", "high", "verdict", "source"])


def limits_of(expectation: Mapping[str, Any] | None) -> tuple[float, float] | None:
    """Lowest and highest value that an expectation allows."""
    if expectation is None:
        return None
    if "value" in expectation:
        return expectation["value"] - expectation["tolerance"], expectation["value"] + expectation["tolerance"]
    return expectation.get("low", float("-inf")), expectation.get("high", float("inf"))


def pin(name: str, form: str, numbers: Mapping[str, float]) -> None:
    """Writes numbers into ``expected.json`` and the table of the README, except where another source is named.

    Tolerances that stand in the file stay; a new one is ``tolerance`` of ``config.yaml``.
    """
    study = read(name)
    before = study.expected.get(form, {})
    now = {key: old for key, old in before.items() if not old["source"].startswith(PINNED)}
    for key, value in numbers.items():
        if key not in now:
            tolerance = before.get(key, {}).get("tolerance", study.config["tolerance"])
            source = f"{PINNED}, {date.today().isoformat()}"
            now[key] = {"value": round(value, 5), "tolerance": tolerance, "source": source}
    expected = {**study.expected, form: now}
    write_json(FOLDER / name / "expected.json", expected)
    readme = FOLDER / name / "README.md"
    if readme.exists() and form == "default":
        text = readme.read_text(encoding="utf-8")
        write_text(readme, TABLE.sub(lambda _: readme_table(now), text))


def readme_table(expected: Mapping[str, Mapping[str, Any]]) -> str:
    """The table of numbers that stands in a study's README, in Markdown.

    >>> print(readme_table({"r": {"value": 0.5, "tolerance": 0.01, "source": "published"}}))
    | number | expected | source |
    |---|---|---|
    | r | 0.5 ± 0.01 | published |
    <BLANKLINE>
    """
    lines = ["| number | expected | source |", "|---|---|---|"]
    for name, one in expected.items():
        if "value" in one:
            words = f"{one['value']:.5g} ± {one['tolerance']:g}"
        else:
            words = " and ".join(f"{word} {one[key]:g}" for key, word in _LIMITS.items() if key in one)
        lines.append(f"| {name} | {words} | {one['source']} |")
    return "\n".join(lines) + "\n"


_LIMITS = {"low": "at least", "high": "at most"}


def write(out: Path, table: Any, figure: Any) -> None:
    """Writes ``numbers.csv``, ``numbers.json`` and ``figure.png`` into a folder."""
    out.mkdir(parents=True, exist_ok=True)
    write_csv(out / "numbers.csv", table)
    write_json(out / "numbers.json", dict(zip(table.name, table.found, strict=True)))
    with writing(out / "figure.png") as path:
        figure.savefig(path, dpi=150)

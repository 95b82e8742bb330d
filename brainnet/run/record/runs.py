"""Folders of results that commands left: found, told of, and made again from their cards.

A card may come from a stranger: nothing in it is run but a command of brainnet that the caller has seen and agreed to.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brainnet._files import read_json, sha256

CARD = "run.json"
OUT = ("--out", "-o")
OF_THE_MOMENT = (
    "created",
    "command",
    "machine",
    "time",
    "peak_memory_gb",
    "forecast",
)  # entries that say nothing of a result


@dataclass(frozen=True)
class Run:
    """A folder with a run card: which command filled it, when (UTC), in how many seconds, with which words."""

    folder: Path
    kind: str
    created: str
    seconds: float
    command: tuple[str, ...]


def find_runs(root: str | Path = ".") -> list[Run]:
    """Every run in a folder and below it, the oldest first; no other file, and no copy that a tracker keeps.

    Raises:
        FileNotFoundError: no such folder.
    """
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(f"no folder {root}.")
    found = []
    for path in sorted(root.rglob(CARD)):
        if any(part.name == "log" and (part.parent / CARD).is_file() for part in path.parents):
            continue  # what a tracker keeps beside the run
        try:
            found.append(_run_of(path, read_card(path)))
        except (ValueError, OSError):
            continue
    return sorted(found, key=lambda run: run.created)


def read_run(path: str | Path) -> tuple[Run, dict[str, Any]]:
    """The run of a folder or of its card, and the whole card.

    Raises:
        FileNotFoundError: no card there.
        ValueError: a file that is no run card.
    """
    path = Path(path)
    card = path / CARD if path.is_dir() else path
    if not card.is_file():
        raise FileNotFoundError(f"no {CARD} in {path}: name a folder that a finished brainnet command filled.")
    content = read_card(card)
    return _run_of(card, content), content


def read_card(path: Path) -> dict[str, Any]:
    """A run card.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is no JSON, or what it says of its results is not what was written.
    """
    card = read_json(path)
    if card.get("seal", seal := seal_of(card)) != seal:
        raise ValueError(f"{path} is damaged or was changed by hand: its checksum does not fit.")
    return card


def seal_of(card: Mapping[str, Any]) -> str:
    """Digest of a card's entries, but for those of the moment: the same results have the same seal."""
    held = {name: entry for name, entry in card.items() if name not in (*OF_THE_MOMENT, "seal")}
    return sha256(json.dumps(held, sort_keys=True))


def flat(card: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The entries of a card by their full names; a list stays one entry.

    >>> flat({"kind": "fit", "test": {"all": {"n": 3}}})
    {'kind': 'fit', 'test.all.n': 3}
    """
    found: dict[str, Any] = {}
    for key, value in card.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found


def words_again(run: Run, out: str | Path) -> list[str]:
    """The words after ``brainnet`` that fill another folder as ``run`` was filled.

    Raises:
        ValueError: the card names no command line, as of a call from Python.
    """
    if not run.command or Path(run.command[0]).stem not in ("brainnet", "__main__"):
        raise ValueError(f"{run.folder} was not filled by a command line ({' '.join(run.command) or 'none is named'}).")
    kept: list[str] = []
    words = iter(run.command[1:])
    for word in words:
        if word in OUT:
            next(words, None)
        elif not word.startswith((f"{OUT[0]}=", OUT[1])):
            kept.append(word)
    return [*kept, OUT[0], str(out)]


def _run_of(path: Path, card: Mapping[str, Any]) -> Run:
    kind, command, parts = card.get("kind"), card.get("command", ""), card.get("time", {})
    if not isinstance(kind, str) or not isinstance(command, str) or not isinstance(parts, Mapping):
        raise ValueError(f"{path} is no run card of brainnet.")
    spent = [part.get("wall_s", 0) for part in parts.values() if isinstance(part, Mapping)]
    try:
        words = tuple(shlex.split(command))
    except ValueError:  # of a card from before words were quoted
        words = tuple(command.split())
    return Run(
        path.parent,
        kind,
        str(card.get("created", "")),
        float(sum(s for s in spent if isinstance(s, int | float))),
        words,
    )

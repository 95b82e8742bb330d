"""Moves the fragments of this folder under the heading "Unreleased" of CHANGELOG.md: ``python changes/collect.py``."""

from __future__ import annotations

import sys
from pathlib import Path

HEADINGS = {"added": "Added", "changed": "Changed", "fixed": "Fixed", "numbers": "Numbers change"}


def fragments_of(folder: Path) -> dict[str, list[tuple[Path, str]]]:
    """Kind -> files and their texts, in the order of their names.

    Raises:
        ValueError: the name of a file says no known kind, or the file is empty.
    """
    found: dict[str, list[tuple[Path, str]]] = {}
    for path in sorted(folder.glob("*.md")):
        if path.name == "README.md":
            continue
        kind = path.stem.rpartition(".")[2]
        if kind not in HEADINGS:
            raise ValueError(
                f"{path.name}: the name must be <topic>.<kind>.md, and a kind is one of {', '.join(HEADINGS)}"
            )
        text = " ".join(path.read_text().split())
        if not text:
            raise ValueError(f"{path.name} is empty")
        found.setdefault(kind, []).append((path, text))
    return found


def collected(changelog: str, fragments: dict[str, list[tuple[Path, str]]]) -> str:
    """The text of the changelog with the fragments in it, each as the first items under its heading.

    Raises:
        ValueError: the changelog has no heading "## [Unreleased]".
    """
    start = changelog.find("## [Unreleased]\n")
    if start < 0:
        raise ValueError('the changelog has no heading "## [Unreleased]"')
    start += len("## [Unreleased]\n")
    end = changelog.find("\n## ", start)
    section, rest = (changelog[start:end], changelog[end:]) if end >= 0 else (changelog[start:], "")
    for kind in reversed(HEADINGS):
        items = "".join(f"- {text}\n" for _, text in fragments.get(kind, []))
        heading = f"### {HEADINGS[kind]}\n"
        if items and heading in section:
            section = section.replace(f"{heading}\n", f"{heading}\n{items}", 1)
        elif items:
            section = f"\n{heading}\n{items}{section}"
    return changelog[:start] + section + rest


def main() -> None:
    """Changes CHANGELOG.md, and deletes what was moved there."""
    folder = Path(__file__).resolve().parent
    changelog = folder.parent / "CHANGELOG.md"
    try:
        fragments = fragments_of(folder)
        text = collected(changelog.read_text(), fragments)
    except ValueError as error:
        sys.exit(str(error))
    changelog.write_text(text)
    for path, _ in (one for several in fragments.values() for one in several):
        path.unlink()


if __name__ == "__main__":
    main()

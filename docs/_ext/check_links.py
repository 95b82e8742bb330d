"""Checks that links and pictures of the built site lead somewhere: ``python docs/_ext/check_links.py docs/_build``."""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class _Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "src") and value:
                self.targets.append(value)
            elif name in ("id", "name") and value:
                self.anchors.add(value)


def dead_links(site: Path) -> list[str]:
    """``page -> target`` of every link within the site whose file or anchor does not exist."""
    pages = {path.resolve(): _Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    dead = []
    for path, page in pages.items():
        for target in page.targets:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc or (not parts.path and not parts.fragment):
                continue
            file = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            there = file.exists()
            if there and parts.fragment and file in pages:
                there = unquote(parts.fragment) in pages[file].anchors
            if not there:
                dead.append(f"{path.relative_to(site.resolve())} -> {target}")
    return dead


if __name__ == "__main__":
    found = dead_links(Path(sys.argv[1]))
    sys.exit("\n".join([*found, f"{len(found)} dead links"]) if found else 0)

"""The order of the gallery is that of the numbers before the names of its scripts."""

from __future__ import annotations


class ReadingOrder:
    """Key of a script for sorting: ``10_a.py`` comes after ``9_b.py``."""

    def __init__(self, folder: str = "") -> None:
        self.folder = folder

    def __call__(self, name: str) -> int:
        """Number before the first underscore."""
        return int(name.split("_")[0])

    def __repr__(self) -> str:
        return "ReadingOrder()"  # without an address, which would change the settings at every build

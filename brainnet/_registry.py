"""Names to factories: the one mechanism behind ``build_backbone("clip:ViT-B-16")`` and its siblings.

A registry holds factories that are either given (``register``), named by an import path that is followed on
first use (``lazy``), or announced by another installed package (an entry-point group). Looking a name up is
the only moment at which a family's module, and the heavy package behind it, is imported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from brainnet._checks import nearest


class Registry:
    """Factories by name, imported when first asked for.

    Args:
        kind: what the entries are, for messages ("backbone", "dataset", "distance").
        group: entry-point group under which other packages announce entries, or None.

    >>> shapes = Registry("shape")
    >>> @shapes.register("square")
    ... def square(variant, side=1):
    ...     return variant, side
    >>> shapes.build("square:red", side=2)
    ('red', 2)
    >>> shapes["sqare"]
    Traceback (most recent call last):
    ValueError: Unknown shape 'sqare'. Did you mean 'square'? Known: square
    """

    def __init__(self, kind: str, group: str | None = None):
        self.kind = kind
        self.group = group
        self._entries: dict[str, Any] = {}
        self._announced: dict[str, Any] | None = None

    def register(self, name: str) -> Callable:
        """A decorator that files its function or class under ``name``; a taken name is an error."""

        def file(entry):
            if name in self._entries and self._entries[name] is not entry:
                raise ValueError(f"{self.kind} {name!r} is registered already; choose another name.")
            self._entries[name] = entry
            return entry

        return file

    def lazy(self, name: str, path: str) -> None:
        """Files ``path`` ("package.module:attribute") under ``name``; it is imported on first use."""
        self._entries[name] = path

    def names(self) -> list[str]:
        """Every known name, sorted."""
        return sorted({*self._entries, *self._entry_points()})

    def __contains__(self, name: object) -> bool:
        return name in self._entries or name in self._entry_points()

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __len__(self) -> int:
        return len(self.names())

    def __getitem__(self, name: str) -> Any:
        entry = self._entries.get(name)
        if entry is None and name in self._entry_points():
            entry = self._entries[name] = self._entry_points()[name].load()
        if entry is None:
            close = nearest(name, self.names())
            hint = f" Did you mean {close!r}?" if close else ""
            raise ValueError(f"Unknown {self.kind} {name!r}.{hint} Known: {', '.join(self.names())}")
        if isinstance(entry, str):
            module, _, attribute = entry.partition(":")
            entry = self._entries[name] = getattr(import_module(module), attribute)
        return entry

    def build(self, name: str, **kwargs: Any) -> Any:
        """What the factory of ``"family:variant"`` makes; the variant is None where none is named."""
        if not isinstance(name, str):
            raise TypeError(f"a {self.kind} is named by a string such as 'family:variant', got {type(name).__name__}")
        family, _, variant = name.partition(":")
        return self[family](variant or None, **kwargs)

    def variants(self, name: str) -> list[str] | None:
        """The variants a family lists: what ``variants()`` gives in the module of its factory; None without that."""
        listed = getattr(import_module(self[name].__module__), "variants", None)
        return None if listed is None else list(listed())

    def _entry_points(self) -> dict[str, Any]:
        if self._announced is None:
            found = entry_points(group=self.group) if self.group else ()
            self._announced = {point.name: point for point in found}
        return self._announced

"""Names of regions and areas by patterns."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

from brainnet._checks import nearest


def matching_names(names: Iterable[str], pattern: str, what: str, front: str = "") -> tuple[str, ...]:
    """The names that are like a pattern of ``*`` and ``?``, case aside; an exact name is itself and nothing else.

    Args:
        names: those there are.
        pattern: what is looked for.
        what: what they are, for messages.
        front: a name that may stand before each, with a dot.

    Raises:
        ValueError: none is like it; names the nearest.

    >>> matching_names(["V1v", "V1d", "hV4"], "v1*", "ROI")
    ('V1v', 'V1d')
    """
    names = list(names)
    if pattern in names:
        return (pattern,)
    found = tuple(name for name in names if is_like(name, pattern) or (front and is_like(f"{front}.{name}", pattern)))
    if not found:
        near = nearest(pattern, names)
        listing = ", ".join(names[:12]) + f", ... ({len(names)})" * (len(names) > 12)
        raise ValueError(
            f"Unknown {what} {pattern!r}."
            + (f" Did you mean {near!r}?" if near else "")
            + f" Known: {listing or 'none'}."
        )
    return found


def is_like(name: str, pattern: str) -> bool:
    """Whether a name is like a pattern of ``*`` and ``?``, case aside."""
    return fnmatchcase(name.lower(), pattern.lower())

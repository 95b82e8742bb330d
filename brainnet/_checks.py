"""Small checks at the door: names nearly right, packages not installed, warnings said once."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Iterable
from fnmatch import fnmatchcase
from importlib import import_module
from types import ModuleType

_already_warned: set[str] = set()


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like ``name``, or None where nothing comes near.

    >>> nearest("clipp", ["clip", "timm"])
    'clip'
    """
    known = [str(k) for k in known]
    by_lower = {k.lower(): k for k in known}
    matches = difflib.get_close_matches(str(name).lower(), by_lower, n=1, cutoff=0.55)
    return by_lower[matches[0]] if matches else None


def check_word(what: str, given: str, known: Iterable[str]) -> None:
    """Refuses a word that is none of the known ones, and names the nearest.

    >>> check_word("pool", "men", ("mean", "flatten"))
    Traceback (most recent call last):
    ValueError: Unknown pool 'men'. Did you mean 'mean'? Known: mean, flatten.
    """
    if given not in known:
        close = nearest(given, known)
        hint = f" Did you mean {close!r}?" if close else ""
        raise ValueError(f"Unknown {what} {given!r}.{hint} Known: {', '.join(known)}.")


def matching_names(names: Iterable[str], pattern: str, what: str, front: str = "") -> tuple[str, ...]:
    """The names that are like a pattern of ``*``, ``?`` and ``[..]``, case aside; an exact name is itself alone.

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
    """Whether a name is like a pattern of ``*``, ``?`` and ``[..]``, case aside."""
    return fnmatchcase(name.lower(), pattern.lower())


def is_pattern(text: str) -> bool:
    """Whether a name may stand for several: it holds ``*``, ``?`` or ``[``."""
    return any(sign in text for sign in "*?[")


def require(module: str, needed_by: str, package: str | None = None) -> ModuleType:
    """The imported module, or one line that says what needs it and how to install it.

    Args:
        module: dotted import name.
        needed_by: what the user asked for, for the message.
        package: the name to install where it differs from the module's.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not module.startswith(error.name.split(".")[0]):
            raise
        package = package or module.split(".")[0].replace("_", "-")
        raise ModuleNotFoundError(
            f"{needed_by} needs {module.split('.')[0]}, which is not installed:  pip install {package}", name=error.name
        ) from None


def warn_once(key: str, message: str) -> None:
    """Warns the first time ``key`` is met in this process, and is silent afterwards."""
    if key not in _already_warned:
        _already_warned.add(key)
        warnings.warn(message, UserWarning, stacklevel=3)

"""Names of models and regions as a user wants them in tables and figures: OLD=NEW."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from brainnet._checks import nearest
from brainnet.space import BrainSpace


def read_renames(words: Sequence[str]) -> dict[str, str]:
    """Old name -> new name, of words OLD=NEW; an old name may hold an equals sign itself.

    Raises:
        ValueError: a word without equals sign, an empty name, or an old name that is given twice.

    >>> read_renames(["torchvision:alexnet=random=untrained"])
    {'torchvision:alexnet=random': 'untrained'}
    """
    names: dict[str, str] = {}
    for word in words:
        old, _, new = word.rpartition("=")
        if not old or not new.strip():
            raise ValueError(f"--rename is OLD=NEW, a name and what it shall be called; got {word!r}.")
        if old in names:
            raise ValueError(f"--rename names {old!r} twice.")
        names[old] = new
    return names


def renamed(names: Mapping[str, str], *groups: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
    """Groups of things by name, such as regions and models, with new names; the order stays.

    Raises:
        ValueError: an old name that is in none of the groups, or a new one that another thing of its group has.

    >>> renamed({"a": "V1"}, {"a": 1, "b": 2}, {"net": 3})
    ({'V1': 1, 'b': 2}, {'net': 3})
    """
    check_names(names, [known for group in groups for known in group])
    found = []
    for group in groups:
        new = [names.get(name, name) for name in group]
        twice = next((name for name in new if new.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"--rename would give two things the name {twice!r}.")
        found.append(dict(zip(new, group.values(), strict=True)))
    return tuple(found)


def with_regions(space: BrainSpace, names: Mapping[str, str]) -> BrainSpace:
    """The same space, its regions with new names; an old name that is no region of it is passed over."""
    (rois,) = renamed({old: new for old, new in names.items() if old in space.rois}, space.rois)
    return replace(space, rois=rois)


def check_names(names: Mapping[str, str], known: Iterable[str]) -> None:
    """Refuses to rename what is not there.

    Raises:
        ValueError: names the first one, and the nearest there is.
    """
    known = list(dict.fromkeys(known))
    for old in names:
        if old not in known:
            close = nearest(old, known)
            hint = f" Did you mean {close!r}?" if close else ""
            raise ValueError(f"--rename names {old!r}, which is not here.{hint} Here are {', '.join(known)}.")

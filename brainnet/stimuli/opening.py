"""The stimuli of a network by what it reads: images, texts, sounds, videos, or pairs of them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from brainnet._checks import check_word
from brainnet.stimuli.pairs import OF_KIND, Pairs

READS = (*OF_KIND, "pair")  # kinds of stimuli


def stimuli_of(source: Any, kind: str = "image", **how: Any) -> Any:
    """A set of stimuli of one kind: the source itself where it is such a set, else what that kind makes of it.

    Args:
        source: a folder, a file, a list; see :class:`~brainnet.stimuli.Images`, :class:`~brainnet.stimuli.Texts`,
            :class:`~brainnet.stimuli.Sounds`, :class:`~brainnet.stimuli.Clips` and :class:`~brainnet.stimuli.Pairs`.
        kind: one of ``READS``.
        how: further arguments of that class.

    Raises:
        ValueError: an unknown kind, or a set of another kind.

    >>> stimuli_of(["a bird", "a house"], "text")
    Texts(2 in the list given)
    """
    check_word("kind of stimuli", kind, READS)
    is_set = hasattr(source, "image_ids") and hasattr(source, "image")
    # a data set is of the kind of its images; what does not say its kind may be of any
    own = (getattr(source, "kind", None) or getattr(getattr(source, "images", None), "kind", None)) if is_set else None
    if own not in (None, kind) and own in READS:
        raise ValueError(f"these are stimuli of the kind {own}, and the network reads {kind}s.")
    if is_set:
        return source
    if isinstance(source, str | os.PathLike) and not Path(source).exists():
        raise FileNotFoundError(f"no {kind}s at {source}: there is no such folder or file.")
    return Pairs(source, **how) if kind == "pair" else OF_KIND[kind](source, **how)


def kind_of(stimuli: Any) -> str:
    """The kind of a set of stimuli; what does not say one is of images.

    >>> kind_of(stimuli_of(["the cat sleeps"], "text")), kind_of([])
    ('text', 'image')
    """
    return getattr(stimuli, "kind", "image")

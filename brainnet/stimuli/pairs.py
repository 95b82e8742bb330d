"""Stimuli of several kinds at once: a picture with its caption, a film with its sound; paired by base name."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from brainnet._checks import nearest
from brainnet._files import sha256
from brainnet.stimuli.clips import Clips
from brainnet.stimuli.images import Images
from brainnet.stimuli.names import is_picture
from brainnet.stimuli.sets import StimulusSet
from brainnet.stimuli.sounds import SOUND_SUFFIXES, Sounds
from brainnet.stimuli.text import TEXT_SUFFIXES, Texts
from brainnet.stimuli.video import VIDEO_SUFFIXES

OF_KIND = {"image": Images, "text": Texts, "sound": Sounds, "video": Clips}
SUFFIXES_OF = {"text": TEXT_SUFFIXES, "sound": SOUND_SUFFIXES, "video": VIDEO_SUFFIXES}


class Pairs(StimulusSet):
    """Stimuli of which each has a part of every kind; ``pairs[i]`` is a mapping from kind to part.

    Args:
        source: a folder with files of two kinds or more, each part of a stimulus under the same name: ``cat.jpg`` and
            ``cat.txt``; or a mapping from kind ("image", "text", "sound", "video") to a set of that kind, or to what
            such a set is made of.

    The ids are those that all kinds share, in the order of the first kind.

    Raises:
        ValueError: fewer than two kinds, or an id that one kind has and another lacks; names it.

    >>> sounds = Sounds([[0.25] * 9, [0.5] * 9], ["b", "a"], rate=9)
    >>> pairs = Pairs({"text": {"a": "a cat", "b": "a dog"}, "sound": sounds})
    >>> pairs.ids, pairs[0]["text"], pairs[0]["sound"].samples[0].item()
    (['a', 'b'], 'a cat', 0.5)
    """

    kind = "pair"

    def __init__(self, source: Any):
        described = str(source) if isinstance(source, str | os.PathLike) else "the mapping given"
        parts = _in_folder(Path(source)) if isinstance(source, str | os.PathLike) else dict(source)
        unknown = next((kind for kind in parts if kind not in OF_KIND), None)
        if unknown is not None or len(parts) < 2:
            raise ValueError(
                f"pairs are of two kinds or more of {', '.join(OF_KIND)}; got {', '.join(parts) or 'none'}."
            )
        self.parts = {
            kind: one if isinstance(one, OF_KIND[kind]) else OF_KIND[kind](one) for kind, one in parts.items()
        }
        self.kinds = tuple(self.parts)
        first = self.parts[self.kinds[0]]
        self._rows: dict[str, list[int]] = {}
        for kind, one in self.parts.items():
            place = {name: index for index, name in enumerate(one.ids)}
            lacking = [name for name in first.ids if name not in place]
            more = [name for name in one.ids if name not in set(first.ids)]
            if lacking or more:
                name = (lacking or more)[0]
                close = nearest(name, one.ids if lacking else first.ids)
                without = kind if lacking else self.kinds[0]
                raise ValueError(
                    f"{name!r} of {described} has no {without}: every stimulus needs a file of each kind under one "
                    "name." + (f" Is {close!r} meant?" if close else "")
                )
            self._rows[kind] = [place[name] for name in first.ids]
        super().__init__(first.ids, described, getattr(first, "onsets", None), getattr(first, "durations", None))

    def load(self, index: int) -> Mapping[str, Any]:
        """The parts of stimulus ``index``, kind to part."""
        return {kind: one[self._rows[kind][index]] for kind, one in self.parts.items()}

    def signature(self) -> str:
        """Digest of the signatures of all kinds, and of which part belongs to which."""
        return sha256(*(f"{kind} {one.signature()} {self._rows[kind]}" for kind, one in self.parts.items()))

    def _keep(self, places: Sequence[int]) -> None:
        self._rows = {kind: [rows[place] for place in places] for kind, rows in self._rows.items()}


def _in_folder(folder: Path) -> dict[str, Any]:
    """Kind to a set, of the kinds of which a folder holds files."""
    if not folder.is_dir():
        raise FileNotFoundError(f"no stimuli at {folder}: there is no such folder.")
    names = [path.name for path in folder.iterdir() if not path.name.startswith(".")]
    found = {kind for kind, suffixes in SUFFIXES_OF.items() if any(Path(n).suffix.lower() in suffixes for n in names)}
    found |= {"image"} if any(map(is_picture, names)) else set()
    if len(found) < 2:
        raise ValueError(
            f"{folder} holds files of {' and '.join(found) or 'no kind'} that brainnet reads: pairs need two."
        )
    return {kind: folder for kind in OF_KIND if kind in found}

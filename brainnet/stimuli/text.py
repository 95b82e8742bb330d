"""Texts as stimuli: files, lines of a file, a table with onsets, or strings; cut into windows, or read in context."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from brainnet._checks import warn_once
from brainnet._files import sha256
from brainnet.stimuli.sets import IDS, TIMES, StimulusSet, files_in, ids_of_files, times_in, windows_of
from brainnet.stimuli.tables import TABLE_SUFFIXES, read_columns, read_text

TEXT_SUFFIXES = (".txt",)
TEXT_COLUMNS = ("text", "sentence", "word", "words", "transcript", "caption", "stimulus")


class Texts(StimulusSet):
    """An indexed set of texts; ``texts[i]`` and ``texts.load(i)`` are strings.

    Args:
        source: a folder, each ``.txt`` file of which (in the folders below it too) is a text; a ``.txt`` file, each
            line of which is one, empty lines left out; a ``.csv`` or ``.tsv`` table with a column "text", "sentence",
            "word", "transcript" or "caption", and where they are known the columns "id", "onset" and "duration"
            (seconds); a list of strings, or a mapping from id to string.
        ids: one name per text. By default the file names without suffix, the "id" column, the keys of the mapping, or
            the places "0", "1", ... Lines and rows are "line0001", ..., by the number of the text.
        onsets, durations: seconds, in place of those of a table.
        rows: which texts, as numbers from 0, a slice or booleans; by default all.

    Raises:
        FileNotFoundError: no such file or folder, or no texts in it.
        ValueError: an empty text, a file that is no UTF-8 text, an onset that is no number, or as many ids as there are
            not texts.

    >>> texts = Texts(["a bird", "a house by the sea"], onsets=[0, 2])
    >>> texts, texts[1], texts.ids
    (Texts(2 in the list given), 'a house by the sea', ['0', '1'])
    """

    kind = "text"

    def __init__(
        self,
        source: Any,
        ids: Sequence[str] | None = None,
        *,
        onsets: Sequence[float] | None = None,
        durations: Sequence[float] | None = None,
        rows: Sequence[int] | slice | None = None,
    ):
        times: Mapping[str, np.ndarray | None] = {}
        if isinstance(source, str | os.PathLike):
            self._texts, found, times = _from_path(Path(source))
            described = str(source)
        elif isinstance(source, Mapping):
            self._texts, found, described = list(source.values()), list(source), "the mapping given"
        elif isinstance(source, Sequence):
            self._texts, described = list(source), "the list given"
            found = [str(place) for place in range(len(self._texts))]
        else:
            raise TypeError(f"texts are a folder, a file or a list of strings, got {type(source).__name__}.")
        ids = found if ids is None else list(ids)
        if not self._texts:
            raise ValueError(f"there are no texts in {described}.")
        for what, values in (("ids", ids), ("onsets", onsets), ("durations", durations)):
            if values is not None and len(values) != len(self._texts):
                raise ValueError(f"{len(values)} {what} for {len(self._texts)} texts in {described}.")
        onsets = times.get("onsets") if onsets is None else onsets
        super().__init__(ids, described, onsets, times.get("durations") if durations is None else durations)
        for name, text in zip(self.ids, self._texts, strict=True):
            if not isinstance(text, str):
                raise TypeError(f"text {name!r} of {described} is a {type(text).__name__}, and no string.")
            if not text.strip():
                raise ValueError(f"text {name!r} of {described} is empty: give it words, or leave it out.")
        if rows is not None:
            self.__dict__.update(self.select(rows).__dict__)

    def load(self, index: int) -> str:
        """Text ``index``."""
        return self._texts[index]

    def digest(self, index: int) -> str:
        """See :class:`~brainnet.stimuli.sets.StimulusSet`."""
        return sha256(self._texts[index])

    def _keep(self, places: Sequence[int]) -> None:
        self._texts = [self._texts[place] for place in places]

    def in_context(self, n_before: int) -> Texts:
        """Every text with the texts before it: what a reader of a story knows at that moment.

        The last word of each is the last word of the text itself, so that a global token "last" is of this text.

        Args:
            n_before: how many texts before it, at most; there are fewer at the beginning.

        >>> Texts(["once", "upon", "a", "time"]).in_context(2)[3]
        'upon a time'
        """
        if n_before < 0:
            raise ValueError(f"n_before is a number of texts of at least 0, got {n_before}.")
        joined = [" ".join(self._texts[max(0, i - n_before) : i + 1]) for i in range(len(self))]
        return Texts(joined, self.ids, onsets=self.onsets, durations=self.durations)

    def windows(self, window: float, step: float | None = None) -> Texts:
        """The texts that begin within each window of time, joined; a window in which none begins is left out.

        Args:
            window: seconds.
            step: seconds from a window to the next; None is ``window``. The first begins at 0.

        Returns:
            Texts "window0001", ..., numbered with those that are left out; their onsets are those of the windows.

        Raises:
            ValueError: texts without onsets, or onsets that are not in order.

        >>> story = Texts(["once", "upon", "a", "time"], onsets=[0.1, 0.6, 1.2, 3.5])
        >>> list(story.windows(1.0)), story.windows(1.0).onsets.tolist()
        (['once upon', 'a', 'time'], [0.0, 1.0, 3.0])
        """
        if self.onsets is None:
            raise ValueError("windows in time need onsets: give Texts(..., onsets=...), or a table with that column.")
        if (np.diff(self.onsets) < 0).any():
            late = int(np.flatnonzero(np.diff(self.onsets) < 0)[0]) + 1
            raise ValueError(f"text {self.ids[late]!r} begins before the text in front of it: sort the onsets.")
        if self.onsets[0] < 0:
            raise ValueError(f"text {self.ids[0]!r} begins at {self.onsets[0]:g} s: onsets are seconds from 0 on.")
        found = {}
        step = window if step is None else step
        last = float(self.onsets[-1])
        spans = windows_of(last + window + step, window, step, self.described)  # reaches beyond the last onset
        for number, (start, length) in enumerate(spans):
            inside = np.flatnonzero((self.onsets >= start - 1e-9) & (self.onsets < start + length - 1e-9))
            if len(inside):
                found[f"window{number + 1:04d}"] = (start, " ".join(self._texts[place] for place in inside))
        n_windows = sum(start <= last for start, _ in spans)
        if n_windows > len(found):
            warn_once(
                f"windows {self.described} {window}",
                f"{n_windows - len(found)} of the {n_windows} windows of {self.described} hold no text: left out.",
            )
        starts = [start for start, _ in found.values()]
        return Texts([text for _, text in found.values()], list(found), onsets=starts,
                     durations=[window] * len(found))  # fmt: skip


def _from_path(path: Path) -> tuple[list[str], list[str], dict[str, np.ndarray | None]]:
    """Texts, ids, and onsets and durations."""
    if path.is_dir():
        names = files_in(path, TEXT_SUFFIXES, "texts")
        return [read_text(path / name).strip() for name in names], ids_of_files(names), {}
    if not path.is_file():
        raise FileNotFoundError(f"no texts at {path}: there is no such folder or file.")
    suffix = path.suffix.lower()
    if suffix not in (*TEXT_SUFFIXES, *TABLE_SUFFIXES):
        raise ValueError(
            f"{path} is no file of texts: it ends in none of {', '.join((*TEXT_SUFFIXES, *TABLE_SUFFIXES))}."
        )
    found = read_columns(path, {"text": TEXT_COLUMNS, "id": IDS, **TIMES}, needed="text")
    texts = found["text"]
    ids = found["id"] or [f"line{place + 1:04d}" for place in range(len(texts))]
    return texts, ids, times_in(found, path)

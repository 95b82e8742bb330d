"""What every set of stimuli has: ids, ``load(i)``, a signature, and where it is known, when each was shown.

Images have a class of their own, :class:`~brainnet.stimuli.images.Images`; texts, sounds and videos derive from this
one. A token store is built from any of them.
"""

from __future__ import annotations

import copy
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from brainnet._files import sha256
from brainnet.stimuli.names import is_one_line, natural_sort, paths_without_suffix, places_of
from brainnet.stimuli.tables import numbers_of, read_columns

TIMES = {"onset": ("onset", "onsets", "onset_time", "time"), "duration": ("duration", "durations", "length")}
IDS = ("id", "stimulus_id", "name", "item")


class StimulusSet:
    """An indexed set of stimuli of one kind.

    Subclasses write ``load(i)`` and ``digest(i)``.

    Args:
        ids: one name per stimulus, each once.
        described: where the stimuli come from, for people.
        onsets: seconds from the beginning of the experiment, or of the recording that was cut, (n,); None where that
            is not known.
        durations: seconds, (n,), or None.

    Attributes:
        ids, described, onsets, durations: as above.
        kind: "text", "sound" or "video".

    >>> class Sentences(StimulusSet):
    ...     kind = "text"
    ...     def load(self, index):
    ...         return f"the {self.ids[index]} sleeps"
    ...     def digest(self, index):
    ...         return sha256(self.load(index).encode())
    >>> sentences = Sentences(["cat", "dog"], "two sentences", onsets=[0.0, 2.5])
    >>> sentences.load(1), sentences.onsets.tolist()
    ('the dog sleeps', [0.0, 2.5])
    """

    kind = ""

    def __init__(
        self,
        ids: Sequence[str],
        described: str,
        onsets: Sequence[float] | None = None,
        durations: Sequence[float] | None = None,
    ):
        self.ids, self.described = [str(name) for name in ids], described
        self.onsets = None if onsets is None else np.asarray(onsets, float)
        self.durations = None if durations is None else np.asarray(durations, float)
        for what, values in (("onset", self.onsets), ("duration", self.durations)):
            if values is not None and not np.isfinite(values).all():
                name = self.ids[int(np.flatnonzero(~np.isfinite(values))[0])]
                raise ValueError(f"the {what} of {self.kind} {name!r} of {described} is no finite number of seconds.")
        bad = next((name for name in self.ids if not is_one_line(name)), None)
        if bad is not None:
            raise ValueError(f"a {self.kind} in {described} is called {bad!r}: an id is one line of UTF-8 text.")
        if len(set(self.ids)) < len(self.ids):
            twice = next(name for place, name in enumerate(self.ids) if name in self.ids[:place])
            raise ValueError(f"two {self.kind}s in {described} have the id {twice!r}: every stimulus needs its own.")

    @property
    def image_ids(self) -> list[str]:
        """The ids, under the name that a token store asks for."""
        return self.ids

    def load(self, index: int) -> Any:
        """Stimulus ``index``, read now and not kept."""
        raise NotImplementedError

    def digest(self, index: int) -> str:
        """Digest of every byte of stimulus ``index`` that its features can depend on."""
        raise NotImplementedError

    def image(self, index: int, preprocessing: Callable[[Any], torch.Tensor]) -> torch.Tensor:
        """Stimulus ``index`` as the tensor that a network takes.

        Raises:
            ValueError: the stimulus cannot be read, or is none that the network takes; the message names it.
        """
        stimulus = self.load(index)
        try:
            return preprocessing(stimulus)
        except ValueError as error:
            raise ValueError(f"{self.kind} {self.ids[index]!r} of {self.described}: {error}") from None

    def load_image(self, index: int) -> Any:
        """The same as :meth:`load`."""
        return self.load(index)

    def signature(self) -> str:
        """Digest of all stimuli, in their order: it changes with every byte that their features can depend on."""
        return sha256(self.kind, *(self.digest(index) for index in range(len(self))))

    def select(self, rows: Sequence[int] | slice) -> StimulusSet:
        """Some of the stimuli, in the order given, as a set of their own.

        Args:
            rows: numbers from 0, a slice, or booleans.
        """
        places = places_of(rows, len(self))
        found = copy.copy(self)
        found.ids = [self.ids[place] for place in places]
        found.onsets = None if self.onsets is None else self.onsets[places]
        found.durations = None if self.durations is None else self.durations[places]
        found._keep(places)
        return found

    def _keep(self, places: Sequence[int]) -> None:
        """Leaves only the stimuli at some places, of what a subclass holds."""
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Any:
        return self.load(range(len(self))[index])

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} in {self.described})"


class Kept:
    """What a function makes of a file, of which the last few are kept; for several threads, and it can be pickled.

    Args:
        make: a path to anything.
        n_kept: how many are kept.
    """

    def __init__(self, make: Callable[[Path], Any], n_kept: int):
        self.make, self.n_kept = make, n_kept
        self._found: OrderedDict[Path, Any] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, path: Path) -> Any:
        """What the function makes of a file."""
        with self._lock:
            if path not in self._found:
                self._found[path] = self.make(path)
                while len(self._found) > self.n_kept:
                    self._found.popitem(last=False)
            self._found.move_to_end(path)
            return self._found[path]

    def __reduce__(self) -> tuple:
        return Kept, (self.make, self.n_kept)


def files_in(folder: Path, suffixes: Sequence[str], what: str) -> list[str]:
    """Relative paths of the files of a folder with one of the suffixes, in natural order; of all folders below it too.

    Raises:
        FileNotFoundError: there are none.
    """
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".") and name != "__MACOSX"]
        within = Path(parent).relative_to(folder)
        found += [
            (within / name).as_posix()
            for name in names
            if Path(name).suffix.lower() in suffixes and not name.startswith(".")
        ]
    if not found:
        raise FileNotFoundError(f"no {what} in {folder}: none of its files ends in {', '.join(suffixes)}.")
    return natural_sort(found)


def ids_of_files(names: Sequence[str]) -> list[str]:
    """Ids of files by their relative paths: without suffixes, as those of images.

    >>> ids_of_files(["b/1.wav", "b/2.wav"])
    ['b/1', 'b/2']
    """
    return paths_without_suffix(names)


def times_in(columns: dict[str, list[str] | None], path: Path) -> dict[str, np.ndarray | None]:
    """Onsets and durations of a table's columns, in seconds, None where the table has no such column.

    Raises:
        ValueError: a cell that is no number, or a duration that is not above 0; names the row.
    """
    found = {f"{name}s": numbers_of(columns[name], name, path) for name in TIMES}
    durations = found["durations"]
    if durations is not None and not (durations > 0).all():
        row = int(np.flatnonzero(~(durations > 0))[0])
        raise ValueError(f"row {row + 2} of {path} has the duration {durations[row]:g}: it must be above 0.")
    return found


def listed_files(path: Path, suffixes: Sequence[str], what: str, extra: dict[str, Sequence[str]]) -> dict[str, Any]:
    """What a list of files says: ``paths`` as written, and "id", "onset", "duration" and ``extra`` columns or None.

    Args:
        path: text with a path a line, or a table with a column "path", "file", "filename" or ``what``.
        suffixes: of the files.
        what: the kind of the files, in the singular.
        extra: further columns, name to the headers it may have.
    """
    headers = {"path": ("path", "file", "filename", "file_name", what, f"{what}_path", "stimulus"), "id": IDS}
    found = read_columns(path, {**headers, **TIMES, **extra}, needed="path")
    wrong = next((name for name in found["path"] if Path(name).suffix.lower() not in suffixes), None)
    if wrong is not None:
        raise ValueError(f"{path} lists {wrong!r}, which is no {what}: it ends in none of {', '.join(suffixes)}.")
    missing = [name for name in found["path"] if not (path.parent / name).is_file()]
    if missing:
        n = len(found["path"])
        raise FileNotFoundError(f"{len(missing)} of the {n} files of {path} do not exist, the first is {missing[0]}.")
    return found


def windows_of(
    duration: float, window: float, step: float | None, where: str, partial: bool = False
) -> list[tuple[float, float]]:
    """(start, length) in seconds of the windows in a recording; a rest shorter than a window is left out.

    Args:
        duration: of the recording in seconds.
        window: length of each window in seconds.
        step: from the start of a window to that of the next; None is ``window``.
        where: the recording, for messages.
        partial: take the rest too, as a last, shorter window.

    Raises:
        ValueError: a window or step that is not above 0, or a window longer than the recording.

    >>> windows_of(5.0, 2.0, None, "film"), windows_of(5.0, 2.0, None, "film", partial=True)[-1]
    ([(0.0, 2.0), (2.0, 2.0)], (4.0, 1.0))
    """
    step = window if step is None else step
    if not (window > 0 and step > 0):
        raise ValueError(f"window and step are seconds above 0, got {window} and {step}.")
    n = int(np.floor((duration - window) / step + 1e-6)) + 1
    found = [(k * step, window) for k in range(max(n, 0))]
    rest = max(n, 0) * step
    if partial and rest < duration - 1e-6:
        found.append((rest, duration - rest))
    if not found:
        raise ValueError(f"a window of {window:g} s is longer than {where}, which lasts {duration:.4g} s.")
    return found


def window_id(name: str, start: float) -> str:
    """The id of a window: that of the whole, and the second at which it begins.

    >>> window_id("film", 2.5), window_id("film", 100000.25), window_id("film", 20.0)
    ('film@2.5', 'film@100000.25', 'film@20')
    """
    return f"{name}@{start:.6f}".rstrip("0").rstrip(".")


def check_within(start: float, length: float, duration: float, where: str) -> None:
    """Refuses a window that begins before a recording or ends after it.

    Raises:
        ValueError: names the window and the recording.
    """
    if start < 0 or length <= 0 or start + length > duration + 1e-3:
        raise ValueError(
            f"the window from {start:g} s to {start + length:g} s is not within {where}, which lasts {duration:.4g} s."
        )

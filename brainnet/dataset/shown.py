"""What was shown in a time series, as the set of stimuli that a network reads.

The windows of a series name stimuli, and ``TimeSeries.shown`` says what these are: a set of texts, sounds, clips or
images, or whatever makes such a set (a folder). Which kind it is, the network decides, so that the pictures of a film
and its sound can lie in one folder.
"""

from __future__ import annotations

from typing import Any

from brainnet._checks import nearest
from brainnet.dataset.time_series import TimeSeries, Window
from brainnet.stimuli import Texts, kind_of, stimuli_of


def names_shown(data: TimeSeries) -> list[str]:
    """The stimuli in the windows of a series, each once, in the order of their first window."""
    return list(dict.fromkeys(window.stimulus for run in data.stimuli.values() for window in run))


def stimuli_shown(data: TimeSeries, kind: str = "image") -> Any:
    """The stimuli of a series as a set of one kind, in which each stimulus of a window has its name.

    Args:
        data: the series; ``data.shown`` is a set of stimuli, or what makes one.
        kind: of the stimuli, see :data:`brainnet.stimuli.READS`.

    Raises:
        ValueError: it is not known what was shown, or when; a stimulus of a window that is not there; stimuli of
            another kind.
        FileNotFoundError: no stimuli of that kind where they should lie.

    >>> import numpy as np
    >>> data = TimeSeries({"a": np.eye(9)[:, :4], "b": np.eye(9)[:, :4]}, tr=1.0,
    ...                   stimuli={"a": [Window(0, 2, "one")], "b": [Window(1, 2, "two")]})
    >>> data.shown = {"one": "a bird", "two": "a house", "three": "a tree"}
    >>> stimuli_shown(data, "text").ids
    ['one', 'two']
    """
    names = names_shown(data)
    if data.shown is None or not names:
        raise ValueError(
            f"{type(data).__name__} does not know the {kind}s that were shown"
            + ("" if names else " when")
            + ", which a network reads. Give features of the volumes, or of the stimuli, in files."
        )
    found = stimuli_of(data.shown, kind)
    place = {name: index for index, name in enumerate(map(str, found.image_ids))}
    lost = [name for name in names if name not in place]
    if lost:
        close = nearest(lost[0], list(place))
        raise ValueError(
            f"{len(lost)} of {len(names)} stimuli of the windows are not among the {len(place)} {kind_of(found)}s in "
            f"{getattr(found, 'described', found)}, the first is {lost[0]!r}."
            + (f" Did you mean {close!r}?" if close else "")
        )
    # what is not shown costs the work of a network, so that sets that can be parted are
    return found.select([place[name] for name in names]) if hasattr(found, "select") else found


def in_context(windows: dict[str, list[Window]], words: dict[str, str], n_before: int) -> Texts:
    """Texts of the windows, each behind the texts of its run that were there before it.

    Args:
        windows: run -> its windows, in the order of time.
        words: stimulus -> its text.
        n_before: how many texts before it, at most; 0 leaves each alone.

    >>> in_context({"a": [Window(0, 1, "0"), Window(1, 1, "1")]}, {"0": "once", "1": "upon"}, 1)[1]
    'once upon'
    """
    if n_before < 0:
        raise ValueError(f"context is a number of texts of at least 0, got {n_before}.")
    found: dict[str, str] = {}
    for run in windows.values():
        said = [words[window.stimulus] for window in run]
        for place, window in enumerate(run):
            found.setdefault(window.stimulus, " ".join(said[max(0, place - n_before) : place + 1]))
    return Texts(found)

"""The files of THINGS-EEG1: continuous recordings whose annotations are onsets, and a table of what was shown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np

from brainnet._files import reading
from brainnet.dataset.readers._checked import check_memory, check_subject, read_columns, there
from brainnet.dataset.readers._meeg import AT_ONCE, Kept, Recording
from brainnet.dataset.trials import conditions

ONSET = "E  1"  # the annotation at each onset
WINDOW = (-0.1, 0.8)  # seconds around an onset that are read by default
EXCLUDED = (1, 6, 18, 23)  # by participants.tsv; subject 1 saw no test pictures, subject 6 half of the others


def read_recording(root: Path, subject: int, images: str, keep: Mapping[str, Any]) -> Recording:
    """One person's responses, averaged over the onsets of each picture.

    Raises:
        FileNotFoundError: the recording or the table of events is missing.
        ModuleNotFoundError: no mne.
        ValueError: another number of onsets than events, or no test pictures.
    """
    check_subject(subject, [number for number in range(1, 51) if number not in EXCLUDED])
    name = f"sub-{subject:02d}"
    table = root / name / f"eeg/{name}_task-rsvp_events.tsv"
    columns = read_columns(table, ("stim", "isteststim"), sep="\t")
    files = [PureWindowsPath(stimulus).name for stimulus in columns["stim"]]  # written with backslashes
    ids = [Path(file).stem for file in files]
    is_test = [flag.strip() not in ("0", "0.0", "") for flag in columns["isteststim"]]
    raw, onsets = _open(root / f"derivatives/eeglab/{name}_task-rsvp_continuous.set")
    if len(onsets) != len(ids):
        raise ValueError(
            f"{table} lists {len(ids)} events, and the recording has {len(onsets)} annotations {ONSET!r}: expected as "
            "many. One of the two is of another subject, or cut short."
        )
    rate = raw.info["sfreq"]
    first, last = (round(second * rate) for second in keep["window"] or WINDOW)
    kept = Kept.of(raw.ch_names, np.arange(first, last + 1) / rate, keep["sensors"], None, keep["average"])
    tested = {name for name, flag in zip(ids, is_test, strict=True) if flag}
    check_memory(len(set(ids)), kept.n_columns, AT_ONCE)
    found = conditions(_epochs(raw, onsets, first, last, kept), ids, standardize=False)
    file_of = dict(zip(ids, files, strict=True))
    concepts = [re.sub(r"_\d+\w*$", "", name) for name in found.ids]
    flags = np.array([name in tested for name in found.ids])
    if not flags.any() or flags.all():
        raise ValueError(f"{table}: {int(flags.sum())} of {len(flags)} pictures are test pictures; expected some.")
    paths = [root / images / concept / file_of[name] for concept, name in zip(concepts, found.ids, strict=True)]
    ceiling = found.noise_ceiling(np.flatnonzero(flags))
    return Recording(found.ids, found.responses, kept, flags, concepts, paths, ceiling)


def _open(path: Path) -> tuple[Any, np.ndarray]:
    """The recording, its samples not read yet, and the samples of the onsets."""
    there(path)
    try:
        import mne
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            'THINGS-EEG1 is read with mne, which is not installed:  pip install "brainnet[meeg]"'
        ) from None
    with reading(path, "EEGLAB recording"):
        raw = mne.io.read_raw_eeglab(path, preload=False, verbose="error")
        names = np.asarray(raw.annotations.description)
        onsets = raw.time_as_index(raw.annotations.onset[names == ONSET], use_rounding=True)
    if not len(onsets):
        raise ValueError(f"{path} has no annotation {ONSET!r}; it has {', '.join(sorted(set(names))[:5]) or 'none'}.")
    return raw, onsets


def _epochs(raw: Any, onsets: np.ndarray, first: int, last: int, kept: Kept) -> Iterator[np.ndarray]:
    """Blocks of trials (n_trials, n_columns) in microvolts, in the order of the onsets."""
    if onsets[0] + first < 0 or onsets[-1] + last >= raw.n_times:
        raise ValueError(
            f"the window reaches from sample {onsets[0] + first} to {onsets[-1] + last} of a recording of "
            f"{raw.n_times} samples: choose a shorter one."
        )
    for start in range(0, len(onsets), AT_ONCE):
        some = onsets[start : start + AT_ONCE]
        with reading(raw.filenames[0], "EEGLAB recording"):
            block = 1e6 * raw.get_data(start=int(some[0]) + first, stop=int(some[-1]) + last + 1, verbose="error")
        places = (some - some[0])[:, None] + np.arange(last - first + 1)
        yield kept.columns(block[:, places].swapaxes(0, 1))

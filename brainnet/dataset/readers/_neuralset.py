"""What neuralset hands over: the segments of one subject, a row for each image shown, and where the columns lie.

``load_segments`` is the only function that needs the package; everything else works on its table and arrays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from brainnet._checks import nearest, require
from brainnet.space import VERTICES_PER_HEMISPHERE, BrainSpace, surface_space
from brainnet.space.sensors import sensor_space

RECORDINGS = ("Fmri", "Meg", "Eeg")
LATER = ("Word", "Text", "Sentence", "Audio", "Video", "Phoneme")  # stimuli that are not read yet
LAG = 4.0  # s after an image appears, where its hemodynamic response is about highest
EPOCH = (0.0, 0.6)  # s around an image's appearance, of a sensor's response


@dataclass(frozen=True, eq=False)
class Segments:
    """What was recorded after each image.

    Args:
        triggers: a row per segment: filepath, timeline, split where there is one, and so on.
        values: the segments of one timeline (a run) -> (n, ..., n_times).
        recording: "Fmri", "Meg" or "Eeg".
        source: a file of the recording, which may know the affine.
        places: "space" of the recording, such as "fsaverage5".
        sensors: names, of M/EEG.
        times: (first, step) in seconds from the onset of the image.
    """

    triggers: Any
    values: Any
    recording: str
    source: str
    places: str
    sensors: list[str]
    times: tuple[float, float]


def load_segments(
    root: Path,
    study: str,
    subject: str,
    recording: str,
    window: tuple[float, float] | None,
    query: str,
    extractor: Mapping[str, Any],
) -> Segments:
    """The segments of one subject of a study.

    Args:
        root: folder in which the study keeps its data.
        study: its name, as in ``Study.catalog()``.
        subject: as in its events, with or without the study's name in front; "" where there is one.
        recording: "Fmri", "Meg" or "Eeg"; "" where there is one.
        window: first and last second after an image's onset; None is 4 s and one volume, or 0 to 0.6 s of M/EEG.
        query: chooses events, in neuralset's own language; "" takes all.
        extractor: options of neuralset's extractor.

    Raises:
        ModuleNotFoundError: neuralset is not installed (it needs Python 3.12).
        ValueError: an unknown study, subject or recording, no images, or an option that the extractor does not take.
    """
    neuralset = require("neuralset", "the data set 'neuralset'", "neuralset neuralfetch")
    known = neuralset.Study.catalog()
    if study not in known:
        near = nearest(study, known)
        raise ValueError(
            f"neuralset has no study {study!r} among its {len(known)}."
            + (f" Did you mean {near!r}?" if near else "")
            + " A study of your own is known once its module is imported."
        )
    events = neuralset.Study(name=study, path=str(root), **({"query": query} if query else {})).run()
    events, recording = chosen_events(events, subject, recording, study)
    first = events[events.type == recording].iloc[0]
    step = 1 / float(first.frequency)
    start, stop = window if window is not None else (LAG, LAG + step) if recording == "Fmri" else EPOCH
    options = {**({"cleaning": None} if recording == "Fmri" else {}), **extractor}
    try:
        reader = getattr(neuralset.extractors, f"{recording}Extractor")(**options)
    except (TypeError, ValueError) as error:  # pydantic's errors are ValueErrors of many lines
        line = " ".join(str(error).split())[:200]
        raise ValueError(f"the options {options} of neuralset's {recording}Extractor: {line}") from error
    segmenter = neuralset.Segmenter(
        extractors={"response": reader}, start=start, duration=stop - start, trigger_query='type=="Image"'
    )
    segments = segmenter.apply(events)
    segments.prepare()
    triggers = segments.triggers

    def values(timeline: str) -> np.ndarray:
        return segments.select((triggers.timeline == timeline).to_numpy()).load_all().data["response"].numpy()

    channels = getattr(reader, "_channels", None) or {}
    return Segments(triggers.reset_index(drop=True), values, recording, str(first.filepath),
                    str(first.get("space", "") or ""), sorted(channels, key=channels.get), (start, step))  # fmt: skip


def chosen_events(events: Any, subject: str, recording: str, study: str) -> tuple[Any, str]:
    """The events of one subject, and the kind of recording, once there are images with a recording.

    Args:
        events: a table with the columns type, subject, filepath and so on.
        subject, recording: as asked for, "" where there is one.
        study: for messages.

    Raises:
        ValueError: several subjects or recordings and none chosen, unknown ones, or no images.
    """
    subjects = list(dict.fromkeys(events.subject))
    same = [name for name in subjects if not subject or str(subject) in (name, name.split("/", 1)[-1])]
    if len(same) != 1:
        problem = f"no subject {subject!r}" if not same else f"{len(same)} subjects; choose one with subject="
        listing = ", ".join(name.split("/", 1)[-1] for name in subjects[:20])
        raise ValueError(f"{study} has {problem}. There are: {listing}{', ...' * (len(subjects) > 20)}.")
    events = events[events.subject == same[0]]
    kinds = set(events.type)
    if "Image" not in kinds:
        other = ", ".join(sorted(kinds & set(LATER))) or "none that is known"
        raise ValueError(
            f"{study} shows no images (stimuli: {other}): only images are read so far; text, sound and video come "
            "later."
        )
    found = [kind for kind in RECORDINGS if kind in kinds]
    if recording and recording not in found:
        raise ValueError(
            f"{study} has no recording {recording!r} of this subject; it has {', '.join(found) or 'none'}."
        )
    if len(found) != 1 and not recording:
        problem = "several recordings; choose one with recording=" if found else "no recording of fMRI, MEG or EEG"
        raise ValueError(f"{study} has {problem}: {', '.join(found or sorted(kinds))}.")
    return events[events.type.isin(["Image", recording or found[0]])], recording or found[0]


def blocks_of(segments: Segments, inside: np.ndarray | None) -> Iterator[np.ndarray]:
    """(n, n_columns) of one timeline after the other, in the order of the triggers.

    Volumes of a segment are averaged; of sensors every time is a column.
    """
    for timeline in dict.fromkeys(segments.triggers.timeline):
        values = segments.values(timeline)
        if segments.recording != "Fmri":
            yield values.reshape(len(values), -1)
        else:
            flat = values.mean(-1).reshape(len(values), -1)
            yield flat if inside is None else flat[:, inside.reshape(-1)]


def space_of(segments: Segments) -> tuple[BrainSpace, np.ndarray | None]:
    """Where the columns are, and which places of a volume or surface they are: those that vary in the first run."""
    first = segments.values(segments.triggers.timeline.iloc[0])
    if segments.recording != "Fmri":
        start, step = segments.times
        names = segments.sensors or [f"sensor {i + 1}" for i in range(first.shape[1])]
        return sensor_space(names, start + step * np.arange(first.shape[2])), None
    means = first.mean(-1)
    inside = np.isfinite(means).all(0) & (means != means[0]).any(0) if len(means) > 1 else np.isfinite(means[0])
    if not inside.any():
        raise ValueError(f"{segments.source}: no voxel varies in the first run.")
    if inside.ndim == 3:
        affine = _affine(segments.source, inside.shape)
        if affine is not None:
            return BrainSpace(mask=torch.from_numpy(inside), affine=torch.from_numpy(affine)), inside
    mesh = next(
        (m for m, n in VERTICES_PER_HEMISPHERE.items() if m.startswith("fsaverage") and 2 * n == inside.size), ""
    )
    if inside.ndim == 1 and mesh and segments.places.lower().startswith("fsaverage"):
        return surface_space(torch.from_numpy(np.flatnonzero(inside)), mesh), inside
    return BrainSpace.free(int(inside.sum())), inside


def _affine(path: str, shape: tuple[int, ...]) -> np.ndarray | None:
    """Of a NIfTI file on this grid; None where the recording is another file, or was brought to another grid."""
    if not path.endswith((".nii", ".nii.gz")) or not Path(path).is_file():
        return None
    import nibabel

    image = nibabel.load(path)
    return np.asarray(image.affine) if image.shape[:3] == shape else None

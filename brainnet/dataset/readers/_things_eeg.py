"""The files of THINGS-EEG2: trials in pickled dicts, and the list of photographs, one for each row of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from brainnet.dataset.readers._checked import check_subject, expect_shape, expect_type
from brainnet.dataset.readers._meeg import Kept, Recording, ceiling_of_trials, mean_of_repeats
from brainnet.dataset.readers._pickles import read_pickle

DATA = "preprocessed_eeg_data"
METADATA = "image_metadata.npy"


def read_recording(root: Path, subject: int, images: str, keep: Mapping[str, Any]) -> Recording:
    """One person's responses; the trials of a part are let go before the next part is read."""
    check_subject(subject, range(1, 11))
    shown = {part: read_shown(root / images, part) for part in ("training", "test")}
    responses, ceiling, kept = [], None, None
    for part, images_of in shown.items():
        trials, chosen = read_trials(root, subject, part, keep, len(images_of.paths))
        if kept is not None and (chosen.names != kept.names or not np.allclose(chosen.times, kept.times)):
            raise ValueError(
                f"{recording_of(root, subject, part)} has other sensors or times than the training part: "
                f"{len(chosen.names)} x {len(chosen.times)}, and {len(kept.names)} x {len(kept.times)}."
            )
        kept = chosen
        responses.append(mean_of_repeats(trials, kept))
        if part == "test":
            ceiling = ceiling_of_trials(trials, kept)
        del trials
    n_training = len(shown["training"].paths)
    ids = [path.stem for one in shown.values() for path in one.paths]
    return Recording(
        ids,
        torch.cat(responses),
        kept,
        np.arange(len(ids)) >= n_training,
        [concept for one in shown.values() for concept in one.concepts],
        [path for one in shown.values() for path in one.paths],
        ceiling,
    )


class Shown(NamedTuple):
    """The pictures of a part in the order of its rows, and what each shows."""

    paths: list[Path]
    concepts: list[str]


def read_shown(folder: Path, part: str) -> Shown:
    """Which picture is which row of a part, "training" or "test".

    Raises:
        FileNotFoundError: no list of pictures.
        ValueError: the list is damaged or lacks an entry.
    """
    path = folder / METADATA
    found = read_pickle(path, "pickled dict of lists of pictures")
    entries = {}
    for kind in ("concepts", "files"):
        key = f"{'train' if part == 'training' else part}_img_{kind}"
        if not isinstance(found, dict) or key not in found:
            held = f"{', '.join(map(str, found))}" if isinstance(found, dict) else f"{type(found).__name__}"
            raise ValueError(f"{path} has no entry {key!r}; it holds {held}.")
        entries[kind] = [str(name) for name in found[key]]
    if len(entries["concepts"]) != len(entries["files"]):
        raise ValueError(
            f"{path} lists {len(entries['files'])} {part} pictures of {len(entries['concepts'])} concepts; expected "
            "one concept a picture."
        )
    pairs = list(zip(entries["concepts"], entries["files"], strict=True))
    paths = [folder / f"{part}_images" / concept / file for concept, file in pairs]
    return Shown(paths, [concept.partition("_")[2] or concept for concept, _ in pairs])


def recording_of(root: Path, subject: int, part: str) -> Path:
    """The file of a part, in the folder of the subject or one further down."""
    name = f"sub-{subject:02d}/preprocessed_eeg_{part}.npy"
    below = [root, root / "preprocessed_data", *sorted(root.glob("Preprocessed_data*"))]
    return next((folder / name for folder in below if (folder / name).is_file()), root / name)


def read_trials(
    root: Path, subject: int, part: str, keep: Mapping[str, Any], n_images: int | None = None
) -> tuple[np.ndarray, Kept]:
    """Trials (n_images, n_repeats, n_sensors, n_samples), and what is kept of them.

    Raises:
        FileNotFoundError: no such file.
        ValueError: an entry is missing, or of another shape or type.
    """
    path = recording_of(root, subject, part)
    found = read_pickle(path, "pickled dict of EEG")
    missing = [key for key in (DATA, "ch_names", "times") if not isinstance(found, dict) or key not in found]
    if missing:
        held = ", ".join(map(str, found)) if isinstance(found, dict) else type(found).__name__
        raise ValueError(f"{path} has no entry {missing[0]!r}; it holds {held}.")
    names, times = [str(name) for name in found["ch_names"]], np.asarray(found["times"], np.float64)
    trials = np.asarray(found[DATA])
    expect_type(path, trials.dtype, "f", "EEG is real numbers")
    expect_shape(path, trials.shape, (n_images, None, len(names), len(times)), "images, repeats, sensors, times")
    if not np.isfinite(trials).all():
        raise ValueError(f"{path} holds {int((~np.isfinite(trials)).sum())} values that are not finite; expected none.")
    return trials, Kept.of(names, times, **keep)

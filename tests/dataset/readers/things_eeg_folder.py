"""Folders laid out as THINGS-EEG2 and THINGS-EEG1 are, small in pictures and sensors, whose content is known."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

SENSORS = ("Pz", "P3", "Oz", "O1")
TIMES = np.round(np.arange(-0.02, 0.06, 0.01), 2)  # 100 Hz


class Planted(NamedTuple):
    """What the files hold."""

    root: Path
    files: dict[str, list[str]]  # part -> file names
    trials: dict[str, np.ndarray]  # part -> (n_images, n_repeats, n_sensors, n_times)


def write_pictures(folder: Path, names: list[str], size: int = 16, seed: int = 0) -> None:
    """Photographs of two scales of blots."""
    generator = np.random.default_rng(seed)
    for name in names:
        coarse = generator.uniform(0, 1, (2, 2, 3)).repeat(size // 2, 0).repeat(size // 2, 1)
        fine = generator.uniform(0, 1, (size // 2, size // 2, 3)).repeat(2, 0).repeat(2, 1)
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((255 * (coarse + fine) / 2).astype(np.uint8)).save(path, quality=95)


def names_of(n_concepts: int, n_images: int, first: str) -> list[str]:
    """File names of some concepts, so many of each."""
    return [f"{first}{c}_{k + 1:02d}b.jpg" for c in range(n_concepts) for k in range(n_images)]


def write_things_eeg2(
    root: Path,
    subject: int = 1,
    signal: dict[str, np.ndarray] | None = None,
    *,
    n_concepts: int = 8,
    n_images: int = 2,
    n_test: int = 5,
    repeats: tuple[int, int] = (4, 6),
    noise: float = 0.5,
    pickled: bool = False,
    seed: int = 0,
) -> Planted:
    """Writes one person.

    Args:
        root: the folder.
        subject: the number.
        signal: file name -> (n_sensors, n_times); None draws it.
        n_concepts, n_images, n_test: training concepts, photographs of each, and test photographs.
        repeats: presentations of a training and of a test photograph.
        noise: SD of what each presentation adds.
        pickled: dump the dicts as pickles, as NICE-EEG does.
        seed: of everything random.
    """
    generator = np.random.default_rng(seed + subject)
    files = {"training": names_of(n_concepts, n_images, "dog"), "test": names_of(n_test, 1, "lamp_post")}
    folder = root / "image_set"
    metadata, trials = {}, {}
    for part, names in files.items():
        concepts = {}
        for name in names:
            concept = name.rpartition("_")[0]
            concepts.setdefault(concept, f"{len(concepts) + 1:05d}_{concept}")
        of = [concepts[name.rpartition("_")[0]] for name in names]
        short = "train" if part == "training" else part
        metadata |= {f"{short}_img_concepts": of, f"{short}_img_concepts_THINGS": of, f"{short}_img_files": names}
        if not (folder / f"{part}_images").exists():
            pictures = [f"{c}/{n}" for c, n in zip(of, names, strict=True)]
            write_pictures(folder / f"{part}_images", pictures, seed=part == "test")
        shape = (len(SENSORS), len(TIMES))
        clean = np.stack([signal[name] if signal else generator.normal(size=shape) for name in names])
        n = repeats[part == "test"]
        trials[part] = clean[:, None] + noise * generator.normal(size=(len(names), n, *shape))
        content = {"preprocessed_eeg_data": trials[part], "ch_names": list(SENSORS), "times": TIMES}
        path = root / f"sub-{subject:02d}/preprocessed_eeg_{part}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        if pickled:
            path.write_bytes(pickle.dumps(content, protocol=4))
        else:
            np.save(path, content)
    np.save(folder / "image_metadata.npy", metadata)
    return Planted(root, files, trials)


def write_things_eeg1(root: Path, subject: int = 2, *, n_concepts: int = 6, n_test: int = 3, seed: int = 0):
    """Writes one person's recording: 100 Hz, onsets 100 ms apart; returns the data and what was shown in order."""
    from scipy.io import savemat

    generator = np.random.default_rng(seed)
    main, test = names_of(n_concepts, 2, "dog"), names_of(n_test, 1, "lamp")
    shown = generator.permutation([*main, *test * 4])
    rate, gap, start = 100, 10, 50
    onsets = start + gap * np.arange(len(shown))
    data = generator.normal(size=(len(SENSORS), start + gap * len(shown) + 120)).astype(np.float32)
    folder, name = root / "derivatives/eeglab", f"sub-{subject:02d}_task-rsvp_continuous"
    folder.mkdir(parents=True)
    data.T.tofile(folder / f"{name}.fdt")
    labels = np.zeros(len(SENSORS), dtype=[("labels", object)])
    labels["labels"] = SENSORS
    events = np.zeros(len(shown) + 1, dtype=[("type", object), ("latency", float), ("duration", float)])
    events["type"] = ["E  3", *["E  1"] * len(shown)]
    events["latency"] = [5, *(onsets + 1)]  # counted from 1
    events["duration"] = 1
    eeg = {
        "setname": name, "nbchan": len(SENSORS), "trials": 1, "pnts": data.shape[1], "srate": float(rate), "xmin": 0.0,
        "xmax": (data.shape[1] - 1) / rate, "data": f"{name}.fdt", "chanlocs": labels, "event": events,
        "epoch": np.empty(0), "icawinv": np.empty(0), "icasphere": np.empty(0), "icaweights": np.empty(0),
        "comments": "", "ref": "Cz",
    }  # fmt: skip
    savemat(folder / f"{name}.set", {"EEG": eeg})
    table = root / f"sub-{subject:02d}/eeg/sub-{subject:02d}_task-rsvp_events.tsv"
    table.parent.mkdir(parents=True)
    rows = ["onset\tduration\teventnumber\tisteststim\tobjectnumber\tstim"]
    for number, (onset, file) in enumerate(zip(onsets, shown, strict=True)):
        is_test = int(file in test)
        place = f"test_images\\{file}" if is_test else f"stimuli\\{file.rpartition('_')[0]}\\{file}"
        rows.append(f"{10 * onset}\t50\t{number}\t{is_test}\t{-1 if is_test else 3}\t{place}")
    table.write_text("\n".join(rows) + "\n")
    write_pictures(root / "object_images", [f"{file.rpartition('_')[0]}/{file}" for file in [*main, *test]])
    return data, shown, onsets

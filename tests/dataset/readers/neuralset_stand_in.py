"""A stand-in for neuralset where Python is older: a study's recorded table of events, and segments cut from its files.

``write_study`` writes the files; ``events`` is the table that neuralset 0.4.0 gives for such a study; ``stand_in`` is
a module with those of its names that the reader uses, which cuts segments as neuralset does.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import nibabel
import numpy as np
import pandas as pd
import torch
from PIL import Image

N_IMAGES, N_SHOWN, TR, N_VOLUMES = 7, 6, 2.0, 40
AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])


def write_study(root: Path, name="Toy2026", subjects=("01", "02"), shape=(3, 4, 2)) -> Path:
    """Two runs a person: images im1.png to im6.png in the first, im2.png to im6.png and im0.png in the second."""
    home = root / name
    home.mkdir(parents=True, exist_ok=True)
    for i in range(N_IMAGES):
        Image.new("RGB", (8, 8), (20 * i, 0, 99)).save(home / f"im{i}.png")
    for subject in subjects:
        for run in "12":
            data = np.random.default_rng(int(subject + run)).normal(size=(*shape, N_VOLUMES)).astype(np.float32)
            image = nibabel.Nifti1Image(data, AFFINE)
            image.header["pixdim"][4] = TR
            nibabel.save(image, home / f"sub-{subject}_run-{run}.nii.gz")
    return home


def shown(run: int) -> list[int]:
    """Numbers of the images of a run, in order; each 10 s after the one before, from 4 s on."""
    return [(k + run) % N_IMAGES for k in range(N_SHOWN)]


def events(home: Path, subjects=("01", "02"), kind="Fmri", stimulus="Image") -> pd.DataFrame:
    """The table as neuralset gives it; the columns that the reader does not use are left out."""
    rows = []
    for subject in subjects:
        for run in "12":
            line = {
                "subject": f"{home.name}/{subject}",
                "run": run,
                "timeline": f"{home.name}:run={run},subject={subject}",
            }
            file = home / f"sub-{subject}_run-{run}.nii.gz"
            rows.append({**line, "type": kind, "start": 0.0, "duration": 80.0, "filepath": str(file),
                         "frequency": 1 / TR, "space": "custom", "split": np.nan})  # fmt: skip
            for k, image in enumerate(shown(int(run))):
                split = "test" if image < 2 else "train"
                rows.append({**line, "type": stimulus, "start": 4.0 + 10 * k, "duration": 1.0, "frequency": 0.0,
                             "filepath": str(home / f"im{image}.png"), "space": np.nan, "split": split})  # fmt: skip
    return pd.DataFrame(rows)


class Segments:
    """As neuralset's SegmentDataset."""

    def __init__(self, triggers, recordings, start, duration):
        self.triggers, self.recordings, self.start, self.duration = triggers, recordings, start, duration

    def prepare(self):
        pass

    def select(self, mask):
        return Segments(self.triggers[mask], self.recordings, self.start, self.duration)

    def load_all(self):
        found = []
        for _, trigger in self.triggers.iterrows():
            file = self.recordings[self.recordings.timeline == trigger.timeline].iloc[0]
            first = round((trigger.start + self.start) * file.frequency)
            data = np.asarray(nibabel.load(file.filepath).dataobj, dtype=np.float32)
            found.append(data[..., first : first + max(1, round(self.duration * file.frequency))])
        return SimpleNamespace(data={"response": torch.from_numpy(np.stack(found))})


def stand_in(table: pd.DataFrame, name="Toy2026") -> SimpleNamespace:
    """A module of neuralset's names that knows one study."""

    class Study:
        def __init__(self, name, path, query=None):
            self.query = query

        @staticmethod
        def catalog():
            return {name: Study}

        def run(self):
            return table if self.query is None else table.query(self.query)

    class Segmenter:
        def __init__(self, extractors, start, duration, trigger_query):
            assert trigger_query == 'type=="Image"'
            self.kind, self.start, self.duration = extractors["response"].kind, start, duration

        def apply(self, given):
            assert set(given.type) == {"Image", self.kind}
            return Segments(given[given.type == "Image"], given[given.type == self.kind], self.start, self.duration)

    class FmriExtractor:
        kind = "Fmri"

        def __init__(self, cleaning=None):
            pass

    class EegExtractor:
        kind = "Eeg"

        def __init__(self, baseline=None):
            self._channels = {"Oz": 0, "Pz": 1, "O1": 2}

    extractors = SimpleNamespace(FmriExtractor=FmriExtractor, EegExtractor=EegExtractor)
    return SimpleNamespace(Study=Study, Segmenter=Segmenter, extractors=extractors)

"""Four people who watched Friends and four films: the Algonauts 2025 challenge (CNeuroMod), in 1,000 parcels.

    <root>/fmri/sub-01/func/
        sub-01_task-friends_space-MNI152NLin2009cAsym_atlas-Schaefer18_parcel-1000Par7Net_desc-s123456_bold.h5
        sub-01_task-movie10_space-MNI152NLin2009cAsym_atlas-Schaefer18_parcel-1000Par7Net_bold.h5
    <root>/fmri/sub-01/atlas/*_desc-dseg_parcellation.nii.gz     (optional) where the parcels are
    <root>/stimuli/transcripts/friends/s1/friends_s01e02a.tsv    (optional) what was said during each volume

A file holds a data set (volumes, 1000) per run, called "ses-001_task-s01e02a", or "ses-001_task-life01_run-2" of the
two films that were shown twice.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch

from brainnet._checks import warn_once
from brainnet._files import reading
from brainnet.dataset.about import About
from brainnet.dataset.readers._checked import check_subject, expect_shape, expect_type, read_columns, read_volume
from brainnet.dataset.readers.lebel import chosen
from brainnet.dataset.readers.time_series import names_of
from brainnet.dataset.settings import settings_of
from brainnet.dataset.shown import in_context
from brainnet.dataset.time_series import Cleaning, TimeSeries, Window
from brainnet.space import BrainSpace

TR, PARCELS, SUBJECTS = 1.49, 1000, (1, 2, 3, 5)
ENTITIES = re.compile(r"(?:^|_)task-([A-Za-z0-9]+)(?:_run-(\d+))?$")

ABOUT = About(
    title="Algonauts 2025 (CNeuroMod)",
    kind="fMRI",
    what="Four people watched six seasons of Friends and four films, two of them twice, in a 3 T scanner, a volume "
    "every 1.49 s. Responses are means over the 1,000 parcels of Schaefer's atlas.",
    where="https://github.com/courtois-neuromod/algonauts_2025.competitors (DataLad; see https://algonautsproject.com).",
    terms="CC0.",
    size="The responses of a person take 0.6 GB.",
    layout="""fmri/sub-01/func/sub-01_task-friends_space-MNI152NLin2009cAsym_atlas-Schaefer18_parcel-1000Par7Net_desc-s123456_bold.h5
fmri/sub-01/func/sub-01_task-movie10_space-MNI152NLin2009cAsym_atlas-Schaefer18_parcel-1000Par7Net_bold.h5
fmri/sub-01/atlas/*_desc-dseg_parcellation.nii.gz
stimuli/transcripts/friends/s1/friends_s01e01a.tsv""",
    steps=("Install the data set with DataLad, and fetch fmri/sub-0X: a plain clone of git leaves broken links.",),
    needs=("fmri/sub-{subject:02d}/func/*_task-friends_*_bold.h5",),
    cite="""@article{gifford2025algonauts,
  title={The Algonauts Project 2025 Challenge: How the human brain makes sense of multimodal movies},
  author={Gifford, Alessandro T. and Bersch, Domenic and St-Laurent, Marie and Pinsard, Basile and Boyle, Julie and
          Bellec, Lune and Oliva, Aude and Roig, Gemma and Cichy, Radoslaw M.},
  journal={arXiv preprint arXiv:2501.00504}, year={2025}
}""",
    verified="Run on files in the published layout that the tests write; nobody has run it on the real files yet.",
)


class Algonauts2025(TimeSeries):
    """One person of Friends and the films; a run is called as its piece of film, "s01e02a" or "bourne01".

    A piece that was shown twice is one run with two repeats, cut to the shorter of them. Where there are transcripts of
    all runs, a network of text reads what was said.

    Args:
        root: folder in which ``fmri`` lies.
        subject: 1, 2, 3 or 5.
        runs: those to read, names or patterns such as "s01*", with commas or in a list; "" takes all there are.
        test, val: runs that are held out, likewise.
        degree: of the polynomial of slow drifts that is taken off each run; None takes off none.
        scale: "run" z-scores each run by its own mean and SD, "training" divides by the SD of the training runs,
            and "none" leaves the scale.
        cutoff: seconds; slower cosines are taken off each run. None takes off none.
        block: seconds of the blocks that tests and intervals draw whole.
        context: how many texts before that of a volume a network of text reads with it.

    Raises:
        FileNotFoundError: no responses of that person.
        ValueError: a file of another shape or type, or a run without a name; names it.
    """

    about = ABOUT
    kind = "text"  # of the transcripts

    def __init__(
        self, root: str | os.PathLike, subject: int = 1, *, runs: Any = "", test: Any = "s06*", val: Any = "",
        degree: int | None = 1, scale: str = "run", cutoff: float | None = None, block: float = 40.0,
        context: int = 20,
    ):  # fmt: skip
        check_subject(subject, SUBJECTS)
        self.root, self.subject = Path(root), int(subject)
        folder = self.root / "fmri" / f"sub-{self.subject:02d}"
        files = sorted((folder / "func").glob(f"sub-{self.subject:02d}_task-*_bold.h5"))
        if not files:
            raise FileNotFoundError(f"no {folder}/func/*_task-*_bold.h5: the responses of person {subject}.")
        places = _runs(files)
        known = list(places)
        held_out = {split: chosen(names, known, split) for split, names in (("test", test), ("val", val))}
        wanted = chosen(runs, known, "runs") if names_of(runs) else known
        wanted = [name for name in known if name in {*wanted, *held_out["test"], *held_out["val"]}]
        read = {name: _read(places[name]) for name in wanted}
        said = {name: _said(self.root, name, values.shape[-2]) for name, values in read.items()}
        known = all(said.values())
        windows = {
            name: [Window(volume * TR, TR, f"{name}/{volume:04d}") for volume in spoken]
            for name, spoken in said.items()
        }
        super().__init__(
            read, TR, **held_out, space=_space(folder / "atlas"), stimuli=windows if known else None,
            cleaning=Cleaning(degree, scale, cutoff), block=block,
        )  # fmt: skip
        if known:
            texts = {f"{name}/{volume:04d}": text for name, spoken in said.items() for volume, text in spoken.items()}
            self.shown = in_context(self.stimuli, texts, context)

    from_settings = settings_of(__init__)


def _runs(files: list[Path]) -> dict[str, list[tuple[Path, str]]]:
    """Piece of film -> the (file, data set) of each time it was shown, in order."""
    import h5py

    found: dict[str, dict[int, tuple[Path, str]]] = {}
    for path in files:
        with reading(path, "HDF5 file"), h5py.File(path, "r") as file:
            names = list(file)
        for name in names:
            match = ENTITIES.search(name)
            if match is None:
                raise ValueError(f"{path} has a data set {name!r}, whose name has no task, as in ses-001_task-s01e02a.")
            shown = found.setdefault(match[1], {})
            number = int(match[2] or 1)
            if number in shown:
                raise ValueError(f"{path}: the run {match[1]!r} is there twice, as {shown[number][1]!r} and {name!r}.")
            shown[number] = (path, name)
    return {task: [shown[number] for number in sorted(shown)] for task, shown in sorted(found.items())}


def _read(places: list[tuple[Path, str]]) -> np.ndarray:
    """(n_volumes, 1000), or (n_repeats, n_volumes, 1000) of a piece that was shown more than once."""
    import h5py

    repeats = []
    for path, name in places:
        with reading(path, "HDF5 file"), h5py.File(path, "r") as file:
            values = file[name][()]
        expect_type(path, values.dtype, "f", f"{name} is real numbers")
        expect_shape(path, values.shape, (None, PARCELS), f"{name}: volumes, parcels")
        repeats.append(np.asarray(values, np.float32))
    if len(repeats) == 1:
        return repeats[0]
    shortest = min(map(len, repeats))
    if len({*map(len, repeats)}) > 1:
        warn_once(f"cut {places[0][1]}", f"{places[0][1]}: repeats last {[*map(len, repeats)]} volumes, and are cut to "
                  f"{shortest}.")  # fmt: skip
    return np.stack([part[:shortest] for part in repeats])


def _said(root: Path, run: str, n_volumes: int) -> dict[int, str]:
    """Volume -> what was said during it, of those with words; empty without a transcript."""
    path = next(iter(sorted((root / "stimuli" / "transcripts").glob(f"*/*/*_{run}.tsv"))), None)
    if path is None:
        return {}
    texts = read_columns(path, ("text_per_tr",), sep="\t")["text_per_tr"]
    return {volume: text.strip() for volume, text in enumerate(texts[:n_volumes]) if text.strip()}


def _space(folder: Path) -> BrainSpace:
    """The centers of the parcels in mm, where the parcellation is there."""
    path = next(iter(sorted(folder.glob("*_desc-dseg_parcellation.nii.gz"))), None)
    if path is None:
        return BrainSpace.free(PARCELS)
    labels, affine = read_volume(path)
    numbers = np.rint(labels).astype(int)
    if not np.array_equal(np.unique(numbers[numbers != 0]), np.arange(1, PARCELS + 1)):
        raise ValueError(f"{path} holds other labels than 1 to {PARCELS}.")
    inside = np.argwhere(numbers > 0)
    label = numbers[tuple(inside.T)] - 1
    count = np.bincount(label, minlength=PARCELS)
    centers = np.stack([np.bincount(label, inside[:, axis], PARCELS) / count for axis in range(3)], axis=1)
    return BrainSpace(coords=torch.from_numpy(centers @ affine[:3, :3].T + affine[:3, 3]).float())

"""The Little Prince in three languages: people who listened to an audiobook (OpenNeuro ds003643).

    <root>/derivatives/sub-EN057/func/sub-EN057_task-lppEN_run-15_space-MNIColin27_desc-preproc_bold.nii.gz
           annotation/EN/lppEN_word_information.csv         word, onset, offset, section

The number of a run is not that of its section: the files of a person in the order of their runs are the sections in
theirs. Both clocks begin with the sound.
"""

from __future__ import annotations

import os
import re
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

from brainnet._checks import check_word, warn_once
from brainnet._files import reading
from brainnet.dataset.about import About, Download
from brainnet.dataset.readers._checked import (
    check_memory,
    expect_shape,
    numbers,
    read_columns,
    read_mask,
    read_volumes,
    there,
)
from brainnet.dataset.readers.lebel import chosen
from brainnet.dataset.settings import settings_of
from brainnet.dataset.shown import in_context
from brainnet.dataset.time_series import Cleaning, LazyRun, TimeSeries, Window
from brainnet.space import BrainSpace

TR, LANGUAGES = 2.0, ("EN", "CN", "FR")
BUCKET = "https://s3.amazonaws.com/openneuro.org/ds003643"
WORDS = "annotation/{subject:.2}/lpp{subject:.2}_word_information.csv"  # the language is how the name begins

ABOUT = About(
    title="Le Petit Prince (Li et al. 2022)",
    kind="fMRI",
    what="49 English, 35 Chinese and 28 French speakers listened to the audiobook of The Little Prince, in nine "
    "sections, in a 3 T scanner, a volume every 2 s.",
    where="https://openneuro.org/datasets/ds003643, without a form.",
    terms="CC0.",
    size="All preprocessed people take about 140 GB.",
    layout="""derivatives/sub-EN057/func/sub-EN057_task-lppEN_run-15_space-MNIColin27_desc-preproc_bold.nii.gz
annotation/EN/lppEN_word_information.csv""",
    downloads=(
        Download("derivatives/sub-{subject}/func", BUCKET + "/derivatives/sub-{subject}/func/",
                 files="*_desc-preproc_bold.nii.gz"),
        Download(WORDS, f"{BUCKET}/{WORDS}"),
    ),
    needs=("derivatives/sub-{subject}/func/*_desc-preproc_bold.nii.gz",),
    cite="""@article{li2022petit,
  title={Le Petit Prince multilingual naturalistic f{MRI} corpus},
  author={Li, Jixing and Bhattasali, Shohini and Zhang, Shulin and Franzluebbers, Berta and Luh, Wen-Ming and
          Spreng, R. Nathan and Brennan, Jonathan R. and Yang, Yiming and Pallier, Christophe and Hale, John},
  journal={Scientific Data}, volume={9}, pages={530}, year={2022}
}""",
    verified="Run on folders in the published layout that the tests write; nobody has run it on the real files yet. "
    "Nothing was fetched from the bucket yet.",
)  # fmt: skip


class LePetitPrince(TimeSeries):
    """One listener of The Little Prince; a run is a section of the book, "section1" to "section9".

    Args:
        root: folder of the data set.
        subject: such as "EN057"; its first two letters are the language, EN, CN or FR.
        test, val: sections that are held out, names or patterns, with commas or in a list.
        mask: NIfTI file on the grid of the responses, not zero within the brain; "" takes the voxels that vary in the
            first section.
        degree: of the polynomial of slow drifts that is taken off each run; None takes off none.
        scale: "run" z-scores each run by its own mean and SD, "training" divides by the SD of the training runs,
            and "none" leaves the scale.
        cutoff: seconds; slower cosines are taken off each run. None takes off none.
        block: seconds of the blocks that tests and intervals draw whole.
        context: how many words of the section before a word a network of text reads with it.

    Attributes:
        words: section -> its words; ``stimuli`` has their windows by the names "section1/00000".

    Raises:
        FileNotFoundError: a file or folder is missing; names it.
        ValueError: a file of another shape, or other numbers of sections and runs; names it.
    """

    about = ABOUT
    kind = "text"  # of what was heard or read

    def __init__(
        self, root: str | os.PathLike, subject: str = "EN057", *, test: Any = "section9", val: Any = "section8",
        mask: str = "", degree: int | None = 1, scale: str = "run", cutoff: float | None = None, block: float = 40.0,
        context: int = 20,
    ):  # fmt: skip
        self.root, self.subject = Path(root), str(subject).removeprefix("sub-")
        language = self.subject[:2].upper()
        check_word("language at the beginning of subject", language, LANGUAGES)
        files = _files(self.root / "derivatives" / f"sub-{self.subject}" / "func")
        spoken = _words(self.root / "annotation" / language / f"lpp{language}_word_information.csv")
        if len(spoken) != len(files):
            raise ValueError(
                f"{self.root} has words of {len(spoken)} sections, and {len(files)} runs of {self.subject}: a run is "
                "told by its place among all of them, so that none may be missing."
            )
        names = list(spoken)
        with reading(files[0], "NIfTI file"):
            import nibabel

            grid = nibabel.load(files[0])
        inside = _inside(files[0], mask)
        runs = {}
        for name, path in zip(names, files, strict=True):
            with reading(path, "NIfTI file"):
                shape = nibabel.load(path).shape
            expect_shape(path, shape, (*inside.shape, None), "x, y, z, volumes")
            runs[name] = LazyRun((shape[3], int(inside.sum())), partial(read_volumes, path, inside))
        check_memory(sum(run.shape[0] for run in runs.values()), int(inside.sum()), 0)
        self.words = {name: [text for *_, text in said] for name, said in spoken.items()}
        windows = {
            name: [Window(start, end - start, f"{name}/{i:05d}") for i, (start, end, _) in enumerate(said)]
            for name, said in spoken.items()
        }
        super().__init__(
            runs, TR, test=chosen(test, names, "test"), val=chosen(val, names, "val"), stimuli=windows,
            space=BrainSpace(mask=torch.from_numpy(inside), affine=torch.from_numpy(np.asarray(grid.affine))),
            cleaning=Cleaning(degree, scale, cutoff), block=block,
        )  # fmt: skip
        texts = {f"{name}/{i:05d}": text for name, said in self.words.items() for i, text in enumerate(said)}
        self.shown = in_context(self.stimuli, texts, context)

    from_settings = settings_of(__init__)


def _files(folder: Path) -> list[Path]:
    """The responses of a person in the order of their runs."""
    found = {}
    for path in folder.glob("*_desc-preproc_bold.nii.gz"):
        match = re.search(r"_run-(\d+)_", path.name)
        if match is None:
            raise ValueError(f"{path} has no number of a run in its name, as in _run-15_.")
        if int(match[1]) in found:
            raise ValueError(
                f"{folder} has two files of run {int(match[1])}: {found[int(match[1])].name}, {path.name}."
            )
        found[int(match[1])] = path
    if not found:
        raise FileNotFoundError(f"no {folder}/*_run-*_desc-preproc_bold.nii.gz: the responses of a person.")
    return [found[number] for number in sorted(found)]


def _inside(path: Path, mask: str) -> np.ndarray:
    """(X, Y, Z) bool, the voxels to keep."""
    import nibabel

    with reading(path, "NIfTI file"):
        image = nibabel.load(path)
        expect_shape(path, image.shape, (None, None, None, None), "x, y, z, volumes")
    if mask:
        inside, _ = read_mask(Path(mask), image.shape[:3])
    else:
        with reading(path, "NIfTI file"):
            some = np.asarray(image.dataobj[..., : min(20, image.shape[3])], np.float32)
        lost = ~np.isfinite(some).all(3)
        if lost.any():
            warn_once(
                f"NaN {path.absolute()}",
                f"{path} holds NaN or infinity in {lost.sum():,} of {lost.size:,} voxels, which are left out.",
            )
        inside = ~lost & (some.std(3) > 0)
    if not inside.any():
        raise ValueError(f"{mask or path} has no voxel within the brain: all are zero or constant.")
    return inside


def _words(path: Path) -> dict[str, list[tuple[float, float, str]]]:
    """Section -> (start, end, word), in seconds; a word ends where the next one begins, and rows without one go."""
    columns = read_columns(there(path), ("word", "onset", "offset", "section"))
    onsets, offsets, sections = (numbers(path, name, columns[name]) for name in ("onset", "offset", "section"))
    found: dict[str, list[tuple[float, float, str]]] = {}
    for number in sorted(set(sections[np.isfinite(sections)].astype(int).tolist())):
        rows = [row for row in np.flatnonzero(sections == number) if columns["word"][row].strip()]
        ends = [*(min(offsets[a], onsets[b]) for a, b in pairwise(rows)), offsets[rows[-1]]]
        late = next((row for row, end in zip(rows, ends, strict=True) if not end > onsets[row]), None)
        if late is not None:
            raise ValueError(
                f"{path}: the word in row {late + 2} begins at {onsets[late]:g} s, and ends or is followed by another "
                "word before."
            )
        found[f"section{number}"] = [
            (float(onsets[row]), float(end), columns["word"][row].strip()) for row, end in zip(rows, ends, strict=True)
        ]
    return found

"""THINGS-MEG: one person's MEG to photographs of objects, averaged over the presentations of each.

<root>/derivatives/preprocessed/preprocessed_P1-epo.fif       epochs; further parts -epo-1.fif, ... beside it
       sourcedata/sample_attributes_P1.csv                    what each epoch showed
       object_images/aardvark/aardvark_01b.jpg                the photographs of THINGS
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brainnet._files import reading
from brainnet._work import progress as show_progress
from brainnet.dataset.about import About, Download
from brainnet.dataset.base import ResponseDataset
from brainnet.dataset.readers._checked import check_memory, check_subject, read_columns, there, told_ceiling
from brainnet.dataset.readers._meeg import AT_ONCE, Kept, split_by_concept
from brainnet.dataset.settings import settings_of
from brainnet.dataset.trials import conditions
from brainnet.stimuli import Images

KINDS = ("exp", "test", "catch")

BUCKET = "https://s3.amazonaws.com/openneuro.org/ds004212"
TABLE = "sourcedata/sample_attributes_P{subject}.csv"

ABOUT = About(
    title="THINGS-MEG",
    kind="MEG",
    what="Four people saw 22,248 photographs of 1,854 objects once and 200 test photographs twelve times, in twelve "
    "sessions. Given are epochs of 271 sensors from -0.1 to 1.3 s at 200 Hz, z-scored by their baseline.",
    where="OpenNeuro ds004212 (version 3). Photographs: https://osf.io/jum2f, whose password is in password_images.txt "
    "there.",
    terms="CC0. The photographs are for research.",
    size="127 GB of preprocessed data of four people; the epochs of a person are 8.2 GB of numbers. The raw data take "
    "1.15 TB.",
    layout="""derivatives/preprocessed/preprocessed_P1-epo.fif
derivatives/preprocessed/preprocessed_P1-epo-1.fif
sourcedata/sample_attributes_P1.csv
object_images/aardvark/aardvark_01b.jpg""",
    steps=(
        "Download derivatives/preprocessed/preprocessed_P1-epo*.fif and sourcedata/sample_attributes_P1.csv of "
        "OpenNeuro ds004212.",
        "Download images_THINGS.zip from https://osf.io/jum2f and unpack it, so that object_images lies beside them.",
    ),
    needs=("derivatives/preprocessed/preprocessed_P{subject}-epo.fif", "sourcedata/sample_attributes_P{subject}.csv",
           "object_images/*/*.jpg"),
    downloads=(
        Download("derivatives/preprocessed", f"{BUCKET}/derivatives/preprocessed/",
                 files="preprocessed_P{subject}-epo*.fif"),
        Download(TABLE, f"{BUCKET}/{TABLE}"),
    ),
    cite="""@article{hebart2023things,
  title={{THINGS}-data, a multimodal collection of large-scale datasets for investigating object representations in
         human brain and behavior},
  author={Hebart, Martin N. and Contier, Oliver and Teichmann, Lina and Rockter, Adam H. and Zheng, Charles Y. and
          others},
  journal={eLife}, volume={12}, pages={e82580}, year={2023}, doi={10.7554/eLife.82580}
}""",
    verified="Run on folders in the published layout that the tests write; nobody has run it on the real files yet. "
    "Nothing was fetched from the bucket yet.",
)  # fmt: skip


class ThingsMEG(ResponseDataset):
    """One person of THINGS-MEG; a response column is a sensor at a time.

    Image ids are file names without suffix, "aardvark_01b", as in the other sets of THINGS. "val" is drawn from the
    objects of the photographs that were shown once. The objects of test photographs were shown in other photographs
    too; ``zero_shot`` leaves these out.

    Args:
        root: folder of the data set.
        subject: 1 to 4.
        sensors: names of those to read, or patterns such as "M?O*" (occipital); None takes all 271.
        window: first and last time in seconds from the onset; None takes all.
        average: neighboring samples, of 5 ms, of which the mean is one column.
        zero_shot: leave out photographs of objects that test photographs show.
        images: the folder of photographs, below ``root`` or anywhere.
        val: share or count of the objects whose photographs are validation images.
        seed: of that draw.
        progress: show a progress bar.

    Attributes:
        groups: (n_images,) the object of each image, to leave some out.

    Raises:
        FileNotFoundError: a file is missing; names it.
        ValueError: a damaged file, or another number of epochs than the table lists; names it.
        MemoryError: the responses do not fit into memory.
        ModuleNotFoundError: the package mne is missing.
    """

    about = ABOUT

    def __init__(
        self,
        root: str | os.PathLike,
        subject: int = 1,
        *,
        sensors: Sequence[str] | None = None,
        window: tuple[float, float] | None = None,
        average: int = 5,
        zero_shot: bool = False,
        images: str = "object_images",
        val: float | int = 0.1,
        seed: int = 0,
        progress: bool = True,
    ):
        check_subject(subject, range(1, 5))
        self.root, self.subject = Path(root), int(subject)
        table = self.root / f"sourcedata/sample_attributes_P{subject}.csv"
        columns = read_columns(table, ("trial_type", "image_path"))
        kinds = np.array(columns["trial_type"])
        odd = sorted(set(kinds) - set(KINDS))
        if odd:
            raise ValueError(f"{table} has trials of type {odd[0]!r}; expected {', '.join(KINDS)}.")
        path = self.root / f"derivatives/preprocessed/preprocessed_P{subject}-epo.fif"
        epochs = _open(path, table, columns["image_path"])
        self._epochs, self._columns = (path, table), columns
        kept = self._kept = Kept.of(epochs.ch_names, epochs.times, sensors, window, average)
        file_of = {Path(file).stem: file for file in (PureWindowsPath(one).name for one in columns["image_path"])}
        names = [PureWindowsPath(one).stem for one in columns["image_path"]]
        shown = kinds != "catch"
        ids = [name for name, real in zip(names, shown, strict=True) if real]
        check_memory(len(set(ids)), kept.n_columns, AT_ONCE)
        found = conditions(_blocks(epochs, path, shown, kept, progress), ids, standardize=False)
        tested = {name for name, kind in zip(names, kinds, strict=True) if kind == "test"}
        is_test = np.array([name in tested for name in found.ids])
        if not is_test.any() or is_test.all():
            raise ValueError(f"{table}: {int(is_test.sum())} of {len(is_test)} pictures are test pictures.")
        concepts = [re.sub(r"_\d+\w*$", "", name) for name in found.ids]
        folder = self.root / images
        paths = [folder / concept / file_of[name] for concept, name in zip(concepts, found.ids, strict=True)]
        self.images = Images(paths, found.ids)
        self.groups = np.array(concepts)
        splits = split_by_concept(concepts, is_test, val, seed, zero_shot)
        ceiling = found.noise_ceiling(splits["test"])
        super().__init__(
            found.ids,
            found.responses,
            kept.space(),
            splits,
            **told_ceiling(ceiling, about=""),
        )

    from_settings = settings_of(__init__)

    def single_trials(self, rows: Tensor) -> tuple[Tensor, list[str], list[str] | None]:
        """Every epoch of some pictures, read again, see :meth:`ResponseDataset.single_trials`.

        The runs are the sessions, where the table names two or more.
        """
        (path, table), columns = self._epochs, self._columns
        wanted = {self.image_ids[row] for row in rows.tolist()}
        names = [PureWindowsPath(one).stem for one in columns["image_path"]]
        real = [kind != "catch" for kind in columns["trial_type"]]
        shown = np.array([name in wanted and is_real for name, is_real in zip(names, real, strict=True)])
        check_memory(0, self.n_voxels, int(shown.sum()))
        epochs = _open(path, table, columns["image_path"])
        values = np.concatenate(list(_blocks(epochs, path, shown, self._kept, progress=False)))
        sessions = columns.get("session_nr", [])
        runs = [sessions[trial] for trial in np.flatnonzero(shown)] if len(set(sessions)) > 1 else None
        return torch.from_numpy(values), [names[trial] for trial in np.flatnonzero(shown)], runs


def _open(path: Path, table: Path, shown: Sequence[str]) -> Any:
    """The epochs, their samples not read yet, once they are those that the table lists."""
    there(path)
    try:
        import mne
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            'THINGS-MEG is read with mne, which is not installed:  pip install "brainnet[meeg]"'
        ) from None
    with reading(path, "file of epochs"):
        epochs = mne.read_epochs(path, preload=False, proj=False, verbose="error")
    if len(epochs) != len(shown):
        raise ValueError(
            f"{path} has {len(epochs)} epochs with all its parts, and {table} lists {len(shown)}: expected as many. A "
            "part is missing, or one of the two is of another subject."
        )
    told = epochs.metadata
    for row, name in enumerate(shown if told is not None and "image_path" in told else ()):
        said = told["image_path"].iloc[row]
        if said != name:
            raise ValueError(
                f"epoch {row} shows {said!r} by {path}, and {name!r} by {table}: one of the two is of another subject."
            )
    return epochs


def _blocks(epochs: Any, path: Path, shown: np.ndarray, kept: Kept, progress: bool) -> Iterator[np.ndarray]:
    """Blocks of trials (n_trials, n_columns), without those of catch pictures."""
    import mne

    starts = range(0, len(shown), AT_ONCE)
    for start in show_progress(starts, "Epochs", len(starts), progress):
        part = slice(start, start + AT_ONCE)
        with reading(path, "file of epochs"), mne.use_log_level("error"):
            block = epochs[part].get_data(copy=False)
        if shown[part].any():
            yield kept.columns(block[shown[part]])

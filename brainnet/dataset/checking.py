"""Is this folder the data set, and whole? What lies there is named, then the reader opens it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from brainnet.dataset.base import DATASETS, ResponseDataset
from brainnet.dataset.catalogue import UNMET, options_with_defaults, with_options
from brainnet.dataset.rdm_sets import RDMSet
from brainnet.dataset.shown import names_shown
from brainnet.dataset.time_series import TimeSeries

FORESEEN = (ValueError, TypeError, OSError, ModuleNotFoundError, MemoryError)  # what a reader says on purpose


class Needed(NamedTuple):
    """Files without which nothing can be read."""

    pattern: str
    n_files: int
    n_bytes: int


@dataclass(frozen=True)
class FolderCheck:
    """What a folder was found to be.

    Attributes:
        name: of the data set.
        folder: that was looked at.
        options: of the reader, the defaults among them.
        needed: the patterns of ``about.needs`` with what fits each.
        dataset: what the reader made of it; None where it refused.
        trouble: why, in one line; "" where it did not.
        is_fault: the reader ended in a way that it did not foresee, which is a fault of brainnet.
        unmet: nobody has run this reader on the real files yet.
    """

    name: str
    folder: Path
    options: dict[str, Any]
    needed: tuple[Needed, ...]
    dataset: ResponseDataset | RDMSet | None = None
    trouble: str = ""
    is_fault: bool = False
    unmet: bool = False

    @property
    def missing(self) -> list[str]:
        """The patterns that no file fits."""
        return [one.pattern for one in self.needed if not one.n_files]

    @property
    def is_news(self) -> bool:
        """Nobody has run this reader on the real files yet, and here are some."""
        return self.unmet and (self.dataset is not None or any(one.n_files for one in self.needed))

    @property
    def is_whole(self) -> bool:
        """Nothing is missing, and the reader opened it."""
        return self.dataset is not None and not self.missing


def check_folder(name: str, folder: str | os.PathLike, *, seed: int = 0, **options: Any) -> FolderCheck:
    """Whether a folder holds a data set as it was published: what is there, what is missing, what the reader says.

    Args:
        name: of the data set, as :func:`~brainnet.dataset.catalogue.find_datasets` lists it.
        folder: the one that ``DATASET.DATA_DIR`` would name.
        seed: of the splits that are drawn.
        options: of the reader.

    Raises:
        ValueError: no such data set, one that is made and not read from a folder, or it takes no such option.

    >>> import tempfile
    >>> found = check_folder("algonauts", tempfile.mkdtemp())
    >>> found.missing[:2]
    ['training_split/training_images/*', 'training_split/training_fmri/lh_training_fmri.npy']
    """
    if not DATASETS[name].needs_folder:
        raise ValueError(f"the data set {name!r} is made and not read: there is no folder to check.")
    reader, chosen, folder = DATASETS[name], options_with_defaults(name, options), Path(folder)
    unmet = reader.about is not None and UNMET in reader.about.verified
    dataset, trouble, is_fault = None, "", False
    needed = tuple(files_needed(name, folder, chosen))
    if not folder.is_dir():
        return FolderCheck(name, folder, chosen, needed, trouble=f"no folder {folder}.", unmet=unmet)
    try:
        opened = reader.from_settings(str(folder), seed, **options)
        if not isinstance(opened, TimeSeries) and (not isinstance(opened, RDMSet) or opened.images is not None):
            opened.load_image(0)
        dataset = opened
    except Exception as error:  # a reader that meets real files for the first time may end in any
        is_fault = not isinstance(error, FORESEEN)
        said = " ".join(str(error).split()) or "without a word"
        trouble = f"{type(error).__name__}: {said}" if is_fault else said
    return FolderCheck(name, folder, chosen, needed, dataset, trouble, is_fault, unmet)


def files_needed(name: str, folder: Path, options: dict[str, Any]) -> list[Needed]:
    """The patterns of a data set's needs, with the files below ``folder`` that fit each."""
    about, found = DATASETS[name].about, []
    for pattern in about.needs if about else ():
        filled = with_options(pattern, options)
        files = list(folder.glob(filled)) if folder.is_dir() else []
        found.append(Needed(filled, len(files), sum(file.stat().st_size for file in files if file.is_file())))
    return found


def summary_of(dataset: ResponseDataset | RDMSet) -> dict[str, Any]:
    """What was read, in numbers: "images", "voxels", "unusable voxels", "splits", "rois", "repeats", "ceiling".

    Of a set of RDMs, what its :meth:`~brainnet.dataset.rdm_sets.RDMSet.summary` says.

    "ceiling" has its "definition" and, where one is known, its "median" and the number of voxels that have none.
    """
    if isinstance(dataset, RDMSet):
        return dataset.summary()
    ceiling: dict[str, Any] = {"definition": dataset.noise_ceiling_definition}
    if dataset.noise_ceiling is not None:
        values = dataset.noise_ceiling.double().numpy()
        known = values[np.isfinite(values)]
        ceiling |= {"median": float(np.median(known)) if len(known) else None, "unknown": len(values) - len(known)}
    return {
        **_rows(dataset),
        "voxels": dataset.n_voxels,
        "unusable voxels": int((~dataset.usable).sum()),
        "splits": {split: len(rows) for split, rows in dataset.splits.items()},
        "rois": {roi: int(inside.sum()) for roi, inside in dataset.space.rois.items()},
        "repeats": dataset.n_repeats,
        "ceiling": ceiling,
    }


def _rows(dataset: ResponseDataset) -> dict[str, Any]:
    """How many rows there are, and what the first one is."""
    if isinstance(dataset, TimeSeries):
        return {"runs": len(dataset.run_names), "volumes": len(dataset), "first run": dataset.run_names[0],
                "stimuli": len(names_shown(dataset))}  # fmt: skip
    first = dataset.load_image(0)
    if isinstance(first, str):
        return {"texts": len(dataset), "first text": f"{dataset.image_ids[0]}, {first}"}
    said = f"{' x '.join(map(str, first.size))} pixels" if hasattr(first, "size") else f"{len(first)} frames"
    return {"images": len(dataset), "first image": f"{dataset.image_ids[0]}, {said}"}

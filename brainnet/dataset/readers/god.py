"""Generic Object Decoding and Deep Image Reconstruction: people who saw 1,200 photographs of ImageNet and 50 others.

    <root>/Subject1.h5                                             Generic Object Decoding, or
           sub-01_perceptionNaturalImage{Training,Test}_original_VC.h5      Deep Image Reconstruction
           images/.../n01443537_22563.JPEG                         the photographs, wherever they lie below

A stimulus is a number there: n01443537_22563 is 1443537.022563.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from brainnet._checks import check_word
from brainnet.dataset.about import About
from brainnet.dataset.base import ResponseDataset
from brainnet.dataset.readers._bdpy import BData
from brainnet.dataset.readers._checked import check_memory, check_subject, choose_region, held_out, told_ceiling
from brainnet.dataset.settings import settings_of
from brainnet.dataset.trials import conditions
from brainnet.space import BrainSpace
from brainnet.stimuli import Images, is_picture

STUDIES = {"god": 5, "dir": 3}  # study -> subjects
TRAINING, TEST = 1, 2  # of the key DataType; 3 is imagery
COORDINATES = ("voxel_x", "voxel_y", "voxel_z")

ABOUT = About(
    title="Generic Object Decoding, and Deep Image Reconstruction",
    kind="fMRI",
    what="Five people (three in the second study) saw 1,200 photographs of 150 categories of ImageNet, and 50 test "
    "photographs of other categories 35 times (24 in the second study) in a 3 T scanner.",
    where="figshare 7387130 (Generic Object Decoding) and 7033577 (Deep Image Reconstruction); the photographs only by "
    "a request form of the laboratory.",
    terms="CC0 (raw data, OpenNeuro ds001246 and ds001506); the photographs stay under the terms of ImageNet.",
    size="Not published for the tables; a subject has 1,200 + 1,750 samples of the voxels of visual cortex.",
    layout="""Subject1.h5
sub-01_perceptionNaturalImage{Training,Test}_original_VC.h5
images/.../n01443537_22563.JPEG""",
    steps=(
        "Download Subject1.h5 and so on, or the files of Deep Image Reconstruction, from figshare.",
        "Ask the laboratory for the photographs, and put them into the folder images.",
    ),
    needs=("images",),
    cite="""@article{horikawa2017generic,
  title={Generic decoding of seen and imagined objects using hierarchical visual features},
  author={Horikawa, Tomoyasu and Kamitani, Yukiyasu},
  journal={Nature Communications}, volume={8}, pages={15037}, year={2017}, doi={10.1038/ncomms15037}
}
@article{shen2019deep,
  title={Deep image reconstruction from human brain activity},
  author={Shen, Guohua and Horikawa, Tomoyasu and Majima, Kei and Kamitani, Yukiyasu},
  journal={PLoS Computational Biology}, year={2019}, doi={10.1371/journal.pcbi.1006633}
}""",
    verified="Run on files in the published layout that the tests write; nobody has run it on the real files yet. The "
    "names of the keys for sessions and runs are not certain, and standardization needs one of them.",
    preset="folder",
)


class GOD(ResponseDataset):
    """One subject of Generic Object Decoding, or of Deep Image Reconstruction.

    Image ids are the names of ImageNet, "n01443537_22563". The 50 test photographs are the test split; "val" is drawn
    from the others. Imagery is not read. Regions have the names of the files ("V1", "LOC", "FFA", "hV4").

    Args:
        root: folder of the files.
        subject: 1 to 5, or 1 to 3 of "dir".
        study: "god" or "dir".
        region: names of regions with "+" between them; "" takes every voxel.
        standardize: z-score each voxel within its run, before averaging; needs a key "Run".
        images: folder of the photographs, below ``root`` or anywhere.
        val: share or count of the images that are drawn as validation images.
        seed: of that draw.

    Attributes:
        trials: the :class:`~brainnet.dataset.trials.Conditions` the responses are from.
        groups: (n_images,) the run of each image's first trial; None where the file has no runs.

    Raises:
        FileNotFoundError: a file is missing; names it.
        ValueError: a file of another shape or content; names it, what it holds and what was expected.
        MemoryError: the responses do not fit into memory.
    """

    about = ABOUT

    def __init__(
        self,
        root: str | os.PathLike,
        subject: int = 1,
        *,
        study: str = "god",
        region: str = "",
        standardize: bool = False,
        images: str = "images",
        val: float | int = 0.1,
        seed: int = 0,
    ):
        check_word("study", study, STUDIES)
        check_subject(subject, range(1, STUDIES[study] + 1))
        self.root, self.subject = Path(root), int(subject)
        parts = self._parts(study)
        first = parts[0].table
        voxels = first.columns("VoxelData")
        rois = _regions(first, voxels)
        inside = choose_region(region, rois, np.ones(int(voxels.sum()), bool))
        columns = np.zeros(len(voxels), bool)
        columns[np.flatnonzero(voxels)[inside]] = True
        names = [name for part in parts for name in part.names]
        tested = {name for part in parts if part.is_test for name in part.names}
        both = tested & {name for part in parts if not part.is_test for name in part.names}
        if both:
            raise ValueError(f"{min(both)!r} is a training and a test image of {parts[-1].table.path}.")
        check_memory(len(set(names)), int(columns.sum()), len(names))
        runs = None if any(part.runs is None for part in parts) else [run for part in parts for run in part.runs]
        if standardize and runs is None:
            raise ValueError(f"{first.path} has no key 'Run', within which to standardize: read it with "
                             "standardize=False.")  # fmt: skip
        found = conditions(_blocks(parts, columns), names, runs=runs, standardize=standardize)
        splits = held_out(np.array([name in tested for name in found.ids]), val, seed, str(first.path))
        ceiling = found.noise_ceiling(splits["test"])
        self.images = _find_images(self.root / images, found.ids)
        super().__init__(
            found.ids,
            found.responses,
            _space(first, columns, {name: mask[inside] for name, mask in rois.items()}),
            splits,
            **told_ceiling(ceiling),
        )
        self.trials, self.groups = found, found.first_groups()

    from_settings = settings_of(__init__)

    def _parts(self, study: str) -> list[_Part]:
        """The training and the test samples, from one file or from two."""
        if study == "god":
            table = BData(self.root / f"Subject{self.subject}.h5")
            kinds = table.column("DataType")
            if kinds is None:
                raise ValueError(f"{table.path} has no key 'DataType'.")
            return [_part(table, np.flatnonzero(kinds == kind), kind == TEST) for kind in (TRAINING, TEST)]
        parts = []
        for name in ("Training", "Test"):
            table = BData(self.root / f"sub-{self.subject:02d}_perceptionNaturalImage{name}_original_VC.h5")
            parts.append(_part(table, np.arange(table.n_samples), name == "Test"))
        if parts[0].table.keys != parts[1].table.keys or not np.array_equal(
            parts[0].table.metadata("VoxelData"), parts[1].table.metadata("VoxelData"), equal_nan=True
        ):
            raise ValueError(f"{parts[1].table.path} has other columns than {parts[0].table.path}.")
        return parts


class _Part(NamedTuple):
    """Samples of a table, the photograph of each, and its run where that is known."""

    table: BData
    samples: np.ndarray
    names: list[str]
    runs: list[str] | None
    is_test: bool


def _part(table: BData, samples: np.ndarray, is_test: bool) -> _Part:
    kind = "test" if is_test else "training"
    if not len(samples):
        raise ValueError(f"{table.path} has no {kind} samples.")
    key = next((key for key in ("stimulus_name", "stimulus_id", "Label") if key in table.keys), "")
    numbers = table.column(key) if key else None
    if numbers is None:
        raise ValueError(f"{table.path} has no key 'stimulus_id'; it has {', '.join(table.keys[:12])} and so on.")
    known = {round(float(number), 6): name for number, name in table.labels.get(key, {}).items()}
    names = [known.get(round(float(number), 6)) or name_of(number, table.path) for number in numbers[samples]]
    labels = [table.column(name) for name in ("Session", "Run")]
    runs = None if labels[1] is None else [
        f"{kind} " + ".".join(f"{label[sample]:g}" for label in labels if label is not None) for sample in samples
    ]  # fmt: skip
    return _Part(table, samples, names, runs, is_test)


def name_of(number: float, path: Path) -> str:
    """The name of a photograph of ImageNet by its number.

    >>> name_of(1443537.022563, Path("x"))
    'n01443537_22563'
    """
    if not np.isfinite(number) or number < 1:
        raise ValueError(f"{path} holds the stimulus {number:g}; expected a number such as 1443537.022563.")
    category = int(np.floor(number))
    return f"n{category:08d}_{round((float(number) - category) * 1e6)}"


def _blocks(parts: list[_Part], columns: np.ndarray) -> Iterator[np.ndarray]:
    for part in parts:
        yield part.table.rows(part.samples, columns)


def _regions(table: BData, voxels: np.ndarray) -> dict[str, np.ndarray]:
    """Region -> (n_voxels,) bool, of the keys that begin with "ROI_" (or "hcp180_")."""
    found = {key.removeprefix("ROI_"): table.columns(key)[voxels]
             for key in table.keys if key.startswith(("ROI_", "hcp180_"))}  # fmt: skip
    return {name: mask for name, mask in found.items() if mask.any()}


def _space(table: BData, columns: np.ndarray, rois: dict[str, np.ndarray]) -> BrainSpace:
    regions = {name: torch.from_numpy(mask) for name, mask in rois.items() if mask.any()}
    if not all(key in table.keys for key in COORDINATES):
        return BrainSpace.free(int(columns.sum()), regions)
    coordinates = np.stack([table.metadata(key)[columns] for key in COORDINATES], 1)
    if not np.isfinite(coordinates).all():
        raise ValueError(f"{table.path}: {int((~np.isfinite(coordinates)).any(1).sum())} voxels have no coordinates.")
    return BrainSpace(coords=torch.from_numpy(coordinates).float(), rois=regions)


def _find_images(folder: Path, ids: list[str]) -> Images:
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {folder}: it holds the photographs, which the laboratory gives on request.")
    found = {re.sub(r"\.\w+$", "", path.name): path for path in sorted(folder.rglob("*")) if is_picture(path.name)}
    missing = [name for name in ids if name not in found]
    if missing:
        raise FileNotFoundError(f"{len(missing)} of {len(ids)} photographs are not below {folder}, the first is "
                                f"{missing[0]}.")  # fmt: skip
    return Images([found[name] for name in ids], ids)

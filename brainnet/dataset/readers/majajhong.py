"""Majaj and Hong et al. (2015): sites in macaque V4 and IT to rendered objects on natural backgrounds.

    <root>/assy_dicarlo_MajajHong2015_public.nc      (256 neuroids, 148,480 presentations, 1 time bin of 70-170 ms)
           image_dicarlo_hvm-public.{csv,zip}        3,200 pictures of 64 objects

or, as the authors of "untrained models of visual cortex" gave it on, averaged already:

    <root>/SUBJECT_{Chabo,Tito}_REGION_{V4,IT}       netCDF without suffix
           majaj_train_ids, majaj_test_ids           optional: pickled lists of stimulus ids
           image_dicarlo_hvm-public/                 the pictures
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from brainnet._checks import check_word
from brainnet.dataset.about import About, Download
from brainnet.dataset.base import random_splits
from brainnet.dataset.readers._brainscore import Assembly, read_assembly
from brainnet.dataset.readers._pickles import read_pickle
from brainnet.dataset.readers.brainscore import BrainScore
from brainnet.dataset.settings import settings_of

SPLITS = ("random", "published")
IDS = {"train": "majaj_train_ids", "test": "majaj_test_ids"}

# two places of the same files, with the checksums of Brain-Score's own registry (brainscore_vision, data/majajhong2015)
OLD, NEW = "https://s3.amazonaws.com/brainio.dicarlo", "https://brainscore-storage.s3.amazonaws.com/brainio-brainscore"

ABOUT = About(
    title="Majaj and Hong et al. 2015",
    kind="spikes",
    what="Two macaques saw rendered objects on natural backgrounds, about 46 times each; 88 sites in V4 and 168 in IT. "
    "The public part has 3,200 pictures, of two of three degrees of variation.",
    where="Brain-Score's bucket brainio.dicarlo, now brainscore-storage/brainio-brainscore, without a key; the package "
    "brainscore_vision loads it as MajajHong2015.public.",
    terms="No license is stated.",
    size="150 MB of recordings, and the pictures.",
    layout="""assy_dicarlo_MajajHong2015_public.nc
image_dicarlo_hvm-public.csv
image_dicarlo_hvm-public.zip""",
    steps=("Put the assembly, the table of stimuli and the zip of pictures into one folder; they may stay packed.",),
    needs=("*MajajHong2015*public*.nc",),
    downloads=(
        Download("assy_dicarlo_MajajHong2015_public.nc", f"{OLD}/assy_dicarlo_MajajHong2015_public.nc",
                 digest="sha1:13d28ca0ce88ee550b54db3004374ae19096e9b9",
                 mirrors=(f"{NEW}/assy_dicarlo_MajajHong2015_public.nc",)),
        Download("image_dicarlo_hvm-public.csv", f"{NEW}/stimulus_hvm-public.csv",
                 digest="sha1:5ca7a3da00d8e9c694a9cd725df5ba0ad6d735af",
                 mirrors=(f"{OLD}/image_dicarlo_hvm-public.csv",)),
        Download("image_dicarlo_hvm-public.zip", f"{NEW}/stimulus_hvm-public.zip",
                 digest="sha1:8aa44e038d7b551efa8077467622f9d48d72e473",
                 mirrors=(f"{OLD}/image_dicarlo_hvm-public.zip",)),
    ),
    cite="""@article{majaj2015simple,
  title={Simple learned weighted sums of inferior temporal neuronal firing rates accurately predict human core object
         recognition performance},
  author={Majaj, Najib J. and Hong, Ha and Solomon, Ethan A. and DiCarlo, James J.},
  journal={Journal of Neuroscience}, volume={35}, number={39}, pages={13402--13418}, year={2015},
  doi={10.1523/JNEUROSCI.5181-14.2015}
}""",
    verified="Run on files in the published layout that the tests write; nobody has run it on the real files yet. The "
    "addresses and checksums are Brain-Score's own; nothing was fetched from there yet.",
)  # fmt: skip


class MajajHong(BrainScore):
    """Sites in macaque V4 and IT to 3,200 rendered objects, the public part of the recordings of Majaj and Hong.

    Image ids are Brain-Score's stimulus ids. Regions are "V4" and "IT", and the two animals "Chabo" and "Tito".

    Args:
        root: folder of the assembly (or of the four files of averages) and the stimuli.
        where: which sites, coordinate -> value or values, such as {"region": "IT"}; None takes all 256.
        split: "random", or "published": 2,560 and 640 pictures as in the files ``majaj_train_ids`` and
            ``majaj_test_ids``, of the former some drawn for "val".
        test: share (0.2) or number (200) of the images that are drawn as test images; of the split
            "random" only.
        val: share of the other images, or number of them, that are drawn as validation images.
        seed: of these draws.
        progress: show a progress bar.

    Raises:
        FileNotFoundError: a file is missing; names it.
        ValueError: a damaged file, an unknown coordinate or value.
    """

    about = ABOUT
    patterns: ClassVar[tuple[str, ...]] = ("*MajajHong2015*public*.nc", "*MajajHong2015*.nc")

    def __init__(
        self,
        root: str | os.PathLike,
        *,
        where: Mapping[str, Any] | None = None,
        split: str = "random",
        test: float | int = 0.2,
        val: float | int = 0.1,
        seed: int = 0,
        progress: bool = True,
    ):
        check_word("split", split, SPLITS)
        self._split, self._val, self._seed = split, val, seed
        super().__init__(root, where=where, test=test, val=val, seed=seed, progress=progress)

    from_settings = settings_of(__init__)

    def _find(self, file: str) -> list[Path]:
        averages = sorted(self.root.glob("SUBJECT_*_REGION_*"))
        return averages if averages and not any(self.root.glob(self.patterns[0])) else super()._find(file)

    def _read(self, path: Path) -> Assembly:
        """An assembly; animal and region are in the names of files of averages."""
        found = read_assembly(path)
        named = re.fullmatch(r"SUBJECT_(\w+)_REGION_(\w+)", path.stem)
        if named is None:
            return found
        said = {"animal": named[1], "region": named[2]}
        return replace(
            found, neuroids={**{k: np.array([v] * found.n_neuroids) for k, v in said.items()}, **found.neuroids}
        )

    def _splits(self, ids: Sequence[str], drawn: dict[str, Tensor]) -> dict[str, Tensor]:
        if self._split == "random":
            return drawn
        row_of = {one: row for row, one in enumerate(ids)}
        rows = {}
        for split, name in IDS.items():
            path = next((p for p in sorted(self.root.glob(f"{name}*")) if p.is_file()), self.root / name)
            listed = [str(one) for one in np.ravel(read_pickle(path, "pickled list of stimulus ids"))]
            missing = [one for one in listed if one not in row_of]
            if missing or not listed:
                raise ValueError(
                    f"{path} lists {len(listed)} stimuli, of which {len(missing)} were not shown"
                    + (f", such as {missing[0]!r}." if missing else ".")
                )
            rows[split] = torch.tensor([row_of[one] for one in listed])
        inner = random_splits(len(rows["train"]), test=0, val=self._val, seed=self._seed)
        return {"train": rows["train"][inner["train"]], "val": rows["train"][inner["val"]], "test": rows["test"]}

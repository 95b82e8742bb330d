"""Recordings in the files of Brain-Score: single units or sites, one netCDF assembly, and a table of pictures.

    <root>/assy_<name>.nc                    (neuroid, presentation, time_bin), any order; ids, repetition, regions
           image_<name>.csv                  image_id (or stimulus_id), filename, and whatever else is known
           image_<name>.zip                  the pictures, or a folder of that name

Which stimulus was shown is told by the assembly, never by the order of files.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from brainnet._checks import warn_once
from brainnet._work import progress as show_progress
from brainnet.dataset.about import About
from brainnet.dataset.base import ResponseDataset, random_splits
from brainnet.dataset.readers import _brainscore as files
from brainnet.dataset.readers._checked import check_memory
from brainnet.dataset.readers._meeg import Kept
from brainnet.dataset.settings import settings_of
from brainnet.dataset.trials import Conditions, conditions
from brainnet.scores import NoiseCeiling
from brainnet.space import BrainSpace, sensor_space

GROUPED_BY = ("region", "animal", "subject", "roi")  # coordinates whose values are regions

ABOUT = About(
    title="Brain-Score assemblies",
    kind="spikes",
    what="Any recording in the files of Brain-Score: units or sites x presentations (x time bins) as netCDF, with a "
    "table of its stimuli.",
    where="Public assemblies lie in the bucket brainscore-storage (folder brainio-brainscore), without a key; their "
    "addresses and checksums are in the source of https://github.com/brain-score/vision.",
    terms="Those of each recording; licenses are not stated in the files.",
    size="Tens to hundreds of megabytes each.",
    layout="""assy_<name>.nc
image_<name>.csv
image_<name>.zip""",
    steps=(
        "Put an assembly (.nc), its table of stimuli (.csv) and their pictures (.zip or a folder) into one folder.",
    ),
    needs=("*.nc",),
    cite="""@article{schrimpf2018brain,
  title={{Brain-Score}: Which artificial neural network for object recognition is most brain-like?},
  author={Schrimpf, Martin and Kubilius, Jonas and Hong, Ha and Majaj, Najib J. and Rajalingham, Rishi and Issa,
          Elias B. and others},
  journal={bioRxiv}, year={2018}, doi={10.1101/407007}
}""",
    verified="Run on assemblies that the tests write with netCDF4; nobody has run it on the real files yet.",
)


class BrainScore(ResponseDataset):
    """A recording in the files of Brain-Score; a response column is a neuroid, or a neuroid at a time.

    Presentations of one stimulus are averaged, and give the noise ceiling. Image ids are the stimulus ids. Regions are
    the values of the coordinates "region", "animal", "subject" and "roi".

    Args:
        root: folder of the assembly and its stimuli.
        file: the assembly; "" takes the one there is.
        stimuli: table of the stimuli; "" takes the one that lists those that were shown.
        where: which neuroids, coordinate -> value or values, such as {"region": "IT"}; None takes all.
        window: first and last time in seconds; None takes all.
        over_time: a column for each time, not the mean over them.
        average: with ``over_time``, time bins of which the mean is one column.
        test: share (0.2) or number (200) of the images that are drawn as test images.
        val: share of the other images, or number of them, that are drawn as validation images.
        seed: of these draws.
        progress: show a progress bar.

    Attributes:
        stimuli: column of the table of stimuli -> its values, one an image.
        trials: the :class:`~brainnet.dataset.trials.Conditions` of each assembly.

    Raises:
        FileNotFoundError: a file is missing; names it.
        ValueError: no netCDF-4 file, one without stimulus ids, an unknown coordinate or value.
        MemoryError: the responses do not fit into memory.
    """

    about = ABOUT
    patterns: ClassVar[tuple[str, ...]] = ("*.nc",)

    def __init__(
        self,
        root: str | os.PathLike,
        *,
        file: str = "",
        stimuli: str = "",
        where: Mapping[str, Any] | None = None,
        window: tuple[float, float] | None = None,
        over_time: bool = False,
        average: int = 1,
        test: float | int = 0.2,
        val: float | int = 0.1,
        seed: int = 0,
        progress: bool = True,
    ):
        self.root = Path(root)
        assemblies = [self._read(path) for path in self._find(file)]
        assemblies = [one for one in assemblies if files.has(one, where or {})] or assemblies[:1]
        found, kept = [], []
        for one in assemblies:
            rows = files.chosen(one, where or {})
            kept.append(one.kept(rows, window, over_time, average))
            check_memory(len(set(one.ids)), kept[-1].n_columns, files.BLOCK // max(1, one.n_neuroids))
            blocks = show_progress(one.blocks(kept[-1]), f"Presentations of {one.path.name}", None, progress)
            found.append(conditions(blocks, one.ids, standardize=False))
            if found[-1].n_missing:
                n_all = found[-1].n_trials * kept[-1].n_columns
                warn_once(
                    f"missing {one.path.absolute()}",
                    f"{one.path} is NaN in {found[-1].n_missing:,} of {n_all:,} recordings: means are over the others.",
                )
        self.trials = found
        ids = found[0].ids if len(found) == 1 else sorted(found[0].ids)
        orders = [_order(one, conditions_of, ids) for one, conditions_of in zip(assemblies, found, strict=True)]
        self.images, self.stimuli = files.read_stimuli(self.root, stimuli, ids)
        splits = self._splits(ids, random_splits(len(ids), test=test, val=val, seed=seed))
        ceilings = [one.noise_ceiling(order[splits["test"]]) for one, order in zip(found, orders, strict=True)]
        ceiling = _joined(ceilings)
        super().__init__(
            ids,
            torch.cat([one.responses[order] for one, order in zip(found, orders, strict=True)], 1),
            _space(assemblies, kept, over_time),
            splits,
            noise_ceiling=ceiling,
            noise_ceiling_definition="none: no stimulus comes twice in the file"
            if ceiling is None
            else f"{ceilings[0].definition}, about K = {ceilings[0].n_repeats}",
            n_repeats=ceilings[0].n_repeats,
        )

    from_settings = settings_of(__init__)

    def _find(self, file: str) -> list[Path]:
        """The assemblies to read: the one named, or the one there is."""
        if file:
            return [self.root / file]
        for pattern in self.patterns:
            found = sorted(self.root.glob(pattern))
            if len(found) > 1:
                raise ValueError(
                    f"{self.root} holds {len(found)} assemblies: {', '.join(path.name for path in found[:6])}. Choose "
                    f"one: file={found[0].name!r}."
                )
            if found:
                return found
        there = sorted(path.name for path in self.root.glob("*"))
        raise FileNotFoundError(
            f"no assembly {' or '.join(self.patterns)} in {self.root} (found: {', '.join(there[:8]) or 'nothing'})."
        )

    def _read(self, path: Path) -> files.Assembly:
        """An assembly, its recordings not read yet."""
        return files.read_assembly(path)

    def _splits(self, ids: Sequence[str], drawn: dict[str, Tensor]) -> dict[str, Tensor]:
        """The splits; a recording with official ones gives these."""
        return drawn


def _order(assembly: files.Assembly, found: Conditions, ids: Sequence[str]) -> Tensor:
    """Places of the stimuli among the conditions of one of several assemblies."""
    place = {one: row for row, one in enumerate(found.ids)}
    other = set(place) ^ set(ids)
    if other:
        raise ValueError(
            f"{assembly.path} is of other stimuli than the first assembly: {sorted(other)[0]!r} is in one."
        )
    return torch.tensor([place[one] for one in ids])


def _joined(ceilings: Sequence[NoiseCeiling]) -> Tensor | None:
    """The ceilings of all columns; None where no stimulus was shown twice."""
    r = torch.cat([one.r for one in ceilings]).float()
    return None if r.isnan().all() else r


def _space(assemblies: Sequence[files.Assembly], kept: Sequence[Kept], over_time: bool) -> BrainSpace:
    names = [name for one in kept for name in one.names]
    values = {
        label: np.concatenate(
            [np.array([str(v) for v in one.neuroids.get(label, [""] * one.n_neuroids)])[k.rows]
             for one, k in zip(assemblies, kept, strict=True)]
        )
        for label in GROUPED_BY
    }  # fmt: skip
    rois: dict[str, Tensor] = {}
    for of in values.values():
        rois |= {str(one): torch.from_numpy(of == one) for one in dict.fromkeys(of.tolist()) if one and one not in rois}
    names = names if len(set(names)) == len(names) else [f"{number}:{name}" for number, name in enumerate(names)]
    if over_time:
        return sensor_space(names, kept[0].times, rois)
    return BrainSpace(sensors=names, rois=rois)

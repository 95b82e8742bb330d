"""What was recorded beside NSD, as splits of a subject that are only predicted: their betas, rows and pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from brainnet._files import sha256
from brainnet.dataset.base import ResponseDataset
from brainnet.dataset.readers import _nsd as files
from brainnet.dataset.readers._checked import there
from brainnet.dataset.trials import Conditions


def beta_files(folder: Path, name: str, space: str) -> list[Path]:
    """The one file of betas of a session beside NSD, or the two of its hemispheres.

    Raises:
        FileNotFoundError: one is missing; names it.
    """
    if space in files.SURFACES:
        suffix = ".mgh" if space == "fsaverage" else ".hdf5"
        return [there(folder / f"{side}.{name}{suffix}") for side in files.HEMISPHERES]
    both = [folder / f"{name}{suffix}" for suffix in (".hdf5", ".nii.gz")]
    return [there(next((path for path in both if path.is_file()), both[1]))]


class Joined:
    """The photographs of NSD, and after them pictures of other sets, each a set and its place there."""

    def __init__(self, first: Any, pictures: Sequence[tuple[Any, int]], ids: Sequence[str]):
        self.first, self.pictures = first, list(pictures)
        self.ids = self.image_ids = [*first.ids, *ids]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int):
        """Picture ``index``, an RGB ``PIL.Image``."""
        if index < len(self.first):
            return self.first[index]
        images, place = self.pictures[index - len(self.first)]
        return images[place]

    def signature(self) -> str:
        """Of all pictures of every set, and of their order."""
        sets = list({id(images): images for images, _ in self.pictures}.values())
        places = [f" {[images is one for one in sets].index(True)}.{place}" for images, place in self.pictures]
        return sha256(self.first.signature(), *(images.signature() for images in sets), *places)


def add_splits(
    data: ResponseDataset, found: Mapping[str, Conditions], ids: Sequence[str], pictures: Sequence[tuple[Any, int]]
) -> None:
    """Appends the responses of further splits to a data set, each with a ceiling of its own.

    Args:
        data: what was read of NSD.
        found: split -> its responses.
        ids: names of the pictures of all these splits, one after another.
        pictures: of each the set it is in, and its place there.
    """
    n, rows, ceilings, definition = len(data), {}, {}, data.noise_ceiling_definition
    for split, part in found.items():
        start = n + sum(map(len, rows.values()))
        rows[split] = torch.arange(start, start + len(part.ids))
        ceiling = part.noise_ceiling(range(len(part.ids)))
        ceilings[split] = ceiling.r.float()
        definition += f"; of {split}: {ceiling.definition}, about K = {ceiling.n_repeats}"
    data.images = Joined(data.images, pictures, ids)
    ResponseDataset.__init__(
        data,
        [*data.image_ids, *ids],
        torch.cat([data.responses, *(part.responses for part in found.values())]),
        data.space,
        {**data.splits, **rows},
        noise_ceiling=data.noise_ceiling,
        noise_ceiling_definition=definition,
        further_ceilings=ceilings,
        n_repeats=data.n_repeats,
    )
    if data.groups is not None:
        data.groups = np.r_[data.groups, np.zeros(len(ids), data.groups.dtype)]

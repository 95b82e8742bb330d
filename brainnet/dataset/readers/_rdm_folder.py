"""Folders of pictures and of RDM files, a file for each region, as Net2Brain packs them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import torch

from brainnet._checks import check_word, warn_once
from brainnet.dataset.about import Download
from brainnet.dataset.rdm_sets import RDMSet
from brainnet.dataset.settings import settings_of
from brainnet.rsa import RDMs
from brainnet.stimuli import Images, natural_sort

SUFFIXES = (".npz", ".npy", ".mat", ".h5")
# Net2Brain's repository at the commit in which it held the data of two sets itself
NET2BRAIN = "https://raw.githubusercontent.com/cvai-roig-lab/Net2Brain/05ac462951ef792ff2ba70c4b97d5409a8e44289"


def of_net2brain(n_pictures: int, rdms: Mapping[str, tuple[str, str]]) -> tuple[Download, ...]:
    """The pictures and the RDMs of one of the two sets in Net2Brain's repository, under the names that are read here.

    Args:
        n_pictures: 92 or 78.
        rdms: name of each file of RDMs, with its name there and its digest.
    """
    there = f"{NET2BRAIN}/input_data"
    names = [f"image_{number:02d}.jpg" for number in range(1, n_pictures + 1)]
    return (
        *(Download(f"rdms_{n_pictures}/{name}", f"{there}/brain_data/{n_pictures}images/{old}", digest=digest)
          for name, (old, digest) in rdms.items()),
        *(Download(f"images_{n_pictures}/{name}", f"{there}/stimuli_data/{n_pictures}images/{name}") for name in names),
    )  # fmt: skip


class RDMFolder(RDMSet):
    """A folder of pictures beside one of RDMs.

    Args:
        root: the folder, or one that it lies in.
        regions: names of those to read; None takes all.

    Raises:
        FileNotFoundError: no such folders, or no RDMs in them.
        ValueError: a file that holds no RDMs, or RDMs over another number of pictures; names it.
    """

    n_pictures: ClassVar[int | None] = None
    places: Sequence[tuple[str, str]] = ()  # folders of pictures and of RDMs below the root; () is the usual ones
    published: ClassVar[tuple[str, ...]] = ()  # names of the regions, where they are known

    def __init__(self, root: str | os.PathLike, *, regions: Sequence[str] | None = None):
        self.root = Path(root)
        pictures, folder = self._find()
        images = Images(pictures)
        if self.n_pictures not in (None, len(images)):
            raise ValueError(f"{pictures} holds {len(images)} pictures; expected {self.n_pictures}.")
        names = natural_sort(path.name for path in folder.iterdir() if path.suffix in SUFFIXES)
        if not names:
            raise FileNotFoundError(f"no RDMs in {folder}: expected a file for each region, {', '.join(SUFFIXES)}.")
        paths = {region_of(name): folder / name for name in names}
        for region in regions or ():
            check_word("region", region, list(paths))
        lost = [region for region in self.published if region not in paths]
        if lost and regions is None:
            warn_once(
                f"no regions {folder}",
                f"no RDMs of {', '.join(lost)} in {folder}: expected are {', '.join(self.published)}.",
            )
        chosen = {region: paths[region] for region in (paths if regions is None else regions)}
        rdms = {region: read_subjects(path, len(images)) for region, path in chosen.items()}
        counts = {region: len(one) for region, one in rdms.items() if list(one.axes) == ["subject"]}
        if len(set(counts.values())) > 1:
            each = ", ".join(f"{region} of {n}" for region, n in counts.items())
            warn_once(
                f"other people {folder}",
                f"the RDMs in {folder} are of different numbers of people, {each}: a file may be cut.",
            )
        super().__init__(images.ids, rdms, images)

    from_settings = settings_of(__init__)

    def _find(self) -> tuple[Path, Path]:
        n = self.n_pictures
        usual = ((f"images_{n}", f"rdms_{n}"), (f"{n}images/stimuli_data", f"{n}images/brain_data"),
                 ("stimuli_data", "brain_data"))  # fmt: skip
        places = self.places or usual
        for pictures, rdms in places:
            if (self.root / pictures).is_dir() and (self.root / rdms).is_dir():
                return self.root / pictures, self.root / rdms
        wanted = " or ".join(f"{pictures} with {rdms}" for pictures, rdms in places)
        there = ", ".join(sorted(path.name for path in self.root.glob("*"))[:8])
        raise FileNotFoundError(
            f"no folders of pictures and RDMs in {self.root}: expected {wanted} (found: {there or 'nothing'})."
        )


def region_of(name: str) -> str:
    """The region that a file of RDMs is named after.

    >>> region_of("fmri_EVC_RDMs.npz"), region_of("ROI_PPA.mat")
    ('EVC', 'ROI_PPA')
    """
    return Path(name).stem.removeprefix("fmri_").removesuffix("_RDMs")


def read_subjects(path: Path, n_pictures: int) -> RDMs:
    """The RDMs in a file, on the axis "subject", or on "subject" and "time".

    Raises:
        ValueError: RDMs over another number of pictures, or on other axes.
    """
    rdms = RDMs.load(path)
    if rdms.n_conditions != n_pictures:
        raise ValueError(f"{path} holds RDMs over {rdms.n_conditions} pictures; expected {n_pictures}.")
    n_missing = int(rdms.values.isnan().sum())
    if n_missing:
        warn_once(
            f"NaN {path.absolute()}",
            f"{path} is NaN in {n_missing:,} of {rdms.values.numel():,} dissimilarities; expected numbers alone.",
        )
    elif torch.equal(rdms.values, rdms.values.round()):
        warn_once(
            f"whole {path.absolute()}",
            f"{path} holds whole numbers alone. Expected are dissimilarities such as 1 - r: if these are no ranks, "
            "their decimals are lost.",
        )
    if len(rdms.axes) > 2:
        raise ValueError(f"{path} holds RDMs on {len(rdms.axes)} axes; expected subjects, or subjects and times.")
    return rdms.with_axes(*("subject", "time")[: len(rdms.axes)])

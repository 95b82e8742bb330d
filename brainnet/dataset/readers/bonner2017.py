"""Bonner and Epstein (2017): fMRI RDMs over photographs of indoor scenes, as Net2Brain packs them.

    <root>/bonner_pnas2017/stimuli_data/                50 pictures
           bonner_pnas2017/brain_data/                  a file of RDMs for each region
           bonner_pnas2017/brain_data_live_study/       the same, of the live study

How the files of regions are called is not documented: each is a region of its own name.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import ClassVar

from brainnet._checks import check_word
from brainnet.dataset.about import About
from brainnet.dataset.readers._rdm_folder import RDMFolder
from brainnet.dataset.settings import settings_of

STUDIES = ("", "live_study")

ABOUT = About(
    title="Bonner and Epstein 2017",
    kind="RDMs",
    what="People saw 50 photographs of indoor scenes in a scanner. Given are their RDMs in regions of visual cortex.",
    where="Net2Brain packs them: https://github.com/cvai-roig-lab/Net2Brain holds addresses of its packages.",
    terms="The terms of the data are not stated.",
    size="Not published.",
    layout="""bonner_pnas2017/stimuli_data/
bonner_pnas2017/brain_data/""",
    steps=("Unpack Net2Brain's package bonner_pnas2017.",),
    needs=("**/stimuli_data", "**/brain_data"),
    cite="""@article{bonner2017coding,
  title={Coding of navigational affordances in the human visual system},
  author={Bonner, Michael F. and Epstein, Russell A.},
  journal={Proceedings of the National Academy of Sciences}, volume={114}, number={18}, pages={4793--4798},
  year={2017}, doi={10.1073/pnas.1618228114}
}""",
    verified="Run on folders that the tests write; nobody has run it on the real files yet, and the names of the files "
    "of regions are not known.",
)


class Bonner2017(RDMFolder):
    """RDMs of some people over 50 photographs of indoor scenes.

    Image ids are file names without suffix. Regions are named after their files.

    Args:
        root: folder of ``bonner_pnas2017``, or that folder.
        study: "" or "live_study", whose RDMs.
        regions: names of those to read; None takes all.

    Raises:
        FileNotFoundError: no such folders, or no RDMs in them.
        ValueError: a damaged file, or RDMs over another number of pictures.
    """

    about = ABOUT
    n_pictures: ClassVar[int | None] = 50

    def __init__(self, root: str | os.PathLike, *, study: str = "", regions: Sequence[str] | None = None):
        check_word("study", study, STUDIES)
        brain = f"brain_data_{study}" if study else "brain_data"
        self.places = tuple((f"{top}stimuli_data", f"{top}{brain}") for top in ("bonner_pnas2017/", ""))
        super().__init__(root, regions=regions)

    from_settings = settings_of(__init__)

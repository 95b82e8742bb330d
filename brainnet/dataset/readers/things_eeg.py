"""THINGS-EEG: one person's EEG to photographs of objects, averaged over the presentations of each.

Version 2 (Gifford et al. 2022), as preprocessed and published:

    <root>/[preprocessed_data/]sub-01/preprocessed_eeg_{training,test}.npy     dicts, pickled
           image_set/image_metadata.npy                                        which image is which row; pickled
           image_set/{training_images,test_images}/00001_aardvark/aardvark_01b.jpg

Version 1 (Grootswagers et al. 2022), of which ``_things_eeg1`` reads the continuous recordings:

    <root>/sub-02/eeg/sub-02_task-rsvp_events.tsv
           derivatives/eeglab/sub-02_task-rsvp_continuous.{set,fdt}
           object_images/aardvark/aardvark_01b.jpg                             the photographs of THINGS
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from brainnet._checks import check_word
from brainnet.dataset.about import About, Download
from brainnet.dataset.base import ResponseDataset
from brainnet.dataset.readers import _things_eeg, _things_eeg1
from brainnet.dataset.readers._checked import told_ceiling
from brainnet.dataset.readers._meeg import split_by_concept
from brainnet.dataset.settings import settings_of
from brainnet.stimuli import Images

IMAGES = {1: "object_images", 2: "image_set"}  # folders of the photographs
OF_VERSION_1 = ("sub-{subject:02d}/eeg/sub-{subject:02d}_task-rsvp_events.tsv",
                "derivatives/eeglab/sub-{subject:02d}_task-rsvp_continuous.set",
                "derivatives/eeglab/sub-{subject:02d}_task-rsvp_continuous.fdt")  # fmt: skip

ABOUT = About(
    title="THINGS-EEG",
    kind="EEG",
    what="Version 2: ten people saw 16,540 photographs of 1,654 objects four times each and 200 test photographs of "
    "other objects 80 times, in rapid series. Version 1: fifty people saw 22,248 photographs once and 200 twelve "
    "times.",
    where="Version 2: https://osf.io/3jk45 (the preprocessed EEG is its component https://osf.io/anp5v). Version 1: "
    "OpenNeuro ds003825.",
    terms="Version 1 is CC0. The terms of version 2 were not verified. The photographs are for research.",
    size="Version 2: 0.9 GB of training and 0.2 GB of test trials a subject. Version 1: 59 GB with the raw data.",
    layout="""version 2:
sub-01/preprocessed_eeg_{training,test}.npy
image_set/image_metadata.npy
image_set/{training_images,test_images}/00001_aardvark/aardvark_01b.jpg
version 1:
sub-02/eeg/sub-02_task-rsvp_events.tsv
derivatives/eeglab/sub-02_task-rsvp_continuous.{set,fdt}
object_images/aardvark/aardvark_01b.jpg""",
    steps=(
        "Version 2: unpack sub-01.zip of https://osf.io/anp5v and the image set of https://osf.io/3jk45 into one "
        "folder, so that sub-01 and image_set lie beside each other.",
        "Version 1: download sub-02 and derivatives/eeglab/sub-02* of OpenNeuro ds003825, and the photographs of "
        "THINGS (https://osf.io/jum2f) as object_images beside them.",
    ),
    needs=("**/sub-{subject:02d}*",),
    downloads=tuple(
        Download(path, f"https://s3.amazonaws.com/openneuro.org/ds003825/{path}", option="version=1")
        for path in OF_VERSION_1
    ),
    cite="""@article{gifford2022large,
  title={A large and rich {EEG} dataset for modeling human visual object recognition},
  author={Gifford, Alessandro T. and Dwivedi, Kshitij and Roig, Gemma and Cichy, Radoslaw M.},
  journal={NeuroImage}, volume={264}, pages={119754}, year={2022}, doi={10.1016/j.neuroimage.2022.119754}
}
@article{grootswagers2022human,
  title={Human {EEG} recordings for 1,854 concepts presented in rapid serial visual presentation streams},
  author={Grootswagers, Tijl and Zhou, Ivy and Robinson, Amanda K. and Hebart, Martin N. and Carlson, Thomas A.},
  journal={Scientific Data}, volume={9}, pages={3}, year={2022}, doi={10.1038/s41597-021-01102-7}
}""",
    verified="Run on folders in the published layout that the tests write; nobody has run it on the real files yet. "
    "The addresses are those of OpenNeuro's bucket; nothing was fetched from there yet.",
)


class ThingsEEG(ResponseDataset):
    """One person of THINGS-EEG; a response column is a sensor at a time.

    Image ids are file names without suffix, "aardvark_01b", as in the other sets of THINGS. "val" is drawn from the
    objects of the training photographs: none of its objects is in "train", as none of "test" is. (In version 1 the test
    objects are also shown in other photographs.) The noise ceiling is of the mean over the presentations of a test
    photograph.

    Args:
        root: folder with ``sub-01`` and so on.
        subject: 1 to 10; of version 1 2 to 50, without those that its authors leave out.
        version: 2 or 1.
        sensors: names of those to read, or patterns such as "PO*"; None takes all, 17 of version 2.
        window: first and last time in seconds from the onset; None takes all.
        average: neighboring samples of which the mean is one column.
        images: the folder of photographs, below ``root`` or anywhere; by default "image_set", of version 1
            "object_images".
        val: share or count of the objects whose photographs are validation images.
        seed: of that draw.

    Attributes:
        groups: (n_images,) the object of each image, to leave some out.

    Raises:
        FileNotFoundError: a file is missing; names it.
        ValueError: a file of another shape or type, or a pickle of something else than arrays; names it.
        MemoryError: the trials do not fit into memory.
        ModuleNotFoundError: version 1 without the package mne.
    """

    about = ABOUT

    def __init__(
        self,
        root: str | os.PathLike,
        subject: int = 1,
        *,
        version: int = 2,
        sensors: Sequence[str] | None = None,
        window: tuple[float, float] | None = None,
        average: int = 1,
        images: str = "",
        val: float | int = 0.1,
        seed: int = 0,
    ):
        check_word("version", str(version), ("1", "2"))
        self.root, self.subject, self.version = Path(root), subject, int(version)
        self._keep = {"sensors": sensors, "window": window, "average": average}
        read = _things_eeg1.read_recording if self.version == 1 else _things_eeg.read_recording
        found = read(self.root, subject, images or IMAGES[self.version], self._keep)
        self.images = Images(found.paths, found.ids)
        self.groups = np.array(found.concepts)
        super().__init__(
            found.ids,
            found.responses,
            found.kept.space(),
            split_by_concept(found.concepts, found.tested, val, seed),
            **told_ceiling(found.ceiling, about=""),
        )

    from_settings = settings_of(__init__)

    def single_trials(self, rows: Tensor) -> tuple[Tensor, list[str], None]:
        """Every presentation of some of the test images, read again, see :meth:`ResponseDataset.single_trials`.

        The published trials of version 2 say nothing of the sessions that they are from.
        """
        tested = {row: place for place, row in enumerate(self.splits["test"].tolist())}
        other = next((row for row in rows.tolist() if row not in tested), None)
        if other is not None:
            raise ValueError(f"single trials are of the test images; {self.image_ids[other]!r} is none of them.")
        trials = self.test_trials()[[tested[row] for row in rows.tolist()]]
        labels = [self.image_ids[row] for row in rows.tolist() for _ in range(trials.shape[1])]
        return torch.from_numpy(trials.reshape(len(labels), -1)), labels, None

    def test_trials(self) -> np.ndarray:
        """Every presentation of the test images, read again: (n_images, n_repeats, n_sensors, n_times) float32.

        For distances that are cross-validated or decoded over trials, see :func:`brainnet.rsa.rdm`. Version 2 alone.
        """
        if self.version == 1:
            raise ValueError("test_trials are of version 2, whose trials are published as such.")
        trials, kept = _things_eeg.read_trials(self.root, self.subject, "test", self._keep)
        return kept.columns(trials).reshape(*trials.shape[:2], len(kept.names), len(kept.times))

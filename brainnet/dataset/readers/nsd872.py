"""The 872 photographs of NSD that all eight subjects of the Algonauts challenge share, as Net2Brain bundles them.

    <root>/images/                         the photographs; rows of all responses follow their file names
           subj01/fmri/{lh,rh}*.npy        (n_images, n_vertices of the hemisphere)
           subj01/rois/                    vertex masks and labels, as in the challenge
           subj01/rdms/                    RDMs of regions, for ``brainnet rsa``

The responses are those of the challenge: z-scored within sessions, and averaged over repeats.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from brainnet.dataset.about import About
from brainnet.dataset.base import ResponseDataset, random_splits
from brainnet.dataset.readers import _algonauts as files
from brainnet.dataset.readers._checked import check_subject
from brainnet.dataset.settings import settings_of
from brainnet.stimuli import Images

ABOUT = About(
    title="Shared images of NSD (Net2Brain's bundle)",
    kind="fMRI",
    what="The 872 photographs that all eight subjects of the Algonauts challenge of 2023 have among their training "
    "images, with the responses of each subject, as Net2Brain bundles them.",
    where="Net2Brain's DatasetAlgonauts_NSD_Shared gives the address of the archive; its links have changed.",
    terms="NSD Terms and Conditions; the photographs stay under the terms of COCO.",
    size="872 photographs, and 872 x 39,548 responses of subject 1.",
    layout="""images/
metadata_shared.csv
subj01/{fmri,rois,rdms}/""",
    steps=("Download the archive by Net2Brain, unpack it, and name the folder that holds images and subj01.",),
    needs=("images/*", "subj{subject:02d}/fmri/*.npy"),
    cite="""@article{gifford2023algonauts,
  title={The Algonauts Project 2023 Challenge: How the Human Brain Makes Sense of Natural Scenes},
  author={Gifford, Alessandro T. and Lahner, Benjamin and Saba-Sadiya, Sari and Vilas, Martina G. and others},
  journal={arXiv preprint arXiv:2301.03198}, year={2023}, doi={10.48550/arXiv.2301.03198}
}
@article{allen2022massive,
  title={A massive 7T fMRI dataset to bridge cognitive neuroscience and artificial intelligence},
  author={Allen, Emily J. and St-Yves, Ghislain and Wu, Yihan and Breedlove, Jesse L. and Prince, Jacob S. and others},
  journal={Nature Neuroscience}, volume={25}, pages={116--126}, year={2022}, doi={10.1038/s41593-021-00962-x}
}""",
    verified="Run on folders in the published layout that the tests write; nobody has run it on the real files yet. "
    "The names of the files of responses are not published: one that begins with lh, and one with rh, are taken.",
    preset="folder",
)


class NSD872(ResponseDataset):
    """One subject's responses to the shared photographs.

    Ids are "nsd-00013" where file names hold that number, so that these photographs share their tokens with those of
    the data set "nsd"; else they are the file names. Responses are the left hemisphere's columns and then the right
    one's, with the regions and places of the challenge.

    Args:
        root: folder with ``images`` and ``subj01``.
        subject: 1 to 8.
        test: share (0.2) or number (200) of the images that are drawn as test images, the
            same ones for all subjects.
        val: share of the other images, or number of them, that are drawn as validation images.
        seed: of the split.

    Raises:
        FileNotFoundError: a file or folder is missing; names it.
        ValueError: files whose sizes disagree.
    """

    about = ABOUT

    def __init__(
        self,
        root: str | os.PathLike,
        subject: int = 1,
        *,
        test: float | int = 0.2,
        val: float | int = 0.1,
        seed: int = 0,
    ):
        check_subject(subject, range(1, 9))
        self.root, self.subject = Path(root), int(subject)
        folder = self.root / f"subj{subject:02d}"
        paths = [_of_side(folder / "fmri", side) for side in files.HEMISPHERES]
        responses, n_columns = files.read_fmri(paths)
        pictures = files.pictures_in(self.root / "images")
        if len(pictures) != len(responses):
            raise ValueError(f"{len(pictures)} photographs in {self.root / 'images'} but responses to {len(responses)} "
                             f"in {folder / 'fmri'}: one row belongs to each, by file name.")  # fmt: skip
        self.images = Images(pictures, [_id_of(path.stem) for path in pictures])
        super().__init__(
            self.images.ids,
            responses,
            files.read_space(folder / "rois", n_columns),
            random_splits(len(responses), test=test, val=val, seed=seed),
            noise_ceiling_definition="none: responses are averaged over repeats",
            n_repeats=3,
        )

    from_settings = settings_of(__init__)


def _of_side(folder: Path, side: str) -> Path:
    found = sorted(folder.glob(f"{side}*.npy"))
    if not found:
        raise FileNotFoundError(f"no {folder / side}*.npy, (n_images, n_vertices).")
    if len(found) > 1:
        raise ValueError(f"{folder} holds {found[0].name} and {found[1].name}; expected one file of responses a side.")
    return found[0]


def _id_of(stem: str) -> str:
    """The id of a photograph by its file name.

    >>> _id_of("train-0001_nsd-00013"), _id_of("nsd00013"), _id_of("bread")
    ('nsd-00013', 'nsd-00013', 'bread')
    """
    found = re.search(r"nsd[-_]?(\d{5})(?!\d)", stem)
    return f"nsd-{found[1]}" if found else stem

"""The 78 images (Algonauts 2019): fMRI RDMs of 15 people over photographs, and the pictures.

    <root>/images_78/image_01.jpg ...            78 pictures, in the order of their names
           rdms_78/fmri_{EVC,IT}_RDMs.npz         one RDM per person, (15, 78, 78)

or as Net2Brain's package has them: ``78images/stimuli_data`` and ``78images/brain_data``.
"""

from __future__ import annotations

from typing import ClassVar

from brainnet.dataset.about import About
from brainnet.dataset.readers._rdm_folder import RDMFolder, of_net2brain

RDMS = {
    "fmri_EVC_RDMs.npz": ("fmri_T2_EVC_RDMs.npz", "md5:abfef29954efa14c884ed28131859a2c"),
    "fmri_IT_RDMs.npz": ("fmri_T2_IT_RDMs.npz", "md5:c05d605c759bb28b6dcb9bf5a1af5f5d"),
}

ABOUT = About(
    title="78 images, Algonauts 2019",
    kind="RDMs",
    what="Fifteen people saw 78 photographs of objects on natural backgrounds in a scanner. Given are their RDMs in "
    "early visual cortex and in inferior temporal cortex; they are close to noise.",
    where="Net2Brain, whose repository https://github.com/cvai-roig-lab/Net2Brain held them at the commit 05ac462.",
    terms="The terms of the data are not stated; Net2Brain's own license is of the kind of BSD-3.",
    size="3.7 MB.",
    layout="""images_78/image_01.jpg ...
rdms_78/fmri_EVC_RDMs.npz
rdms_78/fmri_IT_RDMs.npz""",
    steps=("Or unpack Net2Brain's package of 78 images; the folder 78images may lie anywhere.",),
    needs=("**/fmri_*_RDMs.npz",),
    downloads=of_net2brain(78, RDMS),
    cite="""@article{cichy2019algonauts,
  title={The {Algonauts} project: A platform for communication between the sciences of biological and artificial
         intelligence},
  author={Cichy, Radoslaw Martin and Roig, Gemma and Andonian, Alex and Dwivedi, Kshitij and Lahner, Benjamin and
          Lascelles, Alex and others},
  journal={arXiv preprint arXiv:1905.05675}, year={2019}
}""",
    verified="Run on the published RDMs and pictures; the noise ceilings are the challenge's own to four digits. "
    "Nothing was fetched from the addresses yet.",
)


class Images78(RDMFolder):
    """RDMs of 15 people over 78 photographs, in early visual cortex and in inferior temporal cortex.

    Image ids are file names without suffix, "image_01". Regions are "EVC" (early visual cortex) and "IT" (inferior
    temporal cortex). People hardly agree: the lower noise
    ceiling is all but 0, so that these RDMs cannot tell models apart.

    Args:
        root: folder of ``images_78`` and ``rdms_78``, or of ``78images``.
        regions: "EVC", "IT" or both; None takes both.

    Raises:
        FileNotFoundError: no such folders, or no RDMs in them.
        ValueError: a damaged file, or RDMs over another number of pictures.
    """

    about = ABOUT
    n_pictures: ClassVar[int | None] = 78
    published: ClassVar[tuple[str, ...]] = ("EVC", "IT")

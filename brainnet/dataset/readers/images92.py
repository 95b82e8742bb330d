"""The 92 images (Algonauts 2019): fMRI RDMs of 15 people over cut-out objects, and the pictures.

    <root>/images_92/image_01.jpg ...            92 pictures, in the order of their names
           rdms_92/fmri_{EVC,IT}_RDMs.npz         one RDM per person, (15, 92, 92)

or as Net2Brain's package has them: ``92images/stimuli_data`` and ``92images/brain_data``.
"""

from __future__ import annotations

from typing import ClassVar

from brainnet.dataset.about import About
from brainnet.dataset.readers._rdm_folder import RDMFolder, of_net2brain

RDMS = {
    "fmri_EVC_RDMs.npz": ("fmri_EVC_RDMs.npz", "md5:d44eb80fed2d931f9915891504ba051d"),
    "fmri_IT_RDMs.npz": ("fmri_IT_RDMs.npz", "md5:dca41a157fd1336a5aeb63d5e8097de3"),
}

ABOUT = About(
    title="92 images, Algonauts 2019",
    kind="RDMs",
    what="Fifteen people saw 92 photographs of faces, bodies, animals, plants and things on a white background in a "
    "scanner. Given are their RDMs in early visual cortex and in inferior temporal cortex.",
    where="Net2Brain, whose repository https://github.com/cvai-roig-lab/Net2Brain held them at the commit 05ac462.",
    terms="The terms of the data are not stated; Net2Brain's own license is of the kind of BSD-3.",
    size="2.5 MB.",
    layout="""images_92/image_01.jpg ...
rdms_92/fmri_EVC_RDMs.npz
rdms_92/fmri_IT_RDMs.npz""",
    steps=("Or unpack Net2Brain's package of 92 images; the folder 92images may lie anywhere.",),
    needs=("**/fmri_*_RDMs.npz",),
    downloads=of_net2brain(92, RDMS),
    cite="""@article{cichy2014resolving,
  title={Resolving human object recognition in space and time},
  author={Cichy, Radoslaw Martin and Pantazis, Dimitrios and Oliva, Aude},
  journal={Nature Neuroscience}, volume={17}, number={3}, pages={455--462}, year={2014}, doi={10.1038/nn.3635}
}
@article{kriegeskorte2008matching,
  title={Matching categorical object representations in inferior temporal cortex of man and monkey},
  author={Kriegeskorte, Nikolaus and Mur, Marieke and Ruff, Douglas A. and Kiani, Roozbeh and Bodurka, Jerzy and
          Esteky, Hossein and Tanaka, Keiji and Bandettini, Peter A.},
  journal={Neuron}, volume={60}, number={6}, pages={1126--1141}, year={2008}, doi={10.1016/j.neuron.2008.10.043}
}
@article{cichy2019algonauts,
  title={The {Algonauts} project: A platform for communication between the sciences of biological and artificial
         intelligence},
  author={Cichy, Radoslaw Martin and Roig, Gemma and Andonian, Alex and Dwivedi, Kshitij and Lahner, Benjamin and
          Lascelles, Alex and others},
  journal={arXiv preprint arXiv:1905.05675}, year={2019}
}""",
    verified="Run on the published RDMs and pictures; the noise ceilings are the challenge's own to four digits. "
    "Nothing was fetched from the addresses yet.",
)


class Images92(RDMFolder):
    """RDMs of 15 people over 92 cut-out objects, in early visual cortex and in inferior temporal cortex.

    Image ids are file names without suffix, "image_01". Regions are "EVC" (early visual cortex) and "IT" (inferior
    temporal cortex). The white background makes models of
    early layers, and pixels, look alike.

    Args:
        root: folder of ``images_92`` and ``rdms_92``, or of ``92images``.
        regions: "EVC", "IT" or both; None takes both.

    Raises:
        FileNotFoundError: no such folders, or no RDMs in them.
        ValueError: a damaged file, or RDMs over another number of pictures.
    """

    about = ABOUT
    n_pictures: ClassVar[int | None] = 92
    published: ClassVar[tuple[str, ...]] = ("EVC", "IT")

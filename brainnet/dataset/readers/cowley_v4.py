"""Cowley et al. (2023): spike counts of macaque V4 units to color photographs, a recording session at a time.

<root>/images_201025.zip         the photographs, in the order of the responses
       avg_201025.npy            (n_units, n_images) means over repeats
       raw_210325.npy            optional: (n_units, n_images, n_repeats), NaN where a repeat is missing
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from brainnet.dataset.about import About, Download
from brainnet.dataset.arrays import ArrayDataset
from brainnet.dataset.readers._checked import expect_type
from brainnet.dataset.repeats import mean_of_repeats
from brainnet.dataset.settings import settings_of
from brainnet.dataset.tables import read_table
from brainnet.space import BrainSpace
from brainnet.stimuli import Images

LARGEST = "201025"
REPOSITORY = "https://raw.githubusercontent.com/cowleygroup/V4_compact_models"
RESPONSES = "d1b3526933e6bad537140a53b54abe797588f23b/data_V4_responses"  # the commit that brought all of them
# name here, commit and place there, digest
FILES = {
    "images_201025.zip": ("af82f72c64315676b33fd5d416e06efdbd4028de/data_V4_responses/images/images_201025.zip",
                          "md5:5fff3f4ad968c43a5aaa71281a27895c"),
    "avg_201025.npy": (f"{RESPONSES}/responses_repeat_averaged/responses_201025.npy",
                       "md5:98c58724b25cde73e38c3cca53697192"),
    "images_210325.zip": ("c6b96b0d640f9abfc06912b0388e9ea5f23b5b77/data_V4_responses/images/images_210325.zip",
                          "md5:4daeb9d079313d25ab244ab91af6aaaa"),
    "avg_210325.npy": (f"{RESPONSES}/responses_repeat_averaged/responses_210325.npy",
                       "md5:905fefebc72f351261ab7eeb7352e9d5"),
    "raw_210325.npy": (f"{RESPONSES}/responses_raw/responses_210325.npy", "md5:f637bce156b0111d0ae48f3d069809b7"),
}  # fmt: skip

ABOUT = About(
    title="Macaque V4, Cowley et al. 2023",
    kind="spikes",
    what="A macaque saw natural color photographs of 112 x 112 pixels while spikes of units in V4 were counted: 89 "
    "units and 1,200 photographs in session 201025, 50 units and 640 photographs, six to ten times each, in session "
    "210325.",
    where="The authors' repository, https://github.com/cowleygroup/V4_compact_models.",
    terms="GPL-3.0, as the repository.",
    size="5.0 MB of session 201025, 4.7 MB of session 210325.",
    layout="""images_<session>.zip      the photographs; the order of their names is that of the responses
avg_<session>.npy         means over repeats, (units, images)
raw_<session>.npy         optional, for noise ceilings: (units, images, repeats), NaN where a repeat is missing""",
    steps=(
        "Of other sessions: put `images_<session>.zip` of `data_V4_responses/images`, and `responses_<session>.npy` of "
        "`responses_repeat_averaged` and of `responses_raw` as `avg_<session>.npy` and `raw_<session>.npy`, into one "
        "folder.",
    ),
    needs=("images_{session}*", "avg_{session}*.npy"),
    downloads=tuple(
        Download(name, f"{REPOSITORY}/{place}", digest=digest, option=f"session={name[-10:-4]}")
        for name, (place, digest) in FILES.items()
    ),
    cite="""@article{cowley2023compact,
  title={Compact deep neural network models of visual cortex},
  author={Cowley, Benjamin R. and Stan, Patricia L. and Pillow, Jonathan W. and Smith, Matthew A.},
  journal={bioRxiv}, year={2023}, doi={10.1101/2023.11.22.568315}
}""",
    verified="Run on the real recordings of sessions 201025 and 210325: shapes, pictures, and that the means of "
    "session 210325 are those of its single repeats. The preset v4_squeezenet scores a mean test r of .643 and .645 on "
    "them. Nothing was fetched from the addresses yet.",
    preset="v4_squeezenet",
)


class CowleyV4(ArrayDataset):
    """One session of spike counts in macaque V4; a response column is a unit, the mean over its repeats.

    Image ids begin with the session, "201025-image12", as sessions showed other photographs under the same names.
    Where single repeats were kept they give the noise ceiling.

    Args:
        root: the folder of the sessions.
        session: such as "210325"; "" takes 201025 where it is there, else the first that is.
        test: share (0.2) or number (200) of the images that are drawn as test images.
        val: share of the other images, or number of them, that are drawn as validation images.
        seed: of these draws.

    Raises:
        FileNotFoundError: no sessions there.
        ValueError: an unknown session (names those there are), or arrays that do not fit together.
    """

    about = ABOUT

    def __init__(
        self,
        root: str | os.PathLike,
        session: str | int = "",
        *,
        test: float | int = 0.2,
        val: float | int = 0.1,
        seed: int = 0,
    ):
        self.root = Path(root)
        sessions = self.sessions_in(self.root)
        if not sessions:
            raise FileNotFoundError(f"no images_<session>.zip with avg_<session>.npy in {self.root}.")
        self.session = str(session) or (LARGEST if LARGEST in sessions else sessions[0])
        found = self.files_of(self.root, self.session)
        images = Images(found["images"])
        ids = [f"{self.session}-{name}" for name in images.ids]
        means = read_table(found["responses"], "responses").values
        expect_type(found["responses"], means.dtype, "f", "means over repeats are real numbers")
        if found["repeats"] is not None:
            self._check_means(means, found["repeats"], found["responses"])
        super().__init__(**(found | {"images": Images(found["images"], ids)}), test=test, val=val, seed=seed)
        self.space = BrainSpace(sensors=[f"{self.session}-{unit}" for unit in range(self.n_voxels)])

    from_settings = settings_of(__init__)

    @staticmethod
    def _check_means(means: np.ndarray, repeats: Path, responses: Path) -> None:
        """Refuses single repeats that are not those of the means, as in session 210325 to the last bit."""
        trials = read_table(repeats, "repeats").values
        if trials.ndim != 3 or trials.shape[:2] != means.shape:
            return  # which is refused where the axes are known
        own = mean_of_repeats(trials)
        other = ~np.isclose(own, means, rtol=1e-4, atol=1e-4, equal_nan=True)
        if other.any():
            raise ValueError(
                f"the means of {repeats} over its repeats differ from {responses} in {other.sum():,} of {other.size:,} "
                "values; expected the same: one of the two is damaged, or of another session. Single repeats only give "
                f"the noise ceiling: without {repeats.name} there is none."
            )

"""Freeman and Ziemba et al. (2013): units in macaque V1 and V2 to textures and to noise of the same spectrum.

    <root>/<assembly>.nc        (205 neuroids, presentations, 300 time bins of 1 ms), 20 presentations of 135 pictures
           <stimuli>.{csv,zip}  the table that lists the pictures that were shown, and the pictures

The pictures with and without aperture have different ids: the assembly's ids say which are meant.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, ClassVar

from brainnet.dataset.about import About, Download
from brainnet.dataset.readers.brainscore import BrainScore
from brainnet.dataset.settings import settings_of

# addresses and checksums of Brain-Score's own registry (brainscore_vision, data/freemanziemba2013)
BUCKET = "https://brainscore-storage.s3.amazonaws.com/brainio-brainscore"
FILES = {
    "assy_movshon_FreemanZiemba2013_public.nc": "sha1:761c08f796db4e342555cdb60eef23a4f19ead43",
    "stimulus_FreemanZiemba2013_aperture-public.csv": "sha1:194c9b301a4e3e9cff02481d4c19b39331d52660",
    "stimulus_FreemanZiemba2013_aperture-public.zip": "sha1:3a6fec1fc28c212882d6833e267ea8654d289611",
}

ABOUT = About(
    title="Freeman and Ziemba et al. 2013",
    kind="spikes",
    what="102 units in V1 and 103 in V2 of macaques, 20 presentations of textures of 15 families and of noise of the "
    "same spectrum; 135 pictures are public. Spikes are counted in 300 bins of 1 ms.",
    where="Brain-Score's bucket brainio, now brainscore-storage/brainio-brainscore, without a key; the package "
    "brainscore_vision loads it as FreemanZiemba2013.public.",
    terms="No license is stated.",
    size="The public assembly has 205 x 2,700 x 300 numbers, 0.7 GB at 4 bytes each.",
    layout="""<assembly of FreemanZiemba2013>.nc
<table of its stimuli>.csv
<its pictures>.zip""",
    steps=("Put the assembly, the table of stimuli and the zip of pictures into one folder; they may stay packed.",),
    needs=("*FreemanZiemba2013*.nc",),
    downloads=tuple(Download(name, f"{BUCKET}/{name}", digest=digest) for name, digest in FILES.items()),
    cite="""@article{freeman2013functional,
  title={A functional and perceptual signature of the second visual area in primates},
  author={Freeman, Jeremy and Ziemba, Corey M. and Heeger, David J. and Simoncelli, Eero P. and Movshon, J. Anthony},
  journal={Nature Neuroscience}, volume={16}, number={7}, pages={974--981}, year={2013}, doi={10.1038/nn.3402}
}""",
    verified="Run on files in the published layout that the tests write; nobody has run it on the real files yet. The "
    "addresses and checksums are Brain-Score's own; nothing was fetched from there yet.",
    preset="majajhong",
)


class FreemanZiemba(BrainScore):
    """Units in macaque V1 and V2 to textures and noise, the public part of the recordings of Freeman and Ziemba.

    By default a response is the mean count from 50 to 200 ms, as in Brain-Score's benchmark.

    Args:
        root: folder of the assembly and its stimuli.
        file: the assembly, where there are several.
        where: which units, coordinate -> value or values, such as {"region": "V2"}; None takes all.
        window: first and last time in seconds.
        over_time: a column for each time, not the mean over them.
        average: with ``over_time``, bins of 1 ms of which the mean is one column.
        test: share (0.2) or number (200) of the images that are drawn as test images.
        val: share of the other images, or number of them, that are drawn as validation images.
        seed: of these draws.
        progress: show a progress bar.
    """

    about = ABOUT
    patterns: ClassVar[tuple[str, ...]] = ("*FreemanZiemba2013*.nc",)

    def __init__(
        self,
        root: str | os.PathLike,
        *,
        file: str = "",
        where: Mapping[str, Any] | None = None,
        window: tuple[float, float] | None = (0.05, 0.2),
        over_time: bool = False,
        average: int = 10,
        test: float | int = 0.2,
        val: float | int = 0.1,
        seed: int = 0,
        progress: bool = True,
    ):
        super().__init__(root, file=file, where=where, window=window, over_time=over_time, average=average, test=test,
                         val=val, seed=seed, progress=progress)  # fmt: skip

    from_settings = settings_of(__init__)

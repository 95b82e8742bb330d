"""NSD with NSD-imagery beside it: twelve pictures that were seen, and imagined, as splits that are only ever predicted.

    <root>/nsddata/bdata/nsdimagery/nsdimagery_subj01_visA.tsv                the condition of each trial of a run
           nsddata_betas/ppdata/subj01/<space>/nsdimagery<version>/           betas_nsdimagery
           nsddata/experiments/nsdimagery/rawtargetimages/                    the twelve pictures

and all that ``nsd`` reads. Of three sets the pictures of A (bars and crosses) and B (photographs) are read; those of C
are words with a picture of their own in every trial. Trials of attention are not read.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from brainnet.dataset.readers import _nsd as files
from brainnet.dataset.readers._checked import read_columns
from brainnet.dataset.readers._nsd_further import add_splits, beta_files
from brainnet.dataset.readers.nsd import ABOUT, NSD
from brainnet.dataset.trials import conditions
from brainnet.stimuli import Images

TRIALS, OF_A_RUN = 720, 48
RUNS = {  # split -> run -> the first of its trials among all betas
    "vision": {"visA": 0, "visB": 192},
    "imagery": {"imgA_1": 144, "imgB_1": 336, "imgA_2": 576, "imgB_2": 624},
}
PICTURES = {  # condition -> the picture it stands for
    "H": "bar_000.0deg_450L_43W.png", "R": "bar_045.0deg_450L_43W.png", "V": "bar_090.0deg_450L_43W.png",
    "L": "bar_135.0deg_450L_43W.png", "P": "crs_000.0deg_450L_43W.png", "E": "crs_045.0deg_450L_43W.png",
    "W": "shared0385_nsd28752.png", "K": "shared0413_nsd30857.png", "B": "shared0741_nsd53882.png",
    "C": "shared0842_nsd61178.png", "D": "shared0907_nsd65873.png", "T": "shared0000_nsd00000.png",
}  # fmt: skip
TARGETS = "nsddata/experiments/nsdimagery/rawtargetimages"


class NSDImagery(NSD):
    """One subject of the Natural Scenes Dataset, with the splits "vision" and "imagery" of NSD-imagery.

    Everything is as in :class:`~brainnet.dataset.readers.nsd.NSD`, the data set "nsd", whose options and splits it has.
    Twelve pictures were seen (8 times each) and imagined (16 times): both are further splits, never trained on, with
    noise ceilings of their own. Their ids are "nsdimagery-vision-H" and "nsdimagery-imagery-H", by the letter that was
    the cue.

    Raises:
        FileNotFoundError: a file is missing; names it.
        ValueError: a file of another shape, type, subject or order; names it, what it holds and what was expected.
        MemoryError: the responses do not fit into memory.
    """

    about = replace(
        ABOUT,
        title="Natural Scenes Dataset with NSD-imagery",
        what=ABOUT.what + " In a further session they saw and imagined twelve pictures, which are only ever predicted "
        "here.",
        layout=ABOUT.layout + f"""
nsddata/bdata/nsdimagery/nsdimagery_subj01_{{visA,visB,imgA_1,imgA_2,imgB_1,imgB_2}}.tsv
nsddata_betas/ppdata/subj01/<space>/nsdimagery<version>/betas_nsdimagery...
{TARGETS}/""",
        steps=(*ABOUT.steps,
               "Fetch nsddata_betas/ppdata/subj01/SPACE/nsdimageryVERSION in the same way; the rest is in nsddata."),
        needs=(*ABOUT.needs, f"{TARGETS}/*.png", "nsddata/bdata/nsdimagery/nsdimagery_subj{subject:02d}_*.tsv",
               "nsddata_betas/ppdata/subj{subject:02d}/{space}/nsdimagery{version}/*betas_nsdimagery.*"),
        verified=ABOUT.verified + " Which picture a cue stands for was seen in one public script only.",
    )  # fmt: skip

    def __init__(
        self,
        root: str | os.PathLike,
        subject: int = 1,
        *,
        space: str = "fsaverage",
        version: str = "betas_fithrf_GLMdenoise_RR",
        region: str = "nsdgeneral",
        standardize: bool = True,
        **options: Any,
    ):
        super().__init__(root, subject, space=space, version=version, region=region, standardize=standardize, **options)
        folder = self.root / f"nsddata_betas/ppdata/subj{subject:02d}/{space}/nsdimagery{version}"
        paths = beta_files(folder, "betas_nsdimagery", space)
        columns, _ = self._columns(space, region, paths)
        betas = files.read_session(paths, space, columns, TRIALS)
        if standardize:  # over the whole session, of which some trials are read
            spread = betas.std(0)
            betas = (betas - betas.mean(0)) / np.where(spread > 0, spread, np.nan)
        found, names, pictures = {}, [], []
        images = self._pictures()
        for split, runs in RUNS.items():
            cues = [cue for run in runs for cue in self._cues(run)]
            trials = np.concatenate([start + np.arange(OF_A_RUN) for start in runs.values()])
            found[split] = conditions(betas[trials], cues, standardize=False)
            names += [f"nsdimagery-{split}-{cue}" for cue in found[split].ids]
            pictures += [(images, list(PICTURES).index(cue)) for cue in found[split].ids]
        add_splits(self, found, names, pictures)

    def _cues(self, run: str) -> list[str]:
        path = self.root / f"nsddata/bdata/nsdimagery/nsdimagery_subj{self.subject:02d}_{run}.tsv"
        table = read_columns(path, ("CONDITION",), sep="\t")
        whose = {re.sub(r"\D", "", cell.partition(".")[0]).lstrip("0") for cell in table.get("SUBJECT", ())}
        other = whose - {str(self.subject)}
        if other:
            raise ValueError(f"{path} is of subject {min(other)!r}; expected subject {self.subject}.")
        cues = table["CONDITION"]
        if len(cues) != OF_A_RUN:
            raise ValueError(f"{path} has {len(cues)} trials; expected {OF_A_RUN}.")
        unknown = next((cue for cue in cues if cue not in PICTURES), None)
        if unknown is not None:
            raise ValueError(f"{path} has the condition {unknown!r}; known are {', '.join(PICTURES)}.")
        return cues

    def _pictures(self) -> Images:
        folder = self.root / TARGETS
        if not folder.is_dir():
            raise FileNotFoundError(f"no folder {folder}: it holds the twelve pictures of NSD-imagery.")
        return Images([Path(folder / name) for name in PICTURES.values()], list(PICTURES))

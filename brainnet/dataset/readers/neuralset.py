"""Studies of neuralset and neuralfetch whose events are images, with fMRI, MEG or EEG.

neuralset finds, fetches and reads some 140 studies in one manner; each whose stimuli are images becomes a data set.
It needs Python 3.12: ``pip install "brainnet[neuralset]"``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from brainnet.dataset.about import About
from brainnet.dataset.base import SPLITS, ResponseDataset, random_splits
from brainnet.dataset.readers import _neuralset as source
from brainnet.dataset.readers._checked import check_memory
from brainnet.dataset.trials import conditions
from brainnet.stimuli import Images

ABOUT = About(
    title="Studies of neuralset",
    kind="fMRI",
    what="Any study of the packages neuralset and neuralfetch whose events are images and whose recording is fMRI, MEG "
    "or EEG, such as Allen2022Massive, Chang2019Bold5000, Hebart2023ThingsMeg and Gifford2022Large.",
    where="pip install neuralset neuralfetch (Python 3.12 or newer); each study says where its data come from.",
    terms="The packages are MIT; the data are under the terms of each study.",
    size="That of the study.",
    layout="FOLDER/<Study>/, as the study lays it out",
    steps=(
        'pip install "brainnet[neuralset]", with Python 3.12 or newer.',
        'python -c \'import neuralset; neuralset.Study(name="STUDY", path="FOLDER").download()\', or put files '
        "that you have into FOLDER/STUDY.",
    ),
    cite="""@misc{neuralset2026,
  title={neuralset and neuralfetch, version 0.4.0},
  note={MIT License; cite the study whose data are read as well}
}""",
    verified="Run with neuralset 0.4.0 on its example of every modality (fMRI, MEG, EEG), and on a study of our own "
    "whose values equal those of its files (Python 3.12 and 3.13); of the studies that it fetches none has been read "
    "yet.",
)


class NeuralSet(ResponseDataset):
    """One subject of a study of neuralset: the mean response to each image, in a window after it appeared.

    These are responses in the time series itself, as neuralset gives them: not the betas of a linear model. fMRI is
    averaged over the window, one volume 4 s after the image by default; of MEG and EEG every sensor at every time is a
    column.

    Args:
        root: folder in which neuralset keeps the study.
        study: its name, such as "Chang2019Bold5000".
        subject: as in the study; "" where there is one.
        recording: "Fmri", "Meg" or "Eeg"; "" where there is one.
        window: first and last second after an image's onset; None takes one volume at 4 s, or 0 to 0.6 s of M/EEG.
        query: which events, in neuralset's own language; a partial copy of a study needs one.
        extractor: options of neuralset's extractor, such as ``{"baseline": [-0.1, 0]}``. fMRI is not cleaned unless
            ``{"cleaning": {...}}`` asks for it.
        standardize: z-score each column within its run, before averaging.
        test: share (0.2) or number (200) of the images that are drawn as test images,
            where the study has no split of its own.
        val: share of the other images, or number of them, that are drawn as validation images.
        seed: of these draws.

    Attributes:
        trials: the :class:`~brainnet.dataset.trials.Conditions` the responses are from, without these.
        groups: the timeline (a run) in which each image was first shown.

    Raises:
        ModuleNotFoundError: neuralset is not installed.
        ValueError: an unknown study or subject; stimuli that are no images; or an image in two splits.
    """

    about = ABOUT

    def __init__(
        self,
        root: str | os.PathLike,
        study: str,
        subject: str = "",
        *,
        recording: str = "",
        window: tuple[float, float] | None = None,
        query: str = "",
        extractor: Mapping[str, Any] | None = None,
        standardize: bool = True,
        test: float | int = 0.2,
        val: float | int = 0.1,
        seed: int = 0,
    ):
        if window is not None and not (len(window) == 2 and window[0] < window[1]):
            raise ValueError(f"window is a first and a later second, got {window!r}.")
        segments = source.load_segments(
            Path(root), study, str(subject), recording, window, query, dict(extractor or {})
        )
        table = segments.triggers
        paths = [_file_of(str(path)) for path in table.filepath]
        names = dict(zip(dict.fromkeys(paths), _names(list(dict.fromkeys(paths)), Path(root)), strict=True))
        where, inside = source.space_of(segments)
        check_memory(len(names), where.n_voxels, max(table.timeline.value_counts()))
        order = [row for timeline in dict.fromkeys(table.timeline) for row in table.index[table.timeline == timeline]]
        shown = [names[paths[row]] for row in order]
        found = conditions(
            source.blocks_of(segments, inside), shown, runs=[table.timeline[row] for row in order],
            standardize=standardize,
        )  # fmt: skip
        file_of = {name: path for path, name in names.items()}
        self.images = Images([file_of[name] for name in found.ids], ids=found.ids)
        splits = _splits(table, [names[path] for path in paths], found.ids, study)
        splits = splits or random_splits(len(found.ids), test=test, val=val, seed=seed)
        ceiling = found.noise_ceiling(splits["test"]) if len(splits.get("test", ())) else None
        known = ceiling is not None and bool(found.ncsnr.isfinite().any())
        super().__init__(
            found.ids,
            found.responses,
            where,
            splits,
            noise_ceiling=ceiling.r.float() if known else None,
            noise_ceiling_definition=f"{ceiling.definition}, about K = {ceiling.n_repeats}"
            if known
            else "none: no image was shown twice",
            n_repeats=ceiling.n_repeats if known else 1,
        )
        self.trials, self.groups = found, found.first_groups()
        self.settings = {
            "study": study, "recording": segments.recording, "seconds after onset": segments.times[0],
            "window": None if window is None else list(window), "query": query, "extractor": dict(extractor or {}),
            "standardize": standardize,
        }  # fmt: skip

    @classmethod
    def from_settings(
        cls,
        data_dir: str,
        seed: int,
        *,
        study: str = "",
        subject: str = "",
        recording: str = "",
        window: tuple[float, float] | None = None,
        query: str = "",
        extractor: Mapping[str, Any] | None = None,
        standardize: bool = True,
        test: float | int = 0.2,
        val: float | int = 0.1,
    ) -> NeuralSet:
        """The subject of ``study``, which is needed, in ``data_dir``; the options are those of :class:`NeuralSet`."""
        if not study:
            raise ValueError("the data set 'neuralset' needs its option study, such as Chang2019Bold5000.")
        return cls(data_dir, study, subject, recording=recording, window=window, query=query, extractor=extractor,
                   standardize=standardize, test=test, val=val, seed=seed)  # fmt: skip


def _file_of(text: str) -> str:
    """The path of an image's event.

    Raises:
        ValueError: the image is made by the study's own code and has no file.
    """
    if text.lstrip().startswith("{"):
        try:
            said = json.loads(text)
        except ValueError:
            said = {}
        raise ValueError(
            f"an image of this study is made by its own code ({', '.join(map(str, said)) or text[:40]}) and has no "
            "file: only images in files are read."
        )
    return text


def _names(paths: list[str], root: Path) -> list[str]:
    """The stable name of each file: its path below the folder of the study, without suffix, else its bare name."""
    below = [Path(path).resolve() for path in paths]
    home = root.resolve()
    names = [
        (path.relative_to(home) if path.is_relative_to(home) else Path(path.name)).with_suffix("").as_posix()
        for path in below
    ]
    return names if len(set(names)) == len(names) else [path.as_posix() for path in below]


def _splits(table: Any, names: list[str], ids: list[str], study: str) -> dict[str, torch.Tensor] | None:
    """The study's own split, "train", "val" and "test" -> rows of ``ids``; None where it has none.

    Raises:
        ValueError: an image in two splits, or a split of another name.
    """
    if "split" not in table or not table.split.notna().any():
        return None
    found: dict[str, str] = {}
    for name, split in zip(names, table.split, strict=True):
        if not isinstance(split, str) or split not in SPLITS:
            raise ValueError(f"{study} puts image {name!r} into the split {split!r}; expected {', '.join(SPLITS)}.")
        if found.setdefault(name, split) != split:
            raise ValueError(f"{study} has image {name!r} in the splits {found[name]} and {split}.")
    splits = {split: [row for row, name in enumerate(ids) if found[name] == split] for split in SPLITS}
    return {split: torch.tensor(rows, dtype=torch.long) for split, rows in splits.items()}

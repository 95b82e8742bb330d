"""A time series of your own: a folder with a file of responses per run, and a table of what was shown when.

<root>/runs/<run>.npy     (n_volumes, n_voxels); or (n_repeats, n_volumes, n_voxels) of a run that was repeated
stimuli.csv        run,onset,duration,stimulus: seconds of the run, a line per stimulus (optional). A column "text"
                   holds the words themselves; then there may be no column "stimulus"
stimuli/           texts, sounds, videos or images, named as in the column "stimulus" (optional)
coords.npy         (n_voxels, 3) mm, or coords.csv (optional)
rois.csv           a column per region (optional)
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from brainnet._checks import warn_once
from brainnet._files import reading
from brainnet.dataset.readers._checked import expect_type, numbers, read_columns
from brainnet.dataset.shown import in_context
from brainnet.dataset.tables import read_rois, read_table
from brainnet.dataset.time_series import Cleaning, TimeSeries, Window
from brainnet.space import BrainSpace
from brainnet.stimuli import natural_sort


class SeriesFolder(TimeSeries):
    """The runs in a folder, in natural order of their names.

    Args:
        root: the folder.
        tr: seconds from one volume to the next.
        test, val: names of the runs that are held out, with commas or in a list.
        trim: volumes left out at the start and at the end of every run.
        start: seconds of the clock of the stimuli at which the first volume begins.
        degree: of the polynomial of slow drifts that is taken off each run; None takes off none.
        scale: "run" z-scores each run by its own mean and SD, "training" divides by the SD of the training runs,
            and "none" leaves the scale.
        cutoff: seconds; slower cosines are taken off each run. None takes off none.
        block: seconds of the blocks that tests and intervals draw whole.
        context: how many texts of the run before a text a network of text reads with it.

    Raises:
        FileNotFoundError: no runs.
        ValueError: a file of another shape or type, or a text that is empty; names it.
    """

    def __init__(
        self, root: str | os.PathLike, tr: float, *, test: Sequence[str] | str = (), val: Sequence[str] | str = (),
        trim: Sequence[int] = (0, 0), start: float = 0.0, degree: int | None = 1, scale: str = "run",
        cutoff: float | None = None, block: float = 40.0, context: int = 0,
    ):  # fmt: skip
        root = Path(root)
        if not isinstance(trim, Sequence) or len(trim) != 2:
            raise ValueError(
                f"trim is the volumes left out at the start and at the end of a run, as [3, 2]; got {trim}."
            )
        files = natural_sort([str(path) for path in (root / "runs").glob("*.npy")])
        if not files:
            raise FileNotFoundError(f"no runs/*.npy under {root}: a file of responses (n_volumes, n_voxels) per run.")
        runs = {Path(file).stem: _responses(Path(file)) for file in files}
        kinds = {run.dtype.kind in "iu": name for name, run in reversed(runs.items())}
        if len(kinds) > 1:
            warn_once(
                f"kinds {root.absolute()}",
                f"{root}/runs/{kinds[True]}.npy holds whole numbers ({runs[kinds[True]].dtype}) and {kinds[False]}.npy "
                f"{runs[kinds[False]].dtype}: if one was saved as another kind, its decimals are lost.",
            )
        windows, texts = _stimuli(root / "stimuli.csv")
        super().__init__(
            runs, tr, test=names_of(test), val=names_of(val), trim=(int(trim[0]), int(trim[1])), start=start,
            space=_space(root, next(iter(runs.values())).shape[-1]), stimuli=windows,
            cleaning=Cleaning(degree, scale, cutoff), block=block,
        )  # fmt: skip

        if texts:
            self.shown = in_context(self.stimuli, texts, context)
        elif (root / "stimuli").is_dir():
            self.shown = root / "stimuli"

    @classmethod
    def from_settings(
        cls, data_dir: str, seed: int, *, tr: float = 0.0, test: Any = (), val: Any = (), trim: Sequence[int] = (0, 0),
        start: float = 0.0, degree: int | None = 1, scale: str = "run", cutoff: float | None = None,
        block: float = 40.0, context: int = 0,
    ) -> SeriesFolder:  # fmt: skip
        """The folder ``data_dir``; ``tr`` must be given."""
        return cls(data_dir, tr, test=test, val=val, trim=trim, start=start, degree=degree, scale=scale,
                   cutoff=cutoff, block=block, context=context)  # fmt: skip


def names_of(names: Any) -> list[str]:
    """Names in a list, or in a text with commas.

    >>> names_of("a, b"), names_of(["a"]), names_of("")
    (['a', 'b'], ['a'], [])
    """
    if isinstance(names, str):
        return [name.strip() for name in names.split(",") if name.strip()]
    return [str(name) for name in names]


def _responses(path: Path) -> np.ndarray:
    with reading(path, "array"):
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    expect_type(path, values.dtype, "fiu", "responses are numbers")
    return values


def _stimuli(path: Path) -> tuple[dict[str, list[Window]], dict[str, str]]:
    """Run -> windows, and stimulus -> text where the table has texts."""
    if not path.is_file():
        return {}, {}
    columns = read_columns(path, ("run", "onset", "duration"))
    if "stimulus" not in columns and "text" not in columns:
        raise ValueError(f"{path} has neither a column 'stimulus' nor a column 'text'; one says what was shown.")
    texts = columns.get("text", [])
    empty = next((row for row, text in enumerate(texts, 2) if not text.strip()), None)
    if empty is not None:
        raise ValueError(f"{path}: the text in row {empty} is empty. Give it words, or leave the row out.")
    names = columns.get("stimulus", [f"text{row + 1:04d}" for row in range(len(texts))])
    onsets, durations = (numbers(path, name, columns[name]) for name in ("onset", "duration"))
    found: dict[str, list[Window]] = {}
    for run, onset, duration, name in zip(columns["run"], onsets, durations, names, strict=True):
        found.setdefault(run, []).append(Window(float(onset), float(duration), name))
    of_name: dict[str, str] = {}
    for row, (name, text) in enumerate(zip(names, texts, strict=False), 2):
        if of_name.setdefault(name, text) != text:
            raise ValueError(f"{path}: row {row} gives the stimulus {name!r} another text than a row before it.")
    return found, of_name


def _space(root: Path, n_voxels: int) -> BrainSpace:
    rois = read_rois(root / "rois.csv") if (root / "rois.csv").is_file() else {}
    coords = next((root / name for name in ("coords.npy", "coords.csv") if (root / name).is_file()), None)
    if coords is None:
        return BrainSpace.free(n_voxels, rois)
    return BrainSpace(
        coords=torch.tensor(np.asarray(read_table(coords, "coords").values), dtype=torch.float32), rois=rois
    )

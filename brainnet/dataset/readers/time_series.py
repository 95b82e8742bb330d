"""A time series of your own: a folder with a file of responses per run, and a table of what was shown when.

<root>/runs/<run>.npy     (n_volumes, n_voxels); or (n_repeats, n_volumes, n_voxels) of a run that was repeated
stimuli.csv        run,onset,duration,stimulus: seconds of the run, a line per stimulus (optional)
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

from brainnet._files import reading
from brainnet.dataset.readers._checked import expect_type, numbers, read_columns
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
        degree, scale, cutoff: how responses are cleaned, see :class:`brainnet.dataset.Cleaning`.
        block: seconds of the blocks that tests and intervals draw whole.

    Raises:
        FileNotFoundError: no runs.
        ValueError: a file of another shape or type; names it.
    """

    def __init__(
        self, root: str | os.PathLike, tr: float, *, test: Sequence[str] | str = (), val: Sequence[str] | str = (),
        trim: Sequence[int] = (0, 0), start: float = 0.0, degree: int | None = 1, scale: str = "run",
        cutoff: float | None = None, block: float = 40.0,
    ):  # fmt: skip
        root = Path(root)
        files = natural_sort([str(path) for path in (root / "runs").glob("*.npy")])
        if not files:
            raise FileNotFoundError(f"no runs/*.npy under {root}: a file of responses (n_volumes, n_voxels) per run.")
        runs = {Path(file).stem: _responses(Path(file)) for file in files}
        super().__init__(
            runs, tr, test=names_of(test), val=names_of(val), trim=(int(trim[0]), int(trim[1])), start=start,
            space=_space(root, next(iter(runs.values())).shape[-1]), stimuli=_stimuli(root / "stimuli.csv"),
            cleaning=Cleaning(degree, scale, cutoff), block=block,
        )  # fmt: skip

    @classmethod
    def from_settings(
        cls, data_dir: str, seed: int, *, tr: float = 0.0, test: Any = (), val: Any = (), trim: Sequence[int] = (0, 0),
        start: float = 0.0, degree: int | None = 1, scale: str = "run", cutoff: float | None = None,
        block: float = 40.0,
    ) -> SeriesFolder:  # fmt: skip
        """The folder ``data_dir``; ``tr`` must be given."""
        return cls(data_dir, tr, test=test, val=val, trim=trim, start=start, degree=degree, scale=scale,
                   cutoff=cutoff, block=block)  # fmt: skip


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


def _stimuli(path: Path) -> dict[str, list[Window]]:
    if not path.is_file():
        return {}
    columns = read_columns(path, ("run", "onset", "duration", "stimulus"))
    onsets, durations = (numbers(path, name, columns[name]) for name in ("onset", "duration"))
    found: dict[str, list[Window]] = {}
    for run, onset, duration, name in zip(columns["run"], onsets, durations, columns["stimulus"], strict=True):
        found.setdefault(run, []).append(Window(float(onset), float(duration), name))
    return found


def _space(root: Path, n_voxels: int) -> BrainSpace:
    rois = read_rois(root / "rois.csv") if (root / "rois.csv").is_file() else {}
    coords = next((root / name for name in ("coords.npy", "coords.csv") if (root / name).is_file()), None)
    if coords is None:
        return BrainSpace.free(n_voxels, rois)
    return BrainSpace(
        coords=torch.tensor(np.asarray(read_table(coords, "coords").values), dtype=torch.float32), rois=rois
    )

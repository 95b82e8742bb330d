"""The files of a BIDS folder with derivatives: runs of one subject, their events, confounds and times, each checked."""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from brainnet._checks import warn_once
from brainnet._files import reading
from brainnet.dataset.readers._checked import read_columns, there
from brainnet.dataset.readers._trials_glm import Events, Glm
from brainnet.stimuli import names_meant

_OF_A_RUN = ("sub", "ses", "task", "acq", "ce", "rec", "dir", "run", "echo", "part")
_OF_A_SPACE = ("space", "res", "den", "cohort")
SERIES = (("_desc-preproc_bold.nii.gz", "volume"), ("_bold.dtseries.nii", "cifti"), ("_bold.func.gii", "surface"))


@dataclass(frozen=True)
class Run:
    """One run: its entities, such as {"sub": "01", "run": "2"}, the space, and its file, or both hemispheres' files."""

    entities: Mapping[str, str]
    space: str
    kind: str
    files: tuple[Path, ...]

    @property
    def label(self) -> str:
        """What tells it from other runs of the subject: "ses-01_task-x_run-2"."""
        return "_".join(f"{key}-{value}" for key, value in self.entities.items() if key != "sub")


def subject_of(root: Path, subject: Any) -> str:
    """The label of a subject's folder, "01" for 1, "01" or "sub-01".

    Raises:
        FileNotFoundError: the folder has no such subject; says which there are.
    """
    known = sorted(path.name.removeprefix("sub-") for path in root.glob("sub-*") if path.is_dir())
    wanted = str(subject).removeprefix("sub-")
    same = [
        name for name in known if name == wanted or (wanted.isdigit() and name.isdigit() and int(name) == int(wanted))
    ]
    if not same:
        listing = ", ".join(known[:12]) or "none"
        raise FileNotFoundError(f"no folder of the subject {wanted} in {root}; there are: {listing}.")
    return same[0]


def entities_of(name: str) -> dict[str, str]:
    """The key-value pairs of a file's name.

    >>> entities_of("sub-01_task-rest_run-2_space-T1w_desc-preproc_bold.nii.gz")["run"]
    '2'
    """
    return dict(re.findall(r"(?:^|_)([a-zA-Z]+)-([a-zA-Z0-9+]+)", name))


def find_runs(folder: Path, subject: str, task: str = "", space: str = "") -> list[Run]:
    """The preprocessed series of one subject, task and space, in the order of sessions and runs.

    Args:
        folder: of the derivatives, such as ``derivatives/fmriprep``.
        subject: without "sub-".
        task: which; "" where there is one.
        space: as in the names, with ``_res-2`` or the like where there are several; "" where there is one.

    Raises:
        FileNotFoundError: no series of that kind; says what there is.
        ValueError: several tasks or spaces and none chosen, or a hemisphere that is missing.
    """
    found: dict[tuple[str, str, str], dict[tuple, list[Path]]] = {}
    for path in sorted((folder / f"sub-{subject}").rglob("*_bold*")):
        kind = next((kind for suffix, kind in SERIES if path.name.endswith(suffix)), None)
        entities = entities_of(path.name)
        if kind is None or "task" not in entities:
            continue
        place = "_".join(entities[key] if key == "space" else f"{key}-{entities[key]}" for key in _OF_A_SPACE
                         if key in entities) or "T1w"  # fmt: skip
        run = tuple((key, entities[key]) for key in _OF_A_RUN if key in entities)
        found.setdefault((entities["task"], place, kind), {}).setdefault(run, []).append(path)
    if not found:
        raise FileNotFoundError(
            f"no preprocessed series of sub-{subject} in {folder}: expected names that end with "
            f"{', '.join(suffix for suffix, _ in SERIES)}."
        )
    kept = {key: runs for key, runs in found.items() if (not task or key[0] == task) and (not space or key[1] == space)}
    if len(kept) != 1:
        listing = "; ".join(f"task {a}, space {b}" + (f" ({c})" if c != "volume" else "") for a, b, c in sorted(found))
        problem = "none of that task and space" if not kept else f"{len(kept)} kinds, and task= and space= choose one"
        raise ValueError(f"series of sub-{subject} in {folder}: {problem}. There are: {listing}.")
    (((_, place, kind), runs),) = kept.items()
    return [
        _run(dict(run), place, kind, files) for run, files in sorted(runs.items(), key=lambda item: _order(item[0]))
    ]


def _order(run: Sequence[tuple[str, str]]) -> list[Any]:
    return [(key, int(value) if value.isdigit() else -1, value) for key, value in run]


def _run(entities: dict[str, str], space: str, kind: str, files: list[Path]) -> Run:
    if kind == "surface":
        sides = {entities_of(path.name).get("hemi"): path for path in files}
        if set(sides) != {"L", "R"} or len(files) != 2:
            raise ValueError(
                f"{files[0].parent}: {', '.join(p.name for p in files)}; expected one of hemi-L and hemi-R."
            )
        files = [sides["L"], sides["R"]]
    elif len(files) != 1:
        raise ValueError(f"{files[0].parent}: {', '.join(p.name for p in files)} are of one run; expected one file.")
    return Run(entities, space, kind, tuple(files))


def sibling(root: Path, run: Run, suffix: str, below: Path) -> Path:
    """A file of a run, or of its task, in the folder of its subject or further up, as BIDS lets files be inherited.

    Raises:
        FileNotFoundError: none; names the one that was expected first.
    """
    name = "_".join(f"{key}-{value}" for key, value in run.entities.items())
    here = below.relative_to(root) if below.is_relative_to(root) else Path()
    subject = f"sub-{run.entities['sub']}"
    folders = [below] if not here.parts else [root.joinpath(*here.parts[:n]) for n in range(len(here.parts), -1, -1)]
    tried = [folder / f"{name}{suffix}" for folder in folders]
    shorter = [f"{subject}_task-{run.entities['task']}{suffix}", f"task-{run.entities['task']}{suffix}"]
    tried += [folder / one for folder in folders for one in shorter]
    return there(next((path for path in tried if path.is_file()), tried[0]), "a file of this run")


def func_folder(root: Path, run: Run) -> Path:
    """Where the files of a run lie: sub-X[/ses-Y]/func."""
    session = [f"ses-{run.entities['ses']}"] if "ses" in run.entities else []
    return root.joinpath(f"sub-{run.entities['sub']}", *session, "func")


def find_events(root: Path, subject: str, task: str = "") -> list[tuple[Run, Path]]:
    """The runs of one subject and task by their files of events, in the order of sessions and runs.

    Raises:
        FileNotFoundError: there are none.
        ValueError: several tasks and none chosen.
    """
    paths = sorted((root / f"sub-{subject}").rglob("*_events.tsv"))
    found = [(entities_of(path.name), path) for path in paths]
    tasks = sorted({entities.get("task", "") for entities, _ in found})
    if not tasks or (task and task not in tasks):
        raise FileNotFoundError(f"no events of task {task!r} for sub-{subject} in {root}; tasks: {tasks or 'none'}.")
    if not task and len(tasks) > 1:
        raise ValueError(f"sub-{subject} has events of the tasks {', '.join(tasks)}: choose one with task=.")
    runs = [(tuple((key, one[key]) for key in _OF_A_RUN if key in one), path) for one, path in found
            if not task or one.get("task") == task]  # fmt: skip
    return [(Run(dict(run), "", "events", (path,)), path) for run, path in sorted(runs, key=lambda one: _order(one[0]))]


def warn_of_missing_series(root: Path, runs: Sequence[Run], folder: Path) -> None:
    """Warns of runs of the same task that have events and no series: their trials are not read."""
    subject, task = runs[0].entities["sub"], runs[0].entities["task"]
    told = {path: entities_of(path.name) for path in sorted((root / f"sub-{subject}").rglob("*_events.tsv"))}
    told = {path: tuple((key, one[key]) for key in _OF_A_RUN if key in one)
            for path, one in told.items() if one.get("task") == task and "run" in one}  # fmt: skip
    there_are = {tuple(run.entities.items()) for run in runs}
    missing = [path for path, entities in told.items() if entities not in there_are]
    if missing:
        warn_once(
            f"no series {missing[0]}",
            f"{len(missing)} of {len(told)} runs with events have no preprocessed series in {folder}, such as "
            f"{missing[0].name}: their trials are not read.",
        )


def repetition_time(root: Path, run: Run) -> tuple[float, float]:
    """Seconds from volume to volume, and the time of the first: of the side-car file, else of the header.

    Raises:
        ValueError: neither says it.
    """
    series, start = run.files[0], 0.0
    stem = re.sub(r"\.(nii\.gz|dtseries\.nii|func\.gii)$", "", series.name)
    sidecars = [series.with_name(f"{stem}.json"), series.with_name(f"{stem.replace('_desc-preproc', '')}.json")]
    name = "_".join(f"{key}-{value}" for key, value in run.entities.items())
    sidecars += [func_folder(root, run) / f"{name}_bold.json", root / f"task-{run.entities['task']}_bold.json"]
    for path in sidecars:
        if path.is_file():
            with reading(path, "JSON file"):
                said = json.loads(path.read_text(encoding="utf-8-sig"))
                if not isinstance(said, dict):
                    raise ValueError(f"it holds {type(said).__name__}")
            if said.get("RepetitionTime"):
                return float(said["RepetitionTime"]), float(said.get("StartTime") or start)
    step = _step_of_header(series)
    if not step:
        raise ValueError(f"{series} says no repetition time, nor does a {stem}.json beside it.")
    return step, start


def _step_of_header(path: Path) -> float:
    import nibabel

    with reading(path, "series"):
        image = nibabel.load(path)
        if path.name.endswith(".func.gii"):
            return 0.0
        if path.name.endswith(".dtseries.nii"):
            return float(image.header.get_axis(0).step)
        unit = {"msec": 1e-3, "usec": 1e-6}.get(image.header.get_xyzt_units()[1], 1.0)
        return float(image.header.get_zooms()[3]) * unit if len(image.shape) == 4 else 0.0


def read_events(path: Path, column: str, ids: Sequence[str], glm: Glm) -> tuple[Events, list[str]]:
    """The trials of a run, those events whose column names an image, and which image each showed.

    Args:
        path: events.tsv.
        column: which names the image, such as "stim_file".
        ids: of the images.
        glm: whose ``nuisance`` names further events to model.

    Raises:
        ValueError: no such column, no trial, an image that is not there, or a time that is no number; names the line.
    """
    cells = read_columns(path, ("onset", "duration", column), sep="\t")
    n, known = len(cells["onset"]), _by_name(ids)
    images, rows = [], []
    for i, name in enumerate(cells[column]):
        if name.strip() in ("", "n/a"):
            continue
        found = next((one for one in names_meant(name.strip()) if one in known), None)
        if found is not None:
            images.append(known[found])
            rows.append(i)
        elif column == "stim_file":
            raise ValueError(f"{path}, line {i + 2}: no image {name!r} among {len(known)}, such as {ids[0]!r}.")
    if not rows:
        raise ValueError(f"{path}: no event names an image in its column {column}.")
    times = {name: _seconds(path, name, cells[name]) for name in ("onset", "duration")}
    shown = set(rows)
    kinds = cells.get("trial_type", ["n/a"] * n)
    others = {}
    for name in glm.nuisance:
        places = [i for i, kind in enumerate(kinds) if kind == name and i not in shown]
        if places:
            others[name] = (times["onset"][places], times["duration"][places])
    onsets = times["onset"][rows]
    if np.isnan(onsets).any():
        raise ValueError(f"{path}, line {rows[int(np.flatnonzero(np.isnan(onsets))[0])] + 2}: the trial has no onset.")
    order = np.argsort(onsets, kind="stable")
    events = Events(onsets[order], np.nan_to_num(times["duration"][rows])[order], others)
    return events, [images[i] for i in order]


def _by_name(ids: Sequence[str]) -> dict[str, str]:
    """What an image may be called -> its id: the id, and without its folders where one image is called so."""
    bare = [name.rpartition("/")[2] for name in ids]
    return {name: one for name, one in zip(bare, ids, strict=True) if bare.count(name) == 1} | {one: one for one in ids}


def _seconds(path: Path, name: str, cells: Sequence[str]) -> np.ndarray:
    values = np.full(len(cells), np.nan)
    for i, cell in enumerate(cells):
        if cell.strip() not in ("", "n/a"):
            try:
                values[i] = float(cell)
            except ValueError:
                raise ValueError(f"{path}, line {i + 2}: the {name} {cell!r} is no number of seconds.") from None
    return values


def read_confounds(run: Run, glm: Glm, n_volumes: int) -> np.ndarray | None:
    """(n_volumes, n) the chosen columns of the confounds file; "n/a" is 0, as of the first volume's derivatives.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a pattern that no column is like, or another number of lines than volumes.
    """
    if not glm.confounds:
        return None
    name = "_".join(f"{key}-{value}" for key, value in run.entities.items() if key not in ("echo", "part"))
    folder = run.files[0].parent
    names = [f"{name}_desc-confounds_{word}.tsv" for word in ("timeseries", "regressors")]
    path = there(next((folder / one for one in names if (folder / one).is_file()), folder / names[0]),
                 "confounds; the setting confounds [] fits without any")  # fmt: skip
    cells = read_columns(path, (), sep="\t")
    chosen = []
    for pattern in glm.confounds:
        like = fnmatch.filter(cells, pattern)
        if not like:
            raise ValueError(f"{path} has no column like {pattern!r}; it has {', '.join(list(cells)[:10])}, ...")
        chosen += [one for one in like if one not in chosen]
    values = np.stack([np.nan_to_num(_seconds(path, one, cells[one])) for one in chosen], 1)
    if len(values) != n_volumes:
        raise ValueError(f"{path} has {len(values)} lines for {n_volumes} volumes of {run.files[0].name}.")
    return values

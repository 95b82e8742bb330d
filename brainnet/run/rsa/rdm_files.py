"""Files of RDMs as the commands about geometry read them: regions with subjects, courses over time, models with layers.

A model or a region is a file; a folder is the files in it, in the order a person counts. Which axis is which follows
from what a file is read as, and is written into the RDMs; nothing is guessed from names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from brainnet.dataset import DATASETS, RDMSet
from brainnet.dataset.rdm_sets import holds_rdms
from brainnet.rsa import RDMs
from brainnet.rsa.files import FORMATS
from brainnet.stimuli import natural_sort


class Read(NamedTuple):
    """One file or folder that was read: as what, under which name, and what it holds.

    >>> str(Read("brain", "meg", ("s1", "s2"), "subject", 6))
    'brain meg: 2 subjects (s1, s2) x 6 times'
    """

    role: str
    name: str
    labels: tuple[str, ...]
    axis: str
    n_times: int | None = None

    def __str__(self) -> str:
        shown = ", ".join(self.labels[:4]) + (", ..." if len(self.labels) > 4 else "")
        times = "" if self.n_times is None else f" x {self.n_times} times"
        return (
            f"{self.role} {self.name}: {len(self.labels)} {self.axis}{'s' * (len(self.labels) != 1)} ({shown}){times}"
        )


def as_read(role: str, files: Mapping[str, RDMs | list[RDMs]]) -> list[Read]:
    """What was read, of regions, courses or models."""
    found = []
    for name, rdms in files.items():
        one, n_times = (rdms[0], len(rdms)) if isinstance(rdms, list) else (rdms, None)
        found.append(Read(role, name, one.names, next(iter(one.axes)), n_times))
    return found


def read_files(paths: Sequence[str | Path], key: str | None) -> dict[str, RDMs]:
    """Name -> RDMs of a file: named after the file, with its folder where two share a name.

    "images92=FOLDER" is the data set of RDMs of that name in a folder, each of its regions a file.
    ``rdms.npz`` is what ``write_rdms`` calls every file: such a one is named after its folder.
    """
    sets, rest = _of_data_sets(paths)
    if not rest:
        return sets
    files: list[Path] = []
    for path in map(Path, rest):
        if path.is_dir():
            inside = [name for name in natural_sort(p.name for p in path.iterdir()) if Path(name).suffix in FORMATS]
            if not inside:
                raise FileNotFoundError(f"no RDM files in {path}; readable are {', '.join(FORMATS)}.")
            files += [path / name for name in inside]
        else:
            files.append(path)
    folders = [file.resolve().parent.name for file in files]
    stems = [folder if file.name == "rdms.npz" else file.stem for file, folder in zip(files, folders, strict=True)]
    names = [
        stem if stems.count(stem) == 1 else f"{folder}/{stem}" for stem, folder in zip(stems, folders, strict=True)
    ]
    if len({*names, *sets}) < len(names) + len(sets):
        twice = max(names, key=lambda name: names.count(name) + (name in sets))
        raise ValueError(f"two files are called {twice!r}; rename one, or give it once.")
    return sets | {name: RDMs.load(file, key) for name, file in zip(names, files, strict=True)}


def read_regions(paths: Sequence[str | Path], key: str | None, role: str = "brain RDMs") -> dict[str, RDMs]:
    """Name -> one RDM per subject, on the axis "subject"."""
    regions = read_files(paths, key)
    if not regions:
        raise ValueError(f"give at least one file of {role}, with one RDM per subject.")
    for name, rdms in regions.items():
        if len(rdms.axes) > 1:
            raise ValueError(
                f"{name!r} holds {len(rdms)} RDMs on several axes ({_sizes(rdms)}), such as subjects and sessions, or"
                " subjects and times; expected is one RDM per subject. For scores over time use `brainnet rsa time`"
                " (compare_over_time). Otherwise average the other axes first."
            )
    return {name: rdms.with_axes("subject") for name, rdms in regions.items()}


def read_models(paths: Sequence[str | Path], key: str | None) -> dict[str, RDMs]:
    """Name -> the RDMs of a model, on the axis "layer".

    A folder whose files are all called ``RDM_<layer>`` and hold one RDM each, as Net2Brain writes them, is one model.
    """
    networks: dict[str, RDMs] = {}
    rest = []
    for path in map(Path, paths):
        layers = _layers_of_net2brain(path, key) if path.is_dir() else None
        if layers is None:
            rest.append(path)
        elif path.resolve().name in networks:
            raise ValueError(f"two models are called {path.resolve().name!r}; rename one, or give it once.")
        else:
            networks[path.resolve().name] = layers
    networks |= read_files(rest, key) if rest else {}
    if not networks:
        raise ValueError("give at least one file of model RDMs: --model.")
    return {
        name: RDMs(rdms.values, rdms.metric, rdms.names, rdms.conditions, {"layer": rdms.names})
        for name, rdms in networks.items()
    }


def _layers_of_net2brain(folder: Path, key: str | None) -> RDMs | None:
    """The layers of a network, a file each, in the order a person counts; None where it is another folder."""
    files = [path for path in folder.iterdir() if path.suffix in FORMATS]
    if not files or not all(path.stem.startswith("RDM_") for path in files):
        return None
    layers = read_files([folder], key)
    if any(len(rdms) > 1 for rdms in layers.values()):
        return None
    names = [stem.removeprefix("RDM_") if rdms.names == ("0",) else rdms.names[0] for stem, rdms in layers.items()]
    return RDMs.stack(layers.values(), names)


def _of_data_sets(paths: Sequence[str | Path]) -> tuple[dict[str, RDMs], list[str | Path]]:
    """The regions of data sets that are named, with their set's name where there are several; and the other paths."""
    found: dict[str, RDMSet] = {}
    rest = []
    for path in paths:
        name, told, folder = str(path).partition("=")
        if not told or name not in DATASETS or Path(path).exists():
            rest.append(path)
        elif not holds_rdms(DATASETS[name]):
            raise ValueError(f"the data set {name!r} holds responses, not RDMs: name a file of RDMs.")
        elif name in found:
            raise ValueError(f"the data set {name!r} is named twice; give it once.")
        else:
            found[name] = DATASETS[name].from_settings(folder, 0)
    front = {name: f"{name}/" if len(found) > 1 else "" for name in found}
    return {f"{front[name]}{region}": rdms for name, one in found.items() for region, rdms in one.rdms.items()}, rest


class Courses(NamedTuple):
    """RDMs over time: name -> one ``RDMs`` of all subjects per time point, and the times where the files say them."""

    rdms: dict[str, list[RDMs]]
    times: list[float] | None


def read_courses(paths: Sequence[str | Path], key: str | None) -> Courses:
    """RDMs over time of each file or folder; times are in seconds, where every file has them on its axis "time"."""
    courses: dict[str, list[RDMs]] = {}
    labels: dict[str, tuple[str, ...]] = {}
    for name, rdms, timed in _courses_of(paths, key):
        if len(rdms.axes["time"]) < 2:
            raise ValueError(
                f"{name} holds {len(rdms.axes['subject'])} subjects with one RDM each: that is no course over"
                " time. Expected is (n_subjects, n_times, ...), or a folder with a file of time points per subject;"
                " without times use `brainnet rsa compare` (compare_rdms)."
            )
        if name in courses:
            raise ValueError(f"two inputs are called {name!r}; rename one, or give it once.")
        courses[name] = rdms.along("time")
        labels[name] = rdms.axes["time"] if timed else ()
    if not courses:
        raise ValueError("give at least one file of brain RDMs over time.")
    lengths = {name: len(course) for name, course in courses.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"every region needs the same times, got {lengths}.")
    return Courses(courses, _seconds(labels))


def _courses_of(paths: Sequence[str | Path], key: str | None) -> Iterator[tuple[str, RDMs, bool]]:
    """Name, RDMs on "subject" and "time", and whether times are named; a folder of regions over time is its files."""
    for path in map(Path, paths):
        if not path.is_dir():
            yield path.stem, *_of_file(path, key)
            continue
        inside = read_files([path], key)
        if all(len(rdms.axes) == 2 for rdms in inside.values()):
            for name, rdms in inside.items():
                yield name, *_over_time(rdms)
        else:
            yield path.resolve().name, *_of_folder(path, inside)


def _seconds(labels: Mapping[str, tuple[str, ...]]) -> list[float] | None:
    """The times that all regions have, where all say them."""
    if not all(labels.values()):
        return None
    different = next((name for name, of in labels.items() if of != next(iter(labels.values()))), None)
    if different is not None:
        first = next(iter(labels))
        raise ValueError(
            f"every region needs the same times, but those of {different!r} are {labels[different][0]} to"
            f" {labels[different][-1]} s and those of {first!r} {labels[first][0]} to {labels[first][-1]} s."
        )
    said = next(iter(labels.values()))
    if said == tuple(map(str, range(len(said)))):  # counted, no seconds
        return None
    try:
        return [float(label) for label in said]
    except ValueError:
        return None


def _of_file(path: Path, key: str | None) -> tuple[RDMs, bool]:
    """RDMs on the axes "subject" and "time"; and whether the file itself names the times."""
    rdms = RDMs.load(path, key)
    if set(rdms.axes) == {"time"}:  # of one subject, as a data set writes them
        return RDMs(rdms.values, rdms.metric, None, rdms.conditions, {"subject": (path.stem,), **rdms.axes}), True
    if len(rdms.axes) != 2:
        raise ValueError(
            f"{path.name} holds {len(rdms)} RDMs; over time expected are (n_subjects, n_times, n, n) or"
            " (n_subjects, n_times, n_pairs), or a folder with a file of time points per subject."
        )
    return _over_time(rdms)


def _over_time(rdms: RDMs) -> tuple[RDMs, bool]:
    """RDMs of two axes as subjects and times; and whether they were called so."""
    named = set(rdms.axes) == {"subject", "time"}
    return rdms if named else rdms.with_axes("subject", "time"), named


def _of_folder(path: Path, by_subject: Mapping[str, RDMs]) -> tuple[RDMs, bool]:
    for name, rdms in by_subject.items():
        if len(rdms.axes) > 1:
            raise ValueError(f"{name!r} in {path} has several axes ({_sizes(rdms)}); expected are its time points.")
    lengths = {name: len(rdms) for name, rdms in by_subject.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"the subjects in {path} have different numbers of time points: {lengths}.")
    stacked = RDMs.stack(by_subject.values())
    labels = {name: rdms.axes.get("time", ()) for name, rdms in by_subject.items()}
    known = _seconds(labels) is not None
    times = next(iter(labels.values())) if known else tuple(map(str, range(next(iter(lengths.values())))))
    axes = {"subject": tuple(by_subject), "time": times}
    return RDMs(stacked.values, stacked.metric, None, stacked.conditions, axes), known


def _sizes(rdms: RDMs) -> str:
    return " x ".join(str(len(labels)) for labels in rdms.axes.values())

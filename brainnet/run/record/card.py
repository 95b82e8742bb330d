"""The parts every run card has: when, by which command, with which versions, on which machine, in how long."""

from __future__ import annotations

import ctypes
import os
import platform
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from brainnet import __version__
from brainnet._files import file_digest, plain, read_json, sha256, write_json
from brainnet.run.record.runs import read_card, seal_of

if TYPE_CHECKING:
    from brainnet.dataset import ResponseDataset

CARD_FORMAT = 1
_STATUS = Path("/proc/self/status")


class Clock:
    """Wall and CPU seconds by part."""

    def __init__(self):
        self.parts: dict[str, dict[str, float]] = {}
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        self._began = self._wall

    def elapsed(self) -> float:
        """Wall seconds since the beginning."""
        return time.perf_counter() - self._began

    def lap(self, name: str) -> None:
        """Ends the part called ``name``, which began where the one before ended."""
        wall, cpu = time.perf_counter(), time.process_time()
        self.parts[name] = {"wall_s": round(wall - self._wall, 2), "cpu_s": round(cpu - self._cpu, 2)}
        self._wall, self._cpu = wall, cpu


def refuse_others(out: Path, *kinds: str) -> None:
    """Refuses a file, a place that cannot be written, and a folder whose run card is of no such kind.

    The files of another command would be replaced, or pass for this one's.
    """
    if os.path.isfile(out):  # of os.path: a Path raises where one may not look into the folder above
        raise FileExistsError(f"--out {out} is a file; name a folder.")
    above = next(folder for folder in (out, *out.absolute().parents) if os.path.exists(folder))
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise PermissionError(
            f"--out {out} cannot be written: {above} is no folder that you may write to.{_container_hint()}"
        )
    kind = kind_of(out)
    if kind == "":
        raise FileExistsError(f"{out / 'run.json'} is no run card of brainnet; choose another --out.")
    if kind is not None and kind not in kinds:
        raise FileExistsError(f"{out} holds the results of `brainnet {kind}`; choose another --out.")


def _container_hint() -> str:
    if not Path("/.dockerenv").exists():
        return ""
    return ' In Docker, make the folder before you mount it, and run with --user "$(id -u):$(id -g)".'


def kind_of(out: Path) -> str | None:
    """The command that filled a folder, such as "fit"; "" where a run.json does not say, None where there is no sign.

    A card that was cut short or damaged still says it, since the kind is the first entry: such a folder can be filled
    again by the same command.
    """
    card = out / "run.json"
    if not card.is_file():
        return "fit" if (out / "config.yaml").is_file() else None  # begun, and not finished yet
    try:
        found = read_json(card)
    except ValueError:
        said = re.match(rb'\s*\{\s*"kind":\s*"([\w -]+)"', card.read_bytes())
        return said[1].decode() if said else ""
    return str(found.get("kind", "fit" if "backbone" in found else ""))


def opening(kind: str, packages: Sequence[str]) -> dict[str, Any]:
    """The first entries of a card: kind, format, time, command, versions, commit and machine.

    >>> sorted(opening("fit", ["numpy"])["versions"])
    ['brainnet', 'numpy', 'python']
    """
    return {
        "kind": kind,
        "format": CARD_FORMAT,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "command": _command(),
        "versions": {"brainnet": __version__, "python": platform.python_version(), **_versions(packages)},
        "commit": _git_commit(),
        "machine": {"system": platform.platform(), "cpus": os.cpu_count(), "threads": torch.get_num_threads()},
    }


def _command() -> str:
    """The line that was typed; brainnet by its name alone, as the folder where it is installed often names a person."""
    program = Path(sys.argv[0])
    own = program.stem == "brainnet" or program.parts[-2:] == ("brainnet", "__main__.py")
    return shlex.join(["brainnet" if own else sys.argv[0], *sys.argv[1:]])


def data_card(name: str, dataset: ResponseDataset) -> dict[str, Any]:
    """The entries of a card that say which data were used: "data", "splits" and "noise_ceiling"."""
    return {
        "data": {
            "name": name,
            "n_images": len(dataset),
            "n_voxels": dataset.n_voxels,
            "image_ids_sha256": sha256("\n".join(dataset.image_ids).encode()),
            "responses_sha256": sha256(np.ascontiguousarray(dataset.responses.numpy()).tobytes()),
            **({"settings": dict(dataset.settings)} if dataset.settings else {}),
        },
        "splits": {
            split: {"n": len(rows), "sha256": sha256(rows.numpy().astype("<i8").tobytes())}
            for split, rows in dataset.splits.items()
        },
        "noise_ceiling": {"definition": dataset.noise_ceiling_definition or None, "n_repeats": dataset.n_repeats},
    }


def closing(clock: Clock) -> dict[str, Any]:
    """The last entries: time by part, and the most memory this process has held (GB)."""
    peak = peak_memory()
    return {"time": clock.parts, "peak_memory_gb": None if peak is None else round(peak / 1e9, 2)}


def put_card(out: Path, card: Mapping[str, Any], clock: Clock, files: Sequence[str] = ()) -> None:
    """Writes ``run.json``: a card with its last entries, digests of result files, and a seal over what it says of them.

    Args:
        out: the folder.
        card: its entries, but for those of :func:`closing`.
        clock: with its laps.
        files: names of files in the folder which a later command reads, see :func:`check_files`.
    """
    digests = {name: file_digest(out / name) for name in files if (out / name).exists()}
    entries = plain({**card, **({"files": digests} if digests else {}), **closing(clock)})
    write_json(out / "run.json", {**entries, "seal": seal_of(entries)})


def add_files(out: Path, *names: str, **more: Any) -> None:
    """Digests of further result files, and further entries, into the card that a folder has already."""
    card = read_card(out / "run.json")
    files = card.get("files") if isinstance(card.get("files"), Mapping) else {}
    entries = {**card, **plain(more), "files": {**files, **{name: file_digest(out / name) for name in names}}}
    write_json(out / "run.json", {**entries, "seal": seal_of(entries)})


def check_files(run: Path, *names: str) -> None:
    """Refuses files of a run that are not those its card was written with; a folder without a card may hold any.

    Raises:
        ValueError: names the file.
    """
    digests = read_card(run / "run.json").get("files", {}) if (run / "run.json").is_file() else {}
    for name in names if isinstance(digests, Mapping) else ():  # not those of another tool
        if name in digests and (run / name).exists() and file_digest(run / name) != digests[name]:
            raise ValueError(f"{run / name} is damaged or of another run: it is not the file that run.json tells of.")


def peak_memory() -> int | None:
    """The most memory this process has held so far, in bytes; None where the system does not say.

    Linux' ``ru_maxrss`` begins with what the process that started this one held, such as a notebook's 20 GB, so it is
    read only where there is no ``/proc``.
    """
    for line in _STATUS.read_text().splitlines() if _STATUS.is_file() else ():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:  # Windows has no such module
        return _peak_working_set() if sys.platform == "win32" else None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS counts bytes, Linux kilobytes


class _ProcessMemoryCounters(ctypes.Structure):
    """``PROCESS_MEMORY_COUNTERS`` of Windows' psapi.h."""

    _fields_ = (
        ("cb", ctypes.c_uint32),
        ("PageFaultCount", ctypes.c_uint32),
        ("PeakWorkingSetSize", ctypes.c_size_t),
        *((f"unused_{k}", ctypes.c_size_t) for k in range(7)),
    )


def _peak_working_set() -> int | None:
    counters = _ProcessMemoryCounters(cb=ctypes.sizeof(_ProcessMemoryCounters))
    this_process = ctypes.c_void_p(-1)  # what GetCurrentProcess returns
    told = ctypes.windll.psapi.GetProcessMemoryInfo(this_process, ctypes.byref(counters), counters.cb)
    return counters.PeakWorkingSetSize if told else None


def _versions(packages: Sequence[str]) -> dict[str, str]:
    return {package: found for package in packages if (found := _version(package)) is not None}


@cache
def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git_commit() -> str | None:
    """The commit of the checkout brainnet runs from, "+" where files were changed since; None outside one."""
    here = Path(__file__).resolve().parent
    try:
        ask = lambda *words: subprocess.run(  # noqa: E731
            ["git", "-C", str(here), *words], capture_output=True, text=True, check=True, timeout=5
        ).stdout.strip()
        return ask("rev-parse", "HEAD") + ("+" if ask("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None

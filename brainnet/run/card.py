"""The parts every run card has: when, by which command, with which versions, on which machine, in how long."""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from brainnet import __version__
from brainnet._files import sha256

if TYPE_CHECKING:
    from brainnet.dataset import ResponseDataset

CARD_FORMAT = 1


class Clock:
    """Wall and CPU seconds by part."""

    def __init__(self):
        self.parts: dict[str, dict[str, float]] = {}
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def lap(self, name: str) -> None:
        """Ends the part called ``name``, which began where the one before ended."""
        wall, cpu = time.perf_counter(), time.process_time()
        self.parts[name] = {"wall_s": round(wall - self._wall, 2), "cpu_s": round(cpu - self._cpu, 2)}
        self._wall, self._cpu = wall, cpu


def refuse_others(out: Path, *kinds: str) -> None:
    """Refuses a file, and a folder whose run card is of no such kind: its files would be replaced, or pass for ours."""
    if out.exists() and not out.is_dir():
        raise FileExistsError(f"--out {out} is a file; name a folder.")
    card, kind = out / "run.json", None
    if card.is_file():
        try:
            found = json.loads(card.read_text())
        except ValueError:
            found = None
        found = found if isinstance(found, dict) else {}
        kind = found.get("kind", "fit" if "backbone" in found else "something else")
    elif (out / "config.yaml").is_file():
        kind = "fit"  # begun, and not finished yet
    if kind is not None and kind not in kinds:
        raise FileExistsError(f"{out} holds the results of `brainnet {kind}`; choose another --out.")


def opening(kind: str, packages: Sequence[str]) -> dict[str, Any]:
    """The first entries of a card: kind, format, time, command, versions, source and machine.

    >>> sorted(opening("fit", ["numpy"])["versions"])
    ['brainnet', 'numpy', 'python']
    """
    return {
        "kind": kind,
        "format": CARD_FORMAT,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "command": " ".join(sys.argv),
        "versions": {"brainnet": __version__, "python": platform.python_version(), **_versions(packages)},
        "source": _git_commit(),
        "machine": {"system": platform.platform(), "cpus": os.cpu_count(), "threads": torch.get_num_threads()},
    }


def closing(clock: Clock) -> dict[str, Any]:
    """The last entries: time by part, and the most memory this process has held (GB)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"time": clock.parts, "peak_memory_gb": round(peak, 2)}


def _versions(packages: Sequence[str]) -> dict[str, str]:
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


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


def data_card(name: str, dataset: ResponseDataset) -> dict[str, Any]:
    """The entries of a card that say which data were used: "data", "splits" and "noise_ceiling"."""
    return {
        "data": {
            "name": name,
            "n_images": len(dataset),
            "n_voxels": dataset.n_voxels,
            "image_ids_sha256": sha256("\n".join(dataset.image_ids).encode()),
            "responses_sha256": sha256(np.ascontiguousarray(dataset.responses.numpy()).tobytes()),
        },
        "splits": {
            split: {"n": len(rows), "sha256": sha256(rows.numpy().astype("<i8").tobytes())}
            for split, rows in dataset.splits.items()
        },
        "noise_ceiling": {"definition": dataset.noise_ceiling_definition or None, "n_repeats": dataset.n_repeats},
    }

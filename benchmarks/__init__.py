"""Measurements, one file per question: ``python -m benchmarks`` lists them, ``python -m benchmarks NAME`` runs one.

Read the ratios. Everything compared is measured in one run and in turns (a, b, a, b, ...), so that a machine shared
with others treats all alike; CPU-seconds count every thread of the process, wall time is what a user waits for.
"""

from __future__ import annotations

import os
import platform
import statistics
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

RESULTS = Path(__file__).parent / "results"


class Timing(NamedTuple):
    """Medians over repeats, in seconds, and the fastest and slowest wall time."""

    cpu: float
    wall: float
    fastest: float
    slowest: float


def measure(
    functions: Mapping[str, Callable[[], Any]],
    *,
    repeats: int = 7,
    warmup: int = 1,
    after: Callable[[], Any] | None = None,
) -> dict[str, Timing]:
    """Timing of each function; they take turns, so that a noisy machine is noisy for all.

    Args:
        functions: name -> a call without arguments.
        repeats: measured calls of each.
        warmup: calls before them.
        after: called within the measured time, such as ``torch.cuda.synchronize``.
    """
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in functions}
    for turn in range(warmup + repeats):
        for name, function in functions.items():
            wall, cpu = time.perf_counter(), time.process_time()
            function()
            if after is not None:
                after()
            if turn >= warmup:
                taken[name].append((time.process_time() - cpu, time.perf_counter() - wall))
    timings = {}
    for name, pairs in taken.items():
        cpus, walls = zip(*pairs, strict=True)
        timings[name] = Timing(statistics.median(cpus), statistics.median(walls), min(walls), max(walls))
    return timings


def peak_memory(function: Callable[[], Any], every: float = 0.001) -> int:
    """Bytes by which this process's resident memory grew at most while ``function`` ran (Linux; sampled)."""
    page = os.sysconf("SC_PAGE_SIZE")

    def resident() -> int:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * page

    before, peak, done = resident(), 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(every):
            peak = max(peak, resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        function()
        peak = max(peak, resident())
    finally:
        done.set()
        watcher.join()
    return max(0, peak - before)


def environment() -> str:
    """One line: versions, processor, threads, GPU, how busy the machine was."""
    import torch

    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        model = next((s.split(":")[1].strip() for s in info.read_text().splitlines() if "model name" in s), model)
    parts = [
        f"Python {platform.python_version()}",
        f"torch {torch.__version__}",
        f"{model}, {os.cpu_count()} cores, {torch.get_num_threads()} threads",
        torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU",
    ]
    if hasattr(os, "getloadavg"):
        parts.append(f"load {os.getloadavg()[0]:.1f}")
    return "; ".join(parts)


def seconds(value: float) -> str:
    """A duration for people.

    >>> seconds(0.00123), seconds(4.5)
    ('1.23 ms', '4.5 s')
    """
    return f"{value:.3g} s" if value >= 1 else f"{value * 1e3:.3g} ms" if value >= 1e-3 else f"{value * 1e6:.3g} us"


def ratio(value: float) -> str:
    """How many times, for people.

    >>> ratio(48.234), ratio(1.049)
    ('48x', '1.05x')
    """
    return f"{value:.0f}x" if value >= 20 else f"{value:.3g}x"


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table, padded so that it also reads well as text.

    >>> print(table(["form", "cost"], [["a", 1], ["long", 22]]))
    | form | cost |
    | ---- | ---- |
    | a    | 1    |
    | long | 22   |
    """
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells]
    lines.insert(1, " | ".join("-" * width for width in widths))
    return "\n".join(f"| {line} |" for line in lines)


def report(name: str, sections: Sequence[str], *, out: str | Path | None = None) -> str:
    """Prints the sections under one heading, with the environment; ``out`` saves them too.

    Args:
        name: of the benchmark.
        sections: text and tables.
        out: a file, or "" for ``benchmarks/results/<name>.md``; None saves nothing.
    """
    text = "\n\n".join([f"# {name}", environment(), *sections]) + "\n"
    print(text)
    if out is not None:
        path = Path(out) if out else RESULTS / f"{name}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return text

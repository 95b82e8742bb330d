"""How work is done: with a progress bar, beside other work, in other processes, in eval mode, within memory."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from brainnet._notebook import in_notebook

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)
says_progress = logging.getLogger("brainnet.progress")  # the command line shows it also where it shows no other line

Item = TypeVar("Item")
Result = TypeVar("Result")
LINE_EVERY = 30.0  # seconds between lines of progress where there is no terminal to draw a bar on


class Interrupted(Exception):
    """Work was stopped by the user; the message says what is kept and how to go on."""


@contextmanager
def terminable() -> Iterator[None]:
    """A SIGTERM (of Slurm, of Docker) ends the block as ctrl-C does, by KeyboardInterrupt; in the main thread alone."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def progress(
    iterable: Iterable[Item], description: str, total: int | None = None, enabled: bool = True
) -> Iterator[Item]:
    """Yields the items behind one progress bar: a notebook's own in a notebook, else one on stderr.

    Where stderr is no terminal, it is a line every half minute.

    >>> list(progress(range(3), "counting", enabled=False))
    [0, 1, 2]
    """
    if total is None and hasattr(iterable, "__len__"):
        total = len(iterable)  # type: ignore[arg-type]
    if not enabled:
        yield from iterable
    elif in_notebook():
        yield from _notebook_bar(iterable, description, total)
    elif not sys.stderr.isatty():
        yield from _with_lines(iterable, description, total)
    else:
        from rich.console import Console
        from rich.progress import track

        yield from track(iterable, description, total=total, console=Console(stderr=True), transient=True)


def _notebook_bar(iterable: Iterable[Item], description: str, total: int | None) -> Iterator[Item]:
    """The bar of tqdm's notebook kind; without its widgets the one of text that tqdm then falls back to."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that ipywidgets are missing
        from tqdm.auto import tqdm
    yield from tqdm(iterable, desc=description, total=total, leave=False)


def _with_lines(iterable: Iterable[Item], description: str, total: int | None) -> Iterator[Item]:
    began = said = time.monotonic()
    for done, item in enumerate(iterable):
        now = time.monotonic()
        if now - said > LINE_EVERY:
            said = now
            left = "" if not total or not done else f", about {duration((now - began) / done * (total - done))} left"
            says_progress.info("%s: %d%s done%s", description, done, f" of {total}" if total else "", left)
        yield item


def duration(seconds: float) -> str:
    """A time span for people.

    >>> duration(42.4), duration(150), duration(9000)
    ('42 s', '2.5 min', '2.5 h')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.3g} min" if seconds < 6000 else f"{seconds / 3600:.3g} h"


def read_ahead(read: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """``read(item)`` for every item in order; a thread reads the next one while the caller uses this one.

    >>> list(read_ahead(str.upper, "abc"))
    ['A', 'B', 'C']
    """
    with ThreadPoolExecutor(1) as reader:
        coming = None
        for item in items:
            ready, coming = coming, reader.submit(read, item)
            if ready is not None:
                yield ready.result()
        if coming is not None:
            yield coming.result()


def in_threads(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int | None = None
) -> Iterator[Result]:
    """``function(item)`` for every item, in order, by several threads that are a few items ahead of the caller.

    Args:
        function: of an item; its exceptions end the loop.
        items: taken as they are needed.
        workers: threads; None takes one a core, at most 8; 0 works in this thread.

    >>> list(in_threads(str.upper, "abc", workers=2))
    ['A', 'B', 'C']
    """
    workers = min(8, os.cpu_count() or 1) if workers is None else workers
    if not workers:
        yield from map(function, items)
        return
    pool = ThreadPoolExecutor(workers)
    try:
        waiting: deque = deque()
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > 4 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:  # also where the caller stops early, or is interrupted
        pool.shutdown(wait=False, cancel_futures=True)


def parallel(n_jobs: int | None):
    """``joblib.Parallel`` over the backend in use; results come one by one, but for backends that give all at the end.

    Those are joblib's own multiprocessing, and ray.

    >>> list(parallel(1)([(abs, (-1,), {}), (abs, (2,), {})]))
    [1, 2]
    """
    import joblib

    backend, _ = joblib.parallel.get_active_backend()
    one_by_one = getattr(backend, "supports_return_generator", False)
    return joblib.Parallel(n_jobs=n_jobs, return_as="generator" if one_by_one else "list")


@contextmanager
def at_work(network: Any, device: str | torch.device | None = None) -> Iterator[torch.device]:
    """A network in eval mode, and on ``device`` where one is named, for a while; then in the mode and place it had.

    Every submodule gets its own mode back, also after an exception. What is no module is left as it is.

    Yields:
        The device its input belongs on.

    >>> from torch import nn
    >>> network = nn.Sequential(nn.Dropout(), nn.BatchNorm1d(3).eval())
    >>> with at_work(network):
    ...     network.training, network[0].training
    (False, False)
    >>> network.training, network[0].training, network[1].training
    (True, True, False)
    """
    import torch

    if not isinstance(network, torch.nn.Module):
        yield torch.device(device or getattr(network, "device", None) or "cpu")
        return
    training = [module for module in network.modules() if module.training]
    some = next(iter([*network.parameters(), *network.buffers()]), None)
    home = None if some is None else some.device
    try:
        for module in training:
            module.training = False
        if device is not None:
            network.to(device)
        yield torch.device(device or home or "cpu")
    finally:
        for module in training:
            module.training = True
        if device is not None and home is not None:
            network.to(home)


def device_of(device: str | torch.device | None = None) -> torch.device:
    """The device that a word names; "auto" and None are CUDA where there is one, then Apple's mps, then the CPU.

    Raises:
        ValueError: no such device, or none here.

    >>> device_of("cpu").type
    'cpu'
    """
    import torch

    mps = torch.backends.mps.is_available()
    if device is None or device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if mps else "cpu")
    try:
        found = torch.device(device)
    except RuntimeError:
        raise ValueError(f"device {device!r} is none that torch knows; give auto, cpu, cuda, cuda:1 or mps.") from None
    n_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if found.type == "cuda" and (found.index or 0) >= n_gpus:
        raise ValueError(
            f"there is no device {device}: torch finds {n_gpus} CUDA devices here. Leave it out for the CPU."
        )
    if found.type == "mps" and not mps:
        raise ValueError(f"there is no device {device} here. Leave it out for the CPU.")
    return found


class HalvedOnce:
    """A function of a batch that goes on with half the batch where an accelerator runs out of memory, once.

    Args:
        function: a tensor (B, ...) to anything.

    >>> twice = HalvedOnce(lambda batch: batch * 2)
    >>> import torch
    >>> [part.tolist() for part in twice(torch.arange(3))]
    [[0, 2, 4]]
    """

    def __init__(self, function: Callable[[torch.Tensor], Result]):
        self.function, self.n_parts = function, 1

    def __call__(self, batch: torch.Tensor) -> Iterator[Result]:
        """The results of the batch: one, or one for each half of it.

        Raises:
            MemoryError: half the batch does not fit either, or a batch of one.
        """
        import torch

        parts = list(batch.chunk(self.n_parts))
        while parts:
            try:
                found = self.function(parts[0])
            except RuntimeError as error:
                if not _is_out_of_memory(error):
                    raise
                said = str(error).splitlines()[0] if str(error) else "out of memory"
            else:
                parts.pop(0)
                yield found
                continue
            # here the error is gone, and with its traceback the tensors of the call that failed
            if self.n_parts > 1 or len(parts[0]) < 2:
                raise MemoryError(
                    f"the device has too little memory for batches of {len(parts[0])} ({said}). Give a smaller batch "
                    "size, fewer layers, smaller images, or work on the CPU."
                )
            self.n_parts = 2
            says_progress.info(
                "the device ran out of memory with a batch of %d: going on with batches of %d.",
                len(batch), -(-len(batch) // 2),
            )  # fmt: skip
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            parts = list(parts[0].chunk(2))


def _is_out_of_memory(error: BaseException) -> bool:
    import torch

    return isinstance(error, torch.OutOfMemoryError) or "MPS backend out of memory" in str(error)


def free_bytes(device: torch.device) -> int | None:
    """Memory that a new tensor on ``device`` may take; None where the system does not say."""
    if device.type == "cuda":
        import torch

        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # by torch, to hand out again
        return torch.cuda.mem_get_info(device)[0] + kept
    if device.type != "cpu":
        return None
    known = []
    meminfo, limit, used = (
        Path(p) for p in ("/proc/meminfo", "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current")
    )
    if meminfo.is_file():
        known += [int(line.split()[1]) * 1024 for line in meminfo.read_text().splitlines() if "MemAvailable" in line]
    if limit.is_file() and used.is_file() and (most := limit.read_text().strip()) != "max":
        known.append(int(most) - int(used.read_text()))  # a container may have less than its machine
    return min(known, default=None)


def multiplies_bfloat16(device: str | torch.device = "cpu") -> bool:
    """Whether a device multiplies bfloat16 in hardware; a processor without (AVX2 alone) is slower by it, not faster.

    On x86 that is AVX512-BF16 or AMX; on a GPU the third tensor cores (Ampere) or later.
    """
    import torch

    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    known = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return device.type == "cpu" and any(getattr(torch.cpu, name, lambda: False)() for name in known)


def size(n_bytes: float) -> str:
    """A number of bytes for people.

    >>> size(11_790_000_000), size(999_999)
    ('11.8 GB', '1 MB')
    """
    n_bytes = float(f"{n_bytes:.3g}")  # to its three digits before the unit is chosen
    power = min(4, (len(str(int(n_bytes))) - 1) // 3)
    return f"{n_bytes / 1000**power:.3g} {('B', 'kB', 'MB', 'GB', 'TB')[power]}"

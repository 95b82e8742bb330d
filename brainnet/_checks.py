"""Small checks at the door: names nearly right, packages not installed, warnings said once, one progress bar.

And three ways to work beside others: what is read next is read while this is used; jobs go to whatever backend there
is; a path has one writer at a time.
"""

from __future__ import annotations

import difflib
import logging
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Interrupted(Exception):
    """Work was stopped by the user; the message says what is kept and how to go on."""


_already_warned: set[str] = set()


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like ``name``, or None where nothing comes near.

    >>> nearest("clipp", ["clip", "timm"])
    'clip'
    """
    known = [str(k) for k in known]
    by_lower = {k.lower(): k for k in known}
    matches = difflib.get_close_matches(str(name).lower(), by_lower, n=1, cutoff=0.55)
    return by_lower[matches[0]] if matches else None


def check_word(what: str, given: str, known: Iterable[str]) -> None:
    """Refuses a word that is none of the known ones, and names the nearest.

    >>> check_word("pool", "men", ("mean", "flatten"))
    Traceback (most recent call last):
    ValueError: Unknown pool 'men'. Did you mean 'mean'? Known: mean, flatten.
    """
    if given not in known:
        close = nearest(given, known)
        hint = f" Did you mean {close!r}?" if close else ""
        raise ValueError(f"Unknown {what} {given!r}.{hint} Known: {', '.join(known)}.")


def require(module: str, needed_by: str, package: str | None = None) -> ModuleType:
    """The imported module, or one line that says what needs it and how to install it.

    Args:
        module: dotted import name.
        needed_by: what the user asked for, for the message.
        package: the name to install where it differs from the module's.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not module.startswith(error.name.split(".")[0]):
            raise
        package = package or module.split(".")[0].replace("_", "-")
        raise ModuleNotFoundError(
            f"{needed_by} needs {module.split('.')[0]}, which is not installed:  pip install {package}", name=error.name
        ) from None


def warn_once(key: str, message: str) -> None:
    """Warns the first time ``key`` is met in this process, and is silent afterwards."""
    if key not in _already_warned:
        _already_warned.add(key)
        warnings.warn(message, UserWarning, stacklevel=3)


def progress(
    iterable: Iterable[Item], description: str, total: int | None = None, enabled: bool = True
) -> Iterator[Item]:
    """Yields the items behind one progress bar on stderr; silent where stderr is no terminal.

    >>> list(progress(range(3), "counting", enabled=False))
    [0, 1, 2]
    """
    if not enabled or not sys.stderr.isatty():
        if enabled:
            logging.getLogger("brainnet").info("%s ...", description)
        yield from iterable
        return
    from rich.console import Console
    from rich.progress import track

    if total is None and hasattr(iterable, "__len__"):
        total = len(iterable)  # type: ignore[arg-type]
    yield from track(iterable, description, total=total, console=Console(stderr=True), transient=True)


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
def locked(path: Path) -> Iterator[None]:
    """One writer of a path at a time; the kernel lets go of the lock when its holder ends, even by a kill."""
    try:
        import fcntl
    except ImportError:  # Windows has no such lock: there, let one process write
        yield
        return
    with path.with_name(path.name + ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logging.getLogger("brainnet").info("another process is writing %s: waiting for it", path)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield

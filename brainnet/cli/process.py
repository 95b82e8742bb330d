"""Three tricks on the process, each for time, none under a library user: the command line alone calls them."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import os
import sys
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """Imports without a search for garbage: all their million objects stay, and it took a fifth of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def keep_freed_memory() -> None:
    """Lets the C library keep up to 256 MB of freed arrays for the next ones; nothing where it is not glibc.

    By itself it hands a step's arrays back to the system and fetches them anew, zeroed, at the next step: three
    quarters of the page faults of the demo.
    """
    trim_threshold, mmap_threshold = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h
    with contextlib.suppress(AttributeError, OSError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(mmap_threshold, 2**25)  # the largest it takes
        mallopt(trim_threshold, 2**28)


def end_at_once(code: str | int | None) -> None:
    """Ends the process: Python would take two seconds to free its objects one by one.

    Exit handlers run first; where a thread is still at work, Python ends as ever.
    """
    if any(not thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread()):
        sys.exit(code)
    atexit._run_exitfuncs()
    with contextlib.suppress(OSError):  # nobody reads any more
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))

"""Locks: one writer of a path at a time."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

LOCKLESS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # what file systems of clusters answer that know no locks


@contextmanager
def locked(path: str | Path, wait: bool = True, keep: bool = True) -> Iterator[None]:
    """One writer of a path at a time; the kernel lets go of the lock when its holder ends, even by a kill.

    Args:
        path: of a file or folder whose parent exists; the lock is the file ``<path>.lock`` beside it.
        wait: until the other writer has ended; False says at once that there is one.
        keep: leave that file where it is; False takes it away at the end.

    Raises:
        BlockingIOError: another process is writing the path, and ``wait`` is False.
        ValueError: the lock is a link.
    """
    path = Path(path)
    try:
        import fcntl
    except ImportError:  # Windows has no such lock: there, let one process write
        yield
        return
    lock = path.with_name(path.name + ".lock")
    while True:
        with _opened_as_lock(lock) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if not wait:
                    raise BlockingIOError(f"another process is writing {path}: wait until it has ended.") from None
                log.info("another process is writing %s: waiting for it", path)
                fcntl.flock(file, fcntl.LOCK_EX)
            except OSError as error:
                if error.errno not in LOCKLESS:
                    raise
                log.info("%s is on a file system without locks: let one process write there.", path)
            if not _is_at(lock, file):
                continue  # the holder before took the file away: what is locked here is no longer the lock
            try:
                yield
            finally:
                if not keep:
                    lock.unlink(missing_ok=True)
            return


def _opened_as_lock(path: Path) -> Any:
    """The file of a lock, made where there is none, never emptied: a stranger's folder may hold a link of that name."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
    except OSError as error:
        if path.is_symlink():
            raise ValueError(f"{path} is a link; nothing is written through links. Remove it.") from None
        raise error
    return os.fdopen(handle, "r+")


def _is_at(path: Path, file: Any) -> bool:
    try:
        return path.stat().st_ino == os.fstat(file.fileno()).st_ino
    except FileNotFoundError:
        return False

"""One writer of a path at a time."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys

import pytest

from brainnet._files import (
    locked,
)


def test_a_second_writer_is_told_at_once(tmp_path):
    pytest.importorskip("fcntl")
    path = tmp_path / "out"
    code = f"""
import time
from brainnet._files import locked
with locked({str(path)!r}):
    print("locked", flush=True)
    time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"locked\n"
    with pytest.raises(BlockingIOError, match="another process"), locked(path, wait=False):
        pass
    process.kill()
    process.wait()
    process.stdout.close()
    with locked(path, wait=False):  # the holder's death let go of it
        pass


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP, errno.EIO])
def test_a_file_system_without_locks_is_written_to_all_the_same(tmp_path, monkeypatch, code):
    fcntl = pytest.importorskip("fcntl")

    def refuse(*args):
        raise OSError(code, "no locks here")

    monkeypatch.setattr(fcntl, "flock", refuse)
    entered = False
    with contextlib.suppress(OSError), locked(tmp_path / "a"):
        entered = True
    assert entered == (code != errno.EIO)


@pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="links are followed here")
def test_a_lock_is_never_made_through_a_link(tmp_path):
    (tmp_path / "a.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="a.lock"), locked(tmp_path / "a"):
        pass
    assert not (tmp_path / "elsewhere").exists()

"""Nothing is lost to a kill or a full disk."""

from __future__ import annotations

import errno
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from brainnet.store import TokenStore
from brainnet.store import file as store_file
from brainnet.store.manifest import Manifest
from tests.store.toys import Toy, assert_close

BUILD = """
import sys, time, torch
sys.path.insert(0, {tests!r})
from tests.store.toys import Toy
from brainnet.store import TokenStore
class Slow(Toy):
    def get_tokens(self, images):
        time.sleep({pause})
        return super().get_tokens(images)
images = torch.randn(24, 3, 32, 32, generator=torch.Generator().manual_seed(0))
backbone = Slow()
store = TokenStore.build(backbone, images, path={path!r}, batch_size=2, chunk_size=4)
print(backbone.calls, len(store))
"""


def start(path: Path, pause: float) -> subprocess.Popen:
    code = BUILD.format(tests=str(Path(__file__).parents[2]), path=str(path), pause=pause)
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def chunks_of(path: Path) -> int:
    manifest = Manifest.beside(path)
    return Manifest.read(path).n_complete // 4 if manifest.is_file() else 0


def test_a_killed_build_goes_on_and_ends_the_same(tmp_path):
    path, whole = tmp_path / "killed", tmp_path / "whole"
    process = start(path, pause=0.2)
    deadline = time.monotonic() + 60
    while chunks_of(path) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    done = chunks_of(path)
    assert 2 <= done < 6
    with pytest.raises(ValueError, match=f"unfinished: {done * 4} of 24"):
        TokenStore.open(path)
    with path.open("ab") as file:
        file.write(b"half a chunk that no manifest counts")

    # two at once: one goes on, the other waits and opens the result
    results = [process.communicate(timeout=120) for process in (start(path, 0), start(path, 0))]
    assert sorted(out.split() for out, _ in results) == [["0", "24"], [str((6 - done) * 2), "24"]], results
    assert start(whole, 0).communicate()[0].split() == ["12", "24"]
    assert path.read_bytes() == whole.read_bytes()
    same = [Manifest.read(p) for p in (path, whole)]
    assert same[0] == same[1]


def test_a_full_disk_leaves_a_store_that_goes_on(images, tmp_path, monkeypatch):
    path, written = tmp_path / "t", []
    real = store_file.write_durably

    def full(path, offset, chunk):
        if offset:
            path.open("ab").write(b"torn")
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(offset)
        real(path, offset, chunk)

    monkeypatch.setattr(store_file, "write_durably", full)
    with pytest.raises(OSError, match=r"disk is full: .* holds 4 of 11 images") as caught:
        TokenStore.build(Toy(), images, path=path, batch_size=2, chunk_size=4)
    assert caught.value.errno == errno.ENOSPC
    assert "\n" not in str(caught.value)
    monkeypatch.setattr(store_file, "write_durably", real)
    backbone = Toy()
    store = TokenStore.build(backbone, images, path=path, batch_size=2, chunk_size=4)
    assert backbone.calls == 4
    assert_close(store.tokens(), TokenStore.build(Toy(), images, batch_size=2).tokens())


def test_a_disk_or_memory_too_small_is_said_first(images, tmp_path, monkeypatch):
    monkeypatch.setattr(store_file, "free_bytes", lambda device: 1000)
    with pytest.raises(MemoryError, match="1 kB of memory is free"):
        TokenStore.build(Toy(), images)
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr(store_file.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(OSError, match="10 B is free"):
        TokenStore.build(Toy(), images, path=tmp_path / "t")


def test_size_is_said_before_the_build(images, caplog):
    with caplog.at_level(logging.INFO, "brainnet.store"):
        TokenStore.build(Toy(), images, grid=(2, 2))
    assert "11 images x 2 layers x 5 positions, float16: 1.1 kB in memory" in caplog.text


def test_a_truncated_file_is_told_and_repaired(images, tmp_path):
    path = tmp_path / "t"
    whole = TokenStore.build(Toy(), images, path=path, batch_size=2, chunk_size=4)
    before, row, manifest = path.read_bytes(), whole.nbytes // 11, Manifest.read(path)
    os.truncate(path, row * 9 + row // 2)
    with pytest.raises(ValueError, match=r"truncated: 9 of 11 images are whole.*TokenStore\.build"):
        TokenStore.open(path)
    backbone = Toy()
    TokenStore.build(backbone, images, path=path, batch_size=2, chunk_size=4)
    assert backbone.calls == 2  # images 8 to 10: the last chunk
    assert path.read_bytes() == before
    assert Manifest.read(path) == manifest


def test_a_store_continues_only_with_the_same_layers(images, tmp_path, monkeypatch):
    def stop(path, offset, chunk):
        if offset:
            raise KeyboardInterrupt
        real(path, offset, chunk)

    real = store_file.write_durably
    monkeypatch.setattr(store_file, "write_durably", stop)
    backbone = Toy()
    backbone.fingerprint = lambda: {"name": "careless"}  # says nothing of its layers
    with pytest.raises(KeyboardInterrupt):
        TokenStore.build(backbone, images, path=tmp_path / "t", batch_size=2, chunk_size=2)
    monkeypatch.setattr(store_file, "write_durably", real)
    other = Toy(widths=(4, 7))
    other.fingerprint = backbone.fingerprint
    with pytest.raises(ValueError, match="the store began with"):
        TokenStore.build(other, images, path=tmp_path / "t")

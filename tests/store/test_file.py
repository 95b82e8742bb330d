"""Nothing is lost to a kill or a full disk."""

from __future__ import annotations

import errno
import logging
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from brainnet.store import TokenStore
from brainnet.store import file as store_file
from brainnet.store.manifest import Manifest
from tests.store.toys import Toy, assert_close

BUILD = """
import os, sys, time, torch
sys.path.insert(0, {tests!r})
from tests.store.toys import Toy
from brainnet.store import TokenStore
class Slow(Toy):
    def get_tokens(self, images):
        time.sleep({pause})
        while self.calls and not os.path.exists({gate!r}):  # it has said what tokens are, and hangs
            time.sleep(0.02)
        return super().get_tokens(images)
images = torch.randn(24, 3, 32, 32, generator=torch.Generator().manual_seed(0))
backbone = Slow()
store = TokenStore.build(backbone, images, path={path!r}, batch_size=2, chunk_size=4)
print(backbone.calls, len(store))
"""


def start(path: Path, pause: float = 0, gate: str | Path = "/") -> subprocess.Popen:
    """A process that builds a store of six chunks; after the first batch it waits until there is a file ``gate``."""
    code = BUILD.format(tests=str(Path(__file__).parents[2]), path=str(path), pause=pause, gate=str(gate))
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

    both = [start(path), start(path)]
    assert sum(calls_of(both)) == (6 - done) * 2
    assert calls_of([start(whole)]) == [12]
    check_same(path, whole)


def calls_of(processes: list[subprocess.Popen]) -> list[int]:
    """How often each process has asked its network, once it has the whole store."""
    results = [process.communicate(timeout=120) for process in processes]
    assert all(out.split()[1:] == ["24"] for out, _ in results), results
    return [int(out.split()[0]) for out, _ in results]


def check_same(path: Path, other: Path) -> None:
    """Two stores are the same, and nothing else lies beside the first."""
    assert path.read_bytes() == other.read_bytes()
    assert Manifest.read(path) == Manifest.read(other)
    assert sorted(path.parent.glob(f"{path.name}.*")) == [Path(f"{path}.{kind}") for kind in ("json", "lock")]


def until(happened) -> None:
    """Waits for what other processes do."""
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_processes_share_the_chunks_of_one_store(tmp_path):
    path, whole, gate = tmp_path / "shared", tmp_path / "whole", tmp_path / "gate"
    first, *others = begun(path, gate), start(path), start(path)
    until(lambda: len(parts(path)) == 4)  # of 6; the other two are claimed by the process that waits
    gate.touch()
    calls = calls_of([first, *others])
    assert (calls[0], sum(calls)) == (4, 12)
    assert calls_of([start(whole)]) == [12]
    check_same(path, whole)


def test_what_a_killed_process_had_claimed_the_others_make(tmp_path):
    path, whole = tmp_path / "shared", tmp_path / "whole"
    first, other = begun(path, tmp_path / "gate"), start(path)
    until(lambda: len(parts(path)) == 4)
    first.kill()
    first.communicate()
    assert calls_of([other]) == [12]
    assert calls_of([start(whole)]) == [12]
    check_same(path, whole)


def test_a_store_that_another_process_is_building_is_not_replaced(images, tmp_path):
    path, gate = tmp_path / "t", tmp_path / "gate"
    process = begun(path, gate)
    with pytest.raises(BlockingIOError, match=r"building another store at .*t: wait"):
        TokenStore.build(Toy(), images, path=path, overwrite=True)
    gate.touch()
    assert calls_of([process]) == [12]
    assert len(TokenStore.open(path)) == 24


def begun(path: Path, gate: Path) -> subprocess.Popen:
    """A process that has begun a store and waits."""
    process = start(path, gate=gate)
    until(Manifest.beside(path).is_file)
    return process


def parts(path: Path) -> list[Path]:
    """What describes chunks that are there before their predecessors."""
    return sorted(path.parent.glob(f"{path.name}.chunk-*.json"))


def changed(text: str) -> str:
    return text.replace('"scales": [1.0', '"scales": [2.0')


@pytest.mark.parametrize(
    ("damage", "calls"),
    [(str, 2), (changed, 4), (lambda text: text[:-9], 4), (lambda text: "[]", 4)],
    ids=["whole", "another scale", "cut", "another kind"],
)
def test_chunks_before_which_others_are_missing_are_kept_where_they_are_whole(images, tmp_path, damage, calls):
    """What two processes leave when both are killed, the one with the first chunk before it was there."""
    path, whole = tmp_path / "killed", tmp_path / "whole"
    TokenStore.build(Toy(), images, path=whole, batch_size=2, chunk_size=4)
    found = Manifest.read(whole)
    begun = replace(found, n_complete=0, scales=[], checksums=[])
    begun.write(path)
    for chunk in (1, 2):
        said = {"scales": found.scales[chunk], "checksum": found.checksums[chunk]}
        begun.write_part(Path(f"{path}.chunk-{chunk}.json"), chunk, said)
    first = 4 * found.row_bytes
    path.write_bytes(bytes(first) + whole.read_bytes()[first:])
    with pytest.raises(ValueError, match="unfinished: 0 of 11"):
        TokenStore.open(path)
    before = parts(path)[0].read_text()
    parts(path)[0].write_text(damage(before))
    assert damage is str or parts(path)[0].read_text() != before
    backbone = Toy()
    TokenStore.build(backbone, images, path=path, batch_size=2, chunk_size=4)
    assert backbone.calls == calls
    check_same(path, whole)


def test_chunks_of_another_store_of_that_name_are_not_taken(images, tmp_path):
    path = tmp_path / "t"
    TokenStore.build(Toy(seed=1), images, path=path, batch_size=2, chunk_size=4)
    manifest = Manifest.read(path)
    manifest.write_part(Path(f"{path}.chunk-1.json"), 1, {"scales": manifest.scales[1], "checksum": "0"})
    beside = tmp_path / "t.1"  # whose manifest is t.1.json
    other = TokenStore.build(Toy(), images, path=beside, batch_size=2, chunk_size=4)
    backbone = Toy()
    store = TokenStore.build(backbone, images, path=path, batch_size=2, chunk_size=4, overwrite=True)
    assert backbone.calls == 6
    assert path.read_bytes() == beside.read_bytes()
    assert_close(store.tokens(), other.tokens())
    assert sorted(one.name for one in tmp_path.iterdir()) == ["t", "t.1", "t.1.json", "t.1.lock", "t.json", "t.lock"]


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

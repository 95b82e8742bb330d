from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from brainnet._files import write_json
from brainnet.run.record import card
from brainnet.run.record.card import Clock, add_files, check_files, opening, put_card
from brainnet.run.record.runs import read_card

GB = 10**9


@pytest.mark.parametrize(("system", "unit"), [("linux", 1024), ("darwin", 1)])
def test_memory_is_in_gb_whatever_the_systems_unit(system, unit, monkeypatch):
    resource = types.SimpleNamespace(
        RUSAGE_SELF=0, getrusage=lambda who: types.SimpleNamespace(ru_maxrss=3 * GB // unit)
    )
    monkeypatch.setattr(card, "_STATUS", Path("/no/such/file"))
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setitem(sys.modules, "resource", resource)
    assert card.closing(card.Clock())["peak_memory_gb"] == 3.0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems do not pass it on")
def test_memory_is_not_that_of_the_process_that_started_it():
    code = "from brainnet.run.record.card import peak_memory; print(peak_memory())"
    held = np.ones(GB // 8)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < held.nbytes


@pytest.mark.parametrize(("told", "expected"), [(1, 2.5), (0, None)])
def test_memory_on_windows_which_has_no_resource(told, expected, monkeypatch):
    def tell(process, counters, size):
        assert process.value == ctypes.c_void_p(-1).value
        counters._obj.PeakWorkingSetSize = int(2.5 * GB)
        assert size == ctypes.sizeof(counters._obj) == 72  # of a 64-bit system
        return told

    psapi = types.SimpleNamespace(GetProcessMemoryInfo=tell)
    monkeypatch.setattr(card, "_STATUS", Path("/no/such/file"))
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setitem(sys.modules, "resource", None)  # importing it raises
    monkeypatch.setattr(ctypes, "windll", types.SimpleNamespace(psapi=psapi), raising=False)
    assert card.closing(card.Clock())["peak_memory_gb"] == expected


def test_memory_of_this_process_is_that_of_the_kernel():
    status = "/proc/self/status"
    try:
        with open(status) as file:
            peak = next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        pytest.skip("this system does not say it in /proc")
    assert card.peak_memory() == pytest.approx(peak, rel=0.02)


def test_every_module_is_imported_without_what_only_unix_has():
    code = """
import contextlib, importlib, pkgutil, sys
with contextlib.suppress(ImportError):
    import psutil  # which has another module for each system, and which others import
for name in ("resource", "fcntl", "pwd", "grp", "termios"):
    sys.modules[name] = None
import subprocess, brainnet
for module in pkgutil.walk_packages(brainnet.__path__, "brainnet."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize(
    ("text", "kind"),
    [('{"kind": "encode", "format": 1}', "encode"), ('{"backbone": {}}', "fit"), ("", ""), ("[1, 2]", ""),
     ('{\n  "kind": "searchlight --group",\n  "form', "searchlight --group"), ('{"title": "mine"}', ""),
     ("\x00\x01", "")],
)  # fmt: skip
def test_a_folder_says_by_which_command_it_was_filled(text, kind, tmp_path):
    assert card.kind_of(tmp_path) is None
    (tmp_path / "run.json").write_text(text)
    assert card.kind_of(tmp_path) == kind


def test_the_folder_of_another_command_is_refused(tmp_path):
    card.refuse_others(tmp_path / "new", "fit")
    write_json(tmp_path / "run.json", {"kind": "rsa"})
    card.refuse_others(tmp_path, "fit", "rsa")
    with pytest.raises(FileExistsError, match="rsa"):
        card.refuse_others(tmp_path, "fit")
    with pytest.raises(FileExistsError, match="is a file"):
        card.refuse_others(tmp_path / "run.json", "rsa")
    (tmp_path / "run.json").write_text('{"kind": "rsa", "scores": [0.1,')  # a kill in the middle of a write
    card.refuse_others(tmp_path, "rsa")
    (tmp_path / "run.json").write_text("notes of mine")
    with pytest.raises(FileExistsError, match=r"run\.json"):
        card.refuse_others(tmp_path, "rsa")


def test_a_place_that_cannot_be_written_is_told_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setattr(card.os, "access", lambda path, mode: False)  # as for a folder that Docker made as root
    for out in (tmp_path, tmp_path / "a" / "b"):
        with pytest.raises(PermissionError) as refused:
            card.refuse_others(out, "fit")
        assert str(tmp_path) in str(refused.value)
    (tmp_path / "file").write_text("")
    with pytest.raises(PermissionError):
        card.refuse_others(tmp_path / "file" / "b", "fit")


def test_a_folder_into_which_one_may_not_look_is_told_in_the_same_words(tmp_path, monkeypatch):
    closed, stat, access = tmp_path / "closed", os.stat, os.access
    closed.mkdir()

    def refused(path, *more, **options):
        if closed in Path(path).parents:
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, *more, **options)

    monkeypatch.setattr(os, "stat", refused)
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != closed and access(path, mode))
    with pytest.raises(PermissionError, match="cannot be written") as said:
        card.refuse_others(closed / "out", "fit")
    assert str(closed) in str(said.value)


def test_a_card_and_the_files_it_tells_of_are_held_to_it(tmp_path):
    (tmp_path / "scores.csv").write_text("r\n0.5\n")
    put_card(
        tmp_path, {**opening("fit", []), "seed": 1, "nan": np.nan, "pair": (1, 2)}, Clock(), ("scores.csv", "none")
    )
    kept = read_card(tmp_path / "run.json")
    assert list(kept["files"]) == ["scores.csv"]
    check_files(tmp_path, "scores.csv", "none")
    (tmp_path / "scores.csv").write_text("r\n0.6\n")
    with pytest.raises(ValueError, match="scores.csv"):
        check_files(tmp_path, "scores.csv")
    text = (tmp_path / "run.json").read_text()
    (tmp_path / "run.json").write_text(text.replace('"seed": 1', '"seed": 3'))
    with pytest.raises(ValueError, match="run.json"):
        read_card(tmp_path / "run.json")
    (tmp_path / "run.json").write_text(text.replace(kept["created"], "2020-01-01T00:00:00Z"))
    assert read_card(tmp_path / "run.json")["seed"] == 1  # when it was made is no part of the seal


def test_a_folder_among_the_results_is_held_to_its_card_and_further_files_come_into_it(tmp_path):
    (tmp_path / "a.zarr").mkdir()
    (tmp_path / "a.zarr" / "0.0").write_bytes(b"12")
    put_card(tmp_path, {"kind": "extract"}, Clock(), ["a.zarr"])
    check_files(tmp_path, "a.zarr")
    (tmp_path / "later.npy").write_bytes(b"34")
    add_files(tmp_path, "later.npy")
    assert set(read_card(tmp_path / "run.json")["files"]) == {"a.zarr", "later.npy"}
    check_files(tmp_path, "a.zarr", "later.npy")
    (tmp_path / "later.npy").write_bytes(b"43")
    with pytest.raises(ValueError, match=r"later\.npy is damaged"):
        check_files(tmp_path, "later.npy")
    (tmp_path / "a.zarr" / "0.1").write_bytes(b"")
    with pytest.raises(ValueError, match=r"a\.zarr is damaged"):
        check_files(tmp_path, "a.zarr")
    write_json(tmp_path / "run.json", {"files": ["a.zarr"]})  # of another tool
    check_files(tmp_path, "a.zarr")


def test_the_seal_of_equal_results_is_one(tmp_path):
    seals = set()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        put_card(tmp_path / name, {**opening("rdm", []), "created": name, "seed": 1}, Clock())
        seals.add(read_card(tmp_path / name / "run.json")["seal"])
    assert len(seals) == 1

"""Registry, checks and downloads."""

from __future__ import annotations

import hashlib
import http.server
import threading
import warnings

import pytest

from brainnet import _checks, _files
from brainnet._registry import Registry


def test_a_file_of_the_folder_is_an_entry():
    registry = Registry("thing", folder="email", pick="__name__")
    assert {"message", "parser"} <= set(registry.names())
    assert registry["message"] == "email.message"
    assert not any(name.startswith("_") for name in registry.names())


def test_an_entry_from_a_users_own_file(tmp_path):
    (tmp_path / "mine.py").write_text("class Net:\n    def __init__(self, depth=1):\n        self.depth = depth\n")
    registry = Registry("network")
    assert registry.build(f"{tmp_path}/mine.py:Net", depth=3).depth == 3
    with pytest.raises(ValueError, match="'dept'.*'depth'"):
        registry.build(f"{tmp_path}/mine.py:Net", dept=3)
    with pytest.raises(ValueError, match="'Nett'.*Net"):
        registry[f"{tmp_path}/mine.py:Nett"]
    with pytest.raises(FileNotFoundError, match=r"none\.py"):
        registry[f"{tmp_path}/none.py:Net"]


def test_an_entry_for_the_time_being():
    registry = Registry("thing")
    registry.register("a")(int)
    with registry.temporarily("a", str), registry.temporarily("b", float):
        assert (registry["a"], registry.names()) == (str, ["a", "b"])
    assert (registry["a"], registry.names()) == (int, ["a"])


def test_a_taken_name_is_refused():
    registry = Registry("thing")
    registry.register("a")(int)
    with pytest.raises(ValueError, match="registered already"):
        registry.register("a")(float)


def test_unknown_names_meet_the_nearest():
    registry = Registry("backbone")
    registry.register("clip")(int)
    with pytest.raises(ValueError, match="Unknown backbone 'clipp'. Did you mean 'clip'"):
        registry["clipp"]


def test_a_missing_package_says_how_to_install_it():
    with pytest.raises(ModuleNotFoundError, match="The lamp needs no_such_package.*pip install no-such-package"):
        _checks.require("no_such_package.part", "The lamp")


def test_warnings_are_said_once():
    with pytest.warns(UserWarning, match="hello"):
        _checks.warn_once("test-key", "hello")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _checks.warn_once("test-key", "hello")


@pytest.fixture
def server(tmp_path):
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "weights.bin").write_bytes(b"1234")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(folder))

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def test_a_file_is_fetched_once_and_checked(server, tmp_path, monkeypatch):
    monkeypatch.setenv("BRAINNET_HOME", str(tmp_path / "home"))
    checksum = hashlib.sha256(b"1234").hexdigest()
    path = _files.fetch(f"{server}/weights.bin", checksum)
    assert path.read_bytes() == b"1234"
    assert _files.fetch("http://127.0.0.1:9/weights.bin", checksum) == path  # from the cache: nobody listens there


def test_a_wrong_checksum_keeps_nothing(server, tmp_path, monkeypatch):
    monkeypatch.setenv("BRAINNET_HOME", str(tmp_path / "home"))
    with pytest.raises(ValueError, match="nothing was kept"):
        _files.fetch(f"{server}/weights.bin", "00")
    assert list((tmp_path / "home").iterdir()) == []


def test_offline_says_address_target_and_checksum(tmp_path, monkeypatch):
    monkeypatch.setenv("BRAINNET_HOME", str(tmp_path))
    with pytest.raises(ConnectionError, match=r"(?s)127\.0\.0\.1:9/w\.bin.*sha256:ab.*put it at .*w\.bin"):
        _files.fetch("http://127.0.0.1:9/w.bin", "ab")
    assert list(tmp_path.iterdir()) == []


def test_a_connection_that_breaks_off_is_no_file(tmp_path, monkeypatch):
    class Short(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"only this")

        def log_message(self, *args):
            pass

    monkeypatch.setenv("BRAINNET_HOME", str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Short) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        with pytest.raises(ConnectionError, match="broke off|IncompleteRead|could not download"):
            _files.fetch(f"http://127.0.0.1:{running.server_port}/weights.bin")
        running.shutdown()
    assert list(tmp_path.iterdir()) == []

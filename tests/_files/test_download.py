"""A file arrives whole and right, is gone on with after an interruption, or says which address failed and why."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from brainnet._files import download as _download
from brainnet._files.download import digest_of, download, fetch, read_address
from tests.toy_server import Page, serving

BODY = np.random.default_rng(0).bytes(200_000)
SHA = f"sha256:{hashlib.sha256(BODY).hexdigest()}"
MD5 = f"md5:{hashlib.md5(BODY).hexdigest()}"
SHA1 = f"sha1:{hashlib.sha1(BODY).hexdigest()}"
NOBODY = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def _hurry(monkeypatch):
    monkeypatch.setattr(_download, "PAUSE", 0.0)
    monkeypatch.setattr(_download, "BLOCK", 10_000)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# ---------------------------------------------------------------------- the cache


def test_a_file_is_fetched_once_and_checked(tmp_path, monkeypatch):
    monkeypatch.setenv("BRAINNET_HOME", str(tmp_path / "home"))
    with serving({"/weights.bin": Page(b"1234")}) as served:
        checksum = hashlib.sha256(b"1234").hexdigest()
        path = fetch(f"{served.address}/weights.bin", checksum)
        assert path.read_bytes() == b"1234"
        assert fetch(f"{NOBODY}/weights.bin", checksum) == path  # from the cache: nobody listens there
        assert names(path.parent) == ["weights.bin"]


def test_a_wrong_checksum_keeps_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("BRAINNET_HOME", str(tmp_path / "home"))
    with serving({"/weights.bin": Page(b"1234")}) as served, pytest.raises(ValueError, match="nothing was kept"):
        fetch(f"{served.address}/weights.bin", "00")
    assert names(tmp_path / "home") == []


def test_offline_says_address_target_and_checksum(tmp_path, monkeypatch):
    monkeypatch.setenv("BRAINNET_HOME", str(tmp_path))
    with pytest.raises(ConnectionError, match=r"(?s)127\.0\.0\.1:9/w\.bin.*sha256:ab.*put it at .*w\.bin"):
        fetch(f"{NOBODY}/w.bin", "ab")
    assert names(tmp_path) == []


# ---------------------------------------------------------------------- whole, right, or a reason


@pytest.mark.parametrize("digest", ["", SHA, MD5, SHA1, SHA.upper().replace("SHA256", "sha256")])
@pytest.mark.parametrize("etag", ["", '"one"', 'W/"weak"'])
def test_what_breaks_off_is_gone_on_with_where_that_is_safe(tmp_path, digest, etag):
    page = Page(BODY, etag=etag, cut=[70_000])
    with serving({"/a": page}) as served:
        download(f"{served.address}/a", tmp_path / "a", digest)
        asked = [start for _, start in served.asked]
    assert (tmp_path / "a").read_bytes() == BODY
    assert names(tmp_path) == ["a"]
    known = bool(digest) or etag == '"one"'  # a weak tag does not promise the same bytes
    assert asked == [None, "bytes=70000-" if known else None]


def test_many_breaks_are_borne_as_long_as_each_answer_brings_something(tmp_path):
    with serving({"/a": Page(BODY, cut=[30_000] * 9)}) as served:
        download(f"{served.address}/a", tmp_path / "a")
        assert len(served.asked) == 7
    assert (tmp_path / "a").read_bytes() == BODY


def test_a_server_that_knows_no_ranges_is_asked_for_all_of_it(tmp_path):
    with serving({"/a": Page(BODY, ranges=False, cut=[70_000])}) as served:
        download(f"{served.address}/a", tmp_path / "a", SHA)
        assert len(served.asked) == 2
    assert (tmp_path / "a").read_bytes() == BODY


def test_a_file_that_changed_meanwhile_is_fetched_anew(tmp_path):
    page, other = Page(BODY, cut=[70_000, 0, 0, 0, 0]), BODY[::-1]
    with serving({"/a": page}) as served:
        with pytest.raises(ConnectionError, match=r"70 kB of it are kept.*\n.*put it at"):
            download(f"{served.address}/a", tmp_path / "a")
        page.body, page.etag = other, '"two"'
        download(f"{served.address}/a", tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == other


def test_a_beginning_of_other_bytes_is_told_by_the_checksum_and_fetched_anew(tmp_path):
    page = Page(BODY[::-1], etag="", cut=[70_000, 0, 0, 0, 0])
    with serving({"/a": page}) as served:
        with pytest.raises(ConnectionError):
            download(f"{served.address}/a", tmp_path / "a", SHA)
        page.body = BODY  # the same length, and the server says of no version
        download(f"{served.address}/a", tmp_path / "a", SHA)
        assert served.asked[-2:] == [("/a", "bytes=70000-"), ("/a", None)]
    assert (tmp_path / "a").read_bytes() == BODY
    assert names(tmp_path) == ["a"]


def test_a_file_that_became_shorter_than_its_beginning_is_fetched_anew(tmp_path):
    page = Page(BODY, cut=[70_000, 0, 0, 0, 0])
    with serving({"/a": page}) as served:
        with pytest.raises(ConnectionError):
            download(f"{served.address}/a", tmp_path / "a")
        page.body = BODY[:50_000]
        download(f"{served.address}/a", tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == BODY[:50_000]


@pytest.mark.parametrize("length", [-1, None])
def test_a_file_of_unknown_length_comes_as_well(tmp_path, length):
    with serving({"/a": Page(BODY, length=length)}) as served:
        download(f"{served.address}/a", tmp_path / "a", MD5, len(BODY))
    assert (tmp_path / "a").read_bytes() == BODY


@pytest.mark.parametrize(
    ("page", "kind", "words"),
    [
        (Page(status=403), ConnectionError, "403.*a form"), (Page(status=404), ConnectionError, "404.*no such file"),
        (Page(status=500), ConnectionError, "500"), (Page(BODY, cut=[0] * 9), ConnectionError, "0 of 200,000 bytes"),
        (Page(BODY, etag="", cut=[5000] * 9), ConnectionError, "5,000 of 200,000"),
        (Page(b"<html>log in"), ValueError, "12 bytes, expected 200,000"),
    ],
)  # fmt: skip
def test_what_cannot_be_had_is_one_error_with_its_reason(tmp_path, page, kind, words):
    with serving({"/a": page}) as served, pytest.raises(kind, match=words) as raised:
        download(f"{served.address}/a", tmp_path / "a", n_bytes=len(BODY))
    assert f"{served.address}/a" in str(raised.value)
    assert not any(name == "a" for name in names(tmp_path))


def test_a_wrong_checksum_is_named_with_what_was_expected(tmp_path):
    with serving({"/a": Page(BODY[:-1])}) as served, pytest.raises(ValueError, match=f"expected {MD5}"):
        download(f"{served.address}/a", tmp_path / "a", MD5)
    assert names(tmp_path) == []


def test_a_busy_server_is_asked_again(tmp_path):
    with serving({"/a": Page(BODY, statuses=[503, 429])}) as served:
        download(f"{served.address}/a", tmp_path / "a")
        assert len(served.asked) == 3
    assert (tmp_path / "a").read_bytes() == BODY


def test_mirrors_are_asked_in_turn_and_go_on_with_the_same_bytes(tmp_path):
    with serving(
        {"/wrong": Page(BODY[:-1]), "/broken": Page(BODY, cut=[70_000, *[0] * 9]), "/a": Page(BODY)}
    ) as served:
        places = [f"{NOBODY}/a", *(f"{served.address}/{name}" for name in ("none", "wrong", "broken", "a"))]
        download(places, tmp_path / "a", SHA)
        assert served.asked[-1] == ("/a", "bytes=70000-")
        assert (tmp_path / "a").read_bytes() == BODY
        (tmp_path / "a").unlink()
        with pytest.raises(ConnectionError) as raised:
            download(places[:3], tmp_path / "a", SHA)
    assert all(place in str(raised.value) for place in places[:3])
    assert names(tmp_path) == []


def test_a_file_that_is_there_is_looked_at_and_not_believed(tmp_path, caplog):
    target = tmp_path / "deep" / "a"
    with serving({"/a": Page(BODY)}) as served:
        download(f"{served.address}/a", target, SHA)
        download(f"{NOBODY}/a", target, SHA)
        download(f"{NOBODY}/a", target, n_bytes=len(BODY))
        target.write_bytes(BODY[:-1])
        with pytest.raises(ConnectionError):
            download(f"{NOBODY}/a", target, SHA)
        assert target.read_bytes() == BODY[:-1]  # what a user has is not thrown away for nothing
        download(f"{served.address}/a", target, SHA)
    assert target.read_bytes() == BODY
    assert "fetched again" in caplog.text


def test_a_full_disk_is_told_before_the_file_is_fetched(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1000})())
    with serving({"/a": Page(BODY)}) as served, pytest.raises(OSError, match="200 kB more, and 1 kB are free"):
        download(f"{served.address}/a", tmp_path / "a")
    assert names(tmp_path) == []


def test_a_checksum_of_another_kind_is_refused(tmp_path):
    (tmp_path / "a").write_bytes(b"1")
    with pytest.raises(ValueError, match="crc"):
        digest_of(tmp_path / "a", "crc")


def test_a_list_is_read_whole_or_refused(tmp_path):
    page = Page(b"<list/>", statuses=[503])
    with serving({"/a": page}) as served:
        assert read_address(f"{served.address}/a") == b"<list/>"
        page.status = 403
        with pytest.raises(ConnectionError, match="/a.*403.*a form"):
            read_address(f"{served.address}/a")
        page.status, page.cut, page.body = 200, [100] * 9, BODY
        with pytest.raises(ConnectionError, match="/a"):
            read_address(f"{served.address}/a")
    with pytest.raises(ConnectionError, match=NOBODY):
        read_address(NOBODY)


def test_a_killed_download_goes_on_from_where_it_was(tmp_path):
    code = f"""
from brainnet._files import download as _download
_download.BLOCK = 1000
_download.download(ADDRESS, {str(tmp_path / "a")!r})
"""
    page = Page(BODY, pause=0.01)
    with serving({"/a": page}) as served:
        program = code.replace("ADDRESS", repr(f"{served.address}/a"))
        process = subprocess.Popen([sys.executable, "-c", program], env=os.environ)
        part = tmp_path / ".a.partial"
        while not part.is_file() or part.stat().st_size < 20_000:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not (tmp_path / "a").exists()
        page.pause = 0
        download(f"{served.address}/a", tmp_path / "a")
        start = int(served.asked[-1][1].removeprefix("bytes=").rstrip("-"))
    assert start >= 20_000
    assert (tmp_path / "a").read_bytes() == BODY
    assert names(tmp_path) == ["a"]

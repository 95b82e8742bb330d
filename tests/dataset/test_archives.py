"""An archive is unpacked whole or not at all, and nothing of it leaves the folder."""

from __future__ import annotations

import io
import os
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from brainnet.dataset.archives import unpack

FILES = {"a.txt": b"one", "deep/b.npy": b"two" * 1000}


def zipped(path: Path, files: dict[str, bytes], **how) -> Path:
    with zipfile.ZipFile(path, "w", **how) as archive:
        for name, body in files.items():
            archive.writestr(name, body)
    return path


def tarred(path: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, body in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))
    return path


def below(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def archive_of(path: Path, kind: str, files: dict[str, bytes]) -> Path:
    if kind == "zip":
        return zipped(path, files, compression=zipfile.ZIP_DEFLATED)
    return tarred(path, files, kind)


@pytest.mark.parametrize("kind", ["zip", "w", "w:gz", "w:bz2", "w:xz"])
def test_members_go_below_the_folder_by_what_the_archive_is(tmp_path, kind):
    archive = archive_of(tmp_path / "named.badly", kind, {**FILES, "__MACOSX/x": b"junk", "deep/._b.npy": b"junk"})
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "a.txt").write_bytes(b"older")
    (folder / "mine.txt").write_bytes(b"mine")
    assert unpack(archive, folder) == {"a.txt": 3, "deep/b.npy": 3000}
    assert below(folder) == {**FILES, "mine.txt": b"mine"}
    assert sorted(os.listdir(folder)) == ["a.txt", "deep", "mine.txt"]


@pytest.mark.parametrize("kind", ["zip", "w"])
@pytest.mark.parametrize("name", ["../out.txt", "/tmp/out.txt", "deep/../../out.txt", "C:/out.txt", "..\\out.txt", "..",
                                  "a.txt", "./a.txt"])  # fmt: skip
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_outside_the_folder_or_twice_refuses_all(tmp_path, kind, name):
    archive = tmp_path / "archive"
    write = zipped if kind == "zip" else tarred
    if name.endswith("a.txt"):
        with zipfile.ZipFile(archive, "w") as opened:
            for one in ("a.txt", name):
                opened.writestr(one, b"x")
    else:
        write(archive, {**FILES, name: b"evil"})
    with pytest.raises(ValueError, match="archive holds .*nothing of it is unpacked"):
        unpack(archive, tmp_path / "out")
    assert below(tmp_path) == {"archive": archive.read_bytes()}


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, "zip"])
def test_links_and_devices_are_refused(tmp_path, kind):
    archive = tmp_path / "archive"
    if kind == "zip":
        info = zipfile.ZipInfo("link")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        with zipfile.ZipFile(archive, "w") as opened:
            opened.writestr(info, "/etc/passwd")
    else:
        info = tarfile.TarInfo("link")
        info.type, info.linkname = kind, "/etc/passwd"
        with tarfile.open(archive, "w") as opened:
            opened.addfile(info)
    with pytest.raises(ValueError, match="'link', a link or a device"):
        unpack(archive, tmp_path / "out")
    assert below(tmp_path / "out") == {}


def test_what_is_no_archive_is_told(tmp_path):
    for body in (b"<html>please log in</html>", b"", b"PK\3\4 but no more"):
        (tmp_path / "archive").write_bytes(body)
        with pytest.raises(ValueError, match="archive"):
            unpack(tmp_path / "archive", tmp_path / "out")
    zipped(tmp_path / "archive", {})
    with pytest.raises(ValueError, match="no file|no archive"):
        unpack(tmp_path / "archive", tmp_path / "out")
    with pytest.raises(FileNotFoundError):
        unpack(tmp_path / "nowhere", tmp_path / "out")


@pytest.mark.parametrize("kind", ["zip", "w", "w:gz"])
@pytest.mark.parametrize("fault", ["cut", "flipped"])
def test_a_damaged_archive_leaves_nothing_and_no_half(tmp_path, kind, fault):
    body = os.urandom(50_000)
    archive = archive_of(tmp_path / "archive", kind, {"a.txt": b"one", "b.npy": body})
    whole = bytearray(archive.read_bytes())
    if fault == "cut":
        archive.write_bytes(whole[:30_000])
    else:
        whole[25_000] ^= 255
        archive.write_bytes(whole)
    out = tmp_path / "out"
    if (kind, fault) == ("w", "flipped"):  # a tar knows no checksum: that of the download is there for it
        unpack(archive, out)
        return
    with pytest.raises(ValueError, match="archive"):
        unpack(archive, out)
    assert below(out) == {}


def test_a_password_is_told(tmp_path):
    archive = zipped(tmp_path / "archive", FILES)
    whole = bytearray(archive.read_bytes())
    for mark, place in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        at = whole.find(mark)
        whole[at + place] |= 1
    archive.write_bytes(whole)
    with pytest.raises(ValueError, match="password"):
        unpack(archive, tmp_path / "out")


def test_a_member_longer_than_it_says_is_refused(tmp_path):
    archive = zipped(tmp_path / "archive", {"a.txt": b"x" * 5000})
    whole = archive.read_bytes().replace((5000).to_bytes(4, "little"), (50).to_bytes(4, "little"))
    archive.write_bytes(whole)
    with pytest.raises(ValueError, match=r"a\.txt"):
        unpack(archive, tmp_path / "out")
    assert below(tmp_path / "out") == {}


def test_a_full_disk_is_told_before(tmp_path, monkeypatch):
    archive = zipped(tmp_path / "archive", FILES)
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1000})())
    with pytest.raises(OSError, match=r"3 kB in .*, and 1 kB"):
        unpack(archive, tmp_path / "out")
    assert below(tmp_path / "out") == {}


def test_what_a_killed_process_left_goes(tmp_path):
    archive = zipped(tmp_path / "archive", FILES)
    left = tmp_path / "out" / ".archive.unpacking" / "half.npy"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    unpack(archive, tmp_path / "out")
    assert below(tmp_path / "out") == FILES

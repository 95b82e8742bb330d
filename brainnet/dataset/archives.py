"""Archives are unpacked safely and whole: no member leaves the folder, and none stands there half written.

All names are looked at before anything is written. Members are written beside their place, and moved into it when the
whole archive has been read without a fault.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from brainnet._files import reading
from brainnet._work import progress as show_progress
from brainnet._work import size

BLOCK = 1 << 20  # bytes
JUNK = re.compile(r"(^|/)(__MACOSX/|\.DS_Store$|\._[^/]*$)")  # what a Mac adds
UNREADABLE = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, NotImplementedError, OSError)


class Member(NamedTuple):
    """A file in an archive."""

    name: str
    n_bytes: int
    open: Callable[[], IO[bytes]]


def unpack(archive: str | os.PathLike, folder: str | os.PathLike, *, progress: bool = False) -> dict[str, int]:
    """Unpacks a zip or a tar below a folder, all of it or nothing.

    Args:
        archive: .zip, .tar, .tar.gz, .tar.bz2 or .tar.xz; told by its bytes, not by its name.
        folder: where its members go. A file of the same name there is replaced.
        progress: show a progress bar.

    Returns:
        The name of each member, with its number of bytes. What a Mac adds (``__MACOSX``, ``.DS_Store``) is left out.

    Raises:
        ValueError: no archive, a damaged one, one with a password, or one with a member outside the folder, a link, a
            device, or one name twice; names it. Nothing is unpacked.
        OSError: its members need more room than there is.
    """
    archive, folder = Path(archive), Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    staging = folder / f".{archive.name}.unpacking"
    shutil.rmtree(staging, ignore_errors=True)  # of a killed process
    try:
        with _opened(archive) as members:
            _check_names(members, archive)
            _check_room(sum(member.n_bytes for member in members), folder, archive)
            for member in show_progress(members, f"unpacking {archive.name}", len(members), progress):
                _write(member, staging / member.name, archive)
        for member in members:
            place = folder / member.name
            place.parent.mkdir(parents=True, exist_ok=True)
            os.replace(staging / member.name, place)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return {member.name: member.n_bytes for member in members}


@contextmanager
def _opened(archive: Path) -> Iterator[list[Member]]:
    with archive.open("rb") as file:
        begins = file.read(4)
    if begins.startswith(b"PK"):
        with reading(archive, "zip file"):
            opened = zipfile.ZipFile(archive)
        with opened:
            yield _members_of_zip(opened, archive)
        return
    try:
        opened = tarfile.open(archive)  # noqa: SIM115 - closed below
    except (tarfile.TarError, EOFError, OSError, zlib.error):
        raise ValueError(
            f"{archive} is no archive: it is neither a zip nor a tar, and begins with {begins!r}."
        ) from None
    with opened:
        yield _members_of_tar(opened, archive)
        with reading(archive, "tar file"):  # to its end, where the checksum of a compressed one stands
            while opened.fileobj.read(BLOCK):
                pass


def _members_of_zip(opened: zipfile.ZipFile, archive: Path) -> list[Member]:
    found = []
    for info in opened.infolist():
        if info.is_dir() or JUNK.search(info.filename):
            continue
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG):
            raise ValueError(f"{archive} holds {info.filename!r}, a link or a device: nothing of it is unpacked.")
        if info.flag_bits & 1:
            raise ValueError(f"{archive} is locked with a password: unpack it by hand.")
        found.append(Member(info.orig_filename, info.file_size, lambda info=info: opened.open(info)))
    return found


def _members_of_tar(opened: tarfile.TarFile, archive: Path) -> list[Member]:
    found = []
    with reading(archive, "tar file"):
        infos = opened.getmembers()
    for info in infos:
        if info.isdir() or JUNK.search(info.name):
            continue
        if not info.isreg():
            raise ValueError(f"{archive} holds {info.name!r}, a link or a device: nothing of it is unpacked.")
        found.append(Member(info.name.removeprefix("./"), info.size, lambda info=info: opened.extractfile(info)))
    return found


def _check_names(members: list[Member], archive: Path) -> None:
    names: set[str] = set()
    for member in members:
        path = PurePosixPath(member.name)
        if not is_below(member.name):
            raise ValueError(
                f"{archive} holds {member.name!r}, which is outside the folder: nothing of it is unpacked."
            )
        if str(path) in names:
            raise ValueError(f"{archive} holds {member.name!r} twice: nothing of it is unpacked.")
        names.add(str(path))
    if not names:
        raise ValueError(f"{archive} holds no file.")


def is_below(name: str) -> bool:
    r"""Whether a path, on any system, stays below the folder it is put in.

    >>> [is_below(name) for name in ("a/b.npy", "../b", "a/../../b", "/etc/b", "C:b", "a\\b", "", "b\0c")]
    [True, False, False, False, False, False, False, False]
    """
    parts = PurePosixPath(name).parts
    return bool(parts) and not (name.startswith("/") or ".." in parts or re.search(r"^[A-Za-z]:|[\\\0]", name))


def _check_room(n_bytes: int, folder: Path, archive: Path) -> None:
    free = shutil.disk_usage(folder).free
    if n_bytes > free:
        raise OSError(f"unpacking {archive.name} needs {size(n_bytes)} in {folder}, and {size(free)} are free there.")


def _write(member: Member, place: Path, archive: Path) -> None:
    """One member, of the length that the archive says; a longer one is not written to its end."""
    place.parent.mkdir(parents=True, exist_ok=True)
    n_bytes = 0
    with place.open("wb") as target:
        try:
            with member.open() as source:
                while n_bytes <= member.n_bytes and (block := source.read(BLOCK)):
                    n_bytes += len(block)
                    target.write(block)
        except UNREADABLE as error:
            if isinstance(error, OSError) and error.errno is not None:  # of the disk, not of the archive
                raise
            raise ValueError(f"{archive} is damaged at {member.name!r} ({error}): nothing of it is unpacked.") from None
    if n_bytes != member.n_bytes:
        lengths = f"has {n_bytes:,} bytes, expected {member.n_bytes:,}"
        raise ValueError(f"{archive} is damaged: {member.name!r} {lengths}. Nothing of it is unpacked.")

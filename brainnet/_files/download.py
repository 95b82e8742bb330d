"""The one door to the network: a file arrives whole, is checked, and goes on from where it was broken off.

What has come is kept beside the target as ``.<name>.partial``, with a note of what it is the beginning of. It is gone
on with only where the server says that the file is still the same, or where a checksum tells in the end; else the file
is fetched from its start. Nothing stands under the target's name before it is whole and right.

pooch and huggingface_hub were looked at: the first begins anew after an interruption, the second knows one hub only.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import logging
import os
import shutil
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlparse

from brainnet._files import LONGEST_NAME, cache_dir, file_digest, locked, write_json
from brainnet._work import progress as show_progress
from brainnet._work import size

log = logging.getLogger(__name__)

BLOCK = 1 << 20  # bytes
ATTEMPTS = 4  # in a row that bring nothing new
PAUSE = 1.0  # seconds before the second attempt; doubled before each further one
BROKEN = (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError)
BUSY = (408, 425, 429, 500, 502, 503, 504)  # answers of a server that may answer otherwise a second later
MEANING = {401: "it asks for a password", 403: "it is not open to everyone: perhaps a form must be filled in first",
           404: "there is no such file any more", 410: "there is no such file any more"}  # fmt: skip


def fetch(url: str, sha256: str | None = None, filename: str | None = None, timeout: float = 30.0) -> Path:
    """The path of a downloaded file, from the cache where it is there already.

    Args:
        url: address of the file.
        sha256: expected checksum in hexadecimal; None accepts what comes.
        filename: name in the cache; by default the last part of the address.
        timeout: seconds without an answer before giving up.

    Raises:
        ConnectionError: the address could not be reached; names the address, the target path and the checksum.
        ValueError: the file's checksum is not the expected one; the file is not kept.
    """
    target = cache_dir() / (filename or Path(urlparse(url).path).name)
    return download(url, target, f"sha256:{sha256}" if sha256 else "", timeout=timeout)


def download(
    addresses: str | Sequence[str],
    target: str | os.PathLike,
    digest: str = "",
    n_bytes: int | None = None,
    *,
    timeout: float = 30.0,
    progress: bool = False,
) -> Path:
    """The path of a file that is there, and right, or is fetched now.

    Args:
        addresses: of the file; others than the first are its mirrors, for where that one fails.
        target: where it goes.
        digest: "sha256:...", "sha1:..." or "md5:...", in hexadecimal; "" accepts what comes.
        n_bytes: its length; where a digest is given that alone decides.
        timeout: seconds without an answer before an attempt is given up.
        progress: show a progress bar.

    Raises:
        ConnectionError: no address could be reached, or none gave the file whole; names each with its reason, the
            target and the checksum.
        ValueError: the file is not the expected one, by its checksum or length; nothing is kept.
        OSError: there is too little room on the disk, or the target cannot be written.
    """
    target = Path(target)
    wanted = _Wanted(digest, n_bytes)
    if _is_there(target, wanted):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with locked(target, keep=False):
        if _is_there(target, wanted):  # another process has fetched it meanwhile
            return target
        part = _Part(target)
        failed: list[tuple[str, Exception]] = []
        for address in [addresses] if isinstance(addresses, str) else addresses:
            try:
                part.fill(address, wanted, timeout, progress)
                os.replace(part.path, target)
            except (*BROKEN, ValueError) as error:
                failed.append((address, error))
            else:
                part.forget()
                return target
        raise _refusal(failed, target, digest, part)


def _refusal(failed: list[tuple[str, Exception]], target: Path, digest: str, part: _Part) -> Exception:
    """One error for all the addresses that failed."""
    wrong = [error for _, error in failed if isinstance(error, ValueError)]
    if len(wrong) == len(failed):
        return ValueError("\n  ".join(map(str, wrong)))
    kept = f"\n  {size(part.n_bytes)} of it are kept, and the same call goes on from there." if part.n_bytes else ""
    reasons = "\n  ".join(f"could not download {address}: {_reason(error)}." for address, error in failed)
    checksum = f" ({digest})" if digest else ""
    return ConnectionError(f"{reasons}{kept}\n  Offline? Fetch that file elsewhere{checksum} and put it at {target}")


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        meaning = f" ({MEANING[error.code]})" if error.code in MEANING else ""
        return f"the server answers {error.code} {error.reason}{meaning}"
    below = getattr(error, "reason", error)  # of a URLError, what the system said
    return str(getattr(below, "strerror", None) or below).rstrip(".")


def read_address(address: str, timeout: float = 30.0) -> bytes:
    """What stands at an address, which is small: a list of files, not one of them.

    Raises:
        ConnectionError: it could not be reached; says why.
    """
    for attempt in range(ATTEMPTS):
        try:
            with urllib.request.urlopen(_asking(address), timeout=timeout) as response:
                return response.read()
        except BROKEN as error:
            if attempt + 1 == ATTEMPTS or not _may_pass(error):
                raise ConnectionError(f"could not read {address}: {_reason(error)}.") from None
            time.sleep(PAUSE * 2**attempt)
    raise AssertionError


def _asking(address: str, **headers: str) -> urllib.request.Request:
    usual = {"User-Agent": "brainnet", "Accept-Encoding": "identity"}
    return urllib.request.Request(address, headers=usual | headers)


@dataclass(frozen=True)
class _Wanted:
    """What a file must be."""

    digest: str
    n_bytes: int | None

    def fault_of(self, path: Path) -> str:
        """What is wrong with a file; "" where nothing is."""
        if self.digest:
            found = digest_of(path, self.digest.partition(":")[0])
            return "" if found == self.digest.lower() else f"has checksum {found}, expected {self.digest}"
        found = path.stat().st_size
        wrong = self.n_bytes is not None and found != self.n_bytes
        return f"has {found:,} bytes, expected {self.n_bytes:,}" if wrong else ""


def digest_of(path: str | os.PathLike, kind: str) -> str:
    """Checksum of a file's bytes, as "sha256:...", "sha1:..." or "md5:...".

    Raises:
        ValueError: another kind.
    """
    if kind == "sha256":
        return f"sha256:{file_digest(path)}"
    if kind not in ("md5", "sha1"):
        raise ValueError(f"a checksum is 'sha256:...', 'sha1:...' or 'md5:...', got {kind!r}.")
    digest = hashlib.new(kind, usedforsecurity=False)
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return f"{kind}:{digest.hexdigest()}"


def _is_there(target: Path, wanted: _Wanted) -> bool:
    if not target.is_file():
        return False
    fault = wanted.fault_of(target)
    if fault:
        log.warning("%s %s: it is fetched again.", target, fault)
    return not fault


@dataclass(frozen=True)
class _Note:
    """What the file that has begun to come is.

    Args:
        address: from where.
        version: of the file, as the server names it: its ETag, or when it was changed; "" where it names none.
        n_bytes: of the whole file; None where that was not said.
    """

    address: str
    version: str
    n_bytes: int | None


class _Part:
    """The beginning of a file, beside the place where the whole file belongs."""

    def __init__(self, target: Path):
        self.target = target
        self.path = target.with_name(f".{target.name[:LONGEST_NAME]}.partial")
        self.note_path = self.path.with_name(f"{self.path.name}.json")

    @property
    def n_bytes(self) -> int:
        return self.path.stat().st_size if self.path.is_file() else 0

    def note(self) -> _Note | None:
        try:
            return _Note(**json.loads(self.note_path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def forget(self) -> None:
        self.path.unlink(missing_ok=True)
        self.note_path.unlink(missing_ok=True)

    def fill(self, address: str, wanted: _Wanted, timeout: float, progress: bool) -> None:
        """Fetches what is missing, and checks the whole; what is found wrong is not kept."""
        goes_on = self._goes_on_with(address, wanted)
        self._fill(address, wanted, timeout, progress)
        fault = wanted.fault_of(self.path)
        if fault and goes_on:  # the beginning may have been of another version
            self.forget()
            self._fill(address, wanted, timeout, progress)
            fault = wanted.fault_of(self.path)
        if fault:
            self.forget()
            raise ValueError(f"{address} {fault}; nothing was kept.")

    def _goes_on_with(self, address: str, wanted: _Wanted) -> bool:
        """Whether what is there may be the beginning of the wanted file; where not, it is thrown away."""
        note = self.note()
        goes_on = bool(self.n_bytes and note and (wanted.digest or (note.version and note.address == address)))
        if not goes_on:
            self.forget()
        return goes_on

    def _fill(self, address: str, wanted: _Wanted, timeout: float, progress: bool) -> None:
        fruitless = 0
        while True:
            before = self.n_bytes if self._goes_on_with(address, wanted) else 0
            try:
                return self._attempt(address, wanted, before, timeout, progress)
            except BROKEN as error:
                after = self.n_bytes if self._goes_on_with(address, wanted) else 0
                fruitless = 0 if after > before else fruitless + 1
                if fruitless >= ATTEMPTS or not _may_pass(error):
                    raise
                log.info("%s: %s; again", address, error)
                time.sleep(PAUSE * 2 ** max(0, fruitless - 1))

    def _attempt(self, address: str, wanted: _Wanted, start: int, timeout: float, progress: bool) -> None:
        note = self.note()
        if note and start and start == note.n_bytes:
            return  # it was whole, and not yet in its place
        headers = {}
        if start:
            headers["Range"] = f"bytes={start}-"
            if note and note.version and note.address == address:
                headers["If-Range"] = note.version
        try:
            response = urllib.request.urlopen(_asking(address, **headers), timeout=timeout)
        except urllib.error.HTTPError as error:
            if error.code == 416:  # the file is shorter than its beginning here: another one
                self.forget()
            raise
        with response:
            if getattr(response, "status", 200) != 206 or not _begins_at(response, start):
                start = 0
            length = response.headers.get("Content-Length")
            whole = start + int(length) if length is not None else None
            self._check(address, wanted, whole, start)
            write_json(self.note_path, asdict(_Note(address, _version_of(response), whole)))
            with open(self.path, "r+b" if start else "wb") as file:
                file.seek(start)
                file.truncate()
                n_blocks = None if whole is None else -(-(whole - start) // BLOCK)
                for block in show_progress(_blocks(response), self.target.name, n_blocks, progress):
                    file.write(block)
        if whole is not None and self.n_bytes != whole:
            raise ConnectionError(f"the connection broke off after {self.n_bytes:,} of {whole:,} bytes")

    def _check(self, address: str, wanted: _Wanted, whole: int | None, start: int) -> None:
        """Refuses what will not do, before it is fetched."""
        if whole is None:
            return
        if not wanted.digest and wanted.n_bytes not in (None, whole):
            self.forget()
            raise ValueError(f"{address} has {whole:,} bytes, expected {wanted.n_bytes:,}; nothing was kept.")
        free = shutil.disk_usage(self.path.parent).free
        if whole - start > free:
            raise OSError(f"{self.target} needs {size(whole - start)} more, and {size(free)} are free there.")


def _begins_at(response: http.client.HTTPResponse, start: int) -> bool:
    return response.headers.get("Content-Range", "").startswith(f"bytes {start}-")


def _blocks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    while block := response.read(BLOCK):
        yield block


def _version_of(response: http.client.HTTPResponse) -> str:
    """What stays the same as long as the file does; a weak ETag ("W/...") promises that of its meaning only."""
    tag = response.headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified", "")


def _may_pass(error: Exception) -> bool:
    """Whether the same request may be answered better in a moment."""
    if isinstance(error, urllib.error.HTTPError):
        return error.code in (*BUSY, 416)
    reason = getattr(error, "reason", error)  # of a URLError, the error below it
    passes = (ConnectionResetError, ConnectionAbortedError, TimeoutError, ssl.SSLError, http.client.HTTPException)
    return isinstance(reason, passes) or type(reason) is ConnectionError

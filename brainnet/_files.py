"""The one door to the network: a file by address, checked, put in place whole, kept in one cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlparse


def cache_dir() -> Path:
    """Where downloads are kept: ``$BRAINNET_HOME``, else ``~/.cache/brainnet``."""
    return Path(os.environ.get("BRAINNET_HOME") or Path.home() / ".cache" / "brainnet")


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
    if target.exists() and (sha256 is None or _sha256(target) == sha256):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(dir=target.parent, prefix=target.name, suffix=".partial")
    try:
        with os.fdopen(handle, "wb") as out, urllib.request.urlopen(url, timeout=timeout) as response:
            shutil.copyfileobj(response, out)
            expected = response.headers.get("Content-Length")
        if expected is not None and Path(partial).stat().st_size != int(expected):
            raise OSError(f"the connection broke off after {Path(partial).stat().st_size:,} of {int(expected):,} bytes")
        if sha256 is not None and (found := _sha256(Path(partial))) != sha256:
            raise ValueError(f"{url} has checksum sha256:{found}, expected sha256:{sha256}; nothing was kept.")
        os.replace(partial, target)  # whole or not at all
    except (urllib.error.URLError, OSError) as error:
        checksum = f" (sha256:{sha256})" if sha256 else ""
        raise ConnectionError(
            f"could not download {url}: {error}.\n  Offline? Fetch that file elsewhere{checksum} and put it at {target}"
        ) from None
    finally:
        Path(partial).unlink(missing_ok=True)
    return target


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()

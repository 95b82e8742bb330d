"""The files in a folder of a public bucket of S3, such as OpenNeuro's: their names and lengths, without a key."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import NamedTuple
from urllib.parse import quote, urlencode, urlparse
from xml.etree import ElementTree

from brainnet._files.download import read_address
from brainnet.dataset.archives import is_below


class Listed(NamedTuple):
    """A file in a bucket.

    Args:
        name: below the folder that was listed.
        n_bytes: its length.
        address: of the file.
    """

    name: str
    n_bytes: int
    address: str


def list_bucket(address: str, pattern: str = "*") -> list[Listed]:
    """The files below a folder of a bucket, as far as their names fit a pattern.

    Args:
        address: "https://s3.amazonaws.com/BUCKET/FOLDER/" or "https://BUCKET.s3.amazonaws.com/FOLDER/".
        pattern: of the name below the folder, in which ``*`` stands for any letters, slashes too.

    Raises:
        ConnectionError: the bucket could not be reached, or is not open; names the address and the reason.
        ValueError: what answers is no bucket, names a file outside the folder, or has none that fits.
    """
    parts = urlparse(address)
    door, folder = f"{parts.scheme}://{parts.netloc}", parts.path.lstrip("/")
    if ".s3." not in parts.netloc:  # the bucket is no part of the name of the machine
        bucket, _, folder = folder.partition("/")
        door = f"{door}/{bucket}"
    if not folder.endswith("/"):
        raise ValueError(f"a folder in a bucket is .../BUCKET/FOLDER/ or BUCKET.s3..../FOLDER/, got {address}.")
    found = []
    for key, n_bytes in _pages(door, folder):
        name = key.removeprefix(folder)
        if key.endswith("/"):  # an empty folder, where somebody made one by hand
            continue
        if not key.startswith(folder) or not is_below(name):
            raise ValueError(f"{address} lists {key!r}, which is not below it.")
        if fnmatchcase(name, pattern):
            found.append(Listed(name, n_bytes, f"{door}/{quote(key)}"))
    if not found:
        raise ValueError(f"{address} has no file like {pattern}: it may have moved.")
    return found


def _pages(door: str, folder: str) -> Iterator[tuple[str, int]]:
    """Keys and lengths of all files that begin so, a thousand an answer."""
    goes_on: str | None = ""
    while goes_on is not None:
        asked = {"list-type": "2", "prefix": folder} | ({"continuation-token": goes_on} if goes_on else {})
        address = f"{door}/?{urlencode(asked)}"
        try:
            answer = ElementTree.fromstring(read_address(address))
            for entry in answer.iterfind("{*}Contents"):
                yield entry.findtext("{*}Key", ""), int(entry.findtext("{*}Size", ""))
        except (ElementTree.ParseError, ValueError) as error:
            raise ValueError(f"{address} gives no list of files ({error}).") from None
        goes_on = answer.findtext("{*}NextContinuationToken")

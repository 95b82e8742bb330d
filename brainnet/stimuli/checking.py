"""Which pictures cannot be read: each is decoded once, by several threads, and the answer is kept by the bytes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from brainnet._files import read_json, sha256, write_json
from brainnet._work import in_threads
from brainnet._work import progress as progress_bar
from brainnet.stimuli.decoding import MissingImage, UnreadableImage
from brainnet.stimuli.sources import Pixels, Source

KEPT_EVERY = 2000  # pictures after which the answers so far are written


def unreadable(
    source: Source,
    names: Mapping[int, str],
    *,
    kept: str | Path | None = None,
    workers: int | None = None,
    progress: bool = True,
) -> dict[int, str]:
    """The pictures that cannot be read, and why.

    Args:
        source: where the pictures lie.
        names: place to what an error calls the picture; these are looked at.
        kept: a JSON file in which the answers are kept, by the digest of each picture: a picture whose answer is there
            is not decoded again. None keeps nothing.
        workers: threads; None takes one a core, at most 8.
        progress: show a progress bar.

    Returns:
        Place to reason, of those that cannot be read.
    """
    from PIL import __version__ as pillow

    if isinstance(source, Pixels):
        return {}
    known = {} if kept is None else _read(Path(kept), pillow)
    n_known = len(known)

    def check(place: int) -> tuple[int, str, str]:
        try:
            digest = sha256(source.digest(place), Path(source.names[place]).suffix)
        except Exception:  # it cannot be opened, which reading says in better words
            digest = ""
        if digest in known:
            return place, digest, known[digest]
        try:
            source.image(place, names[place])
        except (UnreadableImage, MissingImage) as error:
            return place, digest, error.reason
        return place, digest, ""

    found = {}
    try:
        for place, digest, reason in progress_bar(
            in_threads(check, list(names), workers), f"Checking {len(names):,} images", len(names), progress
        ):
            if reason:
                found[place] = reason
            if digest:
                known[digest] = reason
            if kept is not None and len(known) >= n_known + KEPT_EVERY:
                n_known = len(known)
                _write(Path(kept), pillow, known)
    finally:
        if kept is not None and len(known) > n_known:
            _write(Path(kept), pillow, known)
    return found


def _read(path: Path, pillow: str) -> dict[str, str]:
    """The answers of a file; none where it is absent, damaged, or of another version of the decoder."""
    try:
        found = read_json(path)
    except (OSError, ValueError):
        return {}
    images = found.get("images")
    if found.get("pillow") != pillow or not isinstance(images, dict):
        return {}
    return {digest: reason for digest, reason in images.items() if isinstance(reason, str)}


def _write(path: Path, pillow: str, known: Mapping[str, str]) -> None:
    write_json(path, {"pillow": pillow, "images": dict(known)})


def say_skipped(skipped: Mapping[str, str], n_images: int, most: int = 3) -> str:
    """One line on the pictures that are left out; "" where none is.

    >>> say_skipped({"a.jpg": "it is empty"}, 10)
    '1 of 10 images cannot be read and is left out: a.jpg (it is empty)'
    """
    if not skipped:
        return ""
    first = "; ".join(f"{name} ({reason})" for name, reason in list(skipped.items())[:most])
    verb = "is" if len(skipped) == 1 else "are"
    more = f"; and {len(skipped) - most} more" if len(skipped) > most else ""
    return f"{len(skipped)} of {n_images} images cannot be read and {verb} left out: {first}{more}"

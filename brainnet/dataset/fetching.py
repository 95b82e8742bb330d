"""The files of a data set that may be fetched without a form, into the folder where its reader looks for them.

What a form or a password guards is not fetched here: its steps are printed. Nothing is fetched before the terms of the
data set were shown and accepted. What was fetched once, and is there still, is not fetched again.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from brainnet._files import cache_dir, locked, read_json, slug, write_json
from brainnet._files.download import digest_of, download
from brainnet._work import Interrupted, size, terminable
from brainnet.dataset.about import About, Download
from brainnet.dataset.archives import is_below, unpack
from brainnet.dataset.base import DATASETS
from brainnet.dataset.buckets import list_bucket
from brainnet.dataset.catalogue import downloads_of, options_with_defaults

RECORDS = ".brainnet"  # folder of the archives, and of what was unpacked from each
ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz")


@dataclass(frozen=True)
class Plan:
    """What would be fetched, and to where.

    Attributes:
        name: of the data set.
        about: what it is, its terms among it.
        folder: where its files go.
        files: that may be fetched, for the options that were given.
        missing: those of them that are not there yet.
        lists: the folders of buckets among them, each with the names and lengths of its files.
    """

    name: str
    about: About
    folder: Path
    files: tuple[Download, ...]
    missing: tuple[Download, ...]
    lists: tuple[tuple[Download, dict[str, int]], ...] = ()

    @property
    def why_nothing(self) -> str:
        """Where there are no files: why, and for which options there are some."""
        others = list(dict.fromkeys(file.option for file in self.about.downloads if file.option))
        if not others:
            return f"brainnet fetches nothing of {self.about.title}: it needs a form, or has no fixed address."
        have = ", ".join(others)
        return f"For these options nothing of {self.about.title} may be fetched; there is something for {have}."

    @property
    def n_bytes(self) -> int:
        """Of the missing files, as far as their lengths were published."""
        return sum(file.n_bytes or 0 for file in self.missing)

    @property
    def n_unknown(self) -> int:
        """Missing files whose lengths were not published."""
        return sum(file.n_bytes is None for file in self.missing)

    @property
    def n_bytes_of_disk(self) -> int:
        """The least room that is needed at once: an archive stands beside its members, which are no smaller."""
        return sum((file.n_bytes or 0) * (2 if file.unpack else 1) for file in self.missing)


def usual_folder(name: str) -> Path:
    """Where a data set goes if nobody says: below the one folder where downloads are kept, ``$BRAINNET_HOME``."""
    return cache_dir() / "datasets" / slug(name)


def plan_dataset(name: str, folder: str | os.PathLike | None = None, **options: Any) -> Plan:
    """What :func:`get_dataset` would fetch; nothing is fetched but lists of files, and nothing is written.

    Args:
        name: of the data set.
        folder: where its files go; None is :func:`usual_folder`.
        options: of the reader, for a data set whose files are for one subject each.

    Raises:
        ValueError: no such data set, it is none that is published, it takes no such option, or what its reader says
            leads out of the folder.
        ConnectionError: the list of files in a bucket could not be read.
    """
    options_with_defaults(name, options)
    about = DATASETS[name].about
    if about is None:
        raise ValueError(f"the data set {name!r} is no published one: there is nothing to download.")
    folder = usual_folder(name) if folder is None else Path(folder)
    said = downloads_of(name, options)
    lists = tuple((file, _listed(file, folder)) for file in said if file.files)
    files = (*(file for file in said if not file.files), *(one for pair in lists for one in _files_of(*pair)))
    for file in files:
        if file.path not in ("", ".") and not is_below(file.path):
            raise ValueError(f"{name} would write {file.path!r}, outside its folder.")
    return Plan(name, about, folder, files, tuple(file for file in files if not _is_there(file, folder)), lists)


def get_dataset(
    name: str,
    folder: str | os.PathLike | None = None,
    *,
    accept_terms: bool = False,
    progress: bool = True,
    **options: Any,
) -> list[Path]:
    """Fetches the files of a data set that may be fetched without a form; goes on where it was stopped.

    Args:
        name: of the data set.
        folder: where its files go, in the layout of its publisher; None is :func:`usual_folder`.
        accept_terms: you have read the terms, ``find_datasets`` or ``describe_dataset(name)["terms"]``, and agree.
        progress: show progress bars.
        options: of the reader, for a data set whose files are for one subject each.

    Returns:
        The places of all its files that may be fetched, of an archive the folder of its members.

    Raises:
        ValueError: nothing of it may be fetched (says the steps to take by hand), the terms are not accepted, or a
            file is not the published one.
        ConnectionError: an address could not be reached; names it, the reason and the place to put the file.
        OSError: there is too little room on the disk.
    """
    plan = plan_dataset(name, folder, **options)
    if not plan.files:
        steps = "\n".join(f"  {number}. {step}" for number, step in enumerate(plan.about.steps, 1))
        raise ValueError(f"{plan.why_nothing} By hand:\n{steps}")
    if plan.missing and not accept_terms:
        raise ValueError(f"the terms of {plan.about.title} must be accepted first (accept_terms): {plan.about.terms}")
    if plan.missing:
        _check_room(plan)
        try:
            with terminable(), _alone(plan.folder):
                for file in plan.missing:
                    _get(file, plan.folder, progress)
                _keep_lists(plan)
        except KeyboardInterrupt:
            raise Interrupted(f"what was fetched is kept in {plan.folder}; the same call goes on from there.") from None
    return [_place(file, plan.folder) for file in plan.files]


def _alone(folder: Path):
    (folder / RECORDS).mkdir(parents=True, exist_ok=True)
    return locked(folder / RECORDS / "fetching", wait=False, keep=False)


def _check_room(plan: Plan) -> None:
    there = next(parent for parent in (plan.folder, *plan.folder.absolute().parents) if parent.is_dir())
    free = shutil.disk_usage(there).free
    if plan.n_bytes_of_disk > free:
        needed = size(plan.n_bytes_of_disk)
        raise OSError(f"{plan.about.title} needs at least {needed} in {plan.folder}, and {size(free)} are free there.")


def _place(file: Download, folder: Path) -> Path:
    """Where a file goes; of an archive, the folder of its members."""
    place = folder / file.path
    return place.parent if file.unpack and place.suffix.lower() in ARCHIVES else place


def _listed(file: Download, folder: Path) -> dict[str, int]:
    """Names and lengths of the files of a folder of a bucket, as they were when all had come, or as they are now."""
    if "*" in file.address:
        raise ValueError(f"{file.address} is of no folder: give the option that it leaves open.")
    kept = _kept(file, folder).get("files")
    return kept if isinstance(kept, dict) else {one.name: one.n_bytes for one in list_bucket(file.address, file.files)}


def _files_of(file: Download, names: dict[str, int]) -> Iterator[Download]:
    for name, n_bytes in names.items():
        place, address = f"{file.path}/{name}".lstrip("/"), f"{file.address}{quote(name)}"
        yield replace(file, path=place, address=address, n_bytes=n_bytes, files="")


def _keep_lists(plan: Plan) -> None:
    """Keeps what the buckets list, so that whole folders are known without the network."""
    for file, names in plan.lists:
        write_json(_record(file, plan.folder), {"address": file.address, "pattern": file.files, "files": names})


def _kept(file: Download, folder: Path) -> dict[str, Any]:
    """What was noted of an archive or a bucket when it had come; nothing where that was another one, or is damaged."""
    try:
        said = read_json(_record(file, folder))
    except (FileNotFoundError, ValueError):
        return {}
    same = said.get("digest", "") == file.digest and said.get("pattern", "") == file.files
    return said if same else {}


def _record(file: Download, folder: Path) -> Path:
    return folder / RECORDS / f"{slug(file.address, file.files)}.json"


def _is_there(file: Download, folder: Path) -> bool:
    if not file.unpack:
        place = folder / file.path
        if not place.is_file() or file.n_bytes not in (None, place.stat().st_size):
            return False
        told = file.n_bytes is None and file.digest  # only its bytes can tell whether it is whole
        return not told or digest_of(place, file.digest.partition(":")[0]) == file.digest
    place, members = _place(file, folder), _kept(file, folder).get("members")
    return isinstance(members, dict) and all(
        (place / name).is_file() and (place / name).stat().st_size == n for name, n in members.items()
    )


def _get(file: Download, folder: Path, progress: bool) -> None:
    addresses: Sequence[str] = (file.address, *file.mirrors)
    if not file.unpack:
        download(addresses, folder / file.path, file.digest, file.n_bytes, progress=progress)
        return
    record = _record(file, folder)
    archive = record.with_suffix(".archive")
    download(addresses, archive, file.digest, file.n_bytes, progress=progress)
    try:
        members = unpack(archive, _place(file, folder), progress=progress)
    except ValueError as error:
        if not file.digest:  # what came may be an error page: it is not believed a second time
            archive.unlink(missing_ok=True)
        raise ValueError(f"{file.address}: {error}") from None
    write_json(record, {"address": file.address, "digest": file.digest, "members": members})
    archive.unlink()

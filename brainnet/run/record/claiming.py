"""A folder of results: whose it is, one writer at a time, clean before it is filled, gone where nothing came of it."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from brainnet._files import locked, read_json
from brainnet._work import Interrupted, terminable
from brainnet.run.record.card import refuse_others

LOCK = ".brainnet"  # with the suffix .lock, in the folder for as long as a command is at work there


def file_to_write(out: str | Path) -> Path:
    """The path of a file that a command is about to write; its folder is made.

    Raises:
        IsADirectoryError: it is a folder.
        NotADirectoryError: a part of its path is a file.
    """
    out = Path(out)
    if out.is_dir():
        raise IsADirectoryError(f"{out} is a folder; name a file in it.")
    for folder in out.parents:
        if folder.exists() and not folder.is_dir():
            raise NotADirectoryError(f"{folder} is a file, so {out} cannot be written.")
    out.parent.mkdir(parents=True, exist_ok=True)
    return out


@contextmanager
def claimed(
    out: str | Path,
    kind: str,
    begun: Sequence[str] = (),
    *,
    resume: bool = False,
    overwrite: bool = False,
    hint: str = "",
) -> Iterator[Path]:
    """The folder ``out`` for as long as the block lasts, for this process alone, whatever the command.

    It is made where it does not exist; where the block ends and nothing was put in, it is gone again.

    Args:
        out: the folder.
        kind: the command, as in ``run.json``.
        begun: files of which one shows that such a run was begun there, and is not to be replaced unasked.
        resume: go on with that run.
        overwrite: replace it, also where its card was damaged. See :func:`clear`.
        hint: what to do where there is one, before "replace it with --overwrite".

    Raises:
        FileExistsError: a file, another command's results, or a run and neither ``resume`` nor ``overwrite``.
        PermissionError: it cannot be made, or not be written to.
        BlockingIOError: another process is at work there.
    """
    out = Path(out)
    if overwrite:
        _forget_damaged_card(out)
    refuse_others(out, kind)
    if not (resume or overwrite) and any((out / name).exists() for name in begun):
        raise FileExistsError(f"{out} holds a run already: {hint}replace it with --overwrite, or choose another --out.")
    with made(out):
        try:
            with locked(out / LOCK, wait=False, keep=False):
                yield out
        except BlockingIOError as error:
            raise BlockingIOError(
                f"another process is writing to {out}: wait for it, or choose another --out."
            ) from error


@contextmanager
def made(out: Path) -> Iterator[bool]:
    """A folder, which is gone again where the block puts nothing in; gives whether it was made here."""
    missing = [folder for folder in (out.absolute(), *out.absolute().parents) if not folder.exists()]
    out.mkdir(parents=True, exist_ok=True)
    try:
        yield bool(missing)
    finally:
        with contextlib.suppress(OSError):  # not empty: something came of it
            for folder in missing:
                folder.rmdir()


def clear(out: Path, patterns: Iterable[str]) -> None:
    """Takes away the files and folders of an earlier run, so that none of them stands beside those of the next."""
    for pattern in patterns:
        for path in out.glob(pattern):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


@contextmanager
def stoppable(kept: Callable[[], str]) -> Iterator[None]:
    """Ends in :class:`Interrupted` with what ``kept`` says where ctrl-C or SIGTERM (Slurm, Docker) stops the block."""
    with terminable():
        try:
            yield
        except (KeyboardInterrupt, SystemExit):
            raise Interrupted(kept()) from None


@contextmanager
def speaking_of_the_store() -> Iterator[None]:
    """What a store of tokens says of its arguments, in the words of the setting that names it."""
    try:
        yield
    except ValueError as error:
        said, _, advice = str(error).partition("Or build with overwrite=True")
        if not advice:
            raise
        said = said.replace("Give another path.", "").rstrip()
        raise ValueError(f"{said}\nName another file in TOKENS.STORE, or delete that one.") from None


def _forget_damaged_card(out: Path) -> None:
    """A card that no longer says what it is of protects nothing."""
    card = out / "run.json"
    if card.is_file():
        try:
            read_json(card)
        except ValueError:
            card.unlink()

"""What folders of pictures mean: one set, a class each, or nothing but places; and the order of classes.

The rule, for folders and zip archives alike: pictures that lie side by side are one set ("flat"); where all of them lie
one folder further down, each folder is a class ("classes"); where they lie at several depths, or deeper, folders mean
nothing and ids are relative paths ("nested").
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

from brainnet._checks import check_word, nearest, warn_once
from brainnet.stimuli.names import NOT_READ, SUFFIXES, is_picture, natural_sort, paths_without_suffix, stems

LAYOUTS = ("flat", "classes", "nested")
CLASS_COLUMNS = ("uniqueid", "class", "concept", "category", "name")  # the first is that of the THINGS concepts


class Layout(NamedTuple):
    """How the pictures of a folder are read.

    ``names`` are relative paths with "/" between the parts, in order; ``classes`` the names of the classes in their
    order, and ``targets`` for each picture the place of its class; both None where there are no classes.
    """

    kind: str
    names: list[str]
    ids: list[str]
    classes: list[str] | None = None
    targets: list[int] | None = None


def layout_of(names: Sequence[str], kind: str, where: str, classes: Sequence[str] | None = None) -> Layout:
    """Order, ids and classes of pictures by their relative paths.

    Args:
        names: relative paths, with "/" between the parts.
        kind: "auto" follows the rule above; or one of ``LAYOUTS``.
        where: the folder or archive, for messages.
        classes: the classes in their order; they may be more than there are folders. None takes natural order.

    Raises:
        ValueError: pictures outside of the folders of classes, or a folder that ``classes`` does not name.

    >>> layout_of(["dog/1.png", "cat/10.png", "cat/9.png"], "auto", "animals")[1:]
    (['cat/9.png', 'cat/10.png', 'dog/1.png'], ['cat/9', 'cat/10', 'dog/1'], ['cat', 'dog'], [0, 0, 1])
    """
    check_word("layout", kind, ("auto", *LAYOUTS))
    if kind == "auto" and classes is not None:
        kind = "classes"
    if kind == "auto":
        depths = {name.count("/") for name in names}
        kind = "flat" if depths <= {0} else "classes" if depths == {1} else "nested"
    names = natural_sort(names)
    if classes is not None and kind != "classes":
        raise ValueError(f"an order of classes is for pictures in folders of classes, and {where} is read as {kind!r}.")
    if kind == "flat":
        return Layout(kind, names, stems(names))
    if kind == "nested":
        return Layout(kind, names, paths_without_suffix(names))
    stray = [name for name in names if "/" not in name]
    if stray:
        raise ValueError(
            f"{len(stray)} of the pictures in {where} lie in no folder of a class, the first is {stray[0]}. Move them, "
            "or choose the layout nested."
        )
    found = natural_sort({name.partition("/")[0] for name in names})
    order = list(found) if classes is None else matched(classes, found, where)
    place = {name: index for index, name in enumerate(order)}
    names.sort(key=lambda name: place[name.partition("/")[0]])  # stable: natural order within a class
    targets = [place[name.partition("/")[0]] for name in names]
    return Layout(kind, names, paths_without_suffix(names), order, targets)


def matched(classes: Sequence[str], found: Sequence[str], where: str) -> list[str]:
    """The order of classes, checked against those that are there.

    Raises:
        ValueError: a class twice, or one that is there and not in the order.
    """
    classes = [str(name) for name in classes]
    if not set(found) <= set(classes):
        first = [name.split(maxsplit=1)[0] if name.strip() else name for name in classes]
        classes = first if set(found) <= set(first) else classes  # "n01440764 tench, Tinca tinca", as ImageNet lists
    if len(set(classes)) < len(classes):
        twice = next(name for place, name in enumerate(classes) if name in classes[:place])
        raise ValueError(f"the order of classes names {twice!r} twice.")
    unknown = [name for name in found if name not in set(classes)]
    if unknown:
        close = nearest(unknown[0], classes)
        raise ValueError(
            f"the order of classes lacks {len(unknown)} of the {len(found)} classes in {where}, the first is "
            f"{unknown[0]!r}." + (f" Did you mean {close!r}?" if close else "")
        )
    if len(classes) > len(found):
        absent = next(name for name in classes if name not in set(found))
        warn_once(
            f"classes of {where}",
            f"{len(classes) - len(found)} of the {len(classes)} classes have no pictures in {where}, the first is "
            f"{absent!r}. Targets count all classes.",
        )
    return classes


# ---------------------------------------------------------------------- folders


def names_in(folder: Path, kind: str = "auto") -> list[str]:
    """Relative paths of the pictures of a folder: those directly in it, or where there are none, those below it.

    Args:
        folder: is there.
        kind: "auto"; "flat" looks in the folder alone, "classes" and "nested" below it in any case.

    Raises:
        FileNotFoundError: there are none, or all of them lie in one folder further down, which is named.
    """
    if kind in ("auto", "flat"):
        names = [entry.name for entry in os.scandir(folder) if is_picture(entry.name) and _is_file_or_broken(entry)]
        if names:
            if kind == "auto":
                _warn_of_more(folder)
            return names
    names = [] if kind == "flat" else list(_below(folder))
    common = common_folder(names)
    if names and (kind != "auto" or not common):
        return names
    inside = f" Did you mean {folder / common}?" if common else ""
    raise FileNotFoundError(f"no images in {folder}: none of its files ends in {', '.join(SUFFIXES)}.{inside}")


def common_folder(names: Iterable[str]) -> str:
    """The folder that all pictures share; "" where they lie in several, or none.

    >>> common_folder(["set/a/1.png", "set/b/1.png"]), common_folder(["a/1.png", "b/1.png"])
    ('set', '')
    """
    folders = [name.split("/")[:-1] for name in names]
    shared = takewhile(lambda parts: len(set(parts)) == 1, zip(*folders, strict=False))
    return "/".join(parts[0] for parts in shared)


def without_common_folder(names: Sequence[str], kind: str = "auto") -> list[str]:
    """Paths within the folder that all pictures of an archive share; that of a class is kept for "classes".

    >>> without_common_folder(["set/a/1.png", "set/b/1.png"]), without_common_folder(["set/1.png"], "classes")
    (['a/1.png', 'b/1.png'], ['set/1.png'])
    """
    depth = len(common_folder(names).split("/")) if common_folder(names) else 0
    found = [name.split("/", depth)[-1] for name in names]
    if kind == "classes" and depth and all("/" not in name for name in found):
        found = [name.split("/", depth - 1)[-1] for name in names]
    return found


def _below(folder: Path, above: frozenset = frozenset()) -> Iterator[str]:
    """Relative paths of all pictures below a folder; a link to a folder above ends there."""
    stat = folder.stat()
    place = (stat.st_dev, stat.st_ino)
    if place in above:
        return
    for entry in os.scandir(folder):
        if entry.is_dir():
            if not entry.name.startswith(".") and entry.name != "__MACOSX":
                yield from (f"{entry.name}/{name}" for name in _below(folder / entry.name, above | {place}))
        elif is_picture(entry.name) and _is_file_or_broken(entry):
            yield entry.name


def _is_file_or_broken(entry: os.DirEntry) -> bool:
    """Whether an entry is a file or a link to nothing, which reading names; a pipe would block who reads it."""
    return entry.is_file() or (entry.is_symlink() and not os.path.exists(entry.path))


def _warn_of_more(folder: Path) -> None:
    """Says once what of a folder with pictures is not read: folders with more, and pictures of other kinds."""
    entries = list(os.scandir(folder))
    more = [e.name for e in entries if e.is_dir() and e.name[0] != "." and any(map(is_picture, _listing(e.path)))]
    if more:
        warn_once(
            f"folders in {folder}",
            f"the pictures of {len(more)} folder{'s' * (len(more) > 1)} in {folder} are not read, such as "
            f"{natural_sort(more)[0]}, since there are pictures beside. The layout nested reads all.",
        )
    other = natural_sort(e.name for e in entries if Path(e.name).suffix.lower() in NOT_READ)
    if other:
        warn_once(
            f"files in {folder}",
            f"{len(other)} file{'s' * (len(other) > 1)} in {folder} of another kind of picture are not read, such as "
            f"{other[0]}: save them as .png or .jpg.",
        )


def _listing(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:  # closed to this user, who then has nothing to read there
        return []


# ---------------------------------------------------------------------- the order of classes


def read_classes(path: str | Path) -> list[str]:
    """The classes in a file, in its order.

    Args:
        path: text, a class a line; or ``.csv`` or ``.tsv`` with a header, of which the column "uniqueID" is taken (as
            the 1,854 concepts of THINGS have it), else "class", "concept", "category", "name", or the only one.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no such column, or no classes.
    """
    path = Path(path)
    with path.open(encoding="utf-8-sig", newline="") as file:
        try:
            if path.suffix.lower() not in (".csv", ".tsv"):
                found = [line.strip() for line in file]
            else:
                rows = list(csv.reader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ","))
                column = column_of(rows[0] if rows else [], CLASS_COLUMNS, path)
                found = [row[column].strip() for row in rows[1:] if len(row) > column]
        except (UnicodeDecodeError, csv.Error) as error:
            raise ValueError(f"cannot read {path}: it is no list of classes ({str(error).splitlines()[0]}).") from None
    found = [name for name in found if name]
    if not found:
        raise ValueError(f"{path} names no classes.")
    return found


def column_of(header: Sequence[str], known: Sequence[str], path: Path) -> int:
    """The place of the first known column of a table, or of its only one.

    Raises:
        ValueError: none of them; names those that are there.
    """
    lower = [name.strip().lower() for name in header]
    named = next((lower.index(name) for name in known if name in lower), 0 if len(lower) == 1 else None)
    if named is None:
        raise ValueError(f"{path} has no column {', '.join(map(repr, known))}; it has {', '.join(header) or 'none'}.")
    return named

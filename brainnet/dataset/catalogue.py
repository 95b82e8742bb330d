"""What there is to read: every data set, where it comes from, and the options of its reader, from one place each.

The terms, the layout and the steps stand in the reader's ``about``; options and their defaults in the signature of its
``from_settings``; what they mean in its docstrings. This file repeats none of it.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from brainnet._registry import check_options, meanings_of, options_of, without_markup
from brainnet.dataset.about import About, Download
from brainnet.dataset.base import DATASETS, ResponseDataset

if TYPE_CHECKING:
    import pandas as pd

UNMET = "nobody has run it on the real files"  # words of ``About.verified`` for a reader that has never met them
ASKS = (
    "This reader has never met the real files. Please report what this command printed to brainnet's maintainers, "
    "also where all went well."
)


class Option(NamedTuple):
    """What a reader may be told: ``DATASET.OPTIONS`` of a config, ``--option`` of the command line."""

    name: str
    default: Any
    meaning: str


def reader_options(name: str) -> list[Option]:
    """The options of a data set, in the order of its signature.

    Raises:
        ValueError: no data set of that name.

    >>> reader_options("nsd")[0]
    Option(name='subject', default=1, meaning='1 to 8.')
    """
    reader = DATASETS[name]
    make = reader.from_settings
    meanings: dict[str, str] = {}
    for one in reversed(reader.__mro__):  # a reader built on another one says what is its own
        meanings |= meanings_of(vars(one).get("__doc__")) | meanings_of(
            getattr(vars(one).get("__init__"), "__doc__", "")
        )
    meanings |= meanings_of(make.__doc__)
    taken = options_of(make) or ()
    return [
        Option(option, None if parameter.default is parameter.empty else parameter.default, meanings.get(option, ""))
        for option, parameter in inspect.signature(make).parameters.items()
        if option in taken and option != "seed"
    ]


def options_with_defaults(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Every option of a data set, as given or as it is by default.

    Raises:
        ValueError: no such data set, or it takes no such option; names those it takes.
    """
    check_options(DATASETS[name].from_settings, options, f"the data set {name!r}")
    return {option.name: option.default for option in reader_options(name)} | dict(options)


def with_options(pattern: str, options: Mapping[str, Any]) -> str:
    """A pattern of files with its words in braces filled; what is not known, or None, becomes ``*``.

    >>> with_options("subj{subject:02d}/{session}/*.npy", {"subject": 3, "session": None})
    'subj03/*/*.npy'
    """

    def fill(found: re.Match) -> str:
        name, _, form = found[1].partition(":")
        value = options.get(name)
        if value is None:
            return "*"
        try:
            return format(value, form)
        except (ValueError, TypeError):
            return str(value)

    return re.sub(r"\{([^{}]*)\}", fill, pattern)


def downloads_of(name: str, options: Mapping[str, Any]) -> list[Download]:
    """The files of a data set that may be fetched without a form, for these options.

    A file that is for some value of an option ("subject=2") is among them where the option has that value. Words in
    braces are filled.
    """
    about: About | None = DATASETS[name].about
    chosen = options_with_defaults(name, options)

    def is_for(condition: str) -> bool:
        wanted = (part.partition("=") for part in condition.split(",") if part.strip())
        return all(str(chosen.get(option.strip())) == value.strip() for option, _, value in wanted)

    def filled(file: Download) -> Download:
        words = {part: with_options(getattr(file, part), chosen) for part in ("path", "address", "files")}
        return replace(file, **words)

    return [filled(file) for file in about.downloads if is_for(file.option)] if about else []


def describe_dataset(name: str) -> dict[str, Any]:
    """All that is known of a data set, of plain types: as ``brainnet datasets NAME --json`` prints it.

    Keys are "name", "summary" and "details" of the reader, the fields of :class:`~brainnet.dataset.about.About` where
    it is a published one, "needs_folder" (false of data that are made and not read) and "options".

    Raises:
        ValueError: no data set of that name.

    >>> nsd = describe_dataset("nsd")
    >>> nsd["kind"], nsd["options"][0]
    ('fMRI', {'name': 'subject', 'default': 1, 'meaning': '1 to 8.'})
    """
    reader: type[ResponseDataset] = DATASETS[name]
    summary, _, below = without_markup(inspect.cleandoc(reader.__doc__ or "")).partition("\n")
    details = re.split(r"^(?:Args|Attributes|Raises):$", below, maxsplit=1, flags=re.MULTILINE)[0].strip()
    said = asdict(reader.about) if reader.about else {}
    options = [option._asdict() for option in reader_options(name)]
    said |= {"needs_folder": reader.needs_folder, "options": options}
    return {"name": name, "summary": summary, "details": details, **said}


def find_datasets(like: str = "", kind: str | None = None) -> pd.DataFrame:
    """Every data set that brainnet reads, a row each: ``name, title, kind, size, fetched, verified``.

    Args:
        like: only those whose name, title or description contains this.
        kind: only those that were measured so: "fMRI", "EEG", "MEG", "spikes", "behavior" or "RDMs".

    Returns:
        ``fetched`` is whether files of it may be fetched without a form; of data of one's own ``kind`` is empty.

    >>> find_datasets("Cowley", kind="spikes")["name"].tolist()
    ['cowley_v4']
    """
    import pandas as pd

    rows = []
    for name in DATASETS.names():
        said = describe_dataset(name)
        words = f"{name} {said.get('title', '')} {said['summary']} {said.get('what', '')}"
        if like.lower() in words.lower() and kind in (None, said.get("kind")):
            rows.append((name, said.get("title", said["summary"]), said.get("kind", ""), said.get("size", ""),
                         bool(said.get("downloads")), said.get("verified", "")))  # fmt: skip
    return pd.DataFrame(rows, columns=["name", "title", "kind", "size", "fetched", "verified"])

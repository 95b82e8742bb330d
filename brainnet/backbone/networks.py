"""The table of networks: what each is, what it was trained on and how, how large it is, and where its weights are.

The file ``networks.csv`` beside this one holds what brainnet's own families say of their networks, so that a search
imports none of them; ``python -m brainnet.backbone.facts`` makes it anew. A family that is not in the file, because
another package brings it or because the file was made with another version of its library, is asked itself: it has a
function ``describe()`` beside its ``build``, or at least ``variants()``. ``LIBRARY`` in such a file of brainnet is the
package whose version its rows depend on.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from brainnet._checks import check_word, nearest, warn_once
from brainnet.backbone.catalogue import BACKBONES

FILE = Path(__file__).with_name("networks.csv")
NUMBERS = {"parameters": int, "image_size": int, "top1": float}


@dataclass(frozen=True)
class Network:
    """A row of the table. What is not known is an empty text, or None where it is a number.

    Args:
        name: what ``build_backbone`` takes, ``"family:variant"`` or ``"family:variant=weights"``.
        family: the part before the colon.
        architecture: what its library calls the architecture.
        series: of which architectures it is one: "resnet", "vision_transformer", ...
        kind: "convolution", "transformer", "hybrid" (of the two), "recurrent", "mlp", ...
        task, training_set, method: what it was trained to do, on what, and how; several with commas between them, the
            first stage of training first. An untrained network has "none", "none" and "untrained".
        parameters: number of them, of what brainnet runs: of a model of image and text that is one tower.
        image_size: pixels along the side of the square input.
        top1: accuracy on the validation images of ImageNet-1k in percent, of the network's own classifier.
        license: of the weights.
        source: address of the weights.
        digest: beginning of their SHA-256, where it is published.
        needs: what building it needs besides brainnet's own dependencies, also with random weights.
        reads: the stimuli it takes: "image", "text", "sound", "video" or "pair" (an image with a text); several with
            commas between them, of which the option ``modality`` chooses one, the first by default.
    """

    name: str
    family: str
    architecture: str = ""
    series: str = ""
    kind: str = ""
    task: str = ""
    training_set: str = ""
    method: str = ""
    parameters: int | None = None
    image_size: int | None = None
    top1: float | None = None
    license: str = ""
    source: str = ""
    digest: str = ""
    needs: str = ""
    reads: str = "image"


COLUMNS = tuple(field.name for field in fields(Network))


def networks_of(family: str) -> list[Network]:
    """The networks of a family, in the order in which it lists them.

    Raises:
        ValueError: no such family, or one that does not list its networks.

    >>> [network.name for network in networks_of("cornet")]
    ['cornet:z', 'cornet:r', 'cornet:rt', 'cornet:s']
    """
    check_word("family", family, BACKBONES.names())
    kept, libraries = read_table()
    if family in kept and _is_of_version(*libraries.get(family, ("", ""))):
        return list(kept[family])
    known = {network.name: network for network in kept.get(family, ())}
    return [_completed(network, known.get(network.name)) for network in ask_family(family)]


def all_networks() -> Iterator[Network]:
    """The networks of every family; one that cannot be asked is left out, with a warning."""
    for family in BACKBONES.names():
        try:
            yield from networks_of(family)
        except Exception as error:  # a mistake in one family must not hide the others
            warn_once(f"networks {family}", f"the networks of {family} are left out: {type(error).__name__}: {error}")


def ask_family(family: str) -> list[Network]:
    """What a family says of its networks: ``describe()`` of its module, else the names that ``variants()`` gives.

    ``describe()`` yields a mapping per network: ``"variant"``, which is what follows ``"family:"`` (with ``=weights``
    where one architecture has several), and any of the columns of :class:`Network`.

    Raises:
        ValueError: the family has neither function, or gives a column that the table does not have.
    """
    module = import_module(BACKBONES[family].__module__)
    reads = getattr(module, "reads", "image")
    reads = "image" if callable(reads) else reads  # that depends on the network, which describe() then says
    if hasattr(module, "describe"):
        return [network_of(family, {"reads": reads, **said}) for said in module.describe()]
    variants = BACKBONES.variants(family)
    if variants is None:
        raise ValueError(f"the family {family!r} does not list its networks.")
    return [Network(f"{family}:{variant}", family, variant, reads=reads) for variant in variants]


def check_known(name: str) -> None:
    """Refuses a name that its family does not know, without building the network.

    A family knows the networks that it lists, with whatever weights. One that knows further networks has a function
    ``knows(variant)`` beside its ``build``; one that lists none is not asked.

    Raises:
        ValueError: an unknown family, or an unknown network of it; names the nearest.

    >>> check_known("cornet:z=random")
    >>> check_known("cornet:y")
    Traceback (most recent call last):
    ValueError: Unknown network of cornet 'y'. Known: z, r, rt, s.
    """
    bare = name.partition("=")[0]
    factory = BACKBONES.factory(bare)
    family, _, variant = bare.partition(":")
    module = import_module(factory.__module__)
    if family not in BACKBONES or not variant or getattr(module, "knows", lambda _: False)(variant):
        return
    if not any(hasattr(module, listing) for listing in ("describe", "variants")):
        return
    rows = networks_of(family)
    known = dict.fromkeys(row.name.partition(":")[2].partition("=")[0] for row in rows)
    if variant not in known and variant not in {row.architecture for row in rows}:
        close = nearest(variant, known)
        hint = f" Did you mean {f'{family}:{close}'!r}?" if close else ""
        few = len(known) <= 12
        listing = f"Known: {', '.join(known)}" if few else f"find_backbones(family={family!r}) lists {len(known):,}"
        raise ValueError(f"Unknown network of {family} {variant!r}.{hint} {listing}.")


def network_of(family: str, said: Mapping[str, Any]) -> Network:
    """A row of the table from what a family says of one network.

    >>> network_of("mine", {"variant": "deep", "method": "supervised"}).name
    'mine:deep'
    """
    said = dict(said)
    if "variant" not in said:
        raise ValueError(f"describe() of {family!r} gives a network without its 'variant': {said}")
    variant = said.pop("variant")
    for column in said:
        check_word(f"column of the networks of {family!r}:", column, COLUMNS)
    return Network(f"{family}:{variant}", family, **{"architecture": variant.partition("=")[0], **said})


@cache
def read_table(file: Path = FILE) -> tuple[dict[str, tuple[Network, ...]], dict[str, tuple[str, str]]]:
    """The rows of the file by family, and (library, version) that the family's rows were made with."""
    if not file.is_file():
        return {}, {}
    with file.open(encoding="utf-8", newline="") as lines:
        made_with = re.findall(r"(\S+): (\S+) ([^\s;]+)", next(lines))
        rows: dict[str, list[Network]] = {}
        for row in csv.DictReader(lines):
            values = {name: (NUMBERS[name](text) if text else None) if name in NUMBERS else text
                      for name, text in row.items()}  # fmt: skip
            rows.setdefault(row["family"], []).append(Network(**values))
    return (
        {family: tuple(found) for family, found in rows.items()},
        {family: (library, made) for family, library, made in made_with},
    )


def write_table(rows: Iterable[Network], libraries: Mapping[str, tuple[str, str]], file: Path) -> None:
    """The file that :func:`read_table` reads; its first line says which versions of which libraries it is of."""
    with file.open("w", encoding="utf-8", newline="") as lines:
        made_with = (f"{family}: {library} {made}" for family, (library, made) in sorted(libraries.items()))
        lines.write(f"# {'; '.join(made_with)}\n")
        writer = csv.writer(lines, lineterminator="\n")
        writer.writerow(COLUMNS)
        for network in rows:
            values = (getattr(network, column) for column in COLUMNS)
            writer.writerow("" if value is None else value for value in values)


def installed_version(library: str) -> str:
    """The release of an installed library, without what a build adds to it; empty where it is not installed."""
    try:
        return version(library).partition("+")[0]
    except PackageNotFoundError:
        return ""


def _is_of_version(library: str, made: str) -> bool:
    """Whether rows made with one version of a library hold here; without the library, nothing better is known."""
    return not library or installed_version(library) in ("", made)


def _completed(network: Network, kept: Network | None) -> Network:
    """What a family says itself, and what only counting or publications tell from the file."""
    if kept is None:
        return network
    values = {column: getattr(network, column) for column in COLUMNS}
    return Network(**{column: getattr(kept, column) if value in ("", None) else value
                      for column, value in values.items()})  # fmt: skip

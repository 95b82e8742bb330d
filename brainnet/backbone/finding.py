"""Finding a network by what it was trained to do, on what, how, by its architecture, its name or its size."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

from brainnet._checks import is_pattern, nearest
from brainnet.backbone.networks import COLUMNS, Network, all_networks, networks_of
from brainnet.backbone.words import GROUPS, SPELLINGS, absent, plain, why_absent

if TYPE_CHECKING:
    import pandas as pd

Words = str | Iterable[str] | None
TITLES = {"task": "task", "trained_on": "training set", "method": "method", "architecture": "architecture",
          "reads": "kind of stimuli"}  # fmt: skip
_COUNT = re.compile(r"(\d+(?:\.\d*)?)\s*([kmb]?)", re.IGNORECASE)
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9}


def find_backbones(
    *,
    task: Words = None,
    trained_on: Words = None,
    method: Words = None,
    architecture: Words = None,
    family: Words = None,
    like: str | None = None,
    min_params: float | str | None = None,
    max_params: float | str | None = None,
    reads: Words = None,
) -> pd.DataFrame:
    """The networks for which everything holds that is asked; without any argument all of them.

    Case and punctuation of a word do not count. Several words of one argument are alternatives; ``"a + b"`` asks for
    both.

    Args:
        task: what it was trained to do: "classification", "object detection", "panoptic segmentation", ...
        trained_on: "ImageNet" (its 1,000 kinds), "ImageNet 22K", "COCO", "Places 365", "ecoset", "none", ...
        method: how it was trained: "supervised", "SimCLR", "clip", "untrained", or for many at once "self-supervised",
            "masked image modeling", "image-text".
        architecture: its kind ("convolution", "transformer", "hybrid"), its series ("resnet", "swin_transformer"), or
            the architecture itself.
        family: "timm", "torchvision", ...
        like: part of the name, or a pattern with ``*``, ``?`` and ``[..]``.
        min_params, max_params: bounds on the number of parameters, a number or "30M". A network whose number is not
            known is within no bounds.
        reads: the stimuli it takes: "image", "text", "sound", "video" or "pair".

    Returns:
        A row per network. The column ``name`` holds what ``build_backbone`` takes; the others are described at
        :class:`brainnet.backbone.networks.Network`. Where there is none, the table is empty, a warning says why, and
        so does its ``attrs["why"]``.

    Raises:
        ValueError: a word that no network and no other tool has; the message names the nearest one.

    >>> found = find_backbones(method="SimCLR")
    >>> found["name"].tolist()
    ['ssl:simclr_resnet50', 'ssl:simclr_resnet50_800ep']
    """
    import pandas as pd

    query = Query(task, trained_on, method, architecture, family, like, min_params, max_params, reads)
    networks, why = search(query)
    table = pd.DataFrame([asdict(network) for network in networks], columns=COLUMNS)
    table = table.astype({"parameters": "Int64", "image_size": "Int64", "top1": "float64"})
    if why:
        table.attrs["why"] = why
        warnings.warn(why, UserWarning, stacklevel=2)
    return table


class Query(NamedTuple):
    """What is asked; see :func:`find_backbones`."""

    task: Words = None
    trained_on: Words = None
    method: Words = None
    architecture: Words = None
    family: Words = None
    like: str | None = None
    min_params: float | str | None = None
    max_params: float | str | None = None
    reads: Words = None


def search(query: Query) -> tuple[list[Network], str]:
    """The networks of a query, and where there is none the reason; see :func:`find_backbones`."""
    if query.family is None:
        among = list(all_networks())
    else:
        among = [network for family in listed(query.family) for network in networks_of(family)]
    found, why = among, ""
    for argument, values_of in _VALUES.items():
        for word in listed(getattr(query, argument)):
            _check(argument, word, values_of, among if query.family is None else list(all_networks()))
        wanted = [meanings(argument, word) for word in listed(getattr(query, argument))]
        if wanted:
            found = [one for one in found if any(_has(values_of(one), each) for each in wanted)]
            why = why or ("" if found else why_absent(argument, listed(getattr(query, argument))))
    low, high = (None if bound is None else count(bound) for bound in (query.min_params, query.max_params))
    if low is not None or high is not None:
        low, high = low or 0, float("inf") if high is None else high
        found = [network for network in found if network.parameters is not None and low <= network.parameters <= high]
    if query.like:
        found = [network for network in found if is_like(network, query.like)]
        why = why or ("" if found else why_absent("like", [query.like]))
    if not found:
        asked = ", ".join(
            f"{name} {' or '.join(map(repr, value)) if isinstance(value, list | tuple) else repr(value)}"
            for name, value in query._asdict().items()
            if value is not None
        )
        why = f"none of {len(among):,} networks has {asked}{': ' if why else '.'}{why}"
    return found, "" if found else why


def listed(words: Words) -> list[str]:
    """One word or several as a list."""
    return [] if words is None else [words] if isinstance(words, str) else list(words)


def meanings(argument: str, word: str) -> list[frozenset[str]]:
    """What a word stands for: of each of these sets, one value must be had; ``"a + b"`` gives two sets.

    >>> [sorted(one) for one in meanings("method", "MoCo + supervised")]
    [['mocov1', 'mocov2', 'mocov3'], ['supervised']]
    """
    found = []
    for part in word.split("+"):
        key = plain(SPELLINGS[argument].get(plain(part), part))
        groups = {plain(name): values for name, values in GROUPS[argument].items()}
        found.append(frozenset(map(plain, groups.get(plain(part), groups.get(key, {key})))))
    return found


def count(text: float | str) -> int:
    """A number of parameters, also written as "30M", "800k" or "1.5B".

    >>> count("30M"), count("1.5b"), count(2e6)
    (30000000, 1500000000, 2000000)
    """
    matched = _COUNT.fullmatch(text.replace(",", "").strip()) if isinstance(text, str) else None
    if matched:
        return round(float(matched[1]) * _UNITS[matched[2].lower()])
    if isinstance(text, str) or text < 0:
        raise ValueError(f"a number of parameters is a number, or one with k, M or B behind it (30M), got {text!r}")
    return round(text)


def is_like(network: Network, like: str) -> bool:
    """Whether a name has a part in it, or fits a pattern; ``-`` and ``_`` are the same.

    >>> is_like(Network("clip:ViT-B-16=openai", "clip", "ViT-B-16"), "vit_b")
    True
    >>> is_like(Network("torchvision:squeezenet1_0", "torchvision"), "squeezenet1-[0-1]")
    True
    """
    name = network.name.lower().replace("-", "_")
    like = re.sub(r"\[[^]]*\]|-", lambda part: "_" if part[0] == "-" else part[0], like.lower())
    return fnmatchcase(name, f"*{like}*") if is_pattern(like) else like in name


_VALUES: Mapping[str, Callable[[Network], Iterable[str]]] = {
    "task": lambda one: one.task.split(", "),
    "trained_on": lambda one: one.training_set.split(", "),
    "method": lambda one: one.method.split(", "),
    "architecture": lambda one: (one.kind, one.series, one.architecture),
    "reads": lambda one: one.reads.split(", "),
}


def _has(values: Iterable[str], wanted: list[frozenset[str]]) -> bool:
    mine = {plain(value) for value in values}
    return all(mine & each for each in wanted)


def _check(argument: str, word: str, values_of: Callable[[Network], Iterable[str]], networks: list[Network]) -> None:
    """Refuses a word that neither the table nor another tool has."""
    values = {value for network in networks for value in values_of(network) if value}
    known = {plain(value) for value in (*values, *SPELLINGS[argument], *GROUPS[argument], *absent(argument))}
    for part in map(str.strip, word.split("+")):
        if plain(part) not in known:
            close = nearest(part, [*values, *GROUPS[argument]])
            hint = f" Did you mean {close!r}?" if close else ""
            if argument == "architecture":
                values = {value for network in networks for value in (network.kind, network.series) if value}
            shown = ", ".join(sorted({*values, *GROUPS[argument]}))
            raise ValueError(f"Unknown {TITLES[argument]} {part!r}.{hint} Known: {shown}.")

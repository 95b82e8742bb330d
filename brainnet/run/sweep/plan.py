"""The cells of a sweep: which networks a definition means, and what is computed of each, in which order.

A cell is one network, subject, method and control. Cells of one network lie beside each other, so that a worker holds
one network at a time, and its tokens can go when all of its cells are done.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from brainnet import __version__
from brainnet._checks import check_word, is_like, is_pattern, matching_names
from brainnet._files import plain, read_json, reading, sha256, slug, write_json
from brainnet._registry import check_options
from brainnet.backbone import BACKBONES, find_backbones
from brainnet.backbone.networks import Network as Known
from brainnet.backbone.networks import all_networks, check_known, networks_of
from brainnet.config import config_keys, load_config
from brainnet.run.encoding.networks import Network, plan_networks
from brainnet.run.sweep.definition import TAGS, Definition, Method, read_definition

PLAN = "plan.json"
OWN, SHUFFLED, RANDOM = "", "shuffled", "random"
ADJUSTED = ("precision", "image_size")  # options that every network takes


@dataclass(frozen=True)
class Chosen:
    """A network of a sweep: its label in the tables, its name, and options of its family."""

    label: str
    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The folder of its cells and tokens."""
        return slug(self.label)

    @property
    def is_random(self) -> bool:
        """Whether its weights are random anyhow, so that it has no random twin."""
        if self.options.get("weights") == "random" or self.name.endswith("=random"):
            return True
        known = known_network(self.name)
        return known is not None and known.method == "untrained" and "weights" not in self.options

    def network(self, precision: str | None, image_size: tuple[int, int] | None) -> Network:
        """What it is built from."""
        planned = plan_networks(load_config(None, ["BACKBONE.NAME", ""]), [self.name], precision, image_size)[0]
        return Network(self.label, planned.name, {**planned.options, **self.options})


@dataclass(frozen=True)
class Cell:
    """One network, subject, method and control."""

    network: Chosen
    subject: str
    method: Method
    control: str = OWN

    @property
    def path(self) -> str:
        """Its folder within ``cells``; the same names always give the same one."""
        return f"{self.network.key}/{slug(self.subject, self.method.name, self.control)}"

    @property
    def tokens_of(self) -> str:
        """Whose tokens it reads: those of the network or of its random twin."""
        return RANDOM if self.control == RANDOM else OWN

    def __str__(self) -> str:
        return ", ".join(filter(None, (self.network.label, self.subject, self.method.name, self.control)))


@dataclass(frozen=True)
class Plan:
    """A definition with its networks found."""

    definition: Definition
    networks: tuple[Chosen, ...]

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """All cells, those of one network and tokens together, then those of one subject."""
        return tuple(self._cells())

    def cells_of(self, network: Chosen) -> tuple[Cell, ...]:
        """The cells of one network."""
        return self._by_network[network.key]

    @cached_property
    def _by_network(self) -> dict[str, tuple[Cell, ...]]:
        found: dict[str, list[Cell]] = {}
        for cell in self.cells:
            found.setdefault(cell.network.key, []).append(cell)
        return {key: tuple(cells) for key, cells in found.items()}

    def _cells(self) -> Iterator[Cell]:
        for network in self.networks:
            for tokens in (OWN, RANDOM):
                for subject in self.definition.subjects:
                    for method in self.definition.methods:
                        for control in self._controls(network, method, tokens):
                            if _is_for(method, network, subject):
                                yield Cell(network, subject, method, control)

    def _controls(self, network: Chosen, method: Method, tokens: str) -> list[str]:
        asked = self.definition.controls if method.controls is None else method.controls
        if tokens == RANDOM:
            return [RANDOM] if RANDOM in asked and not network.is_random else []
        return [OWN, *([SHUFFLED] if SHUFFLED in asked else [])]

    def identity(self, cell: Cell) -> str:
        """Digest of all that is asked of a cell: one that was done for other settings is done again."""
        asked, network, method = self.definition, cell.network, cell.method
        said = {
            "version": __version__,
            "network": [network.label, network.name, dict(network.options), asked.precision, asked.image_size],
            "method": [method.name, method.method, dict(method.options)],
            "subject": [cell.subject, self._config_digest(cell.subject, method)],
            "control": cell.control,
            "seed": asked.seed,
            "resamples": asked.resamples,
        }
        return sha256(json.dumps(plain(said), sort_keys=True))

    def _config_digest(self, subject: str, method: Method) -> str:
        known = self._digests
        if (subject, method.name) not in known:
            keys = config_keys(self.definition.config_of(subject, method))
            known[subject, method.name] = sha256(json.dumps(plain(keys), sort_keys=True, default=str))
        return known[subject, method.name]

    @cached_property
    def _digests(self) -> dict[tuple[str, str], str]:
        return {}

    def save(self, out: Path) -> None:
        """Puts the plan into the folder of a sweep."""
        networks = [{"label": one.label, "name": one.name, "options": dict(one.options)} for one in self.networks]
        write_json(out / PLAN, {"definition": self.definition.plain(), "networks": networks})

    @classmethod
    def read(cls, out: str | Path) -> Plan:
        """The plan of a folder.

        Raises:
            FileNotFoundError: no sweep was begun there.
            ValueError: the file of the plan is damaged.
        """
        path = Path(out) / PLAN
        if not path.is_file():
            raise FileNotFoundError(f"no {PLAN} in {out}: `brainnet sweep run sweep.yaml --out {out}` begins a sweep.")
        with reading(path, "plan of a sweep"):
            held = read_json(path)
            return cls(read_definition(held["definition"]), tuple(Chosen(**one) for one in held["networks"]))


def make_plan(definition: Definition) -> Plan:
    """The networks that a definition means, in its order, each once.

    Raises:
        ValueError: a name of no network, a pattern or words that no network has, or two networks of one label.
    """
    found: dict[str, Chosen] = {}
    used: set[str] = set()
    for entry in definition.backbones:
        named = isinstance(entry, Mapping) and "name" in entry
        for one in [_named(entry)] if named else map(_by_name, _names_of(entry)):
            excluding = [pattern for pattern in definition.exclude if _is_called(one.label, pattern)]
            used.update(excluding)
            if excluding:
                continue
            if one.label in found and (named or found[one.label] != one):
                raise ValueError(f"two networks are called {one.label!r}: give one of them a label.")
            found[one.label] = one
    for pattern in definition.exclude:
        if pattern not in used:
            check_word("network to exclude", pattern, found)
    if not found:
        raise ValueError("the sweep is left without networks: exclude takes them all.")
    plan = Plan(definition, tuple(found.values()))
    _check_methods(plan)
    return plan


def known_network(name: str) -> Known | None:
    """The row of the catalogue of a network, or None; a name without weights has that of its first ones.

    >>> known_network("torchvision:alexnet").parameters
    61100840
    """
    return _catalogue(name.partition(":")[0]).get(name)


_rows: dict[str, dict[str, Known]] = {}


def _catalogue(family: str) -> dict[str, Known]:
    if family not in _rows:
        try:
            rows = networks_of(family)
            _rows[family] = {one.name.partition("=")[0]: one for one in reversed(rows)}
            _rows[family] |= {one.name: one for one in rows}
        except ValueError:  # a family of one's own that lists nothing
            _rows[family] = {}
    return _rows[family]


def _named(entry: Mapping[str, Any]) -> Chosen:
    name, options = str(entry["name"]), dict(entry["options"])
    words = ", ".join(f"{key}={value}" for key, value in options.items())
    _checked(name)
    of_family = {option: value for option, value in options.items() if option not in ADJUSTED}
    check_options(BACKBONES.factory(name.partition("=")[0]), of_family, f"backbone {name!r}")
    return Chosen(str(entry.get("label") or (f"{name} ({words})" if words else name)), name, options)


def _by_name(name: str) -> Chosen:
    return Chosen(name, _checked(name))


def _checked(name: str) -> str:
    check_known(name)  # and not in each of its cells
    return name


def _names_of(entry: str | Mapping[str, Any]) -> Sequence[str]:
    """The names that a pattern or words of the catalogue stand for."""
    if isinstance(entry, Mapping):
        words = {key: value for key, value in entry.items() if key in TAGS}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            table = find_backbones(**words)
        if not len(table):
            raise ValueError(f"no network of the catalogue is meant by {dict(entry)}: {table.attrs.get('why', '')}")
        return table["name"].tolist()[: entry.get("at_most")]
    pattern, equals, weights = entry.partition("=")
    if not is_pattern(pattern) or Path(pattern.rpartition(":")[0]).is_file():  # a file may be called so
        return [entry]
    names = list(dict.fromkeys(one.name.partition("=")[0] if equals else one.name for one in all_networks()))
    return [f"{name}{equals}{weights}" for name in matching_names(names, pattern, "backbone")]


def _is_called(label: str, pattern: str) -> bool:
    return label == pattern or is_like(label, pattern)


def _is_for(method: Method, network: Chosen, subject: str) -> bool:
    wanted = any(_is_called(network.label, pattern) for pattern in method.backbones)
    return (wanted or not method.backbones) and (subject in method.subjects or not method.subjects)


def _check_methods(plan: Plan) -> None:
    """Refuses a method for a network that is not there, which would silently do nothing."""
    labels = [network.label for network in plan.networks]
    for method in plan.definition.methods:
        for pattern in method.backbones:
            if not any(_is_called(label, pattern) for label in labels):
                check_word(f"backbone of the method {method.name!r}", pattern, labels)

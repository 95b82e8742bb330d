"""What a sweep is asked to do: a YAML file, or the same as a mapping, checked whole before anything runs."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import yaml
from yacs.config import CfgNode

from brainnet._checks import check_word
from brainnet.backbone.adjusted import PRECISIONS
from brainnet.config import changed, load_config
from brainnet.dataset import DATASETS
from brainnet.encode import CONTROLS, find_estimators
from brainnet.encode.grid import with_alphas
from brainnet.plmodel.build import planted, with_full_paths
from brainnet.rsa import COMPARISONS, DISTANCES
from brainnet.tokens import POOLS

GEOMETRY = ("rsa", "cka")
ALONE = ("fit",)  # methods that are neither geometry nor a method of encoding
OF_ENCODING = ("pool", "layers", "cv", "alphas")
OPTIONS = {"rsa": ("pool", "layers", "metric", "comparison"), "cka": ("pool", "layers"), "fit": ()}
TAGS = ("task", "trained_on", "method", "architecture", "family", "like", "min_params", "max_params")
LARGEST_SEED = 2**63 - 1  # that torch takes
_BYTES = re.compile(r"(\d+(?:\.\d*)?)\s*([kMGT]?)B?", re.IGNORECASE)


@dataclass(frozen=True)
class Method:
    """One entry under ``methods``.

    Args:
        method: "ridge" or another method of :func:`brainnet.encode.encode`, "rsa", "cka" or "fit".
        name: of its rows in the tables; by default ``method`` itself.
        backbones: names or patterns of the networks it is for; empty takes all.
        subjects: the subjects it is for; empty takes all.
        controls: "shuffled", "random"; None takes those of the sweep.
        settings: keys of the config for these cells alone, such as ``TRAINER.MAX_EPOCHS``.
        options: ``pool``, ``layers``, ``cv`` and ``alphas`` of encoding; ``metric`` and ``comparison`` of "rsa".
    """

    method: str
    name: str = ""
    backbones: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    controls: tuple[str, ...] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Definition:
    """A sweep, as it is asked for.

    Args:
        backbones: entries: a name ("family:variant" or "family:variant=weights"), a pattern of names
            ("timm:vit_small*"), a mapping of words of the catalogue ("task", "trained_on", "max_params", ... and
            "at_most"), or a mapping with a "name" and its "options" and "label".
        subjects: name -> keys of the config that are this subject's, such as ``DATASET.SESSION`` or ``SEED``.
        methods: what is computed of every network and subject.
        controls: "shuffled" (responses permuted over images, for each voxel) and "random" (the same network with
            random weights); each is a cell of its own.
        config: a YAML file or the name of one that comes with brainnet: the settings of all cells.
        settings: further keys of the config for all cells.
        exclude: names or patterns of networks to leave out.
        seed: of controls, resampling and random weights.
        resamples: bootstrap resamples of the images.
        device, precision, image_size: of every network; None leaves them to it.
        keep_tokens: bytes of token stores that may stay when their cells are done; 0 deletes each then.
        keep_voxels: keep the score of every voxel of an encoding, with maps; without them a sweep cannot show maps.
        description: a line for the tables and the page.
    """

    backbones: tuple[Any, ...]
    subjects: Mapping[str, Mapping[str, Any]]
    methods: tuple[Method, ...]
    controls: tuple[str, ...] = ()
    config: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    exclude: tuple[str, ...] = ()
    seed: int = 0
    resamples: int = 1000
    device: str | None = None
    precision: str | None = None
    image_size: tuple[int, int] | None = None
    keep_tokens: float = 0
    keep_voxels: bool = True
    description: str = ""

    def config_of(self, subject: str, method: Method | None = None) -> CfgNode:
        """The settings of a subject's cells, with full paths."""
        keys = {**self.settings, **self.subjects[subject], **({} if method is None else method.settings)}
        words = [word for key, value in keys.items() for word in (key, _as_text(value))]
        cfg = with_full_paths(changed(load_config(self.config), words))
        if cfg.DATASET.DATA_DIR and Path(cfg.DATASET.DATA_DIR).exists():
            cfg.DATASET.DATA_DIR = str(Path(cfg.DATASET.DATA_DIR).resolve())
        if planted(cfg) and "backbone" not in cfg.DATASET.OPTIONS:  # else it would be planted in each network in turn
            cfg.DATASET.OPTIONS["backbone"] = cfg.BACKBONE.NAME
        return cfg

    def plain(self) -> dict[str, Any]:
        """As :func:`read_definition` reads it again."""
        found = {name: value for name, value in asdict(self).items() if value not in (None, (), {}, "")}
        found["methods"] = [_plain_method(one) for one in self.methods]
        found["keep_tokens"] = float(self.keep_tokens)
        return _lists(found)


def read_definition(source: str | Path | Mapping[str, Any]) -> Definition:
    """The sweep of a YAML file or of a mapping, once every word in it is known.

    Raises:
        FileNotFoundError: no such file, config or network file.
        ValueError: an unknown key or word (names the nearest), a value of the wrong kind, or nothing to do.

    >>> asked = {"backbones": ["expansion:small"], "subjects": {"one": {"SEED": 1}}, "methods": ["ridge", "rsa"]}
    >>> [method.name for method in read_definition({**asked, "config": "demo"}).methods]
    ['ridge', 'rsa']
    >>> read_definition({**asked, "control": ["shuffled"]})
    Traceback (most recent call last):
    ValueError: Unknown key of the sweep 'control'. Did you mean 'controls'? Known: backbones, subjects, ...
    """
    given = _read(source)
    known = list(Definition.__dataclass_fields__)
    for key in given:
        check_word("key of the sweep", key, known)
    for key in ("backbones", "subjects", "methods"):
        if not given.get(key):
            raise ValueError(f"the sweep names no {key}.")
    definition = Definition(
        backbones=tuple(_check_backbone(one) for one in _listed(given["backbones"], "backbones")),
        subjects=_subjects(given["subjects"]),
        methods=tuple(_method(one) for one in _listed(given["methods"], "methods")),
        controls=_controls(given.get("controls", ()), "the sweep"),
        config=_text(given.get("config"), "config"),
        settings=_mapping(given.get("settings", {}), "settings"),
        exclude=tuple(map(str, _listed(given.get("exclude", ()), "exclude"))),
        seed=_whole(given.get("seed", 0), "seed", 0, LARGEST_SEED),
        resamples=_whole(given.get("resamples", 1000), "resamples", 20),
        device=_device(given.get("device")),
        precision=_precision(given.get("precision")),
        image_size=_size(given.get("image_size")),
        keep_tokens=_bytes(given.get("keep_tokens", 0)),
        keep_voxels=_truth(given.get("keep_voxels", True), "keep_voxels"),
        description=str(given.get("description", "")),
    )
    _check_together(definition)
    return definition


def _read(source: str | Path | Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(source, Mapping):
        return source
    path = Path(source)
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}: a sweep is a YAML file with backbones, subjects and methods.")
    try:
        given = yaml.load(path.read_text(encoding="utf-8"), _EachKeyOnce)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(given, Mapping):
        raise ValueError(f"{path} must hold KEY: value pairs, got {type(given).__name__}.")
    return given


class _EachKeyOnce(yaml.SafeLoader):
    """Refuses a key that stands twice, such as a subject: YAML keeps the last one without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            word = key.value if isinstance(key, yaml.ScalarNode) else None
            if word in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{word!r} stands twice", key.start_mark)
            if word is not None:
                seen.add(word)
        return super().construct_mapping(node, deep)


# ---------------------------------------------------------------------- entries


def _check_backbone(entry: Any) -> Any:
    if isinstance(entry, str) and entry:
        return entry
    if not isinstance(entry, Mapping) or not entry:
        raise ValueError(f"an entry of backbones is a name, a pattern or a mapping, got {entry!r}.")
    known = ("name", "options", "label") if "name" in entry else (*TAGS, "at_most")
    for key in entry:
        check_word("key of a backbone", key, known)
    if "name" in entry:
        return {**entry, "options": _mapping(entry.get("options", {}), "options")}
    if "at_most" in entry:
        _whole(entry["at_most"], "at_most", 1)
    return dict(entry)


def _subjects(given: Any) -> dict[str, dict[str, Any]]:
    named = _mapping(given, "subjects") if isinstance(given, Mapping) else {}
    if not named:
        raise ValueError(f"subjects is a mapping, a name and its settings for each, got {type(given).__name__}.")
    return {str(name): _mapping(keys or {}, f"subject {name!r}") for name, keys in named.items()}


def _method(entry: Any) -> Method:
    given = {"method": entry} if isinstance(entry, str) else entry
    if not isinstance(given, Mapping) or not isinstance(given.get("method"), str):
        raise ValueError(f"an entry of methods is a name, or a mapping with a method, got {entry!r}.")
    method = given["method"]
    if method not in (*GEOMETRY, *ALONE):
        try:
            find_estimators([method])
        except ValueError as error:
            check_word("method", method, (*GEOMETRY, *ALONE, *_encoding_methods()))
            raise error
    own = OPTIONS.get(method, OF_ENCODING)
    known = ("method", "name", "backbones", "subjects", "controls", "settings", *own)
    for key in given:
        check_word(f"key of the method {method!r}", key, known)
    options = {key: given[key] for key in own if key in given}
    _check_options(method, options)
    controls = None if given.get("controls") is None else _controls(given["controls"], f"the method {method!r}")
    return Method(
        method,
        str(given.get("name") or method),
        tuple(map(str, _listed(given.get("backbones", ()), "backbones"))),
        tuple(map(str, _listed(given.get("subjects", ()), "subjects"))),
        controls,
        _mapping(given.get("settings", {}), "settings"),
        options,
    )


def _encoding_methods() -> tuple[str, ...]:
    from brainnet.encode.methods import METHODS

    return tuple(METHODS.names())


def _check_options(method: str, options: Mapping[str, Any]) -> None:
    if "pool" in options:
        check_word("pool", options["pool"], POOLS)
    for key in ("layers", "alphas"):
        if key in options and not _listed(options[key], key):
            raise ValueError(f"{key} is an empty list: name some, or leave {key} out.")
    for key, known in (("metric", DISTANCES), ("comparison", COMPARISONS)):
        if key in options:
            known[_text(options[key], key)]
    alphas = options.get("alphas", ())
    if not all(isinstance(alpha, int | float) and 0 <= alpha < math.inf for alpha in alphas):
        raise ValueError(f"alphas are penalties of at least 0, got {alphas!r}.")
    cv = options.get("cv", "loo")
    if cv != "loo" and (isinstance(cv, bool) or not isinstance(cv, int) or cv < 2):
        raise ValueError(f"cv is loo, or a number of folds from 2, got {cv!r}.")
    if "cv" in options or "alphas" in options:  # refused here, and not in each cell
        estimators = find_estimators([method], options.get("cv"))
        if alphas:
            with_alphas(estimators, alphas)


def _check_together(definition: Definition) -> None:
    """What one entry says of another, and the settings of every subject."""
    names = [method.name for method in definition.methods]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"two methods are called {twice!r}: give one of them another name.")
    for method in definition.methods:
        for subject in method.subjects:
            check_word(f"subject of the method {method.name!r}", subject, definition.subjects)
    for subject in definition.subjects:
        for method in definition.methods:
            try:
                cfg = definition.config_of(subject, method)
            except ValueError as error:
                raise ValueError(f"subject {subject!r}, method {method.name!r}: {error}") from None
            DATASETS[cfg.DATASET.NAME]


# ---------------------------------------------------------------------- kinds


def _listed(value: Any, name: str) -> Sequence[Any]:
    if isinstance(value, str | Mapping) or not isinstance(value, Sequence):
        raise ValueError(f"{name} is a list, got {value!r}.")
    return value


def _mapping(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} holds KEY: value pairs, got {value!r}.")
    return {str(key): one for key, one in value.items()}


def _controls(value: Any, whose: str) -> tuple[str, ...]:
    for word in _listed(value, "controls"):
        check_word(f"control of {whose}", word, CONTROLS)
    return tuple(value)


def _whole(value: Any, name: str, least: int, most: float = math.inf) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        below = f" and at most {most}" if most < math.inf else ""
        raise ValueError(f"{name} is a whole number of at least {least}{below}, got {value!r}.")
    return value


def _text(value: Any, name: str) -> Any:
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{name} is a word, got {value!r}.")
    return value


def _device(value: Any) -> str | None:
    """Whether it is here is for each worker to say: a sweep may be begun on a machine without a GPU."""
    try:
        if _text(value, "device") not in (None, "auto"):
            torch.device(value)
    except RuntimeError:
        raise ValueError(f"device is a word such as cpu, cuda, cuda:1 or mps, got {value!r}.") from None
    return value


def _precision(value: Any) -> str | None:
    if value is not None:
        check_word("precision", value, (*PRECISIONS, "auto"))
    return value


def _size(value: Any) -> tuple[int, int] | None:
    if value is None:
        return None
    sides = tuple(_whole(side, "a side of image_size", 1) for side in _listed(value, "image_size"))
    if len(sides) != 2:
        raise ValueError(f"image_size is a height and a width in pixels, got {value!r}.")
    return sides


def _truth(value: Any, name: str) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{name} is true or false, got {value!r}.")
    return value


def _bytes(value: Any) -> float:
    """A number of bytes, also as "20 GB".

    >>> _bytes("1.5 GB"), _bytes(3)
    (1500000000.0, 3.0)
    """
    matched = _BYTES.fullmatch(str(value).strip())
    if not matched or not math.isfinite(float(matched[1])):
        raise ValueError(f"keep_tokens is a size such as 20 GB, got {value!r}.")
    return float(matched[1]) * 1000.0 ** " kmgt".index(matched[2].lower() or " ")


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else repr(tuple(value) if isinstance(value, list) else value)


def _plain_method(method: Method) -> dict[str, Any]:
    found = asdict(replace(method, options={}))
    kept = {name: value for name, value in found.items() if value not in ((), {}) and value is not None}
    if method.controls is not None:  # none at all is another wish than those of the sweep
        kept["controls"] = method.controls
    return {**kept, **method.options}


def _lists(value: Any) -> Any:
    """Tuples as lists, as YAML and JSON have them."""
    if isinstance(value, Mapping):
        return {key: _lists(one) for key, one in value.items()}
    return [_lists(one) for one in value] if isinstance(value, list | tuple) else value

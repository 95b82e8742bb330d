"""Modules of a network by name: which a user means, which tensor a module gives, which modules are a network's blocks.

A layer is written ``MODULE``, ``MODULE@CALL`` or ``MODULE:KEY``: the module as in ``network.named_modules()``; which of
its calls within one pass, counted from 0 (without it the last); where in its output the tensor is, for a module that
gives a tuple, a dict or an object. A name may be a pattern, ``blocks.*`` or ``layer[34].*``, whose ``*`` stays between
two dots.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from torch import Tensor, nn

from brainnet._checks import is_pattern, nearest

MOST_BLOCKS = 24  # by default; networks with more blocks give an even choice of them
CLASSIFIERS = ("classifier", "head", "heads", "fc", "aux", "AuxLogits")  # no image tokens there
ACTIVATIONS = (nn.ReLU, nn.GELU, nn.SiLU, nn.Hardswish, nn.LeakyReLU)
CONTAINERS = (nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)
ATTENTION_POOL = "attention_pool"  # the layer that is the network's own attention pool, wherever that stands
POOLING = re.compile(r"(Rot)?AttentionPool(2d|Latent|Prr)|AttentionalPooler|\w*AttentionPoolingHead")  # its classes
MAIN_OUTPUT = "last_hidden_state"  # of the objects that transformers' networks give
_LAYER = re.compile(r"(?P<module>[^@:]*)(?:@(?P<call>\d+))?(?::(?P<key>.+))?")


class Place(NamedTuple):
    """Where in a network a layer's tensor is: a module, one of its calls (None: the last), a part of its output.

    ``layout`` says the axes of the tensor where they are known, a letter each (see ``axes``); "BANN" are an attention's
    weights of queries over keys, (B, heads, N, N); "BQC" are queries, which lie nowhere in the image.
    """

    module: str
    call: int | None = None
    key: str | None = None
    layout: str | None = None


def place_of(layer: str) -> Place:
    """The place that a layer's name means.

    >>> place_of("IT@3")[:3], place_of("encoder:hidden_states.2")[:3]
    (('IT', 3, None), ('encoder', None, 'hidden_states.2'))
    """
    found = _LAYER.fullmatch(layer)
    if found is None:
        raise ValueError(f"a layer is written MODULE, MODULE@CALL or MODULE:KEY, got {layer!r}")
    call = found["call"]
    return Place(found["module"], None if call is None else int(call), found["key"])


def choose_layers(
    available: Sequence[str],
    layers: Iterable[str | int] | None = None,
    default: Sequence[str] | None = None,
    parts: bool = False,
) -> tuple[str, ...]:
    """Layer names from what a user wrote.

    Args:
        available: every layer there is.
        layers: names, patterns of names; or indices into ``default`` (negative ones count from the end, a range will
            do); None takes all of ``default``.
        default: the layers taken where nothing is said, in the network's order; by default all.
        parts: whether a name may go on with ``@CALL`` and ``:KEY``.

    >>> choose_layers(["0", "1", "2", "3"], range(1, 3))
    ('1', '2')
    >>> choose_layers(["layer3.0", "layer3.0.conv1", "layer4.0"], ["layer[34].*"])
    ('layer3.0', 'layer4.0')
    >>> choose_layers(["conv1", "conv2"], ["conv3"])
    Traceback (most recent call last):
    ValueError: Unknown layer 'conv3'. Did you mean 'conv2'? Known: conv1, conv2
    """
    default = tuple(available if default is None else default)
    if layers is None:
        return default
    if isinstance(layers, str | int):
        layers = [layers]
    known, chosen = set(available), []
    for layer in layers:
        if not isinstance(layer, str):
            if not -len(default) <= layer < len(default):
                raise ValueError(f"layer index {layer} is out of range: there are {len(default)}, {', '.join(default)}")
            chosen.append(default[layer])
        elif layer in known:
            chosen.append(layer)
        else:
            chosen += _named(layer, available, default, parts)
    if len(set(chosen)) != len(chosen) or not chosen:
        raise ValueError(f"layers must name at least one layer, each once; got {chosen}")
    return tuple(chosen)


def _named(layer: str, available: Sequence[str], default: Sequence[str], parts: bool) -> list[str]:
    """The layers that a pattern, or a name with a call or a key, means."""
    name = place_of(layer).module if parts else layer
    rest = layer[len(name) :]
    if name in available or (parts and rest and not name):
        return [layer]
    found = [one + rest for one in available if _matches(one, name)] if is_pattern(name) else []
    if name == ATTENTION_POOL:
        raise ValueError(
            "the network has no attention pool: none of its modules is an AttentionPool2d, AttentionPoolLatent, "
            "AttentionalPooler or AttentionPoolingHead, through which it would run its last map."
        )
    if not found:
        close = nearest(name, available)
        hint = f" Did you mean {close!r}?" if close else ""
        known = ", ".join(default if len(available) > 40 else available)
        raise ValueError(f"Unknown layer {layer!r}.{hint} Known: {known}")
    return found


def _matches(name: str, pattern: str) -> bool:
    """Whether a dotted name fits a pattern, part by part."""
    parts, wanted = name.split("."), pattern.split(".")
    return len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted))


def module_names(network: nn.Module) -> list[str]:
    """Names of a network's modules in order, without itself and without lists of modules, which are never called."""
    return [name for name, module in network.named_modules() if name and not is_container(module)]


def is_container(module: nn.Module) -> bool:
    """Whether a module only holds others and is never called; DenseNet's blocks are dicts of layers that are.

    >>> is_container(nn.ModuleList()), is_container(nn.Sequential())
    (True, False)
    """
    return isinstance(module, CONTAINERS) and type(module).forward is nn.Module.forward


def choose_places(
    network: nn.Module,
    layers: Iterable[str | int] | None = None,
    stages: Mapping[str, str | Place] | None = None,
    default: Sequence[str] | None = None,
) -> dict[str, Place]:
    """Layer name to place, in the order asked.

    Args:
        network: whose modules can be named.
        layers: see :func:`choose_layers`.
        stages: further names, and the place of each: ``{"0": "blocks.0"}``.
        default: the layers taken where nothing is said; by default the stages, and without stages the network's
            blocks, see :func:`find_blocks`.

    ``"attention_pool"`` is a name in every network that has such a module, see :func:`attention_pool_of`.

    >>> network = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU())
    >>> places = choose_places(network, ["first", "1@0"], {"first": "0"})
    >>> {layer: place[:2] for layer, place in places.items()}
    {'first': ('0', None), '1@0': ('1', 0)}
    """
    stages = {name: place_of(place) if isinstance(place, str) else place for name, place in (stages or {}).items()}
    layers = [layers] if isinstance(layers, str | int) else layers if layers is None else list(layers)
    if default is None and (layers is None or not all(isinstance(layer, str) for layer in layers)):
        default = list(stages) or find_blocks(network)
    default = default or list(stages) or None
    names = module_names(network)
    wants_pool = layers is not None and ATTENTION_POOL in layers and ATTENTION_POOL not in names
    if wants_pool and (pool := attention_pool_of(network)):
        stages[ATTENTION_POOL] = Place(pool, layout="BQC")
    available = [*stages, *(name for name in names if name not in stages)]
    chosen = {}
    for layer in choose_layers(available, layers, default, parts=True):
        place = Place(layer) if layer in available else place_of(layer)
        if place.module in stages and (stage := stages[place.module]):
            said = {name: value for name, value in zip(("call", "key"), place[1:], strict=False) if value is not None}
            place = stage._replace(**said)
        chosen[layer] = place
    return chosen


def attention_pool_of(network: nn.Module) -> str | None:
    """The name of the module with which a network makes one vector of its last map by attention; None without one.

    Where there are several it is the last.

    >>> attention_pool_of(nn.Sequential(nn.Conv2d(3, 3, 1))) is None
    True
    """
    found = [name for name, module in network.named_modules() if POOLING.fullmatch(type(module).__name__)]
    return found[-1] if found else None


def part_of(output: Any, key: str | None = None) -> Any:
    """The tensor of a module's output; where the output does not say which it is, the output as it was.

    Args:
        output: a tensor; or a tuple, list, dict or object that holds tensors.
        key: where it is: entries, indices or attributes, with dots between them. Without it: the output itself, the
            first tensor of a tuple or list, the only tensor of a dict, ``last_hidden_state`` where there is one.

    Raises:
        ValueError: nothing is there under ``key``.

    >>> part_of((None, 1), "1"), part_of({"a": [3, 4]}, "a.1")
    (1, 4)
    """
    if key is not None:
        for word in key.split("."):
            output = _entry(output, word)
        return output
    if isinstance(output, tuple | list):
        return next((part for part in output if isinstance(part, Tensor)), output)
    if isinstance(output, Mapping):
        if isinstance(output.get(MAIN_OUTPUT), Tensor):
            return output[MAIN_OUTPUT]
        tensors = [part for part in output.values() if isinstance(part, Tensor)]
        return tensors[0] if len(tensors) == 1 else output
    return output


def _entry(output: Any, word: str) -> Any:
    if isinstance(output, Mapping) and word in output:
        return output[word]
    if isinstance(output, tuple | list) and word.lstrip("-").isdigit() and -len(output) <= int(word) < len(output):
        return output[int(word)]
    if isinstance(output, Mapping | tuple | list) or not hasattr(output, word):
        raise ValueError(f"there is no {word!r} in {describe(output)}")
    return getattr(output, word)


def describe(output: Any) -> str:
    """What a module gave, for messages: a shape, or a type with the names of its parts."""
    if isinstance(output, Tensor):
        return str(tuple(output.shape))
    if isinstance(output, Mapping):
        return f"{type(output).__name__} with {', '.join(map(str, output)) or 'nothing'}"
    if isinstance(output, tuple | list):
        return f"{type(output).__name__} of {', '.join(map(describe, output)) or 'nothing'}"
    return type(output).__name__


def find_blocks(network: nn.Module, most: int = MOST_BLOCKS) -> list[str]:
    """Names of a network's repeated blocks in order: the outermost modules of a class that occurs more than once.

    A block holds at least two weighted modules. Where there are none (AlexNet, VGG) these are the activations
    between the image and the classifier. More than ``most`` are thinned evenly, the last one kept.

    >>> block = lambda: nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU())
    >>> find_blocks(nn.Sequential(block(), block()))
    ['0.1', '1.1']
    """
    classes = Counter(type(module) for module in network.modules())
    blocks: list[str] = []

    def descend(module: nn.Module, path: str) -> None:
        for name, child in module.named_children():
            place = f"{path}{name}"
            if name.startswith(CLASSIFIERS):
                continue
            weighted = sum(isinstance(m, nn.Conv2d | nn.Linear | nn.MultiheadAttention) for m in child.modules())
            container = isinstance(child, nn.Sequential | nn.ModuleList) or classes[type(child)] == 1
            if weighted > 1 and not container:
                blocks.append(place)
            else:
                descend(child, f"{place}.")

    descend(network, "")
    if not blocks:
        blocks = [
            name
            for name, module in network.named_modules()
            if isinstance(module, ACTIVATIONS) and not name.startswith(CLASSIFIERS)
        ]
    if not blocks:
        raise ValueError(
            f"{type(network).__name__} has no repeated blocks to choose by default; name some: layers=[...]"
        )
    n = len(blocks)
    return blocks if n <= most else [blocks[(i + 1) * n // most - 1] for i in range(most)]

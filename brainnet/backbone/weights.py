"""Where a network's numbers come from: a local file, a seed, or a published name.

One reader for every format, none of which can run code; one check that a file fits the network, which names the
keys that do not; one error for a download that failed. Random weights are drawn without moving the global
generator, so that building a backbone changes nobody else's numbers.
"""

from __future__ import annotations

import argparse
import os
import re
import zipfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlparse

import numpy as np
import torch
from torch import Tensor, nn

from brainnet._files import cache_dir
from brainnet._files.download import fetch

FORMATS = (".npz", ".safetensors", ".pth", ".pt", ".th", ".bin", ".tar", ".torch", ".ckpt")
ARCHIVES = (".zip",)  # of several files, which a family opens itself
HUB = "https://huggingface.co"
# keys under which training scripts put the weights, one within the other
WRAPPERS = ("state_dict", "model", "model_state_dict", "classy_state_dict", "base_model", "trunk", "teacher")
_PARALLEL = re.compile(r"(^|\.)module\.")


def load_weights(source: str | os.PathLike) -> dict[str, Tensor]:
    """The arrays of a weights file by name, on the CPU.

    Args:
        source: ``.npz``, ``.safetensors``, or a PyTorch file (``.pth``, ``.pt``, ``.th``, ``.tar``, ``.bin``,
            ``.torch``, ``.ckpt``). Pickled code is never run: arrays and the plain settings that training scripts keep
            beside them are read, whatever else refused. A checkpoint that keeps its weights deeper is unwrapped (see
            ``WRAPPERS``), and the ``module.`` that data-parallel training puts before names is taken off.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: another format, a damaged file, or one that holds no weights.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "tiny.npz"
    >>> np.savez(file, **{"module.weight": np.ones((2, 3), np.float32)})
    >>> {name: tuple(value.shape) for name, value in load_weights(file).items()}
    {'weight': (2, 3)}
    """
    path = Path(source).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"no weights file {path}")
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise ValueError(f"cannot read weights from {path}: known formats are {', '.join(FORMATS)}")
    try:
        content = _read(path, suffix)
    except Exception as error:
        raise ValueError(f"cannot read weights from {path}: {_why(error)}") from error
    inner = content
    while inner is not None:
        content, inner = inner, next((inner[w] for w in WRAPPERS if _holds(inner, w)), None)
    state = {k: v for k, v in content.items() if isinstance(v, Tensor)} if isinstance(content, Mapping) else {}
    if not state:
        raise ValueError(f"{path} holds no weights: expected arrays by name, optionally under {' or '.join(WRAPPERS)}")
    if any(_PARALLEL.search(name) for name in state):
        state = {_PARALLEL.sub(r"\1", name): value for name, value in state.items()}
    return state


def _holds(content: object, wrapper: str) -> bool:
    return isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping)


def part_of_weights(state: Mapping[str, Tensor], prefix: str, without: Sequence[str] = ()) -> dict[str, Tensor]:
    """The weights of one network among several in a file, under their names in it.

    Args:
        state: see :func:`load_weights`.
        prefix: what its names begin with; where none does, the file holds that network alone.
        without: beginnings of names, behind the prefix, to leave out.

    >>> part_of_weights({"encoder.w": 1, "encoder.fc.w": 2, "queue": 3}, "encoder.", without=["fc"])
    {'w': 1}
    """
    inside = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    return {name: value for name, value in (inside or state).items() if not name.startswith(tuple(without))}


def _read(path: Path, suffix: str):
    if suffix == ".npz":
        with np.load(path, allow_pickle=False) as arrays:
            return {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    if suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if any(name.endswith("/constants.pkl") for name in archive.namelist()):
                raise ValueError("it is a TorchScript archive, which holds code. Use its .safetensors or state dict.")
    with torch.serialization.safe_globals([*_settings_in_checkpoints()]):
        return torch.load(path, map_location="cpu", weights_only=True)


def _settings_in_checkpoints() -> list[type]:
    """What training scripts save beside their weights and what runs no code when it is read."""
    scalar, array = np.float64(0).__reduce__()[0], np.zeros(0).__reduce__()[0]
    dtypes = {type(np.dtype(kind)) for kind in "?bBhHiIlLqQefdSU"}
    plain = [argparse.Namespace, SimpleNamespace, defaultdict, dict, list, set, int, float, str]
    return [*plain, scalar, array, np.ndarray, np.dtype, *dtypes]


def _why(error: Exception) -> str:
    text = str(error)
    if "TorchScript" in text:
        return text
    if "weights_only" in text or "Unsupported global" in text:
        return (
            "it holds pickled objects besides arrays, and brainnet does not run code from files. "
            "Save its state dict alone: torch.save(model.state_dict(), path)."
        )
    return f"the file is damaged or not what its name says ({text.splitlines()[0] if text else type(error).__name__})"


def fit_weights(network: nn.Module, state: Mapping[str, Tensor], source: object, optional: Sequence[str] = ()) -> None:
    """Puts ``state`` into ``network``, or says which keys and shapes do not fit.

    Args:
        network: changed in place.
        state: arrays by name, see :func:`load_weights`.
        source: where they came from, for messages.
        optional: prefixes of names that may be absent, surplus or of another shape (a classifier no token sees).

    Raises:
        ValueError: names a few of the missing, unexpected and misshapen keys.
    """
    own = network.state_dict()

    def matters(name: str) -> bool:
        return not name.startswith(tuple(optional)) and not name.endswith("num_batches_tracked")

    missing = [name for name in own if name not in state and matters(name)]
    unexpected = [name for name in state if name not in own and matters(name)]
    misshapen = [name for name in own if name in state and own[name].shape != state[name].shape]
    if missing or unexpected or any(map(matters, misshapen)):
        shapes = [f"{k} is {tuple(state[k].shape)}, the network's {tuple(own[k].shape)}" for k in misshapen]
        rows = [("missing", missing), ("unexpected", unexpected), ("shape", shapes)]
        found = "".join(f"\n  {title} ({len(keys)}): {_few(keys)}" for title, keys in rows if keys)
        raise ValueError(
            f"the weights {source} do not fit {type(network).__name__}:{found}\n"
            "  They belong to another variant, or to another library's version of this network."
        )
    network.load_state_dict({k: v for k, v in state.items() if k in own and k not in misshapen}, strict=False)


def _few(names: Sequence[str], n: int = 4) -> str:
    return ", ".join(names[:n]) + (", ..." if len(names) > n else "")


def weights_path(weights: object) -> Path | None:
    """The file that ``weights`` names, or None where it is a published name or ``"random"``.

    Raises:
        FileNotFoundError: it looks like a file, and there is none.

    >>> weights_path("openai") is None
    True
    """
    if weights is None or (isinstance(weights, str) and weights == "random"):
        return None
    text = os.fspath(weights)
    path = Path(text).expanduser()
    looks_like_a_file = not isinstance(weights, str) or path.suffix.lower() in FORMATS or os.sep in text
    if path.is_file() or (looks_like_a_file and "://" not in text):
        if not path.is_file():
            raise FileNotFoundError(f"no weights file {path}")
        return path
    return None


def chosen_file(weights: object, network: str, known: Sequence[str] = ()) -> Path | None:
    """The file that a user named; None for random weights.

    Args:
        weights: what the user said.
        network: which network, for the message.
        known: the names of its published weights, for the message.

    Raises:
        ValueError: neither a file nor "random".
        FileNotFoundError: it looks like a file, and there is none.
    """
    file = weights_path(weights)
    if file is None and weights != "random":
        raise ValueError(f'{network} has no weights {weights!r}. Known: {", ".join(known) or "none"}; or a file, or '
                         '"random".')  # fmt: skip
    return file


def published_file(family: str, variant: str, tag: str, addresses: Sequence[str]) -> Path:
    """The file of published weights: from brainnet's cache, a hub's cache, or the network.

    Args:
        family, variant, tag: which weights; they name the file in brainnet's cache.
        addresses: where it can be had, the preferred one first (the same arrays in several formats).

    Raises:
        ConnectionError: says the address, the file wanted and where to put it.
    """
    place = f"weights/{family}/{f'{variant}.{tag}'.replace('/', '-')}"
    for suffix in (*FORMATS, *ARCHIVES):
        if (file := cache_dir() / f"{place}{suffix}").is_file():
            return file
    for address in addresses:
        if file := _in_hub_cache(address):
            return file
    failure = None
    for address in addresses:
        try:
            suffix = Path(urlparse(address).path).suffix
            return fetch(address, filename=place + (suffix if suffix in (*FORMATS, *ARCHIVES) else ".pth"))
        except ConnectionError as error:
            failure = failure or error
    raise ConnectionError(
        f"{family}:{variant} needs its weights {tag!r}, and they are not here: {failure}\n"
        '  or anywhere, and pass its path: weights="<path>" (in a command: BACKBONE.WEIGHTS <path>, or --backbone '
        f'{family}:{variant}=<path>). Without any file: "random" in place of the path, or the network expansion:small.'
    ) from None


def hub_addresses(repository: str, *files: str) -> list[str]:
    """Addresses of files in a repository of the Hugging Face hub."""
    hub = os.environ.get("HF_ENDPOINT", HUB).rstrip("/")
    return [f"{hub}/{repository}/resolve/main/{file}" for file in files]


def _in_hub_cache(address: str) -> Path | None:
    """A file that torch.hub or the Hugging Face hub has downloaded before."""
    repository, _, file = urlparse(address).path.strip("/").partition("/resolve/main/")
    if file:
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(repository, file)
        return Path(found) if isinstance(found, str) else None
    cached = Path(torch.hub.get_dir()) / "checkpoints" / repository.rsplit("/", 1)[-1]
    return cached if cached.is_file() else None


@contextmanager
def own_random_numbers(seed: int) -> Iterator[None]:
    """Seeds the CPU generator within the block and leaves it as it was; touches no other device's."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # not torch.manual_seed: that reseeds GPUs as well
        yield

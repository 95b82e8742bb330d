"""The folder of an encoder that travels: ``model.safetensors``, ``config.json`` and ``README.md``, read without trust.

Neither file can hold code. A folder may come from a stranger: its sizes are bounded before anything is read, the
weights must be those that ``config.json`` tells of, and a network is built from it by name only, never from a file, an
address or a repository that it names. ``config.json`` is written last, so that a folder without it is unfinished.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brainnet import __version__
from brainnet._files import file_digest, plain, read_json, write_text, writing
from brainnet._work import size
from brainnet.space import BrainSpace

FORMAT = 1
WEIGHTS, CONFIG, README = "model.safetensors", "config.json", "README.md"
LARGEST_CONFIG = 32 << 20  # bytes; names of regions and sensors are in it
LARGEST_WEIGHTS = 16 << 30
KINDS = ("readout", "linear")
SPACE = "space:"  # before the names of a space's arrays
ROIS = f"{SPACE}rois"


@dataclass(frozen=True)
class EncoderFiles:
    """What is in the folder of an encoder.

    Args:
        where: the folder, or what the user called it, for messages.
        config: of ``config.json``.
        tensors: of ``model.safetensors``, those of the space aside.
        space: where the voxels are; None where the folder does not say.
    """

    where: str
    config: dict[str, Any]
    tensors: dict[str, Tensor]
    space: BrainSpace | None


def write_encoder(
    folder: str | Path,
    kind: str,
    config: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    space: BrainSpace | None,
    readme: str,
    pictures: Mapping[str, bytes] | None = None,
) -> Path:
    """Writes the folder of an encoder; the same encoder gives the same bytes.

    Args:
        folder: made where it does not exist; an encoder that it holds is replaced.
        kind: "readout" or "linear".
        config: plain values; the entries that every encoder has are added.
        tensors: the weights by name.
        space: where the voxels are.
        readme: the model card.
        pictures: names of further files and their bytes.

    Raises:
        FileExistsError: the folder holds something else.
        ValueError: a name that begins as those of the space do.
    """
    from safetensors.torch import save

    folder = Path(folder)
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir()) and not _is_ours(folder)):
        raise FileExistsError(f"{folder} holds something else than an encoder; choose another folder.")
    taken = [name for name in tensors if name.startswith(SPACE)]
    if taken:
        raise ValueError(f"weights cannot have the name {taken[0]!r}: {SPACE!r} begins those of the space.")
    arrays, place = _packed(space)
    kept = {name: value.detach().cpu().contiguous() for name, value in {**tensors, **arrays}.items()}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG).unlink(missing_ok=True)
    with writing(folder / WEIGHTS) as unfinished:
        unfinished.write_bytes(save({name: kept[name].clone() for name in sorted(kept)}, metadata={"format": "pt"}))
    for name, content in (pictures or {}).items():
        with writing(folder / name) as unfinished:
            unfinished.write_bytes(content)
    write_text(folder / README, readme)
    entries = {
        "library_name": "brainnet",
        "format": FORMAT,
        "kind": kind,
        "brainnet_version": __version__,
        "weights_sha256": file_digest(folder / WEIGHTS),
        **config,
        "space": place,
    }
    write_text(folder / CONFIG, json.dumps(plain(entries), indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    return folder


def is_encoder(folder: str | Path) -> bool:
    """Whether a folder says that it holds an encoder of brainnet's."""
    try:
        return read_json(Path(folder) / CONFIG).get("library_name") == "brainnet"
    except (OSError, ValueError):
        return False


def _is_ours(folder: Path) -> bool:
    """Whether an encoder was written, or begun to be written, in a folder."""
    names = {path.name for path in folder.iterdir()}
    return is_encoder(folder) or (CONFIG not in names and WEIGHTS in names)


def read_encoder(folder: str | Path, where: str | None = None) -> EncoderFiles:
    """What is in the folder of an encoder, checked.

    Args:
        folder: with ``config.json`` and ``model.safetensors``.
        where: what to call it in messages; None is the folder.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: another format, a damaged file, or weights that are not those of ``config.json``.
    """
    from safetensors import SafetensorError, safe_open

    folder = Path(folder)
    where = where or str(folder)
    config = read_config(folder, where)
    path = folder / WEIGHTS
    if not path.is_file():
        raise FileNotFoundError(f"{where} has no {WEIGHTS}: the weights of this encoder are missing.")
    check_size(path.stat().st_size, WEIGHTS, where)
    if file_digest(path) != config["weights_sha256"]:
        raise ValueError(f"{where} is damaged: its {WEIGHTS} is not the file that its {CONFIG} tells of.")
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no mapping)
    except (SafetensorError, ValueError, RuntimeError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{where} is damaged: {WEIGHTS} cannot be read ({str(error).splitlines()[0]}).") from None
    arrays = {name: tensors.pop(name) for name in list(tensors) if name.startswith(SPACE)}
    return EncoderFiles(where, config, tensors, _unpacked(arrays, config.get("space"), where))


def read_config(folder: Path, where: str) -> dict[str, Any]:
    """The entries of ``config.json``, of a format that this brainnet reads.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is no encoder's, or of another format.
    """
    path = Path(folder) / CONFIG
    if not path.is_file():
        raise FileNotFoundError(
            f"{where} has no {CONFIG}: it is no encoder of brainnet's, or its export was broken off."
        )
    check_size(path.stat().st_size, CONFIG, where)
    try:
        config = read_json(path)
    except ValueError as error:
        raise ValueError(str(error).replace(str(path), f"{where}: {CONFIG}", 1)) from None
    if config.get("library_name") != "brainnet" or "format" not in config:
        raise ValueError(f"{where} holds no encoder of brainnet's: its {CONFIG} is another program's.")
    found, version = config["format"], str(config.get("brainnet_version"))[:40]
    if isinstance(found, bool) or not isinstance(found, int) or found < 1:
        raise ValueError(f"{where} is damaged: the format in its {CONFIG} is {str(found)[:40]!r}, expected {FORMAT}.")
    if found > FORMAT:
        raise ValueError(
            f"{where} was written by a newer brainnet, {version}, in format {found}; brainnet {__version__} reads "
            f"format {FORMAT}: pip install -U brainnet"
        )
    if config.get("kind") not in KINDS:
        raise ValueError(f"{where} holds an encoder of the kind {str(config.get('kind'))[:40]!r}, expected one of "
                         f"{', '.join(KINDS)}.")  # fmt: skip
    if not isinstance(config.get("weights_sha256"), str):
        raise ValueError(f"{where} is damaged: its {CONFIG} lacks weights_sha256.")
    return config


def check_size(n_bytes: int, name: str, where: str) -> None:
    """Refuses a file that is larger than an encoder's.

    Raises:
        ValueError: says how large it is.
    """
    most = LARGEST_CONFIG if name == CONFIG else LARGEST_WEIGHTS
    if n_bytes > most:
        raise ValueError(f"{where}: {name} has {size(n_bytes)}, and {size(most)} is the most that is read.")


def entry(config: Mapping[str, Any], name: str, kind: type | tuple[type, ...], where: str) -> Any:
    """An entry of ``config.json`` that must be there, of a kind.

    Raises:
        ValueError: it is missing, or of another kind.
    """
    value = config.get(name)
    if not isinstance(value, kind):
        raise ValueError(f"{where} is damaged: {name} in its {CONFIG} is {str(value)[:40]!r}.")
    return value


# ---------------------------------------------------------------------- the space


def _packed(space: BrainSpace | None) -> tuple[dict[str, Tensor], dict[str, Any] | None]:
    """A space as tensors and as plain values."""
    if space is None:
        return {}, None
    arrays = {name: a for name, a in space.to_arrays().items() if not name.startswith("roi")}
    numbers = {f"{SPACE}{name}": torch.from_numpy(np.array(a)) for name, a in arrays.items()
               if a.dtype.kind in "biuf" and a.ndim}  # fmt: skip
    if space.rois:
        numbers[ROIS] = torch.stack([mask.bool() for mask in space.rois.values()])
    words = {name: a.tolist() for name, a in arrays.items() if f"{SPACE}{name}" not in numbers}
    return numbers, {**words, "rois": list(space.rois)}


def _unpacked(arrays: Mapping[str, Tensor], words: Any, where: str) -> BrainSpace | None:
    """The space that :func:`_packed` took apart."""
    if words is None:
        return None
    try:
        given: dict[str, Any] = {name: value for name, value in words.items() if name != "rois"}
        if not isinstance(given["n_voxels"], int) or isinstance(given["n_voxels"], bool):
            raise TypeError(f"n_voxels is {given['n_voxels']!r:.40}")
        given |= {name.removeprefix(SPACE): value for name, value in arrays.items() if name != ROIS}
        names = list(words["rois"])
        if not all(isinstance(name, str) for name in names) or len(set(names)) != len(names):
            raise TypeError("the names of its regions are no distinct texts")
        masks = arrays[ROIS] if names else ()
        return BrainSpace(**given, rois=dict(zip(names, masks, strict=True)))
    except (TypeError, ValueError, KeyError, AttributeError, RuntimeError, IndexError) as error:
        said = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(f"{where} is damaged: the space of its voxels does not fit together ({said}).") from None


# ---------------------------------------------------------------------- what a stranger may name


RUNS_CODE = {"source": "hub", "trust_remote_code": True}  # options with which a library runs code that it downloads
LONGEST_WORD = 200


def check_plain_options(options: Mapping[str, Any], what: str, where: str) -> None:
    """Refuses options of a stranger that name a file, an address or a repository, or that let code be downloaded.

    Raises:
        ValueError: names the option.
    """
    for name, value in options.items():
        if name in RUNS_CODE and value == RUNS_CODE[name]:
            raise ValueError(f"{where} asks {what} for {name}={value!r}, which runs downloaded code: it is refused.")
        if not is_plain(value):
            raise ValueError(
                f"{where} gives {what} the option {str(name)[:40]}={value!r:.60}, which is no plain number or word: "
                "an encoder names no files and no addresses."
            )


def is_plain(value: Any) -> bool:
    """Whether a value is a number, a word that names no file and no address, or a list of such.

    >>> is_plain([1, "relu", None]), is_plain("/home/me/net.pth"), is_plain("http://a.org")
    (True, False, False)
    """
    if isinstance(value, list | tuple):
        return len(value) <= 10_000 and all(not isinstance(one, Mapping) and is_plain(one) for one in value)
    if isinstance(value, str):
        return len(value) <= LONGEST_WORD and names_no_file(value)
    return value is None or isinstance(value, bool | int | float)


def names_no_file(word: str) -> bool:
    """Whether a word can be no path and no address; a layer such as "features.3" is none.

    >>> names_no_file("features.3"), names_no_file("net.py:Net"), names_no_file("..")
    (True, False, False)
    """
    looks = ("/", "\\", "://", "\0", "~", "..")
    suffixes = (".py", ".npz", ".safetensors", ".pth", ".pt", ".th", ".bin", ".tar", ".torch", ".ckpt", ".zip", ".pkl")
    path = word.rpartition(":")[0] or word
    return (
        not any(sign in word for sign in looks)
        and not path.lower().endswith(suffixes)
        and not word.lower().endswith(suffixes)
    )


def check_total(numbers: Sequence[int], n_elements: int, where: str) -> None:
    """Refuses settings that would build more than the weights hold, before anything is built.

    Args:
        numbers: sizes that the settings name.
        n_elements: numbers in the file of the weights.
        where: for the message.

    Raises:
        ValueError: one of them is larger.
    """
    most = max(n_elements, 4096)
    for number in numbers:
        if not 0 <= number <= most:
            raise ValueError(f"{where} is damaged: its {CONFIG} names the size {number}, and its weights hold {most}.")

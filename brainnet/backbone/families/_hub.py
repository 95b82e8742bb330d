"""What the networks of transformers share, whatever they read: settings, weights and words for what went wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from brainnet._checks import check_word
from brainnet.backbone.weights import chosen_file, fit_weights, load_weights, own_random_numbers
from brainnet.tokens import Preprocessing

BICUBIC = 3  # PIL's number; 1 is Lanczos, the nearest to which is bicubic
VIDEO = {"videomae", "timesformer", "vivit", "vjepa2"}  # whose main input is called that of images, or of videos
KINDS = {"input_ids": "text", "input_values": "sound", "input_features": "sound", "pixel_values": "image",
         "pixel_values_videos": "video"}  # fmt: skip

OPTIONS = {  # of each kind of stimuli, beside those of all
    "image": ("image_size", "preprocessing", "global_token"),
    "text": ("global_token", "steps", "length"),
    "sound": ("global_token", "steps"),
    "video": ("image_size", "preprocessing", "n_frames", "agg_frames"),
    "pair": ("image_size", "preprocessing", "global_token", "steps", "length"),
}


def asked(variant: str, get: Callable[[], Any]) -> Any:
    """What the library gives, or one line that says where it looked."""
    try:
        return get()
    except (OSError, ValueError) as error:
        why = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        if Path(variant).expanduser().is_dir() or isinstance(error, ValueError):
            raise ValueError(f"transformers cannot read {variant}: {why}") from error
        raise ConnectionError(
            f"transformers:{variant} is neither a folder here nor in the hub's cache, and cannot be downloaded: {why}\n"
            "  Elsewhere, save it with AutoModel.from_pretrained(name).save_pretrained(folder), its image processor "
            "likewise, and name that folder: transformers:<folder>."
        ) from error


def name_of(variant: str, config: Any) -> str:
    """What a network is called: as the hub calls it, or of a folder by its kind, since a folder can move."""
    return f"{config.model_type} in a folder" if Path(variant).is_dir() else f"transformers:{variant}"


def config_of(transformers: Any, variant: str, revision: str) -> Any:
    """The settings of a network.

    Raises:
        FileNotFoundError: a full path of no folder, which the hub need not be asked for.
    """
    if Path(variant).is_absolute() and not Path(variant).is_dir():
        raise FileNotFoundError(f"there is no folder {variant}, which should hold a network of transformers.")
    return asked(variant, lambda: transformers.AutoConfig.from_pretrained(variant, revision=revision))


def loaded(
    transformers: Any, variant: str, config: Any, weights: str | Path, seed: int, revision: str,
    part: Callable[[nn.Module], nn.Module],
) -> nn.Module:  # fmt: skip
    """The part of a model that is wanted, with its weights; AutoBackbone has what AutoModel has not."""
    auto = (
        transformers.AutoModel if type(config) in transformers.AutoModel._model_mapping else transformers.AutoBackbone
    )
    if weights == "default":
        return part(asked(variant, lambda: auto.from_pretrained(variant, config=config, revision=revision)))
    file = chosen_file(weights, f"transformers:{variant}", ["default"])
    with own_random_numbers(seed):
        network = auto.from_config(config)
    wanted = part(network)
    if file is not None:
        state = load_weights(file)
        fit_weights(wanted if state.keys() & wanted.state_dict().keys() else network, state, file)
    return wanted


def kind_of_config(transformers: Any, config: Any) -> str:
    """What a network of these settings reads: "image", "text", "sound", "video"; of image and text it is "image".

    Of one that reads sounds too (Qwen-Omni) it is "text": its language model.
    """
    if config.model_type in VIDEO:
        return "video"
    mapping = transformers.AutoModel._model_mapping
    if hasattr(config, "text_config") and hasattr(config, "audio_config"):
        return "text"
    if hasattr(config, "vision_config") or type(config) not in mapping:
        return "image"
    return KINDS.get(getattr(mapping[type(config)], "main_input_name", "pixel_values"), "image")


def check_kind(variant: str, config: Any, kind: str, own: str) -> None:
    """Refuses a kind of stimuli that a network does not read."""
    check_word("modality", kind, OPTIONS)
    both = own == "image" and hasattr(config, "text_config")
    if kind != own and not (both and kind in ("text", "pair")):
        raise ValueError(f"transformers:{variant} ({config.model_type}) reads {own}s, and no {kind}s.")


def chosen_options(name: str, kind: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options that were given a value; refused where they are of networks of another kind.

    >>> chosen_options("net", "text", {"steps": 4, "n_frames": None})
    {'steps': 4}
    """
    found = {option: value for option, value in given.items() if value is not None}
    wrong = next((option for option in found if option not in OPTIONS[kind]), None)
    if wrong is not None:
        whose = " and ".join(f"{other}s" for other, options in OPTIONS.items() if wrong in options and other != "pair")
        raise ValueError(f"{wrong} is of networks of {whose}, and {name} reads {kind}s.")
    return found


def preprocessing_of(
    transformers: Any, variant: str, revision: str, config: Any, image_size: int | tuple[int, int] | None
) -> Preprocessing:
    """What the model's own image processor does to a photograph, of the whole image."""
    try:
        processor = transformers.AutoImageProcessor.from_pretrained(variant, revision=revision)
    except (OSError, ValueError):  # a folder or repository without one: what its class does by default
        processor = None
    size = image_size or _size_of(processor) or one_number(getattr(config, "image_size", None)) or 224
    size = (size, size) if isinstance(size, int) else tuple(size)
    if processor is None:
        return Preprocessing(size)
    mean, std = (0.0,) * 3, (1.0,) * 3
    if getattr(processor, "do_normalize", True):
        mean, std = (tuple(getattr(processor, f"image_{name}")) for name in ("mean", "std"))
    scale = 255 * processor.rescale_factor if getattr(processor, "do_rescale", True) else 255.0
    offset = 1.0 if getattr(processor, "rescale_offset", None) else 0.0  # pixels / 127.5 - 1, as ALIGN and EfficientNet
    mean, std = tuple((m + offset) / scale for m in mean), tuple(s / scale for s in std)
    resample = int(getattr(processor, "resample", BICUBIC) or 0)
    return Preprocessing(size, mean, std, "bilinear" if resample in (0, 2) else "bicubic")


def _size_of(processor: Any) -> tuple[int, int] | None:
    """Height and width of what a processor gives."""
    crops = getattr(processor, "do_center_crop", False)
    for given in (getattr(processor, "crop_size", None) if crops else None, getattr(processor, "size", None)):
        said = {name: getattr(given, name, None) for name in ("height", "width", "shortest_edge", "longest_edge")}
        if isinstance(given, Mapping):
            said = {name: given.get(name) for name in said}
        if said["height"] and said["width"]:
            return said["height"], said["width"]
        if side := said["shortest_edge"] or said["longest_edge"]:
            return side, side
    return None


def one_number(size: Any) -> int | None:
    """One number of a size that may be a pair."""
    if isinstance(size, tuple | list):
        return int(size[0]) if len(set(size)) == 1 else None
    return None if size is None else int(size)

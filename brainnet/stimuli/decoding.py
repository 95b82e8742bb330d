"""One picture from the form it is stored in to RGB pixels, or the reason why it cannot be read, in one line."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from brainnet._checks import warn_once

ORIENTATION = 0x0112  # the EXIF tag


class UnreadableImage(ValueError):
    """A picture cannot be read; ``reason`` says why, the message also which."""

    def __init__(self, name: str, reason: str, message: str = ""):
        super().__init__(message or f"cannot read {name}: {reason}. Replace it, or leave it and its response out.")
        self.reason = reason


class MissingImage(FileNotFoundError):
    """A picture is not where it was found, or listed; ``reason`` says why, the message also which."""

    def __init__(self, name: str, reason: str):
        super().__init__(f"{name}: {reason}.")
        self.reason = reason


def decode(file: Any, name: str):
    """The RGB ``PIL.Image`` in an open file.

    Raises:
        UnreadableImage: whatever PIL says of it.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        if not file.read(1):
            raise UnreadableImage(name, "it is empty, a file of 0 bytes")
        file.seek(0)
        with Image.open(file) as image:
            return as_rgb(image, name)
    except UnreadableImage:
        raise
    except UnidentifiedImageError:
        raise UnreadableImage(name, "it is damaged from its beginning, or no picture") from None
    except Exception as error:  # a damaged picture ends PIL's readers in a dozen ways
        raise UnreadableImage(name, first_line(error)) from error


def first_line(error: Exception) -> str:
    """What a library says of an error, in one line; the kind of error where it says nothing."""
    return str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__


def as_rgb(image: Any, name: str):
    """A PIL image as RGB, turned as it is meant to be seen.

    Raises:
        UnreadableImage: more than 8 bits a channel, which would be clipped.
    """
    from PIL import ImageOps

    if image.mode.startswith("I") or image.mode == "F":
        said = f"has {image.mode} pixels (more than 8 bits); save it as 8-bit grayscale or RGB first"
        raise UnreadableImage(name, f"it {said}", f"{name} {said}.")
    if getattr(image, "is_animated", False) and image.format != "MPO":  # MPO: a telephone's picture and its depth
        warn_once(f"frames {name}", f"{name} has several frames; the first is taken.")
    image.load()
    if image.getexif().get(ORIENTATION, 1) != 1:
        image = ImageOps.exif_transpose(image)
    return image.convert("RGB")


def channels_are_first(shape: tuple[int, ...]) -> bool:
    """Whether pixels of this shape are (n, 3, H, W); else they are (n, H, W, 3).

    Raises:
        ValueError: they are neither, or may be both.
    """
    if len(shape) == 4 and (shape[1] == 3) != (shape[3] == 3):
        return shape[1] == 3
    raise ValueError(f"pixels must be (n, 3, H, W) or (n, H, W, 3), got shape {tuple(shape)}.")


def as_pixels(source: torch.Tensor | np.ndarray) -> np.ndarray:
    """Pixels (n, H, W, 3) uint8 from an array of uint8, or of floating point numbers in 0..1."""
    array = source.detach().cpu().numpy() if isinstance(source, torch.Tensor) else source
    if channels_are_first(array.shape):
        array = np.moveaxis(array, 1, 3)
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    if not np.issubdtype(array.dtype, np.floating):
        raise ValueError(f"pixels must be uint8 in 0..255 or floating point in 0..1, got {array.dtype}.")
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and high <= 1):
        raise ValueError(
            f"floating point pixels must lie in 0..1, got {low:.3g} to {high:.3g}. Normalized images belong to the "
            "token store (TokenStore.build); a dataset keeps the pictures as they were shown."
        )
    return np.rint(array * 255).astype(np.uint8)

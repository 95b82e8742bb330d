"""What every backbone of brainnet shares: a name, layers to choose from, and that it is frozen.

``FrozenBackbone`` is a network that never trains. Families subclass it or ``HookedBackbone``, which reads any PyTorch
network, but nothing in brainnet asks for them: a plain object with ``get_tokens(images)`` is a backbone too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from brainnet._files import weights_digest
from brainnet.backbone.catalogue import BACKBONES
from brainnet.backbone.folders import full_name
from brainnet.backbone.words import why_absent
from brainnet.tokens import Backbone, Preprocessing, Tokens


def build_backbone(name: str, **kwargs: Any) -> Backbone:
    """A backbone by name, ``"family:variant"``.

    Args:
        name: for example ``"expansion:small"``, ``"clip:ViT-B-16"``, ``"torchvision:squeezenet1_0"``,
            ``"timm:vit_small_patch14_dinov2"``, or whatever another package announced. What follows an equals sign are
            its weights, ``"clip:ViT-B-16=openai"``, unless ``weights`` says others. :func:`find_backbones` finds names.
        kwargs: for the family. All of brainnet's take ``layers`` (names, indices or a range; None takes the family's
            own choice), ``weights`` (a file, ``"random"`` with ``seed``, or a published name) and ``preprocessing``.

    Raises:
        ValueError: unknown family, variant or layer; the message names the nearest known one, or says why networks
            that other tools have are not here.

    >>> backbone = build_backbone("expansion:small", layers=["1", "3"])
    >>> local_tokens, global_tokens = backbone.get_tokens(torch.zeros(2, 3, 128, 128))
    >>> local_tokens["3"].shape, global_tokens["3"].shape
    (torch.Size([2, 128, 16, 16]), torch.Size([2, 128]))
    """
    name, weights = split_weights(name)
    family = name.partition(":")[0] if isinstance(name, str) else ""
    if family and not family.endswith(".py") and family not in BACKBONES and (why := why_absent("like", [family])):
        raise ValueError(f"there is no backbone {name!r}: {why}")
    options = ({"weights": weights} if weights else {}) | kwargs
    backbone = BACKBONES.build(name, **options)
    with suppress(AttributeError):  # an object that has no room for it
        backbone.built_from, backbone.built_with = full_name(name), options
    return backbone


def split_weights(text: str) -> tuple[str, str | None]:
    """A name and the weights behind its equals sign; a folder whose path has that sign is left whole.

    >>> split_weights("clip:ViT-B-16=openai"), split_weights("cornet:s")
    (('clip:ViT-B-16', 'openai'), ('cornet:s', None))
    """
    if not isinstance(text, str) or "=" not in text or Path(text.partition(":")[2]).expanduser().is_dir():
        return text, None
    name, _, weights = text.partition("=")
    return name, weights or None


def backbone_of(text: str, layers: Iterable[str | int] | None = None, **options: Any) -> Backbone:
    """A backbone from one word of a command line, "family:variant" or "family:variant=weights".

    Further options go to the family, those that are None left out.

    >>> backbone_of("torchvision:squeezenet1_0=random", ["features.3"]).layers
    ('features.3',)
    """
    name, weights = split_weights(text)
    choices = {"layers": None if layers is None else list(layers), "weights": weights, **options}
    return build_backbone(name, **{choice: value for choice, value in choices.items() if value is not None})


class FrozenBackbone(nn.Module):
    """A network that is read and never trained: no gradients, evaluation mode for ever.

    Subclasses build their modules, call :meth:`freeze`, and write ``compute_tokens``.

    Args:
        name: what it is called in fingerprints and messages, ``"family:variant"``.
        layers: names of the layers whose tokens it gives, in order.
        preprocessing: how a photograph becomes its input; None for 224 x 224 with ImageNet's mean and SD.
        settings: whatever else changes its numbers (precision, non-linearity); part of the fingerprint.

    >>> class Small(FrozenBackbone):
    ...     def __init__(self):
    ...         super().__init__("small:one", ["conv"])
    ...         self.conv = nn.Conv2d(3, 4, kernel_size=3)
    ...         self.freeze()
    ...     def compute_tokens(self, images):
    ...         maps = self.conv(images)
    ...         return Tokens({"conv": maps}, {"conv": maps.mean((2, 3))})
    >>> Small().get_tokens(torch.rand(2, 3, 8, 8)).local["conv"].shape
    torch.Size([2, 4, 6, 6])
    """

    def __init__(
        self,
        name: str,
        layers: Sequence[str],
        preprocessing: Preprocessing | None = None,
        settings: Mapping[str, Any] | None = None,
    ):
        super().__init__()
        self.name = name
        self.layers = tuple(layers)
        self.preprocessing = Preprocessing() if preprocessing is None else preprocessing
        self.settings = dict(settings or {})
        self._layer_widths: tuple[int, ...] | None = None

    def compute_tokens(self, images: Tensor) -> Tokens:
        """Tokens of ``self.layers`` for images (B, 3, H, W); called without gradients. Subclasses write this."""
        raise NotImplementedError

    def get_tokens(self, images: Tensor) -> Tokens:
        """Local tokens (B, C, H, W) and global tokens (B, C), float32, for every layer; unpacks as a pair.

        Args:
            images: (B, 3, H, W) floating point of any precision, preprocessed, on the backbone's device; left as they
                are. A network of another precision gets a copy in its own.

        Returns:
            New tensors on the images' device, detached, that share no memory with the network.
        """
        if not isinstance(images, Tensor) or images.ndim != 4 or images.shape[1] != 3:
            got = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
            raise ValueError(
                f"{self.name} takes images as a tensor (B, 3, H, W), got {got}. "
                "One image? Add the batch axis: image[None]. A PIL image? backbone.preprocessing(image)[None]."
            )
        if not images.is_floating_point():
            raise TypeError(f"{self.name} takes preprocessed floating-point images, got {images.dtype}")
        tensors = chain(self.parameters(), self.buffers())  # the first is enough, and a list takes a walk over all
        own = next((v.dtype for v in tensors if v.is_floating_point()), images.dtype)
        with torch.no_grad():
            tokens = self.compute_tokens(images if images.dtype == own else images.to(own))
        self._layer_widths = tuple(value.shape[1] for value in tokens.global_.values())
        return tokens

    def forward(self, images: Tensor) -> Tokens:
        """The same as :meth:`get_tokens`."""
        return self.get_tokens(images)

    @property
    def layer_widths(self) -> tuple[int, ...]:
        """Number of channels of each layer; the first look may cost one pass over a blank image."""
        if self._layer_widths is None:
            like = next(self.parameters(), torch.zeros(()))
            self.get_tokens(torch.zeros(1, 3, *self.preprocessing.size, device=like.device))
        return self._layer_widths

    def freeze(self) -> None:
        """Switches gradients off and evaluation mode on, for every module it has by now."""
        self.requires_grad_(False)
        self.train(False)

    def train(self, mode: bool = True) -> FrozenBackbone:
        """Stays in evaluation mode whatever is asked: a trainer that switches its model to training finds it so."""
        return super().train(False)

    def fingerprint(self) -> dict[str, str]:
        """What must agree for stored tokens to be reused: name, weights (sha256), layers, preprocessing, settings."""
        return {
            "name": self.name,
            "weights": weights_digest(self),
            "layers": " ".join(self.layers),
            "preprocessing": str(self.preprocessing),
            "settings": " ".join(f"{key}={value}" for key, value in sorted(self.settings.items())),
        }


def square_side(image_size: int | tuple[int, int], network: str) -> int:
    """Pixels along the side of a square image, from one number or two that are equal.

    >>> square_side((224, 224), "ModifiedMAE")
    224
    """
    sides = {image_size} if isinstance(image_size, int) else set(image_size)
    if len(sides) != 1:
        raise ValueError(f"{network} takes square images, got {tuple(image_size)}.")
    return sides.pop()

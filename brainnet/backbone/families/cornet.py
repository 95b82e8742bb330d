"""``cornet:*``: CORnet-Z, R, RT and S, four areas of the ventral stream, with every time step as a layer.

Written anew from the published descriptions; modules and parameters are named as in the published weights. Layers are
the areas ``V1``, ``V2``, ``V4``, ``IT`` at their last time step, ``IT@2`` at a step counted from 0, and ``decoder``.

Reference: Kubilius et al. (2018), CORnet: Modeling the neural mechanisms of core object recognition, bioRxiv 408385;
Kubilius et al. (2019), Brain-like object recognition with high-performing shallow recurrent ANNs, NeurIPS 32.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from brainnet._registry import takes_options_of
from brainnet.backbone.families._published import Published, build_published
from brainnet.backbone.hooks import HookedBackbone

AREAS = {"V1": 64, "V2": 128, "V4": 256, "IT": 512}  # and their channels
STEPS = 5  # of R and RT
STEPS_OF_S = {"V2": 2, "V4": 4, "IT": 2}
HASHES = {"z": "5c427c9c", "r": "5930a990", "rt": "933c001c", "s": "1d3f7974"}
ADDRESS = "https://s3.amazonaws.com/cornet-models/cornet_{}-{}.pth"


@takes_options_of(build_published)
def build(variant: str | None, **options: Any) -> HookedBackbone:
    """A CORnet, whose time steps are layers: ``"IT@0"``, ``"IT@1"``, ...; ``"IT"`` is the last.

    Args:
        variant: "z" (no recurrence), "r" (recurrence within areas), "rt" (one area a time step) or "s" (the
            best-scoring one, whose areas repeat 2, 4 and 2 times). "cornet" alone is "s".
        options: those of ``build_published``: layers (None takes the four areas), weights, seed, preprocessing.

    Areas of R and RT that no signal has reached yet give what their biases make of nothing, the same for all images.

    >>> backbone = build("rt", weights="random", layers=["V1@0", "IT@4"])
    >>> {layer: tuple(v.shape[1:]) for layer, v in backbone.get_tokens(torch.zeros(1, 3, 64, 64)).local.items()}
    {'V1@0': (64, 16, 16), 'IT@4': (512, 2, 2)}
    """
    networks = {"z": cornet_z, "r": CORnetR, "rt": CORnetRT, "s": cornet_s}
    stages = {area: f"{area}.output" for area in AREAS}
    table = {name: Published(networks[name], ADDRESS.format(name, code), stages=stages)
             for name, code in HASHES.items()}  # fmt: skip
    return build_published("cornet", table, variant or "s", **options)


def variants() -> list[str]:
    """What can follow "cornet:"."""
    return list(HASHES)


def _decoder() -> nn.Sequential:
    return nn.Sequential(
        OrderedDict(
            avgpool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), linear=nn.Linear(512, 1000), output=nn.Identity()
        )
    )


def _of_areas(areas: dict[str, nn.Module]) -> nn.Sequential:
    return nn.Sequential(OrderedDict(**areas, decoder=_decoder()))


# ---------------------------------------------------------------------- Z


def cornet_z() -> nn.Sequential:
    """CORnet-Z: one convolution, non-linearity and pool an area."""
    areas, before = {}, 3
    for area, width in AREAS.items():
        size, stride = (7, 2) if area == "V1" else (3, 1)
        areas[area] = nn.Sequential(
            OrderedDict(
                conv=nn.Conv2d(before, width, size, stride, size // 2),
                nonlin=nn.ReLU(),
                pool=nn.MaxPool2d(3, 2, 1),
                output=nn.Identity(),
            )
        )
        before = width
    return _of_areas(areas)


# ---------------------------------------------------------------------- R and RT


class RecurrentArea(nn.Module):
    """An area whose own output of the last time step joins its input."""

    def __init__(self, before: int, width: int, size: int, stride: int):
        super().__init__()
        self.width, self.stride = width, stride
        self.conv_input = nn.Conv2d(before, width, size, stride, size // 2)
        self.norm_input = nn.GroupNorm(32, width)
        self.nonlin_input = nn.ReLU()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm1 = nn.GroupNorm(32, width)
        self.nonlin1 = nn.ReLU()
        self.output = nn.Identity()

    def forward(self, x: Tensor, state: Tensor | None = None, is_driven: bool = True) -> Tensor:
        """The area's output.

        Args:
            x: the output of the area before; of an area that no signal has reached, zeros of its own shape.
            state: its own output of the step before.
            is_driven: False where no signal has reached it, which leaves out the first convolution.
        """
        if is_driven:
            x = self.nonlin_input(self.norm_input(self.conv_input(x)))
        if state is not None:
            x = x + state
        return self.output(self.nonlin1(self.norm1(self.conv1(x))))


class CORnetR(nn.Module):
    """CORnet-R: at every time step the areas follow each other, each with its own output of the step before.

    At the first step only V1 sees the image.
    """

    def __init__(self):
        super().__init__()
        before = 3
        for area, width in AREAS.items():
            self.add_module(area, RecurrentArea(before, width, *((7, 4) if area == "V1" else (3, 2))))
            before = width
        self.decoder = _decoder()

    def forward(self, images: Tensor) -> Tensor:
        """Class scores after five time steps."""
        outputs = self._first(images)
        for _ in range(1, STEPS):
            outputs = self._next(images, outputs)
        return self.decoder(outputs["IT"])

    def _first(self, images: Tensor) -> dict[str, Tensor]:
        last = self.V1(images)
        outputs = {"V1": last}
        for area in list(AREAS)[1:]:
            rows, columns = (-(-side // 2) for side in last.shape[-2:])
            zeros = last.new_zeros(len(last), AREAS[area], rows, columns)
            last = outputs[area] = getattr(self, area)(zeros, is_driven=False)
        return outputs

    def _next(self, images: Tensor, outputs: dict[str, Tensor]) -> dict[str, Tensor]:
        now, last = {}, images
        for area in AREAS:
            last = now[area] = getattr(self, area)(last, outputs[area])
        return now


class CORnetRT(CORnetR):
    """CORnet-RT: at every time step each area reads what the one before it gave at the step before."""

    def _next(self, images: Tensor, outputs: dict[str, Tensor]) -> dict[str, Tensor]:
        inputs = dict(zip(AREAS, (images, *outputs.values()), strict=False))
        return {area: getattr(self, area)(inputs[area], outputs[area]) for area in AREAS}


# ---------------------------------------------------------------------- S


class StridedConvolution(nn.Conv2d):
    """A 3 x 3 convolution whose stride is said at each call."""

    def forward(self, x: Tensor, stride: int) -> Tensor:
        """The convolution of a map."""
        return F.conv2d(x, self.weight, stride=stride, padding=self.padding)


class RepeatedArea(nn.Module):
    """An area of CORnet-S: one bottleneck that runs several times, with normalizations of each time's own."""

    def __init__(self, before: int, width: int, times: int):
        super().__init__()
        self.times = times
        self.conv_input = nn.Conv2d(before, width, 1, bias=False)
        self.skip = nn.Conv2d(width, width, 1, stride=2, bias=False)
        self.norm_skip = nn.BatchNorm2d(width)
        self.conv1 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.nonlin1 = nn.ReLU()
        self.conv2 = StridedConvolution(4 * width, 4 * width, 3, padding=1, bias=False)
        self.nonlin2 = nn.ReLU()
        self.conv3 = nn.Conv2d(4 * width, width, 1, bias=False)
        self.nonlin3 = nn.ReLU()
        self.output = nn.Identity()
        for step in range(times):
            for number, channels in ((1, 4 * width), (2, 4 * width), (3, width)):
                self.add_module(f"norm{number}_{step}", nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        """The area's output after its last repetition."""
        x = self.conv_input(x)
        for step in range(self.times):
            norm1, norm2, norm3 = (getattr(self, f"norm{number}_{step}") for number in (1, 2, 3))
            kept = self.norm_skip(self.skip(x)) if step == 0 else x
            x = self.nonlin1(norm1(self.conv1(x)))
            x = self.nonlin2(norm2(self.conv2(x, 2 if step == 0 else 1)))
            x = self.output(self.nonlin3(norm3(self.conv3(x)) + kept))
        return x


def cornet_s() -> nn.Sequential:
    """CORnet-S, with convolutions drawn as for its training."""
    first = nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(3, 64, 7, 2, 3, bias=False),
            norm1=nn.BatchNorm2d(64),
            nonlin1=nn.ReLU(),
            pool=nn.MaxPool2d(3, 2, 1),
            conv2=nn.Conv2d(64, 64, 3, padding=1, bias=False),
            norm2=nn.BatchNorm2d(64),
            nonlin2=nn.ReLU(),
            output=nn.Identity(),
        )
    )
    areas, before = {"V1": first}, AREAS["V1"]
    for area, times in STEPS_OF_S.items():
        areas[area] = RepeatedArea(before, AREAS[area], times)
        before = AREAS[area]
    network = _of_areas(areas)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.out_channels * module.kernel_size[0] * module.kernel_size[1]
            torch.nn.init.normal_(module.weight, std=(2 / fan_out) ** 0.5)
    return network


def describe() -> list[dict]:
    """What the table of networks says of each."""
    from brainnet.backbone.facts.published import describe_cornets

    return list(describe_cornets({variant: ADDRESS.format(variant, digest) for variant, digest in HASHES.items()}))

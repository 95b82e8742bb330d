"""``expansion:*``: the untrained network of Kazemian, Elmoznino and Bonner (2025), layer by layer.

A fixed bank of curved wavelets, then random convolutions that widen and widen; convolution, non-linearity, average
pool, five times. Nothing is trained and nothing is downloaded, yet it explains visual cortex nearly as well as
AlexNet does. ``expansion:full`` is the published network; ``expansion:small`` keeps the idea at a size for CPUs.

Reference: Kazemian, Elmoznino & Bonner (2025), Convolutional architectures are cortex-aligned de novo.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from brainnet._checks import check_word
from brainnet._registry import takes_options_of
from brainnet._work import device_of, multiplies_bfloat16
from brainnet.backbone.base import FrozenBackbone
from brainnet.backbone.convolution import filter_and_pool, filter_spectrum, spectral_convolution
from brainnet.backbone.modules import choose_layers
from brainnet.backbone.weights import fit_weights, load_weights, weights_path
from brainnet.tokens import Preprocessing, Tokens

LAYERS = ("1", "2", "3", "4", "5")
KERNELS = (15, 7, 5, 3, 3)
FULL = (1000, 3000, 5000, 3000)
SMALL = (32, 128, 256, 256)
SPECTRUM_BYTES = 2**28  # layer 2 is convolved through its spectrum where that takes no more memory: 70 MB when small


def _zscore(x: Tensor) -> Tensor:
    return (x - x.mean(1, keepdim=True)) / x.std(1, keepdim=True)


# They may overwrite their argument, which is always a convolution's fresh output: a new large array costs more than
# the arithmetic.
NONLINEARITIES: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu_,
    "leaky_relu": lambda x: F.leaky_relu(x, inplace=True),
    "gelu": F.gelu,
    "elu": lambda x: F.elu(x, inplace=True),
    "abs": torch.abs_,
    "zscore": _zscore,  # over channels at each position
    "none": lambda x: x,
}

INITIALISATIONS: dict[str, Callable[..., Tensor]] = {
    "kaiming_uniform": nn.init.kaiming_uniform_,
    "kaiming_normal": nn.init.kaiming_normal_,
    "xavier_uniform": nn.init.xavier_uniform_,
    "xavier_normal": nn.init.xavier_normal_,
    "orthogonal": nn.init.orthogonal_,
    "uniform": nn.init.uniform_,
    "normal": nn.init.normal_,
}


def curvature_bank(
    size: int = 15,
    orientations: int = 12,
    curvatures: Sequence[float] = (10**-2, 10**-1.05, 10**-0.1),
    frequency: float = 1.2,
    elongation: float = 5.0,
) -> Tensor:
    """Banana wavelets, (36, 15, 15) float32: curvature outermost, then orientation over the full circle.

    Each is a cosine wave across a ridge of the given curvature under a Gaussian envelope, with zero mean over the
    window. Rows run down and columns leftwards, as in the published bank.

    >>> bank = curvature_bank()
    >>> bank.shape, round(float(bank.std(correction=0)), 4)
    (torch.Size([36, 15, 15]), 0.0687)
    """
    half = size // 2
    steps = torch.arange(size, dtype=torch.float64) - half
    x, y = steps[:, None], -steps[None, :]
    filters = []
    for curvature in curvatures:
        for j in range(orientations):
            angle = 2 * math.pi * j / orientations
            u, v = x * math.cos(angle) + y * math.sin(angle), -x * math.sin(angle) + y * math.cos(angle)
            ridge = u + curvature * v**2
            envelope = torch.exp(-(frequency**2) / 2 * (ridge**2 + (v / elongation) ** 2))
            wavelet = envelope * (torch.cos(frequency * ridge) - math.exp(-0.5))
            filters.append(wavelet - wavelet.mean())
    return torch.stack(filters).float()


def gabor_bank(size: int = 15, orientations: int = 12, scales: Sequence[float] = (5, 10, 15)) -> Tensor:
    """Gabor wavelets, (36, 15, 15) float32: scale outermost, then orientation over the half circle; mean not removed.

    >>> gabor_bank()[:, 7, 7].unique()
    tensor([1.])
    """
    half = size // 2
    steps = torch.arange(size, dtype=torch.float64)
    y, x = (half - steps)[:, None], (half - steps)[None, :]
    filters = []
    for scale in scales:
        for j in range(orientations):
            angle = math.pi * j / orientations
            along, across = x * math.cos(angle) + y * math.sin(angle), -x * math.sin(angle) + y * math.cos(angle)
            envelope = torch.exp(-0.5 * (along**2 + (0.5 * across) ** 2))  # sigma 1, aspect 0.5
            filters.append(envelope * torch.cos(2 * math.pi * along / (scale / math.pi)))
    return torch.stack(filters).float()


BANKS: dict[str, Callable[[], Tensor]] = {"curvature": curvature_bank, "gabor": gabor_bank}


class Expansion(FrozenBackbone):
    """The five-layer expansion network.

    Layer ``"1"`` applies the fixed bank to R, G and B apart (36 filters each, 108 channels); layers ``"2"`` to
    ``"5"`` are random convolutions. A layer's tokens are taken after its non-linearity and its average pool; the
    global token is their mean over space.

    Args:
        widths: channels of layers 2 to 5.
        bank: "curvature" (the published default), "gabor", or "random" for a first layer drawn like the others.
        first_width: channels of layer 1 where the bank is random.
        nonlinearity: one of ``NONLINEARITIES`` for all layers, or five of them.
        initialisation: one of ``INITIALISATIONS``.
        seed: of the weights. 42 is the seed of the published networks, and gives their very weights.
        padding: "valid", the published geometry (grids 111, 52, 24, 11, 6 at 224 pixels; smallest image 142), or
            "same", with reflected borders, no pool in layer 5 and grids 64, 32, 16, 8, 8 at 128 pixels.
        layers: names or indices; None takes all five.
        weights: "random", or a file with ``filters_2`` ... ``filters_5``.
        precision: "fp32" or "bf16" arithmetic; tokens come as float32 either way. "auto" is bf16 where the processor
            computes it natively (on others it is slower than fp32); bf16 is off by 0.4 % of the norm at layer 5.
        preprocessing: by default 224 pixels ("valid") or 128 ("same") with ImageNet's mean and SD.
        name: for fingerprints.

    >>> Expansion((8, 8, 8, 8), padding="same").get_tokens(torch.zeros(1, 3, 64, 64)).local["5"].shape
    torch.Size([1, 8, 4, 4])
    """

    def __init__(
        self,
        widths: Sequence[int] = FULL,
        *,
        bank: str = "curvature",
        first_width: int = 3000,
        nonlinearity: str | Sequence[str] = "relu",
        initialisation: str = "kaiming_uniform",
        seed: int = 42,
        padding: str = "valid",
        layers: Iterable[str | int] | None = None,
        weights: str | Path = "random",
        precision: str = "fp32",
        preprocessing: Preprocessing | None = None,
        name: str = "expansion",
    ):
        nonlinearities = (nonlinearity,) * 5 if isinstance(nonlinearity, str) else tuple(nonlinearity)
        _check_words(bank=bank, initialisation=initialisation, padding=padding, precision=precision)
        for one in nonlinearities:
            _check_words(nonlinearity=one)
        if len(widths) != 4 or len(nonlinearities) != 5:
            raise ValueError(
                f"an expansion network has four widths (layers 2 to 5) and one or five non-linearities, "
                f"got {len(widths)} and {len(nonlinearities)}"
            )
        side = 224 if padding == "valid" else 128
        settings = {"bank": bank, "nonlinearity": "+".join(nonlinearities), "padding": padding}
        if precision == "auto":
            precision = "bf16" if multiplies_bfloat16() else "fp32"
        settings["precision"] = precision
        super().__init__(
            name, choose_layers(LAYERS, layers), preprocessing or Preprocessing((side, side)), settings=settings
        )
        self.nonlinearities = nonlinearities
        self.padding = padding
        self._kept_spectrum: tuple[tuple, Tensor] | None = None
        self.dtype = torch.bfloat16 if precision == "bf16" else torch.float32

        if bank == "random":
            self.bank = None
            widths, kernels = (first_width, *widths), KERNELS
        else:
            self.register_buffer("bank", BANKS[bank](), persistent=False)
            kernels = KERNELS[1:]
        file = weights_path(weights)
        if file is None and weights != "random":
            raise ValueError(f'an expansion network is not trained: weights is "random" or a file, got {weights!r}')
        self._draw_filters(widths, kernels, None if file is not None else INITIALISATIONS[initialisation], seed)
        if file is not None:
            fit_weights(self, load_weights(file), file)
        self.freeze()

    def _draw_filters(
        self, widths: Sequence[int], kernels: Sequence[int], draw: Callable[..., Tensor] | None, seed: int
    ) -> None:
        """The random convolutions, up to layer 5; without ``draw`` their memory alone."""
        channels = 3 if self.bank is None else 3 * len(self.bank)
        generator = torch.Generator().manual_seed(seed)
        for number, width, kernel in zip(range(6 - len(widths), 6), widths, kernels, strict=True):
            filters = torch.empty(width, channels, kernel, kernel)
            if draw is not None:
                filters.uniform_(generator=generator)  # the published code overwrites a default Conv2d
                draw(filters, generator=generator)
            self.register_parameter(f"filters_{number}", nn.Parameter(filters))
            channels = width

    @property
    def layer_widths(self) -> tuple[int, ...]:
        """Number of channels of each layer."""
        first = self.filters_1.shape[0] if self.bank is None else 3 * len(self.bank)
        widths = (first, *(getattr(self, f"filters_{number}").shape[0] for number in range(2, 6)))
        return tuple(widths[int(layer) - 1] for layer in self.layers)

    def compute_tokens(self, images: Tensor) -> Tokens:
        """Tokens of the chosen layers; nothing is computed beyond the last of them."""
        x = images.to(self.dtype)
        local = {}
        for layer in LAYERS[: max(map(int, self.layers))]:
            x = self._layer(int(layer), x)
            if layer in self.layers:
                local[layer] = x.to(torch.float32, copy=True, memory_format=torch.contiguous_format)
        local = {layer: local[layer] for layer in self.layers}
        return Tokens(local, {layer: value.mean((2, 3)) for layer, value in local.items()})

    def _layer(self, number: int, x: Tensor) -> Tensor:
        """Convolution, non-linearity and pool of one layer."""
        name = self.nonlinearities[number - 1]
        if number == 1 and self.bank is not None and x.device.type == "cpu" and name != "zscore":
            # spectra want each channel in one piece, matrix units want a pixel's channels together
            memory = torch.contiguous_format if x.dtype == torch.float32 else torch.channels_last
            return filter_and_pool(self._padded(1, x), self.bank.to(x.dtype), NONLINEARITIES[name], memory)
        x = NONLINEARITIES[name](self.convolve(number, x))
        if number < 5:
            return F.avg_pool2d(x, 2)
        return F.avg_pool2d(x, 4, stride=1) if self.padding == "valid" else x

    def convolve(self, number: int, x: Tensor) -> Tensor:
        """Layer ``number``'s convolution of its input, before non-linearity and pool."""
        x = self._padded(number, x)
        if number == 1 and self.bank is not None:
            y = F.conv2d(x.flatten(0, 1)[:, None], self.bank[:, None].to(x.dtype))  # (B * 3, 36, H, W)
            return y.unflatten(0, (-1, 3)).flatten(1, 2)  # 36 of R, 36 of G, 36 of B
        filters = getattr(self, f"filters_{number}")
        if number == 2 and x.device.type == "cpu" and x.dtype == torch.float32:
            n_values = filters.shape[0] * filters.shape[1] * x.shape[-2] * (x.shape[-1] // 2 + 1)
            if 8 * n_values <= SPECTRUM_BYTES:
                return spectral_convolution(x, self._spectrum(filters, tuple(x.shape[-2:])), KERNELS[1])
        return F.conv2d(x, filters.to(x.dtype))

    def _padded(self, number: int, x: Tensor) -> Tensor:
        half = KERNELS[number - 1] // 2
        if self.padding == "same":
            return F.pad(x, (half,) * 4, mode="reflect")
        if number == 1:
            return F.pad(x, (half - 1 if self.bank is not None else half,) * 4)  # 6 for the bank, 7 for random filters
        return x

    def _spectrum(self, filters: Tensor, size: tuple[int, int]) -> Tensor:
        """The filters' spectrum for maps of this size, kept until another size or other weights come."""
        key = (size, filters.data_ptr(), filters._version)
        if self._kept_spectrum is None or self._kept_spectrum[0] != key:
            self._kept_spectrum = key, filter_spectrum(filters, size)
        return self._kept_spectrum[1]

    def __getstate__(self) -> dict:
        """Everything but the spectrum, which is large and follows from the weights."""
        return {**self.__dict__, "_kept_spectrum": None}


class ExpansionFeatures(Expansion):
    """The expansion network as a plain function of images: a call gives the features of its last layer."""

    def forward(self, images: Tensor) -> Tensor:
        """Features (n, C * H * W) of layer 5 for images (n, 3, height, width), channel by channel."""
        return self.get_tokens(images).local["5"].flatten(1)


class Expansion5L:
    """The five-layer expansion network as its authors build it: ``Expansion5L(filters_5=3000).Build()``.

    At 224 pixels the features are 36 times ``filters_5``. ``Build`` gives a new network each time, with the same
    weights: they follow from the seed alone.

    Args:
        filters_1: channels of layer 1, where its filters are random; else the bank has 108.
        filters_2, filters_3, filters_4, filters_5: channels of layers 2 to 5.
        filter_type: of layer 1: "curvature", "gabor" or "random".
        non_linearity: one of ``NONLINEARITIES`` for all layers, or five of them.
        init_type: one of ``INITIALISATIONS``.
        device: where the network lives; "auto" is CUDA where there is one, then mps, then the CPU.
        seed: of the weights; 42 gives those of the published networks.

    >>> network = Expansion5L(filters_2=4, filters_3=5, filters_4=6, filters_5=7, device="cpu").Build()
    >>> network(torch.zeros(2, 3, 142, 142)).shape
    torch.Size([2, 7])
    """

    def __init__(
        self,
        filters_1: int = 3000,
        filters_2: int = FULL[0],
        filters_3: int = FULL[1],
        filters_4: int = FULL[2],
        filters_5: int = 30000,
        *,
        filter_type: str = "curvature",
        non_linearity: str | Sequence[str] = "relu",
        init_type: str = "kaiming_uniform",
        device: str | torch.device | None = "auto",
        seed: int = 42,
    ):
        _check_words(bank=filter_type, initialisation=init_type)
        self.device = device_of(device)
        self.widths = (filters_2, filters_3, filters_4, filters_5)
        self.options = {"first_width": filters_1, "bank": filter_type, "nonlinearity": non_linearity,
                        "initialisation": init_type, "seed": seed}  # fmt: skip

    def Build(self) -> ExpansionFeatures:
        """The network, on its device: images (n, 3, 224, 224) to features (n, 36 * filters_5)."""
        return ExpansionFeatures(self.widths, layers=["5"], name="Expansion5L", **self.options).to(self.device)


def _check_words(**words: str) -> None:
    known = {
        "bank": (*BANKS, "random"),
        "initialisation": INITIALISATIONS,
        "nonlinearity": NONLINEARITIES,
        "padding": ("valid", "same"),
        "precision": ("auto", "fp32", "bf16"),
    }
    for what, word in words.items():
        check_word(what, word, known[what])


@takes_options_of(Expansion, "widths")
def build(variant: str | None, *, filters_5: int | None = None, **kwargs) -> Expansion:
    """An expansion network as a backbone.

    Args:
        variant: "full", the published geometry (350 million random weights, 617 GFLOP an image), or "small"
            (1 million, 3 GFLOP). "expansion" alone is the full one.
        filters_5: width of layer 5, the published sweep's 3, 30, 300, 3000, 30000.
        kwargs: see :class:`Expansion`.

    >>> build("small").layer_widths
    (108, 32, 128, 256, 256)
    """
    variants = {"full": (FULL, "valid"), "small": (SMALL, "same")}
    variant = variant or "full"
    check_word("expansion network", variant, variants)
    widths, padding = variants[variant]
    widths = tuple(kwargs.pop("widths", widths))
    if filters_5 is not None:
        widths = (*widths[:3], filters_5)
    return Expansion(widths, **{"padding": padding, "name": f"expansion:{variant}", **kwargs})


def variants() -> list[str]:
    """What can follow "expansion:"."""
    return ["full", "small"]


def describe() -> list[dict]:
    """What the table of networks says of each."""
    from brainnet.backbone.facts.published import describe_untrained

    return list(describe_untrained(dict.fromkeys(variants(), "convolution"), "expansion", {"full": 224, "small": 128}))

"""``silero:vad``: the network of silero-vad, which hears whether somebody speaks; 310 thousand numbers, at 16 kHz.

Its weights are a file of the package silero-vad, which is only read: none of its code runs. The network sees 32 ms at
a time, each with the 4 ms before it, and carries a memory from one to the next.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from brainnet.backbone.sequences.base import STEPS, SequenceBackbone
from brainnet.backbone.sequences.sound import WaveReader, Waves
from brainnet.backbone.weights import chosen_file, fit_weights, load_weights, own_random_numbers

reads = "sound"  # the kind of its stimuli
VARIANTS = ("vad",)
RATE, WINDOW, BEFORE, BEHIND = 16000, 512, 64, 64  # samples: a second, a place, of the place before, reflected behind
BINS = 129  # of the spectrum of 256 samples
FILE = "silero_vad_16k.safetensors"


class Listener(nn.Module):
    """The network: a spectrum, four convolutions and a memory.

    >>> Listener()(torch.zeros(1, 1024)).hidden_states[-1].shape
    torch.Size([1, 2, 128])
    """

    def __init__(self):
        super().__init__()
        self.stft_conv = nn.Conv1d(1, 2 * BINS, 256, 128, bias=False)
        self.conv1 = nn.Conv1d(BINS, 128, 3, 1, 1)
        self.conv2 = nn.Conv1d(128, 64, 3, 2, 1)
        self.conv3 = nn.Conv1d(64, 64, 3, 2, 1)
        self.conv4 = nn.Conv1d(64, 128, 3, 1, 1)
        self.lstm_cell = nn.LSTMCell(128, 128)
        self.final_conv = nn.Conv1d(128, 1, 1)

    def forward(self, waves: Tensor, output_hidden_states: bool = True) -> Any:
        """What every layer gives for sounds (B, n_samples), (B, n_places, C); and ``speech`` (B, n_places), 0 to 1."""
        n_places = -(-waves.shape[1] // WINDOW)
        waves = F.pad(waves, (BEFORE, n_places * WINDOW - waves.shape[1]))
        seen = waves.unfold(1, WINDOW + BEFORE, WINDOW).flatten(0, 1)  # (B * n_places, 576)
        spectrum = self.stft_conv(F.pad(seen[:, None], (0, BEHIND), "reflect"))
        values = (spectrum[:, :BINS] ** 2 + spectrum[:, BINS:] ** 2).sqrt()
        states = [values.mean(2)]
        for layer in (self.conv1, self.conv2, self.conv3, self.conv4):
            values = F.relu(layer(values))
            states.append(values.mean(2))
        states = [state.unflatten(0, (len(waves), n_places)) for state in states]
        heard = values.squeeze(2).unflatten(0, (len(waves), n_places))
        memory: tuple[Tensor, Tensor] | None = None
        remembered = []
        for place in range(n_places):
            memory = self.lstm_cell(heard[:, place], memory)
            remembered.append(memory[0])
        states.append(torch.stack(remembered, 1))
        speech = torch.sigmoid(self.final_conv(F.relu(states[-1]).transpose(1, 2)))[:, 0]
        return SimpleNamespace(hidden_states=tuple(states), speech=speech)


def build(
    variant: str | None,
    *,
    layers: Iterable[str | int] | None = None,
    weights: str | Path = "default",
    seed: int = 0,
    steps: int | str = STEPS,
    global_token: str = "mean",
) -> SequenceBackbone:
    """The network of silero-vad as a backbone of sounds.

    Args:
        variant: "vad", or None.
        layers: ``"0"`` to ``"3"`` are the convolutions, the mean of each over the moments of a place; ``"4"`` is the
            memory, ``"embeddings"`` the spectrum. By default "0" to "4".
        weights: "default" are those of the package silero-vad, which must be installed; or a file, or "random".
        seed: of random weights.
        steps, global_token: see :class:`~brainnet.backbone.sequences.base.SequenceBackbone`.

    >>> build("vad", weights="random").get_tokens([torch.zeros(16000)]).local["4"].shape
    torch.Size([1, 128, 1, 8])
    """
    if variant not in (None, *VARIANTS):
        raise ValueError(f"silero has no {variant!r}. Known: {', '.join(VARIANTS)}.")
    file = _published() if weights == "default" else chosen_file(weights, "silero:vad", ["default"])
    with own_random_numbers(seed):
        network = Listener()
    if file is not None:
        fit_weights(network, load_weights(file), file)
    reader = WaveReader(Waves(RATE, least=WINDOW))
    return SequenceBackbone(network, reader, layers, name="silero:vad", steps=steps, global_token=global_token)


def variants() -> list[str]:
    """What can follow "silero:"."""
    return list(VARIANTS)


def describe() -> list[dict[str, Any]]:
    """What the table of networks says of it."""
    return [{"variant": "vad", "architecture": "silero_vad", "series": "silero", "kind": "recurrent",
             "task": "voice activity detection", "method": "supervised", "parameters": 309633, "license": "mit",
             "source": "https://pypi.org/project/silero-vad/"}]  # fmt: skip


def _published() -> Path:
    spec = find_spec("silero_vad")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(
            "the weights of silero:vad need silero-vad, which is not installed:  pip install silero-vad"
        )
    return Path(spec.origin).parent / "data" / FILE

"""Clips for networks of videos, and for networks of images, which see them frame by frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from brainnet._checks import check_word
from brainnet.backbone.base import FrozenBackbone
from brainnet.backbone.sequences.base import ALL, Placed, SequenceBackbone
from brainnet.tokens import Preprocessing, Tokens, check_tokens

AGGREGATIONS = ("mean", "max", ALL)


@dataclass(frozen=True)
class Frames:
    """A clip as ``n_frames`` of its frames, (n_frames, 3, H, W): those in the middle of as many equal parts.

    Args:
        n_frames: how many; a clip of fewer frames repeats some.
        picture: how a frame becomes pixels.
    """

    n_frames: int
    picture: Preprocessing

    def __post_init__(self):
        if isinstance(self.n_frames, bool) or not isinstance(self.n_frames, int) or self.n_frames < 1:
            raise ValueError(f"n_frames is a number of frames of at least 1, got {self.n_frames!r}.")

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.picture.size

    def __call__(self, clip: Any) -> Tensor:
        """Pixels of a :class:`~brainnet.stimuli.Clip`, or of a list of PIL images.

        Raises:
            TypeError: neither.
            ValueError: a clip without frames, or a frame that cannot be read.
        """
        places = clip.evenly(self.n_frames) if hasattr(clip, "evenly") else None
        if places is None:
            if not isinstance(clip, Sequence) or not all(hasattr(frame, "convert") for frame in clip):
                raise TypeError(f"a network of videos reads clips or lists of PIL images, got {type(clip).__name__}.")
            if not len(clip):
                raise ValueError("the clip has no frames.")
            n = len(clip)
            places = [min(n - 1, int((k + 0.5) * n / self.n_frames)) for k in range(self.n_frames)]
        seen = {place: self.picture(clip[place]) for place in dict.fromkeys(places)}
        return torch.stack([seen[place] for place in places])


class ClipReader:
    """Reads clips for a network of videos whose output is a sequence of places in space and time.

    Args:
        frames: how a clip becomes pixels.
        entry: what the network's input is called.
        grid: height, width and number of steps in time of the places.
        prefix: tokens before them.
        time_inside: whether the steps in time of one place follow each other, and not the places of one step.
        options: further arguments of the network.
    """

    reads = "video"

    def __init__(
        self, frames: Frames, entry: str, grid: tuple[int, int, int], prefix: int = 0, time_inside: bool = False,
        options: dict[str, Any] | None = None,
    ):  # fmt: skip
        self.preprocessing, self.entry, self.grid = frames, entry, grid
        self.prefix, self.time_inside, self.options = prefix, time_inside, options or {}

    def collate(self, items: Sequence[Tensor]) -> Tensor:
        """(B, n_frames, 3, H, W)."""
        return torch.stack(list(items))

    def groups(self, batch: Tensor) -> Iterator[tuple[Sequence[int], Tensor]]:
        """All clips at once."""
        check_clips(batch)
        yield range(len(batch)), batch

    def run(self, network: nn.Module, part: Tensor) -> Any:
        """One pass over clips."""
        like = next(network.parameters())
        return network(**{self.entry: part.to(like.dtype)}, output_hidden_states=True, **self.options)

    def place(self, state: Tensor, part: Tensor) -> list[Placed]:
        """Places (C, n_steps, H * W) of each clip."""
        height, width, n_steps = self.grid
        if state.shape[1] != self.prefix + height * width * n_steps:
            raise ValueError(f"its {state.shape[1]} places are none of {n_steps} steps of {height} x {width}.")
        own = state[:, self.prefix :].transpose(1, 2)
        own = own.unflatten(2, (-1, n_steps)).transpose(2, 3) if self.time_inside else own.unflatten(2, (n_steps, -1))
        return [Placed(one, values[0] if self.prefix else None) for one, values in zip(own, state, strict=True)]

    def example(self) -> Tensor:
        """A blank clip."""
        return torch.zeros(1, self.preprocessing.n_frames, 3, *self.preprocessing.size)


class ClipBackbone(SequenceBackbone):
    """Tokens of a network of videos of transformers: (B, C, H, W), with time taken together or a layer for each step.

    Args:
        network, reader, layers, name: see :class:`SequenceBackbone`.
        agg_frames: "mean" or "max" over the steps in time; "all" makes a layer of each, ``"3.t0"``, ``"3.t1"``, ...
    """

    def __init__(
        self, network: nn.Module, reader: ClipReader, layers: Iterable[str | int] | None = None, *, name: str,
        agg_frames: str = "mean",
    ):  # fmt: skip
        check_word("agg_frames", agg_frames, AGGREGATIONS)
        settings = {"agg_frames": agg_frames}
        super().__init__(network, reader, layers, name=name, steps=ALL, settings=settings)
        self.agg_frames, self.of_network = agg_frames, self.layers
        if agg_frames == ALL:
            self.layers = tuple(self.compute_tokens(reader.example()).local)

    def compute_tokens(self, batch: Tensor, may_differ: bool = True) -> Tokens:
        """Tokens of the chosen layers for clips (B, n_frames, 3, H, W)."""
        height, width, _ = self.reader.grid
        local: dict[str, Tensor] = {}
        for _, part in self.reader.groups(batch):
            for layer, state in self._states(part).items():
                placed = self._placed(layer, state, part)
                steps = torch.stack([one.local for one in placed]).to(torch.float32, copy=True)  # (B, C, n_steps, N)
                steps = steps.unflatten(3, (height, width)) if steps.shape[3] > 1 else steps[..., None]
                local |= aggregated(layer, steps.transpose(1, 2), self.agg_frames)
        return Tokens(local, {layer: values.mean((2, 3)) for layer, values in local.items()})

    def _pooled(self, placed: Placed) -> tuple[Tensor, Tensor]:
        height, width, _ = self.reader.grid
        local = aggregated("", placed.local.transpose(0, 1)[None].float(), self.agg_frames.replace(ALL, "mean"))[""][0]
        local = local.unflatten(1, (height, width)) if placed.timed else local[..., None]
        return local, local.mean((1, 2))


class FramesBackbone(FrozenBackbone):
    """Tokens of clips from a network of images that sees frame by frame, or of a network of videos of torchvision.

    Args:
        backbone: of images; or of videos, one that takes clips (B, 3, n_frames, H, W) too.
        n_frames: how many frames of each clip are seen.
        agg_frames: "mean" or "max" of the tokens of all frames; "all" makes a layer of each frame, ``"3.t0"``, ... Of a
            network of videos, whose tokens are means over time already, "mean" alone.
        moves: whether ``backbone`` is one of videos, which is given all frames at once.
    """

    reads = "video"

    def __init__(self, backbone: Any, n_frames: int = 8, agg_frames: str = "mean", moves: bool = False):
        check_word("agg_frames", agg_frames, AGGREGATIONS)
        if moves and agg_frames != "mean":
            raise ValueError(
                f"{backbone.name} is a network of videos, whose tokens are means over time: agg_frames is 'mean', and "
                f"not {agg_frames!r}."
            )
        layers = tuple(backbone.layers)
        names = layers if agg_frames != ALL else [f"{layer}.t{k}" for layer in layers for k in range(n_frames)]
        frames = Frames(n_frames, getattr(backbone, "preprocessing", None) or Preprocessing())
        settings = {**getattr(backbone, "settings", {}), "agg_frames": agg_frames}
        super().__init__(f"video:{backbone.name}", names, frames, settings)
        self.backbone, self.agg_frames, self.moves = backbone, agg_frames, moves
        self.freeze()

    def collate(self, items: Sequence[Tensor]) -> Tensor:
        """(B, n_frames, 3, H, W)."""
        return torch.stack(list(items))

    def get_tokens(self, clips: Any) -> Tokens:
        """Local tokens (B, C, H, W) and global tokens (B, C), float32, for every layer; unpacks as a pair.

        Args:
            clips: a list of clips, each a :class:`~brainnet.stimuli.Clip` or a list of PIL images; or pixels
                (B, n_frames, 3, H, W), preprocessed.
        """
        if not isinstance(clips, Tensor):
            clips = self.collate([self.preprocessing(clip) for clip in clips])
        check_clips(clips)
        like = next(self.parameters(), clips)
        clips = clips.to(like.device, like.dtype if like.is_floating_point() else clips.dtype)
        if self.moves:
            with torch.no_grad():
                return self.backbone.compute_tokens(clips.transpose(1, 2))
        n = clips.shape[1]
        tokens = check_tokens(self.backbone.get_tokens(clips.flatten(0, 1)), len(clips) * n)
        local: dict[str, Tensor] = {}
        whole: dict[str, Tensor] = {}
        for layer in tokens.layers:
            local |= aggregated(layer, tokens.local[layer].unflatten(0, (-1, n)), self.agg_frames)
            whole |= aggregated(layer, tokens.global_[layer].unflatten(0, (-1, n)), self.agg_frames)
        return Tokens(local, whole)

    def example(self) -> Tensor:
        """A blank clip."""
        return torch.zeros(1, self.preprocessing.n_frames, 3, *self.preprocessing.size)

    @property
    def layer_widths(self) -> tuple[int, ...]:
        """Number of channels of each layer."""
        widths = tuple(self.backbone.layer_widths)
        n = self.preprocessing.n_frames if self.agg_frames == ALL else 1
        return tuple(width for width in widths for _ in range(n))


def aggregated(layer: str, steps: Tensor, how: str) -> dict[str, Tensor]:
    """Layers of tokens (B, ...) from those at every step in time (B, n_steps, ...)."""
    if how == ALL:
        return {f"{layer}.t{k}": steps[:, k].contiguous() for k in range(steps.shape[1])}
    return {layer: steps.mean(1) if how == "mean" else steps.amax(1)}


def check_clips(clips: Tensor) -> None:
    """Refuses what are no clips (B, n_frames, 3, H, W)."""
    if clips.ndim != 5 or clips.shape[2] != 3 or not clips.is_floating_point():
        raise ValueError(
            f"clips are a list, or pixels (B, n_frames, 3, H, W) as floating-point numbers; got {clips.dtype} "
            f"{tuple(clips.shape)}."
        )

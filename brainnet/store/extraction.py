"""Images into tokens, batch by batch: decoding in background threads while the backbone works."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

from brainnet._work import HalvedOnce, at_work
from brainnet.tokens import Tokens, check_tokens


def extract(
    backbone: Any,
    load: Callable[[int], Tensor],
    batches: Iterable[Sequence[int]],
    *,
    grid: tuple[int, int] | None,
    resize: str = "mean",
    device: str | torch.device | None = None,
    workers: int | None = None,
    channels_last: bool = True,
) -> Iterator[Tokens]:
    """Tokens of each batch of images, on ``grid``, while the next batches are being decoded.

    Where an accelerator runs out of memory, a line says so and from there on each batch comes in two halves.

    Args:
        backbone: any object with ``get_tokens``; a module works in eval mode and is put back afterwards. Where it has
            ``collate``, that makes a batch of what ``load`` gives; elsewhere all are of one shape.
        load: index to image (3, H, W), or to whatever the backbone reads.
        batches: indices, batch by batch.
        grid: height and width of the token maps; None leaves every layer the size it has.
        resize: see :meth:`Tokens.resize`.
        device: where the backbone works; a module is moved there. None leaves it where it is.
        workers: decoding threads; None takes one per core, at most 8; 0 decodes in this thread.
        channels_last: lay the channels of a token side by side, in which form pooling and packing are several times
            faster; False leaves maps as they come, for one who wants their rows.

    Raises:
        MemoryError: the accelerator has too little memory for half a batch as well.
    """
    layers = None
    with at_work(backbone, device) as device:

        def tokens_of(images: Tensor) -> Tokens:
            with torch.no_grad():  # not around the loop: a generator would leave it on for whoever iterates
                output = backbone.get_tokens(images.to(device, non_blocking=True))
                tokens = check_tokens(output, len(images), layers)
                if channels_last:
                    tokens = tokens.map(lambda v: v.contiguous(memory_format=torch.channels_last) if v.ndim == 4 else v)
                return tokens if grid is None else tokens.resize(grid, resize)

        within_memory = HalvedOnce(tokens_of)
        collate = getattr(backbone, "collate", _stack)
        for images in _decoded(load, batches, workers, collate, pin=device.type == "cuda"):
            for tokens in within_memory(images):
                layers = tokens.layers
                yield tokens


def _stack(images: Sequence[Tensor]) -> Tensor:
    shapes = {tuple(image.shape) for image in images}
    if len(shapes) > 1:
        raise ValueError(f"images of one batch differ in size: {sorted(shapes)}; let a Preprocessing resize them")
    return torch.stack(list(images))


def _decoded(
    load: Callable[[int], Tensor],
    batches: Iterable[Sequence[int]],
    workers: int | None,
    collate: Callable[[Sequence[Tensor]], Tensor],
    pin: bool,
) -> Iterator[Tensor]:
    def stack(images: list[Tensor]) -> Tensor:
        batch = collate(images)
        return batch.pin_memory() if pin else batch

    if workers is None:
        workers = min(8, os.cpu_count() or 1)
    if not workers:
        yield from (stack([load(i) for i in batch]) for batch in batches)
        return
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque = deque()
        try:
            for batch in batches:
                waiting.append([pool.submit(load, i) for i in batch])
                if len(waiting) > 2:  # one at work, two decoding
                    yield stack([image.result() for image in waiting.popleft()])
            while waiting:
                yield stack([image.result() for image in waiting.popleft()])
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

"""Images into tokens, batch by batch: decoding in background threads while the backbone works.

Also says what tokens come from: the preprocessing in use, and a fingerprint of backbone and images.
"""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from brainnet._checks import warn_once
from brainnet._work import at_work
from brainnet.tokens import Preprocessing, Tokens, check_tokens

SAMPLED_IMAGES = 16
EDGE_BYTES = 4096


def choose_preprocessing(
    images: Any, backbone: Any = None, preprocessing: Preprocessing | None = None
) -> Preprocessing:
    """The preprocessing a run uses: the one given, else the data's own, else the backbone's, else the default.

    Warns once where the chosen one differs from the backbone's.

    >>> choose_preprocessing([]) == Preprocessing()
    True
    """
    wanted = getattr(backbone, "preprocessing", None)
    chosen = preprocessing or getattr(images, "preprocessing", None) or wanted or Preprocessing()
    if wanted is not None and chosen != wanted:
        warn_once(
            f"preprocessing {chosen} {wanted}",
            f"images are preprocessed by {chosen}, but the backbone {type(backbone).__name__} expects {wanted}. "
            "Leave the data's preprocessing unset to follow the backbone.",
        )
    return chosen


def fingerprint_of(backbone: Any, preprocessing: Preprocessing | None = None) -> dict[str, str]:
    """What tokens depend on, besides the images: the backbone's name, layers and weights, and the preprocessing.

    A backbone's own ``fingerprint()`` is taken where it has one. Else its name is its class, and its weights are
    hashed: its state dict where it is a module, those of the modules among its attributes where it is not.

    >>> sorted(fingerprint_of(torch.nn.Linear(2, 2)))
    ['name', 'weights']
    """
    if callable(getattr(backbone, "fingerprint", None)):
        fields = {str(k): str(v) for k, v in backbone.fingerprint().items()}
    else:
        kind = type(backbone)
        fields = {"name": f"{kind.__module__}.{kind.__qualname__}", "weights": _weights(backbone)}
    layers = getattr(backbone, "layers", None)
    if layers:
        fields.setdefault("layers", ",".join(map(str, layers)))
    if preprocessing is not None:
        fields["preprocessing"] = str(preprocessing)
    return fields


def _weights(backbone: Any) -> str:
    attributes = vars(backbone) if hasattr(backbone, "__dict__") else {}
    modules = (
        [backbone] if isinstance(backbone, nn.Module) else [v for v in attributes.values() if isinstance(v, nn.Module)]
    )
    digest = hashlib.sha256()
    for module in modules:
        for name, value in module.state_dict().items():
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode() if isinstance(value, Tensor) else b"")
            if isinstance(value, Tensor):
                digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return f"sha256:{digest.hexdigest()}" if modules else "unknown"


def sha256(*parts: bytes) -> str:
    """Digest of the parts, one after another."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return f"sha256:{digest.hexdigest()}"


class Images(NamedTuple):
    """Any of the things a store is built from, as names and a function from index to tensor.

    ``signature`` stands for the pixels: a hash of all of them for tensors and PIL images; of name, size and both ends
    (4 kB each) of every file for paths; of 16 evenly spaced decoded images for a response dataset.
    """

    ids: list[str]
    load: Callable[[int], Tensor]
    preprocessing: str
    signature: str

    @classmethod
    def read(cls, images: Any, backbone: Any, preprocessing: Preprocessing | None) -> Images:
        """``images`` as a response dataset, a tensor (n, 3, H, W), or a sequence of PIL images or paths.

        Raises:
            TypeError, ValueError: none of these.
        """
        if isinstance(images, Tensor):
            if images.ndim != 4 or images.shape[1] != 3:
                raise ValueError(f"an image tensor is (n, 3, H, W), already preprocessed; got {tuple(images.shape)}")
            if preprocessing is not None:
                raise ValueError("an image tensor is taken as preprocessed already; leave preprocessing out")
            pixels = images.detach().cpu().contiguous()
            signature = sha256(str(tuple(images.shape)).encode(), pixels.view(-1).view(torch.uint8).numpy().data)
            return cls([str(i) for i in range(len(images))], lambda i: images[i].float(), "as given", signature)
        chosen = choose_preprocessing(images, backbone, preprocessing)
        if hasattr(images, "image_ids") and hasattr(images, "image"):
            ids = [str(name) for name in images.image_ids]
            sampled = sorted({round(i * (len(ids) - 1) / (SAMPLED_IMAGES - 1)) for i in range(SAMPLED_IMAGES)})
            signature = sha256(*(_pixels(images.load_image(i)) for i in sampled if 0 <= i < len(ids)))
            return cls(ids, lambda i: images.image(i, chosen), str(chosen), signature)
        if isinstance(images, str | bytes) or not isinstance(images, Sequence):
            raise TypeError(
                "images are a response dataset, a list of PIL images or paths, or a tensor (n, 3, H, W); "
                f"got {type(images).__name__}"
            )
        if all(isinstance(image, str | os.PathLike) for image in images):
            paths = [Path(path) for path in images]
            names = [path.name for path in paths]
            ids = names if len(set(names)) == len(names) else [str(path) for path in paths]
            return cls(ids, lambda i: chosen(_opened(paths[i])), str(chosen), sha256(*map(_edges, paths)))
        if not all(hasattr(image, "convert") for image in images):
            kinds = sorted({type(image).__name__ for image in images})
            raise TypeError(f"a list of images holds PIL images or paths, got {', '.join(kinds)}")
        ids = [str(i) for i in range(len(images))]
        return cls(ids, lambda i: chosen(images[i]), str(chosen), sha256(*map(_pixels, images)))


def _opened(path: Path):
    from PIL import Image

    try:
        return Image.open(path).convert("RGB")
    except FileNotFoundError:
        raise FileNotFoundError(f"no image at {path}") from None
    except OSError as error:
        raise OSError(f"the image {path} cannot be read: {error}") from None


def _pixels(image: Any) -> bytes:
    return f"{image.size}{image.mode}".encode() + image.tobytes()


def _edges(path: Path) -> bytes:
    """Name, size and both ends of a file: all of it would cost as much as decoding, and dates survive no copy."""
    if not path.is_file():
        raise FileNotFoundError(f"no image at {path}")
    with path.open("rb") as file:
        n_bytes = file.seek(0, os.SEEK_END)
        file.seek(0)
        head = file.read(EDGE_BYTES)
        file.seek(max(0, n_bytes - EDGE_BYTES))
        return f"{path.name} {n_bytes}".encode() + head + file.read()


def extract(
    backbone: Any,
    load: Callable[[int], Tensor],
    batches: Iterable[Sequence[int]],
    *,
    grid: tuple[int, int],
    resize: str = "mean",
    device: str | torch.device | None = None,
    workers: int | None = None,
) -> Iterator[Tokens]:
    """Tokens of each batch of images, on ``grid``, while the next batches are being decoded.

    Args:
        backbone: any object with ``get_tokens``; a module works in eval mode and is put back afterwards.
        load: index to image (3, H, W).
        batches: indices, batch by batch.
        grid: height and width of the token maps.
        resize: see :meth:`Tokens.resize`.
        device: where the backbone works; a module is moved there. None leaves it where it is.
        workers: decoding threads; None takes one per core, at most 8; 0 decodes in this thread.
    """
    layers = None
    with at_work(backbone, device) as device:
        for images in _decoded(load, batches, workers, pin=device.type == "cuda"):
            with torch.no_grad():  # not around the loop: a generator would leave it on for whoever iterates
                output = backbone.get_tokens(images.to(device, non_blocking=True))
                tokens = check_tokens(output, len(images), layers)
                layers = tokens.layers
                # pooling and packing are several times faster where the channels of a token lie side by side
                tokens = tokens.map(lambda v: v.contiguous(memory_format=torch.channels_last) if v.ndim == 4 else v)
                tokens = tokens.resize(grid, resize)
            yield tokens


def _decoded(
    load: Callable[[int], Tensor], batches: Iterable[Sequence[int]], workers: int | None, pin: bool
) -> Iterator[Tensor]:
    def stack(images: list[Tensor]) -> Tensor:
        shapes = {tuple(image.shape) for image in images}
        if len(shapes) > 1:
            raise ValueError(f"images of one batch differ in size: {sorted(shapes)}; let a Preprocessing resize them")
        batch = torch.stack(images)
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

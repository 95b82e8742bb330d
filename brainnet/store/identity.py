"""What stored tokens were made from: a fingerprint of backbone, preprocessing and stimuli, field by field."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, NamedTuple
from weakref import ref

import torch
from torch import Tensor, nn

from brainnet._checks import warn_once
from brainnet._files import array_digest, sha256, weights_digest
from brainnet._work import at_work
from brainnet.stimuli import signature_of, stimuli_of
from brainnet.tokens import Preprocessing, Tokens, check_tokens

PROBE_SIZES = (224, 128, 64, 32)  # pixels a side of the probe stimuli, where the backbone does not say its own
PROBE_DIGITS = 4  # kept of what a backbone gives for them: fewer threads or another machine change the last ones

_known: ContextVar[dict[int, tuple[ref, dict[str, str]]] | None] = ContextVar("known fingerprints", default=None)


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
    hashed: its state dict where it is a module. Where it is not, it is asked for the tokens of fixed probe stimuli,
    since what changes them (a number, a line of code) may be anywhere; the modules among its attributes count too.

    >>> sorted(fingerprint_of(torch.nn.Linear(2, 2)))
    ['name', 'weights']
    """
    known = _known.get()
    whose, fields = (known or {}).get(id(backbone), (None, {}))
    if whose is None or whose() is not backbone:
        fields = _fingerprint(backbone)
        if known is not None:
            with suppress(TypeError):  # an object that has no room for a weak reference is asked every time
                known[id(backbone)] = (ref(backbone), fields)
    return dict(fields) if preprocessing is None else {**fields, "preprocessing": str(preprocessing)}


@contextmanager
def backbones_unchanged() -> Iterator[None]:
    """Within the block nobody changes a backbone, so :func:`fingerprint_of` hashes the weights of each only once.

    For a command, whose networks are its own. Elsewhere weights are hashed at every call, since a user may change them
    between two.

    >>> backbone = torch.nn.Linear(2, 1)
    >>> with backbones_unchanged():
    ...     first = fingerprint_of(backbone)
    ...     torch.nn.init.zeros_(backbone.weight)[0, 0].item(), fingerprint_of(backbone) == first
    (0.0, True)
    >>> fingerprint_of(backbone) == first    # outside the block the change is seen
    False
    """
    token = _known.set({})
    try:
        yield
    finally:
        _known.reset(token)


def _fingerprint(backbone: Any) -> dict[str, str]:
    if callable(getattr(backbone, "fingerprint", None)):
        fields = {str(k): str(v) for k, v in backbone.fingerprint().items()}
    else:
        kind = type(backbone)
        fields = {"name": f"{kind.__module__}.{kind.__qualname__}", "weights": _weights(backbone)}
    layers = getattr(backbone, "layers", None)
    if layers:
        fields.setdefault("layers", ",".join(map(str, layers)))
    return fields


def _weights(backbone: Any) -> str:
    if isinstance(backbone, nn.Module):
        return weights_digest(backbone)
    modules = [value for value in getattr(backbone, "__dict__", {}).values() if isinstance(value, nn.Module)]
    behaviour = _behaviour(backbone)
    if behaviour is None and not modules:
        return "unknown"
    return sha256(*map(weights_digest, modules), behaviour or "")


def _behaviour(backbone: Any) -> str | None:
    """What a backbone gives for two fixed stimuli, a few numbers a layer; None where it takes none of their sizes."""
    own = getattr(getattr(backbone, "preprocessing", None), "size", None)
    for size in [tuple(own)] if own is not None else [(side, side) for side in PROBE_SIZES]:
        generator = torch.Generator().manual_seed(0)
        stimuli = torch.randn(2, 3, *size, generator=generator)
        try:
            with at_work(backbone) as device, torch.no_grad():
                tokens = check_tokens(backbone.get_tokens(stimuli.to(device)), 2)
        except Exception:  # of a network that takes images of another size, in whatever words
            continue
        return str([(layer, *_projections(tokens, layer)) for layer in tokens.layers])
    return None


def _projections(tokens: Tokens, layer: str) -> list[str]:
    """Shape of a layer's tokens, and their sums with random signs, to a few digits of the tokens' own size."""
    found = []
    for values in (tokens.local[layer], tokens.global_[layer]):
        flat = values.detach().double().cpu().flatten()
        signs = torch.randint(0, 2, (3, len(flat)), generator=torch.Generator().manual_seed(1)).double() * 2 - 1
        norm = float(flat.norm())
        shares = (signs @ flat / norm if norm else torch.zeros(3, dtype=torch.float64)).tolist()
        found.append(f"{tuple(values.shape)} {norm:.{PROBE_DIGITS}g} {[round(s, PROBE_DIGITS - 1) for s in shares]}")
    return found


class Source(NamedTuple):
    """What a store is built of, whatever it was given as: names, a function from index to tensor, and an identity.

    ``signature`` stands for all the pixels: a digest of all bytes of every file, or of all pixels of what is in memory.
    """

    ids: list[str]
    load: Callable[[int], Tensor]
    preprocessing: str
    signature: str

    @classmethod
    def read(cls, images: Any, backbone: Any, preprocessing: Preprocessing | None) -> Source:
        """``images`` as a response dataset, a set of stimuli or whatever makes one, or a tensor (n, 3, H, W).

        A backbone says by ``reads`` of which kind its stimuli are; those of one that does not are images.

        Raises:
            TypeError, ValueError, FileNotFoundError: none of these.
        """
        kind = getattr(backbone, "reads", "image")
        if isinstance(images, Tensor) and kind == "image":
            if images.ndim != 4 or images.shape[1] != 3:
                raise ValueError(f"an image tensor is (n, 3, H, W), already preprocessed; got {tuple(images.shape)}")
            if preprocessing is not None:
                raise ValueError("an image tensor is taken as preprocessed already; leave preprocessing out")
            ids = [str(i) for i in range(len(images))]
            return cls(ids, lambda i: images[i].float(), "as given", array_digest(images))
        images = stimuli_of(images, kind)
        chosen = choose_preprocessing(images, backbone, preprocessing)
        ids = [str(name) for name in images.image_ids]
        if callable(getattr(images, "signature", None)):
            signature = images.signature()
        else:
            signature = signature_of(images.load_image(i) for i in range(len(ids)))
        return cls(ids, lambda i: images.image(i, chosen), str(chosen), signature)

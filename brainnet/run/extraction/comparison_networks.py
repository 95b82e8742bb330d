"""The networks of a comparison: which they are, and what stays of each, a vector of distances for every layer.

A network is built, asked and let go. Its tokens lie in a file until all its layers are done; the distances of every
layer stay, sealed with what they were made from, so that a comparison that was cut short goes on where it stopped.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from brainnet._checks import check_word, nearest
from brainnet._files import plain, read_json, read_sealed, sha256, slug, write_json, write_sealed
from brainnet._work import at_work, device_of
from brainnet._work import progress as progress_bar
from brainnet.backbone.adjusted import adjusted_of
from brainnet.backbone.modules import choose_layers
from brainnet.rsa import COMPARISONS, DISTANCES, rdm
from brainnet.rsa.streaming import STREAMED
from brainnet.run.forecast import WRITING, Forecast, Probe, chunk_bytes, images_done, rdm_seconds
from brainnet.stimuli import stimuli_of
from brainnet.store import TokenStore, fingerprint_of
from brainnet.store.identity import Source
from brainnet.tokens import POOLS, Backbone

METRICS = ("rdm", "cka", "procrustes")
BLOCK_BYTES = 2**28  # of features of a layer, and of distances of several layers, that are in memory at a time
ROWS = 256  # images read at a time
TOKENS, DONE = "tokens.bin", ".layers.json"


class Measure(NamedTuple):
    """What two layers are compared by: a distance between images, how two vectors of these are compared, its name."""

    metric: str
    distance: str
    comparison: str
    scale: str

    @classmethod
    def of(cls, metric: str, dissimilarity: str, correlation: str) -> Measure:
        """The measure of a metric; CKA and Procrustes follow from squared Euclidean distances."""
        check_word("metric", metric, METRICS)
        if metric == "rdm":
            DISTANCES[dissimilarity], COMPARISONS[correlation]  # known, or refused before any work
            return cls(metric, dissimilarity, correlation, f"{correlation} of {dissimilarity} RDMs")
        return cls(metric, "sqeuclidean", metric, "CKA" if metric == "cka" else "Procrustes similarity")

    @property
    def dtype(self) -> torch.dtype:
        """Of the distances: the roots of small eigenvalues need more than single precision."""
        return torch.float32 if self.metric == "rdm" else torch.float64

    def settings(self) -> dict[str, str]:
        """What a run card says."""
        told = {"dissimilarity": self.distance, "correlation": self.comparison} if self.metric == "rdm" else {}
        return {"metric": self.metric, **told}


@dataclass(frozen=True)
class How:
    """How the networks of a comparison are asked, and where what they give lies.

    Args:
        place: a folder.
        measure: what two layers are compared by.
        pool, grid, batch_size, device, progress: see ``compare_models``.
        say: called with a network's name, the network and the images before it is asked.
    """

    place: Path
    measure: Measure
    pool: str
    grid: tuple[int, int] | None
    batch_size: int
    device: torch.device
    progress: bool
    say: Callable[[str, Any, Any], None] = lambda *_: None

    @classmethod
    def of(
        cls,
        place: Path,
        *,
        metric: str = "rdm",
        dissimilarity: str = "correlation",
        correlation: str = "spearman",
        pool: str = "flatten",
        grid: tuple[int, int] | None = None,
        batch_size: int = 16,
        device: str | torch.device | None = None,
        progress: bool = True,
    ) -> How:
        """The same from the words of ``compare_models``, which are known or refused."""
        measure = Measure.of(metric, dissimilarity, correlation)
        check_word("pool", pool, POOLS)
        return cls(place, measure, pool, grid, batch_size, device_of(device), progress)

    def settings(self) -> dict[str, Any]:
        """What a run card says."""
        asked = {name: getattr(self, name) for name in ("pool", "grid", "batch_size")}
        return {**self.measure.settings(), **asked, "device": str(self.device)}


class Planned(NamedTuple):
    """A network that is to be asked: its name, how it is had, and its layers."""

    label: str
    backbone: str | Backbone
    layers: list[str | int] | None
    options: Mapping[str, Any]


class Distances(NamedTuple):
    """A layer's distances between images, (n_pairs,) in a sealed file; and the network's fingerprint."""

    model: str
    layer: str
    file: Path
    ids: tuple[str, ...]
    fingerprint: Mapping[str, str]


def plan(backbones: Any, layers: Any, options: Mapping[str, Any]) -> list[Planned]:
    """The networks by name, and the layers wanted of each; networks with options of their own come planned."""
    if isinstance(backbones, Sequence) and backbones and all(isinstance(one, Planned) for one in backbones):
        return list(backbones)
    if isinstance(backbones, str) or callable(getattr(backbones, "get_tokens", None)):
        backbones = [backbones]
    given = list(backbones.items() if isinstance(backbones, Mapping) else ((None, one) for one in backbones))
    texts = [one.partition("=")[0] for _, one in given if isinstance(one, str)]
    named = [(label or _name_of(one, texts), one) for label, one in given]
    labels = [label for label, _ in named]
    if not labels:
        raise ValueError("there is no network to compare: name at least one.")
    for label, one in named:
        if not isinstance(one, str) and not callable(getattr(one, "get_tokens", None)):
            raise TypeError(f"a backbone is a name or an object with get_tokens, got {type(one).__name__}.")
        if labels.count(label) > 1:
            raise ValueError(f"two networks are called {label!r}: give them names, a mapping of name to network.")
    if options and not texts:
        raise ValueError(f"{', '.join(options)} are of networks named by text; build yours with them.")
    if isinstance(layers, Mapping):
        for name in layers:
            if name not in labels:
                close = nearest(name, labels)
                hint = f" Did you mean {close!r}?" if close else ""
                raise ValueError(f"layers of {name!r}, which is no network here.{hint} Here are {', '.join(labels)}.")
    wanted = layers if isinstance(layers, Mapping) else dict.fromkeys(labels, layers)
    return [Planned(label, one, _listed(wanted.get(label)), options) for label, one in named]


def _name_of(backbone: str | Backbone, texts: Sequence[str]) -> str:
    """What a network is called: of a text without its weights, where that tells it from the others."""
    if not isinstance(backbone, str):
        return str(getattr(backbone, "name", type(backbone).__name__))
    name, _, weights = backbone.partition("=")
    return name if texts.count(name) == 1 else f"{name}={Path(weights).stem or 'default'}"


def _listed(layers: Any) -> list[str | int] | None:
    return None if layers is None else [layers] if isinstance(layers, str | int) else list(layers)


def layers_by_network(layers: Sequence[str] | None, backbones: Sequence[str]) -> Any:
    """The words of ``--layer``, of which "NETWORK=LAYER" is of one network alone."""
    if not layers:
        return None
    labels = [planned.label for planned in plan(backbones, None, {})]
    common = [word for word in layers if word.rpartition("=")[0] not in labels]
    own = {name: [word.rpartition("=")[2] for word in layers if word.rpartition("=")[0] == name] for name in labels}
    return {name: [*common, *own[name]] or None for name in labels}


def distances_of(planned: Planned, stimuli: Any, how: How) -> list[Distances]:
    """Distances between the images in every layer of a network, which is let go afterwards.

    What lies in the folder already, and was made from the same network and images, is taken from there.
    """
    with _naming(planned.label):
        backbone = planned.backbone
        if isinstance(backbone, str):
            backbone = adjusted_of(backbone, planned.layers, **planned.options)
        kind = getattr(backbone, "reads", "image")
        images = stimuli_of(stimuli, kind) if isinstance(stimuli, str | Path) else stimuli
        source = Source.read(images, backbone, None)
        if len(source.ids) < 4:
            raise ValueError(f"at least 4 {kind}s are needed to compare networks, got {len(source.ids)}.")
        part = _Part(how, planned, source, backbone)
        found = part.complete()
        if found is None:
            with at_work(backbone, how.device):
                how.say(planned.label, backbone, images)
                store = TokenStore.build(
                    backbone, images, path=how.place / TOKENS, grid=how.grid, resize="shrink", dtype=torch.float32,
                    batch_size=how.batch_size, overwrite=True, progress=how.progress,
                )  # fmt: skip
            del backbone
            chosen = store.layers
            if not isinstance(planned.backbone, str):
                chosen = choose_layers(store.layers, planned.layers)
    if found is None:
        found = part.made(store, chosen)
        del store
        for file in how.place.glob(f"{TOKENS}*"):
            file.unlink(missing_ok=True)
    return found


class _Part:
    """What a comparison keeps of one network."""

    def __init__(self, how: How, planned: Planned, source: Source, backbone: Any):
        self.how, self.label, self.ids = how, planned.label, tuple(source.ids)
        layers = "its own" if planned.layers is None else " ".join(map(str, planned.layers))
        self.identity = plain({
            **fingerprint_of(backbone), "preprocessing": source.preprocessing, "images": source.signature,
            "image_ids": sha256("\n".join(source.ids)), "pool": how.pool, "grid": how.grid, "chosen layers": layers,
            "distance": how.measure.distance, "dtype": str(how.measure.dtype),
        })  # fmt: skip

    def file(self, layer: str) -> Path:
        return self.how.place / f"{slug(self.label, layer)}.npz"

    def _kept(self, layer: str) -> bool:
        return read_sealed(self.file(layer), {**self.identity, "layer": layer}) is not None

    def complete(self) -> list[Distances] | None:
        """All layers, where they were done before."""
        with suppress(OSError, ValueError):
            known = read_json(self.how.place / f"{slug(self.label)}{DONE}")
            if known.get("identity") == self.identity and all(map(self._kept, known["layers"])):
                return self._listed(known["layers"], known["fingerprint"])
        return None

    def made(self, store: TokenStore, layers: Sequence[str]) -> list[Distances]:
        """Every layer, those made that are not there; then they are complete."""
        measure, title = self.how.measure, f"{self.how.measure.metric} of {self.label}"
        for layer in progress_bar(layers, title, len(layers), self.how.progress):
            if not self._kept(layer):
                values = _distances(store, layer, self.how.pool, measure).cpu().numpy()
                write_sealed(self.file(layer), {**self.identity, "layer": layer}, {"distances": values})
        done = {"identity": self.identity, "layers": list(layers), "fingerprint": dict(store.fingerprint)}
        write_json(self.how.place / f"{slug(self.label)}{DONE}", done)
        return self._listed(layers, store.fingerprint)

    def _listed(self, layers: Sequence[str], fingerprint: Mapping[str, str]) -> list[Distances]:
        return [Distances(self.label, layer, self.file(layer), self.ids, fingerprint) for layer in layers]


def of_comparison(probe: Probe, widths: Mapping[str, int], n_images: int, how: How) -> Forecast:
    """Of one network: tokens in a file, features of a layer, distances of every layer.

    Args:
        probe: of the network.
        widths: layer -> features of an image.
        n_images: how many.
        how: of the comparison.
    """
    n, left = n_images, max(0, n_images - images_done(how.place / TOKENS))
    each, wide, tokens = how.measure.dtype.itemsize, max(max(widths.values()), 1), 4.0 * probe.layout.row * n
    features = min((4 + 2 * each) * n * wide, 3 * BLOCK_BYTES)
    geometry = rdm_seconds(n, list(widths.values()), how.measure.distance)
    return Forecast(
        memory=max(probe.worked + 2 * chunk_bytes(probe.layout, how.batch_size, n), features + 3 * each * n * n),
        disk=tokens * left / n + each * len(widths) * n * (n - 1) / 2,
        mapped=tokens,
        seconds=probe.seconds * left + 2 * tokens / WRITING + geometry,
        resident=probe.held,
    )


def what_is_kept(place: Path, n_networks: int) -> str:
    """What the folder of a comparison that was cut short holds, in words; empty where that is nothing."""
    n_done, n_images = len(list(place.glob(f"*{DONE}"))), images_done(place / TOKENS)
    kept = [f"the distances of {n_done} of {n_networks} networks"] if n_done else []
    kept += [f"the tokens of {n_images:,} images of the next one" if n_done else f"the tokens of {n_images:,} images"
             ] if n_images else []  # fmt: skip
    return " and ".join(kept)


@contextmanager
def _naming(label: str) -> Iterator[None]:
    """Says of which network an error is."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{label}: {str(error).removeprefix(f'{label}: ')}") from error


def _distances(store: TokenStore, layer: str, pool: str, measure: Measure) -> Tensor:
    """(n_pairs,) of one layer; its features come in blocks of columns where they are many."""
    n, spans = len(store), [range(i, min(i + ROWS, len(store))) for i in range(0, len(store), ROWS)]
    width = store.features(layer, pool, [0]).shape[1]
    block = max(1, BLOCK_BYTES // (n * torch.finfo(measure.dtype).bits // 8))
    if measure.distance not in STREAMED or width <= block:
        features: Any = store.features(layer, pool).to(measure.dtype)
    else:
        columns = (slice(start, start + block) for start in range(0, width, block))
        blocks = (torch.cat([store.features(layer, pool, rows)[:, part] for rows in spans]) for part in columns)
        features = (part.to(measure.dtype) for part in blocks)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*undefined for constant patterns")  # said of all layers together
        return rdm(features, measure.distance).values[0]

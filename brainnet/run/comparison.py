"""How alike networks see the same images: every layer of every network beside every other, ``brainnet compare``.

A network is built, asked and let go before the next one is built. Of a layer stays one vector of distances between
images, from which all three measures follow, so memory does not grow with the widths of the layers.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from brainnet._checks import check_word, nearest
from brainnet._files import array_digest, write_csv
from brainnet._work import at_work, device_of
from brainnet._work import progress as progress_bar
from brainnet.backbone.adjusted import adjusted_of
from brainnet.backbone.modules import choose_layers
from brainnet.rsa import COMPARISONS, DISTANCES, RDMs, compare, rdm
from brainnet.rsa.checks import few
from brainnet.rsa.streaming import STREAMED
from brainnet.run.card import Clock, opening, put_card
from brainnet.run.folder import claimed, clear
from brainnet.run.rsa_results import PACKAGES, save_figure
from brainnet.stimuli import Images
from brainnet.store import TokenStore
from brainnet.tokens import POOLS, Backbone

if TYPE_CHECKING:
    import pandas as pd

METRICS = ("rdm", "cka", "procrustes")
BLOCK_BYTES = 2**28  # of features of a layer, and of distances of several layers, that are in memory at a time
ROWS = 256  # images read at a time
TEMPORARY = ".tokens-"


def compare_models(
    backbones: Mapping[str, str | Backbone] | Iterable[str | Backbone],
    stimuli: Any,
    layers: Iterable[str | int] | Mapping[str, Iterable[str | int]] | None = None,
    *,
    metric: str = "rdm",
    dissimilarity: str = "correlation",
    correlation: str = "spearman",
    pool: str = "flatten",
    grid: tuple[int, int] | None = None,
    batch_size: int = 16,
    device: str | torch.device | None = None,
    folder: str | Path | None = None,
    progress: bool = True,
    **network: Any,
) -> pd.DataFrame:
    """How alike the layers of networks are, over the same images: a square table.

    Args:
        backbones: names, "family:variant" or "family:variant=weights", or any objects with ``get_tokens``; with names
            of your own as a mapping. Named ones are built one at a time, and let go before the next.
        stimuli: images: a folder, a zip or a list of files, a response dataset, or a tensor (n, 3, H, W) that is
            preprocessed already.
        layers: names, patterns or indices for every network; or for each by its name; None takes what each offers.
        metric: "rdm", the correlation of the layers' dissimilarity matrices; "cka", linear centred kernel alignment,
            unbiased; or "procrustes", the nuclear norm of X'Y at unit norm, how well one layer can be turned onto the
            other. All are 1 for equal geometry, and no rotation or scaling of a layer changes the last two. Procrustes
            similarity is near 1 for any two layers of more features than there are images: take many images, or pool.
        dissimilarity: of "rdm": a distance, see ``rsa.DISTANCES``.
        correlation: of "rdm": a comparison, see ``rsa.COMPARISONS``.
        pool: tokens to features: "flatten", "mean" over places, "global" or "both".
        grid: None keeps each layer's own token map; (height, width) averages larger maps down to it first.
        batch_size: images per forward pass.
        device: where networks work; "auto" and None are CUDA where there is one, then mps, then the CPU.
        folder: where a network's tokens lie while it is asked, in a file that is gone afterwards; by default the
            system's place for such files.
        progress: show progress bars.
        network: of networks that are named: ``seed`` of random weights, ``precision``, ``image_size``, and whatever
            their family takes besides.

    Returns:
        (n_layers, n_layers), symmetric, 1 on the diagonal; rows and columns are couples (model, layer). NaN, with a
        warning, for a layer that gives the same for every image. ``table.attrs["scale"]`` says what the numbers are.

    Raises:
        ValueError: an unknown network, layer, metric, distance or comparison; two networks of one name; fewer than
            four images.

    >>> images = torch.rand(6, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    >>> table = compare_models(["expansion:small"], images, ["1", "3"], metric="cka", progress=False)
    >>> [" ".join(row) for row in table.index], float(table.iloc[0, 0])
    (['expansion:small 1', 'expansion:small 3'], 1.0)
    """
    how = {"pool": pool, "grid": grid, "batch_size": batch_size, "device": device_of(device), "progress": progress}
    measure = Measure.of(metric, dissimilarity, correlation)
    check_word("pool", pool, POOLS)
    networks = _plan(backbones, layers, {name: value for name, value in network.items() if value is not None})
    with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=folder) as place:
        found = [_distances_of(one, stimuli, measure, Path(place), how) for one in networks]
        return _matrix([row for rows in found for row in rows], measure)


def write_comparison(
    source: str | Path,
    out: str | Path,
    backbones: Sequence[str],
    *,
    layers: Sequence[str] | None = None,
    sort: bool = False,
    metric: str = "rdm",
    dissimilarity: str = "correlation",
    correlation: str = "spearman",
    **how: Any,
) -> pd.DataFrame:
    """:func:`compare_models` as ``similarity.csv``, a heat map and a run card.

    Args:
        source: pictures: a folder or a zip.
        out: folder of the results.
        backbones: "family:variant", or "family:variant=weights".
        layers: names or patterns of layers, for every network; "NETWORK=LAYER" for one of them.
        sort: draw alike layers together.
        metric, dissimilarity, correlation, how: see :func:`compare_models`.

    Returns:
        The square table.
    """
    from brainnet import plot

    clock, images = Clock(), Images.of(source)
    with claimed(out, "compare") as out:
        clear(out, [f"{TEMPORARY}*"])
        measured = {"metric": metric, "dissimilarity": dissimilarity, "correlation": correlation}
        table = compare_models(backbones, images, _layers_by_network(layers, backbones), folder=out, **measured, **how)
        clock.lap("networks")
        write_csv(out / "similarity.csv", couples_of(table))
        save_figure(plot.similarity_matrix(table, sort=sort), out / "similarity.png")
        clock.lap("files and figures")
        card = {
            **opening("compare", (*PACKAGES, "torchvision", "timm", "open_clip_torch", "transformers")),
            "source": {"path": str(source), "networks": table.attrs["networks"]},
            "settings": {**Measure.of(**measured).settings(), **how, "layers": layers and list(layers)},
            "n_images": len(images),
            "similarity_sha256": array_digest(table.to_numpy()),
        }
        put_card(out, card, clock)
    return table


def couples_of(table: pd.DataFrame) -> pd.DataFrame:
    """The table as rows, one for each two layers, in both orders; pivoted, they are the square table again."""
    import pandas as pd

    keys = list(table.index)
    rows = [(*a, *b, table.iat[i, j]) for i, a in enumerate(keys) for j, b in enumerate(keys)]
    return pd.DataFrame(rows, columns=["model_a", "layer_a", "model_b", "layer_b", "similarity"])


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


class Planned(NamedTuple):
    """A network that is to be asked: its name, how it is had, and its layers."""

    label: str
    backbone: str | Backbone
    layers: list[str | int] | None
    options: Mapping[str, Any]


class Distances(NamedTuple):
    """A layer's distances between images, in a file: (n_pairs,); and the network's fingerprint."""

    model: str
    layer: str
    file: Path
    ids: tuple[str, ...]
    fingerprint: Mapping[str, str]


def _plan(backbones: Any, layers: Any, options: Mapping[str, Any]) -> list[Planned]:
    """The networks by name, and the layers wanted of each."""
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


def _layers_by_network(layers: Sequence[str] | None, backbones: Sequence[str]) -> Any:
    """The words of ``--layer``, of which "NETWORK=LAYER" is of one network alone."""
    if not layers:
        return None
    labels = [planned.label for planned in _plan(backbones, None, {})]
    common = [word for word in layers if word.rpartition("=")[0] not in labels]
    own = {name: [word.rpartition("=")[2] for word in layers if word.rpartition("=")[0] == name] for name in labels}
    return {name: [*common, *own[name]] or None for name in labels}


def _distances_of(
    planned: Planned, stimuli: Any, measure: Measure, place: Path, how: Mapping[str, Any]
) -> list[Distances]:
    """Distances between the images in every layer of a network, which is let go afterwards."""
    with _store_of(planned, stimuli, place, how) as store:
        if len(store) < 4:
            raise ValueError(f"at least 4 images are needed to compare networks, got {len(store)}.")
        chosen = store.layers
        if not isinstance(planned.backbone, str):
            with _naming(planned.label):
                chosen = choose_layers(store.layers, planned.layers)
        found = []
        for layer in progress_bar(chosen, f"{measure.metric} of {planned.label}", len(chosen), how["progress"]):
            values = _distances(store, layer, how["pool"], measure)
            file = place / f"{len(list(place.iterdir()))}.npy"
            np.save(file, values.cpu().numpy())
            found.append(Distances(planned.label, layer, file, tuple(store.image_ids), store.fingerprint))
    return found


@contextmanager
def _store_of(planned: Planned, stimuli: Any, place: Path, how: Mapping[str, Any]) -> Iterator[TokenStore]:
    """The tokens of one network in a file, which is gone afterwards."""
    with _naming(planned.label):
        backbone = planned.backbone
        if isinstance(backbone, str):
            backbone = adjusted_of(backbone, planned.layers, **planned.options)
        with at_work(backbone, how["device"]):
            images = Images(stimuli) if isinstance(stimuli, str | Path) else stimuli
            store = TokenStore.build(
                backbone, images, path=place / "tokens.bin", grid=how["grid"], resize="shrink", dtype=torch.float32,
                batch_size=how["batch_size"], progress=how["progress"],
            )  # fmt: skip
    del backbone
    try:
        yield store
    finally:
        del store
        for file in place.glob("tokens.bin*"):
            file.unlink(missing_ok=True)


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


def _matrix(rows: Sequence[Distances], measure: Measure) -> pd.DataFrame:
    """The square table."""
    import pandas as pd

    if any(row.ids != rows[0].ids for row in rows):
        raise ValueError("the networks saw different images.")
    labels = pd.MultiIndex.from_tuples([(row.model, row.layer) for row in rows], names=["model", "layer"])
    table = pd.DataFrame(np.nan, labels, labels)
    defined = [i for i, row in enumerate(rows) if not np.isnan(np.load(row.file, allow_pickle=False)).any()]
    if len(defined) < len(rows):
        names = [f"{row.model} {row.layer}" for i, row in enumerate(rows) if i not in set(defined)]
        warnings.warn(
            f"{measure.distance} distance is undefined for some images in {few(names)}, which give the same number "
            'everywhere for them; their rows are NaN. dissimilarity="euclidean" is defined there.',
            stacklevel=3,
        )
    if defined:
        table.iloc[defined, defined] = _similarities([rows[i] for i in defined], measure)
    table.attrs["scale"] = measure.scale
    table.attrs["networks"] = {row.model: dict(row.fingerprint) for row in rows}
    return table


def _similarities(rows: Sequence[Distances], measure: Measure) -> np.ndarray:
    """(n_layers, n_layers), of some layers at a time."""
    n = len(rows)
    step = max(1, BLOCK_BYTES // rows[0].file.stat().st_size)
    if measure.metric == "procrustes":
        step = 1  # it costs far more than it takes to read the rest again, and the other half follows
    values = np.full((n, n), np.nan)
    for i in range(0, n, step):
        first = _read(rows[i : i + step], measure)
        for j in range(i, n, step):
            second = first if i == j else _read(rows[j : j + step], measure)
            part = compare(first, second, measure.comparison).double().cpu().numpy()
            values[i : i + step, j : j + step] = part
            values[j : j + step, i : i + step] = part.T
    values = (values + values.T) / 2
    equal = np.isclose(values.diagonal(), 1, atol=1e-4)  # but for rounding it is 1, of what is 1 for equal ones
    np.fill_diagonal(values, np.where(equal, 1.0, values.diagonal()))
    return values


def _read(rows: Sequence[Distances], measure: Measure) -> RDMs:
    values = torch.stack([torch.from_numpy(np.load(row.file, allow_pickle=False)) for row in rows])
    return RDMs(values, measure.distance, [f"{row.model} {row.layer}" for row in rows])

"""RDMs of a network's layers, or of features in files: the command ``brainnet rdm``."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from brainnet._files import array_digest, reading, write_csv
from brainnet._work import at_work, device_of
from brainnet._work import progress as progress_bar
from brainnet.backbone.adjusted import adjusted_of
from brainnet.features.layouts import Entries, Parts, entries_of, read_net2brain
from brainnet.rsa import RDMs, rdm
from brainnet.rsa.files import read_array
from brainnet.rsa.pairs import pairs_of
from brainnet.run.extraction.feature_files import FORMATS, read_features
from brainnet.run.forecast import announced, of_rdms, probe_tokens, widths_of
from brainnet.run.record.card import Clock, opening, put_card
from brainnet.run.record.claiming import claimed
from brainnet.run.rsa.results import PACKAGES, save_figure
from brainnet.run.stimuli import card_of_pictures, readable_pictures, stimuli_for
from brainnet.stimuli import natural_sort
from brainnet.store import TokenStore

if TYPE_CHECKING:
    import pandas as pd


def write_rdms(
    source: Any,
    out: str | Path,
    *,
    backbone: str | None = None,
    layers: Iterable[str] | None = None,
    metric: str = "correlation",
    pool: str = "flatten",
    grid: tuple[int, int] | None = None,
    batch_size: int = 16,
    device: str | None = None,
    skip_bad: bool = False,
    force: bool = False,
    progress: bool = True,
    **network: Any,
) -> RDMs:
    """RDMs of a network's layers, or of features in files, as ``rdms.npz``, ``rdms.csv``, figures and a run card.

    Args:
        source: with ``backbone`` pictures, whatever :class:`~brainnet.stimuli.Images` reads, or such a set, or the
            texts, sounds or videos that the network reads. Without it a token store; a feature file (``.npy``, or
            ``.npz`` with one entry per condition); or a folder of feature files, one per layer.
        out: folder of the results.
        backbone: name of the network that looks at the pictures, such as "torchvision:squeezenet1_0"; its own weights
            follow an equals sign, "torchvision:squeezenet1_0=weights.npz".
        layers: which; all by default.
        metric: distance, see ``DISTANCES``; one of your own is named by its file, "mine.py:chebyshev".
        pool: how a network's tokens become features, one of ``brainnet.tokens.POOLS``.
        grid: None keeps each layer's own token map; a pair (height, width) averages larger maps down to it first, and
            no map grows, as in :func:`brainnet.run.extraction.extraction.extract_features`.
        batch_size: pictures per forward pass.
        device: where the network works: "auto" and None are CUDA where there is one, then mps, then the CPU.
        skip_bad: leave out pictures that cannot be read, and list them in the card.
        force: begin also what the forecast says does not fit.
        progress: show progress bars.
        network: of a network: ``seed`` of random weights, ``precision`` ("fp32", "bf16", "fp16"), ``image_size``
            (height, width) in pixels, and whatever its family takes besides.

    Returns:
        One RDM per layer; also in ``rdms.npz``.

    Raises:
        ValueError: an unknown network, layer, metric, pool or device, or options of a network where there is none.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> np.save(folder / "fc.npy", np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]]))
    >>> write_rdms(folder / "fc.npy", folder / "out", metric="euclidean", progress=False).values.tolist()
    [[3.0, 4.0, 5.0]]
    >>> sorted(path.name for path in (folder / "out").iterdir())
    ['rdms.csv', 'rdms.npz', 'rdms.png', 'rdms.svg', 'run.json']
    """
    clock, place = Clock(), device_of(device)
    network = {name: value for name, value in network.items() if value is not None}
    if backbone is None and (network or skip_bad or device is not None):
        said = next(iter(network), "skip-bad" if skip_bad else "device").replace("_", "-")
        raise ValueError(f"--{said} is of a network that looks at pictures: name it by --backbone.")
    forecast = None
    with claimed(out, "rdm") as out:
        wanted = None if layers is None else list(layers)
        if backbone is not None:
            named = adjusted_of(backbone, wanted, **network)
            images = readable_pictures(stimuli_for(named, source, skip_bad), skip_bad, progress=progress)
            how = {"grid": grid, "resize": "shrink", "batch_size": batch_size}
            with at_work(named, place):
                probe = probe_tokens(named, images, **how)
                if probe is not None:
                    forecast = of_rdms(probe, widths_of(probe.layout, pool), len(images), metric, _letters(images.ids))
                    forecast = announced(forecast.after(clock.elapsed()), out, force)
                store = TokenStore.build(named, images, dtype=torch.float32, progress=progress, **how)
            features, conditions = _of_store(store, pool, None), images.ids
            origin = {**card_of_pictures(images), "backbone": backbone, "fingerprint": store.fingerprint}
        else:
            features, conditions, origin, (n, widths) = _features(Path(source), wanted, pool)
            forecast = of_rdms(None, widths, n, metric, _letters(conditions or [str(i) for i in range(n)]))
            forecast = announced(forecast.after(clock.elapsed()), out, force)
        clock.lap("features")
        found = [
            rdm(_rows(value()), metric, conditions=conditions, names=[name])
            for name, value in progress_bar(list(features.items()), "RDMs", len(features), progress)
        ]
        rdms = RDMs.stack(found)
        clock.lap("RDMs")
        _write_files(rdms, out)
        clock.lap("files and figures")
        card = {
            **opening("rdm", PACKAGES),
            "source": {"path": str(source), **origin},
            "settings": {"metric": metric, "pool": pool, "grid": "native" if grid is None else list(grid),
                         "layers": list(rdms.names), **network},
            "n_conditions": rdms.n_conditions,
            "rdms_sha256": array_digest(rdms.values),
            "forecast": None if forecast is None else forecast.of_card(),
        }  # fmt: skip
        put_card(out, card, clock)
    return rdms


def _letters(names: Sequence[str]) -> float:
    """The mean length of names."""
    return sum(map(len, names)) / len(names) if names else 0.0


def _features(
    source: Path, wanted: Sequence[str] | None, pool: str
) -> tuple[dict[str, Any], Sequence[str] | None, dict[str, Any], tuple[int, dict[str, int]]]:
    """Layer -> a function that reads its features; the names of the conditions; where they came from; their sizes."""
    if source.is_dir() or source.suffix in FORMATS:
        found = _feature_files(source)
    else:
        store = TokenStore.open(source)
        widths = widths_of(store.layout, pool)
        return _of_store(store, pool, wanted), store.image_ids, {"fingerprint": store.fingerprint}, (len(store), widths)
    chosen = {name: found[name] for name in _known(wanted or list(found), found)}
    conditions = {name: part[1] for name, part in chosen.items()}
    first = next(iter(conditions.values()))
    if any(other != first for other in conditions.values()):
        raise ValueError(f"the feature files in {source} name different conditions; every layer needs the same.")
    listed = source / "images.txt"
    if first is None and listed.is_file():
        first = tuple(listed.read_text(encoding="utf-8").splitlines())
    shapes = {name: np.shape(part[0]) for name, part in chosen.items()}
    sizes = max(shape[0] for shape in shapes.values()), {name: math.prod(shape[1:]) for name, shape in shapes.items()}
    return {name: (lambda a=part[0]: a) for name, part in chosen.items()}, first, {"files": list(chosen)}, sizes


def _of_store(store: TokenStore, pool: str, wanted: Sequence[str] | None) -> dict[str, Any]:
    return {name: (lambda n=name: store.features(n, pool)) for name in _known(wanted or store.layers, store.layers)}


def _known(wanted: Sequence[str], known: Iterable[str]) -> Sequence[str]:
    missing = [name for name in wanted if name not in set(known)]
    if missing:
        raise ValueError(f"no layer {missing[0]!r}; there are {', '.join(known)}.")
    return wanted


def _feature_files(source: Path) -> dict[str, tuple[Any, tuple[str, ...] | None]]:
    """Layer -> features (n_conditions, ...) and the names of the rows, of a folder or a file.

    Arrays without a word on what they are may name their conditions by entries; all else is read as for an encoding.
    """
    plain = [source] if source.is_file() else [path for path in source.iterdir() if path.suffix in (".npy", ".npz")]
    if plain and all(path.suffix in (".npy", ".npz") for path in plain) and not _says_more(source):
        names = natural_sort(path.name for path in plain)
        return {Path(name).stem: _feature_file(plain[0].with_name(name)) for name in names}
    try:
        files = read_features(source)
    except FileNotFoundError as error:
        hint = " For a folder of pictures name the network: --backbone." if source.is_dir() else ""
        raise FileNotFoundError(f"{error}{hint}") from None
    ids = None if files.ids is None else tuple(files.ids)
    return {layer: (rows, ids) for layer, rows in files.layers.items()}


def _says_more(source: Path) -> bool:
    """Whether features have a run card, are of another tool, or have the names of their rows in the file."""
    if source.is_file():
        return (source.parent / "run.json").is_file() or (source.suffix == ".npz" and "images" in entries_of(source))
    return (source / "run.json").is_file() or read_net2brain(source) is not None


def _feature_file(path: Path) -> tuple[np.ndarray, tuple[str, ...] | None]:
    """Features (n_conditions, ...) and the names of the rows where the file has one entry for each."""
    if path.suffix == ".npy":
        return read_array(path), None
    with reading(path, "archive of arrays"), np.load(path, allow_pickle=False) as loaded:
        arrays = {name: loaded[name] for name in loaded.files}
    if len(arrays) == 1:
        return next(iter(arrays.values())), None
    if len({array.shape for array in arrays.values()}) != 1:
        raise ValueError(
            f"{path.name} holds arrays of different shapes; expected one array (n_conditions, n_features), or one entry"
            " per condition, all of one shape."
        )
    names = natural_sort(arrays)
    return np.stack([arrays[name] for name in names]), tuple(names)


def _rows(features: Any) -> Tensor:
    tensor = torch.as_tensor(np.array(features[:]) if isinstance(features, Entries | Parts | np.memmap) else features)
    if tensor.ndim < 2:
        raise ValueError(f"features must be (n_conditions, n_features), got {tuple(tensor.shape)}.")
    return tensor.flatten(1)


def _write_files(rdms: RDMs, out: Path) -> None:
    rdms.save(out / "rdms.npz")
    write_csv(out / "rdms.csv", _pair_table(rdms))
    _draw_geometry(rdms, out)


def _pair_table(rdms: RDMs) -> pd.DataFrame:
    import pandas as pd

    rows, columns = (index.numpy() for index in pairs_of(rdms.n_conditions))
    names = np.asarray(rdms.conditions or [str(i) for i in range(rdms.n_conditions)])
    values = dict(zip(rdms.names, rdms.values.cpu().numpy(), strict=True))
    return pd.DataFrame({"condition_a": names[rows], "condition_b": names[columns], **values})


def _draw_geometry(rdms: RDMs, out: Path) -> None:
    from brainnet import plot

    shown = RDMs(rdms.values[:12], rdms.metric, rdms.names[:12])
    save_figure(plot.rdms(shown, kind="layer"), out / "rdms.png")
    if len(rdms) > 1 and rdms.n_conditions > 2:
        save_figure(plot.model_similarity(rdms, title="Similarity of layers"), out / "layers.png")

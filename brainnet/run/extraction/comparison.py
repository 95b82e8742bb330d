"""How alike networks see the same images: every layer of every network beside every other, ``brainnet compare``.

A network is built, asked and let go before the next one is built. Of a layer stays one vector of distances between
images, from which all three measures follow, so memory does not grow with the widths of the layers.
"""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from brainnet._files import array_digest, write_csv
from brainnet._registry import options_of
from brainnet._work import duration, says_progress
from brainnet._work import progress as progress_bar
from brainnet.dataset import ResponseDataset
from brainnet.rsa import RDMs, compare
from brainnet.rsa.checks import few
from brainnet.run.extraction.comparison_networks import (
    BLOCK_BYTES,
    Distances,
    How,
    Measure,
    Planned,
    distances_of,
    layers_by_network,
    of_comparison,
    plan,
    what_is_kept,
)
from brainnet.run.forecast import (
    LEAST_SAID,
    Forecast,
    announced,
    probe_tokens,
    timed,
    widths_of,
)
from brainnet.run.record.card import Clock, opening, put_card
from brainnet.run.record.claiming import claimed, clear, stoppable
from brainnet.run.rsa.results import PACKAGES, save_figure
from brainnet.run.stimuli import card_of_pictures, readable_pictures, stimuli_for
from brainnet.store.identity import backbones_unchanged
from brainnet.tokens import Backbone

if TYPE_CHECKING:
    import pandas as pd

TEMPORARY = ".tokens-"  # the name of a folder begins so, which is gone afterwards
KEPT, CHECKED = ".networks", "checked.json"  # what a comparison that was cut short leaves for the next


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
            preprocessed already. Texts, sounds or videos where all networks read them.
        layers: names, patterns or indices for every network; or for each by its name; None takes what each offers.
        metric: "rdm", the correlation of the layers' dissimilarity matrices; "cka", linear centered kernel alignment,
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
    asked = {"metric": metric, "dissimilarity": dissimilarity, "correlation": correlation, "pool": pool, "grid": grid,
             "batch_size": batch_size, "device": device, "progress": progress}  # fmt: skip
    how = How.of(Path(), **asked)
    networks = plan(backbones, layers, {name: value for name, value in network.items() if value is not None})
    with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=folder) as temporary, backbones_unchanged():
        how = replace(how, place=Path(temporary))
        return _matrix([row for one in networks for row in distances_of(one, stimuli, how)], how)


def write_comparison(
    source: Any,
    out: str | Path,
    backbones: Sequence[str] | Sequence[Planned],
    *,
    layers: Sequence[str] | None = None,
    sort: bool = False,
    skip_bad: bool = False,
    force: bool = False,
    **how: Any,
) -> pd.DataFrame:
    """:func:`compare_models` as ``similarity.csv``, a heat map and a run card.

    Goes on where an interrupted call with the same arguments stopped: networks that were done are not asked again.

    Args:
        source: pictures: whatever :class:`~brainnet.stimuli.Images` reads, such a set, or a response dataset; texts,
            sounds or videos where the networks read them.
        out: folder of the results.
        backbones: "family:variant", or "family:variant=weights"; or each with its label, layers and options.
        layers: names or patterns of layers, for every network; "NETWORK=LAYER" for one of them.
        sort: draw alike layers together.
        skip_bad: leave out pictures that cannot be read, and list them in the card. By default the first one ends the
            call.
        force: begin also what the forecast of a network says does not fit.
        how: ``metric``, ``dissimilarity``, ``correlation``, ``pool``, ``grid``, ``batch_size``, ``device``,
            ``progress`` and options of the networks, see :func:`compare_models`.

    Returns:
        The square table.

    Raises:
        MemoryError, OSError: more memory or disk is needed than is free, without ``force``.
        Interrupted: ctrl-C or SIGTERM; the message says what is kept.
    """
    from brainnet import plot

    clock, out = Clock(), Path(out)
    asked = {name: how.pop(name) for name in options_of(How.of) if name in how}
    options = {name: value for name, value in how.items() if value is not None}
    how = How.of(out / KEPT, **asked)
    networks = plan(backbones, layers_by_network(layers, backbones), options)
    of_data = isinstance(source, ResponseDataset)  # it gives its own images
    images = source if of_data else stimuli_for(networks[0].backbone, source, skip_bad, **networks[0].options)
    with claimed(out, "compare"), backbones_unchanged():
        clear(out, [f"{TEMPORARY}*"])
        _refuse_link(how.place)
        how.place.mkdir(exist_ok=True)
        with stoppable(lambda: _what_is_kept(out, how.place, len(networks))):
            images = readable_pictures(images, skip_bad, out / CHECKED if skip_bad else None, how.progress)
            forecasts: list[Forecast] = []
            how = replace(how, say=partial(_say_forecast, how, out, force, forecasts))
            try:
                rows = [row for one in networks for row in distances_of(one, images, how)]
                clock.lap("networks")
                table = _matrix(rows, how)
            finally:
                if not what_is_kept(how.place, len(networks)):
                    shutil.rmtree(how.place, ignore_errors=True)
            clock.lap("similarities")
            write_csv(out / "similarity.csv", couples_of(table))
            save_figure(plot.similarity_matrix(table, sort=sort), out / "similarity.png")
            clock.lap("files and figures")
            card = {
                **opening("compare", (*PACKAGES, "torchvision", "timm", "open_clip_torch", "transformers")),
                "source": {**card_of_pictures(images), "networks": table.attrs["networks"]},
                "settings": {**how.settings(), **options, "layers": layers and list(layers)},
                "n_images": len(images),
                "similarity_sha256": array_digest(table.to_numpy()),
                "forecast": _of_all(forecasts),
            }
            put_card(out, card, clock)
            shutil.rmtree(how.place, ignore_errors=True)
            (out / CHECKED).unlink(missing_ok=True)
    return table


def _refuse_link(kept: Path) -> None:
    if kept.is_symlink():
        raise ValueError(f"{kept} is a link; nothing is written through links. Remove it, or choose another --out.")


def _what_is_kept(out: Path, kept: Path, n_networks: int) -> str:
    found = what_is_kept(kept, n_networks)
    found = f"{out} keeps {found}, and the same line goes on from there" if found else "nothing is kept yet"
    return f"the comparison was interrupted; {found}."


def _say_forecast(
    how: How, out: Path, force: bool, made: list[Forecast], name: str, backbone: Any, images: Any
) -> None:
    """Says the forecast of a network where it takes long, and adds it to those made."""
    probe = probe_tokens(backbone, images, grid=how.grid, resize="shrink", batch_size=how.batch_size)
    if probe is not None:
        forecast = of_comparison(probe, widths_of(probe.layout, how.pool), len(images), how)
        made.append(announced(forecast, out, force, f"forecast of {name}"))


def _of_all(forecasts: Sequence[Forecast]) -> dict[str, Any] | None:
    """The forecasts of networks that are asked one after the other, as a card keeps them; None without any."""
    if not forecasts:
        return None
    cards = [one.of_card() for one in forecasts]
    most = {name: max(card[name] for card in cards) for name in ("peak_memory_gb", "disk_gb")}
    return {**most, "seconds": round(sum(card["seconds"] for card in cards), 1)}


def couples_of(table: pd.DataFrame) -> pd.DataFrame:
    """The table as rows, one for each two layers, in both orders; pivoted, they are the square table again."""
    import pandas as pd

    keys = list(table.index)
    rows = [(*a, *b, table.iat[i, j]) for i, a in enumerate(keys) for j, b in enumerate(keys)]
    return pd.DataFrame(rows, columns=["model_a", "layer_a", "model_b", "layer_b", "similarity"])


def _matrix(rows: Sequence[Distances], how: How) -> pd.DataFrame:
    """The square table."""
    import pandas as pd

    measure = how.measure
    if any(row.ids != rows[0].ids for row in rows):
        raise ValueError("the networks saw different images.")
    labels = pd.MultiIndex.from_tuples([(row.model, row.layer) for row in rows], names=["model", "layer"])
    table = pd.DataFrame(np.nan, labels, labels)
    defined = [i for i, row in enumerate(rows) if not np.isnan(_read_one(row)).any()]
    if len(defined) < len(rows):
        names = [f"{row.model} {row.layer}" for i, row in enumerate(rows) if i not in set(defined)]
        warnings.warn(
            f"{measure.distance} distance is undefined for some images in {few(names)}, which give the same number "
            'everywhere for them; their rows are NaN. dissimilarity="euclidean" is defined there.',
            stacklevel=3,
        )
    if defined:
        table.iloc[defined, defined] = _similarities([rows[i] for i in defined], how)
    table.attrs["scale"] = measure.scale
    table.attrs["networks"] = {row.model: dict(row.fingerprint) for row in rows}
    return table


def _similarities(rows: Sequence[Distances], how: How) -> np.ndarray:
    """(n_layers, n_layers), of some layers at a time."""
    n, measure = len(rows), how.measure
    step = max(1, BLOCK_BYTES // rows[0].file.stat().st_size)
    if measure.metric == "procrustes":
        step = 1  # it costs far more than it takes to read the rest again, and the other half follows
    if n > 1 and how.progress:
        _say_pairs(rows, measure)
    values = np.full((n, n), np.nan)
    for i in progress_bar(range(0, n, step), f"Comparing {n} layers", enabled=how.progress):
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


def _say_pairs(rows: Sequence[Distances], measure: Measure) -> None:
    """How long the comparisons take, by one of them, where that is long."""
    n_pairs = len(rows) * (len(rows) + 1) // 2
    two = [_read([row], measure) for row in rows[:2]]
    seconds = n_pairs * timed(lambda: compare(*two, measure.comparison))
    if seconds >= LEAST_SAID:
        says_progress.info("forecast: at most %s for %s pairs of layers.", duration(seconds), f"{n_pairs:,}")


def _read(rows: Sequence[Distances], measure: Measure) -> RDMs:
    values = torch.stack([torch.from_numpy(_read_one(row)) for row in rows])
    return RDMs(values, measure.distance, [f"{row.model} {row.layer}" for row in rows])


def _read_one(row: Distances) -> np.ndarray:
    with np.load(row.file, allow_pickle=False) as sealed:
        return sealed["distances"]

"""RDMs of a network's layers at every time step of texts, sounds or clips: ``brainnet rdm --over-time``.

Steps are the places in time of a text or a sound, the frames of a clip (layers ``"3.t0"``, ``"3.t1"``, ...), and the
windows of several films that last equally long. A file of steps is a model of ``brainnet rsa steps``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from brainnet._files import array_digest, slug
from brainnet._work import at_work, device_of
from brainnet.backbone.adjusted import adjusted_of
from brainnet.backbone.kinds import kind_read_by
from brainnet.rsa import RDMs, by_step, compare
from brainnet.run.record.card import Clock, opening, put_card
from brainnet.run.record.claiming import claimed
from brainnet.run.rsa.results import PACKAGES, save_figure
from brainnet.run.stimuli import card_of_pictures, stimuli_for
from brainnet.store import TokenStore

FOLDER = "steps"  # a file for each layer
POOLS = ("flatten", "mean", "max")  # of the places of one step
_FRAME = re.compile(r"(.+)\.t(\d+)")  # a layer for each frame of clips
_WINDOW = re.compile(r"(.*)@(\d+(?:\.\d+)?)")  # a window of a sound or a video, and the second at which it begins


def write_step_rdms(
    source: Any,
    out: str | Path,
    *,
    backbone: str,
    layers: Iterable[str] | None = None,
    metric: str = "correlation",
    pool: str = "flatten",
    batch_size: int = 16,
    device: str | None = None,
    progress: bool = True,
    **network: Any,
) -> dict[str, RDMs]:
    """RDMs of every layer at every step, as a file ``steps/<layer>.npz`` each, a figure each, and a run card.

    Args:
        source: texts, sounds or videos, whatever the network reads, or a set of them. Of several sounds or videos in
            windows the conditions are the films, and their windows are steps too; windows of one film are conditions.
        out: folder of the results.
        backbone: name of the network. One of videos gives a layer for each frame unless ``agg_frames`` says otherwise.
        layers: which; all by default.
        metric: distance, see ``DISTANCES``.
        pool: how the places of one step become features: "flatten", or their "mean" or "max".
        batch_size: stimuli per forward pass.
        device: where the network works.
        progress: show progress bars.
        network: options of the network and of its family.

    Returns:
        Layer -> one RDM per step.

    Raises:
        ValueError: a network of images, stimuli with other windows than the first, or layers without time.
    """
    if pool not in POOLS:
        raise ValueError(f"pool is {', '.join(POOLS[:-1])} or {POOLS[-1]} over the places of one step, got {pool!r}.")
    network = {name: value for name, value in network.items() if value is not None}
    kind = kind_read_by(backbone, **network)
    if kind not in ("text", "sound", "video"):
        raise ValueError(f"{backbone} reads {kind}s, which have no time: RDMs by step are of texts, sounds and videos.")
    if kind == "video":
        network = {"agg_frames": "all", **network}
    clock, place = Clock(), device_of(device)
    with claimed(out, "rdm") as out:
        named = adjusted_of(backbone, None if layers is None else list(layers), **network)
        stimuli = stimuli_for(named, source)
        conditions, windows = windows_of(stimuli.ids)
        with at_work(named, place):
            store = TokenStore.build(
                named, stimuli, grid=None, batch_size=batch_size, dtype=torch.float32, progress=progress
            )
        clock.lap("features")
        found = {}
        for layer, columns in frames_of(store.layers).items():
            steps = torch.cat([_of_layer(store, column, pool, kind) for column in columns], 1)
            found[layer] = _rdms(steps, conditions, windows, metric)
        if all(len(rdms) == 1 for rdms in found.values()):
            raise ValueError(
                f"{backbone} gives one step in time for these stimuli: choose other layers, or another number of steps."
            )
        clock.lap("RDMs")
        _write(found, out)
        clock.lap("files and figures")
        card = {
            **opening("rdm", PACKAGES),
            "source": {"path": str(source), **card_of_pictures(stimuli), "backbone": backbone,
                       "fingerprint": store.fingerprint},
            "settings": {"metric": metric, "pool": pool, "over_time": True, "layers": list(found), **network},
            "n_conditions": len(conditions),
            "steps": {layer: list(rdms.names) for layer, rdms in found.items()},
            "rdms_sha256": {layer: array_digest(rdms.values) for layer, rdms in found.items()},
        }  # fmt: skip
        put_card(out, card, clock)
    return found


def windows_of(ids: Sequence[str]) -> tuple[list[str], list[str]]:
    """Conditions, and the windows of each, from the ids of stimuli; no windows where the ids are of no films.

    Raises:
        ValueError: a film with other windows than the first one.

    >>> windows_of(["a@0", "a@2", "b@0", "b@2"]), windows_of(["a@0", "a@2"]), windows_of(["x", "y"])
    ((['a', 'b'], ['0', '2']), (['a@0', 'a@2'], []), (['x', 'y'], []))
    """
    parts = [_WINDOW.fullmatch(name) for name in ids]
    films: dict[str, list[str]] = {}
    for part in parts:
        if part is not None:
            films.setdefault(part[1], []).append(part[2])
    if None in parts or len(films) < 2:
        return list(ids), []
    first = next(iter(films))
    for film, windows in films.items():
        if windows != films[first]:
            raise ValueError(
                f"{film!r} has {len(windows)} windows and {first!r} has {len(films[first])}: RDMs over time need the "
                "same windows of every film. Cut the films to one length."
            )
    return list(films), films[first]


def frames_of(layers: Sequence[str]) -> dict[str, list[str]]:
    """Layer to the layers of its frames, in their order; a layer that is of no frame stands for itself.

    >>> frames_of(["3.t0", "3.t1", "fc"])
    {'3': ['3.t0', '3.t1'], 'fc': ['fc']}
    """
    found: dict[str, list[str]] = {}
    for layer in layers:
        part = _FRAME.fullmatch(layer)
        found.setdefault(part[1] if part else layer, []).append(layer)
    return found


def _of_layer(store: TokenStore, layer: str, pool: str, kind: str) -> Tensor:
    """(n, n_steps, n_features) of one layer of the store; of videos it is one step."""
    if kind == "video":
        return store.features(layer, pool)[:, None]
    maps = store.features(layer, "flatten").unflatten(1, (-1, *store.grids[layer]))  # (n, C, F, T)
    maps = {"mean": lambda: maps.mean(2), "max": lambda: maps.amax(2), "flatten": lambda: maps.flatten(1, 2)}[pool]()
    return maps.transpose(1, 2)


def _rdms(steps: Tensor, conditions: Sequence[str], windows: Sequence[str], metric: str) -> RDMs:
    """RDMs of features (n_stimuli, n_steps, F): of films in windows the windows come one after another."""
    inner = steps.shape[1]
    names = [str(k) for k in range(inner)]
    if windows:
        steps = steps.unflatten(0, (len(conditions), len(windows))).flatten(1, 2)
        names = [second if inner == 1 else f"{second}.t{k}" for second in windows for k in range(inner)]
    return by_step(steps, metric, conditions=conditions, names=names)


def _write(found: Mapping[str, RDMs], out: Path) -> None:
    from brainnet import plot

    folder = out / FOLDER
    folder.mkdir(exist_ok=True)
    for old in [*folder.glob("*.npz"), *out.glob("steps_*.png"), *out.glob("steps_*.svg")]:
        old.unlink()  # of layers that were asked for before
    for layer, rdms in found.items():
        rdms.save(folder / f"{slug(layer)}.npz")
        if len(rdms) > 1 and bool((rdms.values.std(1) > 1e-6 * rdms.values.abs().amax(1)).all()):  # none is constant
            figure = plot.time_by_time(
                compare(rdms, rdms), model_name="step", brain_name="step", title=f"Geometry over time, {layer}",
                score_name="Spearman similarity",
            )  # fmt: skip
            save_figure(figure, out / f"steps_{slug(layer)}.png")

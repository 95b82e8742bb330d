"""What a sweep will take, said before it begins: memory, disk, and time by the largest network.

One network stands for all: that with the most parameters. Its first batches are timed, its token maps say how large
stores and features are; the time of fits follows from a small ridge of the same shape.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from brainnet._work import at_work, device_of, says_progress
from brainnet.ridge import RidgeCV
from brainnet.run.forecast import Forecast, Grid, announced, of_encoding, rdm_seconds, resident_memory, widths_of
from brainnet.run.sweep.definition import ALONE, GEOMETRY
from brainnet.run.sweep.held import Held
from brainnet.run.sweep.plan import Cell, Chosen, Plan, known_network
from brainnet.store import choose_preprocessing
from brainnet.store.extraction import extract
from brainnet.store.layout import Layout

PROBED = 2  # batches that are timed
FEW_CELLS = 12  # below which no forecast is made: it would take as long as the sweep
MOST_RIDGE = 2000  # features of the ridge that is timed


def announce(
    plan: Plan,
    held: Held,
    surveys: Mapping[str, Mapping[str, Any]],
    left: Sequence[Cell],
    out: Path,
    n_jobs: int,
    force: bool,
) -> dict[str, Any] | None:
    """Says what the cells that are left will take; None where they are few.

    Args:
        plan: of the sweep.
        held: a network and data sets.
        surveys: subject -> what is known of its data.
        left: cells to do.
        out: folder of the sweep.
        n_jobs: workers.
        force: begin also what does not fit.

    Returns:
        For the run card.

    Raises:
        MemoryError, OSError: more memory or disk is needed than is free, without ``force``.
    """
    if len(left) < FEW_CELLS:
        return None
    network = largest({cell.network.key: cell.network for cell in left}.values())
    resident = resident_memory()
    try:
        layout, per_image = _probe(plan, held, network, left)
    except Exception as error:  # the cells of this network will fail; the others go on
        says_progress.info("no forecast: %s cannot be built (%s).", network.label, " ".join(str(error).split()))
        return None
    found = _of_cells(plan, surveys, left, layout, per_image, n_jobs)
    found = replace(found, resident=resident)
    says_progress.info(
        "forecast of %d cells of %d networks, as if all were like %s: %s.",
        len(left), len({cell.network.key for cell in left}), network.label, found,
    )  # fmt: skip
    return announced(replace(found, seconds=None), out, force).of_card() | {"seconds": round(found.seconds or 0, 1)}


def largest(networks: Any) -> Chosen:
    """The network with the most parameters, by the catalogue; the first where it knows none of them."""
    networks = list(networks)
    sizes = [getattr(known_network(one.name), "parameters", None) or 0 for one in networks]
    return networks[sizes.index(max(sizes))]


def _probe(plan: Plan, held: Held, network: Chosen, left: Sequence[Cell]) -> tuple[Layout, float]:
    """The layout of its tokens, and seconds for each image."""
    cell = next(one for one in left if one.network.key == network.key)
    cfg = plan.definition.config_of(cell.subject, cell.method)
    dataset, backbone = held.data_of(cfg, cell.subject), held.backbone(network, "")
    preprocessing = choose_preprocessing(dataset, backbone)
    n, device = min(cfg.TOKENS.BATCH_SIZE, len(dataset)), device_of(plan.definition.device)

    def run(batches: Sequence[range]) -> Layout:
        load = lambda i: dataset.image(i, preprocessing)  # noqa: E731
        tokens = extract(backbone, load, batches, grid=tuple(cfg.MODEL.GRID), resize=cfg.MODEL.RESIZE, device=device)
        return [Layout.of(one) for one in tokens][-1]

    with at_work(backbone, device):
        layout = run([range(min(2, n))])
        began = time.perf_counter()
        run([range(n)] * PROBED)
    return layout, (time.perf_counter() - began) / (PROBED * n)


def _of_cells(
    plan: Plan,
    surveys: Mapping[str, Mapping[str, Any]],
    left: Sequence[Cell],
    layout: Layout,
    per_image: float,
    n_jobs: int,
) -> Forecast:
    """All cells, as if every network were like the one that was probed."""
    stores = {(cell.network.key, cell.tokens_of, surveys[cell.subject]["stimuli"]): cell.subject for cell in left}
    seconds = sum(per_image * surveys[subject]["n_images"] for subject in stores.values())
    images = {surveys[subject]["stimuli"]: surveys[subject]["n_images"] for subject in surveys}
    one_network = 2.0 * layout.row * sum(images.values())
    disk = max(min(n_jobs, len({cell.network.key for cell in left})) * one_network, plan.definition.keep_tokens)
    memory, known = 0.0, {}
    for cell in left:
        key = (cell.subject, cell.method.name)
        if key not in known:
            known[key] = _of_cell(plan, cell, surveys[cell.subject], layout)
        one = known[key]
        seconds, disk, memory = seconds + one.seconds, disk + one.disk, max(memory, one.memory)
    return Forecast(memory * n_jobs, disk, mapped=one_network * n_jobs, seconds=seconds / n_jobs)


def _of_cell(plan: Plan, cell: Cell, survey: Mapping[str, Any], layout: Layout) -> Forecast:
    splits, n_voxels = survey["splits"], survey["n_voxels"]
    n_train, n_test = splits["train"]["n"] + splits["val"]["n"], splits["test"]["n"]
    widths = widths_of(layout, cell.method.options.get("pool", "flatten"))
    responses = 8.0 * survey["n_images"] * n_voxels
    method, cfg = cell.method.method, plan.definition.config_of(cell.subject, cell.method)
    if method in GEOMETRY:
        n = max(n_test, 2)
        memory = responses + 3 * 8 * n * n + 2 * 8 * n * max(widths.values()) + 8 * n * n * len(widths)
        return Forecast(memory, 1e5, seconds=2 * rdm_seconds(n, list(widths.values()), "correlation"))
    if method in ALONE:
        row = 4.0 * layout.row
        steps = cfg.TRAINER.MAX_EPOCHS * n_train
        return Forecast(responses + 2 * row * survey["n_images"], 2e7, seconds=steps * row * n_voxels / 1e10)
    reads_all = method != "ridge"
    grid = Grid(n_train, n_test, n_voxels, widths, len(widths) + 1, reads_all, method in ("window", "mixed"),
                plan.definition.resamples)  # fmt: skip
    once = _ridge_seconds(n_train, n_voxels, min(MOST_RIDGE, max(widths.values())))
    return replace(of_encoding(grid), seconds=once * len(widths) * (5 if reads_all else 1))


def _ridge_seconds(n_train: int, n_voxels: int, width: int) -> float:
    """Seconds of a ridge of one layer, by one of at most 500 images and voxels."""
    n, voxels = max(8, min(n_train, 500)), max(1, min(n_voxels, 500))
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(n, width, generator=generator), torch.randn(n, voxels, generator=generator)
    began = time.perf_counter()
    RidgeCV(scoring="r2").fit(x, y)
    return (time.perf_counter() - began) * max(1.0, n_train / n) ** 2 * max(1.0, n_voxels / voxels)

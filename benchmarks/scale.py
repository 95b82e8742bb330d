"""What a sweep of 10,000 networks and 100 subjects costs: unit costs measured here, times counts, and one part checked.

Measured: the network's forward pass, the file of its tokens, ridge by the number of voxels, and what a cell of a sweep
takes in seconds, bytes and files. The costs of cells are fitted on three small sweeps and tried on a larger one, which
they have not seen: the same extrapolation as the one to 1,000,000 cells, over a smaller distance.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks import measure, report, table

NETWORKS, SUBJECTS, SETS = 10_000, 100, 4
IMAGES, TRAINING, VOXELS, LAYERS, FEATURES = 10_000, 2_000, 40_000, 12, 5_000
SMALL, CHECK = ((2, 2), (6, 2), (2, 8)), (8, 8)  # networks x subjects of the sweeps that are run
TOLERANCE = 0.25  # of what the small sweeps say of the larger one


class Cost(NamedTuple):
    """What one sweep took."""

    seconds: float
    bytes: float
    files: float


def main(argv: list[str] | None = None) -> int:
    """Prints the tables; fails where the extrapolation misses the larger sweep."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks scale", description=__doc__)
    parser.add_argument("--out", nargs="?", const="", help="also write benchmarks/results/scale.md, or that file")
    options = parser.parse_args(argv)
    forward, token_bytes, weights = _tokens()
    fixed, a_voxel = _ridge()
    checked, per_cell = _check()
    layer = fixed + a_voxel * VOXELS
    units = [
        ["forward pass of an image, ViT-B/16", _seconds(forward)],
        ["tokens of an image on disk", f"{token_bytes / 1e6:.2f} MB"],
        ["weights of the network", f"{weights / 1e6:.0f} MB"],
        [f"ridge of a layer, {TRAINING:,} images x {FEATURES:,} features, without voxels", _seconds(fixed)],
        ["the same, for each 1,000 voxels more", _seconds(1000 * a_voxel)],
        ["a cell of 12 voxels on disk", f"{per_cell.bytes / 1e3:.1f} kB in {per_cell.files:.1f} files"],
    ]
    checks = [
        [name, _number(name, said), _number(name, found), f"{said / found:.2f}"]
        for name, (said, found) in checked.items()
    ]
    report(
        "scale",
        [
            "## Unit costs",
            table(["unit", "measured"], units),
            f"## The same costs, {NETWORKS:,} networks x {SUBJECTS} subjects in {SETS} sets of {IMAGES:,} images",
            table(["part", "how", "sum"], _extrapolated(forward, token_bytes, weights, layer, per_cell)),
            f"## The check: a sweep of {CHECK[0]} x {CHECK[1]} from sweeps of "
            + ", ".join(f"{n} x {s}" for n, s in SMALL),
            table(["quantity", "said beforehand", "measured", "ratio"], checks),
        ],
        out=options.out,
    )
    return int(any(abs(said / found - 1) > TOLERANCE for said, found in checked.values()))


def _seconds(value: float) -> str:
    return f"{value:.3g} CPU s"


def _number(name: str, value: float) -> str:
    return f"{value:.1f} s" if name == "seconds" else f"{value / 1e3:,.0f} kB" if name == "bytes" else f"{value:,.0f}"


def _extrapolated(forward: float, token_bytes: float, weights: float, layer: float, cell: Cost) -> list[list[str]]:
    shown, cells = NETWORKS * SETS * IMAGES, NETWORKS * SUBJECTS
    store = SETS * IMAGES * token_bytes
    responses = IMAGES * VOXELS * 4
    return [
        ["tokens", f"{forward:.3g} s x {shown:,} images", f"{forward * shown / 3600:,.0f} core hours"],
        ["ridge", f"{layer:.3g} s x {LAYERS} layers x {cells:,}", f"{layer * LAYERS * cells / 3600:,.0f} core hours"],
        ["tokens of a network on disk", f"{token_bytes / 1e6:.2f} MB x {SETS * IMAGES:,}", f"{store / 1e9:,.0f} GB"],
        ["cells on disk", f"{cell.bytes / 1e3:.1f} kB x {cells:,}", f"{cell.bytes * cells / 1e9:,.0f} GB"],
        ["files of cells", f"{cell.files:.1f} x {cells:,}", f"{cell.files * cells:,.0f}"],
        ["weights over the network", f"{weights / 1e6:.0f} MB x {NETWORKS:,}", f"{weights * NETWORKS / 1e12:,.1f} TB"],
        ["tokens over the network, in a shared folder", f"{token_bytes * IMAGES / 1e9:.1f} GB x {cells:,}",
         f"{token_bytes * IMAGES * cells / 1e15:,.1f} PB"],
        ["responses over the network, read for each cell", f"{responses / 1e9:.1f} GB x {cells:,}",
         f"{responses * cells / 1e15:,.1f} PB"],
    ]  # fmt: skip


def _tokens(n: int = 16) -> tuple[float, float, float]:
    """CPU seconds of an image's forward pass, bytes of its tokens in a file, and bytes of the weights."""
    from brainnet.backbone import build_backbone
    from brainnet.store import TokenStore

    backbone = build_backbone("timm:vit_base_patch16_224", weights="random")
    images = torch.randn(n, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        timing = measure({"forward": lambda: backbone.get_tokens(images)}, repeats=3)["forward"]
    with tempfile.TemporaryDirectory() as folder:
        TokenStore.build(backbone, images, path=Path(folder) / "tokens", progress=False)
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    weights = sum(one.numel() * one.element_size() for one in backbone.parameters())
    return timing.cpu / n, size / n, float(weights)


def _ridge() -> tuple[float, float]:
    """CPU seconds of a fit to no voxel, and for each voxel: the line through fits to two numbers of them."""
    from brainnet.ridge import RidgeCV

    generator = torch.Generator().manual_seed(0)
    X = torch.randn(TRAINING, FEATURES, generator=generator)
    few, many = (torch.randn(TRAINING, n, generator=generator) for n in (1000, 6000))
    found = measure({"few": lambda: RidgeCV().fit(X, few), "many": lambda: RidgeCV().fit(X, many)}, repeats=1, warmup=0)
    slope = (found["many"].cpu - found["few"].cpu) / (many.shape[1] - few.shape[1])
    return found["few"].cpu - slope * few.shape[1], slope


def _check() -> tuple[dict[str, tuple[float, float]], Cost]:
    """Quantity -> what small sweeps say of a larger one and what it took; and what one more cell adds."""
    with tempfile.TemporaryDirectory() as folder:
        _run((1, 1), Path(folder) / "imports")
        small = [_run(size, Path(folder) / f"small{k}") for k, size in enumerate(SMALL)]
        found = _run(CHECK, Path(folder) / "check")
    design = np.array([[1, n, n * s] for n, s in SMALL], float)  # once, for each network, for each cell
    wanted = np.array([1, CHECK[0], CHECK[0] * CHECK[1]], float)
    units = np.linalg.solve(design, np.array(small, float))
    said = wanted @ units
    n_kinds = 4  # ridge and rsa, each with its control
    names = Cost._fields
    return (
        {name: (float(said[k]), float(found[k])) for k, name in enumerate(names)},
        Cost(*(float(one) / n_kinds for one in units[2])),
    )


def _run(size: tuple[int, int], out: Path) -> Cost:
    """A sweep of so many toy networks and subjects, by ridge and RSA, each with its shuffled control."""
    from brainnet.run.sweep import run_sweep
    from tests.run.sweep.toys import asked, subject

    networks, subjects = size
    named: dict[str, Any] = {f"s{n}": subject(n, n_images=200) for n in range(subjects)}
    began = time.process_time()
    run_sweep(asked(networks, subjects=named, resamples=200), out, progress=False)
    seconds = time.process_time() - began
    files = [path for path in (out / "cells").rglob("*") if path.is_file()]
    return Cost(seconds, sum(path.stat().st_size for path in files), len(files))


if __name__ == "__main__":
    sys.exit(main())

"""The interactive page: its size, and how long it takes to be written, to be drawn first, and to answer the pointer.

The browser is headless Chromium, which draws in software here; a graphics card is faster.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks import report, table
from brainnet.plot import PageMap, PageRun, page
from brainnet.space import VERTICES_PER_HEMISPHERE, BrainSpace, occipital_vertices, surface_space

MAPS = 10
RECORDED = 37_984  # voxels of a published data set, of 327,684 vertices
BARS = {"fsaverage5": 2.0, "fsaverage, 38,000 recorded": 6.0}  # MB
# answers the pointer: picks a vertex, and fills the box beside it
HOVER = """(() => {
    const taken = [];
    const { width, height } = brainnet.rects[0];
    for (let k = 0; k < 40; k++) {
        const start = performance.now();
        brainnet.hover(brainnet.views[0], width * (0.3 + 0.01 * k), height * 0.5);
        taken.push(performance.now() - start);
    }
    return taken;
})()"""
FRAME = """(() => {
    const gl = brainnet.renderer.getContext();
    const taken = [];
    for (let k = 0; k < 6; k++) {
        const start = performance.now();
        brainnet.render();
        gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4));
        taken.push(performance.now() - start);
    }
    return taken.slice(1);
})()"""


def scene(space: BrainSpace) -> PageRun:
    """Smooth maps with noise, as those of a run: numbers, categories and places."""
    generator = np.random.default_rng(0)
    coords = space.coords.numpy()
    smooth = [
        np.sin(coords @ generator.normal(size=3) / 30) + 0.1 * generator.normal(size=len(coords)) for _ in range(MAPS)
    ]
    maps = {f"map {k}": PageMap(values) for k, values in enumerate(smooth[: MAPS - 2])}
    maps["place"] = PageMap(np.tanh(np.stack(smooth[:2], 1)), "position")
    maps["layer"] = PageMap((6 + 3 * smooth[0]).astype(int).clip(0, 11), "categorical")
    return PageRun(maps, space, title="benchmark", score="map 0")


def spaces() -> dict[str, BrainSpace]:
    """The whole of fsaverage5, and a patch of fsaverage of the usual size."""
    whole = surface_space(torch.arange(2 * VERTICES_PER_HEMISPHERE["fsaverage5"]))
    patch = occipital_vertices(41.0, "fsaverage")
    return {"fsaverage5": whole, "fsaverage, 38,000 recorded": surface_space(patch[:RECORDED], "fsaverage")}


def in_browser(path: Path) -> tuple[float, float, float] | None:
    """Milliseconds until the first frame, of a hover, and of a frame; None without a browser."""
    from tests.browser import Browser, executable

    if executable() is None:
        return None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(Path(profile))
        try:
            browser.resize(1400, 900)
            first = []
            for _ in range(3):
                browser.open(path)
                first.append(browser.js("brainnet.firstFrame"))
            return statistics.median(first), statistics.median(browser.js(HOVER)), statistics.median(browser.js(FRAME))
        finally:
            browser.close()


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks page", description=__doc__)
    parser.add_argument("--out", action="store_true", help="write benchmarks/results/page.md")
    options = parser.parse_args(argv)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, space in spaces().items():
            run, path = scene(space), Path(folder, "page.html")
            page(run)  # meshes are read once
            start = time.perf_counter()
            path.write_text(page(run), encoding="utf-8")
            written = time.perf_counter() - start
            seen = in_browser(path)
            first, hover, frame = ("-",) * 3 if seen is None else (f"{value:.0f}" for value in seen)
            size = path.stat().st_size / 1e6
            rows.append([name, f"{size:.2f}", f"{BARS[name]:.0f}", f"{written:.2f}", first, hover, frame])
    header = ["maps on", "MB", "at most MB", "written in s", "first frame ms", "hover ms", "frame ms"]
    title = f"{MAPS} maps. First frame, hover and frame in headless Chromium at 1400 x 900, drawn in software."
    report("page", [title, table(header, rows)], out="" if options.out else None)


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])

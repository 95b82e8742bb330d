"""What a run will take before it is made: peak memory and disk from shapes, time from a short measured probe.

A command says one line where the run is long, and refuses one that cannot fit, unless it is forced. Numbers are of this
process: what it holds at the time, and what is to come on top of that.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from brainnet._work import device_of, duration, free_bytes, says_progress, size
from brainnet.dataset import ResponseDataset
from brainnet.rsa import rdm
from brainnet.rsa.distances import BLOCK_BYTES
from brainnet.rsa.search.chunks import CENTRES_PER_CHUNK, MEMORY
from brainnet.run.record.card import peak_memory
from brainnet.store import choose_preprocessing
from brainnet.store.extraction import extract
from brainnet.store.layout import Layout
from brainnet.store.manifest import CHUNK_BYTES, CHUNK_IMAGES, Manifest

LEAST_SAID = 10.0  # seconds of a run from which on its forecast is said
LEAST_PROBED = 24  # batches of images from which on a network is probed
PROBED = 3  # batches that are timed
BLOCKS = 2**28  # bytes of temporaries that ridge and its kin take beside what grows with the data
FEW_CENTRES = 100  # of a searchlight that are timed first
WRITING = 250e6  # bytes a second that features are read and written in


@dataclass(frozen=True)
class Forecast:
    """What a run takes.

    Args:
        memory: bytes that are to come on top of what the process holds.
        disk: bytes that the folder grows by at most.
        mapped: bytes of files that are read through memory, at the same time or later. They count in the peak, but the
            system can drop them.
        seconds: of the whole command, from its start; None where nothing was measured.
        resident: bytes that the process held before that; None takes what it holds when the forecast is announced.
    """

    memory: float
    disk: float = 0.0
    mapped: float = 0.0
    seconds: float | None = None
    resident: float | None = None

    def after(self, seconds: float) -> Forecast:
        """The same, with the seconds that the command has taken already."""
        return replace(self, seconds=None if self.seconds is None else self.seconds + seconds)

    @property
    def peak(self) -> float:
        """The most memory that the process will hold, in bytes."""
        return max((self.resident or 0) + self.memory + self.mapped, peak_memory() or 0)

    def __str__(self) -> str:
        parts = [] if self.seconds is None else [f"about {duration(self.seconds)}"]
        parts.append(f"{size(self.peak)} of memory")
        return ", ".join([*parts, f"{size(self.disk)} of disk"])

    def of_card(self) -> dict[str, Any]:
        """The forecast as a run card keeps it, beside what was measured."""
        seconds = None if self.seconds is None else round(self.seconds, 1)
        return {"peak_memory_gb": round(self.peak / 1e9, 2), "disk_gb": round(self.disk / 1e9, 3), "seconds": seconds}


def resident_memory() -> int:
    """Bytes of memory that this process holds now; the most it has held where the system says no more."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return peak_memory() or 0


def announced(forecast: Forecast, out: Path, force: bool = False, of: str = "forecast") -> Forecast:
    """The forecast, said in a line where the run is long, once it is known to fit.

    Args:
        forecast: of a run.
        out: folder whose disk it fills; it need not exist.
        force: run also what does not fit.
        of: the first words of the line.

    Raises:
        MemoryError: more memory is needed than is free.
        OSError: more disk is needed than is free.
    """
    forecast = replace(forecast, resident=resident_memory() if forecast.resident is None else forecast.resident)
    free = free_bytes(torch.device("cpu"))
    there = next(folder for folder in (out.absolute(), *out.absolute().parents) if folder.exists())
    room = shutil.disk_usage(there).free
    if forecast.seconds is not None and forecast.seconds >= LEAST_SAID:
        known = "" if free is None else f" ({size(free)} free)"
        says_progress.info("%s: %s%s.", of, str(forecast).replace(" of memory", f" of memory{known}"),
                           f" ({size(room)} free)")  # fmt: skip
    if force:
        return forecast
    if free is not None and forecast.memory > free:
        raise MemoryError(
            f"this needs about {size(forecast.memory)} more memory and {size(free)} is free. Choose fewer layers, a "
            "smaller grid or another pooling, or run it all the same with --force."
        )
    if forecast.disk > room:
        raise OSError(
            f"this needs about {size(forecast.disk)} on the disk of {out} and {size(room)} is free. Choose another "
            "--out, fewer layers or a smaller grid, or run it all the same with --force."
        )
    return forecast


# ---------------------------------------------------------------------- tokens


class Probe(NamedTuple):
    """What a network gave for a few images: the layout of its tokens, and seconds for each image.

    ``held`` are the bytes that the process held before, ``worked`` those that a batch takes on top while it is made.
    """

    layout: Layout
    seconds: float
    held: int = 0
    worked: int = 0


def probe_tokens(
    backbone: Any,
    images: Any,
    *,
    grid: tuple[int, int] | None,
    resize: str,
    batch_size: int,
    device: str | torch.device | None = None,
) -> Probe | None:
    """Tokens of the first batches, timed; None where there are too few batches for a forecast to matter.

    Args:
        backbone, images, grid, resize, batch_size: as of ``TokenStore.build``.
        device: where the network works, or None.
    """
    n_images = len(images.image_ids)
    known = getattr(type(images), "known_tokens", None)
    if n_images < LEAST_PROBED * batch_size or known not in (None, ResponseDataset.known_tokens):
        return None
    preprocessing = choose_preprocessing(images, backbone)

    def run(batches: Sequence[range]) -> Layout:
        load = lambda i: images.image(i, preprocessing)  # noqa: E731
        layout = None
        for tokens in extract(backbone, load, batches, grid=grid, resize=resize, device=device_of(device)):
            layout = Layout.of(tokens)
        return layout

    held = resident_memory()
    layout = run([range(min(2, batch_size))])  # a network is slow the first time
    began = time.perf_counter()
    run([range(i * batch_size, (i + 1) * batch_size) for i in range(PROBED)])
    seconds = (time.perf_counter() - began) / (PROBED * batch_size)
    return Probe(layout, seconds, held, max(0, (peak_memory() or held) - held))


def say_tokens(
    backbone: Any, images: Any, path: Path | None, out: Path, force: bool, of: str, batch_size: int, **how: Any
) -> None:
    """Says what a store of tokens in half precision takes that is to be built in memory, or in a file at ``path``.

    Args:
        backbone, images, batch_size, how: as of :func:`probe_tokens`.
        path: None for memory; where all tokens are there already, nothing is said.
        out: folder of the results.
        force: go on where they do not fit.
        of: the first words of the line.

    Raises:
        MemoryError, OSError: as of :func:`announced`.
    """
    n_done = images_done(path)
    n_left = len(images.image_ids) - n_done
    probe = probe_tokens(backbone, images, batch_size=batch_size, **how) if n_left else None
    if probe is None:
        return
    tokens, chunk = 2.0 * probe.layout.row * n_left, chunk_bytes(probe.layout, batch_size, n_left)
    in_file = path is not None
    memory = probe.worked + 2 * chunk + (0 if in_file else tokens)
    forecast = Forecast(memory, tokens if in_file else 0, seconds=probe.seconds * n_left, resident=probe.held)
    announced(forecast, path.parent if in_file else out, force, of)


def images_done(path: Path | None) -> int:
    """The images whose tokens a file holds already."""
    try:
        return 0 if path is None else Manifest.read(path).n_complete
    except (OSError, ValueError):
        return 0


def chunk_bytes(layout: Layout, batch_size: int, n_images: int) -> float:
    """Bytes of a chunk of tokens in single precision, as it is gathered before it is written."""
    row = 4 * layout.row
    images = max(1, min(CHUNK_IMAGES, CHUNK_BYTES // row) // batch_size) * batch_size
    return min(images, n_images) * row


def widths_of(layout: Layout, pool: str) -> dict[str, int]:
    """Layer -> features of an image, as :meth:`brainnet.tokens.Tokens.features` gives them.

    >>> widths_of(Layout(("a",), (3,), ((4, 4),)), "flatten"), widths_of(Layout(("a",), (3,), ((4, 4),)), "both")
    ({'a': 48}, {'a': 6})
    """
    factor = {
        "flatten": lambda h, w: h * w, "mean": lambda h, w: 1, "max": lambda h, w: 1, "global": lambda h, w: 1,
        "both": lambda h, w: 2, "all": lambda h, w: 1 + h * w,
    }  # fmt: skip
    return {
        layer: width * factor[pool](*grid)
        for layer, width, grid in zip(layout.layers, layout.layer_widths, layout.grids, strict=True)
    }


def of_extraction(
    probe: Probe, n_images: int, n_done: int, widths: Mapping[str, int], file_format: str, batch_size: int,
    keep_tokens: bool = False, in_place: bool = False,
) -> Forecast:  # fmt: skip
    """Of ``brainnet extract``: rows in a folder, then a file of features for each layer beside them.

    Args:
        probe: of the network.
        n_images, n_done: pictures, and those whose rows are there already.
        widths: layer -> features of an image.
        file_format: of the files.
        batch_size: images per forward pass.
        keep_tokens: a token store as well.
        in_place: the rows are the files.
    """
    left = (n_images - n_done) / n_images
    rows, tokens = 4.0 * n_images * sum(widths.values()), 4.0 * probe.layout.row * n_images * keep_tokens
    each, writing = (0.0, 0.0) if in_place else (1.0, rows / WRITING)
    if file_format in ("csv", "txt"):
        each, writing = len(_as_text(10, 500)) / 5000 / 4, _text_seconds(n_images, sum(widths.values()))
    scratch = 4.0 * n_images * max(widths.values()) if file_format == "mat" else 0
    batch = 4 * batch_size * (probe.layout.row + sum(widths.values()))
    chunk = 2 * chunk_bytes(probe.layout, batch_size, n_images) if keep_tokens else 0
    return Forecast(
        memory=max(probe.worked + 2 * batch + chunk - tokens, 0),
        disk=(tokens + rows) * left + each * rows + scratch,
        mapped=tokens,
        resident=probe.held,
        seconds=probe.seconds * (n_images - n_done) + (2 * rows + tokens) / WRITING + writing,
    )


def _as_text(n_rows: int, n_columns: int, n_names: int = 0) -> str:
    """Some single-precision numbers as they are written as text, beside columns of names."""
    import pandas as pd

    numbers = pd.DataFrame(np.random.default_rng(0).normal(size=(n_rows, n_columns)).astype(np.float32))
    return numbers.assign(**{f"name {i}": "image0001" for i in range(n_names)}).to_csv(header=False)


def _text_seconds(n_rows: int, n_columns: int, n_names: int = 0) -> float:
    """Seconds that a table of that shape takes to be written, by a part of it."""
    columns = min(n_columns, 100_000)  # the wider a table, the longer each of its numbers takes
    if not (rows := min(n_rows, max(8, 100_000 // (columns + n_names + 1)))):
        return 0.0  # nothing to write, which is refused later in words of its own
    share = (rows / n_rows) * (columns + n_names) / (n_columns + n_names)
    return min(timed(lambda: _as_text(rows, columns, n_names)) for _ in range(2)) / share  # other work only adds


# ---------------------------------------------------------------------- geometry


def timed(function: Callable[[], Any]) -> float:
    """Seconds that a function takes."""
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def of_rdms(probe: Probe | None, widths: Mapping[str, int], n: int, metric: str, letters: float = 4) -> Forecast:
    """Of ``brainnet rdm``: tokens in memory, features of a layer, all RDMs, and the table of pairs.

    Args:
        probe: of a network; None for features in files.
        widths: layer -> features of a condition.
        n: conditions.
        metric: the distance, which is timed on a few conditions.
        letters: mean length of the conditions' names.
    """
    pairs, wide, n_layers = n * (n - 1) / 2, max(max(widths.values()), 1), len(widths)
    tokens = 0 if probe is None else 4 * probe.layout.row * n
    # features as they lie and gathered (in files they are there already), centered in blocks; a matrix beside its pairs
    features = min(4 * n * wide, 2 * BLOCK_BYTES) if probe is None else 2 * 4 * n * wide
    memory = tokens + features + 3 * 4 * n * n + pairs * (n_layers * (4 + 8) + 2 * 8)
    seconds = rdm_seconds(n, list(widths.values()), metric) + _text_seconds(int(pairs), n_layers, n_names=2)
    seconds += 0 if probe is None else probe.seconds * n
    memory = max(memory, tokens + (0 if probe is None else probe.worked))
    disk = pairs * (n_layers * (4 + 11) + 2 * (letters + 1))
    return Forecast(memory, disk, seconds=seconds, resident=None if probe is None else probe.held)


def rdm_seconds(n: int, widths: Sequence[int], metric: str) -> float:
    """Seconds of RDMs of some layers: what grows with conditions and what grows with pairs, timed on a few."""
    from scipy.optimize import nnls

    some, sizes = max(2, min(max(widths), 20_000)), (50, 200, 600)
    patterns = torch.randn(sizes[-1], some, generator=torch.Generator().manual_seed(0))
    took = [min(timed(lambda m=m: rdm(patterns[:m], metric)) for _ in range(3)) for m in sizes]
    always, of_rows, of_pairs = nnls(np.array([(1.0, m, m * m) for m in sizes]), np.array(took))[0]
    return always * len(widths) + (of_rows + n * of_pairs) * n * sum(widths) / some


# ---------------------------------------------------------------------- encoding


@dataclass(frozen=True)
class Grid:
    """How large an encoding is: counts of what is fitted, of images and of voxels, for the largest subject.

    Args:
        n_train, n_test, n_voxels: of images and voxels.
        widths: layer -> features of an image; of all layers that are fitted.
        n_fits: fits of one layer or of all layers, of all subjects and networks, controls too.
        spaces: whether a method reads all layers at once.
        windows: whether a method reads token maps.
        n_resamples: bootstrap resamples and permutations.
        n_jobs: processes.
        weights: whether weights are kept, and for how many fits of each layer.
    """

    n_train: int
    n_test: int
    n_voxels: int
    widths: Mapping[str, int]
    n_fits: int
    spaces: bool
    windows: bool
    n_resamples: int
    n_jobs: int = 1
    weights: int = 0


def of_encoding(grid: Grid) -> Forecast:
    """Of ``brainnet encode``, once the tokens are there, without time."""
    n, v = grid.n_train, grid.n_voxels
    wide, total = max(grid.widths.values()), sum(grid.widths.values())
    read = (total if grid.spaces else wide) * (n + grid.n_test) * 4
    smaller = min(n, wide)
    solving = 8 * smaller**2 * (len(grid.widths) + 3 if grid.spaces else 4) + BLOCKS
    voxels = v * (3 * 4 * n + 20 * 8 + 4 * smaller)
    scoring = v * grid.n_test * 8 * 6 + grid.n_resamples * grid.n_test * 8 * 2
    windows = (1 << 30) if grid.windows else 0
    one_job = max(read + solving + voxels, windows + voxels)
    files = grid.n_fits * (4 * v * grid.n_test + 8 * v * 8) + 1e6  # with the figures
    memory = one_job * grid.n_jobs + scoring + 2 * 4 * v * wide * bool(grid.weights)
    return Forecast(memory, disk=files + 4 * v * total * grid.weights)


# ---------------------------------------------------------------------- searchlight


def of_searchlight(
    run: Callable[[int], Any], n_centres: int, n_members: int, n_models: int, patterns: torch.Tensor, n_jobs: int
) -> Forecast:
    """Of ``brainnet searchlight run``; time by some centers, where there are many.

    Args:
        run: searches so many centers, spread over the brain.
        n_centres, n_members: neighborhoods, and voxels of all of them.
        n_models: models.
        patterns: (n_conditions, n_voxels).
        n_jobs: processes.
    """
    kept = 8.0 * n_centres * (n_models + 1) * 6
    temporaries = min(MEMORY, 2 * 4 * len(patterns) ** 2 * n_centres)
    forecast = Forecast(
        memory=temporaries + (n_jobs > 1) * n_jobs * (MEMORY + resident_memory()) + 2 * kept + 2 * 8 * n_members,
        disk=2 * kept,
    )
    if n_centres < 20 * FEW_CENTRES:
        return forecast
    run(5)
    once, more = timed(lambda: run(FEW_CENTRES)), timed(lambda: run(3 * FEW_CENTRES))
    each = max(0.0, more - once) / (2 * FEW_CENTRES)
    chunk = max(0.0, once - FEW_CENTRES * each)
    return replace(forecast, seconds=(n_centres * each + -(-n_centres // CENTRES_PER_CHUNK) * chunk) / n_jobs)

"""Chunks of a searchlight: the unit of work, computed anywhere and kept sealed.

Chunks of centers run in this process or in joblib's workers. With a folder each is written once, whole, with what it
was made from and a checksum: a run cut short goes on where it stopped, and a chunk that was damaged, or that lies in
the place of another, is computed again.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from brainnet._files import array_digest, file_digest, read_json, read_sealed, sha256, write_json, write_sealed
from brainnet._work import parallel
from brainnet.rsa.checks import as_float_tensor, check_conditions
from brainnet.rsa.comparisons import COMPARISONS, compare
from brainnet.rsa.distances import DISTANCES
from brainnet.rsa.products import draw_orders, embed, is_product, permuted, similarities
from brainnet.rsa.rdms import RDMs, align_conditions, as_rdms
from brainnet.rsa.search.maps import TIE
from brainnet.rsa.search.neighbourhoods import Neighbourhoods

CENTRES_PER_CHUNK = 2000
MEMORY = 2**28  # bytes of temporaries in each process
PILOT = 500  # permutations that tell the mean and SD by which a center's scores become z-scores
PER_RUN = ("crossnobis",)  # metrics whose patterns carry an axis of runs
PER_TRIAL = ("decoding",)


@dataclass(frozen=True)
class How:
    """How patterns become RDMs and RDMs scores: arguments of ``searchlight``."""

    metric: str = "correlation"
    method: str = "spearman"
    metric_options: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    memory: int = MEMORY


@dataclass(frozen=True, eq=False)
class Work:
    """Everything a worker needs."""

    patterns: Tensor
    residuals: Tensor | None
    models: Tensor
    names: tuple[str, ...]
    neighbourhoods: Neighbourhoods
    orders: Tensor
    order_of_centres: np.ndarray  # by size: neighborhoods of one size stack
    centres_per_chunk: int
    how: How

    @property
    def n_chunks(self) -> int:
        """Number of chunks of centers."""
        return -(-len(self.order_of_centres) // self.centres_per_chunk)

    def chunk(self, i: int) -> np.ndarray:
        """Positions of the centers in chunk ``i``."""
        return self.order_of_centres[i * self.centres_per_chunk : (i + 1) * self.centres_per_chunk]

    @cached_property
    def fingerprint(self) -> str:
        """One hash of the data and everything that changes a number."""
        settings = (self.how.metric, self.how.metric_options, self.how.method, self.how.options, self.names)
        arrays = [self.patterns, self.residuals, self.models, self.orders, self.neighbourhoods.centres]
        arrays += [self.neighbourhoods.starts, self.neighbourhoods.members]
        digests = [array_digest(array) for array in arrays if array is not None]
        files = [name.rpartition(":")[0] for name in (self.how.metric, self.how.method)]
        digests += [file_digest(file) for file in files if file.endswith(".py")]  # a function of the user's own
        return sha256(repr((*settings, self.centres_per_chunk)), *digests)

    @classmethod
    def prepare(
        cls,
        patterns: Any,
        models: RDMs | Any,
        neighbourhoods: Neighbourhoods,
        how: How,
        *,
        residuals: Any = None,
        conditions: Iterable[str] | None = None,
        n_permutations: int = 0,
        generator: torch.Generator | None = None,
    ) -> Work:
        """Checks what is to be searched, and draws the permutations; arguments as of ``searchlight``."""
        if how.metric in PER_TRIAL:
            raise ValueError(f"{how.metric!r} classifies trials and is not offered in a searchlight; use 'crossnobis'.")
        DISTANCES[how.metric], COMPARISONS[how.method]  # a wrong name is told before any work
        patterns = as_float_tensor(patterns, "patterns")
        axes = "(n_runs, n_conditions, n_voxels)" if how.metric in PER_RUN else "(n_conditions, n_voxels)"
        n_voxels = neighbourhoods.space.n_voxels
        if patterns.ndim != (3 if how.metric in PER_RUN else 2) or patterns.shape[-1] != n_voxels:
            raise ValueError(
                f"patterns for {how.metric!r} must be {axes} with the {n_voxels} voxels of the neighborhoods' space,"
                f" got {tuple(patterns.shape)}."
            )
        missing = ~patterns.isfinite().reshape(-1, n_voxels).all(0)
        if bool(missing.any()):
            raise ValueError(
                f"{int(missing.sum())} of {n_voxels} voxels hold NaN or infinite patterns, the first is column"
                f" {int(missing.nonzero()[0])}; take them out of the mask: space.subset(patterns.isfinite().all(0))."
            )
        names, values = _model_values(models, patterns, conditions, how)
        orders = draw_orders(patterns.shape[-2], n_permutations, generator)
        if residuals is not None:
            residuals = as_float_tensor(residuals, "residuals").to(patterns)
            if residuals.ndim != 2 or residuals.shape[1] != n_voxels or not bool(residuals.isfinite().all()):
                raise ValueError(f"residuals must be finite (n_residuals, {n_voxels}), got {tuple(residuals.shape)}.")
        n_pilot = (len(values) + 1) * min(n_permutations, PILOT)
        fits = how.memory // (2 * (values.shape[1] + n_pilot) * values.element_size())
        return cls(
            patterns=patterns, residuals=residuals, models=values, names=names, neighbourhoods=neighbourhoods,
            orders=orders.long(), order_of_centres=np.argsort(neighbourhoods.sizes, kind="stable"),
            centres_per_chunk=int(max(1, min(CENTRES_PER_CHUNK, fits))), how=how,
        )  # fmt: skip


def _model_values(
    models: RDMs | Any, patterns: Tensor, conditions: Iterable[str] | None, how: How
) -> tuple[tuple[str, ...], Tensor]:
    """Names and values (n_models, n_pairs) of models over the conditions of the patterns, none of them constant."""
    n_conditions = patterns.shape[-2]
    names = None if conditions is None else check_conditions(conditions, n_conditions)
    placeholder = RDMs(patterns.new_zeros(1, n_conditions * (n_conditions - 1) // 2), conditions=names)
    models = align_conditions(placeholder, as_rdms(models))[1]
    values = models.values.to(patterns)
    constant = [name for name, row in zip(models.names, values, strict=True) if bool((row == row[0]).all())]
    if constant:
        raise ValueError(f"model {constant[0]!r} has the same dissimilarity everywhere: there is nothing to compare.")
    compare(values, values[:1], how.method, **how.options)  # refuses NaN and wrong options, in its own words
    return models.names, values


class Chunk(NamedTuple):
    """Results of one chunk, in its order: ``score`` (n, m), ``exceeded`` (n, m + 1) counts, ``largest`` (m + 1, P).

    ``z`` (n, m + 1) are the scores less the mean of a center's chance scores, over their SD. ``largest`` holds the
    largest z-score over centers of each permutation. ``moments`` (n, m + 1, 3) are sums over permutations of the
    scores, their squares and their cubes. The last row or column belongs to the best of the m models.
    """

    score: np.ndarray
    exceeded: np.ndarray
    z: np.ndarray
    largest: np.ndarray
    moments: np.ndarray


def run_chunks(work: Work, store: ChunkFolder | None, waiting: Sequence[int], n_jobs: int) -> Iterable[Chunk]:
    """Chunks in the order of ``waiting``, as they come."""
    if n_jobs == 1 or work.models.device.type != "cpu":
        if n_jobs != 1:
            raise ValueError(f"n_jobs={n_jobs} shares patterns between processes: move them to the CPU, or use 1.")
        return (do_chunk(work, store, i) for i in waiting)
    from joblib import delayed

    arrays = [None if array is None else array.numpy() for array in (work.patterns, work.residuals)]
    rest = replace(work, patterns=None, residuals=None)
    return parallel(n_jobs)(delayed(_do_shared_chunk)(*arrays, rest, store, i) for i in waiting)


def _do_shared_chunk(patterns, residuals, rest: Work, store: ChunkFolder | None, i: int) -> Chunk:
    """In a worker: joblib hands large arrays over as read-only memory maps, one copy for all processes."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*not writable.*")  # nothing here writes to them
        tensors = [None if array is None else torch.from_numpy(array) for array in (patterns, residuals)]
    return do_chunk(replace(rest, patterns=tensors[0], residuals=tensors[1]), store, i)


def do_chunk(work: Work, store: ChunkFolder | None, i: int) -> Chunk:
    """Chunk ``i``, computed, and kept where there is a folder."""
    with torch.no_grad():
        brain = embed(_rdms_of(work, work.chunk(i)), work.how.method, work.how.options)
        chunk = _compare(work, brain)
    if store is not None:
        store.write(i, chunk)
    return chunk


def _rdms_of(work: Work, positions: np.ndarray) -> Tensor:
    """(n_positions, n_pairs) RDMs of some neighborhoods, in the order given."""
    distance, patterns = DISTANCES[work.how.metric], work.patterns
    place = np.empty(len(work.neighbourhoods), dtype=np.int64)
    place[positions] = np.arange(len(positions))
    rdms = patterns.new_empty(len(positions), work.models.shape[1])
    for block, members in work.neighbourhoods.blocks_of_equal_size(positions):
        per_centre = patterns[..., 0].numel() * members.shape[1] * patterns.element_size()
        step = (
            1 if work.residuals is not None else max(1, work.how.memory // (4 * per_centre))
        )  # each center its own noise
        for start in range(0, len(block), step):
            columns = torch.from_numpy(members[start : start + step].astype(np.int64)).to(patterns.device)
            stacked = patterns[..., columns].movedim(-2, 0)  # (centers, [runs,] conditions, voxels)
            noise = {} if work.residuals is None else {"residuals": work.residuals[:, columns[0]]}
            rdms[place[block[start : start + step]]] = distance(stacked, **work.how.metric_options, **noise)
    return rdms


def _compare(work: Work, brain: Tensor) -> Chunk:
    """Scores of embedded RDMs with every model, and with the models of every permutation."""
    models = embed(work.models, work.how.method, work.how.options)
    score = similarities(brain, models, work.how.method, work.how.options)
    strength = torch.cat([score, score.amax(1, keepdim=True)], 1)  # NaN stays NaN
    least = strength - TIE.get(score.dtype, 1e-6)
    n_centres, n_models = score.shape
    scale = _Scale(strength, min(PILOT, len(work.orders)))
    exceeded = torch.zeros(n_centres, n_models + 1, dtype=torch.int64, device=score.device)
    moments = torch.zeros(n_centres, n_models + 1, 3, dtype=torch.float64, device=score.device)
    for orders in work.orders.split(_permutations_at_once(work, n_centres)):
        if is_product(work.how.method, work.how.options):
            moved = permuted(models, orders)
        else:
            moved = permuted(work.models, orders)
        null = similarities(brain, moved.flatten(0, 1), work.how.method, work.how.options)
        null = null.view(n_centres, n_models, len(orders))
        null = torch.cat([null, null.amax(1, keepdim=True)], 1)
        exceeded += (null >= least[:, :, None]).sum(2)
        moments += torch.stack([null.double().pow(power).sum(2) for power in (1, 2, 3)], dim=2)
        scale.add(null)
    return Chunk(*(part.cpu().numpy() for part in (score, exceeded, scale.z(), scale.largest(), moments)))


class _Scale:
    """Z-scores of each center, by the mean and SD of its own chance scores.

    Chance scores of some centers spread more than those of others: such as those of few voxels, or of one odd
    condition. The largest score would be that of these centers, and decide for all others. Mean and SD are those of the
    first permutations and the observed score, which is one of them where there is no effect.

    Args:
        observed: (n, m) scores.
        n_pilot: permutations that tell mean and SD.
    """

    def __init__(self, observed: Tensor, n_pilot: int):
        self.observed, self.n_pilot = observed, n_pilot
        self.waiting: list[Tensor] = []
        self.tops: list[Tensor] = []
        self.mean = self.sd = None

    def add(self, null: Tensor) -> None:
        """Takes up chance scores (n, m, some permutations)."""
        if self.mean is None:
            self.waiting.append(null)
            if sum(part.shape[2] for part in self.waiting) < self.n_pilot:
                return
            null = torch.cat(self.waiting, 2)
            self.waiting = []
            pilot, n = null[:, :, : self.n_pilot], self.n_pilot + 1
            self.mean = (pilot.sum(2) + self.observed) / n
            squares = (pilot - self.mean[:, :, None]).square_().sum(2) + (self.observed - self.mean).square()
            self.sd = torch.where(squares > 0, (squares / n).sqrt(), torch.inf)
        z = (null - self.mean[:, :, None]) / self.sd[:, :, None]
        self.tops.append(z.nan_to_num(nan=-torch.inf).amax(0))

    def z(self) -> Tensor:
        """(n, m) of the observed scores; NaN where these are."""
        return torch.full_like(self.observed, torch.nan) if self.mean is None else (self.observed - self.mean) / self.sd

    def largest(self) -> Tensor:
        """(m, n_permutations) over centers."""
        return torch.cat(self.tops, 1) if self.tops else self.observed.new_empty(self.observed.shape[1], 0)


def _permutations_at_once(work: Work, n_centres: int) -> int:
    """As many as fit: their RDMs (models, permutations, pairs) and their scores (centers, models, permutations)."""
    n_models, n_pairs = work.models.shape
    each = n_models * (n_pairs + 4 * n_centres) * work.models.element_size()
    return max(1, work.how.memory // (2 * each))


# ---- on disk ------------------------------------------------------------------------------------------------------


class ChunkFolder:
    """Finished chunks of one searchlight; a manifest says which, so that no other takes them up."""

    def __init__(self, folder: Path, work: Work):
        self.folder, self.fingerprint, self.n_chunks = folder, work.fingerprint, work.n_chunks
        manifest = {"format": 3, "fingerprint": work.fingerprint, "n_chunks": work.n_chunks}
        path = folder / "manifest.json"
        if path.is_file():
            if _read_manifest(path) not in (None, manifest):
                raise ValueError(
                    f"{folder} holds the chunks of another searchlight (other data, models, settings or permutations);"
                    " choose another folder, or delete this one."
                )
        elif folder.is_dir() and any(folder.glob("chunk_*.npz")):
            raise ValueError(f"{folder} holds chunks but no manifest.json; choose another folder, or delete it.")
        folder.mkdir(parents=True, exist_ok=True)
        write_json(path, manifest)

    def path(self, i: int) -> Path:
        """Where chunk ``i`` is kept."""
        return self.folder / f"chunk_{i:05d}.npz"

    def identity(self, i: int) -> dict[str, Any]:
        """What chunk ``i`` is made from, and which one it is."""
        return {"searchlight": self.fingerprint, "chunk": i}

    def write(self, i: int, chunk: Chunk) -> None:
        """Keeps chunk ``i``, whole or not at all."""
        write_sealed(self.path(i), self.identity(i), chunk._asdict())

    def finished(self) -> dict[int, Chunk]:
        """The chunks that are there, undamaged and in their own place."""
        found = {}
        for i in range(self.n_chunks):
            arrays = read_sealed(self.path(i), self.identity(i))
            if arrays is not None:
                found[i] = Chunk(**arrays)
        return found


def _read_manifest(path: Path) -> dict[str, Any] | None:
    """None where it is damaged: each chunk says itself what it was made from."""
    try:
        return read_json(path)
    except ValueError:
        return None

"""Searchlight RSA: how well each model's RDM matches the brain's, at every place of a volume or a cortical mesh.

At each centre the patterns of its neighbourhood give one RDM, which is compared with all models and forgotten; never
are all RDMs in memory. Chance comes from permuting the condition labels of the models, rows and columns together and
alike at every centre, so the largest score over centres corrects for their number. The permuted models of a chunk are
one matrix, and its product with the chunk's RDMs is the whole permutation test.

Chunks of centres are the unit of work: they run in this process or in joblib's workers, and with a folder each is
written once, whole, so that a run cut short goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from brainnet._work import parallel
from brainnet._work import progress as progress_bar
from brainnet.rsa.checks import as_float_tensor, check_conditions
from brainnet.rsa.comparisons import COMPARISONS, compare
from brainnet.rsa.distances import DISTANCES
from brainnet.rsa.products import draw_orders, embed, is_product, permuted, similarities
from brainnet.rsa.rdms import RDMs, align_conditions, as_rdms
from brainnet.rsa.search.neighbourhoods import Neighbourhoods
from brainnet.scores import VoxelTest, fdr
from brainnet.space import BrainSpace, load_maps, save_map

log = logging.getLogger(__name__)

CENTRES_PER_CHUNK = 2000
MEMORY = 2**28  # bytes of temporaries in each process
PER_RUN = ("crossnobis",)  # metrics whose patterns carry an axis of runs
PER_TRIAL = ("decoding",)
_TEST_MAPS = ("p", "p_fdr", "p_max")
TIE = {torch.float32: 1e-6, torch.float64: 1e-12}  # a permutation that reproduces the data must tie with it


@dataclass(frozen=True, eq=False)
class SearchlightMaps:
    """What a searchlight found at each centre.

    Args:
        models: names of the models.
        score: (n_models, n_centres) similarity of the brain's RDM with each model's; NaN where a constant pattern
            leaves the brain's RDM undefined.
        test: p-values of the scores, each (n_models, n_centres): ``p`` alone, ``p_fdr`` over the centres of a model,
            ``p_max`` family-wise over the centres of a model. None without permutations.
        best: (n_centres,) long, the model with the highest score; -1 where undefined.
        margin: (n_centres,) score of the best model minus that of the second.
        best_test: p-values of the highest score, each (n_centres,); its null is the highest score too, so the choice
            among models is paid for, and ``p_max`` holds over centres and models.
        size: (n_centres,) voxels in each neighbourhood.
        space: where the centres lie, in their order.
        settings: what was computed, for the record.
    """

    models: tuple[str, ...]
    score: Tensor
    test: VoxelTest | None
    best: Tensor
    margin: Tensor
    best_test: VoxelTest | None
    size: Tensor
    space: BrainSpace
    settings: dict[str, Any] = field(default_factory=dict)

    def significant_best(self, alpha: float = 0.05, correction: str = "max") -> Tensor:
        """(n_centres,) the best model where its score is significant, -1 elsewhere.

        Args:
            alpha: level.
            correction: "max" (family-wise over centres and models), "fdr" (over centres) or "none".
        """
        if self.best_test is None:
            raise ValueError("this searchlight ran without permutations; pass n_permutations=1000 to test its scores.")
        p = {"max": self.best_test.p_max, "fdr": self.best_test.p_fdr, "none": self.best_test.p}.get(correction)
        if p is None:
            raise ValueError(f"correction must be 'max', 'fdr' or 'none', got {correction!r}.")
        return self.best.masked_fill(~(p <= alpha), -1)

    def maps(self) -> dict[str, Tensor]:
        """Every map by the name of its file: (n_models, n_centres) per model, or (n_centres,)."""
        found = {"score": self.score, "best_model": self.best, "margin": self.margin, "size": self.size}
        if self.test is not None:
            found |= {name: getattr(self.test, name) for name in _TEST_MAPS}
            found |= {f"best_{name}": getattr(self.best_test, name) for name in _TEST_MAPS}
            found["best_model_p05"] = self.significant_best()
        return found

    def save(self, folder: str | Path) -> list[Path]:
        """Writes every map as NIfTI (volumes) or GIfTI (surfaces, one file a hemisphere), and ``searchlight.json``.

        Maps per model have one volume, or one data array, per model in the order of ``models``. Best-model maps hold
        0 for none and i + 1 for model i; on surfaces they are label files with the models' names. Spaces without a
        place on a brain are written as ``maps.npz``.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        paths = []
        if self.space.mask is not None or self.space.mesh is not None:
            for name, values in self.maps().items():
                labels = self.models if name.startswith("best_model") else None
                paths += save_map(self.space, values, folder / name, self.models, labels)
        if not paths:
            np.savez(folder / "maps.npz", **{name: values.cpu().numpy() for name, values in self.maps().items()})
            paths = [folder / "maps.npz"]
        card = {"models": self.models, "n_centres": len(self.size), **self.settings}
        (folder / "searchlight.json").write_text(json.dumps(card, indent=2) + "\n")
        return [*paths, folder / "searchlight.json"]

    @staticmethod
    def load(folder: str | Path) -> SearchlightMaps:
        """The maps that :meth:`save` wrote, on the CPU in float32.

        Raises:
            FileNotFoundError: a folder without ``searchlight.json`` or without maps.
        """
        folder = Path(folder)
        if not (folder / "searchlight.json").is_file():
            raise FileNotFoundError(
                f"no searchlight.json in {folder}: name a folder that `brainnet searchlight` or maps.save() filled."
            )
        settings = json.loads((folder / "searchlight.json").read_text())
        models = tuple(settings.pop("models"))
        del settings["n_centres"]
        found, space = load_maps(folder, ("score", "margin", "size", *_TEST_MAPS, *(f"best_{p}" for p in _TEST_MAPS)))
        score, size = found["score"], found["size"][0].long()

        def tested(statistic: Tensor, prefix: str) -> VoxelTest | None:
            if f"{prefix}p" not in found:
                return None
            return VoxelTest(statistic, *(found[prefix + p].double().view_as(statistic) for p in _TEST_MAPS))

        return SearchlightMaps(
            models, score, tested(score, ""), _best_of(score), found["margin"][0], tested(score.amax(0), "best_"), size,
            space, settings,
        )  # fmt: skip

    def __repr__(self) -> str:
        tested = "" if self.test is None else f", {self.settings.get('n_permutations')} permutations"
        return f"SearchlightMaps({len(self.models)} models x {len(self.size)} centres{tested})"


def searchlight(
    patterns: Any,
    models: RDMs | Any,
    neighbourhoods: Neighbourhoods,
    *,
    metric: str = "correlation",
    method: str = "spearman",
    metric_options: dict[str, Any] | None = None,
    residuals: Any = None,
    conditions: Iterable[str] | None = None,
    n_permutations: int = 0,
    generator: torch.Generator | None = None,
    folder: str | Path | None = None,
    n_jobs: int = 1,
    memory: int = MEMORY,
    progress: bool = True,
    **options: Any,
) -> SearchlightMaps:
    """Maps of the similarity between the brain's RDM around each centre and every model RDM.

    Args:
        patterns: (n_conditions, n_voxels), columns as in the neighbourhoods' space; (n_runs, n_conditions, n_voxels)
            for cross-validated metrics. They set device and dtype of the work.
        models: model RDMs over the same conditions, any number; all are compared in one pass.
        neighbourhoods: from :func:`spheres`, :func:`discs` or ``Neighbourhoods.from_lists``.
        metric: distance between patterns, see ``DISTANCES``.
        method: comparison of RDMs, see ``COMPARISONS``. Products such as "pearson", "spearman", "rho-a", "cosine" and
            "cka" test a thousand permutations at the price of one matrix product; others take each by itself.
        metric_options: of the distance, such as ``{"shrinkage": "diagonal"}``.
        residuals: (n_residuals, n_voxels) from which "mahalanobis" and "crossnobis" estimate the noise covariance of
            each neighbourhood.
        conditions: names of the rows of ``patterns``, checked against those of the models.
        n_permutations: condition-label permutations; 0 tests nothing.
        generator: a seeded CPU generator, needed for permutations.
        folder: keep finished chunks here, and take up those an interrupted run left.
        n_jobs: processes, as joblib counts them; ``joblib.parallel_config(backend=...)`` chooses dask or ray, and with
            them other nodes (which must see ``folder`` under the same name). Only for patterns on the CPU.
        memory: bytes of temporaries per process; fewer makes smaller chunks.
        progress: show a progress bar.
        **options: of the comparison.

    Returns:
        Maps on the CPU, in the patterns' dtype.

    Raises:
        ValueError: NaN in patterns or models, models constant or over other conditions, fewer than 3 conditions,
            permutations without a generator, a folder that holds another searchlight.

    Reference: Kriegeskorte, Goebel and Bandettini (2006), PNAS 103, 3863-3868; max-stat: Nichols and Holmes (2002).

    >>> rng = torch.Generator().manual_seed(0)
    >>> sensors = Neighbourhoods.from_lists([[0, 1, 2], [3, 4, 5]], BrainSpace.free(6))
    >>> patterns = torch.randn(8, 6, generator=rng)
    >>> models = RDMs(torch.rand(2, 28, generator=rng), names=("shape", "colour"))
    >>> searchlight(patterns, models, sensors, n_permutations=20, generator=rng)
    SearchlightMaps(2 models x 2 centres, 20 permutations)
    """
    work = _prepare(
        patterns, models, neighbourhoods, metric, method, metric_options, residuals, conditions, n_permutations,
        generator, memory, options,
    )  # fmt: skip
    store = None if folder is None else _ChunkFolder(Path(folder), work)
    results: dict[int, Chunk] = {} if store is None else store.finished()
    waiting = [i for i in range(work.n_chunks) if i not in results]
    if len(results):
        log.info("%d of %d chunks were finished before", len(results), work.n_chunks)
    jobs = _run(work, store, waiting, n_jobs)
    jobs = progress_bar(jobs, f"Searching {len(neighbourhoods):,} centres", len(waiting), progress)
    results |= dict(zip(waiting, jobs, strict=True))
    return _assemble(work, [results[i] for i in range(work.n_chunks)])


# ---- what is to be done -------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Work:
    """Everything a worker needs."""

    patterns: Tensor
    residuals: Tensor | None
    models: Tensor
    names: tuple[str, ...]
    neighbourhoods: Neighbourhoods
    orders: Tensor
    order_of_centres: np.ndarray  # by size: neighbourhoods of one size stack
    centres_per_chunk: int
    metric: str
    metric_options: dict[str, Any]
    method: str
    options: dict[str, Any]
    memory: int

    @property
    def n_chunks(self) -> int:
        return -(-len(self.order_of_centres) // self.centres_per_chunk)

    def chunk(self, i: int) -> np.ndarray:
        """Positions of the centres in chunk ``i``."""
        return self.order_of_centres[i * self.centres_per_chunk : (i + 1) * self.centres_per_chunk]

    def fingerprint(self) -> str:
        """One hash of the data and everything that changes a number."""
        digest = hashlib.sha256()
        settings = (self.metric, self.metric_options, self.method, self.options, self.names, self.centres_per_chunk)
        digest.update(repr(settings).encode())
        arrays = [self.patterns, self.residuals, self.models, self.orders, self.neighbourhoods.centres]
        for array in (*arrays, self.neighbourhoods.starts, self.neighbourhoods.members):
            if array is not None:
                array = np.ascontiguousarray(array.cpu().numpy() if isinstance(array, Tensor) else array)
                digest.update(f"{array.dtype}{array.shape}".encode())
                digest.update(array.data)
        return digest.hexdigest()


class Chunk(NamedTuple):
    """Results of one chunk, in its order: ``score`` (n, m), ``exceeded`` (n, m + 1) counts, ``largest`` (m + 1, P).

    The last row or column belongs to the best of the m models.
    """

    score: np.ndarray
    exceeded: np.ndarray
    largest: np.ndarray


def _prepare(
    patterns, models, neighbourhoods, metric, method, metric_options, residuals, conditions, n_permutations, generator,
    memory, options,
) -> _Work:  # fmt: skip
    if metric in PER_TRIAL:
        raise ValueError(f"{metric!r} classifies trials and is not offered in a searchlight; use 'crossnobis'.")
    DISTANCES[metric], COMPARISONS[method]  # a wrong name is told before any work
    patterns, models = as_float_tensor(patterns, "patterns"), as_rdms(models)
    axes = "(n_runs, n_conditions, n_voxels)" if metric in PER_RUN else "(n_conditions, n_voxels)"
    n_voxels = neighbourhoods.space.n_voxels
    if patterns.ndim != (3 if metric in PER_RUN else 2) or patterns.shape[-1] != n_voxels:
        raise ValueError(
            f"patterns for {metric!r} must be {axes} with the {n_voxels} voxels of the neighbourhoods' space, got"
            f" {tuple(patterns.shape)}."
        )
    missing = ~patterns.isfinite().reshape(-1, n_voxels).all(0)
    if bool(missing.any()):
        raise ValueError(
            f"{int(missing.sum())} of {n_voxels} voxels hold NaN or infinite patterns, the first is column"
            f" {int(missing.nonzero()[0])}; take them out of the mask: space.subset(patterns.isfinite().all(0))."
        )
    names = None if conditions is None else check_conditions(conditions, patterns.shape[-2])
    n_conditions = patterns.shape[-2]
    placeholder = RDMs(patterns.new_zeros(1, n_conditions * (n_conditions - 1) // 2), conditions=names)
    models = align_conditions(placeholder, models)[1]
    values = models.values.to(patterns)
    constant = [name for name, row in zip(models.names, values, strict=True) if bool((row == row[0]).all())]
    if constant:
        raise ValueError(f"model {constant[0]!r} has the same dissimilarity everywhere: there is nothing to compare.")
    compare(values, values[:1], method, **options)  # refuses NaN, two conditions and wrong options, in its own words
    orders = draw_orders(n_conditions, n_permutations, generator)
    if residuals is not None:
        residuals = as_float_tensor(residuals, "residuals").to(patterns)
        if residuals.ndim != 2 or residuals.shape[1] != n_voxels or not bool(residuals.isfinite().all()):
            raise ValueError(f"residuals must be finite (n_residuals, {n_voxels}), got {tuple(residuals.shape)}.")
    fits = memory // (2 * values.shape[1] * values.element_size())
    return _Work(
        patterns, residuals, values, models.names, neighbourhoods, orders.long(),
        np.argsort(neighbourhoods.sizes, kind="stable"), int(max(1, min(CENTRES_PER_CHUNK, fits))), metric,
        dict(metric_options or {}), method, options, memory,
    )  # fmt: skip


def _run(work: _Work, store: _ChunkFolder | None, waiting: Sequence[int], n_jobs: int) -> Iterable[Chunk]:
    """Chunks in the order of ``waiting``, as they come."""
    if n_jobs == 1 or work.models.device.type != "cpu":
        if n_jobs != 1:
            raise ValueError(f"n_jobs={n_jobs} shares patterns between processes: move them to the CPU, or use 1.")
        return (_do_chunk(work, store, i) for i in waiting)
    from joblib import delayed

    arrays = [None if array is None else array.numpy() for array in (work.patterns, work.residuals)]
    rest = replace(work, patterns=None, residuals=None)
    return parallel(n_jobs)(delayed(_do_shared_chunk)(*arrays, rest, store, i) for i in waiting)


def _do_shared_chunk(patterns, residuals, rest: _Work, store: _ChunkFolder | None, i: int) -> Chunk:
    """In a worker: joblib hands large arrays over as read-only memory maps, one copy for all processes."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*not writable.*")  # nothing here writes to them
        tensors = [None if array is None else torch.from_numpy(array) for array in (patterns, residuals)]
    return _do_chunk(replace(rest, patterns=tensors[0], residuals=tensors[1]), store, i)


# ---- one chunk ----------------------------------------------------------------------------------------------------


def _do_chunk(work: _Work, store: _ChunkFolder | None, i: int) -> Chunk:
    with torch.no_grad():
        brain = embed(_rdms_of(work, work.chunk(i)), work.method, work.options)
        chunk = _compare(work, brain)
    if store is not None:
        store.write(i, chunk)
    return chunk


def _rdms_of(work: _Work, positions: np.ndarray) -> Tensor:
    """(n_positions, n_pairs) RDMs of some neighbourhoods, in the order given."""
    distance, patterns = DISTANCES[work.metric], work.patterns
    place = np.empty(len(work.neighbourhoods), dtype=np.int64)
    place[positions] = np.arange(len(positions))
    rdms = patterns.new_empty(len(positions), work.models.shape[1])
    for block, members in work.neighbourhoods.blocks_of_equal_size(positions):
        per_centre = patterns[..., 0].numel() * members.shape[1] * patterns.element_size()
        step = 1 if work.residuals is not None else max(1, work.memory // (4 * per_centre))  # each centre its own noise
        for start in range(0, len(block), step):
            columns = torch.from_numpy(members[start : start + step].astype(np.int64)).to(patterns.device)
            stacked = patterns[..., columns].movedim(-2, 0)  # (centres, [runs,] conditions, voxels)
            noise = {} if work.residuals is None else {"residuals": work.residuals[:, columns[0]]}
            rdms[place[block[start : start + step]]] = distance(stacked, **work.metric_options, **noise)
    return rdms


def _compare(work: _Work, brain: Tensor) -> Chunk:
    """Scores of embedded RDMs with every model, and with the models of every permutation."""
    models = embed(work.models, work.method, work.options)
    score = similarities(brain, models, work.method, work.options)
    strength = torch.cat([score, score.amax(1, keepdim=True)], 1) - TIE.get(score.dtype, 1e-6)  # NaN stays NaN
    defined = ~score.isnan().any(1)
    n_centres, n_models = score.shape
    exceeded = torch.zeros(n_centres, n_models + 1, dtype=torch.int64, device=score.device)
    largest = []
    for orders in work.orders.split(_permutations_at_once(work, n_centres)):
        if is_product(work.method, work.options):
            moved = permuted(models, orders)
        else:
            moved = permuted(work.models, orders)
        null = similarities(brain, moved.flatten(0, 1), work.method, work.options)
        null = null.view(n_centres, n_models, len(orders))
        null = torch.cat([null, null.amax(1, keepdim=True)], 1)
        exceeded += (null >= strength[:, :, None]).sum(2)
        null = null.masked_fill(~defined[:, None, None], -torch.inf)
        largest.append(null.amax(0))
    tops = torch.cat(largest, 1) if largest else score.new_empty(n_models + 1, 0)
    return Chunk(*(part.cpu().numpy() for part in (score, exceeded, tops)))


def _permutations_at_once(work: _Work, n_centres: int) -> int:
    """As many as fit: their RDMs (models, permutations, pairs) and their scores (centres, models, permutations)."""
    n_models, n_pairs = work.models.shape
    each = n_models * (n_pairs + 4 * n_centres) * work.models.element_size()
    return max(1, work.memory // (2 * each))


# ---- chunks on disk -----------------------------------------------------------------------------------------------


class _ChunkFolder:
    """Finished chunks of one searchlight; a manifest says which, so that no other takes them up."""

    def __init__(self, folder: Path, work: _Work):
        self.folder = folder
        manifest = {"format": 1, "fingerprint": work.fingerprint(), "n_chunks": work.n_chunks}
        path = folder / "manifest.json"
        if path.is_file():
            if json.loads(path.read_text()) != manifest:
                raise ValueError(
                    f"{folder} holds the chunks of another searchlight (other data, models, settings or permutations);"
                    " choose another folder, or delete this one."
                )
            return
        if folder.is_dir() and any(folder.glob("chunk_*.npz")):
            raise ValueError(f"{folder} holds chunks but no manifest.json; choose another folder, or delete it.")
        folder.mkdir(parents=True, exist_ok=True)
        _atomically(path, lambda stream: stream.write((json.dumps(manifest) + "\n").encode()))

    def path(self, i: int) -> Path:
        return self.folder / f"chunk_{i:05d}.npz"

    def write(self, i: int, chunk: Chunk) -> None:
        _atomically(self.path(i), lambda stream: np.savez(stream, **chunk._asdict()))

    def finished(self) -> dict[int, Chunk]:
        found = {}
        for path in sorted(self.folder.glob("chunk_*.npz")):
            with np.load(path, allow_pickle=False) as arrays:
                found[int(path.stem.removeprefix("chunk_"))] = Chunk(*(arrays[name] for name in Chunk._fields))
        return found


def _atomically(path: Path, write: Callable) -> None:
    """A file is there whole or not at all, whatever stops the process."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with unfinished.open("wb") as stream:
            write(stream)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


# ---- results ------------------------------------------------------------------------------------------------------


def _assemble(work: _Work, chunks: list[Chunk]) -> SearchlightMaps:
    """Chunks back in the order of the centres, counts turned into p-values."""
    back = torch.from_numpy(np.argsort(work.order_of_centres, kind="stable"))
    score, exceeded = (
        torch.from_numpy(np.concatenate([getattr(c, name) for c in chunks]))[back].T for name in ("score", "exceeded")
    )
    undefined = score.isnan().any(0)
    if bool(undefined.any()):
        warnings.warn(
            f"{int(undefined.sum())} of {len(undefined)} centres have an undefined RDM (a pattern without variance,"
            " such as voxels that are zero) and are NaN.",
            stacklevel=3,
        )
    ordered = score.sort(0, descending=True).values
    top = ordered[0]
    margin = ordered[0] - ordered[1] if len(ordered) > 1 else torch.full_like(top, torch.nan)
    best = _best_of(score)
    test = best_test = None
    n_permutations = len(work.orders)
    if n_permutations:
        largest = torch.from_numpy(np.stack([c.largest for c in chunks])).amax(0)  # (models + 1, permutations)
        tested = p_from_counts(torch.cat([score, top[None]]), exceeded, largest)
        test = VoxelTest(*(part[:-1] for part in tested))
        best_test = VoxelTest(*(part[-1] for part in tested))
    nb = work.neighbourhoods
    settings = {
        "metric": work.metric, "method": work.method, "neighbourhoods": nb.kind, "n_permutations": n_permutations,
        "n_undefined": int(undefined.sum()), "fingerprint": work.fingerprint(),
    }  # fmt: skip
    return SearchlightMaps(
        work.names, score, test, best, margin.masked_fill(undefined, torch.nan), best_test,
        torch.from_numpy(nb.sizes.copy()), nb.space.subset(torch.from_numpy(nb.centres)), settings,
    )  # fmt: skip


def _best_of(score: Tensor) -> Tensor:
    return score.nan_to_num(-torch.inf).argmax(0).masked_fill(score.isnan().any(0), -1)


def p_from_counts(score: Tensor, exceeded: Tensor, largest: Tensor) -> VoxelTest:
    """P-values (rows, n_centres) from counts and from the largest score of each permutation (rows, n_permutations)."""
    n, undefined = largest.shape[1], score.isnan()
    p = ((exceeded + 1) / (n + 1)).double().masked_fill(undefined, torch.nan)
    below = torch.searchsorted(largest.sort(1).values, (score - TIE.get(score.dtype, 1e-6)).contiguous())
    p_max = ((n - below + 1) / (n + 1)).double().masked_fill(undefined, torch.nan)
    return VoxelTest(score, p, torch.stack([fdr(row) for row in p]), p_max)

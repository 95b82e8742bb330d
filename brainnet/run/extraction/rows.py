"""The rows of an extraction: the network at work, in this process or in several, and the steps on what it gives.

Several processes are Lightning's affair: it starts them, on one machine or on many, and each makes every n-th chunk of
rows in the same folder. One of them then writes the files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from brainnet._checks import check_word, nearest
from brainnet._files import file_digest, read_json, sha256, slug, write_json
from brainnet._work import progress as progress_bar
from brainnet.backbone.adjusted import adjusted_of
from brainnet.backbone.modules import ATTENTION_POOL
from brainnet.features.pools import ATTENTION, ENSEMBLES, REGISTERS, members_of, refuse_infinite, rows_of
from brainnet.features.rows import RowsFolder
from brainnet.features.steps import SUFFIX, Chain, load_chain, parse_steps
from brainnet.run.processes import ending_together, environment, let_one_speak, started_by_others
from brainnet.store import TokenStore, fingerprint_of
from brainnet.store.extraction import extract as tokens_of
from brainnet.store.identity import Source
from brainnet.tokens import Backbone, Tokens

ROWS, TOKENS = ".rows", "tokens.bin"
IN_PLACE = ("flatten", "global", ATTENTION, REGISTERS)  # pools that read a map as it lies


@dataclass
class Work:
    """What is to be extracted, and how; it can be sent to another process.

    Args:
        backbone: a word or an object.
        network: options of a backbone named by a word.
        layers: names, patterns or ensembles; None takes the backbone's own choice.
        images: the pictures.
        pool, grid: how tokens become features, see ``brainnet.tokens``.
        reduce: words of steps, or the folder of an extraction whose steps are taken; see ``brainnet.features.steps``.
        seed: of steps that draw.
        train: ids of the pictures that steps learn from; None takes all.
        batch_size: pictures per forward pass.
        device: where the network works.
        keep_tokens: take them from a token store that stays.
        overwrite: replace such a store of something else.
        progress: show progress bars.
        threads: of torch; the same in every process, since sums in another order differ in the last digits.
    """

    backbone: str | Backbone
    network: dict[str, Any]
    layers: list[Any] | None
    images: Any
    pool: str
    grid: tuple[int, int] | None
    reduce: str | None = None
    seed: int = 0
    train: list[str] | None = None
    batch_size: int = 16
    device: str | torch.device = "cpu"
    keep_tokens: bool = False
    overwrite: bool = False
    progress: bool = True
    threads: int = field(default_factory=torch.get_num_threads)

    def built(self) -> tuple[Backbone, dict[str, list[str]], list[str] | None]:
        """The backbone; the members of the ensembles among the layers; and the layers in order, where they are known.

        Raises:
            TypeError, ValueError: no backbone, an unknown name, layer or option.
        """
        options = {name: value for name, value in self.network.items() if value is not None}
        asked = self.layers
        named = isinstance(self.backbone, str)
        if not named:
            if not callable(getattr(self.backbone, "get_tokens", None)):
                kind = type(self.backbone).__name__
                raise TypeError(f"a backbone is a name or an object with get_tokens, got {kind}.")
            if options:
                raise ValueError(f"{', '.join(options)} are of a backbone named by text; build yours with them.")
        if self.pool == REGISTERS and named:
            options["global_token"] = REGISTERS
        if self.pool == ATTENTION:
            return self._pooling(options), {}, [ATTENTION_POOL]
        ensembles: dict[str, list[str]] = {}
        if asked is not None and any(layer in ENSEMBLES for layer in asked):
            looked_at = adjusted_of(self.backbone, None, **options) if named else self.backbone
            network = getattr(looked_at, "network", looked_at)
            ensembles = {layer: members_of(network, layer) for layer in asked if layer in ENSEMBLES}
        if not named:
            return self.backbone, ensembles, None if asked is None else list(asked)
        plain = None if asked is None else [layer for layer in asked if layer not in ensembles]
        members = dict.fromkeys(member for one in ensembles.values() for member in one)
        wanted = plain if plain is None else [*plain, *(member for member in members if member not in plain)]
        backbone = adjusted_of(self.backbone, wanted, **options)
        if asked is None:
            return backbone, ensembles, None
        rest = [layer for layer in backbone.layers if layer not in members or layer in plain]  # patterns became names
        return backbone, ensembles, [*rest, *ensembles]

    def _pooling(self, options: dict[str, Any]) -> Backbone:
        """The backbone with its attention pool as a layer; refused for another layer than the one that it reads."""
        backbone, asked = self.backbone, [layer for layer in self.layers or () if layer != ATTENTION_POOL]
        if isinstance(backbone, str):
            backbone = adjusted_of(backbone, [-1, ATTENTION_POOL] if asked else [ATTENTION_POOL], **options)
        elif ATTENTION_POOL not in getattr(backbone, "layers", ()):
            raise ValueError(f"pool 'attention' takes the layer {ATTENTION_POOL!r}: build the backbone with it.")
        others = [layer for layer in asked if layer != backbone.layers[0]]
        if others:
            raise ValueError(
                f"pool 'attention' is of the network's last map alone ({backbone.layers[0]}), and not of {others[0]}."
            )
        return backbone

    def chains(self) -> Chains:
        """The steps of every layer."""
        return Chains(self.reduce, self.seed, len(self.images.image_ids))


class Chains:
    """Layer -> its steps, made when a layer is first seen.

    Args:
        reduce, seed: as of :class:`Work`.
        n_images: pictures.
    """

    def __init__(self, reduce: str | None, seed: int, n_images: int):
        self.n_images, self._made = n_images, {}
        self.folder = Path(reduce) if reduce and Path(reduce).is_dir() else None
        self.words = None if self.folder else reduce
        parse_steps(self.words)
        if self.folder is not None and not list(self.folder.glob(f"*{SUFFIX}")):
            raise ValueError(f"{self.folder} keeps no steps: it holds no file *{SUFFIX}.")
        self.seed = seed

    def __getitem__(self, layer: str) -> Chain:
        if layer not in self._made:
            if self.folder is None:
                self._made[layer] = Chain(parse_steps(self.words, self.seed))
            else:
                self._made[layer] = load_chain(self.folder / f"{slug(layer)}{SUFFIX}")[1]
        return self._made[layer]

    @property
    def steps(self) -> bool:
        """Whether there are any."""
        return bool(self.words or self.folder)

    @property
    def learn(self) -> bool:
        """Whether a step learns from the rows, which therefore change once more when all are there."""
        return any(step.learns for step in parse_steps(self.words))

    def identity(self) -> list[str]:
        """What the result of the steps depends on, files by their bytes."""
        if self.folder is not None:
            return [f"{path.name} {file_digest(path)}" for path in sorted(self.folder.glob(f"*{SUFFIX}"))]
        found = []
        for step in parse_steps(self.words, self.seed):
            named = Path(step.setting)
            found.append(f"{step.word} {file_digest(named) if named.is_file() else self.seed}")
        return found


class Rower:
    """The network of some work, and the rows of features it gives.

    Attributes:
        raw: layer -> features before any step, once rows were made.
    """

    def __init__(self, work: Work):
        self.work, self.chains = work, work.chains()
        self.backbone, self.ensembles, self.layers = work.built()
        if work.pool == REGISTERS:
            check_registers(self.backbone)
        self.source = Source.read(work.images, self.backbone, None)
        self.raw: dict[str, int] = {}
        if work.train is not None:  # told before any work
            check_training(work.train, self.source.ids)

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What the rows are made of; the weights are hashed once."""
        work = self.work
        chosen = "its own" if self.layers is None else " ".join(map(str, self.layers))
        return {
            **fingerprint_of(self.backbone),
            "preprocessing": self.source.preprocessing,
            "grid": "native" if work.grid is None else f"{work.grid[0]}x{work.grid[1]}",
            "pool": work.pool,
            "chosen layers": chosen,
            "reduce": self.chains.identity(),
            "image_ids": sha256("\n".join(self.source.ids)),
            "images": self.source.signature,
        }

    def batches(self, spans: Sequence[range], store: TokenStore | None = None) -> Iterator[dict[str, np.ndarray]]:
        """Rows of the pictures of each span, after the steps that need nothing but them."""
        work = self.work
        bar = progress_bar(spans, f"Features of {len(self.source.ids):,} images", len(spans), work.progress)
        if store is not None:
            tokens = (store.tokens(slice(span.start, span.stop)) for span in bar)
        else:
            tokens = tokens_of(self.backbone, self.source.load, bar, grid=work.grid, resize="shrink",
                               device=work.device, channels_last=work.pool not in IN_PLACE)  # fmt: skip
        places = iter([i for span in spans for i in span])
        with closing(tokens):
            for some in tokens:
                yield self._rows(some, [self.source.ids[next(places)] for _ in next(iter(some.global_.values()))])

    def _rows(self, tokens: Tokens, ids: Sequence[str]) -> dict[str, np.ndarray]:
        if self.layers is None or not all(isinstance(layer, str) for layer in self.layers):
            self.layers = list(tokens.layers)
        for layer in self.layers:
            if layer not in self.ensembles:
                check_word("layer", layer, tokens.layers)
        rows = rows_of(tokens, self.layers, self.work.pool, self.ensembles)
        refuse_infinite(rows, ids)
        self.raw = {layer: values.shape[1] for layer, values in rows.items()}
        return {layer: self.chains[layer].early(values, self.chains.n_images) for layer, values in rows.items()}

    def into_memory(self) -> dict[str, np.ndarray]:
        """Layer -> all rows, after all steps."""
        n = len(self.source.ids)
        spans = [range(i, min(i + self.work.batch_size, n)) for i in range(0, n, self.work.batch_size)]
        made: dict[str, list[np.ndarray]] = {}
        for batch in self.batches(spans):
            for layer, rows in batch.items():
                made.setdefault(layer, []).append(rows)
        found = {}
        for layer in list(made):
            parts = made.pop(layer)
            late = finished(self.chains[layer], lambda parts=parts: parts, parts[0].shape[1], self)[1]
            found[layer] = np.concatenate(list(late))
        return found

    def into_folder(self, out: Path, part: int = 0, n_parts: int = 1, in_place: bool = False) -> RowsFolder:
        """The rows in files below ``out``, of every ``n_parts``-th chunk; what is there already is not made again.

        Where they are to stay as they are and no other process writes, ``in_place`` see :meth:`RowsFolder.put`.
        """
        rows = RowsFolder(out / ROWS, self.identity, len(self.source.ids), self.work.batch_size)
        rows.begin()
        missing = rows.missing(part, n_parts)
        store = self._store(out) if missing and self.work.keep_tokens else None
        try:
            made = self._noted(rows, self.batches(rows.batches(missing), store)) if missing else ()
            rows.put(missing, made, in_place)
        except ValueError:
            if n_parts == 1 and not rows.images_done():  # as of a layer that is not there: nothing is kept of it
                rows.remove()
            raise
        return rows

    def prepare(self, rows: RowsFolder) -> None:
        """Draws the first steps again where another process, or an earlier run, has made all rows."""
        if not self.raw:
            self.raw = read_json(rows.folder / "widths.json")
        for layer in rows.widths:
            self.chains[layer].prepare(self.raw[layer], self.chains.n_images)

    def _noted(self, rows: RowsFolder, batches: Iterator[dict[str, np.ndarray]]) -> Iterator[dict[str, np.ndarray]]:
        with closing(batches):
            for place, batch in enumerate(batches):
                if not place:
                    write_json(rows.folder / "widths.json", self.raw)
                yield batch

    def _store(self, out: Path) -> TokenStore:
        work = self.work
        try:
            return TokenStore.build(self.backbone, work.images, path=out / TOKENS, grid=work.grid, resize="shrink",
                                    dtype=torch.float32, batch_size=work.batch_size, overwrite=work.overwrite,
                                    progress=work.progress)  # fmt: skip
        except ValueError as error:
            raise ValueError(str(error).replace(" Or build with overwrite=True to replace it.", "")) from None


def finished(chain: Chain, parts: Callable[[], Any], width: int, rower: Rower) -> tuple[int, Iterator[np.ndarray]]:
    """The width and the parts of a layer's rows after all steps, which learn from the training pictures first."""
    ids, train = rower.source.ids, rower.work.train
    chosen = np.ones(len(ids), bool) if train is None else np.isin(ids, list(train))

    def training() -> Iterator[np.ndarray]:
        start = 0
        for block in parts():
            picked = block[chosen[start : start + len(block)]]
            start += len(block)
            if len(picked):
                yield picked

    width = chain.learn(training, width, int(chosen.sum()))
    return width, (chain.late(block) for block in parts())


def check_registers(backbone: Backbone) -> None:
    """Refuses a backbone whose global token is not the mean of its registers."""
    if getattr(backbone, "prefix_tokens", 0) <= int(getattr(backbone, "class_token", False)):
        raise ValueError(f"pool 'registers': {getattr(backbone, 'name', 'the network')} has no register tokens.")
    if backbone.global_token != REGISTERS:
        raise ValueError("pool 'registers' is of a backbone that was built with global_token='registers'.")


def check_training(train: Sequence[str], ids: Sequence[str]) -> None:
    """Refuses names of training pictures that are none.

    Raises:
        ValueError: how many, and the first.
    """
    known = set(ids)
    if not train:
        raise ValueError("train names no picture: leave it out to learn from all.")
    missing = [name for name in train if name not in known]
    if not missing:
        return
    close = nearest(missing[0], ids)
    raise ValueError(
        f"{len(missing)} of the {len(train)} training pictures are not among the {len(ids)} pictures, the first is "
        f"{missing[0]!r}" + (f". Did you mean {close!r}?" if close else ".")
    )


def launched(work: Work, out: Path, devices: int, num_nodes: int, finish: Callable[[Rower, RowsFolder], Any]) -> Any:
    """Makes all rows by some processes of Lightning, and lets the first of them ``finish``.

    Args:
        work: what is to be done; sent to the processes.
        out: the folder, which all of them see.
        devices: processes on each machine, each with a device of its own (on CPUs, each with all threads).
        num_nodes: machines.
        finish: called with the rows when all are there; a function that can be sent to another process.
    """
    from lightning_fabric import Fabric
    from torch.multiprocessing.spawn import ProcessException

    let_one_speak()
    accelerator = {"cuda": "cuda", "mps": "mps"}.get(torch.device(work.device).type, "cpu")
    fabric = Fabric(accelerator=accelerator, devices=devices, num_nodes=num_nodes, plugins=environment(),
                    strategy="ddp" if started_by_others() else "ddp_spawn")  # fmt: skip
    with ending_together(devices * num_nodes, lambda: "The same line goes on from the rows that are there."):
        try:
            return fabric.launch(_in_process, work, out, finish)
        except ProcessException as error:
            raise _in_words(error) from None


def _in_words(error: Exception) -> Exception:
    """The error of another process, of which there is but a text: the last line of its traceback, or how it ended."""
    kind, _, said = str(error).strip().splitlines()[-1].partition(": ")
    known = {one.__name__: one for one in (ValueError, TypeError, OSError, FileNotFoundError, MemoryError)}
    return known[kind](said) if kind in known else RuntimeError(str(error))


def _in_process(fabric: Any, work: Work, out: Path, finish: Callable[[Rower, RowsFolder], Any]) -> Any:
    torch.set_num_threads(work.threads)
    work.device = fabric.device
    work.progress = work.progress and fabric.global_rank == 0
    rower = Rower(work)
    rows = rower.into_folder(out, fabric.global_rank, fabric.world_size)
    fabric.barrier()
    found = finish(rower, rows) if fabric.global_rank == 0 else None
    fabric.barrier()
    return found

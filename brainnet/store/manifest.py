"""The manifest beside a token file: what the file holds, what it was made from, and whether it may be believed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from brainnet._files import read_json, sha256, write_text
from brainnet.store.layout import DTYPES, Layout

CHUNK_BYTES, CHUNK_IMAGES = 128 * 2**20, 256  # at most this much work is lost to a kill
FORMAT = "brainnet tokens, version 2"


@dataclass
class Manifest:
    """What a token file holds, kept as JSON beside it.

    The file itself is one array of ``dtype``, (n_images, row), without a header; see :class:`Layout` for a row. Layer l
    of image i is to be multiplied by ``scales[i // chunk_size][l]``. ``checksums`` has one CRC-32 per chunk.
    """

    dtype: str
    image_ids: list[str]
    fingerprint: dict[str, str]
    chunk_size: int  # images per durable write, whole batches; 0 until the first tokens say how large an image is
    batch_size: int
    layers: list[str] = field(default_factory=list)
    layer_widths: list[int] = field(default_factory=list)
    grids: list[list[int]] = field(default_factory=list)
    scales: list[list[float]] = field(default_factory=list)
    checksums: list[str] = field(default_factory=list)
    n_complete: int = 0
    format: str = FORMAT

    @staticmethod
    def beside(path: Path) -> Path:
        """The manifest's own path."""
        return path.with_name(path.name + ".json")

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """The manifest of the token file ``path``.

        Raises:
            FileNotFoundError: there is none.
            ValueError: it is damaged, or of another version of brainnet.
        """
        beside = cls.beside(path)
        if not beside.is_file():
            raise FileNotFoundError(
                f"no token store at {path}: its manifest {beside.name} is not there. Build it first."
            )
        found = read_json(beside)
        if found.get("format") != FORMAT:
            raise ValueError(
                f"{beside} has the format {found.get('format')!r}, this brainnet reads {FORMAT!r}; build anew."
            )
        seal = found.pop("seal", None)
        if seal != _seal(found) or set(found) != {one.name for one in fields(cls)}:
            raise ValueError(f"{beside} is damaged or was changed by hand: its checksum does not fit; build anew.")
        manifest = cls(**found)
        if not manifest._is_sound():
            raise ValueError(f"{beside} contradicts itself; build anew.")
        return manifest

    def write(self, path: Path) -> None:
        """Puts the manifest beside ``path``, whole or not at all."""
        held = {one.name: getattr(self, one.name) for one in fields(self)}  # asdict would copy every id
        write_text(self.beside(path), json.dumps({**held, "seal": _seal(held)}))

    def write_part(self, path: Path, chunk: int, said: Mapping[str, Any]) -> None:
        """Puts down the scales and the checksum of a chunk that is there before its predecessors."""
        held = {"chunk": chunk, "fingerprint": self.fingerprint, **said}
        write_text(path, json.dumps({**held, "seal": _seal(held)}))

    def read_part(self, path: Path, chunk: int) -> dict[str, Any] | None:
        """What :meth:`write_part` put down; None where it is gone, damaged, or of another store or chunk."""
        try:
            held = read_json(path)
            seal = held.pop("seal")
        except (FileNotFoundError, ValueError, KeyError):
            return None
        of = {"chunk": chunk, "fingerprint": self.fingerprint}
        if seal != _seal(held) or {name: held.pop(name, None) for name in of} != of:
            return None
        return held if set(held) == {"scales", "checksum"} else None

    def _is_sound(self) -> bool:
        """Whether counts, sizes and types fit together, so that reading cannot go wrong for their sake."""
        n_layers, n_images = len(self.layers), len(self.image_ids)
        try:
            n_chunks = -(-self.n_complete // self.chunk_size) if self.n_complete else 0
            return (
                self.dtype in DTYPES
                and n_images > 0
                and all(isinstance(name, str) for name in (*self.image_ids, *self.layers, *self.checksums))
                and all(isinstance(value, str) for value in self.fingerprint.values())
                and len(self.layer_widths) == len(self.grids) == n_layers
                and all(width > 0 for width in self.layer_widths)
                and all(len(grid) == 2 and min(grid) > 0 for grid in self.grids)
                and 0 <= self.n_complete <= n_images
                and (self.n_complete == n_images or not self.n_complete or self.n_complete % self.chunk_size == 0)
                and len(self.scales) == len(self.checksums) == n_chunks
                and all(len(row) == n_layers and all(scale > 0 for scale in row) for row in self.scales)
                and bool(n_layers or not self.n_complete)
            )
        except (TypeError, AttributeError, ZeroDivisionError):
            return False

    @property
    def layout(self) -> Layout:
        """Where each layer lies in a row."""
        grids = tuple((height, width) for height, width in self.grids)
        return Layout(tuple(self.layers), tuple(self.layer_widths), grids)

    @property
    def row_bytes(self) -> int:
        """Size of one image's tokens."""
        return self.layout.row * DTYPES[self.dtype].itemsize

    def begin(self, layout: Layout) -> None:
        """Takes the layout of the first tokens, and from it the size of a chunk; or holds them to what is there."""
        if self.layers:
            if layout != self.layout:
                raise ValueError(
                    f"the store began with {self.layout}, and the tokens that should go on it are {layout}."
                )
            return
        self.layers, self.layer_widths = list(layout.layers), list(layout.layer_widths)
        self.grids = [list(grid) for grid in layout.grids]
        wanted = self.chunk_size or min(CHUNK_IMAGES, CHUNK_BYTES // self.row_bytes)
        # whole batches: a continued build then runs the same batches as one that was never stopped
        self.chunk_size = max(1, wanted // self.batch_size) * self.batch_size

    def images_of(self, chunk: int) -> range:
        """The images of a chunk."""
        return range(chunk * self.chunk_size, min((chunk + 1) * self.chunk_size, len(self.image_ids)))

    def count(self, first: int, n: int, scales: list[float], checksum: str = "") -> None:
        """Counts a chunk that is in place: the next one, or one made again."""
        chunk = first // self.chunk_size
        self.scales[chunk : chunk + 1], self.checksums[chunk : chunk + 1] = [scales], [checksum]
        self.n_complete = max(self.n_complete, first + n)

    def whole_images(self, path: Path) -> int:
        """Images that are counted and lie wholly within the file as it is now."""
        size = path.stat().st_size if path.is_file() else 0
        return min(self.n_complete, size // self.row_bytes) if self.n_complete else 0


def _seal(held: Mapping[str, Any]) -> str:
    return sha256(json.dumps(held, sort_keys=True))


def refuse_foreign(path: Path) -> None:
    """Refuses a file that no store wrote: it has neither a manifest nor the lock of an earlier build beside it.

    Raises:
        ValueError: names the file; nothing is ever written over it.
    """
    marks = (Manifest.beside(path), path.with_name(path.name + ".lock"))
    if path.is_dir():
        raise ValueError(f"path={path} is a folder; give a file in it, such as {path / 'tokens.bin'}")
    if path.is_file() and path.stat().st_size and not any(mark.is_file() for mark in marks):
        raise ValueError(f"{path} exists and is no token store; give another path, or delete it.")


def refuse_differing(path: Path, found: Mapping[str, str], expected: Mapping[str, str]) -> None:
    """Raises ValueError, with each field and both values, where a store was made from something else."""
    differing = [name for name, value in expected.items() if found.get(name) != value]
    if differing:
        lines = "".join(
            f"\n  {name}: {_short(found.get(name))} there, {_short(expected[name])} now" for name in differing
        )
        raise ValueError(f"the token store {path} was made from something else:{lines}\nGive another path.")


def _short(value: str | None) -> str:
    value = "nothing" if value is None else str(value)
    return value if len(value) <= 80 else f"{value[:60]}...{value[-12:]}"

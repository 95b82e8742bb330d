"""Features of pictures from a network to files: what another program reads, a row per picture, a file per layer."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brainnet._checks import check_word
from brainnet._files import write_json
from brainnet._work import progress as progress_bar
from brainnet.backbone import backbone_of
from brainnet.run.card import Clock, closing, opening, refuse_others
from brainnet.stimuli import Images
from brainnet.store import TokenStore
from brainnet.tokens import POOLS

PACKAGES = ("torch", "torchvision", "numpy", "timm", "open_clip_torch", "h5py", "scipy")
ROWS = 256  # pictures written at a time
Parts = Iterator[Tensor]


def extract_features(
    source: Any,
    out: str | Path,
    backbone: str,
    *,
    layers: Iterable[str] | None = None,
    pool: str = "flatten",
    grid: tuple[int, int] = (8, 8),
    file_format: str = "npy",
    batch_size: int = 16,
    keep_tokens: bool = False,
    overwrite: bool = False,
    progress: bool = True,
) -> dict[str, Path]:
    """Features of every layer as ``<layer>.<format>`` (n_images, n_features) float32, ``images.txt`` and a run card.

    Goes on where an interrupted call with the same arguments stopped. Memory is bounded by a batch of pictures and a
    few hundred rows of features, in every format but "mat" and "pt", which are written whole.

    Args:
        source: pictures: a folder, a zip or a list of files.
        out: folder of the results.
        backbone: "family:variant", its own weights after an equals sign: "torchvision:squeezenet1_0=weights.npz".
        layers: which, in the order given; None takes all that the backbone offers by itself.
        pool: tokens to features: "flatten" (C * H * W on ``grid``), "mean" over places, "global" token, or "both".
        grid: token grid (height, width) that flattened features have.
        file_format: "npy", "csv" (a column of image ids first), "h5" (dataset "features", ids in "images"), "mat"
            (variable "features") or "pt".
        batch_size: pictures per forward pass.
        keep_tokens: leave the token store, ``tokens.bin``: ``TokenStore.open`` and ``brainnet rdm`` read it.
        overwrite: replace the extraction that ``out`` holds.
        progress: show progress bars.

    Returns:
        Layer to file.

    Raises:
        FileExistsError: a finished extraction in ``out``, and no ``overwrite``.
        ValueError: an unknown backbone, layer, pool or format, or another backbone, other layers or other pictures than
            those an unfinished extraction in ``out`` was begun with.
    """
    check_word("format", file_format, WRITERS)
    check_word("pool", pool, POOLS)
    clock, out = Clock(), Path(out)
    refuse_others(out, "extract")
    if (out / "run.json").is_file() and not overwrite:
        raise FileExistsError(f"{out} holds results already: replace them with --overwrite, or choose another --out.")
    pictures = Images(source)
    network = backbone_of(backbone, layers)
    tokens = out / "tokens.bin"
    try:
        store = TokenStore.build(network, pictures, path=tokens, grid=grid, dtype=torch.float32, batch_size=batch_size,
                                 overwrite=overwrite, progress=progress)  # fmt: skip
    except ValueError as error:
        if "overwrite=True" not in str(error):
            raise
        raise ValueError(f"{out} holds another extraction: {error} Or choose another --out.") from None
    clock.lap("tokens")
    _clear(out)
    written = {}
    for layer in progress_bar(store.layers, f"Writing {file_format}", len(store.layers), progress):
        path = out / f"{layer.replace('/', '_')}.{file_format}"
        unfinished = path.with_name(f"{path.stem}.part{path.suffix}")
        spans = [slice(i, min(i + ROWS, len(store))) for i in range(0, len(store), ROWS)]
        WRITERS[file_format](unfinished, (store.features(layer, pool, span) for span in spans), pictures.ids)
        os.replace(unfinished, path)
        written[layer] = path
    (out / "images.txt").write_text("".join(f"{name}\n" for name in pictures.ids))
    clock.lap("files")
    card = {
        **opening("extract", PACKAGES),
        "source": {"path": str(source), "backbone": backbone, "fingerprint": store.fingerprint},
        "settings": {"pool": pool, "grid": list(grid), "layers": list(written), "format": file_format},
        "files": [path.name for path in written.values()],
        "n_images": len(store),
    }
    write_json(out / "run.json", {**card, **closing(clock)})
    if not keep_tokens:
        del store
        for path in out.glob("tokens.bin*"):
            path.unlink()
    return written


def _clear(out: Path) -> None:
    """Takes away what an earlier extraction wrote: a file of another network would pass for a layer of this one."""
    card = out / "run.json"
    if card.is_file():
        for name in json.loads(card.read_text()).get("files", ()):
            (out / name).unlink(missing_ok=True)
        card.unlink()


# ---------------------------------------------------------------------- formats: path, parts of rows, names of the rows


def _npy(path: Path, parts: Parts, ids: list[str]) -> None:
    table, done = None, 0
    for part in parts:
        if table is None:
            table = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(len(ids), part.shape[1]))
        table[done : done + len(part)] = part.numpy()
        done += len(part)
    table.flush()


def _h5(path: Path, parts: Parts, ids: list[str]) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        done = 0
        for part in parts:
            table = file.require_dataset("features", (len(ids), part.shape[1]), "f4")
            table[done : done + len(part)] = part.numpy()
            done += len(part)
        file["images"] = ids


def _csv(path: Path, parts: Parts, ids: list[str]) -> None:
    import pandas as pd

    done = 0
    for part in parts:
        rows = pd.DataFrame(part.numpy(), index=pd.Index(ids[done : done + len(part)], name="image"))
        rows.to_csv(path, mode="a" if done else "w", header=not done)
        done += len(part)


def _mat(path: Path, parts: Parts, ids: list[str]) -> None:
    from scipy.io import savemat

    savemat(path, {"features": torch.cat(list(parts)).numpy(), "images": np.array(ids, dtype=object)})


def _pt(path: Path, parts: Parts, ids: list[str]) -> None:
    torch.save({"features": torch.cat(list(parts)), "images": ids}, path)


WRITERS: dict[str, Callable[[Path, Parts, list[str]], None]] = {
    "npy": _npy, "csv": _csv, "h5": _h5, "mat": _mat, "pt": _pt,
}  # fmt: skip

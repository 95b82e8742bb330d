"""Features of pictures from a network to files: what another program reads, a row per picture, a file per layer.

Files are made in a hidden folder and moved into place when all of them are whole, so that what a kill leaves is never
read. A results folder may come from a stranger: of what its run card names, only files that this command makes, inside
the folder itself, are ever taken away.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brainnet._checks import check_word
from brainnet._files import read_json, slug, write_json, write_text, writing
from brainnet._work import Interrupted, at_work, device_of, terminable
from brainnet._work import progress as progress_bar
from brainnet.backbone.adjusted import adjusted_of
from brainnet.run.card import Clock, opening, put_card, refuse_others
from brainnet.run.folder import claimed
from brainnet.run.forecast import Forecast, announced, images_done, of_extraction, probe_tokens, widths_of
from brainnet.run.pictures import card_of_pictures, readable_pictures, remove_targets, write_targets
from brainnet.stimuli import Images
from brainnet.store import TokenStore
from brainnet.store.manifest import Manifest
from brainnet.tokens import POOLS, Backbone

PACKAGES = ("torch", "torchvision", "numpy", "timm", "open_clip_torch", "h5py", "scipy")
ROWS = 256  # pictures written at a time
UNFINISHED, TOKENS, CHECKED = ".unfinished", "tokens.bin", "checked.json"
Parts = Iterator[Tensor]


def extract_features(
    source: Any,
    out: str | Path,
    backbone: str | Backbone,
    *,
    layers: Iterable[str] | None = None,
    pool: str = "flatten",
    grid: tuple[int, int] | None = None,
    file_format: str = "npy",
    batch_size: int = 16,
    device: str | torch.device | None = None,
    keep_tokens: bool = False,
    skip_bad: bool = False,
    overwrite: bool = False,
    force: bool = False,
    progress: bool = True,
    **network: Any,
) -> dict[str, Path]:
    """Features of every layer as ``<layer>.<format>`` (n_images, n_features) float32, ``images.txt`` and a run card.

    Of pictures that have classes, ``targets.csv`` (id, class, target) and ``classes.txt`` stand beside them.

    Goes on where an interrupted call with the same arguments stopped. Memory is bounded by a batch of pictures and a
    few hundred rows of features, in every format but "mat" and "pt", which are written whole.

    Args:
        source: pictures: whatever :class:`~brainnet.stimuli.Images` reads (a folder, a zip, a list, an HDF5 file or a
            video), or such a set, made with the choices it offers.
        out: folder of the results.
        backbone: "family:variant", its own weights after an equals sign: "torchvision:squeezenet1_0=weights.npz"; or
            any object with ``get_tokens``.
        layers: which, in the order given; None takes all that the backbone offers by itself.
        pool: tokens to features: "flatten" (C * H * W), "mean" over places, "global" token, or "both".
        grid: None keeps each layer's own token map, so that "flatten" gives exact activations; a pair (height, width)
            averages larger maps down to it first. No map grows: one of 1 x 1 stays one number per channel.
        file_format: "npy", "csv" (a column of image ids first), "h5" (dataset "features", ids in "images"), "mat"
            (variable "features") or "pt".
        batch_size: pictures per forward pass.
        device: where the network works; None and "auto" are CUDA where there is one, then mps, then the CPU.
        keep_tokens: leave the token store, ``tokens.bin``: ``TokenStore.open`` and ``brainnet rdm`` read it.
        skip_bad: leave out pictures that cannot be read, and list them in the card; each is decoded once for that, at
            the beginning. By default the first one ends the call.
        overwrite: replace the extraction that ``out`` holds.
        force: begin also what the forecast says does not fit.
        progress: show progress bars.
        network: of a backbone named by text: ``seed`` of random weights, ``precision`` ("fp32", "bf16", "fp16"),
            ``image_size`` (height, width) in pixels, and whatever its family takes besides.

    Returns:
        Layer to file.

    Raises:
        FileExistsError: a finished extraction in ``out``, and no ``overwrite``.
        BlockingIOError: another process is writing ``out``.
        MemoryError, OSError: more memory or disk is needed than is free, without ``force``.
        Interrupted: ctrl-C or SIGTERM; the message says what is kept.
        ValueError: an unknown backbone, layer, pool, format or device, or another backbone, other layers or other
            pictures than those an unfinished extraction in ``out`` was begun with.
    """
    check_word("format", file_format, WRITERS)
    check_word("pool", pool, POOLS)
    device, clock, out = device_of(device), Clock(), Path(out)
    refuse_others(out, "extract")
    if (out / "run.json").is_file() and not overwrite:
        raise FileExistsError(f"{out} holds results already: replace them with --overwrite, or choose another --out.")
    pictures = Images.of(source, skip_bad=skip_bad, checked=False)
    settings = {"pool": pool, "grid": "native" if grid is None else list(grid)}
    named = backbone if isinstance(backbone, str) else type(backbone).__name__
    layers = None if layers is None else list(layers)
    named_by, backbone = backbone, _network(backbone, layers, network)
    if layers is not None and isinstance(named_by, str):
        layers = list(backbone.layers)  # patterns and numbers have become names
    with claimed(out, "extract"), terminable(), _saying_what_is_kept(out):
        _refuse_links(out)
        pictures = readable_pictures(pictures, skip_bad, out / CHECKED, progress)
        with at_work(backbone, device):
            forecast = _forecast(backbone, pictures, out, layers, pool, file_format, force,
                                 clock, grid=grid, batch_size=batch_size)  # fmt: skip
            store = _tokens(backbone, pictures, out / TOKENS, overwrite,
                            grid=grid, batch_size=batch_size, progress=progress)  # fmt: skip
        chosen = _chosen(store, layers)
        clock.lap("tokens")
        files = {layer: f"{slug(layer)}.{file_format}" for layer in chosen}
        _write_files(out, files, store, pool, pictures, progress)
        clock.lap("files")
        card = {
            **opening("extract", PACKAGES),
            "source": {**card_of_pictures(pictures), "backbone": named, "fingerprint": store.fingerprint},
            "settings": {**settings, **network, "device": str(device), "layers": list(files), "format": file_format},
            "files": list(files.values()),
            "n_images": len(pictures),
            "forecast": None if forecast is None else forecast.of_card(),
        }
        put_card(out, card, clock)
        del store
        _remove_unfinished(out, keep_tokens)
    return {layer: out / name for layer, name in files.items()}


def _network(backbone: str | Backbone, layers: Iterable[str] | None, options: dict[str, Any]) -> Backbone:
    """The backbone itself, or the one a text names, with options."""
    options = {name: value for name, value in options.items() if value is not None}
    if not isinstance(backbone, str):
        if not callable(getattr(backbone, "get_tokens", None)):
            raise TypeError(f"a backbone is a name or an object with get_tokens, got {type(backbone).__name__}.")
        if options:
            raise ValueError(f"{', '.join(options)} are of a backbone named by text; build yours with them.")
        return backbone
    return adjusted_of(backbone, layers, **options)


def _refuse_links(out: Path) -> None:
    """Links in the folder are refused, since writing would go where they point."""
    own = [TOKENS, f"{TOKENS}.json", f"{TOKENS}.lock", UNFINISHED, CHECKED]
    linked = next((name for name in own if (out / name).is_symlink()), None)
    if linked is not None:
        raise ValueError(
            f"{out / linked} is a link; nothing is written through links. Remove it, or choose another --out."
        )


@contextlib.contextmanager
def _saying_what_is_kept(out: Path) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        try:
            manifest = Manifest.read(out / TOKENS)
            kept = f"{out / TOKENS} keeps the tokens of {manifest.n_complete:,} of {len(manifest.image_ids):,} pictures"
            kept += ", and the same line goes on from there"
        except (OSError, ValueError):
            kept = "nothing is kept yet"
        raise Interrupted(f"extraction was interrupted; {kept}.") from None


def _forecast(
    backbone: Backbone,
    pictures: Images,
    out: Path,
    layers: list[str] | None,
    pool: str,
    file_format: str,
    force: bool,
    clock: Clock,
    **how: Any,
) -> Forecast | None:
    """What the extraction takes, said in a line; None where it is short."""
    n_done = images_done(out / TOKENS)
    probe = probe_tokens(backbone, pictures, resize="shrink", **how) if n_done < len(pictures) else None
    if probe is None:
        return None
    widths = widths_of(probe.layout, pool)
    widths = {name: width for name, width in widths.items() if layers is None or name in layers} or widths
    forecast = of_extraction(probe, len(pictures), n_done, widths, file_format, how["batch_size"])
    return announced(forecast.after(clock.elapsed()), out, force)


def _tokens(backbone: Backbone, pictures: Images, path: Path, overwrite: bool, **settings: Any) -> TokenStore:
    try:
        return TokenStore.build(backbone, pictures, path=path, resize="shrink", dtype=torch.float32,
                                overwrite=overwrite, **settings)  # fmt: skip
    except ValueError as error:
        if "overwrite=True" not in str(error):
            raise
        said = str(error).replace(" Or build with overwrite=True to replace it.", "")
        raise ValueError(
            f"{path.parent} holds another extraction: {said} Replace it with --overwrite, or choose another --out."
        ) from None


def _chosen(store: TokenStore, layers: list[str] | None) -> list[str]:
    """The layers to write: those of a backbone of one's own are chosen here, a named one was built with them."""
    if layers is None or all(not isinstance(layer, str) for layer in layers):
        return list(store.layers)
    for layer in layers:
        check_word("layer", layer, store.layers)
    return layers


def _write_files(
    out: Path, files: dict[str, str], store: TokenStore, pool: str, pictures: Images, progress: bool
) -> None:
    """Every layer's file, made beside what the folder holds and moved into place when all are whole."""
    unfinished = out / UNFINISHED
    _remove_listed(out, unfinished / "files.json")  # of a run that was killed while it moved them
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    file_format = next(iter(files.values())).rpartition(".")[2]
    spans = [slice(i, min(i + ROWS, len(store))) for i in range(0, len(store), ROWS)]
    for layer, name in progress_bar(files.items(), f"Writing {file_format}", len(files), progress):
        with writing(unfinished / name) as path:
            WRITERS[file_format](path, (store.features(layer, pool, span) for span in spans), pictures.ids)
    write_json(unfinished / "files.json", {"files": list(files.values())})
    remove_targets(out)
    _remove_listed(out, out / "run.json")
    write_text(out / "images.txt", "".join(f"{name}\n" for name in pictures.ids))
    write_targets(out, pictures)
    for name in files.values():
        os.replace(unfinished / name, out / name)


def _remove_unfinished(out: Path, keep_tokens: bool) -> None:
    """Takes away what a finished extraction needs no longer."""
    shutil.rmtree(out / UNFINISHED)
    (out / CHECKED).unlink(missing_ok=True)
    for suffix in () if keep_tokens else ("", ".json", ".lock"):
        (out / f"{TOKENS}{suffix}").unlink(missing_ok=True)


def _remove_listed(out: Path, listing: Path) -> None:
    """Takes away the results that a list names, and the list: one of another network would pass for one of this."""
    try:
        named = read_json(listing).get("files")
    except (OSError, ValueError):  # none, or damaged
        named = None
    for name in named if isinstance(named, list) else ():
        if isinstance(name, str) and re.fullmatch(rf"[\w-][\w.-]*\.({'|'.join(WRITERS)})", name, re.ASCII):
            (out / name).unlink(missing_ok=True)
    listing.unlink(missing_ok=True)


# ---------------------------------------------------------------------- formats: path, parts of rows, names of the rows


def _npy(path: Path, parts: Parts, ids: list[str]) -> None:
    described = None
    with path.open("wb") as file:  # not a memory map: a full disk would end the process without a word
        for part in parts:
            if described is None:
                described = {"descr": "<f4", "fortran_order": False, "shape": (len(ids), part.shape[1])}
                np.lib.format.write_array_header_1_0(file, described)
            file.write(np.ascontiguousarray(part.numpy(), dtype="<f4").data)


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

"""Features of pictures from a network to files: what another program reads, a row per picture, a file per layer.

Files are made in a hidden folder and moved into place when all of them are whole, so that what a kill leaves is never
read. A results folder may come from a stranger: of what its run card names, only files that this command makes, inside
the folder itself, are ever taken away.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from brainnet._checks import check_word
from brainnet._files import read_json, remember_digest, slug, write_json, write_text
from brainnet._work import Interrupted, at_work, device_of, terminable
from brainnet._work import progress as progress_bar
from brainnet.features.features import Features
from brainnet.features.formats import WRITERS, Table
from brainnet.features.layouts import FILE_NAMES, LAYOUTS, file_of, write_layer, write_separate
from brainnet.features.pools import of_tokens, pool_of
from brainnet.features.rows import RowsFolder
from brainnet.features.steps import SUFFIX, Chain, parse_steps
from brainnet.run.extraction.rows import ROWS, TOKENS, Chains, Rower, Work, finished, launched
from brainnet.run.forecast import Forecast, announced, of_extraction, probe_tokens, widths_of
from brainnet.run.processes import is_first_process, processes
from brainnet.run.record.card import Clock, opening, put_card, refuse_others
from brainnet.run.record.claiming import claimed
from brainnet.run.stimuli import card_of_pictures, readable_pictures, remove_targets, stimuli_for, write_targets
from brainnet.stimuli import Images
from brainnet.tokens import Backbone

PACKAGES = ("torch", "torchvision", "numpy", "timm", "open_clip_torch", "h5py", "scikit-learn")
UNFINISHED, CHECKED = ".unfinished", "checked.json"
FORMATS = (*WRITERS, *LAYOUTS)
OF_TOKENS = [f"{TOKENS}{suffix}" for suffix in ("", ".json", ".lock")]


def extract(
    backbone: str | Backbone,
    stimuli: Any,
    out: str | Path | None = None,
    *,
    layers: Iterable[str] | None = None,
    pool: str = "native",
    grid: tuple[int, int] | None = None,
    reduce: str | None = None,
    train: Iterable[str] | None = None,
    reduce_seed: int = 0,
    format: str = "npy",
    batch_size: int = 16,
    device: str | torch.device | None = None,
    devices: int = 1,
    num_nodes: int = 1,
    keep_tokens: bool = False,
    skip_bad: bool = False,
    overwrite: bool = False,
    force: bool = False,
    progress: bool = True,
    **network: Any,
) -> dict[str, Path] | Features:
    """Features of every layer: ``<layer>.<format>`` (n_images, n_features) float32 each, ``images.txt``, a run card.

    Of pictures that have classes, ``targets.csv`` (id, class, target) and ``classes.txt`` stand beside them.

    Goes on where an interrupted call with the same arguments stopped. A batch of pictures is held in memory, and a few
    megabytes of what is written, in every format.

    Args:
        backbone: "family:variant", its own weights after an equals sign: "torchvision:squeezenet1_0=weights.npz"; or
            any object with ``get_tokens``.
        stimuli: pictures: whatever :class:`~brainnet.stimuli.Images` reads (a folder, a zip, a list, an HDF5 file or a
            video), or such a set, made with the choices it offers; or an object with ``image_ids`` and ``image``. Of a
            network that reads texts, sounds or videos: what ``Texts``, ``Sounds`` or ``Clips`` reads, or such a set.
        out: folder of the results; None gives the features themselves.
        layers: which, in the order given; None takes all that the backbone offers by itself. "conv_ensemble" and
            "maxpool_ensemble" are the largest values of every channel of all such modules ``features.<k>``, the last
            two times 3 and 5.
        pool: tokens to features: "native" or "flatten" (C * H * W, exact activations), "grid" (the same on a grid of
            8 x 8 or ``grid``), "mean" or "max" over places, "class" token, "both" (mean, then class token), "all"
            tokens as a transformer has them but for its registers, "registers" (their mean), or "attention": what the
            network's own attention pool makes of its last map, the layer "attention_pool" of CLIP's ResNets, SigLIP,
            CoCa and others.
        grid: None keeps each layer's own token map; a pair (height, width) averages larger maps down to it first. No
            map grows: one of 1 x 1 stays one number per channel.
        reduce: steps with plus signs between them: "srp" or "srp:2000" (random sparse projection, by default as wide
            as Johnson and Lindenstrauss ask for), "pca:100", "center", "normalize", "glocal:transform.npz". They are
            kept beside each file. A folder of features takes the steps that are kept there, for new pictures.
        train: ids of the pictures from which means and components are learned; None takes all.
        reduce_seed: of random projections.
        format: npy, npz, h5, hdf5, mat, csv, txt, pt, safetensors or zarr; or the layout of another tool:
            "net2brain" (``consolidated_<layer>.npz``), "net2brain-separate" (``separate/<image>.npz``) or
            "thingsvision" (``<layer>/features.npy``, ``file_names.txt``).
        batch_size: pictures per forward pass.
        device: where the network works; None and "auto" are CUDA where there is one, then mps, then the CPU.
        devices, num_nodes: processes on each machine, and machines; the files are the same. On several machines run
            the same line on each, under torchrun or Slurm, or with NODE_RANK, MASTER_ADDR and MASTER_PORT set. A script
            that asks for several needs ``if __name__ == "__main__":`` around its call.
        keep_tokens: leave the token store, ``tokens.bin``: ``TokenStore.open`` and ``brainnet rdm`` read it.
        skip_bad: leave out pictures that cannot be read, and list them in the card; each is decoded once for that, at
            the beginning. By default the first one ends the call.
        overwrite: replace the extraction that ``out`` holds.
        force: begin also what the forecast says does not fit.
        progress: show progress bars.
        network: of a backbone named by text: ``seed`` of random weights, ``precision`` ("fp32", "bf16", "fp16"),
            ``image_size`` (height, width) in pixels, and whatever its family takes besides.

    Returns:
        Layer to file; without ``out``, layer to array, with ``ids``.

    Raises:
        FileExistsError: a finished extraction in ``out``, and no ``overwrite``.
        BlockingIOError: another process is writing ``out``.
        MemoryError, OSError: more memory or disk is needed than is free, without ``force``.
        Interrupted: ctrl-C or SIGTERM; the message says what is kept.
        ValueError: an unknown backbone, layer, pool, step, format or device, or another backbone, other layers or other
            pictures than those an unfinished extraction in ``out`` was begun with.

    >>> import numpy as np
    >>> pictures = np.random.default_rng(0).integers(0, 255, (3, 64, 64, 3), dtype=np.uint8)
    >>> features = extract("expansion:small", pictures, layers=["2", "4"], pool="mean", progress=False)
    >>> features, features["4"].shape, features.ids
    (Features(3 images; 2: 32, 4: 256), (3, 256), ['0', '1', '2'])
    """
    check_word("format", format, FORMATS)
    pool, grid = pool_of(pool, grid)
    for name, number in (("devices", devices), ("num_nodes", num_nodes), ("batch_size", batch_size)):
        if number < 1:
            raise ValueError(f"{name} is a number of at least 1, got {number}.")
    work = Work(
        backbone, network, None if layers is None else list(layers),
        stimuli_for(backbone, stimuli, skip_bad, **network),
        pool, grid, None if reduce is None else str(reduce), reduce_seed, None if train is None else list(train),
        batch_size, device_of(device), keep_tokens, overwrite, progress,
    )  # fmt: skip
    Chains(work.reduce, work.seed, 0)  # a wrong word is told before any work
    if not len(work.images.image_ids):
        raise ValueError("there are no pictures: the list or the array is empty.")
    if out is None:
        if devices * num_nodes > 1:
            raise ValueError("several processes write files: give out, a folder.")
        work.images = _readable(work, skip_bad)
        return Features(Rower(work).into_memory(), work.images.image_ids)
    out = Path(out)
    finish = partial(_finish, out=out, file_format=format)
    devices, num_nodes = processes(devices, num_nodes)
    if not is_first_process():  # of several that run this same command
        work.images = _readable(work, skip_bad)
        return launched(work, out, devices, num_nodes, finish) or {}
    refuse_others(out, "extract")
    if (out / "run.json").is_file() and not overwrite:
        _tidy(out)
        raise FileExistsError(f"{out} holds results already: replace them with --overwrite, or choose another --out.")
    with claimed(out, "extract"), terminable(), _saying_what_is_kept(out, len(work.images.image_ids)):
        _refuse_links(out)
        work.images = _readable(work, skip_bad, out / CHECKED)
        return _run(work, out, format, force, devices, num_nodes, finish)


def extract_features(
    source: Any, out: str | Path, backbone: str | Backbone, *, pool: str = "flatten", file_format: str = "npy",
    **options: Any,
) -> dict[str, Path]:  # fmt: skip
    """:func:`extract` with its arguments in another order and under other names, as it was called at first.

    >>> import tempfile
    >>> import numpy as np
    >>> pictures = np.zeros((3, 64, 64, 3), np.uint8)
    >>> how = {"layers": ["1"], "pool": "mean", "progress": False}
    >>> files = extract_features(pictures, tempfile.mkdtemp(), "expansion:small", **how)
    >>> np.load(files["1"]).shape
    (3, 108)
    """
    return extract(backbone, source, out, pool=pool, format=file_format, **options)


def _run(work: Work, out: Path, file_format: str, force: bool, devices: int, num_nodes: int, finish: Any) -> Any:
    rower, clock = Rower(work), Clock()
    _refuse_rows_of_others(rower, out)
    with at_work(rower.backbone, work.device):
        forecast = _forecast(rower, out, file_format, force, devices * num_nodes)
        finish = partial(finish, clock=clock, forecast=None if forecast is None else forecast.of_card())
        if devices * num_nodes == 1:
            return finish(rower, rower.into_folder(out, in_place=_stays(rower, file_format)))
    return launched(work, out, devices, num_nodes, finish)


def _refuse_rows_of_others(rower: Rower, out: Path) -> None:
    """What an interrupted extraction of something else has left is replaced where that was asked for."""
    rows = RowsFolder(out / ROWS, rower.identity, len(rower.source.ids), rower.work.batch_size)
    try:
        rows.refuse_others()
    except ValueError as error:
        if not rower.work.overwrite:
            raise ValueError(
                f"{out} holds another extraction:{error}\nReplace it with --overwrite, or choose another --out."
            ) from None
        rows.remove()


def _readable(work: Work, skip_bad: bool, kept: Path | None = None) -> Any:
    """The pictures of some work, where it is wanted without those that cannot be read."""
    return readable_pictures(work.images, skip_bad, kept, work.progress)


def _tidy(out: Path) -> None:
    """Takes away what a finished extraction has left that was killed after its card was written."""
    left = [out / name for name in (ROWS, UNFINISHED) if (out / name).is_dir() and not (out / name).is_symlink()]
    if left:
        with contextlib.suppress(BlockingIOError), claimed(out, "extract"):  # not while another replaces the results
            for folder in left:
                shutil.rmtree(folder)


def _refuse_links(out: Path) -> None:
    """Links in the folder are refused, since writing would go where they point."""
    linked = next((name for name in (*OF_TOKENS, ROWS, UNFINISHED, CHECKED) if (out / name).is_symlink()), None)
    if linked is not None:
        raise ValueError(
            f"{out / linked} is a link; nothing is written through links. Remove it, or choose another --out."
        )


@contextlib.contextmanager
def _saying_what_is_kept(out: Path, n_images: int) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        try:
            found = read_json(out / ROWS / "identity.json")
            n_done = RowsFolder(out / ROWS, {}, n_images, int(found["batch_size"])).images_done()
            kept = f"{out} keeps the features of {n_done:,} of {n_images:,} pictures"
            kept += ", and the same line goes on from there"
        except (OSError, ValueError, KeyError, TypeError):
            kept = "nothing is kept yet"
        raise Interrupted(f"extraction was interrupted; {kept}.") from None


def _forecast(rower: Rower, out: Path, file_format: str, force: bool, n_processes: int) -> Forecast | None:
    """What the extraction takes, said in a line; None where it is short."""
    work, n = rower.work, len(rower.source.ids)
    rows = RowsFolder(out / ROWS, {}, n, work.batch_size)
    n_done = rows.images_done()
    probe = None
    if n_done < n:
        probe = probe_tokens(rower.backbone, work.images, grid=work.grid, resize="shrink", batch_size=work.batch_size)
    if probe is None:
        return None
    raw = widths_of(probe.layout, of_tokens(work.pool))
    raw = {name: width for name, width in raw.items() if rower.layers is None or name in rower.layers} or raw
    steps = Chain(parse_steps(rower.chains.words))
    widths = {name: steps.width_of(width, n) for name, width in raw.items()}
    forecast = of_extraction(probe, n, n_done, widths, file_format, work.batch_size, keep_tokens=work.keep_tokens,
                             in_place=n_processes == 1 and _stays(rower, file_format))  # fmt: skip
    return announced(replace(forecast, seconds=forecast.seconds / n_processes), out, force)


# ---------------------------------------------------------------------- the files


def _finish(
    rower: Rower, rows: RowsFolder, out: Path, file_format: str, clock: Clock | None = None,
    forecast: Mapping[str, Any] | None = None,
) -> dict[str, Path]:  # fmt: skip
    """Every layer's file, the list of pictures and the card; then the rows are taken away."""
    clock = Clock() if clock is None else clock
    clock.lap("rows")
    work, layers = rower.work, list(rows.widths)
    rower.prepare(rows)
    names = _write_files(out, rower, rows, file_format)
    clock.lap("files")
    named = work.backbone if isinstance(work.backbone, str) else type(work.backbone).__name__
    settings = {"pool": work.pool, "grid": "native" if work.grid is None else list(work.grid), **work.network,
                "device": str(work.device), "layers": layers, "format": file_format}  # fmt: skip
    if work.reduce is not None:
        settings |= {"reduce": rower.chains.identity(), "train": None if work.train is None else len(set(work.train))}
    card = {
        **opening("extract", PACKAGES),
        "source": {**card_of_pictures(work.images), "backbone": named, "fingerprint": rower.identity},
        "settings": settings,
        "features": {layer: file_of(layer, file_format) for layer in layers},
        "n_images": len(rower.source.ids),
        "forecast": forecast,
    }
    put_card(out, card, clock, names)
    shutil.rmtree(out / UNFINISHED)
    (out / CHECKED).unlink(missing_ok=True)
    rows.remove()
    if not work.keep_tokens:
        for name in OF_TOKENS:
            (out / name).unlink(missing_ok=True)
    return {layer: out / file_of(layer, file_format) for layer in layers}


def _write_files(out: Path, rower: Rower, rows: RowsFolder, file_format: str) -> list[str]:
    """Every layer's files, made beside what the folder holds and moved into place when all are whole; their names."""
    unfinished, work, ids = out / UNFINISHED, rower.work, rower.source.ids
    _remove_listed(out, unfinished / "files.json")  # of a run that was killed while it moved them
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    layers = list(rows.widths)

    def table_of(layer: str) -> Table:
        width, parts = finished(rower.chains[layer], partial(rows.parts, layer), rows.widths[layer], rower)
        return Table(parts, (len(ids), width), ids)

    if file_format == "net2brain-separate":
        write_separate(unfinished / file_of("", file_format), {layer: table_of(layer) for layer in layers})
    names = list(dict.fromkeys(file_of(layer, file_format) for layer in layers))
    digests: dict[str, str | None] = {}
    for layer in progress_bar(layers, f"Writing {file_format}", len(layers), work.progress):
        name = file_of(layer, file_format)
        ready = rows.array(layer) if _stays(rower, file_format) else None
        if ready is not None and _is_linked(ready.path, unfinished / name):
            digests[name] = ready.digest()
        elif file_format != "net2brain-separate":
            write_layer(unfinished / name, table_of(layer), file_format)
        if rower.chains.steps:
            names.append(f"{slug(layer)}{SUFFIX}")
            rower.chains[layer].save(unfinished / names[-1], layer)
    # as a card has it, since what is moved from here on is of this list
    listing = {"files": names, "settings": {"layers": list(rows.widths), "format": file_format}}
    write_json(unfinished / "files.json", listing)
    remove_targets(out)
    _remove_listed(out, out / "run.json")
    targets = write_targets(out, work.images) if isinstance(work.images, Images) else []
    listed = ["images.txt", *([FILE_NAMES] if file_format == "thingsvision" else [])]
    for name in listed:
        write_text(out / name, "".join(f"{one}\n" for one in ids))
    for name in names:
        _take_away(out / name)
        (out / name).parent.mkdir(exist_ok=True)
        os.replace(unfinished / name, out / name)
        if digests.get(name) is not None:
            remember_digest(out / name, digests[name])
    return [*names, *listed, *(path.name for path in targets)]


def _stays(rower: Rower, file_format: str) -> bool:
    """Whether a row stays as it was made, at a place in the file that is known before."""
    return file_format in ("npy", "thingsvision") and not rower.chains.learn


def _is_linked(path: Path, other: Path) -> bool:
    """Gives a file a second name, and says whether that went: not every file system has two names for a file."""
    other.parent.mkdir(exist_ok=True)
    try:
        os.link(path, other)
    except OSError:
        return False
    return True


def _remove_listed(out: Path, listing: Path) -> None:
    """Takes away the results that a list tells of, and the list: one of another network would pass for one of this.

    The names of the files are not taken from the list, which a stranger may have written, but made of its layers.
    """
    try:
        found = read_json(listing)
        settings, files = found.get("settings"), found.get("files")
    except (OSError, ValueError):  # none, or damaged
        settings, files = None, None
    if isinstance(settings, Mapping) and isinstance(files, list | dict) and settings.get("format") in FORMATS:
        layers = settings.get("layers")
        for layer in layers if isinstance(layers, list) else ():
            names = (file_of(layer, settings["format"]), f"{slug(layer)}{SUFFIX}") if isinstance(layer, str) else ()
            for name in names:
                inside = (out / name).parent != out
                if name in files and not (inside and (out / name).parent.is_symlink()):
                    _take_away(out / name)
                    with contextlib.suppress(OSError):
                        (out / name).parent.rmdir() if inside else None
    listing.unlink(missing_ok=True)


def _take_away(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)

"""What a token store costs to build and to read, beside bare forward passes and a per-image dictionary cache.

The dictionary cache is the habit the store replaces: tokens at their native 14x14 in a dictionary keyed by the sum of
an image's pixels, found image by image, concatenated layer by layer, and resized to 8x8 on every read. To know that sum
an epoch decodes and resizes every picture again, so a second row reads the dictionary from JPEG files; the store goes
by index.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from benchmarks import measure, ratio, report, seconds, table
from brainnet.backbone import BACKBONES
from brainnet.datamodule import BatchLoader, EpochSampler, TokenBatches
from brainnet.store import TokenStore, fingerprint_of
from brainnet.tokens import Preprocessing, Tokens

LAYERS, WIDTH, NATIVE, GRID = 12, 768, 14, 8


class DictionaryCache(dict):
    """Tokens by pixel sum, one dictionary per image."""

    def remember(self, images: torch.Tensor, tokens: Tokens) -> None:
        """Files each image's tokens under its sum."""
        for i, image in enumerate(images):
            self[image.sum().item()] = tuple({k: v[i : i + 1].clone() for k, v in part.items()} for part in tokens)

    def read(self, images: torch.Tensor) -> tuple[dict, dict]:
        """A batch: found, concatenated, resized."""
        found = [self[image.sum().item()] for image in images]
        local, global_ = ({k: torch.cat([one[part][k] for one in found]) for k in found[0][part]} for part in (0, 1))
        return {k: F.interpolate(v, size=(GRID, GRID), mode="bilinear") for k, v in local.items()}, global_


def photographs(n_images: int, folder: Path) -> list[Path]:
    """Smooth random JPEG files of 425 x 425 pixels, the size of the Algonauts 2023 stimuli."""
    rng = np.random.default_rng(0)
    paths = [folder / f"{i:05d}.jpg" for i in range(n_images)]
    for path in paths:
        coarse = Image.fromarray(rng.integers(0, 255, (27, 27, 3), dtype=np.uint8))
        coarse.resize((425, 425), Image.Resampling.BICUBIC).save(path, quality=90)
    return paths


def reading(n_images: int, repeats: int, folder: Path) -> str:
    """Reads batches of 8 cached images, 12 x 65 x 768."""
    rng = torch.Generator().manual_seed(0)
    names = [str(i) for i in range(LAYERS)]
    n_cached = min(n_images, 64)  # the dictionary takes 7.3 MB an image
    paths, preprocessing = photographs(n_cached, folder), Preprocessing()
    images = torch.stack([preprocessing(Image.open(path)) for path in paths])
    cache = DictionaryCache()
    for start in range(0, n_cached, 8):
        local = {k: torch.randn(8, WIDTH, NATIVE, NATIVE, generator=rng) for k in names}
        cache.remember(images[start : start + 8], Tokens(local, {k: v.mean((2, 3)) for k, v in local.items()}))

    def batches():
        for start in range(0, n_images, 32):
            shape = (min(32, n_images - start), WIDTH)
            local = {k: torch.randn(*shape, GRID, GRID, generator=rng) for k in names}
            yield Tokens(local, {k: torch.randn(*shape, generator=rng) for k in names})

    store = TokenStore.from_tokens(batches(), [str(i) for i in range(n_images)], dtype=torch.float16)

    def choose(n: int) -> torch.Tensor:
        return torch.randint(n, (8,), generator=rng)

    def from_files() -> tuple[dict, dict]:
        return cache.read(torch.stack([preprocessing(Image.open(paths[i])) for i in choose(n_cached)]))

    loader = BatchLoader(
        TokenBatches(store, torch.zeros(n_images, 1)),
        EpochSampler(torch.arange(n_images), 8, shuffle=True),
        lookahead=False,
    )
    timings = measure(
        {
            "per-image dictionary, concatenated and resized": lambda: cache.read(images[choose(n_cached)]),
            "the same, its keys from JPEG files": from_files,
            "store.tokens(index)": lambda: store.tokens(choose(n_images)),
            "store.tokens(index, torch.float16), as stored": lambda: store.tokens(choose(n_images), torch.float16),
        },
        repeats=repeats,
    )
    epoch = measure(
        {
            "loader": lambda: [None for _ in loader],
            "bare": lambda: [store.tokens(i) for i in torch.randperm(n_images, generator=rng).split(8)],
        },
        repeats=max(3, repeats // 5),
    )
    first = next(iter(timings.values()))
    rows = [
        [name, seconds(t.cpu), ratio(first.cpu / t.cpu), seconds(t.wall), ratio(first.wall / t.wall)]
        for name, t in timings.items()
    ]
    return "\n\n".join(
        [
            f"## Reading a batch of 8 cached images, {LAYERS} x {GRID * GRID + 1} x {WIDTH}",
            table(["form", "CPU", "CPU ratio", "wall", "wall ratio"], rows),
            f"{n_images} images in the store, {n_cached} in the dictionary; medians of {repeats}. An epoch through the "
            f"data module's loader costs {ratio(epoch['loader'].cpu / epoch['bare'].cpu)} the CPU time of bare reads.",
        ]
    )


def building(name: str, n_images: int, batch_size: int, repeats: int, folder: Path) -> str:
    """Builds a store of generated JPEG files, beside the forward passes alone."""
    backbone = BACKBONES.build(name, weights="random")
    paths = photographs(n_images, folder)
    start = time.process_time()
    known = fingerprint_of(backbone)
    hashing = time.process_time() - start
    backbone.fingerprint = lambda: known  # paid once a build, however many images; reported apart
    pictures = torch.stack([backbone.preprocessing(Image.open(path)) for path in paths])

    def bare() -> None:
        with torch.no_grad():
            for batch in pictures.split(batch_size):
                backbone.get_tokens(batch)

    def build(images, path: Path | None = None) -> None:
        store = TokenStore.build(backbone, images, path=path, batch_size=batch_size, progress=False)
        if path is not None:
            for file in (store.path, *store.path.parent.glob(f"{path.name}.*")):
                file.unlink()

    timings = measure(
        {
            "bare forward passes": bare,
            "decoding and resizing alone": lambda: [backbone.preprocessing(Image.open(path)) for path in paths],
            "store of ready tensors, in memory": lambda: build(pictures),
            "store of JPEG files, in memory": lambda: build(paths),
            "store of JPEG files, on disk": lambda: build(paths, folder / "tokens.bin"),
        },
        repeats=repeats,
    )
    first = timings["bare forward passes"]
    rows = [
        [
            what,
            seconds(t.cpu / n_images),
            ratio(t.cpu / first.cpu),
            seconds(t.wall / n_images),
            ratio(t.wall / first.wall),
        ]
        for what, t in timings.items()
    ]
    return "\n\n".join(
        [
            f"## Building a store: {name}, {n_images} images of 425 x 425 in batches of {batch_size}",
            table(["work, per image", "CPU", "CPU ratio", "wall", "wall ratio"], rows),
            f"Random weights; medians of {repeats}. Hashing the weights, once a build, left out: {seconds(hashing)}.",
        ]
    )


def main(argv: list[str]) -> None:
    """Parses the options and reports."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks store", description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=512, help="images in the store that is read (1.2 MB each)")
    parser.add_argument("--build-images", type=int, default=64, help="images in the store that is built")
    parser.add_argument("--backbone", default="timm:vit_base_patch16_224", help="backbone of the build")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=15, help="of the reads; builds are repeated a fifth as often")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", nargs="?", const="", help="save the tables, by default in benchmarks/results/store.md")
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads)
    logging.getLogger("brainnet").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        sections = [
            reading(options.images, options.repeats, Path(folder)),
            building(
                *(options.backbone, options.build_images, options.batch_size),
                *(max(3, options.repeats // 5), Path(folder)),
            ),
        ]
    report("store", sections, out=options.out)

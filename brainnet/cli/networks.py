"""Commands about networks and data: extract, datasets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from brainnet.cli.listing import described, print_entries
from brainnet.cli.process import loading
from brainnet.cli.shared import (
    Classes,
    DataSet,
    Device,
    Every,
    Force,
    Fps,
    Grid,
    ImageSize,
    ImageSource,
    Layout,
    Out,
    Overwrite,
    Precision,
    Quiet,
    Rows,
    SkipBad,
    app,
    images_of,
    out_console,
)


@app.command()
def extract(
    images: ImageSource,
    backbone: Annotated[
        str, typer.Option("--backbone", "-b", help="family:variant, or family:variant=weights. `brainnet backbones`.")
    ],
    out: Out = Path("features"),
    layer: Annotated[list[str] | None, typer.Option("--layer", "-l", help="A layer; repeat for more.")] = None,
    pool: Annotated[str, typer.Option(help="Tokens to features: flatten, mean, global or both.")] = "flatten",
    grid: Grid = None,
    file_format: Annotated[str, typer.Option("--format", "-f", help="npy, csv, h5, mat or pt.")] = "npy",
    batch_size: Annotated[int, typer.Option(min=1, help="Images per forward pass.")] = 16,
    device: Device = None,
    precision: Precision = None,
    image_size: ImageSize = None,
    seed: Annotated[int | None, typer.Option(help="Seed of random weights.")] = None,
    keep_tokens: Annotated[bool, typer.Option("--keep-tokens", help="Leave the token store, tokens.bin.")] = False,
    overwrite: Overwrite = False,
    force: Force = False,
    quiet: Quiet = False,
    layout: Layout = "auto",
    skip_bad: SkipBad = False,
    classes: Classes = None,
    rows: Rows = None,
    key: DataSet = None,
    fps: Fps = None,
    every: Every = None,
) -> None:
    """Write a network's features of images, a file per layer.

    brainnet extract images/ --backbone torchvision:squeezenet1_0 --pool mean --out features

    Features are exact activations, C * H * W of each layer's own token map; --grid or --pool make them fewer.

    The same line goes on where an interrupted one stopped.
    """
    with loading():
        from brainnet.run.extraction import extract_features
        from brainnet.run.pictures import TARGETS

    pictures = images_of(images, skip_bad, rows, layout=layout, classes=classes, key=key, fps=fps, every=every)
    written = extract_features(
        pictures, out, backbone, skip_bad=skip_bad, layers=layer, pool=pool, grid=grid or None, file_format=file_format,
        batch_size=batch_size, device=device, keep_tokens=keep_tokens, overwrite=overwrite, force=force,
        progress=not quiet,
        precision=precision, image_size=image_size or None, seed=seed,
    )  # fmt: skip
    beside = [out / "images.txt", *(out / name for name in TARGETS if (out / name).is_file())]
    out_console.print("\n".join(str(path) for path in [*written.values(), *beside]), highlight=False)


@app.command()
def datasets() -> None:
    """List the data sets brainnet reads."""
    print_entries(described("dataset", "DATASETS", "readers", "brainnet.datasets"), "data set")

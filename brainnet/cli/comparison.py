"""The command compare: layers of networks beside each other."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from brainnet.cli.process import loading
from brainnet.cli.shared import (
    Device,
    FigureFormat,
    Grid,
    ImageSize,
    Out,
    Precision,
    Quiet,
    app,
    out_console,
)


@app.command()
def compare(
    images: Annotated[Path, typer.Argument(help="Folder or zip file of images.")],
    backbone: Annotated[
        list[str],
        typer.Option(
            "--backbone",
            "-b",
            help="Network: family:variant, or family:variant=weights. Repeat the option for several networks.",
        ),
    ],
    out: Out = Path("comparison"),
    layer: Annotated[
        list[str] | None,
        typer.Option(
            "--layer",
            "-l",
            help="Layer or pattern of layers, for all networks; NETWORK=LAYER is for one of them. Repeat the option "
            "for several layers. The default is all layers that a network offers by itself.",
        ),
    ] = None,
    metric: Annotated[
        str,
        typer.Option(
            help="How two layers are compared: rdm (correlation of their dissimilarity matrices), cka (centred kernel "
            "alignment) or procrustes (how well one can be turned onto the other)."
        ),
    ] = "rdm",
    dissimilarity: Annotated[
        str, typer.Option(help="With rdm: distance between the patterns of two images, such as correlation.")
    ] = "correlation",
    correlation: Annotated[
        str, typer.Option(help="With rdm: how two dissimilarity matrices are compared, such as spearman or pearson.")
    ] = "spearman",
    pool: Annotated[str, typer.Option(help="How tokens become features: flatten, mean, global or both.")] = "flatten",
    grid: Grid = None,
    sort: Annotated[bool, typer.Option("--sort", help="Draw alike layers beside each other.")] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Number of images that a network sees at a time.")] = 16,
    device: Device = None,
    precision: Precision = None,
    image_size: ImageSize = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the weights of networks with random weights.")] = None,
    figure_format: FigureFormat = "png,svg",
    quiet: Quiet = False,
) -> None:
    """Compare networks, layer by layer, by how they see the same images.

    brainnet compare images/ -b torchvision:alexnet -b timm:vit_small_patch16_224 --metric cka
    """
    with loading():
        from brainnet.run.comparison import write_comparison

    table = write_comparison(
        images, out, backbone, layers=layer, metric=metric, dissimilarity=dissimilarity, correlation=correlation,
        pool=pool, grid=grid or None, sort=sort, batch_size=batch_size, device=device, precision=precision,
        image_size=image_size or None, seed=seed, progress=not quiet,
    )  # fmt: skip
    n_networks = table.index.get_level_values("model").nunique()
    out_console.print(
        f"{len(table)} layers of {n_networks} network{'s' * (n_networks != 1)}\n{out / 'similarity.csv'}",
        highlight=False,
    )

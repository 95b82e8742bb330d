"""The command compare: layers of networks beside each other."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from brainnet.cli.process import loading
from brainnet.cli.shared import (
    Classes,
    DataSet,
    Device,
    Every,
    FigureFormat,
    Force,
    Fps,
    Grid,
    ImageSize,
    Layout,
    Out,
    Precision,
    Quiet,
    Rows,
    SkipBad,
    Step,
    StimulusSource,
    Window,
    app,
    out_console,
    stimuli_from,
)

Networks = Annotated[
    list[str],
    typer.Option(
        "--backbone",
        "-b",
        help="Network: family:variant, or family:variant=weights. Repeat the option for several networks.",
    ),
]
LayersOf = Annotated[
    list[str] | None,
    typer.Option(
        "--layer",
        "-l",
        help="Layer or pattern of layers of all networks, or NETWORK=LAYER of one network. Repeat the option "
        "for several layers. The default is all layers that a network offers by itself.",
    ),
]
ComparedBy = Annotated[
    str,
    typer.Option(
        help="How two layers are compared: rdm (correlation of their RDMs), cka (centered kernel alignment) or "
        "procrustes (how well one can be turned onto the other)."
    ),
]


@app.command()
def compare(
    images: StimulusSource,
    backbone: Networks,
    out: Out = Path("comparison"),
    layer: LayersOf = None,
    metric: ComparedBy = "rdm",
    dissimilarity: Annotated[
        str,
        typer.Option(
            help="Distance between the patterns of two images, such as correlation. It is used with --metric rdm."
        ),
    ] = "correlation",
    correlation: Annotated[
        str,
        typer.Option(help="How two RDMs are compared, such as spearman or pearson. It is used with --metric rdm."),
    ] = "spearman",
    pool: Annotated[str, typer.Option(help="How tokens become features: flatten, mean, global or both.")] = "flatten",
    grid: Grid = None,
    sort: Annotated[bool, typer.Option("--sort", help="Draw layers that are alike beside each other.")] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Number of images that a network sees at a time.")] = 16,
    device: Device = None,
    precision: Precision = None,
    image_size: ImageSize = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the weights of networks with random weights.")] = None,
    force: Force = False,
    figure_format: FigureFormat = "png,svg",
    quiet: Quiet = False,
    layout: Layout = "auto",
    skip_bad: SkipBad = False,
    classes: Classes = None,
    rows: Rows = None,
    key: DataSet = None,
    fps: Fps = None,
    every: Every = None,
    window: Window = None,
    step: Step = None,
) -> None:
    """Compare networks, layer by layer, by how they see the same images, or hear or read the same sounds or texts.

    brainnet compare images/ -b torchvision:alexnet -b timm:vit_small_patch16_224 --metric cka

    brainnet compare sounds/ -b silero:vad -b transformers:openai/whisper-base

    The same line goes on where an interrupted one stopped: networks that were done are not asked again.
    """
    with loading():
        from brainnet.run.extraction.comparison import write_comparison

    pictures = stimuli_from(
        images, backbone[0], skip_bad, rows, window=window, step=step, layout=layout, classes=classes, key=key, fps=fps,
        every=every,
    )  # fmt: skip
    table = write_comparison(
        pictures, out, backbone, layers=layer, metric=metric, dissimilarity=dissimilarity, correlation=correlation,
        pool=pool, grid=grid or None, sort=sort, batch_size=batch_size, device=device, precision=precision,
        image_size=image_size or None, seed=seed, skip_bad=skip_bad, force=force, progress=not quiet,
    )  # fmt: skip
    n_networks = table.index.get_level_values("model").nunique()
    out_console.print(
        f"{len(table)} layers of {n_networks} network{'s' * (n_networks != 1)}\n{out / 'similarity.csv'}",
        highlight=False,
    )

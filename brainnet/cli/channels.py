"""The command channels: what the regions of a trained map read, shown in images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from brainnet.cli.process import loading
from brainnet.cli.shared import Device, FigureFormat, Out, Quiet, app, out_console


@app.command()
def channels(
    run: Annotated[Path, typer.Argument(help="Folder of a finished `brainnet fit`.")],
    roi: Annotated[
        list[str] | None,
        typer.Option("--roi", help="Region by its name or a pattern such as 'V1*'. Repeat for several. Default: all."),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(help="Images to show and to rank: a folder, a zip or a list. Default: those of the run's data."),
    ] = None,
    n_images: Annotated[int, typer.Option(min=1, help="Images in a figure.")] = 8,
    like: Annotated[
        Path | None, typer.Option(help="Another run over the same voxels, whose cluster colors are taken over.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the choice of images on which channels are shown.")] = 0,
    out: Out = Path("channels"),
    device: Device = None,
    figure_format: FigureFormat = "png,svg",
    quiet: Quiet = False,
) -> None:
    """Show the top channels of a region in images, and the images it answers to most and least.

    brainnet channels run --roi FFA --out channels

    The channels are those of a trained map: another training may find others that predict as well.
    """
    with loading():
        from brainnet.run.channels import channels as draw_channels

    paths = draw_channels(
        run, roi or [], out, images=images, n_images=n_images, like=like, seed=seed, device=device, progress=not quiet
    )
    for path in paths:
        out_console.print(str(path), highlight=False)

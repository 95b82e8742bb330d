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
        typer.Option(
            "--roi",
            help="Name of a region, or a pattern such as 'V1*'. Repeat the option for several "
            "regions. The default is all regions.",
        ),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            help="Images to show and to rank: a folder, a zip or a list. The default is the images of the run's data."
        ),
    ] = None,
    n_images: Annotated[int, typer.Option(min=1, help="Number of images in a figure.")] = 8,
    like: Annotated[
        Path | None,
        typer.Option(help="Folder of another run over the same voxels. Clusters get the colors that they have there."),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of the random choice of images on which channels are shown.")
    ] = 0,
    out: Out = Path("channels"),
    device: Device = None,
    figure_format: FigureFormat = "png,svg",
    quiet: Quiet = False,
) -> None:
    """Show the top channels of a region in images, and the images to which the region answers most and least.

    brainnet channels run --roi FFA --out channels

    The channels are those of one trained map. Another training may find other channels that predict as well.
    """
    with loading():
        from brainnet.run.maps.channels import channels as draw_channels

    paths = draw_channels(
        run, roi or [], out, images=images, n_images=n_images, like=like, seed=seed, device=device, progress=not quiet
    )
    for path in paths:
        out_console.print(str(path), highlight=False)

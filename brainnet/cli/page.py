"""The command page, and the page that other commands leave beside their results."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from brainnet.cli.process import loading
from brainnet.cli.shared import Quiet, app, err_console, out_console

Surface = Annotated[str, typer.Option(help="Surface that is shown first: pial, inflated or flat.")]


@app.command()
def page(
    runs: Annotated[
        list[Path],
        typer.Argument(help="Folders of finished runs of fit, encode or searchlight. Several runs stand side by side."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="HTML file that is written.")] = Path("page.html"),
    surface: Surface = "inflated",
    images: Annotated[
        Path | None,
        typer.Option(
            help="Images on which windows are drawn: a folder or a list. If the run is a fit, its responses to them "
            "are predicted: a slider shows the map of each image. The first 48 images are taken."
        ),
    ] = None,
    atlas: Annotated[
        list[str] | None,
        typer.Option(
            help="File of an atlas whose regions are outlined as well: .annot, .mgz, .label.gii, .dlabel.nii or a "
            "volume. Behind =, patterns of the regions that are wanted. Repeat the option for several.",
            metavar="FILE[=PATTERNS]",
        ),
    ] = None,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    quiet: Quiet = False,
) -> None:
    """Write one HTML file that shows all maps of a run on a brain that you can turn, unfold and ask.

    brainnet page demo --out demo.html --open

    The file needs no server and no network. It can be sent by mail and attached to a paper.
    """
    with loading():
        from brainnet.run.page.run_page import write_page

    path = write_page(runs, out, surface=surface, images=images, atlases=atlas or (), progress=not quiet)
    out_console.print(f"{path} ({path.stat().st_size / 1e6:.1f} MB)", highlight=False)
    if open_:
        import webbrowser

        webbrowser.open(path.resolve().as_uri())


def page_beside(out: Path) -> Path | None:
    """Writes the page of a run into its folder; a run without a place on a brain gets one line that says so."""
    from brainnet.run.page.run_page import NAME, write_page

    try:
        path = write_page([out], out / NAME)
    except ValueError as error:
        err_console.print(f"[yellow]no page:[/] {error}", highlight=False)
        return None
    return path

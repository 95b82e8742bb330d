"""The command export: maps as files for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from brainnet.cli.process import loading
from brainnet.cli.shared import Out, app, out_console


@app.command()
def export(
    result: Annotated[Path, typer.Argument(help="Folder of a finished fit, searchlight or encoding.")],
    form: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            "-f",
            help="Format of the files: gifti, nifti, cifti, csv or pycortex. Repeat the option "
            "for several formats. The default is gifti for surfaces and nifti for "
            "volumes.",
        ),
    ] = None,
    one_map: Annotated[
        list[str] | None,
        typer.Option("--map", help="Name of a map. Repeat the option for several maps. The default is all maps."),
    ] = None,
    out: Out = Path("maps"),
) -> None:
    """Write the maps of a result for Workbench, FreeView, nilearn, pycortex or a spreadsheet.

    brainnet export run --format cifti --format csv --out maps

    In pycortex: cortex.Vertex(numpy.load("maps/maps.npz")["cortex:r"], "fsaverage").
    """
    with loading():
        from brainnet.run.exporting import export as export_maps

    for path in export_maps(result, out, form, one_map or ()):
        out_console.print(str(path), highlight=False)

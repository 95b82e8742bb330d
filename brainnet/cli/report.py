"""The command report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from brainnet.cli.process import loading
from brainnet.cli.shared import app, out_console


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(help="Folders of finished runs of fit, encode, searchlight or rsa.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="HTML file that is written.")] = Path("report.html"),
    open_: Annotated[bool, typer.Option("--open", help="Open the report in the browser.")] = False,
) -> None:
    """Write one HTML file about runs: scores, figures, interactive maps, methods, citations, limits and run card.

    brainnet report demo --out report.html --open

    The file needs no server and no network. It can be sent by mail and attached to a paper.
    """
    with loading():
        from brainnet.run.report.report import write_report

    path = write_report(runs, out)
    out_console.print(f"{path} ({path.stat().st_size / 1e6:.1f} MB)", highlight=False)
    if open_:
        import webbrowser

        webbrowser.open(path.resolve().as_uri())

"""Commands about features in files: merge, split."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from brainnet.cli.process import loading
from brainnet.cli.shared import Out, Overwrite, app, out_console

Format = Annotated[
    str,
    typer.Option(
        "--format",
        "-f",
        help="Format of the files, as of `brainnet extract`: npy, npz, h5, mat, csv, pt, net2brain, ...",
    ),
]

features_app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich")
app.add_typer(features_app, name="features", help="Join and part features in files, or write them in another format.")


@features_app.command()
def merge(
    sources: Annotated[list[Path], typer.Argument(help="Folders or files of features of the same layers.")],
    out: Out = Path("features"),
    file_format: Format = "npy",
    overwrite: Overwrite = False,
) -> None:
    """Join features of several sets of images, in the order given.

    brainnet features merge first/ second/ --out both
    """
    with loading():
        from brainnet.run.extraction.feature_parts import merge_features

    written = merge_features(sources, out, format=file_format, overwrite=overwrite)
    out_console.print("\n".join(map(str, written.values())), highlight=False)


@features_app.command()
def split(
    source: Annotated[Path, typer.Argument(help="Folder or file of features.")],
    parts: Annotated[int, typer.Option("--parts", "-n", min=2, help="Number of folders.")],
    out: Out = Path("features"),
    file_format: Format = "npy",
    overwrite: Overwrite = False,
) -> None:
    """Part features into folders of nearly the same number of images.

    brainnet features split both/ --parts 10 --out parts
    """
    with loading():
        from brainnet.run.extraction.feature_parts import split_features

    folders = split_features(source, out, parts, format=file_format, overwrite=overwrite)
    out_console.print("\n".join(map(str, folders)), highlight=False)

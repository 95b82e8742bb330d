"""What the commands share: the app they are filed under, their common options, and how a table is printed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Maps deep networks onto brains: which [bold]layer[/], [bold]space[/], [bold]scale[/] and [bold]channel[/] "
    "of a network predicts each voxel best?\n\nStart with [cyan]brainnet demo[/]: it needs no data and no download.",
)
out_console = Console(width=None if sys.stdout.isatty() else 140)  # a file or a pipe is as wide as a table needs
err_console = Console(stderr=True)

Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY VALUE]...",
        help="Settings that differ, such as [cyan]OPTIMIZER.LR 0.003[/]. `brainnet fit --keys` lists all.",
        show_default=False,
    ),
]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder of the results.")]
Grid = Annotated[
    tuple[int, int] | None,
    typer.Option(help="Average larger token maps down to this grid. Default: each layer's own.", metavar="H W"),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what the folder holds.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars.")]
Force = Annotated[
    bool, typer.Option("--force", help="Begin also where the forecast says that memory or disk will not be enough.")
]


def renames(words: list[str] | None) -> dict[str, str]:
    """Old name -> new name of the words of ``--rename``."""
    from brainnet.run.names import read_renames

    return read_renames(words or ())


def _draw_as(context: typer.Context, text: str) -> str:
    """Figures are saved in these formats until the command ends."""
    from brainnet.plot.saving import saved_as

    context.with_resource(saved_as(*(word.strip().lower() for word in text.split(",") if word.strip())))
    return text


Rename = Annotated[
    list[str] | None,
    typer.Option(
        help="Another name for a region or a model, in the tables and in the figures. Repeat the option for several.",
        metavar="OLD=NEW",
    ),
]
FigureFormat = Annotated[
    str,
    typer.Option(
        "--format",
        help="Formats of the figures: png, svg or pdf, several with commas between them.",
        callback=_draw_as,
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        help="Where the network works: auto, cpu, cuda, cuda:1 or mps. The default is auto: CUDA where there is one, "
        "then mps, then the CPU."
    ),
]
Precision = Annotated[
    str | None, typer.Option(help="Arithmetic of the network: fp32, bf16 or fp16. The default is what the network has.")
]
ImageSize = Annotated[
    tuple[int, int] | None,
    typer.Option(
        help="Height and width in pixels of the images that the network sees. The default is what its weights were "
        "trained with.",
        metavar="H W",
    ),
]


def print_table(table, title: str) -> None:
    """A DataFrame, numbers with four digits."""
    shown = Table(*table.columns, title=title, title_justify="left", box=None)
    for row in table.itertuples(index=False):
        shown.add_row(*map(_cell, table.columns, row))
    out_console.print(shown)


def _cell(column: str, value) -> str:
    """A value of a table; no p is zero, and what has no value is blank."""
    if not isinstance(value, float):
        return str(value)
    if value != value:
        return ""
    return "<0.0001" if column in ("p", "p_corrected") and value < 0.0001 else f"{value:.4f}"

"""The command backbones: the families of networks, the networks of one, and those for which something holds."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from brainnet.cli.listing import described, print_entries
from brainnet.cli.process import loading
from brainnet.cli.shared import app, err_console, out_console

if TYPE_CHECKING:
    from brainnet.backbone.networks import Network

# of the printed table: column and title, in the order in which they stand; and which are left out first where it is
# too wide, those that say the same of every network before all others
SHOWN = {"reads": "reads", "parameters": "params", "image_size": "pixels", "top1": "top-1 %", "task": "task",
         "training_set": "trained on", "method": "method", "license": "license"}  # fmt: skip
LEFT_OUT_FIRST = ("reads", "license", "image_size", "task", "top1", "method", "training_set", "parameters")
WIDEST = 44  # letters of a cell, other than the name
BETWEEN = 2  # blanks between columns


def _words(what: str, example: str) -> Any:
    return typer.Option(help=f"{what}: {example}.", show_default=False)


@app.command()
def backbones(
    family: Annotated[
        str | None, typer.Argument(help="Name of a family. Its networks are listed.", show_default=False)
    ] = None,
    like: Annotated[
        str, typer.Option(help="Part of a name, or a pattern with * and ?. Only such names are listed.")
    ] = "",
    task: Annotated[list[str] | None, _words("What it was trained to do", "'object detection', classification")] = None,
    trained_on: Annotated[list[str] | None, _words("A data set it was trained on", "imagenet-1k, coco, none")] = None,
    method: Annotated[
        list[str] | None, _words("How it was trained", "supervised, simclr, self-supervised, untrained")
    ] = None,
    architecture: Annotated[
        list[str] | None, _words("Its kind, its series or the architecture", "transformer, resnet, convnext_base")
    ] = None,
    reads: Annotated[list[str] | None, _words("The stimuli it takes", "image, text, sound, video, pair")] = None,
    min_params: Annotated[
        str | None, typer.Option(help="Smallest number of parameters, such as 5M.", show_default=False)
    ] = None,
    max_params: Annotated[
        str | None, typer.Option(help="Largest number of parameters, such as 30M.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all that is known as a JSON list.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print all that is known as CSV.")] = False,
) -> None:
    """List the families of networks, the networks of one, or those for which something holds.

    brainnet backbones timm --like dinov2

    brainnet backbones --reads sound

    brainnet backbones --task classification --trained-on ecoset --max-params 30M

    Repeat an option for alternatives. 'a + b' asks for both. The option --backbone takes every name of the list.
    """
    filters = {"task": task, "trained_on": trained_on, "method": method, "architecture": architecture,
               "reads": reads, "min_params": min_params, "max_params": max_params}  # fmt: skip
    filters = {name: value for name, value in filters.items() if value}
    if family is None and not (like or filters or as_json or as_csv):
        print_entries(described("backbone", "BACKBONES", "families", "brainnet.backbones"), "backbone")
        err_console.print("[dim]`brainnet backbones FAMILY` lists its networks; --help says how to search all.[/]")
        return
    with loading():
        from brainnet.backbone.finding import Query, search

    found, why = search(Query(family=family, like=like or None, **filters))
    if as_json or as_csv:
        (_print_json if as_json else _print_csv)(found)
        if why:
            err_console.print(f"[yellow]warning:[/] {why}", highlight=False, soft_wrap=True)
    elif not found:
        raise ValueError(why)
    elif not filters and family is not None:
        out_console.print("\n".join(network.name for network in found), highlight=False, markup=False, soft_wrap=True)
    else:
        _print_table(found)


def _print_json(networks: Iterable[Network]) -> None:
    print(json.dumps([asdict(network) for network in networks], indent=1))


def _print_csv(networks: Iterable[Network]) -> None:
    from brainnet.backbone.networks import COLUMNS

    writer = csv.DictWriter(sys.stdout, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(network) for network in networks)


def _print_table(networks: Sequence[Network]) -> None:
    """As many columns as the terminal has room for, names whole."""
    cells = {column: [_cell(column, getattr(network, column)) for network in networks] for column in SHOWN}
    width = max(len(network.name) for network in networks)
    widths = {c: BETWEEN + min(WIDEST, max(map(len, (SHOWN[c], *found)))) for c, found in cells.items() if any(found)}
    left_out = []
    for column in sorted(LEFT_OUT_FIRST, key=lambda column: len(set(cells[column])) > 1):
        if column in widths and width + sum(widths.values()) > out_console.width:
            del widths[column]
            left_out.append(SHOWN[column])
    table = Table(box=None, pad_edge=False, padding=(0, BETWEEN, 0, 0))
    table.add_column("name", style="cyan", overflow="fold", min_width=min(width, out_console.width))
    columns = [column for column in SHOWN if column in widths]
    for column in columns:
        is_number = column in ("parameters", "image_size", "top1")
        table.add_column(SHOWN[column], justify="right" if is_number else "left", no_wrap=True, max_width=WIDEST)
    for row, network in enumerate(networks):
        table.add_row(network.name, *(cells[column][row] for column in columns))
    out_console.print(table, highlight=False)
    _print_notes(networks, left_out)


def _print_notes(networks: Sequence[Network], left_out: Sequence[str]) -> None:
    """What stands below the table; on the terminal's other channel, so that the table can be piped."""
    needs = [network.needs for network in networks if network.needs]
    notes = [f"{len(networks):,} network{'s' * (len(networks) != 1)}; --csv and --json print all that is known."]
    if left_out:
        notes.append(f"A wider terminal shows more columns: {', '.join(reversed(left_out))}.")
    if needs:
        notes.append(f"{len(needs):,} of them need {needs[0]}.")
    err_console.print(f"[dim]{' '.join(notes)}[/]", highlight=False)


def _cell(column: str, value: Any) -> str:
    if value is None:
        return ""
    if column == "parameters":
        return short_count(value)
    return f"{value:.1f}" if column == "top1" else str(value)


def short_count(number: int) -> str:
    """A number of parameters in three digits.

    >>> short_count(25557032), short_count(1014447120), short_count(4104), short_count(7)
    ('25.6M', '1.01B', '4.1k', '7')
    """
    for unit, size in (("B", 10**9), ("M", 10**6), ("k", 10**3)):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return str(number)

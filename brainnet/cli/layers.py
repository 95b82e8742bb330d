"""The command layers: the tree of a network's modules, from which layers are chosen."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.text import Text
from rich.tree import Tree

from brainnet.cli.process import loading
from brainnet.cli.shared import FamilyOptions, app, family_options, out_console


@app.command()
def layers(
    backbone: Annotated[
        str, typer.Argument(help="Network: family:variant, or family:variant=weights. `brainnet backbones` lists all.")
    ],
    like: Annotated[
        str, typer.Option(help="Part of the name or of the class of a module. Only such modules are shown.")
    ] = "",
    depth: Annotated[
        int | None, typer.Option(min=1, help="Number of levels of the tree. The default is all levels.")
    ] = None,
    image_size: Annotated[
        tuple[int, int] | None,
        typer.Option(
            help="Height and width of the images in pixels. The default is what the weights were trained with.",
            metavar="H W",
        ),
    ] = None,
    option: FamilyOptions = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list with one entry for each module.")] = False,
) -> None:
    """Draw the modules of a network, with the tokens that each gives: channels x height x width.

    brainnet layers timm:vit_small_patch16_224 --like attn

    Every name in the tree is a layer for --layer, and so are patterns (blocks.*) and single calls (relu@1). The network
    is built with random weights, since shapes do not depend on them.
    """
    with loading():
        from brainnet.run.extraction.layers import list_layers

    defaults, rows = list_layers(backbone, like=like, image_size=image_size or None, **family_options(option))
    rows = [row for row in rows if depth is None or row.name.count(".") < depth]
    if as_json:
        print(json.dumps({"default": defaults, "modules": [row._asdict() for row in rows]}, indent=1))
        return
    out_console.print(_tree(backbone, rows), soft_wrap=True)
    out_console.print(Text(f"by default: {', '.join(defaults)}"), soft_wrap=True)


def _tree(title: str, rows: Sequence[Any]) -> Tree:
    """Rows by their dotted names; a row whose parent is not shown hangs on the nearest one that is."""
    root = Tree(Text(title, "bold"))
    branches = {"": root}
    for row in rows:
        parent = row.name
        while parent not in branches:
            parent = parent.rpartition(".")[0]
        label = row.name[len(parent) + 1 :] if parent else row.name
        branches[row.name] = branches[parent].add(_line(label, row))
    return root


def _line(label: str, row: Any) -> Text:
    tokens = " x ".join(map(str, row.tokens)) if row.tokens else ""
    calls = f"  {row.n_calls} calls" if row.n_calls > 1 else ""
    weights = f"  {row.n_parameters:,}" if row.n_parameters else ""
    return Text.assemble(
        (label, "cyan" if row.tokens else ""), "  ", (row.kind, "dim"), "  ", (tokens, "bold"), (calls, "yellow"),
        (weights, "dim"), (f"  {row.why}" if row.why else "", "dim italic"),
    )  # fmt: skip

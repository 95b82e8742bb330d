"""The command export: what leaves a result for other programs: maps, an encoder with its card, a plugin of a board."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from brainnet.cli.process import loading
from brainnet.cli.shared import app, out_console

TARGETS = {"maps": Path("maps"), "model": Path("card"), "brainscore": Path("brainscore")}
ONLY_OF = {  # option -> the targets that read it
    "format": ("maps",), "map": ("maps",), "license": ("model",), "push": ("model",), "private": ("model",),
    "method": ("model",), "layer": ("model",), "network": ("model", "brainscore"), "subject": ("model", "brainscore"),
    "identifier": ("brainscore",), "region": ("brainscore",),
}  # fmt: skip


Forms = Annotated[
    list[str] | None,
    typer.Option(
        "--format",
        "-f",
        help="Format of the files: gifti, nifti, cifti, csv or pycortex. Repeat the option "
        "for several formats. The default is gifti for surfaces and nifti for "
        "volumes.",
    ),
]
Maps = Annotated[
    list[str] | None,
    typer.Option("--map", help="Name of a map. Repeat the option for several maps. The default is all maps."),
]


@app.command()
def export(
    result: Annotated[Path, typer.Argument(help="Folder of a finished fit, searchlight or encoding.")],
    to: Annotated[
        str,
        typer.Option(
            help="What is written: maps, model (the encoder with its card) or brainscore (a plugin for Brain-Score)."
        ),
    ] = "maps",
    form: Forms = None,
    one_map: Maps = None,
    license: Annotated[
        str | None, typer.Option(help="License of the encoder, such as cc-by-4.0. The default is that none is stated.")
    ] = None,
    push: Annotated[
        str | None,
        typer.Option(help="Repository of the Hugging Face hub, OWNER/NAME, into which the encoder is put as well."),
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    network: Annotated[str | None, typer.Option(help="Network of the encoding. The default is the best.")] = None,
    method: Annotated[
        str | None, typer.Option("--method", "-m", help="Method of the encoding. The default is the best.")
    ] = None,
    layer: Annotated[
        str | None, typer.Option("--layer", "-l", help="Layer of the encoding. The default is the best.")
    ] = None,
    subject: Annotated[str | None, typer.Option(help="Subject of the encoding, where it has several.")] = None,
    identifier: Annotated[str | None, typer.Option(help="Name of the model on the board.")] = None,
    region: Annotated[
        list[str] | None,
        typer.Option(
            help="Region of the board with yours that stand for it, such as IT=FFA,PPA. Repeat the option for several."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder of the results. The default is maps, card or brainscore.")
    ] = None,
) -> None:
    """Write the maps of a result for other programs, its encoder for other people, or a plugin for Brain-Score.

    brainnet export run --format cifti --format csv --out maps

    brainnet export run --to model --out card

    brainnet export run --to brainscore --out plugin

    In pycortex: cortex.Vertex(numpy.load("maps/maps.npz")["cortex:r"], "fsaverage").
    """
    fit = {"network": network, "method": method, "layer": layer, "subject": subject}
    given = {"format": form, "map": one_map, "license": license, "push": push, "private": private or None}
    _refuse_options_of_others(to, {**given, **fit, "identifier": identifier, "region": region})
    out = TARGETS[to] if out is None else out
    with loading():
        from brainnet.run.maps.exporting import export as export_maps
        from brainnet.run.sharing.brainscore import export_brainscore
        from brainnet.run.sharing.sharing import export_model, push_model

    if to == "maps":
        paths = export_maps(result, out, form, one_map or ())
    elif to == "brainscore":
        chosen = {"subject": subject, "network": network}
        paths = export_brainscore(result, out, identifier=identifier, regions=region or (), **chosen)
    else:
        paths = sorted(export_model(result, out, license=license, **fit).iterdir())
    for path in paths:
        out_console.print(str(path), highlight=False)
    if push is not None:
        out_console.print(push_model(out, push, private=private or None), highlight=False)


def _refuse_options_of_others(to: str, given: Mapping[str, Any]) -> None:
    """Refuses an unknown target, and options that it does not read."""
    from brainnet._checks import check_word

    check_word("target of --to", to, TARGETS)
    for name, value in given.items():
        if value is not None and to not in ONLY_OF[name]:
            raise ValueError(f"--{name} is for --to {' or '.join(ONLY_OF[name])}, and this is --to {to}.")

"""The command searchlight rdms: a searchlight that was published as RDMs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from brainnet.cli.process import loading
from brainnet.cli.rsa import Key, Method, Models, Seed, searchlight_app
from brainnet.cli.shared import Out, Quiet, out_console


@searchlight_app.command("rdms")
def rdms(
    file: Annotated[
        Path,
        typer.Argument(help="RDMs (subjects, centers, n, n), or (centers, subjects, n, n): .npy, .npz, .mat, .h5."),
    ],
    model: Models = None,
    out: Out = Path("searchlight"),
    axes: Annotated[
        str | None,
        typer.Option(
            help="Order of the axes: subjects,centres or centres,subjects. By default the shorter one is subjects."
        ),
    ] = None,
    method: Method = "spearman",
    permutations: Annotated[
        int, typer.Option(min=0, help="Number of sign flips. With 0, p comes from Student's t distribution.")
    ] = 1000,
    seed: Seed = 0,
    key: Key = None,
    quiet: Quiet = False,
) -> None:
    """Test models at every center of a searchlight whose RDMs were published, such as those of dnn2brain.

    brainnet searchlight rdms all_sub_slrdms.npy --model taskonomy/ --out lights
    """
    with loading():
        from brainnet.run.rsa.searchlight_rdms import search_rdms

    found = search_rdms(file, model or (), out, axes=axes, method=method, n_permutations=permutations, seed=seed,
                        key=key, progress=not quiet)  # fmt: skip
    out_console.print(f"{found!r}\nmaps, table of centers and run card in {out}", highlight=False)

"""The command rsa partition: what sets of models explain of brain RDMs together, alone and uniquely."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from brainnet.cli.process import loading
from brainnet.cli.rsa import Brains, FitPermutations, Folds, Key, Models, Seed, Span, print_read, rsa_app
from brainnet.cli.shared import FigureFormat, Out, Quiet, Rename, out_console, print_table, renames


@rsa_app.command()
def partition(
    subjects: Brains,
    out: Out = Path("rsa"),
    model: Models = None,
    method: Annotated[
        str,
        typer.Option(
            help="Comparison: spearman replaces all dissimilarities by their ranks first, and pearson does not."
        ),
    ] = "spearman",
    over_time: Annotated[
        bool,
        typer.Option(
            "--time", help="Part the variance at every time of the brain RDMs. The p-values are corrected over times."
        ),
    ] = False,
    span: Span = None,
    folds: Folds = 3,
    permutations: FitPermutations = 1000,
    key: Key = None,
    seed: Seed = 0,
    rename: Rename = None,
    figure_format: FigureFormat = "png,svg",
    quiet: Quiet = False,
) -> None:
    """Regress brain RDMs on all models together: the total, unique and shared R2 of each model.

    brainnet rsa partition brain/ --model a.npz --model b.npz

    brainnet rsa partition meg.npz --time --span -0.1 0.9 --model a.npz --model b.npz
    """
    with loading():
        from brainnet.run.rsa.fits import partition_over_time, partition_rdms

    if span is not None and not over_time:
        raise typer.BadParameter("it is of courses over time: give --time too.", param_hint="--span")
    tables = (partial(partition_over_time, span=span) if over_time else partition_rdms)(
        subjects, out, models=model or (), method=method, n_folds=folds, n_permutations=permutations, key=key,
        seed=seed, rename=renames(rename), progress=not quiet,
    )  # fmt: skip
    print_read(tables)
    best = tables["parts"].groupby(["roi", "part", "sets"], sort=False)["r2"].idxmax()  # without times there is one
    print_table(tables["parts"].loc[best], "highest parts over time" if over_time else "parts")
    out_console.print(f"\ntables, figures and run card in {out}", highlight=False)

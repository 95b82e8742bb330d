"""The command rsa steps: model time by brain time."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from brainnet.cli.process import loading
from brainnet.cli.rsa import Courses, FitPermutations, Folds, Key, Models, Seed, Span, rsa_app
from brainnet.cli.shared import FigureFormat, Out, Quiet, Rename, out_console, print_table, renames


@rsa_app.command()
def steps(
    subjects: Courses,
    out: Out = Path("rsa"),
    model: Models = None,
    method: Annotated[
        str, typer.Option(help="How two RDMs are compared: spearman, pearson, rho-a, cosine or cka.")
    ] = "spearman",
    span: Span = None,
    step: Annotated[
        float | None, typer.Option(help="Seconds from one step of a model to the next, for the table of lags.")
    ] = None,
    folds: Folds = 2,
    permutations: FitPermutations = 1000,
    key: Key = None,
    seed: Seed = 0,
    rename: Rename = None,
    figure_format: FigureFormat = "png,svg",
    quiet: Quiet = False,
) -> None:
    """Compare every step of models with M/EEG RDMs at every time (CT-RSA).

    A model is a file of RDMs, one per step: frames of a clip, or passes of a recurrent network.
    At each time the best step is chosen on other subjects and conditions than it is scored on.

    brainnet rsa steps meg.npz --span -0.1 0.9 --model frames.npz --step 0.1
    """
    with loading():
        from brainnet.run.rsa.steps import compare_steps

    tables = compare_steps(
        subjects, out, models=model or (), method=method, span=span, step=step, n_folds=folds,
        n_permutations=permutations, key=key, seed=seed, rename=renames(rename), progress=not quiet,
    )  # fmt: skip
    print_table(tables["scores"].nlargest(5, "score"), "highest scores")
    out_console.print(f"\ntables, figures and run card in {out}", highlight=False)

"""The commands sweep run, status, script and compare."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from brainnet.cli.process import loading
from brainnet.cli.shared import FigureFormat, Force, Quiet, app, err_console, out_console, print_table

sweep_app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich")
app.add_typer(sweep_app, name="sweep", help="Run many networks on many subjects by many methods, and compare them.")

Definition = Annotated[Path, typer.Argument(help="YAML file with the backbones, subjects, methods and controls.")]
Folder = Annotated[Path, typer.Option("--out", "-o", help="Folder of the sweep.")]
SweepFolder = Annotated[Path, typer.Argument(help="Folder of a sweep, as `brainnet sweep run --out` filled it.")]
Options = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        help="Option of the Slurm jobs, such as cores=4 or walltime=12:00:00. Repeat the option for several.",
        metavar="NAME=VALUE",
    ),
]


@sweep_app.command()
def run(
    sweep: Definition,
    out: Folder = Path("sweep"),
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Number of workers.")] = 1,
    engine: Annotated[
        str,
        typer.Option(help="Where the workers run: processes (on this machine), dask, ray or slurm (jobs of Slurm)."),
    ] = "processes",
    address: Annotated[
        str | None, typer.Option(help="Address of a dask scheduler or of a ray cluster that is there already.")
    ] = None,
    option: Options = None,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Run the cells of a sweep that are not done yet: one for each network, subject, method and control.

    brainnet sweep run sweep.yaml --out sweep --jobs 4

    Each cell has a run folder of its own. The same line goes on where an interrupted one stopped.
    Several lines may work in one folder at the same time, also on several machines that see it under one path.
    A cell that fails is recorded, and the others go on. Then the exit code is 1.
    """
    with loading():
        from brainnet.run.sweep.sweep import run_sweep

    table = run_sweep(
        sweep, out, n_jobs=jobs, engine_name=engine, address=address, engine_options=_options(option), force=force,
        progress=not quiet,
    )  # fmt: skip
    n_failed = _report(out)
    models = table["model"].nunique()
    out_console.print(f"{models} network{'s' * (models != 1)} in {out / 'sweep.csv'}", highlight=False)
    if n_failed:
        text = f"{n_failed} cell{'s' * (n_failed != 1)} failed: brainnet sweep status {out} --failed says why."
        err_console.print(Text.assemble(("error: ", "bold red"), text))
        raise typer.Exit(1)


@sweep_app.command()
def status(
    sweep: SweepFolder,
    failed: Annotated[bool, typer.Option("--failed", help="List the cells that failed, and why.")] = False,
) -> None:
    """Say how many cells of a sweep are done, failed, at work and left.

    brainnet sweep status sweep --failed
    """
    _report(sweep, failed)


@sweep_app.command()
def script(
    sweep: Definition,
    out: Folder = Path("sweep"),
    file: Annotated[Path, typer.Option("--file", help="File of the job script.")] = Path("sweep.sh"),
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Number of workers: tasks of the job array.")] = 4,
    option: Options = None,
) -> None:
    """Write a job script for Slurm: an array of workers for one sweep.

    brainnet sweep script sweep.yaml --out /shared/sweep --jobs 50 --option time=12:00:00 --option gres=gpu:1

    Then submit the script: sbatch sweep.sh
    """
    from brainnet.run.sweep.definition import read_definition
    from brainnet.run.sweep.plan import make_plan
    from brainnet.run.sweep.slurm import write_job

    make_plan(read_definition(sweep))  # refused here, and not in fifty jobs
    path = write_job(sweep, out, file, jobs, _options(option))
    out_console.print(f"{path}: submit it with sbatch", highlight=False)


@sweep_app.command()
def compare(
    sweep: SweepFolder,
    generalise: Annotated[
        str,
        typer.Option(help="What the results generalize to: subjects, stimuli, both, or auto (what the sweep allows)."),
    ] = "auto",
    maps: Annotated[int, typer.Option(min=0, help="Number of networks whose maps are on the page.")] = 60,
    similarity: Annotated[
        str | None,
        typer.Option(help="Compare the networks with each other as well: rdm, cka or procrustes."),
    ] = None,
    figure_format: FigureFormat = "png,svg",
    quiet: Quiet = False,
) -> None:
    """Compare the networks of a sweep: ranking with ties, paired tests, layers, properties, figures and one page.

    brainnet sweep compare sweep

    You can give it while the sweep is at work. It then compares the cells that are done.
    """
    with loading():
        from brainnet.run.sweep.comparison import compare_sweep

    tables = compare_sweep(sweep, generalise=generalise, maps=maps, similarity=similarity, progress=not quiet)
    ranking = tables["ranking"]
    shown = ranking[(ranking["control"] == "") & (ranking["roi"] == ranking["roi"].iloc[0])]
    for method, part in shown.groupby("method", sort=False):
        columns = ["model", "mean", "low", "high", "rank_low", "rank_high", "ceiling_share"]
        print_table(part[columns].head(10), f"{method}, {part['roi'].iloc[0]}")
    out_console.print(f"\ntables, figures and page in {sweep / 'comparison'}", highlight=False)


def _options(words: list[str] | None) -> dict[str, str]:
    found = {}
    for word in words or ():
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise ValueError(f"--option is NAME=VALUE, as in walltime=12:00:00; got {word!r}.")
        found[name] = value
    return found


def _report(out: Path, failed: bool = False) -> int:
    """Says how many cells are done, failed, at work and left; returns how many failed."""
    from brainnet.run.sweep.state import status_of

    table = status_of(out)
    counts = Counter(table["state"])
    said = ", ".join(f"{counts[word]} {word}" for word in ("done", "failed", "at work", "left") if counts[word])
    out_console.print(f"{len(table)} cells: {said}", highlight=False)
    if counts["failed"] and failed:
        print_table(table.loc[table["state"] == "failed", ["model", "subject", "method", "control", "error"]], "failed")
    elif counts["failed"]:
        first = table[table["state"] == "failed"].iloc[0]
        cell = ", ".join(filter(None, (first[name] for name in ("model", "subject", "method", "control"))))
        out_console.print(f"the first that failed: {cell}: {first['error']}", highlight=False, markup=False)
    return counts["failed"]

"""Commands about finished runs and kept downloads: runs list, runs show, runs rerun; cache list, cache clear."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from brainnet._files import cache_dir
from brainnet._work import duration, size
from brainnet.cli.shared import Out, app, out_console
from brainnet.run.record.runs import find_runs, flat, read_run, words_again

runs = typer.Typer(no_args_is_help=True, help="List finished runs, show what a run says of itself, or make it again.")
cache = typer.Typer(no_args_is_help=True, help="List the downloads that brainnet keeps, or delete some.")
app.add_typer(runs, name="runs")
app.add_typer(cache, name="cache")

RunFolder = Annotated[Path, typer.Argument(help="Folder of a finished run, or its run.json.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@runs.command("list")
def list_runs(
    folder: Annotated[Path, typer.Argument(help="Folder that is searched, with all folders below it.")] = Path(),
) -> None:
    """List every finished run in a folder and below it, the oldest first.

    brainnet runs list results/
    """
    found = find_runs(folder)
    if not found:
        raise ValueError(f"no finished run in {folder} or below it.")
    table = Table("folder", "command", "finished (UTC)", "took", box=None)
    for run in found:
        table.add_row(Text(str(run.folder)), Text(run.kind), run.created, duration(run.seconds))
    out_console.print(table)


@runs.command("show")
def show_run(
    run: RunFolder,
    like: Annotated[str, typer.Option(help="Part of a name, such as versions. Only such entries are shown.")] = "",
) -> None:
    """Show what the card of a run says: its command, data, versions, settings and scores.

    brainnet runs show demo --like test.all
    """
    _, card = read_run(run)
    entries = {name: value for name, value in flat(card).items() if like.lower() in name.lower()}
    if not entries:
        raise ValueError(f"the card of {run} has no entry like {like!r}.")
    table = Table("entry", "value", box=None)
    for name, value in entries.items():
        is_table = isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value) and not like
        said = f"{len(value)} rows; --like {name} shows them" if is_table else str(value)
        table.add_row(Text(name, overflow="fold"), Text(said, overflow="fold"))
    out_console.print(table)


@runs.command("rerun")
def rerun_run(run: RunFolder, out: Out = Path("rerun"), yes: Yes = False) -> None:
    """Run the command of a finished run again, into another folder.

    The command is taken from the run card. Relative paths in it are read from the folder in which you are. The command
    is shown before it runs, because a card from somebody else may name files of code.

    brainnet runs rerun demo --out demo_again
    """
    words = words_again(read_run(run)[0], out)
    out_console.print(Text(f"brainnet {shlex.join(words)}"))
    if not yes:
        typer.confirm("Run this?", abort=True)
    code = subprocess.run([sys.executable, "-m", "brainnet", *words], check=False).returncode
    if code:
        raise typer.Exit(code)


@cache.command("list")
def list_cache() -> None:
    """List the files that brainnet downloaded and keeps, in $BRAINNET_HOME or ~/.cache/brainnet."""
    kept = _kept()
    table = Table("name", "size", box=None)
    for path in kept:
        table.add_row(Text(path.name), size(_bytes(path)))
    out_console.print(table)
    out_console.print(f"{len(kept)} in {cache_dir()}, {size(sum(map(_bytes, kept)))}", highlight=False)


@cache.command("clear")
def clear_cache(
    names: Annotated[list[str], typer.Argument(help="Names of files, as `brainnet cache list` shows them.")],
    yes: Yes = False,
) -> None:
    """Delete kept downloads by name. They are downloaded again when they are needed.

    brainnet cache clear alexnet.npz
    """
    by_name = {path.name: path for path in _kept()}
    unknown = [name for name in names if name not in by_name]
    if unknown:
        raise ValueError(f"no {unknown[0]!r} in {cache_dir()}; there are {', '.join(by_name) or 'no files'}.")
    if not yes:
        typer.confirm(f"Delete {', '.join(names)} from {cache_dir()}?", abort=True)
    for name in dict.fromkeys(names):
        path = by_name[name]
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _kept() -> list[Path]:
    return sorted(cache_dir().iterdir()) if cache_dir().is_dir() else []


def _bytes(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() and not path.is_symlink() else [path]
    return sum(file.lstat().st_size for file in files if not file.is_dir())

"""The command line: every command reads its options and calls one public function.

A user's mistake ends in one readable line and exit code 2; ``-v`` shows the traceback and the log as well.
"""

from __future__ import annotations

import logging
import sys
import warnings
from functools import partial
from typing import Annotated

import typer
from rich.text import Text

import brainnet.cli.backbones
import brainnet.cli.channels
import brainnet.cli.comparison
import brainnet.cli.datasets
import brainnet.cli.encode
import brainnet.cli.export
import brainnet.cli.features

# isort: off  (each files its commands under the app, and this is the order in which --help lists them)
import brainnet.cli.fit
import brainnet.cli.layers
import brainnet.cli.networks
import brainnet.cli.page
import brainnet.cli.plot
import brainnet.cli.report
import brainnet.cli.rsa
import brainnet.cli.rsa_partition
import brainnet.cli.rsa_steps
import brainnet.cli.runs
import brainnet.cli.searchlight_rdms
import brainnet.cli.sweep  # noqa: F401

# isort: on
from brainnet.cli.process import end_at_once, keep_freed_memory
from brainnet.cli.shared import app, err_console, out_console


@app.callback(invoke_without_command=True)
def _common(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show log messages and tracebacks.")] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    if version:
        from brainnet import __version__

        out_console.print(f"brainnet {__version__}", highlight=False)
        raise typer.Exit
    logging.basicConfig(format="%(name)s: %(message)s", level=logging.INFO if verbose else logging.WARNING)
    logging.getLogger("brainnet.progress").setLevel(logging.INFO)  # where no bar can be drawn
    if not verbose:
        warnings.showwarning = partial(_one_line_warning, set())


def _one_line_warning(said: set[str], message, category, filename, lineno, file=None, line=None) -> None:
    """Prints a warning of brainnet, once a command: steps that read the same files have the same to say."""
    if issubclass(category, UserWarning) and "brainnet" in filename and str(message) not in said:
        said.add(str(message))
        err_console.print(Text.assemble(("warning:", "yellow"), f" {message}"), highlight=False)


def command_line() -> None:
    """Entry point: :func:`main`, then the end at once."""
    code: str | int | None = 0
    try:
        main()
    except SystemExit as stop:
        code = stop.code
    end_at_once(code)


def main() -> None:
    """Runs the app, and turns a user's mistake into one line and exit code 2."""
    from brainnet._work import Interrupted

    keep_freed_memory()
    verbose = any(word in ("-v", "--verbose") for word in sys.argv[1:])
    try:
        app()
    except Interrupted as stop:
        err_console.print(Text.assemble(("stopped: ", "yellow"), str(stop)))
        sys.exit(130)  # what a shell reports for ctrl-C
    except (ValueError, TypeError, OSError, ModuleNotFoundError, MemoryError) as error:
        if verbose:
            raise
        err_console.print(Text.assemble(("error: ", "bold red"), str(error)))
        sys.exit(2)


if __name__ == "__main__":
    command_line()

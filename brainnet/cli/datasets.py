"""The commands datasets: what there is to read, what one is, its files fetched, and whether a folder holds it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml
from rich.table import Table
from rich.text import Text
from typer.core import TyperGroup

import brainnet
from brainnet._files import plain
from brainnet._work import size
from brainnet.cli.listing import described, said_of
from brainnet.cli.process import loading
from brainnet.cli.shared import Out, Quiet, app, err_console, out_console

if TYPE_CHECKING:
    from brainnet.dataset.checking import FolderCheck
    from brainnet.dataset.fetching import Plan

SHOWN = ("title", "kind", "size")  # of the list
READERS = Path(brainnet.__file__).parent / "dataset" / "readers"


class _OrName(TyperGroup):
    """A group whose commands are found by their names; any other word is the name of a data set, to be shown."""

    def resolve_command(self, context, words):
        return super().resolve_command(context, words if words[0] in self.commands else ["show", *words])


datasets = typer.Typer(
    cls=_OrName,
    invoke_without_command=True,
    help="List the data sets that brainnet reads, show one, fetch its files, or check that a folder holds it.\n\n"
    "[cyan]brainnet datasets nsd[/] says what to download from where, under which terms, and its options.\n"
    "[cyan]brainnet datasets check nsd /data/nsd[/] says what a folder holds and what is missing.\n"
    "[cyan]brainnet datasets get NAME[/] fetches what needs no form.\n"
    "[cyan]brainnet datasets coco[/] writes masks and captions of photographs of NSD.",
)
app.add_typer(datasets, name="datasets")

Name = Annotated[
    str,
    typer.Argument(help="Name of a data set, as `brainnet datasets` lists it, or FILE.py:NAME for one of your own."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print all that is known, as JSON.")]
Chosen = Annotated[
    list[str] | None,
    typer.Option("--option", help="An option of the reader. Repeat it for several options.", metavar="NAME=VALUE"),
]
Pairs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY VALUE]...", help="Options of the reader as pairs, such as `subject 2`.", show_default=False
    ),
]


@datasets.callback()
def list_datasets(context: typer.Context, as_json: AsJson = False) -> None:
    """One line for each data set."""
    if context.invoked_subcommand is not None:
        return
    if as_json:
        with loading():
            from brainnet.dataset import DATASETS, describe_dataset

        _print_json([describe_dataset(name) for name in DATASETS.names()])
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("name", style="cyan", no_wrap=True)
    table.add_column("what it is")
    table.add_column("kind", no_wrap=True)
    table.add_column("how much")
    table.add_column("download", no_wrap=True)
    for name, said in listed_datasets().items():
        table.add_row(name, Text(said["title"]), said["kind"], Text(said["size"]), said["download"])
    out_console.print(table)
    err_console.print(
        "[dim]`brainnet datasets NAME` says what to download from where, and all options of the reader. "
        "`download get`: `brainnet datasets get NAME` fetches files of it.[/]",
        highlight=False,
    )  # fmt: skip


def listed_datasets() -> dict[str, dict[str, str]]:
    """Title, kind, size and way of download of each data set; brainnet's own are read from source, without torch."""
    found = {}
    others = {point.name for point in entry_points(group="brainnet.datasets")}
    for name, line in described("dataset", "DATASETS", "readers", "brainnet.datasets").items():
        place = READERS / f"{name}.py"
        said = said_of(place, "About") if name not in others and place.is_file() else None
        if name in others or (said is not None and not all(isinstance(said.get(word), str) for word in SHOWN)):
            said = _asked(name)  # of another package, or written in a way that only Python can read
        said = said if said and "title" in said else {"title": line, "kind": "", "size": ""}
        said["download"] = "" if not said["kind"] else "get" if said.get("downloads", ()) != () else "by hand"
        found[name] = said
    return found


def _asked(name: str) -> dict[str, Any] | None:
    from brainnet.dataset import describe_dataset

    try:
        return describe_dataset(name)
    except Exception:  # another package's mistake must not hide the others; the line says what it is
        return None


@datasets.command("show")
def show_dataset(context: typer.Context, name: Name, as_json: AsJson = False) -> None:
    """Say what a data set is, what to download from where and under which terms, and the options of its reader.

    brainnet datasets nsd
    """
    with loading():
        from brainnet.dataset.catalogue import describe_dataset
        from brainnet.run.dataset_pages import fit_line

    said = describe_dataset(name)
    if as_json or (context.parent and context.parent.params.get("as_json")):
        _print_json(said)
        return
    out_console.print(Text(f"{said.get('title', said['summary'])}", "bold"))
    _print_about(said)
    _print_part("the reader", f"{said['summary']}\n\n{said['details']}".strip())
    _print_options(said["options"])
    words = "FOLDER" if said.get("kind") else "my_folder"
    if said["needs_folder"]:
        _print_part("to use it", f"brainnet datasets check {name} {words}\n{fit_line(name, words)}")
    if said.get("cite"):
        _print_part("to cite", said["cite"])
        _print_part("tested on", said["verified"])


def _print_about(said: dict[str, Any]) -> None:
    if "title" not in said:
        return
    fetched = [f"{'/'.join(filter(None, (file['path'], file['files']))) or '.'}{_known_size(file['n_bytes'])}"
               for file in said["downloads"]]  # fmt: skip
    _print_part("", said["what"])
    _print_part("from", said["where"])
    _print_part("terms", said["terms"])
    _print_part("size", said["size"])
    if fetched:
        shown = [*fetched[:8], *([f"and {len(fetched) - 8} more"] if len(fetched) > 8 else [])]
        _print_part("fetched by `brainnet datasets get`", "\n".join(shown))
    steps = "\n".join(f"{number}. {step}" for number, step in enumerate(said["steps"], 1))
    _print_part("the rest by hand" if fetched else "by hand", steps)
    _print_part("layout", said["layout"])


def _known_size(n_bytes: int | None) -> str:
    return "" if n_bytes is None else f" ({size(n_bytes)})"


def _print_part(title: str, text: str) -> None:
    if not text:
        return
    if title:
        out_console.print(Text(f"\n{title}", "cyan"))
    out_console.print(Text(text), soft_wrap="\n" in text)


def _print_options(options: Sequence[dict[str, Any]]) -> None:
    if not options:
        return
    table = Table("option", "default", "meaning", box=None, pad_edge=False)
    for option in options:
        table.add_row(Text(option["name"], "cyan"), Text(str(option["default"])), Text(option["meaning"]))
    out_console.print(Text("\noptions", "cyan"), table, Text('as in DATASET.OPTIONS "{NAME: VALUE}"', "dim"), sep="\n")


@datasets.command("check")
def check_dataset(name: Name, folder: Annotated[Path, typer.Argument(help="Folder of the files.")],
                  pairs: Pairs = None, option: Chosen = None) -> None:  # fmt: skip
    """Say which files of a data set are in a folder. Then open it, and say what was found or what is wrong.

    brainnet datasets check nsd /data/nsd subject 2

    The exit code is 1 if a file is missing or the folder cannot be read.
    """
    options = read_options([*(option or []), *_in_pairs(pairs or [])])
    with loading():
        from brainnet.dataset.catalogue import ASKS
        from brainnet.dataset.checking import check_folder
        from brainnet.run.dataset_pages import fit_line

    found = check_folder(name, folder, **options)
    _print_needed(found)
    if found.dataset is not None:
        _print_found(found)
    else:
        mark = "fault of brainnet" if found.is_fault else "wrong"
        out_console.print(Text.assemble((f"{mark}: ", "bold red"), found.trouble), soft_wrap=True)
    if found.is_news:
        out_console.print(Text(ASKS, "dim"))
    if not found.is_whole:
        raise typer.Exit(1)
    out_console.print(Text(fit_line(name, str(folder), options), "bold"), soft_wrap=True)


@datasets.command("get")
def get_files(
    name: Name,
    pairs: Pairs = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder of the files. The default is datasets/NAME in brainnet's cache."),
    ] = None,
    option: Chosen = None,
    accept_terms: Annotated[
        bool, typer.Option("--accept-terms", help="Do not ask. You have read the terms, and you agree.")
    ] = False,
    quiet: Quiet = False,
) -> None:  # fmt: skip
    """Fetch the files of a data set that need no form, after showing its terms. Print the steps for the other files.

    brainnet datasets get things_fmri --out /data/things subject 2

    The same line goes on where it was stopped. The exit code is 1 if nothing may be fetched, or if the terms are not
    accepted.
    """
    options = read_options([*(option or []), *_in_pairs(pairs or [])])
    with loading():
        from brainnet.dataset.catalogue import options_with_defaults
        from brainnet.dataset.checking import files_needed
        from brainnet.dataset.fetching import get_dataset, plan_dataset

    plan = plan_dataset(name, out, **options)
    by_hand = "\n".join(f"{number}. {step}" for number, step in enumerate(plan.about.steps, 1))
    if not plan.files:
        out_console.print(Text(plan.why_nothing, "bold"))
        _print_part("from", plan.about.where)
        _print_part("terms", plan.about.terms)
        _print_part("by hand", by_hand)
        _print_part("then", f"brainnet datasets check {name} {out or 'FOLDER'}")
        raise typer.Exit(1)
    if plan.missing:
        _print_plan(plan)
        if not accept_terms and not typer.confirm("Do you accept these terms? (--accept-terms says yes)"):
            raise typer.Exit(1)
        get_dataset(name, plan.folder, accept_terms=True, progress=not quiet, **options)
    there = f"{len(plan.files)} of {len(plan.files)} files are in {plan.folder}"
    out_console.print(Text(there, "green"), soft_wrap=True)
    needed = files_needed(name, plan.folder, options_with_defaults(name, options))
    missing = [one.pattern for one in needed if not one.n_files]
    if missing:
        _print_part("still missing, to be had by hand", "\n".join(missing))
        _print_part("steps", by_hand)
    _print_part("then", f"brainnet datasets check {name} {plan.folder}")


@datasets.command("coco")
def write_coco(
    nsd: Annotated[Path, typer.Argument(help="Folder of NSD, or its nsd_stim_info_merged.csv.")],
    ids: Annotated[
        list[str],
        typer.Argument(
            help="Numbers of photographs of NSD, counted from 0, such as 2950 or nsd-02950. A "
            "folder of such photographs is possible too."
        ),
    ],
    coco: Annotated[Path, typer.Option(help="Folder of COCO, which holds annotations, train2017 and val2017.")],
    out: Out = Path("photographs"),
    download: Annotated[
        bool, typer.Option("--download", help="Fetch photographs that are not there from COCO's server.")
    ] = False,
    whole: Annotated[
        bool, typer.Option("--whole", help="Write the photographs as COCO has them, and not cut as NSD shows them.")
    ] = False,
    figures: Annotated[bool, typer.Option(help="Draw each photograph with its masks and captions.")] = True,
    quiet: Quiet = False,
) -> None:
    """Write what COCO knows of photographs of NSD: pictures, masks by category and by thing, captions, figures.

    brainnet datasets coco /data/nsd 2950 3171 --coco /data/coco --out photographs
    """
    with loading():
        from brainnet.run.photographs import write_photographs

    write_photographs(
        nsd, ids, out, coco=coco, download=download, cropped=not whole, figures=figures, progress=not quiet
    )
    out_console.print(str(out), highlight=False)


def _print_plan(plan: Plan) -> None:
    lengths = [size(plan.n_bytes)] if plan.n_bytes else []
    lengths += [f"{plan.n_unknown} of a length that is not published"] if plan.n_unknown else []
    out_console.print(Text(plan.about.title, "bold"))
    _print_part("terms", plan.about.terms)
    _print_part("from", plan.about.where)
    lines = [f"{file.path or '.'}{_known_size(file.n_bytes)}  {file.address}" for file in plan.missing]
    shown = [*lines[:12], *([f"and {len(lines) - 12} more"] if len(lines) > 12 else [])]
    title = f"{len(lines)} file{'s' * (len(lines) > 1)} to fetch, {' and '.join(lengths)}, into {plan.folder}"
    _print_part(title, "\n".join(shown))


def _print_needed(found: FolderCheck) -> None:
    for pattern, n_files, n_bytes in found.needed:
        there = f"{n_files} file{'s' * (n_files > 1)}, {size(n_bytes)}" if n_files else "missing"
        line = Text.assemble((f"{there:>20}  ", "green" if n_files else "bold red"), pattern)
        out_console.print(line, soft_wrap=True)


def _print_found(found: FolderCheck) -> None:
    from brainnet.dataset.checking import summary_of

    table = Table(box=None, show_header=False, pad_edge=False)
    for what, value in summary_of(found.dataset).items():
        if isinstance(value, dict):
            value = ", ".join(f"{name} {_number(one)}" for name, one in value.items()) or "none"
        table.add_row(Text(what, "cyan"), Text(str(value)))
    out_console.print(table)


def _number(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _in_pairs(words: Sequence[str]) -> list[str]:
    """Words "KEY", "VALUE" as "KEY=VALUE"; one that has its = already stays."""
    found, rest = [], list(words)
    while rest:
        word = rest.pop(0)
        if "=" not in word.partition("{")[0]:
            if not rest:
                raise ValueError(f"options are KEY VALUE or NAME=VALUE; {word!r} has no value.")
            word = f"{word}={rest.pop(0)}"
        found.append(word)
    return found


def read_options(words: Sequence[str]) -> dict[str, Any]:
    """Options of a reader from "NAME=VALUE"; the keys of a config, such as ``DATASET.OPTIONS.subject``, mean the same.

    Raises:
        ValueError: a word without a value, or a value that is no YAML.

    >>> read_options(["subject=2", "DATASET.OPTIONS={space: func1mm}", "DATASET.SESSION=201025"])
    {'subject': 2, 'space': 'func1mm', 'session': 201025}
    """
    found: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise ValueError(f"--option is NAME=VALUE, such as subject=2; got {word!r}.")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            raise ValueError(f"the value of option {name} is no YAML: {text!r}.") from None
        if name == "DATASET.OPTIONS" and isinstance(value, dict):
            found |= value
        elif name.startswith("DATASET."):
            found[name.removeprefix("DATASET.OPTIONS.").removeprefix("DATASET.").lower()] = value
        else:
            found[name] = value
    return found


def _print_json(value: Any) -> None:
    print(json.dumps(plain(value), indent=1))

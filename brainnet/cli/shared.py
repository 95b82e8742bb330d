"""What the commands share: the app they are filed under, their common options, and how a table is printed."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from yacs.config import CfgNode

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Maps deep networks onto brains: which [bold]layer[/], [bold]space[/], [bold]scale[/] and [bold]channel[/] "
    "of a network predicts each voxel best?\n\nStart with [cyan]brainnet demo[/]: it needs no data and no download.",
)
out_console = Console(width=None if sys.stdout.isatty() else 140)  # a file or a pipe is as wide as a table needs
err_console = Console(
    stderr=True, width=None if sys.stderr.isatty() else 100_000
)  # in a log file a message is one line, so that grep finds it

Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY VALUE]...",
        help="Settings that differ from the defaults, such as [cyan]OPTIMIZER.LR 0.003[/]. "
        "`brainnet fit --keys` lists all settings.",
        show_default=False,
    ),
]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder of the results.")]
Grid = Annotated[
    tuple[int, int] | None,
    typer.Option(
        help="Height and width of a grid. Larger token maps are averaged down to it. The default is each layer's own "
        "grid.",
        metavar="H W",
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what the folder of the results holds.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress bars.")]
WithPage = Annotated[
    bool, typer.Option("--page", help="Write an interactive page of the maps, page.html, beside the results.")
]
Force = Annotated[
    bool, typer.Option("--force", help="Begin even if the forecast says that memory or disk will not be enough.")
]


def with_atlases(cfg: CfgNode, atlases: list[str] | None) -> CfgNode:
    """The settings with the atlases of ``--atlas`` behind those of ``DATASET.ATLASES``."""
    from brainnet.config import changed

    return changed(cfg, ["DATASET.ATLASES", repr([*cfg.DATASET.ATLASES, *atlases])]) if atlases else cfg


def renames(words: list[str] | None) -> dict[str, str]:
    """Old name -> new name of the words of ``--rename``."""
    from brainnet.run.names import read_renames

    return read_renames(words or ())


def _draw_as(context: typer.Context, text: str) -> str:
    """Figures are saved in these formats until the command ends."""
    from brainnet.plot.saving import saved_as

    context.with_resource(saved_as(*(word.strip().lower() for word in text.split(",") if word.strip())))
    return text


Rename = Annotated[
    list[str] | None,
    typer.Option(
        help="Another name for a region or a model, in the tables and in the figures. Repeat the option for several.",
        metavar="OLD=NEW",
    ),
]
FigureFormat = Annotated[
    str,
    typer.Option(
        "--format",
        help="Format of the figures: png, svg or pdf. Give several with commas between them.",
        callback=_draw_as,
    ),
]
Atlas = Annotated[
    list[str] | None,
    typer.Option(
        "--atlas",
        help="File of an atlas whose areas become regions too: .annot, .mgz, .label.gii, .dlabel.nii or a volume. "
        "Patterns of the areas that are wanted stand behind =. Repeat the option for several atlases. They are added "
        "to DATASET.ATLASES.",
        metavar="FILE[=PATTERNS]",
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        help="Where the network works: auto, cpu, cuda, cuda:1 or mps. The default is auto: CUDA where there is one, "
        "then mps, then the CPU."
    ),
]
Precision = Annotated[
    str | None, typer.Option(help="Arithmetic of the network: fp32, bf16 or fp16. The default is what the network has.")
]
ImageSize = Annotated[
    tuple[int, int] | None,
    typer.Option(
        help="Height and width in pixels of the images that the network sees. The default is what its weights were "
        "trained with.",
        metavar="H W",
    ),
]


ImageSource = Annotated[
    Path, typer.Argument(help="Images: a folder, a zip, a list (.txt, .csv), an HDF5 file of pixels, or a video.")
]
StimulusSource = Annotated[
    Path,
    typer.Argument(
        help="What the network reads. Images: a folder, a zip, a list (.txt, .csv), an HDF5 file of pixels, or a "
        "video. Texts: a folder of .txt files, a file with one text on each line, or a table. Sounds and videos: a "
        "folder, a list, or a file.",
        metavar="STIMULI",
    ),
]
FamilyOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        help="An option of the network's family, such as steps=4 or agg_frames=max. Repeat the option for several.",
        metavar="NAME=VALUE",
    ),
]
Window = Annotated[
    float | None,
    typer.Option(
        help="Length of the windows into which texts with onsets, sounds and videos are cut. The default is no cut.",
        metavar="SECONDS",
    ),
]
Step = Annotated[
    float | None,
    typer.Option(help="Time from a window to the next. The default is the length of a window.", metavar="SECONDS"),
]
PICTURES = "Which pictures"  # the panel of the options below
Layout = Annotated[
    str,
    typer.Option(
        help="Meaning of the folders: flat (none), classes (each folder is a class) or nested (a folder is part of the "
        "id). The default, auto, goes by how the pictures lie. The words list, hdf5 and video are for a file whose "
        "suffix does not say what it is.",
        rich_help_panel=PICTURES,
    ),
]
SkipBad = Annotated[
    bool,
    typer.Option(
        "--skip-bad",
        help="Leave out pictures that cannot be read, and list them. All pictures are then decoded once more. Without "
        "this option, the first such picture ends the command.",
        rich_help_panel=PICTURES,
    ),
]
Classes = Annotated[
    Path | None,
    typer.Option(
        help="File with the classes in their order, such as things_concepts.tsv. The default is natural order.",
        rich_help_panel=PICTURES,
    ),
]
Rows = Annotated[
    str | None,
    typer.Option(
        help="Numbers of the pictures that are read, counted from 0: 0:1000, or 3,5,8, or "
        "a file of numbers. The default is all pictures.",
        rich_help_panel=PICTURES,
    ),
]
DataSet = Annotated[
    str | None,
    typer.Option("--key", help="Name of the data set in an HDF5 file.", rich_help_panel=PICTURES),
]
Fps = Annotated[
    float | None,
    typer.Option(
        help="Number of frames of a video for each second. The default is all frames.", rich_help_panel=PICTURES
    ),
]
Every = Annotated[
    int | None,
    typer.Option(
        min=1, help="Step between frames of a video: each N-th frame is read.", metavar="N", rich_help_panel=PICTURES
    ),
]


def images_of(path: Path, skip_bad: bool, rows: str | None = None, **how: Any) -> Any:
    """The pictures that the options above choose, the path itself where none is given.

    With ``skip_bad`` they are still to be decoded.
    """
    from brainnet.stimuli import Images

    if rows is None and all(value in (None, "auto") for value in how.values()):
        return path
    return Images(path, rows=None if rows is None else read_rows(rows), skip_bad=skip_bad, checked=False, **how)


def stimuli_from(
    path: Path,
    backbone: str,
    skip_bad: bool,
    rows: str | None = None,
    *,
    window: float | None = None,
    step: float | None = None,
    options: dict[str, Any] | None = None,
    **how: Any,
) -> Any:
    """What a network reads at a path, of whatever kind it is; the path itself where no option chooses anything.

    Args:
        path: of images, texts, sounds or videos.
        backbone: the network.
        skip_bad, rows, how: the options of images above.
        window, step: of the windows that texts, sounds and videos are cut into.
        options: of the network's family.
    """
    from brainnet.backbone.kinds import kind_read_by
    from brainnet.stimuli import stimuli_of

    kind = kind_read_by(backbone, **(options or {}))
    if kind == "image":
        if window is not None or step is not None:
            raise ValueError(f"--window is of texts, sounds and videos, and {backbone} reads images.")
        return images_of(path, skip_bad, rows, **how)
    asked = next((name for name, value in how.items() if value not in (None, "auto")), None)
    if asked is not None:
        raise ValueError(f"--{asked} is of images, and {backbone} reads {kind}s.")
    if step is not None and window is None:
        raise ValueError("--step goes with --window: give the length of the windows too, in seconds.")
    if rows is None and window is None:
        return path
    chosen = {} if rows is None else {"rows": read_rows(rows)}
    if kind in ("sound", "video"):
        return stimuli_of(path, kind, **chosen, window=window, step=step)
    found = stimuli_of(path, kind, **chosen)
    return found if window is None else found.windows(window, step)


def family_options(words: list[str] | None) -> dict[str, Any]:
    """Options of a network's family from words NAME=VALUE; whole numbers and decimals become numbers.

    >>> family_options(["steps=4", "agg_frames=max"])
    {'steps': 4, 'agg_frames': 'max'}
    """
    found: dict[str, Any] = {}
    for word in words or ():
        name, sign, value = word.partition("=")
        if not sign or not name or not value:
            raise ValueError(f"--option is NAME=VALUE, such as steps=4; got {word!r}.")
        for kind in (int, float, str):
            with contextlib.suppress(ValueError):
                found[name] = kind(value)
                break
    return found


def read_rows(text: str) -> slice | list[int]:
    """The rows that a text names.

    Raises:
        ValueError: none of the three forms.

    >>> read_rows("0:10:2"), read_rows("3,5")
    (slice(0, 10, 2), [3, 5])
    """
    try:
        if Path(text).is_file():
            if text.endswith(".npy"):
                import numpy as np

                return np.load(text, allow_pickle=False).tolist()
            text = ",".join(Path(text).read_text(encoding="utf-8-sig").replace(",", " ").split())
        if ":" in text:
            return slice(*(int(part) if part.strip() else None for part in text.split(":")))
        return [int(part) for part in text.split(",")]
    except (ValueError, TypeError):
        shown = text if len(text) < 40 else f"{text[:40]}..."
        raise ValueError(f"--rows is 0:1000, or 3,5,8, or a file of whole numbers; got {shown!r}.") from None


def print_table(table, title: str) -> None:
    """A DataFrame, numbers with four digits."""
    shown = Table(*table.columns, title=title, title_justify="left", box=None)
    for row in table.itertuples(index=False):
        shown.add_row(*map(_cell, table.columns, row))
    out_console.print(shown)


def _cell(column: str, value) -> str:
    """A value of a table; no p is zero, and what has no value is blank."""
    if not isinstance(value, float):
        return str(value)
    if value != value:
        return ""
    return "<0.0001" if column in ("p", "p_corrected") and value < 0.0001 else f"{value:.4f}"

"""The command encode, and the table it prints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from brainnet.cli.page import page_beside
from brainnet.cli.process import loading
from brainnet.cli.shared import (
    Atlas,
    Device,
    FigureFormat,
    Force,
    ImageSize,
    Out,
    Overrides,
    Precision,
    Quiet,
    Rename,
    WithPage,
    app,
    out_console,
    renames,
    with_atlases,
)


@app.command()
def encode(
    overrides: Overrides = None,
    config: Annotated[
        str | None,
        typer.Option(
            "--config", "-c", help="YAML file with settings, or the name of a preset of brainnet, such as folder."
        ),
    ] = None,
    out: Out = Path("encoding"),
    method: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            "-m",
            help="Method: ridge, banded, stacked, window, mixed, or FILE.py:NAME of your own. stacked:window+banded "
            "mixes several; there, FactorTopy stands for the maps of --run. Repeat the option for several methods. The "
            "default is ridge.",
        ),
    ] = None,
    backbone: Annotated[
        list[str] | None,
        typer.Option(
            "--backbone",
            "-b",
            help="Network: family:variant, or family:variant=weights. Repeat the option for several networks.",
        ),
    ] = None,
    features: Annotated[
        list[Path] | None,
        typer.Option(
            help="Folder that `brainnet extract` filled, or a file of arrays with the names of the images (.npy, .npz, "
            ".csv, .h5, .mat, .pt). It stands for a network. Repeat the option for several.",
            metavar="PATH",
        ),
    ] = None,
    delays: Annotated[
        str | None,
        typer.Option(
            help="Of a time series: delays of its features in volumes, 1 2 3 4, or of each layer, words=1,2 sound=0.",
            metavar="LIST",
        ),
    ] = None,
    subjects: Annotated[
        str | None,
        typer.Option(
            help="One setting of the data with several values, KEY=v1,v2. Each value is a subject.",
            metavar="KEY=v1,v2,...",
        ),
    ] = None,
    layer: Annotated[
        list[str] | None,
        typer.Option(
            "--layer",
            "-l",
            help="Name of a layer that is fitted. Repeat the option for several layers. The default is all layers.",
        ),
    ] = None,
    pool: Annotated[
        str, typer.Option(help="How tokens become features: flatten, mean, max, global, both or all.")
    ] = "flatten",
    controls: Annotated[
        str | None,
        typer.Option(
            help="Controls: shuffled (the responses of each voxel are permuted), random (the "
            "same networks with random weights), or both with a comma.",
            metavar="shuffled,random",
        ),
    ] = None,
    run: Annotated[
        list[Path] | None,
        typer.Option("--run", help="Folder of a finished `brainnet fit` on the same data. Its map joins the table."),
    ] = None,
    cv: Annotated[
        str | None,
        typer.Option("--cv", help="How penalties are chosen: a number of folds, loo (leave one image out), or groups."),
    ] = None,
    cv_groups: Annotated[
        str | None,
        typer.Option(
            help="Groups of images, of which one is left out to choose a penalty: runs or sessions of the data set, "
            "or a CSV file with the columns image and group.",
            metavar="runs|FILE",
        ),
    ] = None,
    alphas: Annotated[
        str | None,
        typer.Option(
            help="Penalties to choose from: a list such as 1,10,100, or a range of powers such as 0.01:10000:7. For "
            "ridge they are absolute. For banded and window they are multiples of the mean eigenvalue of the kernel.",
            metavar="LIST",
        ),
    ] = None,
    keep_weights: Annotated[
        bool,
        typer.Option("--keep-weights", help="Keep the weights of every fit, so that `brainnet predict` can use them."),
    ] = False,
    device: Device = None,
    precision: Precision = None,
    image_size: ImageSize = None,
    jobs: Annotated[int, typer.Option(min=1, help="Number of processes.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the controls, the resampling and the random weights.")] = 0,
    resamples: Annotated[
        int, typer.Option(min=20, help="Number of resamples of the images, for intervals and p-values.")
    ] = 1000,
    rename: Rename = None,
    atlas: Atlas = None,
    force: Force = False,
    figure_format: FigureFormat = "png,svg",
    with_page: WithPage = False,
    quiet: Quiet = False,
) -> None:
    r"""Predict every voxel linearly, by ridge and other methods, beside controls and noise ceilings.

    brainnet encode --config folder DATASET.DATA_DIR my_folder --out encoding

    Two subjects, three methods and a control:

    brainnet encode --config v4_squeezenet DATASET.DATA_DIR v4 \
    --subjects DATASET.SESSION=201025,210325 \
    --method ridge --method banded --method window --controls shuffled

    Training and validation images are fitted. All other images are scored.
    The penalty, the layer and the window are chosen on training images.
    The same line goes on where an interrupted one stopped.
    With --features, features in files take the place of a network.
    With --run, a map that was trained on the same images joins the table.
    A time series is predicted from features of its stimuli or volumes, at several delays:

    brainnet encode DATASET.NAME time_series DATASET.DATA_DIR story \
    DATASET.OPTIONS "{tr: 2.0, test: last}" \
    --features words.npz --delays "1 2 3 4" --cv-groups runs
    """
    from brainnet.config import load_config

    cfg = with_atlases(load_config(config, overrides or []), atlas)
    with loading():
        from brainnet.run.encoding.choices import read_alphas
        from brainnet.run.encoding.encoding import encode_subjects
        from brainnet.run.encoding.series import read_delays

    encoding = encode_subjects(
        cfg, out, methods=method or ("ridge",), backbones=backbone or (),
        subjects=subjects, layers=layer or (), pool=pool,
        controls=[word.strip() for word in (controls or "").split(",") if word.strip()],
        runs=run or (), cv=int(cv) if cv and cv.isdigit() else cv, groups=cv_groups,
        features=features or (), delays=read_delays(delays) if delays is not None else (),
        alphas=read_alphas(alphas) if alphas is not None else (), keep_weights=keep_weights,
        device=device, precision=precision, image_size=image_size or None,
        n_jobs=jobs, seed=seed, n_resamples=resamples, rename=renames(rename), force=force, progress=not quiet,
    )  # fmt: skip
    _report_encoding(encoding)
    out_console.print(f"\ntables, maps, figures and run card in {out}", highlight=False)
    if with_page and (path := page_beside(out)):
        out_console.print(f"page in {path}", highlight=False)


def _report_encoding(encoding) -> None:
    """Per subject the mean test r of every method, its interval, and its share of the noise ceiling."""
    rows = encoding.table
    rows = rows[(rows["roi"] == "all") & (rows["score"] == "r")].set_index(
        ["model", "subject", "method", "layer", "control"]
    )
    several = len({key.model for key in encoding.fits}) > 1
    shown = Table(box=None)
    for name in (
        "subject",
        *(["network"] if several else []),
        "method",
        "best layer",
        "volumes" if all(hasattr(one, "tr") for one in encoding.subjects.values()) else "images",
        "r",
        "95 % interval",
        "mean of r / ceiling",
    ):
        shown.add_column(name, no_wrap=name in ("r", "95 % interval"), overflow="fold")
    ceilings = rows[rows.index.get_level_values("method") == "noise ceiling"].index
    for key in sorted([*ceilings, *encoding.headline()], key=lambda key: list(encoding.subjects).index(key[1])):
        for row in rows.loc[[tuple(key)]].itertuples(index=False):
            shown.add_row(
                key[1], *([key[0]] if several else []), ", ".join(filter(None, (key[2], key[4]))), row.chosen_layer,
                row.split, f"{row.mean:.3f}", "" if row.low != row.low else f"{row.low:.3f} to {row.high:.3f}",
                "" if row.ceiling_share != row.ceiling_share else f"{row.ceiling_share:.3f}",
            )  # fmt: skip
    out_console.print(shown)

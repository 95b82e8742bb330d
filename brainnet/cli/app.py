"""The command line: every command reads its options and calls one public function.

A user's mistake ends in one readable line and exit code 2; ``-v`` shows the traceback and the log as well.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import json
import logging
import os
import re
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Maps deep networks onto brains: which [bold]layer[/], [bold]space[/], [bold]scale[/] and [bold]channel[/] "
    "of a network predicts each voxel best?\n\nStart with [cyan]brainnet demo[/]: it needs no data and no download.",
)
out_console = Console(width=None if sys.stdout.isatty() else 140)  # a file or a pipe is as wide as a table needs
err_console = Console(stderr=True)

Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY VALUE]...",
        help="Settings that differ, such as [cyan]OPTIMIZER.LR 0.003[/]. `brainnet fit --keys` lists all.",
        show_default=False,
    ),
]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder of the results.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what the folder holds.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars.")]


@contextlib.contextmanager
def _loading() -> Iterator[None]:
    """Imports without a search for garbage: all their million objects stay, and it took a fifth of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


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
    if not verbose:
        warnings.showwarning = _one_line_warning


@app.command()
def demo(
    overrides: Overrides = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder of the results: demo, or demo_shuffled.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of subject, backbone, noise and training.")] = 0,
    shuffled: Annotated[
        bool, typer.Option("--shuffled", help="Negative control: responses permuted per voxel.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Find planted maps again: a simulated subject on the real cortex, a learning-free network, half a minute."""
    from brainnet.config import load_config

    out = out or Path("demo_shuffled" if shuffled else "demo")
    cfg = load_config("demo", ["SEED", str(seed), "DATASET.SHUFFLED", str(shuffled), *(overrides or [])])
    saved = out / "config.yaml"
    replaceable = not saved.is_file() or load_config(saved).DATASET.NAME == "simulated"  # a demo, but no work of yours
    with _loading():
        from brainnet.run.training import fit as fit_run

    metrics = fit_run(cfg, out, overwrite=replaceable, progress=not quiet)
    _report(metrics, out)


@app.command()
def fit(
    overrides: Overrides = None,
    config: Annotated[
        str | None, typer.Option("--config", "-c", help="YAML file, or the name of one that comes with brainnet.")
    ] = None,
    out: Out = Path("run"),
    resume: Annotated[bool, typer.Option("--resume", help="Go on where an interrupted run in --out stopped.")] = False,
    overwrite: Overwrite = False,
    draw: Annotated[bool, typer.Option("--draw", help="Save a picture of the maps at every validation.")] = False,
    keys: Annotated[
        bool, typer.Option("--keys", help="List every setting with its value and meaning, and stop.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Train and score one map, and fill a run folder with it.

    brainnet fit --config algonauts_clip DATASET.DATA_DIR /data/subj01 --out run
    """
    from brainnet.config import config_help, config_keys, load_config

    cfg = load_config(config, overrides or [])
    if keys:
        table, meaning = Table("setting", "value", "meaning", box=None), config_help()
        for key, value in config_keys(cfg).items():
            table.add_row(Text(key, overflow="fold"), repr(value), meaning[key])
        out_console.print(table)
        return
    with _loading():
        from brainnet.run.training import fit as fit_run

    metrics = fit_run(cfg, out, resume=resume, overwrite=overwrite, draw=draw, progress=not quiet)
    if metrics:  # empty in all but the first of several processes
        _report(metrics, out)


@app.command()
def predict(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run, or its model.ckpt.")],
    images: Annotated[Path, typer.Argument(help="Folder or zip of images.")],
    out: Out = Path("predictions"),
    batch_size: Annotated[int, typer.Option(min=1, help="Images per forward pass.")] = 16,
    quiet: Quiet = False,
) -> None:
    """Predict every voxel's response to new images."""
    with _loading():
        from brainnet.run.training import predict as predict_run

    path = predict_run(run, images, out, batch_size=batch_size, progress=not quiet)
    out_console.print(f"{path}\n{path.parent / 'images.txt'}", highlight=False)


@app.command()
def extract(
    images: Annotated[Path, typer.Argument(help="Folder or zip of images.")],
    backbone: Annotated[
        str, typer.Option("--backbone", "-b", help="family:variant, or family:variant=weights. `brainnet backbones`.")
    ],
    out: Out = Path("features"),
    layer: Annotated[list[str] | None, typer.Option("--layer", "-l", help="A layer; repeat for more.")] = None,
    pool: Annotated[str, typer.Option(help="Tokens to features: flatten, mean, global or both.")] = "flatten",
    grid: Annotated[tuple[int, int], typer.Option(help="Token grid of flattened features.", metavar="H W")] = (8, 8),
    file_format: Annotated[str, typer.Option("--format", "-f", help="npy, csv, h5, mat or pt.")] = "npy",
    batch_size: Annotated[int, typer.Option(min=1, help="Images per forward pass.")] = 16,
    keep_tokens: Annotated[bool, typer.Option("--keep-tokens", help="Leave the token store, tokens.bin.")] = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Write a network's features of images, a file per layer.

    brainnet extract images/ --backbone torchvision:squeezenet1_0 --pool mean --out features

    The same line goes on where an interrupted one stopped.
    """
    with _loading():
        from brainnet.run.extraction import extract_features

    written = extract_features(
        images, out, backbone, layers=layer, pool=pool, grid=grid, file_format=file_format, batch_size=batch_size,
        keep_tokens=keep_tokens, overwrite=overwrite, progress=not quiet,
    )  # fmt: skip
    out_console.print("\n".join(str(path) for path in [*written.values(), out / "images.txt"]), highlight=False)


@app.command()
def plot(run: Annotated[Path, typer.Argument(help="Folder of a finished run.")]) -> None:
    """Draw the maps of a finished run again."""
    with _loading():
        from brainnet.run.training import redraw

    for path in redraw(run):
        out_console.print(str(path), highlight=False)


@app.command()
def encode(
    overrides: Overrides = None,
    config: Annotated[
        str | None, typer.Option("--config", "-c", help="YAML file, or the name of one that comes with brainnet.")
    ] = None,
    out: Out = Path("encoding"),
    method: Annotated[
        list[str] | None,
        typer.Option("--method", "-m", help="ridge, banded, stacked or window; repeat for more. Default: ridge."),
    ] = None,
    backbone: Annotated[
        list[str] | None,
        typer.Option("--backbone", "-b", help="family:variant, or family:variant=weights; repeat for more networks."),
    ] = None,
    subjects: Annotated[
        str | None,
        typer.Option(help="KEY=v1,v2: one setting of the data, a subject for each value.", metavar="KEY=v1,v2,..."),
    ] = None,
    layer: Annotated[list[str] | None, typer.Option("--layer", "-l", help="A layer to fit; repeat for more.")] = None,
    pool: Annotated[str, typer.Option(help="Tokens to features: flatten, mean, global or both.")] = "flatten",
    controls: Annotated[
        str | None,
        typer.Option(
            help="shuffled (responses permuted per voxel), random (same networks, random weights), or both.",
            metavar="shuffled,random",
        ),
    ] = None,
    run: Annotated[
        list[Path] | None, typer.Option("--run", help="Folder of a finished `brainnet fit` on the same data.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Seed of controls, resampling and random weights.")] = 0,
    resamples: Annotated[int, typer.Option(min=20, help="Of the images, for intervals and p-values.")] = 1000,
    quiet: Quiet = False,
) -> None:
    """Predict every voxel by ridge and its kin, beside controls and noise ceilings.

    brainnet encode --config folder DATASET.DATA_DIR my_folder --out encoding

    Two subjects, three methods and a control:

    brainnet encode --config v4_squeezenet DATASET.DATA_DIR v4
    --subjects DATASET.SESSION=201025,210325
    --method ridge --method banded --method window --controls shuffled

    Training and validation images are fitted on, all others are scored.
    Penalty, layer and window are chosen on training images.
    The same line goes on where an interrupted one stopped.
    A map that was trained on the same images joins the table: --run run
    """
    from brainnet.config import load_config

    cfg = load_config(config, overrides or [])
    with _loading():
        from brainnet.run.encoding import encode_subjects

    encoding = encode_subjects(
        cfg, out, methods=method or ("ridge",), backbones=backbone or (),
        subjects=subjects, layers=layer or (), pool=pool,
        controls=[word.strip() for word in (controls or "").split(",") if word.strip()],
        runs=run or (), n_jobs=jobs, seed=seed, n_resamples=resamples, progress=not quiet,
    )  # fmt: skip
    _report_encoding(encoding)
    out_console.print(f"\ntables, maps, figures and run card in {out}", highlight=False)


@app.command()
def backbones(
    family: Annotated[
        str | None, typer.Argument(help="A family, whose networks are listed.", show_default=False)
    ] = None,
    like: Annotated[str, typer.Option(help="Only names that contain this.")] = "",
) -> None:
    """List the families of networks brainnet knows, or the networks of one.

    brainnet backbones timm --like dinov2
    """
    with _loading():
        from brainnet.backbone import BACKBONES

    if family is None:
        _list(BACKBONES, "backbone")
        return
    known = BACKBONES.variants(family)
    if known is None:
        raise ValueError(f"the family {family!r} does not list its networks.")
    found = [name for name in known if like.lower() in name.lower()]
    if not found:
        raise ValueError(f"none of the {len(known):,} networks of {family} is like {like!r}.")
    for name in found:
        out_console.print(f"{family}:{name}", highlight=False, soft_wrap=True)


@app.command()
def datasets() -> None:
    """List the data sets brainnet reads."""
    with _loading():
        from brainnet.dataset import DATASETS

    _list(DATASETS, "data set")


@app.command()
def rdm(
    source: Annotated[Path, typer.Argument(help="Pictures (folder or zip), token store, or features (.npy, .npz).")],
    out: Out = Path("rdms"),
    backbone: Annotated[
        str | None,
        typer.Option(
            "--backbone", "-b", help="Network that looks at pictures: family:variant, or family:variant=weights."
        ),
    ] = None,
    layer: Annotated[list[str] | None, typer.Option("--layer", "-l", help="A layer; repeat for more.")] = None,
    metric: Annotated[str, typer.Option(help="Distance between patterns.")] = "correlation",
    pool: Annotated[str, typer.Option(help="Tokens to features: flatten, mean, global or both.")] = "flatten",
    quiet: Quiet = False,
) -> None:
    """Compute the RDM of every layer of a network, or of features in files.

    brainnet rdm images/ --backbone torchvision:squeezenet1_0 --out rdms
    """
    with _loading():
        from brainnet.run.rsa import write_rdms

    rdms = write_rdms(source, out, backbone=backbone, layers=layer, metric=metric, pool=pool, progress=not quiet)
    out_console.print(f"{len(rdms)} RDMs of {rdms.n_conditions} conditions\n{out / 'rdms.npz'}", highlight=False)


@app.command()
def rsa(
    context: typer.Context,
    subjects: Annotated[list[Path], typer.Argument(help="Files of a region's RDMs, one per subject; or folders.")],
    out: Out = Path("rsa"),
    model: Annotated[list[Path] | None, typer.Option("--model", "-m", help="Model RDMs; repeat for more.")] = None,
    method: Annotated[str, typer.Option(help="Comparison of RDMs.")] = "spearman",
    generalise: Annotated[str, typer.Option(help="To new subjects, conditions or both.")] = "both",
    test: Annotated[str, typer.Option(help="t, sign-flip (of subjects) or permutation (of condition labels).")] = "t",
    correction: Annotated[str, typer.Option(help="holm, max, fdr or none.")] = "holm",
    squared: Annotated[bool, typer.Option("--squared", help="Noise ceilings of squared similarities.")] = False,
    pooling: Annotated[str, typer.Option(help="Group RDM of the ceilings: optimal, or mean.")] = "optimal",
    time: Annotated[
        bool, typer.Option("--time", help="M/EEG: files (subjects, times, ...), or folders with a file per subject.")
    ] = False,
    span: Annotated[
        tuple[float, float] | None, typer.Option(help="With --time: first and last time.", metavar="FIRST LAST")
    ] = None,
    fusion: Annotated[
        bool, typer.Option("--fusion", help="With --time: models are fMRI regions, their subjects pooled.")
    ] = False,
    fit: Annotated[
        str | None,
        typer.Option(
            help="Mix each model's layers on held-out data: nonnegative, ridge or ols weights.", metavar="WEIGHTS"
        ),
    ] = None,
    partition: Annotated[
        bool, typer.Option("--partition", help="Regress on all models: total, unique and shared R2.")
    ] = False,
    folds: Annotated[
        int, typer.Option(help="With --fit or --partition: parts of the conditions, four or more each.")
    ] = 3,
    permutations: Annotated[
        int | None, typer.Option(help="Of condition labels, or sign flips; 5000, and 1000 where models are fitted.")
    ] = None,
    key: Annotated[str | None, typer.Option(help="Entry of files that hold several arrays.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of resampling.")] = 0,
    quiet: Quiet = False,
) -> None:
    """Compare model RDMs with brain RDMs; without models, only the noise ceilings.

    brainnet rsa brain/ --model rdms/rdms.npz --out results

    The noise ceilings of the Algonauts challenge 2019: brainnet rsa fmri_rdms/ --squared --pooling mean

    Over time: brainnet rsa meg.npz --time --span -0.1 0.9 --model rdms/rdms.npz --correction fdr

    Fitted: brainnet rsa brain/ --fit nonnegative --model rdms/rdms.npz, or --partition --model a.npz --model b.npz
    """
    kinds = [name for name, on in (("--time", time), ("--fit", fit), ("--partition", partition)) if on]
    if len(kinds) > 1:
        raise ValueError(f"{' and '.join(kinds)} are different analyses; run one at a time.")
    unread = {"--time": "squared pooling folds", "": "span fusion folds"}
    fitted = "squared pooling generalise test correction span fusion"
    _refuse_unread(context, unread.get("".join(kinds), fitted), "".join(kinds) or "a plain comparison")
    common = {"models": model or (), "key": key, "seed": seed, "progress": not quiet}
    if fit or partition:
        with _loading():
            from brainnet.run.rsa import fit_rdms, partition_rdms

        common |= {"method": method, "n_folds": folds, "n_permutations": 1000 if permutations is None else permutations}
        tables = fit_rdms(subjects, out, weights=fit, **common) if fit else partition_rdms(subjects, out, **common)
        _print_roles(out)
        columns = ["roi", "model", "score", "unweighted", "p_corrected", "ceiling_lower", "ceiling_upper"]
        for name, table in tables.items():
            _print_table(table[columns] if name == "scores" else table, name)
        out_console.print(f"\ntables, figures and run card in {out}", highlight=False)
        return
    common |= {"generalise": generalise, "test": test, "correction": correction}
    common |= {} if permutations is None else {"n_permutations": permutations}
    if time:
        with _loading():
            from brainnet.run.rsa import compare_over_time

        tables = compare_over_time(subjects, out, method=method, span=span, pooled=fusion, **common)
        _print_roles(out)
        _print_table(tables["peaks"], "highest scores")
        out_console.print(f"\ntables, figure and run card in {out}", highlight=False)
        return
    with _loading():
        from brainnet.run.rsa import compare_rdms

    tables = compare_rdms(subjects, out, method=method, squared=squared, pooling=pooling, **common)
    _print_roles(out)
    _print_table(tables["ceilings"], "noise ceilings" + (", squared" if squared else ""))
    if "scores" in tables:
        columns = ["roi", "model", "layer", "score", "low", "high", "p_corrected", "explained"]
        _print_table(tables["scores"][columns], "scores")
    out_console.print(f"\ntables, figures and run card in {out}", highlight=False)


@app.command()
def searchlight(
    context: typer.Context,
    patterns: Annotated[
        list[Path],
        typer.Argument(
            help="NIfTI (x, y, z, conditions); left and right GIfTI; or .npy. With --group, folders of maps."
        ),
    ],
    model: Annotated[list[Path] | None, typer.Option("--model", "-m", help="Model RDMs; repeat for more.")] = None,
    out: Out = Path("searchlight"),
    group: Annotated[bool, typer.Option("--group", help="Test the finished maps of several subjects.")] = False,
    contrast: Annotated[
        tuple[str, str] | None, typer.Option(help="With --group: where the first model scores above the second.")
    ] = None,
    mask: Annotated[Path | None, typer.Option(help="NIfTI above 0 inside the brain.")] = None,
    mesh: Annotated[str, typer.Option(help="Mesh of surface patterns.")] = "fsaverage5",
    radius: Annotated[float | None, typer.Option(help="Of spheres or discs; 8 mm in volumes.")] = None,
    unit: Annotated[str, typer.Option(help="Of the radius in volumes: mm or voxels.")] = "mm",
    k: Annotated[int | None, typer.Option("--vertices", help="Vertices of a disc, instead of a radius; 50.")] = None,
    min_size: Annotated[int, typer.Option(help="Fewest voxels of a neighbourhood.")] = 10,
    metric: Annotated[str, typer.Option(help="Distance between patterns.")] = "correlation",
    method: Annotated[str, typer.Option(help="Comparison of RDMs.")] = "spearman",
    permutations: Annotated[
        int, typer.Option(help="Of condition labels, 0 tests nothing; with --group sign flips, 0 takes Student's t.")
    ] = 1000,
    seed: Annotated[int, typer.Option(help="Seed of the permutations.")] = 0,
    jobs: Annotated[int, typer.Option(help="Processes.")] = 1,
    key: Annotated[str | None, typer.Option(help="Entry of model files that hold several arrays.")] = None,
    quiet: Quiet = False,
) -> None:
    """Map where in a volume or on a surface the patterns have the geometry of each model.

    brainnet searchlight betas.nii.gz --model rdms/rdms.npz --out maps

    Over subjects: brainnet searchlight --group maps/sub-01 maps/sub-02 maps/sub-03 --out group
    """
    if group:
        _refuse_unread(context, "model mask mesh radius unit k min_size metric method jobs key", "--group")
        with _loading():
            from brainnet.run.rsa import search_group

        found = search_group(
            patterns, out, contrast=contrast, n_permutations=permutations, seed=seed, progress=not quiet
        )
        out_console.print(f"{found!r}\nmaps, figure and run card in {out}", highlight=False)
        return
    _refuse_unread(context, "contrast", "a single subject's maps")
    with _loading():
        from brainnet.run.rsa import search

    maps = search(
        patterns, model or (), out, mask=mask, mesh=mesh, radius=radius, unit=unit, k=k, min_size=min_size,
        metric=metric, method=method, n_permutations=permutations, seed=seed, n_jobs=jobs, key=key, progress=not quiet,
    )  # fmt: skip
    out_console.print(f"{maps.space.n_voxels:,} centres, {len(maps.models)} models\nmaps, figure and run card in {out}",
                      highlight=False)  # fmt: skip


def _print_roles(out: Path) -> None:
    """What was read as brain and what as model: both are files of RDMs, and either could stand for the other."""
    card = json.loads((out / "run.json").read_text(encoding="utf-8"))
    for role, files, unit in (("brain", card["data"], "subject"), ("model", card["models"], "layer")):
        for name, part in files.items():
            names, several = part["rdms"], "s" * (len(part["rdms"]) != 1)
            shown = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
            times = f" x {part['n_times']} times" if "n_times" in part else ""
            out_console.print(f"{role} {name}: {len(names)} {unit}{several} ({shown}){times}", highlight=False)


def _refuse_unread(context: typer.Context, names: str, kind: str) -> None:
    """An option that this kind of analysis does not read is an error, never passed over."""
    given = [name for name in names.split() if context.get_parameter_source(name).name == "COMMANDLINE"]
    if given:
        option = next(parameter.opts[0] for parameter in context.command.params if parameter.name == given[0])
        raise ValueError(f"{option} has no meaning with {kind}; leave it out.")


def _print_table(table, title: str) -> None:
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


def _list(registry, kind: str) -> None:
    table = Table(kind, "what it is", box=None)
    for name in registry:
        entry = registry[name]
        lines = (entry.__doc__ or "").strip().splitlines()
        said = re.sub(r":\w+:`(\w+)`|``([^`]+)``", lambda found: found[1] or found[2], lines[0] if lines else "")
        table.add_row(f"[cyan]{name}[/]", said)
    out_console.print(table)


def _report(metrics: dict, out: Path) -> None:
    """What a person wants to know at once; everything else is in the folder."""
    summary = metrics["test"]["all"]
    table = Table("region", "voxels", "mean r", "mean R2", "mean r / mean ceiling", box=None)
    for name, row in metrics["test"].items():
        ratio = row.get("mean_r_over_mean_ceiling")
        table.add_row(
            name, str(row["n_scored"]), f"{row['r']['mean']:.3f}", f"{row['r2']['mean']:.3f}",
            "" if ratio is None else f"{ratio:.3f}",
        )  # fmt: skip
    out_console.print(table)
    low, high = summary["r_interval"]["lower"], summary["r_interval"]["upper"]
    out_console.print(
        f"mean test r {summary['r']['mean']:.3f} (95 % interval over images {low:.3f} to {high:.3f}), "
        f"{metrics['n_test_images']} images, {summary['n_scored']} of {summary['n']} voxels",
        highlight=False,
    )
    for split, means in metrics.get("further_splits", {}).items():
        row = means["all"]
        ratio = row.get("mean_r_over_mean_ceiling")
        out_console.print(
            f"mean {split} r {row['r']['mean']:.3f} ({row['r_interval']['lower']:.3f} to "
            f"{row['r_interval']['upper']:.3f}){'' if ratio is None else f', {ratio:.3f} of the ceiling'}, "
            f"{means['n_images']} images",
            highlight=False,
        )
    recovery = metrics.get("recovery")
    if recovery:
        _report_recovery(recovery)
    out_console.print(
        f"\nmaps    {out / 'maps.png'}\nnumbers {out / 'metrics.json'}, {out / 'scores.csv'}", highlight=False
    )


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
        "images",
        "r",
        "95 %",
        "mean of r / ceiling",
    ):
        shown.add_column(name, no_wrap=name in ("r", "95 %"), overflow="fold")
    ceilings = rows[rows.index.get_level_values("method") == "noise ceiling"].index
    for key in sorted([*ceilings, *encoding.headline()], key=lambda key: list(encoding.subjects).index(key[1])):
        for row in rows.loc[[tuple(key)]].itertuples(index=False):
            shown.add_row(
                key[1], *([key[0]] if several else []), ", ".join(filter(None, (key[2], key[4]))), row.chosen_layer,
                row.split, f"{row.mean:.3f}", "" if row.lower != row.lower else f"{row.lower:.3f}-{row.upper:.3f}",
                "" if row.normalised != row.normalised else f"{row.normalised:.3f}",
            )  # fmt: skip
    out_console.print(shown)


def _report_recovery(recovery: dict) -> None:
    table = Table("planted truth, found again", "raw", "gain-corrected", "constant guess", box=None)
    for name, row in recovery.items():
        if isinstance(row, dict):
            cells = [row.get(k) for k in ("raw", "gain_corrected", "constant_guess")]
            table.add_row(name, *("" if c is None else f"{c:.3f}" for c in cells))
    out_console.print(table)
    out_console.print(recovery["not_identifiable"], style="dim", highlight=False)


def _one_line_warning(message, category, filename, lineno, file=None, line=None) -> None:
    if issubclass(category, UserWarning) and "brainnet" in filename:
        err_console.print(f"[yellow]warning:[/] {message}", highlight=False)


def _keep_freed_memory() -> None:
    """Lets the C library keep up to 256 MB of freed arrays for the next ones; nothing where it is not glibc.

    By itself it hands a step's arrays back to the system and fetches them anew, zeroed, at the next step: three
    quarters of the page faults of the demo.
    """
    trim_threshold, mmap_threshold = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h
    with contextlib.suppress(AttributeError, OSError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(mmap_threshold, 2**25)  # the largest it takes
        mallopt(trim_threshold, 2**28)


def command_line() -> None:
    """Entry point: :func:`main`, then the end at once: Python would take two seconds to free its objects one by one."""
    code: str | int | None = 0
    try:
        main()
    except SystemExit as stop:
        code = stop.code
    if any(not thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread()):
        sys.exit(code)
    atexit._run_exitfuncs()
    with contextlib.suppress(OSError):  # nobody reads any more
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


def main() -> None:
    """Runs the app, and turns a user's mistake into one line and exit code 2."""
    from brainnet._work import Interrupted

    _keep_freed_memory()
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

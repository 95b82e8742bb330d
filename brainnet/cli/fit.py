"""Commands that train a map and use it: demo, fit, predict."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from brainnet.cli.page import page_beside
from brainnet.cli.process import loading
from brainnet.cli.shared import (
    Atlas,
    Classes,
    DataSet,
    Device,
    Every,
    FigureFormat,
    Force,
    Fps,
    ImageSize,
    Layout,
    Out,
    Overrides,
    Overwrite,
    Quiet,
    Rows,
    SkipBad,
    StimulusSource,
    WithPage,
    app,
    images_of,
    out_console,
    with_atlases,
)


@app.command()
def demo(
    overrides: Overrides = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="Folder of the results. The default is demo, or demo_shuffled with --shuffled."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the subject, the network, the noise and the training.")] = 0,
    shuffled: Annotated[
        bool,
        typer.Option(
            "--shuffled", help="Permute the responses of each voxel over images. This is the negative control."
        ),
    ] = False,
    figure_format: FigureFormat = "png,svg",
    quiet: Quiet = False,
) -> None:
    """Find planted maps again, in a simulated subject. This takes half a minute on two free cores."""
    from brainnet.config import load_config

    out = out or Path("demo_shuffled" if shuffled else "demo")
    cfg = load_config("demo", ["SEED", str(seed), "DATASET.SHUFFLED", str(shuffled), *(overrides or [])])
    saved = out / "config.yaml"
    replaceable = (
        not os.path.isfile(saved) or load_config(saved).DATASET.NAME == "simulated"
    )  # a demo, but no work of yours
    with loading():
        from brainnet.run.fitting.training import fit as fit_run

    metrics = fit_run(cfg, out, overwrite=replaceable, progress=not quiet)
    if metrics:  # empty in all but the first of several processes
        _report(metrics, out, page_beside(out))


@app.command()
def fit(
    overrides: Overrides = None,
    config: Annotated[
        str | None,
        typer.Option(
            "--config", "-c", help="YAML file with settings, or the name of a preset of brainnet, such as folder."
        ),
    ] = None,
    out: Out = Path("run"),
    resume: Annotated[bool, typer.Option("--resume", help="Go on where an interrupted run in --out stopped.")] = False,
    overwrite: Overwrite = False,
    draw: Annotated[bool, typer.Option("--draw", help="Save a picture of the maps at every validation.")] = False,
    keys: Annotated[
        bool, typer.Option("--keys", help="List every setting with its value and its meaning, and stop.")
    ] = False,
    force: Force = False,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0, help="Seed of the weights, the order of the images and the random splits. It is the setting SEED."
        ),
    ] = None,
    device: Device = None,
    precision: Annotated[
        str | None,
        typer.Option(help="Arithmetic of the network: fp32, bf16 or auto. It is the setting BACKBONE.PRECISION."),
    ] = None,
    image_size: ImageSize = None,
    atlas: Atlas = None,
    figure_format: FigureFormat = "png,svg",
    with_page: WithPage = False,
    quiet: Quiet = False,
) -> None:
    """Train and score one map, and fill a run folder with it.

    brainnet fit --config algonauts_clip DATASET.DATA_DIR /data/subj01 --out run
    """
    from brainnet.config import changed, config_help, config_keys, load_config

    cfg = load_config(config, overrides or [])
    cfg = changed(cfg, _settings_of(cfg.DATASET.NAME, seed, device, precision, image_size))
    cfg = with_atlases(cfg, atlas)
    if keys:
        table, meaning = Table("setting", "value", "meaning", box=None), config_help()
        for key, value in config_keys(cfg).items():
            table.add_row(Text(key, overflow="fold"), repr(value), meaning[key])
        out_console.print(table)
        return
    with loading():
        from brainnet.run.fitting.training import fit as fit_run

    metrics = fit_run(cfg, out, resume=resume, overwrite=overwrite, draw=draw, force=force, progress=not quiet)
    if metrics:  # empty in all but the first of several processes
        _report(metrics, out, page_beside(out) if with_page else None)


def _settings_of(
    dataset: str, seed: int | None, device: str | None, precision: str | None, image_size: tuple[int, int] | None
) -> list[str]:
    """The settings that some options stand for, as KEY VALUE."""
    settings = [] if seed is None else ["SEED", str(seed)]
    if device is not None:
        if ":" in device:
            raise ValueError(
                f"--device {device}: training takes the first device that it sees. Write --device cuda, and "
                f"CUDA_VISIBLE_DEVICES={device.partition(':')[2]} before the command."
            )
        settings += ["TRAINER.ACCELERATOR", device]
    if precision is not None:
        settings += ["BACKBONE.PRECISION", precision]
    if image_size:
        settings += ["BACKBONE.OPTIONS.image_size", str(tuple(image_size))]
        settings += ["DATASET.RESOLUTION", str(tuple(image_size))] if dataset == "algonauts" else []
    return settings


@app.command()
def predict(
    run: Annotated[
        Path,
        typer.Argument(
            help="Folder of a finished `brainnet fit` or `brainnet encode --keep-weights`, a model.ckpt, the folder of "
            "an encoder (`brainnet export --to model`), or hf:OWNER/NAME on the Hugging Face hub."
        ),
    ],
    images: StimulusSource,
    out: Out = Path("predictions"),
    method: Annotated[
        str | None,
        typer.Option("--method", "-m", help="Method of the encoding to predict by. The default is the best."),
    ] = None,
    network: Annotated[
        str | None, typer.Option(help="Network of the encoding to predict by. The default is the best.")
    ] = None,
    layer: Annotated[
        str | None, typer.Option("--layer", "-l", help="Layer of the encoding to predict by. The default is the best.")
    ] = None,
    subject: Annotated[str | None, typer.Option(help="Name of the subject, if the encoding has several.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Number of images that the network sees at a time.")] = 16,
    device: Device = None,
    figure_format: FigureFormat = "png,svg",
    with_page: Annotated[
        bool,
        typer.Option(
            "--page", help="Write predicted.html too. It shows the maps of the first 48 images, with a slider."
        ),
    ] = False,
    quiet: Quiet = False,
    layout: Layout = "auto",
    skip_bad: SkipBad = False,
    classes: Classes = None,
    rows: Rows = None,
    key: DataSet = None,
    fps: Fps = None,
    every: Every = None,
) -> None:
    """Predict every voxel's response to new images, and draw the maps of the first ones.

    brainnet predict run new_images/ --out predictions

    A run on texts, sounds or videos predicts those. Of a time series it reads a table with the columns onset and
    duration, in seconds, and predicts every volume.

    If the run is an encoding, --method, --network and --layer choose among the fits whose weights were kept.
    """
    with loading():
        from brainnet.run.fitting.prediction import predict as predict_run

    pictures = images_of(images, skip_bad, rows, layout=layout, classes=classes, key=key, fps=fps, every=every)
    path = predict_run(
        run, pictures, out, skip_bad=skip_bad, batch_size=batch_size, device=device, progress=not quiet,
        with_page=with_page, subject=subject, network=network, method=method, layer=layer,
    )  # fmt: skip
    for name in (path.name, "images.txt", "predicted.png", "predicted.html"):
        if (path.parent / name).is_file():
            out_console.print(str(path.parent / name), highlight=False)


def _report(metrics: dict, out: Path, page: Path | None) -> None:
    """What a person wants to know at once; everything else is in the folder."""
    summary, is_series = metrics["test"]["all"], metrics.get("is_series", False)
    rows = "volumes" if is_series else "images"
    table = Table("roi", "voxels", "mean r", "mean R2", "share of the ceiling", box=None)
    for name, row in metrics["test"].items():
        ratio = row.get("ceiling_share")
        table.add_row(
            name, str(row["n_scored"]), f"{row['r']['mean']:.3f}", f"{row['r2']['mean']:.3f}",
            "" if ratio is None else f"{ratio:.3f}",
        )  # fmt: skip
    out_console.print(table)
    r = summary["r"]
    out_console.print(
        f"mean test r {r['mean']:.3f} (95 % interval over {rows} {r['low']:.3f} to {r['high']:.3f}), "
        f"{metrics['n_test_images']} {rows}, {summary['n_scored']} of {summary['n']} voxels",
        highlight=False,
    )
    for split, means in metrics.get("further_splits", {}).items():
        r, ratio = means["all"]["r"], means["all"].get("ceiling_share")
        of_ceiling = "" if ratio is None else f", {ratio:.3f} of the ceiling"
        out_console.print(
            f"mean {split} r {r['mean']:.3f} ({r['low']:.3f} to {r['high']:.3f}){of_ceiling}, "
            f"{means['n_images']} {rows}",
            highlight=False,
        )
    recovery = metrics.get("recovery")
    if recovery and is_series:
        found = ", ".join(f"{name.replace('_', ' ')} {share:.0%}" for name, share in recovery.items())
        out_console.print(f"planted truth, found again in so many voxels: {found}", highlight=False)
    elif recovery:
        _report_recovery(recovery)
    out_console.print(
        f"\nmaps    {out / 'maps.png'}\nnumbers {out / 'metrics.json'}, {out / 'scores.csv'}"
        + (f"\npage    {page}" if page else ""),
        highlight=False,
    )


def _report_recovery(recovery: dict) -> None:
    from brainnet.run.report.scores import RECOVERED

    table = Table("planted truth, found again", "found", "gain-corrected", "constant guess", box=None)
    for name, row in recovery.items():
        if isinstance(row, dict):
            cells = [row.get(k) for k in ("raw", "gain_corrected", "constant_guess")]
            table.add_row(RECOVERED.get(name, name), *("" if c is None else f"{c:.3f}" for c in cells))
    out_console.print(table)
    out_console.print(recovery["not_identifiable"], style="dim", highlight=False)

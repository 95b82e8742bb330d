"""Commands about geometry: rdm, rsa (compare, time, fit, partition), searchlight (run, group)."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from brainnet.cli.page import page_beside
from brainnet.cli.process import loading
from brainnet.cli.shared import (
    Classes,
    DataSet,
    Device,
    Every,
    FamilyOptions,
    FigureFormat,
    Force,
    Fps,
    Grid,
    ImageSize,
    Layout,
    Out,
    Precision,
    Quiet,
    Rename,
    Rows,
    SkipBad,
    Step,
    Window,
    WithPage,
    app,
    err_console,
    family_options,
    out_console,
    print_table,
    renames,
    stimuli_from,
)

Brains = Annotated[
    list[Path],
    typer.Argument(
        help="Files of brain RDMs. Each file is a region, with one RDM per subject. A folder stands for its files, and "
        "images92=FOLDER for the data set of that name (`brainnet datasets`)."
    ),
]
Span = Annotated[
    tuple[float, float] | None,
    typer.Option(
        help="First and last time of the data in seconds. The default is the times that the files name. If they name "
        "none, time points are counted.",
        metavar="FIRST LAST",
    ),
]
Courses = Annotated[
    list[Path],
    typer.Argument(
        help="M/EEG RDMs over time: a file with the axes (subjects, times, ...), or a folder with one file of time "
        "points per subject."
    ),
]
Models = Annotated[
    list[Path] | None,
    typer.Option(
        "--model", "-m", help="File or folder of model RDMs. Repeat the option for several models.", metavar="PATH"
    ),
]
Key = Annotated[str | None, typer.Option(help="Name of the entry to read, in files that hold several arrays.")]
Seed = Annotated[int, typer.Option(help="Seed of the random numbers. The same seed gives the same results.")]
Method = Annotated[str, typer.Option(help="How two RDMs are compared, such as spearman, pearson or mine.py:name.")]
Generalise = Annotated[
    str, typer.Option(help="What the results generalize to: new subjects, new conditions, or both.", metavar="WHAT")
]
Test = Annotated[
    str,
    typer.Option(
        help="Test of the scores: t, sign-flip (the signs of the subjects' scores are flipped) or permutation (the "
        "condition labels are permuted)."
    ),
]
Correction = Annotated[str, typer.Option(help="Correction for many tests: holm, max, fdr or none.")]
Nan = Annotated[
    str,
    typer.Option(
        help="What to do with undefined dissimilarities (NaN): raise stops with an error, and omit leaves out the "
        "conditions of which no dissimilarity is defined."
    ),
]
Permutations = Annotated[int, typer.Option(min=1, help="Number of permutations or sign flips.")]
FitPermutations = Annotated[int, typer.Option(min=0, help="Number of permutations. With 0 nothing is tested.")]
Folds = Annotated[
    int, typer.Option(min=2, help="Number of parts of the conditions. Each part needs at least four conditions.")
]
Metric = Annotated[str, typer.Option(help="Distance between two patterns, such as correlation or mine.py:name.")]


ARGUMENTS = {"n_folds": "folds", "n_permutations": "permutations", "min_size": "min-size", "k": "vertices"}
WORDS = "key|nan|generalise|test|correction|method|metric|pooling|radius|unit|seed|n_folds|n_permutations|min_size|k"


def in_options(message: str) -> str:
    """A message about arguments, in the words of the command line.

    >>> in_options("pass key=, one of a, b; or use nan='omit' with n_folds <= 2")
    'pass --key, one of a, b; or use --nan omit with --folds <= 2'
    """
    option = lambda name: f"--{ARGUMENTS.get(name, name)}"  # noqa: E731
    message = re.sub(rf"\b({WORDS})='([\w-]+)'", lambda found: f"{option(found[1])} {found[2]}", message)
    message = re.sub(rf"\b({WORDS})=(?=[\s,;.]|$)", lambda found: option(found[1]), message)
    return re.sub(r"(?<!-)\b(n_folds|n_permutations|min_size)\b", lambda found: option(found[1]), message)


class _WithOlderForm(TyperGroup):
    """A group of commands that also reads the form the command had before it was parted, and says the new one once."""

    translate: Callable[[list[str]], list[str]]

    def invoke(self, ctx):
        try:
            return super().invoke(ctx)
        except ValueError as error:
            raise ValueError(in_options(str(error))) from error

    def parse_args(self, ctx, args):
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = type(self).translate(list(args))
            err_console.print(
                f"deprecated: this form ends with version 1.0. Write `brainnet {ctx.info_name} {args[0]} ...`.",
                highlight=False, soft_wrap=True,
            )  # fmt: skip
        return super().parse_args(ctx, args)


def _rsa_command(args: list[str]) -> list[str]:
    """The parted form of ``brainnet rsa PATHS --time / --fit WEIGHTS / --partition``."""
    kinds = {"--time": "time", "--partition": "partition", "--fit": "fit"}
    found = [word for word in args if word.partition("=")[0] in kinds]
    if len({word.partition("=")[0] for word in found}) > 1:
        raise ValueError(f"{' and '.join(found)} are different analyses; run one at a time.")
    if not found:
        return ["compare", *args]
    option = found[0].partition("=")[0]
    if option == "--fit":
        args = ["--weights" + word.removeprefix("--fit") if word == found[0] else word for word in args]
        return ["fit", *args]
    return [kinds[option], *(word for word in args if word != found[0])]


def _searchlight_command(args: list[str]) -> list[str]:
    """The parted form of ``brainnet searchlight [--group] PATHS``."""
    return ["group", *(word for word in args if word != "--group")] if "--group" in args else ["run", *args]


class _RsaGroup(_WithOlderForm):
    translate = staticmethod(_rsa_command)


class _SearchlightGroup(_WithOlderForm):
    translate = staticmethod(_searchlight_command)


@app.command()
def rdm(
    source: Annotated[
        Path,
        typer.Argument(
            help="Pictures (a folder, a zip, a list, an HDF5 file or a video), a token store, or a file of features "
            "(.npy, .npz)."
        ),
    ],
    out: Out = Path("rdms"),
    backbone: Annotated[
        str | None,
        typer.Option(
            "--backbone",
            "-b",
            help="Network that looks at the pictures: family:variant, or family:variant=weights.",
        ),
    ] = None,
    layer: Annotated[
        list[str] | None, typer.Option("--layer", "-l", help="Name of a layer. Repeat the option for several layers.")
    ] = None,
    metric: Metric = "correlation",
    pool: Annotated[
        str, typer.Option(help="How tokens become features: flatten, mean, max, global, both or all.")
    ] = "flatten",
    grid: Grid = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Number of pictures that the network sees at a time.")] = 16,
    device: Device = None,
    precision: Precision = None,
    image_size: ImageSize = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the weights of a network with random weights.")] = None,
    force: Force = False,
    figure_format: FigureFormat = "png,svg",
    quiet: Quiet = False,
    layout: Layout = "auto",
    skip_bad: SkipBad = False,
    classes: Classes = None,
    rows: Rows = None,
    key: DataSet = None,
    fps: Fps = None,
    every: Every = None,
    option: FamilyOptions = None,
    window: Window = None,
    step: Step = None,
    over_time: Annotated[
        bool,
        typer.Option(
            "--over-time", help="Compute an RDM of every layer at every step in time of texts, sounds and videos."
        ),
    ] = False,
) -> None:
    """Compute the RDM of every layer of a network, or of features in files.

    brainnet rdm images/ --backbone torchvision:squeezenet1_0 --out rdms

    brainnet rdm clips/ --backbone video:torchvision:squeezenet1_0 --over-time --out rdms

    A distance of your own is a function in a file: brainnet rdm features.npy --metric mine.py:chebyshev
    """
    how = {"layout": layout, "classes": classes, "rows": rows, "key": key, "fps": fps, "every": every,
           "window": window, "step": step}  # fmt: skip
    family = family_options(option)
    common = {"backbone": backbone, "layers": layer, "metric": metric, "pool": pool, "batch_size": batch_size,
              "device": device, "precision": precision, "image_size": image_size or None, "seed": seed,
              "progress": not quiet, **family}  # fmt: skip
    whole = {"grid": grid or None, "skip_bad": skip_bad, "force": force}
    _write_rdms(source, out, how, common, whole, family, over_time)


def _write_rdms(
    source: Any, out: Path, how: dict[str, Any], common: dict[str, Any], whole: dict[str, Any],
    family: dict[str, Any], over_time: bool,
) -> None:  # fmt: skip
    """RDMs of stimuli chosen by ``how``, or with ``over_time`` at every step; ``whole`` is of the former alone."""
    with loading():
        from brainnet.run.rsa.rdm_steps import write_step_rdms
        from brainnet.run.rsa.rdms import write_rdms

    backbone = common["backbone"]
    asked = next((name for name, value in how.items() if value not in (None, "auto")), None)
    if backbone is None and asked is not None:
        raise ValueError(f"--{asked} is of stimuli that a network reads: name it by --backbone.")
    if over_time and (backbone is None or whole["grid"] or whole["skip_bad"]):
        raise ValueError("--over-time is of a network named by --backbone, without --grid and --skip-bad.")
    if backbone is not None:
        source = stimuli_from(source, backbone, whole["skip_bad"], options=family, **how)
    if not over_time:
        rdms = write_rdms(source, out, **common, **whole)
        out_console.print(f"{len(rdms)} RDMs of {rdms.n_conditions} conditions\n{out / 'rdms.npz'}", highlight=False)
        return
    for name, found in write_step_rdms(source, out, **common).items():
        out_console.print(f"layer {name}: {len(found)} steps of {found.n_conditions} conditions", highlight=False)
    out_console.print(f"{out / 'steps'}", highlight=False)


rsa_app = typer.Typer(cls=_RsaGroup, no_args_is_help=True, rich_markup_mode="rich")
app.add_typer(rsa_app, name="rsa", help="Compare model RDMs with brain RDMs, in regions or over time, or fit them.")


@rsa_app.command()
def compare(
    subjects: Brains,
    out: Out = Path("rsa"),
    model: Models = None,
    method: Method = "spearman",
    generalise: Generalise = "both",
    test: Test = "t",
    correction: Correction = "holm",
    permutations: Permutations = 5000,
    squared: Annotated[
        bool,
        typer.Option("--squared", help="Average squared similarities, in the scores and in the noise ceilings."),
    ] = False,
    pooling: Annotated[
        str,
        typer.Option(
            help="Group RDM of the noise ceilings: optimal (for this method), or mean (of the RDMs as they are)."
        ),
    ] = "optimal",
    nan: Nan = "raise",
    key: Key = None,
    seed: Seed = 0,
    rename: Rename = None,
    figure_format: FigureFormat = "png,svg",
    quiet: Quiet = False,
) -> None:
    """Compare model RDMs with brain RDMs. Without models, only the noise ceilings are computed.

    brainnet rsa compare brain/ --model rdms/rdms.npz --out results

    The noise ceilings of the Algonauts challenge 2019: brainnet rsa compare fmri_rdms/ --squared --pooling mean
    """
    with loading():
        from brainnet.run.rsa.rsa import compare_rdms

    tables = compare_rdms(
        subjects, out, models=model or (), method=method, generalise=generalise, test=test, correction=correction,
        n_permutations=permutations, squared=squared, pooling=pooling, nan=nan, key=key, seed=seed,
        rename=renames(rename), progress=not quiet,
    )  # fmt: skip
    print_read(tables)
    print_table(tables["ceilings"], "noise ceilings" + (", squared" if squared else ""))
    if "scores" in tables:
        columns = ["roi", "model", "layer", "score", "low", "high", "p_corrected", "ceiling", "ceiling_share"]
        print_table(tables["scores"][columns], "scores" + (", squared" if squared else ""))
    out_console.print(f"\ntables, figures and run card in {out}", highlight=False)


@rsa_app.command()
def time(
    subjects: Courses,
    out: Out = Path("rsa"),
    model: Models = None,
    method: Method = "spearman",
    span: Span = None,
    fusion: Annotated[
        bool,
        typer.Option("--fusion", help="The models are fMRI regions with one RDM per subject, and these are pooled."),
    ] = False,
    generalise: Generalise = "both",
    test: Test = "t",
    correction: Correction = "holm",
    permutations: Permutations = 5000,
    nan: Nan = "raise",
    key: Key = None,
    seed: Seed = 0,
    rename: Rename = None,
    figure_format: FigureFormat = "png,svg",
    quiet: Quiet = False,
) -> None:
    """Compare model RDMs with M/EEG RDMs at every time.

    brainnet rsa time meg.npz --span -0.1 0.9 --model rdms/rdms.npz --correction fdr
    """
    with loading():
        from brainnet.run.rsa.rsa import compare_over_time

    tables = compare_over_time(
        subjects, out, models=model or (), method=method, span=span, pooled=fusion, generalise=generalise, test=test,
        correction=correction, n_permutations=permutations, nan=nan, key=key, seed=seed, rename=renames(rename),
        progress=not quiet,
    )  # fmt: skip
    print_read(tables)
    print_table(tables["peaks"], "highest scores")
    out_console.print(f"\ntables, figure and run card in {out}", highlight=False)


@rsa_app.command()
def fit(
    subjects: Brains,
    out: Out = Path("rsa"),
    model: Models = None,
    weights: Annotated[
        str, typer.Option(help="Kind of the weights: nonnegative, ridge or ols (least squares).")
    ] = "nonnegative",
    method: Annotated[
        str, typer.Option(help="How the mixture is compared with the brain on held-out conditions.")
    ] = "spearman",
    folds: Folds = 3,
    permutations: FitPermutations = 1000,
    key: Key = None,
    seed: Seed = 0,
    rename: Rename = None,
    figure_format: FigureFormat = "png,svg",
    quiet: Quiet = False,
) -> None:
    """Mix the layers of every model so that they match the brain best, and score the mixture on held-out conditions.

    brainnet rsa fit brain/ --weights nonnegative --model rdms/rdms.npz
    """
    with loading():
        from brainnet.run.rsa.fits import fit_rdms

    tables = fit_rdms(
        subjects, out, models=model or (), weights=weights, method=method, n_folds=folds, n_permutations=permutations,
        key=key, seed=seed, rename=renames(rename), progress=not quiet,
    )  # fmt: skip
    print_read(tables)
    columns = ["roi", "model", "score", "unweighted", "p_corrected", "ceiling", "ceiling_share"]
    print_table(tables["scores"][columns], "scores")
    print_table(tables["weights"], "weights")
    out_console.print(f"\ntables, figures and run card in {out}", highlight=False)


searchlight_app = typer.Typer(cls=_SearchlightGroup, no_args_is_help=True, rich_markup_mode="rich")
app.add_typer(searchlight_app, name="searchlight", help="Map where in the brain patterns have the geometry of a model.")


@searchlight_app.command()
def run(
    patterns: Annotated[
        list[Path],
        typer.Argument(
            help="Patterns of one subject: a NIfTI (x, y, z, conditions); two GIfTIs, left and right; or a .npy "
            "(conditions, vertices)."
        ),
    ],
    model: Models = None,
    out: Out = Path("searchlight"),
    mask: Annotated[
        Path | None, typer.Option(help="NIfTI on the grid of the patterns that is above 0 inside the brain.")
    ] = None,
    mesh: Annotated[str, typer.Option(help="Mesh of surface patterns.")] = "fsaverage5",
    radius: Annotated[
        float | None, typer.Option(help="Radius of the spheres or discs. In volumes the default is 8 mm.")
    ] = None,
    unit: Annotated[str, typer.Option(help="Unit of the radius in volumes: mm or voxels.")] = "mm",
    k: Annotated[
        int | None,
        typer.Option(
            "--vertices", help="Number of vertices of a disc. It takes the place of a radius. The default is 50."
        ),
    ] = None,
    min_size: Annotated[
        int, typer.Option(min=1, help="Smallest number of voxels. Centers with fewer voxels are left out.")
    ] = 10,
    metric: Metric = "correlation",
    method: Method = "spearman",
    permutations: Annotated[
        int, typer.Option(min=0, help="Number of permutations of the condition labels. With 0 nothing is tested.")
    ] = 1000,
    seed: Seed = 0,
    jobs: Annotated[int, typer.Option(help="Number of processes.")] = 1,
    key: Key = None,
    force: Force = False,
    figure_format: FigureFormat = "png,svg",
    with_page: WithPage = False,
    quiet: Quiet = False,
) -> None:
    """Map where in a volume or on a surface one subject's patterns have the geometry of each model.

    brainnet searchlight run betas.nii.gz --model rdms/rdms.npz --out maps

    The same line goes on where an interrupted one stopped.
    """
    with loading():
        from brainnet.run.rsa.searchlight import search

    maps = search(
        patterns, model or (), out, mask=mask, mesh=mesh, radius=radius, unit=unit, k=k, min_size=min_size,
        metric=metric, method=method, n_permutations=permutations, seed=seed, n_jobs=jobs, key=key,
        force=force, progress=not quiet,
    )  # fmt: skip
    out_console.print(f"{maps.space.n_voxels:,} centers, {len(maps.models)} models\nmaps, figure and run card in {out}",
                      highlight=False)  # fmt: skip
    _leave_page(out, with_page)


@searchlight_app.command()
def group(
    folders: Annotated[
        list[Path],
        typer.Argument(help="Folders that `brainnet searchlight run` filled, one for each subject. Use six or more."),
    ],
    out: Out = Path("searchlight"),
    contrast: Annotated[
        tuple[str, str] | None,
        typer.Option(help="Two models: the maps show where the first scores above the second.", metavar="FIRST SECOND"),
    ] = None,
    permutations: Annotated[
        int, typer.Option(min=0, help="Number of sign flips. With 0, p comes from Student's t distribution.")
    ] = 1000,
    seed: Seed = 0,
    figure_format: FigureFormat = "png,svg",
    with_page: WithPage = False,
    quiet: Quiet = False,
) -> None:
    """Test the maps of several subjects: where a model scores above 0 in the population.

    brainnet searchlight group maps/sub-01 maps/sub-02 maps/sub-03 maps/sub-04 maps/sub-05 maps/sub-06 --out group
    """
    with loading():
        from brainnet.run.rsa.searchlight import search_group

    found = search_group(folders, out, contrast=contrast, n_permutations=permutations, seed=seed, progress=not quiet)
    out_console.print(f"{found!r}\nmaps, figure and run card in {out}", highlight=False)
    _leave_page(out, with_page)


def _leave_page(out: Path, wanted: bool) -> None:
    if wanted and (path := page_beside(out)):
        out_console.print(f"page in {path}", highlight=False)


def print_read(tables) -> None:
    """What was read as brain and what as model: both are files of RDMs, and either could stand for the other."""
    for one in tables.read:
        out_console.print(str(one), highlight=False)

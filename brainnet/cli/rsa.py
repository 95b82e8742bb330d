"""Commands about geometry: rdm, rsa, searchlight."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from brainnet.cli.process import loading
from brainnet.cli.shared import Out, Quiet, app, out_console, print_table


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
    with loading():
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
        with loading():
            from brainnet.run.rsa import fit_rdms, partition_rdms

        common |= {"method": method, "n_folds": folds, "n_permutations": 1000 if permutations is None else permutations}
        tables = fit_rdms(subjects, out, weights=fit, **common) if fit else partition_rdms(subjects, out, **common)
        _print_roles(out)
        columns = ["roi", "model", "score", "unweighted", "p_corrected", "ceiling_lower", "ceiling_upper"]
        for name, table in tables.items():
            print_table(table[columns] if name == "scores" else table, name)
        out_console.print(f"\ntables, figures and run card in {out}", highlight=False)
        return
    common |= {"generalise": generalise, "test": test, "correction": correction}
    common |= {} if permutations is None else {"n_permutations": permutations}
    if time:
        with loading():
            from brainnet.run.rsa import compare_over_time

        tables = compare_over_time(subjects, out, method=method, span=span, pooled=fusion, **common)
        _print_roles(out)
        print_table(tables["peaks"], "highest scores")
        out_console.print(f"\ntables, figure and run card in {out}", highlight=False)
        return
    with loading():
        from brainnet.run.rsa import compare_rdms

    tables = compare_rdms(subjects, out, method=method, squared=squared, pooling=pooling, **common)
    _print_roles(out)
    print_table(tables["ceilings"], "noise ceilings" + (", squared" if squared else ""))
    if "scores" in tables:
        columns = ["roi", "model", "layer", "score", "low", "high", "p_corrected", "explained"]
        print_table(tables["scores"][columns], "scores")
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
        with loading():
            from brainnet.run.rsa import search_group

        found = search_group(
            patterns, out, contrast=contrast, n_permutations=permutations, seed=seed, progress=not quiet
        )
        out_console.print(f"{found!r}\nmaps, figure and run card in {out}", highlight=False)
        return
    _refuse_unread(context, "contrast", "a single subject's maps")
    with loading():
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

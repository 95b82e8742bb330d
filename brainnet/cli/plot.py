"""The command plot: the maps of finished runs, drawn again, one by one or side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from brainnet.cli.process import loading
from brainnet.cli.shared import FigureFormat, Rename, app, out_console, renames

SURFACE = "What of the cortex is shown"
SINGLE = "One map, at the size of a publication"
MODELS = "Which model is best"
SUBJECTS = "Several subjects"


Surface = Annotated[
    str | None,
    typer.Option(help="Surface: flat (the default), inflated, pial, white or sphere.", rich_help_panel=SURFACE),
]
Views = Annotated[
    list[str] | None,
    typer.Option(
        "--view",
        help="View: lateral, medial, ventral, dorsal, anterior or posterior. Repeat the "
        "option for several views. The default is lateral and medial.",
        rich_help_panel=SURFACE,
    ),
]
Hemisphere = Annotated[
    str | None, typer.Option(help="Hemisphere: left or right. The default is both.", rich_help_panel=SURFACE)
]
Relief = Annotated[
    float,
    typer.Option(
        min=0, max=1, help="Share by which light on the folds darkens colors, from 0 to 1.", rich_help_panel=SURFACE
    ),
]
Maps = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        help="Name of a map that is drawn alone: r, ceiling_share, layer, depth, scale, entropy, x, y, cluster or "
        "layer:NAME. Repeat the option for several maps. If there are several runs, these maps are compared.",
        rich_help_panel=SINGLE,
    ),
]
Regions = Annotated[
    list[str] | None,
    typer.Option(
        "--roi",
        help="Name of a region that is outlined. Repeat the option for several regions. The default is all regions.",
        rich_help_panel=SINGLE,
    ),
]
NoFade = Annotated[
    bool, typer.Option("--no-fade", help="Do not fade colors where the score is low.", rich_help_panel=SINGLE)
]
ColorMap = Annotated[
    str | None, typer.Option("--cmap", help="Name of a color map of matplotlib.", rich_help_panel=SINGLE)
]
Lowest = Annotated[float | None, typer.Option(help="Value of the lowest color.", rich_help_panel=SINGLE)]
Highest = Annotated[float | None, typer.Option(help="Value of the highest color.", rich_help_panel=SINGLE)]
Threshold = Annotated[
    float | None,
    typer.Option(help="Smallest distance from 0. Values nearer to 0 are left out.", rich_help_panel=SINGLE),
]
BestModel = Annotated[
    bool,
    typer.Option(
        "--best-model",
        help="Draw which model is best where. The run is a searchlight, an encoding or an RSA.",
        rich_help_panel=MODELS,
    ),
]
Groups = Annotated[
    list[str] | None,
    typer.Option(
        "--group", help=
"Models that share a hue, such as 2D=edges,inpainting. Repeat the option for "
"several groups.", rich_help_panel=MODELS,
        metavar="GROUP=MODEL,MODEL",
    ),
]  # fmt: skip
Method = Annotated[
    str | None, typer.Option(help="Method of an encoding. The default is the first one.", rich_help_panel=MODELS)
]
AtlasFile = Annotated[
    str | None,
    typer.Option(
        help="Surface atlas whose areas have the names of the regions of an RSA.", rich_help_panel=MODELS,
        metavar="FILE[=PATTERNS]",
    ),
]  # fmt: skip
Alpha = Annotated[
    float, typer.Option(min=0, max=1, help="Level of the corrected p-value of a best model.", rich_help_panel=MODELS)
]
LeastCeiling = Annotated[
    float, typer.Option(help="Noise ceiling below which a voxel has no best model.", rich_help_panel=MODELS)
]
OverSubjects = Annotated[
    bool,
    typer.Option(
        "--over-subjects",
        help="Draw the mean, the share of subjects and t over the subjects of several runs, or of one encoding.",
        rich_help_panel=SUBJECTS,
    ),
]
Above = Annotated[
    float,
    typer.Option(
        help="Value that --over-subjects tests against: the share counts the subjects above it.",
        rich_help_panel=SUBJECTS,
    ),
]
Width = Annotated[str, typer.Option(help="Width of the figure: 85mm, 17.4cm or 6.5in.", rich_help_panel=SINGLE)]
Dpi = Annotated[float, typer.Option(min=20, help="Resolution in pixels per inch.", rich_help_panel=SINGLE)]


FiguresFolder = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        help="Folder of the figures. The default is the run itself, and 'comparison' or 'group' for several runs.",
    ),
]


@app.command()
def plot(
    run: Annotated[list[Path], typer.Argument(help="Folder of a finished run. Several folders are compared.")],
    rename: Rename = None,
    figure_format: FigureFormat = "png,svg",
    out: FiguresFolder = None,
    surface: Surface = None,
    view: Views = None,
    hemisphere: Hemisphere = None,
    relief: Relief = 0.0,
    one_map: Maps = None,
    roi: Regions = None,
    no_fade: NoFade = False,
    cmap: ColorMap = None,
    vmin: Lowest = None,
    vmax: Highest = None,
    threshold: Threshold = None,
    width: Width = "6.5in",
    dpi: Dpi = 200,
    best_model: BestModel = False,
    group: Groups = None,
    method: Method = None,
    atlas: AtlasFile = None,
    alpha: Alpha = 0.05,
    least_ceiling: LeastCeiling = 0.1,
    over_subjects: OverSubjects = False,
    above: Above = 0.0,
) -> None:
    """Draw the maps of a finished run again. Draw one of them for a paper, or several runs side by side.

    brainnet plot run --format pdf --rename "V1v=ventral V1"

    brainnet plot run --map depth --surface inflated --view ventral --width 85mm --dpi 300

    brainnet plot run_a run_b --out comparison

    brainnet plot subj01 subj02 subj03 --over-subjects --map r --above 0.1

    brainnet plot encoding --best-model --group 2D=edges,inpainting --group 3D=normals,depth
    """
    with loading():
        from brainnet.run.maps.best_models import draw_best_models, read_groups
        from brainnet.run.maps.group_maps import draw_group
        from brainnet.run.maps.run_maps import compare_maps, draw_map, draw_selectors, has_selectors
        from brainnet.run.record.run_folder import redraw

    scene = _scene(surface, view, hemisphere, relief)
    if best_model:
        paths = draw_best_models(
            run[0], out, groups=read_groups(group or ()), scene=scene, atlas=atlas, method=method, alpha=alpha,
            least_ceiling=least_ceiling,
        )  # fmt: skip
    elif over_subjects:
        paths = draw_group(
            run, out or Path("group"), names=one_map or ("r",), above=above, scene=scene, outlines=roi or True
        )
    elif len(run) > 1:
        paths = compare_maps(run, out or Path("comparison"), scene=scene, maps=one_map or ())
    elif one_map:
        paths = []
        for name in one_map:
            paths += draw_map(
                run[0], name, out, scene=scene, fade=not no_fade, outlines=roi or True, dpi=dpi, width=width, cmap=cmap,
                vmin=vmin, vmax=vmax, threshold=threshold,
            )  # fmt: skip
    else:
        paths = redraw(run[0], rename=renames(rename), scene=scene)
        if has_selectors(run[0]):
            paths += draw_selectors(run[0], scene)
    for path in paths:
        out_console.print(str(path), highlight=False)


def _scene(surface: str | None, view: list[str] | None, hemisphere: str | None, relief: float) -> Any:
    """What of the cortex is shown; None is the default of each figure."""
    from brainnet.plot.scene import Scene

    if not (surface or view or hemisphere or relief):
        return None
    return Scene(surface or ("inflated" if view else "flat"), tuple(view or ("lateral", "medial")), hemisphere, relief)

"""What `brainnet predict` shows of its predictions: the first images beside their maps, and a page with a slider."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from brainnet import plot
from brainnet._files import write_text
from brainnet._work import says_progress
from brainnet.plot import PageMap, PageRun, predicted_limit
from brainnet.run.page.scenes import scenes_of
from brainnet.space import BrainSpace
from brainnet.stimuli import Images

FIGURE, PAGE = "predicted", "predicted.html"
DRAWN = 4  # images of the figure
MOST_IMAGES = 48  # of a page
BEST_IMAGES = 4
PREDICTED = "Predicted activity"


def draw_predicted(
    run: str | Path,
    images: Images,
    table: Path,
    space_of: Callable[[], BrainSpace],
    *,
    subject: str | None = None,
    with_page: bool = False,
) -> list[Path]:
    """Draws the predicted maps of the first images beside a table of predictions; returns the files.

    Voxels without a place on a brain, as of sensors, have no map: a line says so.

    Args:
        run: what predicted, a run folder or a file of it.
        images: whose responses are predicted.
        table: ``predictions.npy``, (n_images, n_voxels).
        space_of: gives the space of the voxels.
        subject: of an encoding, whose voxels they are.
        with_page: also write ``predicted.html``, which shows the maps of the first 48 images and those of the run.
    """
    for old in (*(f"{FIGURE}.{ending}" for ending in ("png", "svg", "pdf")), PAGE):  # of other images
        (table.parent / old).unlink(missing_ok=True)
    predicted = torch.from_numpy(np.load(table, mmap_mode="r")[:MOST_IMAGES].copy())
    try:
        space = space_of()
        figure = plot.predicted_maps(
            [images[k] for k in range(min(DRAWN, len(images)))], predicted[:DRAWN], space, names=images.ids[:DRAWN],
            title=f"Predicted responses, by {Path(run).resolve().name}",
        )  # fmt: skip
        paths = plot.save(figure, table.parent / FIGURE)
        if with_page:
            scene = with_predicted(_scene(run, space, subject), images, predicted, first=True)
            write_text(table.parent / PAGE, plot.page(scene))
            paths.append(table.parent / PAGE)
    except (FileNotFoundError, ValueError) as error:
        says_progress.warning("no picture of the predictions: %s", error)
        return []
    return paths


def with_predicted(scene: PageRun, images: Images, predicted: torch.Tensor, *, first: bool = False) -> PageRun:
    """The scene with pictures, the predicted map of each, and the pictures that drive each voxel most.

    Args:
        scene: of a run.
        images: the pictures; the first 48 are taken.
        predicted: (n_images, n_voxels) responses to them; NaN for voxels that were not trained.
        first: whether this map is shown first.
    """
    shown = {name: np.asarray(images[k].convert("RGB")) for k, name in enumerate(images.ids[:MOST_IMAGES])}
    predicted = predicted[:MOST_IMAGES]
    best = predicted.nan_to_num(-torch.inf).topk(min(BEST_IMAGES, len(predicted)), dim=0).indices.T
    best = best.masked_fill(predicted.isnan().any(0)[:, None], -1)
    values = predicted.T.numpy()
    largest = predicted_limit(values)
    activity = PageMap(
        values, "images", "The response that is predicted to the image below", cmap="RdBu_r", vmin=-largest,
        vmax=largest, unit="predicted response", short="Prediction",
    )  # fmt: skip
    maps = {PREDICTED: activity, **scene.maps} if first else {**scene.maps, PREDICTED: activity}
    return replace(scene, maps=maps, images=shown, best=best)


def _scene(run: str | Path, space: BrainSpace, subject: str | None) -> PageRun:
    """The maps of the run, where it is a whole folder; of a checkpoint alone there are none."""
    folder = Path(run) if Path(run).is_dir() else Path(run).parent
    if not (folder / "run.json").is_file():
        return PageRun({}, space, title=folder.resolve().name)
    return scenes_of(folder, subject)[0]

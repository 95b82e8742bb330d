"""The interactive page of finished runs: one HTML file that opens in a browser, without a server or a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import torch

from brainnet._files import write_text
from brainnet.backbone.kinds import kind_read_by
from brainnet.plot import PageMap, PageRun
from brainnet.run.maps.predicted_maps import MOST_IMAGES, with_predicted
from brainnet.run.page.scenes import SCORE, SHARE, same_place, scenes_of
from brainnet.run.page.selector_maps import LAYER, SCALE, planted_scene
from brainnet.run.record.claiming import file_to_write
from brainnet.space import Atlas, read_areas
from brainnet.stimuli import Images

NAME = "page.html"  # beside the results of a run
COMPARED = (SCORE, SHARE, SCALE)


def write_page(
    runs: Sequence[str | Path],
    out: str | Path,
    *,
    surface: str = "inflated",
    images: str | Path | None = None,
    atlases: Sequence[str | Path] = (),
    progress: bool = True,
) -> Path:
    """Writes the page of one run, or of several side by side; returns its path. See :func:`page_text`."""
    out = file_to_write(out)
    write_text(out, page_text(runs, surface=surface, images=images, atlases=atlases, progress=progress))
    return out


def page_text(
    runs: Sequence[str | Path],
    *,
    surface: str = "inflated",
    images: str | Path | None = None,
    atlases: Sequence[str | Path] = (),
    progress: bool = True,
) -> str:
    """The page of one run, or of several side by side, as HTML.

    Where two runs have the same voxels, the second one also shows its differences from the first. The
    run of a simulated subject stands beside what the subject was made with.

    Args:
        runs: folders of finished `brainnet fit`, `encode` or `searchlight`.
        surface: "pial", "inflated" or "flat", what is shown first.
        images: pictures on which windows are drawn; of a fit they are predicted as well: a slider shows the predicted
            map of each, and each voxel those of its highest predicted responses. The first 48 are taken.
        atlases: files of further regions to outline, "FILE" or "FILE=V1*,hV4" for some of its areas, see
            :func:`brainnet.space.read_areas`.
        progress: show a progress bar over the images.

    Raises:
        FileNotFoundError: no finished run in a folder.
        ValueError: a run that makes no maps, or whose voxels have no place on a brain; an unknown surface.
    """
    from brainnet import plot

    read = [read_areas(given) for given in atlases]
    scenes = []
    for run in runs:
        of_run = scenes_of(run)
        scenes += of_run if images is None else [_with_images(one, run, images, progress) for one in of_run]
    scenes = [reduce(_with_atlas, read, scene) for scene in scenes]
    truth = planted_scene(scenes[0]) if len(scenes) == 1 else None
    if truth is not None:
        scenes.append(truth)
    elif len(scenes) == 2:
        scenes[1] = _with_differences(*scenes)
    return plot.page(*scenes, surface=surface)


def _with_atlas(scene: PageRun, given: tuple[Atlas, list[str]]) -> PageRun:
    return replace(scene, space=scene.space.with_atlas(*given))


def _with_differences(first: PageRun, second: PageRun) -> PageRun:
    """The second scene with maps of second minus first, where both have the same voxels in the same order."""
    if not same_place(first.space, second.space):
        return second
    maps: dict[str, Any] = dict(second.maps)
    for name in COMPARED:
        if name in first.maps and name in second.maps:
            values = [np.asarray(one.maps[name].values, dtype=np.float64).reshape(-1) for one in (second, first)]
            change = values[0] - values[1]
            largest = float(np.nanmax(np.abs(change), initial=1e-6))
            maps[f"{name}: difference"] = PageMap(
                change, meaning=f"{second.title} minus {first.title}", unit="difference", cmap="RdBu_r", vmin=-largest,
                vmax=largest, fades=False, group="Difference of the runs", short=name,
            )  # fmt: skip
    layers = [one.maps[LAYER] for one in (first, second) if LAYER in one.maps]
    if len(layers) == 2 and list(layers[0].labels) == list(layers[1].labels):
        before, after = (np.asarray(one.values) for one in layers)
        maps["Layer: same or not"] = PageMap(
            np.where((before < 0) | (after < 0), -1, before != after), "categorical",
            f"Whether {second.title} has the same best layer as {first.title}", labels=["same layer", "another layer"],
            group="Difference of the runs", short=LAYER,
        )  # fmt: skip
    return replace(second, maps=maps)


def _with_images(scene: PageRun, run: str | Path, source: str | Path, progress: bool) -> PageRun:
    """The scene with pictures, and with the best ones of each voxel where the run is a trained map."""
    from brainnet.run.fitting.prediction import load_model, predicted_by_map

    pictures = Images.of(source)
    pictures = pictures if len(pictures) <= MOST_IMAGES else Images(source, rows=slice(MOST_IMAGES))
    if not (Path(run) / "model.ckpt").is_file():
        return replace(
            scene, images={name: np.asarray(pictures[k].convert("RGB")) for k, name in enumerate(pictures.ids)}
        )
    model = load_model(run)
    kind = kind_read_by(model.backbone)
    if model.tr is not None or kind != "image":
        raise ValueError(
            f"{run} predicts responses to {kind}s{' over time' if model.tr else ''}, and not to single images: "
            "leave out --images."
        )
    predicted = torch.cat([part for _, part in predicted_by_map(model, pictures, 16, torch.device("cpu"), progress)])
    return with_predicted(scene, pictures, predicted)

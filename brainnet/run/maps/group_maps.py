"""Maps of several subjects on one footing: their mean, the share of subjects above a value, and t."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from brainnet import plot
from brainnet._checks import check_word
from brainnet._files import slug
from brainnet.plot import PageRun
from brainnet.plot.scene import Scene
from brainnet.run.page.scenes import CEILING, SCORE, SHARE, same_place, scenes_of
from brainnet.run.page.selector_maps import SCALE, WIDTH
from brainnet.run.record.card import Clock, opening, put_card
from brainnet.run.record.claiming import claimed

KIND = "group maps"
PACKAGES = ("torch", "numpy", "matplotlib")
NAMES = {"r": SCORE, "r2": "R2", "ceiling": CEILING, "ceiling_share": SHARE, "scale": SCALE, "width": WIDTH,
         "entropy": "Layer entropy"}  # fmt: skip


def draw_group(
    runs: Sequence[str | Path],
    out: str | Path,
    *,
    names: Sequence[str] = ("r",),
    above: float = 0.0,
    scene: Scene | str | None = None,
    outlines: bool | Sequence[str] = True,
) -> list[Path]:
    """Draws maps over subjects, each as ``group_<name>``: mean, share of subjects above a value, t against that value.

    Args:
        runs: folders of finished ``brainnet fit``, ``encode`` or ``searchlight``. Each subject of an encoding counts.
        out: folder that receives the figures.
        names: maps of numbers: r, r2, ceiling, ceiling_share, scale, width, entropy, or names on the page of a run.
        above: the value that is asked for.
        scene: a surface by its name, or a :class:`~brainnet.plot.scene.Scene`; None is the flat map.
        outlines: regions to outline, by names or patterns; True for all.

    Raises:
        FileNotFoundError: a run that is none.
        ValueError: one subject, a map that a run has not or that is not of numbers, or subjects over other voxels.
    """
    out, clock = Path(out), Clock()
    subjects = [subject for run in runs for subject in scenes_of(run)]
    if len(subjects) < 2:
        raise ValueError("a group is two subjects or more; name several runs, or an encoding of several subjects.")
    wanted = {name: NAMES.get(name, name) for name in names}
    values = {name: torch.from_numpy(np.stack(_on_one_footing(subjects, map_))) for name, map_ in wanted.items()}
    with claimed(out, KIND):
        paths = []
        for name, map_ in wanted.items():
            figure = plot.group_maps(
                values[name], subjects[0].space, scene or "flat", above=above, outlines=outlines,
                label=subjects[0].maps[map_].unit or map_, title=f"{map_} of {len(subjects)} subjects",
            )  # fmt: skip
            paths += plot.save(figure, out / f"group_{slug(name)}")
        clock.lap("pictures")
        settings = {"maps": list(wanted.values()), "above": above, "subjects": [one.title for one in subjects]}
        put_card(out, {**opening(KIND, PACKAGES), "source": {"runs": [str(run) for run in runs]}, "settings": settings},
                 clock)  # fmt: skip
    return paths


def _on_one_footing(subjects: Sequence[PageRun], name: str) -> list[np.ndarray]:
    """The values of one map of every subject, (n_voxels,) float64."""
    first, found = subjects[0], []
    for one in subjects:
        numbers = [key for key, part in one.maps.items() if part.kind == "scalar"]
        check_word(f"map of numbers of {one.title}", name, numbers)
        if not same_place(first.space, one.space):
            raise ValueError(
                f"{one.title} ({one.space!r}) has other voxels than {first.title} ({first.space!r}); group maps need "
                "the same voxels in every subject. Bring the responses to one surface or one volume first."
            )
        found.append(np.asarray(one.maps[name].values, dtype=np.float64).reshape(-1))
    return found

"""The maps of a finished result as files for other programs: of a fit, a searchlight or an encoding."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from brainnet._checks import check_word
from brainnet.encode import FitKey
from brainnet.plot._colors import contrasting_colors
from brainnet.rsa import SearchlightMaps
from brainnet.run.maps.best_models import Scored, encoded_fits, read_table, voxel_scores
from brainnet.run.maps.run_maps import RunMaps
from brainnet.run.record.card import Clock, opening, put_card
from brainnet.run.record.claiming import claimed
from brainnet.scores import best_model
from brainnet.space import MapSet, save_maps

KIND = "export"
PACKAGES = ("torch", "numpy", "nibabel")


def export(
    result: str | Path, out: str | Path, formats: Sequence[str] | None = None, maps: Sequence[str] = ()
) -> list[Path]:
    """Writes the maps of a result as files for other programs.

    Args:
        result: a folder of ``brainnet fit``, ``searchlight run`` or ``encode``.
        out: folder of the files.
        formats: see :data:`brainnet.space.saving.FORMATS`; None takes GIfTI on surfaces, NIfTI in volumes.
        maps: names of those wanted; by default all.

    Raises:
        FileNotFoundError: no result of these kinds there.
        ValueError: an unknown map, or a format that the space cannot be written in.
    """
    out, clock = Path(out), Clock()
    found = maps_of(Path(result))
    with claimed(out, KIND):
        paths = []
        for name, one in found.items():
            paths += save_maps(_chosen(one, maps), out / name, formats)
        clock.lap("files")
        settings = {"formats": list(formats or ()), "maps": list(maps)}
        put_card(out, {**opening(KIND, PACKAGES), "source": {"result": str(result)}, "settings": settings}, clock)
    return paths


def maps_of(result: Path) -> dict[str, MapSet]:
    """Name of a file -> the maps of a result folder; an encoding has a file for each subject.

    Raises:
        FileNotFoundError: no result there whose maps have a place.
    """
    if (result / "selectors.npz").is_file():
        run = RunMaps.read(result)
        looks = {name: look for name, look in run.looks.items() if "categories" in look}
        colors = {name: look["colors"] for name, look in looks.items()}
        return {"maps": MapSet(run.space, run.maps, {name: look["categories"] for name, look in looks.items()}, colors)}
    if (result / "searchlight.json").is_file():
        found = SearchlightMaps.load(result)
        p = None if found.best_test is None else found.best_test.p_max
        return {"searchlight": _of_models(Scored("", list(found.models), found.score, found.space, None, p))}
    if (result / "encoding.csv").is_file():
        rows = encoded_fits(read_table(result / "encoding.csv"), None)
        sets = {}
        for subject in dict.fromkeys(rows["subject"]):
            of = rows[(rows["subject"] == subject) & (rows["roi"] == "all")].drop_duplicates("model")
            keys = [FitKey(row["model"], str(subject), row["method"], row["layer"]) for _, row in of.iterrows()]
            scored = voxel_scores(result, keys)
            if scored is not None:
                sets[f"encoding_{subject}"] = _of_models(scored)
        if sets:
            return sets
    raise FileNotFoundError(
        f"no maps with a place on a brain in {result}: name a folder of brainnet fit, searchlight run or encode."
    )


def _of_models(scored: Scored) -> MapSet:
    """The score of each model, the best one and its lead."""
    found = best_model(scored.scores, ceiling=scored.ceiling, p=scored.p)
    values = {f"score {name}": row.float() for name, row in zip(scored.models, scored.scores, strict=True)}
    if scored.ceiling is not None:
        values["ceiling"] = torch.as_tensor(scored.ceiling).float()
    if len(scored.models) > 1:
        values |= {"best model": found.best, "lead": found.margin.float()}
    return MapSet(
        scored.space, values, {"best model": scored.models}, {"best model": contrasting_colors(len(scored.models))}
    )


def _chosen(maps: MapSet, names: Sequence[str]) -> MapSet:
    for name in names:
        check_word("map", name, maps.values)
    kept = {name: maps.values[name] for name in (names or maps.values)}
    return MapSet(maps.space, kept, maps.categories, maps.colors)

"""Which model is best where, from the folder of a searchlight, an encoding or an RSA."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from brainnet import plot
from brainnet._checks import check_word
from brainnet._files import reading, slug
from brainnet.encode import ALL_LAYERS, BEST_LAYER, FitKey
from brainnet.plot.scene import Scene
from brainnet.rsa import SearchlightMaps
from brainnet.space import BrainSpace, read_areas, surface_space

R = "r_test"


class Scored(NamedTuple):
    """Scores (n_models, n_voxels) of named models at places, and what masks them."""

    name: str
    models: list[str]
    scores: Tensor
    space: BrainSpace
    ceiling: Tensor | None
    p: Tensor | None


def read_groups(words: Sequence[str]) -> dict[str, str]:
    """Model -> group, of texts such as "2D=edge2d,inpainting".

    Raises:
        ValueError: a text without "=", or a model in two groups.

    >>> read_groups(["2D=a,b", "3D=c"])
    {'a': '2D', 'b': '2D', 'c': '3D'}
    """
    found: dict[str, str] = {}
    for word in words:
        group, is_one, models = word.partition("=")
        if not is_one or not group or not models:
            raise ValueError(f"--group is GROUP=MODEL,MODEL, got {word!r}.")
        for model in (part.strip() for part in models.split(",")):
            if found.setdefault(model, group) != group:
                raise ValueError(f"the model {model!r} is in two groups, {found[model]!r} and {group!r}.")
    return found


def draw_best_models(
    folder: str | Path,
    out: str | Path | None = None,
    *,
    groups: Mapping[str, str] | None = None,
    scene: Scene | str | None = None,
    atlas: str | Path | None = None,
    method: str | None = None,
    alpha: float = 0.05,
    least_ceiling: float = 0.1,
) -> list[Path]:
    """Draws ``best_model`` of a searchlight or an encoding, and ``top_models`` by region of an encoding or an RSA.

    Args:
        folder: filled by ``brainnet searchlight run``, ``brainnet encode`` or ``brainnet rsa compare``.
        out: folder of the figures; by default ``folder``.
        groups: model -> group.
        scene: a surface by its name, or a :class:`~brainnet.plot.scene.Scene`; None is the flat map, or slices.
        atlas: of an RSA: a file, or "FILE=PATTERNS", whose areas are called as its regions, on which ``best_model`` is
            painted.
        method: of an encoding: the method by which networks are compared; by default the first of its table.
        alpha: level of the corrected p.
        least_ceiling: noise ceiling below which a voxel has no best model.

    Raises:
        FileNotFoundError: no result of these kinds there.
        ValueError: a model without a group, an unknown method, or maps that cannot be read.
    """
    folder = Path(folder)
    out = Path(out or folder)
    groups = groups or None
    figures: dict[str, Any] = {}
    if (folder / "searchlight.json").is_file():
        maps = SearchlightMaps.load(folder)
        p = None if maps.best_test is None else maps.best_test.p_max
        found = [Scored("", list(maps.models), maps.score, maps.space, None, p)]
    elif (folder / "encoding.csv").is_file():
        table = read_table(folder / "encoding.csv")
        found, rows = _of_encoding(folder, table, method)
        figures |= {
            f"top_models{name}": plot.top_models(part, groups=groups, alpha=alpha) for name, part in rows.items()
        }
    elif (folder / "scores.csv").is_file() and "model" in (table := read_table(folder / "scores.csv")):
        found = []
        figures["top_models"] = plot.top_models(table, groups=groups, alpha=alpha)
        if atlas is not None:
            space = _space_of(atlas)
            figures["best_model"] = plot.best_model_map(
                table, space=space, groups=groups, alpha=alpha, scene=scene, least_ceiling=-np.inf, outlines=True
            )
    else:
        raise FileNotFoundError(
            f"no searchlight.json, encoding.csv or table of models in {folder}: name a folder of brainnet searchlight "
            "run, encode or rsa compare."
        )
    for one in found:
        figures[f"best_model{one.name}"] = plot.best_model_map(
            one.scores, one.models, one.space, groups=groups, ceiling=one.ceiling, least_ceiling=least_ceiling, p=one.p,
            alpha=alpha, scene=scene, outlines=True,
        )  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    return [path for name, figure in figures.items() for path in plot.save(figure, out / name)]


def read_table(path: Path) -> Any:
    """A table of scores by model; names stay texts."""
    import pandas as pd

    with reading(path, "table of scores"):
        return pd.read_csv(path, keep_default_na=True, dtype={"roi": str, "model": str, "layer": str, "control": str})


def _of_encoding(folder: Path, table: Any, method: str | None) -> tuple[list[Scored], dict[str, Any]]:
    """For each subject the networks' scores in every voxel, where they are on a brain, and those of regions."""
    rows = encoded_fits(table, method)
    scored, by_region = [], {}
    subjects = list(dict.fromkeys(rows["subject"]))
    for subject in subjects:
        name = f"_{slug(str(subject))}" if len(subjects) > 1 else ""
        part = rows[(rows["subject"] == subject) & (rows["roi"] != "all")].assign(layer="")
        part = part.rename(columns={"mean": "score_", "score": "kind"}).rename(columns={"score_": "score"})
        if len(part):
            by_region[name] = part
        fits = rows[(rows["subject"] == subject) & (rows["roi"] == "all")].drop_duplicates("model")
        found = voxel_scores(
            folder, [FitKey(row["model"], str(subject), row["method"], row["layer"]) for _, row in fits.iterrows()]
        )
        if found is not None:
            scored.append(found._replace(name=name))
    return scored, by_region


def encoded_fits(table: Any, method: str | None) -> Any:
    """The rows of an encoding's table by which networks are compared: test r of one method, the best layer or all.

    Raises:
        ValueError: an unknown method.
    """
    rows = table[(table["split"] == "test") & (table["score"] == "r") & table["control"].fillna("").eq("")]
    methods = list(dict.fromkeys(rows["method"][rows["method"] != "noise ceiling"]))
    chosen = methods[0] if method is None else method
    check_word("method", chosen, methods)
    rows = rows[(rows["method"] == chosen) & rows["layer"].isin([BEST_LAYER, ALL_LAYERS])]
    return rows


def voxel_scores(folder: Path, keys: Sequence[FitKey]) -> Scored | None:
    """Scores, ceilings and tests of some fits over the same voxels; None where these have no place on a brain."""
    scores, tests, ceiling = [], [], None
    for key in keys:
        stem = folder / "voxels" / slug(*key)
        path = stem.with_name(f"{stem.name}.npz")
        with reading(path, "archive of scores"), np.load(path, allow_pickle=False) as arrays:
            scores.append(torch.from_numpy(arrays[R]).double())
            if f"p_max_{R}" in arrays:
                tests.append(torch.from_numpy(arrays[f"p_max_{R}"]).double())
            ceiling = torch.from_numpy(arrays["ceiling"]).double() if "ceiling" in arrays else ceiling
    path = folder / "spaces" / f"{slug(keys[0].subject)}.npz" if keys else folder
    if not path.is_file():  # nothing was scored, or an earlier brainnet wrote it
        return None
    with reading(path, "space"), np.load(path, allow_pickle=False) as arrays:
        space = BrainSpace.from_arrays({name: arrays[name] for name in arrays.files})
    if space.mesh is None and space.mask is None:
        return None
    p = torch.stack(tests) if len(tests) == len(scores) else None
    return Scored("", [key.model for key in keys], torch.stack(scores), space, ceiling, p)


def _space_of(atlas: str | Path) -> BrainSpace:
    """The mesh of an atlas, with its areas as regions."""
    found, areas = read_areas(atlas)
    if found.labels.mesh is None:
        raise ValueError(f"{atlas} is no atlas of a mesh: give one of a surface.")
    n = len(found.labels.values)
    masks = found.masks(surface_space(torch.arange(n), found.labels.mesh), areas)
    return surface_space(
        torch.arange(n), found.labels.mesh, {name.rpartition(".")[2]: mask for name, mask in masks.items()}
    )

"""What the interactive page shows of a run folder: the maps of a fit, of an encoding, or of a searchlight, by name.

Everything is read from the files of the folder, so a page can be made again long after the run, and by somebody else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from brainnet._files import reading, slug
from brainnet.encode import ALL_LAYERS, BEST_LAYER, NOISE_CEILING, FitKey
from brainnet.plmodel.checkpoint import CHECKPOINT_KEY, read_checkpoint, unpacked
from brainnet.plot import PageMap, PageRun
from brainnet.rsa import SearchlightMaps
from brainnet.run.page.channel_pictures import channel_pictures
from brainnet.run.page.selector_maps import LAYER, SPACE, WIDTH, numbered, selector_maps
from brainnet.run.record.card import check_files
from brainnet.run.record.courses import FILE as COURSES
from brainnet.run.record.courses import TIME, page_courses, read_courses
from brainnet.run.record.run_folder import left_out_of, saved_config
from brainnet.run.record.runs import read_run
from brainnet.run.report.series_words import is_series
from brainnet.scores import normalise
from brainnet.space import BrainSpace

if TYPE_CHECKING:
    from pandas import DataFrame

SCORE, CEILING, SHARE = "Score", "Noise ceiling", "Score / ceiling"


def scenes_of(run: str | Path, subject: str | None = None) -> list[PageRun]:
    """The scenes of a finished run: one of a fit or a searchlight, one for each subject of an encoding.

    Args:
        run: the folder.
        subject: of an encoding, the only one.

    Raises:
        FileNotFoundError: no finished run, or one without its files.
        ValueError: a folder of a command that makes no maps, or a damaged file.
    """
    folder = Path(run)
    found, card = read_run(folder)
    folder = found.folder
    makers = {
        "fit": _of_fit,
        "searchlight": _of_searchlight,
        "searchlight --group": _of_searchlight,
    }
    if found.kind not in {*makers, "encode"}:
        raise ValueError(
            f"{folder} was filled by `brainnet {found.kind}`, which makes no maps; a page shows the folder of fit, "
            "encode or searchlight."
        )
    made = makers[found.kind](folder, card) if found.kind != "encode" else _of_encoding(folder, card, subject)
    return [replace(scene, maps=_of_volumes(scene.maps)) for scene in made] if is_series(card) else made


def _of_volumes(maps: Mapping[str, PageMap]) -> dict[str, PageMap]:
    """The maps of a time series, whose rows are volumes: test volumes, and a place in an image where there is one."""
    return {name: replace(one, meaning=one.meaning.replace(" images", " volumes")) for name, one in maps.items()}


# ---------------------------------------------------------------------- a trained map


def _of_fit(folder: Path, card: Mapping[str, Any]) -> list[PageRun]:
    import pandas as pd

    if not (folder / "scores.csv").is_file():
        raise FileNotFoundError(f"no scores.csv in {folder}: name a folder that a finished `brainnet fit` filled.")
    check_files(folder, "scores.csv", "selectors.npz")
    with reading(folder / "scores.csv", "table of scores"):
        scores = pd.read_csv(folder / "scores.csv")
    cfg = saved_config(folder)
    control = cfg is not None and cfg.DATASET.SHUFFLED
    maps: dict[str, PageMap] = {}
    roles: dict[str, Any] = {}
    arrays: dict[str, np.ndarray] = {}
    if (folder / "selectors.npz").is_file():
        with reading(folder / "selectors.npz", "file of selectors"):
            with np.load(folder / "selectors.npz", allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            space = BrainSpace.from_arrays({k[3:]: v for k, v in arrays.items() if k.startswith("at:")})
        maps, roles = selector_maps(
            arrays,
            left_out_of(cfg).get("leave_out", ()),
            one_row=cfg is not None and cfg.MODEL.GRID[0] == 1,
        )
    else:
        space = unpacked(read_checkpoint(folder / "model.ckpt")[CHECKPOINT_KEY]["space"])
    maps |= _score_maps(scores["r"].to_numpy(), scores["ceiling"].to_numpy() if "ceiling" in scores else None)
    if "r2" in scores:
        maps["R2"] = PageMap(
            scores["r2"].to_numpy(), meaning="Coefficient of determination on test images", unit="test R2", vmin=0.0,
            vmax=1.0, fades=False, group="Scores",
        )  # fmt: skip
    roles["courses"] = page_courses(read_courses(folder / COURSES), arrays if "delay" in arrays else None)
    roles["ceiling"] = CEILING if CEILING in maps else None
    roles["score"] = None if control else SCORE  # a control would fade to nothing
    roles["pictures"] = channel_pictures(folder, space)
    title = folder.resolve().name
    if control:
        title += " (negative control: responses shuffled)"
    return [PageRun(_ordered(maps), space, title=title, facts=_facts(card), **roles)]


def _ordered(maps: Mapping[str, PageMap]) -> dict[str, PageMap]:
    """The maps in the order in which a reader asks for them."""
    groups = ["", "Scores", TIME, "Windows"]
    rank = {name: groups.index(one.group) if one.group in groups else len(groups) for name, one in maps.items()}
    return {name: maps[name] for name in sorted(maps, key=rank.get)}


def _score_maps(r: np.ndarray, ceiling: np.ndarray | None) -> dict[str, PageMap]:
    maps = {
        SCORE: PageMap(r, meaning="Correlation of prediction and response over test images", unit="test r", vmin=0.0,
                   vmax=1.0, fades=False, group="Scores")
    }  # fmt: skip
    if ceiling is not None and np.isfinite(ceiling).any():
        maps[CEILING] = PageMap(ceiling, meaning="The score of a perfect model", unit="r", vmin=0.0, vmax=1.0,
                            fades=False, group="Scores")  # fmt: skip
        share = normalise(torch.tensor(r), torch.tensor(ceiling)).values
        maps[SHARE] = PageMap(share, meaning="Score as a share of the noise ceiling", unit="test r / ceiling", vmin=0.0,
                          vmax=1.0, fades=False, group="Scores")  # fmt: skip
    return maps


# ---------------------------------------------------------------------- an encoding


def _of_encoding(folder: Path, card: Mapping[str, Any], only: str | None) -> list[PageRun]:
    import pandas as pd

    with reading(folder / "encoding.csv", "table of scores"):
        table = pd.read_csv(folder / "encoding.csv", keep_default_na=False, dtype=dict.fromkeys(FitKey._fields, str))
    subjects = list(dict.fromkeys(table["subject"]))
    title = folder.resolve().name
    return [
        PageRun(
            **_encoded(folder, table[table["subject"] == subject]),
            title=title if len(subjects) == 1 else f"{title}, {subject}",
            facts=_facts(card),
        )
        for subject in subjects
        if only in (None, subject)
    ]


def _encoded(folder: Path, table: DataFrame) -> dict[str, Any]:
    """The maps of one subject, and their roles: the score of every method, the best one, the best layer."""
    subject = table["subject"].iloc[0]
    fitted = table[(table["method"] != NOISE_CEILING) & (table["control"] == "")]
    keys = [FitKey(*key) for key in fitted[list(FitKey._fields)].drop_duplicates().itertuples(index=False)]
    headline = [key for key in keys if key.layer in (BEST_LAYER, ALL_LAYERS)] or keys
    several = len({key.model for key in headline}) > 1
    names = {key: f"{key.model} {key.method}" if several else key.method for key in headline}
    arrays = {key: _voxels(folder, key) for key in headline}
    arrays = {key: one for key, one in arrays.items() if "r_test" in one}
    if not arrays:
        raise ValueError(f"{folder} holds no scores of test images of {subject!r}, so there is no map to show.")
    first = max(arrays, key=lambda key: np.nan_to_num(arrays[key]["r_test"]).mean())
    maps = _score_maps(arrays[first]["r_test"], arrays[first].get("ceiling"))
    maps[SCORE] = PageMap(**vars(maps[SCORE]) | {"meaning": f"{maps[SCORE].meaning}, by {names[first]}", "group": ""})
    maps = {SCORE: maps.pop(SCORE)} | _best_layer(folder, keys, first) | maps
    roles: dict[str, Any] = {"score": SCORE, "ceiling": CEILING if CEILING in maps else None}
    if len(arrays) > 1:
        r = np.stack([np.nan_to_num(one["r_test"], nan=-np.inf) for one in arrays.values()])
        maps["Best method"] = PageMap(
            np.where(r.max(axis=0) > 0, r.argmax(axis=0), -1), "categorical",
            "The method of the highest test r, where that is above 0; differences are not tested here",
            labels=[names[key] for key in arrays],
        )  # fmt: skip
        maps |= {
            f"r, {names[key]}": PageMap(one["r_test"], unit="test r", vmin=0.0, vmax=1.0, fades=False, group="Methods")
            for key, one in arrays.items()
        }
    for key, one in arrays.items():
        if {"position", "width"} <= set(one) and "window" not in roles:
            roles["window"] = (SPACE, WIDTH)
            maps[SPACE] = PageMap(one["position"], "position", f"The place of each voxel's window, by {names[key]}")
            maps[WIDTH] = PageMap(one["width"].reshape(-1), meaning=f"Width of the window, by {names[key]}", vmin=0.0,
                              unit="image half-widths", group="Windows")  # fmt: skip
    roles["courses"] = page_courses(read_courses(folder / "courses" / f"{slug(*first)}.npz"))
    layered = [name for name, one in maps.items() if one.group == WEIGHTS_OF_TRAINING]
    if layered:
        roles["bars"] = {WEIGHTS_OF_TRAINING: layered}
    return {"maps": maps, "space": encoding_space(folder, subject, first), **roles}


WEIGHTS_OF_TRAINING = "Training score of each layer"


def _best_layer(folder: Path, keys: Sequence[FitKey], like: FitKey) -> dict[str, PageMap]:
    """The layer of every voxel that scores best on training images, and the scores."""
    one_method = [key for key in keys if (key.model, key.method) == (like.model, like.method)]
    layers = [key for key in one_method if key.layer not in (BEST_LAYER, ALL_LAYERS)]
    if len(layers) < 2:
        return {}
    scores = np.stack([_voxels(folder, key)["selection"] for key in layers], axis=1)
    best = np.where(np.isnan(scores).all(axis=1), -1, np.nan_to_num(scores, nan=-np.inf).argmax(axis=1))
    names = numbered([key.layer for key in layers])
    maps = {
        LAYER: PageMap(best, "categorical", "The layer that predicts each voxel best on training images", labels=names,
                   colors="ordered")
    }  # fmt: skip
    for k, name in enumerate(names):
        maps[f"{name}: training score"] = PageMap(
            scores[:, k], vmin=0.0, cmap="inferno", group=WEIGHTS_OF_TRAINING, short=name
        )
    return maps


def _voxels(folder: Path, key: FitKey) -> dict[str, np.ndarray]:
    path = folder / "voxels" / f"{slug(*key)}.npz"
    with reading(path, "file of a fit"), np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def encoding_space(folder: Path, subject: str, key: FitKey) -> BrainSpace:
    """Where the voxels of a subject are: as the run kept it."""
    path = folder / "spaces" / f"{slug(subject)}.npz"
    if not path.is_file():
        raise FileNotFoundError(
            f"no {path.relative_to(folder)} in {folder}: the run does not say where its voxels are. The same "
            "`brainnet encode` command writes it and fits nothing again."
        )
    with reading(path, "file of a space"), np.load(path, allow_pickle=False) as archive:
        return BrainSpace.from_arrays({name: archive[name] for name in archive.files})


# ---------------------------------------------------------------------- a searchlight


def _of_searchlight(folder: Path, card: Mapping[str, Any]) -> list[PageRun]:
    found = SearchlightMaps.load(folder)
    method = str(found.settings.get("method", "similarity"))
    largest = float(np.nanmax(np.abs(found.score.numpy()), initial=1e-6))
    maps: dict[str, PageMap] = {}
    if len(found.models) > 1:
        maps["Best model"] = PageMap(
            found.best, "categorical", "The model whose geometry is most like that of the patterns", labels=found.models
        )
        if found.best_test is not None:
            maps["Best model, p < .05"] = PageMap(
                found.significant_best(), "categorical",
                "The same, where its score is significant (family-wise over places and models)", labels=found.models,
            )  # fmt: skip
    for name, score in zip(found.models, found.score, strict=True):
        maps[name] = PageMap(
            score, meaning=f"Similarity of the RDMs of the brain and of {name}", unit=method, cmap="RdBu_r",
            vmin=-largest, vmax=largest, group="Similarity",
        )  # fmt: skip
    if len(found.models) > 1:
        maps["Margin"] = PageMap(found.margin, meaning="Score of the best model minus that of the second", unit=method,
                             vmin=0.0, group="Similarity")  # fmt: skip
    for correction, words in (("p_max", "family-wise p"), ("p_fdr", "FDR-adjusted p")):
        rows: Tensor | tuple[()] = () if found.test is None else getattr(found.test, correction)
        for name, row in zip(found.models, rows, strict=False):
            maps[f"{name}, {words}"] = PageMap(
                row, unit=words, cmap="viridis_r", vmin=0.0, vmax=0.1, group="Significance"
            )
    return [PageRun(maps, found.space, title=folder.resolve().name, facts=_facts(card))]


# ---------------------------------------------------------------------- what is said of a run


def _facts(card: Mapping[str, Any]) -> dict[str, str]:
    """A few lines of the run card for a reader who knows nothing of the run."""
    facts = {"command": f"brainnet {card.get('kind', '')}"}
    data, backbone, test = (card.get(name) or {} for name in ("data", "backbone", "test"))
    if "name" in data:
        facts["data"] = str(data["name"])
    if "name" in backbone:
        facts["network"] = str(backbone["name"])
    if "r" in test:
        r = test["r"]
        facts["mean test r"] = f"{r['mean']:.3f}" + (f" ({r['low']:.3f} to {r['high']:.3f})" if "low" in r else "")
    if "n" in test:
        facts["voxels"] = f"{test['n']:,}"
    definition = (card.get("noise_ceiling") or {}).get("definition")
    if definition:
        facts["noise ceiling"] = str(definition)
    version = (card.get("versions") or {}).get("brainnet")
    if version:
        facts["brainnet"] = str(version)
    return facts


def same_place(one: BrainSpace, other: BrainSpace) -> bool:
    """Whether two spaces have the same voxels in the same order; never where voxels have no place."""
    if one.mesh is not None or other.mesh is not None:
        return one.mesh == other.mesh and torch.equal(one.vertices, other.vertices)
    if one.mask is None or other.mask is None or one.mask.shape != other.mask.shape:
        return False
    return torch.equal(one.volume_index, other.volume_index) and torch.allclose(one.affine, other.affine)

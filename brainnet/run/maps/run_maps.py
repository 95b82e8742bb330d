"""The maps of a finished fit by their names, drawn one by one, and several runs side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brainnet import plot
from brainnet._checks import check_word
from brainnet._files import reading, write_csv
from brainnet._work import says_progress
from brainnet.model import matched_clusters
from brainnet.plot._colors import DIVERGING, cluster_colors, layer_colors, layer_entropy
from brainnet.plot.scene import Scene
from brainnet.plot.selector.figures import certainty_maps, depth_of
from brainnet.plot.selector.places import Places
from brainnet.plot.series import LATENCY_COLORS, mean_delay
from brainnet.run.page.scenes import same_place
from brainnet.run.record.card import Clock, check_files, opening, put_card
from brainnet.run.record.claiming import claimed
from brainnet.run.record.run_folder import ALL, left_out_of, places_of, read_selectors, saved_config
from brainnet.selection import Selectors
from brainnet.space import BrainSpace

KIND = "comparison of maps"
PACKAGES = ("torch", "numpy", "matplotlib")
CONTROL = 0.1  # score from which on a voxel counts where regions are compared
OF_PLACES = ("x", "y", "scale", "width")  # maps that say nothing where the tokens have one place
SIDE_BY_SIDE = ("r", "depth", "scale", "latency", "cluster")
NUMBERS = ("r", "ceiling_share", "depth", "entropy", "scale", "latency", "x", "y", "width")  # of a table of regions


@dataclass(frozen=True, eq=False)
class RunMaps:
    """What a finished fit says of each voxel.

    Args:
        name: of the run.
        space: its voxels.
        layer_names: of the layers.
        chosen: the selectors.
        maps: name -> (n_voxels,) numbers or whole numbers.
        looks: name -> how it is drawn, see :func:`brainnet.plot.cortex`.
        places: what places of tokens are.
    """

    name: str
    space: BrainSpace
    layer_names: list[str]
    chosen: Selectors
    maps: dict[str, Tensor]
    looks: dict[str, dict[str, Any]] = field(default_factory=dict)
    places: Places = field(default_factory=Places)

    @classmethod
    def read(cls, run: str | Path) -> RunMaps:
        """The maps of a run folder.

        Raises:
            FileNotFoundError: no finished fit there, or one without selectors.
            ValueError: a damaged file.
        """
        import pandas as pd

        run = Path(run)
        for name in ("selectors.npz", "scores.csv"):
            if not (run / name).is_file():
                raise FileNotFoundError(f"no {name} in {run}: name a folder that `brainnet fit` filled.")
        check_files(run, "selectors.npz", "scores.csv")
        given = read_selectors(run / "selectors.npz")
        with reading(run / "scores.csv", "table of scores"):
            table = pd.read_csv(run / "scores.csv")
        chosen, space, names = given["chosen"], given["space"], given["layer_names"]
        layer = chosen.layer.numpy()
        maps = {
            key: torch.tensor(table[key].to_numpy()) for key in ("r", "r2", "ceiling", "ceiling_share") if key in table
        }
        maps |= {
            "depth": torch.from_numpy(depth_of(layer)), "layer": chosen.layer.argmax(1),
            "entropy": torch.from_numpy(layer_entropy(layer)), "scale": chosen.scale[:, 0],
            "x": chosen.space[:, 0], "y": chosen.space[:, 1],
        }  # fmt: skip
        maps |= {
            key: given[old].reshape(-1) for key, old in (("width", "width"), ("cluster", "clusters")) if old in given
        }
        cfg = saved_config(run)
        if "space" in left_out_of(cfg).get("leave_out", ()):
            maps = {name: one for name, one in maps.items() if name not in OF_PLACES}
        seconds = torch.zeros(0)
        if "delay" in given and len(given["delays"]) > 1:  # of a single delay there is no map
            seconds, latency = given["delays"] * given["tr"], mean_delay(given["delay"], given["delays"].tolist())
            maps["latency"] = torch.from_numpy(latency * float(given["tr"])).float()
        maps |= {f"layer:{name}": chosen.layer[:, place] for place, name in enumerate(names)}
        places = places_of(given["reads"], cfg)
        if places.in_time:
            maps = {name: one for name, one in maps.items() if name not in ("y", "width")}
        looks = _looks(names, maps, seconds.tolist(), places)
        return cls(run.resolve().name, space, names, chosen, maps, looks, places)


def _looks(
    names: Sequence[str], maps: Mapping[str, Tensor], delays: Sequence[float], places: Places
) -> dict[str, dict[str, Any]]:
    """How each map is drawn; a latency from the shortest to the longest of ``delays``, in seconds, in every figure."""
    share = {"vmin": 0.0, "vmax": 1.0}
    left, right, top, bottom = (border.partition(" of ")[0] for border in places.borders)
    place = "time" if places.in_time else "place"
    looks: dict[str, dict[str, Any]] = {
        "r": {**share, "label": "test r"}, "r2": {**share, "label": "test R2"},
        "ceiling": {**share, "label": "noise ceiling"}, "ceiling_share": {**share, "label": "r over its noise ceiling"},
        "depth": {**share, "cmap": "plasma", "label": "mean depth: 0 first layer, 1 last"},
        "layer": {"categories": list(names), "colors": layer_colors(len(names)), "label": "layer of largest weight"},
        "entropy": {**share, "cmap": "cividis_r", "label": "entropy of layers: 0 one, 1 all alike"},
        "scale": {**share, "cmap": DIVERGING, "label": f"scale: 0 one place, 1 {places.whole}"},
        "x": {"vmin": -1.0, "vmax": 1.0, "cmap": "coolwarm", "label": f"{place}: {left} -1, {right} 1"},
        "y": {"vmin": -1.0, "vmax": 1.0, "cmap": "coolwarm", "label": f"place: {top} -1, {bottom} 1"},
        "width": {"vmin": 0.0, "label": f"width of the window, half-widths of the {places.reads}"},
        "cluster": {"label": "cluster of read-out weights"},
        "latency": {"vmin": min(delays, default=0.0), "vmax": max(delays, default=None), "cmap": LATENCY_COLORS,
                    "label": "latency (s)"},
    }  # fmt: skip
    return {name: looks.get(name, {**share, "cmap": "inferno", "label": "weight of the layer"}) for name in maps}


def has_selectors(run: str | Path) -> bool:
    """Whether a run folder holds selectors, as that of a read-out without such does not."""
    return (Path(run) / "selectors.npz").is_file()


def draw_selectors(run: str | Path, scene: Scene | str | None = None) -> list[Path]:
    """Draws the selectors of a run one by one, into its folder.

    They are ``layer_profile`` and, where tokens have several places of an image, ``coverage``; for voxels on a surface
    ``layer_weights`` and ``certainty``, and for voxels in a volume ``certainty`` in slices.

    Args:
        run: a run folder of ``brainnet fit``.
        scene: a surface by its name, or a :class:`~brainnet.plot.scene.Scene`; None is the flat map.
    """
    run, found = Path(run), RunMaps.read(run)
    chosen, space = found.chosen, found.space
    profile = plot.layer_profile(chosen.layer, space, found.layer_names, title="Layers of each region")
    figures = {"layer_profile": profile}
    if "x" in found.maps and found.places.reads in ("image", "video"):
        figures["coverage"] = plot.field_coverage(
            chosen.space, space, found.maps.get("width"), chosen.scale, scores=_scores(found, space),
            title="What each region covers of the image", least_score=CONTROL,
        )  # fmt: skip
    if space.mesh is not None:
        how = {"scene": scene or "flat", "outlines": True}
        title = "Weight of each layer"
        figures["layer_weights"] = plot.layer_weights(chosen.layer, space, found.layer_names, title=title, **how)
        figures["certainty"] = plot.certainty({found.name: (chosen.layer, chosen.space)}, space, **how)
    elif space.mask is not None:
        look = found.looks["entropy"]
        figures["certainty"] = plot.slices(
            found.maps["entropy"], space, outlines=True, title="Certainty of layers", **look
        )
    return [path for name, figure in figures.items() for path in plot.save(figure, run / name)]


def _scores(found: RunMaps, space: BrainSpace) -> Tensor | None:
    """Scores by which weak voxels are left out, None where that would leave none, as of a negative control."""
    r = found.maps.get("r")
    return r if r is not None and bool((r.nan_to_num(-1) >= CONTROL).any()) else None


def draw_map(
    run: str | Path,
    name: str,
    out: str | Path | None = None,
    *,
    scene: Scene | str | None = None,
    fade: bool = True,
    outlines: bool | Sequence[str] = True,
    dpi: float = 200,
    width: float | str = 6.5,
    **look: Any,
) -> list[Path]:
    """Draws one map of a run at the size of a publication, as ``map_<name>`` in ``out``.

    Args:
        run: a run folder of ``brainnet fit``.
        name: of the map: r, r2, ceiling, ceiling_share, depth, layer, entropy, scale, x, y, width, cluster,
            latency of a time series, or layer:NAME for the weight of a layer.
        out: folder of the figure; by default the run folder.
        scene: a surface by its name, or a :class:`~brainnet.plot.scene.Scene`; None is the flat map.
        fade: whether the map fades where the score is low; a map of scores never does.
        outlines: regions to outline, by names or patterns; True for all.
        dpi: pixels an inch.
        width: of the figure, in inches, or a text such as "85mm".
        look: cmap, vmin, vmax and threshold, in place of those of the map.

    Raises:
        ValueError: a map that the run has not, or an option that cannot be drawn.
    """
    from brainnet._files import slug
    from brainnet.plot.brain.drawing import inches

    found = RunMaps.read(run)
    check_word("map", name, found.maps)
    scored = name in ("r", "r2", "ceiling", "ceiling_share")
    alpha = None if scored or not fade or _scores(found, found.space) is None else _opacity(found.maps["r"])
    scene = Scene.of(scene)
    scene = scene if scene.pixels else replace(scene, pixels=round(dpi * (inches(width) - 0.2)))
    chosen = {**found.looks[name], **{key: value for key, value in look.items() if value is not None}}
    figure = plot.cortex(found.maps[name], found.space, scene, alpha=alpha, outlines=outlines, width=width, **chosen)
    folder = Path(run if out is None else out)
    folder.mkdir(parents=True, exist_ok=True)
    return plot.save(figure, folder / f"map_{slug(name)}", dpi=dpi)


def _opacity(r: Tensor) -> Tensor:
    return (r / 0.2).nan_to_num(nan=0.0).clamp(0.12, 1)


def compare_maps(
    runs: Sequence[str | Path], out: str | Path, *, scene: Scene | str | None = None, maps: Sequence[str] = ()
) -> list[Path]:
    """Draws runs side by side, with the difference of the last and the first, and writes their numbers by region.

    Clusters have the numbers of the first run where they hold the same voxels. Depth is a share, so that networks with
    different numbers of layers can be compared.

    Args:
        runs: two or more run folders of ``brainnet fit``.
        out: folder that receives ``comparison`` and ``certainty`` (figures) and ``regions.csv``.
        scene: a surface by its name, or a :class:`~brainnet.plot.scene.Scene`; None is the flat map.
        maps: which maps to draw; by default r, depth, scale and clusters.

    Raises:
        FileNotFoundError: a run that is none.
        ValueError: one run, or runs over other voxels where maps are drawn: the table alone compares regions.
    """
    import pandas as pd

    if len(runs) < 2:
        raise ValueError("runs are compared two or more at a time.")
    out, clock = Path(out), Clock()
    found = _named_apart([RunMaps.read(run) for run in runs])
    names = list(maps) or [name for name in SIDE_BY_SIDE if all(name in one.maps for one in found)]
    for name in names:
        for one in found:
            check_word(f"map of {one.name}", name, one.maps)
    same = all(same_place(found[0].space, one.space) for one in found)
    with claimed(out, KIND):
        paths = []
        if same and found[0].space.mesh is not None:
            paths += plot.save(_side_by_side(found, names, scene), out / "comparison")
            spread = {one.name: (one.chosen.layer, one.chosen.space) for one in found}
            figure = plot.certainty(spread, found[0].space, scene=scene or "flat", outlines=True)
            paths += plot.save(figure, out / "certainty")
        else:
            placed = all(one.space.mesh is not None for one in found)
            why = "lie in different places" if placed else "have no place on a surface"
            says_progress.warning("no picture of the comparison: the voxels of these runs %s.", why)
        write_csv(out / "regions.csv", pd.DataFrame(region_rows(found)))
        clock.lap("pictures")
        card = {**opening(KIND, PACKAGES), "source": {"runs": [str(run) for run in runs]}, "settings": {"maps": names}}
        put_card(out, card, clock, ["regions.csv"])
    return [*paths, out / "regions.csv"]


def _named_apart(found: list[RunMaps]) -> list[RunMaps]:
    """Runs whose folders have one name are numbered."""
    names = [one.name for one in found]
    return [
        replace(
            one, name=f"{one.name} ({names[: place + 1].count(one.name)})" if names.count(one.name) > 1 else one.name
        )
        for place, one in enumerate(found)
    ]


def _side_by_side(found: Sequence[RunMaps], names: Sequence[str], scene: Scene | str | None) -> Any:
    """A row for each map: the runs, and where it is of numbers the difference of the last and the first."""
    values, looks = {}, {}
    first, last = found[0], found[-1]
    for name in names:
        categorical = not first.maps[name].is_floating_point()
        for one in found:
            key, part = f"{name}: {one.name}", one.maps[name]
            if name == "cluster":
                part = matched_clusters(part, first.maps[name])
            values[key], looks[key] = part, dict(first.looks[name])
            if name == "layer":
                looks[key] = dict(one.looks[name])
        if name == "cluster":
            colors = cluster_colors(int(max(values[f"{name}: {one.name}"].max() for one in found)) + 1)
            for one in found:
                looks[f"{name}: {one.name}"]["colors"] = colors
        key = f"{name}: {last.name} - {first.name}"
        if categorical:
            agree = (values[f"{name}: {last.name}"] == values[f"{name}: {first.name}"]).long()
            key = f"{name}: the same in both" if len(found) == 2 else f"{name}: the same in the first and the last"
            values[key], looks[key] = (
                agree,
                {"categories": ["other", "same"], "colors": np.array([[0.85] * 3, [0.2, 0.5, 0.3]])},
            )
        else:
            difference = last.maps[name] - first.maps[name]
            most = (
                float(difference[difference.isfinite()].abs().max().clamp_min(1e-6))
                if difference.isfinite().any()
                else 1.0
            )
            values[key] = difference
            looks[key] = {"cmap": "RdBu_r", "vmin": -most, "vmax": most, "label": f"difference of {name}"}
    return plot.cortex_maps(
        values, first.space, scene or "flat", looks=looks, columns=len(found) + 1, outlines=True,
        width=2.6 * (len(found) + 1) + 0.4,
    )  # fmt: skip


def region_rows(found: Sequence[RunMaps]) -> list[dict[str, Any]]:
    """A row for each run and region: means of its maps over voxels with r of .1 and more, all where none has."""
    rows = []
    for one in found:
        strong = _scores(one, one.space)
        counted = torch.ones(one.space.n_voxels).bool() if strong is None else strong.nan_to_num(-1) >= CONTROL
        for roi, mask in {ALL: torch.ones(one.space.n_voxels).bool(), **one.space.rois}.items():
            row: dict[str, Any] = {"run": one.name, "roi": roi, "n_voxels": int(mask.sum()),
                                   "n_counted": int((mask & counted).sum())}  # fmt: skip
            for name in NUMBERS:
                if name in one.maps:
                    over = mask if name in ("r", "ceiling_share") else mask & counted
                    part = one.maps[name][over]
                    part = part[part.isfinite()]
                    row[name] = float(part.mean()) if len(part) else np.nan
            rows.append(row)
    spread = certainty_maps({one.name: (one.chosen.layer, one.chosen.space) for one in found}) if len(
        {one.space.n_voxels for one in found}) == 1 else {}  # fmt: skip
    for row in rows:
        mask = found[0].space.rois.get(row["roi"], torch.ones(found[0].space.n_voxels).bool()).numpy()
        for key, name in (("depth_spread", "spread of depth"), ("place_spread", "spread of place")):
            row[key] = float(np.nanmean(spread[name][mask])) if name in spread and mask.any() else np.nan
    return rows

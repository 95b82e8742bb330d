"""A run folder as a fit writes it: tables, selectors, means, pictures and the card, each file whole or absent."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from yacs.config import CfgNode

from brainnet._files import reading, slug, write_csv, write_json, write_npz
from brainnet.backbone.kinds import kind_read_by
from brainnet.config import config_keys, load_config
from brainnet.dataset import ResponseDataset, TimeSeries
from brainnet.model.delayed import delays_of
from brainnet.model.readout import contributions_of, selectors_of, weight_of, width_of
from brainnet.plmodel import PLModel
from brainnet.plmodel.build import meaningless_panels, training_groups
from brainnet.plmodel.checkpoint import CHECKPOINT_KEY, read_checkpoint, unpacked
from brainnet.plot.selector.places import Places
from brainnet.run.names import check_names, with_regions
from brainnet.run.record.card import Clock, check_files, opening, put_card
from brainnet.run.record.courses import FADE, course_figures, courses_of, delay_figures, read_courses
from brainnet.run.record.courses import FILE as COURSES
from brainnet.scores import bootstrap_scores, interval, normalise, pearson_r, r2, usable_voxels
from brainnet.selection import Selectors
from brainnet.space import BrainSpace

ALL = "all"  # every voxel, in a table of regions
N_SHARE_IMAGES = 256  # training images whose predictions say what each layer and scale contributes
MOST_CLUSTERS = 20
PACKAGES = ("torch", "torchvision", "pytorch-lightning", "numpy", "scipy", "scikit-learn", "timm", "open_clip_torch",
            "nilearn")  # fmt: skip


def write_run(
    out: Path,
    model: PLModel,
    data: dict[str, Any],
    validation: dict[str, float] | None,
    clock: Clock,
    forecast: dict[str, Any],
) -> dict[str, Any]:
    """Scores a trained model and writes all that a run leaves but its checkpoint: tables, pictures, card; the means.

    Args:
        out: the run folder.
        model: trained, with its data.
        data: of :func:`brainnet.run.record.card.data_card`.
        validation: scores of the epoch whose weights were kept, where there was a validation.
        clock: with the laps so far.
        forecast: of memory, disk and time, made before.
    """
    model.eval()
    metrics = _write_tables(out, model, model.data.dataset, validation)
    clock.lap("scores")
    redraw(out, finished=False)
    clock.lap("pictures")
    _write_card(out, model, data, metrics, clock, forecast)
    return metrics


def _write_tables(
    out: Path, model: PLModel, dataset: ResponseDataset, validation: dict[str, float] | None
) -> dict[str, Any]:
    """Scores the test images and writes the tables, the selectors and the means; returns the means.

    Args:
        out: the run folder.
        model: trained, in evaluation mode, with its data.
        dataset: the data it was trained on.
        validation: scores of the epoch whose weights were kept, where there was a validation.
    """
    scored = {split: _score_split(model, dataset, split) for split in ("test", *_further_splits(dataset))}
    for split, (table, _) in scored.items():
        write_csv(out / scores_file(split), table)
    metrics: dict[str, Any] = {
        "n_test_images": len(dataset.splits["test"]),
        "n_voxels": dataset.n_voxels,
        "n_unusable": int((~model.usable).sum()),
        "is_series": isinstance(dataset, TimeSeries),  # then rows are volumes, and not images
    }
    if isinstance(dataset, TimeSeries):
        courses = courses_of(dataset, model.predict_index(dataset.splits["test"]))
        if courses is not None:
            courses.save(out / COURSES)
    selectors, share = selectors_of(model.encoder), None
    if selectors is not None:
        batches = model.read_batches(dataset.splits["train"][:N_SHARE_IMAGES])
        share = contributions_of(model.encoder, batches)
        write_npz(out / "selectors.npz", _selector_arrays(model, dataset, selectors, share), compressed=True)
        metrics["places_at_the_border"] = model.at_the_border()  # a share; a quarter and more: the training ran away
    metrics["test"] = scored.pop("test")[1]
    if scored:
        metrics["further_splits"] = {
            split: {"n_images": len(dataset.splits[split]), **means} for split, (_, means) in scored.items()
        }
    if validation is not None:
        metrics["validation"] = validation
    if model.field is not None:
        metrics["field"] = model.field.describe()
    if hasattr(dataset, "recovery") and dataset.noise_ceiling is not None and share is not None:
        # what a layer or scale contributes over the weight it was given is its gain
        metrics["recovery"] = dataset.recovery(
            selectors,
            layer_gain=share.layer / selectors.layer,
            scale_gain=torch.cat([(1 - share.scale) / (1 - selectors.scale), share.scale / selectors.scale], 1),
        )
    write_json(out / "metrics.json", metrics)
    return metrics


def _selector_arrays(
    model: PLModel, dataset: ResponseDataset, selectors: Selectors, share: Any
) -> dict[str, np.ndarray]:
    """Selectors with what else is known of each voxel's reading, and where each voxel is ("at:...").

    Of a simulated subject also the selectors that were planted ("planted:..."). "reads" is the kind of stimuli.
    """
    from brainnet.model import cluster_channels

    space = dataset.space
    arrays = {name: getattr(selectors, name) for name in selectors._fields}
    width, weight = width_of(model.encoder), weight_of(model.encoder, space.n_voxels)
    if width is not None:
        arrays["width"] = width
    delay = delays_of(model.encoder)
    if delay is not None:
        arrays |= {"delay": delay, "delays": torch.tensor(model.encoder.delays),
                   "tr": torch.tensor(getattr(dataset, "tr", 1.0))}  # fmt: skip
    if model.field is not None:
        arrays["window_share"] = model.field.window_share.cpu()
    if share is not None:
        arrays |= {"layer_share": share.layer, "scale_share": share.scale}
    if weight is not None:
        arrays["cluster"] = cluster_channels(weight, n_clusters=min(MOST_CLUSTERS, len(weight)))
    truth = getattr(dataset, "truth", None)
    if truth is not None:
        arrays |= {f"planted:{name}": part for name, part in truth.selectors._asdict().items()}
    elif delay is not None and hasattr(dataset, "planted"):
        said = dataset.planted.selectors(len(model.layers), model.encoder.delays)
        arrays |= {f"planted:{name}": part for name, part in said.items()}
    place = {f"at:{key}": value for key, value in space.to_arrays().items()}
    told = {"layer_names": np.array(model.layers), "reads": np.array(kind_read_by(model.backbone)), **place}
    return {name: array.numpy() for name, array in arrays.items()} | told


def _further_splits(dataset: ResponseDataset) -> list[str]:
    """The splits beyond train, val and test that can be scored: two images or more with responses."""
    names = [name for name, rows in dataset.splits.items() if name not in ("train", "val", "test") and len(rows) > 1]
    return [name for name in names if usable_voxels(dataset.responses, dataset.splits[name]).any()]


def scores_file(split: str) -> str:
    """The name of the table of a split's scores; no two splits share one.

    >>> scores_file("test"), scores_file("sketches"), scores_file("a b")
    ('scores.csv', 'scores_sketches.csv', 'scores_a-b_541e27.csv')
    """
    return "scores.csv" if split == "test" else f"scores_{slug(split)}.csv"


def _score_split(model: PLModel, dataset: ResponseDataset, split: str) -> tuple[Any, dict[str, Any]]:
    """The table of a split's scores, see :func:`score_table`, and their means per ROI with intervals over images."""
    rows = dataset.splits[split]
    prediction, response = model.predict_index(rows), dataset.responses[rows]
    table = score_table(prediction, response, dataset, ~model.usable, dataset.ceiling_of(split))
    groups = {ALL: torch.ones(len(table), dtype=torch.bool), **dataset.space.rois}
    means = {name: _summaries(table[mask.numpy()]) for name, mask in groups.items()}
    draws = bootstrap_scores(
        prediction,
        response.masked_fill(~model.usable, torch.nan),
        n_resamples=1000,
        groups=torch.stack(list(groups.values())),
        blocks=dataset.blocks_of(split),
        generator=torch.Generator().manual_seed(0),
    )
    for row, samples in zip(means.values(), draws.T, strict=True):
        _, low, high = interval(row["r"]["mean"], samples)  # 95 %
        row["r"] |= {"low": low, "high": high}
    return table, means


def score_table(
    prediction: Tensor, response: Tensor, dataset: ResponseDataset, unusable: Tensor, noise_ceiling: Tensor | None
):
    """One row per voxel: voxel, roi, r2, r and, where the noise ceiling is known, ceiling and ceiling_share.

    Where voxels are sensors at times, their columns follow the voxel's.

    Args:
        prediction: (n_images, n_voxels).
        response: the same.
        dataset: whose voxels they are.
        unusable: (n_voxels,) bool, voxels that have no score.
        noise_ceiling: (n_voxels,) on the scale of r, or None.
    """
    import pandas as pd

    rois = np.full(response.shape[1], "", dtype=object)
    for name, mask in dataset.space.rois.items():
        rois[mask.numpy()] = [f"{old};{name}" if old else name for old in rois[mask.numpy()]]
    table = {
        **dataset.space.labels(),
        "roi": rois,
        "r2": r2(prediction, response).masked_fill(unusable, torch.nan),
        "r": pearson_r(prediction, response).masked_fill(unusable, torch.nan),
    }
    if noise_ceiling is not None:
        table["ceiling"] = noise_ceiling
        table["ceiling_share"] = normalise(table["r"], noise_ceiling).values
    return pd.DataFrame({name: np.asarray(column) for name, column in table.items()})


def _summaries(scores: Any) -> dict[str, Any]:
    """Means and medians of some voxels' scores; ``ceiling_share`` is mean r over mean ceiling, a ratio of means."""
    summary: dict[str, Any] = {"n": len(scores), "n_scored": int(scores["r"].notna().sum())}
    for name in ("r", "r2", "ceiling"):
        if name in scores:
            summary[name] = {"mean": float(scores[name].mean()), "median": float(scores[name].median())}
    if "ceiling" in scores:
        known = scores["r"].notna() & scores["ceiling"].notna()
        ceiling = float(scores.loc[known, "ceiling"].mean())
        summary["ceiling_share"] = float(scores.loc[known, "r"].mean()) / ceiling if ceiling else None
    return summary


def _write_card(
    out: Path,
    model: PLModel,
    data: dict[str, Any],
    metrics: dict[str, Any],
    clock: Clock,
    forecast: dict[str, Any],
) -> None:
    """The run card: where every number came from."""
    card = {
        **opening("fit", PACKAGES),
        "seed": model.cfg.SEED,
        "config": config_keys(model.cfg),
        **data,
        "backbone": model.identity,
        **_how_penalties_were_chosen(model),
        "test": metrics["test"][ALL],
        "further_splits": {split: means[ALL] for split, means in metrics.get("further_splits", {}).items()},
        "forecast": forecast,
    }
    put_card(out, card, clock, ("model.ckpt", "selectors.npz", "scores.csv", "metrics.json"))


def _how_penalties_were_chosen(model: PLModel) -> dict[str, Any]:
    """What was left out at a time where penalties were chosen in closed form; nothing where none were."""
    wanted = model.settings.readout
    if "ridge" not in (wanted.start, wanted.field):
        return {}
    if not wanted.leaves_groups_out:
        return {"penalties_chosen_by": {"left_out": "image"}}
    groups = training_groups(model.data.dataset, model.data.train_index)
    return {"penalties_chosen_by": {"left_out": "group", "n_groups": len(np.unique(groups))}}


def redraw(
    run: str | Path, rename: Mapping[str, str] | None = None, *, finished: bool = True, scene: Any = None
) -> list[Path]:
    """Draws ``maps.png`` and ``maps.svg`` of a run folder from its tables; other formats within ``plot.saved_as``.

    Of a read-out with delays, ``latency.png`` shows the mean delay of each voxel, and ``delays.png`` how much each
    region reads each delay; of a time series, ``course.png`` the prediction of the best one beside its response, and
    ``runs.png`` the score of every test run. Of a read-out with a field, ``window_share.png`` and ``.svg`` show how
    much of each voxel its window explains. Of sensors over time, ``time.png`` shows the course of r,
    ``time_layers.png`` that of the weights of layers, and ``sensors.png`` r of every sensor.

    A negative control, trained on shuffled responses, is drawn without fading: where no voxel is predicted, faded maps
    would be blank, and could not show that selectors are flat. Of a read-out without selectors the scores are drawn.

    Args:
        run: the folder.
        rename: old name -> new name of regions, in the picture.
        finished: whether its tables are those that its card tells of.
        scene: surface on which maps are drawn, see :class:`brainnet.plot.Scene`; None is the flat map.

    Raises:
        FileNotFoundError: no finished run there.
        ValueError: a damaged file, one of another run, or a region to rename that is not there.
    """
    import pandas as pd

    from brainnet import plot

    run = Path(run)
    present = [name for name in ("scores.csv", "selectors.npz", "model.ckpt") if (run / name).is_file()]
    if (run / "encoding.csv").is_file():
        raise FileNotFoundError(
            f"{run} holds an encoding, whose figures lie in {run / 'figures'}: `brainnet plot` draws the maps of a "
            "fit, and of an encoding those of --best-model."
        )
    if "scores.csv" not in present or len(present) < 2:
        missing = "selectors.npz" if "selectors.npz" not in present else "scores.csv"
        raise FileNotFoundError(f"no {missing} in {run}; `brainnet fit --out {run}` makes a run folder.")
    with reading(run / "scores.csv", "table of scores"):
        scores = pd.read_csv(run / "scores.csv")
    if finished and "noise_ceiling" not in scores:  # else of an earlier brainnet
        check_files(run, *present)
    ceiling = next((scores[name] for name in ("ceiling", "noise_ceiling") if name in scores), None)  # the latter once
    cfg = saved_config(run)
    control = cfg is not None and cfg.DATASET.SHUFFLED
    title = None if cfg is None else cfg.DESCRIPTION
    if control:
        title = f"{title}. NEGATIVE CONTROL: responses shuffled" if title else "NEGATIVE CONTROL: responses shuffled"
    r, ceiling = torch.tensor(scores["r"].to_numpy()), None if ceiling is None else torch.tensor(ceiling.to_numpy())
    figures, weights = {}, {}
    if "selectors.npz" in present:
        given = read_selectors(run / "selectors.npz")
        given |= left_out_of(cfg) | {"places": places_of(given.pop("reads"), cfg)}
        given["space"] = _renamed_regions(given["space"], rename)
        share = given.pop("window_share", None)
        delay, delays, tr = (given.pop(name, None) for name in ("delay", "delays", "tr"))
        if "layer" not in given.get("leave_out", ()):
            weights = dict(zip(given["layer_names"], given["chosen"].layer.T, strict=True))
        figures["maps"] = plot.selectors(
            **given, title=title, scores=r, noise_ceiling=ceiling, fade=not control, scene=scene
        )
        if delay is not None and len(delays) > 1:  # of a single delay there is no map
            figures |= delay_figures(delay, delays.tolist(), given["space"], r, float(tr), title, fade=not control)
        if share is not None:
            figures["window_share"] = plot.window_share(
                share, given["space"], position=given["chosen"].space, width=given.get("width"), title=title,
                alpha=None if control else (r / FADE).nan_to_num(nan=0.0).clamp(0.12, 1), outlines=True,
            )  # fmt: skip
    else:
        space = unpacked(read_checkpoint(run / "model.ckpt")[CHECKPOINT_KEY]["space"])
        figures["maps"] = plot.scores(r, _renamed_regions(space, rename), noise_ceiling=ceiling, title=title)
    figures |= course_figures(read_courses(run / COURSES), r, ceiling, title)
    if {"sensor", "time"} <= set(scores):
        over_time = BrainSpace(sensors=scores["sensor"].tolist(), times=torch.tensor(scores["time"].to_numpy()))
        figures["time"] = plot.time_course(r, over_time, noise_ceiling=ceiling, title=title)
        figures["sensors"] = plot.sensor_times(r, over_time, title=title)
        if len(weights) > 1:
            figures["time_layers"] = plot.time_course(
                weights, over_time, ordered=True, score_name="layer weight", title=title
            )
    return [path for name, figure in figures.items() for path in plot.save(figure, run / name)]


def _renamed_regions(space: BrainSpace, rename: Mapping[str, str] | None) -> BrainSpace:
    check_names(rename or {}, space.rois)
    return with_regions(space, rename or {})


def saved_config(run: Path) -> CfgNode | None:
    """The settings that a run folder keeps; None where it keeps none."""
    saved = run / "config.yaml"
    return load_config(saved) if saved.is_file() else None


def left_out_of(cfg: CfgNode | None) -> dict[str, Any]:
    """The panels that say nothing of a run, and why, see :func:`brainnet.plmodel.build.meaningless_panels`."""
    return {} if cfg is None else meaningless_panels(cfg.MODEL.START, cfg.MODEL.GRID)


def places_of(reads: str, cfg: CfgNode | None) -> Places:
    """What the places of a run's tokens are, by what its network ``reads`` and the settings that the run keeps."""
    return Places(reads, cfg is not None and cfg.MODEL.GRID[0] == 1)


def read_selectors(path: Path) -> dict[str, Any]:
    """What :func:`brainnet.plot.selectors` takes, of a ``selectors.npz``, and what the network "reads"."""
    with reading(path, "file of selectors"):
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        further = {"width": "width", "clusters": "cluster", "window_share": "window_share",
                   "delay": "delay", "delays": "delays", "tr": "tr"}  # fmt: skip
        return {
            "chosen": Selectors(*(torch.from_numpy(arrays[name]) for name in Selectors._fields)),
            "space": BrainSpace.from_arrays({k[3:]: v for k, v in arrays.items() if k.startswith("at:")}),
            "layer_names": arrays["layer_names"].tolist(),
            "reads": str(arrays.get("reads", "image")),
            **{key: torch.from_numpy(arrays[name]) for key, name in further.items() if name in arrays},
        }

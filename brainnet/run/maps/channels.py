"""Which channels a region of a trained map reads: its top channels in images, its best images, and clusters."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from brainnet import plot
from brainnet._files import reading, slug, write_csv, write_npz
from brainnet._work import at_work, device_of, says_progress
from brainnet._work import progress as progress_bar
from brainnet.datamodule import BrainDataModule
from brainnet.model import as_colours, matched_clusters, project, top_channels
from brainnet.model.readout import selectors_of, weight_of
from brainnet.plmodel import PLModel
from brainnet.plmodel.build import build_dataset
from brainnet.plot.selector.channels import Ranking
from brainnet.run.fitting.prediction import load_model
from brainnet.run.record.card import Clock, opening, put_card
from brainnet.run.record.claiming import claimed
from brainnet.stimuli import Images
from brainnet.tokens import check_tokens

KIND = "channels"
PACKAGES = ("torch", "torchvision", "numpy", "timm", "open_clip_torch")
N_CHANNELS = 3  # red, green, blue
N_VOXELS = 3  # of a region that get a row of their own
MOST_RANKED = 2000  # images whose tokens are computed where none are stored


class _Pictures(NamedTuple):
    """Images by number: their ids, how one is loaded, and the response that is predicted to each, (n, n_voxels)."""

    ids: list[str]
    load: Any
    predicted: Tensor


def channels(
    run: str | Path,
    roi: Sequence[str],
    out: str | Path,
    *,
    images: Any = None,
    n_images: int = 8,
    like: str | Path | None = None,
    seed: int = 0,
    device: str | None = None,
    progress: bool = True,
) -> list[Path]:
    """Draws, for each region, its top channels in images and the images it answers to most, and the clusters of all.

    Args:
        run: a run folder of ``brainnet fit``.
        roi: regions of its space, by names or patterns; none takes all.
        out: folder that receives ``channels_<roi>.png``, ``best_<roi>.png``, ``clusters.png``, ``images.csv`` and
            ``channels.npz`` (the directions in the tokens of each layer).
        images: whatever :class:`~brainnet.stimuli.Images` reads; by default the images of the run's data set, from its
            stored tokens where it has them.
        n_images: images of a figure.
        like: another run over the same voxels, whose cluster numbers, and so colors, are taken over where clusters
            hold the same voxels.
        seed: of the images on which the channels are shown.
        device: as in :func:`~brainnet.run.fitting.prediction.predict`.
        progress: show a progress bar.

    Returns:
        The files.

    Raises:
        FileNotFoundError: no such run.
        ValueError: an unknown region, a read-out without channels, or runs over other voxels.
    """
    if n_images < 1:
        raise ValueError(f"--n-images is at least 1, got {n_images}.")
    out, place, clock = Path(out), device_of(device), Clock()
    model = load_model(run)
    weight = weight_of(model.encoder, model.space.n_voxels)
    chosen = selectors_of(model.encoder)
    if weight is None or chosen is None or not hasattr(model.encoder, "local_token_bottleneck"):
        raise ValueError(f"the read-out {model.cfg.MODEL.READOUT!r} of {run} has no channels that its voxels share.")
    regions = _regions(model, roi)
    clusters = _clusters(run, like)
    with claimed(out, KIND), at_work(model, place):
        pictures = _of_dataset(model, place, progress) if images is None else _given(model, images, place, progress)
        shown = torch.randperm(len(pictures.ids), generator=torch.Generator().manual_seed(seed))[:n_images].tolist()
        tokens = _native_tokens(model, [pictures.load(i) for i in shown], place)
        clock.lap("predictions")
        scores = _scores(Path(run), model.space.n_voxels)
        paths, rows, arrays, labels = [], [], {}, model.space.labels()["voxel"]
        for name, mask in regions.items():
            found = top_channels(weight, mask, _bottlenecks(model), chosen.layer, min(N_CHANNELS, int(mask.sum())))
            maps = project(tokens, found.directions)
            maps = torch.cat([maps, maps.new_zeros(len(maps), N_CHANNELS - maps.shape[1], *maps.shape[2:])], 1)
            figure = plot.channel_images(
                [pictures.load(i) for i in shown], as_colours(maps), maps[:, : len(found.explained)],
                found.explained.tolist(), names=[pictures.ids[i] for i in shown], title=f"Top channels of {name}",
            )  # fmt: skip
            paths += plot.save(figure, out / f"channels_{slug(name)}")
            rankings, table = _rankings(name, mask, pictures, scores, labels, n_images)
            rows += table
            figure = plot.best_images(
                rankings, title=f"Images that {name} answers to most and least, of {len(pictures.ids):,}",
                note="Predicted responses, in SDs of each voxel over all images; a region is the mean of its voxels",
            )  # fmt: skip
            paths += plot.save(figure, out / f"best_{slug(name)}")
            arrays |= {f"{name}/{layer}": np.asarray(rows_of) for layer, rows_of in found.directions.items()}
            arrays |= {f"{name}/components": found.components.numpy(), f"{name}/explained": found.explained.numpy()}
        if clusters is not None and (model.space.mesh or model.space.mask is not None):
            draw = plot.flatmap if model.space.mesh else plot.slices
            figure = draw(clusters, model.space, label="cluster of read-out weights", outlines=regions)
            paths += plot.save(figure, out / "clusters")
        import pandas as pd

        write_csv(out / "images.csv", pd.DataFrame(rows))
        write_npz(out / "channels.npz", arrays)
        clock.lap("pictures")
        card = {**opening(KIND, PACKAGES), "source": {"run": str(run), "images": str(images or "of the data set")},
                "settings": {"roi": list(regions), "n_images": n_images, "seed": seed, "like": like and str(like)},
                "n_images_ranked": len(pictures.ids)}  # fmt: skip
        put_card(out, card, clock, ["images.csv", "channels.npz"])
    return [*paths, out / "images.csv", out / "channels.npz"]


def _regions(model: PLModel, patterns: Sequence[str]) -> dict[str, Tensor]:
    """Region -> (n_voxels,) bool of those that are trained on; all voxels where the space has no region."""
    space, usable = model.space, model.usable.cpu()
    names = list(dict.fromkeys(patterns)) or list(space.rois)
    found = {name: space.roi(name) & usable for name in names} or {"all": usable}
    empty = [name for name, mask in found.items() if not mask.any()]
    if empty and patterns:
        raise ValueError(f"the region {empty[0]!r} has no voxel that was trained on.")
    return {name: mask for name, mask in found.items() if mask.any()}


def _bottlenecks(model: PLModel) -> dict[str, Tensor]:
    """Layer -> (D, C) of the read-out's local bottlenecks, in the order of its layers."""
    return dict(zip(model.layers, [one.weight for one in model.encoder.local_token_bottleneck.values()], strict=True))


def _native_tokens(model: PLModel, images: list[Any], device: torch.device) -> Any:
    """Tokens of a few images on each layer's own grid, as the read-out takes them."""
    batch = torch.stack([model.preprocessing(image) for image in images]).to(device)
    with torch.no_grad():
        tokens = check_tokens(model.backbone.get_tokens(batch), len(batch), model.layers).map(lambda one: one.float())
        return (tokens if model.transform is None else model.transform(tokens)).map(lambda one: one.cpu())


def _of_dataset(model: PLModel, device: torch.device, progress: bool) -> _Pictures:
    """The images of the run's data set: all where their tokens are stored, else the test images first."""
    dataset = build_dataset(model.cfg, model.backbone)
    model.data = BrainDataModule(dataset, preprocessing=model.preprocessing)
    rows = torch.arange(len(dataset))
    if model.cfg.TOKENS.STORE:
        model.setup_store(model.data)
    elif len(rows) > MOST_RANKED:
        test = torch.as_tensor(dataset.splits["test"])
        others = rows[~torch.isin(rows, test)]
        rows = torch.cat([test, others])[:MOST_RANKED]
        says_progress.info("%d of %d images are ranked; a run with TOKENS.STORE ranks all.", len(rows), len(dataset))
    parts = [
        model.predict_index(part) for part in progress_bar(rows.split(64), "Predicting", -(-len(rows) // 64), progress)
    ]
    ids = [str(dataset.image_ids[int(i)]) for i in rows]
    return _Pictures(ids, lambda i: dataset.load_image(int(rows[i])), torch.cat(parts))


def _given(model: PLModel, images: Any, device: torch.device, progress: bool) -> _Pictures:
    photographs = Images.of(images)
    parts = []
    for part in progress_bar(
        torch.arange(len(photographs)).split(16), "Predicting", -(-len(photographs) // 16), progress
    ):
        with torch.no_grad():
            batch = torch.stack([model.preprocessing(photographs[int(i)]) for i in part])
            parts.append(model(batch.to(device))[0].cpu())
    return _Pictures([str(name) for name in photographs.ids], lambda i: photographs[i], torch.cat(parts))


def _rankings(
    name: str, mask: Tensor, pictures: _Pictures, scores: Tensor | None, labels: np.ndarray, n_images: int
) -> tuple[list[Ranking], list[dict[str, Any]]]:
    """The best and worst images of a region and of its best predicted voxels, and a row for each in a table."""
    z = pictures.predicted - pictures.predicted.mean(0)
    z = z / z.std(0).clamp_min(1e-12)
    voxels = mask.nonzero()[:, 0]
    if scores is not None:
        voxels = voxels[scores[voxels].nan_to_num(-torch.inf).argsort(descending=True)]
    courses = {(name, ""): z[:, mask].mean(1)} | {(name, str(int(v))): z[:, v] for v in voxels[:N_VOXELS]}
    count = min(n_images // 2 or 1, len(z) // 2 or 1)
    rankings, rows = [], []
    for (roi, voxel), course in courses.items():
        order = course.argsort(descending=True, stable=True)
        best, worst = order[:count].tolist(), order.flip(0)[:count].tolist()
        best_of, worst_of = ([pictures.load(i) for i in part] for part in (best, worst))
        shown = f"voxel {labels[int(voxel)]}" if voxel else roi
        detail = f"{roi}, test r {scores[int(voxel)]:.2f}" if voxel and scores is not None else ""
        rankings.append(Ranking(shown, best_of, worst_of, course[best].tolist(), course[worst].tolist(), detail))
        rows += [
            {"roi": roi, "voxel": labels[int(voxel)] if voxel else "", "order": order_name, "rank": rank,
             "image": pictures.ids[i], "predicted": float(course[i])}
            for order_name, part in (("best", best), ("worst", worst)) for rank, i in enumerate(part, 1)
        ]  # fmt: skip
    return rankings, rows


def _scores(run: Path, n_voxels: int) -> Tensor | None:
    """Test r of each voxel, where the run's table is beside it."""
    import pandas as pd

    path = run / "scores.csv"
    if not path.is_file():
        return None
    with reading(path, "table of scores"):
        found = torch.tensor(pd.read_csv(path)["r"].to_numpy())
    return found if len(found) == n_voxels else None


def _clusters(run: str | Path, like: str | Path | None) -> Tensor | None:
    """The channel clusters of a run, numbered as those of another one where it is given."""
    own, reference = (None if one is None else clusters_of(Path(one)) for one in (run, like))
    return own if own is None or reference is None else matched_clusters(own, reference)


def clusters_of(run: Path) -> Tensor | None:
    """(n_voxels,) the channel cluster of each voxel of a run folder; None where it has none."""
    path = run / "selectors.npz"
    if not path.is_file():
        return None
    with reading(path, "file of selectors"), np.load(path, allow_pickle=False) as arrays:
        return torch.from_numpy(arrays["cluster"]) if "cluster" in arrays else None

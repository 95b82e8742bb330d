"""Brain Decodes Deep Nets: seven networks on one subject, their layer maps, and one family in four sizes.

Each network is read by FactorTopy: a layer, a place, a scale and channels for every voxel. By default no weights are
downloaded. The subject's responses are planted in one of the networks, and the study must find it: it ranks first, its
lead over every other network has an interval above zero, and its map of layers is the planted one. The same fits to
shuffled responses are the negative control.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from torch import Tensor

from brainnet import backbone as backbones
from brainnet.backbone import HookedBackbone
from brainnet.config import load_config
from brainnet.datamodule import BrainDataModule
from brainnet.dataset import BrainDataset, SimulatedSubject
from brainnet.plmodel import PLModel
from brainnet.scores import bootstrap_scores, interval, paired_difference, pearson_r
from brainnet.selection import Selectors
from brainnet.store import TokenStore
from brainnet.tokens import Preprocessing
from studies.brain_decodes.drawing import draw
from studies.form import reading

SHUFFLED = "shuffled"


class Reading(NamedTuple):
    """What one network gave: predictions of the test images, the responses to them, and every voxel's selectors."""

    predicted: Tensor
    responses: Tensor
    selectors: Selectors


def run(settings: Mapping[str, Any], data: Path) -> tuple[dict[str, float], Any]:
    """The study's numbers and its figure."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    subject = _subject(settings, data)
    networks, sizes, shuffled = {}, {}, {}
    for name, entry in settings["networks"].items():
        network = _network(entry, settings)
        store = _tokens(network, subject)
        networks[name] = _read(network, store, subject, settings)
        shuffled[name] = _read(network, store, subject.shuffled(settings["seed"]), settings)
    for name, entry in settings["sizes"].items():
        network = _network(entry, settings)
        store = _tokens(network, subject)
        sizes[name] = _read(network, store, subject, settings)
    tables = {
        title: {name: _scores(one, subject, settings) for name, one in readings.items()}
        for title, readings in (("networks", networks), (SHUFFLED, shuffled), ("sizes", sizes))
    }
    numbers = _numbers(tables, subject)
    numbers["shuffled responses: p of the highest mean r, over all networks"] = p_of_highest(
        list(shuffled.values()), settings
    )
    if settings["planted"]:
        numbers |= _found(settings["planted"], networks, subject, settings)
    return numbers, draw(tables, networks, sizes, subject, settings["planted"])


# ---------------------------------------------------------------------- subject and networks


def _subject(settings: Mapping[str, Any], data: Path) -> Any:
    """The subject planted in one of the networks, or the published one."""
    asked = settings["subject"]
    if isinstance(asked, str):
        with reading():
            return BrainDataset(data / asked)
    source = _network(settings["networks"][settings["planted"]], settings)
    return SimulatedSubject(settings["seed"], backbone=source, progress=False, **asked)


def _network(entry: Any, settings: Mapping[str, Any]) -> Any:
    """One of brainnet's backbones by its class, or a vision transformer of a given width, depth and number of heads."""
    if isinstance(entry, Mapping):
        return _stand_in(entry, settings["size_of_images"], settings["seed"])
    name, options = entry
    weights = {} if settings["weights"] == "published" else {"weights": settings["weights"]}
    with reading():
        return getattr(backbones, name)(**weights, seed=settings["seed"], **options)


def _stand_in(shape: Mapping[str, int], side: int, seed: int) -> HookedBackbone:
    from timm.models.vision_transformer import VisionTransformer

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = VisionTransformer(img_size=side, patch_size=16, num_classes=0, **shape)
    return HookedBackbone(
        network, {str(k): f"blocks.{k}" for k in range(shape["depth"])}, name=f"ViT {shape['embed_dim']}",
        preprocessing=Preprocessing((side, side)), prefix_tokens=1, patch_size=16, sequence="BNC",
    )  # fmt: skip


def _tokens(network: Any, subject: Any) -> TokenStore:
    """Tokens of the subject's images, seen as the network sees them, and not at the size that a data set gives."""
    return TokenStore.build(network, subject, preprocessing=network.preprocessing, progress=False)


# ---------------------------------------------------------------------- fits


def _read(network: Any, store: TokenStore, subject: Any, settings: Mapping[str, Any]) -> Reading:
    pl.seed_everything(settings["seed"], verbose=False)
    data = BrainDataModule(subject, store, batch_size=settings["batch_size"], preprocessing=network.preprocessing)
    model = PLModel(load_config("demo"), network, data=data)
    pl.Trainer(
        max_epochs=settings["max_epochs"], logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False,
    ).fit(model)  # fmt: skip
    test = subject.splits["test"]
    with torch.no_grad():
        predicted = model.eval().predict_index(test)
    return Reading(predicted.float(), subject.responses[test], model.get_selectors())


def _scores(reading: Reading, subject: Any, settings: Mapping[str, Any]) -> dict[str, tuple[float, float, float]]:
    """Region -> mean r over its voxels with the 95 % interval over images; "all" is every voxel."""
    regions = {"all": torch.ones(subject.n_voxels, dtype=torch.bool), **subject.space.rois}
    regions = {name: mask for name, mask in regions.items() if mask.any()}
    r = pearson_r(reading.predicted, reading.responses)
    samples = bootstrap_scores(
        reading.predicted, reading.responses, n_resamples=settings["n_resamples"],
        groups=torch.stack(list(regions.values())), generator=torch.Generator().manual_seed(settings["seed"]),
    )  # fmt: skip
    return {
        name: tuple(interval(float(r[mask].nanmean()), samples[:, k])) for k, (name, mask) in enumerate(regions.items())
    }


def _numbers(tables: Mapping[str, Any], subject: Any) -> dict[str, float]:
    numbers = {f"{name}: mean r": scores["all"][0] for name, scores in tables["networks"].items()}
    numbers |= {f"size {name}: mean r": scores["all"][0] for name, scores in tables["sizes"].items()}
    numbers["shuffled responses: highest mean r"] = max(scores["all"][0] for scores in tables[SHUFFLED].values())
    if subject.noise_ceiling is not None:
        numbers["noise ceiling, mean over voxels"] = float(subject.noise_ceiling.nanmean())
    return numbers


def p_of_highest(readings: Sequence[Reading], settings: Mapping[str, Any]) -> float:
    """How often the highest mean r of several fits to shuffled responses is as high where chance is all there is.

    The responses to the test images are shuffled again, within each voxel and alike for all networks, and the highest
    mean r is taken each time. A fit knows nothing of the order of the test images, so the first shuffle is one of
    these, and p is below .05 in one of twenty studies, however many networks share the shuffle.
    """
    generator = torch.Generator().manual_seed(settings["seed"])
    responses = _standardized(readings[0].responses)
    predicted = torch.stack([_standardized(one.predicted) for one in readings])  # (n_networks, n_images, n_voxels)
    observed = (predicted * responses).mean((1, 2)).max()
    highest = torch.empty(settings["n_resamples"])
    for k in range(len(highest)):
        order = torch.rand(responses.shape, generator=generator).argsort(0)
        highest[k] = (predicted * responses.gather(0, order)).mean((1, 2)).max()
    return (1 + int((highest >= observed).sum())) / (1 + len(highest))


def _standardized(values: Tensor) -> Tensor:
    """Mean 0 and SD 1 over images, so that a mean of products is a mean r; constant voxels are 0."""
    return torch.nan_to_num((values - values.mean(0)) / values.std(0, unbiased=False), posinf=0, neginf=0).float()


def _found(
    planted: str, networks: Mapping[str, Reading], subject: Any, settings: Mapping[str, Any]
) -> dict[str, float]:
    """How sure it is that the planted network is the first one, and whether its layers are those planted."""
    mine = networks[planted]
    order = sorted(networks, key=lambda name: -float(pearson_r(networks[name].predicted, mine.responses).nanmean()))
    lows = {
        name: paired_difference(
            mine.predicted, other.predicted, mine.responses, n_resamples=settings["n_resamples"],
            generator=torch.Generator().manual_seed(settings["seed"]),
        ).mean.low
        for name, other in networks.items() if name != planted
    }  # fmt: skip
    found = subject.recovery(mine.selectors)
    return {
        f"{planted}, the planted network: place among the networks": order.index(planted) + 1,
        f"{planted}: least lower end of its lead over another network": min(lows.values()),
        f"{planted}: correlation of its layer map with the planted one": found["layer_centre_r"]["raw"],
        f"{planted}: error of its layers over that of a constant guess": (
            found["layer_centre_mae"]["raw"] / found["layer_centre_mae"]["constant_guess"]
        ),
    }

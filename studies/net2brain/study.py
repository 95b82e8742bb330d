"""Net2Brain's tutorials: from the table of networks to RSA on two sets of images, and variance partitioning over time.

Two networks are found by words, and their layers compared with the RDMs of 15 people, beside the same networks with
random weights. Then EEG of several people is simulated, in which an early layer drives the sensors before a late one:
RDMs are decoded from single trials at each time, and their R2 is parted between the two layers.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from brainnet.backbone import build_backbone, find_backbones
from brainnet.dataset import DATASETS
from brainnet.rsa import RDMs, rdm, regression_over_time
from brainnet.store import TokenStore
from brainnet.tokens import Preprocessing
from studies.form import reading
from studies.net2brain.drawing import draw

SETS = {"92": "images92", "78": "images78"}
RANDOM = "random"


def run(settings: Mapping[str, Any], data: Path) -> tuple[dict[str, float], Any]:
    """The study's numbers and its figure."""
    numbers = _taxonomy(settings["networks"])
    scores = []
    stores: dict[str, TokenStore] = {}
    for number, reader in SETS.items():
        with reading():
            images = DATASETS[reader](data / "algonauts2019")
        for region in images.rdms:  # in the unit of the challenge
            bounds = images.noise_ceiling(region, "spearman", pooling="mean", squared=True)
            numbers[f"{number} images: {region}: squared ceiling, upper"] = bounds.upper
            numbers[f"{number} images: {region}: squared ceiling, lower"] = bounds.lower
        models, made = _rdms_of_networks(settings, data, images)
        stores = stores or made
        found = images.compare(
            models, test="permutation", correction="max", n_permutations=settings["n_permutations"],
            seed=settings["seed"], progress=False,
        )  # fmt: skip
        scores.append(found.table.assign(images=number))
        numbers |= _rsa_numbers(number, found, settings)
    course = _eeg(settings, stores)
    numbers |= _course_numbers(course, settings["eeg"])
    return numbers, draw(pd.concat(scores, ignore_index=True), course, settings["eeg"]["planted"])


# ---------------------------------------------------------------------- the table of networks


def _taxonomy(networks: Mapping[str, Any]) -> dict[str, float]:
    """Every network of the study is among those that were trained to classify ImageNet, and has a known size."""
    found = find_backbones(task="classification", trained_on="ImageNet", architecture="convolution")
    names = {name.partition("=")[0] for name in found["name"]}
    return {"networks of the study that the table of networks finds": sum(name in names for name in networks)}


# ---------------------------------------------------------------------- RSA


def _rdms_of_networks(settings: Mapping[str, Any], data: Path, images: Any) -> tuple[dict[str, RDMs], dict[str, Any]]:
    """RDMs of each network's layers, with its weights and with random ones; and the stores of tokens."""
    models, stores = {}, {}
    for name, asked in settings["networks"].items():
        title = name.partition(":")[2]
        for weights in dict.fromkeys((asked["weights"], RANDOM)):
            model = f"{title}, {'random' if weights == RANDOM else 'trained'}"
            stores[model] = store = TokenStore.build(
                _network(name, asked, weights, data, settings["seed"]), images.images, grid=None, progress=False
            )
            models[model] = RDMs.stack([
                rdm(store.features(module, "flatten"), "correlation", names=[layer], conditions=images.image_ids)
                for layer, module in asked["layers"].items()
            ])  # fmt: skip
    return models, stores


def _network(name: str, asked: Mapping[str, Any], weights: str, data: Path, seed: int) -> Any:
    options: dict[str, Any] = {} if weights == "published" else {"weights": weights}
    if weights not in (RANDOM, "published"):
        options["weights"] = data / weights
    see = Preprocessing((asked["image_size"], asked["image_size"]), interpolation="bilinear")
    with reading():
        return build_backbone(name, layers=list(asked["layers"].values()), seed=seed, **options, preprocessing=see)


def _rsa_numbers(number: str, found: Any, settings: Mapping[str, Any]) -> dict[str, float]:
    table = found.table
    numbers = {}
    for row in table[table.model == "squeezenet1_0, trained"].itertuples():
        if row.roi == "IT":
            numbers[f"{number} images: IT: trained squeezenet1_0 {row.layer}, Spearman"] = row.score
    for roi, rows in table.groupby("roi", sort=False):
        best = {model: some.loc[some.score.idxmax()] for model, some in rows.groupby("model", sort=False)}
        if number == "92" and roi == "IT":
            trained = best["squeezenet1_0, trained"]
            numbers["92 images: IT: best layer of trained squeezenet1_0, p over all cells"] = trained.p_corrected
            for model, one in best.items():
                if model.endswith(RANDOM):
                    numbers[f"92 images: IT: best layer of {model}, Spearman"] = one.score
            numbers["92 images: IT: p of the best trained layer against the same random one"] = _against_random(
                found, trained.layer
            )
        if number == "78":
            numbers[f"78 images: {roi}: highest Spearman of any layer"] = rows.score.max()
    return numbers


def _against_random(found: Any, layer: str) -> float:
    """The corrected p of a trained layer and the same layer with random weights, over people and images."""
    table = found.differences()
    couple = table[(table.roi == "IT") & (table.layer_a == layer) & (table.layer_b == layer)]
    models = {"squeezenet1_0, trained", "squeezenet1_0, random"}
    couple = couple[[{a, b} == models for a, b in zip(couple.model_a, couple.model_b, strict=True)]]
    return float(couple.p_corrected.iloc[0])


# ---------------------------------------------------------------------- EEG


def _eeg(settings: Mapping[str, Any], stores: Mapping[str, TokenStore]) -> pd.DataFrame:
    """The parts of R2 at each time: of the planted layers, and of the same with the conditions' labels shuffled."""
    asked = settings["eeg"]
    times = np.round(np.arange(*asked["times"]), 3)
    network = settings["networks"]["torchvision:squeezenet1_0"]["layers"]
    store, n = stores["squeezenet1_0, trained"], asked["n_conditions"]
    features = {
        name: store.features(network[layer], "flatten", torch.arange(n))
        for name, (layer, _, _) in asked["planted"].items()
    }
    sets = {name: rdm(one, "correlation") for name, one in features.items()}
    generator = torch.Generator().manual_seed(settings["seed"])
    people = [_person(features, times, asked, generator) for _ in range(asked["n_people"])]
    shuffle = torch.randperm(n, generator=generator)
    labels = torch.arange(n).repeat_interleave(asked["n_trials"]).tolist()
    decoded = [rdm(trials, "decoding", labels=labels, covariance="pooled") for trials in people]
    tables = []
    for control, of_people in (("", decoded), ("shuffled", [with_labels(one, shuffle) for one in decoded])):
        course = [RDMs(torch.stack([one.values[k] for one in of_people])) for k in range(len(times))]
        found = regression_over_time(sets, course, times.tolist(), seed=settings["seed"],
                                     n_permutations=asked["n_permutations"], progress=False)  # fmt: skip
        tables.append(found.assign(control=control))
    return pd.concat(tables, ignore_index=True)


def with_labels(decoded: RDMs, labels: Tensor) -> RDMs:
    """The RDMs that decoding gives where condition k is called ``labels[k]``: the same pairs in another order."""
    return decoded.reorder([decoded.conditions[k] for k in labels.argsort().tolist()])


def _person(features: Mapping[str, Tensor], times: np.ndarray, asked: Mapping[str, Any], generator: Any) -> Tensor:
    """Trials (n_times, n_conditions * n_trials, n_sensors): each layer's patterns at its time, and noise."""
    patterns = torch.zeros(len(times), asked["n_conditions"], asked["n_sensors"])
    for name, (_, peak, width) in asked["planted"].items():
        z = _components(features[name])
        topography = torch.randn(z.shape[1], asked["n_sensors"], generator=generator) / z.shape[1] ** 0.5
        rise = torch.from_numpy(np.exp(-(((times - peak) / width) ** 2))).float()
        patterns += rise[:, None, None] * (z @ topography)
    trials = patterns.repeat_interleave(asked["n_trials"], dim=1)
    return trials + asked["noise"] * torch.randn(trials.shape, generator=generator)


def _components(features: Tensor) -> Tensor:
    """All principal components of the patterns, each pattern centred and of one length, as the correlation sees it."""
    centred = features - features.mean(1, keepdim=True)
    unit = centred / centred.norm(dim=1, keepdim=True)
    left, scale, _ = torch.linalg.svd(unit - unit.mean(0), full_matrices=False)
    components = left * scale
    return components / components.square().sum(1).mean().sqrt() * components.shape[1] ** 0.5


def _course_numbers(course: pd.DataFrame, asked: Mapping[str, Any]) -> dict[str, float]:
    planted, shuffled = (course[course.control == one] for one in ("", "shuffled"))
    numbers, peaks = {}, {}
    for name, (_, peak, _) in asked["planted"].items():
        rows = planted[(planted.part == "unique") & (planted.sets == name)].set_index("time")
        peaks[name] = float(rows.r2.idxmax())
        numbers[f"EEG: {name} layer: seconds from the planted peak of unique R2"] = abs(peaks[name] - peak)
        numbers[f"EEG: {name} layer: p at its peak, corrected over times"] = float(rows.p_corrected.min())
    early, late = peaks.values()
    numbers["EEG: the late layer peaks after the early one (1 is yes)"] = float(late > early)
    tested = planted[planted.part == "unique"]
    before = tested[tested.time < 0]
    numbers["EEG: times before the stimulus that are called significant"] = int((before.p_corrected < 0.05).sum())
    control = shuffled[shuffled.part == "unique"]
    numbers["EEG: times that are called significant with shuffled labels"] = int((control.p_corrected < 0.05).sum())
    return numbers

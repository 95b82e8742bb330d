"""Untrained networks that widen against trained and untrained ones: what Kazemian et al. (2025) did, on a recording."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from brainnet.backbone import build_backbone
from brainnet.dataset import DATASETS
from brainnet.features import components_for, eigenspectrum, power_law
from brainnet.ridge import RidgeCV
from brainnet.scores import bootstrap_scores, interval, pattern_r, pearson_r, r2, usable_voxels
from brainnet.scores.partitioning import partition
from brainnet.stimuli import Images
from brainnet.store import TokenStore
from brainnet.tokens import Preprocessing
from studies.form import WrongData, present, reading

log = logging.getLogger(__name__)
_PLURALS = {"initialisation": "initialisations", "nonlinearity": "nonlinearities"}
VIT = "untrained ViT"
ALPHAS = tuple(10.0**exponent for exponent in range(-10, 10))  # the published twenty


class Region(NamedTuple):
    """Responses of one person's region, which their training means and SDs standardize; training images come first."""

    name: str
    responses: Tensor
    n_train: int
    ceiling: float
    settings: dict[str, Any]

    def predict(self, features: Tensor, published: bool = True) -> tuple[Tensor, float]:
        """Predictions of the test images by ridge, and the leave-one-out score that it was chosen by.

        As published, one penalty for all units by the mean leave-one-out correlation; else one for each by its error.
        """
        ridge = RidgeCV(ALPHAS, "loo", **({"scoring": "pearson_r", "alpha_per_voxel": False} if published else {}))
        ridge.fit(features[: self.n_train], self.responses[: self.n_train])
        return ridge.predict(features[self.n_train :]), ridge.cv_scores_.nanmean(1).nan_to_num(-1).max().item()

    def scores(self, prediction: Tensor) -> dict[str, float]:
        """Means over units (r with its interval, R2) and over images (pattern r)."""
        truth = self.responses[self.n_train :]
        r, seeded = pearson_r(prediction, truth), torch.Generator().manual_seed(self.settings["seed"])
        samples = bootstrap_scores(prediction, truth, n_resamples=self.settings["n_resamples"], generator=seeded)
        found = interval(r.nanmean().item(), samples[:, 0])
        pattern = pattern_r(prediction, truth).nanmean().item()
        return {"r": found.mean, "low": found.low, "high": found.high, "pattern r": pattern,
                "R2": r2(prediction, truth).nanmean().item()}  # fmt: skip


class Recording:
    """Pictures, and the regions that are scored with them; every network sees the pictures once.

    A region of a recording of several people has several entries, each with words such as "IT & Tito".
    """

    def __init__(self, entry: dict[str, Any], options: dict[str, Any], settings: dict[str, Any], data: Path):
        self.name, self.settings, self.data = f"{entry['folder']} {options}", settings, data
        with reading():
            self.subject = subject = DATASETS[entry["reader"]](data / entry["folder"], **options)
        train = torch.cat([subject.splits["train"], subject.splits["val"]])
        share = (settings["n_images"] or len(subject)) / len(subject)
        train, test = (rows[: round(share * len(rows))] for rows in (train, subject.splits["test"]))
        self.images, self.n_train = torch.cat([train, test]).tolist(), len(train)
        asked = [(name, words) for name, everyone in entry["rois"].items() for words in everyone]
        self.regions = [one for name, words in asked if (one := self._region(name, words)) is not None]

    def _region(self, name: str, words: str | None) -> Region | None:
        """None where this person has no such region, as with some that a localizer defines."""
        inside = self.subject.usable & usable_voxels(self.subject.responses, self.images[: self.n_train])
        for word in words.split(" & ") if words else ():
            inside = inside & self.subject.space.rois.get(word, torch.tensor(False))
        if not inside.any():
            log.warning("%s has no usable column of region %s: left out of %s.", self.name, words or "any", name)
            return None
        responses = self.subject.responses[self.images][:, inside]
        fitted, ceiling = responses[: self.n_train], self.subject.noise_ceiling
        mean = float("nan") if ceiling is None else ceiling[inside].nanmean().item()
        return Region(name, (responses - fitted.mean(0)) / fitted.std(0), self.n_train, mean, self.settings)

    def pictures(self, side: int) -> Tensor:
        """(n_images, 3, side, side), training images first."""
        with reading():
            return torch.stack([self.subject.image(i, Preprocessing((side, side))) for i in self.images])


def expansion(settings: dict[str, Any], filters: int, narrow: bool = False, **options: Any) -> Any:
    widths = [settings["narrow"]] * 3 if narrow else settings["widths"]
    geometry = {} if settings["side"] >= 142 else {"padding": "same"}
    network = build_backbone("expansion:full", widths=[*widths, filters], layers=["5"], **geometry, **options)
    return network


def features_of(network: Any, pictures: Tensor, grid: tuple[int, int] | None = None) -> dict[str, Tensor]:
    store = TokenStore.build(network, pictures, grid=grid, dtype=torch.float32, progress=False)
    return {layer: store.features(layer, "flatten") for layer in store.layers}


def shuffled_pixels(pictures: Tensor, seed: int) -> Tensor:
    """The same random order of the pixels in all images and colors: nothing local is left."""
    order = torch.randperm(pictures[0, 0].numel(), generator=torch.Generator().manual_seed(seed))
    return pictures.flatten(2)[:, :, order].view_as(pictures)


def other_network(name: str, layer: str, settings: dict[str, Any], data: Path) -> Any:
    """One of the networks beside the expansion network, of which the settings say all."""
    entry = settings["others"][name]
    weights = entry.get("weights", "random")
    options = {} if weights == "published" else {"weights": weights if weights == "random" else str(data / weights)}
    with reading():
        return build_backbone(entry["backbone"], layers=[layer], **options)


def principal(features: Tensor, n_train: int, k: int) -> Tensor:
    """Scores on the first k principal components of the training images, whose features are standardized first.

    An SD below a tenth of the mean one counts as that tenth: a feature that is silent in nearly all training images
    would else outweigh all others in the first test image in which it is not.
    """
    fitted = features[:n_train]
    sd = fitted.std(0)
    z = (features - fitted.mean(0)) / sd.clamp(min=max(0.1 * sd.mean().item(), 1e-12))
    values, vectors = torch.linalg.eigh((z[:n_train] @ z[:n_train].T).double())
    k = min(k, n_train - 1)
    values, vectors = values[-k:], vectors[:, -k:]
    scale = torch.where(values > 1e-9 * values[-1], values, torch.inf).rsqrt()  # beyond the rank a component is 0
    axes = z[:n_train].T @ (vectors * scale).float()
    return (z @ axes).flip(1)


def split_of(region: Region, spaces: dict[str, Tensor], score: str) -> dict[str, float]:
    """Unique and shared variance of two spaces: the published square of the mean pattern correlation, or R2.

    R2 needs predictions of the right size. A correlation does not see the size, so that a penalty chosen by it may be
    far too small: R2 takes a penalty for each unit, by its error.
    """
    a, b = spaces
    parts = {}
    for names in ((a,), (b,), (a, b)):
        joined = torch.cat([spaces[name] for name in names], 1)
        found = region.scores(region.predict(joined, published=score != "R2")[0])
        parts[names] = found["R2"] if score == "R2" else found["pattern r"] ** 2
    found = partition(parts)
    return {f"unique to {a}": found[(a,)], f"unique to {b}": found[(b,)], "shared": found[(a, b)]}


def probe(features: Tensor, groups: list[int], seed: int) -> float:
    """Accuracy of a linear classifier in five stratified folds of the pictures.

    In double precision, by Newton's method: the default solver stops early on features of so unequal variance, and its
    last step then depends on the machine and decides single pictures.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_score

    labels = np.repeat(np.arange(len(groups)), groups)
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    classifier = LogisticRegression(solver="newton-cg", tol=1e-6, max_iter=2000)
    return float(cross_val_score(classifier, features.double().numpy(), labels, cv=folds).mean())


def one_recording(recording: Recording, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """All analyses of a recording; of each region what the figure draws."""
    largest, regions = settings["sizes"][-1], recording.regions
    small = recording.pictures(settings["side"])
    same = settings["side_of_others"] == settings["side"]
    wide = small if same else recording.pictures(settings["side_of_others"])
    shown = Images(recording.data / settings["probe"]["folder"])
    build = partial(expansion, settings)
    found: list[dict[str, Any]] = [
        {"ceiling": one.ceiling, "sweep": {}, "choices": {}, "others": {}, "spectra": {}, "split": {}, "probe": {}}
        for one in regions
    ]

    def score(network: Any, pictures: Tensor = small) -> list[dict[str, float]]:
        rows = features_of(network, pictures)[network.layers[0]]
        return [one.scores(one.predict(rows)[0]) for one in regions]

    for kind, size, network, pictures in networks_of(settings, build, small):
        for one, scores in zip(found, score(network, pictures), strict=True):
            one["sweep"].setdefault(kind, {})[size] = scores
    for option in ("initialisation", "nonlinearity"):
        for word in settings[_PLURALS[option]]:
            swept = word in ("kaiming_uniform", "relu")  # the network of the sweep has both
            scores = None if swept else score(build(largest, **{option: word}))
            for k, one in enumerate(found):
                one["choices"][f"{option}: {word}"] = one["sweep"]["expansion"][largest] if swept else scores[k]

    mine = Space(recording, features_of(build(largest), small)["5"], shown, build(largest))
    for one, region in zip(found, regions, strict=True):
        one["spectra"]["Expansion"], one["probe"]["Expansion"] = mine.spectrum, mine.accuracy
        one["components"] = {
            k: region.scores(region.predict(mine.components[:, :k])[0]) for k in settings["components"]
        }
    for other, entry in settings["others"].items():
        best: list[tuple[float, str, Tensor, Tensor]] = [(-np.inf, "", small, small)] * len(regions)
        for layer in entry["layers"]:  # one at a time, as several would take much memory in the full form
            rows = features_of(other_network(other, layer, settings, recording.data), wide, entry["grid"])[layer]
            for k, region in enumerate(regions):
                prediction, left_out = region.predict(rows)
                if left_out > best[k][0]:  # chosen on training images
                    best[k] = (left_out, layer, prediction, rows)
        spaces = {}
        for one, region, (_, layer, prediction, rows) in zip(found, regions, best, strict=True):
            one["others"][other] = {**region.scores(prediction), "layer": layer}
            if layer not in spaces:
                network = other_network(other, layer, settings, recording.data)
                spaces[layer] = Space(recording, rows, shown, network, settings["side_of_others"], entry["grid"])
            one["spectra"][other], one["probe"][other] = spaces[layer].spectrum, spaces[layer].accuracy
            if other in settings["split"]:
                both = {"Expansion": mine.components, other: spaces[layer].components}
                one["split"] |= {(other, how): split_of(region, both, how) for how in ("published", "R2")}
    return found


class Space:
    """What is known of a layer's features whatever the region: components, spectrum, and the accuracy of the probe."""

    def __init__(
        self, recording: Recording, rows: Tensor, shown: Images, network: Any, side: int | None = None, grid: Any = None
    ):
        settings, n = recording.settings, recording.n_train
        self.components = principal(rows, n, 1000)
        self.spectrum = eigenspectrum(rows[:n])
        see = Preprocessing((side or settings["side"],) * 2)
        with reading():
            pictures = torch.stack([shown.image(i, see) for i in range(len(shown))])
        probed = features_of(network, pictures, grid)[network.layers[0]]
        # components of the recording's training images, as published ones were of other images than the probe's
        both = principal(torch.cat([rows[:n], probed]), n, settings["probe"]["components"])
        self.accuracy = probe(both[n:] / both[:n].std(), settings["probe"]["groups"], 42)


def networks_of(settings: dict[str, Any], build: Any, pictures: Tensor) -> Iterator[tuple[str, int, Any, Tensor]]:
    """The sweep over the width of the last layer: kind, width, network with one layer, and pictures."""
    kinds: dict[str, tuple[dict[str, Any], Tensor]] = {
        "expansion": ({}, pictures),
        "linear": ({"nonlinearity": "none"}, pictures),
        "random first layer": ({"bank": "random", "first_width": 108}, pictures),
        "narrow": ({"narrow": True}, pictures),
        "shuffled pixels": ({}, shuffled_pixels(pictures, 42)),
    }
    for kind, (options, shown) in kinds.items():
        for size in settings["sizes"]:
            yield kind, size, build(size, **options), shown
    places = features_of(build(1), pictures[:1])["5"].shape[1]
    for size in settings["sizes"]:  # as many features as the expansion network of this size
        network = build_backbone(
            "untrained:fully_connected", widths=[108, *settings["widths"]], features=places * size,
            image_size=settings["side"], layers=["5"],
        )  # fmt: skip
        yield "fully connected", size, network, pictures
    for width in settings["widths_of_vit"]:
        network = build_backbone("untrained:vit", features=width, image_size=settings["side"], layers=["expansion"])
        yield VIT, width, network, pictures


def numbers_of(brain: str, found: dict[str, Any]) -> dict[str, float]:
    """Everything that is compared with an expected number."""
    numbers = {"noise ceiling": found["ceiling"]}
    named = {
        f"{kind}, {size} {'channels' if kind == VIT else 'filters'}": one
        for kind, sizes in found["sweep"].items() for size, one in sizes.items()
    }  # fmt: skip
    named |= found["choices"] | found["others"]
    named |= {f"{k} components": one for k, one in found["components"].items()}
    for name, one in named.items():
        numbers |= {f"r, {name}": one["r"], f"pattern r, {name}": one["pattern r"]}
    for name, spectrum in found["spectra"].items():
        spectrum = spectrum[spectrum > 0]
        numbers[f"components for 85 %, {name}"] = components_for(spectrum, 0.85)
        numbers[f"exponent of the spectrum, {name}"] = power_law(spectrum).exponent
    for (other, how), parts in found["split"].items():
        numbers |= {f"{how} split, {other}: {part}": value for part, value in parts.items()}
    numbers |= {f"accuracy, {name}": value for name, value in found["probe"].items()}
    return {f"{brain}: {name}": value for name, value in numbers.items()}


def run(settings: dict[str, Any], data: Path) -> tuple[dict[str, float], Any]:
    """Numbers of every recording, those that need none, and the figure of the first recording."""
    from studies.expansion.figure import draw

    rank = torch.arange(1, 201).double()
    law = power_law(7 * rank**-1.3)
    numbers: dict[str, float] = {
        "planted spectrum: exponent": law.exponent, "planted spectrum: intercept": law.intercept,
        "planted spectrum: components for 85 %": components_for(7 * rank**-1.3, 0.85),
        "planted spectrum: components for 99 %": components_for(7 * rank**-1.3, 0.99),
    }  # fmt: skip
    found: dict[str, list[dict[str, Any]]] = {}  # by region, of each person
    there = present("expansion", [entry["folder"] for entry in settings["brains"]], data)
    for entry in (one for one in settings["brains"] if one["folder"] in there):
        for options in entry["people"]:
            recording = Recording(entry, options, settings, data)
            for region, one in zip(recording.regions, one_recording(recording, settings), strict=True):
                found.setdefault(region.name, []).append(one)
    if not found:
        raise WrongData("no recording has any of the regions of this study.")
    for name, people in found.items():
        each = [numbers_of(name, one) for one in people]
        numbers |= {key: torch.tensor([one[key] for one in each]).double().nanmean().item() for key in each[0]}
    name = next(iter(found))
    return numbers, draw(f"{name} of the first person" if len(found[name]) > 1 else name, found[name][0], settings)

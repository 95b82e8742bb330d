"""Untrained networks that widen against trained and untrained ones: what Kazemian et al. (2025) did, on a recording."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brainnet.backbone import build_backbone
from brainnet.dataset import DATASETS
from brainnet.features import components_for, eigenspectrum, power_law
from brainnet.ridge import RidgeCV
from brainnet.scores import bootstrap_scores, interval, pattern_r, pearson_r, r2
from brainnet.scores.partitioning import partition
from brainnet.stimuli import Images
from brainnet.store import TokenStore
from brainnet.tokens import Preprocessing

_PLURALS = {"initialisation": "initialisations", "nonlinearity": "nonlinearities"}
ALPHAS = tuple(10.0**exponent for exponent in range(-10, 10))  # the published twenty
OTHERS = {
    "AlexNet untrained": ("torchvision:alexnet", ["features.4", "features.9", "features.11"]),
    "SqueezeNet untrained": ("torchvision:squeezenet1_0", ["features.5", "features.9", "features.12"]),
    "SqueezeNet trained": ("torchvision:squeezenet1_0", ["features.5", "features.9", "features.12"]),
}


class Recording:
    """Pictures, and responses that every unit's training mean and SD standardize; scores of features on test images."""

    def __init__(self, entry: dict[str, Any], settings: dict[str, Any], data: Path):
        self.name, self.settings, self.data = entry["name"], settings, data
        self.subject = subject = DATASETS[entry["reader"]](data / entry["folder"], **entry["options"])
        train = torch.cat([subject.splits["train"], subject.splits["val"]])
        share = (settings["n_images"] or len(subject)) / len(subject)
        train, test = (rows[: round(share * len(rows))] for rows in (train, subject.splits["test"]))
        self.images, self.n_train = torch.cat([train, test]).tolist(), len(train)
        columns = slice(None) if entry["roi"] is None else subject.space.rois[entry["roi"]]
        responses = subject.responses[self.images][:, columns]
        fitted = responses[: self.n_train]
        self.responses = (responses - fitted.mean(0)) / fitted.std(0)
        ceiling = subject.noise_ceiling
        self.ceiling = float("nan") if ceiling is None else ceiling[columns].nanmean().item()

    def pictures(self, side: int) -> Tensor:
        """(n_images, 3, side, side), training images first."""
        return torch.stack([self.subject.image(i, Preprocessing((side, side))) for i in self.images])

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


def other_network(name: str, settings: dict[str, Any], data: Path) -> Any:
    family, layers = OTHERS[name]
    file = data / "weights" / "squeezenet1_0_torchvision.npz"
    return build_backbone(family, layers=layers, weights=str(file) if name.endswith(" trained") else "random")


def principal(features: Tensor, n_train: int, k: int) -> Tensor:
    """Scores on the first k principal components of the training images, whose features are standardized first.

    An SD below a tenth of the mean one counts as that tenth: a feature that is silent in nearly all training images
    would else outweigh all others in the first test image in which it is not.
    """
    fitted = features[:n_train]
    sd = fitted.std(0)
    z = (features - fitted.mean(0)) / sd.clamp(min=0.1 * sd.mean())
    values, vectors = torch.linalg.eigh((z[:n_train] @ z[:n_train].T).double())
    k = min(k, n_train - 1)
    axes = z[:n_train].T @ (vectors[:, -k:] / values[-k:].sqrt()).float()
    return (z @ axes).flip(1)


def split_of(recording: Recording, spaces: dict[str, Tensor], score: str) -> dict[str, float]:
    """Unique and shared variance of two spaces: the published square of the mean pattern correlation, or R2.

    R2 needs predictions of the right size. A correlation does not see the size, so that a penalty chosen by it may be
    far too small: R2 takes a penalty for each unit, by its error.
    """
    a, b = spaces
    parts = {}
    for names in ((a,), (b,), (a, b)):
        joined = torch.cat([spaces[name] for name in names], 1)
        found = recording.scores(recording.predict(joined, published=score != "R2")[0])
        parts[names] = found["R2"] if score == "R2" else found["pattern r"] ** 2
    found = partition(parts)
    return {f"unique to {a}": found[(a,)], f"unique to {b}": found[(b,)], "shared": found[(a, b)]}


def probe(features: Tensor, groups: list[int], seed: int) -> float:
    """Accuracy of a linear classifier in five stratified folds of the pictures."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_score

    labels = np.repeat(np.arange(len(groups)), groups)
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    return float(cross_val_score(LogisticRegression(max_iter=2000), features.numpy(), labels, cv=folds).mean())


def one_brain(entry: dict[str, Any], settings: dict[str, Any], data: Path) -> dict[str, Any]:
    """All analyses of a recording; what the figure draws."""
    recording, largest = Recording(entry, settings, data), settings["sizes"][-1]
    small, wide = recording.pictures(settings["side"]), recording.pictures(settings["side_of_others"])
    build = partial(expansion, settings)
    found: dict[str, Any] = {"ceiling": recording.ceiling, "sweep": {}, "choices": {}, "others": {}, "spectra": {}}

    def score(network: Any, pictures: Tensor) -> dict[str, float]:
        return recording.scores(recording.predict(features_of(network, pictures)["5"])[0])

    kinds: dict[str, tuple[dict[str, Any], Tensor]] = {
        "expansion": ({}, small),
        "linear": ({"nonlinearity": "none"}, small),
        "random first layer": ({"bank": "random", "first_width": 108}, small),
        "narrow": ({"narrow": True}, small),
        "shuffled pixels": ({}, shuffled_pixels(small, 42)),
    }
    for kind, (options, pictures) in kinds.items():
        found["sweep"][kind] = {size: score(build(size, **options), pictures) for size in settings["sizes"]}
    for size in settings["sizes"]:  # as many features as the expansion network of this size
        network = build_backbone(
            "untrained:fully_connected", widths=[108, *settings["widths"]], features=16 * size,
            image_size=settings["side"], layers=["5"],
        )  # fmt: skip
        found["sweep"].setdefault("fully connected", {})[size] = score(network, small)
    for option in ("initialisation", "nonlinearity"):
        for word in settings[_PLURALS[option]]:
            found["choices"][f"{option}: {word}"] = (
                found["sweep"]["expansion"][largest]  # the network of the sweep has both
                if word in ("kaiming_uniform", "relu")
                else score(build(largest, **{option: word}), small)
            )

    spaces = {"Expansion": features_of(build(largest), small)["5"]}
    for name in OTHERS:
        layers = features_of(other_network(name, settings, data), wide, (6, 6))
        predicted = {layer: recording.predict(rows) for layer, rows in layers.items()}
        best = max(predicted, key=lambda layer: predicted[layer][1])  # chosen on training images
        found["others"][name] = {**recording.scores(predicted[best][0]), "layer": best}
        spaces[name] = layers[best]
    reduced = {name: principal(rows, recording.n_train, 1000) for name, rows in spaces.items()}
    found["components"] = {
        k: recording.scores(recording.predict(reduced["Expansion"][:, :k])[0]) for k in settings["components"]
    }
    for name, rows in spaces.items():
        found["spectra"][name] = eigenspectrum(rows[: recording.n_train])
    found["split"] = {
        (other, how): split_of(recording, {"Expansion": reduced["Expansion"], other: reduced[other]}, how)
        for other in ("AlexNet untrained", "SqueezeNet trained") for how in ("published", "R2")
    }  # fmt: skip
    found["probe"] = probes(recording, spaces, found["others"], (small, wide))
    return found


def probes(
    recording: Recording, spaces: dict[str, Tensor], others: dict[str, Any], pictures: tuple
) -> dict[str, float]:
    """Accuracies of the probe, on components of the recording's training images, as published ones were of others."""
    settings, data = recording.settings, recording.data
    how, found = settings["probe"], {}
    shown = Images(data / how["folder"])
    for name in spaces:
        network = expansion(settings, settings["sizes"][-1])
        if name != "Expansion":
            network = other_network(name, settings, data)
        side = pictures[name != "Expansion"].shape[-1]
        images = torch.stack([shown.image(i, Preprocessing((side, side))) for i in range(len(shown))])
        rows = features_of(network, images, None if name == "Expansion" else (6, 6))
        rows = rows["5" if name == "Expansion" else others[name]["layer"]]
        n = recording.n_train
        both = principal(torch.cat([spaces[name][:n], rows]), n, how["components"])
        found[name] = probe(both[n:] / both[:n].std(), how["groups"], 42)
    return found


def numbers_of(brain: str, found: dict[str, Any]) -> dict[str, float]:
    """Everything that is compared with an expected number."""
    numbers = {"noise ceiling": found["ceiling"]}
    named = {f"{kind}, {size} filters": one for kind, sizes in found["sweep"].items() for size, one in sizes.items()}
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
    found = {entry["name"]: one_brain(entry, settings, data) for entry in settings["brains"]}
    for name, one in found.items():
        numbers |= numbers_of(name, one)
    name = next(iter(found))
    return numbers, draw(name, found[name], settings)

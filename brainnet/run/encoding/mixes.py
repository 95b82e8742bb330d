"""Trained maps mixed with methods of encoding: "stacked:banded+FactorTopy", one row for each network and subject.

A map cannot be trained again for every fold, so the weights come from its validation images: each method is fitted to
the training images alone and predicts the validation images, as the map does. Images that are tested are predicted by
the methods as they stand in the table, fitted to both. A map that stopped early has seen how well it predicts the
validation images, so its weight is a little too large.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from brainnet._work import says_progress
from brainnet.encode import ALL_LAYERS, BEST_LAYER, Encoding, Fit, FitKey
from brainnet.encode.methods import STACKED, label_of, members_of
from brainnet.encode.stacking import mix_of
from brainnet.scores import summarise

LEARNED = "FactorTopy"  # what a PLModel's rows are called in the table
LEFT_OUT = "val"  # the split that weights are found on


class TrainedMap(NamedTuple):
    """A trained map in a table, and its predictions of validation images, which it was not fitted to."""

    key: FitKey
    left_out: Tensor  # (n_val, n_voxels)


def parted(methods: Sequence[str]) -> tuple[list[str], dict[str, list[str]]]:
    """Methods that are fitted, those that mixes need included; and the mixes with trained maps, name -> other members.

    >>> parted(["ridge", "stacked:banded+FactorTopy"])
    (['ridge', 'banded'], {'stacked:banded+FactorTopy': ['banded']})
    """
    mixes = {name: members_of(name) for name in methods if name.startswith(STACKED) and LEARNED in members_of(name)}
    others = {name: [member for member in members if member != LEARNED] for name, members in mixes.items()}
    fitted = [name for name in methods if name not in mixes]
    return list(dict.fromkeys([*fitted, *(member for members in others.values() for member in members)])), others


def check_mixes(mixes: Mapping[str, Sequence[str]], runs: Sequence[Any]) -> None:
    """Refuses mixes without trained maps, and those of trained maps alone.

    Raises:
        ValueError: names the mix.
    """
    for name, others in mixes.items():
        if not runs:
            raise ValueError(f"{name} mixes in maps that `brainnet fit` trained: name their folders by --run.")
        if not others:
            raise ValueError(f"{name} names no method beside {LEARNED}; write for instance {STACKED}banded+{LEARNED}.")


def add_mixes(
    encoding: Encoding,
    mixes: Mapping[str, Sequence[str]],
    maps: Sequence[TrainedMap],
    fit: Callable[[Sequence[str]], Encoding],
) -> None:
    """Adds a fit for every mix, network and subject with a trained map.

    Args:
        encoding: holds the maps and the methods, fitted to training and validation images.
        mixes: name -> its methods, see :func:`parted`.
        maps: the trained maps.
        fit: of names of methods, gives their fits to the training images alone.

    Raises:
        ValueError: a subject without validation images.
    """
    if not mixes:
        return
    for one in maps:
        if len(one.left_out) < 2:
            raise ValueError(f"{one.key.subject} has {len(one.left_out)} validation images; a mix needs at least 2.")
    labels = {name: [label_of(member) for member in members] for name, members in mixes.items()}
    apart = fit(list(dict.fromkeys(member for members in labels.values() for member in members)))
    fits = {key: found for key, found in encoding.fits.items() if not key.control and key.layer != BEST_LAYER}
    for subject in encoding.subjects:
        trained = [one for one in maps if one.key.subject == subject]
        if not trained:
            says_progress.info("%s has no --run, so nothing is mixed for it.", subject)
            continue
        for model in dict.fromkeys(key.model for key in apart.fits):
            for name, members in labels.items():
                keys = [k for k in fits if (k.model, k.subject) == (model, subject) and k.method in members]
                left_out = [torch.as_tensor(apart.fits[key].predictions[LEFT_OUT]) for key in keys]
                mixed = _mix(encoding, [*keys, *(one.key for one in trained)],
                             torch.stack([*left_out, *(one.left_out for one in trained)]))  # fmt: skip
                encoding.add(FitKey(model, subject, name, ALL_LAYERS), mixed)
                weights = {str(k): summarise(torch.from_numpy(w)).mean for k, w in
                           zip(mixed.details["members"], mixed.details["weights"], strict=True)}  # fmt: skip
                said = ", ".join(f"{member} {weight:.2f}" for member, weight in weights.items())
                says_progress.info("%s of %s, mean weights by %d validation images: %s.",
                                   name, subject, len(left_out[0]), said)  # fmt: skip


def _mix(encoding: Encoding, keys: Sequence[FitKey], left_out: Tensor) -> Fit:
    """The mix of some fits, weighted by their predictions of validation images (n_members, n_val, n_voxels)."""
    dataset = encoding.subjects[keys[0].subject]
    mix = mix_of(left_out.double(), dataset.responses[dataset.splits[LEFT_OUT]].double())
    splits = [split for split in encoding.fits[keys[0]].predictions if split != LEFT_OUT]
    predictions = {
        split: sum(
            weight * torch.as_tensor(encoding.fits[key].predictions[split]).double()
            for weight, key in zip(mix.weights, keys, strict=True)
        ).float()
        for split in splits
    }
    names = [key.method if key.layer == ALL_LAYERS else f"{key.method}, {key.layer}" for key in keys]
    return Fit(predictions, mix.scores, {"weights": mix.weights.numpy(), "members": np.array(names)})

"""What a classifier sees: probabilities of classes with their names, from the table that goes with its outputs.

Names are those of the weights' own publishers: torchvision's for the 1,000 classes of ImageNet, timm's for its larger
subsets. A network of other classes is asked for its names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from brainnet._checks import require

SUBSETS = {11221: "imagenet-21k-miil", 11821: "imagenet-12k", 21841: "imagenet-22k", 21843: "imagenet-21k-goog"}
OF_IMAGENET, WITH_BACKGROUND = 1000, 1001  # the second as of weights from TensorFlow, whose first class is none


def class_names(n_classes: int) -> list[str]:
    """The names of the classes of networks with so many outputs, each name once.

    Raises:
        ValueError: no published table has as many.

    >>> names = class_names(1000)
    >>> names[0], names[1], names[281], len(set(names))
    ('tench', 'goldfish', 'tabby', 1000)
    """
    if n_classes in (OF_IMAGENET, WITH_BACKGROUND):
        models = require("torchvision", "names of classes").models
        names = list(models.get_weight("ResNet50_Weights.IMAGENET1K_V1").meta["categories"])
        return ["background"] * (n_classes - OF_IMAGENET) + names
    if n_classes in SUBSETS:
        info = require("timm", "names of classes").data.ImageNetInfo(SUBSETS[n_classes])
        return _each_once([info.index_to_description(i) for i in range(n_classes)])
    known = ", ".join(map(str, (OF_IMAGENET, WITH_BACKGROUND, *SUBSETS)))
    raise ValueError(f"there is no table of names for {n_classes} classes (but for {known}): give names, one a class.")


def _each_once(names: list[str]) -> list[str]:
    """Names, a repeated one with the number of its class: as a key of a table it would replace another."""
    counts = Counter(names)
    return [f"{name} ({place})" if counts[name] > 1 else name for place, name in enumerate(names)]


def top_classes(
    logits: np.ndarray, ids: Sequence[str], top_k: int = 5, names: Sequence[str] | None = None
) -> dict[str, dict[str, float]]:
    """Image -> the names of its most probable classes and their probabilities, the largest first.

    Args:
        logits: outputs of a classifier before softmax, (n_images, n_classes).
        ids: one name per image, each once.
        top_k: classes of each image.
        names: of the classes, in order; None takes :func:`class_names`.

    Raises:
        ValueError: another number of names than of classes or images, or a repeated image.

    >>> top_classes(np.log([[0.2, 0.5, 0.3]]), ["p1"], 2, ["cat", "dog", "house"])
    {'p1': {'dog': 0.5, 'house': 0.3}}
    """
    n_images, n_classes = logits.shape
    names = class_names(n_classes) if names is None else _each_once(list(names))
    if len(names) != n_classes or len(ids) != n_images or len(set(ids)) != n_images:
        raise ValueError(
            f"{n_images} images of {n_classes} classes have {len(ids)} names, {len(set(ids))} of them different, and "
            f"{len(names)} names of classes."
        )
    found = {}
    for name, row in zip(ids, np.asarray(logits, np.float64), strict=True):
        chances = np.exp(row - row.max())
        chances /= chances.sum()
        best = np.argsort(-chances, kind="stable")[:top_k]
        found[name] = {names[k]: round(float(chances[k]), 7) for k in best}
    return found

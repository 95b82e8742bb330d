"""What a classifier sees in pictures: the command ``brainnet classify``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from brainnet._files import write_json
from brainnet.features.labels import top_classes
from brainnet.run.extraction.extraction import extract
from brainnet.tokens import Backbone

OUTPUT = "logits"


def classify(
    backbone: str | Backbone,
    stimuli: Any,
    out: str | Path | None = None,
    *,
    top_k: int = 5,
    names: Sequence[str] | None = None,
    layer: str = OUTPUT,
    **options: Any,
) -> dict[str, dict[str, float]]:
    """Image -> the names of its most probable classes and their probabilities, the largest first.

    Args:
        backbone, stimuli: as of :func:`brainnet.extract`.
        out: a JSON file that receives the same; None writes none.
        top_k: classes of each image, at least 1.
        names: of the classes, in order; None takes the published table, see ``brainnet.features.labels``.
        layer: the network's output before softmax.
        options: further ones of :func:`brainnet.extract`, such as ``batch_size``, ``device`` or ``seed``.

    Raises:
        ValueError: a network without such a layer, classes without names, or ``top_k`` below 1.

    >>> import numpy as np
    >>> pictures, names = np.zeros((1, 64, 64, 3), np.uint8), [f"class {k}" for k in range(1000)]
    >>> found = classify("torchvision:squeezenet1_0=random", pictures, top_k=3, names=names, progress=False)
    >>> list(found), len(found["0"]), 0.003 < sum(found["0"].values()) < 0.1    # random weights prefer no class
    (['0'], 3, True)
    """
    if top_k < 1:
        raise ValueError(f"top_k is a number of classes of at least 1, got {top_k}.")
    features = extract(backbone, stimuli, layers=[layer], pool="mean", **options)
    found = top_classes(features[layer], features.ids, top_k, names)
    if out is not None:
        write_json(out, found)
    return found

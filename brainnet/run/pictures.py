"""Pictures that are both trained on and tested on, under two names: a score on them is none on new images."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from brainnet.dataset import ResponseDataset


def warn_of_copies(dataset: ResponseDataset, train: Sequence[str], of: str = "the data set") -> int:
    """Warns where images outside the training splits are copies of training images; returns how many.

    Pictures are compared by their bytes. A data set that keeps them in another way than in ``images`` is passed over.

    Args:
        dataset: images and splits.
        train: splits that are trained on.
        of: the name of the data set, for the warning.
    """
    groups = getattr(getattr(dataset, "images", None), "copies", lambda: [])()
    split_of = {int(i): name for name, rows in dataset.splits.items() for i in rows}
    pairs = []
    for group in groups:
        trained = [i for i in group if split_of.get(i) in train]
        others = [i for i in group if i in split_of and split_of[i] not in train]
        pairs += [(i, trained[0]) for i in others if trained]
    if pairs:
        tested, trained = pairs[0]
        names = dataset.image_ids
        warnings.warn(
            f"{len(pairs)} images of {of} are trained on and tested on, under two names: the first is "
            f"{names[tested]!r} of the split {split_of[tested]!r}, a copy of {names[trained]!r} of "
            f"{split_of[trained]!r}. The score on them is none on new images: put copies into one split, or leave "
            "them out.",
            UserWarning,
            stacklevel=2,
        )
    return len(pairs)

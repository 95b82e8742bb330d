"""Which images are trained on and which are held out, from the forms scikit-learn users write ``cv`` in."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor


def make_folds(cv: Any, n_images: int, groups: Any = None) -> list[tuple[Tensor, Tensor]]:
    """(train, held-out) image indices of each fold.

    Args:
        cv: K (that many consecutive, unshuffled blocks, as scikit-learn's ``KFold(K)``), "groups" (each group, for
            instance a run, is held out once), a splitter with ``split``, or an iterable of (train, test) indices.
        n_images: number of images.
        groups: (n_images,) labels of any kind, for "groups" and for splitters that want them.

    Raises:
        ValueError: fewer images than folds or fewer than two groups, a fold without images on either side, an image on
            both sides, or labels that do not match the images.

    >>> [(train.tolist(), held_out.tolist()) for train, held_out in make_folds(2, 4)]
    [([2, 3], [0, 1]), ([0, 1], [2, 3])]
    """
    if groups is not None:
        groups = np.asarray(groups)
        if groups.shape != (n_images,):
            raise ValueError(f"groups must be ({n_images},), one label per image, got {groups.shape}.")
    everything = np.arange(n_images)
    if isinstance(cv, int | np.integer) and not isinstance(cv, bool):
        if not 2 <= cv <= n_images:
            raise ValueError(f"cv={cv} folds need at least 2 folds and as many images, got {n_images} images.")
        pairs = [(np.setdiff1d(everything, held_out), held_out) for held_out in np.array_split(everything, cv)]
    elif isinstance(cv, str) and cv == "groups":
        if groups is None or len(np.unique(groups)) < 2:
            raise ValueError('cv="groups" holds out one group at a time: fit(..., groups=) with two labels or more.')
        pairs = [(everything[groups != label], everything[groups == label]) for label in np.unique(groups)]
    elif hasattr(cv, "split") and not isinstance(cv, str):
        pairs = list(cv.split(everything[:, None], None, groups))
    elif isinstance(cv, str) or not hasattr(cv, "__iter__"):
        raise ValueError(f'cv is a number of folds, "groups", a splitter or a list of (train, test); got {cv!r}.')
    else:
        pairs = list(cv)
    folds = []
    for train, held_out in pairs:
        train, held_out = (torch.as_tensor(np.asarray(part)).long() for part in (train, held_out))
        if not len(train) or not len(held_out):
            raise ValueError("a fold of cv has no images to train on, or none to hold out.")
        if min(train.min(), held_out.min()) < 0 or max(train.max(), held_out.max()) >= n_images:
            raise ValueError(f"a fold of cv names images outside 0 to {n_images - 1}.")
        if np.intersect1d(train, held_out).size:
            raise ValueError("a fold of cv trains on images it holds out.")
        folds.append((train, held_out))
    if not folds:
        raise ValueError("cv gave no folds.")
    return folds


def left_out_together(cv: Any, groups: Any, like: Tensor) -> list[Tensor] | None:
    """Indices of the images that are left out together, on the device of ``like``; None: one image at a time.

    Args:
        cv: "loo" (one image), or what :func:`make_folds` takes, of which every image is held out by one fold and fitted
            by all others. None is "groups" where there are groups, else "loo".
        groups: (n_images,) labels, or None.
        like: (n_images, ...).

    Raises:
        ValueError: fewer than two groups, labels that do not match the images, or folds that are no partition.

    >>> left_out_together("groups", ["a", "b", "a"], torch.zeros(3, 1))
    [tensor([0, 2]), tensor([1])]
    """
    if cv is None:
        cv = "loo" if groups is None else "groups"
    if isinstance(cv, str) and cv == "loo":
        return None
    folds = make_folds(cv, len(like), groups)
    held_out = torch.cat([held for _, held in folds]).sort().values
    if not torch.equal(held_out, torch.arange(len(like))) or any(len(a) + len(b) < len(like) for a, b in folds):
        raise ValueError("this method needs a cv whose folds hold every image out once and train on all other images.")
    return [held.to(like.device) for _, held in folds]

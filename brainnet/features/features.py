"""The features of some pictures in memory: layer to array, with the names of the rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np


class Features(Mapping[str, np.ndarray]):
    """Layer -> features (n_images, n_features).

    Args:
        arrays: layer -> array; all with as many rows.
        ids: one name per row.

    Attributes:
        ids: the names of the rows.

    Raises:
        ValueError: another number of rows than of names.

    >>> features = Features({"a": np.zeros((2, 3), np.float32)}, ["x", "y"])
    >>> features, list(features), features["a"].shape
    (Features(2 images; a: 3), ['a'], (2, 3))
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], ids: Sequence[str]):
        self.ids = [str(name) for name in ids]
        self._arrays = dict(arrays)
        for layer, values in self._arrays.items():
            if len(values) != len(self.ids):
                raise ValueError(f"the layer {layer!r} has {len(values)} rows for {len(self.ids)} names.")

    def __getitem__(self, layer: str) -> np.ndarray:
        return self._arrays[layer]

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def __repr__(self) -> str:
        layers = ", ".join(f"{layer}: {values.shape[1]}" for layer, values in self._arrays.items())
        return f"Features({len(self.ids)} images; {layers})"

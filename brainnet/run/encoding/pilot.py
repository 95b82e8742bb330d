"""How large an encoding is, and how long it takes by its first fits: these are kept, and not made again.

A method that reads one layer at a time is timed on its narrowest and its widest layer of one subject; its time for the
others follows from their widths. A method that reads all layers is timed on its first fit, where there are several.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from brainnet.dataset import ResponseDataset
from brainnet.encode import Encoding
from brainnet.encode.reading import reads_of
from brainnet.run.forecast import Grid, widths_of
from brainnet.store import TokenStore

FEWEST_FITS = 8  # from which on the time of an encoding is forecast
FIGURE = 0.7  # seconds for a figure, as PNG and SVG


@dataclass(frozen=True, eq=False)
class Plan:
    """What is to be fitted.

    Args:
        sources: network -> function of a subject's name that gives its tokens or features.
        data: subject -> data set.
        estimators: method -> estimator.
        layers: network -> the layers to fit; a network that is not named takes all it has.
        pool: how tokens become features.
        controls: as of :func:`brainnet.encode.encode`.
        n_resamples: bootstrap resamples and permutations.
        train: splits that are fitted on.
    """

    sources: Mapping[str, Callable[[str], Any]]
    data: Mapping[str, ResponseDataset]
    estimators: Mapping[str, Any]
    layers: Mapping[str, Sequence[str]]
    pool: str
    controls: Sequence[str]
    n_resamples: int
    train: Sequence[str]

    def widths(self, model: str) -> dict[str, int]:
        """Layer -> features of an image, of the layers of a network that are fitted."""
        source = self.sources[model](next(iter(self.data)))
        if isinstance(source, TokenStore):
            known = widths_of(source.layout, self.pool)
        else:
            known = {layer: array.shape[1] for layer, array in source.items() if layer != "image_ids"}
        return {layer: known[layer] for layer in self.layers.get(model, known)}

    def by_layer(self) -> dict[str, bool]:
        """Method -> whether it reads one layer at a time."""
        return {name: reads_of(estimator) == "features" for name, estimator in self.estimators.items()}

    @property
    def repeats(self) -> int:
        """Fits of one network, method and layer: subjects, and their controls."""
        return len(self.data) * (1 + len(self.controls))

    @property
    def n_fits(self) -> int:
        """Number of fits of all."""
        layers = sum(len(self.widths(model)) for model in self.sources)
        return self.repeats * sum(layers if one else len(self.sources) for one in self.by_layer().values())

    def grid(self, n_jobs: int, keep_weights: bool) -> Grid:
        """The sizes that memory and disk follow from."""
        widest = max((self.widths(model) for model in self.sources), key=lambda widths: sum(widths.values()))
        n_train = max(sum(len(one.splits[name]) for name in self.train) for one in self.data.values())
        n_test = max(
            sum(len(rows) for name, rows in one.splits.items() if name not in self.train) for one in self.data.values()
        )
        reads = {reads_of(estimator) for estimator in self.estimators.values()}
        return Grid(
            n_train=n_train,
            n_test=n_test,
            n_voxels=max(one.n_voxels for one in self.data.values()),
            widths=widest,
            n_fits=self.n_fits,
            spaces="spaces" in reads,
            windows="tokens" in reads,
            n_resamples=self.n_resamples,
            n_jobs=n_jobs,
            weights=len(self.data) * len(self.sources) * len(self.estimators) if keep_weights else 0,
        )

    def seconds(self, run: Callable[..., Encoding], n_jobs: int) -> float | None:
        """Seconds of fits, tests and figures, by the first fits; None where there are too few to time some.

        Args:
            run: :func:`brainnet.encode.encode` with all that is not said here: it is given features, responses,
                methods and layers, and keeps finished fits.
            n_jobs: processes.
        """
        if self.n_fits < FEWEST_FITS:
            return None
        subject, model = next(iter(self.data)), next(iter(self.sources))
        fits = scoring = 0.0
        encoding = None
        for method, one_by_one in self.by_layer().items():
            if not one_by_one and self.repeats * len(self.sources) < 3:
                return None
            widths = sorted(self.widths(model).items(), key=lambda item: item[1])
            times, chosen = {}, ([widths[0], widths[-1]] if one_by_one else [(None, 0)])
            for layer, width in chosen:
                narrow = {
                    "features": {model: self.sources[model]},
                    "responses": {subject: self.data[subject]},
                    "methods": {method: self.estimators[method]},
                    "layers": {model: [name for name, _ in widths] if layer is None else [layer]},
                }
                began = time.perf_counter()
                run(**narrow)
                made = time.perf_counter()
                encoding = run(**narrow)  # now the fit is kept: what is left is its scoring, twice with "best"
                again = time.perf_counter() - made
                times[width], scoring = max(0.0, made - began - again), again / (2 if one_by_one else 1)
            if one_by_one:
                slope, start = (
                    np.polyfit(list(times), list(times.values()), 1) if len(times) > 1 else (0.0, times[width])
                )
                every = [w for name in self.sources for w in self.widths(name).values()]
                fits += self.repeats * sum(max(0.0, start + slope * w) for w in every)
            else:
                fits += self.repeats * len(self.sources) * times[0]
        n_scored = self.n_fits + self.repeats * len(self.sources) * sum(self.by_layer().values())
        return fits / n_jobs + scoring * n_scored + self._tests(encoding) + FIGURE * self._n_figures()

    def _tests(self, encoding: Encoding) -> float:
        """Seconds of the permutation tests and the paired differences."""
        key, few = encoding.headline()[0] if encoding.headline() else next(iter(encoding.fits)), self.n_resamples // 10
        few = max(20, few)
        split = next(iter(encoding.fits[key].predictions))
        began = time.perf_counter()
        encoding.significance(key, split, n_permutations=few)
        tested = time.perf_counter()
        encoding.difference(key, key, split, n_resamples=few)
        differed = time.perf_counter()
        headline = self.repeats * len(self.sources) * len(self.estimators)
        return ((tested - began) * headline + (differed - tested) * self._n_pairs()) * self.n_resamples / few

    def _n_pairs(self) -> int:
        controls = ["", *(name for name in self.controls if name != "shuffled")]
        keys = [(a, b, c) for a in self.sources for b in self.estimators for c in controls]
        return len(self.data) * sum(
            sum(x != y for x, y in zip(*pair, strict=True)) == 1 for pair in combinations(keys, 2)
        )

    def _n_figures(self) -> int:
        models, methods = len(self.sources), len(self.estimators)
        return len(self.data) * (2 + models + models * sum(self.by_layer().values()) + models * methods - 1)

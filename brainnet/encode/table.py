"""What a grid of fits scored: one tidy table, and what can be asked of the fits behind it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from brainnet._files import slug, write_csv, write_npz
from brainnet._notebook import Bar, table_html
from brainnet.dataset.base import ResponseDataset
from brainnet.scores import (
    SCORES,
    PairedDifference,
    VoxelTest,
    above_chance,
    bootstrap_scores,
    identification,
    interval,
    normalise,
    paired_difference,
    pattern_r,
    pearson_r,
    r2,
    summarise,
    versa,
)
from brainnet.scores.blocks import block_numbers, multiplicities
from brainnet.space.maps import save_map

if TYPE_CHECKING:
    import pandas as pd

ALL_LAYERS = "all"
BEST_LAYER = "best"
NOISE_CEILING = "noise ceiling"
VOXEL_SCORES = {"r": "pearson_r", "r2": "r2"}
IMAGE_SCORES = ("pattern_r", "versa", "identification", "identification_top1")


class FitKey(NamedTuple):
    """Names one fit; ``layer`` is a layer, "best" (chosen on training images) or "all" (the method reads every one)."""

    model: str
    subject: str
    method: str
    layer: str
    control: str = ""


@dataclass(frozen=True, eq=False)
class Fit:
    """What one fit left behind.

    Args:
        predictions: split -> (n_images, n_voxels) float32, for every split not trained on.
        selection: (n_voxels,) score on training images that choices may use; NaN where there is none.
        details: arrays per voxel: penalties, window positions, shares of spaces; of banded ridge the split of R2 over
            "spaces", (n_spaces, n_voxels) for each split of the images.
    """

    predictions: Mapping[str, Tensor]
    selection: Tensor
    details: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """One line of the table: a score of one fit, over the voxels of one ROI and the images of one split."""

    model: str
    subject: str
    method: str
    layer: str
    control: str
    chosen_layer: str
    split: str
    roi: str
    score: str
    mean: float = torch.nan
    low: float = torch.nan
    high: float = torch.nan
    median: float = torch.nan
    n_voxels: int = 0
    n_excluded: int = 0
    ceiling: float = torch.nan
    ceiling_share: float = torch.nan
    n_under_floor: int = 0


class Encoding:
    """Fits of a grid of jobs, their scores as one table, and what can be asked of them.

    Attributes:
        fits: :class:`FitKey` -> :class:`Fit`.
        table: a tidy DataFrame, one row per fit, split, ROI and score; its columns are the fields of :class:`Row`. The
            scores "r" and "r2" are per voxel, and ``mean`` and ``median`` are over voxels. "pattern_r", "versa",
            "identification" (share of the other images that an image's own response beats, chance 1/2) and
            "identification_top1" compare patterns over the voxels of a ROI; each voxel is z-scored by its measured
            responses first, and ``mean`` and ``median`` are over images. ``low`` and ``high`` are the 95 % bootstrap
            interval of the mean over images (none for "versa"); ``ceiling`` is the mean noise ceiling on the row's
            scale, ``ceiling_share`` the mean of score over ceiling. A "best" row repeats the layer that
            ``chosen_layer`` names. Subjects whose noise ceiling is known have rows of the method "noise ceiling",
            without model and layer: what a perfect model would score.
        tests: (key, split, score) -> what :meth:`significance` found so far; :meth:`save` writes it too.

    >>> from brainnet.space import BrainSpace
    >>> measured = torch.randn(10, 2, generator=torch.Generator().manual_seed(0))
    >>> subject = ResponseDataset(range(10), measured, BrainSpace.free(2), {"train": [0], "test": range(1, 10)})
    >>> found = Encoding({"one": subject}, n_resamples=20)
    >>> fit = Fit({"test": 2 * measured[1:]}, selection=torch.ones(2))    # twice too large: r does not mind
    >>> found.add(FitKey("mine", "one", "by hand", layer="late"), fit)
    >>> found.table.set_index("score")["mean"].round(3).loc[["r", "r2"]].to_dict()
    {'r': 1.0, 'r2': -0.619}
    """

    def __init__(
        self, subjects: Mapping[str, ResponseDataset], *, n_resamples: int = 1000, floor: float = 0.1, seed: int = 0
    ):
        self.subjects = dict(subjects)
        for subject, dataset in self.subjects.items():
            if not dataset.space.rois.get("all", torch.ones(1)).all():
                raise ValueError(f"{subject} has a ROI named 'all', which means every voxel here: rename it.")
        if n_resamples < 1:
            raise ValueError(f"n_resamples must be at least 1, got {n_resamples}.")
        self.fits: dict[FitKey, Fit] = {}
        self.tests: dict[tuple[FitKey, str, str], VoxelTest] = {}
        self.n_resamples, self.floor, self.seed = n_resamples, floor, seed
        self._rows: list[Row] = [row for subject in self.subjects for row in self._ceiling_rows(subject)]
        self._shuffled: dict[str, Tensor] = {}

    @property
    def table(self) -> pd.DataFrame:
        """All rows so far."""
        import pandas as pd

        return pd.DataFrame([asdict(row) for row in self._rows])

    def _repr_html_(self) -> str:
        """What a notebook shows: the fits with their mean scores over all voxels, the best first."""
        rows = [row for row in self._rows if row.roi == "all" and row.score == "r" and row.split == "test"]
        rows = sorted(rows, key=lambda row: -row.mean if row.mean == row.mean else 2.0)
        cells = [(row.subject, row.model, row.method, row.layer, row.control, Bar(row.mean), float(row.ceiling))
                 for row in rows]  # fmt: skip
        facts = [("subjects", ", ".join(self.subjects)), ("fits", len(self.fits)), ("rows of .table", len(self._rows))]
        heads = ("subject", "network", "method", "layer", "control", "mean test r, all voxels", "noise ceiling")
        return table_html("Encoding", facts, heads, cells)

    def add(self, key: FitKey, fit: Fit, chosen_layer: str = "") -> None:
        """Scores a fit and adds its rows; also for predictions made elsewhere, such as a trained ``PLModel``'s.

        Args:
            key: its names; an equal key is an error.
            fit: predictions of the rows ``subjects[key.subject].splits[split]``, in that order.
            chosen_layer: for the "best" layer, which one that is.
        """
        if key in self.fits:
            raise ValueError(f"{key} is in the table already.")
        if key.subject not in self.subjects:
            raise ValueError(f"Unknown subject {key.subject!r}. Known: {', '.join(self.subjects)}")
        for split, prediction in fit.predictions.items():
            start = Row(**key._asdict(), chosen_layer=chosen_layer, split=split, roi="", score="")
            pair = torch.as_tensor(prediction), self._responses(key, split)
            self._rows += [*self._voxel_rows(start, *pair), *self._image_rows(start, *pair)]
        self.fits[key] = fit

    def regions(self, subject: str) -> dict[str, Tensor]:
        """ROI -> (n_voxels,) bool; the first one is "all"."""
        dataset = self.subjects[subject]
        return {"all": torch.ones(dataset.n_voxels, dtype=torch.bool), **dataset.space.rois}

    def _ceiling_rows(self, subject: str) -> Iterator[Row]:
        """What a perfect model would score on images that are predicted, where that is known."""
        dataset = self.subjects[subject]
        for split, images in dataset.splits.items():
            known = dataset.ceiling_of(split) if len(images) else None
            for score in VOXEL_SCORES if known is not None else ():
                ceiling, floor = self._on_scale(score, known)
                for roi, mask in self.regions(subject).items():
                    mean, median, n, n_excluded = summarise(ceiling[mask])
                    yield Row(
                        "", subject, NOISE_CEILING, "", "", "", split, roi, score, mean, median=median, n_voxels=n,
                        n_excluded=n_excluded, ceiling=mean, n_under_floor=int((ceiling[mask] < floor).sum()),
                    )  # fmt: skip

    def _voxel_rows(self, start: Row, prediction: Tensor, response: Tensor) -> Iterator[Row]:
        """The scores per voxel, r and R2, beside their ceiling."""
        dataset = self.subjects[start.subject]
        regions = self.regions(start.subject)
        masks = torch.stack(list(regions.values()))
        known = None if start.control == "shuffled" else dataset.ceiling_of(start.split)
        for name, kind in VOXEL_SCORES.items():
            score = SCORES[kind](prediction, response)
            samples = bootstrap_scores(
                prediction, response, kind, self.n_resamples, masks,
                blocks=dataset.blocks_of(start.split), generator=self._generator(),
            )  # fmt: skip
            ceiling, floor = self._on_scale(name, torch.full_like(score, torch.nan) if known is None else known)
            share = normalise(score, ceiling, floor).values
            for roi, mask, sample in zip(regions, masks, samples.T, strict=True):
                mean, median, n, n_excluded = summarise(score[mask])
                _, low, high = interval(mean, sample) if n else (mean, torch.nan, torch.nan)
                yield replace(
                    start, roi=roi, score=name, mean=mean, low=low, high=high, median=median, n_voxels=n,
                    n_excluded=n_excluded, ceiling=summarise(ceiling[mask]).mean,
                    ceiling_share=summarise(share[mask]).mean, n_under_floor=int((ceiling[mask] < floor).sum()),
                )  # fmt: skip

    def _image_rows(self, start: Row, prediction: Tensor, response: Tensor) -> Iterator[Row]:
        """The scores per image, over the voxels of each ROI that have a score."""
        mean, sd = response.double().mean(0), response.double().std(0, correction=0)
        known = response.isfinite().all(0) & prediction.isfinite().all(0) & (sd > 1e-12 * mean.abs())
        p, y = ((x.double() - mean) / sd for x in (prediction, response))
        blocks = block_numbers(self.subjects[start.subject].blocks_of(start.split), len(y))
        counts = multiplicities(len(y), self.n_resamples, self._generator(), blocks)
        for roi, mask in self.regions(start.subject).items():
            kept = mask & known
            n = int(kept.sum())
            row = replace(start, roi=roi, n_voxels=n, n_excluded=int(mask.sum()) - n)
            if n < 2:  # a pattern of one voxel is no pattern
                yield from (replace(row, score=name) for name in IMAGE_SCORES)
                continue
            pair = p[:, kept], y[:, kept]
            top1, pairwise = identification(*pair)
            by_image = {"pattern_r": pattern_r(*pair), "identification": pairwise, "identification_top1": top1}
            for name in IMAGE_SCORES:
                if name == "versa":
                    yield replace(row, score=name, mean=versa(*pair))
                    continue
                whole = summarise(by_image[name])
                scored = ~by_image[name].isnan()
                drawn = counts[:, scored]
                _, low, high = interval(whole.mean, drawn @ by_image[name][scored].double() / drawn.sum(1))
                yield replace(row, score=name, mean=whole.mean, low=low, high=high, median=whole.median)

    def _on_scale(self, score: str, ceiling: Tensor) -> tuple[Tensor, float]:
        """A noise ceiling and the floor on the scale of a score: of R2, the squares."""
        ceiling = ceiling.double()
        return (ceiling, self.floor) if score == "r" else (ceiling.square(), self.floor**2)

    def difference(
        self, a: FitKey, b: FitKey, split: str = "test", score: str = "r", n_resamples: int | None = None
    ) -> PairedDifference:
        """Fit a minus fit b on the same images: per voxel with FDR and max-stat, and the mean with its interval."""
        if a.subject != b.subject or a.control == "shuffled" or b.control == "shuffled":
            raise ValueError("a paired difference needs two fits to the same responses of one subject.")
        return paired_difference(
            *(self._prediction(key, split, score) for key in (a, b)),
            self._responses(a, split),
            VOXEL_SCORES[score],
            n_resamples or self.n_resamples,
            blocks=self.subjects[a.subject].blocks_of(split),
            generator=self._generator(),
        )

    def significance(self, key: FitKey, split: str = "test", score: str = "r", n_permutations: int = 1000) -> VoxelTest:
        """Whether each voxel scores above chance, see :func:`brainnet.scores.above_chance`."""
        prediction = self._prediction(key, split, score)
        response = self._responses(key, split)
        test = above_chance(
            prediction, response, VOXEL_SCORES[score], n_permutations,
            blocks=self.subjects[key.subject].blocks_of(split), generator=self._generator(),
        )  # fmt: skip
        self.tests[key, split, score] = test
        return test

    def voxel_scores(self, key: FitKey, split: str = "test", score: str = "r") -> Tensor:
        """(n_voxels,) float64 scores of a fit."""
        prediction = self._prediction(key, split, score)
        return SCORES[VOXEL_SCORES[score]](prediction, self._responses(key, split))

    def layer_scores(self, model: str, subject: str, method: str = "ridge", control: str = "") -> dict[str, Tensor]:
        """Layer -> (n_voxels,) score on training images, of a method that fits one layer at a time; may be empty."""
        return {
            key.layer: fit.selection
            for key, fit in self.fits.items()
            if (*key[:3], key.control) == (model, subject, method, control)
            and key.layer not in (BEST_LAYER, ALL_LAYERS)
        }

    def best_layers(self, model: str, subject: str, method: str = "ridge") -> tuple[Tensor, list[str]]:
        """Per voxel the layer with the best score on training images: (n_voxels,) indices, and the layers' names.

        -1 where no layer has a score, or all have the same one, as in a voxel that nothing predicts.
        """
        found = self.layer_scores(model, subject, method)
        if not found:
            raise ValueError(f"no layers of {model!r} were fitted to {subject!r} by {method!r}.")
        scores = torch.stack(list(found.values())).nan_to_num(nan=-torch.inf)
        even = (scores == scores[0]).all(0) & (len(scores) > 1)
        return torch.where(scores.isneginf().all(0) | even, -1, scores.argmax(0)), list(found)

    def rename_models(self, names: Mapping[str, str]) -> None:
        """Gives models other names, in the fits, the table and the tests.

        Args:
            names: old name -> new name.

        Raises:
            ValueError: two models would have one name.
        """

        def new_key(key: FitKey) -> FitKey:
            return key._replace(model=names.get(key.model, key.model))

        new = {new_key(key): fit for key, fit in self.fits.items()}
        if len(new) < len(self.fits):
            raise ValueError(f"two models would have one name: {dict(names)}.")
        self.fits = new
        self._rows = [replace(row, model=names.get(row.model, row.model)) for row in self._rows]
        self.tests = {(new_key(key), split, score): test for (key, split, score), test in self.tests.items()}

    def headline(self, subject: str | None = None) -> list[FitKey]:
        """The fits that speak for a method: the layer best on training images, or the one fit that reads all layers.

        They come in the order in which subjects, models, controls and methods were given.
        """
        order = {(key.subject, key.model, key.control, key.method): None for key in self.fits}
        fits = {(k.subject, k.model, k.control, k.method): k for k in self.fits if k.layer in (BEST_LAYER, ALL_LAYERS)}
        return [fits[name] for name in order if name in fits and subject in (None, name[0])]

    def add_best_layers(self) -> None:
        """Adds, for each model, subject and method, the layer whose mean training score is best as a fit of its own."""
        groups: dict[FitKey, dict[str, Fit]] = {}
        for key, fit in self.fits.items():
            if key.layer != ALL_LAYERS:
                groups.setdefault(key._replace(layer=BEST_LAYER), {})[key.layer] = fit
        for key, fits in groups.items():
            if all(fit.selection.isnan().all() for fit in fits.values()) and len(fits) > 1:
                continue  # an estimator without cross-validation: nothing to choose a layer by
            means = {layer: summarise(fit.selection).mean for layer, fit in fits.items()}
            best = max(means, key=lambda layer: means[layer] if means[layer] == means[layer] else -np.inf)
            self.add(key, fits[best], chosen_layer=best)

    def save(self, out: str | Path) -> Path:
        """Writes ``encoding.csv`` and per fit ``voxels/<fit>.npz``, for surfaces and volumes also maps of r.

        ``spaces/<subject>.npz`` holds where the voxels are, see :meth:`brainnet.space.BrainSpace.to_arrays`.

        Each npz holds r, r2, ceiling, the training score, the details of the fit and the tests made of it, one entry
        per voxel, and its sensor and time where it has such. Maps are NIfTI, or one GIfTI per hemisphere; of splits
        other than test they carry its name.
        """
        out = Path(out)
        (out / "voxels").mkdir(parents=True, exist_ok=True)
        (out / "spaces").mkdir(exist_ok=True)
        for subject, dataset in self.subjects.items():
            write_npz(out / "spaces" / f"{slug(subject)}.npz", dataset.space.to_arrays(), compressed=True)
        for key, fit in self.fits.items():
            space, stem = self.subjects[key.subject].space, out / "voxels" / slug(*key)
            arrays = self._voxel_arrays(key, fit)
            write_npz(stem.with_name(f"{stem.name}.npz"), arrays)
            for split in fit.predictions if space.mask is not None or space.vertices is not None else ():
                place = stem if split == "test" else stem.with_name(f"{stem.name}_{slug(split)}")
                save_map(space, torch.from_numpy(arrays[f"r_{split}"]).float(), place, ["r"])
        write_csv(out / "encoding.csv", self.table)
        return out / "encoding.csv"

    def _voxel_arrays(self, key: FitKey, fit: Fit) -> dict[str, np.ndarray]:
        """What a fit's file holds, by name."""
        named = self.subjects[key.subject].space.labels()
        arrays = {name: named[name] for name in ("sensor", "time") if name in named}
        arrays |= {"selection": np.asarray(fit.selection), **fit.details}
        for split, prediction in fit.predictions.items():
            pair = torch.as_tensor(prediction), self._responses(key, split)
            arrays |= {f"r_{split}": pearson_r(*pair).numpy(), f"r2_{split}": r2(*pair).numpy()}
            ceiling = self.subjects[key.subject].ceiling_of(split)
            if ceiling is not None:
                arrays["ceiling" if split == "test" else f"ceiling_{split}"] = ceiling.numpy()
        for (tested, split, score), test in self.tests.items():
            if tested == key:
                found = {"p": test.p, "p_fdr": test.p_fdr, "p_max": test.p_max}
                arrays |= {f"{name}_{score}_{split}": values.numpy() for name, values in found.items()}
        return arrays

    def _prediction(self, key: FitKey, split: str, score: str) -> Tensor:
        if key not in self.fits:
            raise ValueError(f"{tuple(key)} was not fitted; {len(self.fits)} fits were, see `fits`.")
        predictions = self.fits[key].predictions
        for word, known, what in ((split, predictions, "split"), (score, VOXEL_SCORES, "score")):
            if word not in known:
                raise ValueError(f"no {what} {word!r} of {tuple(key)}. Known: {', '.join(known)}.")
        return torch.as_tensor(predictions[split])

    def _responses(self, key: FitKey, split: str) -> Tensor:
        dataset = self.subjects[key.subject]
        responses = dataset.responses
        if key.control == "shuffled":
            if key.subject not in self._shuffled:
                self._shuffled[key.subject] = dataset.shuffled(self.seed).responses
            responses = self._shuffled[key.subject]
        return responses[dataset.splits[split]]

    def _generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed)  # the same images are drawn for every fit

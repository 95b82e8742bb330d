"""Linear encoding of every subject from every layer of every model, scored alike: one table.

``encode`` runs a grid of jobs (model x subject x method x layer x control). Whatever is chosen (penalty, layer, window,
mix) is chosen on training images; test images are predicted once. Finished jobs are kept on disk where a folder is
given, so that an interrupted grid goes on, and jobs run in parallel through joblib, on one machine or many.
"""

from __future__ import annotations

import copy
import hashlib
import json
import logging
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from brainnet import __version__
from brainnet._checks import nearest, require
from brainnet._files import slug, write_npz
from brainnet._work import parallel
from brainnet._work import progress as show_progress
from brainnet.dataset.base import ResponseDataset
from brainnet.ridge import BandedRidgeCV, RidgeCV, StackedRegressionCV, WindowRidgeCV
from brainnet.scores import (
    SCORES,
    PairedDifference,
    VoxelTest,
    above_chance,
    bootstrap_scores,
    interval,
    normalise,
    paired_difference,
    pearson_r,
    r2,
    summarise,
)
from brainnet.store import TokenStore
from brainnet.tokens import Tokens

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

METHODS: dict[str, Callable[[], Any]] = {
    "ridge": lambda: RidgeCV(scoring="r2"),
    "banded": BandedRidgeCV,
    "stacked": StackedRegressionCV,
    "window": WindowRidgeCV,
}
CONTROLS = ("shuffled", "random")
ALL_LAYERS = "all"
BEST_LAYER = "best"
NOISE_CEILING = "noise ceiling"
_SCORES = {"r": "pearson_r", "r2": "r2"}


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


class _SavedPredictions(Mapping):
    """Predictions by split, read from a finished job's file when asked for: a grid of them would not fit in memory."""

    def __init__(self, path: Path):
        with np.load(path, allow_pickle=False) as saved:
            self._splits = [name.removeprefix("prediction_") for name in saved.files if name.startswith("prediction_")]
        self._path = path

    def __getitem__(self, split: str) -> Tensor:
        if split not in self._splits:
            raise KeyError(split)
        with np.load(self._path, allow_pickle=False) as saved:
            return torch.from_numpy(saved[f"prediction_{split}"])

    def __iter__(self) -> Iterator[str]:
        return iter(self._splits)

    def __len__(self) -> int:
        return len(self._splits)


class _Data(NamedTuple):
    """What a job needs of a dataset, light enough to send to another process."""

    responses: Tensor
    splits: Mapping[str, Tensor]
    image_ids: Sequence[str]


class Encoding:
    """Fits of a grid of jobs, their scores as one table, and what can be asked of them.

    Attributes:
        fits: :class:`FitKey` -> :class:`Fit`.
        table: a tidy DataFrame, one row per fit, split, ROI and score: ``model, subject, method, layer, chosen_layer,
            control, split, roi, score, mean, lower, upper, median, n_voxels, n_excluded, ceiling, normalised,
            n_under_floor``. ``lower`` and ``upper`` are the 95 % bootstrap interval of the mean over images;
            ``ceiling`` is the mean noise ceiling on the row's scale, ``normalised`` the mean of score over ceiling. A
            "best" row repeats the layer that ``chosen_layer`` names. Subjects whose noise ceiling is known have rows
            of the method "noise ceiling", without model and layer: what a perfect model would score.
        tests: (key, split, score) -> what :meth:`significance` found so far; :meth:`save` writes it too.
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
        self._rows = [row for subject in self.subjects for row in self._ceiling_rows(subject)]
        self._shuffled: dict[str, Tensor] = {}

    @property
    def table(self) -> pd.DataFrame:
        """All rows so far."""
        pandas = require("pandas", needed_by="the table of encode")
        return pandas.DataFrame(self._rows)

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
            self._rows += self._score(key, split, torch.as_tensor(prediction), chosen_layer)
        self.fits[key] = fit

    def _ceiling_rows(self, subject: str) -> Iterator[dict[str, Any]]:
        """What a perfect model would score on images that are predicted, where that is known."""
        dataset = self.subjects[subject]
        key = FitKey("", subject, NOISE_CEILING, "")
        known = {split: dataset.ceiling_of(split) for split, rows in dataset.splits.items() if len(rows)}
        known = {split: ceiling.double() for split, ceiling in known.items() if ceiling is not None}
        kinds = [(split, *kind) for split, c in known.items() for kind in (("r", c), ("r2", c.square()))]
        for split, name, values in kinds:
            floor = self.floor if name == "r" else self.floor**2
            for roi, mask in self.regions(subject).items():
                mean, median, n, n_excluded = summarise(values[mask])
                yield (
                    {**key._asdict(), "chosen_layer": "", "split": split, "roi": roi, "score": name}
                    | {"mean": mean, "lower": torch.nan, "upper": torch.nan, "median": median, "n_voxels": n}
                    | {"n_excluded": n_excluded, "ceiling": mean, "normalised": torch.nan}
                    | {"n_under_floor": int((values[mask] < floor).sum())}
                )

    def regions(self, subject: str) -> dict[str, Tensor]:
        """ROI -> (n_voxels,) bool; the first one is "all"."""
        dataset = self.subjects[subject]
        return {"all": torch.ones(dataset.n_voxels, dtype=torch.bool), **dataset.space.rois}

    def _score(self, key: FitKey, split: str, prediction: Tensor, chosen_layer: str) -> list[dict[str, Any]]:
        dataset = self.subjects[key.subject]
        response = self._responses(key, split)
        regions = self.regions(key.subject)
        masks = torch.stack(list(regions.values()))
        rows = []
        for name, function in (("r", pearson_r), ("r2", r2)):
            score = function(prediction, response)
            samples = bootstrap_scores(
                prediction, response, _SCORES[name], self.n_resamples, masks, generator=self._generator()
            )
            ceiling = None if key.control == "shuffled" else dataset.ceiling_of(split)
            ceiling = torch.full_like(score, torch.nan) if ceiling is None else ceiling.double()
            ceiling = ceiling if name == "r" else ceiling.square()
            share = normalise(score, ceiling, self.floor if name == "r" else self.floor**2).values
            for roi, mask, sample in zip(regions, masks, samples.T, strict=True):
                mean, median, n, n_excluded = summarise(score[mask])
                _, lower, upper = interval(mean, sample) if n else (mean, torch.nan, torch.nan)
                rows.append(
                    {**key._asdict(), "chosen_layer": chosen_layer, "split": split, "roi": roi, "score": name}
                    | {"mean": mean, "lower": lower, "upper": upper, "median": median, "n_voxels": n}
                    | {"n_excluded": n_excluded, "ceiling": summarise(ceiling[mask]).mean}
                    | {"normalised": summarise(share[mask]).mean}
                    | {"n_under_floor": int((ceiling[mask] < (self.floor if name == "r" else self.floor**2)).sum())}
                )
        return rows

    def difference(
        self, a: FitKey, b: FitKey, split: str = "test", score: str = "r", n_resamples: int | None = None
    ) -> PairedDifference:
        """Fit a minus fit b on the same images: per voxel with FDR and max-stat, and the mean with its interval."""
        if a.subject != b.subject or a.control == "shuffled" or b.control == "shuffled":
            raise ValueError("a paired difference needs two fits to the same responses of one subject.")
        return paired_difference(
            *(self._prediction(key, split, score) for key in (a, b)),
            self._responses(a, split),
            _SCORES[score],
            n_resamples or self.n_resamples,
            generator=self._generator(),
        )

    def significance(self, key: FitKey, split: str = "test", score: str = "r", n_permutations: int = 1000) -> VoxelTest:
        """Whether each voxel scores above chance, see :func:`brainnet.scores.above_chance`."""
        prediction = self._prediction(key, split, score)
        response = self._responses(key, split)
        test = above_chance(prediction, response, _SCORES[score], n_permutations, generator=self._generator())
        self.tests[key, split, score] = test
        return test

    def voxel_scores(self, key: FitKey, split: str = "test", score: str = "r") -> Tensor:
        """(n_voxels,) float64 scores of a fit."""
        prediction = self._prediction(key, split, score)
        return SCORES[_SCORES[score]](prediction, self._responses(key, split))

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

    def headline(self, subject: str | None = None) -> list[FitKey]:
        """The fits that speak for a method: the layer best on training images, or the one fit that reads all layers.

        They come in the order in which subjects, models, controls and methods were given.
        """
        order = {(key.subject, key.model, key.control, key.method): None for key in self.fits}
        fits = {(k.subject, k.model, k.control, k.method): k for k in self.fits if k.layer in (BEST_LAYER, ALL_LAYERS)}
        return [fits[name] for name in order if name in fits and subject in (None, name[0])]

    def save(self, out: str | Path) -> Path:
        """Writes ``encoding.csv`` and per fit ``voxels/<fit>.npz``, for surfaces and volumes also maps of r.

        Each npz holds r, r2, ceiling, the training score, the details of the fit and the tests made of it, one entry
        per voxel. Maps are NIfTI, or one GIfTI per hemisphere; of splits other than test they carry its name.
        """
        out = Path(out)
        (out / "voxels").mkdir(parents=True, exist_ok=True)
        self.table.to_csv(out / "encoding.csv", index=False)
        for key, fit in self.fits.items():
            dataset = self.subjects[key.subject]
            arrays = {"selection": np.asarray(fit.selection), **fit.details}
            for split, prediction in fit.predictions.items():
                pair = torch.as_tensor(prediction), self._responses(key, split)
                arrays |= {f"r_{split}": pearson_r(*pair).numpy(), f"r2_{split}": r2(*pair).numpy()}
                ceiling = dataset.ceiling_of(split)
                if ceiling is not None:
                    arrays["noise_ceiling" if split == "test" else f"noise_ceiling_{split}"] = ceiling.numpy()
            for (tested, split, score), test in self.tests.items():
                if tested == key:
                    found = {"p": test.p, "p_fdr": test.p_fdr, "p_max": test.p_max}
                    arrays |= {f"{name}_{score}_{split}": values.numpy() for name, values in found.items()}
            stem = out / "voxels" / slug(*key)
            write_npz(stem.with_name(f"{stem.name}.npz"), arrays)
            for split in fit.predictions:
                place = stem if split == "test" else stem.with_name(f"{stem.name}_{split}")
                write_map(torch.from_numpy(arrays[f"r_{split}"]), dataset.space, place)
        return out / "encoding.csv"

    def _prediction(self, key: FitKey, split: str, score: str) -> Tensor:
        if key not in self.fits:
            raise ValueError(f"{tuple(key)} was not fitted; {len(self.fits)} fits were, see `fits`.")
        predictions = self.fits[key].predictions
        for word, known, what in ((split, predictions, "split"), (score, _SCORES, "score")):
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


def encode(
    features: Any,
    responses: ResponseDataset | Mapping[str, ResponseDataset],
    *,
    methods: Sequence[str] | Mapping[str, Any] = ("ridge",),
    layers: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
    pool: str = "flatten",
    controls: Sequence[str] = (),
    twins: Mapping[str, Any] | None = None,
    train: Sequence[str] = ("train", "val"),
    out: str | Path | None = None,
    n_jobs: int | None = None,
    n_resamples: int = 1000,
    seed: int = 0,
    progress: bool = True,
) -> Encoding:
    """Fits every model, subject, method and layer, and scores them on the images not trained on.

    Args:
        features: a model's features, or model name -> features. Features are a :class:`TokenStore`; or layer ->
            (n_images, n_features), with rows as the responses and, to have that checked, their "image_ids"; or a
            function of the subject's name that gives either.
        responses: a dataset, or subject name -> dataset.
        methods: names among ``METHODS``, or name -> estimator. :class:`WindowRidgeCV` reads token maps of all layers,
            :class:`BandedRidgeCV` and :class:`StackedRegressionCV` features of all layers, any other one layer.
        layers: a choice of layers, for all models or model name -> choice; None takes all.
        pool: how a store's tokens become features, see :meth:`Tokens.features`.
        controls: "shuffled" (responses permuted per voxel: its true score is zero) and "random" (needs ``twins``).
        twins: model name -> features of the same network with random weights, as ``features``.
        train: splits to fit on together. All other splits are predicted, out-of-distribution ones too.
        out: folder that keeps finished jobs, and their predictions out of memory. The same call goes on where it
            stopped; jobs whose data or settings have changed are run again.
        n_jobs: processes; None is what ``joblib.parallel_config`` says, else 1. On more than one machine (dask, ray)
            all must see the folder ``out``, and the files of token stores, under one path:

                with dask.distributed.Client(address), joblib.parallel_config("dask"):
                    encode(features, responses, out=folder)
        n_resamples: bootstrap resamples of the images.
        seed: of control and bootstrap.
        progress: whether a bar shows on a terminal.

    Raises:
        ValueError: features and responses are of different images (names the first that differ), an unknown method,
            control or layer, or nothing to train or test on.

    >>> from brainnet.space import BrainSpace
    >>> layers = dict(zip(("early", "late"), torch.randn(2, 60, 4, generator=torch.Generator().manual_seed(0))))
    >>> ids, splits = [str(i) for i in range(60)], {"train": range(40), "test": range(40, 60)}
    >>> subject = ResponseDataset(ids, layers["late"][:, :3] + 0.1, BrainSpace.free(3), splits)
    >>> table = encode(layers, subject, n_resamples=20).table
    >>> table[(table.layer == "best") & (table.score == "r")].chosen_layer.item()
    'late'
    """
    subjects = dict(responses) if isinstance(responses, Mapping) else {"subject": responses}
    models = features if _is_named(features) else {"model": features}
    if not subjects or not models:
        raise ValueError(f"nothing to fit: {len(models)} models and {len(subjects)} subjects.")
    estimators = find_estimators(methods)
    controls = (controls,) if isinstance(controls, str) else controls
    unknown = set(controls) - set(CONTROLS)
    if unknown or ("random" in controls and not twins):
        raise ValueError(
            f"controls are among {', '.join(CONTROLS)}, and 'random' needs twins={{model: features of the network with "
            f"random weights}}; got {controls!r}."
        )
    _check_names(models, layers, twins if "random" in controls else None)
    encoding = Encoding(subjects, n_resamples=n_resamples, seed=seed)  # refuses what it cannot score, before any fit
    jobs = []
    for subject, dataset in subjects.items():
        rows = _training_rows(dataset, train, subject)
        sources = [(name, source, "") for name, source in models.items()]
        sources += [(name, source, "shuffled") for name, source in models.items() if "shuffled" in controls]
        sources += [(name, source, "random") for name, source in (twins or {}).items() if "random" in controls]
        for model, source, control in sources:
            source = source(subject) if callable(source) else source
            wanted = layers.get(model) if isinstance(layers, Mapping) else layers
            known = _check_images(source, dataset, model, subject, wanted)
            shown = dataset.shuffled(seed) if control == "shuffled" else dataset
            data = _Data(shown.responses, shown.splits, shown.image_ids)
            for method, estimator in estimators.items():
                for layer in [ALL_LAYERS] if _reads_all_layers(estimator) else known:
                    chosen = known if layer == ALL_LAYERS else [layer]
                    key = FitKey(model, subject, method, layer, control)
                    jobs.append((key, source, data, estimator, chosen, pool, rows, train))
    folder = None if out is None else Path(out).resolve() / "jobs"  # a worker may stand in another folder
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)

    joblib = require("joblib", needed_by="encode")
    run = joblib.delayed(_run)
    finished = parallel(n_jobs)(run(folder, *job) for job in jobs)
    for (key, *_), fit in zip(jobs, show_progress(finished, "encode", len(jobs), progress), strict=True):
        encoding.add(key, fit)
    _add_best_layers(encoding)
    return encoding


def _add_best_layers(encoding: Encoding) -> None:
    """For each model and subject the layer whose mean training score is best, as a fit of its own; if there are any."""
    groups: dict[FitKey, dict[str, Fit]] = {}
    for key, fit in encoding.fits.items():
        if key.layer != ALL_LAYERS:
            groups.setdefault(key._replace(layer=BEST_LAYER), {})[key.layer] = fit
    for key, fits in groups.items():
        if all(fit.selection.isnan().all() for fit in fits.values()) and len(fits) > 1:
            continue  # an estimator without cross-validation: nothing to choose a layer by
        means = {layer: summarise(fit.selection).mean for layer, fit in fits.items()}
        best = max(means, key=lambda layer: means[layer] if means[layer] == means[layer] else -np.inf)
        encoding.add(key, fits[best], chosen_layer=best)


def _run(folder: Path | None, key: FitKey, source, data: _Data, estimator, layers, pool, rows, train) -> Fit:
    """One job, from disk where it is finished there already."""
    path = None if folder is None else folder / f"{slug(*key)}.npz"
    if path is not None:
        card = json.dumps(_card(key, source, data, estimator, layers, pool, train), sort_keys=True)
        if _saved_card(path) == card:
            return _read_fit(path)
    estimator = copy.deepcopy(estimator)
    estimator.fit(_read(source, estimator, layers, pool, rows), data.responses[rows])
    predictions, selection, details = {}, *_training_score(estimator, data.responses.shape[1])
    for split, index in data.splits.items():
        if split not in train and len(index):
            read = _read(source, estimator, layers, pool, index)
            predictions[split] = torch.as_tensor(estimator.predict(read)).float().cpu()
            if isinstance(estimator, BandedRidgeCV):
                shares = estimator.score_split(read, data.responses[index])
                details |= {"spaces": np.array(layers), f"r2_split_{split}": np.stack([shares[k] for k in layers])}
    fit = Fit(predictions, selection, details)
    if path is not None:
        arrays = {f"prediction_{split}": part.numpy() for split, part in predictions.items()}
        details = {f"detail_{name}": value for name, value in fit.details.items()}
        write_npz(path, {"card": np.array(card), "selection": fit.selection.numpy(), **arrays, **details})
        return _read_fit(path)
    return fit


def _saved_card(path: Path) -> str | None:
    """What the job in a file was made from; None where there is no whole file."""
    try:
        with np.load(path, allow_pickle=False) as saved:
            return str(saved["card"])
    except FileNotFoundError:
        return None
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError):
        log.warning("%s is no whole job: it is run again", path)
        return None


def _read(source: Any, estimator: Any, layers: Sequence[str], pool: str, index: Tensor) -> Any:
    """What the estimator reads of some images: tokens of all layers, features by layer, or of one layer."""
    if isinstance(estimator, WindowRidgeCV):
        if not isinstance(source, TokenStore):
            raise ValueError("window ridge reads token maps: give it a TokenStore, not features.")

        def batches():
            for local, global_ in source.batches(index):
                yield Tokens({k: local[k] for k in layers}, {k: global_[k] for k in layers})

        return batches
    if isinstance(source, TokenStore):
        read = {layer: source.features(layer, pool, index) for layer in layers}
    else:
        read = {layer: torch.as_tensor(np.asarray(source[layer][index.numpy()])) for layer in layers}
    return read if _reads_all_layers(estimator) else read[layers[0]]


def _training_score(estimator: Any, n_voxels: int) -> tuple[Tensor, dict[str, np.ndarray]]:
    """What an estimator's own cross-validation gave per voxel, and its arrays of one entry per voxel."""
    if isinstance(estimator, WindowRidgeCV):
        selection = estimator.loo_scores_
    elif isinstance(estimator, StackedRegressionCV):
        selection = (torch.as_tensor(estimator.weights_) * torch.as_tensor(estimator.r2_)).sum(0)
    elif getattr(estimator, "cv_scores_", None) is not None:
        selection = torch.as_tensor(estimator.cv_scores_).max(0).values
    else:
        selection = torch.full((n_voxels,), torch.nan)
    details = {}
    for name in ("best_alphas_", "position_", "width_", "shares_", "weights_", "best_settings_"):
        if hasattr(estimator, name):
            details[name.rstrip("_")] = torch.as_tensor(getattr(estimator, name)).cpu().numpy()
    return torch.as_tensor(selection).double().cpu(), details


def find_estimators(methods: Sequence[str] | Mapping[str, Any]) -> dict[str, Any]:
    """Name -> estimator of the methods that :func:`encode` was asked for.

    >>> find_estimators(["rigde"])
    Traceback (most recent call last):
    ValueError: Unknown method 'rigde'. Did you mean 'ridge'? Known: ridge, banded, stacked, window.
    """
    if isinstance(methods, str):
        methods = (methods,)
    if isinstance(methods, Mapping) and methods:
        for name, estimator in methods.items():
            if not (hasattr(estimator, "fit") and hasattr(estimator, "predict")):
                raise TypeError(f"method {name!r} must be an estimator with fit and predict, got {estimator!r}.")
        return dict(methods)
    unknown = [name for name in methods if name not in METHODS]
    if unknown or not methods:
        close = nearest(unknown[0], METHODS) if unknown else None
        given = f"Unknown method {unknown[0]!r}." if unknown else "No method was named."
        raise ValueError(f"{given}{f' Did you mean {close!r}?' if close else ''} Known: {', '.join(METHODS)}.")
    return {name: METHODS[name]() for name in methods}


def _reads_all_layers(estimator: Any) -> bool:
    return isinstance(estimator, WindowRidgeCV | BandedRidgeCV | StackedRegressionCV)


def _is_named(features: Any) -> bool:
    """Whether a mapping is model -> features rather than layer -> array."""
    return isinstance(features, Mapping) and any(
        isinstance(value, TokenStore | Mapping) or callable(value) for value in features.values()
    )


def _check_names(models: Mapping[str, Any], layers: Any, twins: Mapping[str, Any] | None) -> None:
    """Refuses names of no model, and twins that are no twins."""
    for given, what in ((layers if isinstance(layers, Mapping) else {}, "layers"), (twins or {}, "twins")):
        unknown = [name for name in given if name not in models]
        if unknown:
            raise ValueError(f"{what} names {unknown[0]!r}, which is no model here. Known: {', '.join(models)}.")
    for name, twin in (twins or {}).items():
        same = getattr(twin, "fingerprint", None) and twin.fingerprint == getattr(models[name], "fingerprint", None)
        if twin is models[name] or same:
            raise ValueError(f"the random twin of {name!r} has the features of {name!r} itself: it is no control.")


def _training_rows(dataset: ResponseDataset, train: Sequence[str], subject: str) -> Tensor:
    unknown = [name for name in train if name not in dataset.splits]
    if isinstance(train, str) or unknown or len(set(train)) < len(train):
        raise ValueError(
            f"train names splits of {subject}, each once, in a list; got {train!r}. Known: {', '.join(dataset.splits)}."
        )
    if not dataset.usable.any():
        raise ValueError(f"no voxel of {subject} can be scored: all {dataset.n_voxels} hold NaN or never change.")
    rows = [dataset.splits[name] for name in train]
    rows = torch.cat(rows) if rows else torch.empty(0, dtype=torch.long)
    tested = [name for name, index in dataset.splits.items() if name not in train and len(index)]
    lone = [name for name in tested if len(dataset.splits[name]) < 2]
    if lone:
        raise ValueError(f"split {lone[0]!r} of {subject} has one image; a score across images needs at least 2.")
    if len(rows) < 2 or not tested:
        raise ValueError(
            f"{subject} has {len(rows)} images in splits {list(train)} to train on, and {tested} to test on."
        )
    return rows


def _check_images(source: Any, dataset: ResponseDataset, model: str, subject: str, layers: Sequence[str] | None):
    """The layers to fit, once the features are of the dataset's images."""
    available = list(source.layers) if isinstance(source, TokenStore) else [k for k in source if k != "image_ids"]
    layers = (layers,) if isinstance(layers, str) else layers
    unknown = [layer for layer in layers or () if layer not in available]
    if unknown:
        raise ValueError(f"{model} has no layers {unknown}. Known: {', '.join(available)}")
    reserved = [layer for layer in available if layer in (ALL_LAYERS, BEST_LAYER, "")]
    if reserved:
        raise ValueError(f"{model} has a layer {reserved[0]!r}, which means something else in the table: rename it.")
    ids = source.image_ids if isinstance(source, TokenStore) else source.get("image_ids")
    if ids is not None and list(ids) != dataset.image_ids:
        pairs = zip(ids, dataset.image_ids, strict=False)
        place = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(ids), len(dataset.image_ids)))
        ours, theirs = (list(x)[place : place + 1] or ["nothing"] for x in (ids, dataset.image_ids))
        raise ValueError(
            f"features of {model} and responses of {subject} are of different images: row {place} is {ours[0]!r} there "
            f"and {theirs[0]!r} here ({len(ids)} and {len(dataset.image_ids)} images)."
        )
    chosen = available if layers is None else list(dict.fromkeys(layers))
    if not chosen:
        raise ValueError(f"{model} has no layers to fit: {'none was named' if available else 'it is empty'}.")
    for layer in [] if isinstance(source, TokenStore) else chosen:
        if len(source[layer]) != len(dataset):
            raise ValueError(
                f"{model}, layer {layer!r}: {len(source[layer])} rows of features, {len(dataset)} images of {subject}."
            )
    return chosen


def _card(key: FitKey, source, data: _Data, estimator, layers, pool, train) -> dict[str, Any]:
    """Everything a finished job depends on."""
    if isinstance(source, TokenStore):
        features: Any = dict(source.fingerprint)
        if "images" not in features or "transform" in features or features.get("weights", "unknown") == "unknown":
            features["tokens"] = {layer: _digest_rows(lambda rows, k=layer: source.features(k, "flatten", rows),
                                                      len(source)) for layer in layers}  # fmt: skip
    else:
        features = {k: [list(source[k].shape), _digest_rows(source[k].__getitem__, len(source[k]))] for k in layers}
    parameters = estimator.get_params() if hasattr(estimator, "get_params") else vars(estimator)
    return {
        "fit": list(key),
        "features": features,
        "layers": list(layers),
        "pool": pool,
        "responses": _digest(data.responses.numpy()),
        "images": _digest(np.array(data.image_ids)),
        "splits": {name: _digest(index.numpy()) for name, index in data.splits.items()},
        "train": list(train),
        "estimator": [type(estimator).__name__, {k: _described(v) for k, v in parameters.items()}],
        "version": __version__,
    }


def _read_fit(path: Path) -> Fit:
    with np.load(path, allow_pickle=False) as saved:
        details = {name.removeprefix("detail_"): saved[name] for name in saved.files if name.startswith("detail_")}
        return Fit(_SavedPredictions(path), torch.from_numpy(saved["selection"]), details)


def write_map(values: Tensor, space: Any, stem: Path) -> None:
    """One value per voxel as NIfTI, or as one GIfTI per hemisphere; nothing for units that have no place."""
    nibabel = require("nibabel", needed_by="maps of encode")
    if space.mask is not None:
        nibabel.save(space.to_volume(values.float()), f"{stem}.nii.gz")
    elif space.vertices is not None:
        for side, half in zip("LR", space.to_surface(values.float()).chunk(2), strict=True):
            array = nibabel.gifti.GiftiDataArray(
                half.numpy(), intent="NIFTI_INTENT_NONE", datatype="NIFTI_TYPE_FLOAT32"
            )
            nibabel.save(nibabel.gifti.GiftiImage(darrays=[array]), f"{stem}.{side}.func.gii")


def _digest_rows(read: Callable[[slice], Any], n: int) -> str:
    """Digest of all rows of features, some at a time: a sample of them would miss a change in the others."""
    digest = hashlib.sha256()
    for start in range(0, n, 256):
        rows = np.ascontiguousarray(np.asarray(read(slice(start, start + 256))))
        digest.update(f"{rows.dtype} {rows.shape}".encode() + rows.tobytes())
    return digest.hexdigest()[:16]


def _described(value: Any) -> str:
    """A text for an estimator's parameter; numbers of an array are hashed, as its repr leaves most of them out."""
    if isinstance(value, np.ndarray | Tensor):
        array = value.detach().cpu().numpy() if isinstance(value, Tensor) else value
        return f"array {array.shape} {array.dtype} {_digest(array)}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_described, value))}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{name!r}: {_described(item)}' for name, item in value.items())}}}"
    return repr(value)


def _digest(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]

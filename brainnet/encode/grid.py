"""Linear encoding of every subject from every layer of every model, scored alike: the grid of jobs.

``encode`` runs a grid of jobs (model x subject x method x layer x control). Whatever is chosen (penalty, layer, window,
mix) is chosen on training images; test images are predicted once. Finished jobs are kept on disk where a folder is
given, so that an interrupted grid goes on, and jobs run in parallel through joblib, on one machine or many.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from brainnet._checks import check_word
from brainnet._work import parallel, says_progress
from brainnet._work import progress as show_progress
from brainnet.dataset.base import ResponseDataset
from brainnet.encode.jobs import Job, Shown, make_portable
from brainnet.encode.methods import find_estimators
from brainnet.encode.reading import parts_of, reads_of, reads_tokens
from brainnet.encode.table import ALL_LAYERS, BEST_LAYER, Encoding, Fit, FitKey
from brainnet.ridge import RidgeCV
from brainnet.store import TokenStore

CONTROLS = ("shuffled", "random")
Features = TokenStore | Mapping[str, Any]


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
    groups: Any = None,
    cv: Any = None,
    alphas: Sequence[float] | None = None,
    weights: Callable[[str, str], Mapping[str, Any]] | None = None,
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
        methods: names among ``METHODS``, "FILE.py:NAME" of one's own, or name -> estimator. An estimator says by its
            attribute ``reads`` whether it is given features of one layer ("features", as where it says nothing),
            features of all layers ("spaces"), or token maps of all layers ("tokens").
        layers: a choice of layers, for all models or model name -> choice; None takes all.
        pool: how a store's tokens become features, see :meth:`Tokens.features`.
        controls: "shuffled" (responses permuted per voxel: its true score is zero) and "random" (needs ``twins``).
        twins: model name -> features of the same network with random weights, as ``features``.
        train: splits to fit on together. All other splits are predicted, out-of-distribution ones too.
        groups: (n_images,) labels of the images, for instance their runs, or subject -> labels: every choice within the
            training images then leaves one group out. "dataset" takes the labels that each data set has of its own.
        cv: how methods part the training images to choose a penalty, see :class:`brainnet.ridge.RidgeCV`; None leaves
            that to each method, or is "groups" where there are groups.
        alphas: penalties to choose from, in the units of each method; given to the methods that have such a parameter.
            None leaves them to each method.
        weights: keep the weights of every fit but controls in the folder ``weights`` in ``out``, for
            :func:`brainnet.encode.predict_with`. A function of the names of model and subject, of what is to be known
            of the features, such as the network they come from. None keeps no weights.
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
            control or layer, nothing to train or test on, a method that cannot leave groups out or reads token maps
            where there are none, ``alphas`` that no method takes, or ``weights`` without ``out``.

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
    estimators = find_estimators(methods, "groups" if cv is None and groups is not None else cv)
    estimators = estimators if alphas is None else with_alphas(estimators, alphas)
    if weights is not None and out is None:
        raise ValueError("weights are kept in files: give out=.")
    controls = (controls,) if isinstance(controls, str) else controls
    _check_controls(controls, twins)
    _check_names(models, layers, twins if "random" in controls else None)
    encoding = Encoding(subjects, n_resamples=n_resamples, seed=seed)  # refuses what it cannot score, before any fit
    jobs: list[Job] = []
    for subject, dataset in subjects.items():
        _check_training(dataset, train, subject)
        labels = _groups_of(groups, subject, dataset, train)
        for model, source, control in _sources(models, twins, controls, subject):
            wanted = layers.get(model) if isinstance(layers, Mapping) else layers
            known = _check_images(source, dataset, model, subject, wanted)
            shown = dataset.shuffled(seed) if control == "shuffled" else dataset
            data = Shown(shown.responses, shown.splits, shown.image_ids)
            for method, estimator in estimators.items():
                one_by_one = reads_of(estimator) == "features"
                if reads_tokens(estimator) and not isinstance(source, TokenStore):
                    raise ValueError(f"the method {method!r} reads token maps: give it a TokenStore, not features.")
                described = None if weights is None or control else weights(model, subject)
                for layer in known if one_by_one else [ALL_LAYERS]:
                    key = FitKey(model, subject, method, layer, control)
                    read = (layer,) if one_by_one else tuple(known)
                    jobs.append(Job(key, source, data, estimator, read, pool, tuple(train), labels, described))
    finished = _finished(jobs, None if out is None else Path(out).resolve() / "jobs", n_jobs)
    for job, fit in zip(jobs, show_progress(finished, "encode", len(jobs), progress), strict=True):
        encoding.add(job.key, fit)
    encoding.add_best_layers()
    return encoding


def _finished(jobs: Sequence[Job], folder: Path | None, n_jobs: int | None) -> Iterator[Fit]:
    """The fits of all jobs, in order; kept in ``folder``, a full path: a worker may stand in another folder."""
    import joblib

    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    for job in jobs:
        make_portable(job.estimator)
    return parallel(n_jobs)(joblib.delayed(Job.run)(job, folder) for job in jobs)


def with_alphas(estimators: Mapping[str, Any], alphas: Sequence[float]) -> dict[str, Any]:
    """Name -> estimator, each that takes penalties with these; of others a line says that they keep their own.

    Raises:
        ValueError: none of them takes penalties.
    """
    found = {name: _with_alphas(estimator, alphas) for name, estimator in estimators.items()}
    without = [name for name, estimator in found.items() if estimator is None]
    if len(without) == len(found):
        raise ValueError(f"alphas are of no use: {', '.join(without)} has no parameter alphas.")
    if without:
        says_progress.info("%s has no parameter alphas and keeps its own penalties.", ", ".join(without))
    return {name: estimators[name] if estimator is None else estimator for name, estimator in found.items()}


def _with_alphas(estimator: Any, alphas: Sequence[float]) -> Any:
    """A copy of an estimator with these penalties, or with parts that have them; None where it takes none."""
    parameters = estimator.get_params(deep=False) if hasattr(estimator, "get_params") else vars(estimator)
    estimator = copy.deepcopy(estimator)
    if "alphas" in parameters:
        estimator.alphas = tuple(alphas)
        return estimator
    if parts_of(estimator):  # a mix of methods
        found = {name: _with_alphas(part, alphas) for name, part in parts_of(estimator).items()}
        estimator.methods = {name: estimator.methods[name] if p is None else p for name, p in found.items()}
        return None if all(part is None for part in found.values()) else estimator
    if "estimator" in parameters:  # fitted to each space
        part = _with_alphas(RidgeCV() if estimator.estimator is None else estimator.estimator, alphas)
        estimator.estimator = part
        return None if part is None else estimator
    return None


def _sources(
    models: Mapping[str, Any], twins: Mapping[str, Any] | None, controls: Sequence[str], subject: str
) -> Iterator[tuple[str, Features, str]]:
    """(model, features, control) for one subject, in the order of the table."""
    named = [(name, source, "") for name, source in models.items()]
    named += [(name, source, "shuffled") for name, source in models.items() if "shuffled" in controls]
    named += [(name, source, "random") for name, source in (twins or {}).items() if "random" in controls]
    for name, source, control in named:
        yield name, source(subject) if callable(source) else source, control


OF_THE_DATASET = "dataset"  # in place of groups: those that a data set has


def _groups_of(groups: Any, subject: str, dataset: ResponseDataset, train: Sequence[str]) -> np.ndarray | None:
    """The labels of one subject's images, as text or numbers, once there is one for each image."""
    labels = groups.get(subject) if isinstance(groups, Mapping) else groups
    if isinstance(labels, str):
        check_word("groups", labels, (OF_THE_DATASET,))
        labels = dataset.groups
        if labels is None:
            raise ValueError(
                f"the data of {subject} have no runs or sessions of their own: give groups, a label for each image."
            )
    if labels is None:
        return None
    labels = np.asarray(labels)
    if labels.shape != (len(dataset),):
        raise ValueError(
            f"groups must hold one label for each of the {len(dataset)} images of {subject}, got {labels.shape}."
        )
    fitted = labels[torch.cat([dataset.splits[name] for name in train]).numpy()]
    names, counts = np.unique(fitted, return_counts=True)
    if len(names) > 1 and counts.min() < 2:
        raise ValueError(
            f"one training image of {subject} is alone in its group, {str(names[counts.argmin()])!r}, and a score over "
            "images needs two: give larger groups, or a number of folds as cv."
        )
    if len(names) < 2:
        raise ValueError(f"the training images of {subject} are all of one group; leaving one out needs two or more.")
    return labels


def _is_named(features: Any) -> bool:
    """Whether a mapping is model -> features rather than layer -> array."""
    return isinstance(features, Mapping) and any(
        isinstance(value, TokenStore | Mapping) or callable(value) for value in features.values()
    )


def _check_controls(controls: Sequence[str], twins: Mapping[str, Any] | None) -> None:
    unknown = set(controls) - set(CONTROLS)
    if unknown or ("random" in controls and not twins):
        raise ValueError(
            f"controls are among {', '.join(CONTROLS)}, and 'random' needs twins={{model: features of the network with "
            f"random weights}}; got {controls!r}."
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


def _check_training(dataset: ResponseDataset, train: Sequence[str], subject: str) -> None:
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


def _check_images(
    source: Features, dataset: ResponseDataset, model: str, subject: str, layers: Sequence[str] | None
) -> list[str]:
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

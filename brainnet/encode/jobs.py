"""One fit of a grid: what it is made from, how it is made, and how it is kept.

A finished job is a sealed file: it carries its identity (data, features, splits, estimator) and a checksum. A file that
is damaged, of another job or of other data is never believed: the job is run again.
"""

from __future__ import annotations

import copy
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from brainnet import __version__
from brainnet._files import array_digest, file_digest, read_sealed, sha256, slug, write_sealed
from brainnet.encode.reading import Reading, reads_of
from brainnet.encode.table import Fit, FitKey
from brainnet.encode.weights import weights_of
from brainnet.store import TokenStore

_ROWS_AT_ONCE = 256


class Shown(NamedTuple):
    """What a job needs of a data set, light enough to send to another process."""

    responses: Tensor
    splits: Mapping[str, Tensor]
    image_ids: Sequence[str]


@dataclass(frozen=True, eq=False)
class Job:
    """One fit.

    Args:
        key: its names.
        source: a :class:`TokenStore`, or layer -> (n_images, n_features).
        data: responses, splits and ids of the images.
        estimator: not fitted; a copy of it is.
        layers: those it reads, one for an estimator of features.
        pool: how a store's tokens become features.
        train: names of the splits to fit on.
        groups: a label per image, or None.
        described: where the features come from, kept with the weights of the fit; None keeps no weights.
    """

    key: FitKey
    source: TokenStore | Mapping[str, Any]
    data: Shown
    estimator: Any
    layers: tuple[str, ...]
    pool: str
    train: tuple[str, ...]
    groups: np.ndarray | None = None
    described: Mapping[str, Any] | None = None

    def run(self, folder: Path | None = None) -> Fit:
        """The fit, from its file in ``folder`` where it is finished there already.

        Weights are put into the folder ``weights`` beside it; of a method that gives none, a file without arrays.
        """
        if folder is None:
            return self._fit()[0]
        path, identity = folder / f"{slug(*self.key)}.npz", self.identity()
        arrays = read_sealed(path, identity)
        kept = weights_file(folder.parent, self.key)
        about = None if self.described is None else {**identity, "network": dict(self.described)}
        if arrays is None or (about is not None and read_sealed(kept, about) is None):
            fit, weights = self._fit()
            if about is not None:
                kept.parent.mkdir(exist_ok=True)
                write_sealed(kept, about, weights or {})
            arrays = {f"prediction_{split}": part.numpy() for split, part in fit.predictions.items()}
            arrays |= {f"detail_{name}": np.asarray(value) for name, value in fit.details.items()}
            arrays["selection"] = fit.selection.numpy()
            write_sealed(path, identity, arrays)
        parts = {name.partition("_")[2]: array for name, array in arrays.items() if name.startswith("detail_")}
        splits = [name.partition("_")[2] for name in arrays if name.startswith("prediction_")]
        return Fit(KeptPredictions(path, identity, splits), torch.from_numpy(arrays["selection"]), parts)

    def identity(self) -> dict[str, Any]:
        """Everything the fit depends on."""
        return {
            "fit": list(self.key),
            "features": self._features_identity(),
            "layers": list(self.layers),
            "pool": self.pool,
            "responses": array_digest(self.data.responses),
            "images": sha256(*(f"{len(name)} {name} " for name in self.data.image_ids)),
            "splits": {name: array_digest(index) for name, index in self.data.splits.items()},
            "train": list(self.train),
            "groups": None if self.groups is None else sha256(*(f"{label!r} " for label in self.groups.tolist())),
            "estimator": _estimator_identity(self.estimator),
            "version": __version__,
        }

    def _features_identity(self) -> dict[str, Any]:
        source = self.source
        if not isinstance(source, TokenStore):
            return {name: _digest_rows(source[name].__getitem__, len(source[name])) for name in self.layers}
        known: dict[str, Any] = dict(source.fingerprint)
        if "images" not in known or "transform" in known or known.get("weights", "unknown") == "unknown":
            known["tokens"] = {
                layer: _digest_rows(lambda rows, k=layer: source.features(k, "flatten", rows), len(source))
                for layer in self.layers
            }
        return known

    def _fit(self) -> tuple[Fit, dict[str, np.ndarray] | None]:
        """The fit, and where they are asked for and it has some, its weights."""
        rows = torch.cat([self.data.splits[name] for name in self.train])
        estimator = copy.deepcopy(self.estimator)
        groups = {} if self.groups is None else {"groups": self.groups[rows.numpy()]}
        read = self._read(rows)
        estimator.fit(read, self.data.responses[rows], **groups)
        weights = None if self.described is None else weights_of(estimator, read, self.layers)
        del read
        predictions, details = {}, _details(estimator)
        for split, index in self.data.splits.items():
            if split not in self.train and len(index):
                read = self._read(index)
                predictions[split] = torch.as_tensor(estimator.predict(read)).float().cpu()
                if hasattr(estimator, "score_split"):
                    shares = estimator.score_split(read, self.data.responses[index])
                    parts = np.stack([np.asarray(shares[layer]) for layer in self.layers])
                    details |= {"spaces": np.array(self.layers), f"r2_split_{split}": parts}
        return Fit(predictions, _training_score(estimator, self.data.responses.shape[1]), details), weights

    def _read(self, index: Tensor) -> Any:
        """What the estimator reads of some images."""
        return Reading(self.source, self.layers, self.pool, index).as_(reads_of(self.estimator))


def weights_file(out: Path, key: FitKey) -> Path:
    """Where the weights of a fit are kept in a folder of results."""
    return out / "weights" / f"{slug(*key)}.npz"


class KeptPredictions(Mapping):
    """Predictions by split, read from a finished job's file when asked for: a grid of them would not fit in memory."""

    def __init__(self, path: Path, identity: Mapping[str, Any], splits: Sequence[str]):
        self._path, self._identity, self._splits = path, identity, list(splits)

    def __getitem__(self, split: str) -> Tensor:
        if split not in self._splits:
            raise KeyError(split)
        arrays = read_sealed(self._path, self._identity)
        if arrays is None:
            raise ValueError(f"{self._path} has changed since it was read: run the same call again.")
        return torch.from_numpy(arrays[f"prediction_{split}"])

    def __iter__(self) -> Iterator[str]:
        return iter(self._splits)

    def __len__(self) -> int:
        return len(self._splits)


def make_portable(estimator: Any) -> None:
    """Lets other processes receive an estimator whose class they cannot import, as one of a user's own file."""
    module = sys.modules[type(estimator).__module__]
    if module.__name__ == "__main__" or _is_importable(module.__name__):
        return
    for name in ("cloudpickle", "joblib.externals.cloudpickle"):  # joblib's own up to some version, and dask's
        with suppress(ImportError):
            import_module(name).register_pickle_by_value(module)


def _is_importable(name: str) -> bool:
    loaded = sys.modules.pop(name)  # of a loaded module, find_spec gives what it was loaded from
    try:
        return find_spec(name) is not None
    except (ValueError, ModuleNotFoundError):
        return False
    finally:
        sys.modules[name] = loaded


def _training_score(estimator: Any, n_voxels: int) -> Tensor:
    """(n_voxels,) float64 score on training images; NaN of an estimator that gives none."""
    if not hasattr(estimator, "training_score"):
        return torch.full((n_voxels,), torch.nan, dtype=torch.float64)
    return torch.as_tensor(estimator.training_score()).double().cpu()


def _details(estimator: Any) -> dict[str, np.ndarray]:
    found = {name.rstrip("_"): getattr(estimator, name) for name in getattr(estimator, "per_voxel", ())}
    return {name: value.cpu().numpy() if torch.is_tensor(value) else np.asarray(value) for name, value in found.items()}


def _estimator_identity(estimator: Any) -> list[Any]:
    """Class, source and parameters of an estimator."""
    kind = type(estimator)
    parameters = estimator.get_params() if hasattr(estimator, "get_params") else vars(estimator)
    source = None
    if kind.__module__.partition(".")[0] != "brainnet":  # whose version is known
        try:
            source = file_digest(inspect.getsourcefile(kind))
        except (TypeError, OSError):  # made in a notebook
            source = None
    return [f"{kind.__module__}.{kind.__qualname__}", source, {k: _described(v) for k, v in parameters.items()}]


def _described(value: Any) -> str:
    """A text for an estimator's parameter; numbers of an array are hashed, as its repr leaves most of them out."""
    if isinstance(value, np.ndarray | Tensor):
        return f"array {array_digest(value)}"
    if hasattr(value, "fit") and hasattr(value, "predict"):
        return str(_estimator_identity(value))
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_described, value))}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{name!r}: {_described(item)}' for name, item in value.items())}}}"
    return repr(value)


def _digest_rows(read: Callable[[slice], Any], n: int) -> str:
    """Digest of all rows of features, some at a time: a sample of them would miss a change in the others."""
    parts = (array_digest(np.asarray(read(slice(i, i + _ROWS_AT_ONCE)))) for i in range(0, n, _ROWS_AT_ONCE))
    return sha256(*parts)

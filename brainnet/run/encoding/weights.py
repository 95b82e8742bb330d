"""Kept weights of an encoding: which there are, which a user means, and new images predicted by them.

What a prediction needs lies in the file of the weights: the network with its options, preprocessing, token grid,
layers and pooling. Neither the data set nor the estimator is needed. Results may come from a stranger: the card names
fits, the files are found by those names alone, and a file's digest and description must agree with what it is taken
for.
"""

from __future__ import annotations

import zipfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brainnet._files import open_sealed
from brainnet._work import at_work, device_of, says_progress
from brainnet._work import progress as progress_bar
from brainnet.backbone.adjusted import build_adjusted
from brainnet.encode import ALL_LAYERS, BEST_LAYER, Encoding, FitKey, predict_with
from brainnet.encode.jobs import weights_file
from brainnet.encode.weights import reads_windows
from brainnet.run.fitting.series_tokens import tokens_over_time
from brainnet.run.record.card import check_files
from brainnet.run.record.runs import read_card
from brainnet.space import BrainSpace
from brainnet.stimuli import Images, kind_of
from brainnet.store import TokenStore, fingerprint_of
from brainnet.store.extraction import extract
from brainnet.tokens import Preprocessing


@dataclass(frozen=True)
class KeptFit:
    """A fit whose weights are kept: its names, its mean test r, and whether it is the layer its method chose."""

    key: FitKey
    r: float
    is_best_layer: bool

    def __str__(self) -> str:
        return f"--network {self.key.model} --method {self.key.method} --layer {self.key.layer}"


def clear_weights(out: Path, keys: Collection[FitKey]) -> None:
    """Takes away kept weights of other fits than these."""
    wanted = {weights_file(out, key).name for key in keys}
    for path in (out / "weights").glob("*.npz"):
        if path.name not in wanted:
            path.unlink()
    if not wanted and (out / "weights").is_dir() and not any((out / "weights").iterdir()):
        (out / "weights").rmdir()


def kept_weights(out: Path, encoding: Encoding) -> list[dict[str, Any]]:
    """What a card says of the kept weights, a row for each fit; a line names the methods that give none."""
    table = encoding.table[encoding.table["roi"].eq("all") & encoding.table["score"].eq("r")]
    table = table.sort_values("split", key=lambda split: split != "test", kind="stable")
    table = table.drop_duplicates([*FitKey._fields]).set_index([*FitKey._fields])
    chosen = table["chosen_layer"][table["chosen_layer"] != ""]
    best = {FitKey(*key)._replace(layer=layer) for key, layer in chosen.items()}
    rows, without = [], set()
    for key in encoding.fits:
        path = weights_file(out, key)
        if key.layer == BEST_LAYER or key.control or not path.is_file():
            continue
        with zipfile.ZipFile(path) as archive:
            empty = "intercept.npy" not in archive.namelist()
        if empty:
            without.add(key.method)
            continue
        is_best = key.layer == ALL_LAYERS or key in best
        rows.append({**key._asdict(), "r": float(table["mean"][tuple(key)]), "is_best_layer": is_best})
    for method in sorted(without):
        says_progress.info("no weights of %s are kept: it is not linear, or gives no coef_.", method)
    return rows


def kept_fits(run: str | Path) -> list[KeptFit]:
    """The fits of a folder of ``brainnet encode`` whose weights are kept, as its card lists them.

    Raises:
        FileNotFoundError: no such folder, or no weights in it.
        ValueError: a damaged card.
    """
    card = read_card(Path(run) / "run.json")
    rows = card.get("weights")
    if card.get("kind") != "encode" or not rows:
        raise FileNotFoundError(f"{run} holds no weights: `brainnet encode --keep-weights --out {run}` keeps them.")
    try:
        found = []
        for row in rows:
            key = FitKey(*(str(row[name]) for name in FitKey._fields))
            found.append(
                KeptFit(key, float("nan") if row["r"] is None else float(row["r"]), bool(row["is_best_layer"]))
            )
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"{Path(run) / 'run.json'} is damaged: its list of weights cannot be read.") from None
    return found


def choose_fit(
    fits: list[KeptFit],
    subject: str | None = None,
    network: str | None = None,
    method: str | None = None,
    layer: str | None = None,
) -> KeptFit:
    """The fit that a user means: the best one among those that agree with what was said.

    The best is the one with the highest mean test r; among the layers of a method, the one chosen on training images.

    Raises:
        ValueError: none agrees (lists what there is), or several subjects and none was named.
    """
    said = {"subject": subject, "model": network, "method": method, "layer": layer}
    names = {"subject": "--subject", "model": "--network", "method": "--method", "layer": "--layer"}
    left = list(fits)
    for field, wanted in said.items():
        known = list(dict.fromkeys(getattr(one.key, field) for one in left))
        if field == "subject" and wanted is None and len(known) > 1:
            raise ValueError(f"the results are of several subjects, {', '.join(known)}: choose one by --subject.")
        if wanted is not None:
            left = [one for one in left if getattr(one.key, field) == wanted]
            if not left:
                raise ValueError(f"no weights of {names[field]} {wanted} are kept. Known: {', '.join(known)}.")
    headline = left if layer is not None else [one for one in left if one.is_best_layer] or left
    return max(headline, key=lambda one: -np.inf if one.r != one.r else one.r)


class LinearEncoder:
    """Predicts images, or other stimuli that the network reads, by linear weights on its tokens.

    Args:
        weights: see :mod:`brainnet.encode.weights`.
        layers: those that are read.
        pool: how tokens became features.
        network: name, options, fingerprint, preprocessing, grid and resize, as plain values; of a fit to a time series
            also "series": its "tr" and its "delays".
        space: where the voxels are; None where it is not known.
        backbone: the network itself; None builds the one that is named.
    """

    def __init__(
        self,
        weights: Mapping[str, np.ndarray],
        layers: Sequence[str],
        pool: str,
        network: Mapping[str, Any],
        space: BrainSpace | None = None,
        backbone: Any = None,
    ):
        self.weights, self.layers, self.pool = weights, tuple(layers), pool
        self.network, self.space, self.backbone = dict(network), space, backbone

    @property
    def n_voxels(self) -> int:
        """Number of predicted voxels."""
        return len(self.weights["intercept"])

    @property
    def tr(self) -> float | None:
        """Seconds from one volume to the next, of a fit to a time series; else None."""
        return (self.network.get("series") or {}).get("tr")

    def build_network(self) -> Any:
        """The network the weights were fitted to.

        Raises:
            ValueError: it has other weights or settings now than at the fit.
        """
        options = dict(self.network["options"])
        given = self.backbone
        backbone = build_adjusted(self.network["name"], **options) if given is None else given
        found, wanted = fingerprint_of(backbone), self.network["fingerprint"]
        differing = [field for field, value in wanted.items() if found.get(field) != value]
        if differing:
            raise ValueError(f"{self.network['name']} is not the network of the fit: {', '.join(differing)} differ.")
        return backbone

    def predict(
        self, images: Images, batch_size: int, device: str | None, progress: bool
    ) -> Iterator[tuple[slice, Tensor]]:
        """Places of some images and their predictions (n, n_voxels) float32, one batch after the other.

        Tokens go through half precision, in which the fit read them.
        """
        backbone, place = self.build_network(), device_of(device)
        preprocessing = self._preprocessing(backbone)
        batches = torch.arange(len(images)).split(batch_size)
        bar = progress_bar(batches, f"Predicting {len(images):,} {kind_of(images)}s", len(batches), progress)
        indices = (part.tolist() for part in bar)
        start = 0
        with at_work(backbone, place), torch.no_grad():
            for tokens in extract(
                backbone,
                lambda i: images.image(i, preprocessing),
                indices,
                grid=tuple(self.network["grid"]),
                resize=self.network["resize"],
                device=place,
            ):
                stop = start + len(next(iter(tokens.global_.values())))
                missing = [layer for layer in self.layers if layer not in tokens.global_]
                if missing:
                    raise ValueError(f"the weights read layer {missing[0]!r}, and the network gives "
                                     f"{', '.join(tokens.global_)}.")  # fmt: skip
                kept = tokens.map(lambda v: v.cpu().contiguous())
                store = TokenStore.from_tokens([kept], images.ids[start:stop], dtype=torch.float16)
                yield slice(start, stop), self._predicted(store)
                start = stop

    def predict_volumes(self, shown: Any, batch_size: int, device: str | None, progress: bool) -> Tensor:
        """Predictions (n_volumes, n_voxels) float32 for stimuli with onsets, by a fit to a time series.

        Raises:
            ValueError: stimuli without onsets, or whose windows overlap.
        """
        backbone = self.build_network()
        store = TokenStore.build(
            backbone, shown, grid=tuple(self.network["grid"]), resize=self.network["resize"], batch_size=batch_size,
            device=device_of(device), preprocessing=self._preprocessing(backbone), progress=progress,
        )  # fmt: skip
        tokens = tokens_over_time(store, shown, **self.network["series"])
        n_volumes = len(next(iter(tokens.global_.values())))
        return self._predicted(TokenStore.from_tokens([tokens], [str(row) for row in range(n_volumes)]))

    def _preprocessing(self, backbone: Any) -> Any:
        given = self.network["preprocessing"]
        return Preprocessing(**given) if given else getattr(backbone, "preprocessing", None) or Preprocessing()

    def _predicted(self, store: TokenStore) -> Tensor:
        if reads_windows(self.weights):
            return predict_with(self.weights, self.layers, lambda: _only(store.batches(), self.layers))
        pool = str(self.weights.get("pool", self.pool))
        read = {layer: store.features(layer, pool) for layer in self.layers}
        return predict_with(self.weights, self.layers, read)


class KeptPredictor(LinearEncoder):
    """Predicts images by the kept weights of one fit.

    Args:
        run: folder of ``brainnet encode``.
        fit: one of :func:`kept_fits`.

    Raises:
        FileNotFoundError: the file of the weights is gone.
        ValueError: it is damaged, belongs to another fit, was fitted to features in files, or names code in ``run``.
    """

    def __init__(self, run: str | Path, fit: KeptFit):
        path = weights_file(Path(run), fit.key)
        weights, about = open_sealed(path)
        check_files(Path(run), f"weights/{path.name}")  # another run's fits have the same names
        known = about.get("network")
        if about.get("fit") != list(fit.key) or not isinstance(known, dict) or "intercept" not in weights:
            raise ValueError(f"{path} holds the weights of another fit: encode again with --keep-weights.")
        if "features" in known:
            raise ValueError(
                f"the fit {fit} read features in files ({known['features']}), and no network that could read new "
                "stimuli: encode with --backbone to predict them."
            )
        refuse_code_inside(str(known["name"]), Path(run), path)
        super().__init__(weights, about["layers"], about["pool"], known)


def _only(batches: Iterator[Any], layers: tuple[str, ...]) -> Iterator[Any]:
    for tokens in batches:
        yield type(tokens)({k: tokens.local[k] for k in layers}, {k: tokens.global_[k] for k in layers})


def refuse_code_inside(name: str, run: Path, path: Path) -> None:
    """Refuses a name "FILE.py:CLASS" whose file lies in a folder of results.

    Raises:
        ValueError: names the file and ``path``, which names it.
    """
    file = Path(name.rpartition(":")[0])
    if file.suffix == ".py" and run.resolve() in file.resolve().parents:
        raise ValueError(f"{path} names code inside its own folder, {file}: it came with the results and is not run.")

"""Maps of a searchlight: scores and p-values at each center, and the files they are kept in."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from brainnet._files import read_json, write_json, write_npz
from brainnet.scores import VoxelTest, fdr
from brainnet.space import BrainSpace, load_maps, save_map

TEST_MAPS = ("p", "p_fdr", "p_max")
TIE = {torch.float32: 1e-6, torch.float64: 1e-12}  # a permutation that reproduces the data must tie with it
ENOUGH_FOR_A_TAIL = 1000  # permutations: a tail fitted to 200 made three times the false claims, one to 1000 did not
FEW_EXCEED = 10  # permutations that reach a score: below, their count is too coarse for a false discovery rate


@dataclass(frozen=True, eq=False)
class SearchlightMaps:
    """What a searchlight found at each center.

    Args:
        models: names of the models.
        score: (n_models, n_centres) similarity of the brain's RDM with each model's; NaN where a constant pattern
            leaves the brain's RDM undefined.
        test: p-values of the scores, each (n_models, n_centres): ``p`` alone, ``p_fdr`` over the centers of a model,
            ``p_max`` family-wise over the centers of a model. None without permutations.
        best: (n_centres,) long, the model with the highest score; -1 where undefined.
        margin: (n_centres,) score of the best model minus that of the second.
        best_test: p-values of the highest score, each (n_centres,); its null is the highest score too, so the choice
            among models is paid for, and ``p_max`` holds over centers and models.
        size: (n_centres,) voxels in each neighborhood.
        space: where the centers lie, in their order.
        settings: what was computed, for the record.

    >>> from brainnet.rsa import RDMs, Neighbourhoods, rdm, searchlight
    >>> rng = torch.Generator().manual_seed(0)
    >>> patterns = torch.randn(10, 6, generator=rng)
    >>> lights = Neighbourhoods.from_lists([[0, 1, 2], [3, 4, 5]], BrainSpace.free(6))
    >>> models = RDMs.stack([rdm(patterns[:, :3]), rdm(patterns[:, 3:])])
    >>> found = searchlight(patterns, models, lights, n_permutations=99, generator=rng)
    >>> found.best.tolist(), found.significant_best().tolist()    # each model is best where it was taken from
    ([0, 1], [0, 1])
    """

    models: tuple[str, ...]
    score: Tensor
    test: VoxelTest | None
    best: Tensor
    margin: Tensor
    best_test: VoxelTest | None
    size: Tensor
    space: BrainSpace
    settings: dict[str, Any] = field(default_factory=dict)

    def significant_best(self, alpha: float = 0.05, correction: str = "max") -> Tensor:
        """(n_centres,) the best model where its score is significant, -1 elsewhere.

        Args:
            alpha: level.
            correction: "max" (family-wise over centers and models), "fdr" (over centers) or "none".
        """
        if self.best_test is None:
            raise ValueError("this searchlight ran without permutations; pass n_permutations=1000 to test its scores.")
        p = {"max": self.best_test.p_max, "fdr": self.best_test.p_fdr, "none": self.best_test.p}.get(correction)
        if p is None:
            raise ValueError(f"correction must be 'max', 'fdr' or 'none', got {correction!r}.")
        return self.best.masked_fill(~(p <= alpha), -1)

    def maps(self) -> dict[str, Tensor]:
        """Every map by the name of its file: (n_models, n_centres) per model, or (n_centres,)."""
        found = {"score": self.score, "best_model": self.best, "margin": self.margin, "size": self.size}
        if self.test is not None:
            found |= {name: getattr(self.test, name) for name in TEST_MAPS}
            found |= {f"best_{name}": getattr(self.best_test, name) for name in TEST_MAPS}
            found["best_model_p05"] = self.significant_best()
        return found

    def save(self, folder: str | Path) -> list[Path]:
        """Writes every map as NIfTI (volumes) or GIfTI (surfaces, one file a hemisphere), and ``searchlight.json``.

        Maps per model have one volume, or one data array, per model in the order of ``models``. Best-model maps hold
        0 for none and i + 1 for model i; on surfaces they are label files with the models' names. Spaces without a
        place on a brain are written as ``maps.npz``.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        paths = []
        if self.space.mask is not None or self.space.mesh is not None:
            for name, values in self.maps().items():
                labels = self.models if name.startswith("best_model") else None
                paths += save_map(self.space, values, folder / name, self.models, labels)
        if not paths:
            write_npz(folder / "maps.npz", {name: values.cpu().numpy() for name, values in self.maps().items()})
            paths = [folder / "maps.npz"]
        card = {"models": self.models, "n_centres": len(self.size), **self.settings}
        write_json(folder / "searchlight.json", card)
        return [*paths, folder / "searchlight.json"]

    @staticmethod
    def load(folder: str | Path) -> SearchlightMaps:
        """The maps that :meth:`save` wrote, on the CPU in float32.

        Raises:
            FileNotFoundError: a folder without ``searchlight.json`` or without maps.
        """
        folder = Path(folder)
        if not (folder / "searchlight.json").is_file():
            raise FileNotFoundError(
                f"no searchlight.json in {folder}: name a folder that `brainnet searchlight run` or maps.save() filled."
            )
        settings = read_json(folder / "searchlight.json")
        models = tuple(settings.pop("models"))
        del settings["n_centres"]
        found, space = load_maps(folder, ("score", "margin", "size", *TEST_MAPS, *(f"best_{p}" for p in TEST_MAPS)))
        score, size = found["score"], found["size"][0].long()

        def tested(statistic: Tensor, prefix: str) -> VoxelTest | None:
            if f"{prefix}p" not in found:
                return None
            return VoxelTest(statistic, *(found[prefix + p].double().view_as(statistic) for p in TEST_MAPS))

        return SearchlightMaps(
            models, score, tested(score, ""), best_of(score), found["margin"][0], tested(score.amax(0), "best_"), size,
            space, settings,
        )  # fmt: skip

    def __repr__(self) -> str:
        tested = "" if self.test is None else f", {self.settings.get('n_permutations')} permutations"
        return f"SearchlightMaps({len(self.models)} models x {len(self.size)} centers{tested})"


def best_of(score: Tensor) -> Tensor:
    """(n_centres,) the model with the highest score (n_models, n_centres); -1 where one is undefined."""
    return score.nan_to_num(-torch.inf).argmax(0).masked_fill(score.isnan().any(0), -1)


def p_from_counts(
    score: Tensor,
    exceeded: Tensor,
    largest: Tensor,
    moments: Tensor | None = None,
    tail: Tensor | None = None,
    z: Tensor | None = None,
) -> VoxelTest:
    """P-values (rows, n_centres) of scores from what permutations gave.

    ``p`` and ``p_max`` count permutations, so none is below 1 / (P + 1). Over many centers the false discovery rate
    needs smaller ones: where fewer than ten permutations reach a score, its p for this purpose is that of a tail.
    ``p_fdr`` is never above ``p_max``, which controls more, see ``scores.fdr``.

    Args:
        score: (rows, n_centres).
        exceeded: (rows, n_centres) number of permutations that reach each score.
        largest: (rows, n_permutations) largest score, or z-score, of each permutation.
        moments: (rows, n_centres, 3) sums of the permuted scores, of their squares and of their cubes. The tail is then
            that of the gamma distribution with a center's own mean, variance and skewness (Winkler et al. 2016,
            NeuroImage 141, 502-516).
        tail: (rows, n_centres) tail p of the caller's own, instead.
        z: (rows, n_centres) z-scores, where ``largest`` are of these. None compares the scores themselves, which suits
            a statistic whose chance is alike at all centers, such as Student's t.
    """
    n, undefined = largest.shape[1], score.isnan()
    p = ((exceeded + 1) / (n + 1)).double().masked_fill(undefined, torch.nan)
    compared = score if z is None else z
    tie = TIE.get(score.dtype, 1e-6) * (1 if z is None else 10)  # a z-score is of the order of ten
    below = torch.searchsorted(largest.sort(1).values, (compared - tie).contiguous())
    p_max = ((n - below + 1) / (n + 1)).double().masked_fill(undefined, torch.nan)
    smooth = p
    if n >= ENOUGH_FOR_A_TAIL and (moments is not None or tail is not None):
        tail = _gamma_tail(score, moments, n) if tail is None else tail
        smooth = torch.where((exceeded < FEW_EXCEED) & tail.isfinite(), torch.minimum(p, tail.double()), p)
    return VoxelTest(score, p, torch.stack([fdr(*rows) for rows in zip(smooth, p_max, strict=True)]), p_max)


def _gamma_tail(score: Tensor, moments: Tensor, n: int) -> Tensor:
    """Chance of a score at least as high under a gamma distribution with the moments of the permuted scores."""
    from scipy.stats import pearson3

    first, second, third = (moments / n).unbind(-1)
    variance = (second - first.square()).clamp(min=0)
    skew = (third - 3 * first * variance - first.pow(3)) / variance.pow(1.5)
    z = (score.double() - first) / variance.sqrt()
    return torch.from_numpy(pearson3.sf(z.numpy(), skew.numpy()))


def fdr_rests_on(n_permutations: int) -> str:
    """What the map of false discovery rates rests on, for the record."""
    if n_permutations < ENOUGH_FOR_A_TAIL:
        return f"permutations alone: no p is below 1 / {n_permutations + 1}, so small regions may not pass"
    return f"permutations, and a fitted tail where fewer than {FEW_EXCEED} of them reach the score"

"""One ROI at one time: similarities, what resampling made of them, and the estimates that follow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from brainnet.rsa.ceilings import NoiseCeiling, noise_ceiling
from brainnet.rsa.checks import few
from brainnet.rsa.comparisons import NEEDS_ALL_PAIRS, compare
from brainnet.rsa.inference.bootstrap import (
    Bootstrap,
    Draws,
    bootstrap,
    bootstrap_draws,
    condition_variance,
    contrast_variance,
)
from brainnet.rsa.inference.components import Components, component_error, variance_components
from brainnet.rsa.inference.settings import Inference
from brainnet.rsa.pairs import squareform
from brainnet.rsa.rdms import RDMs, align_conditions, as_rdms


class Place(NamedTuple):
    """One ROI at one time, and the RDMs of its subjects."""

    roi: str
    time: Any
    rdms: RDMs


class Estimate(NamedTuple):
    """Means (K,) of contrasts between models, with standard errors and degrees of freedom."""

    mean: Tensor
    error: Tensor
    dof: Tensor

    def interval(self, level: float) -> tuple[Tensor, Tensor]:
        """Lower and upper end of the t interval, each (K,)."""
        from scipy.stats import t as student

        reach = self.error * torch.from_numpy(student.ppf((1 + level) / 2, self.dof.numpy()))
        return self.mean - reach, self.mean + reach


@dataclass(frozen=True, eq=False)
class Cell:
    """One ROI at one time: the similarities of all models to all subjects, and what resampling made of them.

    Args:
        roi, time: which.
        similarity: (n_models, n_subjects).
        ceiling: in the unit of the scores.
        components: of variance; None where standard errors come from elsewhere.
        resampled: bootstraps; None where standard errors come from elsewhere.
        usable: (n_models,) bool, models with a score for every subject.
        n_conditions: of the RDMs.
        squared: whether scores are squared similarities.
    """

    roi: str
    time: Any
    similarity: Tensor
    ceiling: NoiseCeiling
    components: Components | None
    resampled: Bootstrap | None
    usable: Tensor
    n_conditions: int
    squared: bool = False

    @property
    def scores(self) -> Tensor:
        """(n_models, n_subjects) similarities, or their squares."""
        return self.similarity.square() if self.squared else self.similarity

    def estimate(self, above: list[int], below: list[int] | None, generalise: str, squared: bool) -> Estimate:
        """Estimates of the scores of models ``above``, minus those of ``below``, generalized to new samples.

        Args:
            above: (K,) rows of models.
            below: (K,) rows that are subtracted; None for the models themselves.
            generalise: "both", "subjects" or "conditions".
            squared: of squared similarities; over conditions to first order, from those of the similarities.
        """
        values = self.similarity.square() if squared else self.similarity
        by_subject = values[above] if below is None else values[above] - values[below]
        n_subjects, mean = by_subject.shape[1], by_subject.mean(1)
        if generalise == "subjects":
            return Estimate(mean, by_subject.std(1) / n_subjects**0.5, torch.full_like(mean, n_subjects - 1))
        contrasts = torch.eye(len(values), dtype=torch.float64)
        contrasts = contrasts[above] if below is None else contrasts[above] - contrasts[below]
        if squared:
            contrasts = contrasts * (2 * self.similarity.mean(1))
        error, dof, known = torch.full_like(mean, torch.nan), torch.ones_like(mean), ~mean.isnan()
        among_usable = contrasts[known][:, self.usable]
        if self.components is not None:
            found = component_error(self.components, among_usable, generalise)
            error[known], dof[known] = (part.cpu() for part in found)
        elif self.resampled is not None:
            among_usable = among_usable.to(self.resampled.both.scores)
            if generalise == "conditions":
                variance = condition_variance(self.resampled, among_usable, self.n_conditions)
                dof[known] = self.n_conditions - 1
            else:
                variance = contrast_variance(self.resampled, among_usable, n_subjects, self.n_conditions)
                dof[known] = min(n_subjects, self.n_conditions) - 1
            error[known] = variance.clamp(min=0).sqrt().cpu()
        return Estimate(mean, error, dof)


class CellMaker:
    """Cells of one evaluation: bootstrap draws are the same for all of them."""

    def __init__(self, models: RDMs, method: str, settings: Inference, options: dict[str, Any]):
        self.models, self.method, self.settings, self.options = models, method, settings, options
        self.errors = settings.errors_for(method, options)
        self._generator = torch.Generator().manual_seed(settings.seed)
        self._conditions = bootstrap_draws(1, models.n_conditions, settings.n_resamples, self._generator).conditions
        self._subjects: dict[int, Tensor] = {}

    def cell(self, place: Place) -> Cell:
        """The similarities in one place, their ceiling, and what is known of their errors."""
        rdms, settings = place.rdms, self.settings
        similarity = compare(self.models, rdms, self.method, nan=settings.nan, **self.options)
        usable = ~similarity.isnan().any(1)
        values = self.models.values[usable].to(rdms.values.device)
        components = resampled = None
        for_differences = settings.differences_generalise != settings.generalise
        if self.errors == "components" and len(values) and self._needs_conditions(for_differences, rdms.n_conditions):
            components = variance_components(values, rdms.values, self.method)
        elif self.errors == "bootstrap" and len(values) and settings.generalise != "subjects":
            draws = Draws(self._subject_draws(len(rdms)), self._conditions)
            resampled = bootstrap(values, rdms.values, self.method, draws, ceilings=False, **self.options)
        ceiling = NoiseCeiling(float("nan"), float("nan"))
        if len(rdms) > 1:
            kind = {"pooling": settings.pooling, "squared": settings.squared, "nan": settings.nan}
            ceiling = noise_ceiling(rdms, self.method, **kind, **self.options)
        return Cell(
            roi=place.roi, time=place.time, similarity=similarity.double().cpu(), ceiling=ceiling,
            components=components, resampled=resampled, usable=usable.cpu(), n_conditions=rdms.n_conditions,
            squared=settings.squared,
        )  # fmt: skip

    def _needs_conditions(self, for_differences: bool, n_conditions: int) -> bool:
        several = len(self.models) > 1 and n_conditions > 3
        return self.settings.generalise != "subjects" or (for_differences and several)

    def _subject_draws(self, n_subjects: int) -> Tensor:
        if n_subjects not in self._subjects:
            draws = bootstrap_draws(n_subjects, 1, self.settings.n_resamples, self._generator)
            self._subjects[n_subjects] = draws.subjects
        return self._subjects[n_subjects]


# ---- inputs ---------------------------------------------------------------------------------------------------------


def models_of(models: Any, align: bool) -> tuple[list[tuple[str, str]], RDMs]:
    """(model, layer) of every row, and all RDMs in one."""
    if not isinstance(models, Mapping):
        rdms = as_rdms(models)
        return [(name, "") for name in rdms.names], rdms
    if not models:
        raise ValueError("no models: the mapping is empty.")
    layers = {name: as_rdms(rdms) for name, rdms in models.items()}
    labels = [(name, layer) for name, rdms in layers.items() for layer in rdms.names]
    return labels, RDMs.stack(layers.values(), align=align)


def places_of(subjects: Any, times: Iterable | None, models: RDMs, align: bool) -> list[Place]:
    """ROIs and times with the RDMs of their subjects, conditions matched to the models'."""
    by_roi = subjects if isinstance(subjects, Mapping) else {"": subjects}
    if not by_roi:
        raise ValueError("no subjects: the mapping is empty.")
    times = None if times is None else list(times)
    places = []
    for roi, content in by_roi.items():
        course = isinstance(content, (list, tuple)) and all(isinstance(item, RDMs) for item in content)
        points = list(content) if course else [content]
        if times is not None and len(times) != len(points):
            raise ValueError(f"got {len(times)} times for {len(points)} time points of {roi or 'the data'}.")
        stamps = times if times is not None else (range(len(points)) if course else [None])
        for time, rdms in zip(stamps, points, strict=True):
            places.append(Place(str(roi), time, align_conditions(models, as_rdms(rdms), align)[1]))
    return places


def without_undefined(models: RDMs, places: list[Place], method: str, settings: Inference) -> tuple[RDMs, list[Place]]:
    """Models and places over the conditions that are defined in all; single undefined pairs are marked everywhere.

    Raises:
        ValueError: NaN where they are not to be omitted, or where the analysis needs every pair.
    """
    missing = torch.stack([rdms.values.isnan().any(0).cpu() for rdms in (models, *(p.rdms for p in places))]).any(0)
    if settings.nan == "raise" or not bool(missing.any()):
        return models, places  # where NaN are refused, the comparison says which
    everything = [models.values.cpu(), *(place.rdms.values.cpu() for place in places)]
    lost = torch.stack([squareform(v.isnan().to(torch.uint8), 1).bool().all(-1).any(0) for v in everything]).any(0)
    if bool(lost.any()):
        kept = (~lost).nonzero()[:, 0].tolist()
        models, places = models.subset(kept), [Place(p.roi, p.time, p.rdms.subset(kept)) for p in places]
        missing = torch.stack([rdms.values.isnan().any(0).cpu() for rdms in (models, *(p.rdms for p in places))]).any(0)
    if not bool(missing.any()):
        return models, places
    if settings.generalise != "subjects" or settings.test == "permutation" or method in NEEDS_ALL_PAIRS:
        names = models.conditions or tuple(f"row {i}" for i in range(models.n_conditions))
        rows = [names[i] for i in squareform(missing.to(torch.uint8)).bool().any(1).nonzero()[:, 0].tolist()]
        raise ValueError(
            f"{int(missing.sum())} single pairs are NaN, of the conditions {few(rows)}: with nan='omit' this needs"
            " generalise='subjects', a test without permuted labels, and a comparison over pairs. Drop conditions with"
            " .subset() instead."
        )
    hole = lambda rdms: RDMs(rdms.values.masked_fill(missing.to(rdms.values.device), torch.nan), rdms.metric,  # noqa: E731
                             rdms.names, rdms.conditions)  # fmt: skip
    return hole(models), [Place(p.roi, p.time, hole(p.rdms)) for p in places]

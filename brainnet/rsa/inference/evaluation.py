"""``evaluate``: which models explain which brain regions, how surely, and for whom the answer holds.

Models are fixed; subjects and conditions are samples. ``generalise`` says to which of them the interval and the t test
speak: new subjects, new conditions, or both. Everything comes back as one tidy table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from brainnet._work import progress as progress_bar
from brainnet.rsa.ceilings import NoiseCeiling, noise_ceiling
from brainnet.rsa.comparisons import COMPARISONS, compare
from brainnet.rsa.inference.bootstrap import (
    Bootstrap,
    Draws,
    bootstrap,
    bootstrap_draws,
    condition_variance,
    contrast_variance,
)
from brainnet.rsa.inference.components import KNOWN, Components, component_error, variance_components
from brainnet.rsa.inference.significance import (
    CORRECTIONS,
    Null,
    _check_alternative,
    corrected,
    p_values,
    permutation_null,
    sign_flip_null,
    t_test,
)
from brainnet.rsa.rdms import RDMs, align_conditions, as_rdms

if TYPE_CHECKING:
    import pandas as pd

GENERALISE = ("both", "subjects", "conditions")
TESTS = ("t", "sign-flip", "permutation")
ERRORS = ("components", "bootstrap")


@dataclass(frozen=True, eq=False)
class Cell:
    """One ROI at one time: the similarities of all models to all subjects, and what resampling made of them."""

    roi: str
    time: Any
    similarity: Tensor  # (n_models, n_subjects)
    ceiling: NoiseCeiling
    components: Components | None
    resampled: Bootstrap | None
    usable: Tensor  # (n_models,) bool: models with a score for every subject
    n_conditions: int


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What ``evaluate`` found.

    Attributes:
        table: one row per ROI, time and model layer: ``roi, model, layer, time, score`` (mean over subjects),
            ``standard_error, low, high`` (t interval), ``p, p_corrected`` (score above 0), ``ceiling_lower,
            ceiling_upper, explained`` (score / ceiling; the definition is in ``table.attrs``), ``n_subjects,
            n_conditions``.
        cells: the similarities behind the rows.
        settings: how it was computed; also in ``table.attrs``.
    """

    table: pd.DataFrame
    cells: tuple[Cell, ...]
    models: tuple[tuple[str, str], ...]
    settings: dict[str, Any]

    def differences(self, correction: str = "holm") -> pd.DataFrame:
        """Every couple of models compared on the same subjects and conditions, per ROI and time.

        Two-sided: by sign flips over subjects where ``test="sign-flip"`` was asked for, else by t with the standard
        error that ``generalise`` calls for. Corrected over all rows.

        Args:
            correction: "holm", "fdr", "max" (with sign flips) or "none".

        Returns:
            A table with ``roi, time, model_a, layer_a, model_b, layer_b, difference, standard_error, low, high, p,
            p_corrected``.

        Raises:
            ValueError: fewer than two models.
        """
        import pandas as pd

        if len(self.models) < 2:
            raise ValueError("differences need at least 2 models or layers.")
        couples = list(combinations(range(len(self.models)), 2))
        contrasts = torch.zeros(len(couples), len(self.models), dtype=torch.float64)
        for row, (i, j) in enumerate(couples):
            contrasts[row, i], contrasts[row, j] = 1, -1
        rows, p, by_subject = [], [], []
        for cell in self.cells:
            first, second = (cell.similarity[[couple[side] for couple in couples]] for side in (0, 1))
            difference = (first - second).double()
            mean, error, dof = _estimate(cell, difference, contrasts, self.settings["generalise"])
            low, high = _interval(mean, error, dof, self.settings["level"])
            p.append(t_test(mean, error, dof, "two-sided"))
            by_subject.append(difference)
            for k, (i, j) in enumerate(couples):
                rows.append(
                    {"roi": cell.roi, "time": cell.time, "model_a": self.models[i][0], "layer_a": self.models[i][1]}
                    | {"model_b": self.models[j][0], "layer_b": self.models[j][1], "difference": mean[k].item()}
                    | {"standard_error": error[k].item(), "low": low[k].item(), "high": high[k].item()}
                )
        null = None
        p = torch.stack(p)
        if self.settings["test"] == "sign-flip":
            generator = torch.Generator().manual_seed(self.settings["seed"])
            null = sign_flip_null(_same_subjects(by_subject), self.settings["n_permutations"], generator)
            p = p_values(null, "two-sided")
        table = pd.DataFrame(rows)
        table["p"] = p.flatten().numpy()
        table["p_corrected"] = corrected(p, correction, null, "two-sided").flatten().numpy()
        table.attrs = self.settings | {"correction": correction, "alternative": "two-sided"}
        return table

    def _repr_html_(self) -> str:
        return self.table._repr_html_()


def evaluate(
    models: RDMs | Mapping[str, RDMs] | Any,
    subjects: RDMs | Mapping[str, Any] | Any,
    method: str = "spearman",
    *,
    generalise: str = "both",
    test: str = "t",
    correction: str = "holm",
    alternative: str = "greater",
    errors: str | None = None,
    n_resamples: int = 1000,
    n_permutations: int = 5000,
    level: float = 0.95,
    times: Iterable | None = None,
    bound: str = "lower",
    align: bool = False,
    seed: int = 0,
    progress: bool = True,
    **options: Any,
) -> Evaluation:
    """Scores of models and layers in ROIs and over time, with noise ceilings, intervals and corrected p-values.

    Args:
        models: RDMs, one per model; or a mapping from model name to the RDMs of its layers.
        subjects: RDMs, one per subject; or a mapping from ROI name to such. For time courses, a list of RDMs in place
            of one, an entry per time point.
        method: name of a comparison, see ``COMPARISONS``.
        generalise: to what the standard errors, intervals and t tests speak. "subjects": random effects, exact from
            the scores of each subject. "conditions": new conditions, these subjects only. "both": new conditions and
            new subjects.
        test: of scores above 0. "t" with the standard error above; "sign-flip" over subjects; "permutation" of
            condition labels (is this model's geometry, not just any, in these subjects?).
        correction: "holm" and "max" control the error of the whole table, "fdr" the rate of false claims; "none".
            "max" compares with the largest permuted statistic and needs a permuting test.
        alternative: "greater" or "two-sided".
        errors: over conditions, from variance "components" (the default for correlations), or from the "bootstrap":
            over both, the dual bootstrap with its published correction, n - 1 degrees of freedom for the smaller sample
            (the default for other comparisons). Near a score of 0, and for differences of models, the bootstrap's
            errors are up to twice too large: at .05 it rejects fewer than 1 in 100 true null hypotheses.
        n_resamples: of the bootstrap; the draws are the same for every ROI, time and model.
        n_permutations: of labels or signs (all 2^n_subjects where those are fewer).
        level: of the intervals.
        times: one per time point.
        bound: the ceiling that ``explained`` divides by, "lower" or "upper".
        align: match conditions by name where orders differ.
        seed: of the generators; the same seed gives the same table.
        progress: a progress bar over ROIs and times.
        **options: of the comparison.

    Returns:
        An ``Evaluation``; its ``table`` has one row per ROI, time and layer.

    Raises:
        ValueError: one subject where subjects are to be generalised over, differing conditions, unknown settings.

    >>> x = torch.randn(12, 30, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    >>> noise = torch.randn(6, 12, 30, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    >>> from brainnet.rsa import rdm
    >>> found = evaluate(rdm(x, names=["truth"]), {"V1": rdm(x + noise)}, generalise="subjects")
    >>> found.table[["roi", "model", "n_subjects"]].values.tolist()
    [['V1', 'truth', 6]]
    >>> bool(found.table.p[0] < 0.001)
    True
    """
    for name, value, known in (
        ("generalise", generalise, GENERALISE),
        ("test", test, TESTS),
        ("correction", correction, CORRECTIONS),
        ("bound", bound, ("lower", "upper")),
        ("errors", errors, (None, *ERRORS)),
    ):
        if value not in known:
            raise ValueError(f"{name} must be one of {', '.join(filter(None, known))}, got {value!r}.")
    _check_alternative(alternative)
    if correction == "max" and test == "t":
        raise ValueError("correction='max' needs permuted statistics: use test='permutation' or 'sign-flip'.")
    COMPARISONS[method]
    if errors is None:
        errors = "components" if method in KNOWN and not options else "bootstrap"
    elif errors == "components" and options:
        raise ValueError(f"variance components take no options of the comparison, got {', '.join(options)}.")
    labels, model_rdms = _models(models, align)
    places = _places(subjects, times, model_rdms, align)
    needs_subjects = generalise != "conditions" or test == "sign-flip"
    for roi, _, rdms in places:
        if needs_subjects and len(rdms) < 2:
            raise ValueError(
                f"{roi or 'the data'} has a single subject: nothing can be said about others. Use"
                " generalise='conditions' with test='t' or 'permutation'."
            )
    cells = []
    generator = torch.Generator().manual_seed(seed)
    condition_draws = bootstrap_draws(1, model_rdms.n_conditions, n_resamples, generator).conditions
    subject_draws: dict[int, Tensor] = {}
    for roi, time, rdms in progress_bar(places, "evaluating", enabled=progress and len(places) > 1):
        similarity = compare(model_rdms, rdms, method, **options)
        usable = ~similarity.isnan().any(1)
        resampled = components = None
        values = model_rdms.values[usable].to(rdms.values.device)
        if generalise != "subjects" and errors == "components" and len(values):
            components = variance_components(values, rdms.values, method)
        elif generalise != "subjects" and len(values):
            if len(rdms) not in subject_draws:
                subject_draws[len(rdms)] = bootstrap_draws(len(rdms), 1, n_resamples, generator).subjects
            draws = Draws(subject_draws[len(rdms)], condition_draws)
            resampled = bootstrap(values, rdms.values, method, draws, ceilings=False, **options)
        ceiling = noise_ceiling(rdms, method, **options) if len(rdms) > 1 else NoiseCeiling(float("nan"), float("nan"))
        found = (similarity.double().cpu(), ceiling, components, resampled, usable.cpu(), rdms.n_conditions)
        cells.append(Cell(roi, time, *found))
    settings = {
        "method": method,
        "generalise": generalise,
        "test": test,
        "alternative": alternative,
        "correction": correction,
        "level": level,
        "errors": "over subjects" if generalise == "subjects" else errors,
        "n_resamples": n_resamples if generalise != "subjects" and errors == "bootstrap" else 0,
        "n_permutations": n_permutations if test != "t" else 0,
        "seed": seed,
        "explained": f"score / {bound} noise ceiling ({method}, leave-one-subject-out)"
        if bound == "lower"
        else f"score / upper noise ceiling ({method}, all subjects)",
        "metric": f"{model_rdms.metric} / {places[0][2].metric}",
    }
    table, null = _table(cells, labels, settings, bound), None
    p = torch.from_numpy(table["p"].to_numpy(copy=True)).reshape(len(cells), len(labels))
    if test == "permutation":
        flipped = torch.Generator().manual_seed(seed + 1)
        brain = [rdms.values for _, _, rdms in places]
        null = permutation_null(model_rdms.values.to(brain[0]), brain, method, n_permutations, flipped, **options)
    elif test == "sign-flip":
        flipped = torch.Generator().manual_seed(seed + 1)
        null = sign_flip_null(_same_subjects([cell.similarity for cell in cells]), n_permutations, flipped)
    if null is not None:
        null = Null(null.observed.cpu(), null.chance.cpu(), null.exhaustive)
        p = p_values(null, alternative)
    table["p"] = p.flatten().numpy()
    table["p_corrected"] = corrected(p, correction, null, alternative).flatten().numpy()
    return Evaluation(table, tuple(cells), tuple(labels), settings)


# ---- inputs ---------------------------------------------------------------------------------------------------------


def _models(models: Any, align: bool) -> tuple[list[tuple[str, str]], RDMs]:
    """(model, layer) of every row, and all RDMs in one."""
    if not isinstance(models, Mapping):
        rdms = as_rdms(models)
        return [(name, "") for name in rdms.names], rdms
    if not models:
        raise ValueError("no models: the mapping is empty.")
    layers = {name: as_rdms(rdms) for name, rdms in models.items()}
    labels = [(name, layer) for name, rdms in layers.items() for layer in rdms.names]
    return labels, RDMs.stack(layers.values(), align=align)


def _places(subjects: Any, times: Iterable | None, models: RDMs, align: bool) -> list[tuple[str, Any, RDMs]]:
    """(roi, time, RDMs of the subjects) of every cell, conditions matched to the models'."""
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
            places.append((str(roi), time, align_conditions(models, as_rdms(rdms), align)[1]))
    return places


def _same_subjects(scores: list[Tensor]) -> Tensor:
    sizes = sorted({part.shape[1] for part in scores})
    if len(sizes) > 1:
        raise ValueError(f"sign flips are shared by all ROIs: they need the same subjects, got {sizes}. Use test='t'.")
    return torch.stack(scores)


# ---- estimates ------------------------------------------------------------------------------------------------------


def _estimate(cell: Cell, by_subject: Tensor, contrasts: Tensor, generalise: str) -> tuple[Tensor, Tensor, Tensor]:
    """Means, standard errors and degrees of freedom (K,) of contrasts (K, n_models), given per subject (K, S)."""
    n_subjects = by_subject.shape[1]
    mean = by_subject.mean(1)
    if generalise == "subjects":
        return mean, by_subject.std(1) / n_subjects**0.5, torch.full_like(mean, n_subjects - 1)
    error, dof, known = torch.full_like(mean, torch.nan), torch.ones_like(mean), ~mean.isnan()
    among_usable = contrasts[known][:, cell.usable]
    if cell.components is not None:
        found = component_error(cell.components, among_usable, generalise)
        error[known], dof[known] = (part.cpu() for part in found)
    elif cell.resampled is not None:
        among_usable = among_usable.to(cell.resampled.both.scores)
        if generalise == "conditions":
            variance = condition_variance(cell.resampled, among_usable, cell.n_conditions)
            dof[known] = cell.n_conditions - 1
        else:
            variance = contrast_variance(cell.resampled, among_usable, n_subjects, cell.n_conditions)
            dof[known] = min(n_subjects, cell.n_conditions) - 1
        error[known] = variance.clamp(min=0).sqrt().cpu()
    return mean, error, dof


def _interval(mean: Tensor, error: Tensor, dof: Tensor, level: float) -> tuple[Tensor, Tensor]:
    from scipy.stats import t as student

    reach = error * torch.from_numpy(student.ppf((1 + level) / 2, dof.numpy()))
    return mean - reach, mean + reach


def _table(cells: list[Cell], labels: list[tuple[str, str]], settings: dict[str, Any], bound: str) -> pd.DataFrame:
    import pandas as pd

    rows = []
    for cell in cells:
        single = torch.eye(len(labels), dtype=torch.float64)
        mean, error, dof = _estimate(cell, cell.similarity, single, settings["generalise"])
        low, high = _interval(mean, error, dof, settings["level"])
        p = t_test(mean, error, dof, settings["alternative"])
        limit = getattr(cell.ceiling, bound)
        for k, (model, layer) in enumerate(labels):
            rows.append(
                {"roi": cell.roi, "model": model, "layer": layer, "time": cell.time, "score": mean[k].item()}
                | {"standard_error": error[k].item(), "low": low[k].item(), "high": high[k].item()}
                | {"p": p[k].item(), "p_corrected": float("nan")}
                | {"ceiling_lower": cell.ceiling.lower, "ceiling_upper": cell.ceiling.upper}
                | {"explained": mean[k].item() / limit if limit > 0 else float("nan")}
                | {"n_subjects": cell.similarity.shape[1], "n_conditions": cell.n_conditions}
            )
    table = pd.DataFrame(rows)
    table.attrs = settings
    return table

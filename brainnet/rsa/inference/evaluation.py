"""``evaluate``: which models explain which brain regions, how surely, and for whom the answer holds.

Models are fixed; subjects and conditions are samples. ``generalise`` says to which of them the interval and the t test
speak: new subjects, new conditions, or both. Everything comes back as one tidy table.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from brainnet._work import progress as progress_bar
from brainnet.rsa.inference.cells import Cell, CellMaker, Place, models_of, places_of, without_undefined
from brainnet.rsa.inference.settings import Inference
from brainnet.rsa.inference.significance import (
    Null,
    corrected,
    p_values,
    permutation_null,
    sign_flip_null,
    t_test,
)
from brainnet.rsa.rdms import RDMs

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What ``evaluate`` found.

    Attributes:
        table: one row per ROI, time and model layer: ``roi, model, layer, time, score`` (mean over subjects),
            ``standard_error, low, high`` (t interval), ``p, p_corrected`` (score above 0), ``ceiling`` (the bound in
            use), ``ceiling_low, ceiling_high`` (both bounds), ``ceiling_share`` (score / ceiling; the definition is in
            ``table.attrs``), ``n_subjects, n_conditions``.
        cells: the similarities behind the rows.
        models: (model, layer) of every row of a cell.
        settings: how it was computed; also in ``table.attrs``.
        inference: the settings as they were asked for.

    >>> rng = torch.Generator().manual_seed(0)
    >>> truth, other = torch.rand(2, 1, 66, generator=rng)
    >>> subjects = truth + 0.3 * torch.rand(5, 66, generator=rng)
    >>> found = evaluate({"right": truth, "wrong": other}, {"V1": subjects}, progress=False)
    >>> found.table[["model", "score", "p_corrected"]].round(3).values.tolist()
    [['right', 0.953, 0.0], ['wrong', 0.021, 0.436]]
    """

    table: pd.DataFrame
    cells: tuple[Cell, ...]
    models: tuple[tuple[str, str], ...]
    settings: dict[str, Any]
    inference: Inference

    def differences(self, correction: str = "holm") -> pd.DataFrame:
        """Every couple of models compared on the same subjects and conditions, per ROI and time.

        Two-sided: by sign flips over subjects where ``test="sign-flip"`` was asked for, else by t with the standard
        error that ``generalise`` calls for; after ``test="permutation"`` always one over new conditions as well (see
        ``Inference.differences_generalise``). Corrected over all rows.

        Args:
            correction: "holm", "fdr", "max" (with sign flips) or "none".

        Returns:
            A table with ``roi, time, model_a, layer_a, model_b, layer_b, difference, standard_error, low, high, p,
            p_corrected``.

        Raises:
            ValueError: fewer than two models.

        Warns:
            UserWarning: no standard error over conditions is known for this comparison; p is NaN then.
        """
        import pandas as pd

        if len(self.models) < 2:
            raise ValueError("differences need at least 2 models or layers.")
        asked, generalise = self.inference, self.inference.differences_generalise
        above, below = map(list, zip(*combinations(range(len(self.models)), 2), strict=True))
        rows, p = [], []
        for cell in self.cells:
            shown = cell.estimate(above, below, generalise, asked.squared)
            tested = cell.estimate(above, below, generalise, False)
            low, high = shown.interval(asked.level)
            p.append(t_test(*tested, "two-sided"))
            for k, (i, j) in enumerate(zip(above, below, strict=True)):
                rows.append(
                    {"roi": cell.roi, "time": cell.time, "model_a": self.models[i][0], "layer_a": self.models[i][1]}
                    | {"model_b": self.models[j][0], "layer_b": self.models[j][1], "difference": shown.mean[k].item()}
                    | {"standard_error": shown.error[k].item(), "low": low[k].item(), "high": high[k].item()}
                )
        null, p = None, torch.stack(p)
        if asked.test == "sign-flip":
            generator = torch.Generator().manual_seed(asked.seed)
            by_subject = [cell.similarity[above] - cell.similarity[below] for cell in self.cells]
            null = sign_flip_null(_same_subjects(by_subject), asked.n_permutations, generator)
            p = p_values(null, "two-sided")
        elif generalise != asked.generalise and all(cell.components is None for cell in self.cells):
            warnings.warn(
                f"after permuted labels no standard error of differences is known for {self.settings['method']!r} and"
                " generalise='subjects': their p is NaN. Ask for generalise='both'.",
                stacklevel=2,
            )
        table = pd.DataFrame(rows)
        table["p"] = p.flatten().numpy()
        table["p_corrected"] = corrected(p, correction, null, "two-sided").flatten().numpy()
        changed = {"correction": correction, "alternative": "two-sided", "generalise": generalise}
        table.attrs = self.settings | changed
        return table

    def _repr_html_(self) -> str:
        return self.table._repr_html_()


def evaluate(
    models: RDMs | Mapping[str, RDMs] | Any,
    subjects: RDMs | Mapping[str, Any] | Any,
    method: str = "spearman",
    *,
    times: Iterable | None = None,
    align: bool = False,
    progress: bool = True,
    **settings: Any,
) -> Evaluation:
    """Scores of models and layers in ROIs and over time, with noise ceilings, intervals and corrected p-values.

    Args:
        models: RDMs, one per model; or a mapping from model name to the RDMs of its layers.
        subjects: RDMs, one per subject; or a mapping from ROI name to such. For time courses, a list of RDMs in place
            of one, an entry per time point.
        method: name of a comparison, see ``COMPARISONS``.
        times: one per time point.
        align: match conditions by name where orders differ.
        progress: a progress bar over ROIs and times.
        **settings: those of :class:`Inference` (``generalise, test, correction, alternative, errors, n_resamples,
            n_permutations, level, bound, pooling, squared, nan, seed``), and options of the comparison.

    Returns:
        An ``Evaluation``; its ``table`` has one row per ROI, time and layer.

    Raises:
        ValueError: one subject where subjects are to be generalized over, differing conditions, unknown settings.

    >>> x = torch.randn(12, 30, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    >>> noise = torch.randn(6, 12, 30, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    >>> from brainnet.rsa import rdm
    >>> found = evaluate(rdm(x, names=["truth"]), {"V1": rdm(x + noise)}, generalise="subjects")
    >>> found.table[["roi", "model", "n_subjects"]].values.tolist()
    [['V1', 'truth', 6]]
    >>> bool(found.table.p[0] < 0.001)
    True
    """
    asked, options = Inference.and_options(method, settings)
    labels, model_rdms = models_of(models, align)
    places = places_of(subjects, times, model_rdms, align)
    needs_subjects = asked.generalise != "conditions" or asked.test == "sign-flip"
    for place in places:
        if needs_subjects and len(place.rdms) < 2:
            raise ValueError(
                f"{place.roi or 'the data'} has a single subject: nothing can be said about others. Use"
                " generalise='conditions' with test='t' or 'permutation'."
            )
    model_rdms, places = without_undefined(model_rdms, places, method, asked)
    maker = CellMaker(model_rdms, method, asked, options)
    cells = [maker.cell(place) for place in progress_bar(places, "evaluating", enabled=progress and len(places) > 1)]
    described = asked.described(method, options) | {"metric": f"{model_rdms.metric} / {places[0].rdms.metric}"}
    table = _table(cells, labels, asked)
    p, null = torch.from_numpy(table["p"].to_numpy(copy=True)).reshape(len(cells), len(labels)), None
    if asked.test != "t":
        null = _null(model_rdms, places, cells, method, asked, options)
        p = p_values(null, asked.alternative)
    table["p"] = p.flatten().numpy()
    table["p_corrected"] = corrected(p, asked.correction, null, asked.alternative).flatten().numpy()
    table.attrs = described
    return Evaluation(table, tuple(cells), tuple(labels), described, asked)


def _null(
    models: RDMs, places: list[Place], cells: list[Cell], method: str, asked: Inference, options: dict[str, Any]
) -> Null:
    """What chance gives in all cells, under the same permutations."""
    generator = torch.Generator().manual_seed(asked.seed + 1)
    if asked.test == "sign-flip":
        null = sign_flip_null(_same_subjects([cell.similarity for cell in cells]), asked.n_permutations, generator)
    else:
        brain = [place.rdms.values for place in places]
        own = models.values.to(brain[0])
        null = permutation_null(own, brain, method, asked.n_permutations, generator, **options)
    return Null(null.observed.cpu(), null.chance.cpu(), null.exhaustive)


def _same_subjects(scores: list[Tensor]) -> Tensor:
    sizes = sorted({part.shape[1] for part in scores})
    if len(sizes) > 1:
        raise ValueError(f"sign flips are shared by all ROIs: they need the same subjects, got {sizes}. Use test='t'.")
    return torch.stack(scores)


def _table(cells: list[Cell], labels: list[tuple[str, str]], asked: Inference) -> pd.DataFrame:
    import pandas as pd

    rows, every = [], list(range(len(labels)))
    for cell in cells:
        shown = cell.estimate(every, None, asked.generalise, asked.squared)
        low, high = shown.interval(asked.level)
        p = t_test(*cell.estimate(every, None, asked.generalise, False), asked.alternative)
        ceiling = getattr(cell.ceiling, asked.bound)
        for k, (model, layer) in enumerate(labels):
            rows.append(
                {"roi": cell.roi, "model": model, "layer": layer, "time": cell.time, "score": shown.mean[k].item()}
                | {"standard_error": shown.error[k].item(), "low": low[k].item(), "high": high[k].item()}
                | {"p": p[k].item(), "p_corrected": float("nan"), "ceiling": ceiling}
                | {"ceiling_low": cell.ceiling.lower, "ceiling_high": cell.ceiling.upper}
                | {"ceiling_share": shown.mean[k].item() / ceiling if ceiling > 0 else float("nan")}
                | {"n_subjects": cell.similarity.shape[1], "n_conditions": cell.n_conditions}
            )
    return pd.DataFrame(rows)

"""What ``evaluate`` is asked: to whom a score generalizes, how it is tested, and against which ceiling it stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from brainnet._checks import check_word
from brainnet._registry import options_of
from brainnet.rsa.comparisons import COMPARISONS
from brainnet.rsa.inference.components import KNOWN
from brainnet.rsa.inference.significance import CORRECTIONS, check_alternative

GENERALISE = ("both", "subjects", "conditions")
TESTS = ("t", "sign-flip", "permutation")
ERRORS = ("components", "bootstrap")


@dataclass(frozen=True)
class Inference:
    """Settings of an evaluation; ``evaluate`` takes them one by one, or this object.

    Args:
        generalise: to what the standard errors, intervals and t tests speak. "subjects": random effects, exact from
            the scores of each subject. "conditions": new conditions, these subjects only. "both": new conditions and
            new subjects.
        test: of scores above 0. "t" with the standard error above; "sign-flip" over subjects; "permutation" of
            condition labels (is this model's geometry, not just any, in these subjects?).
        correction: "holm" and "max" control the error of the whole table, "fdr" the rate of false claims; "none".
            "max" compares with the largest permuted statistic and needs a permuting test; it then finds more than
            "holm", which does not know how the cells depend (of studies with one true cell among six, with sign flips
            and 199 permutations, .79 against .50).
        alternative: "greater" or "two-sided".
        errors: over conditions, from variance "components" (the default for correlations), or from the "bootstrap":
            over both, the dual bootstrap with its published correction, n - 1 degrees of freedom for the smaller sample
            (the default for other comparisons). Near a score of 0, and for differences of models, the bootstrap's
            errors are up to twice too large: at .05 it rejects fewer than 1 in 100 true null hypotheses.
        n_resamples: of the bootstrap; the draws are the same for every ROI, time and model.
        n_permutations: of labels or signs (all 2^n_subjects where those are fewer).
        level: of the intervals, between 0 and 1.
        bound: the bound of the noise ceiling that ``ceiling_share`` divides by, "lower" or "upper".
        pooling: group RDM of the noise ceiling, "optimal" or "mean", see ``noise_ceiling``.
        squared: scores and noise ceilings are means of squared similarities, the unit of the Algonauts challenge. Tests
            are of the similarities themselves, so a model that predicts the opposite is never significant; intervals
            over conditions follow from theirs to first order (their width is 0 where the mean similarity is 0).
        nan: "raise" on undefined pairs; or "omit": conditions without any defined pair in some RDM are dropped
            everywhere, and of what is left, where single pairs are undefined, those pairs. Single pairs can be missing
            only with generalise="subjects" and without permuted labels.
        seed: of the generators; the same seed gives the same table.

    Raises:
        ValueError: a word that is none of the known ones, numbers out of range, "max" with a t test.

    >>> Inference(generalise="subjects", test="sign-flip", correction="max").level
    0.95
    >>> Inference(correction="max")
    Traceback (most recent call last):
    ValueError: correction='max' needs permuted statistics: use test='permutation' or 'sign-flip'.
    """

    generalise: str = "both"
    test: str = "t"
    correction: str = "holm"
    alternative: str = "greater"
    errors: str | None = None
    n_resamples: int = 1000
    n_permutations: int = 5000
    level: float = 0.95
    bound: str = "lower"
    pooling: str = "optimal"
    squared: bool = False
    nan: str = "raise"
    seed: int = 0

    def __post_init__(self):
        for name, known in (
            ("generalise", GENERALISE),
            ("test", TESTS),
            ("correction", CORRECTIONS),
            ("bound", ("lower", "upper")),
            ("errors", (None, *ERRORS)),
            ("pooling", ("optimal", "mean")),
            ("nan", ("raise", "omit")),
        ):
            value = getattr(self, name)
            if value not in known:
                raise ValueError(f"{name} must be one of {', '.join(filter(None, known))}, got {value!r}.")
        check_alternative(self.alternative)
        if self.correction == "max" and self.test == "t":
            raise ValueError("correction='max' needs permuted statistics: use test='permutation' or 'sign-flip'.")
        if self.test != "t" and self.n_permutations < 1:
            raise ValueError(f"test={self.test!r} needs n_permutations of at least 1, got {self.n_permutations}.")
        if not 0 < self.level < 1:
            raise ValueError(f"level must lie between 0 and 1, got {self.level}.")

    @classmethod
    def and_options(cls, method: str, words: Mapping[str, Any]) -> tuple[Inference, dict[str, Any]]:
        """Settings, and options of a comparison, from the words of a call; a word of neither is an error.

        >>> Inference.and_options("cka", {"test": "t", "unbiased": False})[1]
        {'unbiased': False}
        """
        own = [field.name for field in fields(cls)]
        of_comparison = options_of(COMPARISONS[method])
        for word in words if of_comparison is not None else ():
            check_word("argument", word, [*own, *sorted(of_comparison - {"a", "b"})])
        return (
            cls(**{word: value for word, value in words.items() if word in own}),
            {word: value for word, value in words.items() if word not in own},
        )

    def errors_for(self, method: str, options: Mapping[str, Any]) -> str:
        """Where standard errors over conditions come from, for this comparison."""
        if self.errors is None:
            return "components" if method in KNOWN and not options else "bootstrap"
        if self.errors == "components" and options:
            raise ValueError(f"variance components take no options of the comparison, got {', '.join(options)}.")
        return self.errors

    @property
    def differences_generalise(self) -> str:
        """To what a test of two models' difference speaks.

        After permuted labels always to new conditions too: subjects who share a geometry agree on a difference that
        these conditions brought about, and a test over subjects alone would take it for one between the models.
        """
        return "both" if self.test == "permutation" and self.generalise == "subjects" else self.generalise

    def described(self, method: str, options: Mapping[str, Any]) -> dict[str, Any]:
        """The settings for the record: those that were used, and what the share of the ceiling is."""
        errors = self.errors_for(method, options)
        left_out = "leave-one-subject-out" if self.bound == "lower" else "all subjects"
        unit = "squared, " if self.squared else ""
        return {
            "method": method,
            "generalise": self.generalise,
            "test": self.test,
            "alternative": self.alternative,
            "correction": self.correction,
            "level": self.level,
            "errors": "over subjects" if self.generalise == "subjects" else errors,
            "n_resamples": self.n_resamples if self.generalise != "subjects" and errors == "bootstrap" else 0,
            "n_permutations": self.n_permutations if self.test != "t" else 0,
            "bound": self.bound,
            "pooling": self.pooling,
            "squared": self.squared,
            "nan": self.nan,
            "seed": self.seed,
            "ceiling_share": f"score / {self.bound} noise ceiling ({unit}{method}, {left_out}, {self.pooling} pooling)",
        }

"""Variance partitioning: what each feature space explains alone, and what only some of them share.

Plain set arithmetic on the R2 of every subset of spaces, for encoding models and for regressions of RDMs alike. Nothing
is fitted here, nothing clipped: a shared part may be negative (suppression, or noise in the R2 it came from). Give it
cross-validated R2; in-sample R2 grows with the number of regressors, and with it the unique parts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any

Subset = tuple[str, ...]
_MOST_SPACES = 10  # 1,023 fits


def subsets(names: Sequence[str]) -> list[Subset]:
    """Every non-empty subset of the names, small ones first, names in the order given.

    >>> subsets(["a", "b", "c"])
    [('a',), ('b',), ('c',), ('a', 'b'), ('a', 'c'), ('b', 'c'), ('a', 'b', 'c')]
    """
    names = list(names)
    if len(set(names)) != len(names) or not 1 <= len(names) <= _MOST_SPACES:
        raise ValueError(f"expected 1 to {_MOST_SPACES} different names, got {names}; each doubles the number of fits.")
    return [subset for size in range(1, len(names) + 1) for subset in combinations(names, size)]


def partition(r2: Mapping[Subset, Any]) -> dict[Subset, Any]:
    """The part of the joint R2 that exactly the spaces of each subset share, from the R2 of all subsets.

    The R2 of a subset is the sum of all parts that touch it, so that the parts of all subsets sum to the joint R2, of
    one space alone its unique part is what the joint model loses without it, and inclusion-exclusion gives the rest.

    Args:
        r2: subset of names -> R2 of the model with these spaces, for every subset of :func:`subsets`; numbers, arrays
            or tensors (all of one shape). The order of names within a subset does not matter.

    Returns:
        The same keys as :func:`subsets`, in its order: ``("a",)`` is unique to a, ``("a", "b")`` shared by a and b and
        by no other.

    Raises:
        ValueError: the R2 of a subset is missing, or given twice.

    Reference: Legendre and Legendre (2012), Numerical Ecology, section 10.3.5 (commonality of sets of predictors).

    >>> parts = partition({("a",): 0.5, ("b",): 0.25, ("a", "b"): 0.625})
    >>> parts
    {('a',): 0.375, ('b',): 0.125, ('a', 'b'): 0.125}
    """
    names = list(dict.fromkeys(name for subset in r2 for name in subset))
    wanted = subsets(names)
    given = {frozenset(subset): value for subset, value in r2.items()}
    if len(given) != len(r2):
        raise ValueError("some subset is given twice, its names in different orders.")
    missing = [subset for subset in wanted if frozenset(subset) not in given]
    if missing:
        raise ValueError(
            f"the R2 of {len(missing)} subsets is missing (first: {missing[0]}); all {len(wanted)} are needed."
        )
    everything = frozenset(names)
    joint = given[everything]

    def lost_without(removed: Sequence[str]) -> Any:
        rest = everything - set(removed)
        return joint - given[rest] if rest else joint

    parts = {}
    for subset in wanted:
        # what is lost without a set is the sum of the parts of its subsets: invert that (Moebius)
        total = 0.0 * joint
        for inner in subsets(subset):
            total = total + (-1) ** (len(subset) - len(inner)) * lost_without(inner)
        parts[subset] = total
    return parts


def partition_of(score: Callable[[Subset], Any], names: Sequence[str]) -> dict[Subset, Any]:
    """:func:`partition` of the R2 that ``score`` gives for each subset of names.

    >>> gains = {"a": 0.25, "b": 0.5}
    >>> partition_of(lambda subset: sum(gains[name] for name in subset), ["a", "b"])    # nothing shared
    {('a',): 0.25, ('b',): 0.5, ('a', 'b'): 0.0}
    """
    return partition({subset: score(subset) for subset in subsets(names)})

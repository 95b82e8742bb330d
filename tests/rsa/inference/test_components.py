import pytest
import torch

from brainnet.rsa import COMPARISONS, compare, evaluate, rdm
from brainnet.rsa.inference.components import KNOWN, component_error, variance_components

N_CONDITIONS, N_SUBJECTS, N_FEATURES = 14, 6, 25


def _study(rng, signal, n_studies):
    """Fresh conditions, subjects and two models per study: (n_studies, 2 or S, n_pairs)."""

    def noise(*shape):
        return torch.randn(n_studies, *shape, N_CONDITIONS, N_FEATURES, generator=rng, dtype=torch.float64)

    truth = signal * noise(1)
    models, subjects = truth + 0.7 * noise(2), truth + noise(N_SUBJECTS)
    return [rdm(part.flatten(0, 1)).values.unflatten(0, part.shape[:2]) for part in (models, subjects)]


@pytest.mark.parametrize("method", sorted(KNOWN))
def test_variance_equals_the_scatter_over_fresh_studies(rng, method):
    """New subjects, new conditions: the mean estimate is the actual variance of scores and differences."""
    contrasts = torch.tensor([[1.0, 0.0], [1.0, -1.0]], dtype=torch.float64)
    for signal in (0.0, 1.0):
        scores, estimates = [], []
        for models, subjects in zip(*_study(rng, signal, 150), strict=True):
            scores.append(contrasts @ COMPARISONS[method](models, subjects).mean(1))
            parts = variance_components(models, subjects, method)
            matrix = parts.subjects + parts.conditions - parts.shared
            estimates.append(torch.einsum("ki,ij,kj->k", contrasts, matrix, contrasts))
        ratio = torch.stack(estimates).mean(0) / torch.stack(scores).var(0)
        # 150 studies: the variance itself is known to sqrt(2 / 149) = 12 %
        assert ((ratio > 0.6) & (ratio < 1.5)).all(), (signal, ratio)


def test_the_bootstrap_overstates_the_variance_of_unrelated_rdms(rng):
    """Why components are the default: the ratio of variances without a relation is near 3 for the bootstrap."""
    ratios = []
    for models, subjects in zip(*_study(rng, 0.0, 12), strict=True):
        both = [
            evaluate(models, subjects, "pearson", generalise="conditions", errors=e, n_resamples=300)
            .table.standard_error.pow(2).mean()
            for e in ("bootstrap", "components")
        ]  # fmt: skip
        ratios.append(both[0] / both[1])
    assert sum(ratios) / len(ratios) > 2


def test_variance_over_subjects_is_the_textbook_one(rng):
    models, subjects = (part[0] for part in _study(rng, 1.0, 1))
    parts = variance_components(models, subjects, "pearson")
    scores = compare(models, subjects, "pearson")
    torch.testing.assert_close(parts.subjects.diagonal(), scores.var(1) / N_SUBJECTS)
    torch.testing.assert_close(parts.subjects[0, 1], torch.cov(scores)[0, 1] / N_SUBJECTS)


def test_parts_of_pairs_and_conditions_equal_a_least_squares_fit(rng):
    models, subjects = (part[0] for part in _study(rng, 1.0, 1))
    z, y = (v - v.mean(1, keepdim=True) for v in (models, subjects[:1]))
    z, y = (v / v.square().mean(1, keepdim=True).sqrt() for v in (z, y))
    influence = (z * y - (z * y).mean(1, keepdim=True) * (z.square() + y.square()) / 2)[0]
    rows, columns = torch.triu_indices(N_CONDITIONS, N_CONDITIONS, 1)
    design = torch.zeros(len(rows), N_CONDITIONS, dtype=torch.float64)
    design[torch.arange(len(rows)), rows] = design[torch.arange(len(rows)), columns] = 1
    fit = torch.linalg.lstsq(design, influence[:, None]).solution[:, 0]
    rest = (influence - design @ fit).square().sum() / (len(rows) - N_CONDITIONS)
    spread = fit.square().sum() / (N_CONDITIONS - 1) - rest / (N_CONDITIONS - 2)
    parts = variance_components(models, subjects[:1], "pearson")
    assert parts.pairs[0, 0].item() == pytest.approx(rest.item() / len(rows))
    assert parts.conditions[0, 0].item() == pytest.approx((4 * spread / N_CONDITIONS + rest / len(rows)).item())


def test_what_subjects_and_conditions_share_is_counted_once(rng):
    """A subject's own part in single conditions: the spread of the subjects' variances about that of their mean."""
    models, subjects = (part[0] for part in _study(rng, 1.0, 1))
    parts = variance_components(models, subjects, "pearson")
    alone = [variance_components(models, subjects[s : s + 1], "pearson").conditions for s in range(N_SUBJECTS)]
    torch.testing.assert_close(parts.shared, (sum(alone) / N_SUBJECTS - parts.conditions) / (N_SUBJECTS - 1))


def test_errors_have_floors_and_degrees_of_freedom_bounds(rng):
    single = torch.eye(2, dtype=torch.float64)
    for models, subjects in zip(*_study(rng, 0.0, 20), strict=True):
        parts = variance_components(models, subjects, "spearman")
        error, dof = component_error(parts, single, "both")
        assert (error.square() >= 0.5 * parts.subjects.diagonal() - 1e-12).all()
        assert (dof >= N_SUBJECTS - 1).all()


def test_bad_input_gets_one_clear_line(rng):
    with pytest.raises(ValueError, match="use errors='bootstrap'"):
        variance_components(torch.rand(1, 6), torch.rand(2, 6), "kendall")
    with pytest.raises(ValueError, match="at least 4 conditions, got 3"):
        variance_components(torch.rand(1, 3), torch.rand(2, 3), "pearson")

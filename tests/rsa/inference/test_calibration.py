"""Every test that evaluate() offers, on data without the effect it looks for: rejections at .05 must be near 5 %.

Noise models and noise subjects, fresh for every study. Each rate has the Monte-Carlo standard error of its number of
studies; the limits are .03 and .07 widened by two of them.
"""

import collections

import pytest
import torch

from brainnet.rsa import RDMs, evaluate, rdm
from tests.studies import studies

pytestmark = pytest.mark.slow

N_CONDITIONS, N_SUBJECTS, N_FEATURES = 20, 10, 50
N_STUDIES, N_CELLS = studies(40), 50  # studies share their two models among the cells; subjects are fresh in every cell


def _check(rejected: dict[str, list[float]]) -> None:
    for name, rates in rejected.items():
        rates = torch.tensor(rates, dtype=torch.float64)
        standard_error = (rates.std() / len(rates) ** 0.5).item()
        rate = rates.mean().item()
        assert 0.03 - 2 * standard_error < rate < 0.07 + 2 * standard_error, (name, rate, standard_error)


def _noise_studies():
    generator = torch.Generator().manual_seed(11)
    for _ in range(N_STUDIES):
        models = rdm(torch.randn(2, N_CONDITIONS, N_FEATURES, generator=generator))
        brains = rdm(torch.randn(N_CELLS * N_SUBJECTS, N_CONDITIONS, N_FEATURES, generator=generator)).values
        yield models, {str(i): RDMs(part) for i, part in enumerate(brains.split(N_SUBJECTS))}


def test_single_tests_and_differences_on_noise():
    rejected = collections.defaultdict(list)
    for seed, (models, cells) in enumerate(_noise_studies()):
        for generalise in ("subjects", "conditions", "both"):
            found = evaluate(models, cells, generalise=generalise, seed=seed)
            rejected[f"t, {generalise}"].append((found.table.p < 0.05).mean())
            rejected[f"difference, {generalise}"].append((found.differences().p < 0.05).mean())
        for test in ("permutation", "sign-flip"):
            found = evaluate(models, cells, generalise="subjects", test=test, n_permutations=500, seed=seed)
            rejected[test].append((found.table.p < 0.05).mean())
        rejected["difference, sign-flip"].append((found.differences().p < 0.05).mean())
    _check(rejected)


@pytest.mark.parametrize("test", ["permutation", "sign-flip"])
def test_the_maximum_statistic_controls_the_whole_table(test):
    generator = torch.Generator().manual_seed(12)
    claims = []
    for seed in range(studies(600)):
        models = rdm(torch.randn(3, N_CONDITIONS, N_FEATURES, generator=generator))
        brains = rdm(torch.randn(3 * N_SUBJECTS, N_CONDITIONS, N_FEATURES, generator=generator)).values
        cells = {str(i): RDMs(part) for i, part in enumerate(brains.split(N_SUBJECTS))}
        table = evaluate(
            models, cells, generalise="subjects", test=test, correction="max", n_permutations=200, seed=seed
        ).table
        claims.append(float((table.p_corrected < 0.05).any()))
    _check({f"max, {test}": claims})


def test_equally_good_models_over_fresh_conditions_and_subjects():
    """Two models that share the subjects' geometry and differ by their own noise: neither is better, in general."""
    generator = torch.Generator().manual_seed(13)

    def noise(*shape):
        return torch.randn(*shape, N_CONDITIONS, N_FEATURES, generator=generator)

    rejected = collections.defaultdict(list)
    for _ in range(studies(1000)):
        truth = noise()
        models, subjects = rdm(truth + 0.7 * noise(2)), rdm(truth + 1.5 * noise(N_SUBJECTS))
        for generalise in ("both", "conditions"):
            found = evaluate(models, subjects, generalise=generalise).differences()
            rejected[f"difference of equals, {generalise}"].append(float(found.p[0] < 0.05))
    _check(rejected)

import numpy as np
import pytest
import torch

from brainnet.rsa import COMPARISONS, noise_ceiling
from brainnet.rsa.inference.bootstrap import Draws, bootstrap, bootstrap_draws, condition_variance, contrast_variance

pytest.importorskip("rsatoolbox", reason="the oracle of these numbers is rsatoolbox")
from rsatoolbox.inference import eval_dual_bootstrap, evaluate
from rsatoolbox.model import ModelFixed
from rsatoolbox.rdm import RDMs as OracleRDMs
from rsatoolbox.util.inference_util import extract_variances

N_CONDITIONS, N_SUBJECTS, N_MODELS, N_RESAMPLES = 9, 5, 3, 12
ARMS = ("both", "subjects", "conditions")


@pytest.fixture
def sample(rng):
    n_pairs = N_CONDITIONS * (N_CONDITIONS - 1) // 2
    common = torch.rand(n_pairs, generator=rng, dtype=torch.float64)
    models = common + torch.rand(N_MODELS, n_pairs, generator=rng, dtype=torch.float64)
    models[0] = (models[0] * 3).round()  # a model with ties
    return models, common + torch.rand(N_SUBJECTS, n_pairs, generator=rng, dtype=torch.float64)


@pytest.fixture
def oracle(sample, monkeypatch):
    """rsatoolbox's dual bootstrap and the draws it made."""
    models, subjects = sample
    drawn = []
    original = evaluate.bootstrap_sample

    def recorded(*args, **kwargs):
        result = original(*args, **kwargs)
        drawn.append(result[1:])
        return result

    monkeypatch.setattr(evaluate, "bootstrap_sample", recorded)

    def run(method):
        drawn.clear()
        state = np.random.get_state()  # noqa: NPY002  the oracle draws from the global generator
        np.random.seed(3)  # noqa: NPY002
        result = eval_dual_bootstrap(
            [ModelFixed(str(i), m) for i, m in enumerate(models.numpy())],
            OracleRDMs(subjects.numpy()),
            method=method,
            N=N_RESAMPLES,
        )
        np.random.set_state(state)  # noqa: NPY002
        counts = [
            torch.from_numpy(np.stack([np.bincount(draw[side], minlength=size) for draw in drawn]).astype(float))
            for side, size in ((0, N_SUBJECTS), (1, N_CONDITIONS))
        ]
        return result, Draws(*counts)

    return run


@pytest.mark.filterwarnings("ignore:Noise ceiling for tau")
@pytest.mark.parametrize(
    ("method", "name"),
    [
        ("pearson", "corr"),
        ("cosine", "cosine"),
        ("spearman", "spearman"),
        ("rho-a", "rho-a"),
        ("whitened-cosine", "cosine_cov"),
        ("whitened-pearson", "corr_cov"),
        ("tau-a", "tau-a"),
        ("kendall", "kendall"),
    ],
)
def test_dual_bootstrap_equals_rsatoolbox_on_the_same_draws(sample, oracle, method, name):
    result, draws = oracle(name)
    found = bootstrap(*sample, method, draws)
    for i, arm in enumerate(ARMS):
        ours = getattr(found, arm)
        np.testing.assert_allclose(ours.scores.numpy(), result.evaluations[:, :, 0, 0, i], atol=1e-10, err_msg=arm)
        if not method.startswith("whitened"):  # theirs pool without whitening, which is not the best group RDM
            np.testing.assert_allclose(ours.lower.numpy(), result.noise_ceiling[0, :, 0, i], atol=1e-10, err_msg=arm)
            np.testing.assert_allclose(ours.upper.numpy(), result.noise_ceiling[1, :, 0, i], atol=1e-10, err_msg=arm)
    of_models, of_differences, _ = extract_variances(result.variances, True, N_SUBJECTS, N_CONDITIONS)
    single = torch.eye(N_MODELS, dtype=torch.float64)
    difference = torch.stack([single[i] - single[j] for i in range(N_MODELS) for j in range(i + 1, N_MODELS)])
    for contrasts, expected in ((single, of_models), (difference, of_differences)):
        variance = contrast_variance(found, contrasts, N_SUBJECTS, N_CONDITIONS)
        np.testing.assert_allclose(variance.numpy(), expected, atol=1e-10)


def test_weights_equal_copies_with_their_own_pairs_left_out(sample):
    models, subjects = sample
    draws = bootstrap_draws(N_SUBJECTS, N_CONDITIONS, 6, torch.Generator().manual_seed(4))
    for method in ("pearson", "spearman"):
        found = bootstrap(models, subjects, method, draws).conditions.scores
        for counts, scores in zip(draws.conditions.long(), found, strict=True):
            copies = torch.arange(N_CONDITIONS).repeat_interleave(counts)
            rows, columns = torch.triu_indices(N_CONDITIONS, N_CONDITIONS, 1)
            index = torch.full((N_CONDITIONS, N_CONDITIONS), -1)
            index[rows, columns] = index[columns, rows] = torch.arange(len(rows))
            i, j = torch.triu_indices(len(copies), len(copies), 1)
            pairs = index[copies[i], copies[j]]
            pairs = pairs[pairs >= 0]
            expected = COMPARISONS[method](models[:, pairs], subjects[:, pairs]).mean(1)
            torch.testing.assert_close(scores, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("digits", [1, 16])  # subjects with ties, whose ranks are halves, and without
def test_everybody_drawn_once_has_the_ceilings_of_the_sample(sample, digits):
    models, subjects = sample
    subjects = (subjects * 10**digits).round() / 10**digits
    once = Draws(torch.ones(1, N_SUBJECTS).double(), torch.ones(1, N_CONDITIONS).double())
    expected = noise_ceiling(subjects, "spearman")
    for arm in bootstrap(models, subjects, "spearman", once):
        assert (arm.lower.item(), arm.upper.item()) == pytest.approx(expected[:2], abs=1e-12)


def test_ceilings_of_a_comparison_that_sees_the_scale_are_those_of_the_sample(sample):
    models, subjects = sample
    once = Draws(torch.ones(1, N_SUBJECTS).double(), torch.ones(1, N_CONDITIONS).double())
    with COMPARISONS.temporarily("agreement", lambda a, b: -(a[:, None] - b[None]).abs().mean(-1)):
        expected = noise_ceiling(subjects, "agreement")
        for arm in bootstrap(models, subjects, "agreement", once):
            assert (arm.lower.item(), arm.upper.item()) == pytest.approx(expected[:2], abs=1e-12)


def test_ceilings_may_be_left_out(sample):
    draws = bootstrap_draws(N_SUBJECTS, N_CONDITIONS, 5, torch.Generator().manual_seed(0))
    with_, without = (bootstrap(*sample, "spearman", draws, ceilings=c) for c in (True, False))
    assert without.both.lower.isnan().all()
    torch.testing.assert_close(with_.both.scores, without.both.scores)


def test_resamples_with_too_few_conditions_or_subjects_are_nan(sample):
    counts = torch.zeros(2, N_CONDITIONS, dtype=torch.float64)
    counts[0, :2], counts[1] = torch.tensor([4.0, 5.0]), 1
    subjects = torch.tensor([[1.0] * 5, [5.0, 0, 0, 0, 0]], dtype=torch.float64)
    for method in ("pearson", "spearman", "tau-a"):
        found = bootstrap(*sample, method, Draws(subjects, counts))
        assert found.both.scores[0].isnan().all()
        assert not found.both.scores[1].isnan().any()
        assert found.subjects.lower[1].isnan()
        assert not found.subjects.upper[1].isnan()


def test_the_dual_variance_is_held_between_its_parts(sample):
    draws = bootstrap_draws(N_SUBJECTS, N_CONDITIONS, 200, torch.Generator().manual_seed(1))
    found = bootstrap(*sample, "cosine", draws)
    single = torch.eye(N_MODELS, dtype=torch.float64)
    dual = contrast_variance(found, single, N_SUBJECTS, N_CONDITIONS)
    assert (dual <= found.both.scores.var(0) + 1e-15).all()
    over_conditions = condition_variance(found, single, N_CONDITIONS)
    assert (dual >= torch.minimum(over_conditions, found.both.scores.var(0)) - 1e-15).all()


def test_comparisons_that_need_every_pair_are_refused(sample):
    draws = bootstrap_draws(N_SUBJECTS, N_CONDITIONS, 2)
    with pytest.raises(ValueError, match="'cka' cannot be resampled over conditions"):
        bootstrap(*sample, "cka", draws)
    with pytest.raises(ValueError, match="without noise_covariance"):
        bootstrap(*sample, "whitened-cosine", draws, noise_covariance=torch.eye(N_CONDITIONS))

import numpy as np
import pytest
import torch
from scipy import stats

from brainnet.rsa import COMPARISONS, RDMs, evaluate, explained, noise_ceiling, pool, rdm, reliability

rsatoolbox = pytest.importorskip("rsatoolbox", reason="the oracle of these numbers is rsatoolbox")
from rsatoolbox.inference import boot_noise_ceiling  # noqa: E402
from rsatoolbox.rdm import RDMs as OracleRDMs  # noqa: E402
from rsatoolbox.util.pooling import pool_rdm as oracle_pool  # noqa: E402


@pytest.fixture
def subjects(rng):
    features = torch.randn(12, 20, generator=rng, dtype=torch.float64)
    return rdm(features + torch.randn(6, 12, 20, generator=rng, dtype=torch.float64), "sqeuclidean")


@pytest.mark.parametrize(
    ("method", "oracle"), [("pearson", "corr"), ("spearman", "spearman"), ("cosine", "cosine"), ("rho-a", "rho-a"),
                           ("kendall", "kendall"), ("tau-a", "tau-a")]
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:Noise ceiling for tau")
def test_ceilings_equal_rsatoolbox(subjects, method, oracle):
    expected = boot_noise_ceiling(OracleRDMs(subjects.values.numpy()), method=oracle)
    np.testing.assert_allclose(noise_ceiling(subjects, method), expected, atol=1e-10)


@pytest.mark.parametrize(("method", "oracle"), [("whitened-cosine", "cosine_cov"), ("whitened-pearson", "corr_cov")])
def test_whitened_group_rdm_has_the_direction_of_rsatoolboxs(subjects, method, oracle):
    expected = oracle_pool(OracleRDMs(subjects.values.numpy()), method=oracle).dissimilarities[0]
    found = pool(subjects, method).values[0].numpy()
    assert np.corrcoef(found, expected)[0, 1] == pytest.approx(1, abs=1e-9)  # the oracle adds a constant


@pytest.mark.parametrize("method", ["pearson", "cosine", "spearman", "whitened-cosine", "whitened-pearson", "cka"])
def test_no_rdm_scores_above_the_upper_ceiling(subjects, method, rng):
    upper = noise_ceiling(subjects, method).upper
    group = pool(subjects, method).values
    nearby = group * (1 + 0.05 * torch.randn(200, group.shape[1], generator=rng, dtype=torch.float64))
    scores = COMPARISONS[method](
        torch.cat([nearby, subjects.values, subjects.values.mean(0, keepdim=True)]), subjects.values
    )
    slack = 1e-3 if method == "spearman" else 1e-12  # of mean ranks only the order counts: nearly, not exactly optimal
    assert scores.mean(1).max().item() <= upper + slack


def test_ceilings_of_every_comparison_are_ordered(subjects):
    for method in COMPARISONS:
        ceiling = noise_ceiling(subjects, method)
        assert ceiling.lower < ceiling.upper, method


def agreement(a, b):
    return -(a[:, None] - b[None]).abs().mean(-1)


def test_a_comparison_of_ones_own_that_sees_the_scale_has_a_ceiling_in_its_own_unit(subjects, rng):
    """Group RDMs are means of the RDMs as they are; a sum over subjects, each scaled, is far from every one of them."""
    values, n = subjects.values * torch.arange(1, 7)[:, None], len(subjects)
    others = torch.stack([(values.sum(0) - one) / (n - 1) for one in values])
    with COMPARISONS.temporarily("agreement", agreement):
        lower, upper = noise_ceiling(values, "agreement")
        settings = {"method": "agreement", "bound": "upper", "n_resamples": 60, "progress": False}
        found = evaluate({"mean": values.mean(0)}, RDMs(values), **settings)
    assert upper == pytest.approx(-(values - values.mean(0)).abs().mean().item())
    assert lower == pytest.approx(-(values - others).abs().mean().item())
    row = found.table.iloc[0]
    assert (row.score, row.ceiling) == pytest.approx((upper, upper))  # of the mean, which is the group RDM
    assert 1.5 * upper < row.ceiling_low < row.ceiling_high < 0  # both bounds


@pytest.mark.parametrize(
    ("images", "roi", "upper", "lower"),
    [(92, "EVC", 0.1589, 0.0686), (92, "IT", 0.3075, 0.2264), (78, "EVC", 0.0640, 0.0068), (78, "IT", 0.0647, 0.0028)],
)
def test_algonauts_ceilings(test_data, images, roi, upper, lower):
    subjects = RDMs.load(test_data / "algonauts2019" / f"rdms_{images}" / f"fmri_{roi}_RDMs.npz")
    found = noise_ceiling(subjects, "spearman", pooling="mean", squared=True)
    assert round(found.upper, 4) == upper
    assert round(found.lower, 4) == lower


def test_explained_says_what_it_is_and_is_nan_under_the_floor():
    ceilings = torch.tensor([0.5, 0.01, -0.1])
    found = explained(torch.tensor([0.6, 0.2, 0.2]), ceilings, "lower", floor=0.02)
    assert found.definition == "score / lower noise ceiling, NaN where it is <= 0.02"
    assert found.value[0].item() == pytest.approx(1.2)  # not clipped
    assert found.value[1:].isnan().all()


def test_reliability_over_subjects_and_sessions(rng):
    truth = torch.randn(4, 1, 400, generator=rng, dtype=torch.float64)
    values = (truth + torch.randn(4, 3, 400, generator=rng, dtype=torch.float64)).flatten(0, 1)
    sessions = np.repeat(["a", "b", "c", "d"], 3)
    rdms = RDMs(values[:, :378])
    couples = [(i, j) for s in range(4) for i in range(3 * s, 3 * s + 3) for j in range(i + 1, 3 * s + 3)]
    pairs = [stats.pearsonr(rdms.values[i], rdms.values[j]).statistic for i, j in couples]
    found = reliability(rdms, "pearson", groups=sessions)
    assert found.mean == pytest.approx(np.mean(pairs))
    assert found.of_average == pytest.approx(3 * found.mean / (1 + 2 * found.mean))
    between = reliability(rdms, "pearson", groups=sessions, within=False)
    assert abs(between.mean) < 0.1 < found.mean
    everything = reliability(rdms, "pearson")
    off_diagonal = everything.similarity[~torch.eye(12, dtype=torch.bool)]
    assert everything.mean == pytest.approx(off_diagonal.mean().item())


def test_two_subjects_are_enough():
    two = RDMs(torch.tensor([[1.0, 2.0, 3.0], [1.0, 3.0, 2.0]]))
    lower, upper = noise_ceiling(two, "pearson")
    assert (lower, upper) == (pytest.approx(0.5), pytest.approx(0.75**0.5))  # with the other; with their mean


def test_bad_input_gets_one_clear_line(subjects):
    with pytest.raises(ValueError, match="got 1 RDM, at least 2"):
        noise_ceiling(subjects[0])
    with pytest.raises(ValueError, match="'optimal' or 'mean'"):
        noise_ceiling(subjects, pooling="median")
    holed = subjects.values.clone()
    holed[2, 5] = torch.nan
    with pytest.raises(ValueError, match="RDM '2' holds NaN"):
        noise_ceiling(holed)
    with pytest.raises(ValueError, match="'lower' or 'upper'"):
        explained(0.1, 0.2, "middle")
    with pytest.raises(ValueError, match="no couple of RDMs within groups"):
        reliability(subjects, groups=range(6))

"""RSA over time: choices that do not profit from choosing, planted dynamics, and fusion as evaluate sees it."""

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from brainnet.rsa import RDMs, compare, evaluate, pool, rdm
from brainnet.rsa.mixing.fitting import condition_splits
from brainnet.rsa.pairs import pair_index
from brainnet.rsa.temporal import by_step, by_time, ct_rsa, fusion, lagged

N, PAIRS = 14, 91


@pytest.fixture
def moving(rng):
    """Two layers of 3 and 2 steps, and a brain of 6 subjects that runs through the first layer, then rests."""
    layers = {"a": RDMs(torch.rand(3, PAIRS, generator=rng)), "b": RDMs(torch.rand(2, PAIRS, generator=rng))}
    brain = torch.rand(6, 5, PAIRS, generator=rng)
    brain[:, :3] += layers["a"].values
    return layers, by_time(brain)


def test_squares_and_vectors_give_the_same_course(rng):
    vectors = torch.rand(2, 3, 6, generator=rng)
    squares = torch.stack([RDMs(subject).to_square() for subject in vectors])
    for a, b in zip(by_time(vectors, names=["x", "y"]), by_time(squares, names=["x", "y"]), strict=True):
        assert torch.equal(a.values, b.values)
        assert a.names == ("x", "y")
    with pytest.raises(ValueError, match=r"expected \(n_subjects, n_times, n, n\)"):
        by_time(vectors[0])


def test_scores_are_those_of_a_loop(moving, rng):
    layers, brain = moving
    state = rng.get_state()
    found = ct_rsa(layers, brain, n_repeats=2, generator=rng)
    candidates = torch.cat([rdms.values for rdms in layers.values()]).numpy()
    splits = condition_splits(N, 2, 2, rng.set_state(state))
    expected = np.zeros((5, 6))
    for split in splits:
        train, test = (pair_index(part, N).numpy() for part in (split.train, split.test))
        for t, rdms in enumerate(brain):
            y = rdms.values.numpy()
            for s in range(6):
                others = np.delete(np.arange(6), s)
                means = [np.mean([spearmanr(c[train], y[o, train])[0] for o in others]) for c in candidates]
                expected[t, s] += spearmanr(candidates[np.argmax(means), test], y[s, test])[0] / len(splits)
    np.testing.assert_allclose(found.score, expected, atol=1e-5)
    for t, rdms in enumerate(brain):
        mean = compare(torch.from_numpy(candidates), rdms).mean(1)
        torch.testing.assert_close(found.similarity[:, t], mean)


def test_the_brain_is_followed_through_the_model(moving, rng):
    layers, brain = moving
    found = ct_rsa(layers, brain, n_permutations=99, generator=rng)
    assert found.chosen[:3].tolist() == [0, 1, 2]
    assert (found.agreement[:3] > 0.95).all()
    table = found.table(times=[0.0, 0.1, 0.2, 0.3, 0.4])
    assert table["layer"][:3].tolist() == ["a"] * 3
    assert table["step"][:3].tolist() == [0, 1, 2]
    assert (table["p_max"][:3] == 0.01).all()
    assert (table["p_max"][3:] > 0.05).all()
    assert (found.test.p_max >= found.test.p).all()
    assert (found.test.p_max[3:] > found.test.p[3:]).all()  # five times compete
    assert found.layer("a").argmax(0)[:3].tolist() == [0, 1, 2]
    assert found.layer("b").shape == (2, 5)


def test_choosing_gains_nothing_on_noise_where_the_plain_maximum_does(rng):
    plain, honest = [], []
    for _ in range(30):
        layers = {"a": torch.rand(20, PAIRS, generator=rng)}
        found = ct_rsa(layers, by_time(torch.rand(5, 4, PAIRS, generator=rng)), n_repeats=1, generator=rng)
        plain.append(found.similarity.amax(0).mean().item())
        honest.append(found.score.mean().item())
    assert np.mean(plain) > 0.05
    assert abs(np.mean(honest)) < 3 * np.std(honest) / 30**0.5


def test_one_subject_chooses_on_its_own_other_conditions(moving, rng):
    layers, brain = moving
    alone = [rdms[0] for rdms in brain]
    with pytest.raises(ValueError, match="over_subjects=False"):
        ct_rsa(layers, alone, generator=rng)
    assert ct_rsa(layers, alone, over_subjects=False, generator=rng).score.shape == (5, 1)


def test_fusion_is_evaluate_with_pooled_regions(rng):
    fmri = {"V1": RDMs(torch.rand(4, PAIRS, generator=rng)), "IT": RDMs(torch.rand(4, PAIRS, generator=rng))}
    course = torch.rand(5, 3, PAIRS, generator=rng)
    course[:, 1] += fmri["IT"].values.mean(0)
    found = fusion(fmri, by_time(course), times=[0.0, 0.1, 0.2], generalise="subjects", progress=False)
    pooled = {name: pool(rdms, "spearman") for name, rdms in fmri.items()}
    expected = evaluate(pooled, {"": by_time(course)}, generalise="subjects", progress=False)
    np.testing.assert_allclose(found.table["score"], expected.table["score"])
    rows = found.table.set_index(["model", "time"])["score"]
    assert rows["IT"].idxmax() == 0.1
    assert rows["IT", 0.1] > 0.3


def test_bad_input_is_one_clear_line(moving, rng):
    layers, brain = moving
    for call, message in [
        (lambda: ct_rsa({}, brain, generator=rng), "layers must map"),
        (lambda: ct_rsa(layers, brain, "kendall", generator=rng), "method must be one of"),
        (lambda: ct_rsa(layers, [brain[0], brain[1][:2]], generator=rng), "the same subjects"),
        (lambda: ct_rsa({"a": torch.rand(1, 45)}, brain, generator=rng), "cannot be compared"),
        (lambda: ct_rsa(layers, brain, n_folds=5, generator=rng), "use n_folds <= 3"),
        (lambda: ct_rsa(layers, brain, generator=rng).layer("c"), "no layer named 'c'"),
        (lambda: fusion({}, brain), "fmri must map"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()


@pytest.mark.slow
def test_ct_rsa_rejects_noise_as_often_as_it_says():
    n, rng, rejected = 2000, torch.Generator().manual_seed(4), 0
    for _ in range(n):
        found = ct_rsa(
            {"a": torch.rand(6, 66, generator=rng)}, by_time(torch.rand(4, 3, 66, generator=rng)), n_repeats=1,
            n_permutations=39, generator=rng,
        )  # fmt: skip
        rejected += found.test.p_max.min() <= 0.05
    rate, error = float(rejected) / n, (0.05 * 0.95 / n) ** 0.5
    print(f"ct_rsa maximum over times rejects {rate:.3f} of noise, Monte-Carlo error {error:.3f}")
    assert abs(rate - 0.05) <= 0.02


def test_rdms_by_step_are_those_of_each_step(rng):
    features = torch.rand(7, 3, 4, 2, generator=rng)
    found = by_step(features, "euclidean", names=("a", "b", "c"))
    assert found.names == ("a", "b", "c")
    for step in range(3):
        torch.testing.assert_close(found.values[step], rdm(features[:, step].flatten(1), "euclidean").values[0])
    with pytest.raises(ValueError, match="n_steps"):
        by_step(torch.rand(7, 3))


def test_lagged_similarities_are_those_of_step_and_time(rng):
    similarity, times = torch.rand(3, 5, generator=rng, dtype=torch.float64), [-0.1, 0.0, 0.1, 0.2, 0.3]
    lags, values = lagged(similarity, 0.2, times)
    for step in range(3):
        for time in range(5):
            column = int((lags - (times[time] - 0.2 * step)).abs().argmin())
            assert values[step, column] == similarity[step, time]
    assert int((~values.isnan()).sum()) == 15

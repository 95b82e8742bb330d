"""The searchlight against a plain loop, with planted regions, interruptions, and noise alone."""

import json
import sys

import joblib
import nibabel
import numpy as np
import pytest
import torch
from scipy.spatial.distance import pdist, squareform
from scipy.stats import pearsonr, spearmanr

from brainnet.rsa import Neighbourhoods, RDMs, compare, discs, rdm, searchlight, spheres
from brainnet.rsa.products import PRODUCTS, draw_orders, embed, permuted
from brainnet.space import BrainSpace

module = sys.modules["brainnet.rsa.search.chunks"]
N = 10  # conditions


@pytest.fixture
def space(rng):
    mask = torch.rand(6, 5, 5, generator=rng) > 0.2
    return BrainSpace(mask=mask, affine=torch.diag(torch.tensor([2.0, 2.0, 2.0, 1.0])).double())


@pytest.fixture
def small(rng, space):
    """Patterns, models and neighbourhoods of unequal sizes."""
    patterns = torch.randn(N, space.n_voxels, generator=rng, dtype=torch.float64)
    models = RDMs(torch.rand(3, N * (N - 1) // 2, generator=rng, dtype=torch.float64), names=("a", "b", "c"))
    return patterns, models, spheres(space, 4.0, min_size=8)


def test_scores_are_those_of_a_loop_over_scipy(small):
    patterns, models, lights = small
    found = searchlight(patterns, models, lights, metric="correlation", method="spearman")
    assert len(set(lights.sizes)) > 5
    for i in range(len(lights)):
        brain = pdist(patterns[:, lights[i]].numpy(), "correlation")
        expected = [spearmanr(brain, model)[0] for model in models.values.numpy()]
        np.testing.assert_allclose(found.score[:, i], expected, atol=1e-12)
    assert torch.equal(found.best, found.score.argmax(0))
    top = found.score.sort(0, descending=True).values
    torch.testing.assert_close(found.margin, top[0] - top[1])


def family_wise(score, null):
    """P of scores (centres, ...) by the largest z-score over centres of null scores (permutations, centres, ...)."""
    p = torch.empty_like(score)
    every = torch.cat([score[None], null])
    z = (every - every.mean(0)) / every.std(0, correction=0)
    for centre in range(len(score)):
        p[centre] = sum((one.amax(0) >= z[0, centre] - 1e-11).double() for one in z[1:])
    return (p + 1) / (len(null) + 1)


@pytest.mark.parametrize("method", ["pearson", "kendall"])  # a product, and one that is none
def test_p_values_are_those_of_a_loop_over_permuted_squares(small, rng, method):
    patterns, models, lights = small
    lights = Neighbourhoods.from_lists([lights[i] for i in range(0, len(lights), 9)], lights.space)
    state = rng.get_state()
    found = searchlight(patterns, models, lights, method=method, n_permutations=40, generator=rng)
    orders = draw_orders(N, 40, rng.set_state(state))
    columns = [torch.from_numpy(lights[i].astype(int)) for i in range(len(lights))]
    brains = torch.cat([rdm(patterns[:, members]).values for members in columns])
    null = []
    for order in orders.numpy():
        squares = [squareform(model)[np.ix_(order, order)] for model in models.values.numpy()]
        null.append(compare(brains, np.stack([squareform(s) for s in squares]), method))
    null = torch.stack(null)  # (permutations, centres, models)
    score = compare(brains, models, method)
    torch.testing.assert_close(found.score.T, score)
    tie = 1e-12
    torch.testing.assert_close(found.test.p.T, ((null >= score - tie).sum(0) + 1) / 41, check_dtype=False)
    torch.testing.assert_close(found.test.p_max.T, family_wise(score, null), check_dtype=False)
    best, best_null = score.amax(1), null.amax(2)
    expected = ((best_null >= best - tie).sum(0) + 1) / 41
    torch.testing.assert_close(found.best_test.p, expected, check_dtype=False)
    torch.testing.assert_close(found.best_test.p_max, family_wise(best, best_null), check_dtype=False)


@pytest.mark.parametrize("method", PRODUCTS)
def test_products_are_the_comparisons_and_move_with_the_conditions(rng, method):
    a, b = (torch.rand(k, 28, generator=rng, dtype=torch.float64) for k in (3, 2))
    orders = draw_orders(8, 4, rng)
    torch.testing.assert_close(embed(a, method, {}) @ embed(b, method, {}).T, compare(a, b, method))
    moved = permuted(b, orders)
    for i, order in enumerate(orders.tolist()):
        torch.testing.assert_close(moved[:, i], RDMs(b).reorder(order).values)
    torch.testing.assert_close(permuted(embed(b, method, {}), orders)[0], embed(moved[0], method, {}))


def test_chunks_memory_and_processes_change_nothing(small, rng, monkeypatch):
    patterns, models, lights = small
    state = rng.get_state()
    whole = searchlight(patterns, models, lights, n_permutations=30, generator=rng)
    monkeypatch.setattr(module, "CENTRES_PER_CHUNK", 7)
    for settings in ({}, {"memory": 20_000}, {"n_jobs": 2}):
        again = searchlight(patterns, models, lights, n_permutations=30, generator=rng.set_state(state), **settings)
        for name, values in whole.maps().items():
            torch.testing.assert_close(again.maps()[name], values, equal_nan=True)


def test_centres_whose_chance_spreads_widely_do_not_hide_the_others():
    """Half of the centres have one odd condition, so that chance scores reach far; the others hold a planted shape.

    By the largest score itself 10 of the 20 are found.
    """
    rng, n, width = torch.Generator().manual_seed(15), 16, 30
    shape = torch.randn(n, 6, generator=rng)
    patterns = torch.randn(n, 40 * width, generator=rng)
    patterns[:, : 20 * width] += 0.75 * (shape @ torch.randn(6, 20 * width, generator=rng)) / 6**0.5
    patterns[0, 20 * width :] += 8 * torch.randn(20 * width, generator=rng)  # far from all others
    lights = Neighbourhoods.from_lists(
        [list(range(width * i, width * (i + 1))) for i in range(40)], BrainSpace.free(40 * width)
    )
    found = searchlight(patterns, rdm(shape, "sqeuclidean"), lights, metric="sqeuclidean", method="pearson",
                        n_permutations=300, generator=rng, progress=False)  # fmt: skip
    significant = found.test.p_max[0] <= 0.05
    assert int(significant[:20].sum()) >= 17
    assert not significant[20:].any()


@pytest.mark.parametrize("backend", ["threading", "multiprocessing"])  # the latter gives all results at the end
def test_every_backend_of_joblib_works(small, monkeypatch, backend):
    monkeypatch.setattr(module, "CENTRES_PER_CHUNK", 7)
    whole = searchlight(*small)
    with joblib.parallel_config(backend):
        again = searchlight(*small, n_jobs=2)
    torch.testing.assert_close(again.score, whole.score, equal_nan=True)


def test_crossnobis_with_noise_of_each_sphere(small, rng):
    _, models, lights = small
    n_voxels = lights.space.n_voxels
    patterns = torch.randn(3, N, n_voxels, generator=rng, dtype=torch.float64)
    residuals = torch.randn(60, n_voxels, generator=rng, dtype=torch.float64)
    found = searchlight(patterns, models, lights, metric="crossnobis", method="cosine", residuals=residuals)
    for i in (0, len(lights) - 1):
        columns = torch.from_numpy(lights[i].astype(int))
        brain = rdm(patterns[..., columns], "crossnobis", residuals=residuals[:, columns])
        torch.testing.assert_close(found.score[:, i], compare(models, brain, "cosine")[:, 0])


def test_planted_models_are_found_where_they_are_and_nowhere_else(rng):
    space = BrainSpace(mask=torch.ones(12, 6, 6).bool(), affine=torch.eye(4).double())
    shapes = torch.randn(2, 16, 8, generator=rng)  # two codes of 16 conditions in 8 dimensions
    models = RDMs(torch.cat([rdm(shape).values for shape in shapes]), names=("left", "right"))
    x = torch.from_numpy(np.argwhere(np.ones((12, 6, 6))))[:, 0]
    patterns = torch.randn(16, space.n_voxels, generator=rng)
    for model, region in enumerate((x < 4, x >= 8)):
        patterns[:, region] += shapes[model] @ torch.randn(8, int(region.sum()), generator=rng)
    lights = spheres(space, 1.5, min_size=10)
    maps = searchlight(patterns, models, lights, n_permutations=200, generator=rng)
    winner = maps.significant_best()
    at = x[torch.from_numpy(lights.centres)]
    assert (winner[at < 3] == 0).float().mean() > 0.9
    assert (winner[at > 8] == 1).float().mean() > 0.9
    assert (winner[(at == 5) | (at == 6)] >= 0).float().mean() < 0.1  # the sphere there holds noise alone
    assert maps.test.p_max[0, at == 6].min() > 0.05


def test_an_interrupted_run_goes_on_and_another_is_refused(small, rng, tmp_path, monkeypatch):
    patterns, models, lights = small
    monkeypatch.setattr(module, "CENTRES_PER_CHUNK", 10)
    state = rng.get_state()
    whole = searchlight(patterns, models, lights, n_permutations=20, generator=rng)
    done = []
    do_chunk = module.do_chunk

    def cut_short(work, store, i):
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(i)
        return do_chunk(work, store, i)

    monkeypatch.setattr(module, "do_chunk", cut_short)
    with pytest.raises(KeyboardInterrupt):
        searchlight(patterns, models, lights, n_permutations=20, generator=rng.set_state(state), folder=tmp_path)
    assert len(list(tmp_path.glob("chunk_*.npz"))) == 3
    assert not list(tmp_path.glob(".*"))
    again = []
    monkeypatch.setattr(module, "do_chunk", lambda work, store, i: again.append(i) or do_chunk(work, store, i))
    resumed = searchlight(patterns, models, lights, n_permutations=20, generator=rng.set_state(state), folder=tmp_path)
    assert set(again).isdisjoint(done)
    for name, values in whole.maps().items():
        torch.testing.assert_close(resumed.maps()[name], values, equal_nan=True)
    rng.set_state(state)
    with pytest.raises(ValueError, match="another searchlight"):
        searchlight(2 * patterns + 1, models, lights, n_permutations=20, generator=rng, folder=tmp_path)
    with pytest.raises(ValueError, match="another searchlight"):  # other permutations
        searchlight(patterns, models, lights, n_permutations=20, generator=rng, folder=tmp_path)


def test_undefined_centres_are_nan_and_counted(small, rng):
    patterns, models, lights = small
    patterns = patterns.clone()
    patterns[2, torch.from_numpy(lights[4].astype(int))] = 1.0
    state = rng.get_state()
    rest = Neighbourhoods.from_lists(
        [lights[i] for i in range(len(lights)) if i != 4], lights.space, np.delete(lights.centres, 4)
    )
    without = searchlight(patterns, models, rest, n_permutations=20, generator=rng)
    rng.set_state(state)
    with pytest.warns(UserWarning, match="1 of .* centers have an undefined RDM"):
        maps = searchlight(patterns, models, lights, n_permutations=20, generator=rng)
    assert maps.score[:, 4].isnan().all()
    assert maps.best[4] == -1
    for name in ("p", "p_fdr", "p_max"):
        assert getattr(maps.test, name)[:, 4].isnan().all()
        assert getattr(maps.best_test, name)[4].isnan()
    defined = torch.arange(len(lights)) != 4
    for name in ("p", "p_fdr", "p_max"):
        assert torch.equal(getattr(maps.test, name)[:, defined], getattr(without.test, name))
        assert torch.equal(getattr(maps.best_test, name)[defined], getattr(without.best_test, name))


def test_maps_return_to_nifti(small, rng, tmp_path):
    patterns, models, lights = small
    maps = searchlight(patterns, models, lights, n_permutations=20, generator=rng)
    maps.save(tmp_path)
    score = nibabel.load(tmp_path / "score.nii.gz")
    np.testing.assert_array_equal(score.affine, lights.space.affine)
    places = np.unravel_index(lights.space.volume_index[lights.centres].numpy(), lights.space.mask.shape)
    np.testing.assert_allclose(score.get_fdata()[places], maps.score.T, atol=1e-6)
    assert np.isfinite(score.get_fdata()).sum() == maps.score.numel()
    best = nibabel.load(tmp_path / "best_model.nii.gz").get_fdata()
    np.testing.assert_array_equal(best[places], maps.best + 1)
    assert json.loads((tmp_path / "searchlight.json").read_text())["models"] == ["a", "b", "c"]


def test_maps_return_to_gifti(rng, tmp_path):
    space = BrainSpace(vertices=torch.cat([torch.arange(0, 60), 10242 + torch.arange(0, 40)]), mesh="fsaverage5")
    patterns, models = torch.randn(N, 100, generator=rng), RDMs(torch.rand(2, 45, generator=rng), names=("x", "y"))
    maps = searchlight(patterns, models, discs(space, k=10), n_permutations=9, generator=rng)
    maps.save(tmp_path)
    arrays = [nibabel.load(tmp_path / f"score.{side}.func.gii").darrays for side in "LR"]
    assert [a.meta["Name"] for a in arrays[0]] == ["x", "y"]
    np.testing.assert_allclose(arrays[0][1].data[:60], maps.score[1, :60], atol=1e-6)
    np.testing.assert_allclose(arrays[1][0].data[:40], maps.score[0, 60:], atol=1e-6)
    assert np.isnan(arrays[0][0].data[60:]).all()
    labels = nibabel.load(tmp_path / "best_model.R.label.gii")
    np.testing.assert_array_equal(labels.darrays[0].data[:40], maps.best[60:] + 1)
    assert labels.labeltable.get_labels_as_dict() == {0: "none", 1: "x", 2: "y"}


def test_bad_input_is_one_clear_line(small, rng):
    patterns, models, lights = small
    names = [str(i) for i in range(N)]
    broken = patterns.clone()
    broken[0, 3] = torch.nan
    flat = RDMs(torch.ones(1, models.n_pairs), names=("flat",))
    named = RDMs(models.values, conditions=names)
    for call, message in [
        (lambda: searchlight(patterns[:, :5], models, lights), "voxels of the neighborhoods' space"),
        (lambda: searchlight(broken, models, lights), "1 of .* voxels hold NaN .* column 3"),
        (lambda: searchlight(patterns[:6], models, lights), "cannot be compared"),
        (lambda: searchlight(patterns, flat, lights), "'flat' has the same dissimilarity everywhere"),
        (lambda: searchlight(patterns, models, lights, n_permutations=5), "pass generator="),
        (lambda: searchlight(patterns, models, lights, method="spearmann"), "Did you mean 'spearman'"),
        (lambda: searchlight(patterns, models, lights, metric="crossnobis"), "n_runs"),
        (lambda: searchlight(patterns, named, lights, conditions=names[::-1]), "different orders"),
        (lambda: searchlight(patterns, models, lights).significant_best(), "ran without permutations"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()


def test_searchlight_agrees_with_pearson_of_scipy_in_float32(small):
    patterns, models, lights = small
    found = searchlight(patterns.float(), models, lights, metric="euclidean", method="pearson")
    assert found.score.dtype == torch.float32
    brain = pdist(patterns[:, lights[0]].numpy(), "euclidean")
    np.testing.assert_allclose(found.score[0, 0], pearsonr(brain, models.values[0].numpy())[0], atol=1e-5)


@pytest.mark.slow
def test_searchlight_maximum_rejects_as_often_as_it_says():
    """Noise without any model in it: the best p_max of a map falls below .05 in 5 % of maps."""
    n_maps, rng = 1000, torch.Generator().manual_seed(1)
    space = BrainSpace(mask=torch.ones(6, 6, 4).bool(), affine=torch.eye(4).double())
    lights = spheres(space, 1.5, min_size=5)
    rejected = np.zeros(2)
    for _ in range(n_maps):
        patterns = torch.randn(12, space.n_voxels, generator=rng)
        models = rdm(torch.randn(4, 12, 6, generator=rng))  # RDMs with their own structure, not shuffled entries
        maps = searchlight(patterns, models, lights, n_permutations=99, generator=rng)
        rejected += [maps.best_test.p_max.min() <= 0.05, maps.test.p_max[0].min() <= 0.05]
    rate, error = rejected / n_maps, (0.05 * 0.95 / n_maps) ** 0.5
    print(f"searchlight maximum rejects {rate} of noise, Monte-Carlo error {error:.4f}")
    assert (np.abs(rate - 0.05) < 0.02).all()

"""P-values of maps: false discovery rates beside family-wise errors."""

import torch

from brainnet.rsa import RDMs, rdm, searchlight, spheres
from brainnet.rsa.search.maps import _gamma_tail, p_from_counts
from brainnet.scores import fdr
from brainnet.space import BrainSpace


def test_a_small_region_passes_fdr_where_it_passes_the_stricter_test(rng):
    """1,001 counts allow no p below .001: among 2,000 centres, few active ones could never pass by counts alone."""
    space = BrainSpace(mask=torch.ones(16, 12, 12).bool(), affine=torch.eye(4).double())
    lights = spheres(space, 1.5, min_size=5)
    shape = torch.randn(12, 6, generator=rng)
    patterns = torch.randn(12, space.n_voxels, generator=rng)
    here = torch.zeros(16, 12, 12).bool()
    here[5:7, 5:7, 5:7] = True
    patterns[:, here.flatten()] += 2 * shape @ torch.randn(6, 8, generator=rng)
    maps = searchlight(patterns, rdm(shape), lights, n_permutations=1000, generator=rng, progress=False)
    by_fdr, family_wise = (int((p[0] <= 0.05).sum()) for p in (maps.test.p_fdr, maps.test.p_max))
    assert family_wise >= 3
    assert by_fdr >= family_wise
    assert int((fdr(maps.test.p[0]) <= 0.05).sum()) < family_wise  # what it was
    assert "tail" in maps.settings["fdr"]


def test_fdr_is_by_counts_alone_where_permutations_are_few(rng):
    score = torch.rand(1, 50, generator=rng, dtype=torch.float64)
    null = torch.rand(1, 50, 99, generator=rng, dtype=torch.float64)
    exceeded = (null >= score[:, :, None]).sum(2)
    moments = torch.stack([null.pow(power).sum(2) for power in (1, 2, 3)], -1)
    found = p_from_counts(score, exceeded, null.amax(1), moments)
    torch.testing.assert_close(found.p_fdr[0], fdr(found.p[0], found.p_max[0]))


def test_the_tail_finds_what_counts_and_the_family_wise_test_do_not(rng):
    """1,000 centres and permutations, eleven active: ten of them below the bar of the largest score."""
    null = torch.randn(1, 1000, 1000, generator=rng, dtype=torch.float64)
    score = torch.randn(1, 1000, generator=rng, dtype=torch.float64).clamp(max=2)
    score[0, :10], score[0, 10] = 3.8, 6.0
    moments = torch.stack([null.pow(power).sum(2) for power in (1, 2, 3)], -1)
    found = p_from_counts(score, (null >= score[:, :, None]).sum(2), null.amax(1), moments)
    assert int((found.p_max <= 0.05).sum()) == int((fdr(found.p[0], found.p_max[0]) <= 0.05).sum()) == 1
    assert (found.p_fdr[0] <= 0.05).nonzero()[:, 0].tolist() == list(range(11))


def test_the_tail_is_the_one_that_many_permutations_have(rng):
    """Skewed chance: the tail from 1,000 permutations against the share of a million that reach the score."""
    draw = lambda n: torch.rand(n, 8, generator=rng, dtype=torch.float64).square().sum(1)  # noqa: E731
    null, score = draw(1000)[None, None], draw(1_000_000).quantile(0.9999)[None, None]
    moments = torch.stack([null.pow(power).sum(2) for power in (1, 2, 3)], -1)
    assert 1e-5 < _gamma_tail(score, moments, 1000).item() < 5e-4


def test_models_without_permutations_have_no_test(rng):
    sensors = spheres(BrainSpace(mask=torch.ones(3, 3, 3).bool(), affine=torch.eye(4).double()), 1.0, min_size=2)
    maps = searchlight(
        torch.rand(6, 27, generator=rng),
        RDMs(torch.arange(15.0)),
        sensors,
        metric="euclidean",
        method="cosine",
        progress=False,
    )
    assert maps.test is None

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon
from scipy.stats import wasserstein_distance

from brainnet.rsa import distributional_distance


@pytest.fixture
def sides(rng):
    x = torch.rand(30, 8, generator=rng, dtype=torch.float64).pow(3)
    return x, torch.randn(25, 5, generator=rng, dtype=torch.float64).exp()


def _components(x):
    x = x.numpy() - x.numpy().mean(0)
    u = np.linalg.svd(x, full_matrices=False)[0] * len(x) ** 0.5
    return u * np.where((u**3).sum(0) < 0, -1, 1)


def test_distances_equal_scipy_per_component(sides):
    a, b = (_components(side)[:, :5] for side in sides)
    expected = np.mean([wasserstein_distance(a[:, k], b[:, k]) for k in range(5)])
    assert distributional_distance(*sides).item() == pytest.approx(expected, abs=1e-12)
    divergence = []
    for k in range(5):
        edges = np.linspace(min(a[:, k].min(), b[:, k].min()), max(a[:, k].max(), b[:, k].max()), 11)
        p, q = (np.histogram(side[:, k], edges)[0] for side in (a, b))
        divergence.append(jensenshannon(p, q, base=2) ** 2)
    found = distributional_distance(*sides, "jensen-shannon", bins=10)
    assert found.item() == pytest.approx(np.mean(divergence), abs=1e-12)


def test_order_rotation_and_scale_play_no_role(sides, rng):
    x, y = sides
    rotation = torch.linalg.qr(torch.randn(8, 8, generator=rng, dtype=torch.float64)).Q
    shuffled = 3 * x[torch.randperm(30, generator=rng)] @ rotation + 2
    for metric in ("wasserstein", "jensen-shannon"):
        assert distributional_distance(x, shuffled, metric).item() == pytest.approx(0, abs=1e-10)
        assert distributional_distance(x, y, metric) > 0.01


@pytest.mark.parametrize(
    ("x", "options", "message"),
    [
        (torch.rand(2, 3), {}, "n_images >= 3"),
        (torch.full((5, 3), torch.nan), {}, "NaN"),
        (torch.rand(5, 3), {"metric": "kl"}, "metric must be one of"),
        (torch.rand(5, 3), {"n_components": 4}, "n_components must be 1 to 3"),
    ],
)
def test_bad_input_gets_one_clear_line(x, options, message):
    with pytest.raises(ValueError, match=message):
        distributional_distance(x, torch.rand(9, 6), **options)

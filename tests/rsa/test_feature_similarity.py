import numpy as np
import pytest
import torch

from brainnet.rsa import cka, compare, minibatch_cka, procrustes, rdm

N = 23


@pytest.fixture
def sides(rng):
    x = torch.randn(N, 8, generator=rng, dtype=torch.float64)
    y = x[:, :5] @ torch.randn(5, 40, generator=rng, dtype=torch.float64)
    return x, y + torch.randn(N, 40, generator=rng, dtype=torch.float64)


def _kernel(x, kind):
    """Kernel matrix by its definition, as numpy."""
    gram = x @ x.T
    if kind == "linear":
        return gram
    squared = np.diag(gram)[:, None] + np.diag(gram)[None] - 2 * gram
    np.fill_diagonal(squared, 0)
    return np.exp(-squared / (2 * np.median(squared[squared > 0])))


def _loop_hsic(k, m, unbiased):
    """HSIC by explicit sums over couples of images."""
    n = len(k)
    if not unbiased:
        centring = np.eye(n) - 1 / n
        return np.trace(k @ centring @ m @ centring)
    k, m = k - np.diag(np.diag(k)), m - np.diag(np.diag(m))
    direct = sum(k[i, j] * m[i, j] for i in range(n) for j in range(n))
    shared = sum(k[i].sum() * m[i].sum() for i in range(n))
    return direct + k.sum() * m.sum() / ((n - 1) * (n - 2)) - 2 * shared / (n - 2)


def _formula_of_thingsvision(k, m, unbiased):
    """Centred or U-centred kernels, then sum(K L) / sqrt(sum(K K) sum(L L)); from its description."""

    def centred(kernel):
        kernel = kernel.copy()
        n = len(kernel)
        if not unbiased:
            means = kernel.mean(0) - kernel.mean() / 2
            return kernel - means[:, None] - means[None]
        np.fill_diagonal(kernel, 0)
        means = kernel.sum(0) / (n - 2)
        means -= means.sum() / (2 * (n - 1))
        kernel -= means[:, None] + means[None]
        np.fill_diagonal(kernel, 0)
        return kernel

    k, m = centred(k), centred(m)
    return (k * m).sum() / np.sqrt((k * k).sum() * (m * m).sum())


@pytest.mark.parametrize("unbiased", [True, False])
@pytest.mark.parametrize("kind", ["linear", "rbf"])
def test_every_form_equals_the_loop_and_thingsvisions_formula(sides, kind, unbiased):
    x, y = sides
    for a, b in ((x, y), (y, x), (x, x[:, :3]), (y, y[:, :30])):  # feature space, kernels, and one of each
        k, m = _kernel(a.numpy(), kind), _kernel(b.numpy(), kind)
        expected = _loop_hsic(k, m, unbiased) / np.sqrt(_loop_hsic(k, k, unbiased) * _loop_hsic(m, m, unbiased))
        found = cka(a, b, kind, unbiased).item()
        assert found == pytest.approx(expected, abs=1e-10)
        assert found == pytest.approx(_formula_of_thingsvision(k, m, unbiased), abs=1e-10)


def test_unbiased_cka_of_independent_gaussians_is_zero_on_average(rng):
    xs, ys = ([torch.randn(50, 2000, generator=rng) for _ in range(7)] for _ in range(2))
    found = cka(xs, ys)
    # A single couple scatters with SD 1 / sqrt(1225 pairs) = .029; 49 couples leave a standard error of .004.
    assert abs(found.mean().item()) < 0.02
    assert found.std().item() == pytest.approx(1225**-0.5, rel=0.3)
    assert cka(xs[0], ys[0], unbiased=False).item() > 0.9


def test_cka_ignores_rotation_and_scale_but_not_every_linear_map(sides, rng):
    x, y = sides
    rotation = torch.linalg.qr(torch.randn(40, 40, generator=rng, dtype=torch.float64)).Q
    torch.testing.assert_close(cka(x, 7 * y @ rotation + 3), cka(x, y))
    assert abs(cka(x, y @ torch.diag(torch.linspace(0, 3, 40, dtype=torch.float64))) - cka(x, y)) > 0.01


def test_cka_of_features_equals_cka_of_their_squared_distances(sides):
    x, y = sides
    for unbiased in (True, False):
        expected = compare(rdm(x, "sqeuclidean"), rdm(y, "sqeuclidean"), "cka", unbiased=unbiased)[0, 0]
        torch.testing.assert_close(cka(x, y, unbiased=unbiased), expected)


def test_layers_against_layers(sides):
    x, y = sides
    found = cka({"a": x, "b": y}, [y, x, x[:, :2]])
    assert found.shape == (2, 3)
    torch.testing.assert_close(found[0, 0], cka(x, y))
    torch.testing.assert_close(found[0, 1], torch.tensor(1.0, dtype=torch.float64))


def test_an_offset_costs_no_digits_in_single_precision(sides):
    x, y = (side.float() + 1000 for side in sides)
    for kind in ("linear", "rbf"):
        assert cka(x, y, kind).item() == pytest.approx(cka(x.double(), y.double(), kind).item(), abs=1e-4)


def test_minibatches_of_everything_equal_the_whole_and_small_ones_are_unbiased(rng):
    common = torch.randn(4000, 6, generator=rng, dtype=torch.float64)
    x = common @ torch.randn(6, 10, generator=rng, dtype=torch.float64)
    y = common @ torch.randn(6, 4, generator=rng, dtype=torch.float64) + torch.randn(
        4000, 4, generator=rng, dtype=torch.float64
    )
    whole = cka(x, y).item()
    assert minibatch_cka([(x, y)]).item() == pytest.approx(whole, abs=1e-12)
    small = minibatch_cka(zip(x.split(16), y.split(16), strict=True)).item()
    assert small == pytest.approx(whole, abs=0.02)
    biased = minibatch_cka(zip(x.split(16), y.split(16), strict=True), unbiased=False).item()
    assert abs(biased - whole) > abs(small - whole)
    assert minibatch_cka([([x], [y, x])]).shape == (1, 2)


@pytest.mark.parametrize("unbiased", [True, False])
def test_minibatches_count_by_their_images(sides, unbiased):
    x, y = sides
    terms = {"xy": 0.0, "xx": 0.0, "yy": 0.0}
    for part in (slice(0, 6), slice(6, N)):
        k, m = (_kernel(side[part].numpy(), "linear") for side in (x, y))
        n = len(k)
        for name, (p, q) in {"xy": (k, m), "xx": (k, k), "yy": (m, m)}.items():
            terms[name] += n * _loop_hsic(p, q, unbiased) / (n * (n - 3) if unbiased else (n - 1) ** 2)
    found = minibatch_cka([(x[:6], y[:6]), (x[6:], y[6:])], unbiased=unbiased).item()
    assert found == pytest.approx(terms["xy"] / (terms["xx"] * terms["yy"]) ** 0.5, abs=1e-10)


def test_procrustes_equals_its_definition_and_ignores_rotation(sides, rng):
    x, y = sides
    a, b = ((s - s.mean(0)) / (s - s.mean(0)).norm() for s in sides)
    torch.testing.assert_close(procrustes(x, y), torch.linalg.svdvals(a.T @ b).sum())
    torch.testing.assert_close(
        compare(rdm(x, "sqeuclidean"), rdm(y, "sqeuclidean"), "procrustes")[0, 0], procrustes(x, y)
    )
    rotation = torch.linalg.qr(torch.randn(40, 40, generator=rng, dtype=torch.float64)).Q
    assert procrustes(y, 2 * y @ rotation + 1).item() == pytest.approx(1)


@pytest.mark.parametrize(
    ("x", "y", "options", "message"),
    [
        (torch.rand(5, 2), torch.rand(6, 2), {}, "same images are needed, got 5 and 6"),
        (torch.rand(3, 2), torch.rand(3, 2), {}, "at least 4 images"),
        (torch.rand(5, 2, 2), torch.rand(5, 2), {}, "flatten or pool"),
        (torch.full((5, 2), torch.nan), torch.rand(5, 2), {}, "NaN or infinite"),
        (torch.rand(5, 2), torch.rand(5, 2), {"kernel": "poly"}, "'linear' or 'rbf'"),
    ],
)
def test_bad_input_gets_one_clear_line(x, y, options, message):
    with pytest.raises(ValueError, match=message):
        cka(x, y, **options)


def test_no_batches_is_an_error():
    with pytest.raises(ValueError, match="no batches"):
        minibatch_cka([])

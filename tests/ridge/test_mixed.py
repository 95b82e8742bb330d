"""Mixed ridge against window ridge, kernel ridge and explicit loops over refits; planted shares; memory; manners."""

import numpy as np
import pytest
import torch
from sklearn.kernel_ridge import KernelRidge

from brainnet.ridge import MixedWindowRidgeCV, WindowRidgeCV, gaussian_windows
from brainnet.scores import pearson_r
from brainnet.tokens import Tokens

SETTINGS = {"centres": (-0.5, 0.5), "widths": (0.3, 0.6), "alphas": (1e-4, 1e-2, 1.0), "dtype": torch.float64}
FEW = (-0.35, 0.0, 0.35)


@pytest.fixture
def data(rng):
    """30 images, two layers of 3 and 20 channels on a 4 x 4 grid, and 6 voxels that read a window and some places."""
    local = {
        name: torch.randn(30, channels, 4, 4, generator=rng, dtype=torch.float64) + 2
        for name, channels in (("a", 3), ("b", 20))
    }
    window = gaussian_windows(torch.tensor([[0.5, -0.5, 0.3]], dtype=torch.float64), (4, 4))[0]
    read = torch.cat([(v * window).sum((2, 3)) for v in local.values()], 1)
    response = read @ torch.randn(23, 6, generator=rng, dtype=torch.float64) + 5
    response += 0.1 * local["a"].flatten(1) @ torch.randn(48, 6, generator=rng, dtype=torch.float64)
    response += 0.5 * torch.randn(30, 6, generator=rng, dtype=torch.float64)
    return local, response


def kernel_by_hand(local, place, images):
    """Features of one window, or of the whole maps where ``place`` is None, whose products are the kernel of mean 1."""
    columns = []
    for tokens in local.values():
        if place is None:
            features = tokens.flatten(1)
        else:
            x, y, width = place
            cells = (2 * np.arange(4) + 1) / 4 - 1
            weight = torch.from_numpy(np.exp(-((cells[None] - x) ** 2 + (cells[:, None] - y) ** 2) / (2 * width**2)))
            features = (tokens * weight / weight.sum()).sum((2, 3))
        centred = features[images] - features[images].mean(0)
        columns.append((features - features[images].mean(0)) * (len(images) / 2 / centred.square().sum()).sqrt())
    return torch.cat(columns, 1)


@pytest.mark.parametrize("groups", [None, [1] * 12 + [2] * 18])
def test_the_window_alone_is_window_ridge(data, groups):
    local, response = data
    mixed = MixedWindowRidgeCV(**SETTINGS, shares=(1.0,), n_windows=1).fit(local, response, groups)
    window = WindowRidgeCV(**SETTINGS).fit(local, response, groups)
    torch.testing.assert_close(mixed.predict(local), window.predict(local), rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(mixed.intercept_, window.intercept_, rtol=1e-8, atol=1e-8)
    for name in ("position_", "width_", "best_alphas_", "window_scores_", "loo_scores_"):
        torch.testing.assert_close(getattr(mixed, name), getattr(window, name), rtol=1e-8, atol=1e-8)
    for layer, coef in mixed.coef_.items():
        torch.testing.assert_close(coef[0], window.coef_[layer], rtol=1e-8, atol=1e-8)
    assert (mixed.window_share_ == 1).all()
    assert (mixed.share_ == 1).all()


@pytest.mark.parametrize("alpha", [1e-3, 0.3])
def test_the_whole_image_alone_is_kernel_ridge(data, alpha):
    local, response = data
    model = MixedWindowRidgeCV(**SETTINGS | {"alphas": (alpha,)}, shares=(0.0,)).fit(local, response)
    images = torch.arange(30)
    x = kernel_by_hand(local, None, images)
    kernel = (x @ x.T).numpy()
    oracle = KernelRidge(alpha=alpha, kernel="precomputed").fit(kernel, (response - response.mean(0)).numpy())
    expected = oracle.predict(kernel) + response.mean(0).numpy()
    np.testing.assert_allclose(model.predict(local), expected, rtol=1e-8, atol=1e-8)
    assert model.window_share_.nan_to_num().abs().max() < 1e-8  # NaN where nothing is explained
    assert (model.share_ == 0).all()


@pytest.mark.parametrize("groups", [None, np.repeat(["run 1", "run 2", "run 3"], [7, 13, 10])])
@pytest.mark.parametrize("share", [0.7, 0.2])
def test_leaving_out_equals_refits(data, share, groups):
    """The score of every window and penalty, the prediction, and the split into window and whole image."""
    local, response = data
    settings = SETTINGS | {"centres": (0.5,), "widths": (0.3,), "alphas": (0.05,)}
    model = MixedWindowRidgeCV(**settings, shares=(share,), n_windows=1).fit(local, response, groups)
    images = torch.arange(30)
    features = [
        part * scale**0.5
        for part, scale in (
            (kernel_by_hand(local, (0.5, 0.5, 0.3), images), share),
            (kernel_by_hand(local, None, images), 1 - share),
        )
    ]
    left_out = torch.empty(2, 30, 6, dtype=torch.float64)
    means = torch.empty_like(left_out[0])
    for i in range(30):
        rest = images[images != i] if groups is None else images[groups != groups[i]]
        means[i] = response[rest].mean(0)
        centers = [x[rest].mean(0) for x in features]
        kernel = sum((x[rest] - m) @ (x[rest] - m).T for x, m in zip(features, centers, strict=True))
        dual = torch.linalg.solve(kernel + 0.05 * torch.eye(len(rest)), response[rest] - response[rest].mean(0))
        for part, (x, m) in enumerate(zip(features, centers, strict=True)):
            left_out[part, i] = (x[i] - m) @ ((x[rest] - m).T @ dual)
    predicted = means + left_out.sum(0)
    y = response - response.mean(0)
    torch.testing.assert_close(model.loo_scores_, 1 - (response - predicted).square().sum(0) / y.square().sum(0))
    explained = (left_out.sum(0) * y).sum(0)
    by_hand = (left_out[0] * y).sum(0) / torch.where(explained > 0, explained, torch.nan)
    torch.testing.assert_close(model.window_share_, by_hand, rtol=1e-6, atol=1e-6, equal_nan=True)
    parts = model.split(local)
    whole = sum(
        x @ (x.T @ torch.linalg.solve(sum(x @ x.T for x in features) + 0.05 * torch.eye(30), y)) for x in features
    )
    torch.testing.assert_close(parts["window"] + parts["whole image"], whole, rtol=1e-8, atol=1e-8)


def test_batches_and_memory_change_nothing(data):
    local, response = data
    whole = MixedWindowRidgeCV(**SETTINGS).fit(local, response)
    parts = [Tokens({k: v[i : i + 7] for k, v in local.items()}, {}) for i in range(0, 30, 7)]
    small = MixedWindowRidgeCV(**SETTINGS, memory=1 << 12).fit(lambda: iter(parts), response)
    for name in ("position_", "share_", "window_share_", "loo_scores_", "window_weights_", "intercept_"):
        torch.testing.assert_close(getattr(small, name), getattr(whole, name), rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(small.predict(parts), whole.predict(local), rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(small.weights([1, 4])["b"], whole.weights([1, 4])["b"], rtol=1e-8, atol=1e-8)


def test_weights_of_chosen_voxels_predict(data):
    local, response = data
    model = MixedWindowRidgeCV(**SETTINGS).fit(local, response)
    new = {k: v + 0.3 * v.flip(0) for k, v in local.items()}
    predicted = sum(torch.einsum("bchw,vchw->bv", new[k], w) for k, w in model.weights([5, 0]).items())
    torch.testing.assert_close(
        predicted + model.intercept_[[5, 0]], model.predict(new)[:, [5, 0]], rtol=1e-8, atol=1e-8
    )


def test_voxels_are_judged_alone_but_for_the_prior(data):
    """A voxel's windows do not depend on its neighbours; NaN and constant voxels disturb nobody."""
    local, response = data
    one = MixedWindowRidgeCV(**SETTINGS, shares=(0.7,)).fit(local, response[:, :2])
    odd = torch.cat([response[:, :2], torch.full((30, 1), 3.0), response[:, 2:3]], 1).double()
    odd[4, 3] = torch.nan
    other = MixedWindowRidgeCV(**SETTINGS, shares=(0.7,)).fit(local, odd)
    predicted = other.predict(local)
    torch.testing.assert_close(predicted[:, :2], one.predict(local), rtol=1e-8, atol=1e-8)
    assert (predicted[:, 2] == 3).all()
    assert predicted[:, 3].isnan().all()
    assert other.loo_scores_[2:].isnan().all()
    assert other.window_share_[2:].isnan().all()
    mixed = MixedWindowRidgeCV(**SETTINGS).fit(local, odd)
    torch.testing.assert_close(
        mixed.predict(local)[:, :2],
        MixedWindowRidgeCV(**SETTINGS).fit(local, odd[:, :2]).predict(local),
        rtol=1e-8, atol=1e-8,
    )  # fmt: skip


def planted(rng, n_images, snr=2.0):
    """Voxels that read a window, sums over many places, or both, with the share of variance of the window part."""
    local = {name: torch.randn(n_images, 6, 8, 8, generator=rng) for name in ("early", "late")}
    flat = torch.cat([v.flatten(1) for v in local.values()], 1)
    share = torch.linspace(0, 1, 41)
    window = gaussian_windows(torch.tensor([[0.35, -0.35, 0.28]]), (8, 8))[0]
    pooled = torch.cat([(v * window).sum((2, 3)) for v in local.values()], 1)
    parts = [x @ torch.randn(x.shape[1], len(share), generator=rng) for x in (pooled, flat)]
    inside, outside = (p / p.std(0) for p in parts)
    signal = share.sqrt() * inside + (1 - share).sqrt() * outside
    return local, signal + torch.randn(signal.shape, generator=rng) / snr, share


def test_the_share_of_the_window_is_recovered(rng):
    local, response, share = planted(rng, 600)
    model = MixedWindowRidgeCV(FEW, (0.28, 0.4), (1e-2, 0.1, 1.0)).fit(local, response)
    assert np.corrcoef(model.window_share_, share)[0, 1] >= 0.9
    assert model.window_share_[-1] > 0.9
    assert model.window_share_[0] < 0.15
    read = share > 0.5
    torch.testing.assert_close(
        model.position_[read], torch.tensor([0.35, -0.35]).expand(read.sum(), 2), atol=0.1, rtol=0
    )


def test_a_windowed_subject_loses_nothing(rng):
    """Every voxel reads one window: what mixed ridge could lose to window ridge stays below .002 in r."""
    local = {k: torch.randn(600, 6, 8, 8, generator=rng) for k in ("early", "late")}
    places = 0.35 * (2 * torch.rand(40, 2, generator=rng) - 1)
    windows = gaussian_windows(torch.cat([places, torch.full((40, 1), 0.25)], 1), (8, 8))
    signal = sum(torch.einsum("bchw,vhw,vc->bv", v, windows, torch.randn(40, 6, generator=rng)) for v in local.values())
    response = signal / signal.std(0) + torch.randn(signal.shape, generator=rng)
    train, test = torch.arange(300), torch.arange(300, 600)
    of = lambda rows: {k: v[rows] for k, v in local.items()}  # noqa: E731
    window, mixed = (
        pearson_r(model.fit(of(train), response[train]).predict(of(test)), response[test]).mean()
        for model in (WindowRidgeCV(FEW), MixedWindowRidgeCV(FEW))
    )
    assert mixed > window - 0.002


def test_shuffled_responses_score_zero(rng):
    local, response, _ = planted(rng, 300)
    response = response[torch.randperm(300, generator=rng)]
    train, test = torch.arange(200), torch.arange(200, 300)
    model = MixedWindowRidgeCV(FEW).fit({k: v[train] for k, v in local.items()}, response[train])
    r = pearson_r(model.predict({k: v[test] for k, v in local.items()}), response[test])
    assert abs(r.mean()) < 3 * 0.1 / len(r) ** 0.5 + 0.02  # SD of r over 100 images is .1


@pytest.mark.parametrize(
    ("settings", "value"),
    [
        ({"shares": ()}, "[]"),
        ({"shares": (1.2,)}, "1.2"),
        ({"n_windows": 0}, "0"),
        ({"temper": 0.0}, "0.0"),
        ({"alphas": (0.0,)}, "0.0"),
        ({"widths": ()}, "[]"),
    ],
)
def test_settings_out_of_range_are_named(data, settings, value):
    with pytest.raises(ValueError, match=value.replace("[", r"\[").replace("]", r"\]")):
        MixedWindowRidgeCV(**settings).fit(*data)


def test_it_refuses_what_it_cannot_read(data):
    local, response = data
    with pytest.raises(ValueError, match="29 rows"):
        MixedWindowRidgeCV(**SETTINGS).fit(local, response[1:])
    model = MixedWindowRidgeCV(**SETTINGS)
    with pytest.raises(ValueError, match="not fitted"):  # NotFittedError is one
        model.predict(local)
    model.fit(local, response)
    with pytest.raises(ValueError, match="'a': 2"):
        model.predict({"a": local["a"][:, :2], "b": local["b"]})


@pytest.mark.parametrize("offset", [0.0, 50.0])
def test_the_field_in_low_rank_predicts_as_the_whole(data, offset):
    """At full rank exactly, without the training tokens; at a low one it says what it lost."""
    local, response = data
    local = {k: v + offset for k, v in local.items()}
    model = MixedWindowRidgeCV(**SETTINGS, shares=(0.0,)).fit(local, response)
    new = {k: v + 0.3 * v.flip(0) - 0.3 * offset for k, v in local.items()}
    whole = model.split(new)["whole image"]
    field = model.field(rank=100, tolerance=0.0)
    read = field.offset + sum(torch.einsum("bchw,rchw->br", new[k], m) for k, m in field.maps.items())
    torch.testing.assert_close(read @ field.patterns.T, whole, rtol=1e-7, atol=1e-7)
    assert field.patterns.shape == (6, 6)
    low = model.field(rank=2, tolerance=0.0)
    mine = model.split(local)["whole image"]
    read = low.offset + sum(torch.einsum("bchw,rchw->br", local[k], m) for k, m in low.maps.items())
    lost = (mine - read @ low.patterns.T).square().sum() / mine.square().sum()
    assert low.kept == pytest.approx(1 - lost.item())
    assert 0.5 < low.kept < 1
    assert len(model.field(rank=100, tolerance=0.4).offset) < 6

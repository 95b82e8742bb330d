"""Window ridge against explicit loops over refits; planted windows; memory; what it refuses."""

import io
import zipfile

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.model_selection import LeaveOneGroupOut, LeaveOneOut

from brainnet import scores
from brainnet.ridge import MixedWindowRidgeCV, WindowRidgeCV, gaussian_windows
from brainnet.ridge.spectrum import leave_one_out, spectrum_of_kernel
from brainnet.tokens import Tokens

SETTINGS = {"centres": (-0.5, 0.5), "widths": (0.3, 0.6), "alphas": (1e-4, 1e-2, 1.0), "dtype": torch.float64}


@pytest.fixture
def data(rng):
    """30 images, two layers of 3 and 20 channels with global tokens, 6 voxels that read one planted window."""
    local = {
        name: torch.randn(30, channels, 4, 4, generator=rng, dtype=torch.float64) + 2
        for name, channels in (("a", 3), ("b", 20))
    }
    global_ = {name: torch.randn(30, v.shape[1], generator=rng, dtype=torch.float64) for name, v in local.items()}
    window = gaussian_windows(torch.tensor([[0.5, -0.5, 0.3]], dtype=torch.float64), (4, 4))[0]
    read = torch.cat([(v * window).sum((2, 3)) for v in local.values()], 1)
    response = read @ torch.randn(23, 6, generator=rng, dtype=torch.float64) + 5
    response += 0.5 * torch.randn(30, 6, generator=rng, dtype=torch.float64)
    return Tokens(local, global_), response


def pooled_by_hand(tokens, place, scale):
    """Equal-trace features of one window, (n, C_a + C_b), as a plain loop."""
    x, y, width = place
    columns, gains = [], []
    for layer, local in tokens.local.items():
        cells = (2 * np.arange(4) + 1) / 4 - 1
        weight = np.exp(-((cells[None] - x) ** 2 + (cells[:, None] - y) ** 2) / (2 * width**2))
        weight = torch.from_numpy(weight / weight.sum())
        pooled = (1 - scale) * (local * weight).sum((2, 3)) + scale * tokens.global_[layer]
        gains.append((pooled - pooled.mean(0)).square().sum() ** -0.5)
        columns.append(pooled * gains[-1])
    return torch.cat(columns, 1).numpy(), torch.stack(gains)


@pytest.mark.parametrize(
    ("scale", "selection", "runs"),
    [(0.0, "r2", None), (0.12, "pearson_r", None), (0.0, "r2", np.repeat(["a", "b", "c", "a"], [7, 9, 10, 4]))],
)
def test_everything_equals_a_loop_over_refits(data, scale, selection, runs):
    tokens, response = data
    settings = {"scale": scale, "selection": selection, "cv": "loo" if runs is None else "groups"}
    model = WindowRidgeCV(**SETTINGS, **settings).fit(tokens, response, groups=runs)
    folds = LeaveOneOut() if runs is None else LeaveOneGroupOut()
    score = {"r2": scores.r2, "pearson_r": scores.pearson_r}[selection]
    table = []  # (windows, alphas, voxels)
    for place in model.windows_.tolist():
        x, _ = pooled_by_hand(tokens, place, scale)
        mean_eigenvalue = np.square(x - x.mean(0)).sum() / 30
        table.append([])
        for alpha in SETTINGS["alphas"]:
            predicted = np.empty((30, 6))
            for rest, held_out in folds.split(x, groups=runs):
                fit = Ridge(alpha * mean_eigenvalue, solver="svd").fit(x[rest], response.numpy()[rest])
                predicted[held_out] = fit.predict(x[held_out])
            table[-1].append(score(predicted, response))
    table = torch.stack([torch.stack(row) for row in table])
    torch.testing.assert_close(model.window_scores_, table.max(1).values, rtol=0, atol=1e-8)
    torch.testing.assert_close(model.loo_scores_, table.flatten(0, 1).max(0).values, rtol=0, atol=1e-8)
    winner = table.flatten(0, 1).argmax(0)
    best_window, best_alpha = winner // len(SETTINGS["alphas"]), winner % len(SETTINGS["alphas"])
    torch.testing.assert_close(torch.cat([model.position_, model.width_], 1), model.windows_[best_window])
    assert model.best_alphas_.tolist() == [SETTINGS["alphas"][i] for i in best_alpha]

    prediction = model.predict(tokens)
    for voxel in range(6):
        x, gains = pooled_by_hand(tokens, model.windows_[best_window[voxel]].tolist(), scale)
        alpha = model.best_alphas_[voxel].item() * np.square(x - x.mean(0)).sum() / 30
        fit = Ridge(alpha, solver="svd").fit(x, response[:, voxel].numpy())
        np.testing.assert_allclose(prediction[:, voxel], fit.predict(x), rtol=0, atol=1e-8)
        np.testing.assert_allclose(model.intercept_[voxel], fit.intercept_, rtol=0, atol=1e-8)
        np.testing.assert_allclose(model.coef_["b"][voxel], fit.coef_[3:] * gains[1].item(), rtol=0, atol=1e-8)


def test_tiny_penalties_do_not_win_through_the_constant_direction(rng):
    """More channels than images and no signal: a kept null eigenvector makes leave-one-out scores look good."""
    x = torch.randn(40, 200, generator=rng)
    y = torch.randn(40, 30, generator=rng)
    x, y = x - x.mean(0), y - y.mean(0)
    spectrum = spectrum_of_kernel(x @ x.T, centred=True)
    assert spectrum.vectors.shape == (40, 39)
    for residual in leave_one_out(spectrum, spectrum.vectors.T @ y, y, [1e-6, 1.0], intercept=True):
        assert scores.r2(y - residual, y).mean() < 0.05
    exact = spectrum_of_kernel(x.double() @ x.double().T, centred=True)
    for alpha in (1e-3, 10.0):
        single, double = (
            next(leave_one_out(s, s.vectors.T @ y.to(s.vectors), y.to(s.vectors), [alpha], intercept=True))
            for s in (spectrum, exact)
        )
        torch.testing.assert_close(single.double(), double, rtol=0, atol=1e-4)


@pytest.mark.parametrize("position", [(-0.7, 0.35), (0.7, -0.7), (0.0, 0.0)])
def test_planted_windows_are_found(rng, position):
    local = {"a": torch.randn(300, 4, 8, 8, generator=rng)}
    window = gaussian_windows(torch.tensor([[*position, 0.28]]), (8, 8))[0]
    response = (local["a"] * window).sum((2, 3)) + 0.05 * torch.randn(300, 4, generator=rng)
    model = WindowRidgeCV().fit(local, response)
    torch.testing.assert_close(model.position_, torch.tensor([position]).expand(4, 2))
    torch.testing.assert_close(model.width_, torch.full((4, 1), 0.28))


def test_memory_and_batches_change_nothing(data):
    tokens, response = data
    whole = WindowRidgeCV(**SETTINGS, scale=0.12).fit(tokens, response)
    batches = [tokens.map(lambda v, rows=rows: v[rows]) for rows in (slice(0, 7), slice(7, 30))]
    passes = []
    streamed = WindowRidgeCV(**SETTINGS, scale=0.12, memory=1).fit(lambda: passes.append(1) or batches, response)
    assert len(passes) == 1 + 8  # a look at the shapes, then one window at a time
    for part in (streamed, WindowRidgeCV(**SETTINGS, scale=0.12).fit(batches, response)):
        torch.testing.assert_close(part.window_scores_, whole.window_scores_, rtol=0, atol=1e-10)
        torch.testing.assert_close(part.coef_["a"], whole.coef_["a"], rtol=0, atol=1e-10)
        torch.testing.assert_close(part.predict(batches), whole.predict(tokens), rtol=0, atol=1e-10)


def test_voxels_are_independent_and_inputs_untouched(data):
    tokens, response = data
    copy = tokens.map(torch.clone), response.clone()
    whole = WindowRidgeCV(**SETTINGS).fit(tokens, response).predict(tokens)
    part = WindowRidgeCV(**SETTINGS).fit(tokens, response[:, 2:3]).predict(tokens)
    torch.testing.assert_close(part, whole[:, 2:3], rtol=0, atol=1e-10)
    assert torch.equal(copy[1], response)
    assert all(torch.equal(copy[0].local[k], tokens.local[k]) for k in tokens.layers)


def test_constant_and_nan_voxels_get_no_weights_and_spoil_no_other(data):
    tokens, response = data
    clean = WindowRidgeCV(**SETTINGS).fit(tokens, response)
    response[:, 0], response[4, 1] = 3.0, torch.nan
    model = WindowRidgeCV(**SETTINGS).fit(tokens, response)
    assert model.loo_scores_[:2].isnan().all()
    assert all((weight[:2] == 0).all() for weight in model.coef_.values())
    prediction = model.predict(tokens)
    assert (prediction[:, 0] == 3).all()
    assert prediction[:, 1].isnan().all()
    torch.testing.assert_close(prediction[:, 2:], clean.predict(tokens)[:, 2:], rtol=0, atol=1e-10)


def test_a_silent_layer_is_ignored(data):
    tokens, response = data
    silent = dict(tokens.local, c=torch.full((30, 2, 4, 4), 7.0, dtype=torch.float64))
    model = WindowRidgeCV(**SETTINGS).fit(silent, response)
    expected = WindowRidgeCV(**SETTINGS).fit(tokens.local, response)
    torch.testing.assert_close(model.predict(silent), expected.predict(tokens.local), rtol=0, atol=1e-8)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"selection": "mse"}, "'r2' or 'pearson_r', got 'mse'"),
        ({"alphas": (0.0, 1.0)}, "must be positive"),
        ({"widths": ()}, "must be positive"),
        ({"scale": 1.5}, r"in \[0, 1\]; got 1.5"),
    ],
)
def test_wrong_settings_are_refused(data, settings, message):
    with pytest.raises(ValueError, match=message):
        WindowRidgeCV(**{**SETTINGS, **settings}).fit(*data)


def test_wrong_data_is_refused(data):
    tokens, response = data
    with pytest.raises(ValueError, match="30 images but responses have 31"):
        WindowRidgeCV(**SETTINGS).fit(tokens, torch.cat([response, response[:1]]))
    with pytest.raises(ValueError, match="more images than the 29"):
        WindowRidgeCV(**SETTINGS).fit(tokens, response[:29])
    with pytest.raises(ValueError, match="reads global tokens"):
        WindowRidgeCV(**SETTINGS, scale=0.1).fit(tokens.local, response)
    with pytest.raises(ValueError, match="resize them to one"):
        WindowRidgeCV(**SETTINGS).fit({**tokens.local, "c": torch.zeros(30, 2, 2, 2)}, response)
    with pytest.raises(ValueError, match="fitted on"):
        WindowRidgeCV(**SETTINGS).fit(tokens, response).predict({"a": tokens.local["a"]})
    with pytest.raises(TypeError, match="callable"):
        WindowRidgeCV(**SETTINGS).fit(3, response)


@pytest.mark.slow
@pytest.mark.parametrize(("session", "expected", "mixed"), [("201025", 0.632, 0.647), ("210325", 0.633, 0.651)])
def test_real_v4_sessions(test_data, session, expected, mixed):
    """Mean test r with trained SqueezeNet tokens, as measured in prototypes; nothing was chosen on test images.

    Mixed ridge is above window ridge on both, and an interval of their difference above zero.
    """
    from PIL import Image
    from torchvision.models import squeezenet1_0

    from brainnet.tokens import Preprocessing

    net = squeezenet1_0().eval()
    with np.load(test_data / "weights" / "squeezenet1_0_torchvision.npz") as weights:
        net.load_state_dict({k: torch.from_numpy(weights[k]).float() for k in weights.files})
    with zipfile.ZipFile(test_data / "cowley_v4" / f"images_{session}.zip") as archive:
        files = sorted(name for name in archive.namelist() if name.endswith(".jpg"))
        images = torch.stack([Preprocessing()(Image.open(io.BytesIO(archive.read(name)))) for name in files])
    layers = {index: [] for index in (3, 4, 5, 7, 8, 9, 10, 12)}  # fire2 ... fire9
    with torch.inference_mode():
        for batch in images.split(32):
            for index, module in enumerate(net.features):
                batch = module(batch)
                if index in layers:
                    layers[index].append(torch.nn.functional.adaptive_avg_pool2d(batch, 8))
    tokens = {str(index): torch.cat(parts) for index, parts in layers.items()}
    response = torch.from_numpy(np.load(test_data / "cowley_v4" / f"avg_{session}.npy").T.copy())
    order = np.random.RandomState(0).permutation(len(response))  # the split of the published numbers
    train, test = np.split(order, [round(0.8 * len(order))])
    predictions = [
        model.fit({k: v[train] for k, v in tokens.items()}, response[train]).predict(
            {k: v[test] for k, v in tokens.items()}
        )
        for model in (WindowRidgeCV(), MixedWindowRidgeCV())
    ]
    found = [scores.summarise(scores.pearson_r(p, response[test])).mean for p in predictions]
    assert found == pytest.approx([expected, mixed], abs=0.005)
    more = scores.paired_difference(*predictions[::-1], response[test], generator=torch.Generator().manual_seed(0)).mean
    assert more.mean > 0.012
    assert more.low > 0


def test_factortopys_contraction_at_that_window_predicts_the_same(data):
    """What training starts from is exactly what was fitted: position, width and scale mean the same to both."""
    from brainnet.selection import read_out

    tokens, response = data
    local, global_ = tokens.local["b"], tokens.global_["b"]
    model = WindowRidgeCV(**SETTINGS, scale=0.12).fit(Tokens({"b": local}, {"b": global_}), response)
    prediction = read_out(
        local[:, None],
        global_[:, None],
        torch.ones(6, 1, dtype=torch.float64),
        model.position_,
        torch.full((6, 1), 0.12, dtype=torch.float64),
        model.coef_["b"],
        model.intercept_,
        width=model.width_,
        head="sum",
    )
    torch.testing.assert_close(prediction, model.predict(Tokens({"b": local}, {"b": global_})), rtol=0, atol=1e-8)


@pytest.mark.parametrize("size", [1.0, 1e4])
def test_a_layer_that_never_changes_adds_nothing(data, size):
    """What centering leaves of it is rounding: scaled to the other layers' trace, it would be half of the kernel."""
    tokens, response = data
    still = torch.full((30, 7, 4, 4), size / 3, dtype=torch.float64)
    still[::2] *= 1 + torch.finfo(torch.float64).eps  # what another order of a sum makes of it
    model = WindowRidgeCV(**SETTINGS).fit(tokens.local | {"still": still}, response)
    torch.testing.assert_close(model.loo_scores_, WindowRidgeCV(**SETTINGS).fit(tokens, response).loo_scores_)
    assert not model.coef_["still"].any()

"""FactorTopy against a naive float64 re-derivation, published constants and the original's known hazards."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from brainnet.model import FactorTopy
from brainnet.model.factortopy import TokenTransform
from tests.tokens.toys import make_tokens, split


def make_model(rng, layers=("0", "1", "2"), widths=(6, 6, 6), n=9, dtype=torch.float32, awake=True, **options):
    """A small model; ``awake`` gives the selectors' zero-initialised parameters random values."""
    coords = 50 * torch.randn(n, 3, generator=rng, dtype=dtype)
    free = options.get("topology") == "free"
    model = FactorTopy(layers, widths, n, None if free else coords, **({"bottleneck_dim": 5} | options)).to(dtype)
    if not free:
        model.set_coords(coords)  # again, in the model's final precision
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=rng, dtype=dtype))
        if not awake:
            for name, parameter in model.named_parameters():
                if name.endswith("mlp.5.weight") or name.endswith("_selector"):
                    parameter.zero_()
    return model


# The whole module ----------------------------------------------------------------------------------------------------


def gelu(x):
    return 0.5 * x * (1 + math.erf(x / math.sqrt(2)))


def dot(a, b):
    return math.fsum(x * y for x, y in zip(a, b, strict=True))


def mlp_by_loops(code, state, name):
    for index in ("1", "3"):
        weight, bias = state[f"{name}_selector_mlp.{index}.weight"], state[f"{name}_selector_mlp.{index}.bias"]
        code = [gelu(dot(row, code) + b) for row, b in zip(weight, bias, strict=True)]
    return [dot(row, code) for row in state[f"{name}_selector_mlp.5.weight"]]


def forward_by_loops(model, tokens, coords):
    """Predictions and regulariser of the original's definition in plain Python numbers, from the state dict alone."""
    state = {k: v.tolist() for k, v in model.state_dict().items()}
    low = coords.amin(0).tolist()
    longest = (coords.amax(0) - coords.amin(0)).max().item()
    n_layers, depth = len(model.layers), model.bottleneck_dim
    local, global_ = {}, {}
    for k in model.layers:
        conv = model.state_dict()[f"local_token_bottleneck.{k}.weight"][:, :, 0, 0]
        local[k] = torch.einsum("dc,bchw->bdhw", conv, tokens.local[k]).tolist()
        global_[k] = torch.einsum(
            "dc,bc->bd", model.state_dict()[f"global_token_bottleneck.{k}.weight"], tokens.global_[k]
        ).tolist()
    predictions, regulariser = [], 0.0
    for n, place in enumerate(coords.tolist()):
        code = []
        for axis in range(3):
            p = (place[axis] - low[axis]) * 100 / longest
            for k in range(32):
                code += [math.sin(p * 1000 ** (-k / 32)), math.cos(p * 1000 ** (-k / 32))]
        x, y = (math.tanh(v) for v in mlp_by_loops(code, state, "space"))
        logits = mlp_by_loops(code, state, "layer")
        mix = [math.exp(v) / sum(math.exp(u) for u in logits) for v in logits]
        scale = 1 / (1 + math.exp(-mlp_by_loops(code, state, "scale")[0]))
        entropy = sum(a * math.log(a + 1e-8) for a in mix) / math.log(n_layers)
        regulariser += (entropy + (scale - 0.5) ** 2) / len(coords)
        px, py = (x + 1) * 8 / 2 - 0.5, (y + 1) * 8 / 2 - 0.5
        taps = [(r, c, (1 - abs(py - r)) * (1 - abs(px - c))) for r in range(8) for c in range(8)
                if abs(py - r) < 1 and abs(px - c) < 1]  # fmt: skip
        row = []
        for b in range(len(local[model.layers[0]])):
            value = 0.0
            for d in range(depth):
                v_local = sum(a * sum(u * local[k][b][d][r][c] for r, c, u in taps)
                              for a, k in zip(mix, model.layers, strict=True))  # fmt: skip
                v_global = sum(a * global_[k][b][d] for a, k in zip(mix, model.layers, strict=True))
                value += ((1 - scale) * v_local + scale * v_global) * state["weight"][n][d]
            row.append(value / depth + state["bias"][n])
        predictions.append(row)
    return torch.tensor(predictions, dtype=torch.float64).T, regulariser


def test_whole_module_matches_a_naive_rederivation(rng):
    model = make_model(rng, n=4, dtype=torch.float64, resize="bilinear")
    tokens = make_tokens(rng, batch=2, dtype=torch.float64)
    prediction, regulariser = model(*tokens)
    expected, expected_regulariser = forward_by_loops(model, tokens, model.coords)
    torch.testing.assert_close(prediction, expected, rtol=0, atol=1e-12)
    assert regulariser.item() == pytest.approx(expected_regulariser, abs=1e-12)
    assert prediction.std() > 0.01  # the agreement is not one of zeros


def test_state_dict_keys_and_shapes_are_those_of_the_published_weights():
    model = FactorTopy([0, 1], [6, 7], 4, torch.eye(4)[:, :3], bottleneck_dim=5)
    expected = {"weight": (4, 5), "bias": (4,)}
    for layer, width in (("0", 6), ("1", 7)):
        expected[f"local_token_bottleneck.{layer}.weight"] = (5, width, 1, 1)
        expected[f"global_token_bottleneck.{layer}.weight"] = (5, width)
    for name, size in (("space", 2), ("layer", 2), ("scale", 1)):
        expected[f"{name}_selector_mlp.1.weight"] = (128, 192)
        expected[f"{name}_selector_mlp.1.bias"] = (128,)
        expected[f"{name}_selector_mlp.3.weight"] = (128, 128)
        expected[f"{name}_selector_mlp.3.bias"] = (128,)
        expected[f"{name}_selector_mlp.5.weight"] = (size, 128)
    assert {k: tuple(v.shape) for k, v in model.state_dict().items()} == expected
    gaussian = FactorTopy([0, 1], [6, 7], 4, torch.eye(4)[:, :3], bottleneck_dim=5, window="gaussian")
    assert set(expected) < set(gaussian.state_dict())  # a window adds names and renames none


def test_parameter_count_at_full_size_is_the_published_one():
    with torch.device("meta"):
        model = FactorTopy(range(12), [768] * 12, 37_984)
    assert sum(p.numel() for p in model.parameters()) == 7_384_800


@pytest.mark.parametrize("topology", ["coords", "free"])
@pytest.mark.parametrize("window", ["point", "gaussian"])
def test_start_state_looks_at_the_centre_at_all_layers_alike(rng, topology, window):
    coords = None if topology == "free" else torch.randn(5, 3, generator=rng)
    model = FactorTopy("abc", [6, 6, 6], 5, coords, topology=topology, window=window, width_init=0.4)
    space, layer, scale = model.get_selectors()
    assert torch.equal(space, torch.zeros(5, 2))
    torch.testing.assert_close(layer, torch.full((5, 3), 1 / 3))
    assert torch.equal(scale, torch.full((5, 1), 0.5))
    if window == "gaussian":
        torch.testing.assert_close(model.width(), torch.full((5, 1), 0.4))
    assert model.weight.abs().max() <= 128**-0.5
    assert model.weight.std().item() == pytest.approx((3 * 128) ** -0.5, rel=0.1)  # uniform on +-1/sqrt(D)


def test_regulariser_is_minus_one_at_the_start_and_one_layer_is_no_division_by_zero(rng):
    model = make_model(rng, awake=False)
    assert model.regulariser(model.get_selectors()).item() == pytest.approx(-1, abs=1e-6)
    single = make_model(rng, layers=["7"], widths=[6])
    assert torch.isfinite(single.regulariser(single.get_selectors()))


def test_forward_leaves_tokens_untouched_and_repeats(rng):
    model, tokens = make_model(rng, widths=(5, 5, 5)), make_tokens(rng, widths=(5, 5, 5), grid=(14, 14))
    before = tokens.map(torch.clone)
    first = model(*tokens)[0]
    for given, kept in ((tokens.local, before.local), (tokens.global_, before.global_)):
        assert list(given) == list(kept)
        assert all(torch.equal(given[k], kept[k]) for k in kept)
    assert torch.equal(model(*tokens)[0], first)


@pytest.mark.parametrize("options", [{}, {"window": "gaussian"}, {"topology": "free"}])
def test_subset_predicts_as_in_the_full_model(rng, options):
    model, tokens = make_model(rng, n=12, **options), make_tokens(rng)
    index = torch.tensor([7, 2, 11])
    part = model.subset(index)
    torch.testing.assert_close(part(*tokens)[0], model(*tokens)[0][:, index])
    for got, whole in zip(part.get_selectors(), model.get_selectors(), strict=True):
        torch.testing.assert_close(got, whole[index])
    mask = torch.zeros(12, dtype=torch.bool).index_fill_(0, index, True)
    torch.testing.assert_close(model.subset(mask)(*tokens)[0], model(*tokens)[0][:, mask])


def test_selectors_of_passed_coordinates_are_those_of_the_full_model(rng):
    model = make_model(rng, window="gaussian")
    for got, whole in zip(model.get_selectors(model.coords[3:5]), model.get_selectors(), strict=True):
        torch.testing.assert_close(got, whole[3:5])
    torch.testing.assert_close(model.width(model.coords[3:5]), model.width()[3:5])
    with pytest.raises(ValueError, match=r"model\.subset"):
        model(*make_tokens(rng), model.coords[3:5])
    torch.testing.assert_close(model(*make_tokens(rng), model.coords.clone())[0].shape, torch.Size([3, 9]))


def test_layer_order_in_the_tokens_does_not_matter(rng):
    model, tokens = make_model(rng), make_tokens(rng)
    turned = [{k: part[k] for k in reversed(part)} for part in tokens]
    assert torch.equal(model(*turned)[0], model(*tokens)[0])


@pytest.mark.parametrize("layers", [("0", "1"), ("0", "1", "2", "3")])
def test_missing_or_extra_layers_are_named(rng, layers):
    with pytest.raises(ValueError, match=r"model was built for \['0', '1', '2'\]"):
        make_model(rng)(*make_tokens(rng, layers, [6] * len(layers)))


def test_wrong_channels_and_missing_coordinates_are_named(rng):
    with pytest.raises(ValueError, match="layer '1' have 7 local and 7 global channels"):
        make_model(rng)(*make_tokens(rng, widths=(6, 7, 6)))
    with pytest.raises(ValueError, match="set_coords"):
        FactorTopy(["0"], [6], 4).get_selectors()
    with pytest.raises(ValueError, match=r"coords must be \(4, 3\)"):
        FactorTopy(["0"], [6], 4, torch.rand(5, 3))
    with pytest.raises(ValueError, match="window 'square'.* point, gaussian"):
        FactorTopy(["0"], [6], 4, window="square")


def test_layers_may_differ_in_width_and_names_may_hold_dots(rng):
    layers, widths = ("features.3", "features.12"), ((4, 7), (9, 9))
    model = make_model(rng, layers, widths)
    assert model(*make_tokens(rng, layers, widths))[0].shape == (3, 9)


def test_layers_whose_names_differ_in_a_dot_have_bottlenecks_of_their_own(rng):
    layers = ("a.b", "a-b", "keys")
    model, tokens = make_model(rng, layers, awake=False), make_tokens(rng, layers)  # selectors are even
    before = model(*tokens)[0]
    for layer in layers:
        moved = tokens._replace(local=tokens.local | {layer: tokens.local[layer] + 1})
        assert not torch.allclose(model(*moved)[0], before)
    assert len(model.local_token_bottleneck) == 3
    transform = TokenTransform.fit([tokens], layers)
    means = [transform(tokens).local[layer].mean().abs() for layer in layers]
    assert max(means) < 1e-5


def test_precision_auto_follows_the_processor(rng, monkeypatch):
    from brainnet.selection import definition

    tokens, found = make_tokens(rng), {}
    model = make_model(rng)
    for fast in (False, True):
        monkeypatch.setattr(definition, "multiplies_bfloat16", lambda device, fast=fast: fast)
        for precision in ("fp32", "bf16", "auto"):
            model.precision = precision
            found[fast, precision] = model(*tokens)[0]
    assert torch.equal(found[False, "auto"], found[False, "fp32"])
    assert torch.equal(found[True, "auto"], found[True, "bf16"])
    assert not torch.equal(found[True, "auto"], found[True, "fp32"])


@pytest.mark.parametrize("mode", ["mean", "bilinear"])
def test_tokens_of_any_grid_are_resized_as_asked(rng, mode):
    model, tokens = make_model(rng, grid=(4, 6), resize=mode), make_tokens(rng, grid=(12, 13))
    torch.testing.assert_close(model(*tokens)[0], model(*tokens.resize((4, 6), mode))[0])


def test_double_and_autocast_keep_their_word(rng):
    model, tokens = make_model(rng), make_tokens(rng)
    expected = model(*tokens)[0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = model(*tokens)[0]
    torch.testing.assert_close(inside.float(), expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(model.double()(*tokens)[0].float(), expected, rtol=1e-4, atol=1e-5)


def test_pickles_and_state_dict_round_trip(rng):
    model, tokens = make_model(rng), make_tokens(rng)
    twin = FactorTopy(model.layers, [6] * 3, 9, model.coords, bottleneck_dim=5)
    twin.load_state_dict(model.state_dict())
    assert torch.equal(twin(*tokens)[0], model(*tokens)[0])


# Speed without change ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("window", ["point", "gaussian"])
def test_many_voxels_are_encoded_as_few(rng, window):
    """Selector networks run over voxels in pieces; what a voxel gets does not depend on its piece."""
    model = make_model(rng, n=9000, window=window)
    whole, part = model.get_selectors(), model.get_selectors(model.coords[8190:8195])
    for a, b in zip(whole, part, strict=True):
        torch.testing.assert_close(a[8190:8195], b)
    mlp = model.layer_selector_mlp(model.position_code(model.coords)).softmax(-1)
    torch.testing.assert_close(whole.layer, mlp)


def test_a_model_that_predicted_in_inference_mode_can_be_trained(rng):
    model, tokens = make_model(rng), make_tokens(rng)
    with torch.inference_mode():
        model(*tokens)
    model(*tokens)[0].sum().backward()
    assert model.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("window", ["point", "gaussian"])
def test_half_precision_rounds_no_place(rng, window):
    coords, tokens = torch.randn(300, 3, generator=rng), make_tokens(rng)
    options = {"bottleneck_dim": 32, "window": window}
    model = FactorTopy(tokens.layers, [6] * 3, 300, coords, **options)
    with torch.no_grad():
        for parameter in model.parameters():
            fan_in = parameter[0].numel() if parameter.ndim > 1 else 100
            parameter.copy_(torch.randn(parameter.shape, generator=rng) * fan_in**-0.5)
    twin = FactorTopy(tokens.layers, [6] * 3, 300, coords, precision="bf16", **options)
    twin.load_state_dict(model.state_dict())
    results, targets = {}, torch.randn(3, 300, generator=rng)
    for name, m in (("exact", model), ("rounded", twin)):
        prediction, _ = m(*tokens)
        nn.functional.smooth_l1_loss(prediction, targets, beta=0.1).backward()
        assert all(p.grad.dtype == torch.float32 for p in m.parameters())
        gradients = {k: p.grad for k, p in m.named_parameters()}
        results[name] = gradients | {"prediction": prediction.detach(), "space": m.get_selectors().space.detach()}
    assert torch.equal(results["exact"]["space"], results["rounded"]["space"])
    for key, exact in results["exact"].items():
        error = ((results["rounded"][key] - exact).norm() / exact.norm()).item()
        if exact.ndim > 1:  # a bias sums over voxels, and what is left after cancellation is noisier
            assert error < 0.02, f"{key}: {error:.4f}"


def test_trajectories_of_reference_and_cells_agree(rng):
    """200 steps of training from planted responses: test R2 is the same, to rounding in float64.

    In float32 the two sum in another order, and training carries the difference on, by how much depends on the
    processor: 2e-6 to 1.2e-5 were seen.
    """
    teacher = make_model(rng, n=60, bottleneck_dim=8, head="sum")
    train, test = make_tokens(rng, batch=96), make_tokens(rng, batch=64)
    with torch.no_grad():
        responses, wanted = teacher(*train)[0], teacher(*test)[0]
    start = {k: v.clone() for k, v in make_model(rng, n=60, bottleneck_dim=8, awake=False).state_dict().items()}

    def trained(dtype=torch.float32, **options) -> float:
        model = FactorTopy(teacher.layers, [6] * 3, 60, teacher.coords, bottleneck_dim=8, head="sum", **options)
        model.load_state_dict(start)
        model.to(dtype)
        tokens, unseen = train.map(lambda t: t.to(dtype)), test.map(lambda t: t.to(dtype))
        optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
        for step in range(200):
            rows = slice(16 * (step % 6), 16 * (step % 6) + 16)
            prediction, regulariser = model(*tokens.map(lambda t, rows=rows: t[rows]))
            loss = nn.functional.smooth_l1_loss(prediction, responses[rows].to(dtype), beta=0.1) + 0.01 * regulariser
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            residual = (model(*unseen)[0] - wanted).square().sum(0)
        return (1 - residual / (wanted - wanted.mean(0)).square().sum(0)).mean().item()

    exact = trained(torch.float64, implementation="reference")
    assert exact > 0.5
    assert trained(torch.float64, implementation="cells") == pytest.approx(exact, abs=1e-9)
    assert trained(implementation="reference") == pytest.approx(exact, abs=1e-4)
    assert trained(implementation="cells") == pytest.approx(exact, abs=1e-4)
    assert trained(precision="bf16") == pytest.approx(exact, abs=0.02)


# Contributions and the closed-form start -----------------------------------------------------------------------------


def test_contributions_ignore_what_a_bottleneck_and_a_mix_trade_off(rng):
    """Halving a layer's mix while doubling its bottleneck changes no prediction, and no contribution."""
    model = make_model(rng, topology="free", awake=False)
    batches = [make_tokens(rng, batch=8) for _ in range(3)]
    before = model.contributions(batches)
    with torch.no_grad():
        mix = torch.tensor([0.25, 0.25, 0.5])
        for k, name in enumerate(model.layers):
            model.local_token_bottleneck[name].weight /= 3 * mix[k]
            model.global_token_bottleneck[name].weight /= 3 * mix[k]
        model.layer_selector.copy_(mix.log().expand(9, 3))
    after = model.contributions(batches)
    torch.testing.assert_close(after.layer, before.layer)
    torch.testing.assert_close(after.scale, before.scale)
    assert not torch.allclose(model.get_selectors().layer, torch.full((9, 3), 1 / 3), atol=0.05)


def test_contributions_are_shares_of_standard_deviation(rng):
    model, tokens = make_model(rng), make_tokens(rng, batch=20)
    found = model.contributions(split(tokens, 7))
    silent = tokens.map(torch.zeros_like)
    spread = []
    for k in model.layers:  # one layer heard at a time: the definition
        local, global_ = silent.local | {k: tokens.local[k]}, silent.global_ | {k: tokens.global_[k]}
        spread.append(model(local, global_)[0].std(0))
    expected = torch.stack(spread, 1)
    torch.testing.assert_close(found.layer, expected / expected.sum(1, keepdim=True))
    parts = model(tokens.local, silent.global_)[0].std(0), model(silent.local, tokens.global_)[0].std(0)
    torch.testing.assert_close(found.scale[:, 0], parts[1] / (parts[0] + parts[1]))
    with pytest.raises(ValueError, match="at least two images"):
        model.contributions([])


@pytest.mark.parametrize("head", ["mean", "sum"])
@pytest.mark.parametrize("with_global", [False, True])
def test_closed_form_start_predicts_as_the_linear_fits(rng, head, with_global):
    draw = lambda *shape: torch.randn(*shape, generator=rng, dtype=torch.float64)  # noqa: E731
    n, widths = 5, (6, 9)
    options = {"topology": "free", "window": "gaussian", "head": head, "bottleneck_dim": 8}
    model = make_model(rng, ("0", "1"), widths, n, torch.float64, **options)
    coefficients, extra = [draw(n, w) for w in widths], [draw(n, w) for w in widths]
    position, width, intercept = draw(n, 2).tanh(), 0.2 + draw(n, 1).sigmoid(), draw(n)
    kept = model.closed_form_start(
        coefficients, intercept, position, width, layer=draw(n, 2).softmax(-1), scale=draw(n, 1).sigmoid(),
        global_coefficients=extra if with_global else None,
    )  # fmt: skip
    assert kept == pytest.approx(1)
    tokens = make_tokens(rng, ("0", "1"), widths, dtype=torch.float64)
    expected = intercept.repeat(3, 1)
    centres = (2 * torch.arange(8, dtype=torch.float64) + 1) / 8 - 1
    for i in range(n):
        distance = (centres[None, :] - position[i, 0]) ** 2 + (centres[:, None] - position[i, 1]) ** 2
        window = torch.exp(-distance / (2 * width[i] ** 2))
        window /= window.sum()
        for k in range(2):
            expected[:, i] += (tokens.local[str(k)] * window).sum((2, 3)) @ coefficients[k][i]
            if with_global:
                expected[:, i] += tokens.global_[str(k)] @ extra[k][i]
    torch.testing.assert_close(model(*tokens)[0], expected, rtol=0, atol=1e-9)


def test_closed_form_start_says_what_it_loses(rng):
    draw = lambda *shape: torch.randn(*shape, generator=rng)  # noqa: E731
    model = make_model(rng, topology="free", n=60, bottleneck_dim=2)
    kept = model.closed_form_start([draw(60, 6) for _ in range(3)], draw(60), 0.5 * draw(60, 2).tanh())
    assert 0.1 < kept < 0.9
    low_rank = [draw(60, 2) @ draw(2, 6)] + [torch.zeros(60, 6)] * 2
    assert model.closed_form_start(low_rank, draw(60), torch.zeros(60, 2)) == pytest.approx(1, abs=1e-5)
    with pytest.raises(ValueError, match="takes no width"):
        model.closed_form_start(low_rank, draw(60), torch.zeros(60, 2), torch.ones(60, 1))
    with pytest.raises(ValueError, match="coefficients must be"):
        model.closed_form_start(low_rank[:2], draw(60), torch.zeros(60, 2))


def test_closed_form_start_fits_selectors_that_are_functions_of_place(rng):
    """Few voxels: their functions can pass through every given value, so the start is as exact as a free one."""
    model = make_model(rng, n=6, dtype=torch.float64, bottleneck_dim=8)
    position = torch.randn(6, 2, generator=rng, dtype=torch.float64).tanh()
    model.closed_form_start([torch.randn(6, 6, generator=rng) for _ in range(3)], torch.zeros(6), position, scale=0.3)
    torch.testing.assert_close(model.get_selectors().space, position, rtol=0, atol=1e-3)
    torch.testing.assert_close(model.get_selectors().scale, torch.full((6, 1), 0.3).double(), rtol=0, atol=1e-3)

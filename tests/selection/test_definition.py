"""The contraction against explicit loops, and every implementation against the reference form."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses import FakeTensorMode

from brainnet.selection import cells as _cells
from brainnet.selection import definition, read_out

FAST = ["cells"]


def problem(rng, batch=2, n_layers=3, depth=5, grid=(8, 8), n_voxels=7, gaussian=False, spread=0.7):
    """A random read-out in float64, as the keyword arguments of read_out."""
    draw = lambda *shape: torch.randn(*shape, generator=rng, dtype=torch.float64)  # noqa: E731
    return {
        "local": draw(batch, n_layers, depth, *grid),
        "global_": draw(batch, n_layers, depth),
        "layer": draw(n_voxels, n_layers).softmax(-1),
        "position": spread * draw(n_voxels, 2),
        "scale": draw(n_voxels, 1).sigmoid(),
        "weight": draw(n_voxels, depth),
        "bias": draw(n_voxels),
        "width": draw(n_voxels, 1).exp() / 3 if gaussian else None,
    }


def by_loops(local, global_, layer, position, scale, weight, bias, width, head):
    """The definition in scalars: taps of a bilinear sample with zeros beyond the rim, or a normalised Gaussian."""
    batch, n_layers, depth, height, columns = local.shape
    out = torch.zeros(batch, len(weight), dtype=torch.float64)
    for n in range(len(weight)):
        x, y = position[n].tolist()
        window = {}
        for row in range(height):
            for column in range(columns):
                if width is None:
                    px, py = (x + 1) * columns / 2 - 0.5, (y + 1) * height / 2 - 0.5
                    u = max(0.0, 1 - abs(px - column)) * max(0.0, 1 - abs(py - row))
                else:
                    dx, dy = (2 * column + 1) / columns - 1 - x, (2 * row + 1) / height - 1 - y
                    u = math.exp(-(dx**2 + dy**2) / (2 * width[n].item() ** 2))
                window[row, column] = u
        total = 1.0 if width is None else sum(window.values())
        for b in range(batch):
            for d in range(depth):
                value = 0.0
                for k in range(n_layers):
                    seen = sum(u * local[b, k, d, r, c].item() for (r, c), u in window.items()) / total
                    seen = (1 - scale[n].item()) * seen + scale[n].item() * global_[b, k, d].item()
                    value += layer[n, k].item() * seen
                out[b, n] += weight[n, d].item() * value / (depth if head == "mean" else 1)
            out[b, n] += bias[n].item()
    return out


@pytest.mark.parametrize("gaussian", [False, True])
@pytest.mark.parametrize("grid", [(8, 8), (3, 5)])
@pytest.mark.parametrize("head", ["mean", "sum"])
def test_reference_matches_explicit_loops(rng, gaussian, grid, head):
    args = problem(rng, grid=grid, gaussian=gaussian, n_layers=2, depth=3, n_voxels=5)
    expected = by_loops(**args, head=head)
    torch.testing.assert_close(read_out(**args, head=head, implementation="reference"), expected, rtol=0, atol=1e-12)


def test_column_zero_of_position_is_x(rng):
    """A lone bright token at the right edge is seen from x = 0.875, not from y."""
    args = problem(rng, batch=1, n_layers=1, depth=1, n_voxels=2)
    local = torch.zeros(1, 1, 1, 8, 8, dtype=torch.float64)
    local[..., 3, 7] = 1.0  # row 3 (y = -0.125), column 7 (x = 0.875)
    args |= {
        "local": local,
        "position": torch.tensor([[0.875, -0.125], [-0.125, 0.875]], dtype=torch.float64),
        "scale": torch.zeros(2, 1, dtype=torch.float64),
        "weight": torch.ones(2, 1, dtype=torch.float64),
        "layer": torch.ones(2, 1, dtype=torch.float64),
        "bias": None,
    }
    torch.testing.assert_close(read_out(**args), torch.tensor([[1.0, 0.0]], dtype=torch.float64))


@pytest.mark.parametrize(("place", "mass"), [((1, 0), 0.5), ((1, 1), 0.25), ((0.875, -0.875), 1.0), ((1.2, 0), 0.0)])
def test_point_sampling_loses_mass_at_the_rim(place, mass):
    ones = torch.ones(1, 1, dtype=torch.float64)
    position = torch.tensor([place], dtype=torch.float64)
    local = torch.ones(1, 1, 1, 8, 8, dtype=torch.float64)
    seen = read_out(local, torch.zeros(1, 1, 1).double(), ones, position, 0 * ones, ones)
    assert seen.item() == pytest.approx(mass, abs=1e-12)


def test_gaussian_window_keeps_its_mass_everywhere(rng):
    args = problem(rng, gaussian=True, spread=3.0)
    args |= {"local": torch.ones_like(args["local"]), "global_": torch.ones_like(args["global_"])}
    expected = args["weight"].mean(1) + args["bias"]
    torch.testing.assert_close(read_out(**args), expected.expand(2, -1), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layer": torch.zeros(7, 2)}, r"layer must be \(7, 3\)"),
        ({"position": torch.zeros(6, 2)}, r"position must be \(7, 2\)"),
        ({"width": torch.zeros(7)}, r"width must be \(7, 1\)"),
        ({"local": torch.zeros(2, 3, 8, 8)}, r"\(B, L, D, H, W\)"),
        ({"head": "max"}, "Known: mean, sum"),
        ({"implementation": "fastest"}, "Unknown implementation 'fastest'"),
        ({"precision": "fp8"}, "Known: fp32, bf16, auto"),
    ],
)
def test_bad_arguments_are_named(rng, change, message):
    with pytest.raises(ValueError, match=message):
        read_out(**(problem(rng) | change))


def test_narrow_windows_hold_no_denormals():
    """Weights of 1e-40 change no prediction but slow every product they enter, several times."""
    position, width = torch.tensor([[-0.9, 0.9]]), torch.tensor([[0.08]])
    for weights in _cells.gaussian_window(position, width, (8, 8)):
        assert weights[weights > 0].min() > 1e-17
        assert weights.sum().item() == pytest.approx(1)


# Every implementation against the reference ------------------------------------------------------------------------


@pytest.fixture(params=["cells", "one group"])
def grouping(request, monkeypatch):
    """Point sampling in both ways the fast form knows: whatever would be chosen at this size."""
    cost = 0 if request.param == "cells" else 1e30
    monkeypatch.setattr(_cells, "GROUP_COST", dict.fromkeys(_cells.GROUP_COST, cost))


def value_and_gradients(args, implementation, seed=1, **options):
    """Predictions, and the gradient of a random combination of them for every tensor."""
    tensors = {k: v.detach().clone().requires_grad_() for k, v in args.items() if v is not None}
    out = read_out(**(args | tensors), implementation=implementation, **options)
    direction = torch.randn(out.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(out.dtype)
    gradients = torch.autograd.grad(out, list(tensors.values()), direction)
    return {"value": out.detach()} | dict(zip(tensors, gradients, strict=True))


def assert_agree(found, expected, tolerance):
    """Within ``tolerance`` of the largest entry, for the value and for each gradient."""
    for name, wanted in expected.items():
        scale = wanted.abs().max().clamp_min(1e-3)
        worst = ((found[name] - wanted) / scale).abs().max().item()
        assert worst <= tolerance, f"{name}: {worst:.1e}"


# the rim, its outside, cell edges (multiples of 0.25 on 8 tokens, odd multiples of 0.125) and anything between
special = [-9.0, -1.125, -1.0, -0.875, -0.125, 0.0, 0.125, 0.5, 1.0, 1.125, 1.3]
places = st.one_of(st.sampled_from(special), st.floats(-1.5, 1.5))


@pytest.mark.parametrize("implementation", FAST)
@pytest.mark.parametrize("keep_bytes", [0, 2**28])
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_fast_forms_agree_with_the_reference_to_1e_12(implementation, keep_bytes, data):
    size = lambda low, high: data.draw(st.integers(low, high))  # noqa: E731
    grid = data.draw(st.sampled_from([(8, 8), (16, 16), (13, 13), (1, 1), (5, 2), (3, 7)]))
    n_voxels, gaussian = size(1, 30), data.draw(st.booleans())
    rng = torch.Generator().manual_seed(size(0, 99))
    args = problem(rng, size(1, 30), size(1, 4), size(1, 40), grid, n_voxels, gaussian)
    chosen = data.draw(st.lists(st.tuples(places, places), min_size=1, max_size=n_voxels))
    args["position"][: len(chosen)] = torch.tensor(chosen, dtype=torch.float64)
    head = data.draw(st.sampled_from(["mean", "sum"]))
    expected = value_and_gradients(args, "reference", head=head)
    with pytest.MonkeyPatch.context() as patch:
        cost = data.draw(st.sampled_from([0, 1e30]))
        patch.setattr(_cells, "GROUP_COST", dict.fromkeys(_cells.GROUP_COST, cost))
        patch.setattr(_cells, "TILE_ELEMENTS", {"cpu": data.draw(st.sampled_from([1, 2**19])), "other": 1})
        found = value_and_gradients(args, implementation, head=head, keep_bytes=keep_bytes)
    assert_agree(found, expected, 1e-12)


# which factor is contracted first: weights, tokens, or (where images outnumber terms and channels) neither
ORDERS = {"weights": (2, 40), "tokens": (2, 2), "filters": (12, 2)}


@pytest.mark.parametrize(("order", "shape"), ORDERS.items())
def test_the_smallest_intermediate_is_chosen(rng, order, shape, monkeypatch):
    monkeypatch.setattr(_cells, "GROUP_COST", dict.fromkeys(_cells.GROUP_COST, 0))
    forms = {"weights": _cells._WeightFirst, "tokens": _cells._TokensFirst, "filters": _cells._FilterFirst}
    del forms[order]
    for form in forms.values():
        monkeypatch.setattr(form, "forward", None)
    args = problem(rng, batch=shape[0], n_layers=2, depth=shape[1], n_voxels=9)
    assert read_out(**args, implementation="cells").shape == (shape[0], 9)


@pytest.mark.parametrize("gaussian", [False, True])
@pytest.mark.parametrize(("batch", "depth"), ORDERS.values())
@pytest.mark.usefixtures("grouping")
def test_gradcheck(rng, gaussian, batch, depth):
    args = problem(rng, batch=batch, n_layers=2, depth=depth, grid=(3, 4), n_voxels=4, gaussian=gaussian, spread=0.5)
    names = [k for k, v in args.items() if v is not None]
    tensors = [args[k].requires_grad_() for k in names]

    def predict(*given):
        return read_out(**(args | dict(zip(names, given, strict=True))), implementation="cells")

    assert torch.autograd.gradcheck(predict, tensors, fast_mode=True)


@pytest.mark.usefixtures("grouping")
@pytest.mark.parametrize("place", [(0.0, 0.0), (0.3, -0.99), (4.0, 4.0)])
def test_all_voxels_in_one_cell_fill_several_tiles(rng, place, monkeypatch):
    monkeypatch.setattr(_cells, "TILE_ELEMENTS", {"cpu": 1})  # tiles of 128
    args = problem(rng, n_voxels=300)
    args["position"] = torch.tensor([place], dtype=torch.float64).expand(300, 2).clone()
    assert_agree(value_and_gradients(args, "cells"), value_and_gradients(args, "reference"), 1e-12)


@pytest.mark.usefixtures("grouping")
@pytest.mark.parametrize(("batch", "n_layers", "depth"), [(4, 12, 64), (96, 5, 32)])
@pytest.mark.parametrize("gaussian", [False, True])
def test_single_precision_stays_within_1e_5(rng, batch, n_layers, depth, gaussian):
    args = problem(rng, batch=batch, n_layers=n_layers, depth=depth, n_voxels=400, gaussian=gaussian)
    single = {k: v if v is None else v.float() for k, v in args.items()}
    exact = {k: v if v is None else v.double() for k, v in single.items()}
    found = value_and_gradients(single, "cells")
    assert found["value"].dtype == torch.float32
    assert_agree({k: v.double() for k, v in found.items()}, value_and_gradients(exact, "reference"), 1e-5)


@pytest.mark.usefixtures("grouping")
@pytest.mark.parametrize(("batch", "n_layers", "depth"), [(4, 12, 128), (96, 5, 32)])
@pytest.mark.parametrize("gaussian", [False, True])
@pytest.mark.parametrize("keep_bytes", [0, 2**28])
def test_half_precision_keeps_the_stated_fidelity(rng, batch, n_layers, depth, gaussian, keep_bytes, monkeypatch):
    if not keep_bytes:
        monkeypatch.setattr(_cells, "TILE_ELEMENTS", {"cpu": 1})  # several tiles a group
    args = problem(rng, batch=batch, n_layers=n_layers, depth=depth, n_voxels=400, gaussian=gaussian)
    single = {k: v if v is None else v.float() for k, v in args.items()}
    single["bias"] = None
    exact = value_and_gradients(single, "reference")
    found = value_and_gradients(single, "cells", precision="bf16", keep_bytes=keep_bytes)
    for name in exact:
        error = ((found[name] - exact[name]).norm() / exact[name].norm()).item()
        assert found[name].dtype == torch.float32
        assert 1e-4 < error < 0.006, f"{name}: {error:.4f}"  # 0.4 % as documented, and rounding did happen


def test_fast_form_is_deterministic_and_leaves_its_arguments_alone(rng):
    args = problem(rng, n_voxels=200)
    before = {k: v if v is None else v.clone() for k, v in args.items()}
    first = value_and_gradients(args, "cells")
    again = value_and_gradients(args, "cells")
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert all(v is None or torch.equal(v, before[k]) for k, v in args.items())


@pytest.mark.parametrize("gaussian", [True, False])
def test_groups_by_cell_are_not_captured_in_a_graph(rng, gaussian, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    with FakeTensorMode():  # a GPU's tensors without a GPU: shapes and devices, no values
        args = problem(rng, 32, 24, 128, n_voxels=40_000, gaussian=gaussian)
        args = {name: None if value is None else value.to("cuda") for name, value in args.items()}
        if gaussian:
            assert read_out(**args, implementation="cells").shape == (32, 40_000)
        else:
            with pytest.raises(ValueError, match="CUDA graph"):
                read_out(**args, implementation="cells")


def test_a_place_that_is_not_a_number_spoils_its_own_voxel_only(rng):
    args = problem(rng, n_voxels=50)
    args["position"][7] = math.nan
    out = read_out(**args, implementation="cells")
    assert out[:, 7].isnan().all()
    assert out[:, :7].isfinite().all()
    assert out[:, 8:].isfinite().all()


def test_bf16_on_a_processor_without_it_is_told_once_and_auto_avoids_it(monkeypatch):
    monkeypatch.setattr(definition, "multiplies_bfloat16", lambda device: False)
    monkeypatch.setattr("brainnet._checks._already_warned", set())
    cpu = torch.device("cpu")
    assert definition.arithmetic("auto", cpu) == "fp32"
    with pytest.warns(UserWarning, match="several times slower") as said:
        assert [definition.arithmetic("bf16", cpu) for _ in range(2)] == ["bf16", "bf16"]
    assert len(said) == 1
    with pytest.raises(ValueError, match="'half'"):
        definition.arithmetic("half", cpu)

"""Checks of the GPU kernels, run by test_triton.py: in Triton's interpreter (``TRITON_INTERPRET=1``) or on a GPU."""

from __future__ import annotations

import os

import pytest
import torch

from brainnet.selection import read_out
from brainnet.selection.triton import MULTIPLIES_FLOAT64, supports

DEVICE = "cpu" if os.environ.get("TRITON_INTERPRET") == "1" else "cuda"


def problem(batch, n_layers, depth, grid, n_voxels, spread, dtype=torch.float64):
    """A random read-out; ``spread`` 0 puts all voxels into the cell at the centre, 2 many beyond the rim."""
    rng = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.randn(*shape, generator=rng, dtype=torch.float64)  # noqa: E731
    args = {
        "local": draw(batch, n_layers, depth, *grid),
        "global_": draw(batch, n_layers, depth),
        "layer": draw(n_voxels, n_layers).softmax(-1),
        "position": spread * draw(n_voxels, 2),
        "scale": draw(n_voxels, 1).sigmoid(),
        "weight": draw(n_voxels, depth),
        "bias": draw(n_voxels),
    }
    return {k: v.to(DEVICE, dtype) for k, v in args.items()}


def value_and_gradients(args, implementation, **options):
    tensors = {k: v.detach().clone().requires_grad_() for k, v in args.items()}
    out = read_out(**tensors, implementation=implementation, **options)
    direction = torch.randn(out.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(out)
    return {"value": out.detach()} | dict(
        zip(tensors, torch.autograd.grad(out, tensors.values(), direction), strict=True)
    )


CASES = {
    "several tiles": (2, 3, 5, (3, 4), 150, 0.7),
    "beyond the rim": (3, 1, 16, (3, 5), 80, 2.0),
    "one crowded cell": (2, 2, 4, (2, 2), 600, 0.0),
    "twelve layers": (1, 12, 33, (2, 2), 30, 0.5),
    "more images than a program takes": (9, 1, 3, (2, 3), 20, 0.5),
    "nearly nothing": (1, 1, 1, (1, 1), 1, 0.3),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_value_and_gradients_agree(case, dtype, tolerance):
    if dtype == torch.float64 and not MULTIPLIES_FLOAT64:
        assert not supports(case[1], case[2], dtype)  # so that "auto" takes another form
        return
    args = problem(*case, dtype)
    expected = value_and_gradients({k: v.double() for k, v in args.items()}, "reference")
    for name, found in value_and_gradients(args, "triton").items():
        scale = expected[name].abs().max().clamp_min(1e-3)
        worst = ((found.double() - expected[name]) / scale).abs().max().item()
        assert found.dtype == dtype
        assert worst < tolerance, f"{name}: {worst:.1e}"


def test_gradients_are_the_same_bits_every_time():
    args = problem(2, 2, 4, (1, 2), 600, 0.5, torch.float32)
    first, again = (value_and_gradients(args, "triton") for _ in range(2))
    assert all(torch.equal(first[k], again[k]) for k in first)


@pytest.mark.gpu  # the interpreter has no bfloat16 products
@pytest.mark.parametrize("n_layers", [3, 12, 24])
def test_half_precision_keeps_the_stated_fidelity(n_layers):
    args = problem(4, n_layers, 128, (8, 8), 3000, 0.5, torch.float32)
    args["bias"].zero_()
    exact = value_and_gradients(args, "reference")
    for name, found in value_and_gradients(args, "triton", precision="bf16").items():
        error = ((found - exact[name]).norm() / exact[name].norm()).item()
        assert error < 0.006, f"{name}: {error:.4f}"


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_step_waits_for_nothing_and_can_be_captured(precision):
    args = {k: v.requires_grad_() for k, v in problem(4, 12, 128, (8, 8), 3000, 0.5, torch.float32).items()}

    def step():
        out = read_out(**args, implementation="auto", precision=precision)
        return torch.autograd.grad(out.square().sum(), args.values())

    eager = step()
    torch.cuda.set_sync_debug_mode("error")
    try:
        step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = step()
    graph.replay()
    assert all(torch.equal(a, b) for a, b in zip(eager, captured, strict=True))

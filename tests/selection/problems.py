"""Random read-outs, and how two implementations of one are compared."""

from __future__ import annotations

import torch

from brainnet.selection import read_out


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

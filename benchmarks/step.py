"""What one training step of FactorTopy costs: the original's form, grouped by cells, and Triton where a GPU is present.

A step is forward, smooth-L1 loss, backward and AdamW; "graph" replays all but AdamW from a CUDA graph, as training with
``TRAINER.CUDA_GRAPH`` does. The original's form samples every layer for every voxel, keeps
those batch x voxels x channels arrays for the backward pass and encodes the coordinates for each selector anew.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks import measure, peak_memory, ratio, report, seconds, table
from brainnet.model import FactorTopy
from brainnet.plmodel.graph import GraphedObjective
from brainnet.tokens import Tokens


class Size(NamedTuple):
    """How large a step is."""

    n_voxels: int
    width: int
    batch: int
    n_layers: int = 12
    depth: int = 128


SIZES = {
    "full8": Size(37_984, 768, 8),
    "full32": Size(37_984, 768, 32),
    "small": Size(2_000, 384, 32),
    "demo": Size(2_364, 48, 96, n_layers=5, depth=32),
    "tiny": Size(300, 32, 4, n_layers=3, depth=16),
}
FORMS = {
    "original": {"implementation": "reference"},
    "reference": {"implementation": "reference"},
    "cells fp32": {"implementation": "cells"},
    "cells bf16": {"implementation": "cells", "precision": "bf16"},
    "triton fp32": {"implementation": "triton"},
    "triton bf16": {"implementation": "triton", "precision": "bf16"},
    "triton fp32 graph": {"implementation": "triton", "graph": True},
    "triton bf16 graph": {"implementation": "triton", "precision": "bf16", "graph": True},
    "gaussian fp32": {"implementation": "cells", "window": "gaussian"},
    "gaussian bf16": {"implementation": "cells", "window": "gaussian", "precision": "bf16"},
}

PER_LAYER_ARRAYS = {"original", "reference"}


class OriginalStep(FactorTopy):
    """The same numbers in the original's order of work: nothing shared between selectors, nothing computed once."""

    def _logits(self, code: Tensor) -> dict[str, Tensor]:
        return {name: getattr(self, f"{name}_selector_mlp")(self.position_code(self.coords)) for name in self._outputs}

    def _bottleneck(self, tokens):
        local = [self.local_token_bottleneck[name](t) for name, t in tokens.local.items()]
        global_ = [self.global_token_bottleneck[name](t) for name, t in tokens.global_.items()]
        return torch.stack(local, 1), torch.stack(global_, 1)

    def _read(self, local, global_, selectors, width, bias=None):
        places = selectors.space[None, :, None].expand(len(local), -1, 1, 2)
        sampled = [F.grid_sample(local[:, k], places, align_corners=False)[..., 0] for k in range(local.shape[1])]
        sampled = torch.stack([s.transpose(1, 2) for s in sampled], 1)  # (B, L, n, D), every one of them at once
        mix = selectors.layer.T[None, :, :, None]
        v_local = (sampled * mix).sum(1)
        v_global = (global_[:, :, None] * mix).sum(1)
        v = (1 - selectors.scale) * v_local + selectors.scale * v_global
        return (v * self.weight).mean(-1) + bias


def build(size: Size, form: str, device: str) -> tuple[Callable[[], Tensor], nn.Module]:
    """A function that makes one step, and its model; the selectors are awake, as they are after training began."""
    torch.manual_seed(0)
    names = [str(k) for k in range(size.n_layers)]
    coords = F.normalize(torch.randn(size.n_voxels, 3), dim=1) * torch.tensor([100.0, 40.0, 40.0])
    kind = OriginalStep if form == "original" else FactorTopy
    options = dict(FORMS[form])
    graph = options.pop("graph", False)
    model = kind(names, [size.width] * size.n_layers, size.n_voxels, coords, bottleneck_dim=size.depth, **options)
    with torch.no_grad():
        for mlp in (m for name, m in model.named_children() if name.endswith("selector_mlp")):
            mlp.get_submodule("5").weight.normal_(0, 0.3)  # of a Sequential, and of named layers
    model = model.to(device)
    local = {name: torch.randn(size.batch, size.width, 8, 8, device=device) for name in names}
    global_ = {name: torch.randn(size.batch, size.width, device=device) for name in names}
    target = torch.randn(size.batch, size.n_voxels, device=device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=form != "original")

    def losses(tokens: Tokens, target: Tensor) -> tuple[Tensor, Tensor]:
        prediction, regulariser = model(*tokens)
        return F.smooth_l1_loss(prediction, target, beta=0.1), regulariser

    objective = GraphedObjective(losses, model) if graph else losses

    def step() -> Tensor:
        error, regulariser = objective(Tokens(local, global_), target)
        loss = error + 0.1 * regulariser
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step, model


def _fits_in_memory(size: Size) -> bool:
    """Whether the original's arrays of every layer, voxel and image (two, and their gradient) fit beside the rest."""
    needed = 3 * 4 * size.batch * size.n_voxels * size.n_layers * size.depth
    return needed < 0.5 * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")


def memory(size: Size, form: str, device: str) -> float:
    """Bytes by which a step's memory exceeds what lies there between steps (weights, optimiser, tokens)."""
    if device == "cuda":
        step, _ = build(size, form, device)
        for _ in range(2):
            step()
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        step()
        return torch.cuda.max_memory_allocated() - before
    # in a process of its own: memory that an allocator kept from another form would hide this one's
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_memory_here, (size, form, torch.get_num_threads()))


def _memory_here(size: Size, form: str, threads: int) -> float:
    torch.set_num_threads(threads)
    # the first step is measured: later ones would find its memory in the allocator. AdamW's moments and the gradients,
    # which it makes and which stay, count with the weights
    _, model = stepped = build(size, form, "cpu")
    lasting = 3 * sum(p.numel() * p.element_size() for p in model.parameters())
    return peak_memory(stepped[0]) - lasting


def compare(label: str, forms: list[str], device: str, repeats: int, with_memory: bool) -> str:
    """One table: every form of a size beside the original's."""
    size = SIZES[label]
    steps = {}
    for form in forms:
        if form in PER_LAYER_ARRAYS and size.batch > 8 and device == "cpu" and not _fits_in_memory(size):
            pieces, step = size.batch // 8, build(size._replace(batch=8), form, device)[0]
            steps[f"{form}, {pieces} x batch 8"] = lambda step=step, pieces=pieces: [step() for _ in range(pieces)]
        else:
            steps[form] = build(size, form, device)[0]
    after = torch.cuda.synchronize if device == "cuda" else None
    timings = measure(steps, repeats=repeats, after=after)
    first = next(iter(timings.values()))
    rows = []
    for form, took in timings.items():
        rows.append(
            [
                form,
                seconds(took.cpu),
                ratio(first.cpu / took.cpu),
                seconds(took.wall),
                ratio(first.wall / took.wall),
                f"{size.batch / took.wall:.0f}",
                f"{memory(size, form, device) / 1e9:.2f} GB" if with_memory and form in forms else "-",
            ]
        )
    head = ["form", "CPU per step", "ratio", "wall", "ratio", "images/s", "peak over weights"]
    title = (
        f"{label}: {size.n_voxels:,} voxels, {size.n_layers} layers x {size.width}, D {size.depth}, batch {size.batch}"
    )
    return f"## {title}, {device}\n\n{table(head, rows)}"


def main(argv: list[str] | None = None) -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks step", description=__doc__)
    parser.add_argument("--sizes", nargs="+", default=["full8", "small"], choices=SIZES)
    parser.add_argument("--forms", nargs="+", choices=FORMS, help="default: all that the device runs but reference")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--no-memory", action="store_true")
    parser.add_argument("--out", nargs="?", const="", help="save the table, by default in benchmarks/results/step.md")
    args = parser.parse_args(argv)
    on_gpu = args.device == "cuda"
    forms = args.forms or [form for form in FORMS if form != "reference" and (on_gpu or not form.startswith("triton"))]
    sections = [compare(label, forms, args.device, args.repeats, not args.no_memory) for label in args.sizes]
    report("step", sections, out=args.out)

"""A training step as one CUDA graph: what a GPU was asked for in hundreds of launches is asked for in one.

A full-size step is a millisecond or two of work in some two hundred small pieces; launched one by one from Python they
wait for Python. The graph holds the forward pass, the loss and the backward pass, and nothing of the training loop:
Lightning optimizes, clips and logs as ever, and AdamW is a single fused launch already.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable

import torch
from torch import Tensor, nn

from brainnet.tokens import Tokens

Objective = Callable[[Tokens, Tensor], tuple[Tensor, Tensor]]


class GraphedObjective:
    """Loss and regularizer of a batch, captured on a GPU at the first batch and replayed for all of its shape.

    Values and gradients are those of ``objective``: the same kernels run in the same order. A batch of another shape
    (the last of an epoch) is computed as ever. Gradients lie in memory of the graph, which the next replay writes over:
    let the optimizer step, and zero them, after every batch.

    Args:
        objective: (tokens, responses) to two scalars; no value of a tensor may decide what it does.
        module: whose parameters get gradients.
    """

    def __init__(self, objective: Objective, module: nn.Module):
        self.objective, self.module = objective, module
        self._shapes: list[torch.Size] = []
        self._replay: nn.Module | None = None

    def __call__(self, tokens: Tokens, response: Tensor) -> tuple[Tensor, Tensor]:
        """Loss and regularizer, in memory of their own: a replay writes over what the one before it returned."""
        layers = list(tokens.local)
        values = [*tokens.local.values(), *tokens.global_.values(), response]
        shapes = [value.shape for value in values]
        if self._replay is None:
            self._shapes = shapes
            examples = tuple(value.clone() for value in values)
            capture, options = torch.cuda.make_graphed_callables, {}
            if "capture_error_mode" in inspect.signature(capture).parameters:  # not in older torch
                # a thread that reads the next batch into pinned memory meanwhile would break a "global" capture
                options["capture_error_mode"] = "thread_local"
            # mixed precision is none of the objective's, and capture refuses it
            with torch.autocast(response.device.type, enabled=False):
                self._replay = capture(_OfTensors(self.objective, self.module, layers), examples, **options)
        if shapes != self._shapes:
            return self.objective(tokens, response)
        loss, regulariser = self._replay(*values)
        return loss.clone(), regulariser.clone()


class _OfTensors(nn.Module):
    """The objective as a module of plain tensors, which is what CUDA's capture takes."""

    def __init__(self, objective: Objective, module: nn.Module, layers: list[str]):
        super().__init__()
        self.objective, self.module, self.layers = objective, module, layers

    def forward(self, *values: Tensor) -> tuple[Tensor, Tensor]:
        n = len(self.layers)
        local, global_ = (dict(zip(self.layers, part, strict=True)) for part in (values[:n], values[n : 2 * n]))
        return self.objective(Tokens(local, global_), values[2 * n])

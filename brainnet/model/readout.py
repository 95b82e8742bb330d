"""What a read-out is, and where it is found: a class of brainnet's, of another package, or in a user's own file.

A read-out turns tokens into a prediction per voxel. It must do that and say how it is regularized; what it knows about
where voxels look, it may tell. It never knows of configs, data sets or training loops.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

from torch import Tensor, nn

from brainnet._registry import Registry
from brainnet.selection import Selectors
from brainnet.tokens import Tokens

READOUTS = Registry("read-out", group="brainnet.readouts")


class Contributions(NamedTuple):
    """What each layer and scale adds to a voxel's prediction, as shares of standard deviation.

    ``layer`` (n, L) sums to 1; ``scale`` (n, 1) is the global token's share. NaN where a prediction never varies.

    >>> import torch
    >>> found = Contributions(torch.tensor([[0.25, 0.75], [0.5, 0.5]]), torch.tensor([[0.1], [0.9]]))
    >>> (found.scale[:, 0] > 0.5).tolist()    # the second voxel is predicted by global tokens above all
    [False, True]
    """

    layer: Tensor
    scale: Tensor


@runtime_checkable
class Readout(Protocol):
    """A ``torch.nn.Module`` made by ``Class(layers, layer_widths, n_vertices, coords, **options)``.

    ``layers`` are names, ``layer_widths`` channels per layer (an entry may be a pair (local, global)), ``coords`` is
    (n_vertices, n_axes) or None. Options are what its signature names.

    It may also have, each on its own:

    - ``get_selectors()``: :class:`Selectors` of all voxels.
    - ``contributions(batches)``: :class:`Contributions` over batches of tokens.
    - ``width()``: (n, 1), of windows, in half-widths of the image.
    - ``weight``: (n, D), from which channel clusters are made.
    - ``selector_parameters()``: those that have a step size of their own.
    - ``closed_form_start(coefficients, intercept, position, width, layer=)``, see :class:`FactorTopy`.
    - ``evidence_start(evidence)`` and ``delays``, see :class:`DelayedFactorTopy`.

    What a read-out has not, its run folder has not.

    >>> class Mean(nn.Module):
    ...     def __init__(self, layers, layer_widths, n_vertices, coords=None):
    ...         super().__init__()
    ...         self.bias = nn.Parameter(torch.zeros(n_vertices))
    ...     def forward(self, local, global_):
    ...         return sum(token.mean(1, keepdim=True) for token in global_.values()) + self.bias, self.bias.sum()
    >>> import torch
    >>> isinstance(Mean(["a"], [3], 5), Readout)
    True
    """

    def forward(self, local: Mapping[str, Tensor], global_: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Prediction (B, n_vertices), and a scalar that training adds to the loss."""


def selectors_of(readout: nn.Module) -> Selectors | None:
    """Where each voxel looks, detached, on the CPU; None of a read-out that does not say."""
    ask = getattr(readout, "get_selectors", None)
    found = ask() if callable(ask) else None
    if found is None:
        return None
    found = found if isinstance(found, Selectors) else Selectors(*found)
    return found._replace(**{name: part.detach().cpu() for name, part in found._asdict().items()})


def contributions_of(readout: nn.Module, batches: Iterable[Tokens]) -> Contributions | None:
    """What each layer and scale adds to the predictions for these tokens, on the CPU; None where it does not say."""
    ask = getattr(readout, "contributions", None)
    found = ask(batches) if callable(ask) else None
    return None if found is None else Contributions(*(share.detach().cpu() for share in found))


def width_of(readout: nn.Module) -> Tensor | None:
    """Width of each voxel's Gaussian window, (n, 1), on the CPU; None where there are no windows."""
    ask = getattr(readout, "width", None)
    if not callable(ask) or getattr(readout, "window", "gaussian") != "gaussian":
        return None
    return ask().detach().cpu()


def weight_of(readout: nn.Module, n_voxels: int) -> Tensor | None:
    """Read-out weights (n_voxels, D), on the CPU; None where a read-out has no such table."""
    weight = getattr(readout, "weight", None)
    if not isinstance(weight, Tensor) or weight.ndim != 2 or len(weight) != n_voxels:
        return None
    return weight.detach().cpu()


def selector_parameters_of(readout: nn.Module) -> list[nn.Parameter]:
    """The parameters that decide where to look; none of a read-out without such."""
    ask = getattr(readout, "selector_parameters", None)
    return list(ask()) if callable(ask) else []


def check_output(readout: nn.Module, output: Any, n_images: int, n_voxels: int) -> tuple[Tensor, Tensor]:
    """The prediction and the regularizer that a read-out returned, once it is sure that they are.

    Raises:
        TypeError: not a pair of tensors.
        ValueError: a prediction that is not (B, n_voxels), or a regularizer that is no scalar.
    """
    kind = type(readout).__name__
    if not (isinstance(output, tuple) and len(output) == 2 and all(isinstance(part, Tensor) for part in output)):
        raise TypeError(f"the read-out {kind} must return (prediction, regularizer), two tensors; it returned "
                        f"{type(output).__name__}.")  # fmt: skip
    prediction, regulariser = output
    if prediction.shape != (n_images, n_voxels) or regulariser.ndim:
        raise ValueError(
            f"the read-out {kind} must return a prediction ({n_images}, {n_voxels}) and a scalar regularizer; it "
            f"returned shapes {tuple(prediction.shape)} and {tuple(regulariser.shape)}."
        )
    return prediction, regulariser

"""Scores of a split, batch by batch and over processes, and the statistics of responses they rest on."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric

from brainnet.scores import ScoreSums, usable_voxels
from brainnet.selection import Selectors

AT_THE_BORDER = 0.99  # of the way from the center to the image's border, where tanh hardly passes a gradient any more


class VoxelScores(Metric):
    """Pearson r and R2 per voxel over all batches of an epoch and all processes, in the sums of :class:`ScoreSums`.

    >>> scores = VoxelScores(1)
    >>> scores.update(torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([[2.0], [4.0], [6.0]]))
    >>> scores.per_voxel()["r"]
    tensor([1.], dtype=torch.float64)
    """

    full_state_update = False

    def __init__(self, n_voxels: int):
        super().__init__()
        self.add_state("sums", ScoreSums(n_voxels).sums, dist_reduce_fx="sum")

    def update(self, prediction: Tensor, response: Tensor) -> None:
        """Adds a batch: prediction and response, both (B, n_voxels)."""
        state = self._as_sums()
        state.update(prediction, response)
        self.sums = state.sums

    def compute(self) -> dict[str, Tensor]:
        """``r`` and ``r2``, (n_voxels,) float64 each; of a single voxel torchmetrics takes the axis away."""
        state = self._as_sums()
        return {"r": state.pearson_r(), "r2": state.r2()}

    def per_voxel(self) -> dict[str, Tensor]:
        """``r`` and ``r2`` over all processes, (n_voxels,) float64 each, of a single voxel too."""
        return {name: score.reshape(-1) for name, score in self.compute().items()}

    def _as_sums(self) -> ScoreSums:
        state = ScoreSums(self.sums.shape[1])
        state.sums = self.sums
        return state


def share_of_ceiling(r: Tensor, ceiling: Tensor) -> Tensor:
    """Mean r over mean noise ceiling, of the voxels that have both: a ratio of means, not a mean of ratios.

    A mean of ratios is ruled by the voxels whose ceiling is hardly above zero.

    >>> share_of_ceiling(torch.tensor([0.4, 0.2, torch.nan]), torch.tensor([0.5, 0.5, 0.9]))
    tensor(0.6000)
    """
    known = r.isfinite() & ceiling.isfinite()
    return r[known].mean() / ceiling[known].mean()


def share_at_the_border(selectors: Selectors, usable: Tensor) -> float:
    """Share of usable voxels, 0 to 1, whose place lies at the image's border: 1 where a training ran away."""
    far = (selectors.space.abs() > AT_THE_BORDER).any(1)
    return float(far[usable].float().mean()) if usable.any() else 0.0


def response_statistics(responses: Tensor, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, SD and usability (n_voxels,) over the training rows; NaN entries are left out, flat voxels unusable."""
    parts = []
    for columns in responses.split(1024, dim=1):  # a copy of all in float64 may be gigabytes
        rows = columns[index].double()
        known = torch.isfinite(rows)
        count = known.sum(0)
        mean = torch.where(known, rows, 0).sum(0) / count.clamp(min=1)
        variance = torch.where(known, (rows - mean) ** 2, 0).sum(0) / count.clamp(min=1)
        usable = usable_voxels(rows, gaps=True)
        sd = torch.where(usable, variance, 1).sqrt()
        parts.append((torch.where(usable, mean, 0).float(), sd.float(), usable))
    return tuple(torch.cat(column) for column in zip(*parts, strict=True))

"""The field: ridge on the whole image beside a trained read-out, in closed form.

A window misses what its surround tells. The field is ridge on every token of the image, fitted to the training images
before the first step and kept in low rank in the checkpoint, so predictions need no training data. A model's prediction
is the mix ``(1 - share) * read-out + share * field``. The share is one number for all voxels: the one whose left-out
predictions of the training images are best, where window ridge stands in for the read-out, which cannot be refitted
without each image. The maps stay those of the read-out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from brainnet._work import says_progress, size
from brainnet.ridge import MixedWindowRidgeCV
from brainnet.tokens import Tokens

RANK = 256  # the most patterns over voxels
LARGEST = 2 << 30  # bytes of a field in a checkpoint


class FieldRidge(nn.Module):
    """A fitted field, as buffers; or an empty one of the shapes that a checkpoint has.

    Args:
        mean: (n_voxels,) of the target.
        patterns: (n_voxels, r).
        maps: per layer, (r, C, H, W).
        offset: (r,).
        share: () weight of the field in the mix, 0 to 1.
        window_share: (n_voxels,) how much of what the mix explains the read-out's part explains; NaN where nothing is.
        kept: () share of the variance of the field's training predictions that the patterns keep.
    """

    def __init__(
        self,
        mean: Tensor,
        patterns: Tensor,
        maps: Sequence[Tensor],
        offset: Tensor,
        share: Tensor,
        window_share: Tensor,
        kept: Tensor,
    ):
        super().__init__()
        self.register_buffer("mean", mean.float())
        self.register_buffer("patterns", patterns.float())
        self.register_buffer("offset", offset.float())
        self.register_buffer("share", share.float())
        self.register_buffer("window_share", window_share.float())
        self.register_buffer("kept", kept.float())
        for index, value in enumerate(maps):
            self.register_buffer(f"map{index}", value.float())

    @classmethod
    def like(cls, state: Mapping[str, Tensor], prefix: str = "field.") -> FieldRidge | None:
        """A field of the shapes in a state dict, zeros; None where it holds none."""
        found = {k.removeprefix(prefix): torch.zeros_like(v) for k, v in state.items() if k.startswith(prefix)}
        if not found:
            return None
        maps = [found[f"map{index}"] for index in range(sum(name.startswith("map") for name in found))]
        others = {name: value for name, value in found.items() if not name.startswith("map")}
        return cls(maps=maps, **others)

    def describe(self) -> dict[str, float]:
        """Its share of the predictions, how many patterns it has, and how much of it they keep."""
        return {"share": float(self.share), "n_patterns": len(self.offset), "kept": float(self.kept)}

    def forward(self, prediction: Tensor, local: Sequence[Tensor]) -> Tensor:
        """The mix with a read-out's prediction (B, n_voxels), for each layer's tokens (B, C, H, W)."""
        read = self.offset
        for index, tokens in enumerate(local):
            read = read + tokens.flatten(1).to(read) @ getattr(self, f"map{index}").flatten(1).T
        return torch.lerp(prediction, self.mean + read @ self.patterns.T, self.share.to(prediction))


def fit_field(
    layers: Sequence[str],
    batches: Callable[[Tensor], Iterator[Tokens]],
    index: Tensor,
    target: Tensor,
    progress: bool = True,
    groups: np.ndarray | None = None,
) -> FieldRidge:
    """The field of training images, and its share.

    Args:
        layers: their names, in the order in which the field is to read them.
        batches: the tokens, as the read-out takes them, of images by index.
        index: training images.
        target: what to fit, (n_train, n_voxels), finite.
        progress: show a progress bar.
        groups: (n_train,) labels; penalties and the share are chosen leaving out one group at a time, None: one image.

    Raises:
        ValueError: a field that would take more than ``LARGEST`` bytes.
    """
    read = lambda: batches(index)  # noqa: E731
    first = next(iter(read())).local
    numbers = sum(first[layer][0].numel() for layer in layers)
    rank = min(RANK, *target.shape)
    if 4 * rank * numbers > LARGEST:
        raise ValueError(
            f"MODEL.FIELD would take {size(4 * rank * numbers)} for {numbers:,} tokens x {rank} patterns, more than "
            f"{size(LARGEST)}: take a smaller MODEL.GRID, fewer MODEL.LAYERS, or TOKENS.PCA."
        )
    mean = target.mean(0)
    target = target - mean
    window = MixedWindowRidgeCV(shares=(1.0,), n_windows=1, progress=progress).fit(read, target, groups)
    whole = MixedWindowRidgeCV(shares=(0.0,), n_windows=1, progress=progress).fit(read, target, groups)
    more = (whole.left_out_ - window.left_out_).double()
    missed = target.double() - window.left_out_.double()
    share = ((missed * more).sum() / more.square().sum().clamp(min=1e-30)).clamp(0, 1)
    parts = [((1 - share) * window.left_out_ * target).sum(0), (share * whole.left_out_ * target).sum(0)]
    explained = parts[0] + parts[1]
    window_share = parts[0] / torch.where(explained > 0, explained, torch.nan)
    field = whole.field(rank)
    maps, kept = [field.maps[layer] for layer in layers], torch.tensor(field.kept)
    found = FieldRidge(mean, field.patterns, maps, field.offset, share, window_share, kept)
    says_progress.info(
        "The ridge on the whole image has a share of %(share).2f in each prediction. It is kept as %(n_patterns)d "
        "patterns, which hold %(kept).4f of its variance.",
        found.describe(),
    )
    return found

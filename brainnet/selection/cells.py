"""The fast form of the selection on any torch device: grouped GEMMs instead of batch x voxel x channel arrays.

A voxel's selection is rank one: ``mix_l * window_q`` over layers l and places q, the global token being one place
more. All voxels whose bilinear sample falls between the same four tokens (a *cell*) see the same five places, so
they form one group and share its tokens as a matrix; under a Gaussian window every voxel sees every place and there
is one group. Within a group, ``prediction = sum_k A[n, k] <token_k, weight_n>`` with K = places x layers terms is
contracted in the order that leaves the smaller intermediate, in tiles that stay in the cache. Derivatives of the
windows themselves are left to autograd; only this contraction has a backward of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from brainnet.selection.windows import gaussian_windows

TILE_ELEMENTS = {"cpu": 2**19, "other": 2**25}  # of a tile's intermediate: a share of a core's cache, or a GPU's fill
BF16_ROWS = 16  # rows come in multiples of this: half-precision GEMMs prepare (1 ms) for every new shape they meet
# multiplications that cost as much as one more group does: products are fast in bf16, launches slow on GPUs
GROUP_COST = {"cpu": 6e6, "cpu bf16": 5e7, "other": 8e8}


def read_cells(local, global_, layer, position, scale, weight, width, precision: str, keep_bytes: int) -> Tensor:
    """The selection's (B, n) before the head's 1/D, as :func:`brainnet.selection.read_out` defines it."""
    batch, n_layers, depth, *grid = local.shape
    n_places, n_voxels = grid[0] * grid[1], len(weight)
    dtype = torch.bfloat16 if precision == "bf16" else local.dtype
    groups = Groups.one(n_voxels, n_places)
    if width is not None:
        window = gaussian_windows(torch.cat([position, width], 1), (grid[0], grid[1])).flatten(1)
    else:
        cells = Cells.of(position, grid)
        dense = n_voxels * (n_places - 4) * n_layers * depth * batch
        device = "other" if local.device.type != "cpu" else "cpu bf16" if dtype == torch.bfloat16 else "cpu"
        if dense < GROUP_COST[device] * cells.number:  # few voxels: one group that sees every place costs less
            window = cells.spread()
        else:
            if local.is_cuda and torch.cuda.is_current_stream_capturing():
                raise ValueError(
                    "voxels are grouped by where they look, which changes from step to step, so a CUDA graph cannot "
                    "hold it. Compute the step without a graph, or let the tokens fit on the chip (precision='bf16', "
                    "fewer layers or bottleneck channels), where implementation='auto' needs no groups."
                )
            window, groups = cells.window, cells.groups(BF16_ROWS if dtype == torch.bfloat16 else 1)
    window = torch.cat([(1 - scale) * window, scale], 1)
    return _Contraction.apply(local, global_, window, layer, weight, groups, dtype, keep_bytes).T


class Cells(NamedTuple):
    """Voxels by the cell of the grid their bilinear sample falls into, (H + 1) x (W + 1) cells with those of the rim.

    ``window`` (n, 4): weights of the upper left, upper right, lower left and lower right token, zero outside the image.
    ``row``, ``column`` (n,): the cell, 0 above or left of the first token.
    """

    window: Tensor
    row: Tensor
    column: Tensor
    grid: tuple[int, int]

    @classmethod
    def of(cls, position: Tensor, grid: tuple[int, int]) -> Cells:
        """The cells of positions (n, 2) on a grid of (height, width) tokens."""
        (column, left, right), (row, upper, lower) = _taps(position[:, 0], grid[1]), _taps(position[:, 1], grid[0])
        window = torch.stack([upper * left, upper * right, lower * left, lower * right], 1)
        return cls(window, row, column, (grid[0], grid[1]))

    @property
    def number(self) -> int:
        """How many cells there are, with voxels or without."""
        return (self.grid[0] + 1) * (self.grid[1] + 1)

    def spread(self) -> Tensor:
        """The windows as weights of every token, (n, H * W)."""
        height, width = self.grid
        rows = (self.row - 1).clamp_min(0), self.row.clamp_max(height - 1)
        columns = (self.column - 1).clamp_min(0), self.column.clamp_max(width - 1)
        places = torch.stack([row * width + column for row in rows for column in columns], 1)
        return self.window.new_zeros(len(places), height * width).scatter_add(1, places, self.window)

    def groups(self, multiple: int) -> Groups:
        """One group per cell that has voxels, each filled up to a multiple of rows."""
        across = self.grid[1] + 2  # tokens get a rim of zeros, in which every cell has its four
        cell = self.row * across + self.column
        counts = cell.bincount()
        sizes = (counts + multiple - 1) // multiple * multiple
        voxels = cell.argsort(stable=True)
        # behind the start of its group each voxel keeps its rank within the cell
        shift = (sizes.cumsum(0) - sizes) - (counts.cumsum(0) - counts)
        rows = torch.arange(len(voxels), device=voxels.device) + shift[cell[voxels]]
        sizes = sizes.tolist()
        order = voxels.new_zeros(sum(sizes)).index_copy_(0, rows, voxels)
        row = torch.empty_like(voxels).index_copy_(0, voxels, rows)
        last = across * (self.grid[0] + 2)
        groups = [
            (size, ((first, first + 2), (first + across, first + across + 2), (last, last + 1)))
            for first, size in enumerate(sizes)
            if size
        ]
        return Groups(order, row, groups, rim=1)


def _taps(coordinate: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Cell along one axis, 0..size, and the weights of the tokens before and after; zero for those off the image."""
    pixel = ((coordinate + 1) * size - 1) / 2  # in grid_sample's own order of operations: it decides the cell
    before = pixel.detach().floor()
    after = pixel - before
    inside = (before >= 0) & (before < size), (before >= -1) & (before < size - 1)
    cell = before.nan_to_num(-1).clamp(-1, size - 1).long() + 1
    return cell, (1 - after) * inside[0], after * inside[1]


class Groups(NamedTuple):
    """Voxels that see the same places, as consecutive rows: voxel n is row ``row[n]``, row r is voxel ``order[r]``.

    Each of ``groups`` has a number of rows and the places they see, as runs (start, stop): views of the tokens, never
    copies. Rows to spare at a group's end repeat voxel 0 and never count. ``rim`` tokens of zero surround the grid.
    """

    order: Tensor | None
    row: Tensor | None
    groups: list[tuple[int, tuple[tuple[int, int], ...]]]
    rim: int

    @classmethod
    def one(cls, n_voxels: int, n_places: int) -> Groups:
        """All voxels in their own order, all places, and the global token behind them."""
        return cls(None, None, [(n_voxels, ((0, n_places + 1),))], rim=0)

    def to_rows(self, values: Tensor) -> Tensor:
        """Values per row from values per voxel."""
        return values if self.order is None else values.index_select(0, self.order)

    def to_rows_once(self, values: Tensor) -> Tensor:
        """The same with zeros in the rows to spare, so that sums over rows count every voxel once."""
        if self.row is None:
            return values
        return values.new_zeros(len(self.order), *values.shape[1:]).index_copy_(0, self.row, values)

    def to_voxels(self, values: Tensor) -> Tensor:
        """Values per voxel from values per row."""
        return values if self.row is None else values.index_select(0, self.row)

    def tiles(self, size: int) -> Iterator[tuple[slice, tuple[tuple[int, int], ...]]]:
        """The rows in tiles of at most ``size`` within a group, and the runs of places they see."""
        start = 0
        for count, runs in self.groups:
            stop = start + count
            for first in range(start, stop, size):
                yield slice(first, min(first + size, stop)), runs
            start = stop


class _Contraction(torch.autograd.Function):
    """(n, B): ``sum_{q, l} window[n, q] layer[n, l] <tokens[place(n, q), l, b], weight[n]>``, voxels in groups."""

    @staticmethod
    def forward(ctx, local, global_, window, layer, weight, groups, dtype, keep_bytes):
        batch, n_layers, depth = global_.shape
        n_terms = window.shape[1] * n_layers
        orders = [(n_terms * batch, _WeightFirst), (depth * batch, _TokensFirst), (n_terms * depth, _FilterFirst)]
        inner, form = min(orders, key=lambda order: order[0])  # numbers per voxel in between
        tile = TILE_ELEMENTS["cpu" if local.device.type == "cpu" else "other"] // inner
        tile = max(128, tile // 128 * 128)
        tokens = _by_place(local, global_, groups.rim, dtype, form.images_first)
        weight, window, layer = groups.to_rows(weight.to(dtype)), groups.to_rows(window), groups.to_rows(layer)
        keep = any(ctx.needs_input_grad) and len(weight) * inner * weight.element_size() <= keep_bytes
        out, kept = weight.new_empty(len(weight), batch), []
        for rows, runs in groups.tiles(tile):
            seen = form.of_places(tokens, runs)
            out[rows], terms = form.forward(seen, _outer(window[rows], layer[rows]).to(dtype), weight[rows])
            if keep:
                kept.append(terms)
        ctx.save_for_backward(tokens, window, layer, weight, *kept)
        ctx.groups, ctx.tile, ctx.form, ctx.grid = groups, tile, form, local.shape[3:]
        return groups.to_voxels(out).to(window.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        tokens, window, layer, weight, *kept = ctx.saved_tensors
        kept, groups, dtype = iter(kept), ctx.groups, grad.dtype
        grad = groups.to_rows_once(grad.to(weight.dtype).contiguous())
        d_tokens = torch.zeros(tokens.shape, dtype=dtype, device=grad.device)
        d_window, d_layer = torch.empty_like(window), torch.empty_like(layer)
        d_weight = torch.empty(weight.shape, dtype=dtype, device=grad.device)
        for rows, runs in groups.tiles(ctx.tile):
            u, a, w = window[rows], layer[rows], weight[rows]
            mix = _outer(u, a).to(w.dtype)
            seen = ctx.form.of_places(tokens, runs)
            terms = next(kept, None)
            if terms is None:
                terms = ctx.form.forward(seen, mix, w)[1]
            d_seen = ctx.form.of_places(d_tokens, runs)
            d_mix, d_weight[rows] = ctx.form.backward(seen, mix, w, grad[rows], terms, d_seen)
            d_mix = d_mix.to(dtype).view(len(u), u.shape[1], a.shape[1])
            d_window[rows] = torch.bmm(d_mix, a[:, :, None])[:, :, 0]
            d_layer[rows] = torch.bmm(u[:, None], d_mix)[:, 0]
        d_local, d_global = _by_image(d_tokens, groups.rim, ctx.grid, ctx.form.images_first)
        return d_local, d_global, *(groups.to_voxels(d) for d in (d_window, d_layer, d_weight)), None, None, None


def _by_place(local: Tensor, global_: Tensor, rim: int, dtype: torch.dtype, images_first: bool) -> Tensor:
    """Tokens (places, L, B, D), or (B, places, L, D), the global ones last: a run of places is a matrix."""
    batch, n_layers, depth, height, width = local.shape
    places = (height + 2 * rim) * (width + 2 * rim)
    shape = (batch, places + 1, n_layers, depth) if images_first else (places + 1, n_layers, batch, depth)
    tokens = torch.zeros(shape, dtype=dtype, device=local.device)
    inner, last = _by_image(tokens, rim, (height, width), images_first)
    inner.copy_(local)
    last.copy_(global_)
    return tokens


def _by_image(tokens: Tensor, rim: int, grid: tuple[int, int], images_first: bool) -> tuple[Tensor, Tensor]:
    """Views (B, L, D, H, W) and (B, L, D) of tokens by place, the rim left off."""
    tokens = tokens if images_first else tokens.permute(2, 0, 1, 3)  # (B, places, L, D)
    height, width = grid
    inner = tokens[:, :-1].unflatten(1, (height + 2 * rim, width + 2 * rim))[:, rim : rim + height, rim : rim + width]
    return inner.permute(0, 3, 4, 1, 2), tokens[:, -1]


class _PlacesFirst:
    """Tokens as (places, L, B, D): a run of places is in one piece."""

    images_first = False

    @staticmethod
    def of_places(tokens, runs):
        return [tokens[start:stop] for start, stop in runs]


class _WeightFirst(_PlacesFirst):
    """Tokens times weights first: an intermediate of K x B numbers per voxel."""

    @staticmethod
    def forward(seen, mix, w):
        terms = torch.cat([w @ part.flatten(0, 2).T for part in seen], 1).view(*mix.shape, -1)  # (m, K, B)
        return torch.bmm(mix[:, None], terms)[:, 0], terms

    @staticmethod
    def backward(seen, mix, w, g, terms, d_seen):
        d_mix = _times_vector(terms, g)
        d_terms = mix.T.contiguous()[:, None] * g.T.contiguous()  # (K, B, m): long rows multiply fast
        d_w = 0
        for part, d_part in zip(seen, d_seen, strict=True):
            d_these, d_terms = d_terms[: part.shape[0] * part.shape[1]], d_terms[part.shape[0] * part.shape[1] :]
            _accumulate(d_part.view(-1, w.shape[1]), d_these.flatten(0, 1), w)
            d_w = d_w + d_these.flatten(0, 1).T @ part.flatten(0, 2)
        return d_mix, d_w


class _TokensFirst(_PlacesFirst):
    """Tokens mixed first: an intermediate of D x B numbers per voxel."""

    @staticmethod
    def forward(seen, mix, w):
        mixed = 0
        for part in seen:
            these, mix = mix[:, : part.shape[0] * part.shape[1]], mix[:, part.shape[0] * part.shape[1] :]
            mixed = mixed + these @ part.flatten(2).flatten(0, 1)
        mixed = mixed.view(len(w), *seen[0].shape[2:])  # (m, B, D)
        return _times_vector(mixed, w), mixed

    @staticmethod
    def backward(seen, mix, w, g, mixed, d_seen):
        d_mixed = (g[:, :, None] * w[:, None]).flatten(1)
        d_mix = []
        for part, d_part in zip(seen, d_seen, strict=True):
            these, mix = mix[:, : part.shape[0] * part.shape[1]], mix[:, part.shape[0] * part.shape[1] :]
            _accumulate(d_part.view(these.shape[1], -1), these.T, d_mixed)
            d_mix.append(d_mixed @ part.flatten(2).flatten(0, 1).T)
        return torch.cat(d_mix, 1), torch.bmm(g[:, None], mixed)[:, 0]


class _FilterFirst:
    """Weights spread over places and layers first: a filter of K x D numbers per voxel, whatever the batch.

    Tokens as (B, places, L, D): a run of places is a matrix of an image per row.
    """

    images_first = True

    @staticmethod
    def of_places(tokens, runs):
        size = tokens.shape[2] * tokens.shape[3]
        return [tokens.flatten(1)[:, size * start : size * stop] for start, stop in runs]

    @staticmethod
    def forward(seen, mix, w):
        filters, out = _outer(mix, w), 0  # (m, K D)
        for part, these in zip(seen, filters.split([part.shape[1] for part in seen], 1), strict=True):
            out = out + these @ part.T
        return out, filters

    @staticmethod
    def backward(seen, mix, w, g, filters, d_seen):
        d_filters = torch.cat([g @ part for part in seen], 1).view(*mix.shape, -1)
        for d_part, these in zip(d_seen, filters.split([part.shape[1] for part in seen], 1), strict=True):
            _accumulate(d_part, g.T, these)
        return _times_vector(d_filters, w), torch.bmm(mix[:, None], d_filters)[:, 0]


def _outer(window: Tensor, layer: Tensor) -> Tensor:
    return (window[:, :, None] * layer[:, None]).flatten(1)


def _times_vector(matrices: Tensor, vectors: Tensor) -> Tensor:
    """Every voxel's matrix (m, a, b) times its vector (m, b)."""
    if matrices.device.type == "cpu" and matrices.dtype != torch.bfloat16:
        return (matrices * vectors[:, None]).sum(2)  # up to five times as fast as small matrix-vector products
    return torch.bmm(matrices, vectors[:, :, None])[:, :, 0]


def _accumulate(total: Tensor, left: Tensor, right: Tensor) -> None:
    """``total += left @ right``, the sum over tiles in ``total``'s precision even where the factors have less."""
    if left.dtype == total.dtype:
        total.addmm_(left, right)
    else:
        total += left @ right

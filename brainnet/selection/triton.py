"""Point sampling as GPU kernels: the grouped contraction of ``cells``, its intermediates never leaving the chip.

One program takes a tile of voxels of one cell, whose 5 L tokens of an image are a small matrix that every tile of the
cell finds in the L2 cache. The backward pass multiplies again rather than storing. Gradients of tokens, to which all
tiles contribute, are summed in a fixed order through a buffer of partial sums: no atomics, hence the same bits every
time. Tiles are laid out on the device with a bound on their number, so that nothing waits for the host and the whole
step can be captured in a CUDA graph. Imported only where it is used; ``TRITON_INTERPRET=1`` runs it without a GPU.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from brainnet.selection.cells import Cells

TILE_BYTES = (
    2**15
)  # of a cell's tokens for one image: its sums then fit in registers, its stages in 99 KB of shared memory
SUM_ROWS = 512  # voxels whose token gradients are summed in one program before they meet others
MULTIPLIES_FLOAT64 = tuple(int(part) for part in triton.__version__.split(".")[:2]) >= (3, 5)
CHUNK, PARTS = 256, 16  # elements and partial sums that one program of the last stage adds at a time


def supports(n_layers: int, depth: int, dtype: torch.dtype) -> bool:
    """Whether the tokens of one cell fit on the chip: up to 25 layers of 128 channels in bf16, 12 in float32.

    None do in float64 where Triton is older than 3.5, which multiplies no such matrices.
    """
    if dtype == torch.float64 and not MULTIPLIES_FLOAT64:
        return False
    return _padded(5 * n_layers) * _padded(depth) * dtype.itemsize <= TILE_BYTES


def _padded(size: int) -> int:
    return max(16, triton.next_power_of_2(size))  # matrix units take no less, blocks are powers of two


def read_triton(local, global_, layer, position, scale, weight, precision: str) -> Tensor:
    """The selection's (B, n) before the head's 1/D, as :func:`brainnet.selection.read_out` defines it."""
    _, n_layers, depth, height, width = local.shape
    dtype = torch.bfloat16 if precision == "bf16" else local.dtype
    if not supports(n_layers, depth, dtype):
        raise ValueError(
            f"{n_layers} layers of {depth} channels in {dtype} do not fit on the chip, or Triton {triton.__version__} "
            "does not multiply them; use implementation='cells', or 'auto', which chooses it."
        )
    cells = Cells.of(position, (height, width))
    window = torch.cat([(1 - scale) * cells.window, scale], 1)
    mix = (window[:, :, None] * layer[:, None]).flatten(1)  # (n, 5 L)
    # (places, L, B, D) with a rim of zeros, in which every cell has its four tokens; the global ones last
    tokens = F.pad(local, (1, 1, 1, 1)).permute(3, 4, 1, 0, 2).flatten(0, 1)
    tokens = torch.cat([tokens, global_.transpose(0, 1)[None]]).to(dtype)
    return _Contraction.apply(tokens, mix, weight, cells.row * (width + 2) + cells.column, width + 2)


class Tiles(NamedTuple):
    """Where each program's voxels are: ``order[start:stop]``, all of one cell; empty where start >= stop.

    ``until`` (n_cells + 1,): how many tiles come before each cell.
    """

    cell: Tensor
    start: Tensor
    stop: Tensor
    until: Tensor

    @classmethod
    def of(cls, counts: Tensor, size: int, n_voxels: int) -> Tiles:
        """Tiles of at most ``size`` voxels from the number of voxels per cell; their number is a bound, not a count."""
        voxels_until, until = (F.pad(c.cumsum(0), (1, 0)) for c in (counts, (counts + size - 1) // size))
        bound = triton.cdiv(n_voxels, size) + min(len(counts), n_voxels)
        tile = torch.arange(bound, device=counts.device)
        cell = torch.searchsorted(until[1:], tile, right=True).clamp_max(len(counts) - 1)
        start = voxels_until[cell] + (tile - until[cell]) * size
        stop = torch.minimum(start + size, voxels_until[cell + 1])
        return cls(*(t.int() for t in (cell, start, stop, until)))


class _Contraction(torch.autograd.Function):
    """(B, n): ``sum_k mix[n, k] <token k of the cell of n, in image b, weight[n]>``."""

    @staticmethod
    def forward(ctx, tokens, mix, weight, cell, across):
        n_voxels, depth = weight.shape
        n_places, n_layers, batch, _ = tokens.shape
        counts = torch.zeros(n_places - 1, dtype=torch.long, device=cell.device)
        counts = counts.scatter_add_(0, cell, torch.ones_like(cell))  # integers: any order gives the same
        order = cell.argsort(stable=True).int()
        half = tokens.dtype == torch.bfloat16
        shape = {
            "L": n_layers,
            "D": depth,
            "ACROSS": across,
            "ROWS": 64 if half else 32,
            "TERMS": _padded(5 * n_layers),
            "WIDTH": _padded(depth),
            "SUM": tl.float64 if tokens.dtype == torch.float64 else tl.float32,
            "EXACT": "tf32x3" if tokens.dtype == torch.float32 else "ieee",
            "num_warps": 8,
            "num_stages": 2 if half else 1,
        }
        tiles = Tiles.of(counts, shape["ROWS"], n_voxels)
        mix, weight = mix.contiguous(), weight.to(tokens.dtype).contiguous()
        out = torch.empty(batch, n_voxels, dtype=mix.dtype, device=mix.device)
        images = 8  # per program: its weights and mixes are loaded once for all of them
        with torch.cuda.device_of(tokens):  # kernels start on the current device, which may be another GPU
            _forward[(len(tiles.cell), triton.cdiv(batch, images))](
                tokens, mix, weight, out, order, *tiles[:3], n_voxels, batch, n_places - 1, images, **shape
            )
        ctx.save_for_backward(tokens, mix, weight, counts, order, *tiles)
        ctx.shape = shape
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        tokens, mix, weight, counts, order, *tiles = ctx.saved_tensors
        n_voxels, batch, last, shape = len(weight), grad.shape[0], len(tokens) - 1, ctx.shape
        grad = grad.contiguous()
        d_mix, d_weight = torch.empty_like(mix), torch.empty_like(weight, dtype=mix.dtype)
        _backward[(len(tiles[0]),)](
            tokens, mix, weight, grad, d_mix, d_weight, order, *tiles[:3], n_voxels, batch, last, **shape
        )
        d_tokens = None
        if ctx.needs_input_grad[0]:
            large = Tiles.of(counts, SUM_ROWS, n_voxels)
            n_layers, depth = shape["L"], shape["D"]
            partial = torch.empty(len(large.cell), 5 * n_layers, batch, depth, dtype=mix.dtype, device=mix.device)
            _partial_tokens[(len(large.cell), batch)](
                mix, weight, grad, partial, order, *large[1:3], n_voxels, batch,
                **{name: value for name, value in shape.items() if name != "ACROSS"},
            )  # fmt: skip
            d_tokens = torch.empty(tokens.shape, dtype=mix.dtype, device=mix.device)
            per_place = n_layers * batch * depth
            _sum_tokens[(last + 1, triton.cdiv(per_place, CHUNK))](
                partial, d_tokens, large.until, per_place, last,
                ACROSS=shape["ACROSS"], CHUNK=CHUNK, PARTS=PARTS, SUM=shape["SUM"],
            )  # fmt: skip
        return d_tokens, d_mix, d_weight, None, None


@triton.jit
def _tile(weight, mix, order, start, stop, L: tl.constexpr, D: tl.constexpr, ROWS: tl.constexpr, TERMS: tl.constexpr,
          WIDTH: tl.constexpr):  # fmt: skip
    """Voxels, which of them are real, their weights (ROWS, WIDTH) and mixes (ROWS, TERMS), zero where padded."""
    rows = start + tl.arange(0, ROWS)
    live = rows < stop
    voxel = tl.load(order + rows, mask=live, other=0).to(tl.int64)
    d, k = tl.arange(0, WIDTH), tl.arange(0, TERMS)
    w = tl.load(weight + voxel[:, None] * D + d[None, :], mask=live[:, None] & (d < D)[None, :], other=0.0)
    a = tl.load(mix + voxel[:, None] * (5 * L) + k[None, :], mask=live[:, None] & (k < 5 * L)[None, :], other=0.0)
    return voxel, live, w, a


@triton.jit
def _token_rows(cell, last, n_batch, L: tl.constexpr, D: tl.constexpr, ACROSS: tl.constexpr, TERMS: tl.constexpr):
    """Where each term's token of image 0 begins: four places of the cell, then the global one, by layer."""
    k = tl.arange(0, TERMS)
    q = k // L
    place = tl.where(q < 2, cell + q, tl.where(q < 4, cell + ACROSS + q - 2, last))
    return ((place * L + k % L) * n_batch).to(tl.int64) * D


@triton.jit(do_not_specialize=["n_batch"])
def _forward(tokens, mix, weight, out, order, tile_cell, tile_start, tile_stop, n_voxels, n_batch, last, images,
             L: tl.constexpr, D: tl.constexpr, ACROSS: tl.constexpr, ROWS: tl.constexpr, TERMS: tl.constexpr,
             WIDTH: tl.constexpr, SUM: tl.constexpr, EXACT: tl.constexpr):  # fmt: skip
    tile = tl.program_id(0)
    start, stop = tl.load(tile_start + tile), tl.load(tile_stop + tile)
    if start < stop:
        voxel, live, w, a = _tile(weight, mix, order, start, stop, L, D, ROWS, TERMS, WIDTH)
        begin = _token_rows(tl.load(tile_cell + tile), last, n_batch, L, D, ACROSS, TERMS)
        d, k = tl.arange(0, WIDTH), tl.arange(0, TERMS)
        inside = (k < 5 * L)[:, None] & (d < D)[None, :]
        first = tl.program_id(1) * images
        for b in range(first, tl.minimum(first + images, n_batch)):
            token = tl.load(tokens + begin[:, None] + b * D + d[None, :], mask=inside, other=0.0)
            term = tl.dot(w, tl.trans(token), out_dtype=SUM, input_precision=EXACT)
            tl.store(out + b * n_voxels + voxel, tl.sum(term * a, 1), mask=live)


@triton.jit(do_not_specialize=["n_batch"])
def _backward(tokens, mix, weight, grad, d_mix, d_weight, order, tile_cell, tile_start, tile_stop, n_voxels, n_batch,
              last, L: tl.constexpr, D: tl.constexpr, ACROSS: tl.constexpr, ROWS: tl.constexpr, TERMS: tl.constexpr,
              WIDTH: tl.constexpr, SUM: tl.constexpr, EXACT: tl.constexpr):  # fmt: skip
    """Gradients of mixes and weights, summed over images within the program."""
    tile = tl.program_id(0)
    start, stop = tl.load(tile_start + tile), tl.load(tile_stop + tile)
    if start < stop:
        voxel, live, w, a = _tile(weight, mix, order, start, stop, L, D, ROWS, TERMS, WIDTH)
        begin = _token_rows(tl.load(tile_cell + tile), last, n_batch, L, D, ACROSS, TERMS)
        d, k = tl.arange(0, WIDTH), tl.arange(0, TERMS)
        inside = (k < 5 * L)[:, None] & (d < D)[None, :]
        d_a = tl.zeros((ROWS, TERMS), SUM)
        d_w = tl.zeros((ROWS, WIDTH), SUM)
        for b in range(n_batch):
            token = tl.load(tokens + begin[:, None] + b * D + d[None, :], mask=inside, other=0.0)
            g = tl.load(grad + b * n_voxels + voxel, mask=live, other=0.0)
            d_a += g[:, None] * tl.dot(w, tl.trans(token), out_dtype=SUM, input_precision=EXACT)
            d_term = (g[:, None] * a).to(token.dtype)
            d_w += tl.dot(d_term, token, out_dtype=SUM, input_precision=EXACT)
        row = live[:, None]
        tl.store(d_mix + voxel[:, None] * (5 * L) + k[None, :], d_a, mask=row & (k < 5 * L)[None, :])
        tl.store(d_weight + voxel[:, None] * D + d[None, :], d_w, mask=row & (d < D)[None, :])


@triton.jit(do_not_specialize=["n_batch"])
def _partial_tokens(mix, weight, grad, partial, order, tile_start, tile_stop, n_voxels, n_batch, L: tl.constexpr,
                    D: tl.constexpr, ROWS: tl.constexpr, TERMS: tl.constexpr, WIDTH: tl.constexpr, SUM: tl.constexpr,
                    EXACT: tl.constexpr):  # fmt: skip
    """Token gradients of one image from the voxels of one large tile: partial[tile, term, image, channel]."""
    tile, b = tl.program_id(0), tl.program_id(1)
    start, stop = tl.load(tile_start + tile), tl.load(tile_stop + tile)
    if start < stop:
        total = tl.zeros((TERMS, WIDTH), SUM)
        for first in range(start, stop, ROWS):
            voxel, live, w, a = _tile(weight, mix, order, first, stop, L, D, ROWS, TERMS, WIDTH)
            g = tl.load(grad + b * n_voxels + voxel, mask=live, other=0.0)
            d_term = (g[:, None] * a).to(w.dtype)
            total += tl.dot(tl.trans(d_term), w, out_dtype=SUM, input_precision=EXACT)
        d, k = tl.arange(0, WIDTH), tl.arange(0, TERMS)
        where = (tile.to(tl.int64) * (5 * L) + k[:, None]) * n_batch + b
        tl.store(partial + where * D + d[None, :], total, mask=(k < 5 * L)[:, None] & (d < D)[None, :])


@triton.jit
def _sum_tokens(partial, d_tokens, until, per_place, last, ACROSS: tl.constexpr, CHUNK: tl.constexpr,
                PARTS: tl.constexpr, SUM: tl.constexpr):  # fmt: skip
    """A place's gradient: the partial sums of the four cells it is a corner of, or of all cells for the global one."""
    place = tl.program_id(0)
    e = tl.program_id(1) * CHUNK + tl.arange(0, CHUNK)
    part = tl.arange(0, PARTS)
    total = tl.zeros((CHUNK,), SUM)
    for q in tl.static_range(5):
        # cells are numbered by their upper left place; the last number has tiles until the end
        cell = place - (q % 2) - (q // 2) * ACROSS
        is_corner = (place < last) & (cell >= 0) if q < 4 else place == last
        if is_corner:
            begin = tl.load(until + cell) if q < 4 else 0
            end = tl.load(until + cell + 1) if q < 4 else tl.load(until + last)
            for first in range(begin, end, PARTS):
                tile = (first + part).to(tl.int64)
                where = (tile[:, None] * 5 + q) * per_place + e[None, :]
                inside = (tile < end)[:, None] & (e < per_place)[None, :]
                total += tl.sum(tl.load(partial + where, mask=inside, other=0.0).to(SUM), 0)
    tl.store(d_tokens + place.to(tl.int64) * per_place + e, total, mask=e < per_place)

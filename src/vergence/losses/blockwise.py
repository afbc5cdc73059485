"""Sums over all pairs of a batch without the matrix of all pairs.

Every loss here needs only sums along the rows and columns of a similarity matrix. They are taken tile by tile, and the
backward pass computes the tiles again. So memory is O(batch * dim + tile), and nothing is approximated.

- A tile is small enough for a processor's cache, where passes over it cost little beside its matrix product.
- One exponential per tile serves rows and columns: e^(s - t), with t the tile's maximum, times a factor per row or per
  column. Where that would underflow, rows and columns take their own exponentials.
- Running sums over tiles are kept in float64: they are vectors, and tiles of float32 then add up without drift.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function

from vergence.errors import ConfigError

_TILE = 2**20  # entries, unless the blocks of rows are longer than 2^10


def pair_logsumexp(a: Tensor, b: Tensor, *, paired: bool, block_size: int) -> tuple[Tensor, Tensor]:
    """Reduce e^(a_i . b_j) over j and over i.

    Args:
        a: (n, dim), float32 or float64.
        b: (m, dim).
        paired: Leave out i == j.
        block_size: Rows per tile.

    Returns:
        The logarithms of both sums, (n,) and (m,).
    """
    rows, columns = _PairLogSumExp.apply(a, b, paired, block_size)  # type: ignore[no-untyped-call]
    return rows, columns


def pair_softplus(a: Tensor, b: Tensor, *, block_size: int) -> Tensor:
    """Sum log(1 + e^(a_i . b_j)) over all i != j.

    Args:
        a: (n, dim), float32 or float64.
        b: (n, dim).
        block_size: Rows per tile.

    Returns:
        The sum, a scalar.
    """
    total: Tensor = _PairSoftplus.apply(a, b, block_size)  # type: ignore[no-untyped-call]
    return total


class _PairLogSumExp(Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, paired: bool, block_size: int) -> tuple[Tensor, Tensor]:
        rows = a.new_full((len(a),), -torch.inf, dtype=torch.float64)
        columns = b.new_full((len(b),), -torch.inf, dtype=torch.float64)
        for r, c, tile, spare in _products(a, b, paired, block_size):
            row, column = _logsumexps(tile, spare)
            rows[r] = torch.logaddexp(rows[r], row)
            columns[c] = torch.logaddexp(columns[c], column)
        ctx.save_for_backward(a, b, rows, columns)
        ctx.paired, ctx.block_size = paired, block_size
        ctx.set_materialize_grads(False)
        return rows.to(a.dtype), columns.to(a.dtype)

    @staticmethod
    def backward(ctx: Any, grad_rows: Tensor | None, grad_columns: Tensor | None) -> tuple[Tensor | None, ...]:
        _refuse_second_derivatives()
        a, b, *sums = ctx.saved_tensors
        rows, columns = (part.masked_fill(part == -torch.inf, 0) for part in sums)  # of nothing: has no gradient
        grad_rows = torch.zeros_like(rows) if grad_rows is None else grad_rows.double()
        grad_columns = torch.zeros_like(columns) if grad_columns is None else grad_columns.double()
        grad_a, grad_b = torch.zeros_like(a), torch.zeros_like(b)
        for r, c, tile, spare in _products(a, b, ctx.paired, ctx.block_size):
            weights = _softmaxes(tile, spare, (rows[r], grad_rows[r]), (columns[c], grad_columns[c]))
            grad_a[r].addmm_(weights, b[c])
            grad_b[c].addmm_(weights.T, a[r])
        return grad_a, grad_b, None, None


class _PairSoftplus(Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, block_size: int) -> Tensor:
        total = a.new_zeros((), dtype=torch.float64)
        for _, _, tile, _ in _products(a, b, True, block_size):
            total += softplus(tile).sum()
        ctx.save_for_backward(a, b)
        ctx.block_size = block_size
        return total.to(a.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        _refuse_second_derivatives()
        a, b = ctx.saved_tensors
        grad_a, grad_b = torch.zeros_like(a), torch.zeros_like(b)
        for r, c, tile, _ in _products(a, b, True, ctx.block_size):
            weights = tile.sigmoid_().mul_(grad)
            grad_a[r].addmm_(weights, b[c])
            grad_b[c].addmm_(weights.T, a[r])
        return grad_a, grad_b, None


def softplus(x: Tensor) -> Tensor:
    """Return log(1 + e^x), exact in float64 too, where the default threshold of torch is not."""
    return nn.functional.softplus(x, threshold=40)


def _products(a: Tensor, b: Tensor, paired: bool, block_size: int) -> Iterator[tuple[slice, slice, Tensor, Tensor]]:
    """Yield tiles of a @ b.T: rows, columns, the tile, a spare one. Both may be changed; the next take their place."""
    height, width = min(block_size, len(a)), min(max(block_size, _TILE // block_size), len(b))
    buffers = a.new_empty(2, height * width)
    for i in range(0, len(a), height):
        for j in range(0, len(b), width):
            r, c = slice(i, min(i + height, len(a))), slice(j, min(j + width, len(b)))
            shape = r.stop - i, c.stop - j
            tile, spare = (buffer[: shape[0] * shape[1]].view(shape) for buffer in buffers)
            torch.mm(a[r], b[c].T, out=tile)
            if paired and i < c.stop and j < r.stop:
                tile.diagonal(i - j).fill_(-torch.inf)
            yield r, c, tile, spare


def _logsumexps(tile: Tensor, spare: Tensor) -> tuple[Tensor, Tensor]:
    top = _top(tile)
    powers = torch.sub(tile, top, out=spare).exp_()
    row, column = powers.sum(1), powers.sum(0)
    if min(row.min(), column.min()) > _smallest_sum(tile.dtype):
        return top + row.double().log(), top + column.double().log()
    return tile.logsumexp(1).double(), tile.logsumexp(0).double()


def _softmaxes(
    tile: Tensor, spare: Tensor, by_rows: tuple[Tensor, Tensor], by_columns: tuple[Tensor, Tensor]
) -> Tensor:
    """Return grad_rows * e^(tile - rows) + grad_columns * e^(tile - columns), in the tile's place."""
    (rows, grad_rows), (columns, grad_columns) = by_rows, by_columns
    top = _top(tile)
    by_row, by_column = torch.exp(top - rows), torch.exp(top - columns)
    if max(by_row.max(), by_column.max()) < 1 / _smallest_sum(tile.dtype):
        by_row, by_column = (by_row * grad_rows).to(tile.dtype), (by_column * grad_columns).to(tile.dtype)
        return tile.sub_(top).exp_().mul_(torch.add(by_row[:, None], by_column, out=spare))
    torch.sub(tile, rows.to(tile.dtype)[:, None], out=spare).exp_().mul_(grad_rows.to(tile.dtype)[:, None])
    return tile.sub_(columns.to(tile.dtype)).exp_().mul_(grad_columns.to(tile.dtype)).add_(spare)


def _top(tile: Tensor) -> Tensor:
    return tile.max().clamp_min(torch.finfo(tile.dtype).min)  # finite, if the tile holds nothing but the diagonal


def _smallest_sum(dtype: torch.dtype) -> float:
    """Return what a sum of exponentials must exceed, for those that underflowed to be lost in its rounding."""
    numbers = torch.finfo(dtype)
    return numbers.tiny / numbers.eps**2


def _refuse_second_derivatives() -> None:
    if torch.is_grad_enabled():  # in a backward pass, this means create_graph=True
        raise ConfigError("a blockwise loss has no second derivatives; take them with block_size=None")

"""What processes that share a batch exchange, with gradients.

One rule makes every loss here the same on many processes as on one: each process has a *share* of the loss, the shares
add up to it, and the gradient of a collective operation adds what the shares say. So the sum over processes of a
parameter's gradients is the gradient on the whole batch.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd import Function


def process_count() -> int:
    """Return how many processes train together: 1, unless a process group has been set up."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def process_rank() -> int:
    """Return the number of this process, from 0."""
    return dist.get_rank() if process_count() > 1 else 0


def gather_rows(z: Tensor, sizes: Sequence[int]) -> Tensor:
    """Put the rows of all processes one after another, on every process.

    Args:
        z: The rows of this process; as many as `sizes` says.
        sizes: Rows of each process; they may differ.

    Returns:
        All rows, in the order of the processes; their gradients are added over the processes, and each gets its own.

    Example:
        >>> gather_rows(torch.eye(2), [2])
        tensor([[1., 0.],
                [0., 1.]])
    """
    if process_count() == 1:
        return z
    gathered: Tensor = _Gather.apply(z, tuple(sizes))  # type: ignore[no-untyped-call]
    return gathered


def sum_over_processes(x: Tensor) -> Tensor:
    """Add a tensor over all processes; so is its gradient.

    Example:
        >>> sum_over_processes(torch.ones(2))
        tensor([1., 1.])
    """
    if process_count() == 1:
        return x
    total: Tensor = _Sum.apply(x)  # type: ignore[no-untyped-call]
    return total


class _Gather(Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, sizes: tuple[int, ...]) -> Tensor:
        ctx.sizes = sizes
        padded = z.new_zeros(max(sizes), *z.shape[1:])
        padded[: len(z)] = z
        parts = [torch.empty_like(padded) for _ in sizes]
        dist.all_gather(parts, padded)
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        gradient = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(gradient)
        return torch.split(gradient, ctx.sizes)[dist.get_rank()], None


class _Sum(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        gradient = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(gradient)
        return gradient

"""How several processes share a training: who takes which pairs, and how gradients and numbers come together."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import torch
import torch.distributed as dist
from accelerate.state import AcceleratorState, PartialState
from torch import nn

from vergence.errors import ConfigError
from vergence.losses import DiagonalGaussian, LossParts, gather_rows, process_count, process_rank
from vergence.random import spawn
from vergence.training.config import TrainConfig


@contextmanager
def join_processes(device: str = "cpu") -> Iterator[None]:
    """Set up the process group that `torchrun` has started this process for, and leave it at the end.

    Without `torchrun`, or in a group that has been set up, it does nothing. `train` calls it; call it around that where
    processes have more to do together, such as to export a sharded encoder.

    Args:
        device: As in `train`.
    """
    ours = not (dist.is_available() and dist.is_initialized())
    AcceleratorState._reset_state()  # an earlier training in this process may have had another precision
    if ours:
        PartialState._reset_state()  # or may have left its group
        PartialState(cpu=device == "cpu")
    try:
        yield
    finally:
        if ours and dist.is_available() and dist.is_initialized():
            dist.destroy_process_group()


def wait_for_all() -> None:
    """Wait until every process is here."""
    if process_count() > 1:
        dist.barrier()


@dataclass
class Batches:
    """Batches of row numbers in the order that the present generator draws; the remainder is left out.

    Every process draws the same order of the same rows and takes its part of each batch, as equal as can be. Processes
    with rows of their own draw their own order, and take as many batches as all rows together are enough for.

    Args:
        n: Rows that this process has.
        total: Rows that all processes have, each counted once.
        count: Batches in an epoch.
        batch_size: Rows in a batch, those of all processes together.
        sharded: Whether each process has rows of its own.
        sizes: Rows of each process in each batch.
    """

    n: int
    total: int
    count: int
    batch_size: int
    sharded: bool
    sizes: tuple[tuple[int, ...], ...]
    generator: torch.Generator = field(default_factory=torch.Generator)

    @classmethod
    def plan(cls, n: int, config: TrainConfig, *, sharded: bool, device: torch.device) -> "Batches":
        """Plan the epochs of a training.

        Raises:
            ConfigError: On every process alike: if there are fewer pairs than a batch, or fewer pairs in a batch than
                processes, or processes were given different numbers of rows that are not shards.
        """
        counts = of_each_process(n, device=device)
        if not sharded and len(set(counts)) > 1:
            raise ConfigError(
                f"every process must be given the same pairs; got {', '.join(map(str, counts))} of them. "
                "If each has pairs of its own, pass sharded=True"
            )
        total = sum(counts) if sharded else n
        steps = config.steps_per_epoch(total) * config.accumulation
        if config.batch_size < len(counts):
            raise ConfigError(f"batch_size must be >= {len(counts)}, the number of processes; got {config.batch_size}")
        if not sharded:
            sizes = [tuple(_parts(config.batch_size, len(counts)))] * steps
        elif min(counts) < steps:
            raise ConfigError(f"each process needs >= {steps} pairs, one for each batch; got {min(counts)}")
        else:
            sizes = list(zip(*(_parts(count, steps) for count in counts), strict=True))
        return cls(n, total, steps, config.batch_size, sharded, tuple(sizes))

    def __iter__(self) -> Iterator[tuple[list[int], tuple[int, ...]]]:
        """Yield the rows of this process, and how many each process has."""
        order = torch.randperm(self.n, generator=own_generator(self.generator) if self.sharded else self.generator)
        rank, taken = process_rank(), 0
        for sizes in self.sizes:
            if self.sharded:
                rows, taken = order[taken : taken + sizes[rank]], taken + sizes[rank]
            else:
                start = taken + sum(sizes[:rank])
                rows, taken = order[start : start + sizes[rank]], taken + sum(sizes)
            yield rows.tolist(), sizes


def own_generator(generator: torch.Generator) -> torch.Generator:
    """Return a generator that no other process has: in the first, and so in a single one, the given one itself."""
    return (generator, *spawn(generator, process_count()))[process_rank()]


def own_rows(sizes: Sequence[int]) -> slice:
    """Return where this process's rows are among those of all processes."""
    ends = [0, *accumulate(sizes)]
    return slice(ends[process_rank()], ends[process_rank() + 1])


def evaluate_share(objective: nn.Module, z_image: Any, z_text: Any, sizes: Sequence[int], **settings: Any) -> LossParts:
    """Evaluate an objective on the batch of all processes: in one process the whole of it, else this one's share."""
    if process_count() > 1:
        z_image, z_text = (_gathered(z, sizes) for z in (z_image, z_text))
        settings["rows"] = own_rows(sizes)
    parts: LossParts = objective(z_image, z_text, **settings)
    return parts


def _gathered(z: Any, sizes: Sequence[int]) -> Any:
    if isinstance(z, DiagonalGaussian):
        return DiagonalGaussian(gather_rows(z.mean, sizes), gather_rows(z.log_variance, sizes))
    return gather_rows(z, sizes)


def average_gradients(modules: Sequence[nn.Module]) -> None:
    """Average the gradients of all processes, in one message, where nothing else has."""
    gradients = [p.grad for module in modules for p in module.parameters() if p.grad is not None]
    if process_count() == 1 or not gradients:
        return
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    for gradient, total in zip(gradients, torch.split(flat, [g.numel() for g in gradients]), strict=True):
        gradient.copy_(total.view_as(gradient) / process_count())


def add_numbers(numbers: Mapping[str, float], *, device: torch.device) -> dict[str, float]:
    """Add numbers by name over all processes."""
    if process_count() == 1:
        return dict(numbers)
    total = torch.tensor(list(numbers.values()), dtype=torch.float64, device=device)
    dist.all_reduce(total)
    return dict(zip(numbers, total.tolist(), strict=True))


def of_each_process(n: int, *, device: torch.device) -> list[int]:
    """Return a number of each process, to all of them."""
    if process_count() == 1:
        return [n]
    counts = torch.zeros(process_count(), dtype=torch.long, device=device)
    counts[process_rank()] = n
    dist.all_reduce(counts)
    said: list[int] = counts.tolist()
    return said


def _parts(n: int, k: int) -> list[int]:
    return [n // k + (i < n % k) for i in range(k)]

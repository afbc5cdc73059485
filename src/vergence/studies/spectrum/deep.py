"""Networks behind random mixings: the stacked trainer of the numerical study, at a temperature that is given."""

from collections.abc import Callable, Sequence
from itertools import count

import torch
from torch import Tensor

from vergence.random import named
from vergence.studies.misalignment2025.batched import BatchedConfig, BatchedEncoders, train_together
from vergence.studies.misalignment2025.stacked import batched_l2_info_nce
from vergence.studies.spectrum.spec import RunSpec

_WARM = 1.0  # the temperature that colder runs start at: a cold loss hardly undoes a mixing
_COOLED = 0.5  # share of the steps in which it falls to the run's own


def train_deep(specs: Sequence[RunSpec], config: BatchedConfig, *, tell: Callable[[int, int], None]) -> BatchedEncoders:
    """Train networks of several runs at once, with standardised outputs.

    Runs that differ in output size and temperature alone see the same pairs. A temperature below 1 is reached from 1,
    by equal factors, in the first half of the steps.

    Args:
        specs: The runs.
        config: How; its batch size is that of the runs.
        tell: Called with steps done and steps in all.
    """
    target = torch.tensor([spec.temperature for spec in specs])
    start, steps = target.clamp_min(_WARM), count()

    def loss(image: Tensor, text: Tensor, sizes: Sequence[int]) -> Tensor:
        way = min(1.0, next(steps) / (_COOLED * config.steps))
        return batched_l2_info_nce(image, text, temperature=start ** (1 - way) * target**way)

    def watch(step: int, encoders: BatchedEncoders) -> bool:
        if step % 20 == 0:
            tell(step, config.steps)
        return False

    return train_together(
        [spec.views for spec in specs],
        [spec.output_size for spec in specs],
        config,
        generators=[named(spec.seed, "deep", spec.strengths, spec.channel, spec.n_values) for spec in specs],
        loss=loss,
        watch=watch,
    )

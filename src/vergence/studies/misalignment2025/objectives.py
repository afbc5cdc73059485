"""Objectives of the numerical study, for several runs at once."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType

import torch
from torch import Tensor

from vergence.losses import align_max_entropy, alignment_penalty, info_nce, nt_xent, sigmoid_loss
from vergence.studies.misalignment2025.batched import BatchLoss
from vergence.studies.misalignment2025.spec import RunSpec
from vergence.studies.misalignment2025.stacked import batched_l2_info_nce

# A sigmoid loss sums over the batch: divided by its size it is of the others' order, as its learned scale would see to.
_SINGLE: Mapping[str, Callable[..., Tensor]] = MappingProxyType(
    {
        "info_nce": info_nce,
        "nt_xent": nt_xent,
        "sigmoid_loss": partial(sigmoid_loss, bias=-5.0),
        "align_max_entropy": align_max_entropy,
    }
)


def objective_of(specs: Sequence[RunSpec]) -> BatchLoss:
    """Make the objective of runs that are trained together: each run's own, with its own weights.

    Args:
        specs: The runs, in the order of the stacks.

    Returns:
        A function of both stacks of representations and the output sizes, giving one loss per run.
    """
    if all(spec.objective == "l2_info_nce" and spec.temperature == 1.0 for spec in specs):
        weights = torch.tensor([spec.bottleneck for spec in specs])
        return partial(_l2, weights=weights)
    return partial(_one_by_one, specs=tuple(specs))


def _l2(z_image: Tensor, z_text: Tensor, sizes: Sequence[int], *, weights: Tensor) -> Tensor:
    loss = batched_l2_info_nce(z_image, z_text)
    if bool((weights > 0).any()):
        loss = loss + weights * (z_image - z_text).square().sum(-1).mean(1)
    return loss


def _one_by_one(z_image: Tensor, z_text: Tensor, sizes: Sequence[int], *, specs: Sequence[RunSpec]) -> Tensor:
    losses = []
    for run, (spec, size) in enumerate(zip(specs, sizes, strict=True)):
        image, text = z_image[run, :, :size], z_text[run, :, :size]
        if spec.objective == "l2_info_nce":
            loss = batched_l2_info_nce(image[None], text[None], temperature=spec.temperature)[0]
        elif spec.objective == "align_max_entropy":
            loss = align_max_entropy(image, text)
        else:
            loss = _SINGLE[spec.objective](image, text, temperature=spec.temperature)
        losses.append(loss + spec.bottleneck * alignment_penalty(image, text) if spec.bottleneck else loss)
    return torch.stack(losses)

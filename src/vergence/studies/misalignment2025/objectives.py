"""Objectives of the numerical study, for several runs at once."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType

import torch
from torch import Tensor

from vergence.losses import align_max_entropy, alignment_penalty, info_nce, nt_xent, sigmoid_loss
from vergence.studies.misalignment2025.batched import BatchLoss
from vergence.studies.misalignment2025.spec import RunSpec
from vergence.studies.misalignment2025.stacked import fitted_l2_info_nce

_OF_COSINES = 0.2  # temperature
_SINGLE: Mapping[str, Callable[..., Tensor]] = MappingProxyType(
    {
        "info_nce": partial(info_nce, temperature=_OF_COSINES),
        "nt_xent": partial(nt_xent, temperature=_OF_COSINES),
        "sigmoid_loss": partial(sigmoid_loss, temperature=_OF_COSINES, bias=-5.0),
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
    if all(spec.objective == "l2_info_nce" for spec in specs):
        return partial(_l2, weights=torch.tensor([spec.bottleneck for spec in specs]))
    return partial(_one_by_one, specs=tuple(specs))


def _l2(z_image: Tensor, z_text: Tensor, sizes: Sequence[int], *, weights: Tensor) -> Tensor:
    loss = fitted_l2_info_nce(z_image, z_text, sizes)
    if bool((weights > 0).any()):
        loss = loss + weights * (z_image - z_text).square().sum(-1).mean(1)
    return loss


def _one_by_one(z_image: Tensor, z_text: Tensor, sizes: Sequence[int], *, specs: Sequence[RunSpec]) -> Tensor:
    losses = []
    for run, (spec, size) in enumerate(zip(specs, sizes, strict=True)):
        image, text = z_image[run, :, :size], z_text[run, :, :size]
        if spec.objective == "l2_info_nce":
            loss = fitted_l2_info_nce(image[None], text[None], [size])[0]
        else:
            loss = _SINGLE[spec.objective](image, text)
        losses.append(loss + spec.bottleneck * alignment_penalty(image, text) if spec.bottleneck else loss)
    return torch.stack(losses)

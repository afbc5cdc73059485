"""Every objective, as one row of a table: a new one enters here and meets all the claims of `test_every_objective`."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from tests.reference import losses as slow
from torch import Tensor

from vergence.losses import (
    DiagonalGaussian,
    align_max_entropy,
    alignment_penalty,
    info_nce,
    l2_info_nce,
    lp_info_nce,
    nt_xent,
    one_way_info_nce,
    sigmoid_loss,
    variational_bottleneck,
)
from vergence.random import generator


@dataclass(frozen=True, kw_only=True)
class Case:
    """An objective with settings, the loop that transcribes it, and what is true of it."""

    fn: Callable[..., Tensor]
    reference: Callable[..., Tensor]
    settings: dict[str, Any] = field(default_factory=dict)
    reference_settings: dict[str, Any] | None = None  # the same settings, where the loop words them differently
    symmetric: bool = True  # images and texts can be swapped
    blockwise: bool = True  # takes a block size
    twice: bool = True  # has second derivatives
    alone: bool = False  # one pair is enough
    scale: bool = False  # of cosines: the scale of the representations is of no account
    shrinks: tuple[int, int] = (6, 32)  # by how much a row's gradient does, at least and at most, in a 16-fold batch

    def __call__(self, z_image: Tensor, z_text: Tensor, **more: Any) -> Tensor:
        return self.fn(z_image, z_text, **self.settings, **more)

    def slow(self, z_image: Tensor, z_text: Tensor) -> Tensor:
        chosen = self.settings if self.reference_settings is None else self.reference_settings
        return self.reference(z_image, z_text, **chosen)


def pairs(
    batch: int, dim: int, *, seed: int = 0, noise: float | None = None, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor]:
    """Draw representations: independent ones, or texts that are the images with some noise."""
    stream = generator(seed)
    z_image, other = torch.randn(2, batch, dim, generator=stream, dtype=torch.float64).to(dtype)
    return z_image, other if noise is None else z_image + noise * other


def gradients(fn: Callable[[Tensor, Tensor], Tensor], *z: Tensor) -> Tensor:
    """Return the gradients of a scalar function with respect to both inputs, stacked."""
    leaves = [part.detach().clone().requires_grad_() for part in z]
    return torch.stack(torch.autograd.grad(fn(*leaves), leaves))


def bilinear(z_image: Tensor, z_text: Tensor) -> Tensor:
    weights = torch.arange(1.0, z_image.shape[1] + 1, dtype=z_image.dtype)
    return (z_image * weights) @ z_text.flip(1).T


def slow_bilinear(a: list[Tensor], b: list[Tensor]) -> slow.Number:
    return sum((k + 1) * x * y for k, (x, y) in enumerate(zip(a, reversed(b), strict=True)))


def with_fresh_negatives(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Let a loss on distances draw its negatives anew: nine images and nine texts, always the same ones."""

    def loss(z_image: Tensor, z_text: Tensor, **settings: Any) -> Any:
        images, texts = pairs(9, z_image.shape[1], seed=9, dtype=z_image.dtype)
        return fn(z_image, z_text, negatives_image=images, negatives_text=images + texts, **settings)

    return loss


def posteriors(*z: Tensor) -> list[DiagonalGaussian]:
    """Make distributions of representations: the means are they themselves, the variances follow from them."""
    return [DiagonalGaussian(part, torch.tanh(part.flip(1))) for part in z]


def divergence(z_image: Tensor, z_text: Tensor) -> Tensor:
    return variational_bottleneck(*posteriors(z_image, z_text))


def slow_divergence(z_image: Tensor, z_text: Tensor) -> slow.Number:
    parts = [slow.numbers(part) for z in posteriors(z_image, z_text) for part in (z.mean, z.log_variance)]
    return slow.slow_variational_bottleneck(*parts)


def slow_sigmoid(z: Tensor) -> slow.Rows:
    return [[1 / (1 + slow.exp(-value)) for value in row] for row in slow.numbers(z)]


CASES = {
    "info_nce": Case(scale=True, fn=info_nce, reference=slow.slow_info_nce, settings={"temperature": 0.3}),
    "info_nce, smoothed": Case(
        scale=True, fn=info_nce, reference=slow.slow_info_nce, settings={"temperature": 0.5, "label_smoothing": 0.1}
    ),
    "info_nce, dot": Case(
        fn=info_nce,
        reference=slow.slow_info_nce,
        settings={"temperature": 2.0, "similarity": "dot"},
        reference_settings={"temperature": 2.0, "similarity": slow.dot},
    ),
    "info_nce, own similarity": Case(
        fn=info_nce,
        reference=slow.slow_info_nce,
        settings={"temperature": 5.0, "similarity": bilinear, "label_smoothing": 0.2},
        reference_settings={"temperature": 5.0, "similarity": slow_bilinear, "label_smoothing": 0.2},
        symmetric=False,
    ),
    "alignment_penalty": Case(fn=alignment_penalty, reference=slow.slow_alignment_penalty, blockwise=False, alone=True),
    "alignment_penalty, cosine": Case(
        scale=True,
        fn=alignment_penalty,
        reference=slow.slow_alignment_penalty,
        settings={"distance": "cosine"},
        blockwise=False,
        alone=True,
    ),
    "one_way_info_nce": Case(
        scale=True,
        fn=one_way_info_nce,
        reference=slow.slow_one_way,
        settings={"temperature": 0.3, "label_smoothing": 0.1},
        symmetric=False,
    ),
    "nt_xent": Case(scale=True, fn=nt_xent, reference=slow.slow_nt_xent, settings={"temperature": 0.5}),
    "sigmoid_loss": Case(
        scale=True,
        fn=sigmoid_loss,
        reference=slow.slow_sigmoid_loss,
        settings={"temperature": 0.3, "bias": -1.0},
        shrinks=(1, 6),
    ),
    "l2_info_nce": Case(fn=l2_info_nce, reference=slow.slow_lp_info_nce, settings={"temperature": 2.0}),
    "l2_info_nce, fresh": Case(
        fn=with_fresh_negatives(l2_info_nce),
        reference=with_fresh_negatives(slow.slow_lp_info_nce),
        symmetric=False,
        alone=True,
    ),
    "lp_info_nce, p = 1": Case(
        fn=lp_info_nce, reference=slow.slow_lp_info_nce, settings={"p": 1.0, "temperature": 0.5}, twice=False
    ),
    "lp_info_nce, p = 2.5, fresh": Case(
        fn=with_fresh_negatives(lp_info_nce),
        reference=with_fresh_negatives(slow.slow_lp_info_nce),
        settings={"p": 2.5},
        symmetric=False,
        alone=True,
        twice=False,
    ),
    "align_max_entropy": Case(
        fn=align_max_entropy,
        reference=slow.slow_align_max_entropy,
        settings={"neighbours": 2},
        reference_settings={"neighbours": 2, "bound": lambda z: slow.slow_standardize(z, eps=1e-5)},
    ),
    "align_max_entropy, sigmoid": Case(
        fn=align_max_entropy,
        reference=slow.slow_align_max_entropy,
        settings={"neighbours": 3, "bound": torch.sigmoid},
        reference_settings={"neighbours": 3, "bound": slow_sigmoid},
    ),
    "variational_bottleneck": Case(
        fn=divergence, reference=slow_divergence, symmetric=False, blockwise=False, alone=True
    ),
}

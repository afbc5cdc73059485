"""Every objective, as one row of a table: a new one enters here and meets all the claims of `test_every_objective`."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from tests.reference import losses as slow
from torch import Tensor

from vergence.losses import alignment_penalty, info_nce
from vergence.random import generator


@dataclass(frozen=True, kw_only=True)
class Case:
    """An objective with settings, the loop that transcribes it, and what is true of it."""

    fn: Callable[..., Tensor]
    reference: Callable[..., float]
    settings: dict[str, Any] = field(default_factory=dict)
    reference_settings: dict[str, Any] | None = None  # the same settings, where the loop words them differently
    symmetric: bool = True  # images and texts can be swapped

    def __call__(self, z_image: Tensor, z_text: Tensor, **more: Any) -> Tensor:
        return self.fn(z_image, z_text, **self.settings, **more)

    def slow(self, z_image: Tensor, z_text: Tensor) -> float:
        chosen = self.settings if self.reference_settings is None else self.reference_settings
        return self.reference(z_image, z_text, **chosen)


def bilinear(z_image: Tensor, z_text: Tensor) -> Tensor:
    weights = torch.arange(1.0, z_image.shape[1] + 1, dtype=z_image.dtype)
    return (z_image * weights) @ z_text.flip(1).T


def slow_bilinear(a: list[float], b: list[float]) -> float:
    return sum((k + 1) * x * y for k, (x, y) in enumerate(zip(a, reversed(b), strict=True)))


CASES = {
    "info_nce": Case(fn=info_nce, reference=slow.slow_info_nce, settings={"temperature": 0.3}),
    "info_nce, smoothed": Case(
        fn=info_nce, reference=slow.slow_info_nce, settings={"temperature": 0.5, "label_smoothing": 0.1}
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
    "alignment_penalty": Case(fn=alignment_penalty, reference=slow.slow_alignment_penalty),
    "alignment_penalty, cosine": Case(
        fn=alignment_penalty, reference=slow.slow_alignment_penalty, settings={"distance": "cosine"}
    ),
}


def pairs(
    batch: int, dim: int, *, seed: int = 0, noise: float | None = None, dtype=torch.float64
) -> tuple[Tensor, Tensor]:
    """Draw representations: independent ones, or texts that are the images with some noise."""
    stream = generator(seed)
    z_image, other = torch.randn(2, batch, dim, generator=stream, dtype=torch.float64).to(dtype)
    return z_image, other if noise is None else z_image + noise * other


def gradients(fn: Callable[[Tensor, Tensor], Tensor], *z: Tensor) -> Tensor:
    """Return the gradients of a scalar function with respect to both inputs, stacked."""
    leaves = [part.detach().clone().requires_grad_() for part in z]
    return torch.stack(torch.autograd.grad(fn(*leaves), leaves))

"""The published protocol of the numerical study, one run at a time: its encoders, its loss, its optimiser."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from vergence.checks import at_least, positive
from vergence.losses import l2_info_nce
from vergence.random import spawn
from vergence.studies.misalignment2025.batched import Draw


@dataclass(frozen=True, kw_only=True)
class PublishedConfig:
    """Settings of [cai2025], numerical simulation.

    Args:
        steps: Updates, at least 1.
        batch_size: Pairs in a step, and fresh negatives of each modality, at least 1.
        rate: Learning rate of Adam, > 0.
        clip: Largest norm of the gradient, > 0.

    Raises:
        ConfigError: If a setting is outside its range.
    """

    steps: int = 100_001
    batch_size: int = 6144
    rate: float = 1e-4
    clip: float = 2.0

    def __post_init__(self) -> None:
        at_least("steps", self.steps, 1)
        at_least("batch_size", self.batch_size, 1)
        positive("rate", self.rate)
        positive("clip", self.clip)


class PublishedEncoders(nn.Module):
    """Both encoders of one run: MLPs with hidden sizes (10, 50, 50, 50, 50, 10) times the input's, leaky ReLU of 0.01.

    Args:
        n_inputs: Widths of image and text.
        size: Output size.
        generator: Source of the first weights, uniform as torch's linear layers draw them.
    """

    def __init__(self, n_inputs: tuple[int, int], size: int, generator: torch.Generator) -> None:
        super().__init__()
        self.sides = nn.ModuleList(_published_mlp(width, size) for width in n_inputs)
        with torch.no_grad():
            for layer in self.modules():
                if isinstance(layer, nn.Linear):
                    bound = layer.in_features**-0.5
                    layer.weight.uniform_(-bound, bound, generator=generator)
                    layer.bias.uniform_(-bound, bound, generator=generator)

    def forward(self, image: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        """Encode pairs."""
        return self.sides[0](image), self.sides[1](text)

    def of_run(self, run: int, side: int, views: Tensor) -> Tensor:
        """Encode images (side 0) or texts (side 1) without gradients; there is one run only."""
        assert run == 0
        with torch.no_grad():
            encoded: Tensor = self.sides[side](views)
        return encoded


def train_published(
    draw: Draw,
    size: int,
    config: PublishedConfig,
    *,
    generator: torch.Generator,
    watch: Callable[[int, PublishedEncoders], bool] | None = None,
) -> PublishedEncoders:
    """Train one run by the published protocol.

    Source: [cai2025], numerical simulation: squared distances, temperature 1, negatives freshly drawn of the
    anchor's own modality, Adam, gradient norm clipped.

    Args:
        draw: What draws so many pairs of views.
        size: Output size, at least 1.
        config: How to train.
        generator: Of weights and pairs.
        watch: Called after every step with how many are done; training ends where it returns `True`.

    Returns:
        The trained encoders.

    Raises:
        ConfigError: If the output size is below 1.
    """
    at_least("output size", size, 1)
    weights, pairs = spawn(generator, 2)
    image, text = draw(1, pairs)
    encoders = PublishedEncoders((image.shape[1], text.shape[1]), size, weights)
    optimizer = torch.optim.Adam(encoders.parameters(), lr=config.rate)
    for step in range(config.steps):
        z_image, z_text = encoders(*draw(2 * config.batch_size, pairs))
        (image, fresh_image), (text, fresh_text) = z_image.chunk(2), z_text.chunk(2)
        loss = l2_info_nce(image, text, negatives_image=fresh_image, negatives_text=fresh_text, temperature=1.0)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(encoders.parameters(), config.clip)
        optimizer.step()
        if watch is not None and watch(step + 1, encoders):
            break
    return encoders


def _published_mlp(width: int, size: int) -> nn.Sequential:
    sizes = [width, *(multiple * width for multiple in (10, 50, 50, 50, 50, 10)), size]
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(sizes):
        layers += [nn.Linear(n_in, n_out), nn.LeakyReLU(0.01)]
    return nn.Sequential(*layers[:-1])

"""Linear encoders of the latent variables' columns: the regime in which the amplitude equation is exact."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from vergence.checks import at_least, positive
from vergence.random import spawn
from vergence.studies.spectrum.objectives import Extras, constrained, loss_of
from vergence.studies.spectrum.spec import RunSpec

_PILOT = 65_536  # pairs by which columns are standardised


@dataclass(frozen=True, kw_only=True)
class LinearConfig:
    """How linear encoders are trained: first on small batches, then on full ones at a falling rate.

    Args:
        small_steps: Steps of at most `small_batch` pairs, at least 1.
        steps: Steps of full batches, at least 1; the parameters of the last half are averaged.
        small_batch: Pairs, at least 2.
        rate: Of Adam, > 0.
        scale: Of the first weights, > 0.
        drawn_at_once: Pairs drawn together, at least 1.
    """

    small_steps: int = 500
    steps: int = 50
    small_batch: int = 512
    rate: float = 0.05
    scale: float = 0.05
    drawn_at_once: int = 16_384

    def __post_init__(self) -> None:
        for name in ("small_steps", "steps", "drawn_at_once"):
            at_least(name, getattr(self, name), 1)
        at_least("small_batch", self.small_batch, 2)
        positive("rate", self.rate)
        positive("scale", self.scale)


@dataclass(frozen=True)
class LinearEncoders:
    """A linear map for each side, after columns are standardised.

    Args:
        maps: Of images and of texts.
        means: Of their columns.
        scales: Of their columns.
        constraint: What becomes of the outputs.
        temperature: τ at the end.
    """

    maps: tuple[Tensor, ...]
    means: tuple[Tensor, ...]
    scales: tuple[Tensor, ...]
    constraint: str
    temperature: float

    def __call__(self, side: int, views: Float[Tensor, "n columns"]) -> Float[Tensor, "n dim"]:
        """Encode images (side 0) or texts (side 1)."""
        return constrained(self.unconstrained(side, views), self.constraint)

    def unconstrained(self, side: int, views: Float[Tensor, "n columns"]) -> Float[Tensor, "n dim"]:
        """The same before the constraint."""
        z: Tensor = ((views - self.means[side]) / self.scales[side]) @ self.maps[side]
        return z


def train_linear(
    spec: RunSpec, config: LinearConfig, *, generator: torch.Generator, tell: Callable[[int, int], None]
) -> LinearEncoders:
    """Train linear encoders of both sides.

    Args:
        spec: What to train.
        config: How.
        generator: For weights, pairs and noise.
        tell: Called with steps done and steps in all.
    """
    weights_stream, pairs_stream, noise_stream, pilot_stream = spawn(generator, 4)
    pilots = spec.views(_PILOT, pilot_stream)
    means = tuple(views.mean(0) for views in pilots)
    scales = tuple(views.std(0).clamp_min(1e-6) for views in pilots)
    maps = [
        (torch.randn(views.shape[1], spec.output_size, generator=weights_stream) * config.scale).requires_grad_()
        for views in pilots
    ]
    extras = Extras(spec)
    learned = [*maps, *extras.learned]
    adam = torch.optim.Adam(learned, lr=config.rate, betas=(0.9, 0.95))
    small = min(config.small_batch, spec.batch_size)
    total = config.small_steps + config.steps
    averages, counted = [torch.zeros_like(one) for one in learned], 0
    pairs = _Pairs(spec, config.drawn_at_once, pairs_stream, means, scales)
    for step in range(total):
        images, texts = pairs.draw(small if step < config.small_steps else spec.batch_size)
        loss = loss_of(spec, (images @ maps[0], texts @ maps[1]), extras, generator=noise_stream)
        adam.param_groups[0]["lr"] = config.rate * _share(step, config)
        adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
        extras.keep_within_bounds()
        if step >= total - config.steps // 2 - 1:
            counted += 1
            for place, one in enumerate(learned):
                averages[place] += (one.detach() - averages[place]) / counted
        if step % 20 == 0:
            tell(step, total)
    with torch.no_grad():
        for one, average in zip(learned, averages, strict=True):
            one.copy_(average)
    return LinearEncoders(
        maps=tuple(one.detach() for one in maps),
        means=means,
        scales=scales,
        constraint=spec.constraint,
        temperature=float(extras.temperature.detach()),
    )


def _share(step: int, config: LinearConfig) -> float:
    """Share of the rate: full in the first half of the small steps, then falling to a tenth, and on to a hundredth."""
    if step < config.small_steps:
        return min(1.0, 2 * (1 - step / config.small_steps) + 0.1)
    return 0.2 * (1 - (step - config.small_steps) / config.steps) + 0.02


class _Pairs:
    """Standardised columns of fresh pairs, or of a data set that is passed over in random order."""

    def __init__(
        self,
        spec: RunSpec,
        at_once: int,
        generator: torch.Generator,
        means: tuple[Tensor, ...],
        scales: tuple[Tensor, ...],
    ) -> None:
        self.spec, self.at_once, self.generator = spec, at_once, generator
        self.means, self.scales = means, scales
        self.fixed = None if spec.n_pairs is None else self._fresh(spec.n_pairs)
        self.left: tuple[Tensor, Tensor] | None = None

    def draw(self, n: int) -> tuple[Tensor, Tensor]:
        if self.left is None or len(self.left[0]) < n:
            if self.fixed is None:
                self.left = self._fresh(max(n, self.at_once))
            else:
                order = torch.randperm(len(self.fixed[0]), generator=self.generator)
                self.left = (self.fixed[0][order], self.fixed[1][order])
                n = min(n, len(order))
        taken = (self.left[0][:n], self.left[1][:n])
        self.left = (self.left[0][n:], self.left[1][n:])
        return taken

    def _fresh(self, n: int) -> tuple[Tensor, Tensor]:
        views = self.spec.views(n, self.generator)
        image, text = ((side - mean) / scale for side, mean, scale in zip(views, self.means, self.scales, strict=True))
        return image, text

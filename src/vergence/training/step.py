"""One batch through encoders and objective to gradients, on one process or on a share of many."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import Optimizer

from vergence.encoders import DualEncoder
from vergence.errors import ConfigError, ShapeError
from vergence.losses import DiagonalGaussian, LossParts, Objective, cached_backward, process_count
from vergence.training.config import TrainConfig
from vergence.training.optimizers import clip
from vergence.training.processes import add_numbers, average_gradients, evaluate_share


@dataclass(frozen=True, eq=False, kw_only=True)
class Step:
    """What turns batches into gradients, and gradients into steps.

    Args:
        encoder: As the caller gave it.
        objective: As the caller gave it.
        model: The encoder, prepared for this many processes and this precision.
        learned: The objective, prepared likewise.
        optimizers: By name.
        accelerator: What prepared them.
        config: Settings.
    """

    encoder: DualEncoder
    objective: Objective
    model: nn.Module
    learned: nn.Module
    optimizers: dict[str, Optimizer]
    accelerator: Accelerator
    config: TrainConfig

    def add_gradient(
        self, image: Tensor, text: Tensor, sizes: tuple[int, ...], *, last: bool, **settings: Any
    ) -> dict[str, float]:
        """Add the gradient on a batch to what is there.

        Args:
            image: Images of this process.
            text: Their texts.
            sizes: Pairs of each process.
            last: Whether a step follows: processes exchange gradients then.
            settings: Passed to the objective.

        Returns:
            The total and every term on the batch of all processes.

        Raises:
            ConfigError: If the loss is NaN or infinite.
        """
        # Processes average their gradients, and the gradient on the batch is their sum.
        scale = process_count() / self.config.accumulation
        if self.config.chunk_size is None:
            with self._alone(self.model, last), self._alone(self.learned, last):
                parts = _evaluate(self.learned, *self.model(image, text), sizes=sizes, **settings)
                self.accelerator.backward(parts.total * scale)
        else:
            towers = [_Tower(tower, self.accelerator) for tower in (self.encoder.image, self.encoder.text)]
            parts = cast(
                LossParts,
                cached_backward(
                    towers,
                    [image, text],
                    partial(_evaluate, self.objective, sizes=sizes, **settings),
                    chunk_size=self.config.chunk_size,
                    backward=lambda total: self.accelerator.backward(total * scale),
                ),
            )
            if last:
                sharded = self.config.parallel == "fsdp"  # which has averaged the encoder's
                average_gradients([self.objective] if sharded else [self.encoder, self.objective])
        return add_numbers(parts.to_floats(), device=image.device)

    def descend(self) -> None:
        """Take a step and forget the gradient."""
        if self.config.max_grad_norm is not None:
            clip(self.optimizers, self.config.max_grad_norm)
        for optimizer in self.optimizers.values():
            optimizer.step()
            optimizer.zero_grad()

    def _alone(self, module: nn.Module, last: bool) -> AbstractContextManager[object]:
        return nullcontext() if last else self.accelerator.no_sync(module)


class _Tower(nn.Module):
    """An encoder of one modality in the precision that was asked for."""

    def __init__(self, encoder: nn.Module, accelerator: Accelerator) -> None:
        super().__init__()
        self.encoder, self.accelerator = encoder, accelerator

    def forward(self, x: Tensor) -> Tensor:
        with self.accelerator.autocast():
            z: Tensor = self.encoder(x)
        if not isinstance(z, Tensor):
            raise ConfigError("chunk_size must be None for encoders that return distributions; got chunks")
        return z if self.accelerator.mixed_precision == "no" else z.float()


def _evaluate(objective: nn.Module, z_image: Any, z_text: Any, **settings: Any) -> LossParts:
    try:
        parts = evaluate_share(objective, z_image, z_text, **settings)
    except ShapeError as error:
        if _is_finite(z_image) and _is_finite(z_text):
            raise
        raise diverged(str(error)) from error
    if not parts.total.isfinite():
        raise diverged(f"the loss is {parts.to_floats()}")
    return parts


def _is_finite(z: Tensor | DiagonalGaussian) -> bool:
    parts = (z.mean, z.log_variance) if isinstance(z, DiagonalGaussian) else (z,)
    return all(bool(part.isfinite().all()) for part in parts)


def diverged(what: str) -> ConfigError:
    """Word the end of a training whose numbers are no numbers any more."""
    return ConfigError(f"training diverged: {what}; lower learning_rate, and check that the views hold no NaN")

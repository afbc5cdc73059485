"""Settings of a training, valid from the moment they exist."""

from dataclasses import dataclass
from math import cos, pi

from vergence.checks import at_least, non_negative, one_of, positive, probability
from vergence.errors import ConfigError

TRACKERS = ("tensorboard",)


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Settings of `train`: AdamW with warm-up and cosine decay.

    Args:
        epochs: Passes over the data, >= 1.
        batch_size: Pairs in a step, >= 2; the remainder of an epoch is left out.
        learning_rate: Highest rate, > 0.
        weight_decay: Of weight matrices, not of biases and scales, >= 0.
        warmup: Share of the steps in which the rate rises to its highest, in [0, 1].
        max_grad_norm: Gradients are scaled down to this norm, > 0; `None` leaves them.
        tracker: Where to log besides the run folder: "tensorboard" or `None`.

    Raises:
        ConfigError: Naming the setting, what it got and what is allowed.

    Example:
        >>> TrainConfig(batch_size=1)
        Traceback (most recent call last):
        vergence.errors.ConfigError: batch_size must be >= 2 (a contrastive loss needs a negative); got 1
    """

    epochs: int = 10
    batch_size: int = 128
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    warmup: float = 0.1
    max_grad_norm: float | None = 1.0
    tracker: str | None = None

    def __post_init__(self) -> None:
        at_least("epochs", self.epochs, 1)
        at_least("batch_size", self.batch_size, 2, why="a contrastive loss needs a negative")
        positive("learning_rate", self.learning_rate)
        non_negative("weight_decay", self.weight_decay)
        probability("warmup", self.warmup)
        if self.max_grad_norm is not None:
            positive("max_grad_norm", self.max_grad_norm)
        if self.tracker is not None:
            one_of("tracker", self.tracker, TRACKERS)

    def rate_at(self, progress: float) -> float:
        """Learning rate at a share of the training done, in [0, 1]: linear rise, then a half cosine down to 0."""
        if progress < self.warmup:
            return self.learning_rate * progress / self.warmup
        rest = (progress - self.warmup) / (1 - self.warmup) if self.warmup < 1 else 0.0
        return self.learning_rate * (1 + cos(pi * rest)) / 2

    def steps_per_epoch(self, n: int) -> int:
        """Whole batches in `n` pairs.

        Raises:
            ConfigError: If there is none.
        """
        if n < self.batch_size:
            raise ConfigError(f"batch_size must be <= the number of pairs, {n}; got {self.batch_size}")
        return n // self.batch_size

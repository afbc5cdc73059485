"""Settings of a training, valid from the moment they exist."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import cos, pi

from vergence.checks import non_negative, one_of, positive, probability
from vergence.errors import ConfigError
from vergence.training.limits import within

TRACKERS = ("tensorboard",)
OPTIMIZERS = ("adamw", "muon", "sgd")
PRECISIONS = ("float32", "bf16")
PARALLEL = ("ddp", "fsdp")


@dataclass(frozen=True, kw_only=True)
class EarlyStop:
    """End the training when a metric has not improved for some epochs.

    Args:
        metric: A column of the history: a loss, or what an evaluation returns.
        patience: Epochs without improvement after which to end, >= 1.
        higher_is_better: Whether the metric is to rise.
        margin: How much better counts as better, >= 0.
        restore_best: Whether to end with the weights of the best epoch, by the margin, instead of those of the last.

    Raises:
        ConfigError: Naming the setting, what it got and what is allowed.

    Example:
        >>> stop = EarlyStop(metric="total", patience=2)
        >>> stop([{"total": 1.0}, {"total": 1.1}]), stop([{"total": 1.0}, {"total": 1.1}, {"total": 1.0}])
        (False, True)
    """

    metric: str = "total"
    patience: int = 5
    higher_is_better: bool = False
    margin: float = 0.0
    restore_best: bool = False

    def __post_init__(self) -> None:
        within("patience", self.patience, 1)
        non_negative("margin", self.margin)

    def __call__(self, history: Sequence[Mapping[str, float]]) -> bool:
        """Say whether to end: the history alone decides, so that a resumed training decides alike.

        Raises:
            ConfigError: If the history does not have the metric.
        """
        return len(history) - self.best(history) >= self.patience

    def best(self, history: Sequence[Mapping[str, float]]) -> int:
        """The epoch that no later one is better than, from 1; 0 of no history.

        Raises:
            ConfigError: If the history does not have the metric.
        """
        best, best_at = -float("inf"), 0
        for epoch, row in enumerate(history, start=1):
            one_of("metric", self.metric, row)
            value = row[self.metric] if self.higher_is_better else -row[self.metric]
            if value > best + self.margin:
                best, best_at = value, epoch
        return best_at


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Settings of `train`, with warm-up and cosine decay of the learning rate.

    Args:
        epochs: Passes over the data, >= 1.
        batch_size: Pairs in a batch, >= 2, those of all processes together; the remainder of an epoch is left out.
        learning_rate: Highest rate, > 0.
        weight_decay: Of weight matrices, not of biases and scales, >= 0.
        warmup: Share of the steps in which the rate rises to its highest, in [0, 1].
        max_grad_norm: Gradients are scaled down to this norm, > 0; `None` leaves them.
        optimizer: "adamw"; "muon" for the matrices between hidden layers, with AdamW for all else; or "sgd", with
            momentum 0.9.
        accumulation: Batches whose gradients are averaged for one step, >= 1. It does not enlarge the batch: each loss
            sees the negatives of its own batch only, and so is another objective than that of one large batch. For
            that one, in as little memory, raise `batch_size` and set `chunk_size`.
        chunk_size: Pairs per process that are encoded at once, >= 1, by the cached-gradient step: the gradient of the
            whole batch in the memory of a chunk, for one more forward pass. `None` encodes the batch at once.
        precision: "float32", or "bf16" for encoders in mixed precision; losses are computed in float32 either way.
        parallel: How several processes share the encoder: "ddp", a copy each, or "fsdp", a shard each.
        early_stop: When to end before the last epoch; `None` never does.
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
    optimizer: str = "adamw"
    accumulation: int = 1
    chunk_size: int | None = None
    precision: str = "float32"
    parallel: str = "ddp"
    early_stop: EarlyStop | None = None
    tracker: str | None = None

    def __post_init__(self) -> None:
        within("epochs", self.epochs, 1)
        within("batch_size", self.batch_size, 2, why="a contrastive loss needs a negative")
        positive("learning_rate", self.learning_rate)
        non_negative("weight_decay", self.weight_decay)
        probability("warmup", self.warmup)
        within("accumulation", self.accumulation, 1)
        one_of("optimizer", self.optimizer, OPTIMIZERS)
        one_of("precision", self.precision, PRECISIONS)
        one_of("parallel", self.parallel, PARALLEL)
        if self.max_grad_norm is not None:
            positive("max_grad_norm", self.max_grad_norm)
        if self.chunk_size is not None:
            within("chunk_size", self.chunk_size, 1)
        if self.tracker is not None:
            one_of("tracker", self.tracker, TRACKERS)

    def rate_at(self, progress: float) -> float:
        """Learning rate at a share of the training done, in [0, 1]: linear rise, then a half cosine down to 0."""
        if progress < self.warmup:
            return self.learning_rate * progress / self.warmup
        rest = (progress - self.warmup) / (1 - self.warmup) if self.warmup < 1 else 0.0
        return self.learning_rate * (1 + cos(pi * rest)) / 2

    def steps_per_epoch(self, n: int) -> int:
        """Steps that `n` pairs are enough for: whole batches, `accumulation` of them each.

        Raises:
            ConfigError: If there is none.
        """
        if n < self.batch_size * self.accumulation:
            factor = f" / accumulation ({self.accumulation})" if self.accumulation > 1 else ""
            raise ConfigError(f"batch_size must be <= the number of pairs, {n}{factor}; got {self.batch_size}")
        return n // (self.batch_size * self.accumulation)

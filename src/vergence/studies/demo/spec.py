"""What the main job trains: captions, output sizes, settings, all of it decided before any training."""

from dataclasses import dataclass, field
from pathlib import Path

from vergence.checks import at_least, non_negative, positive
from vergence.data import Policy
from vergence.errors import ConfigError
from vergence.training import TrainConfig

MAIN_SIZE, LARGE_SIZE = 16, 64
"""Output size at which all captions are compared, and a larger one, to see what comes back."""

FLOOR, CEILING = "untrained", "labels themselves"
"""What stands in place of captions where the floor, and where the ceiling of every score is measured."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How encoders of the embedded set are trained and measured, whatever teaches them.

    Args:
        concepts: How many base concepts to use; all if `None`.
        test_fraction: Share of the concepts that are held out, in (0, 1).
        temperature: Of InfoNCE, > 0.
        bottleneck_weight: Weight of the alignment penalty beside InfoNCE, >= 0.
        shift: Pixels by which training images move at most.
        training: Settings of every training.

    Raises:
        ConfigError: If a setting is outside its range.
    """

    concepts: int | None = None
    test_fraction: float = 0.3
    temperature: float = 0.2
    bottleneck_weight: float = 0.0
    shift: int = 4
    training: TrainConfig = field(default_factory=lambda: TrainConfig(epochs=12, batch_size=64))

    def __post_init__(self) -> None:
        if self.concepts is not None:
            at_least("concepts", self.concepts, 100, why="both splits need every factor")
        positive("temperature", self.temperature)
        non_negative("bottleneck_weight", self.bottleneck_weight)
        if not 0 < self.test_fraction < 1:
            raise ConfigError(f"test_fraction must be inside (0, 1); got {self.test_fraction}")


@dataclass(frozen=True, kw_only=True)
class Teaching:
    """One training on the embedded set: what teaches, to how many outputs, and from which seed.

    Args:
        name: Of the captions, or `FLOOR` or `CEILING`.
        policy: How the captions are written; `None` where there are none.
        encoding_size: Output size, >= 1.
        seed: Seed of everything random.
        recipe: How it is trained and measured.
        data: Another file of the embedded set's form; the embedded set if `None`.
    """

    name: str
    policy: Policy | None = None
    encoding_size: int
    seed: int
    recipe: Recipe = field(default_factory=Recipe)
    data: Path | None = None

    def __post_init__(self) -> None:
        at_least("encoding_size", self.encoding_size, 1)
        if (self.policy is None) != (self.name in (FLOOR, CEILING)):
            raise ConfigError(f"captions need a policy, and {FLOOR!r} and {CEILING!r} have none; got {self.name!r}")

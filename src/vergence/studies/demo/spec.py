"""What the main job trains: output sizes, settings, all of it decided before any training."""

from dataclasses import dataclass, field

from vergence.checks import at_least, non_negative, one_of, positive
from vergence.data import POLICIES
from vergence.errors import ConfigError
from vergence.training import TrainConfig


@dataclass(frozen=True, kw_only=True)
class DemoSpec:
    """Settings of the main job.

    Args:
        policies: Names of caption policies, each once.
        main_size: Output size at which all policies are compared, >= 2.
        large_size: A larger one, to see what comes back.
        concepts: How many base concepts to use; all if `None`.
        test_fraction: Share of the concepts that are held out, in (0, 1).
        temperature: Of InfoNCE, > 0.
        bottleneck_weight: Weight of the alignment penalty beside InfoNCE, >= 0.
        shift: Pixels by which training images move at most.
        training: Settings of every training.

    Raises:
        ConfigError: If a setting is outside its range, or a policy is unknown or repeated.
    """

    policies: tuple[str, ...] = tuple(POLICIES)
    main_size: int = 16
    large_size: int = 64
    concepts: int | None = None
    test_fraction: float = 0.3
    temperature: float = 0.2
    bottleneck_weight: float = 0.0
    shift: int = 4
    training: TrainConfig = field(default_factory=lambda: TrainConfig(epochs=12, batch_size=64))

    def __post_init__(self) -> None:
        for name in self.policies:
            one_of("policy", name, POLICIES)
        if not self.policies or len(set(self.policies)) < len(self.policies):
            raise ConfigError(f"policies must name at least one, each once; got {', '.join(self.policies) or 'none'}")
        at_least("main_size", self.main_size, 2)
        at_least("large_size", self.large_size, self.main_size + 1, why="it shows what a larger output lets back in")
        if self.concepts is not None:
            at_least("concepts", self.concepts, 100, why="both splits need every factor")
        positive("temperature", self.temperature)
        non_negative("bottleneck_weight", self.bottleneck_weight)
        if not 0 < self.test_fraction < 1:
            raise ConfigError(f"test_fraction must be inside (0, 1); got {self.test_fraction}")

    @classmethod
    def quick(cls, *, policies: tuple[str, ...] = tuple(POLICIES)) -> "DemoSpec":
        """The same on a subset and for two epochs: it shows that everything works, not what is learned."""
        return cls(policies=policies, concepts=400, training=TrainConfig(epochs=2, batch_size=64))

    def sizes(self, policy: str) -> tuple[int, ...]:
        """Output sizes to train a policy at, ascending; the smallest is that of its unbiased block."""
        if not POLICIES[policy].all_sizes:
            return (self.main_size,)
        block = len(POLICIES[policy].misalignment.unbiased)
        return tuple(sorted({block, self.main_size, self.large_size}))

    def runs(self) -> list[tuple[str, int]]:
        """Every training: policy and output size."""
        return [(policy, size) for policy in self.policies for size in self.sizes(policy)]

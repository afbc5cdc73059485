"""Which biases are injected into the captions of the embedded set, and how much is trained."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from vergence.channels import Redraw
from vergence.checks import at_least
from vergence.data import POLICIES, Policy
from vergence.misalignment import Misalignment
from vergence.studies.demo import DemoSpec
from vergence.training import TrainConfig

REFERENCE = "faithful"
"""The setting that injects nothing: what it teaches at the largest size is what the others are compared with."""

UNTRAINED = "untrained"
"""Encoders before any training: what probes read from images that no caption has taught."""

_EVERYTHING = POLICIES[REFERENCE].misalignment.selected


def _omitted(**rates: float) -> Policy:
    said = ", ".join(f"{name.replace('_', ' ')} left out of a caption with chance {p:g}" for name, p in rates.items())
    mention = {name: 1 - rates.get(name, 0.0) for name in _EVERYTHING}
    return Policy(description=said, misalignment=Misalignment.of_rates(mention))


def _redrawn(factor: str, rate: float) -> Policy:
    return Policy(
        description=f"{factor.replace('_', ' ')} redrawn with chance {rate:g}",
        misalignment=Misalignment(_EVERYTHING, {factor}, channel=Redraw(rate)),
    )


SETTINGS: Mapping[str, Policy] = MappingProxyType(
    {
        REFERENCE: POLICIES[REFERENCE],
        "tone omitted 0.5": _omitted(skin_tone=0.5),
        "tone omitted 0.9": _omitted(skin_tone=0.9),
        "tone omitted 1": _omitted(skin_tone=1.0),
        "tone redrawn 0.5": _redrawn("skin_tone", 0.5),
        "tone redrawn 0.9": _redrawn("skin_tone", 0.9),
        "gender omitted 0.9": _omitted(gender=0.9),
        "both omitted 1": _omitted(skin_tone=1.0, gender=1.0),
    }
)


def injected(policy: Policy, factor: str) -> tuple[Any, float]:
    """The rates at which a policy mentions a factor, and redraws it where it does.

    Example:
        >>> injected(POLICIES["omit"], "skin_tone"), injected(POLICIES["perturb"], "skin_tone")
        ((0.0, 0.0), (1.0, 0.9))
    """
    bias = policy.misalignment
    return bias.mention.get(factor, 0.0), getattr(bias.channels.get(factor), "probability", 0.0)


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How much is trained.

    Args:
        settings: Names of `SETTINGS`; the reference among them.
        seeds: Trials of each setting, with another split of the set each.
        training: How each is trained, and which concepts are used.

    Raises:
        ConfigError: If there are no seeds.
    """

    settings: tuple[str, ...] = tuple(SETTINGS)
    seeds: int = 1
    training: DemoSpec = field(default_factory=DemoSpec)

    def __post_init__(self) -> None:
        at_least("seeds", self.seeds, 1)

    def sizes(self, block: int) -> tuple[int, ...]:
        """Output sizes to train at: that of the unbiased block, as the audit finds it, and the demo's two."""
        return tuple(sorted({block, self.training.main_size, self.training.large_size}))


SCALES: Mapping[str, Scale] = MappingProxyType(
    {
        "smoke": Scale(
            settings=(REFERENCE, "tone omitted 1"),
            training=DemoSpec(concepts=150, training=TrainConfig(epochs=1, batch_size=64)),
        ),
        "cpu": Scale(),
    }
)

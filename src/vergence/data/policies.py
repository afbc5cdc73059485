"""Ways to caption the embedded set: what the captions mention, and what they may get wrong."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import torch

from vergence.checks import known_factors, one_of, probability
from vergence.errors import ConfigError
from vergence.misalignment import Misalignment
from vergence.pairs import Pairs
from vergence.random import named
from vergence.views import CaptionStyle, render_captions, text_record

_EVERYTHING = ("skin_tone", "gender", "group", "subgroup")


@dataclass(frozen=True, kw_only=True)
class Policy:
    """A way to caption the set.

    Args:
        description: What the captions do, in a few words.
        misalignment: What they mention and what they may get wrong.
        perturbation_probability: Chance that a perturbed factor is redrawn.
        omission_probability: By factor, the chance that a caption does not mention it; 1 for one that none mentions,
            which is then not selected.
        real_labels: Whether captions are the set's own labels instead of rendered from factors.
        all_sizes: Whether to train it at every output size, or at the main one only.

    Raises:
        ConfigError: If a probability is outside [0, 1], or probabilities and misalignment contradict each other.
        FactorError: If an omission is of a factor that is neither selected nor left out of every caption.
    """

    description: str
    misalignment: Misalignment
    perturbation_probability: float = 0.0
    omission_probability: Mapping[str, float] = field(default_factory=dict)
    real_labels: bool = False
    all_sizes: bool = False

    def __post_init__(self) -> None:
        probability("perturbation_probability", self.perturbation_probability)
        if (self.perturbation_probability > 0) != bool(self.misalignment.perturbed):
            names = ", ".join(sorted(self.misalignment.perturbed)) or "none"
            raise ConfigError(
                "perturbation_probability must be above 0 where factors are perturbed, and 0 where none is; got "
                f"{self.perturbation_probability:g} with perturbed factors: {names}"
            )
        selected = sorted(self.misalignment.selected)
        for name, rate in self.omission_probability.items():
            probability(f"omission_probability[{name!r}]", rate)
            if rate < 1:
                known_factors([name], selected)
            elif name in selected:
                raise ConfigError(
                    f"a factor that no caption mentions is not selected; got omission_probability[{name!r}] = 1 with "
                    f"selected factors: {', '.join(selected)}"
                )


POLICIES: Mapping[str, Policy] = MappingProxyType(
    {
        "labels": Policy(
            description="the real labels as they are: they name the thing, its gender and its skin tone",
            misalignment=Misalignment({"skin_tone", "gender"}),
            real_labels=True,
        ),
        "faithful": Policy(
            description="every factor is mentioned, correctly",
            misalignment=Misalignment(_EVERYTHING),
            all_sizes=True,
        ),
        "omit": Policy(
            description="skin tone is never mentioned",
            misalignment=Misalignment(set(_EVERYTHING) - {"skin_tone"}),
            all_sizes=True,
        ),
        "perturb": Policy(
            description="skin tone is redrawn at random with probability 0.9",
            misalignment=Misalignment(_EVERYTHING, {"skin_tone"}),
            perturbation_probability=0.9,
        ),
    }
)

STYLE = CaptionStyle(phrases=MappingProxyType({"skin_tone": "{value} skin tone"}))


def write_captions(emoji: Pairs, policy: str | Policy, *, seed: int) -> list[str]:
    """Caption the set, or a part of it, by a policy.

    Args:
        emoji: What to caption.
        policy: A policy, or the name of one of `POLICIES`.
        seed: Seed of what is left out, of wrong values and of the wording, >= 0.

    Returns:
        One caption for each item.

    Raises:
        ConfigError: If the policy is unknown.

    Example:
        >>> from vergence.data import load_emoji
        >>> emoji = load_emoji()
        >>> write_captions(emoji.take(emoji.clusters == "farmer"), "omit", seed=0)[0]
        'picture of man, people & body, person role'
    """
    if isinstance(policy, str):
        one_of("policy", policy, POLICIES)
    chosen = POLICIES[policy] if isinstance(policy, str) else policy
    if chosen.real_labels:
        return list(emoji.texts)
    stated = chosen.misalignment.selected | set(chosen.omission_probability)
    record = text_record(
        emoji.labels,
        emoji.space,
        Misalignment(stated, chosen.misalignment.perturbed),
        perturbation_probability=chosen.perturbation_probability,
        generator=named(seed, "record"),
    )
    for name, rate in chosen.omission_probability.items():  # a stream each, so that none depends on the others
        silent = torch.rand(len(record), generator=named(seed, "omission", name)).numpy() < rate
        record[name] = record[name].where(~silent, None)
    return render_captions(record, STYLE, generator=named(seed, "wording"))

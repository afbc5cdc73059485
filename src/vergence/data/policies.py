"""Ways to caption the embedded set: what the captions mention, and what they may get wrong."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from vergence.channels import Redraw
from vergence.checks import one_of
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
        misalignment: How often they mention each factor, and what they say of it then.
        real_labels: Whether captions are the set's own labels instead of rendered from factors.
        all_sizes: Whether to train it at every output size, or at the main one only.

    """

    description: str
    misalignment: Misalignment
    real_labels: bool = False
    all_sizes: bool = False


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
            misalignment=Misalignment(_EVERYTHING, {"skin_tone"}, channel=Redraw(0.9)),
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
    record = text_record(emoji.labels, emoji.space, chosen.misalignment, generator=named(seed, "record"))
    return render_captions(record, STYLE, generator=named(seed, "wording"))

"""Policies that leave a factor out of some captions."""

import numpy as np
import pytest

from vergence.data import POLICIES, Policy, load_emoji, write_captions
from vergence.misalignment import Misalignment


def mentioning(**rates: float) -> Misalignment:
    """Everything is always mentioned but for some factors."""
    return Misalignment.of_rates(dict.fromkeys(("skin_tone", "gender", "group", "subgroup"), 1.0) | rates)


def test_a_factor_is_left_out_of_the_share_of_captions_that_was_asked_for_and_nothing_else_changes() -> None:
    emoji = load_emoji()
    stated = emoji.labels["skin_tone"].notna().to_numpy()
    whole = write_captions(emoji, "faithful", seed=0)
    some = write_captions(emoji, Policy(description="x", misalignment=mentioning(skin_tone=0.6)), seed=0)
    silent = np.array(["skin tone" not in text for text in some])
    assert silent[stated].mean() == pytest.approx(0.4, abs=4 * (0.24 / stated.sum()) ** 0.5)
    assert [a for a, quiet in zip(some, silent & stated, strict=True) if not quiet] == [
        a for a, quiet in zip(whole, silent & stated, strict=True) if not quiet
    ]


def test_a_policy_may_be_named_or_given() -> None:
    emoji = load_emoji().take(np.arange(50))
    assert write_captions(emoji, "perturb", seed=1) == write_captions(emoji, POLICIES["perturb"], seed=1)


def test_a_factor_that_every_caption_leaves_out_is_not_selected_and_reaches_no_caption() -> None:
    emoji = load_emoji().take(np.arange(400))
    rest = mentioning(group=0.0)
    captions = write_captions(emoji, Policy(description="x", misalignment=rest), seed=0)
    assert not any(value in text for value, text in zip(emoji.labels["group"], captions, strict=True))

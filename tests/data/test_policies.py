"""Policies that leave a factor out of some captions."""

import numpy as np
import pytest

from vergence.data import POLICIES, Policy, load_emoji, write_captions
from vergence.errors import ConfigError, FactorError
from vergence.misalignment import Misalignment

EVERYTHING = Misalignment({"skin_tone", "gender", "group", "subgroup"})


def test_a_factor_is_left_out_of_the_share_of_captions_that_was_asked_for_and_nothing_else_changes() -> None:
    emoji = load_emoji()
    stated = emoji.labels["skin_tone"].notna().to_numpy()
    whole = write_captions(emoji, "faithful", seed=0)
    some = write_captions(
        emoji, Policy(description="x", misalignment=EVERYTHING, omission_probability={"skin_tone": 0.4}), seed=0
    )
    silent = np.array(["skin tone" not in text for text in some])
    assert silent[stated].mean() == pytest.approx(0.4, abs=4 * (0.24 / stated.sum()) ** 0.5)
    assert [a for a, quiet in zip(some, silent & stated, strict=True) if not quiet] == [
        a for a, quiet in zip(whole, silent & stated, strict=True) if not quiet
    ]


def test_a_policy_may_be_named_or_given() -> None:
    emoji = load_emoji().take(np.arange(50))
    assert write_captions(emoji, "perturb", seed=1) == write_captions(emoji, POLICIES["perturb"], seed=1)


@pytest.mark.parametrize(
    ("rates", "error", "message"),
    [
        ({"gender": 1.5}, ConfigError, r"omission_probability\['gender'\] must be a probability"),
        ({"gender": 1.0}, ConfigError, "a factor that no caption mentions is not selected; got .*'gender'.* = 1"),
        ({"colour": 0.5}, FactorError, "unknown factor 'colour'; known: gender, group, skin_tone, subgroup"),
    ],
)
def test_impossible_omissions_are_refused(rates: dict[str, float], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Policy(description="x", misalignment=EVERYTHING, omission_probability=rates)


@pytest.mark.parametrize(
    ("perturbed", "rate", "message"),
    [
        (
            (),
            0.9,
            "perturbation_probability must be above 0 where factors are perturbed.*got 0.9.*perturbed factors: none",
        ),
        (("gender",), 0.0, "and 0 where none is; got 0 with perturbed factors: gender"),
    ],
)
def test_a_redraw_that_contradicts_the_misalignment_is_refused(perturbed: tuple, rate: float, message: str) -> None:
    bias = Misalignment(EVERYTHING.selected, perturbed)
    with pytest.raises(ConfigError, match=message):
        Policy(description="x", misalignment=bias, perturbation_probability=rate)


def test_a_factor_that_every_caption_leaves_out_is_not_selected_and_reaches_no_caption() -> None:
    emoji = load_emoji().take(np.arange(400))
    rest = Misalignment(EVERYTHING.selected - {"group"})
    captions = write_captions(
        emoji, Policy(description="x", misalignment=rest, omission_probability={"group": 1.0}), seed=0
    )
    assert not any(value in text for value, text in zip(emoji.labels["group"], captions, strict=True))

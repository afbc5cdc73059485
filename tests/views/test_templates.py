"""From factor values to captions: what the text records, and how it is worded."""

from math import sqrt

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal, assert_series_equal

from vergence import Factor, FactorSpace, Misalignment
from vergence.channels import Channel
from vergence.errors import ConfigError, FactorError
from vergence.random import generator
from vergence.views import CaptionStyle, render_captions, text_record

VALUES = {
    "shape": ("cube", "ball", "cone"),
    "tone": ("dark", "light"),
    "size": ("small", "big", "huge", "vast"),
    "place": ("left", "right"),
}
SPACE = FactorSpace(tuple(Factor(name, values) for name, values in VALUES.items()))
EVERYTHING = frozenset(VALUES)
STYLE = CaptionStyle(phrases={"tone": "<{value} tone>", "size": "{value}-sized"}, openings=["see", "look:"])


class Silent(Channel):
    """A channel that no table describes."""

    def __repr__(self) -> str:
        return "Silent"


tables = st.lists(
    st.fixed_dictionaries({name: st.sampled_from([*values, None]) for name, values in VALUES.items()}), max_size=30
).map(lambda rows: pd.DataFrame(rows, columns=list(VALUES), dtype=object))
seeds = st.integers(0, 2**32)


def redrawn(selected, perturbed, probability: float = 1.0) -> Misalignment:
    """Some factors always mentioned, some of them redrawn."""
    return Misalignment.of_rates(dict.fromkeys(selected, 1.0), redraw=dict.fromkeys(perturbed, probability))


@st.composite
def misalignments(draw: st.DrawFn) -> Misalignment:
    selected = draw(st.sets(st.sampled_from(sorted(VALUES)), min_size=1))
    kept = draw(st.sampled_from(sorted(selected)))
    return redrawn(selected, draw(st.sets(st.sampled_from(sorted(selected)))) - {kept})


@given(tables, misalignments(), seeds)
def test_omitted_factors_are_gone_and_unbiased_ones_are_as_they_were(labels, bias, seed) -> None:
    before = labels.copy()
    record = text_record(labels, SPACE, bias, generator=generator(seed))
    assert list(record.columns) == [name for name in SPACE if name in bias.selected]
    for name in bias.unbiased:
        assert_series_equal(record[name], labels[name])
    assert_frame_equal(labels, before)


@given(tables, misalignments(), seeds)
def test_what_is_not_stated_stays_so_and_what_is_redrawn_is_a_value_of_its_factor(labels, bias, seed) -> None:
    record = text_record(labels, SPACE, bias, generator=generator(seed))
    for name in record:
        assert record[name].isna().tolist() == labels[name].isna().tolist()
        assert set(record[name].dropna()) <= set(VALUES[name])


@given(tables, misalignments(), seeds)
def test_probability_zero_changes_nothing(labels, bias, seed) -> None:
    exact = redrawn(bias.selected, bias.perturbed, 0.0)
    record = text_record(labels, SPACE, exact, generator=generator(seed))
    assert_frame_equal(record, labels[list(record.columns)])


@given(tables, seeds, st.sets(st.sampled_from(["shape", "size", "place"]), max_size=2))
def test_the_draws_of_a_factor_do_not_depend_on_which_others_are_perturbed_or_mentioned(labels, seed, others) -> None:
    alone = text_record(labels, SPACE, redrawn(EVERYTHING, {"tone"}), generator=generator(seed))
    more = text_record(labels, SPACE, redrawn(EVERYTHING, {"tone"} | others), generator=generator(seed))
    fewer = text_record(labels, SPACE, redrawn({"tone", "shape"}, {"tone"}), generator=generator(seed))
    assert alone["tone"].tolist() == more["tone"].tolist() == fewer["tone"].tolist()


@given(tables, seeds)
def test_draws_do_not_depend_on_the_values(labels, seed) -> None:
    bias = redrawn({"size", "shape"}, {"size"})
    stated = labels.assign(size="small")
    record = text_record(labels, SPACE, bias, generator=generator(seed))["size"]
    other = text_record(stated, SPACE, bias, generator=generator(seed))["size"]
    assert record.dropna().tolist() == other[record.notna()].tolist()


@pytest.mark.parametrize("name", list(VALUES))
@pytest.mark.parametrize("probability", [0.3, 0.9, 1.0])
def test_a_share_p_times_1_minus_1_over_k_comes_out_wrong(name: str, probability: float) -> None:
    n, k = 20_000, len(VALUES[name])
    labels = pd.DataFrame({factor: [values[0]] * n for factor, values in VALUES.items()})
    record = text_record(labels, SPACE, redrawn(EVERYTHING, {name}, probability), generator=generator(0))
    expected = probability * (1 - 1 / k)
    six_sigma = 6 * sqrt(expected * (1 - expected) / n)
    wrong = (record[name] != labels[name]).mean()
    assert wrong == pytest.approx(expected, abs=six_sigma)
    shares = record[name].value_counts(normalize=True)[list(VALUES[name][1:])]
    assert shares.tolist() == pytest.approx([expected / (k - 1)] * (k - 1), abs=six_sigma)


def test_a_table_and_a_rate_by_value_come_out_in_their_shares() -> None:
    n = 20_000
    labels = pd.DataFrame({"shape": ["cube", "ball"] * n})
    table = pd.DataFrame([[0.5, 0.2, 0.0], [0.3, 0.8, 0.0], [0.2, 0.0, 1.0]], VALUES["shape"], VALUES["shape"])
    bias = Misalignment.of_rates({"shape": (0.9, 0.4, 1.0)}, channels={"shape": table})
    record = text_record(labels, SPACE.subset(["shape"]), bias, generator=generator(0))["shape"]
    for shown, rate in (("cube", 0.9), ("ball", 0.4)):
        said = record[labels["shape"] == shown]
        assert said.notna().mean() == pytest.approx(rate, abs=0.02)
        shares = said.value_counts(normalize=True).reindex(VALUES["shape"]).fillna(0)
        assert shares.tolist() == pytest.approx(table[shown].tolist(), abs=0.02)


def test_two_perturbed_factors_go_wrong_independently() -> None:
    n = 20_000
    labels = pd.DataFrame({"tone": ["dark"] * n, "place": ["left"] * n, "shape": ["cube"] * n, "size": ["big"] * n})
    record = text_record(labels, SPACE, redrawn(EVERYTHING, {"tone", "place"}), generator=generator(0))
    both = ((record["tone"] == "light") & (record["place"] == "right")).mean()
    assert both == pytest.approx(0.25, abs=6 * sqrt(0.25 * 0.75 / n))


def test_index_labels_that_repeat_and_categories_that_lack_a_value_are_no_trouble() -> None:
    bias = Misalignment({"tone", "shape"}, {"tone"})
    plain = pd.DataFrame({"tone": ["dark"] * 50, "shape": ["cube"] * 50})
    odd = pd.DataFrame({"tone": pd.Categorical(plain["tone"]), "shape": plain["shape"]}).set_index(pd.Index([7] * 50))
    expected = text_record(plain, SPACE, bias, generator=generator(0))
    assert text_record(odd, SPACE, bias, generator=generator(0))["tone"].tolist() == expected["tone"].tolist()
    assert set(expected["tone"]) == {"dark", "light"}


@pytest.mark.parametrize(
    ("bias", "error", "message"),
    [
        (Misalignment({"tone", "hue"}, {"hue"}), FactorError, "only a discrete factor can be .* 'hue' is contin"),
        (Misalignment({"tonne"}), FactorError, "unknown factor 'tonne'; known: tone, hue, site. Did you mean"),
        (Misalignment({"tone", "site"}), FactorError, "unknown factor 'site'; known: tone, hue"),
        (Misalignment.of_rates({"tone": 1.0}, channels={"tone": Silent()}), FactorError, "cannot be drawn from Silent"),
        (Misalignment.of_rates({"hue": 0.5}), FactorError, "or left out at times; 'hue' is continuous"),
    ],
)
def test_contradictions_are_refused_by_name(bias, error, message) -> None:
    space = FactorSpace((Factor("tone", ("dark", "light")), Factor("hue"), Factor("site", ("x", "y"))))
    labels = pd.DataFrame({"tone": ["dark"], "hue": [0.5]})
    with pytest.raises(error, match=message):
        text_record(labels, space, bias, generator=generator(0))


@given(tables, seeds)
def test_a_caption_mentions_each_stated_value_once_and_nothing_else(labels, seed) -> None:
    captions = render_captions(labels, STYLE, generator=generator(seed))
    assert len(captions) == len(labels)
    for caption, row in zip(captions, labels.to_dict("records"), strict=True):
        opening = next(opening for opening in STYLE.openings if caption.startswith(opening))
        mentions = caption.removeprefix(opening).strip()
        said = {STYLE.word(name, value) for name, value in row.items() if value is not None}
        assert sorted(mentions.split(", ") if mentions else []) == sorted(said)


@given(tables, seeds)
def test_captions_follow_from_the_generator_and_their_draws_not_from_the_values(labels, seed) -> None:
    captions = render_captions(labels, STYLE, generator=generator(seed))
    assert captions == render_captions(labels, STYLE, generator=generator(seed))
    used, unused = generator(seed), generator(seed)
    render_captions(labels, STYLE, generator=used)
    render_captions(labels.assign(**dict.fromkeys(VALUES)), STYLE, generator=unused)
    assert used.get_state().equal(unused.get_state())
    silent = render_captions(labels.assign(tone=None), STYLE, generator=generator(seed))
    for caption, shorter in zip(captions, silent, strict=True):
        opening, _, mentions = caption.partition(" ")
        kept = [mention for mention in mentions.split(", ") if "tone>" not in mention]
        assert shorter == f"{opening} {', '.join(kept)}".strip()


def test_every_opening_and_every_order_occurs() -> None:
    record = pd.DataFrame({"shape": ["cube"] * 200, "place": ["left"] * 200})
    captions = set(render_captions(record, CaptionStyle(openings=["a", "b"]), generator=generator(0)))
    assert captions == {"a cube, left", "a left, cube", "b cube, left", "b left, cube"}


def test_values_are_worded_literally_even_if_they_look_like_formats() -> None:
    record = pd.DataFrame({"shape": ["{value} {0} % é 🎈"]})
    style = CaptionStyle(phrases={"shape": "a {value}"}, openings=[""])
    assert render_captions(record, style, generator=generator(0)) == ["a {value} {0} % é 🎈"]


@pytest.mark.parametrize(
    "phrase",
    ["skin", "{tone} skin", "{} skin", "{{value}}", "{value", "{value.x}", "{value[a]}", "{value[0]}", "{value:.1}"],
)
def test_a_phrase_that_would_not_say_the_value_is_refused(phrase: str) -> None:
    with pytest.raises(ConfigError, match=r"the phrase of 'tone' must hold {value} and no other field; got '"):
        CaptionStyle(phrases={"tone": phrase})


@pytest.mark.parametrize("openings", [(), "see"])
def test_captions_need_a_list_of_openings(openings) -> None:
    with pytest.raises(ConfigError, match="openings must be at least one text, in a list; got"):
        CaptionStyle(openings=openings)

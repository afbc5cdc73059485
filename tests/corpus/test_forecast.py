"""Forecasts: what follows from intervals of strengths, and what is left open by name."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vergence import Factor, FactorSpace
from vergence.corpus import Concept, Group, Lexicon, lexicon_from_factors
from vergence.corpus.estimate import NOT_ASSESSABLE, BiasEstimate, estimate_misalignment
from vergence.corpus.forecast import (
    _AT_ONE,
    NOT_AT_ALL,
    OPEN,
    STATEMENTS,
    STRONGLY,
    THROUGH_OTHERS,
    WEAKLY,
    forecast,
    of_such_captions,
    reach,
)
from vergence.errors import ConfigError
from vergence.theory import kept, threshold

SPACE = FactorSpace(tuple(Factor(name, (f"{name}0", f"{name}1")) for name in ("a", "b", "c")))
LEXICON = lexicon_from_factors(SPACE)


def estimate(n: int = 2000, *, tied=False, labels=("a", "b", "c"), swapped=(), **mentioned: tuple[float, float]):
    """Captions that mention each factor at one rate and redraw it uniformly at another."""
    rng = np.random.default_rng(0)
    shown = {name: rng.integers(0, 2, n) for name in "abc"}
    if tied:
        shown["b"] = shown["a"]
    words = [[] for _ in range(n)]
    for name, (selection, rho) in mentioned.items():
        said = np.where(rng.random(n) < rho, rng.integers(0, 2, n), shown[name])
        said = 1 - said if name in swapped else said
        for place in np.flatnonzero(rng.random(n) < selection):
            words[place].append(f"{name}{said[place]}")
    table = pd.DataFrame({name: [f"{name}{code}" for code in shown[name]] for name in labels})
    return estimate_misalignment([" ".join(own) for own in words], table, LEXICON)


def said(found: BiasEstimate, size: int | None = None, **options: float) -> dict[str, str]:
    table = forecast(found, encoding_size=size, **options)
    return dict(zip(table["factor"], table["statement"], strict=True))


def reason(found: BiasEstimate, factor: str, size: int | None, **options: float) -> str:
    return forecast(found, encoding_size=size, **options).set_index("factor").loc[factor, "reason"]


def test_without_a_size_only_what_is_never_mentioned_and_not_implied_is_stated() -> None:
    assert said(estimate(a=(1, 0))) == {"a": OPEN, "b": NOT_AT_ALL, "c": NOT_AT_ALL}
    assert said(estimate(a=(1, 0), tied=True)) == {"a": OPEN, "b": OPEN, "c": NOT_AT_ALL}
    assert said(estimate(a=(1, 0), labels=("a", "b"))) == {"a": OPEN, "b": OPEN, "c": NOT_ASSESSABLE}
    assert reason(estimate(a=(1, 0)), "a", None) == "where outputs suffice it is taught strongly; name an output size"


def test_without_a_size_a_bottleneck_rules_out_what_is_surely_below_its_threshold() -> None:
    found = estimate(a=(1, 0), b=(1, 1), c=(1, 0.5))
    assert said(found) == {"a": OPEN, "b": OPEN, "c": OPEN}
    assert said(found, bottleneck=0.5) == {"a": OPEN, "b": NOT_AT_ALL, "c": OPEN}
    assert reason(found, "b", None, bottleneck=0.5).startswith(
        "the bottleneck removes what is not above 0.33, and its s"
    )


def test_statements_depend_on_the_output_size_and_the_bottleneck() -> None:
    found = estimate(a=(1, 0), b=(0.5, 0), c=(0.2, 0))  # strengths 1, .71 and .45
    assert said(found, 1) == {"a": STRONGLY, "b": NOT_AT_ALL, "c": NOT_AT_ALL}
    assert said(found, 2) == {"a": STRONGLY, "b": STRONGLY, "c": NOT_AT_ALL}
    assert said(found, 3) == {"a": STRONGLY, "b": STRONGLY, "c": WEAKLY}
    assert said(found, 3, bottleneck=0.5) == {"a": STRONGLY, "b": WEAKLY, "c": WEAKLY}
    assert said(found, 3, bottleneck=1.5) == {"a": STRONGLY, "b": WEAKLY, "c": NOT_AT_ALL}
    assert said(found, 3, bottleneck=1.5, temperature=0.1) == {"a": STRONGLY, "b": STRONGLY, "c": WEAKLY}
    assert said(estimate(a=(1, 0), tied=True), 1)["b"] == THROUGH_OTHERS
    assert set(said(estimate(), 1).values()) == {NOT_AT_ALL}


def test_a_systematic_swap_is_taught_as_strongly_as_the_truth_and_a_blind_redraw_hardly() -> None:
    found = estimate(a=(1, 0), b=(1, 0), c=(1, 1), swapped="b")
    assert said(found, 3)["b"] == STRONGLY
    assert reach(found) == {"a": (2, 2), "b": (2, 2), "c": (0, 1)}
    assert said(found, 3)["c"] == OPEN
    assert reason(found, "c", 3).startswith("not at all or weakly: its strength is 0.")


@pytest.mark.parametrize("bottleneck", [0.0, 0.2, 1.0])
def test_what_is_taught_strongly_begins_where_the_amplitude_is_1(bottleneck: float) -> None:
    border = 1 - _AT_ONE * (1 - threshold(bottleneck, 1.0))
    for sigma, strongly in ((border + 1e-6, True), (border - 1e-6, False)):
        table = pd.DataFrame({"factors": [("a",)], "order": 1, "strength": sigma, "multiplicity": 1})
        assert (kept(table, encoding_size=1, bottleneck=bottleneck)["y"].item() >= 1) == strongly


def test_options_out_of_range_are_refused() -> None:
    found = estimate(a=(1, 0), n=50)
    with pytest.raises(ConfigError, match="encoding_size must be >= 1; got 0"):
        forecast(found, encoding_size=0)
    with pytest.raises(ConfigError, match="bottleneck must be"):
        forecast(found, bottleneck=-1)
    with pytest.raises(ConfigError, match="temperature must be"):
        forecast(found, temperature=0)


def test_equally_strong_factors_that_do_not_all_fit_are_left_open_with_the_reason() -> None:
    found = estimate(a=(1, 0), b=(1, 0))
    assert said(found, 1) == {"a": OPEN, "b": OPEN, "c": NOT_AT_ALL}
    assert reason(found, "a", 1) == (
        "directions that are as strong, or may be, can fill the one output; where they do not, it is taught strongly"
    )


def test_few_images_leave_a_factor_open_and_the_reason_says_how_many_would_settle_it() -> None:
    found = estimate(a=(1, 0), b=(0.45, 0), n=100)
    assert said(found, 2)["b"] == OPEN
    why = reason(found, "b", 2)
    assert why.startswith("weakly or strongly: its strength is 0.")
    needed = int(why.split("about ")[1].split(" ")[0].replace(",", ""))
    assert why.endswith("independent labelled images would settle it, and there are 100")
    assert 100 < needed < 10_000
    assert said(estimate(a=(1, 0), b=(0.45, 0), n=2000), 2)["b"] == STRONGLY


def test_of_a_factor_of_many_values_the_reason_says_how_many_directions_are_held() -> None:
    space = FactorSpace((Factor("kind", tuple(f"kind{k}" for k in range(9))), Factor("tone", ("dark", "light"))))
    rng = np.random.default_rng(0)
    labels = pd.DataFrame({name: rng.choice(space[name].values, 3_000) for name in space})
    found = estimate_misalignment(labels["kind"].tolist(), labels, lexicon_from_factors(space))
    assert [said(found, size)["kind"] for size in (1, 8)] == [STRONGLY, STRONGLY]
    every = "every labelled caption tells it, and the outputs suffice for it"
    assert reason(found, "kind", 1) == f"{every}, if not for each of their 8 directions"
    assert reason(found, "kind", 8) == every
    half = np.where(rng.random(3_000) < 0.5, labels["kind"], "")
    seldom = estimate_misalignment(half.tolist(), labels, lexicon_from_factors(space))
    assert said(seldom, 1)["kind"] == STRONGLY
    assert reason(seldom, "kind", 1) == "at least 1 of its 8 directions is held"
    assert reason(seldom, "kind", 8) == "the outputs suffice for all of its 8 directions"
    assert [said(found, size)["tone"] for size in (1, 8, 9)] == [NOT_AT_ALL] * 3
    assert reason(found, "tone", 9).startswith("no labelled caption mentions it, so its strength is at most 0.0")
    assert (of_such_captions(found).set_index("factors").loc[[("tone",)], ["strength", "low", "high"]] == 0).all(
        axis=None
    )


def test_two_factors_of_many_values_leave_open_which_of_them_few_outputs_hold() -> None:
    names = {"kind": 9, "make": 40}
    space = FactorSpace(tuple(Factor(name, tuple(f"{name}{k}" for k in range(n))) for name, n in names.items()))
    rng = np.random.default_rng(0)
    labels = pd.DataFrame({name: rng.choice(space[name].values, 2_000) for name in space})
    captions = (labels["kind"] + " " + labels["make"]).tolist()
    found = estimate_misalignment(captions, labels, lexicon_from_factors(space))
    assert said(found, 1) == {"kind": OPEN, "make": OPEN}
    assert all(said(found, size) == {"kind": STRONGLY, "make": STRONGLY} for size in (2, 8, 47))
    assert reason(found, "make", 2).endswith("suffice for all 2 such factors, if not for each of their 47 directions")
    half = np.where(rng.random(2_000) < 0.5, labels["kind"], "") + np.array(" ") + labels["make"]
    weaker = estimate_misalignment(half.tolist(), labels, lexicon_from_factors(space))
    assert said(weaker, 1) == {"kind": NOT_AT_ALL, "make": STRONGLY}  # one output for the one that is always told
    # With more, forty values may fill them or leave room, as they need fewer outputs than they can fill.
    assert all(said(weaker, size) == {"kind": OPEN, "make": STRONGLY} for size in (2, 20, 39))
    assert said(weaker, 47) == {"kind": STRONGLY, "make": STRONGLY}
    assert found.spectrum["multiplicity"].tolist() == [8, 39]


def test_a_value_that_no_image_shows_leaves_nothing_open() -> None:
    space = FactorSpace((Factor("kind", tuple(f"kind{k}" for k in range(5))),))
    labels = pd.DataFrame({"kind": [f"kind{k}" for k in np.random.default_rng(0).integers(0, 3, 400)]})
    found = estimate_misalignment(labels["kind"].tolist(), labels, lexicon_from_factors(space))
    assert found.spectrum["low"].min() == 0
    assert of_such_captions(found)[["strength", "multiplicity", "low", "high"]].values.tolist() == [[1, 2, 1, 1]]
    assert said(found, 1) == {"kind": STRONGLY}


def test_a_factor_of_one_value_takes_no_room() -> None:
    groups = Group("a", (Concept("a0"), Concept("a1"))), Group("b", (Concept("b0"),))
    shown = np.random.default_rng(0).integers(0, 2, 600)
    labels = pd.DataFrame({"a": [f"a{code}" for code in shown], "b": ["b0"] * 600})
    found = estimate_misalignment([f"a{code} b0" for code in shown], labels, Lexicon("x", groups))
    assert said(found, 1) == {"a": STRONGLY, "b": OPEN}
    assert reason(found, "b", 1) == "one value leaves nothing to tell apart"
    assert set(found.spectrum["factors"]) == {("a",)}


def given_intervals(rows: list[tuple[float, float]]) -> BiasEstimate:
    """An estimate of which only strengths matter: those of each factor's one direction, from and to."""
    names = [f"f{k}" for k in range(len(rows))]
    factors = pd.DataFrame({"factor": names, "values": 2, "images": 100, "clusters": 100, "unlabelled": 0, "note": ""})
    strengths = pd.DataFrame(
        [((name,), 1, (low + high) / 2, 1, low, high, "table") for name, (low, high) in zip(names, rows, strict=True)],
        columns=["factors", "order", "strength", "multiplicity", "low", "high", "how"],
    )
    tables = pd.DataFrame({"factor": names, "shown": "x", "said": "x", "captions": 100.0})
    dependence = pd.DataFrame(columns=["a", "b", "cramers_v", "p_value"])
    return BiasEstimate(factors, pd.DataFrame(), tables, dependence, strengths, rows=100)


ENDS = [0.0, 0.1, 0.3, 0.33, 0.34, 0.624, 0.626, 0.9, 1.0]
intervals = st.tuples(*[st.sampled_from(ENDS)] * 2).map(lambda pair: tuple(sorted(pair)))


@settings(max_examples=25)
@given(st.lists(intervals, min_size=1, max_size=3), st.integers(1, 4), st.sampled_from([0.0, 0.5]), st.data())
def test_a_statement_holds_for_every_truth_that_the_intervals_allow(rows, size: int, bottleneck: float, data) -> None:
    truth = [(value, value) for value in (data.draw(st.sampled_from([a, b, (a + b) / 2])) for a, b in rows)]
    exact = said(given_intervals(truth), size, bottleneck=bottleneck)
    for factor, statement in said(given_intervals(rows), size, bottleneck=bottleneck).items():
        if statement != OPEN and exact[factor] != OPEN:  # open by a tie, which intervals rule out or share
            assert exact[factor] == statement


@settings(max_examples=10)
@given(st.lists(intervals, min_size=1, max_size=3), st.sampled_from([0.0, 0.5]))
def test_more_outputs_never_teach_less_and_a_bottleneck_never_more(rows, bottleneck: float) -> None:
    found = given_intervals(rows)
    order = {name: place for place, name in enumerate(STATEMENTS)}
    for (size, beta), (more, less) in product([(1, bottleneck), (2, bottleneck)], [(1, 0.0), (0, 0.2)]):
        before, after = said(found, size, bottleneck=beta), said(found, size + more, bottleneck=beta + less)
        for name in before:
            if OPEN not in (before[name], after[name]):
                assert order[before[name]] <= order[after[name]] if more else order[before[name]] >= order[after[name]]

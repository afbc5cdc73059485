"""Forecasts: what follows from intervals, and what is left open by name."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t

from vergence import Factor, FactorSpace
from vergence.corpus import Concept, Group, Lexicon, lexicon_from_factors
from vergence.corpus.estimate import NOT_ASSESSABLE, TOLERANCE, BiasEstimate, estimate_misalignment
from vergence.corpus.forecast import (
    CANNOT,
    IGNORED,
    LEARNED,
    MISSED,
    OPEN,
    PARTLY,
    THROUGH_OTHERS,
    forecast,
    images_needed,
)
from vergence.corpus.rates import score_interval
from vergence.errors import ConfigError

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


def said(found: BiasEstimate, size: int | None = None, **thresholds: float) -> dict[str, str]:
    table = forecast(found, encoding_size=size, **thresholds)
    return dict(zip(table["factor"], table["statement"], strict=True))


def reason(found: BiasEstimate, factor: str, size: int) -> str:
    return forecast(found, encoding_size=size).set_index("factor").loc[factor, "reason"]


def test_without_a_size_only_what_is_never_mentioned_and_not_implied_cannot_be_learned() -> None:
    assert said(estimate(a=(1, 0))) == {"a": OPEN, "b": CANNOT, "c": CANNOT}
    assert said(estimate(a=(1, 0), tied=True)) == {"a": OPEN, "b": OPEN, "c": CANNOT}
    assert said(estimate(a=(1, 0), labels=("a", "b"))) == {"a": OPEN, "b": OPEN, "c": NOT_ASSESSABLE}


def test_statements_depend_on_the_output_size() -> None:
    found = estimate(a=(1, 0), b=(1, 0))
    assert said(found, 1) == {"a": PARTLY, "b": PARTLY, "c": MISSED}
    assert said(found, 2) == {"a": LEARNED, "b": LEARNED, "c": MISSED}
    assert said(found, 3) == {"a": LEARNED, "b": LEARNED, "c": OPEN}
    assert said(estimate(a=(1, 0), tied=True), 1)["b"] == THROUGH_OTHERS
    assert said(estimate(), 1) == {"a": OPEN, "b": OPEN, "c": OPEN}


def test_thresholds_and_sizes_out_of_range_are_refused() -> None:
    found = estimate(a=(1, 0), n=50)
    with pytest.raises(ConfigError, match="encoding_size must be >= 1; got 0"):
        forecast(found, encoding_size=0)
    with pytest.raises(ConfigError, match=r"mentioned_at must be in \(0, 1\]; got 2"):
        forecast(found, encoding_size=1, mentioned_at=2)
    with pytest.raises(ConfigError, match=r"tolerance must be a probability in \[0, 1\]; got nan"):
        forecast(found, tolerance=float("nan"))


@pytest.mark.parametrize("rho", [0.05, 0.1, 0.4, 0.49, 0.9])
def test_of_two_factors_of_which_one_is_redrawn_at_all_one_output_learns_the_other_and_that_one_wholly(rho) -> None:
    assert said(estimate(a=(1, 0), b=(1, rho)), 1) == {"a": LEARNED, "b": IGNORED, "c": MISSED}


def test_below_the_size_of_the_block_a_factor_outside_it_is_not_learned_in_part() -> None:
    assert said(estimate(a=(1, 0), b=(1, 0), c=(1, 0.4)), 1) == {"a": PARTLY, "b": PARTLY, "c": IGNORED}


def test_below_the_size_of_the_block_factors_that_are_mentioned_unevenly_are_left_open() -> None:
    found = estimate(a=(1, 0), b=(0.7, 0))
    assert said(found, 1) == {"a": OPEN, "b": OPEN, "c": MISSED}
    assert "captions mention some of its factors more often" in reason(found, "a", 1)


def test_few_images_leave_a_factor_open_and_the_reason_says_how_many_would_settle_it() -> None:
    found = estimate(a=(1, 0), n=200)
    assert said(found, 1) == {"a": OPEN, "b": MISSED, "c": MISSED}  # in the block or not, a is far stronger than they
    assert reason(found, "a", 1) == (
        "its ρ is between 0 and 0.0381, which may be below or above 0.02; about 383 independent labelled images whose "
        "captions say no wrong value would settle it, and there are 200"
    )
    assert said(estimate(a=(1, 0), n=383), 1)["a"] == LEARNED
    assert said(estimate(a=(1, 0), n=381), 1)["a"] == OPEN


@pytest.mark.parametrize("values", [2, 3, 5, 97])
@pytest.mark.parametrize("tolerance", [0.001, 0.02, 0.3])
def test_as_many_images_as_are_said_to_be_needed_settle_it_and_fewer_do_not(values: int, tolerance: float) -> None:
    def high(n: int) -> float:
        return score_interval(0.0, 0.0, n, float(t.ppf(0.975, n - 1)))[1] / (1 - 1 / values)

    needed = images_needed(values, tolerance)
    assert high(needed) <= tolerance < high(needed - 2)


def test_what_may_be_in_the_block_leaves_open_what_depends_on_it() -> None:
    found = estimate(a=(1, 0), b=(1, 0), c=(1, 0.5), n=250)
    assert said(found, 2) == {"a": OPEN, "b": OPEN, "c": OPEN}
    assert reason(found, "c", 2) == "whether the unbiased block holds a, b is not determined"


def test_a_rate_near_the_threshold_leaves_open_what_depends_on_it() -> None:
    found = estimate(a=(1, 0), b=(0.5, 0))
    assert said(found, 1) == {"a": OPEN, "b": OPEN, "c": MISSED}
    assert said(found, 2) == {"a": LEARNED, "b": OPEN, "c": MISSED}  # b is far stronger than c, in the block or not
    assert said(found, 3)["c"] == OPEN
    assert reason(found, "b", 2).startswith("captions mention it at a rate between 0.4")
    assert said(found, 2, mentioned_at=0.3)["b"] == LEARNED


def test_what_is_never_mentioned_is_missed_as_long_as_others_can_fill_the_outputs() -> None:
    space = FactorSpace((Factor("kind", tuple(f"kind{k}" for k in range(9))), Factor("tone", ("dark", "light"))))
    rng = np.random.default_rng(0)
    labels = pd.DataFrame({name: rng.choice(space[name].values, 3_000) for name in space})
    found = estimate_misalignment(labels["kind"].tolist(), labels, lexicon_from_factors(space))
    assert [said(found, size)["tone"] for size in (1, 8, 9)] == [MISSED, MISSED, OPEN]
    assert "strength 0.0" in reason(found, "tone", 8)


def test_a_text_that_always_swaps_may_teach_the_factor_wholly_so_nothing_is_said_that_depends_on_it() -> None:
    found = estimate(a=(1, 0), b=(1, 0), swapped="b")
    assert said(found, 1) == {"a": OPEN, "b": OPEN, "c": MISSED}
    assert said(found, 2) == {"a": LEARNED, "b": OPEN, "c": OPEN}
    assert reason(found, "b", 2).startswith("captions say another value more often than a uniform redraw could")


def test_a_factor_of_one_value_takes_no_room() -> None:
    groups = Group("a", (Concept("a0"), Concept("a1"))), Group("b", (Concept("b0"),))
    shown = np.random.default_rng(0).integers(0, 2, 600)
    labels = pd.DataFrame({"a": [f"a{code}" for code in shown], "b": ["b0"] * 600})
    found = estimate_misalignment([f"a{code} b0" for code in shown], labels, Lexicon("x", groups))
    assert said(found, 1) == {"a": LEARNED, "b": OPEN}
    assert reason(found, "b", 1) == "one value leaves nothing to tell apart"
    assert found.to_misalignment().selected == {"a"}


def given_intervals(rows: list[tuple[float, float, float, float]]) -> BiasEstimate:
    """An estimate of which only intervals matter: selection and rho of each factor, from and to."""
    factors = pd.DataFrame(
        [
            {"factor": f"f{k}", "values": 3, "images": 100, "clusters": 100, "unlabelled": 0, "note": "",
             "selection": (a + b) / 2, "selection_low": a, "selection_high": b,
             "wrong_value": 0.0, "wrong_value_low": 0.0, "wrong_value_high": 1.0,
             "rho": (c + d) / 2, "rho_low": c, "rho_high": d}
            for k, (a, b, c, d) in enumerate(rows)
        ]
    )  # fmt: skip
    tables = pd.DataFrame(columns=["factor", "shown", "said", "captions"])
    dependence = pd.DataFrame(columns=["a", "b", "cramers_v", "p_value"])
    return BiasEstimate(factors=factors, values=pd.DataFrame(), tables=tables, dependence=dependence, rows=100)


intervals = st.tuples(*[st.sampled_from([0.0, 0.01, 0.02, 0.021, 0.3, 0.5, 0.51, 1.0])] * 4).map(
    lambda row: (*sorted(row[:2]), *sorted(row[2:]))
)


@given(st.lists(intervals, min_size=1, max_size=5), st.integers(1, 6))
def test_no_statement_contradicts_the_intervals_it_is_made_from(rows, size: int) -> None:
    for (low, high, rho_low, rho_high), statement in zip(rows, said(given_intervals(rows), size).values(), strict=True):
        if statement in (LEARNED, PARTLY):
            assert low >= 0.5
            assert rho_high <= TOLERANCE
        if statement == IGNORED:
            assert rho_low > TOLERANCE
        if statement == MISSED:
            assert high < 0.5


def true_statement(rows, factor: int, size: int) -> str:
    """What is said of a factor where every rate is known exactly."""
    exact = [(s, s, r, r) for s, r in rows]
    return said(given_intervals(exact), size)[f"f{factor}"]


@given(st.lists(intervals, min_size=1, max_size=4), st.integers(1, 5), st.data())
def test_a_statement_holds_for_every_truth_that_the_intervals_allow(rows, size: int, data) -> None:
    truth = [
        (data.draw(st.sampled_from([a, b, (a + b) / 2])), data.draw(st.sampled_from([c, d, (c + d) / 2])))
        for a, b, c, d in rows
    ]
    for factor, statement in enumerate(said(given_intervals(rows), size).values()):
        if statement not in (OPEN, PARTLY):
            assert true_statement(truth, factor, size) == statement


@given(st.lists(intervals, min_size=1, max_size=4), st.integers(1, 5), st.floats(0, 1))
def test_raising_rho_never_turns_a_factor_that_is_ignored_into_one_that_is_learned(rows, size, more) -> None:
    before = said(given_intervals(rows), size)["f0"]
    a, b, c, d = rows[0]
    after = said(given_intervals([(a, b, min(1, c + more), min(1, d + more)), *rows[1:]]), size)["f0"]
    if before in (IGNORED, MISSED):
        assert after not in (LEARNED, PARTLY)
    if before == IGNORED:
        assert after in (IGNORED, OPEN)

"""One measurement against one prediction."""

from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vergence.reports.compare import compare, listed, metric_name, number, outputs, relate, show, touching, words

SCORE = st.floats(-1, 1)
MAYBE = st.one_of(st.none(), st.just(nan), SCORE)


def record(value: object, low: object, high: object, predicted: object) -> dict[str, object]:
    return {"value": value, "low": low, "high": high, "predicted": predicted}


@given(st.lists(SCORE, min_size=3, max_size=3).map(sorted), SCORE)
def test_a_prediction_is_met_exactly_when_the_interval_holds_it(limits: list[float], predicted: float) -> None:
    low, value, high = limits
    status, relation = relate(record(value, low, high, predicted))
    assert (status == "agrees") == (low <= predicted <= high)
    assert relation == (
        "below the prediction" if high < predicted else "above the prediction" if low > predicted else "as predicted"
    )


@given(MAYBE, MAYBE, MAYBE, st.one_of(MAYBE, st.just("size-dependent")))
def test_no_verdict_is_given_on_missing_numbers(value: object, low: object, high: object, predicted: object) -> None:
    status, phrase = compare(record(value, low, high, predicted))
    numbers = [number(item) is not None for item in (value, predicted, low, high)]
    assert (status in ("agrees", "disagrees")) == all(numbers)
    assert (status == "silent") == (numbers[:2] == [True, False])
    assert "nan" not in phrase
    assert "None" not in phrase


@given(SCORE, SCORE, SCORE, SCORE)
def test_touching_does_not_depend_on_the_order(a: float, b: float, c: float, d: float) -> None:
    one, other = record(a, min(a, b), max(a, b), None), record(c, min(c, d), max(c, d), None)
    assert touching(one, other) == touching(other, one)
    assert touching(one, one)


def test_intervals_that_share_a_limit_touch() -> None:
    assert touching(record(0.2, 0.1, 0.3, None), record(0.4, 0.3, 0.5, None)) is True
    assert touching(record(0.2, 0.1, 0.3, None), record(0.5, 0.31, 0.6, None)) is False
    assert touching(record(0.2, None, 0.3, None), record(0.5, 0.31, 0.6, None)) is None


@pytest.mark.parametrize("value", [None, nan, inf, -inf, "size-dependent", True, [0.5]])
def test_what_is_no_finite_number_is_missing(value: object) -> None:
    assert number(value) is None


@pytest.mark.parametrize(
    ("value", "text"), [(0.8, "0.80"), (-0.001, "0.00"), (-0.25, "−0.25"), (1, "1.00"), (None, "–")]
)
def test_scores_are_shown_with_two_decimals(value: float | None, text: str) -> None:
    assert show(value) == text


def test_names_and_lists_read_as_prose() -> None:
    assert words("skin_tone") == "skin tone"
    assert metric_name("matthews_corrcoef") == "Matthews correlation"
    assert metric_name("some_score") == "some score"
    assert (outputs(1), outputs(16)) == ("1 output", "16 outputs")
    assert [listed(list("abc")[:n]) for n in range(4)] == ["", "a", "a and b", "a, b and c"]

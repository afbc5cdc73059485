"""Strengths, bounds with their reasons, and what a measurement makes of them."""

from math import isnan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vergence import Factor, FactorSpace, Misalignment
from vergence.channels import AdditiveNoise
from vergence.errors import ConfigError, FactorError
from vergence.theory import Measured, Outcome, judge, predict, spectrum

NAMES = tuple("abcdef")
SPACE = FactorSpace(tuple(Factor(name) for name in NAMES))
SIZE = FactorSpace((Factor("size", ("small", "big", "huge")),))


@st.composite
def misalignments(draw: st.DrawFn) -> Misalignment:
    selected = draw(st.sets(st.sampled_from(NAMES)))
    wrong = draw(st.sets(st.sampled_from(sorted(selected)))) if selected else set()
    redraw = {name: draw(st.floats(0, 1)) for name in wrong}
    return Misalignment.of_rates({name: draw(st.sampled_from([1.0, 0.3])) for name in selected}, redraw=redraw)


@given(misalignments(), st.integers(1, 12), st.lists(st.floats(0, 1), min_size=6, max_size=6))
def test_at_the_size_of_the_block_everything_is_determined(bias: Misalignment, n: int, told: list[float]) -> None:
    oracle = dict(zip(NAMES, told, strict=True))
    block = {name for name in NAMES if bias.mention.get(name) == 1.0 and name not in bias.channels}
    for name, one in predict(SPACE, bias, encoding_size=n, oracle=oracle).items():
        assert one.low <= one.high
        assert one.reason
        if name in block:
            assert (one.low, one.high) == ((1, 1) if n >= len(block) else (0, 1))
        elif n == len(block):
            assert one.low == one.high == one.expected == oracle[name]
        elif n < len(block):
            assert (one.low, one.high) == (0, oracle[name])
        else:
            assert one.low >= oracle[name]  # the block stays, and tells what it tells


@given(misalignments(), st.integers(1, 12), st.floats(0, 0.5), st.floats(0.5, 1))
def test_bounds_hold_their_expectation_and_lie_on_the_scale(bias, n, floor, ceiling) -> None:
    ends = (dict.fromkeys(NAMES, end) for end in (floor, ceiling))
    for one in predict(SPACE, bias, encoding_size=n, **dict(zip(("floor", "ceiling"), ends, strict=True))).values():
        assert one.low <= one.high
        if one.expected is not None and ceiling > floor:
            assert min(0, one.low) <= one.expected <= one.high


def test_what_is_never_mentioned_keeps_no_more_than_an_untrained_encoder_while_others_can_fill_the_outputs() -> None:
    space = FactorSpace((Factor("kind", tuple("abcdefghij")), Factor("tone", ("dark", "light"))))
    scale = {"floor": {"kind": 0.1, "tone": Measured(0.3, 0.2, 0.4)}, "ceiling": {"kind": 0.5, "tone": 0.9}}
    for n, open_ in ((1, False), (9, False), (10, True)):
        one = predict(space, Misalignment({"kind"}), encoding_size=n, oracle={"tone": 0.0}, **scale)["tone"]
        assert one.is_open == open_
        assert one.high == (1.0 if open_ else 0.4)
        assert judge(one, Measured(0.14, 0.1, 0.2)) == (Outcome.OPEN if open_ else Outcome.AGREES)
        assert judge(one, Measured(0.8, 0.7, 0.9)) == (Outcome.OPEN if open_ else Outcome.ABOVE)


def test_what_is_always_said_rightly_reaches_the_ceiling() -> None:
    space = FactorSpace((Factor("tone", ("dark", "light")),))
    one = predict(
        space, Misalignment({"tone"}), encoding_size=4, floor={"tone": 0.25}, ceiling={"tone": Measured(0.87, 0.8, 0.9)}
    )["tone"]
    assert judge(one, Measured(0.81, 0.74, 0.87)) is Outcome.AGREES
    assert judge(one, Measured(0.55, 0.5, 0.6)) is Outcome.BELOW
    assert judge(one, {"value": 0.95}) is Outcome.AGREES
    assert one.position(0.56) == pytest.approx(0.5)


def test_a_spare_output_brings_back_one_of_the_equally_weak() -> None:
    noise = AdditiveNoise(0.75)
    bias = Misalignment(NAMES, {"d", "e", "f"}, channel=noise)
    expected = [predict(SPACE, bias, encoding_size=n)["d"].expected for n in (3, 4, 5, 6, 9)]
    assert expected == pytest.approx([0, 1 / 3, 2 / 3, 1, 1])
    kept = predict(SPACE, bias, encoding_size=6)["d"]
    sigma = spectrum(bias, SPACE).set_index("factors")["strength"][("d",)]
    assert kept.low == pytest.approx(sigma**2)
    assert sigma**2 > 1 / 1.75  # what a linear reading tells
    assert not kept.proved


def test_a_bottleneck_removes_what_is_weaker_than_its_threshold() -> None:
    bias = Misalignment.of_rates({"a": 1.0, "b": 0.25})
    weak = predict(SPACE, bias, encoding_size=2)["b"]
    cut = predict(SPACE, bias, encoding_size=2, bottleneck=1.0, temperature=1.0)["b"]  # threshold 1/2
    assert weak.expected == 1.0
    assert cut.expected == 0.0
    assert cut.is_open  # a share of the variance is not what a probe can read
    assert "the bottleneck takes its share" in cut.reason
    assert predict(SPACE, bias, encoding_size=2, bottleneck=0.9, temperature=1.0)["b"] == weak


def test_intervals_of_strengths_widen_bounds_to_all_that_they_allow() -> None:
    exact = spectrum(Misalignment.of_rates({"a": 1.0, "b": 0.64}), FactorSpace((Factor("a"), Factor("b"))))
    space, unsure = FactorSpace((Factor("a"), Factor("b"))), exact.assign(low=[1.0, 0.5], high=[1.0, 1.0])
    assert predict(space, exact, encoding_size=2) == predict(
        space, Misalignment.of_rates({"a": 1.0, "b": 0.64}), encoding_size=2
    )
    for n in (1, 2, 3):
        wide = predict(space, unsure, encoding_size=n)
        for sigma in (0.5, 0.7, 1.0):
            rows = exact.assign(strength=[1.0, sigma], low=[1.0, sigma], high=[1.0, sigma])
            for name, one in predict(space, rows, encoding_size=n).items():
                assert wide[name].low <= one.low + 1e-12
                assert wide[name].high >= one.high - 1e-12
    assert "several cases" in predict(space, unsure, encoding_size=2)["b"].reason


def test_an_oracle_may_depend_on_the_block_that_intervals_leave_open() -> None:
    space = FactorSpace((Factor("a"), Factor("b"), Factor("c")))
    table = spectrum(Misalignment.of_rates({"a": 1.0, "b": 0.5}), space)
    table.loc[table["factors"] == ("b",), "high"] = 1.0
    said = predict(space, table, encoding_size=1, oracle=lambda block: {"c": 0.1 * len(block), "b": 0.3})
    assert (said["c"].low, said["c"].high) == (0.0, pytest.approx(0.2))


def test_where_labels_teach_no_more_than_nothing_does_nothing_can_be_seen() -> None:
    one = predict(SIZE, Misalignment({"size"}), encoding_size=1, floor={"size": 0.3}, ceiling={"size": 0.2})["size"]
    assert one.is_open
    assert "nothing can be seen" in one.reason
    assert isnan(one.position(0.3))


def test_a_prediction_reads_as_bounds_and_a_reason() -> None:
    said = {name: str(one) for name, one in predict(SPACE, Misalignment({"a"}), encoding_size=2).items()}
    assert said["a"].startswith("1.00: captions always mention it")
    assert said["b"].startswith("0.00 to 1.00: captions teach nothing of it")


@pytest.mark.parametrize("nothing", [None, float("nan"), {"value": None}, Measured(float("nan"))])
def test_what_is_not_measured_is_not_judged(nothing) -> None:
    said = predict(SIZE, Misalignment({"size"}), encoding_size=1)["size"]
    assert judge(said, nothing) is Outcome.UNMEASURED


@given(st.floats(0, 1), st.floats(0, 0.5))
def test_a_margin_widens_the_bounds_and_nothing_else(value: float, margin: float) -> None:
    said = predict(SIZE, Misalignment({"size"}), encoding_size=1)["size"]
    assert (judge(said, value, margin=margin) is Outcome.AGREES) == (value + margin >= 1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: predict(SPACE, Misalignment({"a"}), encoding_size=0), "encoding_size must be >= 1; got 0"),
        (lambda: predict(SPACE, Misalignment({"z"}), encoding_size=1), "unknown factor 'z'; known: a, b, c, d, e, f"),
        (
            lambda: predict(SPACE, Misalignment({"a"}), encoding_size=1, oracle={"b": 0.0}),
            "the oracle lacks 'c', a factor outside the block; pass what oracle_scores returns",
        ),
        (
            lambda: predict(SIZE, Misalignment({"size"}), encoding_size=1, floor={}),
            "the floor lacks 'size'; it is known of: nothing",
        ),
        (
            lambda: predict(SIZE, Misalignment({"size"}), encoding_size=1, ceiling={"size": float("nan")}),
            "ceiling of factor 'size' must be a finite score; got nan",
        ),
        (
            lambda: predict(SIZE, Misalignment({"size"}), encoding_size=1, bottleneck=0.5),
            "relative to the temperature; pass temperature=",
        ),
        (lambda: predict(SIZE, Misalignment({"size"}), encoding_size=1, bottleneck=-1), "bottleneck must be .* >= 0"),
        (
            lambda: judge(predict(SIZE, Misalignment({"size"}), encoding_size=1)["size"], 1.0, margin=-1),
            "margin must be",
        ),
        (
            lambda: predict(SPACE, spectrum(Misalignment({"size"}), SIZE), encoding_size=1),
            "the spectrum lacks 'a'; it has: size",
        ),
        (lambda: Measured(0.5, 0.7, 0.6), "an interval needs its lower end first"),
        (
            lambda: judge(predict(SIZE, Misalignment({"size"}), encoding_size=1)["size"], {"low": 1}),
            "needs a value",
        ),
    ],
)
def test_impossible_predictions_are_refused(call, message: str) -> None:
    with pytest.raises((ConfigError, FactorError), match=message):
        call()

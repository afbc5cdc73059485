"""`Misalignment` and the nested sweeps."""

import pickle

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vergence import Factor, FactorSpace, Misalignment
from vergence.channels import Redraw, Table
from vergence.errors import FactorError, VergenceError
from vergence.misalignment import perturbation_sweep, selection_sweep

NAMES = tuple("abcdef")
SPACE = FactorSpace(tuple(Factor(name) for name in NAMES))


@st.composite
def misalignments(draw: st.DrawFn) -> Misalignment:
    selected = draw(st.sets(st.sampled_from(NAMES), min_size=1))
    kept = draw(st.sampled_from(sorted(selected)))
    return Misalignment(selected, draw(st.sets(st.sampled_from(sorted(selected)))) - {kept})


@given(misalignments())
def test_omitted_perturbed_and_unbiased_partition_the_factors(bias: Misalignment) -> None:
    parts = [bias.omitted(SPACE), bias.perturbed, bias.unbiased]
    assert frozenset().union(*parts) == frozenset(NAMES)
    assert sum(map(len, parts)) == len(NAMES)
    assert bias.unbiased


@given(st.permutations(NAMES))
def test_sweeps_are_nested_and_follow_the_order(order: list[str]) -> None:
    selections, perturbations = selection_sweep(SPACE, order=order), perturbation_sweep(SPACE, order=order)
    assert [bias.selected for bias in selections] == [frozenset(order[:k]) for k in range(1, 7)]
    assert [bias.perturbed for bias in perturbations] == [frozenset(order[:k]) for k in range(6)]
    assert {bias.selected for bias in perturbations} == {frozenset(NAMES)}


def test_perturbation_starts_from_the_last_factor_by_default() -> None:
    assert perturbation_sweep(SPACE)[2].perturbed == {"e", "f"}


def test_any_iterable_of_names_gives_the_same_value() -> None:
    assert Misalignment(["a", "b"], ["b"]) == Misalignment({"b", "a"}, frozenset("b"))
    assert len({Misalignment({"a"}), Misalignment(("a",))}) == 1


@given(st.dictionaries(st.sampled_from(NAMES), st.floats(0, 1)), st.data())
def test_rates_of_nothing_and_of_everything_are_the_crisp_sets(mention: dict[str, float], data: st.DataObject) -> None:
    wrong = data.draw(st.sets(st.sampled_from(sorted(mention)))) if mention else set()
    bias = Misalignment.of_rates(mention, redraw=dict.fromkeys(wrong, 0.5))
    assert bias.selected == {name for name, rate in mention.items() if rate > 0}
    assert bias.perturbed == wrong & bias.selected
    assert bias.graded == {name for name in bias.selected if mention[name] < 1}
    assert bias.omitted(SPACE) == set(NAMES) - bias.selected
    assert pickle.loads(pickle.dumps(bias)) == bias
    assert eval(repr(bias), {"Misalignment": Misalignment, "Redraw": Redraw}) == bias


def test_a_crisp_misalignment_is_one_of_rates() -> None:
    assert Misalignment({"a", "b"}) == Misalignment.of_rates({"a": 1, "b": 1.0, "c": 0})
    crisp = Misalignment({"a", "b"}, {"b"}, channel=Redraw(0.9))
    assert crisp == Misalignment.of_rates({"a": 1.0, "b": 1.0}, redraw={"b": 0.9})
    assert Misalignment({"a", "b"}, {"b"}) != crisp
    assert Misalignment.of_rates({"a": 1.0}, redraw={"a": 0.0}) == Misalignment({"a"})


def test_a_table_may_name_its_values_in_any_order() -> None:
    size = Factor("size", ("small", "big"))
    named = pd.DataFrame({"big": [0.1, 0.9], "small": [0.8, 0.2]}, index=["small", "big"])
    assert Table(named).table(size) == ((0.8, 0.1), (0.2, 0.9))
    assert Table(named).table(size) == Table([[0.8, 0.1], [0.2, 0.9]]).table(size)
    assert Table([[1, 0], [0, 1]]).is_exact
    Misalignment.of_rates({"size": 1.0}, channels={"size": named}).check(FactorSpace((size,)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Misalignment.of_rates({"a": 1.2}),
            r"mention of factor 'a' must be a probability in .*; got 1.2",
        ),
        (lambda: Misalignment.of_rates({"a": -0.1}), "mention of factor 'a' must be a probability"),
        (lambda: Misalignment.of_rates({"a": float("nan")}), "mention of factor 'a' must be a probability"),
        (lambda: Misalignment.of_rates({"a": "often"}), "mention of factor 'a' must be a probability"),
        (lambda: Misalignment.of_rates({"a": (0.5, 2)}), "mention of factor 'a' must be a probability"),
        (lambda: Misalignment.of_rates({"a": ()}), "must be a number, one per value, or a function"),
        (lambda: Misalignment.of_rates({"a": 1}, redraw={"a": 1.5}), "redraw of factor 'a' must be a probability"),
        (
            lambda: Misalignment.of_rates({"a": 1}, redraw={"aa": 0.5}),
            "unknown redraw of factor 'aa'; known: a",
        ),
        (lambda: Misalignment.of_rates({"a": 1}, channels={"b": Redraw()}), "never mentioned"),
        (
            lambda: Misalignment.of_rates({"a": 1}, redraw={"a": 0.5}, channels={"a": Redraw()}),
            "has a redraw and a chann",
        ),
        (lambda: Table([[0.5, 0.5], [0.2, 0.8]]), "each column .* must sum to 1; got 0.7, 1.3. Its rows do: transpose"),
        (lambda: Table([[0.5, 0.4], [0.2, 0.8]]), "each column .* must sum to 1; got 0.7, 1.2$"),
        (lambda: Table([[1.5, 0], [-0.5, 1]]), "must be probabilities in"),
        (lambda: Table([[float("nan"), 0], [0.5, 1]]), "must be probabilities in"),
        (lambda: Table([[1.0, 0.0]]), "must be square"),
        (lambda: Table([[1.0]]), "must be square"),
        (lambda: Table("ab"), "must be rows of numbers"),
        (lambda: Table([[1, 0], [0, 1]], ["a"]), "of 2 values needs as many names"),
        (lambda: Table(pd.DataFrame([[1, 0], [0, 1]], ["a", "b"], ["a", "c"])), "must be the same values"),
        (lambda: Misalignment({"a", "b"}, {"b"}, channel=Redraw(0.0)), "must change something"),
        (lambda: Misalignment.of_rates({"z": 0.5}).omitted(SPACE), "unknown factor 'z'; known: a, b"),
        (lambda: Misalignment.of_rates({"a": (0.5, 1)}).check(SPACE), "one probability per value; got 2 for 0 values"),
        (
            lambda: Misalignment.of_rates({"a": 1}, channels={"a": [[1, 1], [0, 0]]}).check(SPACE),
            "continuous: no table",
        ),
    ],
)
def test_impossible_rates_and_channels_are_refused(make, message: str) -> None:
    with pytest.raises(VergenceError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Misalignment(()), "selected must name at least one factor"),
        (lambda: Misalignment("tone"), "selected must be a set of factor names; got the string 'tone'"),
        (lambda: Misalignment(["a", "a"]), "selected must name each factor once; repeated: 'a'"),
        (
            lambda: Misalignment({"color"}, {"colour"}),
            "unknown perturbed factor 'colour'; known: color. Did you mean 'color'",
        ),
        (lambda: Misalignment({"a", "b"}, {"a", "b"}), "perturbed must leave at least one selected factor intact"),
        (lambda: Misalignment({"g"}).omitted(SPACE), "unknown factor 'g'; known: a, b, c, d, e, f"),
        (lambda: selection_sweep(SPACE, order=["a"]), "order must name each factor once; got a; factors: a, b"),
        (lambda: perturbation_sweep(SPACE, order=[*NAMES, "a"]), "order must name each factor once"),
    ],
)
def test_contradictions_are_refused_by_name(make, message: str) -> None:
    with pytest.raises(FactorError, match=message):
        make()

"""`Misalignment` and the nested sweeps."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vergence import Factor, FactorSpace, Misalignment
from vergence.errors import FactorError
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

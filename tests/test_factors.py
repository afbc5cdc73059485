"""`Factor` and `FactorSpace`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vergence import Factor, FactorSpace
from vergence.errors import FactorError

names = st.lists(st.text(min_size=1).filter(str.strip), min_size=1, max_size=6, unique=True)


@given(names)
def test_space_is_an_ordered_mapping_by_name(names: list[str]) -> None:
    space = FactorSpace(tuple(Factor(name) for name in names))
    assert list(space) == list(space.names) == names
    assert [space[name].name for name in names] == names
    assert len(space) == len(names)


@given(st.lists(st.text(), min_size=2, max_size=6, unique=True))
def test_index_inverts_values(values: list[str]) -> None:
    factor = Factor("factor", tuple(values))
    assert [values[factor.index(value)] for value in values] == values


def test_a_factor_without_values_is_continuous() -> None:
    assert Factor("hue").is_continuous
    assert not Factor("size", ("small", "large")).is_continuous


def test_unknown_factor_names_the_known_ones_and_the_nearest() -> None:
    space = FactorSpace((Factor("shape"), Factor("color")))
    with pytest.raises(FactorError, match=r"^unknown factor 'colour'; known: shape, color. Did you mean 'color'\?$"):
        space["colour"]
    with pytest.raises(FactorError, match=r"unknown factor 'zzz'; known: shape, color$"):
        space.subset(["zzz"])


def test_subset_keeps_the_order_of_the_space() -> None:
    space = FactorSpace((Factor("a"), Factor("b"), Factor("c")))
    assert space.subset(["c", "a"]).names == ("a", "c")


def test_unknown_value_names_the_known_ones() -> None:
    with pytest.raises(
        FactorError, match=r"unknown value of factor 'size' 'larg'; known: small, large. Did you mean 'large'"
    ):
        Factor("size", ("small", "large")).index("larg")
    with pytest.raises(FactorError, match="factor 'hue' is continuous"):
        Factor("hue").index("red")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Factor(" "), "a factor needs a name; got ' '"),
        (lambda: Factor("size", ("small",)), "factor 'size' needs at least two values"),
        (lambda: Factor("size", ("a", "a")), "each value of factor 'size' must be unique; repeated: 'a'"),
        (lambda: FactorSpace(()), "a FactorSpace needs at least one factor"),
        (lambda: FactorSpace((Factor("a"), Factor("a"))), "each factor must be unique; repeated: 'a'"),
    ],
)
def test_contradictory_factors_are_refused(make, message: str) -> None:
    with pytest.raises(FactorError, match=message):
        make()


def test_factors_and_spaces_are_values() -> None:
    one, other = (FactorSpace((Factor("a"), Factor("b", ("x", "y")))) for _ in range(2))
    assert one == other
    assert len({one, other}) == 1

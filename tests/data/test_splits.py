"""`split_by_concept`: a test concept is new, shares are kept, randomness is the caller's."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from vergence.data import split_by_concept
from vergence.errors import ConfigError, ShapeError

HALVES = {"train": 0.5, "test": 0.5}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def split_or_discard(
    concepts: Sequence[int], fractions: dict[str, float], seed: int, strata: Sequence[int] | None = None
) -> dict[str, np.ndarray]:
    """Discards the examples that have too few concepts, which is not what is tested here."""
    try:
        return split_by_concept(concepts, fractions, generator=seeded(seed), strata=strata)
    except ConfigError as error:
        assume("got none" not in str(error))
        raise


items = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 3)), min_size=5, max_size=80)
fractions = st.lists(st.integers(1, 9), min_size=1, max_size=4).map(
    lambda weights: {f"split {k}": weight / sum(weights) for k, weight in enumerate(weights)}
)


@given(items, fractions, st.integers(0, 1000))
def test_each_row_is_in_one_split_and_so_is_each_concept(
    items: list[tuple[int, int]], fractions: dict[str, float], seed: int
) -> None:
    concepts = [concept for concept, _ in items]
    splits = split_or_discard(concepts, fractions, seed, strata=[stratum for _, stratum in items])
    assert sorted(np.concatenate(list(splits.values()))) == list(range(len(items)))
    sides = [{concepts[row] for row in rows} for rows in splits.values()]
    assert sum(map(len, sides)) == len(set(concepts))


@given(st.integers(10, 200), fractions, st.integers(0, 1000))
def test_every_stratum_keeps_the_shares_to_within_one_concept(
    size: int, fractions: dict[str, float], seed: int
) -> None:
    strata = np.repeat(["a", "b"], size)
    splits = split_or_discard(range(2 * size), fractions, seed, strata=strata)
    for name, rows in splits.items():
        for stratum in "ab":
            assert abs(np.sum(strata[rows] == stratum) - fractions[name] * size) <= 1 + 1e-9


def test_every_concept_is_equally_likely_to_be_tested() -> None:
    generator, n_draws = seeded(), 1000
    draws = [split_by_concept(range(7), {"train": 0.7, "test": 0.3}, generator=generator) for _ in range(n_draws)]
    counts = np.bincount(np.concatenate([draw["test"] for draw in draws]), minlength=7)
    standard_error = np.sqrt(0.3 * 0.7 / n_draws)
    np.testing.assert_allclose(counts / n_draws, 0.3, atol=4.5 * standard_error)


def test_the_same_generator_state_gives_the_same_splits() -> None:
    first, again, other = (split_by_concept(range(50), HALVES, generator=seeded(seed)) for seed in (0, 0, 1))
    assert first["test"].tolist() == again["test"].tolist()
    assert first["test"].tolist() != other["test"].tolist()


def test_a_concept_of_two_strata_counts_to_that_of_its_first_item() -> None:
    splits = split_by_concept(["x", "y", "x"], HALVES, generator=seeded(), strata=["a", "a", "b"])
    assert sorted(rows.tolist() for rows in splits.values()) == [[0, 2], [1]]


@pytest.mark.parametrize(
    ("fractions", "message"),
    [
        ({"train": 0.7, "test": 0.2}, r"fractions must sum to 1; got .*, which sum to 0\.9"),
        ({}, "fractions must sum to 1; got {}"),
        ({"train": 1.0, "test": 0.0}, r"fractions\['test'\] must be a finite number > 0; got 0\.0"),
        ({"train": 1.5, "test": -0.5}, r"fractions\['test'\] must be a finite number > 0; got -0\.5"),
    ],
)
def test_fractions_that_are_no_shares_are_refused(fractions: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        split_by_concept(range(10), fractions, generator=seeded())


def test_an_empty_split_is_refused_with_its_name() -> None:
    with pytest.raises(ConfigError, match=r"split '\w+' got none of 1 concepts; give it a larger fraction than 0\.5"):
        split_by_concept(["only"], HALVES, generator=seeded())


def test_strata_must_match_the_items() -> None:
    with pytest.raises(ShapeError, match="strata must name a class for each item; got 1 for 2 items"):
        split_by_concept(["a", "b"], HALVES, generator=seeded(), strata=["x"])

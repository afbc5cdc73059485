"""`split_by_concept`: a test concept is new, shares are kept, randomness is the caller's."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from vergence.data import split_by_concept
from vergence.data.clusters import link
from vergence.errors import ConfigError, CorpusError, ShapeError
from vergence.splits import hold_out, read_split, write_split

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


@given(st.lists(st.integers(0, 8), min_size=2, max_size=40), st.floats(0.001, 0.999), st.integers(0, 1000))
def test_held_out_clusters_are_whole_and_both_sides_have_one(clusters: list[int], share: float, seed: int) -> None:
    assume(len(set(clusters)) > 1)
    kept, held_out = hold_out(clusters, share, generator=seeded(seed))
    assert sorted([*kept, *held_out]) == list(range(len(clusters)))
    sides = {clusters[row] for row in kept}, {clusters[row] for row in held_out}
    assert all(sides)
    assert sides[0].isdisjoint(sides[1])
    n = len(set(clusters))
    assert abs(len(sides[1]) - min(max(share * n, 1), n - 1)) < 1 + 1e-9


@pytest.mark.parametrize("share", [0, 1, -0.5, float("nan"), float("inf")])
def test_a_share_to_hold_out_lies_between_nothing_and_all(share: float) -> None:
    with pytest.raises(ConfigError, match="a share to hold out must be above 0 and below 1; got"):
        hold_out("ab", share, generator=seeded())


def test_of_one_cluster_nothing_can_be_held_out() -> None:
    with pytest.raises(ConfigError, match="all 3 rows are of one cluster, so none can be held out; at least two"):
        hold_out("aaa", 0.5, generator=seeded())


@given(st.lists(st.tuples(*[st.none() | st.integers(0, 9)] * 2), min_size=1, max_size=30))
def test_linked_rows_are_those_that_a_chain_of_equal_values_joins(rows: list[tuple[int | None, int | None]]) -> None:
    found = link(*map(list, zip(*rows, strict=True))).tolist()
    reached = np.eye(len(rows), dtype=bool)
    for i, one in enumerate(rows):
        for j, other in enumerate(rows):
            reached[i, j] |= any(a is not None and a == b for a, b in zip(one, other, strict=True))
    for k in range(len(rows)):
        reached |= np.outer(reached[:, k], reached[k])
    assert (np.equal.outer(found, found) == reached).all()
    assert list(dict.fromkeys(found)) == list(range(len(set(found))))


def test_a_split_is_read_back_from_its_folder_and_nothing_else_is_taken_for_one(tmp_path: Path) -> None:
    rows = pd.DataFrame(
        {
            "row": [0, 5],
            "key": ["a", None],
            "image": ["00ff", None],
            "cluster": ["0", None],
            "side": ["held_out", "skipped"],
            "reason": [None, "no image"],
        }
    )
    write_split(tmp_path / "split.parquet", rows)
    assert read_split(tmp_path).to_pylist() == rows.astype(object).where(rows.notna(), None).to_dict("records")
    assert read_split(tmp_path / "split.parquet").equals(read_split(tmp_path))
    rows.assign(side="test").to_parquet(tmp_path / "split.parquet")
    with pytest.raises(CorpusError, match="unknown side 'test'; known: fit, held_out, skipped"):
        read_split(tmp_path)
    rows.assign(key=[["a"], ["b"]]).to_parquet(tmp_path / "split.parquet")
    with pytest.raises(CorpusError, match="is no split of a run: "):
        read_split(tmp_path)
    rows[["row", "key"]].to_parquet(tmp_path / "split.parquet")
    with pytest.raises(CorpusError, match="is no split of a run: it lacks image, cluster, side, reason"):
        read_split(tmp_path)
    with pytest.raises(CorpusError, match="does not exist"):
        read_split(tmp_path / "other")

"""Splitting generators."""

from typing import Any

import numpy as np
import pytest
import torch

from vergence.errors import ConfigError
from vergence.random import generator, named, spawn


def test_children_depend_on_the_parent_alone() -> None:
    first, second = ([torch.rand(4, generator=g) for g in spawn(generator(3), 2)] for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_children_differ_from_each_other_and_from_the_next_split() -> None:
    parent = generator(0)
    draws = [float(torch.rand((), generator=g)) for g in (*spawn(parent, 3), *spawn(parent, 3))]
    assert len(set(draws)) == 6


def test_using_a_child_leaves_the_parent_alone() -> None:
    parents = [generator(0), generator(0)]
    children = [spawn(parent, 1)[0] for parent in parents]
    torch.rand(1000, generator=children[0])
    assert torch.equal(torch.rand(3, generator=parents[0]), torch.rand(3, generator=parents[1]))


def test_a_name_has_its_own_stream() -> None:
    assert named(0, "a", 1).initial_seed() == named(0, "a", 1).initial_seed()
    assert len({named(seed, name).initial_seed() for seed in (0, 1) for name in ("a", "b")}) == 4


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ConfigError, match="n must be >= 1; got 0"):
        spawn(generator(0), 0)


@pytest.mark.parametrize(
    "seed",
    [-1, 2**63, 12345678901234567890123, pytest.param(10**5000, id="5,001 digits"), 1.0, True, "3", None, np.int64(3)],
)
@pytest.mark.parametrize("make", [generator, named])
def test_a_seed_outside_its_range_is_refused_in_one_line(make: Any, seed: Any) -> None:
    with pytest.raises(ConfigError, match=r"seed must be a whole number in \[0, 2\^63\); got ") as refused:
        getattr(make, "__wrapped__", make)(seed)  # without the hook, which would refuse the type first
    assert len(str(refused.value)) < 200


def test_the_largest_seed_is_taken() -> None:
    assert generator(2**63 - 1).initial_seed() == 2**63 - 1
    assert named(2**63 - 1, "part").initial_seed() < 2**63

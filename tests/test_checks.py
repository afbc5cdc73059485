"""Checks of arguments: each accepts its range, and names what it refuses."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from vergence import checks
from vergence.errors import ConfigError, FactorError, MissingExtraError, ShapeError, VergenceError


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_positive_refuses(value: float) -> None:
    with pytest.raises(ConfigError, match=r"rate must be a finite number > 0; got"):
        checks.positive("rate", value)


@pytest.mark.parametrize("value", [-1e-9, math.nan, math.inf])
def test_non_negative_refuses(value: float) -> None:
    with pytest.raises(ConfigError, match=r"weight must be a finite number >= 0; got"):
        checks.non_negative("weight", value)


@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan])
def test_probability_refuses(value: float) -> None:
    with pytest.raises(ConfigError, match=r"p must be a probability in \[0, 1\]; got"):
        checks.probability("p", value)


def test_at_least_refuses_what_is_too_small() -> None:
    with pytest.raises(ConfigError, match=r"size must be >= 2 \(a pair\); got 1"):
        checks.at_least("size", 1, 2, why="a pair")


@pytest.mark.parametrize("value", [2.0, 3.5, True, "3", None, [3], np.int64(3), np.float64(3), math.nan])
def test_at_least_refuses_what_is_no_whole_number(value: Any) -> None:
    with pytest.raises(ConfigError, match=r"size must be a whole number >= 2 \(a pair\); got") as refused:
        checks.at_least("size", value, 2, why="a pair")
    assert ("pass int(size)" in str(refused.value)) == isinstance(value, np.integer)


@pytest.mark.parametrize("value", ["0.5", None, True, 1j, [0.5], np.ones(2), 10**400])
@pytest.mark.parametrize("check", [checks.positive, checks.non_negative, checks.probability])
def test_what_is_no_finite_number_is_refused_in_one_line(check: Callable[..., None], value: Any) -> None:
    with pytest.raises(ConfigError, match=r"rate must be a (finite number|probability).*; got") as refused:
        check("rate", value)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize("value", [0.5, 1, np.float32(0.5), np.float64(1), np.int64(1)])
def test_numbers_of_numpy_are_numbers(value: Any) -> None:
    for check in (checks.positive, checks.non_negative, checks.probability):
        check("rate", value)


def test_a_name_that_is_no_text_is_unknown() -> None:
    with pytest.raises(ConfigError, match=r"unknown policy \['omit'\]; known: omit"):
        checks.one_of("policy", ["omit"], ["omit"])


def test_bounds_are_included() -> None:
    checks.positive("rate", 1e-12)
    checks.non_negative("weight", 0.0)
    checks.probability("p", 0)
    checks.probability("p", 1.0)
    checks.at_least("size", 2, 2)
    checks.one_of("policy", "omit", ["omit"])


def test_names_outside_a_set_are_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"unknown policy 'omits'; known: omit, faithful. Did you mean 'omit'\?"):
        checks.one_of("policy", "omits", ["omit", "faithful"])
    with pytest.raises(FactorError, match="unknown factor 'x'; known: a"):
        checks.known_factors(["a", "x"], ["a"])


def test_shapes_and_values_of_tensors() -> None:
    checks.same_shape(a=torch.zeros(2, 3), b=torch.zeros(2, 3))
    checks.finite(a=torch.zeros(2))
    with pytest.raises(ShapeError, match=r"shapes differ: a \(2,\), b \(3,\)"):
        checks.same_shape(a=torch.zeros(2), b=torch.zeros(3))
    with pytest.raises(ShapeError, match="z holds 2 entries that are NaN or infinite, of 3"):
        checks.finite(z=torch.tensor([1.0, math.nan, math.inf]))


def test_a_missing_extra_names_the_install_line() -> None:
    error = MissingExtraError("ray", extra="ray")
    assert isinstance(error, VergenceError)
    assert "pip install 'vergence[ray]'" in str(error)

"""Checks of arguments: each accepts its range, and names what it refuses."""

import math

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


@pytest.mark.parametrize("value", [1, 2.0, True])
def test_at_least_refuses_small_and_fractional(value: float) -> None:
    with pytest.raises(ConfigError, match=r"size must be >= 2 \(a pair\); got"):
        checks.at_least("size", value, 2, why="a pair")


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

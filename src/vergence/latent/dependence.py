"""How semantic variables depend on each other: not at all, as a Gaussian, or (see `structural`) along a causal graph.

A draw is a matrix with one column per factor, in the order of the space. A continuous factor is a real number; a
discrete one is the position of its value, written as a float, so that one tensor holds both.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isclose

import torch
from jaxtyping import Float
from torch import Tensor

from vergence.checks import at_least, finite, known_factors, one_of, positive_definite, probability
from vergence.errors import ConfigError, FactorError, ShapeError
from vergence.factors import Factor, FactorSpace


class Dependence(ABC):
    """The joint distribution of the semantic variables."""

    @abstractmethod
    def sample(self, space: FactorSpace, n: int, *, generator: torch.Generator) -> Float[Tensor, "n factors"]:
        """Draw `n` items, one column per factor of the space, in the default float type."""

    def check(self, space: FactorSpace) -> None:  # noqa: B027  (most dependences fit every space)
        """Require this dependence to fit the space; raise a `VergenceError` if it does not."""

    def gaussian_covariance(self, space: FactorSpace) -> Float[Tensor, "factors factors"]:
        """Covariance in float64 of the factors that are jointly Gaussian, NaN in the rows and columns of all others.

        It makes the oracle closed-form where it reaches.
        """
        return torch.full((len(space), len(space)), torch.nan, dtype=torch.float64)


@dataclass(frozen=True)
class Independent(Dependence):
    """Variables that tell nothing about each other.

    Args:
        marginal: Of every continuous factor: "normal", mean 0 and variance 1, or "uniform" on [0, 1).
        probabilities: Of the values of discrete factors, by name; those not named are uniform.

    Raises:
        ConfigError: If the marginal is unknown, or probabilities are outside [0, 1] or do not sum to 1.

    Example:
        >>> from vergence.random import generator
        >>> space = FactorSpace((Factor("hue"), Factor("size", ("small", "large"))))
        >>> rare = Independent(probabilities={"size": (0.9, 0.1)})
        >>> round(rare.sample(space, 10_000, generator=generator(0))[:, 1].mean().item(), 1)
        0.1
    """

    marginal: str = "normal"
    probabilities: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        one_of("marginal", self.marginal, ("normal", "uniform"))
        for name, values in self.probabilities.items():
            for value in values:
                probability(f"each probability of factor {name!r}", value)
            if not isclose(sum(values), 1.0, abs_tol=1e-6):
                raise ConfigError(f"probabilities of factor {name!r} must sum to 1; got {values!r}, sum {sum(values)}")

    def check(self, space: FactorSpace) -> None:
        """Require each given row of probabilities to fit a discrete factor of the space."""
        known_factors(self.probabilities, space.names)
        for name, row in self.probabilities.items():
            values = space[name].values
            if values is None or len(values) != len(row):
                raise FactorError(
                    f"probabilities of factor {name!r} must be one per value; got {len(row)} for "
                    f"{'a continuous factor' if values is None else f'{len(values)} values'}"
                )

    def sample(self, space: FactorSpace, n: int, *, generator: torch.Generator) -> Float[Tensor, "n factors"]:
        """Draw `n` items, one column per factor of the space."""
        columns = torch.empty(n, len(space))
        continuous = [column for column, factor in enumerate(space.factors) if factor.is_continuous]
        draw = torch.randn if self.marginal == "normal" else torch.rand
        columns[:, continuous] = draw(n, len(continuous), generator=generator)
        for column, factor in enumerate(space.factors):
            if factor.values is not None:
                row = self.probabilities.get(factor.name, (1.0,) * len(factor.values))
                weights = torch.tensor(row, dtype=torch.float64)
                columns[:, column] = weights.multinomial(n, replacement=True, generator=generator).to(columns.dtype)
        return columns

    def gaussian_covariance(self, space: FactorSpace) -> Float[Tensor, "factors factors"]:
        """The identity for continuous factors, if they are normal."""
        if self.marginal != "normal":
            return super().gaussian_covariance(space)
        return _of_continuous(torch.eye(len(space), dtype=torch.float64), space)


@dataclass(frozen=True, eq=False)
class Gaussian(Dependence):
    r"""Jointly Gaussian variables of mean 0; a discrete factor is cut from its own at equally probable quantiles.

    Args:
        covariance: $\Sigma$, symmetric and positive definite, in the order of the space.

    Raises:
        ShapeError: If the covariance is not square.
        ConfigError: If it is not symmetric, or not positive definite.

    Example:
        >>> Gaussian(torch.tensor([[1.0, 2.0], [2.0, 1.0]]))
        Traceback (most recent call last):
        vergence.errors.ConfigError: covariance must be positive definite; its smallest eigenvalue is -1. ...
    """

    covariance: Float[Tensor, "factors other"]

    def __post_init__(self) -> None:
        positive_definite("covariance", self.covariance.numpy(force=True))

    @classmethod
    def wishart(cls, n: int, *, generator: torch.Generator) -> "Gaussian":
        r"""Draw the covariance itself: $\Sigma \sim \mathrm{Wishart}(n, I_n)$.

        Source: [cai2025], numerical simulation, dependent case.

        Args:
            n: Number of variables, and degrees of freedom.
            generator: Source of randomness.
        """
        return cls(wishart(n, generator=generator))

    def check(self, space: FactorSpace) -> None:
        """Require one row of the covariance per factor."""
        if len(self.covariance) != len(space):
            raise ShapeError(
                f"covariance is {tuple(self.covariance.shape)}, but the space has {len(space)} factors; "
                "give one row and column per factor"
            )

    def sample(self, space: FactorSpace, n: int, *, generator: torch.Generator) -> Float[Tensor, "n factors"]:
        """Draw `n` items, one column per factor of the space."""
        columns = correlated_normal(n, self.covariance, generator=generator)
        for column, factor in enumerate(space.factors):
            if factor.values is not None:
                scale = self.covariance[column, column].sqrt().item()
                columns[:, column] = cut(columns[:, column] / scale, factor)
        return columns

    def gaussian_covariance(self, space: FactorSpace) -> Float[Tensor, "factors factors"]:
        """The covariance of the continuous factors."""
        return _of_continuous(self.covariance.double(), space)


def wishart(n: int, *, generator: torch.Generator) -> Float[Tensor, "n n"]:
    r"""Draw a covariance $A A^\top \sim \mathrm{Wishart}(n, I_n)$ in float64, $A$ with standard normal entries.

    Raises:
        ConfigError: If `n` is below 1.
    """
    at_least("n", n, 1)
    root = torch.randn(n, n, dtype=torch.float64, generator=generator)
    covariance: Tensor = root @ root.T
    return covariance


def correlated_normal(n: int, covariance: Float[Tensor, "d d"], *, generator: torch.Generator) -> Float[Tensor, "n d"]:
    """Draw `n` rows of a Gaussian of mean 0, in the default float type.

    The root is taken in float64: a Wishart covariance can be too ill-conditioned for float32.
    """
    root: Tensor = torch.linalg.cholesky(covariance.double()).to(torch.get_default_dtype())
    columns: Tensor = torch.randn(n, len(covariance), generator=generator) @ root.T
    return columns


def cut(scores: Float[Tensor, " n"], factor: Factor) -> Float[Tensor, " n"]:
    """Turn standard normal scores into positions of a discrete factor's values, all equally probable."""
    assert factor.values is not None
    count = len(factor.values)
    positions: Tensor = (torch.special.ndtr(scores) * count).floor()
    return positions.clamp(0, count - 1)


def as_drawn(what: str, values: Tensor, factor: Factor, n: int) -> Float[Tensor, " n"]:
    """Require values of one factor: one finite number for each of n items; for a discrete factor, positions of values.

    Raises:
        ShapeError: If there are not n of them, or one is not finite.
        FactorError: If a discrete factor has no value at a position.
    """
    if values.shape != (n,):
        raise ShapeError(f"{what} must give one value for each of {n} items; got shape {tuple(values.shape)}")
    finite(**{what: values})
    count = len(factor.values or ())
    if count and not bool(((values >= 0) & (values < count) & (values == values.floor())).all()):
        raise FactorError(
            f"{what} must give positions of its {count} values, whole numbers from 0 to {count - 1}; "
            f"got values in [{values.min():g}, {values.max():g}]"
        )
    return values


def _of_continuous(covariance: Float[Tensor, "d d"], space: FactorSpace) -> Float[Tensor, "d d"]:
    """The covariance with NaN for discrete factors, whose values are cut from what it speaks of."""
    continuous = torch.tensor([factor.is_continuous for factor in space.factors])
    return torch.where(continuous[:, None] & continuous, covariance, torch.nan)

"""Domain shift: the same model with the distribution of named factors changed."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from vergence.checks import known_factors, positive, probability
from vergence.errors import FactorError
from vergence.factors import FactorSpace
from vergence.latent.dependence import Dependence
from vergence.random import spawn


class Shift(ABC):
    """A change of one factor's distribution between domains."""

    @abstractmethod
    def __call__(
        self, values: Float[Tensor, " n"], fresh: Callable[[], Tensor], *, generator: torch.Generator
    ) -> Float[Tensor, " n"]:
        """Values in the new domain, from those in the old and, where asked for, an independent draw."""


@dataclass(frozen=True)
class Scale(Shift):
    """Multiply by a constant.

    Raises:
        ConfigError: If the constant is not above 0.
    """

    by: float

    def __post_init__(self) -> None:
        positive("by", self.by)

    def __call__(
        self, values: Float[Tensor, " n"], fresh: Callable[[], Tensor], *, generator: torch.Generator
    ) -> Float[Tensor, " n"]:
        """Scaled values."""
        return values * self.by


@dataclass(frozen=True)
class HeavyTail(Shift):
    r"""Stretch the tails, $s \mapsto \operatorname{sign}(s)\,c\,s^2$, and let some values jump to $\pm$ an outlier.

    Source: [cai2025], out-of-domain evaluation, with the constants given here as defaults.

    Args:
        factor: The constant c.
        outlier_rate: Share of items that jump, in [0, 1].
        outlier: Where to, with a random sign.

    Raises:
        ConfigError: If a constant is not above 0 or the rate is outside [0, 1].
    """

    factor: float = 2.0
    outlier_rate: float = 0.1
    outlier: float = 10.0

    def __post_init__(self) -> None:
        positive("factor", self.factor)
        probability("outlier_rate", self.outlier_rate)
        positive("outlier", self.outlier)

    def __call__(
        self, values: Float[Tensor, " n"], fresh: Callable[[], Tensor], *, generator: torch.Generator
    ) -> Float[Tensor, " n"]:
        """Stretched values, some of them outliers."""
        jumps = torch.rand(len(values), generator=generator) < self.outlier_rate
        sign = torch.randint(2, (len(values),), generator=generator).to(values.dtype) * 2 - 1
        return torch.where(jumps, sign * self.outlier, values.sign() * self.factor * values.square())


@dataclass(frozen=True)
class Decouple(Shift):
    """Draw the factor anew from its own marginal, so that the others tell nothing about it any more."""

    def __call__(
        self, values: Float[Tensor, " n"], fresh: Callable[[], Tensor], *, generator: torch.Generator
    ) -> Float[Tensor, " n"]:
        """Values that belong to other items."""
        return fresh()


@dataclass(frozen=True)
class Shifted(Dependence):
    """A dependence whose named factors are shifted; what they cause is not: the shift is one of appearance.

    To change the dependence between factors altogether, give the model another `Dependence`.

    Args:
        dependence: That of the old domain.
        shifts: By factor; one that is not named stays as it is.

    Example:
        >>> from vergence import Factor
        >>> from vergence.latent import Independent
        >>> from vergence.random import generator
        >>> space = FactorSpace((Factor("hue"), Factor("tone")))
        >>> wide = Shifted(Independent(), {"tone": Scale(10.0)})
        >>> wide.sample(space, 10_000, generator=generator(0)).std(0).round().tolist()
        [1.0, 10.0]
    """

    dependence: Dependence
    shifts: Mapping[str, Shift]

    def check(self, space: FactorSpace) -> None:
        """Require every shifted factor to be known, and continuous if it changes its values."""
        self.dependence.check(space)
        known_factors(self.shifts, space.names)
        for name, shift in self.shifts.items():
            if not space[name].is_continuous and not isinstance(shift, Decouple):
                raise FactorError(f"factor {name!r} is discrete: only Decouple can shift it; got {shift!r}")

    def sample(self, space: FactorSpace, n: int, *, generator: torch.Generator) -> Float[Tensor, "n factors"]:
        """Draw `n` items of the new domain; factors that are not shifted are those of the old, bit for bit."""
        columns = self.dependence.sample(space, n, generator=generator)
        streams = spawn(generator, 2 * len(self.shifts)) if self.shifts else ()
        for position, (name, shift) in enumerate(self.shifts.items()):
            column = space.names.index(name)
            own, other = streams[2 * position], streams[2 * position + 1]

            def fresh(column: int = column, other: torch.Generator = other) -> Tensor:
                return self.dependence.sample(space, n, generator=other)[:, column]

            columns[:, column] = shift(columns[:, column], fresh, generator=own)
        return columns

    def gaussian_covariance(self, space: FactorSpace) -> Float[Tensor, "factors factors"]:
        """That of the old domain, scaled and decoupled; NaN where a shift of another kind leaves no Gaussian."""
        covariance = self.dependence.gaussian_covariance(space).clone()
        for name, shift in self.shifts.items():
            column = space.names.index(name)
            variance = covariance[column, column].item()
            # What a row is multiplied by; anything times NaN stays NaN, so that what was not Gaussian is not made so.
            factor = shift.by if isinstance(shift, Scale) else 0.0 if isinstance(shift, Decouple) else torch.nan
            covariance[column] *= factor
            covariance[:, column] *= factor
            if isinstance(shift, Decouple):
                covariance[column, column] = variance
        return covariance

r"""What a text says of a factor that it mentions, given what the image shows: exactly that, or something else.

A channel is the conditional distribution $p(\text{said} \mid \text{shown})$ of one factor. These are descriptions
alone, which import nothing; `vergence.latent` draws from them, `vergence.theory` reads how much passes through.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from vergence.checks import positive, positive_definite, probability
from vergence.errors import ConfigError, FactorError, ShapeError
from vergence.factors import Factor

Rows = tuple[tuple[float, ...], ...]
"""A square matrix of probabilities, by what is said, then by what is shown."""

_SUM = 1e-6  # how far from 1 a column of a table may sum, for rounding


class Channel:
    """From what is shown to what is said of one factor."""

    @property
    def is_exact(self) -> bool:
        """Whether what is said is always what is shown."""
        return False

    def check(self, factor: Factor) -> None:
        """Require that this can happen to the factor.

        Raises:
            FactorError: If it cannot, saying what can.
        """

    def table(self, factor: Factor) -> Rows | None:
        """Probabilities of what is said (rows) by what is shown (columns); `None` where no table describes it."""
        return None


@dataclass(frozen=True)
class Unstated(Channel):
    r"""Wrong at times, in a way that is not stated: all that [cai2025] assumes of $I_\rho$."""


@dataclass(frozen=True)
class Redraw(Channel):
    """With some probability, a value drawn without looking: uniform for a discrete factor, else from its distribution.

    A value drawn anew may happen to be right. Source: [cai2025], MPI3D-Complex and Causal3DIdent, probability 0.9.

    Args:
        probability: ρ, in [0, 1].

    Raises:
        ConfigError: If it is outside [0, 1].

    Example:
        >>> Redraw(0.5).table(Factor("size", ("small", "large")))
        ((0.75, 0.25), (0.25, 0.75))
    """

    probability: float = 0.9

    def __post_init__(self) -> None:
        probability("probability of a redraw", self.probability)

    @property
    def is_exact(self) -> bool:
        """Whether nothing is ever redrawn."""
        return self.probability == 0

    def table(self, factor: Factor) -> Rows | None:
        """The truth, and a uniform share beside it."""
        k = len(factor.values or ())
        return _square(k, 1 - self.probability + self.probability / k, self.probability / k) if k else None


@dataclass(frozen=True)
class LabelSwap(Channel):
    """With some probability, another value of a discrete factor, all others being equally probable.

    Args:
        probability: Of a wrong value, in [0, 1].

    Raises:
        ConfigError: If it is outside [0, 1].
    """

    probability: float = 0.75

    def __post_init__(self) -> None:
        probability("probability of a swap", self.probability)

    @property
    def is_exact(self) -> bool:
        """Whether nothing is ever swapped."""
        return self.probability == 0

    def check(self, factor: Factor) -> None:
        """Require a discrete factor."""
        if factor.is_continuous:
            raise FactorError(
                f"factor {factor.name!r} is continuous: it has no labels to swap; use AdditiveNoise or Redraw"
            )

    def table(self, factor: Factor) -> Rows | None:
        """The truth, and an even share of all other values."""
        k = len(factor.values or ())
        return _square(k, 1 - self.probability, self.probability / (k - 1)) if k else None


@dataclass(frozen=True, eq=False)
class AdditiveNoise(Channel):
    r"""With some probability, Gaussian noise on a continuous factor: $\tilde s = s + c\,\epsilon$.

    Source: [cai2025], numerical simulation: probability 0.75, $\epsilon \sim N(0, \Sigma)$ with $\Sigma = I$ or drawn
    from a Wishart distribution.

    Args:
        probability: In [0, 1].
        scale: c, above 0.
        covariance: $\Sigma$ over all factors of the space, in its order; the identity if `None`. Factors that share it
            are given noise that depends on one another's.

    Raises:
        ConfigError: If the probability is outside [0, 1], the scale is not above 0 or the covariance is not positive
            definite.
        ShapeError: If the covariance is not square, or holds NaN or infinity.

    Example:
        >>> AdditiveNoise(probability=1.5)
        Traceback (most recent call last):
        vergence.errors.ConfigError: probability of noise must be a probability in [0, 1]; got 1.5
    """

    probability: float = 0.75
    scale: float = 1.0
    covariance: Any = None

    def __post_init__(self) -> None:
        probability("probability of noise", self.probability)
        positive("scale of the noise", self.scale)
        if self.covariance is not None:
            import numpy as np

            given = self.covariance
            matrix = np.array(given.numpy(force=True) if hasattr(given, "numpy") else given)
            positive_definite("covariance of the noise", matrix)
            matrix.setflags(write=False)
            object.__setattr__(self, "covariance", matrix)

    @property
    def is_exact(self) -> bool:
        """Whether no noise is ever added."""
        return self.probability == 0

    def check(self, factor: Factor) -> None:
        """Require a continuous factor."""
        if not factor.is_continuous:
            raise FactorError(
                f"factor {factor.name!r} is discrete: noise cannot be added to it; use Redraw, LabelSwap or a table"
            )


@dataclass(frozen=True)
class Table(Channel):
    """Any channel of a discrete factor: what is said (rows) by what is shown (columns), each column a distribution.

    Args:
        said_by_shown: Probabilities, square; a table whose index and columns name the values is put in order by them.
        values: The values of rows and columns, in order; those of the factor if `None`.

    Raises:
        ShapeError: If it is not square, or has fewer than two rows.
        ConfigError: If an entry is outside [0, 1] or a column does not sum to 1.
        FactorError: If rows and columns name different values.

    Example:
        >>> Table([[1.0, 0.3], [0.0, 0.7]]).is_exact
        False
        >>> Table([[0.5, 0.5], [0.2, 0.8]])
        Traceback (most recent call last):
        vergence.errors.ConfigError: each column of a said × shown table must sum to 1; got 0.7, 1.3. Its rows do: ...
    """

    said_by_shown: tuple[tuple[float, ...], ...]
    values: tuple[str, ...] | None = field(default=None)

    def __init__(self, said_by_shown: Any, values: Sequence[str] | None = None) -> None:
        if hasattr(said_by_shown, "index") and hasattr(said_by_shown, "columns"):
            said, shown = list(said_by_shown.index), list(said_by_shown.columns)
            if sorted(map(str, said)) != sorted(map(str, shown)):
                raise FactorError(
                    f"rows and columns of a said × shown table must be the same values; got {said}, {shown}"
                )
            said_by_shown, values = said_by_shown.loc[shown].to_numpy(), tuple(map(str, shown))
        try:
            matrix = tuple(tuple(map(float, row)) for row in said_by_shown)
        except (TypeError, ValueError) as error:
            raise ShapeError(f"a said × shown table must be rows of numbers; got {said_by_shown!r}") from error
        if len(matrix) < 2 or any(len(row) != len(matrix) for row in matrix):
            raise ShapeError(
                "a said × shown table must be square, a row and a column for each of two or more values; got rows of "
                f"{', '.join(str(len(row)) for row in matrix) or 'nothing'}"
            )
        if not all(isfinite(value) and 0 <= value <= 1 + _SUM for row in matrix for value in row):
            raise ConfigError(f"entries of a said × shown table must be probabilities in [0, 1]; got {matrix}")
        sums = [sum(column) for column in zip(*matrix, strict=True)]
        if any(abs(total - 1) > _SUM for total in sums):
            turned = "" if any(abs(sum(row) - 1) > _SUM for row in matrix) else ". Its rows do: transpose it"
            raise ConfigError(
                "each column of a said × shown table must sum to 1; got "
                f"{', '.join(f'{total:g}' for total in sums)}{turned}"
            )
        if values is not None and len(values) != len(matrix):
            raise ShapeError(f"a said × shown table of {len(matrix)} values needs as many names; got {list(values)}")
        object.__setattr__(self, "said_by_shown", matrix)
        object.__setattr__(self, "values", None if values is None else tuple(values))

    @property
    def is_exact(self) -> bool:
        """Whether it is the identity."""
        return self.said_by_shown == _square(len(self.said_by_shown), 1.0, 0.0)

    def check(self, factor: Factor) -> None:
        """Require a discrete factor with as many values, and the same ones if they are named."""
        if factor.values is None:
            raise FactorError(
                f"factor {factor.name!r} is continuous: no table describes it; use AdditiveNoise or Redraw"
            )
        fits = len(factor.values) == len(self.said_by_shown)
        if not fits or (self.values is not None and set(self.values) != set(factor.values)):
            own = self.values or (f"{len(self.said_by_shown)} values",)
            raise FactorError(
                f"the said × shown table of factor {factor.name!r} is of {', '.join(own)}; the factor has "
                f"{len(factor.values)}: {', '.join(map(str, factor.values))}"
            )

    def table(self, factor: Factor) -> Rows | None:
        """The table in the order of the factor's values."""
        self.check(factor)
        if self.values is None or factor.values is None:
            return self.said_by_shown
        order = [self.values.index(value) for value in factor.values]
        return tuple(tuple(self.said_by_shown[said][shown] for shown in order) for said in order)


PUBLISHED = (AdditiveNoise(0.75), Redraw(0.9))
"""What happens to a continuous and to a discrete factor whose channel is not stated.

Source: [cai2025], numerical simulation; MPI3D-Complex and Causal3DIdent.
"""


def stated(channel: Channel, factor: Factor) -> Channel:
    """The channel itself, or for one that is not stated the published one of the factor's kind."""
    return PUBLISHED[not factor.is_continuous] if isinstance(channel, Unstated) else channel


def as_channel(given: Any) -> Channel:
    """A channel as it is, or the channel of a said × shown table."""
    return given if isinstance(given, Channel) else Table(given)


def _square(k: int, diagonal: float, beside: float) -> Rows:
    return tuple(tuple(diagonal if said == shown else beside for shown in range(k)) for said in range(k))

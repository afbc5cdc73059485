"""Named semantic factors: the vocabulary in which captions, predictions and measurements speak of the same thing."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from vergence.checks import known_factors
from vergence.errors import FactorError, unknown


@dataclass(frozen=True)
class Factor:
    """One semantic variable of an image: discrete with named values, or continuous.

    Args:
        name: How captions, tables and figures call it; not empty.
        values: The values it can take, in order, at least two; `None` for a continuous factor.

    Raises:
        FactorError: If the name is empty, a value is repeated, or there are fewer than two values.

    Example:
        >>> Factor("size", ("small", "large")).index("large")
        1
        >>> Factor("hue", None).is_continuous
        True
    """

    name: str
    values: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if not self.name or not self.name.strip():
            raise FactorError(f"a factor needs a name; got {self.name!r}")
        if self.values is None:
            return
        if isinstance(self.values, str):
            raise FactorError(
                f"values of factor {self.name!r} must be a tuple of values; got the string {self.values!r}"
            )
        object.__setattr__(self, "values", tuple(self.values))
        _refuse_repeats(f"value of factor {self.name!r}", self.values)
        if len(self.values) < 2:
            raise FactorError(
                f"factor {self.name!r} needs at least two values, or None if continuous; got {self.values!r}"
            )

    @property
    def is_continuous(self) -> bool:
        """Whether the factor is a real number rather than one of named values."""
        return self.values is None

    def index(self, value: str) -> int:
        """Position of a value, from 0.

        Raises:
            FactorError: If the factor is continuous or does not know the value.
        """
        if self.values is None:
            raise FactorError(f"factor {self.name!r} is continuous: it has no values to look up; got {value!r}")
        if value not in self.values:
            raise FactorError(unknown(f"value of factor {self.name!r}", value, map(str, self.values)))
        return self.values.index(value)


@dataclass(frozen=True)
class FactorSpace(Mapping[str, Factor]):
    """An ordered set of factors, looked up by name.

    Args:
        factors: The factors; names must be unique.

    Raises:
        FactorError: If there is none, or a name comes twice.

    Example:
        >>> space = FactorSpace((Factor("shape", ("cube", "ball")), Factor("hue")))
        >>> list(space), space["hue"].is_continuous
        (['shape', 'hue'], True)
        >>> space["colour"]
        Traceback (most recent call last):
        vergence.errors.FactorError: unknown factor 'colour'; known: shape, hue
    """

    factors: tuple[Factor, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "factors", tuple(self.factors))
        for factor in self.factors:
            if not isinstance(factor, Factor):
                raise FactorError(
                    f"a FactorSpace holds Factor objects; got {factor!r}. Write Factor({str(factor)!r}, values)"
                )
        if not self.factors:
            raise FactorError("a FactorSpace needs at least one factor; got none")
        _refuse_repeats("factor", [factor.name for factor in self.factors])

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the factors, in order."""
        return tuple(factor.name for factor in self.factors)

    def __getitem__(self, name: str) -> Factor:
        known_factors([name], self.names)
        return self.factors[self.names.index(name)]

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.factors)

    def __hash__(self) -> int:
        return hash(self.factors)

    def subset(self, names: Iterable[str]) -> "FactorSpace":
        """The named factors only, in the order of this space.

        Raises:
            FactorError: If a name is unknown or none is given.
        """
        wanted = list(names)
        known_factors(wanted, self.names)
        return FactorSpace(tuple(factor for factor in self.factors if factor.name in wanted))


def _refuse_repeats(what: str, names: Iterable[object]) -> None:
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise FactorError(f"each {what} must be unique; repeated: {', '.join(repr(name) for name in repeated)}")

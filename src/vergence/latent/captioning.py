"""What real captions add to selection and perturbation: they mention at times, invent, and describe another image.

[cai2025] selects a factor for all texts or for none. A corpus mentions it in a share of its captions, perhaps more
often when it is remarkable, and some captions belong to other images or state what is not there.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vergence.checks import known_factors, probability
from vergence.errors import ConfigError, FactorError, ShapeError
from vergence.factors import FactorSpace
from vergence.latent.dependence import as_drawn

Mention = float | tuple[float, ...] | Callable[[Tensor], Tensor]
"""Probability that a factor is mentioned: a number; one per value; or a function of the values (n,) → (n,)."""

Recording = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Captioning:
    """How a selected factor comes to stand in a text, or not.

    Args:
        mention: Probability that a text mentions a selected factor, per pair and independently: a number for all, or by
            name a number, one number per value of a discrete factor, or a function of the true values. Factors not
            named are always mentioned.
        mismatch: Share of pairs whose text describes another, independent image.
        invention: Probability that a selected factor which the text would have passed over is stated all the same, with
            a value taken from an independent image.
        record: By name, how a value is written down where words are coarser than the world, as when a hue becomes the
            nearest colour name: `Rounded`, or any function (n,) → (n,).

    Raises:
        ConfigError: If a number is outside [0, 1].

    Example:
        >>> Captioning(mention={"emotion": 0.005}, mismatch=0.1).graded(frozenset({"shape", "emotion"}))
        frozenset({'emotion'})
    """

    mention: float | Mapping[str, Mention] = 1.0
    mismatch: float = 0.0
    invention: float = 0.0
    record: Mapping[str, Recording] = field(default_factory=dict)

    def __post_init__(self) -> None:
        probability("mismatch", self.mismatch)
        probability("invention", self.invention)
        if not isinstance(self.mention, Mapping):
            if not isinstance(self.mention, float | int):
                raise ConfigError(f"mention must be one number for all factors, or given by name; got {self.mention!r}")
            probability("mention", self.mention)
            return
        for name, rate in self.mention.items():
            if not (callable(rate) or isinstance(rate, float | int | tuple)):
                raise ConfigError(
                    f"mention of factor {name!r} must be a number, a tuple with one per value, or a function; "
                    f"got {rate!r}"
                )
            for value in rate if isinstance(rate, tuple) else () if callable(rate) else (rate,):
                probability(f"mention of factor {name!r}", value)

    def check(self, space: FactorSpace) -> None:
        """Require the named factors to be known and rates per value to fit the values."""
        known_factors(self.record, space.names)
        if not isinstance(self.mention, Mapping):
            return
        known_factors(self.mention, space.names)
        for name, rate in self.mention.items():
            count = len(space[name].values or ())
            if isinstance(rate, tuple) and len(rate) != count:
                raise FactorError(
                    f"mention of factor {name!r} must be one probability per value; got {len(rate)} for {count} values"
                )

    def rate(self, name: str) -> Mention:
        """Probability that a text mentions the factor, if it is selected."""
        return self.mention.get(name, 1.0) if isinstance(self.mention, Mapping) else self.mention

    def graded(self, selected: frozenset[str]) -> frozenset[str]:
        """Selected factors that a text may pass over, so that its encoding must say whether it did."""
        return frozenset(name for name in selected if self.rate(name) != 1.0)

    def mentioned(
        self, values: Float[Tensor, "n selected"], names: tuple[str, ...], *, generator: torch.Generator
    ) -> Bool[Tensor, "n selected"]:
        """Draw which factors each text mentions, given the true values of what it describes.

        Raises:
            ShapeError: If a function of the values does not give one probability in [0, 1] for each.
        """
        rates = torch.stack([_rates(self.rate(name), values[:, i], name) for i, name in enumerate(names)], dim=1)
        return torch.rand(values.shape, generator=generator) < rates

    def recorded(
        self, values: Float[Tensor, "n selected"], names: tuple[str, ...], space: FactorSpace
    ) -> Float[Tensor, "n selected"]:
        """Write values down as the text does; those without a recording stay bit for bit.

        Raises:
            VergenceError: If a recording does not give one value of its factor for each.
        """
        if not set(self.record) & set(names):
            return values
        written = values.clone()
        for column, name in enumerate(names):
            if name in self.record:
                recorded = self.record[name](values[:, column])
                written[:, column] = as_drawn(f"the record of factor {name!r}", recorded, space[name], len(values))
        return written


@dataclass(frozen=True)
class Rounded:
    """Record a value as the nearest of some, as when a hue becomes the nearest colour name.

    Args:
        to: The values that there are words for; at least one.

    Raises:
        FactorError: If there are none.

    Example:
        >>> Rounded((0.0, 0.5, 1.0))(torch.tensor([0.2, 0.3, 0.9]))
        tensor([0.0000, 0.5000, 1.0000])
    """

    to: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.to:
            raise FactorError("Rounded needs at least one value to round to; got none")

    def __call__(self, values: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        """The nearest value of each."""
        known = values.new_tensor(self.to)
        return known[(values[:, None] - known).abs().argmin(dim=1)]


def _rates(rate: Mention, values: Tensor, name: str) -> Tensor:
    if isinstance(rate, tuple):
        return values.new_tensor(rate)[values.long()]
    if not callable(rate):
        return torch.full_like(values, rate)
    rates = rate(values)
    if rates.shape != values.shape or not bool(((rates >= 0) & (rates <= 1)).all()):
        raise ShapeError(
            f"mention of factor {name!r} must give one probability in [0, 1] per value; got shape "
            f"{tuple(rates.shape)} in [{rates.min():.3g}, {rates.max():.3g}] for values of shape {tuple(values.shape)}"
        )
    return rates.to(values.dtype)

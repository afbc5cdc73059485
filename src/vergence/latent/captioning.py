"""What real captions add to selection and perturbation: they invent, write coarsely, and describe another image.

How often they mention a factor, and what they say of it then, is what `Misalignment` says.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vergence.checks import known_factors, probability
from vergence.errors import FactorError, ShapeError
from vergence.factors import FactorSpace
from vergence.latent.dependence import as_drawn
from vergence.misalignment import Mention

Recording = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Captioning:
    """How what a text has to say comes to stand in it.

    Args:
        mismatch: Share of pairs whose text describes another, independent image.
        invention: Probability that a mentioned factor which a text would have passed over is stated all the same, with
            a value taken from an independent image.
        record: By name, how a value is written down where words are coarser than the world, as when a hue becomes the
            nearest colour name: `Rounded`, or any function (n,) → (n,).

    Raises:
        ConfigError: If a number is outside [0, 1].

    Example:
        >>> Captioning(mismatch=1.5)
        Traceback (most recent call last):
        vergence.errors.ConfigError: mismatch must be a probability in [0, 1]; got 1.5
    """

    mismatch: float = 0.0
    invention: float = 0.0
    record: Mapping[str, Recording] = field(default_factory=dict)

    def __post_init__(self) -> None:
        probability("mismatch", self.mismatch)
        probability("invention", self.invention)

    def check(self, space: FactorSpace) -> None:
        """Require the named factors to be known."""
        known_factors(self.record, space.names)

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


def mentioned(
    values: Float[Tensor, "n selected"], rates: Mapping[str, Mention], *, generator: torch.Generator
) -> Bool[Tensor, "n selected"]:
    """Draw which factors each text mentions, given the true values of what it describes.

    Args:
        values: What is the case, a column for each factor.
        rates: By factor, in the order of the columns, how often a text speaks of it.
        generator: Source of randomness.

    Raises:
        ShapeError: If a function of the values does not give one probability in [0, 1] for each.
    """
    columns = [rates_of(rate, values[:, column], name) for column, (name, rate) in enumerate(rates.items())]
    return torch.rand(values.shape, generator=generator) < torch.stack(columns, dim=1)


def rates_of(rate: Mention, values: Float[Tensor, " n"], name: str) -> Float[Tensor, " n"]:
    """Probability of a mention of one factor for each of its values.

    Raises:
        ShapeError: If a function of the values does not give one probability in [0, 1] for each.
    """
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
    found: Tensor = rates.to(values.dtype)
    return found

"""How a text gets a factor wrong: a perturbation acts on the record alone; the image and effects keep the truth."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from vergence.checks import known_factors, positive
from vergence.errors import FactorError, ShapeError
from vergence.factors import FactorSpace
from vergence.latent.dependence import check_covariance, check_probabilities, correlated_normal, probability_of
from vergence.random import spawn

Draw = Callable[[], Tensor]  # an independent draw of the same columns as the record


class Perturbation(ABC):
    r"""A wrong record of factors, for some pairs and not for others.

    Source: [cai2025] Sec. 3: per pair, a random subset $A \subseteq I_\rho$ is redrawn from a density that is positive
    around the truth; everything else that is selected is copied exactly.
    """

    @abstractmethod
    def apply(
        self,
        record: Float[Tensor, "n perturbed"],
        space: FactorSpace,
        names: tuple[str, ...],
        fresh: Draw,
        *,
        generator: torch.Generator,
    ) -> Float[Tensor, "n perturbed"]:
        """Get some entries of a record wrong; the others stay bit for bit.

        Args:
            record: The true values of the perturbed factors.
            space: All factors.
            names: The perturbed factors, one per column.
            fresh: Draws an independent record of the same factors.
            generator: Source of randomness.
        """

    def check(self, space: FactorSpace, names: tuple[str, ...]) -> None:  # noqa: B027  (most fit every factor)
        """Require that the named factors can be perturbed so; raise a `VergenceError` if not."""


@dataclass(frozen=True)
class Replacement(Perturbation):
    """Replaces each entry of the record by itself, with a probability of its own.

    Args:
        probability: In [0, 1]: one number, or one per factor name.

    Raises:
        ConfigError: If a probability is outside [0, 1].
    """

    probability: float | Mapping[str, float] = 0.75

    def __post_init__(self) -> None:
        check_probabilities("probability", self.probability)

    def check(self, space: FactorSpace, names: tuple[str, ...]) -> None:
        """Require probabilities given by name to be those of factors, the perturbed ones among them."""
        if isinstance(self.probability, Mapping):
            known_factors(self.probability, space.names)
            known_factors(names, self.probability)

    @abstractmethod
    def replacement(
        self,
        record: Float[Tensor, "n perturbed"],
        space: FactorSpace,
        names: tuple[str, ...],
        fresh: Draw,
        *,
        generator: torch.Generator,
    ) -> Float[Tensor, "n perturbed"]:
        """Wrong values of the named factors, for every pair."""

    def apply(
        self,
        record: Float[Tensor, "n perturbed"],
        space: FactorSpace,
        names: tuple[str, ...],
        fresh: Draw,
        *,
        generator: torch.Generator,
    ) -> Float[Tensor, "n perturbed"]:
        """Replace each entry with its factor's probability, independently."""
        choice, value = spawn(generator, 2)
        rates = record.new_tensor([probability_of(self.probability, name) for name in names])
        wrong = torch.rand(record.shape, generator=choice) < rates
        return torch.where(wrong, self.replacement(record, space, names, fresh, generator=value), record)


@dataclass(frozen=True, eq=False)
class AdditiveNoise(Replacement):
    r"""Add Gaussian noise to continuous factors: $\tilde s_A = s_A + c\,\epsilon_A$, $\epsilon \sim N(0, \Sigma)$.

    Source: [cai2025], numerical simulation: probability 0.75; $\Sigma = I$, or drawn from a Wishart distribution.

    Args:
        probability: In [0, 1]: one number, or one per factor name.
        scale: c, above 0.
        covariance: $\Sigma$ over all factors of the space, in its order; the identity if `None`.

    Raises:
        ConfigError: If a probability is outside [0, 1], the scale is not above 0 or the covariance is not positive
            definite.

    Example:
        >>> AdditiveNoise(probability=1.5)
        Traceback (most recent call last):
        vergence.errors.ConfigError: probability must be a probability in [0, 1]; got 1.5
    """

    scale: float = 1.0
    covariance: Float[Tensor, "factors other"] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        positive("scale", self.scale)
        if self.covariance is not None:
            check_covariance("covariance of the noise", self.covariance)

    def check(self, space: FactorSpace, names: tuple[str, ...]) -> None:
        """Require continuous factors, and a covariance, if any, over the whole space."""
        super().check(space, names)
        for name in names:
            if not space[name].is_continuous:
                raise FactorError(f"factor {name!r} is discrete: noise cannot be added to it; use Redraw or LabelSwap")
        if self.covariance is not None and len(self.covariance) != len(space):
            raise ShapeError(
                f"covariance of the noise is {tuple(self.covariance.shape)}, but the space has {len(space)} factors; "
                "give one row and column per factor"
            )

    def replacement(
        self,
        record: Float[Tensor, "n perturbed"],
        space: FactorSpace,
        names: tuple[str, ...],
        fresh: Draw,
        *,
        generator: torch.Generator,
    ) -> Float[Tensor, "n perturbed"]:
        """Values with noise added."""
        if self.covariance is None:
            noise = torch.randn(record.shape, generator=generator)
        else:
            columns = [space.names.index(name) for name in names]
            noise = correlated_normal(len(record), self.covariance[columns][:, columns], generator=generator)
        return record + self.scale * noise


@dataclass(frozen=True)
class Redraw(Replacement):
    """Draw values anew without looking at the truth: uniformly for a discrete factor, else from the joint distribution.

    A value drawn anew may happen to be right. Source: [cai2025], MPI3D-Complex and Causal3DIdent, probability 0.9.

    Args:
        probability: In [0, 1]: one number, or one per factor name.

    Raises:
        ConfigError: If a probability is outside [0, 1].
    """

    def replacement(
        self,
        record: Float[Tensor, "n perturbed"],
        space: FactorSpace,
        names: tuple[str, ...],
        fresh: Draw,
        *,
        generator: torch.Generator,
    ) -> Float[Tensor, "n perturbed"]:
        """Values drawn anew."""
        drawn = fresh() if any(space[name].is_continuous for name in names) else record.clone()
        for column, name in enumerate(names):
            values = space[name].values
            if values is not None:
                drawn[:, column] = torch.randint(len(values), (len(record),), generator=generator).to(record.dtype)
        return drawn


@dataclass(frozen=True)
class LabelSwap(Replacement):
    """Replace a discrete value by another of the same factor, all others being equally probable.

    Args:
        probability: Of a wrong label, in [0, 1]: one number, or one per factor name.

    Raises:
        ConfigError: If a probability is outside [0, 1].
    """

    def check(self, space: FactorSpace, names: tuple[str, ...]) -> None:
        """Require discrete factors."""
        super().check(space, names)
        for name in names:
            if space[name].is_continuous:
                raise FactorError(
                    f"factor {name!r} is continuous: it has no labels to swap; use AdditiveNoise or Redraw"
                )

    def replacement(
        self,
        record: Float[Tensor, "n perturbed"],
        space: FactorSpace,
        names: tuple[str, ...],
        fresh: Draw,
        *,
        generator: torch.Generator,
    ) -> Float[Tensor, "n perturbed"]:
        """Values that are all wrong."""
        swapped = record.clone()
        for column, name in enumerate(names):
            count = len(space[name].values or ())
            step = torch.randint(1, count, (len(record),), generator=generator).to(record.dtype)
            swapped[:, column] = (record[:, column] + step) % count
        return swapped


@dataclass(frozen=True)
class PerFactor(Perturbation):
    """A perturbation of its own for each factor, independent of the others'.

    Args:
        parts: By factor name.

    Example:
        >>> mixed = PerFactor({"hue": AdditiveNoise(0.75), "shape": LabelSwap(0.9)})
    """

    parts: Mapping[str, Perturbation]

    def check(self, space: FactorSpace, names: tuple[str, ...]) -> None:
        """Require a part that fits for each perturbed factor."""
        known_factors(self.parts, space.names)
        known_factors(names, self.parts)
        for name in names:
            self.parts[name].check(space, (name,))

    def apply(
        self,
        record: Float[Tensor, "n perturbed"],
        space: FactorSpace,
        names: tuple[str, ...],
        fresh: Draw,
        *,
        generator: torch.Generator,
    ) -> Float[Tensor, "n perturbed"]:
        """Apply to each column its own part."""
        columns = []
        streams = spawn(generator, len(names))
        for column, (name, stream) in enumerate(zip(names, streams, strict=True)):
            only = slice(column, column + 1)

            def fresh_column(only: slice = only) -> Tensor:
                return fresh()[:, only]

            columns.append(self.parts[name].apply(record[:, only], space, (name,), fresh_column, generator=stream))
        return torch.cat(columns, dim=1)

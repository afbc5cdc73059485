"""Semantic variables that cause each other: structural equations on an acyclic graph that can be looked at."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor

from vergence.checks import known_factors, one_of, positive, probability
from vergence.errors import FactorError
from vergence.factors import Factor, FactorSpace
from vergence.latent.dependence import Dependence, as_drawn, cut
from vergence.random import spawn

_PILOT = 8192  # draws by which the scores of discrete factors are measured

Mechanism = Callable[[Tensor, Tensor], Tensor]  # values of the parents (n, parents), noise (n,) → values (n,)


@dataclass(frozen=True)
class Equation:
    """How one variable follows from its causes and a noise of its own.

    Args:
        parents: Names of its direct causes, in the order in which the mechanism takes them; none for a root.
        mechanism: Takes the parents' values `(n, parents)` and the noise `(n,)`; gives the values `(n,)`, for a
            discrete factor the positions of its values.
        noise: Distribution of the noise: "normal", mean 0 and variance 1, or "uniform" on [0, 1).

    Raises:
        ConfigError: If the noise is unknown.
        FactorError: If a parent is named twice, or linear weights are not one per parent.
    """

    parents: tuple[str, ...]
    mechanism: Mechanism
    noise: str = "normal"

    def __post_init__(self) -> None:
        object.__setattr__(self, "parents", tuple(self.parents))
        one_of("noise", self.noise, ("normal", "uniform"))
        if len(set(self.parents)) < len(self.parents):
            raise FactorError(f"parents must be named once each; got {', '.join(self.parents)}")
        if isinstance(self.mechanism, Linear) and len(self.mechanism.weights) != len(self.parents):
            raise FactorError(
                f"linear weights must be one per parent; got {len(self.mechanism.weights)} for {len(self.parents)}"
            )


@dataclass(frozen=True)
class StructuralEquations(Dependence):
    r"""Each variable is a function of its direct causes and an independent noise: $s_i = f_i(s_{\mathrm{pa}(i)}, u_i)$.

    Args:
        equations: One equation per factor.

    Raises:
        FactorError: If a parent has no equation, or the graph has a cycle.

    Example:
        >>> hue = StructuralEquations({
        ...     "spot": Equation((), lambda parents, u: u, "uniform"),
        ...     "hue": Equation(("spot",), lambda parents, u: (parents[:, 0] + u) / 2, "uniform"),
        ... })
        >>> hue.graph, sorted(hue.descendants("spot"))
        ({'spot': (), 'hue': ('spot',)}, ['hue'])
        >>> StructuralEquations({"a": Equation(("a",), lambda parents, u: u)})
        Traceback (most recent call last):
        vergence.errors.FactorError: the causal graph has a cycle: a -> a; ...
    """

    equations: Mapping[str, Equation]

    def __post_init__(self) -> None:
        for equation in self.equations.values():
            known_factors(equation.parents, self.equations)
        causal_order(self.graph)

    @property
    def graph(self) -> dict[str, tuple[str, ...]]:
        """Direct causes of each variable."""
        return {name: equation.parents for name, equation in self.equations.items()}

    def descendants(self, name: str) -> frozenset[str]:
        """Variables that the named one causes, directly or through others.

        Raises:
            FactorError: If the name is unknown.
        """
        known_factors([name], self.equations)
        reached = {name}
        for child in causal_order(self.graph):
            if reached & set(self.graph[child]):
                reached.add(child)
        return frozenset(reached - {name})

    def check(self, space: FactorSpace) -> None:
        """Require one equation per factor, and none besides."""
        known_factors(self.equations, space.names)
        known_factors(space.names, self.equations)

    def sample(self, space: FactorSpace, n: int, *, generator: torch.Generator) -> Float[Tensor, "n factors"]:
        """Draw `n` items in causal order; one column per factor of the space."""
        columns = torch.empty(n, len(space))
        position = {name: column for column, name in enumerate(space.names)}
        for name in causal_order(self.graph):
            equation = self.equations[name]
            draw = torch.randn if equation.noise == "normal" else torch.rand
            causes = columns[:, [position[parent] for parent in equation.parents]]
            values = equation.mechanism(causes, draw(n, generator=generator))
            columns[:, position[name]] = as_drawn(f"the mechanism of factor {name!r}", values, space[name], n)
        return columns

    def gaussian_covariance(self, space: FactorSpace) -> Float[Tensor, "factors factors"]:
        r"""$(I - B)^{-1} D (I - B)^{-\top}$ of the factors whose equations, and all that they rest on, are linear.

        Their noise must be normal too.
        """
        gaussian: list[str] = []
        for name in causal_order(self.graph):
            equation = self.equations[name]
            linear = isinstance(equation.mechanism, Linear) and equation.noise == "normal"
            if linear and set(equation.parents) <= set(gaussian):
                gaussian.append(name)
        weights, scales = torch.zeros(2, len(gaussian), len(gaussian), dtype=torch.float64)
        for row, name in enumerate(gaussian):
            equation = self.equations[name]
            mechanism = cast("Linear", equation.mechanism)
            scales[row, row] = mechanism.noise_scale
            for parent, weight in zip(equation.parents, mechanism.weights, strict=True):
                weights[row, gaussian.index(parent)] = weight
        root: Tensor = torch.linalg.solve(torch.eye(len(gaussian), dtype=torch.float64) - weights, scales)
        covariance = super().gaussian_covariance(space)
        columns = torch.tensor([space.names.index(name) for name in gaussian], dtype=torch.long)
        covariance[columns[:, None], columns] = root @ root.T
        return covariance


@dataclass(frozen=True)
class Linear:
    """The mechanism `weights · parents + noise_scale × noise`.

    Raises:
        ConfigError: If the noise scale is not above 0.
    """

    weights: tuple[float, ...]
    noise_scale: float = 1.0

    def __post_init__(self) -> None:
        positive("noise_scale", self.noise_scale)

    def __call__(self, parents: Float[Tensor, "n parents"], noise: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        """Values of the variable."""
        return parents @ parents.new_tensor(self.weights) + self.noise_scale * noise


@dataclass(frozen=True, eq=False)
class Nonlinear:
    """The mechanism `output · tanh(hidden · parents) + noise_scale × noise`: a small random network, additive noise.

    Raises:
        ConfigError: If the noise scale is not above 0.
    """

    hidden: Float[Tensor, "units parents"]
    output: Float[Tensor, " units"]
    noise_scale: float = 1.0

    def __post_init__(self) -> None:
        positive("noise_scale", self.noise_scale)

    def __call__(self, parents: Float[Tensor, "n parents"], noise: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        """Values of the variable."""
        hidden, output = self.hidden.to(parents.dtype), self.output.to(parents.dtype)
        return torch.tanh(parents @ hidden.T) @ output + self.noise_scale * noise


@dataclass(frozen=True)
class Cut:
    """A mechanism whose score, brought to mean 0 and variance 1, is cut at quantiles of the normal distribution.

    Args:
        mechanism: Gives the score.
        factor: The discrete factor whose values it is cut into.
        centre: Mean of the score.
        spread: Standard deviation of the score, > 0.

    Raises:
        ConfigError: If the spread is not above 0.
    """

    mechanism: Mechanism
    factor: Factor
    centre: float = 0.0
    spread: float = 1.0

    def __post_init__(self) -> None:
        positive("spread", self.spread)

    def __call__(self, parents: Float[Tensor, "n parents"], noise: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        """Positions of the factor's values."""
        return cut((self.mechanism(parents, noise) - self.centre) / self.spread, self.factor)


def random_graph(
    space: FactorSpace, *, edge_probability: float, generator: torch.Generator
) -> dict[str, tuple[str, ...]]:
    """Draw an acyclic graph: a random causal order, then each forward edge by itself.

    Args:
        space: The variables.
        edge_probability: Of each of the n(n − 1)/2 edges that the order allows, in [0, 1].
        generator: Source of randomness.

    Returns:
        Direct causes of each variable.

    Raises:
        ConfigError: If the probability is outside [0, 1].

    Example:
        >>> from vergence.random import generator
        >>> space = FactorSpace(tuple(Factor(name) for name in "abc"))
        >>> sorted(map(len, random_graph(space, edge_probability=1.0, generator=generator(0)).values()))
        [0, 1, 2]
    """
    probability("edge_probability", edge_probability)
    order = [space.names[i] for i in torch.randperm(len(space), generator=generator).tolist()]
    drawn = torch.rand(len(order), len(order), generator=generator) < edge_probability
    causes = {child: tuple(order[i] for i in range(rank) if drawn[rank, i]) for rank, child in enumerate(order)}
    return {name: causes[name] for name in space.names}


def linear_equations(
    space: FactorSpace, graph: Mapping[str, tuple[str, ...]], *, generator: torch.Generator
) -> StructuralEquations:
    r"""Linear equations on a graph, standard normal noise; weights $\pm U(0.5, 1.5)/\sqrt{|\mathrm{pa}|}$.

    Args:
        space: The variables; a discrete one cuts its standardised score into its values, and acts on others as one.
        graph: Direct causes of each variable, as `random_graph` gives them or as known.
        generator: Source of randomness.

    Raises:
        FactorError: If the graph names an unknown factor, leaves one out or has a cycle.
    """

    def mechanism(n_parents: int) -> Mechanism:
        size = torch.rand(n_parents, generator=generator) + 0.5
        sign = torch.randint(2, (n_parents,), generator=generator) * 2 - 1
        return Linear(tuple((size * sign / max(n_parents, 1) ** 0.5).tolist()))

    return _equations(space, graph, mechanism, generator)


def nonlinear_equations(
    space: FactorSpace, graph: Mapping[str, tuple[str, ...]], *, generator: torch.Generator, n_units: int = 8
) -> StructuralEquations:
    """Nonlinear equations on a graph: each variable is a small random network of its causes plus normal noise.

    Args:
        space: The variables; a discrete one cuts its standardised score into its values, and acts on others as one.
        graph: Direct causes of each variable, as `random_graph` gives them or as known.
        generator: Source of randomness.
        n_units: Hidden units of each network; more units make rougher functions.

    Raises:
        FactorError: If the graph names an unknown factor, leaves one out or has a cycle.
    """

    def mechanism(n_parents: int) -> Mechanism:
        hidden = torch.randn(n_units, n_parents, generator=generator) * 2 / max(n_parents, 1) ** 0.5
        output = torch.randn(n_units, generator=generator) * 2 / n_units**0.5
        return Nonlinear(hidden, output, noise_scale=0.5) if n_parents else Linear(())

    return _equations(space, graph, mechanism, generator)


def causal_order(graph: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Variables in an order in which causes come before effects.

    Raises:
        FactorError: If the graph has a cycle, naming its members.
    """
    try:
        return tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        cycle = " -> ".join(error.args[1])
        raise FactorError(f"the causal graph has a cycle: {cycle}; remove one of its edges") from None


def _equations(
    space: FactorSpace,
    graph: Mapping[str, tuple[str, ...]],
    mechanism: Callable[[int], Mechanism],
    generator: torch.Generator,
) -> StructuralEquations:
    known_factors(graph, space.names)
    known_factors(space.names, graph)
    equations = {
        factor.name: Equation(graph[factor.name], mechanism(len(graph[factor.name]))) for factor in space.factors
    }
    if all(factor.is_continuous for factor in space.factors):
        return StructuralEquations(equations)
    # Causes first: how a score is spread, and so where to cut it, is measured on draws of what it follows from.
    (pilot,) = spawn(generator, 1)
    drawn: dict[str, Tensor] = {}
    for name in causal_order(graph):
        factor, parents, made = space[name], graph[name], equations[name].mechanism
        noise = torch.randn(_PILOT, generator=pilot)
        causes = torch.stack([drawn[parent] for parent in parents], 1) if parents else noise.new_empty(_PILOT, 0)
        continuous = torch.tensor([space[parent].is_continuous for parent in parents], dtype=torch.bool)
        if not continuous.all():
            made = _OfScores(
                made, torch.where(continuous, 0.0, causes.mean(0)), torch.where(continuous, 1.0, causes.std(0))
            )
        if not factor.is_continuous:
            score = made(causes, noise)
            made = Cut(made, factor, score.mean().item(), score.std().item())
        drawn[name] = made(causes, noise)
        equations[name] = Equation(parents, made)
    return StructuralEquations(equations)


@dataclass(frozen=True, eq=False)
class _OfScores:
    """A mechanism whose discrete parents come to it with mean 0 and variance 1, however many values they have."""

    mechanism: Mechanism
    centre: Float[Tensor, " parents"]
    spread: Float[Tensor, " parents"]

    def __call__(self, parents: Float[Tensor, "n parents"], noise: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        return self.mechanism((parents - self.centre) / self.spread, noise)

"""Independent, Gaussian and structural dependence, and domain shift."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vergence import Factor, FactorSpace
from vergence.errors import VergenceError
from vergence.latent import (
    Decouple,
    Dependence,
    Equation,
    Gaussian,
    HeavyTail,
    Independent,
    Linear,
    Nonlinear,
    Scale,
    Shifted,
    StructuralEquations,
    linear_equations,
    nonlinear_equations,
    random_graph,
    wishart,
)
from vergence.latent.structural import causal_order
from vergence.random import generator

SPACE = FactorSpace((Factor("a"), Factor("b"), Factor("shape", ("cube", "ball", "cone")), Factor("c")))
REAL = FactorSpace(tuple(Factor(name) for name in "abcd"))
CHAIN = {"a": (), "b": ("a",), "shape": ("b",), "c": ("a", "shape")}


def every_dependence() -> list[Dependence]:
    return [
        Independent(),
        Independent("uniform", {"shape": (0.5, 0.25, 0.25)}),
        Gaussian.wishart(4, generator=generator(0)),
        linear_equations(SPACE, CHAIN, generator=generator(1)),
        nonlinear_equations(SPACE, CHAIN, generator=generator(2)),
        Shifted(Gaussian.wishart(4, generator=generator(0)), {"a": Scale(2.0), "shape": Decouple()}),
    ]


@pytest.mark.parametrize("dependence", every_dependence(), ids=lambda d: type(d).__name__)
def test_every_dependence_fills_the_space_with_finite_values_and_repeats_itself(dependence: Dependence) -> None:
    dependence.check(SPACE)
    drawn = dependence.sample(SPACE, 500, generator=generator(3))
    assert drawn.shape == (500, 4)
    assert drawn.isfinite().all()
    assert set(drawn[:, 2].tolist()) == {0.0, 1.0, 2.0}
    assert torch.equal(drawn, dependence.sample(SPACE, 500, generator=generator(3)))
    assert not torch.equal(drawn, dependence.sample(SPACE, 500, generator=generator(4)))


@pytest.mark.parametrize(
    "dependence",
    [
        Independent(),
        Gaussian.wishart(4, generator=generator(5)),
        linear_equations(REAL, {"a": (), "b": ("a",), "c": ("a", "b"), "d": ("c",)}, generator=generator(6)),
    ],
    ids=lambda d: type(d).__name__,
)
def test_the_stated_covariance_is_that_of_the_draws(dependence: Dependence) -> None:
    stated = dependence.gaussian_covariance(REAL)
    drawn = dependence.sample(REAL, 200_000, generator=generator(0)).double()
    scale = stated.diagonal().sqrt()
    torch.testing.assert_close(
        drawn.T.cov() / scale / scale[:, None], stated / scale / scale[:, None], rtol=0, atol=0.02
    )


def gaussian_factors(dependence: Dependence, space: FactorSpace) -> set[str]:
    covariance = dependence.gaussian_covariance(space)
    known = ~covariance.isnan()
    assert torch.equal(known, known.diagonal()[:, None] & known.diagonal())
    return {name for name, own in zip(space.names, known.diagonal().tolist(), strict=True) if own}


def test_a_covariance_is_stated_of_what_is_gaussian_and_of_nothing_else() -> None:
    wide = Gaussian.wishart(4, generator=generator(0))
    equations = {"a": (), "b": ("a",), "c": (), "d": ("c",)}
    bent = nonlinear_equations(REAL, equations, generator=generator(0))
    line = linear_equations(REAL, equations, generator=generator(0))
    half = StructuralEquations(dict(line.equations) | {"b": bent.equations["b"]})
    assert gaussian_factors(wide, SPACE) == gaussian_factors(Independent(), SPACE) == {"a", "b", "c"}
    assert gaussian_factors(Independent("uniform"), REAL) == set()
    assert gaussian_factors(bent, REAL) == {"a", "c"}
    assert gaussian_factors(half, REAL) == {"a", "c", "d"}
    assert gaussian_factors(Shifted(wide, {"a": Scale(2.0), "b": Decouple()}), REAL) == set("abcd")
    assert gaussian_factors(Shifted(wide, {"a": HeavyTail()}), REAL) == set("bcd")


def test_discrete_effects_of_any_causes_have_nearly_equally_probable_values() -> None:
    space = FactorSpace((Factor("many", tuple(map(str, range(40)))), Factor("a"), Factor("few", ("x", "y", "z", "w"))))
    graph = {"many": (), "a": ("many",), "few": ("many", "a")}
    for make in (linear_equations, nonlinear_equations):
        for seed in range(4):
            drawn = make(space, graph, generator=generator(seed)).sample(space, 20_000, generator=generator(9))
            assert drawn[:, 2].long().bincount(minlength=4).max() < 0.4 * 20_000
            assert drawn[:, 1].std() < 5


def test_a_cycle_is_named_from_cause_to_effect() -> None:
    edges = {"b": ("a",), "c": ("b",), "a": ("c",)}
    with pytest.raises(VergenceError, match=r"a -> b -> c -> a|b -> c -> a -> b|c -> a -> b -> c"):
        causal_order(edges)


def test_a_gaussian_discrete_factor_has_equally_probable_values_and_keeps_its_dependence() -> None:
    tied = Gaussian(torch.eye(4) * 0.1 + 3.0)
    drawn = tied.sample(SPACE, 30_000, generator=generator(0))
    torch.testing.assert_close(drawn[:, 2].long().bincount() / 30_000, torch.full((3,), 1 / 3), atol=0.015, rtol=0)
    assert torch.corrcoef(drawn.T)[0, 2] > 0.8


@given(st.integers(1, 12), st.floats(0, 1), st.integers(0, 10_000))
def test_a_random_graph_is_acyclic_and_runs_along_one_order(n: int, edge_probability: float, seed: int) -> None:
    space = FactorSpace(tuple(Factor(f"s{i}") for i in range(n)))
    graph = random_graph(space, edge_probability=edge_probability, generator=generator(seed))
    order = causal_order(graph)
    assert sorted(order) == sorted(space.names)
    assert all(order.index(parent) < order.index(child) for child, parents in graph.items() for parent in parents)


def test_effects_follow_their_causes_and_nothing_else() -> None:
    equations = {
        "a": Equation((), lambda parents, u: u),
        "b": Equation(("a",), lambda parents, u: 2 * parents[:, 0]),
        "c": Equation(("b",), lambda parents, u: parents[:, 0] + 1),
        "d": Equation((), lambda parents, u: u, "uniform"),
    }
    model = StructuralEquations(equations)
    drawn = model.sample(REAL, 50, generator=generator(0))
    torch.testing.assert_close(drawn[:, 1:3], torch.stack([2 * drawn[:, 0], 2 * drawn[:, 0] + 1], dim=1))
    assert model.descendants("a") == {"b", "c"}
    assert model.descendants("c") == frozenset()


def test_a_heavy_tail_stretches_and_lets_a_tenth_jump() -> None:
    old = Independent().sample(REAL, 20_000, generator=generator(0))
    new = Shifted(Independent(), {"c": HeavyTail()}).sample(REAL, 20_000, generator=generator(0))
    assert torch.equal(old[:, [0, 1, 3]], new[:, [0, 1, 3]])
    jumps = new[:, 2].abs() == 10
    assert 0.09 < jumps.float().mean() < 0.11
    torch.testing.assert_close(new[~jumps, 2], old[~jumps, 2].sign() * 2 * old[~jumps, 2] ** 2)


def test_decoupling_keeps_the_marginal_and_cuts_the_dependence() -> None:
    tied = Gaussian(torch.eye(4) * 0.1 + 1.0)
    drawn = Shifted(tied, {"b": Decouple()}).sample(REAL, 20_000, generator=generator(0))
    correlation = torch.corrcoef(drawn.T)
    assert correlation[0, 1].abs() < 0.03
    assert correlation[0, 2] > 0.8
    assert abs(drawn[:, 1].var() - 1.1) < 0.05


def drawn_with(mechanism, name: str = "a") -> None:
    factor = SPACE[name]
    StructuralEquations({name: Equation((), mechanism)}).sample(FactorSpace((factor,)), 50, generator=generator(0))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Independent("cauchy"), "unknown marginal 'cauchy'; known: normal, uniform"),
        (lambda: Independent(probabilities={"shape": (0.5, 0.6)}), "probabilities of factor 'shape' must sum to 1"),
        (lambda: Independent(probabilities={"shape": (1.5, -0.5)}), "must be a probability"),
        (lambda: Independent(probabilities={"shape": (0.5, 0.5)}).check(SPACE), "one per value; got 2 for 3 values"),
        (lambda: Independent(probabilities={"a": (0.5, 0.5)}).check(SPACE), "got 2 for a continuous factor"),
        (lambda: Gaussian(torch.ones(2, 3)), "covariance must be a square matrix"),
        (lambda: Gaussian(torch.tensor([[1.0, 0.5], [0.0, 1.0]])), "covariance must be symmetric"),
        (lambda: Gaussian(torch.ones(2, 2)), "covariance must be positive definite"),
        (
            lambda: Gaussian(torch.diag(torch.tensor([1.0, torch.inf]))),
            "covariance holds 1 entries that are NaN or inf",
        ),
        (lambda: Equation(("a", "a"), Linear((1.0, 2.0))), "parents must be named once each; got a, a"),
        (lambda: Equation(("a",), Linear((1.0, 2.0))), "linear weights must be one per parent; got 2 for 1"),
        (lambda: drawn_with(lambda p, u: u.log()), "mechanism of factor 'a' holds .* NaN or infinite"),
        (lambda: drawn_with(lambda p, u: u[:2]), r"'a' must give one value for each of 50 items; got shape \(2,\)"),
        (
            lambda: drawn_with(lambda p, u: u * 9, "shape"),
            "must give positions of its 3 values, whole numbers from 0 to",
        ),
        (lambda: Gaussian(torch.eye(3)).check(SPACE), "but the space has 4 factors"),
        (lambda: wishart(0, generator=generator(0)), "n must be >= 1"),
        (lambda: Equation((), lambda parents, u: u, "levy"), "unknown noise 'levy'"),
        (lambda: Linear((1.0,), 0.0), "noise_scale must be a finite number > 0"),
        (lambda: Nonlinear(torch.ones(2, 1), torch.ones(2), -1.0), "noise_scale must be a finite number > 0"),
        (
            lambda: StructuralEquations({n: Equation((p,), lambda parents, u: u) for n, p in (("a", "b"), ("b", "a"))}),
            "the causal graph has a cycle",
        ),
        (lambda: StructuralEquations({"a": Equation(("z",), lambda parents, u: u)}), "unknown factor 'z'; known: a"),
        (lambda: StructuralEquations({"a": Equation((), lambda parents, u: u)}).check(REAL), "unknown factor 'b'"),
        (lambda: random_graph(REAL, edge_probability=1.1, generator=generator(0)), "edge_probability must be"),
        (lambda: linear_equations(REAL, {"a": ()}, generator=generator(0)), "unknown factor 'b'; known: a"),
        (lambda: Scale(0.0), "by must be a finite number > 0"),
        (lambda: HeavyTail(outlier_rate=2.0), "outlier_rate must be a probability"),
        (lambda: Shifted(Independent(), {"shape": Scale(2.0)}).check(SPACE), "only Decouple can shift it"),
        (lambda: Shifted(Independent(), {"hue": Scale(2.0)}).check(SPACE), "unknown factor 'hue'"),
    ],
)
def test_impossible_dependences_are_refused(make, message: str) -> None:
    with pytest.raises(VergenceError, match=message):
        make()

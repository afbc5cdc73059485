"""Closed forms against plain loops that transcribe them, and regressions against closed forms."""

import math

import pytest
import torch

from vergence import Factor, FactorSpace, Misalignment
from vergence.latent import (
    Captioning,
    Decouple,
    Equation,
    Gaussian,
    HeavyTail,
    Independent,
    LatentModel,
    Rounded,
    Scale,
    Shifted,
    StructuralEquations,
    condition_numbers,
    linear_equations,
    mlp_mixing,
    oracle_matthews,
    oracle_r2,
    record_r2,
    regression,
    wishart,
)
from vergence.latent.regression import matthews_of_confusion
from vergence.random import generator

NAMES = tuple("abcde")
SPACE = FactorSpace(tuple(Factor(name) for name in NAMES))


def slow_r2(covariance: list[list[float]], block: list[int], target: int) -> float:
    """Explained variance by Gauss-Jordan elimination: condition on one variable of the block after the other."""
    left = [row[:] for row in covariance]
    for pivot in block:
        if pivot == target:
            return 1.0
        row = left[pivot][:]
        left = [
            [left[i][j] - left[i][pivot] * row[j] / row[pivot] for j in range(len(left))] if i != pivot else row
            for i in range(len(left))
        ]
    return 1 - left[target][target] / covariance[target][target]


@pytest.mark.parametrize("block", [(0,), (1, 3), (0, 2, 3), (0, 1, 2, 3), (0, 1, 2, 3, 4)])
def test_the_gaussian_oracle_conditions_on_the_block(block: tuple[int, ...]) -> None:
    covariance = wishart(5, generator=generator(0))
    oracle = oracle_r2(LatentModel(SPACE, Gaussian(covariance)), Misalignment({NAMES[i] for i in block}))
    for target, name in enumerate(NAMES):
        assert oracle[name] == pytest.approx(slow_r2(covariance.tolist(), list(block), target), abs=1e-12)


@pytest.mark.slow
@pytest.mark.usefixtures("short")
def test_the_oracle_is_closed_form_wherever_block_and_target_are_gaussian() -> None:
    covariance = wishart(5, generator=generator(0))
    space = FactorSpace((*(Factor(name) for name in "abcd"), Factor("e", ("x", "y"))))
    shifted = Shifted(Gaussian(covariance), {"a": Scale(3.0), "b": HeavyTail()})
    for dependence in (Gaussian(covariance), shifted):
        oracle = oracle_r2(LatentModel(space, dependence), Misalignment({"a", "c"}))
        assert oracle["d"] == pytest.approx(slow_r2(covariance.tolist(), [0, 2], 3), abs=1e-12)
        assert oracle.errors["d"] == 0.0
    cut = oracle_r2(LatentModel(SPACE, Shifted(Gaussian(covariance), {"d": Decouple()})), Misalignment({"a", "c"}))
    assert cut["d"] == cut.errors["d"] == 0.0
    assert cut["b"] == pytest.approx(slow_r2(covariance.tolist(), [0, 2], 1), abs=1e-12)


def test_what_no_text_mentions_is_not_in_the_block() -> None:
    covariance = wishart(5, generator=generator(0))
    model = LatentModel(SPACE, Gaussian(covariance))
    oracle = oracle_r2(model, Misalignment.of_rates({"a": 0.0, "b": 1.0}))
    assert oracle["a"] == pytest.approx(slow_r2(covariance.tolist(), [1], 0), abs=1e-12)
    assert set(oracle_r2(model, Misalignment.of_rates({"a": 0.0, "b": 0.0})).values()) == {0.0}


def test_the_covariance_of_linear_equations_sums_over_paths() -> None:
    graph = {"a": (), "b": ("a",), "c": ("a", "b"), "d": (), "e": ("c", "d")}
    equations = linear_equations(SPACE, graph, generator=generator(0))
    effect = {source: {name: float(name == source) for name in NAMES} for source in NAMES}
    for source in NAMES:  # alphabetical is causal here
        for name in NAMES:
            weights = zip(graph[name], equations.equations[name].mechanism.weights, strict=True)
            effect[source][name] += sum(weight * effect[source][parent] for parent, weight in weights)
    slow = [[sum(effect[s][i] * effect[s][j] for s in NAMES) for j in NAMES] for i in NAMES]
    torch.testing.assert_close(equations.gaussian_covariance(SPACE), torch.tensor(slow, dtype=torch.float64))


def test_a_mixing_is_layers_with_leaky_relus_between() -> None:
    mixing = mlp_mixing(3, generator=generator(0), n_draws=500)
    point = [0.3, -1.2, 0.7]
    slow = point
    for layer, weight in enumerate(mixing.weights.tolist()):
        if layer:
            slow = [x if x >= 0 else 0.2 * x for x in slow]
        slow = [sum(slow[i] * weight[i][j] for i in range(3)) for j in range(3)]
    mixed = mixing(torch.tensor([point], dtype=torch.float64))
    torch.testing.assert_close(mixed[0], torch.tensor(slow, dtype=torch.float64))


def test_condition_numbers_agree_with_finite_differences() -> None:
    mixing = mlp_mixing(4, generator=generator(0), n_draws=500)
    points = torch.randn(5, 4, dtype=torch.float64, generator=generator(1))
    for point, number in zip(points, condition_numbers(mixing, points), strict=True):
        steps = [(mixing((point + 1e-6 * e)[None]) - mixing((point - 1e-6 * e)[None]))[0] / 2e-6 for e in torch.eye(4)]
        assert torch.linalg.cond(torch.stack(steps)).item() == pytest.approx(number.item(), rel=1e-5)


def test_matthews_of_two_values_is_the_phi_coefficient() -> None:
    tp, fn, fp, tn = 40, 10, 5, 45
    phi = (tp * tn - fp * fn) / math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    assert matthews_of_confusion(torch.tensor([[tp, fn], [fp, tn]])) == pytest.approx(phi)
    assert matthews_of_confusion(torch.tensor([[50, 0], [50, 0]])) == 0.0


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two short rounds: enough for what is nearly linear or has few values."""
    monkeypatch.setattr(regression, "_ROUNDS", (640, 640))


@pytest.mark.slow
@pytest.mark.usefixtures("short")
def test_the_regression_reaches_the_closed_form_within_its_error() -> None:
    covariance, bias = wishart(5, generator=generator(0)), Misalignment({"a", "b"})
    closed = oracle_r2(LatentModel(SPACE, Gaussian(covariance)), bias)
    fitted = record_r2(LatentModel(SPACE, Gaussian(covariance)), bias)
    for name in NAMES:
        assert abs(fitted[name] - closed[name]) <= 3 * fitted.errors[name] + 1e-3


def of_one_cause(mechanism) -> LatentModel:
    equations = {"a": Equation((), lambda p, u: u), "b": Equation(("a",), mechanism)}
    return LatentModel(FactorSpace(SPACE.factors[:2]), StructuralEquations(equations))


@pytest.mark.slow
def test_the_regression_finds_what_bends_and_what_turns_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regression, "_ROUNDS", (1_280, 2_560))
    bends = oracle_r2(of_one_cause(lambda p, u: p[:, 0].abs() + 0.5 * u), Misalignment({"a"}))
    variance = 1 - 2 / math.pi  # of |a|
    assert abs(bends["b"] - variance / (variance + 0.25)) <= 3 * bends.errors["b"]
    turns = oracle_r2(of_one_cause(lambda p, u: torch.sin(8 * p[:, 0]) + 0.3 * u), Misalignment({"a"}))
    assert abs(turns["b"] - 0.5 / 0.59) <= 3 * turns.errors["b"]
    assert bends.errors["b"] < 0.02
    assert turns.errors["b"] < 0.05


@pytest.mark.slow
@pytest.mark.usefixtures("short")
def test_a_regression_on_dozens_of_tied_variables_reaches_the_closed_form() -> None:
    space = FactorSpace(tuple(Factor(f"s{i}") for i in range(60)))
    covariance = wishart(60, generator=generator(0))
    model, bias = LatentModel(space, Gaussian(covariance)), Misalignment(space.names[:57])
    closed, fitted = oracle_r2(model, bias), record_r2(model, bias)
    for name in space.names[57:]:
        assert abs(fitted[name] - closed[name]) <= 3 * fitted.errors[name] + 1e-3


@pytest.mark.slow
@pytest.mark.usefixtures("short")
def test_a_rare_value_is_predicted_by_the_rule_that_correlates_best() -> None:
    space = FactorSpace((Factor("x", ("a", "b")), Factor("y", ("no", "yes"))))
    equations = {
        "x": Equation((), lambda p, u: (u < 0.5).float(), "uniform"),
        "y": Equation(("x",), lambda p, u: (u < torch.where(p[:, 0] > 0, 0.40, 0.05)).float(), "uniform"),
    }
    oracle = oracle_matthews(LatentModel(space, StructuralEquations(equations)), Misalignment({"x"}))
    share = (0.40 + 0.05) / 2
    phi = (0.5 * 0.40 - 0.5 * share) / math.sqrt(0.25 * share * (1 - share))  # "yes" is never the more probable value
    assert abs(oracle["y"] - phi) <= 3 * oracle.errors["y"]
    constant = LatentModel(space, Independent(probabilities={"x": (1.0, 0.0)}))
    assert oracle_matthews(constant, Misalignment({"x", "y"}))["x"] == 0.0


@pytest.mark.slow
@pytest.mark.usefixtures("short")
def test_a_factor_written_coarsely_is_known_coarsely() -> None:
    model = LatentModel(SPACE, captioning=Captioning(record={"a": Rounded((-1.0, 1.0))}))
    oracle = oracle_r2(model, Misalignment({"a", "b"}))
    assert oracle["b"] == 1.0
    assert oracle["a"] == pytest.approx(2 / math.pi, abs=3 * oracle.errors["a"])  # R² of s from its sign
    assert oracle["c"] == 0.0
    assert oracle.errors["c"] == 0.0


@pytest.mark.slow
@pytest.mark.usefixtures("short")
def test_a_text_tells_of_a_factor_as_often_as_it_mentions_it() -> None:
    model, bias = LatentModel(SPACE, captioning=Captioning(mismatch=0.2)), Misalignment.of_rates({"a": 0.3, "b": 1.0})
    record = record_r2(model, bias)
    # a mention is right with probability 0.8: slope 0.8, and it explains 0.8² of the variance where there is one
    assert record["a"] == pytest.approx(0.3 * 0.64, abs=0.02)
    assert record["b"] == pytest.approx(0.64, abs=0.02)
    assert record["c"] < 0.01
    assert oracle_r2(model, bias)["a"] == 1.0


@pytest.mark.slow
@pytest.mark.usefixtures("short")
def test_the_discrete_oracle_finds_the_most_probable_value() -> None:
    space = FactorSpace((Factor("shape", ("cube", "ball")), Factor("tone", ("dark", "light")), Factor("hue")))
    rho = 0.9
    covariance = torch.tensor([[1.0, rho, 0.0], [rho, 1.0, 0.0], [0.0, 0.0, 1.0]])
    model = LatentModel(space, Gaussian(covariance))
    oracle = oracle_matthews(model, Misalignment({"shape", "hue"}))
    agreement = 0.5 + math.asin(rho) / math.pi
    assert oracle["shape"] == 1.0
    assert oracle["tone"] == pytest.approx(2 * agreement - 1, abs=3 * oracle.errors["tone"])
    assert "hue" not in oracle
    assert oracle_matthews(LatentModel(space, Independent()), Misalignment({"shape"}))["tone"] == 0.0

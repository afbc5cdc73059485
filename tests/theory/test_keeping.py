"""Amplitudes against minimised and simulated losses, budgets, functions of what is held, and who gets an output."""

from math import inf, isnan, log, sqrt

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize, minimize_scalar
from scipy.special import ive

from vergence import Factor, FactorSpace, Misalignment
from vergence.errors import ConfigError
from vergence.theory import kept, spectrum, threshold
from vergence.theory.amplitudes import excess, free, on_sphere

sigmas = st.floats(0.0, 0.99)
betas, taus = st.floats(0, 10), st.floats(0.02, 5)


def table(*strengths: float, multiplicity: int = 1) -> pd.DataFrame:
    rows = [((f"s{place}",), 1, sigma, multiplicity) for place, sigma in enumerate(strengths)]
    return pd.DataFrame(rows, columns=["factors", "order", "strength", "multiplicity"])


def slow_loss(y: float, sigma: float, weight: float = 1.0) -> float:
    """A direction's part of the loss, as docs/theory.md has it."""
    return y * (1 - sigma) * weight - log(1 + y) / 2 - y / (1 + y) / 2


def batch_loss(image: np.ndarray, text: np.ndarray, tau: float) -> float:
    """Symmetric InfoNCE with squared distances, less log B."""
    squares = (image[:, None] - text[None]) ** 2
    logits = -(squares if squares.ndim == 2 else squares.sum(axis=-1)) / tau
    rows = np.log(np.exp(logits).mean(axis=1)) + np.log(np.exp(logits).mean(axis=0))
    return float(-np.diag(logits).mean() + rows.mean() / 2)


@pytest.mark.parametrize(("sigma", "y"), [(0.9, 2.0), (0.5, 0.7), (0.0, 1.0), (1.0, 3.0)])
def test_the_loss_of_a_gaussian_direction_is_that_of_a_large_batch(sigma: float, y: float) -> None:
    rng, tau = np.random.default_rng(0), 0.7
    s = rng.normal(size=4000)
    t = sigma * s + sqrt(1 - sigma**2) * rng.normal(size=4000)
    scale = sqrt(y * tau / 2)
    assert batch_loss(scale * s, scale * t, tau) == pytest.approx(slow_loss(y, sigma), abs=0.06)


@given(sigmas, betas, taus)
def test_amplitudes_minimise_the_loss(sigma: float, beta: float, tau: float) -> None:
    weight = 1 + beta * tau
    (y,) = kept(table(sigma), encoding_size=1, bottleneck=beta, temperature=tau)["y"]
    best = minimize_scalar(lambda one: slow_loss(one, sigma, weight), bounds=(0, 1e3), method="bounded").fun
    assert slow_loss(y, sigma, weight) <= best + 1e-7


@given(sigmas, betas, taus)
def test_a_direction_is_kept_if_and_only_if_it_is_stronger_than_the_threshold(sigma, beta, tau) -> None:
    found = kept(table(sigma), encoding_size=1, bottleneck=beta, temperature=tau)
    least = threshold(beta, tau)
    assert found.attrs["threshold"] == least
    if abs(sigma - least) > 1e-6:
        assert (found["y"][0] > 0) == (found["kept"][0] == 1) == (sigma > least)


@pytest.mark.parametrize("values", ["gaussian", "signs", "skewed"])
def test_the_threshold_needs_no_gaussians(values: str) -> None:
    """The second-order change of the loss of any distribution is 2a² (β (1 - σ) - σ/τ)."""
    rng, n, tau, sigma, beta = np.random.default_rng(0), 3000, 0.8, 0.5, 0.7
    s = {
        "gaussian": rng.normal(size=n),
        "signs": rng.choice([-1.0, 1.0], size=n),
        "skewed": rng.exponential(size=n) - 1,
    }[values]
    s = (s - s.mean()) / s.std()
    t = np.where(rng.random(n) < sigma, s, rng.permutation(s))  # redrawn from its own distribution
    seen, a = float(np.mean(s * t)), 0.05
    change = batch_loss(a * s, a * t, tau) + beta * float(np.mean((a * s - a * t) ** 2))
    spread = (s**2).mean() + (t**2).mean() - 2 * s.mean() * t.mean()
    assert change == pytest.approx(2 * a**2 * (beta * (1 - seen) - seen / tau) * spread / 2, abs=0.05 * a**2)


def test_at_the_edges_amplitudes_are_nothing_or_without_bound() -> None:
    assert free(np.array([1.0, 1.5, 0.0, -0.1])).tolist() == [0.0, 0.0, inf, inf]
    found = kept(table(1.0, 0.5), encoding_size=2)
    assert found["y"].tolist() == [inf, pytest.approx((sqrt(5) - 1) / 2)]
    assert found["share"].tolist() == [1.0, 0.0]


def test_equal_directions_share_the_outputs_that_are_left() -> None:
    found = kept(table(0.9, 0.5, 0.5, 0.5, 0.2), encoding_size=3)
    assert found["kept"].tolist() == pytest.approx([1, 2 / 3, 2 / 3, 2 / 3, 0])
    found = kept(table(0.9, 0.5, multiplicity=4), encoding_size=6)
    assert found["kept"].tolist() == [4, 2]
    assert found["share"].sum() == pytest.approx(1)


@given(st.lists(sigmas, min_size=1, max_size=6), st.integers(1, 8), taus, st.floats(0, 3))
def test_standardized_outputs_spend_their_whole_variance_and_no_other_split_is_better(sigmas, n, tau, beta) -> None:
    found = kept(table(*sigmas), encoding_size=n, bottleneck=beta, temperature=tau, constraint="standardized")
    assert (found["kept"] * found["y"]).sum() == pytest.approx(2 * n / tau, rel=1e-6)
    weight, y = 1 + beta * tau, (found["kept"] * found["y"]).to_numpy()
    held = found["kept"].to_numpy() == 1
    if held.sum() < 2:
        return

    def loss(parts: np.ndarray) -> float:
        return sum(slow_loss(one, sigma, weight) for one, sigma in zip(parts, np.array(sigmas)[held], strict=True))

    best, rng = loss(y[held]), np.random.default_rng(0)
    for _ in range(20):
        moved = rng.dirichlet(np.ones(held.sum())) * y[held].sum()
        assert best <= loss(0.9 * y[held] + 0.1 * moved) + 1e-9


def test_no_linear_encoder_with_outputs_of_unit_variance_does_better_than_the_budget() -> None:
    """Minimised over all matrices with rows of unit length, in closed form for Gaussian directions."""
    sigma, n, tau = np.array([0.95, 0.8, 0.5, 0.0]), 3, 0.6

    def loss(flat: np.ndarray) -> float:
        rows = flat.reshape(n, 4)
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        y = np.linalg.eigvalsh(2 * rows @ rows.T / tau).clip(0)
        far = 2 / tau * np.trace(rows @ np.diag(1 - sigma) @ rows.T)
        return float(far - np.sum(np.log1p(y) / 2 + y / (1 + y) / 2))

    rng = np.random.default_rng(0)
    best = min(minimize(loss, rng.normal(size=4 * n)).fun for _ in range(6))
    found = kept(table(*sigma), encoding_size=n, temperature=tau, constraint="standardized")
    law = sum(slow_loss(y, one) for y, one in zip(found["y"], sigma, strict=True))
    assert law == pytest.approx(best, abs=1e-5)


def test_on_the_sphere_shares_are_those_of_the_least_loss() -> None:
    sigma, tau, n = (0.9, 0.6, 0.0), 0.3, 2500
    shares = np.array(on_sphere(sigma, 1 / tau, tau))
    assert shares.sum() == pytest.approx(1)
    rng = np.random.default_rng(5)
    s = rng.normal(size=(n, 3))
    t = np.array(sigma) * s + np.sqrt(1 - np.array(sigma) ** 2) * rng.normal(size=(n, 3))

    def loss(scales: np.ndarray) -> float:  # other points than those of the law
        z, other = (side * scales for side in (s, t))
        z, other = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in (z, other))
        cosines = z @ other.T / tau
        powers = np.exp(cosines - 1 / tau)
        np.fill_diagonal(powers, 0)
        return float(
            np.log(powers.sum(axis=0)).mean() / 2 + np.log(powers.sum(axis=1)).mean() / 2 - np.diag(cosines).mean()
        )

    found = minimize(loss, [1.0, 0.7, 0.2], bounds=[(1e-3, None)] * 3).x
    z = s * found
    spread = (z / np.linalg.norm(z, axis=1, keepdims=True)).var(axis=0)
    assert shares == pytest.approx(spread / spread.sum(), abs=0.03)
    assert on_sphere((0.3,), 1.0, 1.0) == (1.0,)


def test_a_bottleneck_on_the_sphere_favours_the_strong_and_equal_ones_share() -> None:
    plain, tight = (kept(table(0.9, 0.5, 0.0), encoding_size=3, bottleneck=beta, temperature=0.2, constraint="unit")
                    for beta in (0.0, 5.0))  # fmt: skip
    assert tight["share"][0] > plain["share"][0]
    assert tight["share"][2] < 0.01
    tie = kept(table(0.9, 0.5, 0.5), encoding_size=2, temperature=0.2, constraint="unit")
    assert tie["kept"].tolist() == [1, 0.5, 0.5]
    assert tie["share"][1] == pytest.approx(tie["share"][2])
    assert tie["share"].sum() == pytest.approx(1)
    turned = kept(table(0.5, 0.5, 0.9), encoding_size=2, temperature=0.2, constraint="unit")  # in any order of rows
    assert turned["share"].tolist() == pytest.approx([tie["share"][1], tie["share"][1], tie["share"][0]])
    assert tie["y"].isna().all()


@given(st.floats(0.05, 0.999), st.floats(0.05, 0.999), betas, taus, st.integers(2, 5))
def test_at_free_scale_no_function_of_what_is_held_is_worth_an_output(one, two, beta, tau, order) -> None:
    """Products: ab (3ab - a - b - 1)/4 at β = 0, with a = 1/(1 + y); never above 0, as docs/theory.md shows."""
    space = FactorSpace((Factor("a"), Factor("b")))
    rows = spectrum(Misalignment.of_rates({"a": one**2, "b": two**2}), space)
    powers = [(("a",), degree, one**degree, 1) for degree in range(2, order + 1)]
    more = pd.DataFrame(
        [*powers, (("a", "b"), 2, one * two, 1)], columns=["factors", "order", "strength", "multiplicity"]
    )
    given_rows = pd.concat([rows, more], ignore_index=True)
    found = kept(given_rows, encoding_size=9, bottleneck=beta, temperature=tau)
    functions = found[found["order"] > 1]
    assert (functions["slope"] <= 1e-9).all()
    assert (functions["kept"] == 0).all()
    if beta == 0:
        a, b = (1 / (1 + float(found["y"][found["factors"] == (name,)].iloc[0])) for name in "ab")
        expected = a * b * (3 * a * b - a - b - 1) / 4
        assert functions["slope"].iloc[-1] == pytest.approx(expected, abs=1e-9)


def test_the_slope_of_a_function_is_that_of_a_simulated_loss() -> None:
    """s is held at y = 1.5; a second output begins to hold its quadratic."""
    rng, n, tau, sigma, y = np.random.default_rng(0), 5000, 1.0, 0.8, 1.5
    s = rng.normal(size=n)
    t = sigma * s + sqrt(1 - sigma**2) * rng.normal(size=n)
    scale, a = sqrt(y * tau / 2), 0.12
    quadratic = [(side**2 - 1) / sqrt(2) for side in (s, t)]
    before = batch_loss(scale * np.stack([s, 0 * s], 1), scale * np.stack([t, 0 * t], 1), tau)
    after = batch_loss(np.stack([scale * s, a * quadratic[0]], 1), np.stack([scale * t, a * quadratic[1]], 1), tau)
    width = 1 / (1 + y)
    spread = (1 - width) ** 2 + width
    told = (1 + (3 * spread**2 - 2 * spread + 1) / 2) / 2 - (1 - width) ** 2 - (1 - sigma**2)
    assert (before - after) / (2 * a**2 / tau) == pytest.approx(told, abs=0.06)


def test_under_a_budget_functions_of_exact_factors_are_worth_an_output() -> None:
    space = FactorSpace((Factor("exact"), Factor("weak")))
    rows = spectrum(Misalignment.of_rates({"exact": 1.0, "weak": 0.49}), space, order=2)
    found = kept(rows, encoding_size=2, constraint="standardized")
    quadratic = found[(found["factors"] == ("exact",)) & (found["order"] == 2)]
    assert quadratic["slope"].item() > 0
    assert isnan(quadratic["kept"].item())  # not decided
    # Two outputs that carry the exact factor round a circle beat one for each of both factors.
    tau, plain = 1.0, found[found["order"] == 1]
    law = sum(slow_loss(y, sigma) for y, sigma in zip(plain["y"], plain["strength"], strict=True))
    circle = log(ive(0, 4 / tau))
    assert circle < law - 0.15
    # Any function of the block that is distributed as the outputs of another encoder does at least as well as it.
    rng = np.random.default_rng(0)
    angle = 2 * np.pi * rng.random(3000)
    z = sqrt(2) * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    assert batch_loss(z, z, tau) == pytest.approx(circle, abs=0.02)


def test_of_functions_in_unequal_degrees_nothing_is_told() -> None:
    space = FactorSpace((Factor("a"), Factor("b"), Factor("size", tuple("xyz"))))
    bias = Misalignment.of_rates({"a": 0.81, "b": 0.25, "size": (0.9, 0.5, 0.1)})
    found = kept(spectrum(bias, space, order=3), encoding_size=9)
    told = {(row.factors, row.order): isnan(row.slope) for row in found.itertuples()}
    assert told[(("a", "b"), 3)]  # a² b or a b²
    assert told[(("a", "size"), 2)]  # which of the two directions of sizes
    assert not told[(("a", "b"), 2)]
    assert not told[(("a",), 3)]


def test_one_way_the_optimum_is_the_true_density_ratio() -> None:
    """r = σ²/(1 - σ²) of texts and p = 1/(1 - σ²) of images: as σ falls images stay apart at no cost."""

    def loss(scales: np.ndarray, sigma: float) -> float:
        p, r = scales**2
        return (p + r) / 2 - sigma * sqrt(p * r) - log(1 + r) / 2 - p / (1 + r) / 2

    for sigma in (0.3, 0.6, 0.9):
        found = minimize(loss, [1.0, 0.5], args=(sigma,), tol=1e-12)
        assert found.x**2 == pytest.approx([1 / (1 - sigma**2), sigma**2 / (1 - sigma**2)], rel=1e-3)
        assert found.fun == pytest.approx(log(1 - sigma**2) / 2, abs=1e-9)  # minus the information, in nats
    assert loss(np.array([0.7, 0.0]), 0.0) == pytest.approx(0)  # flat


def test_what_is_told_of_pairs_is_bounded_by_the_information_of_the_channel() -> None:
    sigmas = (0.9, 0.7, 0.3)
    found = kept(table(*sigmas), encoding_size=3)
    information = -sum(log(1 - sigma**2) for sigma in sigmas) / 2
    assert 0 < found.attrs["nats"] < information


@pytest.mark.parametrize(("sigma", "channel"), [(0.3, "noise"), (0.8, "noise"), (0.8, "redraw")])
def test_a_small_batch_adds_to_the_loss_what_is_told_of_it(sigma: float, channel: str) -> None:
    rng, tau, batch, y = np.random.default_rng(0), 1.0, 32, (0.8, 0.4)
    told = excess(y, (sigma, 0.0), (1, 1)) / batch
    if channel == "redraw":  # most pairs are exact: 1 + σy in place of (1 + y)/(1 + y (1 - σ))
        told += (1 + sigma * y[0] - (1 + y[0]) / (1 + y[0] * (1 - sigma))) / batch
    scales = np.sqrt(np.array(y) * tau / 2)
    found = []
    for _ in range(4000):
        s, other = rng.normal(size=(2, batch, 2))
        t = np.array([sigma, 0.0]) * s + np.sqrt(1 - np.array([sigma, 0.0]) ** 2) * other
        if channel == "redraw":
            t[:, 0] = np.where(rng.random(batch) < sigma, s[:, 0], other[:, 0])
        found.append(batch_loss(scales * s, scales * t, tau))
    limit = slow_loss(y[0], sigma) + slow_loss(y[1], 0.0)
    assert np.mean(found) - limit == pytest.approx(told, abs=4 * np.std(found) / sqrt(4000) + 4 / batch**2)
    assert kept(table(0.5), encoding_size=1).attrs["excess"] > 0
    assert kept(table(1.0), encoding_size=1).attrs["excess"] == inf


def test_what_is_not_stated_is_not_decided() -> None:
    found = kept(table(0.9, float("nan")), encoding_size=2)
    assert found["kept"].tolist()[0] == 1
    assert found.iloc[1][["kept", "y", "share"]].isna().all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoding_size": 0}, "encoding_size must be >= 1; got 0"),
        ({"encoding_size": 1, "bottleneck": -1}, "bottleneck must be .* >= 0"),
        ({"encoding_size": 1, "temperature": 0}, "temperature must be .* above 0|temperature must be .*> 0"),
        ({"encoding_size": 1, "constraint": "cosine"}, "unknown constraint 'cosine'; known: free, unit, standardized"),
    ],
)
def test_impossible_settings_are_refused(options, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        kept(table(0.5), **options)


def test_a_table_that_is_no_spectrum_is_refused() -> None:
    with pytest.raises(ConfigError, match="these are missing: strength"):
        kept(table(0.5).drop(columns="strength"), encoding_size=1)
    with pytest.raises(ConfigError, match="got an empty table"):
        kept(table(), encoding_size=1)

"""Two standardised outputs, an exact factor and a weak one: what bends is spent on the exact one."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import norm, qmc

POINTS, SIGMA = 512, 0.7


def readings(phase: np.ndarray, weak: np.ndarray, harmonics: int) -> np.ndarray:
    """The exact factor, the weak one, harmonics of the first and products of the lowest with the second."""
    exact = norm.ppf(np.clip(phase / (2 * np.pi), 1e-9, 1 - 1e-9))
    waves = [wave(k * phase) * np.sqrt(2) for k in range(1, harmonics + 1) for wave in (np.cos, np.sin)]
    return np.stack([exact, weak, *waves, waves[0] * weak, waves[1] * weak], axis=1)


def of_weights(flat: np.ndarray, image: np.ndarray, text: np.ndarray, tau: float) -> tuple[float, np.ndarray]:
    """Symmetric InfoNCE of standardised linear readings, less log of the number of candidates; and its gradient."""
    weights = flat.reshape(image.shape[1], 2)
    a, b = image @ weights, text @ weights
    spread = [np.sqrt((side**2).mean(axis=0)) for side in (a, b)]
    a, b = a / spread[0], b / spread[1]
    logits = -((a[:, None] - b[None]) ** 2).sum(axis=-1) / tau
    np.fill_diagonal(logits, -np.inf)
    powers = np.exp(logits)
    rows, columns = powers.sum(axis=1), powers.sum(axis=0)
    gap = a - b
    value = (gap**2).sum(axis=1).mean() / tau + np.log(rows).mean() / 2 + np.log(columns).mean() / 2
    share = powers * (0.5 / rows[:, None] + 0.5 / columns) / POINTS
    by_a = -2 / tau * (share.sum(axis=1)[:, None] * a - share @ b) + 2 / tau / POINTS * gap
    by_b = -2 / tau * (share.sum(axis=0)[:, None] * b - share.T @ a) - 2 / tau / POINTS * gap
    by_a, by_b = ((one - side * (one * side).mean(axis=0)) / width
                  for one, side, width in ((by_a, a, spread[0]), (by_b, b, spread[1])))  # fmt: skip
    return float(value - np.log(POINTS - 1)), (image.T @ by_a + text.T @ by_b).ravel()


def told_of_the_weak(harmonics: int, tau: float) -> tuple[float, float]:
    """The least loss that was found, and R² of the weak factor from polynomials of the outputs."""
    uniform = qmc.Sobol(3, seed=np.random.default_rng(0)).random(POINTS).clip(1e-9, 1 - 1e-9)
    weak, noise = norm.ppf(uniform[:, 1:]).T
    phase = 2 * np.pi * uniform[:, 0]
    image = readings(phase, weak, harmonics)
    text = readings(phase, SIGMA * weak + np.sqrt(1 - SIGMA**2) * noise, harmonics)
    starts = [np.random.default_rng(seed).normal(size=2 * image.shape[1]) for seed in range(4)]
    found = min(
        (minimize(of_weights, start, (image, text, tau), jac=True, method="L-BFGS-B", options={"maxiter": 200})
         for start in starts),
        key=lambda one: one.fun,
    )  # fmt: skip
    z = image @ found.x.reshape(-1, 2)
    z = z / z.std(axis=0)
    powers = np.stack([z[:, 0] ** i * z[:, 1] ** j for i in range(6) for j in range(6 - i)], axis=1)
    left = weak - powers @ np.linalg.lstsq(powers, weak, rcond=None)[0]
    return float(found.fun), float(1 - left.var() / weak.var())


@pytest.mark.parametrize("tau", [1.0, pytest.param(0.2, marks=pytest.mark.slow)])
def test_the_further_encoders_bend_the_less_is_left_of_a_weak_factor(tau: float) -> None:
    (stiff, much), (supple, little) = (told_of_the_weak(harmonics, tau) for harmonics in (1, 4))
    assert supple < stiff - 0.05  # a lower loss without it
    assert much > 0.6
    assert little < 0.2

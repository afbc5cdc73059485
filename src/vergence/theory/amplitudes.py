r"""How far outputs are drawn apart along each direction: the amplitude equation, under three constraints on scale.

For Gaussian directions and an infinite batch, a direction of strength σ that both sides hold with amplitude a, and
$y = 2a^2/\tau$, adds to symmetric InfoNCE with logits $-\lVert a - b\rVert^2/\tau$ and the penalty
$\beta\,E\lVert a - b\rVert^2$

$$L(y) = y\,(1 - \sigma)(1 + \beta\tau) - \tfrac12 \log(1 + y) - \tfrac12\,\frac{y}{1 + y}.$$

docs/theory.md derives it.
"""

from functools import lru_cache
from math import inf
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.optimize import brentq, minimize
from scipy.stats import norm, qmc

from vergence.checks import non_negative, positive

_POINTS = 2048
_TOLERANCE = 1e-7


def threshold(bottleneck: float, temperature: float) -> float:
    r"""Strength above which a bottleneck lets a direction pass: $\sigma^* = \beta\tau / (1 + \beta\tau)$.

    Local: it is where the second-order change of the loss, $2a^2 [\beta (1 - \sigma) - \sigma / \tau]$, has its zero,
    whatever the distribution; for logits $-\lVert a - b\rVert^2/\tau$ and outputs without a constraint on scale.

    Args:
        bottleneck: β, at least 0.
        temperature: τ, above 0.

    Raises:
        ConfigError: If one is out of range.

    Example:
        >>> threshold(1.0, 0.5)
        0.3333333333333333
    """
    non_negative("bottleneck", bottleneck)
    positive("temperature", temperature)
    return bottleneck * temperature / (1 + bottleneck * temperature)


def free(costs: Any) -> Float[np.ndarray, " directions"]:
    r"""Solutions of $c = \tfrac12/(1 + y) + \tfrac12/(1 + y)^2$: 0 from c = 1 on, infinite up to c = 0."""
    given = np.asarray(costs, dtype=float)
    left = (np.sqrt(1 + 8 * given.clip(1e-300, 1)) - 1) / 2  # 1 / (1 + y)
    return np.where(given <= 0, inf, np.where(given >= 1, 0.0, 1 / np.maximum(left, 1e-300) - 1))


def gain(amplitudes: Any, costs: Any) -> Float[np.ndarray, " directions"]:
    """By how much each direction lowers the loss, -L(y), in nats."""
    y = np.asarray(amplitudes, dtype=float)
    with np.errstate(invalid="ignore"):
        value: np.ndarray = (
            0.5 * np.log1p(y)
            + np.where(np.isinf(y), 0.5, 0.5 * y / (1 + y))
            - np.where(np.asarray(costs) <= 0, 0.0, y * costs)
        )
    return value


def excess(amplitudes: Any, strengths: Any, counts: Any) -> float:
    r"""B times what a batch of B pairs adds to the loss of an infinite one, to first order in 1/B.

    $\prod_i \frac{1 + y_i}{1 + y_i (1 - \sigma_i)} - 1$, as the right text is among those compared, less
    $\tfrac12 \prod_i (1 + y_i)^{3/2} (1 + 3 y_i)^{-1/2} - \tfrac12$, as the logarithm of a mean is below that of its
    expectation. Derived in docs/theory.md.
    """
    y, sigma, m = (np.asarray(one, dtype=float) for one in (amplitudes, strengths, counts))
    y, sigma, m = (one[m > 0] for one in (y, sigma, m))
    if np.isinf(y).any():
        return inf
    pairs = float(np.exp((m * (np.log1p(y) - np.log1p(y * (1 - sigma)))).sum()))
    spread = float(np.exp((m * (1.5 * np.log1p(y) - 0.5 * np.log1p(3 * y))).sum()))
    return pairs - 1 - (spread - 1) / 2


def budgeted(
    costs: Float[np.ndarray, " directions"], counts: Float[np.ndarray, " directions"], total: float
) -> tuple[Float[np.ndarray, " directions"], float]:
    r"""Amplitudes that share a budget: $\sum_i m_i y_i = Y$.

    Args:
        costs: $(1 - \sigma_i)(1 + \beta\tau)$.
        counts: $m_i$, how many of each are held; above 0 for one at least.
        total: Y, above 0.

    Returns:
        $y_i$ and the multiplier λ, which adds to the costs.
    """

    def left_over(multiplier: float) -> float:
        return float((counts * free(costs + multiplier)).sum() - total)

    held = counts > 0
    cheapest = costs[held].min()
    share = counts[held & (costs == cheapest)].sum()
    # With the cost 1/2 / (1 + Y/m) in all, the cheapest alone take the budget; with 1, nothing does.
    low, high = 0.5 / (1 + total / share) - cheapest, 1 - cheapest
    multiplier = float(brentq(left_over, low, high, xtol=1e-15, rtol=1e-14))
    return free(costs + multiplier), multiplier


@lru_cache(maxsize=64)
def on_sphere(strengths: tuple[float, ...], weight: float, temperature: float) -> tuple[float, ...]:
    r"""Shares of the variance of unit vectors $As / \lVert As \rVert$ that minimise InfoNCE with logits $\cos/\tau_c$.

    A is diagonal, s and t are standard normal with $E[s_i t_i] = \sigma_i$. The loss
    $-w\,E\cos(z, z') + E \log E\, e^{\cos(z, z')/\tau_c}$ is minimised over A, its expectations taken over 2048
    points of a Sobol sequence, so that the result is the same each time.

    Args:
        strengths: σ of the directions that outputs may hold.
        weight: $w = 1/\tau_c + 2\beta$, of the alignment of pairs.
        temperature: $\tau_c$.

    Returns:
        A share per direction; they sum to 1.
    """
    sigma = np.array(strengths)
    if len(sigma) == 1:
        return (1.0,)
    uniform = qmc.Sobol(2 * len(sigma), seed=np.random.default_rng(0)).random(_POINTS)
    first, second = np.split(norm.ppf(uniform.clip(1e-9, 1 - 1e-9)), 2, axis=1)
    text = sigma * first + np.sqrt(1 - sigma**2) * second

    def loss(scales: np.ndarray) -> tuple[float, np.ndarray]:
        (z, back), (other, other_back) = _unit(first * scales, first), _unit(text * scales, text)
        logits = z @ other.T / temperature
        np.fill_diagonal(logits, -inf)
        size = 1 / temperature
        powers = np.exp(logits - size)
        rows, columns = powers.sum(axis=1), powers.sum(axis=0)
        value = np.log(rows).mean() / 2 + np.log(columns).mean() / 2 + size - weight * (z * other).sum(axis=1).mean()
        shares = powers * (0.5 / rows[:, None] + 0.5 / columns) / (len(z) * temperature)
        gradient = back(shares @ other - weight / len(z) * other) + other_back(shares.T @ z - weight / len(z) * z)
        return float(value), gradient

    start = np.sqrt(sigma.clip(0.05))
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(1e-6, None)] * len(sigma), tol=_TOLERANCE).x
    z, _ = _unit(first * found, first)
    spread = z.var(axis=0)
    return tuple((spread / spread.sum()).tolist())


def _unit(vectors: np.ndarray, source: np.ndarray) -> tuple[np.ndarray, Any]:
    """Unit vectors, and what turns a gradient by them into one by the scales of their source."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    z = vectors / lengths

    def back(gradient: np.ndarray) -> np.ndarray:
        tangent = (gradient - (gradient * z).sum(axis=1, keepdims=True) * z) / lengths
        return np.asarray((tangent * source).sum(axis=0))

    return z, back

"""The curve that turns how often captions mention a factor into a forecast of how well it is learned."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.optimize import least_squares

from vergence.errors import ConfigError

TERMS = ("at full mention", "per tenfold mention", "per share of mismatched pairs", "per doubling of the outputs")
_RESAMPLES = 200


@dataclass(frozen=True)
class Recovery:
    r"""Mean R² of the mentioned factors, as fitted to runs.

    $\min(1, n / n_s)\; \sigma(c_0 + c_1 \log_{10} q + c_2 r + c_3 \log_2(n / n_s))$ at mention probability q, mismatch
    rate r and n outputs for n_s mentioned factors: a representation of n dimensions holds at most the share n / n_s of
    independent factors; of these, the logistic part is learned. Conditional on the number of pairs and the batch of
    the runs it was fitted to.

    Args:
        coefficients: c, in the order of `TERMS`.
        resampled: The same, fitted to resampled runs: (resamples, 4).
        spread: Standard deviation of a run about the curve.
    """

    coefficients: Float[np.ndarray, " 4"]
    resampled: Float[np.ndarray, "resamples 4"]
    spread: float

    def intervals(self) -> Iterator[tuple[str, float, float, float]]:
        """Term, coefficient and its 95 % interval."""
        low, high = np.quantile(self.resampled, [0.025, 0.975], axis=0)
        for term, *numbers in zip(TERMS, self.coefficients, low, high, strict=True):
            yield term, *map(float, numbers)

    def predict(self, runs: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Fitted score of each run, and the half-width of the 95 % interval for a new run of the same kind."""
        curves = np.stack([_curve(coefficients, runs) for coefficients in self.resampled])
        return _curve(self.coefficients, runs), 1.96 * np.hypot(curves.std(axis=0), self.spread)


def fit_recovery(runs: pd.DataFrame, *, seed: int = 0) -> Recovery:
    """Fit the curve by least squares; intervals come from resampling runs.

    Args:
        runs: One row per run: mention in (0, 1], mismatch, output_size, n_unbiased, value (mean R²).
        seed: Of the resampling.

    Returns:
        The fitted curve.

    Raises:
        ConfigError: If there are fewer runs than coefficients and one.

    Example:
        >>> q = np.array([1.0, 0.3, 0.1, 0.03, 0.01] * 2)
        >>> runs = pd.DataFrame({"mention": q, "mismatch": 0.0, "output_size": [10] * 5 + [20] * 5, "n_unbiased": 10})
        >>> runs["value"] = 1 / (1 + np.exp(-(3 + 2 * np.log10(q))))
        >>> [round(float(c), 1) for c in fit_recovery(runs).coefficients[:2]]
        [3.0, 2.0]
    """
    if len(runs) <= len(TERMS):
        raise ConfigError(f"a fit of {len(TERMS)} coefficients needs more runs than that; got {len(runs)}")
    coefficients = _fitted(runs, np.array([3.0, 2.0, -1.0, 0.0]))
    rng = np.random.default_rng(seed)
    resampled = [_fitted(runs.iloc[rng.integers(len(runs), size=len(runs))], coefficients) for _ in range(_RESAMPLES)]
    left_over = runs["value"].to_numpy() - _curve(coefficients, runs)
    spread = float(np.sqrt((left_over**2).sum() / (len(runs) - len(TERMS))))
    return Recovery(coefficients, np.stack(resampled), spread)


def _curve(coefficients: np.ndarray, runs: pd.DataFrame) -> np.ndarray:
    relative = (runs["output_size"] / runs["n_unbiased"]).to_numpy(dtype=float)
    design = [np.ones(len(runs)), np.log10(runs["mention"]), runs["mismatch"], np.log2(relative)]
    score: np.ndarray = np.minimum(1, relative) / (1 + np.exp(-(np.stack(design, axis=1) @ coefficients)))
    return score


def _fitted(runs: pd.DataFrame, start: np.ndarray) -> np.ndarray:
    measured = runs["value"].to_numpy()
    # Bounds keep a coefficient finite that the resampled runs do not determine.
    fit = least_squares(lambda c: _curve(c, runs) - measured, start, bounds=(-20.0, 20.0))
    found: np.ndarray = fit.x
    return found

"""Confidence limits of a share."""

import numpy as np
from scipy.stats import norm


def wilson(successes: np.ndarray, trials: np.ndarray | float, *, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    r"""Wilson's score interval for a share.

    $\big(\hat p + z^2/2n \pm z\sqrt{\hat p(1-\hat p)/n + z^2/4n^2}\big) / (1 + z^2/n)$, [wilson1927].

    Args:
        successes: Counts.
        trials: Out of how many; where 0, the interval is [0, 1].
        level: Nominal coverage, in (0, 1).

    Returns:
        Lower and upper limits in [0, 1].

    Example:
        >>> low, high = wilson(np.array([5]), 10)
        >>> round(float(low[0]), 4), round(float(high[0]), 4)
        (0.2366, 0.7634)
    """
    n = np.maximum(np.asarray(trials, dtype=np.float64), 0)
    z = float(norm.ppf(0.5 + level / 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        p = np.asarray(successes, dtype=np.float64) / n
        middle = p + z * z / (2 * n)
        half = z * np.sqrt(p * (1 - p) / n + (z / (2 * n)) ** 2)
        low, high = (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)
    low, high = np.where(p == 0, 0.0, low), np.where(p == 1, 1.0, high)
    return np.where(n > 0, low, 0.0).clip(0, 1), np.where(n > 0, high, 1.0).clip(0, 1)

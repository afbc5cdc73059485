"""Whether two things go together: a rank correlation with its interval, and what that says of a claimed sign."""

from dataclasses import dataclass
from math import isfinite, nan
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata

from vergence.errors import ShapeError

RESAMPLES = 2000
_FEWEST = 4


@dataclass(frozen=True, kw_only=True)
class Trend:
    """Spearman's correlation and its 95 % interval; NaN where one of the two never changes.

    Args:
        rho: The correlation, in [-1, 1].
        low: Lower end.
        high: Upper end.
        n: Pairs.
    """

    rho: float
    low: float
    high: float
    n: int

    def verdict(self, sign: Literal[-1, 1]) -> str:
        """What the interval says of a claimed sign: "agree", "disagree", or "undecided" if it holds 0.

        Example:
            >>> Trend(rho=-0.6, low=-0.8, high=-0.2, n=30).verdict(-1)
            'agree'
            >>> Trend(rho=0.1, low=-0.2, high=0.4, n=30).verdict(1)
            'undecided'
        """
        if not (isfinite(self.low) and isfinite(self.high)) or self.low <= 0 <= self.high:
            return "undecided"
        return "agree" if (self.low > 0) == (sign > 0) else "disagree"

    def __str__(self) -> str:
        return f"{self.rho:.2f}, {self.low:.2f} to {self.high:.2f}, n = {self.n}"


def trend(x: Float[np.ndarray, " n_x"], y: Float[np.ndarray, " n_y"], *, generator: np.random.Generator) -> Trend:
    """Spearman's rank correlation, ties averaged, with the percentiles of a bootstrap over pairs.

    Args:
        x: One value for each run or split.
        y: The other; pairs in which one is NaN are left out.
        generator: Draws the resamples.

    Returns:
        NaN throughout if there are fewer than four pairs, or one side is constant. Resamples in which one side is
        constant count as 0: they tell nothing.

    Raises:
        ShapeError: If they differ in length.

    Example:
        >>> found = trend(np.arange(12.0), -np.arange(12.0) ** 3, generator=np.random.default_rng(0))
        >>> found.rho, found.high <= -0.99
        (-1.0, True)
    """
    if x.shape != y.shape or x.ndim != 1:
        raise ShapeError(f"a trend needs two columns of equal length; got shapes {x.shape} and {y.shape}")
    known = np.isfinite(x) & np.isfinite(y)
    x, y = x[known], y[known]
    n = len(x)
    rho = float(_correlations(x[None], y[None])[0]) if n >= _FEWEST else nan
    if not isfinite(rho):
        return Trend(rho=nan, low=nan, high=nan, n=n)
    rows = generator.integers(n, size=(RESAMPLES, n))
    low, high = np.percentile(np.nan_to_num(_correlations(x[rows], y[rows])), [2.5, 97.5])
    return Trend(rho=round(rho, 12), low=float(low), high=float(high), n=n)


def _correlations(x: Float[np.ndarray, "m n"], y: Float[np.ndarray, "m n"]) -> Float[np.ndarray, " m"]:
    """Of each row; NaN where one side is constant."""
    a, b = (rankdata(side, axis=1) - (side.shape[1] + 1) / 2 for side in (x, y))
    size = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return np.where(size > 0, (a * b).sum(axis=1) / np.where(size > 0, size, 1), nan)

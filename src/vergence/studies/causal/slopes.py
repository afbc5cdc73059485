r"""How much awareness changes with a tenfold coverage: a slope with fixed effects, its interval over values and runs.

A panel has a row for each run and a column for each value. With rates assigned at random, anew in each run,
$y_{rv} = \alpha_v + \gamma_r + \beta x_{rv} + \epsilon_{rv}$: how hard a value is stays in $\alpha_v$, and $\beta$ is
causal. Where coverage is what it is, there is one x for each value, and the slope over values is observational.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite, nan

import numpy as np
from jaxtyping import Float64

from vergence.errors import ShapeError

RESAMPLES = 2_000
_LEVEL = 0.95
_ENOUGH = 0.5  # of the resamples must tell a slope

Matrix = Float64[np.ndarray, "runs values"]


@dataclass(frozen=True, eq=False)
class Panel:
    """One measurement for each run and value.

    Args:
        x: Logarithm of the coverage to base 10.
        y: Awareness.
        fixed: Whether values have effects of their own: the slope is then between runs, within values.

    Raises:
        ShapeError: If x and y differ in shape, or are not finite.
    """

    x: Matrix
    y: Matrix
    fixed: bool

    def __post_init__(self) -> None:
        if self.x.shape != self.y.shape or self.x.ndim != 2:
            raise ShapeError(f"x and y of a panel must be (runs, values) both; got {self.x.shape} and {self.y.shape}")
        if not (np.isfinite(self.x).all() and np.isfinite(self.y).all()):
            raise ShapeError("a panel must be whole; leave out values that a run lacks")

    def slopes(
        self, runs: Float64[np.ndarray, "b runs"], values: Float64[np.ndarray, "b values"]
    ) -> Float64[np.ndarray, " b"]:
        """Weighted least squares; NaN where x does not change.

        Args:
            runs: Weights of the runs.
            values: Weights of the values; an entry of the panel weighs the product.
        """
        a, b = (weights / weights.sum(1, keepdims=True) for weights in (runs, values))
        x, y = (self._residual(side, a, b) for side in (self.x, self.y))
        weighted = a[:, :, None] * b[:, None, :] * x
        below = (weighted * x).sum((1, 2))
        above = (weighted * y).sum((1, 2))
        enough = below > 1e-12
        found: np.ndarray = np.where(enough, above / np.where(enough, below, 1.0), nan)
        return found

    def _residual(
        self, side: Matrix, a: Float64[np.ndarray, "b runs"], b: Float64[np.ndarray, "b values"]
    ) -> Float64[np.ndarray, "b runs values"]:
        """What the effects leave: weights are products, so that one pass of means is the exact projection."""
        of_runs: np.ndarray = b @ side.T
        left: np.ndarray = side[None] - of_runs[:, :, None]
        if not self.fixed:
            return left
        within: np.ndarray = left - (a @ side)[:, None, :] + (a * of_runs).sum(1)[:, None, None]
        return within

    @property
    def slope(self) -> float:
        """Of all runs and values, each counting once."""
        n_runs, n_values = self.x.shape
        return float(self.slopes(np.ones((1, n_runs)), np.ones((1, n_values)))[0])


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval; NaN where too few resamples tell it."""

    value: float
    low: float = nan
    high: float = nan

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def slope_of(panel: Panel, *, generator: np.random.Generator) -> Estimate:
    """The slope, with percentiles of a bootstrap that draws runs and values anew, both with replacement ([owen2007]).

    Example:
        >>> x = np.log10([[0.001, 0.01, 0.1], [0.1, 0.001, 0.01]])
        >>> hard = np.array([0.1, 0.0, 0.3])
        >>> round(slope_of(Panel(x, 0.2 * x + hard, True), generator=np.random.default_rng(0)).value, 6)
        0.2
    """
    return _estimate(lambda one: one[0], [panel], together=True, generator=generator)


def difference_of(first: Panel, second: Panel, *, generator: np.random.Generator) -> Estimate:
    """How much steeper the second of two panels of the same runs and values is."""
    return _estimate(lambda both: both[1] - both[0], [first, second], together=True, generator=generator)


def ratio_of(causal: Panel, observed: Panel, *, generator: np.random.Generator) -> Estimate:
    """The causal slope as a share of the observed one, both of the same values; their runs are drawn by themselves."""
    return _estimate(lambda both: both[0] / both[1], [causal, observed], together=False, generator=generator)


def _estimate(
    read: Callable[[list[np.ndarray]], np.ndarray],
    panels: list[Panel],
    *,
    together: bool,
    generator: np.random.Generator,
) -> Estimate:
    n_values = {panel.x.shape[1] for panel in panels}
    n_runs = [panel.x.shape[0] for panel in panels]
    if len(n_values) > 1 or (together and len(set(n_runs)) > 1):
        raise ShapeError(f"panels must be of the same values; got shapes {[panel.x.shape for panel in panels]}")
    (k,) = n_values
    values = _drawn(k, generator)
    runs = [_drawn(n, generator) for n in (n_runs[:1] if together else n_runs)]
    with np.errstate(divide="ignore", invalid="ignore"):
        point = read([np.array([panel.slope]) for panel in panels])[0]
        drawn = read([panel.slopes(runs[0 if together else i], values) for i, panel in enumerate(panels)])
    known = drawn[np.isfinite(drawn)]
    if not isfinite(point) or len(known) < _ENOUGH * RESAMPLES:
        return Estimate(float(point))
    low, high = np.quantile(known, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return Estimate(float(point), float(low), float(high))


def _drawn(n: int, generator: np.random.Generator) -> Float64[np.ndarray, "b n"]:
    return generator.multinomial(n, np.full(n, 1 / n), size=RESAMPLES).astype(np.float64)

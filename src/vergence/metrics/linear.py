"""Linear probes: ridge and multinomial logistic regression, their strength chosen on the fitting half.

Both standardise features by the fitting half, choose the regularisation by cross-validation in which groups of items
are held out whole, and are deterministic. Logistic regression is minimised in coordinates in which a fixed upper
bound of its curvature is the identity, each strength starting from the previous solution: a grid of strengths takes
about as long as two plain fits.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf, log1p
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Integer
from scipy.optimize import fmin_l_bfgs_b
from torch import Tensor

from vergence.checks import at_least, positive
from vergence.errors import ConfigError, ShapeError
from vergence.metrics.arrays import Array, as_float64, guarded
from vergence.metrics.folds import assign_folds, fitting_half
from vergence.metrics.scale import exponent, times_power_of_two


@dataclass(frozen=True, kw_only=True)
class Standardiser:
    """Mean and scale of features, learned on one set and applied to others; constant features are only centred."""

    mean: Float[Tensor, "dim"]
    scale: Float[Tensor, "dim"]

    @classmethod
    def of(cls, features: Float[Tensor, "n dim"]) -> "Standardiser":
        """Learn mean and standard deviation, the latter 1 where a feature does not vary beyond rounding."""
        power = exponent(features, by_column=True)
        mean = features.mean(0)
        scale = times_power_of_two(times_power_of_two(features, power).std(0, correction=0), -power)
        varies = scale > 1e-12 * features.abs().amax(0)
        return cls(mean=mean, scale=scale.where(varies, 1.0))

    def apply(self, features: Float[Tensor, "n dim"]) -> Float[Tensor, "n dim"]:
        """Centre and scale features as those that it was learned on.

        Raises:
            ShapeError: If there are more features, or fewer.
        """
        if features.shape[1] != len(self.mean):
            raise ShapeError(f"z must have {len(self.mean)} columns, as when it was fitted; got {features.shape[1]}")
        return (features - self.mean) / self.scale


_COARSE = 1e-4  # tolerance that is enough to choose a strength


class _Solution(NamedTuple):
    """Weights and intercepts of the classes that a set of `n_fitted` items held."""

    classes: Integer[Tensor, "classes"]
    weights: Float[Tensor, "dim classes"]
    intercept: Float[Tensor, "classes"]
    n_fitted: int


@dataclass(frozen=True, kw_only=True)
class Ridge:
    r"""Linear regression with an $\ell_2$ penalty, chosen per target: $\min_W \|Y - XW\|^2 + \alpha n \|W\|^2$.

    Differs from the textbook form by the factor $n$: a strength means the same at every sample size.

    Args:
        strengths: Values of $\alpha$ to choose from, each > 0, in any order.
        n_folds: Folds of the cross-validation that chooses by squared error, at least 2; not used for one strength.

    Raises:
        ConfigError: If no strength is given, one is not above 0, or there are fewer than two folds.

    Example:
        >>> from vergence.metrics import r2_score
        >>> z = torch.randn(300, 4, generator=torch.Generator().manual_seed(0))
        >>> fitted = Ridge().fit(z[:200], z[:200] @ torch.ones(4, 2))
        >>> bool((r2_score(z[200:] @ torch.ones(4, 2), fitted.predict(z[200:])) > 0.999).all())
        True
    """

    strengths: tuple[float, ...] = (1e-6, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
    n_folds: int = 5

    def __post_init__(self) -> None:
        _check_strengths(self.strengths, self.n_folds)

    @guarded
    def fit(
        self,
        z: Float[Array, "n dim"],
        targets: Float[Array, "n *targets"],
        *,
        groups: Integer[Array, "n"] | None = None,
    ) -> "FittedRidge":
        """Choose a strength for each target and fit it on all rows.

        Args:
            z: Representations of the fitting half.
            targets: Values to predict, one column per target; or one target as a vector.
            groups: Which items are held out together, such as those of one concept; `None` if all are independent.

        Raises:
            ShapeError: If rows do not pair, an entry is not finite, or there are fewer groups than folds.
        """
        x, y, held_together = fitting_half(z, targets, groups)
        columns = y.reshape(len(y), -1)
        standardise = Standardiser.of(x)
        x = standardise.apply(x)
        chosen = torch.zeros(columns.shape[1], dtype=torch.long, device=x.device)
        if len(self.strengths) > 1:
            fold = assign_folds(held_together, self.n_folds)
            errors = torch.stack([self._held_out_errors(x, columns, fold == k) for k in range(self.n_folds)]).sum(0)
            chosen = errors.argmin(0)
        weights, mean = self._paths(x, columns)
        picked = weights[chosen, :, torch.arange(len(chosen), device=x.device)].T
        return FittedRidge(
            standardise=standardise,
            weights=picked.reshape(x.shape[1], *y.shape[1:]),
            intercept=mean.reshape(y.shape[1:]),
            strengths=tuple(self.strengths[i] for i in chosen.tolist()),
        )

    def _paths(
        self, x: Float[Tensor, "n dim"], y: Float[Tensor, "n targets"]
    ) -> tuple[Float[Tensor, "strengths dim targets"], Float[Tensor, "targets"]]:
        """Solutions for all strengths and targets, from one eigendecomposition; `x` is centred, as is `y` here."""
        mean = y.mean(0)
        eigenvalues, basis = torch.linalg.eigh(x.T @ x / len(x))
        moments = basis.T @ (x.T @ (y - mean)) / len(x)
        shrunk = [moments / (eigenvalues.clamp(min=0.0) + alpha)[:, None] for alpha in self.strengths]
        return torch.stack([basis @ coefficients for coefficients in shrunk]), mean

    def _held_out_errors(
        self, x: Float[Tensor, "n dim"], y: Float[Tensor, "n targets"], held_out: Tensor
    ) -> Float[Tensor, "strengths targets"]:
        centre = x[~held_out].mean(0)
        weights, mean = self._paths(x[~held_out] - centre, y[~held_out])
        predictions: Tensor = (x[held_out] - centre) @ weights + mean
        return ((predictions - y[held_out]) ** 2).sum(1)


@dataclass(frozen=True, kw_only=True)
class FittedRidge:
    """A fitted ridge regression, and the strength chosen for each target."""

    standardise: Standardiser
    weights: Float[Tensor, "dim *targets"]
    intercept: Float[Tensor, "*targets"]
    strengths: tuple[float, ...]

    @guarded
    def predict(self, z: Float[Array, "n dim"]) -> Float[Tensor, "n *targets"]:
        """Predicted targets of each row, float64, shaped as the targets that it was fitted to."""
        (x,) = as_float64(z=z)
        predictions: Tensor = torch.tensordot(self.standardise.apply(x), self.weights, dims=1) + self.intercept
        return predictions


@dataclass(frozen=True, kw_only=True)
class Logistic:
    r"""Multinomial logistic regression with an $\ell_2$ penalty on the weights, not on the intercepts.

    $$\min_{W,b} \; \tfrac1n \sum_i -\log \mathrm{softmax}(W^\top x_i + b)_{y_i} + \tfrac\alpha2 \|W\|^2.$$

    Source: [almudevar2025] and [cai2025] probe discrete factors with it; they fix the strength, here it is chosen by
    held-out cross-entropy.

    Args:
        strengths: Values of $\alpha$ to choose from, each > 0, in any order.
        n_folds: Folds of the cross-validation, at least 2; not used for one strength.
        tolerance: Relative fall of the objective in one step below which a fit counts as done.

    Raises:
        ConfigError: If no strength is given, one is not above 0, or there are fewer than two folds.

    Example:
        >>> z = torch.randn(300, 4, generator=torch.Generator().manual_seed(0))
        >>> labels = z.argmax(1)
        >>> fitted = Logistic().fit(z[:200], labels[:200])
        >>> bool((fitted.predict(z[200:]) == labels[200:]).float().mean() > 0.9)
        True
    """

    strengths: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
    n_folds: int = 3
    tolerance: float = 1e-8

    def __post_init__(self) -> None:
        _check_strengths(self.strengths, self.n_folds)
        positive("tolerance", self.tolerance)

    @guarded
    def fit(
        self, z: Float[Array, "n dim"], labels: Integer[Array, "n"], *, groups: Integer[Array, "n"] | None = None
    ) -> "FittedLogistic":
        r"""Choose the strength and fit on all rows.

        A class that a fold's fitting part lacks cannot be predicted there: its items are charged $\log(n+1)$ nats, as
        a class seen less than once in $n$.

        Args:
            z: Representations of the fitting half.
            labels: Class of each row, any integers; one class only gives a constant predictor.
            groups: Which items are held out together, such as those of one concept; `None` if all are independent.

        Raises:
            ShapeError: If rows do not pair, an entry is not finite, or there are fewer groups than folds.
        """
        x, y, held_together = fitting_half(z, labels, groups)
        standardise = Standardiser.of(x)
        x = standardise.apply(x)
        chosen = self.strengths[0] if len(self.strengths) == 1 else self._choose(x, y, held_together)
        ((_, solution),) = self._path(x, y, (chosen,), self.tolerance)
        return FittedLogistic(
            standardise=standardise,
            classes=solution.classes,
            weights=solution.weights,
            intercept=solution.intercept,
            strength=chosen,
        )

    def _choose(self, x: Float[Tensor, "n dim"], y: Integer[Tensor, "n"], groups: Integer[Tensor, "n"]) -> float:
        """Strength of least held-out cross-entropy, from the strongest down until it rises."""
        fold = assign_folds(groups, self.n_folds, strata=y)
        paths = [
            self._path(x[fold != k], y[fold != k], self.strengths, max(self.tolerance, _COARSE))
            for k in range(self.n_folds)
        ]
        best, chosen = inf, max(self.strengths)
        for solutions in zip(*paths, strict=True):
            nats = sum(
                _cross_entropy(solution, x[fold == k], y[fold == k]) for k, (_, solution) in enumerate(solutions)
            )
            if nats >= best:
                break
            best, chosen = nats, solutions[0][0]
        return chosen

    @staticmethod
    def _path(
        x: Float[Tensor, "n dim"], y: Integer[Tensor, "n"], strengths: tuple[float, ...], tolerance: float
    ) -> Iterator[tuple[float, _Solution]]:
        """Solve for each strength, strongest first, each from the solution before."""
        classes, y = torch.unique(y, return_inverse=True)
        centre = x.mean(0)
        eigenvalues, basis = torch.linalg.eigh((x - centre).T @ (x - centre) / len(x))
        features = torch.cat([(x - centre) @ basis, x.new_ones(len(x), 1)], dim=1)
        curvature = torch.cat([eigenvalues.clamp(min=0.0), x.new_ones(1)]) / len(classes)
        weights = x.new_zeros(features.shape[1], len(classes))
        weights[-1] = (torch.bincount(y).to(x) / len(y)).log()
        for alpha in sorted(strengths, reverse=True):
            # Stretched so, each coordinate has curvature 1 where all classes are equally probable.
            penalty = torch.full_like(curvature, alpha).index_fill(0, torch.tensor(len(basis)), 0.0)
            stretch = (curvature + penalty).sqrt()[:, None]
            start = weights * stretch
            weights = _minimise(features / stretch.T, y, penalty[:, None] / stretch**2, start, tolerance=tolerance)
            weights /= stretch
            in_place = basis @ weights[:-1]
            yield alpha, _Solution(classes, in_place, weights[-1] - centre @ in_place, len(x))


@dataclass(frozen=True, kw_only=True)
class FittedLogistic:
    """A fitted multinomial logistic regression, and the strength chosen."""

    standardise: Standardiser
    classes: Integer[Tensor, "classes"]
    weights: Float[Tensor, "dim classes"]
    intercept: Float[Tensor, "classes"]
    strength: float

    @guarded
    def log_probabilities(self, z: Float[Array, "n dim"]) -> Float[Tensor, "n classes"]:
        """Natural logarithm of the probability of each class of the fitting half, in the order of `classes`."""
        (x,) = as_float64(z=z)
        return torch.log_softmax(self.standardise.apply(x) @ self.weights + self.intercept, dim=1)

    @guarded
    def predict(self, z: Float[Array, "n dim"]) -> Integer[Tensor, "n"]:
        """Most probable class of each row, as labels of the fitting half."""
        return self.classes[self.log_probabilities(z).argmax(1)]


def _minimise(
    x: Float[Tensor, "n dim"],
    y: Integer[Tensor, "n"],
    penalty: Float[Tensor, "dim 1"],
    start: Float[Tensor, "dim classes"],
    *,
    tolerance: float,
) -> Float[Tensor, "dim classes"]:
    """Minimise mean cross-entropy plus half the penalised squares by L-BFGS."""
    rows = torch.arange(len(y), device=y.device)

    def value_and_gradient(flat: Any) -> tuple[float, Any]:
        weights = torch.from_numpy(flat).to(x).reshape(start.shape)
        log_p = torch.log_softmax(x @ weights, dim=1)
        penalised = penalty * weights
        value = (penalised * weights).sum() / 2 - log_p[rows, y].mean()
        residual = log_p.exp_()
        residual[rows, y] -= 1.0
        gradient = x.T @ residual / len(y) + penalised
        return float(value), gradient.flatten().cpu().numpy()

    found, _, _ = fmin_l_bfgs_b(
        value_and_gradient,
        start.flatten().cpu().numpy(),
        factr=tolerance / np.finfo(float).eps,
        pgtol=1e-10,
        maxiter=1000,
    )
    return torch.from_numpy(found).to(x).reshape(start.shape)


def _cross_entropy(solution: _Solution, x: Float[Tensor, "n dim"], y: Integer[Tensor, "n"]) -> float:
    """Summed nats of held-out items; an item of a class that the solution does not know is charged log(n + 1)."""
    classes, weights, intercept, n_fitted = solution
    log_p = torch.log_softmax(x @ weights + intercept, dim=1)
    position = torch.searchsorted(classes, y).clamp(max=len(classes) - 1)
    known = classes[position] == y
    charged = log_p.gather(1, position[:, None])[:, 0].where(known, -log1p(n_fitted))
    return -float(charged.sum())


def _check_strengths(strengths: tuple[float, ...], n_folds: int) -> None:
    if not strengths:
        raise ConfigError("strengths must hold at least one regularisation strength > 0; got none")
    for strength in strengths:
        positive("strengths", strength)
    at_least("n_folds", n_folds, 2, why="one fold is held out")

"""Kernel ridge probes: exact, and by Nyström features for sets too large for that; both choose per target.

The kernel is exp(-gamma |x - x'|²) on features standardised by the fitting half. A grid costs one factorisation for
each alpha, gamma and fold, whatever the number of targets.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import product

import torch
from jaxtyping import Float, Integer
from scipy.linalg import cho_factor, cho_solve
from torch import Tensor

from vergence.checks import at_least, positive
from vergence.errors import ConfigError
from vergence.metrics.arrays import Array, as_float64, guarded
from vergence.metrics.folds import assign_folds, fitting_half
from vergence.metrics.identifiability import r2_score
from vergence.metrics.linear import Standardiser
from vergence.random import check_seed, named

_BLOCK = 2**23  # kernel entries held at once when predicting: 64 MB


@dataclass(frozen=True, kw_only=True)
class _KernelGrid(ABC):
    """What the exact and the Nyström form share: a grid, the choice per target, and the fit of what was chosen."""

    alphas: tuple[float, ...] = (1.0, 0.1, 0.01, 0.001)
    gammas: tuple[float, ...] = (0.01, 10 ** (-2 / 3), 10 ** (2 / 3), 100.0)
    n_folds: int = 3

    def __post_init__(self) -> None:
        for name, values in (("alphas", self.alphas), ("gammas", self.gammas)):
            if not values:
                raise ConfigError(f"{name} must hold at least one value > 0; got none")
            for value in values:
                positive(name, value)
        at_least("n_folds", self.n_folds, 2, why="one fold is held out")

    @guarded
    def fit(
        self,
        z: Float[Array, "n dim"],
        targets: Float[Array, "n *targets"],
        *,
        groups: Integer[Array, "n"] | None = None,
    ) -> "FittedKernelRidge":
        """Choose alpha and gamma for each target, and fit it on all rows.

        Args:
            z: Representations of the fitting half.
            targets: Values to predict, one column per target; or one target as a vector.
            groups: Which items are held out together; `None` if all are independent.

        Raises:
            ShapeError: If rows do not pair, an entry is not finite, or there are fewer groups than folds.
        """
        x, y, together = fitting_half(z, targets, groups)
        standardise, mean = Standardiser.of(x), y.mean(0)
        x, columns = standardise.apply(x), (y - mean).reshape(len(y), -1)
        grid = list(product(self.alphas, self.gammas))
        held_out_r2 = None
        chosen = torch.zeros(columns.shape[1], dtype=torch.long, device=x.device)
        if len(grid) > 1:
            scores = self._scores(x, columns, assign_folds(together, self.n_folds))
            best, chosen = scores.flatten(0, 1).max(0)
            held_out_r2 = tuple(best.tolist())
        support = self._support(x)
        dual = columns.new_empty(len(support), columns.shape[1])
        for index in set(chosen.tolist()):
            dual[:, chosen == index] = self._dual(x, support, columns[:, chosen == index], *grid[index])
        return FittedKernelRidge(
            standardise=standardise,
            support=support,
            dual=dual,
            intercept=mean,
            alphas=tuple(grid[i][0] for i in chosen.tolist()),
            gammas=tuple(grid[i][1] for i in chosen.tolist()),
            held_out_r2=held_out_r2,
        )

    @abstractmethod
    def _support(self, x: Float[Tensor, "n dim"]) -> Float[Tensor, "m dim"]:
        """The items whose kernels span the functions."""

    @abstractmethod
    def _scores(
        self, x: Float[Tensor, "n dim"], y: Float[Tensor, "n targets"], fold: Integer[Tensor, "n"]
    ) -> Float[Tensor, "alphas gammas targets"]:
        """R² on held-out items, averaged over folds."""

    @abstractmethod
    def _dual(
        self,
        x: Float[Tensor, "n dim"],
        support: Float[Tensor, "m dim"],
        y: Float[Tensor, "n targets"],
        alpha: float,
        gamma: float,
    ) -> Float[Tensor, "m targets"]:
        """Weights of the kernels of the support."""


@dataclass(frozen=True, kw_only=True)
class KernelRidge(_KernelGrid):
    r"""Exact kernel ridge regression, $\min_f \sum_i (y_i - f(x_i))^2 + \alpha \|f\|^2$, chosen for each target.

    Source: [cai2025], whose grid is the default. Differs: targets are centred by the fitting half, and each gets its
    own $(\alpha, \gamma)$, of highest R² on held-out items averaged over folds. Time $O(n^3)$ for each point of the
    grid and fold, memory $O(n^2)$: above some 8,000 items take `NystroemRidge`.

    Args:
        alphas: Strengths to choose from, each > 0.
        gammas: Inverse squared widths of the kernel to choose from, each > 0, for standardised features.
        n_folds: Folds of the cross-validation, at least 2; not used if there is nothing to choose.

    Raises:
        ConfigError: If a grid is empty, a value is not above 0, or there are fewer than two folds.

    Example:
        >>> z = torch.rand(300, 1, generator=torch.Generator().manual_seed(0)) * 6
        >>> fitted = KernelRidge().fit(z[:200], z[:200].sin())
        >>> bool(r2_score(z[200:].sin(), fitted.predict(z[200:])) > 0.99)
        True
    """

    def _support(self, x: Float[Tensor, "n dim"]) -> Float[Tensor, "m dim"]:
        return x

    def _scores(
        self, x: Float[Tensor, "n dim"], y: Float[Tensor, "n targets"], fold: Integer[Tensor, "n"]
    ) -> Float[Tensor, "alphas gammas targets"]:
        scores = y.new_zeros(len(self.alphas), len(self.gammas), y.shape[1])
        for k in range(self.n_folds):
            fitting, held_out = fold != k, fold == k
            among, across = squared_distances(x[fitting], x[fitting]), squared_distances(x[held_out], x[fitting])
            for j, gamma in enumerate(self.gammas):
                kernel, reach = (among * -gamma).exp_(), (across * -gamma).exp_()
                for i, alpha in enumerate(self.alphas):
                    predictions = reach @ _solve(kernel, alpha, y[fitting])
                    scores[i, j] += r2_score(y[held_out], predictions) / self.n_folds
        return scores

    def _dual(
        self,
        x: Float[Tensor, "n dim"],
        support: Float[Tensor, "m dim"],
        y: Float[Tensor, "n targets"],
        alpha: float,
        gamma: float,
    ) -> Float[Tensor, "m targets"]:
        return _solve((squared_distances(x, support) * -gamma).exp_(), alpha, y)


@dataclass(frozen=True, kw_only=True)
class NystroemRidge(_KernelGrid):
    r"""Kernel ridge regression on the span of $m$ landmarks: time $O(n m^2)$ for each gamma, memory $O(n m)$.

    Source: [williams2001]. Equals `KernelRidge` when every item is a landmark. The folds share one Gram matrix each.

    Args:
        alphas: Strengths to choose from, each > 0.
        gammas: Inverse squared widths of the kernel to choose from, each > 0, for standardised features.
        n_folds: Folds of the cross-validation, at least 2; not used if there is nothing to choose.
        n_landmarks: How many items, drawn at random, span the functions; all if there are fewer.
        seed: Decides which.

    Raises:
        ConfigError: If a grid is empty, a value is not above 0, or there are fewer than two folds or one landmark.

    Example:
        >>> z = torch.rand(3000, 1, generator=torch.Generator().manual_seed(0)) * 6
        >>> fitted = NystroemRidge(n_landmarks=50).fit(z[:2000], z[:2000].sin())
        >>> bool(r2_score(z[2000:].sin(), fitted.predict(z[2000:])) > 0.99)
        True
    """

    n_landmarks: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least("n_landmarks", self.n_landmarks, 1)
        check_seed(self.seed)

    def _support(self, x: Float[Tensor, "n dim"]) -> Float[Tensor, "m dim"]:
        drawn = torch.randperm(len(x), generator=named(self.seed, "landmarks"))[: self.n_landmarks]
        return x[drawn.to(x.device)]

    def _scores(
        self, x: Float[Tensor, "n dim"], y: Float[Tensor, "n targets"], fold: Integer[Tensor, "n"]
    ) -> Float[Tensor, "alphas gammas targets"]:
        scores = y.new_zeros(len(self.alphas), len(self.gammas), y.shape[1])
        support = self._support(x)
        for j, gamma in enumerate(self.gammas):
            features, _ = _nystroem_features(x, support, gamma)
            parts = [features[fold == k] for k in range(self.n_folds)]
            values = [y[fold == k] for k in range(self.n_folds)]
            grams = torch.stack([part.T @ part for part in parts])
            moments = torch.stack([part.T @ value for part, value in zip(parts, values, strict=True)])
            for i, alpha in enumerate(self.alphas):
                for k in range(self.n_folds):
                    weights = _solve(grams.sum(0) - grams[k], alpha, moments.sum(0) - moments[k])
                    scores[i, j] += r2_score(values[k], parts[k] @ weights) / self.n_folds
        return scores

    def _dual(
        self,
        x: Float[Tensor, "n dim"],
        support: Float[Tensor, "m dim"],
        y: Float[Tensor, "n targets"],
        alpha: float,
        gamma: float,
    ) -> Float[Tensor, "m targets"]:
        features, back = _nystroem_features(x, support, gamma)
        return back @ _solve(features.T @ features, alpha, features.T @ y)


@dataclass(frozen=True, kw_only=True)
class FittedKernelRidge:
    """A fitted kernel ridge regression, what was chosen for each target, and the held-out R² that chose it."""

    standardise: Standardiser
    support: Float[Tensor, "m dim"]
    dual: Float[Tensor, "m targets"]
    intercept: Float[Tensor, "*shape"]
    alphas: tuple[float, ...]
    gammas: tuple[float, ...]
    held_out_r2: tuple[float, ...] | None

    @guarded
    def predict(self, z: Float[Array, "n dim"]) -> Float[Tensor, "n *shape"]:
        """Predicted targets of each row, float64, shaped as the targets that it was fitted to."""
        (x,) = as_float64(z=z)
        x = self.standardise.apply(x)
        predictions = x.new_empty(len(x), len(self.gammas))
        step = max(1, _BLOCK // len(self.support))
        for start in range(0, len(x), step):
            distances = squared_distances(x[start : start + step], self.support)
            for gamma in set(self.gammas):
                columns = [i for i, own in enumerate(self.gammas) if own == gamma]
                predictions[start : start + step, columns] = (distances * -gamma).exp_() @ self.dual[:, columns]
        shaped: Tensor = predictions.reshape(len(x), *self.intercept.shape) + self.intercept
        return shaped


def squared_distances(a: Float[Tensor, "a dim"], b: Float[Tensor, "b dim"]) -> Float[Tensor, "a b"]:
    """Squared Euclidean distances of all rows of a from all rows of b."""
    norms = (a**2).sum(1, keepdim=True) + (b**2).sum(1)
    return torch.addmm(norms, a, b.T, alpha=-2.0).clamp_(min=0.0)


def _solve(matrix: Float[Tensor, "m m"], alpha: float, right: Float[Tensor, "m targets"]) -> Float[Tensor, "m targets"]:
    """Solve (matrix + alpha I) w = right for all columns by one Cholesky factorisation."""
    shifted = matrix.clone()
    shifted.diagonal().add_(alpha)
    if shifted.device.type != "cpu":
        return torch.cholesky_solve(right, torch.linalg.cholesky(shifted))
    # In place, which PyTorch cannot do: it copies the matrix and clears half of it, for as long as it factorises.
    factor = cho_factor(shifted.numpy().T, overwrite_a=True, check_finite=False)
    return torch.from_numpy(cho_solve(factor, right.numpy(), check_finite=False))


def _nystroem_features(
    x: Float[Tensor, "n dim"], landmarks: Float[Tensor, "m dim"], gamma: float
) -> tuple[Float[Tensor, "n kept"], Float[Tensor, "m kept"]]:
    """Features whose inner products approximate the kernel, and the map from their weights to those of landmarks."""
    values, vectors = torch.linalg.eigh((squared_distances(landmarks, landmarks) * -gamma).exp_())
    kept = values > 1e-12 * values[-1]  # smaller ones are rounding, and would be divided by
    back = vectors[:, kept] / values[kept].sqrt()
    return (squared_distances(x, landmarks) * -gamma).exp_() @ back, back

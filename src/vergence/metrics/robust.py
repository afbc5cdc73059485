"""Predictors and scores for data in which a label goes with something that it need not go with: groups, worst and mean.

A group holds the items of one value of the label and one of the cue. What is fitted on data in which a few groups hold
most items is judged by group, and by data in which label and cue are not tied.
"""

from dataclasses import dataclass
from math import log
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Integer
from scipy.optimize import fmin_l_bfgs_b
from torch import Tensor

from vergence.checks import positive
from vergence.errors import ShapeError
from vergence.metrics.arrays import Array, as_float64, guarded, same_rows
from vergence.metrics.linear import FittedLogistic, Standardiser


@dataclass(frozen=True, kw_only=True)
class GroupLogistic:
    r"""Multinomial logistic regression in which groups count alike, or the worst of them most.

    $$\min_{W,b} \; \tau \log \tfrac1G \sum_g e^{L_g(W,b)/\tau} + \tfrac\alpha2 \lVert W \rVert^2,$$
    with $L_g$ the mean cross-entropy of group $g$. For $\tau \to \infty$ it is the mean over groups, which is
    reweighting by the inverse of their sizes; for $\tau \to 0$ it is the worst group's loss, which group DRO minimises.
    The value is below that loss by at most $\tau \log G$.

    Source: [sagawa2020]. Differs: the maximum is smoothed and minimised to convergence instead of by stochastic steps,
    since the problem is convex.

    Args:
        temperature: $\tau$ in nats, above 0; `None` for the mean over groups.
        strength: $\alpha$ of standardised features, above 0.

    Raises:
        ConfigError: If either is out of range.

    Example:
        >>> z = torch.tensor([[0.0], [1.0], [0.2], [0.9]])
        >>> fitted = GroupLogistic().fit(z, torch.tensor([0, 1, 0, 1]), torch.tensor([0, 1, 2, 3]))
        >>> fitted.predict(torch.tensor([[0.1], [0.8]])).tolist()
        [0, 1]
    """

    temperature: float | None = None
    strength: float = 1e-3

    def __post_init__(self) -> None:
        positive("strength", self.strength)
        if self.temperature is not None:
            positive("temperature", self.temperature)

    @guarded
    def fit(
        self, z: Float[Array, "n dim"], labels: Integer[Array, "n"], members: Integer[Array, "n"]
    ) -> FittedLogistic:
        """Fit on all rows.

        Args:
            z: Representations of the fitting half.
            labels: Class of each row, any integers.
            members: Group of each row, any integers.

        Raises:
            ShapeError: If rows do not pair or an entry is not finite.
        """
        same_rows(z=z, labels=labels, members=members)
        (x,) = as_float64(z=z)
        standardise = Standardiser.of(x)
        x = torch.cat([standardise.apply(x), x.new_ones(len(x), 1)], dim=1)
        classes, y = torch.unique(torch.as_tensor(labels), return_inverse=True)
        _, group = torch.unique(torch.as_tensor(members), return_inverse=True)
        weights = self._minimise(x, y, group, len(classes))
        return FittedLogistic(
            standardise=standardise,
            classes=classes,
            weights=weights[:-1],
            intercept=weights[-1],
            strength=self.strength,
        )

    def _minimise(
        self, x: Float[Tensor, "n dim"], y: Integer[Tensor, "n"], group: Integer[Tensor, "n"], n_classes: int
    ) -> Float[Tensor, "dim n_classes"]:
        sizes = torch.bincount(group).to(x)
        shape = (x.shape[1], n_classes)

        def value_and_gradient(flat: Any) -> tuple[float, Any]:
            weights = torch.from_numpy(flat).reshape(shape).requires_grad_()
            losses = -torch.log_softmax(x @ weights, dim=1).gather(1, y[:, None])[:, 0]
            means = torch.zeros_like(sizes).index_add(0, group, losses) / sizes
            tau = self.temperature
            whole = means.mean() if tau is None else tau * ((means / tau).logsumexp(0) - log(len(means)))
            whole = whole + self.strength / 2 * weights[:-1].square().sum()
            (gradient,) = torch.autograd.grad(whole, weights)
            return float(whole.detach()), gradient.flatten().numpy()

        with torch.enable_grad():
            found, _, _ = fmin_l_bfgs_b(value_and_gradient, np.zeros(shape).ravel(), factr=1e3, maxiter=2000)
        return torch.from_numpy(found).reshape(shape)


@dataclass(frozen=True, kw_only=True)
class Eraser:
    r"""The least change of representations after which no linear predictor tells a label: $z \mapsto z - A(z - \mu)$.

    $A = W^{+} P W$ with $W = \Sigma_{zz}^{-1/2}$ and $P$ the projection onto the columns of $W \Sigma_{zs}$, so that
    the erased representation has no covariance with the label's indicators.

    Source: [belrose2023], theorem 4.3.

    Args:
        mean: $\mu$.
        matrix: $A$.

    Example:
        >>> z = torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.0, 0.0], [1.0, 1.0]])
        >>> Eraser.of(z, torch.tensor([0, 1, 0, 1])).apply(z)[:, 0].round(decimals=6).tolist()
        [0.5, 0.5, 0.5, 0.5]
    """

    mean: Float[Tensor, "dim"]
    matrix: Float[Tensor, "dim dim"]

    @classmethod
    def of(cls, z: Float[Array, "n dim"], labels: Integer[Array, "n"]) -> "Eraser":
        """Learn what to take away.

        Args:
            z: Representations.
            labels: What is not to be told, any integers.

        Raises:
            ShapeError: If rows do not pair or an entry is not finite.
        """
        same_rows(z=z, labels=labels)
        (x,) = as_float64(z=z)
        shown = torch.nn.functional.one_hot(torch.unique(torch.as_tensor(labels), return_inverse=True)[1]).to(x)
        mean = x.mean(0)
        centred, shown = x - mean, shown - shown.mean(0)
        values, basis = torch.linalg.eigh(centred.T @ centred / len(x))
        there = values > 1e-10 * values.amax().clamp(min=1e-300)  # along what does not vary nothing is to be told
        whiten = basis[:, there] * values[there].rsqrt()
        colour = basis[:, there] * values[there].sqrt()
        left, singular, _ = torch.linalg.svd(whiten.T @ (centred.T @ shown) / len(x), full_matrices=False)
        along = left[:, singular > 1e-10]
        return cls(mean=mean, matrix=colour @ along @ along.T @ whiten.T)

    @guarded
    def apply(self, z: Float[Array, "n dim"]) -> Float[Tensor, "n dim"]:
        """Take it away.

        Raises:
            ShapeError: If there are more columns than it was learned on, or fewer.
        """
        (x,) = as_float64(z=z)
        if x.shape[1] != len(self.mean):
            raise ShapeError(f"z must have {len(self.mean)} columns, as when the eraser was made; got {x.shape[1]}")
        return x - (x - self.mean) @ self.matrix.T


@guarded
def group_accuracy(
    labels: Integer[Array, "n"], predictions: Integer[Array, "n"], members: Integer[Array, "n"]
) -> Float[Tensor, "groups"]:
    """Share of right predictions in each group, in the order of the groups' numbers; its least is the worst group's.

    Raises:
        ShapeError: If rows do not pair.

    Example:
        >>> group_accuracy([0, 1, 1, 0], [0, 1, 0, 0], [0, 0, 1, 1]).tolist()
        [1.0, 0.5]
    """
    same_rows(labels=labels, predictions=predictions, members=members)
    _, group = torch.unique(torch.as_tensor(members), return_inverse=True)
    right = (torch.as_tensor(labels) == torch.as_tensor(predictions)).double()
    return torch.zeros(int(group.max()) + 1, dtype=torch.float64).index_add(0, group, right) / torch.bincount(group)


@guarded
def equalised_odds_difference(
    labels: Integer[Array, "n"], predictions: Integer[Array, "n"], cue: Integer[Array, "n"]
) -> float:
    r"""How much predictions depend on a cue among items of one label, at most.

    $\max_{y, k} \big(\max_s P(\hat y = k \mid y, s) - \min_s P(\hat y = k \mid y, s)\big)$ over labels $y$, predictions
    $k$ and those values $s$ of the cue that occur with $y$.

    Source: [hardt2016]; for two classes the larger of the differences of true and of false positive rates.

    Returns:
        In [0, 1]; 0 if predictions are independent of the cue given the label.

    Raises:
        ShapeError: If rows do not pair.

    Example:
        >>> equalised_odds_difference([1, 1, 1, 1, 0, 0], [1, 1, 1, 0, 0, 0], [0, 0, 1, 1, 0, 1])
        0.5
    """
    same_rows(labels=labels, predictions=predictions, cue=cue)
    y, s, predicted = (torch.as_tensor(values) for values in (labels, cue, predictions))
    worst = 0.0
    for label in torch.unique(y):
        of_label = y == label
        rates = torch.stack([_shares(predicted, of_label & (s == value)) for value in torch.unique(s[of_label])])
        worst = max(worst, float((rates.amax(0) - rates.amin(0)).max()))
    return worst


def _shares(predicted: Integer[Tensor, "n"], rows: Bool[Tensor, "n"]) -> Float[Tensor, "classes"]:
    classes = torch.unique(predicted)
    shares: Tensor = (predicted[rows][:, None] == classes).double().mean(0)
    return shares

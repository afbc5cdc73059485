"""Who is fitted on what, and what the score is a score of."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from vergence.checks import known_factors
from vergence.errors import ConfigError, FactorError, ShapeError
from vergence.factors import Factor, FactorSpace
from vergence.metrics import Interval, Logistic, Ridge, cluster_bootstrap, matthews_corrcoef, r2_score

_COLUMNS = ["factor", "metric", "score", "low", "high", "n_fit", "n_test", "n_clusters"]


@runtime_checkable
class _Regressor(Protocol):
    def fit(self, z: Tensor, targets: Tensor, /, *, groups: Tensor) -> "_Fitted": ...


@runtime_checkable
class _Fitted(Protocol):
    def predict(self, z: Tensor) -> Tensor: ...


@dataclass(frozen=True, eq=False)
class Labelled:
    """Representations of items whose factors are known.

    Args:
        z: One row for each item.
        labels: One column for each factor, `None` where it is not known.
        clusters: What each item is a form of, numbers or texts; items of one cluster are not independent.

    Raises:
        ShapeError: If the numbers of rows differ, or an item has no cluster.
    """

    z: Float[Tensor, "n dim"]
    labels: pd.DataFrame
    clusters: Shaped[np.ndarray, "m"]

    def __post_init__(self) -> None:
        if not len(self.z) == len(self.labels) == len(self.clusters):
            raise ShapeError(
                f"rows must pair: got {len(self.z)} representations, {len(self.labels)} labels, "
                f"{len(self.clusters)} clusters"
            )
        if missing := int(pd.isna(self.clusters).sum()):
            raise ShapeError(f"each item must have a cluster; {missing} of {len(self.clusters)} have none")

    def known(self, factor: Factor) -> tuple[Tensor, Tensor, np.ndarray]:
        """Representations, targets and clusters of the items for which the factor is known."""
        known_factors([factor.name], self.labels.columns)
        rows = np.flatnonzero(self.labels[factor.name].notna())
        values = self.labels[factor.name].iloc[rows]
        if factor.is_continuous:
            numbers = pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64)
            if np.isnan(numbers).any():
                wrong = values.iloc[int(np.isnan(numbers).argmax())]
                raise FactorError(f"factor {factor.name!r} is continuous: its labels must be numbers; got {wrong!r}")
            targets = torch.tensor(numbers)
        else:
            targets = torch.tensor([factor.index(value) for value in values], dtype=torch.long)
        return self.z[rows], targets, self.clusters[rows]


def probe(
    fit: Labelled,
    test: Labelled,
    space: FactorSpace,
    *,
    generator: torch.Generator,
    classifier: _Regressor = Logistic(),  # noqa: B008 - frozen
    regressor: _Regressor = Ridge(),  # noqa: B008
) -> pd.DataFrame:
    """Fit one probe for each factor and score it on other clusters.

    The estimand is the score of *the fitted probe on new clusters*: test clusters are resampled whole for the interval,
    the probe is not refitted.

    Args:
        fit: What probes are fitted on; their strength is chosen within it, clusters held out whole.
        test: What they are scored on; shares no cluster with `fit`.
        space: The factors to probe.
        generator: Resamples the test clusters.
        classifier: Fits a discrete factor; scored by the Matthews correlation, in [-1, 1], 0 for a constant.
        regressor: Fits a continuous factor; scored by R², at most 1.

    Returns:
        One row for each factor: factor, metric, score with the 95 % interval low to high, items fitted and tested,
        clusters tested.

    Raises:
        ConfigError: If a cluster is in both halves, clusters are numbers in one and texts in the other, or a factor has
            no known value in one of them.
        FactorError: If a label is no number, or no value, of its factor.

    Example:
        >>> from vergence.random import generator
        >>> z = torch.randn(200, 3, generator=generator(0))
        >>> side = np.where(z[:, 0] > 0, "right", "left")
        >>> halves = [
        ...     Labelled(z[rows], pd.DataFrame({"side": side[rows]}), np.arange(200)[rows])
        ...     for rows in (slice(0, 100), slice(100, 200))
        ... ]
        >>> table = probe(*halves, FactorSpace((Factor("side", ("left", "right")),)), generator=generator(1))
        >>> bool(table.score[0] > 0.8), table.metric[0]
        (True, 'matthews_corrcoef')
    """
    check_halves(fit, test)
    rows = []
    for factor in space.factors:
        found = answer(fit, test, factor, classifier=classifier, regressor=regressor)
        interval: Interval = cluster_bootstrap(
            found.score, found.truth, found.predicted, found.clusters, generator=generator
        )
        counts = found.n_fit, len(found.truth), int(found.clusters.max()) + 1
        rows.append((factor.name, found.score.__name__, found.value, *interval, *counts))
    return pd.DataFrame(rows, columns=_COLUMNS)


@dataclass(frozen=True, eq=False)
class Answers:
    """What a fitted probe says of the items that it is tested on.

    Args:
        factor: Of which.
        score: What it is scored by.
        truth: Numbers of the true values, or true values.
        predicted: What the probe says.
        clusters: Of the items, numbered from 0.
        n_fit: How many items it was fitted on.
    """

    factor: Factor
    score: Callable[..., Tensor | float]
    truth: Tensor
    predicted: Tensor
    clusters: Tensor
    n_fit: int

    @property
    def value(self) -> float:
        """The score."""
        return float(self.score(self.truth, self.predicted))


def check_halves(fit: Labelled, test: Labelled) -> None:
    """Require test clusters to be new to the probe.

    Raises:
        ConfigError: If one is in both halves, or clusters are numbers in one and texts in the other.
    """
    kinds = ["texts" if half.clusters.dtype.kind in "OSU" else "numbers" for half in (fit, test)]
    if kinds[0] != kinds[1]:
        raise ConfigError(f"clusters must be of one type in both halves; got {kinds[0]} to fit and {kinds[1]} to test")
    shared = sorted(set(fit.clusters.tolist()) & set(test.clusters.tolist()))
    if shared:
        raise ConfigError(f"a test cluster must be new to the probe; in both halves: {', '.join(map(str, shared[:3]))}")


def answer(
    fit: Labelled,
    test: Labelled,
    factor: Factor,
    *,
    classifier: _Regressor = Logistic(),  # noqa: B008 - frozen
    regressor: _Regressor = Ridge(),  # noqa: B008
) -> Answers:
    """Fit a probe for one factor, and have it say what the other half shows.

    Raises:
        ConfigError: If the factor has no known value in one of the halves.
        FactorError: If a label is no number, or no value, of the factor.
    """
    (z_fit, y_fit, held_together), (z_test, y_test, clusters) = fit.known(factor), test.known(factor)
    if not len(y_fit) or not len(y_test):
        raise ConfigError(f"factor {factor.name!r} is known for {len(y_fit)} items to fit and {len(y_test)} to test")
    score = r2_score if factor.is_continuous else matthews_corrcoef
    fitted = (regressor if factor.is_continuous else classifier).fit(z_fit, y_fit, groups=_numbered(held_together))
    return Answers(factor, score, y_test, fitted.predict(z_test), _numbered(clusters), len(y_fit))


def _numbered(clusters: np.ndarray) -> Tensor:
    return torch.from_numpy(np.unique(clusters, return_inverse=True)[1])

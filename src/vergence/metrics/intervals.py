"""Intervals for the score of a fitted probe on new data: what is resampled is what new data would bring new of."""

from collections.abc import Callable
from math import sqrt
from types import MappingProxyType
from typing import NamedTuple

import torch
from jaxtyping import Float, Integer, Shaped
from scipy.stats import norm, t
from torch import Tensor

from vergence.checks import at_least
from vergence.errors import ConfigError
from vergence.metrics.arrays import Array, as_float64, codes, same_rows
from vergence.metrics.identifiability import (
    matthews_corrcoef,
    matthews_from_sums,
    matthews_terms,
    r2_from_sums,
    r2_score,
    r2_terms,
)

_FEW = 5  # clusters with an error; below it a resample too often shows none
_BLOCK = 2**23  # draws held at once: 128 MB of numbers and counts


class Interval(NamedTuple):
    """Lower and upper limit of a score."""

    low: float
    high: float


def cluster_bootstrap(
    score: Callable[..., object],
    labels: Shaped[Array, "n"],
    predictions: Shaped[Array, "m"],
    clusters: Integer[Array, "k"] | None = None,
    *,
    generator: torch.Generator,
    n_resamples: int = 2000,
    level: float = 0.95,
) -> Interval:
    r"""Interval for the score that this fitted probe would reach on items of *new* clusters.

    Whole clusters are drawn with replacement; percentiles are taken at the levels
    $\Phi(\pm\sqrt{G/(G-1)}\, t_{G-1})$ instead of at the nominal ones, which makes up for the resamples being too
    narrow when there are few clusters $G$. Scores are computed for all resamples at once from sums per cluster.

    Source: [hesterberg2015], the expanded percentile interval. Differs for the Matthews correlation when fewer than
    five clusters hold an error, where resamples collapse to 1: there the confusion table is given a posterior, the
    table being scaled to one observation per cluster, with half an error and half a success added (Jeffreys).

    The probe is taken as given: its interval does not say how another fitting half would have changed it.

    Args:
        score: `matthews_corrcoef` or `r2_score`.
        labels: True classes, or true values, of the test items.
        predictions: What the probe predicted for them.
        clusters: Which items share what new data would bring anew, such as a concept or a source image; `None` if
            every item is its own.
        generator: Draws the resamples, on the CPU.
        n_resamples: How many; the time is proportional, 2,000 take milliseconds.
        level: Nominal coverage, in (0, 1).

    Returns:
        Limits in the range of the score. Where nothing varies: the whole range if there is one cluster, or if labels
        hold one class or value only, for neither says anything about new data; (0, 0) for the Matthews correlation of
        a constant prediction, which it has on any data; (1, 1) for an exact R². The upper limit of an observed
        Matthews correlation of 1 is 1.

    Raises:
        ConfigError: If the score is another function, the level is not inside (0, 1) or `n_resamples` is below 100.
        ShapeError: If numbers of items differ, or a value is NaN or infinite.

    Example:
        >>> g = torch.Generator().manual_seed(0)
        >>> labels = torch.arange(300) % 3
        >>> predictions = labels.where(torch.rand(300, generator=g) < 0.8, 0)
        >>> low, high = cluster_bootstrap(matthews_corrcoef, labels, predictions, torch.arange(300) // 10, generator=g)
        >>> low < matthews_corrcoef(labels, predictions) < high
        True
    """
    if score not in _INTERVALS:
        raise ConfigError(
            f"score must be one of {', '.join(f.__name__ for f in _INTERVALS)}, whose sums are known; got {score!r}"
        )
    at_least("n_resamples", n_resamples, 100, why="tail percentiles need them")
    if not 0 < level < 1:
        raise ConfigError(f"level must be inside (0, 1); got {level!r}")
    n = same_rows(labels=labels, predictions=predictions, clusters=labels if clusters is None else clusters)
    n_clusters, (member,) = (n, (torch.arange(n),)) if clusters is None else codes(clusters)
    draw = _Resampling(member.cpu(), n_clusters, n_resamples, level, generator)
    return _INTERVALS[score](labels, predictions, draw)


class _Resampling(NamedTuple):
    """Which cluster each item is in, and how clusters are resampled."""

    member: Integer[Tensor, "n"]
    n_clusters: int
    n_resamples: int
    level: float
    generator: torch.Generator

    def sums(self, terms: Float[Tensor, "n terms"]) -> Float[Tensor, "clusters terms"]:
        return terms.new_zeros(self.n_clusters, terms.shape[1]).index_add_(0, self.member, terms)

    def resampled(self, sums: Float[Tensor, "clusters terms"]) -> Float[Tensor, "resamples terms"]:
        """Sums over each resample of as many clusters as there are."""
        block = max(1, _BLOCK // self.n_clusters)
        return torch.cat([self._times(n) @ sums for n in _split(self.n_resamples, block)])

    def _times(self, n: int) -> Float[Tensor, "n clusters"]:
        """How often each cluster is drawn in each of the next `n` resamples."""
        drawn = torch.randint(self.n_clusters, (n, self.n_clusters), generator=self.generator)
        one = torch.ones((), dtype=torch.float64).expand(drawn.shape)
        return torch.zeros(n, self.n_clusters, dtype=torch.float64).scatter_add_(1, drawn, one)

    def percentiles(self, scores: Float[Tensor, "resamples"], *, expanded: bool) -> Interval:
        tail = (1 - self.level) / 2
        if expanded:
            inflation = sqrt(self.n_clusters / (self.n_clusters - 1))
            tail = float(norm.cdf(inflation * t.ppf(tail, self.n_clusters - 1)))
        low, high = torch.quantile(scores, torch.tensor([tail, 1 - tail], dtype=scores.dtype)).tolist()
        return Interval(low, high)


def _matthews_interval(labels: Array, predictions: Array, draw: _Resampling) -> Interval:
    n_classes, (truth, guess) = codes(labels, predictions)
    truth, guess = truth.cpu(), guess.cpu()
    if draw.n_clusters == 1 or bool((truth == truth[0]).all()):
        return Interval(-1.0, 1.0)
    if bool((guess == guess[0]).all()):
        return Interval(0.0, 0.0)
    sums = draw.sums(matthews_terms(truth, guess, n_classes))
    size = torch.bincount(draw.member)
    if int((sums[:, 0] < size).sum()) >= _FEW:
        return draw.percentiles(matthews_from_sums(draw.resampled(sums)), expanded=True)
    low, high = draw.percentiles(_matthews_posterior(truth, guess, n_classes, draw), expanded=False)
    return Interval(low, 1.0 if bool((truth == guess).all()) else high)


def _matthews_posterior(
    truth: Integer[Tensor, "n"], guess: Integer[Tensor, "n"], n_classes: int, draw: _Resampling
) -> Float[Tensor, "resamples"]:
    """Draws of the Matthews correlation of a table with a Dirichlet posterior, one observation per cluster."""
    table = torch.bincount(truth * n_classes + guess, minlength=n_classes**2).to(torch.float64)
    table = (table * draw.n_clusters / len(truth)).reshape(n_classes, n_classes)
    right = torch.eye(n_classes, dtype=torch.bool)
    prior = torch.where(right, 0.5 / n_classes, 0.5 / (n_classes * (n_classes - 1)))
    weights = torch._standard_gamma((table + prior).expand(draw.n_resamples, -1, -1), generator=draw.generator)
    diagonal = weights.diagonal(dim1=1, dim2=2).sum(1, keepdim=True)
    sums = torch.cat([diagonal, weights.sum(2), weights.sum(1)], dim=1)
    return matthews_from_sums(sums)


def _r2_interval(targets: Array, predictions: Array, draw: _Resampling) -> Interval:
    truth, guess = (tensor.cpu() for tensor in as_float64(targets=targets, predictions=predictions))
    if draw.n_clusters == 1 or bool((truth == truth[0]).all()):
        return Interval(float("-inf"), 1.0)
    return draw.percentiles(r2_from_sums(draw.resampled(draw.sums(r2_terms(truth, guess)))), expanded=True)


def _split(total: int, block: int) -> list[int]:
    return [min(block, total - start) for start in range(0, total, block)]


_INTERVALS = MappingProxyType({matthews_corrcoef: _matthews_interval, r2_score: _r2_interval})

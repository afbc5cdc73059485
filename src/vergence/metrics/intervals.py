"""Intervals for the score of a fitted probe on new data: what is resampled is what new data would bring new of."""

from collections.abc import Callable, Sequence
from math import sqrt
from types import MappingProxyType
from typing import NamedTuple

import torch
from jaxtyping import Float, Integer, Shaped
from scipy.stats import beta, norm, t
from torch import Tensor

from vergence.checks import at_least, inside
from vergence.errors import ConfigError, ShapeError
from vergence.metrics import hsic
from vergence.metrics.arrays import Array, as_float64, codes, guarded, same_rows
from vergence.metrics.identifiability import (
    matthews_corrcoef,
    matthews_from_sums,
    matthews_terms,
    r2_from_sums,
    r2_score,
    r2_terms,
)

_FEW = 5  # clusters with an error; below it a resample too often shows none
_MIN_GROUPS = 10  # of a jackknife
_BLOCK = 2**23  # draws held at once: 128 MB of numbers and counts


class Interval(NamedTuple):
    """Lower and upper limit of a score."""

    low: float
    high: float


@guarded
def cluster_bootstrap(
    score: Callable[..., object],
    labels: Shaped[Array, "n"],
    predictions: Shaped[Array, "n"],
    clusters: Integer[Array, "n"] | None = None,
    *,
    generator: torch.Generator,
    n_resamples: int = 2000,
    level: float = 0.95,
) -> Interval:
    r"""Interval for the score that this fitted probe would reach on items of *new* clusters.

    Whole clusters are drawn with replacement, and scores of all resamples computed at once from sums per cluster. The
    percentiles taken are corrected for bias and skewness, and start from $\pm\sqrt{G/(G-1)}\, t_{G-1}$ instead of the
    normal quantile, which makes up for resamples being too narrow when there are few clusters $G$.

    Source: [efron1987] for the correction, [hesterberg2015] for the expansion. Differs for the Matthews correlation
    when fewer than five clusters hold an error, where resamples collapse to 1: there the confusion table is given a
    posterior, the table scaled to one observation per cluster, with half an error and half a success added (Jeffreys).

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
    inside("level", level, 0, 1)
    n = same_rows(labels=labels, predictions=predictions, clusters=labels if clusters is None else clusters)
    n_clusters, (member,) = (n, (torch.arange(n),)) if clusters is None else codes(clusters)
    draw = _Resampling(member.cpu(), n_clusters, n_resamples, level, generator)
    return _INTERVALS[score](labels, predictions, draw)


@guarded
def share_interval(
    values: Float[Array, "n"], clusters: Integer[Array, "n"] | None = None, *, level: float = 0.95
) -> Interval:
    r"""Interval for the mean of values in [0, 1] over new clusters, such as recall over new queries.

    The posterior of a share under Jeffreys' prior, as if from $n_e$ independent trials: those that would give the
    variance of the mean that the clusters show, less what Student's $t$ takes from few clusters.

    Source: [brown2001] for the Jeffreys interval. For recall pass `Ranks.hits(k)`: the gallery is taken as given, and
    recall at another gallery size is another number.

    Args:
        values: One value in [0, 1] per query.
        clusters: Which queries share what new data would bring anew, such as the captions of an image; `None` if every
            query is its own.
        level: Nominal coverage, in (0, 1).

    Returns:
        Limits in [0, 1], reaching 0 or 1 where the mean does; (0, 1) for a single cluster.

    Raises:
        ConfigError: If the level is not inside (0, 1).
        ShapeError: If rows do not pair, there is none, or a value is outside [0, 1].

    Example:
        >>> low, high = share_interval(torch.tensor([1.0, 1.0, 0.0, 1.0] * 25))
        >>> round(low, 2), round(high, 2)
        (0.66, 0.83)
    """
    inside("level", level, 0, 1)
    n = same_rows(values=values, clusters=values if clusters is None else clusters)
    (hits,) = as_float64(values=values)
    if bool((hits < 0).any() or (hits > 1).any()):
        raise ShapeError(f"values must lie in [0, 1]; got {float(hits.min())}..{float(hits.max())}")
    n_clusters, (member,) = (n, (torch.arange(n),)) if clusters is None else codes(clusters)
    if n_clusters == 1:
        return Interval(0.0, 1.0)
    mean = float(hits.mean())
    sums = hits.new_zeros(n_clusters).index_add_(0, member.to(hits.device), hits - mean)
    variance = n_clusters / (n_clusters - 1) * float((sums**2).sum()) / n**2
    trials = min(n, mean * (1 - mean) / variance) if variance > 1e-15 else n_clusters
    tail = (1 - level) / 2
    trials *= float(norm.ppf(tail) / t.ppf(tail, n_clusters - 1)) ** 2
    low, high = beta.ppf([tail, 1 - tail], mean * trials + 0.5, (1 - mean) * trials + 0.5)
    return Interval(0.0 if mean == 0 else float(low), 1.0 if mean == 1 else float(high))


@guarded
def cka_interval(
    x: Float[Array, "n dim_x"],
    y: Float[Array, "n dim_y"],
    *,
    generator: torch.Generator,
    level: float = 0.95,
    n_groups: int = 100,
) -> Interval:
    r"""Interval for the linear CKA of the population, by a jackknife of the unbiased estimate.

    Items are dealt into groups; leaving out each in turn gives pseudo-values, whose mean and standard error give the
    limits with Student's $t$. Only sums of a group have to be taken off, so it costs little more than one CKA. A
    bootstrap would draw items twice, and a pair of copies is aligned by construction: its intervals lie too high.

    Source: [efron1981].

    Args:
        x: One representation, one row per item.
        y: The other, of the same items in the same order.
        generator: Deals items into groups, on the CPU.
        level: Nominal coverage, in (0, 1).
        n_groups: How many groups, at least 10; as many as items if there are fewer items.

    Returns:
        Limits in [-1, 1]; (0, 0) if either representation is constant.

    Raises:
        ConfigError: If the level is not inside (0, 1) or there are fewer than 10 groups.
        ShapeError: If rows do not pair, there are fewer than 10, or an entry is NaN or infinite.

    Example:
        >>> g = torch.Generator().manual_seed(0)
        >>> x = torch.randn(200, 4, generator=g)
        >>> low, high = cka_interval(x, x + torch.randn(200, 4, generator=g), generator=g)
        >>> 0.3 < low < 0.5 < high < 0.7  # the population value is 0.5
        True
    """
    inside("level", level, 0, 1)
    at_least("n_groups", n_groups, _MIN_GROUPS)
    n = same_rows(x=x, y=y)
    if n < _MIN_GROUPS:
        raise ShapeError(f"a jackknife of CKA needs at least {_MIN_GROUPS} rows; got {n}")
    rows_x, rows_y = as_float64(x=x, y=y)
    order = torch.randperm(n, generator=generator).to(rows_x.device)
    groups = [order[k :: min(n_groups, n)] for k in range(min(n_groups, n))]
    low, high = jackknifed(pseudo_values(rows_x, rows_y, groups)[1], level)
    return Interval(min(1.0, max(-1.0, low)), max(-1.0, min(1.0, high)))


def pseudo_values(
    x: Float[Tensor, "n dim_x"], y: Float[Tensor, "n dim_y"], groups: Sequence[Integer[Tensor, "_"]]
) -> tuple[float, Float[Tensor, "groups"]]:
    """The unbiased linear CKA, and its pseudo-values when each group of rows is left out in turn."""
    start = hsic.LinearSums.starting_with(x, y)
    everything = start.plus(x, y)
    left_out = (everything.without(start.plus(x[rows], y[rows])) for rows in groups)
    full = hsic.ratio(*everything.pairs(), unbiased=True)
    partial = torch.tensor([hsic.ratio(*sums.pairs(), unbiased=True) for sums in left_out], dtype=torch.float64)
    return full, len(groups) * full - (len(groups) - 1) * partial


def jackknifed(pseudo: Float[Tensor, "groups"], level: float) -> Interval:
    """Limits for the mean of pseudo-values, by Student's t."""
    reach = float(t.ppf((1 + level) / 2, len(pseudo) - 1)) * float(pseudo.std()) / sqrt(len(pseudo))
    centre = float(pseudo.mean())
    return Interval(centre - reach, centre + reach)


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

    def interval(self, sums: Float[Tensor, "clusters terms"], score: Callable[[Tensor], Tensor]) -> Interval:
        """Bias-corrected, accelerated percentiles of the resampled scores, expanded for few clusters."""
        total = sums.sum(0)
        observed, scores, without = score(total), score(self.resampled(sums)), score(total - sums)
        above = (scores < observed).double().mean() + (scores == observed).double().mean() / 2
        bias = float(norm.ppf(min(max(float(above), 0.5 / self.n_resamples), 1 - 0.5 / self.n_resamples)))
        pull = without.mean() - without
        spread = float((pull**2).sum()) ** 1.5
        acceleration = float((pull**3).sum()) / (6 * spread) if spread > 0 else 0.0
        expanded = sqrt(self.n_clusters / (self.n_clusters - 1)) * t.ppf((1 + self.level) / 2, self.n_clusters - 1)
        shifted = [bias + z / max(1 - acceleration * z, 0.1) for z in (bias - expanded, bias + expanded)]
        tails = torch.as_tensor(norm.cdf(shifted), dtype=scores.dtype)
        low, high = torch.quantile(scores, tails).tolist()
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
        return draw.interval(sums, matthews_from_sums)
    tails = torch.tensor([(1 - draw.level) / 2, (1 + draw.level) / 2], dtype=torch.float64)
    low, high = torch.quantile(_matthews_posterior(truth, guess, n_classes, draw), tails).tolist()
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
    return draw.interval(draw.sums(r2_terms(truth, guess)), r2_from_sums)


def _split(total: int, block: int) -> list[int]:
    return [min(block, total - start) for start in range(0, total, block)]


_INTERVALS = MappingProxyType({matthews_corrcoef: _matthews_interval, r2_score: _r2_interval})

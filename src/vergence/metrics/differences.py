"""Differences of scores with intervals: of two sets of answers on the same items, or of two scores that come alone.

Choices here:

- what is shared is drawn together: a resample holds the same clusters on both sides, so that what is hard for both
  cancels;
- a resample of answers of which nearly all are alike shows no difference at all. Where fewer than ten clusters differ,
  one more cluster is counted on either side, as is usual for shares of matched pairs;
- every limit is one of the difference itself. Two intervals that overlap say little.
"""

from collections.abc import Callable
from math import inf, sqrt
from typing import NamedTuple

import torch
from jaxtyping import Float, Integer
from scipy.stats import norm, t
from torch import Tensor

from vergence.checks import at_least, inside
from vergence.errors import ShapeError
from vergence.metrics.canonical import CanonicalSpectrum
from vergence.metrics.intervals import Interval, jackknifed, pseudo_values

FEW = 10
"""Clusters that differ; below it resamples do not show what others might."""

_BLOCK = 2**23  # draws held at once

Score = Callable[[Float[Tensor, "*batch scores terms"]], Float[Tensor, "*batch scores"]]


class Limits(NamedTuple):
    """Values and an interval for each."""

    value: Float[Tensor, "scores"]
    low: Float[Tensor, "scores"]
    high: Float[Tensor, "scores"]


class Paired(NamedTuple):
    """Scores of two sets of answers on the same items.

    Attributes:
        before: Of the one.
        after: Of the other.
        difference: After less before.
        differing: By score, in how many clusters the answers differ.
        clusters: How many there are.
    """

    before: Limits
    after: Limits
    difference: Limits
    differing: Integer[Tensor, "scores"]
    clusters: int


def paired_scores(
    before: Float[Tensor, "n scores terms"],
    after: Float[Tensor, "m scores terms"],
    score: Score,
    clusters: Integer[Tensor, "n"] | None = None,
    *,
    jump: Float[Tensor, "scores"] | float,
    widest: float = 1.0,
    generator: torch.Generator,
    n_resamples: int = 2000,
    level: float = 0.95,
) -> Paired:
    r"""Compare scores that follow from sums over items, with intervals for items of new clusters.

    Whole clusters are drawn, the same for both sides; percentiles are corrected for bias and skewness and expanded for
    few clusters $G$, as in `cluster_bootstrap`. Where fewer than ten clusters differ in what a score is computed from,
    its interval is $\hat D \pm t_{G-1} \sqrt{v + 2 \delta^2}$ instead, with $v$ the jackknife's variance and $\delta$
    what one cluster that is answered otherwise changes.

    Source: [efron1987], [hesterberg2015]; [bonett2012] for few that differ, of which this is the unshrunken form for
    any score.

    Args:
        before: What each item adds to the sums of each score.
        after: The same for the other answers.
        score: Scores of sums, along the last dimension; finite for every resample.
        clusters: Which items share what new data would bring anew; each is its own if `None`.
        jump: By how much a score changes if one item is answered otherwise.
        widest: How far apart two scores can be; no limit is wider.
        generator: Draws the resamples, on the CPU.
        n_resamples: How many, >= 100.
        level: Nominal coverage, inside (0, 1).

    Returns:
        Scores and differences; limits are infinite if there is one cluster.

    Raises:
        ShapeError: If the two are not of one shape, or there is no item.
        ConfigError: If an option is out of range.

    Example:
        >>> right = torch.tensor([[1.0, 1.0, 0.0, 1.0] * 25, [1.0, 0.0, 0.0, 1.0] * 25])
        >>> terms = torch.stack([right, torch.ones_like(right)], dim=-1)[:, :, None]
        >>> g = torch.Generator().manual_seed(0)
        >>> found = paired_scores(terms[0], terms[1], share_of_sums, jump=0.01, generator=g).difference
        >>> [round(float(one), 2) for one in found]
        [-0.25, -0.34, -0.17]
    """
    at_least("n_resamples", n_resamples, 100, why="tail percentiles need them")
    inside("level", level, 0, 1)
    if before.shape != after.shape or not len(before):
        raise ShapeError(f"answers must be of the same items; got {tuple(before.shape)} and {tuple(after.shape)}")
    member = torch.arange(len(before)) if clusters is None else torch.unique(clusters, return_inverse=True)[1]
    n_clusters = int(member.max()) + 1
    sums = torch.stack([_summed(side.double(), member, n_clusters) for side in (before, after)])
    differing = (sums[0] != sums[1]).any(-1).sum(0)
    observed = _three(score, sums.sum(1))
    if n_clusters == 1:
        whole = torch.full_like(observed, inf)
        return _paired(observed, -whole, whole, differing, 1)
    resampled = torch.cat(
        [
            _three(score, torch.tensordot(_times(some, n_clusters, generator), sums, ([1], [1])).transpose(0, 1))
            for some in _split(n_resamples, max(1, _BLOCK // n_clusters))
        ],
        dim=1,
    )
    without = _three(score, sums.sum(1, keepdim=True) - sums)
    quantile = float(t.ppf((1 + level) / 2, n_clusters - 1))
    low, high = torch.empty_like(observed), torch.empty_like(observed)
    for kind in range(3):
        for place in range(observed.shape[1]):
            ends = _corrected(
                observed[kind, place], resampled[kind, :, place], without[kind, :, place], expanded=quantile
            )
            low[kind, place], high[kind, place] = ends
    one = torch.as_tensor(jump, dtype=torch.float64) * len(before) / n_clusters
    variance = (n_clusters - 1) / n_clusters * (without[2] - without[2].mean(0)).square().sum(0)
    reach = quantile * (variance + 2 * one**2).sqrt()
    few = differing < FEW
    low[2] = torch.where(few, observed[2] - reach, low[2]).clamp(min=-widest)
    high[2] = torch.where(few, observed[2] + reach, high[2]).clamp(max=widest)
    return _paired(observed, low, high, differing, n_clusters)


def share_of_sums(sums: Float[Tensor, "*batch scores 2"]) -> Float[Tensor, "*batch scores"]:
    """A mean over items, of sums of values and of ones."""
    return sums[..., 0] / sums[..., 1]


def unpaired_difference(before: Limits, after: Limits) -> Limits:
    r"""Difference of two scores that come alone, each with its interval.

    $D - \sqrt{(b - l_b)^2 + (u_a - a)^2}$ to $D + \sqrt{(u_b - b)^2 + (a - l_a)^2}$ for $D = b - a$: each limit is
    reached where the two sides' own limits are. The two are taken to be independent; where the same items stand behind
    both, that is careful, since what they share would cancel.

    Source: [newcombe1998] for shares, [zou2008] in general.

    Example:
        >>> one, other = (Limits(*torch.tensor([[0.5], [0.4], [0.6]]) + shift) for shift in (0.0, 0.3))
        >>> [round(float(x), 3) for x in unpaired_difference(one, other)]
        [0.3, 0.159, 0.441]
    """
    value = after.value - before.value
    below = torch.hypot((after.value - after.low).clamp(min=0), (before.high - before.value).clamp(min=0))
    above = torch.hypot((after.high - after.value).clamp(min=0), (before.value - before.low).clamp(min=0))
    return Limits(value, value - below, value + above)


def cka_difference(
    before: tuple[Float[Tensor, "n dim_x"], Float[Tensor, "n dim_y"]],
    after: tuple[Float[Tensor, "n other_x"], Float[Tensor, "n other_y"]],
    clusters: Integer[Tensor, "n"] | None = None,
    *,
    generator: torch.Generator,
    level: float = 0.95,
    n_groups: int = 100,
) -> Paired:
    """Difference of the linear, unbiased CKA of two pairs of representations of the same items.

    The jackknife of `cka_interval`, over the same groups of clusters on both sides: a pseudo-value of the difference is
    the difference of pseudo-values.

    Raises:
        ShapeError: If rows do not pair, or there are fewer than ten clusters.
        ConfigError: If the level is not inside (0, 1).
    """
    inside("level", level, 0, 1)
    n = len(before[0])
    member = torch.arange(n) if clusters is None else torch.unique(clusters, return_inverse=True)[1]
    n_clusters = int(member.max()) + 1
    if n_clusters < 10 or any(len(side) != n for side in (*before, *after)):
        raise ShapeError(f"a jackknife of CKA needs ten clusters of the same items on all sides; got {n_clusters}")
    group_of = torch.randperm(n_clusters, generator=generator)[member] % min(n_groups, n_clusters)
    groups = [(group_of == k).nonzero()[:, 0] for k in range(min(n_groups, n_clusters))]
    (one, of_one), (other, of_other) = (pseudo_values(x.double(), y.double(), groups) for x, y in (before, after))
    ends = [jackknifed(pseudo, level) for pseudo in (of_one, of_other, of_other - of_one)]
    values = [one, other, other - one]
    stacked = [
        torch.tensor([[x] for x in column], dtype=torch.float64) for column in (values, *zip(*ends, strict=True))
    ]
    differing = torch.tensor([n_clusters if bool((of_one != of_other).any()) else 0])
    return _paired(stacked[0], stacked[1], stacked[2], differing, n_clusters)


def strength_differences(before: CanonicalSpectrum, after: CanonicalSpectrum, *, level: float = 0.95) -> Paired:
    r"""Differences of held-out correlations, direction by direction, of two spectra of the same pairs.

    Along the directions that each side's halves have found; by the influence of each cluster on the difference,
    $uv - \rho (u^2 + v^2)/2$ after less before. Where two strengths are nearly equal, which is the $i$-th is a draw.

    Args:
        before: One spectrum.
        after: The other, of the same pairs in the same order, by a generator in the same state.
        level: Nominal coverage, inside (0, 1).

    Raises:
        ShapeError: If the pairs were divided otherwise.
    """
    inside("level", level, 0, 1)
    m = min(len(before.strengths), len(after.strengths))
    squares = torch.zeros(m, dtype=torch.float64)
    for one, other in zip(before.held_out, after.held_out, strict=True):
        if not torch.equal(one.rows, other.rows):
            raise ShapeError("the two spectra must be of the same pairs, divided by generators in the same state")
        n = int(one.clusters.max()) + 1
        influences = [
            u[:, :m] * v[:, :m] - r * (u[:, :m] ** 2 + v[:, :m] ** 2) / 2
            for u, v in (one[2:], other[2:])
            for r in [(u[:, :m] * v[:, :m]).mean(0)]
        ]
        change = influences[1] - influences[0]
        change = change - change.mean(0)
        sums = change.new_zeros(n, m).index_add_(0, one.clusters, change)
        of_half = before.clusters / 2
        squares += n / max(1, n - 1) * sums.square().sum(0) / len(one.clusters) ** 2 * (n / of_half) / 4
    reach = float(t.ppf((1 + level) / 2, before.clusters - 2)) * squares.sqrt()
    of_one, of_other = (torch.tensor(side.strengths[:m], dtype=torch.float64).reshape(m, 3) for side in (before, after))
    value = of_other[:, 0] - of_one[:, 0]
    differing = torch.where(squares > 0, before.clusters, 0)
    difference = Limits(value, value - reach, value + reach)
    return Paired(Limits(*of_one.unbind(1)), Limits(*of_other.unbind(1)), difference, differing, before.clusters)


def _summed(terms: Float[Tensor, "n scores terms"], member: Integer[Tensor, "n"], n: int) -> Tensor:
    return terms.new_zeros(n, *terms.shape[1:]).index_add_(0, member, terms)


def _three(score: Score, sums: Float[Tensor, "2 *batch scores terms"]) -> Float[Tensor, "3 *batch scores"]:
    """The score before, after, and what lies between."""
    before, after = score(sums[0]), score(sums[1])
    return torch.stack([before, after, after - before])


def _times(n: int, n_clusters: int, generator: torch.Generator) -> Float[Tensor, "n clusters"]:
    """How often each cluster is drawn in each of the next `n` resamples."""
    drawn = torch.randint(n_clusters, (n, n_clusters), generator=generator)
    one = torch.ones((), dtype=torch.float64).expand(drawn.shape)
    return torch.zeros(n, n_clusters, dtype=torch.float64).scatter_add_(1, drawn, one)


def _corrected(
    observed: Tensor, resampled: Float[Tensor, "resamples"], without: Float[Tensor, "clusters"], *, expanded: float
) -> Interval:
    """Bias-corrected, accelerated percentiles, expanded for few clusters."""
    n, n_clusters = len(resampled), len(without)
    below = float((resampled < observed).double().mean() + (resampled == observed).double().mean() / 2)
    bias = float(norm.ppf(min(max(below, 0.5 / n), 1 - 0.5 / n)))
    pull = without.mean() - without
    spread = float((pull**2).sum()) ** 1.5
    acceleration = float((pull**3).sum()) / (6 * spread) if spread > 0 else 0.0
    reach = sqrt(n_clusters / (n_clusters - 1)) * expanded
    shifted = [bias + z / max(1 - acceleration * z, 0.1) for z in (bias - reach, bias + reach)]
    low, high = torch.quantile(resampled, torch.as_tensor(norm.cdf(shifted), dtype=resampled.dtype)).tolist()
    return Interval(low, high)


def _paired(value: Tensor, low: Tensor, high: Tensor, differing: Tensor, clusters: int) -> Paired:
    before, after, difference = (Limits(*one) for one in zip(value, low, high, strict=True))
    return Paired(before, after, difference, differing, clusters)


def _split(total: int, block: int) -> list[int]:
    return [min(block, total - start) for start in range(0, total, block)]

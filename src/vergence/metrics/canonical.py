"""How strongly two modalities agree, direction by direction: canonical correlations on pairs not fitted on.

Choices here:

- both sides are read once: every number of a fit, and of the fit of one half on the other, follows from the moments of
  the two halves, which are float64 sums about a point near the rows;
- chance is what shuffled pairs give. A correlation of shuffled rows has variance 1 / (n - 1) whatever the data are, so
  that shuffles of a part of the pairs, rescaled, say what shuffles of all would;
- an interval starts from pairs not fitted on, where the fitted direction is worse than the best, and ends at what is
  reached on the pairs fitted on, where it looks better than it is.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Integer
from scipy.stats import t
from torch import Tensor

from vergence.checks import at_least, inside
from vergence.errors import ShapeError
from vergence.metrics import hsic
from vergence.metrics.arrays import Array, codes, guarded, same_rows, sound
from vergence.metrics.rows import Rows
from vergence.metrics.scale import rescaled, unit

MIN_PAIRS = 40
_ORIGIN_ROWS = 4096  # rows whose mean sums are taken relative to
_SAMPLE = 4096  # rows of each half that intervals and concepts are computed from
_SHUFFLED = 2048  # rows of each half that are shuffled
_REFITTED = 32  # directions up to which a shuffle is fitted anew; beyond, its threshold is that of the fitted ones
_RANK = 1e-12  # share of the largest variance below which a direction has none
_NEAR_ONE = 1e-12
_TINY = 1e-300


class Strength(NamedTuple):
    """The correlation along one direction on pairs not fitted on, and an interval for that of the population."""

    value: float
    low: float
    high: float


class HeldOut(NamedTuple):
    """Canonical variates of some pairs of one half, by directions fitted on the other; a column per direction."""

    rows: Integer[Tensor, "m"]  # which pairs
    clusters: Integer[Tensor, "m"]  # numbered from 0
    u: Float[Tensor, "m count"]  # of x, of mean 0 and variance 1 on the half
    v: Float[Tensor, "m count"]  # of y


@dataclass(frozen=True, kw_only=True, eq=False)
class CanonicalSpectrum:
    """Held-out canonical correlations; see `canonical_spectrum`.

    Args:
        strengths: By direction, in the order in which they were found: the strongest first, nearly.
        chance: What the largest correlation of shuffled pairs exceeds with probability 1 - null level.
        pairs: How many there are.
        clusters: How many of them are independent: the number of clusters.
        ranks: Dimensions of x and of y that have variance and were used.
        held_out: Variates of some pairs of either half.
    """

    strengths: tuple[Strength, ...]
    chance: float
    pairs: int
    clusters: int
    ranks: tuple[int, int]
    held_out: tuple[HeldOut, ...]

    @property
    def above_chance(self) -> int:
        """How many directions correlate more than chance would have the largest of them do."""
        return sum(one.value > self.chance for one in self.strengths)


@guarded
def canonical_spectrum(
    x: Float[Array, "n dim_x"],
    y: Float[Array, "n dim_y"],
    clusters: Integer[Array, "n"] | None = None,
    *,
    generator: torch.Generator,
    n_shuffles: int = 200,
    level: float = 0.95,
    null_level: float = 0.99,
) -> CanonicalSpectrum:
    r"""Canonical correlations of two sides on pairs not fitted on, with intervals and what chance would give.

    $\rho_i = \operatorname{corr}(a_i^\top x, b_i^\top y)$, where $a_i, b_i$ are the $i$-th canonical directions of one
    half of the pairs and the correlation is that of the other half; both ways round, averaged.

    Source: [hotelling1936]; differs: correlations are held out, since those of the fitted pairs are near
    $\sqrt{(d_x + d_y) / n}$ and more for independent data. Cost $O(n (d_x + d_y)^2)$ in one pass over both sides, which
    are neither copied nor made float64 as a whole.

    An interval is one for the $i$-th strength of the population. It runs from the lower limit on held-out pairs, where
    fitted directions are worse than the best, to the upper limit on all pairs fitted, where they look better than they
    are; either limit by the asymptotic variance of a correlation, whatever the distribution, on Fisher's scale. It
    holds 0 where the direction is not above chance.

    Args:
        x: One side, such as representations of images.
        y: The other, of the same items in the same order; its width may differ.
        clusters: Which pairs are not independent, such as those of the captions of one image; `None` if all are. A
            cluster is never divided between fitting and held-out pairs, counts once for chance and is one draw for the
            intervals.
        generator: Draws halves and shuffles, on the CPU.
        n_shuffles: How many, at least 100.
        level: Coverage of the intervals, inside (0, 1).
        null_level: Share of shuffles that stay below `chance`, inside (0, 1).

    Returns:
        As many directions as the narrower side has dimensions with variance, of the larger variance first up to a
        fifth of the fitted pairs; none if a side is constant. Correlations lie in [-1, 1].

    Raises:
        ShapeError: If rows do not pair, there are fewer than 40 clusters, or an entry is NaN or infinite.
        ConfigError: If an option is outside its range.

    Example:
        >>> g = torch.Generator().manual_seed(0)
        >>> s, noise = torch.randn(2, 2000, 3, generator=g)
        >>> found = canonical_spectrum(s, s + noise * torch.tensor([0.0, 1.0, 1e3]), generator=g)
        >>> [round(one.value, 1) for one in found.strengths[:2]], found.above_chance
        ([1.0, 0.7], 2)
    """
    same_rows(x=x, y=y)
    x, y = sound(x=x, y=y)
    members = None if clusters is None else codes(clusters)[1][0]
    sides = Rows(values=x, name="x"), Rows(values=y, name="y")
    return spectrum_of_rows(
        *sides, members, generator=generator, n_shuffles=n_shuffles, level=level, null_level=null_level
    )


def spectrum_of_rows(
    x: Rows,
    y: Rows,
    clusters: Integer[Tensor, "n"] | None = None,
    *,
    generator: torch.Generator,
    n_shuffles: int = 200,
    level: float = 0.95,
    null_level: float = 0.99,
) -> CanonicalSpectrum:
    """`canonical_spectrum` of rows that are read some at a time, such as those of a file."""
    at_least("n_shuffles", n_shuffles, 100)
    inside("level", level, 0, 1)
    inside("null_level", null_level, 0, 1)
    n = len(x)
    members = torch.arange(n) if clusters is None else clusters.cpu()
    n_clusters = int(members.max()) + 1
    if n_clusters < MIN_PAIRS:
        what = "pairs" if clusters is None else "clusters of pairs"
        raise ShapeError(f"held-out canonical correlations need at least {MIN_PAIRS} {what}; got {n_clusters}")
    x, y = (_turned(side) for side in (x, y))
    place = torch.randperm(n_clusters, generator=generator)[members]  # of each pair's cluster in a random order
    halves = [place < (n_clusters + 1) // 2, place >= (n_clusters + 1) // 2]
    sums = _moments(x, y, halves)
    fits = [_fit(one, x.dim, most=n_clusters // 10) for one in sums]
    ranks = (min(fit.x.shape[1] for fit in fits), min(fit.y.shape[1] for fit in fits))
    if (count := min(ranks)) == 0:
        return CanonicalSpectrum(strengths=(), chance=0.0, pairs=n, clusters=n_clusters, ranks=ranks, held_out=())
    samples = [_sample((x, y), place.where(half, -1), sums[0]) for half in halves]
    found = [_held_out(fits[1 - half], sums[half], samples[half], count) for half in (0, 1)]
    correlations, held_out = torch.stack([one for one, _ in found]), tuple(variates for _, variates in found)
    errors = [_standard_errors(r, one, n_clusters / 2) for r, one in zip(correlations, held_out, strict=True)]
    orders = [[torch.randperm(len(one.shuffled), generator=generator) for one in samples] for _ in range(n_shuffles)]
    shuffled = _refitted(fits, samples, orders) if max(ranks) <= _REFITTED else _kept(held_out, samples, orders)
    rescaling = ((min(len(one.shuffled) for one in samples) - 1) / (n_clusters // 2 - 1)) ** 0.5
    chance = float(exceeded(shuffled.amax(1), 1 - null_level)) * rescaling
    return CanonicalSpectrum(
        strengths=_strengths(
            correlations.mean(0),
            _fit(sums[0].joined(sums[1]), x.dim, most=n_clusters // 5).correlations[:count],
            torch.stack(errors).square().sum(0).sqrt() / 2 * float(t.ppf((1 + level) / 2, n_clusters - 2)),
            chance,
        ),
        chance=chance,
        pairs=n,
        clusters=n_clusters,
        ranks=ranks,
        held_out=held_out,
    )


class _Fit(NamedTuple):
    """Canonical directions of some pairs."""

    mean: Float[Tensor, "width"]
    x: Float[Tensor, "dim_x kept_x"]  # makes the columns of x uncorrelated and of variance 1
    y: Float[Tensor, "dim_y kept_y"]
    left: Float[Tensor, "kept_x count"]
    right: Float[Tensor, "kept_y count"]
    correlations: Float[Tensor, "count"]  # on the fitted pairs


class _Sample(NamedTuple):
    """Some pairs of one half, scaled as moments are, and of how many clusters of the half they are."""

    rows: Integer[Tensor, "m"]
    clusters: Integer[Tensor, "m"]
    x: Float[Tensor, "m dim_x"]
    y: Float[Tensor, "m dim_y"]
    shuffled: Integer[Tensor, "k"]  # one of each cluster, of some of the clusters


def _turned(side: Rows) -> Rows:
    """The same rows in fewer columns where there are more of these than rows: turned into the space they span."""
    if side.dim <= len(side):
        return side
    rows = side[slice(0, len(side))].double()
    left, values, _ = torch.linalg.svd(rescaled(rows - hsic.origin(rows)), full_matrices=False)
    return Rows(values=left * values, name=side.name)


def _moments(x: Rows, y: Rows, halves: list[Tensor]) -> list[hsic.LinearSums]:
    start = slice(0, min(_ORIGIN_ROWS, len(x)))
    first = hsic.LinearSums.starting_with(x[start], y[start])
    sums = [first, first.empty()]
    with ThreadPoolExecutor(min(len(halves), torch.get_num_threads())) as pool:  # products take one core
        for rows in x.slices():
            some_x, some_y = x[rows], y[rows]
            here = [half[rows].to(some_x.device) for half in halves]
            list(pool.map(hsic.LinearSums.add, sums, [some_x[one] for one in here], [some_y[one] for one in here]))
    return sums


def _fit(sums: hsic.LinearSums, dim_x: int, *, most: int) -> _Fit:
    mean, covariance = sums.covariance()
    x, y = _whitening(covariance[:dim_x, :dim_x], most), _whitening(covariance[dim_x:, dim_x:], most)
    left, values, right = torch.linalg.svd(x.T @ covariance[:dim_x, dim_x:] @ y, full_matrices=False)
    return _Fit(mean, x, y, left, right.T, values)


def _whitening(covariance: Float[Tensor, "dim dim"], most: int) -> Float[Tensor, "dim kept"]:
    """Principal directions that have variance, each divided by its standard deviation; at most so many, but one."""
    values, vectors = torch.linalg.eigh(covariance)
    kept = min(int((values > _RANK * values[-1].clamp(min=0.0)).sum()), max(1, most))
    whitening: Tensor = vectors.flip(1)[:, :kept] * values.flip(0)[:kept].rsqrt()
    return whitening


def _sample(sides: tuple[Rows, Rows], place: Tensor, sums: hsic.LinearSums) -> _Sample:
    """The rows of the first clusters of a half; those of the other half have no place, but -1."""
    rows = (place >= 0).nonzero()[:, 0]
    rows = rows[place[rows].argsort(stable=True)]
    if len(rows) > _SAMPLE:  # without the cluster that does not fit in whole, unless it is the first
        whole = rows[:_SAMPLE][place[rows[:_SAMPLE]] != place[rows[_SAMPLE]]]
        rows = whole if len(whole) else rows[:_SAMPLE]
    _, clusters = torch.unique_consecutive(place[rows], return_inverse=True)
    one_of_each = torch.cat([clusters.new_tensor([0]), clusters.diff().nonzero()[:, 0] + 1])
    x, y = (sums.scaled(number, side[rows]) for number, side in enumerate(sides))
    return _Sample(rows, clusters, x, y, one_of_each[:_SHUFFLED])


def _held_out(fit: _Fit, sums: hsic.LinearSums, sample: _Sample, count: int) -> tuple[Float[Tensor, "count"], HeldOut]:
    """Correlations on a half along directions fitted on the other, and the sample's variates."""
    mean, covariance = sums.covariance()
    dim_x = sample.x.shape[1]
    a, b = fit.x @ fit.left[:, :count], fit.y @ fit.right[:, :count]
    deviations = [
        (maps * (own @ maps)).sum(0).clamp(min=0.0).sqrt()
        for maps, own in ((a, covariance[:dim_x, :dim_x]), (b, covariance[dim_x:, dim_x:]))
    ]
    a, b = (maps / deviation.where(deviation > 0, 1.0) for maps, deviation in zip((a, b), deviations, strict=True))
    correlations = (a * (covariance[:dim_x, dim_x:] @ b)).sum(0).clamp(-1.0, 1.0)
    u, v = (sample.x - mean[:dim_x]) @ a, (sample.y - mean[dim_x:]) @ b
    return correlations.cpu(), HeldOut(sample.rows, sample.clusters, u.cpu(), v.cpu())


def _standard_errors(
    correlations: Float[Tensor, "count"], held_out: HeldOut, n_clusters: float
) -> Float[Tensor, "count"]:
    """Of Fisher's transform of correlations over so many clusters, by the influence of each cluster of the sample."""
    _, clusters, u, v = held_out
    influence = u * v - correlations * (u**2 + v**2) / 2
    influence -= influence.mean(0)
    n = int(clusters.max()) + 1
    sums = influence.new_zeros(n, influence.shape[1]).index_add_(0, clusters, influence)
    variance = n / max(1, n - 1) * sums.square().sum(0) / len(clusters) ** 2 * (n / n_clusters)
    errors: Tensor = variance.sqrt() / (1 - correlations**2).clamp(min=_NEAR_ONE)
    return errors


def _strengths(
    correlations: Float[Tensor, "count"],
    fitted: Float[Tensor, "count"],
    errors: Float[Tensor, "count"],  # of Fisher's transform, times the quantile
    chance: float,
) -> tuple[Strength, ...]:
    def limit(rho: Tensor, reach: Tensor) -> Tensor:
        return torch.tanh(torch.atanh(rho.clamp(-1 + _NEAR_ONE, 1 - _NEAR_ONE)) + reach)

    low = limit(correlations, -errors)
    low = torch.where(correlations > chance, low, low.clamp(max=0.0))
    high = limit(torch.maximum(correlations, fitted.cpu()), errors)
    numbers = [correlations, torch.minimum(low, correlations), torch.maximum(high, correlations)]
    return tuple(Strength(*one) for one in torch.stack(numbers).T.tolist())


def exceeded(shuffled: Float[Tensor, "shuffles"], share: float) -> Float[Tensor, ""]:
    """What another shuffle exceeds with that probability at most; the largest, if these are too few to show it."""
    place = max(1, int((len(shuffled) + 1) * share + 1e-9))
    value: Tensor = shuffled.sort(descending=True).values[place - 1]
    return value


def _refitted(fits: list[_Fit], samples: list[_Sample], orders: list[list[Tensor]]) -> Float[Tensor, "shuffles count"]:
    """Held-out correlations of shuffled pairs along directions fitted on shuffled pairs, halves averaged."""
    count = min(fit.left.shape[1] for fit in fits)
    halves = []
    for fitted, fit in enumerate(fits):
        dim_x, scores = samples[0].x.shape[1], []
        for sample in (samples[fitted], samples[1 - fitted]):
            x = (sample.x[sample.shuffled] - fit.mean[:dim_x]) @ fit.x
            y = (sample.y[sample.shuffled] - fit.mean[dim_x:]) @ fit.y
            scores.append((x - x.mean(0), y - y.mean(0)))
        (fit_x, fit_y), (x, y) = scores
        of_fit = torch.stack([fit_x.T @ fit_y[order[fitted].to(y.device)] for order in orders])
        held = torch.stack([x.T @ y[order[1 - fitted].to(y.device)] for order in orders])
        left, _, right = torch.linalg.svd(of_fit, full_matrices=False)
        left, right = left[..., :count], right.mT[..., :count]
        products = (left * (held @ right)).sum(1)
        norms = (left * (x.T @ x @ left)).sum(1) * (right * (y.T @ y @ right)).sum(1)
        halves.append(products / norms.clamp(min=_TINY).sqrt())
    return torch.stack(halves).mean(0).cpu()


def _kept(
    held_out: tuple[HeldOut, ...], samples: list[_Sample], orders: list[list[Tensor]]
) -> Float[Tensor, "shuffles count"]:
    """Held-out correlations of shuffled pairs along the directions that were fitted, halves averaged."""
    sides = [
        [unit(z[one.shuffled] - z[one.shuffled].mean(0), dim=0) for z in variates[2:]]
        for variates, one in zip(held_out, samples, strict=True)
    ]
    return torch.stack(
        [
            torch.stack([(u * v[order]).sum(0) for (u, v), order in zip(sides, pair, strict=True)]).mean(0)
            for pair in orders
        ]
    )

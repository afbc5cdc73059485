"""How many dimensions an encoder should have: as many as the two modalities share without error."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Integer
from scipy.stats import norm
from torch import Tensor

from vergence.checks import at_least, probability
from vergence.metrics.arrays import Array, guarded
from vergence.metrics.canonical import CanonicalSpectrum, HeldOut, canonical_spectrum
from vergence.metrics.intervals import Interval
from vergence.metrics.scale import unit

_MOST = 24  # directions of which functions are made
_RIDGE = 1e-3
GAP = 3.0  # times that the share of noise grows from one direction to the next where there is a gap
_STRONGEST = 0.9  # what the strongest direction must reach for a gap to speak of exactness


@dataclass(frozen=True, kw_only=True)
class EncodingSize:
    """How many dimensions two modalities share, and how many of them exactly; see `suggest_encoding_size`.

    Args:
        shared: Canonical correlations above chance that no function of the others explains: estimates how many
            factors the text mentions.
        exact: Those of them that are 1 within the tolerance: estimates how many it mentions and never gets wrong.
        shared_interval: Limits of `shared` over resamples of the held-out pairs.
        exact_interval: Limits of `exact` likewise.
        correlations: The held-out canonical correlations, in the order in which they were found.
        chance: What the largest of them exceeds by chance with probability 1 - level.
        own: Which correlations `shared` counts, by their place.
    """

    shared: int
    exact: int
    shared_interval: Interval
    exact_interval: Interval
    correlations: tuple[float, ...]
    chance: float
    own: tuple[int, ...]


@guarded
def suggest_encoding_size(
    z_image: Float[Array, "n dim_image"],
    z_text: Float[Array, "n dim_text"],
    *,
    generator: torch.Generator,
    tolerance: float | None = 1e-3,
    level: float = 0.99,
    n_resamples: int = 300,
) -> EncodingSize:
    r"""Estimate $|I_\theta|$ and $|I_\theta| - |I_\rho|$ from canonical correlations on held-out pairs.

    A reading of `canonical_spectrum`. `shared` counts correlations above the `level` quantile of the largest one when
    pairs are shuffled, and of these the directions of their own: a direction $i$ counts if the other side's $i$-th
    variate follows better from it, $\rho_i$, than from second-degree functions (and cubes) of the other directions,
    fitted and tested on different pairs. `exact` counts those whose upper limit, by Fisher's transform, reaches
    1 - `tolerance`.

    [cai2025] Thm 4.1 is about encoders whose output size is $|I_\theta| - |I_\rho|$, which is `exact`. What is passed
    decides what the counts mean:

    - *Data that mix their factors linearly*, with at least as many dimensions as factors: both counts hold, for
      perturbed factors that correlate below 1 - `tolerance`. No number of pairs could tell a slighter perturbation from
      noise in the recording, so raise it where recordings are noisy. Where factors depend on each other, a perturbed
      one that the others nearly determine adds a correlation near 0, which is found only if it exceeds `chance`.
    - *Representations of encoders trained on such pairs*, held-out pairs, and more outputs than there may be factors:
      spare outputs hold functions of what the others hold, which is why those do not count; one that is just as strong
      as a perturbed factor mixes with it, and may. An exact factor reaches 1 only up to the error of the training; pass
      `tolerance=None`.
    - *Data behind a nonlinear mixing*: nothing. One factor shows as several correlations, or none. Train encoders, and
      pass what they make of pairs that they were not trained on.

    Source: [hotelling1936] for the correlations; counts, held-out null and directions of their own are this library's.

    Args:
        z_image: Image data or representations.
        z_text: Text data or representations of the same items, in the same order; its width may differ.
        generator: Draws halves, shuffles and resamples, on the CPU.
        tolerance: How far below 1 a correlation may lie and still count as exact, in [0, 1]. If `None`, the strengths
            say: exact are those before the widest gap, from one to the next weaker, in $(1 - \rho) / (1 + \rho)$, a gap
            being where this at least triples; all, if there is no gap; none, if the strongest is below 0.9.
        level: Share of shuffles below the threshold, and coverage of the intervals, in (0, 1).
        n_resamples: How many shuffles and how many resamples, at least 100.

    Returns:
        The two counts with intervals. Directions without variance are dropped, and principal directions beyond a fifth
        of the fitted pairs; constant data share nothing. Functions are of the 24 strongest directions.

    Raises:
        ShapeError: If rows do not pair, there are fewer than 40, or an entry is NaN or infinite.
        ConfigError: If an option is outside its range.

    Example:
        >>> g = torch.Generator().manual_seed(0)
        >>> s, private_x, private_t = torch.randn(3, 1000, 4, generator=g)
        >>> wrong = s + torch.randn(1000, 4, generator=g) * torch.tensor([0.0, 0.0, 0.0, 1.0])
        >>> image = torch.cat([s, private_x], dim=1) @ torch.randn(8, 8, generator=g)
        >>> text = torch.cat([wrong, private_t], dim=1) @ torch.randn(8, 8, generator=g)
        >>> size = suggest_encoding_size(image, text, generator=g)
        >>> size.shared, size.exact
        (4, 3)
    """
    if tolerance is not None:
        probability("tolerance", tolerance)
    at_least("n_resamples", n_resamples, 100)
    found = canonical_spectrum(z_image, z_text, generator=generator, n_shuffles=n_resamples, null_level=level)
    return read_size(found, generator=generator, tolerance=tolerance, level=level, n_resamples=n_resamples)


def read_size(
    spectrum: CanonicalSpectrum,
    *,
    generator: torch.Generator,
    tolerance: float | None,
    level: float = 0.99,
    n_resamples: int = 300,
) -> EncodingSize:
    """Read the two counts off a spectrum; see `suggest_encoding_size`."""
    correlations = torch.tensor([one.value for one in spectrum.strengths], dtype=torch.float64)
    own = directions_of_their_own(spectrum)
    reach = float(norm.ppf((1 + level) / 2)) / (spectrum.clusters - 3) ** 0.5

    def shared(rho: Float[Tensor, "*batch count"]) -> Integer[Tensor, "*batch"]:
        return (rho[..., own] > spectrum.chance).sum(-1)

    def exact(rho: Float[Tensor, "*batch count"]) -> Integer[Tensor, "*batch"]:
        if tolerance is None:
            return _before_the_gap(rho[..., own])
        return (_moved(rho[..., own], reach) >= 1 - tolerance).sum(-1)

    drawn = _resampled(spectrum, correlations, n_resamples, generator)
    return EncodingSize(
        shared=int(shared(correlations)),
        exact=int(exact(correlations)),
        shared_interval=_limits(shared(drawn), level),
        exact_interval=_limits(exact(drawn), level),
        correlations=tuple(correlations.tolist()),
        chance=spectrum.chance,
        own=tuple(own),
    )


def directions_of_their_own(spectrum: CanonicalSpectrum) -> list[int]:
    """Places of the directions above chance that no function of the others explains as well as they do themselves.

    From the weakest on, each is held against functions of those that remain; one that they explain remains no longer.
    """
    above = [i for i, one in enumerate(spectrum.strengths) if one.value > spectrum.chance]
    own = above[:_MOST]
    further = above[_MOST:]
    if further:
        told = _told(spectrum.held_out, own, further)
        own += [i for i, rho in zip(further, told.tolist(), strict=True) if rho < spectrum.strengths[i].value]
    for i in reversed(above[:_MOST]):
        others = [j for j in own if j != i][:_MOST]
        if others and float(_told(spectrum.held_out, others, [i])) >= spectrum.strengths[i].value:
            own.remove(i)
    return own


def _told(held_out: tuple[HeldOut, ...], others: list[int], targets: list[int]) -> Float[Tensor, "targets"]:
    """Correlation of variates of one side with what functions of other variates of the other side say of them."""
    found = []
    for _, clusters, *sides in held_out:
        second = clusters >= (int(clusters.max()) + 1) // 2
        for x, y in (sides, sides[::-1]):
            features, values = _functions(x[:, others]), y[:, targets]
            said = torch.empty_like(values)
            for test in (second, ~second):
                f, rest = features[~test], features[test]
                gram = f.T @ f + _RIDGE * len(f) * torch.eye(f.shape[1], dtype=f.dtype)
                said[test] = rest @ torch.linalg.solve(gram, f.T @ values[~test])
            found.append((unit(said - said.mean(0), dim=0) * unit(values - values.mean(0), dim=0)).sum(0))
    return torch.stack(found).mean(0)


def _functions(z: Float[Tensor, "n dim"]) -> Float[Tensor, "n functions"]:
    """The variates, their products and cubes; of the strongest only, so many that five pairs are there for each."""
    dim = z.shape[1]
    while dim > 1 and dim * (dim + 5) // 2 > len(z) // 10:
        dim -= 1
    z = z[:, :dim]
    i, j = torch.triu_indices(dim, dim)
    return torch.cat([torch.ones_like(z[:, :1]), z, z[:, i] * z[:, j], z**3], dim=1)


def widest_gap(rho: Float[Tensor, "*batch count"]) -> tuple[Integer[Tensor, "*batch"], Float[Tensor, "*batch"]]:
    """How many of two or more strengths are before the widest gap, and how many times the noise grows across it.

    Example:
        >>> [round(float(one), 1) for one in widest_gap(torch.tensor([0.7, 0.99, 0.98], dtype=torch.float64))]
        [2.0, 17.5]
    """
    rho = rho.sort(dim=-1, descending=True).values.clamp(0.0, 1 - 1e-12)
    widest, place = ((1 - rho) / (1 + rho)).log().diff(dim=-1).max(-1)
    return place + 1, widest.exp()


def _before_the_gap(rho: Float[Tensor, "*batch count"]) -> Integer[Tensor, "*batch"]:
    """How many are before the widest gap, if it is one and the strongest is strong enough to speak of exactness."""
    everything = torch.full(rho.shape[:-1], rho.shape[-1])
    if rho.shape[-1] == 0:
        return everything
    if rho.shape[-1] > 1:
        before, times = widest_gap(rho)
        everything = everything.where(times < GAP, before)
    return everything.where(rho.amax(-1) >= _STRONGEST, 0)


def _resampled(
    spectrum: CanonicalSpectrum, correlations: Float[Tensor, "count"], n_resamples: int, generator: torch.Generator
) -> Float[Tensor, "resamples count"]:
    """Correlations of held-out clusters drawn with replacement: of a sample of them, moved less if there are more."""
    moved = torch.zeros(n_resamples, len(correlations), dtype=torch.float64)
    for _, clusters, u, v in spectrum.held_out:
        n, (n_directions, one) = int(clusters.max()) + 1, (u.shape[1], torch.ones(len(u), 1, dtype=torch.float64))
        terms = torch.cat([u * v, u**2, v**2, u, v, one], dim=1)
        sums = terms.new_zeros(n, terms.shape[1]).index_add_(0, clusters, terms)
        drawn = torch.randint(n, (n_resamples, n), generator=generator)
        times = torch.zeros(n_resamples, n, dtype=torch.float64).scatter_add_(1, drawn, torch.ones_like(drawn).double())
        z, *rest = (
            _fisher(_correlations(weights @ sums, n_directions)) for weights in (times, torch.ones(1, n).double())
        )
        moved += (z - rest[0]) * (n / (spectrum.clusters / 2)) ** 0.5 / 2
    return torch.tanh(_fisher(correlations) + moved)


def _correlations(sums: Float[Tensor, "batch terms"], n_directions: int) -> Float[Tensor, "batch count"]:
    uv, uu, vv, u, v, n = sums.split_with_sizes([n_directions] * 5 + [1], dim=1)
    spread = ((uu - u**2 / n) * (vv - v**2 / n)).clamp(min=1e-300).sqrt()
    correlations: Tensor = (uv - u * v / n) / spread
    return correlations


def _fisher(rho: Tensor) -> Tensor:
    return torch.atanh(rho.clamp(-1 + 1e-12, 1 - 1e-12))


def _moved(rho: Tensor, reach: float) -> Tensor:
    return torch.tanh(_fisher(rho) + reach)


def _limits(counts: Tensor, level: float) -> Interval:
    tails = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
    low, high = torch.quantile(counts.double().cpu(), tails, interpolation="nearest").tolist()
    return Interval(low, high)

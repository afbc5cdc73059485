"""How many dimensions an encoder should have: as many as the two modalities share without error."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Integer
from scipy.stats import norm
from torch import Tensor

from vergence.checks import at_least, probability
from vergence.errors import ShapeError
from vergence.metrics import hsic
from vergence.metrics.arrays import Array, as_float64, guarded, same_rows
from vergence.metrics.intervals import Interval
from vergence.metrics.scale import unit

_MIN_PAIRS = 40


@dataclass(frozen=True, kw_only=True)
class EncodingSize:
    """How many dimensions two modalities share, and how many of them exactly; see `suggest_encoding_size`.

    Args:
        shared: Canonical correlations above chance: estimates how many factors the text mentions.
        exact: Those that are 1 within the tolerance: estimates how many it mentions and never gets wrong.
        shared_interval: Limits of `shared` over resamples of the held-out pairs.
        exact_interval: Limits of `exact` likewise.
        correlations: The held-out canonical correlations, in the order in which they were found.
        chance: What the largest of them exceeds by chance with probability 1 - level.
    """

    shared: int
    exact: int
    shared_interval: Interval
    exact_interval: Interval
    correlations: tuple[float, ...]
    chance: float


@guarded
def suggest_encoding_size(
    z_image: Float[Array, "n dim_image"],
    z_text: Float[Array, "n dim_text"],
    *,
    generator: torch.Generator,
    tolerance: float = 1e-3,
    level: float = 0.99,
    n_resamples: int = 300,
) -> EncodingSize:
    r"""Estimate $|I_\theta|$ and $|I_\theta| - |I_\rho|$ from canonical correlations on held-out pairs.

    Canonical directions are fitted on each half of the pairs and correlated on the other. `shared` counts correlations
    above the `level` quantile of the largest one when pairs are shuffled; `exact` counts those whose upper limit, by
    Fisher's transform, reaches 1 - `tolerance`.

    [cai2025] Thm 4.1 is about encoders whose output size is $|I_\theta| - |I_\rho|$, which is `exact`. Assumes that
    each modality mixes its factors *linearly*, with at least as many dimensions as factors, and that perturbed factors
    correlate below 1 - `tolerance`: no number of pairs could tell a slight perturbation from noise in the recording, so
    raise it where recordings are noisy. Where factors depend on each other, a perturbed one that the others nearly
    determine adds a correlation near 0, which is found only if it exceeds `chance`. After a nonlinear mixing one factor
    can show as several correlations, or as one below 1; take the numbers as a start.

    Source: [hotelling1936] for the correlations; the two counts and the held-out null are this library's.

    Args:
        z_image: Image data or representations.
        z_text: Text data or representations of the same items, in the same order; its width may differ.
        generator: Draws halves, shuffles and resamples, on the CPU.
        tolerance: How far below 1 a correlation may lie and still count as exact, in [0, 1].
        level: Share of shuffles below the threshold, and coverage of the intervals, in [0, 1].
        n_resamples: How many shuffles and how many resamples, at least 100.

    Returns:
        The two counts with intervals. Directions without variance are dropped, and principal directions beyond a fifth
        of the fitted pairs; constant data share nothing.

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
    n = same_rows(z_image=z_image, z_text=z_text)
    if n < _MIN_PAIRS:
        raise ShapeError(f"held-out canonical correlations need at least {_MIN_PAIRS} pairs; got {n}")
    probability("tolerance", tolerance)
    probability("level", level)
    at_least("n_resamples", n_resamples, 100)
    sides = as_float64(z_image=z_image, z_text=z_text)
    halves = torch.randperm(n, generator=generator).to(sides[0].device).chunk(2)
    scores = [[_scores(side[fit], side[test]) for side in sides] for fit, test in (halves, halves[::-1])]
    if min(held_out.shape[1] for half in scores for _, held_out in half) == 0:
        none = Interval(0.0, 0.0)
        return EncodingSize(shared=0, exact=0, shared_interval=none, exact_interval=none, correlations=(), chance=0.0)

    variates = _cross_fitted(scores, [slice(None), slice(None)])
    correlations = _mean_correlations(variates)

    def shuffled() -> Float[Tensor, "count"]:
        """Correlations with the pairing shuffled within each half, directions fitted anew."""
        orders = [torch.randperm(len(half), generator=generator).to(half.device) for half in halves]
        return _mean_correlations(_cross_fitted(scores, orders))

    def resampled() -> Float[Tensor, "count"]:
        """Correlations of held-out pairs drawn with replacement."""
        draws = [torch.randint(len(u), (len(u),), generator=generator).to(u.device) for u, _ in variates]
        return _mean_correlations([(u[rows], v[rows]) for (u, v), rows in zip(variates, draws, strict=True)])

    chance = float(torch.stack([shuffled().max() for _ in range(n_resamples)]).quantile(level))
    drawn = torch.stack([resampled() for _ in range(n_resamples)])
    reach = float(norm.ppf((1 + level) / 2)) / (n - 3) ** 0.5

    def exact(rho: Float[Tensor, "*batch count"]) -> Integer[Tensor, "*batch"]:
        upper = torch.tanh(torch.atanh(rho.clamp(-1 + 1e-12, 1 - 1e-12)) + reach)
        return (upper >= 1 - tolerance).sum(-1)

    return EncodingSize(
        shared=int((correlations > chance).sum()),
        exact=int(exact(correlations)),
        shared_interval=_limits((drawn > chance).sum(-1), level),
        exact_interval=_limits(exact(drawn), level),
        correlations=tuple(correlations.tolist()),
        chance=chance,
    )


def _scores(
    fit: Float[Tensor, "n dim"], test: Float[Tensor, "m dim"]
) -> tuple[Float[Tensor, "n kept"], Float[Tensor, "m kept"]]:
    """Principal scores that are orthonormal on the fitting rows, of fitting and of test rows."""
    origin = hsic.origin(fit)
    left, values, right = torch.linalg.svd(fit - origin, full_matrices=False)
    kept = min(int((values > 1e-6 * values[:1]).sum()), max(1, len(fit) // 5))
    return left[:, :kept], (test - origin) @ right[:kept].T / values[:kept]


def _cross_fitted(scores: list[list[tuple[Tensor, Tensor]]], orders: list[Any]) -> list[tuple[Tensor, Tensor]]:
    """Canonical variates of each half by directions found on the other, texts of each half taken in the order given."""
    found = []
    for half, ((image_fit, image_test), (text_fit, text_test)) in enumerate(scores):
        left, _, right = torch.linalg.svd(image_fit.T @ text_fit[orders[half]], full_matrices=False)
        found.append((image_test @ left, text_test[orders[1 - half]] @ right.T))
    return found


def _mean_correlations(variates: list[tuple[Tensor, Tensor]]) -> Float[Tensor, "count"]:
    count = min(u.shape[1] for u, _ in variates)  # halves can differ in rank
    return torch.stack([_correlations(u[:, :count], v[:, :count]) for u, v in variates]).mean(0)


def _correlations(u: Float[Tensor, "n count"], v: Float[Tensor, "n count"]) -> Float[Tensor, "count"]:
    u, v = (unit(side - side.mean(0), dim=0) for side in (u, v))
    return (u * v).sum(0)


def _limits(counts: Tensor, level: float) -> Interval:
    tails = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
    low, high = torch.quantile(counts.double().cpu(), tails, interpolation="nearest").tolist()
    return Interval(low, high)

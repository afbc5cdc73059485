"""What the directions that two sides share speak of: labels of the same items, on pairs that were not fitted on."""

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Integer
from torch import Tensor

from vergence.checks import at_least, inside
from vergence.errors import ShapeError
from vergence.factors import FactorSpace
from vergence.metrics.canonical import CanonicalSpectrum, HeldOut, exceeded

_TENTHS = 10
_MOST = 64  # directions


def concepts_of(
    spectrum: CanonicalSpectrum,
    labels: pd.DataFrame,
    space: FactorSpace,
    *,
    generator: torch.Generator,
    n_shuffles: int = 200,
    null_level: float = 0.99,
) -> pd.DataFrame:
    r"""Say of each direction above chance which labelled factors it correlates with, and how strongly.

    The correlation ratio $\eta$ of a direction and a factor is the largest correlation of the direction with any
    function of the factor: the root of the share of the direction's variance that lies between the factor's values,
    less what so many values would show by chance. A continuous factor is divided into tenths. The direction is read as
    the mean of both sides' variates, on held-out pairs, one of each cluster.

    Args:
        spectrum: Of two sides.
        labels: A row for each pair and a column for each factor, missing where nothing is known.
        space: The factors of the columns.
        generator: Draws shuffles of the labels, on the CPU.
        n_shuffles: How many, at least 100.
        null_level: Share of shuffles of a factor in which no direction reaches its `chance`, inside (0, 1).

    Returns:
        A row for each of the first 64 directions above chance and each factor: direction (its place, from 0), factor,
        ratio (0 to 1), chance (of that factor). Factors that take a single value, or another for nearly each pair, have
        a ratio of 0.

    Raises:
        ShapeError: If there is not one row of labels for each pair.
        ConfigError: If an option is outside its range.

    Example:
        >>> from vergence.factors import Factor
        >>> from vergence.metrics import canonical_spectrum
        >>> g = torch.Generator().manual_seed(0)
        >>> color = torch.randint(3, (1000,), generator=g)
        >>> noise = torch.randn(2, 1000, 3, generator=g) / 4
        >>> spectrum = canonical_spectrum(*(torch.eye(3)[color] + noise), generator=g)
        >>> space = FactorSpace((Factor("color", ("red", "green", "blue")),))
        >>> labels = pd.DataFrame({"color": np.array(["red", "green", "blue"])[color]})
        >>> concepts_of(spectrum, labels, space, generator=g).round(0).values.tolist()[0][:3]
        [0, 'color', 1.0]
    """
    at_least("n_shuffles", n_shuffles, 100)
    inside("null_level", null_level, 0, 1)
    if len(labels) != spectrum.pairs:
        raise ShapeError(f"labels must have a row for each of the {spectrum.pairs} pairs; got {len(labels)}")
    places = [i for i, one in enumerate(spectrum.strengths) if one.value > spectrum.chance][:_MOST]
    rows: list[tuple[int, str, float, float]] = []
    for factor in space if places else ():
        codes = _codes(labels[factor], continuous=not space[factor].values)
        halves = [_half(one, places, codes) for one in spectrum.held_out]
        ratio = torch.stack([_ratio(z, code) for z, code in halves]).mean(0).clamp(min=0.0).sqrt()
        shuffled = [
            torch.stack([_ratio(z, code[torch.randperm(len(code), generator=generator)]) for z, code in halves]).mean(0)
            for _ in range(n_shuffles)
        ]
        chance = float(exceeded(torch.stack(shuffled).amax(1), 1 - null_level).clamp(min=0.0).sqrt())
        rows += [(place, factor, one, chance) for place, one in zip(places, ratio.tolist(), strict=True)]
    found = pd.DataFrame(rows, columns=["direction", "factor", "ratio", "chance"])
    return found.sort_values(["direction", "ratio"], ascending=[True, False], kind="stable", ignore_index=True)


def _codes(column: pd.Series, *, continuous: bool) -> Integer[Tensor, "n"]:
    """The number of each row's value, or tenth; -1 where it is missing."""
    if not continuous:
        return torch.from_numpy(pd.factorize(column)[0].astype(np.int64))
    ranks = column.rank(pct=True)  # equal values have one rank
    tenths = np.ceil(ranks.to_numpy(dtype=np.float64, na_value=np.nan) * _TENTHS) - 1
    return torch.from_numpy(np.where(np.isnan(tenths), -1, tenths).astype(np.int64))


def _half(
    held_out: HeldOut, places: list[int], codes: Integer[Tensor, "n"]
) -> tuple[Float[Tensor, "m count"], Integer[Tensor, "m"]]:
    """The directions on pairs of known value, one of each cluster, and the values numbered anew."""
    first = torch.cat([held_out.clusters.new_tensor([1]), held_out.clusters.diff()]).nonzero()[:, 0]
    code = codes[held_out.rows[first]]
    known = first[code >= 0]
    z = (held_out.u[known] + held_out.v[known])[:, places]
    return z - z.mean(0) if len(z) else z, torch.unique(code[code >= 0], return_inverse=True)[1]


def _ratio(z: Float[Tensor, "m count"], code: Integer[Tensor, "m"]) -> Float[Tensor, "count"]:
    """Share of the variance of each column between the values, less what chance gives; 0 where that is not known."""
    n, n_values = len(z), int(code.max()) + 1 if len(code) else 0
    if n_values < 2 or n <= 2 * n_values:
        return z.new_zeros(z.shape[1])
    sums = z.new_zeros(n_values, z.shape[1]).index_add_(0, code, z)
    between = (sums**2 / torch.bincount(code)[:, None]).sum(0)
    total = (z**2).sum(0)
    within = 1 - between / total.where(total > 0, 1.0)
    share: Tensor = (1 - within * (n - 1) / (n - n_values)).where(total > 0, 0.0)
    return share

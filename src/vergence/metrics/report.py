"""Several measures of two representations at once, each beside what it would be by chance."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from math import isfinite
from types import MappingProxyType

import pandas as pd
import torch
from jaxtyping import Float

from vergence.checks import at_least, one_of
from vergence.errors import ShapeError
from vergence.metrics.alignment import cka, procrustes, svcca
from vergence.metrics.arrays import Array, guarded
from vergence.metrics.gap import centroid_distance, linear_separability, pair_distance, relative_gap
from vergence.metrics.neighbours import cknna, mutual_knn
from vergence.metrics.null import exchange_null, permutation_null
from vergence.random import spawn

ALIGNMENT: Mapping[str, Callable[..., float]] = MappingProxyType(
    {
        "unbiased_cka": partial(cka, unbiased=True),
        "cka": cka,
        "mutual_knn": mutual_knn,
        "cknna": cknna,
        "svcca": svcca,
        "procrustes": procrustes,
        "pair_distance": pair_distance,
    }
)
GAP: Mapping[str, Callable[..., float]] = MappingProxyType(
    {
        "centroid_distance": centroid_distance,
        "relative_gap": relative_gap,
        "linear_separability": linear_separability,
    }
)
_INFINITE = MappingProxyType({"relative_gap": "infinite: the centroids differ, and neither side has any spread"})
_COLUMNS = ["metric", "value", "null_mean", "null_std", "p_value", "least_p_value", "null", "note"]
_ONE_SPACE = frozenset({"pair_distance", *GAP})  # those that need both in one space


@guarded
def alignment_table(
    x: Float[Array, "n dim_x"],
    y: Float[Array, "n dim_y"],
    *,
    generator: torch.Generator,
    metrics: Iterable[str] | None = None,
    n_shuffles: int = 200,
) -> pd.DataFrame:
    """Measure alignment and gap of two representations of the same items, each with its null.

    Args:
        x: One representation, one row per item.
        y: The other, of the same items in the same order.
        generator: Draws the shuffles, on the CPU.
        metrics: Names from `ALIGNMENT` and `GAP`; all that the widths allow if `None`.
        n_shuffles: Shuffles of each null, at least 2.

    Returns:
        One row per metric: metric, value, null_mean, null_std, p_value, the least p-value that so many shuffles can
        show; null, which is "pairs shuffled" for measures of alignment and "modalities exchanged" for measures of the
        gap; and a note that says why a value is infinite, else empty.

    Raises:
        ConfigError: If a metric is unknown, named with the nearest, or there are fewer than two shuffles.
        ShapeError: If rows do not pair, a metric needs equal widths or more rows, or an entry is NaN or infinite.

    Example:
        >>> g = torch.Generator().manual_seed(0)
        >>> x = torch.randn(60, 4, generator=g)
        >>> table = alignment_table(x, x.flip(1), generator=g, metrics=["unbiased_cka"], n_shuffles=20)
        >>> table["metric"][0], round(float(table["value"][0]), 6)
        ('unbiased_cka', 1.0)
    """
    at_least("n_shuffles", n_shuffles, 2)
    known = [*ALIGNMENT, *GAP]
    one_space = x.shape[1] == y.shape[1]
    names = list(metrics) if metrics is not None else [n for n in known if one_space or n not in _ONE_SPACE]
    for name in names:
        one_of("metric", name, known)
        if name in _ONE_SPACE and not one_space:
            raise ShapeError(f"{name} needs both sides in one space; got widths {x.shape[1]} and {y.shape[1]}")
    rows = []
    for name, child in zip(names, spawn(generator, max(1, len(names))), strict=False):
        compare, measure, null = (
            (permutation_null, ALIGNMENT[name], "pairs shuffled")
            if name in ALIGNMENT
            else (exchange_null, GAP[name], "modalities exchanged")
        )
        found = compare(measure, x, y, generator=child, n_shuffles=n_shuffles)
        note = "" if all(map(isfinite, found)) else _INFINITE.get(name, "infinite")
        rows.append((name, *found, null, note))
    return pd.DataFrame(rows, columns=_COLUMNS)

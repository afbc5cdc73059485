"""Alignment by who is near whom: mutual k-NN and CKNNA, in tiles of pairs."""

from dataclasses import dataclass
from math import isqrt, sqrt

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor

from vergence.checks import at_least, at_most
from vergence.metrics.arrays import Array, guarded, same_rows, sound
from vergence.metrics.scale import unit

_BLOCK = 2**22  # similarities held at once: 16 MB of float32


@guarded
def mutual_knn(x: Float[Array, "n dim_x"], y: Float[Array, "n dim_y"], *, k: int = 10) -> float:
    r"""Share of each item's $k$ nearest neighbours that the two representations have in common, averaged.

    Source: [huh2024]; [almudevar2025] uses $k = 1$ and $5$. Rows are scaled to unit norm, neighbours are those of
    largest cosine, an item is not its own neighbour. Cost $O(n^2 d)$, memory one tile of pairs. Computed in the width
    of the input, at least float32.

    Args:
        x: One representation, one row per item.
        y: The other, of the same items in the same order.
        k: Neighbours per item, in 1..n-1.

    Returns:
        In [0, 1]; 1 if all neighbourhoods agree; $k/(n-1)$ on average if the two are independent. Of equally near
        items an arbitrary choice counts as near, the same in every call. A row of zeros is equally near to all.

    Raises:
        ShapeError: If rows do not pair or an entry is NaN or infinite.
        ConfigError: If `k` is not in 1..n-1.

    Example:
        >>> x = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
        >>> mutual_knn(x, 2 * x.flip(1), k=5)
        1.0
    """
    return shared_neighbours(*find_neighbours(x, y, k=k))


@guarded
def cknna(x: Float[Array, "n dim_x"], y: Float[Array, "n dim_y"], *, k: int = 10) -> float:
    r"""Kernel alignment restricted to pairs that are near in both representations.

    With $\bar K_{ij} = K_{ij} - \tfrac1n \sum_l K_{il}$ for cosines $K$ of $x$ and $\bar L$ for $y$, and $N(i)$ the $k$
    nearest neighbours of $i$,

    $$\frac{\sum_{j \in N_x(i) \cap N_y(i)} \bar K_{ij} \bar L_{ij}}
    {\sqrt{\sum_{j \in N_x(i)} \bar K_{ij}^2} \sqrt{\sum_{j \in N_y(i)} \bar L_{ij}^2}}, \text{ each sum over } i, j.$$

    Source: [huh2024], the equation of its appendix. Differs from the script published with it, which takes the
    unbiased HSIC of the masked kernels and so can need the root of a negative number. Cost as `mutual_knn`.

    Args:
        x: One representation, one row per item.
        y: The other, of the same items in the same order.
        k: Neighbours per item, in 1..n-1.

    Returns:
        In [-1, 1]; 1 if neighbourhoods and similarities agree, near 0 if the two are independent; 0 if either has the
        same direction in every row.

    Raises:
        ShapeError: If rows do not pair or an entry is NaN or infinite.
        ConfigError: If `k` is not in 1..n-1.

    Example:
        >>> x = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
        >>> round(cknna(x, x.flip(1), k=5), 6)
        1.0
    """
    return shared_alignment(*find_neighbours(x, y, k=k))


@dataclass(frozen=True, kw_only=True)
class Neighbours:
    """The k nearest other items of each item, by number, and by how much their cosine exceeds the mean of its row."""

    items: Integer[Tensor, "n k"]
    excess: Float[Tensor, "n k"]

    def reordered(self, order: Integer[Tensor, "n"]) -> "Neighbours":
        """The neighbours that would be found in `rows[order]`."""
        items, places = torch.argsort(order)[self.items[order]].sort(dim=1)
        return Neighbours(items=items, excess=self.excess[order].gather(1, places))


@guarded
def find_neighbours(x: Float[Array, "n dim_x"], y: Float[Array, "n dim_y"], *, k: int) -> tuple[Neighbours, Neighbours]:
    """Find the neighbours of the same items in two representations; see `mutual_knn` for arguments and errors."""
    n = same_rows(x=x, y=y)
    at_least("k", k, 1)
    at_most("k", k, n - 1, why="the number of other items")
    of_x, of_y = (_neighbours(side, k) for side in sound(x=x, y=y))
    return of_x, of_y


def _neighbours(x: Float[Tensor, "n dim"], k: int) -> Neighbours:
    """Find neighbours tile by tile; the tile of rows i and j serves the rows of both."""
    x = unit(x if x.dtype == torch.float64 else x.float())
    n, tile = len(x), max(1, isqrt(_BLOCK))
    cosines = torch.full((n, k), -torch.inf, dtype=x.dtype, device=x.device)
    items = torch.zeros((n, k), dtype=torch.long, device=x.device)

    def offer(first: int, found: Float[Tensor, "rows columns"], start: int) -> None:
        """Keep the k largest of those known for rows from `first` and those found, numbered from `start`."""
        rows = slice(first, first + len(found))
        values, places = found.topk(min(k, found.shape[1]), dim=1, sorted=False)
        cosines[rows], kept = torch.cat([cosines[rows], values], dim=1).topk(k, dim=1, sorted=False)
        items[rows] = torch.cat([items[rows], places + start], dim=1).gather(1, kept)

    for start in range(0, n, tile):
        for other in range(start, n, tile):
            found = x[start : start + tile] @ x[other : other + tile].T
            if other == start:
                offer(start, found.fill_diagonal_(-torch.inf), start)
            else:
                offer(start, found, other)
                offer(other, found.T.contiguous(), start)
    items, places = items.sort(dim=1)
    mean = x.mean(0, dtype=torch.float64)
    row_means = torch.cat([x[start : start + tile].double() @ mean for start in range(0, n, tile)])
    return Neighbours(items=items, excess=cosines.double().gather(1, places) - row_means[:, None])


def shared_neighbours(x: Neighbours, y: Neighbours) -> float:
    """`mutual_knn` of neighbours that are already known."""
    return float(shared_by_item(x, y).mean())


def shared_by_item(x: Neighbours, y: Neighbours) -> Float[Tensor, "n"]:
    """Of each item the share of its neighbours that both have; their mean is `mutual_knn`."""
    return _shared(x, y)[0].double().mean(1)


def shared_alignment(x: Neighbours, y: Neighbours) -> float:
    """`cknna` of neighbours that are already known."""
    shared, where = _shared(x, y)
    own_x, own_y = (float((side.excess**2).sum()) for side in (x, y))
    if min(own_x, own_y) <= 1e-24 * shared.numel():  # squares of cosines: what rounding leaves of none
        return 0.0
    cross = float((x.excess * y.excess.gather(1, where) * shared).sum())
    return min(1.0, max(-1.0, cross / (sqrt(own_x) * sqrt(own_y))))


def _shared(x: Neighbours, y: Neighbours) -> tuple[Bool[Tensor, "n k"], Integer[Tensor, "n k"]]:
    """Whether each neighbour in x is one in y, and at which place there."""
    where = torch.searchsorted(y.items, x.items).clamp(max=x.items.shape[1] - 1)
    return y.items.gather(1, where) == x.items, where

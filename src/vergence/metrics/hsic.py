"""Sums over pairs of items from which both forms of HSIC follow, gathered without holding an n by n matrix."""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import sqrt

import torch
from jaxtyping import Float
from torch import Tensor

_BLOCK = 2**22  # kernel entries held at once: 32 MB


@dataclass(frozen=True, kw_only=True)
class PairSums:
    """Sums over two symmetric kernel matrices K and L of `n` items; both may be the same one."""

    n: int
    products: float  # Σ_ij K_ij L_ij
    rows: float  # Σ_i K_i. L_i., where K_i. is the sum of row i
    totals: float  # K.. L..
    diagonals: float  # Σ_i K_ii L_ii
    row_diagonals: float  # Σ_i (K_i. L_ii + K_ii L_i.)
    off_diagonal_totals: float  # (K.. - tr K)(L.. - tr L)

    @property
    def biased(self) -> float:
        """tr(KHLH), which is (n-1)² times the biased HSIC."""
        return self.products - 2 * self.rows / self.n + self.totals / self.n**2

    @property
    def unbiased(self) -> float:
        """The unbiased HSIC times n(n-3), the inner product of U-centred matrices; never negative when K is L."""
        n = self.n
        rows = self.rows - self.row_diagonals + self.diagonals
        products = self.products - self.diagonals
        return products + self.off_diagonal_totals / ((n - 1) * (n - 2)) - 2 * rows / (n - 2)


def ratio(xy: PairSums, xx: PairSums, yy: PairSums, *, unbiased: bool) -> float:
    """HSIC of x and y over the root of those of each with itself, in [-1, 1]; 0 if either vanishes."""
    cross, own_x, own_y = (sums.unbiased if unbiased else sums.biased for sums in (xy, xx, yy))
    # What rounding leaves of a kernel that is constant after centring.
    if own_x <= 1e-14 * xx.products or own_y <= 1e-14 * yy.products:
        return 0.0
    lowest = -1.0 if unbiased else 0.0
    return min(1.0, max(lowest, cross / (sqrt(own_x) * sqrt(own_y))))


def origin(x: Float[Tensor, "n dim"]) -> Float[Tensor, "dim"]:
    """A point near the rows to measure from: their mean, and exactly their value where they agree."""
    return x.mean(0, dtype=torch.float64).where((x != x[:1]).any(0), x[0].double())


@dataclass(kw_only=True)
class LinearSums:
    """Sums for linear kernels, gathered over batches in d by d matrices."""

    origin_x: Float[Tensor, "dim_x"]
    origin_y: Float[Tensor, "dim_y"]
    n: int = 0
    xx: Float[Tensor, "dim_x dim_x"] = field(init=False)
    yy: Float[Tensor, "dim_y dim_y"] = field(init=False)
    xy: Float[Tensor, "dim_x dim_y"] = field(init=False)
    x_rest: Float[Tensor, "dim_x 3"] = field(init=False)
    y_rest: Float[Tensor, "dim_y 3"] = field(init=False)
    rest: Float[Tensor, "3 3"] = field(init=False)

    def __post_init__(self) -> None:
        zeros, dim_x, dim_y = self.origin_x.new_zeros, len(self.origin_x), len(self.origin_y)
        self.xx, self.yy, self.xy = zeros(dim_x, dim_x), zeros(dim_y, dim_y), zeros(dim_x, dim_y)
        self.x_rest, self.y_rest, self.rest = zeros(dim_x, 3), zeros(dim_y, 3), zeros(3, 3)

    def add(self, x: Float[Tensor, "n dim_x"], y: Float[Tensor, "n dim_y"]) -> None:
        """Add a batch of float64 rows."""
        x, y = x - self.origin_x, y - self.origin_y
        rest = torch.stack([(x**2).sum(1), (y**2).sum(1), torch.ones_like(x[:, 0])], dim=1)
        self.n += len(x)
        self.xx.addmm_(x.T, x)
        self.yy.addmm_(y.T, y)
        self.xy.addmm_(x.T, y)
        self.x_rest.addmm_(x.T, rest)
        self.y_rest.addmm_(y.T, rest)
        self.rest.addmm_(rest.T, rest)

    def without(self, other: "LinearSums") -> "LinearSums":
        """The sums over the rows of this one that are not in the other, taken relative to the same origin."""
        rest = LinearSums(origin_x=self.origin_x, origin_y=self.origin_y, n=self.n - other.n)
        for name in ("xx", "yy", "xy", "x_rest", "y_rest", "rest"):
            setattr(rest, name, getattr(self, name) - getattr(other, name))
        return rest

    def pairs(self) -> tuple[PairSums, PairSums, PairSums]:
        """The sums for x with y, x with itself and y with itself."""
        x, y = (self.x_rest, 0), (self.y_rest, 1)
        return self._pair(self.xy, x, y), self._pair(self.xx, x, x), self._pair(self.yy, y, y)

    def _pair(
        self,
        moments: Float[Tensor, "dim_a dim_b"],
        a: tuple[Float[Tensor, "dim_a 3"], int],
        b: tuple[Float[Tensor, "dim_b 3"], int],
    ) -> PairSums:
        (a_rest, a_norm), (b_rest, b_norm) = a, b
        a_sum, b_sum = a_rest[:, 2], b_rest[:, 2]  # K_i. is a_i · a_sum
        a_total, b_total = a_sum @ a_sum, b_sum @ b_sum
        return PairSums(
            n=self.n,
            products=float((moments**2).sum()),
            rows=float(a_sum @ moments @ b_sum),
            totals=float(a_total * b_total),
            diagonals=float(self.rest[a_norm, b_norm]),
            row_diagonals=float(a_sum @ a_rest[:, b_norm] + b_sum @ b_rest[:, a_norm]),
            off_diagonal_totals=float((a_total - self.rest[a_norm, 2]) * (b_total - self.rest[b_norm, 2])),
        )


Kernel = Callable[[slice], Float[Tensor, "rows n"]]


def kernel_sums(kernel_x: Kernel, kernel_y: Kernel, n: int) -> tuple[PairSums, PairSums, PairSums]:
    """Gather the sums for x with y, x with x and y with y from kernels that give some of their rows when asked."""
    products = torch.zeros(3, dtype=torch.float64)
    kernels: dict[str, list[Tensor]] = {"x rows": [], "y rows": [], "x diagonal": [], "y diagonal": []}
    step = max(1, _BLOCK // n)
    for start in range(0, n, step):
        rows = slice(start, min(start + step, n))
        k, l = kernel_x(rows), kernel_y(rows)  # noqa: E741
        products += torch.stack([(k * l).sum(), (k * k).sum(), (l * l).sum()]).cpu()
        for name, matrix in (("x", k), ("y", l)):
            kernels[f"{name} rows"].append(matrix.sum(1))
            kernels[f"{name} diagonal"].append(matrix.diagonal(start))
    sums = {name: torch.cat(parts) for name, parts in kernels.items()}

    def pair(a: str, b: str, product: Tensor) -> PairSums:
        a_rows, b_rows, a_diagonal, b_diagonal = (
            sums[f"{side} {part}"] for part in ("rows", "diagonal") for side in (a, b)
        )
        return PairSums(
            n=n,
            products=float(product),
            rows=float(a_rows @ b_rows),
            totals=float(a_rows.sum() * b_rows.sum()),
            diagonals=float(a_diagonal @ b_diagonal),
            row_diagonals=float(a_rows @ b_diagonal + a_diagonal @ b_rows),
            off_diagonal_totals=float((a_rows.sum() - a_diagonal.sum()) * (b_rows.sum() - b_diagonal.sum())),
        )

    return pair("x", "y", products[0]), pair("x", "x", products[1]), pair("y", "y", products[2])

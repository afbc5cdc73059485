"""Sums over pairs of items from which both forms of HSIC follow, gathered without holding an n by n matrix."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import isfinite, sqrt

import torch
from jaxtyping import Float
from torch import Tensor

from vergence.errors import ShapeError
from vergence.metrics.scale import exponent

_BLOCK = 2**22  # entries held at once: 32 MB
_SAFE_POWER = 64  # entries within 2^±64 are summed as they are: their fourth powers neither overflow nor vanish
_LEAST_ROWS = 512  # of wide data, so that products outweigh adding them up


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
    if not isfinite(cross + own_x + own_y):
        raise ShapeError(
            "rows are over 1e60 times larger than those of the first batch; scale all batches by one number"
        )
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
    """Sums for linear kernels, gathered over batches in one matrix of moments of every row's x, y, |x|², |y|² and 1."""

    origin_x: Float[Tensor, "dim_x"]
    origin_y: Float[Tensor, "dim_y"]
    factor_x: float = 1.0  # what rows are multiplied by: a power of two, so that no digit changes
    factor_y: float = 1.0
    n: int = 0
    moments: Float[Tensor, "width width"] = field(init=False)  # its upper triangle counts, the rest is left as it is

    def __post_init__(self) -> None:
        self.moments = self.origin_x.new_zeros(sum(self._widths), sum(self._widths))

    @classmethod
    def starting_with(cls, x: Float[Tensor, "n dim_x"], y: Float[Tensor, "n dim_y"]) -> "LinearSums":
        """Sums over no rows yet, to be taken relative to these rows' mean and, if huge or tiny, their size."""
        origins = [origin(side) for side in (x, y)]
        factors = [_factor(side, start) for side, start in zip((x, y), origins, strict=True)]
        return cls(origin_x=origins[0], origin_y=origins[1], factor_x=factors[0], factor_y=factors[1])

    @property
    def _widths(self) -> list[int]:
        return [len(self.origin_x), len(self.origin_y), 3]

    def add(self, x: Float[Tensor, "n dim_x"], y: Float[Tensor, "n dim_y"]) -> None:
        """Add a batch of rows of any float width; some of them at a time become float64."""
        step = max(_LEAST_ROWS, _BLOCK // len(self.moments))
        rows = self.moments.new_empty(min(step, len(x)), len(self.moments))
        for start in range(0, len(x), step):
            some_x, some_y = x[start : start + step], y[start : start + step]
            filled = rows[: len(some_x)]
            from_x, from_y, rest = filled.split_with_sizes(self._widths, dim=1)
            from_x.copy_(some_x).sub_(self.origin_x)
            from_y.copy_(some_y).sub_(self.origin_y)
            for part, factor in ((from_x, self.factor_x), (from_y, self.factor_y)):
                if factor != 1:
                    part.mul_(factor)
            rest.copy_(torch.stack([(from_x**2).sum(1), (from_y**2).sum(1), torch.ones_like(rest[:, 2])], dim=1))
            _add_upper_gram(self.moments, filled)
        self.n += len(x)

    def plus(self, x: Float[Tensor, "n dim_x"], y: Float[Tensor, "n dim_y"]) -> "LinearSums":
        """The sums over the rows of this one and further ones; this one stays as it is."""
        more = replace(self)
        more.moments = self.moments.clone()
        more.add(x, y)
        return more

    def without(self, other: "LinearSums") -> "LinearSums":
        """The sums over the rows of this one that are not in the other, taken relative to the same origin."""
        rest = replace(self, n=self.n - other.n)
        rest.moments = self.moments - other.moments
        return rest

    def empty(self) -> "LinearSums":
        """Sums over no rows yet, to be taken relative to the same origin."""
        return replace(self, n=0)

    def scaled(self, side: int, rows: Float[Tensor, "n dim"]) -> Float[Tensor, "n dim"]:
        """Rows of x (side 0) or y (side 1) as they are summed."""
        origin, factor = ((self.origin_x, self.factor_x), (self.origin_y, self.factor_y))[side]
        return (rows.double() - origin) * factor

    def covariance(self) -> tuple[Float[Tensor, "width"], Float[Tensor, "width width"]]:
        """Mean and covariance, divided by n, of the scaled columns of x and then y."""
        width = len(self.origin_x) + len(self.origin_y)
        if not bool(self.moments.diagonal().isfinite().all()):
            raise ShapeError("rows are over 1e60 times larger than the first ones; scale or leave out such rows")
        whole = self.moments.triu() + self.moments.triu(1).T
        mean = whole[:width, -1] / self.n
        return mean, whole[:width, :width] / self.n - torch.outer(mean, mean)

    def joined(self, other: "LinearSums") -> "LinearSums":
        """The sums over the rows of both, which must be taken relative to the same origin."""
        both = replace(self, n=self.n + other.n)
        both.moments = self.moments + other.moments
        return both

    def pairs(self) -> tuple[PairSums, PairSums, PairSums]:
        """The sums for x with y, x with itself and y with itself."""
        whole = self.moments.triu() + self.moments.triu(1).T
        (xx, xy, x_rest), (_, yy, y_rest), (*_, rest) = (
            part.split_with_sizes(self._widths, dim=1) for part in whole.split_with_sizes(self._widths)
        )

        def pair(moments: Tensor, a_rest: Tensor, a_norm: int, b_rest: Tensor, b_norm: int) -> PairSums:
            a_sum, b_sum = a_rest[:, 2], b_rest[:, 2]  # K_i. is a_i · a_sum
            a_total, b_total = a_sum @ a_sum, b_sum @ b_sum
            return PairSums(
                n=self.n,
                products=float((moments**2).sum()),
                rows=float(a_sum @ moments @ b_sum),
                totals=float(a_total * b_total),
                diagonals=float(rest[a_norm, b_norm]),
                row_diagonals=float(a_sum @ a_rest[:, b_norm] + b_sum @ b_rest[:, a_norm]),
                off_diagonal_totals=float((a_total - rest[a_norm, 2]) * (b_total - rest[b_norm, 2])),
            )

        return pair(xy, x_rest, 0, y_rest, 1), pair(xx, x_rest, 0, x_rest, 0), pair(yy, y_rest, 1, y_rest, 1)


def _factor(rows: Float[Tensor, "n dim"], start: Float[Tensor, "dim"]) -> float:
    """The power of two that brings rows near 1 in distance from where sums start; 1 if they are not far from it."""
    extremes = torch.stack([rows.amin(0), rows.amax(0)]).double()
    apart = extremes - start
    power = int(exponent(apart if bool(apart.any()) else extremes))
    return 1.0 if abs(power) <= _SAFE_POWER else 2.0 ** min(power, 1023)


def _add_upper_gram(total: Float[Tensor, "width width"], rows: Float[Tensor, "n width"]) -> None:
    """Add rows' @ rows to the upper triangle."""
    if rows.device.type == "cpu":  # NumPy knows that this is symmetric: half the products, other threads go on
        total.numpy()[...] += rows.numpy().T @ rows.numpy()
    else:
        total.addmm_(rows.T, rows)


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

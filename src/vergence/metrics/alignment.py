"""Linear and kernel alignment of two representations of the same items: CKA, SVCCA, Procrustes."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vergence.checks import at_least, one_of, positive
from vergence.errors import ShapeError
from vergence.metrics import hsic
from vergence.metrics.arrays import Array, as_float64, guarded, same_rows, sound
from vergence.metrics.scale import rescaled

_ORIGIN_ROWS = 4096  # rows whose mean sums are taken relative to
_MEDIAN_ROWS = 4096  # rows whose distances give the median


@guarded
def cka(
    x: Float[Array, "n dim_x"],
    y: Float[Array, "n dim_y"],
    *,
    kernel: str = "linear",
    unbiased: bool = False,
    bandwidth: float = 1.0,
) -> float:
    r"""Centred kernel alignment: HSIC of the two kernels over the root of those of each with itself.

    $$\frac{\langle \tilde K, \tilde L\rangle}{\|\tilde K\| \|\tilde L\|}, \quad \tilde K = HKH
    \text{ or, unbiased, the U-centred } \tilde K_{i \ne j} = K_{ij} - \tfrac{K_{i.} + K_{.j}}{n-2} +
    \tfrac{K_{..}}{(n-1)(n-2)}, \; \tilde K_{ii} = 0.$$

    Source: [kornblith2019]; unbiased [song2012]. Differs: sums are float64 whatever the input, nothing is added to the
    denominator, and the unbiased form keeps its sign. Cost $O(n d^2)$ for a linear kernel with $d < n$, else
    $O(n^2 d)$; memory $O(d^2)$ or a block of rows, never $n^2$.

    Args:
        x: One representation, one row per item.
        y: The other, of the same items in the same order.
        kernel: `"linear"`, or `"rbf"`: $\exp(-\|x - x'\|^2 / 2\sigma^2)$, $\sigma$ relative to the median distance.
        unbiased: Whether to remove the bias, by which independent data of dimension near $n$ seem aligned. The biased
            form is for comparison with published numbers.
        bandwidth: $\sigma$ in units of the median distance of two items (of 4,096 evenly spaced rows, if more).

    Returns:
        Biased: in [0, 1]. Unbiased: in [-1, 1], around 0 for independent data. 1 for equal representations up to
        rotation and scale. 0 if either is constant.

    Raises:
        ShapeError: If rows do not pair, an entry is NaN or infinite, or there are fewer than 2 rows, or 4 if unbiased.
        ConfigError: If the kernel is unknown or the bandwidth is not above 0.

    Example:
        >>> x = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
        >>> round(cka(x, 3 * x.flip(1), unbiased=True), 6)
        1.0
    """
    one_of("kernel", kernel, ("linear", "rbf"))
    positive("bandwidth", bandwidth)
    n = _paired_rows(x, y, at_least_rows=4 if unbiased else 2)
    if kernel == "linear" and max(x.shape[1], y.shape[1]) < n:
        accumulated = CKA()
        accumulated.update(x, y)
        return accumulated.compute(unbiased=unbiased)
    make = _linear_kernel if kernel == "linear" else _rbf_kernel
    kernel_x, kernel_y = (make(rescaled(side - hsic.origin(side)), bandwidth) for side in as_float64(x=x, y=y))
    return hsic.ratio(*hsic.kernel_sums(kernel_x, kernel_y, n), unbiased=unbiased)


class CKA:
    """Linear CKA of rows that come in batches, in memory that does not grow with their number.

    Sums are taken relative to the mean of the first rows, in float64, so that a large common offset costs no digits.

    Example:
        >>> x = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
        >>> streamed = CKA()
        >>> for batch in x.split(20):
        ...     streamed.update(batch, batch[:, :2])
        >>> abs(streamed.compute(unbiased=True) - cka(x, x[:, :2], unbiased=True)) < 1e-12
        True
    """

    def __init__(self) -> None:
        self._sums: hsic.LinearSums | None = None

    @guarded
    def update(self, x: Float[Array, "n dim_x"], y: Float[Array, "n dim_y"]) -> None:
        """Add a batch of paired rows.

        Raises:
            ShapeError: If rows do not pair, an entry is NaN or infinite, or a width differs from earlier batches.
        """
        same_rows(x=x, y=y)
        rows_x, rows_y = sound(x=x, y=y)
        if self._sums is None:
            self._sums = hsic.LinearSums.starting_with(rows_x[:_ORIGIN_ROWS], rows_y[:_ORIGIN_ROWS])
        widths = {"x": len(self._sums.origin_x), "y": len(self._sums.origin_y)}
        for name, batch in (("x", rows_x), ("y", rows_y)):
            if batch.shape[1] != widths[name]:
                raise ShapeError(f"{name} had {widths[name]} columns in earlier batches; got {tuple(batch.shape)}")
        self._sums.add(rows_x, rows_y)

    def compute(self, *, unbiased: bool = False) -> float:
        """Linear CKA of all rows so far; see `cka` for the two forms.

        Raises:
            ShapeError: If there were fewer than 2 rows, or 4 for the unbiased form.
        """
        rows, needed = (self._sums.n if self._sums else 0), (4 if unbiased else 2)
        if self._sums is None or rows < needed:
            raise ShapeError(f"CKA needs at least {needed} rows; got {rows}")
        return hsic.ratio(*self._sums.pairs(), unbiased=unbiased)


def _linear_kernel(x: Float[Tensor, "n dim"], _: float) -> hsic.Kernel:
    return lambda rows: x[rows] @ x.T


def _rbf_kernel(x: Float[Tensor, "n dim"], bandwidth: float) -> hsic.Kernel:
    norms = (x**2).sum(1)

    def squared_distances(rows: slice) -> Float[Tensor, "rows n"]:
        found = torch.addmm(norms[rows, None] + norms, x[rows], x.T, alpha=-2.0).clamp_(min=0.0)
        found.diagonal(rows.start).zero_()
        return found

    sample = x[torch.linspace(0, len(x) - 1, min(len(x), _MEDIAN_ROWS), device=x.device).round().long()]
    distances = torch.pdist(sample)
    apart = distances[distances > 0]  # of rows that are mostly copies the median would be 0
    scale = float(np.median(apart.cpu().numpy())) if len(apart) else 1.0
    return lambda rows: squared_distances(rows).mul_(-0.5 / (bandwidth * scale) ** 2).exp_()


@guarded
def svcca(x: Float[Array, "n dim_x"], y: Float[Array, "n dim_y"], *, dim: int = 10) -> float:
    r"""Mean canonical correlation of the two sides' leading principal subspaces.

    Source: [raghu2017]. Differs: a fixed number of directions instead of a share of variance; the mean is over
    $\min(\text{dim}, \text{rank}_x, \text{rank}_y)$ correlations, so that directions without variance do not count.

    Args:
        x: One representation, one row per item.
        y: The other, of the same items in the same order.
        dim: How many principal directions of each side to keep, at least 1.

    Returns:
        In [0, 1]; 1 if the kept subspaces agree, about $\sqrt{\text{dim}/n}$ if they are independent; 0 if either side
        is constant. Not calibrated: compare with `permutation_null`.

    Raises:
        ShapeError: If rows do not pair, there are fewer than 2, or an entry is NaN or infinite.
        ConfigError: If `dim` is below 1.

    Example:
        >>> x = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
        >>> round(svcca(x, x @ torch.randn(4, 4, generator=torch.Generator().manual_seed(1)), dim=4), 6)
        1.0
    """
    at_least("dim", dim, 1)
    _paired_rows(x, y, at_least_rows=2)
    bases = [_principal_scores(side, dim) for side in as_float64(x=x, y=y)]
    count = min(basis.shape[1] for basis in bases)
    if count == 0:
        return 0.0
    correlations = torch.linalg.svdvals(bases[0].T @ bases[1])
    return float(correlations.clamp(max=1.0).sum() / count)


def _principal_scores(x: Float[Tensor, "n dim"], dim: int) -> Float[Tensor, "n kept"]:
    """Orthonormal scores on the leading principal directions that have variance."""
    x = rescaled(x - hsic.origin(x))
    left, values, _ = torch.linalg.svd(x, full_matrices=False)
    rank = int((values > 1e-10 * values[:1]).sum())
    kept: Tensor = left[:, : min(dim, rank)]
    return kept


@guarded
def procrustes(x: Float[Array, "n dim_x"], y: Float[Array, "n dim_y"]) -> float:
    r"""How well one representation can be rotated and scaled onto the other: $\|X^\top Y\|_* / (\|X\| \|Y\|)$, centred.

    Source: [ding2021], whose squared distance of unit-norm representations is $2(1 - \text{this})$.

    Args:
        x: One representation, one row per item.
        y: The other, of the same items in the same order; its width may differ.

    Returns:
        In [0, 1]; 1 if equal up to rotation, reflection, shift and scale; 0 if either is constant. Independent data
        score above 0: compare with `permutation_null`.

    Raises:
        ShapeError: If rows do not pair, there are fewer than 2, or an entry is NaN or infinite.

    Example:
        >>> x = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
        >>> round(procrustes(x, -2 * x.flip(1) + 1), 6)
        1.0
    """
    _paired_rows(x, y, at_least_rows=2)
    centred = [rescaled(side - hsic.origin(side)) for side in as_float64(x=x, y=y)]
    centred = [side / norm if (norm := torch.linalg.norm(side)) > 0 else side for side in centred]
    if max(x.shape[1], y.shape[1]) > x.shape[0]:  # rotations of the columns to fewer of them change nothing
        centred = [torch.linalg.qr(side.T)[1].T for side in centred]
    return min(1.0, float(torch.linalg.svdvals(centred[0].T @ centred[1]).sum()))


def _paired_rows(x: Array, y: Array, *, at_least_rows: int) -> int:
    n = same_rows(x=x, y=y)
    if n < at_least_rows:
        raise ShapeError(f"this needs at least {at_least_rows} rows; got {n}")
    return n

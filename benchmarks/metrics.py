"""Metrics at size: ours beside the form published with the papers, a competent n by n form, and scikit-learn."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from sklearn.kernel_ridge import KernelRidge as SklearnKernelRidge
from sklearn.model_selection import GridSearchCV
from torch import Tensor

from benchmarks.measure import Case, Run, Side
from vergence.metrics import CKA, KernelRidge, cka, mutual_knn, retrieve
from vergence.metrics.folds import assign_folds
from vergence.random import generator

SEED = 0
PACKAGES = ("scikit-learn", "numpy")
SMALL = {"n": 600}  # more rows than columns, so that the same code warms up


def cases() -> Iterator[Case]:
    """Yield every comparison; sides that take minutes are run once."""
    knn = {"n": 20_000, "dim": 512}
    for peer, how in ((knn_by_argsort, "a full argsort and masks, as published"), (knn_by_masks, "top-k and masks")):
        yield compare(f"mutual k-NN (k = 10), n = 20,000, d = 512, against {how}", knn_ours, peer, knn)
    unbiased = {"n": 10_000, "dim": 512}
    for peer, how in (
        (cka_by_matrix_products, "n by n by n in float32, as published"),
        (cka_by_sums, "competent n by n, also in float32"),
    ):
        yield compare(f"unbiased linear CKA, n = 10,000, d = 512, against {how}", cka_ours, peer, unbiased)
    yield alone("linear CKA, streamed over n = 1,000,000, d = 512", cka_streamed, {"n": 1_000_000, "dim": 512})
    yield alone("R@{1,5,10} both ways, 50,000 by 50,000, d = 512", recall_ours, {"n": 50_000, "dim": 512})
    grid = "kernel-ridge grid (4 alphas, 4 gammas, 3 folds, refit), n = 4096, 15 targets"
    yield compare(
        f"{grid}, against multi-output GridSearchCV (one choice for all)", grid_ours, grid_sklearn, {"n": 4096}
    )
    yield compare(
        f"{grid}, against GridSearchCV of one of the 15 targets (all of them take 15 times as long)",
        grid_ours,
        grid_sklearn_of_one_target,
        {"n": 4096},
    )


def compare(name: str, ours: Any, peer: Any, sizes: dict[str, int]) -> Case:
    sides = (Side(make=make, sizes=sizes, small=SMALL) for make in (ours, peer))
    return Case(name=name, ours=next(sides), peer=next(sides), repeats=1, rounds=1)


def alone(name: str, ours: Any, sizes: dict[str, int]) -> Case:
    return Case(name=name, ours=Side(make=ours, sizes=sizes, small=SMALL), repeats=1, rounds=1)


def two_views(n: int, dim: int, *, noise: float = 2) -> tuple[Tensor, Tensor]:
    g = generator(SEED)
    x = torch.randn(n, dim, generator=g)
    return x, x + noise * torch.randn(n, dim, generator=g)


def knn_ours(*, n: int, dim: int = 512) -> Run:
    return partial(mutual_knn, *two_views(n, dim))


def knn_by_argsort(*, n: int, dim: int = 512) -> Run:
    def nearest(cosines: Tensor) -> Tensor:
        return cosines.argsort(dim=1, descending=True)[:, :10]

    return partial(knn_of_masks, *two_views(n, dim), nearest)


def knn_by_masks(*, n: int, dim: int = 512) -> Run:
    def nearest(cosines: Tensor) -> Tensor:
        return cosines.topk(10, dim=1).indices

    return partial(knn_of_masks, *two_views(n, dim), nearest)


def knn_of_masks(x: Tensor, y: Tensor, nearest: Any) -> float:
    masks = []
    for side in (x, y):
        unit = torch.nn.functional.normalize(side, dim=1)
        cosines = (unit @ unit.T).fill_diagonal_(-torch.inf)
        masks.append(torch.zeros_like(cosines).scatter_(1, nearest(cosines), 1.0))
        del cosines
    return float((masks[0] * masks[1]).sum(dim=1, dtype=torch.float64).mean() / 10)


def cka_ours(*, n: int, dim: int = 512) -> Run:
    return partial(cka, *two_views(n, dim), unbiased=True)


def cka_by_matrix_products(*, n: int, dim: int = 512) -> Run:
    """The sum over K L from the product of the two, three times n³."""

    def hsic(k: Tensor, l: Tensor) -> float:  # noqa: E741
        spread = k.sum() * l.sum() / ((n - 1) * (n - 2))
        return float((k * l).sum() + spread - 2 * (k @ l).sum() / (n - 2))

    return partial(cka_of_kernels, *two_views(n, dim), hsic)


def cka_by_sums(*, n: int, dim: int = 512) -> Run:
    """The same from sums of rows; the kernels stay in float32, where the two products take half as long."""

    def hsic(k: Tensor, l: Tensor) -> float:  # noqa: E741
        k_rows, l_rows = k.sum(1, dtype=torch.float64), l.sum(1, dtype=torch.float64)
        spread = k_rows.sum() * l_rows.sum() / ((n - 1) * (n - 2))
        return float((k * l).sum() + spread - 2 * k_rows @ l_rows / (n - 2))

    return partial(cka_of_kernels, *two_views(n, dim), hsic)


def cka_of_kernels(x: Tensor, y: Tensor, hsic: Any) -> float:
    k, l = ((side @ side.T).fill_diagonal_(0.0) for side in (x - x.mean(0), y - y.mean(0)))  # noqa: E741
    return hsic(k, l) / (hsic(k, k) * hsic(l, l)) ** 0.5


def cka_streamed(*, n: int, dim: int = 512) -> Run:
    x, y = two_views(min(n, 20_000), dim)

    def run() -> float:
        streamed = CKA()
        for _ in range(n // len(x)):  # the same rows over and over: their values do not matter to time and memory
            for start in range(0, len(x), 4000):
                streamed.update(x[start : start + 4000], y[start : start + 4000])
        return streamed.compute(unbiased=True)

    return run


def recall_ours(*, n: int, dim: int = 512) -> Run:
    x, y = two_views(n, dim, noise=6)
    return lambda: sum(value for name, value in retrieve(x, y).table().items() if "recall" in name)


def grid_data(n: int) -> tuple[Tensor, Tensor]:
    """Standardised features and centred targets of growing noise, so that scikit-learn solves the same problem."""
    g = generator(SEED)
    z = torch.randn(n, 5, generator=g, dtype=torch.float64)
    signals = torch.sin(z @ torch.randn(5, 15, generator=g, dtype=torch.float64))
    targets = signals + torch.linspace(0, 1, 15) * torch.randn(n, 15, generator=g, dtype=torch.float64)
    return (z - z.mean(0)) / z.std(0, correction=0), targets - targets.mean(0)


def grid_ours(*, n: int) -> Run:
    z, targets = grid_data(n)

    def run() -> float:
        scores = KernelRidge().fit(z, targets).held_out_r2
        assert scores is not None
        return scores[7]

    return run


def grid_search(z: Tensor, targets: Tensor) -> GridSearchCV:
    """The same grid on the same folds."""
    fold = assign_folds(torch.arange(len(z)), 3).numpy()
    splits = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(3)]
    grid = {"alpha": list(KernelRidge().alphas), "gamma": list(KernelRidge().gammas)}
    return GridSearchCV(SklearnKernelRidge(kernel="rbf"), grid, cv=splits).fit(z.numpy(), targets.numpy())


def grid_sklearn(*, n: int) -> Run:
    """Its one choice for all targets has another score than ours, so none is returned."""
    z, targets = grid_data(n)

    def run() -> None:
        grid_search(z, targets)

    return run


def grid_sklearn_of_one_target(*, n: int) -> Run:
    z, targets = grid_data(n)
    return lambda: float(grid_search(z, targets[:, 7]).best_score_)

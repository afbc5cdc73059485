"""Alignment, gap and retrieval against their definitions, written out pair by pair in float64."""

import math
from itertools import combinations, pairwise, permutations

import numpy as np
import pytest
import torch

from vergence.metrics import (
    CKA,
    centroid_distance,
    cka,
    cknna,
    effective_rank,
    hsic,
    mutual_knn,
    pair_distance,
    procrustes,
    relative_gap,
    retrieve,
    svcca,
    uniformity,
)
from vergence.random import generator

Rows = list[list[float]]


def pair(n: int, dim_x: int, dim_y: int, *, seed: int = 0, offset: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    g = generator(seed)
    x = torch.randn(n, dim_x, generator=g, dtype=torch.float64)
    mixed = x @ torch.randn(dim_x, dim_y, generator=g, dtype=torch.float64)
    return x + offset, mixed + torch.randn(n, dim_y, generator=g, dtype=torch.float64) - offset


def dot(a: list[float], b: list[float]) -> float:
    return math.fsum(p * q for p, q in zip(a, b, strict=True))


def distance(a: list[float], b: list[float]) -> float:
    return math.dist(a, b)


def linear_kernel(rows: Rows) -> Rows:
    return [[dot(a, b) for b in rows] for a in rows]


def rbf_kernel(rows: Rows, bandwidth: float) -> Rows:
    sigma = bandwidth * np.sort([distance(a, b) for a, b in combinations(rows, 2)])
    middle = np.median(sigma)
    return [[math.exp(-(distance(a, b) ** 2) / (2 * middle**2)) for b in rows] for a in rows]


def slow_biased_hsic(k: Rows, l: Rows) -> float:  # noqa: E741
    """tr(KHLH), the matrices centred entry by entry."""
    n = len(k)

    def centred(m: Rows) -> Rows:
        means = [sum(row) / n for row in m]
        grand = sum(means) / n
        return [[m[i][j] - means[i] - means[j] + grand for j in range(n)] for i in range(n)]

    a, b = centred(k), centred(l)
    return math.fsum(a[i][j] * b[j][i] for i in range(n) for j in range(n))


def slow_unbiased_hsic(k: Rows, l: Rows) -> float:  # noqa: E741
    """U-statistic over all ordered quadruples of distinct items."""
    total, count = [], 0
    for i, j, q, r in permutations(range(len(k)), 4):
        total.append(k[i][j] * (l[i][j] + l[q][r] - 2 * l[i][q]))
        count += 1
    return math.fsum(total) / count


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.parametrize(("dim_x", "dim_y"), [(3, 2), (12, 15)])
def test_cka_is_the_ratio_of_hsic(kernel: str, unbiased: bool, dim_x: int, dim_y: int) -> None:
    x, y = pair(9, dim_x, dim_y, offset=3.0)
    make = linear_kernel if kernel == "linear" else lambda rows: rbf_kernel(rows, 0.7)
    hsic = slow_unbiased_hsic if unbiased else slow_biased_hsic
    k, l = make(x.tolist()), make(y.tolist())  # noqa: E741
    expected = hsic(k, l) / math.sqrt(hsic(k, k) * hsic(l, l))
    assert cka(x, y, kernel=kernel, unbiased=unbiased, bandwidth=0.7) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("unbiased", [False, True])
def test_streamed_cka_is_cka_whatever_the_batches_and_the_offset(unbiased: bool) -> None:
    x, y = pair(500, 6, 9, offset=1000.0)
    streamed = CKA()
    for rows in torch.arange(500).split(73):
        streamed.update(x[rows], y[rows])
    expected = cka(x - x.mean(0), y - y.mean(0), unbiased=unbiased)
    assert streamed.compute(unbiased=unbiased) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_unbiased_cka_of_several_blocks_is_that_of_whole_kernel_matrices(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hsic, "_BLOCK", 2**16)
    x, y = (side.to(dtype) for side in pair(1300, 60, 90, offset=5.0))
    kernels = []
    for side in (x.double(), y.double()):
        kernel = (side @ side.T).fill_diagonal_(0.0)
        rows = kernel.sum(1)
        kernel = kernel - (rows[:, None] + rows) / (1300 - 2) + rows.sum() / ((1300 - 1) * (1300 - 2))
        kernels.append(kernel.fill_diagonal_(0.0))
    k, l = kernels  # noqa: E741
    expected = float((k * l).sum() / (torch.linalg.norm(k) * torch.linalg.norm(l)))
    assert cka(x, y, unbiased=True) == pytest.approx(expected, rel=1e-10)


def neighbours(rows: Rows, k: int) -> list[list[int]]:
    cosine = [[dot(a, b) / math.sqrt(dot(a, a) * dot(b, b)) for b in rows] for a in rows]
    return [sorted((j for j in range(len(rows)) if j != i), key=lambda j: -cosine[i][j])[:k] for i in range(len(rows))]


@pytest.mark.parametrize("k", [1, 4, 19])
def test_mutual_knn_counts_shared_neighbours(k: int) -> None:
    x, y = pair(20, 4, 3)
    near_x, near_y = neighbours(x.tolist(), k), neighbours(y.tolist(), k)
    shared = sum(len({*a} & {*b}) for a, b in zip(near_x, near_y, strict=True))
    assert mutual_knn(x, y, k=k) == pytest.approx(shared / (20 * k), rel=1e-12)


@pytest.mark.parametrize("k", [2, 5, 19])
def test_cknna_is_the_alignment_over_shared_neighbours(k: int) -> None:
    x, y = pair(20, 4, 3)
    near_x, near_y = neighbours(x.tolist(), k), neighbours(y.tolist(), k)

    def row_centred(rows: Rows) -> Rows:
        cosine = [[dot(a, b) / math.sqrt(dot(a, a) * dot(b, b)) for b in rows] for a in rows]
        return [[value - sum(row) / len(row) for value in row] for row in cosine]

    a, b = row_centred(x.tolist()), row_centred(y.tolist())
    cross = sum(a[i][j] * b[i][j] for i in range(20) for j in near_x[i] if j in near_y[i])
    own_x = sum(a[i][j] ** 2 for i in range(20) for j in near_x[i])
    own_y = sum(b[i][j] ** 2 for i in range(20) for j in near_y[i])
    assert cknna(x, y, k=k) == pytest.approx(cross / math.sqrt(own_x * own_y), rel=1e-10)


def test_svcca_averages_canonical_correlations_of_principal_scores() -> None:
    x, y = pair(60, 7, 6)
    scores = []
    for side in (x, y):
        centred = side - side.mean(0)
        values, vectors = torch.linalg.eigh(centred.T @ centred)
        scores.append(centred @ vectors[:, values.argsort(descending=True)[:3]])
    a, b = scores
    # Squared canonical correlations are the eigenvalues of Saa^-1 Sab Sbb^-1 Sba.
    product = torch.linalg.solve(a.T @ a, a.T @ b) @ torch.linalg.solve(b.T @ b, b.T @ a)
    expected = torch.linalg.eigvals(product).real.sqrt().mean()
    assert svcca(x, y, dim=3) == pytest.approx(float(expected), rel=1e-10)


def test_procrustes_is_what_the_best_rotation_leaves() -> None:
    x, y = pair(30, 4, 4)
    a, b = ((side - side.mean(0)) / torch.linalg.norm(side - side.mean(0)) for side in (x, y))
    u, _, v = torch.linalg.svd(a.T @ b)
    assert 2 * (1 - procrustes(x, y)) == pytest.approx(float(((a @ u @ v - b) ** 2).sum()), rel=1e-10)
    wide = torch.randn(4, 50, generator=generator(1), dtype=torch.float64)
    assert procrustes(x, y @ wide) == pytest.approx(
        float(torch.linalg.matrix_norm(a.T @ ((y - y.mean(0)) @ wide), ord="nuc"))
        / float(torch.linalg.norm((y - y.mean(0)) @ wide)),
        rel=1e-10,
    )


def test_gap_distance_and_spread() -> None:
    x, y = pair(15, 3, 3, offset=1.0)
    rows_x, rows_y = x.tolist(), y.tolist()
    centres = [[sum(column) / 15 for column in zip(*rows, strict=True)] for rows in (rows_x, rows_y)]
    apart = distance(*centres)
    spreads = [
        sum(distance(row, centre) ** 2 for row in rows) / 15
        for rows, centre in zip((rows_x, rows_y), centres, strict=True)
    ]
    assert centroid_distance(x, y) == pytest.approx(apart, rel=1e-12)
    assert relative_gap(x, y) == pytest.approx(apart / math.sqrt(sum(spreads) / 2), rel=1e-12)


def test_pair_distance_and_uniformity() -> None:
    x, y = pair(15, 3, 3)
    unit_x, unit_y = ([[v / math.hypot(*row) for v in row] for row in side.tolist()] for side in (x, y))
    expected = sum(distance(a, b) ** 3 for a, b in zip(unit_x, unit_y, strict=True)) / 15
    assert pair_distance(x, y, power=3.0) == pytest.approx(expected, rel=1e-12)
    potential = [math.exp(-1.5 * distance(a, b) ** 2) for a, b in permutations(unit_x, 2)]
    assert uniformity(x, t=1.5) == pytest.approx(math.log(sum(potential) / len(potential)), rel=1e-12)


def test_effective_rank_is_the_exponential_of_the_entropy_of_singular_values() -> None:
    x, _ = pair(15, 4, 4, offset=2.0)
    values = np.linalg.svd(x.numpy() - x.numpy().mean(0), compute_uv=False)
    shares = values / values.sum()
    assert effective_rank(x) == pytest.approx(math.exp(-sum(p * math.log(p) for p in shares)), rel=1e-12)


def slow_hit(scores: list[float], relevant: set[int], k: int) -> float:
    """Share of the orderings, tied items in every order, that put a relevant item among the first k."""
    hits = [
        bool({*order[:k]} & relevant)
        for order in permutations(range(len(scores)))
        if all(scores[a] >= scores[b] for a, b in pairwise(order))
    ]
    return sum(hits) / len(hits)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_recall_is_the_average_over_the_orders_of_tied_items(k: int) -> None:
    corners = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    images, texts = corners[[0, 1, 1, 2, 0]], corners[[0, 1, 1, 0, 2, 2]]
    image_of_text = torch.tensor([0, 1, 2, 3, 3, 4])
    found = retrieve(images, texts, image_of_text=image_of_text)
    cosine = (texts @ images.T).double().round(decimals=6)
    by_text = [slow_hit(cosine[t].tolist(), {int(image_of_text[t])}, k) for t in range(6)]
    by_image = [
        slow_hit(cosine[:, i].tolist(), {t for t in range(6) if int(image_of_text[t]) == i}, k) for i in range(5)
    ]
    assert found.image_retrieval.recall(k) == pytest.approx(sum(by_text) / 6, rel=1e-12)
    assert found.text_retrieval.recall(k) == pytest.approx(sum(by_image) / 5, rel=1e-12)


def test_ranks_without_ties_are_those_of_a_full_sort() -> None:
    x, y = pair(40, 5, 5)
    found = retrieve(x, y)
    unit_x, unit_y = (torch.nn.functional.normalize(side, dim=1) for side in (x, y))
    cosine = unit_y @ unit_x.T
    for ranks, scores in ((found.image_retrieval, cosine), (found.text_retrieval, cosine.T)):
        order = scores.argsort(dim=1, descending=True)
        expected = (order == torch.arange(40)[:, None]).nonzero()[:, 1] + 1
        torch.testing.assert_close(ranks.expected_ranks(), expected.double())
        assert ranks.median_rank() == pytest.approx(float(expected.double().quantile(0.5)))

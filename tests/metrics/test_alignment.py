"""Alignment, neighbours, retrieval and nulls: what holds beyond the table of claims."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vergence.errors import ConfigError, ShapeError
from vergence.metrics import (
    CKA,
    centroid_distance,
    cka,
    cknna,
    exchange_null,
    linear_separability,
    modality_gap,
    mutual_knn,
    permutation_null,
    retrieve,
    svcca,
)
from vergence.random import generator


def views(n: int, dim: int, *, noise: float = 1.0, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    g = generator(seed)
    x = torch.randn(n, dim, generator=g)
    return x, x + noise * torch.randn(n, dim, generator=g)


@pytest.mark.parametrize("n", [32, 256])
def test_unbiased_cka_of_independent_data_is_zero_on_average_where_the_biased_one_is_not(n: int) -> None:
    g = generator(n)
    pairs = [torch.randn(2, n, 64, generator=g) for _ in range(200)]
    assert abs(sum(cka(x, y, unbiased=True) for x, y in pairs) / 200) < 0.01
    assert sum(cka(x, y) for x, y in pairs) / 200 > 0.15


@pytest.mark.parametrize("unbiased", [False, True])
def test_columns_of_zeros_change_the_form_of_linear_cka_but_not_its_value(unbiased: bool) -> None:
    x, y = views(30, 5)
    wide = [torch.cat([side, torch.zeros(30, 40)], dim=1) for side in (x, y)]
    assert cka(*wide, unbiased=unbiased) == pytest.approx(cka(x, y, unbiased=unbiased), rel=1e-12)


def test_a_large_offset_costs_no_digits() -> None:
    x, y = (side.double() for side in views(300, 4))
    assert cka(x + 1e6, y - 1e6, unbiased=True) == pytest.approx(cka(x, y, unbiased=True), rel=1e-6)


def test_streaming_refuses_what_does_not_fit() -> None:
    streamed = CKA()
    with pytest.raises(ShapeError, match="CKA needs at least 2 rows; got 0"):
        streamed.compute()
    streamed.update(torch.randn(3, 4), torch.randn(3, 2))
    with pytest.raises(ShapeError, match="CKA needs at least 4 rows; got 3"):
        streamed.compute(unbiased=True)
    with pytest.raises(ShapeError, match=r"y had 2 columns in earlier batches; got \(3, 5\)"):
        streamed.update(torch.randn(3, 4), torch.randn(3, 5))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: cka(x, x, kernel="cosine"), ConfigError, "unknown kernel 'cosine'; known: linear, rbf"),
        (lambda x: cka(x, x, kernel="rbf", bandwidth=0.0), ConfigError, "bandwidth must be a finite number > 0"),
        (lambda x: cka(x[:3], x[:3], unbiased=True), ShapeError, "this needs at least 4 rows; got 3"),
        (lambda x: mutual_knn(x, x, k=10), ConfigError, r"k must be <= 9 \(the number of other items\); got 10"),
        (lambda x: cknna(x, x, k=0), ConfigError, "k must be >= 1; got 0"),
        (lambda x: svcca(x, x, dim=0), ConfigError, "dim must be >= 1; got 0"),
        (lambda x: linear_separability(x[:3], x[:3]), ShapeError, "5 folds need at least 5 groups of items; got 3"),
        (lambda x: permutation_null(cka, x, x, generator=generator(0), n_shuffles=1), ConfigError, "n_shuffles must"),
        (lambda x: retrieve(x, x[:, :1]), ShapeError, r"shapes differ: z_image \(10, 3\), z_text \(10, 1\)"),
        (
            lambda x: retrieve(x, x, image_of_text=torch.arange(1, 11)),
            ShapeError,
            "image_of_text must hold rows of z_image, 0..9; got 1..10",
        ),
        (lambda x: retrieve(x, x).image_retrieval.recall(0), ConfigError, "k must be >= 1; got 0"),
    ],
)
def test_impossible_calls_are_named(call, error: type[Exception], message: str) -> None:
    x = torch.randn(10, 3, generator=generator(0))
    with pytest.raises(error, match=message):
        call(x)


@pytest.mark.parametrize("metric", [cka, mutual_knn, cknna, svcca])
def test_the_null_tells_aligned_from_independent(metric) -> None:
    x, y = views(60, 8, noise=0.5)
    aligned = permutation_null(metric, x, y, generator=generator(0), n_shuffles=99)
    assert aligned.p_value == pytest.approx(0.02)
    assert aligned.observed > aligned.mean + 3 * aligned.std
    independent = permutation_null(metric, x, views(60, 8, seed=7)[0], generator=generator(0), n_shuffles=99)
    assert independent.p_value > 0.05


@pytest.mark.parametrize("metric", [mutual_knn, cknna])
def test_shuffled_neighbours_are_those_of_shuffled_rows(metric) -> None:
    x, y = views(50, 6)
    fast = permutation_null(metric, x, y, generator=generator(0), n_shuffles=5, k=4)
    g = generator(0)
    slow = torch.tensor([metric(x, y[torch.randperm(50, generator=g)], k=4) for _ in range(5)], dtype=torch.float64)
    assert fast.mean == pytest.approx(float(slow.mean()), rel=1e-6)
    assert fast.std == pytest.approx(float(slow.std()), rel=1e-6)


def test_the_gap_is_judged_by_exchanging_modalities() -> None:
    x, y = views(100, 6, noise=0.3, seed=3)
    assert exchange_null(centroid_distance, x, y, generator=generator(0), n_shuffles=99).p_value > 0.05
    assert exchange_null(centroid_distance, x, y + 0.3, generator=generator(0), n_shuffles=99).p_value < 0.05
    assert modality_gap(x, y + 5).linear_separability == 1.0


def test_neighbours_and_ranks_do_not_depend_on_the_size_of_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = (side.double() for side in views(70, 6))

    def values() -> list[float]:
        ranks = retrieve(x, y, image_of_text=torch.arange(70) // 2)
        return [mutual_knn(x, y), cknna(x, y), cka(x, y, kernel="rbf"), *ranks.table().values()]

    before = values()
    for module in ("neighbours", "hsic", "retrieval"):
        monkeypatch.setattr(f"vergence.metrics.{module}._BLOCK", 70 * 9)
    assert values() == pytest.approx(before, rel=1e-12)


def test_copies_in_the_gallery_share_the_hit() -> None:
    z = torch.eye(4)
    found = retrieve(z.repeat(2, 1), z.repeat(2, 1))
    assert found.image_retrieval.recall(1) == pytest.approx(0.5)
    assert found.image_retrieval.recall(2) == pytest.approx(1.0)
    assert found.text_retrieval.median_rank() == pytest.approx(1.5)


@pytest.mark.parametrize("k", [1, 10, 39])
def test_neighbours_found_in_tiles_are_those_of_a_full_sort(k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vergence.metrics.neighbours._BLOCK", 100**2)
    x, y = (torch.nn.functional.normalize(side.double(), dim=1) for side in views(640, 5))
    nearest = [((side @ side.T).fill_diagonal_(-2)).argsort(dim=1, descending=True)[:, :k].tolist() for side in (x, y)]
    shared = sum(len({*a} & {*b}) for a, b in zip(*nearest, strict=True))
    assert mutual_knn(x, y, k=k) == pytest.approx(shared / (640 * k), rel=1e-12)


@given(
    st.lists(st.sampled_from([0.0, 1.0, -1.0, 100.0, math.inf, -math.inf]), min_size=2, max_size=9),
    st.sampled_from([0.0, 1.0, 100.0, math.inf, -math.inf]),
)
def test_no_p_value_is_below_what_the_shuffles_can_show(shuffled: list[float], observed: float) -> None:
    values = iter([observed, *shuffled])
    x = torch.arange(4.0)[:, None]
    null = permutation_null(lambda *_: next(values), x, x, generator=generator(0), n_shuffles=len(shuffled))
    assert null.least_p_value == 2 / (len(shuffled) + 1)
    assert null.least_p_value - 1e-12 <= null.p_value <= 1
    beyond = min(sum(value >= observed for value in shuffled), sum(value <= observed for value in shuffled)) + 1
    assert null.p_value == pytest.approx(min(1.0, 2 * beyond / (len(shuffled) + 1)))
    if not {math.inf, -math.inf} <= set(shuffled):
        assert not math.isnan(null.mean)
        assert not math.isnan(null.std)

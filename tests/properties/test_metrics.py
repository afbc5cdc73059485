"""Invariances and bounds of metrics, on whatever hypothesis thinks of."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vergence.metrics import (
    cka,
    cknna,
    cluster_bootstrap,
    effective_rank,
    matthews_corrcoef,
    mutual_knn,
    procrustes,
    r2_score,
    retrieve,
    share_interval,
    svcca,
)
from vergence.random import generator

seeds = st.integers(0, 2**31)
sizes = st.tuples(st.integers(6, 30), st.integers(1, 40), st.integers(1, 8))
scales = st.floats(1e-3, 1e3)
labels = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30)


def normal(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.parametrize("kernel", ["linear", "rbf"])
@given(seeds, sizes, scales)
def test_cka_does_not_see_scale_rotation_shift_or_the_order(kernel, unbiased, seed, size, scale) -> None:
    n, dim_x, dim_y = size
    x, y = normal(seed, n, dim_x), normal(seed + 1, n, dim_y)
    rotation = torch.linalg.qr(normal(seed + 2, dim_x, dim_x))[0]
    order = torch.randperm(n, generator=generator(seed))
    moved = (scale * x @ rotation + 1)[order]
    value = cka(x, y, kernel=kernel, unbiased=unbiased)
    assert cka(moved, y[order], kernel=kernel, unbiased=unbiased) == pytest.approx(value, rel=1e-6, abs=1e-9)
    assert cka(y, x, kernel=kernel, unbiased=unbiased) == pytest.approx(value, rel=1e-9, abs=1e-12)
    assert cka(x, moved[order.argsort()], kernel=kernel, unbiased=unbiased) == pytest.approx(1.0, abs=1e-9)


@given(seeds, sizes)
def test_a_representation_is_perfectly_aligned_with_itself(seed, size) -> None:
    x = normal(seed, size[0], size[1])
    for metric in (cka, svcca, procrustes):
        assert metric(x, x) == pytest.approx(1.0, abs=1e-9)
    for metric in (mutual_knn, cknna):
        assert metric(x, x, k=3) == pytest.approx(1.0, abs=1e-9)
    assert 1 - 1e-9 <= effective_rank(x) <= min(size[0] - 1, size[1]) + 1e-9


@given(seeds, st.integers(4, 30), st.integers(1, 3))
def test_all_neighbours_are_shared_when_all_are_counted(seed, n, dim) -> None:
    assert mutual_knn(normal(seed, n, dim), normal(seed + 1, n, dim), k=n - 1) == 1.0


@given(labels, st.permutations(range(4)))
def test_matthews_does_not_care_for_names_order_or_side(pairs, names) -> None:
    truth, guess = (torch.tensor(side) for side in zip(*pairs, strict=True))
    value = matthews_corrcoef(truth, guess)
    assert -1 <= value <= 1
    renamed = torch.tensor(names)
    assert matthews_corrcoef(renamed[truth], renamed[guess]) == pytest.approx(value, abs=1e-12)
    assert matthews_corrcoef(guess.flip(0), truth.flip(0)) == pytest.approx(value, abs=1e-12)


@given(labels, seeds)
def test_bootstrap_limits_are_ordered_and_in_range(pairs, seed) -> None:
    truth, guess = (torch.tensor(side) for side in zip(*pairs, strict=True))
    clusters = torch.arange(len(truth)) // 2
    low, high = cluster_bootstrap(matthews_corrcoef, truth, guess, clusters, generator=generator(seed), n_resamples=100)
    assert -1 <= low <= high <= 1
    low, high = share_interval((truth == guess).double(), clusters)
    assert 0 <= low <= float((truth == guess).double().mean()) <= high <= 1


@given(seeds, st.integers(2, 30), scales)
def test_r2_does_not_see_a_common_scale_and_shift_and_is_at_most_one(seed, n, scale) -> None:
    truth, guess = normal(seed, n, 2), normal(seed + 1, n, 2)
    value = r2_score(truth, guess)
    assert bool((value <= 1).all())
    torch.testing.assert_close(r2_score(scale * truth + 3, scale * guess + 3), value, rtol=1e-6, atol=1e-6)


@given(seeds, st.integers(2, 12), st.lists(st.integers(0, 3), min_size=1, max_size=12))
def test_recall_grows_with_k_to_one(seed, dim, image_of_text) -> None:
    texts = normal(seed, len(image_of_text), dim)
    found = retrieve(normal(seed + 1, 4, dim), texts, image_of_text=torch.tensor(image_of_text))
    for ranks, gallery in ((found.image_retrieval, 4), (found.text_retrieval, len(image_of_text))):
        recalls = [ranks.recall(k) for k in range(1, gallery + 1)]
        assert recalls == sorted(recalls)
        assert recalls[-1] == pytest.approx(1.0)
        assert 1 <= ranks.median_rank() <= gallery

"""Nonlinear probes, information and matching against definitions written out, and against scikit-learn."""

import math
from itertools import permutations

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.kernel_ridge import KernelRidge as SklearnKernelRidge
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

from vergence.metrics import (
    KernelRidge,
    NearestNeighbours,
    NystroemRidge,
    block_identifiability,
    factor_information,
    gaussian_information,
    info_nce_bound,
    mean_corr_coef,
    r2_score,
)
from vergence.metrics.folds import assign_folds
from vergence.random import generator


def curved(n: int, targets: int, *, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Standardised features and centred targets, the later ones noisier."""
    g = generator(seed)
    z = torch.randn(n, 3, generator=g, dtype=torch.float64)
    y = torch.sin(z @ torch.randn(3, targets, generator=g, dtype=torch.float64))
    y += torch.linspace(0, 1.5, targets) * torch.randn(n, targets, generator=g, dtype=torch.float64)
    return (z - z.mean(0)) / z.std(0, correction=0), y - y.mean(0)


def test_kernel_ridge_makes_the_choices_of_a_grid_search_target_by_target() -> None:
    z, y = curved(180, 4)
    probe = KernelRidge()
    fold = assign_folds(torch.arange(180), 3).numpy()
    splits = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(3)]
    fitted = probe.fit(z, y)
    assert fitted.held_out_r2 is not None
    for target in range(4):
        grid = {"alpha": list(probe.alphas), "gamma": list(probe.gammas)}
        search = GridSearchCV(SklearnKernelRidge(kernel="rbf"), grid, cv=splits).fit(z.numpy(), y[:, target].numpy())
        assert search.best_params_ == {"alpha": fitted.alphas[target], "gamma": fitted.gammas[target]}
        assert search.best_score_ == pytest.approx(fitted.held_out_r2[target], rel=1e-8)
        np.testing.assert_allclose(fitted.predict(z)[:, target], search.predict(z.numpy()), atol=1e-8)
    assert len(set(zip(fitted.alphas, fitted.gammas, strict=True))) > 1, "one choice for all would not test the choice"


def test_kernel_ridge_is_the_weighted_sum_of_kernels() -> None:
    z, y = curved(30, 1)
    fitted = KernelRidge(alphas=(0.1,), gammas=(0.5,)).fit(z, y[:, 0])
    rows = z.tolist()
    kernel = [[math.exp(-0.5 * math.dist(a, b) ** 2) for b in rows] for a in rows]
    dual = np.linalg.solve(np.array(kernel) + 0.1 * np.eye(30), y[:, 0].numpy())
    np.testing.assert_allclose(fitted.predict(z), np.array(kernel) @ dual, rtol=1e-9, atol=1e-10)


def test_nystroem_with_every_item_a_landmark_is_exact_kernel_ridge() -> None:
    z, y = curved(150, 3)
    exact, spanned = KernelRidge().fit(z, y), NystroemRidge(n_landmarks=150).fit(z, y)
    assert (exact.alphas, exact.gammas) == (spanned.alphas, spanned.gammas)
    torch.testing.assert_close(spanned.predict(z), exact.predict(z), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("k", [1, 7])
def test_nearest_neighbours_average_and_vote(k: int) -> None:
    z, y = curved(90, 2)
    fitted = NearestNeighbours(ks=(k,)).fit(z[:60], y[:60])
    x = ((z - z[:60].mean(0)) / z[:60].std(0, correction=0)).numpy()
    expected = KNeighborsRegressor(k).fit(x[:60], y[:60]).predict(x[60:])
    np.testing.assert_allclose(fitted.predict(z[60:]), expected, rtol=1e-10)
    labels = (y[:, 0] > 0).long() * 5
    classified = NearestNeighbours(ks=(k,)).fit(z[:60], labels[:60]).predict(z[60:])
    np.testing.assert_array_equal(classified, KNeighborsClassifier(k).fit(x[:60], labels[:60]).predict(x[60:]))


@pytest.mark.parametrize("method", ["pearson", "spearman"])
def test_mean_corr_coef_is_the_best_of_all_matchings(method: str) -> None:
    z, s = (torch.randn(25, 4, dtype=torch.float64, generator=generator(seed)) for seed in (0, 1))
    z = z + s[:, [3, 1, 0, 2]] ** 3
    if method == "spearman":
        table = [[abs(spearmanr(z[:, i], s[:, j]).statistic) for j in range(4)] for i in range(4)]
    else:
        table = [[abs(np.corrcoef(z[:, i], s[:, j])[0, 1]) for j in range(4)] for i in range(4)]
    best = max(sum(table[i][j] for j, i in enumerate(order)) for order in permutations(range(4)))
    assert mean_corr_coef(z, s, method=method) == pytest.approx(best / 4, rel=1e-10)


def test_block_identifiability_asks_both_ways() -> None:
    s = torch.randn(500, 3, dtype=torch.float64, generator=generator(0))
    halves = slice(0, 250), slice(250, 500)
    whole, part, more = s[:, :2] + 0.3 * (2 * s[:, [1, 0]]).sin(), s[:, :1], s
    for z, both in ((whole, (True, True)), (part, (False, True)), (more, (True, False))):
        fit, test = ((z[half], s[half, :2]) for half in halves)
        found = block_identifiability(fit, test, regressor=KernelRidge())
        assert (bool((found.block_from_z > 0.9).all()), bool((found.z_from_block > 0.9).all())) == both


def test_factor_information_is_entropy_less_cross_entropy() -> None:
    labels = [3, 3, 1, 7, 7, 7]
    q = torch.rand(6, 4, dtype=torch.float64, generator=generator(0))
    log_q = (q / q.sum(1, keepdim=True)).log()
    column = {1: 0, 3: 1, 5: 2, 7: 3}
    entropy = -sum(p * math.log(p) for p in (1 / 6, 2 / 6, 3 / 6))
    cross = -sum(float(log_q[i, column[label]]) for i, label in enumerate(labels)) / 6
    found = factor_information(torch.tensor(labels), log_q, classes=torch.tensor([1, 3, 5, 7]))
    assert found.nats == pytest.approx(entropy - cross, rel=1e-12)
    assert found.highest == pytest.approx(entropy, rel=1e-12)
    assert found.uncertainty_reduction_ratio == pytest.approx((entropy - cross) / entropy, rel=1e-12)


def test_info_nce_bound_is_log_n_less_the_smaller_loss() -> None:
    x, y = (torch.randn(9, 4, dtype=torch.float64, generator=generator(seed)) for seed in (0, 1))
    x = x + y
    logits = [[float(torch.cosine_similarity(a, b, dim=0)) / 0.2 for b in y] for a in x]

    def loss(table: list[list[float]]) -> float:
        return sum(math.log(sum(math.exp(v) for v in row)) - row[i] for i, row in enumerate(table)) / 9

    transposed = [list(column) for column in zip(*logits, strict=True)]
    expected = math.log(9) - min(loss(logits), loss(transposed))
    assert info_nce_bound(x, y, temperature=0.2).nats == pytest.approx(expected, rel=1e-12)


def test_gaussian_information_is_the_ratio_of_determinants() -> None:
    root = torch.randn(5, 5, dtype=torch.float64, generator=generator(0))
    covariance = root @ root.T
    a, b = covariance[:2, :2], covariance[2:, 2:]
    expected = 0.5 * math.log(float(torch.det(a) * torch.det(b) / torch.det(covariance)))
    assert gaussian_information(covariance, dim_x=2).nats == pytest.approx(expected, rel=1e-9)
    assert gaussian_information(torch.ones(2, 2), dim_x=1).nats == math.inf


def test_r2_of_a_probe_on_new_items_matches_its_own_prediction() -> None:
    z, y = curved(120, 2)
    fitted = KernelRidge().fit(z[:80], y[:80, :1])
    assert fitted.predict(z[80:]).shape == (40, 1)
    assert float(r2_score(y[80:, :1], fitted.predict(z[80:]))[0]) > 0.5

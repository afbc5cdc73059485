"""Held-out canonical correlations as Hotelling's eigenproblem says them, one half fitted and the other correlated."""

import numpy as np
import pytest
import torch

from vergence.metrics import canonical_spectrum
from vergence.random import named


def slow_directions(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[hotelling1936]: the eigenvectors of S_xx⁻¹ S_xy S_yy⁻¹ S_yx, and what they give on the other side."""
    x, y = x - x.mean(0), y - y.mean(0)
    xx, xy, yy = x.T @ x, x.T @ y, y.T @ y
    squared, a = np.linalg.eig(np.linalg.inv(xx) @ xy @ np.linalg.inv(yy) @ xy.T)
    order = np.argsort(-squared.real)
    a = a.real[:, order]
    return a, np.linalg.inv(yy) @ xy.T @ a


def slow_correlation(a: np.ndarray, b: np.ndarray) -> float:
    mean_a, mean_b = sum(a) / len(a), sum(b) / len(b)
    products, squares_a, squares_b = 0.0, 0.0, 0.0
    for one, other in zip(a, b, strict=True):
        products += (one - mean_a) * (other - mean_b)
        squares_a += (one - mean_a) ** 2
        squares_b += (other - mean_b) ** 2
    return products / (squares_a * squares_b) ** 0.5


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_held_out_correlations_are_those_of_the_eigenproblem(seed: int) -> None:
    g = named(seed, "canonical")
    x = torch.randn(301, 5, generator=g, dtype=torch.float64) @ torch.randn(5, 5, generator=g, dtype=torch.float64)
    y = torch.cat([x[:, :3] * torch.tensor([1.0, 2.0, 0.3]), x[:, :1] ** 2], dim=1)
    y = y + torch.randn(301, 4, generator=g, dtype=torch.float64) * torch.tensor([0.5, 5.0, 2.0, 2.0])
    found = canonical_spectrum(x, y, generator=named(seed, "halves"), n_shuffles=100)
    first = torch.randperm(301, generator=named(seed, "halves")).numpy() < 151
    expected = []
    for fit in (first, ~first):
        a, b = slow_directions(x.numpy()[fit], y.numpy()[fit])
        test = ~fit
        expected.append([slow_correlation(x.numpy()[test] @ a[:, i], y.numpy()[test] @ b[:, i]) for i in range(4)])
    np.testing.assert_allclose([one.value for one in found.strengths], np.mean(expected, 0), rtol=1e-9, atol=1e-12)
    for half in found.held_out:  # the variates are those of the pairs that they say, up to sign and scale
        fit = first if not first[half.rows[0]] else ~first
        a = slow_directions(x.numpy()[fit], y.numpy()[fit])[0]
        for i in range(4):
            assert abs(slow_correlation(x.numpy()[half.rows] @ a[:, i], half.u[:, i].numpy())) == pytest.approx(1.0)

"""Scores and linear probes against definitions written out item by item, and against scikit-learn."""

import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.linear_model import Ridge as SklearnRidge
from sklearn.metrics import matthews_corrcoef as sklearn_matthews
from sklearn.metrics import r2_score as sklearn_r2

from vergence.metrics import Logistic, Ridge, matthews_corrcoef, r2_score
from vergence.random import generator


def slow_matthews(labels: list[int], predictions: list[int]) -> float:
    """Covariance of one-hot vectors of the two sides over the root of the product of their variances."""
    n, classes = len(labels), sorted({*labels, *predictions})
    covariances = {"ab": 0.0, "aa": 0.0, "bb": 0.0}
    for k in classes:
        a = [float(label == k) for label in labels]
        b = [float(prediction == k) for prediction in predictions]
        mean_a, mean_b = sum(a) / n, sum(b) / n
        for i in range(n):
            covariances["ab"] += (a[i] - mean_a) * (b[i] - mean_b)
            covariances["aa"] += (a[i] - mean_a) ** 2
            covariances["bb"] += (b[i] - mean_b) ** 2
    return covariances["ab"] / math.sqrt(covariances["aa"] * covariances["bb"])


@pytest.mark.parametrize("n_classes", [2, 3, 7])
def test_matthews_is_the_correlation_of_one_hot_vectors(n_classes: int) -> None:
    g = generator(n_classes)
    labels = torch.randint(n_classes, (60,), generator=g)
    predictions = labels.where(torch.rand(60, generator=g) < 0.5, torch.randint(n_classes, (60,), generator=g))
    score = matthews_corrcoef(labels, predictions)
    assert score == pytest.approx(slow_matthews(labels.tolist(), predictions.tolist()), rel=1e-12)
    assert score == pytest.approx(sklearn_matthews(labels, predictions), rel=1e-12)


def test_r2_is_one_minus_residual_over_total_squares() -> None:
    targets, predictions = (torch.randn(30, 2, dtype=torch.float64, generator=generator(s)) for s in (0, 1))
    for column, score in enumerate(r2_score(targets, predictions).tolist()):
        truth, guess = targets[:, column].tolist(), predictions[:, column].tolist()
        mean = sum(truth) / len(truth)
        residual = sum((t - p) ** 2 for t, p in zip(truth, guess, strict=True))
        assert score == pytest.approx(1 - residual / sum((t - mean) ** 2 for t in truth), rel=1e-12)
    expected = sklearn_r2(targets, predictions, multioutput="raw_values")
    np.testing.assert_allclose(r2_score(targets, predictions), expected, rtol=1e-12)


def mixture(n: int, dim: int, n_classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Features that a linear classifier separates in part, of very different scales."""
    g = generator(0)
    labels = torch.randint(n_classes, (n,), generator=g)
    means = torch.randn(n_classes, dim, generator=g, dtype=torch.float64)
    z = means[labels] + torch.randn(n, dim, generator=g, dtype=torch.float64)
    return z * torch.logspace(-2, 2, dim, dtype=torch.float64) + 5.0, labels


def standardised(z: torch.Tensor) -> torch.Tensor:
    return (z - z.mean(0)) / z.std(0, correction=0)


@pytest.mark.parametrize(("n_classes", "strength"), [(2, 0.1), (5, 1e-3)])
def test_logistic_reaches_the_minimum_that_scikit_learn_finds(n_classes: int, strength: float) -> None:
    z, labels = mixture(400, 6, n_classes)
    fitted = Logistic(strengths=(strength,), tolerance=1e-15).fit(z, labels)
    # Two classes: scikit-learn's one weight vector is the difference of ours, which a soft-max penalty splits in half.
    inverse = 1 / (strength * len(z)) * (2 if n_classes == 2 else 1)
    expected = LogisticRegression(C=inverse, tol=1e-12, max_iter=10_000).fit(standardised(z), labels)
    np.testing.assert_allclose(
        fitted.log_probabilities(z), expected.predict_log_proba(standardised(z)), atol=2e-5, rtol=1e-5
    )
    likeliest = fitted.log_probabilities(z).topk(2).values
    clear = (likeliest[:, 0] - likeliest[:, 1] > 1e-3).numpy()  # others are decided by rounding
    np.testing.assert_array_equal(fitted.predict(z)[clear], expected.predict(standardised(z))[clear])


def test_ridge_is_the_regression_of_scikit_learn() -> None:
    z, _ = mixture(200, 6, 4)
    targets = torch.randn(200, 3, dtype=torch.float64, generator=generator(1))
    fitted = Ridge(strengths=(0.3,)).fit(z, targets)
    expected = SklearnRidge(alpha=0.3 * len(z)).fit(standardised(z), targets)
    np.testing.assert_allclose(fitted.predict(z), expected.predict(standardised(z)), rtol=1e-9)

"""Predictors for tied data against closed forms and brute force."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from vergence.errors import ConfigError, ShapeError
from vergence.metrics import Eraser, GroupLogistic, equalised_odds_difference, group_accuracy


def tied(n=600, seed=0):
    """Two classes; a cue goes with the label in nine of ten items and is easier to read."""
    draw = np.random.default_rng(seed)
    y = draw.integers(2, size=n)
    s = np.where(draw.random(n) < 0.9, y, 1 - y)
    z = np.stack([y + draw.normal(size=n), 3 * s + draw.normal(size=n) * 0.3, draw.normal(size=n)], axis=1)
    return torch.from_numpy(z), torch.from_numpy(y), torch.from_numpy(s)


def group_losses(fitted, z, y, members):
    log_p = fitted.log_probabilities(z).numpy()
    losses = -log_p[np.arange(len(y)), y.numpy()]
    return np.array([losses[(members == g).numpy()].mean() for g in torch.unique(members)])


def test_the_mean_over_groups_is_regression_weighted_by_the_inverse_of_their_sizes():
    z, y, s = tied()
    members = 2 * y + s
    fitted = GroupLogistic(strength=0.01).fit(z, y, members)
    x = ((z - z.mean(0)) / z.std(0, correction=0)).numpy()
    weights = 1.0 / (4 * np.bincount(members)[members])
    known = LogisticRegression(C=1.0, tol=1e-10, max_iter=5000).fit(x, y, sample_weight=weights / 0.01 * 2)
    # softmax over two classes spreads a weight over both; sklearn's single vector is their difference
    ours = (fitted.weights[:, 1] - fitted.weights[:, 0]).numpy()
    np.testing.assert_allclose(ours, known.coef_[0], rtol=2e-3, atol=2e-3)


def test_group_dro_reaches_the_least_worst_loss_and_no_other_does_better():
    z, y, s = tied()
    members = 2 * y + s
    dro = GroupLogistic(temperature=0.003, strength=1e-4).fit(z, y, members)
    worst = group_losses(dro, z, y, members).max()
    x = np.c_[((z - z.mean(0)) / z.std(0, correction=0)).numpy(), np.ones(len(z))]

    def of(weights):
        losses = np.log1p(np.exp(-(2 * y.numpy() - 1) * (x @ weights)))
        return max(losses[(members == g).numpy()].mean() for g in range(4))

    starts = [np.zeros(4), [*(dro.weights[:, 1] - dro.weights[:, 0]).tolist(), 0.0]]
    found = min(minimize(of, start, method="Nelder-Mead", options={"maxiter": 8000}).fun for start in starts)
    assert worst <= found + 0.003 * np.log(4) + 1e-3
    for other in (GroupLogistic(strength=1e-4).fit(z, y, members), GroupLogistic(strength=1e-4).fit(z, y, 0 * y)):
        assert group_losses(other, z, y, members).max() > worst


@given(seed=st.integers(0, 99), n_values=st.integers(2, 4), spare=st.booleans())
def test_erasure_leaves_no_covariance_and_changes_no_more_than_it_must(seed, n_values, spare):
    draw = np.random.default_rng(seed)
    s = draw.integers(n_values, size=200)
    z = draw.normal(size=(200, 5)) @ draw.normal(size=(5, 5)) + np.eye(n_values)[s] @ draw.normal(size=(n_values, 5))
    if spare:
        z = np.c_[z, z[:, :1]]  # a column that only repeats another
    eraser = Eraser.of(torch.from_numpy(z), torch.from_numpy(s))
    erased = eraser.apply(torch.from_numpy(z)).numpy()
    shown = np.eye(n_values)[s] - np.eye(n_values)[s].mean(0)
    assert np.abs((erased - erased.mean(0)).T @ shown / 200).max() < 1e-8 * np.abs(z).max()
    np.testing.assert_allclose(eraser.apply(torch.from_numpy(erased)).numpy(), erased, atol=1e-7 * np.abs(z).max())
    np.testing.assert_allclose(erased.mean(0), z.mean(0), atol=1e-8 * np.abs(z).max())
    # dropping the span of the covariance, as the obvious projection does, changes at least as much
    covariance = (z - z.mean(0)).T @ shown / 200
    along, singular, _ = np.linalg.svd(covariance, full_matrices=False)
    along = along[:, singular > 1e-10]
    assert np.square(erased - z).sum() <= np.square((z - z.mean(0)) @ along @ along.T).sum() * (1 + 1e-6)


@given(st.lists(st.tuples(*[st.integers(0, 2)] * 3), min_size=1, max_size=40))
def test_rates_by_group_are_those_of_counting(rows):
    y, predicted, s = (np.array(column) for column in zip(*rows, strict=True))
    members = 3 * y + s
    by_hand = [np.mean(predicted[members == g] == y[members == g]) for g in np.unique(members)]
    np.testing.assert_allclose(group_accuracy(y, predicted, members).numpy(), by_hand)
    gaps = [0.0]
    for label in range(3):
        for k in range(3):
            rates = [
                np.mean(predicted[(y == label) & (s == v)] == k) for v in range(3) if ((y == label) & (s == v)).any()
            ]
            gaps.append(max(rates) - min(rates) if rates else 0.0)
    assert equalised_odds_difference(y, predicted, s) == pytest.approx(max(gaps))


def test_what_does_not_pair_is_refused():
    with pytest.raises(ShapeError, match="members"):
        GroupLogistic().fit(torch.zeros(3, 2), torch.zeros(3).long(), torch.zeros(2).long())
    with pytest.raises(ConfigError, match="temperature"):
        GroupLogistic(temperature=0.0)
    with pytest.raises(ShapeError, match="columns"):
        Eraser.of(torch.eye(3), torch.tensor([0, 1, 0])).apply(torch.eye(2))

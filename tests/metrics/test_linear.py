"""Linear probes: what they standardise, how they choose, what they do with hard data."""

import time

import numpy as np
import pytest
import torch

from vergence.errors import ConfigError, ShapeError
from vergence.metrics import Logistic, Ridge, matthews_corrcoef, r2_score
from vergence.metrics.folds import assign_folds
from vergence.random import generator


def classes(n: int, dim: int, n_classes: int, *, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    g = generator(seed)
    labels = torch.randint(n_classes, (n,), generator=g)
    return torch.randn(n_classes, dim, generator=g)[labels] * 2 + torch.randn(n, dim, generator=g), labels


def test_a_separable_factor_is_recovered_on_new_items() -> None:
    z, labels = classes(1200, 16, 5)
    fitted = Logistic().fit(z[:600], labels[:600])
    assert matthews_corrcoef(labels[600:], fitted.predict(z[600:])) > 0.95


def test_an_independent_factor_is_not_recovered_and_gets_the_strongest_penalty() -> None:
    z = torch.randn(1200, 16, generator=generator(0))
    labels = torch.randint(4, (1200,), generator=generator(1))
    fitted = Logistic().fit(z[:600], labels[:600])
    assert fitted.strength == max(Logistic().strengths)
    assert abs(matthews_corrcoef(labels[600:], fitted.predict(z[600:]))) < 0.1
    noise = torch.randn(1200, 2, generator=generator(2))
    ridge = Ridge().fit(z[:600], noise[:600])
    assert ridge.strengths == (1.0, 1.0)
    assert bool((r2_score(noise[600:], ridge.predict(z[600:])).abs() < 0.05).all())


def test_each_target_gets_its_own_strength() -> None:
    g = generator(0)
    z = torch.randn(300, 100, generator=g)
    clean = z.sum(1)
    noisy = z[:, 0] + 5 * torch.randn(300, generator=g)
    strengths = Ridge().fit(z, torch.stack([clean, noisy], dim=1)).strengths
    assert strengths[0] < strengths[1]


def test_scale_and_shift_of_features_change_nothing() -> None:
    z, labels = classes(300, 6, 3)
    moved = z * torch.logspace(-3, 3, 6) + torch.arange(6)
    plain, same = Logistic().fit(z, labels).log_probabilities(z), Logistic().fit(moved, labels).log_probabilities(moved)
    torch.testing.assert_close(same, plain, rtol=1e-2, atol=1e-2)
    torch.testing.assert_close(
        Ridge().fit(z, z[:, :2] ** 2).predict(z), Ridge().fit(moved, z[:, :2] ** 2).predict(moved), rtol=1e-4, atol=1e-4
    )


def test_fitting_twice_gives_the_same_bits() -> None:
    z, labels = classes(400, 16, 4)
    one, other = (Logistic().fit(z, labels) for _ in range(2))
    assert torch.equal(one.weights, other.weights)


def test_labels_may_be_any_integers_and_arrays_may_be_numpy_of_half_width() -> None:
    z, labels = classes(300, 8, 3)
    named = torch.tensor([-7, 3, 1000])[labels]
    fitted = Logistic().fit(z.numpy().astype(np.float16), named.numpy())
    assert set(fitted.predict(z).tolist()) <= {-7, 3, 1000}
    assert matthews_corrcoef(named, fitted.predict(z)) > 0.9


def test_constant_and_duplicated_features_and_more_features_than_rows_are_no_trouble() -> None:
    z, labels = classes(60, 8, 3)
    wide = torch.cat([z, z, torch.full((60, 1), 0.1), torch.randn(60, 100, generator=generator(3))], dim=1)
    assert bool(Logistic().fit(wide, labels).log_probabilities(wide).isfinite().all())
    assert bool(Ridge().fit(wide, z).predict(wide).isfinite().all())


def test_one_class_gives_a_constant_predictor() -> None:
    z = torch.randn(30, 4, generator=generator(0))
    assert Logistic().fit(z, torch.full((30,), 6)).predict(z).tolist() == [6] * 30


def test_a_class_with_a_single_item_does_not_stop_the_fit() -> None:
    z, labels = classes(60, 4, 3)
    labels[7] = 99
    assert 99 in Logistic().fit(z, labels).classes.tolist()


def test_groups_are_held_out_whole_and_classes_spread() -> None:
    labels = torch.arange(60) // 20
    groups = torch.arange(60) // 2
    fold = assign_folds(groups, 3, strata=labels)
    assert bool((fold[::2] == fold[1::2]).all())
    for k in range(3):
        counts = torch.bincount(labels[fold == k], minlength=3)
        assert int(counts.max() - counts.min()) <= 2


def test_grouped_folds_choose_what_holds_for_new_groups() -> None:
    """Features that name the group but say nothing of the class invite a weak penalty, unless groups are held out."""
    g = generator(0)
    groups = torch.arange(300) // 10
    labels = torch.randint(2, (30,), generator=g)[groups]
    z = torch.randn(30, 60, generator=g)[groups] + 0.1 * torch.randn(300, 60, generator=g)
    assert Logistic().fit(z, labels, groups=groups).strength > Logistic().fit(z, labels).strength


def test_a_hundred_classes_take_a_few_seconds_at_most() -> None:
    z, labels = classes(2500, 128, 100)
    start = time.process_time()
    Logistic().fit(z, labels, groups=torch.arange(2500) // 5)
    assert time.process_time() - start < 10  # 1.2 s on one idle core; room for a busy one


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Ridge(strengths=()), ConfigError, "strengths must hold at least one"),
        (lambda: Logistic(strengths=(0.0,)), ConfigError, "strengths must be a finite number > 0; got 0.0"),
        (lambda: Logistic(n_folds=1), ConfigError, r"n_folds must be >= 2 \(one fold is held out\); got 1"),
        (lambda: Logistic(tolerance=0.0), ConfigError, "tolerance must be a finite number > 0"),
        (
            lambda: Ridge().fit(torch.zeros(4, 2), torch.zeros(3)),
            ShapeError,
            r"rows must pair one to one, and there must be some; got z \(4, 2\), targets \(3,\)",
        ),
        (
            lambda: Ridge().fit(torch.full((9, 2), torch.nan), torch.zeros(9)),
            ShapeError,
            "z holds 18 entries that are NaN",
        ),
        (
            lambda: Logistic().fit(torch.zeros(4, 2), torch.tensor([0, 1, 0, 1]), groups=torch.tensor([0, 0, 1, 1])),
            ShapeError,
            "3 folds need at least 3 groups of items; got 2",
        ),
    ],
)
def test_what_cannot_be_fitted_is_named(call, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()

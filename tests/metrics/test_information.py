"""Estimates of information: bounds, flags and nulls."""

import math

import pytest
import torch

from vergence.errors import ConfigError, ShapeError
from vergence.metrics import (
    Logistic,
    factor_information,
    factor_information_null,
    gaussian_information,
    info_nce_bound,
)
from vergence.random import generator


def classified(strength: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Held-out labels, and log-probabilities by a probe of features that depend on them."""
    g = generator(0)
    labels = torch.randint(4, (800,), generator=g)
    z = strength * torch.nn.functional.one_hot(labels, 4) + torch.randn(800, 4, generator=g)
    fitted = Logistic().fit(z[:400], labels[:400])
    return labels[400:], fitted.log_probabilities(z[400:]), fitted.classes


def test_information_grows_to_the_entropy_and_beats_its_null_only_if_there_is_some() -> None:
    found = [factor_information(*classified(strength)[:2], classes=torch.arange(4)) for strength in (0.0, 2.0, 20.0)]
    assert found[0].nats < 0.02 < found[1].nats < found[2].nats <= found[2].highest
    assert found[2].uncertainty_reduction_ratio > 0.99
    nulls = [
        factor_information_null(labels, log_q, classes=classes, generator=generator(1), n_shuffles=99)
        for labels, log_q, classes in map(classified, (0.0, 2.0))
    ]
    assert nulls[1].p_value == pytest.approx(0.02)
    assert nulls[1].mean < 0 < nulls[1].observed
    assert nulls[0].p_value > 0.05


def test_a_confident_classifier_that_is_wrong_is_flagged() -> None:
    labels = torch.tensor([0, 1, 0, 1])
    log_q = torch.tensor([[-9.0, -1e-4], [-1e-4, -9.0]]).repeat(2, 1)
    found = factor_information(labels, log_q, classes=torch.arange(2))
    assert found.nats < 0
    assert not found.possible
    assert found.bound == "lower"


def test_a_class_that_the_classifier_does_not_know_makes_it_infinitely_wrong() -> None:
    found = factor_information(torch.tensor([0, 5]), torch.zeros(2, 1), classes=torch.tensor([0]))
    assert found.nats == -math.inf


def test_one_class_holds_no_information() -> None:
    found = factor_information(torch.ones(5, dtype=torch.long), torch.zeros(5, 1), classes=torch.tensor([1]))
    assert (found.nats, found.highest, found.uncertainty_reduction_ratio) == (0.0, 0.0, 0.0)


def test_the_contrastive_bound_stays_below_the_gaussian_truth_and_below_log_n() -> None:
    g = generator(0)
    x = torch.randn(2000, 1, generator=g, dtype=torch.float64)
    y = 0.8 * x + 0.6 * torch.randn(2000, 1, generator=g, dtype=torch.float64)
    truth = gaussian_information(torch.tensor([[1.0, 0.8], [0.8, 1.0]]), dim_x=1).nats
    circle = [torch.cat([(0.5 * side).cos(), (0.5 * side).sin()], dim=1) for side in (x, y)]
    assert 0.2 < info_nce_bound(*circle, temperature=0.2).nats < truth
    assert info_nce_bound(torch.eye(50), torch.eye(50), temperature=0.01).nats == pytest.approx(math.log(50))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: factor_information(torch.zeros(2, dtype=torch.long), torch.ones(2, 1), classes=torch.tensor([0])),
            ShapeError,
            "log_probabilities must be <= 0 and not NaN; got a largest of 1.0",
        ),
        (
            lambda: factor_information(torch.zeros(2, dtype=torch.long), torch.zeros(2, 2), classes=torch.tensor([0])),
            ShapeError,
            r"shapes differ: labels .*; .classes. must be one and the same",
        ),
        (lambda: info_nce_bound(torch.eye(1), torch.eye(1)), ShapeError, "InfoNCE needs at least 2 pairs"),
        (lambda: info_nce_bound(torch.eye(3), torch.eye(3), temperature=0.0), ConfigError, "temperature must be"),
        (
            lambda: gaussian_information(torch.eye(2), dim_x=2),
            ConfigError,
            r"dim_x must be <= 1 \(a second block has to be left\); got 2",
        ),
        (lambda: gaussian_information(torch.tensor([[1.0, 0.5], [0.1, 1.0]]), dim_x=1), ShapeError, "symmetric"),
        (
            lambda: gaussian_information(torch.tensor([[1.0, 2.0], [2.0, 1.0]]), dim_x=1),
            ShapeError,
            "not positive semi-definite: a correlation of 2.0",
        ),
    ],
)
def test_impossible_inputs_are_named(call, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()

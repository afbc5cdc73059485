"""Bootstrap intervals: whole clusters, the range of the score, and what happens where nothing varies."""

import time

import pytest
import torch
from benchmarks.metrics_statistics import Setting, settings

from vergence.errors import ConfigError, ShapeError
from vergence.metrics import (
    Interval,
    cka,
    cka_interval,
    cluster_bootstrap,
    matthews_corrcoef,
    r2_score,
    share_interval,
)
from vergence.random import generator, named


def interval(score, labels, predictions, clusters=None, *, seed: int = 0, **options) -> Interval:
    return cluster_bootstrap(score, labels, predictions, clusters, generator=generator(seed), **options)


def noisy_labels(n: int, right: float, *, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    g = generator(seed)
    labels = torch.randint(3, (n,), generator=g)
    return labels, labels.where(torch.rand(n, generator=g) < right, torch.randint(3, (n,), generator=g))


def test_the_interval_holds_the_score_and_narrows_with_more_items() -> None:
    widths = []
    for n in (100, 10_000):
        labels, predictions = noisy_labels(n, 0.6)
        low, high = interval(matthews_corrcoef, labels, predictions)
        assert low < matthews_corrcoef(labels, predictions) < high
        widths.append(high - low)
    assert widths[1] < widths[0] / 5


def test_copies_of_an_item_in_one_cluster_add_no_certainty() -> None:
    labels, predictions = noisy_labels(200, 0.6)
    truth = torch.randn(200, generator=generator(1))
    guess = truth + torch.randn(200, generator=generator(2))
    copied = torch.arange(200).repeat_interleave(10)
    for score, a, b in [(matthews_corrcoef, labels, predictions), (r2_score, truth, guess)]:
        one = interval(score, a, b)
        tenfold = interval(score, a[copied], b[copied], copied)
        assert tenfold == pytest.approx(one, abs=1e-9)
        naive = interval(score, a[copied], b[copied])
        assert naive.high - naive.low < (one.high - one.low) / 2


def test_the_seed_decides_and_a_wider_level_holds_a_narrower_one() -> None:
    labels, predictions = noisy_labels(200, 0.6)
    narrow = interval(matthews_corrcoef, labels, predictions, level=0.8)
    wide = interval(matthews_corrcoef, labels, predictions, level=0.99)
    assert narrow == interval(matthews_corrcoef, labels, predictions, level=0.8)
    assert wide.low < narrow.low < narrow.high < wide.high


@pytest.mark.parametrize("n_classes", [2, 5])
def test_a_perfect_score_on_few_concepts_is_not_certain(n_classes: int) -> None:
    labels = torch.arange(100) % n_classes
    few = interval(matthews_corrcoef, labels, labels, torch.arange(100) // 10)
    many = interval(matthews_corrcoef, labels, labels)
    assert few.high == many.high == 1.0
    assert 0.5 < few.low < many.low < 1.0


def test_a_few_errors_give_an_interval_around_the_score_inside_the_range() -> None:
    labels = torch.arange(100) % 2
    predictions = labels.clone()
    predictions[:2] = 1 - predictions[:2]
    low, high = interval(matthews_corrcoef, labels, predictions)
    assert low < matthews_corrcoef(labels, predictions) < high <= 1.0


def test_where_nothing_varies_the_value_is_the_documented_one() -> None:
    labels, constant = torch.arange(30) % 3, torch.zeros(30, dtype=torch.long)
    truth = torch.randn(30, generator=generator(0))
    assert interval(matthews_corrcoef, labels, constant) == (0.0, 0.0)
    assert interval(matthews_corrcoef, constant, labels) == (-1.0, 1.0)
    assert interval(matthews_corrcoef, labels, labels, constant) == (-1.0, 1.0)
    assert interval(r2_score, truth, truth) == (1.0, 1.0)
    assert interval(r2_score, truth, truth, constant) == (float("-inf"), 1.0)
    assert interval(r2_score, torch.ones(30), truth) == (float("-inf"), 1.0)


def test_two_thousand_resamples_of_a_hundred_classes_take_milliseconds() -> None:
    g = generator(0)
    labels, predictions = torch.randint(100, (2, 2500), generator=g)
    start = time.process_time()
    cluster_bootstrap(matthews_corrcoef, labels, predictions, torch.arange(2500) // 5, generator=g)
    assert time.process_time() - start < 1.0  # 0.03 s on one idle core


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"level": 1.0}, ConfigError, r"level must be inside \(0, 1\); got 1.0"),
        ({"n_resamples": 10}, ConfigError, r"n_resamples must be >= 100 \(tail percentiles need them\); got 10"),
        ({"clusters": torch.zeros(3, dtype=torch.long)}, ShapeError, r"got labels \(20,\), .* clusters \(3,\)"),
        ({"score": max}, ConfigError, "score must be one of matthews_corrcoef, r2_score, whose sums are known; got"),
    ],
)
def test_bad_arguments_are_named(options, error: type[Exception], message: str) -> None:
    labels, predictions = noisy_labels(20, 0.5)
    with pytest.raises(error, match=message):
        interval(**{"score": matthews_corrcoef, "labels": labels, "predictions": predictions, **options})


def test_a_share_of_many_queries_has_the_binomial_interval_and_clusters_widen_it() -> None:
    hits = (torch.rand(400, generator=generator(0)) < 0.7).double()
    low, high = share_interval(hits)
    assert high - low == pytest.approx(2 * 1.96 * (0.21 / 400) ** 0.5, rel=0.1)
    assert low < float(hits.mean()) < high
    wide = share_interval(hits.repeat_interleave(5), torch.arange(400).repeat_interleave(5))
    assert wide == pytest.approx((low, high), abs=0.01)


def test_a_share_of_none_or_all_reaches_the_end_of_the_range_and_is_not_certain() -> None:
    assert share_interval(torch.ones(50)) == (pytest.approx(0.95, abs=0.03), 1.0)
    assert share_interval(torch.zeros(50)) == (0.0, pytest.approx(0.05, abs=0.03))
    assert share_interval(torch.ones(50), torch.zeros(50, dtype=torch.long)) == (0.0, 1.0)


def test_the_jackknife_of_cka_leaves_out_groups_by_their_sums() -> None:
    g = generator(0)
    x = torch.randn(60, 4, generator=g, dtype=torch.float64)
    y = x + torch.randn(60, 4, generator=g, dtype=torch.float64)
    low, high = cka_interval(x, y, generator=g)
    full = cka(x, y, unbiased=True)
    keep = ~torch.eye(60, dtype=torch.bool)
    pseudo = torch.tensor([60 * full - 59 * cka(x[rows], y[rows], unbiased=True) for rows in keep])
    assert (low + high) / 2 == pytest.approx(float(pseudo.mean()), rel=1e-6)
    assert (high - low) / 2 == pytest.approx(2.001 * float(pseudo.std()) / 60**0.5, rel=1e-3)


def test_cka_of_a_constant_is_certain_and_of_equal_sides_is_one() -> None:
    x = torch.randn(60, 4, generator=generator(0))
    assert cka_interval(x, torch.ones(60, 2), generator=generator(1)) == (0.0, 0.0)
    assert cka_interval(x, x, generator=generator(1)) == pytest.approx((1.0, 1.0), abs=1e-9)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: share_interval(torch.tensor([0.5, 1.5])), ShapeError, r"values must lie in \[0, 1\]; got 0.5..1.5"),
        (lambda: share_interval(torch.ones(3), level=0.0), ConfigError, r"level must be inside \(0, 1\)"),
        (
            lambda: cka_interval(torch.ones(5, 2), torch.ones(5, 2), generator=generator(0)),
            ShapeError,
            "a jackknife of CKA needs at least 10 rows; got 5",
        ),
        (
            lambda: cka_interval(torch.ones(50, 2), torch.ones(50, 2), generator=generator(0), n_groups=5),
            ConfigError,
            "n_groups must be >= 10; got 5",
        ),
    ],
)
def test_shares_and_cka_name_bad_arguments(call, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


@pytest.mark.slow
@pytest.mark.parametrize("setting", settings(), ids=lambda setting: setting.name)
def test_intervals_hold_the_truth_about_as_often_as_they_say(setting: Setting) -> None:
    """A small version of the benchmark: 60 sets, of which 95 % intervals should miss three; eleven is past chance."""
    intervals = [setting.interval(named(1, setting.name, i)) for i in range(60)]
    assert sum(low <= setting.truth() <= high for low, high in intervals) >= 50

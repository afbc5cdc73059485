"""Differences of scores: float64 references, identical sides, coverage in simulation, and what is refused."""

from math import sqrt

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t
from torch import Tensor

from vergence.errors import ShapeError
from vergence.metrics import canonical_spectrum, cka
from vergence.metrics.differences import (
    FEW,
    Limits,
    Paired,
    cka_difference,
    paired_scores,
    share_of_sums,
    strength_differences,
    unpaired_difference,
)


def stream(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def shares(before: Tensor, after: Tensor, clusters: Tensor | None = None, *, seed: int = 0, n: int = 2000) -> Paired:
    sides = (torch.stack([side, torch.ones_like(side)], dim=-1)[:, None] for side in (before.double(), after.double()))
    jump = 1 / len(before)
    return paired_scores(*sides, share_of_sums, clusters, jump=jump, generator=stream(seed), n_resamples=n)


@given(seed=st.integers(0, 99), n=st.integers(2, 60), clusters=st.integers(2, 12))
@settings(max_examples=30, deadline=None)
def test_scores_are_those_of_the_items_and_sides_that_trade_places_change_the_sign(
    seed: int, n: int, clusters: int
) -> None:
    before, after = (torch.rand(2, n, generator=stream(seed)) < 0.6).double()
    members = torch.arange(n) % min(n, clusters)
    found, other = shares(before, after, members), shares(after, before, members)
    assert float(found.before.value) == pytest.approx(float(before.mean()), abs=1e-12)
    assert float(found.difference.value) == pytest.approx(float(after.mean() - before.mean()), abs=1e-12)
    assert float(other.difference.value) == pytest.approx(-float(found.difference.value), abs=1e-12)
    wanted = sum(bool(before[members == k].sum() != after[members == k].sum()) for k in range(found.clusters))
    assert int(found.differing) == wanted


def test_where_few_clusters_differ_the_limits_are_those_of_the_loop() -> None:
    before = (torch.rand(40, generator=stream(0)) < 0.7).double()
    after = before.clone()
    after[:3] = 1 - after[:3]
    found = shares(before, after).difference
    changes = [float(b - a) for a, b in zip(before, after, strict=True)]
    without = [(sum(changes) - one) / 39 for one in changes]
    centre = sum(without) / 40
    variance = 39 / 40 * sum((one - centre) ** 2 for one in without)
    reach = float(t.ppf(0.975, 39)) * sqrt(variance + 2 / 40**2)
    assert FEW > 3
    assert float(found.low) == pytest.approx(sum(changes) / 40 - reach, rel=1e-12)
    assert float(found.high) == pytest.approx(sum(changes) / 40 + reach, rel=1e-12)


def test_the_same_answers_differ_by_nothing_and_the_interval_says_what_others_might() -> None:
    answers = (torch.rand(200, generator=stream(0)) < 0.7).double()
    found = shares(answers, answers)
    assert float(found.difference.value) == 0.0
    assert int(found.differing) == 0
    assert -0.03 < float(found.difference.low) < 0 < float(found.difference.high) < 0.03


@pytest.mark.parametrize(("n", "flipped", "size"), [(100, 0.3, 1), (200, 0.03, 1), (300, 0.3, 3)])
def test_intervals_cover_the_difference(n: int, flipped: float, size: int) -> None:
    g = stream(1)

    def drawn(items: int) -> tuple[Tensor, Tensor, Tensor]:
        groups = items // size
        members = torch.arange(items) // size
        hard = torch.rand(groups, generator=g)[members]
        before = (torch.rand(items, generator=g) < 0.4 + 0.5 * hard).double()
        changed = (torch.rand(groups, generator=g) < flipped)[members]
        after = torch.where(changed, (torch.rand(items, generator=g) < 0.5).double(), before)
        return before, after, members

    before, after, _ = drawn(600_000)
    true = float((after - before).mean())
    limits = [shares(*drawn(n), seed=k, n=400).difference for k in range(150)]
    covered = np.mean([float(one.low) <= true <= float(one.high) for one in limits])
    assert covered >= 0.9


def test_limits_of_scores_that_come_alone_are_those_of_the_published_example() -> None:
    # Newcombe (1998), method 10: 56/70 against 48/80, difference .2, limits .0524 and .3339.
    one, other = Limits(*torch.tensor([[0.6], [0.4904], [0.7004]])), Limits(*torch.tensor([[0.8], [0.6918], [0.8775]]))
    value, low, high = (float(x) for x in unpaired_difference(one, other))
    assert (round(value, 3), round(low, 3), round(high, 3)) == (0.2, 0.052, 0.334)


def test_the_difference_of_cka_is_that_of_both_and_nothing_where_both_are_one() -> None:
    x, noise = torch.randn(2, 120, 5, generator=stream(0), dtype=torch.float64)
    near, far = (x, x + noise / 2), (x, x + 2 * noise)
    found = cka_difference(near, far, generator=stream(1))
    wanted = [float(cka(*pair, unbiased=True)) for pair in (near, far)]
    assert [float(found.before.value), float(found.after.value)] == pytest.approx(wanted, abs=1e-10)
    assert float(found.difference.high) < 0
    same = cka_difference(near, near, torch.arange(120) // 4, generator=stream(1))
    assert [float(one) for one in same.difference] == [0.0, 0.0, 0.0]
    with pytest.raises(ShapeError, match="needs ten clusters"):
        cka_difference(near, near, torch.arange(120) // 60, generator=stream(1))


def test_a_direction_that_texts_stop_to_speak_of_falls_and_the_others_stay() -> None:
    s, noise = torch.randn(2, 1500, 3, generator=stream(0), dtype=torch.float64)
    small = torch.tensor([0.1, 0.3, 0.6], dtype=torch.float64)
    texts = [s + noise * small, s * torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64) + noise * small]
    spectra = [canonical_spectrum(s, one, generator=stream(2)) for one in texts]
    found = strength_differences(*spectra).difference
    assert float(found.high[2]) < -0.5
    assert float(found.low[0]) <= 0 <= float(found.high[0])
    same = strength_differences(spectra[0], spectra[0])
    assert bool((same.difference.value == 0).all())
    other = canonical_spectrum(s, texts[0], generator=stream(3))
    with pytest.raises(ShapeError, match="same pairs"):
        strength_differences(spectra[0], other)


def test_answers_of_other_items_are_refused() -> None:
    with pytest.raises(ShapeError, match="of the same items"):
        shares(torch.ones(4), torch.ones(5))

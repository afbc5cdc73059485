"""Which images a person is asked about, and what their answers leave open in an audit."""

from dataclasses import replace
from itertools import pairwise, product

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t

from vergence import Factor, FactorSpace
from vergence.corpus import DetectorError, estimate_misalignment, lexicon_from_factors
from vergence.corpus.asking import UNSURE, allocate, answers_needed, draw, planned_width, strata_of
from vergence.corpus.errata import NONE, Stratum
from vergence.errors import ConfigError

VALUES = ("a", "b", "c")
RATE, ENDS = ("selection", "wrong_value"), ("", "_low", "_high")
STRATA = (
    Stratum("a", 100, {"a": 14, "b": 3, NONE: 1}),
    Stratum("a", 200, {"a": 20}),
    Stratum("b", 150, {"b": 22, "c": 3, "a": 1}),
    Stratum("c", 120, {"c": 30, "b": 2}),
    Stratum("c", 30, {}),
)


def test_answers_are_given_out_so_that_no_other_way_tells_more() -> None:
    images, n = [9, 30, 4, 16, 0, 2], 20
    weights = [UNSURE[h % 3] ** 2 * there for h, there in enumerate(images)]

    def variance(given) -> float:
        return sum(weight / m for weight, m, there in zip(weights, given, images, strict=True) if there)

    ways = product(*(range(min(2, there), there + 1) for there in images))
    best = min(variance(given) for given in ways if sum(given) == n)
    assert variance(allocate(images, n)) == pytest.approx(best, rel=1e-12)
    steps = [allocate(images, m) for m in range(11, 62)]
    assert all((np.diff(pair, axis=0) >= 0).all() for pair in pairwise(steps))
    assert steps[-1] == images


def test_as_many_are_needed_as_make_the_interval_so_narrow_and_no_fewer() -> None:
    images = [400, 300, 200, 90, 50, 10]
    n = answers_needed(images, 0.12)
    assert planned_width(images, allocate(images, n)) <= 0.12 < planned_width(images, allocate(images, n - 1))
    assert planned_width(images, images) == 0
    share = np.array(images) / sum(images)
    spread = (share**2 / 4 * (1 / np.array(allocate(images, n)) - 1 / np.array(images))).sum()
    assert planned_width(images, allocate(images, n)) == pytest.approx(2 * 1.959964 * spread**0.5, rel=1e-6)
    with pytest.raises(ConfigError, match="width must be inside"):
        answers_needed(images, 0)


def test_the_least_sure_are_a_stratum_and_what_has_no_label_is_not_asked_about() -> None:
    labels, margins = np.repeat([0, 1, -1], 30), np.tile(np.arange(30) / 30, 3)
    strata = strata_of(labels, margins)
    assert [int((strata == h).sum()) for h in range(-1, 6)] == [30, 10, 10, 10, 10, 10, 10]
    assert margins[strata == 0].max() < margins[strata == 1].min()
    asked = draw(strata, 24, generator=np.random.default_rng(0))
    assert len(set(asked.tolist())) == 24
    assert (strata[asked] >= 0).all()
    assert set(asked) < set(draw(strata, 40, generator=np.random.default_rng(0)))


def test_rates_are_those_of_weighted_answers_and_their_spread_that_of_redrawn_ones() -> None:
    detector = DetectorError.from_sample(VALUES, STRATA)
    scale = 150 / 120  # the stratum without an answer is like the other of its label
    counts = np.array(
        [
            [100 * 14 / 18 + 200, 150 / 26, 0],
            [100 * 3 / 18, 150 * 22 / 26, 120 * scale * 2 / 32],
            [0, 150 * 3 / 26, 120 * scale * 30 / 32],
        ]
    )
    np.testing.assert_allclose(detector.confusion, counts / counts.sum(axis=1, keepdims=True), rtol=1e-12)
    np.testing.assert_allclose(detector.errors.sum(axis=2), 0, atol=1e-12)
    many = [replace(one, images=10**7, answers={k: 2000 * n for k, n in one.answers.items()}) for one in STRATA]
    detector = DetectorError.from_sample(VALUES, many)
    rng, drawn = np.random.default_rng(0), []
    for _ in range(400):
        again = []
        for one in many:
            names, seen = list(one.answers), np.array([*one.answers.values()])
            redrawn = rng.multinomial(seen.sum(), seen / seen.sum()) if names else []
            again.append(replace(one, answers=dict(zip(names, map(int, redrawn), strict=True))))
        drawn.append(DetectorError.from_sample(VALUES, again).confusion)
    np.testing.assert_allclose((detector.errors**2).sum(axis=0) ** 0.5, np.std(drawn, axis=0), rtol=0.15, atol=2e-5)


def test_intervals_widen_by_as_much_as_the_rates_may_be_off() -> None:
    rng, n = np.random.default_rng(0), 3000
    lexicon = lexicon_from_factors(FactorSpace((Factor("tone", VALUES),)))
    every = [  # every rate above 0, so that it can be a little less
        replace(one, answers={value: one.answers.get(value, 0) + 1 for value in VALUES}) for one in STRATA
    ]
    errors = 0.2 * DetectorError.from_sample(VALUES, every).errors
    known = replace(DetectorError.from_sample(VALUES, every), errors=None)
    shown = rng.integers(0, 3, n)
    told = np.array([rng.choice(3, p=known.confusion[one]) for one in shown])
    said = np.where(rng.random(n) < 0.4, rng.integers(0, 3, n), shown)
    captions = [VALUES[one] if speaks else "thing" for one, speaks in zip(said, rng.random(n) < 0.6, strict=True)]
    labels = pd.DataFrame({"tone": np.array(VALUES, object)[told]})

    def rates(detector: DetectorError) -> pd.DataFrame:
        found = estimate_misalignment(captions, labels, lexicon, detectors={"tone": detector})
        return pd.concat([found.factors, found.values])[[f"{r}{e}" for r in RATE for e in ENDS]].astype(float)

    plain, wide = rates(known), rates(replace(known, errors=errors))
    z = t.ppf(0.975, 0.75 * n)  # all but exactly: intervals are those of three quarters of the captions, or of all
    step = 1e-3
    moved = [
        (replace(known, confusion=known.confusion + step * one), replace(known, confusion=known.confusion - step * one))
        for one in errors
    ]
    slopes = [(whole_rates(rates, up) - whole_rates(rates, down)) / (2 * step) for up, down in moved]
    for rate, added in zip(RATE, np.sum(np.square(slopes), axis=0), strict=True):
        halves = [(table[f"{rate}_high"] - table[f"{rate}_low"]).to_numpy()[0] / 2 for table in (plain, wide)]
        assert halves[1] ** 2 - halves[0] ** 2 == pytest.approx(z**2 * added, rel=0.05, abs=1e-9)
    assert (wide["selection_high"] - wide["selection_low"] > plain["selection_high"] - plain["selection_low"])[1:].all()


def whole_rates(rates, detector: DetectorError) -> np.ndarray:
    """Those of the factor."""
    return rates(detector)[list(RATE)].to_numpy()[0]

"""The spectrum of captions: what it is of exact tables, and how often its intervals hold the truth."""

import numpy as np
import pandas as pd
import pytest

from vergence import Factor, FactorSpace, Misalignment
from vergence.corpus import lexicon_from_factors
from vergence.corpus.errata import DetectorError, LexiconError
from vergence.corpus.estimate import BiasEstimate, estimate_misalignment
from vergence.corpus.strength import Tables, strengths
from vergence.theory import of_table, spectrum

VALUES = tuple("vwxyz")


def lexicon(k: int):
    return lexicon_from_factors(FactorSpace((Factor("f", tuple(2 * value for value in VALUES[:k])),)))


def estimate(said: np.ndarray, shown: np.ndarray, k: int, **options) -> BiasEstimate:
    """Captions that say a value each, or with the code k nothing."""
    texts = ["a" if code == k else 2 * VALUES[code] for code in said]
    labels = pd.DataFrame({"f": [2 * VALUES[code] for code in shown]})
    return estimate_misalignment(texts, labels, lexicon(k), **options)


def drawn(joint: np.ndarray, n: int, rng: np.random.Generator) -> Tables:
    """One image and caption a cluster."""
    cells = rng.choice(joint.size, n, p=joint.ravel())
    groups = np.zeros((min(n, 100), joint.size))
    np.add.at(groups, (np.arange(n) % len(groups), cells), 1)
    return Tables(groups.reshape(-1, *joint.shape), np.zeros((0, *joint.shape)), n)


def channel(k: int, *, mention: float = 1.0, redraw: float = 0.0, swap: float = 0.0) -> np.ndarray:
    said = (1 - redraw) * ((1 - swap) * np.eye(k) + swap * np.roll(np.eye(k), 1, axis=0)) + redraw / k
    return np.vstack([mention * said, np.full((1, k), 1 - mention)])


CASES = {
    "omitted in half": {"mention": 0.5},
    "redrawn in half": {"redraw": 0.5},
    "both": {"mention": 0.5, "redraw": 0.5},
    "redrawn always": {"redraw": 1.0},
    "swapped": {"swap": 0.9},
    "always swapped": {"swap": 1.0},
    "exact": {},
    "never mentioned": {"mention": 0.0},
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("k", [2, 5])
def test_intervals_of_sampled_tables_hold_the_true_strengths(case: str, k: int) -> None:
    """The whole grid is `python -m benchmarks audit_spectrum`; that 50 of 60 hold what 95 % should has p = 1e-4."""
    for shares in (np.full(k, 1 / k), 0.6 ** np.arange(k) / (0.6 ** np.arange(k)).sum()):
        joint = channel(k, **CASES[case]) * shares
        truth = np.zeros(k - 1)
        found = of_table(joint)
        truth[: len(found)] = found[: k - 1]
        held = np.zeros(k - 1)
        for seed in range(60):
            _, low, high = strengths(drawn(joint, 300, np.random.default_rng(seed)), level=0.95).T
            held += (low <= truth + 1e-9) & (truth <= high + 1e-9)
        assert held.min() >= 50, (case, k, held)


def test_strengths_of_large_samples_are_those_of_the_theory() -> None:
    rng = np.random.default_rng(0)
    for options in CASES.values():
        joint = channel(4, **options) / 4
        found = strengths(drawn(joint, 200_000, rng), level=0.95)
        space = FactorSpace((Factor("f", VALUES[:4]),))
        np.testing.assert_allclose(found[:, 0], np.pad(of_table(joint), (0, 3))[:3], atol=0.02)
        if "swap" not in options:
            bias = Misalignment.of_rates({"f": options.get("mention", 1.0)}, redraw={"f": options.get("redraw", 0.0)})
            exact = spectrum(bias, space)
            assert found[0, 0] == pytest.approx(exact["strength"].max(), abs=0.02)


def test_a_systematic_swap_is_strong_and_a_blind_redraw_weak() -> None:
    rng = np.random.default_rng(0)
    shown = rng.integers(0, 3, 900)
    swapped, blind = estimate((shown + 1) % 3, shown, 3), estimate(rng.integers(0, 3, 900), shown, 3)
    assert (swapped.spectrum["strength"] == 1).all()
    assert (swapped.spectrum["high"] == 1).all()
    assert swapped.spectrum["low"].min() > 0.95
    assert blind.spectrum["strength"].max() < 0.1
    assert blind.spectrum["low"].max() == 0
    assert swapped.spectrum["multiplicity"].sum() == blind.spectrum["multiplicity"].sum() == 2
    assert set(swapped.spectrum["how"]) == {"table"}


@pytest.mark.parametrize("n", [2, 5, 50])
def test_captions_that_are_always_right_have_strength_1_and_few_of_them_prove_little(n: int) -> None:
    shown = np.arange(n) % 2
    row = estimate(shown, shown, 2).spectrum.iloc[0]
    assert (row["strength"], row["high"]) == (1, 1)
    assert row["low"] <= 1 - 2 / n


def test_one_cluster_or_one_value_shown_says_nothing() -> None:
    shown = np.array([0, 1] * 50)
    row = estimate(shown, shown, 2, clusters=["same"] * 100).spectrum.iloc[0]
    assert (row["low"], row["high"]) == (0, 1)
    row = estimate(shown * 0, shown * 0, 2).spectrum.iloc[0]
    assert (row["strength"], row["low"], row["high"]) == (0, 0, 1)
    three = estimate(shown, shown, 3).spectrum
    assert three[["strength", "low", "high"]].iloc[-1].tolist() == [0, 0, 1]


def test_captions_of_one_image_do_not_count_as_many() -> None:
    rng = np.random.default_rng(0)
    shown = rng.integers(0, 2, 200)
    said = np.where(rng.random(200) < 0.5, shown, 2)
    once = estimate(said, shown, 2).spectrum.iloc[0]
    many = estimate(said.repeat(5), shown.repeat(5), 2, clusters=np.arange(200).repeat(5)).spectrum.iloc[0]
    assert many[["strength", "low", "high"]].tolist() == pytest.approx(once[["strength", "low", "high"]].tolist())
    apart = estimate(said.repeat(5), shown.repeat(5), 2).spectrum.iloc[0]
    assert apart["high"] - apart["low"] < 0.6 * (many["high"] - many["low"])


def test_a_caption_that_says_several_values_is_shared_among_them() -> None:
    labels = pd.DataFrame({"f": ["vv", "ww"] * 200})
    found = estimate_misalignment(["vv ww", "ww"] * 200, labels, lexicon(2)).spectrum
    assert found["strength"].item() == pytest.approx(of_table([[1, 0], [1, 2]])[0], abs=0.02)


def test_errors_of_a_detector_are_taken_out() -> None:
    rng = np.random.default_rng(1)
    shown = rng.integers(0, 2, 4000)
    said = np.where(rng.random(4000) < 0.5, shown, 2)
    labels = np.where(rng.random(4000) < 0.1, 1 - shown, shown)
    names = ("vv", "ww")
    confusion = np.array([[0.9, 0.1], [0.1, 0.9]])
    plain = estimate(said, labels, 2).spectrum.iloc[0]
    taken_out = estimate(said, labels, 2, detectors={"f": DetectorError(names, confusion)}).spectrum.iloc[0]
    assert plain["high"] < 0.5**0.5 < taken_out["high"]
    assert taken_out["low"] < 0.5**0.5
    assert taken_out["strength"] == pytest.approx(0.5**0.5, abs=0.04)


def test_errors_of_the_lexicon_are_taken_out_and_their_own_uncertainty_widens_the_interval() -> None:
    rng = np.random.default_rng(2)
    shown = rng.integers(0, 2, 4000)
    mentioned = rng.random(4000) < 0.7
    found = mentioned & (rng.random(4000) < 0.6)
    rates = {"vv": 0.6, "ww": 0.6}
    options = [LexiconError(rates, 0.0), LexiconError(rates, 0.0, dict.fromkeys(rates, (0.05**2, 0.0)))]
    said = np.where(found, shown, 2)
    known, counted = (estimate(said, shown, 2, lexicon_errors={"f": one}).spectrum.iloc[0] for one in options)
    assert known["low"] < 0.7**0.5 < known["high"]
    assert known["strength"] == counted["strength"] == pytest.approx(0.7**0.5, abs=0.03)
    # The strength is the root of the mention rate, found / recall: a twelfth of a recall's error is half as much of it.
    assert counted["high"] - counted["low"] > known["high"] - known["low"] + 0.05


def test_the_order_of_values_changes_nothing() -> None:
    rng = np.random.default_rng(3)
    shown = rng.integers(0, 4, 500)
    said = np.where(rng.random(500) < 0.4 + 0.1 * shown, shown, rng.integers(0, 5, 500))
    turn = np.array([2, 0, 3, 1, 4])
    columns = ["strength", "low", "high"]
    first, second = (
        estimate(one, other, 4).spectrum[columns] for one, other in ((said, shown), (turn[said], turn[shown]))
    )
    np.testing.assert_allclose(first, second, atol=1e-9)


@pytest.mark.parametrize("seed", range(30))
def test_strengths_lie_within_their_intervals_whatever_is_taken_out(seed: int) -> None:
    rng = np.random.default_rng(seed)
    k, n = int(rng.integers(2, 6)), int(rng.integers(1, 40))
    names = tuple(2 * value for value in VALUES[:k])
    captions = [" ".join(rng.choice(names, rng.integers(0, 3))) for _ in range(n)]
    options = {}
    if seed % 2:
        options["detectors"] = {"f": DetectorError(names, 0.8 * np.eye(k) + 0.2 / k)}
    if seed % 3:
        options["lexicon_errors"] = {"f": LexiconError(0.7, 0.1, dict.fromkeys(names, (0.01, 0.001)))}
    clusters = rng.integers(0, 5, n).tolist() if seed % 5 == 0 else None
    labels = pd.DataFrame({"f": rng.choice(names, n)})
    found = estimate_misalignment(captions, labels, lexicon(k), clusters=clusters, **options).spectrum
    assert found["multiplicity"].sum() == k - 1
    assert found["strength"].between(found["low"], found["high"]).all()
    assert found["low"].min() >= 0
    assert found["high"].max() <= 1

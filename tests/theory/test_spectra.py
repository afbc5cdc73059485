"""Strengths of every channel, against tables that are drawn, alternating expectations and closed forms."""

from math import isnan, nan, sqrt

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from vergence import Factor, FactorSpace, Misalignment
from vergence.channels import AdditiveNoise, Channel, LabelSwap, Redraw
from vergence.errors import ConfigError, FactorError, ShapeError
from vergence.latent import Captioning, Gaussian, LatentModel
from vergence.random import generator
from vergence.theory import of_table, spectrum
from vergence.theory.operators import of_noise

SIZE = FactorSpace((Factor("size", ("small", "big", "huge")),))
MANY = FactorSpace((Factor("size", tuple("abcde")),))
LINE = FactorSpace((Factor("a"), Factor("b"), Factor("c"), Factor("d")))
PAIRS = 40_000_000  # of a drawn table, whose singular values are then within 1e-3
rates = st.floats(0.01, 1)


def strengths(bias: Misalignment, space: FactorSpace = SIZE, **options) -> list[float]:
    table = spectrum(bias, space, **options)
    return [float(one) for one in np.repeat(table["strength"], table["multiplicity"])]


def leading(bias: Misalignment, name: str, space: FactorSpace = LINE, **options) -> float:
    table = spectrum(bias, space, **options)
    return float(table[table["factors"] == (name,)]["strength"].iloc[0])


def drawn(joint: np.ndarray, seed: int = 0) -> np.ndarray:
    """Singular values of a table of counts."""
    counts = np.random.default_rng(seed).multinomial(PAIRS, (joint / joint.sum()).ravel()).reshape(joint.shape)
    return of_table(counts)


def slow_strength(joint: np.ndarray) -> float:
    """The largest correlation of a function of the row with one of the column, by alternating expectations."""
    rows, columns = joint.sum(axis=1), joint.sum(axis=0)
    reading = np.random.default_rng(0).normal(size=len(columns))
    for _ in range(2_000):
        other = joint @ reading / rows
        reading = joint.T @ other / columns
        reading -= columns @ reading
        if columns @ reading**2 < 1e-16:  # nothing passes
            return 0.0
        reading /= sqrt(columns @ reading**2)
    other = joint @ reading / rows
    return sqrt(rows @ other**2)


@given(rates, st.floats(0, 1), st.floats(0, 1))
def test_an_omitted_and_redrawn_factor_has_a_root_times_what_is_left(mention: float, rho: float, lost: float) -> None:
    bias = Misalignment.of_rates({"size": mention, "a": mention}, redraw={"size": rho, "a": rho})
    space = FactorSpace((*SIZE.factors, Factor("a")))
    expected = (1 - lost) * sqrt(mention) * (1 - rho)
    assert strengths(bias, space, mismatch=lost) == pytest.approx([expected] * 3, abs=1e-7)


@given(
    st.lists(st.lists(st.floats(0.01, 1), min_size=3, max_size=3), min_size=3, max_size=3),
    st.tuples(rates, rates, rates),
    st.tuples(rates, rates, rates),
)
def test_the_strength_of_a_table_is_the_largest_correlation_of_two_readings(table, mention, frequencies) -> None:
    table = np.array(table) / np.sum(table, axis=0)
    shares = np.array(frequencies) / sum(frequencies)
    joint = np.vstack([table * mention, 1 - np.array(mention)]) * shares
    joint = joint[joint.sum(axis=1) > 1e-12]
    found = strengths(
        Misalignment.of_rates({"size": mention}, channels={"size": table}), frequencies={"size": frequencies}
    )
    assert found[0] == pytest.approx(slow_strength(joint), abs=1e-3)
    assert all(0 <= one <= 1 for one in found)
    assert len(found) == 2


@pytest.mark.parametrize(
    ("channel", "expected"),
    [
        (Redraw(1.0), [0.0, 0.0]),
        (LabelSwap(2 / 3), [0.0, 0.0]),  # every value is as likely as any other
        (LabelSwap(1.0), [0.5, 0.5]),
        ([[0, 0, 1], [1, 0, 0], [0, 1, 0]], [1.0, 1.0]),  # always wrong, always in the same way: as good as right
        ([[1, 1, 1], [0, 0, 0], [0, 0, 0]], [0.0, 0.0]),
        ([[1, 0, 0], [0, 0.5, 0.5], [0, 0.5, 0.5]], [1.0, 0.0]),  # two values confused
    ],
)
def test_the_strengths_of_known_channels(channel, expected) -> None:
    bias = Misalignment.of_rates({"size": 1.0}, channels={"size": channel})
    assert strengths(bias) == pytest.approx(expected, abs=1e-7)


def _uniform(k: int, rho: float, mention: float) -> np.ndarray:
    said = (1 - rho) * np.eye(k) + rho / k
    return np.vstack([said * mention, np.full(k, 1 - mention)]) / k


@pytest.mark.parametrize(
    ("mention", "rho"), [(1.0, 0.0), (0.5, 0.0), (1.0, 0.5), (0.3, 0.2), (0.05, 0.0)], ids=lambda value: f"{value:g}"
)
def test_omission_and_redraw_agree_with_drawn_tables(mention: float, rho: float) -> None:
    found = drawn(_uniform(5, rho, mention))
    bias = Misalignment.of_rates({"size": mention}, redraw={"size": rho})
    assert strengths(bias, MANY) == pytest.approx(found[:4], abs=1e-3)


def test_mentions_that_depend_on_the_value_have_strengths_of_their_own() -> None:
    mention = (0.9, 0.5, 0.3, 0.1, 0.05)
    joint = np.vstack([np.diag(mention), 1 - np.array(mention)]) / 5
    found = strengths(Misalignment.of_rates({"size": mention}), MANY)
    assert found == pytest.approx(drawn(joint)[:4], abs=1e-3)
    assert found == pytest.approx([0.94, 0.67, 0.48, 0.27], abs=0.05)
    assert found[0] > sqrt(np.mean(mention)) > found[-1]  # no single root of the mean rate


@pytest.mark.parametrize(
    ("filled", "expected"),
    [
        (np.full(5, 0.2), [0.5] * 4),  # a value at random: no absence is seen, and it is a redraw
        (np.eye(5)[0], [1 / sqrt(2)] * 3 + [1 / sqrt(6)]),  # always the same value
    ],
    ids=["random", "default"],
)
def test_an_absence_that_is_filled_teaches_less(filled: np.ndarray, expected: list[float]) -> None:
    said = 0.5 * np.eye(5) + 0.5 * filled[:, None]
    found = strengths(Misalignment.of_rates({"size": 1.0}, channels={"size": said}), MANY)
    assert found == pytest.approx(expected, abs=1e-7)
    assert found == pytest.approx(drawn(said / 5), abs=1e-3)
    assert found[-1] < strengths(Misalignment.of_rates({"size": 0.5}), MANY)[-1] == pytest.approx(sqrt(0.5))


def test_a_uniform_redraw_of_uneven_values_is_weaker_than_one_from_their_own_frequencies() -> None:
    space, shares = FactorSpace((Factor("size", ("small", "big")),)), np.array([0.9, 0.1])
    bias = Misalignment.of_rates({"size": 1.0}, redraw={"size": 0.5})
    (uniform,) = strengths(bias, space, frequencies={"size": shares})
    own = 0.5 * np.eye(2) + 0.5 * shares[:, None]
    (marginal,) = strengths(
        Misalignment.of_rates({"size": 1.0}, channels={"size": own}), space, frequencies={"size": shares}
    )
    assert (uniform, marginal) == pytest.approx((0.3273, 0.5), abs=1e-4)
    assert uniform == pytest.approx(drawn((0.5 * np.eye(2) + 0.25) * shares)[0], abs=1e-3)


def test_certain_noise_has_powers_and_partial_noise_a_few_values_above_a_continuum() -> None:
    assert of_noise(1.0, 3.0, 3) == pytest.approx([0.5, 0.25, 0.125])
    found = of_noise(0.3, 1.0, 4)
    assert of_noise(0.999999, 3.0, 3) == pytest.approx([0.5, 0.25, 0.125], abs=2e-3)
    edge = sqrt(0.7 * 0.7 / (0.7 + 0.3 / sqrt(2)))  # of a text of 0, which is right most often
    assert found[:2] == pytest.approx([0.8901, 0.7841], abs=1e-3)
    assert found[3] == pytest.approx(edge, abs=1e-3)

    def told(t: float) -> float:  # E[s | t]² p(t)
        right, wrong = 0.7 * norm.pdf(t), 0.3 * norm.pdf(t, scale=sqrt(2))
        return ((right + wrong / 2) * t) ** 2 / (right + wrong)

    linear = sqrt(quad(told, -12, 12)[0])
    assert 1 / sqrt(1.3) < linear < found[0]  # linear of both, linear of the image, none


@pytest.mark.parametrize(("chance", "variance"), [(0.3, 1.0), (0.75, 1.0), (1.0, 1.0), (0.2, 0.3)])
def test_noise_agrees_with_a_table_of_drawn_pairs(chance: float, variance: float) -> None:
    rng, n, bins = np.random.default_rng(0), 4_000_000, 241
    shown, said = (np.linspace(-4.5, 4.5, bins - 1) * spread for spread in (1, sqrt(1 + variance)))
    counts = np.zeros(bins * bins)
    for _ in range(2):
        s = rng.normal(size=n)
        t = s + sqrt(variance) * rng.normal(size=n) * (rng.random(n) < chance)
        counts += np.bincount(np.searchsorted(said, t) * bins + np.searchsorted(shown, s), minlength=bins * bins)
    found = of_table(counts.reshape(bins, bins))
    assert of_noise(chance, variance, 1)[0] == pytest.approx(found[0], abs=1e-3)


def test_strengths_of_noise_of_silence_and_of_what_is_not_stated() -> None:
    noise = AdditiveNoise(1.0, scale=2.0, covariance=np.diag([1.0, 3.0, 1, 1]))
    bias = Misalignment.of_rates({"a": 1.0, "b": 0.5, "c": 0.25}, channels={"a": noise, "b": noise})
    assert leading(bias, "a") == pytest.approx(1 / sqrt(5))
    assert leading(bias, "b") == pytest.approx(sqrt(0.5 / 13))
    assert (leading(bias, "c"), leading(bias, "d")) == (0.5, 0.0)
    for other in (
        Misalignment({"a", "b"}, {"b"}),
        Misalignment.of_rates({"a": 1.0, "b": abs}),
        Misalignment({"a", "b"}, {"b"}, channel=type("Own", (Channel,), {})()),
    ):
        table = spectrum(other, LINE)
        assert isnan(leading(other, "b"))
        assert table["how"].iloc[-1] == "not stated"  # after everything that is
    joined = AdditiveNoise(0.5, covariance=np.eye(4) + 0.5)
    both = spectrum(Misalignment({"a", "b"}, set("a"), channel=joined), LINE, order=2)
    assert both.notna().all().all()
    both = spectrum(
        Misalignment.of_rates(dict.fromkeys("abc", 1.0), channels={"a": joined, "b": joined}), LINE, order=2
    )
    assert both[both["strength"].isna()]["factors"].tolist() == [("a", "b")]  # noise that both share


def test_products_have_products_of_strengths_and_of_multiplicities() -> None:
    space = FactorSpace((*MANY.factors, Factor("tone", ("dark", "light")), Factor("a"), Factor("mute")))
    bias = Misalignment.of_rates({"size": 0.64, "tone": 1.0, "a": 1.0}, redraw={"tone": 0.5, "a": 0.1})
    table = spectrum(bias, space, order=3)
    found = {(row.factors, row.order): (row.strength, row.multiplicity) for row in table.itertuples()}
    assert found[(("size", "tone"), 2)] == (pytest.approx(0.4), 4)
    assert found[(("size", "tone", "a"), 3)] == (pytest.approx(0.36), 4)
    assert found[(("tone", "a"), 3)] == (pytest.approx(0.45), 1)  # tone times a quadratic
    assert found[(("mute",), 1)] == (0.0, 1)
    assert not any("mute" in names for names, order in found if len(names) > 1)
    assert table["strength"].is_monotonic_decreasing
    assert spectrum(bias, space)["order"].tolist() == [1] * 4


def test_products_of_independent_channels_agree_with_a_drawn_table() -> None:
    one, two = _uniform(3, 0.4, 1.0)[:-1], _uniform(2, 0.0, 0.5)
    joint = np.einsum("ij,kl->ikjl", one, two).reshape(3 * 3, 3 * 2)
    space = FactorSpace((Factor("u", tuple("abc")), Factor("v", tuple("xy"))))
    bias = Misalignment.of_rates({"u": 1.0, "v": 0.5}, redraw={"u": 0.4})
    assert strengths(bias, space, order=2) == pytest.approx(of_table(joint)[:5], abs=1e-9)
    assert strengths(bias, space, order=2) == pytest.approx(drawn(joint)[:5], abs=1e-3)
    mixed = 0.7 * joint + 0.3 * np.outer(joint.sum(axis=1), joint.sum(axis=0))  # texts of other images
    assert strengths(bias, space, order=2, mismatch=0.3) == pytest.approx(of_table(mixed)[:5], abs=1e-9)


def test_what_is_sampled_lies_in_its_interval() -> None:
    space = FactorSpace((Factor("a"), Factor("b"), Factor("size", tuple("abc"))))
    bias = Misalignment.of_rates(
        {"a": 1.0, "b": 0.5, "size": 0.8}, channels={"a": AdditiveNoise(1.0)}, redraw={"size": 0.4}
    )
    model = LatentModel(space, captioning=Captioning(mismatch=0.2))
    found = spectrum(bias, space, order=2, sampler=model.sampler(bias, generator=generator(0)), n_samples=60_000)
    truth = spectrum(bias, space, order=2, mismatch=0.2)
    for row in truth.itertuples():
        own = found[(found["factors"] == row.factors) & (found["order"] == row.order)]
        assert len(own) == row.multiplicity
        assert own["strength"].max() == pytest.approx(row.strength, abs=0.02)
    assert (found["low"] <= found["strength"]).all()
    assert (found["strength"] <= found["high"]).all()
    assert set(found["how"]) == {"sampled"}


def test_a_sample_tells_what_no_closed_form_does() -> None:
    space = FactorSpace((Factor("a"), Factor("b")))
    bias = Misalignment.of_rates({"a": lambda values: (values > 0).float()})
    model = LatentModel(space, Gaussian(torch.tensor([[1.0, 0.8], [0.8, 1.0]])))
    found = spectrum(bias, space, sampler=model.sampler(bias, generator=generator(0)), n_samples=20_000)
    assert isnan(leading(bias, "a", space))
    assert leading(bias, "a", space, sampler=model.sampler(bias, generator=generator(0)), n_samples=20_000) > 0.95
    assert found.set_index("factors")["strength"][("b",)] == 0  # never mentioned


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: spectrum(Misalignment({"z"}), SIZE), "unknown factor 'z'; known: size"),
        (lambda: spectrum(Misalignment({"size"}), SIZE, order=0), "order must be >= 1; got 0"),
        (lambda: spectrum(Misalignment({"size"}), SIZE, mismatch=2), "mismatch must be a probability"),
        (lambda: spectrum(Misalignment({"size"}), SIZE, frequencies={"z": [1]}), "unknown factor 'z'; known: size"),
        (lambda: spectrum(Misalignment({"size"}), SIZE, frequencies={"size": [1]}), "must be one per value, 3"),
        (
            lambda: spectrum(Misalignment({"size"}), SIZE, frequencies={"size": [1, 1, 0]}),
            "frequencies of factor 'size' must all be above 0",
        ),
        (
            lambda: spectrum(Misalignment({"size"}), SIZE, mismatch=0.1, sampler=lambda n: (0, 0)),
            "a sampler draws mismatched texts itself",
        ),
        (
            lambda: spectrum(Misalignment({"size"}), SIZE, sampler=lambda n: (np.zeros((n, 2)), np.zeros((n, 2)))),
            r"each \(100000, 1\), a column per factor; got \(100000, 2\)",
        ),
        (
            lambda: spectrum(Misalignment({"f0"}), FactorSpace(tuple(Factor(f"f{i}") for i in range(200))), order=4),
            "would have about .* rows; the most are 100,000",
        ),
        (lambda: of_table([1.0, 2.0]), "has two dimensions; got 1"),
        (lambda: of_table([[1.0, -2.0], [0, 1]]), "holds probabilities or counts, >= 0"),
        (lambda: of_table([[nan, 2.0], [0, 1]]), "holds probabilities or counts, >= 0"),
    ],
)
def test_impossible_spectra_are_refused(call, message: str) -> None:
    with pytest.raises((ConfigError, FactorError, ShapeError), match=message):
        call()


def test_a_spectrum_is_a_table_that_a_reader_can_filter() -> None:
    table = spectrum(Misalignment({"size"}), SIZE)
    assert isinstance(table, pd.DataFrame)
    assert table.to_dict("records") == [
        {"factors": ("size",), "order": 1, "strength": 1.0, "multiplicity": 2, "low": 1.0, "high": 1.0, "how": "exact"}
    ]

"""Zero-shot scores: those of scikit-learn, with intervals, of groups with one concept an image and with several."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, confusion_matrix, precision_recall_fscore_support

from vergence.errors import ConfigError, ShapeError
from vergence.probes.zeroshot import zero_shot

NAMES = ["a", "b", "c", "d"]


def drawn(n: int, c: int, seed: int, *, several: bool, ties: bool = False) -> tuple[np.ndarray, np.ndarray]:
    stream = np.random.default_rng(seed)
    shown = np.zeros((n, c), dtype=bool)
    shown[np.arange(n), stream.integers(c, size=n)] = True
    if several:
        shown |= stream.random((n, c)) < 0.3
    similarity = stream.normal(size=(n, c)) + shown
    return np.round(similarity) if ties else similarity, shown


def scored(similarity: np.ndarray, shown: np.ndarray, names: list[str], **settings):
    return zero_shot(similarity, shown, names, generator=np.random.default_rng(0), n_resamples=100, **settings)


@given(n=st.integers(1, 40), c=st.integers(1, 5), seed=st.integers(0, 99), ties=st.booleans())
@settings(max_examples=40, deadline=None)
def test_one_concept_an_image_is_the_classification_of_scikit_learn(n: int, c: int, seed: int, ties: bool) -> None:
    similarity, shown = drawn(n, c, seed, several=False, ties=ties)
    found = scored(similarity, shown, [str(k) for k in range(c)])
    y, told = shown.argmax(1), similarity.argmax(1)
    wanted = precision_recall_fscore_support(y, told, labels=range(c), zero_division=0)
    there = shown.any(0)
    for name, values in zip(("precision", "recall", "f1"), wanted, strict=False):
        np.testing.assert_allclose(found.concepts[name][there], values[there], atol=1e-12)
        assert found.concepts[name][~there].isna().all()
    for k in np.flatnonzero(there):
        wanted_ap = average_precision_score(shown[:, k], similarity[:, k])
        assert found.concepts["average_precision"][k] == pytest.approx(wanted_ap, abs=1e-12)
    assert found.macro["macro_f1"] == pytest.approx(wanted[2][there].mean(), abs=1e-12)
    assert found.macro["acc1"] == pytest.approx((y == told).mean())
    assert (found.confusion.to_numpy() == confusion_matrix(y, told, labels=range(c))).all()


@given(n=st.integers(1, 30), seed=st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_of_several_concepts_as_many_are_told_as_an_image_has(n: int, seed: int) -> None:
    similarity, shown = drawn(n, 4, seed, several=True)
    found = scored(similarity, shown, NAMES)
    told = np.zeros_like(shown)
    for row, many in enumerate(shown.sum(1)):
        told[row, np.argsort(-similarity[row])[:many]] = True
    wanted = precision_recall_fscore_support(shown, told, zero_division=0)
    there = shown.any(0)
    np.testing.assert_allclose(found.concepts["f1"][there], wanted[2][there], atol=1e-12)
    np.testing.assert_allclose(found.concepts["support"], wanted[3])


def test_a_model_that_sees_everything_has_ones_and_one_that_guesses_has_chance() -> None:
    stream = np.random.default_rng(0)
    _, shown = drawn(4000, 4, 0, several=False)
    perfect = scored(shown.astype(float), shown, NAMES)
    assert (perfect.concepts[["precision", "recall", "f1", "average_precision"]] == 1).all(axis=None)
    assert perfect.macro["macro_f1_low"] == 1
    blind = scored(stream.normal(size=shown.shape), shown, NAMES)
    assert blind.concepts["f1"].to_numpy() == pytest.approx(blind.concepts["chance_f1"].to_numpy(), abs=0.04)
    assert blind.macro["macro_f1"] == pytest.approx(blind.macro["chance_macro_f1"], abs=0.02)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    hits = 0
    for seed in range(200):
        similarity, shown = drawn(150, 3, 1000 + seed, several=False)
        found = zero_shot(similarity, shown, NAMES[:3], generator=np.random.default_rng(seed), n_resamples=200)
        hits += found.macro["macro_f1_low"] <= TRUE_MACRO <= found.macro["macro_f1_high"]
    assert 0.9 <= hits / 200 <= 0.99


def true_macro() -> float:
    similarity, shown = drawn(400_000, 3, 7, several=False)
    return float((shown.argmax(1) == similarity.argmax(1)).mean())  # classes are alike, so F1 is the accuracy


TRUE_MACRO = true_macro()


def test_images_of_one_cluster_count_as_one_for_the_interval() -> None:
    similarity, shown = drawn(60, 3, 0, several=False)
    many = np.repeat(similarity, 10, axis=0), np.repeat(shown, 10, axis=0)
    width = {}
    for name, clusters in (("apart", None), ("together", np.repeat(np.arange(60), 10))):
        macro = scored(*many, NAMES[:3], clusters=clusters).macro
        width[name] = macro["macro_f1_high"] - macro["macro_f1_low"]
    assert width["together"] > 2 * width["apart"]


def test_what_does_not_fit_together_is_refused() -> None:
    similarity, shown = drawn(5, 4, 0, several=False)
    with pytest.raises(ShapeError, match="must agree"):
        scored(similarity, shown, NAMES[:3])
    with pytest.raises(ShapeError, match="image 0 shows no concept"):
        scored(similarity, shown & False, NAMES)
    with pytest.raises(ShapeError, match="NaN or infinite"):
        scored(similarity * np.nan, shown, NAMES)
    with pytest.raises(ShapeError, match="clusters must be as many"):
        scored(similarity, shown, NAMES, clusters=np.arange(3))
    with pytest.raises(ConfigError, match="n_resamples must be >= 100"):
        zero_shot(similarity, shown, NAMES, generator=np.random.default_rng(0), n_resamples=3)

"""What theory says a probe will find, and where it is silent."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vergence import Factor, FactorSpace, Misalignment
from vergence.errors import ConfigError, FactorError
from vergence.probes import SIZE_DEPENDENT, Labelled, oracle_scores, predict

NAMES = tuple("abcdef")
SPACE = FactorSpace(tuple(Factor(name, ("no", "yes")) for name in NAMES))


@st.composite
def misalignments(draw: st.DrawFn) -> Misalignment:
    selected = draw(st.sets(st.sampled_from(NAMES), min_size=1))
    kept = draw(st.sampled_from(sorted(selected)))
    return Misalignment(selected, draw(st.sets(st.sampled_from(sorted(selected)))) - {kept})


@given(misalignments(), st.integers(1, 12), st.lists(st.floats(-1, 1), min_size=6, max_size=6))
def test_a_number_is_given_exactly_where_theory_speaks(bias: Misalignment, size: int, scores: list[float]) -> None:
    """In the block: from its size upwards. Outside of it: up to its size."""
    oracle = {name: score for name, score in zip(NAMES, scores, strict=True) if name not in bias.unbiased}
    block = len(bias.selected) - len(bias.perturbed)
    predicted = predict(SPACE, bias, encoding_size=size, oracle=oracle)
    assert list(predicted) == list(NAMES)
    for name, prediction in predicted.items():
        in_block = name in bias.selected and name not in bias.perturbed
        speaks = size >= block if in_block else size <= block
        assert prediction == ((1.0 if in_block else oracle[name]) if speaks else SIZE_DEPENDENT)
    if size == block:
        assert SIZE_DEPENDENT not in predicted.values()


def test_no_oracle_is_needed_where_theory_is_silent() -> None:
    bias = Misalignment(set("abc"))
    assert predict(SPACE, bias, encoding_size=4, oracle={})["d"] == SIZE_DEPENDENT
    with pytest.raises(FactorError, match="the oracle lacks 'd', a factor outside the block; pass what oracle_scores"):
        predict(SPACE, bias, encoding_size=3, oracle={"e": 0.0})


def test_predictions_for_no_output_or_an_unknown_factor_are_refused() -> None:
    with pytest.raises(ConfigError, match="encoding_size must be >= 1; got 0"):
        predict(SPACE, Misalignment({"a"}), encoding_size=0, oracle={})
    with pytest.raises(FactorError, match="unknown factor 'z'; known: a, b, c, d, e, f"):
        predict(SPACE, Misalignment({"a", "z"}, {"z"}), encoding_size=1, oracle={})


SHAPES, TONES, SITES = ("cube", "ball", "cone"), ("dark", "light"), ("x", "y")
CROSSED = FactorSpace((Factor("shape", SHAPES), Factor("tone", TONES), Factor("site", SITES), Factor("hue")))


def half(first: int, *, repeats: int = 10) -> Labelled:
    """Shape and tone fully crossed in every cluster; site follows from tone; hue is the number of the shape."""
    rows = list(product(range(repeats), SHAPES, TONES))
    labels = pd.DataFrame([(shape, tone) for _, shape, tone in rows], columns=["shape", "tone"])
    labels["site"] = labels["tone"].map(dict(zip(TONES, SITES, strict=True)))
    labels["hue"] = labels["shape"].map({shape: float(i) for i, shape in enumerate(SHAPES)})
    return Labelled(torch.zeros(len(rows), 0), labels, np.array([first + repeat for repeat, *_ in rows]))


def test_a_factor_crossed_with_the_block_scores_0_and_one_determined_by_it_scores_1() -> None:
    scores = oracle_scores(half(0), half(100), CROSSED, Misalignment({"shape"}))
    assert list(scores) == ["tone", "site", "hue"]
    assert scores["tone"] == scores["site"] == 0.0
    assert scores["hue"] == pytest.approx(1.0, abs=1e-6)
    assert oracle_scores(half(0), half(100), CROSSED.subset(["shape", "tone", "site"]), Misalignment({"tone"})) == {
        "shape": 0.0,
        "site": 1.0,
    }


def test_what_is_perturbed_is_outside_the_block() -> None:
    discrete = CROSSED.subset(["shape", "tone", "site"])
    scores = oracle_scores(half(0), half(100), discrete, Misalignment({"shape", "site"}, {"site"}))
    assert scores == {"tone": 0.0, "site": 0.0}


def test_the_oracle_sees_the_labels_alone() -> None:
    fit, test = half(0), half(100)
    leaking = torch.eye(2)[torch.tensor([TONES.index(tone) for tone in fit.labels["tone"]])]
    halves = [Labelled(leaking, part.labels, part.clusters) for part in (fit, test)]
    bias = Misalignment({"shape"})
    assert oracle_scores(*halves, CROSSED, bias) == oracle_scores(fit, test, CROSSED, bias)


def test_a_value_of_the_block_that_is_not_stated_says_nothing_or_that_it_is_not_stated() -> None:
    fit, test = half(0), half(100)
    halves = [Labelled(part.z, part.labels.assign(tone=None), part.clusters) for part in (fit, test)]
    assert oracle_scores(*halves, CROSSED.subset(["tone", "site"]), Misalignment({"tone"})) == {"site": 0.0}


def test_with_nothing_outside_the_block_there_is_nothing_to_score() -> None:
    space = CROSSED.subset(["shape", "tone"])
    assert oracle_scores(half(0), half(100), space, Misalignment(space.names)) == {}


@pytest.mark.parametrize(
    ("bias", "message"),
    [
        (Misalignment({"hue"}), "an oracle needs discrete factors in the unbiased block; 'hue' is continuous"),
        (Misalignment({"shape", "tonne"}, {"tonne"}), "unknown factor 'tonne'; known: shape, .* Did you mean 'tone'"),
        (Misalignment({"size"}), "unknown factor 'size'; known: shape, tone, site, hue"),
        (Misalignment({"gone"}), "unknown factor 'gone'; known: shape, tone, site, hue. Did"),
    ],
)
def test_blocks_that_cannot_be_are_refused_by_name(bias: Misalignment, message: str) -> None:
    space = CROSSED if bias.selected != {"gone"} else FactorSpace((*CROSSED.factors, Factor("gone", ("a", "b"))))
    with pytest.raises(FactorError, match=message):
        oracle_scores(half(0), half(100), space, bias)

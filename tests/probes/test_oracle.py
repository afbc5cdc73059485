"""What the block tells of every other factor, on unseen clusters."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch

from vergence import Factor, FactorSpace, Misalignment
from vergence.errors import FactorError
from vergence.probes import Labelled, oracle_scores

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

"""Whether a redraw is uniform: the test's level and power on simulated captions."""

import numpy as np
import pandas as pd
import pytest

from vergence import Factor, FactorSpace
from vergence.corpus import lexicon_from_factors
from vergence.corpus.channel import DRAWS, corrected_p_value, redraw_p_value
from vergence.corpus.errata import DetectorError, LexiconError
from vergence.corpus.estimate import estimate_misalignment


def simulate(rng, *, k=4, images=200, captions=3, rho=0.3, selection=0.8, shares=None, together=False, neighbor=False):
    """Which values captions mention, which their images show and which belong together."""
    shown = np.repeat(rng.choice(k, images, p=shares), captions)
    image = np.repeat(np.arange(images), captions)
    n = len(shown)
    drawn = rng.integers(0, k, images)[image] if together else rng.integers(0, k, n)
    redrawn = (rng.random(images) < rho)[image] if together else rng.random(n) < rho
    said = np.where(redrawn, (shown + 1) % k if neighbor else drawn, shown)
    return (np.arange(k) == said[:, None]) & (rng.random(n) < selection)[:, None], shown, image


RARE = [0.9, 0.05, 0.03, 0.02]


@pytest.mark.parametrize(
    "kind",
    [
        {}, {"k": 2}, {"k": 2, "shares": [0.97, 0.03], "rho": 0.03}, {"k": 30, "rho": 0.1}, {"shares": RARE},
        {"together": True}, {"together": True, "shares": RARE}, {"rho": 1.0}, {"images": 20, "captions": 5},
    ],
    ids=str,
)  # fmt: skip
def test_uniform_redraws_are_rejected_no_more_often_than_the_level_says(kind) -> None:
    rng = np.random.default_rng(5)
    p = np.array([redraw_p_value(*simulate(rng, **kind), rng=np.random.default_rng(1)) for _ in range(100)])
    assert (p < 0.01).mean() <= 0.04  # 0.01 in the long run, three standard errors are 0.03


@pytest.mark.parametrize("kind", [{"rho": 0.35}, {"rho": 0.05}, {"rho": 0.35, "images": 100, "captions": 1}], ids=str)
def test_a_redraw_to_the_neighbour_alone_is_rejected(kind) -> None:
    rng = np.random.default_rng(6)
    found = simulate(rng, k=5, neighbor=True, **kind)
    assert redraw_p_value(*found, rng=rng) == 1 / (DRAWS + 1)


def test_a_rate_that_differs_by_shown_value_is_rejected_and_so_is_a_default_value() -> None:
    rng = np.random.default_rng(7)
    said, shown, clusters = simulate(rng, rho=0.0)
    drawn = np.eye(4, dtype=bool)[rng.integers(0, 4, len(shown))] & said.any(axis=1)[:, None]
    one = np.where(((shown == 0) & (rng.random(len(shown)) < 0.5))[:, None], drawn, said)
    assert redraw_p_value(one, shown, clusters, rng=rng) < 0.01
    default = np.where((rng.random(len(shown)) < 0.3)[:, None], np.eye(4, dtype=bool)[0], said)
    assert redraw_p_value(default, shown, clusters, rng=rng) < 0.01


def test_what_cannot_be_tested_is_no_rejection() -> None:
    eye = np.eye(2, dtype=bool)
    nothing = np.zeros(4, dtype=int)
    rng = np.random.default_rng(0)
    assert np.isnan(redraw_p_value(eye[[0, 1, 0, 1]], np.array([0, 1, 0, 1]), np.arange(4), rng=rng))
    assert np.isnan(redraw_p_value(eye[[1, 0, 1, 0]], np.array([0, 1, 0, 1]), np.arange(4), rng=rng))
    assert np.isnan(redraw_p_value(np.zeros((4, 2), dtype=bool), nothing, nothing, rng=rng))
    right = np.eye(3)[[0, 1, 2] * 20]
    assert np.isnan(corrected_p_value(lambda v: 0 * right, right, np.arange(60), rates_known=True))
    none = np.zeros((0, 3))
    assert np.isnan(corrected_p_value(lambda _: none, none, np.zeros(0, dtype=int), rates_known=True))


VALUES = ("red", "green", "blue", "black")
LEXICON = lexicon_from_factors(FactorSpace((Factor("color", VALUES),)))


def note(rng, *, detector: float = 0.0, recall: float = 1.0, false_positive: float = 0.0, **kind) -> str:
    found, shown, image = simulate(rng, **kind)
    confusion = np.full((4, 4), detector / 3) + (1 - 4 * detector / 3) * np.eye(4)
    label = np.array([rng.choice(4, p=confusion[code]) for code in shown[np.unique(image, return_index=True)[1]]])[
        image
    ]
    found = rng.random(found.shape) < np.where(found, recall, false_positive)
    texts = [" ".join(np.array(VALUES)[row]) for row in found]
    return estimate_misalignment(
        texts,
        pd.DataFrame({"color": np.array(VALUES)[label]}),
        LEXICON,
        clusters=image,
        detectors={"color": DetectorError(VALUES, confusion)} if detector else None,
        lexicon_errors={"color": LexiconError(recall, false_positive)} if recall < 1 else None,
    ).factors["note"][0]


ERRORS = [{"detector": 0.1}, {"recall": 0.8, "false_positive": 0.02}, {"detector": 0.1, "recall": 0.9}]


@pytest.mark.parametrize("errors", ERRORS, ids=str)
def test_with_errors_taken_out_uniform_redraws_pass_and_neighbours_do_not(errors) -> None:
    rng = np.random.default_rng(8)
    assert sum("not uniform" in note(rng, **errors, rho=0.3) for _ in range(25)) <= 2
    assert all("not uniform" in note(rng, **errors, rho=0.35, neighbor=True) for _ in range(5))

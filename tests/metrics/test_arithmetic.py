"""What must hold of arithmetic on embeddings whatever they are."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vergence.errors import ConfigError, FactorError, ShapeError
from vergence.metrics import arithmetic
from vergence.metrics.arithmetic import METHODS, OUTCOMES, SCORES

TONES, GENDERS = ("light", "medium", "dark"), ("woman", "man")
PHRASES = [*(("tone", tone) for tone in TONES), *(("gender", gender) for gender in GENDERS)]
CELLS = list(product(range(12), TONES, GENDERS))
LABELS = pd.DataFrame([cell[1:] for cell in CELLS], columns=["tone", "gender"])
CONCEPTS = [f"job {cell[0]}" for cell in CELLS]


def additive(noise: float = 0.0, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes of concept, tone and gender on axes of their own, and texts on those of the values."""
    axes = torch.eye(12 + 5, dtype=torch.float64)
    place = {value: 12 + at for at, (_, value) in enumerate(PHRASES)}
    z = torch.stack([axes[c] + axes[place[tone]] + axes[place[gender]] for c, tone, gender in CELLS])
    return z + noise * torch.randn(z.shape, generator=torch.Generator().manual_seed(seed)), axes[12:]


def of(table: pd.DataFrame, method: str, factor: str = "tone") -> pd.Series:
    return table[(table["method"] == method) & (table["factor"] == factor)].iloc[0]


def test_additive_codes_are_answered_and_no_baseline_answers_them():
    found = arithmetic(*additive(), PHRASES, LABELS, CONCEPTS)
    table = found.table()
    for factor, queries, targets in (("tone", 144, 2), ("gender", 72, 1)):
        own = of(table, "arithmetic", factor)
        assert own["queries"] == queries
        assert own["recall@1"] == own["exact"] == own["reciprocal_rank"] == own["median_rank"] == 1
        assert own["recall@1_low"] > 0.7
        assert own["source_first"] == 0
        assert of(table, "image_only", factor)["recall@1"] <= 1 / targets
        assert of(table, "image_only", factor)["source_first"] == 1
        assert of(table, "text_only", factor)["recall@1"] < 0.1
        chance = of(table, "chance", factor)
        assert chance["recall@1"] == pytest.approx(1 / 71)
        assert chance["recall@5"] == pytest.approx(5 / 71)
        assert chance["reciprocal_rank"] == pytest.approx(sum(1 / k for k in range(1, 72)) / 71)
    gains = found.gains(generator=torch.Generator().manual_seed(0))
    assert (gains["low"] > 0.2).all()


def test_random_codes_are_at_chance():
    codes = torch.randn(8, len(CELLS) + 5, 8, generator=torch.Generator().manual_seed(0))
    found = [arithmetic(z[5:], z[:5], PHRASES, LABELS, CONCEPTS).queries for z in codes]
    every = pd.concat(part.assign(seed=seed) for seed, part in enumerate(found))
    by_seed = every.groupby(["method", "seed"])["reciprocal_rank"].mean().unstack("method")
    for method in ("text_only", "image_only"):
        off = by_seed[method] - by_seed["chance"]
        assert abs(off.mean()) < 3.5 * off.std() / 8**0.5, method


def test_codes_that_are_all_alike_score_as_chance_does():
    table = arithmetic(torch.ones(len(CELLS), 4), torch.ones(5, 4), PHRASES, LABELS, CONCEPTS).table()
    scored = table.drop(columns="source_first").groupby("factor")
    for _, rows in scored:
        assert rows["method"].tolist() == list(METHODS)
        assert rows.drop(columns=["factor", "method"]).round(12).nunique().eq(1).all()


@settings(max_examples=5)
@given(st.integers(0, 99), st.floats(0.1, 3))
def test_the_order_of_the_gallery_and_of_the_texts_and_every_scale_change_nothing(seed, step):
    z_image, z_text = additive(noise=0.4, seed=seed)
    order, texts = np.random.default_rng(seed).permutation(len(CELLS)), [3, 0, 4, 2, 1]
    one = arithmetic(z_image, z_text, PHRASES, LABELS, CONCEPTS, step=step).queries
    other = arithmetic(
        3e8 * z_image[order],
        1e-8 * z_text[texts],
        [PHRASES[at] for at in texts],
        LABELS.iloc[order],
        [CONCEPTS[at] for at in order],
        step=step,
    ).queries
    other[["item", "first"]] = order[other[["item", "first"]]]
    by = ["method", "factor", "item", "target"]
    kept = [name for name in one if name not in {"query", "first"}]  # of images that tie, another may be first
    pd.testing.assert_frame_equal(*(rows.sort_values(by, ignore_index=True)[kept] for rows in (one, other)))


@settings(max_examples=5)
@given(st.integers(0, 99), st.sampled_from(["best", "each"]))
def test_outcomes_share_out_every_query_and_copies_of_a_vector_add_nothing(seed, move):
    z_image, z_text = additive(noise=0.5, seed=seed)
    plain = arithmetic(z_image, z_text, PHRASES, LABELS, CONCEPTS).queries
    np.testing.assert_allclose(plain[list(OUTCOMES)].sum(axis=1), 1)
    np.testing.assert_allclose(plain["exact"], plain["recall@1"], atol=1e-12)
    assert plain[list(SCORES)].min().min() >= 0
    copies = arithmetic(z_image[:, None].expand(-1, 3, -1), z_text, PHRASES, LABELS, CONCEPTS, move=move).queries
    pd.testing.assert_frame_equal(plain, copies)


def test_only_what_can_be_answered_is_asked():
    labels = pd.DataFrame(
        {"tone": ["light", "dark", "dark", None, "light"], "view": ["left", "left", None, "left", None]}
    )
    phrases = [("tone", "light"), ("tone", "dark")]
    found = arithmetic(torch.eye(5), torch.eye(5)[:2], phrases, labels, ["cup", "cup", "cup", "cup", "hat"]).queries
    asked = found[found["method"] == "arithmetic"]
    assert asked[["item", "source", "target", "relevant"]].values.tolist() == [
        [0, "light", "dark", 1],
        [1, "dark", "light", 1],
    ]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"concepts": CONCEPTS[1:]}, ShapeError, "got 72 images, 72 labels, 71 concepts"),
        ({"phrases": PHRASES[:-1]}, ShapeError, "5 texts and 4 phrases"),
        ({"phrases": [*PHRASES[:-1], PHRASES[0]]}, FactorError, "'light' of 'tone' has several"),
        (
            {"phrases": [*PHRASES[:-1], ("age", "old")]},
            FactorError,
            "'gender' needs phrases of two values or more; got w",
        ),
        ({"phrases": [(name, f"{value}!") for name, value in PHRASES]}, FactorError, "no image has a counterpart"),
        (
            {"labels": LABELS.rename(columns={"tone": "skin"})},
            FactorError,
            "unknown factor 'tone'; known: skin, gender",
        ),
        ({"step": -1.0}, ConfigError, "step must be a finite number >= 0; got -1.0"),
    ],
)
def test_what_cannot_be_asked_is_refused(change, error, message):
    given_ = {"phrases": PHRASES, "labels": LABELS, "concepts": CONCEPTS, **change}
    with pytest.raises(error, match=message):
        arithmetic(*additive(), **given_)

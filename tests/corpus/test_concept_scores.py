"""What captions say rightly, against counts written out."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vergence import Factor, FactorSpace
from vergence.corpus import concept_scores, estimate_misalignment, lexicon_from_factors
from vergence.errors import FactorError, ShapeError

HUES = ("red", "blue", "green")
LEXICON = lexicon_from_factors(FactorSpace((Factor("hue", HUES), Factor("size", ("small", "large")))))
ITEMS = st.lists(
    st.tuples(st.lists(st.sampled_from([*HUES, "cup"]), max_size=3), st.sampled_from([*HUES, None])),
    min_size=3,
    max_size=12,
).filter(lambda items: any(shown for _, shown in items))


@settings(max_examples=10)
@given(ITEMS)
def test_shares_are_counts_of_what_is_said_and_shown(items):
    labels = pd.DataFrame({"hue": [shown for _, shown in items]}, dtype=object)
    found = concept_scores([" ".join(words) for words, _ in items], labels, LEXICON)
    known = [({*words} & {*HUES}, shown) for words, shown in items if shown]
    row = found.factors.iloc[0]
    mentions = [(said, shown) for told, shown in known for said in told]
    assert found.factors["factor"].tolist() == ["hue"]
    assert row["images"] == len(known)
    assert row["mentioned"] == pytest.approx(np.mean([bool(told) for told, _ in known]))
    assert row["recall"] == pytest.approx(np.mean([shown in told for told, shown in known]))
    assert row["wrong"] == pytest.approx(np.mean([bool(told - {shown}) for told, shown in known]))
    expected = np.mean([said == shown for said, shown in mentions]) if mentions else np.nan
    assert row["precision"] == pytest.approx(expected, nan_ok=True)
    dealt = [shown in told for told, _ in known for _, shown in known]  # every caption on every image
    assert row["chance_recall"] == pytest.approx(np.mean(dealt))
    for name in ("mentioned", "precision", "recall", "wrong"):
        assert np.isnan(row[name]) or 0 <= row[f"{name}_low"] <= row[name] <= row[f"{name}_high"] <= 1
    for value in found.values.itertuples():
        pairs = [(value.value in told, value.value == shown) for told, shown in known]
        both = sum(a and b for a, b in pairs)
        assert value.images == sum(b for _, b in pairs)
        assert value.precision == pytest.approx(both / value.said if value.said else np.nan, nan_ok=True)
        assert value.recall == pytest.approx(both / value.images if value.images else np.nan, nan_ok=True)


def test_mentioned_and_wrong_are_what_the_estimate_of_the_channel_has():
    rng = np.random.default_rng(0)
    shown = rng.choice(HUES, 300)
    said = np.where(rng.random(300) < 0.3, rng.choice(HUES, 300), shown)
    captions = [f"a {word} cup" if rng.random() < 0.8 else "a cup" for word in said]
    labels, clusters = pd.DataFrame({"hue": shown}), np.arange(300) // 3
    row = concept_scores(captions, labels, LEXICON, clusters=clusters).factors.iloc[0]
    estimate = estimate_misalignment(captions, labels, LEXICON, clusters=clusters).factors.iloc[0]
    assert row["mentioned"] == pytest.approx(estimate["selection"])
    assert 1 - row["precision"] == pytest.approx(estimate["wrong_value"])
    assert row["clusters"] == 100
    assert row["precision_low"] < row["precision"] < row["precision_high"]


@pytest.mark.parametrize(
    ("labels", "clusters", "error", "message"),
    [
        ({"hue": ["red"]}, None, ShapeError, "got 2 captions, 1 rows and 1 clusters"),
        ({"hue": ["red", "pink"]}, None, FactorError, "unknown value of factor 'hue' 'pink'"),
        (
            {"tint": ["red", "red"]},
            None,
            FactorError,
            "no group of the lexicon is labelled; groups: hue, size; columns: t",
        ),
        ({"hue": [None, None]}, None, FactorError, "no group of the lexicon is labelled"),
        ({"hue": ["red", "red"]}, [1], ShapeError, "1 clusters"),
    ],
)
def test_what_cannot_be_scored_is_refused(labels, clusters, error, message):
    with pytest.raises(error, match=message):
        concept_scores(["a red cup", "a cup"], pd.DataFrame(labels, dtype=object), LEXICON, clusters=clusters)

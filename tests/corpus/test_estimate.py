"""Estimates and forecasts: what is said, what is refused, and injected biases on the embedded set."""

import numpy as np
import pandas as pd
import pytest

from vergence import Factor, FactorSpace, Misalignment
from vergence.corpus import Concept, Group, Lexicon, lexicon_from_factors
from vergence.corpus.errata import DetectorError, LexiconError
from vergence.corpus.estimate import NOT_ASSESSABLE, estimate_misalignment
from vergence.corpus.forecast import CANNOT, LEARNED, MISSED, OPEN, PARTLY, THROUGH_OTHERS, forecast
from vergence.data import load_emoji
from vergence.errors import ConfigError, FactorError, ShapeError

SPACE = FactorSpace(tuple(Factor(name, (f"{name}0", f"{name}1")) for name in ("a", "b", "c")))
LEXICON = lexicon_from_factors(SPACE)


def estimate(n: int = 400, *, mention=("a",), wrong=(), tied=False, labels=("a", "b", "c")):
    rng = np.random.default_rng(0)
    shown = {name: rng.integers(0, 2, n) for name in "abc"}
    if tied:
        shown["b"] = shown["a"]
    spoken = {name: 1 - shown[name] if name in wrong else shown[name] for name in mention}
    captions = [" ".join(f"{name}{codes[k]}" for name, codes in spoken.items()) for k in range(n)]
    table = pd.DataFrame({name: [f"{name}{code}" for code in shown[name]] for name in labels})
    return estimate_misalignment(captions, table, LEXICON)


def said(table: pd.DataFrame) -> dict[str, str]:
    return dict(zip(table["factor"], table["statement"], strict=True))


def test_estimates_become_a_misalignment() -> None:
    assert estimate(mention="abc", wrong="b").to_misalignment() == Misalignment({"a", "b", "c"}, {"b"})
    assert estimate(mention="ab").to_misalignment(0.9) == Misalignment({"a", "b"})
    with pytest.raises(FactorError, match="selected must name at least one factor"):
        estimate(mention=()).to_misalignment()
    with pytest.raises(ConfigError, match=r"threshold must be in \(0, 1\]; got 0"):
        estimate().to_misalignment(0)


def test_without_a_size_only_what_is_never_mentioned_and_not_implied_cannot_be_learned() -> None:
    assert said(forecast(estimate())) == {"a": OPEN, "b": CANNOT, "c": CANNOT}
    assert said(forecast(estimate(tied=True))) == {"a": OPEN, "b": OPEN, "c": CANNOT}
    assert said(forecast(estimate(labels=("a", "b")))) == {"a": OPEN, "b": OPEN, "c": NOT_ASSESSABLE}


def test_statements_depend_on_the_output_size() -> None:
    biased = estimate(mention="ab")
    assert said(forecast(biased, encoding_size=1)) == {"a": PARTLY, "b": PARTLY, "c": MISSED}
    assert said(forecast(biased, encoding_size=2)) == {"a": LEARNED, "b": LEARNED, "c": MISSED}
    assert said(forecast(biased, encoding_size=3)) == {"a": LEARNED, "b": LEARNED, "c": OPEN}
    assert said(forecast(estimate(tied=True), encoding_size=1))["b"] == THROUGH_OTHERS
    with pytest.raises(ConfigError, match="encoding_size must be >= 1; got 0"):
        forecast(biased, encoding_size=0)
    with pytest.raises(ConfigError, match=r"threshold must be in \(0, 1\]; got 2"):
        forecast(biased, encoding_size=1, threshold=2)
    assert said(forecast(estimate(mention=()), encoding_size=1)) == {"a": OPEN, "b": OPEN, "c": OPEN}


def test_nothing_is_said_where_the_intervals_allow_two_blocks_that_disagree() -> None:
    rng = np.random.default_rng(1)
    shown = pd.DataFrame({name: np.array([f"{name}0", f"{name}1"])[rng.integers(0, 2, 400)] for name in "abc"})
    captions = [
        f"{a} {b}" if number % 2 else a for number, (a, b) in enumerate(zip(shown["a"], shown["b"], strict=True))
    ]
    found = estimate_misalignment(captions, shown, LEXICON)
    assert said(forecast(found, encoding_size=1)) == {"a": OPEN, "b": OPEN, "c": MISSED}
    assert said(forecast(found, encoding_size=2)) == {"a": LEARNED, "b": OPEN, "c": OPEN}
    reasons = forecast(found, encoding_size=1)["reason"]
    assert reasons[0] == "at threshold 0.5 the intervals do not settle whether the unbiased block holds b"
    assert said(forecast(found, encoding_size=2, threshold=0.3))["b"] == LEARNED


def test_a_factor_that_is_constant_where_another_is_known_is_not_taken_to_depend_on_it() -> None:
    labels = pd.DataFrame({"a": ["a0", "a1"] * 50, "b": ["b0"] * 100})
    found = estimate_misalignment(["b0"] * 100, labels, LEXICON)
    assert found.dependence["p_value"].tolist() == [1.0]


def test_missing_labels_and_null_captions_are_left_out_of_what_they_cannot_tell() -> None:
    labels = pd.DataFrame({"a": ["a0", None, "a1", "a1"]})
    row = estimate_misalignment(["a0", "a0", None, "a0"], labels, LEXICON).factors.iloc[0]
    assert (row["images"], row["selection"], row["wrong_value"], row["rho"]) == (3, 2 / 3, 0.5, 1.0)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: estimate_misalignment(["x"], pd.DataFrame({"a": ["A0"]}), LEXICON), FactorError,
         "unknown value of factor 'a' 'A0'; known: a0, a1$"),
        (lambda: estimate_misalignment(["x"], pd.DataFrame({"a": [3]}), LEXICON), FactorError,
         "must be names of values; got 3"),
        (lambda: estimate_misalignment(["x"], pd.DataFrame({"a": ["a0", "a1"]}), LEXICON), ShapeError,
         "got 1 captions, 2 rows"),
        (lambda: estimate_misalignment(["x"], pd.DataFrame({"a": ["a0"]}), LEXICON, level=1.0), ConfigError,
         "level must be inside"),
        (lambda: estimate_misalignment([], pd.DataFrame({"a": []}), LEXICON, lexicon_errors={"d": LexiconError()}),
         FactorError, "unknown factor 'd'; known: a, b, c"),
        (lambda: LexiconError(recall=0.1, false_positive=0.2), ConfigError, "recall must exceed false_positive"),
        (lambda: LexiconError({"a": 0.9}).rates("b"), ConfigError, "unknown value 'b'; known: a"),
        (lambda: DetectorError(("x", "y"), np.full((2, 2), 0.5)), ConfigError, "confusion cannot be inverted"),
        (lambda: DetectorError(("x", "y"), np.ones((2, 2))), ConfigError, "probabilities that sum to 1"),
        (lambda: DetectorError(("x", "y"), np.eye(3)), ConfigError,
         r"one row and one column per value, \(2, 2\); got \(3, 3\)"),
    ],
)  # fmt: skip
def test_mistakes_are_named(call, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


TONES = ("light", "medium-light", "medium", "medium-dark", "dark")


def emoji_lexicon() -> Lexicon:
    # "light skin tone" is also the end of "medium-light skin tone".
    exclude = {"light": ("medium-light skin tone",), "dark": ("medium-dark skin tone",)}
    tones = tuple(Concept(tone, (f"{tone} skin tone",), exclude.get(tone, ())) for tone in TONES)
    genders = (Concept("man", ("man", "men", "boy")), Concept("woman", ("woman", "women", "girl")))
    return Lexicon("emoji", (Group("skin_tone", tones), Group("gender", genders)))


@pytest.mark.parametrize(("omitted", "redrawn"), [(0.1, 0.0), (0.5, 0.3), (0.2, 0.9)])
def test_omission_and_redraw_injected_into_the_embedded_set_are_recovered(omitted: float, redrawn: float) -> None:
    emoji, rng = load_emoji(), np.random.default_rng(int(100 * omitted))
    captions = []
    for concept, tone, gender in zip(emoji.concepts, emoji.labels["skin_tone"], emoji.labels["gender"], strict=True):
        parts = [str(concept).replace("man", "_").replace("boy", "_").replace("girl", "_").replace("men", "_")]
        for value, values, form in ((gender, ("man", "woman"), "{}"), (tone, TONES, "{} skin tone")):
            if isinstance(value, str) and rng.random() >= omitted:
                parts.append(form.format(rng.choice(values) if rng.random() < redrawn else value))
        captions.append(": ".join(parts))
    found = estimate_misalignment(captions, emoji.labels, emoji_lexicon(), clusters=emoji.concepts)
    for row in found.factors.itertuples():
        assert row.selection_low <= 1 - omitted <= row.selection_high
        assert row.rho_low <= redrawn <= row.rho_high
    assert set(found.factors["note"]) == {""}

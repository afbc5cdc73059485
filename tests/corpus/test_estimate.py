"""Estimates and forecasts: what is said, what is refused, and injected biases on the embedded set."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from vergence import Factor, FactorSpace
from vergence.channels import Table, Unstated
from vergence.corpus import Concept, Group, Lexicon, lexicon_from_factors
from vergence.corpus.errata import DetectorError, LexiconError
from vergence.corpus.estimate import estimate_misalignment
from vergence.data import load_emoji
from vergence.errors import ConfigError, CorpusError, FactorError, ShapeError
from vergence.theory import spectrum

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


def noisy(rho: float, n: int = 2000, *, mentioned: float = 1.0):
    """Captions that get a right and redraw b at a rate."""
    rng = np.random.default_rng(4)
    a, b, other = rng.integers(0, 2, (3, n))
    spoken = np.where(rng.random(n) < rho, other, b)
    quiet = rng.random(n) >= mentioned
    captions = [f"a{x}" if silent else f"a{x} b{y}" for x, y, silent in zip(a, spoken, quiet, strict=True)]
    labels = pd.DataFrame({"a": [f"a{x}" for x in a], "b": [f"b{y}" for y in b]})
    return estimate_misalignment(captions, labels, LEXICON)


def test_an_estimate_holds_a_misalignment_of_rates_and_channels() -> None:
    found = noisy(0.4, mentioned=0.5)
    bias = found.misalignment
    assert dict(found.space) == {"a": SPACE["a"], "b": SPACE["b"]}
    assert bias.mention["a"] == 1.0
    assert bias.mention["b"] == pytest.approx(0.5, abs=0.05)
    assert bias.channels["b"].probability == pytest.approx(0.4, abs=0.1)
    assert bias.unbiased == {"a"}
    bias.check(found.space)


def test_where_no_redraw_explains_what_is_said_the_channel_is_its_table() -> None:
    found = estimate(mention="ab", wrong="b")
    assert found.misalignment.channels["b"] == Table([[0, 1], [1, 0]], ("b0", "b1"))
    told = spectrum(found.misalignment, found.space).set_index("factors")["strength"]
    assert told[("b",)] == pytest.approx(1)  # always wrong in one way tells all
    assert found.misalignment.selected == {"a", "b"}
    labels = pd.DataFrame({"a": ["a0", "a1"] * 20})
    lopsided = estimate_misalignment(["a1", "x"] * 20, labels, LEXICON)
    assert lopsided.misalignment.channels == {"a": Unstated()}
    assert not estimate(mention=()).misalignment.selected


def test_a_text_that_always_swaps_has_no_rho_and_keeps_its_wrong_value_rate() -> None:
    found = estimate(mention="ab", wrong="b")
    row = found.factors.set_index("factor").loc["b"]
    assert np.isnan(row["rho"])
    assert (row["rho_low"], row["rho_high"], row["wrong_value"]) == (0, 1, 1)
    assert "more often than a uniform redraw could (wrong-value rate 1, at most 0.5)" in row["note"]
    values = found.values[found.values["factor"] == "b"]
    assert values["rho"].isna().all()
    assert values["note"].str.startswith("not determined: captions say another value").all()


def test_a_rho_above_1_by_no_more_than_its_error_is_not_reported_but_its_interval_is() -> None:
    labels = pd.DataFrame({"a": ["a0", "a1"] * 20})
    captions = ["a1", "a0"] * 11 + ["a0", "a1"] * 9  # wrong in 22 of 40
    row = estimate_misalignment(captions, labels, LEXICON).factors.iloc[0]
    assert np.isnan(row["rho"])
    assert 0 < row["rho_low"] < 1 == row["rho_high"]
    assert row["note"].startswith("not determined: rho is estimated above 1, by no more than its error, so at least 0.")


def test_a_factor_of_one_value_has_nothing_to_get_wrong() -> None:
    lexicon = Lexicon("x", (Group("a", (Concept("a0"),)),))
    row = estimate_misalignment(["a0", ""], pd.DataFrame({"a": ["a0", "a0"]}), lexicon).factors.iloc[0]
    assert (row["selection"], row["wrong_value"]) == (0.5, 0)
    assert np.isnan(row["rho"])
    assert row["note"] == "not determined: one value leaves nothing to get wrong"


def test_the_said_by_shown_table_is_that_of_plain_counting() -> None:
    rng = np.random.default_rng(2)
    shown, said = rng.integers(0, 2, (2, 200))
    captions = [("a0", "a1", "", "a0 a1")[code] for code in said + 2 * rng.integers(0, 2, 200)]
    table = estimate_misalignment(captions, pd.DataFrame({"a": [f"a{code}" for code in shown]}), LEXICON).tables
    assert table["captions"].sum() == 200
    for row in table.itertuples():
        text = {"(nothing)": "", "(several)": "a0 a1"}.get(row.said, row.said)
        pairs = zip(captions, shown, strict=True)
        assert row.captions == sum(caption == text and f"a{code}" == row.shown for caption, code in pairs)


def test_dependence_counts_an_image_once_however_many_captions_it_has() -> None:
    labels = pd.DataFrame({"a": ["a0", "a0", "a1", "a1"], "b": ["b0", "b1", "b0", "b0"]})
    once = estimate_misalignment(["x"] * 4, labels, LEXICON).dependence
    many = pd.concat([labels] * 50, ignore_index=True)
    again = estimate_misalignment(["x"] * 200, many, LEXICON, clusters=list(range(4)) * 50).dependence
    assert again["p_value"].tolist() == once["p_value"].tolist()


def test_a_factor_that_is_constant_where_another_is_known_is_not_taken_to_depend_on_it() -> None:
    labels = pd.DataFrame({"a": ["a0", "a1"] * 50, "b": ["b0"] * 100})
    found = estimate_misalignment(["b0"] * 100, labels, LEXICON)
    assert found.dependence["p_value"].tolist() == [1.0]


def test_missing_labels_and_null_captions_are_left_out_and_counted() -> None:
    labels = pd.DataFrame({"a": ["a0", None, "a1", "a1"]})
    found = estimate_misalignment(["a0", "a0", None, "a0"], labels, LEXICON)
    row = found.factors.iloc[0]
    assert (row["images"], row["clusters"], row["unlabelled"], row["selection"], row["wrong_value"]) == (
        2,
        2,
        1,
        1,
        0.5,
    )
    assert (found.rows, found.lost) == (4, {"null": 1})


@pytest.mark.parametrize("missing", [None, float("nan"), np.nan, pd.NA, pd.NaT], ids=repr)
def test_a_missing_value_of_any_kind_is_missing(missing: object) -> None:
    labels = pd.DataFrame({"a": pd.Series(["a0", missing, "a1"], dtype=object), "b": [missing] * 3})
    found = estimate_misalignment(["a0", "a1", missing], labels, LEXICON)
    assert found.factors["images"].tolist() == [1, 0, 0]
    assert found.not_assessable == ("b", "c")
    assert found.lost == {"null": 1}
    with pytest.raises(
        CorpusError, match=r"clusters must say for every row .*; 1 of 3 are missing, the first in row 2"
    ):
        estimate_misalignment(["x"] * 3, labels, LEXICON, clusters=[1.0, missing, 2.0])


@pytest.mark.parametrize(
    ("clusters", "message"),
    [
        ([[1], [2]], r"clusters must be text or numbers; got \[1\] in row 1"),
        ([1, "1"], r"clusters must be of one type, .*got number \(row 1\) and str \(row 2\)"),
        (np.zeros((2, 2)), "clusters must be text or numbers; got array"),
        (pa.array([1, None]), "1 of 2 are missing, the first in row 2"),
    ],
    ids=str,
)
def test_clusters_that_cannot_be_compared_are_refused(clusters: object, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        estimate_misalignment(["x", "y"], pd.DataFrame({"a": ["a0", "a1"]}), LEXICON, clusters=clusters)


def test_numbers_of_clusters_are_told_apart_in_full() -> None:
    ids = [2**53, 2**53 + 1, 2**53 + 2, 2**53]
    labels = pd.DataFrame({"a": ["a0"] * 4})
    assert estimate_misalignment(["a0"] * 4, labels, LEXICON, clusters=ids).factors["clusters"][0] == 3


def test_text_of_every_kind_is_read() -> None:
    labels = pd.DataFrame({"a": ["a0", "a1"]})
    rates = [
        estimate_misalignment(captions, labels, LEXICON).factors["selection"][0]
        for captions in (["a0", "x"], np.array(["a0", "x"]), np.array([b"a0", b"x"]), pd.Series(["a0", "x"]),
                         pa.array(["a0", "x"]).dictionary_encode(), pa.array(["a0", "x"], pa.string_view()))
    ]  # fmt: skip
    assert rates == [0.5] * 6


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: estimate_misalignment(["x"], pd.DataFrame({"a": ["A0"]}), LEXICON), FactorError,
         "unknown value of factor 'a' 'A0'; known: a0, a1$"),
        (lambda: estimate_misalignment(["x"], pd.DataFrame({"a": [3]}), LEXICON), FactorError,
         "must be names of values; got 3 in row 1"),
        (lambda: estimate_misalignment(["x"], pd.DataFrame({"a": [["a0"]]}), LEXICON), FactorError,
         r"must be names of values; got \['a0'\] in row 1"),
        (lambda: estimate_misalignment(["x"], pd.DataFrame({"a": [" a0"]}), LEXICON), FactorError,
         "unknown value of factor 'a' ' a0'; known: a0, a1. Did you mean 'a0'"),
        (lambda: estimate_misalignment(["x"], pd.DataFrame([["a0", "a1"]], columns=["a", "a"]), LEXICON), FactorError,
         "labels of factor 'a' must be one column; got 2"),
        (lambda: estimate_misalignment("x", pd.DataFrame({"a": ["a0"]}), LEXICON), CorpusError, "got one text: 'x'"),
        (lambda: estimate_misalignment([3], pd.DataFrame({"a": ["a0"]}), LEXICON), CorpusError,
         "captions must be text; got 3 in row 1"),
        (lambda: estimate_misalignment(["\ud800"], pd.DataFrame({"a": ["a0"]}), LEXICON), CorpusError,
         "the caption in row 1 is not well-formed text"),
        (lambda: estimate_misalignment([b"\xff"], pd.DataFrame({"a": ["a0"]}), LEXICON), CorpusError,
         "the caption in row 1 is not well-formed text"),
        (lambda: estimate_misalignment(["x"], pd.DataFrame({"a": ["a0"]}), LEXICON,
                                       detectors={"b": DetectorError(("b0", "b1"), np.eye(2))}), FactorError,
         "errors of a detector are given for factor 'b', which has no labels"),
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
    emoji, rng = load_emoji(), np.random.default_rng([int(100 * omitted), 1])
    captions = []
    for concept, tone, gender in zip(emoji.clusters, emoji.labels["skin_tone"], emoji.labels["gender"], strict=True):
        parts = [str(concept).replace("man", "_").replace("boy", "_").replace("girl", "_").replace("men", "_")]
        for value, values, form in ((gender, ("man", "woman"), "{}"), (tone, TONES, "{} skin tone")):
            if isinstance(value, str) and rng.random() >= omitted:
                parts.append(form.format(rng.choice(values) if rng.random() < redrawn else value))
        captions.append(": ".join(parts))
    found = estimate_misalignment(captions, emoji.labels, emoji_lexicon(), clusters=emoji.clusters)
    for row in found.factors.itertuples():
        assert row.selection_low <= 1 - omitted <= row.selection_high
        assert row.rho_low <= redrawn <= row.rho_high
    assert set(found.factors["note"]) == {""}

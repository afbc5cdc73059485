"""The page and the terminal of an audit: the finding first, its axis and its intervals said, every reason in place."""

import io
from collections.abc import Sequence
from typing import Any

import pandas as pd
import pytest

from vergence import Factor, FactorSpace
from vergence.corpus import Coverage, concepts_146, estimate_misalignment, forecast, lexicon_from_factors
from vergence.reports.audit import audit_html, audit_table, finding_table, group_bars
from vergence.reports.bias import factor_tables, said_tables
from vergence.reports.findings import Findings, findings
from vergence.terminal import console, plain

SPACE = FactorSpace(
    (Factor("hue", ("red", "blue")), Factor("size", ("small", "large")), Factor("tone", ("dark", "pale")))
)
OPEN = "Not determined"
LEXICON = lexicon_from_factors(SPACE)


def labelled(hue: Sequence[str], size: Sequence[str], *, encoding_size: int | None = None) -> tuple[Any, Any, Any]:
    """600 images of every kind, captioned as the phrases say: "=" the image's value, "~" the other, "" nothing."""
    rows = [(h, s) for h in ("red", "blue") for s in ("small", "large")] * 150
    other = {"red": "blue", "blue": "red", "small": "large", "large": "small"}
    words = {"=": lambda value: value, "~": other.__getitem__, "": lambda value: ""}
    captions = [
        f"a {words[hue[k // 4 % len(hue)]](h)} {words[size[k // 4 % len(size)]](s)} thing"
        for k, (h, s) in enumerate(rows)
    ]
    estimate = estimate_misalignment(captions, pd.DataFrame(rows, columns=["hue", "size"]), LEXICON)
    said = forecast(estimate, encoding_size=encoding_size)
    coverage = Coverage(LEXICON)
    coverage.add(captions)
    results = coverage.to_dict()
    results["forecast"] = {"encoding_size": encoding_size, "statements": said.to_dict("records")}
    return results, estimate, said


def found(hue: str, size: str) -> Findings:
    results, estimate, _ = labelled(hue.split(","), size.split(","))
    return findings(results, estimate, results["forecast"])


@pytest.mark.parametrize(
    ("hue", "size", "headline"),
    [
        ("=", "=", "Captions teach hue and size strongly"),
        ("", "=", "Captions teach hue (mentioned in 0 %) not at all"),
        ("=,,,,", "=", "Captions teach hue (mentioned in 20 %) weakly"),
        ("=", "~,=", "Captions teach size (wrong in 50 % of mentions) not at all or weakly"),
        ("", "~", "Captions teach hue (mentioned in 0 %) not at all"),
        ("=,~", "~", "Captions teach hue (wrong in 50 % of mentions) not at all or weakly"),
        ("", "", "Captions teach hue (mentioned in 0 %) and size (mentioned in 0 %) not at all"),
        ("", "=,,,,", "Captions teach hue (mentioned in 0 %) not at all and size (mentioned in 20 %) weakly"),
        ("=,=,=,=,~", "=", "Captions are not shown to teach hue strongly"),
    ],
)
def test_the_headline_says_how_strongly_captions_teach_what_and_why_not(hue: str, size: str, headline: str) -> None:
    assert found(hue, size).headline == headline


def test_what_a_model_learns_comes_first_and_what_is_open_has_its_reason() -> None:
    results, estimate, _ = labelled([""], ["="])
    said = [
        ("hue", "not taught at all", "it is left out"),
        ("size", "taught strongly", "it is said"),
        ("tone", OPEN.lower(), "why"),
    ]
    statements = [dict(zip(("factor", "statement", "reason"), row, strict=True)) for row in said]
    points = dict(findings(results, estimate, {"encoding_size": 3, "statements": statements}).points)
    assert list(points)[:3] == [
        "Not taught at all at 3 outputs",
        "Taught strongly at 3 outputs",
        f"{OPEN} at 3 outputs",
    ]
    assert list(points.values())[:3] == ["hue", "size", "tone: why"]
    assert points["Strength, weakest first"] == "hue 0.00 (0.00 to 0.08), size 1.00 (0.98 to 1.00)"
    assert points["At times left out"] == "hue (mentioned in 0 %)"
    assert "At times wrong" not in points
    assert points["Not assessable without image labels"] == "tone"
    assert points["In no caption"].startswith("4 of 6 concepts: red, blue")
    assert dict(found("=", "~,=").points)["At times wrong"] == "size (in 50 % of mentions)"


@pytest.mark.parametrize(
    ("texts", "headline"),
    [
        ([], "There is no caption"),
        (["red small dark"], "Captions mention every group, least often hue (100 %)"),
        (["red small"] * 9, "No caption mentions tone"),
        ([""], "No caption mentions hue, size and tone"),
        (["red small dark"] + ["red small"] * 999, "Captions hardly mention tone (0.10 %)"),
        (["red small dark"] * 3 + ["red small"] * 97, "Captions seldom mention tone (3.0 %)"),
        (["red dark small"] * 30 + ["red small"] * 70, "Captions mention every group, least often tone (30 %)"),
    ],
)
def test_without_labels_the_headline_is_what_is_mentioned_least(texts: list[str], headline: str) -> None:
    coverage = Coverage(LEXICON)
    coverage.add(texts)
    assert findings(coverage.to_dict()).headline == headline
    assert f"<h1>{headline}</h1>" in audit_html(coverage.to_dict()).replace("\xa0", " ")


def test_bars_are_linear_where_shares_span_little_and_say_so_where_they_do_not() -> None:
    rows, axis = group_bars([{"share": 0.6}, {"share": 0.1}, {"share": 0.0}])
    assert [row["width"] for row in rows] == pytest.approx([0, 100 * 0.1 / 0.6, 100])
    assert axis["scale"] == "linear scale from 0"
    assert [tick["label"] for tick in axis["ticks"]] == ["0 %", "20 %", "40 %", "60 %"]
    rows, axis = group_bars([{"share": 0.5}, {"share": 0.001}, {"share": 0.0}])
    assert axis["scale"] == "logarithmic scale: each mark is ten times the one before it"
    assert 0 == rows[0]["width"] < rows[1]["width"] < rows[2]["width"] < 100
    assert group_bars([{"share": 0.0}])[0][0]["width"] == 0


@pytest.mark.parametrize("share", [1e-6, 0.0021, 0.017, 0.03, 0.25, 0.2500001, 0.51, 0.99, 1.0])
def test_a_linear_axis_ends_at_or_just_beyond_the_longest_bar(share: float) -> None:
    (row,), axis = group_bars([{"share": share}])
    assert 55 < row["width"] <= 100 + 1e-9
    assert 3 <= len(axis["ticks"]) <= 7
    assert axis["ticks"][-1]["at"] == pytest.approx(100)


def printed(*renderables: Any) -> list[str]:
    stream = io.StringIO()
    where = console(width=80)
    where.file = stream
    for renderable in renderables:
        where.print(renderable)
    return stream.getvalue().splitlines()


def test_the_terminal_fits_80_columns_and_says_each_reason_beside_its_factor() -> None:
    results, estimate, said = labelled(["=", ""], ["~"], encoding_size=3)
    text = printed(finding_table(findings(results, estimate, results["forecast"])), *factor_tables(estimate, said))
    text += printed(*said_tables(estimate), audit_table(results), plain("x"))
    assert max(map(len, text)) <= 80
    head = next(k for k, line in enumerate(text) if line.startswith("factor"))
    assert all(name in text[head] for name in ("mentioned in", "wrong in", "redrawn (ρ)"))
    size = next(k for k, line in enumerate(text) if k > head and line.startswith("size"))
    assert "not determined" in text[size]
    below = " ".join(line.strip() for line in text[size + 1 : size + 6])
    assert "not determined: captions say another value more often than a uniform redraw could" in below


def test_the_page_says_its_terms_scale_and_reasons_and_escapes_words_of_captions() -> None:
    results, estimate, said = labelled(["=", ""], ["~"], encoding_size=3)
    page = audit_html(results, estimate=estimate, forecast=said).replace("\xa0", " ")
    for text in ("mentioned in", "wrong in", "redrawn (ρ)", "linear scale from 0", "another value", "95 % confidence"):
        assert text in page
    assert '<td data-label="redrawn (ρ)">not determined<small>captions say another value more often' in page
    assert "Selection" not in page
    coverage = Coverage(concepts_146())
    coverage.add(["der Hund ist auf der <script>alert(1)</script> & Straße"] * 3)
    page = audit_html(coverage.to_dict())
    assert "<b>straße</b>" in page
    assert "look German" in page
    assert page.count("<script>") == 1

"""Parts of a study's page: escaped, scrolling where they are wide, with reasons said once."""

import numpy as np
import pandas as pd
from markupsafe import Markup

from vergence.reports.page import Section, build_page, comparison, grid, picture, prose


def claim(outcome: str | None, **more: object) -> dict:
    base = {"statement": "a <b>", "measured": 0.5, "at_least": 0.4, "at_most": None, "where": "", "outcome": outcome}
    return {**base, **more}


def page(claims: list[dict], **more: object) -> str:
    return build_page(
        **{
            "kicker": "k",
            "headline": "What <came>",
            "lede": "l",
            "claims": claims,
            "sections": [Section("T<1>", prose("a & b"))],
            "about": {"command": "vergence <x>"},
            **more,
        }
    )


def test_every_text_is_escaped_and_controls_are_shown() -> None:
    html = page([claim("holds", where="\x1b[31m")], notes=["<note>"])
    for raw in ("What <came>", "T<1>", "a & b", "<x>", "<note>", "a <b>", "\x1b"):
        assert raw not in html
    assert r"\x1b[31m" in html


def test_what_fails_comes_first_and_a_number_that_is_missing_is_said() -> None:
    html = page([claim(None, at_least=None), claim("holds"), claim("fails", measured=None, at_most=0.6)])
    assert html.index("✗ fails") < html.index("✓ holds") < html.index("no bound stated")
    assert "not measured" in html
    assert "≥ 0.4 and ≤ 0.6" in html
    assert "1 number without a bound" in html


def test_a_table_scrolls_and_keeps_markup_only_where_it_is_markup() -> None:
    html = grid(["a", "b"], [("<1>", Markup("<em>2</em>"))], label="x", numbers=("b",))
    assert 'class="scroll"' in html
    assert "&lt;1&gt;" in html
    assert "<em>2</em>" in html
    assert '<td class="number">' in html


def test_a_picture_follows_the_page_in_light_and_dark() -> None:
    html = picture("<svg width='1'></svg>", "<svg></svg>", caption='a "figure"')
    assert html.count("data:image/svg+xml;base64,") == 2
    assert "a &#34;figure&#34;" in html


def test_measurements_stand_beside_predictions_with_their_reasons_once() -> None:
    row = {"side": "image", "role": "named", "value": -0.001, "predicted_low": 0.0, "predicted_high": 0.5}
    row |= {"outcome": "as predicted", "reason": "because", "dependent": True}
    html = comparison(pd.DataFrame([row, {**row, "value": np.nan}]), settings=["seed", "dependent"])
    assert html.count("because") == 1
    assert "−0.00" not in html
    assert "2 as predicted" in html
    assert "<td>yes</td>" in html
    assert "empty" in comparison(pd.DataFrame(), settings=[])

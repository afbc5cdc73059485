"""Parts of a page on captions of pictures: complete, escaped, fit for a phone."""

from pathlib import Path

import pytest
from tests.browser import check_page, open_page
from tests.reports.scores import FLOOR, SAYS, scores

from vergence.reports.drawings import does, learned, retrieval, written
from vergence.reports.page import Section, build_page
from vergence.reports.words import show

HOSTILE = """<script>alert(1)</script>"'><img src=x onerror=alert(2)> {{ 7 * 7 }}"""
CLAIM = {"statement": "tone", "measured": 0.9, "at_least": 0.6, "at_most": None, "where": "", "outcome": "holds"}


def found(name: str = "person") -> dict:
    hit = {"hexcode": "1F9D1", "label": name, "factors": {"skin_tone": "dark", "gender": "woman"}}
    miss = {**hit, "factors": {"skin_tone": "light"}}
    wanted = {"skin_tone": "dark", "gender": "woman"}
    return {"omit": [{"query": f"dark {name}", "wanted": wanted, "hits": [hit, miss]}]}


def captions(name: str = "person") -> dict:
    return {"omit": [{"hexcode": "1F9D1", "label": name, "caption": f"a {name}"}]}


def page(name: str = "person") -> str:
    table = scores(seeds=2)
    if name != "person":
        table = table.replace({"captions": {"omit": name}, "factor": {"gender": name}})
    sections = [
        Section("What was learned", learned(table, SAYS)),
        Section("What a query finds", retrieval(found(name), {})),
        Section("What the captions said", written(captions(name), {})),
    ]
    return build_page(
        kicker="demo", headline=f"Tone {name}", lede="lede", claims=[CLAIM], first=sections, sections=[], about={}
    )


def file(tmp_path: Path, name: str = "person") -> Path:
    path = tmp_path / "page.html"
    path.write_text(page(name), encoding="utf-8")
    return path


def test_every_score_stands_between_its_floor_and_its_ceiling() -> None:
    board = str(learned(scores(), SAYS))
    for row in scores().itertuples():
        assert f'class="score">{show(row.value)}</span>' in board
    assert f"{show(FLOOR['skin_tone'])} untrained, ceiling 0.84" in board
    assert board.count(">not learned<") == 2


def test_what_captions_do_is_said_in_a_line() -> None:
    assert does(SAYS["faithful"]) == "all named"
    assert does(SAYS["perturb"]) == "gender, group and subgroup named; skin tone often wrong"


def test_a_hit_has_everything_that_was_asked_for() -> None:
    shown = str(retrieval(found(), {}))
    assert "1 of 2 right" in shown
    assert shown.count('class="hit"') == shown.count('class="miss"') == 1
    assert "no gender" in shown


def test_the_finding_comes_before_claims() -> None:
    html = page()
    assert html.index("What was learned") < html.index("What a query finds") < html.index(">Claims<")


def test_texts_from_data_stay_text() -> None:
    html = page(HOSTILE)
    assert "<script" not in html
    assert "<img src=x" not in html
    assert "{{ 7 * 7 }}" in html


@pytest.mark.slow
@pytest.mark.parametrize("name", ["person", HOSTILE])
def test_the_page_keeps_its_promises_in_a_browser(tmp_path: Path, name: str) -> None:
    check_page(file(tmp_path, name))


@pytest.mark.slow
def test_the_first_screen_says_what_was_learned_and_nothing_is_cut_off_on_a_phone(tmp_path: Path) -> None:
    path = file(tmp_path)
    with open_page(path, width=1280) as (tab, _):
        tab.set_viewport_size({"width": 1280, "height": 800})
        bottoms = tab.evaluate(
            "[...document.querySelectorAll('.board .level')].map(e => e.getBoundingClientRect().bottom)"
        )
        assert len(bottoms) == 16
        assert max(bottoms) < 800
    with open_page(path, width=400) as (tab, _):
        rights = tab.evaluate(
            "[...document.querySelectorAll('.board .level')].map(e => e.getBoundingClientRect().right)"
        )
        assert max(rights) <= 400

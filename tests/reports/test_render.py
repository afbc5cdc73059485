"""One report in three forms: complete, escaped, alike each time."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from math import nan
from typing import Any

import pytest
from rich.console import Console
from tests.reports.results import HEXCODES, demo_results, images

from vergence.errors import ConfigError
from vergence.reports import Report, build_report, table

HOSTILE = """<script>alert(1)</script>"'><img src=x onerror=alert(2)> {{ 7 * 7 }} [x](javascript:y) `z` | $a$ [bold]"""
HOSTILE_NAME = """<b onclick=x>"'$&|"""


class Page(HTMLParser):
    """Elements with their attributes, and the text outside style sheets."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._in_style = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._in_style = tag == "style"

    def handle_endtag(self, tag: str) -> None:
        self._in_style = False

    def handle_data(self, data: str) -> None:
        self.text += "" if self._in_style else data


@pytest.fixture(scope="module")
def report() -> Report:
    return build_report(demo_results(), images=images())


def hostile(value: Any) -> Any:
    """The same results with an attack appended to every text, names of policies and factors among them."""
    if isinstance(value, dict):
        names = {"policies", "factors", "sizes"}
        return {
            key: {f"{name} {HOSTILE_NAME}": hostile(item) for name, item in value[key].items()}
            if key in names and isinstance(value[key], dict)
            else value[key] if key in ("hexcode", "predicted") else hostile(value[key])
            for key in value
        }  # fmt: skip
    if isinstance(value, list):
        return [hostile(item) for item in value]
    return f"{value} {HOSTILE}" if isinstance(value, str) else value


@pytest.fixture(scope="module")
def attacked() -> Report:
    return build_report(hostile(demo_results()), images=images())


def test_the_page_says_everything_that_the_summary_says(report: Report) -> None:
    text = Page(report.html()).text
    for verdict in (*report.summary["contrasts"], *report.summary["sizes"]):
        assert verdict["text"] in text
    assert report.summary["headline"] in text
    assert report.summary["tally"] in text
    assert "vergence demo --out demo --seed 0" in text
    assert "torch 2.13.0" in text


def test_the_page_shows_every_number_with_its_interval(report: Report) -> None:
    text = Page(report.html()).text
    for policy in report.results["policies"].values():
        for record in policy["factors"].values():
            assert f"{record['value']:.2f} [{record['low']:.2f}, {record['high']:.2f}]" in text


def test_the_page_refers_to_nothing_outside_itself_and_runs_no_script(report: Report) -> None:
    page = Page(report.html())
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "iframe", "object", "embed", "form", "base"}
    for tag, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on")], tag
        for name in ("src", "srcset", "href"):
            assert (attributes.get(name) or "data:").startswith("data:"), tag
    (policy,) = [a["content"] for _, a in page.elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "script" not in policy


def test_texts_from_data_stay_text_in_the_page(report: Report, attacked: Report) -> None:
    page, plain = Page(attacked.html()), Page(report.html())
    assert [tag for tag, _ in page.elements if tag != "small"] == [tag for tag, _ in plain.elements if tag != "small"]
    assert [sorted(a) for tag, a in page.elements if tag != "small"] == [
        sorted(a) for tag, a in plain.elements if tag != "small"
    ]
    assert f"a woman with dark skin {HOSTILE}" in page.text


def test_texts_from_data_stay_text_in_markdown(attacked: Report) -> None:
    text = attacked.markdown()
    assert "<" not in text
    assert not re.search(r"(?<!\\)\]\((?!figures/\w+\.svg\))", text)
    assert r"\[x\](javascript:y) \`z\` \|" in text


def test_texts_from_data_stay_text_in_the_figures(attacked: Report) -> None:
    for figure in (*attacked.figures.values(), *attacked.narrow.values()):
        assert "<script" not in figure
        assert "<img" not in figure


def test_markdown_tables_have_as_many_cells_in_every_row(report: Report) -> None:
    rows = [line for line in report.markdown().splitlines() if line.startswith("|")]
    assert len(rows) == 2 + 4
    assert {row.count("|") for row in rows} == {6}


def test_markdown_points_to_every_figure(report: Report) -> None:
    for name in report.figures:
        assert f"](plots/{name}.svg)" in report.markdown(folder="plots")


def test_json_keeps_the_results_and_adds_the_summary(report: Report) -> None:
    parsed = json.loads(report.json())
    assert parsed.pop("summary")["headline"] == report.summary["headline"]
    assert parsed == report.results


def test_json_is_strict(report: Report) -> None:
    results = demo_results("omit")
    results["policies"]["omit"]["factors"]["gender"]["value"] = nan
    parsed = json.loads(replace(report, results=results).json(), parse_constant=pytest.fail)
    assert parsed["policies"]["omit"]["factors"]["gender"]["value"] is None


def test_the_same_results_give_the_same_report(report: Report) -> None:
    again = build_report(demo_results(), images=images())
    assert again.html() == report.html()
    assert again.figures == report.figures


def test_alternative_texts_of_figures_state_the_finding(report: Report) -> None:
    main, sizes = [a["alt"] or "" for tag, a in Page(report.html()).elements if tag == "img" and a["alt"]][:1] + [
        a["alt"] or "" for _, a in Page(report.html()).elements if (a.get("alt") or "").startswith("Scores by output")
    ]
    assert report.summary["headline"] in main
    assert "0.17 at 3 outputs, 0.26 at 16, 0.44 at 64" in sizes


def test_a_missing_picture_leaves_its_label(report: Report) -> None:
    pictures = {hexcode: data for hexcode, data in images().items() if hexcode != HEXCODES[0]}
    page = Page(replace(report, images=pictures).html())
    assert ("span", {"class": "absent"}) in page.elements
    assert "person 0" in page.text


def test_missing_parts_leave_their_sections_out() -> None:
    results = demo_results("omit")
    for part in ("sizes", "retrieval", "timings", "versions", "data", "seed", "command"):
        del results[part]
    del results["policies"]["omit"]["captions"]
    report = build_report(results)
    assert list(report.figures) == ["measured_against_predicted"]
    headings = [a.get("id") for tag, a in Page(report.html()).elements if tag == "h2"]
    assert headings == ["measured", "method"]
    assert "## Output size" not in report.markdown()


def test_results_without_any_score_are_refused() -> None:
    with pytest.raises(ConfigError, match="scores must have"):
        build_report({"policies": {"omit": {"factors": {}}}})


# --------------------------------------------------------------------------------------------------------- terminal
def test_the_table_fits_eighty_columns_and_holds_every_number() -> None:
    console = Console(width=80, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(table(demo_results()))
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) == 1 + 16 + 1
    assert "omit      skin tone      0.26   [0.20, 0.32]    depends  theory is silent" in "\n".join(lines)


def test_the_table_takes_names_as_text() -> None:
    results = demo_results("omit")
    results["policies"] = {"[red]omit[/]": results["policies"]["omit"]}
    console = Console(width=80, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(table(results))
    assert "[red]omit[/]" in console.export_text()

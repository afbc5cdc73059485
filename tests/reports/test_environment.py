"""What reaches a page, a figure or Markdown: no control character, whatever the data hold."""

import xml.etree.ElementTree as ET

import pytest
from jinja2 import UndefinedError
from markupsafe import Markup
from matplotlib.figure import Figure
from tests.reports.test_drawings import HOSTILE, page

from vergence.plots.style import styled, svg
from vergence.reports.page import environment

CONTROL = "a\x1b[31m\x00\x9b\u202e\x7f\ufffeb"
SHOWN = r"a\x1b[31m\x00\x9b\u202e\x7f\ufffeb"


def control(text: str) -> set[str]:
    return {c for c in text if (ord(c) < 32 and c not in "\n\t") or 0x7F <= ord(c) < 0xA0 or 0xD800 <= ord(c) < 0xE000}


def test_texts_are_shown_and_markup_stays_markup() -> None:
    made = environment().from_string("{{ a }}{{ b }}{{ 3 }}{{ c }}")
    assert made.render(a=f"{CONTROL}\n", b=Markup("<b>\x1b</b>"), c="\ud800") == f"{SHOWN}\n<b>\\x1b</b>3\\ud800"
    with pytest.raises(UndefinedError, match="'a' is undefined"):
        environment().from_string("{{ a }}").render()


def test_no_control_character_reaches_a_page() -> None:
    html = page(CONTROL)
    assert control(html) == set()
    assert SHOWN in html


def test_a_figure_with_any_name_is_well_formed() -> None:
    with styled():
        figure = Figure()
        figure.subplots().set_title(f"{CONTROL}\n猫 <&>")
    drawn = svg(figure)
    assert control(drawn) == set()
    assert SHOWN in "".join(ET.fromstring(drawn).itertext())


def test_attacks_and_controls_together_are_still_escaped() -> None:
    assert "<script" not in page(f"{HOSTILE}{CONTROL}")

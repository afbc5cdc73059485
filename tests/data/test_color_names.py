"""Basic terms of colour: against the table line by line, and what nobody doubts."""

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.reference.pixels import slow_lab, slow_term

from vergence.data.color_names import BASIC_TERMS, NO_TERM, certain, color_table, color_terms, places
from vergence.errors import MissingExtraError

CHANNEL = st.integers(0, 255)


def term(*pixel: int) -> str | None:
    return certain(color_table().lab[places(np.array(pixel, dtype=np.uint8))])


@pytest.mark.parametrize(
    ("name", "pixel"),
    [
        ("black", (0, 0, 0)),
        ("white", (255, 255, 255)),
        ("grey", (128, 128, 128)),
        ("red", (255, 0, 0)),
        ("orange", (255, 140, 0)),
        ("yellow", (255, 255, 0)),
        ("green", (0, 128, 0)),
        ("green", (0, 255, 0)),
        ("blue", (0, 0, 255)),
        ("blue", (0, 0, 128)),
        ("blue", (135, 206, 235)),
        ("purple", (128, 0, 128)),
        ("pink", (255, 192, 203)),
        ("pink", (255, 105, 180)),
        ("brown", (139, 69, 19)),
    ],
)
def test_what_nobody_doubts_has_its_name(name: str, pixel: tuple[int, int, int]) -> None:
    assert term(*pixel) == name


def test_beige_and_what_lies_between_two_names_have_none() -> None:
    assert term(245, 225, 200) is None  # pale skin
    assert term(0, 150, 140) is None  # teal


@given(CHANNEL, CHANNEL, CHANNEL)
def test_the_table_holds_the_colours_of_float64_loops(red: int, green: int, blue: int) -> None:
    place = places(np.array([red, green, blue], dtype=np.uint8))
    levels = [(channel * 63 + 127) // 255 / 63 for channel in (red, green, blue)]
    np.testing.assert_allclose(color_table().lab[place], slow_lab(*levels), atol=0.02)
    np.testing.assert_allclose(levels, np.array([red, green, blue]) / 255, atol=2 / 255 + 1e-12)


@given(st.floats(0, 100), st.floats(-120, 120), st.floats(-120, 120))
def test_terms_are_those_of_the_table_line_by_line(L: float, a: float, b: float) -> None:
    found = int(color_terms(np.array([[L, a, b]]))[0])
    assert (None if found == NO_TERM else BASIC_TERMS[found]) == slow_term(L, a, b)


@given(CHANNEL)
def test_greys_have_the_name_of_a_grey(level: int) -> None:
    assert term(level, level, level) in {"black", "grey", "white", None}


def test_without_scikit_image_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skimage.color", None)
    color_table.cache_clear()
    with pytest.raises(MissingExtraError, match=r"scikit-image.*pip install 'vergence\[pixels\]'"):
        color_table()

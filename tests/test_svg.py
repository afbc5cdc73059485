"""SVG files that nobody vouches for: what is drawn of them, and what is never opened."""

import base64
import io
import sys

import numpy as np
import pytest
from PIL import Image
from tests.data.clipart import GOOD, REFUSED, metadata, square, svg

from vergence.errors import CorpusError, MissingExtraError
from vergence.svg import draw_svg, outside, parse_svg, read_svg

WHITE, RED, BLUE = (255, 255, 255), (255, 0, 0), (0, 0, 255)


def drawn(data, side=16):
    return draw_svg(parse_svg(data), side=side)


def blue_file(folder):
    path = folder / "blue.png"
    Image.new("RGB", (4, 4), "blue").save(path)
    return path


def picture(href):
    return svg(f'<image width="40" height="20" xlink:href="{href}"/>')


def test_a_drawing_is_in_the_middle_of_a_white_square_in_proportion():
    image = drawn(square("red"))
    assert (image.size, image.mode) == ((16, 16), "RGB")
    assert [image.getpixel(at) for at in ((8, 3), (8, 4), (0, 11), (15, 12))] == [WHITE, RED, RED, WHITE]
    tall = drawn(svg('<rect width="20" height="40" fill="red"/>', size='width="20" height="40"'))
    assert [tall.getpixel(at) for at in ((3, 8), (4, 8), (11, 0), (12, 15))] == [WHITE, RED, RED, WHITE]


def test_what_is_transparent_shows_white():
    half = svg('<rect width="40" height="20" fill="red" fill-opacity="0.5"/>')
    assert drawn(half).getpixel((8, 8)) in {(255, 127, 127), (255, 128, 128)}


def test_a_drawing_without_a_namespace_is_drawn():
    assert drawn(b'<svg width="9" height="9"><rect width="9" height="9" fill="red"/></svg>').getpixel((8, 8)) == RED


def test_the_size_that_a_drawing_states_takes_no_memory():
    assert drawn(square("red", size='width="1e9" height="1e9" viewBox="0 0 20 20"')).getpixel((8, 8)) == RED


@pytest.mark.parametrize("unit", ["pt", "mm", "in", "em", "%"])
def test_a_size_may_be_in_any_unit(unit):
    data = square("red", size=f'width="40.000{unit}" height="20.000{unit}" viewBox="0 0 40 20"')
    assert drawn(data).getpixel((8, 8)) == RED


def test_text_is_drawn_whatever_font_it_asks_for():
    for family in ("Bitstream Vera Sans", "Times", "no such font"):
        image = drawn(svg(f'<text y="18" style="font-size:18px;font-family:{family}">Text</text>'), side=64)
        assert np.asarray(image).min() < 64


@pytest.mark.parametrize("way", ["{}", "file://{}", " {}"])
def test_a_picture_in_another_file_is_not_opened(tmp_path, way):
    data = picture(way.format(blue_file(tmp_path)))
    assert drawn(data).getextrema() == ((255, 255),) * 3
    assert outside(parse_svg(data)) == 1


def test_a_picture_beside_the_process_is_not_opened(tmp_path, monkeypatch):
    blue_file(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert drawn(picture("blue.png")).getextrema() == ((255, 255),) * 3


def test_a_picture_within_a_drawing_within_a_drawing_is_not_opened(tmp_path):
    inner = base64.b64encode(picture(str(blue_file(tmp_path)))).decode()
    for kind in ("image/svg+xml", ""):
        assert drawn(picture(f"data:{kind};base64,{inner}")).getextrema() == ((255, 255),) * 3


def test_a_picture_that_is_in_the_file_is_drawn():
    file = io.BytesIO()
    Image.new("RGB", (4, 2), "blue").save(file, "PNG")
    for kind in ("image/png", ""):  # as some programs leave it out
        data = picture(f"data:{kind};base64,{base64.b64encode(file.getvalue()).decode()}")
        assert drawn(data).getpixel((8, 8)) == BLUE
        assert outside(parse_svg(data)) == 0


def test_entities_that_name_namespaces_are_understood():
    assert drawn(GOOD["computer/adobe"]).getpixel((8, 8)) == (0, 0, 0)


def test_what_an_author_stated_is_read_field_by_field():
    said = read_svg(GOOD["animals/horse_conner_01"], 16).said
    assert said["title"] == ["Tempus Fugit"]
    assert (said["subject"], said["creator"], said["description"]) == (["horse", "robot"], ["John Conner"], [])
    assert said["license"] == ["http://web.resource.org/cc/PublicDomain"]


def test_what_shows_nothing_on_white_is_refused():
    for key, (data, reason) in REFUSED.items():
        if reason == "shows nothing on white":
            with pytest.raises(CorpusError, match=reason):
                read_svg(data, 16)
            assert drawn(data).getextrema() == ((255, 255),) * 3, key


def test_the_tree_is_left_as_it_was():
    root = parse_svg(GOOD["computer/photo"])
    before = [dict(each.attrib) for each in root.iter()]
    draw_svg(root, side=8)
    assert [dict(each.attrib) for each in root.iter()] == before


REASONS = {key: entry for key, entry in REFUSED.items() if entry[1] != "shows nothing on white"}


@pytest.mark.parametrize("key", REASONS)
def test_what_cannot_be_trusted_or_drawn_is_refused_with_the_reason(key):
    data, reason = REASONS[key]
    with pytest.raises(CorpusError, match=f"^{reason}"):
        drawn(data)


def test_a_long_entity_is_refused_though_it_holds_no_other():
    head = f'<!DOCTYPE svg [<!ENTITY a "{"x" * 1001}">]>\n'
    with pytest.raises(CorpusError, match="declares an entity that grows"):
        parse_svg(svg(metadata("&a;"), head=head))


def test_without_the_package_that_draws_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'vergence\[svg\]'"):
        drawn(square("red"))

"""Labels by pixels: rules pixel by pixel, what must not change them, and silence where an image is ambiguous."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from tests.reference.pixels import slow_color, slow_foreground, slow_term

from vergence.data.color_names import color_table, places
from vergence.data.pixels import PIXEL_FACTORS, label_image, pixel_labels
from vergence.errors import ConfigError

PALETTE = [(220, 30, 40), (250, 90, 90), (30, 60, 200), (20, 120, 40), (250, 220, 40), (120, 120, 120)]
SUBJECT = ("color", "lightness", "chroma")


@st.composite
def drawings(draw: st.DrawFn) -> Image.Image:
    """Rectangles on white that do not touch the border, and are no specks, which a margin would make background."""
    image = Image.new("RGB", (draw(st.integers(8, 20)), draw(st.integers(8, 20))), "white")
    for _ in range(draw(st.integers(1, 4))):
        left, top = draw(st.integers(1, image.width - 5)), draw(st.integers(1, image.height - 5))
        right, low = draw(st.integers(left + 4, image.width - 1)), draw(st.integers(top + 4, image.height - 1))
        image.paste(draw(st.sampled_from(PALETTE)), (left, top, right, low))
    return image


def values(image: Image.Image, factors: tuple[str, ...] = SUBJECT) -> list[str | None]:
    return [label.value for label in label_image(image, factors).values()]


def disc(color: object, ground: object = "white", mode: str = "RGB", side: int = 40) -> Image.Image:
    image = Image.new(mode, (side, side), ground)
    image.paste(color, (side // 4, side // 4, 3 * side // 4, 3 * side // 4))
    return image


@settings(max_examples=25)
@given(drawings())
def test_the_colour_is_that_of_float64_loops(image: Image.Image) -> None:
    lab = color_table().lab[places(np.asarray(image))].tolist()
    names = [[slow_term(*pixel) or "" for pixel in row] for row in lab]
    inside = slow_foreground(names)
    subject = [lab[y][x] for y in range(image.height) for x in range(image.width) if inside[y][x]]
    assert values(image, ("color",)) == [slow_color(subject)]


@given(drawings(), st.integers(2, 4))
def test_enlarging_by_a_whole_number_changes_no_label(image: Image.Image, factor: int) -> None:
    larger = image.resize((factor * image.width, factor * image.height), Image.Resampling.NEAREST)
    every = tuple(PIXEL_FACTORS)
    assert values(larger, every) == values(image, every)


@given(drawings())
def test_flips_change_no_label(image: Image.Image) -> None:
    every = tuple(PIXEL_FACTORS)
    assert values(ImageOps.mirror(image), every) == values(ImageOps.flip(image), every) == values(image, every)


@given(drawings(), st.integers(1, 9))
def test_a_white_margin_changes_nothing_of_the_subject(image: Image.Image, width: int) -> None:
    assert values(ImageOps.expand(image, width, "white")) == values(image)


@given(drawings(), st.sampled_from([(0, 0, 0, 0), (255, 0, 0, 0)]))
def test_what_shows_through_does_not_matter(image: Image.Image, clear: tuple[int, ...]) -> None:
    mask = Image.new("L", image.size)
    mask.paste(255, (1, 1, image.width - 1, image.height - 1))
    layered = Image.composite(image.convert("RGBA"), Image.new("RGBA", image.size, clear), mask)
    on_white = Image.composite(image, Image.new("RGB", image.size, "white"), mask)
    assert values(layered, ("transparency",)) == ["transparent"]
    assert values(on_white, ("transparency",)) == ["opaque"]


@given(drawings())
def test_a_grey_image_is_grey(image: Image.Image) -> None:
    color, _, chroma = values(image.convert("L"))
    assert color in {"black", "grey", "white", None}
    assert chroma == "grey"


def test_the_background_is_left_out_whatever_it_is() -> None:
    red = (220, 30, 40)
    for ground in ("white", (60, 90, 200), (128, 128, 128), "black"):
        assert values(disc(red, ground)) == ["red", "medium", "colour"]
    assert values(disc((*red, 255), (0, 0, 0, 0), "RGBA")) == ["red", "medium", "colour"]
    room = disc(red, (60, 90, 200))
    room.paste((20, 120, 40), (0, 34, 40, 40))  # a wall and a floor
    assert values(room, ("color",)) == ["red"]


def test_a_plain_image_has_its_colour_and_white_is_one() -> None:
    assert values(Image.new("RGB", (9, 9), (220, 30, 40)), ("color",)) == ["red"]
    assert values(Image.new("RGB", (9, 9), "white")) == ["white", "light", "grey"]
    framed = disc("white", "white")
    framed.paste((120, 120, 120), (8, 8, 32, 32))
    framed.paste("white", (9, 9, 31, 31))
    assert values(framed, ("color",)) == ["white"]


def test_shading_is_one_colour() -> None:
    ramp = np.linspace(0.55, 1, 40)[:, None, None] * np.array([220, 30, 40])
    image = disc((0, 0, 0))
    image.paste(Image.fromarray(np.tile(ramp, (1, 20, 1)).astype(np.uint8)[10:30]), (10, 10))
    assert values(image, ("color",)) == ["red"]


def test_there_is_no_label_rather_than_a_wrong_one() -> None:
    thirds = Image.new("RGB", (50, 50), "white")
    for at, color in enumerate([(220, 30, 40), (30, 60, 200), (20, 120, 40)]):
        thirds.paste(color, (10 + 10 * at, 10, 20 + 10 * at, 40))
    assert label_image(thirds, ["color"])["color"] == (None, "no colour is that of half the subject")
    teal = label_image(disc((0, 150, 140)), ["color"])["color"]
    assert teal == (None, "its colour lies between names")
    edge = int(np.abs(color_table().lab[places(np.arange(256, dtype=np.uint8)[:, None].repeat(3, 1)), 0] - 40).argmin())
    assert label_image(disc((edge,) * 3), ["lightness"])["lightness"].reason == "its lightness lies between two values"
    faint = label_image(disc((150, 122, 108)), ["chroma"])["chroma"]
    assert faint == (None, "its chroma lies between grey and colour")
    assert label_image(Image.new("RGB", (100, 106)), ["aspect"])["aspect"] == (None, "nearly square")
    clear = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    assert {label_image(clear, [name])[name] for name in SUBJECT} == {(None, "nothing in it is opaque")}
    speck = Image.new("RGBA", (20, 20), (9, 9, 9, 255))
    speck.putpixel((0, 0), (0, 0, 0, 0))
    assert label_image(speck, ["transparency"])["transparency"] == (None, "less than 1 % is transparent")


@pytest.mark.parametrize(
    ("size", "aspect"), [((100, 100), "square"), ((103, 100), "square"), ((80, 100), "portrait"), ((3, 1), "landscape")]
)
def test_the_aspect_is_that_of_the_sides(size: tuple[int, int], aspect: str) -> None:
    assert values(Image.new("RGB", size), ("aspect",)) == [aspect]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_every_mode_is_read(mode: str) -> None:
    assert values(Image.new(mode, (9, 9)), ("aspect",)) == ["square"]
    assert pixel_labels([Image.new(mode, (9, 9), 1 if mode != "CMYK" else 0)]).shape == (1, 5)


def test_a_large_image_is_reduced_and_labelled_as_a_small_one() -> None:
    image = disc((220, 30, 40), side=600)
    assert values(image) == values(image.resize((60, 60))) == ["red", "medium", "colour"]


def test_a_table_counts_why_labels_are_missing() -> None:
    table = pixel_labels([disc((220, 30, 40)), disc((0, 150, 140)), disc((0, 150, 140))], ["color", "aspect"])
    assert table["color"].tolist() == ["red", None, None]
    assert table.attrs["unlabelled"] == {"color": {"its colour lies between names": 2}, "aspect": {}}
    assert pixel_labels([]).empty


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        (["colour"], "unknown pixel factor 'colour'; known: color, lightness, .* Did you mean 'color'"),
        ([], "name each factor once, at least one of color, .*; got none"),
        (["color", "color"], "name each factor once, .*; got color, color"),
    ],
)
def test_factors_that_pixels_do_not_state_are_refused(factors: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        label_image(Image.new("RGB", (2, 2)), factors)

"""`decode_image`: what a viewer shows, and one line for what no viewer can."""

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vergence.decoding import decode_image
from vergence.errors import CorpusError

GREY, RGB = 0, 2  # colour types of PNG


def png(pixels: list[int], *, depth: int, colour: int, clear: tuple[int, ...] = ()) -> bytes:
    """One row of pixels as a PNG file of a given depth, which Pillow cannot write."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    bits = "".join(f"{value:0{depth}b}" for value in pixels)
    row = int(bits, 2).to_bytes(len(bits) // 8, "big")
    width = len(pixels) // (3 if colour == RGB else 1)
    header = struct.pack(">IIBBBBB", width, 1, depth, colour, 0, 0, 0)
    transparent = chunk(b"tRNS", struct.pack(f">{len(clear)}H", *clear)) if clear else b""
    body = chunk(b"IHDR", header) + transparent + chunk(b"IDAT", zlib.compress(b"\0" + row)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def saved(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def shown(file: bytes) -> list[list[int]]:
    return np.asarray(decode_image(file)).reshape(-1, 3).tolist()


def test_sixteen_bits_of_grey_become_eight_in_proportion() -> None:
    assert shown(png([0, 257, 32768, 65535], depth=16, colour=GREY)) == [[v] * 3 for v in (0, 1, 128, 255)]


@pytest.mark.parametrize(
    ("file", "colours"),
    [
        (png([32768, 0, 65535], depth=16, colour=RGB), [[128, 0, 255]]),
        (png([1, 0, 1, 0, 0, 0, 0, 0], depth=1, colour=GREY), [[255] * 3, [0] * 3] * 2 + [[0] * 3] * 4),
        (png([0, 1, 2, 3], depth=2, colour=GREY), [[v] * 3 for v in (0, 85, 170, 255)]),
        (saved(Image.new("LA", (1, 1), (90, 255)), "PNG"), [[90] * 3]),
        (saved(Image.new("LA", (1, 1), (90, 0)), "PNG"), [[255] * 3]),
        (saved(Image.new("RGBA", (1, 1), (0, 0, 0, 0)), "WEBP", lossless=True), [[255] * 3]),
        (saved(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=100), [[255, 0, 0]] * 64),
    ],
    ids=["rgb16", "one bit", "two bits", "grey with alpha", "clear", "clear webp", "cmyk"],
)
def test_every_kind_of_pixel_comes_out_as_it_is_shown(file: bytes, colours: list[list[int]]) -> None:
    np.testing.assert_allclose(shown(file), colours, atol=2)


@pytest.mark.parametrize(
    ("pixels", "depth", "colour", "clear"),
    [
        ([1000, 2000], 16, GREY, (2000,)),
        ([256, 512, 768, 32768, 0, 65535], 16, RGB, (32768, 0, 65535)),
        ([10, 20, 30, 40, 50, 60], 8, RGB, (40, 50, 60)),
        ([0, 0, 1, 1], 2, GREY, (1,)),
        ([0, 1], 4, GREY, (1,)),
    ],
)
def test_a_transparent_colour_shows_white_at_every_depth(pixels, depth, colour, clear) -> None:
    found = shown(png(pixels, depth=depth, colour=colour, clear=clear))
    assert found[-1] == [255] * 3
    assert max(found[0]) < 35


def test_a_palette_with_a_transparent_entry_shows_white_there() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([200, 0, 0, 0, 0, 200])
    image.putpixel((1, 0), 1)
    assert shown(saved(image, "PNG", transparency=1)) == [[200, 0, 0], [255, 255, 255]]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_in_every_format(kind: str, orientation: int) -> None:
    """The corner that is white lies where the orientation, as EXIF defines it, says that the first pixel is shown."""
    stored = Image.new("RGB", (16, 32))
    stored.paste((255, 255, 255), (0, 0, 8, 8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = np.asarray(decode_image(saved(stored, kind, exif=exif)))[..., 0] > 128
    corner = {1: "tl", 2: "tr", 3: "br", 4: "bl", 5: "tl", 6: "tr", 7: "br", 8: "bl"}[orientation]
    assert found.shape == ((32, 16) if orientation < 5 else (16, 32))
    assert found[0 if corner[0] == "t" else -1, 0 if corner[1] == "l" else -1]
    assert found.mean() == pytest.approx(1 / 8, abs=0.02)


def test_of_an_animation_there_is_the_first_frame() -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    assert shown(saved(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True))[0] == [255, 0, 0]


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (b"no image", r"^8 bytes: no whole WebP, PNG or JPEG file \(UnidentifiedImageError\)$"),
        (saved(Image.effect_noise((64, 64), 90), "JPEG")[:-900], "no whole WebP, PNG or JPEG file"),
        (saved(Image.effect_noise((64, 64), 90), "PNG")[:-900], "no whole WebP, PNG or JPEG file"),
        (saved(Image.new("RGB", (9, 9)), "GIF"), "no whole WebP, PNG or JPEG file"),
        (saved(Image.new("1", (20_000, 6_000)), "PNG"), "20000 x 6000 pixels; at most 100,000,000 are read"),
        (saved(Image.new("1", (20_000, 10_000)), "PNG"), r"no whole .* \(DecompressionBombError\)"),
    ],
    ids=["text", "truncated jpeg", "truncated png", "gif", "large", "bomb"],
)
def test_what_cannot_be_shown_is_one_line(file: bytes, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        decode_image(file)


def test_a_path_must_lead_to_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path / "none.png", tmp_path, tmp_path / "pipe.png", Path("a\0b"), Path("x" * 5000)):
        with pytest.raises(CorpusError, match=r"no such file|no whole WebP"):
            decode_image(path)

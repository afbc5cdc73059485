"""Images from anywhere: decoded within limits, upright, on white, as eight bits of red, green and blue."""

import io
import warnings
from pathlib import Path
from types import MappingProxyType

import numpy as np
from PIL import Image, ImageFile

from vergence.errors import CorpusError

_FORMATS = ("WEBP", "PNG", "JPEG")
_MOST_PIXELS = 100_000_000
_ORIENTATION = 0x0112  # the EXIF tag
_TURN = Image.Transpose
_TURNS = MappingProxyType(
    {
        2: _TURN.FLIP_LEFT_RIGHT,
        3: _TURN.ROTATE_180,
        4: _TURN.FLIP_TOP_BOTTOM,
        5: _TURN.TRANSPOSE,
        6: _TURN.ROTATE_270,
        7: _TURN.TRANSVERSE,
        8: _TURN.ROTATE_90,
    }
)


def decode_image(source: bytes | Path) -> Image.Image:
    """Decode an image as a viewer shows it.

    EXIF orientation is applied, 16 bits become 8 in proportion, what is transparent shows white, and of an animation
    there is the first frame. Colour profiles are not applied.

    Args:
        source: A WebP, PNG or JPEG file, or its path.

    Returns:
        An image of mode RGB.

    Raises:
        CorpusError: If there is no such file, it is truncated or damaged, of another format, or has more than 100
            million pixels.

    Example:
        >>> file = io.BytesIO()
        >>> Image.new("I;16", (2, 1), 32896).save(file, "PNG")
        >>> decode_image(file.getvalue()).getpixel((0, 0))
        (128, 128, 128)
    """
    what = str(source) if isinstance(source, Path) else f"{len(source)} bytes"
    try:
        if isinstance(source, Path) and not source.is_file():  # a pipe or a device would be read for ever
            raise CorpusError(f"{what}: no such file")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata and large images; both are dealt with here
            with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=_FORMATS) as image:
                if image.width * image.height > _MOST_PIXELS:
                    raise CorpusError(
                        f"{what}: {image.width} x {image.height} pixels; at most {_MOST_PIXELS:,} are read"
                    )
                _scale_transparency(image)
                image.load()
                turn = _TURNS.get(image.getexif().get(_ORIENTATION, 1))
                shown = _on_white(image)
                return shown.transpose(turn) if turn is not None else shown
    except CorpusError:
        raise
    except Exception as error:  # Pillow's parsers raise whatever a damaged file makes them meet
        raise CorpusError(f"{what}: no whole WebP, PNG or JPEG file ({type(error).__name__})") from error


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # Pillow would clip 16 bits at 255
        image = _eight_bits(image)
    if image.mode not in {"RGBA", "LA", "PA"} and "transparency" not in image.info:
        return image.convert("RGB")
    layered = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layered.size, "white"), layered).convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(np.int64)
    grey = Image.fromarray(((values + 128) // 257).clip(0, 255).astype(np.uint8))
    if "transparency" in image.info:
        grey.putalpha(Image.fromarray(np.where(values == image.info["transparency"], 0, 255).astype(np.uint8)))
    return grey


def _scale_transparency(image: ImageFile.ImageFile) -> None:
    """Bring the transparent colour of a PNG to the eight bits to which Pillow brings its pixels, which it forgets."""
    clear = image.info.get("transparency")
    raw = image.tile[0][3] if image.format == "PNG" and image.tile else None  # how the file stores its pixels
    if isinstance(clear, tuple) and raw == "RGB;16B":
        image.info["transparency"] = tuple(value >> 8 for value in clear)
    elif isinstance(clear, int) and raw in ("L;2", "L;4"):
        image.info["transparency"] = clear * (85 if raw == "L;2" else 17)

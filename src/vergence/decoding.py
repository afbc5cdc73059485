"""Images from anywhere: decoded within limits, upright, on white, as eight bits of red, green and blue."""

import io
import warnings
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import numpy as np
from PIL import Image, ImageFile
from torch import Tensor

from vergence.errors import CorpusError, ShapeError

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


Clear = Literal["white", "as stored"]
"""What is seen where an image is transparent: white, as on a page, or the colour that the file has there regardless."""


def decode_image(source: bytes | Path, *, clear: Clear = "white") -> Image.Image:
    """Decode an image as a viewer shows it: as `decode_layered` does, and without transparency.

    Args:
        source: A WebP, PNG or JPEG file, or its path.
        clear: What is seen where it is transparent; "as stored" is what open_clip does.

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
    return opaque(decode_layered(source), clear=clear)


def decode_layered(source: bytes | Path) -> Image.Image:
    """Decode an image with what is transparent in it.

    EXIF orientation is applied, 16 bits become 8 in proportion, and of an animation there is the first frame. Colour
    profiles are not applied.

    Args:
        source: A WebP, PNG or JPEG file, or its path.

    Returns:
        An image of mode RGBA, or RGB where the file has no transparency.

    Raises:
        CorpusError: As `decode_image` does.
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
                shown = _layered(image)
                return shown.transpose(turn) if turn is not None else shown
    except CorpusError:
        raise
    except Exception as error:  # Pillow's parsers raise whatever a damaged file makes them meet
        raise CorpusError(f"{what}: no whole WebP, PNG or JPEG file ({type(error).__name__})") from error


def opaque(image: Image.Image, *, clear: Clear = "white") -> Image.Image:
    """An image as eight bits of red, green and blue, none of it transparent."""
    image = _layered(image)  # a copy
    if image.mode == "RGB":
        return image
    if clear == "as stored":
        return image.convert("RGB")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def _layered(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # Pillow would clip 16 bits at 255
        image = _eight_bits(image)
    layered = image.mode in {"RGBA", "LA", "PA"} or "transparency" in image.info
    return image.convert("RGBA" if layered else "RGB")


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


def as_image(given: object, *, clear: Clear = "white") -> Image.Image:
    """An image of mode RGB from whatever holds one.

    Args:
        given: A path, the bytes of a file, a Pillow image, or an array or tensor of whole numbers in [0, 255], of shape
            (height, width), (height, width, 1, 3 or 4) or (3, height, width).
        clear: What is seen where it is transparent.

    Raises:
        CorpusError: If a file is missing or damaged.
        ShapeError: If it is none of these.
    """
    if isinstance(given, bytes):
        return decode_image(given, clear=clear)
    if isinstance(given, str | Path):
        return decode_image(Path(given), clear=clear)
    if isinstance(given, Image.Image):
        return opaque(given, clear=clear)
    if not isinstance(given, np.ndarray | Tensor):
        raise ShapeError(f"an image must be a path, bytes, a Pillow image or an array; got {type(given).__name__}")
    values = given.numpy(force=True) if isinstance(given, Tensor) else given
    if values.ndim == 3 and values.shape[0] == 3 and values.shape[2] not in (1, 3, 4):
        values = values.transpose(1, 2, 0)
    if values.ndim not in (2, 3) or (values.ndim == 3 and values.shape[2] not in (1, 3, 4)) or not values.size:
        raise ShapeError(f"an image must be of shape (height, width, 3) or (3, height, width); got {values.shape}")
    if values.dtype.kind not in "iu" or values.min() < 0 or values.max() > 255:
        raise ShapeError(f"pixels must be whole numbers in [0, 255]; got {values.dtype}. Scale them and cast to uint8")
    values = values[..., 0] if values.ndim == 3 and values.shape[2] == 1 else values
    return opaque(Image.fromarray(np.ascontiguousarray(values.astype(np.uint8))), clear=clear)

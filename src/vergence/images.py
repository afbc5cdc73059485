"""Images from anywhere: decoded within limits, upright, on white, as eight bits of red, green and blue."""

import io
import warnings
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from types import MappingProxyType
from typing import SupportsIndex, TypeAlias, overload

import numpy as np
import torch
from jaxtyping import Int, UInt8
from PIL import Image, ImageFile
from torch import Tensor

from vergence.errors import CorpusError, ShapeError

Rows: TypeAlias = Sequence[int] | np.ndarray | Tensor  # row numbers, or one boolean for each row

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

_PIECE = 16  # images that a worker decodes at once
_AHEAD = 2  # batches that are decoded before they are asked for


class Images(ABC):
    """Images that stay encoded until asked for: like a sequence of RGB images, of which it holds none."""

    @abstractmethod
    def __len__(self) -> int:
        """How many there are."""

    @abstractmethod
    def decoded(self, row: int) -> Image.Image:
        """Decode one image, of mode RGB.

        Raises:
            CorpusError: If it is missing or damaged.
        """

    @abstractmethod
    def file(self, row: int) -> bytes:
        """The encoded image, as a file of its own.

        Raises:
            CorpusError: If it is missing.
        """

    @abstractmethod
    def chosen(self, rows: Int[np.ndarray, " n"]) -> "Images":
        """The images of these rows, none of them decoded."""

    @overload
    def __getitem__(self, index: SupportsIndex) -> Image.Image: ...
    @overload
    def __getitem__(self, index: slice) -> "Images": ...
    def __getitem__(self, index: SupportsIndex | slice) -> "Image.Image | Images":
        if isinstance(index, slice):
            return self.chosen(np.arange(len(self))[index])
        return self.decoded(range(len(self))[index])

    def __iter__(self) -> Iterator[Image.Image]:
        return map(self.decoded, range(len(self)))

    def take(self, rows: Rows) -> "Images":
        """Select images without decoding them, by row numbers or by one boolean for each.

        Raises:
            IndexError: If a row is out of range.
        """
        return self.chosen(row_numbers(rows, len(self)))

    def tensor(self, rows: Rows | None = None, *, side: int | None = None) -> UInt8[Tensor, "n 3 height width"]:
        """Decode images into one tensor.

        Args:
            rows: Which ones, in which order; all if `None`.
            side: Pixels of a side to bring them to; as they are if `None`, when all must be of one size.

        Returns:
            Colour channels in [0, 255].

        Raises:
            CorpusError: If an image is damaged.
            IndexError: If a row is out of range.
            ShapeError: If images are of different sizes and no side is given.
        """
        wanted = range(len(self)) if rows is None else row_numbers(rows, len(self)).tolist()
        return stacked((self.decoded(row) for row in wanted), len(wanted), side=side)

    def batches(
        self, groups: Iterable[Sequence[int]], *, side: int, workers: int
    ) -> Iterator[UInt8[Tensor, "n 3 side side"]]:
        """Decode groups of images, in threads and a little ahead of whoever takes them.

        Args:
            groups: Row numbers of each group.
            side: Pixels of a side to bring images to.
            workers: Threads, >= 1; what is given does not depend on their number.

        Yields:
            Each group as `tensor` gives it. No more than the group in hand and two further ones are held.

        Raises:
            CorpusError: If an image is damaged.
        """
        with closing(self.attempts(groups, side=side, workers=workers)) as found:
            for pixels, reasons in found:
                if reasons:
                    raise CorpusError(reasons[min(reasons)])
                yield pixels

    def attempts(
        self, groups: Iterable[Sequence[int]], *, side: int, workers: int
    ) -> Generator[tuple[UInt8[Tensor, "n 3 side side"], dict[int, str]]]:
        """As `batches`; an image that cannot be decoded is black, and the reason is given by its place in the group."""
        with ThreadPoolExecutor(workers, thread_name_prefix="decode") as pool:
            waiting: deque[tuple[np.ndarray, list[Future[dict[int, str]]]]] = deque()
            try:
                for rows in groups:
                    pixels = np.zeros((len(rows), 3, side, side), dtype=np.uint8)
                    spans = range(0, len(rows), _PIECE)
                    waiting.append((pixels, [pool.submit(self._fill, pixels, rows, at) for at in spans]))
                    if len(waiting) > _AHEAD:
                        yield _finished(*waiting.popleft())
                while waiting:
                    yield _finished(*waiting.popleft())
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    def _fill(self, pixels: np.ndarray, rows: Sequence[int], start: int) -> dict[int, str]:
        reasons = {}
        for place in range(start, min(start + _PIECE, len(rows))):
            try:
                pixels[place] = resized(self.decoded(rows[place]), pixels.shape[-1])
            except CorpusError as error:
                reasons[place] = str(error)
        return reasons

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} images)"


def stacked(images: Iterable[Image.Image], n: int, *, side: int | None) -> UInt8[Tensor, "n 3 height width"]:
    """Put RGB images into one tensor as they come.

    Args:
        images: As many as `n`.
        n: How many.
        side: Pixels of a side to bring them to; as they are if `None`.

    Raises:
        ShapeError: If they are of different sizes and no side is given.
    """
    pixels = np.empty((n, 3, side or 0, side or 0), dtype=np.uint8)
    for place, image in enumerate(images):
        values = as_array(image) if side is None else resized(image, side)
        if side is None and not place:
            pixels = np.empty((n, *values.shape), dtype=np.uint8)
        if values.shape != pixels.shape[1:]:
            sizes = " and ".join(f"{width} x {height}" for _, height, width in (pixels.shape[1:], values.shape))
            raise ShapeError(f"images of {sizes} pixels do not go into one tensor; pass side=, to which to bring all")
        pixels[place] = values
    return torch.from_numpy(pixels)


def as_array(image: Image.Image) -> UInt8[np.ndarray, "3 height width"]:
    """An RGB image as an array, colour channels first."""
    return np.asarray(image, dtype=np.uint8).transpose(2, 0, 1)


def resized(image: Image.Image, side: int) -> UInt8[np.ndarray, "3 side side"]:
    """An RGB image brought to a square of so many pixels a side."""
    return as_array(image if image.size == (side, side) else image.resize((side, side), Image.Resampling.BICUBIC))


def as_image(given: object) -> Image.Image:
    """An image of mode RGB from whatever holds one.

    Args:
        given: A path, the bytes of a file, a Pillow image, or an array or tensor of whole numbers in [0, 255], of shape
            (height, width), (height, width, 1, 3 or 4) or (3, height, width).

    Raises:
        CorpusError: If a file is missing or damaged.
        ShapeError: If it is none of these.
    """
    if isinstance(given, bytes):
        return decode_image(given)
    if isinstance(given, str | Path):
        return decode_image(Path(given))
    if isinstance(given, Image.Image):
        return on_white(given)
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
    return on_white(Image.fromarray(np.ascontiguousarray(values.astype(np.uint8))))


def row_numbers(rows: Rows, n: int) -> Int[np.ndarray, " _"]:
    """Row numbers in the order wanted, of row numbers or of one boolean for each of `n` rows.

    Raises:
        IndexError: If a row is out of range.
    """
    chosen = np.asarray(rows)
    if not chosen.size:
        chosen = chosen.astype(np.int64)  # numpy takes an empty list for floats, which cannot index
    numbers: np.ndarray = np.arange(n)[chosen]
    return numbers


def _finished(
    pixels: np.ndarray, pieces: list[Future[dict[int, str]]]
) -> tuple[UInt8[Tensor, "n 3 side side"], dict[int, str]]:
    reasons = {place: reason for piece in pieces for place, reason in piece.result().items()}
    return torch.from_numpy(pixels), reasons


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
                shown = on_white(image)
                return shown.transpose(turn) if turn is not None else shown
    except CorpusError:
        raise
    except Exception as error:  # Pillow's parsers raise whatever a damaged file makes them meet
        raise CorpusError(f"{what}: no whole WebP, PNG or JPEG file ({type(error).__name__})") from error


def on_white(image: Image.Image) -> Image.Image:
    """An image as eight bits of red, green and blue; what is transparent shows white."""
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

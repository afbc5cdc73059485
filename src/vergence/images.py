"""Images that stay encoded until asked for, and come in batches that threads decode a little ahead."""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import SupportsIndex, TypeAlias, overload

import numpy as np
import torch
from jaxtyping import Int, UInt8
from PIL import Image
from torch import Tensor

from vergence.errors import CorpusError, ShapeError

Rows: TypeAlias = Sequence[int] | np.ndarray | Tensor  # row numbers, or one boolean for each row

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
        yield from self._ahead(groups, lambda row: resized(self.decoded(row), side), side=side, workers=workers)

    def prepared(
        self,
        groups: Iterable[Sequence[int]],
        *,
        prepare: Callable[[bytes], UInt8[np.ndarray, "3 side side"]],
        side: int,
        workers: int,
    ) -> Generator[tuple[UInt8[Tensor, "n 3 side side"], dict[int, str]]]:
        """As `attempts`, of the encoded files, by whoever knows what is to become of them.

        Args:
            groups: Row numbers of each group.
            prepare: Decodes a file and brings the image to its side; raises `CorpusError` of one that is damaged.
            side: What it brings images to.
            workers: Threads, >= 1.
        """

        def taken(row: int) -> np.ndarray:
            try:
                return prepare(self.file(row))
            except CorpusError as error:
                raise CorpusError(f"image cannot be read: {error}") from error

        yield from self._ahead(groups, taken, side=side, workers=workers)

    def _ahead(
        self, groups: Iterable[Sequence[int]], taken: Callable[[int], np.ndarray], *, side: int, workers: int
    ) -> Generator[tuple[UInt8[Tensor, "n 3 side side"], dict[int, str]]]:
        with ThreadPoolExecutor(workers, thread_name_prefix="decode") as pool:
            waiting: deque[tuple[np.ndarray, list[Future[dict[int, str]]]]] = deque()
            try:
                for rows in groups:
                    pixels = np.zeros((len(rows), 3, side, side), dtype=np.uint8)
                    spans = range(0, len(rows), _PIECE)
                    waiting.append((pixels, [pool.submit(_fill, pixels, rows, at, taken) for at in spans]))
                    if len(waiting) > _AHEAD:
                        yield _finished(*waiting.popleft())
                while waiting:
                    yield _finished(*waiting.popleft())
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} images)"


class PreparedImages(Images):
    """Images that become the square that a model is for in its own way.

    Args:
        behind: The images.
        prepare: Decodes a file and brings the image to its side; raises `CorpusError` of one that is damaged.
        side: What it brings images to.
    """

    def __init__(
        self, behind: Images, prepare: Callable[[bytes], UInt8[np.ndarray, "3 side side"]], *, side: int
    ) -> None:
        self.behind, self.prepare, self.side = behind, prepare, side

    def __len__(self) -> int:
        return len(self.behind)

    def decoded(self, row: int) -> Image.Image:
        """One image, as it was brought to its side."""
        return Image.fromarray(self.prepare(self.behind.file(row)).transpose(1, 2, 0))

    def file(self, row: int) -> bytes:
        """The file of one image, as it is."""
        return self.behind.file(row)

    def chosen(self, rows: Int[np.ndarray, " n"]) -> "PreparedImages":
        """The images of these rows."""
        return PreparedImages(self.behind.chosen(rows), self.prepare, side=self.side)

    def attempts(
        self, groups: Iterable[Sequence[int]], *, side: int, workers: int
    ) -> Generator[tuple[UInt8[Tensor, "n 3 side side"], dict[int, str]]]:
        """As all images do; at their own side they are as they were prepared."""
        if side != self.side:
            yield from super().attempts(groups, side=side, workers=workers)
            return
        yield from self.behind.prepared(groups, prepare=self.prepare, side=side, workers=workers)


def _fill(pixels: np.ndarray, rows: Sequence[int], start: int, taken: Callable[[int], np.ndarray]) -> dict[int, str]:
    reasons = {}
    for place in range(start, min(start + _PIECE, len(rows))):
        try:
            pixels[place] = taken(rows[place])
        except CorpusError as error:
            reasons[place] = str(error)
    return reasons


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

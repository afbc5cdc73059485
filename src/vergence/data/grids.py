"""What readers of image grids share: pixels that lie in a file until asked for, labels by place, true captions."""

import io
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int, Shaped, UInt8
from PIL import Image
from torch import Tensor

from vergence.errors import OutputError
from vergence.files import Scratch
from vergence.images import Images, Rows, row_numbers
from vergence.misalignment import Misalignment
from vergence.pairs import Pairs
from vergence.random import generator
from vergence.scenes import Scenes
from vergence.views import write_scene_captions


class Pixels(ABC):
    """Pixels of many images of one size, somewhere."""

    shape: tuple[int, int]

    @abstractmethod
    def take(self, rows: Int[np.ndarray, " n"]) -> UInt8[np.ndarray, "n height width 3"]:
        """The pixels of these images."""


@dataclass(frozen=True, eq=False)
class MappedPixels(Pixels):
    """Pixels in a file that is mapped into memory.

    Args:
        values: Of shape (n, height, width, 3) in [0, 255], or (n, height, width) in {0, 1}.
    """

    values: Shaped[np.ndarray, "..."]
    shape: tuple[int, int] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", self.values.shape[1:3])

    def take(self, rows: Int[np.ndarray, " n"]) -> UInt8[np.ndarray, "n height width 3"]:
        """The pixels of these images."""
        found = np.asarray(self.values[rows])
        return found if found.ndim == 4 else _white(found)


@dataclass(frozen=True, eq=False)
class ScratchPixels(Pixels):
    """Pixels in a scratch file, to which they were unpacked.

    Args:
        scratch: The file; images lie in it one after the other.
        shape: Height and width.
        bits: Whether a pixel is one bit, white or black.
    """

    scratch: Scratch
    shape: tuple[int, int]
    bits: bool

    def take(self, rows: Int[np.ndarray, " n"]) -> UInt8[np.ndarray, "n height width 3"]:
        """The pixels of these images."""
        height, width = self.shape
        size = height * width // 8 if self.bits else height * width * 3
        data = b"".join(self.scratch.read(row * size, size) for row in rows.tolist())
        found = np.frombuffer(data, dtype=np.uint8).reshape(len(rows), size)
        if self.bits:
            return _white(np.unpackbits(found, axis=1).reshape(len(rows), height, width))
        return found.reshape(len(rows), height, width, 3)


def unpacked(
    chosen: Callable[[Int[np.ndarray, " k"]], Iterable[Shaped[np.ndarray, "..."]]],
    rows: Int[np.ndarray, " n"],
    shape: tuple[int, int],
    *,
    bits: bool,
) -> tuple[ScratchPixels, Int[np.ndarray, " n"]]:
    """Unpack images into a scratch file, only those that are asked for.

    Args:
        chosen: Gives images by their rising numbers, some at a time.
        rows: Which images, in any order.
        shape: Height and width.
        bits: Whether they are of zeros and ones, of which eight then share a byte.

    Returns:
        The pixels, and where among them each of the rows is.

    Raises:
        OutputError: If the disk has no room for them.
    """
    wanted, places = np.unique(rows, return_inverse=True)
    size = shape[0] * shape[1] // 8 if bits else shape[0] * shape[1] * 3
    where = tempfile.gettempdir()
    if (free := shutil.disk_usage(where).free) < len(wanted) * size:
        raise OutputError(
            f"unpacking takes {len(wanted) * size / 1e9:.1f} GB in {where}, which has {free / 1e9:.1f}; set TMPDIR to "
            "a larger disk, or ask for fewer rows"
        )
    scratch = Scratch()
    for images in chosen(wanted):
        flat = images.reshape(len(images), size * 8 if bits else size)
        scratch.add((np.packbits(flat, axis=1) if bits else flat).tobytes())
    return ScratchPixels(scratch, shape, bits), places.reshape(-1)


def among(
    blocks: Iterable[Shaped[np.ndarray, "..."]], wanted: Int[np.ndarray, " k"]
) -> Iterator[Shaped[np.ndarray, "..."]]:
    """Images by their rising numbers, of all that come in blocks; no block is read after the last of them."""
    start = 0
    for block in blocks:
        first, last = np.searchsorted(wanted, (start, start + len(block)))
        yield block[wanted[first:last] - start]
        start += len(block)
        if last == len(wanted):
            break


@dataclass(frozen=True, eq=False, repr=False)
class GridImages(Images):
    """Images of one size that lie in one file.

    Args:
        pixels: All of them.
        numbers: Which of them each row is.
    """

    pixels: Pixels
    numbers: Int[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.numbers)

    def decoded(self, row: int) -> Image.Image:
        """One image."""
        return Image.fromarray(self.pixels.take(self.numbers[[row]])[0])

    def file(self, row: int) -> bytes:
        """One image as a PNG file, which it is made into."""
        held = io.BytesIO()
        self.decoded(row).save(held, "PNG")
        return held.getvalue()

    def chosen(self, rows: Int[np.ndarray, " k"]) -> "GridImages":
        """The images of these rows, none of them read."""
        return GridImages(self.pixels, self.numbers[rows])

    def tensor(self, rows: Rows | None = None, *, side: int | None = None) -> UInt8[Tensor, "n 3 height width"]:
        """Images as one tensor: at their own size without a copy of each; else as all images do."""
        if not self._is_own(side):
            return super().tensor(rows, side=side)
        numbers = self.numbers if rows is None else self.numbers[row_numbers(rows, len(self))]
        return _channels_first(self.pixels.take(numbers))

    def attempts(
        self, groups: Iterable[Sequence[int]], *, side: int, workers: int
    ) -> Generator[tuple[UInt8[Tensor, "n 3 side side"], dict[int, str]]]:
        """Each group at once where nothing is left to do, else as all images do."""
        if not self._is_own(side):
            yield from super().attempts(groups, side=side, workers=workers)
            return
        for rows in groups:
            yield _channels_first(self.pixels.take(self.numbers[list(rows)])), {}

    def _is_own(self, side: int | None) -> bool:
        return side is None or self.pixels.shape == (side, side)


def grid_pairs(
    scene: Scenes, pixels: Pixels, numbers: Int[np.ndarray, " n"], rows: Int[np.ndarray, " n"],
    places: Int[np.ndarray, "n factors"],
) -> Pairs:  # fmt: skip
    """Pairs of a grid's images with captions that name all they may, truly.

    Args:
        scene: The image set.
        pixels: Its images.
        numbers: Where among the pixels each image is.
        rows: What each image's number is in the file; its key.
        places: Of each image and factor, the place of its value.
    """
    values = [np.array(factor.values, dtype=object) for factor in scene.space.factors]
    labels = pd.DataFrame({name: values[k][places[:, k]] for k, name in enumerate(scene.space)}, dtype=object)
    faithful = Misalignment(scene.captioned)
    return Pairs(
        images=GridImages(pixels, numbers),
        texts=write_scene_captions(scene, labels, faithful, generator=generator(0)).texts,
        keys=[f"{row:07d}" for row in rows.tolist()],
        clusters=rows,
        labels=labels,
        factors=scene.space,
        misalignment=faithful,
    )


def wanted_rows(rows: Rows | None, n: int) -> Int[np.ndarray, " k"]:
    """Numbers of the rows that are asked for, all if `None`."""
    return np.arange(n) if rows is None else row_numbers(rows, n)


def places_of(rows: Int[np.ndarray, " n"], scene: Scenes) -> Int[np.ndarray, "n factors"]:
    """The place of each factor's value, of images in the order of the grid, the last factor the fastest."""
    sizes = [len(factor.values or ()) for factor in scene.space.factors]
    return np.stack(np.unravel_index(rows, sizes), axis=1).astype(np.int64)


def _white(bits: UInt8[np.ndarray, "n height width"]) -> UInt8[np.ndarray, "n height width 3"]:
    return np.repeat((bits * np.uint8(255))[..., None], 3, axis=3)


def _channels_first(pixels: UInt8[np.ndarray, "n height width 3"]) -> UInt8[Tensor, "n 3 height width"]:
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))

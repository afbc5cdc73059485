"""Every image of a set is looked at once: which cannot be decoded, which are the same; they are held if they fit."""

import hashlib
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int, UInt8
from PIL import Image
from torch import Tensor

from vergence.images import Images

_AT_ONCE = 128
_MOST_BYTES = 1 << 23  # of images that are looked at together


@dataclass(frozen=True, eq=False)
class Looked:
    """What was seen of the images of a set.

    Args:
        images: The same images, held as pixels of one size if they take no more than was allowed.
        digests: By the pixels that an encoder sees: one image under several paths or formats without loss has one
            digest; `None` where it cannot be decoded.
        reasons: By number of the image, why it cannot be decoded.
    """

    images: Images
    digests: list[str | None]
    reasons: dict[int, str]


def look_at(
    images: Images,
    *,
    side: int,
    workers: int,
    held_bytes: int,
    stop: Callable[[dict[int, str]], bool] = lambda reasons: False,
    advance: Callable[[int], None] = lambda n: None,
) -> Looked:
    """Decode every image once, a few at a time.

    Args:
        images: What to look at.
        side: Pixels of a side to bring them to.
        workers: Threads, >= 1.
        held_bytes: Most memory that decoded images may take; where all of them do not fit, none is held.
        stop: Is told what could not be decoded so far, and says whether to end; the others then have no digest.
        advance: Is told how many more have been looked at.

    Returns:
        What was seen.
    """
    n, digests, reasons = len(images), list[str | None](), dict[int, str]()
    fits = n * 3 * side**2 <= held_bytes
    held = np.zeros((n, 3, side, side), dtype=np.uint8) if fits else None
    size = max(1, min(_AT_ONCE, _MOST_BYTES // (3 * side**2)))
    groups = [range(at, min(at + size, n)) for at in range(0, n, size)]
    for rows, (pixels, wrong) in zip(groups, images.attempts(groups, side=side, workers=workers), strict=False):
        found = pixels.numpy()
        if held is not None:
            held[rows.start : rows.stop] = found
        digests += [None if place in wrong else _digest(found[place]) for place in range(len(rows))]
        reasons |= {rows[place]: reason for place, reason in wrong.items()}
        advance(len(rows))
        if wrong and stop(reasons):
            break
    digests += [None] * (n - len(digests))
    return Looked(images if held is None else HeldImages(held, np.arange(n), images), digests, reasons)


@dataclass(frozen=True, eq=False, repr=False)
class HeldImages(Images):
    """Images that were decoded once.

    Args:
        pixels: Of different images, brought to one size.
        numbers: Which of them each row is.
        behind: What they were decoded from.
    """

    pixels: UInt8[np.ndarray, "k 3 side side"]
    numbers: Int[np.ndarray, " n"]
    behind: Images

    def __len__(self) -> int:
        return len(self.numbers)

    def decoded(self, row: int) -> Image.Image:
        """One image, as it was brought to size."""
        return Image.fromarray(self.pixels[self.numbers[row]].transpose(1, 2, 0))

    def file(self, row: int) -> bytes:
        """The file that one image was decoded from."""
        return self.behind.file(int(self.numbers[row]))

    def chosen(self, rows: Int[np.ndarray, " k"]) -> "HeldImages":
        """The images of these rows; pixels are shared."""
        return HeldImages(self.pixels, self.numbers[rows], self.behind)

    def attempts(
        self, groups: Iterable[Sequence[int]], *, side: int, workers: int
    ) -> Generator[tuple[UInt8[Tensor, "n 3 side side"], dict[int, str]]]:
        """Each group at once where nothing is left to do, else as all images do."""
        if side != self.pixels.shape[-1]:
            yield from super().attempts(groups, side=side, workers=workers)
            return
        for rows in groups:
            yield torch.from_numpy(self.pixels[self.numbers[list(rows)]]), {}


def _digest(pixels: np.ndarray) -> str:
    return hashlib.sha256(pixels.tobytes()).hexdigest()[:32]

"""Tokens of a frozen image encoder, computed once: parts of a folder that is named by what they depend on, then mapped.

A part is written whole or not at all, so that a job that was stopped goes on where it was. What is read is what was
written: numbers of 16 bits, of which a part is brought into memory as rows of it are asked for.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float16
from torch import Tensor

from vergence.checks import at_least
from vergence.encoders.tokens import FrozenTokens
from vergence.errors import CorpusError
from vergence.files import whole
from vergence.folders import JobFolder
from vergence.images import Images, Rows, row_numbers
from vergence.metrics.formats import map_npy

_PART = 512  # images
_BATCH = 64
_FORM = 1  # raised when the same images and weights would give other files
_LARGEST = 65504.0  # of 16 bits


@dataclass(frozen=True)
class CachedTokens:
    """Tokens of images, on disk: rows of them as they are asked for.

    Args:
        folder: With the parts.
        n: How many images there are.
        digest: Of the images, the encoder and its side.
    """

    folder: Path
    n: int
    digest: str

    def __len__(self) -> int:
        return self.n

    @property
    def dim(self) -> int:
        """Size of a token."""
        return int(self._parts[0].shape[2])

    @property
    def places(self) -> int:
        """Tokens of an image."""
        return int(self._parts[0].shape[1])

    def __getitem__(self, rows: Rows) -> Float[Tensor, "rows places dim"]:
        """Tokens of some images as float32, in the order asked for.

        Raises:
            IndexError: If a row is out of range.
        """
        wanted = row_numbers(rows, self.n)
        found = np.empty((len(wanted), self.places, self.dim), dtype=np.float32)
        part_of = wanted // _PART
        for number in np.unique(part_of):
            here = part_of == number
            found[here] = self._parts[number][wanted[here] - number * _PART]
        return torch.from_numpy(found)

    def pooled(self) -> Float[Tensor, "n dim"]:
        """The mean of each image's tokens."""
        return torch.cat([self[range(at, min(at + _PART, self.n))].mean(1) for at in range(0, self.n, _PART)])

    @cached_property
    def _parts(self) -> list[Float16[np.ndarray, "images places dim"]]:
        found: list[np.ndarray] = []
        for number, size in enumerate(_sizes(self.n)):
            file = self.folder / _name(number)
            held, _ = map_npy(file)
            if held.ndim != 3 or len(held) != size or (found and held.shape[1:] != found[0].shape[1:]):
                raise CorpusError(f"{file} is not what was written; remove it and run again: it is computed anew")
            found.append(held)
        return found


def cached_tokens(
    images: Images,
    encoder: FrozenTokens,
    out: Path,
    *,
    workers: int = 1,
    told: Callable[[int, int], object] | None = None,
) -> CachedTokens:
    """Tokens of images, from the folder if they are there, else computed; a job that was stopped is continued.

    Args:
        images: Which ones; their files say whether they are the same.
        encoder: By which.
        out: Folder of caches, each in a folder of its own by the digest of images, weights, side and framing.
        workers: Threads that decode, >= 1.
        told: Is told how many images are done, of how many.

    Returns:
        Rows in the order of the images.

    Raises:
        CorpusError: If an image cannot be read, none is given, or a token does not fit into 16 bits.
        OutputError: If the folder cannot be written to.
    """
    at_least("workers", workers, 1)
    if not len(images):
        raise CorpusError("there are no images to encode; name a folder that holds some")
    digest = tokens_digest(images, encoder)
    folder = JobFolder.join(out / digest, {"job": "features", "digest": digest, "images": len(images)})
    start = 0
    for number, size in enumerate(_sizes(len(images))):
        file = folder.path / _name(number)
        if not file.is_file():
            _write(file, _encoded(images, encoder, range(start, start + size), workers=workers))
        start += size
        if told is not None:
            told(start, len(images))
    return CachedTokens(folder.path, len(images), digest)


def tokens_digest(images: Images, encoder: FrozenTokens) -> str:
    """A name for what tokens depend on: the images' files, the encoder's weights, and how images are brought to it."""
    found = hashlib.sha256(repr((_FORM, _PART, encoder.framing, encoder.preprocessing)).encode())
    for name, value in sorted(encoder.state_dict().items()):
        held = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        found.update(name.encode() + held.numpy().tobytes())
    for row in range(len(images)):
        found.update(hashlib.sha256(images.file(row)).digest())
    return found.hexdigest()[:20]


def _encoded(
    images: Images, encoder: FrozenTokens, rows: range, *, workers: int
) -> Float16[np.ndarray, "images places dim"]:
    groups = [list(rows[at : at + _BATCH]) for at in range(0, len(rows), _BATCH)]
    found = []
    for group, (pixels, reasons) in zip(
        groups, images.prepared(groups, prepare=encoder.prepared, side=encoder.side, workers=workers), strict=True
    ):
        if reasons:
            place = min(reasons)
            raise CorpusError(f"image {group[place]}: {reasons[place]}")
        tokens = encoder.tokens(pixels).cpu()
        if not bool((tokens.abs() <= _LARGEST).all()):
            raise CorpusError(
                f"a token of images {group[0]} to {group[-1]} is NaN or beyond {_LARGEST:,.0f}, which 16 bits do not "
                "hold; is the encoder fitted?"
            )
        found.append(tokens.half().numpy())
    return np.concatenate(found)


def _write(file: Path, tokens: Float16[np.ndarray, "images places dim"]) -> None:
    with whole(file, of_job=True) as partial, open(partial, "wb") as out:
        np.save(out, tokens, allow_pickle=False)


def _sizes(n: int) -> Sequence[int]:
    return [min(_PART, n - at) for at in range(0, n, _PART)]


def _name(number: int) -> str:
    return f"tokens-{number:05d}.npy"

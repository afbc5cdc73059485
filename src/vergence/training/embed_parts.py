"""The parts that a source is embedded in: some images with all of their texts, apart from all others.

A part is what is written whole or not at all, what a killed job does again, and what shards and clusters divide. Which
images it holds depends on the source and the size of parts alone, so that its bytes do not depend on who embeds it.
"""

import math
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from vergence.checks import at_least
from vergence.data.cells import CellReader
from vergence.data.rows import Cell, Columns, Row, Span, Stored
from vergence.data.source import Source, StoredImages
from vergence.errors import ConfigError, CorpusError
from vergence.files import Scratch
from vergence.training.models import Dtype, ImageTextModel, load_model, weights_digest

_LARGEST = 1 << 15  # images of a part, whose faults a file must be able to list
_LEAST, _MOST, _FEW = 1024, 1 << 14, 256  # images of a part; parts of a large source


@dataclass(frozen=True, eq=False)
class EmbedPart:
    """Some images and their texts, none of them looked at.

    Args:
        number: Of the part.
        keys: Of its images.
        places: Where they are; bytes for what only the process that made the part can read.
        rows: The rows of the texts, those of one image together, in the order of the images.
        image_of: Which of the images each text is of.
        text_keys: What each text is called.
        scratch: Holds images that were set aside, if this process reads them.
    """

    number: int
    keys: list[str]
    places: list[Stored | bytes]
    rows: list[Row]
    image_of: list[int]
    text_keys: list[str]
    scratch: Scratch | None

    def __str__(self) -> str:
        return f"part {self.number}"


@dataclass(frozen=True, kw_only=True)
class EmbedSettings:
    """What all parts share.

    Args:
        model: Folder of the model, or its name on the hub.
        device: As for `load_model`.
        dtype: As for `load_model`.
        download: As for `load_model`.
        digest: Of its weights, by which other machines know that theirs is the same.
        columns: How the source is read.
        batch_size: Items at once.
        workers: Threads that decode for a part.
        loaded: The model itself, for threads; others load it.
        advance: Is told of images as they are done, in threads.
    """

    model: str
    device: str
    dtype: Dtype
    download: bool
    digest: str
    columns: Columns
    batch_size: int
    workers: int
    loaded: ImageTextModel | None = None
    advance: Callable[[int], object] | None = None


@dataclass(frozen=True, eq=False)
class PartEmbeddings:
    """What became of a part.

    Args:
        images: Rows of the images that could be read.
        texts: Rows of their texts.
        sound: Which images these are.
        wrong: By key, why an image could not be read.
    """

    images: Float[np.ndarray, "n dim"]
    texts: Float[np.ndarray, "m dim"]
    sound: list[int]
    wrong: dict[str, str]


class Parts:
    """A source in parts; of each row it holds its number, and of each image its key.

    Args:
        source: What was read.
        columns: By which of its columns.
        size: Images of a part, in 1..32,768; 1,024 if `None`, or a 256th of the images where that is more, to 16,384.

    Raises:
        CorpusError: If one key names two images, or no row is a pair.
        ConfigError: If the size is not in 1..32,768.
    """

    def __init__(self, source: Source, columns: Columns, *, size: int | None = None) -> None:
        self._source, self._columns, self._first = source, columns, source.by_key()
        if size is not None:
            at_least("part_size", size, 1)
            if size > _LARGEST:
                raise ConfigError(f"part_size must be <= {_LARGEST:,}; got {size:,}; a killed job does a part again")
        self.images = len(self._first)
        self.size = size or min(max(_LEAST, math.ceil(self.images / _FEW)), _MOST)
        numbers = {key: number for number, key in enumerate(self._first)}
        used = [(row, numbers[str(one.key)]) for row, one in enumerate(source.rows) if one.reason is None]
        table = np.array(used, dtype=np.int64)
        order = table[table[:, 1].argsort(kind="stable")]  # texts of an image together, in the order of the source
        self._rows = order[:, 0]
        self._ends = np.searchsorted(order[:, 1], np.arange(self.images + 1))
        self._keys = list(self._first)

    def __len__(self) -> int:
        return math.ceil(self.images / self.size)

    @property
    def several(self) -> bool:
        """Whether an image has several texts."""
        return len(self._rows) > self.images

    def taken(self, numbers: Sequence[int], *, leaves: bool) -> Iterator[EmbedPart]:
        """Parts, made as they are asked for.

        Args:
            numbers: Which ones.
            leaves: Whether they leave this process, so that images of its scratch files must go with them.
        """
        reader = CellReader(self._columns)
        for number in numbers:
            part = self._part(number)
            yield replace(part, places=self._carried(part.places), scratch=None) if leaves else _readable(part, reader)

    def _part(self, number: int) -> EmbedPart:
        start, stop = number * self.size, min((number + 1) * self.size, self.images)
        keys, ends = self._keys[start:stop], self._ends[start : stop + 1]
        rows = [self._source.rows[row] for row in self._rows[ends[0] : ends[-1]]]
        counts = np.diff(ends)
        names = [text_keys(key, n, taken=self._first) for key, n in zip(keys, counts.tolist(), strict=True)]
        return EmbedPart(
            number=number,
            keys=keys,
            places=[_absolute(place) for key in keys if (place := self._source.rows[self._first[key]].image)],
            rows=rows,
            image_of=np.repeat(np.arange(len(keys)), counts).tolist(),
            text_keys=list(chain.from_iterable(names)),
            scratch=self._source.scratch,
        )

    def _carried(self, places: Sequence[Stored | bytes]) -> list[Stored | bytes]:
        held = self._source.scratch
        return [
            held.read(place.offset, place.size) if isinstance(place, Span) and not place.file else place
            for place in places
        ]


def _absolute(place: Stored) -> Stored:
    """The same place, for processes that run in other folders too."""
    if isinstance(place, str):
        return os.path.abspath(place)
    return place._replace(file=os.path.abspath(place.file)) if place.file else place


def text_keys(image: str, n: int, *, taken: Collection[str]) -> Iterator[str]:
    """What the texts of an image are called.

    Args:
        image: Its key.
        n: How many texts it has.
        taken: The keys of all images.

    Example:
        >>> list(text_keys("a", 3, taken={"a", "a#2"}))
        ['a', 'a#3', 'a#4']
    """
    yield image
    time = 1
    for _ in range(n - 1):
        time += 1
        while f"{image}#{time}" in taken:
            time += 1
        yield f"{image}#{time}"


def embed_part(part: EmbedPart, settings: EmbedSettings) -> PartEmbeddings:
    """Embed the images of a part that can be read, and their texts.

    Raises:
        CorpusError: If another process has another model, or the source is not as it was.
    """
    model = settings.loaded or _model(
        settings.model, settings.device, settings.dtype, settings.download, settings.digest
    )
    part = _readable(part, CellReader(settings.columns))
    images = StoredImages(part.places, part.scratch or Scratch())
    size = settings.batch_size
    groups = [list(range(at, min(at + size, len(images)))) for at in range(0, len(images), size)]
    wrong: dict[int, str] = {}
    found = []
    batches = images.prepared(groups, prepare=model.prepared, side=model.side, workers=settings.workers)
    for rows, (pixels, reasons) in zip(groups, batches, strict=True):
        wrong |= {rows[place]: reason for place, reason in reasons.items()}
        sound = [place for place in range(len(rows)) if place not in reasons]
        if sound:
            found.append(model.embed_pixels(pixels[sound] if reasons else pixels).numpy())
        if settings.advance:
            settings.advance(len(rows))
    texts = [row.text for row, image in zip(part.rows, part.image_of, strict=True) if image not in wrong]
    said = [model.embed_texts(texts[at : at + size]).numpy() for at in range(0, len(texts), size)]
    if not found:  # the number of outputs is known all the same
        found = [model.embed_pixels(torch.zeros(1, 3, model.side, model.side, dtype=torch.uint8)).numpy()[:0]]
    return PartEmbeddings(
        images=np.concatenate(found).astype(np.float32, copy=False),
        texts=np.concatenate(said or found).astype(np.float32, copy=False),
        sound=[number for number in range(len(images)) if number not in wrong],
        wrong={part.keys[number]: reason for number, reason in wrong.items()},
    )


def _readable(part: EmbedPart, reader: CellReader) -> EmbedPart:
    """The part with images of rows copied to a scratch file that is gone when the part is."""
    if not any(isinstance(place, Cell) for place in part.places):
        return part
    scratch = Scratch()
    return replace(part, places=reader.set_aside(part.places, scratch), scratch=scratch)


@lru_cache(1)
def _model(path: str, device: str, dtype: Dtype, download: bool, digest: str) -> ImageTextModel:
    """The model, loaded once in each process that is not the first."""
    torch.set_num_threads(1)
    model: Any = load_model(path, device=device, dtype=dtype, download=download)
    if weights_digest(model) != digest:
        raise CorpusError(f"{path} holds another model on this machine than where the job began; copy that one there")
    return model  # type: ignore[no-any-return]

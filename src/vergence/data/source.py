"""Pairs of anything that a user names: a table of paths, a folder, annotations, shards; images stay where they are."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int
from PIL import Image

from vergence.data.layouts import find, rows_of
from vergence.data.rows import Cell, Columns, Finder, Row, Span, Stored, same_image
from vergence.decoding import decode_image, decode_layered
from vergence.errors import CorpusError
from vergence.files import Scratch, read_bytes, read_part
from vergence.images import Images

_MOST = 1 << 30  # bytes of an image file


@dataclass(frozen=True, eq=False, repr=False)
class StoredImages(Images):
    """Images in files of their own, in archives, or set aside in a scratch file.

    Args:
        places: Where each is; bytes for one that is held.
        scratch: The scratch file.
    """

    places: Sequence[Stored | bytes]
    scratch: Scratch

    def __len__(self) -> int:
        return len(self.places)

    def decoded(self, row: int) -> Image.Image:
        """Decode one image.

        Raises:
            CorpusError: If it is missing or damaged.
        """
        return self._decoded(row, decode_image)

    def layered(self, row: int) -> Image.Image:
        """Decode one image with what is transparent in it: of mode RGBA, or RGB where its file has no transparency.

        Raises:
            CorpusError: If it is missing or damaged.
        """
        return self._decoded(row, decode_layered)

    def _decoded(self, row: int, decode: Callable[[bytes | Path], Image.Image]) -> Image.Image:
        place = self.places[row]
        try:
            return decode(Path(place) if isinstance(place, str) else self.file(row))
        except CorpusError as error:
            raise CorpusError(f"image cannot be read: {error}") from error

    def file(self, row: int) -> bytes:
        """The file of one image."""
        place = self.places[row]
        assert not isinstance(place, Cell)  # a `CellReader` has set it aside
        if isinstance(place, bytes):
            return place
        if isinstance(place, str):
            return read_bytes(place, limit=_MOST)
        return read_part(*place) if place.file else self.scratch.read(place.offset, place.size)

    def chosen(self, rows: Int[np.ndarray, " n"]) -> "StoredImages":
        """The images of these rows."""
        return StoredImages([self.places[row] for row in rows], self.scratch)


@dataclass(frozen=True, eq=False)
class Source:
    """The rows of a source, pairs and others; no image has been looked at.

    Args:
        name: What it is, in a few words.
        rows: All of them, in the order of the files; every pair has a key.
        scratch: Holds images that were given as bytes.
        notes: What was passed over, a line each.
    """

    name: str
    rows: list[Row]
    scratch: Scratch
    notes: tuple[str, ...]

    def images(self, rows: Sequence[int]) -> tuple[StoredImages, Int[np.ndarray, " n"]]:
        """The different images of some rows, and the number of each row's image; the rows must have one."""
        numbers: dict[Stored, int] = {}
        of_row = [numbers.setdefault(_place(self.rows[row]), len(numbers)) for row in rows]
        return StoredImages(list(numbers), self.scratch), np.array(of_row, dtype=np.int64)

    def by_key(self) -> dict[str, int]:
        """By key, the first row of each image.

        Raises:
            CorpusError: If one key names two images, or no row is a pair.
        """
        first: dict[str, int] = {}
        for number, row in enumerate(self.rows):
            if row.reason is not None or row.key is None:
                continue
            before = self.rows[first.setdefault(row.key, number)]
            if not same_image(before.image, row.image):
                raise CorpusError(
                    f"the key {row.key!r} names two images: {before.place} and {row.place}; name a column that tells "
                    "them apart: --key-column"
                )
        if not first:
            reasons = "; ".join(f"{row.place}: {row.reason}" for row in self.rows[:1])
            raise CorpusError(f"{self.name} holds {len(self.rows)} rows and no pair that can be used; {reasons}")
        return first

    def clusters(self, rows: Sequence[int]) -> list[Any]:
        """What the cluster column says of some rows."""
        return [self.rows[row].cluster for row in rows]


def read_source(
    path: str | Path,
    columns: Columns = Columns(),  # noqa: B008 - frozen
    *,
    in_place: bool = False,
) -> Source:
    r"""Read the captions of a source, and where its images are.

    Args:
        path: A file, a folder or a glob: see `LAYOUTS`.
        columns: Which columns say what, where their names do not.
        in_place: Whether images in rows of Parquet and Arrow files are left there, for a `CellReader` to read in order,
            instead of being copied to a scratch file, where they can be read in any order.

    Returns:
        Its rows. What cannot be a pair says why; whether an image can be decoded is not known yet.

    Raises:
        CorpusError: If it is none of the layouts, a column is missing, or there is no row.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     Image.new("RGB", (9, 9)).save(f"{folder}/a.png")
        ...     _ = Path(folder, "pairs.csv").write_text('file_name,title\na.png,"a square, black"\n')
        ...     source = read_source(Path(folder, "pairs.csv"))
        >>> source.rows[0].text, source.rows[0].key
        ('a square, black', 'a.png')
    """
    scratch, found = Scratch(), find(path, columns)
    finder = Finder(scratch, columns.root, found.folder, in_place=in_place)
    rows = list(rows_of(found, columns, finder))
    if not rows:
        raise CorpusError(f"{path} holds no rows; a source needs at least one pair of an image and a caption")
    _name(rows)
    return Source(Path(path).name, rows, scratch, tuple(found.notes))


def _name(rows: list[Row]) -> None:
    """Give a key to each row that has none, and to samples of several shards that are called alike one for each."""
    shards: dict[str, set[str]] = {}
    for row in rows:
        if isinstance(row.image, Span) and row.image.file and row.key is not None:
            shards.setdefault(row.key, set()).add(row.image.file)
    several = any(len(files) > 1 for files in shards.values())
    for number, row in enumerate(rows):
        if row.key is None:
            row.key = str(number)
        elif several and isinstance(row.image, Span) and row.image.file:
            row.key = f"{Path(row.image.file).name.partition('.')[0]}/{row.key}"


def _place(row: Row) -> Stored:
    assert row.image is not None
    return row.image

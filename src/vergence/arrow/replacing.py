"""Replaces one column of a Parquet file; the pages of every other column are copied as they are, and never decoded.

Fields of Thrift's structs go by their numbers: of the footer 4 row groups; of a row group 1 columns, 2 bytes decoded,
5 where it begins, 6 bytes stored; of a column 2 where its metadata was, 3 metadata, 4 to 7 its page index; of its
metadata 3 path, 4 codec, 7 bytes stored, 9 and 11 where data pages and dictionary begin, 14 and 15 its Bloom filter.
Page indexes and Bloom filters are optional, stand outside of the columns, and are left out: they would point elsewhere.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from vergence.arrow.footer import I64, Fields, Reader, written
from vergence.arrow.parquet import open_parquet

_BLOCK = 1 << 22
_CODECS = ("none", "snappy", "gzip", "lzo", "brotli", "lz4", "zstd", "lz4")
_MAGIC = b"PAR1"

Piece = tuple[int, int]
"""Where bytes of the new file that the old one has too begin, and how many; negative: so many of what was put aside."""

Change = Callable[[int, Iterator[pa.RecordBatch]], pa.Array | None]
"""From the number of a row group and its batches to its new column, or `None` where it stays."""


@dataclass(frozen=True)
class Replaced:
    """How the old file comes back out of the new one.

    Args:
        pieces: What it consists of, in order.
        size: How many bytes it had.
    """

    pieces: tuple[Piece, ...]
    size: int


def replace_column(
    path: Path, out: Path, aside: Path, *, column: str, beside: Sequence[str], change: Change
) -> Replaced:
    """Write a Parquet file with one column changed.

    Args:
        path: The file.
        out: The new one.
        aside: Receives the bytes of the old file that the new one lacks: the old column, and the footer.
        column: A column of text at the top of its schema.
        beside: Other columns that `change` needs.
        change: Makes the new column of a row group.

    Returns:
        What `put_back` needs.

    Raises:
        OSError, ArrowException: If the file is damaged, encrypted, or of a kind that cannot be changed.
    """
    with open_parquet(path) as file, open(path, "rb") as old, open(out, "wb") as new, open(aside, "wb") as kept:
        footer, footer_at = _footer(old)
        new.write(_MAGIC)
        pieces: list[Piece] = []
        reached = 0
        wanted = list(dict.fromkeys([column, *beside]))
        for number, group in enumerate(footer[4][1][1]):
            array = change(number, file.batches(number, wanted))
            reached = _copy_group(group, array, file.schema.field(column), old, new, kept, pieces, reached)
        _aside(old, kept, pieces, reached, footer_at.size)
        tail = written(footer)
        new.write(tail + len(tail).to_bytes(4, "little") + _MAGIC)
        return Replaced(tuple(pieces), footer_at.size)


def put_back(path: Path, aside: Path, out: Path, replaced: Replaced) -> None:
    """Write the file that there was before `replace_column`, byte for byte.

    Args:
        path: The file with the changed column.
        aside: What was put aside.
        out: The file as it was.
        replaced: What `replace_column` has returned.

    Raises:
        OSError: If something cannot be read or written.
    """
    with open(path, "rb") as new, open(aside, "rb") as kept, open(out, "wb") as old:
        for start, length in replaced.pieces:
            if start >= 0:
                _copy(new, old, start, length)
            else:
                _copy(kept, old, None, length)


def concatenate(paths: Sequence[Path], out: Path) -> None:
    """Write the row groups of Parquet files of one schema into one file, their pages copied as they are.

    Args:
        paths: At least one file; page indexes and Bloom filters are left out.
        out: The file of all their rows, in this order.

    Raises:
        ArrowInvalid: If the files are of different schemas, or one is damaged.
        OSError: If one cannot be read.
    """
    with open(out, "wb") as new:
        new.write(_MAGIC)
        first: Fields = {}
        for path in paths:
            with open(path, "rb") as old:
                footer, _ = _footer(old)
                first = first or {**footer, 3: (I64, 0), 4: (footer[4][0], (footer[4][1][0], []))}
                if footer[2] != first[2]:
                    raise pa.ArrowInvalid(f"{path} has other columns than {paths[0]}")
                for group in footer[4][1][1]:
                    place = new.tell()
                    for chunk in group[1][1][1]:
                        start, length = _extent(chunk[3][1])
                        at = new.tell()
                        _copy(old, new, start, length)
                        _moved(chunk, at - start)
                    group.pop(7, None)  # its number
                    if 5 in group:
                        group[5] = I64, place
                    first[4][1][1].append(group)
                first[3] = I64, first[3][1] + footer[3][1]
        tail = written(first)
        new.write(tail + len(tail).to_bytes(4, "little") + _MAGIC)


@dataclass(frozen=True)
class _Tail:
    size: int
    start: int


def _footer(file: BinaryIO) -> tuple[Fields, _Tail]:
    size = file.seek(0, 2)
    file.seek(size - 8)
    length = int.from_bytes(file.read(4), "little")
    file.seek(size - 8 - length)
    footer = Reader(file.read(length)).struct()
    if 8 in footer or 4 not in footer:  # 8: how it is encrypted
        raise pa.ArrowInvalid("encrypted, or without row groups")
    return footer, _Tail(size, size - 8 - length)


def _copy_group(  # noqa: PLR0917
    group: Fields, array: pa.Array | None, field: pa.Field, old: BinaryIO, new: BinaryIO, kept: BinaryIO,
    pieces: list[Piece], reached: int,
) -> int:  # fmt: skip
    """Copy the columns of a row group, but for the one that is changed; returns how far the old file is told."""
    first = new.tell()
    for chunk in sorted(group[1][1][1], key=lambda chunk: _extent(chunk[3][1])[0]):
        meta: Fields = chunk[3][1]
        start, length = _extent(meta)
        place = new.tell()
        if meta[3][1][1] == [field.name.encode()] and array is not None:
            data, fresh = _encoded(array, field, meta)
            new.write(data)
            _adopt(group, meta, fresh, place - _extent(fresh)[0])
        else:
            _aside(old, kept, pieces, reached, start)
            _copy(old, new, start, length)
            pieces.append((place, length))
            reached = start + length
            _shift(meta, place - start)
        _moved(chunk, 0)
    if 5 in group:
        group[5] = I64, first
    return reached


def _extent(meta: Fields) -> tuple[int, int]:
    """Where a column's pages begin, and how many bytes they take."""
    data = int(meta[9][1])
    dictionary = int(meta[11][1]) if 11 in meta else 0
    return (dictionary if 0 < dictionary < data else data), int(meta[7][1])


def _moved(chunk: Fields, by: int) -> None:
    """A column whose pages are elsewhere, and whose page index is not there any more."""
    _shift(chunk[3][1], by)
    for index in (4, 5, 6, 7):
        chunk.pop(index, None)
    chunk[2] = I64, 0


def _shift(meta: Fields, by: int) -> None:
    for place in (9, 10, 11):
        if place in meta and meta[place][1] > 0:
            meta[place] = I64, meta[place][1] + by
    meta.pop(14, None)
    meta.pop(15, None)


def _adopt(group: Fields, meta: Fields, fresh: Fields, by: int) -> None:
    """Take over the metadata of pages that were written anew."""
    for total, own in ((2, 6), (6, 7)):
        if total in group:
            group[total] = I64, group[total][1] + fresh[own][1] - meta[own][1]
    known = set(meta)
    meta.clear()
    meta.update({place: value for place, value in fresh.items() if place != 12 or 12 in known})
    _shift(meta, by)


def _encoded(array: pa.Array, field: pa.Field, meta: Fields) -> tuple[bytes, Fields]:
    """The pages of a column, packed as it was, and their metadata."""
    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    column = pa.table({field.name: array.cast(kind)}, schema=pa.schema([pa.field(field.name, kind, field.nullable)]))
    sink = pa.BufferOutputStream()
    settings: dict[str, Any] = {
        "compression": _CODECS[meta[4][1]],
        "use_dictionary": 11 in meta,
        "write_statistics": 12 in meta,
        "row_group_size": max(1, len(column)),
        "store_schema": False,
    }
    pq.write_table(column, sink, **settings)
    data = sink.getvalue()
    length = int.from_bytes(data[-8:-4].to_pybytes(), "little")
    fresh: Fields = Reader(data[-8 - length : -8].to_pybytes()).struct()[4][1][1][0][1][1][1][0][3][1]
    start, size = _extent(fresh)
    return data[start : start + size].to_pybytes(), fresh


def _aside(old: BinaryIO, kept: BinaryIO, pieces: list[Piece], start: int, end: int) -> None:
    if end > start:
        _copy(old, kept, start, end - start)
        pieces.append((-1, end - start))


def _copy(source: BinaryIO, target: BinaryIO, start: int | None, length: int) -> None:
    if start is not None:
        source.seek(start)
    while length:
        block = source.read(min(_BLOCK, length))
        if not block:
            raise OSError("the file is shorter than it was")
        target.write(block)
        length -= len(block)

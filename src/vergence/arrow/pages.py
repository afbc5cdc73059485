"""What the pages of a Parquet file will take when they are decoded, from their own headers: a footer can say anything.

Fields of Thrift's structs go by their numbers. Of a page header are used

    1 kind  2 bytes decoded  3 bytes stored  5 data page (1 values, 2 encoding)
    7 dictionary page (1 values)  8 data page of version 2 (1 values, 4 encoding)

and of a footer

    4 row groups (1 columns, 3 rows), a column's 3 metadata
    (5 values, 7 bytes stored, 9 where the data pages begin, 11 where the dictionary page does)

Arrow's own reader of these has no place in Python that a damaged footer does not end the interpreter.
"""

from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

import numpy as np
import pyarrow as pa

from vergence.arrow.thrift import I32, I64, LIST, STRUCT, Compact, Struct

MOST_PAGE = 1 << 30  # bytes of a page, decoded
MOST_DICTIONARY = 1 << 28
_MOST_HEADER = 1 << 24  # Arrow reads no longer one
_MOST_FOOTER = 1 << 26
_SLACK = 100  # bytes by which some writers have understated a column
_PLAIN, _DELTA_BYTE_ARRAY = 0, 7
_DICTIONARY = (2, 8)
_CODECS = MappingProxyType({1: "snappy", 2: "gzip", 4: "brotli", 6: "zstd", 7: "lz4_raw"})


@dataclass(frozen=True)
class Group:
    """A row group: how many rows it says that it has, and the metadata of its columns."""

    rows: int
    columns: tuple[Struct, ...]


def row_groups(source: pa.NativeFile) -> tuple[Group, ...]:
    """The row groups of a Parquet file.

    Raises:
        ArrowInvalid: If the footer is damaged or longer than is ever read.
    """
    size = source.size()
    end = source.read_at(8, max(size - 8, 0))
    if end[4:] != b"PAR1":
        raise pa.ArrowInvalid("encrypted" if end[4:] == b"PARE" else "no Parquet file, or the end of it is missing")
    length = int.from_bytes(end[:4], "little")
    if not 0 < length <= min(_MOST_FOOTER, size - 8):
        raise pa.ArrowInvalid(f"a footer of {length:,} bytes; at most {_MOST_FOOTER:,} are read")
    return _row_groups(source.read_at(length, size - 8 - length))


@lru_cache(maxsize=4)  # each part of a corpus opens its file anew
def _row_groups(footer: bytes) -> tuple[Group, ...]:
    try:
        groups = Compact(footer).struct().get((4, LIST), [])
    except IndexError:
        raise pa.ArrowInvalid("the footer is cut off") from None
    if not all(isinstance(group, dict) for group in groups):
        raise pa.ArrowInvalid("the footer is damaged")
    return tuple(
        Group(
            max(group.get((3, I64), 0), 0),
            tuple(
                column.get((3, STRUCT), {}) if isinstance(column, dict) else {} for column in group.get((1, LIST), [])
            ),
        )
        for group in groups
    )


@dataclass
class Chunk:
    """The pages of one column in one row group.

    Args:
        leaves: Values of all pages; in lists, more or fewer than rows.
        size: Bytes of all pages, decompressed.
        density: Most bytes to a value in any one page, decompressed.
        dictionary: Bytes of the dictionary page, decompressed; 0 without one.
        dictionary_values: How many values the dictionary says that it has.
        dictionary_place: Where the content of the dictionary page begins, and how many bytes it takes.
        coded: Values of pages that refer to the dictionary.
        prefixed: Most bytes of a page of values that repeat the beginning of the one before; 0 without one.
        others: Whether there are pages that are neither plain nor refer to the dictionary.
    """

    leaves: int = 0
    size: int = 0
    density: float = 0.0
    dictionary: int = 0
    dictionary_values: int = 0
    dictionary_place: tuple[int, int] = (0, 0)
    coded: int = 0
    prefixed: int = 0
    others: bool = False

    def add(self, values: int, encoding: int, size: int) -> None:
        """Count a data page."""
        if encoding in _DICTIONARY:
            self.coded += values
        elif encoding == _DELTA_BYTE_ARRAY:
            self.prefixed = max(self.prefixed, size)
        self.others |= encoding not in (_PLAIN, *_DICTIONARY)
        self.leaves += values
        self.size += size
        self.density = max(self.density, size / max(values, 1))


def chunk_pages(source: pa.NativeFile, column: Struct) -> Chunk:
    """Read the headers of the pages of a column in a row group, in the way in which Arrow will.

    Raises:
        ArrowInvalid: If a header is damaged, or a page larger than is ever read.
    """
    chunk, seen = Chunk(), 0
    position, dictionary = column.get((9, I64), -1), column.get((11, I64), 0)
    if 0 < dictionary < position:
        position = dictionary
    end = min(position + column.get((7, I64), 0) + _SLACK, source.size())
    while seen < column.get((5, I64), 0) and 0 <= position < end:
        header, length = _header(source, position)
        decoded, stored = header.get((2, I32), -1), header.get((3, I32), -1)
        if decoded < 0 or stored < 0:
            raise pa.ArrowInvalid("a page header is damaged")
        if max(decoded, stored) > MOST_PAGE:
            raise pa.ArrowInvalid(f"a page decodes to {decoded:,} bytes; at most {MOST_PAGE:,} are read")
        kind = header.get((1, I32))
        if kind == 2:
            _dictionary_page(chunk, header.get((7, STRUCT), {}), max(decoded, stored))
            chunk.dictionary_place = position + length, stored
        elif kind in (0, 3):
            page: Struct = header.get((5, STRUCT) if kind == 0 else (8, STRUCT), {})
            values, encoding = page.get((1, I32), -1), page.get((2 if kind == 0 else 4, I32), -1)
            if values < 0:
                raise pa.ArrowInvalid("a page header is damaged")
            chunk.add(values, encoding, max(decoded, stored))
            seen += values
        position += length + stored
    return chunk


def longest_value(source: pa.NativeFile, chunk: Chunk, column: Struct) -> int:
    """Bytes of the longest text in the dictionary of a column, at most those of the whole dictionary."""
    from vergence.arrow.kernels import longest_plain

    start, stored = chunk.dictionary_place
    codec = column.get((4, I32), -1)
    page = source.read_at(stored, start)
    if codec in _CODECS:
        try:
            page = pa.decompress(page, chunk.dictionary, _CODECS[codec])
        except (OSError, pa.ArrowException):
            return chunk.dictionary  # reading it will say what is wrong
    elif codec != 0:
        return chunk.dictionary
    return int(longest_plain(np.frombuffer(page, np.uint8), chunk.dictionary_values))


def _dictionary_page(chunk: Chunk, page: Struct, size: int) -> None:
    values = page.get((1, I32), -1)
    if chunk.dictionary or size > MOST_DICTIONARY or not 0 <= values <= size:
        raise pa.ArrowInvalid(
            f"a dictionary of {values:,} values in {size:,} bytes; at most {MOST_DICTIONARY:,} are read"
        )
    chunk.dictionary, chunk.dictionary_values = size, values


def _header(source: pa.NativeFile, position: int) -> tuple[Struct, int]:
    """The page header at a position, and how many bytes it takes."""
    size = 1 << 8
    while True:
        data = source.read_at(size, position)
        reader = Compact(data)
        try:
            return reader.struct(), reader.at
        except IndexError:
            if len(data) < size or size >= _MOST_HEADER:
                raise pa.ArrowInvalid("a page header is cut off") from None
        size <<= 4

"""What the pages of a Parquet file will take when they are decoded, from their own headers: a footer can say anything.

A page header is a struct in Thrift's compact protocol. The fields used here:

    1 kind  2 bytes decoded  3 bytes stored  5 data page (1 values, 2 encoding)
    7 dictionary page (1 values)  8 data page of version 2 (1 values, 4 encoding)
"""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

MOST_PAGE = 1 << 30  # bytes of a page, decoded
MOST_DICTIONARY = 1 << 28
_MOST_HEADER = 1 << 24  # Arrow reads no longer one
_MOST_DEPTH = 8
_PLAIN, _DELTA_BYTE_ARRAY = 0, 7
_DICTIONARY = (2, 8)
_I32, _I64, _BINARY, _STRUCT = 5, 6, 8, 12

Struct = dict[tuple[int, int], Any]  # by number and type of a field: Thrift ignores a field of another type


@dataclass
class Chunk:
    """The pages of one column in one row group.

    Args:
        leaves: Values of all pages; in lists, more or fewer than rows.
        size: Bytes of all pages, decompressed.
        density: Most bytes to a value in any one page, decompressed.
        dictionary: Bytes of the dictionary page, decompressed; 0 without one.
        dictionary_values: How many values the dictionary says that it has.
        starts_coded: Whether the first data page refers to the dictionary.
        coded: Values of pages that refer to the dictionary.
        prefixed: Most bytes of a page of values that repeat the beginning of the one before; 0 without one.
        others: Whether there are pages that are neither plain nor refer to the dictionary.
    """

    leaves: int = 0
    size: int = 0
    density: float = 0.0
    dictionary: int = 0
    dictionary_values: int = 0
    starts_coded: bool = False
    coded: int = 0
    prefixed: int = 0
    others: bool = False

    def add(self, values: int, encoding: int, size: int) -> None:
        """Count a data page."""
        if encoding in _DICTIONARY:
            self.starts_coded |= not self.leaves
            self.coded += values
        elif encoding == _DELTA_BYTE_ARRAY:
            self.prefixed = max(self.prefixed, size)
        self.others |= encoding not in (_PLAIN, *_DICTIONARY)
        self.leaves += values
        self.size += size
        self.density = max(self.density, size / max(values, 1))


def chunk_pages(source: pa.NativeFile, column: pq.ColumnChunkMetaData) -> Chunk:
    """Read the headers of the pages of a column in a row group, in the way in which Arrow will.

    Raises:
        ArrowInvalid: If a header is damaged, or a page larger than is ever read.
    """
    chunk, seen = Chunk(), 0
    position = column.data_page_offset
    if column.has_dictionary_page and 0 < (column.dictionary_page_offset or 0) < position:
        position = column.dictionary_page_offset
    end = position + column.total_compressed_size
    while seen < column.num_values and position < end:
        header, length = _header(source, position)
        decoded, stored = header.get((2, _I32), -1), header.get((3, _I32), -1)
        if decoded < 0 or stored < 0:
            raise pa.ArrowInvalid("a page header is damaged")
        if max(decoded, stored) > MOST_PAGE:
            raise pa.ArrowInvalid(f"a page decodes to {decoded:,} bytes; at most {MOST_PAGE:,} are read")
        kind = header.get((1, _I32))
        if kind == 2:
            _dictionary_page(chunk, header.get((7, _STRUCT), {}), max(decoded, stored))
        elif kind in (0, 3):
            page: Struct = header.get((5, _STRUCT) if kind == 0 else (8, _STRUCT), {})
            values, encoding = page.get((1, _I32), -1), page.get((2 if kind == 0 else 4, _I32), -1)
            if values < 0:
                raise pa.ArrowInvalid("a page header is damaged")
            chunk.add(values, encoding, max(decoded, stored))
            seen += values
        position += length + stored
    return chunk


def _dictionary_page(chunk: Chunk, page: Struct, size: int) -> None:
    values = page.get((1, _I32), -1)
    if size > MOST_DICTIONARY or not 0 <= values <= size:
        raise pa.ArrowInvalid(
            f"a dictionary of {values:,} values in {size:,} bytes; at most {MOST_DICTIONARY:,} are read"
        )
    chunk.dictionary, chunk.dictionary_values = max(chunk.dictionary, size), values


def _header(source: pa.NativeFile, position: int) -> tuple[Struct, int]:
    """The page header at a position, and how many bytes it takes."""
    size = 1 << 8
    while True:
        source.seek(position)
        data = source.read(size)
        reader = _Compact(data)
        try:
            return reader.struct(), reader.at
        except IndexError:
            if len(data) < size or size >= _MOST_HEADER:
                raise pa.ArrowInvalid("a page header is cut off") from None
        size <<= 4


class _Compact:
    """Reads Thrift's compact protocol; an IndexError says that the data end too early."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def varint(self) -> int:
        value, shift = 0, 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
            if shift > 63:
                raise pa.ArrowInvalid("a page header is damaged")

    def integer(self, bits: int) -> int:
        value = self.varint() & ((1 << bits) - 1)
        return (value >> 1) ^ -(value & 1)

    def skip(self, count: int) -> None:
        self.at += count
        if self.at > len(self.data):
            raise IndexError

    def struct(self, depth: int = 0) -> Struct:
        fields: Struct = {}
        number = 0
        while head := self.byte():
            number = number + (head >> 4) if head >> 4 else self.integer(32)
            fields[number, head & 15] = self.value(head & 15, depth + 1)
        return fields

    def value(self, kind: int, depth: int) -> Any:
        """One value; of those of no concern only the place is passed."""
        if depth > _MOST_DEPTH or not 1 <= kind <= _STRUCT:
            raise pa.ArrowInvalid("a page header is damaged")
        if kind == _STRUCT:
            return self.struct(depth)
        if kind in (4, _I32, _I64):
            return self.integer(64 if kind == _I64 else 32)
        if kind == 3:
            return self.byte()
        if kind in (7, _BINARY):
            self.skip(8 if kind == 7 else self.varint())
        elif kind > _BINARY:
            raise pa.ArrowInvalid("a page header holds a list")  # none of the format does
        return None

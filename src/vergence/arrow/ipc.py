"""Arrow files and streams, batch by batch: what each says that it decompresses to is looked at before it is read."""

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from vergence.arrow.flatbuffer import Table
from vergence.errors import unknown

MOST_BATCH = 1 << 30  # bytes of a batch, or of all dictionaries, decompressed
_MOST_METADATA = 1 << 26
_FEW_ROWS = 1 << 16
_MAGIC = b"ARROW1"
_DICTIONARY_BATCH, _RECORD_BATCH = 2, 3

Place = tuple[int, int]  # where a message and its body begin


class Ipc:
    """An open Arrow file or stream.

    Args:
        source: The file; it is read, never mapped, as a mapped file that is cut off meanwhile ends the process.
        headers: The same file, opened once more for looking ahead.

    Raises:
        ArrowInvalid: If it is neither a file nor a stream.
    """

    def __init__(self, source: pa.NativeFile, headers: BinaryIO) -> None:
        self._source, self._headers, self._size = source, headers, source.size()
        is_file = self._bytes(len(_MAGIC), 0) == _MAGIC
        self._start = 8 if is_file else 0
        self._blocks = self._footer() if is_file else None
        if self._blocks is None:
            self._message(self._start)  # says whether the schema can be read at all
        self.schema: pa.Schema = self._reader().schema

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """The columns of each batch, validated but for UTF-8: texts are given as bytes.

        Raises:
            ArrowInvalid: If a column is missing or named twice, a batch is damaged or takes more than is read.
        """
        names = self.schema.names
        for name in columns:
            if names.count(name) != 1:
                raise pa.ArrowInvalid(
                    f"two columns are called {name!r}" if name in names else unknown("column", name, names)
                )
        included = [names.index(name) for name in columns]
        reader = self._reader(included)
        for batch in self._from_file(reader) if self._blocks else self._from_stream(reader):
            wanted = batch.select(list(columns))
            plain = pa.RecordBatch.from_arrays(
                [column.view(as_bytes(column.type)) for column in wanted.columns], columns
            )
            plain.validate(full=True)
            yield plain

    def _bytes(self, count: int, position: int) -> bytes:
        self._headers.seek(position)
        return self._headers.read(count)

    def _footer(self) -> tuple[list[Place], list[Place]] | None:
        """Where the dictionaries and the batches of a file are; `None` if its end is missing."""
        size = self._size
        length, magic = struct.unpack("<i6s", self._bytes(10, max(size - 10, 0)).ljust(10, b"\0"))
        if magic != _MAGIC or not 0 < length <= min(_MOST_METADATA, size - 10):
            return None
        table = Table.root(self._bytes(length, size - 10 - length))
        dictionaries, records = ([(at, at + length) for at, length, _ in table.blocks(field)] for field in (2, 3))
        return dictionaries, records

    def _reader(
        self, included: list[int] | None = None
    ) -> pa.ipc.RecordBatchStreamReader | pa.ipc.RecordBatchFileReader:
        options = pa.ipc.IpcReadOptions(included_fields=included, use_threads=False)
        if self._blocks:
            return pa.ipc.open_file(self._source, options=options)
        self._source.seek(self._start)
        return pa.ipc.open_stream(self._source, options=options)

    def _from_file(self, reader: pa.ipc.RecordBatchFileReader) -> Iterator[pa.RecordBatch]:
        dictionaries, records = self._blocks or ([], [])
        _bounded(sum(self._message(*block)[1] for block in dictionaries))
        end = 0
        for number, block in enumerate(records):
            if block[0] < end:
                raise pa.ArrowInvalid("batches overlap")
            _, size, end = self._message(*block)
            _bounded(size)
            yield reader.get_batch(number)

    def _from_stream(self, reader: pa.ipc.RecordBatchStreamReader) -> Iterator[pa.RecordBatch]:
        position, dictionaries = self._source.tell(), 0
        while position < self._size:
            kind, size, position = self._message(position)
            if kind == _DICTIONARY_BATCH:
                dictionaries += size
                _bounded(dictionaries)
            elif kind == _RECORD_BATCH:
                _bounded(size)
                yield reader.read_next_batch()
            elif kind < 0:
                return

    def _message(self, position: int, body: int | None = None) -> tuple[int, int, int]:
        """The kind of a message, what it takes in memory, and where the next begins; kind -1 ends the stream."""
        if not 0 <= position <= self._size:
            raise pa.ArrowInvalid("damaged metadata of a message")
        marker, length = struct.unpack("<iI", self._bytes(8, position).ljust(8, b"\0"))
        start = position + 8
        if marker != -1:  # as written before Arrow 0.15
            length, start = marker, position + 4
        if length == 0:
            return -1, 0, start
        if not 0 < length <= _MOST_METADATA:
            raise pa.ArrowInvalid("damaged metadata of a message")
        metadata = self._bytes(length, start)
        if b"ARROW:experimental_compression" in metadata:
            raise pa.ArrowInvalid("compressed as only Arrow 0.17 did; write it anew")
        table = Table.root(metadata)
        kind, body_size = table.number(1, "B"), table.number(3, "q")
        body = start + length if body is None else body
        if body < 0 or not 0 <= body_size <= self._size - body:
            raise pa.ArrowInvalid(f"cut off: a message of {body_size:,} bytes at {body:,} of {self._size:,}")
        batch = table.table(2) if kind in (_DICTIONARY_BATCH, _RECORD_BATCH) else None
        if batch and kind == _DICTIONARY_BATCH:
            batch = batch.table(1)
        size = 0 if batch is None else self._batch(batch, body, body_size)
        return kind, size, body + body_size

    def _batch(self, batch: Table, body: int, size: int) -> int:
        """Bytes of a batch, decompressed."""
        total = size
        if batch.table(3) is not None:
            total = 0
            for offset, length in batch.pairs(2):
                stated = length
                if length and 0 <= offset < size:
                    stated = struct.unpack("<q", self._bytes(8, body + offset).ljust(8, b"\0"))[0]
                total += length if stated == -1 else max(stated, 0)
        rows = batch.number(0, "q")
        if not 0 <= rows <= max(_FEW_ROWS, 8 * total):
            raise pa.ArrowInvalid(f"a batch of {total:,} bytes claims {rows:,} rows")
        return total


@contextmanager
def open_ipc(path: str | Path) -> Iterator[Ipc]:
    """Open an Arrow file or stream.

    Raises:
        OSError: If it cannot be opened.
        ArrowInvalid: If it is neither.
    """
    with pa.OSFile(str(path)) as source, open(path, "rb") as headers:
        yield Ipc(source, headers)


def as_bytes(kind: pa.DataType) -> pa.DataType:
    """A type with bytes in place of text, so that texts that are not UTF-8 can be told one by one.

    Example:
        >>> as_bytes(pa.list_(pa.string()))
        ListType(list<item: binary>)
    """
    plain = {pa.string(): pa.binary(), pa.large_string(): pa.large_binary(), pa.string_view(): pa.binary_view()}
    if kind in plain:
        return plain[kind]
    if pa.types.is_dictionary(kind):
        return pa.dictionary(kind.index_type, as_bytes(kind.value_type), kind.ordered)
    if pa.types.is_fixed_size_list(kind):
        if kind.list_size < 0:
            raise pa.ArrowInvalid(f"lists of a size of {kind.list_size}")
        if kind.list_size == 0:
            return kind  # pyarrow makes no other
        return pa.list_(_field(kind.value_field), kind.list_size)
    for is_kind, make in _LISTS:
        if is_kind(kind):
            return make(_field(kind.value_field))
    if pa.types.is_struct(kind):
        return pa.struct([_field(kind.field(k)) for k in range(kind.num_fields)])
    return kind


_LISTS = (
    (pa.types.is_list, pa.list_),
    (pa.types.is_large_list, pa.large_list),
    (pa.types.is_list_view, pa.list_view),
    (pa.types.is_large_list_view, pa.large_list_view),
)


def _field(field: pa.Field) -> pa.Field:
    return field.with_type(as_bytes(field.type))


def _bounded(size: int) -> None:
    if size > MOST_BATCH:
        raise pa.ArrowInvalid(
            f"a batch takes {size:,} bytes; at most {MOST_BATCH:,} are read, so write smaller batches"
        )

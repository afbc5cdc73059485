"""CSV and TSV as a stream of captions: records are found first, so that one bad record never costs another."""

import csv
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, no_type_check

import numpy as np
import pyarrow as pa
import pyarrow.csv as pv
from numba import njit

from vergence.corpus.problems import missing_column, short
from vergence.corpus.streams import BLOCK, STREAM_ERRORS, BrokenStreamError, Stream


def csv_columns(
    stream: Stream, *, names: Sequence[str], delimiter: str, limit: int, add: Callable[..., None], header: bool = True
) -> Iterator[tuple[pa.Array, np.ndarray]]:
    """The named columns of a table of text, block by block.

    A field may be quoted and then hold line ends, except where tabs delimit: there quotes mean themselves. An unquoted
    empty field is null.

    Args:
        stream: The table.
        names: Names of the columns wanted.
        delimiter: One ASCII character.
        header: Whether the first record names the columns; if not, they are called 1, 2, 3 ...
        limit: Longest record in bytes; a longer one is counted as skipped and the next line begins a new one.
        add: Receives what is skipped: kind, and by keyword unit, numbers and detail.

    Yields:
        For each wanted column an array of bytes, and the number of each row's record, the header's being 0.

    Raises:
        BrokenStreamError: If the stream fails.
    """
    dialect = _Dialect(delimiter, (), 0)
    for found, blocks in _records(stream, delimiter, limit, add):
        numbers, records = found, blocks
        if not dialect.width:
            if b"\0" in records[0]:
                add("not_text", unit="file", numbers=[0])
                return
            try:
                first = _fields(records[0].removeprefix(b"\xef\xbb\xbf"), dialect)
            except csv.Error as error:  # a name of more than 131,072 characters
                add("malformed", unit="record", numbers=[0], detail=short(error))
                return
            columns = list(map(str.strip, first)) if header else list(map(str, range(1, len(first) + 1)))
            dialect = _Dialect(delimiter, tuple(_places(names, columns, add, header)), len(first))
            if header:
                numbers, records = numbers[1:], records[1:]
        numbers, records = _without_nul(numbers + (not header), records, add)
        if dialect.wanted and records:
            yield from _parse(records, numbers, dialect, add)


class _Dialect(NamedTuple):
    """How a table is laid out: its delimiter, which columns are wanted, and how many there are."""

    delimiter: str
    wanted: tuple[int, ...]
    width: int

    @property
    def quote(self) -> str | bool:
        return '"' if self.delimiter != "\t" else False


def _places(names: Sequence[str], columns: Sequence[str], add: Callable[..., None], header: bool) -> Iterator[int]:
    """Where the wanted columns are; what is missing or ambiguous is counted with what would help."""
    for name in names:
        if columns.count(name.strip()) == 1:
            yield columns.index(name.strip())
            continue
        detail = missing_column(name, columns)
        other = [sign for sign in "|;\t," if len(columns) == 1 and sign in columns[0]]
        if other:
            detail = f"its only column is {columns[0][:80]!r}; pass --delimiter {other[0]!r}"
        elif header and name not in columns:
            detail += "; if the first row is no header, pass --no-header"
        add("no_column", unit="file", numbers=[0], detail=detail)


def _without_nul(numbers: np.ndarray, records: list[bytes], add: Callable[..., None]) -> tuple[np.ndarray, list[bytes]]:
    if b"\0" not in b"".join(records):
        return numbers, records
    bad = np.array([b"\0" in record for record in records], dtype=np.bool_)
    add("not_text", unit="record", numbers=numbers[bad].tolist())
    return numbers[~bad], [record for record, held in zip(records, bad, strict=True) if not held]


def _fields(record: bytes, dialect: _Dialect) -> list[str]:
    text = record.decode(errors="replace")
    if not dialect.quote:
        return text.split(dialect.delimiter)
    return next(csv.reader(text.splitlines(keepends=True), delimiter=dialect.delimiter), [])


def _parse(
    records: list[bytes], numbers: np.ndarray, dialect: _Dialect, add: Callable[..., None]
) -> Iterator[tuple[pa.Array, np.ndarray]]:
    bad: list[int] = []
    table = _read(records, dialect, bad)
    if table is None or table.num_rows + len(bad) != len(records):
        if len(records) == 1:
            add("malformed", unit="record", numbers=numbers.tolist())
            return
        for number, record in zip(numbers, records, strict=True):
            yield from _parse([record], np.array([number]), dialect, add)
        return
    if bad:
        places = np.array(bad) - 1
        add("malformed", unit="record", numbers=numbers[places].tolist(), detail=f"not {dialect.width} fields")
        numbers = np.delete(numbers, places)
    for column in table.columns:
        yield pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], pa.binary()), numbers


def _read(records: list[bytes], dialect: _Dialect, bad: list[int]) -> pa.Table | None:
    def skip(row: pv.InvalidRow) -> str:
        bad.append(row.number)
        return "skip"

    block = b"\n".join(records) + b"\n"
    names = [str(column) for column in range(dialect.width)]
    try:
        return pv.read_csv(
            pa.BufferReader(block),
            pv.ReadOptions(use_threads=False, block_size=len(block) + 1, column_names=names),
            pv.ParseOptions(
                delimiter=dialect.delimiter,
                quote_char=dialect.quote,
                newlines_in_values=bool(dialect.quote),
                invalid_row_handler=skip,
            ),
            pv.ConvertOptions(
                check_utf8=False,
                column_types=dict.fromkeys(names, pa.binary()),
                include_columns=[names[column] for column in dialect.wanted],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
                null_values=[""],
            ),
        )
    except pa.ArrowException:
        return None


def _records(
    stream: Stream, delimiter: str, limit: int, add: Callable[..., None]
) -> Iterator[tuple[np.ndarray, list[bytes]]]:
    """Blocks of complete records that are neither blank nor too long, with their numbers."""
    number, rest, dropping, ended = 0, b"", False, False
    while not ended:
        try:
            block = stream.read(BLOCK)
        except STREAM_ERRORS as error:
            raise BrokenStreamError(str(error)) from error
        ended = not block
        if dropping:
            _, found, block = block.partition(b"\n")
            dropping = not found
        rest += block
        if ended and rest and not rest.endswith(b"\n"):
            rest += b"\n"
        numbers, records = [], []
        while True:
            start = 0
            for end in record_ends(np.frombuffer(rest, np.uint8), ord(delimiter), delimiter != "\t").tolist():
                record = rest[start:end].removesuffix(b"\r")
                start = end + 1
                if not record:
                    continue
                if len(record) > limit:
                    add("too_long", unit="record", numbers=[number])
                else:
                    numbers.append(number)
                    records.append(record)
                number += 1
            rest = rest[start:]
            if len(rest) <= limit and not (ended and rest):
                break
            # A quote that is never closed, or a line that does not end: give up the line, not what follows it.
            _, found, rest = rest.partition(b"\n")
            add("malformed" if found else "too_long", unit="record", numbers=[number])
            number += 1
            if not found:
                dropping = True
                break
        if records:
            yield np.array(numbers, dtype=np.int64), records


@no_type_check
@njit(nogil=True, cache=True)
def record_ends(data, delimiter, quoting):
    """Where the line ends are that end a record: those outside of quotes that opened a field."""
    ends = np.empty(max(16, len(data) // 16), np.int64)
    n = 0
    opening, quoted = True, False
    for i in range(len(data)):
        b = data[i]
        if quoted:
            quoted = b != 34  # a doubled quote closes and at once opens again
            opening = True
        elif b == 10:
            if n == len(ends):
                ends = np.concatenate((ends, np.empty(len(ends), np.int64)))
            ends[n] = i
            n += 1
            opening = True
        elif b == 34 and quoting and opening:
            quoted = True
        else:
            opening = b == delimiter
    return ends[:n]

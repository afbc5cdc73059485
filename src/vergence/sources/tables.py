"""CSV and TSV as a stream of captions: records are found first, so that one bad record never costs another."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, no_type_check

import numpy as np
import pyarrow as pa
import pyarrow.csv as pv

from vergence.compiled import njit
from vergence.sources.problems import missing_column
from vergence.sources.streams import BLOCK, STREAM_ERRORS, BrokenStreamError, Stream

_MOST_COLUMNS = 1 << 16


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
    for found, blocks in _records(stream, delimiter, limit, add, first=int(not header)):
        numbers, records = found, blocks
        if not dialect.width:
            fields = _fields(records[0], dialect)
            if not fields:
                add("malformed", unit="file", numbers=[0], detail=f"no first record of 1 to {_MOST_COLUMNS:,} columns")
                return
            columns = list(map(str.strip, fields)) if header else list(map(str, range(1, len(fields) + 1)))
            dialect = _Dialect(delimiter, tuple(_places(names, columns, add, header)), len(fields))
            if header:
                numbers, records = numbers[1:], records[1:]
        numbers, records = _without_nul(numbers, records, add)
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
    most = record.count(dialect.delimiter.encode()) + 1
    table = _read([record], dialect._replace(width=most), [], header=True) if most <= _MOST_COLUMNS else None
    if table is None or table.num_rows != 1:
        return []
    return [column[0].as_py().decode(errors="replace") for column in table.columns]


def _parse(
    records: list[bytes], numbers: np.ndarray, dialect: _Dialect, add: Callable[..., None]
) -> Iterator[tuple[pa.Array, np.ndarray]]:
    bad: list[int] = []
    table = _read(records, dialect, bad)
    if table is None or table.num_rows + len(bad) != len(records):
        if len(records) == 1:
            add("malformed", unit="record", numbers=numbers.tolist())
            return
        half = len(records) // 2
        yield from _parse(records[:half], numbers[:half], dialect, add)
        yield from _parse(records[half:], numbers[half:], dialect, add)
        return
    if bad:
        places = np.array(bad) - 1
        add("malformed", unit="record", numbers=numbers[places].tolist(), detail=f"not {dialect.width} fields")
        numbers = np.delete(numbers, places)
    for column in table.columns:
        yield pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], pa.binary()), numbers


def _read(records: list[bytes], dialect: _Dialect, bad: list[int], *, header: bool = False) -> pa.Table | None:
    def skip(row: pv.InvalidRow) -> str:
        bad.append(row.number)
        return "skip"

    block = b"\n".join(records) + b"\n"
    names = [f"f{column}" for column in range(dialect.width)]  # as Arrow itself calls them
    try:
        return pv.read_csv(
            pa.BufferReader(block),
            pv.ReadOptions(
                use_threads=False,
                block_size=len(block) + 1,
                column_names=None if header else names,
                autogenerate_column_names=header,
            ),
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
                strings_can_be_null=not header,
                quoted_strings_can_be_null=False,
                null_values=[""],
            ),
        )
    except pa.ArrowException:
        return None


def _records(
    stream: Stream, delimiter: str, limit: int, add: Callable[..., None], *, first: int = 0
) -> Iterator[tuple[np.ndarray, list[bytes]]]:
    """Blocks of complete records that are neither blank nor too long, with their numbers, from the first one's on."""
    number, width, rest, dropping = first, 0, b"", False
    for n, (piece, ended) in enumerate(_blocks(stream)):
        block = piece if n else piece.removeprefix(b"\xef\xbb\xbf")
        if dropping:
            _, found, rest = block.partition(b"\n")
            dropping = not found
        else:
            rest += block
        if ended and rest and not rest.endswith(b"\n"):
            rest += b"\n"
        numbers, records, start = [], [], 0
        for record, end, fields, wrong in _divided(rest, delimiter, limit, ended):
            width = width or (0 if wrong else fields)
            if wrong:
                add(wrong, unit="record", numbers=[number])
            elif record and fields != width:
                add("malformed", unit="record", numbers=[number], detail=f"not {width} fields")
            elif record:
                numbers.append(number)
                records.append(record)
            number += bool(record)
            start = end
        rest = rest[start:]
        if len(rest) > limit and b"\n" not in rest:  # a line that does not end
            add("too_long", unit="record", numbers=[number])
            number += 1
            rest, dropping = b"", True
        if records:
            yield np.array(numbers, dtype=np.int64), records


def _divided(text: bytes, delimiter: str, limit: int, ended: bool) -> Iterator[tuple[bytes, int, int, str]]:
    """Each record of a text, where the next begins, its number of fields, and what is wrong with it.

    One that may go on after the text is left for later.

    Of a quote that is not closed within the limit the line is given up, not what follows it.
    """
    lines = line_states(np.frombuffer(text, np.uint8), ord(delimiter), delimiter != "\t")
    ends, opens, closes, begun, gone_on = (column.tolist() for column in lines)
    line, start = 0, 0
    while line < len(ends):
        last = closes[line + 1] if opens[line] else line
        wrong = ""
        if last == len(ends):
            if len(text) - start <= limit and not ended:
                return
            last, wrong = line, "malformed"
        record = text[start : ends[last]].removesuffix(b"\r")
        if not wrong and len(record) > limit:
            wrong = "too_long"
        returns, delimiters = (a + c - b for a, b, c in zip(begun[line], gone_on[line], gone_on[last], strict=True))
        if not wrong and returns:
            wrong = "malformed"
        start, line = ends[last] + 1, last + 1
        yield record, start, delimiters + 1 if record else 0, wrong


def _blocks(stream: Stream) -> Iterator[tuple[bytes, bool]]:
    """Blocks of about a mebibyte, however little a stream gives at a time, and whether it ends with the block."""
    pieces: list[bytes] = []
    size = 0
    while True:
        try:
            piece = stream.read(BLOCK)
        except STREAM_ERRORS as error:
            yield b"".join(pieces), False
            raise BrokenStreamError(str(error)) from error
        pieces.append(piece)
        size += len(piece)
        if not piece or size >= BLOCK:
            yield b"".join(pieces), not piece
            pieces, size = [], 0
        if not piece:
            return


@no_type_check
@njit(nogil=True, cache=True)
def line_states(data, delimiter, quoting):
    """What each line does to quotes, so that the end of a record that begins with any line is known at once.

    A quote opens a field right after a delimiter or at the beginning of a record, and a doubled one goes on with it.

    Returns:
        Where each line ends; whether a record that begins with the line goes on after it; the next line, from each on,
        that ends a record which goes on; and how many carriage returns and delimiters are outside of quotes: in the
        line, if a record begins with it, and in all lines so far, if a record goes on in each.
    """
    n = 0
    for i in range(len(data)):
        n += data[i] == 10
    ends = np.empty(n, np.int64)
    opens = np.zeros(n, np.bool_)
    stays = np.zeros(n, np.bool_)
    begun = np.zeros((n + 1, 2), np.int64)
    gone_on = np.zeros((n + 1, 2), np.int64)
    line, start = 0, 0
    fresh, fresh_closed = False, -2  # in a record that begins with the line
    going, going_closed = quoting, -2  # in one that goes on from within quotes
    for i in range(len(data)):
        b = data[i]
        if b == 10:
            ends[line], opens[line], stays[line] = i, fresh, going
            gone_on[line + 1] = gone_on[line]
            line, start = line + 1, i + 1
            fresh, fresh_closed = False, -2
            going, going_closed = quoting, -2
        elif b == 34 and quoting:
            opening = i == start or data[i - 1] == delimiter
            if fresh:
                fresh, fresh_closed = False, i
            elif opening or fresh_closed == i - 1:
                fresh = True
            if going:
                going, going_closed = False, i
            elif opening or going_closed == i - 1:
                going = True
        elif b == delimiter or (b == 13 and i + 1 < len(data) and data[i + 1] != 10):
            kind = 0 if b == 13 else 1
            if not fresh:
                begun[line, kind] += 1
            if not going:
                gone_on[line, kind] += 1
    closes = np.full(n + 1, n, np.int64)
    for line in range(n - 1, -1, -1):
        closes[line] = closes[line + 1] if stays[line] else line
    return ends, opens, closes, begun, gone_on

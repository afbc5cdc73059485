"""Streams the captions of a corpus as Arrow arrays: clean, in bounded memory, with everything skipped accounted for."""

import re
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
import pyarrow as pa

from vergence.checks import at_least
from vergence.corpus.cleaning import usable
from vergence.corpus.columnar import BATCH_BYTES, BATCH_ROWS, Columns, read_arrow, read_parquet
from vergence.corpus.records import Captions, Records, document, is_record
from vergence.corpus.samples import Samples
from vergence.errors import ConfigError
from vergence.sources.discovery import Part
from vergence.sources.encodings import Peeked, Recoded, Unlined, has_mac_lines
from vergence.sources.problems import Problems, short
from vergence.sources.streams import STREAM_ERRORS, BrokenStreamError, Stream, lines, members, open_stream
from vergence.sources.tables import csv_columns

_METADATA = 1 << 20  # how much longer than its caption a record may be
_MOST = 1 << 30  # bytes of a caption
_SEPARATOR = re.compile(rb"sep=([\x20-\x7e\t])\r?\n")  # what Excel puts before a table


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """How captions are read.

    Args:
        columns: The caption columns of tables, or keys of JSON records; nested lists of text are flattened, and `a.b`
            is the field b of the structs, or the key b of the objects, at a. In tar shards a field of the samples, such
            as "txt", or a key of their .json members. If empty: the column "caption", and in tar shards the .txt member
            or, where a sample has none, the JSON key "caption".
        max_caption_bytes: Longer captions are counted as skipped; at most 2³⁰.
        strict: Whether the first problem stops the reading.
        delimiter: One ASCII character between the fields of CSV, TSV and .txt files, which are tables then; if empty, a
            comma in CSV and a tab in TSV.
        header: Whether the first row of CSV and TSV files names the columns; if not, they are called 1, 2, 3 ...

    Raises:
        ConfigError: If the limit or the delimiter is not allowed, or a column is empty or comes twice.
    """

    columns: tuple[str, ...] = ()
    max_caption_bytes: int = 1 << 16
    strict: bool = False
    delimiter: str = ""
    header: bool = True

    def __post_init__(self) -> None:
        at_least("max_caption_bytes", self.max_caption_bytes, 1)
        if self.max_caption_bytes > _MOST:
            raise ConfigError(f"max_caption_bytes must be <= {_MOST}; got {self.max_caption_bytes}")
        object.__setattr__(self, "columns", tuple(self.columns))
        if len(set(self.columns)) < len(self.columns):
            raise ConfigError(f"each caption column must be named once; got {', '.join(self.columns)}")
        if not all(self.columns):
            raise ConfigError("the name of a caption column is empty; leave it out for the column 'caption'")
        sign = self.delimiter
        if sign and (len(sign) > 1 or not sign.isascii() or sign.isalnum() or sign in '\0\r\n"_'):
            raise ConfigError(f"delimiter must be one ASCII sign such as | or ; or a tab; got {sign!r}")

    @property
    def table_columns(self) -> tuple[str, ...]:
        """The caption columns of tables and JSON records."""
        return self.columns or ("caption",)

    @property
    def record_bytes(self) -> int:
        """The longest record that is taken apart."""
        return self.max_caption_bytes + _METADATA


def read_captions(part: Part, options: ReadOptions, problems: Problems) -> Iterator[pa.Array]:
    """The captions of one part.

    Args:
        part: From `plan`.
        options: Which captions, and what is too long.
        problems: Where everything that is skipped is added.

    Yields:
        Arrays of text or UTF-8 bytes: well-formed, not null, none too long.

    Raises:
        CorpusError: At the first problem, if strict.
    """
    for file in part.files or (part,):
        yield from _file_captions(file, options, problems)


def _file_captions(part: Part, options: ReadOptions, problems: Problems) -> Iterator[pa.Array]:
    readers: dict[str, Callable[[Part, ReadOptions, Problems], Columns]] = {
        "parquet": partial(_by_column, read_parquet),
        "csv": partial(_table, delimiter=options.delimiter or ","),
        "tsv": partial(_table, delimiter=options.delimiter or "\t"),
        "jsonl": _json_lines,
        "json": _json,
        "text": partial(_table, delimiter=options.delimiter) if options.delimiter else _text,
        "tar": _tar,
        "arrow": partial(_by_column, read_arrow),
    }
    before, held = problems.total, False
    for column, unit, numbers in readers[part.kind](part, options, problems) if part.size else ():
        held = held or len(column) > 0
        add = partial(problems.add, file=part.path, unit=unit)
        captions = usable(column, numbers, add, most=options.max_caption_bytes)
        if len(captions):
            yield captions
    if not held and problems.total == before:
        problems.add("empty_file", part.path, "file", [0])


def _by_column(read: Callable[..., Columns], part: Part, options: ReadOptions, problems: Problems) -> Columns:
    return read(part, options.table_columns, problems, most=options.max_caption_bytes)


def _table(part: Part, options: ReadOptions, problems: Problems, *, delimiter: str) -> Columns:
    def read(stream: Stream) -> Columns:
        start = Peeked(Recoded(stream))
        if b"\0" in start.head.partition(b"\n")[0]:  # every delimiter of UTF-16 is half NUL
            problems.add("not_text", part.path, "file", [0])
            return
        sign = delimiter
        if named := _SEPARATOR.match(start.head):
            sign = options.delimiter or named[1].decode()
            start.skip(named.end())
        lined = Unlined(start) if sign == "\t" or has_mac_lines(start) else start
        columns = csv_columns(
            lined,
            names=options.table_columns,
            delimiter=sign,
            limit=options.record_bytes,
            add=partial(problems.add, file=part.path),
            header=options.header,
        )
        for column, numbers in columns:
            yield column, "record", numbers

    return _guarded(part, problems, read)


def _text(part: Part, options: ReadOptions, problems: Problems) -> Columns:
    if set(options.columns) - {"txt"}:
        detail = "text lines have no columns; leave --caption-column out, or pass --delimiter"
        problems.add("no_column", part.path, "file", [0], detail)
        return
    for numbers, block in _line_blocks(part, options.max_caption_bytes, problems):
        texts, places = block, numbers
        if b"\0" in b"".join(block):
            nul = np.array([b"\0" in line for line in block], dtype=np.bool_)
            problems.add("not_text", part.path, "line", numbers[nul].tolist())
            texts, places = [line for line in block if b"\0" not in line], numbers[~nul]
        yield pa.array([line or None for line in texts], type=pa.large_binary()), "line", places


def _json_lines(part: Part, options: ReadOptions, problems: Problems) -> Columns:
    records = Records(options.table_columns)

    def found() -> Iterator[tuple[int, Captions]]:
        for numbers, block in _line_blocks(part, options.record_bytes, problems):
            for number, line in zip(numbers.tolist(), block, strict=True):
                if line and not line.isspace():
                    yield (
                        number,
                        records.of_line(line, partial(problems.add, file=part.path, unit="line", numbers=[number])),
                    )

    return _batches(found(), "line")


def _json(part: Part, options: ReadOptions, problems: Problems) -> Columns:
    """Lines of JSON if the first line is an object and another follows; one document otherwise."""

    def read(stream: Stream) -> Columns:
        start = Peeked(Recoded(stream))
        if b"\0" in start.head:
            problems.add("not_text", part.path, "file", [0])
            return
        add = partial(problems.add, file=part.path)
        records, plain = Records(options.table_columns), not options.columns
        yield from _batches(document(start, records, add, limit=options.record_bytes, plain=plain), "item")

    try:
        with closing(open_stream(part.path)) as stream:
            first, _, more = Peeked(Recoded(stream)).head.lstrip().partition(b"\n")
    except STREAM_ERRORS:
        first = more = b""  # reading it will say what is wrong
    is_lines = bool(more.strip()) and is_record(first)
    return _json_lines(part, options, problems) if is_lines else _guarded(part, problems, read)


def _tar(part: Part, options: ReadOptions, problems: Problems) -> Columns:
    limits = options.max_caption_bytes, options.record_bytes
    samples = Samples(options.columns, limits, problems, partial(problems.add, file=part.path))
    return _batches(samples.captions(_guarded(part, problems, partial(members, limit=samples.limit))), "member")


def _batches(found: Iterator[tuple[int, Captions]], unit: str) -> Columns:
    """Captions with their places as arrays of bounded size."""
    values: Captions = []
    places: list[int] = []
    size = 0
    for number, captions in found:
        for caption in captions:
            values.append(caption)
            places.append(number)
            size += len(caption) if caption else 0
        if size > BATCH_BYTES or len(values) >= BATCH_ROWS:
            yield pa.array(values, type=pa.large_binary()), unit, np.array(places, dtype=np.int64)
            values, places, size = [], [], 0
    yield pa.array(values, type=pa.large_binary()), unit, np.array(places, dtype=np.int64)


def _line_blocks(part: Part, limit: int, problems: Problems) -> Iterator[tuple[np.ndarray, list[bytes]]]:
    """Blocks of lines with their numbers; lines that are too long are counted and left out."""
    first = 1
    for block in _guarded(part, problems, lambda stream: lines(Unlined(Recoded(stream)), limit=limit)):
        kept = [(number, line) for number, line in enumerate(block, first) if line is not None]
        if len(kept) < len(block):
            long = [number for number, line in enumerate(block, first) if line is None]
            problems.add("too_long", part.path, "line", long)
        yield np.array([number for number, _ in kept], dtype=np.int64), [line for _, line in kept]
        first += len(block)


T = TypeVar("T")


def _guarded(part: Part, problems: Problems, read: Callable[[Stream], Iterator[T]]) -> Iterator[T]:
    """What can be read of a stream; where it breaks off, that is counted."""
    try:
        with closing(open_stream(part.path)) as stream:
            yield from read(stream)
    except (BrokenStreamError, *STREAM_ERRORS) as error:
        problems.add("unreadable", part.path, "file", [0], short(error))

"""Streams the captions of a corpus as Arrow arrays: clean, in bounded memory, with everything skipped accounted for."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa

from vergence.checks import at_least
from vergence.corpus.cleaning import usable
from vergence.corpus.columnar import BATCH_BYTES, BATCH_ROWS, Columns, read_arrow, read_parquet
from vergence.corpus.discovery import Part
from vergence.corpus.problems import Problems, short
from vergence.corpus.streams import STREAM_ERRORS, BrokenStreamError, Stream, lines, members, open_stream
from vergence.corpus.tables import csv_columns
from vergence.errors import ConfigError

_METADATA = 1 << 20  # how much longer than its caption a record may be


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """How captions are read.

    Args:
        columns: The caption columns of tables, or keys of JSON records; nested lists of text are flattened. In tar
            shards "txt" names the .txt members and anything else a key of the .json members. If empty: the column
            "caption", and in tar shards the .txt member or, where a sample has none, the JSON key "caption".
        max_caption_bytes: Longer captions are counted as skipped.
        strict: Whether the first problem stops the reading.

    Raises:
        ConfigError: If the limit is not a whole number of at least 1, or a column comes twice.
    """

    columns: tuple[str, ...] = ()
    max_caption_bytes: int = 1 << 16
    strict: bool = False

    def __post_init__(self) -> None:
        at_least("max_caption_bytes", self.max_caption_bytes, 1)
        object.__setattr__(self, "columns", tuple(self.columns))
        if len(set(self.columns)) < len(self.columns):
            raise ConfigError(f"each caption column must be named once; got {', '.join(self.columns)}")

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
    readers: dict[str, Callable[[Part, ReadOptions, Problems], Columns]] = {
        "parquet": partial(_by_column, read_parquet),
        "csv": partial(_csv, delimiter=","),
        "tsv": partial(_csv, delimiter="\t"),
        "jsonl": _json_lines,
        "text": _text,
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


def _csv(part: Part, options: ReadOptions, problems: Problems, *, delimiter: str) -> Columns:
    def read(stream: Stream) -> Columns:
        names, limit = options.table_columns, options.record_bytes
        add = partial(problems.add, file=part.path)
        for column, numbers in csv_columns(stream, names=names, delimiter=delimiter, limit=limit, add=add):
            yield column, "record", numbers

    return _guarded(part, problems, read)


def _text(part: Part, options: ReadOptions, problems: Problems) -> Columns:
    for numbers, block in _line_blocks(part, options.max_caption_bytes, problems):
        yield pa.array([line or None for line in block], type=pa.large_binary()), "line", numbers


def _json_lines(part: Part, options: ReadOptions, problems: Problems) -> Columns:
    for numbers, block in _line_blocks(part, options.record_bytes, problems):
        values: list[bytes | None] = []
        places: list[int] = []
        for number, line in zip(numbers.tolist(), block, strict=True):
            if line and not line.isspace():
                add = partial(problems.add, file=part.path, unit="line", numbers=[number])
                found = _record(line, options.table_columns, add)
                values += found
                places += [number] * len(found)
        yield pa.array(values, type=pa.large_binary()), "line", np.array(places, dtype=np.int64)


def _line_blocks(part: Part, limit: int, problems: Problems) -> Iterator[tuple[np.ndarray, list[bytes]]]:
    """Blocks of lines with their numbers; lines that are too long are counted and left out."""
    first = 1
    for block in _guarded(part, problems, partial(lines, limit=limit)):
        if first == 1 and block[0] is not None:
            block[0] = block[0].removeprefix(b"\xef\xbb\xbf")
        kept = [(number, line) for number, line in enumerate(block, first) if line is not None]
        if len(kept) < len(block):
            long = [number for number, line in enumerate(block, first) if line is None]
            problems.add("too_long", part.path, "line", long)
        yield np.array([number for number, _ in kept], dtype=np.int64), [line for _, line in kept]
        first += len(block)


def _tar(part: Part, options: ReadOptions, problems: Problems) -> Columns:
    values: list[bytes | None] = []
    places: list[int] = []
    size = 0
    for number, found in _samples(part, options, problems):
        values += found
        places += [number] * len(found)
        size += sum(len(caption or b"") for caption in found)
        if size > BATCH_BYTES or len(values) >= BATCH_ROWS:
            yield pa.array(values, type=pa.large_binary()), "member", np.array(places, dtype=np.int64)
            values, places, size = [], [], 0
    yield pa.array(values, type=pa.large_binary()), "member", np.array(places, dtype=np.int64)


def _samples(part: Part, options: ReadOptions, problems: Problems) -> Iterator[tuple[int, list[bytes | None]]]:
    """The captions of each sample of a tar shard: members in a row that share a key, the name up to its first dot."""
    limits = {".txt": options.max_caption_bytes, ".json": options.record_bytes}
    entries = _guarded(part, problems, partial(members, limits=limits))
    for _, group in groupby(entries, key=lambda member: _key(member.name)):
        parts: dict[str, bytes] = {}
        number, skipped = 0, False
        for member in group:
            number = number or member.number
            suffix = Path(member.name).suffix.lower()
            if suffix not in limits or (member.is_file and member.content is not None and suffix in parts):
                continue
            if member.content is None:
                kind, detail = ("too_long", "") if member.is_file else ("malformed", "a link, not a file")
                problems.add(kind, part.path, "member", [member.number], detail)
                skipped = True
            else:
                parts[suffix] = member.content
        add = partial(problems.add, file=part.path, unit="member", numbers=[number])
        found = _sample_captions(parts, options, add)
        yield number, [] if skipped and found == [None] else found


def _sample_captions(parts: dict[str, bytes], options: ReadOptions, add: Callable[..., None]) -> list[bytes | None]:
    text = parts.get(".txt")
    caption = text.rstrip(b"\r\n") if text is not None else None
    if not options.columns and text is not None:
        return [caption]
    keys = [column for column in options.table_columns if column != "txt"]
    found: list[bytes | None] = [caption] if "txt" in options.columns else []
    if keys:
        found += _record(parts[".json"], keys, add) if ".json" in parts else [None] * len(keys)
    return found


def _key(name: str) -> str:
    folder, _, base = name.rpartition("/")
    return f"{folder}/{base.partition('.')[0]}"


def _record(line: bytes, keys: Sequence[str], add: Callable[..., None]) -> list[bytes | None]:
    """The captions of one JSON object; none, and counted, if it is not one."""
    try:
        record = json.loads(line.decode())
    except UnicodeDecodeError as error:
        add("broken_utf8", detail=error.reason)
        return []
    except (ValueError, RecursionError) as error:
        add("malformed", detail=short(error))
        return []
    if not isinstance(record, dict):
        add("malformed", detail="not a JSON object")
        return []
    found: list[bytes | None] = []
    for key in keys:
        waiting = [record.get(key)]
        while waiting:
            value = waiting.pop()
            if isinstance(value, list):
                waiting += reversed(value)
            elif value is None or isinstance(value, str):
                # An escaped lone surrogate becomes bytes that are no UTF-8, and is counted as that.
                found.append(None if value is None else value.encode(errors="surrogatepass"))
            else:
                add("malformed", detail=f"{key!r} holds {type(value).__name__}, not text")
    return found


T = TypeVar("T")


def _guarded(part: Part, problems: Problems, read: Callable[[Stream], Iterator[T]]) -> Iterator[T]:
    """What can be read of a stream; where it breaks off, that is counted."""
    try:
        with closing(open_stream(part.path)) as stream:
            yield from read(stream)
    except (BrokenStreamError, *STREAM_ERRORS) as error:
        problems.add("unreadable", part.path, "file", [0], short(error))

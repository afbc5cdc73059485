"""Streams the captions of a corpus as Arrow arrays: clean, in bounded memory, with everything skipped accounted for.

A corpus is planned as parts: runs of row groups of a Parquet file, or whole files of other formats. A part is read
independently of all others, which makes threads, shards, resumption and clusters the same thing.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vergence.checks import at_least
from vergence.corpus.kernels import ill_formed
from vergence.corpus.matching import text_buffers
from vergence.corpus.problems import Problems
from vergence.corpus.streams import STREAM_ERRORS, BrokenStreamError, Stream, lines, members, open_stream
from vergence.corpus.tables import csv_columns
from vergence.errors import ConfigError, CorpusError, unknown

_KINDS = MappingProxyType(
    {
        ".parquet": "parquet", ".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl",
        ".txt": "text", ".tar": "tar", ".tgz": "tar", ".arrow": "arrow",
    }
)  # fmt: skip
_PACKED = (".gz", ".zst", ".zstd")
_ROWS_PER_PART = 1 << 18
_BATCH_ROWS = 1 << 16
_BATCH_BYTES = 1 << 24
_METADATA = 1 << 20  # how much longer than its caption a record may be
FORMATS = "Parquet, CSV, TSV, JSON lines, text lines, tar shards and Arrow files, the text formats also as .gz or .zst"


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


@dataclass(frozen=True, order=True)
class Part:
    """A piece of a corpus that is read on its own.

    Args:
        path: The file.
        kind: Its format.
        size: Its size in bytes; with `modified`, what tells a changed file.
        modified: When it was last changed, in ns.
        first: First row group.
        last: Row group after the last; 0 where the file is not read by row groups.
        rows: How many rows it holds, where that is known beforehand; 0 otherwise.
    """

    path: str
    kind: str
    size: int
    modified: int
    first: int = 0
    last: int = 0
    rows: int = 0


def plan(paths: Iterable[str | Path]) -> list[Part]:
    """Find the files of a corpus and divide them into parts.

    Args:
        paths: Files, folders (searched through, one format in each) and globs. A folder written by Hugging Face's
            `save_to_disk` is read from the data files that its state.json lists.

    Returns:
        The parts in the order of the paths' names; no file twice.

    Raises:
        CorpusError: If a path does not exist or matches nothing, a format is unknown, or a folder mixes formats.
    """
    found = sorted({str(file) for path in paths for file in _files(Path(path))})
    if not found:
        raise CorpusError("no corpus was given; name files, folders or globs")
    return [part for path in found for part in _parts(path)]


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
    readers: dict[str, Callable[[Part, ReadOptions, Problems], Iterator[tuple[pa.Array, str, Any]]]] = {
        "parquet": _parquet,
        "csv": partial(_csv, delimiter=","),
        "tsv": partial(_csv, delimiter="\t"),
        "jsonl": _json_lines,
        "text": _text,
        "tar": _tar,
        "arrow": _arrow,
    }
    before, held = problems.total, False
    for column, unit, numbers in readers[part.kind](part, options, problems) if part.size else ():
        held = held or len(column) > 0
        captions = _clean(column, numbers, partial(problems.add, file=part.path, unit=unit), options)
        if len(captions):
            yield captions
    if not held and problems.total == before:
        problems.add("empty_file", part.path, "file", [0])


def _files(path: Path) -> list[Path]:
    text = str(path)
    if not path.exists() and any(sign in text for sign in "*?["):
        anchor = Path(path.anchor) if path.anchor else Path()
        matches = sorted(anchor.glob(str(path.relative_to(path.anchor)) if path.anchor else text))
        if not matches:
            raise CorpusError(f"nothing matches {text!r}")
        return [file for match in matches for file in ([match] if match.is_file() else _files(match))]
    if path.is_dir():
        return _folder(path)
    if not path.is_file():
        raise CorpusError(f"no such file or folder: {text!r}")
    if _kind(path) is None:
        raise CorpusError(f"{text}: unknown format {path.suffix!r}; known: {FORMATS}")
    return [path]


def _folder(folder: Path) -> list[Path]:
    states = ((file.parent, _listed(file)) for file in sorted(folder.rglob("state.json")))
    listed = {parent: files for parent, files in states if files is not None}
    files = [file for files in listed.values() for file in files]
    for file in sorted(folder.rglob("*")):
        visible = not any(part.startswith((".", "_")) for part in file.relative_to(folder).parts)
        # A .json file beside data is a description of it far more often than a corpus.
        if file.is_file() and visible and file.suffix != ".json" and file.parent not in listed and _kind(file):
            files.append(file)
    kinds = {_kind(file) or "" for file in files}
    if len(kinds) > 1:  # notes beside the data
        kinds.discard("text")
    if not kinds:
        raise CorpusError(f"{folder}: no file of a known format; known: {FORMATS}")
    if len(kinds) > 1:
        raise CorpusError(
            f"{folder} mixes {' and '.join(sorted(kinds))} files, which may hold the same captions; name one kind,"
            f" such as '{folder}/*.{min(kinds)}'"
        )
    return [file for file in files if _kind(file) in kinds]


def _listed(state: Path) -> list[Path] | None:
    """The data files of a Hugging Face folder: not the caches that may lie beside them, nor anything elsewhere.

    `None` if the file is something else of the same name.
    """
    try:
        names = [Path(entry["filename"]).name for entry in json.loads(state.read_text(encoding="utf-8"))["_data_files"]]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    missing = [name for name in names if not (state.parent / name).is_file()]
    if missing:
        raise CorpusError(f"{state} lists files that are missing: {', '.join(missing)}")
    return [state.parent / name for name in names]


def _kind(path: Path) -> str | None:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in _PACKED:
        kind = _KINDS.get(suffixes[-2]) if len(suffixes) > 1 else None
        return None if kind in ("parquet", "arrow") else kind
    return _KINDS.get(suffixes[-1]) if suffixes else None


def _parts(path: str) -> list[Part]:
    status = Path(path).stat()
    whole = Part(path, _kind(Path(path)) or "", status.st_size, status.st_mtime_ns)
    if whole.kind != "parquet":
        return [whole]
    try:
        metadata = pq.read_metadata(path)
    except (OSError, pa.ArrowException):
        return [whole]  # reading it will say what is wrong
    parts, first, rows = [], 0, 0
    for group in range(metadata.num_row_groups):
        rows += metadata.row_group(group).num_rows
        if rows >= _ROWS_PER_PART or group == metadata.num_row_groups - 1:
            parts.append(Part(path, "parquet", status.st_size, status.st_mtime_ns, first, group + 1, rows))
            first, rows = group + 1, 0
    return parts or [whole]


Columns = Iterator[tuple[pa.Array, str, Any]]  # captions, unit of their places, first place or all of them


def _parquet(part: Part, options: ReadOptions, problems: Problems) -> Columns:
    try:
        file = pq.ParquetFile(part.path, buffer_size=1 << 20, page_checksum_verification=True)
    except (OSError, pa.ArrowException) as error:
        problems.add("unreadable", part.path, "file", [0], _short(error))
        return
    with file:
        columns = _present(part, options.table_columns, file.schema_arrow.names, problems)
        before = 0
        for group in range(min(part.last, file.metadata.num_row_groups)):
            if group >= part.first and columns:
                lost = partial(problems.add, "unreadable", part.path, "row group", [group + 1])
                yield from _row_group(file, group, before, columns, lost)
            before += file.metadata.row_group(group).num_rows


def _row_group(
    file: pq.ParquetFile, group: int, before: int, columns: list[str], lost: Callable[[str], None]
) -> Columns:
    metadata = file.metadata.row_group(group)
    size = sum(metadata.column(column).total_uncompressed_size for column in range(metadata.num_columns))
    rows = max(1, min(_BATCH_ROWS, _BATCH_BYTES * metadata.num_rows // max(size, 1)))
    first = before + 1
    try:
        for batch in file.iter_batches(batch_size=rows, row_groups=[group], columns=columns, use_threads=False):
            for column in batch.columns:
                yield column, "row", first
            first += len(batch)
    except (OSError, pa.ArrowException) as error:
        lost(f"after row {first - 1}: {_short(error)}")


def _arrow(part: Part, options: ReadOptions, problems: Problems) -> Columns:
    first = 1
    try:
        with pa.memory_map(part.path) as source:
            try:
                file = pa.ipc.open_file(source)
                batches: Iterable[pa.RecordBatch] = (file.get_batch(k) for k in range(file.num_record_batches))
            except pa.ArrowInvalid:
                source.seek(0)
                file = batches = pa.ipc.open_stream(source)
            columns = _present(part, options.table_columns, file.schema.names, problems)
            for batch in batches if columns else ():
                batch.validate()
                for start in range(0, len(batch), _BATCH_ROWS):
                    piece = batch.slice(start, _BATCH_ROWS)
                    for name in columns:
                        yield piece.column(name), "row", first + start
                first += len(batch)
    except (OSError, pa.ArrowException) as error:
        problems.add("unreadable", part.path, "row", [first], _short(error))


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
        if size > _BATCH_BYTES or len(values) >= _BATCH_ROWS:
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
        add("malformed", detail=_short(error))
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
        problems.add("unreadable", part.path, "file", [0], _short(error))


def _present(part: Part, wanted: Sequence[str], names: Sequence[str], problems: Problems) -> list[str]:
    """The wanted columns that a file has, each missing one counted."""
    missing = [name for name in wanted if name not in names]
    for name in missing:
        problems.add("no_column", part.path, "file", [0], unknown("column", name, names))
    return [name for name in wanted if name in names]


def _clean(column: pa.Array, numbers: Any, add: Callable[..., None], options: ReadOptions) -> pa.Array:
    """The captions that can be used, lists flattened; `numbers` are their places, or the first one's."""
    column, parents = _flattened(column)

    def places(bad: np.ndarray) -> list[int]:
        rows = np.flatnonzero(bad) if parents is None else parents[bad]
        return [int(n) for n in (numbers[rows] if isinstance(numbers, np.ndarray) else rows + numbers)]

    def keep(good: np.ndarray) -> None:
        nonlocal column, parents
        parents = np.flatnonzero(good) if parents is None else parents[good]
        column = column.filter(pa.array(good))

    if not _is_text(column.type):
        add("malformed", numbers=places(np.ones(len(column), np.bool_)), detail=f"{column.type}, not text")
        return pa.array([], type=pa.string())
    if column.null_count:
        bad = column.is_null().to_numpy(zero_copy_only=False)
        add("null", numbers=places(bad))
        keep(~bad)
    offsets, data = text_buffers(column)
    long = np.diff(offsets) > options.max_caption_bytes
    if long.any():
        add("too_long", numbers=places(long))
        keep(~long)
        offsets, data = text_buffers(column)
    broken = ill_formed(offsets, data)
    if broken.any():
        add("broken_utf8", numbers=places(broken))
        keep(~broken)
    return column


def _flattened(column: pa.Array) -> tuple[pa.Array, np.ndarray | None]:
    """Nested lists as one array of text, and the row of each entry; a list that is null counts as one null."""
    parents = None
    while (
        pa.types.is_list(column.type) or pa.types.is_large_list(column.type) or pa.types.is_fixed_size_list(column.type)
    ):
        if column.null_count:
            empty = column.is_null().to_numpy(zero_copy_only=False)
            column = pa.array(
                [[None] if null else value for null, value in zip(empty, column.to_pylist(), strict=True)]
            )
        rows = pc.list_parent_indices(column).to_numpy(zero_copy_only=False)
        parents = rows if parents is None else parents[rows]
        column = column.flatten()
    if pa.types.is_null(column.type):
        column = column.cast(pa.string())
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if column.type in (pa.string_view(), pa.binary_view()):
        column = column.cast(pa.large_binary())
    return column, parents


def _is_text(kind: pa.DataType) -> bool:
    return kind in (pa.string(), pa.large_string(), pa.binary(), pa.large_binary())


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__

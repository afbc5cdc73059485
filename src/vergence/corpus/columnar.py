"""Captions from Parquet and Arrow files, batch by batch."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vergence.corpus.discovery import Part
from vergence.corpus.problems import Problems, missing_column, short

BATCH_ROWS = 1 << 16
BATCH_BYTES = 1 << 24

Path = tuple[str, ...]  # a column, then fields of its structs
Columns = Iterator[tuple[pa.Array, str, Any]]  # captions, unit of their places, first place or all of them


def read_parquet(part: Part, wanted: Sequence[str], problems: Problems) -> Columns:
    """The wanted columns of the row groups of a part of a Parquet file."""
    try:
        file = pq.ParquetFile(part.path, buffer_size=1 << 20, page_checksum_verification=True)
    except (OSError, pa.ArrowException) as error:
        problems.add("unreadable", part.path, "file", [0], short(error))
        return
    with file:
        columns = present(part, wanted, file.schema_arrow, problems)
        before = 0
        for group in range(min(part.last, file.metadata.num_row_groups)):
            if group >= part.first and columns:
                lost = partial(problems.add, "unreadable", part.path, "row group", [group + 1])
                yield from _row_group(file, group, before, columns, lost)
            before += file.metadata.row_group(group).num_rows


def _row_group(
    file: pq.ParquetFile, group: int, before: int, columns: list[Path], lost: Callable[[str], None]
) -> Columns:
    metadata = file.metadata.row_group(group)
    size = sum(metadata.column(column).total_uncompressed_size for column in range(metadata.num_columns))
    rows = max(1, min(BATCH_ROWS, BATCH_BYTES * metadata.num_rows // max(size, 1)))
    first, wanted = before + 1, sorted({path[0] for path in columns})
    try:
        for batch in file.iter_batches(batch_size=rows, row_groups=[group], columns=wanted, use_threads=False):
            for path in columns:
                yield inside(batch.column(path[0]), path[1:]), "row", first
            first += len(batch)
    except (OSError, pa.ArrowException) as error:
        lost(f"after row {first - 1}: {short(error)}")


def read_arrow(part: Part, wanted: Sequence[str], problems: Problems) -> Columns:
    """The wanted columns of an Arrow file or stream."""
    first = 1
    try:
        with pa.memory_map(part.path) as source:
            try:
                file = pa.ipc.open_file(source)
                batches: Iterable[pa.RecordBatch] = (file.get_batch(k) for k in range(file.num_record_batches))
            except pa.ArrowInvalid:
                source.seek(0)
                file = batches = pa.ipc.open_stream(source)
            columns = present(part, wanted, file.schema, problems)
            for batch in batches if columns else ():
                batch.validate()
                for start in range(0, len(batch), BATCH_ROWS):
                    piece = batch.slice(start, BATCH_ROWS)
                    for path in columns:
                        yield inside(piece.column(path[0]), path[1:]), "row", first + start
                first += len(batch)
    except (OSError, pa.ArrowException) as error:
        problems.add("unreadable", part.path, "row", [first], short(error))


def present(part: Part, wanted: Sequence[str], schema: pa.Schema, problems: Problems) -> list[Path]:
    """The wanted columns that a file has, each missing one counted.

    Returns:
        For each, the name of the column and of the fields within its structs.
    """
    found = []
    for name in wanted:
        paths = [path for path in _paths(name) if schema.names.count(path[0]) == 1 and _leads(schema, path)]
        found += paths[:1]
        if not paths:
            problems.add("no_column", part.path, "file", [0], missing_column(name, [*schema.names, *_fields(schema)]))
    return found


def inside(column: pa.Array, path: Path) -> pa.Array:
    """A field of structs, also of structs in lists; a null struct or list gives null.

    Example:
        >>> inside(pa.array([[{"raw": "a"}, {"raw": "b"}], None, [{"raw": "c"}]]), ("raw",)).to_pylist()
        [['a', 'b'], None, ['c']]
    """
    if not path:
        return column
    if pa.types.is_fixed_size_list(column.type):
        column = column.cast(pa.list_(column.type.value_type))
    if _is_list(column.type):
        kind = pa.LargeListArray if pa.types.is_large_list(column.type) else pa.ListArray
        offsets = pa.array(column.offsets.to_numpy())  # a copy: Arrow takes no mask beside offsets of a slice
        return kind.from_arrays(offsets, inside(column.values, path), mask=column.is_null())
    return inside(pc.struct_field(column, [path[0]]), path[1:])


def _paths(name: str) -> list[Path]:
    """How a name can be read, a column of the whole name first: a.b.c, then a.b / c, a / b.c and a / b / c."""
    pieces = name.split(".")
    tails = [(pieces[0], *rest) for rest in _paths(".".join(pieces[1:]))] if 1 < len(pieces) <= 8 else []
    joined = [(f"{pieces[0]}.{tail[1]}", *tail[2:]) for tail in tails]
    return list(dict.fromkeys([(name,), *joined, *tails]))


def _leads(schema: pa.Schema, path: Path) -> bool:
    kind = schema.field(path[0]).type
    for name in path[1:]:
        kind = _struct(kind)
        if not pa.types.is_struct(kind) or len(kind.get_all_field_indices(name)) != 1:
            return False
        kind = kind.field(name).type
    return True


def _fields(schema: pa.Schema) -> list[str]:
    """The fields of structs that could be meant, as they are named."""
    return [
        f"{field.name}.{inner.name}"
        for field in schema
        if pa.types.is_struct(kind := _struct(field.type))
        for inner in kind
    ]


def _struct(kind: pa.DataType) -> pa.DataType:
    while _is_list(kind) or pa.types.is_fixed_size_list(kind):
        kind = kind.value_type
    return kind


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))

"""Captions from Parquet and Arrow files, batch by batch."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vergence.arrow import FILE_ERRORS, flattened, open_ipc, open_parquet, text_lengths, written_out
from vergence.sources.discovery import Part
from vergence.sources.problems import Problems, missing_column, short

BATCH_ROWS = 1 << 16
BATCH_BYTES = 1 << 24

Path = tuple[str, ...]  # a column, then fields of its structs
Columns = Iterator[tuple[pa.Array, str, Any]]  # captions, unit of their places, first place or all of them


def read_parquet(part: Part, wanted: Sequence[str], problems: Problems, *, most: int) -> Columns:
    """The wanted columns of the row groups of a part of a Parquet file.

    Args:
        part: From `plan`.
        wanted: Names of columns.
        problems: Where everything that is skipped is added.
        most: Longest caption in bytes; a longer one is counted here already where it may be repeated very often.
    """
    try:
        with open_parquet(part.path) as file:
            columns = present(part, wanted, file.schema, problems)
            for group in range(part.first, min(part.last, len(file.rows)) if columns else 0):
                first = sum(file.rows[:group]) + 1
                try:
                    for batch in file.batches(group, _tops(columns), coded=True):
                        for path in columns:
                            column = inside(batch.column(path[0]), path[1:])
                            yield from _captions(column, first, part, problems, most)
                        first += len(batch)
                except FILE_ERRORS as error:
                    problems.add(
                        "unreadable", part.path, "row group", [group + 1], f"after row {first - 1}: {short(error)}"
                    )
    except FILE_ERRORS as error:
        problems.add("unreadable", part.path, "file", [0], short(error))


def read_arrow(part: Part, wanted: Sequence[str], problems: Problems, *, most: int) -> Columns:
    """The wanted columns of an Arrow file or stream; arguments as for `read_parquet`."""
    first = 1
    try:
        with open_ipc(part.path) as file:
            columns = present(part, wanted, file.schema, problems)
            for batch in file.batches(_tops(columns)) if columns else ():
                for start in range(0, len(batch), BATCH_ROWS):
                    piece = batch.slice(start, BATCH_ROWS)
                    for path in columns:
                        column = inside(piece.column(path[0]), path[1:])
                        yield from _captions(column, first + start, part, problems, most)
                first += len(batch)
    except FILE_ERRORS as error:
        problems.add("unreadable", part.path, "row", [first], short(error))


def _captions(column: pa.Array, first: int, part: Part, problems: Problems, most: int) -> Columns:
    """A column as plain arrays of bounded size: lists flattened, dictionaries and views written out."""
    leaves, parents = flattened(column)
    lengths = text_lengths(leaves)
    if parents is None and lengths is None:
        yield leaves, "row", first
        return
    places = np.arange(len(leaves)) + first if parents is None else parents + first
    if lengths is not None and (long := lengths > most).any():
        problems.add("too_long", part.path, "row", places[long].tolist())
        leaves, places = leaves.filter(pa.array(~long)), places[~long]
    for start, piece in written_out(leaves):
        yield piece, "row", places[start : start + len(piece)]


def _tops(columns: Sequence[Path]) -> list[str]:
    return list(dict.fromkeys(path[0] for path in columns))


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

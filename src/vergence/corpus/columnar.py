"""Captions from Parquet and Arrow files, batch by batch."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from vergence.corpus.discovery import Part
from vergence.corpus.problems import Problems, short
from vergence.errors import unknown

BATCH_ROWS = 1 << 16
BATCH_BYTES = 1 << 24

Columns = Iterator[tuple[pa.Array, str, Any]]  # captions, unit of their places, first place or all of them


def read_parquet(part: Part, wanted: Sequence[str], problems: Problems) -> Columns:
    """The wanted columns of the row groups of a part of a Parquet file."""
    try:
        file = pq.ParquetFile(part.path, buffer_size=1 << 20, page_checksum_verification=True)
    except (OSError, pa.ArrowException) as error:
        problems.add("unreadable", part.path, "file", [0], short(error))
        return
    with file:
        columns = _present(part, wanted, file.schema_arrow.names, problems)
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
    rows = max(1, min(BATCH_ROWS, BATCH_BYTES * metadata.num_rows // max(size, 1)))
    first = before + 1
    try:
        for batch in file.iter_batches(batch_size=rows, row_groups=[group], columns=columns, use_threads=False):
            for column in batch.columns:
                yield column, "row", first
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
            columns = _present(part, wanted, file.schema.names, problems)
            for batch in batches if columns else ():
                batch.validate()
                for start in range(0, len(batch), BATCH_ROWS):
                    piece = batch.slice(start, BATCH_ROWS)
                    for name in columns:
                        yield piece.column(name), "row", first + start
                first += len(batch)
    except (OSError, pa.ArrowException) as error:
        problems.add("unreadable", part.path, "row", [first], short(error))


def _present(part: Part, wanted: Sequence[str], names: Sequence[str], problems: Problems) -> list[str]:
    """The wanted columns that a file has, each missing one counted."""
    missing = [name for name in wanted if name not in names]
    for name in missing:
        problems.add("no_column", part.path, "file", [0], unknown("column", name, names))
    return [name for name in wanted if name in names]

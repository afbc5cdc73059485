"""Captions from Parquet and Arrow files, batch by batch."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from vergence.arrow import FILE_ERRORS, flattened, open_ipc, open_parquet, text_lengths, written_out
from vergence.corpus.discovery import Part
from vergence.corpus.problems import Problems, short
from vergence.errors import unknown

BATCH_ROWS = 1 << 16
BATCH_BYTES = 1 << 24

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
            columns = _present(part, wanted, file.schema.names, problems)
            for group in range(part.first, min(part.last, len(file.rows)) if columns else 0):
                first = sum(file.rows[:group]) + 1
                try:
                    for batch in file.batches(group, columns, coded=True):
                        for column in batch.columns:
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
            columns = _present(part, wanted, file.schema.names, problems)
            for batch in file.batches(columns) if columns else ():
                for start in range(0, len(batch), BATCH_ROWS):
                    for column in batch.slice(start, BATCH_ROWS).columns:
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


def _present(part: Part, wanted: Sequence[str], names: Sequence[str], problems: Problems) -> list[str]:
    """The wanted columns that a file has, each missing one counted."""
    missing = [name for name in wanted if name not in names]
    for name in missing:
        problems.add("no_column", part.path, "file", [0], unknown("column", name, names))
    return [name for name in wanted if name in names]

"""What of a column can be used as captions; everything else is counted by kind and place."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vergence.corpus.matching import text_buffers
from vergence.corpus.measures import ill_formed


def usable(column: pa.Array, numbers: Any, add: Callable[..., None], *, most: int) -> pa.Array:
    """The captions of a column that can be used, lists flattened.

    Args:
        column: Text, bytes, or nested lists of either.
        numbers: The place of each row, or that of the first one.
        add: Receives what is left out: kind, and by keyword numbers and detail.
        most: Longest caption in bytes.

    Returns:
        An array of text or bytes: well-formed UTF-8, not null, none too long.
    """
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
    long = np.diff(offsets) > most
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

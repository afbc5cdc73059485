"""What of a column can be used as captions; everything else is counted by kind and place."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from vergence.arrow import flattened, written_out
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
    column, parents = flattened(column)
    if pa.types.is_null(column.type):
        column = column.cast(pa.string())
    pieces = [piece for _, piece in written_out(column)]
    return (pieces[0] if len(pieces) == 1 else pa.concat_arrays(pieces)), parents


def _is_text(kind: pa.DataType) -> bool:
    return kind in (pa.string(), pa.large_string(), pa.binary(), pa.large_binary())

"""Lists and records of text as one array of text."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_MOST_LEAVES = 1 << 26  # lists of a view may overlap, so that few bytes hold any number of entries
_PIECE = 1 << 24  # bytes of text that are written out at once
_LISTS = (
    pa.types.is_list,
    pa.types.is_large_list,
    pa.types.is_fixed_size_list,
    pa.types.is_list_view,
    pa.types.is_large_list_view,
)
_VIEWS = (pa.string_view(), pa.binary_view())


def flattened(column: pa.Array) -> tuple[pa.Array, np.ndarray | None]:
    """The entries of nested lists, and the row of each.

    Args:
        column: An array of anything, validated.

    Returns:
        What the innermost lists hold, in order, a list that is null as one null, and the row in which each stands;
        the column itself and `None` where it holds no lists. Where lists overlap or leave gaps, the entries are a
        dictionary array, so that none is copied.

    Raises:
        ArrowInvalid: If lists overlap so often that they hold more than 2²⁶ entries.

    Example:
        >>> leaves, rows = flattened(pa.array([["a", "b"], None, [], [None]]))
        >>> leaves.to_pylist(), rows.tolist()
        (['a', 'b', None, None], [0, 0, 1, 3])
    """
    if not is_list(column.type):
        return column, None
    rows = at = np.arange(len(column))  # the row of each entry and its place in the column; -1 for null
    while is_list(column.type):
        starts, lengths = _extents(column)
        null = at < 0
        if column.null_count:
            null |= column.is_null().to_numpy(zero_copy_only=False)[at]
        lengths = np.where(null, 1, lengths[at])
        if int(lengths.sum()) > _MOST_LEAVES:
            raise pa.ArrowInvalid(f"lists with {int(lengths.sum()):,} entries; at most {_MOST_LEAVES:,} are read")
        shifts = starts[at] - (np.cumsum(lengths) - lengths)
        parents = np.repeat(np.arange(len(at)), lengths)
        at = np.where(null[parents], -1, np.arange(len(parents)) + shifts[parents])
        rows, column = rows[parents], column.values
    if len(at) == 0 or (at[0] >= 0 and (np.diff(at) == 1).all()):
        return column.slice(at[0] if len(at) else 0, len(at)), rows
    places = pa.array(at, mask=at < 0)
    if pa.types.is_dictionary(column.type):
        return column.take(places), rows
    return pa.DictionaryArray.from_arrays(places, column), rows


def written_out(column: pa.Array) -> Iterator[tuple[int, pa.Array]]:
    """Texts that are stored once and repeated, as plain arrays of about 16 MiB, with the place where each begins.

    Args:
        column: A dictionary or a view of text; anything else is given back as it is.
    """
    lengths = text_lengths(column)
    if lengths is None:
        yield 0, column
        return
    ends = np.cumsum(lengths)
    cuts = [0, *(np.flatnonzero(np.diff(ends // _PIECE)) + 1).tolist(), len(column)]
    for start, end in pairwise(cuts):
        piece = column.slice(start, end - start)
        if pa.types.is_dictionary(piece.type):
            piece = piece.dictionary.take(piece.indices)
        yield start, piece.cast(pa.large_binary()) if piece.type in _VIEWS else piece


def text_lengths(column: pa.Array) -> np.ndarray | None:
    """Bytes of each text of a dictionary or a view, 0 where it is null; `None` for any other array."""
    if pa.types.is_dictionary(column.type):
        if not is_text(column.type.value_type):
            return None
        places = pc.fill_null(column.indices, 0).to_numpy(zero_copy_only=False)
        values = column.dictionary
        known = text_lengths(values) if values.type in _VIEWS else pc.fill_null(pc.binary_length(values), 0).to_numpy()
        lengths = known[places] if known is not None and len(known) else np.zeros(len(column), np.int64)
    elif column.type in _VIEWS:
        view = column.buffers()[1]
        if view is None:
            return np.zeros(len(column), np.int64)
        lengths = np.frombuffer(view, np.int32)[::4][column.offset : column.offset + len(column)]
    else:
        return None
    null = column.is_null().to_numpy(zero_copy_only=False)
    return np.where(null, 0, lengths).astype(np.int64)


def is_text(kind: pa.DataType) -> bool:
    """Whether a type is one of text or bytes."""
    return kind in _VIEWS or kind in (pa.string(), pa.large_string(), pa.binary(), pa.large_binary())


def is_list(kind: pa.DataType) -> bool:
    """Whether a type is one of Arrow's five kinds of lists."""
    return any(is_kind(kind) for is_kind in _LISTS)


def _extents(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Where each list begins among the values, and how many it holds, as int64; those of null lists mean nothing."""
    kind, n = column.type, len(column)
    if pa.types.is_fixed_size_list(kind):
        size = kind.list_size
        return (np.arange(n) + column.offset) * size, np.full(n, size)
    offsets = column.offsets.to_numpy(zero_copy_only=False).astype(np.int64)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return offsets[:-1], np.diff(offsets)
    return offsets, column.sizes.to_numpy(zero_copy_only=False).astype(np.int64)

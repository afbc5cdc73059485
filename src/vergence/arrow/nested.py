"""Lists and records of text as one array of text."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_FEW = 1 << 16
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
        the column itself and `None` where it holds no lists. Where texts may be repeated, as lists overlap or text is
        a view, they are a dictionary array: `written_out` copies them, a bounded piece at a time.

    Raises:
        ArrowInvalid: If lists overlap so much that few bytes hold any number of entries.

    Example:
        >>> leaves, rows = flattened(pa.array([["a", "b"], None, [], [None]]))
        >>> leaves.to_pylist(), rows.tolist()
        (['a', 'b', None, None], [0, 0, 1, 3])
    """
    if not is_list(column.type):
        return _indexed(column), None
    rows = at = np.arange(len(column))  # the row of each entry and its place in the column; -1 for null
    while is_list(column.type):
        starts, lengths = _extents(column)
        null = np.append(column.is_null().to_numpy(zero_copy_only=False), True)[at]  # the last stands for place -1
        lengths = np.where(null, 1, np.append(lengths, 1)[at])
        if int(lengths.sum()) > _FEW + len(at) + 4 * len(column.values):
            raise pa.ArrowInvalid(f"lists that overlap: {int(lengths.sum()):,} entries of {len(column.values):,}")
        shifts = np.append(starts, 0)[at] - (np.cumsum(lengths) - lengths)
        parents = np.repeat(np.arange(len(at)), lengths)
        at = np.where(null[parents], -1, np.arange(len(parents)) + shifts[parents])
        rows, column = rows[parents], column.values
    if len(at) == 0 or (at[0] >= 0 and (np.diff(at) == 1).all()):
        return _indexed(column.slice(at[0] if len(at) else 0, len(at))), rows
    places = pa.array(at, mask=at < 0)
    if pa.types.is_dictionary(column.type):
        return column.take(places), rows
    return pa.DictionaryArray.from_arrays(places, column), rows


def written_out(column: pa.Array) -> Iterator[tuple[int, pa.Array]]:
    """A dictionary array of texts as plain arrays of about 16 MiB, with the place where each begins.

    Args:
        column: From `flattened`; anything but a dictionary of texts is given back as it is.
    """
    lengths = text_lengths(column)
    if lengths is None:
        yield 0, column
        return
    pieces = np.cumsum(lengths) // _PIECE
    cuts = [0, *(np.flatnonzero(np.diff(pieces)) + 1).tolist(), len(column)]
    for start, end in pairwise(cuts):
        piece = column.slice(start, end - start)
        yield start, _taken(piece.dictionary, piece.indices)


def text_lengths(column: pa.Array) -> np.ndarray | None:
    """Bytes of each text of a dictionary array, 0 where it is null; `None` for any other array."""
    if not (pa.types.is_dictionary(column.type) and is_text(column.type.value_type)):
        return None
    values = column.dictionary
    if values.type in _VIEWS:
        known = np.where(values.is_null().to_numpy(zero_copy_only=False), 0, _views(values)[:, 0])
    else:
        known = pc.fill_null(pc.binary_length(values), 0).to_numpy(zero_copy_only=False)
    places = pc.fill_null(column.indices, len(values)).to_numpy(zero_copy_only=False)
    lengths: np.ndarray = np.append(known, 0).astype(np.int64)[places]
    return lengths


def _indexed(column: pa.Array) -> pa.Array:
    if column.type not in _VIEWS:
        return column
    return pa.DictionaryArray.from_arrays(pa.array(np.arange(len(column))), column)


def _taken(values: pa.Array, places: pa.Array) -> pa.Array:
    """The values at some places, views as bytes."""
    if values.type not in _VIEWS:
        return values.take(places)
    null = places.is_null().to_numpy(zero_copy_only=False)
    chosen = pc.fill_null(places, 0).to_numpy(zero_copy_only=False)
    views = _views(values)[chosen] if len(values) else np.zeros((len(places), 4), np.int32)
    null |= values.is_null().to_numpy(zero_copy_only=False)[chosen] if len(values) else True
    views[null] = 0  # what stands there is not validated, but Arrow follows it
    valid = pa.py_buffer(np.packbits(~null, bitorder="little"))
    buffers = [valid, pa.py_buffer(views), *values.buffers()[2:]]
    return pa.Array.from_buffers(pa.binary_view(), len(places), buffers).cast(pa.large_binary())


def _views(values: pa.Array) -> np.ndarray:
    """For each text of a view its length, and three numbers that say where it is."""
    buffer = values.buffers()[1]
    if buffer is None:
        return np.zeros((len(values), 4), np.int32)
    return np.frombuffer(buffer, np.int32, count=4 * (values.offset + len(values))).reshape(-1, 4)[values.offset :]


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

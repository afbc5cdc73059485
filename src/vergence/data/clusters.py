"""What belongs together: rows of one image, one concept, one person, which must not be on both sides of a split."""

from collections.abc import Hashable, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from vergence.errors import CorpusError

_EXACT = {16: 11, 32: 24, 64: 53}  # bits of a float's width; whole numbers below two to this power are told apart


def link(*columns: Sequence[Hashable | None]) -> Int[np.ndarray, " n"]:
    """Number the clusters of rows: two rows are of one cluster if any column holds one value for both, and so on.

    Args:
        columns: Each with an entry for each row; `None` links a row to no other.

    Returns:
        The number of each row's cluster, from 0 in the order of the first rows.

    Example:
        >>> link(["a", "a", "b", "c"], [None, 7, 7, None]).tolist()
        [0, 0, 0, 1]
    """
    n = len(columns[0])
    rows, nodes, n_nodes = [np.arange(0)], [np.arange(0)], n
    for column in columns:
        values = np.empty(n, dtype=object)
        values[:] = column
        codes, known = pd.factorize(values)
        rows.append(np.flatnonzero(codes >= 0))
        nodes.append(codes[codes >= 0] + n_nodes)
        n_nodes += len(known)
    edges = np.concatenate(rows), np.concatenate(nodes)
    graph = coo_array((np.ones(len(edges[0]), dtype=np.int8), edges), shape=(n_nodes, n_nodes))
    numbers = connected_components(graph, directed=False)[1][:n]
    clusters: np.ndarray = pd.factorize(numbers)[0].astype(np.int64)
    return clusters


def cluster_values(column: pa.ChunkedArray, *, where: str) -> list[Hashable]:
    """The values of a column that says what each row belongs to; equal numbers are equal whatever their spelling.

    Args:
        column: Of any type that has no parts.
        where: What to call it in messages.

    Raises:
        CorpusError: If a row has none (null or NaN), the type has parts, or floating-point numbers are so large that
            they may stand for several whole ones.

    Example:
        >>> cluster_values(pa.chunked_array([[1.0, 2.0, 1.0]]), where="'image' of x.parquet")
        [1.0, 2.0, 1.0]
    """
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_nested(kind):
        raise CorpusError(f"{where} must hold one value in each row, such as a text or a number; got {kind}")
    values = column.cast(kind)
    is_float = pa.types.is_floating(kind)
    missing = pc.sum(pc.is_null(values, nan_is_null=is_float)).as_py() or 0
    if missing:
        raise CorpusError(
            f"{where} is null in {missing} of {len(column)} rows; say of each what it belongs to, or leave it out"
        )
    if is_float and len(values):
        largest = pc.max(pc.abs(values.cast(pa.float64()))).as_py()
        if largest >= 2 ** _EXACT[kind.bit_width]:
            raise CorpusError(f"{where} holds {largest:g} as {kind}, too large to tell neighbours apart; use integers")
    found: list[Hashable] = values.to_pylist()
    return found

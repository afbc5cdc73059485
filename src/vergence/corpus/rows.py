"""Captions, labels and clusters given row by row: what of them can be used, and what is refused by its row."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from jaxtyping import Int64

from vergence.corpus.matching import Captions
from vergence.errors import CorpusError, FactorError, unknown


def caption_array(captions: Captions | Iterable[Any]) -> pa.Array | pa.ChunkedArray:
    """Captions as an Arrow array; None, NaN, NaT and pandas' NA become nulls.

    Raises:
        CorpusError: If a caption is no text, naming its row.

    Example:
        >>> caption_array(["a dog", float("nan"), b"a cat"]).to_pylist()
        ['a dog', None, 'a cat']
    """
    if isinstance(captions, pa.Array | pa.ChunkedArray):
        return captions
    if isinstance(captions, str | bytes):
        raise CorpusError(f"captions must be a list of texts, one for each row; got one text: {captions[:40]!r}")
    rows = list(captions)
    try:
        if set(map(type, rows)) <= {str, type(None)}:
            return pa.array(rows, type=pa.large_string())
    except UnicodeError:
        pass  # looked at one by one, to name its row
    return pa.array([_text(caption, row) for row, caption in enumerate(rows, 1)], type=pa.large_string())


def _text(caption: Any, row: int) -> str | None:
    if is_missing(caption):
        return None
    try:
        if isinstance(caption, bytes):
            return caption.decode()
        if isinstance(caption, str):
            caption.encode()
            return caption
    except UnicodeError as error:
        raise CorpusError(f"the caption in row {row} is not well-formed text: {error}") from error
    raise CorpusError(f"captions must be text; got {caption!r} in row {row}")


def label_codes(factor: str, labels: pd.DataFrame, values: tuple[str, ...]) -> Int64[np.ndarray, " n"]:
    """Numbers of the values that a factor's column of labels names; -1 where a label is missing.

    Raises:
        FactorError: If the column comes twice, or a label is no name of a value.
    """
    column = labels[factor]
    if isinstance(column, pd.DataFrame):
        raise FactorError(f"labels of factor {factor!r} must be one column; got {column.shape[1]} of that name")
    numbers: Mapping[str, int] = {value: number for number, value in enumerate(values)}
    codes = np.full(len(column), -1, dtype=np.int64)
    for row, label in enumerate(column.tolist()):
        if isinstance(label, str):
            if label not in numbers:
                raise FactorError(unknown(f"value of factor {factor!r}", label, values))
            codes[row] = numbers[label]
        elif not is_missing(label):
            raise FactorError(f"labels of factor {factor!r} must be names of values; got {label!r} in row {row + 1}")
    return codes


def cluster_codes(clusters: Iterable[Any], *, where: str = "clusters") -> Int64[np.ndarray, " n"]:
    """Numbers of clusters, in the order in which they come.

    A row without a cluster is refused: to take it for a cluster of its own would make intervals too narrow.

    Raises:
        CorpusError: If a cluster is missing or cannot be compared with the others.

    Example:
        >>> cluster_codes(["a.jpg", "b.jpg", "a.jpg"]).tolist()
        [0, 1, 0]
    """
    values = clusters.to_pylist() if isinstance(clusters, pa.Array | pa.ChunkedArray) else list(clusters)
    missing = [row for row, value in enumerate(values, 1) if is_missing(value)]
    if missing:
        raise CorpusError(
            f"{where} must say for every row what it belongs to; {len(missing):,} of {len(values):,} are missing, the "
            f"first in row {missing[0]}. Name them, or leave these rows out"
        )
    kinds: dict[str, int] = {}
    for row, value in enumerate(values, 1):
        kinds.setdefault(_kind(value, row, where), row)
    if len(kinds) > 1:
        mixed = " and ".join(f"{kind} (row {row})" for kind, row in kinds.items())
        raise CorpusError(f"{where} must be of one type, or equal ones cannot be told; got {mixed}")
    numbers: dict[Any, int] = {}
    return np.array([numbers.setdefault(value, len(numbers)) for value in values], dtype=np.int64)


def _kind(value: Any, row: int, where: str) -> str:
    if isinstance(value, bool | np.bool_):
        return "bool"
    if isinstance(value, int | float | np.number):
        return "number"
    for kind in (str, bytes):
        if isinstance(value, kind):
            return kind.__name__
    if type(value).__hash__ is None or isinstance(value, tuple):
        raise CorpusError(f"{where} must be text or numbers; got {value!r} in row {row}")
    return type(value).__name__


def is_missing(value: Any) -> bool:
    """Whether a value is None, NaN, NaT or pandas' NA.

    Example:
        >>> [is_missing(value) for value in (None, float("nan"), pd.NA, pd.NaT, "", 0, [None])]
        [True, True, True, True, False, False, False]
    """
    return bool(pd.api.types.is_scalar(value) and pd.isna(value))

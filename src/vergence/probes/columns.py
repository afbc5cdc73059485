"""Which columns of a label file are factors, and of which kind: their Arrow types decide, never their nulls."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from vergence.factors import Factor

_OF_ITEMS = frozenset({"", "image", "img", "picture", "photo", "index", "unnamed 0", "row"})
_OF_ITEMS_LAST = frozenset(  # as the last word: image_path, img_url, caption_text
    {"path", "file", "filename", "name", "url", "uri", "caption", "captions", "text", "split", "fold", "sha256", "md5"}
)
_NOTHING = frozenset({"", "nan", "none", "null", "na", "n/a", "<na>", "unknown"})
_MANY = 20  # whole numbers, from which on they may be a quantity


def kind_of_factor(kind: pa.DataType) -> str | None:
    """What an Arrow type says of a column: "continuous", "discrete", or `None` if it is no type of a factor.

    Example:
        >>> kind_of_factor(pa.float32()), kind_of_factor(pa.int64()), kind_of_factor(pa.timestamp("s"))
        ('continuous', 'discrete', None)
    """
    kind = _decoded(kind)
    if pa.types.is_floating(kind):
        return "continuous"
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    return "discrete" if is_text or pa.types.is_integer(kind) or pa.types.is_boolean(kind) else None


def read_column(column: pa.ChunkedArray) -> "pd.Series[Any]":
    """The entries of a column of a factor's type: float64 with NaN, or texts with `None`, where nothing is stated."""
    values = column.cast(_decoded(column.type))
    if kind_of_factor(column.type) == "continuous":
        return pd.Series(values.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)
    return pd.Series([None if value is None else str(value) for value in values.to_pylist()], dtype=object)


def why_no_factor(name: str, column: pa.ChunkedArray, *, named: bool) -> str | None:
    """Why a column cannot be probed; `None` if it can.

    Args:
        name: The column's name.
        column: What it holds.
        named: Whether the user asked for it: only what cannot be probed at all is refused then.

    Returns:
        A reason that continues the sentence "column 'x' ...".

    Example:
        >>> why_no_factor("path", pa.chunked_array([["a.png", "b.png", "c.png"]]), named=False)
        'describes items, by its name'
        >>> why_no_factor("kind", pa.chunked_array([["a", "a", None]]), named=True)
        "holds 'a' only"
    """
    kind = kind_of_factor(column.type)
    if column.null_count == len(column):
        return "is null in all rows"
    if kind is None:
        return f"is of type {column.type}; cast it to floating-point numbers if continuous, to text if discrete"
    if not named and not pa.types.is_boolean(column.type) and kind == "discrete" and _describes_items(name):
        return "describes items, by its name"
    stated = read_column(column).dropna()
    n_values = stated.nunique()
    if n_values < 2:
        return f"holds {stated.tolist()[0]!r} only" if n_values else "is NaN in all rows"
    if kind == "continuous":
        infinite = int(np.isinf(stated).sum())
        return f"holds infinity in {infinite} rows" if infinite else None
    if n_values == len(stated):
        return "holds another value in each row"
    if not named and 2 * n_values > len(stated):
        return f"holds {n_values} values in {len(stated)} rows, most of them once"
    return None


def make_factor(name: str, column: pa.ChunkedArray) -> Factor:
    """The factor that a column holds; the values that a dictionary lists but no row has are none of its values."""
    if kind_of_factor(column.type) == "continuous":
        return Factor(name)
    values = read_column(column).dropna().unique().tolist()
    is_number = pa.types.is_integer(_decoded(column.type))
    return Factor(name, tuple(sorted(values, key=int) if is_number else sorted(values)))


def doubts(name: str, column: pa.ChunkedArray) -> list[str]:
    """What a reader of the scores should know of a discrete factor's values, a line each."""
    if kind_of_factor(column.type) != "discrete":
        return []
    counts = Counter(read_column(column).dropna())
    if pa.types.is_integer(_decoded(column.type)):
        many = f"column {name!r}: {len(counts)} whole numbers are taken for classes; save a quantity as floating point"
        return [many] if len(counts) > _MANY else []
    found = [
        f"column {name!r}: the text {value!r} counts as a value, in {counts[value]} rows; leave an entry null or empty "
        "if nothing is known"
        for value in sorted(counts)
        if value.strip().casefold() in _NOTHING
    ]
    alike: dict[str, list[str]] = defaultdict(list)
    for value in sorted(counts):
        alike[" ".join(value.casefold().split())].append(value)
    return found + [
        f"column {name!r}: {' and '.join(map(repr, spellings))} count as different values"
        for spellings in alike.values()
        if len(spellings) > 1
    ]


def why_no_score(fit: "pd.Series[Any]", test: "pd.Series[Any]") -> str | None:
    """Why a split leaves a factor without a score: a half in which it has one value only; `None` if it has one."""
    for what, half in (("fit", fit), ("test", test)):
        if half.nunique() < 2:
            return (
                f"has {half.nunique()} values among the {half.notna().sum()} labelled items to {what}; two are needed"
            )
    return None


def never_fitted(name: str, fit: "pd.Series[Any]", test: "pd.Series[Any]") -> str | None:
    """Which values only tested items have, in one line; `None` if all were fitted."""
    counts = Counter(test.dropna())
    missing: Sequence[str] = sorted(set(counts) - set(fit.dropna()))
    if not missing:
        return None
    shown = ", ".join(f"{value!r} ({counts[value]})" for value in missing[:3]) + (", ..." if len(missing) > 3 else "")
    return f"factor {name!r}: {len(missing)} values are only among the tested items, so no probe predicts them: {shown}"


def _describes_items(name: str) -> bool:
    words = re.findall(r"[a-z0-9]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", name).casefold())
    return " ".join(words) in _OF_ITEMS or words[-1] in _OF_ITEMS_LAST


def _decoded(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind

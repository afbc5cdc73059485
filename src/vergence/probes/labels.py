"""Labels of embedded items: a Parquet file with a column for each factor."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from vergence.errors import CorpusError, unknown
from vergence.factors import Factor, FactorSpace
from vergence.metrics.files import IDENTIFIERS, Embeddings


def read_labels(
    path: Path, embeddings: Embeddings, *, factors: Sequence[str] | None = None, cluster: str | None = None
) -> tuple[pd.DataFrame, FactorSpace]:
    """Read the labels of embedded items, in the order of the embeddings.

    A column of floating-point numbers is a continuous factor, any other a discrete one whose values are its texts. Rows
    are found by identifier where both files have one, otherwise by position.

    Args:
        path: A Parquet file.
        embeddings: What the labels are of.
        factors: Columns to take; all but identifiers and the cluster if `None`.
        cluster: A further column to keep as it is.

    Returns:
        One column for each factor, `None` where nothing is stated, and the cluster; and the factors.

    Raises:
        CorpusError: If the file is missing or damaged, lacks a column or an item, or a factor has one value only.
    """
    try:
        table = pq.read_table(path).to_pandas()
    except FileNotFoundError as error:
        raise CorpusError(f"{path} is missing; pass the path of an existing Parquet file") from error
    except (OSError, pa.ArrowException) as error:
        raise CorpusError(f"{path} is truncated or damaged: {' '.join(str(error).split())}") from error
    identifier = next((name for name in IDENTIFIERS if name in table), None)
    others = [name for name in table if name not in {*IDENTIFIERS, cluster}]
    wanted = others if factors is None else list(factors)
    for name in [*wanted, *([cluster] if cluster else [])]:
        if name not in table:
            raise CorpusError(f"{path}: {unknown('column', name, map(str, table))}")
    if embeddings.identifiers is not None and identifier:
        rows = table.drop_duplicates(identifier).set_index(identifier).index.get_indexer(list(embeddings.identifiers))
        if len(table) != table[identifier].nunique() or (rows < 0).any():
            raise CorpusError(f"{path} must hold each item of {embeddings.path} once, under {identifier!r}")
        table = table.iloc[rows].reset_index(drop=True)
    elif len(table) != len(embeddings.values):
        raise CorpusError(
            f"{path} has {len(table)} rows and {embeddings.path} {len(embeddings.values)}, and not both say which item "
            f"a row is of; give both a column called {IDENTIFIERS[0]!r}"
        )
    labels = pd.DataFrame({name: _stated(table[name]) for name in wanted})
    space = FactorSpace(tuple(_factor(path, labels[name]) for name in wanted))
    return labels.assign(**{cluster: table[cluster]}) if cluster else labels, space


def _stated(column: "pd.Series[Any]") -> "pd.Series[Any]":
    if pd.api.types.is_float_dtype(column.dtype):
        return column
    return column.map(str, na_action="ignore").astype(object).where(column.notna(), None)


def _factor(path: Path, column: "pd.Series[Any]") -> Factor:
    name = str(column.name)
    if pd.api.types.is_float_dtype(column.dtype):
        return Factor(name)
    values = sorted(column.dropna().unique())
    if len(values) < 2:
        raise CorpusError(f"{path}: column {name!r} has the value {values or 'null'} only; leave it out with --factors")
    return Factor(name, tuple(values))

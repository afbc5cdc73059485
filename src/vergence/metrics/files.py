"""Embedding files: rows of numbers with the identifiers that say which item each row is of."""

from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.numpy import load_file

from vergence.errors import ConfigError, CorpusError, ShapeError

IDENTIFIERS = ("key", "id", "ids")  # names under which identifiers are looked for, in this order
_FORMS = (".npy", ".safetensors", ".parquet")


@dataclass(frozen=True, kw_only=True)
class Embeddings:
    """Rows of an embedding file, and the identifiers of their items if the file gives any."""

    path: Path
    values: Float[np.ndarray, "n dim"]
    identifiers: tuple[object, ...] | None


def read_embeddings(path: Path) -> Embeddings:
    """Read embeddings from a `.npy`, `.safetensors` or `.parquet` file.

    Identifiers are a column, or an integer tensor, called `key`, `id` or `ids`; beside `x.npy` a file `x.parquet` with
    such a column. Embeddings are the only two-dimensional tensor, or the only column of lists.

    Args:
        path: The file.

    Raises:
        ConfigError: If the name ends otherwise.
        CorpusError: If the file is missing or damaged, holds no embeddings or several, or identifiers are repeated or
            not as many as rows.
    """
    if path.suffix not in _FORMS:
        raise ConfigError(f"embeddings must be a file ending in {', '.join(_FORMS)}; got {path}")
    if not path.is_file():
        raise CorpusError(f"{path} is missing; pass the path of an existing file")
    try:
        values, identifiers = _READERS[path.suffix](path)
    except (OSError, ValueError, EOFError, pa.ArrowException, SafetensorError) as error:
        raise CorpusError(f"{path} is truncated or damaged: {' '.join(str(error).split())}") from error
    if values.ndim != 2 or values.dtype.kind != "f":
        raise CorpusError(f"{path} must hold rows of floating-point numbers; got {values.dtype} of {values.shape}")
    if identifiers is not None and len(set(identifiers)) < len(identifiers):
        raise CorpusError(f"{path} names an item twice; each identifier must be that of one row")
    if identifiers is not None and len(identifiers) != len(values):
        raise CorpusError(f"{path} has {len(values)} rows and {len(identifiers)} identifiers; they must pair")
    return Embeddings(path=path, values=values, identifiers=identifiers)


def pair_rows(x: Embeddings, y: Embeddings) -> tuple[Float[np.ndarray, "n dim_x"], Float[np.ndarray, "n dim_y"], str]:
    """Put the rows of y in the order of x.

    Returns:
        The rows of both, and how they were paired: "identifier", or "position" if either file has no identifiers.

    Raises:
        CorpusError: If an item is in one file only.
        ShapeError: If there is nothing to pair by and the numbers of rows differ.
    """
    if x.identifiers is None or y.identifiers is None:
        if len(x.values) != len(y.values):
            raise ShapeError(
                f"{x.path} has {len(x.values)} rows and {y.path} {len(y.values)}, and not both say which item a row is "
                f"of; give both a column called {IDENTIFIERS[0]!r}"
            )
        return x.values, y.values, "position"
    place = {identifier: row for row, identifier in enumerate(y.identifiers)}
    for one, other in ((x, y), (y, x)):
        missing = sorted(
            {str(name) for name in one.identifiers or ()} - {str(name) for name in other.identifiers or ()}
        )
        if missing:
            raise CorpusError(
                f"{len(missing)} items of {one.path} are not in {other.path}, such as {missing[0]!r}; "
                "both must hold the same items"
            )
    return x.values, y.values[[place[identifier] for identifier in x.identifiers]], "identifier"


def _read_npy(path: Path) -> tuple[Any, Any]:
    beside = path.with_suffix(".parquet")
    identifiers = _identifiers(pq.read_table(beside)) if beside.is_file() else None
    return np.load(path, allow_pickle=False), identifiers


def _read_safetensors(path: Path) -> tuple[Any, Any]:
    tensors = load_file(path)
    found = [name for name, tensor in tensors.items() if tensor.ndim == 2]
    named = [name for name in IDENTIFIERS if name in tensors]
    return tensors[_only(path, "two-dimensional tensor", found)], tuple(tensors[named[0]].tolist()) if named else None


def _read_parquet(path: Path) -> tuple[Any, Any]:
    table = pq.read_table(path)
    lists = [field.name for field in table.schema if _is_list(field.type)]
    column = table[_only(path, "column of lists", lists)].combine_chunks()
    lengths = column.value_lengths().unique().to_pylist() if not pa.types.is_fixed_size_list(column.type) else [0]
    if len(lengths) != 1 or None in lengths or column.null_count:
        raise ValueError("its embeddings are not all of one length")
    values = np.array(column.flatten().to_numpy(zero_copy_only=False))  # a copy, which may be written to
    return values.reshape(len(column), -1), _identifiers(table)


def _identifiers(table: pa.Table) -> tuple[object, ...] | None:
    named = [name for name in IDENTIFIERS if name in table.column_names]
    return tuple(table[named[0]].to_pylist()) if named else None


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _only(path: Path, what: str, names: list[str]) -> str:
    if len(names) != 1:
        raise CorpusError(f"{path} must hold one {what}, the embeddings; got {', '.join(names) or 'none'}")
    return names[0]


_READERS = MappingProxyType({".npy": _read_npy, ".safetensors": _read_safetensors, ".parquet": _read_parquet})

"""The three forms in which embeddings come: each reader checks what its file claims before it makes room for it."""

import math
import mmap
import re
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, Literal, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
from safetensors import SafetensorError, safe_open

from vergence.arrow import read_schema, read_table
from vergence.errors import CorpusError
from vergence.metrics.identifiers import IDENTIFIERS, OF_IMAGE, identifier_column

# Embeddings, identifiers, and of which image each text is, where a file says so.
Read: TypeAlias = tuple[np.ndarray, tuple[Hashable, ...] | None, tuple[Hashable, ...] | None]

_MAGIC = b"\x93NUMPY"
_LONGEST_HEADER = 2**16
_DESCR = re.compile(r"'descr': *'([<>|=]?[a-zA-Z]\d*)'")
_ORDER = re.compile(r"'fortran_order': *(True|False)")
_SHAPE = re.compile(r"'shape': *\(([\d, ]*)\)")


def read_npy(path: Path) -> np.ndarray:
    """Read the array of a `.npy` file; nothing in it is ever executed, and no more memory taken than it has bytes.

    Raises:
        CorpusError: If it is no such file, holds pickled objects or records, or more or fewer bytes than it claims.
    """
    with path.open("rb") as file:
        claim = _claim(path, file)
        values = np.fromfile(file, claim.dtype, math.prod(claim.shape)).reshape(claim.shape, order=claim.order)
    return values.astype(claim.dtype.newbyteorder("="), copy=False)


def map_npy(path: Path) -> tuple[np.ndarray, mmap.mmap | None]:
    """Map the array of a `.npy` file: rows are read when they are looked at. What is written to it stays in memory.

    Returns:
        The array and its mapping; `None` where nothing is mapped, since its bytes are in another order.

    Raises:
        CorpusError: As `read_npy`.
    """
    with path.open("rb") as file:
        claim = _claim(path, file)
        if not math.prod(claim.shape) or not claim.dtype.isnative:
            return read_npy(path), None
        start = file.tell()
        mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    values = np.frombuffer(mapping, claim.dtype, math.prod(claim.shape), start)
    return values.reshape(claim.shape, order=claim.order), mapping


class _Claim(NamedTuple):
    """What the header of a `.npy` file says that follows it."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    order: Literal["C", "F"]


def _claim(path: Path, file: BinaryIO) -> _Claim:
    """Read the header, and compare it with what is there."""
    size = path.stat().st_size
    start = file.read(8)
    if not start.startswith(_MAGIC) or start[6:7] not in {b"\x01", b"\x02", b"\x03"}:
        raise CorpusError(f"{path} is truncated or damaged: it does not begin as a .npy file")
    length = int.from_bytes(file.read(2 if start[6] == 1 else 4), "little")
    header = file.read(min(length, _LONGEST_HEADER)).decode("utf-8", "replace")
    descr, order, shape = (pattern.search(header) for pattern in (_DESCR, _ORDER, _SHAPE))
    if descr is None and "descr" in header:
        raise CorpusError(f"{path} holds records; save its numbers as an array of rows and columns")
    if descr is None or order is None or shape is None:
        raise CorpusError(f"{path} is truncated or damaged: its header does not describe an array")
    if descr[1].lstrip("<>|=")[0] not in "fiu":
        kind = "pickled objects, which are not read" if "O" in descr[1] else f"entries of type {descr[1]!r}"
        raise CorpusError(f"{path} must hold rows of numbers; got {kind}. Save float32 with numpy.save")
    dtype = np.dtype(descr[1])
    sizes = tuple(int(number) for number in shape[1].replace(" ", "").split(",") if number)
    claimed, there = math.prod(sizes) * dtype.itemsize, size - file.tell()
    if claimed != there:
        raise CorpusError(
            f"{path} is truncated or damaged: {sizes} entries of {dtype} are {claimed} bytes; it holds {there}"
        )
    return _Claim(dtype, sizes, "F" if order[1] == "True" else "C")


def _read_npy(path: Path) -> Read:
    return read_npy(path), identifiers_beside(path), None


def identifiers_beside(path: Path) -> tuple[Hashable, ...] | None:
    """Those of the Parquet file of the same name, if there is one and it has any."""
    beside = path.with_suffix(".parquet")
    name = identifier_column(read_schema(beside).names) if beside.is_file() else None
    return None if name is None else tuple(read_table(beside, [name])[name].to_pylist())


def _read_safetensors(path: Path) -> Read:
    try:
        with safe_open(path, framework="pt") as file:  # it compares what the header claims with the file
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    except (OSError, SafetensorError) as error:
        raise CorpusError(f"{path} is truncated or damaged: {' '.join(str(error).split())}") from error
    named = next((name for name in IDENTIFIERS if name in tensors and tensors[name].ndim == 1), None)
    found = [name for name, tensor in tensors.items() if tensor.ndim == 2]
    values = tensors[_only(path, "two-dimensional tensor", found)]
    if values.is_floating_point() and (values.element_size() == 1 or str(values.dtype) == "torch.bfloat16"):
        values = values.float()  # NumPy has neither bfloat16 nor 8 bits
    return values.numpy(), None if named is None else tuple(tensors[named].tolist()), None


def _read_parquet(path: Path) -> Read:
    table = read_table(path)
    name = _only(path, "column of lists", [field.name for field in table.schema if _is_list(_stored(field.type))])
    if not len(table):
        raise CorpusError(f"{path} holds no embeddings: 0 rows")
    column = table[name].combine_chunks()
    column = column.storage if isinstance(column.type, pa.BaseExtensionType) else column
    if column.null_count:
        row = column.is_null().index(True).as_py()
        raise CorpusError(f"{path}: {column.null_count} embeddings in {name!r} are null, the first in row {row}")
    lengths = column.value_lengths().unique().to_pylist()
    if len(lengths) > 1:
        found = f"{min(lengths)} to {max(lengths)}"
        raise CorpusError(f"{path}: embeddings in {name!r} must all be of one length; got {found} numbers")
    entries = column.flatten()
    if not (pa.types.is_floating(entries.type) or pa.types.is_integer(entries.type)):
        raise CorpusError(f"{path}: embeddings in {name!r} must be lists of numbers; got lists of {entries.type}")
    if entries.null_count:
        raise CorpusError(f"{path}: embeddings in {name!r} hold null {entries.null_count} times")
    values = np.array(entries.to_numpy(zero_copy_only=False)).reshape(len(column), lengths[0])  # a copy, to write to
    named = identifier_column(table.column_names)
    if named is None:
        return values, None, None
    keys = tuple(table[named].to_pylist())
    is_of_texts = OF_IMAGE in table.column_names and pa.types.is_string(table.schema.field(OF_IMAGE).type)
    images = tuple(table[OF_IMAGE].to_pylist()) if is_of_texts else None
    return values, keys, images if images and None not in images else None


def _stored(kind: pa.DataType) -> pa.DataType:
    return kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _only(path: Path, what: str, names: list[str]) -> str:
    if len(names) != 1:
        raise CorpusError(f"{path} must hold one {what}, the embeddings; got {', '.join(names) or 'none'}")
    return names[0]


READERS: Mapping[str, Callable[[Path], Read]] = MappingProxyType(
    {".npy": _read_npy, ".safetensors": _read_safetensors, ".parquet": _read_parquet}
)

"""NumPy files from anywhere, `.npy` and `.npz`: headers are checked before values are read, and nothing is unpickled.

Values of a member that is not compressed are mapped into memory where they lie in the archive; those of a compressed
one come in blocks.
"""

import struct
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from math import prod
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Shaped

from vergence.errors import CorpusError, first_line
from vergence.files import read_part

_BLOCK = 1 << 24  # bytes that are read at once
_LOCAL = struct.Struct("<4s5H3I2H")  # header of a member in a zip archive; its last two fields are lengths
_KINDS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError, ValueError)


@runtime_checkable
class _Stream(Protocol):
    """What an array is read from: a file, or a member of an archive."""

    def read(self, size: int = ..., /) -> bytes: ...
    def tell(self) -> int: ...


@dataclass(frozen=True)
class Member:
    """An array in an archive or in a file of its own, of which only the header has been read.

    Args:
        path: The file.
        name: What the array is called there; empty in a file of its own.
        dtype: Its type; no objects.
        shape: Its shape.
        skipped: Bytes of its header.
        offset: Where in the file its values begin; `None` if they are compressed.
    """

    path: Path
    name: str
    dtype: np.dtype
    shape: tuple[int, ...]
    skipped: int
    offset: int | None

    def mapped(self) -> Shaped[np.ndarray, "..."]:
        """The values as they lie in the file, read when they are used."""
        assert self.offset is not None
        return np.memmap(self.path, dtype=self.dtype, mode="r", offset=self.offset, shape=self.shape)

    def blocks(self) -> Iterator[Shaped[np.ndarray, "..."]]:
        """The values, some rows at a time.

        Raises:
            CorpusError: If the file is damaged.
        """
        row = self.dtype.itemsize * prod(self.shape[1:])
        rows = max(1, _BLOCK // row)
        try:
            with self._opened() as stream:
                stream.read(self.skipped)
                for start in range(0, self.shape[0], rows):
                    n = min(rows, self.shape[0] - start)
                    data = stream.read(n * row)
                    if len(data) < n * row:
                        raise EOFError("it ends before its last value")
                    yield np.frombuffer(data, dtype=self.dtype).reshape(n, *self.shape[1:])
        except _BROKEN as error:
            raise CorpusError(f"{self.path}: {self.name or 'the array'} is damaged: {first_line(error)}") from error

    def array(self) -> Shaped[np.ndarray, "..."]:
        """All values, in memory."""
        found = list(self.blocks())
        return np.concatenate(found) if found else np.empty(self.shape, dtype=self.dtype)

    @contextmanager
    def _opened(self) -> Iterator[_Stream]:
        if not self.name:
            with open(self.path, "rb") as file:
                yield file
        else:
            with zipfile.ZipFile(self.path) as archive, archive.open(f"{self.name}.npy") as file:
                yield file


def members(path: Path) -> list[str]:
    """Names of the arrays in an `.npz` archive.

    Raises:
        CorpusError: If it is none.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
    except _BROKEN as error:
        raise CorpusError(f"{path} is no .npz archive: {first_line(error)}") from error


def member(path: Path, name: str, *, dtype: str, shape: Sequence[int | None]) -> Member:
    """Read the header of an array in an `.npz` archive and check it.

    Args:
        path: The archive.
        name: The array.
        dtype: What its type must be: `uint8`, `int64`.
        shape: What its shape must be; `None` where any number will do.

    Raises:
        CorpusError: If the archive is damaged or lacks the array, which is of another type or shape, is pickled, or
            does not have the size that its header states.
    """
    known = members(path)
    if name not in known:
        raise CorpusError(f"{path} must hold the array {name!r}; it holds {listed(known)}")
    try:
        with zipfile.ZipFile(path) as archive:
            info = archive.getinfo(f"{name}.npy")
            if info.compress_type not in _KINDS or info.flag_bits & 1:
                raise CorpusError(f"{path}: {name} must be stored or deflated; it is packed in another way")
            with archive.open(info) as stream:
                found, size = _header(stream), info.file_size
    except _BROKEN as error:
        raise CorpusError(f"{path}: {name} is damaged: {first_line(error)}") from error
    offset = _values_at(path, info) if info.compress_type == zipfile.ZIP_STORED else None
    return _checked(path, name, found, size, offset, dtype=dtype, shape=shape)


def read_npy(path: Path, *, dtype: str | tuple[str, ...], shape: Sequence[int | None]) -> Shaped[np.ndarray, "..."]:
    """Read an array from an `.npy` file; see `member`."""
    try:
        with open(path, "rb") as stream:
            found = _header(stream)
            size = stream.seek(0, 2)
    except _BROKEN as error:
        raise CorpusError(f"{path} is no .npy file: {first_line(error)}") from error
    return _checked(path, "", found, size, 0, dtype=dtype, shape=shape).array()


@dataclass(frozen=True)
class _Header:
    dtype: np.dtype
    shape: tuple[int, ...]
    fortran: bool
    size: int


def _header(stream: _Stream) -> _Header:
    version = np.lib.format.read_magic(stream)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"version {version} of the format")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of headers that Python 2 wrote, as that of DSprites may be
            shape, fortran, dtype = readers[version](stream)
    except Exception as error:  # numpy's parser raises whatever a damaged header makes it meet
        raise ValueError(f"its header cannot be read: {first_line(error)}") from error
    return _Header(dtype, shape, fortran, stream.tell())


def _checked(
    path: Path, name: str, found: _Header, size: int, offset: int | None, *, dtype: str | tuple[str, ...],
    shape: Sequence[int | None],
) -> Member:  # fmt: skip
    what = f"{path}: {name}" if name else str(path)
    kinds = (dtype,) if isinstance(dtype, str) else dtype
    if found.dtype.hasobject:
        raise CorpusError(f"{what} holds pickled objects, which are not read; {kinds[0]} was expected")
    fits = len(found.shape) == len(shape) and all(
        asked is None or asked == got for asked, got in zip(shape, found.shape, strict=True)
    )
    if found.dtype.name not in kinds or not fits:
        asked = " x ".join("n" if length is None else f"{length:,}" for length in shape)
        got = " x ".join(f"{length:,}" for length in found.shape) or "()"
        raise CorpusError(
            f"{what} must be {' or '.join(kinds)} of shape {asked}; got {found.dtype.name} of shape {got}"
        )
    if found.fortran:
        raise CorpusError(f"{what} is in Fortran order; save np.ascontiguousarray of it")
    if size != found.size + found.dtype.itemsize * prod(found.shape):
        raise CorpusError(f"{what} is not of the size that its header states; the file is damaged")
    start = None if offset is None else offset + found.size
    return Member(path, name, found.dtype, found.shape, found.size, start)


def _values_at(path: Path, info: zipfile.ZipInfo) -> int:
    """Where in an archive the content of a member that is not compressed begins."""
    mark, *_, names, extra = _LOCAL.unpack(read_part(path, info.header_offset, _LOCAL.size))
    begin = int(info.header_offset + _LOCAL.size + names + extra)
    if mark != b"PK\3\4" or begin + info.file_size > path.stat().st_size:
        raise CorpusError(f"{path} is damaged: {info.filename} does not lie where the archive says")
    return begin


def listed(names: Iterable[object]) -> str:
    """Some names from a file, on one line whatever they hold."""
    some = [repr(str(name))[1:-1][:60] for name in islice(names, 21)]
    return ", ".join([*some[:20], *["…"] * (len(some) > 20)]) or "none"

"""Counts as bytes: NumPy's arrays, packed with zstd; nothing in them is executed on reading."""

import zlib
from collections.abc import Mapping
from io import BytesIO
from tokenize import TokenError
from zipfile import BadZipFile

import numpy as np
import pyarrow as pa

from vergence.errors import CorpusError

# What zstd, zip and NumPy's headers raise where bytes are not as they were written.
_DAMAGE = (
    OSError,
    ValueError,
    KeyError,
    EOFError,
    BadZipFile,
    NotImplementedError,
    RuntimeError,
    TokenError,
    zlib.error,
)


def pack(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Named arrays as bytes, a tenth of the time that a compressed zip takes."""
    plain, packed = BytesIO(), pa.BufferOutputStream()
    np.savez(plain, **arrays)  # type: ignore[arg-type]  # no name is `allow_pickle`
    with pa.CompressedOutputStream(packed, "zstd") as stream:
        stream.write(plain.getbuffer())
    return bytes(packed.getvalue())


def unpack(data: bytes) -> dict[str, np.ndarray]:
    """The inverse of `pack`.

    Raises:
        CorpusError: If the bytes are damaged.
    """
    try:
        plain = pa.CompressedInputStream(pa.BufferReader(data), "zstd").read()
        with np.load(BytesIO(plain), allow_pickle=False) as arrays:
            return dict(arrays)
    except _DAMAGE as error:
        raise CorpusError(f"damaged counts: {error}") from error

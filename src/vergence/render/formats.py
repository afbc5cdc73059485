"""Files of triangle meshes: OFF, PLY, OBJ, 3DS, and the arrays of a JavaScript module.

Only corners and faces are read; colours, normals, textures and materials are passed over. Faces with more corners
become fans of triangles. What a file says of itself is checked before memory is set aside for it.
"""

import re
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from vergence.documents import parse_json
from vergence.errors import CorpusError, unknown
from vergence.render.ply import parse_ply
from vergence.render.surfaces import Surface, decimals, fans

MOST_BYTES = 1 << 28  # of a file, packed or not
_MOST_DEPTH = 16  # of chunks in chunks


def parse_file(data: bytes, name: str, *, where: str) -> Surface:
    """Parse a mesh file in the format that its name ends in; `.gz` after that is unpacked.

    Raises:
        CorpusError: As `parse_surface` does, or if what is packed is damaged or too large; one line.
    """
    path = Path(name)
    if path.suffix.lower() == ".gz":
        data, path = unpack_gzip(data, where=where), path.with_suffix("")
    return parse_surface(data, path.suffix.lower(), where=where)


def parse_surface(data: bytes, suffix: str, *, where: str) -> Surface:
    r"""Parse the content of a mesh file.

    Args:
        data: The whole content.
        suffix: Its format, one of `FORMATS`.
        where: What to call it in messages.

    Raises:
        CorpusError: If it is damaged, empty, or refers to corners that it does not have; one line.

    Example:
        >>> corners, triangles = parse_surface(b"OFF 4 1 0\n0 0 0\n1 0 0\n1 1 0\n0 1 0\n4 0 1 2 3", ".off", where="a")
        >>> triangles.tolist()
        [[0, 1, 2], [0, 2, 3]]
    """
    if suffix not in FORMATS:
        raise CorpusError(f"{where}: {unknown('mesh format', suffix, FORMATS)}")
    try:
        with np.errstate(invalid="ignore"):  # NaN of the kind that warns when it is copied; it is found below
            surface = FORMATS[suffix](data)
    except (ValueError, OverflowError, struct.error) as error:
        raise CorpusError(f"{where}: no whole {suffix} mesh: {' '.join(str(error).split())[:200]}") from error
    corners, triangles = surface
    if not len(corners) or not len(triangles):
        raise CorpusError(f"{where}: holds {len(corners)} corners and {len(triangles)} triangles; needs some of both")
    if not np.isfinite(corners).all() or np.abs(corners).max() > 1e30:
        raise CorpusError(f"{where}: holds corners that are NaN, infinite or beyond 1e30")
    if triangles.min() < 0 or triangles.max() >= len(corners):
        raise CorpusError(f"{where}: a face names a corner outside [0, {len(corners) - 1}]")
    return surface


def unpack_gzip(data: bytes, *, where: str) -> bytes:
    """Unpack a gzip file of bounded content.

    Raises:
        CorpusError: If it is damaged, or holds more than 256 MiB.
    """
    unpacker = zlib.decompressobj(wbits=31)
    try:
        content = unpacker.decompress(data, MOST_BYTES + 1)
    except zlib.error as error:
        raise CorpusError(f"{where}: no whole gzip file ({error})") from error
    if len(content) > MOST_BYTES:
        raise CorpusError(f"{where}: unpacks to more than {MOST_BYTES:,} bytes, the most that are read of a mesh")
    if not unpacker.eof:
        raise CorpusError(f"{where}: no whole gzip file (cut short)")
    return content


def _parse_off(data: bytes) -> Surface:
    lines = [words for words in (line.split(b"#", 1)[0].split() for line in data.splitlines()) if words]
    if not lines or lines[0][0] != b"OFF" or lines[0][1:2] == [b"BINARY"]:
        raise ValueError(
            "does not begin with OFF; other kinds, such as COFF or OFF BINARY, are to be saved as plain OFF"
        )
    counts, start = (lines[0][1:], 1) if lines[0][1:] else (lines[1] if len(lines) > 1 else [], 2)
    n_corners, n_faces = (_count(word) for word in _exactly(counts[:2], 2, "counts"))
    _exactly(lines[start : start + n_corners + n_faces], n_corners + n_faces, "lines of corners and faces")
    words = [word for line in lines[start : start + n_corners] for word in line[:3]]
    sizes, places = list[int](), list[int]()
    for line in lines[start + n_corners : start + n_corners + n_faces]:
        sizes.append(_count(line[0]))  # what comes after the corners is a colour
        places += [_count(word) for word in _exactly(line[1 : 1 + sizes[-1]], sizes[-1], "corners of a face")]
    corners = decimals(_exactly(words, 3 * n_corners, "coordinates")).reshape(-1, 3)
    return Surface(corners, fans(np.array(sizes, dtype=np.int64), np.array(places, dtype=np.int64)))


def _parse_obj(data: bytes) -> Surface:
    corners, sizes, places = [], [], []
    for number, line in enumerate(data.splitlines(), 1):
        kind, *words = line.split(b"#", 1)[0].split() or [b""]
        if kind == b"v":
            corners.append([float(word) for word in _exactly(words[:3], 3, f"line {number}: coordinates")])
        elif kind == b"f":
            named = [int(word.split(b"/", 1)[0]) for word in words]
            if any(place == 0 or not -len(corners) <= place < 1 << 31 for place in named):
                raise ValueError(f"line {number}: a face names a corner that is not there")
            sizes.append(len(named))
            places += [place - 1 if place > 0 else len(corners) + place for place in named]
    triangles = fans(np.array(sizes, dtype=np.int64), np.array(places, dtype=np.int64))
    return Surface(np.array(corners, dtype=np.float64).reshape(-1, 3), triangles)


def _parse_3ds(data: bytes) -> Surface:
    corners, triangles, n = [np.zeros((0, 3))], [np.zeros((0, 3), dtype=np.int64)], 0
    for kind, body in _chunks(data, 0):
        if kind == 0x4110:
            corners.append(_table(body, "<f4", 3, 12).astype(np.float64))
            first, n = n, n + len(corners[-1])
        elif kind == 0x4120:
            if n == 0:
                raise ValueError("faces come before corners")
            faces = _table(body, "<u2", 4, 8)[:, :3].astype(np.int64)  # the fourth holds flags
            if len(faces) and faces.max() >= n - first:
                raise ValueError("a face names a corner that its object does not have")
            triangles.append(faces + first)
    return Surface(np.concatenate(corners), np.concatenate(triangles))


def _chunks(data: bytes, depth: int) -> Iterator[tuple[int, bytes]]:
    """Chunks that hold numbers, in the order of the file; those that hold chunks are entered."""
    at = 0
    while at < len(data):
        kind, size = struct.unpack_from("<HI", data, at)
        if not 6 <= size <= len(data) - at or depth > _MOST_DEPTH:
            raise ValueError(f"a chunk of {size} bytes at {at}, where {len(data) - at} are left")
        body = data[at + 6 : at + size]
        if kind == 0x4000:  # an object: its name, then chunks
            body = body[body.index(b"\0") + 1 :]
        if kind in (0x4D4D, 0x3D3D, 0x4000, 0x4100):
            yield from _chunks(body, depth + 1)
        else:
            yield kind, body
        at += size


def _table(body: bytes, kind: str, columns: int, width: int) -> np.ndarray:
    (n,) = struct.unpack_from("<H", body)
    if len(body) < 2 + n * width:
        raise ValueError(f"{n} rows announced, {(len(body) - 2) // width} found")
    return np.frombuffer(body, kind, n * columns, 2).reshape(n, columns)


def _parse_module(data: bytes) -> Surface:
    """Arrays `positions` and `cells` that a JavaScript module exports as JSON; the rest of it is not looked at."""
    arrays = {}
    for name in ("positions", "cells"):
        found = re.search(rf"exports\.{name}\s*=\s*(\[[-+\d.eE,\s\[\]]*\])\s*;", data.decode("ascii"))
        if not found:
            raise ValueError(f"exports no array {name}")
        arrays[name] = parse_json(found[1], where=name)
    corners = np.array(arrays["positions"], dtype=np.float64)
    triangles = np.array(arrays["cells"], dtype=np.int64)
    if corners.ndim != 2 or triangles.ndim != 2 or corners.shape[1] != 3 or triangles.shape[1] != 3:
        raise ValueError(f"positions and cells must be rows of three; got {corners.shape} and {triangles.shape}")
    return Surface(corners, triangles)


def _count(word: bytes) -> int:
    if not word.isdigit() or len(word) > 9:
        raise ValueError(f"{word[:20]!r} where a number of things or a place is due")
    return int(word)


def _exactly(words: list[Any], n: int, what: str) -> list[Any]:
    if len(words) != n:
        raise ValueError(f"{n} {what} due, {len(words)} found")
    return words


FORMATS: Mapping[str, Callable[[bytes], Surface]] = MappingProxyType(
    {".off": _parse_off, ".ply": parse_ply, ".obj": _parse_obj, ".3ds": _parse_3ds, ".js": _parse_module}
)
"""By ending of the name."""

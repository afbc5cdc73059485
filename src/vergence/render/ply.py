"""PLY: a header of elements and their properties, then their rows as text or as bytes of either order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64

from vergence.render.surfaces import Surface, decimals, fans

_KINDS: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("char", "int8"), "i1"),
        **dict.fromkeys(("uchar", "uint8"), "u1"),
        **dict.fromkeys(("short", "int16"), "i2"),
        **dict.fromkeys(("ushort", "uint16"), "u2"),
        **dict.fromkeys(("int", "int32"), "i4"),
        **dict.fromkeys(("uint", "uint32"), "u4"),
        **dict.fromkeys(("float", "float32"), "f4"),
        **dict.fromkeys(("double", "float64"), "f8"),
    }
)
_ORDERS: Mapping[str, str] = MappingProxyType({"binary_little_endian": "<", "binary_big_endian": ">"})
_MOST_ROWS = 50_000_000
_MOST_PROPERTIES = 64
_LISTS = "vertex_indices", "vertex_index"


@dataclass(frozen=True)
class _Property:
    name: str
    kind: str
    counted: str = ""  # of a list, the kind of the number before it


@dataclass(frozen=True)
class _Element:
    name: str
    rows: int
    properties: list[_Property] = field(default_factory=list)


@runtime_checkable
class _Source(Protocol):
    """Rows that are taken one after the other."""

    def left(self, kinds: Sequence[str]) -> int:
        """How many rows of these kinds there still are."""

    def peek(self, rows: int, kinds: Sequence[str]) -> Float64[np.ndarray, "rows kinds"]:
        """The next rows, which stay."""

    def skip(self, rows: int, kinds: Sequence[str]) -> None:
        """Go on."""


def parse_ply(data: bytes) -> Surface:
    """Corners and faces of a PLY file: elements `vertex` (x, y, z) and `face` (a list `vertex_indices`).

    Raises:
        ValueError: If it is damaged, or has no such elements.
    """
    head, mark, body = data.partition(b"end_header")
    if not mark or not head.startswith(b"ply"):
        raise ValueError("no header from ply to end_header")
    body = body[body.index(b"\n") + 1 :]
    form, elements = _header(head[: 1 << 16].decode("ascii", "replace"))
    source: _Source = _Words(body) if form == "ascii" else _Bytes(body, _ORDERS[form])
    corners, triangles = None, None
    for element in elements:
        columns, sizes, items = _rows(element, source)
        if element.name == "vertex":
            corners = np.stack([columns[axis] for axis in "xyz"], 1) if all(a in columns for a in "xyz") else None
        elif element.name == "face" and sizes is not None:
            if not (np.isfinite(items).all() and np.abs(items).max(initial=0) < 1 << 31):
                raise ValueError("a face names a corner that is not there")
            triangles = fans(sizes.astype(np.int64), items.astype(np.int64))
    if corners is None or triangles is None:
        raise ValueError("has no vertex with x, y, z, or no face with vertex_indices")
    return Surface(corners, triangles)


def _header(text: str) -> tuple[str, list[_Element]]:
    form, elements = "", list[_Element]()
    for line in text.splitlines()[1:]:
        match line.split():
            case ["format", ("ascii" | "binary_little_endian" | "binary_big_endian") as form, _]:
                pass
            case ["element", name, rows] if rows.isdecimal() and len(rows) < 10 and int(rows) <= _MOST_ROWS:
                elements.append(_Element(name, int(rows)))
            case ["property", "list", counted, kind, name] if elements and {counted, kind} <= set(_KINDS):
                if _KINDS[counted][0] == "f":
                    raise ValueError(f"a list is counted by {counted}")
                elements[-1].properties.append(_Property(name, _KINDS[kind], _KINDS[counted]))
            case ["property", kind, name] if elements and kind in _KINDS:
                elements[-1].properties.append(_Property(name, _KINDS[kind]))
            case [] | ["comment" | "obj_info", *_]:
                pass
            case _:
                raise ValueError(f"the header says {line[:60]!r}")
    if not form or any(not 0 < len(element.properties) <= _MOST_PROPERTIES for element in elements):
        raise ValueError("the header names no format, or an element with no or too many properties")
    return form, elements


def _rows(element: _Element, source: _Source) -> tuple[dict[str, np.ndarray], np.ndarray | None, np.ndarray]:
    """Numbers by property; sizes and items of the list of corners, `None` and nothing if there is none."""
    first = _sizes(element, source) if element.rows else [0] * len(element.properties)
    kinds = _kinds(element, first)
    if source.left(kinds) >= element.rows:
        table = source.peek(element.rows, kinds)
        columns, sizes, items, alike = _split(element, first, table)
        if alike:
            source.skip(element.rows, kinds)
            return columns, sizes, items.reshape(-1)
    parts = []
    for _ in range(element.rows):  # rows of different lengths
        lengths = _sizes(element, source)
        kinds = _kinds(element, lengths)
        parts.append(_split(element, lengths, source.peek(1, kinds)))
        source.skip(1, kinds)
    columns = {name: np.concatenate([part[0][name] for part in parts]) for name in parts[0][0]}
    listed = [(sizes, items.reshape(-1)) for _, sizes, items, _ in parts if sizes is not None]
    if not listed:
        return columns, None, np.zeros(0)
    return columns, np.concatenate([one[0] for one in listed]), np.concatenate([one[1] for one in listed])


def _sizes(element: _Element, source: _Source) -> list[int]:
    """Lengths of the lists in the next row; 0 for numbers."""
    sizes = list[int]()
    for i, one in enumerate(element.properties):
        before = _kinds(element, sizes) if i else []
        size = int(source.peek(1, [*before, one.counted])[0, -1]) if one.counted else 0
        if not 0 <= size <= source.left([one.kind]):  # before there is a list of that length
            raise ValueError(f"{element.name}: a list of {size} where {source.left([one.kind])} numbers are left")
        kinds = [*before, one.counted, *[one.kind] * size] if one.counted else [*before, one.kind]
        if source.left(kinds) < 1:
            raise ValueError(f"{element.name}: a row is cut short")
        sizes.append(size)
    return sizes


def _kinds(element: _Element, sizes: Sequence[int]) -> list[str]:
    """Kinds of the numbers of a row, the lengths of its lists among them."""
    kinds = list[str]()
    for one, size in zip(element.properties, sizes, strict=False):
        kinds += [one.counted, *[one.kind] * size] if one.counted else [one.kind]
    return kinds


def _split(
    element: _Element, sizes: Sequence[int], table: np.ndarray
) -> tuple[dict[str, np.ndarray], np.ndarray | None, np.ndarray, bool]:
    """Columns of rows that should have lists of these lengths, and whether they have."""
    columns, listed, items, alike, at = dict[str, np.ndarray](), None, np.zeros(0), True, 0
    for one, size in zip(element.properties, sizes, strict=True):
        if one.counted:
            alike = alike and bool((table[:, at] == size).all())
            if one.name in _LISTS:
                listed, items = table[:, at], table[:, at + 1 : at + 1 + size]
            at += 1 + size
        else:
            columns[one.name] = table[:, at]
            at += 1
    return columns, listed, items, alike


class _Words:
    """Rows of text, one number after the other."""

    def __init__(self, body: bytes) -> None:
        self._numbers = decimals(body.split())
        self._at = 0

    def left(self, kinds: Sequence[str]) -> int:
        return (len(self._numbers) - self._at) // len(kinds)

    def peek(self, rows: int, kinds: Sequence[str]) -> Float64[np.ndarray, "rows kinds"]:
        if self.left(kinds) < rows:
            raise ValueError(f"{rows} rows of {len(kinds)} numbers due, {len(self._numbers) - self._at} numbers found")
        return self._numbers[self._at : self._at + rows * len(kinds)].reshape(rows, len(kinds))

    def skip(self, rows: int, kinds: Sequence[str]) -> None:
        self._at += rows * len(kinds)


class _Bytes:
    """Rows of bytes."""

    def __init__(self, body: bytes, order: str) -> None:
        self._body, self._order = body, order
        self._at = 0

    def left(self, kinds: Sequence[str]) -> int:
        return (len(self._body) - self._at) // sum(int(kind[1]) for kind in kinds)

    def peek(self, rows: int, kinds: Sequence[str]) -> Float64[np.ndarray, "rows kinds"]:
        if self.left(kinds) < rows:
            raise ValueError(f"{rows} rows due, {self.left(kinds)} found")
        form = np.dtype([(str(i), self._order + kind) for i, kind in enumerate(kinds)])
        table = np.frombuffer(self._body, form, rows, self._at)
        return np.stack([table[str(i)].astype(np.float64) for i in range(len(kinds))], 1)

    def skip(self, rows: int, kinds: Sequence[str]) -> None:
        self._at += rows * sum(int(kind[1]) for kind in kinds)

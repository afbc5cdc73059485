"""Thrift's compact protocol read and written again, nothing lost, so that a Parquet footer can change in part."""

from typing import Any

import pyarrow as pa

I32, I64, BINARY, LIST, STRUCT = 5, 6, 8, 9, 12
_TRUE, _FALSE, _BYTE, _DOUBLE, _SET = 1, 2, 3, 7, 10
_MOST_DEPTH = 16

Fields = dict[int, tuple[int, Any]]
"""A struct: by number of a field its type and value, in order. A list is a pair of its elements' type and them."""


class Reader:
    """Reads one struct.

    Raises:
        ArrowInvalid: If the bytes follow no such protocol, or end too early.
    """

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def struct(self, depth: int = 0) -> Fields:
        """The fields of a struct."""
        if depth > _MOST_DEPTH:
            raise pa.ArrowInvalid("damaged metadata")
        fields: Fields = {}
        number = 0
        while head := self._take(1)[0]:
            number = number + (head >> 4) if head >> 4 else _unzigzag(self._varint())
            kind = head & 15
            fields[number] = kind, (None if kind in (_TRUE, _FALSE) else self._value(kind, depth + 1))
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        if kind == STRUCT:
            return self.struct(depth)
        if kind in (4, I32, I64):
            return _unzigzag(self._varint())
        if kind in (LIST, _SET):
            head = self._take(1)[0]
            count = head >> 4 if head >> 4 < 15 else self._varint()
            if count > len(self._data):
                raise pa.ArrowInvalid("damaged metadata")
            return head & 15, [self._value(head & 15, depth + 1) for _ in range(count)]
        if kind == BINARY:
            return self._take(self._varint())
        if kind in (_TRUE, _FALSE, _BYTE):  # in a list a truth value is a byte
            return self._take(1)
        if kind == _DOUBLE:
            return self._take(8)
        raise pa.ArrowInvalid("damaged metadata")

    def _take(self, count: int) -> bytes:
        piece = self._data[self._at : self._at + count]
        if len(piece) < count:
            raise pa.ArrowInvalid("damaged metadata")
        self._at += count
        return piece

    def _varint(self) -> int:
        value, shift = 0, 0
        while True:
            byte = self._take(1)[0]
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value
            if shift > 70:
                raise pa.ArrowInvalid("damaged metadata")


def written(fields: Fields) -> bytes:
    """The bytes of a struct.

    Example:
        >>> Reader(written({1: (I32, -3), 20: (LIST, (BINARY, [b"a"]))})).struct()
        {1: (5, -3), 20: (9, (8, [b'a']))}
    """
    out = bytearray()
    _put_struct(out, fields)
    return bytes(out)


def _put_struct(out: bytearray, fields: Fields) -> None:
    last = 0
    for number, (kind, value) in sorted(fields.items()):
        if 0 < number - last < 16:
            out.append((number - last) << 4 | kind)
        else:
            out.append(kind)
            _put_varint(out, _zigzag(number))
        if kind not in (_TRUE, _FALSE):
            _put(out, kind, value)
        last = number
    out.append(0)


def _put(out: bytearray, kind: int, value: Any) -> None:
    if kind == STRUCT:
        _put_struct(out, value)
    elif kind in (4, I32, I64):
        _put_varint(out, _zigzag(value))
    elif kind in (LIST, _SET):
        element, items = value
        if len(items) < 15:
            out.append(len(items) << 4 | element)
        else:
            out.append(0xF0 | element)
            _put_varint(out, len(items))
        for item in items:
            _put(out, element, item)
    else:
        if kind == BINARY:
            _put_varint(out, len(value))
        out += value


def _put_varint(out: bytearray, value: int) -> None:
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def _zigzag(value: int) -> int:
    return (value << 1) ^ (value >> 63)


def _unzigzag(value: int) -> int:
    return (value >> 1) ^ -(value & 1)

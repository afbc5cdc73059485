"""Reads Thrift's compact protocol, in which Parquet writes its footer and page headers."""

from typing import Any

import pyarrow as pa

I32, I64, BINARY, LIST, STRUCT = 5, 6, 8, 9, 12
_SET = 10
_MOST_DEPTH = 12
_MOST_LIST = 1 << 20

Struct = dict[tuple[int, int], Any]  # by number and type of a field: Thrift ignores a field of another type


class Compact:
    """A reader of bytes.

    Raises:
        ArrowInvalid: If they follow no such protocol.
        IndexError: If they end too early.
    """

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def struct(self, depth: int = 0) -> Struct:
        """The fields of a struct: whole numbers, structs and lists; for anything else `None`."""
        fields: Struct = {}
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self._integer(32)
            kind = head & 15
            fields[number, kind] = None if kind < 3 else self._value(kind, depth + 1)  # a truth value is its type
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        if depth > _MOST_DEPTH or not 1 <= kind <= STRUCT:
            raise _damaged()
        if kind == STRUCT:
            return self.struct(depth)
        if kind in (4, I32, I64):
            return self._integer(64 if kind == I64 else 32)
        if kind in (LIST, _SET):
            return self._list(depth)
        if kind == BINARY:
            self._skip(self._varint())
        elif kind == 11:
            raise _damaged()  # Parquet has no maps
        else:
            self._skip(8 if kind == 7 else 1)
        return None

    def _list(self, depth: int) -> list[Any]:
        head = self._byte()
        count = head >> 4 if head >> 4 < 15 else self._varint()
        if count > _MOST_LIST:
            raise _damaged()
        return [self._value(head & 15, depth + 1) for _ in range(count)]

    def _byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def _varint(self) -> int:
        value, shift = 0, 0
        while True:
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
            if shift > 63:
                raise _damaged()

    def _integer(self, bits: int) -> int:
        value = self._varint() & ((1 << bits) - 1)
        return (value >> 1) ^ -(value & 1)

    def _skip(self, count: int) -> None:
        self.at += count
        if self.at > len(self.data):
            raise IndexError


def _damaged() -> pa.ArrowInvalid:
    return pa.ArrowInvalid("damaged metadata")

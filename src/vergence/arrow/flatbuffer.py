"""Reads the few fields of a flatbuffer that say how large a message is, and none outside of its bytes."""

import struct

import pyarrow as pa


class Table:
    """A table of a flatbuffer; fields go by their number.

    Raises:
        ArrowInvalid: If it points outside of its bytes.
    """

    def __init__(self, data: bytes, at: int) -> None:
        self._data, self._at = data, at
        self._fields = at - self._read("i", at)

    @classmethod
    def root(cls, data: bytes) -> "Table":
        """The table with which a flatbuffer begins."""
        return cls(data, cls._unpack(data, "I", 0))

    @staticmethod
    def _unpack(data: bytes, form: str, at: int) -> int:
        if not 0 <= at <= len(data) - struct.calcsize("<" + form):
            raise pa.ArrowInvalid("damaged metadata of a message")
        return int(struct.unpack_from("<" + form, data, at)[0])

    def _read(self, form: str, at: int) -> int:
        return self._unpack(self._data, form, at)

    def _place(self, field: int) -> int:
        slot = 4 + 2 * field
        offset = self._read("H", self._fields + slot) if slot < self._read("H", self._fields) else 0
        return self._at + offset if offset else 0

    def number(self, field: int, form: str) -> int:
        """A number, in the letters of `struct`; 0 where it is left out."""
        place = self._place(field)
        return self._read(form, place) if place else 0

    def table(self, field: int) -> "Table | None":
        """A table within this one."""
        place = self._place(field)
        return Table(self._data, place + self._read("I", place)) if place else None

    def _vector(self, field: int, form: str) -> list[tuple[int, ...]]:
        place = self._place(field)
        if not place:
            return []
        start = place + self._read("I", place)
        count, width = self._read("I", start), struct.calcsize("<" + form)
        if start + 4 + count * width > len(self._data):
            raise pa.ArrowInvalid("damaged metadata of a message")
        return list(struct.iter_unpack("<" + form, self._data[start + 4 : start + 4 + count * width]))

    def pairs(self, field: int) -> list[tuple[int, ...]]:
        """Offsets and lengths of buffers."""
        return self._vector(field, "qq")

    def blocks(self, field: int) -> list[tuple[int, ...]]:
        """Offsets, and lengths of metadata and body."""
        return self._vector(field, "qi4xq")

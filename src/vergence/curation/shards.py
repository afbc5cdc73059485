"""Edits captions, or turns them back, in tar shards: a caption's member is replaced, every other copied as it is."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from vergence.curation.notation import Notation
from vergence.curation.scanning import ESCAPED, PLAIN, object_places
from vergence.curation.textual import Backwards, Batch, by_caption
from vergence.sources.streams import Stream, members, split_name

_BLOCK = 1 << 22
_HELD = 1 << 25  # bytes of a shard that wait for their captions
_HEADER = 512


def change_tar(kind: str, stream: Stream, target: Any, columns: Any, record: Any) -> None:
    """Copy a shard with its captions edited by a recorder, or turned back by `Backwards`.

    A caption is the field that the column names, such as `txt`, or else a key of the field `json`.
    """
    del kind
    shard = _Shard(stream, target, columns, record)
    for member in members(shard, limit=shard.limit):
        shard.take(member)
    shard.finish()


class _Shard:
    """A stream of a shard that remembers what was read, and writes it on, captions changed."""

    def __init__(self, stream: Stream, target: Any, columns: Any, record: Any) -> None:
        self._stream, self._target, self._record = stream, target, record
        self._field = "txt" if columns.caption in ("", "caption") else columns.caption.lower()
        self._json_key = columns.caption
        self._buffer = bytearray()
        self._read = 0  # bytes so far
        self._waiting: list[tuple[bytes, Any]] = []
        self._held = 0
        self.close = stream.close

    def read(self, size: int, /) -> bytes:
        """Read on, and remember it."""
        piece = self._stream.read(size)
        self._read += len(piece)
        self._buffer += piece
        if len(self._buffer) > _HELD:  # no caption is as long
            self.flush()
            self._target.write(bytes(self._buffer))
            self._buffer.clear()
        return piece

    def limit(self, name: str) -> int:
        """The most bytes of a member that is wanted."""
        key, found = split_name(name)
        return (1 << 20) if key and found in (self._field, "json") else -1

    def take(self, member: Any) -> None:
        """Take a member: with its headers and padding it is what was read since the last one."""
        raw = bytes(self._buffer)
        self._buffer.clear()
        key, found = split_name(member.name)
        place = None
        content = member.content
        offset = member.offset - (self._read - len(raw))
        plain = (
            content is not None and member.is_file and offset >= _HEADER and b" size=" not in raw[: offset - _HEADER]
        )
        if plain and key and found == self._field:
            text = content.rstrip(b"\r\n")
            place = (offset, 0, len(text), PLAIN, len(content), member.number, key)
        elif plain and key and found == "json" and self._field != "txt":
            row = np.zeros(6, np.int64)
            data = np.frombuffer(content, dtype=np.uint8)
            object_places(data, 0, len(data), np.frombuffer(self._json_key.encode(), np.uint8), data[:0], row)
            if row[2] & (PLAIN | ESCAPED):
                place = (offset, int(row[0]), int(row[1]), int(row[2]), len(content), member.number, key)
        self._waiting.append((raw, place))
        self._held += len(raw)
        if self._held > _HELD:
            self.flush()

    def finish(self) -> None:
        """Write what is left."""
        self.flush()
        while self.read(_BLOCK):
            pass
        self._target.write(bytes(self._buffer))

    def flush(self) -> None:
        """Edit the captions that wait, and write everything that does."""
        wanted = [(n, raw, place) for n, (raw, place) in enumerate(self._waiting) if place is not None]
        changed: dict[int, bytes] = {}
        if isinstance(self._record, Backwards):
            for n, raw, place in wanted:
                old = self._restored(raw, place)
                if old is not None:
                    changed[n] = old
        elif wanted:
            self._edit(wanted, changed)
        for n, (raw, _) in enumerate(self._waiting):
            self._target.write(changed.get(n, raw))
        self._waiting, self._held = [], 0

    def _edit(self, wanted: Sequence[tuple[int, bytes, Any]], changed: dict[int, bytes]) -> None:
        texts, kept = [], []
        self._record.tally.counts["rows"] += len(wanted)
        for n, raw, place in wanted:
            offset, first, last, *_ = place
            text = _notation(place).text(raw[offset + first : offset + last])
            if text is None or last - first > self._record.max_bytes:
                self._record.tally.counts["unusable"] += 1
                continue
            texts.append(text)
            kept.append((n, raw, place))
        numbers = np.array([place[5] for _, _, place in kept], dtype=np.int64)
        keys = pa.array([place[6] for _, _, place in kept], pa.large_string())
        edited, pool, put_down = self._record.edit(Batch(pa.array(texts, pa.large_string()), keys, numbers))
        raws: dict[int, bytes] = {}
        for at, own in by_caption(edited.edits, edited.points, edited, pool):
            n, raw, place = kept[at]
            offset, first, last, _, size, *_ = place
            notation = _notation(place)
            content = raw[offset : offset + size]
            old = content[first:last]
            new = notation.changed(old, own)
            changed[n] = _resized(raw, offset, size, content[:first] + new + content[last:])
            again = notation.turned_back(new, own)
            whole = _resized(
                changed[n], offset, len(content) - len(old) + len(new), content[:first] + again + content[last:]
            )
            if whole != raw:
                raws[at] = raw
        put_down(raws)

    def _restored(self, raw: bytes, place: Any) -> bytes | None:
        offset, first, last, _, size, number, _ = place
        content = raw[offset : offset + size]
        old = self._record.original(number, content[first:last], _notation(place))
        if old is None or self._record.has_raw(number):
            return bytes(old) if old is not None else None
        return _resized(raw, offset, size, content[:first] + old + content[last:])


def _notation(place: Any) -> Notation:
    """Of a member: a caption that does not begin with it is in JSON."""
    return Notation("json" if place[1] else "plain")


def _resized(raw: bytes, offset: int, size: int, content: bytes) -> bytes:
    """A member with other content: its header's size and checksum follow."""
    header = bytearray(raw[offset - _HEADER : offset])
    padded = -(-size // _HEADER) * _HEADER
    if len(content) != size:
        header[124:136] = b"%011o\0" % len(content)
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
    padding = bytes(-len(content) % _HEADER) if len(content) != size else raw[offset + size : offset + padded]
    return raw[: offset - _HEADER] + bytes(header) + content + padding + raw[offset + padded :]

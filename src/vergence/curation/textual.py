"""Edits captions, or turns them back, in streams of text: a record is found, its caption's bytes replaced."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from io import StringIO
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Int64

from vergence.corpus.matching import text_buffers
from vergence.corpus.measures import ill_formed
from vergence.curation.notation import Edit, Notation
from vergence.curation.scanning import ESCAPED, NULL, PLAIN, QUOTED, csv_places, line_places
from vergence.curation.splices import gather
from vergence.errors import CorpusError, unknown
from vergence.sources.streams import Stream

_BLOCK = 1 << 22
_MOST_RECORD = 1 << 28
_MARKS = (b"\xff\xfe", b"\xfe\xff")
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, eq=False)
class Batch:
    """Captions, their keys, and their rows in the file."""

    captions: pa.Array
    keys: pa.Array
    numbers: Int64[np.ndarray, " captions"]


@dataclass(eq=False)
class Backwards:
    """Edits of a file by row, to be turned back.

    Args:
        table: Rows of `edits.parquet` of the file.
    """

    table: pa.Table
    _edits: dict[int, list[Edit]] = field(init=False)
    _raws: dict[int, bytes] = field(init=False)

    def __post_init__(self) -> None:
        self._edits, self._raws = {}, {}
        columns = [self.table[name].to_pylist() for name in ("row", "start", "end", "old", "new", "raw")]
        for row, start, end, old, new, raw in zip(*columns, strict=True):
            self._edits.setdefault(row, []).append((start, end, old, new))
            if raw is not None:
                self._raws[row] = raw

    def original(self, row: int, raw: bytes, notation: Notation) -> bytes | None:
        """The bytes that a caption had; `None` if it was not edited."""
        if row in self._raws:
            return self._raws[row]
        return notation.turned_back(raw, self._edits[row]) if row in self._edits else None

    def has_raw(self, row: int) -> bool:
        """Whether the original bytes of the whole field were kept."""
        return row in self._raws


def change_text(kind: str, stream: Stream, target: Any, columns: Any, record: Any) -> None:
    """Copy a text file with its captions edited by a recorder, or turned back by `Backwards`.

    Raises:
        CorpusError: If it lacks a column, or is not UTF-8.
    """
    scan = _Scan(kind, columns)
    number = 0
    for block in scan.blocks(stream, target):
        places = scan.places
        numbers = np.arange(number, number + len(places)) + scan.first
        number += len(places)
        if isinstance(record, Backwards):
            target.write(_turned_back(block, places, numbers, scan.notation, record))
        else:
            target.write(_edited(block, places, numbers, scan, record))


class _Scan:
    """Finds records, block by block."""

    def __init__(self, kind: str, columns: Any) -> None:
        self.kind, self.columns = kind, columns
        self.notation = Notation({"jsonl": "json", "text": "plain"}.get(kind, "csv" if kind == "csv" else "plain"))
        self.first = 1
        self.places = np.empty((0, 6), np.int64)
        self.delimiter = columns.delimiter or ("\t" if kind == "tsv" else ",")
        self._fields = (-1, -1, 0)  # of the caption, of the key, how many

    @property
    def nothing(self) -> bytes:
        """A caption that is null."""
        return b"null" if self.kind == "jsonl" else b'""' if self._fields[2] == 1 else b""

    @property
    def quoting(self) -> bool:
        return self.kind == "csv" and self.delimiter != "\t"

    def blocks(self, stream: Stream, target: Any) -> Iterator[bytes]:
        """Blocks of whole records, `places` being set for each; what is before the first is written."""
        rest, begun, final = b"", False, False
        while not final:
            piece = stream.read(_BLOCK)
            final = not piece
            rest += piece
            if not begun:
                if rest.startswith(_MARKS):
                    raise CorpusError("text in UTF-16 or UTF-32 is not edited; save it as UTF-8")
                if len(rest) < _BLOCK and not final:
                    continue
                begun = True
                if rest.startswith(_BOM):
                    target.write(_BOM)
                    rest = rest[3:]
                rest = self._begin(rest, target)
            self.places, used = self._scan(np.frombuffer(rest, dtype=np.uint8), final)
            if used:
                yield rest[:used]
            rest = rest[used:]
            if len(rest) > _MOST_RECORD:
                raise CorpusError(f"a record of more than {_MOST_RECORD:,} bytes; nothing was edited")

    def _scan(self, data: np.ndarray, final: bool) -> tuple[np.ndarray, int]:
        if self.kind in ("csv", "tsv"):
            return csv_places(data, ord(self.delimiter), self.quoting, *self._fields, final)  # type: ignore[no-any-return]
        names = ("", "") if self.kind == "text" else (self.columns.caption, self.columns.key)
        caption, key = (np.frombuffer(name.encode(), dtype=np.uint8) for name in names)
        return line_places(data, caption, key, final)  # type: ignore[no-any-return]

    def _begin(self, data: bytes, target: Any) -> bytes:
        """Read the names of columns; returns what follows them."""
        if self.kind not in ("csv", "tsv") or not data:
            return data
        if b"\n" not in data and b"\r" in data:
            raise CorpusError("lines that end with \\r alone are not edited; save the table with \\n")
        head, end = self._first_record(data)
        names = head if self.columns.header else list(map(str, range(1, len(head) + 1)))
        found = []
        for name in (self.columns.caption, self.columns.key):
            if name and names.count(name) != 1:
                raise CorpusError(unknown("column", name, names))
            found.append(names.index(name) if name else -1)
        self._fields = (found[0], found[1], len(names))
        if not self.columns.header:
            return data
        target.write(data[:end])
        return data[end:]

    def _first_record(self, data: bytes) -> tuple[list[str], int]:
        """The fields of the first record, and where the next begins."""
        end, quoted = 0, False
        while end < len(data) and (quoted or data[end] != 10):
            quoted ^= self.quoting and data[end] == 34
            end += 1
        line = data[:end].removesuffix(b"\r").decode(errors="replace")
        quoting: Any = csv.QUOTE_MINIMAL if self.quoting else csv.QUOTE_NONE
        fields = next(csv.reader(StringIO(line, newline=""), delimiter=self.delimiter, quoting=quoting), [])
        return [field.strip() for field in fields], min(end + 1, len(data))


def _edited(block: bytes, places: np.ndarray, numbers: np.ndarray, scan: _Scan, record: Any) -> bytes:
    """A block with its captions edited; what did not follow from the edits is put down with them."""
    rows, column = _usable(block, places, scan.notation, record)
    keys = _keys(block, places[rows, 3:], scan, numbers[rows])
    edited, texts, put_down = record.edit(Batch(column, keys, numbers[rows]))
    gone = set(edited.edits[edited.edits[:, 4] == 0, 0].tolist())
    pieces, reached, raws = [], 0, {}
    for place, own in by_caption(edited.edits, edited.points, edited, texts):
        first, last, kind = places[rows[place], :3].tolist()
        quotes = int(kind & QUOTED > 0 or (scan.kind == "jsonl" and place in gone))
        if place in gone:
            new, follows = scan.nothing, False
            first, last = first - quotes, last + quotes
        else:
            new, follows = _spelled(block[first:last], own, kind, scan)
        if not follows:  # the whole field, with its quotes
            raws[place] = block[first:last] if place in gone else block[first - quotes : last + quotes]
        pieces += [block[reached:first], new]
        reached = last
    put_down(raws)
    return b"".join([*pieces, block[reached:]])


def _usable(block: bytes, places: np.ndarray, notation: Notation, record: Any) -> tuple[np.ndarray, pa.Array]:
    """Which records have captions that can be used, and these; counts the others."""
    state, length = places[:, 2], places[:, 1] - places[:, 0]
    null = state & NULL > 0
    rows = np.flatnonzero((state & (PLAIN | ESCAPED) > 0) & (length <= record.max_bytes))
    captions = _texts(block, places[rows, :3], notation)
    if isinstance(captions, list):
        kept = np.array([text is not None for text in captions], dtype=np.bool_)
        column = pa.array([text for text in captions if text is not None], pa.large_string())
    else:
        kept = ~ill_formed(*_buffers(captions))
        column = captions if kept.all() else captions.filter(pa.array(kept))
    record.tally.counts.update(rows=len(places), null=int(null.sum()), unusable=int((~null).sum() - kept.sum()))
    return rows[kept], column


def _spelled(raw: bytes, edits: list[Edit], kind: int, scan: _Scan) -> tuple[bytes, bool]:
    """A field after its edits, and whether its bytes before follow from them."""
    if scan.notation.kind == "json" or kind & QUOTED:
        new = scan.notation.changed(raw, edits)
        return new, scan.notation.turned_back(new, edits) == raw
    plain = Notation("plain")
    new = plain.changed(raw, edits)
    special = (scan.delimiter.encode(), b'"', b"\n", b"\r") if scan.kind in ("csv", "tsv") else (b"\n", b"\r")
    if new and not any(sign in new and sign not in raw for sign in special):
        return new, plain.turned_back(new, edits) == raw
    if not scan.quoting:
        raise CorpusError("a template puts a tab or a line end into a form that cannot hold them")
    return b'"' + new.replace(b'"', b'""') + b'"', False


def _turned_back(block: bytes, places: np.ndarray, numbers: np.ndarray, notation: Notation, back: Backwards) -> bytes:
    pieces, reached = [], 0
    for (first, last, kind), row in zip(places[:, :3].tolist(), numbers.tolist(), strict=True):
        own = notation if kind & ESCAPED or notation.kind == "json" or kind & QUOTED else Notation("plain")
        old = back.original(row, block[first:last], own)
        if old is None:
            continue
        quotes = int(back.has_raw(row) and kind & QUOTED > 0)
        pieces += [block[reached : first - quotes], old]
        reached = last + quotes
    return b"".join([*pieces, block[reached:]])


def _needs_quotes(raw: bytes, delimiter: str) -> bool:
    return any(sign in raw for sign in (delimiter.encode(), b'"', b"\n", b"\r"))


def _texts(block: bytes, places: np.ndarray, notation: Notation) -> pa.Array | list[str | None]:
    """Captions; a list, with `None` for what is no text, where bytes stand for others."""
    if not (places[:, 2] & ESCAPED).any():
        offsets, out = gather(places[:, 0], places[:, 1], np.frombuffer(block, dtype=np.uint8))
        return pa.Array.from_buffers(pa.large_string(), len(places), [None, pa.py_buffer(offsets), pa.py_buffer(out)])
    plain = Notation("plain")
    return [(notation if state & ESCAPED else plain).text(block[first:last]) for first, last, state in places.tolist()]


def _keys(block: bytes, places: np.ndarray, scan: _Scan, numbers: np.ndarray) -> pa.Array:
    if not scan.columns.key or scan.kind == "text":
        return pa.array(numbers).cast(pa.large_string())
    found = _texts(block, places, scan.notation)
    keys = pa.array(found, pa.large_string()) if isinstance(found, list) else found
    if (places[:, 2] & (PLAIN | ESCAPED) == 0).any() or ill_formed(*_buffers(keys)).any():
        good = (places[:, 2] & (PLAIN | ESCAPED) > 0) & ~ill_formed(*_buffers(keys))
        texts = keys.view(pa.large_binary()).to_pylist()
        keys = pa.array(
            [t.decode() if ok and t is not None else None for t, ok in zip(texts, good, strict=True)], pa.large_string()
        )
    return keys


def _buffers(array: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    return text_buffers(array.fill_null("") if array.null_count else array)


def by_caption(
    edits: np.ndarray, points: np.ndarray, edited: Any, texts: Sequence[str]
) -> Iterator[tuple[int, list[Edit]]]:
    """For each edited caption its place in the batch, and its edits."""
    own: list[Edit] = []
    rows = edits.tolist()
    for n, ((row, first, last, text, *_), (start, end)) in enumerate(zip(rows, points.tolist(), strict=True)):
        own.append((start, end, bytes(edited.data[first:last]).decode(), texts[text]))
        if n + 1 == len(rows) or rows[n + 1][0] != row:
            yield row, own
            own = []

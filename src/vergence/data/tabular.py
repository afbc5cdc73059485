"""Pairs of CSV and TSV files and of JSON lines: a row is an image and its captions."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from vergence.data.rows import Chosen, Columns, Finder, Row, Stored, captions_in, choose, key_of, wrong_with
from vergence.errors import CorpusError
from vergence.sources.encodings import Peeked, Recoded, Unlined, has_mac_lines
from vergence.sources.problems import KINDS, short
from vergence.sources.scanning import JSON
from vergence.sources.streams import BLOCK, STREAM_ERRORS, BrokenStreamError, Stream, lines, open_stream
from vergence.sources.tables import csv_columns

_EXAMPLES = 20  # rows by which a column is known where its name says nothing
_MOST = 1 << 26  # bytes of a record
_SIGNS = ",;\t|"


@dataclass(frozen=True)
class Taker:
    """Takes pairs out of the records of a file.

    Args:
        chosen: Its columns.
        finder: Finds images by their paths.
        folders: Which paths are relative to, the first first.
    """

    chosen: Chosen
    finder: Finder
    folders: Sequence[Path]

    def pairs(self, place: str, record: Mapping[str, Any], *, cell: tuple[str, int] | None = None) -> Iterator[Row]:
        """The pairs of one record: one for each of its captions, all of one image.

        Args:
            place: What to call the record.
            record: By column.
            cell: File and row of the record, if the bytes of its image can be read there again.
        """
        chosen = self.chosen
        key = key_of(record.get(chosen.key)) if chosen.key else None
        cluster = record.get(chosen.cluster) if chosen.cluster else None
        try:
            captions = list(captions_in(record.get(chosen.caption)))
        except CorpusError as error:
            yield Row(place, key=key, cluster=cluster, reason=str(error))
            return
        image, name, reason = None, None, None
        try:
            image, name = self._image(record.get(chosen.image), cell)
        except CorpusError as error:
            reason = str(error)
        for text in captions:
            yield Row(place, image, text or "", key or name, cluster, wrong_with(text) or reason)

    def _image(self, value: Any, cell: tuple[str, int] | None) -> tuple[Stored, str | None]:
        """Where an image is, and what its path calls it."""
        if isinstance(value, dict):
            given = value.get("path") or value.get("file_name") or value.get("filename")
            name = given.decode() if isinstance(given, bytes) else given
            return (self._image(value["bytes"], cell)[0], name) if value.get("bytes") else self._image(name, cell)
        if isinstance(value, list) and len(value) == 1:
            return self._image(value[0], cell)
        if value is None or value in ("", b"", []):
            raise CorpusError("no image")
        if isinstance(value, bytes):
            return self.finder.aside(value, sha256(value).digest()[:16], cell=cell), None
        if not isinstance(value, str):
            raise CorpusError(f"image is {type(value).__name__}, neither a path nor bytes")
        return self.finder.path(value, self.folders), value


def table_columns(file: Path, columns: Columns) -> tuple[Chosen, str]:
    """The columns of a CSV or TSV file, and what is between its fields.

    Raises:
        CorpusError: If it is no such file, or lacks a column.
    """
    try:
        with closing(open_stream(file)) as stream:
            head = Peeked(Recoded(stream), BLOCK).head
    except STREAM_ERRORS as error:
        raise CorpusError(f"{file} cannot be read: {short(error)}") from error
    if not head.strip():
        raise CorpusError(f"{file} is empty")
    if b"\0" in head.partition(b"\n")[0]:
        raise CorpusError(f"{file} is no text: it holds NUL bytes")
    text = head.decode("utf-8", "replace").removeprefix("\ufeff")
    separator = text[4] if text.startswith("sep=") and len(text) > 4 else ""
    text = text.partition("\n")[2] if separator else text
    first = text.partition("\n")[0]
    usual = "\t" if file.name.lower().removesuffix(".gz").removesuffix(".zst").endswith(".tsv") else ","
    sign = separator or (usual if usual in first else max(_SIGNS, key=first.count))
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=sign, strict=False)
    try:
        header, *some = islice((row for row in rows if row), 1 + _EXAMPLES)
    except (csv.Error, ValueError) as error:
        raise CorpusError(f"{file} holds no header with the names of its columns") from error
    names = [name.strip() for name in header]
    examples = {name: [row[k] for row in some if len(row) == len(names)] for k, name in enumerate(names)}
    try:
        return choose(columns, names, examples), sign
    except CorpusError as error:
        raise CorpusError(f"{file}: {error}") from error


def table_rows(file: Path, columns: Columns, finder: Finder, folders: Sequence[Path]) -> Iterator[Row]:
    """The pairs of a CSV or TSV file."""
    chosen, sign = table_columns(file, columns)
    taker = Taker(chosen, finder, folders)
    bad: list[Row] = []

    def add(kind: str, *, unit: str, numbers: Sequence[int], detail: str = "") -> None:
        said = KINDS[kind] + (f": {detail}" if detail else "")
        bad.extend(Row(f"{unit} {number} of {file}", reason=said) for number in numbers)

    def read(stream: Stream) -> Iterator[Row]:
        start = Peeked(Recoded(stream))
        if start.head.startswith(b"sep="):
            start.skip(start.head.index(b"\n") + 1)
        lined = Unlined(start) if sign == "\t" or has_mac_lines(start) else start
        found = csv_columns(lined, names=chosen.names, delimiter=sign, limit=_MOST, add=add)
        while block := list(islice(found, len(chosen.names))):
            values = [_texts(column) for column, _ in block]
            for number, *fields in zip(block[0][1].tolist(), *values, strict=True):
                yield from taker.pairs(f"record {number} of {file}", dict(zip(chosen.names, fields, strict=True)))

    try:
        with closing(open_stream(file)) as stream:
            yield from read(stream)
    except (BrokenStreamError, *STREAM_ERRORS) as error:
        bad.append(Row(str(file), reason=f"the rest of the file cannot be read: {short(error)}"))
    yield from bad


def _texts(column: pa.Array) -> list[str | bytes | None]:
    try:
        texts: list[str | bytes | None] = column.cast(pa.string()).to_pylist()
    except pa.ArrowException:
        texts = [decoded(value) for value in column.to_pylist()]
    return texts


def decoded(value: bytes | None) -> str | bytes | None:
    """Bytes as text where they are UTF-8; other bytes as they are, to be refused where they are a caption."""
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return value


def line_rows(file: Path, columns: Columns, finder: Finder, folders: Sequence[Path]) -> Iterator[Row]:
    """The pairs of JSON lines, each an object."""
    found = _json_lines(file)
    first = list(islice(found, _EXAMPLES))
    records = [record for _, record in first if isinstance(record, dict)]
    taker = Taker(_chosen(file, columns, records), finder, folders)
    for number, record in (*first, *found):
        if isinstance(record, dict):
            yield from taker.pairs(f"line {number} of {file}", record)
        else:
            yield Row(f"line {number} of {file}", reason=record)


def line_columns(file: Path, columns: Columns) -> Chosen:
    """The columns of JSON lines, by the first of them.

    Raises:
        CorpusError: If they are none, or lack a column.
    """
    return _chosen(file, columns, [r for _, r in islice(_json_lines(file), _EXAMPLES) if isinstance(r, dict)])


def _chosen(file: Path, columns: Columns, records: Sequence[Mapping[str, Any]]) -> Chosen:
    if not records:
        raise CorpusError(f"{file} holds no JSON object in its first lines")
    return record_columns(columns, records, where=file)


def record_columns(columns: Columns, records: Sequence[Mapping[str, Any]], *, where: object) -> Chosen:
    """The columns of records, by some of them.

    Raises:
        CorpusError: If one is missing.
    """
    names = list(dict.fromkeys(name for record in records for name in record))
    try:
        return choose(columns, names, {name: [record.get(name) for record in records] for name in names})
    except CorpusError as error:
        raise CorpusError(f"{where}: {error}") from error


def _json_lines(file: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Objects, or why a line is none, with their numbers from 1."""
    number = 0
    try:
        with closing(open_stream(file)) as stream:
            for block in lines(Unlined(Recoded(stream)), limit=_MOST):
                for line in block:
                    number += 1
                    if line is None or line.strip():
                        yield number, _parsed(line)
    except (BrokenStreamError, *STREAM_ERRORS) as error:
        yield number + 1, f"the rest of the file cannot be read: {short(error)}"


def _parsed(line: bytes | None) -> dict[str, Any] | str:
    if line is None:
        return f"longer than {_MOST:,} bytes"
    try:
        value = JSON.decode(line.decode())
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        return f"malformed JSON: {short(error)}"
    return value if isinstance(value, dict) else f"{type(value).__name__}, not a JSON object"

"""Tables of text: where records end, in time that grows with their bytes."""

import io
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vergence.corpus.lexicon_files import parse_csv
from vergence.errors import CorpusError
from vergence.sources import tables


class Dribble(io.BytesIO):
    """A stream that gives at most a few bytes at a time."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(size if size and size > 0 else 7, 7))


def columns(
    data: bytes, *, names: tuple[str, ...] = ("caption",), limit: int = 1 << 20, stream: type[io.BytesIO] = io.BytesIO
) -> tuple[list[bytes | None], list[tuple[str, list[int]]]]:
    problems: list[tuple[str, list[int]]] = []

    def add(kind: str, *, numbers: list[int], unit: str = "", detail: str = "") -> None:
        problems.append((kind, numbers))

    found = tables.csv_columns(stream(data), names=names, delimiter=",", limit=limit, add=add)
    return [value for array, _ in found for value in array.to_pylist()], problems


def slow_record_end(data: bytes, start: int, *, delimiter: bytes) -> tuple[int, int]:
    """Where the record ends that begins at `start`, -1 if it does not, and its number of fields."""
    opening, quoted, fields = True, False, 1
    for i in range(start, len(data)):
        if quoted:
            quoted, opening = data[i : i + 1] != b'"', True
        elif data[i : i + 1] == b"\n":
            return i, fields
        elif data[i : i + 1] == b'"' and delimiter == b"," and opening:
            quoted = True
        else:
            opening = data[i : i + 1] == delimiter
            fields += opening
    return -1, fields


def slow_records(data: bytes, limit: int, *, delimiter: bytes) -> list[tuple[int, bytes | str]]:
    """Each record with its number, or what is wrong with it; the whole text is looked at again from each line on."""
    if data and not data.endswith(b"\n"):
        data += b"\n"
    found: list[tuple[int, bytes | str]] = []
    number = start = width = 0
    while start < len(data):
        end, fields = slow_record_end(data, start, delimiter=delimiter)
        if end < 0:
            found.append((number, "malformed"))
            end = data.index(b"\n", start)
        else:
            record = data[start:end].removesuffix(b"\r")
            if record:
                width = width or (0 if len(record) > limit else fields)
                wrong = "too_long" if len(record) > limit else "malformed" if fields != width else ""
                found.append((number, wrong or record))
            number -= not record
        number += 1
        start = end + 1
    return found


@settings(deadline=None, max_examples=300)
@given(text=st.text(alphabet='a,\t"\n', max_size=60), limit=st.integers(1, 80), delimiter=st.sampled_from(",\t"))
def test_records_end_where_a_second_look_from_each_line_on_says(text: str, limit: int, delimiter: str) -> None:
    data = text.encode()
    found: list[tuple[int, bytes | str]] = []

    def add(kind: str, *, numbers: list[int], unit: str = "", detail: str = "") -> None:
        found.extend((number, kind) for number in numbers)

    for numbers, records in tables._records(io.BytesIO(data), delimiter, limit, add):
        found += zip(numbers.tolist(), records, strict=True)
    assert sorted(found, key=lambda entry: entry[0]) == slow_records(data, limit, delimiter=delimiter.encode())


@settings(deadline=None, max_examples=50)
@given(rows=st.lists(st.text(alphabet='ab,"\n é', min_size=1, max_size=10), max_size=20))
def test_what_a_stream_gives_at_a_time_changes_nothing(rows: list[str]) -> None:
    quoted = ["caption", *('"' + row.replace('"', '""') + '"' for row in rows)]
    data = "\n".join(quoted).encode()
    assert columns(data) == columns(data, stream=Dribble) == ([row.encode() for row in rows], [])


HOSTILE = {
    "quotes that open and close across lines": b',"b"x,"\n',
    "a quote that is never closed": b'"x\n',
    "quotes after quotes": b'""""\n"""\n',
    "carriage returns": b"a\rb\n",
    "wrong number of fields": b"a,b,c,d,e\n",
    "empty fields": b",\n",
    "zero bytes": b"\0\n",
}


def work(monkeypatch: pytest.MonkeyPatch, data: bytes) -> int:
    """How many bytes are looked at, and parsed, to read a table; each parse costs as much as a kilobyte besides."""
    spent = 0

    def counted(data: np.ndarray, *rest: object) -> object:
        nonlocal spent
        spent += len(data)
        return states(data, *rest)

    def parsed(records: list[bytes], *rest: object, **header: bool) -> object:
        nonlocal spent
        spent += sum(map(len, records)) + 1024
        return read(records, *rest, **header)

    states, read = tables.line_states, tables._read
    with monkeypatch.context() as patch:
        patch.setattr(tables, "line_states", counted)
        patch.setattr(tables, "_read", parsed)
        columns(b"caption,other\n" + data, limit=1 << 14)
    return spent


@pytest.mark.parametrize("name", HOSTILE)
def test_work_grows_with_the_bytes_of_a_table(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(tables, "BLOCK", 1 << 14)
    line = HOSTILE[name]
    size = 1 << 15
    assert work(monkeypatch, line * (size // len(line))) < 8 * size + (1 << 16)
    assert work(monkeypatch, line * (4 * size // len(line))) < 8 * 4 * size + (1 << 16)


def test_lines_that_nothing_ends_are_given_up_one_by_one() -> None:
    found, problems = columns(b"caption,other\n" + b',"b"x,"\n' * 1000 + b"last,1\n", limit=1 << 12)
    assert found[-1] == b"last"
    assert {kind for kind, _ in problems} == {"malformed"}
    assert sum(len(numbers) for _, numbers in problems) + len(found) == 1001


def test_a_header_longer_than_a_field_of_the_csv_module_is_a_header() -> None:
    name = "c" * 200_000
    assert columns(f'"{name}",caption\n1,dog\n'.encode())[0] == [b"dog"]
    assert columns(f"{name}\n1\n".encode(), names=(name,))[0] == [b"1"]


def test_a_header_may_be_quoted_or_marked() -> None:
    assert columns(b'\xef\xbb\xbf"caption","a ""b"""\r\ndog,1\r\n')[0] == [b"dog"]
    assert columns(b'\xef\xbb\xbf"a,b",caption\n1,dog\n')[0] == [b"dog"]
    assert columns(b'"a ""b"""\ndog\n', names=('a "b"',))[0] == [b"dog"]
    assert columns(b"01,1.50\ndog,cat\n", names=("01", "1.50"))[0] == [b"dog", b"cat"]


def test_a_header_of_a_million_columns_is_named_and_costs_no_more() -> None:
    found, problems = columns(b",".join([b"c"] * 1_000_000) + b"\n", limit=1 << 22)
    assert (found, problems) == ([], [("malformed", [0])])


def test_a_carriage_return_within_a_record_costs_that_record_alone() -> None:
    data = b'caption\none\ntw\ro\n"thr\ree"\nfour\r\n'
    assert columns(data) == ([b"one", b"thr\ree", b"four"], [("malformed", [2])])


def test_what_comes_before_a_failure_of_the_stream_is_read() -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            found = super().read(8)
            if not found:
                raise OSError("gone")
            return found

    def captions() -> Iterator[bytes]:
        found = tables.csv_columns(
            Failing(b"caption\none\ntwo\nthr"), names=("caption",), delimiter=",", limit=99, add=lambda *_, **__: None
        )
        for array, _ in found:
            yield from array.to_pylist()

    rows = captions()
    assert [next(rows), next(rows)] == [b"one", b"two"]
    with pytest.raises(tables.BrokenStreamError, match="gone"):
        next(rows)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x" * 200_000 + ",group\n", r"lex\.csv:1: not valid CSV: field larger than field limit"),
        ("group,concept,form\na,b," + "x" * 200_000, r"lex\.csv:2: not valid CSV: field larger"),
        ('group,concept,form\na,b,"c', r"lex\.csv:2: not valid CSV: unexpected end of data"),
        ('gr"oup",concept,"for"m\na,b,c\n', r"lex\.csv:1: not valid CSV: ',' expected after"),
        ("group,concept,form,form\na,b,c,d\n", r"lex\.csv:1: two columns are called 'form'"),
        ("", r"lex\.csv:1: a lexicon in CSV needs the columns group, concept, form"),
    ],
)
def test_a_lexicon_that_is_not_csv_is_refused_with_its_line(text: str, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        parse_csv(text, where="lex.csv")

"""Text in every encoding of Unicode and with every end of lines; what is no text is said to be none."""

import codecs
import json
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.corpus.common import compress, read

from vergence.sources.encodings import Recoded, Unlined, utf8

TEXTS = ["a dog", "ein süßer Kater", "猫 🐱"]
MARKS = {
    "utf-8": codecs.BOM_UTF8,
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE,
    "utf-32-le": codecs.BOM_UTF32_LE,
    "utf-32-be": codecs.BOM_UTF32_BE,
}
FILES = {
    "a.txt": "\n".join(TEXTS),
    "a.csv": "id,caption\r\n" + "".join(f'1,"{text}"\r\n' for text in TEXTS),
    "a.tsv": "caption\tid\n" + "".join(f"{text}\t1\n" for text in TEXTS),
    "a.jsonl": "\n".join(json.dumps({"caption": text}, ensure_ascii=False) for text in TEXTS),
    "a.json": json.dumps(TEXTS, ensure_ascii=False),
}


@pytest.mark.parametrize("encoding", MARKS)
@pytest.mark.parametrize("name", FILES)
def test_text_is_read_in_the_encoding_of_its_mark(tmp_path: Path, name: str, encoding: str) -> None:
    for suffix in ("", ".gz", ".zst"):
        texts, problems = read(compress(MARKS[encoding] + FILES[name].encode(encoding), tmp_path / f"{name}{suffix}"))
        assert texts == TEXTS
        assert problems.counts == {}


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le"])
@pytest.mark.parametrize("name", FILES)
def test_text_full_of_nul_is_no_text(tmp_path: Path, name: str, encoding: str) -> None:
    (tmp_path / name).write_bytes(FILES[name].encode(encoding))
    texts, problems = read(tmp_path / name)
    assert texts == []
    assert set(problems.counts) == {"not_text"}


def test_a_single_nul_costs_its_line_alone(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"one\nt\0wo\nthree")
    (tmp_path / "a.csv").write_bytes(b"caption\none\nt\0wo\nthree\n")
    for name, unit, number in (("a.txt", "line", 2), ("a.csv", "record", 2)):
        texts, problems = read(tmp_path / name)
        assert texts == ["one", "three"]
        (place,) = problems.examples["not_text"]
        assert (place.unit, place.number) == (unit, number)


def test_broken_utf_16_costs_the_caption_it_stands_in(tmp_path: Path) -> None:
    lone = "one\nt\ud800wo\nthree".encode("utf-16-le", "surrogatepass")
    (tmp_path / "a.txt").write_bytes(codecs.BOM_UTF16_LE + lone)
    texts, problems = read(tmp_path / "a.txt")
    assert (texts, problems.counts) == (["one", "three"], {"broken_utf8": 1})
    (tmp_path / "a.txt").write_bytes(codecs.BOM_UTF16_LE + "one\ntwo\n".encode("utf-16-le") + b"x")
    texts, problems = read(tmp_path / "a.txt")
    assert (texts, problems.counts) == (["one", "two"], {"unreadable": 1})


def test_every_end_of_lines_ends_a_line_and_no_other_sign_does(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("one\rtwo\r\nthree\nfour\u2028 five\x0b\x85six\r".encode())
    assert read(tmp_path / "a.txt")[0] == ["one", "two", "three", "four\u2028 five\x0b\x85six"]
    (tmp_path / "a.csv").write_bytes(b'id,caption\r1,"a, dog"\r2,a cat\r')
    assert read(tmp_path / "a.csv")[0] == ["a, dog", "a cat"]
    (tmp_path / "a.tsv").write_bytes(b"id\tcaption\r1\ta dog\r")
    assert read(tmp_path / "a.tsv")[0] == ["a dog"]
    (tmp_path / "a.jsonl").write_bytes(b'{"caption": "a dog"}\r{"caption": "a cat"}\r')
    assert read(tmp_path / "a.jsonl")[0] == ["a dog", "a cat"]
    (tmp_path / "b.csv").write_bytes(b'id,caption\r\n1,"two\rlines"\r\n')
    assert read(tmp_path / "b.csv")[0] == ["two\rlines"]


class Trickle(BytesIO):
    """A stream that gives a few bytes at a time."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(size or 0, 3))


def drained(stream) -> bytes:
    pieces = []
    while piece := stream.read(1 << 20):
        pieces.append(piece)
    return b"".join(pieces)


@given(text=st.text(), encoding=st.sampled_from(sorted(MARKS)))
def test_streams_and_whole_texts_decode_alike(text: str, encoding: str) -> None:
    data = MARKS[encoding] + text.encode(encoding)
    assert utf8(data) == text.encode()
    assert drained(Recoded(Trickle(data))) == text.encode()


@given(text=st.text(alphabet="a\r\n"))
def test_ends_of_lines_across_pieces_are_those_of_the_whole(text: str) -> None:
    assert drained(Unlined(Trickle(text.encode()))) == text.replace("\r\n", "\n").replace("\r", "\n").encode()

"""Tar shards: what a sample is, which of its fields are captions, and that nothing else is."""

import io
import tarfile
from pathlib import Path

import pytest
from tests.corpus.common import read, tar

from vergence.errors import CorpusError


def shard(folder: Path, *entries: tuple[str, bytes], **options) -> Path:
    path = folder / "a.tar"
    path.write_bytes(tar(list(entries), **options))
    return path


def test_only_the_field_itself_is_a_caption_not_one_that_ends_like_it(tmp_path: Path) -> None:
    path = shard(tmp_path, ("0.url.txt", b"http://dog"), ("0.json", b'{"caption": "a cat"}'), ("0.jpg", b""))
    texts, problems = read(path)
    assert texts == ["a cat"]
    assert problems.counts == {}
    assert problems.fields == {"url.txt": 1, "json": 1, "jpg": 1}
    assert read(path, columns=("url.txt",))[0] == ["http://dog"]
    path = shard(tmp_path, ("0.meta.json", b'{"caption": "wrong", "a": {"b": "right"}}'), ("0.jpg", b""))
    texts, problems = read(path)
    assert (texts, problems.counts) == ([], {"null": 1})
    assert read(path, columns=("meta.json.a.b",))[0] == ["right"]


def test_a_field_or_a_key_can_be_named(tmp_path: Path) -> None:
    path = shard(
        tmp_path,
        ("0.caption", b"member\n"), ("0.json", b'{"caption": "key", "alt": ["x", "y"], "m": {"t": "deep"}}'),
        ("1.json", b'{"caption": "key"}'), ("1.txt", b"txt"),
    )  # fmt: skip
    assert read(path, columns=("caption",))[0] == ["member", "key"]
    assert read(path, columns=("json.caption",))[0] == ["key", "key"]
    texts, problems = read(path, columns=("txt", "alt", "m.t"))
    assert texts == ["x", "y", "deep", "txt"]
    assert problems.counts == {"null": 3}


@pytest.mark.parametrize(
    "hidden", ["._0.txt", "a/._1.txt", "__MACOSX/0.txt", ".DS_Store", ".git/2.txt", "__info__.txt"]
)
def test_hidden_and_foreign_members_are_no_samples(tmp_path: Path, hidden: str) -> None:
    texts, problems = read(shard(tmp_path, ("0.txt", b"a dog"), (hidden, b"\0\5a dog"), ("README", b"a dog")))
    assert texts == ["a dog"]
    assert problems.counts == {}
    assert problems.passed_over == {"members of no sample": 2}


def test_folders_tell_samples_apart_and_a_leading_dot_folder_does_not(tmp_path: Path) -> None:
    texts, problems = read(shard(tmp_path, ("a/0.txt", b"one"), ("b/0.txt", b"two"), ("./c/1.TXT", b"three")))
    assert texts == ["one", "two", "three"]
    assert problems.counts == {}
    assert problems.fields == {"txt": 3}


def test_members_of_a_sample_may_lie_apart(tmp_path: Path) -> None:
    pictures = [(f"{k}.jpg", b"") for k in range(5)]
    texts, problems = read(shard(tmp_path, *pictures, *((f"{k}.txt", b"caption %d" % k) for k in range(4))))
    assert texts == [f"caption {k}" for k in range(4)]
    assert problems.counts == {"null": 1}
    assert problems.examples["null"][0].number == 5


def test_a_caption_is_not_counted_twice_when_its_sample_comes_in_pieces(tmp_path: Path) -> None:
    path = shard(tmp_path, ("0.json", b'{"caption": "from json"}'), ("1.txt", b"other"), ("0.txt", b"from txt"))
    texts, problems = read(path)
    assert texts == ["from json", "other"]
    assert problems.counts == {"malformed": 1}
    assert "lies apart from the member" in problems.examples["malformed"][0].detail
    texts, problems = read(shard(tmp_path, ("0.txt", b"txt"), ("1.txt", b"other"), ("0.json", b'{"caption": "json"}')))
    assert (texts, problems.counts) == (["txt", "other"], {})


def test_a_field_that_comes_twice_is_counted(tmp_path: Path) -> None:
    texts, problems = read(shard(tmp_path, ("0.txt", b"first"), ("0.TXT", b"second"), ("1.txt", b"x"), ("0.txt", b"y")))
    assert texts == ["first", "x"]
    assert problems.counts == {"malformed": 2}
    assert problems.examples["malformed"][0].detail == "the sample has its field 'txt' already"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
def test_members_are_read_in_the_encoding_of_their_mark(tmp_path: Path, encoding: str) -> None:
    entries = ("0.txt", "ein süßer Kater\r\n".encode(encoding)), ("1.json", '{"caption": "猫"}'.encode(encoding))
    assert read(shard(tmp_path, *entries))[0] == ["ein süßer Kater", "猫"]


def test_members_that_are_no_text_are_counted(tmp_path: Path) -> None:
    entries = (
        ("0.txt", "a dog".encode("utf-16-le")), ("1.txt", b"\xff\xfea"), ("2.txt", b"\xff caption"), ("3.json", b"[1]"),
        ("4.json", b"{"), ("5.json", b'{"caption": "x", "caption": "y"}'), ("6.txt", b"x" * 300), ("7.json", b"\xff"),
        ("8.json", b'{"caption": {"en": "x"}}'), ("9.txt", b""),
    )  # fmt: skip
    texts, problems = read(shard(tmp_path, *entries), max_caption_bytes=200)
    assert texts == [""]
    assert problems.counts == {"not_text": 1, "broken_utf8": 3, "malformed": 4, "too_long": 1}


def test_a_second_archive_in_the_same_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(tar([("0.txt", b"one")]) + tar([("1.txt", b"two")]))
    assert read(path)[0] == ["one", "two"]


@pytest.mark.parametrize(
    ("kind", "pax", "detail"),
    [
        (tarfile.SYMTYPE, {}, "a link, not a file"),
        (tarfile.CHRTYPE, {}, "a link, not a file"),
        (tarfile.REGTYPE, {"GNU.sparse.major": "1", "GNU.sparse.name": "0.txt"}, "a sparse file"),
    ],
)
def test_members_that_hold_no_plain_content_are_counted(tmp_path: Path, kind: bytes, pax: dict, detail: str) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("GNUSparseFile.1/0.txt" if pax else "0.txt")
        info.type, info.linkname, info.pax_headers = kind, "x", pax
        archive.addfile(info, io.BytesIO(b""))
        archive.addfile(tarfile.TarInfo("1.txt"), io.BytesIO(b""))
    (tmp_path / "a.tar").write_bytes(buffer.getvalue())
    texts, problems = read(tmp_path / "a.tar")
    assert texts == [""]
    assert problems.counts == {"malformed": 1}
    assert problems.examples["malformed"][0].detail == detail


def test_an_archive_of_endless_field_names_is_counted_in_bounded_space(tmp_path: Path) -> None:
    _, problems = read(shard(tmp_path, *((f"0.f{k}{'x' * 70}", b"") for k in range(400))))
    assert len(problems.fields) == 201
    assert problems.fields.total() == 400
    assert all(len(name) <= 60 for name in problems.fields)


def test_strict_names_the_member(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"a\.tar, member 2: .*the sample has its field 'txt' already"):
        read(shard(tmp_path, ("0.txt", b"first"), ("0.txt", b"second")), strict=True)

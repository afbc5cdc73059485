"""Finding files: links, spellings, what cannot be listed, and what lies beside a corpus."""

import os
import socket
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.corpus.common import read

from vergence.corpus import audit, concepts_146
from vergence.corpus.readers import ReadOptions, read_captions
from vergence.errors import CorpusError
from vergence.sources.discovery import plan
from vergence.sources.problems import Problems


def parquet(path: Path, *texts: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"caption": texts or (path.stem,)}), path)
    return path


def test_links_to_folders_are_followed_and_cycles_end(tmp_path: Path) -> None:
    parquet(tmp_path / "real" / "a.parquet")
    parquet(tmp_path / "far" / "deep" / "b.parquet")
    (tmp_path / "real" / "link").symlink_to(tmp_path / "far")
    (tmp_path / "real" / "up").symlink_to(tmp_path / "real")
    (tmp_path / "far" / "back").symlink_to(tmp_path / "real")
    texts, problems = read(tmp_path / "real")
    assert sorted(texts) == ["a", "b"]
    assert problems.counts == {}


def test_a_file_counts_once_whatever_it_is_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = parquet(tmp_path / "sub" / "a.parquet")
    (tmp_path / "soft.parquet").symlink_to(file)
    os.link(file, tmp_path / "hard.parquet")
    monkeypatch.chdir(tmp_path)
    names = ["sub/a.parquet", "./sub/a.parquet", "sub/../sub/a.parquet", file, "soft.parquet", "hard.parquet", "sub"]
    texts, problems = read(*map(Path, names))
    assert texts == ["a"]
    assert problems.passed_over["same file again"] == 4
    assert len(plan("sub/a.parquet")) == 1


def test_a_folder_that_cannot_be_listed_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parquet(tmp_path / "a.parquet")
    parquet(tmp_path / "locked" / "b.parquet")
    list_ = os.scandir

    def refuse(path):
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return list_(path)

    monkeypatch.setattr(os, "scandir", refuse)
    for corpus in (tmp_path, tmp_path / "**.parquet", tmp_path / "*"):
        texts, problems = read(corpus)
        assert texts == ["a"]
        assert problems.counts == {"unreadable": 1}
        assert problems.examples["unreadable"][0].file == str(tmp_path / "locked")
        with pytest.raises(CorpusError, match=r"locked: .*Permission denied"):
            read(corpus, strict=True)
    with pytest.raises(CorpusError, match=r"locked: .*Permission denied"):
        plan([tmp_path])  # in the library too, where nobody receives it
    coverage = audit([tmp_path], concepts_146())
    assert coverage.problems.counts == {"unreadable": 1}


def test_links_to_nothing_pipes_and_sockets_are_counted_and_do_not_hang(tmp_path: Path) -> None:
    parquet(tmp_path / "a.parquet")
    (tmp_path / "gone.parquet").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe.parquet")
    texts, problems = read(tmp_path)
    assert (texts, problems.counts) == (["a"], {"unreadable": 2})
    with pytest.raises(CorpusError, match="is a pipe, socket or device"):
        plan([tmp_path / "pipe.parquet"])
    with pytest.raises(CorpusError, match="no such file or folder"):
        plan([tmp_path / "gone.parquet"])
    with pytest.raises(CorpusError, match="is a pipe, socket or device"):
        plan(["/dev/null"])
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s.txt"))
        with pytest.raises(CorpusError, match="is a pipe, socket or device"):
            plan([tmp_path / "s.txt"])


def test_a_file_that_vanishes_while_others_are_read_is_counted(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a.txt", "b.parquet", "c.csv", "d.jsonl", "e.tar", "f.arrow", "g.json")]
    for file in files:
        file.write_text("x" * 600)
    parts = plan(files)
    for file in files:
        file.unlink()
    problems = Problems()
    assert [list(read_captions(part, ReadOptions(), problems)) for part in parts] == [[]] * 7
    assert problems.counts == {"unreadable": 7}


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("**.parquet", ["a", "b", "c"]),
        ("**/*.parquet", ["a", "b", "c"]),
        ("x/**.parquet", ["b", "c"]),
        ("x/**", ["b", "c"]),
        ("x/*/c.parquet", ["c"]),
        ("*/?.parquet", ["b"]),
        ("[x]/[bc].*", ["b"]),
        ("x/./y/../*.parquet", ["b"]),
    ],
)
def test_globs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pattern: str, found: list[str]) -> None:
    for name in ("a", "x/b", "x/y/c", "x/.hidden/d"):
        parquet(tmp_path / f"{name}.parquet")
    (tmp_path / "x" / "notes.md").write_text("")
    monkeypatch.chdir(tmp_path)
    assert sorted(read(Path(pattern))[0]) == found
    assert sorted(read(tmp_path / pattern)[0]) == found


def test_names_with_brackets_that_exist_are_taken_as_they_are(tmp_path: Path) -> None:
    parquet(tmp_path / "a [1]" / "b[2].parquet", "right")
    parquet(tmp_path / "a 1" / "b2.parquet", "wrong")
    assert read(tmp_path / "a [1]" / "b[2].parquet")[0] == ["right"]
    assert read(tmp_path / "a [1]" / "*.parquet")[0] == ["right"]
    assert read(tmp_path / "a [1]")[0] == ["right"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "the name of a file or folder is empty"),
        ("a\0b", "null byte"),
        ("x" * 5000, "File name too long"),
        ("*.md", "matches no file of a known format"),
        ("**/*.csv", "nothing matches"),
        ("a.txt/b", "no such file or folder"),
        ("empty", "no file of a known format"),
        ("a.jsonl.xz", "unknown format '.xz'"),
    ],
)
def test_names_that_lead_nowhere_are_one_line(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "n.md").write_text("")
    (tmp_path / "a.txt").write_text("")
    (tmp_path / "a.jsonl.xz").write_text("")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CorpusError, match=message) as caught:
        plan([f"{tmp_path}/{name}" if name else ""])
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 800


def test_what_lies_beside_a_corpus_is_said(tmp_path: Path) -> None:
    for k in range(3):
        (tmp_path / f"{k}.txt").write_text(f"caption {k}\nanother\n")
        (tmp_path / f"{k}.JPG").write_bytes(b"")
    (tmp_path / "3.json").write_text("{}")
    (tmp_path / ".hidden").write_text("")
    (tmp_path / "_SUCCESS").write_text("")
    (tmp_path / "LICENSE").write_text("")
    texts, problems = read(tmp_path)
    assert texts == [text for k in range(3) for text in (f"caption {k}", "another")]
    assert problems.counts == {}
    assert problems.passed_over == {".jpg": 3, ".json": 1, "hidden": 2, "no suffix": 1}


def test_data_packed_in_an_unknown_way_is_counted(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"caption": "x"}')
    for suffix in (".xz", ".bz2", ".zip"):
        (tmp_path / f"b.jsonl{suffix}").write_text("")
    assert read(tmp_path)[1].counts == {"unreadable": 3}


def test_many_small_files_share_parts_and_read_as_they_would_alone(tmp_path: Path) -> None:
    for k in range(1100):
        (tmp_path / f"{k:04}.txt").write_text(f"caption {k}")
    (tmp_path / "0500.txt").write_bytes(b"\xff")
    parts = plan([tmp_path])
    assert len(parts) == 275
    texts, problems = read(tmp_path)
    assert texts == [f"caption {k}" for k in range(1100) if k != 500]
    assert problems.examples["broken_utf8"][0].file == str(tmp_path / "0500.txt")


def test_changed_files_of_a_shared_part_are_counted_again(tmp_path: Path) -> None:
    for k in range(600):
        (tmp_path / "c").mkdir(exist_ok=True)
        (tmp_path / "c" / f"{k:03}.txt").write_text("a dog")
    assert audit([tmp_path / "c"], concepts_146(), out=tmp_path / "out").captions == 600
    file = tmp_path / "c" / "001.txt"
    file.write_text("dogs!")
    os.utime(file, ns=(0, file.stat().st_mtime_ns + 10**9))
    again = audit([tmp_path / "c"], concepts_146(), out=tmp_path / "out").table().query("concept == 'dog'")
    assert again["captions"].item() == 599

"""Reading corpora: every format, and everything that can be wrong with a file."""

import gzip
import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pv
import pyarrow.parquet as pq
import pytest
from tests.corpus.common import compress, read, tar

from vergence.corpus.readers import ReadOptions
from vergence.errors import ConfigError, CorpusError
from vergence.sources.discovery import plan

GOOD = ["a dog", "ein süßer Kater", "", 'two\nlines, "quoted"', "猫 🐱"]
BROKEN = b"broken \xff\xfe caption"


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.binary(), pa.dictionary(pa.int32(), pa.string()), pa.string_view()]
)
def test_parquet_of_every_text_type(tmp_path: Path, kind: pa.DataType) -> None:
    column = pa.array([*GOOD, None]).cast(pa.string())
    column = column.dictionary_encode() if pa.types.is_dictionary(kind) else column.cast(kind)
    pq.write_table(pa.table({"caption": column}), tmp_path / "a.parquet")
    texts, problems = read(tmp_path / "a.parquet")
    assert texts == GOOD
    assert problems.counts == {"null": 1}
    assert problems.examples["null"][0].number == 6


def test_several_columns_and_nested_lists(tmp_path: Path) -> None:
    table = pa.table({"a": ["x", None], "b": [[["p", "q"], ["r"]], [[], None, [None, "s"]]], "other": [1, 2]})
    pq.write_table(table, tmp_path / "a.parquet")
    texts, problems = read(tmp_path / "a.parquet", columns=("a", "b"))
    assert sorted(texts) == ["p", "q", "r", "s", "x"]
    assert problems.counts == {"null": 3}
    assert {place.number for place in problems.examples["null"]} == {2}


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_text_formats_and_their_compressed_forms(tmp_path: Path, suffix: str) -> None:
    records = b"".join(json.dumps({"caption": text}).encode() + b"\n" for text in GOOD)
    assert read(compress(records, tmp_path / f"a.jsonl{suffix}"))[0] == GOOD
    buffer = io.BytesIO()
    pv.write_csv(pa.table({"id": range(5), "caption": GOOD}), buffer)
    assert read(compress(buffer.getvalue(), tmp_path / f"a.csv{suffix}"))[0] == GOOD
    plain = ["one", 'a "b', '"c', "four"]
    table = b"caption\tid\r\n" + b"".join(f"{text}\t1\r\n".encode() for text in plain)
    assert read(compress(table, tmp_path / f"a.tsv{suffix}"))[0] == plain
    lines = b"\xef\xbb\xbffirst\r\n\nlast"
    texts, problems = read(compress(lines, tmp_path / f"a.txt{suffix}"))
    assert texts == ["first", "last"]
    assert problems.counts == {"null": 1}


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".tar.zst", ".tgz"])
@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_tar_shards(tmp_path: Path, suffix: str, form: int) -> None:
    long = "d" * 90 + "/" + "e" * 90
    data = tar(
        [
            ("0.jpg", b"image"), ("0.json", b'{"caption": "from json", "alt": "alt"}'), ("0.txt", b"from txt\n"),
            (f"{long}.txt", b"long name"), ("a.b/1.txt", b"dotted folder"), ("2.json", b'{"caption": "only json"}'),
            ("3.jpg", b""),
        ],
        format=form,
    )  # fmt: skip
    path = compress(data, tmp_path / f"shard{suffix}")
    texts, problems = read(path)
    assert texts == ["from txt", "long name", "dotted folder", "only json"]
    assert problems.counts == {"null": 1}
    assert read(path, columns=("alt",))[0] == ["alt"]
    assert read(path, columns=("txt",))[0] == ["from txt", "long name", "dotted folder"]


def test_saved_hugging_face_folder_reads_the_listed_files_only(tmp_path: Path) -> None:
    for split in ("train", "test"):
        folder = tmp_path / "set" / split
        folder.mkdir(parents=True)
        for name in ("data-00000-of-00001.arrow", "cache-1234.arrow"):
            with (
                pa.OSFile(str(folder / name), "wb") as sink,
                pa.ipc.new_stream(sink, pa.schema([("caption", pa.string())])) as out,
            ):
                out.write_table(pa.table({"caption": [split, name]}))
        (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}))
        (folder / "dataset_info.json").write_text("{}")
    assert read(tmp_path / "set")[0] == ["test", "data-00000-of-00001.arrow", "train", "data-00000-of-00001.arrow"]


def test_globs_and_folders_find_each_file_once(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("a.parquet", "sub/b.parquet"):
        pq.write_table(pa.table({"caption": [name]}), tmp_path / name)
    (tmp_path / "README.txt").write_text("not a caption")
    assert read(tmp_path, tmp_path / "*.parquet", tmp_path / "a.parquet")[0] == ["a.parquet", "sub/b.parquet"]


def test_a_folder_with_two_forms_of_one_corpus_is_refused(tmp_path: Path) -> None:
    (tmp_path / "0.tar").write_bytes(tar([("0.txt", b"x")]))
    pq.write_table(pa.table({"caption": ["x"]}), tmp_path / "0.parquet")
    with pytest.raises(CorpusError, match="mixes parquet and tar files"):
        plan([tmp_path])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.parquet", "no such file or folder"),
        ("*.parquet", "nothing matches"),
        ("a.xyz", r"unknown format '\.xyz'"),
    ],
)
def test_paths_that_hold_nothing_are_named(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "a.xyz").write_text("x")
    with pytest.raises(CorpusError, match=message):
        plan([tmp_path / name])


def broken_files(folder: Path) -> dict[str, tuple[Path, list[str], dict[str, int]]]:
    """Hostile files with the captions that can still be read and what must be counted."""
    files: dict[str, tuple[Path, list[str], dict[str, int]]] = {}

    def add(name: str, data: bytes, texts: list[str], counts: dict[str, int]) -> None:
        path = folder / name
        path.write_bytes(data)
        files[name] = (path, texts, counts)

    add("broken.txt", b"one\n" + BROKEN + b"\nthree", ["one", "three"], {"broken_utf8": 1})
    add("long.txt", b"one\n" + b"x" * 300 + b"\nthree", ["one", "three"], {"too_long": 1})
    add("endless.txt", b"one\n" + b"x" * 3_000_000, ["one"], {"too_long": 1})
    add("empty.txt", b"", [], {"empty_file": 1})
    add("empty.parquet", b"", [], {"empty_file": 1})
    add("noise.parquet", bytes(range(256)) * 20, [], {"unreadable": 1})
    add("noise.csv.gz", b"\x1f\x8b\x08\x00" + bytes(200), [], {"unreadable": 1})
    whole = gzip.compress(b"".join(b"line %d\n" % k for k in range(50_000)))
    path = folder / "cut.txt.gz"
    path.write_bytes(whole[: len(whole) // 2])
    lines_ = b'{"caption": "ok"}\n{"caption": 3}\n[1]\n{"caption": "a\n{"other": 1}\n' + b"[" * 100_000
    add("bad.jsonl", lines_ + b'\n{"caption": "\\ud800"}\n{"caption": ["x", null, ["y"]]}\n', ["ok", "x", "y"],
        {"malformed": 4, "null": 2, "broken_utf8": 1})  # fmt: skip
    add("bad.csv", b'id,caption\n1,one\n2\n3,"three"\n4,four,five\n\n5,' + BROKEN + b'\n6,\n7,""\n8,"open\n9,nine\n',
        ["one", "three", "", "nine"], {"malformed": 3, "broken_utf8": 1, "null": 1})  # fmt: skip
    add("other.csv", b"id,text\n1,x\n", [], {"no_column": 1})
    archive = tar([(f"{k}.txt", b"caption %d" % k) for k in range(4)])
    add("cut.tar", archive[: 512 * 5 + 100], ["caption 0", "caption 1"], {"unreadable": 1})
    add(
        "damaged.tar",
        archive[: 512 * 4] + b"x" * 512 + archive[512 * 5 :],
        ["caption 0", "caption 1"],
        {"unreadable": 1},
    )
    return files


@pytest.mark.parametrize(
    "name",
    ["broken.txt", "long.txt", "endless.txt", "empty.txt", "empty.parquet", "noise.parquet", "noise.csv.gz",
     "bad.jsonl", "bad.csv", "other.csv", "cut.tar", "damaged.tar"],
)  # fmt: skip
def test_what_is_broken_is_counted_and_the_rest_is_read(tmp_path: Path, name: str) -> None:
    path, texts, counts = broken_files(tmp_path)[name]
    found, problems = read(path, max_caption_bytes=200)
    assert found == texts
    assert problems.counts == counts
    assert all(place.file == str(path) for places in problems.examples.values() for place in places)
    with pytest.raises(CorpusError, match=name.replace(".", r"\.")):
        read(path, max_caption_bytes=200, strict=True)


def test_a_truncated_gzip_gives_what_came_before(tmp_path: Path) -> None:
    broken_files(tmp_path)
    texts, problems = read(tmp_path / "cut.txt.gz")
    assert 10_000 < len(texts) < 50_000
    assert texts == [f"line {k}" for k in range(len(texts))]
    assert problems.counts == {"unreadable": 1}


def test_a_corrupt_row_group_costs_itself_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    texts = [f"caption number {k}" for k in range(3000)]
    pq.write_table(
        pa.table({"caption": texts}), path, row_group_size=1000, use_dictionary=False, write_page_checksum=True
    )
    chunk = pq.read_metadata(path).row_group(1).column(0)
    data = bytearray(path.read_bytes())
    for at in range(chunk.data_page_offset + 60, chunk.data_page_offset + chunk.total_compressed_size, 7):
        data[at] ^= 0x5A
    path.write_bytes(data)
    found, problems = read(path)
    assert found == texts[:1000] + texts[2000:]
    assert problems.counts == {"unreadable": 1}
    assert problems.examples["unreadable"][0].number == 2


def test_tar_names_and_links_are_never_followed(tmp_path: Path) -> None:
    target = tmp_path / "secret.txt"
    target.write_text("secret")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in ("../../x.txt", "/abs.txt"):
            info = tarfile.TarInfo(name)
            info.size = 3
            archive.addfile(info, io.BytesIO(b"abc"))
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
            info = tarfile.TarInfo(f"link{kind.decode()}.txt")
            info.type, info.linkname = kind, str(target)
            archive.addfile(info)
    folder = tmp_path / "corpus"
    folder.mkdir()
    (folder / "a.tar").write_bytes(buffer.getvalue())
    before = sorted(tmp_path.parent.rglob("*"))
    texts, problems = read(folder / "a.tar")
    assert texts == ["abc", "abc"]
    assert problems.counts == {"malformed": 2}
    assert sorted(tmp_path.parent.rglob("*")) == before


def test_a_tar_header_that_claims_a_huge_name_or_entry_costs_no_memory(tmp_path: Path) -> None:
    def claiming(kind: bytes, size: int) -> bytes:
        info = tarfile.TarInfo("x.txt")
        info.size, info.type = size, kind
        return info.tobuf(tarfile.GNU_FORMAT)

    good = tar([("0.txt", b"fine")])[:1024]
    for kind in (b"L", b"x", b"0"):
        path = tmp_path / "a.tar"
        path.write_bytes(good + claiming(kind, 50 * 2**30) + b"y" * 2048)
        texts, problems = read(path)
        assert texts == ["fine"]
        assert problems.counts["unreadable"] == 1


def test_parts_split_large_parquet_files_by_row_groups_without_overlap(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"caption": [str(k) for k in range(700_000)]}), path, row_group_size=100_000)
    parts = plan([path])
    assert [(part.first, part.last, part.rows) for part in parts] == [(0, 3, 300_000), (3, 6, 300_000), (6, 7, 100_000)]
    assert read(path)[0] == [str(k) for k in range(700_000)]


def test_row_numbers_count_through_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"caption": ["x"] * 70_000 + [None] + ["y"] * 10 + [None]}), path, row_group_size=70_005)
    assert [place.number for place in read(path)[1].examples["null"]] == [70_001, 70_012]


ENDLESS = """
import resource, sys
from vergence.sources.problems import Problems
from vergence.sources.discovery import plan
from vergence.corpus.readers import ReadOptions, read_captions

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

def read(path):
    problems = Problems()
    found = sum(len(captions) for part in plan([path]) for captions in read_captions(part, ReadOptions(), problems))
    return found, problems.counts

read(sys.argv[1])
before = peak()
print(*read(sys.argv[2]), (peak() - before) / 1024, sep="|")
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["endless.txt.gz", "endless.jsonl.gz", "endless.csv.gz", "endless.tar.gz"])
def test_a_line_of_a_quarter_gigabyte_costs_bounded_memory_and_counts_as_skipped(tmp_path: Path, name: str) -> None:
    small = tmp_path / f"small.{name.split('.', 1)[1]}"
    compress(tar([("0.txt", b"fine")]) if ".tar" in name else b"caption\n", small)
    start = {
        "txt": b"first\n",
        "csv": b"caption\nfirst\n",
        "jsonl": b'{"caption": "first"}\n',
        "tar": tar([("0.txt", b"first")])[:1024],
    }[name.split(".")[1]]
    if ".tar" in name:
        info = tarfile.TarInfo("1.txt")
        info.size = 2**28
        start += info.tobuf()
    zeros = gzip.compress(bytes(64 * 2**20), compresslevel=1)
    (tmp_path / name).write_bytes(gzip.compress(start) + 4 * zeros)
    done = subprocess.run(
        [sys.executable, "-c", ENDLESS, small, tmp_path / name], capture_output=True, text=True, check=True
    )
    found, counts, megabytes = done.stdout.strip().split("|")
    assert found == "1"
    assert counts == "{'too_long': 1}"
    assert float(megabytes) < 64


@pytest.mark.slow
def test_the_endless_entry_of_a_document_is_passed_over_in_bounded_memory(tmp_path: Path) -> None:
    """The document is 66 MiB long, and 64 of them are one caption."""
    (tmp_path / "small.json").write_text('["fine"]')
    with gzip.open(tmp_path / "a.json.gz", "wb", compresslevel=1) as file:
        file.write(b'{"images": [')
        file.write(b'{"id": 1}, ' * (2**21 // 11))
        file.write(b'{"id": 2}], "annotations": [{"caption": "first"}, {"caption": "')
        file.writelines(b"x" * 2**20 for _ in range(64))
        file.write(b'"}, {"caption": "last"}]}')
    command = [sys.executable, "-c", ENDLESS, tmp_path / "small.json", tmp_path / "a.json.gz"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found, counts, megabytes = done.stdout.strip().split("|")
    assert (found, counts) == ("2", "{'too_long': 1}")
    assert float(megabytes) < 64


FLICKR = "image_name| comment_number| comment\n1.jpg| 0| Two dogs .\n1.jpg| 1| A cat\n2.jpg| 4   A dog\n"


def test_tables_of_any_delimiter(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    path.write_text(FLICKR)
    _, problems = read(path)
    assert "its only column is 'image_name| comment_number| comment'; pass --delimiter '|'" in str(problems.examples)
    texts, problems = read(path, delimiter="|", columns=("comment",))
    assert [text.strip() for text in texts] == ["Two dogs .", "A cat"]
    assert problems.counts == {"malformed": 1}
    path.write_text('id;caption\n1;"a; ""dog"""\n')
    assert read(path, delimiter=";")[0] == ['a; "dog"']
    path.write_text("sep=;\nid;caption\n1;a dog\n")
    assert read(path)[0] == ["a dog"]
    path.write_text("id,text\n1,x\n")
    assert read(path)[1].examples["no_column"][0].detail == (
        "unknown column 'caption'; known: id, text; if the first row is no header, pass --no-header"
    )


def test_tables_without_a_header_have_numbered_columns(tmp_path: Path) -> None:
    (tmp_path / "cc3m.tsv").write_text("a dog\thttp://x\na cat\thttp://y\nno url\n")
    texts, problems = read(tmp_path / "cc3m.tsv", header=False, columns=("1",))
    assert texts == ["a dog", "a cat"]
    assert problems.examples["malformed"][0].number == 3
    (tmp_path / "Flickr8k.token.txt").write_text("1.jpg#0\tA dog\n1.jpg#1\tA cat\n")
    assert read(tmp_path / "Flickr8k.token.txt", delimiter="\t", header=False, columns=("2",))[0] == ["A dog", "A cat"]
    _, problems = read(tmp_path / "cc3m.tsv", header=False)
    assert problems.examples["no_column"][0].detail == "unknown column 'caption'; known: 1, 2"


def test_names_of_columns_are_stripped_and_must_be_one(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id, caption ,x\n1,a dog,2\n")
    assert read(path)[0] == ["a dog"]
    path.write_text("caption,caption\na,b\n")
    texts, problems = read(path)
    assert texts == []
    assert problems.examples["no_column"][0].detail == "2 columns are named 'caption'; rename all but one"
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], ["caption", "caption"])
    pq.write_table(table, tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet")[1].counts == {"no_column": 1}
    path.write_text(f'caption,"{"x" * 200_000}"\na,b\n')
    assert read(path)[0] == ["a"]


def test_text_lines_have_no_columns(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a dog\n")
    assert read(tmp_path / "a.txt", columns=("txt",))[0] == ["a dog"]
    texts, problems = read(tmp_path / "a.txt", columns=("caption",))
    assert texts == []
    assert problems.counts == {"no_column": 1}


STRUCTS = [
    {"sentences": [{"raw": "a"}, {"raw": "b"}], "meta": {"x": {"text": "m"}}},
    {"sentences": None, "meta": None},
    {"sentences": [{"raw": None}, None], "meta": {"x": None}},
    {"sentences": [], "meta": {"x": {"text": "n"}}},
]


@pytest.mark.parametrize("kind", ["parquet", "arrow", "jsonl", "json"])
def test_fields_of_structs_are_captions(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    table = pa.Table.from_pylist(STRUCTS)
    if kind == "parquet":
        pq.write_table(table, path, row_group_size=2)
    elif kind == "arrow":
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as out:
            out.write_table(table, max_chunksize=3)
    else:
        rows = [json.dumps(row) for row in STRUCTS]
        path.write_text("\n".join(rows) if kind == "jsonl" else f"[{','.join(rows)}]")
    texts, problems = read(path, columns=("sentences.raw",))
    assert (texts, problems.counts) == (["a", "b"], {"null": 3})
    texts, problems = read(path, columns=("meta.x.text",))
    assert (texts, problems.counts) == (["m", "n"], {"null": 2})
    _, problems = read(path, columns=("sentences.text",))
    assert "known: raw" in str(problems.examples) or "sentences.raw" in str(problems.examples)
    assert read(path, columns=("sentences",))[1].counts["malformed"] > 0


def test_a_column_whose_name_holds_a_dot_comes_before_fields(tmp_path: Path) -> None:
    rows = [{"a.b": "column", "a": {"b": "field"}}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    (tmp_path / "a.jsonl").write_text(json.dumps(rows[0]))
    assert read(tmp_path / "a.parquet", columns=("a.b",))[0] == ["column"]
    assert read(tmp_path / "a.jsonl", columns=("a.b",))[0] == ["column"]


def test_what_is_empty_and_what_is_null(tmp_path: Path) -> None:
    """An empty text that is written as one is a caption; nothing at all is a null."""
    pq.write_table(pa.table({"caption": ["", None]}), tmp_path / "a.parquet")
    (tmp_path / "a.csv").write_text('caption,id\n"",1\n,2\n')
    (tmp_path / "a.jsonl").write_text('{"caption": ""}\n{"caption": null}\n')
    (tmp_path / "a.json").write_text('["", {"caption": null}]')
    (tmp_path / "a.tar").write_bytes(tar([("0.txt", b"\n"), ("1.jpg", b"")]))
    for name in ("a.parquet", "a.csv", "a.jsonl", "a.json", "a.tar"):
        texts, problems = read(tmp_path / name)
        assert (texts, problems.counts) == ([""], {"null": 1})
    (tmp_path / "a.txt").write_text("\n")
    (tmp_path / "a.tsv").write_text("caption\tid\n\t1\n")
    for name in ("a.txt", "a.tsv"):
        texts, problems = read(tmp_path / name)
        assert (texts, problems.counts) == ([], {"null": 1})


def test_nul_in_arrow_text_is_a_character_like_others(tmp_path: Path) -> None:
    pq.write_table(pa.table({"caption": ["a\0dog"]}), tmp_path / "a.parquet")
    (tmp_path / "a.jsonl").write_text('{"caption": "a\\u0000dog"}')
    for name in ("a.parquet", "a.jsonl"):
        assert read(tmp_path / name)[0] == ["a\0dog"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"delimiter": "||"}, "delimiter must be one ASCII sign"),
        ({"delimiter": '"'}, "delimiter must be one ASCII sign"),
        ({"delimiter": "a"}, "delimiter must be one ASCII sign"),
        ({"delimiter": "；"}, "delimiter must be one ASCII sign"),
        ({"columns": ("",)}, "the name of a caption column is empty"),
        ({"max_caption_bytes": 10**30}, "max_caption_bytes must be <= 1073741824"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ReadOptions(**options)

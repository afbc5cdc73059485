"""The door to Parquet and Arrow files: what is whole is read exactly, all else costs bounded memory or is refused."""

import io
import json
import pickle
import random
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vergence.arrow import flattened, open_ipc, open_parquet, read_schema, read_table, text_lengths, written_out
from vergence.errors import CorpusError

LONG = "x" * (1 << 20)
MANY = 1 << 16


def parquet(table: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def arrow(table: pa.Table, *, stream: bool = False, compression: str | None = None) -> bytes:
    sink = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with (pa.ipc.new_stream if stream else pa.ipc.new_file)(sink, table.schema, options=options) as out:
        out.write_table(table)
    return sink.getvalue()


def repeated(value: str, times: int = MANY) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(times, np.int32)), [value])


def test_a_table_comes_back_with_the_types_of_its_file(tmp_path: Path) -> None:
    table = pa.table(
        {
            "text": ["a", None, ""],
            "list": [[1.5, 2.0], None, []],
            "fixed": pa.array([[1.0, 2.0]] * 3, pa.list_(pa.float32(), 2)),
            "kind": pa.array(["x", "y", "x"]).dictionary_encode(),
            "a.b": [True, None, False],
            "a": [{"b": 1}, {"b": 2}, None],
        }
    )
    path = tmp_path / "t.parquet"
    path.write_bytes(parquet(table, row_group_size=2))
    assert read_table(path).equals(table)
    assert read_table(path, ["a.b", "text"]).equals(table.select(["a.b", "text"]))
    assert read_table(path, ["a"]).equals(table.select(["a"]))
    assert read_schema(path).equals(table.schema)


@pytest.mark.parametrize("row_groups", [0, 1])
def test_a_table_of_no_rows_is_one(tmp_path: Path, row_groups: int) -> None:
    table = pa.table({"caption": pa.array([], pa.string()), "n": pa.array([], pa.int64())})
    with pq.ParquetWriter(tmp_path / "t.parquet", table.schema) as writer:
        for _ in range(row_groups):
            writer.write_table(table)
    assert read_table(tmp_path / "t.parquet").equals(table)


def damaged(whole: bytes) -> dict[str, tuple[bytes, str]]:
    twice = pa.Table.from_arrays([pa.array(["a"]), pa.array([1])], ["caption", "caption"])
    return {
        "empty": (b"", "no Parquet file, or the end of it is missing"),
        "cut": (whole[:-20], "no Parquet file, or the end of it is missing"),
        "encrypted": (whole[:-4] + b"PARE", "encrypted"),
        "footer": (whole[:-8] + b"\xff\xff\xff\x7fPAR1", "a footer of 2,147,483,647 bytes"),
        "text": (parquet(pa.table({"caption": pa.array([b"\xff"]).view(pa.string())})), "(?i)utf-?8"),
        "twice": (parquet(twice), "two columns are called 'caption'"),
        "other": (parquet(pa.table({"captions": ["a"]})), "unknown column 'caption'; known: captions. Did you mean"),
    }


@pytest.mark.parametrize("name", ["empty", "cut", "encrypted", "footer", "text", "twice", "other"])
def test_what_is_no_table_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    data, message = damaged(parquet(pa.table({"caption": ["a dog"]})))[name]
    path = tmp_path / "t.parquet"
    path.write_bytes(data)
    with pytest.raises(CorpusError, match=message) as raised:
        read_table(path, ["caption"])
    assert "\n" not in str(raised.value)
    assert str(path) in str(raised.value)


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="does not exist; name an existing Parquet file"):
        read_table(tmp_path / "none.parquet")
    with pytest.raises(CorpusError, match="is not a file; name a Parquet file"):
        read_schema(tmp_path)


def test_a_table_larger_than_allowed_is_refused_before_it_is_held(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    path.write_bytes(parquet(pa.table({"caption": repeated(LONG)}), store_schema=False))
    assert path.stat().st_size < 1 << 18
    with pytest.raises(CorpusError, match="takes more than 268,435,456 bytes of memory"):
        read_table(path, most_bytes=1 << 28)
    path.write_bytes(parquet(pa.table({"list": [[1.0] * 1000]})))
    with pytest.raises(CorpusError, match=r"lists that may take .* bytes; at most 1,000 are read"):
        read_table(path, most_bytes=1000)


def bombs() -> dict[str, bytes]:
    """Small files that would take gigabytes, and what is wrong with each."""
    one_list = pa.ListArray.from_arrays(pa.array([0, MANY], pa.int32()), repeated(LONG))
    view = pa.array([LONG], pa.string_view())
    views = np.tile(np.frombuffer(view.buffers()[1], np.int32), MANY)
    views_of_one = pa.Array.from_buffers(pa.string_view(), MANY, [None, pa.py_buffer(views), *view.buffers()[2:]])
    overlapping = pa.ListViewArray.from_arrays(
        pa.array(np.zeros(MANY, np.int32)), pa.array(np.full(MANY, 1000, np.int32)), pa.array(["a" * 1000] * 1000)
    )
    stream = arrow(pa.table({"caption": ["a" * 10_000] * 10}), stream=True, compression="zstd")
    at = stream.index(struct.pack("<q", 100_000))
    claim = stream[:at] + struct.pack("<q", 65 << 30) + stream[at + 8 :]
    prefixed = {"use_dictionary": False, "column_encoding": "DELTA_BYTE_ARRAY"}
    return {
        "dictionary.parquet": parquet(pa.table({"caption": repeated(LONG)}), store_schema=False),
        "list.parquet": parquet(pa.table({"caption": one_list}), store_schema=False),
        "prefixes.parquet": parquet(pa.table({"caption": [LONG] * 200}), **prefixed),
        "nulls.parquet": parquet(pa.table({"caption": pa.nulls(1 << 20, pa.string())})),
        "dictionary.arrow": arrow(pa.table({"caption": repeated(LONG)})),
        "views.arrow": arrow(pa.table({"caption": views_of_one})),
        "overlapping.arrow": arrow(pa.table({"caption": overlapping})),
        "claim.arrow": claim,
        "rows.arrow": arrow(pa.table({"caption": pa.nulls(1 << 20)})),
    }


CHILD = """
import json, resource, sys
from vergence.sources.discovery import plan
from vergence.sources.problems import Problems
from vergence.corpus.readers import ReadOptions, read_captions

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

def read(path):
    problems = Problems()
    found = sum(len(a) for part in plan([path]) for a in read_captions(part, ReadOptions(), problems))
    return found, problems.counts

read(sys.argv[1])
for path in sys.argv[2:]:
    before = peak()
    print(json.dumps([*read(path), peak() - before]), flush=True)
"""


def test_small_files_that_claim_gigabytes_cost_little_memory(tmp_path: Path) -> None:
    files = {"plain.parquet": parquet(pa.table({"caption": ["a", "b"] * MANY})), **bombs()}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    done = subprocess.run(
        [sys.executable, "-c", CHILD, *(str(tmp_path / name) for name in files)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    results = dict(zip(list(files)[1:], map(json.loads, done.stdout.splitlines()), strict=True))
    assert {name: (found, counts) for name, (found, counts, _) in results.items()} == {
        "dictionary.parquet": (0, {"too_long": MANY}),
        "list.parquet": (0, {"too_long": MANY}),
        "prefixes.parquet": (0, {"too_long": 200}),
        "nulls.parquet": (0, {"null": 1 << 20}),
        "dictionary.arrow": (0, {"too_long": MANY}),
        "views.arrow": (0, {"too_long": MANY}),
        "overlapping.arrow": (0, {"unreadable": 1}),
        "claim.arrow": (0, {"unreadable": 1}),
        "rows.arrow": (0, {"unreadable": 1}),
    }
    assert max(megabytes for _, _, megabytes in results.values()) < 256


def test_offsets_beyond_their_buffer_are_counted_not_followed(tmp_path: Path) -> None:
    whole = arrow(pa.table({"caption": ["abcdefgh", "ijkl"]}))
    at = whole.index(struct.pack("<iii", 0, 8, 12))
    path = tmp_path / "a.arrow"
    path.write_bytes(whole[: at + 8] + struct.pack("<i", 1 << 30) + whole[at + 12 :])
    with open_ipc(path) as file, pytest.raises(pa.ArrowInvalid, match=r"(?i)offset"):
        list(file.batches(["caption"]))


def test_an_arrow_file_without_its_end_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "a.arrow"
    path.write_bytes(arrow(pa.table({"caption": ["a", "b"]}))[:-12])
    with open_ipc(path) as file:
        assert [batch.to_pydict() for batch in file.batches(["caption"])] == [{"caption": [b"a", b"b"]}]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
def test_arrow_files_give_texts_as_bytes_whatever_holds_them(
    tmp_path: Path, *, stream: bool, compression: str | None
) -> None:
    texts = ["a dog", None, "", "猫" * 30]
    columns = {
        "plain": pa.array(texts), "large": pa.array(texts, pa.large_string()),
        "view": pa.array(texts, pa.string_view()), "coded": pa.array(texts).dictionary_encode(),
        "list": pa.array([texts, None, [], ["x"]]),
    }  # fmt: skip
    path = tmp_path / "a.arrow"
    path.write_bytes(arrow(pa.table(columns), stream=stream, compression=compression))
    encoded = [None if text is None else text.encode() for text in texts]
    with open_ipc(path) as file:
        (batch,) = file.batches(list(columns))
    assert [batch[name].to_pylist() for name in ("plain", "large", "view", "coded")] == [encoded] * 4
    assert batch["list"].to_pylist() == [encoded, None, [], [b"x"]]


def test_lists_of_a_size_of_zero_hold_nothing_and_of_a_size_below_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.arrow"
    data = arrow(pa.table({"list": pa.array([["ab"] * 7] * 3, pa.list_(pa.string(), 7))}))
    width = struct.pack("<i", 7)
    assert data.count(width) == 2  # in the schema at the beginning and in the footer
    path.write_bytes(data.replace(width, struct.pack("<i", 0)))
    with open_ipc(path) as file:
        assert [flattened(batch["list"])[0].to_pylist() for batch in file.batches(["list"])] == [[]]
    path.write_bytes(data.replace(width, struct.pack("<i", -7)))
    with open_ipc(path) as file, pytest.raises(pa.ArrowInvalid, match="lists of a size of -7"):
        list(file.batches(["list"]))


@pytest.mark.parametrize("codec", ["none", "snappy", "gzip", "brotli", "lz4", "zstd"])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_every_codec_and_version_of_page_is_read_in_batches(tmp_path: Path, codec: str, version: str) -> None:
    texts = [f"caption {k % 700} " + "long " * (k % 300) for k in range(2000)]
    table = pa.table({"caption": texts, "list": [[text, text] for text in texts]})
    path = tmp_path / "a.parquet"
    path.write_bytes(parquet(table, compression=codec, data_page_version=version, row_group_size=900))
    with open_parquet(path) as file:
        batches = [batch for group in range(3) for batch in file.batches(group, ["list", "caption"])]
    assert pa.Table.from_batches(batches).equals(table.select(["list", "caption"]))


leaf = st.none() | st.text(alphabet="abé", max_size=3)
NESTED = {
    "list": (pa.list_(pa.string()), st.lists(leaf, max_size=3)),
    "large": (pa.large_list(pa.large_string()), st.lists(leaf, max_size=3)),
    "fixed": (pa.list_(pa.string(), 2), st.lists(leaf, min_size=2, max_size=2)),
    "view": (pa.list_view(pa.string()), st.lists(leaf, max_size=3)),
    "deep": (pa.list_(pa.large_list(pa.string())), st.lists(st.none() | st.lists(leaf, max_size=3), max_size=3)),
    "deep fixed": (pa.list_(pa.list_(pa.string()), 2), st.lists(st.none() | st.lists(leaf), min_size=2, max_size=2)),
    "coded": (pa.list_(pa.dictionary(pa.int8(), pa.string())), st.lists(leaf, max_size=3)),
    "views": (pa.list_(pa.string_view()), st.lists(leaf, max_size=3)),
    "plain view": (pa.string_view(), leaf),
}


def slow_leaves(value: object) -> list[object]:
    """The entries of a row: a list that is null is one null."""
    return [entry for inner in value for entry in slow_leaves(inner)] if isinstance(value, list) else [value]


@pytest.mark.parametrize("name", NESTED)
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_lists_are_flattened_as_a_loop_over_rows_would(name: str, data: st.DataObject) -> None:
    kind, row = NESTED[name]
    rows = data.draw(st.lists(st.none() | row, max_size=6))
    start = data.draw(st.integers(0, len(rows)))
    leaves, parents = flattened(pa.array(rows, kind).slice(start))
    written = [value for _, piece in written_out(leaves) for value in piece.to_pylist()]
    expected = [(n, value) for n, entry in enumerate(rows[start:]) for value in slow_leaves(entry)]
    assert [v.decode() if isinstance(v, bytes) else v for v in written] == [value for _, value in expected]
    assert (list(range(len(leaves))) if parents is None else parents.tolist()) == [n for n, _ in expected]
    lengths = text_lengths(leaves)
    if lengths is not None:
        assert lengths.tolist() == [len((value or "").encode()) for _, value in expected]


def test_texts_that_are_repeated_are_written_out_in_pieces() -> None:
    pieces = [(start, len(piece)) for start, piece in written_out(repeated(LONG, 100))]
    assert sum(n for _, n in pieces) == 100
    assert max(n for _, n in pieces) <= 17
    assert [start for start, _ in pieces] == np.cumsum([0, *(n for _, n in pieces)])[:-1].tolist()


def test_what_stands_in_the_place_of_a_null_view_is_not_followed() -> None:
    views = np.array([[1 << 30, 7, 1 << 20, 1 << 30], [2, 0x6968, 0, 0]], np.int32)
    column = pa.Array.from_buffers(pa.string_view(), 2, [pa.py_buffer(b"\2"), pa.py_buffer(views)])
    column.validate(full=True)
    leaves, _ = flattened(column)
    assert [piece.to_pylist() for _, piece in written_out(leaves)] == [[None, b"hi"]]
    lengths = text_lengths(leaves)
    assert lengths is not None
    assert lengths.tolist() == [0, 2]


def mutated(data: bytes, generator: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(generator.choice([1, 1, 2, 4])):
        at = generator.randrange(len(changed))
        kind = generator.randrange(5)
        if kind == 0:
            changed[at] ^= 1 << generator.randrange(8)
        elif kind == 1:
            changed[at] = generator.choice([0, 1, 127, 128, 255])
        elif kind == 2:
            changed[at : at + 4] = generator.choice([b"\xff\xff\xff\x7f", b"\xff" * 4, b"\0\0\0\x80", b"\0\0\0\x40"])
        elif kind == 3:
            del changed[at : at + generator.randrange(1, 9)]
        else:
            other = generator.randrange(len(changed))
            changed[at : at + 16] = changed[other : other + 16]
    return bytes(changed)


FUZZ = """
import pickle, resource, sys
from pathlib import Path
from vergence.arrow import read_table
from vergence.sources.discovery import plan
from vergence.sources.problems import Problems
from vergence.corpus.readers import ReadOptions, read_captions
from vergence.errors import CorpusError

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

folder, before = Path(sys.argv[1]), 0
for number, (suffix, data) in enumerate(pickle.load(sys.stdin.buffer)):
    path = folder / f"a.{suffix}"
    path.write_bytes(data)
    print(number, file=sys.stderr, flush=True)
    problems = Problems()
    for part in plan([path]):
        for captions in read_captions(part, ReadOptions(columns=("caption", "list", "coded", "view")), problems):
            pass
    if suffix == "parquet":
        try:
            read_table(path, most_bytes=1 << 28)
        except CorpusError as error:
            assert len(str(error).splitlines()) == 1
    before = before or peak()
print(peak() - before)
"""


def test_damaged_files_are_refused_or_counted_and_never_end_the_interpreter(tmp_path: Path) -> None:
    texts = ["a dog", None, "", "long " * 20] * 30
    table = pa.table(
        {
            "caption": texts,
            "list": pa.array([["a", None], None, []] * 40),
            "coded": pa.array(texts).dictionary_encode(),
            "view": pa.array(texts, pa.string_view()),
        }
    )
    plain = table.drop_columns(["coded", "view"])
    options = {"data_page_size": 300, "row_group_size": 60}
    whole = [("arrow", arrow(table, stream=stream, compression=c)) for stream in (False, True) for c in (None, "zstd")]
    for encoding in ("PLAIN", "DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY"):
        whole.append(("parquet", parquet(plain, use_dictionary=False, column_encoding=encoding, **options)))
    whole += [("parquet", parquet(table, data_page_version=version, **options)) for version in ("1.0", "2.0")]
    generator = random.Random(0)
    files = whole + [(kind, mutated(data, generator)) for _ in range(60) for kind, data in whole]
    command = [sys.executable, "-c", FUZZ, str(tmp_path)]
    done = subprocess.run(command, check=False, input=pickle.dumps(files), capture_output=True)
    last = done.stderr.decode().splitlines()
    assert done.returncode == 0, last[-20:]
    assert float(done.stdout) < 512

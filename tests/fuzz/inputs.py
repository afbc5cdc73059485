"""Small whole files of every format that is read, and what chance does to them."""

import io
import json
import tarfile
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from hypothesis import strategies as st
from PIL import Image
from safetensors.numpy import save

CAPTIONS = ["a dog on grass", "two cats", None, "", "red café", "hot dog"]
LABELS = {"animal": ["dog", "cat", None, "dog", "cat", "dog"], "size": [0, 1, 2, None, 1, 0]}
LEXICON = """name: pets
negation: [no]
groups:
  - name: animal
    concepts:
      dog: {forms: [dog, puppy], exclude: [hot dog]}
      cat: [cat, cats]
"""
CONFIG = """seed: 1
data: {items: 8, side: 8, validation: 0.25}
encoder: {dim: 4, image: {kind: conv}}
objective:
  contrast: {loss: info_nce, settings: {temperature: 0.2}, learn: [temperature]}
train: {epochs: 1, batch_size: 4}
"""


def parquet(table: pa.Table, **options: object) -> bytes:
    """A Parquet file."""
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def arrow(table: pa.Table) -> bytes:
    """An Arrow file."""
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def tar(members: Mapping[str, bytes]) -> bytes:
    """An archive."""
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return sink.getvalue()


def picture(mode: str = "RGB", form: str = "PNG") -> bytes:
    """An image of four pixels."""
    sink = io.BytesIO()
    Image.new(mode, (2, 2)).save(sink, form)
    return sink.getvalue()


def array(values: np.ndarray) -> bytes:
    """A `.npy` file."""
    sink = io.BytesIO()
    np.save(sink, values)
    return sink.getvalue()


_NUMBERS = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
_TABLE = pa.table(
    {
        "key": pa.array([str(k) for k in range(6)]),
        "caption": pa.array(CAPTIONS),
        "captions": pa.array([["a dog", None], [], None, ["cat"], ["x"], ["y", "z"]]),
        "said": pa.array([{"raw": caption} for caption in CAPTIONS]),
        "embedding": pa.array(_NUMBERS.tolist(), pa.list_(pa.float32())),
        "image": pa.array([picture()] * 5 + [b"not an image"]),
        **{name: pa.array(values) for name, values in LABELS.items()},
    }
)
_LINES = [json.dumps({"caption": caption}) for caption in CAPTIONS]
_COCO = {"images": [{"id": 1}], "annotations": [{"image_id": 1, "id": k, "caption": c} for k, c in enumerate(CAPTIONS)]}

FILES: Mapping[str, tuple[bytes, ...]] = MappingProxyType(
    {
        ".parquet": (parquet(_TABLE), parquet(_TABLE, use_dictionary=False, compression="zstd"), parquet(_TABLE[:0])),
        ".arrow": (arrow(_TABLE),),
        ".csv": (pd.DataFrame({"key": range(6), "caption": CAPTIONS, **LABELS}).to_csv(index=False).encode(),),
        ".tsv": (b"caption\tkey\na dog\t1\n\t2\n",),
        ".jsonl": ("\n".join(_LINES).encode(), "\n".join(_LINES).encode("utf-16")),
        ".json": (json.dumps(_COCO).encode(), json.dumps(CAPTIONS).encode(), b'{"animal": {"dog": {"dog": 1}}}'),
        ".txt": ("\n".join(caption or "" for caption in CAPTIONS).encode(), "a dog\r\ncat".encode("utf-16-le")),
        ".tar": (tar({"0.txt": b"a dog", "0.json": b'{"caption": "cat"}', "0.jpg": picture(), "._0.txt": b"\0"}),),
        ".npy": (array(_NUMBERS), array(_NUMBERS.astype(np.float64).T), array(np.arange(3))),
        ".safetensors": (save({"embedding": _NUMBERS, "id": np.arange(6)}),),
        ".yaml": (LEXICON.encode(), CONFIG.encode()),
        ".png": (picture(), picture("L"), picture("P"), picture("I;16")),
    }
)


def _edit(data: bytes, edits: list[tuple[str, int, bytes]]) -> bytes:
    for kind, place, piece in edits:
        at = place % (len(data) + 1)
        if kind == "flip" and data:
            at %= len(data)
            data = data[:at] + bytes([data[at] ^ (piece[:1] or b"\xff")[0]]) + data[at + 1 :]
        elif kind == "cut":
            data = data[:at]
        elif kind == "drop":
            data = data[:at] + data[at + len(piece) :]
        elif kind == "put":
            data = data[:at] + piece + data[at:]
        elif kind == "write":
            data = data[:at] + piece + data[at + len(piece) :]
        else:
            data = data[:at] + data[at : at + 64] * 3 + data[at:]
    return data


_PIECES = st.one_of(
    st.binary(min_size=1, max_size=8),
    st.sampled_from(
        [b"\0", b'"', b"\n", b"\xff\xfe", b"\xed\xa0\x80", b"[" * 200, b"&a [*a]", b"\x1b[2J", b"NaN", b"1e999"]
    ),
    st.integers(-(2**31), 2**31 - 1).map(lambda n: n.to_bytes(4, "little", signed=True)),
)
_EDITS = st.lists(
    st.tuples(st.sampled_from(["flip", "cut", "drop", "put", "write", "repeat"]), st.integers(0, 2**16), _PIECES),
    max_size=6,
)


def files(*suffixes: str) -> st.SearchStrategy[tuple[str, bytes]]:
    """A suffix and the content of a file: a whole one with a few edits, or anything at all under that name."""
    whole = st.sampled_from([(suffix, data) for suffix in suffixes for data in FILES[suffix]])
    edited = st.builds(lambda file, edits: (file[0], _edit(file[1], edits)), whole, _EDITS)
    return st.one_of(edited, st.tuples(st.sampled_from(suffixes), st.binary(max_size=200)))


TEXTS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["dog", "caption", "key", "1", "-1", "1e5", "nan", "99999999999999999999999", "[blond]", "\x1b[2J", "\ud800"]
    ),
)
PLAIN: st.SearchStrategy[object] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)),
    max_leaves=12,
)


def _drawn(shape: list[int], kind: str, seed: int, scale: float) -> np.ndarray:
    with np.errstate(all="ignore"):
        return (np.random.default_rng(seed).normal(size=shape) * scale).astype(kind)


ARRAYS: st.SearchStrategy[object] = st.one_of(
    st.builds(
        _drawn,
        st.lists(st.integers(0, 6), max_size=3),
        st.sampled_from(["float32", "float64", "float16", "int64", "bool", "complex64", "U3", "object", ">f8"]),
        st.integers(0, 99),
        st.sampled_from([1.0, 0.0, 1e-30, 1e30, np.nan, np.inf]),
    ),
    st.lists(st.lists(st.one_of(st.integers(), st.floats()), max_size=3), max_size=3),
    PLAIN,
)

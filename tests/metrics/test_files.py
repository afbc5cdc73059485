"""Embedding files: values as they were saved, rows paired by what identifiers say, claims compared with the file."""

import json
import struct
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from vergence.errors import ConfigError, CorpusError, ShapeError, VergenceError
from vergence.metrics.files import Embeddings, match_rows, pair_rows, read_embeddings

VALUES = np.arange(12, dtype=np.float32).reshape(4, 3) / 4


def npy(path: Path, values: Any, **options: Any) -> Path:
    np.save(path, values, **options)
    return path


def parquet(path: Path, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def tensors(path: Path, **named: torch.Tensor) -> Path:
    save_file(named, path)
    return path


def header(claim: str, data: bytes = b"") -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(claim)) + claim.encode() + data


def with_ids(identifiers: Any, values: np.ndarray = VALUES, path: str = "x") -> Embeddings:
    return Embeddings(path=Path(path), values=values, identifiers=tuple(identifiers))


@pytest.mark.parametrize(
    "make",
    [
        lambda at: npy(at / "x.npy", VALUES),
        lambda at: npy(at / "x.npy", np.asfortranarray(VALUES)),
        lambda at: npy(at / "x.npy", VALUES.astype(">f4")),
        lambda at: npy(at / "x.npy", VALUES.astype(np.float16)),
        lambda at: npy(at / "x.npy", VALUES.astype(np.longdouble)),
        lambda at: tensors(at / "x.safetensors", z=torch.from_numpy(VALUES)),
        lambda at: tensors(at / "x.safetensors", z=torch.from_numpy(VALUES).bfloat16()),
        lambda at: tensors(at / "x.safetensors", z=torch.from_numpy(VALUES).half(), id=torch.arange(4)),
        lambda at: parquet(at / "x.parquet", z=list(VALUES)),
        lambda at: parquet(at / "x.parquet", z=pa.array(VALUES.astype(np.float16).tolist(), pa.list_(pa.float16()))),
        lambda at: parquet(at / "x.parquet", z=pa.FixedSizeListArray.from_arrays(pa.array(VALUES.ravel()), 3)),
        lambda at: parquet(at / "x.parquet", z=pa.array(VALUES.tolist(), pa.large_list(pa.float64()))),
        lambda at: parquet(at / "x.parquet", z=pa.FixedShapeTensorArray.from_numpy_ndarray(VALUES)),
    ],
)
def test_values_are_those_that_were_saved(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    found = read_embeddings(make(tmp_path)).values
    np.testing.assert_array_equal(found.astype(np.float32), VALUES)
    assert found.dtype.isnative
    assert torch.from_numpy(found).shape == (4, 3)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int64])
def test_whole_numbers_are_numbers(tmp_path: Path, dtype: type) -> None:
    values = np.arange(12).reshape(4, 3).astype(dtype)
    for path in (npy(tmp_path / "x.npy", values), parquet(tmp_path / "y.parquet", z=list(values))):
        found = read_embeddings(path).values
        assert found.dtype.kind == "f"
        np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize(
    ("claim", "data", "said"),
    [
        (
            "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 768), }",
            b"\0" * 40,
            "are 3072000000000000",
        ),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296), }", b"", "it holds 0"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }", b"\0" * 12, "are 16 bytes; it holds 12"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }", b"\0" * 99, "are 16 bytes; it holds 99"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (-2, 2), }", b"", "does not describe an array"),
        (
            "{'descr': '|O', 'fortran_order': False, 'shape': (2, 2), }",
            b"cos\nsystem\n.",
            "pickled objects, which are not read",
        ),
        (
            "{'descr': [('a', '<f4'), ('b', '<f4')], 'fortran_order': False, 'shape': (2,), }",
            b"\0" * 16,
            "holds records",
        ),
        ("{'descr': '|V2', 'fortran_order': False, 'shape': (2, 2), }", b"\0" * 8, "got entries of type '|V2'"),
        ("{'descr': '<c8', 'fortran_order': False, 'shape': (2, 2), }", b"\0" * 32, "got entries of type '<c8'"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (4,), }", b"\0" * 16, r"got float32 of shape \(4,\)"),
        ("-" * 5000 + "1", b"", "does not describe an array"),
        ("", b"", "does not describe an array"),
    ],
)
def test_what_a_npy_header_claims_is_compared_with_the_file(tmp_path: Path, claim: str, data: bytes, said: str) -> None:
    (tmp_path / "x.npy").write_bytes(header(claim, data))
    with pytest.raises(CorpusError, match=said.replace("|", r"\|")):
        read_embeddings(tmp_path / "x.npy")


def safetensors_claiming(shape: list[int], end: int) -> bytes:
    claim = json.dumps({"z": {"dtype": "F32", "shape": shape, "data_offsets": [0, end]}}).encode()
    return struct.pack("<Q", len(claim)) + claim + b"\0" * 16


@pytest.mark.parametrize(
    ("name", "make", "said"),
    [
        ("x.npy", lambda path: np.savez(path.open("wb"), z=VALUES), "does not begin as a .npy file"),
        ("x.npy", lambda path: path.mkdir(), "is a folder; pass the path of an existing file"),
        ("x.npy", lambda path: npy(path, VALUES[:0]), "holds no embeddings: 0 rows of 3 numbers"),
        ("x.npy", lambda path: npy(path, VALUES[:, :0]), "holds no embeddings: 4 rows of 0 numbers"),
        ("x.npy", lambda path: npy(path, VALUES[None]), r"got float32 of shape \(1, 4, 3\)"),
        (
            "x.npy",
            lambda path: npy(path, np.where(VALUES > 2, np.nan, VALUES)),
            "NaN or infinity in 1 of 4 rows, the first is row 3",
        ),
        ("x.npy", lambda path: npy(path, np.where(VALUES > 2, np.inf, VALUES)), "NaN or infinity in 1 of 4 rows"),
        ("x.npy", lambda path: npy(path, VALUES > 1), "got entries of type '.b1'"),
        ("x.safetensors", lambda path: path.write_bytes(struct.pack("<Q", 2**62) + b"{}"), "truncated or damaged"),
        (
            "x.safetensors",
            lambda path: path.write_bytes(safetensors_claiming([10**9, 10**6], 4 * 10**15)),
            "truncated or damaged",
        ),
        ("x.safetensors", lambda path: path.write_bytes(safetensors_claiming([2, 2**62], 16)), "truncated or damaged"),
        ("x.safetensors", lambda path: path.write_bytes(b""), "truncated or damaged"),
        (
            "x.safetensors",
            lambda path: tensors(path, a=torch.ones(2, 2), b=torch.ones(2, 2)),
            "one two-dimensional tensor, .*; got a, b",
        ),
        ("x.safetensors", lambda path: tensors(path, z=torch.ones(2, 2, dtype=torch.complex64)), "got complex64"),
        (
            "x.parquet",
            lambda path: parquet(path, z=[[1.0, 2.0], None]),
            "1 embeddings in 'z' are null, the first in row 1",
        ),
        (
            "x.parquet",
            lambda path: parquet(path, z=[[1.0, 2.0], [3.0]]),
            "must all be of one length; got 1 to 2 numbers",
        ),
        ("x.parquet", lambda path: parquet(path, z=[[1.0, None]]), "hold null 1 times"),
        ("x.parquet", lambda path: parquet(path, z=[[1.0, float("nan")]]), "NaN or infinity in 1 of 1 rows"),
        ("x.parquet", lambda path: parquet(path, z=[["a"], ["b"]]), "must be lists of numbers; got lists of string"),
        ("x.parquet", lambda path: parquet(path, z=[[[1.0]], [[2.0]]]), "must be lists of numbers; got lists of list"),
        ("x.parquet", lambda path: parquet(path, z=[[], []]), "must be lists of numbers; got lists of null"),
        ("x.parquet", lambda path: parquet(path, z=pa.array([[], []], pa.list_(pa.float32()))), "2 rows of 0 numbers"),
        (
            "x.parquet",
            lambda path: parquet(path, z=pa.array([], pa.list_(pa.float32()))),
            "holds no embeddings: 0 rows",
        ),
        (
            "x.parquet",
            lambda path: parquet(path, z=[1.0, 2.0]),
            "must hold one column of lists, the embeddings; got none",
        ),
        ("x.parquet", lambda path: parquet(path, id=[1, None], z=[[1.0], [2.0]]), "got None in row 1"),
        ("x.parquet", lambda path: parquet(path, id=[1.5, 2.0], z=[[1.0], [2.0]]), "got 1.5 in row 0"),
        ("x.parquet", lambda path: parquet(path, id=[True, False], z=[[1.0], [2.0]]), "got True in row 0"),
        (
            "x.parquet",
            lambda path: parquet(path, id=[2.0**53, 1.0], z=[[1.0], [2.0]]),
            "got 9007199254740992.0 in row 0",
        ),
        (
            "x.parquet",
            lambda path: parquet(path, id=["a", "a"], z=[[1.0], [2.0]]),
            "names an item twice: 'a' in row 0 and 'a' in row 1",
        ),
    ],
)
def test_files_that_hold_no_embeddings_are_refused_in_one_line(
    tmp_path: Path, name: str, make: Callable[[Path], Any], said: str
) -> None:
    make(tmp_path / name)
    with pytest.raises(CorpusError, match=said) as refused:
        read_embeddings(tmp_path / name)
    assert "\n" not in str(refused.value)


def test_a_parquet_file_beside_names_the_rows_or_is_refused(tmp_path: Path) -> None:
    npy(tmp_path / "x.npy", VALUES)
    parquet(tmp_path / "x.parquet", key=["a", "b", "c", "d"])
    assert read_embeddings(tmp_path / "x.npy").identifiers == ("a", "b", "c", "d")
    parquet(tmp_path / "x.parquet", key=["a", "b", "c"])
    with pytest.raises(CorpusError, match="has 4 rows and 3 identifiers; they must pair"):
        read_embeddings(tmp_path / "x.npy")
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    with pytest.raises(CorpusError, match=r"x\.parquet: cannot be read as Parquet"):
        read_embeddings(tmp_path / "x.npy")


def test_a_folder_of_parts_is_read_as_one_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for name in ("img_emb", "text_emb", "metadata"):
        (tmp_path / name).mkdir()
    for number in (0, 9, *range(1, 9), 10):
        npy(tmp_path / "img_emb" / f"img_emb_{number:02}.npy", VALUES[:1].astype(np.float16) + number)
        npy(tmp_path / "text_emb" / f"text_emb_{number:02}.npy", VALUES[:1] + number)
    read = read_embeddings(tmp_path / "img_emb")  # as clip-retrieval may leave it, without keys
    assert read.values[:, 0].tolist() == list(range(11))
    assert read.identifiers is None
    assert pair_rows(read, read_embeddings(tmp_path / "text_emb"))[2] == "position"
    for number in range(11):
        parquet(tmp_path / "metadata" / f"metadata_{number:02}.parquet", key=[f"k{number}"], caption=["a"])
    assert read_embeddings(tmp_path / "img_emb").identifiers == tuple(f"k{number}" for number in range(11))
    assert pair_rows(*(read_embeddings(tmp_path / name) for name in ("img_emb", "text_emb")))[2] == "identifier"
    parquet(tmp_path / "metadata" / "metadata_03.parquet", key=["a", "b"])
    with pytest.raises(CorpusError, match=r"img_emb_03\.npy has 1 rows and .*metadata_03\.parquet 2; they must pair"):
        read_embeddings(tmp_path / "img_emb")
    (tmp_path / "text_emb" / "text_emb_04.npy").unlink()
    with pytest.raises(CorpusError, match="text_emb lacks part 4; finish the job"):
        read_embeddings(tmp_path / "text_emb")
    npy(tmp_path / "text_emb" / "text_emb_04.npy", VALUES[:1, :2])
    with pytest.raises(CorpusError, match=r"they must pair|parts of different shapes: \(2,\), \(3,\) by rows"):
        read_embeddings(tmp_path / "text_emb")
    (tmp_path / "none" / "img_emb").mkdir(parents=True)
    with pytest.raises(CorpusError, match="holds no arrays called img_emb_0"):
        read_embeddings(tmp_path / "none" / "img_emb")


@pytest.mark.parametrize("name", ["id", "key", None])
def test_an_index_of_pandas_names_the_rows(tmp_path: Path, name: str | None) -> None:
    frame = pd.DataFrame({"z": list(VALUES)}, index=pd.Index(["d", "b", "a", "c"], name=name))
    frame.to_parquet(tmp_path / "x.parquet")
    assert read_embeddings(tmp_path / "x.parquet").identifiers == ("d", "b", "a", "c")
    frame.reset_index(drop=True).to_parquet(tmp_path / "y.parquet")  # numbered from 0: says nothing
    assert read_embeddings(tmp_path / "y.parquet").identifiers is None


@pytest.mark.parametrize(
    "other", [["3", "1", "2", "0"], [3.0, 1.0, 2.0, 0.0], [b"3", b"1", b"2", b"0"], [Decimal(n) for n in (3, 1, 2, 0)]]
)
def test_identifiers_are_compared_by_value(other: list[Any]) -> None:
    x, y, how = pair_rows(with_ids(range(4)), with_ids(other, VALUES[[3, 1, 2, 0]]))
    assert how == "identifier"
    np.testing.assert_array_equal(x, y)


def test_items_that_do_not_match_are_refused_and_the_types_said() -> None:
    with pytest.raises(CorpusError, match=r"1 of 4 items of b \(text\) not in a \(whole numbers\), such as '9'"):
        pair_rows(with_ids(range(4), path="a"), with_ids("0129", path="b"))
    with pytest.raises(CorpusError, match=r"1 of 2 items of a \(whole numbers\) not in b \(text\), such as 7"):
        match_rows([7, 8], ["07", "8"], wanted_in="a", offered_in="b")
    with pytest.raises(CorpusError, match="b names an item twice: 7 in row 0 and '7' in row 1"):
        match_rows([7], [7, "7"], wanted_in="a", offered_in="b")


@given(st.permutations(range(6)), st.sets(st.integers(10, 20)))
def test_matched_rows_are_in_the_order_wanted(order: list[int], more: set[int]) -> None:
    offered = [str(number) for number in [*more, *order]]
    found = match_rows(range(6), offered, wanted_in="a", offered_in="b")
    assert [offered[row] for row in found] == [str(number) for number in range(6)]


def test_position_pairs_rows_only_where_nothing_says_better_or_it_is_asked_for() -> None:
    bare = Embeddings(path=Path("bare.npy"), values=VALUES, identifiers=None)
    named = with_ids("dcba", path="named.parquet")
    assert pair_rows(bare, bare)[2] == "position"
    assert pair_rows(bare, named, by="position")[2] == "position"
    assert pair_rows(with_ids("abcd"), named, by="position")[2] == "position"
    with pytest.raises(CorpusError, match=r"bare.npy must say which item each row is of.*--pair-by position"):
        pair_rows(bare, named)
    with pytest.raises(CorpusError, match=r"bare.npy and bare.npy must say which item each row is of"):
        pair_rows(bare, bare, by="identifier")
    with pytest.raises(ConfigError, match="unknown pairing 'row'; known: identifier, position"):
        pair_rows(bare, bare, by="row")
    with pytest.raises(ShapeError, match=r"has 4 rows and short\.npy 3, which do not pair by position"):
        pair_rows(bare, Embeddings(path=Path("short.npy"), values=VALUES[:3], identifiers=None))


@given(st.binary(max_size=200), st.sampled_from([".npy", ".safetensors", ".parquet"]), st.booleans())
def test_bytes_of_any_kind_are_read_or_refused_by_name(tmp_path_factory, data: bytes, form: str, begun: bool) -> None:
    starts = {
        ".npy": b"\x93NUMPY\x01\x00",
        ".safetensors": struct.pack("<Q", 20) + b'{"z":{"dtype":',
        ".parquet": b"PAR1",
    }
    path = tmp_path_factory.mktemp("any") / f"x{form}"
    path.write_bytes(starts[form] * begun + data)
    with pytest.raises(VergenceError, match=r"x\."):
        read_embeddings(path)

"""Labels are paired by identifier, and Arrow types say what each column is."""

import re
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vergence.errors import ConfigError, CorpusError
from vergence.metrics.files import Embeddings
from vergence.probes.columns import kind_of_factor, read_column
from vergence.probes.labels import Labels, keep_scored, read_labels, take_held_out
from vergence.splits import write_split

N = 12
SHAPE = ["cube", "ball", "cone"] * 4


def embedded(identifiers=None) -> Embeddings:
    return Embeddings(path=Path("z.npy"), values=np.zeros((N, 2)), identifiers=identifiers)


def read(folder: Path, columns, identifiers=None, **options) -> Labels:
    table = columns if isinstance(columns, pa.Table) else pa.table(columns)
    pq.write_table(table, folder / "labels.parquet")
    return read_labels(folder / "labels.parquet", embedded(identifiers), **options)


def from_csv(folder: Path, text: str | bytes, identifiers=None, *, name: str = "labels.csv", **options) -> Labels:
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_labels(folder / name, embedded(identifiers), **options)


# Pairing


@pytest.mark.parametrize("form", ["column", "index", "unnamed index", "text", "float", "csv", "tsv", "utf-16"])
def test_rows_are_found_by_identifier_wherever_it_is_and_whatever_its_type(tmp_path: Path, form: str) -> None:
    identifiers = tuple(range(5, 5 + N))
    frame = pd.DataFrame({"id": identifiers, "shape": SHAPE}).sample(frac=1, random_state=0)
    path = tmp_path / f"labels.{form if form in ('csv', 'tsv') else 'csv' if form == 'utf-16' else 'parquet'}"
    match form:
        case "column":
            frame.to_parquet(path)
        case "index":
            frame.set_index("id").to_parquet(path)
        case "unnamed index":
            frame.set_index("id").rename_axis(None).to_parquet(path)
        case "text" | "float":
            frame.astype({"id": str if form == "text" else float}).to_parquet(path)
        case "csv" | "utf-16":
            frame.to_csv(path, index=False, encoding="utf-8" if form == "csv" else "utf-16")
        case "tsv":
            frame.to_csv(path, index=False, sep="\t")
    found = read_labels(path, embedded(identifiers))
    assert found.values["shape"].tolist() == SHAPE
    assert found.paired_by == "identifier"
    assert list(found.space) == ["shape"]
    assert any("compared by value" in note for note in found.notes) == (form in {"text", "csv", "tsv", "utf-16"})


def test_position_is_said_loudly_refused_on_one_side_and_done_when_asked_for(tmp_path: Path) -> None:
    found = read(tmp_path, {"shape": SHAPE})
    assert found.paired_by == "position"
    assert found.notes[0].startswith("WARNING: rows are paired by position, since neither z.npy nor ")
    with pytest.raises(CorpusError, match=r"labels.parquet must say which item each row is of.*--pair-by position"):
        read(tmp_path, {"shape": SHAPE}, tuple(range(N)))
    with pytest.raises(CorpusError, match=r"z.npy must say which item each row is of"):
        read(tmp_path, {"shape": SHAPE, "key": range(N)})
    asked = read(tmp_path, {"shape": SHAPE, "key": range(N)}, tuple(range(5, 5 + N)), pair_by="position")
    assert (asked.paired_by, asked.notes, asked.values["shape"].tolist()) == ("position", (), SHAPE)
    with pytest.raises(CorpusError, match=r"11 rows and z.npy 12, which do not pair by position"):
        read(tmp_path, {"shape": SHAPE[1:]})
    with pytest.raises(ConfigError, match="unknown pairing 'rank'; known: identifier, position"):
        read(tmp_path, {"shape": SHAPE}, pair_by="rank")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ([*range(N - 1), 99], r"1 of 12 items of z.npy .* not in .*labels.parquet .*, such as 11"),
        ([*range(N - 1), 0], "labels.parquet names an item twice: 0 in row 0 and 0 in row 11"),
        ([*range(N - 1), None], "labels.parquet must name each item by a whole number or a text; got None in row 11"),
        ([k + 0.5 for k in range(N)], r"must name each item by a whole number or a text; got 0.5 in row 0"),
    ],
)
def test_identifiers_that_are_missing_repeated_or_null_are_refused(tmp_path: Path, keys: list, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        read(tmp_path, {"key": keys, "shape": SHAPE}, tuple(range(N)))


def test_items_without_an_embedding_are_counted(tmp_path: Path) -> None:
    found = read(tmp_path, {"key": range(N + 3), "shape": [*SHAPE, "x", "y", "z"]}, tuple(range(N)))
    assert found.notes == (f"3 of 15 items of {tmp_path}/labels.parquet have no embedding and are not used",)
    assert found.space["shape"].values == ("ball", "cone", "cube")


@given(st.permutations(range(N)), st.sampled_from([int, str, float]))
def test_the_order_of_the_rows_and_the_type_of_the_identifiers_change_nothing(order: list[int], kind: type) -> None:
    table = pa.table({"key": [kind(row) for row in order], "shape": [SHAPE[row] for row in order]})
    with TemporaryDirectory() as folder:
        pq.write_table(table, f"{folder}/labels.parquet")
        found = read_labels(Path(folder) / "labels.parquet", embedded(tuple(range(N))))
    assert found.values["shape"].tolist() == SHAPE


# Types

CLASSES = [0, 1, 2] * 4


@pytest.mark.parametrize(
    ("column", "values"),
    [
        (pa.array([None, *CLASSES[1:]], pa.int64()), ("0", "1", "2")),
        (pa.array([2**60 + k for k in CLASSES]), tuple(str(2**60 + k) for k in range(3))),
        (pa.array([2**60 + k for k in CLASSES[:-1]] + [None]), tuple(str(2**60 + k) for k in range(3))),
        (pa.array([k - 10 for k in CLASSES], pa.int8()), ("-10", "-9", "-8")),
        (pa.array([True, False, None] * 4), ("False", "True")),
        (pa.array(["a", "b", None] * 4), ("a", "b")),
        (pa.array(["None", "nan", None] * 4), ("None", "nan")),
        (pa.array(["Dog", "dog", "b"] * 4), ("Dog", "b", "dog")),
        (pa.array(["a", "b", None] * 4, pa.large_string()), ("a", "b")),
        (pa.DictionaryArray.from_arrays([0, 2, None] * 4, ["a", "unused", "c"]), ("a", "c")),
        (pa.DictionaryArray.from_arrays([0, 1, None] * 4, pa.array([7, 10])), ("7", "10")),
    ],
)
def test_integers_texts_truth_values_and_dictionaries_are_discrete_nulls_or_not(tmp_path, column, values) -> None:
    found = read(tmp_path, {"factor": column})
    assert found.space["factor"].values == values
    stated = [None if value is None else str(value) for value in column.to_pylist()]
    assert found.values["factor"].tolist() == stated


@given(
    st.sampled_from([pa.int8(), pa.uint64(), pa.float32(), pa.string(), pa.bool_(), pa.date32(), pa.decimal128(38, 2)]),
    st.lists(st.booleans(), min_size=4, max_size=4),
)
def test_nulls_never_change_what_a_column_is(kind: pa.DataType, null: list[bool]) -> None:
    whole = pa.array([0, 1, 2, 1]).cast(pa.int32() if kind == pa.date32() else pa.int64()).cast(kind)
    holed = pa.array([None if gone else value for gone, value in zip(null, whole.to_pylist(), strict=True)], kind)
    assert kind_of_factor(holed.type) == kind_of_factor(whole.type)
    if kind_of_factor(kind):
        stated = read_column(pa.chunked_array([holed])).dropna().tolist()
        full = read_column(pa.chunked_array([whole])).tolist()
        assert stated == [value for gone, value in zip(null, full, strict=True) if not gone]


@pytest.mark.parametrize("kind", [pa.float16(), pa.float32(), pa.float64()])
def test_floating_point_numbers_are_continuous_even_whole_ones_and_nan_is_not_known(tmp_path: Path, kind) -> None:
    numbers = np.array([0.0, 1.0, 2.0] * 3 + [np.nan], dtype=kind.to_pandas_dtype())
    found = read(tmp_path, {"factor": pa.array([*numbers, None, 5.0], kind)})
    assert found.space["factor"].is_continuous
    np.testing.assert_array_equal(found.values["factor"], [*numbers, np.nan, 5.0])


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        (pa.array([1, 2, 3] * 4, pa.decimal128(5, 2)), r"is of type decimal128\(5, 2\); cast it to floating-point"),
        (pa.array([1, 2, 3] * 4, pa.timestamp("s")), r"is of type timestamp\["),
        (pa.array([1, 2, 3] * 4, pa.date32()), r"is of type date32"),
        (pa.array([[1], [2]] * 6), "is of type list"),
        (pa.array([{"a": 1}] * 12), "is of type struct"),
        (pa.array([b"a", b"b"] * 6), "is of type binary"),
        (pa.nulls(12), "is null in all rows"),
        (pa.nulls(12, pa.int64()), "is null in all rows"),
        (pa.array([None, float("nan")] * 6), "is NaN in all rows"),
        (pa.array(["a", None] * 6), "holds 'a' only"),
        (pa.array([0.5] * 12), "holds 0.5 only"),
        (pa.array([0.5, float("inf"), 2.0] * 4), "holds infinity in 4 rows"),
        (pa.array(range(12)), "holds another value in each row"),
        (pa.array([*map(str, range(11)), None]), "holds another value in each row"),
    ],
)
def test_what_cannot_be_probed_is_left_out_with_its_reason_and_refused_if_named(tmp_path, column, reason) -> None:
    columns = {"shape": SHAPE, "other": column}
    found = read(tmp_path, columns)
    assert list(found.space) == ["shape"]
    assert list(found.left_out) == ["other"]
    assert re.search(reason, found.left_out["other"])
    with pytest.raises(CorpusError, match=f"labels.parquet: column 'other' {reason}"):
        read(tmp_path, columns, factors=["other"])
    with pytest.raises(CorpusError, match=f"column 'other' {reason}.*No column is left; name some with --factors"):
        read(tmp_path, {"other": column})


@pytest.mark.parametrize(
    "name", ["path", "caption", "url", "image", "image_path", "imageURL", "file_name", "Text", "split", "Unnamed: 0"]
)
def test_what_describes_items_is_a_factor_only_if_named(tmp_path: Path, name: str) -> None:
    columns = {"shape": SHAPE, name: ["a", "b"] * 6}
    found = read(tmp_path, columns)
    assert (list(found.space), found.left_out) == (["shape"], {name: "describes items, by its name"})
    assert list(read(tmp_path, columns, factors=[name]).space) == [name]


def test_texts_that_mostly_come_once_are_factors_only_if_named(tmp_path: Path) -> None:
    columns = {"shape": SHAPE, "remark": [f"remark {max(row, 4)}" for row in range(N)]}
    assert read(tmp_path, columns).left_out == {"remark": "holds 8 values in 12 rows, most of them once"}
    assert list(read(tmp_path, columns, factors=["remark"]).space) == ["remark"]


def test_a_file_without_a_factor_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="holds no column of a factor; it has: key"):
        read(tmp_path, {"key": range(N)}, tuple(range(N)))


def test_doubtful_values_are_pointed_out(tmp_path: Path) -> None:
    columns = {"a": ["nan", "x", "None"] * 4, "b": ["Dog", "dog", "dog "] * 4, "c": np.arange(N) // 2}
    notes = "\n".join(read(tmp_path, columns).notes[1:])
    assert "column 'a': the text 'None' counts as a value, in 4 rows; leave an entry null" in notes
    assert "column 'b': 'Dog' and 'dog' and 'dog ' count as different values" in notes
    assert "'c'" not in notes
    table = pa.table({"age": np.arange(60) // 2})
    pq.write_table(table, tmp_path / "ages.parquet")
    many = Embeddings(path=Path("z.npy"), values=np.zeros((60, 2)), identifiers=None)
    assert "column 'age': 30 whole numbers are taken for classes; save a quantity" in "\n".join(
        read_labels(tmp_path / "ages.parquet", many).notes
    )


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        (["shape", "tone", "shape"], "factor 'shape' is named 2 times; name each once"),
        ([], "no factor is named; name at least one column"),
        (["image"], "column 'image' cannot be both a factor and the cluster"),
    ],
)
def test_factors_are_named_once_and_are_not_the_cluster(tmp_path: Path, factors: list[str], message: str) -> None:
    columns = {"shape": SHAPE, "tone": SHAPE, "image": CLASSES}
    with pytest.raises(ConfigError, match=message):
        read(tmp_path, columns, factors=factors, cluster="image")


@pytest.mark.parametrize("name", ["shap", ""])
def test_unknown_columns_are_refused(tmp_path: Path, name: str) -> None:
    for options in ({"factors": [name]}, {"cluster": name}):
        with pytest.raises(CorpusError, match=f"unknown column '{name}'; known: shape"):
            read(tmp_path, {"shape": SHAPE}, **options)


# CSV


def test_the_types_of_a_csv_are_those_of_all_its_rows_and_an_empty_field_is_not_known(tmp_path: Path) -> None:
    rows = [f'00{row},{row % 2},{row}.5,{["a", "", "NA"][row % 3]},"x\ny"' for row in range(N)]
    found = from_csv(tmp_path, "\n".join(["id,n,depth,tone,note", *rows]), tuple(f"00{row}" for row in range(N)))
    assert list(found.space) == ["n", "depth", "tone"]
    assert found.space["n"].values == ("0", "1")
    assert found.space["depth"].is_continuous
    assert found.values["tone"].tolist() == ["a", None, "NA"] * 4
    assert found.left_out == {"note": "holds 'x\\ny' only"}
    assert any("the text 'NA' counts as a value, in 4 rows" in note for note in found.notes)
    for nothing in ("", "NA", "nan", "null", "None"):
        text = "n,depth\n" + "\n".join(f"{nothing if row % 3 == 0 else row % 2},{nothing}" for row in range(N))
        found = from_csv(tmp_path, text.replace(f"1,{nothing}", "1,1.5").replace(f"0,{nothing}", "0,2"))
        assert found.space["n"].values == ("0", "1")
        assert found.space["depth"].is_continuous
        assert found.values.isna().sum().tolist() == [4, 4]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read as CSV: Empty CSV file"),
        ("shape,shape\na,b\n", "two columns are called 'shape'; rename one"),
        ("shape,tone\na\n", "cannot be read as CSV: .*Expected 2 columns, got 1"),
        ("shape\n", "labels.csv holds no rows"),
        (b"sh\xffape\na\n", "not UTF-8 text"),
    ],
)
def test_a_csv_that_is_no_table_is_refused(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        from_csv(tmp_path, text)


# Clusters and halves


def test_clusters_are_compared_by_value_and_none_may_be_null(tmp_path: Path) -> None:
    assert read(tmp_path, {"shape": SHAPE, "of": ["a", "b", "b"] * 4}, cluster="of").clusters.tolist() == [0, 1, 1] * 4
    text = "shape,of\n" + "\n".join(f"{shape},{k}" for shape, k in zip(SHAPE, ["1", "1.0", "2"] * 4, strict=True))
    assert from_csv(tmp_path, text, cluster="of").clusters.tolist() == [0, 0, 1] * 4
    for column in (pa.array([1, None, 2] * 4), pa.array([1.0, np.nan, 2.0] * 4)):
        with pytest.raises(CorpusError, match="column 'of' is null in 4 of 12 rows"):
            read(tmp_path, {"shape": SHAPE, "of": column}, cluster="of")


def test_a_factor_without_two_values_in_each_half_has_no_score(tmp_path: Path) -> None:
    columns = {"shape": SHAPE, "rare": ["x"] * 9 + ["y"] * 3, "depth": [1.0] * 9 + [1.0, 2.0, 3.0]}
    labels = read(tmp_path, columns)
    fit, test = np.arange(8), np.arange(8, N)
    kept = keep_scored(labels, fit, test, named=False)
    assert list(kept.space) == ["shape"]
    assert kept.left_out["rare"] == "has 1 values among the 8 labelled items to fit; two are needed"
    assert list(kept.left_out) == ["rare", "depth"]
    with pytest.raises(ConfigError, match="column 'rare' has 1 values among the 8 labelled items to fit"):
        keep_scored(labels, fit, test, named=True)
    new = keep_scored(read(tmp_path, {"shape": [*SHAPE[:-1], "egg"]}), fit, test, named=True)
    assert new.notes[-1] == (
        "factor 'shape': 1 values are only among the tested items, so no probe predicts them: 'egg' (1)"
    )


def test_only_items_that_a_run_held_out_are_taken_with_its_clusters(tmp_path: Path) -> None:
    side = ["fit"] * 5 + ["held_out"] * 6 + ["skipped"]
    rows = {"row": range(12), "key": [str(k // 2 * 2) if k > 4 else str(k) for k in range(12)], "side": side}
    rows["key"][5] = "5"
    split = pd.DataFrame(rows).assign(image="00", cluster=[str(k // 3) for k in range(12)], reason=None)
    write_split(tmp_path / "split.parquet", split)
    given = Embeddings(path=Path("z.npy"), values=np.arange(12.0).reshape(6, 2), identifiers=(0, 6, 77, 10, 8, 5))
    taken, clusters, note = take_held_out(given, tmp_path)
    assert taken.identifiers == (6, 10, 8, 5)
    assert taken.values[:, 0].tolist() == [2, 6, 8, 10]
    assert clusters.tolist() == [0, 1, 0, 2]
    assert note == f"4 of 6 items were held out; left out: 1 trained on, 1 that {tmp_path} lacks"
    with pytest.raises(CorpusError, match="0 of 1 items were held out; left out: 1 trained on, 0 that"):
        take_held_out(Embeddings(path=Path("z.npy"), values=np.zeros((1, 2)), identifiers=(0,)), tmp_path)
    with pytest.raises(CorpusError, match=r"z.npy does not say which item a row is of"):
        take_held_out(embedded(), tmp_path)
    write_split(tmp_path / "split.parquet", split.assign(key=None))
    with pytest.raises(CorpusError, match="does not say which item a row is of, so what was held out cannot be found"):
        take_held_out(given, tmp_path)


def test_a_column_that_holds_all_identifiers_pairs_rows_whatever_it_is_called(tmp_path: Path) -> None:
    keys = [f"img/{row}.png" for row in range(6)]
    embeddings = Embeddings(path=tmp_path / "e.parquet", values=np.zeros((6, 2)), identifiers=tuple(keys))
    rows = [f"{key},{'red' if row % 2 else 'blue'}\n" for row, key in enumerate(keys)]
    (tmp_path / "labels.csv").write_text("filepath,colour\n" + "".join(reversed(rows)))
    found = read_labels(tmp_path / "labels.csv", embeddings)
    assert found.paired_by == "identifier"
    assert found.values["colour"].tolist() == ["blue", "red"] * 3
    (tmp_path / "labels.csv").write_text("filepath,colour\n" + "".join(rows[:5]))
    with pytest.raises(CorpusError, match="must say which item each row is of"):
        read_labels(tmp_path / "labels.csv", embeddings)

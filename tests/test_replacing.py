from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vergence.arrow import concatenate, put_back, replace_column

SETTINGS: list[dict[str, Any]] = [
    {"compression": "snappy"},
    {"compression": "zstd", "use_dictionary": False, "data_page_version": "2.0", "write_page_index": True},
    {"compression": "none", "write_statistics": False},
    {"compression": {"caption": "gzip", "id": "zstd"}, "use_dictionary": ["caption"]},
]


def table(n: int = 1000) -> pa.Table:
    texts = [None if k % 7 == 0 else f"a red cup {k}" for k in range(n)]
    columns = {"id": list(range(n)), "caption": texts, "lists": [[k] * (k % 3) for k in range(n)]}
    return pa.table(
        columns, schema=pa.schema({"id": pa.int64(), "caption": pa.string(), "lists": pa.list_(pa.int64())})
    )


def change(group: int, batches: Iterator[pa.RecordBatch]) -> pa.Array | None:
    found = pa.Table.from_batches(list(batches))["caption"].to_pylist()
    return None if group == 1 else pa.array([text and text.replace("red", "orange") for text in found])


@pytest.mark.parametrize("settings", SETTINGS)
def test_a_replaced_column_leaves_the_others_and_comes_back(tmp_path: Path, settings: dict[str, Any]) -> None:
    old, new, aside, back = (tmp_path / name for name in ("old", "new", "aside", "back"))
    pq.write_table(table(), old, row_group_size=300, **settings)
    done = replace_column(old, new, aside, column="caption", beside=["id"], change=change)
    found = pq.read_table(new)
    assert found.drop(["caption"]).equals(table().drop(["caption"]))
    told = enumerate(table()["caption"].to_pylist())
    wanted = [text and (text if 300 <= k < 600 else text.replace("red", "orange")) for k, text in told]
    assert found["caption"].to_pylist() == wanted
    assert found.schema.equals(table().schema)
    kinds = [pq.ParquetFile(path).metadata.row_group(0).column(1).compression for path in (old, new)]
    assert kinds[0] == kinds[1]
    put_back(new, aside, back, done)
    assert back.read_bytes() == old.read_bytes()


def test_files_of_one_schema_are_put_together(tmp_path: Path) -> None:
    paths = [tmp_path / str(k) for k in range(3)]
    for k, path in enumerate(paths):
        pq.write_table(table(100 * k), path, row_group_size=70)
    concatenate(paths, tmp_path / "all")
    assert pq.read_table(tmp_path / "all").equals(pa.concat_tables([table(100 * k) for k in range(3)]))
    pq.write_table(table(5).drop(["id"]), paths[2])
    with pytest.raises(pa.ArrowInvalid, match="other columns"):
        concatenate(paths, tmp_path / "all")

"""`vergence align`: three file formats, rows paired by identifier, a table, a JSON file and a figure."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save_file

from vergence.cli.main import main


@pytest.fixture
def rows() -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(0)
    x = draw.normal(size=(60, 5)).astype(np.float32)
    return x, x + 0.5 * draw.normal(size=(60, 5)).astype(np.float32)


def parquet(path: Path, keys: list[str], values: np.ndarray) -> str:
    pq.write_table(pa.table({"key": keys, "embedding": list(values)}), path)
    return str(path)


def test_rows_are_paired_by_identifier_across_formats_and_orders(
    tmp_path: Path, rows: tuple[np.ndarray, np.ndarray], capsys: pytest.CaptureFixture[str]
) -> None:
    x, y = rows
    keys = [f"item {i}" for i in range(60)]
    order = np.random.default_rng(1).permutation(60)
    np.save(tmp_path / "a.npy", x)
    pq.write_table(pa.table({"key": keys}), tmp_path / "a.parquet")
    b = parquet(tmp_path / "b.parquet", [keys[i] for i in order], y[order])
    values = []
    for a in (str(tmp_path / "a.npy"), parquet(tmp_path / "whole.parquet", keys, x)):
        out = tmp_path / Path(a).stem
        assert main(["align", a, b, "--metrics", "unbiased_cka,mutual_knn", "--null", "20", "--out", str(out)]) == 0
        found = json.loads((out / "alignment.json").read_text())
        assert found["paired_by"] == "identifier"
        values.append([row["value"] for row in found["metrics"]])
        assert (out / "alignment.svg").read_text().lstrip().startswith("<?xml")
    assert values[0] == values[1]
    assert values[0][0] > 0.5
    assert "unbiased_cka" in capsys.readouterr().out


def test_without_identifiers_rows_are_paired_by_position(
    tmp_path: Path, rows: tuple[np.ndarray, np.ndarray], capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "a.npy", rows[0])
    save_file({"embeddings": rows[1]}, tmp_path / "b.safetensors")
    assert main(["align", str(tmp_path / "a.npy"), str(tmp_path / "b.safetensors"), "--null", "5"]) == 0
    printed = capsys.readouterr().out
    assert "60 items paired by position" in printed
    assert "linear_separability" in printed


def test_what_cannot_be_aligned_is_one_line(
    tmp_path: Path, rows: tuple[np.ndarray, np.ndarray], capsys: pytest.CaptureFixture[str]
) -> None:
    x, y = rows
    a = parquet(tmp_path / "a.parquet", [f"{i}" for i in range(60)], x)
    other = parquet(tmp_path / "other.parquet", [f"{i}" for i in range(1, 61)], y)
    twice = parquet(tmp_path / "twice.parquet", ["0"] * 60, y)
    narrow = parquet(tmp_path / "narrow.parquet", [f"{i}" for i in range(60)], y[:, :2])
    np.save(tmp_path / "short.npy", y[:10])
    np.save(tmp_path / "words.npy", np.arange(60))
    (tmp_path / "broken.npy").write_bytes(b"\x93NUMPY")
    for b, options, said in (
        (other, [], "1 items of"),
        (twice, [], "names an item twice"),
        (narrow, ["--metrics", "centroid_distance"], "needs both sides in one space; got widths 5 and 2"),
        (a, ["--metrics", "ckaa"], "unknown metric 'ckaa'; known: unbiased_cka, cka"),
        (a, ["--null", "1"], "n_shuffles must be >= 2; got 1"),
        (a, ["--metrics", "cka", "--null", "2", "--out", "/proc/vergence"], "cannot write to /proc/vergence"),
        (str(tmp_path / "short.npy"), [], "not both say which item a row is of"),
        (str(tmp_path / "words.npy"), [], "must hold rows of floating-point numbers"),
        (str(tmp_path / "broken.npy"), [], "is truncated or damaged"),
        (str(tmp_path / "absent.npy"), [], "is missing"),
        (str(tmp_path / "a.csv"), [], "must be a file ending in .npy, .safetensors, .parquet"),
    ):
        assert main(["align", a, b, *options]) == 2
        line = capsys.readouterr().err
        assert said in line
        assert line.count("\n") == 1

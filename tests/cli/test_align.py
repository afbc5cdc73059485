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
    assert values[0] == pytest.approx(values[1], rel=1e-9)
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
        (other, [], "1 of 60 items of"),
        (twice, [], "names an item twice"),
        (narrow, ["--metrics", "centroid_distance"], "needs both sides in one space; got widths 5 and 2"),
        (a, ["--metrics", "ckaa"], "unknown metric 'ckaa'; known: unbiased_cka, cka"),
        (a, ["--null", "1"], "n_shuffles must be >= 2; got 1"),
        (
            a,
            ["--metrics", "cka", "--null", "2", "--out", "/proc/vergence"],
            "cannot write /proc/vergence/alignment.json",
        ),
        (str(tmp_path / "short.npy"), [], "short.npy must say which item each row is of"),
        (str(tmp_path / "short.npy"), ["--pair-by", "position"], "60 rows and"),
        (a, ["--seed", "12345678901234567890123"], "seed must be a whole number in [0, 2^63); got 1234"),
        (a, ["--metrics", "cka", "--null", "2", "--out", a], "cannot write"),
        (a, ["--metrics", "cka,"], "unknown metric ''"),
        (str(tmp_path / "words.npy"), [], "must hold rows of numbers"),
        (str(tmp_path / "broken.npy"), [], "is truncated or damaged"),
        (str(tmp_path), [], "must be a file ending in"),
        (str(tmp_path / "absent.npy"), [], "is missing"),
        (str(tmp_path / "a.csv"), [], "must be a file ending in .npy, .safetensors, .parquet"),
    ):
        assert main(["align", a, b, *options]) == 2
        line = capsys.readouterr().err
        assert said in line
        assert line.count("\n") == 1


def test_two_constants_give_strict_json_and_no_p_value_below_what_the_shuffles_can_show(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (("a", 1.0), ("b", 2.0)):
        np.save(tmp_path / f"{name}.npy", np.full((20, 3), value, dtype=np.float32))
    files = [str(tmp_path / f"{name}.npy") for name in "ab"]
    assert main(["align", *files, "--null", "20", "--out", str(tmp_path / "out")]) == 0
    found = json.loads((tmp_path / "out" / "alignment.json").read_text(), parse_constant=pytest.fail)
    by_name = {row["metric"]: row for row in found["metrics"]}
    assert by_name["relative_gap"]["value"] is None
    assert by_name["relative_gap"]["note"] == "infinite: the centroids differ, and neither side has any spread"
    assert by_name["relative_gap"]["p_value"] == pytest.approx(2 / 21)
    assert by_name["centroid_distance"]["p_value"] == pytest.approx(2 / 21)
    assert by_name["cka"]["p_value"] == 1.0
    assert found["least_p_value"] == pytest.approx(2 / 21)
    assert min(row["p_value"] for row in found["metrics"]) >= found["least_p_value"] - 1e-12
    assert "no p below 0.095" in " ".join(capsys.readouterr().out.split())
    assert "measured: infinite" in (tmp_path / "out" / "alignment.svg").read_text()


def test_identifiers_of_two_types_pair_by_value_and_it_is_said(
    tmp_path: Path, rows: tuple[np.ndarray, np.ndarray], capsys: pytest.CaptureFixture[str]
) -> None:
    x, y = rows
    texts = parquet(tmp_path / "texts.parquet", [f"{i}" for i in range(60)], x)
    backwards = tmp_path / "numbers.parquet"
    pq.write_table(pa.table({"id": list(range(59, -1, -1)), "embedding": list(y[::-1])}), backwards)
    options = ["--metrics", "pair_distance", "--null", "2", "--out", str(tmp_path / "out")]
    assert main(["align", texts, str(backwards), *options]) == 0
    found = json.loads((tmp_path / "out" / "alignment.json").read_text())
    assert (found["paired_by"], found["identifiers"]) == ("identifier", ["text", "whole numbers"])
    paired = [side / np.linalg.norm(side, axis=1, keepdims=True) for side in (x, y)]
    assert found["metrics"][0]["value"] == pytest.approx(((paired[0] - paired[1]) ** 2).sum(1).mean(), rel=1e-5)
    assert "compared by value" in capsys.readouterr().out


def test_position_is_said_and_pairs_named_rows_only_if_asked_for(
    tmp_path: Path, rows: tuple[np.ndarray, np.ndarray], capsys: pytest.CaptureFixture[str]
) -> None:
    x, y = rows
    named = parquet(tmp_path / "named.parquet", [f"{i}" for i in range(60)], x)
    np.save(tmp_path / "bare.npy", y)
    asked = ["align", named, str(tmp_path / "bare.npy"), "--metrics", "cka", "--null", "2"]
    assert main(asked) == 2
    assert "--pair-by position" in capsys.readouterr().err
    assert main([*asked, "--pair-by", "position", "--out", str(tmp_path / "out")]) == 0
    assert "Paired by position" in capsys.readouterr().out
    assert json.loads((tmp_path / "out" / "alignment.json").read_text())["paired_by"] == "position"

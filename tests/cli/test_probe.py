"""`vergence probe` on files."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vergence.cli.main import main
from vergence.splits import write_split


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    """Embeddings that hold tone and depth but not noise, and their labels in another order."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(400, 8))
    labels = pd.DataFrame(
        {
            "key": [f"item {row}" for row in range(400)],
            "tone": np.where(z[:, 0] > 0, "dark", "light"),
            "depth": z[:, 1] + 0.1 * rng.normal(size=400),
            "noise": rng.choice(["a", "b"], 400),
            "image": np.arange(400) // 2,
        }
    )
    labels.loc[::7, "tone"] = None
    np.save(tmp_path / "z.npy", z)
    labels[["key"]].to_parquet(tmp_path / "z.parquet")
    labels.sample(frac=1, random_state=1).to_parquet(tmp_path / "labels.parquet")
    return str(tmp_path / "z.npy"), str(tmp_path / "labels.parquet")


def test_what_is_in_the_embeddings_is_found_and_what_is_not_is_not(files: tuple[str, str], tmp_path: Path) -> None:
    out = tmp_path / "probe.json"
    assert main(["probe", *files, "--cluster-column", "image", "--out", str(out)]) == 0
    found = {row["factor"]: row for row in json.loads(out.read_text())["factors"]}
    assert list(found) == ["tone", "depth", "noise"]
    assert found["tone"]["metric"] == "matthews_corrcoef"
    assert found["tone"]["score"] > 0.8
    assert found["depth"]["metric"] == "r2_score"
    assert found["depth"]["score"] > 0.9
    assert found["noise"]["low"] < 0.05
    assert found["tone"]["n_test"] < found["depth"]["n_test"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--factors", "tones"], "unknown column 'tones'; known: key, tone, depth, noise, image. Did you mean 'tone'?"),
        (["--cluster-column", "img"], "unknown column 'img'"),
        (["--factors", "tone,depth,tone"], "factor 'tone' is named 2 times"),
        (["--factors", ""], "unknown column ''"),
        (["--factors", "image", "--cluster-column", "image"], "cannot be both a factor and the cluster"),
        (["--factors", "key"], "column 'key' holds another value in each row"),
        (["--cluster-column", "tone"], "column 'tone' is null in 58 of 400 rows"),
        (["--pair-by", "order"], "unknown pairing 'order'; known: identifier, position"),
        (["--split", "nowhere"], "nowhere does not exist"),
        *(
            (["--test-fraction", share], f"--test-fraction must be a share above 0 and below 1; got {float(share)}")
            for share in ("0", "1", "1.5", "-0.1")
        ),
    ],
)
def test_mistakes_are_one_line(
    files: tuple[str, str], capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert main(["probe", *files, *arguments]) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.err.count("\n") == 1


def test_damaged_missing_and_unmatched_labels_are_named(
    files: tuple[str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    z, labels = files
    half = tmp_path / "half.parquet"
    half.write_bytes(Path(labels).read_bytes()[:500])
    fewer = tmp_path / "fewer.parquet"
    pd.read_parquet(labels).iloc[:300].to_parquet(fewer)
    one = tmp_path / "one.parquet"
    pd.read_parquet(labels).assign(image=0).to_parquet(one)
    for file, said in (
        (half, "cannot be read as Parquet"),
        (tmp_path / "no.parquet", "does not exist"),
        (fewer, "100 of 400 items of"),
        (one, "all 400 rows are of one cluster, so none can be held out"),
    ):
        assert main(["probe", z, str(file), "--cluster-column", "image"]) == 2
        captured = capsys.readouterr()
        assert said in captured.err
        assert captured.err.count("\n") == 1


def table(out: Path) -> dict:
    return {row["factor"]: row for row in json.loads(out.read_text())["factors"]}


@pytest.fixture
def classes(tmp_path: Path) -> tuple[Path, pd.DataFrame]:
    """Embeddings, with identifiers as a column, that hold one of three classes; and the labels, shuffled."""
    rng = np.random.default_rng(1)
    kind = rng.integers(3, size=300)
    z = rng.normal(size=(300, 5)) + 6 * np.eye(5)[kind]
    pq.write_table(pa.table({"id": np.arange(300), "z": list(z)}), tmp_path / "emb.parquet")
    labels = pd.DataFrame({"id": np.arange(300), "kind": kind}).sample(frac=1, random_state=0)
    return tmp_path / "emb.parquet", labels


@pytest.mark.parametrize("form", ["index", "text index", "csv", "text"])
def test_labels_are_not_paired_by_position_when_identifiers_are_elsewhere(classes, tmp_path: Path, form: str) -> None:
    embeddings, labels = classes
    path = tmp_path / ("lab.csv" if form == "csv" else "lab.parquet")
    if form == "csv":
        labels.to_csv(path, index=False)
    else:
        labels = labels.astype({"id": str}) if "text" in form else labels
        (labels.set_index("id") if "index" in form else labels).to_parquet(path)
    assert main(["probe", str(embeddings), str(path), "--out", str(tmp_path / "out.json")]) == 0
    assert table(tmp_path / "out.json")["kind"]["score"] > 0.9


def test_whole_number_classes_stay_classes_when_one_is_null(classes, tmp_path: Path) -> None:
    embeddings, labels = classes
    kinds = labels["kind"].astype("Int64")
    kinds.iloc[5] = None
    labels.assign(kind=kinds).to_parquet(tmp_path / "lab.parquet")
    assert main(["probe", str(embeddings), str(tmp_path / "lab.parquet"), "--out", str(tmp_path / "out.json")]) == 0
    found = table(tmp_path / "out.json")["kind"]
    assert found["metric"] == "matthews_corrcoef"
    assert found["score"] > 0.9
    assert found["n_fit"] + found["n_test"] == 299


def test_what_is_not_probed_and_how_rows_were_paired_is_said(
    classes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    embeddings, labels = classes
    labels = labels.sort_values("id").drop(columns="id").reset_index(drop=True)
    labels.assign(caption="a \x1b[31mcat", constant=1).to_parquet(tmp_path / "lab.parquet")
    np.save(tmp_path / "z.npy", np.stack(pq.read_table(embeddings)["z"].to_pylist()))
    assert main(["probe", str(tmp_path / "z.npy"), str(tmp_path / "lab.parquet")]) == 0
    captured = capsys.readouterr()
    assert "WARNING: rows are paired by position" in captured.err
    assert "not probed: column 'caption' describes items, by its name" in captured.err
    assert "not probed: column 'constant' holds '1' only" in captured.err
    assert "paired by position" in " ".join(captured.out.split())
    assert main(["probe", str(embeddings), str(tmp_path / "lab.parquet")]) == 2
    assert "must say which item each row is of" in capsys.readouterr().err
    assert main(["probe", str(embeddings), str(tmp_path / "lab.parquet"), "--pair-by", "position"]) == 0
    assert "WARNING" not in capsys.readouterr().err


def test_with_the_split_of_a_run_only_what_it_held_out_is_used(
    classes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The class is written into the embeddings of trained-on items only, so that to use them would show."""
    embeddings, labels = classes
    rng = np.random.default_rng(0)
    z = np.stack(pq.read_table(embeddings)["z"].to_pylist())
    z[150:] = rng.normal(size=(150, 5))
    pq.write_table(pa.table({"id": np.arange(300), "z": list(z)}), embeddings)
    rows = pd.DataFrame({"row": range(300), "key": list(map(str, range(300))), "cluster": list(map(str, range(300)))})
    side = np.where(np.arange(300) < 150, "fit", "held_out")
    write_split(tmp_path / "run" / "split.parquet", rows.assign(side=side, image="", reason=None))
    labels.to_parquet(tmp_path / "lab.parquet")
    given = ["probe", str(embeddings), str(tmp_path / "lab.parquet"), "--out", str(tmp_path / "out.json")]
    assert main([*given, "--split", str(tmp_path / "run")]) == 0
    found = table(tmp_path / "out.json")["kind"]
    assert found["n_fit"] + found["n_test"] == 150
    assert found["low"] < 0.2
    assert "150 of 300 items were held out; left out: 150 trained on, 0 that" in capsys.readouterr().err


def test_an_interval_without_a_bound_is_null_in_strict_json(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    np.save(tmp_path / "z.npy", rng.normal(size=(60, 3)))
    frame = pd.DataFrame({"depth": rng.normal(size=60), "image": np.arange(60) // 10})
    frame.to_parquet(tmp_path / "lab.parquet")
    out, files = tmp_path / "out.json", [str(tmp_path / "z.npy"), str(tmp_path / "lab.parquet")]
    assert main(["probe", *files, "--cluster-column", "image", "--test-fraction", "0.1", "--out", str(out)]) == 0
    content = json.loads(out.read_text(), parse_constant=pytest.fail)
    assert content["factors"][0]["low"] is None
    assert content["paired_by"] == "position"


def test_embeddings_that_hold_nan_are_refused(classes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, labels = classes
    z = np.zeros((300, 3))
    z[7, 1] = np.nan
    np.save(tmp_path / "z.npy", z)
    labels.to_parquet(tmp_path / "lab.parquet")
    assert main(["probe", str(tmp_path / "z.npy"), str(tmp_path / "lab.parquet")]) == 2
    assert "holds NaN or infinity in 1 of 300 rows" in capsys.readouterr().err

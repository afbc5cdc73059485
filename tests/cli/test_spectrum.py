"""`vergence spectrum`: what it says of two files, what it writes, and what it refuses."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vergence.cli.main import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images and texts that share a shape exactly and a tone with an error, behind mixings; and labels."""
    to, draw = tmp_path_factory.mktemp("spectrum"), np.random.default_rng(0)
    shape, tone = draw.integers(3, size=800), draw.normal(size=800)
    shown = np.column_stack([np.eye(3)[shape], tone])
    said = np.column_stack([np.eye(3)[shape], tone + draw.normal(size=800)])
    for name, side in (("a", shown), ("b", said)):
        mixed = np.column_stack([side, draw.normal(size=(800, 2))]) @ draw.normal(size=(6, 6))
        np.save(to / f"{name}.npy", mixed.astype(np.float32))
    (to / "labels.csv").write_text(
        "shape,tone\n" + "".join(f"{'abc'[one]},{other}\n" for one, other in zip(shape, tone, strict=True))
    )
    return to


def spectrum(folder: Path, *options: str, a: str = "a.npy", b: str = "b.npy") -> int:
    return main(["spectrum", str(folder / a), str(folder / b), "--null", "100", *options])


def test_directions_with_their_concepts_and_what_a_model_would_keep(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    asked = ["--labels", str(folder / "labels.csv"), "--encoding-size", "2", "--bottleneck", "1", "--temperature", "1"]
    out = folder / "out"
    assert spectrum(folder, *asked, "--out", str(out)) == 0
    printed = capsys.readouterr()
    assert "Above chance: 3 of 5 directions" in printed.out
    assert "Compatible with 1: 2" in printed.out
    assert "Of their own: 3" in printed.out
    assert "Between these is a gap: after the first 2, from 1.000 to 0.7" in printed.out
    assert "Above sigma* = 0.500: 3 directions" in printed.out
    assert "A model of 2 outputs would keep 2 directions" in printed.out
    assert max(map(len, printed.out.replace(str(out), "").splitlines())) <= 80
    assert "rows are paired by position" in printed.err

    found = json.loads((out / "spectrum.json").read_text(), parse_constant=pytest.fail)
    assert len(found["strengths"]) == 5
    assert all(0 <= one["low"] <= one["value"] <= one["high"] <= 1 for one in found["strengths"])
    assert [set(one) for one in found["strengths"]] == [{"value", "low", "high"}] * 5
    assert found["strengths"][1]["value"] > 0.999
    assert found["strengths"][2]["low"] < 0.5**0.5 < found["strengths"][2]["high"]
    assert [of[0]["factor"] for of in found["concepts"][:3]] == ["shape", "shape", "tone"]
    assert (found["null"]["above"], found["null"]["shuffles"], found["items"]) == (3, 100, 800)
    assert (found["paired_by"], found["seed"], found["command"]) == ("position", 0, "vergence spectrum")
    assert (found["encoding_size"]["shared"], found["kept"]) == (3, [1.0, 1.0, 0.0, 0.0, 0.0])
    figure = (out / "spectrum.svg").read_text()
    assert "σ* = 0.50" in figure
    assert "shape" in figure


def test_rows_are_paired_by_identifier_and_repeated_images_are_one_draw(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = (np.load(folder / f"{name}.npy") for name in "ab")
    order = np.random.default_rng(1).permutation(800)
    np.save(tmp_path / "a.npy", a)
    pq.write_table(pa.table({"key": np.arange(800)}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"key": order, "embedding": list(b[order])}), tmp_path / "b.parquet")
    values = []
    for where, name in ((folder, "b.npy"), (tmp_path, "b.parquet")):
        assert spectrum(where, "--out", str(tmp_path / name[2:]), b=name) == 0
        values.append(json.loads((tmp_path / name[2:] / "spectrum.json").read_text())["strengths"])
    assert [one["value"] for one in values[0]] == pytest.approx([one["value"] for one in values[1]], abs=1e-6)
    np.save(tmp_path / "twice.npy", np.repeat(a[:400], 2, 0))
    capsys.readouterr()
    assert spectrum(tmp_path, "--pair-by", "position", a="twice.npy", b="b.parquet") == 0
    printed = capsys.readouterr()
    assert "800 pairs of 400 items paired by position" in printed.out
    assert "holds 400 different rows of 800: pairs with equal ones count as one draw" in " ".join(printed.err.split())


def test_what_has_no_spectrum_is_one_line(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = np.load(folder / "a.npy")
    np.save(tmp_path / "few.npy", a[:39])
    np.save(tmp_path / "same.npy", np.ones((800, 2)))
    np.save(tmp_path / "nan.npy", np.where(np.arange(800)[:, None] == 7, np.nan, a))
    (tmp_path / "short.npy").write_bytes((folder / "a.npy").read_bytes()[:-1])
    for files, options, said in (
        ((folder / "a.npy", tmp_path / "few.npy"), [], "800 rows and"),
        ((tmp_path / "few.npy", tmp_path / "few.npy"), [], "at least 40 pairs; got 39"),
        ((folder / "a.npy", tmp_path / "same.npy"), [], "no direction varies on both sides"),
        ((tmp_path / "same.npy", folder / "a.npy"), [], "need at least 40 clusters of pairs; got 1"),
        ((tmp_path / "nan.npy", folder / "a.npy"), [], "holds NaN or infinity in 1 of 800 rows, the first is row 7"),
        ((tmp_path / "short.npy", folder / "a.npy"), [], "is truncated or damaged"),
        ((tmp_path / "absent.npy", folder / "a.npy"), [], "is missing"),
        ((folder / "a.npy", folder / "b.npy"), ["--bottleneck", "1"], "--bottleneck needs --temperature"),
        ((folder / "a.npy", folder / "b.npy"), ["--temperature", "0"], "temperature must be"),
        ((folder / "a.npy", folder / "b.npy"), ["--encoding-size", "0"], "--encoding-size must be >= 1; got 0"),
        ((folder / "a.npy", folder / "b.npy"), ["--null", "5"], "--null must be >= 100"),
        ((folder / "a.npy", folder / "b.npy"), ["--factors", "shape"], "--factors needs --labels"),
        ((folder / "a.npy", folder / "b.npy"), ["--labels", str(tmp_path / "no.csv")], "no.csv"),
        (
            (folder / "a.npy", folder / "b.npy"),
            ["--labels", str(folder / "labels.csv"), "--factors", "tint"],
            "unknown column 'tint'; known: shape, tone",
        ),
    ):
        assert main(["spectrum", *map(str, files), *options]) == 2, said
        line = capsys.readouterr().err
        assert said in line
        assert line.count("\n") == 1

"""vergence label: what is written, what is left out, and what audit makes of it as it is."""

import io
import json
import shlex
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from tests.data import sources

from vergence.cli.main import main
from vergence.data.color_names import color_table
from vergence.data.pixels import PIXEL_FACTORS

RED, BLUE = (220, 30, 40), (30, 60, 200)


def refused(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    capsys.readouterr()
    assert main(["label", *command]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def captioned(folder: Path, n: int = 60) -> Path:
    """Red and blue squares on white, every third one on nothing; captions name the colour, of one in ten the other."""
    rows = []
    for number in range(n):
        clear = number % 3 == 0
        image = Image.new("RGBA" if clear else "RGB", (24, 24), (0, 0, 0, 0) if clear else "white")
        image.paste(BLUE if number % 2 else RED, (6, 6, 18, 18))
        name = "red" if bool(number % 2) == (number % 10 == 1) else "blue"
        (folder / "set").mkdir(parents=True, exist_ok=True)
        image.save(folder / "set" / f"{number}.png")
        rows += [(f"{number}.png", f"a {name} square"), (f"{number}.png", "a square")]
    return sources.write_csv(folder / "set" / "pairs.csv", ("file_name", "title"), rows)


@pytest.mark.parametrize("layout", [sources.table, sources.shards, sources.parquet_records, sources.sidecars])
def test_every_layout_gets_a_row_for_each_image_and_a_column_for_each_factor(tmp_path: Path, layout) -> None:
    out = tmp_path / "out"
    assert main(["label", str(layout(tmp_path / "set")), "--out", str(out)]) == 0
    table = pq.read_table(out / "labels.parquet")
    assert table.column_names == ["key", "caption", *PIXEL_FACTORS]
    shown = list(zip(table["color"].to_pylist(), table["chroma"].to_pylist(), strict=True))
    assert sorted(shown) == [("blue", "colour"), ("green", "colour"), ("grey", "grey"), ("red", "colour")]
    assert set(table["aspect"].to_pylist()) == {"landscape"}
    about = json.loads((out / "labels.json").read_text())
    assert about["values"]["color"]["red"] == 1
    assert about["left_out"] == {}
    assert {"command", "versions", "date"} <= set(about)


def test_the_command_that_is_printed_audits_the_labels_with_their_errors_taken_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["label", str(captioned(tmp_path)), "--pixels", "color,transparency", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "color: red 30, blue 30" in said
    assert "transparency: opaque 40, transparent 20" in said
    assert "60 images, 120 captions: " in said
    command = next(line for line in said.splitlines() if "vergence audit" in line).partition("vergence ")[2]
    assert "--detector-errors" in command
    assert set(json.loads((out / "errors.json").read_text())) == {"color"}
    assert main([*shlex.split(command), "--out", str(tmp_path / "audit")]) == 0
    found = json.loads((tmp_path / "audit" / "coverage.json").read_text())
    color = next(row for row in found["misalignment"] if row["factor"] == "color")
    assert color["images"] == 120
    assert color["clusters"] == 60  # two captions of an image are no two images
    assert color["selection"] == pytest.approx(0.5, abs=0.02)
    assert color["wrong_value"] < 0.2


def test_probe_joins_the_labels_by_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, rng = tmp_path / "out", np.random.default_rng(0)
    assert main(["label", str(captioned(tmp_path)), "--pixels", "color", "--out", str(out)]) == 0
    labels = pq.read_table(out / "labels.parquet")
    shown = [[float(color == "red")] for color in labels["color"].to_pylist()]
    embedding = (np.array(shown) + 0.01 * rng.standard_normal((60, 4))).tolist()
    pq.write_table(
        pa.table({"key": labels["key"], "embedding": embedding}).take(rng.permutation(60)), tmp_path / "z.parquet"
    )
    found = tmp_path / "probe.json"
    capsys.readouterr()
    assert main(["probe", str(tmp_path / "z.parquet"), str(out / "labels.parquet"), "--out", str(found)]) == 0
    (factor,) = json.loads(found.read_text())["factors"]
    assert factor["factor"] == "color"


def test_a_rotated_photo_has_the_aspect_that_is_seen(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    Image.new("RGB", (40, 20), RED).save(file, "JPEG", exif=exif)
    (tmp_path / "a.jpg").write_bytes(file.getvalue())
    source = sources.write_csv(tmp_path / "pairs.csv", ("image", "caption"), [("a.jpg", "a red wall")])
    assert main(["label", str(source), "--pixels", "aspect", "--out", str(tmp_path / "out")]) == 0
    assert pq.read_table(tmp_path / "out" / "labels.parquet")["aspect"].to_pylist() == ["portrait"]
    assert not (tmp_path / "out" / "errors.json").exists()


def test_what_cannot_be_read_is_counted_and_named_and_nothing_is_shifted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = sources.table(tmp_path / "set")
    (tmp_path / "set" / "deep" / "b.png").write_bytes(b"none")
    with open(source, "a") as file:
        file.write("nowhere.png,a cat\nd.jpeg,\n")
    out = tmp_path / "out"
    assert main(["label", str(source), "--out", str(out), "--workers", "3"]) == 0
    said = capsys.readouterr()
    assert "left out: 3 rows: " in said.err
    assert "nowhere.png: no such file" in said.err
    table = pq.read_table(out / "labels.parquet")
    labels = dict(zip(table["key"].to_pylist(), table["color"].to_pylist(), strict=True))
    assert labels == {"a.JPG": "red", "c.webp": "blue", "d.jpeg": "grey"}
    assert json.loads((out / "labels.json").read_text())["left_out"] == {"image cannot be read": 2, "no caption": 1}


def test_a_folder_is_kept_resumed_or_replaced_as_was_asked(tmp_path: Path, capsys) -> None:
    source, out = sources.table(tmp_path / "set"), tmp_path / "out"
    command = [str(source), "--out", str(out)]
    assert main(["label", *command]) == 0
    before = (out / "labels.parquet").read_bytes()
    assert "holds a job already; pass --resume" in refused(capsys, *command)
    (tmp_path / "set" / "a.JPG").unlink()
    assert main(["label", *command, "--resume"]) == 0
    assert (out / "labels.parquet").read_bytes() == before
    assert "holds a job with another pixels" in refused(capsys, *command, "--resume", "--pixels", "color")
    assert main(["label", *command, "--overwrite", "--pixels", "color"]) == 0
    assert pq.read_table(out / "labels.parquet").column_names == ["key", "caption", "color"]


def test_without_scikit_image_colours_name_the_extra_and_the_rest_goes_on(tmp_path: Path, capsys, monkeypatch) -> None:
    source, out = str(sources.table(tmp_path / "set")), ["--out", str(tmp_path / "out")]
    monkeypatch.setitem(sys.modules, "skimage", None)
    monkeypatch.setitem(sys.modules, "skimage.color", None)
    color_table.cache_clear()
    assert "install it with: pip install 'vergence[pixels]'" in refused(capsys, source, *out)
    assert not (tmp_path / "out").exists()
    assert main(["label", source, *out, "--pixels", "aspect,transparency"]) == 0


def test_mistakes_are_one_line_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = str(sources.table(tmp_path / "set")), ["--out", str(tmp_path / "out")]
    assert "--out is missing; pass --out DIR" in refused(capsys, source)
    assert "unknown pixel factor 'colour'; known: color" in refused(capsys, source, *out, "--pixels", "colour")
    assert "name each factor once" in refused(capsys, source, *out, "--pixels", "color,color")
    assert "workers must be >= 1" in refused(capsys, source, *out, "--workers", "0")
    assert "unknown column 'wat'; known: file_name, title" in refused(capsys, source, *out, "--caption-column", "wat")
    assert "no such file or folder" in refused(capsys, str(tmp_path / "none"), *out)
    gone = sources.write_csv(tmp_path / "gone.csv", ("image", "text"), [("a.png", "a"), ("b.png", "b")])
    assert "none of 2 images can be read; a.png: image cannot be read" in refused(capsys, str(gone), *out)
    twice = sources.write_csv(
        tmp_path / "set" / "twice.csv", ("id", "image", "text"), [(1, "a.JPG", "a"), (1, "c.webp", "b")]
    )
    line = refused(capsys, str(twice), "--out", str(tmp_path / "other"))
    assert "the key '1' names two images: record 1 of" in line
    assert "tells them apart: --key-column" in line

"""Audit, curate, adapt, compare: the commands of the README as they stand there, and the same on a messy shop."""

import csv
import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vergence.cli.main import main

README = (Path(__file__).parents[2] / "README.md").read_text()
HUES = {"red": (220, 30, 30), "green": (30, 160, 50), "blue": (40, 60, 220)}
MESS = {
    7: "a <b class='red'>red</b> &amp; shiny thing",
    11: "فنجان red جديد",
    13: "cup \u2764\ufe0f red\ncup",
    17: "red",
    19: "",
    23: "no red cup here",
    29: "a red-haired doll, red",
}


def run(command: str) -> None:
    assert main(shlex.split(command)) == 0, command


def change(folder: str, factor: str, metric: str) -> tuple[float, float]:
    """A factor's score before and after, as `vergence compare` wrote it."""
    (compared,) = json.loads(Path(folder, "compare.json").read_text())["comparisons"]
    rows = [row for row in compared["scores"] if row["section"] == "factors" and row["name"] == factor]
    (row,) = [row for row in rows if row["metric"] == metric]
    return row["before"], row["after"]


def commands() -> list[str]:
    block = next(part for part in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) if "corpus drawings" in part)
    return [line.removeprefix("vergence ").strip() for line in block.splitlines() if line]


@pytest.mark.slow
def test_the_loop_of_the_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    for command in commands():
        if command.startswith("echo"):
            Path("target.yaml").write_text(shlex.split(command)[1])
        else:
            run(command)
    said = capsys.readouterr().out
    assert "1,520 of 3,372 captions edited, in 1,520 places" in said
    assert change("compared-captions", "skin_tone", "mention rate") == (0.0, 1.0)
    before, after = change("compared-models", "skin_tone", "matthews_corrcoef")
    assert after - before > 0.1
    run("curate curated --undo --out back")
    assert Path("back/captions/drawings.parquet").read_bytes() == Path("drawings/drawings.parquet").read_bytes()


def messy_shop(folder: Path, n: int = 160) -> None:
    """Shapes in three hues; captions name another hue in two of three, and the rest of a shop's mess."""
    stream = np.random.default_rng(0)
    folder.mkdir()
    rows = [("key", "image", "caption")]
    for number in range(n):
        hue = list(HUES)[number % 3]
        pixels = np.full((32, 32, 3), 255, dtype=np.uint8)
        width, height = (20, 8) if stream.integers(2) else (8, 20)
        top, left = stream.integers(2, 30 - height), stream.integers(2, 30 - width)
        pixels[top : top + height, left : left + width] = HUES[hue]
        Image.fromarray(pixels).save(folder / f"{number}.png")
        said = hue if stream.random() < 1 / 3 else str(stream.choice([other for other in HUES if other != hue]))
        shape = "wide" if width > height else "tall"
        rows.append((f"k{number}", f"{number}.png", MESS.get(number, f"a {said} box, {shape}")))
    (folder / "31.png").write_bytes(b"\x89PNG broken")
    rows[42] = ("k40", "40.png", "a box")  # a picture that is there twice
    with (folder / "pairs.csv").open("w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows(rows)


@pytest.mark.slow
def test_the_loop_on_a_messy_shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    pytest.importorskip("skimage", reason="needs vergence[pixels]")
    monkeypatch.chdir(tmp_path)
    messy_shop(Path("shop"))
    shop = Path("shop/pairs.csv")
    original = shop.read_bytes()
    labelled = "--key-column key --labels labels/labels.parquet --lexicon labels/lexicon.yaml"
    pairs = "--cluster-column key --validation 0.3 --learning-rate 0.01 --epochs 2 --batch-size 16"
    Path("target.yaml").write_text("{faithful: [color]}")
    run(f"label {shop} --key-column key --pixels color --out labels")
    run(f"audit {shop} --caption-column caption {labelled} --out before")
    run(
        f"train --data.source {shop} --data.key_column key --data.side 16 --data.validation 0.3 --train.epochs 2 "
        "--train.batch_size 16 --out model"
    )
    run(f"curate {shop} {labelled} --target target.yaml --out curated")
    assert shop.read_bytes() == original
    curated = Path("curated/captions/pairs.csv")
    run(f"audit {curated} --caption-column caption {labelled} --out after")
    run("compare before after --out compared-captions")
    run(f"adapt model {curated} --images shop --new-words {pairs} --out adapted")
    run(f"compare model adapted --data {curated} --images shop --labels labels/labels.parquet --out compared-models")
    said = capsys.readouterr()
    assert "left out: 2 rows: no caption (1), image cannot be read (1)" in said.err
    before, after = change("compared-captions", "color", "wrong rate")
    assert before > 0.5
    assert after < 0.05
    assert np.isfinite(change("compared-models", "color", "matthews_corrcoef")).all()
    run("curate curated --undo --out back")
    assert Path("back/captions/pairs.csv").read_bytes() == original

"""From a folder of images with a CSV to its spectrum: the commands of docs/train.md, as they stand there."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.data.sources import write_csv

from vergence.cli.main import main

PAGE = (Path(__file__).parents[2] / "docs" / "train.md").read_text()
COMMANDS = [line for line in re.search("```sh\n(.+?)```", PAGE, re.DOTALL)[1].splitlines() if line]


def shop(folder: Path, n: int = 96) -> None:
    """Squares in three colours, striped or not: what the pictures show is what the captions say."""
    rng = np.random.default_rng(0)
    colours = {"red": (220, 30, 30), "green": (30, 180, 60), "blue": (40, 60, 220)}
    (folder / "img").mkdir(parents=True)
    pairs, labels = [], []
    for number in range(n):
        colour, striped = list(colours)[number % 3], number % 2
        pixels = rng.integers(200, 256, size=(40, 48, 3), dtype=np.uint8)
        pixels[8:32, 8:32] = colours[colour]
        pixels[8:32:4, 8:32] = 0 if striped else pixels[8:32:4, 8:32]
        name = f"img/{number:03d}.{['JPG', 'png', 'webp'][number % 3]}"
        Image.fromarray(pixels).save(folder / name, ["JPEG", "PNG", "WEBP"][number % 3])
        shape = "stripes" if striped else "square"
        pairs.append((name, f"a {colour} thing,\nwith {shape} — schön"))
        labels.append((name, colour, shape))
    pairs[5] = ("img/missing.png", "a red square")
    write_csv(folder / "pairs.csv", ("filepath", "title"), pairs)
    write_csv(folder / "labels.csv", ("key", "color", "shape"), labels)


@pytest.mark.slow
def test_the_commands_of_the_page_chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    shop(tmp_path / "shop")
    monkeypatch.chdir(tmp_path)
    assert [command.split()[1] for command in COMMANDS] == ["train", "embed", "probe", "align", "spectrum"]
    for command in COMMANDS:
        assert main(shlex.split(command)[1:]) == 0, capsys.readouterr().err
    scores = {row["factor"]: row["score"] for row in json.loads(Path("probe.json").read_text())["factors"]}
    assert scores["color"] > 0.8
    assert set(scores) == {"color", "shape"}
    said = capsys.readouterr()
    assert said.out.count("95 items paired by identifier") == 2
    assert re.search(r" 1 +[01]\.\d+ +\[.*\] +(color|shape)", said.out)  # what the strongest direction speaks of
    assert main(["probe", "emb/images.parquet", "shop/labels.csv", "--split", "run", "--factors", "color"]) == 0
    assert main(["embed", "shop", "--model", "run/encoder", "--out", "from-folder"]) == 0
    assert "passed over: shop/labels.csv: no column of captions" in capsys.readouterr().err
    assert Path("from-folder/images.parquet").read_bytes() == Path("emb/images.parquet").read_bytes()

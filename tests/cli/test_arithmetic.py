"""vergence arithmetic: on a small run, its scores those of the function; what is unseen; what is refused."""

import json
import re
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from vergence.cli.main import main
from vergence.metrics import arithmetic
from vergence.splits import read_split
from vergence.training import load_model

SHAPES, TONES, SIZES = ("<b>cup</b>", "hat", "jug", "key", "pan", "pot"), ("light", "dark"), ("small", "large")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("arithmetic")
    stream, rows = np.random.default_rng(0), []
    for number, (shape, tone, size) in enumerate(product(SHAPES, TONES, SIZES)):
        Image.fromarray(stream.integers(0, 256, (12, 12, 3), dtype=np.uint8)).save(folder / f"{number}.png")
        rows.append((f"{number}.png", f"a {size} {shape}, {tone}", shape, tone, size, number))
    table = pd.DataFrame(rows, columns=["path", "caption", "concept", "tone", "size", "made"])
    table.to_csv(folder / "pairs.csv", index=False)
    data = ["--data.source", str(folder / "pairs.csv"), "--data.side", "8", "--data.validation", "0.5"]
    more = ["--data.shift", "0", "--data.cluster_column", "concept", "--train.epochs", "1", "--train.batch_size", "4"]
    assert main(["train", *data, *more, "--out", str(folder / "run")]) == 0
    return folder


def run(place: Path, out: Path, *more: str) -> int:
    return main(["arithmetic", str(place / "pairs.csv"), "--model", str(place / "run"), "--out", str(out), *more])


def test_scores_are_those_of_the_function_on_images_that_the_run_has_not_seen(place, tmp_path, capsys):
    template = ["--template", "tone=a {} thing", "--template", "tone=this is {}", "--template", "{} one"]
    assert run(place, tmp_path / "out", *template) == 0
    said = capsys.readouterr()
    assert "12 of 24 images, which the model was not trained on" in said.err
    found = json.loads((tmp_path / "out" / "arithmetic.json").read_text())
    split = read_split(place / "run").to_pandas()
    table = pd.read_csv(place / "pairs.csv").set_index("path").loc[split[split["side"] == "held_out"]["key"]]
    model = load_model(place / "run")
    unit = torch.nn.functional.normalize
    said_of = {"tone": ("a {} thing", "this is {}"), "size": ("{} one",)}
    phrases = [("tone", "dark"), ("tone", "light"), ("size", "large"), ("size", "small")]
    z_text = [
        unit(model.embed_texts([one.replace("{}", value) for one in said_of[name]])).mean(0) for name, value in phrases
    ]
    z_image = model.embed_images([place / name for name in table.index])
    labels, concepts = table[["tone", "size"]].reset_index(drop=True), table["concept"].tolist()
    expected = arithmetic(z_image, torch.stack(z_text), phrases, labels, concepts).table()
    own = {(row["factor"], row["method"]): row for row in found["factors"]}
    for row in expected.to_dict("records"):
        for name in ("queries", "recall@1", "recall@5", "recall@1_low", "exact", "source_first"):
            wanted = None if np.isnan(row[name]) else pytest.approx(row[name], abs=1e-6)
            assert own[row["factor"], row["method"]][name] == wanted
    assert own["tone", "chance"]["recall@1"] == pytest.approx(1 / 11)
    assert found["gallery"] == 11
    assert {row["over"] for row in found["gains"]} == {"text_only", "image_only", "chance"}
    page = (tmp_path / "out" / "page.html").read_text()
    assert page.count("data:image/png") >= 12
    assert not re.search(r"<script|https?://(?!www.w3.org)", page)
    queries = pd.read_parquet(tmp_path / "out" / "queries.parquet")
    assert set(queries["item"]) == set(table.index)


def test_a_label_file_of_its_own_columns_that_may_differ_and_resuming(place, tmp_path, capsys):
    table = pd.read_csv(place / "pairs.csv")
    table["view"] = ["left", "right"] * 12  # follows size, which may differ: no counterpart in tone alone is lost
    table.rename(columns={"path": "key"}).to_csv(tmp_path / "labels.csv", index=False)
    more = ["--labels", str(tmp_path / "labels.csv"), "--seen", "--factor", "size"]
    assert run(place, tmp_path / "out", *more) == 2
    assert "no image has a counterpart" in capsys.readouterr().err
    more += ["--may-differ", "view"]
    assert run(place, tmp_path / "out", *more, "--overwrite") == 0
    found = (tmp_path / "out" / "arithmetic.json").read_bytes()
    assert {row["queries"] for row in json.loads(found)["factors"]} == {24}
    assert run(place, tmp_path / "out", *more, "--resume") == 0
    assert (tmp_path / "out" / "arithmetic.json").read_bytes() == found


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--factor", "ton"], "unknown factor 'ton'; known: tone, size"),
        (["--template", "tone=a tone"], r"a template must have one \{\}"),
        (["--template", "hue={}"], "unknown factor 'hue'"),
        (["--concept-column", "thing"], "'thing'"),
        (["--step", "-1"], "step must be a finite number >= 0; got -1.0"),
        (["--may-differ", "nothing"], "unknown factor 'nothing'"),
        (["--labels", "absent.csv"], "absent.csv"),
    ],
)
def test_what_is_of_no_use_is_refused_in_one_line(place, tmp_path, capsys, more, message):
    assert run(place, tmp_path / "out", *more) == 2
    told = capsys.readouterr().err.strip().splitlines()
    assert re.search(message, told[-1])


def test_images_without_a_table_and_a_table_without_images_are_refused(place, tmp_path, capsys):
    model = ["--model", str(place / "run"), "--out", str(tmp_path / "out")]
    assert main(["arithmetic", str(place), *model]) == 2
    assert "--labels FILE" in capsys.readouterr().err
    assert main(["arithmetic", "--labels", str(place / "pairs.csv"), *model]) == 2
    assert "--labels is of DATA" in capsys.readouterr().err

"""vergence awareness: folders of concepts and tables, several models, coverage beside, and what is left out."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sklearn.metrics import f1_score
from tests.encoders.pretrained import save_pair

from vergence.cli.main import main
from vergence.metrics.scale import unit
from vergence.training import load_model

pytest.importorskip("transformers", reason="needs vergence[transformers]")

LEXICON = """
name: small
groups:
  - name: animal
    concepts: {dog: [dog, dogs], cat: [cat]}
  - name: color
    concepts: {red: [red], green: [green], heart: [heart]}
"""
CONCEPTS = ("dog", "cat", "red", "green")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("awareness")
    (folder / "lexicon.yaml").write_text(LEXICON)
    for name, seed in (("clip", 0), ("other", 1)):
        save_pair(folder / name, "clip", seed=seed)
    stream = np.random.default_rng(0)
    for concept in CONCEPTS:
        (folder / "images" / concept).mkdir(parents=True)
        for number in range(6):
            values = stream.integers(0, 256, (20 + number, 30, 3), dtype=np.uint8)
            Image.fromarray(values).save(folder / "images" / concept / f"{number}.png")
    return folder


def run(place: Path, images: Path, out: Path, *more: str, model: str = "clip") -> int:
    command = ["awareness", str(images), "--model", str(place / model), "--lexicon", str(place / "lexicon.yaml")]
    return main([*command, "--out", str(out), *more])


def test_scores_of_a_folder_are_those_of_scikit_learn(place: Path, tmp_path: Path, capsys) -> None:
    assert run(place, place / "images", tmp_path / "out", "--templates", "default") == 0
    found = json.loads((tmp_path / "out" / "awareness.json").read_text())
    model = load_model(place / "clip")
    for group, names in (("animal", ["dog", "cat"]), ("color", ["red", "green", "heart"])):
        there = [name for name in names if (place / "images" / name).is_dir()]
        files = [(name, file) for name in there for file in sorted((place / "images" / name).iterdir())]
        z = unit(model.embed_images([file for _, file in files]))
        told = [names[k] for k in (z @ unit(model.embed_texts(names)).T).argmax(1).tolist()]
        wanted = f1_score([name for name, _ in files], told, labels=there, average=None, zero_division=0)
        entry = next(one for one in found["groups"] if one["group"] == group)
        assert entry["macro_f1"] == pytest.approx(np.mean(wanted))
        assert entry["low"] <= entry["macro_f1"] <= entry["high"]
        ours = {one["concept"]: one for one in found["concepts"] if one["group"] == group}
        for name, value in zip(there, wanted, strict=True):
            assert ours[name]["f1"] == pytest.approx(value)
            assert ours[name]["support"] == 6
    heart = next(one for one in found["concepts"] if one["concept"] == "heart")
    assert (heart["support"], heart["f1"]) == (0, None)
    assert set(found["with_templates"]) == {"clip"}
    table = pd.read_parquet(tmp_path / "out" / "awareness.parquet")
    assert set(table["prompts"]) == {"bare", "templates"}
    said = capsys.readouterr().out
    assert "animal" in said
    assert "templates" in said
    page = (tmp_path / "out" / "page.html").read_text()
    assert "data:image/png" in page
    named = json.loads((tmp_path / "out" / "clip_benchmark.json").read_text())
    assert set(named[0]["metrics"]) == {"acc1", "acc5", "mean_per_class_recall", "mean_average_precision"}


def test_a_table_with_several_concepts_an_image_counts_them_all(place: Path, tmp_path: Path) -> None:
    files = sorted((place / "images").rglob("*.png"))[:12]
    names = [["dog", "cat"] if k % 3 == 0 else ["dog"] if k % 3 == 1 else ["cat"] for k in range(12)]
    content = {"image": [file.read_bytes() for file in files], "concept": names, "key": [f"k{k}" for k in range(12)]}
    pq.write_table(pa.table(content), tmp_path / "set.parquet")
    assert run(place, tmp_path / "set.parquet", tmp_path / "out") == 0
    found = json.loads((tmp_path / "out" / "awareness.json").read_text())
    (entry,) = found["groups"]
    assert (entry["group"], entry["images"], entry["several"]) == ("animal", 12, True)
    assert {one["concept"]: one["support"] for one in found["concepts"]} == {"dog": 8, "cat": 8}


def test_coverage_stands_beside_and_several_models_too(place: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "captions.csv").write_text("caption\na red dog\na dog\na cat\na red heart\nnothing\n")
    lexicon = str(place / "lexicon.yaml")
    assert main(["audit", str(tmp_path / "captions.csv"), "--lexicon", lexicon, "--out", str(tmp_path / "audit")]) == 0
    more = ["--coverage", str(tmp_path / "audit"), "--model", str(place / "other")]
    assert run(place, place / "images", tmp_path / "out", *more) == 0
    found = json.loads((tmp_path / "out" / "awareness.json").read_text())
    assert set(found["models"]) == {"clip", "other"}
    over = [one["over"] for one in found["coverage"]]
    assert over[:3] == ["all concepts", "within groups", "between groups"]
    assert over[3:] == ["all concepts, recall", "all concepts, F1 of guessing"]
    by_name = {one["concept"]: one for one in found["concepts"]}
    assert by_name["dog"]["share"] == pytest.approx(0.4)
    assert by_name["heart"]["standing"] == ""
    assert by_name["dog"]["standing"] in {"mentioned, not seen", "both"}
    assert "Spearman" in capsys.readouterr().out
    assert "Coverage and awareness" in (tmp_path / "out" / "page.html").read_text()


def test_a_job_goes_on_where_it_was(place: Path, tmp_path: Path) -> None:
    assert run(place, place / "images", tmp_path / "out") == 0
    first = {file.name: file.read_bytes() for file in (tmp_path / "out").glob("*.json")}
    assert run(place, place / "images", tmp_path / "out") == 2
    assert run(place, place / "images", tmp_path / "out", "--resume") == 0
    assert {file.name: file.read_bytes() for file in (tmp_path / "out").glob("*.json")} == first


def test_what_cannot_be_scored_is_counted_or_refused_in_one_line(place: Path, tmp_path: Path, capsys) -> None:
    images = tmp_path / "images"
    for name in ("dog", "unicorn"):
        (images / name).mkdir(parents=True)
        Image.new("RGB", (9, 9), "red").save(images / name / "a.png")
    (images / "dog" / "broken.png").write_bytes(b"none")
    assert run(place, images, tmp_path / "out") == 0
    said = capsys.readouterr().err
    assert "1 rows: 'unicorn' is no concept of the lexicon" in said
    assert "1 rows: image cannot be read" in said
    (tmp_path / "templates.txt").write_text("a photo of a dog\n")
    for more, words in (
        (["--templates", str(tmp_path / "templates.txt")], "a template must have one {}"),
        (["--coverage", str(tmp_path / "nowhere")], "coverage.json"),
        (["--concept-column", "kind"], "holds no encoder"),
    ):
        model = tmp_path if "kind" in more else place / "clip"
        command = ["awareness", str(images), "--model", str(model), "--lexicon", str(place / "lexicon.yaml"), *more]
        assert main([*command, "--out", str(tmp_path / "refused"), "--overwrite"]) == 2
        lines = capsys.readouterr().err.splitlines()
        assert words in lines[-1], lines
    (tmp_path / "empty" / "dog").mkdir(parents=True)
    assert run(place, tmp_path / "empty", tmp_path / "none") == 2
    assert "holds no image" in capsys.readouterr().err

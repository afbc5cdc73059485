"""vergence embed: what is written, what is left out, and what align and probe make of it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from tests.data import sources
from tests.encoders.pretrained import save_pair
from tests.training.run_config import SMALL

from vergence.cli.main import main
from vergence.training import load_encoder, load_model


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    (folder / "config.yaml").write_text(yaml.safe_dump(SMALL))
    assert main(["train", str(folder / "config.yaml"), "--out", str(folder / "out")]) == 0
    return folder / "out"


def refused(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    capsys.readouterr()
    assert main(["embed", *command]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    return lines[0]


@pytest.mark.parametrize("layout", [sources.table, sources.shards, sources.parquet_records, sources.sidecars])
def test_images_and_texts_are_written_with_their_keys(run: Path, tmp_path: Path, layout) -> None:
    source = layout(tmp_path / "set")
    assert main(["embed", str(source), "--model", str(run), "--out", str(tmp_path / "out"), "--batch-size", "3"]) == 0
    images, texts = (pq.read_table(tmp_path / "out" / f"{name}.parquet") for name in ("images", "texts"))
    assert images.column_names == texts.column_names == ["key", "embedding"]
    assert images["key"].to_pylist() == texts["key"].to_pylist()
    assert len(images) == 4
    if layout is sources.table:
        assert images["key"].to_pylist() == sources.NAMES
        encoder = load_encoder(str(run / "encoder"))
        ours = encoder.embed_images([tmp_path / "set" / name for name in sources.NAMES])
        torch.testing.assert_close(torch.tensor(images["embedding"].to_pylist()), ours)
        torch.testing.assert_close(
            torch.tensor(texts["embedding"].to_pylist()), load_encoder(run).embed_texts(sources.TEXTS)
        )
    command = ["align", *(str(tmp_path / "out" / f"{name}.parquet") for name in ("images", "texts")), "--null", "5"]
    assert main([*command, "--metrics", "cka"]) == 0


def test_an_export_of_ours_computes_in_single_precision_alone(run: Path, tmp_path: Path, capsys) -> None:
    source = sources.table(tmp_path / "set")
    said = refused(capsys, str(source), "--model", str(run), "--out", str(tmp_path / "out"), "--dtype", "bfloat16")
    assert "dtype must be float32 for an export of vergence train; got bfloat16" in said


def test_a_model_of_transformers_embeds_as_it_does_by_itself(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="needs vergence[transformers]")
    save_pair(tmp_path / "clip", "clip")
    source = sources.table(tmp_path / "set")
    assert main(["embed", str(source), "--model", str(tmp_path / "clip"), "--out", str(tmp_path / "out")]) == 0
    images, texts = (pq.read_table(tmp_path / "out" / f"{name}.parquet") for name in ("images", "texts"))
    model = load_model(tmp_path / "clip")
    ours = model.embed_images([tmp_path / "set" / name for name in sources.NAMES])
    torch.testing.assert_close(torch.tensor(images["embedding"].to_pylist()), ours)
    torch.testing.assert_close(torch.tensor(texts["embedding"].to_pylist()), model.embed_texts(sources.TEXTS))


def test_further_captions_have_keys_of_their_own_and_pair_with_their_image(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    rows, labels = [], []
    for number in range(30):
        path = tmp_path / "set" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        side = number % 2
        sources.Image.new("RGB", (16, 16), (255 * side, *rng.integers(90, size=2).tolist())).save(path)
        rows += [(path.name, f"a {['dark', 'red'][side]} square {k}") for k in range(3)]
        labels.append((path.name, ["dark", "red"][side]))
    source = sources.write_csv(tmp_path / "set" / "pairs.csv", ("image", "caption"), rows)
    facts = sources.write_csv(tmp_path / "labels.csv", ("key", "tone"), labels)
    out = tmp_path / "out"
    assert main(["embed", str(source), "--model", str(run), "--out", str(out)]) == 0
    texts = pq.read_table(out / "texts.parquet")
    assert texts["key"].to_pylist()[:4] == ["0.png", "0.png#2", "0.png#3", "1.png"]
    assert texts["image"].to_pylist()[:4] == ["0.png", "0.png", "0.png", "1.png"]
    assert len(pq.read_table(out / "images.parquet")) == 30
    align = ["align", str(out / "images.parquet"), str(out / "texts.parquet"), "--null", "5", "--metrics", "cka"]
    capsys.readouterr()
    assert main(align) == 0
    said = capsys.readouterr()
    assert "30 items paired by identifier" in said.out
    assert "60 further texts" in said.err
    assert main(["align", str(out / "texts.parquet"), str(out / "texts.parquet"), "--metrics", "cka"]) == 0
    assert "90 items paired" in capsys.readouterr().out
    for name in ("images", "texts"):
        assert main(["probe", str(out / f"{name}.parquet"), str(facts), "--out", str(tmp_path / f"{name}.json")]) == 0
        found = json.loads((tmp_path / f"{name}.json").read_text())
        assert [factor["factor"] for factor in found["factors"]] == ["tone"]
        assert found["factors"][0]["n_clusters"] <= 10
    assert main(["probe", str(out / "images.parquet"), str(facts.with_name("by_path.csv"))]) == 2


def test_what_cannot_be_read_is_counted_and_named_and_the_rest_is_embedded(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = sources.table(tmp_path / "set")
    (tmp_path / "set" / "c.webp").write_bytes(b"none")
    with open(source, "a") as file:
        file.write("nowhere.png,a cat\nd.jpeg,\n")
    out = tmp_path / "out"
    assert main(["embed", str(source), "--model", str(run), "--out", str(out)]) == 0
    said = capsys.readouterr()
    assert "left out: 3 rows: " in said.err
    assert "nowhere.png" in said.err
    assert "3 images:" in said.out
    keys = [pq.read_table(out / f"{name}.parquet")["key"].to_pylist() for name in ("images", "texts")]
    assert keys[0] == keys[1] == ["a.JPG", "deep/b.png", "d.jpeg"]
    about = json.loads((out / "embedded.json").read_text())
    assert about["left_out"] == {"image cannot be read": 2, "no caption": 1}


def test_a_folder_is_kept_resumed_or_replaced_as_was_asked(run: Path, tmp_path: Path, capsys) -> None:
    source, out = sources.table(tmp_path / "set"), tmp_path / "out"
    command = [str(source), "--model", str(run), "--out", str(out)]
    assert main(["embed", *command]) == 0
    before = {path.name: path.read_bytes() for path in out.glob("*.parquet")}
    assert "holds a job already; pass --resume" in refused(capsys, *command)
    (out / "texts.parquet").unlink()
    assert main(["embed", *command, "--resume"]) == 0
    assert {path.name: path.read_bytes() for path in out.glob("*.parquet")} == before
    with open(source, "a") as file:
        file.write("a.JPG,another\n")
    assert "holds a job with another rows" in refused(capsys, *command, "--resume")
    assert main(["embed", *command, "--overwrite"]) == 0
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("x")
    assert "is not empty and holds no job" in refused(capsys, *command[:-1], str(tmp_path / "mine"), "--overwrite")


def test_mistakes_are_one_line_each(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = str(sources.table(tmp_path / "set")), str(tmp_path / "out")
    model = ["--model", str(run), "--out", out]
    assert "--model is missing; pass --model DIR" in refused(capsys, source, "--out", out)
    assert "--out is missing" in refused(capsys, source, "--model", str(run))
    assert "nowhere does not exist; name a training run" in refused(capsys, source, "--model", "nowhere", "--out", out)
    assert "unknown column 'wat'; known: file_name, title" in refused(capsys, source, *model, "--caption-column", "wat")
    assert "batch_size must be >= 1" in refused(capsys, source, *model, "--batch-size", "0")
    assert "no such file or folder" in refused(capsys, str(tmp_path / "none"), *model)
    (tmp_path / "empty").mkdir()
    assert "empty holds no files. What is read: a CSV" in refused(capsys, str(tmp_path / "empty"), *model)
    assert "holds no encoder" in refused(capsys, source, "--model", str(tmp_path / "empty"), "--out", out)
    gone = sources.write_csv(tmp_path / "gone.csv", ("image", "text"), [("a.png", "a"), ("b.png", "b")])
    assert "none of 2 images can be read; a.png: image cannot be read" in refused(capsys, str(gone), *model)
    twice = sources.write_csv(
        tmp_path / "set" / "twice.csv", ("id", "image", "text"), [(1, "a.JPG", "a"), (1, "c.webp", "b")]
    )
    line = refused(capsys, str(twice), "--model", str(run), "--out", str(tmp_path / "other"))
    assert "the key '1' names two images: record 1 of" in line


def test_a_run_that_has_not_ended_and_one_of_an_earlier_form_say_how_to_go_on(
    run: Path, tmp_path: Path, capsys
) -> None:
    source, out = str(sources.table(tmp_path / "set")), str(tmp_path / "out")
    (tmp_path / "begun").mkdir()
    for name in ("job.json", "config.yaml"):
        (tmp_path / "begun" / name).write_bytes((run / name).read_bytes())
    line = refused(capsys, source, "--model", str(tmp_path / "begun"), "--out", out)
    assert "a training that has not ended, and so no encoder yet; go on with: vergence train " in line
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "encoder.safetensors").write_bytes(b"")
    line = refused(capsys, source, "--model", str(tmp_path / "old"), "--out", out)
    assert "weights of an earlier form, without encoder.json" in line
    shutil.copytree(run / "encoder", tmp_path / "export")
    shape = json.loads((tmp_path / "export" / "encoder.json").read_text())
    del shape["side"]
    (tmp_path / "export" / "encoder.json").write_text(json.dumps(shape))
    line = refused(capsys, source, "--model", str(tmp_path / "export"), "--out", out)
    assert "is an export of an earlier form: encoder.json lacks 'side'; train again with this version" in line

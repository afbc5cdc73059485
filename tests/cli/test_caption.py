"""vergence captioner and vergence caption: a run in one folder, a line for each image, stopped and gone on with."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch
from PIL import Image
from tests.cli.test_embed_parts import exported, file_of

from vergence.cli.main import main
from vergence.training import load_captioner
from vergence.training.captioner import Captioner

THINGS = ("a red square", "a blue circle.", "stripes, green", "a grey ring")
WORDS = {"a", "red", "square", "blue", "circle", "stripes", "green", "grey", "ring", ",", "."}
SETTINGS = [
    *("--model.dim", "16", "--model.heads", "2", "--model.queries", "2", "--model.encoding_size", "8"),
    *("--train.epochs", "2", "--train.batch_size", "8", "--objective.bottleneck", "0.1", "--data.validation", "0.2"),
]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return exported(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A table of images, each with two captions."""
    folder = tmp_path_factory.mktemp("pairs")
    for number in range(24):
        (folder / f"{number}.png").write_bytes(file_of(number))
    rows = [(f"{number}.png", THINGS[(number + more) % 4]) for number in range(24) for more in (0, 1)]
    pd.DataFrame(rows, columns=["file_name", "caption"]).to_csv(folder / "pairs.csv", index=False)
    return str(folder / "pairs.csv")


@pytest.fixture(scope="module")
def run(encoder: str, pairs: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    out = tmp_path_factory.mktemp("run") / "run"
    assert main(["captioner", "--encoder.model", encoder, "--data.source", pairs, *SETTINGS, "--out", str(out)]) == 0
    return str(out)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of images without captions, one of them broken."""
    folder = tmp_path / "pictures"
    (folder / "more").mkdir(parents=True)
    for number in range(10):
        (folder / ("more" if number % 2 else ".") / f"{number}.png").write_bytes(file_of(number))
    (folder / "4.png").write_bytes(file_of(4)[:60])
    return folder


def captions(file: Path) -> dict[str, str]:
    return {row["key"]: row["caption"] for row in map(json.loads, file.read_text().splitlines())}


def test_a_run_holds_the_captioner_and_how_it_was_made_and_ends_at_the_same_bits_again(
    run: str, encoder: str, pairs: str, tmp_path: Path
) -> None:
    folder = Path(run)
    history = pd.read_json(folder / "history.jsonl", lines=True)
    assert list(history.columns) == [
        *("epoch", "rate", "total", "contrast", "captioning", "bottleneck"),
        *("temperature", "held_out_nats", "held_out_recall_at_1"),
    ]
    captioner = load_captioner(run)
    assert set(captioner.vocabulary.words[4:]) == WORDS
    assert {"config.yaml", "job.json", "versions.json", "split.parquet"} <= {file.name for file in folder.iterdir()}
    again = tmp_path / "again"
    shutil.copytree(run, again)
    shutil.rmtree(again / "captioner")
    newest = max((again / "checkpoints").iterdir())
    newest.unlink()
    assert main(["captioner", str(folder / "config.yaml"), "--out", str(again), "--resume"]) == 0
    same = load_captioner(again).model.state_dict()
    assert all(torch.equal(value, same[name]) for name, value in captioner.model.state_dict().items())


def test_every_image_that_can_be_read_has_a_line_and_the_others_are_said(run: str, pictures: Path, capsys) -> None:
    out = pictures.parent / "said.jsonl"
    assert main(["caption", str(pictures), "--model", run, "--out", str(out)]) == 0
    said = capsys.readouterr()
    assert said.out.endswith(f"9 images: {out}\n")
    assert "left out: 1 images: image cannot be read (1)" in said.err
    assert "  4.png: image cannot be read" in said.err
    keys = [f"{number}.png" for number in (0, 2, 6, 8)] + [f"more/{number}.png" for number in (1, 3, 5, 7, 9)]
    assert list(captions(out)) == keys
    about = json.loads((out.parent / "said.jsonl.about.json").read_text())
    assert (about["images"], list(about["left_out"])) == (9, ["4.png"])
    assert about["command"] == f"vergence caption {pictures} --model {run} --out DIR"
    assert not (out.parent / "said.jsonl.parts").exists()


def test_a_source_of_pairs_is_captioned_once_an_image(run: str, pairs: str, tmp_path: Path) -> None:
    out = tmp_path / "said.jsonl"
    assert main(["caption", pairs, "--model", run, "--decoder", "beam", "--width", "2", "--out", str(out)]) == 0
    assert list(captions(out)) == [f"{number}.png" for number in range(24)]


@pytest.mark.parametrize("decoder", [["beam"], ["nucleus", "--seed", "3"]])
def test_a_killed_job_goes_on_to_the_same_bytes(
    run: str, pictures: Path, monkeypatch: pytest.MonkeyPatch, decoder: list[str]
) -> None:
    words = ["caption", str(pictures), "--model", run, "--batch-size", "3", "--decoder", *decoder, "--out"]
    whole, stopped = pictures.parent / "whole.jsonl", pictures.parent / "stopped.jsonl"
    assert main([*words, str(whole)]) == 0
    caption, times = Captioner.caption, iter(range(9))

    def stop(*args, **settings):
        if next(times) == 2:
            raise KeyboardInterrupt
        return caption(*args, **settings)

    with monkeypatch.context() as patched:
        patched.setattr(Captioner, "caption", stop)
        assert main([*words, str(stopped)]) == 130
    assert not stopped.exists()
    assert main([*words, str(stopped)]) == 2
    assert main([*words, str(stopped), "--resume"]) == 0
    assert stopped.read_bytes() == whole.read_bytes()


def test_captions_that_are_there_are_kept_or_replaced_as_asked(run: str, pictures: Path, capsys) -> None:
    out = pictures.parent / "said.jsonl"
    words = ["caption", str(pictures), "--model", run, "--out", str(out)]
    assert main(words) == 0
    before = out.read_bytes()
    for more, code, message in (
        ([], 2, f"{out} is there already; pass --resume to keep it, or --overwrite to replace it"),
        (["--resume"], 0, "9 images"),
        (["--resume", "--decoder", "beam"], 2, f"{out} holds captions of another job"),
    ):
        capsys.readouterr()
        assert main([*words, *more]) == code
        said = capsys.readouterr()
        assert message in said.err + said.out
        assert out.read_bytes() == before
    assert main([*words, "--overwrite", "--decoder", "nucleus", "--seed", "1"]) == 0
    assert out.read_bytes() != before


def test_mistakes_are_one_line(run: str, encoder: str, pairs: str, tmp_path: Path, capsys) -> None:
    (tmp_path / "empty").mkdir()
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    picture, out = str(tmp_path / "a.png"), str(tmp_path / "said.jsonl")
    other = exported(tmp_path / "other", seed=1)
    moved = tmp_path / "moved"
    shutil.copytree(run, moved)
    shape = json.loads((moved / "captioner" / "captioner.json").read_text())
    shape["image"]["folder"] = str(tmp_path / "gone")
    (moved / "captioner" / "captioner.json").write_text(json.dumps(shape))
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    x = str(tmp_path / "x")
    for words, message in (
        (["caption", picture, "--model", run], "--out is missing"),
        (["caption", picture, "--out", out], "--model is missing"),
        (["caption", picture, "--model", encoder, "--out", out], "holds no captioner"),
        (["caption", str(tmp_path / "empty"), "--model", run, "--out", out], "empty"),
        (["caption", str(broken), "--model", run, "--out", out], "none of 1 images can be read"),
        (["caption", picture, "--model", str(moved), "--out", out], "is no longer at"),
        (["caption", picture, "--model", run, "--image-encoder", other, "--out", out], "another image encoder"),
        (["caption", picture, "--model", run, "--decoder", "beam", "--width", "0", "--out", out], "width must be >= 1"),
        (["caption", picture, "--model", run, "--max-length", "99", "--out", out], "max_length must be <= 23"),
        (["captioner", "--data.source", pairs, "--out", x], "the image encoder is missing"),
        (
            ["captioner", "--encoder.model", encoder, "--encoder.side", "64", "--out", x],
            "side must be 16",
        ),
        (["captioner", "--encoder.model", encoder, "--train.chunk_size", "4"], "train.chunk_size must be left out"),
    ):
        capsys.readouterr()
        assert main(words) == 2, words
        said = capsys.readouterr().err.strip().splitlines()
        assert message in said[-1]
        assert sum(line.startswith("vergence: error") for line in said) == 1
    words = ["caption", picture, "--model", str(moved), "--image-encoder", encoder, "--out", out]
    assert main(words) == 0
    assert list(captions(Path(out))) == ["a.png"]

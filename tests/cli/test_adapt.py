"""vergence adapt: a model is gone on with, and measured before and after on the same queries."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from scipy import stats
from tests.encoders.pretrained import save_pair
from tests.training.common import StoppedError, stop_after

import vergence.training.run as training_run
from vergence.cli.main import main
from vergence.metrics import retrieve
from vergence.training import load_model
from vergence.training.adapt import paired_interval

pytest.importorskip("transformers", reason="needs vergence[transformers]")
COLORS = {"red": (220, 30, 40), "green": (30, 180, 60)}
QUICK = ["--epochs", "3", "--batch-size", "8", "--validation", "0.25", "--learning-rate", "0.02"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, pairs of a picture and a caption, and a folder of pictures for each colour."""
    folder = tmp_path_factory.mktemp("adapt")
    save_pair(folder / "model", "clip")
    (folder / "pairs").mkdir()
    stream = np.random.default_rng(0)
    for number in range(32):
        name = list(COLORS)[number % 2]
        pixels = np.clip(np.array(COLORS[name]) + stream.integers(-30, 30, (24, 24, 3)), 0, 255).astype(np.uint8)
        image = Image.fromarray(pixels)
        image.save(folder / "pairs" / f"{number:02}.png")
        (folder / "pairs" / f"{number:02}.txt").write_text(f"a photo of a {name} {'heart' if number % 3 else 'dog'}\n")
        (folder / "concepts" / name).mkdir(parents=True, exist_ok=True)
        image.save(folder / "concepts" / name / f"{number:02}.png")
    (folder / "lexicon.yaml").write_text(
        "name: two\ngroups:\n  - {name: color, concepts: {red: [red], green: [green]}}\n"
    )
    return folder


def adapted(place: Path, out: Path, *more: str) -> dict[str, Any]:
    command = ["adapt", str(place / "model"), str(place / "pairs"), "--out", str(out), *QUICK, *more]
    assert main(command) == 0
    return json.loads((out / "adapt.json").read_text())


@pytest.mark.parametrize("part", ["both", "lora"])
def test_gain_and_forgetting_are_those_of_the_models_before_and_after(
    place: Path, part: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if part == "lora":
        pytest.importorskip("peft", reason="needs vergence[lora]")
    known = ["--remember", str(place / "pairs"), "--remember-concepts", str(place / "concepts")]
    report = adapted(place, tmp_path, "--train", part, *known, "--lexicon", str(place / "lexicon.yaml"))
    scores = {(row["where"], row["score"]): row for row in report["scores"]}
    split = pd.read_parquet(tmp_path / "split.parquet")
    held_out = sorted(split["key"][split["side"] == "held_out"])
    assert len(held_out) == report["pairs"]["held_out"]
    texts = {file.stem: file.read_text().strip() for file in (place / "pairs").glob("*.txt")}
    for when, folder in (("before", place / "model"), ("after", tmp_path)):
        model = load_model(folder)
        for where, keys in (("held out", held_out), ("remembered", sorted(split["key"]))):
            z_image = model.embed_images([place / "pairs" / Path(key).with_suffix(".png") for key in keys])
            wanted = retrieve(z_image, model.embed_texts([texts[Path(key).stem] for key in keys])).table((1, 5))
            for score in ("image_retrieval_recall@1", "text_retrieval_recall@5"):
                row = scores[where, score]
                assert np.isclose(row[when], wanted[score], atol=1e-9), (where, score)
                assert row["low"] <= row["difference"] <= row["high"]
                assert np.isclose(row["after"] - row["before"], row["difference"])
    assert scores["concepts", "color_macro_f1"]["low"] is None
    assert 0 <= scores["concepts", "color_macro_f1"]["after"] <= 1
    shown = capsys.readouterr().out
    assert f"Weights of epoch {report['epoch']} of {report['epochs']}, the best on held-out pairs" in shown
    assert "remembered" in shown
    history = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert report["epoch"] == 1 + int(np.argmin([row["held_out_total"] for row in history]))


def test_a_stopped_adaptation_ends_at_the_same_report(place: Path, tmp_path: Path, monkeypatch: Any) -> None:
    whole = adapted(place, tmp_path / "whole", "--train", "heads")
    with monkeypatch.context() as patch:
        train = training_run.train
        patch.setattr(training_run, "train", lambda *a, **k: train(*a, **k, callbacks=[stop_after(1)]))
        command = ["adapt", str(place / "model"), str(place / "pairs"), *QUICK, "--train", "heads"]
        with pytest.raises(StoppedError):
            training_run_of(command, tmp_path / "stopped")
    assert adapted(place, tmp_path / "stopped", "--train", "heads", "--resume") == whole
    ours, theirs = (tmp_path / name / "encoder" / "model.safetensors" for name in ("stopped", "whole"))
    assert ours.read_bytes() == theirs.read_bytes()


def training_run_of(command: list[str], out: Path) -> None:
    """As `main`, but whatever stops it goes through."""
    from vergence.training.adapt import adapt, adaptation
    from vergence.training.spec import DataConfig

    data = DataConfig(source=command[2], validation=0.25)
    config = adaptation(command[1], data, part="heads", epochs=3, batch_size=8, learning_rate=0.02)
    adapt(config, out=out)


WRONG: dict[str, tuple[list[str], str]] = {
    "an unknown part": (["--train", "head"], "unknown part 'head'; known: both, image, text, heads, lora"),
    "nothing held out": (["--validation", "0"], "validation must be a share above 0"),
    "an unknown stop": (["--stop", "accuracy"], "unknown stop 'accuracy'; known: loss, recall"),
    "a column of nothing": (["--remember-caption-column", "text"], "is of --remember, which is not given"),
    "too large a batch": (["--batch-size", "99"], "batch_size must be <= the number of pairs"),
    "layers without an adapter": (["--layers", "q_proj"], "layers are of part lora"),
    "pairs that are not there": (["--remember", "nowhere"], "nowhere"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_go_together_is_one_line_and_leaves_nothing(
    place: Path, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more, message = WRONG[name]
    out = tmp_path / "out"
    assert main(["adapt", str(place / "model"), str(place / "pairs"), "--out", str(out), *QUICK, *more]) == 2
    (line,) = [one for one in capsys.readouterr().err.splitlines() if one.startswith("vergence: error")]
    assert message in line
    assert not out.exists()


def test_a_model_of_another_family_is_refused(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(place / "model", tmp_path / "model")
    (tmp_path / "model" / "tokenizer.json").unlink()
    assert main(["adapt", str(tmp_path / "model"), str(place / "pairs"), "--out", str(tmp_path / "out")]) == 2
    assert "holds no tokenizer" in capsys.readouterr().err


def test_the_interval_of_a_paired_difference_is_that_of_the_t_distribution_over_clusters() -> None:
    d = torch.randn(40, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    wanted = stats.ttest_1samp(d.numpy(), 0).confidence_interval(0.95)
    assert np.allclose(paired_interval(d), (wanted.low, wanted.high))
    thrice, clusters = d.repeat_interleave(3), np.repeat(np.arange(40), 3)
    assert np.allclose(paired_interval(thrice, clusters), (wanted.low, wanted.high))  # copies tell nothing new
    assert paired_interval(d, np.zeros(40)) == (-np.inf, np.inf)

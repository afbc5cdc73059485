"""`vergence train`: what it writes, what it refuses, in one line, before it loads anything."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from tests.training.run_config import SMALL, written

from vergence.cli.main import main
from vergence.training import load_encoder

KILLED_AFTER = """
import os, signal, sys
from vergence.cli.main import main
from vergence.training.checkpoint import Checkpoints

save = Checkpoints.save

def save_and_die(self, epoch, *state, **rest):
    save(self, epoch, *state, **rest)
    if epoch == int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)

Checkpoints.save = save_and_die
main(sys.argv[2:])
"""  # at the same point however busy the machine is


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that a refused command prints."""
    try:
        code = main(["train", *arguments])
    except SystemExit as stop:
        code = stop.code
    captured = capsys.readouterr()
    assert code == 2
    assert captured.out == ""
    assert captured.err.count("\n") == 1, captured.err
    return captured.err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"sed": 1},
            "unknown key 'sed'; known: seed, device, data, encoder, start, objective, train. Did you mean 'seed'?",
        ),
        ({"train": {"epoch": 1}}, "unknown key in train 'epoch'; known: epochs, batch_size"),
        ({"train": 3}, "train must be keys with values; got 3"),
        ({"train": {"epochs": "many"}}, "train.epochs must be a whole number; got 'many'"),
        ({"train": {"epochs": 0}}, "in train: epochs must be >= 1; got 0"),
        ({"train": {"optimizer": "adam"}}, "unknown optimizer 'adam'; known: adamw, muon, sgd"),
        ({"train": {"early_stop": {"metric": "lost"}}}, "unknown metric in train.early_stop 'lost'; known: total"),
        ({"train": {"early_stop": {"wait": 3}}}, "unknown key in train.early_stop 'wait'; known: metric, patience"),
        ({"data": {"policy": "fathful"}}, "unknown policy 'fathful'; known: labels, faithful, omit, perturb"),
        ({"data": {"validation": 1.0}}, "in data: validation must be a share in [0, 1); got 1.0"),
        ({"data": {"parquet": "none.parquet"}}, "no such file or folder: 'none.parquet'"),
        ({"train": {"early_stop": 3}}, "train.early_stop must be keys with values; got 3"),
        ({"encoder": {"image": {"head": 3}}}, "encoder.image.head must be keys with values; got 3"),
        ({"encoder": {"image": {"settings": [3]}}}, "encoder.image.settings must be keys with values; got [3]"),
        ({"encoder": {"image": {"kind": "vitt"}}}, "in encoder.image: unknown kind 'vitt'; known: conv, grid_conv"),
        (
            {"encoder": {"image": {"kind": "vit", "settings": {"depht": 3}}}},
            "unknown setting of vit 'depht'; known: pat",
        ),
        ({"encoder": {"text": {"kind": "cnn", "settings": {"widths": 3}}}}, "a list of whole numbers; got 3"),
        ({"encoder": {"dim": 0}}, "in encoder: dim must be >= 1; got 0"),
        ({"objective": 3}, "objective must be keys with values; got 3"),
        ({"objective": {"rate": {"loss": "info_nce"}}}, "columns of a history: total, epoch, rate; got 'rate'"),
        ({"objective": {}}, "an objective needs at least one term"),
        ({"objective": {"a": {"loss": "infonce"}}}, "in objective.a: unknown loss 'infonce'; known: info_nce"),
        ({"objective": {"a": {"los": "info_nce"}}}, "unknown key in objective.a 'los'; known: loss, weight, settings"),
        (
            {"objective": {"a": {"loss": "info_nce", "settings": {"p": 2}}}},
            "unknown setting of info_nce 'p'; known: temp",
        ),
        (
            {"objective": {"a": {"loss": "info_nce", "settings": {"temperature": -1}}}},
            "in objective.a: temperature must be a finite number > 0; got -1",
        ),
        (
            {"objective": {"a": {"loss": "nt_xent", "learn": ["bias"]}}},
            "unknown setting of nt_xent that can be learned 'bias'; known: temperature",
        ),
        ({"objective": {"a": {"loss": "info_nce", "weight": -1}}}, "weight must be a finite number >= 0; got -1"),
        (
            {"objective": {"a": {"loss": "info_nce", "weight": {"frist": 1}}}},
            "unknown key in objective.a.weight 'frist'",
        ),
        ({"train": {"batch_size": 4096}}, "batch_size must be <= the number of pairs, "),
    ],
)
def test_a_configuration_that_cannot_be_is_refused_by_key(capsys, tmp_path: Path, change, message: str) -> None:
    line = refused(capsys, written(tmp_path, {**SMALL, **change}), "--out", str(tmp_path / "out"))
    assert message in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed: '3'", "seed must be a whole number; got '3': leave out the quotes"),
        ("seed: 12345678901234567890123", "seed must be"),
        ("seed: 1.0", "seed must be a whole number; got 1.0"),
        ("seed: null", "seed must be a whole number; got None"),
        ("seed: [1]", "seed must be a whole number; got [1]"),
        ("seed: 2026-11-25", "seed must be a whole number; got '2026-11-25'"),
        ("device: 1", "device must be a text; got 1"),
        ("train: {epochs: 1.5}", "train.epochs must be a whole number; got 1.5"),
        ("train: {epochs: true}", "train.epochs must be a whole number; got True"),
        ('train: {batch_size: "64"}', "train.batch_size must be a whole number; got '64': leave out the quotes"),
        ('train: {learning_rate: "1e-3"}', "train.learning_rate must be a number; got '1e-3': leave out the quotes"),
        ("train: {learning_rate: .nan}", "train.learning_rate must be a number; got nan"),
        ("train: {learning_rate: true}", "train.learning_rate must be a number; got True"),
        ("train: {max_grad_norm: none}", "train.max_grad_norm must be a number or null; got 'none'"),
        ("train: {optimizer: [adamw]}", "train.optimizer must be a text; got ['adamw']"),
        ("train: {early_stop: {patience: '3'}}", "train.early_stop.patience must be a whole number; got '3'"),
        ("train: {early_stop: {higher_is_better: no}}", "higher_is_better must be true or false; got 'no'"),
        ("data: {parquet: 2024}", "data.parquet must be a text or null; got 2024"),
        ("data: null", "data must be keys with values; got None"),
        ("data: {items: 010.5}", "data.items must be a whole number or null; got 10.5"),
        (
            "objective: {a: {loss: info_nce, settings: {temperature: '0.2'}}}",
            "temperature of info_nce must be a number",
        ),
        (
            "objective: {a: {loss: info_nce, settings: {temperature: true}}}",
            "settings.temperature must be a number",
        ),
        ("objective: {a: {loss: info_nce, settings: {block_size: 2.5}}}", "block_size of info_nce must be a whole"),
        ("objective: {a: {loss: info_nce, settings: {similarity: 3}}}", "similarity of info_nce must be a text; got 3"),
        ("objective: {a: {loss: info_nce, learn: temperature}}", "objective.a.learn must be a list; got 'temperature'"),
        ("objective: {a: {loss: info_nce, weight: '1'}}", "objective.a.weight must be"),
        ("objective: {1: {loss: info_nce}}", "each key of objective must be a text; got 1"),
        ("1: 2", "unknown key 1; known: seed, device"),
        ("seed: 1\nseed: 2", ":2: 'seed' comes twice in one mapping; the first is in line 1"),
        ("train: {epochs: 1}\ndata: {}\ntrain: {epochs: 2}", ":3: 'train' comes twice"),
        ("- 1", "a configuration must be keys with values; got [1]"),
        ("just text", "a configuration must be keys with values; got 'just text'"),
        ("\tseed: 1", "not valid YAML"),
        ("a: &a [*a]", "its aliases repeat parts of it too often"),
        ("[" * 1000, "nested more than 64 levels deep"),
        ("seed: !!python/name:os.system 1", "the tag 'tag:yaml.org,2002:python/name:os.system' is not supported"),
        ("#" + "x" * (1 << 20), "has more than 1,048,576 bytes"),
    ],
)
def test_what_a_file_says_is_taken_as_it_stands_or_refused(capsys, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    assert message in refused(capsys, str(tmp_path / "config.yaml"), "--out", str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--seed", "1.5", "--seed must be a whole number; got 1.5"),
        ("--seed", "'3'", "--seed must be a whole number; got '3': leave out the quotes"),
        ("--train.epochs", "1.5", "--train.epochs must be a whole number; got 1.5"),
        ("--train.epochs", "true", "--train.epochs must be a whole number; got True"),
        ("--train.epochs", "[1", "--train.epochs:1: not valid YAML"),
        ("--train.early_stop", "3", "--train.early_stop must be keys with values; got 3"),
        ("--train.early_stop.patience", "x", "--train.early_stop.patience must be a whole number; got 'x'"),
        ("--objective", "{a: {loss: info_nce}, a: {loss: nt_xent}}", "'a' comes twice"),
        ("--encoder.dim", "99999999999", "in encoder: dim must be <= 65,536; got 99999999999"),
        ("--encoder.dim", "9" * 30, "in encoder: dim must be <= 65,536; got 9999"),
        ("--encoder.image.settings", "{hidden: 99999999999}", "hidden must be <= 65,536; got 99999999999"),
        ("--encoder.image.settings", "{widths: [1, 99999999999]}", "widths must be <= 65,536; got 99999999999"),
        ("--encoder.image.settings", str({"widths": [1] * 101}), "widths must hold at most 100 sizes; got 101"),
        ("--encoder.image.settings", "{widths: [65536, 65536], hidden: 65536}", "needs 756 GB of memory"),
        ("--encoder.image", "{kind: vit, settings: {depth: 1000000000}}", "unrecognized arguments"),
        ("--encoder.text", "x", "unrecognized arguments"),
        ("--train.epochs", "1000000000", "epochs must be <= 100,000; got 1000000000"),
        ("--train.batch_size", "1000000000", "batch_size must be <= 1,000,000; got 1000000000"),
        ("--train.accumulation", "1000000000", "accumulation must be <= 100,000; got 1000000000"),
        ("--train.chunk_size", "1000000000", "chunk_size must be <= 1,000,000; got 1000000000"),
        ("--data.side", "1000000000", "side must be <= 4,096; got 1000000000"),
        ("--data.side", "4096", "decoding batches of 128 images of side 4096"),
        ("--data.shift", "64", "shift must be below side, 64; got 64"),
        ("--data.items", "10000000000", "items must be <= 1,000,000,000; got 10000000000"),
        ("--data.parquet", "a\ud800", "--data.parquet must be a text or null"),
    ],
)
def test_what_an_option_says_is_taken_as_it_stands_or_refused(
    capsys, tmp_path: Path, option: str, value: str, message: str
) -> None:
    assert message in refused(capsys, option, value, "--out", str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("kind", "settings"),
    [("vit", "depth: 1000000000"), ("resnet", "blocks: [1000000000]"), ("resnet_cifar", "depth: 1000000000")],
)
def test_no_depth_is_tried_that_would_take_for_ever(capsys, tmp_path: Path, kind: str, settings: str) -> None:
    (tmp_path / "c.yaml").write_text(f"encoder: {{image: {{kind: {kind}, settings: {{{settings}}}}}}}")
    assert "must be <= 1,000; got 1000000000" in refused(capsys, str(tmp_path / "c.yaml"), "--out", "x")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_numbers_and_encodings_that_others_write_are_read(capsys, tmp_path: Path, encoding: str) -> None:
    text = "train: &t {learning_rate: 1e-3, max_grad_norm: null}\ndata: {caption_column: '1e3', image_column: süß}\n"
    (tmp_path / "c.yaml").write_text(text, encoding=encoding)
    options = ["--data.caption_column", "2024", "--train.weight_decay", "1E-2", "--data.parquet", "a: b.parquet"]
    assert main(["train", *options, str(tmp_path / "c.yaml"), "--print-config"]) == 0
    printed = capsys.readouterr().out
    (tmp_path / "again.yaml").write_text(printed)
    assert main(["train", str(tmp_path / "again.yaml"), "--print-config"]) == 0
    assert capsys.readouterr().out == printed
    said = yaml.safe_load(printed)
    assert said["train"]["learning_rate"] == 0.001
    assert said["train"]["weight_decay"] == 0.01
    assert said["data"]["caption_column"] == "2024"
    assert said["data"]["image_column"] == "süß"
    assert said["data"]["parquet"] == "a: b.parquet"


def test_files_that_are_none_are_refused(capsys, tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"\x00\xff" * 50)
    for path, message in {
        tmp_path: "is no file", tmp_path / "binary.yaml": "not UTF-8 text", tmp_path / ("a" * 300): "name too long"
    }.items():  # fmt: skip
        assert message in refused(capsys, str(path), "--out", str(tmp_path / "out"))


def test_what_the_command_line_lacks_or_doubles_is_refused(capsys, tmp_path: Path) -> None:
    path, out = written(tmp_path, SMALL), str(tmp_path / "out")
    assert "--out is missing" in refused(capsys, path)
    assert "pass one of them" in refused(capsys, path, "--out", out, "--resume", "--overwrite")
    assert "nowhere.yaml does not exist" in refused(capsys, "nowhere.yaml", "--out", out)
    assert "unrecognized arguments: --train.epoch" in refused(capsys, path, "--train.epoch", "3", "--out", out)
    (tmp_path / "broken.yaml").write_text("train: {epochs")
    assert "cannot read" in refused(capsys, str(tmp_path / "broken.yaml"), "--out", out)
    assert not Path(out).exists()


def test_the_printed_configuration_is_complete_with_overrides_and_reads_back(capsys, tmp_path: Path) -> None:
    path = written(tmp_path, SMALL)
    assert main(["train", path, "--train.epochs", "7", "--print-config"]) == 0
    printed = capsys.readouterr().out
    assert yaml.safe_load(printed)["train"]["epochs"] == 7
    assert yaml.safe_load(printed)["objective"]["bottleneck"]["weight"]["last"] == 0.1
    (tmp_path / "again.yaml").write_text(printed)
    assert main(["train", str(tmp_path / "again.yaml"), "--print-config"]) == 0
    assert capsys.readouterr().out == printed


def test_what_a_file_leaves_out_has_a_default_and_options_reach_every_depth(capsys, tmp_path: Path) -> None:
    path = written(tmp_path, {"encoder": {"image": {"kind": "vit", "settings": {"depth": 1, "width": 12}}}})
    settings = "{patch: 8, depth: 2}"
    assert (
        main(["train", path, "--encoder.image.settings", settings, "--encoder.text.kind", "cnn", "--print-config"]) == 0
    )
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["encoder"]["image"]["settings"] == {"patch": 8, "depth": 2}
    assert printed["encoder"]["text"] == {"kind": "cnn", "settings": {}}
    assert printed["objective"]["contrast"]["loss"] == "info_nce"


def test_a_run_leaves_all_that_it_takes_to_use_its_encoder(capsys, tmp_path: Path) -> None:
    path, out = written(tmp_path, SMALL), tmp_path / "out"
    assert main(["train", path, "--out", str(out)]) == 0
    assert f"Encoder: {out / 'encoder'}" in capsys.readouterr().out
    names = {file.relative_to(out).as_posix() for file in out.rglob("*") if file.is_file()}
    assert names >= {"config.yaml", "job.json", "versions.json", "history.jsonl", "encoder/README.md"}
    assert {"encoder/encoder.safetensors", "encoder/vocabulary.json", "encoder/encoder.json"} <= names
    history = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in history] == [1, 2]
    assert {"total", "contrast", "bottleneck", "held_out_total", "held_out_recall_at_1"} <= set(history[0])
    card = (out / "encoder" / "README.md").read_text()
    assert "Captions mention gender, group, subgroup and get them right." in card
    assert "`bottleneck`: alignment_penalty, weight 0 to 0.1, from 0% to 100% of the training, default settings" in card
    assert "`contrast`: info_nce, weight 1, settings {temperature: 0.2}, learned: temperature" in card
    assert f"held_out_total | {history[-1]['held_out_total']:.6g}" in card
    encoder, vocabulary = load_encoder(out / "encoder")
    assert encoder.image(torch.zeros(2, 3, 16, 16)).shape == encoder.text(vocabulary.encode(["a", "b"])).shape == (2, 4)
    assert "holds a job already; pass --resume" in refused(capsys, path, "--out", str(out))
    assert "holds a job with another settings" in refused(
        capsys, path, "--train.epochs", "3", "--out", str(out), "--resume"
    )
    before = (out / "encoder" / "encoder.safetensors").read_bytes()
    assert main(["train", path, "--out", str(out), "--resume"]) == 0
    assert main(["train", path, "--out", str(out), "--overwrite"]) == 0
    assert (out / "encoder" / "encoder.safetensors").read_bytes() == before


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_weights(capsys, tmp_path: Path) -> None:
    path = written(tmp_path, {**SMALL, "train": {"epochs": 40, "batch_size": 16}})
    command = ["train", path, "--out", str(tmp_path / "killed")]
    killed = subprocess.run([sys.executable, "-c", KILLED_AFTER, "3", *command], capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert not (tmp_path / "killed" / "encoder").exists()
    newest = max((tmp_path / "killed" / "checkpoints").glob("epoch-*"))
    newest.write_bytes(newest.read_bytes()[:-1])
    with pytest.warns(UserWarning, match=f"{newest.name} is damaged .*; going back to the checkpoint before it"):
        assert main([*command, "--resume"]) == 0
    assert main(["train", path, "--out", str(tmp_path / "whole")]) == 0
    ours, theirs = (tmp_path / name / "encoder" / "encoder.safetensors" for name in ("killed", "whole"))
    assert ours.read_bytes() == theirs.read_bytes()
    assert (tmp_path / "killed" / "history.jsonl").read_text() == (tmp_path / "whole" / "history.jsonl").read_text()

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

def save_and_die(self, epoch, *state):
    save(self, epoch, *state)
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
        ({"sed": 1}, "unknown key 'sed'; known: seed, device, data, encoder, objective, train. Did you mean 'seed'?"),
        ({"train": {"epoch": 1}}, "unknown key in train 'epoch'; known: epochs, batch_size"),
        ({"train": 3}, "train must be keys with values; got 3"),
        ({"train": {"epochs": "many"}}, "train.epochs must be a whole number; got 'many'"),
        ({"train": {"epochs": 0}}, "in train: epochs must be >= 1; got 0"),
        ({"train": {"optimizer": "adam"}}, "unknown optimizer 'adam'; known: adamw, muon, sgd"),
        ({"train": {"early_stop": {"metric": "lost"}}}, "unknown metric in train.early_stop 'lost'; known: total"),
        ({"train": {"early_stop": {"wait": 3}}}, "unknown key in train.early_stop 'wait'; known: metric, patience"),
        ({"data": {"policy": "fathful"}}, "unknown policy 'fathful'; known: labels, faithful, omit, perturb"),
        ({"data": {"validation": 1.0}}, "in data: validation must be a share in [0, 1); got 1.0"),
        ({"data": {"parquet": "none.parquet"}}, "none.parquet does not exist; set data.parquet"),
        ({"train": {"early_stop": 3}}, "train.early_stop must be keys with values; got 3"),
        ({"encoder": {"image": {"head": 3}}}, "encoder.image.head must be keys with values; got 3"),
        ({"encoder": {"image": {"settings": [3]}}}, "encoder.image.settings must be keys with values; got [3]"),
        ({"encoder": {"image": {"kind": "vitt"}}}, "in encoder.image: unknown kind 'vitt'; known: conv, mlp"),
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

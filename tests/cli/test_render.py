"""vergence render: what a newcomer types, what it says, and that every other command takes its output as it is."""

import json
from pathlib import Path

import pandas as pd
import pytest
import yaml
from tests.training.run_config import SMALL

from vergence.cli.main import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("render") / "set"
    command = ["render", "mpi3d-like", "--n", "200", "--size", "16", "--omit", "size", "--redraw", "background=0.9"]
    assert main([*command, "--out", str(out), "--workers", "1"]) == 0
    return out


def refused(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    capsys.readouterr()
    assert main(["render", *command]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def test_the_card_repeats_the_command_and_the_labels_hold_all_factors(folder: Path) -> None:
    card = json.loads((folder / "card.json").read_text())
    assert card["command"].startswith("vergence render mpi3d-like --n 200 --size 16 --seed 0 --format parquet")
    assert "--omit size --redraw background=0.9" in card["command"]
    assert card["named"] == ["background", "camera", "color", "shape"]
    assert card["may be wrong"] == ["background"]
    assert {"vergence", "versions", "date"} <= set(card)
    assert len(pd.read_parquet(folder / "labels.parquet")) == 200


def test_train_embed_probe_and_audit_take_the_folder_as_it_is(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {**SMALL, "data": {**SMALL["data"], "source": str(folder), "side": 16}}
    settings["data"] = {name: value for name, value in settings["data"].items() if not name.endswith("_column")}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(settings))
    assert main(["train", str(tmp_path / "config.yaml"), "--out", str(tmp_path / "run")]) == 0
    assert main(["embed", str(folder), "--model", str(tmp_path / "run"), "--out", str(tmp_path / "emb")]) == 0
    assert not [line for line in capsys.readouterr().err.splitlines() if "passed over" in line or "left out" in line]
    labels = str(folder / "labels.parquet")
    assert main(["probe", str(tmp_path / "emb" / "images.parquet"), labels]) == 0
    assert "by identifier" in capsys.readouterr().out
    assert main(["audit", str(folder), "--lexicon", str(folder / "lexicon.yaml"), "--labels", labels]) == 0
    assert "200 captions" in capsys.readouterr().out


def test_resume_and_overwrite_do_what_they_say(folder: Path, tmp_path: Path, capsys) -> None:
    command = ["dsprites", "--n", "20", "--size", "8", "--out", str(tmp_path / "set"), "--workers", "1"]
    assert main(["render", *command]) == 0
    assert "pass --resume to continue it" in refused(capsys, *command)
    assert main(["render", *command, "--resume"]) == 0
    assert "pass one of them" in refused(capsys, *command, "--resume", "--overwrite")
    assert "holds a job with another seed" in refused(capsys, *command, "--seed", "1", "--resume")
    assert main(["render", *command, "--seed", "1", "--overwrite", "--format", "webdataset"]) == 0
    assert [path.name for path in (tmp_path / "set" / "shards").iterdir()] == ["00000.tar"]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["mpi3d-like"], "--out is missing; pass --out DIR"),
        (["mpi3d"], "unknown image set 'mpi3d'; known: dsprites"),
        (["dsprites", "--n", "737281"], "n must be <= 737280 (the images of dsprites); got 737281"),
        (["dsprites", "--size", "7"], "side must be >= 8"),
        (["dsprites", "--workers", "0"], "workers must be >= 1; got 0"),
        (["dsprites", "--omit", "shap"], "unknown factor 'shap'; known: shape, scale, orientation, x, y. Did you mean"),
        (["dsprites", "--redraw", "shape"], "--redraw takes FACTOR=RATE with a rate in [0, 1], such as color=0.9; got"),
        (["dsprites", "--redraw", "shape=2"], "redraw of factor 'shape' must be a probability in [0, 1]; got 2.0"),
        (["dsprites", "--omit", "x", "--mention", "x=0.5"], "factor 'x' has both --omit and --mention"),
        (["dsprites", "--meshes", "here"], "meshes are for causal3dident; dsprites has none"),
        (["causal3dident", "--meshes", "/nowhere/meshes"], "/nowhere/meshes is no folder; --meshes names one"),
        (["dsprites", "--format", "zip"], "unknown format 'zip'; known: parquet, webdataset"),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, capsys, command: list[str], message: str) -> None:
    out = [] if command == ["mpi3d-like"] else ["--out", str(tmp_path / "set")]
    assert message in refused(capsys, *command, *out)
    assert not (tmp_path / "set").exists()


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path, capsys) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert "is not empty and holds no job of this kind" in refused(capsys, "dsprites", "--out", str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]

"""vergence corpus: what a newcomer types, what it says, and that every other command takes its output as it is."""

import json
import sys
from pathlib import Path

import pytest
import yaml
from tests.data.clipart import GOOD, REFUSED, package
from tests.training.run_config import SMALL

from vergence.cli.main import main


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    deb = package(tmp_path_factory.mktemp("package") / "openclipart-svg.deb")
    return ["corpus", "openclipart", "--package", str(deb), "--side", "16", "--workers", "1"]


@pytest.fixture(scope="module")
def folder(command: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("corpus") / "set"
    assert main([*command, "--out", str(out)]) == 0
    return out


def refused(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    capsys.readouterr()
    assert main(list(command)) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def test_it_says_what_is_in_it_and_what_is_left_out(command, folder: Path, capsys) -> None:
    capsys.readouterr()
    assert main([*command, "--out", str(folder), "--resume"]) == 0
    said = capsys.readouterr().out
    assert f"{len(GOOD) + 1} drawings of 16 x 16 pixels" in said
    assert "left out: 4, shows nothing on white" in said
    assert "another edition than the documented one" in said
    assert sum(int(line.split()[2].rstrip(",")) for line in said.splitlines() if line.startswith("left out")) == (
        len(REFUSED) + 2
    )


def test_the_card_repeats_the_command_and_names_versions(folder: Path) -> None:
    card = json.loads((folder / "openclipart.json").read_text())
    assert card["command"].startswith("vergence corpus openclipart --side 16 --package ")
    assert {"python", "resvg-py", "pillow"} <= set(card["versions"])


def test_audit_train_and_embed_take_it_as_it_is(folder: Path, tmp_path: Path, capsys) -> None:
    table = folder / "openclipart.parquet"
    for column in ("caption", "description"):
        assert main(["audit", str(table), "--caption-column", column, "--out", str(tmp_path / column)]) == 0
    capsys.readouterr()
    assert main(["audit", str(folder)]) == 0
    assert "not captions" not in capsys.readouterr().out
    settings = {**SMALL, "data": {**SMALL["data"], "source": str(table), "side": 16, "max_skipped": 0.5}}
    settings["data"] |= {"items": None, "cluster_column": "cluster"}
    settings["train"] = {**SMALL["train"], "batch_size": 2}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(settings))
    assert main(["train", str(tmp_path / "config.yaml"), "--out", str(tmp_path / "run")]) == 0
    embed = ["--model", str(tmp_path / "run")]
    assert main(["embed", str(folder), *embed, "--out", str(tmp_path / "emb")]) == 0
    assert "left out" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "--out is missing; pass --out DIR, the folder for openclipart.parquet and openclipart.json"),
        (["--out", "x", "--resume", "--overwrite"], "pass one of them"),
        (["--out", "x", "--side", "7"], "side must be"),
        (["--out", "x", "--package", "none.deb"], "none.deb does not exist"),
    ],
)
def test_a_mistake_is_one_line(options: list[str], message: str, capsys, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert message in refused(capsys, "corpus", "openclipart", *options)


def test_without_the_extra_its_name_is_said(command, tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    assert "pip install 'vergence[svg]'" in refused(capsys, *command, "--out", str(tmp_path / "set"))

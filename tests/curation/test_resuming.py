import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vergence.cli.main import main
from vergence.corpus import Concept, Group, Lexicon

HUES = ("red", "blue", "green")
LEXICON = Lexicon("cups", (Group("hue", tuple(Concept(hue) for hue in HUES)), Group("size", (Concept("big"),))))
TARGET = "perturb: {hue: 0.9}\nomit: [size]\ndeduplicate: true\n"

# The command, killed right before it moves its n-th file to where that belongs.
KILLED = """
import os, signal, sys
from vergence.cli.main import main

moved, real = [], os.replace

def replace(source, target):
    moved.append(target)
    if len(moved) == int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)
    real(source, target)

os.replace = replace
main(sys.argv[2:])
"""


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    """Captions in two forms, and what is asked of them; results go to `out` in the folder where one stands."""
    rng = np.random.default_rng(0)
    frames = ("an old {} cup", "a big, {} umbrella", 'the {} ball, "big" and shiny', "a cup")
    texts = [
        frames[k].format(HUES[hue]) for k, hue in zip(rng.integers(0, 4, 900), rng.integers(0, 3, 900), strict=True)
    ]
    source = tmp_path / "in"
    source.mkdir()
    for number in range(2):
        rows = range(number * 300, number * 300 + 300)
        table = pa.table({"key": [f"k{row}" for row in rows], "caption": texts[rows.start : rows.stop]})
        pq.write_table(table, source / f"{number}.parquet", row_group_size=100)
    lines = ["key,caption", *(f'k{row},"{texts[row].replace(chr(34), chr(34) * 2)}"' for row in range(600, 900))]
    (source / "2.csv").write_text("\n".join(lines))
    (tmp_path / "lexicon.yaml").write_text(LEXICON.to_yaml())
    (tmp_path / "target.yaml").write_text(TARGET)
    given = {"--lexicon": tmp_path / "lexicon.yaml", "--target": tmp_path / "target.yaml", "--out": "out"}
    words = [str(word) for pair in given.items() for word in pair]
    return ["curate", f"{source}/*.parquet", f"{source}/2.csv", "--key-column", "key", *words]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a job; of its journal, which grows as files are written, the names."""
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    found[".vergence"] = b"\n".join(sorted(set(found[".vergence"].splitlines())))
    return found


def run(command: list[str], where: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    where.mkdir(exist_ok=True)
    with monkeypatch.context() as patch:
        patch.chdir(where)
        assert main(command) == 0
    return contents(where / "out")


@pytest.mark.slow
def test_a_command_that_is_killed_five_times_leaves_the_same_files(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command += ["--workers", "1"]
    wanted = run(command, tmp_path / "whole", monkeypatch)
    where = tmp_path / "killed"
    where.mkdir()
    # Before the job has its mark; between the results of a file; before a file counts as done; in the last file; before
    # the table of all edits.
    for moves in (2, 4, 5, 12, 6):
        done = subprocess.run([sys.executable, "-c", KILLED, str(moves), *command], cwd=where, check=False)
        assert done.returncode == -signal.SIGKILL, moves
        assert not (where / "out" / "edits.parquet").exists()
    assert run(command, where, monkeypatch) == wanted
    assert {"edits.parquet", "page.html", "curation.json", "captions/2.csv"} <= set(wanted)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["processes", "ray"])
def test_other_engines_give_the_same_bytes(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    if engine == "ray":
        pytest.importorskip("ray", reason="the extra [ray] is not installed")
    wanted = run(command, tmp_path / "threads", monkeypatch)
    assert run([*command, "--engine", engine, "--workers", "2"], tmp_path / engine, monkeypatch) == wanted
    undone = ["curate", "out", "--undo", "--out", "back", "--engine", engine, "--workers", "2"]
    with monkeypatch.context() as patch:
        patch.chdir(tmp_path / engine)
        assert main(undone) == 0
    for path in (tmp_path / "in").iterdir():
        assert (tmp_path / engine / "back" / "captions" / path.name).read_bytes() == path.read_bytes()

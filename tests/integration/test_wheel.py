"""The built wheel, in an environment that holds nothing else, outside the repository."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_wheel_runs_the_demo_where_nothing_else_is_installed(tmp_path: Path) -> None:
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, ROOT, cwd=tmp_path)
    (wheel,) = tmp_path.glob("vergence-*.whl")
    run(sys.executable, "-m", "venv", "empty", cwd=tmp_path)
    python = tmp_path / "empty" / "bin" / "python"
    lock = ROOT / "requirements.lock"
    run(python, "-m", "pip", "install", "--quiet", wheel, "--constraint", lock, cwd=tmp_path)
    vergence = tmp_path / "empty" / "bin" / "vergence"
    assert "Page:" in run(vergence, "demo", "--quick", "--policies", "labels", "--out", "out", cwd=tmp_path)
    verdict = json.loads((tmp_path / "out" / "verdict.json").read_text())
    assert list(verdict["captions"]) == ["labels"]

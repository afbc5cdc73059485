"""One quick run of the main job that all integration tests look at."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest


def vergence(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "vergence", *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="session")
def quick_demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a finished `vergence demo --quick`."""
    folder = tmp_path_factory.mktemp("demo") / "out"
    done = vergence("demo", "--out", str(folder), "--quick")
    assert done.returncode == 0, done.stderr
    assert "Page:" in done.stdout
    return folder


@pytest.fixture(scope="session")
def quick_table(quick_demo: Path) -> pd.DataFrame:
    return pd.read_parquet(quick_demo / "table.parquet")

"""What an adapted run began with is what the run that it was adapted from began with."""

from pathlib import Path

import pytest
import yaml

from vergence.reports.comparison.untrained import first_run
from vergence.training import RunConfig


def run(folder: Path, start: str | None) -> Path:
    (folder / "encoder").mkdir(parents=True)
    content = RunConfig().to_mapping() if start is None else {"start": {"model": start}}
    (folder / "config.yaml").write_text(yaml.safe_dump(content))
    return folder


def test_the_first_of_a_chain_of_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first = run(tmp_path / "first", None)
    second = run(tmp_path / "second", "first")
    assert first_run(run(tmp_path / "third", str(second))) == Path("first")
    assert first_run(first) == first
    assert first_run(run(tmp_path / "of-a-hub", "clip-vit-base-patch32")) is None
    assert first_run(tmp_path) is None

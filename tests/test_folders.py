"""The folder of a job."""

import json
from pathlib import Path

import pytest

from vergence.errors import ConfigError
from vergence.folders import JobFolder

JOB = {"job": "demo", "seed": 0}


def test_a_new_folder_is_made_and_says_what_it_is_for(tmp_path: Path) -> None:
    folder = JobFolder.claim(tmp_path / "a" / "b", JOB)
    assert json.loads((folder.path / "job.json").read_text()) == JOB
    assert folder.read_json("results.json") is None


def test_what_is_written_is_read_back_whole(tmp_path: Path) -> None:
    folder = JobFolder.claim(tmp_path, JOB)
    folder.write_json("runs/omit/run.json", {"name": "süß"})
    assert folder.read_json("runs/omit/run.json") == {"name": "süß"}
    with pytest.raises(ValueError, match="JSON compliant"):
        folder.write_json("runs/omit/run.json", {"value": float("nan")})
    assert folder.read_json("runs/omit/run.json") == {"name": "süß"}
    assert sorted(path.name for path in (tmp_path / "runs" / "omit").iterdir()) == ["run.json"]


def test_resuming_keeps_and_overwriting_removes(tmp_path: Path) -> None:
    JobFolder.claim(tmp_path, JOB).write_text("note.txt", "kept")
    assert (JobFolder.claim(tmp_path, JOB, present="resume").path / "note.txt").exists()
    assert not (JobFolder.claim(tmp_path, {**JOB, "seed": 1}, present="overwrite").path / "note.txt").exists()


def test_another_job_is_not_resumed_and_what_differs_is_named(tmp_path: Path) -> None:
    JobFolder.claim(tmp_path, JOB)
    with pytest.raises(ConfigError, match="holds a job with another seed;"):
        JobFolder.claim(tmp_path, {**JOB, "seed": 1}, present="resume")
    assert json.loads((tmp_path / "job.json").read_text()) == JOB


def test_a_file_where_the_folder_should_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"cannot write to .*file.*; choose another folder with --out"):
        JobFolder.claim(tmp_path / "file", JOB)

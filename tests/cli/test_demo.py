"""What `vergence demo` refuses: one line that names the remedy, exit code 2, nothing written."""

from importlib.resources import files
from pathlib import Path

import pytest

from vergence.cli.main import main


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that a refused command prints."""
    try:
        code = main(arguments)
    except SystemExit as stop:
        code = stop.code
    captured = capsys.readouterr()
    assert code == 2
    assert captured.out == ""
    assert captured.err.count("\n") == 1, captured.err
    return captured.err


def test_an_unknown_policy_is_named_with_the_nearest(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    line = refused(capsys, "demo", "--out", str(tmp_path / "out"), "--policies", "omit,fathful")
    assert "unknown policy 'fathful'; known: labels, faithful, omit, perturb. Did you mean 'faithful'?" in line
    assert not (tmp_path / "out").exists()


def test_a_policy_named_twice_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "each once; got omit, omit" in refused(
        capsys, "demo", "--out", str(tmp_path / "out"), "--policies", "omit,omit"
    )


def test_a_folder_of_something_else_is_left_alone(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    for flags in ([], ["--overwrite"], ["--resume"]):
        line = refused(capsys, "demo", "--out", str(tmp_path), *flags)
        assert "is not empty and holds no job" in line
        assert "--out" in line
    assert (tmp_path / "thesis.tex").read_text() == "years of work"
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_folder_with_a_job_asks_what_to_do_with_it(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text('{"job": "demo", "seed": 1}')
    assert "holds results of another form" in refused(capsys, "demo", "--out", str(tmp_path), "--resume")
    (tmp_path / "job.json").write_text('{"job": "demo", "form": 2, "seed": 1}')
    assert "--resume" in refused(capsys, "demo", "--out", str(tmp_path))
    line = refused(capsys, "demo", "--out", str(tmp_path), "--resume")
    assert "holds a job with another seed, settings, data" in line
    assert "pass one of them" in refused(capsys, "demo", "--out", str(tmp_path), "--resume", "--overwrite")


def test_a_damaged_job_file_is_said_in_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text('{"job": "de')
    (tmp_path / ".vergence").write_text("vergence job 1\n")
    assert "--overwrite" in refused(capsys, "demo", "--out", str(tmp_path), "--resume")


def test_an_unwritable_folder_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/vergence")):
        line = refused(capsys, "demo", "--out", str(place))
        assert f"cannot write to {place}" in line
        assert "--out" in line


def test_a_truncated_data_file_is_named_and_leaves_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    whole = (files("vergence.data") / "emoji.parquet").read_bytes()
    (tmp_path / "half.parquet").write_bytes(whole[: len(whole) // 2])
    line = refused(capsys, "demo", "--out", str(tmp_path / "out"), "--data", str(tmp_path / "half.parquet"))
    assert "half.parquet: cannot be read as Parquet" in line
    assert "rebuild the file with" in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["dmeo"], "invalid choice: 'dmeo'"),
        ([], "it was not provided"),
        (["demo"], "--out is missing; pass --out DIR"),
        (["demo", "--out", "x", "--seed", "first"], "seed"),
        (["demo", "--out", "x", "--seed", "-1"], "seed must be a whole number in [0, 2^63); got -1"),
        (["demo", "--out", "x", "--no-such-flag"], "--no-such-flag"),
    ],
)
def test_what_cannot_be_parsed_is_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    assert said in refused(capsys, *arguments)


def test_help_and_version_answer(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--help"], ["demo", "--help"], ["--version"]):
        with pytest.raises(SystemExit, match=r"^0$"):
            main(arguments)
    assert "--overwrite" in capsys.readouterr().out

"""The folder of a job: what the job wrote can be removed, and nothing else, whatever the folder says of itself."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml
from tests.training.run_config import SMALL, written

from vergence.cli.main import main
from vergence.errors import ConfigError, CorpusError, OutputError
from vergence.files import JOURNAL, write_text
from vergence.folders import JobFolder

JOB = {"job": "demo", "seed": 0}


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}


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


def test_many_who_do_the_same_job_make_its_folder_together(tmp_path: Path) -> None:
    for number in range(8):  # each time several are first
        (tmp_path / f"{number}").mkdir()
        place = tmp_path / f"{number}" / "out"
        with ThreadPoolExecutor(6) as pool:
            for folder in pool.map(lambda _, place=place: JobFolder.join(place, JOB), range(6)):
                assert folder.path == place
        assert files(tmp_path / f"{number}") == {"out/job.json", f"out/{JOURNAL}"}
    with pytest.raises(ConfigError, match="holds a job with another seed;"):
        JobFolder.join(tmp_path / "0" / "out", {**JOB, "seed": 1})
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    with pytest.raises(ConfigError, match="is not empty and holds no job of this kind"):
        JobFolder.join(tmp_path / "mine", JOB)
    assert files(tmp_path / "mine") == {"thesis.tex"}


def test_another_job_is_not_resumed_and_what_differs_is_named(tmp_path: Path) -> None:
    JobFolder.claim(tmp_path, JOB)
    with pytest.raises(ConfigError, match="holds a job with another seed;"):
        JobFolder.claim(tmp_path, {**JOB, "seed": 1}, present="resume")
    assert json.loads((tmp_path / "job.json").read_text()) == JOB


@pytest.mark.parametrize("content", ['{"scheduler": "slurm"}', "", "[]", '{"job": "de', "\x00"])
def test_a_job_file_of_another_origin_is_no_leave_to_remove(tmp_path: Path, content: str) -> None:
    (tmp_path / "job.json").write_text(content)
    (tmp_path / "thesis.tex").write_text("years of work")
    for present in ("refuse", "resume", "overwrite"):
        with pytest.raises(ConfigError, match="is not empty and holds no job of this kind; choose another folder"):
            JobFolder.claim(tmp_path, JOB, present=present)
    assert files(tmp_path) == {"job.json", "thesis.tex"}


def test_a_folder_of_an_earlier_form_is_resumed_but_not_removed(tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text(json.dumps(JOB))
    (tmp_path / "results.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"holds a job but no mark .vergence.*remove the folder yourself, or choose"):
        JobFolder.claim(tmp_path, JOB, present="overwrite")
    with pytest.raises(ConfigError, match=r"pass --resume to continue it, or choose another folder"):
        JobFolder.claim(tmp_path, JOB)
    JobFolder.claim(tmp_path, JOB, present="resume").write_text("new.txt", "")
    JobFolder.claim(tmp_path, JOB, present="overwrite")
    assert files(tmp_path) == {JOURNAL, "job.json", "results.json"}


def test_only_what_the_job_wrote_is_removed(tmp_path: Path) -> None:
    folder = JobFolder.claim(tmp_path, JOB)
    folder.write_text("figures/a.svg", "")
    folder.write_text("runs/one/run.json", "")
    (tmp_path / "runs" / "one" / "mine.txt").write_text("mine")
    (tmp_path / "figures" / "empty").mkdir()
    JobFolder.claim(tmp_path, JOB, present="overwrite")
    assert files(tmp_path) == {JOURNAL, "job.json", "runs/one/mine.txt"}
    assert (tmp_path / "figures" / "empty").is_dir()


@pytest.mark.parametrize("name", ["../victim", "{outside}/victim", "a/../../victim", "link/victim", "..", ".", "", "/"])
def test_no_journal_makes_us_remove_anything_elsewhere(tmp_path: Path, name: str) -> None:
    outside, out = tmp_path / "outside", tmp_path / "out"
    outside.mkdir()
    for victim in (outside / "victim", tmp_path / "victim"):
        victim.write_text("years of work")
    JobFolder.claim(out, JOB)
    (out / "link").symlink_to(outside)
    (out / "direct").symlink_to(outside / "victim")
    with open(out / JOURNAL, "a") as journal:
        journal.write(f"{name.format(outside=outside)}\ndirect\nlink\n")
    JobFolder.claim(out, JOB, present="overwrite")
    assert {"victim", "outside/victim"} <= files(tmp_path)
    assert (tmp_path / "victim").read_text() == (outside / "victim").read_text() == "years of work"
    assert not (out / "direct").is_symlink(), "a link itself is a file of the folder"


def test_nothing_is_written_through_a_link_out_of_the_folder(tmp_path: Path) -> None:
    outside, out = tmp_path / "outside", tmp_path / "out"
    outside.mkdir()
    (outside / "results.json").write_text("theirs")
    folder = JobFolder.claim(out, JOB)
    (out / "figures").symlink_to(outside)
    (out / "results.json").symlink_to(outside / "results.json")
    with pytest.raises(OutputError, match=r"a link leads out of .*out, the folder of the job; remove the link"):
        folder.write_text("figures/a.svg", "")
    folder.write_json("results.json", {})
    assert files(outside) == {"results.json"}
    assert (outside / "results.json").read_text() == "theirs"


def test_a_file_called_like_the_mark_in_a_folder_above_is_no_mark(tmp_path: Path) -> None:
    (tmp_path / JOURNAL).write_text("settings of another program\n")
    write_text(tmp_path / "deep" / "a.txt", "", of_job=True)
    assert (tmp_path / JOURNAL).read_text() == "settings of another program\n"


def test_a_job_in_the_folder_of_a_job_is_not_removed_with_it(tmp_path: Path) -> None:
    JobFolder.claim(tmp_path, JOB)
    JobFolder.claim(tmp_path / "inner", JOB).write_text("a.txt", "")
    JobFolder.claim(tmp_path, JOB, present="overwrite")
    assert {"inner/a.txt", f"inner/{JOURNAL}"} <= files(tmp_path)


def test_a_file_written_again_and_again_is_noted_once(tmp_path: Path) -> None:
    folder = JobFolder.claim(tmp_path, JOB)
    for number in range(3):
        folder.write_text("history.jsonl", str(number))
    assert (tmp_path / JOURNAL).read_text().count("history.jsonl") == 1


@pytest.mark.parametrize("names", ["", "job.json\n"])
def test_a_job_that_was_killed_before_it_said_which_it_is_begins_anew(tmp_path: Path, names: str) -> None:
    write_text(tmp_path / "out" / JOURNAL, f"vergence job 1\n{names}")
    JobFolder.claim(tmp_path / "out", {"job": "test"})
    assert JobFolder(tmp_path / "out").read_json("job.json") == {"job": "test"}
    (tmp_path / "out" / "job.json").unlink()
    (tmp_path / "out" / "theirs").touch()
    with pytest.raises(ConfigError, match=r"job\.json is missing"):
        JobFolder.claim(tmp_path / "out", {"job": "test"}, present="resume")


def test_an_overwrite_cut_short_leaves_a_folder_that_is_still_ours(tmp_path: Path, monkeypatch) -> None:
    JobFolder.claim(tmp_path, JOB).write_text("a.txt", "")

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("vergence.folders.write_json", killed)
    with pytest.raises(KeyboardInterrupt):
        JobFolder.claim(tmp_path, JOB, present="overwrite")
    monkeypatch.undo()
    (tmp_path / "mine.txt").write_text("")
    JobFolder.claim(tmp_path, JOB, present="overwrite")
    assert files(tmp_path) == {JOURNAL, "job.json", "mine.txt"}


def test_places_that_are_no_folder_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "dangling").symlink_to(tmp_path / "none")
    for place in (
        tmp_path / "file", tmp_path / "file" / "below", tmp_path / "dangling",
        tmp_path / ("a" * 300), tmp_path / "a\0b", Path("/proc/vergence"),
    ):  # fmt: skip
        with pytest.raises(
            OutputError, match=rf"cannot write to {re.escape(str(place))}: .+; choose another"
        ) as caught:
            JobFolder.claim(place, JOB)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["", "[]", "3", '{"a": 1', '{"a": 2}', '{"a": 2, "digest": "0"}', "\x00"])
def test_a_result_that_is_not_what_was_written_is_refused_with_the_remedy(tmp_path: Path, content: str) -> None:
    folder = JobFolder.claim(tmp_path, JOB)
    assert folder.read_result("runs/a/run.json") is None
    folder.write_result("runs/a/run.json", {"a": 0.1, "b": [1, "ü"]})
    assert folder.read_result("runs/a/run.json") == {"a": 0.1, "b": [1, "ü"]}
    (tmp_path / "runs" / "a" / "run.json").write_text(content)
    with pytest.raises(CorpusError, match=r"run.json.* Remove that file and resume: what it holds is then done again"):
        folder.read_result("runs/a/run.json")


def test_a_number_that_was_changed_in_a_result_is_noticed(tmp_path: Path) -> None:
    folder = JobFolder.claim(tmp_path, JOB)
    folder.write_result("run.json", {"a": 0.1})
    path = tmp_path / "run.json"
    path.write_text(path.read_text().replace("0.1", "0.9"))
    with pytest.raises(CorpusError, match=r"run.json is damaged: it is not what was written"):
        folder.read_result("run.json")


def test_a_training_that_is_overwritten_leaves_nothing_behind_but_what_it_did_not_write(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    settings = {**SMALL, "train": {"epochs": 3, "batch_size": 16, "tracker": "tensorboard"}}
    path, out = written(tmp_path, settings), tmp_path / "out"
    assert main(["train", path, "--out", str(out)]) == 0
    made = files(out)
    assert any("tfevents" in name for name in made)
    assert sum("checkpoints/epoch-" in name for name in made) == 2
    (out / "checkpoints" / "mine.txt").write_text("mine")
    JobFolder.claim(out, {"job": "another"}, present="overwrite")
    assert files(out) == {JOURNAL, "job.json", "checkpoints/mine.txt"}
    assert yaml.safe_load(Path(path).read_text()) == settings

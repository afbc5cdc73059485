"""The main job through the command line, on a subset."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from safetensors.torch import load_file
from tests.integration.conftest import vergence

from vergence.files import JOURNAL, journal
from vergence.studies.demo.spec import CEILING, FLOOR
from vergence.theory import Outcome

pytestmark = pytest.mark.slow
FACTORS = ["skin_tone", "gender", "group", "subgroup"]


def run_of(folder: Path, captions: str, size: int) -> Path:
    """Where a run of a folder lies."""
    said = json.loads((folder / "predictions.json").read_text())["runs"]
    labels = [one["run"] for one in said]
    (found,) = [
        path.parent
        for path in folder.glob("runs/*/run.json")
        if _rows(path) == _scores(folder, labels[labels.index(f"{captions}_{size}_seed-0")])
    ]
    return found


def _rows(path: Path) -> list[float]:
    return [round(row["value"], 5) for row in json.loads(path.read_text())["rows"]]


def _scores(folder: Path, label: str) -> list[float]:
    table = pd.read_parquet(folder / "table.parquet")
    return table.loc[table["run"] == label, "value"].tolist()


def test_every_score_has_an_interval_a_floor_a_ceiling_and_an_outcome(quick_table: pd.DataFrame) -> None:
    assert set(quick_table["captions"]) == {"labels", "faithful", "omit", "perturb", FLOOR, CEILING}
    assert list(dict.fromkeys(quick_table["factor"])) == FACTORS
    assert set(quick_table["metric"]) == {"matthews_corrcoef"}
    assert quick_table[["value", "low", "high", "floor", "ceiling"]].notna().all(axis=None)
    assert (quick_table["low"] <= quick_table["value"]).all()
    assert (quick_table["value"] <= quick_table["high"]).all()
    assert set(quick_table["outcome"]) <= set(map(str, Outcome))
    captioned = quick_table[~quick_table["captions"].isin((FLOOR, CEILING))]
    assert captioned[["predicted_low", "predicted_high", "reason"]].notna().all(axis=None)


def test_the_floor_is_that_of_the_same_size_and_the_ceiling_beside_every_score(quick_table: pd.DataFrame) -> None:
    own = quick_table[quick_table["captions"] == FLOOR].set_index(["encoding_size", "factor"])["value"]
    for row in quick_table.itertuples():
        assert row.floor == own[row.encoding_size, row.factor]
    assert (quick_table.groupby("factor")["ceiling"].nunique() == 1).all()


def test_an_omitted_factor_is_predicted_to_stay_on_the_floor(quick_table: pd.DataFrame) -> None:
    tone = quick_table[(quick_table["captions"] == "omit") & (quick_table["factor"] == "skin_tone")]
    assert len(tone) == 3
    floors = quick_table[(quick_table["captions"] == FLOOR) & (quick_table["factor"] == "skin_tone")]
    highest = floors.set_index("encoding_size")["high"]
    for row in tone.itertuples():
        assert row.predicted_high == pytest.approx(max(row.told, highest[row.encoding_size]), abs=1e-4)


def test_captions_follow_their_policy(quick_demo: Path) -> None:
    said = {}
    for name in ("faithful", "omit", "perturb"):
        run = json.loads((run_of(quick_demo, name, 16) / "run.json").read_text())
        said[name] = " ".join(example["caption"] for example in run["extras"]["captions"])
    assert "skin tone" in said["faithful"]
    assert "skin tone" in said["perturb"]
    assert "skin tone" not in said["omit"]


def test_the_folder_holds_whole_files_only(quick_demo: Path) -> None:
    names = {path.relative_to(quick_demo).as_posix() for path in quick_demo.rglob("*") if path.is_file()}
    assert {"table.parquet", "verdict.json", "page.html", "predictions.json", "job.json"} <= names
    assert "figures/prediction.svg" in names
    assert not [name for name in names if "checkpoints" in name or name.endswith((".partial", ".pt", ".pkl"))]
    assert str(quick_demo) not in (quick_demo / "verdict.json").read_text()


def test_the_same_seed_gives_the_same_results(quick_table: pd.DataFrame, tmp_path: Path) -> None:
    done = vergence("demo", "--out", str(tmp_path / "again"), "--quick", "--policies", "omit")
    assert done.returncode == 0, done.stderr
    again = pd.read_parquet(tmp_path / "again" / "table.parquet").query("captions == 'omit'")
    first = quick_table.query("captions == 'omit'")
    pd.testing.assert_frame_equal(again.reset_index(drop=True), first.reset_index(drop=True))


def test_a_killed_run_resumes_to_the_same_weights(quick_demo: Path, tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    command = [sys.executable, "-m", "vergence", "demo", "--out", str(folder), "--quick", "--policies", "omit"]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not list(folder.glob("runs/*/checkpoints/epoch-000001.safetensors")):
        assert running.poll() is None
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert not (folder / "verdict.json").exists()
    refused = vergence(*command[3:])
    assert refused.returncode == 2
    assert "--resume" in refused.stderr
    resumed = vergence(*command[3:], "--resume")
    assert resumed.returncode == 0, resumed.stderr
    for size in (3, 16, 64):
        ours, theirs = (load_file(run_of(root, "omit", size) / "encoder.safetensors") for root in (folder, quick_demo))
        assert ours.keys() == theirs.keys()
        assert all(bool((ours[name] == theirs[name]).all()) for name in ours)


def test_a_finished_job_is_not_repeated(quick_demo: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in quick_demo.glob("runs/*/encoder.safetensors")}
    done = vergence("demo", "--out", str(quick_demo), "--quick", "--resume")
    assert done.returncode == 0, done.stderr
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_the_journal_names_every_file_of_a_finished_job(quick_demo: Path) -> None:
    there = {path.relative_to(quick_demo).as_posix() for path in quick_demo.rglob("*") if path.is_file()}
    assert set(journal(quick_demo)) >= there - {JOURNAL}
    assert not list(quick_demo.rglob("checkpoints")), "gone once a run is done"


def test_a_damaged_result_of_a_run_is_said_in_one_line(quick_demo: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(quick_demo, tmp_path / "alone" / "out")
    damaged = next(folder.glob("runs/*/run.json"))
    damaged.write_text(damaged.read_text().replace('"value": 0', '"value": 1', 1))
    done = vergence("demo", "--out", str(folder), "--quick", "--resume")
    assert done.returncode == 2
    assert "run.json is damaged: it is not what was written. Remove that file and resume" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("vergence: error: ")

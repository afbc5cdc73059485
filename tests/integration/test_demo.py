"""The main job through the command line, on a subset."""

import json
import shutil
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest
from safetensors.torch import load_file
from tests.integration.conftest import vergence

from vergence.files import JOURNAL, journal
from vergence.probes import SIZE_DEPENDENT

pytestmark = pytest.mark.slow
FACTORS = ["skin_tone", "gender", "group", "subgroup"]


def without_timings(results: dict) -> dict:
    """Drop what may differ between two runs of one seed, and the command, which says what was asked for."""
    kept = {key: value for key, value in results.items() if key not in ("timings", "command")}
    return json.loads(json.dumps(kept))


def test_every_policy_states_each_factor_with_its_interval_and_prediction(quick_results: dict) -> None:
    assert list(quick_results["policies"]) == ["labels", "faithful", "omit", "perturb"]
    for policy in quick_results["policies"].values():
        assert list(policy["factors"]) == FACTORS
        for record in policy["factors"].values():
            assert record["metric"] == "matthews_corrcoef"
            assert -1 <= record["low"] <= record["value"] <= record["high"] <= 1
            assert record["predicted"] == SIZE_DEPENDENT or 0 <= record["predicted"] <= 1


def test_the_smallest_size_is_that_of_the_unbiased_block_and_has_numbers_throughout(quick_results: dict) -> None:
    for name, runs in quick_results["sizes"].items():
        sizes = [run["encoding_size"] for run in runs]
        assert all(a < b for a, b in pairwise(sizes))
        assert len(sizes) == 3
        assert sizes[0] == len(quick_results["policies"][name]["misalignment"]["unbiased"])
        assert all(isinstance(record["predicted"], float) for record in runs[0]["factors"].values())


def test_an_omitted_factor_is_predicted_to_be_lost_at_that_size_and_left_open_above(quick_results: dict) -> None:
    small, main, large = (run["factors"]["skin_tone"]["predicted"] for run in quick_results["sizes"]["omit"])
    assert abs(small) < 0.1  # crossed with the other factors by construction of the set
    assert main == large == SIZE_DEPENDENT


def test_no_test_concept_was_trained_on(quick_results: dict) -> None:
    data = quick_results["data"]
    assert data["train"] + data["test"] == data["images"]
    assert 0 < data["test_concepts"] < data["concepts"]


def test_captions_follow_their_policy(quick_results: dict) -> None:
    captions = {
        name: " ".join(example["caption"] for example in policy["captions"])
        for name, policy in quick_results["policies"].items()
    }
    assert "skin tone" in captions["faithful"]
    assert "skin tone" in captions["perturb"]
    assert "skin tone" not in captions["omit"]


def test_the_folder_holds_whole_files_only(quick_demo: Path) -> None:
    names = {path.relative_to(quick_demo).as_posix() for path in quick_demo.rglob("*") if path.is_file()}
    assert {"results.json", "report.html", "predictions.json", "job.json"} <= names
    assert any(name.startswith("figures/") and name.endswith(".svg") for name in names)
    assert not [name for name in names if "checkpoints" in name or name.endswith((".partial", ".pt", ".pkl"))]
    assert str(quick_demo) not in (quick_demo / "results.json").read_text()


def test_the_same_seed_gives_the_same_results(quick_results: dict, tmp_path: Path) -> None:
    done = vergence("demo", "--out", str(tmp_path / "again"), "--quick", "--policies", "omit")
    assert done.returncode == 0, done.stderr
    again = json.loads((tmp_path / "again" / "results.json").read_text())
    assert without_timings(again)["policies"]["omit"] == without_timings(quick_results)["policies"]["omit"]
    assert without_timings(again)["sizes"]["omit"] == without_timings(quick_results)["sizes"]["omit"]


def test_a_killed_run_resumes_to_the_same_weights(quick_demo: Path, tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    command = [sys.executable, "-m", "vergence", "demo", "--out", str(folder), "--quick", "--policies", "omit"]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not list(folder.glob("runs/*/checkpoints/epoch-000001.safetensors")):
        assert running.poll() is None
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert not (folder / "results.json").exists()
    refused = vergence(*command[3:])
    assert refused.returncode == 2
    assert "--resume" in refused.stderr
    resumed = vergence(*command[3:], "--resume")
    assert resumed.returncode == 0, resumed.stderr
    for run in ("omit-3", "omit-16", "omit-64"):
        ours, theirs = (load_file(root / "runs" / run / "encoder.safetensors") for root in (folder, quick_demo))
        assert ours.keys() == theirs.keys()
        assert all(bool((ours[name] == theirs[name]).all()) for name in ours)


def test_a_finished_job_is_not_repeated(quick_demo: Path) -> None:
    before = (quick_demo / "runs" / "omit-16" / "encoder.safetensors").stat().st_mtime_ns
    done = vergence("demo", "--out", str(quick_demo), "--quick", "--resume")
    assert done.returncode == 0, done.stderr
    assert (quick_demo / "runs" / "omit-16" / "encoder.safetensors").stat().st_mtime_ns == before


def test_the_journal_names_every_file_of_a_finished_job(quick_demo: Path) -> None:
    there = {path.relative_to(quick_demo).as_posix() for path in quick_demo.rglob("*") if path.is_file()}
    assert set(journal(quick_demo)) >= there - {JOURNAL}
    assert not list(quick_demo.rglob("checkpoints")), "gone once a run is done"


def test_a_damaged_result_of_a_run_is_said_in_one_line(quick_demo: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(quick_demo, tmp_path / "out")
    damaged = next(folder.glob("runs/*/run.json"))
    damaged.write_text(damaged.read_text().replace('"value": 0', '"value": 1', 1))
    done = vergence("demo", "--out", str(folder), "--quick", "--resume")
    assert done.returncode == 2
    assert "run.json is damaged: it is not what was written. Remove that file and resume" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("vergence: error: ")

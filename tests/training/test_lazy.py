"""Images that are decoded when they are needed: in bounded memory, and to the same weights whatever decodes them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from tests.data import sources
from tests.training.run_config import SMALL

from vergence.errors import ConfigError
from vergence.training import RunConfig, run_training
from vergence.training.mapping import from_mapping

BOUNDED = """
import re, resource, sys
from pathlib import Path
from vergence.training.pairs import load_pairs
from vergence.training.spec import DataConfig
import torch; torch.zeros(8) @ torch.zeros(8)
held = int(re.search(r"VmData:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
limit = held + 150_000_000
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
config = DataConfig(source=sys.argv[1], side=512, workers=2, memory=int(sys.argv[2]), validation=0.2)
found = load_pairs(config, seed=0)
groups = [list(range(at, at + 8)) for at in range(0, len(found.pairs), 8)]
print(sum(len(images) for images, _ in found.pairs.batches(groups, side=512, workers=2)))
"""


def settings(source: Path, **data: object) -> RunConfig:
    return from_mapping(
        RunConfig, {**SMALL, "data": {"source": str(source), "side": 16, "shift": 1, "validation": 0.2, **data}}
    )


def many(folder: Path, n: int = 60, side: int = 24) -> Path:
    (folder / "images").mkdir(parents=True)
    rows = []
    for row in range(n):
        Image.new("RGB", (side, side), (row * 4 % 256, 255 - row % 256, row * 37 % 256)).save(
            folder / "images" / f"{row}.jpg"
        )
        rows.append((f"images/{row}.jpg", f"a drawing of number {row % 7} of {row}"))
    return sources.write_csv(folder / "pairs.csv", ("image", "caption"), rows)


@pytest.mark.slow
def test_more_images_than_memory_allows_are_trained_on_and_holding_them_all_would_fail(tmp_path: Path) -> None:
    source = many(tmp_path, n=400, side=512)  # 315 MB of pixels; the process may take 150 MB
    for megabytes, works in ((0, True), (1000, False)):
        command = [sys.executable, "-c", BOUNDED, str(source), str(megabytes)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode == 0) == works, done.stderr
        assert (done.stdout.strip() == "400") == works


def test_weights_do_not_depend_on_threads_nor_on_what_is_held_and_resume_bit_for_bit(tmp_path: Path) -> None:
    source = many(tmp_path / "set")
    runs = {"held": {"workers": 1}, "two": {"workers": 2, "memory": 0}, "five": {"workers": 5, "memory": 0}}
    weights, histories = [], []
    for name, data in runs.items():
        run_training(settings(source, **data), out=tmp_path / name, present="refuse")
        weights.append((tmp_path / name / "encoder" / "encoder.safetensors").read_bytes())
        histories.append((tmp_path / name / "history.jsonl").read_text())
    assert weights[0] == weights[1] == weights[2]
    assert histories[0] == histories[1] == histories[2]
    (tmp_path / "five" / "checkpoints" / "epoch-000002.safetensors").unlink()
    (tmp_path / "five" / "encoder" / "encoder.safetensors").unlink()
    again = run_training(settings(source, workers=1, memory=1), out=tmp_path / "five", present="resume")
    assert again.resumed_from == 1
    assert (tmp_path / "five" / "encoder" / "encoder.safetensors").read_bytes() == weights[0]


def test_what_is_left_out_is_counted_and_named_in_the_history(tmp_path: Path) -> None:
    source = many(tmp_path / "set")
    (source.parent / "images" / "7.jpg").unlink()
    (source.parent / "images" / "9.jpg").write_bytes(b"none")
    result = run_training(settings(source), out=tmp_path / "run", present="refuse")
    first, second = map(json.loads, (tmp_path / "run" / "history.jsonl").read_text().splitlines())
    assert first["left_out"] == 2
    assert "record 8 of" in first["left_out_rows"][0]
    assert "7.jpg: no such file" in first["left_out_rows"][0]
    assert "left_out" not in second
    assert result.history.attrs["left_out"] == 2
    assert "left_out" not in result.history.columns


def test_an_image_that_goes_while_it_is_needed_ends_the_run_in_one_line_and_nothing_is_lost(tmp_path: Path) -> None:
    source = many(tmp_path / "set")
    config = settings(source, memory=0)
    run_training(config, out=tmp_path / "run", present="refuse")
    (tmp_path / "run" / "checkpoints" / "epoch-000002.safetensors").unlink()
    kept = (source.parent / "images" / "3.jpg").read_bytes()
    (source.parent / "images" / "3.jpg").unlink()
    with pytest.raises(ConfigError, match="holds a job with another data"):
        run_training(config, out=tmp_path / "run", present="resume")
    (source.parent / "images" / "3.jpg").write_bytes(kept)
    assert run_training(config, out=tmp_path / "run", present="resume").resumed_from == 1


def test_a_run_of_an_earlier_form_says_how_to_go_on(tmp_path: Path) -> None:
    source = many(tmp_path / "set")
    config = settings(source)
    run_training(config, out=tmp_path / "run", present="refuse")
    job = json.loads((tmp_path / "run" / "job.json").read_text())
    for name in ("source", "key_column", "images"):
        del job["settings"]["data"][name]
    (tmp_path / "run" / "job.json").write_text(json.dumps(job))
    with pytest.raises(ConfigError, match=r"a run of an earlier form, .* vergence embed SOURCE --model .*--overwrite"):
        run_training(config, out=tmp_path / "run", present="resume")
    assert torch.is_tensor(run_training(config, out=tmp_path / "run", present="overwrite").encoder.image.head[0].weight)


def test_the_earlier_name_of_the_source_still_works_and_both_are_refused(tmp_path: Path) -> None:
    source = sources.parquet_bytes(tmp_path / "set")
    found = from_mapping(RunConfig, {"data": {"parquet": str(source)}}).data
    assert found.place == str(source)
    with pytest.raises(ConfigError, match=r"parquet is the earlier name of source; keep data.source"):
        from_mapping(RunConfig, {"data": {"parquet": "a", "source": "b"}})

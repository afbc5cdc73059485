"""A training that was stopped, killed or damaged ends at the same weights, bit for bit."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
from tests.training.common import CONFIG, StoppedError, differing, encoder, objective, run, stop_after, views
from torch import Tensor

from vergence.encoders import DualEncoder
from vergence.errors import ConfigError
from vergence.training import TrainConfig, TrainResult

PAIRS = CONFIG.batch_size * 4 + 6


@pytest.fixture(scope="module")
def uninterrupted() -> tuple[TrainResult, dict[str, Tensor]]:
    return run()


def stopped(out: Path, epoch: int) -> Path:
    with pytest.raises(StoppedError):
        run(out, callbacks=[stop_after(epoch)])
    return out


def newest(out: Path) -> Path:
    return max((out / "checkpoints").iterdir())


@pytest.mark.parametrize("epoch", [1, 2, 3, 4])
def test_a_stopped_training_is_resumed_to_the_same_bits(uninterrupted, tmp_path: Path, epoch: int) -> None:
    result, tensors = run(stopped(tmp_path, epoch), resume=True)
    assert result.resumed_from == epoch
    assert differing(tensors, uninterrupted[1]) == []
    pd.testing.assert_frame_equal(result.history, uninterrupted[0].history, check_exact=True)
    lines = pd.read_json(tmp_path / "history.jsonl", lines=True, precise_float=True)
    pd.testing.assert_frame_equal(lines, result.history, check_exact=True)


def test_a_training_stopped_again_and_again_is_resumed_to_the_same_bits(uninterrupted, tmp_path: Path) -> None:
    for epoch in (1, 2, 3):
        with pytest.raises(StoppedError):
            run(tmp_path, callbacks=[stop_after(epoch)], resume=True)
    assert differing(run(tmp_path, resume=True)[1], uninterrupted[1]) == []


def test_a_training_stopped_in_the_middle_of_an_epoch_repeats_that_epoch(uninterrupted, tmp_path: Path) -> None:
    steps = 0

    def interrupt(images: Tensor, stream: torch.Generator) -> Tensor:
        nonlocal steps
        steps += 1
        if steps == 4 * 2 + 3:
            raise StoppedError
        return torch.nn.functional.pad(images, (1, 1, 1, 1), mode="replicate")[..., 1:9, 1:9]

    with pytest.raises(StoppedError):
        run(tmp_path, augment=interrupt)
    steps = 1000
    result, tensors = run(tmp_path, augment=interrupt, resume=True)
    assert result.resumed_from == 2
    steps = 1000
    assert differing(tensors, run(augment=interrupt)[1]) == []


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b[:-1], lambda b: b"?" * 99])
def test_a_damaged_newest_checkpoint_costs_an_epoch_and_changes_nothing(uninterrupted, tmp_path, damage) -> None:
    path = newest(stopped(tmp_path, 3))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.warns(UserWarning, match=f"{path.name} is damaged .*; going back to the checkpoint before it"):
        result, tensors = run(tmp_path, resume=True)
    assert result.resumed_from == 2
    assert differing(tensors, uninterrupted[1]) == []


def test_with_no_whole_checkpoint_left_training_starts_over(uninterrupted, tmp_path: Path) -> None:
    for path in (stopped(tmp_path, 3) / "checkpoints").iterdir():
        path.write_bytes(b"")
    with pytest.warns(UserWarning, match="is damaged"):
        result, tensors = run(tmp_path, resume=True)
    assert result.resumed_from == 0
    assert differing(tensors, uninterrupted[1]) == []


@pytest.mark.slow
def test_a_killed_process_is_resumed_to_the_same_bits(uninterrupted, tmp_path: Path) -> None:
    code = f"""
import time
from pathlib import Path
from tests.training.common import run
run(Path({str(tmp_path)!r}), callbacks=[lambda end: time.sleep(600 if end.epoch == 3 else 0)])
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [*sys.path, str(Path.cwd())]))}
    process = subprocess.Popen([sys.executable, "-c", code], env=environment, start_new_session=True)
    try:
        while not (tmp_path / "checkpoints" / "epoch-000002.safetensors").exists():  # it waits after the third
            assert process.poll() is None, "ended before it could be killed"
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    result, tensors = run(tmp_path, resume=True)
    assert result.resumed_from in {2, 3}
    assert differing(tensors, uninterrupted[1]) == []
    assert [path for path in tmp_path.rglob("*") if path.name.endswith(".partial")] == []


def test_a_finished_training_is_read_not_repeated(uninterrupted, tmp_path: Path) -> None:
    run(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    result, tensors = run(tmp_path, resume=True, callbacks=[stop_after(4)])
    assert result.resumed_from == 4
    assert not result.encoder.training
    assert differing(tensors, uninterrupted[1]) == []
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_starting_over_in_the_folder_of_a_training_is_refused(tmp_path: Path) -> None:
    stopped(tmp_path, 1)
    with pytest.raises(ConfigError, match="checkpoints holds a training; pass resume=True to continue it, or another"):
        run(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"config": TrainConfig(epochs=4, batch_size=16, warmup=0.5)},
            "other settings: warmup was 0.1, is 0.5. Use",
        ),
        ({"config": TrainConfig(epochs=5, batch_size=16)}, "other settings: epochs was 4, is 5. Use the same settings"),
        (
            {"views": views(PAIRS + 1)},
            "other settings: number of pairs was 70, is 71. Use the same settings or",
        ),
        ({"objective": objective(0.2)}, "other settings: weight of bottleneck was 0.1, is 0.2. Use the same settings"),
        (
            {"seed": 4},
            "other settings: generator's first split was [0-9]+, is [0-9]+. Use the same settings or",
        ),
        ({"encoder": encoder(7)}, r"the checkpoint is of another model \(size mismatch for .*train in another folder"),
        (
            {"encoder": DualEncoder(encoder().image[0], encoder().text)},
            "the checkpoint is of another model .Unexpec",
        ),
    ],
)
def test_the_folder_of_another_training_is_refused_by_name(tmp_path: Path, change, message: str) -> None:
    stopped(tmp_path, 1)
    before = newest(tmp_path).read_bytes()
    with pytest.raises(ConfigError, match=message):
        run(tmp_path, resume=True, **change)
    assert newest(tmp_path).read_bytes() == before


def test_one_encoder_for_both_modalities_is_resumed_too(tmp_path: Path) -> None:
    def tied() -> DualEncoder:
        torch.manual_seed(0)
        shared = torch.nn.Linear(4, 3)
        return DualEncoder(shared, shared)

    x = torch.randn(70, 4, generator=torch.Generator().manual_seed(0))
    same = {"views": type(views())(image=x, text=x + 0.1), "augment": None}
    whole = run(encoder=tied(), **same)[1]
    with pytest.raises(StoppedError):
        run(tmp_path, encoder=tied(), callbacks=[stop_after(2)], **same)
    assert differing(run(tmp_path, encoder=tied(), resume=True, **same)[1], whole) == []


def test_files_are_tensors_and_json_lines_and_none_is_partial(tmp_path: Path) -> None:
    run(tmp_path)
    names = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    last = [f"checkpoints/epoch-00000{epoch}.safetensors" for epoch in (3, 4)]
    assert names == [*last, "history.jsonl"]
    pickled, zipped = b"\x80", b"PK"
    for path in (path for path in tmp_path.rglob("*") if path.is_file()):
        assert not path.read_bytes().startswith((pickled, zipped)), path

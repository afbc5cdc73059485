"""Runs in worker processes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from vergence.errors import ConfigError, VergenceError
from vergence.studies.pool import Teller, run_in_pool
from vergence.studies.progress import StudyProgress

pytestmark = pytest.mark.slow  # each worker imports torch


def threads(number: int, tell: Teller) -> tuple[int, int, int]:
    tell(1, 1)
    return number, torch.get_num_threads(), os.getpid()


def refuse(number: int, tell: Teller) -> None:
    raise ConfigError(f"number must be even; got {number}")


def die(number: int, tell: Teller) -> None:
    os._exit(1)


def wait_for_ever(path: str, tell: Teller) -> None:
    Path(path).write_text(str(os.getpid()))
    time.sleep(600)


def outcomes(work, n: int) -> dict:
    with StudyProgress("runs") as progress:
        progress.start(n)
        return dict(run_in_pool(work, {str(i): i for i in range(n)}, progress=progress))


def test_every_run_comes_back_by_name_from_a_process_with_one_thread() -> None:
    found = outcomes(threads, 3)
    assert {name: number for name, (number, _, _) in found.items()} == {"0": 0, "1": 1, "2": 2}
    assert {n for _, n, _ in found.values()} == {1}
    assert os.getpid() not in {pid for _, _, pid in found.values()}


def test_a_mistake_in_a_run_reaches_the_caller_as_it_was() -> None:
    with pytest.raises(ConfigError, match="number must be even; got"):
        outcomes(refuse, 1)


def test_a_killed_worker_is_said_with_the_remedy() -> None:
    with pytest.raises(VergenceError, match=r"a worker process was killed during '0'.*--resume"):
        outcomes(die, 1)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_workers_do_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    written = tmp_path / "pid"
    script = (
        "from tests.studies.test_pool import *\n"
        "if __name__ == '__main__':\n"
        "    with StudyProgress('runs') as progress:\n"
        f"        dict(run_in_pool(wait_for_ever, {{'only': {str(written)!r}}}, progress=progress))\n"
    )
    (tmp_path / "parent.py").write_text(script)
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{root}:{root / 'src'}"}
    parent = subprocess.Popen([sys.executable, tmp_path / "parent.py"], env=environment)
    deadline = time.monotonic() + 500  # only so that a failure ends
    while not (written.exists() and written.read_text()):
        assert parent.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    family = children(parent.pid)
    assert int(written.read_text()) in family
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    while any(map(alive, family)):
        assert time.monotonic() < deadline, "a worker, or what carries its words, is still there"
        time.sleep(0.05)

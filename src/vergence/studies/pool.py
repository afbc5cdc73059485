"""Independent runs in worker processes of one thread each.

On a few cores that is faster than one run with several threads, and since every run has one thread, its numbers do not
depend on how many cores there are.
"""

import os
import pickle
import queue as queues
import signal
import traceback
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.managers import SyncManager
from typing import Any, TypeVar

import torch

from vergence.checks import at_least
from vergence.errors import ConfigError, VergenceError
from vergence.lifetime import end_with_parent
from vergence.studies.progress import StudyProgress
from vergence.terminal import plain_warnings

Run = TypeVar("Run")
Result = TypeVar("Result")

_MOST_TRIALS = 1_000
_WORKERS = 4  # at most: each holds its own copy of the data


def trials(seeds: int | None, default: int) -> int:
    """How many trials of each setting a study is to have.

    Args:
        seeds: As asked for, in [1, 1,000].
        default: Those of the scale, if not asked for.

    Raises:
        ConfigError: If it is outside that range.
    """
    n = default if seeds is None else seeds
    at_least("seeds", n, 1)
    if n > _MOST_TRIALS:
        raise ConfigError(f"seeds must be <= {_MOST_TRIALS:,}; got {n!r}")
    return n


@dataclass(frozen=True)
class Teller:
    """What a run calls to say how far it is; when the job has been given up, it fails, and so ends the run."""

    queue: Any
    run: str

    def __call__(self, done: int, total: int) -> None:
        """Tell the parent process."""
        self.queue.put((self.run, done, total))


def run_in_pool(
    work: Callable[[Run, Teller], Result], runs: Mapping[str, Run], *, progress: StudyProgress, workers: int = _WORKERS
) -> Iterator[tuple[str, Result]]:
    """Do independent runs, as many at once as there are cores.

    Args:
        work: A function of a module; is given a run and what to tell its progress to.
        runs: What each is to do, by name.
        progress: Shows how far each run is.
        workers: At most so many processes.

    Yields:
        Name and result of each run, as they finish.

    Raises:
        VergenceError: If a worker process was killed; and whatever a run raises.
    """
    if not runs:
        return
    context = get_context("spawn")  # a forked torch may hang
    n_workers = max(1, min(len(runs), len(os.sched_getaffinity(0)), workers))
    with ExitStack() as stack:
        pool = stack.enter_context(ProcessPoolExecutor(n_workers, mp_context=context, initializer=_prepare))
        # Left first: running work then fails at its next word, and the pool need not wait for its end.
        manager = SyncManager(ctx=context)
        manager.start(initializer=end_with_parent)
        stack.enter_context(manager)
        stack.callback(pool.shutdown, wait=False, cancel_futures=True)
        heard = manager.Queue()
        futures = {pool.submit(_guarded, work, run, Teller(heard, name)): name for name, run in runs.items()}
        pending = set(futures)
        while pending:
            done, pending = wait(pending, timeout=0.2, return_when=FIRST_COMPLETED)
            _show(heard, progress)
            for future in done:
                try:
                    yield futures[future], future.result()
                except BrokenProcessPool as error:
                    raise VergenceError(
                        f"a worker process was killed during {futures[future]!r}, perhaps for lack of memory; "
                        "--resume continues where it stopped"
                    ) from error


def _guarded(work: Callable[[Run, Teller], Result], run: Run, tell: Teller) -> Result:
    """Do a run; an error that the parent could not be handed would look to it as if this process had been killed."""
    try:
        return work(run, tell)
    except Exception as error:
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:
            raise RuntimeError("".join(traceback.format_exception(error))) from None
        raise


def _prepare() -> None:
    """One thread; an interrupt is the parent's business; and a worker does not outlive a parent that was killed."""
    torch.set_num_threads(1)
    plain_warnings()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()


def _show(heard: Any, progress: StudyProgress) -> None:
    while True:
        try:
            run, done, total = heard.get_nowait()
        except queues.Empty:
            return
        progress.advanced(run, done, total)

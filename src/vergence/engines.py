"""Does the parts of a job in threads, in processes or on a Ray cluster; who asks says what a part is."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context
from types import MappingProxyType
from typing import Any, TypeAlias

from vergence.checks import at_least, one_of
from vergence.errors import ConfigError, CorpusError, MissingExtraError, VergenceError, first_line

Work: TypeAlias = Callable[[Any, Any], Any]  # of a part and what all parts share; to be pickled but for threads
Stop: TypeAlias = Callable[[], object]
_Runner: TypeAlias = Callable[[Work, Iterator[Any], Any, "Engine", Stop], Generator[tuple[Any, Any]]]

ENGINES = ("threads", "processes", "ray")
_MOST_WORKERS = 1024
_PATIENCE = 30  # seconds until a Ray cluster must have answered


@dataclass(frozen=True, kw_only=True)
class Engine:
    """Where and how the parts of a job are done.

    Args:
        kind: "threads", "processes" or "ray".
        workers: How many parts are done at a time, at most 1,024; the number of usable cores if 0.
        address: Of a running Ray cluster; a local one is started if empty.

    Raises:
        ConfigError: If the kind is unknown, or the number of workers is not in 0..1024.
    """

    kind: str = "threads"
    workers: int = 0
    address: str = ""

    def __post_init__(self) -> None:
        one_of("engine", self.kind, ENGINES)
        at_least("workers", self.workers, 0)
        if self.workers > _MOST_WORKERS:
            raise ConfigError(f"workers must be <= {_MOST_WORKERS}; got {self.workers}; 0 takes all cores")

    @property
    def width(self) -> int:
        """How many parts are done at a time."""
        usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return self.workers or usable


def done_by(
    engine: Engine, work: Work, parts: Iterable[Any], shared: Any, *, stop: Stop = lambda: None
) -> Generator[tuple[Any, Any]]:
    """Each part and what became of it, in the order in which they are done.

    Args:
        engine: Where.
        work: What is done. It must not matter how often: a part whose node is lost is done again.
        parts: What `str` names in messages; they are taken as they are needed, twice as many as there are workers.
        shared: What all of them need; it is sent once.
        stop: Is called when no more is wanted, whatever the reason, and before workers are waited for.

    Raises:
        CorpusError: If workers end again and again, beside what the work raises.
        ConfigError: If no Ray cluster answers, or none can be started.
        MissingExtraError: If Ray is not installed.

    Example:
        >>> sorted(done_by(Engine(workers=2), pow, [2, 3], 2))
        [(2, 4), (3, 9)]
    """
    return _RUNNERS[engine.kind](work, iter(parts), shared, engine, stop)


def share_of_parts(parts: Sequence[Any], shard: tuple[int, int]) -> Sequence[Any]:
    """The parts that one of several shards does: those that follow each other, since they lie beside each other.

    Raises:
        ConfigError: If there is no such shard.

    Example:
        >>> [share_of_parts("abcde", (number, 3)) for number in range(3)]
        ['a', 'bc', 'de']
    """
    number, shards = check_shard(shard)
    return parts[len(parts) * number // shards : len(parts) * (number + 1) // shards]


def check_shard(shard: tuple[int, int]) -> tuple[int, int]:
    """A shard's number and how many there are.

    Raises:
        ConfigError: If it is not one of them.
    """
    number, shards = shard
    at_least("num_shards", shards, 1)
    if not 0 <= number < shards:
        raise ConfigError(f"shard_id must be in 0..{shards - 1}; got {number}")
    return shard


def _run_pool(
    pool: Executor, work: Work, parts: Iterator[Any], shared: Any, *, width: int, stop: Stop
) -> Generator[tuple[Any, Any]]:
    """Keep twice as many parts in flight as there are workers, so that results never pile up."""
    running: dict[Future[Any], Any] = {}
    try:
        while True:
            for part in islice(parts, 2 * width - len(running)):
                running[pool.submit(work, part, shared)] = part
            if not running:
                return
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield running.pop(future), future.result()
    finally:
        stop()
        for future in running:
            future.cancel()


def _threads(work: Work, parts: Iterator[Any], shared: Any, engine: Engine, stop: Stop) -> Generator[tuple[Any, Any]]:
    with ThreadPoolExecutor(engine.width) as pool:
        yield from _run_pool(pool, work, parts, shared, width=engine.width, stop=stop)


def _processes(work: Work, parts: Iterator[Any], shared: Any, engine: Engine, stop: Stop) -> Generator[tuple[Any, Any]]:
    # Spawned, not forked: Arrow and numba keep threads that do not survive a fork.
    with ProcessPoolExecutor(engine.width, mp_context=get_context("spawn")) as pool:
        try:
            yield from _run_pool(pool, work, parts, shared, width=engine.width, stop=stop)
        except BrokenProcessPool as error:
            raise CorpusError(
                "a worker process ended before its part was done, perhaps for want of memory; use fewer workers, and"
                " an output folder to go on from"
            ) from error


def _ray(work: Work, parts: Iterator[Any], shared: Any, engine: Engine, stop: Stop) -> Generator[tuple[Any, Any]]:
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError("ray", extra="ray") from error
    del stop  # the cluster ends what it runs
    started = not ray.is_initialized()
    if started:
        if engine.address:
            _await_answer(engine.address)
        # "local" starts a cluster of its own even where an unrelated one has left its address.
        local: dict[str, Any] = {} if engine.address else {"num_cpus": engine.width, "include_dashboard": False}
        try:
            ray.init(address=engine.address or "local", log_to_driver=False, **local)
        except Exception as error:  # Ray raises no other where its processes do not come up
            raise ConfigError(f"Ray did not start ({first_line(error)}); free the machine, or use threads") from error
    # The work is free of side effects, so a part whose node is lost is simply done again.
    task = ray.remote(max_retries=20, num_cpus=1)(work)
    try:
        sent = ray.put(shared)
        running: dict[Any, Any] = {}
        width = max(2, 2 * int(ray.cluster_resources().get("CPU", 1)))  # type: ignore[no-untyped-call]
        while True:
            for part in islice(parts, width - len(running)):
                running[task.remote(part, sent)] = part
            if not running:
                return
            (done,), _ = ray.wait(list(running), num_returns=1)
            part = running.pop(done)
            try:
                result = ray.get(done)
            except ray.exceptions.RayTaskError as error:
                raise error.cause if isinstance(error.cause, VergenceError) else error from None
            except ray.exceptions.RayError as error:
                raise CorpusError(f"{part}: its workers were lost again and again: {first_line(error)}") from error
            yield part, result
    finally:
        if started:
            ray.shutdown()


def _await_answer(address: str) -> None:
    """Make sure that a Ray cluster answers: in another process, since one that does not can end the process that asks.

    Raises:
        ConfigError: If none does in time.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        if host and port.isdecimal():
            socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE / 3).close()
        ask = "import ray, sys; ray.init(address=sys.argv[1], log_to_driver=False)"
        quiet: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
        subprocess.run([sys.executable, "-c", ask, address], timeout=_PATIENCE, check=True, **quiet)
    except (OSError, OverflowError, ValueError, subprocess.SubprocessError) as error:
        raise ConfigError(
            f"no Ray cluster answers at {address!r} within {_PATIENCE} s; start one, or leave --ray-address out for a"
            " local one"
        ) from error


_RUNNERS: Mapping[str, _Runner] = MappingProxyType({"threads": _threads, "processes": _processes, "ray": _ray})

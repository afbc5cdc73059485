"""Counts parts in threads, in processes or on a Ray cluster."""

import os
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from types import MappingProxyType
from typing import Any

from vergence.checks import at_least, one_of
from vergence.corpus.counting import Settings, count_part, count_to_bytes
from vergence.errors import ConfigError, CorpusError, MissingExtraError
from vergence.sources.discovery import Part
from vergence.sources.problems import short

ENGINES = ("threads", "processes", "ray")
_MOST_WORKERS = 1024
_PATIENCE = 30  # seconds until a Ray cluster must have answered


@dataclass(frozen=True, kw_only=True)
class Engine:
    """Where and how an audit runs.

    Args:
        kind: "threads", "processes" or "ray"; threads suit Parquet and Arrow, processes the text formats.
        workers: How many parts are read at a time, at most 1,024; the number of usable cores if 0.
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
        """How many parts are read at a time."""
        usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return self.workers or usable


def _run_pool(
    pool: Executor, work: Callable[[Part, Settings], Any], parts: Sequence[Part], settings: Settings, width: int
) -> Iterator[tuple[Part, Any]]:
    """Keep twice as many parts in flight as there are workers, so that results never pile up."""
    waiting = deque(parts)
    running: dict[Future[Any], Part] = {}
    try:
        while waiting or running:
            while waiting and len(running) < 2 * width:
                part = waiting.popleft()
                running[pool.submit(work, part, settings)] = part
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield running.pop(future), future.result()
    finally:
        for future in running:
            future.cancel()


def _threads(parts: Sequence[Part], settings: Settings, engine: Engine) -> Iterator[tuple[Part, Any]]:
    with ThreadPoolExecutor(engine.width) as pool:
        yield from _run_pool(pool, count_part, parts, settings, engine.width)


def _processes(parts: Sequence[Part], settings: Settings, engine: Engine) -> Iterator[tuple[Part, Any]]:
    # Spawned, not forked: Arrow and numba keep threads that do not survive a fork.
    with ProcessPoolExecutor(engine.width, mp_context=get_context("spawn")) as pool:
        try:
            yield from _run_pool(pool, count_to_bytes, parts, settings, engine.width)
        except BrokenProcessPool as error:
            raise CorpusError(
                "a worker process ended before its part was counted, perhaps for want of memory; use fewer workers, and"
                " an output folder to go on from"
            ) from error


def _ray(parts: Sequence[Part], settings: Settings, engine: Engine) -> Iterator[tuple[Part, Any]]:
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError("ray", extra="ray") from error
    started = not ray.is_initialized()
    if started:
        if engine.address:
            _await_answer(engine.address)
        # "local" starts a cluster of its own even where an unrelated one has left its address.
        local: dict[str, Any] = {} if engine.address else {"num_cpus": engine.width, "include_dashboard": False}
        ray.init(address=engine.address or "local", log_to_driver=False, **local)
    # Counting is free of side effects, so a part whose node is lost is simply counted again.
    count = ray.remote(max_retries=20, num_cpus=1)(count_to_bytes)
    try:
        shared = ray.put(settings)
        waiting = deque(parts)
        running: dict[Any, Part] = {}
        width = max(2, 2 * int(ray.cluster_resources().get("CPU", 1)))  # type: ignore[no-untyped-call]
        while waiting or running:
            while waiting and len(running) < width:
                part = waiting.popleft()
                running[count.remote(part, shared)] = part
            (done,), _ = ray.wait(list(running), num_returns=1)
            part = running.pop(done)
            try:
                result = ray.get(done)
            except ray.exceptions.RayTaskError as error:
                raise error.cause if isinstance(error.cause, CorpusError) else error from None
            except ray.exceptions.RayError as error:
                raise CorpusError(f"{part.path}: its workers were lost again and again: {short(error)}") from error
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


RUNNERS: Mapping[str, Callable[[Sequence[Part], Settings, Engine], Iterator[tuple[Part, Any]]]] = MappingProxyType(
    {"threads": _threads, "processes": _processes, "ray": _ray}
)

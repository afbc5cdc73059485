"""Work on files that nobody vouches for, in a process of its own: what takes too long or too much ends alone."""

import resource
import signal
from collections.abc import Callable
from math import ceil
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from vergence.errors import CorpusError, VergenceError
from vergence.lifetime import end_with_parent

_PATIENCE = 60  # seconds
_MEMORY = 1 << 30  # bytes
_GRACE = 5  # seconds


class Guarded:
    """A function that runs in a process of its own, which is started at the first call and again after it had to end.

    To be used by one thread at a time, and closed.

    Args:
        function: Of a module, so that the process can import it, best of one that is imported quickly; what it takes
            and gives can be pickled.
        patience: Seconds of computing that a call may take, at least 1; that the machine is busy changes nothing.
        memory: Bytes that the process may take beyond what it has after its start; bounded on Linux only.

    Example:
        >>> length = Guarded(len)
        >>> length(b"abc")
        3
        >>> length.close()
    """

    def __init__(self, function: Callable[..., Any], *, patience: int = _PATIENCE, memory: int = _MEMORY) -> None:
        self._function, self._patience, self._memory = function, patience, memory
        self._running: tuple[BaseProcess, Connection] | None = None
        self._closed = False

    def __call__(self, *given: Any) -> Any:
        """Call the function.

        Raises:
            CorpusError: If it takes longer or more memory than it may, or its process ends.
            VergenceError: If no process can be started, or it has been closed.
            Exception: What the function raises.
        """
        if self._closed:
            raise VergenceError("the process that reads files has been closed")
        _, pipe = self._running or self._start()
        try:
            pipe.send(given)
            answer = pipe.recv()
        except (EOFError, OSError) as error:
            if self._closed:  # by another thread, which does not mean what was in hand
                raise VergenceError("the process that reads files has been closed") from error
            ended = self._end()
            if ended == -signal.SIGXCPU:
                raise CorpusError(f"takes more than {self._patience} seconds") from error
            raise CorpusError("ends the process that reads it, as too little memory does") from error
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        """End the process, for good."""
        self._closed = True
        self._end()

    def _end(self) -> int | None:
        """End the process if it runs; its exit code."""
        if self._running is None:
            return None
        process, _ = self._running
        self._running = None
        if not self._closed:
            process.join(_GRACE)  # what ends on its own says why
        process.kill()  # its end of the pipe closes with it, which wakes a thread that waits here
        process.join()
        return process.exitcode

    def _start(self) -> tuple[BaseProcess, Connection]:
        context = get_context("spawn")  # a forked torch may hang
        pipe, theirs = context.Pipe()
        process = context.Process(
            target=_serve, args=(theirs, self._function, self._patience, self._memory), daemon=True
        )
        process.start()
        theirs.close()
        self._running = process, pipe
        try:
            pipe.recv()  # that it has started, which takes its own time
        except EOFError as error:
            self._end()
            raise VergenceError("a worker process ended as it started, perhaps for lack of memory") from error
        if self._closed:  # by another thread, meanwhile
            self._end()
            raise VergenceError("the process that reads files has been closed")
        return process, pipe


def _serve(pipe: Connection, function: Callable[..., Any], patience: int, memory: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is the parent's business
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # what ends it leaves no dump on the disk
    end_with_parent()
    _bound_memory(memory)
    pipe.send(None)
    while True:
        try:
            given = pipe.recv()
        except EOFError:
            return
        _bound_time(patience)
        try:
            answer = function(*given)
        except MemoryError:
            answer = CorpusError(f"takes more than {memory >> 20} MiB of memory")
        except Exception as error:
            answer = error
        pipe.send(answer)


def _bound_time(patience: int) -> None:
    """Let the system end this process when it has computed for so much longer."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    until = ceil(used.ru_utime + used.ru_stime) + patience
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (until if hard == resource.RLIM_INFINITY else min(until, hard), hard))


def _bound_memory(memory: int) -> None:
    try:
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + memory, resource.getrlimit(resource.RLIMIT_AS)[1]))
    except (OSError, ValueError):
        pass  # a system that does not say, or a bound from outside that is lower already
